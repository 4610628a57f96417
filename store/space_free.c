/* What becomes free: what a commit frees waits in a queue until the commit is durable, and longer while a frame is pinned, an object
 * is held by a reader, or a cut stands. */
#include <sys/param.h>

#include "store/base_internal.h"

enum {
	WAIT_SHARE = 128, /* of the file: what may wait for a flush */
	QUEUE_SHARE = 64, /* of the budget, for the list of what waits */
};

/* The frame of a small object leaves memory with its last object. */
static bool free_small(struct space *sp, struct ps_allocator *a, unsigned class, struct ps_extent extent)
{
	struct pool *pool = &sp->store->pool;
	struct ps_extent merged;
	uint64_t mask = pool->frame_mask[class], frame = extent.offset & mask;
	if (!pool_lock_frame(pool, frame))
		return false;
	int err = a->ops->free(a, extent, &merged);
	bool drop = !err && merged.offset <= frame && merged.offset + merged.len >= frame + (~mask + 1);
	pool_unlock_frame(pool, frame, extent.offset, drop);
	return !err;
}

static bool free_extent(struct space *sp, unsigned class, struct ps_extent extent)
{
	struct ps_allocator *a = class ? sp->slots : sp->root;
	if (!extent.len)
		return true;
	if (rebuild_holds(sp, extent))
		return false;
	if (extent.len < PAGE)
		return free_small(sp, a, class, extent);
	return pool_release(&sp->store->pool, extent) && a->ops->free(a, extent, NULL) == PS_OK;
}

static uint32_t hold_index(uint64_t slot)
{
	return (uint32_t)(slot * 0x9e3779b97f4a7c15U >> 54) % HOLDS;
}

void space_hold(struct space *sp, uint64_t slot)
{
	atomic_fetch_add(&sp->holds[hold_index(slot)], 1);
}

void space_unhold(struct space *sp, uint64_t slot)
{
	atomic_fetch_sub_explicit(&sp->holds[hold_index(slot)], 1, memory_order_release);
}

static bool is_held(struct space *sp, const struct freed *f)
{
	return atomic_load(&sp->holds[hold_index(f->slot)]) != 0 || (f->extent.len && sp->store->cut && cut_holds(sp->store, f));
}

static bool release(struct space *sp, const struct freed *f)
{
	if (!f->extent.len) {
		if (!rebuild_gives_slot(sp, f->slot))
			table_give_slot(&sp->store->table, f->slot);
		return true;
	}
	if (is_held(sp, f) || !free_extent(sp, f->class, f->extent))
		return false;
	sp->pending_bytes -= f->extent.len;
	return true;
}

int space_queue_reserve(struct space *sp, size_t more)
{
	/* Room to move all of the queue to `held` as well: releasing never allocates. */
	struct ps_memory *m = &sp->store->memory;
	size_t need = sp->queue_count + more;
	if (need > sp->queue_size) {
		size_t size = sp->queue_size ? sp->queue_size : 64;
		while (size < need)
			size *= 2;
		struct freed *queue = ps_memory_alloc(m, size * sizeof(*queue));
		if (!queue)
			return ps_fail(PS_ENOMEM, "%s: no memory for freed space", sp->store->path);
		for (size_t i = 0; i < sp->queue_count; i++)
			queue[i] = sp->queue[(sp->queue_head + i) & (sp->queue_size - 1)];
		ps_memory_free(m, sp->queue, sp->queue_size * sizeof(*queue));
		sp->queue = queue;
		sp->queue_size = size;
		sp->queue_head = 0;
	}
	need += sp->held_count;
	if (need <= sp->held_size)
		return PS_OK;
	struct freed *held = ps_memory_resize(m, sp->held, sp->held_size * sizeof(*held), need * 2 * sizeof(*held));
	if (!held)
		return ps_fail(PS_ENOMEM, "%s: no memory for freed space", sp->store->path);
	sp->held = held;
	sp->held_size = need * 2;
	return PS_OK;
}

/* Room was made by space_queue_reserve. */
void space_free_later(struct space *sp, const struct freed *freed)
{
	assert(sp->queue_count < sp->queue_size);
	sp->queue[(sp->queue_head + sp->queue_count++) & (sp->queue_size - 1)] = *freed;
	sp->pending_bytes += freed->extent.len;
	sp->queue_bytes += freed->extent.len;
	sp->grown = 0;
}

void space_free_slot_now(struct space *sp, unsigned class, struct ps_extent extent)
{
	/* What cannot go now (a frame that a checkpoint still reads, no memory) waits; what does not find room there is
	 * found again at the next open. */
	if (free_extent(sp, class, extent))
		return;
	if (space_queue_reserve(sp, 1) == PS_OK)
		space_free_later(sp, &(struct freed){.extent = extent, .class = class});
	else
		atomic_store(&sp->lost, true);
}

void space_free_now(struct space *sp, struct ps_extent extent)
{
	space_free_slot_now(sp, 0, extent);
}

void space_retry_held(struct space *sp)
{
	size_t kept = 0;
	for (size_t i = 0; i < sp->held_count; i++) {
		if (!release(sp, &sp->held[i]))
			sp->held[kept++] = sp->held[i];
	}
	sp->held_count = kept;
}

/* Frees what may be used again. Held extents are looked at each time while they are few, now and then when many. */
void space_reclaim(struct space *sp)
{
	if (!sp->ready || (!sp->queue_count && !sp->held_count && sp->reserve_count >= sp->reserve_want))
		return;
	uint64_t safe = log_safe_buffer(&sp->store->log);
	while (sp->queue_count) {
		struct freed *f = &sp->queue[sp->queue_head];
		if (f->buffer > safe)
			break;
		sp->queue_bytes -= f->extent.len;
		if (!release(sp, f))
			sp->held[sp->held_count++] = *f;
		sp->queue_head = (sp->queue_head + 1) & (sp->queue_size - 1);
		sp->queue_count--;
	}
	if (sp->held_count && (sp->held_count < 16 || ++sp->reclaims % 64 == 0) && !sp->store->cut)
		space_retry_held(sp);
	if (sp->reserve_count < sp->reserve_want)
		space_fill_reserve(sp);
}

/* Nobody works on the store any more: what waited for pins and holds goes. False if something still has to wait. */
bool space_settle(struct space *sp)
{
	space_reclaim(sp);
	space_retry_held(sp);
	return !sp->pending_bytes;
}

/* By bytes of the file, and by memory: the queue's, and as much that it can move to `held`. */
static uint64_t flush_load(const struct space *sp)
{
	uint64_t bytes = MAX(sp->end / WAIT_SHARE, (uint64_t)sp->store->options.flush_bytes);
	uint64_t items = sp->store->budget / QUEUE_SHARE / sizeof(*sp->queue);
	return MAX(sp->queue_bytes / bytes, sp->queue_count / items);
}

unsigned space_wants_flush(struct space *sp)
{
	if (flush_load(sp))
		space_reclaim(sp);
	return (unsigned)MIN(flush_load(sp), (uint64_t)UINT32_MAX);
}
