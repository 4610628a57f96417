/* Stores that are attached to a network: pushed in the background when it is due and not before, whatever the
 * network does; made from the network where there is no file. Time is a clock that the test moves. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "multistore/attached.h"
#include "store/cut.h"
#include "tests/multistore/hand_clock.h"
#include "tests/multistore/push_fixture.h"
#include "tests/support/patient.h"
#include "tests/support/sem.h"

/* ---- threads that cannot be started ---- */

static struct {
	pthread_t test; /* only what it starts is counted */
	int left;       /* as many threads can be started; below 0: any number */
	int running;    /* started, and not yet joined */
} threads = {.left = -1};

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*work)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*work)(void *),
                          void *arg);
int __real_pthread_join(pthread_t thread, void **end);
int __wrap_pthread_join(pthread_t thread, void **end);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*work)(void *),
                          void *arg)
{
	if (threads.left < 0 || !pthread_equal(pthread_self(), threads.test))
		return __real_pthread_create(thread, attributes, work, arg);
	if (threads.left == 0)
		return EAGAIN;
	int err = __real_pthread_create(thread, attributes, work, arg);
	threads.left -= err == 0;
	threads.running += err == 0;
	return err;
}

int __wrap_pthread_join(pthread_t thread, void **end)
{
	if (threads.left >= 0 && pthread_equal(pthread_self(), threads.test))
		threads.running--;
	return __real_pthread_join(thread, end);
}

/* A world whose store is attached. */
struct tied {
	struct world w;
	struct hand_clock clock;
	struct ps_multi_options options;
	sem_t told;                  /* posted with each event */
	struct ps_multi_event event; /* the last one */
	struct ps_push_result push;
	char sentence[512];
};

static void hear(void *arg, const struct ps_multi_event *event)
{
	struct tied *t = arg;
	t->event = *event;
	if (event->push)
		t->push = *event->push;
	snprintf(t->sentence, sizeof(t->sentence), "%s", event->message);
	assert_int_equal(sem_post(&t->told), 0);
}

static void wait_for_event(struct tied *t, enum ps_multi_event_kind kind)
{
	sem_await(&t->told);
	if (t->event.kind != kind)
		fail_msg("event %d instead of %d: %s %s", (int)t->event.kind, (int)kind,
		         ps_error_name(t->event.error), t->sentence);
}

static void tie(struct tied *t)
{
	const struct ps_base_options base = stack_base();
	const struct ps_attached_seams seams = {.clock = &t->clock.clock, .seed = 7};
	struct ps_attached *a;
	ps_storer *multi;
	assert_ok(ps_attached_new(&t->options, &seams, &a));
	assert_ok(ps_multi_open_file(t->w.path, &base, &t->options, a, &multi));
	t->w.s = multi;
	if (t->w.concurrent)
		assert_ok(patient_locks_open(multi, &t->w.s));
}

static void tied_new(struct tied *t, uint64_t seed, uint32_t seconds, uint64_t bytes)
{
	memset(t, 0, sizeof(*t));
	world_new(&t->w, "mem", seed);
	assert_ok(ps_close(t->w.s));
	hand_clock_init(&t->clock);
	assert_int_equal(sem_init(&t->told, 0, 0), 0);
	t->options = (struct ps_multi_options){.size = sizeof(t->options),
	                                       .log_ms = PS_LOG_OFF,
	                                       .remote = t->w.b->r,
	                                       .push_seconds = seconds,
	                                       .push_bytes = bytes,
	                                       .take_over = 1,
	                                       .event = hear,
	                                       .event_arg = t};
	tie(t);
}

static void tied_free(struct tied *t)
{
	world_free(&t->w);
	assert_int_equal(sem_destroy(&t->told), 0);
	hand_clock_done(&t->clock);
}

static uint64_t requests(struct tied *t)
{
	struct ps_remote_stats stats;
	blobs_stats(t->w.b, &stats);
	return stats.requests;
}

static struct ps_remote_status status_of(struct tied *t)
{
	struct ps_remote_status status;
	assert_ok(ps_remote_status(t->w.s, &status));
	return status;
}

/* What a clone has is what the store has now. */
static void expect_pushed(struct tied *t)
{
	struct picture p;
	picture_take(&p, t->w.s);
	expect_clone(&t->w, t->w.b->r, 0, &p);
	picture_free(&p);
}

