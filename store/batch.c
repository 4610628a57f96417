/* Batches: operations are collected, one for each id, and committed at once.
 *
 * Contents from the inline limit up are written to their extents as they come, many in one request (staging.c); smaller ones are copied. Once there are many of
 * them, those of a page and more are written to extents, too, also the ones that were copied. write_at on an object that the batch does not replace is kept as it
 * is and applied at commit, to what the object is then. */
#include <sys/param.h>

#include "store/base_internal.h"

enum {
	ARENA_BYTES = 64 << 10,
	INLINE_WORTH = 64 << 10,
	PACK_BYTES = 512 << 10, /* small contents that are packed at once: so that classes fill whole frames */
	FIRST_COUNT = 16,
	FIRST_MOST = 1024,
	FIRST_SHARE = 256, /* of the budget */
	IDS_MOST = 32,
};

struct arena {
	struct arena *next;
	size_t used, size;
	uint8_t bytes[];
};

/* A part to write at commit. */
struct delta {
	struct delta *next;
	uint64_t off;
	size_t len;
	uint8_t bytes[];
};

/* What the batch knows of a change beside the change itself. */
struct op {
	struct delta *first, *last;
	bool live; /* deltas apply to what lives at commit */
};

struct base_batch {
	ps_batch batch;
	struct change *changes;
	struct op *ops;
	size_t count, size;
	uint32_t *index; /* hash of ids: positions + 1; `indexed` of them are in it */
	size_t index_size, indexed;
	struct arena *arena;
	uint64_t inline_bytes; /* that will ride in the log, or were packed */
	uint64_t inline_most;  /* with more of them it becomes large */
	bool large;            /* contents of a page and more do not ride */
	uint64_t small_bytes;  /* of small ones in changes from `packed` on */
	size_t packed;         /* changes below it had their chance to be packed */
	struct write_set writes; /* of all its changes */
	ps_id ids[IDS_MOST];     /* for its next puts; those below ids_used have one */
	size_t ids_taken, ids_used;
};
static_assert(sizeof(struct base_batch) <= PS_SESSION_SIZE, "batch fits a session");

static struct base_batch *batch_of(ps_batch *b)
{
	return (struct base_batch *)b;
}

static struct store *store_of_batch(const struct base_batch *b)
{
	return store_of(b->batch.session.s);
}

static uint64_t inline_most(const struct store *s)
{
	return MIN(MIN((uint64_t)log_commit_max(&s->log) / 2, s->budget / 16), (uint64_t)INLINE_WORTH);
}

int base_batch_begin(ps_storer *st, ps_batch **b)
{
	struct store *s = store_of(st);
	int err = store_writable(s);
	if (err)
		return err;
	struct base_batch *made = ps_session_new(st, PS_SESSION_BATCH);
	if (!made)
		return ps_fail(PS_ENOMEM, "%s: no memory for a batch", s->path);
	made->inline_most = inline_most(s);
	*b = &made->batch;
	return PS_OK;
}

static void *arena_alloc(struct base_batch *b, size_t bytes)
{
	struct ps_memory *m = &store_of_batch(b)->memory;
	bytes = (bytes + 15) & ~(size_t)15;
	if (!b->arena || b->arena->size - b->arena->used < bytes) {
		size_t size = MAX(bytes, (size_t)ARENA_BYTES);
		struct arena *a = ps_memory_alloc(m, sizeof(*a) + size);
		if (!a) {
			(void)ps_fail(PS_ENOMEM, "%s: no memory for a batch", store_of_batch(b)->path);
			return NULL;
		}
		*a = (struct arena){b->arena, 0, size};
		b->arena = a;
	}
	void *at = b->arena->bytes + b->arena->used;
	b->arena->used += bytes;
	return at;
}

/* ---- which change an id has ------------------------------------------------------------------------------------------ */

static size_t hash_id(ps_id id)
{
	return (size_t)(id * 0x9e3779b97f4a7c15U >> 20);
}

