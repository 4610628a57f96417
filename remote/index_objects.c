/* The objects of the local index, and what is kept of them in memory. */
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "remote/local_index_internal.h"

enum { SMALL = 4096, SCAN = 64 };

static const uint8_t spare_magic[4] = {'P', 'S', 's', 'p'};
static const uint8_t note_magic[4] = {'P', 'S', 'n', 't'};

/* ---- bytes ---- */

void index_spare_encode(const struct ps_spare *spare, uint8_t out[PS_SPARE_HEAD_BYTES + PS_SLOT_BYTES])
{
	struct ps_spare_bytes head = {.format = PS_INDEX_FORMAT, .hold = ps_set64(spare->hold)};
	struct ps_slot_bytes slot;
	memcpy(head.magic, spare_magic, sizeof(head.magic));
	ps_slot_encode(&spare->slot, &slot);
	memcpy(out, &head, sizeof(head));
	memcpy(out + sizeof(head), &slot, sizeof(slot));
}

static int spare_decode(const uint8_t *bytes, size_t len, struct ps_spare *spare)
{
	struct ps_spare_bytes head;
	struct ps_slot_bytes slot;
	if (len != sizeof(head) + sizeof(slot))
		return ps_fail(PS_ECORRUPT, "a spare pad has %zu bytes", len);
	memcpy(&head, bytes, sizeof(head));
	memcpy(&slot, bytes + sizeof(head), sizeof(slot));
	if (head.format != PS_INDEX_FORMAT)
		return ps_fail(PS_EVERSION, "a spare pad has format %u", head.format);
	if (!ps_all_zero(head.reserved, sizeof(head.reserved)))
		return ps_fail(PS_ECORRUPT, "a spare pad has reserved bytes set");
	spare->hold = ps_get64(head.hold);
	int err = ps_slot_decode(&slot, &spare->slot);
	if (err == PS_OK && spare->hold > 0 && spare->slot.status != PS_SLOT_FREE)
		return ps_fail(PS_ECORRUPT, "a spare pad is held and not free");
	return err;
}

static int note_decode(const uint8_t *bytes, size_t len, unsigned *note)
{
	struct ps_note_bytes head;
	if (len < sizeof(head))
		return ps_fail(PS_ECORRUPT, "a note has %zu bytes", len);
	memcpy(&head, bytes, sizeof(head));
	if (head.format != PS_INDEX_FORMAT)
		return ps_fail(PS_EVERSION, "a note has format %u", head.format);
	if (head.number >= PS_NOTES || !ps_all_zero(head.reserved, sizeof(head.reserved)) ||
	    ps_get64(head.len) != len - sizeof(head))
		return ps_fail(PS_ECORRUPT, "a note has an impossible number or length");
	*note = head.number;
	return PS_OK;
}

int index_object_decode(ps_index *index, ps_id id, const void *bytes, size_t len, struct index_object *object)
{
	*object = (struct index_object){.id = id};
	if (len >= 4 && memcmp(bytes, spare_magic, 4) == 0) {
		object->kind = INDEX_OBJECT_SPARE;
		object->spare.id = id;
		return spare_decode(bytes, len, &object->spare);
	}
	if (len >= 4 && memcmp(bytes, note_magic, 4) == 0) {
		object->kind = INDEX_OBJECT_NOTE;
		return note_decode(bytes, len, &object->note);
	}
	if (index_is_summary(bytes, len)) {
		object->kind = INDEX_OBJECT_SUMMARY;
		return PS_OK;
	}
	object->kind = INDEX_OBJECT_RECORD;
	return ps_record_decode(bytes, len, &index->memory, &object->record);
}

/* ---- reading ---- */

int index_read(ps_index *index, ps_id id, uint8_t **bytes, size_t *len)
{
	size_t cap = SMALL;
	for (;;) {
		uint8_t *buffer = ps_memory_alloc(&index->memory, cap);
		if (!buffer)
			return ps_fail(PS_ENOMEM, "no memory for an index record of %zu bytes", cap);
		size_t got = 0;
		int err = ps_get(index->store, id, buffer, cap, &got);
		/* The caller gives back what it was told: exactly as long as the object. */
		uint8_t *fit =
		    err == PS_OK && got > 0 ? ps_memory_resize(&index->memory, buffer, cap, got) : NULL;
		if (fit) {
			*bytes = fit;
			*len = got;
			return PS_OK;
		}
		ps_memory_free(&index->memory, buffer, cap);
		if (err == PS_OK)
			return got == 0 ? ps_fail(PS_ECORRUPT, "object %#llx of the index is empty",
			                          (unsigned long long)id)
			                : ps_fail(PS_ENOMEM, "no memory for an index record");
		if (err != PS_ERANGE)
			return err;
		cap = got; /* it is longer, or grew meanwhile */
	}
}

