/* Huge pages for blocks of table leaves, and of frames, that are all in memory: work of the store's thread. */
#include <sys/param.h>

#include "store/base_internal.h"
#include "store/huge.h"

enum { JOIN_STEP = 4 };

/* True if there may be more to do. */
static bool join_leaves(struct table *t)
{
	enum { LOOKS = 64 };
	uint64_t blocks = atomic_load(&t->slots) / ((uint64_t)GROUPS_PER_BLOCK * GROUP_SLOTS);
	unsigned joined = 0;
	for (uint64_t seen = 0; seen < MIN(blocks, (uint64_t)LOOKS) && joined < JOIN_STEP; seen++) {
		uint64_t group = t->join_hand++ % blocks * GROUPS_PER_BLOCK;
		struct table_node *g = table_known_group(t, group);
		if (!g || atomic_load_explicit(table_joined(t, group), memory_order_relaxed) || !huge_join((void *)g->entries))
			continue;
		atomic_store_explicit(table_joined(t, group), true, memory_order_relaxed);
		joined++;
	}
	return joined == JOIN_STEP;
}

/* The mark stands first: what leaves during the joining splits it. And once more after it, for what left
 * before. */
static bool join_block(struct pool *pool, uint64_t block)
{
	_Atomic(uint8_t) *joined = pool_joined(pool, block);
	if (atomic_load_explicit(joined, memory_order_relaxed) == POOL_SPLIT_TRIES ||
	    !pool_block_full(pool, block))
		return false;
	atomic_store_explicit(joined, POOL_SPLIT_TRIES, memory_order_relaxed);
	bool done = huge_join(pool_address(pool, block));
	atomic_store_explicit(joined, done ? POOL_SPLIT_TRIES : 0, memory_order_relaxed);
	return done;
}

/* Likewise. */
static bool join_frames(struct pool *pool)
{
	enum { LOOKS = 256 };
	uint64_t blocks = atomic_load(&pool->mapped) / HUGE_BLOCK;
	unsigned joined = 0;
	for (uint64_t seen = 0; seen < MIN(blocks, (uint64_t)LOOKS) && joined < JOIN_STEP; seen++)
		joined += join_block(pool, pool->join_hand++ % blocks * HUGE_BLOCK);
	return joined == JOIN_STEP;
}

void store_wants_join(struct store *s)
{
	if (!atomic_exchange_explicit(&s->join_due, true, memory_order_relaxed))
		store_wake(s);
}

/* While some leave, what was joined would be taken apart again. */
static bool at_rest(const _Atomic(uint64_t) *left, uint64_t *seen)
{
	uint64_t now = atomic_load_explicit(left, memory_order_relaxed), before = *seen;
	*seen = now;
	return now == before;
}

void store_join(struct store *s)
{
	if (!atomic_exchange_explicit(&s->join_due, false, memory_order_relaxed))
		return;
	bool more = at_rest(&s->table.evictions, &s->table.evictions_seen) && join_leaves(&s->table);
	more = (at_rest(&s->pool.given_back, &s->pool.given_back_seen) && join_frames(&s->pool)) || more;
	if (more)
		store_wants_join(s);
}
