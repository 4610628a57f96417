/* Looking into the local index: records one by one and in order, spare pads, notes. */
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "remote/local_index_internal.h"

int ps_index_look(ps_index *index, unsigned kind, const char *name, size_t name_len, struct ps_record *record)
{
	ps_id id;
	struct ps_record found;
	int err = index_find(index, kind, name, name_len, &id, &found);
	if (err == PS_OK)
		*record = found;
	return err;
}

int ps_index_get(ps_index *index, unsigned kind, const char *name, size_t name_len, struct ps_record *record)
{
	struct ps_record found;
	ps_id id;
	int err;
	do { /* removed, and put anew under another id, between the two looks: once more */
		err = index_find(index, kind, name, name_len, &id, &found);
		if (err != PS_OK)
			return err;
		err = index_read_record(index, id, &found);
	} while (err == PS_ENOTFOUND);
	if (err == PS_OK)
		*record = found;
	return err;
}

int ps_index_slots(ps_index *index, unsigned kind, const char *name, size_t name_len, enum ps_record_set set,
                   uint32_t first, uint32_t count, struct ps_pad_slot *slots, uint32_t *got)
{
	struct ps_record found;
	ps_id id;
	if ((unsigned)set >= PS_SETS)
		return ps_fail(PS_EINVAL, "a record has three sets of pads");
	int err = index_find(index, kind, name, name_len, &id, &found);
	if (err != PS_OK)
		return err;
	uint32_t there = found.sets[set].count, n = first >= there ? 0 : there - first;
	if (n > count)
		n = count;
	for (uint32_t i = 0; i < n && err == PS_OK; i++)
		err = index_read_slot(index, id, ps_record_slot_offset(&found, set, first + i), &slots[i]);
	if (err == PS_OK)
		*got = n;
	return err;
}

/* ---- records in the order of names ----
 *
 * A record's page is read where it lies in the file, many at a time: in the order of names each would be a
 * read of its own, and a disk gives some 25,000 of these a second. So all are read in the order of their ids,
 * and their bytes are kept and sorted by name. Where they are more than list_keep_bytes only the names are
 * kept, and the records are read again, as many at a time as fit, in the order of their ids. */

enum { READ_TOGETHER = 64, READ_BYTES = 4096, BLOCK = 1 << 20, BLOCKS = 264 };

struct listed {
	ps_id id;
	size_t name;  /* where in names */
	size_t bytes; /* where in kept; NOT_KEPT: read when it is told */
	uint32_t len, object_len;
	uint16_t name_len;
};
static const size_t NOT_KEPT = SIZE_MAX;

/* What is kept lies in blocks: an array that grows would be copied again and again. */
struct kept {
	uint8_t *blocks[BLOCKS];
	size_t count;       /* of blocks that there are */
	size_t at, at_used; /* the one that is being filled */
	size_t used;
};

struct listing {
	ps_index *index;
	struct ps_memory *memory;
	unsigned kind, flags;
	const char *prefix;
	size_t prefix_len;
	ps_index_record_fn fn;
	void *arg;
	bool slots, too_many; /* too_many: to be kept all at once */
	struct listed *all;
	size_t count, capacity;
	char *names;
	size_t names_used, names_capacity;
	struct kept kept;
	uint8_t *buffers;
	struct ps_get_many reqs[READ_TOGETHER];
};

static int add_name(struct listing *l, const struct ps_record *record, size_t *at)
{
	if (l->names_capacity - l->names_used < record->name_len) {
		size_t more = l->names_capacity > 0 ? l->names_capacity * 2 : 4096;
		char *grown = ps_memory_resize(l->memory, l->names, l->names_capacity, more);
		if (!grown)
			return ps_fail(PS_ENOMEM, "no memory for a list of %zu bytes of keys", more);
		l->names = grown;
		l->names_capacity = more;
	}
	memcpy(l->names + l->names_used, record->name, record->name_len);
	*at = l->names_used;
	l->names_used += record->name_len;
	return PS_OK;
}

/* As long as there are blocks. */
static int keep(struct listing *l, struct listed *listed, const void *bytes)
{
	struct kept *k = &l->kept;
	if (k->count > 0 && BLOCK - k->at_used < listed->len) {
		k->at++;
		k->at_used = 0;
	}
	if (k->at == BLOCKS)
		return PS_OK;
	if (k->at == k->count) {
		k->blocks[k->at] = ps_memory_alloc(l->memory, BLOCK);
		if (!k->blocks[k->at])
			return ps_fail(PS_ENOMEM, "no memory for a list of %zu bytes", k->used);
		k->count++;
	}
	memcpy(k->blocks[k->at] + k->at_used, bytes, listed->len);
	listed->bytes = k->at * BLOCK + k->at_used;
	k->at_used += listed->len;
	k->used += listed->len;
	return PS_OK;
}

