#include "tests/concurrent/scheduled_mutexes.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/sync.h"
#include "tests/concurrent/scheduler.h"

int __real_pthread_mutex_lock(pthread_mutex_t *mutex);
int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __real_pthread_mutex_trylock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int __wrap_pthread_cond_broadcast(pthread_cond_t *condition);
int __wrap_sched_yield(void);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

enum { MUTEXES = 64 };

static struct mutex {
	pthread_mutex_t *key;
	struct sync_latch latch;
} mutexes[MUTEXES];

static struct sleeper {
	pthread_cond_t *condition; /* NULL: awake */
	struct sync_place place;
} sleepers[SCHEDULE_THREADS];

static uint64_t fake_us;

void scheduled_mutexes_reset(void)
{
	memset(mutexes, 0, sizeof(mutexes));
	memset(sleepers, 0, sizeof(sleepers));
	fake_us = 1000000;
}

static struct sync_latch *latch_of(pthread_mutex_t *mutex)
{
	for (unsigned i = 0; i < MUTEXES; i++) {
		if (!mutexes[i].key)
			mutexes[i].key = mutex;
		if (mutexes[i].key == mutex)
			return &mutexes[i].latch;
	}
	abort();
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
	if (!schedule_is_exploring())
		return __real_pthread_mutex_lock(mutex);
	sync_latch_take(latch_of(mutex));
	return 0;
}

int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex)
{
	if (!schedule_is_exploring())
		return __real_pthread_mutex_trylock(mutex);
	struct sync_latch *latch = latch_of(mutex);
	sync_step();
	if (atomic_load(&latch->taken))
		return EBUSY;
	sync_latch_take(latch);
	return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	if (!schedule_is_exploring())
		return __real_pthread_mutex_unlock(mutex);
	sync_latch_drop(latch_of(mutex));
	return 0;
}

/* Nobody runs between the release and the sleep but by a choice of the scheduler, and then the wake-up is not
 * lost: the sleeper is listed before. */
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
	struct sleeper *self = &sleepers[schedule_thread()];
	sync_place_init(&self->place);
	self->condition = condition;
	sync_latch_drop(latch_of(mutex));
	(void)sync_sleep(&self->place, SYNC_NO_DEADLINE);
	sync_latch_take(latch_of(mutex));
	return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *condition)
{
	for (unsigned i = 0; schedule_is_exploring() && i < SCHEDULE_THREADS; i++) {
		if (sleepers[i].condition == condition) {
			sleepers[i].condition = NULL;
			sync_wake(&sleepers[i].place);
		}
	}
	return 0;
}

int __wrap_sched_yield(void)
{
	schedule_yield();
	return 0;
}

/* Time passes by being asked for: the same in each order. */
int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
	if (!schedule_is_exploring())
		return __real_clock_gettime(clock, now);
	fake_us += 10;
	*now = (struct timespec){(time_t)(fake_us / 1000000), (long)(fake_us % 1000000) * 1000};
	return 0;
}
