/* All memory of a store but its page frames: counted, and made to fail in tests. */
#ifndef PS_MEMORY_H
#define PS_MEMORY_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/export.h"

/* The application's allocator (options.allocator). All three are called from any thread. */
struct ps_allocator_fns {
	void *(*alloc)(void *arg, size_t size);
	void *(*resize)(void *arg, void *memory, size_t old_size, size_t new_size);
	void (*release)(void *arg, void *memory, size_t size);
	void *arg;
};

struct ps_memory {
	struct ps_allocator_fns fns;
	atomic_size_t used; /* bytes asked for and not yet released */
	unsigned arena;     /* jemalloc arena, 0 where the process has none */
};

/* fns NULL: a jemalloc arena where jemalloc is linked into the process, malloc otherwise. */
void ps_memory_init(struct ps_memory *m, const struct ps_allocator_fns *fns);
void ps_memory_done(struct ps_memory *m);

/* NULL when there is none; never aborts. Sizes given back must be those asked for. */
void *ps_memory_alloc(struct ps_memory *m, size_t size);
void *ps_memory_zalloc(struct ps_memory *m, size_t size);
/* On failure NULL, and the old memory is untouched. memory may be NULL with old_size 0. */
void *ps_memory_resize(struct ps_memory *m, void *memory, size_t old_size, size_t new_size);
void ps_memory_free(struct ps_memory *m, void *memory, size_t size);

/* A list with room for one more than its `count` entries of `size` bytes: the same, or one of twice the capacity, which
 * is told in *capacity. NULL where there is no memory (the sentence is set, the caller returns PS_ENOMEM or says it
 * better): the old list is untouched and still the caller's. list may be NULL with *capacity 0. What is new in it is not
 * cleared. */
void *ps_memory_grow(struct ps_memory *m, void *list, size_t count, size_t *capacity, size_t size);

/* Test seam: the nth allocation from now (1 = the next) in this thread's process fails, and all after it if
 * `forever`. 0 switches it off. Returns how many allocations were made since the last call. */
uint64_t ps_memory_fail_nth(uint64_t nth, int forever);

#endif
