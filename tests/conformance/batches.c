/* Batches: one atomic commit of any number of operations. */
#include <stdlib.h>
#include <string.h>

#include "tests/conformance/suite.h"

static ps_batch *begin(ps_storer *s)
{
	ps_batch *b = NULL;
	OK(ps_batch_begin(s, &b));
	assert_non_null(b);
	return b;
}

static void nothing_is_seen_before_the_commit_and_all_after_it(void **state)
{
	ps_storer *s = store_of(state);
	ps_id old = put_pattern(s, 100, 1), doomed = put_pattern(s, 200, 2), written = put_pattern(s, 300, 3);
	ps_batch *b = begin(s);
	ps_id made, zeros;
	unsigned char *bytes = pattern_new(5000, 4);
	OK(ps_batch_put(b, bytes, 5000, &made));
	OK(ps_batch_alloc(b, 70000, &zeros));
	OK(ps_batch_replace(b, old, bytes, 4000));
	OK(ps_batch_delete(b, doomed));
	OK(ps_batch_write_at(b, written, 10, bytes, 20));
	assert_true(made != zeros && made != PS_ID_NONE && zeros != PS_ID_NONE);
	expect_missing(s, made);
	expect_missing(s, zeros);
	expect_pattern(s, old, 100, 1);
	expect_pattern(s, doomed, 200, 2);
	expect_pattern(s, written, 300, 3);
	OK(ps_batch_commit(b, PS_DURABLE));
	expect_pattern(s, made, 5000, 4);
	expect_pattern(s, old, 4000, 4);
	expect_missing(s, doomed);
	unsigned char expected[300];
	pattern_fill(expected, 300, 3, 0);
	memcpy(expected + 10, bytes, 20);
	expect_bytes(s, written, expected, 300);
	unsigned char *nothing = calloc(1, 70000);
	expect_bytes(s, zeros, nothing, 70000);
	assert_int_equal(count_objects(s), 4);
	free(nothing);
	free(bytes);
}

static void the_buffer_is_the_callers_again_after_each_call(void **state)
{
	ps_storer *s = store_of(state);
	unsigned char *bytes = pattern_new(300000, 1);
	ps_id old = put_pattern(s, 5, 5), made;
	ps_batch *b = begin(s);
	OK(ps_batch_put(b, bytes, 300000, &made));
	OK(ps_batch_replace(b, old, bytes, 100));
	OK(ps_batch_write_at(b, old, 100, bytes, 100));
	memset(bytes, 0, 300000);
	OK(ps_batch_commit(b, PS_RELAXED));
	expect_pattern(s, made, 300000, 1);
	pattern_fill(bytes, 100, 1, 0);
	pattern_fill(bytes + 100, 100, 1, 0);
	expect_bytes(s, old, bytes, 200);
	free(bytes);
}

static void an_aborted_batch_leaves_nothing_and_its_ids_stay_dead(void **state)
{
	ps_storer *s = store_of(state);
	ps_id old = put_pattern(s, 100, 1), made, zeros;
	ps_batch *b = begin(s);
	OK(ps_batch_put(b, "abc", 3, &made));
	OK(ps_batch_alloc(b, 10, &zeros));
	OK(ps_batch_replace(b, old, "xyz", 3));
	OK(ps_batch_abort(b));
	expect_pattern(s, old, 100, 1);
	assert_int_equal(count_objects(s), 1);
	for (unsigned i = 0; i < 50; i++) {
		ps_id id = put_pattern(s, i, i);
		assert_true(id != made && id != zeros);
	}
	expect_missing(s, made);
	expect_missing(s, zeros);
}

static void the_last_operation_on_an_id_wins(void **state)
{
	ps_storer *s = store_of(state);
	ps_id a = put_pattern(s, 10, 1), c = put_pattern(s, 10, 2), d = put_pattern(s, 10, 3), made, brief;
	ps_batch *b = begin(s);
	OK(ps_batch_replace(b, a, "first", 5));
	OK(ps_batch_replace(b, c, "gone", 4));
	OK(ps_batch_put(b, "new", 3, &made));
	OK(ps_batch_put(b, "brief", 5, &brief));
	OK(ps_batch_replace(b, a, "second", 6));
	OK(ps_batch_delete(b, c));
	OK(ps_batch_replace(b, made, "newer", 5));
	OK(ps_batch_delete(b, brief));
	OK(ps_batch_delete(b, d));
	OK(ps_batch_replace(b, d, "back", 4));
	OK(ps_batch_commit(b, PS_DURABILITY_DEFAULT));
	expect_bytes(s, a, "second", 6);
	expect_missing(s, c);
	expect_bytes(s, made, "newer", 5);
	expect_missing(s, brief);
	expect_bytes(s, d, "back", 4);
}

