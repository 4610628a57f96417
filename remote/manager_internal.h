/* The manager's inside: what the operations on blobs share, and what the sync builds upon.
 *
 * Order of what a thread waits for: a key (ps_operation), a record's journal, the index. `lock` of ps_remote
 * is a leaf. None of them but the key is held while a request is in flight. */
#ifndef PS_MANAGER_INTERNAL_H
#define PS_MANAGER_INTERNAL_H

#include <limits.h>

#include <padstone/remote_index.h>

#include "remote/clock.h"
#include "remote/fetch.h"
#include "remote/limits.h"
#include "remote/local_index.h"
#include "remote/second.h"
#include "remote/settle.h"
#include "remote/state.h"
#include "remote/workers.h"

enum { PS_MODES = 3, PS_NETWORK_ID = 16, PS_SHOW_MS = 50, PS_BUSY_CHAINS = 512 };

/* What tests put in place of the world. All zero: nothing. */
struct ps_remote_seams {
	struct ps_clock *clock;
	uint64_t (*wall_ns)(void *arg); /* since 1970; decides nothing but what lists show, and spacing */
	void *wall_arg;
	uint64_t seed;
	uint32_t backoff_ms; /* the first and the longest */
	/* Opens the store in which the index lies, or makes it: instead of a file in the state folder. */
	int (*open_store)(void *arg, bool make, ps_storer **store);
	void *store_arg;
};

struct ps_busy_key {
	struct ps_busy_key *next; /* of its chain */
	uint64_t hash;
	const char *key;
	const void *owner; /* of several; may be NULL */
	bool brief;        /* for the moment of a commit: others wait for it */
};

struct sync_head;

struct ps_remote {
	struct ps_memory memory; /* of operations */
	ps_network *network;
	ps_keys *keys;
	ps_index *index;
	ps_workers *workers;
	_Atomic(ps_workers *)
	    background; /* of the same network and limits; NULL until there is work for them */
	struct ps_limits limits;
	struct ps_second fallback;          /* has copies of pads; may be none */
	atomic_uint_fast64_t fallback_pads; /* read from there */
	struct ps_remote_options options;   /* with defaults filled in; its strings are not kept */
	struct ps_remote_seams seams;
	char *folder;      /* of this store's state */
	bool limits_ready; /* they were initialised */
	uint8_t network_id[PS_NETWORK_ID];
	struct ps_machine machine;
	struct ps_pad_name head_name; /* where a key that only reads does not tell it; zero: not known */
	char head_code[48];           /* that the network's head has to go back to; empty: none was given */
	uint32_t payloads[PS_MODES];  /* of a pad, on this network */

	pthread_mutex_t lock; /* guards all below */
	struct ps_busy_key *busy[PS_BUSY_CHAINS];
	pthread_cond_t brief_ended;
	bool syncing;                 /* a call has what is kept of heads to itself */
	bool runs_clean;              /* its: the index has no run that no head lists */
	uint64_t operations, readers; /* under way */
	/* The last head used lists this machine only: pads that it names may be kept for another version, or
	 * under another name, since nobody else frees them (README.md, whose pads). sharers: calls that are
	 * under way and may do so. */
	bool alone;
	uint64_t sharers;
	/* Commits that give a value another name and note the move in both records: under way, and begun so
	 * far. Who has read one of the two before and the other after has half of it. */
	uint64_t moving, moves;
	/* The highest number of a head that may be on the network by now: what a head may name is held until
	 * those up to it are history. 0: there was none yet. The sync's to raise, durably, before it sends.
	 */
	uint64_t head_may;
};

/* ---- opening (remote_open.c) ---- */

