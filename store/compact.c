/* Compaction: what lies above a limit moves below it, under its old id, by commits like any other; then the table and the log
 * follow, the file is cut, and what is free below is given back to the file system. Others go on working. */
#include <sys/param.h>

#include "store/base_internal.h"

enum {
	PUNCH_MIN = 64 << 10,
	ROUNDS = 4,
	/* The count of crashes is raised to the generations in leaves that go, and every unused slot loses as many of its 2^24: at
	 * most one in 256. A leaf whose slots were used more often keeps its page. */
	GENERATIONS_MAX = 1 << 16,
};

struct compact {
	struct store *s;
	uint64_t limit;
	uint64_t moved, total;
	ps_progress_fn fn;
	void *arg;
};

static int progress(struct compact *c, const char *phase)
{
	struct ps_progress p = {phase, MIN(c->moved, c->total), c->total};
	if (c->fn && c->fn(c->arg, &p))
		return ps_fail(PS_ECANCELED, "%s: compaction ended by the caller", c->s->path);
	return PS_OK;
}

/* ---- objects ---------------------------------------------------------------------------------------------------------- */

struct high {
	uint64_t limit, bytes;
};

static int add_high(void *arg, struct ps_extent extent, const struct blob *blob, uint64_t chunk)
{
	struct high *h = arg;
	(void)blob;
	(void)chunk;
	h->bytes += extent.offset + extent.len > h->limit ? extent.len : 0;
	return PS_OK;
}

/* In a sparse slab that is to be emptied. */
static bool is_retired(struct store *s, const struct entry *e)
{
	if (!entry_class(e))
		return false;
	pthread_mutex_lock(&s->lock);
	bool retired = ps_omni_is_retired(s->space.slots, entry_place(e));
	pthread_mutex_unlock(&s->lock);
	return retired;
}

/* Bytes of the object that are to move: what lies above the limit, or in a sparse slab. */
static int bytes_above(struct store *s, ps_id id, const struct entry *e, uint64_t limit, uint64_t *bytes)
{
	struct high h = {is_retired(s, e) ? 0 : limit, 0};
	uint64_t len = entry_blob_len(e);
	int err = PS_OK;
	if (entry_kind(e) == ENTRY_MAP)
		err = map_extents(s, id, e, add_high, &h);
	else if (len)
		(void)add_high(&h, entry_extent(s->classes, e), NULL, MAP_NO_CHUNK);
	*bytes = h.bytes;
	return err;
}

struct mover {
	struct compact *c;
	struct map_writer map;
};

static int move_chunk(void *arg, struct ps_extent extent, const struct blob *blob, uint64_t chunk)
{
	struct mover *m = arg;
	const uint8_t *data;
	struct store *s = m->c->s;
	if (chunk == MAP_NO_CHUNK || extent.offset + extent.len <= m->c->limit)
		return PS_OK;
	int err = pool_pin(&s->pool, blob, m->map.id, &data);
	if (err)
		return err;
	err = map_write_chunks(&m->map, chunk, data, blob->len);
	pool_unpin(&s->pool, blob->place);
	return err;
}

static int move_map(struct compact *c, struct change *change, const struct entry *e)
{
	struct mover m = {.c = c};
	map_writer_init(&m.map, c->s, change, e);
	map_writer_moves(&m.map, true);
	int err = map_extents(c->s, change->id, e, move_chunk, &m);
	if (!err)
		err = map_writer_finish(&m.map, entry_size(e));
	map_writer_done(&m.map);
	return err;
}

static int move_blob(struct compact *c, struct change *change, const struct entry *e)
{
	struct store *s = c->s;
	uint64_t size = entry_size(e);
	uint8_t *buffer = ps_memory_alloc(&s->memory, size);
	if (!buffer)
		return ps_fail(PS_ENOMEM, "%s: no memory to move an object", s->path);
	int err = object_read(s, change->id, e, 0, buffer, size, USE_ONCE);
	change->copy = buffer;
	change->copy_size = (uint32_t)size;
	return err ? err : change_contents(s, change, buffer, size);
}

/* Under a hold. What has been damaged stays where it is, with its checksum. */
static int move_held(struct compact *c, ps_id id, const struct entry *e)
{
	struct store *s = c->s;
	struct change change;
	change_init(&change, CHANGE_SET, id);
	change.expected = *e;
	change.has_expected = true;
	change.stream = true;
	int err = entry_kind(e) == ENTRY_MAP ? move_map(c, &change, e) : move_blob(c, &change, e);
	change.keeps_interval = true;
	entry_set_interval(&change.entry, entry_interval(e));
	if (!err)
		err = commit_changes(s, &change, 1, PS_RELAXED, NULL);
	if (err && !change.committed)
		change_undo(s, &change);
	change_done(s, &change);
	/* Changed or deleted meanwhile: what is left of it lies where its writer wanted it. */
	return err == COMMIT_CHANGED || err == PS_ENOTFOUND || err == PS_ECORRUPT ? PS_OK : err;
}

