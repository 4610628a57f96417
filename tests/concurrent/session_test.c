/* Sessions lock: who waits, who is refused, and that all waits end. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <padstone/padstone.h>

#include "base/sync.h"
#include "tests/concurrent/layers.h"

enum { SHORT_MS = 60, LONG_MS = 120000, NS_PER_MS = 1000000 };

#define OK(call) assert_int_equal((call), PS_OK)
#define FAILS(code, call) assert_int_equal((call), (code))

struct setting {
	ps_storer *s, *fault;
	ps_id a, b;
};

static int set_up_with(void **state, uint32_t timeout_ms)
{
	const struct ps_concurrent_options options = {.size = sizeof(options), .lock_timeout_ms = timeout_ms};
	struct setting *set = calloc(1, sizeof(*set));
	ps_storer *memory;
	OK(ps_memory_open(NULL, &memory));
	OK(fault_layer_open(memory, &set->fault));
	OK(ps_concurrent_open(set->fault, &options, &set->s));
	OK(ps_put(set->s, "first", 5, &set->a));
	OK(ps_put(set->s, "second", 6, &set->b));
	*state = set;
	return 0;
}

static int patient(void **state)
{
	return set_up_with(state, LONG_MS);
}

static int impatient(void **state)
{
	return set_up_with(state, SHORT_MS);
}

/* Whatever happened, nothing is held and the store closes. */
static int tear_down(void **state)
{
	struct setting *set = *state;
	struct ps_concurrent_stats stats;
	OK(ps_concurrent_stats(set->s, &stats));
	assert_int_equal(stats.held, 0);
	OK(ps_close(set->s));
	free(set);
	return 0;
}

static uint64_t now_ms(void)
{
	return sync_now() / NS_PER_MS;
}

/* ---- one thread ---- */

static int commit_one(ps_storer *s, ps_id id, bool removes)
{
	ps_batch *b;
	OK(ps_batch_begin(s, &b));
	if (removes)
		OK(ps_batch_delete(b, id));
	else
		OK(ps_batch_replace(b, id, "batch", 5));
	return ps_batch_commit(b, PS_DURABLE);
}

static void expect_writes(ps_storer *s, ps_id id, int code)
{
	ps_writer *w = NULL;
	FAILS(code, ps_replace(s, id, "x", 1));
	FAILS(code, ps_write_at(s, id, 0, "x", 1));
	FAILS(code, ps_resize(s, id, 1));
	FAILS(code, ps_write_batched(s, 1, &id, "x", &(size_t){1}));
	FAILS(code, commit_one(s, id, false));
	FAILS(code, commit_one(s, id, true));
	FAILS(code, ps_delete(s, id));
	FAILS(code, ps_open_writer(s, id, PS_SIZE_UNKNOWN, &w));
	assert_null(w);
}

static void who_would_wait_for_himself_is_told_at_once(void **state)
{
	struct setting *set = *state;
	ps_storer *s = set->s;
	struct ps_view view, other = {0};
	ps_reader *r = NULL, *r2 = NULL;
	ps_writer *w = NULL;
	char buf[10];
	size_t len;
	uint64_t began = now_ms();
	OK(ps_view(s, set->a, &view));
	expect_writes(s, set->a, PS_EDEADLK);
	OK(ps_replace(s, set->b, "other", 5));
	OK(ps_view_release(&view));
	OK(ps_open_reader(s, set->a, &r));
	expect_writes(s, set->a, PS_EDEADLK);
	OK(ps_reader_finish(r));
	OK(ps_open_writer(s, set->a, PS_SIZE_UNKNOWN, &w));
	expect_writes(s, set->a, PS_EDEADLK);
	FAILS(PS_EDEADLK, ps_view(s, set->a, &other));
	FAILS(PS_EDEADLK, ps_open_reader(s, set->a, &r2));
	/* A copy is of what the writer has not replaced yet. */
	OK(ps_get(s, set->a, buf, sizeof(buf), &len));
	assert_memory_equal(buf, "first", 5);
	OK(ps_writer_write(w, "new", 3));
	OK(ps_writer_finish(w));
	OK(ps_get(s, set->a, buf, sizeof(buf), &len));
	assert_memory_equal(buf, "new", 3);
	assert_true(now_ms() - began < LONG_MS / 4);
}

