/* Writing packs. Items gather in a block, which is compressed where that makes it shorter by a sixteenth. */
#include <stdio.h>
#include <string.h>
#include <zstd.h>

#include "base/fail.h"
#include "multistore/pack.h"
#include "multistore/pack_format.h"

enum {
	MISSES_MOST = 5
}; /* at most so many times two blocks are not tried after some that did not become shorter */

struct ps_pack_writer {
	struct ps_memory *memory;
	struct ps_pack_about about;
	int level;
	ps_pack_write_fn write;
	void *arg;
	ZSTD_CCtx *zstd;
	uint8_t *raw, *stored; /* a block, and room for it compressed */
	size_t stored_capacity;
	size_t used;
	uint32_t items;
	ps_id first, last;           /* of the block */
	uint32_t first_piece;        /* its line's */
	struct ps_cut_object object; /* the last one */
	uint64_t next_offset;        /* of its next piece, at least */
	struct pack_index_bytes *index;
	size_t index_capacity;
	uint64_t offset; /* bytes written */
	unsigned misses, pass_over;
	struct ps_pack_tail tail;
};

/* ---- names ---- */

void ps_pack_name(const struct ps_pack_about *about, char name[PS_PACK_NAME])
{
	char *at = name + snprintf(name, PS_PACK_NAME, "pack/");
	for (unsigned i = 0; i < PS_PACK_MARK; i++)
		at += snprintf(at, 3, "%02x", about->mark[i]);
	snprintf(at, PS_PACK_NAME - (size_t)(at - name), "/%u", about->number);
}

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int ps_pack_name_parse(const char *name, uint8_t mark[PS_PACK_MARK], uint32_t *number)
{
	char again[PS_PACK_NAME];
	struct ps_pack_about about = {.number = 0};
	if (strlen(name) >= PS_PACK_NAME || strncmp(name, "pack/", 5) != 0)
		return ps_fail(PS_EINVAL, "\"%.64s\" is not the name of a pack", name);
	const char *at = name + 5;
	for (unsigned i = 0; i < PS_PACK_MARK; i++, at += 2) {
		int high = hex_digit(at[0]), low = high < 0 ? -1 : hex_digit(at[1]);
		if (low < 0)
			return ps_fail(PS_EINVAL, "\"%.64s\" is not the name of a pack", name);
		about.mark[i] = (uint8_t)(high << 4 | low);
	}
	uint64_t n = 0;
	for (at += *at == '/'; *at >= '0' && *at <= '9' && n <= UINT32_MAX; at++)
		n = n * 10 + (uint64_t)(*at - '0');
	about.number = (uint32_t)n;
	ps_pack_name(&about, again);
	if (n > UINT32_MAX || strcmp(again, name) != 0)
		return ps_fail(PS_EINVAL, "\"%.64s\" is not the name of a pack", name);
	memcpy(mark, about.mark, PS_PACK_MARK);
	*number = about.number;
	return PS_OK;
}

/* ---- bytes out ---- */

static int put_bytes(ps_pack_writer *w, const void *data, size_t len)
{
	int err = w->write(w->arg, data, len);
	if (!err)
		w->offset += len;
	return err;
}

static int put_head(ps_pack_writer *w)
{
	struct pack_head_bytes head = {.version = ps_set32(PACK_VERSION),
	                               .number = ps_set32(w->about.number),
	                               .since = ps_set64(w->about.since),
	                               .upto = ps_set64(w->about.upto)};
	memcpy(head.magic, pack_head_magic, sizeof(head.magic));
	memcpy(head.mark, w->about.mark, sizeof(head.mark));
	return put_bytes(w, &head, sizeof(head));
}

static int grow_index(ps_pack_writer *w)
{
	if (w->tail.blocks == PACK_BLOCKS_MAX)
		return ps_fail(PS_ERANGE, "a pack has more than %d blocks", PACK_BLOCKS_MAX);
	struct pack_index_bytes *index =
	    ps_memory_grow(w->memory, w->index, w->tail.blocks, &w->index_capacity, sizeof(*index));
	if (!index)
		return PS_ENOMEM;
	w->index = index;
	return PS_OK;
}

