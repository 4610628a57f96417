/* Latches and parking places: what the locks and the token pool block with.
 *
 * Every step that another thread can see is preceded by sync_step(), which is nothing in the library. The
 * scheduler of tests/concurrent compiles the same sources with PS_SCHEDULE and takes each step in every
 * order. */
#ifndef PS_BASE_SYNC_H
#define PS_BASE_SYNC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SYNC_NO_DEADLINE UINT64_MAX

/* A latch guards a few instructions: no system call, no allocation, no other latch under it. Its word also
 * carries a count, changed by who has the latch and read by anyone: so taking the latch and counting oneself
 * is one step. */
struct sync_latch {
	_Atomic(uint32_t) word; /* SYNC_LATCH_TAKEN, and the count in units of SYNC_LATCH_ONE */
};
enum { SYNC_LATCH_TAKEN = 1, SYNC_LATCH_ONE = 2 };

/* Where one thread sleeps until another sets the word. */
struct sync_place {
	_Atomic(uint32_t) woken;
};

#ifdef PS_SCHEDULE

void sync_step(void);
void sync_latch_take_counting(struct sync_latch *latch, uint32_t more);
void sync_latch_drop(struct sync_latch *latch);
bool sync_sleep(struct sync_place *place, uint64_t deadline_ns);
void sync_wake(struct sync_place *place);
uint64_t sync_now(void);
bool sync_can_interrupt(void);
void sync_interrupt_threads(void);

#else

static inline void sync_step(void)
{
}

static inline bool sync_latch_try(struct sync_latch *latch, uint32_t more)
{
	uint32_t was = atomic_load_explicit(&latch->word, memory_order_relaxed) & ~(uint32_t)SYNC_LATCH_TAKEN;
	return atomic_compare_exchange_strong_explicit(&latch->word, &was,
	                                               was + more * SYNC_LATCH_ONE + SYNC_LATCH_TAKEN,
	                                               memory_order_seq_cst, memory_order_relaxed);
}

/* sync.c: the latch was taken. */
void sync_latch_wait(struct sync_latch *latch, uint32_t more);

/* Takes the latch and adds to its count, in one sequentially consistent step. */
static inline void sync_latch_take_counting(struct sync_latch *latch, uint32_t more)
{
	if (__builtin_expect(!sync_latch_try(latch, more), 0))
		sync_latch_wait(latch, more);
}

/* Nobody else changes the word of a latch that is taken. */
static inline void sync_latch_drop(struct sync_latch *latch)
{
	uint32_t now = atomic_load_explicit(&latch->word, memory_order_relaxed);
	atomic_store_explicit(&latch->word, now & ~(uint32_t)SYNC_LATCH_TAKEN, memory_order_release);
}

/* Blocks until sync_wake; false if that did not happen before the deadline (sync_now() + nanoseconds). */
bool sync_sleep(struct sync_place *place, uint64_t deadline_ns);
/* The sleeper may leave, and its place be gone, at any moment in this call. */
void sync_wake(struct sync_place *place);
/* Monotonic nanoseconds. */
uint64_t sync_now(void);
/* Makes every running thread of the process complete what it has stored; some microseconds. Only where
 * sync_can_interrupt, which is asked once before. */
void sync_interrupt_threads(void);
bool sync_can_interrupt(void);

#endif

static inline void sync_latch_take(struct sync_latch *latch)
{
	sync_latch_take_counting(latch, 0);
}

/* The count. Who reads it without the latch sees all that was done before it was changed. */
static inline uint32_t sync_latch_count(const struct sync_latch *latch)
{
	return atomic_load(&latch->word) / SYNC_LATCH_ONE;
}

/* Under the latch. */
static inline void sync_latch_add(struct sync_latch *latch, uint32_t change)
{
	uint32_t now = atomic_load_explicit(&latch->word, memory_order_relaxed);
	atomic_store_explicit(&latch->word, now + change * SYNC_LATCH_ONE, memory_order_release);
}

/* Takes the latch if it is free and its count is `was`, which becomes `now`: one sequentially consistent step
 * that does not read the word before it has it for writing. */
static inline bool sync_latch_change(struct sync_latch *latch, uint32_t was, uint32_t now)
{
	uint32_t word = was * SYNC_LATCH_ONE;
	sync_step();
	return atomic_compare_exchange_strong_explicit(&latch->word, &word,
	                                               now * SYNC_LATCH_ONE + SYNC_LATCH_TAKEN,
	                                               memory_order_seq_cst, memory_order_relaxed);
}

/* sync_latch_drop where the count is to be this one, whatever it was. */
static inline void sync_latch_drop_at(struct sync_latch *latch, uint32_t count)
{
	sync_step();
	atomic_store_explicit(&latch->word, count * SYNC_LATCH_ONE, memory_order_release);
}

static inline void sync_place_init(struct sync_place *place)
{
	atomic_init(&place->woken, 0);
}

#endif