static int decode(struct listing *l, const void *bytes, size_t len, uint64_t object_len,
                  struct ps_record *record)
{
	if (l->slots)
		return ps_record_decode(bytes, len, l->memory, record);
	memset(record, 0, sizeof(*record));
	record->memory = l->memory;
	return ps_record_decode_prefix(bytes, len, object_len, record);
}

static int read_alone(struct listing *l, ps_id id, struct ps_record *record)
{
	return l->slots ? index_read_record(l->index, id, record) : index_read_prefix(l->index, id, record);
}

/* The requests' ids are set. */
static int read_together(struct listing *l, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		l->reqs[i].offset = 0;
		l->reqs[i].buf = l->buffers + i * READ_BYTES;
		l->reqs[i].cap = READ_BYTES;
	}
	return ps_get_many(l->index->store, n, l->reqs);
}

/* All of it was read. */
static bool is_whole(const struct ps_get_many *req)
{
	return req->status == PS_OK && req->len < READ_BYTES;
}

static bool is_listed(const struct listing *l, const struct ps_record *record)
{
	return record->kind == l->kind && record->name_len >= l->prefix_len &&
	       (l->prefix_len == 0 || memcmp(record->name, l->prefix, l->prefix_len) == 0);
}

static int add(struct listing *l, const struct ps_get_many *req, const struct ps_record *record)
{
	struct listed *listed = &l->all[l->count];
	*listed = (struct listed){.id = req->id, .bytes = NOT_KEPT, .name_len = record->name_len};
	int err = add_name(l, record, &listed->name);
	if (err != PS_OK)
		return err;
	l->count++;
	/* What is in progress changes fast, and what is long is few: read when they are told. */
	if (!is_whole(req) || (record->flags & PS_RECORD_UPDATING))
		return PS_OK;
	listed->object_len = (uint32_t)req->len;
	listed->len = l->slots ? listed->object_len : (uint32_t)ps_record_slot_offset(record, 0, 0);
	if (l->kept.used + listed->len > l->index->list_keep_bytes)
		l->too_many = true;
	return l->too_many ? PS_OK : keep(l, listed, req->buf);
}

/* The prefix alone is decoded: what is told later is decoded whole. */
static int fill_one(struct listing *l, const struct ps_get_many *req)
{
	struct ps_record record = {.memory = l->memory};
	int err = is_whole(req) ? ps_record_decode_prefix(req->buf, req->len, req->len, &record)
	                        : index_read_prefix(l->index, req->id, &record);
	if (err == PS_ENOTFOUND)
		return PS_OK;
	return err == PS_OK && is_listed(l, &record) ? add(l, req, &record) : err;
}

static int each_read(struct listing *l, const ps_id *ids,
                     int (*fn)(struct listing *l, const struct ps_get_many *req))
{
	int err = PS_OK;
	for (size_t at = 0, n; at < l->capacity && err == PS_OK; at += n) {
		n = l->capacity - at < READ_TOGETHER ? l->capacity - at : READ_TOGETHER;
		for (size_t i = 0; i < n; i++)
			l->reqs[i].id = ids[at + i];
		err = read_together(l, n);
		for (size_t i = 0; i < n && err == PS_OK; i++)
			err = fn(l, &l->reqs[i]);
	}
	return err;
}

static int compare(const void *a, const void *b, void *names)
{
	const struct listed *one = a, *other = b;
	return ps_name_compare((const char *)names + one->name, one->name_len,
	                       (const char *)names + other->name, other->name_len);
}

static int compare_ids(const void *a, const void *b)
{
	const ps_id *one = a, *other = b;
	return (*one > *other) - (*one < *other);
}

static int compare_listed(const void *a, const void *b, void *all)
{
	const struct listed *listed = all;
	return compare_ids(&listed[*(const size_t *)a].id, &listed[*(const size_t *)b].id);
}

/* Keeps what is at these places; what cannot be kept is read when it is told. */
static int keep_together(struct listing *l, const size_t *places, size_t n)
{
	for (size_t i = 0; i < n; i++)
		l->reqs[i].id = l->all[places[i]].id;
	int err = read_together(l, n);
	for (size_t i = 0; i < n && err == PS_OK; i++) {
		struct listed *listed = &l->all[places[i]];
		if (is_whole(&l->reqs[i]) && listed->len > 0 && l->reqs[i].len == listed->object_len)
			err = keep(l, listed, l->reqs[i].buf);
	}
	return err;
}

