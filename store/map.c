/* Maps of large objects: a radix tree of chunk pointers, written copy-on-write.
 *
 * A node holds up to 256 pointers of 16 bytes: place (granules, 44 bits) and length - 1 (16 bits) in one word, checksum in the
 * other; all zero is a hole. Without a place, and marked: the chunk is away (fault.c). The root is only as long as it must be and rides in the log like a small object; nodes below it
 * are whole pages written outside the log. A chunk's bytes past its length are zeros.
 *
 * Places of chunks and nodes are those of pages, so the low eight bits of a word are free: they say when the pointer was written
 * (birth.h), as an age before the interval of its node. The root's interval is its entry's, which the commit sets: so what is
 * written for a commit has age 0, whatever intervals end before it is ordered. Moving what is there is no change: births stay. */
#include <sys/param.h>

#include "store/base_internal.h"
#include "store/birth.h"

struct map_pointer {
	uint64_t word, checksum; /* without the age */
	uint32_t birth;          /* the interval in which it was written, or a later one; 0 in a hole */
};
struct map_node {
	struct map_pointer at[MAP_FANOUT];
};
struct map_edit {
	uint64_t index;
	struct map_chunk chunk;
};

unsigned map_levels(uint64_t size)
{
	unsigned level = 0;
	for (uint64_t n = (size + CHUNK - 1) / CHUNK; n > MAP_FANOUT; n = (n + MAP_FANOUT - 1) / MAP_FANOUT)
		level++;
	return level;
}

uint64_t map_root_entries(uint64_t size, unsigned level)
{
	uint64_t n = (size + CHUNK - 1) / CHUNK;
	while (level--)
		n = (n + MAP_FANOUT - 1) / MAP_FANOUT;
	return MIN(n, (uint64_t)MAP_FANOUT);
}

#define AGE_MASK ((uint64_t)BIRTH_AGE_MAX)

static uint64_t pointer_place(const struct map_pointer *p)
{
	return (p->word & PLACE_MASK & ~AGE_MASK) * GRANULE;
}

static uint32_t pointer_len(const struct map_pointer *p)
{
	return (uint32_t)(p->word >> 44 & 0xffff) + 1;
}

#define POINTER_AWAY ((uint64_t)1 << 60)

