#include "tests/allocator/suite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SPACE = 1 << 20, GRANULE = 16, PAGE = 4096, LIVE = 600, STEPS = 3000 };

struct fixture {
	struct ps_memory memory;
	struct suite_stack stack;
	struct ps_allocator *a;
	uint8_t used[SPACE / GRANULE]; /* granules of the objects that live */
	struct ps_extent live[LIVE];
	size_t count;
	uint64_t random;
};

static const struct suite_kind *suite_kind;

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	ps_memory_init(&f->memory, NULL);
	assert_int_equal(suite_kind->open(&f->memory, SPACE, &f->stack), PS_OK);
	f->a = f->stack.a;
	f->random = 1;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	(void)ps_memory_fail_nth(0, 0);
	f->stack.a->ops->close(f->stack.a);
	if (f->stack.below)
		f->stack.below->ops->close(f->stack.below);
	assert_int_equal(f->memory.used, 0);
	ps_memory_done(&f->memory);
	free(f);
	return 0;
}

static uint64_t chance(struct fixture *f, uint64_t bound)
{
	uint64_t z = f->random += 0x9E3779B97F4A7C15U;
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
	return (z ^ (z >> 31)) % bound;
}

static uint64_t some_size(struct fixture *f)
{
	return chance(f, 4) > 0 ? 1 + chance(f, 600) : 1 + chance(f, 20000);
}

static struct ps_allocator_stats stats_of(struct fixture *f)
{
	struct ps_allocator_stats stats;
	f->a->ops->stats(f->a, &stats);
	return stats;
}

static void check(struct fixture *f)
{
	int err = f->a->ops->check(f->a);
	if (err != PS_OK)
		fail_msg("%s", ps_last_error_message());
}

/* Into the map, which shows that it overlaps nothing. */
static void take_note(struct fixture *f, struct ps_extent extent)
{
	assert_true(extent.len > 0 && extent.offset % GRANULE == 0 && extent.len % GRANULE == 0);
	assert_true(extent.offset + extent.len <= SPACE);
	for (uint64_t i = extent.offset / GRANULE; i < (extent.offset + extent.len) / GRANULE; i++) {
		assert_false(f->used[i]);
		f->used[i] = 1;
	}
	f->live[f->count++] = extent;
}

static int alloc_one(struct fixture *f, uint64_t size)
{
	struct ps_extent extent = {1, 1};
	int err = f->a->ops->alloc(f->a, size, &extent);
	if (err == PS_OK) {
		assert_true(extent.len >= size);
		assert_int_equal(extent.len, f->a->ops->usable_size(f->a, size));
		assert_true(extent.len < PAGE || extent.len % PAGE || extent.offset % PAGE == 0);
		take_note(f, extent);
	} else {
		assert_true(extent.offset == 1 && extent.len == 1);
	}
	return err;
}

static int free_one(struct fixture *f, size_t which)
{
	struct ps_extent extent = f->live[which], merged = {0, 0};
	int err = f->a->ops->free(f->a, extent, &merged);
	if (err != PS_OK)
		return err;
	assert_true(merged.offset <= extent.offset &&
	            merged.offset + merged.len >= extent.offset + extent.len);
	memset(f->used + extent.offset / GRANULE, 0, extent.len / GRANULE);
	f->live[which] = f->live[--f->count];
	return PS_OK;
}

static void free_all(struct fixture *f)
{
	while (f->count > 0)
		assert_int_equal(free_one(f, chance(f, f->count)), PS_OK);
}

static void churn(struct fixture *f, unsigned steps)
{
	for (unsigned i = 0; i < steps; i++) {
		if (f->count < LIVE && (f->count == 0 || chance(f, 5) < 3)) {
			int err = alloc_one(f, some_size(f));
			assert_true(err == PS_OK || err == PS_ENOSPC);
		} else {
			assert_int_equal(free_one(f, chance(f, f->count)), PS_OK);
		}
		if (i % 16 == 0)
			check(f);
	}
	check(f);
}

/* ---- tests ---- */

static void nothing_overlaps_and_all_is_found_again(void **state)
{
	struct fixture *f = *state;
	churn(f, STEPS);
	for (size_t i = 0; i < f->count; i++)
		assert_true(f->a->ops->is_used(f->a, f->live[i]));
	free_all(f);
	check(f);
	/* A class may keep a slab open: what it has no slot for is the only loss. */
	struct ps_allocator_stats stats = stats_of(f);
	assert_int_equal(stats.space, SPACE);
	assert_true(stats.free > SPACE - SPACE / 16);
}

struct walked {
	struct fixture *f;
	uint64_t end, free, extents, largest;
};

