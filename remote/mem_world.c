/* Worlds, and what whoever runs a network can do to it. */
#include "remote/mem_world.h"

#include <assert.h>
#include <stdlib.h>

#include "base/fail.h"

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static struct ps_mem_world *worlds;

/* ---- the registry ---- */

static struct ps_mem_world *world_new(const char *name)
{
	struct ps_mem_world *w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	ps_memory_init(&w->memory, NULL);
	w->name = ps_memory_alloc(&w->memory, strlen(name) + 1);
	if (!w->name) {
		ps_memory_done(&w->memory);
		free(w);
		return NULL;
	}
	strcpy(w->name, name);
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->applied, NULL);
	for (unsigned view = 0; view < PS_MEM_VIEWS; view++) {
		mem_table_init(&w->tables[view], &w->memory);
		mem_table_init(&w->alone[view], &w->memory);
	}
	w->seed = 1;
	return w;
}

static void world_free(struct ps_mem_world *w)
{
	while (w->late) {
		struct mem_late *late = w->late;
		w->late = late->next;
		mem_late_free(w, late);
	}
	for (unsigned view = 0; view < PS_MEM_VIEWS; view++) {
		mem_table_done(&w->tables[view]);
		mem_table_done(&w->alone[view]);
	}
	ps_memory_free(&w->memory, w->rules, w->rule_room * sizeof(*w->rules));
	ps_memory_free(&w->memory, w->name, strlen(w->name) + 1);
	pthread_cond_destroy(&w->applied);
	pthread_mutex_destroy(&w->lock);
	ps_memory_done(&w->memory);
	free(w);
}

