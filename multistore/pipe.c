#include "multistore/pipe.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/fail.h"

enum { TICK_MS = 50, SENTENCE = 512 };

struct ps_pipe {
	struct ps_memory *memory;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t capacity, first, used; /* of the ring */
	bool closed, ended;
	int closed_with, ended_with;
	uint8_t *ring;
};

static int init_sync(struct ps_pipe *p)
{
	pthread_condattr_t clock;
	if (pthread_condattr_init(&clock))
		return ps_fail(PS_ENOMEM, "no memory for a pipe");
	int failed =
	    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC) || pthread_cond_init(&p->changed, &clock);
	(void)pthread_condattr_destroy(&clock);
	if (failed)
		return ps_fail(PS_ENOMEM, "no memory for a pipe");
	if (pthread_mutex_init(&p->lock, NULL)) {
		(void)pthread_cond_destroy(&p->changed);
		return ps_fail(PS_ENOMEM, "no memory for a pipe");
	}
	return PS_OK;
}

int ps_pipe_new(struct ps_memory *memory, size_t capacity, struct ps_pipe **pipe)
{
	struct ps_pipe *p = ps_memory_zalloc(memory, sizeof(*p));
	if (!p)
		return ps_fail(PS_ENOMEM, "no memory for a pipe");
	*p = (struct ps_pipe){
	    .memory = memory, .capacity = capacity, .ring = ps_memory_alloc(memory, capacity)};
	int err = p->ring ? init_sync(p) : ps_fail(PS_ENOMEM, "no memory for a pipe of %zu bytes", capacity);
	if (err) {
		ps_memory_free(memory, p->ring, capacity);
		ps_memory_free(memory, p, sizeof(*p));
		return err;
	}
	*pipe = p;
	return PS_OK;
}

void ps_pipe_free(struct ps_pipe *p)
{
	if (!p)
		return;
	(void)pthread_mutex_destroy(&p->lock);
	(void)pthread_cond_destroy(&p->changed);
	ps_memory_free(p->memory, p->ring, p->capacity);
	ps_memory_free(p->memory, p, sizeof(*p));
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static void wait_a_tick(struct ps_pipe *p)
{
	struct timespec until;
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += TICK_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000L;
	}
	(void)pthread_cond_timedwait(&p->changed, &p->lock, &until);
}

/* With the lock held, which tick does without. */
static int wait_for_reader(struct ps_pipe *p, int (*tick)(void *arg), void *arg)
{
	if (!tick) {
		(void)pthread_cond_wait(&p->changed, &p->lock);
		return PS_OK;
	}
	wait_a_tick(p);
	pthread_mutex_unlock(&p->lock);
	int err = tick(arg);
	pthread_mutex_lock(&p->lock);
	return err;
}

static void fill_ring(struct ps_pipe *p, const uint8_t *data, size_t len)
{
	size_t at = (p->first + p->used) % p->capacity, head = least(len, p->capacity - at);
	memcpy(p->ring + at, data, head);
	memcpy(p->ring, data + head, len - head);
	p->used += len;
}

int ps_pipe_write(struct ps_pipe *p, const void *data, size_t len, int (*tick)(void *arg), void *arg)
{
	const uint8_t *from = data;
	int err = PS_OK;
	pthread_mutex_lock(&p->lock);
	while (len > 0 && !err) {
		if (p->ended) {
			err = p->ended_with ? p->ended_with : PS_ECANCELED;
			break;
		}
		size_t step = least(len, p->capacity - p->used);
		if (step == 0) {
			err = wait_for_reader(p, tick, arg);
			continue;
		}
		fill_ring(p, from, step);
		from += step;
		len -= step;
		(void)pthread_cond_broadcast(&p->changed);
	}
	pthread_mutex_unlock(&p->lock);
	return err;
}

void ps_pipe_close(struct ps_pipe *p, int err)
{
	pthread_mutex_lock(&p->lock);
	p->closed = true;
	p->closed_with = err;
	(void)pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

int ps_pipe_read(struct ps_pipe *p, void *buf, size_t len, size_t *got)
{
	uint8_t *to = buf;
	size_t done = 0;
	int err = PS_OK;
	pthread_mutex_lock(&p->lock);
	while (done < len) {
		size_t step = least(least(len - done, p->used), p->capacity - p->first);
		if (p->closed && p->closed_with) {
			err = ps_fail(p->closed_with, "what was to be sent has ended");
			break;
		}
		if (step == 0 && p->closed)
			break;
		if (step == 0) {
			(void)pthread_cond_wait(&p->changed, &p->lock);
			continue;
		}
		memcpy(to + done, p->ring + p->first, step);
		p->first = (p->first + step) % p->capacity;
		p->used -= step;
		done += step;
		(void)pthread_cond_broadcast(&p->changed);
	}
	pthread_mutex_unlock(&p->lock);
	if (!err)
		*got = done;
	return err;
}

void ps_pipe_end(struct ps_pipe *p, int err)
{
	pthread_mutex_lock(&p->lock);
	p->ended = true;
	p->ended_with = err;
	(void)pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

int ps_pipe_wait(struct ps_pipe *p, int (*tick)(void *arg), void *arg)
{
	int err = PS_OK;
	pthread_mutex_lock(&p->lock);
	while (!p->ended && !err)
		err = wait_for_reader(p, tick, arg);
	pthread_mutex_unlock(&p->lock);
	return err;
}
