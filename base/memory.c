#include "base/memory.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

/* jemalloc's calls are weak: the library uses its arenas where the process has them, malloc elsewhere. */
#pragma weak mallocx
#pragma weak dallocx
#pragma weak rallocx
#pragma weak mallctl
extern void *mallocx(size_t size, int flags);
extern void *rallocx(void *ptr, size_t size, int flags);
extern void dallocx(void *ptr, int flags);
extern int mallctl(const char *name, void *oldp, size_t *oldlenp, void *newp, size_t newlen);

static atomic_uint_fast64_t fault_nth;
static atomic_bool fault_forever;
static atomic_uint_fast64_t fault_calls;

static bool allocation_must_fail(void)
{
	uint64_t call = atomic_fetch_add_explicit(&fault_calls, 1, memory_order_relaxed) + 1;
	uint64_t nth = atomic_load_explicit(&fault_nth, memory_order_relaxed);
	if (nth == 0)
		return false;
	return call == nth || (call > nth && atomic_load_explicit(&fault_forever, memory_order_relaxed));
}

uint64_t ps_memory_fail_nth(uint64_t nth, int forever)
{
	atomic_store(&fault_nth, 0);
	uint64_t calls = atomic_exchange(&fault_calls, 0);
	atomic_store(&fault_forever, forever != 0);
	atomic_store(&fault_nth, nth);
	return calls;
}

/* The arena in mallocx's flags, and no thread cache: a store's memory leaves with its arena. */
static int arena_flags(unsigned arena)
{
	enum { TCACHE_NONE = 1 << 8, ARENA_SHIFT = 20 };
	return (int)((arena + 1U) << ARENA_SHIFT) | TCACHE_NONE;
}

static void *default_alloc(void *arg, size_t size)
{
	const struct ps_memory *m = arg;
	return m->arena ? mallocx(size, arena_flags(m->arena)) : malloc(size);
}

static void *default_resize(void *arg, void *memory, size_t old_size, size_t new_size)
{
	const struct ps_memory *m = arg;
	(void)old_size;
	return m->arena ? rallocx(memory, new_size, arena_flags(m->arena)) : realloc(memory, new_size);
}

static void default_release(void *arg, void *memory, size_t size)
{
	const struct ps_memory *m = arg;
	(void)size;
	if (m->arena)
		dallocx(memory, arena_flags(m->arena));
	else
		free(memory);
}

/* Arenas that closed stores gave back: jemalloc never forgets an arena's number, so they are used again. */
enum { SPARE_ARENAS = 64 };
static atomic_uint spare_arenas[SPARE_ARENAS];

static unsigned arena_acquire(void)
{
	unsigned arena = 0;
	size_t length = sizeof(arena);
	if (!mallocx || !rallocx || !dallocx || !mallctl)
		return 0;
	for (int i = 0; i < SPARE_ARENAS; i++) {
		arena = atomic_exchange(&spare_arenas[i], 0);
		if (arena)
			return arena;
	}
	if (mallctl("arenas.create", &arena, &length, NULL, 0) != 0)
		return 0;
	return arena;
}

static void arena_release(unsigned arena)
{
	for (int i = 0; arena && i < SPARE_ARENAS; i++) {
		unsigned empty = 0;
		if (atomic_compare_exchange_strong(&spare_arenas[i], &empty, arena))
			return;
	}
}

void ps_memory_init(struct ps_memory *m, const struct ps_allocator_fns *fns)
{
	atomic_init(&m->used, 0);
	m->arena = 0;
	if (fns && fns->alloc) {
		m->fns = *fns;
		return;
	}
	m->arena = arena_acquire();
	m->fns = (struct ps_allocator_fns){default_alloc, default_resize, default_release, m};
}

void ps_memory_done(struct ps_memory *m)
{
	arena_release(m->arena);
	m->arena = 0;
}

void *ps_memory_alloc(struct ps_memory *m, size_t size)
{
	if (allocation_must_fail())
		return NULL;
	void *memory = m->fns.alloc(m->fns.arg, size ? size : 1);
	if (memory)
		atomic_fetch_add_explicit(&m->used, size, memory_order_relaxed);
	return memory;
}

void *ps_memory_zalloc(struct ps_memory *m, size_t size)
{
	void *memory = ps_memory_alloc(m, size);
	return memory ? memset(memory, 0, size) : NULL;
}

void *ps_memory_resize(struct ps_memory *m, void *memory, size_t old_size, size_t new_size)
{
	if (!memory)
		return ps_memory_alloc(m, new_size);
	if (allocation_must_fail())
		return NULL;
	void *grown = m->fns.resize(m->fns.arg, memory, old_size, new_size ? new_size : 1);
	if (grown)
		atomic_fetch_add_explicit(&m->used, new_size - old_size, memory_order_relaxed);
	return grown;
}

void ps_memory_free(struct ps_memory *m, void *memory, size_t size)
{
	if (!memory)
		return;
	atomic_fetch_sub_explicit(&m->used, size, memory_order_relaxed);
	m->fns.release(m->fns.arg, memory, size);
}

enum { FIRST_CAPACITY = 16 };

void *ps_memory_grow(struct ps_memory *m, void *list, size_t count, size_t *capacity, size_t size)
{
	size_t more = *capacity ? *capacity * 2 : FIRST_CAPACITY, bytes;
	if (count < *capacity)
		return list;
	void *grown = more < *capacity || __builtin_mul_overflow(more, size, &bytes)
	                  ? NULL
	                  : ps_memory_resize(m, list, *capacity * size, bytes);
	if (grown)
		*capacity = more;
	else
		(void)ps_fail(PS_ENOMEM, "no memory for a list of %zu entries of %zu bytes", more, size);
	return grown;
}
