#include "tests/multistore/spy_layer.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

struct spy {
	ps_storer storer;
	pthread_mutex_t lock;
	struct spy_call calls[SPY_CALLS];
	size_t count;
	bool stands_in, readonly;
	struct ps_placement file;
	int placement_result;
	const struct ps_route_figures *figures;
	size_t figure_count;
};

static atomic_uint closes;

static struct spy *spy_of(ps_storer *s)
{
	return (struct spy *)(void *)s;
}

/* Before the call goes on, so that the order is that of arrival. Returns the call's number. */
static size_t record(ps_storer *s, const char *slot, const uint64_t *args, size_t count)
{
	struct spy *spy = spy_of(s);
	pthread_mutex_lock(&spy->lock);
	size_t number = spy->count++;
	if (number < SPY_CALLS) {
		spy->calls[number] = (struct spy_call){.slot = slot};
		memcpy(spy->calls[number].args, args, count * sizeof(*args));
	}
	pthread_mutex_unlock(&spy->lock);
	return number;
}

static int answered(ps_storer *s, size_t number, int result)
{
	struct spy *spy = spy_of(s);
	pthread_mutex_lock(&spy->lock);
	if (number < SPY_CALLS && number < spy->count)
		spy->calls[number].result = result;
	pthread_mutex_unlock(&spy->lock);
	return result;
}

#define NUMBER(arg) ((uint64_t)(uintptr_t)(arg))
#define ARGS0() 0
#define ARGS1(a) NUMBER(a)
#define ARGS2(a, b) NUMBER(a), NUMBER(b)
#define ARGS3(a, b, c) NUMBER(a), NUMBER(b), NUMBER(c)
#define ARGS4(a, b, c, d) NUMBER(a), NUMBER(b), NUMBER(c), NUMBER(d)
#define ARGS5(a, b, c, d, e) NUMBER(a), NUMBER(b), NUMBER(c), NUMBER(d), NUMBER(e)

/* X(slot, who answers, parameters, how it is handed on, the arguments as numbers): all but close, and those
 * of sessions, which are the inner store's from their opening on. */
/* clang-format off */
#define SPY_SLOTS(X) \
	X(put, ps_forward, (ps_storer * s, const void *data, size_t len, ps_id *id), (s, data, len, id), ARGS3(data, len, id)) \
	X(get, ps_forward, (ps_storer * s, ps_id id, void *buf, size_t cap, size_t *len), (s, id, buf, cap, len), \
	  ARGS4(id, buf, cap, len)) \
	X(read_at, ps_forward, (ps_storer * s, ps_id id, uint64_t off, void *buf, size_t len, size_t *got), \
	  (s, id, off, buf, len, got), ARGS5(id, off, buf, len, got)) \
	X(get_many, ps_forward, (ps_storer * s, size_t n, struct ps_get_many * reqs), (s, n, reqs), ARGS2(n, reqs)) \
	X(view_at, ps_forward, (ps_storer * s, ps_id id, uint64_t off, size_t len, bool whole, struct ps_view *view), \
	  (s, id, off, len, whole, view), ARGS5(id, off, len, whole, view)) \
	X(view_release, ps_forward, (ps_storer * s, struct ps_view * view), (s, view), ARGS1(view)) \
	X(replace, ps_forward, (ps_storer * s, ps_id id, const void *data, size_t len), (s, id, data, len), ARGS3(id, data, len)) \
	X(write_at, ps_forward, (ps_storer * s, ps_id id, uint64_t off, const void *data, size_t len), (s, id, off, data, len), \
	  ARGS4(id, off, data, len)) \
	X(resize, ps_forward, (ps_storer * s, ps_id id, uint64_t size), (s, id, size), ARGS2(id, size)) \
	X(delete_object, ps_forward, (ps_storer * s, ps_id id), (s, id), ARGS1(id)) \
	X(alloc, ps_forward, (ps_storer * s, uint64_t size, ps_id * id), (s, size, id), ARGS2(size, id)) \
	X(prime, ps_forward, (ps_storer * s, uint64_t size, ps_id * id), (s, size, id), ARGS2(size, id)) \
	X(alloc_run, ps_forward, (ps_storer * s, uint64_t size, size_t count, ps_id * ids), (s, size, count, ids), \
	  ARGS3(size, count, ids)) \
	X(info, ps_forward, (ps_storer * s, ps_id id, struct ps_info * info), (s, id, info), ARGS2(id, info)) \
	X(open_writer, ps_forward, (ps_storer * s, ps_id id, uint64_t size, ps_writer * *w), (s, id, size, w), ARGS3(id, size, w)) \
	X(open_reader, ps_forward, (ps_storer * s, ps_id id, ps_reader * *r), (s, id, r), ARGS2(id, r)) \
	X(batch_begin, ps_forward, (ps_storer * s, ps_batch * *b), (s, b), ARGS1(b)) \
	X(write_batched, ps_forward, (ps_storer * s, size_t n, const ps_id *ids, const void *data, const size_t *sizes), \
	  (s, n, ids, data, sizes), ARGS4(n, ids, data, sizes)) \
	X(each, ps_forward, (ps_storer * s, ps_id from, ps_each_fn fn, void *arg), (s, from, fn, arg), ARGS3(from, fn, arg)) \
	X(sync, ps_forward, (ps_storer * s), (s), ARGS0()) \
	X(stats, ps_forward, (ps_storer * s, struct ps_stats * stats), (s, stats), ARGS1(stats)) \
	X(check, ps_forward, (ps_storer * s, enum ps_check_depth depth, ps_finding_fn fn, void *arg), (s, depth, fn, arg), \
	  ARGS3(depth, fn, arg)) \
	X(compact, ps_forward, (ps_storer * s, uint64_t goal, ps_progress_fn fn, void *arg), (s, goal, fn, arg), \
	  ARGS3(goal, fn, arg)) \
	X(backup, ps_forward, (ps_storer * s, const char *path, ps_progress_fn fn, void *arg), (s, path, fn, arg), \
	  ARGS3(path, fn, arg)) \
	X(use_tokens, ps_forward, (ps_storer * s, struct ps_tokens * tokens), (s, tokens), ARGS1(tokens)) \
	X(use_placement, stand_in, (ps_storer * s, struct ps_placement * placement), (s, placement), ARGS1(placement)) \
	X(each_space, stand_in, (ps_storer * s, ps_space_fn fn, void *arg), (s, fn, arg), ARGS2(fn, arg)) \
	X(route_figures, stand_in, (ps_storer * s, struct ps_route_figures * figures, size_t count), (s, figures, count), \
	  ARGS2(figures, count)) \
	X(cut_store, ps_forward, (ps_storer * s, ps_storer * *below), (s, below), ARGS1(below))
