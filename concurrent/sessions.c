/* Views, readers and writers: each has the lock of its object from its beginning to its end, whoever ends it.
 */
#include <assert.h>

#include "concurrent/concurrent_internal.h"

/* ---- views ---- */

enum { SPARES_MAX = 64 };

static struct view_node *node_new(struct concurrent *c)
{
	const struct thread_self *self = thread_self();
	if (self->index != THREAD_NO_INDEX && c->spares[self->index].first) {
		struct view_spares *spares = &c->spares[self->index];
		struct view_node *node = spares->first;
		spares->first = node->next;
		spares->count--;
		return node;
	}
	struct view_node *node = ps_memory_alloc(&c->memory, sizeof(*node));
	if (!node)
		(void)ps_fail(PS_ENOMEM, "no memory for a view");
	return node;
}

/* The spares are those of the thread that ends the view: nodes wander, and nobody needs a lock. */
static void node_free(struct concurrent *c, struct view_node *node)
{
	const struct thread_self *self = thread_self();
	struct view_spares *spares = &c->spares[self->index == THREAD_NO_INDEX ? 0 : self->index];
	if (self->index == THREAD_NO_INDEX || spares->count == SPARES_MAX) {
		ps_memory_free(&c->memory, node, sizeof(*node));
		return;
	}
	node->next = spares->first;
	spares->first = node;
	spares->count++;
}

void concurrent_free_spares(struct concurrent *c)
{
	for (unsigned i = 0; i < THREAD_INDEXES; i++) {
		for (struct view_node *node = c->spares[i].first, *next; node; node = next) {
			next = node->next;
			ps_memory_free(&c->memory, node, sizeof(*node));
		}
	}
}

static int view_inner(struct concurrent *c, ps_id id, uint64_t off, size_t len, bool whole,
                      struct ps_view *view)
{
	ps_storer *inner = c->storer.inner;
	return whole ? INNER(c, ps_view(inner, id, view)) : INNER(c, ps_view_at(inner, id, off, len, view));
}

int concurrent_view_at(ps_storer *s, ps_id id, uint64_t off, size_t len, bool whole, struct ps_view *view)
{
	struct concurrent *c = concurrent_of(s);
	struct lock_wait wait = concurrent_wait(c);
	struct view_node *node = node_new(c);
	if (!node)
		return PS_ENOMEM;
	int err = locks_acquire(&c->locks, &node->hold, id, LOCK_SHARED, &wait);
	if (err) {
		node_free(c, node);
		return err;
	}
	err = view_inner(c, id, off, len, whole, &node->inner);
	if (err) {
		locks_release(&c->locks, &node->hold);
		node_free(c, node);
		return err;
	}
	view->data = node->inner.data;
	view->len = node->inner.len;
	view->id = id;
	view->owner = s;
	view->hidden[0] = (uint64_t)(uintptr_t)node;
	atomic_fetch_add_explicit(&s->sessions, 1, memory_order_relaxed);
	return PS_OK;
}

int concurrent_view_release(ps_storer *s, struct ps_view *view)
{
	struct concurrent *c = concurrent_of(s);
	struct view_node *node = (struct view_node *)(uintptr_t)view->hidden[0];
	int err = INNER(c, ps_view_release(&node->inner));
	if (err)
		return err;
	locks_release(&c->locks, &node->hold);
	node_free(c, node);
	/* Last: from here on another thread may find the store idle and close it. */
	atomic_fetch_sub_explicit(&s->sessions, 1, memory_order_release);
	return PS_OK;
}

/* ---- readers ---- */

struct concurrent_reader {
	ps_reader reader;
	ps_reader *inner;
	struct lock_hold hold;
};
static_assert(sizeof(struct concurrent_reader) <= PS_SESSION_SIZE, "a reader fits its place");

static struct concurrent_reader *reader_of(ps_reader *r)
{
	return (struct concurrent_reader *)(void *)r;
}

static struct concurrent *store_of_session(const struct ps_session *session)
{
	return concurrent_of(session->s);
}

