/* Pushes and clones: histories by chance, each kept state compared with the store as it was.
 * usage: push_test SCHEME [HISTORIES] */
#include <dirent.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "remote/manager_internal.h"
#include "tests/multistore/push_fixture.h"

static const char *scheme = "mem";
static unsigned histories = 2;

enum { KEPT = 3 };

/* ---- single properties ---- */

static void a_clone_is_what_was_pushed(void **state)
{
	struct world w;
	struct picture p;
	(void)state;
	world_new(&w, scheme, 1);
	change_some(&w, 80);
	struct ps_push_result r = push_now(&w);
	assert_true(r.objects > 10 && r.packs == 1 && r.state > 0 && r.sent_bytes > 0);
	picture_take(&p, w.s);
	expect_clone(&w, w.b->r, 0, &p);
	expect_clone(&w, w.b->r, r.state, &p);
	picture_free(&p);
	world_free(&w);
}

static void an_empty_store_is_pushed_and_cloned(void **state)
{
	struct world w;
	struct picture p;
	(void)state;
	world_new(&w, scheme, 2);
	struct ps_push_result r = push_now(&w);
	assert_int_equal(r.packs, 0);
	picture_take(&p, w.s);
	assert_int_equal(p.count, 0);
	expect_clone(&w, w.b->r, 0, &p);
	change_some(&w, 10);
	(void)push_now(&w);
	picture_take(&p, w.s);
	expect_clone(&w, w.b->r, 0, &p);
	picture_free(&p);
	world_free(&w);
}

static void a_large_object_spans_packs(void **state)
{
	struct world w;
	struct picture p;
	ps_id id, small;
	(void)state;
	world_new(&w, scheme, 3);
	w.options.pack_bytes = 300000;
	w.options.compression = -1;
	uint8_t *bytes = blobs_bytes(3000000, 5);
	assert_ok(ps_put(w.s, bytes, 100, &small));
	assert_ok(ps_put(w.s, bytes, 3000000, &id));
	assert_ok(ps_put(w.s, bytes, 70, &small));
	test_free(bytes);
	assert_true(push_now(&w).packs > 9);
	picture_take(&p, w.s);
	expect_clone(&w, w.b->r, 0, &p);
	picture_free(&p);
	world_free(&w);
}

/* By way of the linker's --wrap: how many threads have ever stood back. */
static atomic_uint stood_back;

void __real_ps_thread_stand_back(void);
void __wrap_ps_thread_stand_back(void);
void __wrap_ps_thread_stand_back(void)
{
	__real_ps_thread_stand_back();
	atomic_fetch_add(&stood_back, 1);
}

/* A worker's thread may run for the first time when others have done its work. */
static void wait_until_all_sleep(ps_workers *workers, uint32_t threads)
{
	struct ps_workers_figures figures;
	do {
		(void)sched_yield();
		ps_workers_figures(workers, &figures);
	} while (figures.asleep < threads);
}

/* Threads of this process that leave processors to others. */
static unsigned threads_that_stand_back(void)
{
	unsigned count = 0;
	DIR *tasks = opendir("/proc/self/task");
	assert_non_null(tasks);
	for (const struct dirent *t = readdir(tasks); t; t = readdir(tasks)) {
		if (t->d_name[0] != '.')
			count += getpriority(PRIO_PROCESS, (id_t)atoi(t->d_name)) >
			         getpriority(PRIO_PROCESS, (id_t)gettid());
	}
	(void)closedir(tasks);
	return count;
}

/* It seals in workers of its own, and has a thread for each pack; the caller's thread and what callers put
 * are as before. */
static void a_push_leaves_processors_to_others(void **state)
{
	struct world w;
	struct ps_workers_figures background, after;
	static uint8_t bytes[1000000];
	ps_id id;
	(void)state;
	world_new(&w, scheme, 6);
	change_some(&w, 20);
	w.options.urgent = 1;
	(void)push_now(&w);
	assert_int_equal(threads_that_stand_back(), 0);
	atomic_store(&stood_back, 0);
	assert_null(w.b->r->background);
	w.options.urgent = 0;
	w.options.pack_bytes = 100000;
	blobs_fill(bytes, sizeof(bytes), 8);
	assert_ok(ps_put(w.s, bytes, sizeof(bytes), &id));
	struct ps_push_result r = push_now(&w);
	assert_true(r.packs > 9);
	wait_until_all_sleep(w.b->r->background, w.b->options.workers);
	assert_true(threads_that_stand_back() >= w.b->options.workers);
	assert_true(atomic_load(&stood_back) >= w.b->options.workers + r.packs);
	assert_int_equal(ps_tokens_class(), PS_TOKEN_FOREGROUND);
	ps_workers_figures(w.b->r->background, &background);
	assert_true(background.by_op[PS_NET_CREATE] + background.by_op[PS_NET_REPLACE] > r.packs);
	blobs_put(w.b, "a value", 1000, 7);
	ps_workers_figures(w.b->r->background, &after);
	assert_int_equal(after.requests, background.requests);
	world_free(&w);
}

