/* What goes over all slabs of an omni allocator: walks, figures, proof, saving and loading. */
#include <inttypes.h>
#include <string.h>

#include "allocator/omni_internal.h"
#include "base/fail.h"

/* ---- walking ---- */

int ps_omni_each_slab(struct ps_allocator *a, ps_slab_fn fn, void *arg)
{
	struct omni *o = omni_of(a);
	for (struct ps_slab *slab = slab_from(o, 0); slab;) {
		struct ps_slab_info info = {slab->offset, slab->block->class, slab->used,
		                            slab->block->geometry->slots_per_slab, slab->retired};
		uint64_t end = slab_end(slab);
		int stop = fn(arg, &info);
		if (stop != 0)
			return stop;
		slab = slab_from(o, end);
	}
	return 0;
}

static bool find_frames(struct ps_slab *slab, uint64_t from, uint64_t least, struct ps_extent *frames)
{
	const struct ps_class_geometry *g = slab->block->geometry;
	const uint16_t *used = ps_slab_frames(g, slab);
	for (uint32_t i = 0, n; i < g->frames_per_slab; i += n ? n : 1) {
		for (n = 0; i + n < g->frames_per_slab && used[i + n] == 0; n++)
			;
		*frames = (struct ps_extent){slab->offset + (uint64_t)i * g->frame_bytes,
		                             (uint64_t)n * g->frame_bytes};
		if (n && frames->offset >= from && frames->len >= least)
			return true;
	}
	return false;
}

bool ps_omni_find_frames(const struct ps_allocator *a, uint64_t from, uint64_t least, struct ps_extent *frames)
{
	const struct omni *o = omni_of(a);
	struct ps_extent found;
	for (struct ps_slab *slab = slab_from(o, from); slab; slab = slab_from(o, slab_end(slab))) {
		if (!find_frames(slab, from, least, &found))
			continue;
		*frames = found;
		return true;
	}
	return false;
}

struct walk {
	const struct omni *o;
	uint64_t at; /* slabs below it have been walked */
	ps_extent_fn fn;
	void *arg;
};

static int walk_slab(struct walk *walk, const struct ps_slab *slab)
{
	const struct ps_class_geometry *g = slab->block->geometry;
	for (uint32_t i = 0; i < g->slots_per_slab; i++) {
		if (ps_slab_is_used(slab, i))
			continue;
		int stop = walk->fn(walk->arg,
		                    (struct ps_extent){ps_class_place(g, slab->offset, i), g->slot_bytes});
		if (stop != 0)
			return stop;
	}
	return 0;
}

static int walk_slabs_below(struct walk *walk, uint64_t end)
{
	struct ps_slab *slab = slab_from(walk->o, walk->at);
	while (slab && slab->offset < end) {
		int stop = walk_slab(walk, slab);
		if (stop != 0)
			return stop;
		walk->at = slab_end(slab);
		slab = slab_from(walk->o, walk->at);
	}
	return 0;
}

static int walk_parent(void *arg, struct ps_extent extent)
{
	struct walk *walk = arg;
	int stop = walk_slabs_below(walk, extent.offset);
	return stop != 0 ? stop : walk->fn(walk->arg, extent);
}

int ps_omni_walk(struct ps_allocator *a, ps_extent_fn fn, void *arg)
{
	struct walk walk = {omni_of(a), 0, fn, arg};
	struct ps_allocator *parent = walk.o->source.parent;
	int stop = parent->ops->walk(parent, walk_parent, &walk);
	return stop != 0 ? stop : walk_slabs_below(&walk, UINT64_MAX);
}

/* ---- figures ---- */

void ps_omni_class_stats(const struct ps_allocator *a, unsigned class, struct ps_class_stats *stats)
{
	const struct omni *o = omni_of(a);
	const struct ps_block *block = class <= o->map.table.count ? o->blocks[class] : NULL;
	*stats = (struct ps_class_stats){0};
	if (!block)
		return;
	const struct ps_class_geometry *g = block->geometry;
	stats->slabs = block->slabs;
	stats->slots = block->slabs * g->slots_per_slab;
	stats->used = block->used;
	stats->free = stats->slots - stats->used;
	stats->tail_bytes = block->slabs * g->slab_bytes - stats->slots * g->slot_bytes;
}

void ps_omni_stats(struct ps_allocator *a, struct ps_allocator_stats *stats)
{
	struct omni *o = omni_of(a);
	o->source.parent->ops->stats(o->source.parent, stats);
	for (unsigned i = 1; i <= o->map.table.count; i++) {
		struct ps_class_stats of_class;
		ps_omni_class_stats(a, i, &of_class);
		if (of_class.free == 0)
			continue;
		uint64_t slot = ps_class_geometry(&o->map, i)->slot_bytes;
		stats->free += of_class.free * slot;
		stats->free_extents += of_class.free;
		if (stats->largest_free < slot)
			stats->largest_free = slot;
	}
	stats->memory +=
	    sizeof(*o) + o->made * sizeof(struct ps_block) + o->source.directory.bytes + o->source.bytes;
}

/* ---- proof ---- */

