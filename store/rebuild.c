/* Free space derived from the table, while writers go on: after a crash, or where a clean close left no list
 * that counts.
 *
 * When the walk begins the allocator knows only the tail: all below it is in use, new space comes from the
 * file's end. A second set, `gaps`, begins with everything below the tail and loses what the walk finds in
 * use, leaf after leaf. What commits take meanwhile lies in the tail and is none of the walk's business. What
 * they free below the tail waits until the walk has ended (space.c holds it back): so nothing below the tail
 * changes hands meanwhile, and it does not matter whether the walk met an entry before or after it changed.
 * At the end the gaps lose what no entry names and what is not free yet all the same: table pages, the log,
 * what waits in a queue. Then they go to the allocator, a few at a time, and only then what waited.
 *
 * Where so many gaps would be found that they take more memory than the root has for them, the walk ends
 * early and begins anew for the lower half of the file only, and so on; when what it found there has been
 * given, the next part has its turn. A part behaves to what is behind it as all of them do to the tail. The
 * whole of a slab lies in one part.
 *
 * Slots are given once: `known` never goes back. A free slot above it is not given out, and is not counted,
 * until the walk comes to it; one whose delete is not durable yet is left to the queue.
 *
 * All under store.lock. Without memory the walk begins anew at the next step: what it had found is only in
 * `gaps`. */
#include <sys/param.h>

#include "store/base_internal.h"

enum {
	FIRST_PAGES = 16,     /* that the first write reads at most, and a step after it */
	EXTENTS_A_PAGE = 128, /* of a map: as much work as a page of the table */
	GIVEN_A_PAGE = 16,    /* gaps that go to the allocator in the time of a page */
};

struct rebuild {
	struct store *s;
	struct ps_allocator *gaps;
	struct ps_allocator *slabs; /* on top of the gaps, where the file has classes */
	uint64_t tail;    /* where new space began */
	uint64_t from, to; /* the part whose gaps are looked for: below it they have been given */
	uint64_t slots;   /* that there were: later ones are new */
	uint64_t at;      /* slots below are in `gaps` */
	uint64_t entered; /* the leaf whose own places are; UINT64_MAX: none */
	uint64_t known;   /* slots below are counted and given */
	uint64_t pages;   /* that this step may still read */
	uint64_t extents; /* of the present page's worth */
	bool walked;      /* what is left in `gaps` is free; until the next part has its turn */
	bool damaged, overlap;
	uint64_t waiting[2]; /* slots of that leaf whose delete is not durable yet */
};

/* ---- what is in use ---- */

/* Above the tail only what the allocator gave out can be in use. */
static bool in_tail(struct rebuild *r, struct ps_extent extent)
{
	struct ps_extent free_one;
	struct space *sp = &r->s->space;
	if (extent.offset < r->tail || extent.offset + extent.len > sp->end)
		return false;
	return !ps_root_find(sp->root, extent.offset, &free_one) ||
	       free_one.offset >= extent.offset + extent.len;
}

/* What of it lies in the part of the file that is looked at; len 0: nothing. */
static struct ps_extent in_part(const struct rebuild *r, struct ps_extent extent)
{
	uint64_t from = MAX(extent.offset, r->from), end = MIN(extent.offset + extent.len, r->to);
	return (struct ps_extent){from, end > from ? end - from : 0};
}

/* Behind the tail all that lies outside of the space counts as well: that is an overlap. */
static bool elsewhere(const struct rebuild *r, struct ps_extent extent)
{
	return extent.offset + extent.len <= r->from || (extent.offset >= r->to && extent.offset < r->tail);
}

/* One owner's extent: nobody else may have any of it. */
static int add_used(struct rebuild *r, struct ps_extent extent)
{
	if (!extent.len || in_tail(r, extent) || elsewhere(r, extent))
		return PS_OK;
	if (extent.offset + extent.len <= r->tail)
		extent = in_part(r, extent);
	int err = r->gaps->ops->mark(r->gaps, extent);
	if (err == PS_ECORRUPT) {
		r->overlap = true;
		return PS_OK;
	}
	return err;
}

