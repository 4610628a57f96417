/* Opening and closing the concurrent store, and the calls that lock at most one object for their own length.
 */
#include "concurrent/concurrent_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "store/cut.h"
#include "store/placement.h"

enum { LOCK_TIMEOUT_DEFAULT = 5000, BUCKETS_MAX = 1 << 24 };

_Thread_local uint32_t concurrent_thread_wait = PS_WAIT_DEFAULT;

uint32_t ps_concurrent_set_wait(uint32_t timeout_ms)
{
	uint32_t before = concurrent_thread_wait;
	concurrent_thread_wait = timeout_ms;
	return before;
}

/* ---- one object, one call ---- */

__attribute__((cold, noinline)) static int share_slowly(struct concurrent *c, struct lock_copy *copy,
                                                        ps_id id)
{
	struct lock_wait wait = concurrent_wait(c);
	return locks_copy_begin_slowly(&c->locks, copy, id, &wait);
}

/* Does `call` while the thread shares the object, for calls that copy. */
#define WHILE_SHARED(c, id, call)                                                                            \
	do {                                                                                                 \
		struct lock_copy copy_;                                                                      \
		int err_ = PS_OK;                                                                            \
		__builtin_prefetch((c)->storer.inner);                                                       \
		if (!__builtin_expect(locks_copy_try(&(c)->locks, &copy_, (id)), 1))                         \
			err_ = share_slowly((c), &copy_, (id));                                              \
		if (__builtin_expect(err_ == PS_OK, 1)) {                                                    \
			err_ = INNER(c, call);                                                               \
			locks_copy_end(&(c)->locks, &copy_);                                                 \
		}                                                                                            \
		return err_;                                                                                 \
	} while (0)

__attribute__((cold, noinline)) static int exclude_slowly(struct concurrent *c, struct lock_hold *hold,
                                                          ps_id id)
{
	struct lock_wait wait = concurrent_wait(c);
	return locks_acquire_slowly(&c->locks, hold, id, LOCK_EXCLUSIVE, &wait);
}

/* Does `call` while nobody else has anything to do with the object. */
#define WHILE_EXCLUSIVE(c, id, call)                                                                         \
	do {                                                                                                 \
		struct lock_hold hold_;                                                                      \
		int err_ = PS_OK;                                                                            \
		if (!__builtin_expect(locks_write_try(&(c)->locks, &hold_, (id)), 1))                        \
			err_ = exclude_slowly((c), &hold_, (id));                                            \
		if (__builtin_expect(err_ == PS_OK, 1)) {                                                    \
			err_ = INNER(c, call);                                                               \
			if (!__builtin_expect(locks_write_end_try(&(c)->locks, &hold_), 1))                  \
				locks_release_slowly(&(c)->locks, &hold_);                                   \
		}                                                                                            \
		return err_;                                                                                 \
	} while (0)

int concurrent_get(ps_storer *s, ps_id id, void *buf, size_t cap, size_t *len)
{
	struct concurrent *c = concurrent_of(s);
	WHILE_SHARED(c, id, ps_get(s->inner, id, buf, cap, len));
}

int concurrent_read_at(ps_storer *s, ps_id id, uint64_t off, void *buf, size_t len, size_t *got)
{
	struct concurrent *c = concurrent_of(s);
	WHILE_SHARED(c, id, ps_read_at(s->inner, id, off, buf, len, got));
}

int concurrent_info(ps_storer *s, ps_id id, struct ps_info *info)
{
	struct concurrent *c = concurrent_of(s);
	WHILE_SHARED(c, id, ps_info(s->inner, id, info));
}

/* It changes nothing that is there, so it is shared; that one of several makes the object is the inner's to
 * see to. */
int concurrent_prime(ps_storer *s, uint64_t size, ps_id *id)
{
	struct concurrent *c = concurrent_of(s);
	WHILE_SHARED(c, PS_ID_PRIME, ps_prime(s->inner, size, id));
}

