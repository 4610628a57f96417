#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "allocator/omni.h"
#include "allocator/root.h"

enum {
	SLAB = 65536,
	SPACE = 64 * SLAB,
	PAGE = 4096,
	SLOT = 256,
	SLOTS = SLAB / SLOT,
	FRAME_SLOTS = PAGE / SLOT
};

struct fixture {
	struct ps_memory memory;
	struct ps_allocator *root, *a;
	unsigned class; /* of SLOT */
};

static void open_pair(struct fixture *f)
{
	struct ps_class_table table;
	assert_int_equal(ps_class_table_make(NULL, &table), PS_OK);
	assert_int_equal(ps_root_open(&f->memory, &f->root), PS_OK);
	assert_int_equal(ps_omni_open(&f->memory, f->root, &table, &f->a), PS_OK);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	ps_memory_init(&f->memory, NULL);
	open_pair(f);
	assert_int_equal(ps_root_grow(f->root, SPACE), PS_OK);
	f->class = ps_class_for(ps_omni_map(f->a), SLOT);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	(void)ps_memory_fail_nth(0, 0);
	assert_int_equal(f->a->ops->check(f->a), PS_OK);
	f->a->ops->close(f->a);
	f->root->ops->close(f->root);
	assert_int_equal(f->memory.used, 0);
	ps_memory_done(&f->memory);
	free(f);
	return 0;
}

static uint64_t take(struct fixture *f)
{
	struct ps_extent extent = {0, 0};
	assert_int_equal(ps_omni_alloc_class(f->a, f->class, &extent), PS_OK);
	assert_int_equal(extent.len, SLOT);
	return extent.offset;
}

static struct ps_extent give(struct fixture *f, uint64_t place)
{
	struct ps_extent merged = {0, 0};
	assert_int_equal(f->a->ops->free(f->a, (struct ps_extent){place, SLOT}, &merged), PS_OK);
	return merged;
}

static uint64_t slab_of(uint64_t place)
{
	return place / SLAB * SLAB;
}

/* So many full slabs; where they begin. */
static void fill_slabs(struct fixture *f, uint64_t *slabs, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		slabs[i] = slab_of(take(f));
		for (unsigned j = 1; j < SLOTS; j++)
			assert_int_equal(slab_of(take(f)), slabs[i]);
	}
}

static void free_slots(struct fixture *f, uint64_t slab, unsigned n, unsigned step)
{
	for (unsigned i = 0; i < n; i++)
		give(f, slab + (uint64_t)i * step * SLOT);
}

static struct ps_class_stats stats_of(struct fixture *f)
{
	struct ps_class_stats stats;
	ps_omni_class_stats(f->a, f->class, &stats);
	return stats;
}

static uint64_t root_free(struct fixture *f)
{
	struct ps_allocator_stats stats;
	f->root->ops->stats(f->root, &stats);
	return stats.free;
}

/* ---- placement ---- */

static void frames_are_filled_one_by_one(void **state)
{
	struct fixture *f = *state;
	for (unsigned frame = 0; frame < 4; frame++) {
		uint64_t first = take(f) / PAGE;
		for (unsigned i = 1; i < FRAME_SLOTS; i++)
			assert_int_equal(take(f) / PAGE, first);
	}
}

static void an_empty_frame_comes_before_one_with_holes(void **state)
{
	struct fixture *f = *state;
	uint64_t slab;
	fill_slabs(f, &slab, 1);
	give(f, slab);
	give(f, slab + PAGE);
	give(f, slab + PAGE + SLOT);
	for (unsigned i = 0; i < FRAME_SLOTS; i++)
		give(f, slab + 9 * PAGE + i * SLOT);
	for (unsigned i = 0; i < FRAME_SLOTS; i++)
		assert_int_equal(take(f) / PAGE, slab / PAGE + 9);
	assert_int_equal(take(f) / PAGE, slab / PAGE + 1);
}

