/* Contents that are kept elsewhere as well: they leave the file and come back, and no call tells the
 * difference. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "tests/store/backing_world.h"

static void what_is_away_is_read_by_get(void **state)
{
	struct fixture *f = *state;
	all_away(f);
	all_are_there(f);
	assert_int_equal(figures(f->s).away_bytes, 0);
	unsigned fetches = copies_counts(f->copies).fetches;
	all_are_there(f);
	assert_int_equal(copies_counts(f->copies).fetches, fetches);
}

static void what_is_away_is_read_in_parts(void **state)
{
	struct fixture *f = *state;
	all_away(f);
	for (unsigned i = 0; i < SIZES; i++) {
		uint8_t part[300];
		size_t got = 0, off = sizes[i] * 2 / 3, want = MIN(sizes[i] - off, sizeof(part));
		OK(ps_read_at(f->s, f->ids[i], off, part, sizeof(part), &got));
		assert_int_equal(got, want);
		for (size_t j = 0; j < got; j++)
			assert_int_equal(part[j], byte_at(i, off + j));
	}
	/* Of the large ones only what was touched. */
	assert_true(figures(f->s).away_bytes > 2 * M);
}

static void what_is_away_is_read_together(void **state)
{
	struct fixture *f = *state;
	struct ps_get_many reqs[SIZES];
	all_away(f);
	for (unsigned i = 0; i < SIZES; i++)
		reqs[i] = (struct ps_get_many){.id = f->ids[i], .buf = malloc(sizes[i]), .cap = sizes[i]};
	OK(ps_get_many(f->s, SIZES, reqs));
	for (unsigned i = 0; i < SIZES; i++) {
		uint8_t *want = bytes_of(i, sizes[i]);
		OK(reqs[i].status);
		assert_int_equal(reqs[i].len, sizes[i]);
		assert_memory_equal(reqs[i].buf, want, sizes[i]);
		free(want);
		free(reqs[i].buf);
	}
}

static void what_is_away_is_viewed(void **state)
{
	struct fixture *f = *state;
	all_away(f);
	for (unsigned i = 0; i < SIZES; i++) {
		struct ps_view v;
		uint8_t *want = bytes_of(i, sizes[i]);
		OK(ps_view(f->s, f->ids[i], &v));
		assert_int_equal(v.len, sizes[i]);
		assert_int_equal((uintptr_t)v.data % (sizes[i] < 4096 ? 16 : 4096), 0);
		/* It stays while the object goes again. */
		all_leave(f);
		assert_memory_equal(v.data, want, sizes[i]);
		OK(ps_view_release(&v));
		free(want);
	}
}

static void a_reader_reads_on_while_all_leaves(void **state)
{
	struct fixture *f = *state;
	all_away(f);
	for (unsigned i = 0; i < SIZES; i++) {
		ps_reader *r;
		uint8_t part[50 * K];
		size_t got, at = 0;
		OK(ps_open_reader(f->s, f->ids[i], &r));
		do {
			OK(ps_reader_read(r, part, sizeof(part), &got));
			for (size_t j = 0; j < got; j++)
				assert_int_equal(part[j], byte_at(i, at + j));
			at += got;
			all_leave(f);
		} while (got);
		assert_int_equal(at, sizes[i]);
		OK(ps_reader_finish(r));
	}
}

static void figures_of_what_is_away_are_right(void **state)
{
	struct fixture *f = *state;
	struct ps_stats stats;
	all_away(f);
	for (unsigned i = 0; i < SIZES; i++) {
		struct ps_info info;
		OK(ps_info(f->s, f->ids[i], &info));
		assert_int_equal(info.size, sizes[i]);
		assert_int_equal(info.offset, 0);
		/* A map stays. */
		assert_true(sizes[i] > 64 * K ? info.allocated <= 2 * 4096 : info.allocated == 0);
	}
	OK(ps_stats(f->s, &stats));
	assert_int_equal(stats.objects, SIZES);
	uint64_t all = 0;
	for (unsigned i = 0; i < SIZES; i++)
		all += sizes[i];
	assert_int_equal(stats.live_bytes, all);
	assert_int_equal(figures(f->s).away_bytes, all);
	assert_int_equal(figures(f->s).dirty_objects, 0);
}