static int move_object(struct compact *c, uint64_t slot)
{
	struct store *s = c->s;
	struct entry e;
	uint64_t bytes = 0;
	space_hold(&s->space, slot);
	int err = table_get(&s->table, slot, &e);
	ps_id id = id_make(slot, entry_generation(&e));
	if (!err && entry_lives(&e) && entry_kind(&e) != ENTRY_RESERVED)
		err = bytes_above(s, id, &e, c->limit, &bytes);
	if (!err && bytes)
		err = move_held(c, id, &e);
	space_unhold(&s->space, slot);
	if (err == PS_ECORRUPT)
		err = PS_OK;
	c->moved += bytes;
	return !err && bytes ? progress(c, "moving") : err;
}

static int move_objects(struct compact *c)
{
	int err = PS_OK;
	for (uint64_t slot = 0; slot < atomic_load(&c->s->table.slots) && !err; slot++) {
		if (slot % FANOUT == 0)
			slot = table_next(&c->s->table, slot);
		err = move_object(c, slot);
	}
	return err;
}

/* ---- the table ------------------------------------------------------------------------------------------------------------- */

static uint64_t next_leaf(struct store *s, uint64_t number)
{
	return table_next(&s->table, number * FANOUT) / FANOUT;
}

/* What the leaves without objects need the count of crashes to be, so that they can go. */
static int needed_generations(struct compact *c, uint64_t *needed)
{
	struct store *s = c->s;
	uint64_t leaves = leaves_of(atomic_load(&s->table.slots));
	*needed = s->crashes;
	for (uint64_t number = next_leaf(s, 0); number < leaves; number = next_leaf(s, number + 1)) {
		uint64_t highest;
		pthread_mutex_lock(&s->lock);
		int err = table_leaf_generations(&s->table, number, s->crashes, &highest);
		pthread_mutex_unlock(&s->lock);
		if (err == PS_EBUSY || err == PS_ECORRUPT || (!err && highest > GENERATIONS_MAX))
			continue;
		if (err)
			return err;
		*needed = MAX(*needed, highest);
	}
	return PS_OK;
}

/* The count is durable before any generation is given out that relies on it. */
static int raise_crashes(struct store *s, uint64_t to)
{
	checkpoint_lock(s);
	struct superblock_numbers numbers = superblock_get_numbers(s);
	numbers.crashes = to;
	int err = superblock_set_numbers(s, &numbers);
	if (!err) {
		pthread_mutex_lock(&s->lock);
		s->crashes = to;
		pthread_mutex_unlock(&s->lock);
	}
	checkpoint_unlock(s);
	return err;
}

static int drop_leaves(struct compact *c)
{
	struct store *s = c->s;
	uint64_t needed, before = s->crashes;
	int err = needed_generations(c, &needed);
	if (!err && needed > before)
		err = raise_crashes(s, needed);
	uint64_t leaves = leaves_of(atomic_load(&s->table.slots));
	checkpoint_lock(s);
	for (uint64_t number = next_leaf(s, 0); number < leaves && !err; number = next_leaf(s, number + 1)) {
		struct ps_extent old;
		pthread_mutex_lock(&s->lock);
		err = s->cut ? PS_OK : table_drop_leaf(&s->table, number, needed, before, &old);
		if (!err && !s->cut && old.len)
			err = space_free_after_checkpoint(s, old);
		pthread_mutex_unlock(&s->lock);
		if (err == PS_ECORRUPT || err == PS_EIO)
			err = PS_OK;
	}
	checkpoint_unlock(s);
	return err;
}

static int move_table(struct compact *c)
{
	struct store *s = c->s;
	int err = PS_OK;
	/* The first checkpoint leaves the old places as spares, the second writes nothing there any more. */
	for (int i = 0; i < 2 && !err; i++) {
		pthread_mutex_lock(&s->lock);
		err = table_move_pages(&s->table, c->limit);
		pthread_mutex_unlock(&s->lock);
		if (!err)
			err = checkpoint_run(s);
	}
	pthread_mutex_lock(&s->lock);
	if (!err)
		err = table_move_pages(&s->table, c->limit);
	pthread_mutex_unlock(&s->lock);
	return err;
}

