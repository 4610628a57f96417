#include "tests/remote/networks/calls.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

enum { PATIENCE_S = 120 };

static struct {
	pthread_mutex_t lock;
	pthread_cond_t released, hung;
	enum calls_act act;
	uint64_t nth, count;
	int errnum;
	bool forever, hang_reads, hang_writes;
	unsigned hanging, most_hanging; /* threads */
	const char *last;
	void (*before)(void *arg);
	void *before_arg;
} calls = {.lock = PTHREAD_MUTEX_INITIALIZER,
           .released = PTHREAD_COND_INITIALIZER,
           .hung = PTHREAD_COND_INITIALIZER};

void calls_arm(enum calls_act act, uint64_t nth, int errnum, bool forever)
{
	pthread_mutex_lock(&calls.lock);
	calls.act = act;
	calls.nth = nth;
	calls.errnum = errnum;
	calls.forever = forever;
	calls.count = 0;
	calls.last = "none";
	pthread_mutex_unlock(&calls.lock);
}

uint64_t calls_disarm(void)
{
	pthread_mutex_lock(&calls.lock);
	uint64_t count = calls.count;
	calls.act = CALLS_PASS;
	pthread_mutex_unlock(&calls.lock);
	return count;
}

const char *calls_last(void)
{
	return calls.last;
}

void calls_hang(bool reads, bool writes)
{
	pthread_mutex_lock(&calls.lock);
	calls.hang_reads = reads;
	calls.hang_writes = writes;
	calls.most_hanging = calls.hanging;
	pthread_cond_broadcast(&calls.released);
	pthread_mutex_unlock(&calls.lock);
}

bool calls_await_hanging(unsigned threads)
{
	struct timespec limit;
	int err = 0;
	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += PATIENCE_S;
	pthread_mutex_lock(&calls.lock);
	while (calls.hanging < threads && err == 0)
		err = pthread_cond_timedwait(&calls.hung, &calls.lock, &limit);
	bool there = calls.hanging >= threads;
	pthread_mutex_unlock(&calls.lock);
	return there;
}

unsigned calls_most_hanging(void)
{
	pthread_mutex_lock(&calls.lock);
	unsigned most = calls.most_hanging;
	pthread_mutex_unlock(&calls.lock);
	return most;
}

void calls_before_waiting(void (*before)(void *arg), void *arg)
{
	pthread_mutex_lock(&calls.lock);
	calls.before = before;
	calls.before_arg = arg;
	pthread_mutex_unlock(&calls.lock);
}

/* What is to be done with this call. */
static enum calls_act enter(const char *name, bool read_hangs, bool write_hangs)
{
	pthread_mutex_lock(&calls.lock);
	while ((read_hangs && calls.hang_reads) || (write_hangs && calls.hang_writes)) {
		if (++calls.hanging > calls.most_hanging)
			calls.most_hanging = calls.hanging;
		pthread_cond_broadcast(&calls.hung);
		pthread_cond_wait(&calls.released, &calls.lock);
		calls.hanging--;
	}
	uint64_t call = ++calls.count;
	bool acts = calls.act != CALLS_PASS && (call == calls.nth || (calls.forever && call > calls.nth));
	enum calls_act act = acts ? calls.act : CALLS_PASS;
	if (acts)
		calls.last = name;
	pthread_mutex_unlock(&calls.lock);
	if (act == CALLS_KILL_BEFORE)
		raise(SIGKILL);
	return act;
}

static int leave(enum calls_act act, int result)
{
	if (act == CALLS_KILL_AFTER)
		raise(SIGKILL);
	if (act == CALLS_FAIL_AFTER) {
		errno = calls.errnum;
		return -1;
	}
	return result;
}

