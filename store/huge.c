#include "store/huge.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

enum { SMALLEST_PAGE = 4096 };

static bool all_in_memory(void *block)
{
	unsigned char there[HUGE_BLOCK / SMALLEST_PAGE];
	size_t pages = HUGE_BLOCK / (size_t)sysconf(_SC_PAGESIZE);
	if (pages > sizeof(there) || mincore(block, HUGE_BLOCK, there))
		return false;
	for (size_t i = 0; i < pages; i++) {
		if (!(there[i] & 1))
			return false;
	}
	return true;
}

bool huge_join(void *block)
{
	static _Atomic(bool) unknown; /* to this kernel */
	if (atomic_load_explicit(&unknown, memory_order_relaxed) || !all_in_memory(block))
		return false;
	if (!madvise(block, HUGE_BLOCK, MADV_COLLAPSE))
		return true;
	if (errno == EINVAL)
		atomic_store_explicit(&unknown, true, memory_order_relaxed);
	return false;
}

/* Of a part of a huge page the kernel cannot say that it is cold: it makes small pages first. That is all that is wanted. */
void huge_split(void *page, size_t bytes)
{
	(void)madvise(page, bytes, MADV_COLD);
}
