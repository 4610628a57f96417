/* The store's thread: flushes relaxed commits in time, runs checkpoints. Without it the same work is done inside calls. */
#include <errno.h>

#include "base/thread.h"
#include "store/base_internal.h"

void store_wake(struct store *s)
{
	if (!s->has_thread)
		return;
	pthread_mutex_lock(&s->thread_lock);
	s->wake_thread = true;
	pthread_cond_signal(&s->thread_wake);
	pthread_mutex_unlock(&s->thread_lock);
}

static void deadline(struct timespec *t, uint32_t ms)
{
	clock_gettime(CLOCK_MONOTONIC, t);
	t->tv_sec += ms / 1000;
	t->tv_nsec += (long)(ms % 1000) * 1000000;
	if (t->tv_nsec >= 1000000000) {
		t->tv_nsec -= 1000000000;
		t->tv_sec++;
	}
}

/* Until somebody wakes it; while a relaxed commit waits, no longer than the flush interval. */
static bool wait_for_work(struct store *s)
{
	struct timespec until;
	int waited = 0;
	bool timing = false; /* the interval begins with the first relaxed commit */
	unsigned watch_ms = staging_watch(s);
	if (watch_ms)
		deadline(&until, watch_ms);
	pthread_mutex_lock(&s->thread_lock);
	while (!s->stop_thread && !s->wake_thread && waited != ETIMEDOUT) {
		if (atomic_load(&s->relaxed_waiting) && !timing) {
			deadline(&until, s->options.flush_ms);
			timing = true;
		}
		if (timing || watch_ms)
			waited = pthread_cond_timedwait(&s->thread_wake, &s->thread_lock, &until);
		else
			pthread_cond_wait(&s->thread_wake, &s->thread_lock);
	}
	s->wake_thread = false;
	bool stop = s->stop_thread;
	pthread_mutex_unlock(&s->thread_lock);
	return !stop;
}

static void *work(void *arg)
{
	struct store *s = arg;
	ps_tokens_set_class(PS_TOKEN_BACKGROUND);
	while (wait_for_work(s)) {
		int err = PS_OK;
		if (atomic_exchange(&s->relaxed_waiting, false))
			err = log_sync(&s->log);
		if (!err && atomic_exchange(&s->checkpoint_due, false))
			err = checkpoint_if_wanted(s);
		if (err)
			store_event(s, PS_EVENT_BACKGROUND_FAILURE, err, PS_ID_NONE);
		if (rebuild_help(s))
			store_wake(s);
		store_join(s);
		store_tell_events(s);
	}
	return NULL;
}

int store_start_thread(struct store *s)
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_destroy(&s->thread_wake);
	pthread_cond_init(&s->thread_wake, &attr);
	pthread_condattr_destroy(&attr);
	s->has_thread = true;
	int err = ps_thread_start(&s->thread, work, s);
	if (err)
		s->has_thread = false;
	return err ? ps_fail_errno(err, "%s: no thread for the background work", s->path) : PS_OK;
}

void store_stop_thread(struct store *s)
{
	if (!s->has_thread)
		return;
	pthread_mutex_lock(&s->thread_lock);
	s->stop_thread = true;
	pthread_cond_signal(&s->thread_wake);
	pthread_mutex_unlock(&s->thread_lock);
	pthread_join(s->thread, NULL);
	s->has_thread = false;
}

/* `now`: at once; otherwise the interval begins. */
static void wake_for_flush(struct store *s, bool now)
{
	if (!s->has_thread)
		return;
	pthread_mutex_lock(&s->thread_lock);
	s->wake_thread = s->wake_thread || now;
	pthread_cond_signal(&s->thread_wake);
	pthread_mutex_unlock(&s->thread_lock);
}

/* After a relaxed commit: the flusher is told of the first in a buffer; a full buffer is flushed here. Freed
 * space that waits for a flush counts like bytes in the buffer: the file would grow for want of it. */
int store_after_relaxed(struct store *s)
{
	pthread_mutex_lock(&s->lock);
	size_t waiting = s->log.open->len;
	unsigned freed = space_wants_flush(&s->space);
	pthread_mutex_unlock(&s->lock);
	bool now = waiting > s->options.flush_bytes || freed;
	if (waiting > 2 * (size_t)s->options.flush_bytes || freed > 1 || (!s->has_thread && now))
		return log_sync(&s->log);
	if (!atomic_exchange(&s->relaxed_waiting, true) || now)
		wake_for_flush(s, now);
	return PS_OK;
}

/* The thread is not woken for every commit: a switch for each would cost as much as the commit. */
int store_pace(struct store *s)
{
	if (!s->has_thread)
		(void)rebuild_help(s);
	if (!atomic_load_explicit(&s->wants_checkpoint, memory_order_relaxed))
		return PS_OK;
	/* Its thread does not keep up: then who makes the store dirty waits. */
	if (!s->has_thread || budget_is_too_dirty(s))
		return checkpoint_if_wanted(s);
	if (!atomic_exchange(&s->checkpoint_due, true))
		store_wake(s);
	return PS_OK;
}
