/* Where the contents of a store are: in its file, in what it is backed by (backing.h), or in both. */
#include <sys/param.h>

#include "store/base_internal.h"

struct parts {
	uint64_t local, away;
};

static int add_part(void *arg, struct ps_extent extent, const struct blob *blob, uint64_t chunk)
{
	struct parts *parts = arg;
	(void)extent;
	if (chunk != MAP_NO_CHUNK)
		*(blob->place ? &parts->local : &parts->away) += blob->len;
	return PS_OK;
}

static int parts_of(struct store *s, uint64_t slot, const struct entry *e, struct parts *parts)
{
	*parts = (struct parts){0};
	if (entry_kind(e) == ENTRY_MAP)
		return map_contents(s, id_make(slot, entry_generation(e)), e, add_part, parts);
	if (entry_kind(e) == ENTRY_DATA)
		parts->local = entry_size(e);
	else if (entry_kind(e) == ENTRY_AWAY)
		parts->away = entry_size(e);
	return PS_OK;
}

/* ---- the walk ---- */

/* An object, under a hold of its slot and no lock; the hold is given up before `after` hears of it. */
struct walk {
	int (*object)(struct walk *w, struct store *s, const struct entry *e, const struct parts *parts);
	int (*after)(struct walk *w, ps_id id); /* may be NULL */
	struct ps_backing_figures *figures;
	struct ps_backing_route *routes;
	size_t count;
	bool learns;  /* what is unknown, too */
	bool is_away; /* some of the last object */
	ps_each_fn fn;
	void *arg;
};

static int look_at(struct walk *w, struct store *s, uint64_t slot, ps_id *id)
{
	struct entry e;
	struct parts parts;
	*id = PS_ID_NONE;
	space_hold(&s->space, slot);
	int err = w->learns ? unknown_get(s, slot, &e) : table_get(&s->table, slot, &e);
	if (!err && entry_lives(&e)) {
		*id = id_make(slot, entry_generation(&e));
		err = parts_of(s, slot, &e, &parts);
		if (!err)
			err = w->object(w, s, &e, &parts);
	}
	space_unhold(&s->space, slot);
	return err;
}

static uint64_t next_slot(const struct walk *w, struct table *t, uint64_t slot)
{
	return w->learns ? table_next_possible(t, slot) : table_next(t, slot);
}

static int walk_table(struct walk *w, struct store *s)
{
	struct table *t = &s->table;
	int err = PS_OK;
	for (uint64_t slot = next_slot(w, t, 0); slot < atomic_load(&t->slots) && !err; slot++) {
		ps_id id;
		err = look_at(w, s, slot, &id);
		if (!err && id != PS_ID_NONE && w->after)
			err = w->after(w, id);
		if (slot % FANOUT == FANOUT - 1)
			slot = next_slot(w, t, slot + 1) - 1;
	}
	return err;
}

/* ---- all together ---- */

static int count_object(struct walk *w, struct store *s, const struct entry *e, const struct parts *parts)
{
	struct ps_backing_figures *f = w->figures;
	f->local_objects += parts->local != 0;
	f->local_bytes += parts->local;
	f->away_objects += parts->away != 0;
	f->away_bytes += parts->away;
	if (!is_confirmed(s, e)) {
		f->dirty_objects++;
		f->dirty_bytes += entry_size(e);
	}
	return PS_OK;
}

int ps_backing_figures(ps_storer *st, struct ps_backing_figures *figures)
{
	struct store *s;
	struct ps_backing_figures f = {0};
	struct walk w = {.object = count_object, .figures = &f};
	if (!figures)
		return ps_fail(PS_EINVAL, "ps_backing_figures: an argument is NULL");
	int err = store_below(st, &s);
	if (err)
		return err;
	err = walk_table(&w, s);
	if (err)
		return store_end_call(s, err);
	pthread_mutex_lock(&s->lock);
	f.unknown_objects = s->table.unknown_objects;
	f.unknown_bytes = s->table.unknown_bytes;
	pthread_mutex_unlock(&s->lock);
	f.fetches = atomic_load(&s->residency.fetches);
	f.fetched_bytes = atomic_load(&s->residency.fetched_bytes);
	f.healed = atomic_load(&s->residency.healed);
	*figures = f;
	return PS_OK;
}

/* ---- by route ---- */

/* What is away counts where it would lie if it came back now. */
static size_t route_of(const struct store *s, const struct entry *e)
{
	uint64_t size = entry_size(e), most = s->classes ? ps_get32(s->sb.classes.route_max) : 0;
	if (entry_kind(e) != ENTRY_AWAY)
		return entry_class(e);
	return size && size <= most ? ps_class_for(s->classes, size) : 0;
}

static int count_route(struct walk *w, struct store *s, const struct entry *e, const struct parts *parts)
{
	size_t route = route_of(s, e);
	if (route >= w->count)
		return PS_OK;
	struct ps_backing_route *r = &w->routes[route];
	*(is_confirmed(s, e) ? &r->both_bytes : &r->dirty_bytes) += parts->local;
	r->away_bytes += parts->away;
	r->away_objects += parts->away != 0;
	return PS_OK;
}

int ps_backing_routes(ps_storer *st, struct ps_backing_route *routes, size_t count)
{
	struct store *s;
	struct walk w = {.object = count_route, .routes = routes, .count = count};
	if (!routes && count > 0)
		return ps_fail(PS_EINVAL, "ps_backing_routes: no place for the figures");
	int err = store_below(st, &s);
	if (err)
		return err;
	memset(routes, 0, count * sizeof(*routes));
	err = walk_table(&w, s);
	return err ? store_end_call(s, err) : PS_OK;
}

/* ---- one by one ---- */

static int note_away(struct walk *w, struct store *s, const struct entry *e, const struct parts *parts)
{
	(void)s;
	(void)e;
	w->is_away = parts->away != 0;
	return PS_OK;
}

static int tell_away(struct walk *w, ps_id id)
{
	if (!w->is_away || !w->fn(w->arg, id))
		return PS_OK;
	return ps_fail(PS_ECANCELED, "ended by the caller");
}

int ps_backing_each_away(ps_storer *st, ps_each_fn fn, void *arg)
{
	struct store *s;
	struct walk w = {.object = note_away, .after = tell_away, .learns = true, .fn = fn, .arg = arg};
	if (!fn)
		return ps_fail(PS_EINVAL, "ps_backing_each_away: nobody to tell");
	int err = store_below(st, &s);
	if (err)
		return err;
	err = walk_table(&w, s);
	return err && err != PS_ECANCELED ? store_end_call(s, err) : err;
}
