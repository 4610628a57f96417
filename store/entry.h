/* An entry of the table: what an id is. */
#ifndef PS_STORE_ENTRY_H
#define PS_STORE_ENTRY_H

#include "store/base_format.h"
#include "store/storer_impl.h"

enum entry_kind {
	ENTRY_FREE = 0,     /* w3: last generation, and the number of crashes when it was freed */
	ENTRY_DATA = 1,     /* `size` bytes at the place, at most CHUNK */
	ENTRY_MAP = 2,      /* a map's root node at the place */
	ENTRY_ZERO = 3,     /* nothing on disk, reads as zeros */
	ENTRY_RESERVED = 4, /* a place of `size` bytes that nothing was written to: reads as zeros */
	ENTRY_AWAY = 5,     /* as DATA, but the bytes are elsewhere (fault.c) */
	ENTRY_UNKNOWN = 6,  /* what the slot has is elsewhere: the other words are zeros (unknown.c) */
	ENTRY_SUMS = 7,     /* no object: w1 and w2 are objects and bytes of all that is unknown, the interval is when */
};

/* w0: place in granules (44 bits), kind (4), allocator class (8), map levels below the root (4); w1: size;
 * w2: checksum of the blob at the place; w3: generation (24), and from bit 32 the interval of the last change (0: before
 * there were any). A FREE entry has the number of crashes there, and its interval in w1. */
struct entry {
	uint64_t w[4];
};
#define PLACE_MASK (((uint64_t)1 << 44) - 1)
#define GENERATION_MAX 0xffffffU

static inline enum entry_kind entry_kind(const struct entry *e)
{
	return (enum entry_kind)(e->w[0] >> 44 & 15);
}
/* An object: with a size, and a generation of its own. */
static inline bool entry_lives(const struct entry *e)
{
	return entry_kind(e) != ENTRY_FREE && entry_kind(e) != ENTRY_UNKNOWN && entry_kind(e) != ENTRY_SUMS;
}
static inline uint64_t entry_place(const struct entry *e)
{
	return (e->w[0] & PLACE_MASK) * GRANULE;
}
/* class 0: what the root gave. */
static inline void entry_set_place(struct entry *e, unsigned class, uint64_t place)
{
	e->w[0] = (e->w[0] & ~(PLACE_MASK | (uint64_t)255 << 48)) | place / GRANULE | (uint64_t)class << 48;
}
static inline unsigned entry_class(const struct entry *e)
{
	return (unsigned)(e->w[0] >> 48 & 255);
}
static inline unsigned entry_level(const struct entry *e)
{
	return (unsigned)(e->w[0] >> 56 & 15);
}
static inline uint64_t entry_size(const struct entry *e)
{
	return e->w[1];
}
static inline uint32_t entry_generation(const struct entry *e)
{
	return (uint32_t)(e->w[3] & GENERATION_MAX);
}
static inline uint32_t entry_interval(const struct entry *e)
{
	return (uint32_t)(entry_kind(e) == ENTRY_FREE ? e->w[1] : e->w[3] >> 32);
}
static inline void entry_set_interval(struct entry *e, uint32_t interval)
{
	if (entry_kind(e) == ENTRY_FREE)
		e->w[1] = interval;
	else
		e->w[3] = (e->w[3] & UINT32_MAX) | (uint64_t)interval << 32;
}
static inline bool entry_equal(const struct entry *a, const struct entry *b)
{
	return a->w[0] == b->w[0] && a->w[1] == b->w[1] && a->w[2] == b->w[2] && a->w[3] == b->w[3];
}
/* How many leaves hold so many slots. */
static inline uint64_t leaves_of(uint64_t slots)
{
	return (slots + FANOUT - 1) / FANOUT;
}

static inline uint64_t id_slot(ps_id id)
{
	return id >> 24;
}
/* The prime is slot 0, generation 1: its id is 1. */
static inline uint32_t id_generation(ps_id id)
{
	return (uint32_t)(id & GENERATION_MAX);
}
static inline ps_id id_make(uint64_t slot, uint32_t generation)
{
	return slot << 24 | generation;
}
static inline struct entry entry_make(enum entry_kind kind, uint64_t place, uint64_t size, uint64_t checksum,
                                      unsigned level, uint32_t generation)
{
	return (struct entry){
	    {place / GRANULE | (uint64_t)kind << 44 | (uint64_t)level << 56, size, checksum, generation}};
}
/* Bytes of the blob at the entry's place: contents, a map's root node, or 0. */
uint64_t entry_blob_len(const struct entry *e);
/* False for what no writer makes (table pages and log records come from outside): also an interval that has not begun. */
bool entry_valid(const struct ps_class_map *classes, uint32_t interval, const struct entry *e, uint64_t slot);
/* What it takes of the file: a slot, or an extent of the root; of a map only the root node. */
struct ps_extent entry_extent(const struct ps_class_map *classes, const struct entry *e);
/* Where the file must reach to, or 0: the end of the extent, or of the slot's slab. */
uint64_t entry_end(const struct ps_class_map *classes, const struct entry *e);

uint64_t blob_checksum(uint64_t seed, const void *data, size_t len);
/* Seeds: the contents of a small object, chunk i of a large one, a map node. */
uint64_t seed_contents(ps_id id);
uint64_t seed_chunk(ps_id id, uint64_t index);
uint64_t seed_node(ps_id id, unsigned level, uint64_t index);
/* What an extent of len bytes takes: to 16 below 4 KiB, to 4 KiB from there up. */
static inline uint64_t extent_len(uint64_t len)
{
	return len < PAGE ? (len + GRANULE - 1) & ~(uint64_t)(GRANULE - 1) : (len + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

#endif