static void nothing_is_asked_while_nothing_is_due(void **state)
{
	struct tied t;
	(void)state;
	tied_new(&t, 1, 10, 0);
	uint64_t before = requests(&t);
	for (unsigned i = 0; i < 50; i++) {
		hand_clock_expect(&t.clock, PS_NEVER);
		hand_clock_advance(&t.clock, 1000 * PS_SECOND_NS);
	}
	hand_clock_expect(&t.clock, PS_NEVER);
	assert_int_equal(requests(&t), before);
	assert_int_equal(status_of(&t).lag_ns, 0);
	tied_free(&t);
}

static void a_push_begins_so_many_seconds_after_the_first_commit(void **state)
{
	struct tied t;
	(void)state;
	tied_new(&t, 2, 10, 0);
	for (unsigned round = 1; round <= 3; round++) {
		hand_clock_expect(&t.clock, PS_NEVER);
		uint64_t began = ps_clock_now(&t.clock.clock), before = requests(&t);
		change_some(&t.w, 10);
		hand_clock_expect(&t.clock, began + 10 * PS_SECOND_NS);
		hand_clock_advance(&t.clock, 9 * PS_SECOND_NS);
		change_some(&t.w, 10);
		hand_clock_expect(&t.clock, began + 10 * PS_SECOND_NS);
		assert_int_equal(requests(&t), before);
		struct ps_remote_status status = status_of(&t);
		assert_int_equal(status.lag_ns, 9 * PS_SECOND_NS);
		assert_true(status.commits > 0);
		hand_clock_advance(&t.clock, PS_SECOND_NS);
		wait_for_event(&t, PS_MULTI_PUSHED);
		hand_clock_expect(&t.clock, PS_NEVER); /* all is there: it does not begin again */
		status = status_of(&t);
		assert_int_equal(status.lag_ns + status.commits + status.bytes + status.failures, 0);
		assert_int_equal(status.state, t.push.state);
		assert_int_equal(status.commit, t.push.commit);
		expect_pushed(&t);
	}
	tied_free(&t);
}

static void a_push_begins_after_so_many_bytes(void **state)
{
	struct tied t;
	ps_id id;
	(void)state;
	tied_new(&t, 3, 0, 1 << 20);
	uint8_t *bytes = blobs_bytes(300000, 1);
	hand_clock_expect(&t.clock, PS_NEVER);
	uint64_t before = requests(&t);
	for (unsigned i = 0; i < 3; i++)
		assert_ok(ps_put(t.w.s, bytes, 300000, &id));
	hand_clock_advance(&t.clock, 1000 * PS_SECOND_NS);
	hand_clock_expect(&t.clock, PS_NEVER);
	assert_int_equal(requests(&t), before);
	uint64_t unpushed = status_of(&t).bytes;
	assert_in_range(unpushed, 900000, 930000);
	assert_ok(ps_put(t.w.s, bytes, 200000, &id));
	wait_for_event(&t, PS_MULTI_PUSHED);
	hand_clock_expect(&t.clock, PS_NEVER);
	assert_int_equal(status_of(&t).bytes, 0);
	expect_pushed(&t);
	test_free(bytes);
	tied_free(&t);
}

static int change_meanwhile(void *arg, const struct ps_progress *progress)
{
	struct tied *t = arg;
	(void)progress;
	hand_clock_advance(&t->clock, PS_SECOND_NS);
	change_some(&t->w, 1);
	return 0;
}

static void what_is_committed_during_a_push_is_due_so_long_after_it_was(void **state)
{
	struct tied t;
	(void)state;
	tied_new(&t, 5, 3600, 0);
	change_some(&t.w, 5);
	const struct ps_push_options options = {
	    .size = sizeof(options), .progress = change_meanwhile, .progress_arg = &t};
	uint64_t began = ps_clock_now(&t.clock.clock);
	assert_ok(ps_push(t.w.s, NULL, &options, NULL));
	assert_true(status_of(&t).commits > 0);
	uint64_t due = began + 3601 * PS_SECOND_NS; /* the first one was before the cut, or not: it counts */
	hand_clock_expect(&t.clock, due);
	hand_clock_advance(&t.clock, due - ps_clock_now(&t.clock.clock));
	wait_for_event(&t, PS_MULTI_PUSHED);
	hand_clock_expect(&t.clock, PS_NEVER);
	expect_pushed(&t);
	tied_free(&t);
}

