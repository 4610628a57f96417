/* The buffer manager, after vmcache (Leis, Alhomssi, Ziegler, Loeck, Dietrich: Virtual-Memory Assisted Buffer Management,
 * SIGMOD 2023, section 3) with the state of a whole extent in its first page (Nguyen and Leis, ICDE 2024).
 *
 * Frames are address space at a fixed distance from the file's offsets: no hash, no pointer to chase. A page's 64-bit state
 * says who may do what:
 *
 *   0 absent --(lock)--> LOCKED --(read, verify)--> RESIDENT <--(pin, unpin)--> RESIDENT + pins
 *                          ^                           |
 *                          +------(pins 0, clean)------+   evict, or free
 *
 * Only who holds LOCKED or made the extent writes to it; who has pinned it reads. */
#include <sys/mman.h>
#include <sys/param.h>
#include <sched.h>

#include "store/base_internal.h"
#include "store/pin_slots.h"

enum {
	FRAME_MAX = 8 * PAGE, /* that small objects share */
	STATES_BYTES = STATES_PAGES * 40,
	POPULATE_FROM = 4 * PAGE,
	AHEAD_SHARE = 4
};

static struct pool_region *region_of(struct pool *pool, uint64_t place)
{
	return &pool->regions[place >> pool->region_shift];
}

int pool_init(struct pool *pool, struct store *s)
{
	pool->store = s;
	for (size_t i = 0; i < sizeof(pool->frame_mask) / sizeof(pool->frame_mask[0]); i++)
		pool->frame_mask[i] = ~(uint64_t)(PAGE - 1);
	pool_regions_init(pool);
	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->unlocked, NULL);
	spare_frames_init(&pool->spare);
	pin_slots_init(pool);
	pool->regions = ps_memory_zalloc(&s->memory, POOL_REGIONS * sizeof(*pool->regions));
	return pool->regions ? PS_OK : ps_fail(PS_ENOMEM, "%s: no memory for the buffer manager", s->path);
}

void pool_done(struct pool *pool)
{
	struct store *s = pool->store;
	if (!s)
		return;
	pool_regions_done(pool);
	ps_memory_free(&s->memory, pool->regions, POOL_REGIONS * sizeof(*pool->regions));
	ps_memory_free(&s->memory, pool->ring, pool->ring_size * sizeof(*pool->ring));
	ps_memory_free(&s->memory, pool->dirty, pool->dirty_size * sizeof(*pool->dirty));
	spare_frames_done(pool);
	pin_slots_done(pool);
	pthread_mutex_destroy(&pool->lock);
	pthread_cond_destroy(&pool->unlocked);
}

/* ---- memory of frames ------------------------------------------------------------------------------------------ */

/* Room for frames; those that are the first in their part of the file bring memory for the states of
 * all of it with them. That stays in use, and counted, until the store is closed. */
static int count_memory(struct pool *pool, uint64_t place, uint64_t len)
{
	size_t part = pool_page(pool, place) / STATES_PAGES;
	_Atomic(uint64_t) *word = &region_of(pool, place)->counted[part / 64];
	uint64_t bit = (uint64_t)1 << part % 64;
	if (atomic_load_explicit(word, memory_order_relaxed) & bit)
		return len ? budget_take(pool->store, len) : PS_OK;
	int err = budget_take(pool->store, len + STATES_BYTES);
	if (!err && atomic_fetch_or_explicit(word, bit, memory_order_relaxed) & bit)
		budget_give(pool->store, STATES_BYTES);
	return err;
}

/* Room for the frames of a place; *spare (may be NULL): how much of them is there, with contents of the past. */
static int take_memory(struct pool *pool, uint64_t place, uint64_t len, uint64_t *spare)
{
	uint64_t there = spare_frames_take(pool, place, len);
	int err = count_memory(pool, place, len - there);
	if (err && there) {
		pool_give_memory(pool, place, len);
		budget_give(pool->store, there);
	}
	if (spare)
		*spare = there;
	return err;
}

/* ---- the eviction ring: a clock over what may be resident ------------------------------------------------------- */

