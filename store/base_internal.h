/* The base store's inside: one struct a noun, and what the nouns ask of each other.
 *
 * Locks, in the order they are taken (README.md has the table of who guards what):
 *   store.lock    ids, table entries, space, the log's open buffer, the quarantine. Never held over a data read.
 *   log.lock      who leads the flush, what is durable
 *   table.lock    loading of table pages
 *   pool.lock     the eviction ring, waiting for a page that is being loaded */
#ifndef PS_BASE_INTERNAL_H
#define PS_BASE_INTERNAL_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "allocator/omni.h"
#include "allocator/root.h"
#include "base/fail.h"
#include "base/turn.h"
#include "store/base_format.h"
#include "store/base_store.h"
#include "store/budget.h"
#include "store/cut.h"
#include "store/entry.h"
#include "store/io.h"
#include "store/log.h"
#include "store/named.h"
#include "store/pack.h"
#include "store/pool.h"
#include "store/prefetch.h"
#include "store/residency.h"
#include "store/space.h"
#include "store/staging.h"
#include "store/storer_impl.h"
#include "store/table.h"

/* ---- the store ------------------------------------------------------------------------------------------------ */

struct checkpoint {
	bool running;
	pthread_mutex_t lock; /* one at a time; taken before store.lock, by checkpoint_lock */
	_Atomic(const void *) owner; /* which thread has it */
	uint64_t number, count;
	uint64_t began_us, began_buffer; /* when the last one began, and the log's open buffer then */
	const struct ps_extent *old; /* table pages that the superblock still needs and the table does not (store.lock) */
	size_t old_count;
};

/* Events that wait to be told (event.c). */
enum { EVENTS_MAX = 16 };
struct noted_event {
	enum ps_event_kind kind;
	int error;
	ps_id id;
	char message[200];
};
struct event_queue {
	pthread_mutex_t lock; /* innermost */
	_Atomic(bool) waiting;
	size_t count;
	struct noted_event items[EVENTS_MAX];
};

struct known_run; /* large objects that are in memory (known_runs.h) */
struct redo; /* bytes in the log that their pages do not have yet (redo.c) */

struct store {
	ps_storer storer;
	/* Odd while a commit of several objects is being made visible. Each read looks at it, so it is not where each commit writes. */
	_Atomic(uint32_t) batch_sequence;
	struct ps_base_options options; /* with all defaults filled in */
	bool fixed_log;                 /* its size was given: it never moves */
	struct ps_memory memory;
	struct ps_io *io;
	char path[256]; /* for sentences */
	pthread_mutex_t lock;
	_Atomic(uint32_t) commit_sequence; /* odd while any commit is being made visible */
	struct disk_superblock sb;         /* the last one written or read */
	bool read_only, writing;           /* writing: this open's epoch stands in the superblock */
	bool unclean;                      /* the last owner crashed */
	bool created;
	_Atomic(int) failed;               /* the error that made it read-only */
	char reason[PS_REASON_MAX];
	_Atomic(uint64_t) crashes; /* written under store.lock; what is freed carries it, or an earlier one */
	_Atomic(uint32_t) interval; /* that a commit's changes carry (store.lock); 0: none */
	bool restoring;             /* from a cut, by this process (store.lock) */
	struct disk_note note[NOTES]; /* as on disk (store.lock; changed under checkpoint.lock as well) */
	uint64_t highest_superblock; /* number of any slot ever seen */
	uint8_t uuid[16];
	bool superblock_differs[SUPERBLOCKS];
	char owner[SECTOR];
	_Atomic(uint64_t) budget_used; /* without what struct ps_memory counts */
	uint64_t budget;
	struct budget_calls calls;
	uint32_t inline_max; /* contents up to this ride in the log */
	_Atomic(uint32_t) batch_count; /* operations of the batch that ended last: the next one may have as many */
	struct ps_class_map *classes;  /* NULL: the file has none */
	_Atomic(uint32_t) route_max;   /* contents up to this go to classes, since a layer asked for it */
	struct pool pool;
	struct table table;
	struct space space;
	struct log log;
	struct checkpoint checkpoint;
	struct staging staging;
	struct event_queue events;
	struct redo *redo;
	pthread_mutex_t redo_lock; /* innermost: while patches are applied, or given up */
	uint64_t recovered_commits;
	bool has_thread, stop_thread, wake_thread; /* guarded by thread_lock */
	pthread_t thread;
	pthread_mutex_t thread_lock;
	pthread_cond_t thread_wake;
	_Atomic(bool) relaxed_waiting; /* a relaxed commit stands in the open buffer */
	_Atomic(bool) wants_checkpoint; /* as the last commit found it */
	_Atomic(bool) checkpoint_due;
	_Atomic(bool) join_due; /* pages in memory may be joined to huge ones */
	uint64_t uncommitted_bytes; /* taken by changes that are not committed yet (store.lock) */
	struct ps_cut *cut; /* those that stand (cut.c), the newest first; guarded by store.lock */
	const struct ps_commit_watch *watch; /* likewise (watch.c) */
	struct residency residency;
	_Atomic(struct known_run *) known_runs; /* NULL before the first */
};

