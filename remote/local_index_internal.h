/* What the files of the local index share. */
#ifndef PS_LOCAL_INDEX_INTERNAL_H
#define PS_LOCAL_INDEX_INTERNAL_H

#include <pthread.h>

#include "remote/id_table.h"
#include "remote/local_index.h"
#include "remote/serial_set.h"

enum { INDEX_HASH_KEY = 16, INDEX_PAD_KINDS = 9 };

enum index_object_kind { INDEX_OBJECT_RECORD, INDEX_OBJECT_SPARE, INDEX_OBJECT_NOTE, INDEX_OBJECT_SUMMARY };

/* `lock` guards all below it. No I/O is done under it. */
struct ps_index {
	ps_storer *store;
	struct ps_memory memory;
	uint8_t hash_key[INDEX_HASH_KEY];
	size_t list_keep_bytes; /* of records that a list reads before it tells of them; never changes */
	size_t summary_from;    /* records that an index has at least for which a close leaves a summary */
	size_t summary_cells;   /* of the next summary; 0: by the index's size */
	/* Held during a commit, which is then in the tables, too; alone by who writes the summary. Before
	 * `lock`. */
	pthread_rwlock_t summary_lock;
	ps_id summary;       /* its object; PS_ID_NONE: there is none */
	size_t summary_next; /* without one: it is written once there are so many records */
	uint32_t summary_round;
	ps_id *cells; /* the summary's; the next one has them, too */
	size_t cells_count;
	pthread_mutex_t lock;
	size_t cells_used;
	struct ps_id_table names;                  /* hash of kind and name → record */
	struct ps_id_table dirty;                  /* records */
	struct ps_id_table own;                    /* records of the index itself */
	struct ps_id_table free[INDEX_PAD_KINDS];  /* spare pads that may be taken, by class and mode */
	struct ps_id_table held;                   /* free, key: hold * 16 + class and mode */
	struct ps_id_table open[PS_SLOT_STATUSES]; /* other spare pads, by status */
	struct ps_id_table claimed;                /* what open transactions touch → their number */
	ps_id notes[PS_NOTES];
	struct ps_index_figures figures;
	uint64_t settled, transactions;     /* transactions: begun so far */
	size_t transactions_open, promised; /* promised: places that open commits reserved */
	bool broken;
};

/* An object of the store, decoded. */
struct index_object {
	enum index_object_kind kind;
	ps_id id;
	struct ps_record record;
	struct ps_spare spare;
	unsigned note;
};

int index_check(ps_index *index); /* PS_EIO once broken */
/* After a commit that failed: whether what it did is known. */
void index_note_failure(ps_index *index, int err);
uint64_t index_name_hash(const ps_index *index, unsigned kind, const char *name, size_t name_len);
static inline unsigned index_pad_kind(const struct ps_pad_slot *slot)
{
	return slot->class * 3U + slot->mode;
}

/* The whole object into memory of the index: *len bytes. PS_ENOTFOUND. */
int index_read(ps_index *index, ps_id id, uint8_t **bytes, size_t *len) __attribute__((warn_unused_result));
/* The record of this kind and name: its id, and its prefix. PS_ENOTFOUND. */
int index_find(ps_index *index, unsigned kind, const char *name, size_t name_len, ps_id *id,
               struct ps_record *record) __attribute__((warn_unused_result));
/* The prefix of a record by its id. PS_ENOTFOUND. */
int index_read_prefix(ps_index *index, ps_id id, struct ps_record *record)
    __attribute__((warn_unused_result));
int index_read_record(ps_index *index, ps_id id, struct ps_record *record)
    __attribute__((warn_unused_result));
int index_read_slot(ps_index *index, ps_id id, uint64_t offset, struct ps_pad_slot *slot)
    __attribute__((warn_unused_result));
int index_read_spare(ps_index *index, ps_id id, struct ps_spare *spare) __attribute__((warn_unused_result));

int index_object_decode(ps_index *index, ps_id id, const void *bytes, size_t len, struct index_object *object)
    __attribute__((warn_unused_result));
void index_spare_encode(const struct ps_spare *spare, uint8_t out[PS_SPARE_HEAD_BYTES + PS_SLOT_BYTES]);

/* A record, or a slot, into figures; sign -1 takes it out. */
void index_count_record(struct ps_index_figures *figures, const struct ps_record *record, int sign);
void index_count_slot(struct ps_index_figures *figures, const struct ps_pad_slot *slot, int sign);
void index_count_spare(struct ps_index_figures *figures, const struct ps_pad_slot *slot, int sign);
void index_figures_add(struct ps_index_figures *to, const struct ps_index_figures *delta);

