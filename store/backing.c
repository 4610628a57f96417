/* What the contents of this store are kept in as well (backing.h): who may be asked for them, up to which
 * interval, and how much is here and how much is not. */
#include <sys/param.h>

#include "store/base_internal.h"

void residency_init(struct store *s)
{
	pthread_mutex_init(&s->residency.lock, NULL);
	pthread_cond_init(&s->residency.ended, NULL);
}

void residency_done(struct store *s)
{
	pthread_mutex_destroy(&s->residency.lock);
	pthread_cond_destroy(&s->residency.ended);
}

uint64_t change_interval(const struct entry *e)
{
	return entry_interval(e) ? entry_interval(e) : 1;
}

bool is_confirmed(const struct store *s, const struct entry *e)
{
	return change_interval(e) <= atomic_load_explicit(&s->residency.confirmed, memory_order_relaxed);
}

/* ---- calls of the backing ---- */

/* Where another one takes its place, that one is waited for. */
static bool begin_use(struct residency *r, struct ps_backing *calls)
{
	pthread_mutex_lock(&r->lock);
	while (r->replacing)
		pthread_cond_wait(&r->ended, &r->lock);
	bool there = r->attached;
	if (there) {
		r->users++;
		*calls = r->backing;
	}
	pthread_mutex_unlock(&r->lock);
	return there;
}

static void end_use(struct residency *r)
{
	pthread_mutex_lock(&r->lock);
	if (!--r->users)
		pthread_cond_broadcast(&r->ended);
	pthread_mutex_unlock(&r->lock);
}

int residency_fetch(struct store *s, ps_id id, uint64_t interval, uint64_t offset, uint8_t *buf, size_t len)
{
	struct residency *r = &s->residency;
	struct ps_backing calls;
	if (!begin_use(r, &calls))
		return ps_fail(
		    PS_EUNAVAILABLE,
		    "%s: object 0x%llx: its contents are away, and there is nothing to fetch them from",
		    s->path, (unsigned long long)id);
	int err = calls.fetch(calls.arg, id, interval, offset, buf, len);
	end_use(r);
	atomic_fetch_add_explicit(&r->fetches, 1, memory_order_relaxed);
	if (!err)
		atomic_fetch_add_explicit(&r->fetched_bytes, len, memory_order_relaxed);
	return err;
}

void residency_healed(struct store *s, ps_id id)
{
	struct residency *r = &s->residency;
	struct ps_backing calls;
	atomic_fetch_add_explicit(&r->healed, 1, memory_order_relaxed);
	if (!begin_use(r, &calls))
		return;
	if (calls.healed)
		calls.healed(calls.arg, id);
	end_use(r);
}

int ps_backing_attach(ps_storer *st, const struct ps_backing *backing)
{
	struct store *s;
	int err = store_below(st, &s);
	if (!err && backing && !backing->fetch)
		err = ps_fail(PS_EINVAL, "ps_backing_attach: no way to fetch");
	if (err)
		return err;
	struct residency *r = &s->residency;
	pthread_mutex_lock(&r->lock);
	while (r->replacing)
		pthread_cond_wait(&r->ended, &r->lock);
	r->attached = false;
	r->replacing = backing != NULL;
	while (r->users)
		pthread_cond_wait(&r->ended, &r->lock);
	if (backing) {
		r->backing = *backing;
		r->attached = true;
		r->replacing = false;
	}
	pthread_cond_broadcast(&r->ended);
	pthread_mutex_unlock(&r->lock);
	return PS_OK;
}

int ps_backing_confirm(ps_storer *st, uint64_t interval)
{
	struct store *s;
	int err = store_below(st, &s);
	if (err)
		return err;
	if (interval && interval >= atomic_load(&s->interval))
		return ps_fail(PS_EINVAL, "%s: interval %llu has not ended: the store is in %u", s->path,
		               (unsigned long long)interval, atomic_load(&s->interval));
	uint64_t now = atomic_load(&s->residency.confirmed);
	while (now < interval && !atomic_compare_exchange_weak(&s->residency.confirmed, &now, interval))
		;
	return PS_OK;
}

/* ---- figures ---- */

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

static int count_entry(struct store *s, uint64_t slot, const struct entry *e, struct ps_backing_figures *f)
{
	struct parts parts = {0};
	int err = PS_OK;
	if (entry_kind(e) == ENTRY_FREE)
		return PS_OK;
	if (entry_kind(e) == ENTRY_MAP)
		err = map_contents(s, id_make(slot, entry_generation(e)), e, add_part, &parts);
	else if (entry_kind(e) == ENTRY_DATA)
		parts.local = entry_size(e);
	else if (entry_kind(e) == ENTRY_AWAY)
		parts.away = entry_size(e);
	f->local_objects += parts.local != 0;
	f->local_bytes += parts.local;
	f->away_objects += parts.away != 0;
	f->away_bytes += parts.away;
	if (!is_confirmed(s, e)) {
		f->dirty_objects++;
		f->dirty_bytes += entry_size(e);
	}
	return err;
}

static int count_slot(struct store *s, uint64_t slot, struct ps_backing_figures *f)
{
	struct entry e;
	space_hold(&s->space, slot);
	int err = table_get(&s->table, slot, &e);
	if (!err)
		err = count_entry(s, slot, &e, f);
	space_unhold(&s->space, slot);
	return err;
}

int ps_backing_figures(ps_storer *st, struct ps_backing_figures *figures)
{
	struct store *s;
	struct ps_backing_figures f = {0};
	if (!figures)
		return ps_fail(PS_EINVAL, "ps_backing_figures: an argument is NULL");
	int err = store_below(st, &s);
	if (err)
		return err;
	struct table *t = &s->table;
	for (uint64_t slot = table_next(t, 0); slot < atomic_load(&t->slots) && !err; slot++) {
		err = count_slot(s, slot, &f);
		if (slot % FANOUT == FANOUT - 1)
			slot = table_next(t, slot + 1) - 1;
	}
	f.fetches = atomic_load(&s->residency.fetches);
	f.fetched_bytes = atomic_load(&s->residency.fetched_bytes);
	f.healed = atomic_load(&s->residency.healed);
	if (err)
		return store_end_call(s, err);
	*figures = f;
	return PS_OK;
}
