/* The lock table. */
#include "concurrent/lock_write.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/tokens.h"

#define COLD __attribute__((cold, noinline))

/* A thread looks that often how much is written, and finds so much too little to pay for. */
enum { FENCED_CALLS = 1024, FEW_WRITES = 8 };

/* ---- set-up ---- */

static void *aligned_new(struct ps_memory *memory, size_t count, size_t size)
{
	/* Room to align within, and the block's own address before the lines. */
	unsigned char *block = ps_memory_zalloc(memory, count * size + 2 * CACHE_LINE);
	if (!block)
		return NULL;
	unsigned char *lines = block + CACHE_LINE;
	lines += -(uintptr_t)lines & (CACHE_LINE - 1);
	memcpy(lines - sizeof(block), &block, sizeof(block));
	return lines;
}

static void aligned_free(struct ps_memory *memory, void *lines, size_t count, size_t size)
{
	unsigned char *block;
	if (!lines)
		return;
	memcpy(&block, (unsigned char *)lines - sizeof(block), sizeof(block));
	ps_memory_free(memory, block, count * size + 2 * CACHE_LINE);
}

int locks_init(struct locks *locks, struct ps_memory *memory, size_t buckets)
{
	size_t count = buckets ? buckets : LOCK_BUCKETS_DEFAULT;
	assert((count & (count - 1)) == 0);
	locks->memory = memory;
	locks->mask = count - 1;
	atomic_init(&locks->slots_used, 0);
	atomic_init(&locks->fencing, FENCED);
	locks->can_unfence = sync_can_interrupt();
	locks->buckets = aligned_new(memory, count, sizeof(*locks->buckets));
	locks->slots = aligned_new(memory, THREAD_INDEXES + 1, sizeof(*locks->slots));
	if (locks->buckets && locks->slots)
		return PS_OK;
	locks_done(locks);
	return ps_fail(PS_ENOMEM, "no memory for a table of %zu locks", count);
}

void locks_done(struct locks *locks)
{
	aligned_free(locks->memory, locks->buckets, locks->mask + 1, sizeof(*locks->buckets));
	aligned_free(locks->memory, locks->slots, THREAD_INDEXES + 1, sizeof(*locks->slots));
	locks->buckets = NULL;
	locks->slots = NULL;
}

static inline void note_acquired(struct locks *locks, const struct thread_self *self, enum lock_mode mode)
{
	struct lock_slot *own = locks_slot(locks, self);
	locks_count(self, mode == LOCK_EXCLUSIVE ? &own->writes : &own->shared, 1);
}

/* ---- lists, under the bucket's latch ---- */

static void list_append(struct lock_list *list, struct lock_hold *hold)
{
	hold->prev = list->last;
	hold->next = NULL;
	if (list->last)
		list->last->next = hold;
	else
		list->first = hold;
	list->last = hold;
}

static void list_remove(struct lock_list *list, struct lock_hold *hold)
{
	if (hold->prev)
		hold->prev->next = hold->next;
	else
		list->first = hold->next;
	if (hold->next)
		hold->next->prev = hold->prev;
	else
		list->last = hold->prev;
}

static bool listed(const struct lock_list *list, ps_id id)
{
	for (const struct lock_hold *h = list->first; h; h = h->next) {
		if (h->id == id)
			return true;
	}
	return false;
}

static void writers_add(struct lock_bucket *bucket, uint32_t change)
{
	sync_step();
	sync_latch_add(&bucket->latch, change);
}

/* ---- fences of copying calls (lock_copy.h) ---- */

static bool is_fenced(uint64_t fencing)
{
	return (fencing & FENCING_STATES) == FENCED;
}

/* Afterwards the state has been FENCED at a moment in the call. */
COLD static void fence_calls(struct locks *locks)
{
	uint64_t was = atomic_load(&locks->fencing);
	while (!is_fenced(was)) {
		uint64_t fencing = (was & ~(uint64_t)FENCING_STATES) + FENCING_CHANGE + FENCING;
		if (!atomic_compare_exchange_strong(&locks->fencing, &was, fencing))
			continue;
		was = fencing;
		sync_interrupt_threads();
		sync_step();
		if (atomic_compare_exchange_strong(&locks->fencing, &was, fencing - FENCING + FENCED))
			return;
	}
}

