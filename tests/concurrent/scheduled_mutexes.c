#include "tests/concurrent/scheduled_mutexes.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/sync.h"
#include "base/turn.h"
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
void __wrap_ps_turn_wait(struct ps_turn *turn, uint32_t seen);
void __wrap_ps_turn_next(struct ps_turn *turn, bool all);
int __wrap_sched_yield(void);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

enum { MUTEXES = 64 };

static struct mutex {
	pthread_mutex_t *key;
	struct sync_latch latch;
} mutexes[MUTEXES];

static struct sleeper {
	void *at; /* the condition or turn; NULL: awake */
	struct sync_place place;
} sleepers[SCHEDULE_THREADS];

static uint64_t fake_us;
static void (*turn_wait)(void);

void scheduled_mutexes_reset(void)
{
	memset(mutexes, 0, sizeof(mutexes));
	memset(sleepers, 0, sizeof(sleepers));
	fake_us = 1000000;
	turn_wait = NULL;
}

void scheduled_on_turn_wait(void (*fn)(void))
{
	turn_wait = fn;
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
	if (atomic_load(&latch->word) & SYNC_LATCH_TAKEN)
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

static struct sleeper *list_sleeper(void *at)
{
	struct sleeper *self = &sleepers[schedule_thread()];
	sync_place_init(&self->place);
	self->at = at;
	return self;
}

/* Nobody runs between the release and the sleep but by a choice of the scheduler, and then the wake-up is not
 * lost: the sleeper is listed before. */
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
	struct sleeper *self = list_sleeper(condition);
	sync_latch_drop(latch_of(mutex));
	(void)sync_sleep(&self->place, SYNC_NO_DEADLINE);
	sync_latch_take(latch_of(mutex));
	return 0;
}

static unsigned list_of(const void *at, struct sleeper *list[SCHEDULE_THREADS])
{
	unsigned n = 0;
	for (unsigned i = 0; i < SCHEDULE_THREADS; i++) {
		if (sleepers[i].at == at)
			list[n++] = &sleepers[i];
	}
	return n;
}

/* Who begins to sleep while they are being woken is not one of them. */
static void wake_all(const void *at)
{
	struct sleeper *list[SCHEDULE_THREADS];
	unsigned n = list_of(at, list);
	for (unsigned i = 0; i < n; i++)
		list[i]->at = NULL;
	for (unsigned i = 0; i < n; i++)
		sync_wake(&list[i]->place);
}

/* Whichever: the kernel promises no order. */
static void wake_one(const void *at)
{
	struct sleeper *list[SCHEDULE_THREADS];
	unsigned n = list_of(at, list);
	if (n == 0)
		return;
	struct sleeper *one = list[schedule_choose(n)];
	one->at = NULL;
	sync_wake(&one->place);
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *condition)
{
	if (schedule_is_exploring())
		wake_all(condition);
	return 0;
}

/* The kernel looks at the number once more, and lists the sleeper, in one step. */
void __wrap_ps_turn_wait(struct ps_turn *turn, uint32_t seen)
{
	if (turn_wait)
		turn_wait();
	sync_step();
	if (ps_turn_now(turn) == seen)
		(void)sync_sleep(&list_sleeper(turn)->place, SYNC_NO_DEADLINE);
}

void __wrap_ps_turn_next(struct ps_turn *turn, bool all)
{
	atomic_fetch_add(&turn->number, 1);
	if (!schedule_is_exploring())
		return;
	sync_step();
	if (all)
		wake_all(turn);
	else
		wake_one(turn);
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