static int ring_reserve(struct pool *pool)
{
	if (pool->ring_count < pool->ring_size)
		return PS_OK;
	struct ps_memory *m = &pool->store->memory;
	size_t size = pool->ring_size ? pool->ring_size * 2 : 64;
	uint64_t *ring = ps_memory_alloc(m, size * sizeof(*ring));
	if (!ring)
		return ps_fail(PS_ENOMEM, "%s: no memory for the eviction ring", pool->store->path);
	for (size_t i = 0; i < pool->ring_count; i++)
		ring[i] = pool->ring[(pool->ring_head + i) & (pool->ring_size - 1)];
	ps_memory_free(m, pool->ring, pool->ring_size * sizeof(*ring));
	pool->ring = ring;
	pool->ring_size = size;
	pool->ring_head = 0;
	return PS_OK;
}

/* The caller has the page locked or has just made it. */
static int list_page(struct pool *pool, uint64_t place)
{
	_Atomic(uint64_t) *state = pool_state(pool, place);
	int err = PS_OK;
	if (atomic_load(state) & PAGE_LISTED)
		return PS_OK;
	pthread_mutex_lock(&pool->lock);
	err = ring_reserve(pool);
	if (!err) {
		pool->ring[(pool->ring_head + pool->ring_count++) & (pool->ring_size - 1)] = place;
		atomic_fetch_or(state, PAGE_LISTED);
	}
	pthread_mutex_unlock(&pool->lock);
	return err;
}

/* After a change of a state that somebody may wait for. Who waits counts himself before he looks at the state: he has seen the
 * change, or is seen here. */
static void wake_waiters(struct pool *pool)
{
	if (!atomic_load(&pool->waiters))
		return;
	pthread_mutex_lock(&pool->lock);
	pthread_cond_broadcast(&pool->unlocked);
	pthread_mutex_unlock(&pool->lock);
}

static void wait_while_locked(struct pool *pool, _Atomic(uint64_t) *state)
{
	pthread_mutex_lock(&pool->lock);
	atomic_fetch_add(&pool->waiters, 1);
	while (atomic_load(state) & PAGE_LOCKED)
		pthread_cond_wait(&pool->unlocked, &pool->lock);
	atomic_fetch_sub(&pool->waiters, 1);
	pthread_mutex_unlock(&pool->lock);
}

/* Counted in the budget still. */
static void forget_frames(struct pool *pool, uint64_t place, uint64_t bytes)
{
	if (bytes <= FRAME_MAX) {
		_Atomic(uint64_t) *bits = &region_of(pool, place)->verified[pool_page(pool, place) * 4];
		for (uint64_t i = 0; i < bytes / PAGE * 4; i++)
			atomic_store_explicit(&bits[i], 0, memory_order_relaxed);
	}
	atomic_fetch_sub_explicit(&pool->frame_bytes, bytes, memory_order_relaxed);
}

/* Counted as frames; when as much has come as a block holds, one may be whole. */
static void add_frames(struct pool *pool, uint64_t bytes)
{
	uint64_t before = atomic_fetch_add_explicit(&pool->frame_bytes, bytes, memory_order_relaxed);
	if (before / HUGE_BLOCK != (before + bytes) / HUGE_BLOCK)
		store_wants_join(pool->store);
}

static void give_back_frames(struct pool *pool, uint64_t place, uint64_t bytes)
{
	pool_give_memory(pool, place, bytes);
	atomic_fetch_add_explicit(&pool->given_back, 1, memory_order_relaxed);
	budget_give(pool->store, bytes);
}

static void drop_frames(struct pool *pool, uint64_t place, uint64_t bytes)
{
	forget_frames(pool, place, bytes);
	give_back_frames(pool, place, bytes);
}

/* The frame is locked and not resident any more, its bytes are still there. Who copies them without a pin hears of it (resident.h);
 * of a frame whose objects are gone their entries tell. */
static void announce_removal(struct pool *pool)
{
	atomic_fetch_add(&pool->removals, 1);
}

