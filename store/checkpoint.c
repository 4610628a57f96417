/* Checkpoints: bring to the table and to the objects' places what so far only the log holds, so that the log's space can be
 * used again.
 *
 * Fuzzy, in steps: note where the open log buffer begins (the new start of replay); write the frames that are dirty, each step
 * copied under store.lock and written without it; write dirty leaves to new places, then the inner pages above them, each to two
 * places; wait until the log holds all that these pages reflect; flush; superblock. What a step copies may be newer than the
 * start: replay sets the same entries again. A crash before the superblock leaves the old tree untouched. */
#include <sys/param.h>
#include <xxhash.h>

#include "store/base_internal.h"

enum {
	RING_LEAST = 1 << 20,
	RING_BUSY = 8 << 20,
	RING_LOADED = 2 << 20, /* busy with few large blocks: beside these a checkpoint costs little */
	LARGE_BLOCK = 32 << 10,
	RING_MOST = 64 << 20,
};
enum { STEP_BYTES = 256 << 10, STEP_LEAST = 64 << 10, STEP_MAX = STEP_BYTES / PAGE };

struct step_item {
	uint64_t place; /* on disk */
	size_t at, len; /* in the bounce buffer */
	struct table_node *group;
	unsigned leaf;
};

struct run {
	struct store *s;
	uint64_t *pages, *leaves; /* what was dirty when it began */
	size_t page_count, page_size, leaf_count, leaf_size;
	struct ps_extent *old; /* table pages that nothing refers to once it is complete */
	size_t old_count, old_size;
	uint8_t *bounce;
	size_t bounce_size;
	struct step_item item[STEP_MAX];
	struct ps_io_request request[STEP_MAX];
	size_t items;
	uint64_t start, commit, slots, last_buffer, closed_buffer;
	uint64_t number;
	uint64_t flushed_end;    /* of the file, as its last flush before the superblock finds it */
	struct table_node *root; /* as it was when it began: what a later one adds is the next checkpoint's */
	bool begun; /* it has taken the dirty lists over: from here on it must come to its end */
};