/* Bytes that do not become shorter are looked at more and more seldom: that is cheaper than to compress them
 * all in vain. */
static size_t compress_block(ps_pack_writer *w)
{
	if (!w->zstd || w->pass_over > 0) {
		w->pass_over -= w->pass_over > 0;
		return 0;
	}
	size_t len = ZSTD_compressCCtx(w->zstd, w->stored, w->stored_capacity, w->raw, w->used, w->level);
	if (!ZSTD_isError(len) && len <= w->used - w->used / 16 - 1) {
		w->misses = 0;
		return len;
	}
	w->misses += w->misses < MISSES_MOST;
	w->pass_over = 1U << w->misses;
	return 0;
}

static int put_block(ps_pack_writer *w)
{
	if (w->items == 0)
		return PS_OK;
	int err = grow_index(w);
	if (err)
		return err;
	size_t len = w->used > 64 ? compress_block(w) : 0;
	struct pack_block_bytes head = {.stored = ps_set32((uint32_t)(len ? len : w->used)),
	                                .raw = ps_set32((uint32_t)w->used),
	                                .items = ps_set32(w->items),
	                                .flags = ps_set32(len ? PACK_BLOCK_ZSTD : 0),
	                                .first = ps_set64(w->first),
	                                .last = ps_set64(w->last)};
	w->index[w->tail.blocks++] =
	    (struct pack_index_bytes){head.first, ps_set32((uint32_t)w->offset), ps_set32(w->first_piece)};
	err = put_bytes(w, &head, sizeof(head));
	if (!err)
		err = put_bytes(w, len ? w->stored : w->raw, len ? len : w->used);
	w->used = 0;
	w->items = 0;
	return err;
}

/* ---- items ---- */

static void put_number(ps_pack_writer *w, uint64_t number)
{
	for (; number >= 0x80; number >>= 7)
		w->raw[w->used++] = (uint8_t)(number | 0x80);
	w->raw[w->used++] = (uint8_t)number;
}

/* Room for an item of so many bytes, of the object `id`, in this block or a new one. piece: as in the block's
 * line, if it is the first. */
static int make_room(ps_pack_writer *w, ps_id id, size_t len, uint64_t piece)
{
	int err = w->used + PACK_ITEM_HEAD_MAX + len > PACK_BLOCK ? put_block(w) : PS_OK;
	if (err)
		return err;
	if (w->items++ > 0)
		return PS_OK;
	w->first = w->last = id;
	w->first_piece = (uint32_t)piece;
	return PS_OK;
}

static int check_object(const ps_pack_writer *w, const struct ps_cut_object *o, const void *bytes)
{
	bool begun = w->tail.objects + w->tail.gone > 0 || w->tail.continues;
	if (begun && ps_slot_of(o->id) <= ps_slot_of(w->object.id))
		return ps_fail(PS_EINVAL, "object %llu comes behind %llu: not in the order of slots",
		               (unsigned long long)o->id, (unsigned long long)w->object.id);
	if (o->id == PS_ID_NONE || o->interval <= w->about.since || o->interval > w->about.upto)
		return ps_fail(
		    PS_EINVAL,
		    "object %llu was changed in interval %llu, which is not behind %llu and up to %llu",
		    (unsigned long long)o->id, (unsigned long long)o->interval,
		    (unsigned long long)w->about.since, (unsigned long long)w->about.upto);
	bool pieces = ps_cut_has_pieces(o->kind),
	     known = pieces || (o->kind >= PS_CUT_GONE && o->kind <= PS_CUT_BYTES);
	bool fits = o->kind == PS_CUT_BYTES ? o->size <= PS_CUT_PIECE && (bytes || o->size == 0)
	                                    : o->kind != PS_CUT_GONE || o->size == 0;
	bool of_nothing = o->kind == PS_CUT_PATCH && w->about.since == 0;
	if (!known || !fits || of_nothing || o->size > PS_SIZE_MAX || (pieces && o->size == 0))
		return ps_fail(PS_EINVAL, "object %llu is of kind %d with %llu bytes: no cut gives that",
		               (unsigned long long)o->id, (int)o->kind, (unsigned long long)o->size);
	return PS_OK;
}

