/* The memory store's batches, readers and writers. */
#include <assert.h>
#include <string.h>

#include "base/fail.h"
#include "store/memory_internal.h"

struct memory_reader {
	ps_reader base;
	struct contents *contents; /* held: the version of the opening */
	uint64_t off;
};

struct memory_writer {
	ps_writer base;
	ps_id id;
	bool creates;
	uint64_t size; /* declared, or PS_SIZE_UNKNOWN */
	struct contents *contents;
};

struct memory_batch {
	ps_batch base;
	struct memory_change *changes;
	size_t count, capacity;
};

static_assert(sizeof(struct memory_reader) <= PS_SESSION_SIZE, "a reader fits a session");
static_assert(sizeof(struct memory_writer) <= PS_SESSION_SIZE, "a writer fits a session");
static_assert(sizeof(struct memory_batch) <= PS_SESSION_SIZE, "a batch fits a session");

static int reserve(struct memory_store *m, ps_id *id)
{
	pthread_mutex_lock(&m->lock);
	int err = memory_reserve_locked(m, id);
	pthread_mutex_unlock(&m->lock);
	return err;
}

static void unreserve(struct memory_store *m, ps_id id)
{
	pthread_mutex_lock(&m->lock);
	memory_unreserve_locked(m, id);
	pthread_mutex_unlock(&m->lock);
}

int memory_open_reader(ps_storer *s, ps_id id, ps_reader **r)
{
	struct memory_store *m = memory_of(s);
	struct contents *contents;
	int err = memory_hold(m, id, &contents);
	if (err)
		return err;
	struct memory_reader *reader = ps_session_new(s, PS_SESSION_READER);
	if (!reader) {
		contents_release(&m->pool, contents);
		return PS_ENOMEM;
	}
	reader->contents = contents;
	*r = &reader->base;
	return PS_OK;
}

int memory_reader_read(ps_reader *r, void *buf, size_t len, size_t *got)
{
	struct memory_reader *reader = (struct memory_reader *)r;
	size_t read = contents_read(reader->contents, reader->off, buf, len);
	reader->off += read;
	*got = read;
	return PS_OK;
}

int memory_reader_seek(ps_reader *r, uint64_t off)
{
	((struct memory_reader *)r)->off = off;
	return PS_OK;
}

int memory_reader_finish(ps_reader *r)
{
	contents_release(&memory_of(r->session.s)->pool, ((struct memory_reader *)r)->contents);
	ps_session_free(r);
	return PS_OK;
}

static int writer_begin(struct memory_store *m, struct memory_writer *writer, ps_id id)
{
	struct contents *old = NULL;
	writer->creates = id == PS_ID_NONE;
	writer->id = id;
	int err = writer->creates ? reserve(m, &writer->id) : memory_hold(m, id, &old);
	if (err)
		return err;
	contents_release(&m->pool, old);
	err = contents_zero(&m->pool, 0, &writer->contents);
	if (err && writer->creates)
		unreserve(m, writer->id);
	return err;
}

int memory_open_writer(ps_storer *s, ps_id id, uint64_t size, ps_writer **w)
{
	struct memory_writer *writer = ps_session_new(s, PS_SESSION_WRITER);
	if (!writer)
		return PS_ENOMEM;
	int err = writer_begin(memory_of(s), writer, id);
	if (err) {
		ps_session_free(writer);
		return err;
	}
	writer->size = size;
	*w = &writer->base;
	return PS_OK;
}

ps_id memory_writer_id(ps_writer *w)
{
	return ((struct memory_writer *)w)->id;
}

int memory_writer_write(ps_writer *w, const void *data, size_t len)
{
	struct memory_writer *writer = (struct memory_writer *)w;
	struct contents_pool *pool = &memory_of(w->session.s)->pool;
	uint64_t off = writer->contents->size;
	uint64_t limit = writer->size == PS_SIZE_UNKNOWN ? PS_SIZE_MAX : writer->size;
	if (len > limit - off)
		return ps_fail(PS_ERANGE, "memory store: %zu bytes at %llu are past the size of object %llx",
		               len, (unsigned long long)off, (unsigned long long)writer->id);
	struct contents *longer;
	int err = contents_write(pool, writer->contents, off, data, len, &longer);
	if (err)
		return err;
	contents_release(pool, writer->contents);
	writer->contents = longer;
	return PS_OK;
}

static void writer_end(struct memory_writer *writer, bool committed)
{
	struct memory_store *m = memory_of(writer->base.session.s);
	contents_release(&m->pool, writer->contents);
	if (writer->creates && !committed)
		unreserve(m, writer->id);
	ps_session_free(writer);
}

