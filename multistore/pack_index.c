#include "multistore/pack_index.h"

#include <string.h>

#include "base/fail.h"
#include "multistore/pack_format.h"

size_t ps_pack_index_bytes(const struct ps_pack_tail *tail)
{
	return (size_t)tail->blocks * sizeof(struct pack_index_bytes);
}

/* By slots: each stands once in a run, with whatever generation. */
static bool is_before(const struct ps_pack_line *a, ps_id id, uint64_t piece)
{
	uint64_t slot = ps_slot_of(a->first);
	return slot != ps_slot_of(id) ? slot < ps_slot_of(id) : a->piece < piece;
}

/* A block has at least a byte behind its head. */
static bool is_block(uint64_t offset, uint64_t end)
{
	return end > offset + sizeof(struct pack_block_bytes) &&
	       end - offset - sizeof(struct pack_block_bytes) <= PACK_BLOCK;
}

static bool follows(const struct ps_pack_line *line, const struct ps_pack_line *before)
{
	return is_before(before, line->first, line->piece) && is_block(before->offset, line->offset);
}

static bool fits_tail(const struct ps_pack_index *x)
{
	const struct ps_pack_tail *t = &x->tail;
	const struct ps_pack_line *first = &x->lines[0], *last = &x->lines[t->blocks - 1];
	uint64_t end = ps_pack_index_end(x, t->blocks - 1);
	return first->offset == sizeof(struct pack_head_bytes) && first->first == t->first &&
	       (first->piece != 0) == t->continues &&
	       (first->piece == 0 || (uint64_t)(first->piece - 1) * PS_CUT_PIECE >= t->from) &&
	       last->first <= t->last && is_block(last->offset, end);
}

int ps_pack_index_decode(struct ps_memory *memory, const struct ps_pack_tail *tail, const uint8_t *bytes,
                         struct ps_pack_index *index)
{
	struct ps_pack_index x = {.memory = memory, .tail = *tail};
	x.lines = ps_memory_alloc(memory, tail->blocks * sizeof(*x.lines));
	if (!x.lines)
		return ps_fail(PS_ENOMEM, "no memory for a pack's index of %u lines", tail->blocks);
	bool right = true;
	for (uint32_t i = 0; i < tail->blocks; i++) {
		struct pack_index_bytes line;
		memcpy(&line, bytes + i * sizeof(line), sizeof(line));
		x.lines[i] = (struct ps_pack_line){.first = ps_get64(line.first),
		                                   .piece = ps_get32(line.piece),
		                                   .offset = ps_get32(line.offset)};
		right &= i == 0 || follows(&x.lines[i], &x.lines[i - 1]);
	}
	if (right && fits_tail(&x)) {
		*index = x;
		return PS_OK;
	}
	ps_pack_index_done(&x);
	return ps_fail(PS_ECORRUPT, "the index does not say where blocks can be");
}

void ps_pack_index_done(struct ps_pack_index *x)
{
	if (x->lines)
		ps_memory_free(x->memory, x->lines, x->tail.blocks * sizeof(*x->lines));
	*x = (struct ps_pack_index){0};
}

bool ps_pack_index_find(const struct ps_pack_index *x, ps_id id, uint64_t piece, uint32_t *block)
{
	uint32_t from = 0, to = x->tail.blocks; /* lines before `from` are not behind what is looked for */
	while (from < to) {
		uint32_t middle = from + (to - from) / 2;
		if (is_before(&x->lines[middle], id, piece + 1))
			from = middle + 1;
		else
			to = middle;
	}
	if (from > 0)
		*block = from - 1;
	return from > 0;
}

uint64_t ps_pack_index_end(const struct ps_pack_index *x, uint32_t block)
{
	return block + 1 < x->tail.blocks ? x->lines[block + 1].offset
	                                  : x->tail.index - sizeof(struct pack_block_bytes);
}
