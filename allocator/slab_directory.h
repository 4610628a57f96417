/* Which slab lies at an offset: two levels of pointers, indexed by offset >> slab_shift. For block.c and
 * omni.c. */
#ifndef PS_SLAB_DIRECTORY_H
#define PS_SLAB_DIRECTORY_H

#include "allocator/slab.h"

enum { PS_DIRECTORY_LEAF_SHIFT = 10, PS_DIRECTORY_LEAF = 1 << PS_DIRECTORY_LEAF_SHIFT };

struct ps_directory_leaf {
	uint32_t count; /* slabs in it */
	/* Beside the slabs: what a free works out from its class does not wait for the slab's memory. */
	uint8_t classes[PS_DIRECTORY_LEAF];
	struct ps_slab *slabs[PS_DIRECTORY_LEAF];
};

struct ps_slab_directory {
	struct ps_memory *memory;
	struct ps_directory_leaf **leaves;
	size_t size; /* of leaves */
	size_t bytes;
	uint8_t slab_shift;
};

void ps_slab_directory_init(struct ps_slab_directory *d, struct ps_memory *memory, uint8_t slab_shift);
/* Of the directory alone, not of the slabs. */
void ps_slab_directory_done(struct ps_slab_directory *d);

/* After it, `count` slabs from `offset` on can be set. PS_ENOMEM: what could be had stays, and is found
 * unused. */
PS_CHECKED int ps_slab_directory_reserve(struct ps_slab_directory *d, uint64_t offset, uint64_t count);
/* The place is reserved. */
void ps_slab_directory_set(struct ps_slab_directory *d, struct ps_slab *slab, unsigned class);
void ps_slab_directory_remove(struct ps_slab_directory *d, struct ps_slab *slab);

/* The slab that holds the offset, or NULL, and its class, or 0. */
static inline struct ps_slab *ps_slab_directory_find(const struct ps_slab_directory *d, uint64_t offset,
                                                     unsigned *class)
{
	uint64_t index = offset >> d->slab_shift;
	uint64_t at = index >> PS_DIRECTORY_LEAF_SHIFT;
	const struct ps_directory_leaf *leaf = at < d->size ? d->leaves[at] : NULL;
	*class = leaf ? leaf->classes[index % PS_DIRECTORY_LEAF] : 0;
	return leaf ? leaf->slabs[index % PS_DIRECTORY_LEAF] : NULL;
}

static inline struct ps_slab *ps_slab_directory_at(const struct ps_slab_directory *d, uint64_t offset)
{
	unsigned class;
	return ps_slab_directory_find(d, offset, &class);
}

/* Whether any slab overlaps the extent. */
bool ps_slab_directory_overlaps(const struct ps_slab_directory *d, struct ps_extent extent);

/* The first slab that ends above `offset`, or NULL. */
struct ps_slab *ps_slab_directory_from(const struct ps_slab_directory *d, uint64_t offset);

#endif