/* The frame was locked to leave, and a view has it: it is as it was. Under pool.lock. */
static void put_back(struct pool *pool, _Atomic(uint64_t) *state, uint64_t was)
{
	atomic_fetch_or(state, was & (PAGE_RESIDENT | PAGE_LISTED));
	atomic_fetch_and(state, ~PAGE_LOCKED);
	pthread_cond_broadcast(&pool->unlocked);
}

static bool try_evict(struct pool *pool, uint64_t place, bool *keep)
{
	_Atomic(uint64_t) *state = pool_state(pool, place);
	uint64_t old = atomic_load(state);
	*keep = true;
	while (true) {
		if (!(old & PAGE_RESIDENT) && !(old & PAGE_LOCKED)) {
			atomic_fetch_and(state, ~PAGE_LISTED);
			*keep = false;
			return false;
		}
		if (old & (PAGE_LOCKED | PAGE_DIRTY | PAGE_PINS))
			return false;
		if (old & PAGE_USED) {
			atomic_fetch_and(state, ~PAGE_USED);
			return false;
		}
		if (atomic_compare_exchange_weak(state, &old, (old | PAGE_LOCKED) & ~(PAGE_RESIDENT | PAGE_LISTED)))
			break;
	}
	/* Before the slots are looked through: who names many frames looks at nothing else. */
	announce_removal(pool);
	if (pin_slots_name(pool, place)) {
		put_back(pool, state, old);
		return false;
	}
	drop_frames(pool, place, pool_state_bytes(old));
	atomic_store(state, 0);
	*keep = false;
	return true;
}

bool pool_evict_one(struct pool *pool)
{
	bool evicted = false;
	pthread_mutex_lock(&pool->lock);
	size_t tries = pool->ring_count * 2;
	while (!evicted && tries-- && pool->ring_count) {
		uint64_t place = pool->ring[pool->ring_head & (pool->ring_size - 1)];
		bool keep;
		pool->ring_head = (pool->ring_head + 1) & (pool->ring_size - 1);
		pool->ring_count--;
		evicted = try_evict(pool, place, &keep);
		if (keep)
			pool->ring[(pool->ring_head + pool->ring_count++) & (pool->ring_size - 1)] = place;
	}
	if (evicted)
		pthread_cond_broadcast(&pool->unlocked);
	pthread_mutex_unlock(&pool->lock);
	return evicted;
}

/* ---- pins ------------------------------------------------------------------------------------------------------ */

static bool is_shared(const struct blob *b)
{
	return b->len < PAGE;
}

/* What is read and kept as one. */
static struct ps_extent frame_of(const struct pool *pool, const struct blob *b)
{
	uint64_t mask = pool->frame_mask[b->class];
	return (struct ps_extent){b->place & mask, is_shared(b) ? ~mask + 1 : extent_len(b->len)};
}

bool pool_is_verified(struct pool *pool, uint64_t place)
{
	if (pool->store->options.verify_reads)
		return false;
	_Atomic(uint64_t) *bits = &region_of(pool, place)->verified[pool_page(pool, place) * 4];
	unsigned granule = (unsigned)(place % PAGE / GRANULE);
	return atomic_load_explicit(&bits[granule / 64], memory_order_acquire) >> (granule % 64) & 1;
}

void pool_set_verified(struct pool *pool, unsigned class, uint64_t place)
{
	if (atomic_load_explicit(pool_state(pool, pool_frame(pool, class, place)), memory_order_relaxed) & PAGE_VERIFIED)
		return;
	_Atomic(uint64_t) *bits = &region_of(pool, place)->verified[pool_page(pool, place) * 4];
	unsigned granule = (unsigned)(place % PAGE / GRANULE);
	atomic_fetch_or_explicit(&bits[granule / 64], (uint64_t)1 << (granule % 64), memory_order_release);
}

static void clear_verified(struct pool *pool, uint64_t place)
{
	_Atomic(uint64_t) *bits = &region_of(pool, place)->verified[pool_page(pool, place) * 4];
	unsigned granule = (unsigned)(place % PAGE / GRANULE);
	atomic_fetch_and_explicit(&bits[granule / 64], ~((uint64_t)1 << (granule % 64)), memory_order_relaxed);
}

