/* Replace, write_at, resize, alloc: what changes one object. */
#include <stdlib.h>
#include <string.h>

#include "tests/conformance/suite.h"

enum { KIB = 1 << 10, MIB = 1 << 20 };

static void replace_takes_any_length_and_keeps_the_id(void **state)
{
	ps_storer *s = store_of(state);
	ps_id other = put_pattern(s, 5000, 99);
	ps_id id = put_pattern(s, 100, 0);
	for (size_t i = 0; i < conformance_size_count; i++) {
		size_t down = conformance_size_count - 1 - i;
		unsigned char *up_bytes = pattern_new(conformance_sizes[i], i);
		unsigned char *down_bytes = pattern_new(conformance_sizes[down], i + 1000);
		OK(ps_replace(s, id, up_bytes, conformance_sizes[i]));
		expect_bytes(s, id, up_bytes, conformance_sizes[i]);
		OK(ps_replace(s, id, down_bytes, conformance_sizes[down]));
		expect_bytes(s, id, down_bytes, conformance_sizes[down]);
		free(up_bytes);
		free(down_bytes);
	}
	expect_pattern(s, other, 5000, 99);
	assert_int_equal(count_objects(s), 2);
}

static void a_write_in_the_middle_changes_only_its_bytes(void **state)
{
	ps_storer *s = store_of(state);
	for (size_t i = 0; i < conformance_size_count; i++) {
		size_t size = conformance_sizes[i];
		if (size < 2)
			continue;
		unsigned char *model = pattern_new(size, i);
		ps_id id = put_pattern(s, size, i);
		size_t off = size / 3, len = size / 2;
		pattern_fill(model + off, len, 500 + i, 0);
		OK(ps_write_at(s, id, off, model + off, len));
		expect_bytes(s, id, model, size);
		model[size - 1] ^= 0xFF;
		OK(ps_write_at(s, id, size - 1, model + size - 1, 1));
		expect_bytes(s, id, model, size);
		free(model);
	}
}

static void a_write_past_the_end_grows_and_the_gap_is_zeros(void **state)
{
	ps_storer *s = store_of(state);
	static const size_t gaps[] = {0, 1, 100, 4096, 70000, 2 * MIB};
	for (size_t g = 0; g < sizeof(gaps) / sizeof(gaps[0]); g++) {
		for (size_t i = 0; i < conformance_size_count; i += 2) {
			size_t size = conformance_sizes[i], total = size + gaps[g] + 50;
			unsigned char *model = calloc(1, total);
			assert_non_null(model);
			pattern_fill(model, size, i, 0);
			pattern_fill(model + total - 50, 50, 7, 0);
			ps_id id = put_pattern(s, size, i);
			OK(ps_write_at(s, id, total - 50, model + total - 50, 50));
			expect_bytes(s, id, model, total);
			OK(ps_delete(s, id));
			free(model);
		}
	}
}

static void a_write_across_the_end_grows_by_what_is_past_it(void **state)
{
	ps_storer *s = store_of(state);
	for (size_t i = 1; i < conformance_size_count; i++) {
		size_t size = conformance_sizes[i], total = size + 5000;
		unsigned char *model = pattern_new(total, i);
		ps_id id = put_pattern(s, size, i);
		pattern_fill(model + size - 1, 5001, 900, 0);
		OK(ps_write_at(s, id, size - 1, model + size - 1, 5001));
		expect_bytes(s, id, model, total);
		free(model);
	}
}

static void resize_cuts_and_what_grows_back_is_zeros(void **state)
{
	ps_storer *s = store_of(state);
	for (size_t i = 1; i < conformance_size_count; i++) {
		size_t size = conformance_sizes[i], cut = size / 2;
		unsigned char *model = pattern_new(size + 9000, i);
		ps_id id = put_pattern(s, size, i);
		OK(ps_resize(s, id, cut));
		expect_bytes(s, id, model, cut);
		memset(model + cut, 0, size + 9000 - cut);
		OK(ps_resize(s, id, size + 9000));
		expect_bytes(s, id, model, size + 9000);
		OK(ps_resize(s, id, 0));
		expect_bytes(s, id, model, 0);
		OK(ps_resize(s, id, 0));
		free(model);
	}
}