int concurrent_replace(ps_storer *s, ps_id id, const void *data, size_t len)
{
	struct concurrent *c = concurrent_of(s);
	WHILE_EXCLUSIVE(c, id, ps_replace(s->inner, id, data, len));
}

int concurrent_write_at(ps_storer *s, ps_id id, uint64_t off, const void *data, size_t len)
{
	struct concurrent *c = concurrent_of(s);
	WHILE_EXCLUSIVE(c, id, ps_write_at(s->inner, id, off, data, len));
}

int concurrent_resize(ps_storer *s, ps_id id, uint64_t size)
{
	struct concurrent *c = concurrent_of(s);
	WHILE_EXCLUSIVE(c, id, ps_resize(s->inner, id, size));
}

int concurrent_delete_object(ps_storer *s, ps_id id)
{
	struct concurrent *c = concurrent_of(s);
	WHILE_EXCLUSIVE(c, id, ps_delete(s->inner, id));
}

/* ---- new objects: nobody knows their ids yet ---- */

int concurrent_put(ps_storer *s, const void *data, size_t len, ps_id *id)
{
	return INNER(concurrent_of(s), ps_put(s->inner, data, len, id));
}

int concurrent_alloc(ps_storer *s, uint64_t size, ps_id *id)
{
	return INNER(concurrent_of(s), ps_alloc(s->inner, size, id));
}

int concurrent_alloc_run(ps_storer *s, uint64_t size, size_t count, ps_id *ids)
{
	return INNER(concurrent_of(s), ps_alloc_run(s->inner, size, count, ids));
}

/* ---- the whole store ---- */

/* Some ids at a time: the caller's function may wait for locks, which nobody may do who keeps others from the
 * store. */
enum { EACH_IDS = 256 };
struct id_window {
	ps_id ids[EACH_IDS];
	size_t count;
};

static int gather_id(void *arg, ps_id id)
{
	struct id_window *window = arg;
	if (window->count == EACH_IDS)
		return 1;
	window->ids[window->count++] = id;
	return 0;
}

static int each_in_windows(struct concurrent *c, ps_id from, ps_each_fn fn, void *arg)
{
	struct id_window window;
	do {
		window.count = 0;
		int err = INNER(c, ps_each(c->storer.inner, from, gather_id, &window));
		if (err && !(err == PS_ECANCELED && window.count == EACH_IDS))
			return err;
		for (size_t i = 0; i < window.count; i++) {
			if (fn(arg, window.ids[i]))
				return ps_fail(PS_ECANCELED, "ps_each: ended by the caller at object %llx",
				               (unsigned long long)window.ids[i]);
		}
		if (window.count > 0)
			from = window.ids[window.count - 1] + 1;
	} while (window.count == EACH_IDS && from != PS_ID_NONE);
	return PS_OK;
}

int concurrent_each(ps_storer *s, ps_id from, ps_each_fn fn, void *arg)
{
	struct concurrent *c = concurrent_of(s);
	return c->serial ? each_in_windows(c, from, fn, arg) : ps_each(s->inner, from, fn, arg);
}

int concurrent_sync(ps_storer *s)
{
	return INNER(concurrent_of(s), ps_sync(s->inner));
}

int concurrent_stats(ps_storer *s, struct ps_stats *stats)
{
	struct concurrent *c = concurrent_of(s);
	int err = INNER(c, ps_stats(s->inner, stats));
	if (!err)
		stats->memory_used += atomic_load_explicit(&c->memory.used, memory_order_relaxed);
	return err;
}

/* What goes through the whole store waits behind callers that want one object. */
#define IN_BACKGROUND(c, call)                                                                               \
	do {                                                                                                 \
		enum ps_token_class class_ = ps_tokens_set_class(PS_TOKEN_BACKGROUND);                       \
		int err_ = INNER(c, call);                                                                   \
		ps_tokens_set_class(class_);                                                                 \
		return err_;                                                                                 \
	} while (0)

