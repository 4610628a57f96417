#include "allocator/class_table.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/fail.h"

enum {
	FINE_LIMIT = 256,    /* bytes: a class each 16 up to here */
	STEP_SHARE = 16,     /* above it, a class is at most 1/16 larger than the one before */
	FRAME_PAGES_MAX = 8, /* what a read of one small object may cost: 32 KiB */
	FRAME_TAIL = 32,     /* a frame is large enough when at most 1/32 of it is in no slot */
	/* Whole pages lie in the root without any loss; a slab of them is worth at most 1/64 lost. */
	SLAB_TAIL = 64,
};

static_assert(sizeof(struct ps_class_table) <= 240, "the superblock has 240 bytes for it");

/* ---- geometry ---- */

static uint64_t reciprocal_of(uint32_t divisor)
{
	return (((uint64_t)1 << 32) + divisor - 1) / divisor;
}

/* Whether a frame of slots of this size loses little. */
static bool fills_well(uint32_t slot, uint32_t frame)
{
	return frame % slot * FRAME_TAIL <= frame;
}

/* The smallest frame that loses little, else the one that loses least. Whole pages are frames themselves, and
 * so is a slot that no frame holds. */
static uint32_t frame_bytes_for(uint32_t slot, uint32_t slab)
{
	uint32_t best = 0;
	if (slot % PS_CLASS_PAGE == 0 || slot > FRAME_PAGES_MAX * PS_CLASS_PAGE)
		return (slot + PS_CLASS_PAGE - 1) & ~(uint32_t)(PS_CLASS_PAGE - 1);
	for (uint32_t frame = PS_CLASS_PAGE; frame <= FRAME_PAGES_MAX * PS_CLASS_PAGE && frame <= slab;
	     frame *= 2) {
		if (frame < slot)
			continue;
		if (fills_well(slot, frame))
			return frame;
		/* As shares of their frames, without dividing. */
		if (best == 0 || (uint64_t)(frame % slot) * best < (uint64_t)(best % slot) * frame)
			best = frame;
	}
	return best;
}

static struct ps_class_geometry geometry_for(uint32_t slot, uint32_t slab)
{
	uint32_t frame = frame_bytes_for(slot, slab);
	struct ps_class_geometry g = {.slot_bytes = slot, .frame_bytes = frame, .slab_bytes = slab};
	g.slots_per_frame = frame / slot;
	g.frames_per_slab = slab / frame;
	g.slots_per_slab = g.slots_per_frame * g.frames_per_slab;
	g.by_slot = reciprocal_of(slot / PS_CLASS_GRANULE);
	g.by_frame = reciprocal_of(frame / PS_CLASS_GRANULE);
	g.by_count = reciprocal_of(g.slots_per_frame);
	return g;
}

/* ---- making a table ---- */

static int add(struct ps_class_table *table, uint32_t bytes)
{
	uint32_t granules = (bytes + PS_CLASS_GRANULE - 1) / PS_CLASS_GRANULE;
	if (table->count == PS_CLASSES_MAX)
		return ps_fail(PS_EINVAL, "class table: more than %d classes", PS_CLASSES_MAX);
	if (granules == 0 || granules > UINT16_MAX || granules * PS_CLASS_GRANULE > 1U << table->slab_shift)
		return ps_fail(PS_EINVAL, "class table: no slot of %" PRIu32 " bytes in slabs of %u", bytes,
		               1U << table->slab_shift);
	if (table->count > 0 && table->size[table->count - 1] >= granules)
		return ps_fail(PS_EINVAL, "class table: %" PRIu32 " bytes are no larger class than %u", bytes,
		               table->size[table->count - 1] * PS_CLASS_GRANULE);
	table->size[table->count++] = (uint16_t)granules;
	return PS_OK;
}

/* Whether slots of `size` are better than those of `best`, which is larger: they fill frames that the others
 * do not, or smaller ones. Less is read for an object then, and fewer pages are written for those that lie
 * together. */
static bool is_better(uint32_t size, uint32_t best, uint32_t slab)
{
	uint32_t frame = frame_bytes_for(size, slab), other = frame_bytes_for(best, slab);
	if (fills_well(size, frame) != fills_well(best, other))
		return fills_well(size, frame);
	if (fills_well(size, frame))
		return frame < other;
	return (uint64_t)(frame % size) * other < (uint64_t)(other % best) * frame;
}

/* The largest step there may be, or a better one of half its length at least. */
static uint32_t next_size(uint32_t size, uint32_t limit, uint32_t slab)
{
	uint32_t largest = size + size / STEP_SHARE / PS_CLASS_GRANULE * PS_CLASS_GRANULE;
	if (size < FINE_LIMIT)
		largest = size + PS_CLASS_GRANULE;
	if (largest >= limit)
		return limit;
	uint32_t best = largest;
	for (uint32_t at = largest; at > size + (largest - size) / 2; at -= PS_CLASS_GRANULE) {
		if (is_better(at, best, slab))
			best = at;
	}
	return best;
}