/* An idle push asks for the head, and nothing else; and says so. */
static void nothing_to_push_is_one_request(void **state)
{
	struct world w;
	(void)state;
	world_new(&w, scheme, 4);
	change_some(&w, 20);
	struct ps_push_result first = push_now(&w), again = push_now(&w);
	assert_int_equal(again.state, first.state);
	assert_int_equal(again.packs + again.objects + again.gone + again.sent_bytes, 0);
	assert_int_equal(again.requests, 1);
	world_reopen(&w);
	again = push_now(&w);
	assert_int_equal(again.state, first.state);
	assert_int_equal(again.requests, 1);
	world_free(&w);
}

static void what_was_moved_only_is_not_sent(void **state)
{
	struct world w;
	(void)state;
	world_new(&w, scheme, 6);
	change_some(&w, 100);
	(void)push_now(&w);
	for (unsigned i = 0; i < 60; i++)
		(void)!ps_delete(w.s, w.ids[i]);
	uint64_t before = push_now(&w).state;
	assert_ok(ps_compact(w.s, 0, NULL, NULL));
	struct ps_push_result r = push_now(&w);
	assert_int_equal(r.objects + r.gone, 0);
	assert_int_equal(r.state, before);
	world_free(&w);
}

/* An id that was ever given out means one object, in the store and in its clone. */
static void a_clone_never_gives_an_id_again(void **state)
{
	struct world w;
	char path[256];
	(void)state;
	world_new(&w, scheme, 7);
	change_some(&w, 60);
	(void)push_now(&w);
	for (unsigned i = 0; i < 30; i++)
		(void)!ps_delete(w.s, w.ids[i]);
	(void)push_now(&w);
	change_some(&w, 60); /* which the clone does not know */
	ps_storer *clone = clone_open(&w, w.b->r, 0, path);
	for (unsigned i = 0; i < 60; i++) {
		ps_id id;
		assert_ok(ps_put(clone, "x", 1, &id));
		for (size_t k = 0; k < w.id_count; k++)
			assert_int_not_equal(id, w.ids[k]);
	}
	assert_ok(ps_close(clone));
	world_free(&w);
}

static void a_clone_goes_on_pushing(void **state)
{
	struct world w;
	struct picture p;
	char path[256];
	(void)state;
	world_new(&w, scheme, 8);
	change_some(&w, 60);
	(void)push_now(&w);
	ps_storer *old = w.s;
	w.s = clone_open(&w, w.b->r, 0, path);
	assert_error(ps_push(w.s, w.b->r, NULL, NULL), PS_EHELD);
	assert_ok(ps_take_over(w.s, w.b->r, NULL, NULL));
	assert_int_equal(push_now(&w).packs, 0); /* it is what is there */
	change_some(&w, 3);
	struct ps_push_result r = push_now(&w);
	assert_true(r.objects + r.gone <= 3);
	picture_take(&p, w.s);
	expect_clone(&w, w.b->r, 0, &p);
	assert_error(ps_push(old, w.b->r, NULL, NULL), PS_EFENCED);
	picture_free(&p);
	assert_ok(ps_close(old));
	world_free(&w);
}

