#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "allocator/root.h"
#include "base/fail.h"

enum { PAGE = PS_ROOT_PAGE, SPACE = 64 * PAGE };

static struct ps_memory memory;
static struct ps_allocator *a;

static int set_up(void **state)
{
	(void)state;
	ps_memory_init(&memory, NULL);
	return ps_root_open(&memory, &a) != PS_OK || ps_root_grow(a, SPACE) != PS_OK;
}

static int tear_down(void **state)
{
	(void)state;
	(void)ps_memory_fail_nth(0, 0);
	int damaged = a->ops->check(a) != PS_OK;
	a->ops->close(a);
	size_t used = memory.used;
	ps_memory_done(&memory);
	return damaged || used != 0;
}

static struct ps_extent alloc_ok(uint64_t size)
{
	struct ps_extent extent;
	assert_int_equal(a->ops->alloc(a, size, &extent), PS_OK);
	return extent;
}

static void free_ok(uint64_t offset, uint64_t len)
{
	assert_int_equal(a->ops->free(a, (struct ps_extent){offset, len}, NULL), PS_OK);
}

static void expect_extent(struct ps_extent extent, uint64_t offset, uint64_t len)
{
	assert_int_equal(extent.offset, offset);
	assert_int_equal(extent.len, len);
}

static struct ps_allocator_stats stats(void)
{
	struct ps_allocator_stats s;
	a->ops->stats(a, &s);
	return s;
}

/* All in use but the given extents. */
static void only_free(const struct ps_extent *extents, size_t n)
{
	a->ops->close(a);
	assert_int_equal(ps_root_open(&memory, &a), PS_OK);
	assert_int_equal(ps_root_load(a, SPACE, extents, n), PS_OK);
}

static void sizes_are_rounded_to_granules_and_pages(void **state)
{
	const uint64_t sizes[][2] = {{1, 16},      {16, 16},     {17, 32},         {4080, 4080},
	                             {4081, PAGE}, {PAGE, PAGE}, {4097, 2 * PAGE}, {9000, 3 * PAGE}};
	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		assert_int_equal(a->ops->usable_size(a, sizes[i][0]), sizes[i][1]);
		assert_int_equal(alloc_ok(sizes[i][0]).len, sizes[i][1]);
	}
}

static void pages_begin_on_a_page_and_what_is_in_front_stays_free(void **state)
{
	(void)state;
	expect_extent(alloc_ok(48), 0, 48);
	expect_extent(alloc_ok(5000), PAGE, 2 * PAGE);
	assert_int_equal(stats().free_extents, 2);
	expect_extent(alloc_ok(PAGE - 48), 48, PAGE - 48);
	assert_int_equal(stats().free_extents, 1);
}

static void a_small_extent_lies_in_one_page(void **state)
{
	const struct ps_extent straddling[] = {{PAGE - 64, 160}};
	(void)state;
	only_free(straddling, 1);
	expect_extent(alloc_ok(80), PAGE, 80);
	expect_extent(alloc_ok(64), PAGE - 64, 64);
}

static void the_shortest_extent_that_holds_it_is_taken(void **state)
{
	const struct ps_extent list[] = {{0, 512}, {PAGE, 128}, {2 * PAGE, 256}, {3 * PAGE, 128}};
	(void)state;
	only_free(list, 4);
	expect_extent(alloc_ok(100), PAGE, 112);
	expect_extent(alloc_ok(128), 3 * PAGE, 128);
	expect_extent(alloc_ok(200), 2 * PAGE, 208);
}

/* Extents of nearly two pages that hold no aligned page pair, and one behind them that holds it wherever it
 * begins. */
static void some_misaligned_extents_do_not_hide_one_that_fits(void **state)
{
	struct ps_extent list[21], extent;
	(void)state;
	for (size_t i = 0; i < 20; i++)
		list[i] = (struct ps_extent){i * 2 * PAGE + 16, PAGE + 32};
	list[20] = (struct ps_extent){60 * PAGE + 64, 2 * PAGE - 64};
	only_free(list, 21);
	expect_extent(alloc_ok(PAGE), 61 * PAGE, PAGE);
	assert_int_equal(a->ops->alloc(a, PAGE, &extent), PS_ENOSPC);
}

