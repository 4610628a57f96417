/* Eviction: contents that are confirmed elsewhere leave the file, least recently used first.
 *
 * An object that leaves gets an entry that has all of the old one but the place, or a map with pointers that
 * have none, by relaxed commits that change nothing else, as compaction moves. What they free is freed as
 * everything is: used anew when that is durable and nobody holds it. So a crash before that leaves the object
 * here, one after it leaves it away, and no reader loses what it reads.
 *
 * Use is known by leaf: readers and writers mark the leaf of an entry (LEAF_TOUCHED, read anyway, and written
 * only where it is not set). A hand goes round the table, and round again as long as the goal is not reached,
 * each time content with less: a clock with a second chance. */
#include <sys/param.h>

#include "store/base_internal.h"

enum { BATCH = 64, MAP_PIECES = 1024 };

enum round {
	ROUND_UNTOUCHED, /* what was not used since the hand was here; marks are cleared */
	ROUND_COLD,      /* of what was not used since: what is not in memory either */
	ROUND_UNUSED,    /* all of that */
	ROUND_ALL,
	ROUNDS
};

struct evictor {
	struct store *s;
	uint64_t goal, here, freed; /* bytes of the file */
	uint64_t want;              /* to free, at the beginning */
	uint32_t confirmed;         /* when it began */
	enum round round;
	struct change *changes; /* BATCH, of objects in one piece */
	size_t count;
	uint64_t batch_bytes;
	ps_progress_fn fn;
	void *arg;
};

/* What is here is estimated, the table's part of it from above; a goal of 0 means all, whatever the estimate.
 */
static uint64_t left(const struct evictor *v)
{
	uint64_t gone = v->freed + v->batch_bytes;
	if (v->goal == 0 && v->confirmed)
		return UINT64_MAX;
	return v->here > v->goal + gone ? v->here - v->goal - gone : 0;
}

static int progress(struct evictor *v, const char *phase)
{
	uint64_t want = MIN(v->want, MAX(v->here, v->freed));
	struct ps_progress p = {phase, MIN(v->freed, want), want};
	if (v->fn && v->fn(v->arg, &p))
		return ps_fail(PS_ECANCELED, "%s: eviction ended by the caller", v->s->path);
	return PS_OK;
}

/* ---- what may leave ---- */

static bool in_memory(struct store *s, uint64_t frame)
{
	return atomic_load_explicit(pool_state(&s->pool, frame), memory_order_relaxed) & PAGE_RESIDENT;
}

/* Of a large object what was written in intervals that are confirmed, whatever was changed of it since. */
static bool may_leave(struct evictor *v, const struct entry *e)
{
	if (entry_kind(e) == ENTRY_MAP)
		return v->confirmed > 0;
	if (entry_kind(e) != ENTRY_DATA || !is_confirmed(v->s, e))
		return false;
	return v->round != ROUND_COLD || !in_memory(v->s, entry_frame(v->s, e));
}

/* A cut holds what would be freed, and is dropped when it holds too much. */
static int check_no_cut(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	bool cut = s->cut != NULL;
	pthread_mutex_unlock(&s->lock);
	return cut ? ps_fail(PS_EBUSY, "%s: a cut or backup holds what would be freed", s->path) : PS_OK;
}

/* ---- objects in one piece ---- */

static void drop_change(struct evictor *v, size_t which)
{
	v->batch_bytes -= entry_extent(v->s->classes, &v->changes[which].expected).len;
	v->changes[which] = v->changes[--v->count];
}

/* What was changed, moved or deleted meanwhile stays as it is. */
static int commit_batch(struct evictor *v)
{
	size_t which = 0;
	if (!v->count)
		return PS_OK;
	int err = check_no_cut(v->s);
	while (!err && v->count) {
		err = commit_changes(v->s, v->changes, v->count, PS_RELAXED, &which);
		if (err != COMMIT_CHANGED && err != PS_ENOTFOUND)
			break;
		drop_change(v, which);
		err = PS_OK;
	}
	if (!err)
		v->freed += v->batch_bytes;
	v->count = 0;
	v->batch_bytes = 0;
	return err ? err : progress(v, "evicting");
}

static int evict_contents(struct evictor *v, ps_id id, const struct entry *e)
{
	struct change *c = &v->changes[v->count++];
	change_init(c, CHANGE_SET, id);
	c->expected = *e;
	c->has_expected = c->keeps_interval = true;
	c->entry = entry_make(ENTRY_AWAY, 0, entry_size(e), e->w[2], 0, entry_generation(e));
	entry_set_interval(&c->entry, entry_interval(e));
	v->batch_bytes += entry_extent(v->s->classes, e).len;
	return v->count == BATCH || !left(v) ? commit_batch(v) : PS_OK;
}