static void writes_compose_on_what_came_before_them(void **state)
{
	ps_storer *s = store_of(state);
	ps_id a = put_pattern(s, 8, 1), old = put_pattern(s, 100000, 2), made, zeros;
	ps_batch *b = begin(s);
	OK(ps_batch_write_at(b, a, 0, "lost", 4));
	OK(ps_batch_replace(b, a, "01234567", 8));
	OK(ps_batch_write_at(b, a, 2, "xx", 2));
	OK(ps_batch_write_at(b, a, 3, "yyy", 3));
	OK(ps_batch_write_at(b, a, 9, "z", 1));
	OK(ps_batch_put(b, "abc", 3, &made));
	OK(ps_batch_write_at(b, made, 1, "BCD", 3));
	OK(ps_batch_alloc(b, 5, &zeros));
	OK(ps_batch_write_at(b, zeros, 2, "m", 1));
	OK(ps_batch_write_at(b, old, 99999, "end", 3));
	OK(ps_batch_write_at(b, old, 0, "start", 5));
	OK(ps_batch_commit(b, PS_DURABLE));
	expect_bytes(s, a, "01xyyy67\0z", 10);
	expect_bytes(s, made, "aBCD", 4);
	expect_bytes(s, zeros, "\0\0m\0", 5);
	unsigned char *expected = pattern_new(100002, 2);
	memcpy(expected, "start", 5);
	memcpy(expected + 99999, "end", 3);
	expect_bytes(s, old, expected, 100002);
	free(expected);
}

/* What was written for the batch and written over in it is free again: ps_check after the test counts. */
static void writes_over_large_contents_of_the_same_batch_leave_no_space_behind(void **state)
{
	ps_storer *s = store_of(state);
	enum { SIZE = 300000, ROUNDS = 4 };
	unsigned char *bytes = pattern_new(SIZE, 1), *model = pattern_new(SIZE, 1);
	ps_id id = put_pattern(s, 10, 2), made = PS_ID_NONE;
	for (unsigned round = 0; round < ROUNDS; round++) {
		ps_batch *b = begin(s);
		OK(ps_batch_replace(b, id, bytes, SIZE));
		OK(ps_batch_write_at(b, id, 70000 * round, "over", 4));
		OK(ps_batch_write_at(b, id, 70000 * round + 2, "again", 5));
		OK(ps_batch_put(b, bytes, SIZE, &made));
		OK(ps_batch_write_at(b, made, 70000 * round, "over", 4));
		OK(ps_batch_commit(b, PS_DURABLE));
		memcpy(model, bytes, SIZE);
		memcpy(model + 70000 * round, "over", 4);
		expect_bytes(s, made, model, SIZE);
		memcpy(model + 70000 * round + 2, "again", 5);
		expect_bytes(s, id, model, SIZE);
		OK(ps_delete(s, made));
	}
	free(bytes);
	free(model);
}

static void a_missing_id_fails_the_whole_commit(void **state)
{
	ps_storer *s = store_of(state);
	ps_id kept = put_pattern(s, 100, 1), gone = put_pattern(s, 100, 2);
	OK(ps_delete(s, gone));
	for (int kind = 0; kind < 3; kind++) {
		ps_id made;
		ps_batch *b = begin(s);
		OK(ps_batch_put(b, "new", 3, &made));
		OK(ps_batch_replace(b, kept, "changed", 7));
		if (kind == 0)
			OK(ps_batch_replace(b, gone, "x", 1));
		else if (kind == 1)
			OK(ps_batch_write_at(b, gone, 0, "x", 1));
		else
			OK(ps_batch_delete(b, gone));
		FAILS(PS_ENOTFOUND, ps_batch_commit(b, PS_DURABLE));
		FAILS(PS_ECLOSED, ps_batch_commit(b, PS_DURABLE));
		expect_pattern(s, kept, 100, 1);
		expect_missing(s, made);
		expect_missing(s, gone);
	}
	assert_int_equal(count_objects(s), 1);
}

static void an_object_deleted_meanwhile_fails_the_commit(void **state)
{
	ps_storer *s = store_of(state);
	ps_id kept = put_pattern(s, 100, 1), victim = put_pattern(s, 100, 2);
	ps_batch *b = begin(s);
	OK(ps_batch_replace(b, victim, "late", 4));
	OK(ps_batch_replace(b, kept, "late", 4));
	OK(ps_delete(s, victim));
	FAILS(PS_ENOTFOUND, ps_batch_commit(b, PS_DURABLE));
	expect_pattern(s, kept, 100, 1);
	expect_missing(s, victim);
}

static void ids_of_one_batch_mean_nothing_to_another(void **state)
{
	ps_storer *s = store_of(state);
	ps_id made;
	ps_batch *first = begin(s), *second = begin(s);
	OK(ps_batch_put(first, "one", 3, &made));
	OK(ps_batch_replace(second, made, "two", 3));
	FAILS(PS_ENOTFOUND, ps_batch_commit(second, PS_DURABLE));
	OK(ps_batch_commit(first, PS_DURABLE));
	expect_bytes(s, made, "one", 3);
}

