/* The two answers that every slot of every layer can fall back on: refuse, or ask the inner storer.
 *
 * Forwarding goes through the inner's gate, as every call does. A session that was forwarded at its opening
 * belongs to the inner storer, and so does a view: their later calls never come through the outer layer. The
 * forwards of those slots are reached only where a layer opens sessions of its own without overriding all
 * their slots. */
#include "base/fail.h"
#include "store/cut.h"
#include "store/placement.h"
#include "store/storer_impl.h"

/* A refusal has a slot's parameters and needs none of them. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

static int unsupported(const ps_storer *s, const char *slot)
{
	return ps_fail(PS_ENOTSUP, "%s: the %s store does not support it", slot, s->ops->name);
}

static int no_slot(const struct ps_session *session, const char *slot)
{
	return ps_fail(PS_ENOTSUP, "%s: the %s layer opens sessions but lacks this slot", slot,
	               session->s->ops->name);
}

#define STORE_SLOT(name, params, forward)                                                                    \
	int ps_unsupported_##name params                                                                     \
	{                                                                                                    \
		return unsupported(s, #name);                                                                \
	}                                                                                                    \
	int ps_forward_##name params                                                                         \
	{                                                                                                    \
		return forward;                                                                              \
	}

#define SESSION_SLOT(name, handle, params)                                                                   \
	int ps_unsupported_##name params                                                                     \
	{                                                                                                    \
		return unsupported(handle->session.s, #name);                                                \
	}                                                                                                    \
	int ps_forward_##name params                                                                         \
	{                                                                                                    \
		return no_slot(&handle->session, #name);                                                     \
	}

static int forward_view(ps_storer *s, ps_id id, uint64_t off, size_t len, bool whole, struct ps_view *view)
{
	return whole ? ps_view(s, id, view) : ps_view_at(s, id, off, len, view);
}

/* The layer's own struct is not freed here: a layer that has anything to free overrides close. */
static int forward_close(ps_storer *s)
{
	int err = ps_close(s->inner);
	if (err != PS_EBUSY)
		s->inner = NULL;
	return err;
}

/* clang-format off */
STORE_SLOT(put, (ps_storer *s, const void *data, size_t len, ps_id *id), ps_put(s->inner, data, len, id))
STORE_SLOT(get, (ps_storer *s, ps_id id, void *buf, size_t cap, size_t *len), ps_get(s->inner, id, buf, cap, len))
STORE_SLOT(read_at, (ps_storer *s, ps_id id, uint64_t off, void *buf, size_t len, size_t *got),
	   ps_read_at(s->inner, id, off, buf, len, got))
STORE_SLOT(get_many, (ps_storer *s, size_t n, struct ps_get_many *reqs), ps_get_many(s->inner, n, reqs))
STORE_SLOT(view_at, (ps_storer *s, ps_id id, uint64_t off, size_t len, bool whole, struct ps_view *view),
	   forward_view(s->inner, id, off, len, whole, view))
STORE_SLOT(view_release, (ps_storer *s, struct ps_view *view), ps_view_release(view))
STORE_SLOT(replace, (ps_storer *s, ps_id id, const void *data, size_t len), ps_replace(s->inner, id, data, len))
STORE_SLOT(write_at, (ps_storer *s, ps_id id, uint64_t off, const void *data, size_t len),
	   ps_write_at(s->inner, id, off, data, len))
STORE_SLOT(resize, (ps_storer *s, ps_id id, uint64_t size), ps_resize(s->inner, id, size))
STORE_SLOT(delete_object, (ps_storer *s, ps_id id), ps_delete(s->inner, id))
STORE_SLOT(alloc, (ps_storer *s, uint64_t size, ps_id *id), ps_alloc(s->inner, size, id))
STORE_SLOT(prime, (ps_storer *s, uint64_t size, ps_id *id), ps_prime(s->inner, size, id))
STORE_SLOT(alloc_run, (ps_storer *s, uint64_t size, size_t count, ps_id *ids),
	   ps_alloc_run(s->inner, size, count, ids))