static int compare_numbers(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

/* ---- writing a step --------------------------------------------------------------------------------------------------- */

/* Items that follow each other on disk go in one request. */
static int write_step(struct run *r)
{
	struct ps_io_request *list[STEP_MAX] = {NULL};
	struct ps_io *io = r->s->io;
	size_t n = 0;
	int first = PS_OK;
	for (size_t i = 0; i < r->items; i++) {
		const struct step_item *item = &r->item[i];
		struct ps_io_request *last = n ? &r->request[n - 1] : NULL;
		if (last && last->offset + last->len == item->place && (uint8_t *)last->data + last->len == r->bounce + item->at)
			last->len += item->len;
		else
			r->request[n++] = (struct ps_io_request){.op = PS_IO_WRITE, .offset = item->place, .len = item->len,
								 .data = r->bounce + item->at};
	}
	for (size_t i = 0; i < n; i++)
		list[i] = &r->request[i];
	io->ops->submit(io, list, n);
	for (size_t i = 0; i < n; i++) {
		int err = io->ops->wait(io, &r->request[i]);
		first = first ? first : err;
	}
	return first;
}

static uint8_t *add_item(struct run *r, uint64_t place, size_t len)
{
	struct step_item *last = r->items ? &r->item[r->items - 1] : NULL;
	size_t at = last ? last->at + last->len : 0;
	if (r->items == STEP_MAX || at + len > r->bounce_size)
		return NULL;
	r->item[r->items++] = (struct step_item){.place = place, .at = at, .len = len};
	return r->bounce + at;
}

static size_t room_left(const struct run *r)
{
	const struct step_item *last = r->items ? &r->item[r->items - 1] : NULL;
	return r->items == STEP_MAX ? 0 : r->bounce_size - (last ? last->at + last->len : 0);
}

/* ---- frames --------------------------------------------------------------------------------------------------------------- */

static int frame_step(struct run *r, size_t *next)
{
	struct pool *pool = &r->s->pool;
	r->items = 0;
	pthread_mutex_lock(&r->s->lock);
	while (*next < r->page_count && room_left(r)) {
		bool too_large;
		size_t room = room_left(r);
		size_t at = r->items ? r->item[r->items - 1].at + r->item[r->items - 1].len : 0;
		size_t len = pool_copy_dirty(pool, r->pages[*next], r->bounce + at, room, &too_large);
		if (too_large)
			break;
		if (len)
			(void)add_item(r, r->pages[*next], len);
		++*next;
	}
	pthread_mutex_unlock(&r->s->lock);
	int err = write_step(r);
	for (size_t i = 0; i < r->items; i++) {
		if (err)
			pool_dirty_again(pool, r->item[i].place);
		pool_unpin(pool, r->item[i].place);
	}
	return err;
}

static int write_frames(struct run *r)
{
	int err = PS_OK;
	if (r->page_count)
		qsort(r->pages, r->page_count, sizeof(*r->pages), compare_numbers);
	for (size_t next = 0; next < r->page_count && !err;)
		err = frame_step(r, &next);
	return err;
}

/* ---- leaves ---------------------------------------------------------------------------------------------------------------- */

/* Room for one a leaf was made before anything was taken. */
static void keep_old(struct run *r, uint64_t place)
{
	if (place)
		r->old[r->old_count++] = (struct ps_extent){place, PAGE};
	r->s->checkpoint.old_count = r->old_count;
}

static void mark_path_dirty(struct table_node *n)
{
	for (; n; n = n->parent)
		n->dirty = true;
}

/* Under store.lock: the leaf's image, and its new place in the page above. Eviction is barred until it is written. */
static void take_leaf(struct run *r, uint64_t number)
{
	struct table *t = &r->s->table;
	struct table_node *g = table_group(t, number / FANOUT);
	unsigned leaf = (unsigned)(number % FANOUT);
	struct table_leaf *l = &g->leaf[leaf];
	if (!(atomic_load(&l->state) & LEAF_DIRTY))
		return;
	keep_old(r, g->child[leaf].place[0]);
	uint8_t *page = add_item(r, l->new_place, PAGE);
	table_copy_leaf(g, leaf, page);
	r->item[r->items - 1].group = g;
	r->item[r->items - 1].leaf = leaf;
	g->child[leaf] = (struct table_pointer){{l->new_place, 0}, XXH3_64bits_withSeed(page, PAGE, page_seed(0, number)), r->number};
	l->new_place = 0;
	mark_path_dirty(g);
	atomic_fetch_or(&l->state, LEAF_WRITING);
	atomic_fetch_and(&l->state, ~LEAF_DIRTY);
	atomic_fetch_sub_explicit(&t->dirty_bytes, PAGE, memory_order_relaxed);
}

static int leaf_step(struct run *r, size_t *next)
{
	r->items = 0;
	pthread_mutex_lock(&r->s->lock);
	while (*next < r->leaf_count && room_left(r) >= PAGE)
		take_leaf(r, r->leaves[(*next)++]);
	r->last_buffer = log_last_buffer(&r->s->log);
	pthread_mutex_unlock(&r->s->lock);
	int err = write_step(r);
	for (size_t i = 0; i < r->items; i++)
		atomic_fetch_and(&r->item[i].group->leaf[r->item[i].leaf].state, ~LEAF_WRITING);
	return err;
}

struct placed_leaf {
	uint64_t place, number;
};

static int compare_places(const void *a, const void *b)
{
	const struct placed_leaf *x = a, *y = b;
	return compare_numbers(&x->place, &y->place);
}

static void look_up_places(struct run *r, struct placed_leaf *placed)
{
	enum { AT_ONCE = 1024 };
	for (size_t from = 0; from < r->leaf_count; from += AT_ONCE) {
		pthread_mutex_lock(&r->s->lock);
		for (size_t i = from; i < MIN(from + AT_ONCE, r->leaf_count); i++) {
			uint64_t number = r->leaves[i];
			struct table_node *g = table_group(&r->s->table, number / FANOUT);
			placed[i] = (struct placed_leaf){g->leaf[number % FANOUT].new_place, number};
		}
		pthread_mutex_unlock(&r->s->lock);
	}
}

/* In the order of their new places, so that neighbours go in one request. Without memory for that, as they come. */
static void order_leaves(struct run *r)
{
	struct placed_leaf *placed = ps_memory_alloc(&r->s->memory, r->leaf_count * sizeof(*placed));
	if (!placed)
		return;
	look_up_places(r, placed);
	qsort(placed, r->leaf_count, sizeof(*placed), compare_places);
	for (size_t i = 0; i < r->leaf_count; i++)
		r->leaves[i] = placed[i].number;
	ps_memory_free(&r->s->memory, placed, r->leaf_count * sizeof(*placed));
}

static int write_leaves(struct run *r)
{
	int err = PS_OK;
	if (r->leaf_count > 1)
		order_leaves(r);
	for (size_t next = 0; next < r->leaf_count && !err;)
		err = leaf_step(r, &next);
	return err;
}

/* ---- inner pages ------------------------------------------------------------------------------------------------------------ */

static void encode_pointer(struct disk_pointer *to, const struct table_pointer *from)
{
	to->place[0] = ps_set64(from->place[0]);
	to->place[1] = ps_set64(from->place[1]);
	to->checksum = ps_set64(from->checksum);
	to->checkpoint = ps_set64(from->checkpoint);
}

static int write_twice(struct run *r, const uint64_t place[2], const uint8_t *page)
{
	int err = ps_io_write(r->s->io, place[0], page, PAGE, false);
	return err ? err : ps_io_write(r->s->io, place[1], page, PAGE, false);
}

/* Only checkpoints change the pointers of inner pages, so their images need no lock; `dirty` and `spare` do. A page that has no
 * places came after the checkpoint began: nothing hangs from it yet that is not in the log. */
static int write_node(struct run *r, struct table_node *n)
{
	uint8_t *page = r->bounce;
	uint64_t old[2] = {n->self.place[0], n->self.place[1]};
	for (int i = 0; i < FANOUT; i++)
		encode_pointer((struct disk_pointer *)(void *)page + i, &n->child[i]);
	pthread_mutex_lock(&r->s->lock);
	pthread_mutex_lock(&r->s->table.lock); /* a root may get a parent meanwhile, which takes its pointer over */
	bool has_places = n->spare[0] && n->spare[1];
	if (has_places) {
		n->dirty = false;
		n->self = (struct table_pointer){{n->spare[0], n->spare[1]},
						 XXH3_64bits_withSeed(page, PAGE, page_seed(n->level, n->number)), r->number};
		n->spare[0] = old[0];
		n->spare[1] = old[1];
		if (n->parent)
			n->parent->child[n->index] = n->self;
	}
	struct table_pointer self = n->self;
	pthread_mutex_unlock(&r->s->table.lock);
	pthread_mutex_unlock(&r->s->lock);
	return has_places ? write_twice(r, self.place, page) : PS_OK;
}

static struct table_node *known_child(struct table *t, struct table_node *n, int index)
{
	pthread_mutex_lock(&t->lock);
	struct table_node *child = n->node[index];
	pthread_mutex_unlock(&t->lock);
	return child;
}

static int write_nodes(struct run *r, struct table_node *n)
{
	int err = PS_OK;
	if (!n->dirty)
		return PS_OK;
	for (int i = 0; n->level > 1 && i < FANOUT && !err; i++) {
		struct table_node *child = known_child(&r->s->table, n, i);
		if (child)
			err = write_nodes(r, child);
	}
	return err ? err : write_node(r, n);
}

/* The highest page that is on disk: a root that a taken id made necessary may not be, while no leaf hangs from its new part. */
static const struct table_node *written_root(const struct table *t)
{
	const struct table_node *n = t->root;
	while (!n->self.place[0] && n->level > 1 && n->node[0])
		n = n->node[0];
	return n;
}

/* ---- the log's ring -------------------------------------------------------------------------------------------------------------- */

/* A log that has to be replayed is held in memory. */
static uint64_t ring_most(const struct store *s, uint64_t most)
{
	while (most > RING_LEAST && most > s->budget / 8)
		most /= 2;
	return most;
}

static _Thread_local char this_thread; /* its address */

void checkpoint_lock(struct store *s)
{
	pthread_mutex_lock(&s->checkpoint.lock);
	atomic_store_explicit(&s->checkpoint.owner, &this_thread, memory_order_relaxed);
}

void checkpoint_unlock(struct store *s)
{
	atomic_store_explicit(&s->checkpoint.owner, NULL, memory_order_relaxed);
	pthread_mutex_unlock(&s->checkpoint.lock);
}

bool checkpoint_is_mine(const struct store *s)
{
	return atomic_load_explicit(&s->checkpoint.owner, memory_order_relaxed) == &this_thread;
}

uint64_t checkpoint_wanted_ring(struct store *s)
{
	uint64_t want = RING_LEAST, live = atomic_load(&s->table.live_bytes) / 64;
	if (s->fixed_log)
		return 0;
	while (2 * want <= live && want < ring_most(s, RING_MOST))
		want *= 2;
	return want;
}

/* Half full again in less than a second: the ring is too small for what is going on, whatever the store's size. Compaction and
 * a clean close give it back. Under store.lock. */
static uint64_t busy_ring(struct store *s)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	uint64_t us = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	bool full = log_used(&s->log) > log_ring_len(&s->log) / 2;
	bool often = full && s->checkpoint.began_us && us - s->checkpoint.began_us < 1000000;
	s->checkpoint.began_us = us;
	uint64_t blocks = s->log.open->number - s->checkpoint.began_buffer;
	s->checkpoint.began_buffer = s->log.open->number;
	uint64_t most = ring_most(s, log_used(&s->log) > blocks * LARGE_BLOCK ? RING_LOADED : RING_BUSY);
	return often && !s->fixed_log ? MIN(2 * s->log.ring[0].len, most) : 0;
}

