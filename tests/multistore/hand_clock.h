/* A clock that goes on only when a test says so; and what waits on it can be looked at. */
#ifndef HAND_CLOCK_H
#define HAND_CLOCK_H

#include "remote/clock.h"

struct hand_clock {
	struct ps_clock clock;
	pthread_mutex_t lock;
	pthread_cond_t waits; /* one began */
	uint64_t now;
	/* The one that waits; NULL: none does. */
	pthread_cond_t *cond;
	pthread_mutex_t *mutex;
	uint64_t until;
};

void hand_clock_init(struct hand_clock *c);
void hand_clock_done(struct hand_clock *c);
void hand_clock_advance(struct hand_clock *c, uint64_t ns);
/* Until somebody waits for `until` (a moment, or PS_NEVER), and for nothing earlier. */
void hand_clock_expect(struct hand_clock *c, uint64_t until);
/* Until somebody waits for some moment; which. */
uint64_t hand_clock_next(struct hand_clock *c);

#endif