static void index_insert(struct base_batch *b, uint32_t position)
{
	size_t at = hash_id(b->changes[position].id) & (b->index_size - 1);
	while (b->index[at])
		at = (at + 1) & (b->index_size - 1);
	b->index[at] = position + 1;
}

/* Puts need no index; the first operation on an id that may be known makes it. */
static int index_all(struct base_batch *b)
{
	struct ps_memory *m = &store_of_batch(b)->memory;
	size_t size = b->index_size ? b->index_size : 64;
	while (size < b->size * 2)
		size *= 2;
	if (size != b->index_size) {
		uint32_t *index = ps_memory_zalloc(m, size * sizeof(*index));
		if (!index)
			return ps_fail(PS_ENOMEM, "%s: no memory for a batch", store_of_batch(b)->path);
		ps_memory_free(m, b->index, b->index_size * sizeof(*index));
		b->index = index;
		b->index_size = size;
		b->indexed = 0;
	}
	while (b->indexed < b->count)
		index_insert(b, (uint32_t)b->indexed++);
	return PS_OK;
}

static struct change *find(struct base_batch *b, ps_id id)
{
	for (size_t at = hash_id(id) & (b->index_size - 1); b->index[at]; at = (at + 1) & (b->index_size - 1)) {
		struct change *c = &b->changes[b->index[at] - 1];
		if (c->id == id)
			return c;
	}
	return NULL;
}

/* Loads have one batch like the other: growing step by step would copy each change once more. */
static size_t first_size(const struct store *s)
{
	uint64_t most = MIN(s->budget / FIRST_SHARE / sizeof(struct change), (uint64_t)FIRST_MOST);
	uint64_t last = atomic_load_explicit(&s->batch_count, memory_order_relaxed);
	return (size_t)MAX(MIN(last, most), (uint64_t)FIRST_COUNT);
}

static int grow(struct base_batch *b)
{
	struct store *s = store_of_batch(b);
	if (b->count < b->size)
		return PS_OK;
	size_t size = b->size ? b->size * 2 : first_size(s);
	if (size > UINT32_MAX / 2)
		return ps_fail(PS_ENOMEM, "%s: too many operations in a batch", s->path);
	/* Both or neither: the arrays are given back as `size` says. */
	struct op *ops = ps_memory_alloc(&s->memory, size * sizeof(*ops));
	struct change *changes =
		ops ? ps_memory_resize(&s->memory, b->changes, b->size * sizeof(*changes), size * sizeof(*changes)) : NULL;
	if (!changes) {
		if (ops)
			ps_memory_free(&s->memory, ops, size * sizeof(*ops));
		return ps_fail(PS_ENOMEM, "%s: no memory for a batch", s->path);
	}
	if (b->count > 0)
		memcpy(ops, b->ops, b->count * sizeof(*ops));
	ps_memory_free(&s->memory, b->ops, b->size * sizeof(*b->ops));
	b->changes = changes;
	b->ops = ops;
	b->size = size;
	return PS_OK;
}

static struct change *append(struct base_batch *b, enum change_kind kind, ps_id id)
{
	change_init_in(&b->changes[b->count], kind, id, &b->writes);
	b->ops[b->count] = (struct op){0};
	return &b->changes[b->count++];
}

static struct op *op_of(struct base_batch *b, const struct change *c)
{
	return &b->ops[c - b->changes];
}

/* ---- operations -------------------------------------------------------------------------------------------------------- */

/* Small contents that came since the last time go to frames of their own. */
static void pack(struct base_batch *b)
{
	pack_changes(store_of_batch(b), &b->writes, b->changes + b->packed, b->count - b->packed);
	b->packed = b->count;
	b->small_bytes = 0;
}

/* Contents of a page and more that were to ride in the log go to an extent. Where that fails they ride. */
static bool redirect(struct store *s, struct change *c)
{
	const struct change was = *c;
	if (c->nbytes < PAGE || c->placed || c->copy || entry_kind(&c->entry) != ENTRY_DATA)
		return true;
	c->direct_pages = true;
	if (change_contents(s, c, was.bytes, was.nbytes) == PS_OK)
		return true;
	change_undo(s, c);
	c->entry = was.entry;
	c->bytes = was.bytes;
	c->nbytes = was.nbytes;
	return false;
}

