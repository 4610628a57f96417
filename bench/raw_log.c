/* A block is a header and records, and begins on a 4 KiB boundary. One block is in flight at a time, another
 * is being filled. Every record has its own checksum; a block counts if all of them hold. */
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
#include <xxhash.h>

#include "bench/bench.h"
#include "bench/raw_log.h"

enum {
	BUFFER = 16 << 20,
	STREAM = 256 << 10, /* a commit above this is written while it is being copied */
	FLUSH = 1 << 20,    /* relaxed bytes that wait in memory, at most for 10 ms */
	FLUSH_NS = 10000000,
	GATHER_US = 40,
	DEPTH = 32,
	STEP = 1 << 20,
};
static const uint64_t MAGIC = 0x676f6c2d77617270U;

struct block {
	uint64_t magic, sequence;
	uint32_t bytes, records; /* bytes: of all, this header too, before rounding */
	uint64_t epoch;          /* of the open that wrote it: what lies behind from another one is stale */
};

struct raw_log {
	int fd, sync_fd, buffered_fd;
	enum durability durability;
	uint64_t bytes, tail; /* tail: where the block that is being filled begins */
	uint64_t sequence, epoch;
	pthread_mutex_t lock;
	pthread_cond_t done, work;
	uint8_t *open, *written;
	size_t used;
	uint32_t records;
	bool leading, outside;
	uint64_t open_block, done_block;
	_Atomic(unsigned) arrived;
	unsigned last;
	struct io_uring ring; /* of the leader */
	pthread_mutex_t many_lock;
	struct io_uring many; /* of raw_log_write_many and _read_many */
	pthread_t flusher;
	bool stop;
	_Atomic(uint64_t) calls, flushes;
};

static size_t round_up(size_t n)
{
	return (n + RAW_BLOCK - 1) / RAW_BLOCK * RAW_BLOCK;
}

static void must_write(int fd, const void *data, size_t len, uint64_t at)
{
	ssize_t n = pwrite(fd, data, len, (off_t)at);
	if (n != (ssize_t)len)
		die("raw write: %s", n < 0 ? strerror(errno) : "short");
}

static void must_flush(const struct raw_log *log)
{
	if (fdatasync(log->fd))
		die("raw flush: %s", strerror(errno));
}

static void prewrite(const struct raw_log *log, uint64_t data)
{
	uint8_t *zeros = xalloc(STEP);
	memset(zeros, 0, STEP);
	int err = posix_fallocate(log->fd, 0, (off_t)(log->bytes + data));
	if (err)
		die("raw: %s", strerror(err));
	for (uint64_t at = 0; at < log->bytes; at += STEP)
		must_write(log->fd, zeros, (size_t)MIN(log->bytes - at, (uint64_t)STEP), at);
	free(zeros);
	must_flush(log);
}

/* ---- many requests ---- */

static void reap(struct io_uring *ring)
{
	struct io_uring_cqe *cqe = raw_completion(ring);
	uint64_t wanted = io_uring_cqe_get_data64(cqe);
	if (cqe->res < 0 || (uint64_t)cqe->res != wanted)
		die("raw I/O: %s", cqe->res < 0 ? strerror(-cqe->res) : "short");
	io_uring_cqe_seen(ring, cqe);
}

static void queue(struct io_uring *ring, int fd, const struct raw_request *r, bool write)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
	if (write)
		io_uring_prep_write(sqe, fd, r->data, r->len, r->at);
	else
		io_uring_prep_read(sqe, fd, r->data, r->len, r->at);
	io_uring_sqe_set_data64(sqe, r->len);
}

static void run_many(struct raw_log *log, const struct raw_request *r, size_t n, bool write)
{
	size_t sent = 0, seen = 0;
	pthread_mutex_lock(&log->many_lock);
	while (seen < n) {
		for (; sent < n && sent - seen < DEPTH; sent++)
			queue(&log->many, log->fd, &r[sent], write);
		io_uring_submit_and_wait(&log->many, 1);
		atomic_fetch_add_explicit(&log->calls, 1, memory_order_relaxed);
		do {
			reap(&log->many);
			seen++;
		} while (seen < sent && io_uring_cq_ready(&log->many));
	}
	pthread_mutex_unlock(&log->many_lock);
}

