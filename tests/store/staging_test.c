/* Contents that are written outside the log: from buffers, gathered into runs, and never read or given back
 * too early. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/base_internal.h"
#include "tests/store/late_disk.h"
#include "tests/support/disk_store.h"
#include "tests/support/one_thread.h"

enum { K = 1 << 10, M = 1 << 20, LARGEST = 2 * M };

struct world {
	struct sim_disk *disk;
	struct late_disk late;
	ps_storer *s;
	uint8_t *bytes, *read;
};

#define OK(call) assert_int_equal((call), PS_OK)

/* Each seed has its bytes. */
static const uint8_t *contents(struct world *w, unsigned seed, size_t size)
{
	for (size_t i = 0; i < size; i++)
		w->bytes[i] = (uint8_t)(seed * 37 + i * 11 + (i >> 8) * 3);
	return w->bytes;
}

static void expect(struct world *w, ps_id id, unsigned seed, size_t size)
{
	size_t len = 0;
	OK(ps_get(w->s, id, w->read, LARGEST, &len));
	assert_int_equal(len, size);
	assert_memory_equal(w->read, contents(w, seed, size), size);
}

static void expect_sound(struct world *w)
{
	OK(ps_check(w->s, PS_CHECK_FULL, NULL, NULL));
	assert_int_equal(store_of(w->s)->uncommitted_bytes, 0);
}

static void open_world(struct world *w, uint64_t budget)
{
	struct ps_base_options options = disk_store_options();
	options.memory_budget = budget;
	bool created = sim_disk_size(w->disk) == 0;
	late_disk_init(&w->late, sim_disk_io(w->disk));
	OK(ps_base_open_io(&w->late.io, created, &options, &w->s));
}

static void open_again(struct world *w)
{
	OK(ps_close(w->s));
	open_world(w, 64 * M);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	if (!w)
		return -1;
	w->disk = sim_disk_new(NULL, 0);
	w->bytes = malloc(LARGEST);
	w->read = malloc(LARGEST);
	sim_disk_set_tracing(w->disk, false);
	open_world(w, 64 * M);
	*state = w;
	return w->bytes && w->read ? 0 : -1;
}

static int teardown(void **state)
{
	struct world *w = *state;
	OK(ps_close(w->s));
	sim_disk_free(w->disk);
	free(w->bytes);
	free(w->read);
	free(w);
	return 0;
}

static ps_batch *begin(struct world *w)
{
	ps_batch *b = NULL;
	OK(ps_batch_begin(w->s, &b));
	return b;
}

static uint64_t frame_bytes(struct world *w)
{
	return atomic_load(&store_of(w->s)->pool.frame_bytes);
}

static void only_what_was_in_memory_stays_there(void **state)
{
	struct world *w = *state;
	const size_t sizes[] = {50 * K, M + 5};
	for (unsigned i = 0; i < 2; i++) {
		ps_id id;
		open_again(w);
		uint64_t before = frame_bytes(w);
		OK(ps_put(w->s, contents(w, 1, sizes[i]), sizes[i], &id));
		assert_true(frame_bytes(w) - before <= 2 * PAGE);
		OK(ps_replace(w->s, id, contents(w, 2, sizes[i]), sizes[i]));
		assert_true(frame_bytes(w) - before <= 2 * PAGE);
		expect(w, id, 2, sizes[i]);
		assert_true(frame_bytes(w) - before >= sizes[i]);
		OK(ps_replace(w->s, id, contents(w, 3, sizes[i]), sizes[i]));
		uint64_t reads = sim_disk_calls(w->disk);
		expect(w, id, 3, sizes[i]);
		assert_int_equal(sim_disk_calls(w->disk), reads);
	}
	expect_sound(w);
}