static void a_part_is_written_over_what_is_away(void **state)
{
	struct fixture *f = *state;
	uint8_t patch[3000];
	all_away(f);
	edit(patch, 0, 77, sizeof(patch));
	for (unsigned i = 0; i < SIZES; i++) {
		size_t off = sizes[i] / 2, end = MAX(off + sizeof(patch), sizes[i]);
		uint8_t *want = calloc(1, end);
		assert_non_null(want);
		edit(want, 0, i, sizes[i]);
		edit(want, off, 77, sizeof(patch));
		OK(ps_write_at(f->s, f->ids[i], off, patch, sizeof(patch)));
		expect_bytes(f->s, f->ids[i], want, end);
		OK(copies_push_and_evict(f->copies, f->s));
		expect_bytes(f->s, f->ids[i], want, end);
		free(want);
	}
	/* What was not touched of the largest did not come for it. */
	assert_int_equal(figures(f->s).dirty_objects, 0);
}

static void what_is_away_changes_its_size(void **state)
{
	static const size_t to[] = {0, 10, 6000, 64 * K, 64 * K + 1, 150 * K + 3, 2 * M, 5 * M};
	struct fixture *f = *state;
	for (unsigned i = 0; i < SIZES; i++) {
		for (unsigned j = 0; j < LENGTH(to); j++) {
			ps_id id = put(f->s, i, sizes[i]);
			uint8_t *want = calloc(1, to[j] + 1);
			assert_non_null(want);
			edit(want, 0, i, MIN(sizes[i], to[j]));
			OK(copies_push_and_evict(f->copies, f->s));
			OK(ps_resize(f->s, id, to[j]));
			expect_bytes(f->s, id, want, to[j]);
			OK(ps_delete(f->s, id));
			free(want);
		}
	}
}

static void what_is_away_is_replaced_and_deleted_without_being_fetched(void **state)
{
	struct fixture *f = *state;
	all_away(f);
	for (unsigned i = 0; i < SIZES; i++) {
		uint8_t *bytes = bytes_of(i + 50, sizes[SIZES - 1 - i]);
		if (i % 2)
			OK(ps_delete(f->s, f->ids[i]));
		else
			OK(ps_replace(f->s, f->ids[i], bytes, sizes[SIZES - 1 - i]));
		free(bytes);
	}
	assert_int_equal(copies_counts(f->copies).fetches, 0);
	for (unsigned i = 0; i < SIZES; i += 2)
		expect(f->s, f->ids[i], i + 50, sizes[SIZES - 1 - i]);
	assert_int_equal(copies_counts(f->copies).fetches, 0);
}

static void a_batch_writes_over_what_is_away(void **state)
{
	struct fixture *f = *state;
	ps_batch *b;
	all_away(f);
	OK(ps_batch_begin(f->s, &b));
	for (unsigned i = 0; i < SIZES; i++) {
		OK(ps_batch_write_at(b, f->ids[i], 0, "first", 5));
		OK(ps_batch_write_at(b, f->ids[i], sizes[i], "last", 4));
	}
	OK(ps_batch_commit(b, PS_DURABLE));
	for (unsigned i = 0; i < SIZES; i++) {
		size_t end = MAX(sizes[i], (size_t)5) + (sizes[i] < 5 ? 0 : 4);
		uint8_t *want = calloc(1, end);
		assert_non_null(want);
		edit(want, 0, i, sizes[i]);
		memcpy(want, "first", 5);
		memcpy(want + sizes[i], "last", 4);
		expect_bytes(f->s, f->ids[i], want, MAX(end, sizes[i] + 4));
		free(want);
	}
}

static void leaving_and_coming_back_are_no_changes(void **state)
{
	struct fixture *f = *state;
	struct ps_cut *cut;
	struct ps_cut_info first, second;
	struct ps_cut_object object;
	struct ps_info before[SIZES], now;
	for (unsigned i = 0; i < SIZES; i++) {
		f->ids[i] = put(f->s, i, sizes[i]);
		OK(ps_info(f->s, f->ids[i], &before[i]));
	}
	OK(copies_push(f->copies, f->s));
	OK(ps_cut_begin(f->s, &(struct ps_cut_from){0}, &cut, &first));
	ps_cut_end(cut);
	all_leave(f);
	OK(ps_read_at(f->s, f->ids[SIZES - 1], M, &now, 10, &(size_t){0}));
	expect(f->s, f->ids[2], 2, sizes[2]);
	OK(ps_cut_begin(f->s, &first.here, &cut, &second));
	assert_int_equal(ps_cut_next(cut, &object), PS_ENOTFOUND);
	ps_cut_end(cut);
	for (unsigned i = 0; i < SIZES; i++) {
		OK(ps_info(f->s, f->ids[i], &now));
		assert_int_equal(now.generation, before[i].generation);
		if (sizes[i] <= 64 * K) /* a map's is of its root */
			assert_int_equal(now.checksum, before[i].checksum);
	}
}

