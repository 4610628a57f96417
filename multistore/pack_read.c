/* Reading packs. What comes in was opened by remote/, so it is what some holder of the key wrote; that it is
 * this pack, whole and in order, is found out here. Nothing is allocated by a length that was read: a block
 * is never longer than PACK_BLOCK. */
#include <stdio.h>
#include <string.h>
#include <zstd.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "multistore/pack.h"
#include "multistore/pack_format.h"

struct ps_pack_reader {
	struct ps_memory *memory;
	struct ps_pack_about about;
	char name[PS_PACK_NAME];
	uint64_t bytes, offset; /* of the value; read so far */
	ps_pack_read_fn read;
	ps_pack_lend_fn lend; /* NULL: all is read */
	void *arg;
	ZSTD_DCtx *zstd;
	uint8_t *raw, *stored; /* NULL: not used yet */
	const uint8_t *block;  /* contents: raw, or lent */
	size_t used, at;       /* of them */
	uint32_t items;        /* left in the block */
	ps_id block_first, block_last;
	bool begins;                 /* the next item is the block's first */
	bool any;                    /* an item was read */
	struct ps_cut_object object; /* the last one */
	uint64_t next_offset;
	bool continued;                 /* it began in another pack */
	struct pack_index_bytes *index; /* as it should be */
	size_t index_capacity;
	struct ps_pack_tail tail; /* as it should be; then as it is */
	bool one_block;           /* only one is read */
	bool ended;
};

static int damaged(const ps_pack_reader *r, const char *what)
{
	return ps_fail(PS_ECORRUPT, "%s: before byte %llu: %s", r->name, (unsigned long long)r->offset, what);
}

static int take(ps_pack_reader *r, void *buf, size_t len)
{
	if (len > r->bytes - r->offset)
		return damaged(r, "ends too early");
	int err = r->read(r->arg, buf, len);
	if (!err)
		r->offset += len;
	return err;
}

/* The next bytes, in memory of the source or in *own, which takes a block. */
static int take_block(ps_pack_reader *r, size_t len, uint8_t **own, const uint8_t **bytes)
{
	*bytes = r->lend && len <= r->bytes - r->offset ? r->lend(r->arg, len) : NULL;
	if (*bytes) {
		r->offset += len;
		return PS_OK;
	}
	if (!*own)
		*own = ps_memory_alloc(r->memory, PACK_BLOCK);
	if (!*own)
		return ps_fail(PS_ENOMEM, "%s: no memory for a block", r->name);
	*bytes = *own;
	return take(r, *own, len);
}

/* ---- head and tail ---- */

static int read_head(ps_pack_reader *r)
{
	struct pack_head_bytes head;
	int err = take(r, &head, sizeof(head));
	if (err)
		return err;
	if (memcmp(head.magic, pack_head_magic, sizeof(head.magic)) != 0)
		return damaged(r, "this is no pack");
	if (ps_get32(head.version) != PACK_VERSION)
		return ps_fail(PS_EVERSION, "%s: is of version %u; this program knows %d", r->name,
		               ps_get32(head.version), PACK_VERSION);
	if (memcmp(head.mark, r->about.mark, sizeof(head.mark)) != 0 ||
	    ps_get32(head.number) != r->about.number || ps_get64(head.since) != r->about.since ||
	    ps_get64(head.upto) != r->about.upto)
		return damaged(r, "is of another push, or another pack of it");
	if (r->about.since >= r->about.upto)
		return damaged(r, "is of no interval");
	return ps_all_zero(head.reserved, sizeof(head.reserved)) ? PS_OK
	                                                         : damaged(r, "reserved bytes are not zero");
}

static int tail_damaged(const char *what)
{
	return ps_fail(PS_ECORRUPT, "the end of a pack %s", what);
}

