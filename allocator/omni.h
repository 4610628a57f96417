/* Omni allocator: slabs of equal slots for the sizes that a class table names, the parent for all others.
 * O(1) in the common case, a search of the parent for each new slab. Not thread-safe: the caller guards it,
 * and the parent with it.
 *
 * Each slab is one extent of the parent. What lies in no slab is the parent's: its calls are forwarded, and
 * whoever holds the parent may go on using it directly for extents outside slabs. */
#ifndef PS_OMNI_ALLOCATOR_H
#define PS_OMNI_ALLOCATOR_H

#include "allocator/class_table.h"
#include "allocator/run.h"

/* memory and parent outlive the allocator; close leaves the slabs allocated in the parent and does not close
 * it. alloc       a slot of ps_class_for(size), or the parent's extent alloc_run   one extent: slots of one
 * frame, or of slabs without tails; PS_EINVAL where slots would not lie end to end free        whole slots
 * that lie end to end in one slab, or the parent's. *merged: the frames, where the first and the last are
 * wholly free now, else the slots. Never needs memory where the parent's does not mark        whole slots of
 * slabs that are there, or the parent's walk        free slots one by one, and the parent's free extents
 *   stats       free: the parent's and free slots; space and memory include the parent's
 * PS_ECORRUPT if the table does not pass ps_class_table_check. */
PS_CHECKED int ps_omni_open(struct ps_memory *memory, struct ps_allocator *parent,
                            const struct ps_class_table *table, struct ps_allocator **a);

/* The geometry of its classes, and ps_class_for. Lives as long as the allocator. */
const struct ps_class_map *ps_omni_map(const struct ps_allocator *a);

/* One slot of a class, 1 to count; extent.len is the slot's size. PS_ENOSPC: no slot, and the parent has no
 * slab's space (slab_bytes at a multiple of slab_bytes). PS_EINVAL: no such class. */
PS_CHECKED int ps_omni_alloc_class(struct ps_allocator *a, unsigned class, struct ps_extent *extent);

/* All slots of a frame that is wholly free, of the slab that ps_omni_alloc_class would take its next slot from. The
 * frame is at *place, slot i of it i * slot_bytes behind that; each is freed on its own. PS_ENOTSUP: that slab has
 * slots only in frames that are partly used. PS_ENOSPC, PS_EINVAL as above. */
PS_CHECKED int ps_omni_alloc_frame(struct ps_allocator *a, unsigned class, uint64_t *place);

/* `count` slots that are adjacent in slot order, in one slab where they fit, else in slabs side by side; all
 * or nothing. PS_ENOSPC, PS_EINVAL. Each is freed on its own: ps_run_place says where it lies. */
PS_CHECKED int ps_omni_alloc_run(struct ps_allocator *a, unsigned class, uint64_t count, struct ps_run *run);

/* Rebuild: takes this very slot, and its slab out of the parent where it is the first seen. PS_ECORRUPT,
 * state unchanged: no slot begins there, it is taken, the slab is another class's, or its space is not free
 * in the parent. PS_ENOMEM. */
PS_CHECKED int ps_omni_mark(struct ps_allocator *a, unsigned class, uint64_t place);

/* The class of the slab that holds the offset; 0 if none does. */
unsigned ps_omni_class_at(const struct ps_allocator *a, uint64_t offset);

/* How many slots are used of the slab that holds the offset, and of the frame; zeros if none does. */
struct ps_slab_use {
	uint32_t in_slab, in_frame;
};
struct ps_slab_use ps_omni_slab_use(const struct ps_allocator *a, uint64_t offset);
/* Whether the slab that holds the offset is retired. */
bool ps_omni_is_retired(const struct ps_allocator *a, uint64_t offset);

struct ps_class_stats {
	uint64_t slabs, slots, used, free; /* free: of all slabs, retired ones too */
	uint64_t tail_bytes;               /* of the slabs, in no slot */
};
/* Zeros for a class that has no slab yet, or is none. */
void ps_omni_class_stats(const struct ps_allocator *a, unsigned class, struct ps_class_stats *stats);

struct ps_slab_info {
	uint64_t offset;
	unsigned class;
	uint32_t used, slots;
	bool retired;
};
typedef int (*ps_slab_fn)(void *arg, const struct ps_slab_info *slab);
/* In address order. fn may retire slabs but not allocate or free; non-zero ends the walk and is its result.
 */
int ps_omni_each_slab(struct ps_allocator *a, ps_slab_fn fn, void *arg);

/* The next frames side by side in one slab that have no used slot, at `from` or behind, together at least `least` bytes.
 * False: there are none. */
bool ps_omni_find_frames(const struct ps_allocator *a, uint64_t from, uint64_t least, struct ps_extent *frames);

/* ---- a clean close keeps which slots are used, the next open takes it over ---- */

/* Words of a slab's bitmap: bit i of word i / 64 is slot i, 1 if used. 0: no such class. */
size_t ps_omni_slab_words(const struct ps_allocator *a, unsigned class);
/* Copies the bitmap of the slab at `offset`. PS_ENOTFOUND: no slab begins there. */
PS_CHECKED int ps_omni_save_slab(const struct ps_allocator *a, uint64_t offset, uint64_t *words);
/* Takes a saved slab over. Its space is already in use in the parent, whose own free extents were loaded
 * before. PS_ECORRUPT, state unchanged: a bit behind the last slot, no bit at all, an offset where no slab
 * can be, one that is there, or space that the parent has free. PS_EINVAL: `n` is not ps_omni_slab_words.
 * PS_ENOMEM. */
PS_CHECKED int ps_omni_load_slab(struct ps_allocator *a, unsigned class, uint64_t offset,
                                 const uint64_t *words, size_t n);

/* Whether the caller makes room in the parent when a call fails with PS_ENOSPC (initially not). Then that
 * comes before holes are filled that are not worth a page write each; else only when there is no hole either.
 * A caller whose file cannot grow any more switches it off and tries again. */
void ps_omni_set_growing(struct ps_allocator *a, bool growing);

/* ---- compaction ---- */

/* New slabs come from below `below` only, and no slot of a slab that reaches above it is given out. 0: no
 * limit. Empty slabs go back to the parent. */
void ps_omni_set_limit(struct ps_allocator *a, uint64_t below);
/* No slot of the slab at `offset` is given out until it is retired no more (or empty: it goes back to the
 * parent). PS_ENOTFOUND. */
PS_CHECKED int ps_omni_retire(struct ps_allocator *a, uint64_t offset, bool retired);
/* Gives back the empty slabs that are kept because a class has them open. */
void ps_omni_trim(struct ps_allocator *a);

#endif
