/* A block of a pack, decoded: its objects and pieces, to be found by slot. */
#ifndef PS_PACK_BLOCK_H
#define PS_PACK_BLOCK_H

#include "multistore/pack_index.h"

/* 32 bytes: a block of small objects has ten thousand. */
struct ps_pack_block_item {
	ps_id id;
	uint64_t number; /* of an object: its size, or GONE's crashes */
	uint32_t age; /* of an object: its interval is the pack's upto less this; of zeros: so many pieces */
	uint32_t piece; /* 0: an object; else a piece of it, from 1, or zeros from that one on */
	uint32_t at;    /* of the block's bytes */
	uint32_t len : 24;
	uint32_t kind : 8; /* enum ps_cut_kind, of an object */
};

struct ps_pack_block {
	struct ps_memory *memory;
	uint64_t upto;
	struct ps_pack_block_item *items;
	uint8_t *bytes; /* of objects and pieces */
	uint32_t count;
	size_t capacity;
	size_t len, size;
};

/* `stored`: the block's bytes in its pack, from its line's offset to its end. PS_ECORRUPT, with the name of
 * the pack: it is not what the index says; PS_ENOMEM. */
PS_CHECKED int ps_pack_block_decode(struct ps_memory *memory, const struct ps_pack_index *index,
                                    uint32_t number, const uint8_t *stored, struct ps_pack_block *block);
void ps_pack_block_done(struct ps_pack_block *block); /* of zeros: fine */
/* What it takes in memory. */
size_t ps_pack_block_weight(const struct ps_pack_block *block);

/* The object of the id's slot (piece 0), or a piece of it, or the zeros that it lies in; NULL: it is not
 * there. */
const struct ps_pack_block_item *ps_pack_block_find(const struct ps_pack_block *block, ps_id id,
                                                    uint64_t piece);
/* What was found for a piece is zeros. */
static inline bool ps_pack_block_is_zeros(const struct ps_pack_block_item *item)
{
	return item->age > 0;
}
struct ps_cut_object ps_pack_block_object(const struct ps_pack_block *block,
                                          const struct ps_pack_block_item *item);

#endif
