/* A state that is open to be read: a layer that lets nothing through that changes a store. What is below
 * writes down what it learns and fetches, so it is not open read-only itself. */
#ifndef PS_STATE_VIEW_H
#define PS_STATE_VIEW_H

#include <stdbool.h>

#include <padstone/multi_store.h>

/* Owns inner from success on; PS_ENOMEM. */
PS_CHECKED int ps_state_view_open(ps_storer *inner, ps_storer **s);

/* ps_multi_open_state; unwanted (may be NULL) is asked while something is fetched, by any thread: true
 * ends that within a second, with PS_EUNAVAILABLE (state_open.c). */
PS_CHECKED int ps_state_open(const char *folder, const struct ps_base_options *base,
                             const struct ps_multi_options *opts, uint64_t state, bool (*unwanted)(void),
                             ps_storer **s);

#endif
