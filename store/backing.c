/* What the contents of this store are kept in as well (backing.h): who may be asked for them, up to which
 * interval. How much is here and how much is not: backing_figures.c. */
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

int residency_fetch(struct store *s, ps_id id, uint64_t interval, bool exact, uint64_t offset, uint8_t *buf,
                    size_t len)
{
	struct residency *r = &s->residency;
	struct ps_backing calls;
	if (!begin_use(r, &calls))
		return ps_fail(
		    PS_EUNAVAILABLE,
		    "%s: object 0x%llx: its contents are away, and there is nothing to fetch them from",
		    s->path, (unsigned long long)id);
	int err = calls.fetch(calls.arg, id, interval, exact, offset, buf, len);
	end_use(r);
	atomic_fetch_add_explicit(&r->fetches, 1, memory_order_relaxed);
	if (!err)
		atomic_fetch_add_explicit(&r->fetched_bytes, len, memory_order_relaxed);
	return err;
}

int residency_tell(struct store *s, uint64_t slot, uint64_t end, ps_backing_told_fn fn, void *arg)
{
	struct residency *r = &s->residency;
	struct ps_backing calls;
	bool there = begin_use(r, &calls);
	if (there && calls.tell) {
		int err = calls.tell(calls.arg, slot, end, s->table.unknown_interval, fn, arg);
		end_use(r);
		return err;
	}
	if (there)
		end_use(r);
	return ps_fail(PS_EUNAVAILABLE,
	               "%s: what slot %llu has is not known here yet, and there is nothing to ask", s->path,
	               (unsigned long long)slot);
}

size_t residency_want(struct store *s, const struct ps_backing_want *wants, size_t count)
{
	struct residency *r = &s->residency;
	struct ps_backing calls;
	if (!begin_use(r, &calls))
		return count;
	size_t begun = calls.want ? calls.want(calls.arg, wants, count) : count;
	end_use(r);
	return MAX(begun, (size_t)1);
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

int ps_backing_unknown(ps_storer *st, uint64_t *interval)
{
	struct store *s;
	if (!interval)
		return ps_fail(PS_EINVAL, "ps_backing_unknown: an argument is NULL");
	int err = store_below(st, &s);
	if (err)
		return err;
	pthread_mutex_lock(&s->lock);
	*interval = atomic_load(&s->table.unknown) ? s->table.unknown_interval : 0;
	pthread_mutex_unlock(&s->lock);
	return PS_OK;
}
