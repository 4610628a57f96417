#include "remote/backoff.h"

#include <stddef.h>

#include "remote/clock.h"
#include "remote/task.h"

enum { FIRST_MS = 50, MOST_MS = 5000 };

void ps_backoff_init(struct ps_backoff *backoff, uint32_t first_ms, uint32_t most_ms, uint64_t seed)
{
	backoff->first_ms = first_ms ? first_ms : FIRST_MS;
	backoff->most_ms = most_ms ? most_ms : MOST_MS;
	backoff->random = seed;
}

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

uint64_t ps_backoff_delay_ns(struct ps_backoff *backoff, uint32_t round)
{
	uint64_t ms = backoff->first_ms;
	while (--round > 0 && ms < backoff->most_ms)
		ms *= 2;
	if (ms > backoff->most_ms)
		ms = backoff->most_ms;
	uint64_t half = ms * PS_MS_NS / 2;
	return half + next_random(&backoff->random) % (half + 1);
}

/* ---- the pairing heap: each task has its first child, and the next of its siblings ---- */

static struct ps_task *meld(struct ps_task *a, struct ps_task *b)
{
	if (!a || !b)
		return a ? a : b;
	if (b->due_ns < a->due_ns) {
		struct ps_task *swap = a;
		a = b;
		b = swap;
	}
	b->next = a->child;
	a->child = b;
	return a;
}

/* Melds siblings by twos, and the pairs from the last to the first, in a loop: a long outage makes long rows.
 */
static struct ps_task *meld_all(struct ps_task *first)
{
	struct ps_task *pairs = NULL, *all = NULL;
	while (first) {
		struct ps_task *a = first, *b = first->next;
		first = b ? b->next : NULL;
		a->next = NULL;
		if (b)
			b->next = NULL;
		a = meld(a, b);
		a->next = pairs;
		pairs = a;
	}
	while (pairs) {
		struct ps_task *next = pairs->next;
		pairs->next = NULL;
		all = meld(all, pairs);
		pairs = next;
	}
	return all;
}

void ps_recycling_add(struct ps_recycling *queue, struct ps_task *task)
{
	task->next = task->child = NULL;
	queue->soonest = meld(queue->soonest, task);
	queue->count++;
}

struct ps_task *ps_recycling_take(struct ps_recycling *queue)
{
	struct ps_task *task = queue->soonest;
	if (!task)
		return NULL;
	queue->soonest = meld_all(task->child);
	queue->count--;
	task->next = task->child = NULL;
	return task;
}

uint64_t ps_recycling_due_ns(const struct ps_recycling *queue)
{
	return queue->soonest ? queue->soonest->due_ns : PS_NEVER;
}
