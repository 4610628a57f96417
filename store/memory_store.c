/* The plainest Storer: a table of slots under one mutex, contents that are immutable and counted. */
#include "store/memory_store.h"

#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "store/memory_internal.h"

static uint32_t memory_caps(ps_storer *s)
{
	(void)s;
	return PS_CAP_THREADS | PS_CAP_RUNS;
}

static void count_read(struct memory_store *m)
{
	atomic_fetch_add_explicit(&m->reads, 1, memory_order_relaxed);
}

static void count_write(struct memory_store *m)
{
	atomic_fetch_add_explicit(&m->writes, 1, memory_order_relaxed);
}

/* Takes contents. */
static int create(struct memory_store *m, struct contents *contents, ps_id *id)
{
	struct memory_change change = {.kind = MEMORY_CREATE, .contents = contents};
	pthread_mutex_lock(&m->lock);
	int err = memory_reserve_locked(m, &change.id);
	pthread_mutex_unlock(&m->lock);
	if (!err) {
		err = memory_apply(m, &change, 1);
		if (!err)
			*id = change.id;
	}
	contents_release(&m->pool, contents);
	count_write(m);
	return err;
}

static int memory_put(ps_storer *s, const void *data, size_t len, ps_id *id)
{
	struct contents *contents;
	int err = contents_copy(&memory_of(s)->pool, data, len, &contents);
	return err ? err : create(memory_of(s), contents, id);
}

static int memory_alloc(ps_storer *s, uint64_t size, ps_id *id)
{
	struct contents *contents;
	int err = contents_zero(&memory_of(s)->pool, size, &contents);
	return err ? err : create(memory_of(s), contents, id);
}

static int memory_get(ps_storer *s, ps_id id, void *buf, size_t cap, size_t *len)
{
	struct memory_store *m = memory_of(s);
	struct contents *contents;
	int err = memory_hold(m, id, &contents);
	if (err)
		return err;
	count_read(m);
	*len = (size_t)contents->size;
	if (contents->size > cap)
		err = ps_fail(PS_ERANGE, "memory store: object %llx has %llu bytes, the buffer %zu",
		              (unsigned long long)id, (unsigned long long)contents->size, cap);
	else
		contents_read(contents, 0, buf, cap);
	contents_release(&m->pool, contents);
	return err;
}

static int memory_read_at(ps_storer *s, ps_id id, uint64_t off, void *buf, size_t len, size_t *got)
{
	struct memory_store *m = memory_of(s);
	struct contents *contents;
	int err = memory_hold(m, id, &contents);
	if (err)
		return err;
	count_read(m);
	*got = contents_read(contents, off, buf, len);
	contents_release(&m->pool, contents);
	return PS_OK;
}

/* Under the mutex from first to last: that makes it one point of the commit order. */
static int memory_get_many(ps_storer *s, size_t n, struct ps_get_many *reqs)
{
	struct memory_store *m = memory_of(s);
	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < n; i++) {
		struct ps_get_many *req = &reqs[i];
		struct memory_slot *slot = memory_find_locked(m, req->id);
		req->status = slot ? PS_OK : memory_missing(req->id);
		req->len = slot ? contents_read(slot->contents, req->offset, req->buf, req->cap) : 0;
	}
	pthread_mutex_unlock(&m->lock);
	count_read(m);
	return PS_OK;
}

/* A view is a copy: the simplest bytes that nothing changes. hidden: the allocation and its size. */
static int view_copy(struct memory_store *m, const struct contents *contents, uint64_t off, size_t len,
                     struct ps_view *view)
{
	enum { PAGE = 4096, SMALL_ALIGNMENT = 16 };
	size_t alignment = len >= PAGE ? PAGE : SMALL_ALIGNMENT;
	size_t size;
	unsigned char *memory = NULL;
	if (!__builtin_add_overflow(len, alignment, &size))
		memory = ps_memory_alloc(&m->pool.memory, size);
	if (!memory)
		return ps_fail(PS_ENOMEM, "memory store: no memory for a view of %zu bytes", len);
	unsigned char *data = memory + (-(uintptr_t)memory & (alignment - 1));
	contents_read(contents, off, data, len);
	view->data = data;
	view->len = len;
	view->hidden[0] = (uint64_t)(uintptr_t)memory;
	view->hidden[1] = size;
	return PS_OK;
}