static void the_emptiest_slab_is_next_not_the_lowest(void **state)
{
	struct fixture *f = *state;
	uint64_t slabs[4];
	fill_slabs(f, slabs, 4);
	free_slots(f, slabs[0], SLOTS / 3, 2);
	free_slots(f, slabs[2], SLOTS / 2, 2);
	assert_int_equal(give(f, slabs[3]).len, SLOT);
	assert_int_equal(slab_of(take(f)), slabs[3]); /* open: it is filled first */
	for (unsigned i = 0; i < SLOTS / 2; i++)
		assert_int_equal(slab_of(take(f)), slabs[2]);
	assert_int_equal(slab_of(take(f)), slabs[0]);
}

static void a_few_holes_are_left_while_there_is_space(void **state)
{
	struct fixture *f = *state;
	uint64_t slabs[4], fresh;
	fill_slabs(f, slabs, 4);
	free_slots(f, slabs[1], SLOTS / 8, 2);
	fresh = slab_of(take(f));
	for (unsigned i = 0; i < 4; i++)
		assert_true(fresh != slabs[i]);
}

static void many_holes_are_filled(void **state)
{
	struct fixture *f = *state;
	uint64_t slabs[40];
	fill_slabs(f, slabs, 40);
	for (unsigned i = 0; i < 40; i++)
		free_slots(f, slabs[i], SLOTS / 5, 2);
	/* The open one first, then others: no slab is cut while a sixteenth of the space is holes. */
	for (unsigned i = 0; i < SLOTS / 5 + 1; i++)
		take(f);
	assert_int_equal(stats_of(f).slabs, 40);
}

static void a_space_that_grows_keeps_its_few_holes(void **state)
{
	struct fixture *f = *state;
	struct ps_extent extent;
	uint64_t slabs[63];
	fill_slabs(f, slabs, 63);
	assert_int_equal(f->root->ops->alloc(f->root, SLAB, &extent), PS_OK);
	give(f, slabs[0]);
	ps_omni_set_growing(f->a, true);
	assert_int_equal(ps_omni_alloc_class(f->a, f->class, &extent), PS_ENOSPC);
	ps_omni_set_growing(f->a, false);
	assert_int_equal(take(f), slabs[0]);
}

static void all_holes_are_filled_before_there_is_no_space(void **state)
{
	struct fixture *f = *state;
	struct ps_extent extent;
	uint64_t slabs[2], rest = SPACE;
	fill_slabs(f, slabs, 2);
	give(f, slabs[0] + 5 * SLOT);
	while (rest >= PAGE) {
		if (f->root->ops->alloc(f->root, rest, &extent) != PS_OK)
			rest /= 2;
	}
	assert_int_equal(take(f), slabs[0] + 5 * SLOT);
	assert_int_equal(ps_omni_alloc_class(f->a, f->class, &extent), PS_ENOSPC);
}

static void empty_slabs_go_back(void **state)
{
	struct fixture *f = *state;
	uint64_t slabs[5], before = root_free(f);
	fill_slabs(f, slabs, 5);
	assert_int_equal(root_free(f), before - 5 * SLAB);
	for (unsigned i = 0; i < 4; i++)
		free_slots(f, slabs[i], SLOTS, 1);
	assert_int_equal(root_free(f), before - SLAB);
	free_slots(f, slabs[4], SLOTS, 1);
	assert_int_equal(root_free(f), before - SLAB); /* open */
	ps_omni_trim(f->a);
	assert_int_equal(root_free(f), before);
	assert_int_equal(stats_of(f).slabs, 0);
}

/* One slot more than a slab holds comes and goes: the parent is asked once. */
static void the_border_of_two_slabs_costs_no_slab_each_time(void **state)
{
	struct fixture *f = *state;
	uint64_t slab, other = 0;
	fill_slabs(f, &slab, 1);
	for (unsigned i = 0; i < 100; i++) {
		uint64_t place = take(f);
		assert_true(other == 0 || slab_of(place) == other);
		other = slab_of(place);
		give(f, place);
		assert_int_equal(stats_of(f).slabs, 2);
	}
}