int memory_writer_finish(ps_writer *w)
{
	struct memory_writer *writer = (struct memory_writer *)w;
	if (writer->size != PS_SIZE_UNKNOWN && writer->contents->size != writer->size)
		return ps_fail(PS_ERANGE,
		               "memory store: object %llx was declared with %llu bytes and got %llu",
		               (unsigned long long)writer->id, (unsigned long long)writer->size,
		               (unsigned long long)writer->contents->size);
	struct memory_change change = {
	    .kind = writer->creates ? MEMORY_CREATE : MEMORY_REPLACE,
	    .id = writer->id,
	    .contents = writer->contents,
	};
	int err = memory_apply(memory_of(w->session.s), &change, 1);
	writer_end(writer, err == PS_OK);
	return err;
}

int memory_writer_abort(ps_writer *w)
{
	writer_end((struct memory_writer *)w, false);
	return PS_OK;
}

int memory_batch_begin(ps_storer *s, ps_batch **b)
{
	struct memory_batch *batch = ps_session_new(s, PS_SESSION_BATCH);
	if (!batch)
		return PS_ENOMEM;
	*b = &batch->base;
	return PS_OK;
}

/* Makes room for one more change, so that adding it cannot fail. */
static int batch_room(struct memory_batch *batch)
{
	struct memory_store *m = memory_of(batch->base.session.s);
	if (batch->count < batch->capacity)
		return PS_OK;
	size_t old = batch->capacity, larger = old ? 2 * old : 8;
	struct memory_change *changes = ps_memory_resize(&m->pool.memory, batch->changes,
	                                                 old * sizeof(*changes), larger * sizeof(*changes));
	if (!changes)
		return ps_fail(PS_ENOMEM, "memory store: no memory for a batch of %zu operations", larger);
	batch->changes = changes;
	batch->capacity = larger;
	return PS_OK;
}

/* Takes contents on success. */
static int batch_add(struct memory_batch *batch, enum memory_change_kind kind, ps_id id, uint64_t off,
                     struct contents *contents)
{
	int err = batch_room(batch);
	if (err)
		return err;
	batch->changes[batch->count] = (struct memory_change){
	    .kind = kind, .id = id, .off = off, .contents = contents, .order = batch->count};
	batch->count++;
	return PS_OK;
}

/* Takes contents, whatever the result. */
static int batch_create(ps_batch *b, struct contents *contents, ps_id *id)
{
	struct memory_store *m = memory_of(b->session.s);
	ps_id created = PS_ID_NONE;
	int err = reserve(m, &created);
	if (!err) {
		err = batch_add((struct memory_batch *)b, MEMORY_CREATE, created, 0, contents);
		if (err)
			unreserve(m, created);
	}
	if (err)
		contents_release(&m->pool, contents);
	else
		*id = created;
	return err;
}

int memory_batch_put(ps_batch *b, const void *data, size_t len, ps_id *id)
{
	struct contents *contents;
	int err = contents_copy(&memory_of(b->session.s)->pool, data, len, &contents);
	return err ? err : batch_create(b, contents, id);
}

int memory_batch_alloc(ps_batch *b, uint64_t size, ps_id *id)
{
	struct contents *contents;
	int err = contents_zero(&memory_of(b->session.s)->pool, size, &contents);
	return err ? err : batch_create(b, contents, id);
}

static int batch_change(ps_batch *b, enum memory_change_kind kind, ps_id id, uint64_t off, const void *data,
                        size_t len)
{
	struct contents_pool *pool = &memory_of(b->session.s)->pool;
	struct contents *contents;
	int err = contents_copy(pool, data, len, &contents);
	if (err)
		return err;
	err = batch_add((struct memory_batch *)b, kind, id, off, contents);
	if (err)
		contents_release(pool, contents);
	return err;
}

int memory_batch_replace(ps_batch *b, ps_id id, const void *data, size_t len)
{
	return batch_change(b, MEMORY_REPLACE, id, 0, data, len);
}

int memory_batch_write_at(ps_batch *b, ps_id id, uint64_t off, const void *data, size_t len)
{
	return batch_change(b, MEMORY_WRITE, id, off, data, len);
}

int memory_batch_delete(ps_batch *b, ps_id id)
{
	return batch_add((struct memory_batch *)b, MEMORY_DELETE, id, 0, NULL);
}

static void batch_end(struct memory_batch *batch, bool committed)
{
	struct memory_store *m = memory_of(batch->base.session.s);
	for (size_t i = 0; i < batch->count; i++) {
		contents_release(&m->pool, batch->changes[i].contents);
		if (batch->changes[i].kind == MEMORY_CREATE && !committed)
			unreserve(m, batch->changes[i].id);
	}
	ps_memory_free(&m->pool.memory, batch->changes, batch->capacity * sizeof(*batch->changes));
	ps_session_free(batch);
}

int memory_batch_commit(ps_batch *b, enum ps_durability durability)
{
	struct memory_batch *batch = (struct memory_batch *)b;
	(void)durability; /* nothing here outlives the process */
	int err = memory_apply(memory_of(b->session.s), batch->changes, batch->count);
	batch_end(batch, err == PS_OK);
	return err;
}

int memory_batch_abort(ps_batch *b)
{
	batch_end((struct memory_batch *)b, false);
	return PS_OK;
}
