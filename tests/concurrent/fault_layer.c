/* A storer that refuses some of what it is asked to write. */
#include <stdatomic.h>
#include <stdlib.h>

#include <padstone/storer_impl.h>

#include "tests/concurrent/layers.h"

struct fault_layer {
	ps_storer base;
	atomic_uint every, calls;
};

static struct fault_layer *layer_of(ps_storer *s)
{
	return (struct fault_layer *)(void *)s;
}

static bool must_fail(ps_storer *s)
{
	unsigned every = atomic_load(&layer_of(s)->every);
	return every > 0 && atomic_fetch_add(&layer_of(s)->calls, 1) % every == every - 1;
}

#define FAULT_SLOTS(X)                                                                                       \
	X(put, (ps_storer * s, const void *data, size_t len, ps_id *id), (s, data, len, id))                 \
	X(get, (ps_storer * s, ps_id id, void *buf, size_t cap, size_t *len), (s, id, buf, cap, len))        \
	X(view_at, (ps_storer * s, ps_id id, uint64_t off, size_t len, bool whole, struct ps_view *view),    \
	  (s, id, off, len, whole, view))                                                                    \
	X(replace, (ps_storer * s, ps_id id, const void *data, size_t len), (s, id, data, len))              \
	X(write_at, (ps_storer * s, ps_id id, uint64_t off, const void *data, size_t len),                   \
	  (s, id, off, data, len))                                                                           \
	X(delete_object, (ps_storer * s, ps_id id), (s, id))                                                 \
	X(open_writer, (ps_storer * s, ps_id id, uint64_t size, ps_writer * *w), (s, id, size, w))           \
	X(open_reader, (ps_storer * s, ps_id id, ps_reader * *r), (s, id, r))                                \
	X(batch_begin, (ps_storer * s, ps_batch * *b), (s, b))                                               \
	X(write_batched, (ps_storer * s, size_t n, const ps_id *ids, const void *data, const size_t *sizes), \
	  (s, n, ids, data, sizes))                                                                          \
	X(get_many, (ps_storer * s, size_t n, struct ps_get_many * reqs), (s, n, reqs))

#define FAULT_FUNCTION(slot, params, args)                                                                   \
	static int fault_##slot params                                                                       \
	{                                                                                                    \
		return must_fail(s) ? PS_EIO : ps_forward_##slot args;                                       \
	}
FAULT_SLOTS(FAULT_FUNCTION)

static int fault_close(ps_storer *s)
{
	int err = ps_close(s->inner);
	if (err != PS_EBUSY)
		free(s);
	return err;
}

#define FAULT_MEMBER(slot, params, args) .slot = fault_##slot,
static const struct ps_storer_ops fault_ops = {
    PS_FORWARD_OPS FAULT_SLOTS(FAULT_MEMBER).name = "fault",
    .close = fault_close,
};

int fault_layer_open(ps_storer *inner, ps_storer **s)
{
	struct fault_layer *layer = calloc(1, sizeof(*layer));
	int err = layer ? ps_storer_init(&layer->base, &fault_ops, inner) : PS_ENOMEM;
	if (err)
		free(layer);
	else
		*s = &layer->base;
	return err;
}

void fault_layer_set(ps_storer *s, unsigned every)
{
	atomic_store(&layer_of(s)->every, every);
}