static void neighbours_of_a_batch_share_requests(void **state)
{
	enum { N = 500 };
	struct world *w = *state;
	ps_id ids[N];
	ps_batch *b = begin(w);
	uint64_t before = w->late.requests;
	for (unsigned i = 0; i < N; i++)
		OK(ps_batch_put(b, contents(w, i, 4 * K + i), 4 * K + i, &ids[i]));
	OK(ps_batch_commit(b, PS_DURABLE));
	/* 4 MiB of pages in requests of up to 1 MiB, and shorter ones to begin with; checkpoints have some of
	 * their own. */
	assert_in_range(w->late.requests - before, 4, 40);
	for (unsigned i = 0; i < N; i++)
		expect(w, ids[i], i, 4 * K + i);
	expect_sound(w);
	open_again(w);
	for (unsigned i = 0; i < N; i++)
		expect(w, ids[i], i, 4 * K + i);
}

static uint64_t bytes_written(struct world *w)
{
	struct ps_stats stats;
	memset(&stats, 0, sizeof(stats));
	OK(ps_stats(w->s, &stats));
	return stats.bytes_written;
}

/* Also of those that came before the batch was large: none is in the log. */
static void contents_of_a_page_in_a_large_batch_are_written_once(void **state)
{
	enum { N = 100, SIZE = 4 * K, RECORD = 3 * PAGE };
	struct world *w = *state;
	ps_id ids[N];
	for (unsigned i = 0; i < N; i++)
		OK(ps_put(w->s, contents(w, i, SIZE), SIZE, &ids[i]));
	OK(checkpoint_run(store_of(w->s)));
	const struct log *log = &store_of(w->s)->log;
	uint64_t before = bytes_written(w), log_before = log->end;
	ps_batch *b = begin(w);
	for (unsigned i = 0; i < N; i++)
		OK(ps_batch_replace(b, ids[i], contents(w, 1000 + i, SIZE), SIZE));
	OK(ps_batch_commit(b, PS_DURABLE));
	assert_in_range(log->end - log_before, PAGE, RECORD);
	assert_in_range(bytes_written(w) - before, N * SIZE, N * SIZE + RECORD);
	for (unsigned i = 0; i < N; i++)
		expect(w, ids[i], 1000 + i, SIZE);
	expect_sound(w);
	open_again(w);
	for (unsigned i = 0; i < N; i++)
		expect(w, ids[i], 1000 + i, SIZE);
}

static void contents_change_after_they_went_out_of_the_log(void **state)
{
	enum { N = 40, SIZE = 5 * K };
	struct world *w = *state;
	ps_id ids[N];
	size_t len;
	ps_batch *b = begin(w);
	for (unsigned i = 0; i < N; i++)
		OK(ps_batch_put(b, contents(w, i, SIZE), SIZE, &ids[i]));
	OK(ps_batch_write_at(b, ids[0], 0, contents(w, 50, SIZE), SIZE));
	OK(ps_batch_replace(b, ids[1], contents(w, 51, 100), 100));
	OK(ps_batch_delete(b, ids[2]));
	OK(ps_batch_commit(b, PS_DURABLE));
	for (int again = 0; again < 2; again++) {
		expect(w, ids[0], 50, SIZE);
		expect(w, ids[1], 51, 100);
		assert_int_equal(ps_get(w->s, ids[2], w->read, LARGEST, &len), PS_ENOTFOUND);
		for (unsigned i = 3; i < N; i++)
			expect(w, ids[i], i, SIZE);
		expect_sound(w);
		open_again(w);
	}
}

/* The first write of what had come before the batch was large. */
static void contents_that_cannot_leave_the_log_fail_with_the_batch(void **state)
{
	enum { N = 40, SIZE = 4 * K };
	struct world *w = *state;
	ps_id ids[N];
	size_t len;
	ps_batch *b = begin(w);
	w->late.fail = true;
	for (unsigned i = 0; i < N; i++)
		OK(ps_batch_put(b, contents(w, i, SIZE), SIZE, &ids[i]));
	assert_int_equal(ps_batch_commit(b, PS_DURABLE), PS_EIO);
	assert_false(w->late.fail);
	for (unsigned i = 0; i < N; i++)
		assert_int_equal(ps_get(w->s, ids[i], w->read, LARGEST, &len), PS_ENOTFOUND);
	expect_sound(w);
}

