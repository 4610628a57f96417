/* A local index whose file was damaged: cut, sectors zeroed, swapped, taken from an older state. It is
 * refused and left as it is, or it says all that it said before; never something else, and never nothing. */
#include "tests/remote/index_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { INSTANCES = 24, PAGE = 4096 };

struct world {
	struct sim_disk *disk;
	struct dice dice;
	uint8_t *image, *old, *damaged, *left; /* old: an earlier state of the same index */
	uint64_t size, old_size, sum;
	uint64_t refused, late, harmless; /* late: opened, and refused when it was read */
};

static void adopt_blob(ps_index *index, struct dice *dice, const char *name, unsigned pads)
{
	struct ps_record record;
	ps_index_txn *txn;
	make_blob(dice, ps_index_memory(index), name, pads, &record);
	record.base = record.version;
	record.flags &= (uint16_t)~PS_RECORD_DIRTY;
	ok(ps_index_begin(index, &txn));
	ok(ps_txn_adopt(txn, &record));
	ok(ps_txn_set_note(txn, PS_NOTE_SYNC, name, strlen(name)));
	ok(ps_index_commit(txn));
	ps_record_done(&record);
}

static void remove_blob(ps_index *index, const char *name)
{
	struct ps_record record;
	ps_index_txn *txn;
	ok(ps_index_get(index, PS_RECORD_BLOB, name, strlen(name), &record));
	ok(ps_index_begin(index, &txn));
	ok(ps_txn_remove(txn, PS_RECORD_BLOB, name, strlen(name), false));
	ok(ps_txn_let_go(txn, &record.sets[PS_SET_CURRENT], 3));
	ok(ps_index_commit(txn));
	ps_record_done(&record);
}

static uint8_t *image_of(const struct sim_disk *disk, uint64_t *size)
{
	*size = sim_disk_size(disk);
	uint8_t *image = malloc(*size);
	assert_non_null(image);
	sim_disk_image(disk, image);
	return image;
}

/* Blobs of 1 to 40 pads, some removed; closed in between, so that the older image is a whole one. */
static void fill(struct world *w, uint64_t seed)
{
	char name[16];
	w->dice.state = seed;
	w->disk = sim_disk_new(NULL, 0);
	ps_index *index = index_on(w->disk, true);
	sim_disk_set_tracing(w->disk, false);
	unsigned half = 6 + (unsigned)roll_below(&w->dice, 6);
	for (unsigned i = 0; i < 2 * half; i++) {
		if (i == half) {
			ok(ps_index_close(index));
			w->old = image_of(w->disk, &w->old_size);
			index = index_on(w->disk, false);
		}
		(void)snprintf(name, sizeof(name), "blob %u", i);
		adopt_blob(index, &w->dice, name, 1 + (unsigned)roll_below(&w->dice, 40));
		(void)snprintf(name, sizeof(name), "blob %u", i / 2);
		if (i % 5 == 4)
			remove_blob(index, name);
	}
	w->sum = index_sum(index);
	ok(ps_index_close(index));
	w->image = image_of(w->disk, &w->size);
	w->damaged = malloc(w->size + w->old_size);
	w->left = malloc(2 * (w->size + w->old_size));
	assert_true(w->damaged && w->left);
}

static void done(struct world *w)
{
	sim_disk_free(w->disk);
	free(w->image);
	free(w->old);
	free(w->damaged);
	free(w->left);
}

/* What was damaged is opened: refused and untouched, or as it was. */
static void judge(struct world *w, uint64_t size, const char *what, uint64_t where)
{
	ps_index *index = NULL;
	sim_disk_reset(w->disk, w->damaged, size);
	int err = index_try(w->disk, false, &test_binding, &index);
	if (err != PS_OK) {
		w->refused++;
		assert_true(*ps_last_error_message());
		if (err != PS_ECORRUPT && err != PS_EFORMAT && err != PS_EVERSION)
			fail_msg("%s at %llu: %s: %s", what, (unsigned long long)where, ps_error_name(err),
			         ps_last_error_message());
		assert_int_equal(sim_disk_size(w->disk), size);
		sim_disk_image(w->disk, w->left);
		if (memcmp(w->left, w->damaged, size) != 0)
			fail_msg("%s at %llu: refused, and changed", what, (unsigned long long)where);
		return;
	}
	uint64_t sum;
	err = index_try_sum(index, &sum);
	if (err == PS_OK && sum != w->sum)
		fail_msg("%s at %llu: it says something else", what, (unsigned long long)where);
	if (err == PS_OK)
		err = ps_index_verify(index, NULL, NULL);
	/* Where a summary was believed, a record's damage is found when the record is read. */
	if (err != PS_OK && (err != PS_ECORRUPT || test_summary_from == 0))
		fail_msg("%s at %llu: opened, then %s: %s", what, (unsigned long long)where,
		         ps_error_name(err), ps_last_error_message());
	w->late += err != PS_OK;
	w->harmless += err == PS_OK;
	ok(ps_index_close(index));
}

static void report(const struct world *w, const char *what)
{
	print_message("%s: %llu refused, %llu when they were read, %llu harmless\n", what,
	              (unsigned long long)w->refused, (unsigned long long)w->late,
	              (unsigned long long)w->harmless);
	assert_true(w->refused > 0);
}

static void restore(struct world *w)
{
	memcpy(w->damaged, w->image, w->size);
}

