/* Slots for new objects: those that deletes gave back, leaf by leaf, then those above all that were ever used. Under
 * store.lock. */
#include "store/base_internal.h"

enum { DAMAGED_MOST = 64 }; /* leaves or groups that one call tries to read in vain */

static int push_free_leaf(struct table *t, uint64_t number)
{
	uint64_t *list = ps_memory_grow(&t->store->memory, t->free_leaves, t->free_count, &t->free_size, sizeof(*list));
	if (!list)
		return PS_ENOMEM;
	t->free_leaves = list;
	t->free_leaves[t->free_count++] = number;
	return PS_OK;
}

/* Without memory to note it the slot stays unused until the next open finds it. */
void table_give_slot(struct table *t, uint64_t slot)
{
	struct table_node *g;
	struct table_leaf *l;
	if (!slot || table_find_leaf(t, slot, &g, &l) != PS_OK)
		return;
	if (!l->in_free_list && push_free_leaf(t, slot / FANOUT) != PS_OK)
		return;
	l->in_free_list = true;
	l->free_slots[slot % FANOUT / 64] |= (uint64_t)1 << (slot % 64);
}

static bool pop_free_slot(struct table *t, uint64_t *slot)
{
	while (t->free_count) {
		uint64_t number = t->free_leaves[t->free_count - 1];
		struct table_leaf *l = &table_group(t, number / FANOUT)->leaf[number % FANOUT];
		for (unsigned i = 0; i < 2; i++) {
			if (!l->free_slots[i])
				continue;
			unsigned bit = (unsigned)__builtin_ctzll(l->free_slots[i]);
			l->free_slots[i] &= l->free_slots[i] - 1;
			*slot = number * FANOUT + i * 64 + bit;
			return true;
		}
		l->in_free_list = false;
		t->free_count--;
	}
	return false;
}

static int slot_generation(struct table *t, uint64_t slot, uint32_t *generation)
{
	struct entry e;
	int err = table_get(t, slot, &e);
	*generation = err || entry_kind(&e) != ENTRY_FREE ? 0 : next_generation(t->store, &e);
	return err;
}

static bool is_damage(int err)
{
	return err == PS_ECORRUPT || err == PS_EIO;
}

/* Its leaf cannot be read: no use to try its other slots. */
static void forget_leaf(struct table *t, uint64_t slot)
{
	struct table_node *g;
	struct table_leaf *l;
	if (table_find_leaf(t, slot, &g, &l) == PS_OK)
		l->free_slots[0] = l->free_slots[1] = 0;
}

/* The first slot behind the damage: the leaf's, or a whole group's. */
static uint64_t behind_damage(struct table *t, uint64_t slot)
{
	struct table_node *g;
	struct table_leaf *l;
	uint64_t step = table_find_leaf(t, slot, &g, &l) == PS_OK ? FANOUT : GROUP_SLOTS;
	return (slot / step + 1) * step;
}

static int new_slot(struct table *t, uint64_t *slot, uint32_t *generation)
{
	for (unsigned damaged = 0;;) {
		*slot = atomic_load(&t->slots) ? atomic_load(&t->slots) : 1;
		/* A slot that was never used has had as many generations as there were crashes. */
		if (t->store->crashes >= GENERATION_MAX || *slot >= (uint64_t)GROUP_SLOTS * GROUPS_PER_CHUNK * GROUP_CHUNKS)
			return ps_fail(PS_EFULL, "%s: no ids left", t->store->path);
		/* Readers look no further than at the entry, which is FREE. */
		atomic_store_explicit(&t->slots, *slot + 1, memory_order_release);
		int err = slot_generation(t, *slot, generation);
		if (!err && *generation)
			return PS_OK;
		if (err && !is_damage(err)) {
			atomic_store(&t->slots, *slot);
			return err;
		}
		if (err)
			atomic_store(&t->slots, behind_damage(t, *slot));
		/* The next call goes on from here. */
		if (err && ++damaged == DAMAGED_MOST)
			return err;
	}
}

/* A slot whose generations are used up, or whose leaf cannot be read, is passed over for good. */
int table_take_slot(struct table *t, uint64_t *slot, uint32_t *generation)
{
	while (pop_free_slot(t, slot)) {
		int err = slot_generation(t, *slot, generation);
		if (!err && *generation)
			return PS_OK;
		if (is_damage(err))
			forget_leaf(t, *slot);
		else if (err) {
			table_give_slot(t, *slot);
			return err;
		}
	}
	return new_slot(t, slot, generation);
}
