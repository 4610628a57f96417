/* A pad that is not there, or is another one: whether that one is lost, another machine has used it again, or
 * the whole network is not what it was. */
#ifndef PS_LOSS_H
#define PS_LOSS_H

#include <padstone/remote.h>
#include <stdbool.h>

#include "base/memory.h"

/* The error of a read for which it is worth to ask: what a machine sees that has not heard of a later push.
 */
static inline bool ps_loss_is(int err)
{
	return err == PS_ELOST || err == PS_ESUPERSEDED || err == PS_EAUTH || err == PS_EROLLBACK;
}

/* err: what a read ended with, and its sentence is this thread's. Asks for the network's head, and takes what
 * others have changed: then another try may find it. PS_EROLLBACK, PS_EFORK: the network shows an older state
 * than was used here, or another history; the sentence has both. Else err, with its sentence, whatever else
 * comes of it. Any thread; blocks, and ends within a second when progress says so. */
PS_CHECKED int ps_loss_judge(ps_remote *r, int err, ps_remote_progress_fn progress, void *arg);

/* The same for who reads a whole state: PS_ESUPERSEDED if it is not kept any more. */
PS_CHECKED int ps_loss_judge_state(struct ps_memory *memory, ps_remote *r, uint64_t state, int err,
                                   ps_remote_progress_fn progress, void *arg);

#endif
