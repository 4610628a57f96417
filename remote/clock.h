/* Time as the workers see it: monotonic nanoseconds, and waiting until one of them. A seam: tests have a
 * clock of their own that goes on at once when all its threads wait. */
#ifndef PS_CLOCK_H
#define PS_CLOCK_H

#include <pthread.h>
#include <stdint.h>

#define PS_NEVER UINT64_MAX
#define PS_MS_NS UINT64_C(1000000)
#define PS_SECOND_NS UINT64_C(1000000000)

struct ps_clock;

struct ps_clock_ops {
	uint64_t (*now)(struct ps_clock *clock);
	/* As pthread_cond_wait, but ends at until_ns too (PS_NEVER: does not), and may end for no reason. */
	void (*wait)(struct ps_clock *clock, pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t until_ns);
	/* Ends all waits on `cond`. The caller holds their mutex. */
	void (*wake)(struct ps_clock *clock, pthread_cond_t *cond);
};

/* First member of a clock. Any thread. */
struct ps_clock {
	const struct ps_clock_ops *ops;
};

extern struct ps_clock ps_system_clock;

/* The time of day, in nanoseconds since 1970: for what people see, and never to wait by. */
uint64_t ps_wall_ns(void);

/* A condition that any clock can wait on. PS_ENOMEM. */
int ps_clock_cond_init(pthread_cond_t *cond) __attribute__((warn_unused_result));

static inline uint64_t ps_clock_now(struct ps_clock *clock)
{
	return clock->ops->now(clock);
}

static inline void ps_clock_wait(struct ps_clock *clock, pthread_cond_t *cond, pthread_mutex_t *mutex,
                                 uint64_t until_ns)
{
	clock->ops->wait(clock, cond, mutex, until_ns);
}

static inline void ps_clock_wake(struct ps_clock *clock, pthread_cond_t *cond)
{
	clock->ops->wake(clock, cond);
}

/* The earlier of two moments. */
static inline uint64_t ps_earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* Milliseconds from now to then, rounded up; UINT32_MAX at most. */
uint32_t ps_clock_ms_until(uint64_t now_ns, uint64_t then_ns);

#endif
