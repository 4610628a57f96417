/* Huge pages for blocks of table leaves that are all in memory: the work of the store's thread. */
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

void store_wants_join(struct store *s)
{
	if (!atomic_exchange_explicit(&s->join_due, true, memory_order_relaxed))
		store_wake(s);
}

void store_join(struct store *s)
{
	if (!atomic_exchange_explicit(&s->join_due, false, memory_order_relaxed))
		return;
	/* While leaves go, what was joined would be taken apart again. */
	uint64_t evictions = atomic_load_explicit(&s->table.evictions, memory_order_relaxed);
	bool evicting = evictions != s->table.evictions_seen;
	s->table.evictions_seen = evictions;
	if (!evicting && join_leaves(&s->table))
		store_wants_join(s);
}
