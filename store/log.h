/* The commit log: a ring, its buffers, and who leads the flush. */
#ifndef PS_STORE_LOG_H
#define PS_STORE_LOG_H

#include <pthread.h>
#include <stdatomic.h>

#include "allocator/allocator.h"
#include "base/turn.h"
#include "store/base_format.h"
#include "store/io.h"

struct ring {
	uint64_t offset, len, base;
};

struct log_buffer {
	uint8_t *bytes; /* page-aligned; the header's room is kept free */
	size_t len, size;
	uint64_t number;     /* 1, 2, … ; what waits for durability names it */
	bool direct;         /* refers to bytes outside the log that were not flushed */
	uint64_t commit;     /* last commit in it */
	struct staged *packs; /* that its commits name, still in flight (store.lock) */
};

/* An extent that holds a commit too large for the ring. */
struct spill {
	uint64_t lsn; /* its record stands in the block that begins here */
	struct ps_extent extent;
};

struct log {
	struct store *store;
	struct ring ring[2]; /* [1].len 0: not moved lately */
	uint64_t start;      /* replay begins here: blocks below may be overwritten */
	uint64_t start_chain;
	uint64_t end;        /* where the open buffer will be written */
	uint64_t chain;      /* checksum of the block before end */
	uint64_t chain_lsn;  /* where that block ended */
	uint64_t wanted_lsn, wanted_chain; /* for a checkpoint: the checksum of the block before wanted_lsn */
	_Atomic(uint64_t) checkpoint; /* last complete one */
	uint64_t epoch;
	struct ring target;  /* the leader's own copy of where its block goes: a checkpoint may drop the other ring meanwhile */
	struct log_buffer buffer[2];
	struct log_buffer *open;
	pthread_mutex_t lock;
	struct ps_turn turn[2]; /* where those sleep who wait for a buffer, by its number */
	struct ps_turn idle;    /* and who waits until nobody leads */
	bool leading, stopping; /* stopping: a checkpoint leads next */
	unsigned last_group;
	_Atomic(unsigned) arrived; /* durable commits in the open buffer */
	_Atomic(uint64_t) durable_buffer; /* all buffers up to this one are durable */
	uint64_t durable_commit, closed_commit;
	uint64_t retired_buffer; /* buffers up to it lie before `start` (store.lock) */
	_Atomic(uint64_t) commit_max;
	uint64_t commit; /* last ordered one */
	int error;
	struct spill *spills; /* in use until a checkpoint has passed their records */
	size_t spill_count, spill_size;
	_Atomic(uint64_t) writes;
};

int log_init(struct log *log, struct store *s);
void log_done(struct log *log);
int log_set_buffers(struct log *log);
/* Room for one commit of `bytes` of records? Under store.lock. */
enum { LOG_BUFFER_FULL = 1, LOG_RING_FULL = 2 };
int log_room(struct log *log, size_t bytes);
uint8_t *log_reserve(struct log *log, size_t bytes);
/* A commit that has no record: what it did is in the table, and durable with the next checkpoint. Under store.lock. */
void log_skip_commit(struct log *log);
/* That checkpoint has ended, and nothing was committed meanwhile. */
void log_skipped_are_durable(struct log *log);
/* Returns when the buffer is durable, and the packs have ended that were handed to it: leads or follows. PS_EIO: outcome unknown.
 * Not under store.lock. */
int log_wait(struct log *log, uint64_t buffer);
int log_sync(struct log *log);
uint64_t log_used(const struct log *log);
int log_write_ring(struct log *log, const struct ring *ring);
uint64_t ring_place(const struct log *log, uint64_t lsn);
uint64_t log_ring_len(const struct log *log);
uint64_t log_last_buffer(struct log *log);
uint64_t log_want_start(struct log *log);
uint64_t log_wanted_chain(struct log *log);
void log_move(struct log *log, const struct ring *to);
void log_stop_leading(struct log *log);
void log_let_lead(struct log *log);
void log_advance(struct log *log, uint64_t start, uint64_t chain, uint64_t checkpoint, uint64_t retired);
uint64_t log_safe_buffer(const struct log *log);
size_t log_commit_max(const struct log *log);
int log_spill_reserve(struct log *log, size_t more);
void log_spill_add(struct log *log, struct ps_extent extent);

#endif
