/* Cuts the power at every point of what a run has traced, and looks at the store that comes back. */
#ifndef CUT_H
#define CUT_H

#include "tests/crash/script.h"
#include "tests/support/crash_states.h"

struct cut_options {
	struct crash_options first, nested;
	/* One state in so many is cut again inside its recovery, and one of those states again; one in so
	 * many is written to and opened again. 0: none. */
	unsigned nest_one_in, nest_again_one_in, write_one_in;
	uint64_t seed;
};

struct cut_counts {
	uint64_t states, nested, written;
	uint64_t timed, open_ns, close_ns; /* of some states: an open with its recovery, and a close, alone */
};

/* False, with the first state that is wrong and why in `why`, where the store does not open, does not hold a
 * prefix of the commits with all that were acknowledged, does not check clean, gives out an id again, or
 * cannot be written to. The run may be open. */
enum { CUT_WHY = 800 };
bool cut_everywhere(const char *name, struct run *run, const uint8_t *image, uint64_t size,
                    const struct cut_options *options, struct cut_counts *counts, char why[CUT_WHY]);

#endif
