/* A storer for one thread at a time that notices when it gets two. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include <padstone/storer_impl.h>

#include "tests/concurrent/layers.h"

struct lone {
	ps_storer base;
	_Atomic(pthread_t) inside;
	atomic_uint depth;
	/* Plain memory that every call writes: a race on it is seen by the thread sanitizer, too. */
	unsigned long calls;
};

static struct lone *lone_of(ps_storer *s)
{
	return (struct lone *)(void *)s;
}

static void enter(struct lone *lone)
{
	pthread_t self = pthread_self();
	if (atomic_load(&lone->depth) > 0 && !pthread_equal(atomic_load(&lone->inside), self)) {
		fprintf(stderr, "two threads are in a storer that is not thread-safe\n");
		abort();
	}
	atomic_store(&lone->inside, self);
	atomic_fetch_add(&lone->depth, 1);
	lone->calls++;
}

static int leave(struct lone *lone, int err)
{
	atomic_fetch_sub(&lone->depth, 1);
	return err;
}

static uint32_t lone_caps(ps_storer *s)
{
	return ps_caps(s->inner) & ~(uint32_t)PS_CAP_THREADS;
}

/* X(slot, parameters, the arguments): the calls that are guarded. Sessions are the inner's own from their
 * opening on. */
#define LONE_SLOTS(X)                                                                                        \
	X(put, (ps_storer * s, const void *data, size_t len, ps_id *id), (s, data, len, id))                 \
	X(get, (ps_storer * s, ps_id id, void *buf, size_t cap, size_t *len), (s, id, buf, cap, len))        \
	X(read_at, (ps_storer * s, ps_id id, uint64_t off, void *buf, size_t len, size_t *got),              \
	  (s, id, off, buf, len, got))                                                                       \
	X(get_many, (ps_storer * s, size_t n, struct ps_get_many * reqs), (s, n, reqs))                      \
	X(view_at, (ps_storer * s, ps_id id, uint64_t off, size_t len, bool whole, struct ps_view *view),    \
	  (s, id, off, len, whole, view))                                                                    \
	X(replace, (ps_storer * s, ps_id id, const void *data, size_t len), (s, id, data, len))              \
	X(write_at, (ps_storer * s, ps_id id, uint64_t off, const void *data, size_t len),                   \
	  (s, id, off, data, len))                                                                           \
	X(resize, (ps_storer * s, ps_id id, uint64_t size), (s, id, size))                                   \
	X(delete_object, (ps_storer * s, ps_id id), (s, id))                                                 \
	X(alloc, (ps_storer * s, uint64_t size, ps_id * id), (s, size, id))                                  \
	X(prime, (ps_storer * s, uint64_t size, ps_id * id), (s, size, id))                                  \
	X(alloc_run, (ps_storer * s, uint64_t size, size_t count, ps_id * ids), (s, size, count, ids))       \
	X(info, (ps_storer * s, ps_id id, struct ps_info * info), (s, id, info))                             \
	X(open_writer, (ps_storer * s, ps_id id, uint64_t size, ps_writer * *w), (s, id, size, w))           \
	X(open_reader, (ps_storer * s, ps_id id, ps_reader * *r), (s, id, r))                                \
	X(batch_begin, (ps_storer * s, ps_batch * *b), (s, b))                                               \
	X(write_batched, (ps_storer * s, size_t n, const ps_id *ids, const void *data, const size_t *sizes), \
	  (s, n, ids, data, sizes))                                                                          \
	X(each, (ps_storer * s, ps_id from, ps_each_fn fn, void *arg), (s, from, fn, arg))                   \
	X(sync, (ps_storer * s), (s))                                                                        \
	X(stats, (ps_storer * s, struct ps_stats * stats), (s, stats))                                       \
	X(check, (ps_storer * s, enum ps_check_depth depth, ps_finding_fn fn, void *arg),                    \
	  (s, depth, fn, arg))                                                                               \
	X(compact, (ps_storer * s, uint64_t goal, ps_progress_fn fn, void *arg), (s, goal, fn, arg))         \
	X(backup, (ps_storer * s, const char *path, ps_progress_fn fn, void *arg), (s, path, fn, arg))

#define LONE_FUNCTION(slot, params, args)                                                                    \
	static int lone_##slot params                                                                        \
	{                                                                                                    \
		enter(lone_of(s));                                                                           \
		return leave(lone_of(s), ps_forward_##slot args);                                            \
	}
LONE_SLOTS(LONE_FUNCTION)

static int lone_close(ps_storer *s)
{
	int err = ps_close(s->inner);
	if (err != PS_EBUSY)
		free(s);
	return err;
}

#define LONE_MEMBER(slot, params, args) .slot = lone_##slot,
static const struct ps_storer_ops lone_ops = {
    PS_FORWARD_OPS LONE_SLOTS(LONE_MEMBER).name = "lone",
    .caps = lone_caps,
    .close = lone_close,
};

int lone_layer_open(ps_storer *inner, ps_storer **s)
{
	struct lone *lone = calloc(1, sizeof(*lone));
	int err = lone ? ps_storer_init(&lone->base, &lone_ops, inner) : PS_ENOMEM;
	if (err)
		free(lone);
	else
		*s = &lone->base;
	return err;
}
