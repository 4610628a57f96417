/* The synchronous method: a request is carried out when it is submitted, by pread and pwrite. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fail.h"
#include "store/io_file.h"

enum { ZEROS_BYTES = 65536, AGAIN_MAX = 1000 };

void io_request_finish(struct ps_io_request *request, int errnum)
{
	request->errnum = errnum;
	if (errnum == 0)
		request->status = PS_OK;
	else
		request->status = ps_error_from_errno(errnum) == PS_ENOSPC ? PS_ENOSPC : PS_EIO;
	__atomic_store_n(&request->done, true, __ATOMIC_RELEASE);
}

int io_request_result(struct io_file *file, const struct ps_io_request *request)
{
	if (request->status == PS_OK)
		return PS_OK;
	(void)ps_fail_errno(request->errnum, "%s: %s of %zu bytes at offset %" PRIu64, file->io.path,
	                    request->op == PS_IO_READ ? "read" : "write", request->len, request->offset);
	return request->status;
}

/* Writing past RLIMIT_FSIZE would raise SIGXFSZ, which ends the process. */
static bool within_size_limit(struct io_file *file, uint64_t end)
{
	struct rlimit limit;
	uint64_t most = UINT64_MAX;
	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
		most = limit.rlim_cur;
	atomic_store_explicit(&file->size_limit, most, memory_order_relaxed);
	return end <= most;
}

/* Asking the kernel costs as much as a tenth of a write: writes go by the limit as it was when the file grew
 * last, and ask only beyond it. A program that lowers its own limit below the size of a store that it has
 * open gets its signal. */
static bool write_is_within_limit(struct io_file *file, uint64_t end)
{
	return end <= atomic_load_explicit(&file->size_limit, memory_order_relaxed) ||
	       within_size_limit(file, end);
}

bool io_file_admit(struct io_file *file, struct ps_io_request *request)
{
	assert(request->offset % file->io.alignment == 0 && request->len % file->io.alignment == 0);
	assert(!file->io.direct || (uintptr_t)request->data % file->io.alignment == 0);
	__atomic_store_n(&request->done, false, __ATOMIC_RELAXED);
	if (request->op == PS_IO_READ) {
		atomic_fetch_add_explicit(&file->reads, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&file->bytes_read, request->len, memory_order_relaxed);
		return true;
	}
	atomic_fetch_add_explicit(&file->writes, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&file->bytes_written, request->len, memory_order_relaxed);
	if (write_is_within_limit(file, request->offset + request->len))
		return true;
	io_request_finish(request, EFBIG);
	return false;
}

void io_request_zero_rest(struct ps_io_request *request, size_t moved)
{
	memset((char *)request->data + moved, 0, request->len - moved);
}

int io_write_flags(const struct io_file *file, const struct ps_io_request *request)
{
	return request->op == PS_IO_WRITE_SYNC && !file->io.draft ? RWF_DSYNC : 0;
}

static ssize_t transfer_once(const struct io_file *file, const struct ps_io_request *request, size_t moved)
{
	struct iovec part = {(char *)request->data + moved, request->len - moved};
	off_t offset = (off_t)(request->offset + moved);
	if (request->op == PS_IO_READ)
		return preadv2(file->fd, &part, 1, offset, 0);
	return pwritev2(file->fd, &part, 1, offset, io_write_flags(file, request));
}

void io_file_run(struct io_file *file, struct ps_io_request *request, size_t moved)
{
	/* With O_DIRECT a transfer goes on at an aligned place only; what lies before it is moved once more.
	 */
	size_t grain = file->io.direct ? file->io.alignment : 1;
	int again = 0;
	moved -= moved % grain;
	while (moved < request->len) {
		ssize_t n = transfer_once(file, request, moved);
		if (n < 0 && (errno == EINTR || (errno == EAGAIN && again++ < AGAIN_MAX))) {
			sched_yield();
			continue;
		}
		if (n < 0) {
			io_request_finish(request, errno);
			return;
		}
		size_t got = (size_t)n;
		bool at_end = request->op == PS_IO_READ && (got == 0 || got % grain != 0);
		if (at_end) {
			io_request_zero_rest(request, moved + got);
			break;
		}
		if (got - got % grain == 0) { /* a write that stands still would be tried for ever */
			io_request_finish(request, EIO);
			return;
		}
		moved += got - got % grain;
	}
	io_request_finish(request, 0);
}

