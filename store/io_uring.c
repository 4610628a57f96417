/* io_uring: one ring a store, used by all threads.
 *
 * Submission is under `lock`. At most DEPTH requests are in the kernel, half of what the completion queue
 * holds, so that it cannot overflow; the rest wait in `backlog`. A thread that waits for a request becomes
 * the reaper, if there is none, and sleeps in the kernel for completions; the others sleep on `finished`. The
 * reaper marks every request that it finds, whoever it belongs to, and wakes the others, one of whom is the
 * next reaper if its own is not done yet. What the ring does not bring to its end (a short transfer, EINTR,
 * EAGAIN, a request cancelled because the thread that submitted it has ended, a refused submission) is
 * finished by pread or pwrite.
 *
 * With a token pool nothing may hold a token while its thread is elsewhere, perhaps behind a lock that another thread
 * has who wants one. So requests are only noted in `deferred`; the first thread that waits for one takes as many tokens
 * as are to be had, at least one, starts as many requests as a *wave*, and stays until all of them are done, whoever
 * they belong to. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/sanitizers.h"
#include "store/io_file.h"

enum { DEPTH = 128, CHUNK_MAX = 1 << 30 };

struct uring_file {
	struct io_file file;
	struct io_uring ring;
	pthread_mutex_t lock;
	pthread_cond_t finished;
	bool reaping;       /* a thread is the reaper */
	unsigned sleepers;  /* threads that wait on `finished` */
	unsigned in_kernel; /* submitted, completion not yet seen */
	struct ps_io_request *backlog, **backlog_end;
	struct ps_io_request *deferred, **deferred_end; /* wait for tokens */
};

/* Requests that were started together, each with a token. On the stack of the thread that started them. */
struct wave {
	size_t left; /* not done; guarded by `lock` */
};

static struct uring_file *uring_of(struct ps_io *io)
{
	return (struct uring_file *)(void *)io;
}

size_t io_uring_file_bytes(void)
{
	return sizeof(struct uring_file);
}

static void prepare(struct uring_file *uring, struct ps_io_request *request)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
	assert(sqe); /* as many entries as requests in the kernel */
	unsigned len = request->len < CHUNK_MAX ? (unsigned)request->len : CHUNK_MAX;
	if (request->op == PS_IO_READ)
		io_uring_prep_read(sqe, uring->file.fd, request->data, len, request->offset);
	else
		io_uring_prep_write(sqe, uring->file.fd, request->data, len, request->offset);
	if (request->op != PS_IO_READ)
		sqe->rw_flags = io_write_flags(&uring->file, request);
	io_uring_sqe_set_data(sqe, request);
}

/* Takes back the entries that the kernel has not consumed: without a polling thread it looks at the queue's
 * end only when it is called. */
static void unprepare_rest(struct io_uring *ring)
{
	unsigned head = __atomic_load_n(ring->sq.khead, __ATOMIC_ACQUIRE);
	ring->sq.sqe_head = ring->sq.sqe_tail = head;
	__atomic_store_n(ring->sq.ktail, head, __ATOMIC_RELEASE);
}

/* Hands `count` prepared entries to the kernel; how many it took. */
static unsigned enter(struct io_uring *ring, unsigned count)
{
	unsigned taken = 0;
	while (taken < count) {
		int n = io_uring_submit(ring);
		if (n > 0)
			taken += (unsigned)n;
		else if (n != -EINTR)
			break;
	}
	if (taken < count)
		unprepare_rest(ring);
	return taken;
}

/* Moves what fits from the backlog into the kernel. Returns the requests that it refused, to be run without
 * the ring. */
static struct ps_io_request *fill_ring_locked(struct uring_file *uring)
{
	struct ps_io_request *first = uring->backlog;
	struct ps_io_request *request = first;
	unsigned count = 0;
	while (request && uring->in_kernel + count < DEPTH) {
		prepare(uring, request);
		request = request->next;
		count++;
	}
	if (count == 0)
		return NULL;
	uring->backlog = request;
	if (!request)
		uring->backlog_end = &uring->backlog;
	/* The completions of those taken are not read before the lock is free: their `next` is still ours. */
	unsigned taken = enter(&uring->ring, count);
	uring->in_kernel += taken;
	for (unsigned i = 0; i < taken; i++)
		first = first->next;
	if (taken == count)
		return NULL;
	struct ps_io_request *refused = first;
	for (unsigned i = taken + 1; i < count; i++)
		first = first->next;
	first->next = NULL;
	return refused;
}

/* Without the lock: these belong to this thread until they are marked done. `errnum` tells how far each got.
 */
static void run_all(struct uring_file *uring, struct ps_io_request *list)
{
	while (list) {
		struct ps_io_request *request = list;
		struct wave *wave = request->wave;
		list = list->next;
		io_file_run(&uring->file, request, (size_t)request->errnum);
		if (wave) {
			pthread_mutex_lock(&uring->lock);
			wave->left--;
			pthread_mutex_unlock(&uring->lock);
		}
	}
}

