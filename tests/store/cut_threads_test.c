/* Cuts while several threads write: each is the store at one commit, and what it gives is what was changed
 * since an earlier one. Also where most commits are too large for the log's ring, so that their operations
 * were written, with the interval of then, before they are ordered. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/base_internal.h"
#include "tests/store/cut_world.h"

enum { CUTS = 30, STEPS = 900 };

#define OK(call) assert_int_equal((call), PS_OK)

static void *act(void *arg)
{
	for (int i = 0; i < STEPS; i++)
		actor_step(arg);
	return NULL;
}

static bool all_ended(struct world *w)
{
	for (unsigned i = 0; i < w->actors; i++) {
		if (atomic_load(&w->actor[i].ended) < STEPS)
			return false;
	}
	return true;
}

static void cut_while_others_write(uint64_t log_bytes, bool compacts, uint64_t seed)
{
	struct world w;
	struct taken *taken[CUTS + 1];
	pthread_t thread[ACTORS_MAX];
	unsigned cuts = 0;
	char path[] = "cut_threads_test.XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	const struct ps_base_options options = {.size = sizeof(options),
	                                        .durability = PS_RELAXED,
	                                        .log_bytes = log_bytes,
	                                        .pin_limit = 1 << 30,
	                                        .memory_budget = 64 << 20};
	ps_storer *s;
	OK(ps_base_open(path, &options, &s));
	world_init(&w, s, ACTORS_MAX, seed);
	w.count_commits = !compacts;
	for (unsigned i = 0; i < ACTORS_MAX; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, act, &w.actor[i]), 0);
	while (!all_ended(&w) && cuts < CUTS) {
		taken[cuts] = world_take(&w, cuts % 7 == 0 ? NULL : taken[cuts - 1 - cuts % 2 * (cuts > 1)]);
		cuts++;
		if (compacts && cuts % 3 == 0)
			OK(ps_compact(s, 0, NULL, NULL));
	}
	for (unsigned i = 0; i < ACTORS_MAX; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	taken[cuts] = world_take(&w, cuts ? taken[cuts - 1] : NULL);
	for (unsigned i = 0; i <= cuts; i++)
		world_compare(&w, taken[i]);
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	OK(ps_close(s));
	for (unsigned i = 0; i <= cuts; i++)
		taken_free(taken[i]);
	world_done(&w);
	close(fd);
	unlink(path);
}

static void each_cut_is_one_commits_state(void **state)
{
	(void)state;
	cut_while_others_write(0, false, 1);
}

static void commits_that_are_spilled_carry_the_interval_they_are_ordered_in(void **state)
{
	(void)state;
	cut_while_others_write(8 << 10, false, 2);
}

static void what_compaction_moves_was_not_changed(void **state)
{
	(void)state;
	cut_while_others_write(0, true, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_cut_is_one_commits_state),
	    cmocka_unit_test(commits_that_are_spilled_carry_the_interval_they_are_ordered_in),
	    cmocka_unit_test(what_compaction_moves_was_not_changed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