/* The file's growth is on disk with the next flush, and no sooner: a superblock names no more of it than was there when the
 * last flush before it began. Else a power cut between the two leaves a file that is shorter than its superblock says. */
static uint64_t end_now(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	uint64_t end = s->space.end;
	pthread_mutex_unlock(&s->lock);
	return end;
}

/* Writes the new ring, then lets the log go on there. The superblock names both before the first block is written to it. */
static int move_ring(struct store *s, uint64_t len)
{
	struct ps_extent extent;
	struct disk_superblock sb;
	pthread_mutex_lock(&s->lock);
	int err = space_alloc(&s->space, len, &extent, NULL);
	/* Compaction wants it lower, or smaller. */
	bool worse = !err && s->space.below && len >= s->log.ring[0].len && extent.offset > s->log.ring[0].offset;
	if (worse)
		space_free_now(&s->space, extent);
	pthread_mutex_unlock(&s->lock);
	if (err || worse)
		return PS_OK; /* the old one does */
	struct ring ring = {.offset = extent.offset, .len = len};
	uint64_t flushed_end = end_now(s);
	err = log_write_ring(&s->log, &ring);
	if (!err)
		err = s->io->ops->flush(s->io);
	if (err)
		return err;
	log_stop_leading(&s->log);
	pthread_mutex_lock(&s->lock);
	log_move(&s->log, &ring);
	err = log_set_buffers(&s->log);
	if (err)
		s->log.ring[1] = (struct ring){0};
	sb = s->sb;
	sb.file_bytes = ps_set64(MIN(flushed_end, s->space.end));
	superblock_log(s, &sb);
	pthread_mutex_unlock(&s->lock);
	if (!err && (err = superblock_write(s, &sb)) != PS_OK)
		store_fail(s, err, "the superblock could not be written");
	log_let_lead(&s->log);
	return err;
}

