#include "tests/multistore/hand_clock.h"

#include <stdbool.h>

static uint64_t now(struct ps_clock *clock)
{
	struct hand_clock *c = (struct hand_clock *)(void *)clock;
	pthread_mutex_lock(&c->lock);
	uint64_t then = c->now;
	pthread_mutex_unlock(&c->lock);
	return then;
}

/* Who waits holds its mutex until it sleeps: who wakes it takes that first. */
static void wait_for(struct ps_clock *clock, pthread_cond_t *cond, pthread_mutex_t *mutex, uint64_t until)
{
	struct hand_clock *c = (struct hand_clock *)(void *)clock;
	pthread_mutex_lock(&c->lock);
	bool over = c->now >= until;
	if (!over) {
		c->cond = cond;
		c->mutex = mutex;
		c->until = until;
		pthread_cond_broadcast(&c->waits);
	}
	pthread_mutex_unlock(&c->lock);
	if (over)
		return;
	pthread_cond_wait(cond, mutex);
	pthread_mutex_lock(&c->lock);
	c->cond = NULL;
	pthread_mutex_unlock(&c->lock);
}

static void wake(struct ps_clock *clock, pthread_cond_t *cond)
{
	(void)clock;
	pthread_cond_broadcast(cond);
}

static const struct ps_clock_ops ops = {now, wait_for, wake};

void hand_clock_init(struct hand_clock *c)
{
	*c = (struct hand_clock){.clock = {&ops}, .now = PS_SECOND_NS};
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->waits, NULL);
}

void hand_clock_done(struct hand_clock *c)
{
	pthread_cond_destroy(&c->waits);
	pthread_mutex_destroy(&c->lock);
}

void hand_clock_advance(struct hand_clock *c, uint64_t ns)
{
	pthread_mutex_lock(&c->lock);
	c->now += ns;
	pthread_cond_t *cond = c->cond;
	pthread_mutex_t *mutex = c->mutex;
	pthread_mutex_unlock(&c->lock);
	if (!cond)
		return;
	pthread_mutex_lock(mutex);
	pthread_cond_broadcast(cond);
	pthread_mutex_unlock(mutex);
}

void hand_clock_expect(struct hand_clock *c, uint64_t until)
{
	pthread_mutex_lock(&c->lock);
	while (!c->cond || c->until != until)
		pthread_cond_wait(&c->waits, &c->lock);
	pthread_mutex_unlock(&c->lock);
}

uint64_t hand_clock_next(struct hand_clock *c)
{
	pthread_mutex_lock(&c->lock);
	while (!c->cond || c->until == PS_NEVER)
		pthread_cond_wait(&c->waits, &c->lock);
	uint64_t until = c->until;
	pthread_mutex_unlock(&c->lock);
	return until;
}
