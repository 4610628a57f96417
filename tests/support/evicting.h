/* A layer that keeps a copy of all contents of the store below, and before each call lets leave whatever may.
 */
#ifndef EVICTING_H
#define EVICTING_H

#include "tests/support/copies.h"

/* A push comes before one in so many calls: the others find contents of a later interval as well. The copies
 * outlive the layer, and may be those of an earlier one over the same store. Owns inner from success on. */
int evicting_open(ps_storer *inner, struct copies *copies, unsigned push_one_in, ps_storer **s);

#endif
