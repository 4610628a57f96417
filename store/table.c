/* The object table: slot to entry in O(1).
 *
 * In memory, entries stand in address space indexed by slot, faulted leaf by leaf and evicted when clean. On disk, leaves hang
 * from a radix tree that checkpoints write copy-on-write.
 *
 * Readers take no lock: a leaf's state holds a sequence that a writer makes odd while it changes an entry, and which moves on
 * when the leaf goes. Writers hold store.lock. Loading holds table.lock. */
#include <sched.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <xxhash.h>

#include "store/base_internal.h"
#include "store/huge.h"
#include "store/mapping.h"

static const size_t CHUNK_ENTRY_BYTES = (size_t)GROUPS_PER_CHUNK * GROUP_SLOTS * 32 + HUGE_BLOCK;
static_assert((size_t)GROUPS_PER_BLOCK * GROUP_SLOTS * 32 == HUGE_BLOCK, "leaves of a block belong to whole groups");

uint64_t page_seed(unsigned level, uint64_t index)
{
	return ((uint64_t)level << 56 | index) * 0x9e3779b97f4a7c15U + 1;
}

uint32_t next_generation(const struct store *s, const struct entry *e)
{
	uint64_t next = entry_generation(e) + 1 + (s->crashes - (e->w[3] >> 32));
	return next > GENERATION_MAX ? 0 : (uint32_t)next;
}

int table_init(struct table *t, struct store *s)
{
	t->store = s;
	pthread_mutex_init(&t->lock, NULL);
	t->chunks = ps_memory_zalloc(&s->memory, GROUP_CHUNKS * sizeof(*t->chunks));
	return t->chunks ? PS_OK : ps_fail(PS_ENOMEM, "%s: no memory for the object table", s->path);
}

static void node_free(struct table *t, struct table_node *n)
{
	if (!n)
		return;
	for (int i = 0; n->level > 1 && i < FANOUT; i++)
		node_free(t, n->node[i]);
	ps_memory_free(&t->store->memory, n, sizeof(*n));
}

void table_done(struct table *t)
{
	if (!t->store)
		return;
	struct ps_memory *m = &t->store->memory;
	table_redo_done(t);
	node_free(t, t->root);
	for (int i = 0; t->chunks && i < GROUP_CHUNKS; i++) {
		struct group_chunk *chunk = atomic_load(&t->chunks[i]);
		if (!chunk)
			continue;
		if (i == 0 && mapping_clear((void *)chunk->entries, t->leaves_end * PAGE,
		                            CHUNK_ENTRY_BYTES - HUGE_BLOCK))
			mapping_give(MAPPING_ENTRIES, chunk->mapping, CHUNK_ENTRY_BYTES);
		else
			munmap(chunk->mapping, CHUNK_ENTRY_BYTES);
		ps_memory_free(m, chunk, sizeof(*chunk));
	}
	ps_memory_free(m, (void *)t->chunks, GROUP_CHUNKS * sizeof(*t->chunks));
	ps_memory_free(m, t->free_leaves, t->free_size * sizeof(*t->free_leaves));
	ps_memory_free(m, t->dirty, t->dirty_size * sizeof(*t->dirty));
	pthread_mutex_destroy(&t->lock);
}

/* ---- the tree ------------------------------------------------------------------------------------------------------ */

static struct table_node *node_new(struct table *t, unsigned level, uint64_t number)
{
	struct table_node *n = ps_memory_zalloc(&t->store->memory, sizeof(*n));
	if (!n) {
		(void)ps_fail(PS_ENOMEM, "%s: no memory for a table page", t->store->path);
		return NULL;
	}
	n->level = level;
	n->number = number;
	return n;
}

