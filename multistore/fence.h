/* Fences: where the log of an epoch of writers ends. A fence is a slot (remote/slot.h) that is created at the
 * first absent place of the log, so that who held the epoch creates nothing behind it: every slot of a log
 * that counts lies before its fence, and was there before the fence was. Who takes over has it raised before
 * anything is written in the next epoch. */
#ifndef PS_FENCE_H
#define PS_FENCE_H

#include "multistore/manifest.h"
#include "remote/slot.h"

struct ps_fence {
	uint64_t epoch; /* that goes on */
	uint8_t holder[PS_HOLDER];
	uint64_t since_ns; /* by the holder's clock */
};

enum { PS_FENCE_BYTES = 64 };
void ps_fence_encode(const struct ps_fence *fence, uint8_t bytes[PS_FENCE_BYTES]);
/* at: where it stands. PS_ECORRUPT, also for one that does not lead on. */
PS_CHECKED int ps_fence_decode(const uint8_t *bytes, size_t len, const struct ps_remote_slot_at *at,
                               struct ps_fence *fence);

/* Whether there is a slot, and what: PS_ENOTFOUND: the log ends here. *log: contents of a log; else
 * *fence. One request. */
PS_CHECKED int ps_fence_look(ps_remote *r, const struct ps_remote_slot_at *at, ps_remote_progress_fn progress,
                             void *arg, bool *log, struct ps_fence *fence);
/* The log from `from` on ends in a fence when it returns: this one, or one of an earlier takeover. May be
 * called again. PS_EFENCED: in that of another holder of the same epoch, or a later one. */
PS_CHECKED int ps_fence_raise(ps_remote *r, const struct ps_remote_slot_at *from,
                              const struct ps_fence *fence, ps_remote_progress_fn progress, void *arg);

#endif
