/* The memory budget: what counts in it, who leaves when it is short, and how a call gets room (README.md, "The memory budget"). */
#ifndef PS_BUDGET_H
#define PS_BUDGET_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct store;

/* Calls under way: what they have they give back at their end. */
struct budget_calls {
	pthread_mutex_t lock;
	pthread_cond_t call_ended;
	_Atomic(uint32_t) count, waiting; /* waiting: for memory; others than calls do, too */
	uint32_t stuck;                   /* of the calls, those that wait (lock) */
	_Atomic(uint64_t) ended;
};

/* How long one call has tried to get room. Zeros at its beginning. */
struct budget_patience {
	unsigned tries;
	uint64_t ended;
};

void budget_init(struct budget_calls *calls);
void budget_done(struct budget_calls *calls);
/* Room for `bytes`: what is only kept for later leaves. Under any lock. PS_ENOMEM: what is left is dirty, pinned or on its way. */
int budget_take(struct store *s, uint64_t bytes);
void budget_give(struct store *s, uint64_t bytes);
/* Counted without asking; what can leave makes room as far as it can. */
void budget_charge(struct store *s, uint64_t bytes);
/* After PS_ENOMEM: true if something has changed since, and the same is to be tried again. Runs a checkpoint, or waits for another
 * call's end, so no lock is held and no frame is locked by the caller; where it may hold checkpoint.lock nothing is done. False: views,
 * batches and what else the application has open fill the budget. */
bool budget_relieve(struct store *s, struct budget_patience *p);
/* Around a call that may have memory for a while which nobody else can take: who finds no room waits for its end. Within one thread
 * they may be nested; inner ones do not count. */
void budget_enter(struct store *s);
void budget_leave(struct store *s);
/* Around a part of a call that others wait for without being counted as waiting: in it budget_relieve waits for nobody. */
void budget_bar(void);
void budget_unbar(void);
/* Frames and leaves that only a checkpoint makes clean. */
uint64_t budget_dirty_bytes(struct store *s);
/* As much as is good, and more than commits may add before they wait for the checkpoint themselves. */
bool budget_is_dirty(struct store *s);
bool budget_is_too_dirty(struct store *s);

#endif
