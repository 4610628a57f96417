#include "allocator/block.h"

#include <inttypes.h>

#include "base/fail.h"

enum {
	/* A slab is filled again when a quarter of it is free: with less, each page would be written for a
	   few objects. */
	REUSE_SHARE = 4,
	/* Or when free slots are a sixteenth of all space and a 32nd of the class: so much is given up to
	 * keep writes together. Of a million objects of 64 to 512 bytes that are replaced at random, 20,000
	 * replaces then write 9,100 pages; 13,100 with all holes filled at once, 3,800 with a quarter of the
	 * class free. */
	IDLE_OF_SPACE = 16,
	IDLE_OF_CLASS = 32,
	RUN_TRIES = 8, /* slabs that are searched for a run before a new one is cut */
};

void ps_block_init(struct ps_block *block, struct ps_slab_source *source,
                   const struct ps_class_geometry *geometry, unsigned class)
{
	*block = (struct ps_block){.source = source, .geometry = geometry, .class = class};
	while (geometry->slots_per_slab - 1 >= (uint32_t)PS_BLOCK_BUCKETS << block->bucket_shift)
		block->bucket_shift++;
}

/* ---- buckets ---- */

static uint32_t free_slots(const struct ps_block *block, const struct ps_slab *slab)
{
	return block->geometry->slots_per_slab - slab->used;
}

static void idle_less(struct ps_block *block, uint32_t slots)
{
	block->idle -= slots;
	block->source->idle_bytes -= (uint64_t)slots * block->geometry->slot_bytes;
}

static void unlink_slab(struct ps_block *block, struct ps_slab *slab)
{
	if (slab->bucket == PS_SLAB_LOOSE)
		return;
	if (slab->previous)
		slab->previous->next = slab->next;
	else
		block->buckets[slab->bucket] = slab->next;
	if (slab->next)
		slab->next->previous = slab->previous;
	if (!block->buckets[slab->bucket])
		block->filled &= ~(1U << slab->bucket);
	slab->next = slab->previous = NULL;
	slab->bucket = PS_SLAB_LOOSE;
	idle_less(block, free_slots(block, slab));
}

static void link_slab(struct ps_block *block, struct ps_slab *slab)
{
	slab->bucket = (int8_t)(slab->used >> block->bucket_shift);
	slab->previous = NULL;
	slab->next = block->buckets[slab->bucket];
	if (slab->next)
		slab->next->previous = slab;
	block->buckets[slab->bucket] = slab;
	block->filled |= 1U << slab->bucket;
	block->idle += free_slots(block, slab);
	block->source->idle_bytes += (uint64_t)free_slots(block, slab) * block->geometry->slot_bytes;
}

static bool above_limit(const struct ps_block *block, const struct ps_slab *slab)
{
	uint64_t limit = block->source->limit;
	return limit > 0 && slab->offset + block->geometry->slab_bytes > limit;
}

/* Whether slots of the slab may be given out once it is opened. */
static bool usable(const struct ps_block *block, const struct ps_slab *slab)
{
	return slab != block->open && free_slots(block, slab) > 0 && !slab->retired &&
	       !above_limit(block, slab);
}

void ps_block_settle(struct ps_block *block, struct ps_slab *slab)
{
	unlink_slab(block, slab);
	if (usable(block, slab))
		link_slab(block, slab);
}

static struct ps_slab *emptiest(const struct ps_block *block)
{
	return block->filled ? block->buckets[__builtin_ctz(block->filled)] : NULL;
}

/* ---- slabs ---- */

int ps_block_add(struct ps_block *block, uint64_t offset, struct ps_slab **slab)
{
	struct ps_slab_source *source = block->source;
	size_t bytes = ps_slab_bytes(block->geometry);
	int err = ps_slab_directory_reserve(&source->directory, offset, 1);
	if (err != PS_OK)
		return err;
	struct ps_slab *made = ps_memory_zalloc(source->memory, bytes);
	if (!made)
		return ps_fail(PS_ENOMEM, "block allocator: no memory for a slab of class %u at %" PRIu64,
		               block->class, offset);
	made->block = block;
	made->offset = offset;
	made->bucket = PS_SLAB_LOOSE;
	ps_slab_directory_set(&source->directory, made, block->class);
	source->bytes += bytes;
	block->slabs++;
	*slab = made;
	return PS_OK;
}