/* The slot of an entry; its slab leaves the gaps when the first is met. */
static int add_slot(struct rebuild *r, const struct entry *e)
{
	struct ps_extent slot = entry_extent(r->s->classes, e);
	if (in_tail(r, slot) || elsewhere(r, slot))
		return PS_OK;
	int err = ps_omni_mark(r->slabs, entry_class(e), entry_place(e));
	if (err != PS_ECORRUPT)
		return err;
	r->overlap = true;
	return PS_OK;
}

/* A slot that waits in a queue: its entry may have been met before it went. */
static int keep_slot(struct rebuild *r, const struct freed *f)
{
	if (f->extent.offset >= r->tail || elsewhere(r, f->extent))
		return PS_OK;
	int err = ps_omni_mark(r->slabs, f->class, f->extent.offset);
	return err == PS_ECORRUPT ? PS_OK : err;
}

/* In use by something that may have been an object's, or another list's, when the walk met it. */
static int keep_used(struct rebuild *r, struct ps_extent extent)
{
	uint64_t end = MIN(extent.offset + extent.len, r->tail);
	struct ps_extent gap;
	while (extent.offset < end && ps_root_find(r->gaps, extent.offset, &gap) && gap.offset < end) {
		uint64_t from = MAX(gap.offset, extent.offset), to = MIN(gap.offset + gap.len, end);
		int err = r->gaps->ops->mark(r->gaps, (struct ps_extent){from, to - from});
		if (err)
			return err;
		extent.offset = to;
	}
	return PS_OK;
}

static void spend(struct rebuild *r, uint64_t pages)
{
	r->pages -= MIN(r->pages, pages);
}

static int add_part(void *arg, struct ps_extent extent, const struct blob *blob, uint64_t chunk)
{
	struct rebuild *r = arg;
	(void)blob;
	(void)chunk;
	if (++r->extents % EXTENTS_A_PAGE == 0)
		spend(r, 1);
	return add_used(r, extent);
}

static int add_entry(struct rebuild *r, uint64_t slot, const struct entry *e)
{
	if (entry_class(e))
		return add_slot(r, e);
	if (entry_kind(e) != ENTRY_MAP)
		return add_used(r, entry_extent(NULL, e));
	spend(r, 1);
	int err = map_extents(r->s, id_make(slot, entry_generation(e)), e, add_part, r);
	if (err != PS_ECORRUPT && err != PS_EIO)
		return err;
	r->damaged = true;
	return PS_OK;
}

/* ---- slots ---- */

/* Which of the leaf's slots are in the queue: they are free in the table, and not yet for use. */
static void find_waiting(struct rebuild *r, uint64_t leaf)
{
	const struct space *sp = &r->s->space;
	r->waiting[0] = r->waiting[1] = 0;
	for (size_t i = 0; i < sp->queue_count; i++) {
		const struct freed *f = &sp->queue[(sp->queue_head + i) & (sp->queue_size - 1)];
		if (!f->extent.len && f->slot / FANOUT == leaf)
			r->waiting[f->slot % FANOUT / 64] |= (uint64_t)1 << (f->slot % 64);
	}
}

static void give_slot(struct rebuild *r, uint64_t slot)
{
	if (!(r->waiting[slot % FANOUT / 64] >> (slot % 64) & 1))
		table_give_slot(&r->s->table, slot);
}

static void set_known(struct rebuild *r, uint64_t slot)
{
	r->known = MAX(r->known, slot);
	r->s->table.uncounted = r->known;
}

static void know_entry(struct rebuild *r, uint64_t slot, const struct entry *e)
{
	struct table *t = &r->s->table;
	if (slot < r->known)
		return;
	if (entry_kind(e) == ENTRY_FREE)
		give_slot(r, slot);
	else if (entry_lives(e)) {
		atomic_fetch_add(&t->objects, 1);
		atomic_fetch_add(&t->live_bytes, entry_size(e));
	}
	set_known(r, slot + 1);
}

bool rebuild_gives_slot(const struct space *sp, uint64_t slot)
{
	const struct rebuild *r = sp->rebuild;
	return r && slot >= r->known && slot < r->slots;
}

/* ---- the walk ---- */

