#include "remote/mem_table.h"

#include <assert.h>

#include "base/fail.h"

struct mem_record *mem_record_new(struct ps_memory *memory, const struct ps_pad_identity *identity,
                                  const void *bytes, size_t len)
{
	struct mem_record *record = ps_memory_alloc(memory, sizeof(*record) + len);
	if (!record)
		return NULL;
	*record = (struct mem_record){.memory = memory, .identity = *identity, .len = len};
	atomic_init(&record->references, 1);
	if (len)
		memcpy(record->bytes, bytes, len);
	return record;
}

struct mem_record *mem_record_hold(struct mem_record *record)
{
	if (record)
		atomic_fetch_add_explicit(&record->references, 1, memory_order_relaxed);
	return record;
}

void mem_record_release(struct mem_record *record)
{
	/* A long past is let go of step by step, not by a deep recursion. */
	while (record && atomic_fetch_sub_explicit(&record->references, 1, memory_order_acq_rel) == 1) {
		struct mem_record *before = record->before;
		ps_memory_free(record->memory, record, sizeof(*record) + record->len);
		record = before;
	}
}

void mem_table_init(struct mem_table *table, struct ps_memory *memory)
{
	*table = (struct mem_table){.memory = memory};
}

void mem_table_done(struct mem_table *table)
{
	for (size_t i = 0; i < table->count; i++) {
		mem_record_release(table->entries[i].record);
		mem_record_release(table->entries[i].past);
	}
	ps_memory_free(table->memory, table->entries, table->room * sizeof(*table->entries));
	mem_table_init(table, table->memory);
}

int mem_table_copy(struct mem_table *to, const struct mem_table *from)
{
	mem_table_init(to, from->memory);
	if (from->count == 0)
		return PS_OK;
	to->entries = ps_memory_alloc(to->memory, from->count * sizeof(*to->entries));
	if (!to->entries)
		return ps_fail(PS_ENOMEM, "mem: no memory for a copy of %zu records", from->count);
	to->count = to->room = from->count;
	for (size_t i = 0; i < from->count; i++) {
		to->entries[i] = from->entries[i];
		mem_record_hold(to->entries[i].record);
		mem_record_hold(to->entries[i].past);
	}
	return PS_OK;
}

size_t mem_table_above(const struct mem_table *table, const struct ps_pad_name *after)
{
	size_t low = 0, high = after ? table->count : 0;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (memcmp(table->entries[middle].name.bytes, after->bytes, PS_PAD_NAME) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct mem_entry *find(const struct mem_table *table, const struct ps_pad_name *name)
{
	size_t above = mem_table_above(table, name);
	struct mem_entry *entry = above ? &table->entries[above - 1] : NULL;
	return entry && memcmp(entry->name.bytes, name->bytes, PS_PAD_NAME) == 0 ? entry : NULL;
}

struct mem_record *mem_table_find(const struct mem_table *table, const struct ps_pad_name *name)
{
	const struct mem_entry *entry = find(table, name);
	return entry ? entry->record : NULL;
}

struct mem_record *mem_table_past(const struct mem_table *table, const struct ps_pad_name *name,
                                  uint64_t back)
{
	const struct mem_entry *entry = find(table, name);
	struct mem_record *record = entry ? entry->record : NULL;
	if (entry && !record)
		record = entry->past;
	while (record && record->before && back-- > 0)
		record = record->before;
	return record;
}

static struct mem_entry *insert(struct mem_table *table, const struct ps_pad_name *name)
{
	struct mem_entry *grown =
	    ps_memory_grow(table->memory, table->entries, table->count, &table->room, sizeof(*grown));
	if (!grown)
		return NULL;
	table->entries = grown;
	size_t at = mem_table_above(table, name);
	struct mem_entry *entry = &table->entries[at];
	memmove(entry + 1, entry, (table->count - at) * sizeof(*entry));
	table->count++;
	*entry = (struct mem_entry){.name = *name};
	return entry;
}

/* Forgets all but the newest `past` of the versions before this one. */
static void shorten(struct mem_record *record, unsigned past)
{
	while (record && past-- > 0)
		record = record->before;
	if (!record)
		return;
	mem_record_release(record->before);
	record->before = NULL;
}

static void take_away(struct mem_table *table, struct mem_entry *entry)
{
	size_t at = (size_t)(entry - table->entries);
	mem_record_release(entry->record);
	mem_record_release(entry->past);
	memmove(entry, entry + 1, (table->count - at - 1) * sizeof(*entry));
	table->count--;
}

int mem_table_set(struct mem_table *table, const struct ps_pad_name *name, struct mem_record *record,
                  unsigned past)
{
	struct mem_entry *entry = find(table, name);
	assert(!record || !record->before);
	if (!entry && !record)
		return PS_OK;
	if (!entry)
		entry = insert(table, name);
	if (!entry)
		return ps_fail(PS_ENOMEM, "mem: no memory for a record");
	if (!record && past == 0) {
		take_away(table, entry);
		return PS_OK;
	}
	struct mem_record *old = entry->record ? entry->record : entry->past;
	entry->record = mem_record_hold(record);
	entry->past = NULL;
	if (!record)
		entry->past = old;
	else if (past > 0)
		record->before = old;
	else
		mem_record_release(old);
	shorten(record, past);
	return PS_OK;
}
