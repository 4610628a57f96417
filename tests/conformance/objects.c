/* Objects read whole, in ranges and many at once. */
#include <stdlib.h>
#include <string.h>

#include "tests/conformance/suite.h"

static void caps_are_those_expected(void **state)
{
	const struct conformance *c = *state;
	assert_int_equal(ps_caps(c->s), c->stack->expected_caps);
}

static void every_size_is_read_as_it_was_put(void **state)
{
	ps_storer *s = store_of(state);
	ps_id *ids = calloc(conformance_size_count, sizeof(*ids));
	assert_non_null(ids);
	for (size_t i = 0; i < conformance_size_count; i++)
		ids[i] = put_pattern(s, conformance_sizes[i], i);
	for (size_t i = 0; i < conformance_size_count; i++)
		expect_pattern(s, ids[i], conformance_sizes[i], i);
	free(ids);
}

static void ids_are_distinct_and_counted(void **state)
{
	ps_storer *s = store_of(state);
	enum { COUNT = 300 };
	ps_id ids[COUNT];
	for (size_t i = 0; i < COUNT; i++) {
		ids[i] = put_pattern(s, i, i);
		for (size_t j = 0; j < i; j++)
			assert_true(ids[i] != ids[j]);
	}
	struct ps_stats stats;
	OK(ps_stats(s, &stats));
	assert_int_equal(stats.objects, COUNT);
	assert_int_equal(stats.live_bytes, COUNT * (COUNT - 1) / 2);
	for (size_t i = 0; i < COUNT; i += 2)
		OK(ps_delete(s, ids[i]));
	OK(ps_stats(s, &stats));
	assert_int_equal(stats.objects, COUNT / 2);
	for (size_t i = 1; i < COUNT; i += 2)
		expect_pattern(s, ids[i], i, i);
}

static void a_small_buffer_is_refused_with_the_true_length(void **state)
{
	ps_storer *s = store_of(state);
	unsigned char buf[100];
	static const size_t sizes[] = {1, 100, 5000, 70000, 2 << 20};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		ps_id id = put_pattern(s, sizes[i], i);
		size_t len = 0;
		memset(buf, 0xA5, sizeof(buf));
		FAILS(PS_ERANGE,
		      ps_get(s, id, sizes[i] > 1 ? buf : NULL, sizes[i] > 100 ? 99 : sizes[i] - 1, &len));
		assert_int_equal(len, sizes[i]);
	}
	ps_id id = put_pattern(s, 0, 0);
	size_t len = 1;
	OK(ps_get(s, id, NULL, 0, &len));
	assert_int_equal(len, 0);
}

static void expect_range(ps_storer *s, ps_id id, size_t size, uint64_t seed, uint64_t off, size_t len)
{
	unsigned char *buf = malloc(len + 1);
	assert_non_null(buf);
	buf[len] = 0x5A;
	size_t expected = off >= size ? 0 : size - off < len ? (size_t)(size - off) : len;
	size_t got = SIZE_MAX;
	OK(ps_read_at(s, id, off, buf, len, &got));
	assert_int_equal(got, expected);
	assert_int_equal(pattern_mismatch(buf, got, seed, off), got);
	assert_int_equal(buf[len], 0x5A);
	free(buf);
}

static void ranges_are_exact_and_short_only_at_the_end(void **state)
{
	ps_storer *s = store_of(state);
	for (size_t i = 0; i < conformance_size_count; i++) {
		size_t size = conformance_sizes[i];
		ps_id id = put_pattern(s, size, i);
		const uint64_t offs[] = {0,    1,        size / 2,          size ? size - 1 : 0,
		                         size, size + 1, PS_SIZE_MAX - 4096};
		for (size_t j = 0; j < sizeof(offs) / sizeof(offs[0]); j++) {
			expect_range(s, id, size, i, offs[j], 0);
			expect_range(s, id, size, i, offs[j], 1);
			expect_range(s, id, size, i, offs[j], 4096);
		}
		expect_range(s, id, size, i, 0, size + 10);
		expect_range(s, id, size, i, size / 3, size);
	}
}

