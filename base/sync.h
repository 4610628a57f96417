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

/* A latch guards a few instructions: no system call, no allocation, no other latch under it. */
struct sync_latch {
	_Atomic(uint32_t) taken;
};

/* Where one thread sleeps until another sets the word. */
struct sync_place {
	_Atomic(uint32_t) woken;
};

#ifdef PS_SCHEDULE

void sync_step(void);
void sync_latch_take(struct sync_latch *latch);
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

/* sync.c: the latch was taken. */
void sync_latch_wait(struct sync_latch *latch);

static inline void sync_latch_take(struct sync_latch *latch)
{
	if (__builtin_expect(atomic_exchange_explicit(&latch->taken, 1, memory_order_acquire) != 0, 0))
		sync_latch_wait(latch);
}

static inline void sync_latch_drop(struct sync_latch *latch)
{
	atomic_store_explicit(&latch->taken, 0, memory_order_release);
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

static inline void sync_place_init(struct sync_place *place)
{
	atomic_init(&place->woken, 0);
}

#endif
