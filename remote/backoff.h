/* What failed comes again, later: how much later, and the queue in which it waits. */
#ifndef PS_BACKOFF_H
#define PS_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

struct ps_task;

struct ps_backoff {
	uint32_t first_ms, most_ms;
	uint64_t random; /* the state of its jitter */
};

/* Zero: 50 ms and 5 s. The same seed, the same delays. */
void ps_backoff_init(struct ps_backoff *backoff, uint32_t first_ms, uint32_t most_ms, uint64_t seed);
/* Before attempt number `round` (from 1) is repeated: `first_ms` doubled with each round up to `most_ms`, and
 * of that at random between a half and all, so that those who failed together do not come back together. */
uint64_t ps_backoff_delay_ns(struct ps_backoff *backoff, uint32_t round);

/* Tasks by the moment when they are due, soonest first: a pairing heap through the tasks themselves, so that
 * nothing is allocated. Not locked. */
struct ps_recycling {
	struct ps_task *soonest;
	uint64_t count;
};

void ps_recycling_add(struct ps_recycling *queue, struct ps_task *task); /* by task->due_ns */
struct ps_task *ps_recycling_take(struct ps_recycling *queue);           /* the soonest, or NULL */
uint64_t ps_recycling_due_ns(const struct ps_recycling *queue);          /* PS_NEVER if empty */

#endif