static struct ps_mem_world **find_world(const char *name)
{
	struct ps_mem_world **at = &worlds;
	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

int mem_world_open(const char *name, struct ps_mem_world **world)
{
	pthread_mutex_lock(&registry_lock);
	struct ps_mem_world **at = find_world(name);
	if (!*at)
		*at = world_new(name);
	struct ps_mem_world *w = *at;
	if (w)
		w->references++;
	pthread_mutex_unlock(&registry_lock);
	if (!w)
		return ps_fail(PS_ENOMEM, "mem:%s: no memory for the network", name);
	*world = w;
	return PS_OK;
}

void mem_world_close(struct ps_mem_world *world)
{
	pthread_mutex_lock(&registry_lock);
	world->references--;
	pthread_mutex_unlock(&registry_lock);
}

int ps_mem_forget(const char *name)
{
	int err = PS_OK;
	pthread_mutex_lock(&registry_lock);
	struct ps_mem_world **at = find_world(name), *w = *at;
	if (!w) {
		err = ps_fail(PS_ENOTFOUND, "mem:%s: no such network", name);
	} else if (w->references) {
		err = ps_fail(PS_EBUSY, "mem:%s: is open", name);
	} else {
		*at = w->next;
		world_free(w);
	}
	pthread_mutex_unlock(&registry_lock);
	return err;
}

/* ---- records ---- */

static struct mem_table *table_of(struct ps_mem_world *w, unsigned view)
{
	return &w->tables[w->table_of[view]];
}

struct mem_record *mem_world_find(const struct ps_mem_world *w, unsigned view, const struct ps_pad_name *name)
{
	struct mem_record *record = mem_table_find(&w->alone[view], name);
	return record ? record : mem_table_find(&w->tables[w->table_of[view]], name);
}

int mem_world_put(struct ps_mem_world *w, unsigned view, const struct ps_pad_name *name,
                  const struct mem_record *record)
{
	struct mem_table *table = mem_table_find(&w->alone[view], name) ? &w->alone[view] : table_of(w, view);
	if (!record)
		return mem_table_set(table, name, NULL, w->past);
	/* A record has one place in one past. */
	struct mem_record *copy = mem_record_new(&w->memory, &record->identity, record->bytes, record->len);
	if (!copy)
		return ps_fail(PS_ENOMEM, "mem:%s: no memory for a record", w->name);
	copy->version = ++w->versions;
	int err = mem_table_set(table, name, copy, w->past);
	mem_record_release(copy);
	return err;
}

/* ---- settings ---- */

void ps_mem_set_seed(ps_mem_world *world, uint64_t seed)
{
	pthread_mutex_lock(&world->lock);
	world->seed = seed;
	pthread_mutex_unlock(&world->lock);
}

void ps_mem_set_largest(ps_mem_world *world, uint64_t bytes)
{
	pthread_mutex_lock(&world->lock);
	world->largest = bytes;
	pthread_mutex_unlock(&world->lock);
}

void ps_mem_keep_past(ps_mem_world *world, unsigned versions)
{
	pthread_mutex_lock(&world->lock);
	world->past = versions;
	pthread_mutex_unlock(&world->lock);
}

size_t ps_mem_deliver(ps_mem_world *world)
{
	pthread_mutex_lock(&world->lock);
	size_t count = mem_deliver_locked(world, true);
	pthread_mutex_unlock(&world->lock);
	return count;
}

void ps_mem_figures(ps_mem_world *world, struct ps_mem_figures *figures, bool clear)
{
	pthread_mutex_lock(&world->lock);
	*figures = world->figures;
	if (clear)
		world->figures = (struct ps_mem_figures){0};
	pthread_mutex_unlock(&world->lock);
}

/* ---- views and the past ---- */

/* The table becomes a copy of another, which may be itself. */
static int replace_table(struct mem_table *table, const struct mem_table *from)
{
	struct mem_table copy;
	int err = mem_table_copy(&copy, from);
	if (err != PS_OK)
		return err;
	mem_table_done(table);
	*table = copy;
	return PS_OK;
}

/* One that no other view shows; there are as many as views. */
static unsigned own_table(const struct ps_mem_world *w, unsigned view)
{
	unsigned shown_by[PS_MEM_VIEWS] = {0}, table = w->table_of[view];
	for (unsigned other = 0; other < PS_MEM_VIEWS; other++)
		shown_by[w->table_of[other]] += other != view;
	for (unsigned i = 0; i < PS_MEM_VIEWS && shown_by[table]; i++)
		table = i;
	return table;
}

int ps_mem_fork(ps_mem_world *world, unsigned from, unsigned to)
{
	assert(from < PS_MEM_VIEWS && to < PS_MEM_VIEWS && from != to);
	pthread_mutex_lock(&world->lock);
	unsigned own = own_table(world, to);
	int err = replace_table(&world->tables[own], table_of(world, from));
	if (err == PS_OK)
		world->table_of[to] = own;
	pthread_mutex_unlock(&world->lock);
	return err;
}

int ps_mem_snapshot_take(ps_mem_world *world, unsigned view, ps_mem_snapshot **snapshot)
{
	struct ps_mem_snapshot *s = ps_memory_zalloc(&world->memory, sizeof(*s));
	if (!s)
		return ps_fail(PS_ENOMEM, "mem:%s: no memory for a snapshot", world->name);
	pthread_mutex_lock(&world->lock);
	s->world = world;
	int err = mem_table_copy(&s->table, table_of(world, view));
	pthread_mutex_unlock(&world->lock);
	if (err == PS_OK)
		*snapshot = s;
	else
		ps_memory_free(&world->memory, s, sizeof(*s));
	return err;
}

void ps_mem_snapshot_free(ps_mem_snapshot *snapshot)
{
	if (!snapshot)
		return;
	struct ps_mem_world *world = snapshot->world;
	pthread_mutex_lock(&world->lock);
	mem_table_done(&snapshot->table);
	pthread_mutex_unlock(&world->lock);
	ps_memory_free(&world->memory, snapshot, sizeof(*snapshot));
}

int ps_mem_restore(ps_mem_world *world, unsigned view, const ps_mem_snapshot *snapshot)
{
	pthread_mutex_lock(&world->lock);
	int err = replace_table(table_of(world, view), &snapshot->table);
	if (err == PS_OK)
		mem_table_done(&world->alone[view]);
	pthread_mutex_unlock(&world->lock);
	return err;
}

int ps_mem_restore_name(ps_mem_world *world, unsigned view, const struct ps_pad_name *name,
                        const ps_mem_snapshot *snapshot)
{
	pthread_mutex_lock(&world->lock);
	int err = mem_world_put(world, view, name, mem_table_find(&snapshot->table, name));
	pthread_mutex_unlock(&world->lock);
	return err;
}

int ps_mem_roll_back(ps_mem_world *world, unsigned view, const struct ps_pad_name *name, uint64_t versions)
{
	pthread_mutex_lock(&world->lock);
	struct mem_record *old = mem_record_hold(mem_table_past(table_of(world, view), name, versions));
	int err = old ? mem_world_put(world, view, name, old)
	              : ps_fail(PS_ENOTFOUND, "mem:%s: no version of that name is kept", world->name);
	mem_record_release(old);
	pthread_mutex_unlock(&world->lock);
	return err;
}

/* ---- hands on the records ---- */

int ps_mem_set(ps_mem_world *world, unsigned view, const struct ps_pad_name *name,
               const struct ps_pad_identity *identity, const void *bytes, size_t len)
{
	struct mem_record *record = bytes ? mem_record_new(&world->memory, identity, bytes, len) : NULL;
	if (bytes && !record)
		return ps_fail(PS_ENOMEM, "mem:%s: no memory for a record", world->name);
	pthread_mutex_lock(&world->lock);
	int err = mem_world_put(world, view, name, record);
	pthread_mutex_unlock(&world->lock);
	mem_record_release(record);
	return err;
}

int ps_mem_look(ps_mem_world *world, unsigned view, const struct ps_pad_name *name,
                struct ps_pad_identity *identity, void *bytes, size_t capacity, size_t *len)
{
	pthread_mutex_lock(&world->lock);
	const struct mem_record *record = mem_world_find(world, view, name);
	int err = record ? PS_OK : ps_fail(PS_ENOTFOUND, "mem:%s: nothing is there", world->name);
	if (record) {
		*identity = record->identity;
		*len = record->len;
		if (bytes && record->len && capacity)
			memcpy(bytes, record->bytes, record->len < capacity ? record->len : capacity);
	}
	pthread_mutex_unlock(&world->lock);
	return err;
}

size_t ps_mem_names(ps_mem_world *world, unsigned view, struct ps_pad_name *names, size_t capacity)
{
	size_t count = 0;
	pthread_mutex_lock(&world->lock);
	const struct mem_table *table = table_of(world, view);
	for (size_t i = 0; i < table->count; i++) {
		if (!table->entries[i].record)
			continue;
		if (count < capacity)
			names[count] = table->entries[i].name;
		count++;
	}
	pthread_mutex_unlock(&world->lock);
	return count;
}