static void a_few_objects_of_many_sizes_are_a_small_file(void **state)
{
	struct fixture *f = *state;
	struct ps_extent extent;
	uint64_t before = root_free(f);
	for (unsigned i = 1; i <= 64; i++)
		assert_int_equal(f->a->ops->alloc(f->a, PAGE + i * 64, &extent), PS_OK);
	assert_true(before - root_free(f) <= 1 << 20);
}

/* ---- frees ---- */

static void a_free_tells_when_a_frame_is_empty(void **state)
{
	struct fixture *f = *state;
	uint64_t places[FRAME_SLOTS + 1];
	for (unsigned i = 0; i <= FRAME_SLOTS; i++)
		places[i] = take(f);
	for (unsigned i = 1; i < FRAME_SLOTS; i++)
		assert_int_equal(give(f, places[i]).len, SLOT);
	struct ps_extent merged = give(f, places[0]);
	assert_int_equal(merged.len, PAGE);
	assert_int_equal(merged.offset, places[0] / PAGE * PAGE);
}

static void refused(struct fixture *f, uint64_t offset, uint64_t len)
{
	uint64_t used = stats_of(f).used, free = root_free(f);
	assert_int_equal(f->a->ops->free(f->a, (struct ps_extent){offset, len}, NULL), PS_ECORRUPT);
	assert_int_equal(stats_of(f).used, used);
	assert_int_equal(root_free(f), free);
}

static void what_is_no_slot_is_not_freed(void **state)
{
	struct fixture *f = *state;
	struct ps_extent object;
	uint64_t slab;
	fill_slabs(f, &slab, 1);
	refused(f, slab, SLOT - 16);
	refused(f, slab + 16, SLOT);
	refused(f, slab + 8, SLOT);
	refused(f, slab + SLAB - SLOT, 2 * SLOT);
	refused(f, slab, SLAB + PAGE);
	assert_int_equal(f->a->ops->alloc(f->a, 20 * PAGE, &object), PS_OK);
	refused(f, object.offset - PAGE, object.len);
	/* To the parent the slab is allocated: what reaches into it is stopped here. */
	assert_int_equal(f->root->ops->is_used(f->root, (struct ps_extent){slab, SLAB}), true);
	if (slab > 0)
		refused(f, slab - PAGE, 2 * PAGE);
	assert_int_equal(f->a->ops->free(f->a, object, NULL), PS_OK);
	refused(f, object.offset, object.len);
	give(f, slab);
	refused(f, slab, SLOT);
}

static void a_whole_slab_is_freed_at_once(void **state)
{
	struct fixture *f = *state;
	uint64_t slabs[2];
	struct ps_extent merged;
	fill_slabs(f, slabs, 2);
	assert_int_equal(f->a->ops->free(f->a, (struct ps_extent){slabs[0], SLAB}, &merged), PS_OK);
	assert_true(merged.offset == slabs[0] && merged.len == SLAB);
	assert_int_equal(stats_of(f).slabs, 1);
	assert_int_equal(ps_omni_class_at(f->a, slabs[0] + 100), 0);
	assert_int_equal(ps_omni_class_at(f->a, slabs[1] + 100), f->class);
}

/* ---- runs ---- */

static void a_run_spans_slabs_side_by_side(void **state)
{
	struct fixture *f = *state;
	const struct ps_class_geometry *g;
	struct ps_run run;
	unsigned class = ps_class_for(ps_omni_map(f->a), 700); /* with frame tails */
	g = ps_class_geometry(ps_omni_map(f->a), class);
	uint64_t count = 2 * (uint64_t)g->slots_per_slab + 5, end = 0;
	assert_int_equal(ps_omni_alloc_run(f->a, class, count, &run), PS_OK);
	assert_int_equal(run.count, count);
	for (uint64_t i = 0; i < count; i++) {
		uint64_t place = ps_run_place(g, run.first, i);
		assert_true(place >= end && place < run.first + 3 * SLAB);
		end = place + g->slot_bytes;
		assert_true(f->a->ops->is_used(f->a, (struct ps_extent){place, g->slot_bytes}));
	}
	for (uint64_t i = 0; i < count; i++)
		assert_int_equal(
		    f->a->ops->free(f->a, (struct ps_extent){ps_run_place(g, run.first, i), g->slot_bytes},
		                    NULL),
		    PS_OK);
	ps_omni_trim(f->a);
	assert_int_equal(root_free(f), SPACE);
}

