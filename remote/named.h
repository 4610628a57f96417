/* What names a pad: the one place that knows. A pad that nothing names, and that this key has made, was left
 * by a machine that is no more, or is one that another machine has not told of yet (gc.c). */
#ifndef PS_NAMED_H
#define PS_NAMED_H

#include "remote/sync_internal.h"

typedef int (*ps_named_fn)(void *arg, const struct ps_pad_name *name);

/* Tells of every pad that is named by `head` (itself, its runs, the records in them), by the last head that
 * was used here, by one that is on its way, or by this machine's index, whatever its status there; of some
 * more than once. Whoever adds what names pads adds it there. Other than PS_OK from fn ends it. `still`:
 * PS_EBUSY unless the local index was as told at one moment. PS_ELOST, PS_ESUPERSEDED, PS_EAUTH,
 * PS_EROLLBACK: of a part of the index on the network, also where its head has moved meanwhile. */
int ps_named_each(struct ps_sync *s, const struct sync_head *head, bool still, ps_named_fn fn, void *arg)
    __attribute__((warn_unused_result));
/* The most that ps_named_each may tell of. */
uint64_t ps_named_most(struct ps_sync *s, const struct sync_head *head);

#endif
