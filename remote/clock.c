#include "remote/clock.h"

#include <time.h>

#include "base/fail.h"

static uint64_t system_now(struct ps_clock *clock)
{
	(void)clock;
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * PS_SECOND_NS + (uint64_t)now.tv_nsec;
}

static void system_wait(struct ps_clock *clock, pthread_cond_t *cond, pthread_mutex_t *mutex,
                        uint64_t until_ns)
{
	(void)clock;
	if (until_ns == PS_NEVER) {
		pthread_cond_wait(cond, mutex);
		return;
	}
	struct timespec until = {.tv_sec = (time_t)(until_ns / PS_SECOND_NS),
	                         .tv_nsec = (long)(until_ns % PS_SECOND_NS)};
	(void)pthread_cond_timedwait(cond, mutex, &until);
}

static void system_wake(struct ps_clock *clock, pthread_cond_t *cond)
{
	(void)clock;
	pthread_cond_broadcast(cond);
}

static const struct ps_clock_ops system_ops = {system_now, system_wait, system_wake};
struct ps_clock ps_system_clock = {&system_ops};

uint64_t ps_wall_ns(void)
{
	struct timespec now = {0};
	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * PS_SECOND_NS + (uint64_t)now.tv_nsec;
}

int ps_clock_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attributes;
	if (pthread_condattr_init(&attributes) != 0)
		return ps_fail(PS_ENOMEM, "no memory for a condition");
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	int err = pthread_cond_init(cond, &attributes);
	pthread_condattr_destroy(&attributes);
	return err ? ps_fail_errno(err, "a condition cannot be made") : PS_OK;
}

uint32_t ps_clock_ms_until(uint64_t now_ns, uint64_t then_ns)
{
	if (then_ns <= now_ns)
		return 0;
	uint64_t ms = (then_ns - now_ns - 1) / PS_MS_NS + 1;
	return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}