static bool is_to_be_large(const struct base_batch *b)
{
	return !b->large && b->inline_bytes > b->inline_most;
}

/* Many contents are not worth writing twice, to the log and to their places: neither what comes from here on, nor what came
 * before it was known that they are many. */
static void become_large(struct base_batch *b)
{
	bool goes_on = true;
	b->large = true;
	for (size_t i = 0; i < b->count && goes_on; i++)
		goes_on = redirect(store_of_batch(b), &b->changes[i]);
}

static int write_contents(struct base_batch *b, struct change *c, const void *data, size_t len)
{
	struct store *s = store_of_batch(b);
	budget_enter(s);
	if (is_to_be_large(b))
		become_large(b);
	c->direct_pages = b->large;
	int err = change_contents(s, c, data, len);
	/* Frames and buffers that this batch still writes from may be all that is in the way of more memory. */
	if (err == PS_ENOMEM) {
		(void)staging_wait(s, &b->writes);
		change_undo(s, c);
		err = change_contents(s, c, data, len);
	}
	budget_leave(s);
	return err;
}

/* What surely rides takes nothing of the budget, and is no call to be waited for. */
static bool rides(const struct base_batch *b, size_t len)
{
	return len < PAGE && len <= store_of_batch(b)->inline_max && !is_to_be_large(b);
}

static int set_contents(struct base_batch *b, struct change *c, const void *data, size_t len)
{
	struct store *s = store_of_batch(b);
	int err = rides(b, len) ? change_contents(s, c, data, len) : write_contents(b, c, data, len);
	if (err || c->bytes != data || !c->nbytes)
		return err;
	uint8_t *copy = arena_alloc(b, c->nbytes);
	if (!copy)
		return PS_ENOMEM;
	memcpy(copy, data, c->nbytes);
	b->inline_bytes += c->nbytes;
	c->bytes = copy;
	b->small_bytes += c->nbytes < PAGE ? c->nbytes : 0;
	if (b->small_bytes >= MIN((uint64_t)PACK_BYTES, s->budget / 32))
		pack(b);
	return PS_OK;
}

/* No more than it has changes: a batch of a few takes few that it does not need. */
static int take_ids(struct base_batch *b)
{
	size_t n = MAX(MIN(b->count, (size_t)IDS_MOST), (size_t)1);
	b->ids_taken = b->ids_used = 0;
	int err = store_take_ids(store_of_batch(b), b->ids, n, &b->ids_taken);
	if (err == PS_ENOMEM) {
		(void)staging_wait(store_of_batch(b), &b->writes);
		err = store_take_ids(store_of_batch(b), b->ids, n, &b->ids_taken);
	}
	return err;
}

static int new_change(struct base_batch *b, struct change **c, ps_id *made)
{
	int err = grow(b);
	if (!err && b->ids_used == b->ids_taken)
		err = take_ids(b);
	if (err)
		return err;
	*made = b->ids[b->ids_used++];
	*c = append(b, CHANGE_NEW, *made);
	return PS_OK;
}

/* The caller never heard of the id. */
static int drop_last(struct base_batch *b, int err)
{
	struct store *s = store_of_batch(b);
	struct change *c = &b->changes[--b->count];
	change_undo(s, c);
	change_done(s, c);
	store_return_ids(s, &c->id, 1);
	return err;
}

int base_batch_put(ps_batch *batch, const void *data, size_t len, ps_id *id)
{
	struct base_batch *b = batch_of(batch);
	struct change *c;
	ps_id made;
	int err = new_change(b, &c, &made);
	if (err)
		return err;
	err = set_contents(b, c, data, len);
	if (err)
		return drop_last(b, err);
	*id = made;
	return PS_OK;
}

int base_batch_alloc(ps_batch *batch, uint64_t size, ps_id *id)
{
	struct change *c;
	ps_id made;
	int err = new_change(batch_of(batch), &c, &made);
	if (err)
		return err;
	c->entry = entry_make(ENTRY_ZERO, 0, size, 0, 0, id_generation(made));
	*id = made;
	return PS_OK;
}

