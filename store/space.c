/* Which bytes of the file are free, and when what was freed may be used again.
 *
 * Free space is derived: from the snapshot of a clean close, else from the table (rebuild.c). How it becomes free is space_free.c's. */
#include <sys/param.h>

#include "store/base_internal.h"
#include "store/huge.h"

enum {
	OPEN_BYTES = 64 << 10, /* small objects fill so much before they look for more */
	GROW_MIN = 64 << 10,
	GROW_SHARE = 128,  /* the least to grow by */
	PIECES_SHARE = 64, /* free in the file: runs take pieces of that before it grows */
	GROW_MAX = 64 << 20,
	GROW_EXPECTED = 1 << 30,
	GROW_BLIND = 1 << 20, /* while free space is not known yet: little, for there may be enough */
	HOLES_SHARE = 8,      /* of the budget, for what is known to be free */
	FORGOTTEN_SHARE = 16, /* of the file: from there on batches fill pieces, too */
	HOLE_MEMORY = 72,     /* that a free extent takes in both trees */
	RESERVE_PAGES = 16,
	PAGES_SHARE = 16, /* of the file: from there on the table takes a HUGE_BLOCK at once */
	RESERVE_MIN = 2, /* with one leaf's place a delete goes on, a checkpoint at a time; and one to spare */
};

int space_init(struct space *sp, struct store *s)
{
	sp->store = s;
	sp->holes_most = s->budget / HOLES_SHARE / HOLE_MEMORY;
	int err = ps_root_open(&s->memory, &sp->root);
	if (!err)
		ps_root_set_most(sp->root, sp->holes_most);
	return err ? err : ps_root_open(&s->memory, &sp->punched);
}

uint64_t space_forgotten(const struct space *sp)
{
	struct ps_allocator_stats stats;
	sp->root->ops->stats(sp->root, &stats);
	return stats.forgotten;
}

void space_done(struct space *sp)
{
	if (!sp->store)
		return;
	struct ps_memory *m = &sp->store->memory;
	rebuild_drop(sp);
	if (sp->slots)
		sp->slots->ops->close(sp->slots);
	if (sp->root)
		sp->root->ops->close(sp->root);
	if (sp->punched)
		sp->punched->ops->close(sp->punched);
	ps_memory_free(m, sp->queue, sp->queue_size * sizeof(*sp->queue));
	ps_memory_free(m, sp->held, sp->held_size * sizeof(*sp->held));
}

/* ---- growth ------------------------------------------------------------------------------------------------------ */

/* Large steps in a load. Where space comes free as well, they begin small again: what is new would be filled
 * before the holes are. */
static uint64_t grow_step(const struct space *sp)
{
	uint64_t most =
	    MAX(MIN(sp->end / 4, (uint64_t)(sp->rebuild ? GROW_BLIND : GROW_MAX)), (uint64_t)GROW_MIN);
	uint64_t step = MIN(MAX(MAX(sp->end / GROW_SHARE, sp->grown), (uint64_t)GROW_MIN), most);
	if (sp->expected > sp->end)
		step = MAX(step, MIN(sp->expected - sp->end, (uint64_t)GROW_EXPECTED));
	return (step + GROW_MIN - 1) & ~(uint64_t)(GROW_MIN - 1);
}

static int mark_fences(struct space *sp, uint64_t from, uint64_t to)
{
	for (uint64_t fence = MAX((from + SPACE_FENCE - 1) / SPACE_FENCE, 1U) * SPACE_FENCE; fence < to; fence += SPACE_FENCE) {
		int err = sp->root->ops->mark(sp->root, (struct ps_extent){fence, PAGE});
		if (err)
			return err;
	}
	return PS_OK;
}

/* Space for a part of a hole, and for what lies behind it as when the file grows: the next extents come from there. */
static int fill_hole(struct space *sp, struct ps_extent hole, uint64_t from, uint64_t *to)
{
	const struct ps_io *io = sp->store->io;
	uint64_t ahead = MIN(MAX(*to, from + grow_step(sp)), hole.offset + hole.len);
	int err = io->ops->allocate(sp->store->io, from, ahead - from);
	if (!err)
		*to = ahead;
	return err == PS_ENOSPC && ahead > *to ? io->ops->allocate(sp->store->io, from, *to - from) : err;
}