/* Replaced, deleted, written over and grown, before the commit. */
static void change_own(struct world *w, ps_batch *b, ps_id *ids)
{
	OK(ps_batch_replace(b, ids[1], contents(w, 100, 60 * K), 60 * K));
	OK(ps_batch_delete(b, ids[2]));
	OK(ps_batch_write_at(b, ids[3], 0, contents(w, 101, 45 * K), 45 * K));
	OK(ps_batch_write_at(b, ids[4], 40 * K, contents(w, 102, 100 * K), 100 * K));
	OK(ps_batch_write_at(b, ids[4], 0, contents(w, 103, 40 * K), 40 * K));
}

static void put_some(struct world *w, ps_batch *b, ps_id ids[8])
{
	for (unsigned i = 0; i < 8; i++)
		OK(ps_batch_put(b, contents(w, i, 40 * K), 40 * K, &ids[i]));
}

static void space_adds_up_beside_an_open_batch(void **state)
{
	struct world *w = *state;
	ps_id ids[8];
	for (int commit = 0; commit < 2; commit++) {
		ps_batch *b = begin(w);
		put_some(w, b, ids);
		OK(ps_check(w->s, PS_CHECK_FULL, NULL, NULL));
		change_own(w, b, ids);
		OK(ps_check(w->s, PS_CHECK_FULL, NULL, NULL));
		if (commit)
			OK(ps_batch_commit(b, PS_DURABLE));
		else
			OK(ps_batch_abort(b));
		expect_sound(w);
	}
	expect(w, ids[0], 0, 40 * K);
	expect(w, ids[1], 100, 60 * K);
	expect(w, ids[3], 101, 45 * K);
	size_t got;
	OK(ps_read_at(w->s, ids[4], 0, w->read, 40 * K, &got));
	assert_memory_equal(w->read, contents(w, 103, 40 * K), 40 * K);
	OK(ps_read_at(w->s, ids[4], 40 * K, w->read, LARGEST, &got));
	assert_int_equal(got, 100 * K);
	assert_memory_equal(w->read, contents(w, 102, 100 * K), 100 * K);
}

static void space_is_given_back_only_when_its_write_has_ended(void **state)
{
	struct world *w = *state;
	ps_id own[8], other[8];
	ps_batch *b = begin(w);
	put_some(w, b, own);
	for (unsigned i = 0; i < 8; i++)
		OK(ps_batch_delete(b, own[i]));
	for (unsigned i = 0; i < 8; i++)
		OK(ps_put(w->s, contents(w, 50 + i, 40 * K), 40 * K, &other[i]));
	OK(ps_batch_commit(b, PS_DURABLE));
	for (unsigned i = 0; i < 8; i++)
		expect(w, other[i], 50 + i, 40 * K);
	expect_sound(w);
}

static void uncommitted_contents_are_read_only_when_they_are_written(void **state)
{
	struct world *w = *state;
	const size_t sizes[] = {5 * K, 50 * K, 100 * K};
	for (unsigned i = 0; i < 3; i++) {
		ps_id first, id;
		ps_batch *b = begin(w);
		OK(ps_batch_put(b, contents(w, 9, LARGEST / 4), LARGEST / 4, &first));
		OK(ps_batch_put(b, contents(w, i, sizes[i]), sizes[i], &id));
		OK(ps_batch_write_at(b, id, 1, "x", 1));
		OK(ps_batch_commit(b, PS_DURABLE));
		size_t got;
		OK(ps_read_at(w->s, id, 0, w->read, LARGEST, &got));
		assert_int_equal(got, sizes[i]);
		contents(w, i, sizes[i]);
		w->bytes[1] = 'x';
		assert_memory_equal(w->read, w->bytes, sizes[i]);
	}
	expect_sound(w);
}

/* The one whose bytes are lost is not the one whose change waited. */
static void failed_write_fails_the_commit_whoever_waited_for_it(void **state)
{
	struct world *w = *state;
	ps_id ids[8], id;
	size_t len;
	ps_batch *b = begin(w);
	put_some(w, b, ids);
	w->late.fail = true;
	OK(ps_batch_delete(b, ids[7]));
	assert_false(w->late.fail);
	assert_int_equal(ps_batch_commit(b, PS_DURABLE), PS_EIO);
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(ps_get(w->s, ids[i], w->read, LARGEST, &len), PS_ENOTFOUND);
	OK(ps_put(w->s, contents(w, 1, 100 * K), 100 * K, &id));
	expect(w, id, 1, 100 * K);
	expect_sound(w);
}

