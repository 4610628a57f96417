/* The limits: what the disk gives a program that stores nothing but the bytes. */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#include "bench/bench.h"

enum { BLOCK = 4096, STEP = 1 << 20, RECORD = 256, GATHER_US = 40, THREADS_MAX = 64 };

struct raw_file {
	int fd;
	uint64_t bytes, at;
};

static void write_all(struct raw_file *f, const void *data, size_t len, uint64_t at)
{
	ssize_t n = pwrite(f->fd, data, len, (off_t)at);
	if (n != (ssize_t)len)
		die("raw write: %s", n < 0 ? strerror(errno) : "short");
}

static void prewrite(struct raw_file *f)
{
	uint8_t *zeros = xalloc(STEP);
	memset(zeros, 0, STEP);
	for (uint64_t at = 0; at < f->bytes; at += STEP)
		write_all(f, zeros, (size_t)MIN(f->bytes - at, (uint64_t)STEP), at);
	free(zeros);
	if (fdatasync(f->fd))
		die("fdatasync: %s", strerror(errno));
}

struct raw_file *raw_open(const char *path, uint64_t bytes, bool sync, bool prewritten)
{
	struct raw_file *f = xalloc(sizeof(*f));
	int flags = O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | (sync ? O_DSYNC : 0);
	f->fd = open(path, flags | O_DIRECT, 0600);
	if (f->fd < 0 && errno == EINVAL)
		f->fd = open(path, flags, 0600);
	if (f->fd < 0)
		die("%s: %s", path, strerror(errno));
	f->bytes = (bytes + BLOCK - 1) / BLOCK * BLOCK;
	f->at = 0;
	int err = posix_fallocate(f->fd, 0, (off_t)f->bytes);
	if (err)
		die("%s: %s", path, strerror(err));
	if (prewritten)
		prewrite(f);
	return f;
}

void raw_close(struct raw_file *f)
{
	close(f->fd);
	free(f);
}

static void next_block(struct raw_file *f, const void *block)
{
	write_all(f, block, BLOCK, f->at);
	f->at = (f->at + BLOCK) % f->bytes;
}

uint64_t raw_sync_writes(struct raw_file *f, double seconds)
{
	uint8_t *block = xalloc(BLOCK);
	uint64_t writes = 0;
	memset(block, 1, BLOCK);
	for (double end = now() + seconds; now() < end; writes++)
		next_block(f, block);
	free(block);
	return writes;
}

/* ---- group commit by hand ---- */

struct group {
	struct raw_file *f;
	pthread_mutex_t lock;
	pthread_cond_t done;
	bool leading;
	uint64_t open, durable; /* numbers of blocks */
	_Atomic(unsigned) arrived;
	unsigned last;
	uint8_t *block, *written;
	_Atomic(bool) stop;
	_Atomic(uint64_t) commits;
};

static void gather(struct group *g)
{
	double until = now() + GATHER_US * 1e-6;
	if (g->last < 2)
		return;
	while (atomic_load(&g->arrived) < g->last && now() < until)
		sched_yield();
}

/* Lock held on entry and exit. */
static void lead(struct group *g)
{
	g->leading = true;
	pthread_mutex_unlock(&g->lock);
	gather(g);
	pthread_mutex_lock(&g->lock);
	uint8_t *block = g->block;
	uint64_t number = g->open++;
	g->block = g->written;
	g->written = block;
	g->last = atomic_exchange(&g->arrived, 0);
	pthread_mutex_unlock(&g->lock);
	next_block(g->f, block);
	pthread_mutex_lock(&g->lock);
	g->durable = number;
	g->leading = false;
	pthread_cond_broadcast(&g->done);
}

static void *commit_again_and_again(void *arg)
{
	struct group *g = arg;
	uint8_t record[RECORD] = {1};
	while (!atomic_load(&g->stop)) {
		pthread_mutex_lock(&g->lock);
		uint64_t mine = g->open;
		memcpy(g->block + atomic_fetch_add(&g->arrived, 1) % (BLOCK / RECORD) * RECORD, record,
		       RECORD);
		while (g->durable < mine) {
			if (g->leading)
				pthread_cond_wait(&g->done, &g->lock);
			else
				lead(g);
		}
		pthread_mutex_unlock(&g->lock);
		atomic_fetch_add(&g->commits, 1);
	}
	return NULL;
}

uint64_t raw_gathered(struct raw_file *f, unsigned threads, double seconds)
{
	struct group g = {
	    .f = f, .lock = PTHREAD_MUTEX_INITIALIZER, .done = PTHREAD_COND_INITIALIZER, .open = 1};
	pthread_t thread[THREADS_MAX];
	g.block = xalloc(BLOCK);
	g.written = xalloc(BLOCK);
	memset(g.block, 0, BLOCK);
	memset(g.written, 0, BLOCK);
	for (unsigned i = 0; i < threads; i++) {
		if (pthread_create(&thread[i], NULL, commit_again_and_again, &g))
			die("no thread");
	}
	usleep((useconds_t)(seconds * 1e6));
	atomic_store(&g.stop, true);
	for (unsigned i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	free(g.block);
	free(g.written);
	return atomic_load(&g.commits);
}

/* ---- one stream of large writes ---- */

struct io_uring_cqe *raw_completion(struct io_uring *ring)
{
	struct io_uring_cqe *cqe;
	int err;
	do
		err = io_uring_wait_cqe(ring, &cqe);
	while (err == -EINTR); /* it was stopped, and goes on */
	if (err)
		die("io_uring: no completion: %s", strerror(-err));
	return cqe;
}

static void reap(struct io_uring *ring, size_t request)
{
	struct io_uring_cqe *cqe = raw_completion(ring);
	if (cqe->res != (int)request)
		die("raw write: %s", cqe->res < 0 ? strerror(-cqe->res) : "short");
	io_uring_cqe_seen(ring, cqe);
}

static void flush(struct raw_file *f, struct io_uring *ring, size_t request, unsigned *inflight)
{
	for (; *inflight; --*inflight)
		reap(ring, request);
	if (fdatasync(f->fd))
		die("fdatasync: %s", strerror(errno));
}

void raw_sequential(struct raw_file *f, size_t request, unsigned depth, uint64_t batch)
{
	struct io_uring ring;
	unsigned inflight = 0;
	uint64_t whole = f->bytes / request * request;
	uint8_t *data = xalloc(request);
	memset(data, 1, request);
	if (io_uring_queue_init(depth, &ring, 0))
		die("io_uring is not to be had");
	for (uint64_t at = 0, since = 0; at < whole; at += request) {
		if (inflight == depth) {
			reap(&ring, request);
			inflight--;
		}
		io_uring_prep_write(io_uring_get_sqe(&ring), f->fd, data, (unsigned)request, at);
		io_uring_submit(&ring);
		inflight++;
		since += request;
		if (since >= batch) {
			flush(f, &ring, request, &inflight);
			since = 0;
		}
	}
	flush(f, &ring, request, &inflight);
	io_uring_queue_exit(&ring);
	free(data);
}