static void sessions_of_one_thread_share(void **state)
{
	struct setting *set = *state;
	struct ps_view views[3];
	ps_reader *r;
	struct ps_info info;
	for (int i = 0; i < 3; i++)
		OK(ps_view(set->s, set->a, &views[i]));
	OK(ps_open_reader(set->s, set->a, &r));
	OK(ps_info(set->s, set->a, &info));
	for (int i = 0; i < 3; i++)
		OK(ps_view_release(&views[i]));
	expect_writes(set->s, set->a, PS_EDEADLK);
	OK(ps_reader_finish(r));
	OK(ps_replace(set->s, set->a, "x", 1));
}

/* ---- a second thread ---- */

enum act { ACT_REPLACE, ACT_DELETE, ACT_GET, ACT_VIEW, ACT_BATCH, ACT_MANY };

struct actor {
	struct setting *set;
	enum act act;
	ps_id id;
	uint32_t wait_ms;
	int result;
	uint64_t took_ms;
	pthread_barrier_t *barrier;
	pthread_t thread;
	atomic_bool over;
};

static int act_once(struct actor *a)
{
	ps_storer *s = a->set->s;
	char buf[16];
	size_t len;
	struct ps_view view;
	struct ps_get_many reqs[2] = {{.id = a->set->b, .buf = buf, .cap = 8},
	                              {.id = a->id, .buf = buf + 8, .cap = 8}};
	switch (a->act) {
	case ACT_REPLACE:
		return ps_replace(s, a->id, "actor", 5);
	case ACT_DELETE:
		return ps_delete(s, a->id);
	case ACT_GET:
		return ps_get(s, a->id, buf, sizeof(buf), &len);
	case ACT_VIEW:
		a->result = ps_view(s, a->id, &view);
		return a->result ? a->result : ps_view_release(&view);
	case ACT_BATCH:
		return commit_one(s, a->id, false);
	default:
		return ps_get_many(s, 2, reqs);
	}
}

static void *act(void *arg)
{
	struct actor *a = arg;
	uint64_t began = now_ms();
	ps_concurrent_set_wait(a->wait_ms);
	a->result = act_once(a);
	a->took_ms = now_ms() - began;
	atomic_store(&a->over, true);
	return NULL;
}

static void start(struct actor *a)
{
	assert_int_equal(pthread_create(&a->thread, NULL, act, a), 0);
}

static int result_of(struct actor *a)
{
	assert_int_equal(pthread_join(a->thread, NULL), 0);
	return a->result;
}

static int run(struct setting *set, enum act what, uint32_t wait_ms)
{
	struct actor a = {.set = set, .act = what, .id = set->a, .wait_ms = wait_ms};
	start(&a);
	return result_of(&a);
}

/* Until this many are in a bucket's lists. */
static void wait_until_held(ps_storer *s, uint64_t held)
{
	struct ps_concurrent_stats stats;
	do {
		sched_yield();
		OK(ps_concurrent_stats(s, &stats));
	} while (stats.held < held);
}

