/* What a mem network holds: a table from names to records. Records are immutable and counted, so that views,
 * snapshots and the past share them. Not thread-safe: the network's lock guards tables, counts are atomic. */
#ifndef PS_MEM_TABLE_H
#define PS_MEM_TABLE_H

#include "remote/network.h"

struct mem_record {
	atomic_uint references;
	struct ps_memory *memory;
	struct ps_pad_identity identity;
	uint64_t version;          /* the network's own: its token */
	struct mem_record *before; /* the one that it replaced; NULL where the past is not kept */
	size_t len;
	uint8_t bytes[];
};

struct mem_entry {
	struct ps_pad_name name;
	struct mem_record *record; /* NULL: removed, and its past kept */
	struct mem_record *past;
};

/* Sorted by name. */
struct mem_table {
	struct ps_memory *memory;
	struct mem_entry *entries;
	size_t count, room;
};

/* One reference; NULL when there is no memory. */
struct mem_record *mem_record_new(struct ps_memory *memory, const struct ps_pad_identity *identity,
                                  const void *bytes, size_t len);
struct mem_record *mem_record_hold(struct mem_record *record);
void mem_record_release(struct mem_record *record); /* NULL is fine */

void mem_table_init(struct mem_table *table, struct ps_memory *memory);
void mem_table_done(struct mem_table *table);
/* Of `from`, sharing its records. PS_ENOMEM: `to` is empty. */
int mem_table_copy(struct mem_table *to, const struct mem_table *from) __attribute__((warn_unused_result));
/* The record of a name, or NULL; the table's reference. */
struct mem_record *mem_table_find(const struct mem_table *table, const struct ps_pad_name *name);
/* The `back`-th version before the newest (0: the newest there ever was), or the oldest that is kept; NULL:
 * none. */
struct mem_record *mem_table_past(const struct mem_table *table, const struct ps_pad_name *name,
                                  uint64_t back);
/* Puts a record that was in no table yet (this one takes a reference), or NULL, in place of what is there.
 * `past`: how many older versions are kept. PS_ENOMEM: unchanged. */
int mem_table_set(struct mem_table *table, const struct ps_pad_name *name, struct mem_record *record,
                  unsigned past) __attribute__((warn_unused_result));
/* The first entry whose name is above `after` (NULL: the first); table->count if there is none. */
size_t mem_table_above(const struct mem_table *table, const struct ps_pad_name *after);

#endif
