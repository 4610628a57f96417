/* Calls that lock several objects: batches at their commit, ps_write_batched and ps_get_many. Ids are locked
 * in ascending order, each once, within one bound of time for all of them. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "concurrent/concurrent_internal.h"

/* The locks of one call; a few need no memory. */
enum { LOCKS_FEW = 8 };
struct lock_set {
	size_t count, room;
	ps_id *ids;
	struct lock_hold *holds;
	ps_id few_ids[LOCKS_FEW];
	struct lock_hold few_holds[LOCKS_FEW];
};

static int compare_ids(const void *left, const void *right)
{
	ps_id a = *(const ps_id *)left, b = *(const ps_id *)right;
	return (a > b) - (a < b);
}

/* Sorted, each once; the new count. */
static size_t sort_unique(ps_id *ids, size_t n)
{
	size_t kept = 0;
	qsort(ids, n, sizeof(*ids), compare_ids);
	for (size_t i = 0; i < n; i++) {
		if (kept == 0 || ids[kept - 1] != ids[i])
			ids[kept++] = ids[i];
	}
	return kept;
}

static int set_room(struct concurrent *c, struct lock_set *set, size_t n)
{
	set->room = n;
	set->ids = set->few_ids;
	set->holds = set->few_holds;
	if (n <= LOCKS_FEW)
		return PS_OK;
	set->ids = NULL;
	set->holds = NULL;
	if (n <= SIZE_MAX / sizeof(*set->holds)) {
		set->ids = ps_memory_alloc(&c->memory, n * sizeof(*set->ids));
		set->holds = ps_memory_alloc(&c->memory, n * sizeof(*set->holds));
	}
	if (set->ids && set->holds)
		return PS_OK;
	ps_memory_free(&c->memory, set->ids, n * sizeof(*set->ids));
	ps_memory_free(&c->memory, set->holds, n * sizeof(*set->holds));
	return ps_fail(PS_ENOMEM, "no memory to lock %zu objects", n);
}

static void set_done(struct concurrent *c, struct lock_set *set)
{
	if (set->room <= LOCKS_FEW)
		return;
	ps_memory_free(&c->memory, set->ids, set->room * sizeof(*set->ids));
	ps_memory_free(&c->memory, set->holds, set->room * sizeof(*set->holds));
}

/* Locks what stands in set->ids. On failure nothing is locked, and the set is done. */
static int set_lock(struct concurrent *c, struct lock_set *set, enum lock_mode mode)
{
	struct lock_wait wait = concurrent_wait(c);
	set->count = sort_unique(set->ids, set->room);
	int err = locks_acquire_all(&c->locks, set->holds, set->count, set->ids, mode, &wait);
	if (err)
		set_done(c, set);
	return err;
}

static void set_unlock(struct concurrent *c, struct lock_set *set)
{
	locks_release_all(&c->locks, set->holds, set->count);
	set_done(c, set);
}

int concurrent_get_many(ps_storer *s, size_t n, struct ps_get_many *reqs)
{
	struct concurrent *c = concurrent_of(s);
	struct lock_set set;
	int err = set_room(c, &set, n);
	if (err)
		return err;
	for (size_t i = 0; i < n; i++)
		set.ids[i] = reqs[i].id;
	err = set_lock(c, &set, LOCK_COPY);
	if (err)
		return err;
	err = INNER(c, ps_get_many(s->inner, n, reqs));
	set_unlock(c, &set);
	return err;
}

int concurrent_write_batched(ps_storer *s, size_t n, const ps_id *ids, const void *data, const size_t *sizes)
{
	struct concurrent *c = concurrent_of(s);
	struct lock_set set;
	int err = set_room(c, &set, n);
	if (err)
		return err;
	memcpy(set.ids, ids, n * sizeof(*ids));
	err = set_lock(c, &set, LOCK_EXCLUSIVE);
	if (err)
		return err;
	err = INNER(c, ps_write_batched(s->inner, n, ids, data, sizes));
	set_unlock(c, &set);
	return err;
}

/* ---- batches ---- */

struct concurrent_batch {
	ps_batch batch;
	ps_batch *inner;
	ps_id *ids; /* that it names, in the order of the calls */
	size_t count, size;
};
static_assert(sizeof(struct concurrent_batch) <= PS_SESSION_SIZE, "a batch fits its place");

static struct concurrent_batch *batch_of(ps_batch *b)
{
	return (struct concurrent_batch *)(void *)b;
}

