/* The log in the background: shipped in time, waited for, and whole whatever the network does meanwhile. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "multistore/attached.h"
#include "multistore/log_pack.h"
#include "multistore/push_backing.h"
#include "tests/multistore/hand_clock.h"
#include "tests/multistore/push_fixture.h"
#include "tests/support/patient.h"
#include "tests/support/sem.h"

enum { LONG_MS = 120000, LONG_S = 100000 };

static void attach_with(struct world *w, int32_t log_ms, uint32_t push_seconds, struct ps_clock *clock)
{
	const struct ps_base_options base = stack_base();
	const struct ps_multi_options options = {
	    .size = sizeof(options), .remote = w->b->r, .log_ms = log_ms, .push_seconds = push_seconds};
	const struct ps_attached_seams seams = {.clock = clock, .seed = 7};
	struct ps_attached *a;
	ps_storer *multi;
	assert_ok(ps_attached_new(&options, &seams, &a));
	assert_ok(ps_multi_open_file(w->path, &base, &options, a, &multi));
	w->s = multi;
	if (w->concurrent)
		assert_ok(patient_locks_open(multi, &w->s));
}

static void attach_by(struct world *w, int32_t log_ms, struct ps_clock *clock)
{
	attach_with(w, log_ms, 0, clock);
}

static void attach(struct world *w, int32_t log_ms)
{
	attach_by(w, log_ms, &ps_system_clock);
}

static void attached_new(struct world *w, uint64_t seed, int32_t log_ms)
{
	world_new(w, "mem", seed);
	assert_ok(ps_close(w->s));
	attach(w, log_ms);
	change_some(w, 30);
	assert_ok(ps_push(w->s, NULL, NULL, NULL));
}

static struct ps_remote_status status_of(struct world *w)
{
	struct ps_remote_status status;
	assert_ok(ps_remote_status(w->s, &status));
	return status;
}

static void what_was_waited_for_is_in_a_clone(void **state)
{
	struct world w;
	(void)state;
	attached_new(&w, 2, LONG_MS); /* nothing comes by itself in time: who waits does not wait for that */
	for (unsigned i = 0; i < 5; i++) {
		struct picture p;
		change_some(&w, 10);
		assert_true(status_of(&w).log_commits > 0);
		assert_ok(ps_remote_wait(w.s, LONG_MS));
		assert_int_equal(status_of(&w).log_commits, 0);
		assert_int_equal(status_of(&w).log_lag_ns, 0);
		assert_int_equal(status_of(&w).log_groups, i + 1);
		picture_take(&p, w.s);
		change_some(&w, 3);
		expect_clone(&w, w.b->r, 0, &p);
		picture_free(&p);
	}
	world_free(&w);
}

/* The log has nothing to begin behind: the first push does not wait its seconds. */
static void a_new_store_is_pushed_as_soon_as_its_log_is_due(void **state)
{
	struct world w;
	struct picture p;
	(void)state;
	world_new(&w, "mem", 4);
	assert_ok(ps_close(w.s));
	attach_with(&w, LONG_MS, LONG_S, &ps_system_clock);
	change_some(&w, 10);
	assert_ok(ps_remote_wait(w.s, LONG_MS));
	assert_int_equal(status_of(&w).log_groups, 0);
	change_some(&w, 10);
	assert_ok(ps_remote_wait(w.s, LONG_MS));
	assert_int_equal(status_of(&w).log_groups, 1); /* and not a second push */
	picture_take(&p, w.s);
	expect_clone(&w, w.b->r, 0, &p);
	picture_free(&p);
	world_free(&w);
}

