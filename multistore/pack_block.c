/* Decoding is pack_read.c's; what is kept here is found again without decoding. */
#include "multistore/pack_block.h"

#include <string.h>

#include "base/fail.h"
#include "multistore/pack_format.h"

struct stored {
	const uint8_t *at;
};

/* The reader asks for no more than the block has. */
static int read_stored(void *arg, void *buf, size_t len)
{
	struct stored *s = arg;
	memcpy(buf, s->at, len);
	s->at += len;
	return PS_OK;
}

static_assert(sizeof(struct ps_pack_block_item) == 32, "an item of a decoded block");

static int keep_item(struct ps_pack_block *b, const struct ps_pack_item *item)
{
	struct ps_pack_block_item *items =
	    ps_memory_grow(b->memory, b->items, b->count, &b->capacity, sizeof(*items));
	if (!items)
		return PS_ENOMEM;
	b->items = items;
	const struct ps_cut_object *o = &item->object;
	b->items[b->count++] = (struct ps_pack_block_item){
	    .id = o->id,
	    .number = o->kind == PS_CUT_GONE ? o->crashes : o->size,
	    .age = (uint32_t)(item->piece ? item->zeros : b->upto - o->interval),
	    .piece = item->piece ? (uint32_t)(item->offset / PS_CUT_PIECE) + 1 : 0,
	    .at = (uint32_t)b->len,
	    .len = (uint32_t)item->len & 0xffffff,
	    .kind = (uint32_t)o->kind & 0xff};
	if (item->len)
		memcpy(b->bytes + b->len, item->bytes, item->len);
	b->len += item->len;
	return PS_OK;
}

/* The first item is the one that the line names, and the next block begins behind the last one. */
static bool fits_lines(const struct ps_pack_block *b, const struct ps_pack_index *x, uint32_t number)
{
	const struct ps_pack_line *line = &x->lines[number];
	const struct ps_pack_block_item *first = &b->items[0], *last = &b->items[b->count - 1];
	if (first->id != line->first || first->piece != line->piece)
		return false;
	if (number + 1 == x->tail.blocks)
		return last->id == x->tail.last;
	uint64_t slot = ps_slot_of(last->id), next = ps_slot_of(line[1].first);
	uint64_t zeros = last->piece > 0 && last->age > 0 ? last->age - 1 : 0;
	return slot != next ? slot < next && line[1].piece == 0 : last->piece + zeros < line[1].piece;
}

/* To what it holds. */
static void shrink(struct ps_pack_block *b)
{
	uint8_t *bytes = ps_memory_resize(b->memory, b->bytes, b->size, b->len + 1);
	if (bytes) {
		b->bytes = bytes;
		b->size = b->len + 1;
	}
	struct ps_pack_block_item *items =
	    ps_memory_resize(b->memory, b->items, b->capacity * sizeof(*items), b->count * sizeof(*items));
	if (items) {
		b->items = items;
		b->capacity = b->count;
	}
}

static int read_items(ps_pack_reader *r, struct ps_pack_block *b)
{
	struct ps_pack_item item;
	int err;
	while ((err = ps_pack_reader_next(r, &item)) == PS_OK) {
		err = keep_item(b, &item);
		if (err)
			return err;
	}
	return err == PS_ENOTFOUND ? PS_OK : err;
}

int ps_pack_block_decode(struct ps_memory *memory, const struct ps_pack_index *index, uint32_t number,
                         const uint8_t *stored, struct ps_pack_block *block)
{
	struct stored from = {stored};
	struct ps_pack_block b = {.memory = memory, .upto = index->tail.about.upto};
	uint64_t offset = index->lines[number].offset, end = ps_pack_index_end(index, number);
	ps_pack_reader *r = NULL;
	int err = ps_pack_reader_new(memory, &index->tail.about, end, read_stored, &from, &r);
	if (err)
		return err;
	ps_pack_reader_one_block(r, offset, end);
	b.bytes = ps_memory_alloc(memory, b.size = PACK_BLOCK);
	err = b.bytes ? read_items(r, &b) : ps_fail(PS_ENOMEM, "no memory for a pack's block");
	ps_pack_reader_free(r);
	if (!err)
		shrink(&b);
	if (!err && !fits_lines(&b, index, number)) {
		char name[PS_PACK_NAME];
		ps_pack_name(&index->tail.about, name);
		err = ps_fail(PS_ECORRUPT, "%s: the block at byte %llu has other objects than the index says",
		              name, (unsigned long long)offset);
	}
	if (err)
		ps_pack_block_done(&b);
	else
		*block = b;
	return err;
}

void ps_pack_block_done(struct ps_pack_block *b)
{
	if (b->items)
		ps_memory_free(b->memory, b->items, b->capacity * sizeof(*b->items));
	if (b->bytes)
		ps_memory_free(b->memory, b->bytes, b->size);
	*b = (struct ps_pack_block){0};
}

size_t ps_pack_block_weight(const struct ps_pack_block *b)
{
	return b->capacity * sizeof(*b->items) + b->size;
}

static bool is_before(const struct ps_pack_block_item *a, ps_id id, uint64_t piece)
{
	uint64_t slot = ps_slot_of(a->id);
	return slot != ps_slot_of(id) ? slot < ps_slot_of(id) : a->piece < piece;
}

const struct ps_pack_block_item *ps_pack_block_find(const struct ps_pack_block *b, ps_id id, uint64_t piece)
{
	uint32_t from = 0, to = b->count;
	while (from < to) {
		uint32_t middle = from + (to - from) / 2;
		if (is_before(&b->items[middle], id, piece))
			from = middle + 1;
		else
			to = middle;
	}
	const struct ps_pack_block_item *item = &b->items[from];
	if (from < b->count && ps_slot_of(item->id) == ps_slot_of(id) && item->piece == piece)
		return item;
	item--;
	bool zeros = from > 0 && piece > 0 && item->piece > 0 && ps_slot_of(item->id) == ps_slot_of(id) &&
	             piece - item->piece < item->age;
	return zeros ? item : NULL;
}

struct ps_cut_object ps_pack_block_object(const struct ps_pack_block *b,
                                          const struct ps_pack_block_item *item)
{
	struct ps_cut_object o = {.id = item->id, .kind = item->kind, .interval = b->upto - item->age};
	*(o.kind == PS_CUT_GONE ? &o.crashes : &o.size) = item->number;
	return o;
}