static struct concurrent *store_of_batch(const ps_batch *b)
{
	return concurrent_of(b->session.s);
}

static void end_batch(struct concurrent *c, struct concurrent_batch *batch)
{
	ps_memory_free(&c->memory, batch->ids, batch->size * sizeof(*batch->ids));
	ps_session_free(batch);
}

int concurrent_batch_begin(ps_storer *s, ps_batch **b)
{
	struct concurrent *c = concurrent_of(s);
	struct concurrent_batch *batch = ps_session_new(s, PS_SESSION_BATCH);
	if (!batch)
		return PS_ENOMEM;
	int err = INNER(c, ps_batch_begin(s->inner, &batch->inner));
	if (err) {
		ps_session_free(batch);
		return err;
	}
	*b = &batch->batch;
	return PS_OK;
}

/* Room for one more id, so that a call that the inner batch has taken cannot fail to be noted. */
static int make_room(struct concurrent *c, struct concurrent_batch *batch)
{
	enum { FIRST = 16 };
	if (batch->count < batch->size)
		return PS_OK;
	size_t size = batch->size ? 2 * batch->size : FIRST;
	ps_id *grown =
	    ps_memory_resize(&c->memory, batch->ids, batch->size * sizeof(*grown), size * sizeof(*grown));
	if (!grown)
		return ps_fail(PS_ENOMEM, "batch: no memory for %zu ids", size);
	batch->ids = grown;
	batch->size = size;
	return PS_OK;
}

/* One call of the inner batch on an object that it names. */
#define NAMING(b, object, call)                                                                              \
	do {                                                                                                 \
		struct concurrent *c_ = store_of_batch(b);                                                   \
		struct concurrent_batch *batch = batch_of(b);                                                \
		int err_ = make_room(c_, batch);                                                             \
		if (!err_)                                                                                   \
			err_ = INNER(c_, call);                                                              \
		if (!err_)                                                                                   \
			batch->ids[batch->count++] = (object);                                               \
		return err_;                                                                                 \
	} while (0)

int concurrent_batch_put(ps_batch *b, const void *data, size_t len, ps_id *id)
{
	return INNER(store_of_batch(b), ps_batch_put(batch_of(b)->inner, data, len, id));
}

int concurrent_batch_alloc(ps_batch *b, uint64_t size, ps_id *id)
{
	return INNER(store_of_batch(b), ps_batch_alloc(batch_of(b)->inner, size, id));
}

int concurrent_batch_replace(ps_batch *b, ps_id id, const void *data, size_t len)
{
	NAMING(b, id, ps_batch_replace(batch->inner, id, data, len));
}

int concurrent_batch_delete(ps_batch *b, ps_id id)
{
	NAMING(b, id, ps_batch_delete(batch->inner, id));
}

int concurrent_batch_write_at(ps_batch *b, ps_id id, uint64_t off, const void *data, size_t len)
{
	NAMING(b, id, ps_batch_write_at(batch->inner, id, off, data, len));
}

int concurrent_batch_abort(ps_batch *b)
{
	struct concurrent *c = store_of_batch(b);
	int err = INNER(c, ps_batch_abort(batch_of(b)->inner));
	end_batch(c, batch_of(b));
	return err;
}

/* What could not be locked has changed nothing; the session ends all the same. */
static int drop_batch(ps_batch *b, int err)
{
	char sentence[512];
	strncpy(sentence, ps_last_error_message(), sizeof(sentence) - 1);
	sentence[sizeof(sentence) - 1] = 0;
	(void)concurrent_batch_abort(b);
	return ps_fail(err, "%s", sentence);
}

int concurrent_batch_commit(ps_batch *b, enum ps_durability durability)
{
	struct concurrent *c = store_of_batch(b);
	struct concurrent_batch *batch = batch_of(b);
	struct lock_set set;
	size_t named = batch->count ? sort_unique(batch->ids, batch->count) : 0;
	int err = set_room(c, &set, named);
	if (err)
		return drop_batch(b, err);
	if (named)
		memcpy(set.ids, batch->ids, named * sizeof(*set.ids));
	err = set_lock(c, &set, LOCK_EXCLUSIVE);
	if (err)
		return drop_batch(b, err);
	err = INNER(c, ps_batch_commit(batch->inner, durability));
	set_unlock(c, &set);
	end_batch(c, batch);
	return err;
}
