#include "virtual_clock.h"

#include <sched.h>

struct virtual_waiter {
	struct virtual_waiter *next;
	pthread_cond_t *cond; /* what it waits on, by name only */
	pthread_cond_t signal;
	uint64_t until_ns;
	bool woken;
};

static struct virtual_clock *self(struct ps_clock *clock)
{
	return (struct virtual_clock *)(void *)clock;
}

static uint64_t virtual_now(struct ps_clock *clock)
{
	pthread_mutex_lock(&self(clock)->lock);
	uint64_t now_ns = self(clock)->now_ns;
	pthread_mutex_unlock(&self(clock)->lock);
	return now_ns;
}

/* Counted as awake from here on, not only when it runs: else time could go on meanwhile. */
static void wake(struct virtual_clock *clock, struct virtual_waiter *waiter)
{
	if (waiter->woken)
		return;
	waiter->woken = true;
	clock->waiting--;
	pthread_cond_signal(&waiter->signal);
}

static void jump(struct virtual_clock *clock)
{
	uint64_t first = PS_NEVER;
	if (clock->waiting < clock->threads)
		return;
	for (struct virtual_waiter *w = clock->waiters; w; w = w->next)
		first = w->woken ? first : ps_earlier(first, w->until_ns);
	if (first == PS_NEVER)
		return;
	if (first > clock->now_ns) {
		clock->now_ns = first;
		clock->jumps++;
	}
	for (struct virtual_waiter *w = clock->waiters; w; w = w->next) {
		if (w->until_ns <= clock->now_ns)
			wake(clock, w);
	}
}

static void forget(struct virtual_clock *clock, const struct virtual_waiter *waiter)
{
	struct virtual_waiter **link = &clock->waiters;
	while (*link != waiter)
		link = &(*link)->next;
	*link = waiter->next;
}

static void virtual_wait(struct ps_clock *of, pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t until_ns)
{
	struct virtual_clock *clock = self(of);
	struct virtual_waiter waiter = {.cond = cond, .until_ns = until_ns};
	pthread_cond_init(&waiter.signal, NULL);
	pthread_mutex_lock(&clock->lock);
	waiter.next = clock->waiters;
	clock->waiters = &waiter;
	clock->waiting++;
	jump(clock);
	pthread_mutex_unlock(mutex);
	while (!waiter.woken)
		pthread_cond_wait(&waiter.signal, &clock->lock);
	forget(clock, &waiter);
	pthread_mutex_unlock(&clock->lock);
	pthread_cond_destroy(&waiter.signal);
	pthread_mutex_lock(mutex);
}

static void virtual_wake(struct ps_clock *of, pthread_cond_t *cond)
{
	struct virtual_clock *clock = self(of);
	pthread_mutex_lock(&clock->lock);
	for (struct virtual_waiter *w = clock->waiters; w; w = w->next) {
		if (w->cond == cond)
			wake(clock, w);
	}
	pthread_mutex_unlock(&clock->lock);
}

static const struct ps_clock_ops virtual_ops = {virtual_now, virtual_wait, virtual_wake};

void virtual_clock_init(struct virtual_clock *clock, unsigned threads)
{
	*clock = (struct virtual_clock){.clock = {&virtual_ops}, .threads = threads, .now_ns = PS_SECOND_NS};
	pthread_mutex_init(&clock->lock, NULL);
}

void virtual_clock_done(struct virtual_clock *clock)
{
	pthread_mutex_destroy(&clock->lock);
}

void virtual_clock_set_threads(struct virtual_clock *clock, unsigned threads)
{
	pthread_mutex_lock(&clock->lock);
	clock->threads = threads;
	jump(clock);
	pthread_mutex_unlock(&clock->lock);
}

void virtual_clock_until_idle(struct virtual_clock *clock, unsigned waiting)
{
	bool idle = false;
	while (!idle) {
		sched_yield();
		pthread_mutex_lock(&clock->lock);
		idle = clock->waiting == waiting;
		for (struct virtual_waiter *w = clock->waiters; w; w = w->next)
			idle = idle && w->until_ns == PS_NEVER;
		pthread_mutex_unlock(&clock->lock);
	}
}

uint64_t virtual_clock_jumps(struct virtual_clock *clock)
{
	pthread_mutex_lock(&clock->lock);
	uint64_t jumps = clock->jumps;
	pthread_mutex_unlock(&clock->lock);
	return jumps;
}