/* Leaves that are nowhere have only free slots, if they are not unknown: given where their group is in memory. */
static void skip_absent(struct rebuild *r, uint64_t to)
{
	uint64_t unknown = atomic_load(&r->s->table.unknown);
	while (r->at < to) {
		uint64_t end = MIN((r->at / GROUP_SLOTS + 1) * GROUP_SLOTS, to);
		bool there = table_group(&r->s->table, r->at / GROUP_SLOTS) != NULL;
		for (uint64_t slot = MAX(MAX(r->at, r->known), unknown); there && slot < end; slot++)
			table_give_slot(&r->s->table, slot);
		r->at = end;
	}
	set_known(r, r->at);
}

/* A page that cannot be read costs its slots, and all hope of knowing what is free. */
static int skip_damaged(struct rebuild *r, uint64_t slots)
{
	r->damaged = true;
	r->at = MIN((r->at / slots + 1) * slots, r->slots);
	set_known(r, r->at);
	return PS_OK;
}

static bool is_damage(int err)
{
	return err == PS_ECORRUPT || err == PS_EIO;
}

static int enter_leaf(struct rebuild *r)
{
	struct table *t = &r->s->table;
	struct table_node *g;
	struct table_leaf *l;
	struct entry e;
	uint64_t next = MIN(table_next(t, r->at), r->slots);
	spend(r, 1);
	if (next > r->at) {
		skip_absent(r, next);
		return PS_OK;
	}
	int err = table_find_leaf(t, r->at, &g, &l);
	if (err)
		return is_damage(err) ? skip_damaged(r, GROUP_SLOTS) : err;
	if ((err = table_get(t, r->at, &e)) != PS_OK)
		return is_damage(err) ? skip_damaged(r, FANOUT) : err;
	r->entered = r->at / FANOUT;
	find_waiting(r, r->entered);
	const uint64_t *place = g->child[r->entered % FANOUT].place;
	err = add_used(r, (struct ps_extent){place[0], place[0] ? PAGE : 0});
	return err ? err : add_used(r, (struct ps_extent){l->new_place, l->new_place ? PAGE : 0});
}

static int walk_slot(struct rebuild *r)
{
	struct entry e;
	int err = table_get(&r->s->table, r->at, &e);
	if (!err && entry_kind(&e) != ENTRY_FREE)
		err = add_entry(r, r->at, &e);
	if (err)
		return is_damage(err) ? skip_damaged(r, FANOUT) : err;
	know_entry(r, r->at, &e);
	r->at++;
	return PS_OK;
}

/* ---- parts of the file ---- */

static void close_gaps(struct rebuild *r)
{
	if (r->slabs)
		r->slabs->ops->close(r->slabs);
	if (r->gaps)
		r->gaps->ops->close(r->gaps);
	r->slabs = r->gaps = NULL;
}

/* Slabs lie at multiples of their length, which is a power of two. */
static uint64_t longest_slab(const struct rebuild *r)
{
	uint64_t most = PAGE;
	for (unsigned class = 1; r->slabs && class <= r->s->classes->table.count; class ++)
		most = MAX(most, (uint64_t)ps_class_geometry(r->s->classes, class)->slab_bytes);
	return most;
}

/* The lower half of the part is as much as there is memory for: the walk begins anew. */
static bool narrow(struct rebuild *r)
{
	struct ps_allocator_stats gaps;
	r->gaps->ops->stats(r->gaps, &gaps);
	uint64_t half = (r->to - r->from) / 2 & ~(longest_slab(r) - 1);
	if (gaps.free_extents <= r->s->space.holes_most || !half)
		return false;
	r->to = r->from + half;
	close_gaps(r);
	return true;
}

/* Gaps are not equally many everywhere. */
static void next_part(struct rebuild *r)
{
	uint64_t bytes = r->to - r->from;
	r->from = r->to;
	r->to = MIN(r->from + 2 * bytes, r->tail);
	r->walked = false;
	close_gaps(r);
}