static void a_network_that_is_away_is_tried_again_later_and_later(void **state)
{
	struct tied t;
	unsigned rule;
	(void)state;
	tied_new(&t, 4, 10, 0);
	change_some(&t.w, 5);
	const struct ps_mem_rule away = {.fault = PS_MEM_LOSE_REQUEST};
	assert_ok(ps_mem_rule_add(blobs_world(t.w.b), &away, &rule));
	hand_clock_expect(&t.clock, PS_SECOND_NS + 10 * PS_SECOND_NS);
	hand_clock_advance(&t.clock, 10 * PS_SECOND_NS);
	for (uint32_t round = 1; round <= 11; round++) {
		wait_for_event(&t, PS_MULTI_PUSH_FAILED);
		assert_int_equal(t.event.error, PS_EUNAVAILABLE);
		assert_int_equal(t.event.failures, round);
		assert_true(strlen(t.sentence) > 0);
		uint64_t most = round > 9 ? 300 * PS_SECOND_NS : PS_SECOND_NS << (round - 1);
		uint64_t due = hand_clock_next(&t.clock), now = ps_clock_now(&t.clock.clock);
		assert_in_range(due - now, most / 2, most);
		assert_int_equal(t.event.retry_ns, due - now);
		struct ps_remote_status status = status_of(&t);
		assert_int_equal(status.failures, round);
		assert_int_equal(status.error, PS_EUNAVAILABLE);
		assert_string_equal(status.message, t.sentence);
		change_some(&t.w, 2);
		hand_clock_expect(&t.clock, due); /* more commits do not hurry it */
		if (round == 11)
			ps_mem_rule_remove(blobs_world(t.w.b), 0);
		hand_clock_advance(&t.clock, due - now);
	}
	wait_for_event(&t, PS_MULTI_PUSHED);
	hand_clock_expect(&t.clock, PS_NEVER);
	assert_int_equal(status_of(&t).failures, 0);
	expect_pushed(&t);
	tied_free(&t);
}

/* The request number `first` hangs until it is given up. */
static void hang_from(struct tied *t, uint64_t first)
{
	const struct ps_mem_rule hang = {.fault = PS_MEM_HANG, .first = first};
	unsigned rule;
	assert_ok(ps_mem_rule_add(blobs_world(t->w.b), &hang, &rule));
	assert_int_equal(rule, 1);
}

/* A push that is under way, and comes no further. */
static void begin_hanging_push(struct tied *t)
{
	change_some(&t->w, 30);
	hang_from(t, 1);
	uint64_t due = hand_clock_next(&t->clock);
	hand_clock_advance(&t->clock, due - ps_clock_now(&t->clock.clock));
	ps_mem_rule_wait(blobs_world(t->w.b), 1, 1);
}

static void a_close_gives_up_the_push_that_is_under_way(void **state)
{
	struct tied t;
	struct timespec before, after;
	(void)state;
	tied_new(&t, 6, 10, 0);
	t.w.b->r->options.timeout_ms = 3600000;
	begin_hanging_push(&t);
	struct picture p;
	picture_take(&p, t.w.s);
	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &before), 0);
	assert_ok(ps_close(t.w.s));
	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &after), 0);
	assert_true(after.tv_sec - before.tv_sec < 60);
	ps_mem_rule_remove(blobs_world(t.w.b), 0);
	tie(&t); /* what is not pushed is so from the beginning */
	uint64_t due = hand_clock_next(&t.clock);
	hand_clock_advance(&t.clock, due - ps_clock_now(&t.clock.clock));
	wait_for_event(&t, PS_MULTI_PUSHED);
	expect_clone(&t.w, t.w.b->r, 0, &p);
	picture_free(&p);
	tied_free(&t);
}

/* Where next to nothing may stay the thread rests, too, once all has left. */
static void a_store_that_keeps_one_byte_comes_to_rest(void **state)
{
	struct tied t;
	struct ps_local_figures figures;
	ps_id id;
	(void)state;
	tied_new(&t, 6, 0, 0);
	assert_ok(ps_close(t.w.s));
	t.options.local_bytes = 1;
	tie(&t);
	for (unsigned i = 0; i < 2; i++) {
		uint64_t due = hand_clock_next(&t.clock);
		hand_clock_advance(&t.clock, due - ps_clock_now(&t.clock.clock));
		hand_clock_expect(&t.clock, PS_NEVER);
		if (i == 1)
			break;
		assert_ok(ps_put(t.w.s, "leaves", 6, &id));
		for (unsigned events = 0; events < 2;) /* pushed, and then evicted */
			events += sem_wait(&t.told) == 0;
		assert_int_equal(t.event.kind, PS_MULTI_EVICTED);
	}
	assert_ok(ps_local_figures(t.w.s, &figures));
	assert_int_equal(figures.local_bytes, 0);
	assert_int_equal(figures.away_bytes, 6);
	tied_free(&t);
}