STORE_SLOT(info, (ps_storer *s, ps_id id, struct ps_info *info), ps_info(s->inner, id, info))
STORE_SLOT(open_writer, (ps_storer *s, ps_id id, uint64_t size, ps_writer **w),
	   ps_open_writer(s->inner, id, size, w))
SESSION_SLOT(writer_write, w, (ps_writer *w, const void *data, size_t len))
SESSION_SLOT(writer_finish, w, (ps_writer *w))
SESSION_SLOT(writer_abort, w, (ps_writer *w))
STORE_SLOT(open_reader, (ps_storer *s, ps_id id, ps_reader **r), ps_open_reader(s->inner, id, r))
SESSION_SLOT(reader_read, r, (ps_reader *r, void *buf, size_t len, size_t *got))
SESSION_SLOT(reader_seek, r, (ps_reader *r, uint64_t off))
SESSION_SLOT(reader_finish, r, (ps_reader *r))
STORE_SLOT(batch_begin, (ps_storer *s, ps_batch **b), ps_batch_begin(s->inner, b))
SESSION_SLOT(batch_put, b, (ps_batch *b, const void *data, size_t len, ps_id *id))
SESSION_SLOT(batch_replace, b, (ps_batch *b, ps_id id, const void *data, size_t len))
SESSION_SLOT(batch_delete, b, (ps_batch *b, ps_id id))
SESSION_SLOT(batch_write_at, b, (ps_batch *b, ps_id id, uint64_t off, const void *data, size_t len))
SESSION_SLOT(batch_alloc, b, (ps_batch *b, uint64_t size, ps_id *id))
SESSION_SLOT(batch_commit, b, (ps_batch *b, enum ps_durability durability))
SESSION_SLOT(batch_abort, b, (ps_batch *b))
STORE_SLOT(write_batched, (ps_storer *s, size_t n, const ps_id *ids, const void *data, const size_t *sizes),
	   ps_write_batched(s->inner, n, ids, data, sizes))
STORE_SLOT(each, (ps_storer *s, ps_id from, ps_each_fn fn, void *arg), ps_each(s->inner, from, fn, arg))
STORE_SLOT(sync, (ps_storer *s), ps_sync(s->inner))
STORE_SLOT(stats, (ps_storer *s, struct ps_stats *stats), ps_stats(s->inner, stats))
STORE_SLOT(check, (ps_storer *s, enum ps_check_depth depth, ps_finding_fn fn, void *arg),
	   ps_check(s->inner, depth, fn, arg))
STORE_SLOT(compact, (ps_storer *s, uint64_t goal, ps_progress_fn fn, void *arg),
	   ps_compact(s->inner, goal, fn, arg))
STORE_SLOT(backup, (ps_storer *s, const char *path, ps_progress_fn fn, void *arg),
	   ps_backup(s->inner, path, fn, arg))
STORE_SLOT(use_tokens, (ps_storer *s, struct ps_tokens *tokens), ps_use_tokens(s->inner, tokens))
STORE_SLOT(use_placement, (ps_storer *s, struct ps_placement *placement), ps_use_placement(s->inner, placement))
STORE_SLOT(each_space, (ps_storer *s, ps_space_fn fn, void *arg), ps_each_space(s->inner, fn, arg))
STORE_SLOT(route_figures, (ps_storer *s, struct ps_route_figures *figures, size_t count),
	   ps_route_figures(s->inner, figures, count))
STORE_SLOT(cut_store, (ps_storer *s, ps_storer **below), ps_cut_store(s->inner, below))
STORE_SLOT(close, (ps_storer *s), forward_close(s))
/* clang-format on */

uint32_t ps_forward_caps(ps_storer *s)
{
	return ps_caps(s->inner);
}

/* Only a layer with writers of its own has them asked for their id; then it overrides this slot. */
ps_id ps_forward_writer_id(ps_writer *w)
{
	return PS_ID_NONE;
}