static void put_object(ps_pack_writer *w, const struct ps_cut_object *o, const void *bytes, size_t len)
{
	w->raw[w->used++] = (uint8_t)o->kind;
	put_number(w, o->id - w->last);
	put_number(w, w->about.upto - o->interval);
	put_number(w, o->kind == PS_CUT_GONE ? o->crashes : o->size);
	if (len)
		memcpy(w->raw + w->used, bytes, len);
	w->used += len;
	w->last = o->id;
}

int ps_pack_writer_object(ps_pack_writer *w, const struct ps_cut_object *o, const void *bytes)
{
	size_t len = o->kind == PS_CUT_BYTES && o->size <= PS_CUT_PIECE ? (size_t)o->size : 0;
	int err = check_object(w, o, bytes);
	if (!err)
		err = make_room(w, o->id, len, 0);
	if (err)
		return err;
	put_object(w, o, bytes, len);
	if (!w->tail.continues && w->tail.objects + w->tail.gone == 0)
		w->tail.first = o->id;
	w->tail.last = o->id;
	w->tail.objects += o->kind != PS_CUT_GONE;
	w->tail.gone += o->kind == PS_CUT_GONE;
	w->tail.contents += len;
	w->object = *o;
	w->next_offset = 0;
	return PS_OK;
}

/* Of whole pieces, but for the object's end. */
static bool range_fits(const ps_pack_writer *w, uint64_t offset, uint64_t len)
{
	const struct ps_cut_object *o = &w->object;
	if (!ps_cut_has_pieces(o->kind) || offset % PS_CUT_PIECE || offset < w->next_offset ||
	    offset >= o->size || len == 0)
		return false;
	return len == o->size - offset || (len < o->size - offset && len % PS_CUT_PIECE == 0);
}

static int no_part(const ps_pack_writer *w, uint64_t offset, uint64_t len)
{
	return ps_fail(PS_EINVAL, "object %llu: %llu bytes at %llu are no part of it",
	               (unsigned long long)w->object.id, (unsigned long long)len, (unsigned long long)offset);
}

static int put_part(ps_pack_writer *w, unsigned kind, uint64_t offset, uint64_t number, size_t len)
{
	int err = make_room(w, w->object.id, len, offset / PS_CUT_PIECE + 1);
	if (err)
		return err;
	w->raw[w->used++] = (uint8_t)kind;
	put_number(w, offset / PS_CUT_PIECE);
	put_number(w, number);
	return PS_OK;
}

int ps_pack_writer_zeros(ps_pack_writer *w, uint64_t offset, uint64_t len)
{
	uint64_t count = (len + PS_CUT_PIECE - 1) / PS_CUT_PIECE;
	if (w->object.kind != PS_CUT_PATCH || !range_fits(w, offset, len))
		return no_part(w, offset, len);
	int err = put_part(w, PACK_ITEM_ZEROS, offset, count, 0);
	if (!err)
		w->next_offset = offset + count * PS_CUT_PIECE;
	return err;
}

int ps_pack_writer_piece(ps_pack_writer *w, uint64_t offset, const void *data, size_t len)
{
	if (len > PS_CUT_PIECE || !range_fits(w, offset, len))
		return no_part(w, offset, len);
	int err = put_part(w, PACK_ITEM_PIECE, offset, len, len);
	if (err)
		return err;
	memcpy(w->raw + w->used, data, len);
	w->used += len;
	w->next_offset = offset + PS_CUT_PIECE;
	w->tail.contents += len;
	return PS_OK;
}

/* ---- life ---- */

static int make_buffers(ps_pack_writer *w)
{
	if (w->level != 0) {
		w->zstd = ZSTD_createCCtx();
		w->stored_capacity = ZSTD_compressBound(PACK_BLOCK);
		w->stored = ps_memory_alloc(w->memory, w->stored_capacity);
		if (!w->zstd || !w->stored)
			return ps_fail(PS_ENOMEM, "no memory for compressing a pack");
	}
	w->raw = ps_memory_alloc(w->memory, PACK_BLOCK);
	return w->raw ? PS_OK : ps_fail(PS_ENOMEM, "no memory for a pack's block");
}