int concurrent_check(ps_storer *s, enum ps_check_depth depth, ps_finding_fn fn, void *arg)
{
	IN_BACKGROUND(concurrent_of(s), ps_check(s->inner, depth, fn, arg));
}

int concurrent_compact(ps_storer *s, uint64_t goal, ps_progress_fn fn, void *arg)
{
	IN_BACKGROUND(concurrent_of(s), ps_compact(s->inner, goal, fn, arg));
}

int concurrent_backup(ps_storer *s, const char *path, ps_progress_fn fn, void *arg)
{
	IN_BACKGROUND(concurrent_of(s), ps_backup(s->inner, path, fn, arg));
}

static uint32_t concurrent_caps(ps_storer *s)
{
	return ps_caps(s->inner) | PS_CAP_LOCKS | PS_CAP_THREADS;
}

int concurrent_use_tokens(ps_storer *s, struct ps_tokens *tokens)
{
	struct concurrent *c = concurrent_of(s);
	int err = INNER(c, ps_use_tokens(s->inner, tokens));
	if (!err)
		atomic_store(&c->tokens, tokens);
	return err;
}

int concurrent_use_placement(ps_storer *s, struct ps_placement *placement)
{
	return INNER(concurrent_of(s), ps_use_placement(s->inner, placement));
}

int concurrent_each_space(ps_storer *s, ps_space_fn fn, void *arg)
{
	return INNER(concurrent_of(s), ps_each_space(s->inner, fn, arg));
}

int concurrent_route_figures(ps_storer *s, struct ps_route_figures *figures, size_t count)
{
	return INNER(concurrent_of(s), ps_route_figures(s->inner, figures, count));
}

int concurrent_cut_store(ps_storer *s, ps_storer **below)
{
	return INNER(concurrent_of(s), ps_cut_store(s->inner, below));
}

/* ---- open and close ---- */

static void concurrent_free(struct concurrent *c)
{
	concurrent_free_spares(c);
	locks_done(&c->locks);
	pthread_mutex_destroy(&c->structure);
	/* Nothing below is open any more, so the pool is idle. */
	int err = ps_tokens_free(c->own_tokens);
	assert(err == PS_OK);
	(void)err;
	ps_memory_done(&c->memory);
	free(c);
}

int concurrent_close(ps_storer *s)
{
	int err = ps_close(s->inner);
	if (err != PS_EBUSY)
		concurrent_free(concurrent_of(s));
	return err;
}

static int check_options(const struct ps_concurrent_options *o)
{
	if (o->refuse_waits > 1)
		return ps_fail(PS_EINVAL, "options: refuse_waits is %u, not 0 or 1", o->refuse_waits);
	if (o->lock_buckets & (o->lock_buckets - 1) || o->lock_buckets > BUCKETS_MAX)
		return ps_fail(PS_EINVAL, "options: %u lock buckets: not a power of two up to %d",
		               o->lock_buckets, BUCKETS_MAX);
	if (!o->alloc != !o->resize || !o->alloc != !o->release)
		return ps_fail(PS_EINVAL, "options: alloc, resize and release go together");
	return PS_OK;
}

/* The object itself is not the counted memory's: that is inside it. */
static struct concurrent *concurrent_new(const struct ps_concurrent_options *o)
{
	struct concurrent *c = aligned_alloc(CACHE_LINE, sizeof(*c));
	if (!c)
		return NULL;
	memset(c, 0, sizeof(*c));
	const struct ps_allocator_fns fns = {o->alloc, o->resize, o->release, o->alloc_arg};
	ps_memory_init(&c->memory, o->alloc ? &fns : NULL);
	pthread_mutexattr_t recursive;
	pthread_mutexattr_init(&recursive);
	pthread_mutexattr_settype(&recursive, PTHREAD_MUTEX_RECURSIVE);
	pthread_mutex_init(&c->structure, &recursive);
	pthread_mutexattr_destroy(&recursive);
	c->lock_timeout_ms = o->lock_timeout_ms ? o->lock_timeout_ms : LOCK_TIMEOUT_DEFAULT;
	if (o->refuse_waits)
		c->lock_timeout_ms = 0;
	return c;
}

