/* A store whose making a crash cut off is made anew; a file that is anything else stays as it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "store/base_internal.h"
#include "tests/support/sim_disk.h"

enum { FILE_BYTES = 160 << 10 };

static int open_image(struct sim_disk *disk, int mode, ps_storer **s)
{
	const struct ps_base_options options = {.size = sizeof(options),
	                                        .mode = mode,
	                                        .background = PS_BACKGROUND_NONE,
	                                        .log_bytes = 16 << 10,
	                                        .initial_bytes = FILE_BYTES};
	return ps_base_open_io(sim_disk_io(disk), sim_disk_size(disk) == 0, &options, s);
}

/* The file of a new store that nothing was written to. */
static void make_image(uint8_t image[FILE_BYTES])
{
	struct sim_disk *disk = sim_disk_new(NULL, 0);
	ps_storer *s;
	assert_int_equal(open_image(disk, PS_OPEN_DEFAULT, &s), PS_OK);
	assert_int_equal(ps_close(s), PS_OK);
	assert_int_equal(sim_disk_size(disk), FILE_BYTES);
	sim_disk_image(disk, image);
	sim_disk_free(disk);
}

static void expect_made(const uint8_t *image, uint64_t size)
{
	struct sim_disk *disk = sim_disk_new(image, size);
	ps_storer *s;
	ps_id id;
	assert_int_equal(open_image(disk, PS_OPEN_DEFAULT, &s), PS_OK);
	assert_int_equal(ps_put(s, "new", 3, &id), PS_OK);
	assert_int_equal(ps_check(s, PS_CHECK_FULL, NULL, NULL), PS_OK);
	assert_int_equal(ps_close(s), PS_OK);
	sim_disk_free(disk);
}

static void expect_untouched(const uint8_t *image, uint64_t size, int mode)
{
	struct sim_disk *disk = sim_disk_new(image, size);
	uint8_t *now = malloc(size);
	ps_storer *s = NULL;
	assert_non_null(now);
	int err = open_image(disk, mode, &s);
	assert_true(err == PS_EFORMAT || err == PS_ECORRUPT);
	assert_int_equal(sim_disk_size(disk), size);
	assert_int_equal(sim_disk_trace(disk)->count, 0);
	sim_disk_image(disk, now);
	assert_memory_equal(now, image, size);
	free(now);
	sim_disk_free(disk);
}

static void drop_slots(uint8_t *image, int first, int end)
{
	for (int i = first; i < end; i++)
		memset(image + superblock_offset(i), 0, SECTOR);
}

static void an_unfinished_store_is_made_anew(void **state)
{
	static uint8_t image[FILE_BYTES], other[FILE_BYTES];
	(void)state;
	expect_made(image, PAGE);
	expect_made(image, FILE_BYTES - PAGE);
	expect_made(image, FILE_BYTES);
	for (int slot = 0; slot < 2; slot++) {
		make_image(image);
		drop_slots(image, 0, slot);
		drop_slots(image, slot + 1, SUPERBLOCKS);
		expect_made(image, FILE_BYTES);
	}
	/* Made twice, cut off twice. */
	make_image(image);
	make_image(other);
	memcpy(image + superblock_offset(1), other + superblock_offset(1), SECTOR);
	drop_slots(image, 2, SUPERBLOCKS);
	expect_made(image, FILE_BYTES);
}

static void only_a_default_open_makes_it(void **state)
{
	static uint8_t image[FILE_BYTES];
	(void)state;
	expect_untouched(image, FILE_BYTES, PS_OPEN_EXISTING);
	expect_untouched(image, FILE_BYTES, PS_OPEN_READONLY);
}

static void what_holds_anything_else_stays(void **state)
{
	static uint8_t image[2 * FILE_BYTES];
	static const size_t at[] = {0,     SECTOR, SUPERBLOCK_AREA - 1, SUPERBLOCK_AREA,
	                            40000, 100000, FILE_BYTES - 1};
	(void)state;
	expect_untouched(image, FILE_BYTES + PAGE, PS_OPEN_DEFAULT);
	expect_untouched(image, PAGE + 100, PS_OPEN_DEFAULT);
	for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		memset(image, 0, sizeof(image));
		image[at[i]] = 1;
		expect_untouched(image, FILE_BYTES, PS_OPEN_DEFAULT);
		make_image(image);
		drop_slots(image, 1, SUPERBLOCKS);
		image[at[i]] ^= 1;
		expect_untouched(image, FILE_BYTES, PS_OPEN_DEFAULT);
	}
	/* A store that was written to, of whose superblocks one is left. */
	struct sim_disk *disk = sim_disk_new(NULL, 0);
	ps_storer *s;
	assert_int_equal(open_image(disk, PS_OPEN_DEFAULT, &s), PS_OK);
	assert_int_equal(store_begin_writing(store_of(s)), PS_OK);
	sim_disk_image(disk, image);
	drop_slots(image, 1, SUPERBLOCKS);
	expect_untouched(image, FILE_BYTES, PS_OPEN_DEFAULT);
	assert_int_equal(ps_close(s), PS_OK);
	sim_disk_free(disk);
	/* Or two of them, one from before. */
	make_image(image);
	drop_slots(image, 0, 2);
	image[superblock_offset(2) + 100] ^= 1;
	expect_untouched(image, FILE_BYTES, PS_OPEN_DEFAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_unfinished_store_is_made_anew),
	    cmocka_unit_test(only_a_default_open_makes_it),
	    cmocka_unit_test(what_holds_anything_else_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
