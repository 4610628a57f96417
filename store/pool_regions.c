/* Address space for frames and their states: regions of the file, a step at a time. All of it is only address
 * space until it is touched; the first step of a small store stays for the next one that opens (mapping.h).
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/param.h>

#include "base/sanitizers.h"
#include "store/base_internal.h"
#include "store/mapping.h"

enum { SMALL_REGIONS = PS_THREAD_SANITIZER || PS_ADDRESS_SANITIZER };
enum { REGION_SHIFT = 36, SMALL_REGION_SHIFT = 30 };
static_assert((uint64_t)POOL_REGIONS << REGION_SHIFT <= (uint64_t)PAGE << 32,
              "a slot names a page by 32 bits (pin_slots.h)");
enum {
	HUGE_PAGES = HUGE_BLOCK / PAGE,
	EXTEND_STEP = 64 << 20,
	STEP_PAGES = EXTEND_STEP / PAGE,
	CLEAR_FRAMES = 1 << 20
};

static void set_region_size(struct pool *pool, unsigned shift)
{
	pool->region_shift = shift;
	pool->region_mask = ((uint64_t)1 << shift) - 1;
}

void pool_regions_init(struct pool *pool)
{
	set_region_size(pool, SMALL_REGIONS ? SMALL_REGION_SHIFT : REGION_SHIFT);
}

static size_t region_bytes(const struct pool *pool)
{
	size_t pages = (size_t)1 << (pool->region_shift - 12);
	return HUGE_BLOCK + pages * PAGE + pages * 8 + pages * 32 + pages / STATES_PAGES / 8 +
	       pages / HUGE_PAGES;
}

/* Frames that are in memory have a state that says so (pool_blocks.c counts on it as well); all others are
 * zeros. False: one is on its way. */
static bool clear_states_frames(const struct pool_region *r, size_t pages)
{
	for (size_t i = 0, count; i < pages; i += count) {
		uint64_t state = atomic_load_explicit(&r->states[i], memory_order_relaxed);
		count = state & PAGE_RESIDENT ? state >> PAGE_COUNT_SHIFT : 1;
		if (state & PAGE_LOCKED || !count || i + count > STEP_PAGES)
			return false;
		if (state & (PAGE_RESIDENT | PAGE_SPARE))
			memset(r->frames + i * PAGE, 0, count * PAGE);
	}
	return true;
}

/* What lies behind the last page that is cleared one by one goes back to the kernel; of a huge page all does.
 */
static bool clear_frames(const struct pool_region *r, size_t reach)
{
	size_t pages = MIN(reach, (size_t)CLEAR_FRAMES / PAGE);
	if ((reach >= HUGE_PAGES && r->joined[0]) || !clear_states_frames(r, pages))
		pages = 0;
	return pages == reach ||
	       !madvise(r->frames + pages * PAGE, EXTEND_STEP - pages * PAGE, MADV_DONTNEED);
}

/* The region of a store of one step is kept for the next open, as map_region and the first step left it. */
static void unmap_region(struct pool *pool, const struct pool_region *r)
{
	size_t reach = (MIN(pool->reach, (uint64_t)EXTEND_STEP) + PAGE - 1) / PAGE;
	bool keep = pool->region_shift == REGION_SHIFT && pool->mapped == EXTEND_STEP &&
	            clear_frames(r, reach) && mapping_clear((void *)r->states, reach * 8, STEP_PAGES * 8) &&
	            mapping_clear((void *)r->verified, reach * 32, STEP_PAGES * 32);
	if (!keep) {
		munmap(r->mapping, region_bytes(pool));
		return;
	}
	memset((void *)r->counted, 0, STEP_PAGES / STATES_PAGES / 8);
	if (reach >= HUGE_PAGES)
		memset((void *)r->joined, 0, STEP_PAGES / HUGE_PAGES);
	mapping_give(MAPPING_FRAMES, r->mapping, region_bytes(pool));
}