static void what_is_not_confirmed_stays(void **state)
{
	struct fixture *f = *state;
	all_away(f);
	all_are_there(f);
	ps_id young = put(f->s, 100, 5000), grown = f->ids[SIZES - 1];
	OK(ps_write_at(f->s, grown, 70 * K, "changed", 7));
	all_leave(f);
	struct ps_backing_figures now = figures(f->s);
	assert_int_equal(now.dirty_objects, 2);
	assert_int_equal(now.dirty_bytes, 5000 + sizes[SIZES - 1]);
	assert_int_equal(now.local_objects, 2);
	/* Of the large one the piece that was changed. */
	assert_int_equal(now.local_bytes, 5000 + 64 * K);
	OK(copies_detach(f->s));
	expect(f->s, young, 100, 5000);
	OK(copies_attach(f->copies, f->s));
	assert_int_equal(ps_backing_confirm(f->s, copies_pushed(f->copies) + 1), PS_EINVAL);
}

/* What is away of an object that has been changed since is asked for as it was when the last confirmed
 * interval ended. */
static void what_is_away_of_a_changed_object_is_of_the_confirmed_interval(void **state)
{
	struct fixture *f = *state;
	uint8_t byte;
	size_t got;
	all_away(f);
	uint64_t pushed = copies_pushed(f->copies);
	OK(ps_write_at(f->s, f->ids[SIZES - 1], 0, "x", 1));
	/* Two more intervals end and are confirmed by nobody. */
	for (int i = 0; i < 2; i++) {
		struct ps_cut *cut;
		struct ps_cut_info info;
		OK(ps_cut_begin(f->s, &(struct ps_cut_from){0}, &cut, &info));
		ps_cut_end(cut);
		OK(ps_write_at(f->s, f->ids[SIZES - 1], 0, "y", 1));
	}
	OK(ps_read_at(f->s, f->ids[SIZES - 1], 2 * M, &byte, 1, &got));
	assert_int_equal(byte, byte_at(SIZES - 1, 2 * M));
	assert_int_equal(copies_counts(f->copies).interval, pushed);
}

static void what_is_away_is_away_after_opens_crashes_and_compactions(void **state)
{
	struct fixture *f = *state;
	all_away(f);
	assert_int_equal(ps_get64(store_of(f->s)->sb.incompatible),
	                 INCOMPATIBLE_INTERVALS | INCOMPATIBLE_AWAY);
	OK(ps_sync(f->s));
	crash(f);
	assert_int_equal(figures(f->s).local_bytes, 0);
	OK(ps_compact(f->s, 0, NULL, NULL));
	assert_int_equal(figures(f->s).local_bytes, 0);
	OK(ps_check(f->s, PS_CHECK_FULL, NULL, NULL));
	reopen(f);
	assert_int_equal(figures(f->s).local_bytes, 0);
	all_are_there(f);
	OK(ps_compact(f->s, 0, NULL, NULL));
	all_are_there(f);
	assert_int_equal(figures(f->s).away_bytes, 0);
}

static void a_cut_of_everything_has_what_is_away(void **state)
{
	struct fixture *f = *state;
	struct copies *all = copies_new();
	all_away(f);
	OK(copies_push(all, f->s));
	/* It was fetched once, in large pieces, and not put into the file. */
	assert_int_equal(figures(f->s).local_bytes, 0);
	assert_true(copies_counts(f->copies).fetches <= SIZES + 3);
	OK(copies_attach(all, f->s));
	all_are_there(f);
	OK(copies_attach(f->copies, f->s));
	copies_free(all);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_is_away_is_read_by_get),
	    TEST(what_is_away_is_read_in_parts),
	    TEST(what_is_away_is_read_together),
	    TEST(what_is_away_is_viewed),
	    TEST(a_reader_reads_on_while_all_leaves),
	    TEST(figures_of_what_is_away_are_right),
	    TEST(a_part_is_written_over_what_is_away),
	    TEST(what_is_away_changes_its_size),
	    TEST(what_is_away_is_replaced_and_deleted_without_being_fetched),
	    TEST(a_batch_writes_over_what_is_away),
	    TEST(leaving_and_coming_back_are_no_changes),
	    TEST(what_is_not_confirmed_stays),
	    TEST(what_is_away_of_a_changed_object_is_of_the_confirmed_interval),
	    TEST(what_is_away_is_away_after_opens_crashes_and_compactions),
	    TEST(a_cut_of_everything_has_what_is_away),
	};
	return cmocka_run_group_tests_name("backing", tests, NULL, NULL);
}
