/* What io_open.c, io_posix.c and io_uring.c share: a store's open file. */
#ifndef PS_IO_FILE_H
#define PS_IO_FILE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "store/io.h"

enum { IO_FIRST_FD = 3 }; /* never 0 to 2: what a program prints would land in the store */

struct io_file {
	struct ps_io io;
	struct ps_memory *memory;
	char *path;
	size_t path_bytes;
	int fd;
	int ring_fd; /* io_uring's own descriptor, -1 without */
	bool read_only;
	dev_t device;
	ino_t inode;
	pthread_mutex_t
	    size_lock; /* allocate and truncate: one at a time, so that a failed growth can be taken back */
	struct io_file *next_open;       /* registry of io_open.c */
	atomic_uint_fast64_t size_limit; /* RLIMIT_FSIZE when it was last asked for; 0: not yet */
	atomic_uint_fast64_t reads, writes, flushes, bytes_read, bytes_written;
};

static inline struct io_file *io_file_of(struct ps_io *io)
{
	return (struct io_file *)(void *)io;
}

/* io_posix.c: the synchronous method, and what both methods do alike. */
extern const struct ps_io_ops io_posix_ops;

/* Runs the part of the request behind its first `moved` bytes, to its end or an error, and marks it done. */
void io_file_run(struct io_file *file, struct ps_io_request *request, size_t moved);
/* The whole request, holding a token where there is a pool. */
void io_file_run_with_token(struct io_file *file, struct ps_io_request *request);
/* Counts the request and refuses it (marked done, result false) where the file size limit would raise
 * SIGXFSZ. */
bool io_file_admit(struct io_file *file, struct ps_io_request *request);
/* Ends a request: the status that fits the errno value, 0 for success. The request is the waiter's from then
 * on. */
void io_request_finish(struct ps_io_request *request, int errnum);
/* Status of a finished request; the failure's sentence goes to the calling thread. */
int io_request_result(struct io_file *file, const struct ps_io_request *request);
/* The bytes behind the file's end, `moved` bytes into a read, are zeros. */
void io_request_zero_rest(struct ps_io_request *request, size_t moved);
/* Of a write, for pwritev2() and its like. */
int io_write_flags(const struct io_file *file, const struct ps_io_request *request);
int io_file_flush(struct ps_io *io);
int io_file_allocate(struct ps_io *io, uint64_t offset, uint64_t len);
int io_file_punch(struct ps_io *io, uint64_t offset, uint64_t len);
int io_file_truncate(struct ps_io *io, uint64_t size);
int io_file_size(struct ps_io *io, uint64_t *bytes, uint64_t *disk_bytes);
void io_file_stats(struct ps_io *io, struct ps_io_stats *stats);

static inline bool io_request_is_done(const struct ps_io_request *request)
{
	return __atomic_load_n(&request->done, __ATOMIC_ACQUIRE);
}

/* io_open.c: takes the file off the registry, unlocks and closes it, and frees the struct of `bytes` bytes.
 */
void io_file_close(struct io_file *file, size_t bytes);

/* io_uring.c. PS_ENOTSUP where the kernel or its policy refuses a ring. */
size_t io_uring_file_bytes(void);
int io_uring_start(struct io_file *file);

#endif