/* clang-format on */

/* ---- standing in for a store that places ---- */

static int stand_in_use_placement(ps_storer *s, struct ps_placement *placement)
{
	struct spy *spy = spy_of(s);
	if (!spy->stands_in)
		return ps_forward_use_placement(s, placement);
	if (spy->placement_result)
		return ps_fail(spy->placement_result, "the spy was told to refuse");
	if (spy->file.classes.count == 0 && !spy->readonly)
		spy->file = *placement;
	*placement = spy->file;
	return PS_OK;
}

/* One piece of free space. */
static int stand_in_each_space(ps_storer *s, ps_space_fn fn, void *arg)
{
	const struct ps_space_piece piece = {.len = 4096, .use = PS_SPACE_FREE};
	if (!spy_of(s)->stands_in)
		return ps_forward_each_space(s, fn, arg);
	return fn(arg, &piece) ? ps_fail(PS_ECANCELED, "ended by the caller") : PS_OK;
}

static int stand_in_route_figures(ps_storer *s, struct ps_route_figures *figures, size_t count)
{
	struct spy *spy = spy_of(s);
	if (!spy->stands_in)
		return ps_forward_route_figures(s, figures, count);
	memset(figures, 0, count * sizeof(*figures));
	if (spy->figure_count)
		memcpy(figures, spy->figures,
		       (count < spy->figure_count ? count : spy->figure_count) * sizeof(*figures));
	return PS_OK;
}

#define SPY_FUNCTION(slot, answers, params, args, ...)                                                       \
	static int spy_##slot params                                                                         \
	{                                                                                                    \
		const uint64_t numbers[] = {__VA_ARGS__};                                                    \
		size_t number = record(s, #slot, numbers, sizeof(numbers) / sizeof(*numbers));               \
		return answered(s, number, answers##_##slot args);                                           \
	}
SPY_SLOTS(SPY_FUNCTION)

static uint32_t spy_caps(ps_storer *s)
{
	return ps_caps(s->inner) | PS_CAP_PLACEMENT;
}

static int spy_close(ps_storer *s)
{
	int err = ps_close(s->inner);
	if (err == PS_EBUSY)
		return err;
	atomic_fetch_add(&closes, 1);
	pthread_mutex_destroy(&spy_of(s)->lock);
	free(s);
	return err;
}

#define SPY_MEMBER(slot, answers, params, args, ...) .slot = spy_##slot,
static const struct ps_storer_ops spy_ops = {
    PS_FORWARD_OPS SPY_SLOTS(SPY_MEMBER).name = "spy",
    .caps = spy_caps,
    .close = spy_close,
};

int spy_layer_open(ps_storer *inner, ps_storer **s)
{
	struct spy *spy = calloc(1, sizeof(*spy));
	int err = spy ? ps_storer_init(&spy->storer, &spy_ops, inner) : PS_ENOMEM;
	if (err) {
		free(spy);
		return err;
	}
	pthread_mutex_init(&spy->lock, NULL);
	spy->stands_in = !(ps_caps(inner) & PS_CAP_PLACEMENT);
	*s = &spy->storer;
	return PS_OK;
}

const struct spy_call *spy_calls(ps_storer *s, size_t *count)
{
	*count = spy_of(s)->count;
	return spy_of(s)->calls;
}

void spy_forget(ps_storer *s)
{
	spy_of(s)->count = 0;
}

unsigned spy_closes(void)
{
	return atomic_load(&closes);
}

void spy_set_placement(ps_storer *s, const struct ps_placement *file, bool readonly, int result)
{
	spy_of(s)->file = *file;
	spy_of(s)->readonly = readonly;
	spy_of(s)->placement_result = result;
}

void spy_set_figures(ps_storer *s, const struct ps_route_figures *figures, size_t count)
{
	spy_of(s)->figures = figures;
	spy_of(s)->figure_count = count;
}
