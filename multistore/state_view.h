/* A state that is open to be read: a layer that lets nothing through that changes a store. What is below
 * writes down what it learns and fetches, so it is not open read-only itself. */
#ifndef PS_STATE_VIEW_H
#define PS_STATE_VIEW_H

#include <padstone/storer.h>

/* Owns inner from success on; PS_ENOMEM. */
PS_CHECKED int ps_state_view_open(ps_storer *inner, ps_storer **s);

#endif