static void the_search_is_bounded_and_goes_on_where_it_surely_fits(void **state)
{
	struct ps_extent list[256], extent;
	size_t n = 0;
	(void)state;
	/* 40 extents of 144 bytes across page ends, none of which holds 96 in one page; two of 160 that do;
	 * one of 176. */
	for (; n < 40; n++)
		list[n] = (struct ps_extent){(n + 1) * PAGE - 64, 128 + 16};
	list[n++] = (struct ps_extent){50 * PAGE, 160};
	list[n++] = (struct ps_extent){51 * PAGE, 176};
	only_free(list, n);
	expect_extent(alloc_ok(96), 51 * PAGE, 96);
	only_free(list, n - 1);
	assert_int_equal(a->ops->alloc(a, 96, &extent), PS_ENOSPC);
	expect_extent(alloc_ok(80), PAGE, 80);
}

static void a_free_joins_both_neighbours_at_once(void **state)
{
	struct ps_extent x = alloc_ok(PAGE), y = alloc_ok(PAGE), z = alloc_ok(PAGE), merged;
	(void)state;
	assert_int_equal(alloc_ok(PAGE).offset, 3 * PAGE);
	assert_int_equal(a->ops->free(a, x, &merged), PS_OK);
	expect_extent(merged, 0, PAGE);
	assert_int_equal(a->ops->free(a, z, &merged), PS_OK);
	expect_extent(merged, 2 * PAGE, PAGE);
	assert_int_equal(a->ops->free(a, y, &merged), PS_OK);
	expect_extent(merged, 0, 3 * PAGE);
	assert_int_equal(stats().free_extents, 2);
}

static void parts_of_an_allocation_can_be_freed(void **state)
{
	struct ps_extent x = alloc_ok(8 * PAGE);
	(void)state;
	free_ok(x.offset + 3 * PAGE, PAGE);
	free_ok(x.offset + 16, 32);
	assert_int_equal(stats().free, SPACE - 7 * PAGE + 32);
	free_ok(x.offset, 16);
	free_ok(x.offset + 48, 3 * PAGE - 48);
	free_ok(x.offset + 4 * PAGE, 4 * PAGE);
	assert_int_equal(stats().free, SPACE);
	assert_int_equal(stats().free_extents, 1);
}

static void refuse_free(uint64_t offset, uint64_t len)
{
	struct ps_extent merged = {7, 7};
	struct ps_allocator_stats before = stats();
	assert_int_equal(a->ops->free(a, (struct ps_extent){offset, len}, &merged), PS_ECORRUPT);
	expect_extent(merged, 7, 7);
	assert_int_equal(stats().free, before.free);
	assert_int_equal(stats().free_extents, before.free_extents);
	assert_int_equal(a->ops->check(a), PS_OK);
}

static void a_wrong_free_is_refused_and_changes_nothing(void **state)
{
	const struct ps_extent list[] = {{PAGE, PAGE}};
	(void)state;
	only_free(list, 1);
	refuse_free(PAGE, PAGE);          /* twice */
	refuse_free(0, PAGE + 16);        /* its end */
	refuse_free(2 * PAGE - 16, PAGE); /* its beginning */
	refuse_free(0, 4 * PAGE);         /* its middle */
	refuse_free(PAGE + 16, 16);       /* inside a free extent */
	refuse_free(SPACE - 16, 32);      /* outside */
	refuse_free(SPACE, 16);
	refuse_free(UINT64_MAX - 15, 16);
	refuse_free(SPACE - 16, UINT64_MAX - 15);
	refuse_free(8, 16); /* no granules */
	refuse_free(0, 8);
	refuse_free(0, 0);
}

