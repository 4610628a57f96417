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

struct piece {
	uint64_t offset;
	const uint8_t *bytes;
	uint32_t len;
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
	struct piece *pieces;
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

static int grow(ps_log_run *run, void **list, size_t count, size_t *capacity, size_t size)
{
	size_t more = *capacity ? *capacity * 2 : 256;
	if (count < *capacity)
		return PS_OK;
	void *grown = ps_memory_resize(run->memory, *list, *capacity * size, more * size);
	if (!grown)
		return ps_fail(PS_ENOMEM, "no memory for a log of %zu objects", more);
	*list = grown;
	*capacity = more;
	return PS_OK;
}

static int add_object(ps_log_run *run, const struct ps_pack_item *item)
{
	struct object object = {
	    .group = run->groups, .object = item->object, .first_piece = run->piece_count};
	void *list = run->objects;
	int err = grow(run, &list, run->count, &run->capacity, sizeof(object));
	run->objects = list;
	if (!err && item->object.kind == PS_CUT_BYTES)
		err = keep_bytes(run, item->bytes, item->len, &object.bytes);
	if (!err)
		run->objects[run->count++] = object;
	return err;
}

/* The reader of packs has seen to it that it belongs to the object before. */
static int add_piece(ps_log_run *run, const struct ps_pack_item *item)
{
	struct piece piece = {.offset = item->offset, .len = (uint32_t)item->len};
	void *list = run->pieces;
	int err = grow(run, &list, run->piece_count, &run->piece_capacity, sizeof(piece));
	run->pieces = list;
	if (!err)
		err = keep_bytes(run, item->bytes, item->len, &piece.bytes);
	if (err)
		return err;
	run->pieces[run->piece_count++] = piece;
	run->objects[run->count - 1].pieces++;
	return PS_OK;
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
	int err;
	while ((err = ps_pack_reader_next(reader, &item)) == PS_OK) {
		if (item.object.kind == PS_CUT_PATCH)
			return ps_fail(PS_ECORRUPT, "a log's pack has object %llu not whole",
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

void ps_log_run_sort(ps_log_run *run)
{
	size_t kept = 0;
	if (run->count > 0)
		qsort(run->objects, run->count, sizeof(*run->objects), compare);
	for (size_t i = 0; i < run->count; i++)
		if (kept == 0 ||
		    ps_slot_of(run->objects[kept - 1].object.id) != ps_slot_of(run->objects[i].object.id))
			run->objects[kept++] = run->objects[i];
	run->count = kept;
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

bool ps_log_run_piece(ps_log_run *run, uint64_t *offset, const uint8_t **bytes, size_t *len)
{
	const struct object *of = &run->objects[run->current];
	if (run->next_piece == of->pieces)
		return false;
	const struct piece *piece = &run->pieces[of->first_piece + run->next_piece++];
	*offset = piece->offset;
	*bytes = piece->bytes;
	*len = piece->len;
	return true;
}
