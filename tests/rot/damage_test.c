/* What one damaged place costs: a table leaf its own ids, an extent its object, one of an inner page's two
 * places nothing. No new write takes a byte of what cannot be seen any more. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base_internal.h"
#include "tests/crash/script.h"
#include "tests/rot/rot_image.h"

enum { OBJECTS = 310, WRITES = 200, LEAVES = 3 };

struct bench {
	struct history h;
	struct sim_disk *disk;
	struct image image;
};

static void open_it(struct bench *b)
{
	int err = store_open(b->disk, false, &b->h.s);
	if (err != PS_OK)
		fail_msg("open: %s: %s", ps_error_name(err), ps_last_error_message());
}

static void close_it(struct bench *b)
{
	int err = ps_close(b->h.s);
	if (err != PS_OK)
		fail_msg("close: %s: %s", ps_error_name(err), ps_last_error_message());
}

/* Begins with three leaves full of objects, closed (with a snapshot of free space) or as a crash leaves it.
 */
static void bench_init(struct bench *b, bool closed, size_t last)
{
	history_init(&b->h);
	b->disk = sim_disk_new(NULL, 0);
	sim_disk_set_tracing(b->disk, false);
	open_it(b);
	for (size_t i = 0; i < OBJECTS; i++)
		history_put(&b->h, i % 50 == 7 ? 5000 + i : i % 90 == 8 ? 66000 + i : 40 + i);
	for (size_t i = 3; i < OBJECTS; i += 13)
		history_delete(&b->h, i);
	if (!closed) {
		close_it(b);
		open_it(b);
		history_replace(&b->h, last, 77);
		image_take(&b->image, b->disk, b->h.commits);
	}
	close_it(b);
	if (closed)
		image_take(&b->image, b->disk, b->h.commits);
}

static void bench_done(struct bench *b)
{
	sim_disk_free(b->disk);
	free(b->image.bytes);
	history_done(&b->h);
}

static void take_new_image(struct bench *b)
{
	uint8_t *old = b->image.bytes; /* the disk reads from it */
	image_take(&b->image, b->disk, b->h.commits);
	free(old);
}

static void start_from_image(struct bench *b)
{
	sim_disk_reset(b->disk, b->image.bytes, b->image.size);
	open_it(b);
}

static struct disk_pointer root_of(const struct bench *b)
{
	struct disk_superblock sb;
	memcpy(&sb, b->image.bytes, sizeof(sb));
	assert_int_equal(sb.height, 1);
	return sb.root;
}

static uint64_t leaf_place(const struct bench *b, unsigned leaf)
{
	struct disk_pointer root = root_of(b), child;
	memcpy(&child, b->image.bytes + ps_get64(root.place[0]) + leaf * sizeof(child), sizeof(child));
	assert_true(ps_get64(child.place[0]) != 0);
	return ps_get64(child.place[0]);
}

static void look(struct bench *b, struct look *l)
{
	char why[HISTORY_WHY];
	if (!history_look(&b->h, b->h.s, b->h.commits, b->h.commits, l, why))
		fail_msg("%s", why);
}

static bool is_of_leaf(const struct bench *b, size_t object, unsigned leaf)
{
	return id_slot(b->h.ids[object]) / FANOUT == leaf;
}

/* Exactly the ids of this leaf are lost. */
static void only_leaf_is_lost(struct bench *b, unsigned leaf)
{
	static struct look l;
	look(b, &l);
	for (size_t i = 0; i < b->h.objects; i++) {
		bool lost = l.found[i].err == PS_ECORRUPT;
		if (lost != is_of_leaf(b, i, leaf))
			fail_msg("leaf %u is rotten: object %#llx: %s", leaf, (unsigned long long)b->h.ids[i],
			         ps_error_name(l.found[i].err));
	}
	assert_int_equal(l.check, PS_ECORRUPT);
}

static void write_much(struct bench *b, unsigned leaf, unsigned from)
{
	for (unsigned n = from; n < from + WRITES / 2; n++) {
		size_t object = n * 7 % OBJECTS;
		bool there = !is_of_leaf(b, object, leaf) && history_now(&b->h, object);
		if (there && n % 3 == 0)
			history_delete(&b->h, object);
		else if (there && n % 3 == 1)
			history_replace(&b->h, object, n % 5 ? 50 + n : 9000);
		else if (n % 16 == 5)
			history_put(&b->h, 66000);
		else
			history_put(&b->h, n % 9 ? 60 + n : 4100);
	}
}

static void leaf_costs_its_own_ids(unsigned leaf, bool closed)
{
	struct bench b;
	struct look l;
	uint8_t leaf_bytes[PAGE];
	/* Not one of its own: what the log has for a leaf that cannot be read is lost with it. */
	bench_init(&b, closed, leaf ? 0 : 200);
	uint64_t place = leaf_place(&b, leaf);
	memcpy(leaf_bytes, b.image.bytes + place, PAGE);
	b.image.bytes[place + 1234] ^= 0x10;
	start_from_image(&b);
	only_leaf_is_lost(&b, leaf);
	write_much(&b, leaf, 0);
	only_leaf_is_lost(&b, leaf);
	close_it(&b);
	open_it(&b);
	int err = ps_compact(b.h.s, 0, NULL, NULL);
	assert_true(err == PS_OK || err == PS_ECORRUPT);
	write_much(&b, leaf, WRITES / 2);
	only_leaf_is_lost(&b, leaf);
	close_it(&b);
	take_new_image(&b);
	/* Whole again: so are all its objects. */
	memcpy(b.image.bytes + place, leaf_bytes, PAGE);
	start_from_image(&b);
	look(&b, &l);
	assert_int_equal(l.damaged, 0);
	assert_int_equal(l.check, PS_OK);
	close_it(&b);
	bench_done(&b);
}

