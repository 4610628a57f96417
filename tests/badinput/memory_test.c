/* The memory budget is kept: under load at all times, by views (refused beyond it), and as the operating
 * system counts it. */
#include "tests/badinput/bad.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/sanitizers.h"

enum { BUDGET = 4 << 20, THREADS = 3, ROUNDS = 120, MOST_ROUNDS = 100 * ROUNDS, LARGE = 6 << 20 };

struct load {
	ps_storer *s;
	unsigned number;
	_Atomic(unsigned) *left;
	_Atomic(bool) *seen;
};

/* Until who looks at the memory meanwhile has seen enough, however seldom it has its turn. */
static bool goes_on(const struct load *l, unsigned round)
{
	return round < ROUNDS || (round < MOST_ROUNDS && !atomic_load(l->seen));
}

/* Objects of all sizes, up to larger than the budget in streams; all of them are read again. */
static void *work(void *arg)
{
	struct load *l = arg;
	static const size_t sizes[] = {50, 3000, 20000, 70000, 300000, 30};
	uint8_t *bytes = calloc(1, LARGE);
	ps_id ids[6] = {0};
	if (!bytes)
		abort();
	for (unsigned n = 0; goes_on(l, n); n++) {
		size_t len, k = (n + l->number) % 6;
		memset(bytes, (int)(n & 0xff), sizes[k]);
		if (ids[k])
			OK(ps_replace(l->s, ids[k], bytes, sizes[k]));
		else
			OK(ps_put(l->s, bytes, sizes[k], &ids[k]));
		k = (n + 3) % 6;
		if (ids[k])
			OK(ps_get(l->s, ids[k], bytes, LARGE, &len));
		if (n % 40 == l->number) {
			ps_id id;
			OK(ps_put(l->s, bytes, LARGE, &id));
			OK(ps_get(l->s, id, bytes, LARGE, &len));
			OK(ps_delete(l->s, id));
		}
	}
	free(bytes);
	atomic_fetch_sub(l->left, 1);
	return NULL;
}