static void a_store_that_cannot_be_closed_goes_on_pushing(void **state)
{
	struct tied t;
	struct ps_view view;
	ps_id id;
	(void)state;
	tied_new(&t, 8, 10, 0);
	assert_ok(ps_put(t.w.s, "seen", 4, &id));
	assert_ok(ps_view(t.w.s, id, &view));
	assert_error(ps_close(t.w.s), PS_EBUSY);
	uint64_t due = hand_clock_next(&t.clock);
	hand_clock_advance(&t.clock, due - ps_clock_now(&t.clock.clock));
	wait_for_event(&t, PS_MULTI_PUSHED);
	assert_ok(ps_view_release(&view));
	expect_pushed(&t);
	tied_free(&t);
}

static void a_push_by_a_caller_goes_first(void **state)
{
	struct tied t;
	(void)state;
	tied_new(&t, 9, 10, 0);
	t.w.b->r->options.timeout_ms = 3600000; /* what hangs is not sent again */
	begin_hanging_push(&t);
	assert_int_equal(status_of(&t).pushing, 1);
	ps_mem_rule_remove(blobs_world(t.w.b), 0); /* for the next requests: those that hang do so */
	struct ps_push_result result;
	assert_ok(ps_push(t.w.s, NULL, NULL, &result));
	hand_clock_expect(&t.clock, PS_NEVER);
	assert_int_equal(status_of(&t).commit, result.commit);
	assert_int_not_equal(sem_trywait(&t.told), 0); /* what was given up for it is no failure */
	expect_pushed(&t);
	tied_free(&t);
}

/* The log's thread has begun when that of the pushes cannot: it is gone when the call returns, and so is what
 * looked at the store's commits. */
static void a_thread_that_cannot_start_leaves_none_behind(void **state)
{
	struct tied t;
	const struct ps_base_options base = stack_base();
	const struct ps_attached_seams seams = {.clock = &t.clock.clock, .seed = 7};
	struct ps_attached *a;
	ps_storer *below, *multi;
	(void)state;
	tied_new(&t, 10, 10, 0);
	assert_ok(ps_close(t.w.s));
	t.options.log_ms = 3600000;
	for (int left = 0; left < 2; left++) {
		assert_ok(ps_base_open(t.w.path, &base, &below));
		assert_ok(ps_attached_new(&t.options, &seams, &a));
		threads.test = pthread_self();
		threads.left = left;
		threads.running = 0;
		int err = ps_multi_open_attached(below, &t.options, a, &multi);
		int running = threads.running;
		threads.left = -1;
		assert_error(err, PS_EIO);
		assert_int_equal(running, 0);
		assert_non_null(strstr(ps_last_error_message(), "cannot be started"));
		assert_ok(ps_attached_free(a));
		struct ps_commit_watch watch = {0};
		assert_ok(ps_watch_commits(below, &watch)); /* PS_EBUSY while another one watches */
		assert_ok(ps_watch_commits(below, NULL));
		assert_ok(ps_close(below));
	}
	tie(&t); /* two threads are what it takes */
	tied_free(&t);
}

static void a_fork_ends_background_pushes_until_a_caller_has_seen_to_it(void **state)
{
	struct tied t;
	char path[300];
	(void)state;
	tied_new(&t, 11, 10, 0);
	snprintf(path, sizeof(path), "%s-other", t.w.path);
	ps_storer *other = open_stack(&t.w, path, PS_OPEN_CREATE_NEW);
	assert_ok(ps_push(other, t.w.b->r, NULL, NULL));
	change_some(&t.w, 3);
	hand_clock_advance(&t.clock, hand_clock_next(&t.clock) - ps_clock_now(&t.clock.clock));
	wait_for_event(&t, PS_MULTI_PUSH_STOPPED);
	assert_int_equal(t.event.error, PS_EFORK);
	hand_clock_expect(&t.clock, PS_NEVER);
	assert_int_equal(status_of(&t).stopped, 1);
	assert_ok(ps_close(other));
	tied_free(&t);
}

