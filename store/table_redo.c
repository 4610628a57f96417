/* What the log says of leaves that are not in memory, after a crash.
 *
 * Recovery notes the last entry of each slot that the log names. A leaf that is on disk gets its entries when
 * it is read, for whatever reason: until then it is PATCHED, which is as good as dirty, and stands in the
 * list of dirty leaves. So the first get after a crash waits for one leaf instead of all that the log names.
 * The first checkpoint brings in the rest, side by side (table_ahead.c), before it begins: no leaf is PATCHED
 * after that.
 *
 * The notes stay until then. Where they would be much beside the budget there are none: recovery applies the
 * log's entries as it meets them. */
#include <sys/param.h>

#include "store/base_internal.h"

enum { NOTES_SHARE = 16 }; /* of the budget */

struct table_redo {
	struct redo_note *notes;
	size_t count, size;
	uint32_t *index; /* hash: positions + 1; of slots while recovery notes, then of leaves' first notes */
	size_t index_size;
};

static size_t index_for(uint64_t operations)
{
	size_t size = 64;
	while (size < operations * 2)
		size *= 2;
	return size;
}

static void redo_free_notes(struct ps_memory *m, struct table_redo *redo)
{
	if (!redo)
		return;
	ps_memory_free(m, redo->notes, redo->size * sizeof(*redo->notes));
	ps_memory_free(m, redo->index, redo->index_size * sizeof(*redo->index));
	ps_memory_free(m, redo, sizeof(*redo));
}

static struct table_redo *redo_new(struct ps_memory *m, uint64_t operations)
{
	struct table_redo *redo = ps_memory_zalloc(m, sizeof(*redo));
	if (!redo)
		return NULL;
	redo->size = operations;
	redo->index_size = index_for(operations);
	redo->notes = ps_memory_alloc(m, redo->size * sizeof(*redo->notes));
	redo->index = redo->notes ? ps_memory_zalloc(m, redo->index_size * sizeof(*redo->index)) : NULL;
	if (redo->index)
		return redo;
	ps_memory_free(m, redo->notes, redo->size * sizeof(*redo->notes));
	ps_memory_free(m, redo, sizeof(*redo));
	return NULL;
}

/* In a store of which something is unknown entries build on each other: the last one is not enough. */
bool table_redo_begin(struct table *t, uint64_t operations)
{
	struct store *s = t->store;
	uint64_t most = s->budget / NOTES_SHARE / (sizeof(struct redo_note) + 4 * sizeof(uint32_t));
	if (!operations || operations > MIN(most, (uint64_t)UINT32_MAX / 4) || atomic_load(&t->unknown))
		return false;
	t->redo = redo_new(&s->memory, operations);
	return t->redo != NULL;
}

void table_redo_done(struct table *t)
{
	pthread_mutex_lock(&t->lock);
	struct table_redo *redo = t->redo;
	t->redo = NULL;
	pthread_mutex_unlock(&t->lock);
	redo_free_notes(&t->store->memory, redo);
}

/* ---- recovery ---- */

static size_t hash_number(const struct table_redo *redo, uint64_t number)
{
	return (size_t)(number * 0x9e3779b97f4a7c15U >> 20) & (redo->index_size - 1);
}

/* Slots whose numbers agree but for the last `shift` bits have one place. */
static uint32_t *place_in_index(const struct table_redo *redo, uint64_t slot, unsigned shift)
{
	size_t at = hash_number(redo, slot >> shift);
	while (redo->index[at] && redo->notes[redo->index[at] - 1].slot >> shift != slot >> shift)
		at = (at + 1) & (redo->index_size - 1);
	return &redo->index[at];
}

enum { BY_SLOT = 0, BY_LEAF = 7 };
static_assert(FANOUT == 1 << BY_LEAF, "the slots of a leaf agree but for seven bits");

int table_redo_note(struct table *t, const struct log_operation *op)
{
	struct table_redo *redo = t->redo;
	uint32_t *at = place_in_index(redo, op->slot, BY_SLOT);
	if (!*at && redo->count == redo->size)
		return ps_fail(PS_ECORRUPT, "%s: the log has more operations than its records say",
		               t->store->path);
	if (!*at)
		*at = (uint32_t)++redo->count;
	redo->notes[*at - 1] = (struct redo_note){op->slot, op->entry, op->bytes, op->nbytes, 0};
	return PS_OK;
}

