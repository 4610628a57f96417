/* One holder: who may push, and how another file takes over; at every moment of the other's push, and killed
 * at every request. usage: hold_test [STRIDE]: every so-manieth moment and request */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "multistore/fence.h"
#include "tests/multistore/station.h"

static unsigned stride = 1;

/* ---- one after the other ---- */

static void who_pushes_first_holds(void **state)
{
	struct world w;
	struct station a;
	struct ps_push_holder holder;
	char pid[32];
	(void)state;
	world_new(&w, "mem", 1);
	assert_error(ps_push_holder(w.b->r, &holder), PS_ENOTFOUND);
	assert_error(ps_take_over(w.s, w.b->r, NULL, NULL), PS_ENOTFOUND);
	change_some(&w, 10);
	(void)push_now(&w);
	holder = holder_of(w.b);
	assert_int_equal(holder.epoch, 1);
	snprintf(pid, sizeof(pid), "/%ld", (long)getpid());
	assert_non_null(strstr(holder.text, pid));
	assert_true(holder.since_ns > 0);
	station_new(&a, &w);
	assert_error(station_push(&a), PS_EHELD); /* also with nothing to push */
	assert_non_null(strstr(ps_last_error_message(), holder.text));
	assert_non_null(strstr(ps_last_error_message(), "since 20"));
	station_put_text(&a, "its own");
	assert_error(station_push(&a), PS_EHELD);
	change_some(&w, 3); /* and the holder goes on */
	(void)push_now(&w);
	assert_int_equal(holder_of(w.b).epoch, 1);
	station_free(&a);
	world_free(&w);
}

static void a_takeover_ends_the_pushes_of_the_holder_and_loses_nothing(void **state)
{
	struct world w;
	struct station a;
	struct picture mine;
	(void)state;
	world_new(&w, "mem", 2);
	change_some(&w, 20);
	(void)push_now(&w);
	station_new(&a, &w);
	change_some(&w, 5); /* of these nobody else hears */
	picture_take(&mine, w.s);
	station_put_text(&a, "the new holder's");
	assert_ok(station_take_over(&a));
	assert_ok(station_take_over(&a)); /* it holds it already */
	assert_int_equal(holder_of(a.b).epoch, 2);
	for (unsigned i = 0; i < 3; i++)
		assert_error(ps_push(w.s, w.b->r, NULL, NULL), PS_EFENCED);
	assert_non_null(strstr(ps_last_error_message(), "export"));
	expect_picture(&mine, w.s, "the file that was fenced");
	assert_ok(station_push(&a));
	assert_error(ps_push(w.s, w.b->r, NULL, NULL), PS_EFENCED);
	assert_error(ps_take_over(w.s, w.b->r, NULL, NULL), PS_EFORK); /* there is a state that it has not */
	picture_free(&mine);
	picture_take(&mine, a.s);
	expect_clone(&w, w.b->r, 0, &mine);
	picture_free(&mine);
	station_free(&a);
	world_free(&w);
}

/* As long as nothing newer was pushed, with all that it has not pushed. */
static void who_was_fenced_can_take_it_back(void **state)
{
	struct world w;
	struct station a;
	struct picture p;
	(void)state;
	world_new(&w, "mem", 3);
	change_some(&w, 20);
	(void)push_now(&w);
	station_new(&a, &w);
	change_some(&w, 5);
	assert_ok(station_take_over(&a));
	assert_error(ps_push(w.s, w.b->r, NULL, NULL), PS_EFENCED);
	assert_ok(ps_take_over(w.s, w.b->r, NULL, NULL));
	(void)push_now(&w);
	assert_error(station_push(&a), PS_EFENCED);
	assert_int_equal(holder_of(w.b).epoch, 3);
	picture_take(&p, w.s);
	expect_clone(&w, w.b->r, 0, &p);
	picture_free(&p);
	station_free(&a);
	world_free(&w);
}

