/* A layer that writes down which calls reach it, with which arguments, and hands them on. Over a store that
 * cannot place by size it stands in for one: it says that it can, keeps what it was told as a file would, and
 * answers figures that the test sets. */
#ifndef SPY_LAYER_H
#define SPY_LAYER_H

#include "store/cut.h"
#include "store/placement.h"

enum { SPY_ARGS = 5, SPY_CALLS = 128 };

struct spy_call {
	const char *slot;
	uint64_t args[SPY_ARGS]; /* without the store; pointers as numbers; zeros behind the last */
	int result;
};

/* Owns inner from success on. */
PS_CHECKED int spy_layer_open(ps_storer *inner, ps_storer **s);

/* The first SPY_CALLS since open or spy_forget; *count may be more. Not while another thread is in a call. */
const struct spy_call *spy_calls(ps_storer *s, size_t *count);
void spy_forget(ps_storer *s);
/* How many spies were closed for good since the process began. */
unsigned spy_closes(void);

/* What the file behind a stand-in has from now on (classes.count 0: nothing yet), and what asking answers. */
void spy_set_placement(ps_storer *s, const struct ps_placement *file, bool readonly, int result);
/* What routes of a stand-in hold: figures[route]. They stay the test's. */
void spy_set_figures(ps_storer *s, const struct ps_route_figures *figures, size_t count);

#endif
