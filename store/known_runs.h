/* Large objects that were in memory whole, and in one piece, when they were last viewed: a view of one that
 * is so still is one pin.
 *
 * What is noted says at which version of the entry's leaf, and after how many removals of frames, all chunks
 * were in memory and sound. While neither has moved on they still are. */
#ifndef PS_KNOWN_RUNS_H
#define PS_KNOWN_RUNS_H

#include "store/resident.h"

enum { KNOWN_RUNS = 1024 };

/* Fields belong together while the sequence is even and the same. */
struct known_run {
	_Atomic(uint64_t) sequence, id, version, removals, place, size;
	uint64_t unused[2];
};

struct run {
	const uint8_t *data;
	uint64_t size;
	_Atomic(uint64_t) *slot;
};

/* All chunks of the object as e has it lie from `place` on, and are pinned; `removals`: pool_removals before that. */
void known_runs_note(struct store *s, ps_id id, const struct entry *e, uint64_t place, uint64_t removals);
void known_runs_done(struct store *s);

static inline struct known_run *known_run_of(struct known_run *runs, ps_id id)
{
	return &runs[id_slot(id) * 0x9e3779b97f4a7c15U >> 54];
}
static_assert(KNOWN_RUNS == 1 << 10, "the hash has ten bits");

/* What was noted of the object, and may not be so any more. */
static inline bool known_run_read(struct store *s, ps_id id, struct resident *r, uint64_t *removals)
{
	struct known_run *runs = atomic_load_explicit(&s->known_runs, memory_order_acquire);
	if (!runs)
		return false;
	struct known_run *k = known_run_of(runs, id);
	uint64_t sequence = atomic_load_explicit(&k->sequence, memory_order_acquire);
	bool of_id = atomic_load_explicit(&k->id, memory_order_relaxed) == id;
	r->version = atomic_load_explicit(&k->version, memory_order_relaxed);
	r->place = atomic_load_explicit(&k->place, memory_order_relaxed);
	r->len = atomic_load_explicit(&k->size, memory_order_relaxed);
	*removals = atomic_load_explicit(&k->removals, memory_order_relaxed);
	atomic_thread_fence(memory_order_acquire);
	return of_id && !(sequence & 1) &&
	       atomic_load_explicit(&k->sequence, memory_order_relaxed) == sequence;
}

/* True: run->size bytes at run->data stay as they are until pin_slot_release(run->slot). */
static inline bool known_run_pin(struct store *s, ps_id id, struct run *run)
{
	const uint64_t marks = LEAF_RESIDENT | LEAF_USED | LEAF_TOUCHED;
	const _Atomic(uint64_t) *entry;
	struct resident r;
	uint64_t removals;
	if (atomic_load_explicit(&s->batch_sequence, memory_order_acquire) & 1 ||
	    !known_run_read(s, id, &r, &removals) || !resident_leaf(&s->table, id_slot(id), &r.leaf, &entry))
		return false;
	_Atomic(uint64_t) *slot =
	    pin_slot_take(&s->pool, r.place, (uint32_t)((r.len - 1) / CHUNK * (CHUNK / PAGE)));
	if (!slot)
		return false;
	/* Who removes a frame, or frees it, has let one of these move on before he looks through the slots.
	 */
	uint64_t state = atomic_load_explicit(&r.leaf->state, memory_order_acquire);
	if (((state ^ r.version) & LEAF_VERSION) == 0 && (state & marks) == marks &&
	    pool_removals(&s->pool) == removals) {
		*run = (struct run){pool_address(&s->pool, r.place), r.len, slot};
		return true;
	}
	pin_slot_release(slot);
	return false;
}

#endif
