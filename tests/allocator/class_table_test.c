#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "allocator/class_table.h"

static struct ps_class_map map_of(const struct ps_class_options *options)
{
	struct ps_class_table table;
	struct ps_class_map map;
	assert_int_equal(ps_class_table_make(options, &table), PS_OK);
	assert_int_equal(ps_class_table_check(&table), PS_OK);
	ps_class_map_init(&map, &table);
	return map;
}

static uint32_t slot_for(const struct ps_class_map *map, uint64_t size)
{
	unsigned class = ps_class_for(map, size);
	return class ? ps_class_geometry(map, class)->slot_bytes : 0;
}

static void small_sizes_lose_a_sixteenth_at_most(void **state)
{
	struct ps_class_map map = map_of(NULL);
	(void)state;
	assert_int_equal(ps_class_for(&map, 0), 0);
	for (uint32_t size = 1; size <= 256; size++)
		assert_int_equal(slot_for(&map, size), (size + 15) / 16 * 16);
	for (uint32_t size = 257; size <= 4096; size++) {
		assert_true(slot_for(&map, size) >= size);
		assert_true(slot_for(&map, size) <= (size - 1) + (size - 1) / 16 + 1);
	}
}

static void above_a_page_slots_are_exact_pages(void **state)
{
	struct ps_class_map map = map_of(NULL);
	unsigned in_slabs = 0;
	(void)state;
	for (uint32_t size = 4097; size <= 70000; size++) {
		uint32_t slot = slot_for(&map, size);
		assert_true(slot == 0 || slot == (size + 4095) / 4096 * 4096);
		in_slabs += slot > 0;
	}
	assert_int_equal(slot_for(&map, 4097), 8192);
	assert_int_equal(slot_for(&map, 8193), 0); /* five of 12 KiB would leave a page of the slab */
	assert_int_equal(in_slabs, 3 * 4096);      /* 8, 16 and 32 KiB */
	assert_int_equal(ps_class_for(&map, UINT64_MAX), 0);
	assert_int_equal(ps_class_for(&map, (uint64_t)1 << 32), 0);
}