static int move_log(struct compact *c)
{
	struct store *s = c->s;
	const struct ring *ring = &s->log.ring[0];
	uint64_t want = s->fixed_log ? ring->len : checkpoint_wanted_ring(s);
	bool high = ring->offset + ring->len > c->limit && ring->offset > SUPERBLOCK_AREA;
	if (!high && want >= ring->len)
		return PS_OK;
	int err = checkpoint_move_ring(s, MIN(want, ring->len));
	return err ? err : checkpoint_run(s);
}

/* ---- the file ---------------------------------------------------------------------------------------------------------------- */

/* A smaller size stands in the superblock before the file is cut. */
static int cut_file(struct compact *c)
{
	struct store *s = c->s;
	uint64_t end;
	pthread_mutex_lock(&s->lock);
	space_give_reserve_back(&s->space);
	int err = space_cut_tail(&s->space, &end);
	pthread_mutex_unlock(&s->lock);
	if (!err)
		err = checkpoint_run(s);
	pthread_mutex_lock(&s->lock);
	if (!err && s->space.end == end && s->space.file_bytes > end) {
		err = s->io->ops->truncate(s->io, end);
		s->space.file_bytes = err ? s->space.file_bytes : end;
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

static int punch_free(struct compact *c)
{
	int err = space_punch(c->s, PUNCH_MIN);
	if (!err)
		err = space_punch_slabs(c->s);
	return err == PS_ENOTSUP ? PS_OK : err;
}

/* ---- slabs --------------------------------------------------------------------------------------------------------------------- */

/* What may stay free in slabs however full the file is packed: half a slab a class, and where slabs must be aligned. */
static uint64_t open_slabs(struct store *s)
{
	uint64_t bytes = 0;
	for (unsigned class = 1; s->classes && class <= s->classes->table.count; class++) {
		struct ps_class_stats stats;
		ps_omni_class_stats(s->space.slots, class, &stats);
		bytes += stats.used ? ps_class_geometry(s->classes, class)->slab_bytes / 2 : 0;
	}
	return bytes;
}

/* Slabs of each class by how full they are: so many free slots below the limit in slabs of at least that fill. */
enum { FILLS = 16 };
struct sparse {
	struct store *s;
	uint64_t limit;
	uint64_t used[PS_CLASSES_MAX + 1][FILLS], slots[PS_CLASSES_MAX + 1][FILLS];
	uint64_t above[PS_CLASSES_MAX + 1]; /* used slots that come down from above the limit */
	unsigned keep[PS_CLASSES_MAX + 1];  /* slabs of less fill go, fuller ones stay; of this fill as many go as there is room for */
	uint64_t room[PS_CLASSES_MAX + 1], moved[PS_CLASSES_MAX + 1];
};

static unsigned fill_of(const struct ps_slab_info *slab)
{
	return (unsigned)MIN((uint64_t)slab->used * FILLS / slab->slots, (uint64_t)FILLS - 1);
}

static int count_slab(void *arg, const struct ps_slab_info *slab)
{
	struct sparse *sparse = arg;
	unsigned fill = fill_of(slab);
	if (slab->offset < sparse->limit) {
		sparse->used[slab->class][fill] += slab->used;
		sparse->slots[slab->class][fill] += slab->slots;
	} else {
		sparse->above[slab->class] += slab->used;
	}
	return PS_OK;
}

/* One slab, or all of a fill: goes if what is in it has room in those that stay. */
static bool may_go(struct sparse *sparse, unsigned class, uint64_t used, uint64_t slots)
{
	uint64_t room = sparse->room[class] - (slots - used), moved = sparse->moved[class] + used;
	if (moved > room)
		return false;
	sparse->room[class] = room;
	sparse->moved[class] = moved;
	return true;
}

/* The sparsest slabs go as long as the fuller ones have room for what is in them. */
static void choose_fills(struct sparse *sparse, unsigned class)
{
	unsigned keep = 0;
	for (unsigned i = 0; i < FILLS; i++)
		sparse->room[class] += sparse->slots[class][i] - sparse->used[class][i];
	sparse->moved[class] = sparse->above[class];
	while (keep < FILLS - 1 && may_go(sparse, class, sparse->used[class][keep], sparse->slots[class][keep]))
		keep++;
	sparse->keep[class] = keep;
}

static int retire_slab(void *arg, const struct ps_slab_info *slab)
{
	struct sparse *sparse = arg;
	unsigned fill = fill_of(slab), keep = sparse->keep[slab->class];
	bool retire = slab->offset >= sparse->limit || fill < keep ||
		      (fill == keep && may_go(sparse, slab->class, slab->used, slab->slots));
	return ps_omni_retire(sparse->s->space.slots, slab->offset, retire);
}

/* Without memory to think about it only what lies above the limit moves. */
static void retire_sparse(struct store *s, uint64_t limit)
{
	struct sparse *sparse = ps_memory_zalloc(&s->memory, sizeof(*sparse));
	if (!sparse)
		return;
	sparse->s = s;
	sparse->limit = limit;
	(void)ps_omni_each_slab(s->space.slots, count_slab, sparse);
	for (unsigned class = 1; class <= s->classes->table.count; class++)
		choose_fills(sparse, class);
	(void)ps_omni_each_slab(s->space.slots, retire_slab, sparse);
	ps_memory_free(&s->memory, sparse, sizeof(*sparse));
}

static int unretire(void *arg, const struct ps_slab_info *slab)
{
	return slab->retired ? ps_omni_retire(arg, slab->offset, false) : PS_OK;
}

static void end_slabs(struct store *s)
{
	if (!s->space.slots)
		return;
	(void)ps_omni_each_slab(s->space.slots, unretire, s->space.slots);
	ps_omni_set_limit(s->space.slots, 0);
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------------- */

static void set_limit(struct compact *c, uint64_t goal)
{
	struct store *s = c->s;
	struct ps_allocator_stats stats;
	pthread_mutex_lock(&s->lock);
	struct ps_allocator *all = s->space.slots ? s->space.slots : s->space.root;
	all->ops->stats(all, &stats);
	uint64_t used = stats.space - stats.free;
	uint64_t least = (used + used / 64 + (128 << 10) + open_slabs(s)) & ~(uint64_t)(PAGE - 1);
	c->limit = MIN(MAX(goal, least), s->space.end);
	c->total = s->space.end - c->limit;
	c->moved = 0;
	s->space.below = c->limit;
	if (s->space.slots) {
		s->space.lifted = false;
		ps_omni_set_limit(s->space.slots, c->limit);
		retire_sparse(s, c->limit);
	}
	pthread_mutex_unlock(&s->lock);
}

/* On a full disk a step goes as far as it gets: what it freed lets the next one, or the next round, go further. */
static int as_far_as_there_is_space(int err)
{
	return err == PS_ENOSPC ? PS_OK : err;
}

static int one_round(struct compact *c, uint64_t goal)
{
	int err = checkpoint_run(c->s);
	if (err)
		return err;
	set_limit(c, goal);
	err = progress(c, "moving");
	if (!err)
		err = as_far_as_there_is_space(drop_leaves(c));
	if (!err)
		err = as_far_as_there_is_space(move_log(c));
	if (!err)
		err = as_far_as_there_is_space(move_objects(c));
	if (!err)
		err = log_sync(&c->s->log);
	if (!err)
		err = checkpoint_run(c->s);
	/* It wants one piece, which may be there only now. */
	if (!err)
		err = as_far_as_there_is_space(move_log(c));
	if (!err)
		err = as_far_as_there_is_space(move_table(c));
	return err ? err : cut_file(c);
}

static int begin(struct store *s)
{
	while (rebuild_help(s))
		;
	pthread_mutex_lock(&s->lock);
	int err = store_begin_writing(s);
	if (!err)
		err = rebuild_finish(&s->space);
	if (!err && s->table.damaged)
		err = ps_fail(PS_ECORRUPT, "%s: the table is damaged: nothing can be called free", s->path);
	if (!err && s->space.below)
		err = ps_fail(PS_EBUSY, "%s: a compaction is under way", s->path);
	if (!err)
		s->space.below = 1;
	pthread_mutex_unlock(&s->lock);
	return err;
}

static uint64_t end_of_space(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	uint64_t end = s->space.end;
	pthread_mutex_unlock(&s->lock);
	return end;
}

int base_compact(ps_storer *st, uint64_t goal, ps_progress_fn fn, void *arg)
{
	struct compact c = {.s = store_of(st), .fn = fn, .arg = arg};
	int err = begin(c.s);
	if (err)
		return err;
	for (int round = 0; round < ROUNDS && !err; round++) {
		uint64_t before = end_of_space(c.s);
		err = one_round(&c, goal);
		uint64_t end = end_of_space(c.s);
		if (end <= goal || end + end / 64 >= before)
			break;
	}
	pthread_mutex_lock(&c.s->lock);
	c.s->space.below = 0;
	end_slabs(c.s);
	pthread_mutex_unlock(&c.s->lock);
	if (!err)
		err = punch_free(&c);
	c.moved = c.total;
	return err ? err : progress(&c, "done");
}