void raw_log_write_many(struct raw_log *log, const struct raw_request *r, size_t n)
{
	if (n == 1)
		must_write(log->fd, r->data, r->len, r->at);
	else
		run_many(log, r, n, true);
}

void raw_log_read_many(struct raw_log *log, const struct raw_request *r, size_t n)
{
	if (n > 1) {
		run_many(log, r, n, false);
	} else if (pread(log->fd, r->data, r->len, (off_t)r->at) != (ssize_t)r->len) {
		die("raw read: %s", strerror(errno));
	}
}

/* ---- blocks ---- */

static void start_block(struct raw_log *log)
{
	log->used = sizeof(struct block);
	log->records = 0;
	log->outside = false;
	if (log->bytes - log->tail < BUFFER)
		log->tail = 0;
}

static void seal(struct raw_log *log)
{
	struct block b = {MAGIC, ++log->sequence, (uint32_t)log->used, log->records, log->epoch};
	memcpy(log->open, &b, sizeof(b));
	memset(log->open + log->used, 0, round_up(log->used) - log->used);
}

static size_t room_for(const struct raw_record *records, size_t n)
{
	size_t bytes = 0;
	for (size_t i = 0; i < n; i++) {
		bytes += sizeof(records[i]);
		if (records[i].len < RAW_LARGE && records[i].op != PEER_DELETE)
			bytes += (records[i].len + 7U) & ~7U;
	}
	return bytes;
}

static void add_record(struct raw_log *log, const struct raw_record *r, const void *data, uint64_t *place)
{
	memcpy(log->open + log->used, r, sizeof(*r));
	log->used += sizeof(*r);
	log->records++;
	if (r->len >= RAW_LARGE || r->op == PEER_DELETE)
		return;
	*place = log->tail + log->used;
	memcpy(log->open + log->used, data, r->len);
	log->used += (r->len + 7U) & ~7U;
}

static void write_block(struct raw_log *log, uint8_t *block, size_t len, uint64_t at, bool outside)
{
	len = round_up(len);
	if (log->durability == CLASS_PROCESS) {
		must_write(log->buffered_fd, block, len, at);
	} else if (log->durability != CLASS_POWER) {
		must_write(log->fd, block, len, at);
	} else if (outside) {
		must_write(log->fd, block, len, at);
		must_flush(log);
	} else {
		must_write(log->sync_fd, block, len, at);
	}
}

static void gather(struct raw_log *log)
{
	double until = now() + GATHER_US * 1e-6;
	if (log->last < 2)
		return;
	while (atomic_load(&log->arrived) < log->last && now() < until)
		sched_yield();
}

/* Lock held on entry and exit. */
static void lead(struct raw_log *log)
{
	log->leading = true;
	if (log->durability == CLASS_POWER) {
		pthread_mutex_unlock(&log->lock);
		gather(log);
		pthread_mutex_lock(&log->lock);
	}
	seal(log);
	uint8_t *block = log->open;
	uint64_t number = log->open_block++, at = log->tail;
	size_t len = log->used;
	bool outside = log->outside;
	log->open = log->written;
	log->written = block;
	log->tail += round_up(len);
	log->last = atomic_exchange(&log->arrived, 0);
	start_block(log);
	pthread_mutex_unlock(&log->lock);
	write_block(log, block, len, at, outside);
	pthread_mutex_lock(&log->lock);
	log->done_block = number;
	log->leading = false;
	pthread_cond_broadcast(&log->done);
}

static void wait_or_lead(struct raw_log *log)
{
	if (log->leading)
		pthread_cond_wait(&log->done, &log->lock);
	else
		lead(log);
}

/* ---- a large commit: pieces are written while the next are copied ---- */

