#include "store/known_runs.h"

enum { BUDGET_SHARE = 256 }; /* of the budget that the notes may take */

void known_runs_done(struct store *s)
{
	ps_memory_free(&s->memory, atomic_load(&s->known_runs), KNOWN_RUNS * sizeof(struct known_run));
}

/* NULL: not with this budget, or not now. */
static struct known_run *make_runs(struct store *s)
{
	struct known_run *runs = atomic_load_explicit(&s->known_runs, memory_order_acquire), *none = NULL;
	const size_t bytes = KNOWN_RUNS * sizeof(*runs);
	if (runs || bytes > s->budget / BUDGET_SHARE)
		return runs;
	runs = ps_memory_zalloc(&s->memory, bytes);
	if (!runs || atomic_compare_exchange_strong(&s->known_runs, &none, runs))
		return runs;
	ps_memory_free(&s->memory, runs, bytes);
	return none;
}

/* The version of the leaf at which the object's entry is this one. */
static bool version_of(struct store *s, ps_id id, const struct entry *e, uint64_t *version)
{
	const struct table_leaf *leaf;
	const _Atomic(uint64_t) *entry;
	struct entry now;
	if (!resident_leaf(&s->table, id_slot(id), &leaf, &entry))
		return false;
	*version = atomic_load_explicit(&leaf->state, memory_order_acquire);
	entry_load(entry, &now);
	uint64_t after = atomic_load_explicit(&leaf->state, memory_order_acquire);
	return !(*version & LEAF_SEQ) && *version & LEAF_RESIDENT && !((*version ^ after) & LEAF_VERSION) &&
	       entry_equal(&now, e);
}

static bool in_one_region(const struct pool *pool, uint64_t place, uint64_t size)
{
	return (place ^ (place + size - 1)) >> pool->region_shift == 0 &&
	       (size - 1) / CHUNK * (CHUNK / PAGE) <= UINT32_MAX;
}

void known_runs_note(struct store *s, ps_id id, const struct entry *e, uint64_t place, uint64_t removals)
{
	struct known_run *runs = s->options.verify_reads ? NULL : make_runs(s);
	uint64_t version;
	if (!runs || !in_one_region(&s->pool, place, entry_size(e)) || !version_of(s, id, e, &version))
		return;
	struct known_run *k = known_run_of(runs, id);
	uint64_t sequence = atomic_load(&k->sequence);
	/* Two at once: one note is enough. */
	if (sequence & 1 || !atomic_compare_exchange_strong(&k->sequence, &sequence, sequence + 1))
		return;
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&k->id, id, memory_order_relaxed);
	atomic_store_explicit(&k->version, version, memory_order_relaxed);
	atomic_store_explicit(&k->removals, removals, memory_order_relaxed);
	atomic_store_explicit(&k->place, place, memory_order_relaxed);
	atomic_store_explicit(&k->size, entry_size(e), memory_order_relaxed);
	atomic_store_explicit(&k->sequence, sequence + 2, memory_order_release);
}