static void *map_entries(void)
{
	void *entries = mapping_take(MAPPING_ENTRIES);
	if (entries)
		return entries;
	entries = mmap(NULL, CHUNK_ENTRY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (entries != MAP_FAILED)
		(void)madvise(entries, CHUNK_ENTRY_BYTES, MADV_DONTFORK);
	return entries;
}

static struct group_chunk *chunk_of(struct table *t, uint64_t group)
{
	struct group_chunk *chunk = atomic_load(&t->chunks[group / GROUPS_PER_CHUNK]);
	if (chunk)
		return chunk;
	chunk = ps_memory_zalloc(&t->store->memory, sizeof(*chunk));
	void *entries = chunk ? map_entries() : MAP_FAILED;
	if (entries == MAP_FAILED) {
		ps_memory_free(&t->store->memory, chunk, sizeof(*chunk));
		(void)ps_fail(PS_ENOMEM, "%s: no address space for table entries", t->store->path);
		return NULL;
	}
	chunk->mapping = entries;
	chunk->entries = (_Atomic(uint64_t) *)(void *)huge_align(entries);
	atomic_store(&t->chunks[group / GROUPS_PER_CHUNK], chunk);
	return chunk;
}

static void decode_pointer(struct table_pointer *to, const struct disk_pointer *from)
{
	to->place[0] = ps_get64(from->place[0]);
	to->place[1] = ps_get64(from->place[1]);
	to->checksum = ps_get64(from->checksum);
	to->checkpoint = ps_get64(from->checkpoint);
}

/* Places lie in the file as it was at the open or has grown since. */
static bool pointer_sound(const struct table *t, const struct table_pointer *p)
{
	for (int i = 0; i < 2; i++) {
		if (p->place[i] % PAGE || (p->place[i] && p->place[i] < SUPERBLOCK_AREA) || p->place[i] >= t->store->pool.mapped)
			return false;
	}
	return true;
}

/* Reads a table page from the first of its places that has it. PS_ECORRUPT if none has. */
static int read_page(struct table *t, const struct table_pointer *p, unsigned level, uint64_t index, uint8_t *page)
{
	struct store *s = t->store;
	int err = PS_OK;
	for (int i = 0; i < 2 && pointer_sound(t, p); i++) {
		if (!p->place[i])
			continue;
		int io = ps_io_read(s->io, p->place[i], page, PAGE);
		if (io)
			err = io;
		else if (XXH3_64bits_withSeed(page, PAGE, page_seed(level, index)) == p->checksum)
			return PS_OK;
	}
	if (err)
		return err;
	err = ps_fail(PS_ECORRUPT, "%s: table page %llu of level %u is damaged (offset %llu)", s->path, (unsigned long long)index,
		      level, (unsigned long long)p->place[0]);
	store_event(s, PS_EVENT_CORRUPTION, err, PS_ID_NONE);
	return err;
}

static int load_node(struct table *t, struct table_node *n)
{
	uint8_t *page = NULL;
	if (!n->self.place[0])
		return PS_OK;
	if (posix_memalign((void **)&page, PAGE, PAGE))
		return ps_fail(PS_ENOMEM, "%s: no memory for a table page", t->store->path);
	int err = read_page(t, &n->self, n->level, n->number, page);
	for (int i = 0; i < FANOUT && !err; i++) {
		decode_pointer(&n->child[i], (const struct disk_pointer *)(const void *)page + i);
		if (!pointer_sound(t, &n->child[i]))
			err = ps_fail(PS_ECORRUPT, "%s: table page %llu of level %u has impossible pointers (offset %llu)", t->store->path,
				      (unsigned long long)n->number, n->level, (unsigned long long)n->self.place[0]);
	}
	free(page);
	return err;
}

/* The child node, loaded on first use. A page that cannot be read is tried again at the next use. */
static int child_of(struct table *t, struct table_node *n, unsigned index, struct table_node **child)
{
	if (n->node[index]) {
		*child = n->node[index];
		return PS_OK;
	}
	struct table_node *c = node_new(t, n->level - 1, n->number * FANOUT + index);
	if (!c)
		return PS_ENOMEM;
	c->parent = n;
	c->index = index;
	c->self = n->child[index];
	int err = load_node(t, c);
	if (err) {
		ps_memory_free(&t->store->memory, c, sizeof(*c));
		return err;
	}
	n->node[index] = c;
	*child = c;
	return PS_OK;
}

/* One more level: the old root becomes the first child. */
static int grow_height(struct table *t)
{
	struct table_node *root = node_new(t, t->height + 1, 0);
	if (!root)
		return PS_ENOMEM;
	root->node[0] = t->root;
	root->child[0] = t->root->self;
	t->root->parent = root;
	t->root->index = 0;
	t->root = root;
	t->height++;
	return PS_OK;
}

static int publish_group(struct table *t, struct table_node *g)
{
	struct group_chunk *chunk = chunk_of(t, g->number);
	if (!chunk)
		return PS_ENOMEM;
	g->entries = chunk->entries + (g->number % GROUPS_PER_CHUNK) * GROUP_SLOTS * ENTRY_WORDS;
	atomic_store_explicit(&chunk->group[g->number % GROUPS_PER_CHUNK], g, memory_order_release);
	return PS_OK;
}

static int find_group_locked(struct table *t, uint64_t number, struct table_node **group)
{
	struct table_node *n = t->root;
	while (number >= table_groups(t->height)) {
		int err = grow_height(t);
		if (err)
			return err;
		n = t->root;
	}
	for (unsigned level = t->height; level > 1; level--) {
		uint64_t below = table_groups(level - 1);
		int err = child_of(t, n, (unsigned)(number / below % FANOUT), &n);
		if (err)
			return err;
	}
	*group = n;
	return n->entries ? PS_OK : publish_group(t, n);
}

static int find_group(struct table *t, uint64_t number, struct table_node **group)
{
	*group = table_known_group(t, number);
	if (*group)
		return PS_OK;
	pthread_mutex_lock(&t->lock);
	int err = find_group_locked(t, number, group);
	pthread_mutex_unlock(&t->lock);
	return err;
}

int table_attach(struct table *t, const struct disk_superblock *sb)
{
	t->height = sb->height;
	atomic_store(&t->unknown, (uint64_t)superblock_unknown(sb) * FANOUT);
	t->root = node_new(t, t->height, 0);
	if (!t->root)
		return PS_ENOMEM;
	decode_pointer(&t->root->self, &sb->root);
	atomic_store(&t->slots, ps_get64(sb->slots));
	atomic_store(&t->objects, ps_get64(sb->objects));
	atomic_store(&t->live_bytes, ps_get64(sb->live_bytes));
	return load_node(t, t->root);
}

/* ---- leaves ---------------------------------------------------------------------------------------------------------- */

static void entries_store(struct table_node *g, unsigned leaf, const uint8_t *page)
{
	_Atomic(uint64_t) *to = g->entries + (size_t)leaf * LEAF_WORDS;
	const ps_le64 *from = (const ps_le64 *)(const void *)page;
	for (int i = 0; i < LEAF_WORDS; i++)
		atomic_store_explicit(&to[i], ps_get64(from[i]), memory_order_relaxed);
}

static bool leaf_sound(const struct store *s, const uint8_t *page, uint64_t first_slot)
{
	uint32_t interval = atomic_load(&s->interval);
	for (unsigned i = 0; i < FANOUT; i++) {
		struct entry e;
		for (int w = 0; w < ENTRY_WORDS; w++)
			e.w[w] = ps_get64(((const ps_le64 *)(const void *)page)[i * ENTRY_WORDS + (unsigned)w]);
		if (!entry_valid(s->classes, interval, &e, first_slot + i) || entry_end(s->classes, &e) > s->pool.mapped)
			return false;
	}
	return true;
}

/* Nowhere, but not empty: each slot has what the backing says. */
static void fill_unknown(struct table_node *g, unsigned leaf)
{
	_Atomic(uint64_t) *to = g->entries + (size_t)leaf * LEAF_WORDS;
	for (int i = 0; i < LEAF_WORDS; i += ENTRY_WORDS)
		atomic_store_explicit(&to[i], (uint64_t)ENTRY_UNKNOWN << 44, memory_order_relaxed);
}

static int fill_leaf(struct table *t, struct table_node *g, unsigned leaf)
{
	uint8_t *page = NULL;
	uint64_t number = g->number * FANOUT + leaf;
	if (!g->child[leaf].place[0]) {
		if (number * FANOUT < atomic_load(&t->unknown))
			fill_unknown(g, leaf);
		return PS_OK;
	}
	if (posix_memalign((void **)&page, PAGE, PAGE))
		return ps_fail(PS_ENOMEM, "%s: no memory for a table page", t->store->path);
	int err = read_page(t, &g->child[leaf], 0, number, page);
	if (!err && !leaf_sound(t->store, page, number * FANOUT))
		err = ps_fail(PS_ECORRUPT, "%s: table leaf %llu has impossible entries", t->store->path, (unsigned long long)number);
	if (!err)
		entries_store(g, leaf, page);
	free(page);
	return err;
}

/* A table that grows gets its memory sixteen leaves at a time: one call instead of two faults for each of them (the first would
 * be for reading). Where it fails they fault. */
static void populate_ahead(const struct table_node *g, unsigned leaf)
{
	enum { AHEAD = 16 };
	if ((leaf || g->number) && leaf % AHEAD == 0 && !g->child[leaf].place[0])
		(void)madvise((void *)(g->entries + (size_t)leaf * LEAF_WORDS), (size_t)AHEAD * PAGE, MADV_POPULATE_WRITE);
}

/* Its entries are in place; what the log has for them is newer. */
static void make_resident(struct table *t, struct table_node *g, unsigned leaf)
{
	table_redo_apply(t, g, leaf);
	t->leaves_end = MAX(t->leaves_end, g->number * FANOUT + leaf + 1);
	if ((atomic_fetch_add(&t->resident_bytes, PAGE) + PAGE) % HUGE_BLOCK == 0)
		store_wants_join(t->store);
	atomic_fetch_or_explicit(&g->leaf[leaf].state, LEAF_RESIDENT | LEAF_USED, memory_order_release);
}

static int load_leaf(struct table *t, struct table_node *g, unsigned leaf)
{
	_Atomic(uint64_t) *state = &g->leaf[leaf].state;
	int err = PS_OK;
	pthread_mutex_lock(&t->lock);
	while (atomic_load(state) & LEAF_LOCKED)
		sched_yield();
	if (!(atomic_load(state) & LEAF_RESIDENT)) {
		err = budget_take(t->store, PAGE);
		if (!err)
			populate_ahead(g, leaf);
		if (!err && (err = fill_leaf(t, g, leaf)) != PS_OK)
			budget_give(t->store, PAGE);
		if (!err)
			make_resident(t, g, leaf);
	}
	pthread_mutex_unlock(&t->lock);
	return err;
}

void table_take_leaf(struct table *t, uint64_t number, const uint8_t *page)
{
	struct table_node *g = table_known_group(t, number / FANOUT);
	unsigned leaf = (unsigned)(number % FANOUT);
	bool sound = XXH3_64bits_withSeed(page, PAGE, page_seed(0, number)) == g->child[leaf].checksum &&
	             leaf_sound(t->store, page, number * FANOUT);
	pthread_mutex_lock(&t->lock);
	bool there = atomic_load(&g->leaf[leaf].state) & (LEAF_RESIDENT | LEAF_LOCKED);
	if (sound && !there && budget_take(t->store, PAGE) == PS_OK) {
		entries_store(g, leaf, page);
		make_resident(t, g, leaf);
	}
	pthread_mutex_unlock(&t->lock);
}

static bool try_evict_leaf(struct table *t, struct table_node *g, unsigned leaf)
{
	_Atomic(uint64_t) *state = &g->leaf[leaf].state;
	uint64_t old = atomic_load(state);
	if (old & LEAF_USED) {
		atomic_fetch_and(state, ~LEAF_USED);
		return false;
	}
	if (!(old & LEAF_RESIDENT) || old & (LEAF_DIRTY | LEAF_LOCKED | LEAF_WRITING))
		return false;
	uint64_t gone = ((old & ~(LEAF_RESIDENT | LEAF_TOUCHED)) | LEAF_LOCKED) + 2 * LEAF_SEQ;
	if (!atomic_compare_exchange_strong(state, &old, gone))
		return false;
	void *entries = (void *)(g->entries + (size_t)leaf * LEAF_WORDS);
	if (atomic_exchange_explicit(table_joined(t, g->number), false, memory_order_relaxed))
		huge_split(entries, PAGE);
	(void)madvise(entries, PAGE, MADV_DONTNEED);
	atomic_fetch_add_explicit(&t->evictions, 1, memory_order_relaxed);
	atomic_fetch_and(state, ~LEAF_LOCKED);
	atomic_fetch_sub(&t->resident_bytes, PAGE);
	budget_give(t->store, PAGE);
	return true;
}

/* How many leaves from this one on are in no group that is in memory; 0: its own is. */
static uint64_t leaves_out_of_memory(struct table *t, uint64_t number)
{
	uint64_t group = number / FANOUT;
	if (!atomic_load_explicit(&t->chunks[group / GROUPS_PER_CHUNK], memory_order_acquire))
		return (uint64_t)GROUPS_PER_CHUNK * FANOUT - number % ((uint64_t)GROUPS_PER_CHUNK * FANOUT);
	return table_known_group(t, group) ? 0 : FANOUT - number % FANOUT;
}

bool table_evict_one(struct table *t)
{
	uint64_t leaves = leaves_of(atomic_load(&t->slots));
	for (uint64_t seen = 0; seen < 2 * leaves;) {
		uint64_t number = atomic_fetch_add(&t->evict_hand, 1) % leaves, skip = leaves_out_of_memory(t, number);
		if (!skip && try_evict_leaf(t, table_known_group(t, number / FANOUT), (unsigned)(number % FANOUT)))
			return true;
		if (skip)
			atomic_fetch_add(&t->evict_hand, MIN(skip, leaves - number) - 1);
		seen += skip ? skip : 1;
	}
	return false;
}

/* ---- reading ---------------------------------------------------------------------------------------------------------- */

static inline int find_leaf(struct table *t, uint64_t slot, struct table_node **g, struct table_leaf **leaf)
{
	*g = table_known_group(t, slot / GROUP_SLOTS);
	int err = *g ? PS_OK : find_group(t, slot / GROUP_SLOTS, g);
	if (!err)
		*leaf = &(*g)->leaf[slot / FANOUT % FANOUT];
	return err;
}

int table_find_leaf(struct table *t, uint64_t slot, struct table_node **g, struct table_leaf **leaf)
{
	return find_leaf(t, slot, g, leaf);
}

static void load_entry(struct table_node *g, uint64_t slot, struct entry *e)
{
	entry_load(g->entries + (slot % GROUP_SLOTS) * ENTRY_WORDS, e);
}

/* `marks` are set in the leaf's state, without a store where they are. */
static inline int read_entry(struct table *t, uint64_t slot, struct entry *e, uint64_t marks)
{
	struct table_node *g;
	struct table_leaf *leaf;
	if (slot >= atomic_load_explicit(&t->slots, memory_order_acquire)) {
		*e = (struct entry){0};
		return PS_OK;
	}
	int err = find_leaf(t, slot, &g, &leaf);
	while (!err) {
		uint64_t before = atomic_load_explicit(&leaf->state, memory_order_acquire);
		if (!(before & LEAF_RESIDENT)) {
			err = load_leaf(t, g, (unsigned)(slot / FANOUT % FANOUT));
			continue;
		}
		load_entry(g, slot, e);
		uint64_t after = atomic_load_explicit(&leaf->state, memory_order_acquire);
		if (before & LEAF_SEQ || (before ^ after) & LEAF_VERSION)
			continue;
		if ((before & marks) != marks)
			atomic_fetch_or_explicit(&leaf->state, marks, memory_order_relaxed);
		return PS_OK;
	}
	return err;
}

int table_read(struct table *t, uint64_t slot, struct entry *e)
{
	return read_entry(t, slot, e, LEAF_USED | LEAF_TOUCHED);
}

int table_get(struct table *t, uint64_t slot, struct entry *e)
{
	return read_entry(t, slot, e, LEAF_USED);
}

/* ---- writing (store.lock held) ------------------------------------------------------------------------------------------ */

int table_reserve_dirty(struct table *t, size_t more)
{
	if (t->dirty_count + more <= t->dirty_size)
		return PS_OK;
	size_t size = t->dirty_size ? t->dirty_size * 2 : 16;
	while (size < t->dirty_count + more)
		size *= 2;
	uint64_t *dirty = ps_memory_resize(&t->store->memory, t->dirty, t->dirty_size * sizeof(*dirty), size * sizeof(*dirty));
	if (!dirty)
		return ps_fail(PS_ENOMEM, "%s: no memory for the list of dirty table pages", t->store->path);
	t->dirty = dirty;
	t->dirty_size = size;
	return PS_OK;
}

/* Both places of each page on the way up that the next checkpoint writes are there before a commit is ordered. */
static int reserve_nodes(struct table *t, struct table_node *n, bool use_reserve)
{
	for (; n; n = n->parent) {
		for (int i = 0; i < 2; i++) {
			int err = n->spare[i] ? PS_OK : space_alloc_page(&t->store->space, use_reserve, &n->spare[i]);
			if (err)
				return err;
		}
		n->dirty = true;
	}
	return PS_OK;
}

static int reserve_leaf(struct table *t, struct table_node *g, unsigned leaf, bool use_reserve)
{
	struct table_leaf *l = &g->leaf[leaf];
	int err = table_reserve_dirty(t, 1);
	if (!err && !l->new_place)
		err = space_alloc_page(&t->store->space, use_reserve, &l->new_place);
	return err ? err : reserve_nodes(t, g, use_reserve);
}

int table_prepare(struct table *t, uint64_t slot, bool use_reserve)
{
	struct table_node *g;
	struct table_leaf *l;
	unsigned leaf = (unsigned)(slot / FANOUT % FANOUT);
	int err = find_leaf(t, slot, &g, &l);
	if (err)
		return err;
	uint64_t state = atomic_load(&l->state);
	if (state & LEAF_DIRTY)
		return t->root->spare[1] ? PS_OK : reserve_nodes(t, g, use_reserve);
	if ((err = reserve_leaf(t, g, leaf, use_reserve)) != PS_OK)
		return err;
	while (true) {
		if (!(state & LEAF_RESIDENT)) {
			if ((err = load_leaf(t, g, leaf)) != PS_OK)
				return err;
			state = atomic_load(&l->state);
			continue;
		}
		if (atomic_compare_exchange_weak(&l->state, &state, state | LEAF_DIRTY | LEAF_USED))
			break;
	}
	/* It was PATCHED: it stands in the list. */
	if (state & LEAF_DIRTY)
		return PS_OK;
	t->dirty[t->dirty_count++] = g->number * FANOUT + leaf;
	atomic_fetch_add_explicit(&t->dirty_bytes, PAGE, memory_order_relaxed);
	return PS_OK;
}

/* What was unknown is in the figures; ahead of the walk that counts it is not yet to be. */
static void count_known(struct table_hold *h, bool uncounted, const struct entry *e)
{
	struct table *t = h->table;
	if (entry_kind(e) == ENTRY_SUMS) {
		t->unknown_objects = e->w[1];
		t->unknown_bytes = e->w[2];
		t->unknown_interval = entry_interval(e);
	} else if (uncounted && entry_lives(e)) {
		h->objects--;
		h->bytes -= entry_size(e);
	}
}

static void count_objects(struct table_hold *h, uint64_t slot, const struct entry *old, const struct entry *e)
{
	bool uncounted = slot >= h->table->uncounted && slot < h->table->uncounted_end;
	if (entry_kind(old) == ENTRY_UNKNOWN || entry_kind(e) == ENTRY_SUMS) {
		count_known(h, uncounted, e);
		return;
	}
	if (uncounted)
		return;
	bool was = entry_lives(old), is = entry_lives(e);
	h->objects += (uint64_t)is - was;
	h->bytes += (is ? entry_size(e) : 0) - (was ? entry_size(old) : 0);
}

void table_reach(struct table *t, uint64_t slot)
{
	if (slot >= atomic_load(&t->slots))
		atomic_store(&t->slots, slot + 1);
}

void table_hold(struct table *t, uint64_t slot, struct table_hold *h)
{
	struct table_node *g = table_known_group(t, slot / GROUP_SLOTS);
	*h = (struct table_hold){
	    .table = t, .group = g, .state = &g->leaf[slot / FANOUT % FANOUT].state, .leaf = slot / FANOUT};
	atomic_fetch_add(h->state, LEAF_SEQ);
}

void table_put(struct table_hold *h, uint64_t slot, const struct entry *e)
{
	_Atomic(uint64_t) *to = h->group->entries + (slot % GROUP_SLOTS) * ENTRY_WORDS;
	struct entry old;
	assert(slot / FANOUT == h->leaf);
	load_entry(h->group, slot, &old);
	count_objects(h, slot, &old, e);
	for (int i = 0; i < ENTRY_WORDS; i++)
		atomic_store_explicit(&to[i], e->w[i], memory_order_release);
	h->last_slot = MAX(h->last_slot, slot);
}

/* Figures change under store.lock, or with a leaf that is being read under table.lock. */
void table_release(struct table_hold *h)
{
	atomic_fetch_add(h->state, LEAF_SEQ);
	if (h->objects)
		atomic_fetch_add_explicit(&h->table->objects, h->objects, memory_order_relaxed);
	if (h->bytes)
		atomic_fetch_add_explicit(&h->table->live_bytes, h->bytes, memory_order_relaxed);
	table_reach(h->table, h->last_slot);
}

void table_set(struct table *t, uint64_t slot, const struct entry *e)
{
	struct table_hold h;
	table_hold(t, slot, &h);
	table_put(&h, slot, e);
	table_release(&h);
}

struct table_node *table_group(struct table *t, uint64_t number)
{
	return table_known_group(t, number);
}

void table_copy_leaf(struct table_node *g, unsigned leaf, uint8_t *page)
{
	const _Atomic(uint64_t) *from = g->entries + (size_t)leaf * LEAF_WORDS;
	ps_le64 *to = (ps_le64 *)(void *)page;
	for (int i = 0; i < LEAF_WORDS; i++)
		to[i] = ps_set64(atomic_load_explicit(&from[i], memory_order_relaxed));
}

/* ---- recovery -------------------------------------------------------------------------------------------------------- */

/* A leaf that cannot be read keeps its damage: the log's entries for it are lost with it, and only with it. */
int table_recover(struct table *t, uint64_t slot, const struct entry *e)
{
	struct table_node *g;
	struct table_leaf *l;
	unsigned leaf = (unsigned)(slot / FANOUT % FANOUT);
	table_reach(t, slot);
	int err = find_leaf(t, slot, &g, &l);
	if (!err && !(atomic_load(&l->state) & LEAF_RESIDENT))
		err = load_leaf(t, g, leaf);
	if (err)
		return err == PS_ECORRUPT ? PS_OK : err;
	if (!(atomic_load(&l->state) & LEAF_DIRTY)) {
		if ((err = table_reserve_dirty(t, 1)) != PS_OK)
			return err;
		atomic_fetch_or(&l->state, LEAF_DIRTY);
		t->dirty[t->dirty_count++] = g->number * FANOUT + leaf;
		atomic_fetch_add_explicit(&t->dirty_bytes, PAGE, memory_order_relaxed);
	}
	table_set(t, slot, e);
	return PS_OK;
}

int table_reserve_places(struct table *t)
{
	for (size_t i = 0; i < t->dirty_count; i++) {
		struct table_node *g = table_known_group(t, t->dirty[i] / FANOUT);
		struct table_leaf *l = &g->leaf[t->dirty[i] % FANOUT];
		if (!(atomic_load(&l->state) & (LEAF_DIRTY | LEAF_PATCHED)))
			continue;
		int err = l->new_place ? PS_OK : space_alloc_page(&t->store->space, true, &l->new_place);
		if (!err)
			err = reserve_nodes(t, g, true);
		if (err)
			return err;
	}
	return PS_OK;
}

/* ---- visiting ---------------------------------------------------------------------------------------------------------------- */

static int visit_places(const struct table_visitor *v, const uint64_t place[2])
{
	int err = PS_OK;
	for (int i = 0; i < 2 && !err && v->page; i++) {
		if (place[i])
			err = v->page(v->arg, (struct ps_extent){place[i], PAGE});
	}
	return err;
}

static int visit_leaf(struct table *t, struct table_node *g, unsigned leaf, const struct table_visitor *v)
{
	uint64_t first = (g->number * FANOUT + leaf) * FANOUT;
	uint64_t places[2] = {g->child[leaf].place[0], g->leaf[leaf].new_place};
	struct entry e;
	int err = visit_places(v, places);
	if (err || first >= atomic_load(&t->slots))
		return err;
	err = table_get(t, first, &e);
	if (err == PS_ECORRUPT || err == PS_EIO)
		return v->bad ? v->bad(v->arg, first, FANOUT, g->child[leaf].place[0]) : err;
	for (unsigned i = 0; i < FANOUT && !err; i++) {
		err = table_get(t, first + i, &e);
		if (!err)
			err = v->entry(v->arg, first + i, &e);
	}
	return err;
}

static int visit_node(struct table *t, struct table_node *n, const struct table_visitor *v)
{
	int err = visit_places(v, n->self.place);
	if (!err)
		err = visit_places(v, n->spare);
	for (unsigned i = 0; i < FANOUT && !err; i++) {
		struct table_node *child;
		if (n->level == 1) {
			err = visit_leaf(t, n, i, v);
			continue;
		}
		if (!n->child[i].place[0] && !n->node[i])
			continue;
		pthread_mutex_lock(&t->lock);
		int load = child_of(t, n, i, &child);
		pthread_mutex_unlock(&t->lock);
		uint64_t slots = table_groups(n->level - 1) * GROUP_SLOTS;
		if (!load)
			err = visit_node(t, child, v);
		else if (load != PS_ECORRUPT && load != PS_EIO)
			err = load;
		else
			err = v->bad ? v->bad(v->arg, (n->number * FANOUT + i) * slots, slots, n->child[i].place[0]) : load;
	}
	return err;
}

int table_visit(struct table *t, const struct table_visitor *v)
{
	struct table_node *group;
	/* A store of one level publishes its only group here. */
	int err = find_group(t, 0, &group);
	return err == PS_ECORRUPT ? PS_OK : err ? err : visit_node(t, t->root, v);
}

/* ---- compaction ------------------------------------------------------------------------------------------------------------- */

/* A spare place above the limit is exchanged at once; the place in use becomes spare with the next checkpoint. */
static int move_node(struct table *t, struct table_node *n, uint64_t limit)
{
	struct space *sp = &t->store->space;
	bool moves = n->self.place[0] >= limit || n->self.place[1] >= limit;
	for (int i = 0; i < 2; i++) {
		if (n->spare[i] < limit)
			continue;
		space_free_now(sp, (struct ps_extent){n->spare[i], PAGE});
		n->spare[i] = 0;
	}
	return moves ? reserve_nodes(t, n, false) : n->dirty ? reserve_nodes(t, n, true) : PS_OK;
}

static int move_below(struct table *t, struct table_node *n, uint64_t limit)
{
	int err = move_node(t, n, limit);
	for (unsigned i = 0; i < FANOUT && !err; i++) {
		struct table_node *child = n->level > 1 ? n->node[i] : NULL;
		if (child)
			err = move_below(t, child, limit);
		else if (n->level == 1 && n->child[i].place[0] >= limit)
			err = table_prepare(t, (n->number * FANOUT + i) * FANOUT, false);
		if (err == PS_ECORRUPT || err == PS_EIO)
			err = PS_OK;
	}
	return err;
}

int table_move_pages(struct table *t, uint64_t limit)
{
	return move_below(t, t->root, limit);
}
