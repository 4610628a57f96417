/* How much of an attached store is in its file: what is away comes back through its attachment, and what was
 * pushed leaves when it is told to, or when the file has more than it may. */
#include "multistore/attached_internal.h"

#include <string.h>

#include "base/fail.h"

enum {
	SPARE = 8,     /* the part of the local bytes that is freed at once */
	AGAIN_MS = 50, /* after an eviction that a cut, or a failure, was in the way of */
};

/* ---- when ---- */

/* Never nothing, or a store that may keep next to nothing would evict without end. */
static uint64_t spare_bytes(const struct ps_attached *a)
{
	return a->local_bytes < SPARE ? 1 : a->local_bytes / SPARE;
}

static bool is_full(const struct ps_attached *a)
{
	return a->backing && a->local_bytes && a->grown >= spare_bytes(a);
}

uint64_t attached_evict_due(const struct ps_attached *a)
{
	return is_full(a) ? a->evict_at : a->look_at ? a->look_at : PS_NEVER;
}

/* What is not pushed cannot leave. */
bool attached_wants_room(const struct ps_attached *a)
{
	return is_full(a) && a->dirty_since != 0;
}

static void fetched(void *arg, size_t len)
{
	struct ps_attached *a = arg;
	pthread_mutex_lock(&a->lock);
	a->grown += len;
	if (attached_evict_due(a) < a->waits_until)
		ps_clock_wake(a->clock, &a->changed);
	pthread_mutex_unlock(&a->lock);
}

/* ---- the background's ---- */

static void tell(const struct ps_attached *a, int err, uint32_t failures, uint64_t freed)
{
	const struct ps_multi_event event = {.kind = err ? PS_MULTI_EVICT_FAILED : PS_MULTI_EVICTED,
	                                     .error = err,
	                                     .failures = failures,
	                                     .retry_ns = err ? AGAIN_MS * PS_MS_NS : 0,
	                                     .message = err ? ps_last_error_message() : "",
	                                     .freed = freed};
	if (a->event && failures <= 1)
		a->event(a->event_arg, &event);
}

/* Who has just opened a file looks how much is in it before the network is asked whether any of it may leave.
 */
static bool has_room(struct ps_attached *a, uint64_t goal)
{
	struct ps_backing_figures f;
	pthread_mutex_lock(&a->lock);
	bool known = a->knows_local;
	a->knows_local = true;
	pthread_mutex_unlock(&a->lock);
	return !known && ps_backing_figures(a->s, &f) == PS_OK && f.local_bytes <= goal;
}

static int evict(struct ps_attached *a, struct ps_push_evicted *evicted)
{
	uint64_t goal = a->local_bytes - spare_bytes(a);
	*evicted = (struct ps_push_evicted){0};
	int err = has_room(a, goal) ? PS_OK
	                            : ps_push_backing_evict(a->backing, goal, attached_unwanted, a, evicted);
	return err == PS_ENOTFOUND ? PS_OK : err; /* nothing was pushed, so nothing may leave */
}

/* Under lock. What was not pushed could not leave: it is tried again behind the next push, or when the cut
 * that was in the way has ended. What grew meanwhile counts for the next time. */
static void note_eviction(struct ps_attached *a, int err, uint64_t grown, bool dirty)
{
	a->look_at = ps_clock_now(a->clock) + AGAIN_MS * PS_MS_NS;
	a->grown -= err ? 0 : grown;
	if (dirty && a->grown < spare_bytes(a))
		a->grown = spare_bytes(a);
	a->evict_at = 0;
	if (err || dirty)
		a->evict_at = ps_clock_now(a->clock) + AGAIN_MS * PS_MS_NS;
	if (a->evict_at && a->evict_at < a->retry_at)
		a->evict_at = a->retry_at;
}

/* What was fetched before an eviction may have come into the file behind it: some time later what is there is
 * counted once. */