/* One read has all of a short record; of a longer one the length is a second call, and what was replaced
 * between the two is read again. */
static int read_prefix_once(ps_index *index, ps_id id, struct ps_record *record)
{
	uint8_t prefix[PS_RECORD_PREFIX];
	struct ps_info info;
	size_t got = 0;
	memset(record, 0, sizeof(*record));
	record->memory = &index->memory;
	int err = ps_read_at(index->store, id, 0, prefix, sizeof(prefix), &got);
	info.size = got;
	if (err == PS_OK && got == sizeof(prefix))
		err = ps_info(index->store, id, &info);
	return err == PS_OK ? ps_record_decode_prefix(prefix, got, info.size, record) : err;
}

int index_read_prefix(ps_index *index, ps_id id, struct ps_record *record)
{
	int err = PS_ECORRUPT;
	for (unsigned tries = 0; tries < 8 && err == PS_ECORRUPT; tries++)
		err = read_prefix_once(index, id, record);
	return err;
}

int index_read_record(ps_index *index, ps_id id, struct ps_record *record)
{
	uint8_t *bytes;
	size_t len;
	int err = index_read(index, id, &bytes, &len);
	if (err != PS_OK)
		return err;
	err = ps_record_decode(bytes, len, &index->memory, record);
	ps_memory_free(&index->memory, bytes, len);
	return err;
}

int index_read_slot(ps_index *index, ps_id id, uint64_t offset, struct ps_pad_slot *slot)
{
	struct ps_slot_bytes bytes;
	size_t got = 0;
	int err = ps_read_at(index->store, id, offset, &bytes, sizeof(bytes), &got);
	if (err != PS_OK)
		return err;
	if (got != sizeof(bytes))
		return ps_fail(PS_ECORRUPT, "a record of the index ends in a pad slot");
	return ps_slot_decode(&bytes, slot);
}

int index_read_spare(ps_index *index, ps_id id, struct ps_spare *spare)
{
	uint8_t bytes[PS_SPARE_HEAD_BYTES + PS_SLOT_BYTES];
	size_t got = 0;
	int err = ps_get(index->store, id, bytes, sizeof(bytes), &got);
	if (err != PS_OK)
		return err == PS_ERANGE ? ps_fail(PS_ECORRUPT, "a spare pad has %zu bytes", got) : err;
	if (got < sizeof(spare_magic) || memcmp(bytes, spare_magic, sizeof(spare_magic)) != 0)
		return ps_fail(PS_ECORRUPT, "object %#llx is no spare pad", (unsigned long long)id);
	spare->id = id;
	return spare_decode(bytes, got, spare);
}

int index_find(ps_index *index, unsigned kind, const char *name, size_t name_len, ps_id *id,
               struct ps_record *record)
{
	if (name_len == 0 || name_len > PS_RECORD_NAME_MAX)
		return ps_fail(PS_EINVAL, "a key has 1 to %d bytes", PS_RECORD_NAME_MAX);
	uint64_t hash = index_name_hash(index, kind, name, name_len);
	int err = index_check(index);
	for (size_t step = 0; err == PS_OK;) {
		pthread_mutex_lock(&index->lock);
		ps_id found = ps_id_table_next(&index->names, hash, &step);
		pthread_mutex_unlock(&index->lock);
		if (found == PS_ID_NONE)
			return ps_fail(PS_ENOTFOUND, "there is no value under \"%.*s\"",
			               (int)(name_len < 64 ? name_len : 64), name);
		err = index_read_prefix(index, found, record);
		if (err == PS_OK && record->kind == kind &&
		    ps_name_compare(record->name, record->name_len, name, name_len) == 0) {
			*id = found;
			return PS_OK;
		}
		if (err == PS_ENOTFOUND) { /* it went meanwhile: look again, unless nobody knows if it did */
			step = 0;
			err = index_check(index);
		}
	}
	return err;
}

/* ---- figures ---- */

static void add(uint64_t *figure, uint64_t amount, int sign)
{
	*figure += sign < 0 ? -amount : amount;
}

void index_count_slot(struct ps_index_figures *figures, const struct ps_pad_slot *slot, int sign)
{
	add(&figures->pads[slot->status], 1, sign);
	add(&figures->pad_bytes[slot->status], slot->length, sign);
}

void index_count_spare(struct ps_index_figures *figures, const struct ps_pad_slot *slot, int sign)
{
	index_count_slot(figures, slot, sign);
	if (slot->status == PS_SLOT_FREE)
		add(&figures->spare[slot->class][slot->mode], 1, sign);
}

