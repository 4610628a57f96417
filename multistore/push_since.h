/* Since when a push sends: which runs of the newest state stay, and which it stands for. */
#ifndef PS_PUSH_SINCE_H
#define PS_PUSH_SINCE_H

#include <stdint.h>

enum {
	PS_ITEM_COST = 16,         /* what an object weighs besides its contents */
	PS_RUN_COST = 4096,        /* what a run weighs besides its objects: pads are not smaller */
	PS_KEEP_RUNS_MAX = 48,     /* of one state: what a clone reads side by side */
	PS_SMALL_PUSH = 256 << 10, /* changes that somebody may wait for */
	PS_SMALL_SENDS = 500000, /* what such a push sends at most, with what it stands for: less than half a
	                            MiB in pads */
	PS_SMALL_RUNS = 16,      /* as long as there are not more runs */
};

/* weight: of the runs of the newest state, the first (since 0) first; live: of the whole store; changed: of
 * what was changed behind the last run. The first so many runs stay; 0: all is sent.
 *
 * A run that has no more than a quarter more than what is sent so far is sent again with it, so each run is a
 * good deal heavier than the one behind it: there are logarithmically many, and an object is sent a few times
 * while its run grows. The first one is sent again once all together would weigh twice the store, or where
 * all weighs no more than a quarter more than what was changed, and that is not small. */
uint32_t ps_push_keep(const uint64_t *weight, uint32_t runs, uint64_t live, uint64_t changed);

#endif
