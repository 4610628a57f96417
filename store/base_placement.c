/* The file's space piece by piece, and figures of each route (placement.h). */
#include <sys/param.h>

#include "store/base_internal.h"
#include "store/placement.h"

struct pieces {
	struct store *s;
	struct ps_space_piece *list;
	size_t count, size;
	uint64_t end; /* of the file */
};

static int add_piece(struct pieces *p, struct ps_space_piece piece)
{
	if (!piece.len)
		return PS_OK;
	struct ps_space_piece *list = ps_memory_grow(&p->s->memory, p->list, p->count, &p->size, sizeof(*list));
	if (!list)
		return ps_fail(PS_ENOMEM, "%s: no memory to describe the file's space", p->s->path);
	p->list = list;
	p->list[p->count++] = piece;
	return PS_OK;
}

static int add_extent(struct pieces *p, enum ps_space_use use, struct ps_extent extent)
{
	return add_piece(p, (struct ps_space_piece){.offset = extent.offset, .len = extent.len, .use = use});
}

static int add_free(void *arg, struct ps_extent extent)
{
	return add_extent(arg, PS_SPACE_FREE, extent);
}

static int add_table_page(void *arg, struct ps_extent extent)
{
	return add_extent(arg, PS_SPACE_TABLE, extent);
}

static int ignore_entry(void *arg, uint64_t slot, const struct entry *e)
{
	(void)arg, (void)slot, (void)e;
	return PS_OK;
}

static int add_slab(void *arg, const struct ps_slab_info *slab)
{
	struct pieces *p = arg;
	return add_piece(p, (struct ps_space_piece){.offset = slab->offset, .len = ps_class_geometry(p->s->classes, slab->class)->slab_bytes,
						    .use = PS_SPACE_SLAB, .class = slab->class, .used = slab->used, .slots = slab->slots});
}

/* Everything but what objects have of the root. */
static int collect(struct pieces *p)
{
	struct store *s = p->s;
	struct space *sp = &s->space;
	struct table_visitor visitor = {add_table_page, ignore_entry, table_pass_damage, p};
	int err = add_extent(p, PS_SPACE_FIXED, (struct ps_extent){0, SUPERBLOCK_AREA});
	for (uint64_t fence = SPACE_FENCE; fence < sp->end && !err; fence += SPACE_FENCE)
		err = add_extent(p, PS_SPACE_FIXED, (struct ps_extent){fence, PAGE});
	for (int i = 0; i < 2 && !err; i++)
		err = add_extent(p, PS_SPACE_LOG, (struct ps_extent){s->log.ring[i].offset, s->log.ring[i].len});
	for (size_t i = 0; i < s->log.spill_count && !err; i++)
		err = add_extent(p, PS_SPACE_LOG, s->log.spills[i].extent);
	for (unsigned i = 0; i < sp->reserve_count && !err; i++)
		err = add_extent(p, PS_SPACE_TABLE, (struct ps_extent){sp->reserve[i], PAGE});
	if (!err)
		err = add_extent(p, PS_SPACE_FREE, sp->open);
	if (!err)
		err = add_extent(p, PS_SPACE_TABLE, sp->pages);
	/* Cut off the space, not yet off the file. */
	p->end = MAX(sp->file_bytes, sp->end);
	if (!err && p->end > sp->end)
		err = add_extent(p, PS_SPACE_FREE, (struct ps_extent){sp->end, p->end - sp->end});
	if (!err)
		err = table_visit(&s->table, &visitor);
	if (!err)
		err = sp->root->ops->walk(sp->root, add_free, p);
	return !err && sp->slots ? ps_omni_each_slab(sp->slots, add_slab, p) : err;
}

static int by_offset(const void *a, const void *b)
{
	uint64_t x = ((const struct ps_space_piece *)a)->offset, y = ((const struct ps_space_piece *)b)->offset;
	return x < y ? -1 : x > y;
}

static int tell(const struct pieces *p, ps_space_fn fn, void *arg)
{
	uint64_t at = 0, end = p->end;
	for (size_t i = 0; i <= p->count; i++) {
		struct ps_space_piece next = i < p->count ? p->list[i] : (struct ps_space_piece){.offset = end};
		struct ps_space_piece between = {.offset = at, .len = next.offset > at ? next.offset - at : 0, .use = PS_SPACE_OBJECTS};
		if ((between.len && fn(arg, &between)) || (next.len && next.offset >= at && fn(arg, &next)))
			return ps_fail(PS_ECANCELED, "%s: ended by the caller", p->s->path);
		at = MAX(at, next.offset + next.len);
	}
	return PS_OK;
}