void pool_regions_done(struct pool *pool)
{
	for (int i = 0; pool->regions && i < POOL_REGIONS && pool->regions[i].mapping; i++)
		unmap_region(pool, &pool->regions[i]);
}

static uint8_t *reserve_region(const struct pool *pool)
{
	return mmap(NULL, region_bytes(pool), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

static void set_region(const struct pool *pool, struct pool_region *r, uint8_t *mapping)
{
	size_t pages = (size_t)1 << (pool->region_shift - 12);
	r->mapping = mapping;
	r->frames = huge_align(mapping);
	r->states = (_Atomic(uint64_t) *)(void *)(r->frames + pages * PAGE);
	r->verified = (_Atomic(uint64_t) *)(void *)(r->frames + pages * (PAGE + 8));
	r->counted = (_Atomic(uint64_t) *)(void *)(r->frames + pages * (PAGE + 40));
	r->joined = (_Atomic(uint8_t) *)(void *)(r->frames + pages * (PAGE + 40) + pages / STATES_PAGES / 8);
}

/* One mapping: frames, states, verified bits. All of it is only address space until it is touched. */
static int map_region(struct pool *pool, size_t index)
{
	uint8_t *mapping = reserve_region(pool);
	if (mapping == MAP_FAILED && index == 0 && pool->region_shift > SMALL_REGION_SHIFT) {
		/* Under valgrind, or with little address space allowed. */
		set_region_size(pool, SMALL_REGION_SHIFT);
		mapping = reserve_region(pool);
	}
	size_t pages = (size_t)1 << (pool->region_shift - 12);
	if (mapping == MAP_FAILED)
		return ps_fail_errno(ENOMEM, "%s: no address space for offset %llu", pool->store->path,
		                     (unsigned long long)index << pool->region_shift);
	uint8_t *states = huge_align(mapping) + pages * PAGE;
	if (mprotect(states, (size_t)(mapping + region_bytes(pool) - states), PROT_READ | PROT_WRITE) ||
	    madvise(mapping, region_bytes(pool), MADV_DONTFORK)) {
		munmap(mapping, region_bytes(pool));
		return ps_fail_errno(ENOMEM, "%s: no memory for page states", pool->store->path);
	}
	set_region(pool, &pool->regions[index], mapping);
	return PS_OK;
}

static void take_kept_region(struct pool *pool)
{
	uint8_t *mapping = pool->region_shift == REGION_SHIFT ? mapping_take(MAPPING_FRAMES) : NULL;
	if (!mapping)
		return;
	set_region(pool, &pool->regions[0], mapping);
	pool->mapped = EXTEND_STEP;
}

int pool_extend(struct pool *pool, uint64_t end)
{
	if (!pool->mapped && end)
		take_kept_region(pool);
	pool->reach = MAX(pool->reach, end);
	while (pool->mapped < end) {
		size_t index = (size_t)(pool->mapped >> pool->region_shift);
		if (index >= POOL_REGIONS)
			return ps_fail(PS_ENOSPC, "%s: the file would be larger than %llu bytes",
			               pool->store->path,
			               ((unsigned long long)pool->region_mask + 1) * POOL_REGIONS);
		int err = pool->regions[index].mapping ? PS_OK : map_region(pool, index);
		if (err)
			return err;
		uint64_t region = pool->region_mask + 1;
		uint64_t within = pool->mapped & (region - 1);
		uint64_t step = MIN(MAX((uint64_t)EXTEND_STEP, end - pool->mapped), region - within);
		step = (step + EXTEND_STEP - 1) & ~(uint64_t)(EXTEND_STEP - 1);
		if (mprotect(pool->regions[index].frames + within, step, PROT_READ | PROT_WRITE))
			return ps_fail_errno(ENOMEM, "%s: no memory for frames", pool->store->path);
		pool->mapped += step;
	}
	return PS_OK;
}
