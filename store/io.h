/* ps_io: all disk I/O of a store goes through this table. io_posix.c, io_uring.c; the simulated disk is in tests/support.
 *
 * Rules: a write without `sync` is durable after the next flush that begins after it ended; a write with `sync` makes
 * only its own bytes durable. Offsets and lengths are multiples of `io->alignment` (512 at least), buffers too, where
 * `io->direct`. Reads past the end of the file give zeros. Callers never overlap a write with another access to the
 * same bytes. All calls may come from several threads. Errors: PS_EIO, PS_ENOSPC, with path and offset in the sentence. */
#ifndef PS_IO_H
#define PS_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/tokens.h"

enum ps_io_op { PS_IO_READ, PS_IO_WRITE, PS_IO_WRITE_SYNC };

struct ps_io_request {
	enum ps_io_op op;
	uint64_t offset;
	void *data;
	size_t len;
	int status;          /* out: PS_OK or an error */
	int errnum;          /* out: errno behind it */
	bool alone;          /* waited for at once: there is nothing for it to overlap with */
	bool done;           /* set when the request was finished; read it only through wait */
	struct ps_io_request *next; /* the implementation's */
	void *wave;                 /* the implementation's */
};

struct ps_io_stats {
	uint64_t reads, writes, flushes, bytes_read, bytes_written;
};

struct ps_io;
struct ps_io_ops {
	const char *name;
	/* Starts n requests; may finish them at once. They and their buffers stay the caller's, untouched until waited for. */
	void (*submit)(struct ps_io *io, struct ps_io_request *const *requests, size_t n);
	/* Blocks until this request is done; then its status. Several threads may wait, each for its own. */
	int (*wait)(struct ps_io *io, struct ps_io_request *request);
	/* fdatasync: all writes that ended before are durable. Never retried after a failure. */
	int (*flush)(struct ps_io *io);
	/* Space for [offset, offset + len) is there from now on and the file at least that long: writes there cannot fail
	 * for space. What was there stays, what is new reads as zeros. */
	int (*allocate)(struct ps_io *io, uint64_t offset, uint64_t len);
	/* Gives the space back; the range reads as zeros, the file's size stays. PS_ENOTSUP where the file system cannot. */
	int (*punch)(struct ps_io *io, uint64_t offset, uint64_t len);
	int (*truncate)(struct ps_io *io, uint64_t size);
	int (*size)(struct ps_io *io, uint64_t *bytes, uint64_t *disk_bytes); /* st_size and st_blocks x 512 */
	void (*stats)(struct ps_io *io, struct ps_io_stats *stats);
	void (*close)(struct ps_io *io);
};

struct ps_io {
	const struct ps_io_ops *ops;
	bool direct;        /* O_DIRECT is in force */
	uint32_t alignment; /* of offsets, lengths and (direct) buffers: 512 or 4096 */
	const char *path;   /* for sentences; owned by the implementation */
	/* A new file that nobody opens before it has its own name, and that is thrown away after a crash: flushes are left
	 * out, and `sync` means nothing. Its owner flushes once when it is no draft any more (ps_restore_open). Changed only
	 * while no other thread uses the file. */
	bool draft;
	/* Whose tokens requests, flushes and changes of the file's space hold while they are in flight; NULL: none are
	 * asked for. Atomic: a store's thread may be at work when its owner sets it. What waits for a token is not
	 * started: with a pool, requests that are not alone begin when the first of them is waited for. */
	struct ps_tokens *tokens;
};

static inline struct ps_tokens *ps_io_tokens(const struct ps_io *io)
{
	return __atomic_load_n(&io->tokens, __ATOMIC_ACQUIRE);
}

/* One request, start to end. A short transfer is finished or reported by the implementation, never seen here. */
static inline int ps_io_read(struct ps_io *io, uint64_t offset, void *data, size_t len)
{
	struct ps_io_request request = {.op = PS_IO_READ, .offset = offset, .data = data, .len = len,
					.alone = true};
	struct ps_io_request *list = &request;
	io->ops->submit(io, &list, 1);
	return io->ops->wait(io, &request);
}

static inline int ps_io_write(struct ps_io *io, uint64_t offset, const void *data, size_t len, bool sync)
{
	struct ps_io_request request = {.op = sync ? PS_IO_WRITE_SYNC : PS_IO_WRITE, .offset = offset,
					.data = (void *)(uintptr_t)data, .len = len, .alone = true};
	struct ps_io_request *list = &request;
	io->ops->submit(io, &list, 1);
	return io->ops->wait(io, &request);
}

enum ps_io_kind { PS_IO_AUTO = 0, PS_IO_URING = 1, PS_IO_POSIX = 2 };

struct ps_io_open {
	const char *path;      /* for opening, or for sentences only when fd >= 0 */
	int fd;                /* -1: open path; otherwise this descriptor, duplicated (the caller keeps its own) */
	enum ps_io_kind kind;  /* AUTO: io_uring if the kernel has it, else POSIX */
	bool read_only;
	bool create;           /* make the file if it is not there */
	bool exclusive;        /* PS_EEXIST if it is there */
	bool buffered;         /* do not try O_DIRECT */
	bool draft;            /* the new file is one */
	uint32_t mode;         /* of a new file; 0: 0600 */
};

/* Opens the file with O_CLOEXEC, O_DIRECT where it can be had (else buffered, io->direct false), on a descriptor above 2,
 * and takes the open-file-description lock on it: exclusive for writers, shared for read-only. A file of another kind than
 * regular is PS_EINVAL. PS_EBUSY at once if another holds the lock. *created says if the file was made by this call; its
 * directory has then been synced. A child after fork has its descriptor closed (atfork handler), so that the lock dies
 * with its owner. */
PS_CHECKED int ps_io_open(struct ps_memory *memory, const struct ps_io_open *open, struct ps_io **io, bool *created);

#endif
