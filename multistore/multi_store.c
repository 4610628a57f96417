/* The multi store: asks the inner store once to place by size, and hands everything else on.
 *
 * Why so little stands here: recovery, the log and compaction free and move what lies in slabs, so the
 * allocators have to be the base's, whoever opened the file. What this layer decides is that new contents are
 * routed, by which classes, and up to which size. */
#include "multistore/multi_store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/options.h"
#include "multistore/attached.h"
#include "store/backing.h"
#include "store/placement.h"

static_assert((int)PS_MULTI_CLASSES_MAX == (int)PS_CLASSES_MAX, "a placement holds every class table");

struct multi {
	ps_storer storer;
	struct ps_placement placement; /* what the file has; constant once open */
	bool differs;
	struct ps_attached *attached; /* to a network; NULL */
};

static struct multi *multi_of(ps_storer *s)
{
	return (struct multi *)(void *)s;
}

/* The inner first: if it is busy nothing has changed. A push that is under way would keep it from being
 * closed. */
static int multi_close(ps_storer *s)
{
	struct multi *m = multi_of(s);
	if (m->attached)
		ps_attached_begin_close(m->attached);
	int err = ps_close(s->inner);
	if (err == PS_EBUSY) {
		if (m->attached)
			ps_attached_stay_open(m->attached);
		return err;
	}
	int closed = ps_attached_free(m->attached);
	free(m);
	return err ? err : closed;
}

static const struct ps_storer_ops multi_ops = {
    PS_FORWARD_OPS.name = "multi",
    .close = multi_close,
};

/* ---- options ---- */

enum { NO_CLASSES = 1 }; /* as a limit: no class is so small */

static bool names_classes(const struct ps_multi_options *o)
{
	return o->block_limit || o->page_limit || o->slab_bytes || o->slot_count;
}

static uint32_t largest_slot(const struct ps_class_table *classes)
{
	return classes->count ? (uint32_t)classes->size[classes->count - 1] * PS_CLASS_GRANULE : 0;
}

static int wanted_placement(const struct ps_multi_options *o, struct ps_placement *wanted)
{
	const struct ps_class_options classes = {
	    .block_limit = o->block_limit,
	    .page_limit = o->page_limit ? o->page_limit : NO_CLASSES,
	    .slab_bytes = o->slab_bytes,
	    .sizes = o->slots,
	    .count = o->slot_count,
	};
	memset(wanted, 0, sizeof(*wanted));
	if (!o->slots != !o->slot_count)
		return ps_fail(PS_EINVAL, "multi options: slots and slot_count go together");
	int err = ps_class_table_make(&classes, &wanted->classes);
	if (err)
		return err;
	uint32_t largest = largest_slot(&wanted->classes);
	if (o->route_max > largest)
		return ps_fail(PS_EINVAL, "multi options: contents of up to %u bytes in classes of up to %u",
		               o->route_max, largest);
	wanted->route_max = o->route_max ? o->route_max : largest;
	return PS_OK;
}

/* Whether the caller named something that the file has otherwise. */
static bool differs_from(const struct ps_multi_options *o, const struct ps_placement *wanted,
                         const struct ps_placement *file)
{
	if (names_classes(o) && memcmp(&wanted->classes, &file->classes, sizeof(file->classes)) != 0)
		return true;
	return o->route_max && o->route_max != file->route_max;
}

/* ---- open ---- */

/* Asking the inner store comes last: what fails before it has changed nothing below. */
static int set_up(struct multi *m, ps_storer *inner, const struct ps_multi_options *o)
{
	struct ps_placement wanted;
	int err = wanted_placement(o, &wanted);
	if (!err)
		err = ps_storer_init(&m->storer, &multi_ops, inner);
	if (err)
		return err;
	m->placement = wanted;
	err = ps_use_placement(inner, &m->placement);
	if (!err)
		m->differs = differs_from(o, &wanted, &m->placement);
	return err;
}

static int check_inner(ps_storer *inner)
{
	return ps_caps(inner) & PS_CAP_PLACEMENT
	           ? PS_OK
	           : ps_fail(PS_ENOTSUP, "ps_multi_open: the %s store cannot place contents by size",
	                     inner->ops->name);
}

int ps_multi_open_attached(ps_storer *inner, const struct ps_multi_options *opts, struct ps_attached *a,
                           ps_storer **s)
{
	struct ps_multi_options known;
	int err = ps_options_take(&known, sizeof(known), opts, "multi options");
	if (!err)
		err = check_inner(inner);
	if (err)
		return err;
	/* Not counted memory: a few hundred bytes that live as long as the handle. */
	struct multi *m = calloc(1, sizeof(*m));
	if (!m)
		return ps_fail(PS_ENOMEM, "ps_multi_open: no memory");
	err = set_up(m, inner, &known);
	m->attached = a; /* before its thread begins, which asks for it */
	if (!err && a)
		err = ps_attached_start(a, &m->storer);
	if (err) {
		free(m);
		return err;
	}
	*s = &m->storer;
	return PS_OK;
}

