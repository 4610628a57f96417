/* The memory budget. Who needs room takes it from what is only kept for later: spare frames, clean frames, clean leaves, buffers. If
 * that was not enough, the rest is dirty (a checkpoint makes it clean), or some call has it for a moment, or the application keeps it
 * pinned. Only the last is a reason to fail. */
#include <sys/param.h>

#include "store/base_internal.h"

/* Frames and table pages leave a little for what is allocated without asking: small structs and lists. */
enum { OTHERS_SHARE = 64 };
/* Recovery has to have in memory what was dirty when the last whole checkpoint began, and what became so until the crash: the shares of
 * both, of the log (an eighth) and of its buffers (another) are less than all of it. */
enum { DIRTY_SHARE = 4, TOO_DIRTY_PARTS = 3, TOO_DIRTY_OF = 8 };
enum { CHECKPOINTS_MOST = 8, TRIES_MOST = 256 };

/* Of this thread: calls under way, and parts of them that wait for nobody. */
static _Thread_local unsigned entered, barred;

void budget_init(struct budget_calls *calls)
{
	pthread_mutex_init(&calls->lock, NULL);
	pthread_cond_init(&calls->call_ended, NULL);
}

void budget_done(struct budget_calls *calls)
{
	pthread_mutex_destroy(&calls->lock);
	pthread_cond_destroy(&calls->call_ended);
}

static bool fits(struct store *s, uint64_t used, uint64_t bytes)
{
	uint64_t others = s->budget / OTHERS_SHARE;
	return used + atomic_load_explicit(&s->memory.used, memory_order_relaxed) + bytes <= s->budget - others;
}

static bool give_up_one(struct store *s)
{
	return spare_frames_give_up(&s->pool) || pool_evict_one(&s->pool) || table_evict_one(&s->table) || staging_give_back(s);
}

static int no_room(struct store *s, uint64_t bytes)
{
	store_wake(s);
	return ps_fail(PS_ENOMEM,
		       "%s: the memory budget of %llu bytes has no room for %llu more (%llu in frames, %llu of them dirty, %llu in table "
		       "leaves, %llu of them dirty, %llu in lists)",
		       s->path, (unsigned long long)s->budget, (unsigned long long)bytes,
		       (unsigned long long)atomic_load(&s->pool.frame_bytes), (unsigned long long)atomic_load(&s->pool.dirty_bytes),
		       (unsigned long long)atomic_load(&s->table.resident_bytes),
		       (unsigned long long)atomic_load(&s->table.dirty_bytes), (unsigned long long)atomic_load(&s->memory.used));
}

/* Counted only once there is room: the figure is within the budget at every moment. */
int budget_take(struct store *s, uint64_t bytes)
{
	uint64_t used = atomic_load_explicit(&s->budget_used, memory_order_relaxed);
	for (;;) {
		bool room = fits(s, used, bytes);
		if (room && atomic_compare_exchange_weak_explicit(&s->budget_used, &used, used + bytes, memory_order_relaxed,
								  memory_order_relaxed))
			return PS_OK;
		if (!room && !give_up_one(s))
			return no_room(s, bytes);
		used = atomic_load_explicit(&s->budget_used, memory_order_relaxed);
	}
}

void budget_charge(struct store *s, uint64_t bytes)
{
	uint64_t used = atomic_fetch_add_explicit(&s->budget_used, bytes, memory_order_relaxed) + bytes;
	while (!fits(s, used, 0) && (spare_frames_give_up(&s->pool) || pool_evict_one(&s->pool)))
		used = atomic_load_explicit(&s->budget_used, memory_order_relaxed);
}

void budget_give(struct store *s, uint64_t bytes)
{
	atomic_fetch_sub_explicit(&s->budget_used, bytes, memory_order_relaxed);
}

/* ---- what is dirty ----------------------------------------------------------------------------------------------- */

uint64_t budget_dirty_bytes(struct store *s)
{
	return atomic_load_explicit(&s->pool.dirty_bytes, memory_order_relaxed) +
	       atomic_load_explicit(&s->table.dirty_bytes, memory_order_relaxed);
}

bool budget_is_dirty(struct store *s)
{
	return budget_dirty_bytes(s) > s->budget / DIRTY_SHARE;
}

bool budget_is_too_dirty(struct store *s)
{
	return budget_dirty_bytes(s) > s->budget / TOO_DIRTY_OF * TOO_DIRTY_PARTS;
}

/* ---- calls under way --------------------------------------------------------------------------------------------- */

void budget_enter(struct store *s)
{
	if (!entered++)
		atomic_fetch_add(&s->calls.count, 1);
}

void budget_leave(struct store *s)
{
	struct budget_calls *calls = &s->calls;
	if (--entered)
		return;
	atomic_fetch_add(&calls->ended, 1);
	atomic_fetch_sub(&calls->count, 1);
	if (!atomic_load(&calls->waiting))
		return;
	pthread_mutex_lock(&calls->lock);
	pthread_cond_broadcast(&calls->call_ended);
	pthread_mutex_unlock(&calls->lock);
}

void budget_bar(void)
{
	barred++;
}

void budget_unbar(void)
{
	barred--;
}

/* False: all calls that are under way wait here, too. The last of them fails, gives back what it has, and so wakes the others. */
static bool wait_for_an_end(struct budget_calls *calls, struct budget_patience *p)
{
	unsigned own = entered ? 1 : 0;
	pthread_mutex_lock(&calls->lock);
	atomic_fetch_add(&calls->waiting, 1);
	calls->stuck += own;
	while (atomic_load(&calls->ended) == p->ended && atomic_load(&calls->count) > calls->stuck)
		pthread_cond_wait(&calls->call_ended, &calls->lock);
	calls->stuck -= own;
	atomic_fetch_sub(&calls->waiting, 1);
	uint64_t ended = atomic_load(&calls->ended);
	pthread_mutex_unlock(&calls->lock);
	bool any = ended != p->ended;
	p->ended = ended;
	return any;
}

bool budget_relieve(struct store *s, struct budget_patience *p)
{
	if (checkpoint_is_mine(s) || p->tries == TRIES_MOST)
		return false;
	/* What ended between the attempt and now may be all that was missing. */
	if (!p->tries++) {
		p->ended = atomic_load(&s->calls.ended);
		return true;
	}
	if (budget_dirty_bytes(s) && p->tries <= CHECKPOINTS_MOST && checkpoint_relieve(s))
		return true;
	return !barred && wait_for_an_end(&s->calls, p);
}
