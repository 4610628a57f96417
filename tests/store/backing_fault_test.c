/* Contents that are away, where they cannot be fetched, come wrong, or find no room; and what is damaged in
 * the file and is not elsewhere. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "tests/store/backing_world.h"

static void without_a_backing_the_sentence_names_the_object(void **state)
{
	struct fixture *f = *state;
	char name[32], byte;
	size_t got;
	all_away(f);
	OK(copies_detach(f->s));
	for (unsigned i = 0; i < SIZES; i++) {
		(void)snprintf(name, sizeof(name), "0x%llx", (unsigned long long)f->ids[i]);
		assert_int_equal(ps_read_at(f->s, f->ids[i], 0, &byte, 1, &got), PS_EUNAVAILABLE);
		assert_non_null(strstr(ps_last_error_message(), name));
	}
	assert_int_equal(ps_backing_evict(f->s, 0, NULL, NULL, NULL), PS_EUNAVAILABLE);
	OK(copies_attach(f->copies, f->s));
	all_are_there(f);
}

static void a_failed_fetch_fails_its_own_call(void **state)
{
	struct fixture *f = *state;
	struct ps_get_many reqs[2];
	uint8_t small[700], large[700];
	all_away(f);
	expect(f->s, f->ids[1], 1, sizes[1]);
	copies_fail(f->copies, PS_EUNAVAILABLE);
	reqs[0] = (struct ps_get_many){.id = f->ids[1], .buf = small, .cap = sizeof(small)};
	reqs[1] = (struct ps_get_many){.id = f->ids[7], .buf = large, .cap = sizeof(large)};
	OK(ps_get_many(f->s, 2, reqs));
	assert_int_equal(reqs[0].status, PS_OK);
	assert_int_equal(reqs[1].status, PS_EUNAVAILABLE);
	copies_fail(f->copies, PS_ELOST);
	size_t got;
	assert_int_equal(ps_read_at(f->s, f->ids[3], 10, large, 100, &got), PS_ELOST);
	assert_int_equal(ps_write_at(f->s, f->ids[4], 5, "x", 1), PS_ELOST);
	assert_int_equal(ps_write_at(f->s, f->ids[7], 5, "x", 1), PS_ELOST);
	put(f->s, 9, 100);
	copies_fail(f->copies, PS_OK);
	all_are_there(f);
}

static void a_lie_is_never_data(void **state)
{
	struct fixture *f = *state;
	uint8_t *buf = malloc(sizes[SIZES - 1]);
	size_t got;
	assert_non_null(buf);
	all_away(f);
	copies_lie(f->copies, true);
	for (unsigned i = 0; i < SIZES; i++)
		assert_int_equal(ps_get(f->s, f->ids[i], buf, sizes[i], &got), PS_ECORRUPT);
	assert_int_equal(ps_write_at(f->s, f->ids[3], 5, "x", 1), PS_ECORRUPT);
	copies_lie(f->copies, false);
	all_are_there(f);
	free(buf);
}

static void a_full_disk_is_no_reason_not_to_read(void **state)
{
	struct fixture *f = *state;
	struct ps_stats stats;
	ps_id id;
	all_away(f);
	OK(ps_compact(f->s, 0, NULL, NULL));
	OK(ps_stats(f->s, &stats));
	sim_disk_limit(f->disk, stats.file_bytes);
	uint8_t *bytes = bytes_of(1, 4096);
	while (ps_put(f->s, bytes, 4096, &id) == PS_OK)
		;
	free(bytes);
	all_are_there(f);
	all_are_there(f);
	assert_true(figures(f->s).away_bytes > 3 * M);
	/* What fills it can leave as well. */
	OK(copies_push_and_evict(f->copies, f->s));
	sim_disk_limit(f->disk, 0);
	all_are_there(f);
	assert_int_equal(figures(f->s).away_objects, stats.objects - SIZES + figures(f->s).away_objects);
}

static void a_store_that_is_only_read_fetches(void **state)
{
	struct fixture *f = *state;
	all_away(f);
	OK(ps_close(f->s));
	open_store(f, PS_OPEN_READONLY);
	all_are_there(f);
	assert_int_equal(figures(f->s).local_bytes, 0);
	assert_int_equal(ps_backing_evict(f->s, 0, NULL, NULL, NULL), PS_EREADONLY);
	reopen(f);
}

static void who_reads_on_is_fetched_for_ahead(void **state)
{
	struct fixture *f = *state;
	ps_reader *r;
	uint8_t part[4096];
	size_t got, at = 0;
	all_away(f);
	OK(ps_open_reader(f->s, f->ids[7], &r));
	do {
		OK(ps_reader_read(r, part, sizeof(part), &got));
		for (size_t j = 0; j < got; j++)
			assert_int_equal(part[j], byte_at(7, at + j));
		at += got;
	} while (got);
	OK(ps_reader_finish(r));
	struct copies_counts counts = copies_counts(f->copies);
	assert_int_equal(counts.fetches, 4); /* of 16 pieces, three mebibytes and a bit */
	assert_int_equal(counts.longest, M);
	assert_int_equal(counts.bytes, sizes[7]);
	/* Here and there: one piece each. */
	all_leave(f);
	OK(ps_open_reader(f->s, f->ids[7], &r));
	for (unsigned i = 0; i < 10; i++) {
		OK(ps_reader_seek(r, (i * 7 % 10 + 1) * 4 * (64 * K)));
		OK(ps_reader_read(r, part, 100, &got));
	}
	OK(ps_reader_finish(r));
	assert_int_equal(copies_counts(f->copies).bytes - counts.bytes, 10 * 64 * K);
}