static void others_are_refused_who_may_not_wait(void **state)
{
	struct setting *set = *state;
	struct ps_view view;
	ps_writer *w;
	OK(ps_view(set->s, set->a, &view));
	OK(run(set, ACT_GET, 0));
	OK(run(set, ACT_VIEW, 0));
	OK(run(set, ACT_MANY, 0));
	FAILS(PS_EBUSY, run(set, ACT_REPLACE, 0));
	FAILS(PS_EBUSY, run(set, ACT_DELETE, 0));
	FAILS(PS_EBUSY, run(set, ACT_BATCH, 0));
	OK(ps_view_release(&view));
	OK(ps_open_writer(set->s, set->a, PS_SIZE_UNKNOWN, &w));
	FAILS(PS_EBUSY, run(set, ACT_GET, 0));
	FAILS(PS_EBUSY, run(set, ACT_MANY, 0));
	FAILS(PS_EBUSY, run(set, ACT_VIEW, 0));
	OK(ps_writer_abort(w));
	OK(run(set, ACT_REPLACE, 0));
}

static void a_wait_ends_by_its_deadline_and_changes_nothing(void **state)
{
	struct setting *set = *state;
	struct ps_view view;
	OK(ps_view(set->s, set->a, &view));
	static const enum act writes[] = {ACT_REPLACE, ACT_DELETE, ACT_BATCH};
	for (size_t i = 0; i < 3; i++) {
		struct actor a = {.set = set, .act = writes[i], .id = set->a, .wait_ms = PS_WAIT_DEFAULT};
		start(&a);
		FAILS(PS_ETIMEDOUT, result_of(&a));
		assert_true(a.took_ms >= SHORT_MS - 1);
	}
	assert_memory_equal(view.data, "first", 5);
	OK(ps_view_release(&view));
	OK(run(set, ACT_REPLACE, PS_WAIT_DEFAULT));
}

/* Each holds a view of what the other wants to replace. */
static void *crossed(void *arg)
{
	struct actor *a = arg;
	struct ps_view view;
	ps_id other = a->id == a->set->a ? a->set->b : a->set->a;
	a->result = ps_view(a->set->s, a->id, &view);
	if (a->result)
		return NULL;
	pthread_barrier_wait(a->barrier);
	a->result = ps_replace(a->set->s, other, "crossed", 7);
	if (ps_view_release(&view))
		a->result = PS_EINVAL;
	return NULL;
}

static void crossed_sessions_end(void **state)
{
	struct setting *set = *state;
	pthread_barrier_t both;
	pthread_barrier_init(&both, NULL, 2);
	struct actor one = {.set = set, .id = set->a, .barrier = &both};
	struct actor two = {.set = set, .id = set->b, .barrier = &both};
	uint64_t began = now_ms();
	assert_int_equal(pthread_create(&one.thread, NULL, crossed, &one), 0);
	assert_int_equal(pthread_create(&two.thread, NULL, crossed, &two), 0);
	int first = result_of(&one), second = result_of(&two);
	assert_true(first == PS_ETIMEDOUT || second == PS_ETIMEDOUT);
	assert_true((first == PS_OK || first == PS_ETIMEDOUT) && (second == PS_OK || second == PS_ETIMEDOUT));
	assert_true(now_ms() - began < LONG_MS);
	pthread_barrier_destroy(&both);
}

static void *release_view(void *arg)
{
	return ps_view_release(arg) == PS_OK ? arg : NULL;
}

static void a_session_is_ended_by_another_thread(void **state)
{
	struct setting *set = *state;
	struct ps_view view;
	struct actor writer = {.set = set, .act = ACT_REPLACE, .id = set->a, .wait_ms = PS_WAIT_DEFAULT};
	OK(ps_view(set->s, set->a, &view));
	start(&writer);
	wait_until_held(set->s, 2);
	assert_memory_equal(view.data, "first", 5);
	pthread_t ender;
	void *ended = NULL;
	assert_int_equal(pthread_create(&ender, NULL, release_view, &view), 0);
	assert_int_equal(pthread_join(ender, &ended), 0);
	assert_ptr_equal(ended, &view);
	OK(result_of(&writer));
}

