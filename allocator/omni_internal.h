/* What omni.c and omni_walk.c share. */
#ifndef PS_OMNI_INTERNAL_H
#define PS_OMNI_INTERNAL_H

#include <assert.h>

#include "allocator/block.h"
#include "allocator/omni.h"

struct omni {
	struct ps_allocator base;
	struct ps_slab_source source;
	struct ps_class_map map;
	struct ps_block *blocks[PS_CLASSES_MAX + 1]; /* NULL: not asked for yet */
	size_t made;                                 /* of them */
};

extern const struct ps_allocator_ops ps_omni_ops;

static inline struct omni *omni_of(const struct ps_allocator *a)
{
	assert(a && a->ops == &ps_omni_ops);
	return (struct omni *)(uintptr_t)a;
}

static inline struct ps_slab *slab_at(const struct omni *o, uint64_t offset)
{
	return ps_slab_directory_at(&o->source.directory, offset);
}

/* The next slab in address order, from the first that ends above `offset`. */
static inline struct ps_slab *slab_from(const struct omni *o, uint64_t offset)
{
	return ps_slab_directory_from(&o->source.directory, offset);
}

static inline uint64_t slab_end(const struct ps_slab *slab)
{
	return slab->offset + slab->block->geometry->slab_bytes;
}

/* The class's block, made where it is not there. PS_EINVAL, PS_ENOMEM. */
PS_CHECKED int ps_omni_block(struct omni *o, unsigned class, struct ps_block **block);

int ps_omni_walk(struct ps_allocator *a, ps_extent_fn fn, void *arg);
int ps_omni_check(struct ps_allocator *a);
void ps_omni_stats(struct ps_allocator *a, struct ps_allocator_stats *stats);

#endif