struct ps_remote_setup {
	const char *url;
	ps_keys *keys; /* owned from success on */
	const struct ps_remote_options *options;
	const struct ps_remote_seams *seams;
	bool init;
	const uint8_t *head_name;                 /* of a key that only reads; may be NULL */
	struct ps_remote_rebuild_result *rebuild; /* not NULL: the head is lost, and to be made anew */
	const char *index_file;                   /* not NULL: what the network lost of the index is in it */
	struct ps_remote_index_result *imported;  /* of it */
};
int ps_remote_start(const struct ps_remote_setup *setup, ps_remote **r) __attribute__((warn_unused_result));
/* Without keys and index, for reading by address; its folder is that of what was seen of addresses. */
int ps_remote_start_keyless(const char *url, const struct ps_remote_options *options,
                            const struct ps_remote_seams *seams, ps_remote **r)
    __attribute__((warn_unused_result));
/* ---- workers (remote_workers.c) ---- */

/* For what the calling thread does, by its class (base/tokens.h). */
ps_workers *ps_remote_workers(ps_remote *r);
/* Of all workers of the first network together, since it was opened. */
void ps_remote_workers_figures(ps_remote *r, struct ps_workers_figures *figures);
/* PS_EBUSY while there is a group. */
int ps_remote_workers_free(ps_remote *r) __attribute__((warn_unused_result));
/* Limits and workers for a network, as the options have them. */
int ps_remote_start_workers(ps_remote *r, ps_network *network, struct ps_limits *limits, bool *limits_ready,
                            ps_workers **workers) __attribute__((warn_unused_result));
uint64_t ps_remote_wall_ns(ps_remote *r);
/* The keys that an application's key stands for; head_name is written where the key tells it. */
int ps_remote_open_key(const struct ps_remote_key *key, const char *store, ps_keys **keys,
                       uint8_t head_name[PS_PAD_NAME]) __attribute__((warn_unused_result));

/* The folder of a store's state below `home`. PS_ENOTFOUND, unless `make`. */
int ps_remote_state_folder(const ps_keys *keys, const char *url, const char *home, bool make,
                           char path[PATH_MAX]) __attribute__((warn_unused_result));
/* The folder of this store's state, and who this machine is, into r. PS_ENOTFOUND, unless `make`. */
int ps_remote_find_state(ps_remote *r, const char *state, bool make) __attribute__((warn_unused_result));
/* The folder of what was seen of addresses, for a reader without a key. */
int ps_remote_find_anchors(ps_remote *r, const char *state) __attribute__((warn_unused_result));
/* Which network a store is on: "network", or "network.new" while the store is made. PS_ENOENT; PS_EAUTH,
 * PS_EFORMAT, PS_EVERSION, PS_ECORRUPT: left as it is. */
int ps_identity_read(const char *folder, const char *name, const ps_keys *keys,
                     uint8_t network[PS_NETWORK_ID]) __attribute__((warn_unused_result));
/* Durable when it returns. PS_EEXIST. */
int ps_identity_write(const char *folder, const char *name, const ps_keys *keys,
                      const uint8_t network[PS_NETWORK_ID]) __attribute__((warn_unused_result));
int ps_identity_forget(const char *folder, const char *name) __attribute__((warn_unused_result));

/* ---- heads, when a store is made or opened (sync_open.c) ---- */

/* PS_EEXIST: the network has a head already. Goes on where one that was cut off ended. */
int ps_sync_first_head(ps_remote *r) __attribute__((warn_unused_result));
/* The network's id, from its head. PS_ENOTFOUND: there is none; PS_ELOST: there was one. */
int ps_sync_identify(ps_remote *r, struct sync_head **seen) __attribute__((warn_unused_result));
/* All that the network's head has, into an index that has nothing or part of it. */
int ps_sync_take_all(ps_remote *r, const struct sync_head *seen) __attribute__((warn_unused_result));
void ps_sync_free_seen(ps_remote *r, struct sync_head *seen); /* NULL is fine */
/* The network's id, from what is there without a head. */
int ps_sync_find_network(ps_remote *r) __attribute__((warn_unused_result));
/* Puts back what the network lost of the index, from a file. Without an index here. */
int ps_sync_import_index(ps_remote *r, const char *path, struct ps_remote_index_result *result)
    __attribute__((warn_unused_result));
