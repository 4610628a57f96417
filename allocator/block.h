/* Block allocator: slots of one class, in slabs that are cut from a parent. O(1) but for the parent's search
 * when a slab is cut. For omni.c; not thread-safe.
 *
 * A slab is open (one of a class, the one that is filled), in a bucket (slots of it may be given out later),
 * or loose (full, retired, above the limit). An empty slab goes back to the parent, unless it is open: so a
 * class that frees and takes one slot again and again at the border of two slabs does not ask the parent each
 * time. */
#ifndef PS_BLOCK_H
#define PS_BLOCK_H

#include "allocator/slab_directory.h"

/* What the blocks of an allocator share. */
struct ps_slab_source {
	struct ps_memory *memory;
	struct ps_allocator *parent;
	struct ps_slab_directory directory;
	uint64_t limit;      /* slabs that reach above it are not filled; 0: none */
	uint64_t idle_bytes; /* free slots of the slabs in buckets */
	bool growing;        /* PS_ENOSPC of the parent makes room: holes need not be filled */
	size_t bytes;        /* memory of the slabs */
};

enum { PS_BLOCK_BUCKETS = 16 };

struct ps_block {
	struct ps_slab_source *source;
	const struct ps_class_geometry *geometry;
	unsigned class;
	unsigned bucket_shift; /* used slots >> bucket_shift is a slab's bucket */
	unsigned filled;       /* bit i: buckets[i] has a slab */
	struct ps_slab *open;
	struct ps_slab *buckets[PS_BLOCK_BUCKETS];
	uint64_t slabs, used;
	uint64_t idle; /* free slots of the slabs in buckets */
};

void ps_block_init(struct ps_block *block, struct ps_slab_source *source,
                   const struct ps_class_geometry *geometry, unsigned class);

/* Opens the emptiest slab, or a new one, for the next slot. PS_ENOSPC, PS_ENOMEM: state unchanged. */
PS_CHECKED int ps_block_open_next(struct ps_block *block);

/* The place of one slot. */
static inline int ps_block_alloc(struct ps_block *block, uint64_t *place)
{
	const struct ps_class_geometry *g = block->geometry;
	if (!block->open || block->open->used == g->slots_per_slab) {
		int err = ps_block_open_next(block);
		if (err != PS_OK)
			return err;
	}
	uint32_t slot = ps_slab_next(g, block->open);
	ps_slab_take(g, block->open, slot);
	block->used++;
	*place = ps_class_place(g, block->open->offset, slot);
	return PS_OK;
}

/* All slots of a free frame of the open slab. PS_ENOTSUP: it has free slots, but no free frame. PS_ENOSPC, PS_ENOMEM. */
PS_CHECKED int ps_block_alloc_frame(struct ps_block *block, uint64_t *place);

/* `count` adjacent slots; end to end: as one extent, which the geometry allows. All or nothing. PS_ENOSPC,
 * PS_ENOMEM. */
PS_CHECKED int ps_block_alloc_run(struct ps_block *block, uint64_t count, bool end_to_end, uint64_t *place);

/* Puts the slab where its fullness belongs. */
void ps_block_settle(struct ps_block *block, struct ps_slab *slab);
/* Gives an empty slab back to the parent. If that has no memory to note it, the slab stays, empty. */
void ps_block_release(struct ps_block *block, struct ps_slab *slab);

/* Frees a used slot; whether its frame is wholly free now. The slab may be gone after it. */
static inline bool ps_block_give(struct ps_block *block, struct ps_slab *slab, uint32_t slot)
{
	bool frame_free = ps_slab_give(block->geometry, slab, slot);
	block->used--;
	if (slab == block->open)
		return frame_free;
	if (slab->bucket != PS_SLAB_LOOSE) {
		block->idle++;
		block->source->idle_bytes += block->geometry->slot_bytes;
	}
	if (slab->used == 0)
		ps_block_release(block, slab);
	else if (slab->bucket != (int)(slab->used >> block->bucket_shift))
		ps_block_settle(block, slab);
	return frame_free;
}

/* Takes this very slot, which is free. */
void ps_block_take(struct ps_block *block, struct ps_slab *slab, uint32_t slot);

/* A slab at `offset` without used slots, loose: its space is used in the parent. PS_ENOMEM. */
PS_CHECKED int ps_block_add(struct ps_block *block, uint64_t offset, struct ps_slab **slab);
/* Forgets a slab; the parent keeps its space. */
void ps_block_forget(struct ps_block *block, struct ps_slab *slab);

/* The open slab goes to its bucket, or back to the parent. */
void ps_block_close_open(struct ps_block *block);

/* Buckets and counts against the slabs in them. PS_ECORRUPT with a sentence. */
PS_CHECKED int ps_block_check(const struct ps_block *block);

#endif