static void a_delete_waits_and_who_waited_behind_it_finds_nothing(void **state)
{
	struct setting *set = *state;
	struct ps_view view;
	struct actor killer = {.set = set, .act = ACT_DELETE, .id = set->a, .wait_ms = PS_WAIT_DEFAULT};
	struct actor late[3] = {{.act = ACT_VIEW}, {.act = ACT_GET}, {.act = ACT_REPLACE}};
	OK(ps_view(set->s, set->a, &view));
	start(&killer);
	wait_until_held(set->s, 2);
	for (unsigned i = 0; i < 3; i++) {
		late[i].set = set;
		late[i].id = set->a;
		late[i].wait_ms = PS_WAIT_DEFAULT;
		start(&late[i]);
		wait_until_held(set->s, 3 + i);
	}
	assert_memory_equal(view.data, "first", 5);
	OK(ps_view_release(&view));
	OK(result_of(&killer));
	for (unsigned i = 0; i < 3; i++)
		FAILS(PS_ENOTFOUND, result_of(&late[i]));
}

static void readers_wait_behind_a_waiting_writer(void **state)
{
	struct setting *set = *state;
	struct ps_view view;
	char buf[8];
	size_t len;
	struct actor writer = {.set = set, .act = ACT_REPLACE, .id = set->a, .wait_ms = PS_WAIT_DEFAULT};
	OK(ps_view(set->s, set->a, &view));
	start(&writer);
	wait_until_held(set->s, 2);
	FAILS(PS_EBUSY, run(set, ACT_GET, 0));
	FAILS(PS_EBUSY, run(set, ACT_VIEW, 0));
	/* The thread that the writer waits for goes on. */
	OK(ps_get(set->s, set->a, buf, sizeof(buf), &len));
	assert_memory_equal(buf, "first", 5);
	OK(ps_view_release(&view));
	OK(result_of(&writer));
}

static void who_gives_up_lets_those_behind_him_pass(void **state)
{
	struct setting *set = *state;
	struct ps_view view;
	struct actor writer = {.set = set, .act = ACT_REPLACE, .id = set->a, .wait_ms = 4 * SHORT_MS};
	struct actor reader = {.set = set, .act = ACT_GET, .id = set->a, .wait_ms = PS_WAIT_DEFAULT};
	struct ps_concurrent_stats stats;
	OK(ps_view(set->s, set->a, &view));
	start(&writer);
	/* Where this thread has slept too long the writer has given up already. */
	do {
		sched_yield();
		OK(ps_concurrent_stats(set->s, &stats));
	} while (stats.held < 2 && !atomic_load(&writer.over));
	start(&reader);
	FAILS(PS_ETIMEDOUT, result_of(&writer));
	OK(result_of(&reader));
	OK(ps_view_release(&view));
}

/* Views of several threads overlap with hardly a gap; the writer gets its turn all the same. */
struct overlap {
	struct setting *set;
	atomic_bool stop;
	int result;
	pthread_t thread;
};

static void *keep_viewing(void *arg)
{
	struct overlap *o = arg;
	struct ps_view view;
	while (!o->result && !atomic_load(&o->stop)) {
		o->result = ps_view(o->set->s, o->set->a, &view);
		if (!o->result)
			o->result = ps_view_release(&view);
	}
	return NULL;
}

static void a_writer_is_not_starved(void **state)
{
	struct setting *set = *state;
	struct overlap viewers[4];
	for (int i = 0; i < 4; i++) {
		viewers[i].set = set;
		viewers[i].result = PS_OK;
		atomic_init(&viewers[i].stop, false);
		assert_int_equal(pthread_create(&viewers[i].thread, NULL, keep_viewing, &viewers[i]), 0);
	}
	for (int i = 0; i < 200; i++)
		OK(ps_replace(set->s, set->a, &i, sizeof(i)));
	for (int i = 0; i < 4; i++) {
		atomic_store(&viewers[i].stop, true);
		assert_int_equal(pthread_join(viewers[i].thread, NULL), 0);
		OK(viewers[i].result);
	}
}

/* ---- batches ---- */

struct batcher {
	struct setting *set;
	const ps_id *ids;
	size_t n;
	bool down;
	int result;
	pthread_t thread;
};

