/* What the files of the sync share. README.md says in which order things become durable.
 *
 * A sync is one thread's, and a remote has one at a time. It takes keys only for the moment of a commit
 * (brief), so that whoever puts a value waits for that long and no longer. */
#ifndef PS_SYNC_INTERNAL_H
#define PS_SYNC_INTERNAL_H

#include "remote/anchor.h"
#include "remote/fetch.h"
#include "remote/head.h"
#include "remote/manager_internal.h"
#include "remote/merge.h"
#include "remote/run.h"
#include "remote/serial_set.h"

enum {
	SYNC_BATCH = 128,     /* records of a commit */
	SYNC_SLOTS = 1 << 16, /* and about so many of their pads */
	SYNC_ATOMIC = 2048,   /* so many that another machine changed are merged in one commit */
	SYNC_BUSY_TRIES = 40, /* for a key that another call has: most have it for a moment */
	SYNC_BUSY_WAIT_MS = 25,
};

/* A head and the identity of its pad. */
struct sync_head {
	struct ps_head head;
	uint8_t hash[32];
	bool there;
};

/* A key of ours whose outcome is known and that another call has: to be settled later. */
struct sync_left {
	uint64_t head; /* the counter of the head that has it; 0: it is not sent any more */
	bool leaves;   /* the pads of the version before are another machine's to free */
	uint16_t name_len;
	char name[PS_RECORD_NAME_MAX + 1];
};

struct sync_lefts {
	struct sync_left *all;
	size_t count, capacity;
};

/* The head that is about to be, or was, sent. */
struct sync_intent {
	struct ps_pad_identity expected; /* none: a create */
	struct ps_net_buffer *record;
	struct sync_head next; /* as the record has it */
	bool skipped;          /* something that was changed is not in it */
};

/* Of runs, with what is sent. */
enum sync_merging {
	SYNC_MERGES_LITTLE, /* somebody waits */
	SYNC_MERGES_DUE,
	SYNC_MERGES_ONLY, /* what is due, and nothing that was changed is sent */
};

struct ps_sync {
	struct ps_operation op; /* first */
	ps_remote *r;
	struct ps_memory *memory;     /* the index's */
	struct sync_head base;        /* the last one used: all its runs are merged here */
	bool unanchored;              /* it was taken on trust */
	const struct sync_head *seen; /* just now, by who identified the store; NULL */
	uint64_t settled;             /* held pads up to this head may be taken */
	struct sync_lefts lefts;
	bool skipped;       /* something that was changed is not in the run */
	bool skipped_known; /* and a head has a version of it */
	/* Of records that share pads by a move (PS_RECORD_MOVES): some are in the run; some are not; none may
	 * be; some were in the run before, which could not be used for that. */
	bool moves_sent, moves_left, moves_stay, moves_met;
	const char *drops; /* a machine that the next head does not list any more; NULL: none */
	uint64_t left;     /* ps_head_left of the head that is being settled */
	bool rebuilds;     /* runs that are no more are this machine's to let go */
	bool wrote;        /* a run, after all that was left was seen to */
	enum sync_merging merging;
	struct ps_remote_sync_result result;
};

/* ---- sync.c ---- */

int sync_begin(struct ps_sync *s, ps_remote *r, const char *name, ps_remote_progress_fn progress, void *arg)
    __attribute__((warn_unused_result));
int sync_end(struct ps_sync *s) __attribute__((warn_unused_result));
/* Both, and `work` between them. */
int sync_call(ps_remote *r, const char *name, int (*work)(struct ps_sync *s), ps_remote_progress_fn progress,
              void *arg) __attribute__((warn_unused_result));
/* machines.c: takes s->drops off the list of a head that is being made. PS_ENOTFOUND, PS_EINVAL. */
int sync_drop_machine(struct ps_sync *s, struct ps_head *next) __attribute__((warn_unused_result));
/* No head is on its way any more; with it what is left to be settled. */
int sync_forget_intent(struct ps_sync *s) __attribute__((warn_unused_result));
/* An intent's head is history: what it has is settled, and what only the heads before it had is let go; it is
 * the base then. `seen`: the anchor is at it, or later. */
