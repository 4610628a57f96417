/* The Storer contract: what every layer and every stack of layers does.
 *
 * All calls return PS_OK or a negative ps_error (<padstone/error.h>) and may set ps_last_error_message(). On failure
 * out parameters are untouched and the store is as before, unless a call says otherwise. Common to all calls:
 * PS_EINVAL (a NULL or impossible argument), PS_ENOTFOUND (an id that names no live object), PS_ENOMEM, PS_EIO,
 * PS_ECORRUPT (with id and offset), PS_EREADONLY (opened so, or after a failed write), PS_ENOTSUP (ps_caps lacks it),
 * PS_EPROCESS (in a child after fork), PS_ECLOSED (a session that its finisher has already ended).
 * Threads: unless ps_caps lacks PS_CAP_THREADS, any thread may call any function at any time; one session (batch,
 * reader, writer) is used by one thread at a time. Sizes and offsets are in bytes. */
#ifndef PS_STORER_H
#define PS_STORER_H

#include <stddef.h>
#include <stdint.h>

#include <padstone/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef uint64_t ps_id;
#define PS_ID_NONE ((ps_id)0)
#define PS_ID_PRIME ((ps_id)1)
#define PS_SIZE_UNKNOWN UINT64_MAX
#define PS_SIZE_MAX ((uint64_t)1 << 47) /* the largest object; more is PS_ERANGE */

typedef struct ps_storer ps_storer;
typedef struct ps_batch ps_batch;
typedef struct ps_reader ps_reader;
typedef struct ps_writer ps_writer;

/* How much of a commit survives what. Zero means the store's default. */
enum ps_durability {
	PS_DURABILITY_DEFAULT = 0,
	PS_DURABLE = 1, /* returns when the commit survives power loss */
	PS_RELAXED = 2, /* returns when it is ordered; durable after the next sync, durable commit or flush interval */
};

enum ps_cap {
	PS_CAP_DURABLE = 1 << 0, /* survives the process at all */
	PS_CAP_THREADS = 1 << 1, /* calls from several threads */
	PS_CAP_BACKUP = 1 << 2,
	PS_CAP_COMPACT = 1 << 3,
	PS_CAP_RUNS = 1 << 4,      /* ps_alloc_run */
	PS_CAP_PLACEMENT = 1 << 5, /* an outer layer may choose allocators */
	PS_CAP_LOCKS = 1 << 6,     /* sessions exclude each other per object */
	PS_CAP_READONLY = 1 << 7,  /* opened read-only */
};

/* One read of ps_get_many: as ps_read_at; `offset` 0 and `cap` of at least the size read the whole object. */
struct ps_get_many {
	ps_id id;
	uint64_t offset;
	void *buf;
	size_t cap;
	size_t len; /* out: bytes read */
	int status; /* out: this read's own result */
};

struct ps_view {
	const void *data;
	size_t len;
	ps_id id;
	ps_storer *owner;   /* who releases it; NULL once released */
	uint64_t hidden[4]; /* the owner's */
};

struct ps_info {
	ps_id id;
	uint64_t size;
	uint64_t allocated; /* bytes of the file that it takes, its map included */
	uint64_t offset;    /* of its first byte in the file; 0 where it has none */
	uint64_t checksum;  /* XXH3 seeded with the id; of its map's root for objects in segments */
	uint32_t generation;
	uint32_t allocator; /* 0 root; other numbers are classes of a multi store */
};

enum { PS_REASON_MAX = 160 };

/* Zero where a figure does not apply. Times since open. */
struct ps_stats {
	uint64_t objects, live_bytes;                 /* exact sizes */
	uint64_t file_bytes, used_bytes, free_bytes;  /* used + free = file; used counts log, table and waiting frees */
	uint64_t table_bytes, log_bytes, pending_bytes; /* pending: freed, but held or not yet durable */
	uint64_t disk_bytes;                          /* st_blocks of the file */
	uint64_t memory_budget, memory_used;          /* frames, table pages and all else */
	uint64_t frame_bytes, pinned_bytes, dirty_bytes;
	uint64_t commits, last_durable_commit, last_commit; /* commits are numbered from 1 over the store's life */
	uint64_t log_writes, flushes, bytes_read, bytes_written, reads, writes;
	uint64_t checkpoints, recovered_commits;
	uint32_t readonly;       /* 1: opened so or after a failed write */
	uint32_t direct_io;      /* 1: O_DIRECT, 0: buffered */
	char io[16];             /* "io_uring", "posix", "simulated", "memory" */
	char reason[PS_REASON_MAX]; /* why it is read-only, or empty */
};

