#include "multistore/log_run.h"

#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

enum { ROOM = 1 << 20 };

struct room {
	struct room *next;
	size_t size, used;
	uint8_t bytes[];
};

struct object {
	uint64_t group; /* later ones are newer */
	struct ps_cut_object object;
	const uint8_t *bytes;
	size_t first_piece, pieces;
};

struct ps_log_run {
	struct ps_memory *memory;
	struct room *rooms;
	struct object *objects;
	size_t count, capacity;
	struct ps_log_piece *pieces;
	size_t piece_count, piece_capacity;
	uint64_t groups;
	size_t next, current; /* of the reader, in objects */
	size_t next_piece;    /* of the current one */
};

int ps_log_run_new(struct ps_memory *memory, ps_log_run **run)
{
	ps_log_run *made = ps_memory_zalloc(memory, sizeof(*made));
	if (!made)
		return ps_fail(PS_ENOMEM, "no memory for a log");
	made->memory = memory;
	*run = made;
	return PS_OK;
}

void ps_log_run_free(ps_log_run *run)
{
	if (!run)
		return;
	while (run->rooms) {
		struct room *room = run->rooms;
		run->rooms = room->next;
		ps_memory_free(run->memory, room, sizeof(*room) + room->size);
	}
	ps_memory_free(run->memory, run->objects, run->capacity * sizeof(*run->objects));
	ps_memory_free(run->memory, run->pieces, run->piece_capacity * sizeof(*run->pieces));
	ps_memory_free(run->memory, run, sizeof(*run));
}

/* ---- what is held ---- */

static int keep_bytes(ps_log_run *run, const uint8_t *bytes, size_t len, const uint8_t **kept)
{
	struct room *room = run->rooms;
	if (!room || room->size - room->used < len) {
		size_t size = len > ROOM ? len : ROOM;
		room = ps_memory_alloc(run->memory, sizeof(*room) + size);
		if (!room)
			return ps_fail(PS_ENOMEM, "no memory for what a log has");
		*room = (struct room){.next = run->rooms, .size = size};
		run->rooms = room;
	}
	*kept = room->bytes + room->used;
	if (len > 0)
		memcpy(room->bytes + room->used, bytes, len);
	room->used += len;
	return PS_OK;
}

static int add_object(ps_log_run *run, const struct ps_pack_item *item)
{
	struct object object = {
	    .group = run->groups, .object = item->object, .first_piece = run->piece_count};
	struct object *grown =
	    ps_memory_grow(run->memory, run->objects, run->count, &run->capacity, sizeof(*grown));
	if (!grown)
		return PS_ENOMEM;
	run->objects = grown;
	int err = PS_OK;
	if (item->object.kind == PS_CUT_BYTES)
		err = keep_bytes(run, item->bytes, item->len, &object.bytes);
	if (!err)
		run->objects[run->count++] = object;
	return err;
}

static int keep_piece(ps_log_run *run, const struct ps_log_piece *piece)
{
	struct ps_log_piece *grown =
	    ps_memory_grow(run->memory, run->pieces, run->piece_count, &run->piece_capacity, sizeof(*grown));
	if (!grown)
		return PS_ENOMEM;
	run->pieces = grown;
	run->pieces[run->piece_count++] = *piece;
	return PS_OK;
}

/* The reader of packs has seen to it that it belongs to the object before. */
static int add_piece(ps_log_run *run, const struct ps_pack_item *item)
{
	struct ps_log_piece piece = {.offset = item->offset, .zeros = item->zeros, .len = item->len};
	int err = keep_bytes(run, item->bytes, item->len, &piece.bytes);
	if (!err)
		err = keep_piece(run, &piece);
	run->objects[run->count - 1].pieces += !err;
	return err;
}

struct source {
	const uint8_t *bytes;
	uint64_t left;
};

static int read_source(void *arg, void *buf, size_t len)
{
	struct source *s = arg;
	if (len > s->left)
		return ps_fail(PS_ECORRUPT, "a log's pack is shorter than it says");
	memcpy(buf, s->bytes, len);
	s->bytes += len;
	s->left -= len;
	return PS_OK;
}

static int add_items(ps_log_run *run, ps_pack_reader *reader)
{
	struct ps_pack_item item;
	size_t before = run->count;
	int err;
	while ((err = ps_pack_reader_next(reader, &item)) == PS_OK) {
		if (item.piece && run->count == before)
			return ps_fail(PS_ECORRUPT, "a log's pack begins within object %llu",
			               (unsigned long long)item.object.id);
		err = item.piece ? add_piece(run, &item) : add_object(run, &item);
		if (err)
			return err;
	}
	const struct ps_pack_tail *tail = ps_pack_reader_tail(reader);
	if (err == PS_ENOTFOUND && (tail->continues || tail->open))
		return ps_fail(PS_ECORRUPT, "a log's pack begins or ends within an object");
	return err == PS_ENOTFOUND ? PS_OK : err;
}