static void *commit_many(void *arg)
{
	struct batcher *t = arg;
	for (unsigned round = 0; round < 300 && !t->result; round++) {
		ps_batch *b;
		t->result = ps_batch_begin(t->set->s, &b);
		/* Each id twice, one thread upwards, the other one downwards. */
		for (size_t i = 0; i < 2 * t->n && !t->result; i++) {
			size_t place = t->down ? t->n - 1 - i % t->n : i % t->n;
			t->result = ps_batch_replace(b, t->ids[place], &round, sizeof(round));
		}
		if (!t->result)
			t->result = ps_batch_commit(b, PS_RELAXED);
	}
	return NULL;
}

static void batches_in_opposite_orders_do_not_meet(void **state)
{
	struct setting *set = *state;
	enum { N = 20 };
	ps_id ids[N];
	for (int i = 0; i < N; i++)
		OK(ps_put(set->s, "x", 1, &ids[i]));
	struct batcher threads[4] = {0};
	for (int i = 0; i < 4; i++) {
		threads[i] = (struct batcher){.set = set, .ids = ids, .n = N, .down = i % 2};
		assert_int_equal(pthread_create(&threads[i].thread, NULL, commit_many, &threads[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i].thread, NULL), 0);
		OK(threads[i].result);
	}
}

static void a_batch_that_cannot_lock_changes_nothing_and_has_ended(void **state)
{
	struct setting *set = *state;
	struct ps_view view;
	ps_batch *b;
	ps_id made;
	char buf[8];
	size_t len;
	OK(ps_view(set->s, set->b, &view));
	OK(ps_batch_begin(set->s, &b));
	OK(ps_batch_put(b, "new", 3, &made));
	OK(ps_batch_replace(b, set->a, "changed", 7));
	OK(ps_batch_write_at(b, set->b, 0, "changed", 7));
	FAILS(PS_EDEADLK, ps_batch_commit(b, PS_DURABLE));
	FAILS(PS_ECLOSED, ps_batch_abort(b));
	OK(ps_get(set->s, set->a, buf, sizeof(buf), &len));
	assert_memory_equal(buf, "first", 5);
	FAILS(PS_ENOTFOUND, ps_get(set->s, made, buf, sizeof(buf), &len));
	OK(ps_view_release(&view));
}

/* ---- what is left behind ---- */

static void a_failing_inner_store_leaves_no_lock(void **state)
{
	struct setting *set = *state;
	struct ps_view view;
	ps_reader *r;
	ps_writer *w;
	fault_layer_set(set->fault, 1);
	FAILS(PS_EIO, ps_view(set->s, set->a, &view));
	FAILS(PS_EIO, ps_open_reader(set->s, set->a, &r));
	FAILS(PS_EIO, ps_open_writer(set->s, set->a, 1, &w));
	FAILS(PS_EIO, ps_replace(set->s, set->a, "x", 1));
	FAILS(PS_EIO, ps_delete(set->s, set->a));
	FAILS(PS_EIO, ps_write_batched(set->s, 1, &set->a, "x", &(size_t){1}));
	FAILS(PS_EIO, run(set, ACT_MANY, 0));
	fault_layer_set(set->fault, 0);
	OK(run(set, ACT_REPLACE, 0));
}

static void memory_is_that_of_what_is_held(void **state)
{
	struct setting *set = *state;
	enum { VIEWS = 3000 };
	struct ps_concurrent_stats before, during, after;
	struct ps_view *views = calloc(VIEWS, sizeof(*views));
	assert_non_null(views);
	OK(ps_concurrent_stats(set->s, &before));
	for (int i = 0; i < VIEWS; i++)
		OK(ps_view(set->s, i % 2 ? set->a : set->b, &views[i]));
	OK(ps_concurrent_stats(set->s, &during));
	assert_int_equal(during.held, VIEWS);
	for (int i = 0; i < VIEWS; i++)
		OK(ps_view_release(&views[i]));
	for (int i = 0; i < 10000; i++)
		OK(ps_replace(set->s, set->a, &i, sizeof(i)));
	OK(ps_concurrent_stats(set->s, &after));
	assert_true(during.memory_used > before.memory_used);
	/* Some spare nodes stay with the thread. */
	assert_true(after.memory_used - before.memory_used < (during.memory_used - before.memory_used) / 10);
	free(views);
}

