/* The table of objects: leaves of entries, the pages above them, and the ids that are free. */
#ifndef PS_STORE_TABLE_H
#define PS_STORE_TABLE_H

#include <pthread.h>
#include <stdatomic.h>

#include "allocator/allocator.h"
#include "store/entry.h"
#include "store/io.h"

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
	struct table_redo *redo; /* after a crash, until the first checkpoint; NULL (table.lock) */
	_Atomic(uint64_t) unknown; /* slots, whole leaves: of those below, leaves that are nowhere are unknown, not empty */
	uint64_t apart[7];         /* each read looks at what is above: not on the line of what changes all the time */
	pthread_mutex_t lock;
	uint64_t *free_leaves; /* stack of leaf numbers that have free slots */
	size_t free_count, free_size;
	uint64_t *dirty; /* leaf numbers */
	size_t dirty_count, dirty_size;
	_Atomic(uint64_t) evict_hand;
	_Atomic(uint64_t) evictions;
	uint64_t join_hand, evictions_seen; /* of the thread that calls store_join */
	_Atomic(uint64_t) resident_bytes, dirty_bytes; /* of leaves */
	uint64_t leaves_end; /* behind the last leaf that was in memory (table.lock) */
	_Atomic(uint64_t) objects, live_bytes;
	_Atomic(uint64_t) uncounted, uncounted_end; /* slots that objects and live_bytes do not know yet (changed under store.lock; rebuild.c) */
	bool damaged; /* some page could not be read: nothing may be called free */
	uint64_t unknown_objects, unknown_bytes; /* part of objects and live_bytes (store.lock); as the SUMS entry has them */
	_Atomic(uint32_t) unknown_interval;      /* at whose end they were as they are */
};

enum { ENTRY_WORDS = 4, LEAF_WORDS = FANOUT * ENTRY_WORDS };
/* Words that may be of two entries, unless the leaf's version was the same before and after. */
static inline void entry_load(const _Atomic(uint64_t) *from, struct entry *e)
{
	for (int i = 0; i < ENTRY_WORDS; i++)
		e->w[i] = atomic_load_explicit(&from[i], memory_order_acquire);
}

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
/* The same for many entries of one leaf: who reads any of them waits from table_hold to table_release, and
 * the figures are counted once. */
struct table_hold {
	struct table *table;
	struct table_node *group;
	_Atomic(uint64_t) *state;
	uint64_t leaf, last_slot;
	uint64_t objects, bytes; /* how many more there are */
};
void table_hold(struct table *t, uint64_t slot, struct table_hold *h);
void table_put(struct table_hold *h, uint64_t slot, const struct entry *e);
void table_release(struct table_hold *h);
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
/* The highest generation that may ever have been given out in a leaf without objects, by so many crashes;
 * PS_EBUSY if it has objects, or ids whose end a later cut may have to tell. */
int table_leaf_generations(struct table *t, uint64_t number, uint64_t crashes, uint64_t *highest);
uint64_t page_seed(unsigned level, uint64_t index);

#endif