static int fit_ring(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	uint64_t busy = busy_ring(s), want = MAX(checkpoint_wanted_ring(s), busy); /* once: it takes notes */
	bool grow = !s->log.ring[1].len && want >= 2 * s->log.ring[0].len;
	pthread_mutex_unlock(&s->lock);
	return grow ? move_ring(s, want) : PS_OK;
}

int checkpoint_move_ring(struct store *s, uint64_t len)
{
	checkpoint_lock(s);
	int err = store_writable(s);
	if (!err && !s->log.ring[1].len)
		err = move_ring(s, len);
	if (err)
		store_fail(s, err, "the log could not be moved");
	checkpoint_unlock(s);
	return err;
}

/* ---- all of it -------------------------------------------------------------------------------------------------------------------- */

/* Takes over what is dirty. Under store.lock. */
static int begin(struct run *r)
{
	struct pool *pool = &r->s->pool;
	struct table *t = &r->s->table;
	size_t old = t->dirty_count ? t->dirty_count : 1;
	r->old = ps_memory_alloc(&r->s->memory, old * sizeof(*r->old));
	if (!r->old)
		return ps_fail(PS_ENOMEM, "%s: no memory for a checkpoint", r->s->path);
	r->old_size = old;
	r->s->checkpoint.old = r->old;
	r->s->checkpoint.old_count = 0;
	r->begun = true;
	r->start = log_want_start(&r->s->log);
	r->commit = r->s->log.closed_commit;
	r->closed_buffer = r->s->log.open->number - 1;
	r->number = ps_get64(r->s->sb.checkpoint) + 1;
	r->root = t->root;
	r->pages = pool->dirty;
	r->page_count = pool->dirty_count;
	r->page_size = pool->dirty_size;
	pool->dirty = NULL;
	pool->dirty_count = pool->dirty_size = 0;
	r->leaves = t->dirty;
	r->leaf_count = t->dirty_count;
	r->leaf_size = t->dirty_size;
	t->dirty = NULL;
	t->dirty_count = t->dirty_size = 0;
	r->last_buffer = log_last_buffer(&r->s->log);
	return PS_OK;
}