/* The space of free extents was given back to the file system: it must be there again before use. */
static int back_with_space(struct space *sp, struct ps_extent extent, bool has_space)
{
	struct ps_extent hole;
	while (ps_root_find(sp->punched, extent.offset, &hole) && hole.offset < extent.offset + extent.len) {
		uint64_t from = MAX(hole.offset, extent.offset & ~(uint64_t)(PAGE - 1));
		uint64_t to = MIN(hole.offset + hole.len, (extent.offset + extent.len + PAGE - 1) & ~(uint64_t)(PAGE - 1));
		int err = has_space ? PS_OK : fill_hole(sp, hole, from, &to);
		if (!err)
			err = sp->punched->ops->mark(sp->punched, (struct ps_extent){from, to - from});
		if (err)
			return err;
	}
	return PS_OK;
}

/* Space is there before it is given out: a write into it cannot fail for lack of space. */
static int grow(struct space *sp, uint64_t at_least)
{
	struct store *s = sp->store;
	struct ps_allocator_stats punched;
	uint64_t old = sp->end, more = MAX(grow_step(sp), (at_least + 3 * PAGE) & ~(uint64_t)(PAGE - 1));
	int err = s->io->ops->allocate(s->io, old, more);
	if (err == PS_ENOSPC && more > at_least + 2 * PAGE) {
		sp->expected = 0; /* it is not tried again each time */
		more = (at_least + 2 * PAGE - 1) & ~(uint64_t)(PAGE - 1);
		err = s->io->ops->allocate(s->io, old, more);
	}
	if (!err)
		err = pool_extend(&s->pool, old + more);
	/* An earlier try may have come as far as here. */
	sp->punched->ops->stats(sp->punched, &punched);
	if (!err && punched.space < old + more)
		err = ps_root_grow(sp->punched, old + more);
	if (!err)
		err = back_with_space(sp, (struct ps_extent){old, more}, true);
	if (!err)
		err = ps_root_grow(sp->root, old + more);
	if (err)
		return err;
	sp->end = old + more;
	sp->grown += more;
	sp->file_bytes = MAX(sp->file_bytes, sp->end);
	return mark_fences(sp, old, sp->end);
}

/* ---- allocation -------------------------------------------------------------------------------------------------- */

static int root_alloc(struct space *sp, uint64_t len, struct ps_extent *extent)
{
	int err = PS_ENOSPC;
	if (sp->below)
		err = ps_root_alloc_below(sp->root, len, sp->below, extent);
	/* For want of space there, as low as it goes: the next round has less to move. */
	if (err == PS_ENOSPC && sp->below)
		err = ps_root_alloc_below(sp->root, len, sp->end, extent);
	if (err == PS_ENOSPC)
		err = sp->root->ops->alloc(sp->root, len, extent);
	if (err)
		return err;
	err = back_with_space(sp, *extent, false);
	if (err)
		(void)sp->root->ops->free(sp->root, *extent, NULL);
	return err;
}

static void close_table_pages(struct space *sp)
{
	if (sp->pages.len)
		(void)sp->root->ops->free(sp->root, sp->pages, NULL);
	sp->pages.len = 0;
}

static int alloc_or_grow(struct space *sp, uint64_t len, struct ps_extent *extent)
{
	int err = root_alloc(sp, len, extent);
	if (err != PS_ENOSPC)
		return err;
	err = grow(sp, len);
	/* The file cannot grow: what is free below has to be known now. */
	if (err == PS_ENOSPC && sp->rebuild && (err = rebuild_finish(sp)) == PS_OK) {
		space_retry_held(sp);
		return root_alloc(sp, len, extent);
	}
	if (err == PS_ENOSPC && sp->pages.len) {
		close_table_pages(sp);
		if (root_alloc(sp, len, extent) == PS_OK)
			return PS_OK;
	}
	/* A copy in progress holds freed space back only as long as writers can do without. */
	if (err == PS_ENOSPC && sp->store->cut) {
		cut_drop(sp->store);
		space_retry_held(sp);
		err = PS_OK;
	}
	return err ? err : root_alloc(sp, len, extent);
}