struct ps_progress {
	const char *phase;
	uint64_t done, total; /* bytes, total 0 if not known */
};
/* A callback that returns non-zero ends its call with PS_ECANCELED, at a consistent point. */
typedef int (*ps_progress_fn)(void *arg, const struct ps_progress *progress);
typedef int (*ps_each_fn)(void *arg, ps_id id);

enum ps_check_depth { PS_CHECK_QUICK = 1, PS_CHECK_FULL = 2 }; /* structure and space; and every byte */
struct ps_finding {
	int error;           /* PS_ECORRUPT, PS_EIO, … */
	ps_id id;            /* PS_ID_NONE where it is no single object's */
	uint64_t offset;     /* in the file */
	const char *message; /* valid during the callback */
};
typedef int (*ps_finding_fn)(void *arg, const struct ps_finding *finding);

/* What the stack can do: a set of enum ps_cap. Any thread; never fails. */
PS_API uint32_t ps_caps(ps_storer *s);

/* A new object with these bytes. PS_ENOSPC, PS_ERANGE, PS_EFULL. data may be NULL if len is 0. */
PS_CHECKED PS_API int ps_put(ps_storer *s, const void *data, size_t len, ps_id *id);
/* The whole object, copied. PS_ERANGE, with the true size in *len, if cap is too small. After an error what is in buf is
 * of no meaning. */
PS_CHECKED PS_API int ps_get(ps_storer *s, ps_id id, void *buf, size_t cap, size_t *len);
/* A range, copied; *got < len only at the object's end (0 at or past it). */
PS_CHECKED PS_API int ps_read_at(ps_storer *s, ps_id id, uint64_t off, void *buf, size_t len, size_t *got);
/* Many reads at one point of the commit order, cold ones in flight together. PS_OK if all could be tried; each has
 * its own status: PS_OK, PS_ENOTFOUND, PS_ECORRUPT, PS_EIO; len is 0 for those that failed. */
PS_CHECKED PS_API int ps_get_many(ps_storer *s, size_t n, struct ps_get_many *reqs);
/* The bytes in place, unchanged until released, whatever is done to the object. Aligned to 16 bytes, to 4,096 from
 * 4 KiB up. What is not contiguous is assembled within the memory budget, else PS_ENOMEM. */
PS_CHECKED PS_API int ps_view(ps_storer *s, ps_id id, struct ps_view *view);
/* A part of the bytes; PS_ERANGE if off + len is past the end. Not aligned beyond the place of `off`. */
PS_CHECKED PS_API int ps_view_at(ps_storer *s, ps_id id, uint64_t off, size_t len, struct ps_view *view);
/* Ends a view, also from another thread. PS_ECLOSED if it was released before. */
PS_API int ps_view_release(struct ps_view *view);

/* New contents of any length, all or nothing. PS_ENOSPC, PS_ERANGE. */
PS_CHECKED PS_API int ps_replace(ps_storer *s, ps_id id, const void *data, size_t len);
/* Part of an object, all or nothing; past the end it grows, a gap is zeros. PS_ENOSPC, PS_ERANGE. */
PS_CHECKED PS_API int ps_write_at(ps_storer *s, ps_id id, uint64_t off, const void *data, size_t len);
/* The object's length, all or nothing; what is new is zeros and takes no space. PS_ENOSPC, PS_ERANGE. */
PS_CHECKED PS_API int ps_resize(ps_storer *s, ps_id id, uint64_t size);
/* The object is gone; its space comes back. PS_EINVAL for the prime object. */
PS_CHECKED PS_API int ps_delete(ps_storer *s, ps_id id);
/* A new object of `size` zero bytes, without writing them. PS_ENOSPC, PS_ERANGE, PS_EFULL. */
PS_CHECKED PS_API int ps_alloc(ps_storer *s, uint64_t size, ps_id *id);
/* Object 1, made with `size` zero bytes on first use, left as it is afterwards. id may be NULL. */
PS_CHECKED PS_API int ps_prime(ps_storer *s, uint64_t size, ps_id *id);
/* `count` objects of `size` zero bytes, adjacent on disk: all or none. The first write of each goes to its reserved
 * place, a later replace moves it alone, a ps_write_batched of the whole run moves it as a run. size 1 or more. */
PS_CHECKED PS_API int ps_alloc_run(ps_storer *s, uint64_t size, size_t count, ps_id *ids);
PS_CHECKED PS_API int ps_info(ps_storer *s, ps_id id, struct ps_info *info);