static void it_comes_by_itself(void **state)
{
	struct world w;
	struct picture p;
	struct hand_clock clock;
	(void)state;
	hand_clock_init(&clock);
	attached_new(&w, 3, 1);
	assert_ok(ps_close(w.s));
	attach_by(&w, 1000, &clock.clock);
	hand_clock_expect(&clock, PS_NEVER);
	uint64_t began = ps_clock_now(&clock.clock);
	change_some(&w, 10);
	hand_clock_expect(&clock, began + PS_SECOND_NS);
	assert_true(status_of(&w).log_commits > 0);
	hand_clock_advance(&clock, PS_SECOND_NS);
	hand_clock_expect(&clock, PS_NEVER); /* all is shipped */
	assert_int_equal(status_of(&w).log_commits, 0);
	picture_take(&p, w.s);
	expect_clone(&w, w.b->r, 0, &p);
	picture_free(&p);
	world_free(&w);
	hand_clock_done(&clock);
}

static void a_network_that_is_away_takes_nothing_back(void **state)
{
	struct world w;
	struct picture p;
	struct ps_mem_rule rule = {.fault = PS_MEM_VANISH};
	unsigned number;
	(void)state;
	attached_new(&w, 2, 1);
	assert_ok(ps_remote_wait(w.s, LONG_MS));
	assert_ok(ps_mem_rule_add(blobs_world(w.b), &rule, &number));
	change_some(&w, 10);
	int err = PS_ETIMEDOUT;
	for (unsigned i = 0; i < LONG_MS && err == PS_ETIMEDOUT; i++)
		err = ps_remote_wait(w.s, 1);
	assert_int_equal(err, PS_EUNAVAILABLE);
	struct ps_remote_status status = status_of(&w);
	assert_int_equal(status.log_error, PS_EUNAVAILABLE);
	assert_true(status.log_commits > 0 && status.log_bytes > 0 && status.log_lag_ns > 0);
	ps_mem_rule_remove(blobs_world(w.b), 0);
	(void)ps_mem_deliver(blobs_world(w.b));
	assert_ok(ps_remote_wait(w.s, LONG_MS));
	picture_take(&p, w.s);
	expect_clone(&w, w.b->r, 0, &p);
	picture_free(&p);
	world_free(&w);
}

static void a_store_is_closed_while_it_ships(void **state)
{
	struct world w;
	struct ps_mem_rule rule = {.fault = PS_MEM_HANG};
	unsigned number;
	(void)state;
	attached_new(&w, 2, 1);
	assert_ok(ps_mem_rule_add(blobs_world(w.b), &rule, &number));
	change_some(&w, 10);
	ps_mem_rule_wait(blobs_world(w.b), number, 1);
	assert_ok(ps_close(w.s));
	ps_mem_rule_remove(blobs_world(w.b), 0);
	attach(&w, LONG_MS);
	assert_ok(ps_remote_wait(w.s, LONG_MS)); /* it goes on where the other one ended */
	struct picture p;
	picture_take(&p, w.s);
	expect_clone(&w, w.b->r, 0, &p);
	picture_free(&p);
	world_free(&w);
}

/* It is opened with nothing left to ship: that is known without a look at the log, also after a push that had
 * nothing to send. */
static void what_was_pushed_before_an_open_is_not_waited_for(void **state)
{
	struct world w;
	(void)state;
	attached_new(&w, 4, LONG_MS);
	assert_ok(ps_close(w.s));
	attach(&w, LONG_MS);
	assert_int_equal(status_of(&w).log_commits, 0);
	assert_ok(ps_remote_wait(w.s, 0));
	assert_ok(ps_push(w.s, NULL, NULL, NULL));
	assert_ok(ps_remote_wait(w.s, 0));
	change_some(&w, 3);
	assert_true(status_of(&w).log_commits > 0);
	assert_ok(ps_remote_wait(w.s, LONG_MS));
	assert_int_equal(status_of(&w).log_commits, 0);
	world_free(&w);
}

static void without_a_log_nothing_is_waited_for(void **state)
{
	struct world w;
	(void)state;
	world_new(&w, "mem", 2);
	assert_error(ps_remote_wait(w.s, 1), PS_EINVAL);
	assert_ok(ps_close(w.s));
	attach(&w, PS_LOG_OFF);
	assert_error(ps_remote_wait(w.s, 1), PS_ENOTSUP);
	assert_int_equal(status_of(&w).log, PS_LOG_NONE);
	assert_ok(ps_close(w.s));
	attach(&w, 0);
	change_some(&w, 1);
	assert_error(ps_remote_wait(w.s, 1), PS_ETIMEDOUT); /* until something was pushed */
	assert_ok(ps_push(w.s, NULL, NULL, NULL));
	assert_ok(ps_remote_wait(w.s, 0));
	assert_int_equal(status_of(&w).log, PS_LOG_SHIPS);
	world_free(&w);
}

