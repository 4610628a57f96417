/* The local index: which blob is which pads, which pads are free, in a base store of its own. Every change is
 * a transaction: one durable commit, before or after which a crash leaves the index. It knows what may become
 * of a pad (pad_slot.h) and that none is forgotten or stands twice: a transaction that would do so is
 * refused.
 *
 * In memory there are only 16 bytes a record (a keyed hash of its name, its id), sets of ids of what is
 * dirty, free or open, and figures. Any thread may call; a transaction is used by one at a time. Two open
 * transactions never touch the same record or spare pad: the second gets PS_EBUSY. No lock is held during a
 * commit or a callback.
 *
 * Common errors: PS_EINVAL, PS_ENOMEM, PS_ENOSPC, PS_EIO, PS_ECORRUPT. After a commit whose outcome is
 * unknown all calls are PS_EIO until it is opened anew. */
#ifndef PS_LOCAL_INDEX_H
#define PS_LOCAL_INDEX_H

#include "remote/record.h"
#include "store/storer.h"

/* Whose index it is. A foreign one is refused, and kept. */
struct ps_index_binding {
	uint8_t network[16];
	uint8_t key_check[32]; /* derived from the keys; tells nothing about them */
	const char *store;     /* 1 to 255 bytes */
};

struct ps_index_options {
	size_t size;            /* sizeof(struct ps_index_options) */
	uint64_t memory_budget; /* of the base store; 128 MiB */
	const struct ps_allocator_fns *allocator;
};

/* What the manager keeps beside the records: whole byte strings, replaced in transactions. */
enum ps_index_note {
	PS_NOTE_HEAD,        /* the last head that was used */
	PS_NOTE_HEAD_INTENT, /* the exact record that is about to be, or was, sent as the next head */
	PS_NOTE_PLAIN_HEAD_INTENT,
	PS_NOTE_PUBLIC_INTENT, /* of a public index pad written in place */
	PS_NOTE_SYNC,
	PS_NOTE_PURGE,
	PS_NOTE_GC,
	PS_NOTE_OTHER,
	PS_NOTES
};

struct ps_index_figures {
	uint64_t records; /* of all kinds */
	uint64_t blobs, complete, updating, tombstones, dirty, published_as_public;
	uint64_t bytes;                       /* of the blobs' contents */
	uint64_t pads[PS_SLOT_STATUSES];      /* in records and spare */
	uint64_t pad_bytes[PS_SLOT_STATUSES]; /* their lengths */
	uint64_t spare[3][3];                 /* free pads without a record, by class and mode */
	uint64_t memory;                      /* of tables and sets, without the base store's */
};

typedef struct ps_index ps_index;
typedef struct ps_index_txn ps_index_txn;

/* Makes an index in a folder (made with mode 0700, the file 0600): whole or not at all. PS_EEXIST if there is
 * one, whatever is in it. */
int ps_index_make(const char *folder, const struct ps_index_binding *binding,
                  const struct ps_index_options *options) __attribute__((warn_unused_result));
/* PS_ENOENT (none there), PS_EBUSY (open elsewhere), PS_EFORMAT (not an index), PS_EVERSION, PS_EAUTH (of
 * another key, network or store), PS_ECORRUPT (damaged, truncated or emptied). What is refused is left as it
 * is. */
int ps_index_open(const char *folder, const struct ps_index_binding *binding,
                  const struct ps_index_options *options, ps_index **index)
    __attribute__((warn_unused_result));
/* Over a store that is open; owned from success on. `make`: an empty store becomes an index. */
int ps_index_over(ps_storer *store, const struct ps_index_binding *binding, bool make,
                  const struct ps_allocator_fns *allocator, ps_index **index)
    __attribute__((warn_unused_result));
/* PS_EBUSY while transactions are open: nothing changed. NULL is fine. */
int ps_index_close(ps_index *index) __attribute__((warn_unused_result));