/* A byte of the object's contents on the disk is another; nothing of it is in memory. */
static void damage(struct fixture *f, ps_id id, uint64_t at)
{
	struct ps_info info;
	OK(ps_info(f->s, id, &info));
	OK(ps_close(f->s));
	uint64_t size = sim_disk_size(f->disk);
	uint8_t *image = malloc(size);
	assert_non_null(image);
	sim_disk_image(f->disk, image);
	image[info.offset + at] ^= 1;
	sim_disk_reset(f->disk, NULL, 0);
	struct ps_io *io = sim_disk_io(f->disk);
	OK(io->ops->allocate(io, 0, size));
	OK(ps_io_write(io, 0, image, size, false));
	free(image);
	open_store(f, PS_OPEN_DEFAULT);
}

static void what_is_damaged_here_heals(void **state)
{
	struct fixture *f = *state;
	for (unsigned i = 0; i < SIZES; i++)
		f->ids[i] = put(f->s, i, sizes[i]);
	OK(copies_push(f->copies, f->s));
	for (unsigned i = 0; i < SIZES; i++) {
		damage(f, f->ids[i], sizes[i] > 64 * K ? 64 * K - 1 : sizes[i] / 2);
		copies_fail(f->copies, PS_EUNAVAILABLE);
		uint8_t byte;
		size_t got;
		assert_int_equal(ps_read_at(f->s, f->ids[i], 0, &byte, 1, &got), PS_ECORRUPT);
		copies_fail(f->copies, PS_OK);
		copies_lie(f->copies, true);
		assert_int_equal(ps_read_at(f->s, f->ids[i], 0, &byte, 1, &got), PS_ECORRUPT);
		copies_lie(f->copies, false);
		assert_int_equal(ps_check(f->s, PS_CHECK_FULL, NULL, NULL), PS_ECORRUPT);
		expect(f->s, f->ids[i], i, sizes[i]);
		assert_int_equal(figures(f->s).healed, 1);
		assert_int_equal(copies_counts(f->copies).healed, i + 1);
		/* For good. */
		OK(copies_detach(f->s));
		expect(f->s, f->ids[i], i, sizes[i]);
		reopen(f);
		OK(ps_check(f->s, PS_CHECK_FULL, NULL, NULL));
	}
	assert_int_equal(figures(f->s).away_bytes, 0);
}

static void views_and_cuts_heal_as_well(void **state)
{
	struct fixture *f = *state;
	struct ps_view v;
	for (unsigned i = 0; i < SIZES; i++)
		f->ids[i] = put(f->s, i, sizes[i]);
	OK(copies_push(f->copies, f->s));
	for (unsigned i = 0; i < SIZES; i++) {
		uint8_t *want = bytes_of(i, sizes[i]);
		damage(f, f->ids[i], 0);
		OK(ps_view(f->s, f->ids[i], &v));
		assert_memory_equal(v.data, want, sizes[i]);
		OK(ps_view_release(&v));
		damage(f, f->ids[i], 0);
		struct copies *all = copies_new();
		OK(copies_push(all, f->s));
		copies_free(all);
		assert_int_equal(figures(f->s).healed, 1);
		expect(f->s, f->ids[i], i, sizes[i]);
		free(want);
	}
}

static void what_is_damaged_and_not_confirmed_stays_damaged(void **state)
{
	struct fixture *f = *state;
	uint8_t buf[5000];
	size_t got;
	ps_id id = put(f->s, 1, 5000);
	OK(copies_push(f->copies, f->s));
	OK(ps_write_at(f->s, id, 0, "new", 3));
	damage(f, id, 4000);
	assert_int_equal(ps_get(f->s, id, buf, sizeof(buf), &got), PS_ECORRUPT);
	assert_int_equal(copies_counts(f->copies).fetches, 0);
	OK(ps_delete(f->s, id));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(without_a_backing_the_sentence_names_the_object),
	    TEST(a_failed_fetch_fails_its_own_call),
	    TEST(a_lie_is_never_data),
	    TEST(a_full_disk_is_no_reason_not_to_read),
	    TEST(a_store_that_is_only_read_fetches),
	    TEST(who_reads_on_is_fetched_for_ahead),
	    TEST(what_is_damaged_here_heals),
	    TEST(views_and_cuts_heal_as_well),
	    TEST(what_is_damaged_and_not_confirmed_stays_damaged),
	};
	return cmocka_run_group_tests_name("backing faults", tests, NULL, NULL);
}