static int memory_view_at(ps_storer *s, ps_id id, uint64_t off, size_t len, bool whole, struct ps_view *view)
{
	struct memory_store *m = memory_of(s);
	struct contents *contents;
	int err = memory_hold(m, id, &contents);
	if (err)
		return err;
	if (whole)
		len = (size_t)contents->size;
	if (off + len > contents->size)
		err = ps_fail(PS_ERANGE,
		              "memory store: object %llx has %llu bytes, a view to %llu was asked for",
		              (unsigned long long)id, (unsigned long long)contents->size,
		              (unsigned long long)(off + len));
	else
		err = view_copy(m, contents, off, len, view);
	contents_release(&m->pool, contents);
	if (err)
		return err;
	view->id = id;
	view->owner = s;
	atomic_fetch_add_explicit(&s->sessions, 1, memory_order_relaxed);
	count_read(m);
	return PS_OK;
}

static int memory_view_release(ps_storer *s, struct ps_view *view)
{
	ps_memory_free(&memory_of(s)->pool.memory, (void *)(uintptr_t)view->hidden[0],
	               (size_t)view->hidden[1]);
	atomic_fetch_sub_explicit(&s->sessions, 1, memory_order_release);
	return PS_OK;
}

/* Takes contents. */
static int change_one(struct memory_store *m, enum memory_change_kind kind, ps_id id, uint64_t off,
                      struct contents *contents)
{
	struct memory_change change = {.kind = kind, .id = id, .off = off, .contents = contents};
	int err = memory_apply(m, &change, 1);
	contents_release(&m->pool, contents);
	count_write(m);
	return err;
}

static int memory_replace(ps_storer *s, ps_id id, const void *data, size_t len)
{
	struct contents *contents;
	int err = contents_copy(&memory_of(s)->pool, data, len, &contents);
	return err ? err : change_one(memory_of(s), MEMORY_REPLACE, id, 0, contents);
}

static int memory_write_at(ps_storer *s, ps_id id, uint64_t off, const void *data, size_t len)
{
	struct contents *contents;
	int err = contents_copy(&memory_of(s)->pool, data, len, &contents);
	return err ? err : change_one(memory_of(s), MEMORY_WRITE, id, off, contents);
}

static int memory_delete(ps_storer *s, ps_id id)
{
	return change_one(memory_of(s), MEMORY_DELETE, id, 0, NULL);
}

static int memory_resize(ps_storer *s, ps_id id, uint64_t size)
{
	struct memory_store *m = memory_of(s);
	struct contents *resized = NULL, *old = NULL;
	pthread_mutex_lock(&m->lock);
	struct memory_slot *slot = memory_find_locked(m, id);
	int err = slot ? contents_resize(&m->pool, slot->contents, size, &resized) : memory_missing(id);
	if (!err) {
		old = slot->contents;
		slot->contents = resized;
		m->live_bytes += size - old->size;
		m->commits++;
	}
	pthread_mutex_unlock(&m->lock);
	contents_release(&m->pool, old);
	count_write(m);
	return err;
}

static int memory_prime(ps_storer *s, uint64_t size, ps_id *id)
{
	struct memory_store *m = memory_of(s);
	struct contents *contents;
	int err = contents_zero(&m->pool, size, &contents);
	if (err)
		return err;
	pthread_mutex_lock(&m->lock);
	struct memory_slot *slot = &m->slots[0];
	if (slot->state != MEMORY_LIVE) {
		slot->state = MEMORY_LIVE;
		slot->contents = contents_hold(contents);
		m->objects++;
		m->live_bytes += size;
		m->commits++;
	}
	pthread_mutex_unlock(&m->lock);
	contents_release(&m->pool, contents);
	if (id)
		*id = PS_ID_PRIME;
	return PS_OK;
}

/* Reserves all ids or none; being adjacent means nothing in memory. */
static int reserve_run_locked(struct memory_store *m, struct memory_change *changes, size_t count)
{
	int err = PS_OK;
	size_t done = 0;
	for (; done < count && !err; done++)
		err = memory_reserve_locked(m, &changes[done].id);
	if (!err)
		return PS_OK;
	for (done--; done-- > 0;)
		memory_unreserve_locked(m, changes[done].id);
	return err;
}

/* All objects of the run share the same zeros until they are written. */
static int create_run(struct memory_store *m, struct memory_change *changes, uint64_t size, size_t count,
                      ps_id *ids)
{
	struct contents *zeros;
	int err = contents_zero(&m->pool, size, &zeros);
	if (err)
		return err;
	for (size_t i = 0; i < count; i++)
		changes[i] = (struct memory_change){.kind = MEMORY_CREATE, .contents = zeros, .order = i};
	pthread_mutex_lock(&m->lock);
	err = reserve_run_locked(m, changes, count);
	pthread_mutex_unlock(&m->lock);
	/* Creating only what was reserved needs no further memory and cannot fail. */
	if (!err)
		err = memory_apply(m, changes, count);
	for (size_t i = 0; i < count && !err; i++)
		ids[changes[i].order] = changes[i].id;
	contents_release(&m->pool, zeros);
	return err;
}

