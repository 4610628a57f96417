/* Holes: free space without bytes of the file behind it. What is free at the file's end, in large pieces, or
 * as whole frames of slabs, goes back to the file system; the set `punched` knows where, and space is behind
 * an extent again before it is given out. */
#include <sys/param.h>

#include "store/base_internal.h"

enum {
	HOLE_MIN = 64 << 10,
	TAIL_SHARE = 1024, /* of the file may stay free at its end */
	HOLE_SHARE = 128,  /* of the file, free in one piece, go back at a sync */
	REST_MIN = 1 << 20,
	SLAB_HOLE_MIN = 16 << 10,
	REST_SHARE = 4, /* of the file is written between two syncs that look for small pieces too */
	PIECE_SHARE = 2048,
};

static int punched_above(void *arg, struct ps_extent hole)
{
	struct ps_extent *found = arg;
	if (hole.offset + hole.len <= found->offset)
		return 0;
	*found = hole;
	return 1;
}

int space_cut_punched(struct space *sp, uint64_t end)
{
	struct ps_allocator_stats stats;
	uint64_t now;
	sp->punched->ops->stats(sp->punched, &stats);
	for (uint64_t at = end; at < stats.space;) {
		struct ps_extent hole = {at, 0};
		if (!sp->punched->ops->walk(sp->punched, punched_above, &hole))
			hole = (struct ps_extent){stats.space, 0};
		uint64_t to = MAX(MIN(hole.offset, stats.space), at);
		int err = to > at ? sp->punched->ops->free(sp->punched, (struct ps_extent){at, to - at}, NULL)
		                  : PS_OK;
		if (err)
			return err;
		at = MAX(to, hole.offset + hole.len);
	}
	return ps_root_shrink(sp->punched, end, &now);
}

/* The next free extent of at least `least` bytes from `from` on that still has space behind it, out of the
 * free space. */
static bool take_hole(struct space *sp, uint64_t from, uint64_t least, struct ps_extent *hole)
{
	struct ps_extent found, known;
	while (ps_root_find(sp->root, from, &found)) {
		uint64_t start = (MAX(found.offset, from) + PAGE - 1) & ~(uint64_t)(PAGE - 1);
		uint64_t end = (found.offset + found.len) & ~(uint64_t)(PAGE - 1);
		if (ps_root_find(sp->punched, start, &known) && known.offset <= start)
			start = known.offset + known.len;
		else if (ps_root_find(sp->punched, start, &known))
			end = MIN(end, known.offset);
		from = MAX(found.offset + found.len, start);
		if (start + least > end)
			continue;
		*hole = (struct ps_extent){start, end - start};
		return sp->root->ops->mark(sp->root, *hole) == PS_OK;
	}
	return false;
}

/* The file ends in free space that is worth giving back: *from, behind as much as is kept for the next
 * writes. */
static bool has_free_tail(struct space *sp, uint64_t *from)
{
	struct ps_extent tail;
	uint64_t keep = MAX((uint64_t)HOLE_MIN, sp->end / TAIL_SHARE) & ~(uint64_t)(PAGE - 1);
	if (sp->end < 2 * keep || !ps_root_find(sp->root, sp->end - 2 * keep, &tail))
		return false;
	*from = ((tail.offset + PAGE - 1) & ~(uint64_t)(PAGE - 1)) + keep;
	return tail.offset <= sp->end - 2 * keep && tail.offset + tail.len == sp->end;
}

static void cut_free_tail(struct space *sp, uint64_t least)
{
	uint64_t end;
	if (ps_root_shrink(sp->root, least, &end) != PS_OK)
		return;
	sp->end = end;
	sp->grown = 0;
	/* What stays in this set above the end is seen, and taken over, when the space grows again. */
	(void)space_cut_punched(sp, end);
}

/* All of the space has bytes of the file behind it, as far as is known. */
int space_forget_holes(struct space *sp, uint64_t space)
{
	struct ps_allocator *none;
	int err = ps_root_open(&sp->store->memory, &none);
	if (err)
		return err;
	if ((err = ps_root_load(none, space, NULL, 0)) != PS_OK) {
		none->ops->close(none);
		return err;
	}
	sp->punched->ops->close(sp->punched);
	sp->punched = none;
	return PS_OK;
}

/* A file with holes does not say where they are: all that is free and long enough may be one. */
int space_note_hole(struct space *sp, struct ps_extent extent)
{
	uint64_t start = (extent.offset + PAGE - 1) & ~(uint64_t)(PAGE - 1),
	         end = (extent.offset + extent.len) & ~(uint64_t)(PAGE - 1);
	if (!sp->sparse || start + HOLE_MIN > end)
		return PS_OK;
	return sp->punched->ops->free(sp->punched, (struct ps_extent){start, end - start}, NULL);
}

/* Parts of it may be known as holes already. */
static int add_hole(struct space *sp, struct ps_extent hole)
{
	uint64_t at = hole.offset, end = hole.offset + hole.len;
	int err = PS_OK;
	while (at < end && !err) {
		struct ps_extent known;
		if (!ps_root_find(sp->punched, at, &known))
			known = (struct ps_extent){end, 0};
		uint64_t to = MIN(MAX(known.offset, at), end);
		if (to > at)
			err = sp->punched->ops->free(sp->punched, (struct ps_extent){at, to - at}, NULL);
		at = MAX(known.offset + known.len, to);
	}
	return err;
}

