/* Which thread this is: a number that is never used again, and a small index that is while the thread lives.
 */
#ifndef PS_BASE_THREAD_INDEX_H
#define PS_BASE_THREAD_INDEX_H

#include <stdint.h>

enum { THREAD_INDEXES = 128, THREAD_NO_INDEX = THREAD_INDEXES };

struct thread_self {
	uint64_t number; /* from 1, of the process */
	unsigned index;  /* below THREAD_INDEXES, or THREAD_NO_INDEX where so many threads live */
};

/* The calling thread. Never fails; no lock, no allocation. */
#ifdef PS_SCHEDULE

const struct thread_self *thread_self(void);

#else

/* thread_index.c: number 0 until the thread is introduced. */
extern __attribute__((visibility("hidden"))) _Thread_local struct thread_self thread_own;
void thread_introduce(void) __attribute__((cold));

static inline const struct thread_self *thread_self(void)
{
	if (__builtin_expect(thread_own.number == 0, 0))
		thread_introduce();
	return &thread_own;
}

#endif

#endif