/* ---- maps ---- */

struct leaving {
	struct evictor *v;
	struct map_writer map;
	uint64_t bytes;
};

static int add_piece(void *arg, struct ps_extent extent, const struct blob *blob, uint64_t chunk)
{
	struct leaving *l = arg;
	bool skip = chunk == MAP_NO_CHUNK || l->map.count == MAP_PIECES || l->bytes >= left(l->v) ||
	            (l->v->round == ROUND_COLD && in_memory(l->v->s, blob->place));
	if (skip)
		return PS_OK;
	l->bytes += extent.len;
	return map_writer_put(&l->map, chunk, &(struct map_chunk){0, (uint32_t)blob->len, blob->checksum});
}

static uint64_t list_bytes(const struct extent_list *list)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < list->count; i++)
		bytes += extent_list_items(list)[i].len;
	return bytes;
}

/* Under a hold. The map's own pages move to new places: what is freed is less by as much. */
static int write_map(struct leaving *l, struct change *c, const struct entry *e, size_t *pieces)
{
	struct store *s = l->v->s;
	map_writer_init(&l->map, s, c, e);
	map_writer_moves(&l->map, false);
	int err = map_extents_until(s, c->id, e, l->v->confirmed, add_piece, l);
	*pieces = l->map.count;
	if (!err && *pieces)
		err = map_writer_finish(&l->map, entry_size(e));
	map_writer_done(&l->map);
	entry_set_interval(&c->entry, entry_interval(e));
	uint64_t more = list_bytes(&c->taken) + extent_len(c->nbytes), less = list_bytes(&c->given);
	if (!err && *pieces)
		err = commit_changes(s, c, 1, PS_RELAXED, NULL);
	if (c->committed)
		l->v->freed += less > more ? less - more : 0;
	return err;
}

/* Some pieces of a large object; *more: there may be others. */
static int evict_pieces(struct evictor *v, uint64_t slot, bool *more)
{
	struct store *s = v->s;
	struct leaving l = {.v = v};
	struct entry e;
	struct change c;
	size_t pieces = 0;
	space_hold(&s->space, slot);
	int err = table_get(&s->table, slot, &e);
	bool leaves = !err && entry_kind(&e) == ENTRY_MAP && may_leave(v, &e);
	if (leaves) {
		change_init(&c, CHANGE_SET, id_make(slot, entry_generation(&e)));
		c.expected = e;
		c.has_expected = c.keeps_interval = c.stream = true;
		err = write_map(&l, &c, &e, &pieces);
		if (!c.committed)
			change_undo(s, &c);
		change_done(s, &c);
	}
	space_unhold(&s->space, slot);
	*more = pieces == MAP_PIECES || err == COMMIT_CHANGED;
	return err == COMMIT_CHANGED || err == PS_ENOTFOUND ? PS_OK : err;
}

/* A map that cannot be read, or rewritten on a full disk, stays as it is. */
static int evict_map(struct evictor *v, uint64_t slot)
{
	bool more = true;
	int err = commit_batch(v);
	while (!err && more && left(v)) {
		err = check_no_cut(v->s);
		if (!err)
			err = evict_pieces(v, slot, &more);
		if (!err)
			err = progress(v, "evicting");
	}
	return err == PS_ECORRUPT || err == PS_ENOSPC ? PS_OK : err;
}

/* ---- the hand ---- */

static int evict_slot(struct evictor *v, uint64_t slot)
{
	struct entry e;
	int err = table_get(&v->s->table, slot, &e);
	if (err || !may_leave(v, &e))
		return err;
	return entry_kind(&e) == ENTRY_MAP ? evict_map(v, slot)
	                                   : evict_contents(v, id_make(slot, entry_generation(&e)), &e);
}

/* A leaf that cannot be read keeps what it has. */
static int evict_leaf(struct evictor *v, uint64_t first)
{
	int err = PS_OK;
	bool touched = table_touched(&v->s->table, first, v->round == ROUND_UNTOUCHED);
	if (touched && v->round != ROUND_ALL)
		return PS_OK;
	for (uint64_t slot = first; slot < first + FANOUT && !err && left(v); slot++)
		err = evict_slot(v, slot);
	return err == PS_ECORRUPT || err == PS_EIO ? PS_OK : err;
}

