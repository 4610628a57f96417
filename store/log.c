/* The commit log: a ring of prewritten pages.
 *
 * Commits are appended to the open buffer under store.lock. Who needs durability leads or follows: the leader closes the open
 * buffer, gives it a header, and writes it as one block; buffers fill while another is written, one at a time. A buffer whose
 * commits lie wholly in it is one O_DSYNC write; one that refers to extents is a plain write, beside those of packs (pack.c) that
 * are still in flight, and one fdatasync for all. So when a block is written, all before it is durable: its mark is its own place.
 *
 * Ring: the block at log sequence number n stands at offset + (n - base) % len; a block may go round the end. What lies
 * below `start` may be overwritten. */
#include <sched.h>
#include <sys/param.h>
#include <xxhash.h>

#include "store/base_internal.h"

enum { HEADER = sizeof(struct disk_log_block), GATHER_US = 40, SLOW_US = 1000000, ZERO_BYTES = 1 << 20, BUFFER_SHARE = 16, BUFFER_LEAST = 64 << 10 };

static uint64_t block_bytes(uint64_t len)
{
	return (len + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

static int buffer_resize(struct store *s, struct log_buffer *b, size_t size)
{
	void *bytes = NULL;
	if (b->size >= size)
		return PS_OK;
	if (posix_memalign(&bytes, PAGE, size))
		return ps_fail(PS_ENOMEM, "%s: no memory for the log's buffers", s->path);
	if (b->len)
		memcpy(bytes, b->bytes, b->len);
	free(b->bytes);
	budget_charge(s, size - b->size);
	b->bytes = bytes;
	b->size = size;
	return PS_OK;
}

/* Most that one block may take: what waits for the flusher and one commit at its largest. There are two, which never leave. */
static size_t buffer_size(const struct store *s, uint64_t ring_len)
{
	uint64_t share = MAX(s->budget / BUFFER_SHARE & ~(uint64_t)(PAGE - 1), (uint64_t)BUFFER_LEAST);
	uint64_t want = block_bytes(HEADER + 2 * (uint64_t)s->options.flush_bytes + ring_len / 4);
	return (size_t)MIN(MIN(want, ring_len / 2), share);
}

int log_init(struct log *log, struct store *s)
{
	log->store = s;
	pthread_mutex_init(&log->lock, NULL);
	log->open = &log->buffer[0];
	return PS_OK;
}

/* When the ring is known. Under store.lock, with no leader at work. */
int log_set_buffers(struct log *log)
{
	uint64_t len = log->ring[1].len ? log->ring[1].len : log->ring[0].len;
	for (int i = 0; i < 2; i++) {
		int err = buffer_resize(log->store, &log->buffer[i], buffer_size(log->store, len));
		if (err)
			return err;
		if (!log->buffer[i].len)
			log->buffer[i].len = HEADER;
	}
	if (!log->open->number)
		log->open->number = 1;
	atomic_store(&log->commit_max, MIN(log_ring_len(log) / 4, (uint64_t)log->open->size - HEADER));
	return PS_OK;
}

void log_done(struct log *log)
{
	if (!log->store)
		return;
	free(log->buffer[0].bytes);
	free(log->buffer[1].bytes);
	ps_memory_free(&log->store->memory, log->spills, log->spill_size * sizeof(*log->spills));
	pthread_mutex_destroy(&log->lock);
}

/* ---- the ring ----------------------------------------------------------------------------------------------------- */

static const struct ring *ring_of(const struct log *log, uint64_t lsn)
{
	return log->ring[1].len && lsn >= log->ring[1].base ? &log->ring[1] : &log->ring[0];
}

uint64_t ring_place(const struct log *log, uint64_t lsn)
{
	const struct ring *r = ring_of(log, lsn);
	return r->offset + (lsn - r->base) % r->len;
}

uint64_t log_ring_len(const struct log *log)
{
	return ring_of(log, log->end)->len;
}

/* Bytes of the current ring that may not be overwritten. */
uint64_t log_used(const struct log *log)
{
	return log->end - MAX(log->start, ring_of(log, log->end)->base);
}

/* A block up to where the ring ends, and the rest at its beginning. */
static int ring_write(struct log *log, uint64_t lsn, uint8_t *bytes, size_t len, bool sync)
{
	const struct ring *r = &log->target;
	uint64_t place = r->offset + (lsn - r->base) % r->len;
	size_t head = (size_t)MIN((uint64_t)len, r->offset + r->len - place);
	int err = ps_io_write(log->store->io, place, bytes, head, sync);
	if (!err && head < len)
		err = ps_io_write(log->store->io, r->offset, bytes + head, len - head, sync);
	atomic_fetch_add_explicit(&log->writes, 1, memory_order_relaxed);
	return err;
}

/* Zeros, so that no later write changes the file's metadata, and none finds old blocks. */
int log_write_ring(struct log *log, const struct ring *ring)
{
	size_t step = (size_t)MIN(ring->len, (uint64_t)ZERO_BYTES);
	void *zeros = NULL;
	if (posix_memalign(&zeros, PAGE, step))
		return ps_fail(PS_ENOMEM, "%s: no memory to write the log", log->store->path);
	memset(zeros, 0, step);
	int err = PS_OK;
	for (uint64_t at = 0; at < ring->len && !err; at += step)
		err = ps_io_write(log->store->io, ring->offset + at, zeros, (size_t)MIN((uint64_t)step, ring->len - at), false);
	free(zeros);
	return err;
}

/* ---- appending ------------------------------------------------------------------------------------------------------ */

int log_room(struct log *log, size_t bytes)
{
	size_t len = log->open->len + bytes;
	if (block_bytes(len) > log->open->size)
		return LOG_BUFFER_FULL;
	return log_used(log) + block_bytes(len) > log_ring_len(log) ? LOG_RING_FULL : PS_OK;
}

uint8_t *log_reserve(struct log *log, size_t bytes)
{
	uint8_t *at = log->open->bytes + log->open->len;
	log->open->len += bytes;
	return at;
}

void log_skip_commit(struct log *log)
{
	log->commit++;
	if (log->open->len > HEADER)
		log->open->commit = log->commit;
	else
		log->closed_commit = log->commit;
}

void log_skipped_are_durable(struct log *log)
{
	pthread_mutex_lock(&log->lock);
	log->durable_commit = log->commit;
	pthread_mutex_unlock(&log->lock);
}

/* ---- flushing -------------------------------------------------------------------------------------------------------- */

static bool is_durable(const struct log *log, uint64_t buffer)
{
	return atomic_load_explicit(&log->durable_buffer, memory_order_acquire) >= buffer;
}

/* Where those sleep who wait for a buffer. Only two at a time have any: the one being written, and the open one. */
static struct ps_turn *turn_of(struct log *log, uint64_t buffer)
{
	return &log->turn[buffer % 2];
}

static uint64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Waits a moment for as many committers as the last block had; a lone thread does not pay. */
static void gather(struct log *log)
{
	unsigned last = log->last_group;
	if (last < 2)
		return;
	uint64_t until = now_us() + GATHER_US;
	while (atomic_load_explicit(&log->arrived, memory_order_relaxed) < last && now_us() < until)
		sched_yield();
}

/* For a checkpoint: the block that begins here is the first that it leaves to replay. */
static void note_wanted_chain(struct log *log)
{
	pthread_mutex_lock(&log->lock);
	log->wanted_chain = log->chain;
	pthread_mutex_unlock(&log->lock);
}

/* Takes the open buffer away from the committers. NULL if nothing is in it. */
static struct log_buffer *close_buffer(struct log *log, uint64_t *lsn, struct staged **packs)
{
	struct log_buffer *b = log->open;
	pthread_mutex_lock(&log->store->lock);
	if (b->len == HEADER) {
		pthread_mutex_unlock(&log->store->lock);
		return NULL;
	}
	log->open = b == &log->buffer[0] ? &log->buffer[1] : &log->buffer[0];
	log->open->number = b->number + 1;
	log->open->len = HEADER;
	log->open->direct = false;
	log->last_group = atomic_exchange(&log->arrived, 0);
	*packs = b->packs;
	b->packs = NULL;
	*lsn = log->end;
	log->target = *ring_of(log, log->end);
	if (log->end == log->wanted_lsn)
		note_wanted_chain(log);
	log->closed_commit = b->commit;
	log->end += block_bytes(b->len);
	pthread_mutex_unlock(&log->store->lock);
	return b;
}

static void seal_block(struct log *log, struct log_buffer *b, uint64_t lsn)
{
	struct disk_log_block *h = (struct disk_log_block *)(void *)b->bytes;
	memset(b->bytes + b->len, 0, block_bytes(b->len) - b->len);
	*h = (struct disk_log_block){
		.magic = ps_set32(LOG_MAGIC),
		.length = ps_set32((uint32_t)b->len),
		.lsn = ps_set64(lsn),
		.epoch = ps_set64(log->epoch),
		.chain = ps_set64(log->chain),
		.mark = ps_set64(lsn),
		.checkpoint = ps_set64(atomic_load(&log->checkpoint)),
	};
	memcpy(h->store.bytes, log->store->uuid, sizeof(h->store));
	h->checksum = ps_set64(XXH3_64bits(b->bytes, b->len));
}

/* The block goes out beside the packs that its commits name: it counts only if they are whole, and one flush covers all. */
static int write_block(struct log *log, struct log_buffer *b, uint64_t lsn, struct staged *packs)
{
	size_t bytes = block_bytes(b->len);
	uint64_t begun = now_us();
	int err = ring_write(log, lsn, b->bytes, bytes, !b->direct);
	int packed = staging_end(log->store, packs);
	err = err ? err : packed;
	if (!err && b->direct)
		err = log->store->io->ops->flush(log->store->io);
	uint64_t took = now_us() - begun;
	if (!err && took > SLOW_US) {
		(void)ps_fail(PS_OK, "%s: a log write took %llu ms", log->store->path, (unsigned long long)took / 1000);
		store_event(log->store, PS_EVENT_SLOW_IO, PS_OK, PS_ID_NONE);
	}
	return err;
}

/* Nobody leads any more. Who is to lead next is woken before those whose commits are durable: it gathers while they go
 * their way. After a failure all are woken. */
static void stop_leading(struct log *log)
{
	pthread_mutex_lock(&log->lock);
	uint64_t done = atomic_load_explicit(&log->durable_buffer, memory_order_relaxed);
	bool failed = log->error;
	log->leading = false;
	pthread_mutex_unlock(&log->lock);
	ps_turn_next(turn_of(log, done + 1), failed);
	ps_turn_next(&log->idle, true);
	ps_turn_next(turn_of(log, done), true);
}

static void note_durable(struct log *log, const struct log_buffer *b, uint64_t lsn)
{
	pthread_mutex_lock(&log->lock);
	log->chain = ps_get64(((const struct disk_log_block *)(const void *)b->bytes)->checksum);
	log->chain_lsn = lsn + block_bytes(b->len);
	log->durable_commit = b->commit;
	atomic_store_explicit(&log->durable_buffer, b->number, memory_order_release);
	pthread_mutex_unlock(&log->lock);
}

/* The reason first: who sees the log's error tells it. */
static void note_failure(struct log *log, int err)
{
	store_fail(log->store, err, "a log write failed");
	pthread_mutex_lock(&log->lock);
	log->error = err;
	pthread_mutex_unlock(&log->lock);
}

/* The only thread that writes blocks. */
static void lead(struct log *log)
{
	uint64_t lsn = 0;
	struct staged *packs = NULL;
	gather(log);
	struct log_buffer *b = close_buffer(log, &lsn, &packs);
	if (b) {
		seal_block(log, b, lsn);
		int err = write_block(log, b, lsn, packs);
		if (err)
			note_failure(log, err);
		else
			note_durable(log, b, lsn);
	}
	stop_leading(log);
}

static int outcome_unknown(struct log *log)
{
	return ps_fail(PS_EIO, "%s: a log write failed, outcome unknown: the commit is wholly there or wholly absent at the next open (%s)",
		       log->store->path, log->store->reason);
}

/* The log has failed: nobody leads for the open buffer any more. */
static void end_packs(struct log *log)
{
	pthread_mutex_lock(&log->store->lock);
	struct staged *packs = log->open->packs;
	log->open->packs = NULL;
	pthread_mutex_unlock(&log->store->lock);
	(void)staging_end(log->store, packs);
}

enum part { PART_NONE, PART_LEADER, PART_FOLLOWER };

/* What there is to do for who waits for a buffer; followers sleep while it is turn *seen. */
static enum part take_part(struct log *log, uint64_t buffer, uint32_t *seen)
{
	enum part part = PART_NONE;
	pthread_mutex_lock(&log->lock);
	*seen = ps_turn_now(turn_of(log, buffer));
	if (!log->error && !is_durable(log, buffer))
		part = log->leading || log->stopping ? PART_FOLLOWER : PART_LEADER;
	if (part == PART_LEADER)
		log->leading = true;
	pthread_mutex_unlock(&log->lock);
	return part;
}

int log_wait(struct log *log, uint64_t buffer)
{
	enum part part = PART_FOLLOWER;
	uint32_t seen;
	while (!is_durable(log, buffer) && part != PART_NONE) {
		part = take_part(log, buffer, &seen);
		if (part == PART_LEADER)
			lead(log);
		else if (part == PART_FOLLOWER)
			ps_turn_wait(turn_of(log, buffer), seen);
	}
	if (is_durable(log, buffer))
		return PS_OK;
	end_packs(log);
	return outcome_unknown(log);
}

uint64_t log_last_buffer(struct log *log)
{
	return log->open->len > HEADER ? log->open->number : log->open->number - 1;
}

int log_sync(struct log *log)
{
	pthread_mutex_lock(&log->store->lock);
	uint64_t buffer = log_last_buffer(log);
	pthread_mutex_unlock(&log->store->lock);
	return log_wait(log, buffer);
}

/* ---- for checkpoints ---------------------------------------------------------------------------------------------------- */

/* Notes where the open buffer begins: a checkpoint that reflects all before it may let replay begin there. Under store.lock. */
uint64_t log_want_start(struct log *log)
{
	pthread_mutex_lock(&log->lock);
	log->wanted_lsn = log->end;
	pthread_mutex_unlock(&log->lock);
	return log->end;
}

/* The checksum of the block before the noted place, all blocks before it being written. */
uint64_t log_wanted_chain(struct log *log)
{
	pthread_mutex_lock(&log->lock);
	uint64_t chain = log->chain_lsn == log->wanted_lsn ? log->chain : log->wanted_chain;
	pthread_mutex_unlock(&log->lock);
	return chain;
}

/* Nobody writes a block until log_let_lead. Who leads now is the last to do so before, however many commit:
 * nobody else becomes the leader while one is waited for. Under checkpoint.lock, so one at a time. */
void log_stop_leading(struct log *log)
{
	for (;;) {
		pthread_mutex_lock(&log->lock);
		uint32_t seen = ps_turn_now(&log->idle);
		bool others = log->leading;
		log->stopping = others;
		log->leading = true;
		pthread_mutex_unlock(&log->lock);
		if (!others)
			return;
		ps_turn_wait(&log->idle, seen);
	}
}

void log_let_lead(struct log *log)
{
	stop_leading(log);
}

/* The log goes on in another ring from its end on. Nobody leads, and store.lock is held. */
void log_move(struct log *log, const struct ring *to)
{
	log->ring[1] = *to;
	log->ring[1].base = log->end;
}

/* Buffers up to this one are never replayed to their last extent again: a later block's mark is above them, or replay begins
 * behind them. What they freed may be used anew. The newest block on disk is still verified at recovery, with all the extents
 * that it names, also those that a later commit in the same block gave back. */
uint64_t log_safe_buffer(const struct log *log)
{
	uint64_t durable = atomic_load_explicit(&log->durable_buffer, memory_order_acquire);
	return MAX(durable ? durable - 1 : 0, log->retired_buffer);
}

/* A checkpoint is complete: what lies below `start` is not needed. Under store.lock. */
void log_advance(struct log *log, uint64_t start, uint64_t chain, uint64_t checkpoint, uint64_t retired)
{
	log->retired_buffer = retired;
	log->start = start;
	log->start_chain = chain;
	atomic_store(&log->checkpoint, checkpoint);
}

int log_spill_reserve(struct log *log, size_t more)
{
	struct ps_memory *m = &log->store->memory;
	size_t size = log->spill_size ? log->spill_size : 8;
	if (log->spill_count + more <= log->spill_size)
		return PS_OK;
	while (size < log->spill_count + more)
		size *= 2;
	struct spill *spills = ps_memory_resize(m, log->spills, log->spill_size * sizeof(*spills), size * sizeof(*spills));
	if (!spills)
		return ps_fail(PS_ENOMEM, "%s: no memory for a large commit", log->store->path);
	log->spills = spills;
	log->spill_size = size;
	return PS_OK;
}

/* Room was made. The extent belongs to a record of the open buffer. */
void log_spill_add(struct log *log, struct ps_extent extent)
{
	log->spills[log->spill_count++] = (struct spill){log->end, extent};
}

/* More than this goes to extents: a quarter of the ring, and what a buffer holds. */
size_t log_commit_max(const struct log *log)
{
	return (size_t)atomic_load_explicit(&log->commit_max, memory_order_relaxed);
}