/* A new head for what is there, and here. PS_EEXIST: the head is there. */
int ps_sync_rebuild(ps_remote *r, struct ps_remote_rebuild_result *result)
    __attribute__((warn_unused_result));
/* A second network's head: the first one's has to go back to it. PS_ENOTFOUND: it has none. */
int ps_sync_ask_witness(ps_remote *r, ps_network *witness) __attribute__((warn_unused_result));
/* Writes runs anew that are to become one, if some are; sends nothing that was changed. Without any it asks
 * no network. Nothing is done while another call syncs. */
int ps_sync_tidy(ps_remote *r, ps_remote_progress_fn progress, void *arg) __attribute__((warn_unused_result));
/* Pads of a run that a sync which failed has left, and that no head lists or ever will, become spare ones:
 * free, or pending until they are looked at. Not while another call syncs, nor while a head is on its way.
 * Asks no network. */
int ps_sync_drop_left(ps_remote *r) __attribute__((warn_unused_result));
/* What the index remembers of heads, into r. */
int ps_sync_remember(ps_remote *r) __attribute__((warn_unused_result));

/* ---- keys in use (busy_keys.c) ---- */

enum ps_busy_taken { PS_BUSY_REFUSED, PS_BUSY_TAKEN, PS_BUSY_HAD };
/* A key for the moment of a commit, by the sync. Refused: a call has it, or another owner; had: its owner has
 * it already, and nothing is done. What was taken stays in the table until it is given back. */
enum ps_busy_taken ps_busy_take_brief(ps_remote *r, struct ps_busy_key *busy)
    __attribute__((warn_unused_result));
/* The same, as soon as nobody has it; for what is never taken for longer. */
void ps_busy_wait_brief(ps_remote *r, struct ps_busy_key *busy);
void ps_busy_give_back(ps_remote *r, struct ps_busy_key *busy);
/* Under ps_remote.lock. Waits while the key is taken for a moment: whether somebody has it for longer. */
bool busy_await_locked(ps_remote *r, const char *key) __attribute__((warn_unused_result));
void busy_add_locked(ps_remote *r, struct ps_busy_key *busy);
void busy_remove_locked(ps_remote *r, const struct ps_busy_key *busy);

/* ---- operations (operation.c) ---- */

struct ps_operation {
	ps_remote *r;
	struct ps_busy_key busy;
	ps_group *group;
	ps_group *second; /* on another network's workers */
	ps_remote_progress_fn progress;
	void *progress_arg;
	struct ps_remote_progress shown; /* the caller fills pads_done, … */
	uint64_t show_ns;
	bool reads, locks, canceled;
	int error; /* the first, with its sentence */
	char sentence[PS_NET_SENTENCE * 2];
};

enum ps_operation_flag {
	PS_OP_LOCKS = 1, /* the key is nobody else's meanwhile: PS_EBUSY */
	PS_OP_READS = 2, /* no free pad is written anew meanwhile */
};
/* `key` may be NULL, and else stays valid. */
int ps_operation_begin(struct ps_operation *op, ps_remote *r, const char *name, const char *key,
                       unsigned flags, ps_remote_progress_fn progress, void *arg)
    __attribute__((warn_unused_result));
/* A group to work with; once. */
int ps_operation_group(struct ps_operation *op) __attribute__((warn_unused_result));
/* One on another network's workers, too; once it is there it stays. */
int ps_operation_second(struct ps_operation *op, struct ps_second *second)
    __attribute__((warn_unused_result));
/* Until every task of its groups has ended; what became of each its task tells. `cancel`: recalls them first.
 */
void ps_operation_settle(struct ps_operation *op, bool cancel);
/* Shows the plan. PS_ECANCELED, or PS_EQUOTA by the options' and these limits (0: none). */
int ps_operation_plan(struct ps_operation *op, const struct ps_remote_plan *plan, uint64_t max_pads,
                      double max_cost) __attribute__((warn_unused_result));