/* Of a list that is too long: from here on as many as fit; *to is behind them. */
static int keep_window(struct listing *l, size_t from, size_t *to)
{
	size_t total = 0, end = from;
	while (end < l->count && (end == from || total + l->all[end].len <= l->index->list_keep_bytes))
		total += l->all[end++].len;
	size_t n = end - from, *places = ps_memory_alloc(l->memory, n * sizeof(*places));
	if (!places)
		return ps_fail(PS_ENOMEM, "no memory for a list of %zu keys", n);
	for (size_t i = 0; i < n; i++) {
		places[i] = from + i;
		l->all[from + i].bytes = NOT_KEPT;
	}
	qsort_r(places, n, sizeof(*places), compare_listed, l->all);
	l->kept.at = l->kept.at_used = l->kept.used = 0;
	int err = PS_OK;
	for (size_t at = 0; at < n && err == PS_OK; at += READ_TOGETHER)
		err = keep_together(l, places + at, n - at < READ_TOGETHER ? n - at : READ_TOGETHER);
	ps_memory_free(l->memory, places, n * sizeof(*places));
	*to = end;
	return err;
}

static int tell_record(struct listing *l, struct ps_record *record)
{
	bool told = !(l->flags & PS_LIST_DIRTY) || (record->flags & PS_RECORD_DIRTY);
	int err = told ? l->fn(l->arg, record) : PS_OK;
	if (l->slots)
		ps_record_done(record);
	return err;
}

static int tell_one(struct listing *l, const struct listed *listed)
{
	struct ps_record record;
	int err = listed->bytes == NOT_KEPT
	              ? read_alone(l, listed->id, &record)
	              : decode(l, l->kept.blocks[listed->bytes / BLOCK] + listed->bytes % BLOCK, listed->len,
	                       listed->object_len, &record);
	if (err != PS_OK)
		return err == PS_ENOTFOUND ? PS_OK : err;
	return tell_record(l, &record);
}

/* One read after another would wait for the disk each time. What it cannot read is told by who needs it. */
static int look_ahead(struct listing *l, size_t from)
{
	size_t n = l->count - from < READ_TOGETHER ? l->count - from : READ_TOGETHER;
	for (size_t i = 0; i < n; i++)
		l->reqs[i].id = l->all[from + i].id;
	return n > 1 ? read_together(l, n) : PS_OK;
}

static int tell(struct listing *l)
{
	int err = PS_OK;
	for (size_t at = 0, end = l->too_many ? 0 : l->count; at < l->count && err == PS_OK; at++) {
		if (at == end)
			err = keep_window(l, at, &end);
		if (err == PS_OK && (l->flags & PS_LIST_AHEAD) && at % READ_TOGETHER == 0)
			err = look_ahead(l, at);
		if (err == PS_OK)
			err = tell_one(l, &l->all[at]);
	}
	return err;
}

static int list_in_order(struct listing *l, const ps_id *ids)
{
	l->all = ps_memory_alloc(l->memory, (l->capacity > 0 ? l->capacity : 1) * sizeof(*l->all));
	if (!l->all)
		return ps_fail(PS_ENOMEM, "no memory for a list of %zu keys", l->capacity);
	int err = each_read(l, ids, fill_one);
	if (err != PS_OK)
		return err;
	qsort_r(l->all, l->count, sizeof(*l->all), compare, l->names);
	return tell(l);
}

/* ---- records in the order of the file ---- */

static int tell_read(struct listing *l, const struct ps_get_many *req)
{
	struct ps_record record;
	int err = is_whole(req) ? decode(l, req->buf, req->len, req->len, &record)
	                        : read_alone(l, req->id, &record);
	if (err != PS_OK)
		return err == PS_ENOTFOUND ? PS_OK : err;
	if (is_listed(l, &record))
		return tell_record(l, &record);
	if (l->slots)
		ps_record_done(&record);
	return PS_OK;
}

static int list(struct listing *l, ps_id *ids)
{
	l->buffers = ps_memory_alloc(l->memory, (size_t)READ_TOGETHER * READ_BYTES);
	if (!l->buffers)
		return ps_fail(PS_ENOMEM, "no memory for a list of %zu keys", l->capacity);
	qsort(ids, l->capacity, sizeof(*ids), compare_ids);
	return l->flags & PS_LIST_ANY ? each_read(l, ids, tell_read) : list_in_order(l, ids);
}

static void listing_done(struct listing *l)
{
	if (l->all)
		ps_memory_free(l->memory, l->all, (l->capacity > 0 ? l->capacity : 1) * sizeof(*l->all));
	if (l->buffers)
		ps_memory_free(l->memory, l->buffers, (size_t)READ_TOGETHER * READ_BYTES);
	if (l->names)
		ps_memory_free(l->memory, l->names, l->names_capacity);
	for (size_t i = 0; i < l->kept.count; i++)
		ps_memory_free(l->memory, l->kept.blocks[i], BLOCK);
}