/* More threads at once than have a slot of their own. */
static void *wait_and_work(void *arg)
{
	struct actor *a = arg;
	pthread_barrier_wait(a->barrier);
	for (int i = 0; i < 50 && !a->result; i++) {
		a->act = i % 5 == 0 ? ACT_REPLACE : i % 2 ? ACT_GET : ACT_VIEW;
		a->result = act_once(a);
	}
	pthread_barrier_wait(a->barrier);
	return NULL;
}

static void any_number_of_threads_is_served(void **state)
{
	struct setting *set = *state;
	enum { THREADS = 150 };
	static struct actor actors[THREADS];
	pthread_barrier_t all;
	pthread_barrier_init(&all, NULL, THREADS);
	for (int i = 0; i < THREADS; i++) {
		actors[i] = (struct actor){.set = set, .id = set->a, .barrier = &all};
		assert_int_equal(pthread_create(&actors[i].thread, NULL, wait_and_work, &actors[i]), 0);
	}
	for (int i = 0; i < THREADS; i++)
		OK(result_of(&actors[i]));
	pthread_barrier_destroy(&all);
}

static void impossible_options_are_refused(void **state)
{
	struct setting *set = *state;
	ps_storer *s = NULL;
	struct ps_token_options tokens = {.size = sizeof(tokens), .tokens = PS_TOKENS_MAX + 1};
	struct ps_concurrent_options bad[] = {
	    {.size = sizeof(bad[0]) + 1},
	    {.size = 1},
	    {.size = sizeof(bad[0]), .refuse_waits = 2},
	    {.size = sizeof(bad[0]), .lock_buckets = 100},
	    {.size = sizeof(bad[0]), .own_tokens = tokens},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		FAILS(PS_EINVAL, ps_concurrent_open(set->fault, &bad[i], &s));
	FAILS(PS_EINVAL, ps_concurrent_open(NULL, NULL, &s));
	FAILS(PS_EINVAL, ps_concurrent_open(set->fault, NULL, NULL));
	FAILS(PS_EINVAL, ps_concurrent_stats(set->fault, &(struct ps_concurrent_stats){0}));
	assert_null(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define PATIENT(test) cmocka_unit_test_setup_teardown(test, patient, tear_down)
#define IMPATIENT(test) cmocka_unit_test_setup_teardown(test, impatient, tear_down)
	    PATIENT(who_would_wait_for_himself_is_told_at_once),
	    PATIENT(sessions_of_one_thread_share),
	    PATIENT(others_are_refused_who_may_not_wait),
	    IMPATIENT(a_wait_ends_by_its_deadline_and_changes_nothing),
	    IMPATIENT(crossed_sessions_end),
	    PATIENT(a_session_is_ended_by_another_thread),
	    PATIENT(a_delete_waits_and_who_waited_behind_it_finds_nothing),
	    PATIENT(readers_wait_behind_a_waiting_writer),
	    PATIENT(who_gives_up_lets_those_behind_him_pass),
	    PATIENT(a_writer_is_not_starved),
	    PATIENT(batches_in_opposite_orders_do_not_meet),
	    PATIENT(a_batch_that_cannot_lock_changes_nothing_and_has_ended),
	    PATIENT(a_failing_inner_store_leaves_no_lock),
	    PATIENT(memory_is_that_of_what_is_held),
	    PATIENT(any_number_of_threads_is_served),
	    PATIENT(impossible_options_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
