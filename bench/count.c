/* Counts the I/O calls of everything in this process: the program's own functions of these names come before
 * the C library's, also for shared libraries. io_uring is not seen here, nor are futexes; a tracer would slow
 * down what it counts. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench/harness.h"

static _Atomic(uint64_t) calls, flushes;

struct call_counts call_counts(void)
{
	return (struct call_counts){atomic_load_explicit(&calls, memory_order_relaxed),
	                            atomic_load_explicit(&flushes, memory_order_relaxed)};
}

#ifdef COUNT_CALLS

/* What these functions' own headers say about their arguments does not matter to the kernel. */
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wconversion"
#define SEEN __attribute__((visibility("default")))

enum { FDS = 4096 };
/* Descriptors of which every write is a flush. */
static _Atomic(bool) is_dsync[FDS];

static void count(void)
{
	atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
}

static void count_flush(void)
{
	count();
	atomic_fetch_add_explicit(&flushes, 1, memory_order_relaxed);
}

static void count_write(int fd)
{
	if (fd >= 0 && fd < FDS && atomic_load_explicit(&is_dsync[fd], memory_order_relaxed))
		count_flush();
	else
		count();
}

static int opened(int fd, int flags)
{
	count();
	if (fd >= 0 && fd < FDS)
		atomic_store_explicit(&is_dsync[fd], (flags & O_DSYNC) != 0, memory_order_relaxed);
	return fd;
}

#define OPEN(name, before, folder)                                                                           \
	SEEN int name(before const char *path, int flags, ...)                                               \
	{                                                                                                    \
		va_list args;                                                                                \
		va_start(args, flags);                                                                       \
		int mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(args, int) : 0;                          \
		va_end(args);                                                                                \
		return opened((int)syscall(SYS_openat, folder, path, flags, mode), flags);                   \
	}
#define FOLDER_ARGUMENT int at,
OPEN(open, , AT_FDCWD)
OPEN(open64, , AT_FDCWD)
OPEN(openat, FOLDER_ARGUMENT, at)
OPEN(openat64, FOLDER_ARGUMENT, at)

SEEN ssize_t read(int fd, void *buf, size_t len)
{
	count();
	return syscall(SYS_read, fd, buf, len);
}

SEEN ssize_t write(int fd, const void *buf, size_t len)
{
	count_write(fd);
	return syscall(SYS_write, fd, buf, len);
}

#define PREAD(name)                                                                                          \
	SEEN ssize_t name(int fd, void *buf, size_t len, off_t at)                                           \
	{                                                                                                    \
		count();                                                                                     \
		return syscall(SYS_pread64, fd, buf, len, at);                                               \
	}
PREAD(pread)
PREAD(pread64)

#define PWRITE(name)                                                                                         \
	SEEN ssize_t name(int fd, const void *buf, size_t len, off_t at)                                     \
	{                                                                                                    \
		count_write(fd);                                                                             \
		return syscall(SYS_pwrite64, fd, buf, len, at);                                              \
	}
PWRITE(pwrite)
PWRITE(pwrite64)

SEEN ssize_t readv(int fd, const struct iovec *parts, int n)
{
	count();
	return syscall(SYS_readv, fd, parts, n);
}

SEEN ssize_t writev(int fd, const struct iovec *parts, int n)
{
	count_write(fd);
	return syscall(SYS_writev, fd, parts, n);
}

#define PWRITEV(name)                                                                                        \
	SEEN ssize_t name(int fd, const struct iovec *parts, int n, off_t at)                                \
	{                                                                                                    \
		count_write(fd);                                                                             \
		return syscall(SYS_pwritev, fd, parts, n, at, 0);                                            \
	}
PWRITEV(pwritev)
PWRITEV(pwritev64)

SEEN int fsync(int fd)
{
	count_flush();
	return (int)syscall(SYS_fsync, fd);
}

SEEN int fdatasync(int fd)
{
	count_flush();
	return (int)syscall(SYS_fdatasync, fd);
}

SEEN int syncfs(int fd)
{
	count_flush();
	return (int)syscall(SYS_syncfs, fd);
}

SEEN int sync_file_range(int fd, off_t at, off_t len, unsigned flags)
{
	count();
	return (int)syscall(SYS_sync_file_range, fd, at, len, flags);
}

SEEN int msync(void *start, size_t len, int flags)
{
	if (flags & MS_SYNC)
		count_flush();
	else
		count();
	return (int)syscall(SYS_msync, start, len, flags);
}

#endif
