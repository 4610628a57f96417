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
#include "store/base_format.h"
#include "store/base_store.h"
#include "store/budget.h"
#include "store/cut.h"
#include "store/io.h"
#include "store/named.h"
#include "store/pack.h"
#include "store/pool.h"
#include "store/prefetch.h"
#include "store/residency.h"
#include "store/space.h"
#include "store/staging.h"
#include "store/storer_impl.h"

/* ---- entries ------------------------------------------------------------------------------------------------- */

enum entry_kind {
	ENTRY_FREE = 0,     /* w3: last generation, and the number of crashes when it was freed */
	ENTRY_DATA = 1,     /* `size` bytes at the place, at most CHUNK */
	ENTRY_MAP = 2,      /* a map's root node at the place */
	ENTRY_ZERO = 3,     /* nothing on disk, reads as zeros */
	ENTRY_RESERVED = 4, /* a place of `size` bytes that nothing was written to: reads as zeros */
	ENTRY_AWAY = 5,     /* as DATA, but the bytes are elsewhere (fault.c) */
	ENTRY_UNKNOWN = 6,  /* what the slot has is elsewhere: the other words are zeros (unknown.c) */
	ENTRY_SUMS = 7,     /* no object: w1 and w2 are objects and bytes of all that is unknown, the interval is when */
};

/* w0: place in granules (44 bits), kind (4), allocator class (8), map levels below the root (4); w1: size;
 * w2: checksum of the blob at the place; w3: generation (24), and from bit 32 the interval of the last change (0: before
 * there were any). A FREE entry has the number of crashes there, and its interval in w1. */
struct entry {
	uint64_t w[4];
};
#define PLACE_MASK (((uint64_t)1 << 44) - 1)
#define GENERATION_MAX 0xffffffU

static inline enum entry_kind entry_kind(const struct entry *e)
{
	return (enum entry_kind)(e->w[0] >> 44 & 15);
}
/* An object: with a size, and a generation of its own. */
static inline bool entry_lives(const struct entry *e)
{
	return entry_kind(e) != ENTRY_FREE && entry_kind(e) != ENTRY_UNKNOWN && entry_kind(e) != ENTRY_SUMS;
}
static inline uint64_t entry_place(const struct entry *e)
{
	return (e->w[0] & PLACE_MASK) * GRANULE;
}
/* class 0: what the root gave. */
static inline void entry_set_place(struct entry *e, unsigned class, uint64_t place)
{
	e->w[0] = (e->w[0] & ~(PLACE_MASK | (uint64_t)255 << 48)) | place / GRANULE | (uint64_t)class << 48;
}
static inline unsigned entry_class(const struct entry *e)
{
	return (unsigned)(e->w[0] >> 48 & 255);
}
static inline unsigned entry_level(const struct entry *e)
{
	return (unsigned)(e->w[0] >> 56 & 15);
}
static inline uint64_t entry_size(const struct entry *e)
{
	return e->w[1];
}
static inline uint32_t entry_generation(const struct entry *e)
{
	return (uint32_t)(e->w[3] & GENERATION_MAX);
}
static inline uint32_t entry_interval(const struct entry *e)
{
	return (uint32_t)(entry_kind(e) == ENTRY_FREE ? e->w[1] : e->w[3] >> 32);
}
static inline void entry_set_interval(struct entry *e, uint32_t interval)
{
	if (entry_kind(e) == ENTRY_FREE)
		e->w[1] = interval;
	else
		e->w[3] = (e->w[3] & UINT32_MAX) | (uint64_t)interval << 32;
}
static inline bool entry_equal(const struct entry *a, const struct entry *b)
{
	return a->w[0] == b->w[0] && a->w[1] == b->w[1] && a->w[2] == b->w[2] && a->w[3] == b->w[3];
}
/* How many leaves hold so many slots. */
static inline uint64_t leaves_of(uint64_t slots)
{
	return (slots + FANOUT - 1) / FANOUT;
}

static inline uint64_t id_slot(ps_id id)
{
	return id >> 24;
}
/* The prime is slot 0, generation 1: its id is 1. */
static inline uint32_t id_generation(ps_id id)
{
	return (uint32_t)(id & GENERATION_MAX);
}
static inline ps_id id_make(uint64_t slot, uint32_t generation)
{
	return slot << 24 | generation;
}
struct entry entry_make(enum entry_kind kind, uint64_t place, uint64_t size, uint64_t checksum, unsigned level,
			uint32_t generation);