static void mark_takes_exactly_what_is_free(void **state)
{
	(void)state;
	assert_int_equal(a->ops->mark(a, (struct ps_extent){PAGE, PAGE}), PS_OK);
	assert_int_equal(a->ops->mark(a, (struct ps_extent){2 * PAGE - 16, 32}), PS_ECORRUPT);
	assert_int_equal(a->ops->mark(a, (struct ps_extent){PAGE - 16, 32}), PS_ECORRUPT);
	assert_int_equal(a->ops->mark(a, (struct ps_extent){0, 3 * PAGE}), PS_ECORRUPT);
	assert_int_equal(a->ops->mark(a, (struct ps_extent){SPACE - PAGE, 2 * PAGE}), PS_ECORRUPT);
	assert_int_equal(stats().free, SPACE - PAGE);
	assert_int_equal(a->ops->mark(a, (struct ps_extent){0, PAGE}), PS_OK);
	assert_int_equal(a->ops->mark(a, (struct ps_extent){2 * PAGE, SPACE - 2 * PAGE}), PS_OK);
	assert_int_equal(stats().free_extents, 0);
}

static void a_run_is_one_extent_whose_small_pieces_lie_in_pages(void **state)
{
	struct ps_extent extent;
	(void)state;
	assert_int_equal(a->ops->alloc_run(a, 5000, 3, &extent), PS_OK);
	expect_extent(extent, 0, 6 * PAGE);
	(void)alloc_ok(16);
	assert_int_equal(a->ops->alloc_run(a, 500, 100, &extent), PS_OK);
	expect_extent(extent, 6 * PAGE + 512, 100 * 512);
	assert_int_equal(a->ops->alloc_run(a, 100, 20, &extent), PS_OK);
	assert_true(extent.offset % PAGE + 20 * 112 <= PAGE);
	assert_int_equal(a->ops->alloc_run(a, 100, 40, &extent), PS_EINVAL);
	assert_int_equal(a->ops->alloc_run(a, 100, 0, &extent), PS_EINVAL);
	assert_int_equal(a->ops->alloc_run(a, 0, 1, &extent), PS_EINVAL);
	assert_int_equal(a->ops->alloc_run(a, 64, SIZE_MAX, &extent), PS_ENOSPC);
}

static void impossible_sizes_are_refused(void **state)
{
	struct ps_extent extent = {7, 7};
	(void)state;
	assert_int_equal(a->ops->alloc(a, 0, &extent), PS_EINVAL);
	assert_int_equal(a->ops->alloc(a, SPACE + 1, &extent), PS_ENOSPC);
	assert_int_equal(a->ops->alloc(a, UINT64_MAX, &extent), PS_ENOSPC);
	expect_extent(extent, 7, 7);
}

static void grow_and_shrink_move_the_end(void **state)
{
	uint64_t space;
	(void)state;
	(void)alloc_ok(100);
	assert_int_equal(ps_root_shrink(a, 10 * PAGE, &space), PS_OK);
	assert_int_equal(space, 10 * PAGE);
	assert_int_equal(ps_root_shrink(a, 0, &space), PS_OK);
	assert_int_equal(space, PAGE);
	assert_int_equal(stats().free, PAGE - 112);
	assert_int_equal(ps_root_grow(a, 2 * PAGE), PS_OK);
	assert_int_equal(stats().free_extents, 1);
	assert_int_equal(ps_root_grow(a, PAGE), PS_EINVAL);
	assert_int_equal(ps_root_grow(a, 2 * PAGE + 16), PS_EINVAL);
	free_ok(0, 112);
	assert_int_equal(ps_root_shrink(a, 0, &space), PS_OK);
	assert_int_equal(space, 0);
}

