/* Spare frames. An object that is overwritten gets a new extent, and its old one is soon somebody else's: giving each old frame to
 * the kernel and having a new one made and zeroed took a third of the processor's time of a load of large overwrites.
 *
 * A spare page has PAGE_SPARE in its state and nothing else that counts; its memory is counted in the budget, of which it is the
 * first to go. Both ways out are under the lock: who takes a page clears its bit; who gives it up clears the bit only after the kernel
 * has the memory. So who sees no bit, without the lock, has a page that nobody will touch. */
#include <sys/mman.h>
#include <sys/param.h>

#include "store/base_internal.h"

enum { LIST = 512, MERGED_MOST = 1 << 20, SHARE = 8, BYTES_MOST = 32 << 20 };

void spare_frames_init(struct spare_frames *spare)
{
	pthread_mutex_init(&spare->lock, NULL);
}

/* The memory itself goes with the frames' mapping. */
void spare_frames_done(struct pool *pool)
{
	ps_memory_free(&pool->store->memory, pool->spare.list, LIST * sizeof(*pool->spare.list));
	pthread_mutex_destroy(&pool->spare.lock);
}

static struct ps_extent *entry(struct spare_frames *spare, size_t i)
{
	return &spare->list[(spare->head + i) % LIST];
}

/* A run of pages from `place` on that are still spare. */
static uint64_t spare_run(struct pool *pool, uint64_t place, uint64_t end)
{
	uint64_t at = place;
	while (at < end && atomic_load_explicit(pool_state(pool, at), memory_order_relaxed) & PAGE_SPARE)
		at += PAGE;
	return at - place;
}

static void clear_run(struct pool *pool, uint64_t place, uint64_t bytes)
{
	for (uint64_t at = place; at < place + bytes; at += PAGE)
		atomic_fetch_and_explicit(pool_state(pool, at), ~PAGE_SPARE, memory_order_release);
	atomic_fetch_sub_explicit(&pool->spare.bytes, bytes, memory_order_release);
}

static uint64_t give_up_oldest(struct pool *pool)
{
	struct spare_frames *spare = &pool->spare;
	const struct ps_extent e = *entry(spare, 0);
	uint64_t given = 0;
	for (uint64_t at = e.offset; at < e.offset + e.len;) {
		uint64_t run = spare_run(pool, at, e.offset + e.len);
		if (run) {
			pool_give_memory(pool, at, run);
			clear_run(pool, at, run);
			given += run;
		}
		at += run + PAGE;
	}
	spare->head = (spare->head + 1) % LIST;
	spare->count--;
	budget_give(pool->store, given);
	return given;
}

bool spare_frames_give_up(struct pool *pool)
{
	uint64_t given = 0;
	if (!atomic_load_explicit(&pool->spare.bytes, memory_order_relaxed))
		return false;
	pthread_mutex_lock(&pool->spare.lock);
	while (!given && pool->spare.count)
		given = give_up_oldest(pool);
	pthread_mutex_unlock(&pool->spare.lock);
	return given > 0;
}

/* Chunks of one object come one after another. */
static bool joins_last(struct pool *pool, uint64_t place, uint64_t bytes)
{
	struct spare_frames *spare = &pool->spare;
	struct ps_extent *last = spare->count ? entry(spare, spare->count - 1) : NULL;
	if (!last || last->offset + last->len != place || last->len + bytes > MERGED_MOST || !(place & pool->region_mask))
		return false;
	last->len += bytes;
	return true;
}

static bool list_run(struct pool *pool, uint64_t place, uint64_t bytes)
{
	struct spare_frames *spare = &pool->spare;
	if (!spare->list)
		spare->list = ps_memory_alloc(&pool->store->memory, LIST * sizeof(*spare->list));
	if (!spare->list)
		return false;
	if (joins_last(pool, place, bytes))
		return true;
	if (spare->count == LIST)
		(void)give_up_oldest(pool);
	*entry(spare, spare->count++) = (struct ps_extent){place, bytes};
	return true;
}

bool spare_frames_keep(struct pool *pool, uint64_t place, uint64_t bytes)
{
	struct spare_frames *spare = &pool->spare;
	uint64_t most = MIN(pool->store->budget / SHARE, (uint64_t)BYTES_MOST);
	if (bytes > most)
		return false;
	pthread_mutex_lock(&spare->lock);
	while (spare->count && atomic_load(&spare->bytes) + bytes > most)
		(void)give_up_oldest(pool);
	bool listed = list_run(pool, place, bytes), first = listed && !atomic_load(&spare->bytes);
	for (uint64_t at = place; listed && at < place + bytes; at += PAGE)
		atomic_fetch_or_explicit(pool_state(pool, at), PAGE_SPARE, memory_order_relaxed);
	if (listed)
		atomic_fetch_add(&spare->bytes, bytes);
	pthread_mutex_unlock(&spare->lock);
	if (first)
		store_wake(pool->store); /* its thread sees to it that an idle store has none */
	return listed;
}

static bool any_spare(struct pool *pool, uint64_t place, uint64_t bytes)
{
	if (!atomic_load_explicit(&pool->spare.bytes, memory_order_acquire))
		return false;
	for (uint64_t at = place; at < place + bytes; at += PAGE) {
		if (atomic_load_explicit(pool_state(pool, at), memory_order_acquire) & PAGE_SPARE)
			return true;
	}
	return false;
}

uint64_t spare_frames_take(struct pool *pool, uint64_t place, uint64_t bytes)
{
	uint64_t taken = 0;
	if (!any_spare(pool, place, bytes))
		return 0;
	pthread_mutex_lock(&pool->spare.lock);
	for (uint64_t at = place; at < place + bytes;) {
		uint64_t run = spare_run(pool, at, place + bytes);
		clear_run(pool, at, run);
		taken += run;
		at += run + PAGE;
	}
	atomic_store_explicit(&pool->spare.used, true, memory_order_relaxed);
	pthread_mutex_unlock(&pool->spare.lock);
	return taken;
}