static void send_piece(struct raw_log *log, size_t from, size_t to, unsigned *inflight)
{
	struct raw_request r = {log->open + from, (uint32_t)(to - from), log->tail + from};
	if (*inflight == DEPTH) {
		reap(&log->ring);
		--*inflight;
	}
	queue(&log->ring, log->fd, &r, true);
	io_uring_submit(&log->ring);
	atomic_fetch_add_explicit(&log->calls, 1, memory_order_relaxed);
	++*inflight;
}

/* Lock held, nobody leads, the block is empty. */
static void stream(struct raw_log *log, const struct raw_record *records, const void *const *data,
                   uint64_t *places, size_t n)
{
	size_t sent = STREAM;
	unsigned inflight = 0;
	for (size_t i = 0; i < n; i++) {
		add_record(log, &records[i], data[i], &places[i]);
		/* The first piece has the header, which is known at the end. */
		for (; log->used >= sent + STREAM; sent += STREAM)
			send_piece(log, sent, sent + STREAM, &inflight);
	}
	seal(log);
	size_t len = round_up(log->used);
	if (len > sent)
		send_piece(log, sent, len, &inflight);
	send_piece(log, 0, MIN((size_t)STREAM, len), &inflight);
	for (; inflight; inflight--)
		reap(&log->ring);
	if (log->durability == CLASS_POWER)
		must_flush(log);
	log->done_block = log->open_block++;
	log->tail += len;
	start_block(log);
}

void raw_log_commit(struct raw_log *log, const struct raw_record *records, const void *const *data,
                    uint64_t *places, size_t n, bool outside)
{
	size_t need = room_for(records, n);
	if (need > BUFFER - 2 * RAW_BLOCK)
		die("raw: a commit of %zu bytes", need);
	pthread_mutex_lock(&log->lock);
	while (log->used + need > BUFFER - RAW_BLOCK)
		wait_or_lead(log);
	if (need > STREAM) {
		while (log->leading || log->records)
			wait_or_lead(log);
		stream(log, records, data, places, n);
		pthread_mutex_unlock(&log->lock);
		return;
	}
	for (size_t i = 0; i < n; i++)
		add_record(log, &records[i], data[i], &places[i]);
	log->outside = log->outside || outside;
	atomic_fetch_add(&log->arrived, 1);
	uint64_t mine = log->open_block;
	if (log->durability == CLASS_NONE) {
		if (log->used >= FLUSH)
			pthread_cond_signal(&log->work);
	} else {
		while (log->done_block < mine)
			wait_or_lead(log);
	}
	pthread_mutex_unlock(&log->lock);
}

void raw_log_sync(struct raw_log *log)
{
	pthread_mutex_lock(&log->lock);
	uint64_t mine = log->records ? log->open_block : log->open_block - 1;
	while (log->done_block < mine)
		wait_or_lead(log);
	pthread_mutex_unlock(&log->lock);
	must_flush(log);
}

uint64_t raw_log_tail(struct raw_log *log)
{
	return log->tail;
}

static void *flush_again_and_again(void *arg)
{
	struct raw_log *log = arg;
	pthread_mutex_lock(&log->lock);
	while (!log->stop) {
		struct timespec t;
		clock_gettime(CLOCK_REALTIME, &t);
		t.tv_nsec += FLUSH_NS;
		t.tv_sec += t.tv_nsec / 1000000000;
		t.tv_nsec %= 1000000000;
		if (log->used < FLUSH)
			pthread_cond_timedwait(&log->work, &log->lock, &t);
		if (log->records && !log->leading)
			lead(log);
	}
	pthread_mutex_unlock(&log->lock);
	return NULL;
}

/* ---- open, replay, close ---- */

