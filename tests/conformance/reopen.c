/* What a store that says it is durable keeps over close and open. */
#include <stdlib.h>
#include <string.h>

#include "tests/conformance/model.h"
#include "tests/conformance/suite.h"

/* Closes and opens again; without persistence the test is shown as skipped. */
static ps_storer *reopen(void **state)
{
	struct conformance *c = *state;
	OK(ps_close(c->s));
	c->s = NULL;
	OK(c->stack->open(c->stack->arg, false, &c->s));
	return c->s;
}

static void need_persistence(void **state)
{
	const struct conformance *c = *state;
	if (!c->stack->persistent)
		skip();
}

static void everything_is_there_after_reopening(void **state)
{
	need_persistence(state);
	ps_storer *s = store_of(state);
	ps_id *ids = calloc(conformance_size_count, sizeof(*ids));
	assert_non_null(ids);
	OK(ps_prime(s, 10, NULL));
	OK(ps_write_at(s, PS_ID_PRIME, 0, "0123456789", 10));
	for (size_t i = 0; i < conformance_size_count; i++)
		ids[i] = put_pattern(s, conformance_sizes[i], i);
	for (unsigned round = 0; round < 3; round++) {
		s = reopen(state);
		for (size_t i = 0; i < conformance_size_count; i++)
			expect_pattern(s, ids[i], conformance_sizes[i], i);
		expect_bytes(s, PS_ID_PRIME, "0123456789", 10);
		assert_int_equal(count_objects(s), conformance_size_count + 1);
	}
	free(ids);
}

static void relaxed_commits_survive_a_close(void **state)
{
	need_persistence(state);
	ps_storer *s = store_of(state);
	ps_id id;
	ps_batch *b;
	OK(ps_batch_begin(s, &b));
	OK(ps_batch_put(b, "relaxed", 7, &id));
	OK(ps_batch_commit(b, PS_RELAXED));
	expect_bytes(reopen(state), id, "relaxed", 7);
}

static void dead_ids_stay_dead_over_reopening(void **state)
{
	need_persistence(state);
	ps_storer *s = store_of(state);
	enum { COUNT = 40 };
	ps_id stale[COUNT + 1];
	for (size_t i = 0; i < COUNT; i++)
		stale[i] = put_pattern(s, i * 100, i);
	for (size_t i = 0; i < COUNT; i++)
		OK(ps_delete(s, stale[i]));
	ps_batch *b;
	OK(ps_batch_begin(s, &b));
	OK(ps_batch_put(b, "aborted", 7, &stale[COUNT]));
	OK(ps_batch_abort(b));
	s = reopen(state);
	assert_int_equal(count_objects(s), 0);
	for (size_t i = 0; i < 2 * COUNT; i++) {
		ps_id id = put_pattern(s, 10, i);
		for (size_t j = 0; j <= COUNT; j++)
			assert_true(id != stale[j]);
	}
	for (size_t i = 0; i <= COUNT; i++)
		expect_missing(s, stale[i]);
}

static void a_random_history_survives_reopening(void **state)
{
	need_persistence(state);
	struct model m;
	model_init(&m, 7);
	for (unsigned round = 0; round < 5; round++) {
		model_run(&m, store_of(state), 120);
		model_verify(&m, reopen(state));
	}
	model_done(&m);
}

static void figures_go_on_after_reopening(void **state)
{
	need_persistence(state);
	ps_storer *s = store_of(state);
	struct ps_stats before, after;
	put_pattern(s, 1000, 1);
	put_pattern(s, 100000, 2);
	OK(ps_stats(s, &before));
	s = reopen(state);
	OK(ps_stats(s, &after));
	assert_int_equal(after.objects, 2);
	assert_int_equal(after.live_bytes, 101000);
	assert_true(((struct conformance *)*state)->stack->restored || after.last_commit >= before.last_commit);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(everything_is_there_after_reopening),
    cmocka_unit_test(relaxed_commits_survive_a_close),
    cmocka_unit_test(dead_ids_stay_dead_over_reopening),
    cmocka_unit_test(a_random_history_survives_reopening),
    cmocka_unit_test(figures_go_on_after_reopening),
};
CONFORMANCE_PART(reopen, tests);