int space_note_slab_holes(struct space *sp, const struct ps_allocator *slabs)
{
	struct ps_extent frames = {0};
	int err = PS_OK;
	while (sp->sparse && !err &&
	       ps_omni_find_frames(slabs, frames.offset + frames.len, PAGE, &frames))
		err = add_hole(sp, frames);
	return err;
}

/* Out of the free space while it goes, for nobody must write there. PS_ENOTFOUND: there is none from `from`
 * on. */
static int punch_next(struct store *s, uint64_t from, uint64_t least, struct ps_extent *hole)
{
	struct space *sp = &s->space;
	pthread_mutex_lock(&s->lock);
	bool found = take_hole(sp, from, least, hole);
	pthread_mutex_unlock(&s->lock);
	if (!found)
		return PS_ENOTFOUND;
	int err = s->io->ops->punch(s->io, hole->offset, hole->len);
	pthread_mutex_lock(&s->lock);
	if (!err)
		(void)sp->punched->ops->free(sp->punched, *hole, NULL);
	(void)sp->root->ops->free(sp->root, *hole, NULL);
	/* At the end it leaves the space as well: it would be filled before the holes are. A compaction has
	 * its limit there, and cuts the file itself. */
	if (!err && !sp->below && sp->end == hole->offset + hole->len)
		cut_free_tail(sp, from);
	pthread_mutex_unlock(&s->lock);
	return err;
}

int space_punch(struct store *s, uint64_t least)
{
	struct ps_extent hole = {0};
	int err = PS_OK;
	while (!err)
		err = punch_next(s, hole.offset + hole.len, least, &hole);
	return err == PS_ENOTFOUND ? PS_OK : err;
}

/* ---- frames of slabs ---- */

/* Takes all slots of free frames, so that nobody is given one, or gives them back. */
static void set_frames(struct space *sp, struct ps_extent frames, bool used)
{
	const struct ps_class_geometry *g =
	    ps_class_geometry(sp->store->classes, ps_omni_class_at(sp->slots, frames.offset));
	for (uint64_t frame = 0; frame < frames.len; frame += g->frame_bytes) {
		for (uint32_t i = 0; i < g->slots_per_frame; i++) {
			struct ps_extent slot = {frames.offset + frame + (uint64_t)i * g->slot_bytes,
			                         g->slot_bytes};
			(void)(used ? sp->slots->ops->mark(sp->slots, slot)
			            : sp->slots->ops->free(sp->slots, slot, NULL));
		}
		uint64_t bytes = (uint64_t)g->slots_per_frame * g->slot_bytes;
		sp->store->uncommitted_bytes += used ? bytes : 0 - bytes;
	}
}

/* The next ones from `from` on that may have space behind them. They are a hole from now on: known as one
 * before they become one. */
static bool take_frames(struct space *sp, uint64_t from, struct ps_extent *frames)
{
	struct ps_extent known;
	while (ps_omni_find_frames(sp->slots, from, SLAB_HOLE_MIN, frames)) {
		from = frames->offset + frames->len;
		if (ps_root_find(sp->punched, frames->offset, &known) && known.offset <= frames->offset &&
		    known.offset + known.len >= from)
			continue;
		if (add_hole(sp, *frames) != PS_OK)
			return false;
		set_frames(sp, *frames, true);
		return true;
	}
	return false;
}

int space_punch_slabs(struct store *s)
{
	struct ps_extent frames = {0};
	int err = PS_OK;
	while (!err) {
		pthread_mutex_lock(&s->lock);
		bool found = s->space.slots && !s->space.rebuild &&
		             take_frames(&s->space, frames.offset + frames.len, &frames);
		pthread_mutex_unlock(&s->lock);
		if (!found)
			break;
		err = s->io->ops->punch(s->io, frames.offset, frames.len);
		pthread_mutex_lock(&s->lock);
		set_frames(&s->space, frames, false);
		pthread_mutex_unlock(&s->lock);
	}
	return err;
}

/* ---- at rest ---- */

/* Small pieces are looked for after much was written: where little is, they are soon filled again. */
static bool much_was_written(struct store *s)
{
	struct ps_io_stats stats;
	s->io->ops->stats(s->io, &stats);
	if (stats.bytes_written - s->space.trimmed < MAX(s->space.end / REST_SHARE, (uint64_t)REST_MIN))
		return false;
	s->space.trimmed = stats.bytes_written;
	return true;
}

/* What a load, a log that grew or a large delete left. A failure costs only space. */
void space_trim(struct store *s)
{
	struct ps_extent hole;
	uint64_t tail = 0;
	pthread_mutex_lock(&s->lock);
	bool known = s->writing && s->space.ready && !s->space.rebuild;
	bool has_tail = known && has_free_tail(&s->space, &tail);
	bool all = known && !s->space.below && much_was_written(s);
	uint64_t least = all ? MAX(s->space.end / PIECE_SHARE, (uint64_t)HOLE_MIN)
	                     : MAX(s->space.end / HOLE_SHARE, (uint64_t)REST_MIN);
	pthread_mutex_unlock(&s->lock);
	if (has_tail)
		(void)punch_next(s, tail, HOLE_MIN, &hole);
	if (known)
		(void)space_punch(s, least);
	if (all)
		(void)space_punch_slabs(s);
}
