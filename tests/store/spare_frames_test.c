/* Memory of frames whose extents were freed: taken over by what comes to lie there, counted all the time,
 * given up when others need it, and never seen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "store/base_internal.h"
#include "tests/support/disk_store.h"

enum { K = 1 << 10, M = 1 << 20, BUDGET = 16 * M };

#define OK(call) assert_int_equal((call), PS_OK)

struct world {
	struct sim_disk *disk;
	ps_storer *s;
	struct pool *pool;
	uint8_t *bytes;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct ps_base_options options = disk_store_options();
	options.memory_budget = BUDGET;
	if (!w)
		return -1;
	w->disk = sim_disk_new(NULL, 0);
	sim_disk_set_tracing(w->disk, false);
	w->bytes = malloc(M);
	OK(ps_base_open_io(sim_disk_io(w->disk), true, &options, &w->s));
	w->pool = &store_of(w->s)->pool;
	*state = w;
	return w->bytes ? 0 : -1;
}

static int teardown(void **state)
{
	struct world *w = *state;
	OK(ps_close(w->s));
	sim_disk_free(w->disk);
	free(w->bytes);
	free(w);
	return 0;
}

static ps_id put(struct world *w, int byte, size_t size)
{
	ps_id id;
	memset(w->bytes, byte, size);
	OK(ps_put(w->s, w->bytes, size, &id));
	return id;
}

/* In memory wherever it was written from. */
static ps_id put_resident(struct world *w, int byte, size_t size)
{
	size_t len;
	ps_id id = put(w, byte, size);
	OK(ps_get(w->s, id, w->bytes, size, &len));
	return id;
}

/* Freed space changes hands when a block behind it is durable. */
static void settle(struct world *w)
{
	ps_id id = put(w, 1, 8);
	OK(ps_delete(w->s, id));
	OK(ps_sync(w->s));
	id = put(w, 1, 8);
	OK(ps_delete(w->s, id));
	OK(ps_sync(w->s));
}

static uint64_t spare_bytes(struct world *w)
{
	return atomic_load(&w->pool->spare.bytes);
}

static uint64_t counted(struct world *w)
{
	return atomic_load(&store_of(w->s)->budget_used);
}

static void what_was_freed_stays_counted_and_is_taken_over(void **state)
{
	struct world *w = *state;
	ps_id id = put_resident(w, 2, M);
	uint64_t before = counted(w);
	assert_int_equal(spare_bytes(w), 0);
	OK(ps_delete(w->s, id));
	settle(w);
	assert_int_equal(spare_bytes(w), M);
	assert_in_range(counted(w), before, before + 16 * PAGE);
	(void)put_resident(w, 3, M);
	assert_int_equal(spare_bytes(w), 0);
	assert_in_range(counted(w), before, before + 16 * PAGE);
	OK(ps_check(w->s, PS_CHECK_FULL, NULL, NULL));
}

static void an_extent_over_part_of_it_takes_that_part(void **state)
{
	struct world *w = *state;
	ps_id id = put_resident(w, 2, 256 * K);
	OK(ps_delete(w->s, id));
	settle(w);
	uint64_t before = counted(w);
	assert_int_equal(spare_bytes(w), 256 * K);
	(void)put_resident(w, 3, 100 * K);
	assert_in_range(spare_bytes(w), 256 * K - 112 * K, 256 * K - 100 * K);
	assert_in_range(counted(w), before, before + 16 * PAGE);
}

/* All that is spare goes before a frame that somebody may read again. */
static void others_get_the_memory_first(void **state)
{
	struct world *w = *state;
	struct store *s = store_of(w->s);
	(void)put_resident(w, 5, 256 * K);
	ps_id id = put_resident(w, 2, M);
	OK(ps_delete(w->s, id));
	settle(w);
	uint64_t frames = atomic_load(&w->pool->frame_bytes),
	         used = counted(w) + atomic_load(&s->memory.used);
	uint64_t need = s->budget - s->budget / 64 - used + M / 2;
	OK(budget_take(s, need));
	assert_in_range(spare_bytes(w), 0, M / 2);
	assert_int_equal(atomic_load(&w->pool->frame_bytes), frames);
	budget_give(s, need);
}

