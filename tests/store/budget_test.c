/* The memory budget: whoever finds no room makes some, and what cannot leave is kept small. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#include "store/base_internal.h"
#include "tests/support/sim_disk.h"

enum { K = 1 << 10, M = 1 << 20, BUDGET = 2 * M, LOG = 256 * K };

#define OK(call) assert_int_equal((call), PS_OK)

struct world {
	struct sim_disk *disk;
	ps_storer *s;
	ps_id *ids;
	size_t count;
	atomic_bool got;
};

static void open_world(struct world *w)
{
	const struct ps_base_options options = {.size = sizeof(options),
	                                        .background = PS_BACKGROUND_NONE,
	                                        .durability = PS_RELAXED,
	                                        .log_bytes = LOG,
	                                        .initial_bytes = 64 << 10,
	                                        .memory_budget = BUDGET};
	OK(ps_base_open_io(sim_disk_io(w->disk), true, &options, &w->s));
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	if (!w)
		return -1;
	w->disk = sim_disk_new(NULL, 0);
	sim_disk_set_tracing(w->disk, false);
	open_world(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	OK(ps_close(w->s));
	sim_disk_free(w->disk);
	free(w->ids);
	free(w);
	return 0;
}

static struct store *inside(const struct world *w)
{
	return store_of(w->s);
}

/* Objects of eight bytes, their numbers; 128 of them have a leaf. */
static void fill(struct world *w, size_t count)
{
	enum { AT_ONCE = 512 };
	w->ids = malloc(count * sizeof(*w->ids));
	assert_non_null(w->ids);
	for (; w->count < count;) {
		ps_batch *b;
		OK(ps_batch_begin(w->s, &b));
		for (size_t end = MIN(w->count + AT_ONCE, count); w->count < end; w->count++) {
			uint64_t number = w->count;
			OK(ps_batch_put(b, &number, sizeof(number), &w->ids[w->count]));
		}
		OK(ps_batch_commit(b, PS_RELAXED));
	}
}

static void expect(struct world *w, size_t i, uint64_t value)
{
	uint64_t is;
	size_t len;
	OK(ps_get(w->s, w->ids[i], &is, sizeof(is), &len));
	assert_int_equal(len, sizeof(is));
	assert_int_equal(is, value);
}

/* As many leaves as fill the budget, each changed in its turn. */
static void leaves_that_wait_for_a_checkpoint_keep_nobody_from_memory(void **state)
{
	struct world *w = *state;
	const size_t leaves = 3 * BUDGET / PAGE / 2, stride = FANOUT;
	fill(w, leaves * stride);
	for (size_t turn = 0; turn < 2; turn++) {
		for (size_t i = turn; i < w->count; i += stride) {
			uint64_t value = w->count + i;
			OK(ps_replace(w->s, w->ids[i], &value, sizeof(value)));
			expect(w, (i + w->count / 2) % w->count / stride * stride + 2, (i + w->count / 2) % w->count / stride * stride + 2);
		}
	}
	for (size_t i = 0; i < w->count; i += stride)
		expect(w, i, w->count + i);
}

/* ---- waiting for others ---- */

static void *get_first(void *arg)
{
	struct world *w = arg;
	uint64_t is;
	size_t len;
	int err = ps_get(w->s, w->ids[0], &is, sizeof(is), &len);
	atomic_store(&w->got, true);
	return (void *)(intptr_t)err;
}

/* Nothing dirty, nothing that could leave: but for what some call has, or the application. */
static uint64_t take_all(struct world *w)
{
	struct store *s = inside(w);
	uint64_t taken = 0, step = PAGE;
	OK(checkpoint_run(s));
	while (budget_take(s, step) == PS_OK)
		taken += step;
	assert_int_equal(budget_dirty_bytes(s), 0);
	return taken;
}

static void a_call_waits_for_one_that_gives_memory_back(void **state)
{
	struct world *w = *state;
	struct store *s = inside(w);
	pthread_t thread;
	void *result;
	fill(w, 1);
	budget_enter(s);
	uint64_t taken = take_all(w);
	assert_int_equal(pthread_create(&thread, NULL, get_first, w), 0);
	while (!atomic_load(&s->calls.waiting) && !atomic_load(&w->got))
		sched_yield();
	budget_give(s, taken);
	budget_leave(s);
	assert_int_equal(pthread_join(thread, &result), 0);
	OK((int)(intptr_t)result);
}

static void what_the_application_keeps_is_not_waited_for(void **state)
{
	struct world *w = *state;
	fill(w, 1);
	uint64_t taken = take_all(w);
	assert_int_equal((int)(intptr_t)get_first(w), PS_ENOMEM);
	budget_give(inside(w), taken);
	OK((int)(intptr_t)get_first(w));
}

/* ---- many threads ---- */

enum { THREADS = 24, LARGE = 150 * K, ROUNDS = 4 };
struct user {
	struct world *w;
	ps_id large;
	unsigned number;
	int failed;
};

/* Reads of all objects, and writes of its own; nobody is told that there is no memory. */
static void *use(void *arg)
{
	struct user *u = arg;
	ps_storer *s = u->w->s;
	uint8_t *bytes = malloc(LARGE);
	assert_non_null(bytes);
	for (unsigned round = 0; round < ROUNDS && !u->failed; round++) {
		size_t len, at = (u->number * 7919 + round * 104729) % u->w->count;
		memset(bytes, (int)u->number, LARGE);
		u->failed = ps_replace(s, u->large, bytes, LARGE);
		if (!u->failed)
			u->failed = ps_replace(s, u->w->ids[at], &at, sizeof(at));
		if (!u->failed)
			u->failed = ps_get(s, u->large, bytes, LARGE, &len);
		for (size_t i = u->number; i < u->w->count && !u->failed; i += FANOUT * THREADS / 4)
			u->failed = ps_get(s, u->w->ids[i], bytes, LARGE, &len);
	}
	if (u->failed)
		print_message("%s\n", ps_last_error_message());
	free(bytes);
	return NULL;
}

static void many_threads_get_by_with_the_least_budget(void **state)
{
	static struct user users[THREADS];
	const struct ps_base_options options = {
	    .size = sizeof(options), .durability = PS_RELAXED, .memory_budget = M};
	struct world w = {0};
	pthread_t threads[THREADS];
	char path[] = "budget_test_XXXXXX";
	(void)state;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	OK(ps_base_open(path, &options, &w.s));
	fill(&w, BUDGET / PAGE * FANOUT / 2);
	for (unsigned i = 0; i < THREADS; i++) {
		users[i] = (struct user){.w = &w, .number = i};
		OK(ps_put(w.s, "", 1, &users[i].large));
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, use, &users[i]), 0);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	for (unsigned i = 0; i < THREADS; i++)
		OK(users[i].failed);
	OK(ps_check(w.s, PS_CHECK_FULL, NULL, NULL));
	OK(ps_close(w.s));
	free(w.ids);
	unlink(path);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(leaves_that_wait_for_a_checkpoint_keep_nobody_from_memory),
	    TEST(a_call_waits_for_one_that_gives_memory_back),
	    TEST(what_the_application_keeps_is_not_waited_for),
	    cmocka_unit_test(many_threads_get_by_with_the_least_budget),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