/* A stream into a new object (id PS_ID_NONE) or over an old one. Nothing is seen until finish. With a size given,
 * another length is PS_ERANGE: a write past it (nothing taken), a finish short of it (the writer stays open). */
PS_CHECKED PS_API int ps_open_writer(ps_storer *s, ps_id id, uint64_t size, ps_writer **w);
/* The id that the object has, or will have after finish. PS_ID_NONE for NULL or an ended session. */
PS_API ps_id ps_writer_id(ps_writer *w);
PS_CHECKED PS_API int ps_writer_write(ps_writer *w, const void *data, size_t len);
/* Commits and ends the session; after a failure other than PS_ERANGE the session is aborted. */
PS_CHECKED PS_API int ps_writer_finish(ps_writer *w);
PS_API int ps_writer_abort(ps_writer *w);

/* A stream out of an object as it is now, whatever is done to it later. */
PS_CHECKED PS_API int ps_open_reader(ps_storer *s, ps_id id, ps_reader **r);
PS_CHECKED PS_API int ps_reader_read(ps_reader *r, void *buf, size_t len, size_t *got);
/* To a position from the start; past the end, reads give 0 bytes. */
PS_CHECKED PS_API int ps_reader_seek(ps_reader *r, uint64_t off);
PS_API int ps_reader_finish(ps_reader *r);

/* One atomic commit of any number of operations on any objects. Ids are given at once. The last put, replace or
 * delete of an id wins, write_at applies on top of what came before it; a missing id fails the commit. */
PS_CHECKED PS_API int ps_batch_begin(ps_storer *s, ps_batch **b);
PS_CHECKED PS_API int ps_batch_put(ps_batch *b, const void *data, size_t len, ps_id *id);
PS_CHECKED PS_API int ps_batch_replace(ps_batch *b, ps_id id, const void *data, size_t len);
PS_CHECKED PS_API int ps_batch_delete(ps_batch *b, ps_id id);
PS_CHECKED PS_API int ps_batch_write_at(ps_batch *b, ps_id id, uint64_t off, const void *data, size_t len);
PS_CHECKED PS_API int ps_batch_alloc(ps_batch *b, uint64_t size, ps_id *id);
/* Ends the session, whatever the result. A failure other than PS_EIO "outcome unknown" has changed nothing. */
PS_CHECKED PS_API int ps_batch_commit(ps_batch *b, enum ps_durability durability);
PS_API int ps_batch_abort(ps_batch *b);
/* Replaces existing objects at once, `data` holding the new contents one after another. An id may stand there once:
 * twice is PS_EINVAL. */
PS_CHECKED PS_API int ps_write_batched(ps_storer *s, size_t n, const ps_id *ids, const void *data,
				       const size_t *sizes);

/* Every object that lives throughout the call, once, in id order from `from` on; those that come or go meanwhile may
 * be seen or not. fn may call the store. */
PS_CHECKED PS_API int ps_each(ps_storer *s, ps_id from, ps_each_fn fn, void *arg);
/* All that was committed before is durable when it returns. */
PS_CHECKED PS_API int ps_sync(ps_storer *s);
/* A store does not look for what is free before something is written, or asks for it (ps_compact, ps_multi_routes):
 * free_bytes is 0 until then, and as long as it is open read-only. */
PS_CHECKED PS_API int ps_stats(ps_storer *s, struct ps_stats *stats);
/* Verifies; fn (may be NULL) hears of each damage. PS_OK if there was none, PS_ECORRUPT if there was. Changes
 * nothing. */
PS_CHECKED PS_API int ps_check(ps_storer *s, enum ps_check_depth depth, ps_finding_fn fn, void *arg);
/* Moves objects (ids stay) until the file is at most `goal` bytes or nothing more can be won, then gives the free
 * space back to the file system. Others go on working. fn may be NULL. */
PS_CHECKED PS_API int ps_compact(ps_storer *s, uint64_t goal, ps_progress_fn fn, void *arg);
/* A whole copy of the store, at one commit not older than the call, as a new file at path. PS_EEXIST if there is one;
 * PS_ENOSPC also when writers freed more than the copy may hold back. */
PS_CHECKED PS_API int ps_backup(ps_storer *s, const char *path, ps_progress_fn fn, void *arg);
/* Closes this layer and all below. PS_EBUSY while sessions or views are open: nothing changed. After any other result
 * the handle is gone. NULL is PS_OK. No other call may be under way. */
PS_CHECKED PS_API int ps_close(ps_storer *s);

#ifdef __cplusplus
}
#endif
#endif
