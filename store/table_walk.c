/* The next leaf that has, or may have, entries: without reading what lies between. */
#include <sys/param.h>

#include "store/base_internal.h"

/* A page is written by each checkpoint that writes any below it, and its pointer has that one's number. */
static bool leaf_may_have_changed(const struct table_node *g, unsigned leaf, uint64_t since)
{
	uint64_t state = atomic_load(&g->leaf[leaf].state);
	if (!since)
		return state & LEAF_RESIDENT || g->child[leaf].place[0];
	return state & (LEAF_DIRTY | LEAF_PATCHED) || g->child[leaf].checkpoint > since;
}

static bool node_may_have_changed(const struct table_node *n, unsigned i, uint64_t since)
{
	const struct table_node *child = n->node[i];
	if (!since)
		return child || n->child[i].place[0];
	return (child && child->dirty) || n->child[i].checkpoint > since;
}

/* The slot itself, or the first one behind what its highest page says that it can pass over. Under
 * table.lock, which keeps nodes that are not in memory as they are: checkpoints change only what is. */
static uint64_t pass_over(const struct table *t, uint64_t slot, uint64_t since)
{
	const struct table_node *n = t->root;
	uint64_t leaf = slot / FANOUT;
	if (leaf / FANOUT >= table_groups(t->height))
		return UINT64_MAX;
	for (unsigned level = t->height; level > 1; level--) {
		uint64_t below = table_groups(level - 1);
		unsigned i = (unsigned)(leaf / FANOUT / below % FANOUT);
		if (!node_may_have_changed(n, i, since))
			return (leaf / FANOUT / below + 1) * below * GROUP_SLOTS;
		if (!n->node[i])
			return slot;
		n = n->node[i];
	}
	return leaf_may_have_changed(n, (unsigned)(leaf % FANOUT), since) ? slot : (leaf + 1) * FANOUT;
}

uint64_t table_next_since(struct table *t, uint64_t slot, uint64_t checkpoint)
{
	uint64_t end = MAX(atomic_load(&t->slots), slot), next = slot;
	pthread_mutex_lock(&t->lock);
	do {
		slot = next;
		next = slot < end ? pass_over(t, slot, checkpoint) : slot;
	} while (next != slot);
	pthread_mutex_unlock(&t->lock);
	return MIN(slot, end);
}

static _Atomic(uint64_t) *leaf_state(struct table *t, uint64_t slot)
{
	struct table_node *g = table_known_group(t, slot / GROUP_SLOTS);
	return g ? &g->leaf[slot / FANOUT % FANOUT].state : NULL;
}

void table_touch(struct table *t, uint64_t slot)
{
	_Atomic(uint64_t) *state = leaf_state(t, slot);
	if (state && !(atomic_load_explicit(state, memory_order_relaxed) & LEAF_TOUCHED))
		atomic_fetch_or_explicit(state, LEAF_TOUCHED, memory_order_relaxed);
}

/* What is not in memory was not used for long. */
bool table_touched(struct table *t, uint64_t slot, bool clear)
{
	_Atomic(uint64_t) *state = leaf_state(t, slot);
	bool touched = state && atomic_load_explicit(state, memory_order_relaxed) & LEAF_TOUCHED;
	if (touched && clear)
		atomic_fetch_and_explicit(state, ~LEAF_TOUCHED, memory_order_relaxed);
	return touched;
}

/* Leaves that are neither in memory nor on disk have no entries. */
uint64_t table_next(struct table *t, uint64_t slot)
{
	return table_next_since(t, slot, 0);
}

uint64_t table_next_possible(struct table *t, uint64_t slot)
{
	return slot < atomic_load(&t->unknown) ? slot : table_next(t, slot);
}

static uint64_t full_pages(unsigned level)
{
	return 2 + FANOUT * (level > 1 ? full_pages(level - 1) : 1);
}

static uint64_t node_pages(const struct table_node *n)
{
	uint64_t pages = 0;
	for (int i = 0; i < 2; i++)
		pages += (n->self.place[i] ? 1U : 0U) + (n->spare[i] ? 1U : 0U);
	for (unsigned i = 0; i < FANOUT; i++) {
		unsigned written = n->child[i].place[0] ? 1 : 0;
		if (n->level == 1)
			pages += written + (n->leaf[i].new_place ? 1U : 0U);
		else if (n->node[i])
			pages += node_pages(n->node[i]);
		else if (written)
			pages += full_pages(n->level - 1);
	}
	return pages;
}

uint64_t table_bytes(const struct table *t)
{
	return node_pages(t->root) * PAGE;
}

int table_pass_damage(void *arg, uint64_t first_slot, uint64_t slots, uint64_t place)
{
	(void)arg, (void)first_slot, (void)slots, (void)place;
	return PS_OK;
}