int ps_pack_writer_new(struct ps_memory *memory, const struct ps_pack_about *about, int level,
                       const struct ps_cut_object *continues, uint64_t from, ps_pack_write_fn write,
                       void *arg, ps_pack_writer **writer)
{
	ps_pack_writer *w = ps_memory_zalloc(memory, sizeof(*w));
	if (!w)
		return ps_fail(PS_ENOMEM, "no memory for writing a pack");
	*w = (ps_pack_writer){.memory = memory, .about = *about, .level = level, .write = write, .arg = arg};
	w->tail = (struct ps_pack_tail){.about = *about, .continues = continues != NULL};
	if (continues) {
		w->object = *continues;
		w->tail.first = w->tail.last = continues->id;
		w->next_offset = w->tail.from = from;
	}
	int err = make_buffers(w);
	if (!err)
		err = put_head(w);
	if (err) {
		ps_pack_writer_free(w);
		return err;
	}
	*writer = w;
	return PS_OK;
}

uint64_t ps_pack_writer_bytes(const ps_pack_writer *w, size_t more)
{
	uint64_t blocks = (uint64_t)w->tail.blocks + 2;
	return w->offset + w->used + PACK_ITEM_HEAD_MAX + more + sizeof(struct pack_tail_bytes) +
	       3 * sizeof(struct pack_block_bytes) + blocks * sizeof(struct pack_index_bytes);
}

/* The block that is being filled, and one that an item may begin. */
bool ps_pack_writer_is_full(const ps_pack_writer *w)
{
	return (w->tail.blocks + 2) * sizeof(struct pack_index_bytes) + sizeof(struct pack_tail_bytes) >
	       PACK_END;
}

static int put_tail(ps_pack_writer *w)
{
	const struct ps_pack_tail *t = &w->tail;
	struct pack_tail_bytes tail = {.since = ps_set64(t->about.since),
	                               .upto = ps_set64(t->about.upto),
	                               .first = ps_set64(t->first),
	                               .last = ps_set64(t->last),
	                               .index = ps_set64(t->index),
	                               .objects = ps_set64(t->objects),
	                               .gone = ps_set64(t->gone),
	                               .contents = ps_set64(t->contents),
	                               .from = ps_set64(t->from),
	                               .next = ps_set64(t->next),
	                               .number = ps_set32(t->about.number),
	                               .blocks = ps_set32(t->blocks),
	                               .flags = ps_set32((t->continues ? PACK_CONTINUES : 0) |
	                                                 (t->open ? PACK_OPEN : 0) |
	                                                 (t->patch ? PACK_OPEN_PATCH : 0)),
	                               .version = ps_set32(PACK_VERSION)};
	memcpy(tail.mark, t->about.mark, sizeof(tail.mark));
	memcpy(tail.magic, pack_tail_magic, sizeof(tail.magic));
	return put_bytes(w, &tail, sizeof(tail));
}

int ps_pack_writer_finish(ps_pack_writer *w, bool open, struct ps_pack_tail *tail, uint64_t *bytes)
{
	static const struct pack_block_bytes end;
	if (w->tail.blocks == 0 && w->items == 0)
		return ps_fail(PS_EINVAL, "a pack without anything in it");
	int err = put_block(w);
	if (!err)
		err = put_bytes(w, &end, sizeof(end));
	w->tail.open = open;
	w->tail.next = open ? w->next_offset : 0;
	w->tail.patch = open && w->object.kind == PS_CUT_PATCH;
	w->tail.index = w->offset;
	if (!err)
		err = put_bytes(w, w->index, w->tail.blocks * sizeof(*w->index));
	if (!err)
		err = put_tail(w);
	if (err)
		return err;
	*tail = w->tail;
	*bytes = w->offset;
	return PS_OK;
}

void ps_pack_writer_free(ps_pack_writer *w)
{
	if (!w)
		return;
	(void)ZSTD_freeCCtx(w->zstd);
	ps_memory_free(w->memory, w->stored, w->stored_capacity);
	ps_memory_free(w->memory, w->raw, PACK_BLOCK);
	ps_memory_free(w->memory, w->index, w->index_capacity * sizeof(*w->index));
	ps_memory_free(w->memory, w, sizeof(*w));
}
