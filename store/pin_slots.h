/* Pins without a locked instruction: a thread names the frame in a slot of its own, and whoever gives a frame
 * up looks through the slots of all (pin_slots.c has the argument). Views are pinned so while hardly any
 * frame is given up; else their pins are counted in the frame's state. */
#ifndef PS_PIN_SLOTS_H
#define PS_PIN_SLOTS_H

#include "base/sanitizers.h"
#include "base/sync.h"
#include "base/thread_index.h"
#include "store/base_internal.h"

enum { PIN_SLOTS = 16 }; /* a thread's: views that it takes beyond are counted */

/* How views of a pool are pinned now; above, how often frames of it were asked for. */
enum pinning {
	PINNING_COUNTED = 0,
	PINNING_SLOTS = 1,
	PINNING_CLOSING = 2,
	PINNING_STATES = 3 /* mask */,
	PINNING_CHANGE = 4
};

/* Slots are taken by the thread that has them, and emptied by whoever releases the view. */
struct pin_slots {
	_Alignas(64) _Atomic(uint64_t)
	    named[PIN_SLOTS]; /* the pool's number, and from bit 0 the frame's first page; 0: empty */
	_Atomic(uint32_t) further[PIN_SLOTS]; /* pages behind it up to the last frame that is named as well */
	unsigned hand;
	bool known; /* to those who look through all slots */
	unsigned counted;
	uint64_t seen_pool, seen; /* when it was last considered whether views may be pinned by slots */
};
extern struct pin_slots ps_pin_slots[THREAD_INDEXES];

#ifdef PS_SCHEDULE
/* Stores that others see later than the thread itself. */
void pin_slot_publish(_Atomic(uint64_t) *slot, uint64_t name);
void pin_slot_clear(_Atomic(uint64_t) *slot);
#endif

void pin_slots_init(struct pool *pool);
void pin_slots_done(struct pool *pool);
/* The thread has no slot at hand: looks for one. */
struct pin_slots *pin_slots_search(void);
/* A view's pin has been counted. */
void pin_slots_consider(struct pool *pool);
/* A frame that has been locked, so that whoever looks at its state from now on leaves it: does a slot name
 * it? */
bool pin_slots_name(struct pool *pool, uint64_t frame);
/* The pages of each frame that is named, in no order and perhaps twice, until fn says false. */
void pin_slots_each(struct pool *pool, bool (*fn)(void *arg, uint64_t first, uint64_t further), void *arg);

static inline __attribute__((always_inline)) bool pins_by_slots(const struct pool *pool)
{
	return (atomic_load_explicit(&pool->pinning, memory_order_acquire) & PINNING_STATES) == PINNING_SLOTS;
}

static inline void pin_slot_release(_Atomic(uint64_t) *slot)
{
	sync_step();
#ifdef PS_SCHEDULE
	pin_slot_clear(slot);
#else
	atomic_store_explicit(slot, 0, memory_order_release);
#endif
}

/* Names the frames in a slot; NULL: pins are counted now. They are pinned if the caller, who looks only now,
 * finds them in memory and not locked, and their object's entry as it was; else he releases the slot. */
static inline __attribute__((always_inline)) _Atomic(uint64_t) *
pin_slot_take(struct pool *pool, uint64_t frame, uint32_t further)
{
	if (!pins_by_slots(pool))
		return NULL;
	unsigned index = thread_self()->index;
	struct pin_slots *own = &ps_pin_slots[index % THREAD_INDEXES];
	if (__builtin_expect(index >= THREAD_INDEXES || !own->known ||
	                         atomic_load_explicit(&own->named[own->hand], memory_order_acquire),
	                     0)) {
		own = pin_slots_search();
		if (!own)
			return NULL;
	}
	_Atomic(uint64_t) *slot = &own->named[own->hand];
	sync_step();
	atomic_store_explicit(&own->further[own->hand], further, memory_order_release);
#if PS_THREAD_SANITIZER
	/* It knows nothing of interrupted threads. */
	atomic_exchange(slot, pool->slots_number << 32 | frame / PAGE);
#elif defined(PS_SCHEDULE)
	pin_slot_publish(slot, pool->slots_number << 32 | frame / PAGE);
#else
	atomic_store_explicit(slot, pool->slots_number << 32 | frame / PAGE, memory_order_release);
#endif
	/* The compiler keeps the order; the processor need not. */
	atomic_signal_fence(memory_order_seq_cst);
	sync_step();
	if (__builtin_expect(pins_by_slots(pool), 1))
		return slot;
	pin_slot_release(slot);
	return NULL;
}

#endif