struct ps_memory *ps_index_memory(ps_index *index);
void ps_index_figures(ps_index *index, struct ps_index_figures *figures);

/* PS_ENOTFOUND. The record is the caller's (ps_record_done). */
int ps_index_get(ps_index *index, unsigned kind, const char *name, size_t name_len, struct ps_record *record)
    __attribute__((warn_unused_result));
/* As ps_index_get, with the sets' counts and without their slots: the same cost for any size. */
int ps_index_look(ps_index *index, unsigned kind, const char *name, size_t name_len, struct ps_record *record)
    __attribute__((warn_unused_result));
/* Some of a set's slots: the caller's array. *got is less only at the set's end. PS_ENOTFOUND. */
int ps_index_slots(ps_index *index, unsigned kind, const char *name, size_t name_len, enum ps_record_set set,
                   uint32_t first, uint32_t count, struct ps_pad_slot *slots, uint32_t *got)
    __attribute__((warn_unused_result));

enum ps_index_list_flag {
	PS_LIST_SLOTS = 1, /* records with their slots; else as ps_index_look gives them */
	PS_LIST_DIRTY = 2, /* only what is dirty: without a look at the others */
	PS_LIST_ANY = 4,   /* in the order of the file: each is told as it is read, and nothing is kept */
	PS_LIST_AHEAD =
	    8, /* fn reads what it is told of: what comes next is brought to memory, many at a time */
};
/* The record is valid during the call. Non-zero ends the list, and is its result. */
typedef int (*ps_index_record_fn)(void *arg, const struct ps_record *record);
/* Records of a kind whose names begin with the prefix (NULL: all), in the order of their names unless
 * PS_LIST_ANY is set. What comes, goes or changes after the call has begun is seen or not. fn may call the
 * index. Memory: 8 bytes a record; in the order of names also these, 48 bytes a record, and 256 MiB at most
 * for what is read before it is told. */
int ps_index_list(ps_index *index, unsigned kind, const char *prefix, unsigned flags, ps_index_record_fn fn,
                  void *arg) __attribute__((warn_unused_result));

struct ps_spare {
	ps_id id;
	uint64_t hold; /* free, but not before every head up to this counter is history (ps_index_settle) */
	struct ps_pad_slot slot;
};
typedef int (*ps_index_spare_fn)(void *arg, const struct ps_spare *spare);
/* Pads without a record of this status (free, pending, invalid, generated), in no order. */
int ps_index_each_spare(ps_index *index, unsigned status, ps_index_spare_fn fn, void *arg)
    __attribute__((warn_unused_result));
/* Pads without a record, of every status, then those of all records. What goes from one to the other meanwhile may be told twice, or
 * not at all (ps_index_is_still). */
int ps_index_each_pad(ps_index *index, ps_record_slot_fn fn, void *arg) __attribute__((warn_unused_result));
/* From now on spare pads held up to this head counter may be taken. In memory only: said anew after each
 * open. */
void ps_index_settle(ps_index *index, uint64_t head);

/* PS_ENOTFOUND. *bytes is the caller's: ps_memory_free(ps_index_memory(), bytes, len). */
int ps_index_note(ps_index *index, enum ps_index_note note, uint8_t **bytes, size_t *len)
    __attribute__((warn_unused_result));

/* Verifies all: every object decodes, no name and no pad stands twice, tables and figures are what the
 * objects say. fn hears of each finding (may be NULL). PS_ECORRUPT if there was one. PS_EBUSY: a
 * transaction is open, or began meanwhile. fn does not call the index. */
typedef void (*ps_index_finding_fn)(void *arg, const char *finding);
int ps_index_verify(ps_index *index, ps_index_finding_fn fn, void *arg) __attribute__((warn_unused_result));
/* Whether no transaction is open; *begun: how many there were so far. The same before and after a list: what
 * was listed is the index as it was at one moment. */
