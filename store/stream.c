/* Streams: writers and readers of objects that need not fit into memory. */
#include <sys/param.h>

#include "store/base_internal.h"

struct base_writer {
	ps_writer writer;
	ps_id id;
	bool is_new;
	uint64_t size;  /* as given, or PS_SIZE_UNKNOWN */
	uint64_t total; /* taken so far */
	uint8_t *buffer;
	size_t room, fill;
	uint64_t next_chunk;
	struct change change;
	struct map_writer map;
	int failed;
};
static_assert(sizeof(struct base_writer) <= PS_SESSION_SIZE, "writer fits a session");

struct base_reader {
	ps_reader reader;
	ps_id id;
	struct entry entry;
	uint64_t at;
	uint64_t next; /* behind what was read last: who goes on from there reads on */
};
static_assert(sizeof(struct base_reader) <= PS_SESSION_SIZE, "reader fits a session");

static struct base_writer *writer_of(ps_writer *w)
{
	return (struct base_writer *)w;
}

static struct store *store_of_writer(const struct base_writer *w)
{
	return store_of(w->writer.session.s);
}

static size_t buffer_room(const struct store *s, uint64_t size)
{
	return (size_t)(MIN(staging_bytes(s), MAX(size, (uint64_t)CHUNK)) & ~(uint64_t)(CHUNK - 1));
}

static int writer_setup(struct store *s, struct base_writer *w, ps_id id)
{
	struct entry e;
	w->room = buffer_room(s, w->size);
	w->buffer = ps_memory_alloc(&s->memory, w->room);
	if (!w->buffer)
		return ps_fail(PS_ENOMEM, "%s: no memory for a writer", s->path);
	w->is_new = id == PS_ID_NONE;
	w->id = id;
	int err = w->is_new ? store_take_id(s, &w->id) : object_entry(s, id, &e);
	if (err) {
		ps_memory_free(&s->memory, w->buffer, w->room);
		return err;
	}
	change_init(&w->change, w->is_new ? CHANGE_NEW : CHANGE_SET, w->id);
	w->change.stream = true;
	map_writer_init(&w->map, s, &w->change, NULL);
	return PS_OK;
}

int base_open_writer(ps_storer *st, ps_id id, uint64_t size, ps_writer **out)
{
	struct store *s = store_of(st);
	int err = store_writable(s);
	if (err)
		return err;
	struct base_writer *w = ps_session_new(st, PS_SESSION_WRITER);
	if (!w)
		return ps_fail(PS_ENOMEM, "%s: no memory for a writer", s->path);
	w->size = size;
	err = writer_setup(s, w, id);
	if (err)
		ps_session_free(w);
	else
		*out = &w->writer;
	return err;
}

ps_id base_writer_id(ps_writer *w)
{
	return writer_of(w)->id;
}

static int flush_buffer(struct base_writer *w)
{
	int err = map_write_chunks(&w->map, w->next_chunk, w->buffer, w->fill);
	w->next_chunk += (w->fill + CHUNK - 1) / CHUNK;
	w->fill = 0;
	return err;
}

int base_writer_write(ps_writer *writer, const void *data, size_t len)
{
	struct base_writer *w = writer_of(writer);
	const uint8_t *from = data;
	if (w->failed)
		return ps_fail(w->failed, "%s: an earlier write of this stream failed", store_of_writer(w)->path);
	if ((w->size != PS_SIZE_UNKNOWN && len > w->size - w->total) || len > PS_SIZE_MAX - w->total)
		return ps_fail(PS_ERANGE, "%s: object 0x%llx: %llu bytes written and %zu more are over the size given",
			       store_of_writer(w)->path, (unsigned long long)w->id, (unsigned long long)w->total, len);
	while (len && !w->failed) {
		size_t step = MIN(len, w->room - w->fill);
		memcpy(w->buffer + w->fill, from, step);
		w->fill += step;
		w->total += step;
		from += step;
		len -= step;
		/* A full buffer waits: an object that ends here may be a small one. */
		if (len && w->fill == w->room)
			w->failed = flush_buffer(w);
	}
	return w->failed;
}

static void end_writer(struct base_writer *w)
{
	struct store *s = store_of_writer(w);
	bool committed = w->change.committed;
	if (!committed)
		change_undo(s, &w->change);
	map_writer_done(&w->map);
	change_done(s, &w->change);
	if (!committed && w->is_new)
		(void)store_use_up_ids(s, &w->id, 1);
	ps_memory_free(&s->memory, w->buffer, w->room);
	ps_session_free(w);
}

static int finish_contents(struct base_writer *w)
{
	struct store *s = store_of_writer(w);
	if (w->failed)
		return w->failed;
	if (!w->next_chunk && w->total <= CHUNK)
		return change_contents(s, &w->change, w->buffer, w->total);
	int err = flush_buffer(w);
	return err ? err : map_writer_finish(&w->map, w->total);
}

int base_writer_finish(ps_writer *writer)
{
	struct base_writer *w = writer_of(writer);
	if (w->size != PS_SIZE_UNKNOWN && w->total != w->size && !w->failed)
		return ps_fail(PS_ERANGE, "%s: object 0x%llx: %llu of %llu bytes were written", store_of_writer(w)->path,
			       (unsigned long long)w->id, (unsigned long long)w->total, (unsigned long long)w->size);
	int err = store_writable(store_of_writer(w));
	if (!err)
		err = finish_contents(w);
	if (!err)
		err = commit_one(store_of_writer(w), &w->change);
	end_writer(w);
	return err;
}

int base_writer_abort(ps_writer *writer)
{
	end_writer(writer_of(writer));
	return PS_OK;
}

/* ---- readers ------------------------------------------------------------------------------------------------------------ */

/* The hold keeps the version's extents from being used anew until the reader ends. */
int base_open_reader(ps_storer *st, ps_id id, ps_reader **out)
{
	struct store *s = store_of(st);
	struct base_reader *r = ps_session_new(st, PS_SESSION_READER);
	if (!r)
		return ps_fail(PS_ENOMEM, "%s: no memory for a reader", s->path);
	r->id = id;
	space_hold(&s->space, id_slot(id));
	int err = object_entry(s, id, &r->entry);
	if (err) {
		space_unhold(&s->space, id_slot(id));
		ps_session_free(r);
		return err;
	}
	*out = &r->reader;
	return PS_OK;
}

int base_reader_read(ps_reader *reader, void *buf, size_t len, size_t *got)
{
	struct base_reader *r = (struct base_reader *)reader;
	uint64_t size = entry_size(&r->entry);
	size_t step = r->at >= size ? 0 : (size_t)MIN((uint64_t)len, size - r->at);
	int err = object_read(store_of(reader->session.s), r->id, &r->entry, r->at, buf, step, r->at == r->next ? USE_AHEAD : USE_READ);
	if (err)
		return err;
	r->next = r->at += step;
	*got = step;
	return PS_OK;
}

int base_reader_seek(ps_reader *reader, uint64_t off)
{
	((struct base_reader *)reader)->at = off;
	return PS_OK;
}

int base_reader_finish(ps_reader *reader)
{
	struct base_reader *r = (struct base_reader *)reader;
	space_unhold(&store_of(reader->session.s)->space, id_slot(r->id));
	ps_session_free(r);
	return PS_OK;
}