/* True with a pin taken if the extent is resident. */
static bool pin_if_resident(_Atomic(uint64_t) *state)
{
	uint64_t old = atomic_load_explicit(state, memory_order_relaxed);
	while (old & PAGE_RESIDENT && !(old & PAGE_LOCKED)) {
		if (atomic_compare_exchange_weak_explicit(state, &old, (old + 1) | PAGE_USED, memory_order_acquire,
							  memory_order_relaxed))
			return true;
	}
	return false;
}

/* Absent -> LOCKED by us: true. False if it is resident meanwhile; waits while another has it. */
static bool lock_absent(struct pool *pool, _Atomic(uint64_t) *state)
{
	uint64_t old = atomic_load(state);
	while (true) {
		if (old & PAGE_LOCKED) {
			wait_while_locked(pool, state);
			old = atomic_load(state);
			continue;
		}
		if (old & PAGE_RESIDENT)
			return false;
		if (atomic_compare_exchange_weak(state, &old, old | PAGE_LOCKED))
			return true;
	}
}

static void publish(struct pool *pool, _Atomic(uint64_t) *state, uint64_t bits, uint64_t pages)
{
	uint64_t listed = atomic_load(state) & PAGE_LISTED;
	atomic_store(state, bits | listed | pages << PAGE_COUNT_SHIFT);
	wake_waiters(pool);
}

static int verify(const struct blob *b, const uint8_t *data, struct store *s, ps_id id)
{
	if (blob_checksum(b->seed, data, (size_t)b->len) == b->checksum)
		return PS_OK;
	int err = ps_fail(PS_ECORRUPT, "%s: object 0x%llx: checksum mismatch at offset %llu (%llu bytes)", s->path,
		       (unsigned long long)id, (unsigned long long)b->place, (unsigned long long)b->len);
	store_event(s, PS_EVENT_CORRUPTION, err, id);
	return err;
}

/* The extent is locked by us. Reads it; extents of their own are verified before anybody sees them. */
static int load(struct pool *pool, const struct blob *b, ps_id id, uint64_t first, uint64_t len, bool *patched)
{
	struct store *s = pool->store;
	int err = take_memory(pool, first, len, NULL);
	if (err)
		return err;
	uint8_t *frame = pool_address(pool, first);
	add_frames(pool, len);
	err = ps_io_read(s->io, first, frame, len);
	if (!err && *patched)
		*patched = redo_apply(s, first, len / PAGE, frame);
	if (!err && !is_shared(b))
		err = verify(b, frame, s, id);
	if (!err)
		err = list_page(pool, first);
	if (err)
		drop_frames(pool, first, len);
	return err;
}

/* What is made in memory is right until it leaves; an extent of its own was verified when it was read. */
static uint64_t made_here(const struct pool *pool)
{
	return pool->store->options.verify_reads ? 0 : PAGE_VERIFIED;
}

static uint64_t known_sound(const struct pool *pool, const struct blob *b)
{
	return is_shared(b) ? 0 : made_here(pool);
}

/* Pinned on success. */
static int fault(struct pool *pool, const struct blob *b, ps_id id)
{
	struct ps_extent frame = frame_of(pool, b);
	uint64_t first = frame.offset, len = frame.len;
	_Atomic(uint64_t) *state = pool_state(pool, first);
	while (!pin_if_resident(state)) {
		if (!lock_absent(pool, state))
			continue;
		bool patched = atomic_load(state) & PAGE_PATCHED;
		int err = load(pool, b, id, first, len, &patched);
		if (err) {
			uint64_t keep = atomic_load(state) & (PAGE_LISTED | PAGE_PATCHED);
			atomic_store(state, keep);
			wake_waiters(pool);
			return err;
		}
		publish(pool, state, PAGE_RESIDENT | PAGE_USED | 1 | (patched ? PAGE_DIRTY : 0) | known_sound(pool, b), len / PAGE);
		if (patched)
			atomic_fetch_add_explicit(&pool->dirty_bytes, len, memory_order_relaxed);
		return PS_OK;
	}
	return PS_OK;
}