/* With this superblock the log's old ring is free: it must not be named any more. */
static void drop_passed_ring(struct disk_superblock *sb, uint64_t start)
{
	if (!ps_get64(sb->ring[1].len) || start < ps_get64(sb->ring[1].base))
		return;
	sb->ring[0] = sb->ring[1];
	memset(&sb->ring[1], 0, sizeof(sb->ring[1]));
}

static int write_superblock(struct run *r)
{
	struct store *s = r->s;
	struct disk_superblock sb = s->sb;
	pthread_mutex_lock(&s->lock);
	const struct table_node *root = written_root(&s->table);
	encode_pointer(&sb.root, &root->self);
	sb.height = (uint8_t)root->level;
	sb.slots = ps_set64(r->slots);
	sb.crashes = ps_set64(s->crashes);
	sb.file_bytes = ps_set64(MIN(r->flushed_end, s->space.end)); /* it may have been cut since, too */
	superblock_log(s, &sb);
	drop_passed_ring(&sb, r->start);
	pthread_mutex_unlock(&s->lock);
	sb.checkpoint = ps_set64(r->number);
	sb.log_start = ps_set64(r->start);
	sb.log_chain = ps_set64(log_wanted_chain(&s->log));
	sb.commit = ps_set64(r->commit);
	return superblock_write(s, &sb);
}

/* What only the old superblock needed is free. Under store.lock. */
static void finish(struct run *r)
{
	struct store *s = r->s;
	struct log *log = &s->log;
	size_t kept = 0;
	log_advance(log, r->start, ps_get64(s->sb.log_chain), r->number, r->closed_buffer);
	s->checkpoint.old_count = 0;
	for (size_t i = 0; i < r->old_count; i++)
		space_free_now(&s->space, r->old[i]);
	for (size_t i = 0; i < log->spill_count; i++) {
		if (log->spills[i].lsn >= r->start)
			log->spills[kept++] = log->spills[i];
		else
			space_free_now(&s->space, log->spills[i].extent);
	}
	log->spill_count = kept;
	if (log->ring[1].len && r->start >= log->ring[1].base) {
		space_free_now(&s->space, (struct ps_extent){log->ring[0].offset, log->ring[0].len});
		log->ring[0] = log->ring[1];
		log->ring[1] = (struct ring){0};
	}
	s->checkpoint.count++;
}

static int run_steps(struct run *r)
{
	struct store *s = r->s;
	int err = table_redo_finish(&s->table);
	if (!err)
		err = redo_finish(s);
	(void)rebuild_help(s);
	if (!err)
		err = fit_ring(s);
	if (err)
		return err;
	pthread_mutex_lock(&s->lock);
	err = table_reserve_places(&s->table);
	if (!err)
		err = begin(r);
	pthread_mutex_unlock(&s->lock);
	if (!err)
		err = write_frames(r);
	if (!err)
		err = write_leaves(r);
	r->slots = atomic_load(&s->table.slots);
	if (!err)
		err = write_nodes(r, r->root);
	r->flushed_end = end_now(s);
	/* Leaves may hold what the log has not yet on disk: it must be there before the superblock points at them. */
	if (!err)
		err = log_wait(&s->log, r->last_buffer);
	if (!err)
		err = s->io->ops->flush(s->io);
	if (!err)
		err = write_superblock(r);
	if (err)
		return err;
	pthread_mutex_lock(&s->lock);
	finish(r);
	pthread_mutex_unlock(&s->lock);
	return PS_OK;
}