static int walk(struct rebuild *r)
{
	int err = PS_OK;
	/* Deletes have come, and others have become durable, since the last step stopped in the middle of a
	 * leaf. */
	find_waiting(r, r->entered);
	while (!err && r->at < r->slots && r->pages) {
		err = r->at / FANOUT == r->entered ? walk_slot(r) : enter_leaf(r);
		if (!err && r->at % FANOUT == 0 && narrow(r))
			return PS_OK;
	}
	return err;
}

/* ---- the end of the walk ---- */

static int add_nodes(struct rebuild *r, const struct table_node *n)
{
	int err = PS_OK;
	for (int i = 0; i < 2 && !err; i++) {
		err = add_used(r, (struct ps_extent){n->self.place[i], n->self.place[i] ? PAGE : 0});
		if (!err)
			err = add_used(r, (struct ps_extent){n->spare[i], n->spare[i] ? PAGE : 0});
	}
	for (int i = 0; n->level > 1 && i < FANOUT && !err; i++)
		err = n->node[i] ? add_nodes(r, n->node[i]) : PS_OK;
	return err;
}

static int add_fixed(struct rebuild *r)
{
	int err = add_used(r, (struct ps_extent){0, SUPERBLOCK_AREA});
	for (uint64_t fence = SPACE_FENCE; fence < r->tail && !err; fence += SPACE_FENCE)
		err = add_used(r, (struct ps_extent){fence, PAGE});
	for (int i = 0; i < 2 && !err; i++)
		err = add_used(r, (struct ps_extent){r->s->log.ring[i].offset, r->s->log.ring[i].len});
	return err;
}

static int keep_freed(struct rebuild *r, const struct freed *f)
{
	return f->class ? keep_slot(r, f) : keep_used(r, f->extent);
}

/* What no entry names any more and somebody still needs: it is freed in its own time. */
static int keep_waiting(struct rebuild *r)
{
	const struct space *sp = &r->s->space;
	const struct log *log = &r->s->log;
	int err = PS_OK;
	for (size_t i = 0; i < sp->queue_count && !err; i++)
		err = keep_freed(r, &sp->queue[(sp->queue_head + i) & (sp->queue_size - 1)]);
	for (size_t i = 0; i < sp->held_count && !err; i++)
		err = keep_freed(r, &sp->held[i]);
	for (size_t i = 0; i < log->spill_count && !err; i++)
		err = keep_used(r, log->spills[i].extent);
	for (size_t i = 0; i < r->s->checkpoint.old_count && !err; i++)
		err = keep_used(r, r->s->checkpoint.old[i]);
	return err;
}

static int end_walk(struct rebuild *r)
{
	struct store *s = r->s;
	pthread_mutex_lock(&s->table.lock);
	int err = add_nodes(r, s->table.root);
	pthread_mutex_unlock(&s->table.lock);
	if (!err)
		err = add_fixed(r);
	if (!err)
		err = keep_waiting(r);
	if (err)
		return err;
	/* While any table page cannot be read, nothing is called free: new space comes from the file's end.
	 */
	s->space.overlapping = r->overlap;
	s->table.damaged = r->damaged || r->overlap;
	s->table.uncounted_end = 0;
	r->walked = true;
	return PS_OK;
}

/* ---- what was found goes to the allocator ---- */

/* Pages that small objects share go back as their last object would, for the rest of the page may be free
 * already. */
static void give_gap(struct space *sp, struct ps_extent gap)
{
	uint64_t end = gap.offset + gap.len,
	         first = MIN((gap.offset + PAGE - 1) & ~(uint64_t)(PAGE - 1), end);
	uint64_t last = MAX(end & ~(uint64_t)(PAGE - 1), first);
	struct ps_extent whole = {first, last - first};
	if (first > gap.offset)
		space_free_now(sp, (struct ps_extent){gap.offset, first - gap.offset});
	/* Without memory to note that it may be a hole it stays in use until the next open. */
	if (whole.len && space_note_hole(sp, whole) != PS_OK) {
		atomic_store(&sp->lost, true);
		whole.len = 0;
	}
	if (whole.len && sp->root->ops->free(sp->root, whole, NULL) != PS_OK)
		space_free_later(sp, &(struct freed){.extent = whole});
	if (end > last)
		space_free_now(sp, (struct ps_extent){last, end - last});
}