static int know_space(struct store *s)
{
	if (s->read_only)
		return ps_fail(PS_EREADONLY, "%s: a store that is open read-only does not find out what is free", s->path);
	int err = store_begin_writing(s);
	return err ? err : rebuild_finish(&s->space);
}

int base_each_space(ps_storer *st, ps_space_fn fn, void *arg)
{
	struct store *s = store_of(st);
	struct pieces p = {.s = s};
	while (rebuild_help(s))
		;
	pthread_mutex_lock(&s->lock);
	int err = know_space(s);
	if (!err)
		err = collect(&p);
	pthread_mutex_unlock(&s->lock);
	if (!err) {
		qsort(p.list, p.count, sizeof(*p.list), by_offset);
		err = tell(&p, fn, arg);
	}
	ps_memory_free(&s->memory, p.list, p.size * sizeof(*p.list));
	return err ? store_end_call(s, err) : PS_OK;
}

/* ---- figures ------------------------------------------------------------------------------------------------------------------- */

struct routes {
	struct store *s;
	struct ps_route_figures *figures;
	size_t count;
};

static int add_length(void *arg, struct ps_extent extent, const struct blob *blob, uint64_t chunk)
{
	(void)blob, (void)chunk;
	*(uint64_t *)arg += extent.len;
	return PS_OK;
}

static int count_entry(struct routes *r, uint64_t slot, const struct entry *e)
{
	unsigned class = entry_class(e);
	if (!entry_lives(e) || entry_kind(e) == ENTRY_AWAY || class >= r->count)
		return PS_OK;
	r->figures[class].objects++;
	r->figures[class].live_bytes += entry_size(e);
	if (entry_kind(e) == ENTRY_MAP)
		return map_extents(r->s, id_make(slot, entry_generation(e)), e, add_length, &r->figures[class].allocated);
	r->figures[class].allocated += entry_extent(r->s->classes, e).len;
	return PS_OK;
}

/* A damaged leaf or map counts for nothing: ps_check names it. */
static int count_slot(struct routes *r, uint64_t slot)
{
	struct entry e;
	space_hold(&r->s->space, slot);
	int err = table_get(&r->s->table, slot, &e);
	if (!err)
		err = count_entry(r, slot, &e);
	space_unhold(&r->s->space, slot);
	return err == PS_ECORRUPT || err == PS_EIO ? PS_OK : err;
}

static void slab_figures(struct store *s, struct ps_route_figures *figures, size_t count)
{
	struct ps_allocator_stats root;
	s->space.root->ops->stats(s->space.root, &root);
	figures[0].free_bytes = root.free + root.forgotten;
	for (unsigned class = 1; s->classes && class <= s->classes->table.count && class < count; class++) {
		struct ps_class_stats stats;
		struct ps_route_figures *f = &figures[class];
		ps_omni_class_stats(s->space.slots, class, &stats);
		f->slot_bytes = ps_class_geometry(s->classes, class)->slot_bytes;
		f->slabs = stats.slabs;
		f->slots = stats.slots;
		f->used = stats.used;
		f->tail_bytes = stats.tail_bytes;
		f->free_bytes = stats.free * f->slot_bytes;
	}
}

int base_route_figures(ps_storer *st, struct ps_route_figures *figures, size_t count)
{
	struct store *s = store_of(st);
	struct routes r = {s, figures, count};
	if (!count)
		return PS_OK;
	memset(figures, 0, count * sizeof(*figures));
	while (rebuild_help(s))
		;
	pthread_mutex_lock(&s->lock);
	int err = s->read_only ? PS_OK : know_space(s);
	if (!err && !s->read_only)
		slab_figures(s, figures, count);
	pthread_mutex_unlock(&s->lock);
	for (uint64_t slot = 0; !err && slot < atomic_load(&s->table.slots); slot++) {
		if (slot % FANOUT == 0 && (slot = table_next(&s->table, slot)) >= atomic_load(&s->table.slots))
			break;
		err = count_slot(&r, slot);
	}
	return err ? store_end_call(s, err) : PS_OK;
}
