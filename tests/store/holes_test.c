/* Free frames of slabs go back to the file system, and have space behind them again before they are written:
 * a disk that knows what has space behind it looks at every write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <padstone/multi_store.h>

#include "store/base_internal.h"
#include "tests/store/hole_disk.h"
#include "tests/support/disk_store.h"

enum { M = 1 << 20, MOST = 512, LOADED = 8000, MORE = 4000, N = LOADED + MORE, LEAST = 16 << 10 };

struct world {
	struct hole_disk disk;
	ps_storer *s;
	struct store *base;
	ps_id ids[N];
	bool live[N];
};

#define OK(call) assert_int_equal((call), PS_OK)

static size_t size_of(unsigned i)
{
	return 64 + i * 7919 % 449;
}

static const uint8_t *contents(unsigned i)
{
	static uint8_t bytes[MOST];
	for (size_t k = 0; k < size_of(i); k++)
		bytes[k] = (uint8_t)(i * 37 + k * 11 + (i >> 8));
	return bytes;
}

static void open_world(struct world *w)
{
	const struct ps_base_options options = disk_store_options();
	ps_storer *base;
	struct ps_io *io = hole_disk_io(&w->disk);
	OK(ps_base_open_io(io, sim_disk_size(w->disk.under) == 0, &options, &base));
	w->base = store_of(base);
	OK(ps_multi_open(base, NULL, &w->s));
}

static void put_batch(struct world *w, unsigned from, unsigned to)
{
	ps_batch *b;
	OK(ps_batch_begin(w->s, &b));
	for (unsigned i = from; i < to; i++)
		OK(ps_batch_put(b, contents(i), size_of(i), &w->ids[i]));
	OK(ps_batch_commit(b, PS_DURABLE));
	for (unsigned i = from; i < to; i++)
		w->live[i] = true;
}

static void put_each(struct world *w, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		OK(ps_put(w->s, contents(i), size_of(i), &w->ids[i]));
		w->live[i] = true;
	}
}

/* Half in large batches, half in small ones; a sync; so that much was written and slabs are partly filled. */
static void load(struct world *w)
{
	put_batch(w, 0, LOADED / 2);
	for (unsigned i = LOADED / 2; i < LOADED; i += 50)
		put_batch(w, i, i + 50);
	OK(ps_sync(w->s));
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	if (!w)
		abort();
	hole_disk_init(&w->disk);
	open_world(w);
	load(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	OK(ps_close(w->s));
	assert_int_equal(w->disk.unbacked, 0);
	hole_disk_done(&w->disk);
	free(w);
	return 0;
}

static void expect_all(struct world *w)
{
	uint8_t read[MOST];
	size_t len;
	for (unsigned i = 0; i < N; i++) {
		if (!w->live[i])
			continue;
		OK(ps_get(w->s, w->ids[i], read, sizeof(read), &len));
		assert_int_equal(len, size_of(i));
		assert_memory_equal(read, contents(i), len);
	}
	OK(ps_check(w->s, PS_CHECK_FULL, NULL, NULL));
	assert_int_equal(w->base->uncommitted_bytes, 0);
	assert_int_equal(w->disk.unbacked, 0);
}

/* Bytes of free frames of slabs, in pieces worth giving back; *backed: pages of them with space behind them.
 */
static uint64_t free_frames(struct world *w, uint64_t *backed)
{
	struct ps_extent frames = {0};
	uint64_t bytes = 0;
	*backed = 0;
	while (ps_omni_find_frames(w->base->space.slots, frames.offset + frames.len, LEAST, &frames)) {
		bytes += frames.len;
		*backed += hole_disk_backed(&w->disk, frames.offset, frames.len);
	}
	return bytes;
}

static void free_frames_of_slabs_go_back_at_a_sync(void **state)
{
	struct world *w = *state;
	uint64_t backed, bytes = free_frames(w, &backed);
	assert_true(bytes > 10 * LEAST);
	assert_int_equal(backed, 0);
	expect_all(w);
}

static void there_is_space_again_before_a_frame_is_written(void **state)
{
	struct world *w = *state;
	uint64_t backed, before = free_frames(w, &backed), pages = w->disk.pages;
	put_each(w, LOADED, LOADED + 1000);
	put_batch(w, LOADED + 1000, N);
	assert_true(free_frames(w, &backed) < before || w->disk.pages > pages);
	OK(ps_sync(w->s));
	expect_all(w);
	OK(ps_compact(w->s, 0, NULL, NULL));
	(void)free_frames(w, &backed);
	assert_int_equal(backed, 0);
	expect_all(w);
}

static void runs_have_space_behind_them_too(void **state)
{
	struct world *w = *state;
	ps_id run[200];
	OK(ps_alloc_run(w->s, 100, 200, run));
	for (unsigned i = 0; i < 200; i++)
		OK(ps_replace(w->s, run[i], contents(1), 100));
	OK(ps_sync(w->s));
	expect_all(w);
}

/* What has holes does not say where: the next open takes all that is free for one. */
static void holes_are_known_after_a_clean_close(void **state)
{
	struct world *w = *state;
	OK(ps_close(w->s));
	open_world(w);
	put_each(w, LOADED, N);
	OK(ps_sync(w->s));
	expect_all(w);
}

static void holes_are_known_after_a_crash(void **state)
{
	struct world *w = *state, *after = calloc(1, sizeof(*after));
	assert_non_null(after);
	put_each(w, LOADED, LOADED + 100);
	*after = *w;
	hole_disk_copy(&after->disk, &w->disk);
	open_world(after);
	put_each(after, LOADED + 100, N);
	OK(ps_sync(after->s));
	expect_all(after);
	OK(ps_close(after->s));
	assert_int_equal(after->disk.unbacked, 0);
	hole_disk_done(&after->disk);
	free(after);
}

static void a_sync_after_little_was_written_leaves_frames_alone(void **state)
{
	struct world *w = *state;
	uint64_t holes = w->disk.holes, backed;
	for (unsigned i = LOADED; i < LOADED + 300; i += 60) {
		put_batch(w, i, i + 60);
		OK(ps_sync(w->s));
	}
	assert_int_equal(w->disk.holes, holes);
	(void)free_frames(w, &backed);
	assert_true(backed > 0);
	expect_all(w);
}

static void put_meanwhile(void *arg)
{
	struct world *w = arg;
	unsigned next = LOADED;
	while (next < N && w->live[next])
		next++;
	if (next + 40 <= N)
		put_each(w, next, next + 40);
}

/* All sizes are asked for while each of the frames is on its way out. */
static void a_frame_on_its_way_out_is_given_to_nobody(void **state)
{
	struct world *w = *state;
	uint64_t holes = w->disk.holes;
	w->disk.before_punch = put_meanwhile;
	w->disk.arg = w;
	w->base->space.trimmed = 0;
	put_each(w, LOADED, LOADED + 500);
	OK(ps_sync(w->s));
	w->disk.before_punch = NULL;
	assert_true(w->disk.holes > holes + 2);
	expect_all(w);
}

static void a_punch_that_fails_costs_only_space(void **state)
{
	struct world *w = *state;
	put_each(w, LOADED, LOADED + 100);
	w->base->space.trimmed = 0;
	w->disk.fail = true;
	OK(ps_sync(w->s));
	put_each(w, LOADED + 100, LOADED + 200);
	expect_all(w);
	w->disk.fail = false;
	put_batch(w, LOADED + 200, N);
	expect_all(w);
}

/* Nothing is written where a write could fail. What finds no space is refused; deletes go on. */
static void a_full_disk_fails_single_operations(void **state)
{
	struct world *w = *state;
	unsigned refused = 0;
	w->disk.most = w->disk.pages;
	for (unsigned i = LOADED; i < N; i++) {
		int err = ps_put(w->s, contents(i), size_of(i), &w->ids[i]);
		assert_true(err == PS_OK || err == PS_ENOSPC);
		w->live[i] = err == PS_OK;
		refused += err != PS_OK;
	}
	assert_true(refused > 0);
	for (unsigned i = 0; i < LOADED; i += 2) {
		OK(ps_delete(w->s, w->ids[i]));
		w->live[i] = false;
	}
	expect_all(w);
	w->disk.most = 0;
	for (unsigned i = LOADED; i < N; i++) {
		if (!w->live[i])
			put_each(w, i, i + 1);
	}
	expect_all(w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(free_frames_of_slabs_go_back_at_a_sync),
	    TEST(there_is_space_again_before_a_frame_is_written),
	    TEST(runs_have_space_behind_them_too),
	    TEST(holes_are_known_after_a_clean_close),
	    TEST(holes_are_known_after_a_crash),
	    TEST(a_sync_after_little_was_written_leaves_frames_alone),
	    TEST(a_frame_on_its_way_out_is_given_to_nobody),
	    TEST(a_punch_that_fails_costs_only_space),
	    TEST(a_full_disk_fails_single_operations),
	};
	return cmocka_run_group_tests_name("holes", tests, NULL, NULL);
}
