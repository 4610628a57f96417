/* The gate: every public call of the Storer contract. It checks what all layers would have to check, so that
 * a slot sees only possible arguments, and is the only place that calls slots.
 *
 * A call that passes costs two loads, the comparisons and one indirect jump; all that refuses is out of line.
 */
#include "base/fail.h"
#include "store/await.h"
#include "store/cut.h"
#include "store/placement.h"
#include "store/session.h"
#include "store/storer_impl.h"

#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define REFUSAL __attribute__((cold, noinline))

/* Leaves the call with what a check found. */
#define PASS(check)                                                                                          \
	do {                                                                                                 \
		int refused_ = (check);                                                                      \
		if (!LIKELY(refused_ == PS_OK))                                                              \
			return refused_;                                                                     \
	} while (0)

/* The storer can be used here, and the call's own arguments are possible. */
#define STORER(s, possible)                                                                                  \
	do {                                                                                                 \
		if (!LIKELY((s) && of_this_process(s) && (possible)))                                        \
			return refuse_storer(__func__, s);                                                   \
	} while (0)

/* The same for a session of this kind. */
#define SESSION(handle, kind, possible)                                                                      \
	do {                                                                                                 \
		const struct ps_session *session_ = (handle) ? &(handle)->session : NULL;                    \
		if (!LIKELY(session_ && is_open(session_, kind) && of_this_process(session_->s) &&           \
		            (possible)))                                                                     \
			return refuse_session(__func__, session_, kind);                                     \
	} while (0)

#define RANGE(id, off, len) PASS(check_range(__func__, id, off, len))

static inline bool of_this_process(const ps_storer *s)
{
	return s->fork_count == atomic_load_explicit(&ps_session_forks, memory_order_relaxed);
}

static inline bool is_open(const struct ps_session *session, enum ps_session_kind kind)
{
	return atomic_load_explicit(&session->kind, memory_order_acquire) == (uint32_t)kind;
}

REFUSAL static int refuse_storer(const char *call, const ps_storer *s)
{
	if (s && !of_this_process(s))
		return ps_fail(PS_EPROCESS, "%s: the store was opened before this process was forked", call);
	return ps_fail(PS_EINVAL, "%s: %s", call,
	               s ? "an argument is NULL or impossible" : "the store is NULL");
}

REFUSAL static int refuse_session(const char *call, const struct ps_session *session,
                                  enum ps_session_kind kind)
{
	if (!session)
		return ps_fail(PS_EINVAL, "%s: the session is NULL", call);
	if (!is_open(session, kind))
		return ps_fail(PS_ECLOSED, "%s: the session has ended", call);
	return refuse_storer(call, session->s);
}

REFUSAL static int refuse_range(const char *call, ps_id id, uint64_t off, uint64_t len)
{
	return ps_fail(PS_ERANGE, "%s: object %llx, offset %llu, length %llu: more than the largest object",
	               call, (unsigned long long)id, (unsigned long long)off, (unsigned long long)len);
}

static inline int check_range(const char *call, ps_id id, uint64_t off, uint64_t len)
{
	if (LIKELY(off <= PS_SIZE_MAX && len <= PS_SIZE_MAX - off))
		return PS_OK;
	return refuse_range(call, id, off, len);
}

/* data or buf may be NULL where no byte is to be moved. */
static inline bool bytes_given(const void *data, uint64_t len)
{
	return data || len == 0;
}

