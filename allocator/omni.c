#include "allocator/omni.h"

#include <inttypes.h>

#include "allocator/omni_internal.h"
#include "base/fail.h"

int ps_omni_block(struct omni *o, unsigned class, struct ps_block **block)
{
	if (class == 0 || class > o->map.table.count)
		return ps_fail(PS_EINVAL, "omni allocator: class %u of %u", class, o->map.table.count);
	if (!o->blocks[class]) {
		struct ps_block *made = ps_memory_alloc(o->source.memory, sizeof(*made));
		if (!made)
			return ps_fail(PS_ENOMEM, "omni allocator: no memory for class %u", class);
		ps_block_init(made, &o->source, ps_class_geometry(&o->map, class), class);
		o->blocks[class] = made;
		o->made++;
	}
	*block = o->blocks[class];
	return PS_OK;
}

/* ---- taking ---- */

static inline int alloc_slot(struct omni *o, unsigned class, struct ps_extent *extent)
{
	struct ps_block *block = o->blocks[class];
	uint64_t place;
	int err = block ? PS_OK : ps_omni_block(o, class, &block);
	if (err == PS_OK)
		err = ps_block_alloc(block, &place);
	if (err == PS_OK)
		*extent = (struct ps_extent){place, block->geometry->slot_bytes};
	return err;
}

static int omni_alloc(struct ps_allocator *a, uint64_t size, struct ps_extent *extent)
{
	struct omni *o = omni_of(a);
	unsigned class = ps_class_for(&o->map, size);
	if (class == 0)
		return o->source.parent->ops->alloc(o->source.parent, size, extent);
	return alloc_slot(o, class, extent);
}

int ps_omni_alloc_class(struct ps_allocator *a, unsigned class, struct ps_extent *extent)
{
	struct omni *o = omni_of(a);
	struct ps_block *block;
	/* Also refuses numbers that are none. */
	int err = ps_omni_block(o, class, &block);
	return err == PS_OK ? alloc_slot(o, class, extent) : err;
}

int ps_omni_alloc_frame(struct ps_allocator *a, unsigned class, uint64_t *place)
{
	struct ps_block *block = NULL;
	int err = ps_omni_block(omni_of(a), class, &block);
	return err == PS_OK ? ps_block_alloc_frame(block, place) : err;
}

static int omni_alloc_run(struct ps_allocator *a, uint64_t size, size_t count, struct ps_extent *extent)
{
	struct omni *o = omni_of(a);
	unsigned class = ps_class_for(&o->map, size);
	struct ps_block *block = NULL;
	uint64_t place;
	if (class == 0)
		return o->source.parent->ops->alloc_run(o->source.parent, size, count, extent);
	const struct ps_class_geometry *g = ps_class_geometry(&o->map, class);
	if (count == 0 || (count > g->slots_per_frame && !ps_slab_tailless(g)))
		return ps_fail(PS_EINVAL,
		               "omni allocator: a run of %zu slots of %" PRIu32 " bytes end to end", count,
		               g->slot_bytes);
	int err = ps_omni_block(o, class, &block);
	if (err == PS_OK)
		err = ps_block_alloc_run(block, count, true, &place);
	if (err == PS_OK)
		*extent = (struct ps_extent){place, count * g->slot_bytes};
	return err;
}

int ps_omni_alloc_run(struct ps_allocator *a, unsigned class, uint64_t count, struct ps_run *run)
{
	struct ps_block *block = NULL;
	uint64_t place;
	if (count == 0)
		return ps_fail(PS_EINVAL, "omni allocator: a run of no slots");
	int err = ps_omni_block(omni_of(a), class, &block);
	if (err == PS_OK)
		err = ps_block_alloc_run(block, count, false, &place);
	if (err == PS_OK)
		*run = (struct ps_run){place, count};
	return err;
}

static int omni_alloc_aligned(struct ps_allocator *a, uint64_t len, uint64_t align, uint64_t below,
                              struct ps_extent *extent)
{
	struct ps_allocator *parent = omni_of(a)->source.parent;
	return parent->ops->alloc_aligned(parent, len, align, below, extent);
}

/* ---- slots of an extent ---- */

struct slots {
	struct ps_slab *slab;
	uint32_t first, count;
};