/* The slabs that were found, into the store's own allocator: to its root they look allocated, as all below the tail does. */
static int give_slab(void *arg, const struct ps_slab_info *slab)
{
	struct rebuild *r = arg;
	uint64_t words[PS_SLAB_WORDS_MAX];
	struct ps_allocator *to = r->s->space.slots;
	if (ps_omni_class_at(to, slab->offset))
		return PS_OK; /* an earlier try, without memory for all, came as far as here */
	int err = ps_omni_save_slab(r->slabs, slab->offset, words);
	return err ? err : ps_omni_load_slab(to, slab->class, slab->offset, words, ps_omni_slab_words(to, slab->class));
}

static int give_slabs(struct rebuild *r)
{
	int err = r->slabs ? space_note_slab_holes(&r->s->space, r->slabs) : PS_OK;
	if (!err && r->slabs)
		err = ps_omni_each_slab(r->slabs, give_slab, r);
	if (!err && r->slabs) {
		r->slabs->ops->close(r->slabs);
		r->slabs = NULL;
	}
	return err;
}

/* *more: there are gaps left. Room in the queue first, so that what leaves `gaps` is never lost. */
static int give_gaps(struct rebuild *r, bool *more)
{
	struct space *sp = &r->s->space;
	struct ps_extent gap;
	int err = PS_OK;
	uint64_t left = r->pages * GIVEN_A_PAGE;
	*more = false;
	if (r->s->table.damaged)
		return PS_OK;
	err = give_slabs(r);
	while (!err && ps_root_find(r->gaps, 0, &gap)) {
		if (!left--) {
			*more = true;
			return PS_OK;
		}
		err = space_queue_reserve(sp, 3);
		if (!err)
			err = r->gaps->ops->mark(r->gaps, gap);
		if (!err)
			give_gap(sp, gap);
	}
	return err;
}

/* ---- around it ---- */

static int all_gaps(struct rebuild *r)
{
	struct ps_allocator *fresh;
	const struct ps_extent all = {r->from, r->to - r->from};
	int err = ps_root_open(&r->s->memory, &fresh);
	if (err)
		return err;
	if ((err = ps_root_load(fresh, r->tail, &all, 1)) != PS_OK) {
		fresh->ops->close(fresh);
		return err;
	}
	struct ps_allocator *slabs = NULL;
	if (r->s->classes && (err = ps_omni_open(&r->s->memory, fresh, &r->s->classes->table, &slabs)) != PS_OK) {
		fresh->ops->close(fresh);
		return err;
	}
	close_gaps(r);
	r->gaps = fresh;
	r->slabs = slabs;
	r->at = 0;
	r->entered = UINT64_MAX;
	r->damaged = r->overlap = false;
	return PS_OK;
}

void rebuild_drop(struct space *sp)
{
	struct rebuild *r = sp->rebuild;
	if (!r)
		return;
	close_gaps(r);
	ps_memory_free(&r->s->memory, r, sizeof(*r));
	sp->rebuild = NULL;
	atomic_store(&sp->unknown, false);
}