/* Called and returns with the lock held. Afterwards the backlog is empty or the ring is full: whoever reaps
 * goes on. */
static void feed(struct uring_file *uring)
{
	struct ps_io_request *refused;
	while ((refused = fill_ring_locked(uring)) != NULL) {
		pthread_mutex_unlock(&uring->lock);
		run_all(uring, refused);
		pthread_mutex_lock(&uring->lock);
		if (uring->sleepers > 0)
			pthread_cond_broadcast(&uring->finished);
	}
}

static void uring_submit(struct ps_io *io, struct ps_io_request *const *requests, size_t n)
{
	struct uring_file *uring = uring_of(io);
	if (n == 1 && requests[0]->alone) { /* a ring brings nothing at depth one */
		if (io_file_admit(&uring->file, requests[0]))
			io_file_run_with_token(&uring->file, requests[0]);
		return;
	}
	struct ps_io_request *first = NULL, **end = &first;
	for (size_t i = 0; i < n; i++) {
		if (!io_file_admit(&uring->file, requests[i]))
			continue;
		requests[i]->errnum = 0;
		requests[i]->next = NULL;
		requests[i]->wave = NULL;
		*end = requests[i];
		end = &requests[i]->next;
	}
	if (!first)
		return;
	pthread_mutex_lock(&uring->lock);
	if (ps_io_tokens(io)) {
		*uring->deferred_end = first;
		uring->deferred_end = end;
	} else {
		*uring->backlog_end = first;
		uring->backlog_end = end;
		feed(uring);
	}
	pthread_mutex_unlock(&uring->lock);
}

/* True if the completion ends the request; otherwise its first *moved bytes are done, the rest is not. */
static bool completion_ends(struct ps_io_request *request, int result, size_t *moved)
{
	*moved = 0;
	if (result >= 0 && (size_t)result == request->len) {
		io_request_finish(request, 0);
		return true;
	}
	if (result < 0 && result != -EINTR && result != -EAGAIN && result != -ECANCELED) {
		io_request_finish(request, -result);
		return true;
	}
	*moved = result > 0 ? (size_t)result : 0;
	return false;
}

/* Marks what is complete. Returns the requests that need to be finished without the ring. */
static struct ps_io_request *reap_locked(struct uring_file *uring)
{
	struct ps_io_request *unfinished = NULL;
	struct io_uring_cqe *cqe;
	unsigned head, count = 0;
	io_uring_for_each_cqe(&uring->ring, head, cqe)
	{
		struct ps_io_request *request = io_uring_cqe_get_data(cqe);
		struct wave *wave = request->wave; /* once it is done the request is its waiter's */
		size_t moved;
		count++;
		if (completion_ends(request, cqe->res, &moved)) {
			if (wave)
				wave->left--;
			continue;
		}
		request->errnum = (int)moved; /* at most CHUNK_MAX */
		request->next = unfinished;
		unfinished = request;
	}
	io_uring_cq_advance(&uring->ring, count);
	uring->in_kernel -= count;
	return unfinished;
}