/* The rest of a page that objects share goes back as an object would; pages behind it were never used. */
static void close_open_page(struct space *sp)
{
	struct ps_extent rest = {sp->open.offset, MIN(sp->open.len, PAGE - sp->open.offset % PAGE)};
	if (!sp->open.len || rest.len == PAGE)
		return;
	sp->open.offset += rest.len;
	sp->open.len -= rest.len;
	space_free_now(sp, rest);
}

static void close_open_pages(struct space *sp)
{
	close_open_page(sp);
	if (sp->open.len) {
		pool_unpopulate(&sp->store->pool, sp->open);
		(void)sp->root->ops->free(sp->root, sp->open, NULL);
	}
	sp->open.len = 0;
}

/* What is left of a free extent that pages were taken from, where it is too short for as many again: it would
 * stay a hole, and keep its block of frames from being whole. */
static bool take_rest(struct space *sp, uint64_t len, struct ps_extent *extent)
{
	struct ps_extent rest;
	if (!sp->run_end || !ps_root_find(sp->root, sp->run_end, &rest) || rest.offset != sp->run_end)
		return false;
	rest.len &= ~(uint64_t)(PAGE - 1);
	if (!rest.len || rest.len >= len || sp->root->ops->mark(sp->root, rest) != PS_OK)
		return false;
	if (back_with_space(sp, rest, false) != PS_OK) {
		(void)sp->root->ops->free(sp->root, rest, NULL);
		return false;
	}
	*extent = rest;
	return true;
}

/* Pages that lie side by side, for small contents. */
static int alloc_pages(struct space *sp, uint64_t len, struct ps_extent *extent)
{
	int err = !sp->below && take_rest(sp, len, extent) ? PS_OK : root_alloc(sp, len, extent);
	if (!err)
		sp->run_end = extent->offset + extent->len;
	return err;
}

/* Pieces are as many as there is memory for, nearly: what is filled need not be forgotten. */
static bool pieces_are_many(const struct space *sp)
{
	struct ps_allocator_stats stats;
	sp->root->ops->stats(sp->root, &stats);
	return stats.free_extents > sp->holes_most / 2;
}

/* As well, and enough was forgotten to be worth a page write for each object. */
static bool much_is_forgotten(const struct space *sp)
{
	return pieces_are_many(sp) && space_forgotten(sp) > sp->end / FORGOTTEN_SHARE;
}

/* With no page left: much is free, and worth a page write for each object. */
static bool lies_in_pieces(const struct space *sp)
{
	struct ps_allocator_stats stats;
	sp->root->ops->stats(sp->root, &stats);
	return stats.free > stats.space / 8;
}

/* False: no free extent is as long as a page. */
static bool may_have_pages(const struct space *sp)
{
	struct ps_allocator_stats stats;
	sp->root->ops->stats(sp->root, &stats);
	return stats.largest_free >= PAGE;
}

/* Wholly empty pages; then, where much is free but in pieces, the pieces; then new pages at the end. */
static int refill_open_pages(struct space *sp, uint64_t len, struct ps_extent *piece)
{
	uint64_t want = MAX((uint64_t)PAGE, MIN((uint64_t)OPEN_BYTES, sp->end / 16 & ~(uint64_t)(PAGE - 1)));
	piece->len = 0;
	close_open_pages(sp);
	if (pieces_are_many(sp) && root_alloc(sp, len, piece) == PS_OK)
		return PS_OK;
	if (may_have_pages(sp) && (alloc_pages(sp, want, &sp->open) == PS_OK || root_alloc(sp, PAGE, &sp->open) == PS_OK)) {
		pool_populate(&sp->store->pool, sp->open);
		return PS_OK;
	}
	sp->open.len = 0;
	if (lies_in_pieces(sp) && root_alloc(sp, len, piece) == PS_OK)
		return PS_OK;
	int err = alloc_or_grow(sp, want, &sp->open);
	if (!err) {
		pool_populate(&sp->store->pool, sp->open);
		return PS_OK;
	}
	sp->open.len = 0;
	return err == PS_ENOSPC ? root_alloc(sp, len, piece) : err;
}

