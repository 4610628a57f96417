/* The lock table: a reader-writer lock for every id that is asked for, kept as nothing but the holds on it.
 *
 * A hold is memory of the caller's (a stack frame, a session): the table allocates nothing after locks_init.
 * Waiting is first-come per id, so neither readers nor writers starve; every wait ends by its deadline. A
 * hold may be released by another thread than the one that acquired it. README.md has the invariants. */
#ifndef PS_CONCURRENT_LOCKS_H
#define PS_CONCURRENT_LOCKS_H

#include <padstone/storer.h>

#include "base/memory.h"
#include "base/sync.h"
#include "base/thread_index.h"

enum { CACHE_LINE = 64, LOCK_BUCKETS_DEFAULT = 4096 };

enum lock_mode {
	LOCK_SHARED,
	/* Shared for the length of one call that copies bytes: it may pass its own thread's exclusive hold,
	 * since a writer's bytes are not seen before its finish. */
	LOCK_COPY,
	LOCK_EXCLUSIVE,
};

struct lock_hold {
	struct lock_hold *prev, *next;
	ps_id id;
	uint64_t thread; /* number of the one that asked for it */
	enum lock_mode mode;
	bool granted; /* in the list of holders, not of waiters; guarded by the bucket's latch */
	struct lock_hold *wake_next;
	struct sync_place place;
};

/* How long a call may wait, over all locks that it takes. */
struct lock_wait {
	uint32_t timeout_ms;  /* 0: not at all, PS_EBUSY */
	uint64_t deadline_ns; /* 0: it has not waited yet */
};

struct lock_list {
	struct lock_hold *first, *last;
};

struct lock_bucket {
	/* Guards the rest, and counts what copying calls look for: exclusive holds, held or waited for, and
	 * the slots' holds among the holders. */
	_Alignas(CACHE_LINE) struct sync_latch latch;
	struct lock_list holders, waiters;
};

/* A thread's own place for one copying call: taken and left without writing to a line that another thread
 * reads often. */
struct lock_slot {
	_Alignas(CACHE_LINE) _Atomic(ps_id) id; /* that a call is copying from; PS_ID_NONE: none */
	_Atomic(uint64_t) thread;               /* number of the one that uses the slot */
	/* Of that thread: counters (`shared` and `writes`: locks that it was given), and when it last looked
	 * at how much is written. */
	_Atomic(uint64_t) shared, writes, waits, wait_ns;
	uint64_t fenced_calls, seen_writes;
	_Alignas(CACHE_LINE) _Atomic(uint64_t) timeouts, refusals, deadlocks;
	/* Stands for the call once a writer waits for it; guarded by the latch of the id's bucket. */
	struct lock_hold hold;
};

struct locks {
	struct ps_memory *memory;
	struct lock_bucket *buckets;
	size_t mask;                  /* buckets - 1 */
	struct lock_slot *slots;      /* THREAD_INDEXES, and one for the counters of all other threads */
	_Atomic(unsigned) slots_used; /* slots below it may be in use */
	bool can_unfence;             /* the kernel has membarrier() */
	_Atomic(uint64_t) fencing;    /* number of changes << 2 | enum fencing (lock_copy.h) */
};

struct lock_figures {
	uint64_t acquired, waits, wait_ns, timeouts, refusals, deadlocks;
};

static inline struct lock_bucket *locks_bucket(const struct locks *locks, ps_id id)
{
	/* Slots of ids count up from bit 24: the multiplication spreads them over the upper half. */
	return &locks->buckets[((id * 0x9E3779B97F4A7C15U) >> 32) & locks->mask];
}

/* The thread's own slot; the last one, shared, for threads without an index. */
static inline struct lock_slot *locks_slot(const struct locks *locks, const struct thread_self *self)
{
	return &locks->slots[self->index];
}

/* A counter of the thread's slot: nobody else writes those of a thread that has an index. */
static inline void locks_count(const struct thread_self *self, _Atomic(uint64_t) *counter, uint64_t n)
{
	if (__builtin_expect(self->index != THREAD_NO_INDEX, 1))
		atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
		                      memory_order_relaxed);
	else
		atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* buckets: a power of two, 0 for the default. PS_ENOMEM. */
PS_CHECKED int locks_init(struct locks *locks, struct ps_memory *memory, size_t buckets);
/* Nothing is held any more. */
void locks_done(struct locks *locks);

/* The lock is the hold's on PS_OK. PS_EDEADLK at once where the thread would wait for a hold of its own,
 * PS_EBUSY where it would wait at all and may not, PS_ETIMEDOUT. */
PS_CHECKED int locks_acquire(struct locks *locks, struct lock_hold *hold, ps_id id, enum lock_mode mode,
                             struct lock_wait *wait);
void locks_release(struct locks *locks, struct lock_hold *hold);
/* The same, where lock_write.h has been tried already. */
PS_CHECKED int locks_acquire_slowly(struct locks *locks, struct lock_hold *hold, ps_id id,
                                    enum lock_mode mode, struct lock_wait *wait);
void locks_release_slowly(struct locks *locks, struct lock_hold *hold);

/* All of them or none, in the order given, which is ascending by id, each once. */
PS_CHECKED int locks_acquire_all(struct locks *locks, struct lock_hold *holds, size_t n, const ps_id *ids,
                                 enum lock_mode mode, struct lock_wait *wait);
void locks_release_all(struct locks *locks, struct lock_hold *holds, size_t n);

/* Sums over all threads. `held`: locks held or waited for at the moment, short copying calls left out. */
void locks_figures(struct locks *locks, struct lock_figures *figures);
uint64_t locks_held(struct locks *locks);

#endif