int sync_finish_own(struct ps_sync *s, struct sync_intent *intent, bool seen)
    __attribute__((warn_unused_result));
/* Takes what the network has, and sends what was changed here. */
int sync_all(struct ps_sync *s) __attribute__((warn_unused_result));
/* Takes what the network has, and sends nothing; again where it moves meanwhile. */
int sync_take(struct ps_sync *s) __attribute__((warn_unused_result));

/* ---- sync_tasks.c ---- */

/* Runs a task to its end: its failure, or that the caller cancelled. */
int sync_run_task(struct ps_sync *s, struct ps_task *task) __attribute__((warn_unused_result));
/* The same on another network's workers. */
int sync_run_task_on(struct ps_sync *s, ps_workers *workers, struct ps_task *task)
    __attribute__((warn_unused_result));
/* Waits, unless the caller cancels. */
int sync_wait(struct ps_sync *s, uint64_t delay_ns) __attribute__((warn_unused_result));

/* What the operation has shown of a group. */
struct sync_shown {
	struct ps_sync *s;
	uint64_t sent, received, retried;
};

/* Several tasks in flight; each comes back to `lanes` at its end. */
struct sync_tasks {
	struct sync_shown shown;
	ps_group *group;
	struct ps_lanes lanes;
	size_t on_way;
};
int sync_tasks_begin(struct ps_sync *s, struct sync_tasks *tasks) __attribute__((warn_unused_result));
int sync_tasks_add(struct sync_tasks *tasks, struct ps_task *task) __attribute__((warn_unused_result));
/* The next that is back: its task is the caller's again, however it ended. Only if one is on its way.
 * PS_ECANCELED. */
int sync_tasks_next(struct sync_tasks *tasks, struct ps_lane **lane) __attribute__((warn_unused_result));
/* What is still on its way is cancelled, and told to `back`. Zeroed memory is fine. */
void sync_tasks_end(struct sync_tasks *tasks, void (*back)(void *arg, struct ps_lane *lane), void *arg);

/* ---- sync_notes.c: what is kept in the index of heads ---- */

void sync_head_done(struct sync_head *head);
/* The last head used; PS_OK and not there if there is none. */
int sync_load(struct ps_sync *s) __attribute__((warn_unused_result));
void sync_forget_loaded(struct ps_sync *s);
int sync_note_head(const struct ps_sync *s, const struct sync_head *head, ps_index_txn *txn)
    __attribute__((warn_unused_result));
int sync_note_intent(const struct ps_sync *s, const struct sync_intent *intent, ps_index_txn *txn)
    __attribute__((warn_unused_result));
/* In a commit of its own: durable when it returns. */
int sync_keep_intent(const struct ps_sync *s, const struct sync_intent *intent)
    __attribute__((warn_unused_result));
/* PS_ENOTFOUND. */
int sync_load_intent(struct ps_sync *s, struct sync_intent *intent) __attribute__((warn_unused_result));
void sync_intent_done(struct sync_intent *intent);
int sync_note_lefts(const struct ps_sync *s, ps_index_txn *txn) __attribute__((warn_unused_result));
int sync_left_add(struct ps_sync *s, const struct ps_record *record, uint64_t head, bool leaves)
    __attribute__((warn_unused_result));
/* The counter of the last head that is known here to be this machine's own; 0: none. */
uint64_t sync_own_last(const struct ps_sync *s);

/* ---- head_read.c ---- */

/* Of the head pad. PS_EREADONLY: this key does not know where it is. */
int ps_head_slot(ps_remote *r, uint64_t counter, struct ps_pad_slot *slot)
    __attribute__((warn_unused_result));
/* Verifies a record of the head pad, of whatever counter, and opens it. `network` NULL: of any network. */
int ps_head_open_record(ps_remote *r, struct ps_net_buffer *record, const uint8_t *network,
                        struct sync_head *head) __attribute__((warn_unused_result));