static void full_disk_in_the_middle_of_a_run_fails_one_operation(void **state)
{
	struct world *w = *state;
	static ps_id ids[1000], id;
	for (int commit = 0; commit < 2; commit++) {
		unsigned n = 0;
		int err = PS_OK;
		sim_disk_limit(w->disk, 6 * M);
		ps_batch *b = begin(w);
		for (; n < 1000; n++) {
			size_t size = n % 7 == 0 ? 100 * K : 4 * K + n * 16;
			err = ps_batch_put(b, contents(w, n, size), size, &ids[n]);
			if (err)
				break;
		}
		assert_int_equal(err, PS_ENOSPC);
		assert_in_range(n, 100, 999);
		/* Room for the table's pages. */
		sim_disk_limit(w->disk, 0);
		if (commit)
			OK(ps_batch_commit(b, PS_DURABLE));
		else
			OK(ps_batch_abort(b));
		expect_sound(w);
		for (unsigned i = 0; i < n && commit; i++)
			expect(w, ids[i], i, i % 7 == 0 ? 100 * K : 4 * K + i * 16);
		OK(ps_put(w->s, contents(w, 5, 300 * K), 300 * K, &id));
		expect(w, id, 5, 300 * K);
		OK(ps_delete(w->s, id));
	}
}

/* Its record names every extent: recovery looks at them all, and at each in its place. */
static void batch_counts_after_a_crash_only_if_every_piece_is_there(void **state)
{
	enum { N = 300 };
	struct world *w = *state;
	static ps_id ids[N], older;
	OK(ps_put(w->s, contents(w, 1, 50 * K), 50 * K, &older));
	ps_batch *b = begin(w);
	for (unsigned i = 0; i < N; i++)
		OK(ps_batch_put(b, contents(w, i, 5 * K + i), 5 * K + i, &ids[i]));
	OK(ps_batch_commit(b, PS_DURABLE));
	uint64_t size = sim_disk_size(w->disk);
	uint8_t *image = malloc(size);
	assert_non_null(image);
	sim_disk_image(w->disk, image);
	for (unsigned lost = N - 120; lost <= N; lost += 40) {
		struct entry e;
		size_t len;
		if (lost < N) {
			OK(object_entry(store_of(w->s), ids[lost], &e));
			image[entry_place(&e) + 77] ^= 1;
		}
		(void)!ps_close(w->s);
		sim_disk_reset(w->disk, image, size);
		open_world(w, 64 * M);
		expect(w, older, 1, 50 * K);
		for (unsigned i = 0; i < N && lost == N; i++)
			expect(w, ids[i], i, 5 * K + i);
		if (lost == N)
			break;
		assert_int_equal(ps_get(w->s, ids[0], w->read, LARGEST, &len), PS_ENOTFOUND);
		expect_sound(w);
		image[entry_place(&e) + 77] ^= 1;
		(void)!ps_close(w->s);
		sim_disk_reset(w->disk, image, size);
		open_world(w, 64 * M);
	}
	expect_sound(w);
	/* The disk's image goes with this test. */
	OK(ps_close(w->s));
	sim_disk_reset(w->disk, NULL, 0);
	open_world(w, 64 * M);
	free(image);
}

static void spare_buffers_go_when_memory_is_short_or_nobody_writes(void **state)
{
	struct world *w = *state;
	struct store *s = store_of(w->s);
	ps_id id;
	OK(ps_put(w->s, contents(w, 1, M), M, &id));
	assert_int_not_equal(s->staging.spares, 0);
	assert_int_not_equal(staging_watch(s), 0);
	assert_int_not_equal(s->staging.spares, 0);
	s->staging.used_ms = 0;
	assert_int_equal(staging_watch(s), 0);
	assert_int_equal(s->staging.spares, 0);
	OK(ps_put(w->s, contents(w, 1, M), M, &id));
	assert_int_not_equal(s->staging.spares, 0);
	uint64_t used = atomic_load(&s->budget_used) + atomic_load(&s->memory.used);
	uint64_t all = s->budget - s->budget / 64 - used + 1;
	OK(budget_take(s, all));
	assert_int_equal(s->staging.spares, 0);
	budget_give(s, all);
}

