/* One pad's record as it lies on a network, to the byte: verified (name, signature, identity, the hash of
 * every segment), and not opened. For those who take it somewhere else: a copy, a repair from one. */
#ifndef PS_RAW_PAD_H
#define PS_RAW_PAD_H

#include "remote/fetch.h"
#include "remote/manager_internal.h"

struct ps_raw_pad {
	struct ps_fetch fetch; /* first: a task; told: fate, error (PS_ELOST: nothing is there), sentence */
	/* The caller's, before ps_raw_pad_init; all else zero. */
	ps_remote *r;
	ps_network *network; /* where it is fetched */
	struct ps_pad_slot slot;
	unsigned role;
	void (*ended)(struct ps_raw_pad *fetch);
	/* Told, if the fate is done: of the network's memory, a reference that is the caller's. */
	struct ps_net_buffer *record;
};

void ps_raw_pad_init(struct ps_raw_pad *fetch);
/* The same bytes in another network's memory: a request of its that is given up may hold them for longer than
 * the first network lives. NULL: no memory. */
struct ps_net_buffer *ps_pad_record_for(ps_network *network, const struct ps_net_buffer *record);

#endif
