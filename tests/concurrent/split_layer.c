/* A storer that is safe for several threads as long as they keep to different objects: what concerns one
 * object is done in pieces, and others get their turn in between. Objects have up to 16 bytes here. */
#include <assert.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <padstone/storer_impl.h>

#include "tests/concurrent/layers.h"

enum { OBJECT_MAX = 16, BATCH_MAX = 8 };

static void others_turn(void)
{
	static _Thread_local unsigned turn;
	/* Not always: then threads would only ever meet at these places. */
	turn = turn * 1103515245 + 12345;
	if (turn >> 16 & 1)
		sched_yield();
}

static int split_get(ps_storer *s, ps_id id, void *buf, size_t cap, size_t *len)
{
	unsigned char bytes[OBJECT_MAX];
	size_t got = 0, half;
	struct ps_info info;
	int err = ps_info(s->inner, id, &info);
	if (err)
		return err;
	half = (size_t)info.size / 2;
	err = ps_read_at(s->inner, id, 0, bytes, half, &got);
	others_turn();
	if (!err)
		err = ps_read_at(s->inner, id, half, bytes + half, OBJECT_MAX - half, &got);
	if (err)
		return err;
	*len = half + got;
	if (*len > cap)
		return PS_ERANGE;
	memcpy(buf, bytes, *len);
	return PS_OK;
}

static int split_get_many(ps_storer *s, size_t n, struct ps_get_many *reqs)
{
	for (size_t i = 0; i < n; i++) {
		reqs[i].len = 0;
		reqs[i].status = split_get(s, reqs[i].id, reqs[i].buf, reqs[i].cap, &reqs[i].len);
		others_turn();
	}
	return PS_OK;
}

static int split_replace(ps_storer *s, ps_id id, const void *data, size_t len)
{
	int err = ps_write_at(s->inner, id, 0, data, len / 2);
	others_turn();
	if (!err)
		err = ps_write_at(s->inner, id, len / 2, (const char *)data + len / 2, len - len / 2);
	return err ? err : ps_resize(s->inner, id, len);
}

static int split_write_at(ps_storer *s, ps_id id, uint64_t off, const void *data, size_t len)
{
	unsigned char bytes[OBJECT_MAX];
	size_t have;
	int err = ps_get(s->inner, id, bytes, sizeof(bytes), &have);
	if (err)
		return err;
	others_turn();
	memcpy(bytes + off, data, len);
	return ps_replace(s->inner, id, bytes, off + len > have ? (size_t)off + len : have);
}

static int split_delete(ps_storer *s, ps_id id)
{
	struct ps_info info;
	int err = ps_info(s->inner, id, &info);
	others_turn();
	if (err)
		return err;
	/* Whoever deletes second has been told that the object is there. */
	(void)!ps_delete(s->inner, id);
	return PS_OK;
}

/* ---- batches: looked at first, then done one by one ---- */

struct operation {
	ps_id id;
	enum { OPERATION_REPLACE, OPERATION_WRITE, OPERATION_DELETE } kind;
	uint64_t off;
	size_t len;
	unsigned char bytes[OBJECT_MAX];
};

struct split_batch {
	ps_batch batch;
	size_t count;
	struct operation operations[BATCH_MAX];
};
static_assert(sizeof(struct split_batch) <= PS_SESSION_SIZE, "a batch fits its place");

static struct split_batch *batch_of(ps_batch *b)
{
	return (struct split_batch *)(void *)b;
}

static int split_batch_begin(ps_storer *s, ps_batch **b)
{
	struct split_batch *batch = ps_session_new(s, PS_SESSION_BATCH);
	if (!batch)
		return PS_ENOMEM;
	*b = &batch->batch;
	return PS_OK;
}

static int note(ps_batch *b, struct operation operation, const void *data)
{
	struct split_batch *batch = batch_of(b);
	if (batch->count == BATCH_MAX)
		return PS_ENOMEM;
	if (operation.len > 0)
		memcpy(operation.bytes, data, operation.len);
	batch->operations[batch->count++] = operation;
	return PS_OK;
}

static int split_batch_replace(ps_batch *b, ps_id id, const void *data, size_t len)
{
	return note(b, (struct operation){.id = id, .kind = OPERATION_REPLACE, .len = len}, data);
}

static int split_batch_write_at(ps_batch *b, ps_id id, uint64_t off, const void *data, size_t len)
{
	return note(b, (struct operation){.id = id, .kind = OPERATION_WRITE, .off = off, .len = len}, data);
}

static int split_batch_delete(ps_batch *b, ps_id id)
{
	return note(b, (struct operation){.id = id, .kind = OPERATION_DELETE}, "");
}

static int split_batch_abort(ps_batch *b)
{
	ps_session_free(b);
	return PS_OK;
}

static int split_batch_commit(ps_batch *b, enum ps_durability durability)
{
	struct split_batch *batch = batch_of(b);
	ps_storer *s = b->session.s;
	struct ps_info info;
	int err = PS_OK;
	(void)durability;
	for (size_t i = 0; i < batch->count && !err; i++)
		err = ps_info(s->inner, batch->operations[i].id, &info);
	for (size_t i = 0; i < batch->count && !err; i++) {
		const struct operation *o = &batch->operations[i];
		others_turn();
		if (o->kind == OPERATION_REPLACE)
			err = split_replace(s, o->id, o->bytes, o->len);
		else if (o->kind == OPERATION_WRITE)
			err = split_write_at(s, o->id, o->off, o->bytes, o->len);
		else
			err = split_delete(s, o->id);
	}
	ps_session_free(b);
	return err;
}

static int split_close(ps_storer *s)
{
	int err = ps_close(s->inner);
	if (err != PS_EBUSY)
		free(s);
	return err;
}

static const struct ps_storer_ops split_ops = {
    PS_FORWARD_OPS.name = "split",
    .get = split_get,
    .get_many = split_get_many,
    .replace = split_replace,
    .write_at = split_write_at,
    .delete_object = split_delete,
    .batch_begin = split_batch_begin,
    .batch_put = ps_unsupported_batch_put,
    .batch_alloc = ps_unsupported_batch_alloc,
    .batch_replace = split_batch_replace,
    .batch_write_at = split_batch_write_at,
    .batch_delete = split_batch_delete,
    .batch_commit = split_batch_commit,
    .batch_abort = split_batch_abort,
    .close = split_close,
};

int split_layer_open(ps_storer *inner, ps_storer **s)
{
	ps_storer *split = calloc(1, sizeof(*split));
	int err = split ? ps_storer_init(split, &split_ops, inner) : PS_ENOMEM;
	if (err)
		free(split);
	else
		*s = split;
	return err;
}
