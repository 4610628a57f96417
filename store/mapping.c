#include "store/mapping.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

enum { CLEAR_MOST = 64 << 10 };

static _Atomic(void *) kept[MAPPING_KINDS];

/* A forked child has none of it (MADV_DONTFORK). */
static void forget(void)
{
	for (int i = 0; i < MAPPING_KINDS; i++)
		atomic_store(&kept[i], NULL);
}

static void watch_forks(void)
{
	/* Without memory to be told of forks nothing is kept. */
	if (pthread_atfork(NULL, NULL, forget) != 0)
		for (int i = 0; i < MAPPING_KINDS; i++)
			atomic_store(&kept[i], MAP_FAILED);
}

void *mapping_take(enum mapping_kind kind)
{
	void *range = atomic_load(&kept[kind]);
	while (range && range != MAP_FAILED && !atomic_compare_exchange_weak(&kept[kind], &range, NULL))
		;
	return range == MAP_FAILED ? NULL : range;
}

bool mapping_clear(void *part, size_t used, size_t bytes)
{
	if (used > CLEAR_MOST)
		return !madvise(part, bytes, MADV_DONTNEED);
	memset(part, 0, used);
	return true;
}

void mapping_give(enum mapping_kind kind, void *range, size_t bytes)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	void *none = NULL;
	pthread_once(&once, watch_forks);
	if (!atomic_compare_exchange_strong(&kept[kind], &none, range))
		(void)munmap(range, bytes);
}