static int memory_alloc_run(ps_storer *s, uint64_t size, size_t count, ps_id *ids)
{
	struct memory_store *m = memory_of(s);
	struct memory_change *changes = NULL;
	size_t bytes;
	if (!__builtin_mul_overflow(count, sizeof(*changes), &bytes))
		changes = ps_memory_alloc(&m->pool.memory, bytes);
	if (!changes)
		return ps_fail(PS_ENOMEM, "memory store: no memory for a run of %zu objects", count);
	int err = create_run(m, changes, size, count, ids);
	ps_memory_free(&m->pool.memory, changes, bytes);
	count_write(m);
	return err;
}

static int memory_info(ps_storer *s, ps_id id, struct ps_info *info)
{
	struct memory_store *m = memory_of(s);
	struct contents *contents;
	int err = memory_hold(m, id, &contents);
	if (err)
		return err;
	*info = (struct ps_info){
	    .id = id,
	    .size = contents->size,
	    .allocated = contents_allocated(contents),
	    .generation = (uint32_t)(id & MEMORY_GENERATION_MAX),
	};
	contents_release(&m->pool, contents);
	return PS_OK;
}

static int fill_changes(struct memory_store *m, struct memory_change *changes, size_t n, const ps_id *ids,
                        const void *data, const size_t *sizes)
{
	const unsigned char *from = data;
	for (size_t i = 0; i < n; i++) {
		changes[i] = (struct memory_change){.kind = MEMORY_REPLACE, .id = ids[i], .order = i};
		int err = contents_copy(&m->pool, from, sizes[i], &changes[i].contents);
		if (err)
			return err;
		/* data may be NULL where all sizes are 0. */
		if (sizes[i])
			from += sizes[i];
	}
	return PS_OK;
}

static int compare_ids(const void *left, const void *right)
{
	ps_id a = *(const ps_id *)left, b = *(const ps_id *)right;
	return (a > b) - (a < b);
}

static int refuse_duplicates(struct memory_store *m, size_t n, const ps_id *ids)
{
	ps_id *sorted = ps_memory_alloc(&m->pool.memory, n * sizeof(*sorted));
	if (!sorted)
		return ps_fail(PS_ENOMEM, "memory store: no memory to sort %zu ids", n);
	memcpy(sorted, ids, n * sizeof(*sorted));
	qsort(sorted, n, sizeof(*sorted), compare_ids);
	ps_id twice = PS_ID_NONE;
	for (size_t i = 1; i < n; i++)
		if (sorted[i] == sorted[i - 1])
			twice = sorted[i];
	ps_memory_free(&m->pool.memory, sorted, n * sizeof(*sorted));
	if (twice != PS_ID_NONE)
		return ps_fail(PS_EINVAL, "ps_write_batched: object %llx is named twice",
		               (unsigned long long)twice);
	return PS_OK;
}

static int memory_write_batched(ps_storer *s, size_t n, const ps_id *ids, const void *data,
                                const size_t *sizes)
{
	struct memory_store *m = memory_of(s);
	int err = refuse_duplicates(m, n, ids);
	if (err)
		return err;
	struct memory_change *changes = ps_memory_zalloc(&m->pool.memory, n * sizeof(*changes));
	if (!changes)
		return ps_fail(PS_ENOMEM, "memory store: no memory for %zu writes", n);
	err = fill_changes(m, changes, n, ids, data, sizes);
	if (!err)
		err = memory_apply(m, changes, n);
	for (size_t i = 0; i < n; i++)
		contents_release(&m->pool, changes[i].contents);
	ps_memory_free(&m->pool.memory, changes, n * sizeof(*changes));
	count_write(m);
	return err;
}

/* The first live object from slot `number` on, with an id of at least `from`; PS_ID_NONE if there is none. */
static ps_id next_object(struct memory_store *m, uint64_t number, ps_id from)
{
	ps_id found = PS_ID_NONE;
	pthread_mutex_lock(&m->lock);
	for (; number < m->slot_count && found == PS_ID_NONE; number++) {
		ps_id id = number << MEMORY_SLOT_SHIFT | m->slots[number].generation;
		if (m->slots[number].state == MEMORY_LIVE && id >= from)
			found = id;
	}
	pthread_mutex_unlock(&m->lock);
	return found;
}

static int memory_each(ps_storer *s, ps_id from, ps_each_fn fn, void *arg)
{
	struct memory_store *m = memory_of(s);
	uint64_t number = from >> MEMORY_SLOT_SHIFT;
	for (;;) {
		ps_id id = next_object(m, number, from);
		if (id == PS_ID_NONE)
			return PS_OK;
		if (fn(arg, id))
			return ps_fail(PS_ECANCELED, "ps_each: ended by its callback at object %llx",
			               (unsigned long long)id);
		number = (id >> MEMORY_SLOT_SHIFT) + 1;
	}
}