static int alloc_small(struct space *sp, uint64_t len, struct ps_extent *extent, bool *empty)
{
	struct ps_extent piece = {0};
	/* Compaction fills the pieces below its limit first. */
	if (sp->below && ps_root_alloc_below(sp->root, len, sp->below, extent) == PS_OK) {
		*empty = false;
		return back_with_space(sp, *extent, false);
	}
	if (sp->open.len && sp->open.offset % PAGE + len > PAGE)
		close_open_page(sp);
	if (!sp->open.len) {
		int err = refill_open_pages(sp, len, &piece);
		if (err)
			return err;
	}
	if (piece.len) {
		*extent = piece;
		*empty = false;
		return PS_OK;
	}
	*extent = (struct ps_extent){sp->open.offset, len};
	*empty = sp->open.offset % PAGE == 0;
	sp->open.offset += len;
	sp->open.len -= len;
	return PS_OK;
}

int space_alloc(struct space *sp, uint64_t len, struct ps_extent *extent, bool *empty)
{
	bool ignored;
	uint64_t rounded = extent_len(len);
	space_reclaim(sp);
	int err = rounded < PAGE ? alloc_small(sp, rounded, extent, empty ? empty : &ignored) : alloc_or_grow(sp, rounded, extent);
	if (err == PS_ENOSPC)
		return ps_fail(PS_ENOSPC, "%s: no space for %llu bytes (file is %llu bytes)", sp->store->path,
			       (unsigned long long)len, (unsigned long long)sp->end);
	return err;
}

/* As the open pages are found: the more side by side the better. */
int space_alloc_pages(struct space *sp, uint64_t bytes, struct ps_extent *extent)
{
	space_reclaim(sp);
	int err = sp->below || much_is_forgotten(sp) ? PS_ENOTSUP : PS_ENOSPC;
	for (uint64_t len = bytes; len && err == PS_ENOSPC; len = len / 2 & ~(uint64_t)(PAGE - 1))
		err = alloc_pages(sp, len, extent);
	if (err == PS_ENOSPC)
		err = lies_in_pieces(sp) ? PS_ENOTSUP : alloc_or_grow(sp, bytes, extent);
	if (!err)
		pool_populate(&sp->store->pool, *extent);
	return err;
}

/* A new slab is like new space: there before use, its memory in one piece. */
static int enter_slab(struct space *sp, const struct ps_class_geometry *g, struct ps_extent slot)
{
	struct ps_extent slab = {ps_class_slab(g, slot.offset), g->slab_bytes};
	int err = back_with_space(sp, slab, false);
	/* What is restored is written from buffers. */
	if (!err && !sp->store->restoring)
		pool_populate(&sp->store->pool, slab);
	return err;
}

/* While a compaction runs slabs lie below its limit. Where one finds no room there the limit is lifted until
 * the next round sets it: that goes through all slabs. What lies above it now stays retired, so new slabs
 * alone may lie there. */
static int lift_limit(struct space *sp, unsigned class, struct ps_extent *extent)
{
	sp->lifted = true;
	ps_omni_set_limit(sp->slots, INT64_MAX); /* as low as it goes */
	return ps_omni_alloc_class(sp->slots, class, extent);
}

static int slot_anywhere(struct space *sp, unsigned class, uint64_t slab_bytes, struct ps_extent *extent)
{
	int err = ps_omni_alloc_class(sp->slots, class, extent);
	if (err == PS_ENOSPC && sp->below && !sp->lifted)
		err = lift_limit(sp, class, extent);
	if (err == PS_ENOSPC && (err = grow(sp, 2 * slab_bytes)) == PS_OK)
		err = ps_omni_alloc_class(sp->slots, class, extent);
	if (err == PS_ENOSPC) {
		/* The file cannot grow: holes are filled that are not worth it otherwise. */
		ps_omni_set_growing(sp->slots, false);
		err = ps_omni_alloc_class(sp->slots, class, extent);
		ps_omni_set_growing(sp->slots, true);
	}
	return err;
}

int space_alloc_slot(struct space *sp, unsigned class, struct ps_extent *extent, bool *empty)
{
	const struct ps_class_geometry *g = ps_class_geometry(sp->store->classes, class);
	space_reclaim(sp);
	int err = slot_anywhere(sp, class, g->slab_bytes, extent);
	if (err)
		return err;
	struct ps_slab_use use = ps_omni_slab_use(sp->slots, extent->offset);
	*empty = use.in_frame == 1;
	if (use.in_slab == 1)
		err = enter_slab(sp, g, *extent);
	else if (*empty)
		err = back_with_space(sp, ps_class_frame(g, extent->offset), false);
	if (err)
		(void)sp->slots->ops->free(sp->slots, *extent, NULL);
	return err;
}

