/* What the files of put and update share.
 *
 * The thread that called reads the source, decides what becomes of each chunk, and takes back what was sent.
 * Workers seal and send. The record's pads are written down in its journal: by the caller's thread when it
 * takes more pads, and at the end; and what a worker has sealed before it is sent. The first chunks' workers
 * wait for that; from then on the journal has a thread, and workers go on sealing meanwhile: one commit has
 * all that was sealed during the one before. */
#ifndef PS_PUT_INTERNAL_H
#define PS_PUT_INTERNAL_H

#include <sodium.h>

#include "remote/manager_internal.h"
#include "remote/public_internal.h"

enum { PUT_HASH = 32 };
#define PUT_KEPT UINT32_MAX /* the place of a chunk whose pad in current stays */

struct put;

/* One chunk on its way. */
struct put_lane {
	struct ps_lane lane; /* first */
	struct put *put;
	struct put_write {
		struct ps_settle settle; /* first: a task */
		struct put_lane *lane;
	} write;
	struct put_look {
		struct ps_task task; /* first */
		struct put_lane *lane;
		bool there;
		struct ps_pad_identity identity;
	} look;
	bool looking;
	uint64_t noted; /* its number among what the journal was told before it is sent; 0: nothing */
	struct put_lane *behind; /* of those that wait for the journal */
	uint32_t chunk, place, recycles;
	struct ps_pad_slot slot;
	struct ps_pad_identity expected;
	struct ps_net_buffer *sealed; /* made before: else NULL */
	const uint8_t *data;
	uint8_t *own; /* where the source is not memory */
	uint32_t len;
	bool hashed;
	uint8_t hash[PUT_HASH];
};

/* Notes about pads in next, on their way into the record. */
struct put_note {
	uint32_t place;
	struct ps_pad_slot slot;
};
struct put_journal {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct put_note *notes;
	size_t count, capacity;
	struct put_note *held; /* by whoever has the record: not in the index yet */
	size_t held_count, held_capacity;
	uint64_t noted, held_to, written; /* so far */
	bool busy;                        /* somebody has the record to himself */
	uint32_t wanted;                  /* by so many who wait for it */
	/* Its own thread, which works in the class of those it works for. */
	pthread_t thread;
	bool has_thread, ending;
	enum ps_token_class class;
	struct put_lane *waiting; /* lanes that are sealed, and sent once that is written */
	int error;
	char sentence[PS_NET_SENTENCE];
};

struct put {
	struct ps_operation op;
	ps_remote *r;
	struct ps_remote_put options;
	enum ps_verify verify;
	bool update;
	bool rewrites; /* the contents that the key has, for a rename */
	enum put_public {
		PUT_AS_IT_IS, /* public if the key is */
		PUT_PUBLIC,   /* from now on */
		PUT_PRIVATE,  /* from now on: its address ends */
	} become;
	struct ps_pad_identity address_ended; /* the tombstone that another machine has written; zero: none */
	bool resumed;                         /* what an interrupted call left was completed by this one */
	struct public_close *close;           /* what the switch also does, in its commit; or NULL */
	bool alone;                           /* no head that was used here lists another machine */
	bool shares; /* chunks that did not change may stay in pads that a head names */
	/* The source: memory, or a callback. */
	const uint8_t *data;
	ps_remote_read_fn read;
	void *read_arg;
	uint64_t size;  /* PS_SIZE_UNKNOWN */
	uint64_t taken; /* bytes so far */
	bool ended;
	/* The record as it is in the index, or will be with the next commit. Whoever has the journal. */
	struct ps_record record;
	struct put_journal journal;
	bool exists; /* it is in the index */
	unsigned mode, class;
	/* Chunks so far, and how many places of next they have. */
	uint32_t chunk_bytes, chunks, used;
	uint32_t data_chunks; /* of the value; behind them, of a public one, are nodes of its manifest */
	struct put_chunk {
		uint32_t place;         /* in next, or PUT_KEPT */
		uint8_t hash[PUT_HASH]; /* of its contents */
	} * chunk;
	uint32_t chunk_capacity;
	struct put_expected {
		struct ps_pad_identity identity; /* what the network holds */
		bool known;                      /* not after an interrupted call */
	} * expected;                            /* of each place of next */
	uint32_t expected_capacity;
	uint64_t pads; /* taken by this call */
	double spent;
	/* Lanes. */
	struct ps_lanes lanes;
	struct put_lane *all;
	struct ps_lane *idle;
	uint32_t lanes_count, on_way;
	uint64_t lane_bytes;
};

