/* Ids over time, and ps_each. */
#include <stdlib.h>
#include <string.h>

#include "tests/conformance/suite.h"

enum { COUNT = 200 };

struct seen {
	ps_storer *s;
	ps_id ids[4 * COUNT];
	size_t count, stop_after;
	int failure;
};

static int note(void *arg, ps_id id)
{
	struct seen *seen = arg;
	if (seen->count < 4 * COUNT)
		seen->ids[seen->count] = id;
	return ++seen->count == seen->stop_after;
}

static bool was_seen(const struct seen *seen, ps_id id)
{
	for (size_t i = 0; i < seen->count; i++)
		if (seen->ids[i] == id)
			return true;
	return false;
}

static void expect_ascending(const struct seen *seen)
{
	for (size_t i = 1; i < seen->count; i++)
		assert_true(seen->ids[i - 1] < seen->ids[i]);
}

static void each_sees_all_objects_once_in_order(void **state)
{
	ps_storer *s = store_of(state);
	ps_id ids[COUNT];
	struct seen *seen = calloc(1, sizeof(*seen));
	assert_non_null(seen);
	OK(ps_each(s, PS_ID_NONE, note, seen));
	assert_int_equal(seen->count, 0);
	OK(ps_prime(s, 1, NULL));
	for (size_t i = 0; i < COUNT; i++)
		ids[i] = put_pattern(s, i, i);
	for (size_t i = 0; i < COUNT; i += 4)
		OK(ps_delete(s, ids[i]));
	OK(ps_each(s, PS_ID_NONE, note, seen));
	assert_int_equal(seen->count, 1 + COUNT - COUNT / 4);
	expect_ascending(seen);
	assert_true(seen->ids[0] == PS_ID_PRIME);
	for (size_t i = 0; i < COUNT; i++)
		assert_int_equal(was_seen(seen, ids[i]), i % 4 != 0);
	free(seen);
}

static void each_begins_at_from(void **state)
{
	ps_storer *s = store_of(state);
	struct seen *all = calloc(2, sizeof(*all)), *tail = all + 1;
	assert_non_null(all);
	for (size_t i = 0; i < COUNT; i++)
		put_pattern(s, 1, i);
	OK(ps_each(s, PS_ID_NONE, note, all));
	OK(ps_each(s, all->ids[COUNT / 2], note, tail));
	assert_int_equal(tail->count, COUNT - COUNT / 2);
	assert_memory_equal(tail->ids, all->ids + COUNT / 2, tail->count * sizeof(ps_id));
	tail->count = 0;
	OK(ps_each(s, all->ids[COUNT / 2] + 1, note, tail));
	assert_int_equal(tail->count, COUNT - COUNT / 2 - 1);
	tail->count = 0;
	OK(ps_each(s, UINT64_MAX, note, tail));
	assert_int_equal(tail->count, 0);
	free(all);
}

static void a_callback_can_end_each(void **state)
{
	ps_storer *s = store_of(state);
	struct seen *seen = calloc(1, sizeof(*seen));
	assert_non_null(seen);
	for (size_t i = 0; i < COUNT; i++)
		put_pattern(s, 1, i);
	seen->stop_after = 3;
	FAILS(PS_ECANCELED, ps_each(s, PS_ID_NONE, note, seen));
	assert_int_equal(seen->count, 3);
	free(seen);
}

/* Every second object is deleted as it is seen, and new ones are put. */
static int delete_and_put(void *arg, ps_id id)
{
	struct seen *seen = arg;
	ps_id made;
	if (!seen->failure && seen->count % 2)
		seen->failure = ps_delete(seen->s, id);
	if (!seen->failure && seen->count < COUNT)
		seen->failure = ps_put(seen->s, "new", 3, &made);
	note(arg, id);
	return 0;
}

static void a_callback_may_change_the_store(void **state)
{
	ps_storer *s = store_of(state);
	ps_id ids[COUNT];
	struct seen *seen = calloc(1, sizeof(*seen));
	assert_non_null(seen);
	seen->s = s;
	for (size_t i = 0; i < COUNT; i++)
		ids[i] = put_pattern(s, i, i);
	OK(ps_each(s, PS_ID_NONE, delete_and_put, seen));
	OK(seen->failure);
	expect_ascending(seen);
	for (size_t i = 0; i < COUNT; i++)
		assert_true(was_seen(seen, ids[i]));
	for (size_t i = 0; i < COUNT; i += 2)
		expect_pattern(s, ids[i], i, i);
	free(seen);
}

static void a_stale_id_never_names_a_newer_object(void **state)
{
	ps_storer *s = store_of(state);
	enum { ROUNDS = 60 };
	ps_id stale[ROUNDS];
	for (unsigned i = 0; i < ROUNDS; i++) {
		stale[i] = put_pattern(s, 100 + i, i);
		OK(ps_delete(s, stale[i]));
		if (i % 8 == 0)
			OK(ps_sync(s));
		for (unsigned j = 0; j < i; j++)
			assert_true(stale[i] != stale[j]);
	}
	ps_id live = put_pattern(s, 50, 1);
	for (unsigned i = 0; i < ROUNDS; i++)
		expect_missing(s, stale[i]);
	expect_pattern(s, live, 50, 1);
}

static void the_id_stays_through_all_changes(void **state)
{
	ps_storer *s = store_of(state);
	ps_id id = put_pattern(s, 10, 1);
	OK(ps_replace(s, id, "abc", 3));
	OK(ps_write_at(s, id, 200000, "end", 3));
	OK(ps_resize(s, id, 5));
	ps_batch *b;
	OK(ps_batch_begin(s, &b));
	OK(ps_batch_write_at(b, id, 3, "de", 2));
	OK(ps_batch_commit(b, PS_DURABLE));
	expect_bytes(s, id, "abcde", 5);
	assert_int_equal(count_objects(s), 1);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(each_sees_all_objects_once_in_order),
    cmocka_unit_test(each_begins_at_from),
    cmocka_unit_test(a_callback_can_end_each),
    cmocka_unit_test(a_callback_may_change_the_store),
    cmocka_unit_test(a_stale_id_never_names_a_newer_object),
    cmocka_unit_test(the_id_stays_through_all_changes),
};
CONFORMANCE_PART(ids, tests);