/* The extent as slots that lie end to end in one slab; false if it is anything else. */
static bool slots_of(struct ps_slab *slab, struct ps_extent extent, struct slots *slots)
{
	const struct ps_class_geometry *g = slab->block->geometry;
	if (!ps_class_place_sound(g, extent.offset))
		return false;
	*slots = (struct slots){slab, ps_class_slot(g, extent.offset), 1};
	if (extent.len == g->slot_bytes)
		return true;
	if (extent.len == 0 || extent.len % g->slot_bytes != 0 || extent.len > slab_end(slab) - extent.offset)
		return false;
	slots->count = (uint32_t)(extent.len / g->slot_bytes);
	uint32_t last = slots->first + slots->count - 1;
	return last < g->slots_per_slab &&
	       ps_class_place(g, slab->offset, last) + g->slot_bytes == extent.offset + extent.len;
}

/* Whether all of them are used, or all free. */
static bool slots_are(const struct slots *slots, bool used)
{
	for (uint32_t i = 0; i < slots->count; i++) {
		if (ps_slab_is_used(slots->slab, slots->first + i) != used)
			return false;
	}
	return true;
}

/* An extent that begins in no slab may not reach into one: to the parent a slab looks allocated. */
static bool is_parents(const struct omni *o, struct ps_extent extent)
{
	return extent.len <= UINT64_MAX - extent.offset &&
	       !ps_slab_directory_overlaps(&o->source.directory, extent);
}

static __attribute__((noinline)) int not_so(struct ps_extent extent, const char *what)
{
	return ps_fail(PS_ECORRUPT, "omni allocator: [%" PRIu64 ", +%" PRIu64 ") is not wholly %s",
	               extent.offset, extent.len, what);
}

/* ---- freeing ---- */

static void free_slots(const struct slots *slots, struct ps_extent extent, struct ps_extent *merged)
{
	struct ps_block *block = slots->slab->block;
	const struct ps_class_geometry *g = block->geometry;
	struct ps_extent first = ps_class_frame(g, extent.offset);
	struct ps_extent last = ps_class_frame(g, extent.offset + extent.len - g->slot_bytes);
	uint32_t in_first = g->slots_per_frame; /* slots below this belong to the first frame */
	bool first_free = false, last_free = false;
	in_first += ps_class_divide(slots->first, g->by_count) * g->slots_per_frame;
	for (uint32_t i = slots->first; i < slots->first + slots->count; i++) {
		last_free = ps_block_give(block, slots->slab, i);
		if (i < in_first)
			first_free = last_free;
	}
	if (!merged)
		return;
	uint64_t end = last_free ? last.offset + last.len : extent.offset + extent.len;
	merged->offset = first_free ? first.offset : extent.offset;
	merged->len = end - merged->offset;
}

/* What is seldom freed stays out of line: the common case keeps its registers. */
static __attribute__((noinline)) int free_run(struct ps_slab *slab, struct ps_extent extent,
                                              struct ps_extent *merged)
{
	struct slots slots;
	if (!slots_of(slab, extent, &slots) || !slots_are(&slots, true))
		return not_so(extent, "allocated");
	free_slots(&slots, extent, merged);
	return PS_OK;
}

static __attribute__((noinline)) int free_of_parent(struct omni *o, struct ps_extent extent,
                                                    struct ps_extent *merged)
{
	if (!is_parents(o, extent))
		return not_so(extent, "allocated");
	return o->source.parent->ops->free(o->source.parent, extent, merged);
}

static int omni_free(struct ps_allocator *a, struct ps_extent extent, struct ps_extent *merged)
{
	struct omni *o = omni_of(a);
	unsigned class;
	uint32_t slot;
	struct ps_slab *slab = ps_slab_directory_find(&o->source.directory, extent.offset, &class);
	if (!slab)
		return free_of_parent(o, extent, merged);
	const struct ps_class_geometry *g = ps_class_geometry(&o->map, class);
	if (extent.len != g->slot_bytes)
		return free_run(slab, extent, merged);
	if (!ps_class_find(g, extent.offset, &slot) || !ps_slab_is_used(slab, slot))
		return not_so(extent, "allocated");
	bool frame_free = ps_block_give(o->blocks[class], slab, slot);
	if (merged)
		*merged = frame_free ? ps_class_frame(g, extent.offset) : extent;
	return PS_OK;
}