static void a_run_is_all_or_nothing(void **state)
{
	struct fixture *f = *state;
	struct ps_run run = {1, 1};
	assert_int_equal(ps_omni_alloc_run(f->a, f->class, 65 * SLOTS, &run), PS_ENOSPC);
	assert_int_equal(ps_omni_alloc_run(f->a, f->class, UINT64_MAX, &run), PS_ENOSPC);
	assert_int_equal(ps_omni_alloc_run(f->a, f->class, 0, &run), PS_EINVAL);
	assert_int_equal(ps_omni_alloc_run(f->a, 0, 1, &run), PS_EINVAL);
	assert_int_equal(ps_omni_alloc_run(f->a, 200, 1, &run), PS_EINVAL);
	for (uint64_t nth = 1; nth < 40; nth++) {
		(void)ps_memory_fail_nth(nth, 1);
		int err = ps_omni_alloc_run(f->a, f->class, 20 * SLOTS, &run);
		(void)ps_memory_fail_nth(0, 0);
		if (err == PS_OK)
			return;
		assert_int_equal(err, PS_ENOMEM);
		assert_true(run.first == 1 && root_free(f) == SPACE && stats_of(f).slabs == 0);
		assert_int_equal(f->a->ops->check(f->a), PS_OK);
	}
	fail();
}

/* ---- compaction ---- */

static void nothing_is_given_out_above_the_limit(void **state)
{
	struct fixture *f = *state;
	uint64_t slabs[6];
	fill_slabs(f, slabs, 6);
	for (unsigned i = 0; i < 6; i++)
		free_slots(f, slabs[i], SLOTS / 2, 2);
	uint64_t limit = 3 * SLAB;
	ps_omni_set_limit(f->a, limit);
	struct ps_extent extent;
	while (ps_omni_alloc_class(f->a, f->class, &extent) == PS_OK)
		assert_true(extent.offset + SLOT <= limit);
	assert_int_equal(stats_of(f).slabs, 6);
	ps_omni_set_limit(f->a, 0);
	assert_true(take(f) >= limit);
}

static void a_retired_slab_only_empties(void **state)
{
	struct fixture *f = *state;
	uint64_t slabs[2];
	fill_slabs(f, slabs, 2);
	assert_int_equal(ps_omni_retire(f->a, slabs[0] + PAGE, true), PS_ENOTFOUND);
	assert_int_equal(ps_omni_retire(f->a, slabs[0], true), PS_OK);
	free_slots(f, slabs[0], SLOTS - 1, 1);
	for (unsigned i = 0; i < 2 * SLOTS; i++)
		assert_true(slab_of(take(f)) != slabs[0]);
	give(f, slabs[0] + SLAB - SLOT);
	assert_int_equal(ps_omni_class_at(f->a, slabs[0]), 0);
	assert_int_equal(ps_omni_retire(f->a, slabs[0], false), PS_ENOTFOUND);
}

static void a_slab_retired_no_more_is_filled_again(void **state)
{
	struct fixture *f = *state;
	uint64_t slabs[2];
	fill_slabs(f, slabs, 2);
	assert_int_equal(ps_omni_retire(f->a, slabs[0], true), PS_OK);
	free_slots(f, slabs[0], SLOTS / 2, 1);
	assert_int_equal(ps_omni_retire(f->a, slabs[0], false), PS_OK);
	assert_int_equal(slab_of(take(f)), slabs[0]);
}

/* ---- saving and marking ---- */