/* What the network shows, verified and worth to be used; there stays false if it is the base. The anchor is
 * at it when this returns. */
int sync_look(struct ps_sync *s, struct sync_head *head) __attribute__((warn_unused_result));
/* The same without looking at anchor or base. Nothing there: there is false. */
int sync_fetch_head(struct ps_sync *s, struct sync_head *head) __attribute__((warn_unused_result));
int sync_move_anchor(struct ps_sync *s, const struct sync_head *head) __attribute__((warn_unused_result));

/* ---- head_write.c ---- */

/* Seals `next` as the head that replaces `parent` (there false: a create). */
int sync_seal_head(struct ps_sync *s, const struct sync_head *parent, struct ps_head *next,
                   struct sync_intent *intent) __attribute__((warn_unused_result));
enum sync_fate { SYNC_CONFIRMED, SYNC_CONFLICT, SYNC_OPEN };
/* Sends an intent that is durable, again and again with the same bytes until it is known what became of it.
 * SYNC_OPEN comes with an error. */
int sync_send_head(struct ps_sync *s, const struct sync_intent *intent, enum sync_fate *fate)
    __attribute__((warn_unused_result));

/* ---- sync_tidy.c ---- */

/* Which of the base's runs are written anew with `delta` bytes of changes (0: there are none). */
int sync_choose_merge(struct ps_sync *s, uint64_t delta, struct ps_merge_choice *choice)
    __attribute__((warn_unused_result));
/* Bytes of runs that a sync at ease would write anew now. */
int sync_due(struct ps_sync *s, uint64_t *bytes) __attribute__((warn_unused_result));

/* ---- run_send.c ---- */

struct sync_run {
	struct ps_record record; /* the index's own: its pads */
	struct ps_head_run run;  /* as a head lists it */
	unsigned mode;
	bool begun;
};
void sync_run_name(const uint8_t id[PS_RUN_ID], char name[4 + 2 * PS_RUN_ID + 1]);
/* For parts that are about `bytes` in all. */
int sync_run_begin(struct ps_sync *s, uint64_t bytes, uint64_t head, bool base, struct sync_run *run)
    __attribute__((warn_unused_result));
size_t sync_run_part_bytes(const struct ps_sync *s, const struct sync_run *run);
/* Parts on their way, as many as max_inflight has room for. */
struct sync_parts {
	struct ps_sync *s;
	struct sync_run *run;
	struct sync_tasks tasks;
	uint32_t most;
};
int sync_parts_begin(struct ps_sync *s, struct sync_run *run, struct sync_parts *parts)
    __attribute__((warn_unused_result));
/* A ps_run_part_fn; arg: struct sync_parts. The pad is in the index when it returns, and on its way. */
int sync_part(void *arg, uint32_t part, const uint8_t *bytes, size_t len);
/* Each is confirmed, or there is a failure: that which came before (err), or one of theirs. Nothing is on its
 * way any more. */
int sync_parts_end(struct sync_parts *parts, int err) __attribute__((warn_unused_result));
/* All parts are there: what a head lists. */
int sync_run_finish(struct ps_sync *s, struct sync_run *run, const struct ps_run_figures *figures)
    __attribute__((warn_unused_result));
void sync_run_done(struct ps_sync *s, struct sync_run *run);
/* Runs that the base does not list: their pads are let go. */
int sync_drop_orphans(struct ps_sync *s) __attribute__((warn_unused_result));
/* From the runs of one head to those of another, in a transaction. `own`: what is no longer listed was
 * replaced by this machine, and is free; else it is another's to free. */
int sync_swap_runs(struct ps_sync *s, const struct ps_head *from, const struct ps_head *to, bool own,
                   ps_index_txn *txn) __attribute__((warn_unused_result));
/* What a description of a run's pad says: run, part. */
enum { SYNC_RUN_DESCRIPTION = 8 + PS_RUN_ID + 4 };
void sync_run_description(const uint8_t id[PS_RUN_ID], uint32_t part, uint8_t out[SYNC_RUN_DESCRIPTION]);