/* Shows how far it is, at most every PS_SHOW_MS: PS_ECANCELED. */
int ps_operation_show(struct ps_operation *op) __attribute__((warn_unused_result));
/* Keeps the first failure and its sentence; gives it. PS_OK changes nothing. */
int ps_operation_fail(struct ps_operation *op, int err);
/* Shows the end, gives back key and group; the result is op->error, and its sentence this thread's. */
int ps_operation_end(struct ps_operation *op) __attribute__((warn_unused_result));

/* Tasks that an operation has on their way, several at once, and that come back to its thread. */
struct ps_lane {
	struct ps_lane *next;
};
/* Those that have no task: a stack, the operation's thread's. */
static inline void ps_lane_rest(struct ps_lane **idle, struct ps_lane *lane)
{
	lane->next = *idle;
	*idle = lane;
}
static inline struct ps_lane *ps_lane_take(struct ps_lane **idle) /* there is one */
{
	struct ps_lane *lane = *idle;
	*idle = lane->next;
	return lane;
}
struct ps_lanes {
	struct ps_clock *clock;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct ps_lane *first, *last; /* back */
};
int ps_lanes_init(struct ps_lanes *lanes, struct ps_clock *clock) __attribute__((warn_unused_result));
void ps_lanes_done(struct ps_lanes *lanes);
/* From the end of its task: nothing touches the task's struct after this. */
void ps_lanes_back(struct ps_lanes *lanes, struct ps_lane *lane);
/* The next that is back; NULL if there is none until then. */
struct ps_lane *ps_lanes_next(struct ps_lanes *lanes, uint64_t until_ns);
/* The next that is back, while it is shown how far the operation is. PS_ECANCELED; *back may be there all the
 * same. */
int ps_operation_await(struct ps_operation *op, struct ps_lanes *lanes, struct ps_lane **back)
    __attribute__((warn_unused_result));
/* How many tasks of so many bytes fit: one at least, `most` at most. */
uint32_t ps_lanes_count(const ps_remote *r, uint64_t bytes, uint64_t most);

/* ---- pads (manager.c) ---- */

unsigned ps_manager_mode(const ps_remote *r, int mode); /* enum ps_remote_mode → enum ps_pad_mode */
enum ps_verify ps_manager_verify(const ps_remote *r, int verify);
/* A pad to be written: a free one taken again, if there is one and `fresh` is not set, else a new one.
 * `expected` is what the network holds under its name: none for a new one. */
int ps_manager_take(ps_remote *r, ps_index_txn *txn, unsigned class, unsigned mode, bool fresh,
                    struct ps_pad_slot *slot, struct ps_pad_identity *expected)
    __attribute__((warn_unused_result));
/* Whether a reader began since: then what was taken may still be read by it, and the transaction is to be
 * aborted and begun again with `fresh` pads only. */
bool ps_manager_readers(ps_remote *r);
/* Free pads of a kind that may be taken now. */
uint64_t ps_manager_free(ps_remote *r, unsigned class, unsigned mode);
struct ps_pad_identity ps_slot_identity(const struct ps_pad_slot *slot);
/* What decides a pad's record, as the slot has it. */
void ps_manager_plan(const ps_remote *r, const struct ps_pad_slot *slot, unsigned role,
                     const void *description, size_t len, struct ps_pad_plan *plan);
/* The description of a blob's pad: which chunk it is. Names stand in the index only, so that a rename leaves
 * pads as they are. */
enum { PS_CHUNK_DESCRIPTION = 16 };
void ps_chunk_description(uint64_t chunk, uint8_t out[PS_CHUNK_DESCRIPTION]);
/* Seals into a new buffer of the network's memory. A slot that is not sealed gets nonce, length and hash; one
 * that is must give the same hash again: PS_EAUTH (nothing of it may be sent) if the contents are others. */
int ps_manager_seal(ps_remote *r, struct ps_pad_slot *slot, unsigned role, const void *description,
                    size_t description_len, const void *payload, size_t len, struct ps_net_buffer **buffer)
    __attribute__((warn_unused_result));