static void free_frame(struct space *sp, const struct ps_class_geometry *g, uint64_t frame)
{
	for (uint32_t i = 0; i < g->slots_per_frame; i++)
		(void)sp->slots->ops->free(sp->slots, (struct ps_extent){frame + (uint64_t)i * g->slot_bytes, g->slot_bytes}, NULL);
}

int space_alloc_frame(struct space *sp, unsigned class, uint64_t *frame)
{
	const struct ps_class_geometry *g = ps_class_geometry(sp->store->classes, class);
	space_reclaim(sp);
	if (sp->below)
		return PS_ENOSPC;
	int err = ps_omni_alloc_frame(sp->slots, class, frame);
	if (err == PS_ENOSPC && (err = grow(sp, 2 * (uint64_t)g->slab_bytes)) == PS_OK)
		err = ps_omni_alloc_frame(sp->slots, class, frame);
	if (err)
		return err;
	if (ps_omni_slab_use(sp->slots, *frame).in_slab == g->slots_per_frame)
		err = enter_slab(sp, g, (struct ps_extent){*frame, g->slot_bytes});
	else
		err = back_with_space(sp, (struct ps_extent){*frame, g->frame_bytes}, false);
	if (err)
		free_frame(sp, g, *frame);
	return err;
}

/* All slabs of the run have space behind them, or none of the run is taken. */
static int enter_slabs(struct space *sp, const struct ps_class_geometry *g, const struct ps_run *run)
{
	uint64_t last = ps_class_slab(g, ps_run_place(g, run->first, run->count - 1));
	int err = PS_OK;
	for (uint64_t slab = ps_class_slab(g, run->first); slab <= last && !err; slab += g->slab_bytes)
		err = back_with_space(sp, (struct ps_extent){slab, g->slab_bytes}, false);
	for (uint64_t i = 0; err && i < run->count; i++)
		(void)sp->slots->ops->free(sp->slots, (struct ps_extent){ps_run_place(g, run->first, i), g->slot_bytes}, NULL);
	return err;
}

int space_alloc_slots(struct space *sp, unsigned class, uint64_t count, struct ps_run *run)
{
	const struct ps_class_geometry *g = ps_class_geometry(sp->store->classes, class);
	space_reclaim(sp);
	int err = ps_omni_alloc_run(sp->slots, class, count, run);
	if (err == PS_ENOSPC && (err = grow(sp, (count / g->slots_per_slab + 3) * g->slab_bytes)) == PS_OK)
		err = ps_omni_alloc_run(sp->slots, class, count, run);
	return err ? err : enter_slabs(sp, g, run);
}

int space_alloc_run(struct space *sp, uint64_t len, struct ps_extent *extent)
{
	struct ps_allocator_stats stats;
	space_reclaim(sp);
	int err = root_alloc(sp, extent_len(len), extent);
	if (err != PS_ENOSPC)
		return err;
	sp->root->ops->stats(sp->root, &stats);
	if (stats.free > stats.space / PIECES_SHARE && stats.largest_free >= CHUNK)
		return PS_ENOTSUP;
	return space_alloc(sp, len, extent, NULL) ? PS_ENOTSUP : PS_OK;
}

static int alloc_block(struct space *sp, struct ps_extent *block)
{
	struct ps_extent around;
	const uint64_t len = HUGE_BLOCK, want = 2 * len - PAGE;
	int err = root_alloc(sp, want, &around);
	if (err == PS_ENOSPC && !lies_in_pieces(sp) && grow(sp, want) == PS_OK)
		err = root_alloc(sp, want, &around);
	if (err)
		return err;
	*block = (struct ps_extent){(around.offset + len - 1) & ~(len - 1), len};
	uint64_t before = block->offset - around.offset, behind = around.len - len - before;
	if (before)
		(void)sp->root->ops->free(sp->root, (struct ps_extent){around.offset, before}, NULL);
	if (behind)
		(void)sp->root->ops->free(sp->root, (struct ps_extent){block->offset + len, behind}, NULL);
	return PS_OK;
}