static int check_tail(const struct ps_pack_tail *t, uint64_t bytes)
{
	uint64_t lines = (uint64_t)t->blocks * sizeof(struct pack_index_bytes);
	uint64_t least = sizeof(struct pack_head_bytes) + sizeof(struct pack_block_bytes);
	if (bytes > PS_PACK_BYTES_MAX || t->blocks == 0 || t->blocks > PACK_BLOCKS_MAX ||
	    bytes < least + lines + PS_PACK_TAIL || t->index != bytes - PS_PACK_TAIL - lines)
		return tail_damaged("does not fit the pack's length");
	if (t->about.since >= t->about.upto || t->first == PS_ID_NONE || t->first > t->last ||
	    ps_all_zero(t->about.mark, PS_PACK_MARK))
		return tail_damaged("has an impossible range");
	if (t->patch && (!t->open || t->about.since == 0))
		return tail_damaged("has a patch that does not go on, or on nothing");
	if (t->from % PS_CUT_PIECE || t->next % PS_CUT_PIECE || t->from >= PS_SIZE_MAX ||
	    t->next >= PS_SIZE_MAX || (t->from && !t->continues) || (t->next && !t->open))
		return tail_damaged("has an impossible place to go on at");
	if (t->contents > PS_SIZE_MAX || t->objects > PS_SIZE_MAX || t->gone > PS_SIZE_MAX ||
	    (!t->continues && t->objects + t->gone == 0))
		return tail_damaged("has impossible figures");
	return PS_OK;
}

int ps_pack_tail_decode(const uint8_t end[PS_PACK_TAIL], uint64_t bytes, struct ps_pack_tail *tail)
{
	struct pack_tail_bytes b;
	memcpy(&b, end, sizeof(b));
	if (memcmp(b.magic, pack_tail_magic, sizeof(b.magic)) != 0)
		return tail_damaged("is none");
	if (ps_get32(b.version) != PACK_VERSION)
		return ps_fail(PS_EVERSION, "a pack is of version %u; this program knows %d",
		               ps_get32(b.version), PACK_VERSION);
	if ((ps_get32(b.flags) & ~(uint32_t)PACK_FLAGS) || !ps_all_zero(b.reserved, sizeof(b.reserved)))
		return tail_damaged("has unknown flags, or reserved bytes that are not zero");
	struct ps_pack_tail t = {
	    .about = {.number = ps_get32(b.number), .since = ps_get64(b.since), .upto = ps_get64(b.upto)},
	    .first = ps_get64(b.first),
	    .last = ps_get64(b.last),
	    .continues = ps_get32(b.flags) & PACK_CONTINUES,
	    .open = ps_get32(b.flags) & PACK_OPEN,
	    .patch = ps_get32(b.flags) & PACK_OPEN_PATCH,
	    .blocks = ps_get32(b.blocks),
	    .index = ps_get64(b.index),
	    .objects = ps_get64(b.objects),
	    .gone = ps_get64(b.gone),
	    .contents = ps_get64(b.contents),
	    .from = ps_get64(b.from),
	    .next = ps_get64(b.next)};
	memcpy(t.about.mark, b.mark, PS_PACK_MARK);
	int err = check_tail(&t, bytes);
	if (!err)
		*tail = t;
	return err;
}

static bool same_about(const struct ps_pack_about *a, const struct ps_pack_about *b)
{
	return memcmp(a->mark, b->mark, PS_PACK_MARK) == 0 && a->number == b->number &&
	       a->since == b->since && a->upto == b->upto;
}

/* What the end says is what was there. */
static bool same_tail(const struct ps_pack_tail *a, const struct ps_pack_tail *b)
{
	return same_about(&a->about, &b->about) && a->first == b->first && a->last == b->last &&
	       a->continues == b->continues && a->blocks == b->blocks && a->index == b->index &&
	       a->objects == b->objects && a->gone == b->gone && a->contents == b->contents;
}

static int read_index(ps_pack_reader *r)
{
	r->tail.index = r->offset;
	for (uint32_t i = 0; i < r->tail.blocks; i++) {
		struct pack_index_bytes line;
		int err = take(r, &line, sizeof(line));
		if (err)
			return err;
		if (memcmp(&line, &r->index[i], sizeof(line)) != 0)
			return damaged(r, "the index does not say where the blocks are");
	}
	return PS_OK;
}

