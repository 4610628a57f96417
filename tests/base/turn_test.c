/* Threads that sleep until a turn has ended: no wake-up is lost, one wakes one. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/turn.h"

enum { THREADS = 4, ROUNDS = 2000 };

static struct ps_turn turn;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned given, taken; /* under lock */

static bool take_one(void)
{
	bool some = given > taken;
	taken += some;
	return some;
}

/* Takes as many as there are rounds, one at a time. */
static void *taker(void *arg)
{
	for (unsigned mine = 0; mine < ROUNDS;) {
		pthread_mutex_lock(&lock);
		uint32_t seen = ps_turn_now(&turn);
		bool some = take_one();
		pthread_mutex_unlock(&lock);
		mine += some;
		if (!some)
			ps_turn_wait(&turn, seen);
	}
	return arg;
}

static void give(unsigned n)
{
	pthread_mutex_lock(&lock);
	given += n;
	pthread_mutex_unlock(&lock);
}

/* Ends only if each taker hears of what is given after it has found nothing. */
static void run(bool all, unsigned at_once)
{
	pthread_t thread[THREADS];
	given = taken = 0;
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, taker, NULL), 0);
	for (unsigned i = 0; i < THREADS * ROUNDS; i += at_once) {
		give(at_once);
		ps_turn_next(&turn, all);
	}
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(thread[i], NULL), 0);
	assert_int_equal(taken, THREADS * ROUNDS);
	assert_int_equal(atomic_load(&turn.sleepers), 0);
}

static void all_that_sleep_are_woken(void **state)
{
	(void)state;
	run(true, THREADS);
}

static void each_that_is_given_wakes_one(void **state)
{
	(void)state;
	run(false, 1);
}

static void a_turn_that_has_ended_is_not_waited_for(void **state)
{
	(void)state;
	uint32_t seen = ps_turn_now(&turn);
	ps_turn_next(&turn, true);
	ps_turn_wait(&turn, seen);
	assert_int_not_equal(ps_turn_now(&turn), seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_that_sleep_are_woken),
	    cmocka_unit_test(each_that_is_given_wakes_one),
	    cmocka_unit_test(a_turn_that_has_ended_is_not_waited_for),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