static void limits_and_slabs_can_be_chosen(void **state)
{
	static const struct ps_class_options all[] = {
	    {.slab_bytes = 4096},
	    {.slab_bytes = 1 << 20},
	    {.slab_bytes = 1 << 20, .block_limit = 8192, .page_limit = 1 << 18},
	    {.block_limit = 100},
	    {.block_limit = 1},
	    {.page_limit = 1},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		assert_true(map_of(&all[i]).table.count <= PS_CLASSES_MAX);
	struct ps_class_map none = map_of(&(struct ps_class_options){.block_limit = 1, .page_limit = 1});
	assert_int_equal(none.table.count, 0);
	assert_int_equal(ps_class_for(&none, 100), 0);
	assert_int_equal(ps_class_for(&none, 5000), 0);
	struct ps_class_map blocks = map_of(&(struct ps_class_options){.page_limit = 1});
	assert_int_equal(slot_for(&blocks, 4096), 4096);
	assert_int_equal(slot_for(&blocks, 4097), 0);
}

static void a_list_is_taken_as_it_is(void **state)
{
	static const uint32_t sizes[] = {30, 100, 5000, 8192, 65536};
	struct ps_class_map map = map_of(&(struct ps_class_options){.sizes = sizes, .count = 5});
	(void)state;
	assert_int_equal(map.table.count, 5);
	assert_int_equal(slot_for(&map, 1), 32);
	assert_int_equal(slot_for(&map, 33), 112);
	assert_int_equal(slot_for(&map, 200), 0); /* 5,008 bytes are more pages than it needs */
	assert_int_equal(slot_for(&map, 4097), 5008);
	assert_int_equal(slot_for(&map, 5009), 8192);
	assert_int_equal(slot_for(&map, 9000), 0);
	assert_int_equal(slot_for(&map, 65000), 65536);
}

static void refused(const struct ps_class_options *options)
{
	struct ps_class_table table = {.count = 7};
	assert_int_equal(ps_class_table_make(options, &table), PS_EINVAL);
	assert_int_equal(table.count, 7);
}

static void what_makes_no_table_is_refused(void **state)
{
	static const uint32_t descending[] = {64, 48}, same[] = {50, 64}, zero[] = {0}, large[] = {65552};
	static uint32_t many[PS_CLASSES_MAX + 1];
	(void)state;
	for (uint32_t i = 0; i <= PS_CLASSES_MAX; i++)
		many[i] = 16 * (i + 1);
	refused(&(struct ps_class_options){.sizes = descending, .count = 2});
	refused(&(struct ps_class_options){.sizes = same, .count = 2});
	refused(&(struct ps_class_options){.sizes = zero, .count = 1});
	refused(&(struct ps_class_options){.sizes = large, .count = 1});
	refused(&(struct ps_class_options){.sizes = many, .count = PS_CLASSES_MAX + 1});
	refused(&(struct ps_class_options){.slab_bytes = 5000});
	refused(&(struct ps_class_options){.slab_bytes = 2048});
	refused(&(struct ps_class_options){.slab_bytes = 1 << 21});
}

static void damaged(struct ps_class_table table)
{
	assert_int_equal(ps_class_table_check(&table), PS_ECORRUPT);
}

static void a_damaged_table_is_seen(void **state)
{
	struct ps_class_table good = map_of(NULL).table, bad = good;
	(void)state;
	bad.count = PS_CLASSES_MAX + 1;
	damaged(bad);
	bad = good;
	bad.count--;
	damaged(bad); /* something behind the last */
	bad = good;
	bad.count++;
	damaged(bad);
	bad = good;
	bad.slab_shift = PS_SLAB_SHIFT_MIN - 1;
	damaged(bad);
	bad.slab_shift = PS_SLAB_SHIFT_MAX + 1;
	damaged(bad);
	bad.slab_shift = PS_SLAB_SHIFT_MIN; /* 32 KiB slots in it */
	damaged(bad);
	bad = good;
	bad.size[3] = bad.size[2];
	damaged(bad);
	bad.size[3] = 0;
	damaged(bad);
}

/* Frames are as small as they can be without losing much, and whole pages always. */
static void frames_lose_little(void **state)
{
	struct ps_class_map map = map_of(NULL);
	uint64_t lost = 0;
	(void)state;
	for (unsigned class = 1; class <= map.table.count; class ++) {
		const struct ps_class_geometry *g = ps_class_geometry(&map, class);
		uint32_t tail = g->frame_bytes - g->slots_per_frame * g->slot_bytes;
		assert_true(g->frame_bytes % 4096 == 0 && g->frame_bytes <= 8 * 4096);
		assert_true(g->slot_bytes > 512 || tail * 32 <= g->frame_bytes);
		assert_true(g->slot_bytes % 4096 > 0 || g->frame_bytes == g->slot_bytes);
		lost += (uint64_t)tail * 1000 / g->frame_bytes;
	}
	assert_true(lost / map.table.count < 25); /* 2.5 % of the slabs */
}

static void place_and_slot_are_inverse(void **state)
{
	struct ps_class_map map = map_of(&(struct ps_class_options){.slab_bytes = 1 << 20});
	(void)state;
	for (unsigned class = 1; class <= map.table.count; class ++) {
		const struct ps_class_geometry *g = ps_class_geometry(&map, class);
		uint64_t slab = (uint64_t)7 << 20, sound = 0;
		for (uint64_t place = slab; place < slab + g->slab_bytes; place += 16) {
			if (!ps_class_place_sound(g, place))
				continue;
			assert_int_equal(ps_class_place(g, slab, ps_class_slot(g, place)), place);
			assert_int_equal(ps_class_slot(g, place), sound);
			sound++;
		}
		assert_int_equal(sound, g->slots_per_slab);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(small_sizes_lose_a_sixteenth_at_most),
	    cmocka_unit_test(above_a_page_slots_are_exact_pages),
	    cmocka_unit_test(limits_and_slabs_can_be_chosen),
	    cmocka_unit_test(a_list_is_taken_as_it_is),
	    cmocka_unit_test(what_makes_no_table_is_refused),
	    cmocka_unit_test(a_damaged_table_is_seen),
	    cmocka_unit_test(frames_lose_little),
	    cmocka_unit_test(place_and_slot_are_inverse),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