/* The id's change so far, or a new one; what it had is forgotten. */
static int reset_change(struct base_batch *b, ps_id id, struct change **c)
{
	struct store *s = store_of_batch(b);
	int err = grow(b);
	if (!err)
		err = index_all(b);
	if (err)
		return err;
	*c = find(b, id);
	if (!*c) {
		*c = append(b, CHANGE_SET, id);
		return index_all(b);
	}
	change_undo(s, *c);
	change_done(s, *c);
	enum change_kind was = (*c)->kind;
	change_init_in(*c, was == CHANGE_NEW || was == CHANGE_UNUSED ? CHANGE_NEW : CHANGE_SET, id,
	               &b->writes);
	*op_of(b, *c) = (struct op){0};
	return PS_OK;
}

int base_batch_replace(ps_batch *batch, ps_id id, const void *data, size_t len)
{
	struct base_batch *b = batch_of(batch);
	struct change *c;
	int err = reset_change(b, id, &c);
	return err ? err : set_contents(b, c, data, len);
}

int base_batch_delete(ps_batch *batch, ps_id id)
{
	struct base_batch *b = batch_of(batch);
	struct change *c;
	int err = reset_change(b, id, &c);
	if (err)
		return err;
	c->kind = c->kind == CHANGE_NEW ? CHANGE_UNUSED : CHANGE_DELETE;
	change_make_free(store_of_batch(b), c);
	return PS_OK;
}

static int add_delta(struct base_batch *b, struct op *op, uint64_t off, const void *data, size_t len)
{
	struct delta *d = arena_alloc(b, sizeof(*d) + len);
	if (!d)
		return PS_ENOMEM;
	*d = (struct delta){NULL, off, len};
	memcpy(d->bytes, data, len);
	if (op->last)
		op->last->next = d;
	else
		op->first = d;
	op->last = d;
	return PS_OK;
}

int base_batch_write_at(ps_batch *batch, ps_id id, uint64_t off, const void *data, size_t len)
{
	struct base_batch *b = batch_of(batch);
	struct store *s = store_of_batch(b);
	int err = grow(b);
	if (!err)
		err = index_all(b);
	if (err)
		return err;
	struct change *c = find(b, id);
	if (c && (c->kind == CHANGE_DELETE || c->kind == CHANGE_UNUSED))
		return not_found(s, id);
	if (c)
		change_unpack(s, c);
	if (c && !op_of(b, c)->live)
		return len ? change_write_over(s, c, off, data, len) : PS_OK;
	if (!c) {
		c = append(b, CHANGE_SET, id);
		op_of(b, c)->live = true;
		if ((err = index_all(b)) != PS_OK)
			return err;
	}
	return len ? add_delta(b, op_of(b, c), off, data, len) : PS_OK;
}

/* ---- the end --------------------------------------------------------------------------------------------------------------- */

static int start_from_live(struct store *s, struct change *c, const struct delta *first)
{
	space_hold(&s->space, id_slot(c->id));
	int err = object_entry(s, c->id, &c->expected);
	struct entry base = c->expected;
	c->has_expected = true;
	if (!err)
		err = change_range(s, c, &base, NULL, MAX(entry_size(&base), first ? first->off + first->len : 0),
				   first ? first->off : 0, first ? first->bytes : NULL, first ? first->len : 0);
	space_unhold(&s->space, id_slot(c->id));
	return err;
}

/* Deltas on the object as it lives now; done again if it is another by the time of the commit. */
static int resolve(struct base_batch *b, struct change *c)
{
	struct store *s = store_of_batch(b);
	const struct delta *d = op_of(b, c)->first;
	change_undo(s, c);
	change_done(s, c);
	change_init_in(c, CHANGE_SET, c->id, &b->writes);
	/* What the change has so far names places of the live object, which may move, leave or end meanwhile. */
	space_hold(&s->space, id_slot(c->id));
	int err = start_from_live(s, c, d);
	for (d = d ? d->next : NULL; d && !err; d = d->next)
		err = change_write_over(s, c, d->off, d->bytes, d->len);
	space_unhold(&s->space, id_slot(c->id));
	return err;
}

