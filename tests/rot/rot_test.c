/* The smallest store with a bit flipped, two blocks swapped, a block gone or put back as it was before: all
 * of it. Whatever is damaged says so; what is read is right.
 *
 * rot_test [quick|long] [clean|unclean]: long flips every bit, quick some of each byte's neighbourhood. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base_format.h"
#include "tests/rot/rot_image.h"
#include "tests/rot/standing.h"

enum {
	QUICK_STEP = 1597,
	WRITE_ONE_IN = 61,
	WHOLE_ONE_IN = 31,
	OPEN_ONE_IN = 7,
	SOUND_ONE_IN = 3001,
	MANY = 10
};

static struct images images;
static struct sim_disk *disk;
static uint64_t bit_step = QUICK_STEP;

struct counts {
	uint64_t states, refused, damaged, harmless;
	uint64_t standing; /* of the states: read in a store that was open already */
	unsigned wrong;
};

static void say(const char *what, const struct counts *c)
{
	print_message("%s: %llu states: %llu refused, %llu with damage found, %llu harmless", what,
	              (unsigned long long)c->states, (unsigned long long)c->refused,
	              (unsigned long long)c->damaged, (unsigned long long)c->harmless);
	print_message(c->standing ? "; %llu in an open store\n" : "\n", (unsigned long long)c->standing);
}

static void tell(struct counts *c, const char *what, const char *why)
{
	print_error("%s: %s\n", what, why);
	c->wrong++;
}

static void count(struct counts *c, const struct rot_verdict *v)
{
	c->refused += v->open != PS_OK;
	c->damaged += v->open == PS_OK && v->damaged;
	c->harmless += v->open == PS_OK && v->harmless;
}

static void judge(struct counts *c, const char *what, const uint8_t *bytes, uint64_t size,
                  const struct rot_limits *limits)
{
	char why[HISTORY_WHY] = "";
	struct rot_verdict v;
	c->states++;
	if (rot_judge(disk, &images.history, bytes, size, limits, &v, why))
		count(c, &v);
	else
		tell(c, what, why);
}

/* Nothing newer stands behind the last block of a log: with it goes its commit, as with a torn write. */
static struct rot_limits limits_of(const struct image *image)
{
	bool unclean = image == &images.unclean;
	return (struct rot_limits){.low = image->commits - unclean, .high = image->commits};
}

static uint8_t *copy_of(const struct image *image)
{
	uint8_t *bytes = malloc(image->size);
	if (!bytes)
		abort();
	memcpy(bytes, image->bytes, image->size);
	return bytes;
}

static void images_are_sound(void **state)
{
	(void)state;
	const struct image *all[] = {&images.old, &images.clean, &images.unclean};
	for (size_t i = 0; i < 3; i++) {
		struct counts c = {0};
		struct rot_limits limits = {
		    .low = all[i]->commits, .high = all[i]->commits, .must_open = true, .write = true};
		judge(&c, "untouched", all[i]->bytes, all[i]->size, &limits);
		assert_int_equal(c.harmless, 1);
	}
}

/* Who reads a sector of the undamaged store. */
struct reader {
	bool any; /* opening, reading, checking, writing or closing: in other sectors no bit counts, nor where
	             a write comes first */
	bool opening;     /* opening and closing: then damage may reach everything */
	uint64_t objects; /* reading these, each in a store of which nothing was read before */
	bool again;       /* reading one of these once more in an open store, or if there are none a check */
};

static void watch(const struct image *image, const struct rot_limits *limits, uint8_t *touched)
{
	struct counts c = {0};
	memset(touched, SIM_UNTOUCHED, image->size / SECTOR);
	sim_disk_watch(disk, touched, image->size / SECTOR);
	judge(&c, "as it was", image->bytes, image->size, limits);
	sim_disk_watch(disk, NULL, 0);
	assert_int_equal(c.wrong, 0);
}

static void find_read_again(struct reader *readers, struct standing *standing)
{
	for (size_t object = 0; object <= images.history.objects; object++) {
		uint64_t bit = object < images.history.objects ? (uint64_t)1 << object : 0;
		const uint8_t *touched = standing_reads(standing, bit);
		for (size_t i = 0; i < standing->sectors; i++)
			readers[i].again |=
			    touched[i] == SIM_READ && (bit ? readers[i].objects & bit : !readers[i].objects);
	}
}

static struct reader *readers_of(const struct image *image, struct rot_limits limits)
{
	size_t count = image->size / SECTOR;
	struct reader *readers = calloc(count, sizeof(*readers));
	uint8_t *touched = malloc(count);
	assert_true(readers && touched && images.history.objects <= 64);
	for (int write = 0; write < 2; write++) {
		limits.write = write;
		watch(image, &limits, touched);
		for (size_t i = 0; i < count; i++)
			readers[i].any |= touched[i] == SIM_READ;
	}
	limits.write = false;
	limits.reach_only = true;
	watch(image, &limits, touched);
	for (size_t i = 0; i < count; i++)
		readers[i].opening = touched[i] == SIM_READ;
	for (size_t object = 0; object < images.history.objects; object++) {
		limits.reach = (uint64_t)1 << object;
		watch(image, &limits, touched);
		for (size_t i = 0; i < count; i++)
			readers[i].objects |= touched[i] == SIM_READ ? limits.reach : 0;
	}
	free(touched);
	return readers;
}