int ps_log_run_add(ps_log_run *run, const struct ps_log_group *group)
{
	struct ps_pack_about about = ps_log_pad_about(group->pad);
	struct source source = {group->pack, group->pad->pack_bytes};
	ps_pack_reader *reader;
	int err =
	    ps_pack_reader_new(run->memory, &about, group->pad->pack_bytes, read_source, &source, &reader);
	if (err)
		return err;
	run->groups++;
	err = add_items(run, reader);
	ps_pack_reader_free(reader);
	return err;
}

/* ---- reading ---- */

static int compare(const void *a, const void *b)
{
	const struct object *one = a, *other = b;
	uint64_t slot = ps_slot_of(one->object.id), than = ps_slot_of(other->object.id);
	if (slot != than)
		return slot < than ? -1 : 1;
	return one->group > other->group ? -1 : one->group < other->group;
}

/* What an older group says of [from, to), where a newer one says nothing. */
static int keep_older(ps_log_run *run, const struct ps_log_piece *older, uint64_t from, uint64_t to)
{
	struct ps_log_piece kept = *older;
	if (kept.zeros) {
		kept.offset = from;
		kept.zeros = (to - from) / PS_CUT_PIECE;
	}
	return keep_piece(run, &kept);
}

/* The pieces of both, the newer ones in front of the older ones, behind all that are there. Pieces may move
 * meanwhile. */
static int merge_pieces(ps_log_run *run, const struct object *newer, const struct object *older)
{
	uint64_t known = 0; /* so far */
	size_t n = 0, o = 0;
	int err = PS_OK;
	while ((n < newer->pieces || o < older->pieces) && !err) {
		struct ps_log_piece new = {.offset = UINT64_MAX}, old = {.offset = UINT64_MAX};
		if (n < newer->pieces)
			new = run->pieces[newer->first_piece + n];
		if (o < older->pieces)
			old = run->pieces[older->first_piece + o];
		uint64_t from = old.offset > known ? old.offset : known, end = UINT64_MAX;
		if (o < older->pieces && ps_log_piece_end(&old) <= known) {
			o++;
		} else if (new.offset <= from) {
			err = keep_piece(run, &new);
			known = ps_log_piece_end(&new);
			n++;
		} else {
			end = ps_log_piece_end(&old) < new.offset ? ps_log_piece_end(&old) : new.offset;
			err = keep_older(run, &old, from, end);
			known = end;
		}
	}
	return err;
}

static int put_over(ps_log_run *run, struct object *newer, const struct object *older, size_t base)
{
	size_t before = run->piece_count;
	if (older->object.id != newer->object.id || !ps_cut_has_pieces(older->object.kind))
		return ps_fail(PS_ECORRUPT,
		               "a log has a patch of object %llu, which is another one in an older group",
		               (unsigned long long)newer->object.id);
	int err = merge_pieces(run, newer, older);
	if (err)
		return err;
	/* What was merged before is not needed any more. */
	newer->pieces = run->piece_count - before;
	newer->first_piece = base;
	memmove(run->pieces + base, run->pieces + before, newer->pieces * sizeof(*run->pieces));
	run->piece_count = base + newer->pieces;
	newer->object.kind = older->object.kind;
	return PS_OK;
}

/* objects: of one slot, the newest first. */
static int merge_slot(ps_log_run *run, struct object *objects, size_t count)
{
	size_t base = run->piece_count;
	int err = PS_OK;
	for (size_t i = 1; i < count && objects->object.kind == PS_CUT_PATCH && !err; i++)
		err = put_over(run, objects, &objects[i], base);
	return err;
}

int ps_log_run_sort(ps_log_run *run)
{
	size_t kept = 0, count;
	int err = PS_OK;
	if (run->count > 0)
		qsort(run->objects, run->count, sizeof(*run->objects), compare);
	for (size_t i = 0; i < run->count && !err; i += count) {
		uint64_t slot = ps_slot_of(run->objects[i].object.id);
		for (count = 1; i + count < run->count; count++)
			if (ps_slot_of(run->objects[i + count].object.id) != slot)
				break;
		err = merge_slot(run, &run->objects[i], count);
		run->objects[kept++] = run->objects[i];
	}
	run->count = kept;
	return err;
}

uint64_t ps_log_run_slot(const ps_log_run *run)
{
	return run->next < run->count ? ps_slot_of(run->objects[run->next].object.id) : UINT64_MAX;
}

void ps_log_run_take(ps_log_run *run, struct ps_cut_object *object, const uint8_t **bytes)
{
	run->current = run->next++;
	run->next_piece = 0;
	*object = run->objects[run->current].object;
	*bytes = run->objects[run->current].bytes;
}

const struct ps_log_piece *ps_log_run_piece(const ps_log_run *run)
{
	const struct object *of = &run->objects[run->current];
	return run->next_piece < of->pieces ? &run->pieces[of->first_piece + run->next_piece] : NULL;
}

void ps_log_run_pass(ps_log_run *run)
{
	run->next_piece++;
}
