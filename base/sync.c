/* Latches that yield, and sleep on a futex. */
#include "base/sync.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { NS_PER_S = 1000000000, SPINS = 100 };

static inline void pause_briefly(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#else
	__asm__ volatile("" ::: "memory");
#endif
}

/* Its owner may have been preempted: then spinning would only keep it away longer. */
void sync_latch_wait(struct sync_latch *latch, uint32_t more)
{
	for (unsigned spins = 1;; spins++) {
		if (!(atomic_load_explicit(&latch->word, memory_order_relaxed) & SYNC_LATCH_TAKEN) &&
		    sync_latch_try(latch, more))
			return;
		if (spins % SPINS == 0)
			sched_yield();
		else
			pause_briefly();
	}
}

uint64_t sync_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

bool sync_sleep(struct sync_place *place, uint64_t deadline_ns)
{
	struct timespec until = {(time_t)(deadline_ns / NS_PER_S), (long)(deadline_ns % NS_PER_S)};
	const struct timespec *limit = deadline_ns == SYNC_NO_DEADLINE ? NULL : &until;
	while (atomic_load_explicit(&place->woken, memory_order_acquire) == 0) {
		/* The bit set variant takes an absolute time. */
		long result = syscall(SYS_futex, &place->woken, FUTEX_WAIT_BITSET_PRIVATE, 0, limit, NULL,
		                      FUTEX_BITSET_MATCH_ANY);
		if (result != 0 && errno == ETIMEDOUT)
			return atomic_load_explicit(&place->woken, memory_order_acquire) != 0;
	}
	return true;
}

void sync_wake(struct sync_place *place)
{
	atomic_store_explicit(&place->woken, 1, memory_order_release);
	/* Only the address is used from here on: a wake-up too many is harmless. */
	(void)syscall(SYS_futex, &place->woken, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static long membarrier(int command)
{
	return syscall(SYS_membarrier, command, 0, 0);
}

bool sync_can_interrupt(void)
{
	return membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0;
}

void sync_interrupt_threads(void)
{
	(void)membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}