/* From the hand round to it again. */
static int go_round(struct evictor *v)
{
	struct table *t = &v->s->table;
	uint64_t *hand = &v->s->residency.hand, begin = *hand, slot = begin;
	bool wrapped = false;
	int err = PS_OK;
	while (!err && left(v)) {
		slot = table_next(t, slot) & ~(uint64_t)(FANOUT - 1);
		if (slot >= atomic_load(&t->slots)) {
			if (wrapped)
				break;
			wrapped = true;
			slot = 0;
			continue;
		}
		if (wrapped && slot >= begin)
			break;
		err = evict_leaf(v, slot);
		slot += FANOUT;
		*hand = slot;
	}
	int last = commit_batch(v);
	return err ? err : last;
}

/* ---- all of it ---- */

static uint64_t spill_bytes(const struct log *log)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < log->spill_count; i++)
		bytes += log->spills[i].extent.len;
	return bytes;
}

/* Bytes of the file that contents and maps take. Under store.lock. */
static uint64_t bytes_here(const struct store *s)
{
	const struct space *sp = &s->space;
	struct ps_allocator *all = sp->slots ? sp->slots : sp->root;
	struct ps_allocator_stats stats;
	all->ops->stats(all, &stats);
	uint64_t others = SUPERBLOCK_AREA + s->log.ring[0].len + s->log.ring[1].len + spill_bytes(&s->log) +
	                  table_bytes(&s->table);
	others += sp->pending_bytes + sp->open.len + sp->pages.len + (uint64_t)sp->reserve_count * PAGE +
	          s->uncommitted_bytes + classes_tail_bytes(s);
	uint64_t used = stats.space - stats.free - stats.forgotten;
	return used > others ? used - others : 0;
}

static int check_may_begin(struct store *s)
{
	if (s->cut)
		return ps_fail(PS_EBUSY, "%s: a cut or backup holds what would be freed", s->path);
	if (s->residency.evicting)
		return ps_fail(PS_EBUSY, "%s: another eviction is under way", s->path);
	return s->table.damaged
	           ? ps_fail(PS_ECORRUPT, "%s: the table is damaged: nothing can be called free", s->path)
	           : PS_OK;
}

/* The feature is durable before any entry has it. */
static int say_away(struct store *s)
{
	checkpoint_lock(s);
	struct superblock_numbers numbers = superblock_get_numbers(s);
	int err = PS_OK;
	if (!numbers.away) {
		numbers.away = true;
		err = superblock_set_numbers(s, &numbers);
	}
	checkpoint_unlock(s);
	return err;
}

static int begin(struct evictor *v)
{
	struct store *s = v->s;
	while (rebuild_help(s))
		;
	pthread_mutex_lock(&s->lock);
	int err = store_begin_writing(s);
	if (!err)
		err = rebuild_finish(&s->space);
	if (!err)
		err = check_may_begin(s);
	if (!err) {
		s->residency.evicting = true;
		v->confirmed = (uint32_t)atomic_load(&s->residency.confirmed);
		/* Without that nothing may leave, and the superblock says no more than before. */
		v->here = v->confirmed ? bytes_here(s) : 0;
		v->want = left(v);
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

static int evict(struct evictor *v)
{
	int err = v->want ? say_away(v->s) : PS_OK;
	if (!err)
		err = progress(v, "evicting");
	for (v->round = ROUND_UNTOUCHED; v->round < ROUNDS && left(v) && !err; v->round++)
		err = go_round(v);
	/* There may be room again for what is fetched. */
	atomic_store(&v->s->residency.passing, 0);
	return err ? err : progress(v, "done");
}

static bool is_attached(struct store *s)
{
	pthread_mutex_lock(&s->residency.lock);
	bool attached = s->residency.attached;
	pthread_mutex_unlock(&s->residency.lock);
	return attached;
}

int ps_backing_evict(ps_storer *st, uint64_t goal, ps_progress_fn fn, void *arg, uint64_t *freed)
{
	struct evictor v = {.goal = goal, .fn = fn, .arg = arg};
	int err = store_below(st, &v.s);
	if (!err)
		err = store_writable(v.s);
	if (!err && !is_attached(v.s))
		err = ps_fail(PS_EUNAVAILABLE, "%s: nothing is attached that contents could be fetched from",
		              v.s->path);
	if (err)
		return err;
	v.changes = ps_memory_alloc(&v.s->memory, BATCH * sizeof(*v.changes));
	if (!v.changes)
		return ps_fail(PS_ENOMEM, "%s: no memory to evict", v.s->path);
	err = begin(&v);
	if (!err) {
		err = evict(&v);
		pthread_mutex_lock(&v.s->lock);
		v.s->residency.evicting = false;
		pthread_mutex_unlock(&v.s->lock);
	}
	ps_memory_free(&v.s->memory, v.changes, BATCH * sizeof(*v.changes));
	if (freed)
		*freed = v.freed;
	return err ? store_end_call(v.s, err) : PS_OK;
}