/* ---- run_fetch.c ---- */

/* Several runs of a head as one stream of records. */
struct sync_source;
/* Those that `use` says, oldest first. */
int sync_source_new(struct ps_sync *s, const struct ps_head *head, const bool *use, uint64_t tombstones_below,
                    struct sync_source **source) __attribute__((warn_unused_result));
int sync_source_next(struct sync_source *source, struct ps_record *record, bool *found)
    __attribute__((warn_unused_result));
void sync_source_free(struct sync_source *source); /* NULL is fine */

/* ---- sync_keys.c: keys, for a moment ---- */

struct sync_keys {
	struct sync_key {
		struct ps_busy_key busy;
		char name[PS_RECORD_NAME_MAX + 1];
	} * all;
	size_t count, capacity;
};
int sync_keys_init(struct ps_sync *s, struct sync_keys *keys, size_t capacity)
    __attribute__((warn_unused_result));
/* False: another call has it, or there is no room. A key that is taken already is. */
bool sync_keys_take(struct ps_sync *s, struct sync_keys *keys, const char *name);
void sync_keys_give_back(struct ps_sync *s, struct sync_keys *keys);
void sync_keys_done(struct ps_sync *s, struct sync_keys *keys);

/* ---- sync_send.c ---- */

/* Writes what was changed here into a run, with older runs that are to become one with it, and marks it as
 * sent; found false: there was nothing. The head that is to list it is `next`. */
int sync_write_run(struct ps_sync *s, struct ps_head *next, struct sync_run *run, bool *found)
    __attribute__((warn_unused_result));
/* What was sent is known to be in that head (0: in none, and never will be). */
int sync_settle_sent(struct ps_sync *s, uint64_t head) __attribute__((warn_unused_result));
/* What is here and in none of the base's runs is changed from now on. */
int sync_renew_missing(struct ps_sync *s) __attribute__((warn_unused_result));
/* Tombstones that the network has forgotten, since every machine knew of them, are no more. */
int sync_drop_tombstones(struct ps_sync *s) __attribute__((warn_unused_result));
/* Keys that another call had. */
int sync_settle_lefts(struct ps_sync *s) __attribute__((warn_unused_result));

/* ---- sync_addresses.c ---- */

struct sync_address {
	struct ps_serial serial;
	uint64_t counter; /* of the index pad */
	char name[PS_RECORD_NAME_MAX + 1];
};
struct sync_addresses {
	struct sync_address *all;
	size_t count, capacity;
};
/* What was changed here and has one of these addresses. Zeroed memory at first; what was found before goes.
 */
int sync_addresses_find(struct ps_sync *s, struct ps_serial_set *brought, struct sync_addresses *found)
    __attribute__((warn_unused_result));
void sync_addresses_done(struct ps_sync *s, struct sync_addresses *found);
/* The value is private from now on. */
void sync_part_from_address(struct ps_record *record);

/* ---- sync_merge.c ---- */

/* Takes what a newer head has: it is the base when this returns. */
int sync_merge(struct ps_sync *s, struct sync_head *newer) __attribute__((warn_unused_result));

/* ---- rebuild_scan.c ---- */

/* A part of a run, authentic, wherever it was found. */
struct sync_found_part {
	uint8_t id[PS_RUN_ID], network[PS_NETWORK_ID];
	uint64_t head, bytes, keys;
	uint32_t part, parts; /* parts: of the last one, else 0 */
	bool base, taken;
	struct ps_pad_slot slot;
};
struct sync_found {
	struct sync_found_part *parts;
	size_t count, capacity;
	uint64_t looked, refused, incomplete, ambiguous;
};
int sync_scan(struct ps_sync *s, struct sync_found *found) __attribute__((warn_unused_result));
/* The runs of the newest complete state, into an empty head, and its network. */
int sync_choose_runs(struct ps_sync *s, struct sync_found *found, struct ps_head *head)
    __attribute__((warn_unused_result));
void sync_found_done(struct ps_sync *s, struct sync_found *found);

#endif