/* The request that writes a sealed slot: a create, or a replace of `expected`. The buffer's reference goes to
 * the request. */
void ps_manager_request(const struct ps_pad_slot *slot, const struct ps_pad_identity *expected,
                        struct ps_net_buffer *buffer, struct ps_net_request *request);
/* What a slot is after its write has ended. Unchanged: still open as it is. */
unsigned ps_manager_status(const struct ps_settle *settle, unsigned before);
/* Of a pad in a set of a record: enum ps_slot_named. */
unsigned ps_manager_named(const struct ps_record *record, enum ps_record_set set,
                          const struct ps_pad_slot *slot);
/* The pads of a set leave the record: to its base where a head may name them, else to let_go, to be placed by
 * ps_txn_let_go with *hold. */
int ps_manager_leave(ps_remote *r, struct ps_record *record, enum ps_record_set set, struct ps_slots *let_go,
                     uint64_t *hold) __attribute__((warn_unused_result));
/* The last head used here lists this machine and no other. One that has joined and written none is not known.
 */
bool ps_manager_alone(ps_remote *r);
/* Whether a call may keep pads that a head names for what it makes: then ps_manager_shared when it has ended.
 */
bool ps_manager_may_share(ps_remote *r);
void ps_manager_shared(ps_remote *r);
uint64_t ps_manager_sharers(ps_remote *r);
void ps_manager_set_alone(ps_remote *r, bool alone); /* the sync's */
/* Around the commit of a move, with both keys. */
void ps_manager_move(ps_remote *r);
void ps_manager_moved(ps_remote *r);
/* Commits of moves that have begun so far; *under_way: some of them have not ended. */
uint64_t ps_manager_moves(ps_remote *r, bool *under_way);
struct ps_version ps_manager_version(const ps_remote *r, const struct ps_record *record);
double ps_manager_price(const ps_remote *r, const struct ps_remote_plan *plan, uint64_t up, uint64_t down);

/* What a put of so many bytes takes, if nothing of it is there yet. */
void ps_manager_estimate(ps_remote *r, uint64_t size, unsigned mode, unsigned class, enum ps_verify verify,
                         struct ps_remote_plan *plan);

/* ---- reading one pad (pad_read.c) ---- */

struct ps_pad_read {
	struct ps_task task;
	/* The caller's, before ps_pad_read_init; all else zero. */
	ps_remote *r;
	struct ps_pad_slot slot;
	unsigned role;
	const uint8_t *content_key; /* NULL: the store's keys */
	const uint8_t *network;     /* the id of the pad's network; NULL: the store's */
	uint32_t from, to;          /* payload bytes that are wanted, half-open, within slot.length */
	uint8_t *out;               /* to - from bytes */
	const void *description;    /* what it has to say of itself; NULL: anything */
	size_t description_len;
	void (*ended)(struct ps_pad_read *read); /* task.fate, error and sentence are set */
	/* Told. */
	struct ps_pad_contents contents;
	bool elsewhere; /* asked of the fallback, since the first network failed with first_error */
	int first_error;
	char first_sentence[PS_NET_SENTENCE];
	/* Its own. */
	struct ps_pad_header header;
	uint32_t attempts;
	struct ps_lanes *lanes;
	struct ps_lane lane;
};
void ps_pad_read_init(struct ps_pad_read *read);
/* Whether a verified header is this slot's, in its very version, on the network of that id: the errors of
 * ps_pad_check. */
int ps_pad_check_slot(const uint8_t *network, const struct ps_pad_slot *slot, unsigned role,
                      const struct ps_pad_header *header) __attribute__((warn_unused_result));
/* Opens a whole record that was fetched: PS_OK only if it is this slot's, and has its contents. `out` may be
 * NULL. */
int ps_pad_read_record(ps_remote *r, const struct ps_pad_slot *slot, unsigned role,
                       const uint8_t *content_key, const struct ps_net_buffer *record, uint8_t *out,
                       uint32_t from, uint32_t to, struct ps_pad_contents *contents)
    __attribute__((warn_unused_result));