static void alloc_below_takes_the_lowest_place(void **state)
{
	const struct ps_extent list[] = {{512, 512}, {PAGE + 16, 2 * PAGE}, {8 * PAGE, PAGE}};
	struct ps_extent extent;
	(void)state;
	only_free(list, 3);
	assert_int_equal(ps_root_alloc_below(a, 64, SPACE, &extent), PS_OK);
	expect_extent(extent, 512, 64);
	assert_int_equal(ps_root_alloc_below(a, PAGE, 3 * PAGE - 16, &extent), PS_ENOSPC);
	assert_int_equal(ps_root_alloc_below(a, PAGE, 3 * PAGE, &extent), PS_OK);
	expect_extent(extent, 2 * PAGE, PAGE);
	assert_int_equal(ps_root_alloc_below(a, PAGE, 8 * PAGE, &extent), PS_ENOSPC);
	assert_int_equal(ps_root_alloc_below(a, UINT64_MAX, SPACE, &extent), PS_ENOSPC);
}

/* Wherever the search of its length, or of others, has come to. */
static void what_is_freed_is_the_lowest_place_again(void **state)
{
	const struct ps_extent list[] = {{512, 256}, {PAGE + 16, 1024}, {4 * PAGE, 2 * PAGE}};
	struct ps_extent extent;
	(void)state;
	only_free(list, 3);
	assert_int_equal(ps_root_alloc_below(a, PAGE, SPACE, &extent), PS_OK);
	expect_extent(extent, 4 * PAGE, PAGE);
	assert_int_equal(ps_root_alloc_below(a, 1024, SPACE, &extent), PS_OK);
	expect_extent(extent, PAGE + 16, 1024);
	assert_int_equal(ps_root_alloc_below(a, 512, 2 * PAGE, &extent), PS_ENOSPC);
	free_ok(768, 256);
	assert_int_equal(ps_root_alloc_below(a, 512, SPACE, &extent), PS_OK);
	expect_extent(extent, 512, 512);
	free_ok(2 * PAGE, PAGE);
	assert_int_equal(ps_root_alloc_below(a, PAGE, SPACE, &extent), PS_OK);
	expect_extent(extent, 2 * PAGE, PAGE);
}

/* More extents of the length than are looked into, each of them a page off: one that surely holds it is
 * found. */
static void aligned_space_is_found_behind_misaligned_extents(void **state)
{
	enum { LEN = 4 * PAGE, COUNT = 50, STRIDE = 2 * LEN };
	struct ps_extent list[COUNT + 1], extent;
	(void)state;
	for (uint64_t i = 0; i < COUNT; i++)
		list[i] = (struct ps_extent){i * STRIDE + PAGE, LEN};
	list[COUNT] = (struct ps_extent){COUNT * STRIDE + PAGE, 2 * LEN};
	a->ops->close(a);
	assert_int_equal(ps_root_open(&memory, &a), PS_OK);
	assert_int_equal(ps_root_load(a, (COUNT + 2) * STRIDE, list, COUNT + 1), PS_OK);
	assert_int_equal(a->ops->alloc_aligned(a, LEN, LEN, 0, &extent), PS_OK);
	expect_extent(extent, COUNT * STRIDE + LEN, LEN);
	assert_int_equal(a->ops->alloc_aligned(a, LEN, LEN, 0, &extent), PS_ENOSPC);
	assert_int_equal(a->ops->alloc_aligned(a, LEN, PAGE, 3 * PAGE, &extent), PS_ENOSPC);
	assert_int_equal(a->ops->alloc_aligned(a, LEN, PAGE, PAGE + LEN, &extent), PS_OK);
	expect_extent(extent, PAGE, LEN);
}

static void find_gives_the_extent_at_or_above(void **state)
{
	const struct ps_extent list[] = {{512, 512}, {8 * PAGE, PAGE}};
	struct ps_extent extent;
	(void)state;
	only_free(list, 2);
	assert_true(ps_root_find(a, 0, &extent));
	expect_extent(extent, 512, 512);
	assert_true(ps_root_find(a, 1023, &extent));
	expect_extent(extent, 512, 512);
	assert_true(ps_root_find(a, 1024, &extent));
	expect_extent(extent, 8 * PAGE, PAGE);
	assert_false(ps_root_find(a, 9 * PAGE, &extent));
}