/* The store and all that its machine knew are gone: another one has network and key. */
static void a_store_whose_machine_burned_comes_back_from_the_key(void **state)
{
	struct world w;
	struct picture p;
	(void)state;
	world_new(&w, scheme, 13);
	for (unsigned i = 0; i < 2; i++) {
		change_some(&w, 40);
		(void)push_now(&w);
	}
	picture_take(&p, w.s);
	assert_ok(ps_close(w.s));
	assert_int_equal(unlink(w.path), 0);
	struct blobs *other = machine_open(w.b);
	assert_ok(ps_clone(other->r, w.path, NULL, NULL));
	w.s = open_stack(&w, w.path, PS_OPEN_EXISTING);
	expect_picture(&p, w.s, "a clone on a new machine");
	assert_ok(ps_check(w.s, PS_CHECK_FULL, NULL, NULL));
	picture_free(&p);
	/* It goes on from there. */
	change_some(&w, 10);
	assert_ok(ps_take_over(w.s, other->r, NULL, NULL));
	assert_ok(ps_push(w.s, other->r, &w.options, NULL));
	picture_take(&p, w.s);
	expect_clone(&w, other->r, 0, &p);
	picture_free(&p);
	machine_free(other);
	world_free(&w);
}

static void what_is_not_there_is_said(void **state)
{
	struct world w;
	char path[300];
	struct ps_clone_options options = {.size = sizeof(options), .state = 4711};
	(void)state;
	world_new(&w, scheme, 9);
	snprintf(path, sizeof(path), "%s-clone", w.path);
	assert_error(ps_clone(w.b->r, path, NULL, NULL), PS_ENOTFOUND);
	assert_error(ps_clone(w.b->r, w.path, NULL, NULL), PS_EEXIST);
	(void)push_now(&w);
	assert_error(ps_clone(w.b->r, path, &options, NULL), PS_ENOTFOUND);
	assert_int_not_equal(access(path, F_OK), 0);
	struct ps_push_options bad = {.size = sizeof(bad), .pack_bytes = 1};
	assert_error(ps_push(w.s, w.b->r, &bad, NULL), PS_EINVAL);
	bad = (struct ps_push_options){.size = sizeof(bad), .compression = 99};
	assert_error(ps_push(w.s, w.b->r, &bad, NULL), PS_EINVAL);
	world_free(&w);
}

static void a_memory_store_cannot_be_pushed(void **state)
{
	struct world w;
	ps_storer *s;
	(void)state;
	world_new(&w, scheme, 10);
	assert_ok(ps_memory_open(NULL, &s));
	assert_error(ps_push(s, w.b->r, NULL, NULL), PS_ENOTSUP);
	assert_ok(ps_close(s));
	world_free(&w);
}

/* ---- progress ---- */

struct giving_up {
	unsigned calls, at;
	struct ps_progress last;
};

static int give_up(void *arg, const struct ps_progress *progress)
{
	struct giving_up *g = arg;
	assert_true(progress->total == 0 || progress->done <= progress->total);
	g->last = *progress;
	return ++g->calls == g->at;
}

static void a_push_and_a_clone_can_be_given_up(void **state)
{
	struct world w;
	struct picture p;
	char path[300];
	struct giving_up g = {0};
	(void)state;
	world_new(&w, scheme, 11);
	change_some(&w, 50);
	picture_take(&p, w.s);
	w.options.progress = give_up;
	w.options.progress_arg = &g;
	w.options.pack_bytes = 20000;
	for (g.at = 1; g.at <= 22; g.at += 7) {
		g.calls = 0;
		assert_error(ps_push(w.s, w.b->r, &w.options, NULL), PS_ECANCELED);
	}
	g.at = 0;
	(void)push_now(&w);
	(void)expect_packs(w.b);
	struct ps_clone_options options = {.size = sizeof(options), .progress = give_up, .progress_arg = &g};
	snprintf(path, sizeof(path), "%s-clone", w.path);
	g = (struct giving_up){.at = 20};
	assert_error(ps_clone(w.b->r, path, &options, NULL), PS_ECANCELED);
	assert_int_not_equal(access(path, F_OK), 0);
	expect_clone(&w, w.b->r, 0, &p);
	picture_free(&p);
	world_free(&w);
}

/* Over the empty log that any new file begins with. */
static void a_clone_writes_each_byte_once(void **state)
{
	enum { SIZE = 4096, COUNT = 3000, LOG = 1 << 20 };
	struct world w;
	char path[300];
	uint8_t bytes[SIZE];
	struct ps_clone_result result;
	ps_id id;
	(void)state;
	world_new(&w, scheme, 13);
	for (unsigned i = 0; i < COUNT; i++) {
		for (size_t k = 0; k < SIZE; k++)
			bytes[k] = (uint8_t)(i * 31 + k * (i | 1));
		assert_int_equal(ps_put(w.s, bytes, SIZE - i % 4 * 997, &id), PS_OK);
	}
	(void)push_now(&w);
	snprintf(path, sizeof(path), "%s-clone", w.path);
	assert_int_equal(ps_clone(w.b->r, path, NULL, &result), PS_OK);
	assert_int_equal(result.objects, COUNT);
	print_message("%.3f bytes a byte\n", (double)(result.written_bytes - LOG) / (double)result.bytes);
	assert_true((result.written_bytes - LOG) * 100 <= result.bytes * 115);
	assert_int_equal(unlink(path), 0);
	world_free(&w);
}

