/* A small object that is in memory, pinned by its id: what nearly every read of a warm store is. Everything here is inline and
 * counted in instructions: a processor that waits for two cache misses a read overlaps as many reads as fit its window.
 *
 * Entry, pin, look again whether the entry is still the same: a place is not used anew while its frame is pinned, and an entry that
 * is the same after the pin says that the place was not given up before it. Whatever is not plainly so is left to the slow path. */
#ifndef PS_RESIDENT_H
#define PS_RESIDENT_H

#include "store/base_internal.h"

struct resident {
	const uint8_t *data;
	uint64_t len;
	uint64_t place, frame;
	_Atomic(uint64_t) *state;
};

static inline void resident_unpin(const struct resident *r)
{
	atomic_fetch_sub_explicit(r->state, 1, memory_order_release);
}

/* The leaf of a slot and its entry's four words, where they are in memory. */
static inline __attribute__((always_inline)) bool resident_leaf(const struct table *t, uint64_t slot, struct table_leaf **leaf, const _Atomic(uint64_t) **entry)
{
	if (slot >= atomic_load_explicit(&t->slots, memory_order_acquire))
		return false;
	struct table_node *g = table_known_group(t, slot / GROUP_SLOTS);
	if (!g)
		return false;
	*leaf = &g->leaf[slot / FANOUT % FANOUT];
	*entry = g->entries + slot % GROUP_SLOTS * ENTRY_WORDS;
	return true;
}

/* Takes a pin if the frame is in memory and the object in it is known to be sound. */
static inline __attribute__((always_inline)) bool resident_take(struct pool *pool, struct resident *r)
{
	uint64_t old = atomic_load_explicit(r->state, memory_order_relaxed);
	do {
		if ((old & (PAGE_RESIDENT | PAGE_LOCKED)) != PAGE_RESIDENT)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(r->state, &old, (old + 1) | PAGE_USED, memory_order_acquire,
							memory_order_relaxed));
	if (old & PAGE_VERIFIED || pool_is_verified(pool, r->place))
		return true;
	resident_unpin(r);
	return false;
}

/* True: r->len bytes at r->data stay as they are until resident_unpin. */
static inline __attribute__((always_inline)) bool resident_pin(struct store *s, ps_id id, struct resident *r)
{
	struct table_leaf *leaf;
	const _Atomic(uint64_t) *entry;
	/* Nothing is read while a commit of several objects is half visible. */
	if (atomic_load_explicit(&s->batch_sequence, memory_order_acquire) & 1 || !resident_leaf(&s->table, id_slot(id), &leaf, &entry))
		return false;
	uint64_t before = atomic_load_explicit(&leaf->state, memory_order_acquire);
	struct entry e = {{atomic_load_explicit(&entry[0], memory_order_acquire), atomic_load_explicit(&entry[1], memory_order_acquire), 0,
			   atomic_load_explicit(&entry[3], memory_order_acquire)}};
	const uint64_t marks = LEAF_RESIDENT | LEAF_USED | LEAF_TOUCHED;
	if ((before & (marks | LEAF_SEQ)) != marks || entry_kind(&e) != ENTRY_DATA ||
	    entry_generation(&e) != id_generation(id))
		return false;
	r->len = entry_size(&e);
	r->place = entry_place(&e);
	r->frame = pool_frame(&s->pool, entry_class(&e), r->place);
	const struct pool_region *region = &s->pool.regions[r->place >> s->pool.region_shift];
	r->state = &region->states[(r->frame & s->pool.region_mask) / PAGE];
	r->data = region->frames + (r->place & s->pool.region_mask);
	/* On its way before the pin, which later loads wait for. */
	__builtin_prefetch(r->data);
	if (!resident_take(&s->pool, r))
		return false;
	if (((atomic_load_explicit(&leaf->state, memory_order_acquire) ^ before) & LEAF_VERSION) == 0)
		return true;
	resident_unpin(r);
	return false;
}

#endif