int ps_storer_init(ps_storer *s, const struct ps_storer_ops *ops, ps_storer *inner)
{
	if (!s || !ops || !ops->name || !ops->caps || !ops->writer_id)
		return ps_fail(PS_EINVAL, "a layer without operations, name, caps or writer_id");
#define SLOT_IS_FILLED(slot, params)                                                                         \
	if (!ops->slot)                                                                                      \
		return ps_fail(PS_EINVAL, "the %s layer leaves its slot %s empty", ops->name, #slot);
	PS_STORER_SLOTS(SLOT_IS_FILLED)
#undef SLOT_IS_FILLED
	PASS(ps_session_watch_forks());
	s->ops = ops;
	s->inner = inner;
	atomic_init(&s->sessions, 0);
	s->fork_count = ps_fork_count();
	return PS_OK;
}

uint32_t ps_caps(ps_storer *s)
{
	return s ? s->ops->caps(s) : 0;
}

int ps_put(ps_storer *s, const void *data, size_t len, ps_id *id)
{
	STORER(s, id && bytes_given(data, len));
	RANGE(PS_ID_NONE, 0, len);
	return PS_AWAITED(s->ops->put(s, data, len, id));
}

int ps_get(ps_storer *s, ps_id id, void *buf, size_t cap, size_t *len)
{
	STORER(s, id != PS_ID_NONE && len && bytes_given(buf, cap));
	return s->ops->get(s, id, buf, cap, len);
}

int ps_read_at(ps_storer *s, ps_id id, uint64_t off, void *buf, size_t len, size_t *got)
{
	STORER(s, id != PS_ID_NONE && got && bytes_given(buf, len));
	RANGE(id, off, len);
	return s->ops->read_at(s, id, off, buf, len, got);
}

int ps_get_many(ps_storer *s, size_t n, struct ps_get_many *reqs)
{
	STORER(s, reqs || n == 0);
	for (size_t i = 0; i < n; i++) {
		STORER(s, reqs[i].id != PS_ID_NONE && bytes_given(reqs[i].buf, reqs[i].cap));
		RANGE(reqs[i].id, reqs[i].offset, reqs[i].cap);
	}
	return n ? s->ops->get_many(s, n, reqs) : PS_OK;
}

int ps_view(ps_storer *s, ps_id id, struct ps_view *view)
{
	STORER(s, id != PS_ID_NONE && view);
	return s->ops->view_at(s, id, 0, 0, true, view);
}

int ps_view_at(ps_storer *s, ps_id id, uint64_t off, size_t len, struct ps_view *view)
{
	STORER(s, id != PS_ID_NONE && view);
	RANGE(id, off, len);
	return s->ops->view_at(s, id, off, len, false, view);
}

int ps_view_release(struct ps_view *view)
{
	if (!view)
		return ps_fail(PS_EINVAL, "ps_view_release: the view is NULL");
	ps_storer *s = view->owner;
	if (!s)
		return ps_fail(PS_ECLOSED, "ps_view_release: the view was released before");
	STORER(s, true);
	int err = s->ops->view_release(s, view);
	if (err == PS_OK)
		view->owner = NULL;
	return err;
}

int ps_replace(ps_storer *s, ps_id id, const void *data, size_t len)
{
	STORER(s, id != PS_ID_NONE && bytes_given(data, len));
	RANGE(id, 0, len);
	return PS_AWAITED(s->ops->replace(s, id, data, len));
}

int ps_write_at(ps_storer *s, ps_id id, uint64_t off, const void *data, size_t len)
{
	STORER(s, id != PS_ID_NONE && bytes_given(data, len));
	RANGE(id, off, len);
	return PS_AWAITED(s->ops->write_at(s, id, off, data, len));
}

int ps_resize(ps_storer *s, ps_id id, uint64_t size)
{
	STORER(s, id != PS_ID_NONE);
	RANGE(id, 0, size);
	return PS_AWAITED(s->ops->resize(s, id, size));
}

int ps_delete(ps_storer *s, ps_id id)
{
	STORER(s, id != PS_ID_NONE && id != PS_ID_PRIME);
	return PS_AWAITED(s->ops->delete_object(s, id));
}

int ps_alloc(ps_storer *s, uint64_t size, ps_id *id)
{
	STORER(s, id);
	RANGE(PS_ID_NONE, 0, size);
	return PS_AWAITED(s->ops->alloc(s, size, id));
}

int ps_prime(ps_storer *s, uint64_t size, ps_id *id)
{
	STORER(s, true);
	RANGE(PS_ID_PRIME, 0, size);
	return PS_AWAITED(s->ops->prime(s, size, id));
}

int ps_alloc_run(ps_storer *s, uint64_t size, size_t count, ps_id *ids)
{
	STORER(s, ids && size > 0 && count > 0);
	RANGE(PS_ID_NONE, 0, size);
	/* No layer has to fear that a product with the count wraps round. */
	if (count > PS_SIZE_MAX / size)
		return ps_fail(PS_ERANGE, "ps_alloc_run: %zu objects of %llu bytes: more than a store can hold", count,
		               (unsigned long long)size);
	return PS_AWAITED(s->ops->alloc_run(s, size, count, ids));
}

int ps_info(ps_storer *s, ps_id id, struct ps_info *info)
{
	STORER(s, id != PS_ID_NONE && info);
	return s->ops->info(s, id, info);
}

int ps_open_writer(ps_storer *s, ps_id id, uint64_t size, ps_writer **w)
{
	STORER(s, w);
	if (size != PS_SIZE_UNKNOWN)
		RANGE(id, 0, size);
	return s->ops->open_writer(s, id, size, w);
}

ps_id ps_writer_id(ps_writer *w)
{
	if (!w || !is_open(&w->session, PS_SESSION_WRITER))
		return PS_ID_NONE;
	return w->session.s->ops->writer_id(w);
}

int ps_writer_write(ps_writer *w, const void *data, size_t len)
{
	SESSION(w, PS_SESSION_WRITER, bytes_given(data, len));
	RANGE(PS_ID_NONE, 0, len);
	return w->session.s->ops->writer_write(w, data, len);
}

int ps_writer_finish(ps_writer *w)
{
	SESSION(w, PS_SESSION_WRITER, true);
	return PS_AWAITED(w->session.s->ops->writer_finish(w));
}

int ps_writer_abort(ps_writer *w)
{
	SESSION(w, PS_SESSION_WRITER, true);
	return w->session.s->ops->writer_abort(w);
}

int ps_open_reader(ps_storer *s, ps_id id, ps_reader **r)
{
	STORER(s, id != PS_ID_NONE && r);
	return s->ops->open_reader(s, id, r);
}

int ps_reader_read(ps_reader *r, void *buf, size_t len, size_t *got)
{
	SESSION(r, PS_SESSION_READER, got && bytes_given(buf, len));
	return r->session.s->ops->reader_read(r, buf, len, got);
}

int ps_reader_seek(ps_reader *r, uint64_t off)
{
	SESSION(r, PS_SESSION_READER, true);
	RANGE(PS_ID_NONE, off, 0);
	return r->session.s->ops->reader_seek(r, off);
}

int ps_reader_finish(ps_reader *r)
{
	SESSION(r, PS_SESSION_READER, true);
	return r->session.s->ops->reader_finish(r);
}

int ps_batch_begin(ps_storer *s, ps_batch **b)
{
	STORER(s, b);
	return s->ops->batch_begin(s, b);
}

int ps_batch_put(ps_batch *b, const void *data, size_t len, ps_id *id)
{
	SESSION(b, PS_SESSION_BATCH, id && bytes_given(data, len));
	RANGE(PS_ID_NONE, 0, len);
	return b->session.s->ops->batch_put(b, data, len, id);
}

int ps_batch_replace(ps_batch *b, ps_id id, const void *data, size_t len)
{
	SESSION(b, PS_SESSION_BATCH, id != PS_ID_NONE && bytes_given(data, len));
	RANGE(id, 0, len);
	return b->session.s->ops->batch_replace(b, id, data, len);
}

int ps_batch_delete(ps_batch *b, ps_id id)
{
	SESSION(b, PS_SESSION_BATCH, id != PS_ID_NONE && id != PS_ID_PRIME);
	return b->session.s->ops->batch_delete(b, id);
}

int ps_batch_write_at(ps_batch *b, ps_id id, uint64_t off, const void *data, size_t len)
{
	SESSION(b, PS_SESSION_BATCH, id != PS_ID_NONE && bytes_given(data, len));
	RANGE(id, off, len);
	return b->session.s->ops->batch_write_at(b, id, off, data, len);
}

int ps_batch_alloc(ps_batch *b, uint64_t size, ps_id *id)
{
	SESSION(b, PS_SESSION_BATCH, id);
	RANGE(PS_ID_NONE, 0, size);
	return b->session.s->ops->batch_alloc(b, size, id);
}

int ps_batch_commit(ps_batch *b, enum ps_durability durability)
{
	SESSION(b, PS_SESSION_BATCH, true);
	if (durability != PS_DURABILITY_DEFAULT && durability != PS_DURABLE && durability != PS_RELAXED) {
		/* A commit ends the session whatever its result. */
		b->session.s->ops->batch_abort(b);
		return ps_fail(PS_EINVAL, "ps_batch_commit: no such durability");
	}
	return PS_AWAITED(b->session.s->ops->batch_commit(b, durability));
}

int ps_batch_abort(ps_batch *b)
{
	SESSION(b, PS_SESSION_BATCH, true);
	return b->session.s->ops->batch_abort(b);
}

int ps_write_batched(ps_storer *s, size_t n, const ps_id *ids, const void *data, const size_t *sizes)
{
	STORER(s, n == 0 || (ids && sizes));
	uint64_t total = 0;
	for (size_t i = 0; i < n; i++) {
		STORER(s, ids[i] != PS_ID_NONE);
		RANGE(ids[i], 0, sizes[i]);
		/* All contents lie in one buffer, so a sum that overflows cannot be true. */
		STORER(s, !__builtin_add_overflow(total, sizes[i], &total));
	}
	STORER(s, bytes_given(data, total));
	return n ? PS_AWAITED(s->ops->write_batched(s, n, ids, data, sizes)) : PS_OK;
}

int ps_each(ps_storer *s, ps_id from, ps_each_fn fn, void *arg)
{
	STORER(s, fn);
	return s->ops->each(s, from, fn, arg);
}

int ps_sync(ps_storer *s)
{
	STORER(s, true);
	return PS_AWAITED(s->ops->sync(s));
}

int ps_stats(ps_storer *s, struct ps_stats *stats)
{
	STORER(s, stats);
	return s->ops->stats(s, stats);
}

int ps_check(ps_storer *s, enum ps_check_depth depth, ps_finding_fn fn, void *arg)
{
	STORER(s, depth == PS_CHECK_QUICK || depth == PS_CHECK_FULL);
	return s->ops->check(s, depth, fn, arg);
}

int ps_compact(ps_storer *s, uint64_t goal, ps_progress_fn fn, void *arg)
{
	STORER(s, true);
	return s->ops->compact(s, goal, fn, arg);
}

int ps_backup(ps_storer *s, const char *path, ps_progress_fn fn, void *arg)
{
	STORER(s, path);
	return s->ops->backup(s, path, fn, arg);
}

int ps_use_placement(ps_storer *s, struct ps_placement *placement)
{
	STORER(s, placement);
	return s->ops->use_placement(s, placement);
}

int ps_each_space(ps_storer *s, ps_space_fn fn, void *arg)
{
	STORER(s, fn);
	return s->ops->each_space(s, fn, arg);
}

int ps_route_figures(ps_storer *s, struct ps_route_figures *figures, size_t count)
{
	STORER(s, figures);
	return s->ops->route_figures(s, figures, count);
}

int ps_cut_store(ps_storer *s, ps_storer **below)
{
	STORER(s, below);
	return s->ops->cut_store(s, below);
}

int ps_use_tokens(ps_storer *s, struct ps_tokens *tokens)
{
	STORER(s, true);
	return s->ops->use_tokens(s, tokens);
}

int ps_close(ps_storer *s)
{
	if (!s)
		return PS_OK;
	STORER(s, true);
	long open = atomic_load_explicit(&s->sessions, memory_order_acquire);
	if (open != 0)
		return ps_fail(PS_EBUSY, "ps_close: %ld sessions or views of the %s store are open", open,
		               s->ops->name);
	return s->ops->close(s);
}
