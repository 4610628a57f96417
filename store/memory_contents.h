/* The bytes of one version of an object in the memory store: immutable, counted, sharing chunks with other
 * versions.
 *
 * Contents are cut into chunks of 64 KiB; a chunk that is absent is zeros, as is what a chunk has not got up
 * to its end, so a terabyte of zeros costs nothing. A change makes new contents that share the untouched
 * chunks, so what a view, a reader or a batch holds never changes. All calls from any thread. */
#ifndef PS_MEMORY_CONTENTS_H
#define PS_MEMORY_CONTENTS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"

enum { CONTENTS_CHUNK = 64 << 10 };

/* Where contents come from, and how much of it there may be. */
struct contents_pool {
	struct ps_memory memory;
	uint64_t budget; /* bytes in chunks at most; 0: no bound */
	atomic_uint_fast64_t bytes;
};

struct contents_chunk {
	_Alignas(16) atomic_long references;
	uint32_t len;
	_Alignas(16) unsigned char bytes[];
};

struct contents_piece {
	uint64_t index; /* of the chunk; pieces are sorted by it */
	struct contents_chunk *chunk;
};

struct contents {
	atomic_long references;
	uint64_t size;
	size_t capacity, count;
	struct contents_piece pieces[];
};

/* `size` zero bytes. */
PS_CHECKED int contents_zero(struct contents_pool *pool, uint64_t size, struct contents **out);
/* A copy of these bytes. PS_ENOSPC over the budget, PS_ENOMEM. */
PS_CHECKED int contents_copy(struct contents_pool *pool, const void *data, size_t len, struct contents **out);
/* The old contents with these bytes at off, longer if need be. The old ones stay as they are. */
PS_CHECKED int contents_write(struct contents_pool *pool, const struct contents *old, uint64_t off,
                              const void *data, size_t len, struct contents **out);
PS_CHECKED int contents_resize(struct contents_pool *pool, const struct contents *old, uint64_t size,
                               struct contents **out);

/* Copies min(len, size - off) bytes and returns how many. */
size_t contents_read(const struct contents *c, uint64_t off, void *buf, size_t len);
/* Bytes that it takes in chunks. */
uint64_t contents_allocated(const struct contents *c);

struct contents *contents_hold(struct contents *c);
/* NULL is allowed. */
void contents_release(struct contents_pool *pool, struct contents *c);

#endif
