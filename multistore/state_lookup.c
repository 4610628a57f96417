/* Looking up: in the runs of a state, the newest that may have it first; in a run, the pack by slots; in a
 * pack, the block by its index; in a block, the item. A view is a manifest that does not change: calls hold
 * the one that they began with, and begin again with a newer one when a pack of theirs is gone. */
#include "multistore/state_lookup.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "multistore/loss.h"
#include "multistore/pack_format.h"
#include "multistore/push_internal.h"
#include "multistore/state_contents.h"
#include "multistore/state_want.h"

enum { CACHE_BYTES = 16 << 20 };

struct view {
	struct ps_push_manifest m;
	uint32_t holders;
};

struct ps_state_lookup {
	struct ps_memory *memory;
	struct ps_state_lookup_options options;
	struct ps_pack_loader loader;
	atomic_ullong renewed;
	pthread_mutex_t lock; /* guards the view, not what is in it; a leaf */
	struct view *view;
	pthread_mutex_t renewing; /* one reads the manifest; outside of the lock above */
};

/* ---- views ---- */

static void free_view(ps_state_lookup *l, struct view *v)
{
	ps_push_manifest_done(&v->m);
	ps_memory_free(l->memory, v, sizeof(*v));
}

static struct view *hold_view(ps_state_lookup *l)
{
	pthread_mutex_lock(&l->lock);
	struct view *v = l->view;
	v->holders++;
	pthread_mutex_unlock(&l->lock);
	return v;
}

static void release_view(ps_state_lookup *l, struct view *v)
{
	pthread_mutex_lock(&l->lock);
	bool last = --v->holders == 0;
	pthread_mutex_unlock(&l->lock);
	if (last)
		free_view(l, v);
}

static const struct ps_push_manifest_state *find_state(const struct ps_push_manifest *m, uint64_t number)
{
	for (uint32_t i = 0; i < m->state_count; i++)
		if (number == 0 || m->states[i].info.here.interval == number)
			return &m->states[i];
	return NULL;
}

static int read_view(ps_state_lookup *l, const struct ps_push_manifest *read, struct view **view)
{
	struct view *v = ps_memory_zalloc(l->memory, sizeof(*v));
	if (!v)
		return ps_fail(PS_ENOMEM, "no memory for a manifest");
	v->holders = 1; /* the lookup's */
	ps_push_manifest_init(&v->m, l->memory);
	int err = read && read->state_count ? ps_push_manifest_copy(read, &v->m)
	                                    : push_read_manifest(l->loader.r, PS_PUSH_MANIFEST_KEY, &v->m);
	if (!err && !find_state(&v->m, l->options.state))
		err = ps_fail(PS_ENOTFOUND, "state %llu is not kept here",
		              (unsigned long long)l->options.state);
	if (err)
		free_view(l, v);
	else
		*view = v;
	return err;
}

static int still_wanted(void *arg, const struct ps_remote_progress *progress)
{
	ps_state_lookup *l = arg;
	(void)progress;
	return ps_pack_loader_ends(&l->loader);
}

static int judge_loss(ps_state_lookup *l, int err)
{
	return ps_loss_judge(l->loader.r, err, still_wanted, l);
}

/* Another machine may have put the manifest elsewhere since. */
static int read_first_view(ps_state_lookup *l)
{
	int err = read_view(l, l->options.manifest, &l->view);
	if (!ps_loss_is(err))
		return err;
	int judged = judge_loss(l, err);
	return judged == err ? read_view(l, NULL, &l->view) : judged;
}

static bool same_manifest(const struct ps_push_manifest *a, const struct ps_push_manifest *b)
{
	return a->state_count == b->state_count &&
	       memcmp(a->states[0].mark, b->states[0].mark, PS_PACK_MARK) == 0;
}

static int renew(ps_state_lookup *l, bool *changed)
{
	struct view *fresh = NULL, *old = l->view; /* only who renews takes its place */
	int err = read_view(l, NULL, &fresh);
	*changed = !err && !same_manifest(&fresh->m, &old->m);
	if (err)
		return err;
	if (!*changed) {
		free_view(l, fresh);
		return PS_OK;
	}
	pthread_mutex_lock(&l->lock);
	l->view = fresh;
	pthread_mutex_unlock(&l->lock);
	atomic_fetch_add(&l->renewed, 1);
	release_view(l, old);
	return PS_OK;
}