static void a_slab_is_loaded_only_into_space_in_use(void **state)
{
	struct fixture *f = *state, other = {.class = f->class};
	uint64_t slab, words[SLOTS / 54];
	fill_slabs(f, &slab, 1);
	give(f, slab + 77 * SLOT);
	assert_int_equal(ps_omni_slab_words(f->a, f->class), SLOTS / 54);
	assert_int_equal(ps_omni_save_slab(f->a, slab + PAGE, words), PS_ENOTFOUND);
	assert_int_equal(ps_omni_save_slab(f->a, slab, words), PS_OK);
	ps_memory_init(&other.memory, NULL);
	open_pair(&other);
	assert_int_equal(ps_root_grow(other.root, SPACE), PS_OK);
	assert_int_equal(ps_omni_load_slab(other.a, f->class, slab, words, SLOTS / 54), PS_ECORRUPT);
	assert_int_equal(other.root->ops->mark(other.root, (struct ps_extent){slab, SLAB}), PS_OK);
	assert_int_equal(ps_omni_load_slab(other.a, 0, slab, words, SLOTS / 54), PS_EINVAL);
	assert_int_equal(ps_omni_load_slab(other.a, f->class, slab, words, SLOTS / 54), PS_OK);
	assert_int_equal(stats_of(&other).used, SLOTS - 1);
	assert_int_equal(other.a->ops->check(other.a), PS_OK);
	other.a->ops->close(other.a);
	other.root->ops->close(other.root);
	ps_memory_done(&other.memory);
}

static void marking_cuts_the_slab_once(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(ps_omni_mark(f->a, f->class, 2 * SLAB + 3 * SLOT), PS_OK);
	assert_int_equal(root_free(f), SPACE - SLAB);
	assert_int_equal(ps_omni_mark(f->a, f->class, 2 * SLAB + 4 * SLOT), PS_OK);
	assert_int_equal(root_free(f), SPACE - SLAB);
	assert_int_equal(ps_omni_mark(f->a, f->class, 2 * SLAB + 4 * SLOT), PS_ECORRUPT);
	assert_int_equal(ps_omni_mark(f->a, f->class, 2 * SLAB + 4 * SLOT + 16), PS_ECORRUPT);
	assert_int_equal(ps_omni_mark(f->a, f->class - 1, 2 * SLAB), PS_ECORRUPT);
	assert_int_equal(ps_omni_mark(f->a, f->class, SPACE), PS_ECORRUPT);
	assert_int_equal(ps_omni_mark(f->a, f->class, (uint64_t)1 << 62), PS_ECORRUPT);
	assert_int_equal(f->root->ops->mark(f->root, (struct ps_extent){3 * SLAB + PAGE, PAGE}), PS_OK);
	assert_int_equal(ps_omni_mark(f->a, f->class, 3 * SLAB), PS_ECORRUPT);
	assert_int_equal(stats_of(f).used, 2);
}

static void a_damaged_table_opens_nothing(void **state)
{
	struct fixture *f = *state;
	struct ps_class_table bad = ps_omni_map(f->a)->table;
	struct ps_allocator *a = NULL;
	bad.size[0] = 99;
	assert_int_equal(ps_omni_open(&f->memory, f->root, &bad, &a), PS_ECORRUPT);
	assert_null(a);
}

/* Frames in use come before free ones, and a whole frame is as good as its slots one by one. */
static void frame_is_taken_whole_or_not_at_all(void **state)
{
	struct fixture *f = *state;
	uint64_t frame, place[SLOTS / FRAME_SLOTS];
	for (unsigned i = 0; i < SLOTS / FRAME_SLOTS; i++) {
		assert_int_equal(ps_omni_alloc_frame(f->a, f->class, &place[i]), PS_OK);
		assert_int_equal(place[i], place[0] + i * PAGE);
		assert_int_equal(ps_omni_slab_use(f->a, place[i]).in_frame, FRAME_SLOTS);
	}
	/* Its slab is full: the next frame is another slab's. */
	assert_int_equal(ps_omni_alloc_frame(f->a, f->class, &frame), PS_OK);
	assert_int_not_equal(frame / SLAB, place[0] / SLAB);
	for (unsigned i = 0; i < SLOTS / FRAME_SLOTS - 1; i++)
		assert_int_equal(ps_omni_alloc_frame(f->a, f->class, &place[i]), PS_OK);
	/* Each slot is freed on its own. With a slot free, but no frame, that one comes first. */
	for (unsigned i = 0; i < FRAME_SLOTS; i++)
		assert_int_equal(f->a->ops->free(f->a, (struct ps_extent){place[3] + i * SLOT, SLOT}, NULL),
		                 PS_OK);
	assert_int_equal(ps_omni_alloc_frame(f->a, f->class, &frame), PS_OK);
	assert_int_equal(frame, place[3]);
	assert_int_equal(f->a->ops->free(f->a, (struct ps_extent){place[3] + SLOT, SLOT}, NULL), PS_OK);
	assert_int_equal(ps_omni_alloc_frame(f->a, f->class, &frame), PS_ENOTSUP);
	assert_int_equal(take(f), place[3] + SLOT);
	assert_int_equal(ps_omni_alloc_frame(f->a, 0, &frame), PS_EINVAL);
}

