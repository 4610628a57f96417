/* The buffer manager: frames, their states, pins (pool.c has the life of a frame). */
#ifndef PS_POOL_H
#define PS_POOL_H

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "allocator/allocator.h"
#include "store/base_format.h"
#include "store/huge.h"
#include "store/io.h"
#include "store/spare_frames.h"

struct store;

/* A run of bytes with a checksum: what is read, verified and kept in memory as one. */
struct blob {
	uint64_t place;
	uint64_t len; /* 1 to CHUNK */
	uint64_t seed, checksum;
	unsigned class; /* of the slot that it lies in; 0: the root's */
};

/* A page's state; an extent of several pages has its state in the first one. */
#define PAGE_PINS ((uint64_t)0xffffff)
#define PAGE_RESIDENT ((uint64_t)1 << 24)
#define PAGE_LOCKED ((uint64_t)1 << 25) /* being loaded, evicted or freed */
#define PAGE_DIRTY ((uint64_t)1 << 26)  /* newer than the disk: stays until a checkpoint has written it */
#define PAGE_USED ((uint64_t)1 << 27)   /* since the eviction hand was here */
#define PAGE_LISTED ((uint64_t)1 << 28) /* stands in the eviction ring */
#define PAGE_PATCHED ((uint64_t)1 << 29) /* not resident, and the log holds bytes for it (see redo) */
#define PAGE_VERIFIED ((uint64_t)1 << 30) /* all of it: made in memory, or an extent of its own */
#define PAGE_SPARE ((uint64_t)1 << 31)    /* absent, its memory is still there (spare_frames.h) */
#define PAGE_COUNT_SHIFT 32             /* pages of the extent */
static inline uint64_t pool_state_bytes(uint64_t state)
{
	return (state >> PAGE_COUNT_SHIFT) * PAGE;
}

struct pool_region {
	uint8_t *frames;
	_Atomic(uint64_t) *states;
	_Atomic(uint64_t) *verified; /* 4 words a page: which granules begin a verified object */
	/* A bit for STATES_PAGES pages: their states and verified bits count in the budget. */
	_Atomic(uint64_t) *counted;
	/* For each HUGE_BLOCK of frames how often a page that leaves shall try to split it; 0: it is not joined. */
	_Atomic(uint8_t) *joined;
	void *mapping;
};
enum { POOL_REGIONS = 256 }; /* 16 TiB in regions of 64 GiB: ext4's largest file */
enum { STATES_PAGES = 128 }; /* file pages whose verified bits are one page of memory */
/* Once may not be enough to split a block: a page of it that is just being written keeps it whole. */
enum { POOL_SPLIT_TRIES = 8 };

struct pool {
	struct store *store;
	struct pool_region *regions; /* POOL_REGIONS */
	unsigned region_shift;
	uint64_t region_mask; /* within a region */
	_Atomic(uint64_t) mapped; /* file bytes that have frames' address space, from 0; grows under store.lock */
	uint64_t frame_mask[256]; /* of a class: what all places of a frame have in common */
	_Atomic(uint64_t) removals; /* of frames whose entries stay as they are: moves on before the first byte goes */
	uint64_t apart[7];          /* each copy looks at it: not on the line of what changes all the time */
	_Atomic(uint64_t) pinning; /* enum pinning, and how often frames were asked for (pin_slots.h) */
	uint64_t slots_number;     /* what names in slots begin with */
	_Atomic(bool) slots_left;  /* since they were closed: names of this pool may be in them */
	pthread_mutex_t slots_lock;
	_Atomic(uint64_t) frame_bytes, dirty_bytes, ahead_bytes; /* ahead: being read for later (prefetch.c) */
	pthread_mutex_t lock;
	pthread_cond_t unlocked;
	_Atomic(unsigned) waiters; /* for `unlocked` */
	uint64_t *ring; /* pages that may be resident; a power of two */
	size_t ring_size, ring_head, ring_count;
	uint64_t *dirty; /* first pages of dirty extents (guarded by store.lock) */
	size_t dirty_count, dirty_size;
	uint64_t reach; /* the longest that the file has been (guarded as mapped is): no frame or state lies behind it */
	struct spare_frames spare;
	_Atomic(uint64_t) given_back;        /* how often frames' memory went back to the kernel */
	uint64_t join_hand, given_back_seen; /* of the thread that calls store_join */
};

int pool_init(struct pool *pool, struct store *store);
void pool_done(struct pool *pool);
/* pool_regions.c */
void pool_regions_init(struct pool *pool);
void pool_regions_done(struct pool *pool);
/* Makes address space for file bytes below `end`. Under store.lock or before the store is shared. */
int pool_extend(struct pool *pool, uint64_t end);
static inline size_t pool_page(const struct pool *pool, uint64_t place)
{
	return (size_t)((place & pool->region_mask) / PAGE);
}
static inline _Atomic(uint64_t) *pool_state(const struct pool *pool, uint64_t place)
{
	return &pool->regions[place >> pool->region_shift].states[pool_page(pool, place)];
}
static inline uint8_t *pool_address(const struct pool *pool, uint64_t place)
{
	return pool->regions[place >> pool->region_shift].frames + (place & pool->region_mask);
}
/* While it is the same afterwards, no frame has gone under an entry that stayed. */
static inline uint64_t pool_removals(const struct pool *pool)
{
	return atomic_load_explicit(&pool->removals, memory_order_acquire);
}
/* Small objects that share pages are read and kept by frames: one page, or the frame of their class. The state of a frame, as of an
 * extent, is its first page's: all calls below that take a frame want its first byte. */