void io_file_run_with_token(struct io_file *file, struct ps_io_request *request)
{
	struct ps_tokens *tokens = ps_io_tokens(&file->io);
	ps_tokens_take(tokens, PS_TOKEN_DISK);
	io_file_run(file, request, 0);
	ps_tokens_give(tokens, PS_TOKEN_DISK);
}

static void posix_submit(struct ps_io *io, struct ps_io_request *const *requests, size_t n)
{
	struct io_file *file = io_file_of(io);
	for (size_t i = 0; i < n; i++) {
		if (io_file_admit(file, requests[i]))
			io_file_run_with_token(file, requests[i]);
	}
}

static int posix_wait(struct ps_io *io, struct ps_io_request *request)
{
	assert(io_request_is_done(request));
	return io_request_result(io_file_of(io), request);
}

/* A failed fdatasync is never tried again: the kernel forgets the error and the data, and a second call says
 * OK. */
int io_file_flush(struct ps_io *io)
{
	struct io_file *file = io_file_of(io);
	struct ps_tokens *tokens = ps_io_tokens(io);
	if (io->draft)
		return PS_OK;
	atomic_fetch_add_explicit(&file->flushes, 1, memory_order_relaxed);
	ps_tokens_take(tokens, PS_TOKEN_DISK);
	int errnum = fdatasync(file->fd) == 0 ? 0 : errno;
	ps_tokens_give(tokens, PS_TOKEN_DISK);
	if (errnum == 0)
		return PS_OK;
	int err = ps_fail_errno(errnum, "%s: flush", io->path);
	return err == PS_ENOSPC ? err : PS_EIO;
}

static int fail_range(struct ps_io *io, int errnum, const char *what, uint64_t offset, uint64_t len)
{
	int err = ps_fail_errno(errnum, "%s: %s of %" PRIu64 " bytes at offset %" PRIu64, io->path, what, len,
	                        offset);
	return err == PS_ENOSPC ? err : PS_EIO;
}

static int write_zeros(struct io_file *file, uint64_t offset, uint64_t end)
{
	static _Alignas(4096) char zeros[ZEROS_BYTES];
	while (offset < end) {
		size_t len = end - offset < ZEROS_BYTES ? (size_t)(end - offset) : ZEROS_BYTES;
		struct ps_io_request request = {
		    .op = PS_IO_WRITE, .offset = offset, .data = zeros, .len = len};
		io_file_run(file, &request, 0);
		if (request.status != PS_OK)
			return request.errnum;
		offset += len;
	}
	return 0;
}

static uint64_t align_up(uint64_t value, uint32_t alignment)
{
	return (value + alignment - 1) / alignment * alignment;
}

/* For file systems without fallocate: zeros into the holes of [offset, end), which reach to infinity behind
 * the file's end. Data is left alone. An unaligned end of file is made aligned by the truncate before it. */
static int fill_holes(struct io_file *file, uint64_t offset, uint64_t end, uint64_t old_size)
{
	uint64_t size = align_up(old_size, file->io.alignment);
	if (size != old_size && size <= end && ftruncate(file->fd, (off_t)size) != 0)
		return errno;
	while (offset < end) {
		off_t hole = offset < size ? lseek(file->fd, (off_t)offset, SEEK_HOLE) : (off_t)offset;
		if (hole < 0)
			return errno;
		uint64_t from = align_up((uint64_t)hole, file->io.alignment);
		if (from >= end)
			return 0;
		off_t data = from < size ? lseek(file->fd, (off_t)from, SEEK_DATA) : -1;
		uint64_t to = data < 0 || (uint64_t)data > end ? end : (uint64_t)data;
		to -= to % file->io.alignment;
		int errnum = write_zeros(file, from, to);
		if (errnum != 0)
			return errnum;
		offset = to > from ? to : from + file->io.alignment;
	}
	return 0;
}

static int reserve(struct io_file *file, uint64_t offset, uint64_t len, uint64_t old_size)
{
	for (;;) {
		if (fallocate(file->fd, 0, (off_t)offset, (off_t)len) == 0)
			return 0;
		if (errno == EOPNOTSUPP || errno == ENOSYS)
			return fill_holes(file, offset, offset + len, old_size);
		if (errno != EINTR)
			return errno;
	}
}