static uint64_t writes_of_all(struct locks *locks)
{
	uint64_t writes = atomic_load_explicit(&locks->slots[THREAD_NO_INDEX].writes, memory_order_relaxed);
	unsigned used = atomic_load_explicit(&locks->slots_used, memory_order_relaxed);
	for (unsigned i = 0; i < used; i++)
		writes += atomic_load_explicit(&locks->slots[i].writes, memory_order_relaxed);
	return writes;
}

COLD static void consider_unfencing(struct locks *locks, struct lock_slot *slot)
{
	uint64_t writes = writes_of_all(locks), was = atomic_load(&locks->fencing);
	if (locks->can_unfence && writes - slot->seen_writes < FEW_WRITES && is_fenced(was))
		(void)atomic_compare_exchange_strong(&locks->fencing, &was,
		                                     was - FENCED + FENCING_CHANGE + UNFENCED);
	slot->seen_writes = writes;
}

void locks_fence_call(struct locks *locks, struct lock_slot *slot, ps_id id)
{
	atomic_exchange(&slot->id, id);
	if (id != PS_ID_NONE && ++slot->fenced_calls % FENCED_CALLS == 0)
		consider_unfencing(locks, slot);
}

/* Under the latch, the writer being counted: calls on the id in other threads' slots become holds. */
static void bring_in_all(struct locks *locks, struct lock_bucket *bucket, ps_id id)
{
	unsigned used = atomic_load(&locks->slots_used);
	for (unsigned i = 0; i < used; i++) {
		struct lock_slot *slot = &locks->slots[i];
		sync_step();
		if (atomic_load(&slot->id) != id || slot->hold.granted)
			continue;
		slot->hold.id = id;
		slot->hold.thread = atomic_load_explicit(&slot->thread, memory_order_relaxed);
		slot->hold.mode = LOCK_COPY;
		slot->hold.granted = true;
		list_append(&bucket->holders, &slot->hold);
		/* Until it is out again, also where the writer does not wait for it: else its call would not
		 * look. */
		writers_add(bucket, 1);
	}
}

/* ---- who may hold what, under the bucket's latch ---- */

enum answer { ANSWER_YES, ANSWER_WAIT, ANSWER_DEADLOCK };

static enum answer ask_exclusive(const struct lock_bucket *bucket, ps_id id, uint64_t thread)
{
	enum answer answer = listed(&bucket->waiters, id) ? ANSWER_WAIT : ANSWER_YES;
	for (const struct lock_hold *h = bucket->holders.first; h; h = h->next) {
		if (h->id == id && h->thread == thread)
			return ANSWER_DEADLOCK;
		if (h->id == id)
			answer = ANSWER_WAIT;
	}
	return answer;
}

/* A thread that has a shared hold gets another past the waiting writers: they wait for the one that it has.
 */
static enum answer ask_shared(const struct lock_bucket *bucket, ps_id id, uint64_t thread,
                              enum lock_mode mode)
{
	bool own = false, others_write = false;
	for (const struct lock_hold *h = bucket->holders.first; h; h = h->next) {
		if (h->id != id)
			continue;
		if (h->thread == thread && h->mode == LOCK_EXCLUSIVE)
			return mode == LOCK_COPY ? ANSWER_YES : ANSWER_DEADLOCK;
		own |= h->thread == thread;
		others_write |= h->mode == LOCK_EXCLUSIVE;
	}
	if (others_write || (!own && listed(&bucket->waiters, id)))
		return ANSWER_WAIT;
	return ANSWER_YES;
}

/* Who holds the id now: nobody, readers, or a writer (whose own copying calls count with it). */
enum holders { HOLDERS_NONE, HOLDERS_SHARED, HOLDERS_EXCLUSIVE };

