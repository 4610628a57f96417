/* Time that goes on only when nobody has anything else to do: once all threads that take part wait, it jumps
 * to the first moment that one of them waits for. */
#ifndef PS_TESTS_VIRTUAL_CLOCK_H
#define PS_TESTS_VIRTUAL_CLOCK_H

#include <stdbool.h>

#include "remote/clock.h"

struct virtual_waiter;

struct virtual_clock {
	struct ps_clock clock;
	pthread_mutex_t lock; /* guards all below */
	uint64_t now_ns;
	unsigned threads, waiting;
	struct virtual_waiter *waiters;
	uint64_t jumps;
};

/* `threads` take part: they wait by this clock only. */
void virtual_clock_init(struct virtual_clock *clock, unsigned threads);
void virtual_clock_done(struct virtual_clock *clock);
void virtual_clock_set_threads(struct virtual_clock *clock, unsigned threads);
/* Of one that does no waiting of its own: returns when `waiting` threads wait, and none for a moment. */
void virtual_clock_until_idle(struct virtual_clock *clock, unsigned waiting);
uint64_t virtual_clock_jumps(struct virtual_clock *clock);

#endif
