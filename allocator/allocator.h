/* The allocator contract: which bytes of an abstract space are free. No I/O, no global state, deterministic.
 * Not thread-safe: the caller guards it. */
#ifndef PS_ALLOCATOR_H
#define PS_ALLOCATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/memory.h"

struct ps_extent {
	uint64_t offset;
	uint64_t len;
};

struct ps_allocator_stats {
	uint64_t space, free, free_extents, largest_free;
	uint64_t forgotten; /* bytes that are free and will not be given out: see ps_root_set_most; in no
	                       other figure */
	uint64_t memory;    /* bytes that the allocator itself uses */
};

/* A callback that returns non-zero stops the walk, which then returns that value. */
typedef int (*ps_extent_fn)(void *arg, struct ps_extent extent);

struct ps_allocator;
struct ps_allocator_ops {
	const char *name;
	/* PS_ENOSPC if no free extent is large enough, without a sentence: whoever asks tries elsewhere, and
	 * makes one where he gives up. PS_EINVAL for size 0. */
	int (*alloc)(struct ps_allocator *a, uint64_t size, struct ps_extent *extent);
	/* count adjacent pieces of usable_size(size) each, as one extent. */
	int (*alloc_run)(struct ps_allocator *a, uint64_t size, size_t count, struct ps_extent *extent);
	/* len bytes, as they are, at a multiple of align and below `below` (0: anywhere). len is a multiple
	 * of 4 KiB, align a power of two from 4 KiB up: PS_EINVAL otherwise. PS_ENOSPC as alloc. */
	int (*alloc_aligned)(struct ps_allocator *a, uint64_t len, uint64_t align, uint64_t below,
	                     struct ps_extent *extent);
	/* Any allocated extent or part of one. PS_ECORRUPT, state unchanged: double free, or outside the
	 * space. *merged (may be NULL) gets the whole free extent that it is now part of. PS_ENOMEM: state
	 * unchanged. */
	int (*free)(struct ps_allocator *a, struct ps_extent extent, struct ps_extent *merged);
	/* Takes this very extent out of the free space. PS_ECORRUPT, state unchanged, if any of it is not
	 * free. */
	int (*mark)(struct ps_allocator *a, struct ps_extent extent);
	/* Whether all of this extent is in the space and none of it is free. */
	bool (*is_used)(struct ps_allocator *a, struct ps_extent extent);
	uint64_t (*usable_size)(struct ps_allocator *a, uint64_t size);
	/* The free extents, lowest first. */
	int (*walk)(struct ps_allocator *a, ps_extent_fn fn, void *arg);
	/* PS_ECORRUPT with a sentence if the structure is not sound. */
	int (*check)(struct ps_allocator *a);
	void (*stats)(struct ps_allocator *a, struct ps_allocator_stats *stats);
	void (*close)(struct ps_allocator *a);
};

struct ps_allocator {
	const struct ps_allocator_ops *ops;
};

#endif
