/* A small object that is in memory, found by its id: what nearly every read of a warm store is. Everything
 * here is inline and counted in instructions: a processor that waits for two cache misses a read overlaps as
 * many reads as fit its window.
 *
 * A view pins: entry, pin, look again whether the entry is still the same. A place is not used anew while its
 * frame is pinned, and an entry that is the same after the pin says that the place was not given up before
 * it. The pin is a name in a slot of the thread (pin_slots.h), or counted in the frame's state.
 *
 * A copy does without (after the optimistic reads of vmcache, section 3.3 of what pool.c names): a pin and
 * its end are two locked instructions, and the processor begins nothing of the next read before the second is
 * through, so the misses of two reads never overlapped. Instead it looks afterwards whether anything can have
 * happened to the bytes: a place is given up only after its entry has changed, and a frame leaves under an
 * entry that stays only after pool.removals has moved on. In between a copy may read what is no object's,
 * zeros or another's bytes, but nothing outside of frames, since place and length were one entry's.
 *
 * Whatever is not plainly so is left to the slow path. */
#ifndef PS_RESIDENT_H
#define PS_RESIDENT_H

#include "store/base_internal.h"
#include "store/pin_slots.h"

/* A copy that takes long would often find that something has left meanwhile, and two locked instructions are
 * nothing to it. */
enum { UNPINNED_MOST = 4 * PAGE };

struct resident {
	const uint8_t *data;
	uint64_t len;
	uint64_t place, frame;
	_Atomic(uint64_t) *state;
	const struct table_leaf *leaf;
	uint64_t version; /* of the leaf, before the entry was read */
};

static inline void resident_unpin(const struct resident *r)
{
	atomic_fetch_sub_explicit(r->state, 1, memory_order_release);
}

/* The leaf of a slot and its entry's four words, where they are in memory. */
static inline __attribute__((always_inline)) bool resident_leaf(const struct table *t, uint64_t slot,
                                                                const struct table_leaf **leaf,
                                                                const _Atomic(uint64_t) **entry)
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

/* Where the object's bytes are if they are in memory. Before resident_unchanged has said so, place and length
 * need not belong together. */
static inline __attribute__((always_inline)) bool resident_find(struct store *s, ps_id id, struct resident *r)
{
	const _Atomic(uint64_t) *entry;
	/* Nothing is read while a commit of several objects is half visible. */
	if (atomic_load_explicit(&s->batch_sequence, memory_order_acquire) & 1 ||
	    !resident_leaf(&s->table, id_slot(id), &r->leaf, &entry))
		return false;
	r->version = atomic_load_explicit(&r->leaf->state, memory_order_acquire);
	struct entry e = {{atomic_load_explicit(&entry[0], memory_order_acquire),
	                   atomic_load_explicit(&entry[1], memory_order_acquire), 0,
	                   atomic_load_explicit(&entry[3], memory_order_acquire)}};
	const uint64_t marks = LEAF_RESIDENT | LEAF_USED | LEAF_TOUCHED;
	if ((r->version & (marks | LEAF_SEQ)) != marks || entry_kind(&e) != ENTRY_DATA ||
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
	return true;
}

static inline __attribute__((always_inline)) bool resident_unchanged(const struct resident *r)
{
	return ((atomic_load_explicit(&r->leaf->state, memory_order_acquire) ^ r->version) & LEAF_VERSION) ==
	       0;
}

static inline __attribute__((always_inline)) bool resident_is_sound(struct pool *pool,
                                                                    const struct resident *r, uint64_t state)
{
	return state & PAGE_VERIFIED || pool_is_verified(pool, r->place);
}

/* In memory at this moment, used since the eviction hand was here, sound, and what the entry names. */
static inline __attribute__((always_inline)) bool resident_is_there(struct pool *pool,
                                                                    const struct resident *r)
{
	const uint64_t marks = PAGE_RESIDENT | PAGE_USED;
	uint64_t state = atomic_load_explicit(r->state, memory_order_acquire);
	return (state & (marks | PAGE_LOCKED)) == marks && resident_is_sound(pool, r, state) &&
	       resident_unchanged(r);
}

/* Takes a pin if the frame is in memory and the object in it is known to be sound. */
static inline __attribute__((always_inline)) bool resident_take(struct pool *pool, const struct resident *r)
{
	uint64_t old = atomic_load_explicit(r->state, memory_order_relaxed);
	do {
		if ((old & (PAGE_RESIDENT | PAGE_LOCKED)) != PAGE_RESIDENT)
			return false;
	} while (!atomic_compare_exchange_weak_explicit(r->state, &old, (old + 1) | PAGE_USED,
	                                                memory_order_acquire, memory_order_relaxed));
	if (resident_is_sound(pool, r, old))
		return true;
	resident_unpin(r);
	return false;
}

/* True: r->len bytes at r->data stay as they are until resident_unpin. */
static inline __attribute__((always_inline)) bool resident_pin(struct store *s, ps_id id, struct resident *r)
{
	if (!resident_find(s, id, r) || !resident_take(&s->pool, r))
		return false;
	if (resident_unchanged(r))
		return true;
	resident_unpin(r);
	return false;
}

/* A pin of what resident_find has found: r->len bytes at r->data stay as they are until pin_slot_release.
 * NULL: there is none to be had without counting. */
static inline __attribute__((always_inline)) _Atomic(uint64_t) *resident_name(struct pool *pool,
                                                                              const struct resident *r)
{
	_Atomic(uint64_t) *slot = pin_slot_take(pool, r->frame, 0);
	if (!slot || resident_is_there(pool, r))
		return slot;
	pin_slot_release(slot);
	return NULL;
}

/* len bytes from `off` on of what resident_find has found, which has them. False: nothing is known of what is
 * in buf. */
static inline __attribute__((always_inline)) bool resident_copy(struct pool *pool, const struct resident *r,
                                                                uint64_t off, void *buf, size_t len)
{
	/* The thread sanitizer takes a copy that is thrown away for one that counts. */
	if (PS_THREAD_SANITIZER || len > UNPINNED_MOST)
		return false;
	uint64_t removals = pool_removals(pool);
	if (!resident_is_there(pool, r))
		return false;
	memcpy(buf, r->data + off, len);
	/* The looks come after the bytes. */
	atomic_thread_fence(memory_order_acquire);
	return atomic_load_explicit(&pool->removals, memory_order_relaxed) == removals &&
	       resident_unchanged(r);
}

#endif
