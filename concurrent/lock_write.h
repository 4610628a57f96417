/* A writer's lock where nobody else has to do with the bucket: its latch is taken once to put the hold in and
 * once to take it out, each time in the step that counts the writer, and no list is walked. Who finds
 * anything else leaves all as it was, for the lock table to go the long way.
 *
 * Nobody is passed by that: where none holds a lock of the bucket, none waits for one either. */
#ifndef PS_LOCK_WRITE_H
#define PS_LOCK_WRITE_H

#include "base/tokens.h"
#include "concurrent/lock_copy.h"

/* Whether a copying call is at the id. The writer is counted, and calls are fenced. */
static inline bool locks_copied(struct locks *locks, ps_id id)
{
	unsigned used = atomic_load(&locks->slots_used);
	for (unsigned i = 0; i < used; i++) {
		sync_step();
		if (__builtin_expect(atomic_load(&locks->slots[i].id) == id, 0))
			return true;
	}
	return false;
}

/* locks_acquire in mode LOCK_EXCLUSIVE. False: nothing is locked. */
static inline bool locks_write_try(struct locks *locks, struct lock_hold *hold, ps_id id)
{
	const struct thread_self *self = thread_self();
	struct lock_bucket *bucket = locks_bucket(locks, id);
	ps_tokens_assert_none();
	if (__builtin_expect(!sync_latch_change(&bucket->latch, 0, 1), 0))
		return false;
	sync_step();
	if (__builtin_expect(atomic_load(&locks->fencing) % FENCING_CHANGE != FENCED, 0) ||
	    __builtin_expect(bucket->holders.first != NULL, 0) ||
	    __builtin_expect(locks_copied(locks, id), 0)) {
		sync_latch_drop_at(&bucket->latch, 0);
		return false;
	}
	hold->prev = hold->next = NULL;
	hold->id = id;
	hold->thread = self->number;
	hold->mode = LOCK_EXCLUSIVE;
	hold->granted = true;
	bucket->holders.first = bucket->holders.last = hold;
	sync_latch_drop_at(&bucket->latch, 1);
	locks_count(self, &locks_slot(locks, self)->writes, 1);
	return true;
}

/* locks_release of an exclusive hold. False: it is still held. */
static inline bool locks_write_end_try(struct locks *locks, struct lock_hold *hold)
{
	struct lock_bucket *bucket = locks_bucket(locks, hold->id);
	if (__builtin_expect(!sync_latch_change(&bucket->latch, 1, 0), 0))
		return false;
	/* The only writer; readers are not counted, of another id or waiting for this one. */
	if (__builtin_expect(bucket->holders.last != hold || hold->prev || bucket->waiters.first, 0)) {
		sync_latch_drop_at(&bucket->latch, 1);
		return false;
	}
	bucket->holders.first = bucket->holders.last = NULL;
	sync_latch_drop_at(&bucket->latch, 0);
	return true;
}

#endif
