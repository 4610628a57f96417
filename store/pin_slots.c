/* Pins in slots of threads.
 *
 * A view pinned by count is two locked instructions on a line that all readers of the frame share, and a
 * processor begins nothing of the next view between them. A pin in a slot is two plain stores to a line of
 * the thread's own. The price is paid by whoever gives a frame up: he has to see the slots of all threads.
 *
 * Who views: names the frame in his slot, then loads pool.pinning, then the frame's state and the entry. He
 * has the pin if those were SLOTS, in memory and not locked, and the same entry as before. Who gives up:
 * locks the frame, then counts himself in pool.pinning. If that was COUNTED, nobody has come by a slot since
 * the last who closed them looked. If not, he closes them: CLOSING, then interrupts every thread of the
 * process, then COUNTED. A view that had loaded SLOTS by then has its name out, since the name was stored
 * before that load; one that had not finds CLOSING, and lets go. So whoever has a pin is seen. When slots are
 * opened again, one who locked a frame before and found COUNTED is counted below what the opener wrote, so
 * whoever loads SLOTS from there finds that frame locked.
 *
 * Slots are opened when a thread has had many views, and frames were hardly asked for meanwhile: so a load of
 * writes, or of reads beyond the budget, interrupts nobody. Names that are left when slots are closed are
 * looked for one by one until they are gone. */
#include "store/pin_slots.h"

enum { COUNTED_VIEWS = 1024, FEW_ASKED = 8 };

struct pin_slots ps_pin_slots[THREAD_INDEXES];
static _Atomic(unsigned) slots_used; /* threads' indexes below it may have names in them */
static _Atomic(uint32_t) pools;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool can_interrupt;

static void ask_whether_threads_can_be_interrupted(void)
{
	can_interrupt = sync_can_interrupt();
}

void pin_slots_init(struct pool *pool)
{
	pthread_once(&once, ask_whether_threads_can_be_interrupted);
	pthread_mutex_init(&pool->slots_lock, NULL);
	/* Never 0, and another one than that of any store whose views a parent process had open at the fork.
	 */
	do
		pool->slots_number = atomic_fetch_add_explicit(&pools, 1, memory_order_relaxed) + 1;
	while (!(uint32_t)pool->slots_number);
}

void pin_slots_done(struct pool *pool)
{
	pthread_mutex_destroy(&pool->slots_lock);
}

/* ---- who views ---- */

static __attribute__((cold)) void make_known(struct pin_slots *own, unsigned index)
{
	unsigned used = atomic_load(&slots_used);
	while (used <= index && !atomic_compare_exchange_weak(&slots_used, &used, index + 1))
		;
	own->known = true;
}

struct pin_slots *pin_slots_search(void)
{
	unsigned index = thread_self()->index;
	if (index >= THREAD_INDEXES)
		return NULL;
	struct pin_slots *own = &ps_pin_slots[index];
	if (!own->known)
		make_known(own, index);
	for (unsigned tries = 0; tries < PIN_SLOTS; tries++) {
		if (!atomic_load_explicit(&own->named[own->hand], memory_order_acquire))
			return own;
		own->hand = (own->hand + 1) % PIN_SLOTS;
	}
	return NULL;
}

static void open_slots(struct pool *pool)
{
	if (pthread_mutex_trylock(&pool->slots_lock))
		return;
	if (can_interrupt && (atomic_load(&pool->pinning) & PINNING_STATES) == PINNING_COUNTED)
		atomic_fetch_add(&pool->pinning, PINNING_SLOTS - PINNING_COUNTED);
	pthread_mutex_unlock(&pool->slots_lock);
}

void pin_slots_consider(struct pool *pool)
{
	unsigned index = thread_self()->index;
	struct pin_slots *own = &ps_pin_slots[index % THREAD_INDEXES];
	if (index >= THREAD_INDEXES || ++own->counted % COUNTED_VIEWS)
		return;
	uint64_t asked = atomic_load(&pool->pinning) / PINNING_CHANGE;
	if (own->seen_pool == pool->slots_number && asked - own->seen < FEW_ASKED)
		open_slots(pool);
	own->seen_pool = pool->slots_number;
	own->seen = asked;
}