static void rotten_leaf_costs_its_own_ids_and_no_live_byte(void **state)
{
	(void)state;
	for (unsigned leaf = 0; leaf < LEAVES; leaf++) {
		leaf_costs_its_own_ids(leaf, true);
		leaf_costs_its_own_ids(leaf, false);
	}
}

/* ---- extents ------------------------------------------------------------------------------------------- */

static void only_object_is_lost(struct bench *b, size_t object)
{
	static struct look l;
	static uint8_t bytes[70000];
	char name[40];
	size_t len;
	look(b, &l);
	for (size_t i = 0; i < b->h.objects; i++) {
		if ((l.found[i].err == PS_ECORRUPT) != (i == object))
			fail_msg("object %zu (size %llu) is rotten, and object %zu reads as %s", object,
			         (unsigned long long)history_now(&b->h, object)->size, i,
			         ps_error_name(l.found[i].err));
	}
	assert_int_equal(l.check, PS_ECORRUPT);
	assert_int_equal(ps_get(b->h.s, b->h.ids[object], bytes, sizeof(bytes), &len), PS_ECORRUPT);
	snprintf(name, sizeof(name), "object 0x%llx", (unsigned long long)b->h.ids[object]);
	if (!strstr(ps_last_error_message(), name) || !strstr(ps_last_error_message(), "offset"))
		fail_msg("no id and offset: %s", ps_last_error_message());
}

static void all_is_well(struct bench *b)
{
	static struct look l;
	look(b, &l);
	assert_int_equal(l.damaged, 0);
	assert_int_equal(l.check, PS_OK);
}

/* Where the object's entry says that its blob is: its bytes, or the root of its map. */
static uint64_t blob_place(const struct bench *b, ps_id id)
{
	struct entry e;
	const uint8_t *leaf = b->image.bytes + leaf_place(b, (unsigned)(id_slot(id) / FANOUT));
	for (int w = 0; w < 4; w++) {
		ps_le64 word;
		memcpy(&word, leaf + id_slot(id) % FANOUT * sizeof(e) + (size_t)w * sizeof(word),
		       sizeof(word));
		e.w[w] = ps_get64(word);
	}
	return entry_place(&e);
}

enum { IN_MAP = -1 };

/* Rot `delta` bytes into the object's first extent, or IN_MAP; the object can still be replaced or deleted,
 * and then nothing is left of the damage. */
static void extent_costs_its_object(uint64_t size, int64_t delta, bool replace)
{
	struct bench b;
	struct ps_info info;
	bench_init(&b, true, 0);
	start_from_image(&b);
	size_t object = history_put(&b.h, size);
	assert_int_equal(ps_info(b.h.s, b.h.ids[object], &info), PS_OK);
	assert_true(info.offset != 0);
	close_it(&b);
	take_new_image(&b);
	uint64_t at = delta == IN_MAP ? blob_place(&b, b.h.ids[object]) + 3 : info.offset + (uint64_t)delta;
	b.image.bytes[at] ^= 1;
	start_from_image(&b);
	only_object_is_lost(&b, object);
	close_it(&b);
	open_it(&b);
	if (replace)
		history_replace(&b.h, object, size + 1);
	else
		history_delete(&b.h, object);
	for (int i = 0; i < 20; i++)
		history_put(&b.h, i % 2 ? 100 : 5000);
	all_is_well(&b);
	close_it(&b);
	open_it(&b);
	all_is_well(&b);
	close_it(&b);
	bench_done(&b);
}

static void rotten_extent_costs_its_object(void **state)
{
	(void)state;
	const int64_t sizes[][2] = {{100, 50},      {1000, 999},  {5000, 4990},
	                            {40000, 20000}, {69000, 100}, {69000, IN_MAP}};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		extent_costs_its_object((uint64_t)sizes[i][0], sizes[i][1], true);
		extent_costs_its_object((uint64_t)sizes[i][0], sizes[i][1], false);
	}
}

/* ---- inner pages --------------------------------------------------------------------------------------- */

static void inner_page_has_two_places(void **state)
{
	(void)state;
	for (unsigned which = 0; which < 2; which++) {
		struct bench b;
		static struct look l;
		bench_init(&b, which == 0, 0);
		struct disk_pointer root = root_of(&b);
		assert_true(ps_get64(root.place[0]) != ps_get64(root.place[1]));
		b.image.bytes[ps_get64(root.place[which]) + 77] ^= 4;
		start_from_image(&b);
		look(&b, &l);
		assert_int_equal(l.damaged, 0);
		write_much(&b, LEAVES, 0);
		close_it(&b);
		open_it(&b);
		all_is_well(&b);
		close_it(&b);
		bench_done(&b);
	}
}

/* Without either, ids are lost, with a word, and not one is taken for another or for deleted. */
static void inner_page_without_places_is_said(void **state)
{
	(void)state;
	struct bench b;
	bench_init(&b, true, 0);
	struct disk_pointer root = root_of(&b);
	for (unsigned which = 0; which < 2; which++)
		b.image.bytes[ps_get64(root.place[which]) + 77] ^= 4;
	sim_disk_reset(b.disk, b.image.bytes, b.image.size);
	int err = store_open(b.disk, false, &b.h.s);
	if (err == PS_OK) {
		static struct look l;
		look(&b, &l);
		assert_true(l.damaged > 0);
		close_it(&b);
	} else {
		assert_int_equal(err, PS_ECORRUPT);
	}
	bench_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(rotten_leaf_costs_its_own_ids_and_no_live_byte),
	    cmocka_unit_test(rotten_extent_costs_its_object),
	    cmocka_unit_test(inner_page_has_two_places),
	    cmocka_unit_test(inner_page_without_places_is_said),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