void index_count_record(struct ps_index_figures *figures, const struct ps_record *record, int sign)
{
	bool blob = record->kind == PS_RECORD_BLOB;
	add(&figures->records, 1, sign);
	add(&figures->blobs, blob && ps_record_has_contents(record), sign);
	add(&figures->bytes, blob ? record->content.size : 0, sign);
	add(&figures->complete, blob && (record->flags & PS_RECORD_COMPLETE) != 0, sign);
	add(&figures->updating, blob && (record->flags & PS_RECORD_UPDATING) != 0, sign);
	add(&figures->tombstones, (record->flags & PS_RECORD_TOMBSTONE) != 0, sign);
	add(&figures->dirty, (record->flags & PS_RECORD_DIRTY) != 0, sign);
	add(&figures->published_as_public, (record->flags & PS_RECORD_PUBLIC) != 0, sign);
	if (record->flags & PS_RECORD_PUBLIC)
		index_count_slot(figures, &record->index_pad, sign);
	for (unsigned set = 0; set < PS_SETS; set++)
		for (uint32_t i = 0; i < record->sets[set].count; i++)
			index_count_slot(figures, &record->sets[set].slots[i], sign);
}

void index_figures_add(struct ps_index_figures *to, const struct ps_index_figures *delta)
{
	static_assert(sizeof(*to) % sizeof(uint64_t) == 0, "nothing but figures");
	uint64_t *sum = (uint64_t *)to;
	const uint64_t *more = (const uint64_t *)delta;
	for (size_t i = 0; i < sizeof(*to) / sizeof(*sum); i++)
		sum[i] += more[i];
}

void ps_index_figures(ps_index *index, struct ps_index_figures *figures)
{
	pthread_mutex_lock(&index->lock);
	*figures = index->figures;
	pthread_mutex_unlock(&index->lock);
	figures->memory = atomic_load(&index->memory.used);
}

/* ---- what is in memory ---- */

struct ps_id_table *index_spare_table_locked(ps_index *index, const struct ps_spare *spare, uint64_t *key)
{
	*key = ps_id_key(spare->id);
	if (spare->slot.status != PS_SLOT_FREE)
		return &index->open[spare->slot.status];
	unsigned kind = index_pad_kind(&spare->slot);
	if (spare->hold <= index->settled)
		return &index->free[kind];
	*key = spare->hold << 4 | kind;
	return &index->held;
}

int index_snapshot(ps_index *index, struct ps_id_table *const *tables, size_t tables_count, ps_id **ids,
                   size_t *count)
{
	for (size_t room = 64;;) {
		ps_id *list = ps_memory_alloc(&index->memory, room * sizeof(*list));
		if (!list)
			return ps_fail(PS_ENOMEM, "no memory for a list of %zu ids", room);
		size_t need = 0, n = 0;
		pthread_mutex_lock(&index->lock);
		for (size_t t = 0; t < tables_count; t++)
			need += tables[t]->count;
		for (size_t t = 0; t < tables_count && need <= room; t++)
			for (size_t i = 0; i < tables[t]->places_count; i++)
				if (tables[t]->places[i].id != PS_ID_NONE)
					list[n++] = tables[t]->places[i].id;
		pthread_mutex_unlock(&index->lock);
		ps_id *fit = need <= room ? ps_memory_resize(&index->memory, list, room * sizeof(*list),
		                                             (n > 0 ? n : 1) * sizeof(*list))
		                          : NULL;
		if (fit) {
			*ids = fit;
			*count = n;
			return PS_OK;
		}
		ps_memory_free(&index->memory, list, room * sizeof(*list));
		if (need <= room)
			return ps_fail(PS_ENOMEM, "no memory for a list of %zu ids", n);
		room = need + 64;
	}
}

/* ---- all objects ---- */

struct scan {
	ps_index *index;
	index_object_fn fn;
	void *arg;
	struct ps_get_many reqs[SCAN];
	size_t n;
	uint8_t *buffers;
	int result;
};

static int scan_one(struct scan *scan, const struct ps_get_many *req)
{
	struct index_object object;
	uint8_t *large = NULL;
	size_t len = req->len;
	int err = req->status;
	if (err == PS_OK && len == SMALL)
		err = index_read(scan->index, req->id, &large, &len);
	if (err != PS_OK)
		return err == PS_ENOTFOUND ? PS_OK : err;
	err = index_object_decode(scan->index, req->id, large ? large : req->buf, len, &object);
	if (large)
		ps_memory_free(&scan->index->memory, large, len);
	if (err != PS_OK)
		return err;
	err = scan->fn(scan->arg, &object);
	if (object.kind == INDEX_OBJECT_RECORD)
		ps_record_done(&object.record);
	return err;
}