static int read_end(ps_pack_reader *r)
{
	uint8_t end[PS_PACK_TAIL];
	struct ps_pack_tail tail;
	int err = read_index(r);
	if (!err)
		err = take(r, end, sizeof(end));
	if (!err)
		err = ps_pack_tail_decode(end, r->offset, &tail);
	if (err == PS_ECORRUPT)
		return damaged(r, "the end is no pack's");
	if (err)
		return err;
	if (r->offset != r->bytes)
		return damaged(r, "goes on behind its end");
	if (!same_tail(&tail, &r->tail) || tail.from > r->tail.from ||
	    (tail.open && (tail.next != r->next_offset || !ps_cut_has_pieces(r->object.kind) ||
	                   (!r->continued && tail.patch != (r->object.kind == PS_CUT_PATCH)))))
		return damaged(r, "the end does not say what is in the pack");
	r->tail = tail;
	r->ended = true;
	return PS_ENOTFOUND;
}

/* ---- blocks ---- */

static int note_line(ps_pack_reader *r, const struct pack_block_bytes *head, uint64_t offset)
{
	if (r->tail.blocks == PACK_BLOCKS_MAX)
		return damaged(r, "has too many blocks");
	struct pack_index_bytes *index =
	    ps_memory_grow(r->memory, r->index, r->tail.blocks, &r->index_capacity, sizeof(*index));
	if (!index)
		return ps_fail(PS_ENOMEM, "%s: no memory for its index", r->name);
	r->index = index;
	r->index[r->tail.blocks++] =
	    (struct pack_index_bytes){.first = head->first, .offset = ps_set32((uint32_t)offset)};
	return PS_OK;
}

/* One frame, of exactly this content, with no dictionary; more is not looked at. */
static int open_frame(ps_pack_reader *r, const uint8_t *frame, size_t stored, size_t raw)
{
	if (ZSTD_getFrameContentSize(frame, stored) != raw ||
	    ZSTD_findFrameCompressedSize(frame, stored) != stored ||
	    ZSTD_getDictID_fromFrame(frame, stored) != 0)
		return damaged(r, "a block is not the one zstd frame that it should be");
	if (!r->zstd)
		r->zstd = ZSTD_createDCtx();
	if (!r->raw)
		r->raw = ps_memory_alloc(r->memory, PACK_BLOCK);
	if (!r->zstd || !r->raw ||
	    ZSTD_isError(ZSTD_DCtx_setParameter(r->zstd, ZSTD_d_windowLogMax, PACK_WINDOW_LOG)))
		return ps_fail(PS_ENOMEM, "%s: no memory for a block", r->name);
	size_t len = ZSTD_decompressDCtx(r->zstd, r->raw, PACK_BLOCK, frame, stored);
	r->block = r->raw;
	return ZSTD_isError(len) || len != raw ? damaged(r, "a block cannot be decompressed") : PS_OK;
}

static int read_contents(ps_pack_reader *r, const struct pack_block_bytes *head)
{
	uint32_t stored = ps_get32(head->stored), raw = ps_get32(head->raw), flags = ps_get32(head->flags);
	if (raw > PACK_BLOCK || stored == 0 || stored > raw || (flags & ~(uint32_t)PACK_BLOCK_FLAGS) ||
	    (!(flags & PACK_BLOCK_ZSTD) && stored != raw) || ps_get32(head->items) == 0 ||
	    ps_get32(head->items) > raw / 3)
		return damaged(r, "a block has impossible lengths");
	if (!(flags & PACK_BLOCK_ZSTD))
		return take_block(r, stored, &r->raw, &r->block);
	const uint8_t *frame;
	int err = take_block(r, stored, &r->stored, &frame);
	return err ? err : open_frame(r, frame, stored, raw);
}

/* PS_ENOTFOUND: the blocks have ended, and so has the pack. */
static int read_block(ps_pack_reader *r)
{
	static const struct pack_block_bytes end;
	struct pack_block_bytes head;
	uint64_t offset = r->offset;
	int err = take(r, &head, sizeof(head));
	if (err)
		return err;
	if (memcmp(&head, &end, sizeof(head)) == 0)
		return r->any ? read_end(r) : damaged(r, "has nothing in it");
	err = note_line(r, &head, offset);
	if (!err)
		err = read_contents(r, &head);
	if (err)
		return err;
	r->used = ps_get32(head.raw);
	r->at = 0;
	r->items = ps_get32(head.items);
	r->block_first = ps_get64(head.first);
	r->block_last = ps_get64(head.last);
	r->begins = true;
	return PS_OK;
}

/* ---- items ---- */

