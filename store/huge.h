/* Huge pages for memory that is wholly in use anyway. A cached read of a small object waits for two lines in two pages of a few kilobytes
 * that the processor has to look up first; in a virtual machine each of these costs as much as the line itself. Memory in use does not
 * grow by it: only blocks are joined of which every page is there, and what leaves is taken apart first. */
#ifndef PS_HUGE_H
#define PS_HUGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HUGE_BLOCK = 2 << 20 };

/* The first block's beginning at or behind it. Mappings are made larger by a block, for this. */
static inline uint8_t *huge_align(void *mapping)
{
	uintptr_t past = (uintptr_t)mapping % HUGE_BLOCK;
	return (uint8_t *)mapping + (past ? HUGE_BLOCK - past : 0);
}

/* One page of the block's pages, if all of them are in memory; they may be read and written meanwhile. False: it was left as it is (some
 * are not there, others look at them, no such memory, or a kernel before 6.1). Some hundred microseconds. */
bool huge_join(void *block);
/* Before pages of a block that was joined are given back to the kernel: it would keep the whole block's memory else. */
void huge_split(void *page, size_t bytes);

#endif
