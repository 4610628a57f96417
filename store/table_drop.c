/* Leaves without objects go with compaction; what they say of their ids must not be lost with them. */
#include "store/base_internal.h"

int table_leaf_generations(struct table *t, uint64_t number, uint64_t crashes, uint64_t *highest)
{
	*highest = 0;
	for (uint64_t slot = number * FANOUT; slot < (number + 1) * FANOUT; slot++) {
		struct entry e;
		int err = table_get(t, slot, &e);
		if (err)
			return err;
		if (entry_kind(&e) != ENTRY_FREE || entry_interval(&e))
			return PS_EBUSY;
		uint64_t last = e.w[3] ? entry_generation(&e) + (crashes - (e.w[3] >> 32)) : 0;
		*highest = last > *highest ? last : *highest;
	}
	return PS_OK;
}

static bool all_slots_free(struct table *t, const struct table_leaf *l, uint64_t number)
{
	uint64_t end = atomic_load(&t->slots);
	for (uint64_t i = 0; i < FANOUT && number * FANOUT + i < end; i++) {
		if (!(l->free_slots[i / 64] >> (i % 64) & 1))
			return false;
	}
	return true;
}

/* Entries of zeros say the same as the leaf's, now that the count of crashes is at least as high as any generation in it: the
 * next one is above both. */
int table_drop_leaf(struct table *t, uint64_t number, uint64_t generations, uint64_t crashes, struct ps_extent *old)
{
	struct table_node *g;
	struct table_leaf *l;
	uint64_t highest;
	unsigned leaf = (unsigned)(number % FANOUT);
	old->len = 0;
	int err = table_find_leaf(t, number * FANOUT, &g, &l);
	if (err || !g->child[leaf].place[0] || !all_slots_free(t, l, number) || atomic_load(&l->state) & LEAF_WRITING)
		return err;
	/* Without a page it would be unknown again. */
	if (number * FANOUT < atomic_load(&t->unknown))
		return PS_OK;
	err = table_leaf_generations(t, number, crashes, &highest);
	if (err || highest > generations)
		return err == PS_EBUSY ? PS_OK : err;
	if ((err = table_prepare(t, number * FANOUT, false)) != PS_OK)
		return err;
	atomic_fetch_add(&l->state, LEAF_SEQ);
	for (int i = 0; i < LEAF_WORDS; i++)
		atomic_store_explicit(&g->entries[(size_t)leaf * LEAF_WORDS + (size_t)i], 0, memory_order_release);
	atomic_fetch_add(&l->state, LEAF_SEQ);
	space_free_now(&t->store->space, (struct ps_extent){l->new_place, PAGE});
	l->new_place = 0;
	*old = (struct ps_extent){g->child[leaf].place[0], PAGE};
	g->child[leaf] = (struct table_pointer){0};
	atomic_fetch_and(&l->state, ~LEAF_DIRTY);
	atomic_fetch_sub_explicit(&t->dirty_bytes, PAGE, memory_order_relaxed);
	return PS_OK;
}