static void alloc_gives_zeros_of_every_size(void **state)
{
	ps_storer *s = store_of(state);
	unsigned char *zeros = calloc(1, 3 * MIB);
	assert_non_null(zeros);
	for (size_t i = 0; i < conformance_size_count; i++) {
		ps_id id;
		OK(ps_alloc(s, conformance_sizes[i], &id));
		expect_bytes(s, id, zeros, conformance_sizes[i]);
		if (conformance_sizes[i] > 0) {
			OK(ps_write_at(s, id, conformance_sizes[i] - 1, "e", 1));
			zeros[conformance_sizes[i] - 1] = 'e';
			expect_bytes(s, id, zeros, conformance_sizes[i]);
			zeros[conformance_sizes[i] - 1] = 0;
		}
		OK(ps_delete(s, id));
	}
	free(zeros);
}

/* Zeros are not written, so an object may be larger than disk and memory. */
static void a_sparse_terabyte_costs_only_what_is_written(void **state)
{
	ps_storer *s = store_of(state);
	const uint64_t size = (uint64_t)1 << 40;
	ps_id id;
	OK(ps_alloc(s, size, &id));
	const uint64_t offs[] = {0, 12345, size / 2 + 1, size - 1000};
	for (size_t i = 0; i < 4; i++) {
		unsigned char bytes[1000];
		pattern_fill(bytes, sizeof(bytes), i, 0);
		OK(ps_write_at(s, id, offs[i], bytes, sizeof(bytes)));
	}
	for (size_t i = 0; i < 4; i++) {
		unsigned char bytes[1000];
		size_t got;
		OK(ps_read_at(s, id, offs[i], bytes, sizeof(bytes), &got));
		assert_int_equal(got, sizeof(bytes));
		assert_int_equal(pattern_mismatch(bytes, got, i, 0), got);
		OK(ps_read_at(s, id, offs[i] + 2000, bytes, sizeof(bytes), &got));
		for (size_t j = 0; j < got; j++)
			assert_int_equal(bytes[j], 0);
	}
	struct ps_info info;
	OK(ps_info(s, id, &info));
	assert_true(info.size == size);
	assert_true(info.allocated < 64 * (uint64_t)MIB);
	OK(ps_resize(s, id, 100));
	OK(ps_delete(s, id));
}

static void a_large_object_follows_random_writes(void **state)
{
	ps_storer *s = store_of(state);
	enum { SIZE = 20 * MIB, WRITES = 60 };
	unsigned char *model = pattern_new(SIZE, 1);
	ps_id id = put_pattern(s, SIZE, 1);
	expect_bytes(s, id, model, SIZE);
	uint32_t random = 12345;
	for (unsigned i = 0; i < WRITES; i++) {
		random = random * 1664525U + 1013904223U;
		size_t len = 1 + (random >> 8) % (i % 10 == 0 ? 2 * MIB : i % 3 == 0 ? 200 * KIB : 5000);
		random = random * 1664525U + 1013904223U;
		size_t off = random % (SIZE - len);
		pattern_fill(model + off, len, 100 + i, 0);
		OK(ps_write_at(s, id, off, model + off, len));
		if (i % 20 == 7)
			expect_bytes(s, id, model, SIZE);
	}
	expect_bytes(s, id, model, SIZE);
	OK(ps_resize(s, id, SIZE / 2 + 1));
	expect_bytes(s, id, model, SIZE / 2 + 1);
	free(model);
}