/* Bytes of the blob at the entry's place: contents, a map's root node, or 0. */
uint64_t entry_blob_len(const struct entry *e);
/* False for what no writer makes (table pages and log records come from outside): also an interval that has not begun. */
bool entry_valid(const struct ps_class_map *classes, uint32_t interval, const struct entry *e, uint64_t slot);
/* What it takes of the file: a slot, or an extent of the root; of a map only the root node. */
struct ps_extent entry_extent(const struct ps_class_map *classes, const struct entry *e);
/* Where the file must reach to, or 0: the end of the extent, or of the slot's slab. */
uint64_t entry_end(const struct ps_class_map *classes, const struct entry *e);

uint64_t blob_checksum(uint64_t seed, const void *data, size_t len);
/* Seeds: the contents of a small object, chunk i of a large one, a map node. */
uint64_t seed_contents(ps_id id);
uint64_t seed_chunk(ps_id id, uint64_t index);
uint64_t seed_node(ps_id id, unsigned level, uint64_t index);
/* What an extent of len bytes takes: to 16 below 4 KiB, to 4 KiB from there up. */
static inline uint64_t extent_len(uint64_t len)
{
	return len < PAGE ? (len + GRANULE - 1) & ~(uint64_t)(GRANULE - 1) : (len + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

/* ---- table --------------------------------------------------------------------------------------------------- */

struct table_pointer {
	uint64_t place[2], checksum, checkpoint;
};

#define LEAF_RESIDENT ((uint64_t)1)
#define LEAF_DIRTY ((uint64_t)2)
#define LEAF_USED ((uint64_t)4)
#define LEAF_TOUCHED ((uint64_t)8)  /* an object in it was used since contents that are used least last left (evict.c) */
#define LEAF_LOCKED ((uint64_t)16)  /* being evicted */
#define LEAF_WRITING ((uint64_t)32) /* a checkpoint writes it: stays */
#define LEAF_PATCHED ((uint64_t)64) /* not in memory, and recovery noted entries for it (table_redo.c): as good as dirty */
#define LEAF_SEQ ((uint64_t)256)
#define LEAF_VERSION (~(LEAF_USED | LEAF_TOUCHED | LEAF_DIRTY | LEAF_WRITING)) /* moves on when an entry changes or the leaf goes */

struct table_leaf {
	_Atomic(uint64_t) state;
	uint64_t new_place;     /* where the next checkpoint writes it; 0 while clean */
	uint64_t free_slots[2]; /* bit set: may be used again */
	bool in_free_list;
};

/* An inner page; on level 1 its children are leaves and it is called a group. */
struct table_node {
	struct table_node *parent;
	unsigned level, index;
	_Atomic(bool) dirty;
	uint64_t number; /* among the pages of its level */
	uint64_t spare[2]; /* where the next checkpoint writes it; then the old places are spare */
	struct table_pointer self;
	struct table_pointer child[FANOUT];
	union {
		struct table_node *node[FANOUT];
		struct {
			struct table_leaf leaf[FANOUT];
			_Atomic(uint64_t) *entries; /* FANOUT * FANOUT * 4 words of address space */
		};
	};
};

enum { GROUP_SLOTS = FANOUT * FANOUT, GROUPS_PER_CHUNK = 1024, GROUP_CHUNKS = 1024, GROUPS_PER_BLOCK = 4 /* HUGE_BLOCK of entries */ };
struct group_chunk {
	_Atomic(struct table_node *) group[GROUPS_PER_CHUNK];
	_Atomic(uint64_t) *entries;
	void *mapping; /* that they lie in */
	_Atomic(bool) joined[GROUPS_PER_CHUNK / GROUPS_PER_BLOCK]; /* to a huge page */
};

struct table {
	struct store *store;
	_Atomic(struct group_chunk *) *chunks; /* GROUP_CHUNKS */
	struct table_node *root;
	unsigned height;
	_Atomic(uint64_t) slots; /* first slot never used */
	pthread_mutex_t lock;
	uint64_t *free_leaves; /* stack of leaf numbers that have free slots */
	size_t free_count, free_size;
	uint64_t *dirty; /* leaf numbers */
	size_t dirty_count, dirty_size;
	_Atomic(uint64_t) evict_hand;
	_Atomic(uint64_t) evictions;
	uint64_t join_hand, evictions_seen; /* of the thread that calls store_join */
	_Atomic(uint64_t) resident_bytes, dirty_bytes; /* of leaves */
	_Atomic(uint64_t) objects, live_bytes;
	_Atomic(uint64_t) uncounted, uncounted_end; /* slots that objects and live_bytes do not know yet (changed under store.lock; rebuild.c) */
	struct table_redo *redo; /* after a crash, until the first checkpoint; NULL (table.lock) */
	bool damaged; /* some page could not be read: nothing may be called free */
	_Atomic(uint64_t) unknown; /* slots, whole leaves: of those below, leaves that are nowhere are unknown, not empty */
	uint64_t unknown_objects, unknown_bytes; /* part of objects and live_bytes (store.lock); as the SUMS entry has them */
	_Atomic(uint32_t) unknown_interval;      /* at whose end they were as they are */
};

enum { ENTRY_WORDS = 4, LEAF_WORDS = FANOUT * ENTRY_WORDS };

/* The group, if it is in memory. */
static inline struct table_node *table_known_group(const struct table *t, uint64_t number)
{
	struct group_chunk *chunk = atomic_load_explicit(&t->chunks[number / GROUPS_PER_CHUNK], memory_order_acquire);
	return chunk ? atomic_load_explicit(&chunk->group[number % GROUPS_PER_CHUNK], memory_order_acquire) : NULL;
}

/* Of the block that the group's leaves lie in. The group is in memory. */
static inline _Atomic(bool) *table_joined(const struct table *t, uint64_t group)
{
	struct group_chunk *chunk = atomic_load_explicit(&t->chunks[group / GROUPS_PER_CHUNK], memory_order_acquire);
	return &chunk->joined[group % GROUPS_PER_CHUNK / GROUPS_PER_BLOCK];
}

int table_init(struct table *t, struct store *s);
void table_done(struct table *t);
/* Attaches the tree that the superblock names. */
int table_attach(struct table *t, const struct disk_superblock *sb);
/* The entry of a slot, as one; any thread, no lock. FREE for slots never used. Counts as use of it. */
int table_read(struct table *t, uint64_t slot, struct entry *e);
/* For writers, under store.lock. Prepare makes the leaf resident and dirty and reserves what its checkpoint needs; set
 * cannot fail after it. */
int table_prepare(struct table *t, uint64_t slot, bool use_reserve);
void table_set(struct table *t, uint64_t slot, const struct entry *e);
/* Likewise, for who goes through the table: no use. */
int table_get(struct table *t, uint64_t slot, struct entry *e);
/* An object in the slot's leaf is used; and whether one was since the mark was cleared. */
void table_touch(struct table *t, uint64_t slot);
bool table_touched(struct table *t, uint64_t slot, bool clear);
/* What its pages take of the file; of parts that are not in memory as if they were full. Under store.lock. */
uint64_t table_bytes(const struct table *t);
/* The first slot from this one on that may have an entry; not below the table's end if there is none. */
uint64_t table_next(struct table *t, uint64_t slot);
/* Likewise, and unknown leaves count as such that may. */
uint64_t table_next_possible(struct table *t, uint64_t slot);
/* Likewise under store.lock, but only what may have changed after that checkpoint; pages that did not are not read. Before it once
 * table_reserve_places, with no checkpoint at work: so that what is dirty shows from the root. */
uint64_t table_next_since(struct table *t, uint64_t slot, uint64_t checkpoint);
/* So many groups hang from a root of that height. */
static inline uint64_t table_groups(unsigned height)
{
	return (uint64_t)1 << 7 * (height - 1);
}
static_assert(FANOUT == 1 << 7, "a level is seven bits");
/* A slot for a new object and the generation it will have. Under store.lock. */
int table_take_slot(struct table *t, uint64_t *slot, uint32_t *generation);
void table_give_slot(struct table *t, uint64_t slot);
bool table_evict_one(struct table *t);
/* Calls fn for each table page's extent and each leaf (with its entries): rebuild, check. Under store.lock. */
struct table_visitor {
	int (*page)(void *arg, struct ps_extent extent);
	int (*entry)(void *arg, uint64_t slot, const struct entry *e);
	int (*bad)(void *arg, uint64_t first_slot, uint64_t slots, uint64_t place);
	void *arg;
};
int table_visit(struct table *t, const struct table_visitor *v);
/* For visitors to whom a damaged page is none of their business. */
int table_pass_damage(void *arg, uint64_t first_slot, uint64_t slots, uint64_t place);
uint32_t next_generation(const struct store *s, const struct entry *free_entry);
int table_reserve_dirty(struct table *t, size_t more);
struct table_node *table_group(struct table *t, uint64_t number);
int table_find_leaf(struct table *t, uint64_t slot, struct table_node **g, struct table_leaf **leaf);
void table_copy_leaf(struct table_node *g, unsigned leaf, uint8_t *page);
/* Recovery's table_set: nothing is allocated. table_reserve_places makes good for it before the first write. */
int table_recover(struct table *t, uint64_t slot, const struct entry *e);
/* The table has this slot, and all below it. */
void table_reach(struct table *t, uint64_t slot);
/* The last entry that the log has for a slot, and the bytes that ride with it. */
struct redo_note {
	uint64_t slot;
	struct entry entry;
	const uint8_t *bytes;
	uint32_t nbytes;
	uint32_t next; /* of the same leaf: position + 1 */
};
/* Recovery's other way (table_redo.c): all entries are noted first, in the log's order, then given to their leaves, which are not read for
 * it. False: there would be too many, or there is no memory. */
struct log_operation;
bool table_redo_begin(struct table *t, uint64_t operations);
int table_redo_note(struct table *t, const struct log_operation *op);
/* *notes are the table's. */
int table_redo_spread(struct table *t, const struct redo_note **notes, size_t *count);
/* Under table.lock: the leaf has been read and is not RESIDENT yet. */
void table_redo_apply(struct table *t, struct table_node *g, unsigned leaf);
/* Before a checkpoint, under checkpoint.lock: all leaves that wait for entries have them; damaged ones lose theirs. */
int table_redo_finish(struct table *t);
void table_redo_done(struct table *t);
/* The page of a leaf in a known group, read by someone else: in memory from now on, if it is that leaf and there is room. With no checkpoint
 * at work. */
void table_take_leaf(struct table *t, uint64_t number, const uint8_t *page);
/* Leaves that are about to be needed (table_ahead.c): collected by slot, then brought into memory by large reads side by side. None
 * of it fails: what is not in memory after it is read when it is needed. */
struct table_ahead {
	struct table *table;
	uint64_t *bits; /* a leaf each */
	uint64_t leaves, count;
};
void table_ahead_init(struct table_ahead *a, struct table *t);
void table_ahead_add(struct table_ahead *a, uint64_t slot);
void table_ahead_read(const struct table_ahead *a);
void table_ahead_done(struct table_ahead *a);
/* Places for all dirty leaves and the pages above them. A checkpoint that has written a new page leaves it without any, while
 * leaves that became dirty meanwhile wait for the next one. */
int table_reserve_places(struct table *t);
/* Compaction (store.lock held): table pages at or above `limit` move at the next checkpoint; leaves without objects go, where
 * no generation in them is above `generations`. */
int table_move_pages(struct table *t, uint64_t limit);
int table_drop_leaf(struct table *t, uint64_t number, uint64_t generations, uint64_t crashes, struct ps_extent *old);
/* The highest generation that may ever have been given out in a leaf without objects; PS_EBUSY if it has objects, or ids whose end
 * a later cut may have to tell. */
int table_leaf_generations(struct table *t, uint64_t number, uint64_t *highest);
uint64_t page_seed(unsigned level, uint64_t index);

/* ---- log ----------------------------------------------------------------------------------------------------- */

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
	pthread_cond_t flushed;
	bool leading;
	unsigned last_group;
	_Atomic(unsigned) arrived; /* durable commits in the open buffer */
	uint64_t durable_buffer; /* all buffers up to this one are durable */
	_Atomic(uint64_t) durable_hint;
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
	struct ps_base_options options; /* with all defaults filled in */
	bool fixed_log;                 /* its size was given: it never moves */
	struct ps_memory memory;
	struct ps_io *io;
	char path[256]; /* for sentences */
	pthread_mutex_t lock;
	_Atomic(uint32_t) batch_sequence;  /* odd while a commit of several objects is being made visible */
	_Atomic(uint32_t) commit_sequence; /* odd while any commit is */
	struct disk_superblock sb;         /* the last one written or read */
	bool read_only, writing;           /* writing: this open's epoch stands in the superblock */
	bool unclean;                      /* the last owner crashed */
	bool created;
	_Atomic(int) failed;               /* the error that made it read-only */
	char reason[PS_REASON_MAX];
	uint64_t crashes;
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

struct map_chunk {
	uint64_t place; /* 0: a hole, or away */
	uint32_t len;   /* 0: a hole */
	uint64_t checksum;
};

struct extent_list {
	struct ps_extent *more; /* all of them, once `first` is full */
	size_t count, size;
	struct ps_extent first[2]; /* most commits need no more */
};
static inline const struct ps_extent *extent_list_items(const struct extent_list *list)
{
	return list->more ? list->more : list->first;
}

enum change_kind {
	CHANGE_NEW,     /* an id that this commit's owner took */
	CHANGE_SET,     /* new contents of a live object */
	CHANGE_DELETE,
	CHANGE_UNUSED,  /* an id that is used up without ever living */
	CHANGE_LEARN,   /* of a slot that was unknown: what it has */
	CHANGE_SUMS,    /* behind those: what is unknown without them */
};

/* One operation on its way into a commit. */
struct change {
	enum change_kind kind;
	ps_id id;
	struct entry entry;       /* to be; the place of inline bytes is filled in at commit */
	struct entry expected;    /* has_expected: the commit is prepared again if the entry is another by then */
	bool has_expected;
	bool placed, pinned;      /* inline bytes have a place; its page is pinned */
	bool empty_page;          /* nothing else lies in it */
	bool in_reserve;          /* the place was the object's own reserved one */
	const uint8_t *bytes;     /* inline contents, or NULL */
	uint32_t nbytes;
	struct disk_fresh *fresh; /* extents written outside the log */
	uint32_t fresh_count;
	size_t fresh_size;
	uint8_t *copy;            /* of inline contents that the caller does not keep */
	uint32_t copy_size;
	struct write_set *set;    /* of all changes of the commit; NULL: `own` */
	struct write_set own;
	uint32_t direct_from;     /* contents above this are written outside the log; 0: the store's limit */
	bool keep;                /* contents are written from frames, where they stay: the old ones were in memory */
	bool stream;              /* never kept */
	bool packed;              /* contents lie at their place already, in a frame with others (pack.c); `bytes` are kept */
	bool keeps_interval;      /* the entry has its interval: it changes no contents */
	bool committed;           /* ordered: nothing is given back any more */
	/* The entry, if a map's, has its ages counted from here: also what a later operation of the same batch makes of it, so
	 * that what either has written is of age 0. */
	bool has_births;
	uint32_t births_from;
	struct extent_list taken; /* new extents: given back if the commit fails */
	struct extent_list given; /* of a map that goes: given back when it is durable */
	size_t given_own;         /* the first of these are of its own earlier contents, not of the live object */
};

void change_init(struct change *c, enum change_kind kind, ps_id id);
void change_done(struct store *s, struct change *c);
/* Gives back what a change took that was not committed. Takes store.lock. */
void change_undo(struct store *s, struct change *c);
uint64_t change_taken_bytes(const struct store *s, const struct change *c);
/* The place of its inline bytes, as the allocator gave it. */
struct ps_extent change_placed(const struct store *s, const struct change *c);
void change_set_place(struct change *c, unsigned class, uint64_t place);
/* Makes the change's new contents from bytes: inline, or written to extents at once. */
int change_contents(struct store *s, struct change *c, const void *data, uint64_t len);
/* Notes what the object has now, so that it can be given back; PS_ENOTFOUND. */
int change_expect(struct store *s, struct change *c);
/* Writes bytes (at least a page) to a new extent, outside the log. Nobody reads there before change_wait has returned; the
 * commit waits, too. */
int change_write(struct store *s, struct change *c, const uint8_t *data, uint64_t len, uint64_t seed, struct map_chunk *out);
/* Chunks of a large object from `index` on, in one extent if there is one. */
enum { RUN_CHUNKS = 16 };
int change_write_run(struct store *s, struct change *c, const uint8_t *data, uint64_t len, uint64_t index,
		     struct map_chunk out[RUN_CHUNKS]);
/* Inline contents that the change keeps a copy of. */
int change_set_bytes(struct store *s, struct change *c, const uint8_t *bytes, uint32_t len);
/* Until all that the change, or the commit it belongs to, writes outside the log has ended. */
int change_wait(struct store *s, struct change *c);
/* The class of the slot that its inline contents go to. 0: the root. Maps' roots and what the layer above did not ask for are the root's. */
unsigned change_route(const struct store *s, const struct change *c);
/* Names an extent that was written outside the log, for the record. */
int change_add_fresh(struct store *s, struct change *c, const struct disk_fresh *fresh);
static inline struct write_set *change_writes(struct change *c)
{
	return c->set ? c->set : &c->own;
}
/* Was the part of the object that begins with chunk `index` in memory so far? Then what replaces it stays there. No I/O. */
void change_keep_resident(struct store *s, struct change *c, const struct entry *old, uint64_t index);
int extent_list_add(struct store *s, struct extent_list *list, struct ps_extent extent);
void extent_list_free(struct store *s, struct extent_list *list);

enum { COMMIT_CHANGED = 100 }; /* an expected entry was another: prepare again */
/* All or nothing. PS_OK, an error, or COMMIT_CHANGED with *which. */
int commit_changes(struct store *s, struct change *changes, size_t n, enum ps_durability durability, size_t *which);
int store_take_id(struct store *s, ps_id *id);
void store_return_id(struct store *s, ps_id id);
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
size_t log_commit_max(const struct log *log);
int log_spill_reserve(struct log *log, size_t more);
void log_spill_add(struct log *log, struct ps_extent extent);

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
