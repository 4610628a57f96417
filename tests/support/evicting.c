#include "tests/support/evicting.h"

#include <pthread.h>
#include <stdlib.h>

#include <padstone/storer_impl.h>

struct evicting {
	ps_storer storer;
	evicting_fn leave;
	void *arg;
	pthread_mutex_t lock;
	unsigned calls, push_one_in;
};

/* One thread at a time; what is busy with something else goes on without. */
static void let_leave(ps_storer *s)
{
	struct evicting *e = (struct evicting *)s;
	if (pthread_mutex_trylock(&e->lock))
		return;
	int err = e->leave(e->arg, s->inner, e->calls++ % e->push_one_in == 0);
	if (err && err != PS_EBUSY && err != PS_EREADONLY)
		abort();
	pthread_mutex_unlock(&e->lock);
}

#define EVICTING(name, params, args)                                                                         \
	static int evicting_##name params                                                                    \
	{                                                                                                    \
		let_leave(s);                                                                                \
		return ps_forward_##name args;                                                               \
	}

EVICTING(put, (ps_storer * s, const void *data, size_t len, ps_id *id), (s, data, len, id))
EVICTING(get, (ps_storer * s, ps_id id, void *buf, size_t cap, size_t *len), (s, id, buf, cap, len))
EVICTING(read_at, (ps_storer * s, ps_id id, uint64_t off, void *buf, size_t len, size_t *got),
         (s, id, off, buf, len, got))
EVICTING(get_many, (ps_storer * s, size_t n, struct ps_get_many *reqs), (s, n, reqs))
EVICTING(view_at, (ps_storer * s, ps_id id, uint64_t off, size_t len, bool whole, struct ps_view *view),
         (s, id, off, len, whole, view))
EVICTING(view_release, (ps_storer * s, struct ps_view *view), (s, view))
EVICTING(replace, (ps_storer * s, ps_id id, const void *data, size_t len), (s, id, data, len))
EVICTING(write_at, (ps_storer * s, ps_id id, uint64_t off, const void *data, size_t len),
         (s, id, off, data, len))
EVICTING(resize, (ps_storer * s, ps_id id, uint64_t size), (s, id, size))
EVICTING(delete_object, (ps_storer * s, ps_id id), (s, id))
EVICTING(alloc_run, (ps_storer * s, uint64_t size, size_t count, ps_id *ids), (s, size, count, ids))
EVICTING(info, (ps_storer * s, ps_id id, struct ps_info *info), (s, id, info))
EVICTING(open_writer, (ps_storer * s, ps_id id, uint64_t size, ps_writer **w), (s, id, size, w))
EVICTING(open_reader, (ps_storer * s, ps_id id, ps_reader **r), (s, id, r))
EVICTING(batch_begin, (ps_storer * s, ps_batch **b), (s, b))
EVICTING(write_batched, (ps_storer * s, size_t n, const ps_id *ids, const void *data, const size_t *sizes),
         (s, n, ids, data, sizes))
EVICTING(sync, (ps_storer * s), (s))
EVICTING(check, (ps_storer * s, enum ps_check_depth depth, ps_finding_fn fn, void *arg), (s, depth, fn, arg))
EVICTING(compact, (ps_storer * s, uint64_t goal, ps_progress_fn fn, void *arg), (s, goal, fn, arg))
EVICTING(backup, (ps_storer * s, const char *path, ps_progress_fn fn, void *arg), (s, path, fn, arg))

static int evicting_close(ps_storer *s)
{
	struct evicting *e = (struct evicting *)s;
	int err = ps_close(s->inner);
	if (err == PS_EBUSY)
		return err;
	pthread_mutex_destroy(&e->lock);
	free(e);
	return err;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
static const struct ps_storer_ops evicting_ops = {
    .name = "evicting",
    PS_FORWARD_OPS.put = evicting_put,
    .get = evicting_get,
    .read_at = evicting_read_at,
    .get_many = evicting_get_many,
    .view_at = evicting_view_at,
    .view_release = evicting_view_release,
    .replace = evicting_replace,
    .write_at = evicting_write_at,
    .resize = evicting_resize,
    .delete_object = evicting_delete_object,
    .alloc_run = evicting_alloc_run,
    .info = evicting_info,
    .open_writer = evicting_open_writer,
    .open_reader = evicting_open_reader,
    .batch_begin = evicting_batch_begin,
    .write_batched = evicting_write_batched,
    .sync = evicting_sync,
    .check = evicting_check,
    .compact = evicting_compact,
    .backup = evicting_backup,
    .close = evicting_close,
};
#pragma GCC diagnostic pop

int evicting_open_by(ps_storer *inner, evicting_fn leave, void *arg, unsigned push_one_in, ps_storer **s)
{
	struct evicting *e = calloc(1, sizeof(*e));
	int err = e ? ps_storer_init(&e->storer, &evicting_ops, inner) : PS_ENOMEM;
	if (err) {
		free(e);
		return err;
	}
	e->leave = leave;
	e->arg = arg;
	e->push_one_in = push_one_in;
	pthread_mutex_init(&e->lock, NULL);
	*s = &e->storer;
	return PS_OK;
}

static int leave_to_copies(void *arg, ps_storer *inner, bool push)
{
	int err = push ? copies_push(arg, inner) : PS_OK;
	return err ? err : ps_backing_evict(inner, 0, NULL, NULL, NULL);
}

int evicting_open(ps_storer *inner, struct copies *copies, unsigned push_one_in, ps_storer **s)
{
	int err = copies_attach(copies, inner);
	return err ? err : evicting_open_by(inner, leave_to_copies, copies, push_one_in, s);
}