static void an_empty_batch_commits(void **state)
{
	ps_storer *s = store_of(state);
	OK(ps_batch_commit(begin(s), PS_DURABLE));
	OK(ps_batch_commit(begin(s), PS_RELAXED));
	OK(ps_batch_abort(begin(s)));
	assert_int_equal(count_objects(s), 0);
}

static void a_batch_may_hold_many_operations_of_all_sizes(void **state)
{
	ps_storer *s = store_of(state);
	enum { ROUNDS = 30 };
	ps_id *ids = calloc(ROUNDS * conformance_size_count, sizeof(*ids));
	assert_non_null(ids);
	size_t count = 0;
	ps_batch *b = begin(s);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (size_t i = 0; i < conformance_size_count; i++) {
			if (conformance_sizes[i] > 70000 && round > 0)
				continue;
			unsigned char *bytes = pattern_new(conformance_sizes[i], count);
			OK(ps_batch_put(b, bytes, conformance_sizes[i], &ids[count++]));
			free(bytes);
		}
	}
	OK(ps_batch_commit(b, PS_DURABLE));
	assert_int_equal(count_objects(s), count);
	count = 0;
	for (unsigned round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < conformance_size_count; i++)
			if (conformance_sizes[i] <= 70000 || round == 0) {
				expect_pattern(s, ids[count], conformance_sizes[i], count);
				count++;
			}
	free(ids);
}

static void impossible_operations_leave_the_batch_usable(void **state)
{
	ps_storer *s = store_of(state);
	ps_id id = PS_ID_NONE, good;
	ps_batch *b = begin(s);
	OK(ps_batch_put(b, "good", 4, &good));
	FAILS(PS_EINVAL, ps_batch_put(b, NULL, 1, &id));
	FAILS(PS_EINVAL, ps_batch_put(b, "x", 1, NULL));
	FAILS(PS_ERANGE, ps_batch_put(b, "x", (size_t)PS_SIZE_MAX + 1, &id));
	FAILS(PS_EINVAL, ps_batch_replace(b, PS_ID_NONE, "x", 1));
	FAILS(PS_EINVAL, ps_batch_replace(b, good, NULL, 1));
	FAILS(PS_ERANGE, ps_batch_replace(b, good, "x", (size_t)PS_SIZE_MAX + 1));
	FAILS(PS_EINVAL, ps_batch_delete(b, PS_ID_NONE));
	FAILS(PS_EINVAL, ps_batch_delete(b, PS_ID_PRIME));
	FAILS(PS_EINVAL, ps_batch_write_at(b, PS_ID_NONE, 0, "x", 1));
	FAILS(PS_EINVAL, ps_batch_write_at(b, good, 0, NULL, 1));
	FAILS(PS_ERANGE, ps_batch_write_at(b, good, PS_SIZE_MAX, "x", 1));
	FAILS(PS_ERANGE, ps_batch_write_at(b, good, UINT64_MAX, "x", 1));
	FAILS(PS_EINVAL, ps_batch_alloc(b, 1, NULL));
	FAILS(PS_ERANGE, ps_batch_alloc(b, PS_SIZE_MAX + 1, &id));
	assert_true(id == PS_ID_NONE);
	OK(ps_batch_commit(b, PS_DURABLE));
	expect_bytes(s, good, "good", 4);
	assert_int_equal(count_objects(s), 1);
}

static void an_unknown_durability_ends_the_batch_unchanged(void **state)
{
	ps_storer *s = store_of(state);
	ps_id made;
	ps_batch *b = begin(s);
	OK(ps_batch_put(b, "x", 1, &made));
	FAILS(PS_EINVAL, ps_batch_commit(b, (enum ps_durability)3));
	FAILS(PS_ECLOSED, ps_batch_abort(b));
	expect_missing(s, made);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(nothing_is_seen_before_the_commit_and_all_after_it),
    cmocka_unit_test(the_buffer_is_the_callers_again_after_each_call),
    cmocka_unit_test(an_aborted_batch_leaves_nothing_and_its_ids_stay_dead),
    cmocka_unit_test(the_last_operation_on_an_id_wins),
    cmocka_unit_test(writes_compose_on_what_came_before_them),
    cmocka_unit_test(writes_over_large_contents_of_the_same_batch_leave_no_space_behind),
    cmocka_unit_test(a_missing_id_fails_the_whole_commit),
    cmocka_unit_test(an_object_deleted_meanwhile_fails_the_commit),
    cmocka_unit_test(ids_of_one_batch_mean_nothing_to_another),
    cmocka_unit_test(an_empty_batch_commits),
    cmocka_unit_test(a_batch_may_hold_many_operations_of_all_sizes),
    cmocka_unit_test(impossible_operations_leave_the_batch_usable),
    cmocka_unit_test(an_unknown_durability_ends_the_batch_unchanged),
};
CONFORMANCE_PART(batches, tests);