static int run_checkpoint(struct store *s)
{
	struct run *r = ps_memory_zalloc(&s->memory, sizeof(*r));
	int err = r ? PS_OK : ps_fail(PS_ENOMEM, "%s: no memory for a checkpoint", s->path);
	if (!err) {
		r->s = s;
		/* A small store's checkpoint is small. */
		r->bounce_size = s->budget < (64 << 20) || s->log.ring[0].len < STEP_BYTES ? STEP_LEAST : STEP_BYTES;
		if (posix_memalign((void **)&r->bounce, PAGE, r->bounce_size))
			err = ps_fail(PS_ENOMEM, "%s: no memory for a checkpoint", s->path);
	}
	if (err) {
		ps_memory_free(&s->memory, r, sizeof(*r));
		return err;
	}
	/* Where all is dirty there is no room for it, and it is needed all the same. */
	bool counted = budget_take(s, r->bounce_size) == PS_OK;
	budget_enter(s);
	err = run_steps(r);
	if (counted)
		budget_give(s, r->bounce_size);
	budget_leave(s);
	/* Half of it may be done: what was dirty is in no list any more, so nothing may go on. */
	if (err && r->begun)
		store_fail(s, err, "a checkpoint failed");
	pthread_mutex_lock(&s->lock);
	s->checkpoint.old_count = 0;
	pthread_mutex_unlock(&s->lock);
	free(r->bounce);
	ps_memory_free(&s->memory, r->pages, r->page_size * sizeof(*r->pages));
	ps_memory_free(&s->memory, r->leaves, r->leaf_size * sizeof(*r->leaves));
	ps_memory_free(&s->memory, r->old, r->old_size * sizeof(*r->old));
	ps_memory_free(&s->memory, r, sizeof(*r));
	return err;
}

static uint64_t spilled_bytes(const struct store *s)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < s->log.spill_count; i++)
		bytes += s->log.spills[i].extent.len;
	return bytes;
}

/* Bytes of spilled operations that only a checkpoint gives back, over what may lie about of them: they and
 * what they placed would otherwise share the file by halves. */
unsigned checkpoint_spill_load(const struct store *s)
{
	enum { SPILL_LEAST = 2 << 20, SPILL_SHARE = 64 };
	return (unsigned)(spilled_bytes(s) / MAX((uint64_t)SPILL_LEAST, s->space.end / SPILL_SHARE));
}

/* A sync is a place to rest: less is left lying about. */
int checkpoint_after_sync(struct store *s)
{
	enum { REST_LEAST = 1 << 20, REST_SHARE = 256 };
	pthread_mutex_lock(&s->lock);
	bool wanted = s->writing && spilled_bytes(s) > MAX((uint64_t)REST_LEAST, s->space.end / REST_SHARE);
	pthread_mutex_unlock(&s->lock);
	return wanted ? checkpoint_run(s) : PS_OK;
}

bool checkpoint_wanted(struct store *s)
{
	return log_used(&s->log) > log_ring_len(&s->log) / 2 || budget_is_dirty(s) || checkpoint_spill_load(s) > 0;
}

/* Someone else's may have done while this waited for its turn. */
int checkpoint_if_wanted(struct store *s)
{
	checkpoint_lock(s);
	pthread_mutex_lock(&s->lock);
	bool wanted = checkpoint_wanted(s) && s->writing;
	pthread_mutex_unlock(&s->lock);
	int err = wanted ? store_writable(s) : PS_OK;
	if (wanted && !err)
		err = run_checkpoint(s);
	checkpoint_unlock(s);
	return err;
}

int checkpoint_run(struct store *s)
{
	checkpoint_lock(s);
	pthread_mutex_lock(&s->lock);
	bool writing = s->writing;
	pthread_mutex_unlock(&s->lock);
	int err = store_writable(s);
	/* Before the first write there is nothing to bring anywhere. */
	if (!err && writing)
		err = run_checkpoint(s);
	checkpoint_unlock(s);
	return err;
}

bool checkpoint_relieve(struct store *s)
{
	if (s->read_only || atomic_load(&s->failed))
		return false;
	checkpoint_lock(s);
	bool dirty = budget_dirty_bytes(s);
	pthread_mutex_lock(&s->lock);
	int err = dirty ? store_begin_writing(s) : PS_OK;
	pthread_mutex_unlock(&s->lock);
	if (!err && dirty)
		err = run_checkpoint(s);
	checkpoint_unlock(s);
	return !err;
}