static void many_reads_have_a_status_each(void **state)
{
	ps_storer *s = store_of(state);
	enum { COUNT = 40 };
	struct ps_get_many reqs[COUNT];
	ps_id gone = put_pattern(s, 10, 1);
	OK(ps_delete(s, gone));
	for (size_t i = 0; i < COUNT; i++) {
		size_t size = i * 997;
		reqs[i] = (struct ps_get_many){.cap = size, .len = 77, .status = 77};
		reqs[i].buf = malloc(size + 1);
		assert_non_null(reqs[i].buf);
		reqs[i].id = i % 5 == 3 ? gone : put_pattern(s, size, i);
		reqs[i].offset = i % 5 == 2 ? size / 2 : 0;
	}
	OK(ps_get_many(s, COUNT, reqs));
	for (size_t i = 0; i < COUNT; i++) {
		bool missing = i % 5 == 3;
		assert_int_equal(reqs[i].status, missing ? PS_ENOTFOUND : PS_OK);
		assert_int_equal(reqs[i].len, missing ? 0 : i * 997 - reqs[i].offset);
		assert_int_equal(pattern_mismatch(reqs[i].buf, reqs[i].len, i, reqs[i].offset), reqs[i].len);
		free(reqs[i].buf);
	}
	OK(ps_get_many(s, 0, NULL));
}

static void a_deleted_object_is_gone_for_every_call(void **state)
{
	ps_storer *s = store_of(state);
	for (size_t i = 0; i < conformance_size_count; i++) {
		ps_id id = put_pattern(s, conformance_sizes[i], i);
		OK(ps_delete(s, id));
		expect_missing(s, id);
	}
	assert_int_equal(count_objects(s), 0);
}

static void the_prime_object_is_made_once_and_never_deleted(void **state)
{
	ps_storer *s = store_of(state);
	expect_missing(s, PS_ID_PRIME);
	OK(ps_prime(s, 100, NULL));
	static const unsigned char zeros[100];
	expect_bytes(s, PS_ID_PRIME, zeros, sizeof(zeros));
	OK(ps_write_at(s, PS_ID_PRIME, 0, "root", 4));
	ps_id id = PS_ID_NONE;
	OK(ps_prime(s, 5, &id));
	assert_true(id == PS_ID_PRIME);
	unsigned char expected[100] = "root";
	expect_bytes(s, id, expected, sizeof(expected));
	FAILS(PS_EINVAL, ps_delete(s, PS_ID_PRIME));
	expect_bytes(s, id, expected, sizeof(expected));
	OK(ps_replace(s, id, "new", 3));
	expect_bytes(s, id, "new", 3);
	assert_int_equal(count_objects(s), 1);
}

static void a_run_is_zeros_with_distinct_ids(void **state)
{
	ps_storer *s = store_of(state);
	enum { COUNT = 17, SIZE = 9000 };
	ps_id ids[COUNT] = {0};
	if (!(ps_caps(s) & PS_CAP_RUNS)) {
		FAILS(PS_ENOTSUP, ps_alloc_run(s, SIZE, COUNT, ids));
		return;
	}
	static const unsigned char zeros[SIZE];
	static unsigned char contents[COUNT * SIZE];
	size_t sizes[COUNT];
	OK(ps_alloc_run(s, SIZE, COUNT, ids));
	assert_int_equal(count_objects(s), COUNT);
	for (size_t i = 0; i < COUNT; i++) {
		expect_bytes(s, ids[i], zeros, SIZE);
		pattern_fill(contents + i * SIZE, SIZE, i, 0);
		sizes[i] = SIZE;
	}
	OK(ps_write_at(s, ids[3], 5, "x", 1));
	OK(ps_write_batched(s, COUNT, ids, contents, sizes));
	OK(ps_replace(s, ids[4], "moved", 5));
	OK(ps_delete(s, ids[5]));
	expect_bytes(s, ids[4], "moved", 5);
	for (size_t i = 6; i < COUNT; i++)
		expect_pattern(s, ids[i], SIZE, i);
	FAILS(PS_EINVAL, ps_alloc_run(s, 0, 1, ids));
}

static void info_tells_size_and_generation(void **state)
{
	ps_storer *s = store_of(state);
	ps_id id = put_pattern(s, 12345, 1);
	struct ps_info info;
	OK(ps_info(s, id, &info));
	assert_true(info.id == id);
	assert_int_equal(info.size, 12345);
	assert_int_equal(info.generation, id & 0xFFFFFF);
	assert_true(info.allocated >= info.size || ((struct conformance *)*state)->stack->evicts);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(caps_are_those_expected),
    cmocka_unit_test(every_size_is_read_as_it_was_put),
    cmocka_unit_test(ids_are_distinct_and_counted),
    cmocka_unit_test(a_small_buffer_is_refused_with_the_true_length),
    cmocka_unit_test(ranges_are_exact_and_short_only_at_the_end),
    cmocka_unit_test(many_reads_have_a_status_each),
    cmocka_unit_test(a_deleted_object_is_gone_for_every_call),
    cmocka_unit_test(the_prime_object_is_made_once_and_never_deleted),
    cmocka_unit_test(a_run_is_zeros_with_distinct_ids),
    cmocka_unit_test(info_tells_size_and_generation),
};
CONFORMANCE_PART(objects, tests);