static int open_file(const char *path, int flags)
{
	int fd = open(path, flags | O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	return fd;
}

struct raw_log *raw_log_open(const char *path, uint64_t bytes, uint64_t data, bool create, uint64_t from,
                             enum durability durability)
{
	struct raw_log *log = xalloc(sizeof(*log));
	memset(log, 0, sizeof(*log));
	log->durability = durability;
	log->bytes = bytes / STEP * STEP;
	log->tail = from;
	log->open_block = 1;
	log->epoch = (uint64_t)(now() * 1e9);
	log->fd = open_file(path, O_DIRECT);
	log->sync_fd = open_file(path, O_DIRECT | O_DSYNC);
	log->buffered_fd = open_file(path, 0);
	log->open = xalloc(BUFFER);
	log->written = xalloc(BUFFER + STEP); /* a replay reads whole steps */
	if (create) {
		memset(log->open, 0, BUFFER);
		memset(log->written, 0, BUFFER);
		prewrite(log, data);
	}
	pthread_mutex_init(&log->lock, NULL);
	pthread_mutex_init(&log->many_lock, NULL);
	pthread_cond_init(&log->done, NULL);
	pthread_cond_init(&log->work, NULL);
	start_block(log);
	if (io_uring_queue_init(DEPTH, &log->ring, 0) || io_uring_queue_init(DEPTH, &log->many, 0))
		die("io_uring is not to be had");
	if (durability == CLASS_NONE && pthread_create(&log->flusher, NULL, flush_again_and_again, log))
		die("no thread");
	return log;
}

static bool replay_block(const uint8_t *block, uint64_t at, struct block *last,
                         void (*fn)(void *arg, const struct raw_record *r, uint64_t place), void *arg)
{
	struct block b;
	memcpy(&b, block, sizeof(b));
	if (b.magic != MAGIC || b.bytes > BUFFER ||
	    (last->magic && (b.sequence != last->sequence + 1 || b.epoch != last->epoch)))
		return false;
	*last = b;
	const uint8_t *next = block + sizeof(b);
	for (uint32_t i = 0; i < b.records; i++) {
		struct raw_record r;
		memcpy(&r, next, sizeof(r));
		next += sizeof(r);
		bool rides = r.len < RAW_LARGE && r.op != PEER_DELETE;
		if (rides && XXH3_64bits(next, r.len) != r.sum)
			return false;
		fn(arg, &r, at + (uint64_t)(next - block));
		next += rides ? (r.len + 7U) & ~7U : 0;
	}
	return true;
}

void raw_log_replay(struct raw_log *log, uint64_t from,
                    void (*fn)(void *arg, const struct raw_record *r, uint64_t place), void *arg)
{
	struct block last = {0};
	uint64_t have; /* bytes up to `have` are in the buffer, which begins at `from` */
	uint8_t *buf = log->written;
	while (from + BUFFER <= log->bytes) {
		struct block b;
		struct raw_request first = {buf, STEP, from};
		raw_log_read_many(log, &first, 1);
		have = from + STEP;
		memcpy(&b, buf, sizeof(b));
		uint64_t end = from + round_up(b.bytes);
		if (b.magic != MAGIC || b.bytes > BUFFER)
			return;
		for (; have < end; have += STEP) {
			struct raw_request more = {buf + (have - from), STEP, have};
			raw_log_read_many(log, &more, 1);
		}
		/* Whole blocks that came along with it. */
		uint64_t at = from;
		while (at + sizeof(b) <= have) {
			memcpy(&b, buf + (at - from), sizeof(b));
			if (b.magic == MAGIC && at + round_up(b.bytes) > have)
				break;
			if (!replay_block(buf + (at - from), at, &last, fn, arg))
				return;
			at += round_up(b.bytes);
		}
		from = at;
	}
}

void raw_log_counts(struct raw_log *log, struct peer_counts *c)
{
	c->calls = atomic_load(&log->calls);
	c->flushes = 0;
}

void raw_log_close(struct raw_log *log)
{
	raw_log_sync(log);
	if (log->durability == CLASS_NONE) {
		pthread_mutex_lock(&log->lock);
		log->stop = true;
		pthread_cond_signal(&log->work);
		pthread_mutex_unlock(&log->lock);
		pthread_join(log->flusher, NULL);
	}
	io_uring_queue_exit(&log->ring);
	io_uring_queue_exit(&log->many);
	close(log->fd);
	close(log->sync_fd);
	close(log->buffered_fd);
	free(log->open);
	free(log->written);
	free(log);
}