static void cut_at_every_page(void **state)
{
	(void)state;
	struct world w = {0};
	fill(&w, test_seed(5));
	restore(&w);
	for (uint64_t size = PAGE; size < w.size; size += PAGE)
		judge(&w, size, "cut", size);
	report(&w, "cut");
	done(&w);
}

static void every_sector_zeroed(void **state)
{
	(void)state;
	struct world w = {0};
	fill(&w, test_seed(6));
	for (uint64_t at = 0; at + SIM_SECTOR <= w.size; at += SIM_SECTOR * test_one_in()) {
		restore(&w);
		memset(w.damaged + at, 0, SIM_SECTOR);
		if (memcmp(w.damaged, w.image, w.size) != 0)
			judge(&w, w.size, "a zeroed sector", at);
	}
	report(&w, "zeroed");
	done(&w);
}

static void swap(struct world *w, uint64_t a, uint64_t b)
{
	restore(w);
	memcpy(w->damaged + a, w->image + b, SIM_SECTOR);
	memcpy(w->damaged + b, w->image + a, SIM_SECTOR);
	if (memcmp(w->damaged, w->image, w->size) != 0)
		judge(w, w->size, "a swapped sector", a);
}

static void every_sector_swapped(void **state)
{
	(void)state;
	struct world w = {0};
	fill(&w, test_seed(7));
	uint64_t sectors = w.size / SIM_SECTOR;
	for (uint64_t i = 0; i + 1 < sectors; i += test_one_in()) {
		swap(&w, i * SIM_SECTOR, (i + 1) * SIM_SECTOR);
		swap(&w, i * SIM_SECTOR, roll_below(&w.dice, sectors) * SIM_SECTOR);
	}
	report(&w, "swapped");
	done(&w);
}

/* Many sectors at once, of many indexes: zeroed, random, or as they were in an older state of the same index.
 */
static void seeded_damage(void **state)
{
	(void)state;
	uint64_t seed = test_seed(100);
	struct world total = {0};
	for (uint64_t i = 0; i < INSTANCES; i++) {
		struct world w = {0};
		fill(&w, seed + i);
		for (unsigned round = 0; round < 20; round++) {
			restore(&w);
			unsigned sectors = 1 + (unsigned)roll_below(&w.dice, 30);
			for (unsigned k = 0; k < sectors; k++) {
				uint64_t at = roll_below(&w.dice, w.size / SIM_SECTOR) * SIM_SECTOR;
				if (round % 3 == 0)
					memset(w.damaged + at, 0, SIM_SECTOR);
				else if (round % 3 == 1)
					roll_bytes(&w.dice, w.damaged + at, SIM_SECTOR);
				else if (at + SIM_SECTOR <= w.old_size)
					memcpy(w.damaged + at, w.old + at, SIM_SECTOR);
			}
			judge(&w, w.size, "seeded damage", i);
		}
		total.refused += w.refused;
		total.late += w.late;
		total.harmless += w.harmless;
		done(&w);
	}
	report(&total, "seeded damage");
}

static void the_same_where_a_summary_is_believed(void **state)
{
	test_summary_from = 1;
	cut_at_every_page(state);
	every_sector_zeroed(state);
	every_sector_swapped(state);
	seeded_damage(state);
	test_summary_from = 0;
}

/* A store in which there is nothing: lost, or not yet made; who opens it cannot know. */
static void an_empty_store_is_never_begun_anew(void **state)
{
	(void)state;
	struct sim_disk *disk = sim_disk_new(NULL, 0);
	for (unsigned i = 0; i < 3; i++) {
		ps_index *index = NULL;
		refused(index_try(disk, false, &test_binding, &index), PS_ECORRUPT);
		assert_null(index);
	}
	sim_disk_free(disk);
}

/* ---- by its name, in a folder ---- */

static void write_file(const char *path, const uint8_t *bytes, size_t len)
{
	FILE *file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

/* A file of zeros of any length, and one cut to any length below a page, is no new index either. */
static void an_emptied_file_is_never_begun_anew(void **state)
{
	(void)state;
	char folder[] = "/tmp/padstone-index-XXXXXX", path[64];
	static uint8_t bytes[1 << 20];
	struct stat info;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/index", folder);
	ok(ps_index_make(folder, &test_binding, NULL));
	FILE *file = fopen(path, "rb");
	assert_non_null(file);
	(void)!fread(bytes, 1, PAGE, file);
	assert_int_equal(fclose(file), 0);
	for (size_t i = 0; i < 2 * (size_t)INSTANCES; i++) {
		ps_index *index = NULL;
		size_t len = i % 2 ? (i / 2) * 41 : i * 16384;
		if (i % 2 == 0)
			memset(bytes, 0, PAGE);
		write_file(path, bytes, len);
		int err = ps_index_open(folder, &test_binding, NULL, &index);
		if (err != PS_ECORRUPT && err != PS_EFORMAT)
			fail_msg("%zu bytes: %s", len, ps_error_name(err));
		refused(ps_index_make(folder, &test_binding, NULL), PS_EEXIST);
		assert_int_equal(stat(path, &info), 0);
		assert_int_equal(info.st_size, len);
	}
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(cut_at_every_page),
	    cmocka_unit_test(every_sector_zeroed),
	    cmocka_unit_test(every_sector_swapped),
	    cmocka_unit_test(seeded_damage),
	    cmocka_unit_test(the_same_where_a_summary_is_believed),
	    cmocka_unit_test(an_empty_store_is_never_begun_anew),
	    cmocka_unit_test(an_emptied_file_is_never_begun_anew),
	};
	return cmocka_run_group_tests_name("local index, damage", tests, NULL, NULL);
}
