/* What the concurrent store's files share. */
#ifndef PS_CONCURRENT_INTERNAL_H
#define PS_CONCURRENT_INTERNAL_H

#include <pthread.h>

#include "base/fail.h"
#include "base/memory.h"
#include "base/tokens.h"
#include "concurrent/concurrent_store.h"
#include "concurrent/lock_write.h"
#include "store/storer_impl.h"

/* One open view: its lock, and the inner store's own view. */
struct view_node {
	struct lock_hold hold;
	struct ps_view inner;
	struct view_node *next; /* among the spares */
};

/* A thread's spare view nodes: used by the thread that has the index, so without a lock. */
struct view_spares {
	_Alignas(CACHE_LINE) struct view_node *first;
	unsigned count;
};

struct concurrent {
	ps_storer storer;
	/* With the storer and the locks all that each call looks at: two lines, which hardly change. */
	uint32_t lock_timeout_ms;
	bool serial; /* the inner store takes one call at a time */
	struct locks locks;
	struct view_spares spares[THREAD_INDEXES];
	struct ps_memory memory;
	pthread_mutex_t structure; /* held around those; recursive: callbacks may call the store */
	struct ps_tokens *own_tokens;
	_Atomic(struct ps_tokens *) tokens; /* in use: own, given, or an outer layer's */
};

static inline struct concurrent *concurrent_of(ps_storer *s)
{
	return (struct concurrent *)(void *)s;
}

extern const struct ps_storer_ops concurrent_ops;
extern __attribute__((visibility("hidden"))) _Thread_local uint32_t concurrent_thread_wait;

/* How long this thread's call may wait. */
static inline struct lock_wait concurrent_wait(const struct concurrent *c)
{
	uint32_t own = concurrent_thread_wait;
	return (struct lock_wait){.timeout_ms = own == PS_WAIT_DEFAULT ? c->lock_timeout_ms : own};
}

/* Around every call of the inner store. Object locks are taken before it, never within. */
static inline void inner_enter(struct concurrent *c)
{
	if (__builtin_expect(c->serial, 0))
		pthread_mutex_lock(&c->structure);
}

static inline void inner_leave(struct concurrent *c)
{
	if (__builtin_expect(c->serial, 0))
		pthread_mutex_unlock(&c->structure);
}

/* One call of the inner store: its result. */
#define INNER(c, call)                                                                                       \
	({                                                                                                   \
		inner_enter(c);                                                                              \
		int result_ = (call);                                                                        \
		inner_leave(c);                                                                              \
		result_;                                                                                     \
	})

void concurrent_free_spares(struct concurrent *c);

/* Slots of the operations table. */
#define CONCURRENT_SLOT(name, params) int concurrent_##name params;
PS_STORER_SLOTS(CONCURRENT_SLOT)
#undef CONCURRENT_SLOT
ps_id concurrent_writer_id(ps_writer *w);

#endif
