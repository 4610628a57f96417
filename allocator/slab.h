/* One slab: which of its slots are used, and how full each frame is. For block.c and omni.c. */
#ifndef PS_SLAB_H
#define PS_SLAB_H

#include "allocator/class_table.h"

struct ps_block;

struct ps_slab {
	struct ps_slab *next, *previous; /* in a bucket */
	struct ps_block *block;
	uint64_t offset;
	uint32_t used;
	uint32_t frame; /* that is being filled */
	int8_t bucket;  /* PS_SLAB_LOOSE: in none */
	bool retired;
	uint64_t words[]; /* 1: used; then uint16_t used slots of each frame */
};
enum { PS_SLAB_LOOSE = -1, PS_SLAB_WORD = 64 };

static inline size_t ps_slab_words(const struct ps_class_geometry *g)
{
	return (g->slots_per_slab + PS_SLAB_WORD - 1) / PS_SLAB_WORD;
}

static inline size_t ps_slab_bytes(const struct ps_class_geometry *g)
{
	return sizeof(struct ps_slab) + ps_slab_words(g) * sizeof(uint64_t) +
	       g->frames_per_slab * sizeof(uint16_t);
}

/* Used slots of each frame. */
static inline uint16_t *ps_slab_frames(const struct ps_class_geometry *g, struct ps_slab *slab)
{
	return (uint16_t *)(slab->words + ps_slab_words(g));
}

static inline bool ps_slab_is_used(const struct ps_slab *slab, uint32_t slot)
{
	return slab->words[slot / PS_SLAB_WORD] >> slot % PS_SLAB_WORD & 1;
}

/* A free slot becomes used, or a used one free. */
static inline void ps_slab_take(const struct ps_class_geometry *g, struct ps_slab *slab, uint32_t slot)
{
	slab->words[slot / PS_SLAB_WORD] |= (uint64_t)1 << slot % PS_SLAB_WORD;
	ps_slab_frames(g, slab)[ps_class_divide(slot, g->by_count)]++;
	slab->used++;
}

/* Whether the frame is wholly free now. */
static inline bool ps_slab_give(const struct ps_class_geometry *g, struct ps_slab *slab, uint32_t slot)
{
	slab->words[slot / PS_SLAB_WORD] &= ~((uint64_t)1 << slot % PS_SLAB_WORD);
	slab->used--;
	return --ps_slab_frames(g, slab)[ps_class_divide(slot, g->by_count)] == 0;
}

/* The free slot to be taken next: of the frame that is being filled; then of a wholly free frame, else of the
 * emptiest: a page that was written to is written once for many objects. The slab is not full. */
uint32_t ps_slab_next(const struct ps_class_geometry *g, struct ps_slab *slab);

/* The lowest wholly free frame; false if there is none. */
bool ps_slab_find_frame(const struct ps_class_geometry *g, struct ps_slab *slab, uint32_t *frame);

/* Whether all slots of a slab lie end to end, frames without tails. */
static inline bool ps_slab_tailless(const struct ps_class_geometry *g)
{
	return (uint64_t)g->slots_per_slab * g->slot_bytes == g->slab_bytes;
}

/* The lowest slot that `count` free ones begin at, all in one frame where they have to lie end to end and
 * frames have tails; false if there is none. */
bool ps_slab_find_run(const struct ps_class_geometry *g, const struct ps_slab *slab, uint32_t count,
                      bool end_to_end, uint32_t *first);

/* Whether words could be a slab's: no bit behind the last slot. How many are used in *used. */
bool ps_slab_words_sound(const struct ps_class_geometry *g, const uint64_t *words, uint32_t *used);

/* Makes these the slab's used slots; they are sound. */
void ps_slab_load(const struct ps_class_geometry *g, struct ps_slab *slab, const uint64_t *words);

/* Counts of the frames and of the slab against the bits. */
bool ps_slab_sound(const struct ps_class_geometry *g, struct ps_slab *slab);

#endif
