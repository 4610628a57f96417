/* The file's space: what is free, and when what was freed may be used again (space.c, holes.c, rebuild.c, snapshot.c). Under store.lock
 * where nothing else is said. */
#ifndef PS_SPACE_H
#define PS_SPACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "allocator/omni.h"
#include "store/base_format.h"

struct store;

/* What a commit gave back, waiting until the commit is durable and nobody holds it. */
struct freed {
	uint64_t buffer; /* number of the log buffer whose durability it waits for */
	uint64_t slot;   /* that it belonged to; for SLOT items the slot itself */
	struct ps_extent extent; /* len 0: the slot itself may be used again */
	unsigned class;          /* whose slot the extent is; 0: the root's */
	uint32_t interval; /* in which the extent was written, or later; 0: not known */
};

/* A page at each GiB stays unused, so that no extent spans two regions of address space. */
enum { HOLDS = 1024, RESERVE_MAX = 64, SPACE_FENCE = 1 << 30 };
struct rebuild;
struct space {
	struct store *store;
	struct ps_allocator *root;
	struct ps_allocator *slots; /* of the file's classes, on top of the root; NULL: it has none */
	bool ready;          /* there is an allocator; while `rebuild` stands it knows only the file's tail */
	struct rebuild *rebuild;
	_Atomic(bool) unknown; /* it stands: for a look without the lock */
	uint64_t named_end;  /* as far as the entries of the log's records reach */
	uint64_t holes_most; /* that the root remembers */
	uint64_t end;        /* of the space; file bytes below are allocated */
	uint64_t file_bytes; /* the file's size */
	struct freed *queue; /* ring, a power of two */
	size_t queue_size, queue_head, queue_count;
	struct freed *held; /* durable, but pinned or held */
	size_t held_count, held_size;
	uint64_t pending_bytes, queue_bytes;
	uint64_t grown; /* bytes, since space was last freed */
	uint64_t expected; /* where it will end, about: a bulk load has said so; 0: nobody knows */
	unsigned reclaims;
	bool overlapping; /* two live extents share bytes: free space cannot be known */
	_Atomic(bool) lost; /* what an unreadable map named was not given back: the next open finds it */
	_Atomic(uint32_t) holds[HOLDS]; /* readers of large objects, by hash of the slot */
	uint64_t below;                /* compaction: allocate below this where it can be had; 0: none runs */
	bool lifted;                   /* for slabs: one found no room there (until the next round) */
	struct ps_extent open;         /* wholly empty pages that small objects fill */
	uint64_t run_end;              /* of the pages for small contents that were last taken */
	struct ps_extent pages;        /* where the table's next pages come from */
	uint64_t reserve[RESERVE_MAX]; /* pages for the table when nothing else is left */
	unsigned reserve_count, reserve_want;
	bool sparse;           /* the file had holes when it was opened */
	uint64_t trimmed;      /* bytes written when small pieces were last given back */
	struct ps_allocator *punched; /* as a set of "free" extents: what has no space behind it */
};

/* Free bytes that the root has forgotten, for want of memory: they are found at the next open. */
uint64_t space_forgotten(const struct space *sp);
int space_init(struct space *sp, struct store *s);
void space_done(struct space *sp);
/* Knows its free space after this; under store.lock. */
int space_ensure(struct space *sp);
/* extent->len is extent_len(len). *empty (may be NULL): the page of a small extent holds nothing else yet. */
int space_alloc(struct space *sp, uint64_t len, struct ps_extent *extent, bool *empty);
/* A slot of a class. PS_ENOSPC without a sentence: the root may have a place. */
int space_alloc_slot(struct space *sp, unsigned class, struct ps_extent *extent, bool *empty);
/* `count` slots side by side: all or none. PS_ENOSPC without a sentence. */
int space_alloc_slots(struct space *sp, unsigned class, uint64_t count, struct ps_run *run);
/* All slots of a frame that nothing lies in. PS_ENOTSUP: slots of frames in use come first. PS_ENOSPC without a sentence. */
int space_alloc_frame(struct space *sp, unsigned class, uint64_t *frame);
/* Free pages side by side for small contents, `bytes` of them or fewer. PS_ENOTSUP: what is free lies in pieces, and is to be used first. */
int space_alloc_pages(struct space *sp, uint64_t bytes, struct ps_extent *extent);
/* One piece of len bytes for a large object; PS_ENOTSUP: only in pieces of CHUNK, one by one. */
int space_alloc_run(struct space *sp, uint64_t len, struct ps_extent *extent);
int space_alloc_page(struct space *sp, bool use_reserve, uint64_t *place);
/* At once: only for what no commit or checkpoint refers to. */
void space_free_now(struct space *sp, struct ps_extent extent);
void space_free_slot_now(struct space *sp, unsigned class, struct ps_extent extent);
/* What was freed and waits for a flush, in units of what may well wait: 0 is little. Under store.lock. */
unsigned space_wants_flush(struct space *sp);
int space_queue_reserve(struct space *sp, size_t more);
void space_free_later(struct space *sp, const struct freed *freed);
void space_reclaim(struct space *sp);
/* What was held is looked at again: what has become free meanwhile can be had. Under store.lock. */
void space_retry_held(struct space *sp);
bool space_settle(struct space *sp);
void space_fill_reserve(struct space *sp);
void space_hold(struct space *sp, uint64_t slot);
void space_unhold(struct space *sp, uint64_t slot);
void space_give_reserve(struct space *sp);
void space_give_reserve_back(struct space *sp);
int space_cut_tail(struct space *sp, uint64_t *end);
int space_cut_punched(struct space *sp, uint64_t end);
/* Gives all free extents of at least `least` bytes, or free frames of slabs, back to the file system; the file's size stays. Takes store.lock. */
int space_punch(struct store *s, uint64_t least);
int space_punch_slabs(struct store *s);
/* The free end of the file, but for a little, and large holes. Takes store.lock. */
void space_trim(struct store *s);
int space_forget_holes(struct space *sp, uint64_t space);
int space_note_hole(struct space *sp, struct ps_extent extent);
/* The same for the free frames of all slabs; again where it failed for want of memory. */
int space_note_slab_holes(struct space *sp, const struct ps_allocator *slabs);
int space_free_after_checkpoint(struct store *s, struct ps_extent extent);
int space_ensure_read(struct store *s);
/* Free space from the table, in steps (rebuild.c). Under store.lock, all but rebuild_help. */
int rebuild_begin(struct space *sp);
int rebuild_step(struct space *sp);
int rebuild_finish(struct space *sp);
/* A step, its reads without the lock; false if there is nothing more to do, or nothing that can be done now. */
bool rebuild_help(struct store *s);
void rebuild_drop(struct space *sp);
/* Was in use when the walk began: what is freed of it waits for the walk's end. */
bool rebuild_holds(const struct space *sp, struct ps_extent extent);
/* The walk will come to this slot and give it. */
bool rebuild_gives_slot(const struct space *sp, uint64_t slot);
/* Snapshot of a clean close: PS_ENOTFOUND if there is none to trust. */
int snapshot_load(struct store *s);
int snapshot_save(struct store *s, struct disk_superblock *sb);

#endif
