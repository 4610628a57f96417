/* A number that goes on, and threads that sleep until it has. What they wait for is guarded by a lock of the
 * owner's, which a thread gives back before it sleeps and need not take again to wake: so many that are woken
 * at once do not queue for it. */
#ifndef PS_TURN_H
#define PS_TURN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct ps_turn {
	_Atomic(uint32_t) number;
	_Atomic(uint32_t) sleepers;
};

/* Which turn it is. Asked under the lock under which what is waited for was found missing. */
static inline uint32_t ps_turn_now(struct ps_turn *turn)
{
	return atomic_load(&turn->number);
}

/* Sleeps while it is still that turn; may return before it has ended. Not under the lock. */
void ps_turn_wait(struct ps_turn *turn, uint32_t seen);

/* The next turn: wakes all that sleep, or one of them. Not under the lock, but after what they wait for was
 * changed under it. */
void ps_turn_next(struct ps_turn *turn, bool all);

#endif