/* ---- marking ---- */

static int omni_mark(struct ps_allocator *a, struct ps_extent extent)
{
	struct omni *o = omni_of(a);
	struct ps_slab *slab = slab_at(o, extent.offset);
	struct slots slots;
	if (!slab) {
		if (!is_parents(o, extent))
			return not_so(extent, "free");
		return o->source.parent->ops->mark(o->source.parent, extent);
	}
	if (!slots_of(slab, extent, &slots) || !slots_are(&slots, false))
		return not_so(extent, "free");
	for (uint32_t i = 0; i < slots.count; i++)
		ps_block_take(slab->block, slab, slots.first + i);
	return PS_OK;
}

/* The slab is the first of it that is seen: its space leaves the parent. */
static int mark_slab(struct omni *o, struct ps_block *block, uint64_t offset, struct ps_slab **slab)
{
	struct ps_allocator *parent = o->source.parent;
	struct ps_extent extent = {offset, block->geometry->slab_bytes};
	int err = parent->ops->mark(parent, extent);
	if (err != PS_OK)
		return err;
	err = ps_block_add(block, offset, slab);
	if (err != PS_OK)
		(void)parent->ops->free(parent, extent, NULL);
	return err;
}

int ps_omni_mark(struct ps_allocator *a, unsigned class, uint64_t place)
{
	struct omni *o = omni_of(a);
	struct ps_slab *slab = slab_at(o, place);
	if (class == 0 || class > o->map.table.count)
		return ps_fail(PS_ECORRUPT, "omni allocator: class %u of %u at %" PRIu64, class,
		               o->map.table.count, place);
	const struct ps_class_geometry *g = ps_class_geometry(&o->map, class);
	if (!ps_class_place_sound(g, place))
		return ps_fail(PS_ECORRUPT, "omni allocator: no slot of %" PRIu32 " bytes begins at %" PRIu64,
		               g->slot_bytes, place);
	if (slab && slab->block->class != class)
		return ps_fail(PS_ECORRUPT,
		               "omni allocator: %" PRIu64 " lies in a slab of class %u, not of %u", place,
		               slab->block->class, class);
	uint32_t slot = ps_class_slot(g, place);
	if (slab && ps_slab_is_used(slab, slot))
		return ps_fail(PS_ECORRUPT, "omni allocator: the slot at %" PRIu64 " is used twice", place);
	struct ps_block *block;
	int err = ps_omni_block(o, class, &block);
	if (err == PS_OK && !slab)
		err = mark_slab(o, block, ps_class_slab(g, place), &slab);
	if (err == PS_OK)
		ps_block_take(block, slab, slot);
	return err;
}

/* ---- what is where ---- */

static bool omni_is_used(struct ps_allocator *a, struct ps_extent extent)
{
	struct omni *o = omni_of(a);
	struct ps_slab *slab = slab_at(o, extent.offset);
	struct slots slots;
	if (!slab)
		return is_parents(o, extent) && o->source.parent->ops->is_used(o->source.parent, extent);
	return slots_of(slab, extent, &slots) && slots_are(&slots, true);
}

static uint64_t omni_usable_size(struct ps_allocator *a, uint64_t size)
{
	const struct omni *o = omni_of(a);
	unsigned class = ps_class_for(&o->map, size);
	if (class == 0)
		return o->source.parent->ops->usable_size(o->source.parent, size);
	return ps_class_geometry(&o->map, class)->slot_bytes;
}

unsigned ps_omni_class_at(const struct ps_allocator *a, uint64_t offset)
{
	unsigned class;
	(void)ps_slab_directory_find(&omni_of(a)->source.directory, offset, &class);
	return class;
}

struct ps_slab_use ps_omni_slab_use(const struct ps_allocator *a, uint64_t offset)
{
	struct ps_slab *slab = slab_at(omni_of(a), offset);
	if (!slab)
		return (struct ps_slab_use){0, 0};
	const struct ps_class_geometry *g = slab->block->geometry;
	uint32_t frame = ps_class_divide(ps_class_granule_in_slab(g, offset), g->by_frame);
	bool in_frame = frame < g->frames_per_slab;
	return (struct ps_slab_use){slab->used, in_frame ? ps_slab_frames(g, slab)[frame] : 0};
}