bool ps_index_is_still(ps_index *index, uint64_t *begun);

/* ---- transactions ---- */

int ps_index_begin(ps_index *index, ps_index_txn **txn) __attribute__((warn_unused_result));
/* One durable commit, or nothing; ends the transaction either way. PS_EINVAL: a pad would be forgotten, stand
 * twice, or change as none may. */
int ps_index_commit(ps_index_txn *txn) __attribute__((warn_unused_result));
/* The same, durable with the next ps_index_commit that begins after it returned, or ps_index_flush; until
 * then a crash may take it back, with all that was committed after it. For one of many that nothing depends
 * on before the last. */
int ps_index_commit_later(ps_index_txn *txn) __attribute__((warn_unused_result));
int ps_index_flush(ps_index *index) __attribute__((warn_unused_result));
void ps_index_abort(ps_index_txn *txn); /* NULL is fine */

/* After a failure of any of these the transaction can only be aborted: its commit fails with the same error.
 *
 * A whole record, in place of the one of its kind and name. Once a transaction. Its pads that the old record
 * did not have are new ones, or taken or freed from elsewhere in this transaction; those that it no longer
 * has are placed elsewhere in it. PS_ECORRUPT: ps_record_check refuses it. */
int ps_txn_put(ps_index_txn *txn, const struct ps_record *record) __attribute__((warn_unused_result));
/* The same for a record that came from the network: its pads may be new in any status. Pads that only the
 * network's heads named before (the base; current, if it was not dirty) are left to the machine that changed
 * the blob: they need not be placed. */
int ps_txn_adopt(ps_index_txn *txn, const struct ps_record *record) __attribute__((warn_unused_result));
/* The record is no more; its pads are placed elsewhere. `adopt` as above. PS_ENOTFOUND. */
int ps_txn_remove(ps_index_txn *txn, unsigned kind, const char *name, size_t name_len, bool adopt)
    __attribute__((warn_unused_result));
/* One slot, in a write of 128 bytes: another status of the same pad, or another pad in its place (the old one
 * is placed elsewhere). Each slot once a transaction. PS_ENOTFOUND (no such record), PS_ERANGE (no such
 * slot). */
int ps_txn_set_slot(ps_index_txn *txn, unsigned kind, const char *name, size_t name_len,
                    enum ps_record_set set, uint32_t index, const struct ps_pad_slot *slot)
    __attribute__((warn_unused_result));
/* A free pad of this class and mode, taken out of the spare ones: to be reused (ps_slot_reuse) and placed.
 * PS_ENOTFOUND: there is none. */
int ps_txn_take(ps_index_txn *txn, unsigned class, unsigned mode, struct ps_pad_slot *slot)
    __attribute__((warn_unused_result));
/* A certain spare pad, as ps_index_each_spare told of it. PS_ENOTFOUND: it is no more. */
int ps_txn_take_spare(ps_index_txn *txn, ps_id id, struct ps_pad_slot *slot)
    __attribute__((warn_unused_result));
/* A pad without a record. hold: see struct ps_spare; 0: at once. */
int ps_txn_add_spare(ps_index_txn *txn, const struct ps_pad_slot *slot, uint64_t hold)
    __attribute__((warn_unused_result));
/* For pads that a record let go (ps_record_switch, …): each becomes free, or pending where it was not
 * confirmed, or stays invalid; a new pad that was never sent is gone. */
int ps_txn_let_go(ps_index_txn *txn, const struct ps_slots *slots, uint64_t hold)
    __attribute__((warn_unused_result));
/* This pad is gone: its serial is in no record any more and never comes back. */
int ps_txn_retire(ps_index_txn *txn, const struct ps_pad_slot *slot) __attribute__((warn_unused_result));
/* len 0: no note any more. */
int ps_txn_set_note(ps_index_txn *txn, enum ps_index_note note, const void *bytes, size_t len)
    __attribute__((warn_unused_result));

#endif