static void a_missing_file_is_made_from_the_network(void **state)
{
	struct tied t;
	struct picture p;
	(void)state;
	tied_new(&t, 12, 10, 0);
	change_some(&t.w, 100);
	assert_ok(ps_push(t.w.s, NULL, NULL, NULL));
	picture_take(&p, t.w.s);
	for (unsigned empty = 0; empty < 2; empty++) {
		assert_ok(ps_close(t.w.s));
		if (empty)
			assert_int_equal(truncate(t.w.path, 0), 0);
		else
			assert_int_equal(unlink(t.w.path), 0);
		tie(&t);
		expect_picture(&p, t.w.s, "a store made from the network");
		assert_int_equal(status_of(&t).lag_ns, 0);
	}
	change_some(&t.w, 10); /* and goes on where it was */
	assert_ok(ps_push(t.w.s, NULL, NULL, NULL));
	expect_pushed(&t);
	picture_free(&p);
	tied_free(&t);
}

/* By URL and key, as an application says it; and the ready-made stack. */
static void a_stack_opens_its_network_itself(void **state)
{
	struct world w;
	struct picture p;
	ps_id id;
	(void)state;
	world_new(&w, "dir", 14);
	blobs_close(w.b);
	const struct ps_remote_key key = {.user_key = w.b->key};
	const struct ps_base_options base = {.size = sizeof(base), .memory_budget = 16 << 20};
	const struct ps_multi_options multi = {.size = sizeof(multi),
	                                       .network = w.b->url,
	                                       .key = &key,
	                                       .remote_options = &w.b->options,
	                                       .take_over = 1,
	                                       .push_seconds = 3600};
	const struct ps_stack_options stack = {.size = sizeof(stack), .base = &base, .multi = &multi};
	char path[300];
	snprintf(path, sizeof(path), "%s-stack", w.path);
	ps_storer *s;
	for (unsigned round = 0; round < 3; round++) {
		assert_ok(ps_stack_open(path, &stack, &s));
		if (round > 0)
			expect_picture(&p, s, "a stack made from the network");
		assert_ok(ps_put(s, "more", 4, &id));
		if (round > 0)
			picture_free(&p);
		picture_take(&p, s);
		assert_ok(ps_push(s, NULL, NULL, NULL));
		assert_ok(ps_close(s));
		if (round == 0)
			assert_int_equal(unlink(path), 0);
	}
	picture_free(&p);
	assert_ok(blobs_start(w.b, false));
	world_free(&w);
}

static void what_cannot_be_attached_is_refused_and_left_as_it_was(void **state)
{
	struct world w;
	ps_storer *memory, *s;
	struct ps_remote_status status;
	(void)state;
	world_new(&w, "mem", 15);
	struct ps_multi_options options = {.size = sizeof(options), .remote = w.b->r, .push_seconds = 1};
	assert_error(ps_remote_status(w.s, &status), PS_EINVAL);
	assert_error(ps_push(w.s, NULL, NULL, NULL), PS_EINVAL);
	assert_ok(ps_memory_open(NULL, &memory));
	assert_error(ps_multi_open(memory, &options, &s), PS_ENOTSUP);
	assert_ok(ps_close(memory));
	options.network = "mem:both";
	assert_error(ps_multi_open_at("/nowhere/store", NULL, &options, &s), PS_EINVAL);
	world_free(&w);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_is_asked_while_nothing_is_due),
	    cmocka_unit_test(a_push_begins_so_many_seconds_after_the_first_commit),
	    cmocka_unit_test(a_push_begins_after_so_many_bytes),
	    cmocka_unit_test(what_is_committed_during_a_push_is_due_so_long_after_it_was),
	    cmocka_unit_test(a_network_that_is_away_is_tried_again_later_and_later),
	    cmocka_unit_test(a_close_gives_up_the_push_that_is_under_way),
	    cmocka_unit_test(a_store_that_keeps_one_byte_comes_to_rest),
	    cmocka_unit_test(a_store_that_cannot_be_closed_goes_on_pushing),
	    cmocka_unit_test(a_push_by_a_caller_goes_first),
	    cmocka_unit_test(a_thread_that_cannot_start_leaves_none_behind),
	    cmocka_unit_test(a_fork_ends_background_pushes_until_a_caller_has_seen_to_it),
	    cmocka_unit_test(a_missing_file_is_made_from_the_network),
	    cmocka_unit_test(a_stack_opens_its_network_itself),
	    cmocka_unit_test(what_cannot_be_attached_is_refused_and_left_as_it_was),
	};
	return cmocka_run_group_tests_name("attached stores", tests, NULL, NULL);
}