#define WRAP(result, name, parameters, arguments, read_hangs, write_hangs)                                   \
	result __real_##name parameters;                                                                     \
	result __wrap_##name parameters;                                                                     \
	result __wrap_##name parameters                                                                      \
	{                                                                                                    \
		enum calls_act act = enter(#name, read_hangs, write_hangs);                                  \
		if (act == CALLS_FAIL) {                                                                     \
			errno = calls.errnum;                                                                \
			return -1;                                                                           \
		}                                                                                            \
		return (result)leave(act, (int)__real_##name arguments);                                     \
	}

WRAP(int, fstat, (int fd, struct stat *status), (fd, status), false, false)
WRAP(int, fstatat, (int folder, const char *name, struct stat *status, int flags),
     (folder, name, status, flags), false, false)
WRAP(ssize_t, pwrite, (int fd, const void *bytes, size_t len, off_t at), (fd, bytes, len, at), false, false)
WRAP(int, fdatasync, (int fd), (fd), false, false)
WRAP(int, fsync, (int fd), (fd), false, false)
WRAP(int, ftruncate, (int fd, off_t len), (fd, len), false, false)
WRAP(int, renameat, (int from, const char *old, int to, const char *name), (from, old, to, name), false, true)
WRAP(int, renameat2, (int from, const char *old, int to, const char *name, unsigned flags),
     (from, old, to, name, flags), false, true)
WRAP(int, unlinkat, (int folder, const char *name, int flags), (folder, name, flags), false, true)

int __real_flock(int fd, int how);

/* Not under the own lock: what is called may make calls itself. A lock that was free is taken by this
 * already, and once more does no harm. */
static void say_that_it_waits(int fd, int how)
{
	pthread_mutex_lock(&calls.lock);
	void (*before)(void *arg) = calls.before;
	void *arg = calls.before_arg;
	pthread_mutex_unlock(&calls.lock);
	if (before && !(how & LOCK_NB) && __real_flock(fd, how | LOCK_NB) != 0 && errno == EWOULDBLOCK)
		before(arg);
}

int __wrap_flock(int fd, int how);
int __wrap_flock(int fd, int how)
{
	enum calls_act act = enter("flock", false, false);
	if (act == CALLS_FAIL) {
		errno = calls.errnum;
		return -1;
	}
	say_that_it_waits(fd, how);
	return leave(act, __real_flock(fd, how));
}

int __real_openat(int folder, const char *name, int flags, mode_t mode);
int __wrap_openat(int folder, const char *name, int flags, mode_t mode);
int __wrap_openat(int folder, const char *name, int flags, mode_t mode)
{
	enum calls_act act = enter("openat", true, false);
	if (act == CALLS_FAIL || act == CALLS_FAIL_AFTER) {
		errno = calls.errnum;
		return -1;
	}
	return leave(act, __real_openat(folder, name, flags, mode));
}

ssize_t __real_pread(int fd, void *bytes, size_t len, off_t at);
ssize_t __wrap_pread(int fd, void *bytes, size_t len, off_t at);
ssize_t __wrap_pread(int fd, void *bytes, size_t len, off_t at)
{
	enum calls_act act = enter("pread", false, false);
	if (act == CALLS_FAIL || act == CALLS_FAIL_AFTER) {
		errno = calls.errnum;
		return -1;
	}
	ssize_t got = __real_pread(fd, bytes, act == CALLS_SHORT ? (len + 1) / 2 : len, at);
	return act == CALLS_KILL_AFTER ? leave(act, 0) : got;
}

ssize_t __real_pwritev(int fd, const struct iovec *part, int parts, off_t at);
ssize_t __wrap_pwritev(int fd, const struct iovec *part, int parts, off_t at);
ssize_t __wrap_pwritev(int fd, const struct iovec *part, int parts, off_t at)
{
	enum calls_act act = enter("pwritev", false, false);
	if (act == CALLS_FAIL) {
		errno = calls.errnum;
		return -1;
	}
	ssize_t written = __real_pwritev(fd, part, act == CALLS_SHORT ? 1 : parts, at);
	return act == CALLS_SHORT ? written : leave(act, (int)written);
}
