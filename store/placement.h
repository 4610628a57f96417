/* Where a store puts small contents, as the layer above decides: for layers, not for applications.
 *
 * A store with PS_CAP_PLACEMENT has a class table in its file, or takes one once, for good. It builds the allocators that the
 * table names by itself, so that it reads and frees what lies in slabs whoever opens it. That new contents go there is decided by
 * a layer that calls ps_use_placement; without one all new contents are the root's. */
#ifndef PS_PLACEMENT_H
#define PS_PLACEMENT_H

#include "allocator/class_table.h"
#include "store/storer_impl.h"

struct ps_placement {
	struct ps_class_table classes; /* wanted, where the file has none yet (count 0: none); afterwards the file's */
	uint32_t route_max;            /* contents up to so many bytes go to the class that fits them, larger ones to the root; afterwards the
	                                  file's */
};

/* Routes new contents from now on, until the store is closed. A read-only store only says what its file has. The file keeps its table and
 * its limit: what was asked for counts where there is no table yet. PS_ENOTSUP: no PS_CAP_PLACEMENT. PS_EINVAL: classes above 4 KiB that
 * are not whole pages, route_max above the largest class. PS_EIO, PS_ENOSPC: the table could not be made durable; nothing is routed. */
PS_CHECKED int ps_use_placement(ps_storer *s, struct ps_placement *placement);

enum ps_space_use {
	PS_SPACE_FREE,  /* to the root: any use */
	PS_SPACE_FIXED, /* superblocks, and pages that stay unused between regions */
	PS_SPACE_LOG,
	PS_SPACE_TABLE,   /* of objects: pages in use, and kept for the next checkpoint */
	PS_SPACE_OBJECTS, /* extents of the root, maps included, and what waits to be free or is forgotten to
	                     be */
	PS_SPACE_SLAB,
};

/* A piece of the file, in address order; pieces do not overlap and leave nothing out. */
struct ps_space_piece {
	uint64_t offset, len;
	enum ps_space_use use;
	unsigned class;       /* of a slab */
	uint32_t used, slots; /* of a slab */
};
typedef int (*ps_space_fn)(void *arg, const struct ps_space_piece *piece);

/* Walks the file's space. fn must not call the store; non-zero ends the walk with PS_ECANCELED.
 * PS_EREADONLY: a store that was opened so does not find out what is free. */
PS_CHECKED int ps_each_space(ps_storer *s, ps_space_fn fn, void *arg);

/* What a route holds: class 0 is the root. */
struct ps_route_figures {
	uint64_t objects, live_bytes;   /* exact sizes; not of small objects whose contents are away: they lie nowhere */
	uint64_t allocated;             /* bytes of the slots, or of the extents, maps included, that objects take */
	uint64_t slabs, slots, used;    /* used: also what waits to be free. The root has none of these */
	uint64_t slot_bytes, tail_bytes; /* of one slot; of slabs, in no slot */
	uint64_t free_bytes;            /* of free slots; the root's free extents */
};
/* Fills figures[0] to figures[count - 1], zeros behind the last class. Walks the whole table: what is written meanwhile may count or not. Of a store
 * that was opened read-only nothing is known of slabs and free bytes: zeros. */
PS_CHECKED int ps_route_figures(ps_storer *s, struct ps_route_figures *figures, size_t count);

#endif