/* 16 MiB in use: an eighth of it may be spare. */
static void it_is_bounded(void **state)
{
	struct world *w = *state;
	ps_id id[6];
	for (int i = 0; i < 6; i++)
		id[i] = put_resident(w, i, M);
	for (int i = 0; i < 6; i++) {
		OK(ps_delete(w->s, id[i]));
		settle(w);
		assert_in_range(spare_bytes(w), 0, BUDGET / 8);
	}
	assert_in_range(spare_bytes(w), BUDGET / 16, BUDGET / 8);
}

/* An idle store holds none. */
static void in_time_it_goes_back(void **state)
{
	struct world *w = *state;
	struct store *s = store_of(w->s);
	ps_id id = put_resident(w, 2, M);
	OK(ps_delete(w->s, id));
	settle(w);
	assert_int_not_equal(staging_watch(s), 0);
	assert_int_equal(spare_bytes(w), M);
	uint64_t before = counted(w);
	(void)staging_watch(s);
	s->staging.used_ms = 0;
	assert_int_equal(staging_watch(s), 0);
	assert_int_equal(spare_bytes(w), 0);
	assert_in_range(before - counted(w), M, 2 * M);
}

static bool has_run(const uint8_t *page, int byte)
{
	uint8_t run[64];
	memset(run, byte, sizeof(run));
	return memmem(page, PAGE, run, sizeof(run)) != NULL;
}

/* Pages of the file that hold the new object's bytes, if none of them holds the old one's. */
static unsigned clean_pages(struct world *w, int new, int old)
{
	uint64_t size = sim_disk_size(w->disk);
	uint8_t *image = malloc(size);
	unsigned pages = 0;
	if (!image)
		return 0;
	sim_disk_image(w->disk, image);
	for (uint64_t at = 0; at < size; at += PAGE) {
		if (!has_run(image + at, new))
			continue;
		assert_false(has_run(image + at, old));
		pages++;
	}
	free(image);
	return pages;
}

/* Until it lands there: what a replace frees is not free at once. */
static bool replace_onto_spare(struct world *w, ps_id id, size_t size)
{
	uint64_t before = 0;
	for (int times = 0; times < 1000 && spare_bytes(w) >= before; times++) {
		before = spare_bytes(w);
		OK(ps_replace(w->s, id, w->bytes, size));
	}
	return spare_bytes(w) < before;
}

/* What was in memory is written from its frames, small things always. */
static void nothing_of_the_past_lies_behind_an_object(void **state)
{
	static const size_t sizes[] = {5 * K + 3, 12 * K + 1, 70 * K + 9, 500};
	struct world *w = *state;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		ps_id other = put_resident(w, sizes[i] < PAGE ? 0x11 : 0xA7, sizes[i]),
		      id = put_resident(w, 0xA7, 256 * K);
		OK(ps_delete(w->s, id));
		settle(w);
		memset(w->bytes, 0x11, sizes[i]);
		assert_true(replace_onto_spare(w, other, sizes[i]));
		OK(checkpoint_run(store_of(w->s)));
		memset(w->bytes, 0x11, sizes[i]);
		assert_int_not_equal(clean_pages(w, 0x11, 0xA7), 0);
		OK(ps_delete(w->s, other));
		settle(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(what_was_freed_stays_counted_and_is_taken_over, setup, teardown),
	    cmocka_unit_test_setup_teardown(an_extent_over_part_of_it_takes_that_part, setup, teardown),
	    cmocka_unit_test_setup_teardown(others_get_the_memory_first, setup, teardown),
	    cmocka_unit_test_setup_teardown(it_is_bounded, setup, teardown),
	    cmocka_unit_test_setup_teardown(in_time_it_goes_back, setup, teardown),
	    cmocka_unit_test_setup_teardown(nothing_of_the_past_lies_behind_an_object, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