/* ---- reading ahead ------------------------------------------------------------------------------------------------ */

/* Of all threads together: what is on its way nobody can take back. */
static bool may_read_ahead(const struct pool *pool, uint64_t len)
{
	return atomic_load_explicit(&pool->ahead_bytes, memory_order_relaxed) + len <= pool->store->budget / AHEAD_SHARE;
}

bool pool_load_start(struct pool *pool, const struct blob *b, struct ps_extent *frame)
{
	*frame = frame_of(pool, b);
	_Atomic(uint64_t) *state = pool_state(pool, frame->offset);
	uint64_t old = atomic_load(state);
	/* Only what is plainly absent: all else the read itself will see to. */
	if (old & (PAGE_LOCKED | PAGE_RESIDENT | PAGE_PATCHED) || !atomic_compare_exchange_strong(state, &old, old | PAGE_LOCKED))
		return false;
	if (!may_read_ahead(pool, frame->len) ||
	    take_memory(pool, frame->offset, frame->len, NULL) != PS_OK) {
		/* Not the old state: its spare memory may have been given up meanwhile. */
		atomic_fetch_and(state, ~PAGE_LOCKED);
		wake_waiters(pool);
		return false;
	}
	atomic_fetch_add_explicit(&pool->ahead_bytes, frame->len, memory_order_relaxed);
	add_frames(pool, frame->len);
	return true;
}

void pool_load_finish(struct pool *pool, const struct blob *b, ps_id id, const struct ps_extent *frame,
                      int err)
{
	_Atomic(uint64_t) *state = pool_state(pool, frame->offset);
	atomic_fetch_sub_explicit(&pool->ahead_bytes, frame->len, memory_order_relaxed);
	if (!err && !is_shared(b))
		err = verify(b, pool_address(pool, b->place), pool->store, id);
	if (!err)
		err = list_page(pool, frame->offset);
	if (err) {
		drop_frames(pool, frame->offset, frame->len);
		atomic_store(state, atomic_load(state) & PAGE_LISTED);
		wake_waiters(pool);
		return;
	}
	publish(pool, state, PAGE_RESIDENT | PAGE_USED | known_sound(pool, b), frame->len / PAGE);
}

/* A small object is verified at its first use after its page was read; a large extent when it was read. */
static int verify_pinned(struct pool *pool, const struct blob *b, ps_id id)
{
	const uint8_t *data = pool_address(pool, b->place);
	if (atomic_load_explicit(pool_state(pool, blob_frame(pool, b)), memory_order_relaxed) & PAGE_VERIFIED ||
	    (is_shared(b) && pool_is_verified(pool, b->place)))
		return PS_OK;
	int err = verify(b, data, pool->store, id);
	if (!err && is_shared(b))
		pool_set_verified(pool, b->class, b->place);
	return err;
}

int pool_pin(struct pool *pool, const struct blob *b, ps_id id, const uint8_t **data)
{
	_Atomic(uint64_t) *state = pool_state(pool, blob_frame(pool, b));
	struct budget_patience patience = {0};
	int err = pin_if_resident(state) ? PS_OK : fault(pool, b, id);
	while (err == PS_ENOMEM && budget_relieve(pool->store, &patience))
		err = fault(pool, b, id);
	if (err)
		return err;
	err = verify_pinned(pool, b, id);
	if (err) {
		pool_unpin(pool, blob_frame(pool, b));
		return err;
	}
	*data = pool_address(pool, b->place);
	return PS_OK;
}

/* ---- writers ----------------------------------------------------------------------------------------------------- */

/* No byte of an object that is gone comes to lie behind one that is put there. */
static void clear_slack(struct pool *pool, uint64_t place, uint64_t len)
{
	uint64_t slack = len <= FRAME_MAX ? len : PAGE;
	memset(pool_address(pool, place) + len - slack, 0, slack);
}

