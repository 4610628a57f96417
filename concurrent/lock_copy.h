/* Copying calls take their shared lock in a slot of their thread's, without writing to a line that others
 * read.
 *
 * A call publishes its id in its thread's slot, then looks at the bucket's count of writers; at its end it
 * clears the slot, and looks again. A writer counts itself, then looks through the slots. Of two such looks
 * one sees the other side: either the call sees the writer, and passes the latch before it goes on (at its
 * beginning to wait, at its end to take out the hold that the writer may have put in for it); or the writer
 * sees the call. The count does not come to nothing before the last hold that was put in is out: so a call
 * that a writer saw sees that writer's count or a later one, and none of these is 0.
 *
 * FENCED: all four accesses are sequentially consistent, and that is why.
 * UNFENCED: the call's store may still be on its way when it looks. Before a writer relies on FENCED again it
 * interrupts every thread: a call that had loaded UNFENCED by then has its store out, since the store comes
 * before that load; one that had not loads FENCING. So the call loads the state between its store and its
 * look. From FENCED to UNFENCED: a writer that is counted loads the state; if that was still FENCED, a call
 * that loads UNFENCED does so later, and sees the writer counted. If it was not, the writer starts again.
 *
 * What nearly every call does is inline, and counted in instructions: a processor overlaps as many calls as
 * fit its window. */
#ifndef PS_LOCK_COPY_H
#define PS_LOCK_COPY_H

#include "concurrent/locks.h"

/* Whether copying calls order their publication before their look at the writers with an instruction of their
 * own (FENCED). It is the costliest part of such a call: it keeps the processor from beginning the next one.
 * While little is written they leave it to the next writer (UNFENCED), which has to interrupt all threads
 * first (FENCING). */
enum fencing { UNFENCED = 0, FENCING = 1, FENCED = 2, FENCING_STATES = 3 /* mask */, FENCING_CHANGE = 4 };

/* One copying call's shared lock. */
struct lock_copy {
	struct lock_slot *slot;     /* NULL: `hold` has it */
	struct lock_bucket *bucket; /* of the id */
	struct lock_hold hold;
};

/* locks.c: the id again, with a fence. */
void locks_fence_call(struct locks *locks, struct lock_slot *slot, ps_id id);
/* locks.c: where a writer is there, or the thread's slot is not to be had. */
PS_CHECKED int locks_copy_begin_slowly(struct locks *locks, struct lock_copy *copy, ps_id id,
                                       struct lock_wait *wait);
void locks_copy_end_slowly(struct locks *locks, struct lock_copy *copy);

static inline bool locks_writers_seen(struct locks *locks, struct lock_slot *slot, struct lock_bucket *bucket,
                                      ps_id id)
{
	sync_step();
	atomic_store_explicit(&slot->id, id, memory_order_release);
	/* The compiler keeps the order; the processor need not. */
	atomic_signal_fence(memory_order_seq_cst);
	sync_step();
	if (atomic_load(&locks->fencing) % FENCING_CHANGE != UNFENCED)
		locks_fence_call(locks, slot, id);
	sync_step();
	return __builtin_expect(sync_latch_count(&bucket->latch) != 0, 0);
}

static inline void locks_copy_end(struct locks *locks, struct lock_copy *copy)
{
	if (__builtin_expect(!copy->slot, 0) ||
	    locks_writers_seen(locks, copy->slot, copy->bucket, PS_ID_NONE))
		locks_copy_end_slowly(locks, copy);
}

/* The plain case: the thread's own slot is free (it is in use where an event function calls the store from
 * within a call), and nobody writes. False: nothing is locked. */
static inline bool locks_copy_try(struct locks *locks, struct lock_copy *copy, ps_id id)
{
	const struct thread_self *self = thread_self();
	struct lock_slot *slot = locks_slot(locks, self);
	if (__builtin_expect(atomic_load_explicit(&slot->thread, memory_order_relaxed) != self->number, 0) ||
	    __builtin_expect(atomic_load_explicit(&slot->id, memory_order_relaxed) != PS_ID_NONE, 0))
		return false;
	copy->slot = slot;
	copy->bucket = locks_bucket(locks, id);
	/* On its way beside the slot's line, which a fence waits for. */
	__builtin_prefetch(copy->bucket);
	if (locks_writers_seen(locks, slot, copy->bucket, id)) {
		locks_copy_end(locks, copy);
		return false;
	}
	locks_count(self, &slot->shared, 1);
	return true;
}

/* As locks_acquire in mode LOCK_COPY, for the thread that also ends it. */
PS_CHECKED static inline int locks_copy_begin(struct locks *locks, struct lock_copy *copy, ps_id id,
                                              struct lock_wait *wait)
{
	return __builtin_expect(locks_copy_try(locks, copy, id), 1)
	           ? PS_OK
	           : locks_copy_begin_slowly(locks, copy, id, wait);
}

#endif
