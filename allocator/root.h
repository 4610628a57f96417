/* Root allocator: variable sizes, best fit, immediate coalescing, O(log n). Granule 16 bytes; sizes from 4 KiB up are
 * rounded to 4 KiB and placed on a 4 KiB boundary. The free extents stand in two B+ trees: by offset, and by (length,
 * offset). */
#ifndef PS_ROOT_ALLOCATOR_H
#define PS_ROOT_ALLOCATOR_H

#include "allocator/allocator.h"

enum { PS_ROOT_GRANULE = 16, PS_ROOT_PAGE = 4096 };

/* A space of no bytes; ps_root_grow makes room. memory outlives the allocator.
 * Extents shorter than 4 KiB lie in one 4 KiB page; a run of small pieces that cannot be laid so (more than a page in all, and
 * a page no whole number of pieces) is PS_EINVAL. The search for a place is bounded: PS_ENOSPC may come while a tight one is
 * left. Frees go on for a while without memory: two are certain after any call that took space or made some. */
PS_CHECKED int ps_root_open(struct ps_memory *memory, struct ps_allocator **a);

/* Free extents that it remembers at most; 0: any number. Beyond that the smallest are forgotten: to all calls
 * they are in use, and a free of one, which would be a mistake, is not seen to be one. stats counts their
 * bytes; whoever loads the free list anew has them again. */
void ps_root_set_most(struct ps_allocator *a, uint64_t extents);

/* Appends [space, new_space) as free space. Offsets and sizes are multiples of 4 KiB. */
PS_CHECKED int ps_root_grow(struct ps_allocator *a, uint64_t new_space);

/* Cuts the free tail off the space, down to `least`; the new space's size in *space. */
PS_CHECKED int ps_root_shrink(struct ps_allocator *a, uint64_t least, uint64_t *space);

/* As alloc, but the lowest place that fits below `limit`; PS_ENOSPC if there is none. For compaction; O(free
 * extents) at worst, but what lies below the last place found is not looked at again for that length before
 * something is freed there. */
PS_CHECKED int ps_root_alloc_below(struct ps_allocator *a, uint64_t size, uint64_t limit, struct ps_extent *extent);

/* Lets a whole, empty allocator take over a sorted list of free extents at once (rebuild, snapshot): far cheaper than one
 * free each. PS_EINVAL if the space is not wholly used, PS_ECORRUPT if the list is unsorted, overlaps, or leaves the space;
 * the allocator is then unchanged. `space` is the new size, all used but these. */
PS_CHECKED int ps_root_load(struct ps_allocator *a, uint64_t space, const struct ps_extent *free_list, size_t n);

/* The free extent that holds `offset`, or the first one above it; false if there is none. */
bool ps_root_find(struct ps_allocator *a, uint64_t offset, struct ps_extent *extent);

#endif