static void the_budget_is_kept_under_load(void **state)
{
	(void)state;
	_Atomic(unsigned) left = THREADS;
	_Atomic(bool) seen = false;
	struct load loads[THREADS];
	pthread_t threads[THREADS];
	struct ps_stats stats;
	uint64_t highest = 0, samples = 0;
	struct ps_base_options o = bad_options(PS_OPEN_CREATE_NEW);
	ps_storer *s;
	o.memory_budget = BUDGET;
	o.background = PS_BACKGROUND_THREAD;
	o.durability = PS_RELAXED;
	o.log_bytes = 256 << 10;
	OK(ps_base_open(bad_path, &o, &s));
	for (unsigned i = 0; i < THREADS; i++) {
		loads[i] = (struct load){s, i, &left, &seen};
		assert_int_equal(pthread_create(&threads[i], NULL, work, &loads[i]), 0);
	}
	while (atomic_load(&left)) {
		OK(ps_stats(s, &stats));
		highest = stats.memory_used > highest ? stats.memory_used : highest;
		atomic_store(&seen, ++samples > 10 && highest > BUDGET / 4);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	print_message("%llu samples, at most %llu of %d bytes\n", (unsigned long long)samples,
	              (unsigned long long)highest, BUDGET);
	assert_int_equal(stats.memory_budget, BUDGET);
	assert_true(atomic_load(&seen));
	assert_true(highest <= BUDGET);
	OK(ps_close(s));
}

static void views_beyond_the_budget_are_refused(void **state)
{
	(void)state;
	enum { VIEWS = 200, SIZE = 60000 };
	static struct ps_view views[VIEWS];
	static uint8_t bytes[SIZE];
	ps_id ids[VIEWS], large;
	struct ps_stats stats;
	ps_storer *s;
	struct ps_base_options o = bad_options(PS_OPEN_CREATE_NEW);
	int held = 0, err = PS_OK;
	o.memory_budget = BUDGET;
	OK(ps_base_open(bad_path, &o, &s));
	for (int i = 0; i < VIEWS; i++) {
		memset(bytes, i, SIZE);
		OK(ps_put(s, bytes, SIZE, &ids[i]));
	}
	uint8_t *much = calloc(1, LARGE);
	OK(ps_put(s, much, LARGE, &large));
	free(much);
	for (; held < VIEWS; held++) {
		err = ps_view(s, ids[held], &views[held]);
		if (err != PS_OK)
			break;
	}
	assert_int_equal(err, PS_ENOMEM);
	assert_non_null(strstr(ps_last_error_message(), "budget"));
	assert_in_range(held, 30, BUDGET / SIZE);
	OK(ps_stats(s, &stats));
	assert_true(stats.memory_used <= BUDGET && stats.pinned_bytes >= (uint64_t)held * SIZE);
	for (int i = 0; i < held; i++) {
		const uint8_t *data = views[i].data;
		assert_true(data[0] == (uint8_t)i && data[SIZE - 1] == (uint8_t)i);
		OK(ps_view_release(&views[i]));
	}
	/* Larger than the budget: not as a view, but as a stream. */
	FAILS(PS_ENOMEM, ps_view(s, large, &views[0]));
	ps_reader *r;
	size_t got;
	uint64_t all = 0;
	OK(ps_open_reader(s, large, &r));
	do {
		OK(ps_reader_read(r, bytes, SIZE, &got));
		all += got;
	} while (got);
	OK(ps_reader_finish(r));
	assert_int_equal(all, LARGE);
	OK(ps_view(s, ids[VIEWS - 1], &views[0]));
	OK(ps_view_release(&views[0]));
	OK(ps_close(s));
}

/* ---- the operating system's figure --------------------------------------------------------------------- */

enum { COUNTED = !PS_ADDRESS_SANITIZER && !PS_THREAD_SANITIZER };

static uint64_t resident(void)
{
	unsigned long pages = 0, total = 0;
	FILE *f = fopen("/proc/self/statm", "re");
	assert_true(f && fscanf(f, "%lu %lu", &total, &pages) == 2);
	fclose(f);
	return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* 300 MB of objects of two kinds go through a store of 256 MiB: what the process has grown by is what the
 * store says. */
static int grow(void *arg)
{
	enum { SIZE = 48000, OBJECTS = 5000, SMALL = 40000, BATCH = 500 };
	static uint8_t bytes[SIZE];
	static ps_id ids[OBJECTS], id;
	struct ps_base_options o = {.size = sizeof(o), .memory_budget = 256 << 20, .durability = PS_RELAXED};
	struct ps_stats stats;
	ps_storer *s;
	ps_batch *b = NULL;
	size_t len;
	(void)arg;
	uint64_t before = resident();
	OK(ps_base_open(bad_path, &o, &s));
	memset(bytes, 1, SIZE);
	for (int i = 0; i < OBJECTS; i++)
		OK(ps_put(s, bytes, SIZE, &ids[i]));
	for (int i = 0; i < SMALL; i++) {
		if (i % BATCH == 0)
			OK(ps_batch_begin(s, &b));
		OK(ps_batch_put(b, bytes, 1000, &id));
		if (i % BATCH == BATCH - 1)
			OK(ps_batch_commit(b, PS_RELAXED));
	}
	for (int i = 0; i < OBJECTS; i++)
		OK(ps_get(s, ids[i], bytes, SIZE, &len));
	OK(ps_sync(s));
	OK(ps_stats(s, &stats));
	uint64_t grown = resident() - before;
	print_message("resident set grew by %llu MiB, the store says %llu of %llu MiB\n",
	              (unsigned long long)grown >> 20, (unsigned long long)stats.memory_used >> 20,
	              (unsigned long long)stats.memory_budget >> 20);
	assert_true(stats.memory_used > stats.memory_budget / 10 * 8);
	assert_true(stats.memory_used <= stats.memory_budget);
	assert_true(grown <= stats.memory_used / 10 * 11 && grown >= stats.memory_used / 10 * 9);
	OK(ps_close(s));
	return 0;
}

static void the_process_has_what_the_store_says(void **state)
{
	(void)state;
	if (!COUNTED) {
		print_message("the_process_has_what_the_store_says: SKIPPED under sanitizers\n");
		skip();
	}
	assert_int_equal(bad_in_child(grow, NULL), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bad_setup, bad_teardown)
	const struct CMUnitTest tests[] = {
	    TEST(the_budget_is_kept_under_load),
	    TEST(views_beyond_the_budget_are_refused),
	    TEST(the_process_has_what_the_store_says),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