static void who_has_not_the_newest_state_clones_it_with_the_hold(void **state)
{
	struct world w;
	struct station a;
	struct picture p;
	(void)state;
	world_new(&w, "mem", 4);
	change_some(&w, 20);
	(void)push_now(&w);
	station_new(&a, &w);
	change_some(&w, 5);
	(void)push_now(&w);
	picture_take(&p, w.s);
	assert_error(station_take_over(&a), PS_EFORK);
	assert_int_equal(holder_of(a.b).epoch, 1);
	assert_ok(ps_close(a.s));
	assert_ok(station_clone(&a, 1, "taken"));
	expect_picture(&p, a.s, "a clone that takes over");
	assert_error(ps_push(w.s, w.b->r, NULL, NULL), PS_EFENCED);
	station_put_text(&a, "more");
	assert_ok(station_push(&a));
	assert_int_equal(holder_of(a.b).epoch, 2);
	picture_free(&p);
	station_free(&a);
	world_free(&w);
}

static void a_clone_that_was_cut_off_leaves_a_hold_that_can_be_taken_over(void **state)
{
	struct world w;
	struct station a;
	(void)state;
	world_new(&w, "mem", 5);
	change_some(&w, 20);
	(void)push_now(&w);
	station_new(&a, &w);
	char elsewhere[300];
	snprintf(elsewhere, sizeof(elsewhere), "%s/there/clone", a.b->folder);
	const struct ps_base_options base = {.size = sizeof(base), .memory_budget = 1};
	const struct ps_clone_options options = {.size = sizeof(options), .base = &base, .take_over = 1};
	snprintf(elsewhere, sizeof(elsewhere), "%s/never", a.b->folder);
	assert_int_not_equal(ps_clone(a.b->r, elsewhere, &options, NULL), PS_OK);
	assert_error(ps_push(w.s, w.b->r, NULL, NULL), PS_EFENCED);
	assert_int_equal(holder_of(a.b).epoch, 2);
	assert_ok(station_take_over(&a));
	assert_ok(station_push(&a));
	assert_int_equal(holder_of(a.b).epoch, 3);
	station_free(&a);
	world_free(&w);
}

/* ---- the fence ---- */

static int create_log(struct blobs *b, uint64_t epoch, uint64_t n)
{
	const struct ps_remote_slot_at at = {epoch, n};
	struct ps_remote_slot slot;
	return ps_remote_slot_create(b->r, &at, PS_SLOT_LOG, "log", 3, NULL, NULL, &slot);
}

static void expect_fence(struct blobs *b, uint64_t epoch, uint64_t n, uint64_t next)
{
	const struct ps_remote_slot_at at = {epoch, n};
	struct ps_fence fence;
	bool log;
	assert_ok(ps_fence_look(b->r, &at, NULL, NULL, &log, &fence));
	assert_false(log);
	assert_int_equal(fence.epoch, next);
}

static void a_fence_stands_behind_the_log_and_nothing_behind_it(void **state)
{
	struct world w;
	struct station a;
	const struct ps_fence first = {.epoch = 2, .holder = {7}}, other = {.epoch = 2, .holder = {8}},
	                      later = {.epoch = 4, .holder = {9}};
	const struct ps_remote_slot_at from = {1, 1};
	(void)state;
	world_new(&w, "mem", 6);
	change_some(&w, 20);
	(void)push_now(&w);
	station_new(&a, &w);
	for (uint64_t n = 1; n <= 3; n++)
		assert_ok(create_log(w.b, 1, n));
	assert_ok(ps_fence_raise(a.b->r, &from, &first, NULL, NULL));
	expect_fence(a.b, 1, 4, 2);
	assert_error(create_log(w.b, 1, 4), PS_EEXIST);
	assert_ok(ps_fence_raise(a.b->r, &from, &first, NULL, NULL)); /* again */
	assert_error(ps_fence_raise(a.b->r, &from, &other, NULL, NULL), PS_EFENCED);
	assert_ok(ps_fence_raise(a.b->r, &from, &later, NULL, NULL)); /* one is enough */
	expect_fence(a.b, 1, 4, 2);
	station_free(&a);
	world_free(&w);
}