/* ---- where a read goes that failed (fallback.c) ---- */

/* A read has ended. True: it failed on the first network, the fallback may have that very version of the pad,
 * and the read was made ready for r->fallback.workers; its end comes once more. False: that is what became of
 * it; where the fallback had nothing better the error is the first network's, and the sentence has both. */
bool ps_fallback_takes(struct ps_pad_read *read);
/* The same, and the read is on its way again, in op->second. */
bool ps_fallback_asked(struct ps_operation *op, struct ps_pad_read *read);
/* The record of a pad as the fallback has it, in the first network's memory, verified and of this very
 * version. PS_ENOTFOUND: there is no fallback. */
int ps_fallback_record(struct ps_operation *op, const struct ps_pad_slot *slot, unsigned role,
                       struct ps_net_buffer **record) __attribute__((warn_unused_result));

/* ---- many pads at once (pad_tasks.c): each has its own result, the call's is that of the operation ---- */

struct ps_pad_look {
	struct ps_task task; /* told: fate, error, sentence */
	struct ps_pad_slot slot;
	/* Told, if the fate is done. */
	bool there;
	struct ps_pad_identity identity;
	/* Its own. */
	struct ps_lanes *lanes;
	struct ps_lane lane;
};
/* What follows from a finished head(): for tasks that look at one pad. */
enum ps_task_answer ps_pad_seen(const struct ps_net_request *head, bool *there,
                                struct ps_pad_identity *identity);
int ps_pads_look(struct ps_operation *op, struct ps_pad_look *looks, size_t count)
    __attribute__((warn_unused_result));

/* Whatever is under a name: what its header says, if it is one. */
struct ps_pad_header_look {
	struct ps_fetch fetch; /* first; told: fate, error, sentence */
	struct ps_pad_name name;
	/* Told, if the fate is done: `there`; and if it is authentic. */
	bool there, authentic;
	bool gone; /* nothing is there: the fate is not done then */
	struct ps_pad_plan plan;
	struct ps_pad_identity identity; /* of what was signed */
	uint32_t payload;
	/* Its own. */
	struct ps_lanes *lanes;
	struct ps_lane lane;
};
int ps_pads_headers(struct ps_operation *op, struct ps_pad_header_look *looks, size_t count)
    __attribute__((warn_unused_result));
/* As ps_pad_read_init has it, but for r and ended. */
int ps_pads_read(struct ps_operation *op, struct ps_pad_read *reads, size_t count)
    __attribute__((warn_unused_result));

/* One fetch, as ps_fetch_init has it, whose ended() calls ps_pad_fetched: for what is judged by more than a
 * slot. PS_OK once it has ended: its fate tells how. */
struct ps_pad_fetch {
	struct ps_fetch fetch; /* first: a task */
	struct ps_lanes *lanes;
	struct ps_lane lane;
};
int ps_pad_fetch(struct ps_operation *op, struct ps_pad_fetch *fetch) __attribute__((warn_unused_result));
void ps_pad_fetched(struct ps_pad_fetch *fetch);

/* A sealed slot, durable in the index before this is called, and what is in it; or a removal of `expected`.
 */
struct ps_pad_send {
	struct ps_settle settle; /* told: settled, there; task.fate, error, sentence */
	struct ps_pad_slot slot;
	struct ps_pad_identity expected; /* none: a create */
	bool removes;
	unsigned role;
	const uint8_t *content_key; /* to read it back; NULL: the store's keys */
	const void *description, *payload;
	size_t description_len, len;
	struct ps_net_buffer *sealed; /* if it is at hand: the task's from now on */
	/* Its own. */
	ps_remote *r;
	struct ps_lanes *lanes;
	struct ps_lane lane;
};
int ps_pads_send(struct ps_operation *op, struct ps_pad_send *sends, size_t count, enum ps_verify verify)
    __attribute__((warn_unused_result));

#endif