int concurrent_open_reader(ps_storer *s, ps_id id, ps_reader **r)
{
	struct concurrent *c = concurrent_of(s);
	struct lock_wait wait = concurrent_wait(c);
	struct concurrent_reader *reader = ps_session_new(s, PS_SESSION_READER);
	if (!reader)
		return PS_ENOMEM;
	int err = locks_acquire(&c->locks, &reader->hold, id, LOCK_SHARED, &wait);
	if (!err) {
		err = INNER(c, ps_open_reader(s->inner, id, &reader->inner));
		if (err)
			locks_release(&c->locks, &reader->hold);
	}
	if (err) {
		ps_session_free(reader);
		return err;
	}
	*r = &reader->reader;
	return PS_OK;
}

int concurrent_reader_read(ps_reader *r, void *buf, size_t len, size_t *got)
{
	return INNER(store_of_session(&r->session), ps_reader_read(reader_of(r)->inner, buf, len, got));
}

int concurrent_reader_seek(ps_reader *r, uint64_t off)
{
	return INNER(store_of_session(&r->session), ps_reader_seek(reader_of(r)->inner, off));
}

int concurrent_reader_finish(ps_reader *r)
{
	struct concurrent *c = store_of_session(&r->session);
	struct concurrent_reader *reader = reader_of(r);
	int err = INNER(c, ps_reader_finish(reader->inner));
	locks_release(&c->locks, &reader->hold);
	ps_session_free(reader);
	return err;
}

/* ---- writers ---- */

struct concurrent_writer {
	ps_writer writer;
	ps_writer *inner;
	bool locked; /* it is over an object: a new one's id nobody knows */
	struct lock_hold hold;
};
static_assert(sizeof(struct concurrent_writer) <= PS_SESSION_SIZE, "a writer fits its place");

static struct concurrent_writer *writer_of(ps_writer *w)
{
	return (struct concurrent_writer *)(void *)w;
}

static void end_writer(struct concurrent *c, struct concurrent_writer *writer)
{
	if (writer->locked)
		locks_release(&c->locks, &writer->hold);
	ps_session_free(writer);
}

int concurrent_open_writer(ps_storer *s, ps_id id, uint64_t size, ps_writer **w)
{
	struct concurrent *c = concurrent_of(s);
	struct lock_wait wait = concurrent_wait(c);
	struct concurrent_writer *writer = ps_session_new(s, PS_SESSION_WRITER);
	int err = PS_OK;
	if (!writer)
		return PS_ENOMEM;
	if (id != PS_ID_NONE)
		err = locks_acquire(&c->locks, &writer->hold, id, LOCK_EXCLUSIVE, &wait);
	if (err) {
		ps_session_free(writer);
		return err;
	}
	writer->locked = id != PS_ID_NONE;
	err = INNER(c, ps_open_writer(s->inner, id, size, &writer->inner));
	if (err) {
		end_writer(c, writer);
		return err;
	}
	*w = &writer->writer;
	return PS_OK;
}

ps_id concurrent_writer_id(ps_writer *w)
{
	struct concurrent *c = store_of_session(&w->session);
	inner_enter(c);
	ps_id id = ps_writer_id(writer_of(w)->inner);
	inner_leave(c);
	return id;
}

int concurrent_writer_write(ps_writer *w, const void *data, size_t len)
{
	return INNER(store_of_session(&w->session), ps_writer_write(writer_of(w)->inner, data, len));
}

int concurrent_writer_finish(ps_writer *w)
{
	struct concurrent *c = store_of_session(&w->session);
	int err = INNER(c, ps_writer_finish(writer_of(w)->inner));
	if (err != PS_ERANGE)
		end_writer(c, writer_of(w));
	return err;
}

int concurrent_writer_abort(ps_writer *w)
{
	struct concurrent *c = store_of_session(&w->session);
	int err = INNER(c, ps_writer_abort(writer_of(w)->inner));
	end_writer(c, writer_of(w));
	return err;
}