static void a_load_is_checked_and_refused_whole(void **state)
{
	const struct ps_extent unsorted[] = {{512, 16}, {0, 16}}, overlapping[] = {{0, 64}, {48, 16}};
	const struct ps_extent outside[] = {{SPACE - 16, 32}}, good[] = {{0, 64}, {64, 16}, {128, 16}};
	(void)state;
	assert_int_equal(ps_root_load(a, SPACE, good, 3), PS_EINVAL);
	only_free(NULL, 0);
	assert_int_equal(ps_root_load(a, SPACE, unsorted, 2), PS_ECORRUPT);
	assert_int_equal(ps_root_load(a, SPACE, overlapping, 2), PS_ECORRUPT);
	assert_int_equal(ps_root_load(a, SPACE, outside, 1), PS_ECORRUPT);
	assert_int_equal(ps_root_load(a, SPACE + 16, good, 3), PS_EINVAL);
	assert_int_equal(ps_root_load(a, PAGE, good, 1000), PS_ECORRUPT);
	assert_int_equal(stats().space, SPACE);
	assert_int_equal(stats().free, 0);
	assert_int_equal(ps_root_load(a, 2 * SPACE, good, 3), PS_OK);
	assert_int_equal(stats().free_extents, 2);
	assert_int_equal(stats().space, 2 * SPACE);
}

static void frees_go_on_after_an_alloc_found_no_memory(void **state)
{
	struct ps_extent extents[SPACE / PAGE / 2], extent;
	size_t n = 0, freed = 0;
	int err = PS_OK;
	(void)state;
	for (; n < SPACE / PAGE / 2; n++) {
		extents[n] = alloc_ok(64);
		(void)alloc_ok(PAGE - 64);
	}
	(void)ps_memory_fail_nth(1, 1);
	while (freed < n && err == PS_OK) {
		err = a->ops->free(a, extents[freed], NULL);
		freed += err == PS_OK;
	}
	(void)ps_memory_fail_nth(1, 1);
	assert_int_equal(freed, n);
	while (a->ops->alloc(a, 16, &extent) == PS_OK)
		;
	assert_int_equal(a->ops->free(a, extents[0], NULL), PS_ECORRUPT);
}

/* A call that fails for another reason, and gives back what it had on its way out, still says what that was.
 */
static void what_finds_a_way_leaves_the_last_sentence_alone(void **state)
{
	struct ps_extent extents[SPACE / PAGE - 4], extent;
	const size_t n = SPACE / PAGE - 4;
	(void)state;
	for (size_t i = 0; i < n; i++) {
		extents[i] = alloc_ok(64);
		(void)alloc_ok(PAGE - 64);
	}
	(void)ps_fail(PS_EIO, "what was to be said");
	(void)ps_memory_fail_nth(1, 1);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(a->ops->free(a, extents[i], NULL), PS_OK);
	(void)ps_memory_fail_nth(0, 0);
	assert_false(ps_root_find(a, SPACE, &extent));
	assert_string_equal(ps_last_error_message(), "what was to be said");
}

