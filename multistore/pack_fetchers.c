#include "multistore/pack_fetchers.h"

#include "base/fail.h"
#include "base/thread.h"

int ps_pack_fetchers_init(struct ps_pack_fetchers *f)
{
	*f = (struct ps_pack_fetchers){.last = &f->first};
	if (pthread_mutex_init(&f->lock, NULL) == 0) {
		if (pthread_cond_init(&f->changed, NULL) == 0)
			return PS_OK;
		(void)pthread_mutex_destroy(&f->lock);
	}
	return ps_fail(PS_ENOMEM, "no memory for fetching packs");
}

/* Under the lock. */
static struct ps_pack_fetch *take(struct ps_pack_fetchers *f)
{
	struct ps_pack_fetch *fetch = f->first;
	f->first = fetch->next;
	if (!f->first)
		f->last = &f->first;
	f->queued--;
	return fetch;
}

static void *work(void *arg)
{
	struct ps_pack_fetchers *f = arg;
	pthread_mutex_lock(&f->lock);
	while (f->first || !f->ends) {
		if (!f->first) {
			f->idle++;
			(void)pthread_cond_wait(&f->changed, &f->lock);
			f->idle--;
			continue;
		}
		struct ps_pack_fetch *fetch = take(f);
		pthread_mutex_unlock(&f->lock);
		fetch->run(fetch);
		pthread_mutex_lock(&f->lock);
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

/* Under the lock. True: somebody will come to what was queued. */
static bool have_thread(struct ps_pack_fetchers *f)
{
	if (f->queued > f->idle && f->count < PS_PACK_FETCHERS &&
	    ps_thread_start(&f->thread[f->count], work, f) == 0)
		f->count++;
	return f->count > 0;
}

void ps_pack_fetchers_add(struct ps_pack_fetchers *f, struct ps_pack_fetch *fetch)
{
	fetch->next = NULL;
	pthread_mutex_lock(&f->lock);
	*f->last = fetch;
	f->last = &fetch->next;
	f->queued++;
	struct ps_pack_fetch *own = have_thread(f) ? NULL : take(f);
	(void)pthread_cond_signal(&f->changed);
	pthread_mutex_unlock(&f->lock);
	if (own)
		own->run(own);
}

void ps_pack_fetchers_done(struct ps_pack_fetchers *f)
{
	pthread_mutex_lock(&f->lock);
	f->ends = true;
	(void)pthread_cond_broadcast(&f->changed);
	pthread_mutex_unlock(&f->lock);
	for (unsigned i = 0; i < f->count; i++)
		(void)pthread_join(f->thread[i], NULL);
	(void)pthread_cond_destroy(&f->changed);
	(void)pthread_mutex_destroy(&f->lock);
}