int ps_state_lookup_renew(ps_state_lookup *l, bool *changed)
{
	bool any;
	pthread_mutex_lock(&l->renewing);
	int err = renew(l, &any);
	pthread_mutex_unlock(&l->renewing);
	if (!err && changed)
		*changed = any;
	return err;
}

uint64_t ps_state_lookup_state(ps_state_lookup *l)
{
	struct view *v = hold_view(l);
	uint64_t number = find_state(&v->m, l->options.state)->info.here.interval;
	release_view(l, v);
	return number;
}

/* ---- a state ---- */

static int is_gone(ps_id id, uint64_t state)
{
	return ps_fail(PS_ENOTFOUND, "object 0x%llx is not in state %llu", (unsigned long long)id,
	               (unsigned long long)state);
}

/* Of the slot, whatever it has. PS_ESUPERSEDED: the state has it as it was later; *p is where. PS_ENOTFOUND,
 * without a sentence: it was never used. */
static int find_slot(ps_state_lookup *l, const struct ps_push_manifest *m,
                     const struct ps_push_manifest_state *s, ps_id id, uint64_t interval,
                     enum ps_state_reach reach, struct ps_state_place *p)
{
	uint64_t number = s->info.here.interval;
	int err = PS_ENOTFOUND;
	for (uint32_t i = s->runs; i > 0 && err == PS_ENOTFOUND; i--)
		if (m->runs[s->run[i - 1]].since < interval)
			err = ps_state_place_find(&l->loader, m, s, i - 1, id, reach, p);
	if (err)
		return err;
	if (p->object.interval > interval)
		return ps_fail(
		    PS_ESUPERSEDED,
		    "object 0x%llx as it was in interval %llu is not in state %llu, which has it as "
		    "of %llu",
		    (unsigned long long)id, (unsigned long long)interval, (unsigned long long)number,
		    (unsigned long long)p->object.interval);
	return PS_OK;
}

static int find_in_state(ps_state_lookup *l, const struct ps_push_manifest *m,
                         const struct ps_push_manifest_state *s, ps_id id, uint64_t interval,
                         struct ps_state_place *p)
{
	uint64_t number = s->info.here.interval;
	int err = find_slot(l, m, s, id, interval, PS_STATE_FETCH, p);
	if (err == PS_ENOTFOUND)
		return is_gone(id, number);
	if (err)
		return err;
	if (p->object.id == id && p->object.kind != PS_CUT_GONE)
		return PS_OK;
	ps_state_place_leave(&l->loader, p);
	return is_gone(id, number);
}

static int too_late(uint64_t interval)
{
	return ps_fail(PS_ESUPERSEDED, "no state that is kept is as late as interval %llu",
	               (unsigned long long)interval);
}

/* From *i on, the next state that may have what was then; NULL: there is none. */
static const struct ps_push_manifest_state *
next_state(const ps_state_lookup *l, const struct ps_push_manifest *m, uint64_t interval, uint32_t *i)
{
	while (*i < m->state_count) {
		const struct ps_push_manifest_state *s = &m->states[(*i)++];
		uint64_t number = s->info.here.interval;
		if (l->options.state && number != l->options.state)
			continue;
		return number >= interval || interval == UINT64_MAX ? s : NULL;
	}
	return NULL;
}

/* The newest state that has it as it was then. */
static int find_in_view(ps_state_lookup *l, const struct ps_push_manifest *m, ps_id id, uint64_t interval,
                        struct ps_state_place *p)
{
	const struct ps_push_manifest_state *s;
	int err = PS_OK;
	for (uint32_t i = 0; (s = next_state(l, m, interval, &i)) != NULL;) {
		err = find_in_state(l, m, s, id, interval, p);
		if (err != PS_ESUPERSEDED)
			return err;
		ps_state_place_leave(&l->loader, p);
	}
	return err ? err : too_late(interval);
}

/* ---- slots ---- */

struct asked {
	uint64_t slot, end, interval;
	bool told;
	ps_backing_told_fn fn;
	void *arg;
};

