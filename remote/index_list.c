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

/* ---- records in order ---- */

struct listed {
	ps_id id;
	size_t name; /* where in names.bytes */
	uint16_t name_len;
};

struct listing {
	struct ps_memory *memory;
	struct listed *all;
	size_t count, capacity;
	char *names;
	size_t names_used, names_capacity;
};

static int listing_add(struct listing *l, ps_id id, const struct ps_record *record)
{
	while (l->names_capacity - l->names_used < record->name_len) {
		size_t more = l->names_capacity > 0 ? l->names_capacity * 2 : 4096;
		char *grown = ps_memory_resize(l->memory, l->names, l->names_capacity, more);
		if (!grown)
			return ps_fail(PS_ENOMEM, "no memory for a list of %zu bytes of keys", more);
		l->names = grown;
		l->names_capacity = more;
	}
	memcpy(l->names + l->names_used, record->name, record->name_len);
	l->all[l->count++] = (struct listed){id, l->names_used, record->name_len};
	l->names_used += record->name_len;
	return PS_OK;
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

static int listing_fill(ps_index *index, struct listing *l, const ps_id *ids, unsigned kind,
                        const char *prefix)
{
	size_t prefix_len = prefix ? strlen(prefix) : 0;
	l->all = ps_memory_alloc(l->memory, (l->capacity > 0 ? l->capacity : 1) * sizeof(*l->all));
	if (!l->all)
		return ps_fail(PS_ENOMEM, "no memory for a list of %zu keys", l->capacity);
	for (size_t i = 0; i < l->capacity; i++) {
		struct ps_record record;
		int err = index_read_prefix(index, ids[i], &record);
		if (err == PS_ENOTFOUND)
			continue;
		if (err == PS_OK && record.kind == kind && record.name_len >= prefix_len &&
		    (prefix_len == 0 || memcmp(record.name, prefix, prefix_len) == 0))
			err = listing_add(l, ids[i], &record);
		if (err != PS_OK)
			return err;
	}
	qsort_r(l->all, l->count, sizeof(*l->all), compare, l->names);
	return PS_OK;
}

static int listing_tell(ps_index *index, const struct listing *l, unsigned flags, ps_index_record_fn fn,
                        void *arg)
{
	int err = PS_OK;
	for (size_t i = 0; i < l->count && err == PS_OK; i++) {
		struct ps_record record;
		err = flags & PS_LIST_SLOTS ? index_read_record(index, l->all[i].id, &record)
		                            : index_read_prefix(index, l->all[i].id, &record);
		if (err == PS_ENOTFOUND) {
			err = PS_OK;
			continue;
		}
		if (err != PS_OK)
			return err;
		if (!(flags & PS_LIST_DIRTY) || (record.flags & PS_RECORD_DIRTY))
			err = fn(arg, &record);
		if (flags & PS_LIST_SLOTS)
			ps_record_done(&record);
	}
	return err;
}

int ps_index_list(ps_index *index, unsigned kind, const char *prefix, unsigned flags, ps_index_record_fn fn,
                  void *arg)
{
	struct listing l = {.memory = &index->memory};
	struct ps_id_table *table = flags & PS_LIST_DIRTY ? &index->dirty : &index->names;
	ps_id *ids = NULL;
	int err = index_check(index);
	if (err == PS_OK)
		err = index_snapshot(index, &table, 1, &ids, &l.capacity);
	if (err != PS_OK)
		return err;
	qsort(ids, l.capacity, sizeof(*ids), compare_ids); /* as they lie in the file, not as they hash */
	err = listing_fill(index, &l, ids, kind, prefix);
	ps_memory_free(&index->memory, ids, (l.capacity > 0 ? l.capacity : 1) * sizeof(*ids));
	if (err == PS_OK)
		err = listing_tell(index, &l, flags, fn, arg);
	if (l.names)
		ps_memory_free(l.memory, l.names, l.names_capacity);
	if (l.all)
		ps_memory_free(l.memory, l.all, (l.capacity > 0 ? l.capacity : 1) * sizeof(*l.all));
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