static int memory_sync(ps_storer *s)
{
	(void)s;
	return PS_OK;
}

static int memory_stats(ps_storer *s, struct ps_stats *stats)
{
	struct memory_store *m = memory_of(s);
	pthread_mutex_lock(&m->lock);
	*stats = (struct ps_stats){
	    .objects = m->objects,
	    .live_bytes = m->live_bytes,
	    .memory_budget = m->pool.budget,
	    .memory_used = atomic_load_explicit(&m->pool.memory.used, memory_order_relaxed),
	    .commits = m->commits,
	    .last_commit = m->commits,
	    .reads = atomic_load_explicit(&m->reads, memory_order_relaxed),
	    .writes = atomic_load_explicit(&m->writes, memory_order_relaxed),
	    .io = "memory",
	};
	pthread_mutex_unlock(&m->lock);
	return PS_OK;
}

/* There is no medium that could have changed the bytes. */
static int memory_check(ps_storer *s, enum ps_check_depth depth, ps_finding_fn fn, void *arg)
{
	(void)s, (void)depth, (void)fn, (void)arg;
	return PS_OK;
}

static void memory_free(struct memory_store *m)
{
	for (size_t i = 0; i < m->slot_count; i++)
		contents_release(&m->pool, m->slots[i].contents);
	ps_memory_free(&m->pool.memory, m->slots, m->slot_capacity * sizeof(*m->slots));
	ps_memory_done(&m->pool.memory);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static int memory_close(ps_storer *s)
{
	memory_free(memory_of(s));
	return PS_OK;
}

/* Nothing here is I/O. */
static int memory_use_tokens(ps_storer *s, struct ps_tokens *tokens)
{
	(void)s, (void)tokens;
	return PS_OK;
}

static const struct ps_storer_ops memory_ops = {
    .name = "memory",
    .caps = memory_caps,
    .writer_id = memory_writer_id,
    .put = memory_put,
    .get = memory_get,
    .read_at = memory_read_at,
    .get_many = memory_get_many,
    .view_at = memory_view_at,
    .view_release = memory_view_release,
    .replace = memory_replace,
    .write_at = memory_write_at,
    .resize = memory_resize,
    .delete_object = memory_delete,
    .alloc = memory_alloc,
    .prime = memory_prime,
    .alloc_run = memory_alloc_run,
    .info = memory_info,
    .open_writer = memory_open_writer,
    .writer_write = memory_writer_write,
    .writer_finish = memory_writer_finish,
    .writer_abort = memory_writer_abort,
    .open_reader = memory_open_reader,
    .reader_read = memory_reader_read,
    .reader_seek = memory_reader_seek,
    .reader_finish = memory_reader_finish,
    .batch_begin = memory_batch_begin,
    .batch_put = memory_batch_put,
    .batch_replace = memory_batch_replace,
    .batch_delete = memory_batch_delete,
    .batch_write_at = memory_batch_write_at,
    .batch_alloc = memory_batch_alloc,
    .batch_commit = memory_batch_commit,
    .batch_abort = memory_batch_abort,
    .write_batched = memory_write_batched,
    .each = memory_each,
    .sync = memory_sync,
    .stats = memory_stats,
    .check = memory_check,
    .compact = ps_unsupported_compact,
    .backup = ps_unsupported_backup,
    .use_tokens = memory_use_tokens,
    .use_placement = ps_unsupported_use_placement,
    .each_space = ps_unsupported_each_space,
    .route_figures = ps_unsupported_route_figures,
    .cut_store = ps_unsupported_cut_store,
    .close = memory_close,
};

/* Slot 0 is the prime object's: its generation is given out, so that it is found as soon as it is live. */
static int reserve_prime(struct memory_store *m)
{
	ps_id id;
	pthread_mutex_lock(&m->lock);
	int err = memory_reserve_locked(m, &id);
	pthread_mutex_unlock(&m->lock);
	return err;
}

int ps_memory_open(const struct ps_memory_options *opts, ps_storer **s)
{
	if (!s || (opts && opts->size != sizeof(*opts)))
		return ps_fail(PS_EINVAL,
		               "ps_memory_open: no place for the store, or options of an unknown size");
	struct memory_store *m = calloc(1, sizeof(*m));
	if (!m)
		return ps_fail(PS_ENOMEM, "ps_memory_open: no memory");
	ps_memory_init(&m->pool.memory, NULL);
	m->pool.budget = opts ? opts->memory_budget : 0;
	pthread_mutex_init(&m->lock, NULL);
	int err = reserve_prime(m);
	if (!err)
		err = ps_storer_init(&m->base, &memory_ops, NULL);
	if (err) {
		memory_free(m);
		return err;
	}
	*s = &m->base;
	return PS_OK;
}