static inline uint64_t pool_frame(const struct pool *pool, unsigned class, uint64_t place)
{
	return place & pool->frame_mask[class];
}
static inline uint64_t blob_frame(const struct pool *pool, const struct blob *b)
{
	return pool_frame(pool, b->class, b->place);
}
/* Pins the blob's extent, reads and verifies it if it must; *data stays valid until pool_unpin. Under no lock but checkpoint.lock, with no
 * load of the caller's under way (pool_load_start): where the budget is short it makes room (budget_relieve). */
int pool_pin(struct pool *pool, const struct blob *blob, ps_id id, const uint8_t **data);
/* As pool_pin, only if it costs no I/O: else false. */
bool pool_pin_resident(struct pool *pool, const struct blob *blob, const uint8_t **data);
static inline void pool_unpin(struct pool *pool, uint64_t frame)
{
	uint64_t old = atomic_fetch_sub_explicit(pool_state(pool, frame), 1, memory_order_release);
	assert(old & PAGE_PINS);
	(void)old;
}
/* Frames for a new extent (of at least a page), pinned. Contents undefined, but that what lies behind the bytes of an object is of no
 * other: zeros in the last page, and in all of a frame that small ones share. PS_ENOMEM if the budget has no room. */
int pool_fresh(struct pool *pool, uint64_t place, uint64_t len);
/* Makes sure that the shared page of a small place is in memory, and pins it; `empty` says it holds nothing yet. May read. */
/* For prefetch: makes memory for what the blob is read with (true: the caller reads that, and finish must
 * follow), which finish ends as a pin would. */
bool pool_load_start(struct pool *pool, const struct blob *b, struct ps_extent *frame);
/* `err`: the read's. */
void pool_load_finish(struct pool *pool, const struct blob *b, ps_id id, const struct ps_extent *frame,
                      int err);
int pool_pin_shared(struct pool *pool, unsigned class, uint64_t place, bool empty);
/* Memory for pages that will be written one after another, in one call instead of a fault for each; and back, if they were not. It
 * is counted page by page as they are used: the caller does so for few pages at a time. */
void pool_populate(struct pool *pool, struct ps_extent extent);
void pool_unpopulate(struct pool *pool, struct ps_extent extent);
bool pool_pin_shared_resident(struct pool *pool, unsigned class, uint64_t place);
/* Marks a pinned extent dirty: under store.lock; room for it has been made by pool_dirty_reserve. */
void pool_dirty(struct pool *pool, uint64_t frame);
int pool_dirty_reserve(struct pool *pool, size_t more);
/* Has this small object been verified since its page was read? Never with the option verify_reads. */
bool pool_is_verified(struct pool *pool, uint64_t place);
void pool_set_verified(struct pool *pool, unsigned class, uint64_t place);
/* Throws a pinned fresh extent away (aborted), or forgets its contents when they are not worth keeping. Unpins. */
void pool_discard(struct pool *pool, uint64_t frame);
/* Gives the extent's frames up if nobody pins them: the extent can then be used anew. Under store.lock. */
bool pool_release(struct pool *pool, struct ps_extent extent);
/* After a small place went back: the page goes too if `merged` holds it whole. */
bool pool_lock_frame(struct pool *pool, uint64_t frame);
/* `gone`: a place in it that holds nothing any more. */
void pool_unlock_frame(struct pool *pool, uint64_t frame, uint64_t gone, bool drop);
/* Dirty, or the log holds bytes for it: what is on disk there is older. */
bool pool_is_newer(struct pool *pool, uint64_t frame);
uint64_t pool_pinned_bytes(struct pool *pool);
bool pool_evict_one(struct pool *pool);
/* Memory of frames goes back to the kernel, which has it after this: of a joined block, too. */
void pool_give_memory(struct pool *pool, uint64_t place, uint64_t bytes);
/* Is every page of the HUGE_BLOCK of frames there in use, or spare? */
bool pool_block_full(const struct pool *pool, uint64_t block);
static inline _Atomic(uint8_t) *pool_joined(const struct pool *pool, uint64_t place)
{
	return &pool->regions[place >> pool->region_shift].joined[(place & pool->region_mask) / HUGE_BLOCK];
}
/* For a checkpoint, under store.lock: copies the dirty extent at `place` to `to` and makes it clean, pinned
 * until pool_unpin. 0 if it is not dirty any more, or larger than `room`. */
size_t pool_copy_dirty(struct pool *pool, uint64_t place, uint8_t *to, size_t room, bool *too_large);
/* Its write failed: it is dirty again. */
void pool_dirty_again(struct pool *pool, uint64_t place);
/* Gives absent pages their bytes out of the log: recovery. */
void pool_set_patched(struct pool *pool, uint64_t frame);
/* An extent that loading made dirty, into the list. */
void pool_list_dirty(struct pool *pool, uint64_t frame);
void pool_settle_patched(struct pool *pool, uint64_t frame);

#endif