static int allocate_locked(struct io_file *file, uint64_t offset, uint64_t len)
{
	struct stat before, after;
	if (fstat(file->fd, &before) != 0)
		return errno;
	int errnum = reserve(file, offset, len, (uint64_t)before.st_size);
	/* A full disk may have left a part of the growth; the call has no effect when it fails. */
	if (errnum != 0 && fstat(file->fd, &after) == 0 && after.st_size > before.st_size &&
	    ftruncate(file->fd, before.st_size) != 0)
		return errno;
	return errnum;
}

int io_file_allocate(struct ps_io *io, uint64_t offset, uint64_t len)
{
	struct io_file *file = io_file_of(io);
	if (len == 0)
		return PS_OK;
	if (!within_size_limit(file, offset + len))
		return fail_range(io, EFBIG, "allocation", offset, len);
	struct ps_tokens *tokens = ps_io_tokens(io);
	pthread_mutex_lock(&file->size_lock);
	ps_tokens_take(tokens, PS_TOKEN_DISK);
	int errnum = allocate_locked(file, offset, len);
	ps_tokens_give(tokens, PS_TOKEN_DISK);
	pthread_mutex_unlock(&file->size_lock);
	return errnum == 0 ? PS_OK : fail_range(io, errnum, "allocation", offset, len);
}

static int punch(struct io_file *file, uint64_t offset, uint64_t len)
{
	while (fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len) != 0) {
		if (errno != EINTR)
			return errno;
	}
	return 0;
}

int io_file_punch(struct ps_io *io, uint64_t offset, uint64_t len)
{
	struct ps_tokens *tokens = ps_io_tokens(io);
	if (len == 0)
		return PS_OK;
	ps_tokens_take(tokens, PS_TOKEN_DISK);
	int errnum = punch(io_file_of(io), offset, len);
	ps_tokens_give(tokens, PS_TOKEN_DISK);
	if (errnum == EOPNOTSUPP || errnum == ENOSYS)
		return ps_fail(PS_ENOTSUP, "%s: the file system cannot punch holes", io->path);
	return errnum == 0 ? PS_OK : fail_range(io, errnum, "hole", offset, len);
}

int io_file_truncate(struct ps_io *io, uint64_t size)
{
	struct io_file *file = io_file_of(io);
	struct ps_tokens *tokens = ps_io_tokens(io);
	int errnum = 0;
	pthread_mutex_lock(&file->size_lock);
	ps_tokens_take(tokens, PS_TOKEN_DISK);
	if (!within_size_limit(file, size)) {
		struct stat now;
		errnum = fstat(file->fd, &now) == 0 && size <= (uint64_t)now.st_size ? 0 : EFBIG;
	}
	while (errnum == 0 && ftruncate(file->fd, (off_t)size) != 0)
		errnum = errno == EINTR ? 0 : errno;
	ps_tokens_give(tokens, PS_TOKEN_DISK);
	pthread_mutex_unlock(&file->size_lock);
	return errnum == 0 ? PS_OK : fail_range(io, errnum, "truncation", 0, size);
}

int io_file_size(struct ps_io *io, uint64_t *bytes, uint64_t *disk_bytes)
{
	struct stat now;
	if (fstat(io_file_of(io)->fd, &now) != 0)
		return fail_range(io, errno, "size", 0, 0);
	if (bytes)
		*bytes = (uint64_t)now.st_size;
	if (disk_bytes)
		*disk_bytes = (uint64_t)now.st_blocks * 512;
	return PS_OK;
}

void io_file_stats(struct ps_io *io, struct ps_io_stats *stats)
{
	struct io_file *file = io_file_of(io);
	*stats = (struct ps_io_stats){
	    .reads = atomic_load_explicit(&file->reads, memory_order_relaxed),
	    .writes = atomic_load_explicit(&file->writes, memory_order_relaxed),
	    .flushes = atomic_load_explicit(&file->flushes, memory_order_relaxed),
	    .bytes_read = atomic_load_explicit(&file->bytes_read, memory_order_relaxed),
	    .bytes_written = atomic_load_explicit(&file->bytes_written, memory_order_relaxed),
	};
}

static void posix_close(struct ps_io *io)
{
	io_file_close(io_file_of(io), io_uring_file_bytes());
}

const struct ps_io_ops io_posix_ops = {
    .name = "posix",
    .submit = posix_submit,
    .wait = posix_wait,
    .flush = io_file_flush,
    .allocate = io_file_allocate,
    .punch = io_file_punch,
    .truncate = io_file_truncate,
    .size = io_file_size,
    .stats = io_file_stats,
    .close = posix_close,
};
