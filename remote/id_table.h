/* An open-addressing table of (key, id): 16 bytes a place. Keys are hashes, so that several ids may stand
 * under one: the caller looks at each. Not locked. */
#ifndef PS_ID_TABLE_H
#define PS_ID_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "store/storer.h"

struct ps_id_place {
	uint64_t key;
	ps_id id; /* PS_ID_NONE: free */
};

struct ps_id_table {
	struct ps_memory *memory;
	struct ps_id_place *places;
	size_t count, mask, places_count, cursor;
};

void ps_id_table_init(struct ps_id_table *table, struct ps_memory *memory);
void ps_id_table_done(struct ps_id_table *table);
/* Room for so many more, so that as many ps_id_table_add cannot fail. PS_ENOMEM. */
int ps_id_table_reserve(struct ps_id_table *table, size_t more) __attribute__((warn_unused_result));
/* Room was reserved. */
void ps_id_table_add(struct ps_id_table *table, uint64_t key, ps_id id);
/* The pair is there or is not. */
bool ps_id_table_remove(struct ps_id_table *table, uint64_t key, ps_id id);
bool ps_id_table_has(const struct ps_id_table *table, uint64_t key, ps_id id);
/* The ids of a key, one a call; *step 0 at first. PS_ID_NONE: no more. */
ps_id ps_id_table_next(const struct ps_id_table *table, uint64_t key, size_t *step);
/* Any one, taken out; PS_ID_NONE if it is empty. */
ps_id ps_id_table_pop(struct ps_id_table *table);

/* As a set of ids. */
static inline uint64_t ps_id_key(ps_id id)
{
	return (id ^ id >> 29) * 0x9e3779b97f4a7c15U;
}

#endif