/* A store that ships its log, and a text in it that no push has. */
static ps_storer *open_shipping(struct world *w)
{
	const struct ps_base_options base = {.size = sizeof(base), .memory_budget = 16 << 20};
	const struct ps_multi_options options = {.size = sizeof(options), .remote = w->b->r, .log_ms = 1};
	ps_storer *s;
	assert_ok(ps_close(w->s));
	assert_ok(ps_multi_open_at(w->path, &base, &options, &s));
	w->s = s;
	return s;
}

static void ship_text(struct world *w, const char *text)
{
	struct station first = station_first(w);
	station_put_text(&first, text);
	assert_ok(ps_remote_wait(w->s, 60000));
}

static void who_takes_over_has_all_that_was_shipped(void **state)
{
	struct world w;
	struct station a;
	(void)state;
	world_new(&w, "mem", 8);
	change_some(&w, 20);
	(void)open_shipping(&w);
	assert_ok(ps_push(w.s, NULL, NULL, NULL));
	ship_text(&w, "shipped");
	station_new(&a, &w);
	assert_true(has_text(a.s, "shipped"));
	ship_text(&w, "shipped later");
	assert_error(station_take_over(&a), PS_EFORK); /* it was cloned before that */
	assert_int_equal(holder_of(a.b).epoch, 1);
	assert_ok(ps_close(a.s));
	assert_ok(station_clone(&a, 1, "taken"));
	assert_true(has_text(a.s, "shipped") && has_text(a.s, "shipped later"));
	struct station first = station_first(&w);
	station_put_text(&first, "behind the fence");
	assert_error(ps_remote_wait(w.s, 60000), PS_EFENCED);
	assert_error(ps_push(w.s, NULL, NULL, NULL), PS_EFENCED);
	station_put_text(&a, "goes on");
	assert_ok(station_push(&a));
	(void)sync_machine(w.b);
	char path[256];
	ps_storer *s = clone_open(&w, w.b->r, 0, path);
	assert_true(has_text(s, "shipped later") && has_text(s, "goes on"));
	assert_false(has_text(s, "behind the fence"));
	assert_ok(ps_close(s));
	station_free(&a);
	world_free(&w);
}

/* A clone that has the log takes over; and who held it takes it back, and ships again. */
static void a_clone_with_the_log_takes_over_and_gives_back(void **state)
{
	struct world w;
	struct station a;
	(void)state;
	world_new(&w, "mem", 10);
	change_some(&w, 20);
	(void)open_shipping(&w);
	assert_ok(ps_push(w.s, NULL, NULL, NULL));
	ship_text(&w, "shipped");
	station_new(&a, &w);
	assert_ok(station_take_over(&a));
	struct station first = station_first(&w);
	station_put_text(&first, "behind the fence");
	assert_error(ps_remote_wait(w.s, 60000), PS_EFENCED);
	assert_ok(ps_take_over(w.s, NULL, NULL, NULL));
	assert_ok(ps_push(w.s, NULL, NULL, NULL));
	ship_text(&w, "shipped again");
	assert_error(station_push(&a), PS_EFENCED);
	assert_ok(ps_close(a.s));
	assert_ok(station_clone(&a, 0, "again"));
	assert_true(has_text(a.s, "behind the fence") && has_text(a.s, "shipped again"));
	station_free(&a);
	world_free(&w);
}