/* A bit that only reads of some objects come by, or only a check, cannot change what other calls do before:
 * so these are enough, and only now and then everything is looked at, by which it shows that nobody else was
 * reached. Nor can it change how the store opens: most of them need no open of their own. True for those. */
static bool limit_reach(struct rot_limits *limits, const struct reader *reader, uint64_t state)
{
	limits->write = state % WRITE_ONE_IN == 0;
	limits->reach = reader->opening ? 0 : reader->objects;
	bool whole = reader->opening || limits->write || state % WHOLE_ONE_IN == 0;
	limits->reach_only = limits->reach != 0 && !whole;
	return reader->again && !whole && (!limits->reach || state % OPEN_ONE_IN != 0);
}

static void judge_standing(struct counts *c, const char *what, struct standing *standing,
                           const struct rot_limits *limits, uint64_t sector)
{
	char why[HISTORY_WHY] = "";
	struct rot_verdict v;
	c->states++;
	c->standing++;
	if (standing_judge(standing, limits, sector, &v, why))
		count(c, &v);
	else
		tell(c, what, why);
}

static void judge_bit(struct counts *c, struct standing *standing, const uint8_t *bytes, uint64_t bit,
                      const struct reader *reader, struct rot_limits *limits)
{
	char what[80];
	bool stands = limit_reach(limits, reader, c->states);
	snprintf(what, sizeof(what), "bit %llu of byte %llu", (unsigned long long)bit % 8,
	         (unsigned long long)bit / 8);
	if (stands)
		judge_standing(c, what, standing, limits, bit / 8 / SECTOR);
	else
		judge(c, what, bytes, standing->sectors * SECTOR, limits);
}

/* Nothing of all that was found stays behind in the store. */
static void judge_soundness(struct counts *c, struct standing *standing)
{
	char why[HISTORY_WHY] = "";
	if (!standing_is_sound(standing, why))
		tell(c, "the open store, all bits as they were", why);
}

/* All of its bits at once; it is never read, so that stands for each of them. */
static void flip_unread_sector(struct counts *c, uint8_t *bytes, uint64_t size, uint64_t sector,
                               struct rot_limits *limits)
{
	char what[80];
	*limits = (struct rot_limits){
	    .low = limits->low, .high = limits->high, .must_open = limits->must_open, .write = true};
	snprintf(what, sizeof(what), "unread sector %llu", (unsigned long long)sector);
	for (int twice = 0; twice < 2; twice++) {
		for (uint64_t i = 0; i < SECTOR; i++)
			bytes[sector * SECTOR + i] ^= 0xff;
		if (!twice)
			judge(c, what, bytes, size, limits);
	}
}

/* The bits of the first superblocks, the log, the table and all contents; a clean store survives any one. */
static void any_bit_flipped(void **state)
{
	const struct image *image = *state;
	uint8_t *bytes = copy_of(image);
	struct counts c = {0};
	struct standing standing;
	struct rot_limits limits = limits_of(image);
	limits.must_open = image == &images.clean;
	struct reader *readers = readers_of(image, limits);
	standing_open(&standing, &images.history, image, bytes);
	find_read_again(readers, &standing);
	for (uint64_t bit = 0; bit < image->size * 8 && c.wrong < MANY; bit += bit_step) {
		uint64_t sector = bit / 8 / SECTOR;
		if (!readers[sector].any) {
			flip_unread_sector(&c, bytes, image->size, sector, &limits);
			bit = (sector + 1) * SECTOR * 8 - bit_step;
			continue;
		}
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		judge_bit(&c, &standing, bytes, bit, &readers[sector], &limits);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		if (c.states % SOUND_ONE_IN == 0)
			judge_soundness(&c, &standing);
	}
	judge_soundness(&c, &standing);
	standing_close(&standing);
	free(readers);
	free(bytes);
	say("bits", &c);
	assert_int_equal(c.wrong, 0);
	assert_true(c.damaged > 0 && c.harmless > 0 && c.standing > 0);
}

static bool in_log(const struct image *image, uint64_t block)
{
	struct disk_superblock sb;
	memcpy(&sb, image->bytes, sizeof(sb));
	uint64_t offset = ps_get64(sb.ring[0].offset);
	return block * PAGE >= offset && block * PAGE < offset + ps_get64(sb.ring[0].len);
}