bool ps_omni_is_retired(const struct ps_allocator *a, uint64_t offset)
{
	const struct ps_slab *slab = slab_at(omni_of(a), offset);
	return slab && slab->retired;
}

const struct ps_class_map *ps_omni_map(const struct ps_allocator *a)
{
	return &omni_of(a)->map;
}

void ps_omni_set_growing(struct ps_allocator *a, bool growing)
{
	omni_of(a)->source.growing = growing;
}

/* ---- compaction ---- */

void ps_omni_trim(struct ps_allocator *a)
{
	struct omni *o = omni_of(a);
	for (unsigned i = 1; i <= o->map.table.count; i++) {
		if (o->blocks[i] && o->blocks[i]->open && o->blocks[i]->open->used == 0)
			ps_block_close_open(o->blocks[i]);
	}
	/* And those that the parent had no memory to take back. */
	for (struct ps_slab *slab = slab_from(o, 0), *next; slab; slab = next) {
		next = slab_from(o, slab_end(slab));
		if (slab->used == 0)
			ps_block_release(slab->block, slab);
	}
}

void ps_omni_set_limit(struct ps_allocator *a, uint64_t below)
{
	struct omni *o = omni_of(a);
	o->source.limit = below;
	for (unsigned i = 1; i <= o->map.table.count; i++) {
		if (o->blocks[i])
			ps_block_close_open(o->blocks[i]);
	}
	for (struct ps_slab *slab = slab_from(o, 0), *next; slab; slab = next) {
		next = slab_from(o, slab_end(slab));
		if (slab->used == 0)
			ps_block_release(slab->block, slab);
		else
			ps_block_settle(slab->block, slab);
	}
}

int ps_omni_retire(struct ps_allocator *a, uint64_t offset, bool retired)
{
	struct ps_slab *slab = slab_at(omni_of(a), offset);
	if (!slab || slab->offset != offset)
		return ps_fail(PS_ENOTFOUND, "omni allocator: no slab begins at %" PRIu64, offset);
	slab->retired = retired;
	if (slab == slab->block->open)
		ps_block_close_open(slab->block);
	else
		ps_block_settle(slab->block, slab);
	return PS_OK;
}

/* ---- opening and closing ---- */

static void omni_close(struct ps_allocator *a)
{
	if (!a)
		return;
	struct omni *o = omni_of(a);
	struct ps_memory *memory = o->source.memory;
	for (struct ps_slab *slab = slab_from(o, 0), *next; slab; slab = next) {
		next = slab_from(o, slab_end(slab));
		ps_memory_free(memory, slab, ps_slab_bytes(slab->block->geometry));
	}
	ps_slab_directory_done(&o->source.directory);
	for (unsigned i = 1; i <= o->map.table.count; i++)
		ps_memory_free(memory, o->blocks[i], sizeof(struct ps_block));
	ps_memory_free(memory, o, sizeof(*o));
}

const struct ps_allocator_ops ps_omni_ops = {
    .name = "omni",
    .alloc = omni_alloc,
    .alloc_run = omni_alloc_run,
    .alloc_aligned = omni_alloc_aligned,
    .free = omni_free,
    .mark = omni_mark,
    .is_used = omni_is_used,
    .usable_size = omni_usable_size,
    .walk = ps_omni_walk,
    .check = ps_omni_check,
    .stats = ps_omni_stats,
    .close = omni_close,
};

int ps_omni_open(struct ps_memory *memory, struct ps_allocator *parent, const struct ps_class_table *table,
                 struct ps_allocator **a)
{
	int err = ps_class_table_check(table);
	if (err != PS_OK)
		return err;
	struct omni *o = ps_memory_zalloc(memory, sizeof(*o));
	if (!o)
		return ps_fail(PS_ENOMEM, "omni allocator: no memory");
	o->base.ops = &ps_omni_ops;
	o->source.memory = memory;
	o->source.parent = parent;
	ps_slab_directory_init(&o->source.directory, memory, table->slab_shift);
	ps_class_map_init(&o->map, table);
	*a = &o->base;
	return PS_OK;
}