static enum holders holders_of(const struct lock_bucket *bucket, ps_id id)
{
	enum holders found = HOLDERS_NONE;
	for (const struct lock_hold *h = bucket->holders.first; h; h = h->next) {
		if (h->id != id)
			continue;
		if (h->mode == LOCK_EXCLUSIVE)
			return HOLDERS_EXCLUSIVE;
		found = HOLDERS_SHARED;
	}
	return found;
}

/* Lets in who waited longest for the id, and readers behind a reader. They are woken after the latch: a
 * sleeper's hold stays where it is until wake_all() has woken it. */
COLD static struct lock_hold *grant_waiters(struct lock_bucket *bucket, ps_id id)
{
	enum holders now = holders_of(bucket, id);
	struct lock_hold *granted = NULL;
	for (struct lock_hold *h = bucket->waiters.first, *next; h; h = next) {
		next = h->next;
		if (h->id != id)
			continue;
		bool writes = h->mode == LOCK_EXCLUSIVE;
		if (now == HOLDERS_EXCLUSIVE || (writes && now == HOLDERS_SHARED))
			break;
		list_remove(&bucket->waiters, h);
		h->granted = true;
		h->wake_next = granted;
		granted = h;
		list_append(&bucket->holders, h);
		now = writes ? HOLDERS_EXCLUSIVE : HOLDERS_SHARED;
	}
	return granted;
}

static inline struct lock_hold *let_in(struct lock_bucket *bucket, ps_id id)
{
	return __builtin_expect(bucket->waiters.first != NULL, 0) ? grant_waiters(bucket, id) : NULL;
}

static void wake_all(struct lock_hold *granted)
{
	while (granted) {
		struct lock_hold *next = granted->wake_next;
		sync_wake(&granted->place);
		granted = next;
	}
}

/* ---- waiting ---- */

COLD static int refuse(struct locks *locks, const struct lock_hold *hold, const struct thread_self *self,
                       int err)
{
	struct lock_slot *own = locks_slot(locks, self);
	unsigned long long id = (unsigned long long)hold->id;
	const char *what = hold->mode == LOCK_EXCLUSIVE ? "write" : "read";
	if (err == PS_EDEADLK) {
		locks_count(self, &own->deadlocks, 1);
		return ps_fail(err, "lock: object %llx: this thread would wait for its own session to %s it",
		               id, what);
	}
	if (err == PS_EBUSY) {
		locks_count(self, &own->refusals, 1);
		return ps_fail(err, "lock: object %llx is in use, and the call may not wait to %s it", id,
		               what);
	}
	locks_count(self, &own->timeouts, 1);
	return ps_fail(err, "lock: object %llx stayed in use too long to %s it", id, what);
}

/* Out of the queue again; those behind may have waited for nothing but this one. False if it was let in
 * meanwhile. */
static bool give_up(struct lock_bucket *bucket, struct lock_hold *hold)
{
	struct lock_hold *granted = NULL;
	sync_latch_take(&bucket->latch);
	bool waiting = !hold->granted;
	if (waiting) {
		list_remove(&bucket->waiters, hold);
		if (hold->mode == LOCK_EXCLUSIVE)
			writers_add(bucket, (uint32_t)-1);
		granted = let_in(bucket, hold->id);
	}
	sync_latch_drop(&bucket->latch);
	wake_all(granted);
	return waiting;
}

COLD static int wait_for(struct locks *locks, struct lock_bucket *bucket, struct lock_hold *hold,
                         const struct thread_self *self, struct lock_wait *wait)
{
	enum { NS_PER_MS = 1000000 };
	struct lock_slot *own = locks_slot(locks, self);
	uint64_t began = sync_now();
	if (wait->deadline_ns == 0)
		wait->deadline_ns = began + (uint64_t)wait->timeout_ms * NS_PER_MS;
	locks_count(self, &own->waits, 1);
	bool woken = sync_sleep(&hold->place, wait->deadline_ns);
	/* Let in at the last moment: the one who did so is about to wake this thread and still needs the
	 * hold. */
	if (!woken && !give_up(bucket, hold))
		woken = sync_sleep(&hold->place, SYNC_NO_DEADLINE);
	locks_count(self, &own->wait_ns, sync_now() - began);
	if (!woken)
		return refuse(locks, hold, self, PS_ETIMEDOUT);
	note_acquired(locks, self, hold->mode);
	return PS_OK;
}

