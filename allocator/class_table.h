/* Size classes: which slot sizes there are, and where the slots of a class lie.
 *
 * A slab is 1 << slab_shift bytes at a multiple of its length, and holds slots of one class. It is cut into
 * frames, the unit that is read and kept in memory; slots do not cross frames. Where the slots of a slab lie
 * is a pure function of class and table: whoever has the file knows the places. No state, any thread. */
#ifndef PS_CLASS_TABLE_H
#define PS_CLASS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "allocator/allocator.h"

enum {
	PS_CLASSES_MAX = 112, /* 227 bytes as a table: it stands in 240 of the superblock */
	PS_CLASS_GRANULE = 16,
	PS_CLASS_PAGE = 4096,
	PS_SLAB_SHIFT_MIN = 12,
	PS_SLAB_SHIFT_MAX = 20,
	PS_SLAB_WORDS_MAX =
	    (1 << PS_SLAB_SHIFT_MAX) / PS_CLASS_GRANULE / 64, /* of the longest bitmap of a slab's slots */
	PS_SLAB_SHIFT_DEFAULT = 16,
	PS_BLOCK_LIMIT_DEFAULT = 4096,
	PS_PAGE_LIMIT_DEFAULT = 32768,
};

/* Classes have the numbers 1 to count; 0 is the root's. */
struct ps_class_table {
	uint16_t count;
	uint8_t slab_shift;
	uint16_t
	    size[PS_CLASSES_MAX]; /* size[class - 1], in granules, strictly ascending; zero behind the last */
};

/* Zero in any field: the default. */
struct ps_class_options {
	uint32_t
	    block_limit; /* bytes: classes stand close up to here (at least 1/16 apart above 256); 1: none */
	uint32_t page_limit; /* bytes: above the block limit there are whole pages up to here; 1: none */
	uint32_t slab_bytes; /* a power of two from 4 KiB to 1 MiB */
	const uint32_t
	    *sizes; /* instead of both limits: these very slots, ascending, in bytes (rounded up to 16) */
	size_t count;
};

/* options NULL: all defaults. PS_EINVAL with a sentence: sizes not ascending, above the slab, or more than
 * fit a table. */
PS_CHECKED int ps_class_table_make(const struct ps_class_options *options, struct ps_class_table *table);

/* Whether a table that was read is one that could have been made. PS_ECORRUPT with a sentence. */
PS_CHECKED int ps_class_table_check(const struct ps_class_table *table);

/* Where slots lie in a slab, and numbers to divide by without dividing. */
struct ps_class_geometry {
	uint32_t slot_bytes, frame_bytes;
	uint32_t slots_per_frame, slots_per_slab, frames_per_slab;
	uint32_t slab_bytes;
	uint64_t by_slot, by_frame,
	    by_count; /* reciprocals of slot and frame in granules, and of slots_per_frame */
};

/* What is derived from a table once. Class 0 has no geometry. */
struct ps_class_map {
	struct ps_class_table table;
	struct ps_class_geometry geometry[PS_CLASSES_MAX + 1];
	uint8_t small[PS_CLASS_PAGE / PS_CLASS_GRANULE + 1]; /* class of so many granules */
	uint8_t first[(1 << PS_SLAB_SHIFT_MAX) / PS_CLASS_PAGE +
	              1]; /* lowest class that holds a byte more than so many pages */
};

/* The table has passed ps_class_table_check or comes from ps_class_table_make. */
void ps_class_map_init(struct ps_class_map *map, const struct ps_class_table *table);

/* As ps_class_for, above one page. */
unsigned ps_class_for_large(const struct ps_class_map *map, uint64_t size);

/* The class for an object of `size` bytes, or 0: the root's. It is the smallest class that holds it, unless
 * that takes more whole pages than the object needs. */
static inline unsigned ps_class_for(const struct ps_class_map *map, uint64_t size)
{
	if (size <= PS_CLASS_PAGE)
		return map->small[(size + PS_CLASS_GRANULE - 1) / PS_CLASS_GRANULE];
	return ps_class_for_large(map, size);
}

/* class is 1 to count. Lives as long as the map. */
static inline const struct ps_class_geometry *ps_class_geometry(const struct ps_class_map *map,
                                                                unsigned class)
{
	return &map->geometry[class];
}

/* value / divisor, where reciprocal is 2^32 / divisor rounded up: exact for values below 2^16 and divisors up
 * to 2^16. */
static inline uint32_t ps_class_divide(uint32_t value, uint64_t reciprocal)
{
	return (uint32_t)(value * reciprocal >> 32);
}

/* Where the slab begins that `place` would lie in. */
static inline uint64_t ps_class_slab(const struct ps_class_geometry *g, uint64_t place)
{
	return place & ~(uint64_t)(g->slab_bytes - 1);
}

static inline uint32_t ps_class_granule_in_slab(const struct ps_class_geometry *g, uint64_t place)
{
	return (uint32_t)(place & (g->slab_bytes - 1)) / PS_CLASS_GRANULE;
}

/* The place of a slot, counted from 0 in its slab. */
static inline uint64_t ps_class_place(const struct ps_class_geometry *g, uint64_t slab, uint32_t slot)
{
	uint32_t frame = ps_class_divide(slot, g->by_count);
	return slab + (uint64_t)frame * g->frame_bytes +
	       (uint64_t)(slot - frame * g->slots_per_frame) * g->slot_bytes;
}

/* Whether a slot of the class begins at `place`. *slot: which one, or the one that holds it, or any if none
 * does. */
static inline bool ps_class_find(const struct ps_class_geometry *g, uint64_t place, uint32_t *slot)
{
	uint32_t granule = ps_class_granule_in_slab(g, place);
	uint32_t frame = ps_class_divide(granule, g->by_frame);
	uint32_t rest = granule - frame * (g->frame_bytes / PS_CLASS_GRANULE);
	uint32_t in_frame = ps_class_divide(rest, g->by_slot);
	*slot = frame * g->slots_per_frame + in_frame;
	return place % PS_CLASS_GRANULE == 0 && frame < g->frames_per_slab && in_frame < g->slots_per_frame &&
	       in_frame * (g->slot_bytes / PS_CLASS_GRANULE) == rest;
}

/* Which slot begins at `place`, or holds it; the place is sound. */
static inline uint32_t ps_class_slot(const struct ps_class_geometry *g, uint64_t place)
{
	uint32_t slot;
	(void)ps_class_find(g, place, &slot);
	return slot;
}

/* Whether a slot of the class begins at `place`. */
static inline bool ps_class_place_sound(const struct ps_class_geometry *g, uint64_t place)
{
	uint32_t slot;
	return ps_class_find(g, place, &slot);
}

/* The frame that a sound place lies in: it begins and ends on a page. */
static inline struct ps_extent ps_class_frame(const struct ps_class_geometry *g, uint64_t place)
{
	uint32_t frame = ps_class_divide(ps_class_granule_in_slab(g, place), g->by_frame);
	return (struct ps_extent){ps_class_slab(g, place) + (uint64_t)frame * g->frame_bytes, g->frame_bytes};
}

#endif
