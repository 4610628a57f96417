/* Threads that fetch ranges of packs while their caller does something else: at most PS_PACK_FETCHERS, begun
 * when they are first of use, kept until the end. What is waited for is not their end but what they fill
 * (pack_cache.h). */
#ifndef PS_PACK_FETCHERS_H
#define PS_PACK_FETCHERS_H

#include <pthread.h>
#include <stdbool.h>

#include "base/error.h"

enum { PS_PACK_FETCHERS = 8 };

/* A struct of the caller's begins with it. */
struct ps_pack_fetch {
	void (*run)(struct ps_pack_fetch *fetch); /* frees it */
	struct ps_pack_fetch *next;
};

struct ps_pack_fetchers {
	pthread_mutex_t lock; /* a leaf; guards all below */
	pthread_cond_t changed;
	struct ps_pack_fetch *first, **last; /* that nobody has begun */
	unsigned queued, idle, count;
	bool ends;
	pthread_t thread[PS_PACK_FETCHERS];
};

/* PS_ENOMEM. */
PS_CHECKED int ps_pack_fetchers_init(struct ps_pack_fetchers *f);
/* Runs it, in the order of calls; in this thread, where there can be no other one. */
void ps_pack_fetchers_add(struct ps_pack_fetchers *f, struct ps_pack_fetch *fetch);
/* Nothing is added any more; returns when all that was has run. */
void ps_pack_fetchers_done(struct ps_pack_fetchers *f);

#endif