/* Numbers have one spelling: seven bits a byte, the last one not zero unless it is the only one. */
static bool take_number(ps_pack_reader *r, uint64_t *number)
{
	*number = 0;
	for (unsigned shift = 0; shift < 64 && r->at < r->used; shift += 7) {
		uint8_t byte = r->block[r->at++];
		if (shift == 63 && byte > 1)
			return false;
		*number |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return byte != 0 || shift == 0;
	}
	return false;
}

static int take_bytes(ps_pack_reader *r, size_t len, struct ps_pack_item *item)
{
	if (len > r->used - r->at)
		return damaged(r, "an object is longer than its block");
	item->bytes = r->block + r->at;
	item->len = len;
	r->at += len;
	r->tail.contents += len;
	return PS_OK;
}

enum { PIECES_MOST = PS_SIZE_MAX / PS_CUT_PIECE };

/* Of an object that began in another pack neither size nor kind is known here. */
static bool piece_fits(const ps_pack_reader *r, uint64_t number, uint64_t len)
{
	uint64_t offset = number * PS_CUT_PIECE;
	if (len == 0 || len > PS_CUT_PIECE)
		return false;
	if (r->continued)
		return true;
	uint64_t left = offset < r->object.size ? r->object.size - offset : 0;
	return len == (left < PS_CUT_PIECE ? left : PS_CUT_PIECE);
}

static bool zeros_fit(const ps_pack_reader *r, uint64_t number, uint64_t count)
{
	uint64_t most = r->continued ? (uint64_t)PIECES_MOST
	                             : r->object.size / PS_CUT_PIECE + (r->object.size % PS_CUT_PIECE != 0);
	bool patch = r->continued ? r->about.since > 0 : r->object.kind == PS_CUT_PATCH;
	return patch && count > 0 && number < most && count <= most - number;
}

/* The numbers of a piece, or of zeros. */
static bool take_place(ps_pack_reader *r, bool zeros, uint64_t *number, uint64_t *len)
{
	if (!take_number(r, number) || !take_number(r, len) || *number >= PIECES_MOST ||
	    !ps_cut_has_pieces(r->object.kind) || *number * PS_CUT_PIECE < r->next_offset)
		return false;
	return zeros ? zeros_fit(r, *number, *len) : piece_fits(r, *number, *len);
}

static int read_piece(ps_pack_reader *r, bool zeros, struct ps_pack_item *item)
{
	uint64_t number, len;
	if (!r->any && r->block_first == PS_ID_NONE)
		return damaged(r, "goes on with no object");
	if (!r->any) { /* of an object that began in another pack */
		r->object = (struct ps_cut_object){.id = r->block_first, .kind = PS_CUT_CHUNKS};
		r->continued = r->tail.continues = true;
		r->tail.first = r->block_first;
	}
	if (r->begins && r->block_first != r->object.id)
		return damaged(r, "a block begins with another object than it says");
	if (!take_place(r, zeros, &number, &len))
		return damaged(r, "a piece does not belong to its object");
	if (r->begins)
		r->index[r->tail.blocks - 1].piece = ps_set32((uint32_t)number + 1);
	item->piece = true;
	item->object = r->object;
	item->offset = number * PS_CUT_PIECE;
	if (!r->any) /* at least: what lies before may be zeros */
		r->tail.from = item->offset;
	item->zeros = zeros ? len : 0;
	r->next_offset = item->offset + (zeros ? len : 1) * PS_CUT_PIECE;
	return zeros ? PS_OK : take_bytes(r, (size_t)len, item);
}

static int check_object(const ps_pack_reader *r, const struct ps_cut_object *o, uint64_t age)
{
	if (o->id == PS_ID_NONE || (r->any && ps_slot_of(o->id) <= ps_slot_of(r->object.id)))
		return damaged(r, "objects are not in order");
	if (o->kind == PS_CUT_PATCH && r->about.since == 0)
		return damaged(r, "an object is a patch of nothing");
	if (age >= r->about.upto - r->about.since)
		return damaged(r, "an object was not changed in the pack's interval");
	if (o->size > (o->kind == PS_CUT_BYTES ? PS_CUT_PIECE : PS_SIZE_MAX) ||
	    (ps_cut_has_pieces(o->kind) && o->size == 0))
		return damaged(r, "an object has an impossible size");
	return PS_OK;
}