void ps_block_forget(struct ps_block *block, struct ps_slab *slab)
{
	struct ps_slab_source *source = block->source;
	size_t bytes = ps_slab_bytes(block->geometry);
	unlink_slab(block, slab);
	if (block->open == slab)
		block->open = NULL;
	ps_slab_directory_remove(&source->directory, slab);
	ps_memory_free(source->memory, slab, bytes);
	source->bytes -= bytes;
	block->slabs--;
}

void ps_block_release(struct ps_block *block, struct ps_slab *slab)
{
	struct ps_allocator *parent = block->source->parent;
	struct ps_extent extent = {slab->offset, block->geometry->slab_bytes};
	if (parent->ops->free(parent, extent, NULL) == PS_OK)
		ps_block_forget(block, slab);
	else
		ps_block_settle(block, slab);
}

/* Slabs side by side, all new, the first at *offset. All or nothing. */
static int cut(struct ps_block *block, uint64_t count, uint64_t *offset)
{
	struct ps_slab_source *source = block->source;
	struct ps_allocator *parent = source->parent;
	uint64_t bytes = block->geometry->slab_bytes;
	struct ps_extent extent;
	struct ps_slab *slab;
	int err = parent->ops->alloc_aligned(parent, count * bytes, bytes, source->limit, &extent);
	if (err != PS_OK)
		return err;
	for (uint64_t i = 0; i < count && err == PS_OK; i++) {
		err = ps_block_add(block, extent.offset + i * bytes, &slab);
		if (err == PS_OK)
			continue;
		while (i > 0)
			ps_block_forget(
			    block, ps_slab_directory_at(&source->directory, extent.offset + --i * bytes));
		/* The parent has just taken it: that it can free without memory is part of its contract. */
		(void)parent->ops->free(parent, extent, NULL);
		return err;
	}
	*offset = extent.offset;
	return PS_OK;
}

/* ---- slots ---- */

static bool much_is_idle(const struct ps_block *block)
{
	struct ps_allocator *parent = block->source->parent;
	struct ps_allocator_stats stats;
	if (block->idle * IDLE_OF_CLASS < block->slabs * block->geometry->slots_per_slab)
		return false;
	parent->ops->stats(parent, &stats);
	return block->source->idle_bytes * IDLE_OF_SPACE >= stats.space;
}

/* Whether a partly used slab is worth filling while a new one can be had. Below a limit each is: compaction
 * wants the space. */
static bool worth_filling(const struct ps_block *block, const struct ps_slab *slab)
{
	return (uint64_t)free_slots(block, slab) * REUSE_SHARE >= block->geometry->slots_per_slab ||
	       block->source->limit > 0 || much_is_idle(block);
}

int ps_block_open_next(struct ps_block *block)
{
	struct ps_slab *old = block->open, *best = emptiest(block);
	uint64_t offset;
	if (!best || !worth_filling(block, best)) {
		int err = cut(block, 1, &offset);
		if (err == PS_OK)
			best = ps_slab_directory_at(&block->source->directory, offset);
		else if (!best || (err == PS_ENOSPC && block->source->growing))
			return err;
	}
	unlink_slab(block, best);
	block->open = best;
	if (old)
		ps_block_settle(block, old);
	return PS_OK;
}

int ps_block_alloc_frame(struct ps_block *block, uint64_t *place)
{
	const struct ps_class_geometry *g = block->geometry;
	uint32_t frame;
	if (!block->open || block->open->used == g->slots_per_slab) {
		int err = ps_block_open_next(block);
		if (err != PS_OK)
			return err;
	}
	if (!ps_slab_find_frame(g, block->open, &frame))
		return PS_ENOTSUP;
	uint32_t first = frame * g->slots_per_frame;
	for (uint32_t i = 0; i < g->slots_per_frame; i++)
		ps_slab_take(g, block->open, first + i);
	block->used += g->slots_per_frame;
	*place = ps_class_place(g, block->open->offset, first);
	return PS_OK;
}

void ps_block_take(struct ps_block *block, struct ps_slab *slab, uint32_t slot)
{
	ps_slab_take(block->geometry, slab, slot);
	block->used++;
	if (slab->bucket != PS_SLAB_LOOSE)
		idle_less(block, 1);
	if (slab->bucket != (int)(slab->used >> block->bucket_shift) || free_slots(block, slab) == 0)
		ps_block_settle(block, slab);
}