/* ---- evictions beside it ---- */

/* By way of the linker's --wrap: a group's cut stands until an eviction has met it. */
static struct {
	atomic_bool holds;
	atomic_uint met;
	sem_t cut, go_on;
} held;

int __real_ps_log_pack_cut(struct ps_log_pack *pack, struct ps_cut *cut, const struct ps_pack_about *about,
                           int level, uint64_t most);
int __wrap_ps_log_pack_cut(struct ps_log_pack *pack, struct ps_cut *cut, const struct ps_pack_about *about,
                           int level, uint64_t most);
int __wrap_ps_log_pack_cut(struct ps_log_pack *pack, struct ps_cut *cut, const struct ps_pack_about *about,
                           int level, uint64_t most)
{
	if (atomic_exchange(&held.holds, false)) {
		(void)sem_post(&held.cut);
		sem_await(&held.go_on);
	}
	return __real_ps_log_pack_cut(pack, cut, about, level, most);
}

int __real_ps_push_backing_evict(struct ps_push_backing *b, uint64_t goal, ps_progress_fn fn, void *arg,
                                 struct ps_push_evicted *evicted);
int __wrap_ps_push_backing_evict(struct ps_push_backing *b, uint64_t goal, ps_progress_fn fn, void *arg,
                                 struct ps_push_evicted *evicted);
int __wrap_ps_push_backing_evict(struct ps_push_backing *b, uint64_t goal, ps_progress_fn fn, void *arg,
                                 struct ps_push_evicted *evicted)
{
	int err = __real_ps_push_backing_evict(b, goal, fn, arg, evicted);
	if (err == PS_EBUSY && atomic_fetch_add(&held.met, 1) == 0)
		(void)sem_post(&held.go_on);
	return err;
}

/* What is shipped by itself is nothing that a caller could know of. */
static void a_group_on_its_way_is_in_no_evictions_way(void **state)
{
	struct world w;
	struct picture p;
	uint64_t freed = 0;
	(void)state;
	assert_int_equal(sem_init(&held.cut, 0, 0), 0);
	assert_int_equal(sem_init(&held.go_on, 0, 0), 0);
	attached_new(&w, 5, 1);
	assert_ok(ps_remote_wait(w.s, LONG_MS));
	atomic_store(&held.holds, true);
	change_some(&w, 10);
	sem_await(&held.cut);
	assert_ok(ps_evict(w.s, 0, NULL, NULL, &freed));
	assert_int_equal(atomic_load(&held.met), 1);
	assert_true(freed > 0);
	assert_ok(ps_remote_wait(w.s, LONG_MS)); /* it goes on */
	picture_take(&p, w.s);
	expect_clone(&w, w.b->r, 0, &p);
	picture_free(&p);
	world_free(&w);
	assert_int_equal(sem_destroy(&held.cut), 0);
	assert_int_equal(sem_destroy(&held.go_on), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_was_waited_for_is_in_a_clone),
	    cmocka_unit_test(a_new_store_is_pushed_as_soon_as_its_log_is_due),
	    cmocka_unit_test(it_comes_by_itself),
	    cmocka_unit_test(a_network_that_is_away_takes_nothing_back),
	    cmocka_unit_test(a_store_is_closed_while_it_ships),
	    cmocka_unit_test(what_was_pushed_before_an_open_is_not_waited_for),
	    cmocka_unit_test(without_a_log_nothing_is_waited_for),
	    cmocka_unit_test(a_group_on_its_way_is_in_no_evictions_way),
	};
	return cmocka_run_group_tests_name("the log in the background", tests, NULL, NULL);
}