/* ---- acquire and release ---- */

/* Takes the bucket's latch with a writer counted, while calls are fenced: it sees all that do not see it. */
static void count_writer(struct locks *locks, struct lock_bucket *bucket)
{
	for (;;) {
		sync_latch_take_counting(&bucket->latch, 1);
		sync_step();
		if (__builtin_expect(is_fenced(atomic_load(&locks->fencing)), 1))
			return;
		writers_add(bucket, (uint32_t)-1);
		sync_latch_drop(&bucket->latch);
		fence_calls(locks);
	}
}

/* Its links are the list's to set. */
static inline void hold_init(struct lock_hold *hold, ps_id id, uint64_t thread, enum lock_mode mode)
{
	hold->id = id;
	hold->thread = thread;
	hold->mode = mode;
	hold->granted = false;
	hold->wake_next = NULL;
	sync_place_init(&hold->place);
}

int locks_acquire_slowly(struct locks *locks, struct lock_hold *hold, ps_id id, enum lock_mode mode,
                         struct lock_wait *wait)
{
	const struct thread_self *self = thread_self();
	struct lock_bucket *bucket = locks_bucket(locks, id);
	bool writes = mode == LOCK_EXCLUSIVE;
	ps_tokens_assert_none();
	hold_init(hold, id, self->number, mode);
	if (writes) {
		count_writer(locks, bucket);
		bring_in_all(locks, bucket, id);
	} else {
		sync_latch_take(&bucket->latch);
	}
	enum answer answer =
	    writes ? ask_exclusive(bucket, id, hold->thread) : ask_shared(bucket, id, hold->thread, mode);
	bool waits = answer == ANSWER_WAIT && wait->timeout_ms > 0;
	if (answer == ANSWER_YES) {
		hold->granted = true;
		list_append(&bucket->holders, hold);
	} else if (waits) {
		list_append(&bucket->waiters, hold);
	} else if (writes) {
		writers_add(bucket, (uint32_t)-1);
	}
	sync_latch_drop(&bucket->latch);
	if (waits)
		return wait_for(locks, bucket, hold, self, wait);
	if (answer != ANSWER_YES)
		return refuse(locks, hold, self, answer == ANSWER_WAIT ? PS_EBUSY : PS_EDEADLK);
	note_acquired(locks, self, mode);
	return PS_OK;
}

int locks_acquire(struct locks *locks, struct lock_hold *hold, ps_id id, enum lock_mode mode,
                  struct lock_wait *wait)
{
	return mode == LOCK_EXCLUSIVE && locks_write_try(locks, hold, id)
	           ? PS_OK
	           : locks_acquire_slowly(locks, hold, id, mode, wait);
}

/* Under the latch. */
static struct lock_hold *take_out(struct lock_bucket *bucket, struct lock_hold *hold)
{
	list_remove(&bucket->holders, hold);
	hold->granted = false;
	if (hold->mode == LOCK_EXCLUSIVE)
		writers_add(bucket, (uint32_t)-1);
	return let_in(bucket, hold->id);
}

void locks_release_slowly(struct locks *locks, struct lock_hold *hold)
{
	struct lock_bucket *bucket = locks_bucket(locks, hold->id);
	sync_latch_take(&bucket->latch);
	struct lock_hold *granted = take_out(bucket, hold);
	sync_latch_drop(&bucket->latch);
	wake_all(granted);
}

void locks_release(struct locks *locks, struct lock_hold *hold)
{
	if (hold->mode != LOCK_EXCLUSIVE || !locks_write_end_try(locks, hold))
		locks_release_slowly(locks, hold);
}