/* The newest state that has it as it was then: what is in none of that state's runs was never used. */
static int find_slot_in_view(ps_state_lookup *l, const struct ps_push_manifest *m, const struct asked *a,
                             uint64_t slot, enum ps_state_reach reach, struct ps_state_place *p)
{
	const struct ps_push_manifest_state *s;
	int err = PS_OK;
	for (uint32_t i = 0; (s = next_state(l, m, a->interval, &i)) != NULL;) {
		err = find_slot(l, m, s, ps_id_of_slot(slot), a->interval, reach, p);
		if (err != PS_ESUPERSEDED)
			return err;
		ps_state_place_leave(&l->loader, p);
	}
	return err ? err : too_late(a->interval);
}

static int tell_place(const struct asked *a, uint64_t slot, const struct ps_state_place *p)
{
	struct ps_cut_object o = p->object;
	if (o.kind == PS_CUT_PATCH)
		o.kind = PS_CUT_CHUNKS;
	return a->fn(a->arg, slot, &o, o.kind == PS_CUT_BYTES ? p->block->block.bytes + p->item->at : NULL);
}

/* Where it is not told, another manifest may help. */
static int tell_in(ps_state_lookup *l, const struct view *v, struct asked *a)
{
	int err = PS_OK;
	for (uint64_t slot = a->slot; slot < a->end && !err; slot++) {
		struct ps_state_place p;
		err = find_slot_in_view(l, &v->m, a, slot, slot == a->slot ? PS_STATE_FETCH : PS_STATE_CACHED,
		                        &p);
		if (err && err != PS_ENOTFOUND)
			return slot == a->slot ? err : PS_OK;
		a->told = true;
		if (err) {
			err = a->fn(a->arg, slot, NULL, NULL);
			continue;
		}
		err = tell_place(a, slot, &p);
		ps_state_place_leave(&l->loader, &p);
	}
	return err > 0 ? PS_OK : err;
}

/* ---- calls ---- */

struct wanted {
	ps_id id;
	uint64_t interval, offset;
	void *buf; /* NULL: only the object is */
	size_t len;
	struct ps_cut_object object;
};

static int look_in(ps_state_lookup *l, const struct view *v, struct wanted *w)
{
	struct ps_state_place p;
	int err = find_in_view(l, &v->m, w->id, w->interval, &p);
	if (err)
		return err;
	w->object = p.object;
	if (p.object.kind == PS_CUT_PATCH)
		w->object.kind = PS_CUT_CHUNKS;
	if (w->buf)
		err = ps_state_contents_read(&l->loader, &p, w->offset, w->buf, w->len);
	ps_state_place_leave(&l->loader, &p);
	return err;
}

/* What a pack is blamed for says for which object. */
static int name_object(const struct wanted *w, int err)
{
	char sentence[PS_CACHE_SENTENCE];
	snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	return ps_fail(err, "object 0x%llx, bytes %llu to %llu: %s", (unsigned long long)w->id,
	               (unsigned long long)w->offset, (unsigned long long)(w->offset + w->len), sentence);
}

static bool has_newer(ps_state_lookup *l, const struct view *before)
{
	struct view *now = hold_view(l);
	release_view(l, now);
	return now != before;
}

/* What was wrong comes back with its sentence, if there is no newer manifest, which the network is asked for
 * where it has lost something since there were `losses`; or that the network as a whole is wrong. Newer than
 * `before`, that is: another call may have taken it while this one waited to. */
static int try_newer(ps_state_lookup *l, const struct view *before, unsigned long long losses, int err,
                     bool *newer)
{
	char sentence[PS_CACHE_SENTENCE];
	int judged = err;
	*newer = has_newer(l, before);
	if (!*newer && atomic_load(&l->loader.losses) != losses)
		judged = judge_loss(l, err);
	if (judged != err)
		return judged;
	snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	if (!*newer && ps_state_lookup_renew(l, NULL) == PS_OK)
		*newer = has_newer(l, before);
	return *newer ? err : ps_fail(err, "%s", sentence);
}

static int look(ps_state_lookup *l, struct wanted *w)
{
	int err;
	bool newer;
	do {
		struct view *v = hold_view(l);
		unsigned long long losses = atomic_load(&l->loader.losses);
		newer = false;
		err = look_in(l, v, w);
		if (ps_loss_is(err))
			err = try_newer(l, v, losses, err, &newer);
		release_view(l, v);
	} while (newer);
	return err && err != PS_ENOTFOUND && err != PS_ERANGE ? name_object(w, err) : err;
}

