/* What the files of gc share. */
#ifndef PS_GC_INTERNAL_H
#define PS_GC_INTERNAL_H

#include <padstone/remote.h>

#include "remote/gc_note.h"
#include "remote/scan.h"
#include "remote/slot.h"

/* A pad of ours that nothing named when it was listed. */
struct gc_found {
	struct ps_pad_name name;
	struct ps_pad_identity identity;
	struct ps_serial serial;
	uint64_t size, head, first_ns;
	uint32_t generation;
	uint8_t class;
	bool known;  /* from a listing before this one */
	bool ripe;   /* and that was long enough ago */
	bool spared; /* named by now, changed or gone */
	bool slot;   /* of a log, below those that count */
};

struct gc {
	struct ps_sync s; /* first */
	struct ps_scan scan;
	struct ps_remote_gc options;
	const struct ps_remote_slots *which; /* that count; NULL: all do */
	struct ps_remote_gc_result result;
	struct ps_gc_note note; /* of the listings before */
	uint64_t now_ns, latest_ns;
	struct gc_found *found; /* by name */
	size_t count, capacity, fresh;
};

/* ---- gc_delete.c ---- */

/* Deletes what is ripe, unless it is named by now. */
int gc_delete(struct gc *gc) __attribute__((warn_unused_result));
/* What of `found` is named by now is spared. */
int gc_spare_named(struct gc *gc) __attribute__((warn_unused_result));

#endif