/* ---- copying calls ---- */

/* The slot is cleared: what a writer has put in for the call is taken out. */
static void leave_slot(struct lock_slot *slot, struct lock_bucket *bucket)
{
	struct lock_hold *granted = NULL;
	sync_latch_take(&bucket->latch);
	if (slot->hold.granted) {
		granted = take_out(bucket, &slot->hold);
		writers_add(bucket, (uint32_t)-1);
	}
	sync_latch_drop(&bucket->latch);
	wake_all(granted);
}

COLD void locks_copy_end_slowly(struct locks *locks, struct lock_copy *copy)
{
	if (copy->slot)
		leave_slot(copy->slot, copy->bucket);
	else
		locks_release(locks, &copy->hold);
}

static void use_slot(struct locks *locks, struct lock_slot *slot, const struct thread_self *self)
{
	unsigned used = atomic_load(&locks->slots_used);
	while (used <= self->index &&
	       !atomic_compare_exchange_weak(&locks->slots_used, &used, self->index + 1)) {
	}
	atomic_store_explicit(&slot->thread, self->number, memory_order_relaxed);
}

COLD int locks_copy_begin_slowly(struct locks *locks, struct lock_copy *copy, ps_id id,
                                 struct lock_wait *wait)
{
	const struct thread_self *self = thread_self();
	struct lock_slot *slot = locks_slot(locks, self);
	uint64_t user = atomic_load_explicit(&slot->thread, memory_order_relaxed);
	if (self->index != THREAD_NO_INDEX && user != self->number) {
		use_slot(locks, slot, self);
		return locks_copy_begin(locks, copy, id, wait);
	}
	copy->slot = NULL;
	return locks_acquire(locks, &copy->hold, id, LOCK_COPY, wait);
}

/* ---- many ---- */

int locks_acquire_all(struct locks *locks, struct lock_hold *holds, size_t n, const ps_id *ids,
                      enum lock_mode mode, struct lock_wait *wait)
{
	for (size_t i = 0; i < n; i++) {
		/* The order of all locks: by id, each once. */
		assert(i == 0 || ids[i - 1] < ids[i]);
		int err = locks_acquire(locks, &holds[i], ids[i], mode, wait);
		if (err) {
			locks_release_all(locks, holds, i);
			return err;
		}
	}
	return PS_OK;
}

void locks_release_all(struct locks *locks, struct lock_hold *holds, size_t n)
{
	while (n-- > 0)
		locks_release(locks, &holds[n]);
}

/* ---- figures ---- */

void locks_figures(struct locks *locks, struct lock_figures *figures)
{
	*figures = (struct lock_figures){0};
	for (unsigned i = 0; i <= THREAD_INDEXES; i++) {
		struct lock_slot *slot = &locks->slots[i];
		figures->acquired += atomic_load_explicit(&slot->shared, memory_order_relaxed);
		figures->acquired += atomic_load_explicit(&slot->writes, memory_order_relaxed);
		figures->waits += atomic_load_explicit(&slot->waits, memory_order_relaxed);
		figures->wait_ns += atomic_load_explicit(&slot->wait_ns, memory_order_relaxed);
		figures->timeouts += atomic_load_explicit(&slot->timeouts, memory_order_relaxed);
		figures->refusals += atomic_load_explicit(&slot->refusals, memory_order_relaxed);
		figures->deadlocks += atomic_load_explicit(&slot->deadlocks, memory_order_relaxed);
	}
}

uint64_t locks_held(struct locks *locks)
{
	uint64_t held = 0;
	for (size_t i = 0; i <= locks->mask; i++) {
		struct lock_bucket *bucket = &locks->buckets[i];
		sync_latch_take(&bucket->latch);
		for (const struct lock_hold *h = bucket->holders.first; h; h = h->next)
			held++;
		for (const struct lock_hold *h = bucket->waiters.first; h; h = h->next)
			held++;
		sync_latch_drop(&bucket->latch);
	}
	return held;
}