static int scan_flush(struct scan *scan)
{
	if (scan->n > 0)
		scan->result = ps_get_many(scan->index->store, scan->n, scan->reqs);
	for (size_t i = 0; i < scan->n && scan->result == PS_OK; i++)
		scan->result = scan_one(scan, &scan->reqs[i]);
	scan->n = 0;
	return scan->result;
}

static int scan_add(void *arg, ps_id id)
{
	struct scan *scan = arg;
	if (id == PS_ID_PRIME)
		return 0;
	scan->reqs[scan->n] =
	    (struct ps_get_many){.id = id, .buf = scan->buffers + scan->n * SMALL, .cap = SMALL};
	scan->n++;
	return scan->n == SCAN && scan_flush(scan) != PS_OK;
}

static int scan_begin(struct scan *scan)
{
	scan->buffers = ps_memory_alloc(&scan->index->memory, (size_t)SCAN * SMALL);
	return scan->buffers ? PS_OK : ps_fail(PS_ENOMEM, "no memory for reading the local index");
}

static int scan_end(struct scan *scan, int err)
{
	if (err == PS_OK)
		err = scan_flush(scan);
	ps_memory_free(&scan->index->memory, scan->buffers, (size_t)SCAN * SMALL);
	return err == PS_ECANCELED ? scan->result : err;
}

int index_scan(ps_index *index, index_object_fn fn, void *arg)
{
	struct scan scan = {.index = index, .fn = fn, .arg = arg};
	int err = scan_begin(&scan);
	return err == PS_OK ? scan_end(&scan, ps_each(index->store, 1, scan_add, &scan)) : err;
}

int index_scan_ids(ps_index *index, const ps_id *ids, size_t count, index_object_fn fn, void *arg)
{
	struct scan scan = {.index = index, .fn = fn, .arg = arg};
	int err = scan_begin(&scan);
	if (err != PS_OK)
		return err;
	for (size_t i = 0; i < count && err == PS_OK; i++)
		err = scan_add(&scan, ids[i]) ? PS_ECANCELED : PS_OK;
	return scan_end(&scan, err);
}

static int load_record(ps_index *index, ps_id id, const struct ps_record *record)
{
	uint64_t hash = index_name_hash(index, record->kind, record->name, record->name_len);
	size_t step = 0;
	for (ps_id other; (other = ps_id_table_next(&index->names, hash, &step)) != PS_ID_NONE;) {
		struct ps_record twin;
		int err = index_read_prefix(index, other, &twin);
		if (err != PS_OK)
			return err;
		if (twin.kind == record->kind &&
		    ps_name_compare(twin.name, twin.name_len, record->name, record->name_len) == 0)
			return ps_fail(PS_ECORRUPT, "the key \"%.64s\" stands twice in the local index",
			               record->name);
	}
	int err = ps_id_table_reserve(&index->names, 1);
	if (err == PS_OK)
		err = ps_id_table_reserve(&index->dirty, 1);
	if (err == PS_OK)
		err = ps_id_table_reserve(&index->own, 1);
	if (err != PS_OK)
		return err;
	ps_id_table_add(&index->names, hash, id);
	if (record->kind == PS_RECORD_SYSTEM)
		ps_id_table_add(&index->own, ps_id_key(id), id);
	if (record->flags & PS_RECORD_DIRTY)
		ps_id_table_add(&index->dirty, ps_id_key(id), id);
	index_count_record(&index->figures, record, 1);
	return PS_OK;
}

int index_load_object(void *arg, struct index_object *object)
{
	ps_index *index = arg;
	if (object->kind == INDEX_OBJECT_SUMMARY)
		return ps_fail(PS_ECORRUPT, "the local index has a summary that it does not name");
	if (object->kind == INDEX_OBJECT_RECORD)
		return load_record(index, object->id, &object->record);
	if (object->kind == INDEX_OBJECT_NOTE) {
		if (index->notes[object->note] != PS_ID_NONE)
			return ps_fail(PS_ECORRUPT, "note %u stands twice in the local index", object->note);
		index->notes[object->note] = object->id;
		return PS_OK;
	}
	uint64_t key;
	struct ps_id_table *table = index_spare_table_locked(index, &object->spare, &key);
	int err = ps_id_table_reserve(table, 1);
	if (err != PS_OK)
		return err;
	ps_id_table_add(table, key, object->id);
	index_count_spare(&index->figures, &object->spare.slot, 1);
	return PS_OK;
}

int index_load(ps_index *index)
{
	return index->summary != PS_ID_NONE ? index_summary_load(index)
	                                    : index_scan(index, index_load_object, index);
}