/* ---- several threads, little memory ---- */

enum { LOADERS = 4, BATCHES = 12, PUTS = 60, BUDGET = 4 * M };
struct loader {
	struct world w; /* its buffers, and the store of all */
	unsigned number;
	ps_id ids[BATCHES][PUTS];
};

static size_t size_of(unsigned seed)
{
	static const size_t sizes[] = {100, 4 * K, 5000, 9000, 16 * K, 40 * K, 64 * K, 150 * K};
	return sizes[seed % 8] - seed % 3;
}

static void *load(void *arg)
{
	struct loader *l = arg;
	for (unsigned i = 0; i < BATCHES; i++) {
		ps_batch *b = begin(&l->w);
		for (unsigned k = 0; k < PUTS; k++) {
			unsigned seed = l->number * 1000 + i * PUTS + k;
			OK(ps_batch_put(b, contents(&l->w, seed, size_of(seed)), size_of(seed),
			                &l->ids[i][k]));
		}
		OK(ps_batch_commit(b, i % 3 ? PS_DURABLE : PS_RELAXED));
		for (unsigned k = 0; k < PUTS; k++) {
			unsigned seed = l->number * 1000 + i * PUTS + k;
			expect(&l->w, l->ids[i][k], seed, size_of(seed));
		}
	}
	return NULL;
}

static void loaders_get_by_with_little_memory(void **state)
{
	static struct loader loaders[LOADERS];
	pthread_t threads[LOADERS];
	char path[] = "staging_test_XXXXXX";
	const struct ps_base_options options = {.size = sizeof(options), .memory_budget = BUDGET};
	struct ps_stats stats;
	ps_storer *s;
	(void)state;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	OK(ps_base_open(path, &options, &s));
	for (unsigned i = 0; i < LOADERS; i++) {
		loaders[i] = (struct loader){.w = {.s = s, .bytes = malloc(LARGEST), .read = malloc(LARGEST)},
		                             .number = i};
		assert_int_equal(pthread_create(&threads[i], NULL, load, &loaders[i]), 0);
	}
	for (unsigned i = 0; i < LOADERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	OK(ps_stats(s, &stats));
	assert_true(stats.memory_used <= BUDGET);
	expect_sound(&loaders[0].w);
	OK(ps_close(s));
	for (unsigned i = 0; i < LOADERS; i++) {
		free(loaders[i].w.bytes);
		free(loaders[i].w.read);
	}
	unlink(path);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest alone[] = {
	    TEST(only_what_was_in_memory_stays_there),
	    TEST(neighbours_of_a_batch_share_requests),
	    TEST(contents_of_a_page_in_a_large_batch_are_written_once),
	    TEST(contents_change_after_they_went_out_of_the_log),
	    TEST(contents_that_cannot_leave_the_log_fail_with_the_batch),
	    TEST(space_adds_up_beside_an_open_batch),
	    TEST(space_is_given_back_only_when_its_write_has_ended),
	    TEST(uncommitted_contents_are_read_only_when_they_are_written),
	    TEST(failed_write_fails_the_commit_whoever_waited_for_it),
	    TEST(full_disk_in_the_middle_of_a_run_fails_one_operation),
	    TEST(batch_counts_after_a_crash_only_if_every_piece_is_there),
	    TEST(spare_buffers_go_when_memory_is_short_or_nobody_writes),
	};
	const struct CMUnitTest threads[] = {
	    cmocka_unit_test(loaders_get_by_with_little_memory),
	};
	int failed = one_thread_run(alone, NULL, NULL);
	return failed + threads_run(threads, NULL, NULL);
}