static void write_batched_replaces_all_or_none(void **state)
{
	ps_storer *s = store_of(state);
	enum { COUNT = 5 };
	ps_id ids[COUNT];
	size_t sizes[COUNT] = {0, 10, 5000, 70000, 3}, total = 0;
	for (size_t i = 0; i < COUNT; i++) {
		ids[i] = put_pattern(s, 100 * i, i);
		total += sizes[i];
	}
	unsigned char *contents = pattern_new(total, 42);
	OK(ps_write_batched(s, COUNT, ids, contents, sizes));
	size_t at = 0;
	for (size_t i = 0; i < COUNT; i++) {
		expect_bytes(s, ids[i], contents + at, sizes[i]);
		at += sizes[i];
	}
	ps_id kept = ids[4];
	ids[4] = ids[1];
	FAILS(PS_EINVAL, ps_write_batched(s, COUNT, ids, contents, sizes));
	OK(ps_delete(s, kept));
	ids[4] = kept;
	memset(contents, 0, total);
	FAILS(PS_ENOTFOUND, ps_write_batched(s, COUNT, ids, contents, sizes));
	pattern_fill(contents, total, 42, 0);
	expect_bytes(s, ids[1], contents, sizes[1]);
	expect_bytes(s, ids[2], contents + 10, sizes[2]);
	OK(ps_write_batched(s, 0, NULL, NULL, NULL));
	sizes[1] = 0;
	OK(ps_write_batched(s, 2, ids, NULL, sizes));
	expect_bytes(s, ids[1], "", 0);
	free(contents);
}

static int cancel(void *arg, const struct ps_progress *progress)
{
	(void)arg, (void)progress;
	return 1;
}

static void compact_keeps_ids_and_contents_or_is_refused(void **state)
{
	ps_storer *s = store_of(state);
	enum { COUNT = 100 };
	ps_id ids[COUNT];
	for (size_t i = 0; i < COUNT; i++)
		ids[i] = put_pattern(s, i * 777, i);
	for (size_t i = 0; i < COUNT; i += 3)
		OK(ps_delete(s, ids[i]));
	if (ps_caps(s) & PS_CAP_COMPACT) {
		int err = ps_compact(s, 0, cancel, NULL);
		assert_true(err == PS_ECANCELED || err == PS_OK);
		OK(ps_compact(s, 0, NULL, NULL));
	} else {
		FAILS(PS_ENOTSUP, ps_compact(s, 0, NULL, NULL));
	}
	for (size_t i = 0; i < COUNT; i++)
		if (i % 3)
			expect_pattern(s, ids[i], i * 777, i);
}

static void sync_stats_and_check_answer(void **state)
{
	ps_storer *s = store_of(state);
	struct ps_stats before, after;
	OK(ps_stats(s, &before));
	ps_id id = put_pattern(s, 1000, 1);
	OK(ps_sync(s));
	OK(ps_stats(s, &after));
	assert_true(after.commits > before.commits);
	assert_true(after.last_commit > before.last_commit);
	assert_int_equal(after.objects, before.objects + 1);
	assert_int_equal(after.live_bytes, before.live_bytes + 1000);
	assert_int_equal(after.readonly, 0);
	assert_int_equal(after.reason[0], 0);
	assert_true(after.io[0] != 0);
	if (ps_caps(s) & PS_CAP_DURABLE)
		assert_true(after.last_durable_commit == after.last_commit ||
		            (((struct conformance *)*state)->stack->evicts &&
		             after.last_durable_commit > before.last_commit));
	OK(ps_check(s, PS_CHECK_QUICK, NULL, NULL));
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	OK(ps_delete(s, id));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(replace_takes_any_length_and_keeps_the_id),
    cmocka_unit_test(a_write_in_the_middle_changes_only_its_bytes),
    cmocka_unit_test(a_write_past_the_end_grows_and_the_gap_is_zeros),
    cmocka_unit_test(a_write_across_the_end_grows_by_what_is_past_it),
    cmocka_unit_test(resize_cuts_and_what_grows_back_is_zeros),
    cmocka_unit_test(alloc_gives_zeros_of_every_size),
    cmocka_unit_test(a_sparse_terabyte_costs_only_what_is_written),
    cmocka_unit_test(a_large_object_follows_random_writes),
    cmocka_unit_test(write_batched_replaces_all_or_none),
    cmocka_unit_test(compact_keeps_ids_and_contents_or_is_refused),
    cmocka_unit_test(sync_stats_and_check_answer),
};
CONFORMANCE_PART(writes, tests);
