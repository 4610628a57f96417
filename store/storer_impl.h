/* For those who implement a layer: the operations table, the base struct, sessions, and forwarding.
 *
 * A filter holds its inner storer in `base.inner`, overrides the slots it changes and fills all others with
 * PS_FORWARD_OPS; a leaf fills what it lacks with the ps_unsupported_x of that slot. A slot left NULL fails
 * construction (ps_storer_init). Only the gate (storer.c) calls slots: arguments have been checked by then (pointers,
 * ids not PS_ID_NONE, off + len without overflow and at most PS_SIZE_MAX, sessions alive and of this storer). */
#ifndef PS_STORER_IMPL_H
#define PS_STORER_IMPL_H

#include <stdbool.h>

#include <padstone/storer.h>

#ifdef __cplusplus
#include <atomic>
typedef std::atomic<long> ps_atomic_long;
typedef std::atomic<uint32_t> ps_atomic_uint32;
extern "C" {
#else
#include <stdatomic.h>
typedef atomic_long ps_atomic_long;
typedef _Atomic(uint32_t) ps_atomic_uint32;
#endif

struct ps_tokens; /* base/tokens.h */
struct ps_placement; /* store/placement.h, and the next two */
struct ps_space_piece;
struct ps_route_figures;

/* X(slot name without ps_, parameters in brackets): the single list that all tables are made from. */
#define PS_STORER_SLOTS(X)                                                                                   \
	X(put, (ps_storer * s, const void *data, size_t len, ps_id *id))                                     \
	X(get, (ps_storer * s, ps_id id, void *buf, size_t cap, size_t *len))                                \
	X(read_at, (ps_storer * s, ps_id id, uint64_t off, void *buf, size_t len, size_t *got))              \
	X(get_many, (ps_storer * s, size_t n, struct ps_get_many *reqs))                                     \
	X(view_at, (ps_storer * s, ps_id id, uint64_t off, size_t len, bool whole, struct ps_view *view))    \
	X(view_release, (ps_storer * s, struct ps_view *view))                                               \
	X(replace, (ps_storer * s, ps_id id, const void *data, size_t len))                                  \
	X(write_at, (ps_storer * s, ps_id id, uint64_t off, const void *data, size_t len))                   \
	X(resize, (ps_storer * s, ps_id id, uint64_t size))                                                  \
	X(delete_object, (ps_storer * s, ps_id id))                                                          \
	X(alloc, (ps_storer * s, uint64_t size, ps_id *id))                                                  \
	X(prime, (ps_storer * s, uint64_t size, ps_id *id))                                                  \
	X(alloc_run, (ps_storer * s, uint64_t size, size_t count, ps_id *ids))                               \
	X(info, (ps_storer * s, ps_id id, struct ps_info *info))                                             \
	X(open_writer, (ps_storer * s, ps_id id, uint64_t size, ps_writer **w))                              \
	X(writer_write, (ps_writer * w, const void *data, size_t len))                                       \
	X(writer_finish, (ps_writer * w))                                                                    \
	X(writer_abort, (ps_writer * w))                                                                     \
	X(open_reader, (ps_storer * s, ps_id id, ps_reader **r))                                             \
	X(reader_read, (ps_reader * r, void *buf, size_t len, size_t *got))                                  \
	X(reader_seek, (ps_reader * r, uint64_t off))                                                        \
	X(reader_finish, (ps_reader * r))                                                                    \
	X(batch_begin, (ps_storer * s, ps_batch **b))                                                        \
	X(batch_put, (ps_batch * b, const void *data, size_t len, ps_id *id))                                \
	X(batch_replace, (ps_batch * b, ps_id id, const void *data, size_t len))                             \
	X(batch_delete, (ps_batch * b, ps_id id))                                                            \
	X(batch_write_at, (ps_batch * b, ps_id id, uint64_t off, const void *data, size_t len))              \
	X(batch_alloc, (ps_batch * b, uint64_t size, ps_id *id))                                             \
	X(batch_commit, (ps_batch * b, enum ps_durability durability))                                       \
	X(batch_abort, (ps_batch * b))                                                                       \
	X(write_batched,                                                                                     \
	  (ps_storer * s, size_t n, const ps_id *ids, const void *data, const size_t *sizes))                \
	X(each, (ps_storer * s, ps_id from, ps_each_fn fn, void *arg))                                       \
	X(sync, (ps_storer * s))                                                                             \
	X(stats, (ps_storer * s, struct ps_stats *stats))                                                    \
	X(check, (ps_storer * s, enum ps_check_depth depth, ps_finding_fn fn, void *arg))                    \
	X(compact, (ps_storer * s, uint64_t goal, ps_progress_fn fn, void *arg))                             \
	X(backup, (ps_storer * s, const char *path, ps_progress_fn fn, void *arg))                           \
	X(use_tokens, (ps_storer * s, struct ps_tokens * tokens))                                            \
	X(use_placement, (ps_storer * s, struct ps_placement * placement))                                   \
	X(each_space, (ps_storer * s, int (*fn)(void *arg, const struct ps_space_piece *piece), void *arg))  \
	X(route_figures, (ps_storer * s, struct ps_route_figures * figures, size_t count))                   \
	X(cut_store, (ps_storer * s, ps_storer * *below))                                                    \
	X(close, (ps_storer * s))

struct ps_storer_ops {
	const char *name; /* "base", "memory", … */
	uint32_t (*caps)(ps_storer *s);
	ps_id (*writer_id)(ps_writer *w);
#define PS_SLOT_MEMBER(name, params) int(*name) params;
	PS_STORER_SLOTS(PS_SLOT_MEMBER)
#undef PS_SLOT_MEMBER
};

/* First member of every layer's struct. */
struct ps_storer {
	const struct ps_storer_ops *ops;
	ps_storer *inner;      /* owned; NULL for a leaf */
	ps_atomic_long sessions; /* open batches, readers, writers and views of this layer */
	uint64_t fork_count;   /* of the process that opened it */
};

/* Sets up the base struct. PS_EINVAL if a slot is NULL. The inner storer is owned from success on. */
PS_CHECKED PS_API int ps_storer_init(ps_storer *s, const struct ps_storer_ops *ops, ps_storer *inner);

/* From now on I/O holds tokens of this pool, which outlives the store; NULL: of none. For layers that make a pool, or
 * are given one: it goes down to where I/O is done. A store without I/O answers PS_OK. */
PS_CHECKED PS_API int ps_use_tokens(ps_storer *s, struct ps_tokens *tokens);

/* First member of every layer's batch, reader and writer. Sessions come from memory that is never unmapped, so that a
 * handle used after its end is answered with PS_ECLOSED instead of undefined behaviour, until the place is used
 * again (at least 256 sessions of the process later). */
enum ps_session_kind { PS_SESSION_NONE = 0, PS_SESSION_BATCH, PS_SESSION_READER, PS_SESSION_WRITER };
struct ps_session {
	ps_storer *s;
	ps_atomic_uint32 kind;
};
struct ps_batch { struct ps_session session; };
struct ps_reader { struct ps_session session; };
struct ps_writer { struct ps_session session; };

enum { PS_SESSION_SIZE = 1024 }; /* the largest session struct; a static_assert beside each */

/* Zeroed memory of PS_SESSION_SIZE with the session filled in and counted in s->sessions; NULL without memory. */
PS_API void *ps_session_new(ps_storer *s, enum ps_session_kind kind);
/* Ends it: later use is PS_ECLOSED. */
PS_API void ps_session_free(void *session);

/* How often this process has forked (counted in the child): a store is refused where it differs from fork_count. */
PS_API uint64_t ps_fork_count(void);

/* What a leaf cannot do: PS_ENOTSUP with a sentence; and what a filter does not change: the inner's answer. A filter
 * that overrides one session slot overrides them all, since a forwarded session belongs to the inner storer. */
#define PS_SLOT_DECLARE(name, params)                                                                        \
	PS_API int ps_unsupported_##name params;                                                             \
	PS_API int ps_forward_##name params;
PS_STORER_SLOTS(PS_SLOT_DECLARE)
#undef PS_SLOT_DECLARE
PS_API uint32_t ps_forward_caps(ps_storer *s);
PS_API ps_id ps_forward_writer_id(ps_writer *w);

/* Initialisers that forward everything; name slots after it to override (with -Woverride-init off for that table). */
#define PS_SLOT_FORWARD(name, params) .name = ps_forward_##name,
#define PS_FORWARD_OPS                                                                                       \
	.caps = ps_forward_caps, .writer_id = ps_forward_writer_id, PS_STORER_SLOTS(PS_SLOT_FORWARD)

#ifdef __cplusplus
}
#endif
#endif