/* By length, then by place; what is forgotten is in use to all but the figures, until a list is loaded. */
static void beyond_the_most_the_smallest_are_forgotten(void **state)
{
	const struct ps_extent list[] = {
	    {0, 64}, {PAGE, 32}, {2 * PAGE, 32}, {3 * PAGE, 128}, {4 * PAGE, PAGE}};
	struct ps_extent extent;
	(void)state;
	only_free(list, 5);
	ps_root_set_most(a, 3);
	assert_int_equal(stats().free_extents, 3);
	assert_int_equal(stats().forgotten, 64);
	assert_int_equal(stats().free, 64 + 128 + PAGE);
	expect_extent(alloc_ok(32), 0, 32);
	/* What is left of one counts; so does what a free brings. */
	expect_extent(alloc_ok(80), 3 * PAGE, 80);
	assert_int_equal(stats().free_extents, 3);
	assert_int_equal(a->ops->free(a, (struct ps_extent){8 * PAGE, 16}, NULL), PS_OK);
	assert_int_equal(stats().free_extents, 3);
	assert_int_equal(stats().forgotten, 64 + 16);
	assert_int_equal(a->ops->free(a, (struct ps_extent){9 * PAGE, PAGE}, &extent), PS_OK);
	expect_extent(extent, 9 * PAGE, PAGE);
	assert_int_equal(stats().forgotten, 64 + 16 + 32);
	assert_int_equal(a->ops->check(a), PS_OK);
	/* The end goes while it is known to be free. */
	ps_root_set_most(a, 1);
	assert_int_equal(stats().free_extents, 1);
	assert_int_equal(a->ops->mark(a, (struct ps_extent){4 * PAGE, 16}), PS_ECORRUPT);
	assert_int_equal(a->ops->mark(a, (struct ps_extent){9 * PAGE, PAGE}), PS_OK);
	assert_int_equal(a->ops->alloc(a, 16, &extent), PS_ENOSPC);
	ps_root_set_most(a, 0);
	assert_int_equal(ps_root_load(a, SPACE, list, 5), PS_OK);
	assert_int_equal(stats().forgotten, 0);
	assert_int_equal(stats().free_extents, 5);
}

/* Each call is repeated with its 1st, 2nd, … allocation failing until it has enough. */
static void every_failed_allocation_leaves_all_as_it_was(void **state)
{
	size_t refused = 0;
	struct ps_extent extent;
	(void)state;
	a->ops->close(a);
	a = NULL;
	for (uint64_t nth = 1; !a; nth++) {
		(void)ps_memory_fail_nth(nth, 0);
		int err = ps_root_open(&memory, &a);
		(void)ps_memory_fail_nth(0, 0);
		assert_true(err == PS_ENOMEM || nth > 1);
	}
	for (unsigned i = 0; i < 400; i++) {
		int err = PS_ENOMEM;
		for (uint64_t nth = 1; err == PS_ENOMEM; nth++) {
			uint64_t space = stats().space, free = stats().free;
			(void)ps_memory_fail_nth(nth, 0);
			err = i % 2 == 0 ? ps_root_grow(a, space + 2 * PAGE)
			                 : a->ops->alloc(a, 4080 - i % 64, &extent);
			(void)ps_memory_fail_nth(0, 0);
			assert_int_equal(a->ops->check(a), PS_OK);
			assert_true(err == PS_OK ||
			            (err == PS_ENOMEM && stats().space == space && stats().free == free));
			refused += err == PS_ENOMEM;
		}
	}
	assert_true(refused > 20);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(sizes_are_rounded_to_granules_and_pages),
	    TEST(pages_begin_on_a_page_and_what_is_in_front_stays_free),
	    TEST(a_small_extent_lies_in_one_page),
	    TEST(the_shortest_extent_that_holds_it_is_taken),
	    TEST(some_misaligned_extents_do_not_hide_one_that_fits),
	    TEST(the_search_is_bounded_and_goes_on_where_it_surely_fits),
	    TEST(a_free_joins_both_neighbours_at_once),
	    TEST(parts_of_an_allocation_can_be_freed),
	    TEST(a_wrong_free_is_refused_and_changes_nothing),
	    TEST(mark_takes_exactly_what_is_free),
	    TEST(a_run_is_one_extent_whose_small_pieces_lie_in_pages),
	    TEST(impossible_sizes_are_refused),
	    TEST(grow_and_shrink_move_the_end),
	    TEST(alloc_below_takes_the_lowest_place),
	    TEST(what_is_freed_is_the_lowest_place_again),
	    TEST(aligned_space_is_found_behind_misaligned_extents),
	    TEST(find_gives_the_extent_at_or_above),
	    TEST(a_load_is_checked_and_refused_whole),
	    TEST(frees_go_on_after_an_alloc_found_no_memory),
	    TEST(beyond_the_most_the_smallest_are_forgotten),
	    TEST(what_finds_a_way_leaves_the_last_sentence_alone),
	    TEST(every_failed_allocation_leaves_all_as_it_was),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