/* ---- history ---- */

struct listed {
	struct ps_push_state states[8];
	size_t count;
};

static int see_state(void *arg, const struct ps_push_state *state)
{
	struct listed *l = arg;
	assert_true(l->count < 8);
	l->states[l->count++] = *state;
	return 0;
}

static void expect_history(struct world *w, const struct picture *kept, size_t count)
{
	struct listed l = {.count = 0};
	assert_ok(ps_push_history(w->b->r, see_state, &l));
	assert_int_equal(l.count, count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(l.states[i].state, kept[i].push.state);
		assert_int_equal(l.states[i].commit, kept[i].push.commit);
		assert_int_equal(l.states[i].objects, kept[i].count);
		assert_int_equal(l.states[i].newest, i == 0);
		assert_true(l.states[i].time_ns > 0);
		expect_clone(w, w->b->r, l.states[i].state, &kept[i]);
	}
}

/* The newest first; the oldest is let go. */
static void keep_picture(struct picture *kept, size_t *count, struct world *w,
                         const struct ps_push_result *push)
{
	if (*count == KEPT)
		picture_free(&kept[KEPT - 1]);
	else
		++*count;
	memmove(kept + 1, kept, (*count - 1) * sizeof(*kept));
	picture_take(&kept[0], w->s);
	kept[0].push = *push;
}

static void one_history(uint64_t seed)
{
	struct world w;
	struct picture kept[KEPT] = {{0}};
	size_t count = 0;
	world_new(&w, scheme, seed);
	w.options.history = KEPT - 1;
	w.options.pack_bytes = seed % 3 ? 100000 : 0;
	w.options.compression = (int)(seed % 4) - 1;
	for (unsigned i = 0; i < 12; i++) {
		change_some(&w, i == 0 ? 120 : 1 + (unsigned)roll_below(&w.dice, 40));
		if (roll_below(&w.dice, 6) == 0)
			world_reopen(&w);
		struct ps_push_result r = push_now(&w);
		if (count == 0 || r.state != kept[0].push.state)
			keep_picture(kept, &count, &w, &r);
		if (i % 4 == 3)
			expect_history(&w, kept, count);
		(void)expect_packs(w.b);
	}
	for (size_t i = 0; i < count; i++)
		picture_free(&kept[i]);
	world_free(&w);
}

static void each_kept_state_is_as_it_was(void **state)
{
	uint64_t first = test_seed(1000);
	(void)state;
	for (unsigned i = 0; i < histories; i++)
		one_history(first + i);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_clone_is_what_was_pushed),
	    cmocka_unit_test(an_empty_store_is_pushed_and_cloned),
	    cmocka_unit_test(a_large_object_spans_packs),
	    cmocka_unit_test(a_push_leaves_processors_to_others),
	    cmocka_unit_test(nothing_to_push_is_one_request),
	    cmocka_unit_test(what_was_moved_only_is_not_sent),
	    cmocka_unit_test(a_clone_never_gives_an_id_again),
	    cmocka_unit_test(a_clone_goes_on_pushing),
	    cmocka_unit_test(a_store_whose_machine_burned_comes_back_from_the_key),
	    cmocka_unit_test(what_is_not_there_is_said),
	    cmocka_unit_test(a_memory_store_cannot_be_pushed),
	    cmocka_unit_test(a_push_and_a_clone_can_be_given_up),
	    cmocka_unit_test(a_clone_writes_each_byte_once),
	};
	static const struct CMUnitTest by_chance[] = {cmocka_unit_test(each_kept_state_is_as_it_was)};
	if (argc > 1)
		scheme = argv[1];
	if (argc > 2)
		histories = (unsigned)atoi(argv[2]);
	int failed = argc > 2 ? 0 : cmocka_run_group_tests_name("pushes", tests, NULL, NULL);
	return failed + cmocka_run_group_tests_name("histories of pushes", by_chance, NULL, NULL);
}