/* Of one slab, side by side, as long as no slot of them is used. */
static void free_frames_are_found_in_address_order(void **state)
{
	struct fixture *f = *state;
	struct ps_extent frames = {7, 7};
	uint64_t slab[2];
	assert_false(ps_omni_find_frames(f->a, 0, PAGE, &frames));
	fill_slabs(f, slab, 2);
	assert_false(ps_omni_find_frames(f->a, 0, PAGE, &frames));
	assert_int_equal(frames.offset, 7);
	uint64_t low = slab[0] < slab[1] ? slab[0] : slab[1], high = slab[0] ^ slab[1] ^ low;
	for (unsigned i = 0; i < SLOTS; i++) {
		unsigned frame = i / FRAME_SLOTS;
		if (frame == 2 || frame == 14 || frame == 15 || (frame == 5 && i % FRAME_SLOTS))
			give(f, low + i * SLOT);
		if (frame < 3)
			give(f, high + i * SLOT);
	}
	assert_true(ps_omni_find_frames(f->a, 0, PAGE, &frames));
	assert_int_equal(frames.offset, low + 2 * PAGE);
	assert_int_equal(frames.len, PAGE);
	/* To the slab's end, not on into the next one. */
	assert_true(ps_omni_find_frames(f->a, low + 3 * PAGE, PAGE, &frames));
	assert_int_equal(frames.offset, low + 14 * PAGE);
	assert_int_equal(frames.len, 2 * PAGE);
	assert_true(ps_omni_find_frames(f->a, low, 3 * PAGE, &frames));
	assert_int_equal(frames.offset, high);
	assert_int_equal(frames.len, 3 * PAGE);
	assert_false(ps_omni_find_frames(f->a, low, 4 * PAGE, &frames));
	assert_false(ps_omni_find_frames(f->a, high + PAGE, PAGE, &frames));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(frames_are_filled_one_by_one),
	    TEST(an_empty_frame_comes_before_one_with_holes),
	    TEST(the_emptiest_slab_is_next_not_the_lowest),
	    TEST(a_few_holes_are_left_while_there_is_space),
	    TEST(many_holes_are_filled),
	    TEST(a_space_that_grows_keeps_its_few_holes),
	    TEST(all_holes_are_filled_before_there_is_no_space),
	    TEST(empty_slabs_go_back),
	    TEST(the_border_of_two_slabs_costs_no_slab_each_time),
	    TEST(a_few_objects_of_many_sizes_are_a_small_file),
	    TEST(a_free_tells_when_a_frame_is_empty),
	    TEST(what_is_no_slot_is_not_freed),
	    TEST(a_whole_slab_is_freed_at_once),
	    TEST(a_run_spans_slabs_side_by_side),
	    TEST(a_run_is_all_or_nothing),
	    TEST(nothing_is_given_out_above_the_limit),
	    TEST(a_retired_slab_only_empties),
	    TEST(a_slab_retired_no_more_is_filled_again),
	    TEST(a_slab_is_loaded_only_into_space_in_use),
	    TEST(marking_cuts_the_slab_once),
	    TEST(a_damaged_table_opens_nothing),
	    TEST(frame_is_taken_whole_or_not_at_all),
	    TEST(free_frames_are_found_in_address_order),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
