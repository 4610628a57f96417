/* The memory store's table of slots, and commits: all changes under one mutex. */
#include <stdlib.h>

#include "base/fail.h"
#include "store/memory_internal.h"

enum { FIRST_SLOTS = 64 };

int memory_missing(ps_id id)
{
	return ps_fail(PS_ENOTFOUND, "memory store: no object %llx", (unsigned long long)id);
}

static int slots_grow_locked(struct memory_store *m)
{
	if (m->slot_count < m->slot_capacity)
		return PS_OK;
	size_t old = m->slot_capacity, larger = old ? 2 * old : FIRST_SLOTS;
	struct memory_slot *slots =
	    ps_memory_resize(&m->pool.memory, m->slots, old * sizeof(*slots), larger * sizeof(*slots));
	if (!slots)
		return ps_fail(PS_ENOMEM, "memory store: no memory for %zu slots", larger);
	m->slots = slots;
	m->slot_capacity = larger;
	return PS_OK;
}

int memory_reserve_locked(struct memory_store *m, ps_id *id)
{
	uint64_t number = m->first_free;
	if (number) {
		m->first_free = m->slots[number].next_free;
	} else {
		int err = slots_grow_locked(m);
		if (err)
			return err;
		number = m->slot_count;
		if (number >> (64 - MEMORY_SLOT_SHIFT))
			return ps_fail(PS_EFULL, "memory store: all slots are in use");
		m->slots[m->slot_count++] = (struct memory_slot){0};
	}
	struct memory_slot *slot = &m->slots[number];
	slot->state = MEMORY_RESERVED;
	slot->generation++;
	*id = number << MEMORY_SLOT_SHIFT | slot->generation;
	return PS_OK;
}

static void slot_free_locked(struct memory_store *m, uint64_t number)
{
	struct memory_slot *slot = &m->slots[number];
	slot->contents = NULL;
	if (slot->generation == MEMORY_GENERATION_MAX) {
		slot->state = MEMORY_RETIRED;
		return;
	}
	slot->state = MEMORY_FREE;
	slot->next_free = m->first_free;
	m->first_free = number;
}

void memory_unreserve_locked(struct memory_store *m, ps_id id)
{
	slot_free_locked(m, id >> MEMORY_SLOT_SHIFT);
}

static struct memory_slot *slot_in_state(struct memory_store *m, ps_id id, enum memory_slot_state state)
{
	uint64_t number = id >> MEMORY_SLOT_SHIFT;
	if (number >= m->slot_count)
		return NULL;
	struct memory_slot *slot = &m->slots[number];
	bool same = slot->state == state && slot->generation == (id & MEMORY_GENERATION_MAX);
	return same ? slot : NULL;
}

struct memory_slot *memory_find_locked(struct memory_store *m, ps_id id)
{
	return slot_in_state(m, id, MEMORY_LIVE);
}

int memory_hold(struct memory_store *m, ps_id id, struct contents **out)
{
	pthread_mutex_lock(&m->lock);
	struct memory_slot *slot = memory_find_locked(m, id);
	if (slot)
		*out = contents_hold(slot->contents);
	pthread_mutex_unlock(&m->lock);
	return slot ? PS_OK : memory_missing(id);
}

static int compare_changes(const void *left, const void *right)
{
	const struct memory_change *a = left, *b = right;
	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	return (a->order > b->order) - (a->order < b->order);
}

/* What `under` is with the change's bytes laid over it. */
static int overlay(struct memory_store *m, const struct contents *under, const struct memory_change *change,
                   struct contents **out)
{
	size_t len = (size_t)change->contents->size;
	void *bytes = ps_memory_alloc(&m->pool.memory, len);
	if (!bytes)
		return ps_fail(PS_ENOMEM, "memory store: no memory for %zu bytes of a batch", len);
	contents_read(change->contents, 0, bytes, len);
	int err = contents_write(&m->pool, under, change->off, bytes, len, out);
	ps_memory_free(&m->pool.memory, bytes, len);
	return err;
}

/* Folds the changes of one id into the result of the last of them. */
static int stage_object_locked(struct memory_store *m, struct memory_change *changes, size_t n)
{
	ps_id id = changes[0].id;
	bool created = changes[0].kind == MEMORY_CREATE;
	struct memory_slot *slot = slot_in_state(m, id, created ? MEMORY_RESERVED : MEMORY_LIVE);
	if (!slot)
		return memory_missing(id);
	struct contents *now = created ? NULL : contents_hold(slot->contents);
	int err = PS_OK;
	for (size_t i = 0; i < n && !err; i++) {
		struct contents *next = NULL;
		if (changes[i].kind == MEMORY_WRITE)
			err = now ? overlay(m, now, &changes[i], &next) : memory_missing(id);
		else if (changes[i].kind != MEMORY_DELETE)
			next = contents_hold(changes[i].contents);
		contents_release(&m->pool, now);
		now = next;
	}
	changes[n - 1].result = now;
	return err;
}

static size_t changes_of_object(const struct memory_change *changes, size_t n)
{
	size_t count = 1;
	while (count < n && changes[count].id == changes[0].id)
		count++;
	return count;
}

/* Cannot fail: deleting needs no memory. Swaps the old contents into `result`, for release outside the lock.
 */
static void install_locked(struct memory_store *m, struct memory_change *change)
{
	uint64_t number = change->id >> MEMORY_SLOT_SHIFT;
	struct memory_slot *slot = &m->slots[number];
	struct contents *old = slot->contents;
	if (old) {
		m->objects--;
		m->live_bytes -= old->size;
	}
	if (change->result) {
		slot->state = MEMORY_LIVE;
		slot->contents = change->result;
		m->objects++;
		m->live_bytes += slot->contents->size;
	} else {
		slot_free_locked(m, number);
	}
	change->result = old;
}

int memory_apply(struct memory_store *m, struct memory_change *changes, size_t n)
{
	int err = PS_OK;
	for (size_t i = 0; i < n; i++)
		changes[i].result = NULL;
	if (n > 1)
		qsort(changes, n, sizeof(*changes), compare_changes);
	pthread_mutex_lock(&m->lock);
	for (size_t i = 0, count; i < n && !err; i += count) {
		count = changes_of_object(changes + i, n - i);
		err = stage_object_locked(m, changes + i, count);
	}
	for (size_t i = 0, count; i < n && !err; i += count) {
		count = changes_of_object(changes + i, n - i);
		install_locked(m, &changes[i + count - 1]);
	}
	if (!err)
		m->commits++;
	pthread_mutex_unlock(&m->lock);
	for (size_t i = 0; i < n; i++)
		contents_release(&m->pool, changes[i].result);
	return err;
}