/* ---- put_journal.c ---- */

int put_journal_init(struct put_journal *journal) __attribute__((warn_unused_result));
/* No lane waits any more. */
void put_journal_done(struct put *put);
/* A lane's slot, as it was sealed, durable when it gives PS_OK. PS_TASK_LATER: the lane's task is told when
 * it is worth asking again. On a worker. */
int put_journal_write(struct put_lane *lane) __attribute__((warn_unused_result));
/* A pad's new state, durable with whatever is written next. Any thread. */
int put_journal_note(struct put *put, uint32_t place, const struct ps_pad_slot *slot)
    __attribute__((warn_unused_result));
/* To have the record: all that was noted is in it, though not yet in the index. Fails once a commit has. */
int put_journal_begin(struct put *put) __attribute__((warn_unused_result));
/* PS_OK: all that is in the record is in the index, too. Gives err. */
int put_journal_end(struct put *put, int err) __attribute__((warn_unused_result));
/* For a transaction of whoever has the record, and does not put it whole. */
int put_journal_put_held(struct put *put, ps_index_txn *txn) __attribute__((warn_unused_result));
/* Writes what is only noted. */
int put_journal_flush(struct put *put) __attribute__((warn_unused_result));

/* ---- put_pads.c ---- */

/* Reads the record, and what an interrupted call left in it. */
int put_begin(struct put *put) __attribute__((warn_unused_result));
/* Room for one more chunk; for what is known of one more place. */
int put_chunk(struct put *put, uint32_t chunk) __attribute__((warn_unused_result));
int put_expect(struct put *put, uint32_t place, const struct ps_pad_identity *expected)
    __attribute__((warn_unused_result));
/* More pads into next: so many. Durable. `first`: the lane whose chunk is sealed before, so that it takes one
 * commit less; or NULL. */
int put_take_pads(struct put *put, uint32_t count, struct put_lane *first)
    __attribute__((warn_unused_result));
/* Another pad in the place of one whose last state is `old`; a new one if `fresh_only`. */
int put_replace_pad(struct put *put, uint32_t place, const struct ps_pad_slot *old, bool fresh_only)
    __attribute__((warn_unused_result));
/* All chunks are there: the record becomes what was put. */
int put_switch(struct put *put) __attribute__((warn_unused_result));
/* The same in two steps, for whoever has the record: what next holds is written into the record; the record
 * becomes it, in one commit. */
void put_describe(struct put *put);
int put_switch_now(struct put *put) __attribute__((warn_unused_result));

/* ---- blob_put.c ---- */

/* A put whose source, become and update are set. */
int put_run(ps_remote *r, const char *key, const char *name, struct put *put,
            const struct ps_remote_put *options) __attribute__((warn_unused_result));
/* Takes back one lane, if one comes soon, and shows how far it is. */
int put_go_on(struct put *put) __attribute__((warn_unused_result));
/* What becomes of the chunk that the lane has: the next one. */
int put_use_chunk(struct put *put, struct put_lane *lane) __attribute__((warn_unused_result));
void put_rest_lane(struct put *put, struct put_lane *lane);
void put_free_arrays(struct put *put);

/* ---- put_lane.c ---- */

int put_lanes_init(struct put *put) __attribute__((warn_unused_result));
void put_lanes_done(struct put *put);
/* Of its chunk's contents. */
const uint8_t *put_lane_hash(struct put_lane *lane);
int put_seal_lane(struct put_lane *lane) __attribute__((warn_unused_result));
/* Whether sealing this chunk under a slot gives that slot's record: the same contents. */
int put_same_contents(struct put *put, const struct ps_pad_slot *slot, const struct put_lane *lane,
                      bool *same) __attribute__((warn_unused_result));
int put_lane_send(struct put_lane *lane) __attribute__((warn_unused_result));
int put_lane_look(struct put_lane *lane) __attribute__((warn_unused_result));

#endif