static void a_fence_of_other_bytes_is_none(void **state)
{
	const struct ps_remote_slot_at at = {3, 9};
	const struct ps_fence fence = {.epoch = 5, .holder = {1}, .since_ns = 77};
	struct ps_fence read;
	uint8_t bytes[PS_FENCE_BYTES];
	(void)state;
	ps_fence_encode(&fence, bytes);
	assert_ok(ps_fence_decode(bytes, sizeof(bytes), &at, &read));
	assert_memory_equal(&read, &fence, sizeof(fence));
	assert_error(ps_fence_decode(bytes, sizeof(bytes) - 1, &at, &read), PS_ECORRUPT);
	assert_error(ps_fence_decode(bytes, sizeof(bytes), &(struct ps_remote_slot_at){5, 1}, &read),
	             PS_ECORRUPT);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		bool free =
		    (i >= 16 && i < 18) || (i >= 24 && i < 48); /* other numbers, holders and times can be */
		bytes[i] ^= 0x80;
		int err = ps_fence_decode(bytes, sizeof(bytes), &at, &read);
		assert_true(free ? err == PS_OK
		                 : err == PS_ECORRUPT || err == PS_EVERSION || (i < 24 && !err));
		bytes[i] ^= 0x80;
	}
}

/* ---- at every moment ---- */

struct moment {
	struct station *other;
	int (*act)(struct station *a);
	unsigned at, now; /* calls of the progress */
	int result;
};

static int act_then(void *arg, const struct ps_progress *progress)
{
	struct moment *m = arg;
	(void)progress;
	if (++m->now == m->at)
		m->result = m->act(m->other);
	return 0;
}

/* False: it was over before. */
static bool meet_at(struct world *w, struct station *a, unsigned at, bool pushes)
{
	struct station first = station_first(w);
	struct moment m = {.other = pushes ? a : &first,
	                   .act = pushes ? station_take_over : station_push,
	                   .at = at,
	                   .result = 1};
	const struct ps_push_options options = {
	    .size = sizeof(options), .progress = act_then, .progress_arg = &m};
	int err = pushes ? ps_push(w->s, w->b->r, &options, NULL) : ps_take_over(a->s, a->b->r, act_then, &m);
	int pushed = pushes ? err : m.result, taken = pushes ? m.result : err;
	if (m.result == 1) {
		assert_ok(err);
	} else if (taken == PS_OK) {
		assert_int_equal(pushed, PS_EFENCED);
		station_put_text(a, "after");
		assert_ok(station_push(a));
		assert_error(ps_push(w->s, w->b->r, NULL, NULL), PS_EFENCED);
	} else { /* the push was there first, with a state that the clone has not */
		assert_true(taken == PS_EHELD || taken == PS_EFORK);
		assert_ok(pushed);
		assert_error(station_push(a), PS_EHELD);
		assert_ok(ps_push(w->s, w->b->r, NULL, NULL));
	}
	return m.result != 1;
}

/* How many moments there are is found by going on until there are no more. */
static void at_every_moment(bool pushes)
{
	unsigned taken = 0, refused = 0;
	bool met = true;
	for (unsigned at = 1; met; at += stride) {
		struct world w;
		struct station a;
		struct picture p;
		world_new(&w, "mem", 20 + at);
		change_some(&w, 12);
		(void)push_now(&w);
		station_new(&a, &w);
		change_some(&w, 2);
		met = meet_at(&w, &a, at, pushes);
		bool first_holds = holder_of(w.b).epoch == 1;
		taken += met && !first_holds;
		refused += met && first_holds;
		(void)sync_machine(a.b);
		picture_take(&p, first_holds ? w.s : a.s);
		expect_clone(&w, w.b->r, 0, &p);
		assert_int_equal(count_keys(w.b, "store"), 1);
		picture_free(&p);
		station_free(&a);
		world_free(&w);
	}
	assert_true(taken > 0 && (refused > 0 || pushes)); /* a push asks no more once its state is there */
}

static void a_takeover_at_every_moment_of_a_push(void **state)
{
	(void)state;
	at_every_moment(true);
}

static void a_push_at_every_moment_of_a_takeover(void **state)
{
	(void)state;
	at_every_moment(false);
}

/* ---- killed at every request ---- */

/* From the request `first` on nothing comes through; of that one, with `lost`, only the answer does not come.
 */
