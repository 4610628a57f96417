#include "multistore/state_view.h"

#include <stdlib.h>

#include "base/fail.h"
#include "store/storer_impl.h"

/* A refusal has a slot's parameters and needs none of them. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

static int refuse(void)
{
	return ps_fail(PS_EREADONLY, "a pushed state is open to be read: a clone of it can be changed");
}

/* X(slot, its parameters): all that changes a store. Batches and writers never begin. */
#define CHANGES(X)                                                                                           \
	X(put, (ps_storer * s, const void *data, size_t len, ps_id *id))                                     \
	X(replace, (ps_storer * s, ps_id id, const void *data, size_t len))                                  \
	X(write_at, (ps_storer * s, ps_id id, uint64_t off, const void *data, size_t len))                   \
	X(resize, (ps_storer * s, ps_id id, uint64_t size))                                                  \
	X(delete_object, (ps_storer * s, ps_id id))                                                          \
	X(alloc, (ps_storer * s, uint64_t size, ps_id * id))                                                 \
	X(prime, (ps_storer * s, uint64_t size, ps_id * id))                                                 \
	X(alloc_run, (ps_storer * s, uint64_t size, size_t count, ps_id * ids))                              \
	X(open_writer, (ps_storer * s, ps_id id, uint64_t size, ps_writer * *w))                             \
	X(batch_begin, (ps_storer * s, ps_batch * *b))                                                       \
	X(write_batched, (ps_storer * s, size_t n, const ps_id *ids, const void *data, const size_t *sizes)) \
	X(compact, (ps_storer * s, uint64_t goal, ps_progress_fn fn, void *arg))
#define REFUSAL(slot, parameters)                                                                            \
	static int refuse_##slot parameters                                                                  \
	{                                                                                                    \
		return refuse();                                                                             \
	}
#define MEMBER(slot, parameters) .slot = refuse_##slot,
CHANGES(REFUSAL)

static uint32_t view_caps(ps_storer *s)
{
	return ps_caps(s->inner) | PS_CAP_READONLY;
}

static int view_stats(ps_storer *s, struct ps_stats *stats)
{
	int err = ps_stats(s->inner, stats);
	if (!err)
		stats->readonly = 1;
	return err;
}

static int view_close(ps_storer *s)
{
	int err = ps_close(s->inner);
	if (err != PS_EBUSY)
		free(s);
	return err;
}

static const struct ps_storer_ops view_ops = {
    PS_FORWARD_OPS CHANGES(MEMBER).name = "state",
    .caps = view_caps,
    .stats = view_stats,
    .close = view_close,
};

int ps_state_view_open(ps_storer *inner, ps_storer **s)
{
	/* Not counted memory: it lives as long as the handle. */
	ps_storer *view = calloc(1, sizeof(*view));
	if (!view)
		return ps_fail(PS_ENOMEM, "no memory for a state that is open to be read");
	int err = ps_storer_init(view, &view_ops, inner);
	if (err)
		free(view);
	else
		*s = view;
	return err;
}
