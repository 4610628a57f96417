/* Memory of frames, had ahead and given back; and blocks of it as huge pages (huge.h): which may become one, and how they
 * are small again before memory of theirs goes back to the kernel. join.c makes them. */
#include <sys/mman.h>
#include <sys/param.h>

#include "store/base_internal.h"

static void split_blocks(struct pool *pool, uint64_t place, uint64_t bytes)
{
	for (uint64_t at = place, end = place + bytes; at < end; at = (at / HUGE_BLOCK + 1) * HUGE_BLOCK) {
		_Atomic(uint8_t) *joined = pool_joined(pool, at);
		uint8_t tries = atomic_load_explicit(joined, memory_order_relaxed);
		if (!tries)
			continue;
		atomic_store_explicit(joined, (uint8_t)(tries - 1), memory_order_relaxed);
		huge_split(pool_address(pool, at),
		           (size_t)(MIN((at / HUGE_BLOCK + 1) * HUGE_BLOCK, end) - at));
	}
}

void pool_give_memory(struct pool *pool, uint64_t place, uint64_t bytes)
{
	split_blocks(pool, place, bytes);
	(void)madvise(pool_address(pool, place), bytes, MADV_DONTNEED);
}

void pool_populate(struct pool *pool, struct ps_extent extent)
{
	(void)madvise(pool_address(pool, extent.offset), extent.len, MADV_POPULATE_WRITE);
}

void pool_unpopulate(struct pool *pool, struct ps_extent extent)
{
	pool_give_memory(pool, extent.offset, extent.len);
}

/* Where the extent ends that reaches into the block, or its beginning: an extent's state is in its first page. */
static uint64_t behind_first(const struct pool *pool, uint64_t block)
{
	uint64_t back = MIN((uint64_t)CHUNK, block & pool->region_mask);
	for (uint64_t at = block - back; at < block; at += PAGE) {
		uint64_t state = atomic_load_explicit(pool_state(pool, at), memory_order_relaxed);
		if (state & PAGE_RESIDENT && at + pool_state_bytes(state) > block)
			return at + pool_state_bytes(state);
	}
	return block;
}

bool pool_block_full(const struct pool *pool, uint64_t block)
{
	for (uint64_t at = behind_first(pool, block); at < block + HUGE_BLOCK;) {
		uint64_t state = atomic_load_explicit(pool_state(pool, at), memory_order_relaxed);
		if (state & PAGE_RESIDENT)
			at += MAX(pool_state_bytes(state), (uint64_t)PAGE);
		else if (state & PAGE_SPARE)
			at += PAGE;
		else
			return false;
	}
	return true;
}