static uint64_t extent_of_chunk(const struct map_pointer *p)
{
	return (pointer_len(p) + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

static struct map_pointer pointer_make(uint64_t place, uint32_t len, uint64_t checksum, uint32_t birth)
{
	return (struct map_pointer){place / GRANULE | (uint64_t)(len - 1) << 44 | (place ? 0 : POINTER_AWAY), checksum, birth};
}

static bool pointer_is_away(const struct map_pointer *p)
{
	return p->word & POINTER_AWAY;
}

/* `interval`: of the node that it is in. */
static struct map_pointer pointer_decode(const ps_le64 *words, uint32_t interval)
{
	uint64_t word = ps_get64(words[0]);
	return (struct map_pointer){word & ~AGE_MASK, ps_get64(words[1]), word ? birth_of(interval, (uint8_t)(word & AGE_MASK)) : 0};
}

static bool pointer_sound(struct store *s, const struct map_pointer *p, bool node)
{
	if (!p->word)
		return !p->checksum;
	if (pointer_is_away(p))
		return !node && !(p->word >> 61) && !pointer_place(p);
	if (pointer_place(p) + CHUNK > s->pool.mapped)
		return false;
	return !(p->word >> 60) && pointer_place(p) % PAGE == 0 && pointer_place(p) >= SUPERBLOCK_AREA &&
	       (!node || pointer_len(p) == PAGE);
}

static int damaged_map(struct store *s, ps_id id)
{
	return ps_fail(PS_ECORRUPT, "%s: object 0x%llx: its map has impossible pointers", s->path, (unsigned long long)id);
}

static void node_decode(struct map_node *n, const uint8_t *bytes, uint64_t count, uint32_t interval)
{
	const ps_le64 *words = (const ps_le64 *)(const void *)bytes;
	memset(n, 0, sizeof(*n));
	for (uint64_t i = 0; i < count; i++)
		n->at[i] = pointer_decode(words + i * 2, interval);
}

static void node_encode(const struct map_node *n, uint8_t *bytes, uint64_t count, uint32_t interval)
{
	ps_le64 *words = (ps_le64 *)(void *)bytes;
	for (uint64_t i = 0; i < count; i++) {
		const struct map_pointer *p = &n->at[i];
		words[i * 2] = ps_set64(p->word ? p->word | birth_age(interval, p->birth) : 0);
		words[i * 2 + 1] = ps_set64(p->checksum);
	}
}

static int node_load(struct store *s, ps_id id, const struct blob *b, unsigned level, uint32_t interval, struct map_node *n)
{
	const uint8_t *bytes;
	int err = pool_pin(&s->pool, b, id, &bytes);
	if (err)
		return err;
	node_decode(n, bytes, b->len / 16, interval);
	pool_unpin(&s->pool, b->place);
	for (int i = 0; i < MAP_FANOUT; i++) {
		if (!pointer_sound(s, &n->at[i], level > 0))
			return damaged_map(s, id);
	}
	return PS_OK;
}

static struct blob child_blob(ps_id id, const struct map_pointer *p, unsigned level, uint64_t index)
{
	return (struct blob){pointer_place(p), PAGE, seed_node(id, level, index), p->checksum, 0};
}

/* One pointer of a node, without decoding the whole. */
static int pointer_load(struct store *s, ps_id id, const struct blob *b, unsigned level, uint64_t at, struct map_pointer *p)
{
	const uint8_t *bytes;
	int err = pool_pin(&s->pool, b, id, &bytes);
	if (err)
		return err;
	*p = pointer_decode((const ps_le64 *)(const void *)bytes + at * 2, 0);
	pool_unpin(&s->pool, b->place);
	return pointer_sound(s, p, level > 0) ? PS_OK : damaged_map(s, id);
}

int map_lookup(struct store *s, ps_id id, const struct entry *e, uint64_t index, struct map_chunk *chunk)
{
	unsigned level = entry_level(e);
	struct blob b = entry_blob(id, e);
	struct map_pointer p;
	int err = pointer_load(s, id, &b, level, index >> (8 * level), &p);
	while (!err && level && p.word) {
		level--;
		b = child_blob(id, &p, level, index >> (8 * (level + 1)));
		err = pointer_load(s, id, &b, level, index >> (8 * level) & (MAP_FANOUT - 1), &p);
	}
	if (err)
		return err;
	*chunk = (struct map_chunk){0};
	if (p.word)
		*chunk = (struct map_chunk){pointer_place(&p), pointer_len(&p), p.checksum};
	return PS_OK;
}

bool map_chunk_is_resident(struct store *s, const struct entry *e, uint64_t index)
{
	uint64_t place = entry_place(e), at = index >> (8 * entry_level(e));
	struct map_pointer p;
	for (unsigned level = entry_level(e);; level--) {
		if (level == entry_level(e) && at >= map_root_entries(entry_size(e), level))
			return false;
		if (!pool_pin_shared_resident(&s->pool, 0, place))
			return false;
		p = pointer_decode((const ps_le64 *)(const void *)pool_address(&s->pool, place) + at * 2, 0);
		pool_unpin(&s->pool, place);
		if (!p.word || pointer_is_away(&p) || !pointer_sound(s, &p, level > 0))
			return false;
		place = pointer_place(&p);
		if (!level)
			return atomic_load_explicit(pool_state(&s->pool, place), memory_order_relaxed) & PAGE_RESIDENT;
		at = index >> (8 * (level - 1)) & (MAP_FANOUT - 1);
	}
}

/* ---- walking ---------------------------------------------------------------------------------------------------------- */


struct walk {
	struct store *s;
	ps_id id;
	map_extent_fn fn;
	void *arg;
	bool away;        /* tell of what is */
	uint32_t born_by; /* and of chunks that were written later not */
};

/* `interval`: in which the node was written. */
static int walk_node(const struct walk *w, const struct blob *b, unsigned level, uint64_t index, uint32_t interval);

static int walk_pointer(const struct walk *w, const struct map_pointer *p, unsigned level, uint64_t index)
{
	if (!p->word || (pointer_is_away(p) && !w->away))
		return PS_OK;
	if (level) {
		struct blob below = child_blob(w->id, p, level - 1, index);
		int err = walk_node(w, &below, level - 1, index, p->birth);
		return err ? err : w->fn(w->arg, (struct ps_extent){below.place, PAGE}, &below, MAP_NO_CHUNK);
	}
	if (p->birth > w->born_by)
		return PS_OK;
	struct blob chunk = {pointer_place(p), pointer_len(p), seed_chunk(w->id, index), p->checksum, 0};
	return w->fn(w->arg, (struct ps_extent){chunk.place, chunk.place ? extent_of_chunk(p) : 0}, &chunk, index);
}

static int walk_node(const struct walk *w, const struct blob *b, unsigned level, uint64_t index, uint32_t interval)
{
	struct store *s = w->s;
	struct map_node *n = ps_memory_alloc(&s->memory, sizeof(*n));
	if (!n)
		return ps_fail(PS_ENOMEM, "%s: no memory for a map node", s->path);
	int err = node_load(s, w->id, b, level, interval, n);
	for (uint64_t i = 0; i < b->len / 16 && !err; i++)
		err = walk_pointer(w, &n->at[i], level, index * MAP_FANOUT + i);
	ps_memory_free(&s->memory, n, sizeof(*n));
	return err;
}

static int walk(const struct walk *w, const struct entry *e)
{
	struct blob root = entry_blob(w->id, e);
	int err = walk_node(w, &root, entry_level(e), 0, entry_interval(e));
	return err ? err : w->fn(w->arg, (struct ps_extent){root.place, extent_len(root.len)}, &root, MAP_NO_CHUNK);
}

int map_extents(struct store *s, ps_id id, const struct entry *e, map_extent_fn fn, void *arg)
{
	return walk(&(struct walk){s, id, fn, arg, false, UINT32_MAX}, e);
}

int map_extents_until(struct store *s, ps_id id, const struct entry *e, uint32_t interval, map_extent_fn fn, void *arg)
{
	return walk(&(struct walk){s, id, fn, arg, false, interval}, e);
}

int map_contents(struct store *s, ps_id id, const struct entry *e, map_extent_fn fn, void *arg)
{
	return walk(&(struct walk){s, id, fn, arg, true, UINT32_MAX}, e);
}

/* ---- since when --------------------------------------------------------------------------------------------------------- */

struct since {
	struct store *s;
	ps_id id;
	uint64_t chunks;
	uint32_t since;
	map_part_fn fn;
	void *arg;
};

/* What a level's pointer covers, in chunks. */
static uint64_t span(unsigned level)
{
	return (uint64_t)1 << (8 * level);
}

static int walk_since(const struct since *w, const struct blob *b, unsigned level, uint64_t index, uint32_t interval);

static int tell_part(const struct since *w, const struct map_pointer *p, unsigned level, uint64_t at)
{
	uint64_t first = at * span(level), count = MIN(span(level), w->chunks - first);
	if (!p->word)
		return w->fn(w->arg, MAP_HOLE, NULL, first, count);
	if (w->since && p->birth <= w->since) /* what is from before there were intervals was never in an earlier cut */
		return w->fn(w->arg, MAP_SAME, NULL, first, count);
	if (level) {
		struct blob node = child_blob(w->id, p, level - 1, at);
		return walk_since(w, &node, level - 1, at, p->birth);
	}
	struct blob chunk = {pointer_place(p), pointer_len(p), seed_chunk(w->id, at), p->checksum, 0};
	return w->fn(w->arg, MAP_CHANGED, &chunk, first, 1);
}

static int walk_since(const struct since *w, const struct blob *b, unsigned level, uint64_t index, uint32_t interval)
{
	struct map_node *n = ps_memory_alloc(&w->s->memory, sizeof(*n));
	if (!n)
		return ps_fail(PS_ENOMEM, "%s: no memory for a map node", w->s->path);
	int err = node_load(w->s, w->id, b, level, interval, n);
	for (uint64_t i = 0; i < b->len / 16 && !err; i++) {
		uint64_t at = index * MAP_FANOUT + i;
		if (at * span(level) >= w->chunks)
			break;
		err = tell_part(w, &n->at[i], level, at);
	}
	ps_memory_free(&w->s->memory, n, sizeof(*n));
	return err;
}

int map_since(struct store *s, ps_id id, const struct entry *e, uint32_t since, map_part_fn fn, void *arg)
{
	struct since w = {s, id, (entry_size(e) + CHUNK - 1) / CHUNK, since, fn, arg};
	struct blob root = entry_blob(id, e);
	return walk_since(&w, &root, entry_level(e), 0, entry_interval(e));
}

/* ---- writing ------------------------------------------------------------------------------------------------------------ */

void map_writer_init(struct map_writer *m, struct store *s, struct change *c, const struct entry *old)
{
	*m = (struct map_writer){.s = s, .change = c, .id = c->id};
	m->interval = c->has_births ? c->births_from : atomic_load_explicit(&s->interval, memory_order_relaxed);
	if (old && entry_kind(old) == ENTRY_MAP)
		m->old = *old;
}

void map_writer_moves(struct map_writer *m, bool nodes)
{
	m->moves = true;
	m->rewrite_nodes = nodes;
	m->interval = entry_interval(&m->old);
}

void map_writer_done(struct map_writer *m)
{
	ps_memory_free(&m->s->memory, m->edits, m->room * sizeof(*m->edits));
}

/* Chunks come in rising order. */
int map_writer_put(struct map_writer *m, uint64_t index, const struct map_chunk *chunk)
{
	struct map_edit *edits = ps_memory_grow(&m->s->memory, m->edits, m->count, &m->room, sizeof(*edits));
	if (!edits)
		return ps_fail(PS_ENOMEM, "%s: no memory for a large object's map", m->s->path);
	m->edits = edits;
	assert(!m->count || m->edits[m->count - 1].index < index);
	m->edits[m->count++] = (struct map_edit){index, *chunk};
	return PS_OK;
}

static size_t first_edit(const struct map_writer *m, uint64_t index)
{
	size_t low = 0, high = m->count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (m->edits[middle].index < index)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int give_extent(void *arg, struct ps_extent extent, const struct blob *blob, uint64_t chunk)
{
	struct map_writer *m = arg;
	(void)blob;
	(void)chunk;
	return extent_list_add(m->s, &m->change->given, extent);
}

/* The subtree goes, its own node included. */
static int give_subtree(struct map_writer *m, const struct map_pointer *p, unsigned level, uint64_t index)
{
	struct blob b = child_blob(m->id, p, level, index);
	int err = walk_node(&(struct walk){m->s, m->id, give_extent, m, false, UINT32_MAX}, &b, level, index, p->birth);
	return err ? err : give_extent(m, (struct ps_extent){b.place, PAGE}, NULL, MAP_NO_CHUNK);
}

static int give_pointer(struct map_writer *m, const struct map_pointer *p, unsigned level, uint64_t index)
{
	if (!p->word || pointer_is_away(p))
		return PS_OK;
	if (level)
		return give_subtree(m, p, level - 1, index);
	return give_extent(m, (struct ps_extent){pointer_place(p), extent_of_chunk(p)}, NULL, MAP_NO_CHUNK);
}

static int apply_edits(struct map_writer *m, struct map_node *n, uint64_t index)
{
	for (size_t i = first_edit(m, index * MAP_FANOUT); i < m->count && m->edits[i].index < (index + 1) * MAP_FANOUT; i++) {
		struct map_pointer *p = &n->at[m->edits[i].index % MAP_FANOUT];
		const struct map_chunk *c = &m->edits[i].chunk;
		int err = give_pointer(m, p, 0, 0);
		if (err)
			return err;
		uint32_t birth = m->moves ? p->birth : m->interval;
		*p = c->len ? pointer_make(c->place, c->len, c->checksum, birth) : (struct map_pointer){0};
	}
	return PS_OK;
}

static bool has_edits(const struct map_writer *m, uint64_t from, uint64_t to)
{
	size_t i = first_edit(m, from);
	return i < m->count && m->edits[i].index < to;
}

/* `interval`: in which it is written. */
static int write_node(struct map_writer *m, const struct map_node *n, unsigned level, uint64_t index, uint32_t interval,
		      struct map_pointer *p)
{
	uint8_t bytes[PAGE];
	bool empty = true;
	for (int i = 0; i < MAP_FANOUT && empty; i++)
		empty = !n->at[i].word;
	*p = (struct map_pointer){0};
	if (empty)
		return PS_OK;
	node_encode(n, bytes, MAP_FANOUT, interval);
	struct map_chunk written;
	/* Each reader of the object needs it, and it is small beside what it leads to. */
	bool keep = m->change->keep;
	m->change->keep = true;
	int err = change_write(m->s, m->change, bytes, PAGE, seed_node(m->id, level, index), &written);
	m->change->keep = keep;
	if (!err)
		*p = pointer_make(written.place, PAGE, written.checksum, interval);
	return err;
}

static int rebuild_node(struct map_writer *m, unsigned level, uint64_t index, struct map_node *n, bool has_old_root);

/* A child that nothing changes keeps its place. */
static int rebuild_child(struct map_writer *m, struct map_pointer *p, unsigned level, uint64_t index, bool has_old_root)
{
	uint64_t chunks = (m->size + CHUNK - 1) / CHUNK, from = index * span(level + 1), to = from + span(level + 1);
	uint32_t interval = m->moves ? p->birth : m->interval;
	struct map_node *n;
	if (from >= chunks) {
		struct map_pointer gone = *p;
		*p = (struct map_pointer){0};
		return give_pointer(m, &gone, level + 1, index);
	}
	bool cut = entry_size(&m->old) > m->size && to > chunks && p->word;
	if (!has_old_root && !has_edits(m, from, to) && !cut && !(m->rewrite_nodes && p->word))
		return PS_OK;
	n = ps_memory_zalloc(&m->s->memory, sizeof(*n));
	if (!n)
		return ps_fail(PS_ENOMEM, "%s: no memory for a map node", m->s->path);
	int err = PS_OK;
	if (p->word) {
		struct blob b = child_blob(m->id, p, level, index);
		err = node_load(m->s, m->id, &b, level, p->birth, n);
		if (!err)
			err = give_extent(m, (struct ps_extent){b.place, PAGE}, NULL, MAP_NO_CHUNK);
	}
	if (!err)
		err = rebuild_node(m, level, index, n, has_old_root);
	if (!err)
		err = write_node(m, n, level, index, interval, p);
	ps_memory_free(&m->s->memory, n, sizeof(*n));
	return err;
}

static int load_old_root(struct map_writer *m, struct map_node *n)
{
	struct blob b = entry_blob(m->id, &m->old);
	int err = node_load(m->s, m->id, &b, entry_level(&m->old), entry_interval(&m->old), n);
	return err ? err : give_extent(m, (struct ps_extent){b.place, extent_len(b.len)}, NULL, MAP_NO_CHUNK);
}

/* Brings a node's pointers up to date; with has_old_root the old root is this node or below its first child. */
static int rebuild_node(struct map_writer *m, unsigned level, uint64_t index, struct map_node *n, bool has_old_root)
{
	uint64_t chunks = (m->size + CHUNK - 1) / CHUNK;
	int err = PS_OK;
	if (has_old_root && level == entry_level(&m->old)) {
		err = load_old_root(m, n);
		has_old_root = false;
	}
	for (uint64_t i = 0; level && i < MAP_FANOUT && !err; i++)
		err = rebuild_child(m, &n->at[i], level - 1, index * MAP_FANOUT + i, has_old_root && i == 0);
	for (uint64_t i = 0; !level && i < MAP_FANOUT && !err; i++) {
		if (index * MAP_FANOUT + i < chunks || !n->at[i].word)
			continue;
		err = give_pointer(m, &n->at[i], 0, 0);
		n->at[i] = (struct map_pointer){0};
	}
	return err || level ? err : apply_edits(m, n, index);
}

/* A tree that became lower: the way down along the first children, all else beside it goes. */
static int descend_old(struct map_writer *m, unsigned level, struct map_node *n)
{
	int err = load_old_root(m, n);
	for (unsigned at = entry_level(&m->old); at > level && !err; at--) {
		struct map_pointer first = n->at[0];
		for (uint64_t i = 1; i < MAP_FANOUT && !err; i++)
			err = give_pointer(m, &n->at[i], at, i);
		if (err || !first.word) {
			memset(n, 0, sizeof(*n));
			return err;
		}
		struct blob b = child_blob(m->id, &first, at - 1, 0);
		err = node_load(m->s, m->id, &b, at - 1, first.birth, n);
		if (!err)
			err = give_extent(m, (struct ps_extent){b.place, PAGE}, NULL, MAP_NO_CHUNK);
	}
	return err;
}

static int finish_root(struct map_writer *m, const struct map_node *n, unsigned level)
{
	uint64_t len = map_root_entries(m->size, level) * 16;
	uint8_t bytes[PAGE];
	node_encode(n, bytes, len / 16, m->interval);
	struct change *c = m->change;
	c->entry = entry_make(ENTRY_MAP, 0, m->size, blob_checksum(seed_node(m->id, level, 0), bytes, len), level,
			      id_generation(m->id));
	entry_set_interval(&c->entry, m->interval); /* until the commit sets its own */
	c->has_births = true;
	c->births_from = m->interval;
	return change_set_bytes(m->s, c, bytes, (uint32_t)len);
}

/* The new map's root becomes the change's contents; what it no longer names is given back. */
int map_writer_finish(struct map_writer *m, uint64_t size)
{
	unsigned level = map_levels(size);
	bool has_old = entry_size(&m->old) != 0;
	struct map_node *n = ps_memory_zalloc(&m->s->memory, sizeof(*n));
	if (!n)
		return ps_fail(PS_ENOMEM, "%s: no memory for a map node", m->s->path);
	m->size = size;
	int err = PS_OK;
	if (has_old && level < entry_level(&m->old)) {
		err = descend_old(m, level, n);
		has_old = false;
	}
	if (!err)
		err = rebuild_node(m, level, 0, n, has_old);
	if (!err)
		err = finish_root(m, n, level);
	ps_memory_free(&m->s->memory, n, sizeof(*n));
	return err;
}

int map_write_chunks(struct map_writer *m, uint64_t first, const uint8_t *data, uint64_t len)
{
	int err = PS_OK;
	struct map_chunk chunks[RUN_CHUNKS];
	uint64_t most = staging_bytes(m->s);
	for (uint64_t at = 0; at < len && !err; at += most) {
		uint64_t run = MIN(len - at, most), index = first + at / CHUNK;
		err = change_write_run(m->s, m->change, data + at, run, index, chunks);
		for (uint64_t i = 0; i * CHUNK < run && !err; i++)
			err = map_writer_put(m, index + i, &chunks[i]);
	}
	return err;
}