struct counts {
	uint64_t slabs[PS_CLASSES_MAX + 1], used[PS_CLASSES_MAX + 1];
};

static const char *wrong_in_slab(struct omni *o, struct ps_slab *slab)
{
	const struct ps_class_geometry *g = slab->block->geometry;
	struct ps_allocator *parent = o->source.parent;
	if (slab->offset % g->slab_bytes != 0)
		return "is at no multiple of its length";
	if (!ps_slab_sound(g, slab))
		return "counts other slots than it has";
	if (!parent->ops->is_used(parent, (struct ps_extent){slab->offset, g->slab_bytes}))
		return "is free space of the parent";
	if (slab == slab->block->open && (slab->bucket != PS_SLAB_LOOSE || slab->retired))
		return "is open, and in a bucket or retired";
	if (slab->bucket == PS_SLAB_LOOSE && slab->used < g->slots_per_slab && slab != slab->block->open &&
	    !slab->retired && (o->source.limit == 0 || slab_end(slab) <= o->source.limit))
		return "has free slots that nobody finds";
	return NULL;
}

static int check_slabs(struct omni *o, struct counts *counts)
{
	for (struct ps_slab *slab = slab_from(o, 0); slab; slab = slab_from(o, slab_end(slab))) {
		const char *what = wrong_in_slab(o, slab);
		if (what)
			return ps_fail(PS_ECORRUPT, "omni allocator: the slab at %" PRIu64 " of class %u %s",
			               slab->offset, slab->block->class, what);
		counts->slabs[slab->block->class]++;
		counts->used[slab->block->class] += slab->used;
	}
	return PS_OK;
}

int ps_omni_check(struct ps_allocator *a)
{
	struct omni *o = omni_of(a);
	struct counts counts = {0};
	uint64_t idle = 0;
	int err = o->source.parent->ops->check(o->source.parent);
	if (err == PS_OK)
		err = check_slabs(o, &counts);
	for (unsigned i = 1; i <= o->map.table.count && err == PS_OK; i++) {
		const struct ps_block *block = o->blocks[i];
		if (!block)
			continue;
		if (block->slabs != counts.slabs[i] || block->used != counts.used[i])
			return ps_fail(PS_ECORRUPT,
			               "omni allocator: class %u has %" PRIu64 " slots used in %" PRIu64
			               " slabs, %" PRIu64 " in %" PRIu64 " counted",
			               i, block->used, block->slabs, counts.used[i], counts.slabs[i]);
		err = ps_block_check(block);
		idle += block->idle * block->geometry->slot_bytes;
	}
	if (err == PS_OK && idle != o->source.idle_bytes)
		return ps_fail(PS_ECORRUPT, "omni allocator: %" PRIu64 " idle bytes, %" PRIu64 " counted",
		               o->source.idle_bytes, idle);
	return err;
}

/* ---- saving and loading ---- */

size_t ps_omni_slab_words(const struct ps_allocator *a, unsigned class)
{
	const struct omni *o = omni_of(a);
	if (class == 0 || class > o->map.table.count)
		return 0;
	return ps_slab_words(ps_class_geometry(&o->map, class));
}

int ps_omni_save_slab(const struct ps_allocator *a, uint64_t offset, uint64_t *words)
{
	const struct ps_slab *slab = slab_at(omni_of(a), offset);
	if (!slab || slab->offset != offset)
		return ps_fail(PS_ENOTFOUND, "omni allocator: no slab begins at %" PRIu64, offset);
	memcpy(words, slab->words, ps_slab_words(slab->block->geometry) * sizeof(*words));
	return PS_OK;
}

static int refused(unsigned class, uint64_t offset, const char *what)
{
	return ps_fail(PS_ECORRUPT, "omni allocator: a saved slab of class %u at %" PRIu64 " %s", class,
	               offset, what);
}

int ps_omni_load_slab(struct ps_allocator *a, unsigned class, uint64_t offset, const uint64_t *words,
                      size_t n)
{
	struct omni *o = omni_of(a);
	struct ps_allocator *parent = o->source.parent;
	struct ps_block *block;
	struct ps_slab *slab;
	uint32_t used;
	if (n == 0 || n != ps_omni_slab_words(a, class))
		return ps_fail(PS_EINVAL, "omni allocator: %zu words for a slab of class %u", n, class);
	const struct ps_class_geometry *g = ps_class_geometry(&o->map, class);
	if (!ps_slab_words_sound(g, words, &used) || used == 0)
		return refused(class, offset, "has no slot, or more than there are");
	if (ps_class_slab(g, offset) != offset || slab_at(o, offset))
		return refused(class, offset, "lies where none can be");
	if (!parent->ops->is_used(parent, (struct ps_extent){offset, g->slab_bytes}))
		return refused(class, offset, "is free space");
	int err = ps_omni_block(o, class, &block);
	if (err == PS_OK)
		err = ps_block_add(block, offset, &slab);
	if (err != PS_OK)
		return err;
	ps_slab_load(g, slab, words);
	block->used += used;
	ps_block_settle(block, slab);
	return PS_OK;
}
