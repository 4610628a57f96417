/* Every legal state of a disk after a power cut, from a start image and the trace of what was done to it.
 *
 * The model. The unit is a sector of 512 bytes: it is old or new, never mixed. What a flush has covered is
 * there. Each sector of a write that no flush has covered may have landed or not, independently of all
 * others; a later version of a sector may be there without an earlier one, and the earlier one instead of the
 * later. A write with sync is such a write while it runs; once it has returned its own sectors are there, and
 * the file's length that it needs. The length may be any that the file had since it was last durable, ahead
 * of the data or behind it; a truncation not yet durable has happened (length and zeros behind it together)
 * or not; so has each hole. What no write filled reads as zeros.
 *
 * An atom is what is undecided at a crash point: a sector with at least two different candidates, a hole that
 * would change something, the length. Up to `exhaustive` combinations all are tried; above, a sample:
 * everything, nothing, each event missing, each alone, each prefix of the events, each atom missing, each
 * alone, and `samples` at random. */
#ifndef CRASH_STATES_H
#define CRASH_STATES_H

#include "tests/support/sim_disk.h"

struct crash_state {
	size_t point;         /* so many events of the trace had ended */
	const uint8_t *image; /* unchanged until the callback returns; put a sim_disk over it */
	uint64_t size;
	uint64_t number; /* of this state, from 0, over the whole exploration */
};

/* Non-zero ends the exploration. */
typedef int (*crash_fn)(void *arg, const struct crash_state *state);

struct crash_options {
	uint64_t seed;
	uint64_t
	    exhaustive; /* combinations at one point up to which all are tried; 0: 16384 (14 atoms of two) */
	uint64_t samples; /* at random where there are more; 0: 64 */
	uint64_t
	    singles; /* atoms tried missing and alone there, chosen at random if there are more; 0: all */
	/* Points whose states are all states of the next point too are left out, unless this is set: the next
	 * point demands at least as much of each state. */
	bool every_point;
};

/* Calls fn for each state; how many there were. *result (may be NULL) is fn's last answer. options may be
 * NULL. */
uint64_t crash_explore(const void *image, uint64_t size, const struct sim_trace *trace,
                       const struct crash_options *options, crash_fn fn, void *arg, int *result);

#endif