int ps_base_open_io(struct ps_io *io, bool created, const struct ps_base_options *opts, ps_storer **s);

static inline struct store *store_of(ps_storer *s)
{
	return (struct store *)s;
}

/* Classes (classes.c): what the superblock says of them, and their allocators. */
bool classes_sound(const struct disk_superblock *sb);
int classes_attach(struct store *s);
void classes_done(struct store *s);
/* Empty slabs' allocators again, as before any was found. */
int classes_reset(struct store *s);
/* Bytes of slabs that lie in no slot. Under store.lock. */
uint64_t classes_tail_bytes(const struct store *s);

/* Superblock. */
int superblock_read(struct store *s, struct disk_superblock *sb);
int superblock_write(struct store *s, struct disk_superblock *sb);
/* What the superblock alone knows, made durable before anything relies on it. Under checkpoint.lock, while s->writing; the store itself
 * goes on with what it has. A failure makes it read-only. */
struct superblock_numbers {
	uint32_t interval, restored;
	uint64_t crashes, checkpoint;
	bool away; /* contents may be */
	uint32_t unknown; /* leaves below this may be */
};
struct superblock_numbers superblock_get_numbers(const struct store *s);
int superblock_set_numbers(struct store *s, const struct superblock_numbers *to);
/* Durable when it returns. Likewise under checkpoint.lock while s->writing: the note may share a sector with a superblock. */
int superblock_write_note(struct store *s, int place, const struct disk_note *note);
/* What a writer makes; place: which of the two. */
bool note_sound(const struct disk_note *note, int place, const uint8_t *uuid);
/* PS_ECORRUPT: there was a note, and neither copy is sound. Under store.lock. */
int note_check(const struct store *s);
void superblock_log(struct store *s, struct disk_superblock *sb);
bool superblock_decode(const uint8_t *sector, struct disk_superblock *sb);
/* This open's epoch is durable after this: needed before the first id or commit. Under store.lock. */
int store_begin_writing(struct store *s);
int store_format(struct store *s);
int store_is_unfinished(struct store *s, bool *unfinished);
int store_writable(struct store *s);
void store_fail(struct store *s, int err, const char *what);
void store_event(struct store *s, enum ps_event_kind kind, int err, ps_id id);
void store_tell_events(struct store *s);
int store_end_call(struct store *s, int err);

/* Checkpoint: returns when one has completed that began after the call. Not under store.lock. */
int checkpoint_run(struct store *s);
/* For compaction: the log into a new ring of len bytes; the old one is free after the next checkpoint. */
uint64_t checkpoint_wanted_ring(struct store *s);
int checkpoint_move_ring(struct store *s, uint64_t len);
int checkpoint_if_wanted(struct store *s);
/* One at a time, and nobody else writes superblocks: checkpoint.lock. This thread can tell that it has it. */
void checkpoint_lock(struct store *s);
void checkpoint_unlock(struct store *s);
bool checkpoint_is_mine(const struct store *s);
/* For who needs memory: what is dirty now becomes clean, unless another's checkpoint has done so meanwhile. False: not here, or not now. */
bool checkpoint_relieve(struct store *s);
bool checkpoint_wanted(struct store *s);
unsigned checkpoint_spill_load(const struct store *s);
int checkpoint_after_sync(struct store *s);
void store_wake(struct store *s);
/* A block of memory may be full: the thread may make a huge page of it. */
void store_wants_join(struct store *s);
/* If that was said: huge pages for blocks of table leaves that are all in memory, a few a call. One thread at a time. */
void store_join(struct store *s);
int store_start_thread(struct store *s);
void store_stop_thread(struct store *s);

/* Recovery. */
int recovery_run(struct store *s);
/* False if there is nothing (any more) that the page could need. */
bool redo_apply(struct store *s, uint64_t page, uint64_t count, uint8_t *frame);
int redo_finish(struct store *s);
void redo_free(struct store *s);

/* Log records: decoding is shared by recovery and the fuzz target. */
struct log_operation {
	uint64_t slot;
	struct entry entry;
	const struct disk_fresh *fresh;
	uint32_t fresh_count;
	bool fresh_contents; /* they lie at the entry's place, written by this commit */
	const uint8_t *bytes;
	uint32_t nbytes;
};
/* Spilled operations stand in extents of at most so many bytes, each with its checksum. */
enum { SPILL_BYTES = CHUNK, SPILL_SEED = 0x5b111 };
struct log_record {
	uint64_t commit;
	uint32_t flags, operations;
	const uint8_t *body;
	size_t body_len;
	const struct disk_spill *spills;
	uint32_t spill_count;
};
/* The record at *at; moves *at behind it. PS_ECORRUPT for what no writer makes. */
int log_decode_record(const uint8_t *bytes, size_t len, size_t *at, struct log_record *record);
int log_decode_operation(const struct ps_class_map *classes, uint32_t interval, const uint8_t *body, size_t len, size_t *at, struct log_operation *op);