static int mark_patched(struct table *t, struct table_leaf *l, uint64_t number)
{
	if (atomic_load(&l->state) & LEAF_PATCHED)
		return PS_OK;
	int err = table_reserve_dirty(t, 1);
	if (err)
		return err;
	atomic_fetch_or(&l->state, LEAF_PATCHED);
	t->dirty[t->dirty_count++] = number;
	atomic_fetch_add_explicit(&t->dirty_bytes, PAGE, memory_order_relaxed);
	return PS_OK;
}

/* To its leaf, or to the notes that wait for it. What a damaged page has nobody can reach: as in
 * table_recover. */
static int spread_note(struct table *t, struct table_redo *redo, size_t i)
{
	struct redo_note *note = &redo->notes[i];
	struct table_node *g;
	struct table_leaf *l;
	table_reach(t, note->slot);
	int err = table_find_leaf(t, note->slot, &g, &l);
	if (err == PS_ECORRUPT)
		note->nbytes = 0;
	if (err)
		return err == PS_ECORRUPT ? PS_OK : err;
	if (atomic_load(&l->state) & LEAF_RESIDENT || !g->child[note->slot / FANOUT % FANOUT].place[0])
		return table_recover(t, note->slot, &note->entry);
	uint32_t *first = place_in_index(redo, note->slot, BY_LEAF);
	note->next = *first;
	*first = (uint32_t)i + 1;
	return mark_patched(t, l, note->slot / FANOUT);
}

int table_redo_spread(struct table *t, const struct redo_note **notes, size_t *count)
{
	struct table_redo *redo = t->redo;
	int err = PS_OK;
	memset(redo->index, 0, redo->index_size * sizeof(*redo->index));
	for (size_t i = 0; i < redo->count && !err; i++)
		err = spread_note(t, redo, i);
	*notes = redo->notes;
	*count = redo->count;
	return err;
}

/* ---- later ---- */

void table_redo_apply(struct table *t, struct table_node *g, unsigned leaf)
{
	_Atomic(uint64_t) *state = &g->leaf[leaf].state;
	const struct table_redo *redo = t->redo;
	uint64_t slot = (g->number * FANOUT + leaf) * FANOUT;
	if (!(atomic_load(state) & LEAF_PATCHED))
		return;
	for (uint32_t i = *place_in_index(redo, slot, BY_LEAF); i; i = redo->notes[i - 1].next)
		table_set(t, redo->notes[i - 1].slot, &redo->notes[i - 1].entry);
	atomic_fetch_or(state, LEAF_DIRTY);
	atomic_fetch_and(state, ~LEAF_PATCHED);
}

static void read_ahead(struct table *t, const struct table_redo *redo)
{
	struct table_ahead ahead;
	table_ahead_init(&ahead, t);
	for (size_t i = 0; i < redo->index_size && ahead.leaves; i++) {
		if (redo->index[i])
			table_ahead_add(&ahead, redo->notes[redo->index[i] - 1].slot);
	}
	table_ahead_read(&ahead);
	table_ahead_done(&ahead);
}

/* Unless it could be read meanwhile. */
static void give_up(struct table *t, uint64_t slot)
{
	struct table_node *g = table_known_group(t, slot / GROUP_SLOTS);
	_Atomic(uint64_t) *state = &g->leaf[slot / FANOUT % FANOUT].state;
	pthread_mutex_lock(&t->lock);
	if (atomic_fetch_and(state, ~LEAF_PATCHED) & LEAF_PATCHED)
		atomic_fetch_sub_explicit(&t->dirty_bytes, PAGE, memory_order_relaxed);
	pthread_mutex_unlock(&t->lock);
}

/* A damaged leaf loses what the log has for it. What may heal is tried again by the next checkpoint. */
static int bring(struct table *t, uint64_t slot)
{
	struct entry e;
	int err = table_get(t, slot, &e);
	if (err != PS_ECORRUPT)
		return err;
	give_up(t, slot);
	return PS_OK;
}

int table_redo_finish(struct table *t)
{
	const struct table_redo *redo = t->redo;
	int err = PS_OK;
	if (!redo)
		return PS_OK;
	read_ahead(t, redo);
	for (size_t i = 0; i < redo->index_size && !err; i++) {
		if (redo->index[i])
			err = bring(t, redo->notes[redo->index[i] - 1].slot);
	}
	if (!err)
		table_redo_done(t);
	return err;
}