static int note_free(void *arg, struct ps_extent extent)
{
	struct walked *w = arg;
	assert_true(extent.len > 0 && extent.offset >= w->end);
	for (uint64_t i = extent.offset / GRANULE; i < (extent.offset + extent.len) / GRANULE; i++)
		assert_false(w->f->used[i]);
	assert_false(w->f->a->ops->is_used(w->f->a, extent));
	w->end = extent.offset + extent.len;
	w->free += extent.len;
	w->extents++;
	w->largest = extent.len > w->largest ? extent.len : w->largest;
	return 0;
}

static void the_walk_shows_what_the_figures_say(void **state)
{
	struct fixture *f = *state;
	for (unsigned round = 0; round < 20; round++) {
		struct walked w = {f, 0, 0, 0, 0};
		churn(f, 150);
		assert_int_equal(f->a->ops->walk(f->a, note_free, &w), 0);
		struct ps_allocator_stats stats = stats_of(f);
		assert_int_equal(stats.free, w.free);
		assert_int_equal(stats.free_extents, w.extents);
		assert_int_equal(stats.largest_free, w.largest);
	}
}

static int stop_at_third(void *arg, struct ps_extent extent)
{
	unsigned *seen = arg;
	(void)extent;
	return ++*seen == 3 ? 77 : 0;
}

static void a_walk_ends_where_the_callback_says(void **state)
{
	struct fixture *f = *state;
	unsigned seen = 0;
	churn(f, 500);
	assert_true(stats_of(f).free_extents > 3);
	assert_int_equal(f->a->ops->walk(f->a, stop_at_third, &seen), 77);
	assert_int_equal(seen, 3);
}

static void what_is_not_an_object_is_not_freed(void **state)
{
	struct fixture *f = *state;
	churn(f, 400);
	struct ps_allocator_stats before = stats_of(f);
	while (f->count > 100)
		assert_int_equal(free_one(f, 0), PS_OK);
	before = stats_of(f);
	struct ps_extent outside = {SPACE, PAGE}, across = {SPACE - PAGE, 2 * PAGE},
	                 far = {UINT64_MAX - 4095, PAGE}, empty = {0, 0},
	                 odd = {f->live[0].offset + 8, f->live[0].len};
	const struct ps_extent bad[] = {outside, across, far, empty, odd};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(f->a->ops->free(f->a, bad[i], NULL), PS_ECORRUPT);
	assert_int_equal(f->a->ops->free(f->a, (struct ps_extent){0, SPACE}, NULL), PS_ECORRUPT);
	struct ps_extent gone = f->live[5];
	assert_int_equal(free_one(f, 5), PS_OK);
	assert_int_equal(f->a->ops->free(f->a, gone, NULL), PS_ECORRUPT);
	assert_true(stats_of(f).free >= before.free + gone.len);
	check(f);
}

static void an_object_is_marked_once(void **state)
{
	struct fixture *f = *state;
	churn(f, 300);
	for (size_t i = 0; i < f->count; i++)
		assert_int_equal(f->a->ops->mark(f->a, f->live[i]), PS_ECORRUPT);
	assert_int_equal(f->a->ops->mark(f->a, (struct ps_extent){SPACE, PAGE}), PS_ECORRUPT);
	assert_int_equal(f->a->ops->mark(f->a, (struct ps_extent){0, SPACE}), PS_ECORRUPT);
	assert_int_equal(f->a->ops->mark(f->a, (struct ps_extent){0, 0}), PS_ECORRUPT);
	/* One that is free again can be marked; two others share its slab, so that it stays. */
	assert_int_equal(alloc_one(f, 100), PS_OK);
	assert_int_equal(alloc_one(f, 100), PS_OK);
	struct ps_extent extent = f->live[f->count - 1];
	assert_int_equal(free_one(f, f->count - 1), PS_OK);
	assert_int_equal(f->a->ops->mark(f->a, extent), PS_OK);
	take_note(f, extent);
	check(f);
	free_all(f);
}

static void a_run_is_one_extent_of_pieces(void **state)
{
	struct fixture *f = *state;
	struct ps_extent run;
	const uint64_t sizes[] = {16, 64, 256, 1024, 4096};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint64_t piece = f->a->ops->usable_size(f->a, sizes[i]);
		int err = f->a->ops->alloc_run(f->a, sizes[i], 3, &run);
		if (err == PS_EINVAL)
			continue; /* would not lie end to end */
		assert_int_equal(err, PS_OK);
		assert_int_equal(run.len, 3 * piece);
		take_note(f, run);
		f->count--;
		for (uint64_t j = 0; j < 3; j++)
			f->live[f->count++] = (struct ps_extent){run.offset + j * piece, piece};
	}
	assert_true(f->count > 0);
	assert_int_equal(f->a->ops->alloc_run(f->a, 100, 0, &run), PS_EINVAL);
	check(f);
	free_all(f); /* piece by piece, in another order */
	assert_int_equal(f->a->ops->alloc_run(f->a, 64, 2, &run), PS_OK);
	assert_int_equal(f->a->ops->free(f->a, run, NULL), PS_OK);
	assert_int_equal(f->a->ops->free(f->a, run, NULL), PS_ECORRUPT);
	check(f);
}

