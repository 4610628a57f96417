/* A layer that has what may leave the store below leave before each call. */
#ifndef EVICTING_H
#define EVICTING_H

#include <stdbool.h>

#include "tests/support/copies.h"

/* Lets all leave, and pushes first if it is to. Busy, or a store that is only read: goes on without; all else
 * ends the process. One thread at a time, inside calls of the layer. */
typedef int (*evicting_fn)(void *arg, ps_storer *inner, bool push);
/* A push comes before one in so many calls: the others find contents of a later interval as well. Owns inner
 * from success on. */
int evicting_open_by(ps_storer *inner, evicting_fn leave, void *arg, unsigned push_one_in, ps_storer **s);
/* The same, to copies in memory of all that was pushed. They outlive the layer, and may be those of an
 * earlier one over the same store. */
int evicting_open(ps_storer *inner, struct copies *copies, unsigned push_one_in, ps_storer **s);

#endif