static int add_blocks(struct ps_class_table *table, uint32_t limit)
{
	uint32_t slab = 1U << table->slab_shift;
	int err = PS_OK;
	limit = (limit < slab ? limit : slab) / PS_CLASS_GRANULE * PS_CLASS_GRANULE;
	for (uint32_t size = 0; size < limit && err == PS_OK;) {
		size = next_size(size, limit, slab);
		err = add(table, size);
	}
	return err;
}

static int add_pages(struct ps_class_table *table, uint32_t from, uint32_t limit)
{
	uint32_t slab = 1U << table->slab_shift;
	int err = PS_OK;
	for (uint32_t size = PS_CLASS_PAGE; size <= limit && size <= slab / 2 && err == PS_OK;
	     size += PS_CLASS_PAGE) {
		if (size > from && (uint64_t)(slab % size) * SLAB_TAIL <= slab)
			err = add(table, size);
	}
	return err;
}

static int add_listed(struct ps_class_table *table, const struct ps_class_options *options)
{
	int err = PS_OK;
	for (size_t i = 0; i < options->count && err == PS_OK; i++)
		err = add(table, options->sizes[i]);
	return err;
}

static int slab_shift_for(uint32_t bytes, uint8_t *shift)
{
	for (uint8_t i = PS_SLAB_SHIFT_MIN; i <= PS_SLAB_SHIFT_MAX; i++) {
		if (bytes == 1U << i) {
			*shift = i;
			return PS_OK;
		}
	}
	return ps_fail(
	    PS_EINVAL,
	    "class table: slabs of %" PRIu32 " bytes: a power of two from 4 KiB to 1 MiB it must be", bytes);
}

int ps_class_table_make(const struct ps_class_options *options, struct ps_class_table *table)
{
	struct ps_class_options o = options ? *options : (struct ps_class_options){0};
	struct ps_class_table made = {.slab_shift = PS_SLAB_SHIFT_DEFAULT};
	uint32_t block_limit = o.block_limit ? o.block_limit : PS_BLOCK_LIMIT_DEFAULT;
	uint32_t page_limit = o.page_limit ? o.page_limit : PS_PAGE_LIMIT_DEFAULT;
	int err = o.slab_bytes ? slab_shift_for(o.slab_bytes, &made.slab_shift) : PS_OK;
	if (err == PS_OK && o.count > 0) {
		err = add_listed(&made, &o);
	} else if (err == PS_OK) {
		err = add_blocks(&made, block_limit);
		if (err == PS_OK)
			err = add_pages(&made, block_limit, page_limit);
	}
	if (err == PS_OK)
		*table = made;
	return err;
}

/* ---- checking one that was read ---- */

int ps_class_table_check(const struct ps_class_table *table)
{
	if (table->count > PS_CLASSES_MAX || table->slab_shift < PS_SLAB_SHIFT_MIN ||
	    table->slab_shift > PS_SLAB_SHIFT_MAX)
		return ps_fail(PS_ECORRUPT, "class table: %u classes in slabs of 2^%u bytes", table->count,
		               table->slab_shift);
	for (unsigned i = 0; i < PS_CLASSES_MAX; i++) {
		unsigned size = table->size[i];
		bool good = size == 0;
		if (i < table->count)
			good = size > (i > 0 ? table->size[i - 1] : 0) &&
			       size <= (1U << table->slab_shift) / PS_CLASS_GRANULE;
		if (!good)
			return ps_fail(PS_ECORRUPT, "class table: class %u of %u has %u granules", i + 1,
			               table->count, size);
	}
	return PS_OK;
}

/* ---- the map ---- */

void ps_class_map_init(struct ps_class_map *map, const struct ps_class_table *table)
{
	uint32_t slab = 1U << table->slab_shift;
	memset(map, 0, sizeof(*map));
	map->table = *table;
	for (unsigned i = 0; i < table->count; i++)
		map->geometry[i + 1] = geometry_for(table->size[i] * (uint32_t)PS_CLASS_GRANULE, slab);
	unsigned class = 1;
	for (unsigned granules = 1; granules <= PS_CLASS_PAGE / PS_CLASS_GRANULE; granules++) {
		while (class <= table->count && table->size[class - 1] < granules)
			class ++;
		bool one_page =
		    class <= table->count && table->size[class - 1] <= PS_CLASS_PAGE / PS_CLASS_GRANULE;
		map->small[granules] = (uint8_t)(one_page ? class : 0);
	}
	class = 1;
	for (unsigned page = 0; page < sizeof(map->first); page++) {
		while (class <= table->count &&
		       table->size[class - 1] <= page * (PS_CLASS_PAGE / PS_CLASS_GRANULE))
			class ++;
		map->first[page] = (uint8_t)(class <= table->count ? class : 0);
	}
}

unsigned ps_class_for_large(const struct ps_class_map *map, uint64_t size)
{
	uint64_t pages = (size - 1) / PS_CLASS_PAGE; /* whole pages that it surely fills */
	if (pages >= sizeof(map->first))
		return 0;
	for (unsigned class = map->first[pages]; class > 0 && class <= map->table.count; class ++) {
		uint32_t slot = map->geometry[class].slot_bytes;
		if (slot >= size)
			return slot <= (pages + 1) * PS_CLASS_PAGE ? class : 0;
	}
	return 0;
}