int pool_fresh(struct pool *pool, uint64_t place, uint64_t len)
{
	_Atomic(uint64_t) *state = pool_state(pool, place);
	uint64_t spare;
	int err = take_memory(pool, place, len, &spare);
	if (err)
		return err;
	/* A stale reader may look at the state of a page that is free: it never gets past RESIDENT. */
	if (!lock_absent(pool, state)) {
		budget_give(pool->store, len);
		return ps_fail(PS_ECORRUPT, "%s: extent at offset %llu is in use", pool->store->path, (unsigned long long)place);
	}
	add_frames(pool, len);
	/* One call for all pages costs half of what a fault for each does. Where it fails they fault. */
	if (len - spare >= POPULATE_FROM)
		(void)madvise(pool_address(pool, place), len, MADV_POPULATE_WRITE);
	if (spare)
		clear_slack(pool, place, len);
	err = list_page(pool, place);
	if (err) {
		drop_frames(pool, place, len);
		atomic_store(state, 0);
		wake_waiters(pool);
		return err;
	}
	publish(pool, state, PAGE_RESIDENT | PAGE_USED | 1 | made_here(pool), len / PAGE);
	return PS_OK;
}

bool pool_pin_shared_resident(struct pool *pool, unsigned class, uint64_t place)
{
	return pin_if_resident(pool_state(pool, pool_frame(pool, class, place)));
}

int pool_pin_shared(struct pool *pool, unsigned class, uint64_t place, bool empty)
{
	struct blob any = {.place = place, .len = 1, .class = class};
	struct ps_extent frame = frame_of(pool, &any);
	if (pool_pin_shared_resident(pool, class, place))
		return PS_OK;
	return empty ? pool_fresh(pool, frame.offset, frame.len) : fault(pool, &any, PS_ID_NONE);
}

int pool_dirty_reserve(struct pool *pool, size_t more)
{
	if (pool->dirty_count + more <= pool->dirty_size)
		return PS_OK;
	size_t size = pool->dirty_size ? pool->dirty_size : 16;
	while (size < pool->dirty_count + more)
		size *= 2;
	uint64_t *dirty = ps_memory_resize(&pool->store->memory, pool->dirty, pool->dirty_size * sizeof(*dirty),
					   size * sizeof(*dirty));
	if (!dirty)
		return ps_fail(PS_ENOMEM, "%s: no memory for the list of dirty pages", pool->store->path);
	pool->dirty = dirty;
	pool->dirty_size = size;
	return PS_OK;
}

void pool_dirty(struct pool *pool, uint64_t frame)
{
	_Atomic(uint64_t) *state = pool_state(pool, frame);
	/* It becomes clean under the same lock. */
	if (atomic_load_explicit(state, memory_order_relaxed) & PAGE_DIRTY)
		return;
	uint64_t old = atomic_fetch_or(state, PAGE_DIRTY);
	assert(pool->dirty_count < pool->dirty_size);
	pool->dirty[pool->dirty_count++] = frame & ~(uint64_t)(PAGE - 1);
	atomic_fetch_add_explicit(&pool->dirty_bytes, pool_state_bytes(old), memory_order_relaxed);
}

static void undirty(struct pool *pool, uint64_t old)
{
	if (old & PAGE_DIRTY)
		atomic_fetch_sub_explicit(&pool->dirty_bytes, pool_state_bytes(old), memory_order_relaxed);
}

void pool_discard(struct pool *pool, uint64_t frame)
{
	_Atomic(uint64_t) *state = pool_state(pool, frame);
	uint64_t old = atomic_load(state);
	while (true) {
		if ((old & PAGE_PINS) != 1 || old & PAGE_DIRTY) {
			pool_unpin(pool, frame);
			return;
		}
		if (atomic_compare_exchange_weak(state, &old, ((old - 1) | PAGE_LOCKED) & ~PAGE_RESIDENT))
			break;
	}
	announce_removal(pool);
	drop_frames(pool, frame, pool_state_bytes(old));
	atomic_store(state, old & PAGE_LISTED);
	wake_waiters(pool);
}

/* ---- freeing ------------------------------------------------------------------------------------------------------ */