static int read_object(ps_pack_reader *r, unsigned kind, struct ps_pack_item *item)
{
	uint64_t step, age, number;
	ps_id before = r->begins ? r->block_first : r->object.id;
	if (!take_number(r, &step) || !take_number(r, &age) || !take_number(r, &number) ||
	    (r->begins && step != 0) || step > UINT64_MAX - before)
		return damaged(r, "an object's numbers cannot be read");
	struct ps_cut_object o = {.id = before + step, .kind = kind, .interval = r->about.upto - age};
	if (kind == PS_CUT_GONE)
		o.crashes = number;
	else
		o.size = number;
	int err = check_object(r, &o, age);
	if (err)
		return err;
	if (!r->any)
		r->tail.first = o.id;
	r->tail.last = o.id;
	r->tail.objects += kind != PS_CUT_GONE;
	r->tail.gone += kind == PS_CUT_GONE;
	r->object = item->object = o;
	r->next_offset = 0;
	r->continued = false;
	return kind == PS_CUT_BYTES ? take_bytes(r, (size_t)o.size, item) : PS_OK;
}

static int read_item(ps_pack_reader *r, struct ps_pack_item *item)
{
	*item = (struct ps_pack_item){0};
	if (r->at == r->used)
		return damaged(r, "a block has fewer items than it says");
	unsigned kind = r->block[r->at++];
	int err;
	if (kind == PACK_ITEM_PIECE || kind == PACK_ITEM_ZEROS)
		err = read_piece(r, kind == PACK_ITEM_ZEROS, item);
	else if ((kind >= PS_CUT_GONE && kind <= PS_CUT_CHUNKS) || kind == PS_CUT_PATCH)
		err = read_object(r, kind, item);
	else
		err = damaged(r, "an item is of an unknown kind");
	if (err)
		return err;
	r->begins = false;
	r->any = true;
	r->items--;
	r->tail.last = r->object.id;
	if (r->items == 0 && (r->at != r->used || r->block_last != r->object.id))
		return damaged(r, "a block ends otherwise than it says");
	return PS_OK;
}

int ps_pack_reader_next(ps_pack_reader *r, struct ps_pack_item *item)
{
	if (r->ended)
		return PS_ENOTFOUND;
	if (r->one_block && r->any && r->items == 0)
		return r->offset == r->bytes ? PS_ENOTFOUND
		                             : damaged(r, "a block is shorter than the index says");
	int err = r->offset == 0 ? read_head(r) : PS_OK;
	if (!err && r->items == 0)
		err = read_block(r);
	return err ? err : read_item(r, item);
}

void ps_pack_reader_lent(ps_pack_reader *r, ps_pack_lend_fn lend)
{
	r->lend = lend;
}

void ps_pack_reader_one_block(ps_pack_reader *r, uint64_t offset, uint64_t end)
{
	r->offset = offset;
	r->bytes = end;
	r->one_block = true;
}

const struct ps_pack_tail *ps_pack_reader_tail(const ps_pack_reader *r)
{
	return &r->tail;
}

/* ---- life ---- */

int ps_pack_reader_new(struct ps_memory *memory, const struct ps_pack_about *about, uint64_t bytes,
                       ps_pack_read_fn read, void *arg, ps_pack_reader **reader)
{
	ps_pack_reader *r = ps_memory_zalloc(memory, sizeof(*r));
	if (!r)
		return ps_fail(PS_ENOMEM, "no memory for reading a pack");
	*r = (ps_pack_reader){.memory = memory, .about = *about, .bytes = bytes, .read = read, .arg = arg};
	ps_pack_name(about, r->name);
	r->tail.about = *about;
	*reader = r;
	return PS_OK;
}

void ps_pack_reader_free(ps_pack_reader *r)
{
	if (!r)
		return;
	(void)ZSTD_freeDCtx(r->zstd);
	ps_memory_free(r->memory, r->raw, PACK_BLOCK);
	ps_memory_free(r->memory, r->stored, PACK_BLOCK);
	ps_memory_free(r->memory, r->index, r->index_capacity * sizeof(*r->index));
	ps_memory_free(r->memory, r, sizeof(*r));
}