static int prepare_again(struct base_batch *b, struct change *c)
{
	struct store *s = store_of_batch(b);
	if (op_of(b, c)->live)
		return resolve(b, c);
	/* The live object is walked anew; what the batch itself wrote and wrote over stays given. */
	if (!c->has_expected)
		c->given_own = c->given.count;
	c->given.count = c->given_own;
	return change_expect(s, c);
}

static int commit(struct base_batch *b, enum ps_durability durability)
{
	struct store *s = store_of_batch(b);
	size_t which;
	int err = PS_OK;
	for (size_t i = 0; i < b->count && !err; i++) {
		if (b->ops[i].live)
			err = resolve(b, &b->changes[i]);
	}
	/* Nothing to commit: but "durable" speaks of all that was ordered before as well. */
	if (!err && !b->count && durability != PS_RELAXED && (durability == PS_DURABLE || s->options.durability != PS_RELAXED)) {
		err = log_sync(&s->log);
		if (!err)
			store_tell_durable(s);
		return err;
	}
	if (err || !b->count)
		return err;
	if (b->small_bytes >= pack_least(s))
		pack(b);
	while ((err = commit_changes(s, b->changes, b->count, durability, &which)) == COMMIT_CHANGED) {
		err = prepare_again(b, &b->changes[which]);
		if (err)
			break;
	}
	return err;
}

static bool is_committed(const struct base_batch *b)
{
	return b->count && b->changes[0].committed;
}

static int use_up_ids(struct base_batch *b)
{
	struct store *s = store_of_batch(b);
	size_t n = 0;
	ps_id *ids = ps_memory_alloc(&s->memory, (b->count + 1) * sizeof(*ids));
	if (!ids)
		return ps_fail(PS_ENOMEM, "%s: no memory to end a batch", s->path);
	for (size_t i = 0; i < b->count; i++) {
		if (b->changes[i].kind == CHANGE_NEW || b->changes[i].kind == CHANGE_UNUSED)
			ids[n++] = b->changes[i].id;
	}
	int err = store_use_up_ids(s, ids, n);
	ps_memory_free(&s->memory, ids, (b->count + 1) * sizeof(*ids));
	return err;
}

/* Ids that cannot be noted as used up stay out of use until the next open, which moves their generation on anyway only after
 * a crash: hence they are simply not given again while this store is open. */
static void end_batch(struct base_batch *b)
{
	struct store *s = store_of_batch(b);
	if (!is_committed(b)) {
		staging_abandon(s, &b->writes);
		for (size_t i = 0; i < b->count; i++)
			change_undo(s, &b->changes[i]);
		(void)use_up_ids(b);
	}
	for (size_t i = 0; i < b->count; i++)
		change_done(s, &b->changes[i]);
	store_return_ids(s, b->ids + b->ids_used, b->ids_taken - b->ids_used);
	atomic_store_explicit(&s->batch_count, (uint32_t)b->count, memory_order_relaxed);
	ps_memory_free(&s->memory, b->changes, b->size * sizeof(*b->changes));
	ps_memory_free(&s->memory, b->ops, b->size * sizeof(*b->ops));
	ps_memory_free(&s->memory, b->index, b->index_size * sizeof(*b->index));
	while (b->arena) {
		struct arena *a = b->arena;
		b->arena = a->next;
		ps_memory_free(&s->memory, a, sizeof(*a) + a->size);
	}
	ps_session_free(b);
}

int base_batch_commit(ps_batch *batch, enum ps_durability durability)
{
	struct base_batch *b = batch_of(batch);
	int err = store_writable(store_of_batch(b));
	budget_enter(store_of_batch(b));
	if (!err)
		err = commit(b, durability);
	budget_leave(store_of_batch(b));
	end_batch(b);
	return err;
}

int base_batch_abort(ps_batch *batch)
{
	end_batch(batch_of(batch));
	return PS_OK;
}
