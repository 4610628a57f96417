/* Which contents leave, and how many. */
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "tests/store/backing_world.h"

static void the_goal_is_reached_and_no_more_leaves(void **state)
{
	struct fixture *f = *state;
	enum { COUNT = 1000, SIZE = 4096 };
	struct ps_stats before, after;
	uint64_t freed = 0;
	for (unsigned i = 0; i < COUNT; i++)
		put(f->s, i, SIZE);
	OK(copies_push(f->copies, f->s));
	OK(ps_stats(f->s, &before));
	OK(ps_backing_evict(f->s, COUNT / 4 * SIZE, NULL, NULL, &freed));
	uint64_t here = figures(f->s).local_bytes;
	assert_in_range(here, COUNT / 4 * SIZE * 99 / 100, COUNT / 4 * SIZE);
	assert_int_equal(freed, COUNT * SIZE - here);
	OK(ps_sync(f->s));
	OK(ps_stats(f->s, &after));
	assert_true(after.used_bytes - after.pending_bytes <= before.used_bytes - freed + 64 * K);
	OK(ps_backing_evict(f->s, COUNT / 4 * SIZE, NULL, NULL, &freed));
	assert_in_range(freed, 0, COUNT / 40 * SIZE);
}

static int cancel(void *arg, const struct ps_progress *p)
{
	assert_true(p->done <= p->total);
	return ++*(int *)arg == 3;
}

static void an_eviction_can_be_cancelled(void **state)
{
	struct fixture *f = *state;
	int calls = 0;
	uint64_t freed = 0;
	for (unsigned i = 0; i < 1000; i++)
		put(f->s, i, 100);
	OK(copies_push(f->copies, f->s));
	assert_int_equal(ps_backing_evict(f->s, 0, cancel, &calls, &freed), PS_ECANCELED);
	assert_int_equal(calls, 3);
	assert_true(freed > 0 && figures(f->s).local_objects > 0);
	all_leave(f);
	assert_int_equal(figures(f->s).local_objects, 0);
}

/* Every third leaf of the table. */
static bool is_used(ps_id id)
{
	return id_slot(id) / FANOUT % 3 == 2;
}

static void what_was_used_lately_stays(void **state)
{
	struct fixture *f = *state;
	enum { COUNT = 16 * 128, SIZE = 2000, USED = 5 };
	ps_id *ids = malloc(COUNT * sizeof(*ids));
	assert_non_null(ids);
	for (unsigned i = 0; i < COUNT; i++)
		ids[i] = put(f->s, i, SIZE);
	OK(copies_push(f->copies, f->s));
	/* The hand goes round once; then every third leaf is used. */
	OK(ps_backing_evict(f->s, COUNT * SIZE * 95 / 100, NULL, NULL, NULL));
	for (unsigned i = 0; i < COUNT; i++) {
		if (is_used(ids[i]))
			expect(f->s, ids[i], i, SIZE);
	}
	OK(ps_backing_evict(f->s, COUNT * SIZE * 45 / 100, NULL, NULL, NULL));
	struct ps_info info;
	unsigned used = 0, lost = 0;
	for (unsigned i = 0; i < COUNT; i++) {
		OK(ps_info(f->s, ids[i], &info));
		used += is_used(ids[i]);
		lost += is_used(ids[i]) && !info.offset;
	}
	assert_true(used > 500);
	assert_int_equal(lost, 0);
	free(ids);
}

static void a_cut_is_not_dropped_by_an_eviction(void **state)
{
	struct fixture *f = *state;
	struct ps_cut *cut;
	struct ps_cut_info info;
	all_away(f);
	all_are_there(f);
	OK(ps_cut_begin(f->s, &(struct ps_cut_from){0}, &cut, &info));
	assert_int_equal(ps_backing_evict(f->s, 0, NULL, NULL, NULL), PS_EBUSY);
	ps_cut_end(cut);
	all_leave(f);
	assert_int_equal(figures(f->s).local_bytes, 0);
}

static void where_nothing_is_confirmed_nothing_leaves(void **state)
{
	struct fixture *f = *state;
	uint64_t freed = 1;
	ps_id id = put(f->s, 1, 5000);
	OK(ps_backing_evict(f->s, 0, NULL, NULL, &freed));
	assert_int_equal(freed, 0);
	assert_int_equal(ps_get64(store_of(f->s)->sb.incompatible), 0);
	reopen(f);
	expect(f->s, id, 1, 5000);
}

static void a_feature_of_what_never_left_is_not_there(void **state)
{
	struct fixture *f = *state;
	put(f->s, 1, 10);
	OK(copies_push(f->copies, f->s));
	OK(ps_backing_evict(f->s, M, NULL, NULL, NULL));
	assert_int_equal(ps_get64(store_of(f->s)->sb.incompatible), INCOMPATIBLE_INTERVALS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_goal_is_reached_and_no_more_leaves),
	    TEST(an_eviction_can_be_cancelled),
	    TEST(what_was_used_lately_stays),
	    TEST(a_cut_is_not_dropped_by_an_eviction),
	    TEST(where_nothing_is_confirmed_nothing_leaves),
	    TEST(a_feature_of_what_never_left_is_not_there),
	};
	return cmocka_run_group_tests_name("backing eviction", tests, NULL, NULL);
}