static void look_again(struct ps_attached *a)
{
	struct ps_backing_figures f = {0};
	uint64_t goal = a->local_bytes - spare_bytes(a);
	int err = ps_backing_figures(a->s, &f);
	uint64_t more = !err && f.local_bytes > goal ? f.local_bytes - goal : 0;
	pthread_mutex_lock(&a->lock);
	a->look_at = 0;
	if (a->grown < more)
		a->grown = more;
	pthread_mutex_unlock(&a->lock);
}

void attached_evict(struct ps_attached *a)
{
	struct ps_push_evicted evicted;
	pthread_mutex_lock(&a->lock);
	uint64_t grown = a->grown;
	bool full = is_full(a);
	pthread_mutex_unlock(&a->lock);
	if (!full) {
		look_again(a);
		return;
	}
	int err = evict(a, &evicted);
	bool failed = err && err != PS_EBUSY && err != PS_ECANCELED;
	pthread_mutex_lock(&a->lock);
	note_eviction(a, err, grown, evicted.dirty);
	a->evict_failures = failed ? a->evict_failures + 1 : 0;
	uint32_t failures = a->evict_failures;
	pthread_mutex_unlock(&a->lock);
	if (failed || evicted.freed > 0)
		tell(a, failed ? err : PS_OK, failures, evicted.freed);
}

/* ---- beginning and end ---- */

int attached_back(struct ps_attached *a)
{
	const struct ps_push_backing_options options = {.cache_bytes = a->cache_bytes,
	                                                .manifest = &a->made_of,
	                                                .state = a->of_state,
	                                                .unwanted = a->unwanted,
	                                                .fetched = fetched,
	                                                .arg = a};
	int err = ps_push_backing_open(a->s, a->r, &options, &a->backing);
	/* What cannot be cut cannot be pushed, nor leave. */
	return err == PS_ENOTSUP ? PS_OK : err;
}

/* ---- the call ---- */

/* The cut of what is being shipped may be in the way: then it ends, and there is no other until all that may
 * leave has left. Only then, for commits that wait for the log wait for that, too. */
static int evict_beside_log(struct ps_attached *a, uint64_t goal, ps_progress_fn fn, void *arg,
                            uint64_t *freed)
{
	struct ps_push_evicted evicted;
	int err = ps_push_backing_evict(a->backing, goal, fn, arg, &evicted);
	*freed = evicted.freed;
	if (err != PS_EBUSY || !a->shipper)
		return err;
	ps_attached_pause_log(a);
	err = ps_push_backing_evict(a->backing, goal, fn, arg, &evicted);
	ps_attached_resume_log(a);
	*freed += evicted.freed;
	return err;
}

int ps_evict(ps_storer *s, uint64_t goal, ps_progress_fn fn, void *arg, uint64_t *freed)
{
	struct ps_attached *a = s ? ps_multi_attached(s) : NULL;
	if (!a || !a->backing)
		return ps_fail(
		    a ? PS_ENOTSUP : PS_EINVAL,
		    "ps_evict: the store is not attached to a network that its contents could be on");
	uint64_t all;
	ps_attached_pause(a);
	int err = evict_beside_log(a, goal, fn, arg, &all);
	ps_attached_resume(a);
	if (freed)
		*freed = all;
	return err;
}

int ps_local_figures(ps_storer *s, struct ps_local_figures *figures)
{
	struct ps_backing_figures f;
	if (!s || !figures)
		return ps_fail(PS_EINVAL, "ps_local_figures: no store, or no place for its figures");
	int err = ps_backing_figures(s, &f);
	if (err)
		return err;
	*figures = (struct ps_local_figures){.local_objects = f.local_objects,
	                                     .local_bytes = f.local_bytes,
	                                     .away_objects = f.away_objects + f.unknown_objects,
	                                     .away_bytes = f.away_bytes + f.unknown_bytes,
	                                     .dirty_objects = f.dirty_objects,
	                                     .dirty_bytes = f.dirty_bytes,
	                                     .fetches = f.fetches,
	                                     .fetched_bytes = f.fetched_bytes,
	                                     .healed = f.healed};
	return PS_OK;
}
