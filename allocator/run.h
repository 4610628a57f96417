/* A run: slots of one class, adjacent in slot order. Where the i-th lies follows from the first. */
#ifndef PS_RUN_H
#define PS_RUN_H

#include "allocator/class_table.h"

struct ps_run {
	uint64_t first; /* place of the first slot */
	uint64_t count;
};

/* The place of slot i of the run that begins at the sound place `first`: frame tails are skipped, slabs
 * follow each other. */
static inline uint64_t ps_run_place(const struct ps_class_geometry *g, uint64_t first, uint64_t i)
{
	uint64_t slot = ps_class_slot(g, first) + i;
	uint64_t slabs = slot < g->slots_per_slab ? 0 : slot / g->slots_per_slab;
	return ps_class_place(g, ps_class_slab(g, first) + slabs * g->slab_bytes,
	                      (uint32_t)(slot - slabs * g->slots_per_slab));
}

#endif