/* Nobody pins it and nobody will: the frame's objects are gone, or are kept from readers for a moment. */
bool pool_lock_frame(struct pool *pool, uint64_t frame)
{
	_Atomic(uint64_t) *state = pool_state(pool, frame);
	uint64_t old = atomic_load(state);
	while (!(old & (PAGE_PINS | PAGE_LOCKED))) {
		if (!atomic_compare_exchange_weak(state, &old, old | PAGE_LOCKED))
			continue;
		if (!(old & PAGE_RESIDENT) || !pin_slots_name(pool, frame))
			return true;
		atomic_fetch_and(state, ~PAGE_LOCKED);
		wake_waiters(pool);
		return false;
	}
	return false;
}

void pool_unlock_frame(struct pool *pool, uint64_t frame, uint64_t gone, bool drop)
{
	_Atomic(uint64_t) *state = pool_state(pool, frame);
	uint64_t old = atomic_load(state);
	if (drop && old & PAGE_RESIDENT) {
		undirty(pool, old);
		forget_frames(pool, frame, pool_state_bytes(old));
		if (!spare_frames_keep(pool, frame, pool_state_bytes(old)))
			give_back_frames(pool, frame, pool_state_bytes(old));
	}
	if (!drop)
		clear_verified(pool, gone);
	atomic_fetch_and(state, drop ? PAGE_LISTED | PAGE_SPARE : ~PAGE_LOCKED);
	wake_waiters(pool);
}

bool pool_release(struct pool *pool, struct ps_extent extent)
{
	for (uint64_t at = extent.offset; at < extent.offset + extent.len;) {
		if (!pool_lock_frame(pool, at))
			return false;
		uint64_t state = atomic_load(pool_state(pool, at));
		pool_unlock_frame(pool, at, at, true);
		at += state & PAGE_RESIDENT ? MAX(pool_state_bytes(state), (uint64_t)PAGE) : PAGE;
	}
	return true;
}

/* ---- checkpoints ---------------------------------------------------------------------------------------------------- */

size_t pool_copy_dirty(struct pool *pool, uint64_t place, uint8_t *to, size_t room, bool *too_large)
{
	_Atomic(uint64_t) *state = pool_state(pool, place);
	uint64_t old = atomic_load(state);
	*too_large = false;
	if (!(old & PAGE_DIRTY) || !(old & PAGE_RESIDENT))
		return 0;
	size_t bytes = (size_t)pool_state_bytes(old);
	if (bytes > room) {
		*too_large = true;
		return 0;
	}
	/* DIRTY stays evictions' bar until the pin is theirs. */
	atomic_fetch_add(state, 1);
	atomic_fetch_and(state, ~PAGE_DIRTY);
	undirty(pool, old);
	memcpy(to, pool_address(pool, place), bytes);
	return bytes;
}

void pool_dirty_again(struct pool *pool, uint64_t place)
{
	uint64_t old = atomic_fetch_or(pool_state(pool, place), PAGE_DIRTY);
	if (!(old & PAGE_DIRTY))
		atomic_fetch_add_explicit(&pool->dirty_bytes, pool_state_bytes(old), memory_order_relaxed);
}

void pool_set_patched(struct pool *pool, uint64_t frame)
{
	atomic_fetch_or(pool_state(pool, frame), PAGE_PATCHED);
}

/* After this no loading applies patches to the page: if one did, the page is in the list. Under store.lock, with room made. */
void pool_settle_patched(struct pool *pool, uint64_t frame)
{
	_Atomic(uint64_t) *state = pool_state(pool, frame);
	wait_while_locked(pool, state);
	atomic_fetch_and(state, ~PAGE_PATCHED);
	pool_list_dirty(pool, frame);
}

void pool_list_dirty(struct pool *pool, uint64_t frame)
{
	if (atomic_load(pool_state(pool, frame)) & PAGE_DIRTY)
		pool->dirty[pool->dirty_count++] = frame & ~(uint64_t)(PAGE - 1);
}

bool pool_is_newer(struct pool *pool, uint64_t frame)
{
	return atomic_load(pool_state(pool, frame)) & (PAGE_DIRTY | PAGE_PATCHED);
}