int ps_index_list(ps_index *index, unsigned kind, const char *prefix, unsigned flags, ps_index_record_fn fn,
                  void *arg)
{
	struct listing l = {.index = index,
	                    .memory = &index->memory,
	                    .kind = kind,
	                    .flags = flags,
	                    .prefix = prefix,
	                    .prefix_len = prefix ? strlen(prefix) : 0,
	                    .fn = fn,
	                    .arg = arg,
	                    .slots = flags & PS_LIST_SLOTS};
	struct ps_id_table *table = kind == PS_RECORD_SYSTEM ? &index->own : &index->names;
	if (flags & PS_LIST_DIRTY)
		table = &index->dirty;
	ps_id *ids = NULL;
	int err = index_check(index);
	if (err == PS_OK)
		err = index_snapshot(index, &table, 1, &ids, &l.capacity);
	if (err != PS_OK)
		return err;
	err = list(&l, ids);
	ps_memory_free(l.memory, ids, (l.capacity > 0 ? l.capacity : 1) * sizeof(*ids));
	listing_done(&l);
	return err;
}

/* ---- spare pads and notes ---- */

int ps_index_each_spare(ps_index *index, unsigned status, ps_index_spare_fn fn, void *arg)
{
	struct ps_id_table *tables[INDEX_PAD_KINDS + 1];
	size_t tables_count = 0, count;
	ps_id *ids;
	if (status == PS_SLOT_GONE || status >= PS_SLOT_STATUSES)
		return ps_fail(PS_EINVAL, "no pad stands there with status %u", status);
	if (status != PS_SLOT_FREE)
		tables[tables_count++] = &index->open[status];
	for (unsigned kind = 0; status == PS_SLOT_FREE && kind < INDEX_PAD_KINDS; kind++)
		tables[tables_count++] = &index->free[kind];
	if (status == PS_SLOT_FREE)
		tables[tables_count++] = &index->held;
	int err = index_check(index);
	if (err == PS_OK)
		err = index_snapshot(index, tables, tables_count, &ids, &count);
	if (err != PS_OK)
		return err;
	for (size_t i = 0; i < count && err == PS_OK; i++) {
		struct ps_spare spare;
		err = index_read_spare(index, ids[i], &spare);
		if (err == PS_OK)
			err = fn(arg, &spare);
		else if (err == PS_ENOTFOUND)
			err = PS_OK;
	}
	ps_memory_free(&index->memory, ids, (count > 0 ? count : 1) * sizeof(*ids));
	return err;
}

struct pad_listing {
	ps_record_slot_fn fn;
	void *arg;
};

static int tell_spare_pad(void *arg, const struct ps_spare *spare)
{
	const struct pad_listing *l = arg;
	return l->fn(l->arg, &spare->slot);
}

static int tell_record_pads(void *arg, const struct ps_record *record)
{
	const struct pad_listing *l = arg;
	return ps_record_each_slot(record, l->fn, l->arg);
}

int ps_index_each_pad(ps_index *index, ps_record_slot_fn fn, void *arg)
{
	struct pad_listing l = {fn, arg};
	int err = PS_OK;
	for (unsigned status = PS_SLOT_GENERATED; status < PS_SLOT_STATUSES && err == PS_OK; status++)
		err = ps_index_each_spare(index, status, tell_spare_pad, &l);
	for (unsigned kind = 0; kind < PS_RECORD_KINDS && err == PS_OK; kind++)
		err = ps_index_list(index, kind, NULL, PS_LIST_SLOTS | PS_LIST_ANY, tell_record_pads, &l);
	return err;
}

int ps_index_note(ps_index *index, enum ps_index_note note, uint8_t **bytes, size_t *len)
{
	uint8_t *object;
	size_t object_len;
	if ((unsigned)note >= PS_NOTES)
		return ps_fail(PS_EINVAL, "no such note");
	pthread_mutex_lock(&index->lock);
	ps_id id = index->notes[note];
	pthread_mutex_unlock(&index->lock);
	if (id == PS_ID_NONE)
		return ps_fail(PS_ENOTFOUND, "the local index has no note %u", (unsigned)note);
	int err = index_read(index, id, &object, &object_len);
	if (err != PS_OK)
		return err;
	struct index_object decoded;
	err = index_object_decode(index, id, object, object_len, &decoded);
	size_t n = object_len - PS_NOTE_HEAD_BYTES;
	uint8_t *copy = err == PS_OK ? ps_memory_alloc(&index->memory, n > 0 ? n : 1) : NULL;
	if (copy) {
		memcpy(copy, object + PS_NOTE_HEAD_BYTES, n);
		*bytes = copy;
		*len = n;
	} else if (err == PS_OK) {
		err = ps_fail(PS_ENOMEM, "no memory for a note of %zu bytes", n);
	}
	ps_memory_free(&index->memory, object, object_len);
	return err;
}