/* Where a spare pad's id stands in memory, and under which key. The lock is held. */
struct ps_id_table *index_spare_table_locked(ps_index *index, const struct ps_spare *spare, uint64_t *key);

/* Every id of some tables, as of now, the caller's: `count` of them. */
int index_snapshot(ps_index *index, struct ps_id_table *const *tables, size_t tables_count, ps_id **ids,
                   size_t *count) __attribute__((warn_unused_result));
/* Calls fn for each object of the store but the prime one. */
typedef int (*index_object_fn)(void *arg, struct index_object *object);
int index_scan(ps_index *index, index_object_fn fn, void *arg) __attribute__((warn_unused_result));
/* The same for some objects; those that are not there are left out. */
int index_scan_ids(ps_index *index, const ps_id *ids, size_t count, index_object_fn fn, void *arg)
    __attribute__((warn_unused_result));
int index_load(ps_index *index) __attribute__((warn_unused_result));
/* One object into the tables: an index_object_fn. */
int index_load_object(void *index, struct index_object *object) __attribute__((warn_unused_result));

/* ---- the summary (index_summary.c) ---- */

bool index_is_summary(const void *bytes, size_t len);
/* Of an index that is about to be closed: a new one, where that saves the next open more than it costs. */
int index_summary_close(ps_index *index) __attribute__((warn_unused_result));
int index_summary_load(ps_index *index) __attribute__((warn_unused_result));
/* Around a commit. Between the two the summary stays what it is; it has a cell for this commit, in the
 * transaction's batch, if it is there at all. PS_OK: index_summary_leave has to follow. */
int index_summary_enter(ps_index_txn *txn) __attribute__((warn_unused_result));
void index_summary_leave(ps_index *index);

/* ---- cells (index_journal.c) ---- */

enum index_section {
	INDEX_SECTION_NAMES,
	INDEX_SECTION_DIRTY,
	INDEX_SECTION_OWN,
	INDEX_SECTION_OTHERS,
	INDEX_SECTIONS
};
bool index_is_cell(const void *bytes, size_t len);
/* Empty ones, of no round, at the places from `from` on, up to `to`. */
int index_cells_make(ps_batch *batch, ps_id *cells, size_t from, size_t to)
    __attribute__((warn_unused_result));
bool index_cell_needed(const ps_index_txn *txn);
int index_cell_write(ps_index_txn *txn, ps_id cell, size_t number) __attribute__((warn_unused_result));
/* Onto what the summary gave. others: ids of spare pads and notes. */
int index_cells_replay(ps_index *index, struct ps_id_table *others) __attribute__((warn_unused_result));

/* ---- transactions ---- */

/* What becomes of the tables in memory when the commit is durable. */
struct index_effect {
	struct ps_id_table *table;
	uint64_t key;
	ps_id id;
	bool add;
};

/* Pads that left a place, or came to one. */
struct index_moves {
	struct index_moved {
		struct ps_pad_slot slot;
		bool free_of_proof; /* left: need not come to another place; came: may come from nowhere */
	} * all;
	size_t count, capacity;
};

struct ps_index_txn {
	ps_index *index;
	ps_batch *batch;
	uint64_t number;
	int error; /* of its first failure */
	struct index_effect *effects;
	size_t effects_count, effects_capacity;
	struct index_moves left, came;
	struct ps_id_table records; /* names that it has put or removed, and slots it has set */
	struct ps_id_table claims;  /* keys and ids in index->claimed */
	struct ps_index_figures delta;
	ps_id notes[PS_NOTES];
	bool notes_set[PS_NOTES];
};

/* Remembers a failure: the commit gives it. */
int index_txn_spoil(ps_index_txn *txn, int err);
/* PS_EBUSY: another transaction has it. */
int index_txn_claim(ps_index_txn *txn, uint64_t key) __attribute__((warn_unused_result));
int index_txn_claim_locked(ps_index_txn *txn, uint64_t key) __attribute__((warn_unused_result));
int index_txn_effect(ps_index_txn *txn, struct ps_id_table *table, uint64_t key, ps_id id, bool add)
    __attribute__((warn_unused_result));
int index_txn_move(ps_index_txn *txn, struct index_moves *moves, const struct ps_pad_slot *slot,
                   bool free_of_proof) __attribute__((warn_unused_result));
void index_txn_free(ps_index_txn *txn); /* its batch has ended */

#endif