static void die_at(struct world *w, uint64_t first, bool lost)
{
	const struct ps_mem_rule reply = {.fault = PS_MEM_LOSE_REPLY, .first = first, .count = 1};
	const struct ps_mem_rule all = {.fault = PS_MEM_LOSE_REQUEST, .first = first + lost};
	unsigned rule;
	if (lost)
		assert_ok(ps_mem_rule_add(blobs_world(w->b), &reply, &rule));
	assert_ok(ps_mem_rule_add(blobs_world(w->b), &all, &rule));
}

static void live_again(struct world *w)
{
	ps_mem_rule_remove(blobs_world(w->b), 0);
	(void)ps_mem_deliver(blobs_world(w->b));
}

/* Either of them holds the store whole, and the takeover can be made again. */
static void expect_either(struct world *w, struct station *a, bool holder_first)
{
	int err = holder_first ? ps_push(w->s, w->b->r, NULL, NULL) : PS_EFENCED;
	if (err == PS_OK) {
		assert_error(station_take_over(a), PS_EFORK);
		assert_ok(ps_close(a->s));
		assert_ok(station_clone(a, 1, "again"));
	} else {
		assert_int_equal(err, PS_EFENCED);
		assert_ok(station_take_over(a));
	}
	station_put_text(a, "goes on");
	assert_ok(station_push(a));
	assert_error(ps_push(w->s, w->b->r, NULL, NULL), PS_EFENCED);
	expect_fence(a->b, 1, 1, 2);
}

/* False: it was over before. */
static bool die_once(uint64_t at, bool lost, bool holder_first)
{
	struct world w;
	struct station a;
	struct picture mine, p;
	world_new(&w, "mem", 50 + at);
	change_some(&w, 12);
	(void)push_now(&w);
	station_new(&a, &w);
	struct station first = station_first(&w);
	station_put_text(&first, "not pushed");
	picture_take(&mine, w.s);
	die_at(&w, at, lost);
	int err = station_take_over(&a);
	live_again(&w);
	station_restart(&a);
	if (err)
		expect_either(&w, &a, holder_first);
	expect_picture(&mine, w.s, "the first holder's file");
	(void)sync_machine(w.b);
	picture_take(&p, a.s);
	expect_clone(&w, w.b->r, 0, &p);
	assert_int_equal(count_keys(w.b, "store"), 1);
	picture_free(&p);
	picture_free(&mine);
	station_free(&a);
	world_free(&w);
	return err != PS_OK;
}

static void a_takeover_that_dies_at_any_request(void **state)
{
	unsigned died = 0;
	(void)state;
	for (unsigned way = 0; way < 4; way++)
		for (uint64_t at = 1 + way % stride; die_once(at, way & 1, way & 2); at += stride)
			died++;
	assert_true(died > 16 / stride);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(who_pushes_first_holds),
	    cmocka_unit_test(a_takeover_ends_the_pushes_of_the_holder_and_loses_nothing),
	    cmocka_unit_test(who_was_fenced_can_take_it_back),
	    cmocka_unit_test(who_has_not_the_newest_state_clones_it_with_the_hold),
	    cmocka_unit_test(a_clone_that_was_cut_off_leaves_a_hold_that_can_be_taken_over),
	    cmocka_unit_test(a_fence_stands_behind_the_log_and_nothing_behind_it),
	    cmocka_unit_test(who_takes_over_has_all_that_was_shipped),
	    cmocka_unit_test(a_clone_with_the_log_takes_over_and_gives_back),
	    cmocka_unit_test(a_fence_of_other_bytes_is_none),
	    cmocka_unit_test(a_takeover_at_every_moment_of_a_push),
	    cmocka_unit_test(a_push_at_every_moment_of_a_takeover),
	    cmocka_unit_test(a_takeover_that_dies_at_any_request),
	};
	if (argc > 1)
		stride = (unsigned)atoi(argv[1]);
	return cmocka_run_group_tests_name("one holder", tests, NULL, NULL);
}
