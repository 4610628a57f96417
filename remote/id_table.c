#include "remote/id_table.h"

#include <assert.h>

#include "base/fail.h"

void ps_id_table_init(struct ps_id_table *table, struct ps_memory *memory)
{
	*table = (struct ps_id_table){.memory = memory};
}

void ps_id_table_done(struct ps_id_table *table)
{
	if (table->places)
		ps_memory_free(table->memory, table->places, table->places_count * sizeof(*table->places));
	ps_id_table_init(table, table->memory);
}

static size_t place_of(const struct ps_id_table *table, uint64_t key)
{
	return (size_t)(key ^ key >> 32) & table->mask;
}

static void put(struct ps_id_table *table, uint64_t key, ps_id id)
{
	size_t at = place_of(table, key);
	while (table->places[at].id != PS_ID_NONE)
		at = (at + 1) & table->mask;
	table->places[at] = (struct ps_id_place){key, id};
}

static int rehash(struct ps_id_table *table, size_t places_count)
{
	struct ps_id_table grown = {
	    .memory = table->memory, .mask = places_count - 1, .places_count = places_count};
	grown.places = ps_memory_zalloc(table->memory, places_count * sizeof(*grown.places));
	if (!grown.places)
		return ps_fail(PS_ENOMEM, "no memory for an index table of %zu places", places_count);
	for (size_t i = 0; i < table->places_count; i++)
		if (table->places[i].id != PS_ID_NONE)
			put(&grown, table->places[i].key, table->places[i].id);
	grown.count = table->count;
	ps_id_table_done(table);
	*table = grown;
	return PS_OK;
}

int ps_id_table_reserve(struct ps_id_table *table, size_t more)
{
	size_t need = table->count + more, places = table->places_count > 0 ? table->places_count : 16;
	while (need > places / 4 * 3) /* fuller, and misses get long */
		places *= 2;
	return places == table->places_count ? PS_OK : rehash(table, places);
}

void ps_id_table_add(struct ps_id_table *table, uint64_t key, ps_id id)
{
	assert(id != PS_ID_NONE && table->count < table->places_count);
	put(table, key, id);
	table->count++;
}

static bool find(const struct ps_id_table *table, uint64_t key, ps_id id, size_t *found)
{
	if (table->count == 0)
		return false;
	for (size_t at = place_of(table, key); table->places[at].id != PS_ID_NONE;
	     at = (at + 1) & table->mask) {
		if (table->places[at].key == key && table->places[at].id == id) {
			*found = at;
			return true;
		}
	}
	return false;
}

bool ps_id_table_has(const struct ps_id_table *table, uint64_t key, ps_id id)
{
	size_t at;
	return find(table, key, id, &at);
}

/* Closes the gap: no mark of what was deleted stays behind. */
static void take_out(struct ps_id_table *table, size_t gap)
{
	table->count--;
	for (size_t at = (gap + 1) & table->mask; table->places[at].id != PS_ID_NONE;
	     at = (at + 1) & table->mask) {
		size_t home = place_of(table, table->places[at].key);
		if (((at - home) & table->mask) < ((at - gap) & table->mask))
			continue; /* its home lies behind the gap */
		table->places[gap] = table->places[at];
		gap = at;
	}
	table->places[gap] = (struct ps_id_place){0};
}

bool ps_id_table_remove(struct ps_id_table *table, uint64_t key, ps_id id)
{
	size_t at;
	if (!find(table, key, id, &at))
		return false;
	take_out(table, at);
	return true;
}

ps_id ps_id_table_next(const struct ps_id_table *table, uint64_t key, size_t *step)
{
	if (table->count == 0)
		return PS_ID_NONE;
	for (;;) {
		const struct ps_id_place *place =
		    &table->places[(place_of(table, key) + *step) & table->mask];
		if (place->id == PS_ID_NONE)
			return PS_ID_NONE;
		(*step)++;
		if (place->key == key)
			return place->id;
	}
}

ps_id ps_id_table_pop(struct ps_id_table *table)
{
	if (table->count == 0)
		return PS_ID_NONE;
	while (table->places[table->cursor & table->mask].id == PS_ID_NONE)
		table->cursor++;
	ps_id id = table->places[table->cursor & table->mask].id;
	take_out(table, table->cursor & table->mask);
	return id;
}