int ps_multi_open(ps_storer *inner, const struct ps_multi_options *opts, ps_storer **s)
{
	struct ps_multi_options known;
	struct ps_attached *a = NULL;
	if (!inner || !s)
		return ps_fail(PS_EINVAL, "ps_multi_open: no inner store, or no place for the new one");
	int err = ps_options_take(&known, sizeof(known), opts, "multi options");
	if (!err && (known.network || known.remote))
		err = ps_attached_new(&known, NULL, &a);
	if (err)
		return err;
	err = ps_multi_open_attached(inner, &known, a, s);
	return err ? ps_attached_drop(a, err) : PS_OK;
}

/* ---- figures ---- */

/* The outermost multi store of a stack. Layers do not change while a store is open. */
static const struct multi *multi_in(ps_storer *s)
{
	while (s && s->ops != &multi_ops)
		s = s->inner;
	return s ? multi_of(s) : NULL;
}

struct ps_attached *ps_multi_attached(ps_storer *s)
{
	const struct multi *m = multi_in(s);
	return m ? m->attached : NULL;
}

static uint32_t slot_bytes(const struct ps_class_table *classes, size_t route)
{
	return route > 0 && route <= classes->count ? (uint32_t)classes->size[route - 1] * PS_CLASS_GRANULE
	                                            : 0;
}

int ps_multi_placement(ps_storer *s, struct ps_multi_placement *placement)
{
	const struct multi *m = multi_in(s);
	if (!m || !placement)
		return ps_fail(PS_EINVAL, "ps_multi_placement: no multi store, or no place for what it has");
	const struct ps_class_table *classes = &m->placement.classes;
	*placement = (struct ps_multi_placement){
	    .route_max = classes->count ? m->placement.route_max : 0,
	    .slab_bytes = classes->count ? 1U << classes->slab_shift : 0,
	    .classes = classes->count,
	    .differs = m->differs,
	};
	for (unsigned i = 0; i < classes->count; i++)
		placement->slot_bytes[i] = slot_bytes(classes, i + 1);
	return PS_OK;
}

static void fill_route(struct ps_multi_route *route, const struct ps_route_figures *f, uint32_t slot)
{
	*route = (struct ps_multi_route){
	    .slot_bytes = slot,
	    .objects = f->objects,
	    .live_bytes = f->live_bytes,
	    .allocated = f->allocated,
	    .waste_bytes = f->allocated > f->live_bytes ? f->allocated - f->live_bytes : 0,
	    .slabs = f->slabs,
	    .slots = f->slots,
	    .used = f->used,
	    .free_bytes = f->free_bytes,
	    .tail_bytes = f->tail_bytes,
	};
}

int ps_multi_routes(ps_storer *s, struct ps_multi_route *routes, size_t count, size_t *n)
{
	struct ps_route_figures figures[PS_CLASSES_MAX + 1];
	const struct multi *m = multi_in(s);
	if (!m || !n || (!routes && count > 0))
		return ps_fail(PS_EINVAL, "ps_multi_routes: no multi store, or no place for its figures");
	size_t there = (size_t)m->placement.classes.count + 1;
	/* Through the whole stack: a layer above may let in one call at a time. */
	int err = ps_route_figures(s, figures, there);
	if (err)
		return err;
	for (size_t i = 0; i < there && i < count; i++)
		fill_route(&routes[i], &figures[i], slot_bytes(&m->placement.classes, i));
	*n = there;
	return PS_OK;
}

int ps_local_routes(ps_storer *s, struct ps_local_route *routes, size_t count, size_t *n)
{
	struct ps_backing_route figures[PS_CLASSES_MAX + 1];
	const struct multi *m = multi_in(s);
	if (!m || !n || (!routes && count > 0))
		return ps_fail(PS_EINVAL, "ps_local_routes: no multi store, or no place for its figures");
	size_t there = (size_t)m->placement.classes.count + 1;
	int err = ps_backing_routes(s, figures, there);
	if (err)
		return err;
	for (size_t i = 0; i < there && i < count; i++)
		routes[i] = (struct ps_local_route){.slot_bytes = slot_bytes(&m->placement.classes, i),
		                                    .both_bytes = figures[i].both_bytes,
		                                    .dirty_bytes = figures[i].dirty_bytes,
		                                    .away_objects = figures[i].away_objects,
		                                    .away_bytes = figures[i].away_bytes};
	*n = there;
	return PS_OK;
}