int ps_state_lookup_tell(ps_state_lookup *l, uint64_t slot, uint64_t end, uint64_t interval,
                         ps_backing_told_fn fn, void *arg)
{
	struct asked a = {slot, end, interval, false, fn, arg};
	int err;
	bool newer;
	do {
		struct view *v = hold_view(l);
		unsigned long long losses = atomic_load(&l->loader.losses);
		newer = false;
		err = tell_in(l, v, &a);
		if (!a.told && ps_loss_is(err))
			err = try_newer(l, v, losses, err, &newer);
		release_view(l, v);
	} while (newer);
	return err;
}

/* As many as are kept until they are asked for, one after another. */
static size_t wants_at_once(const ps_state_lookup *l, const struct ps_backing_want *wants, size_t count)
{
	uint64_t bytes = l->options.cache_bytes ? l->options.cache_bytes : CACHE_BYTES,
	         blocks = bytes / 2 / PACK_BLOCK;
	size_t n = 0;
	for (uint64_t sum = 0; n < count && n < PS_STATE_WANTS; n++) {
		sum += 1 + wants[n].len / PACK_BLOCK;
		if (sum > blocks && n > 0)
			break;
	}
	return n;
}

size_t ps_state_lookup_want(ps_state_lookup *l, const struct ps_backing_want *wants, size_t count)
{
	struct ps_state_want near[PS_STATE_WANTS];
	struct view *v = hold_view(l);
	size_t n = wants_at_once(l, wants, count);
	for (size_t i = 0; i < n; i++) {
		uint32_t from = 0;
		near[i] = (struct ps_state_want){.want = &wants[i],
		                                 .state = next_state(l, &v->m, wants[i].interval, &from)};
	}
	ps_state_want(&l->loader, &v->m, near, n);
	release_view(l, v);
	return n;
}

int ps_state_lookup_find(ps_state_lookup *l, ps_id id, uint64_t interval, struct ps_cut_object *object)
{
	struct wanted w = {.id = id, .interval = interval};
	int err = look(l, &w);
	if (!err)
		*object = w.object;
	return err;
}

int ps_state_lookup_read(ps_state_lookup *l, ps_id id, uint64_t interval, uint64_t offset, void *buf,
                         size_t len)
{
	struct wanted w = {.id = id, .interval = interval, .offset = offset, .buf = buf, .len = len};
	return look(l, &w);
}

void ps_state_lookup_figures(ps_state_lookup *l, struct ps_state_lookup_figures *figures)
{
	*figures = (struct ps_state_lookup_figures){.reads = atomic_load(&l->loader.reads),
	                                            .read_bytes = atomic_load(&l->loader.read_bytes),
	                                            .renewed = atomic_load(&l->renewed)};
}

void ps_state_lookup_stop(ps_state_lookup *l, bool stop)
{
	atomic_store(&l->loader.stopped, stop);
}

/* ---- life ---- */

static int init_locks(ps_state_lookup *l)
{
	if (pthread_mutex_init(&l->lock, NULL) == 0) {
		if (pthread_mutex_init(&l->renewing, NULL) == 0)
			return PS_OK;
		(void)pthread_mutex_destroy(&l->lock);
	}
	return ps_fail(PS_ENOMEM, "no memory for looking into a state");
}

int ps_state_lookup_open(struct ps_memory *memory, ps_remote *r,
                         const struct ps_state_lookup_options *options, ps_state_lookup **lookup)
{
	ps_state_lookup *l = ps_memory_zalloc(memory, sizeof(*l));
	if (!l)
		return ps_fail(PS_ENOMEM, "no memory for looking into a state");
	l->memory = memory;
	if (options)
		l->options = *options;
	int err = init_locks(l);
	if (err) {
		ps_memory_free(memory, l, sizeof(*l));
		return err;
	}
	err = ps_pack_loader_init(&l->loader, memory, r,
	                          l->options.cache_bytes ? l->options.cache_bytes : CACHE_BYTES);
	l->loader.unwanted = l->options.unwanted;
	if (!err)
		err = read_first_view(l);
	l->options.manifest = NULL;
	if (err)
		ps_state_lookup_free(l);
	else
		*lookup = l;
	return err;
}

void ps_state_lookup_free(ps_state_lookup *l)
{
	if (!l)
		return;
	ps_pack_loader_done(&l->loader);
	if (l->view)
		free_view(l, l->view);
	(void)pthread_mutex_destroy(&l->renewing);
	(void)pthread_mutex_destroy(&l->lock);
	ps_memory_free(l->memory, l, sizeof(*l));
}