static void any_two_blocks_swapped(void **state)
{
	const struct image *image = *state;
	uint8_t *bytes = copy_of(image);
	struct counts c = {0};
	struct rot_limits limits = limits_of(image);
	const size_t low = limits.low;
	char what[80];
	limits.write = true;
	for (uint64_t a = 0; a < image->size / PAGE; a++) {
		for (uint64_t b = a + 1; b < image->size / PAGE && c.wrong < MANY; b++) {
			memcpy(bytes + a * PAGE, image->bytes + b * PAGE, PAGE);
			memcpy(bytes + b * PAGE, image->bytes + a * PAGE, PAGE);
			snprintf(what, sizeof(what), "blocks %llu and %llu swapped", (unsigned long long)a,
			         (unsigned long long)b);
			/* The last log block gone, and an extent that only the one before vouches for: the
			 * same as if neither had ever been written. */
			limits.low = low - (image == &images.unclean && in_log(image, a) != in_log(image, b));
			judge(&c, what, bytes, image->size, &limits);
			memcpy(bytes + a * PAGE, image->bytes + a * PAGE, PAGE);
			memcpy(bytes + b * PAGE, image->bytes + b * PAGE, PAGE);
		}
	}
	free(bytes);
	say("swapped blocks", &c);
	assert_int_equal(c.wrong, 0);
}

/* Each block in turn as `other` has it, or filled with a byte. */
static void replace_each_block(const struct image *image, const char *name, const struct image *other,
                               int byte)
{
	uint8_t *bytes = copy_of(image);
	struct counts c = {0};
	struct rot_limits limits = limits_of(image);
	char what[80];
	limits.write = true;
	for (uint64_t at = 0; at < image->size && c.wrong < MANY; at += PAGE) {
		if (!other)
			memset(bytes + at, byte, PAGE);
		else if (at < other->size)
			memcpy(bytes + at, other->bytes + at, PAGE);
		snprintf(what, sizeof(what), "block %llu: %s", (unsigned long long)(at / PAGE), name);
		judge(&c, what, bytes, image->size, &limits);
		memcpy(bytes + at, image->bytes + at, PAGE);
	}
	free(bytes);
	say(name, &c);
	assert_int_equal(c.wrong, 0);
}

static void any_block_lost(void **state)
{
	const struct image *image = *state;
	replace_each_block(image, "zeros", NULL, 0);
	replace_each_block(image, "ones", NULL, 0xff);
	replace_each_block(image, "as two lives before", &images.old, 0);
	if (image == &images.unclean)
		replace_each_block(image, "as a life before", &images.clean, 0);
}

/* All writes of the superblock were lost, those of the rest were not. The log knows that it is newer. */
static void old_superblocks_are_refused(void **state)
{
	const struct image *image = *state, *older[] = {&images.old, &images.clean};
	for (size_t i = 0; i < 2; i++) {
		char what[80], why[HISTORY_WHY] = "";
		struct rot_verdict v;
		uint8_t *bytes = copy_of(image);
		const struct rot_limits limits = {.low = older[i]->commits, .high = image->commits};
		if (older[i] == image) {
			free(bytes);
			continue;
		}
		memcpy(bytes, older[i]->bytes, SUPERBLOCK_AREA);
		bool right = rot_judge(disk, &images.history, bytes, image->size, &limits, &v, why);
		free(bytes);
		snprintf(what, sizeof(what), "superblocks of %s", i ? "one life before" : "two lives before");
		if (!right)
			fail_msg("%s: %s", what, why);
		if (v.open != PS_ECORRUPT)
			fail_msg("%s: opened: %s", what, ps_error_name(v.open));
	}
}

/* Nothing in the log is newer than an image that is old as a whole: it is the store as it was. */
static void whole_old_image_is_the_old_store(void **state)
{
	(void)state;
	struct counts c = {0};
	struct rot_limits limits = {
	    .low = images.old.commits, .high = images.old.commits, .must_open = true, .write = true};
	judge(&c, "whole old image", images.old.bytes, images.old.size, &limits);
	assert_int_equal(c.harmless, 1);
}

static int setup(void **state)
{
	(void)state;
	images_build(&images);
	disk = sim_disk_new(NULL, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sim_disk_free(disk);
	images_done(&images);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "long") == 0)
		bit_step = 1;
	const char *only = argc > 2 ? argv[2] : "";
	const struct CMUnitTest clean[] = {
	    cmocka_unit_test(images_are_sound),
	    cmocka_unit_test(whole_old_image_is_the_old_store),
	    cmocka_unit_test_prestate(old_superblocks_are_refused, &images.clean),
	    cmocka_unit_test_prestate(any_block_lost, &images.clean),
	    cmocka_unit_test_prestate(any_two_blocks_swapped, &images.clean),
	    cmocka_unit_test_prestate(any_bit_flipped, &images.clean),
	};
	const struct CMUnitTest unclean[] = {
	    cmocka_unit_test_prestate(old_superblocks_are_refused, &images.unclean),
	    cmocka_unit_test_prestate(any_block_lost, &images.unclean),
	    cmocka_unit_test_prestate(any_two_blocks_swapped, &images.unclean),
	    cmocka_unit_test_prestate(any_bit_flipped, &images.unclean),
	};
	int failed = 0;
	if (strcmp(only, "unclean") != 0)
		failed += cmocka_run_group_tests(clean, setup, teardown);
	if (strcmp(only, "clean") != 0)
		failed += cmocka_run_group_tests(unclean, setup, teardown);
	return failed;
}