/* The table's pages lie together: frames have no memory for them, so that among contents they would keep each
 * block of frames from being whole (huge.h); and what lies together is written and read by fewer requests. */
static void refill_table_pages(struct space *sp)
{
	if (sp->end < (uint64_t)PAGES_SHARE * HUGE_BLOCK || alloc_block(sp, &sp->pages) != PS_OK)
		sp->pages.len = 0;
}

static int alloc_table_page(struct space *sp, struct ps_extent *extent)
{
	space_reclaim(sp);
	if (sp->below)
		close_table_pages(sp);
	else if (!sp->pages.len)
		refill_table_pages(sp);
	if (!sp->pages.len)
		return space_alloc(sp, PAGE, extent, NULL);
	*extent = (struct ps_extent){sp->pages.offset, PAGE};
	sp->pages.offset += PAGE;
	sp->pages.len -= PAGE;
	return PS_OK;
}

int space_alloc_page(struct space *sp, bool use_reserve, uint64_t *place)
{
	struct ps_extent extent;
	int err = alloc_table_page(sp, &extent);
	if (!err)
		*place = extent.offset;
	if (err != PS_ENOSPC || !use_reserve || !sp->reserve_count)
		return err;
	*place = sp->reserve[--sp->reserve_count];
	return PS_OK;
}

void space_fill_reserve(struct space *sp)
{
	struct ps_extent extent;
	while (sp->reserve_count < sp->reserve_want && alloc_or_grow(sp, PAGE, &extent) == PS_OK)
		sp->reserve[sp->reserve_count++] = extent.offset;
}

/* Before a clean close: what was kept aside is free like the rest. */
void space_give_reserve(struct space *sp)
{
	close_open_pages(sp);
	close_table_pages(sp);
	sp->reserve_want = 0;
	while (sp->reserve_count)
		(void)sp->root->ops->free(sp->root, (struct ps_extent){sp->reserve[--sp->reserve_count], PAGE}, NULL);
}

/* ---- knowing it ---------------------------------------------------------------------------------------------------------- */

int space_ensure(struct space *sp)
{
	if (sp->ready)
		return PS_OK;
	int err = snapshot_load(sp->store);
	if (err == PS_ENOTFOUND)
		err = rebuild_begin(sp);
	if (err)
		return err;
	sp->ready = true;
	/* A small store's is all known after this. What fails is tried again by later steps. */
	(void)rebuild_step(sp);
	sp->reserve_want = (unsigned)MIN(MAX(sp->end / (256 << 10), (uint64_t)RESERVE_MIN), (uint64_t)RESERVE_PAGES);
	space_fill_reserve(sp);
	return PS_OK;
}

/* ---- compaction ----------------------------------------------------------------------------------------------------------- */

/* What is kept aside is taken anew, lower down if it can be. */
void space_give_reserve_back(struct space *sp)
{
	unsigned want = sp->reserve_want;
	space_give_reserve(sp);
	space_reclaim(sp);
	sp->reserve_want = want;
	space_fill_reserve(sp);
}

/* Both spaces end where the last used byte is. The file is cut later. */
int space_cut_tail(struct space *sp, uint64_t *end)
{
	close_open_pages(sp);
	close_table_pages(sp);
	if (sp->slots)
		ps_omni_trim(sp->slots);
	int err = ps_root_shrink(sp->root, 0, end);
	if (err)
		return err;
	sp->end = *end;
	/* The other set may have a used tail there: it is cut to the same size by marking it free first. */
	return space_cut_punched(sp, *end);
}

/* Only the present superblock still refers to it: it goes when the next one stands. */
int space_free_after_checkpoint(struct store *s, struct ps_extent extent)
{
	int err = log_spill_reserve(&s->log, 1);
	if (!err)
		s->log.spills[s->log.spill_count++] = (struct spill){0, extent};
	return err;
}

/* For a reader of the whole store: free space, the counts and the space's size are known. */
int space_ensure_read(struct store *s)
{
	int err = s->read_only ? PS_OK : store_begin_writing(s);
	return err ? err : rebuild_finish(&s->space);
}