static int make_pool(struct concurrent *c, const struct ps_concurrent_options *o)
{
	struct ps_token_options own = o->own_tokens;
	if (o->tokens)
		return PS_OK;
	own.size = own.size ? own.size : sizeof(own);
	return ps_tokens_new(&own, &c->own_tokens);
}

/* Handing down the pool comes last: what fails before it has changed nothing below. */
static int set_up(struct concurrent *c, ps_storer *inner, const struct ps_concurrent_options *o)
{
	int err = locks_init(&c->locks, &c->memory, o->lock_buckets);
	if (!err)
		err = make_pool(c, o);
	if (!err)
		err = ps_storer_init(&c->storer, &concurrent_ops, inner);
	if (err)
		return err;
	c->serial = !(ps_caps(inner) & PS_CAP_THREADS);
	return concurrent_use_tokens(&c->storer, o->tokens ? o->tokens : c->own_tokens);
}

int ps_concurrent_open(ps_storer *inner, const struct ps_concurrent_options *opts, ps_storer **s)
{
	struct ps_concurrent_options known = {.size = sizeof(known)};
	if (!inner || !s)
		return ps_fail(PS_EINVAL, "ps_concurrent_open: no inner store, or no place for the new one");
	if (opts && (opts->size > sizeof(known) || opts->size < sizeof(size_t)))
		return ps_fail(PS_EINVAL, "options: size %zu is not that of a known struct", opts->size);
	if (opts)
		memcpy(&known, opts, opts->size);
	int err = check_options(&known);
	if (err)
		return err;
	struct concurrent *c = concurrent_new(&known);
	if (!c)
		return ps_fail(PS_ENOMEM, "ps_concurrent_open: no memory");
	err = set_up(c, inner, &known);
	if (err) {
		concurrent_free(c);
		return err;
	}
	*s = &c->storer;
	return PS_OK;
}

int ps_concurrent_stats(ps_storer *s, struct ps_concurrent_stats *stats)
{
	struct lock_figures figures;
	if (!s || !stats || s->ops != &concurrent_ops)
		return ps_fail(PS_EINVAL,
		               "ps_concurrent_stats: not a concurrent store, or no place for its figures");
	struct concurrent *c = concurrent_of(s);
	locks_figures(&c->locks, &figures);
	*stats = (struct ps_concurrent_stats){
	    .locks = figures.acquired,
	    .waits = figures.waits,
	    .wait_ns = figures.wait_ns,
	    .timeouts = figures.timeouts,
	    .refusals = figures.refusals,
	    .deadlocks = figures.deadlocks,
	    .held = locks_held(&c->locks),
	    .memory_used = atomic_load_explicit(&c->memory.used, memory_order_relaxed),
	};
	return PS_OK;
}

int ps_concurrent_tokens(ps_storer *s, struct ps_tokens **tokens)
{
	if (!s || !tokens || s->ops != &concurrent_ops)
		return ps_fail(PS_EINVAL,
		               "ps_concurrent_tokens: not a concurrent store, or no place for its pool");
	*tokens = atomic_load(&concurrent_of(s)->tokens);
	return PS_OK;
}

#define CONCURRENT_MEMBER(name, params) .name = concurrent_##name,
const struct ps_storer_ops concurrent_ops = {.name = "concurrent",
                                             .caps = concurrent_caps,
                                             .writer_id = concurrent_writer_id,
                                             PS_STORER_SLOTS(CONCURRENT_MEMBER)};
