/* The contents of an object that was found in a state, out of as many of its runs as have pieces of it. */
#ifndef PS_STATE_CONTENTS_H
#define PS_STATE_CONTENTS_H

#include "multistore/state_place.h"

/* Fills exactly len bytes from offset on, or fails, and then buf has anything. p is held by the caller, and
 * stays as it is. PS_ERANGE: the object had fewer bytes; PS_ECORRUPT: a piece that does not belong to it, or
 * a patch of what no older run has; PS_ENOMEM; or what ps_pack_load_index fails with. Any thread; blocks. */
PS_CHECKED int ps_state_contents_read(struct ps_pack_loader *l, const struct ps_state_place *p,
                                      uint64_t offset, void *buf, size_t len);

#endif
