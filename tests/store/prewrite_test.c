/* Runs of free pages that are written ahead of loads: they are nobody's, filled by small batches, and given
 * back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/base_internal.h"
#include "tests/support/disk_store.h"
#include "tests/support/sim_disk.h"

enum { M = 1 << 20, LARGE = 60 << 10, LARGES = 300, SMALL = 64, BATCH = 1000, RUN = 2 * M };

#define OK(call) assert_int_equal((call), PS_OK)

struct world {
	struct sim_disk *disk;
	ps_storer *s;
	ps_id ids[BATCH];
};

static ps_storer *open_disk(struct sim_disk *disk)
{
	const struct ps_base_options options = {
	    .size = sizeof(options), .background = PS_BACKGROUND_NONE, .memory_budget = 64 * M};
	ps_storer *s = NULL;
	OK(ps_base_open_io(sim_disk_io(disk), sim_disk_size(disk) == 0, &options, &s));
	return s;
}

static uint64_t largest_free(const struct world *w)
{
	struct ps_allocator_stats stats;
	struct ps_allocator *root = store_of(w->s)->space.root;
	root->ops->stats(root, &stats);
	return stats.largest_free;
}

/* A store that has grown beyond what does without, just now. */
static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	uint8_t *large = calloc(1, LARGE);
	ps_id id;
	assert_true(w && large);
	w->disk = sim_disk_new(NULL, 0);
	sim_disk_set_tracing(w->disk, false);
	w->s = open_disk(w->disk);
	for (unsigned i = 0; i < LARGES || largest_free(w) < 2 * RUN + M; i++)
		OK(ps_put(w->s, large, LARGE, &id));
	free(large);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	OK(ps_close(w->s));
	sim_disk_free(w->disk);
	free(w);
	return 0;
}

static struct prewritten *runs(const struct world *w)
{
	return &store_of(w->s)->space.prewritten;
}

static void prewrite(const struct world *w)
{
	runs(w)->wanted = true;
	store_prewrite(store_of(w->s));
	assert_false(runs(w)->wanted || runs(w)->writing);
}

static void put_batch(struct world *w)
{
	ps_batch *b;
	OK(ps_batch_begin(w->s, &b));
	for (uint32_t i = 0; i < BATCH; i++) {
		uint8_t bytes[SMALL] = {1};
		memcpy(bytes + 1, &i, sizeof(i));
		OK(ps_batch_put(b, bytes, sizeof(bytes), &w->ids[i]));
	}
	OK(ps_batch_commit(b, PS_DURABLE));
}

static void check_batch(const struct world *w)
{
	for (uint32_t i = 0; i < BATCH; i++) {
		uint8_t bytes[SMALL];
		size_t len;
		OK(ps_get(w->s, w->ids[i], bytes, sizeof(bytes), &len));
		assert_int_equal(len, SMALL);
		assert_memory_equal(bytes + 1, &i, sizeof(i));
	}
	OK(ps_check(w->s, PS_CHECK_FULL, NULL, NULL));
}

static void a_batch_fills_what_was_written_ahead(void **state)
{
	struct world *w = *state;
	prewrite(w);
	struct ps_extent run = runs(w)->run[0];
	assert_int_equal(run.len, RUN);
	assert_int_equal(store_of(w->s)->uncommitted_bytes, RUN);
	OK(ps_check(w->s, PS_CHECK_FULL, NULL, NULL));
	put_batch(w);
	uint64_t taken = run.len - runs(w)->run[0].len;
	assert_in_range(taken, BATCH * SMALL / 2, 2 * BATCH * SMALL);
	assert_int_equal(runs(w)->run[0].offset, run.offset + taken);
	assert_int_equal(store_of(w->s)->uncommitted_bytes, RUN - taken);
	check_batch(w);
}

static void there_are_two_and_the_second_follows(void **state)
{
	struct world *w = *state;
	prewrite(w);
	prewrite(w);
	struct ps_extent second = runs(w)->run[1];
	assert_int_equal(second.len, RUN);
	prewrite(w); /* a third is given back */
	assert_int_equal(store_of(w->s)->uncommitted_bytes, 2 * RUN);
	struct ps_extent got;
	struct space *sp = &store_of(w->s)->space;
	assert_true(prewrite_take(sp, RUN, &got));
	assert_true(prewrite_take(sp, PAGE, &got));
	assert_int_equal(got.offset, second.offset);
	assert_int_equal(runs(w)->run[0].len, RUN - PAGE);
	/* Neither was filled. */
	space_free_now(sp, (struct ps_extent){second.offset, PAGE});
	prewrite_give_back(sp);
	assert_false(prewrite_take(sp, PAGE, &got));
	assert_int_equal(store_of(w->s)->uncommitted_bytes, 0);
}

static void a_sync_gives_them_back(void **state)
{
	struct world *w = *state;
	prewrite(w);
	OK(ps_sync(w->s));
	assert_int_equal(runs(w)->run[0].len, 0);
	assert_int_equal(store_of(w->s)->uncommitted_bytes, 0);
	OK(ps_check(w->s, PS_CHECK_FULL, NULL, NULL));
}

static void zeros_that_cannot_be_written_cost_nothing(void **state)
{
	struct world *w = *state;
	sim_disk_fail(w->disk, 3, EIO, false);
	prewrite(w);
	assert_int_equal(runs(w)->run[0].len, 0);
	assert_int_equal(store_of(w->s)->uncommitted_bytes, 0);
	put_batch(w);
	check_batch(w);
}

static void a_crash_leaves_free_pages(void **state)
{
	struct world *w = *state;
	prewrite(w);
	put_batch(w);
	uint8_t *image = disk_store_crash(w->disk, w->s);
	w->s = open_disk(w->disk);
	check_batch(w);
	put_batch(w);
	check_batch(w);
	OK(ps_close(w->s));
	w->s = open_disk(w->disk);
	check_batch(w);
	OK(ps_close(w->s));
	sim_disk_reset(w->disk, NULL, 0);
	w->s = open_disk(w->disk);
	free(image);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    EACH(a_batch_fills_what_was_written_ahead),
	    EACH(there_are_two_and_the_second_follows),
	    EACH(a_sync_gives_them_back),
	    EACH(zeros_that_cannot_be_written_cost_nothing),
	    EACH(a_crash_leaves_free_pages),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