/* ---- commits --------------------------------------------------------------------------------------------------- */

#include "store/change.h"

enum { COMMIT_CHANGED = 100 }; /* an expected entry was another: prepare again */
/* All or nothing. PS_OK, an error, or COMMIT_CHANGED with *which. */
int commit_changes(struct store *s, struct change *changes, size_t n, enum ps_durability durability, size_t *which);
int store_take_id(struct store *s, ps_id *id);
/* Up to n of them, one at least. */
int store_take_ids(struct store *s, ps_id *ids, size_t n, size_t *taken);
void store_return_ids(struct store *s, const ps_id *ids, size_t n);
void change_make_free(struct store *s, struct change *c);
/* The change becomes: the object as `base` has it, of new_size bytes, with data at off. `bytes`: contents of a base that has
 * no place yet. Under a hold of the slot. */
int change_range(struct store *s, struct change *c, const struct entry *base, const uint8_t *bytes,
                 uint64_t new_size, uint64_t off, const uint8_t *data, uint64_t len);
/* Writes over what the uncommitted change has so far. */
int change_write_over(struct store *s, struct change *c, uint64_t off, const void *data, uint64_t len);
/* Ids that were given out and will never live: their generation is used up. Relaxed. */
int store_use_up_ids(struct store *s, const ps_id *ids, size_t n);
/* Commits one change; prepares it again when another commit came between. */
int commit_one(struct store *s, struct change *c);
int store_after_relaxed(struct store *s);
/* Who hears of commits is told that all so far are durable, as the caller asked for (watch.c). */
void store_tell_durable(struct store *s);
/* Starts a checkpoint, or does one, when the log or the dirty pages ask for it. */
int store_pace(struct store *s);

/* A cut: the table as it was at one commit, while others go on (cut.c). Under store.lock. */
void cut_before_commit(struct store *s, const struct change *changes, size_t n);
/* Writers need what it holds: its owner gets PS_ENOSPC. */
void cut_drop(struct store *s);
bool cut_holds(struct store *s, const struct freed *f);
/* A cut of everything that ends no interval; also of a store that is open read-only. */
int cut_whole(struct store *s, struct ps_cut **cut, struct ps_cut_info *info);
/* Of a store without intervals, which gets none: a backup's copy. */
int restore_plain(struct store *s, struct ps_restore **r);
/* PS_EREADONLY while a restore is under way, and after one that did not come to its end: only what keeps its interval may change. */
int store_is_restored(const struct store *s);
static inline int store_not_restored(const struct store *s)
{
	return atomic_load_explicit(&s->interval, memory_order_relaxed) == INTERVAL_OPEN ? store_is_restored(s) : PS_OK;
}
/* The base store below s. PS_ENOTSUP: there is none. */
int store_below(ps_storer *s, struct store **below);

/* The frame that the entry's contents lie in. */
static inline uint64_t entry_frame(const struct store *s, const struct entry *e)
{
	return pool_frame(&s->pool, entry_class(e), entry_place(e));
}

/* ---- what is unknown (unknown.c) ------------------------------------------------------------------------------- */

/* After recovery: what the table says of what is unknown. */
int unknown_attach(struct store *s);
/* table_get, which asks the backing where the entry is unknown. Blocks; under no lock. PS_EUNAVAILABLE: there is none; PS_EREADONLY. */
int unknown_get(struct store *s, uint64_t slot, struct entry *e);
/* Until nothing is unknown any more. */
int unknown_learn_all(struct store *s);
/* The entry of what stays unknown once the changes before it are made. Under store.lock. */
struct entry unknown_sums_after(const struct store *s, const struct change *changes, size_t n);

/* ---- objects ---------------------------------------------------------------------------------------------------- */

int object_entry(struct store *s, ps_id id, struct entry *e);
int object_read(struct store *s, ps_id id, const struct entry *e, uint64_t off, uint8_t *buf, size_t len, enum object_use use);
struct blob entry_blob(ps_id id, const struct entry *e);
int not_found(struct store *s, ps_id id);

/* Slots of the operations table. */
#define BASE_SLOT(name, params) int base_##name params;
PS_STORER_SLOTS(BASE_SLOT)
#undef BASE_SLOT
ps_id base_writer_id(ps_writer *w);

#include "store/map.h"

extern const struct ps_storer_ops base_ops;

#endif