/* All that the file has, and all that the log's entries name. */
static uint64_t find_tail(const struct store *s)
{
	uint64_t file = s->space.file_bytes & ~(uint64_t)(PAGE - 1);
	uint64_t named = (s->space.named_end + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	return MAX(MAX(ps_get64(s->sb.file_bytes), file), named);
}

/* The root's list comes last: until then everything can be tried again. */
static int know_tail(struct space *sp, uint64_t tail)
{
	struct store *s = sp->store;
	int err = PS_OK;
	if (tail > sp->file_bytes)
		err = s->io->ops->allocate(s->io, sp->file_bytes, tail - sp->file_bytes);
	if (!err)
		err = pool_extend(&s->pool, tail);
	if (!err)
		err = space_forget_holes(sp, tail);
	if (!err)
		err = ps_root_load(sp->root, tail, NULL, 0);
	if (err)
		return err;
	sp->end = tail;
	sp->file_bytes = MAX(tail, sp->file_bytes);
	return PS_OK;
}

int rebuild_begin(struct space *sp)
{
	struct store *s = sp->store;
	struct table *t = &s->table;
	struct rebuild *r = ps_memory_zalloc(&s->memory, sizeof(*r));
	if (!r)
		return ps_fail(PS_ENOMEM, "%s: no memory to find the free space", s->path);
	r->s = s;
	r->tail = r->to = find_tail(s);
	r->slots = atomic_load(&t->slots);
	int err = classes_reset(s);
	if (!err)
		err = all_gaps(r);
	if (!err)
		err = know_tail(sp, r->tail);
	if (err) {
		close_gaps(r);
		ps_memory_free(&s->memory, r, sizeof(*r));
		return err;
	}
	/* What is read from now on is not counted for that, but by the walk. */
	pthread_mutex_lock(&t->lock);
	atomic_store(&t->objects, t->unknown_objects);
	atomic_store(&t->live_bytes, t->unknown_bytes);
	t->uncounted = 0;
	t->uncounted_end = r->slots;
	pthread_mutex_unlock(&t->lock);
	sp->rebuild = r;
	atomic_store(&sp->unknown, true);
	return PS_OK;
}

bool rebuild_holds(const struct space *sp, struct ps_extent extent)
{
	const struct rebuild *r = sp->rebuild;
	return r && extent.offset < r->tail && extent.offset + extent.len > (r->walked ? r->to : r->from);
}

static int step(struct rebuild *r, uint64_t pages, bool *more)
{
	int err = r->gaps ? PS_OK : all_gaps(r);
	r->pages = pages;
	*more = true;
	if (!err && !r->walked)
		err = walk(r);
	if (!err && r->gaps && !r->walked && r->at == r->slots)
		err = end_walk(r);
	/* Half an entry may be in the gaps: they are thrown away. */
	if (err && !r->walked)
		close_gaps(r);
	if (!err && r->walked)
		err = give_gaps(r, more);
	if (!err && !*more && r->to < r->tail && !r->s->table.damaged) {
		next_part(r);
		*more = true;
	}
	return err;
}

int rebuild_step(struct space *sp)
{
	bool more;
	if (!sp->rebuild)
		return PS_OK;
	int err = step(sp->rebuild, FIRST_PAGES, &more);
	if (!err && !more)
		rebuild_drop(sp);
	return err;
}

int rebuild_finish(struct space *sp)
{
	int err = PS_OK;
	while (!err && sp->rebuild)
		err = rebuild_step(sp);
	return err;
}

/* ---- without the lock ---- */

static int no_part(void *arg, struct ps_extent extent, const struct blob *blob, uint64_t chunk)
{
	(void)arg;
	(void)extent;
	(void)blob;
	(void)chunk;
	return PS_OK;
}

/* Brings into memory what the next step will look at, so that it does not read under the lock. What fails
 * here fails there. */
static void read_ahead(struct store *s, uint64_t slot, uint64_t end)
{
	uint64_t left = FIRST_PAGES;
	for (slot = table_next(&s->table, slot); slot < end && left; slot++) {
		struct entry e;
		if (slot % FANOUT == 0 && (slot = table_next(&s->table, slot)) >= end)
			return;
		space_hold(&s->space, slot);
		int err = table_get(&s->table, slot, &e);
		if (!err && entry_kind(&e) == ENTRY_MAP)
			err = map_extents(s, id_make(slot, entry_generation(&e)), &e, no_part, NULL);
		space_unhold(&s->space, slot);
		if (err)
			return;
		left -= slot % FANOUT == FANOUT - 1;
	}
}

bool rebuild_help(struct store *s)
{
	struct space *sp = &s->space;
	if (!atomic_load_explicit(&sp->unknown, memory_order_relaxed) || atomic_load(&s->failed))
		return false;
	pthread_mutex_lock(&s->lock);
	uint64_t at = sp->rebuild ? sp->rebuild->at : 0, end = sp->rebuild ? sp->rebuild->slots : 0;
	pthread_mutex_unlock(&s->lock);
	read_ahead(s, at, end);
	pthread_mutex_lock(&s->lock);
	int err = rebuild_step(sp);
	bool more = sp->rebuild && !err;
	pthread_mutex_unlock(&s->lock);
	return more;
}