static void aligned_space_lies_where_it_should(void **state)
{
	struct fixture *f = *state;
	struct ps_extent extent = {0, 0};
	churn(f, 200);
	for (uint64_t align = PAGE; align <= 65536; align *= 2) {
		assert_int_equal(f->a->ops->alloc_aligned(f->a, 2 * PAGE, align, 0, &extent), PS_OK);
		assert_int_equal(extent.offset % align, 0);
		assert_int_equal(extent.len, 2 * PAGE);
		take_note(f, extent);
		if (f->a->ops->alloc_aligned(f->a, PAGE, align, SPACE / 2, &extent) == PS_OK) {
			assert_true(extent.offset % align == 0 && extent.offset + extent.len <= SPACE / 2);
			take_note(f, extent);
		}
	}
	assert_int_equal(f->a->ops->alloc_aligned(f->a, PAGE, 3 * PAGE, 0, &extent), PS_EINVAL);
	assert_int_equal(f->a->ops->alloc_aligned(f->a, PAGE, 2048, 0, &extent), PS_EINVAL);
	assert_int_equal(f->a->ops->alloc_aligned(f->a, 100, PAGE, 0, &extent), PS_EINVAL);
	assert_int_equal(f->a->ops->alloc_aligned(f->a, 2 * SPACE, PAGE, 0, &extent), PS_ENOSPC);
	check(f);
	free_all(f);
}

static void a_full_space_says_so_and_goes_on(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(f->a->ops->alloc(f->a, 0, &(struct ps_extent){0, 0}), PS_EINVAL);
	while (f->count < LIVE && alloc_one(f, 4 * PAGE) == PS_OK)
		;
	assert_true(f->count >= SPACE / (4 * PAGE) / 2 && f->count < LIVE);
	assert_int_equal(alloc_one(f, 4 * PAGE), PS_ENOSPC);
	assert_int_equal(alloc_one(f, (uint64_t)1 << 40), PS_ENOSPC);
	assert_int_equal(alloc_one(f, UINT64_MAX), PS_ENOSPC);
	assert_int_equal(free_one(f, f->count / 2), PS_OK);
	assert_int_equal(alloc_one(f, 4 * PAGE), PS_OK);
	check(f);
}

/* The same calls lead to the same places. */
static void it_does_the_same_again(void **state)
{
	struct fixture *f = *state, *other;
	void *again = NULL;
	assert_int_equal(setup(&again), 0);
	other = again;
	churn(f, STEPS);
	churn(other, STEPS);
	assert_int_equal(f->count, other->count);
	assert_memory_equal(f->live, other->live, f->count * sizeof(f->live[0]));
	assert_int_equal(teardown(&again), 0);
}

/* Without memory a call fails and changes nothing. */
static void no_allocation_of_memory_is_needed_to_stay_sound(void **state)
{
	struct fixture *f = *state;
	unsigned failed = 0;
	for (unsigned i = 0; i < STEPS; i++) {
		struct ps_allocator_stats before = stats_of(f);
		(void)ps_memory_fail_nth(1 + i % 3, i % 2);
		int err = f->count < LIVE && (f->count == 0 || chance(f, 5) < 3)
		              ? alloc_one(f, some_size(f))
		              : free_one(f, chance(f, f->count));
		(void)ps_memory_fail_nth(0, 0);
		assert_true(err == PS_OK || err == PS_ENOSPC || err == PS_ENOMEM);
		if (err == PS_OK)
			continue;
		struct ps_allocator_stats after = stats_of(f);
		assert_true(after.free == before.free && after.free_extents == before.free_extents);
		failed += err == PS_ENOMEM;
		check(f);
	}
	assert_true(failed > 0);
	free_all(f);
	check(f);
}

static void its_memory_is_counted(void **state)
{
	struct fixture *f = *state;
	churn(f, 1000);
	assert_int_equal(stats_of(f).memory, f->memory.used);
}

int suite_run(const struct suite_kind *kind)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(nothing_overlaps_and_all_is_found_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(the_walk_shows_what_the_figures_say, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_walk_ends_where_the_callback_says, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_is_not_an_object_is_not_freed, setup, teardown),
	    cmocka_unit_test_setup_teardown(an_object_is_marked_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_run_is_one_extent_of_pieces, setup, teardown),
	    cmocka_unit_test_setup_teardown(aligned_space_lies_where_it_should, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_full_space_says_so_and_goes_on, setup, teardown),
	    cmocka_unit_test_setup_teardown(it_does_the_same_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(no_allocation_of_memory_is_needed_to_stay_sound, setup, teardown),
	    cmocka_unit_test_setup_teardown(its_memory_is_counted, setup, teardown),
	};
	suite_kind = kind;
	print_message("---- %s ----\n", kind->name);
	return cmocka_run_group_tests_name(kind->name, tests, NULL, NULL);
}