/* ---- who gives up ---- */

void pin_slots_each(struct pool *pool, bool (*fn)(void *arg, uint64_t first, uint64_t further), void *arg)
{
	unsigned used = atomic_load(&slots_used);
	for (unsigned i = 0; i < used * PIN_SLOTS; i++) {
		struct pin_slots *slots = &ps_pin_slots[i / PIN_SLOTS];
		uint64_t named = atomic_load(&slots->named[i % PIN_SLOTS]);
		uint32_t further = atomic_load_explicit(&slots->further[i % PIN_SLOTS], memory_order_acquire);
		/* If the name is another by now, the pin has ended, and `further` may be of the next one. */
		bool both =
		    named >> 32 == pool->slots_number && atomic_load(&slots->named[i % PIN_SLOTS]) == named;
		if (both && !fn(arg, named & UINT32_MAX, further))
			return;
	}
}

/* Under slots_lock. */
static void close_slots(struct pool *pool)
{
	if ((atomic_load(&pool->pinning) & PINNING_STATES) == PINNING_COUNTED)
		return;
	atomic_fetch_add(&pool->pinning, PINNING_CLOSING - PINNING_SLOTS);
	sync_interrupt_threads();
	sync_step();
	atomic_store(&pool->slots_left, true);
	atomic_fetch_sub(&pool->pinning, PINNING_CLOSING - PINNING_COUNTED);
}

struct sought {
	uint64_t page;
	bool found, others;
};

static bool is_sought(void *arg, uint64_t first, uint64_t further)
{
	struct sought *sought = arg;
	sought->found = sought->found || sought->page - first <= further;
	sought->others = true;
	return !sought->found;
}

bool pin_slots_name(struct pool *pool, uint64_t frame)
{
	struct sought sought = {frame / PAGE, false, false};
	sync_step();
	uint64_t was = atomic_fetch_add(&pool->pinning, PINNING_CHANGE) & PINNING_STATES;
	sync_step();
	if (was == PINNING_COUNTED && !atomic_load(&pool->slots_left))
		return false;
	pthread_mutex_lock(&pool->slots_lock);
	close_slots(pool);
	pin_slots_each(pool, is_sought, &sought);
	/* Slots stay closed under the lock: none comes by a name meanwhile. */
	if (!sought.others)
		atomic_store(&pool->slots_left, false);
	pthread_mutex_unlock(&pool->slots_lock);
	return sought.found;
}

/* ---- what is pinned ---- */

struct named_frames {
	struct pool *pool;
	uint64_t bytes;
};

/* What is pinned by count as well is known already. */
static bool add_named(void *arg, uint64_t first, uint64_t further)
{
	struct named_frames *named = arg;
	for (uint64_t page = first; page <= first + further; page += CHUNK / PAGE) {
		uint64_t state = atomic_load(pool_state(named->pool, page * PAGE));
		named->bytes += state & PAGE_PINS ? 0 : pool_state_bytes(state);
	}
	return true;
}

/* Of frames that several views pin by slots as often. */
static uint64_t named_bytes(struct pool *pool)
{
	struct named_frames named = {pool, 0};
	pin_slots_each(pool, add_named, &named);
	return named.bytes;
}

uint64_t pool_pinned_bytes(struct pool *pool)
{
	uint64_t bytes = named_bytes(pool);
	pthread_mutex_lock(&pool->lock);
	for (size_t i = 0; i < pool->ring_count; i++) {
		uint64_t place = pool->ring[(pool->ring_head + i) & (pool->ring_size - 1)];
		uint64_t state = atomic_load(pool_state(pool, place));
		bytes += state & PAGE_PINS ? pool_state_bytes(state) : 0;
	}
	pthread_mutex_unlock(&pool->lock);
	return bytes;
}
