/* The index of a pack, for reading single blocks of it: which block has an object, or a piece of one. */
#ifndef PS_PACK_INDEX_H
#define PS_PACK_INDEX_H

#include "multistore/pack.h"

struct ps_pack_line {
	ps_id first;
	uint32_t piece; /* 0: the block begins with an object; else with this piece of `first`, from 1 */
	uint32_t offset;
};

struct ps_pack_index {
	struct ps_memory *memory;
	struct ps_pack_tail tail;
	struct ps_pack_line *lines; /* tail.blocks of them */
};

/* Bytes of the index of a pack with this tail. */
size_t ps_pack_index_bytes(const struct ps_pack_tail *tail);
/* Takes the bytes of the index, all of them. PS_ECORRUPT: the lines are not in order, or do not lie where
 * blocks can; PS_ENOMEM. */
PS_CHECKED int ps_pack_index_decode(struct ps_memory *memory, const struct ps_pack_tail *tail,
                                    const uint8_t *bytes, struct ps_pack_index *index);
void ps_pack_index_done(struct ps_pack_index *index); /* of zeros: fine */

/* The only block that can have the object of the id's slot (piece 0), or a piece of it, counted from 1.
 * False: none can. */
bool ps_pack_index_find(const struct ps_pack_index *index, ps_id id, uint64_t piece, uint32_t *block);
/* Where a block ends: the next one begins there, or the blocks end. */
uint64_t ps_pack_index_end(const struct ps_pack_index *index, uint32_t block);

#endif