void ps_block_close_open(struct ps_block *block)
{
	struct ps_slab *slab = block->open;
	block->open = NULL;
	if (slab && slab->used == 0)
		ps_block_release(block, slab);
	else if (slab)
		ps_block_settle(block, slab);
}

/* ---- runs ---- */

static void take_run(struct ps_block *block, struct ps_slab *slab, uint32_t first, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		ps_block_take(block, slab, first + i);
}

/* In the open slab, then in others from the emptiest on. */
static bool run_in_slabs(struct ps_block *block, uint32_t count, bool end_to_end, unsigned tries,
                         uint64_t *place)
{
	const struct ps_class_geometry *g = block->geometry;
	struct ps_slab *slab = block->open;
	uint32_t first;
	bool found = slab && ps_slab_find_run(g, slab, count, end_to_end, &first);
	for (unsigned i = 0; i < PS_BLOCK_BUCKETS && !found; i++) {
		slab = block->buckets[i];
		while (slab && tries > 0 && !(found = ps_slab_find_run(g, slab, count, end_to_end, &first))) {
			slab = slab->next;
			tries--;
		}
	}
	if (!found)
		return false;
	*place = ps_class_place(g, slab->offset, first);
	take_run(block, slab, first, count);
	return true;
}

static int run_in_new_slabs(struct ps_block *block, uint64_t count, uint64_t *place)
{
	const struct ps_class_geometry *g = block->geometry;
	uint64_t slabs = count / g->slots_per_slab + (count % g->slots_per_slab > 0), offset;
	if (slabs > UINT64_MAX / 2 / g->slab_bytes)
		return PS_ENOSPC;
	int err = cut(block, slabs, &offset);
	if (err != PS_OK)
		return err;
	for (uint64_t i = 0; i < slabs; i++) {
		uint64_t left = count - i * g->slots_per_slab;
		take_run(block, ps_slab_directory_at(&block->source->directory, offset + i * g->slab_bytes),
		         0, left < g->slots_per_slab ? (uint32_t)left : g->slots_per_slab);
	}
	*place = offset;
	return PS_OK;
}

int ps_block_alloc_run(struct ps_block *block, uint64_t count, bool end_to_end, uint64_t *place)
{
	bool in_one = count <= block->geometry->slots_per_slab;
	if (in_one && run_in_slabs(block, (uint32_t)count, end_to_end, RUN_TRIES, place))
		return PS_OK;
	int err = run_in_new_slabs(block, count, place);
	if (err != PS_OK && in_one && run_in_slabs(block, (uint32_t)count, end_to_end, UINT32_MAX, place))
		return PS_OK;
	return err;
}

/* ---- checking ---- */

static const char *wrong_in_bucket(const struct ps_block *block, const struct ps_slab *slab, int bucket)
{
	if (slab->block != block || slab->bucket != bucket)
		return "is another bucket's";
	if ((int)(slab->used >> block->bucket_shift) != bucket)
		return "is in the wrong bucket";
	if (!usable(block, slab))
		return "is in a bucket, but none of its slots may be given out";
	if (slab->next && slab->next->previous != slab)
		return "is badly linked";
	return NULL;
}

int ps_block_check(const struct ps_block *block)
{
	uint64_t idle = 0;
	for (int i = 0; i < PS_BLOCK_BUCKETS; i++) {
		if ((block->filled >> i & 1) != (block->buckets[i] != NULL))
			return ps_fail(PS_ECORRUPT, "block allocator: bucket %d of class %u is badly noted",
			               i, block->class);
		for (const struct ps_slab *slab = block->buckets[i]; slab; slab = slab->next) {
			const char *what = wrong_in_bucket(block, slab, i);
			if (what)
				return ps_fail(PS_ECORRUPT,
				               "block allocator: slab at %" PRIu64 " of class %u %s",
				               slab->offset, block->class, what);
			idle += free_slots(block, slab);
		}
	}
	if (idle != block->idle)
		return ps_fail(PS_ECORRUPT,
		               "block allocator: %" PRIu64 " idle slots of class %u, %" PRIu64 " counted",
		               idle, block->class, block->idle);
	return PS_OK;
}