/* Blocks until there is a completion or a signal. */
static void sleep_in_kernel(struct uring_file *uring)
{
	struct io_uring_cqe *cqe;
	int result = io_uring_wait_cqe(&uring->ring, &cqe);
	if (result == 0 || result == -EINTR)
		return;
	/* The ring cannot be entered any more (the program closed a descriptor that is not its own). The
	 * buffers are the kernel's until it says otherwise, and it still does so in memory: look there. */
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* One turn as the reaper. Called and returns with the lock held. */
static void reap_turn(struct uring_file *uring)
{
	uring->reaping = true;
	pthread_mutex_unlock(&uring->lock);
	sleep_in_kernel(uring);
	pthread_mutex_lock(&uring->lock);
	struct ps_io_request *unfinished = reap_locked(uring);
	feed(uring);
	if (unfinished) {
		pthread_mutex_unlock(&uring->lock);
		run_all(uring, unfinished);
		pthread_mutex_lock(&uring->lock);
	}
	uring->reaping = false;
	if (uring->sleepers > 0)
		pthread_cond_broadcast(&uring->finished);
}

/* Sleeps until something has ended. Called and returns with the lock held. */
static void sleep_for_end(struct uring_file *uring)
{
	/* With nothing in the kernel, what is open is being run by a thread that will wake us. */
	if (!uring->reaping && uring->in_kernel > 0) {
		reap_turn(uring);
	} else {
		uring->sleepers++;
		pthread_cond_wait(&uring->finished, &uring->lock);
		uring->sleepers--;
	}
}

/* Moves up to n requests from those that wait for tokens to the backlog; how many. */
static size_t form_wave_locked(struct uring_file *uring, struct wave *wave, size_t n)
{
	size_t moved = 0;
	while (moved < n && uring->deferred) {
		struct ps_io_request *request = uring->deferred;
		uring->deferred = request->next;
		if (!uring->deferred)
			uring->deferred_end = &uring->deferred;
		request->next = NULL;
		request->wave = wave;
		*uring->backlog_end = request;
		uring->backlog_end = &request->next;
		moved++;
	}
	return moved;
}

/* Takes tokens, starts what they allow, and stays until it is done. Called and returns with the lock held. */
static void run_wave(struct uring_file *uring)
{
	struct ps_tokens *tokens = ps_io_tokens(&uring->file.io);
	struct wave wave = {0};
	size_t taken = DEPTH;
	if (tokens) {
		pthread_mutex_unlock(&uring->lock);
		ps_tokens_take(tokens, PS_TOKEN_DISK);
		taken = 1 + tokens->ops->try_acquire(tokens, PS_TOKEN_DISK, DEPTH - 1);
		pthread_mutex_lock(&uring->lock);
	}
	size_t count = wave.left = form_wave_locked(uring, &wave, taken);
	if (tokens && taken > count)
		tokens->ops->release(tokens, PS_TOKEN_DISK, taken - count);
	if (count > 0)
		feed(uring);
	while (wave.left > 0)
		sleep_for_end(uring);
	if (!tokens)
		return;
	ps_tokens_note(0, 1);
	if (count > 0)
		tokens->ops->release(tokens, PS_TOKEN_DISK, count);
}

static int uring_wait(struct ps_io *io, struct ps_io_request *request)
{
	struct uring_file *uring = uring_of(io);
	if (!io_request_is_done(request)) {
		pthread_mutex_lock(&uring->lock);
		while (!io_request_is_done(request)) {
			if (uring->deferred)
				run_wave(uring);
			else
				sleep_for_end(uring);
		}
		pthread_mutex_unlock(&uring->lock);
	}
	return io_request_result(&uring->file, request);
}

/* Rings are mapped by liburing, which the thread sanitizer does not see: one ring's memory may be where another
 * one's was a moment ago, in another thread. For the sanitizer alone the two are put in order. */
#if PS_THREAD_SANITIZER
static pthread_mutex_t mapping_rings = PTHREAD_MUTEX_INITIALIZER;

static int map_ring(struct io_uring *ring)
{
	pthread_mutex_lock(&mapping_rings);
	int result = io_uring_queue_init(DEPTH, ring, 0);
	pthread_mutex_unlock(&mapping_rings);
	return result;
}

static void unmap_ring(struct io_uring *ring)
{
	pthread_mutex_lock(&mapping_rings);
	io_uring_queue_exit(ring);
	pthread_mutex_unlock(&mapping_rings);
}
#else
static int map_ring(struct io_uring *ring)
{
	return io_uring_queue_init(DEPTH, ring, 0);
}

static void unmap_ring(struct io_uring *ring)
{
	io_uring_queue_exit(ring);
}
#endif

static void uring_close(struct ps_io *io)
{
	struct uring_file *uring = uring_of(io);
	assert(uring->in_kernel == 0 && !uring->backlog && !uring->deferred); /* every request has been waited for */
	unmap_ring(&uring->ring);
	pthread_cond_destroy(&uring->finished);
	pthread_mutex_destroy(&uring->lock);
	io_file_close(&uring->file, sizeof(*uring));
}

static const struct ps_io_ops uring_ops = {
    .name = "io_uring",
    .submit = uring_submit,
    .wait = uring_wait,
    .flush = io_file_flush,
    .allocate = io_file_allocate,
    .punch = io_file_punch,
    .truncate = io_file_truncate,
    .size = io_file_size,
    .stats = io_file_stats,
    .close = uring_close,
};

/* The ring's descriptor, too, is kept away from 0 to 2, which a program closes and opens at will. */
static int move_ring(struct io_uring *ring)
{
	if (ring->ring_fd >= IO_FIRST_FD)
		return 0;
	int moved = fcntl(ring->ring_fd, F_DUPFD_CLOEXEC, IO_FIRST_FD);
	if (moved < 0)
		return -errno;
	close(ring->ring_fd);
	ring->ring_fd = ring->enter_ring_fd = moved;
	return 0;
}

int io_uring_start(struct io_file *file)
{
	struct uring_file *uring = (struct uring_file *)(void *)file;
	int result = map_ring(&uring->ring);
	if (result == 0) {
		result = move_ring(&uring->ring);
		/* A child after fork has nothing to do with the queues. */
		if (result == 0)
			result = io_uring_ring_dontfork(&uring->ring);
		if (result != 0)
			unmap_ring(&uring->ring);
	}
	if (result != 0) {
		(void)ps_fail_errno(-result, "%s: io_uring", file->path);
		return result == -ENOMEM ? PS_ENOMEM : PS_ENOTSUP;
	}
	pthread_mutex_init(&uring->lock, NULL);
	pthread_cond_init(&uring->finished, NULL);
	uring->backlog_end = &uring->backlog;
	uring->deferred_end = &uring->deferred;
	file->ring_fd = uring->ring.ring_fd;
	file->io.ops = &uring_ops;
	return PS_OK;
}
