/* The pushed states of a store as what its contents may leave to, and come back from (store/backing.h). What
 * of it is away is fetched from the newest state that has it; what leaves is what this file has pushed.
 *
 * Nothing is asked of the network before something is to be fetched, or to leave. */
#ifndef PS_PUSH_BACKING_H
#define PS_PUSH_BACKING_H

#include <padstone/remote.h>

#include "store/backing.h"

struct ps_push_backing;
struct ps_push_manifest;

struct ps_push_backing_options {
	size_t cache_bytes; /* of packs, kept decoded; 16 MiB */
	/* Outlives the backing, or NULL: what was just read, for the first call that fetches; it is emptied
	 * then. One without a state: that call reads it. */
	struct ps_push_manifest *manifest;
	/* The store is this state, and has nothing that the state has not: so all of it may leave, and
	 * nothing but what was there then ever comes (PS_ESUPERSEDED). 0: it is what its note says. */
	uint64_t state;
	/* Hears of each fetch, under no lock, in the thread that fetched; may be NULL. */
	void (*fetched)(void *arg, size_t len);
	/* Where ps_push_backing_open is given no remote: opens it, by the first call that needs it, under no
	 * lock of the store; after a failure, which is that call's, by the next one. It is the caller's to
	 * close, when the backing is freed. */
	int (*open)(void *arg, ps_remote **r);
	/* Asked while something is fetched, by any thread: true ends that within a second, as
	 * ps_push_backing_stop does. May be NULL. */
	bool (*unwanted)(void);
	void *arg;
};

/* s, which may be a stack, has it as its backing until it is closed. r is open for longer; it may be NULL if
 * the options have `open`. What the store's file says was pushed from it is confirmed. PS_ENOTSUP: no base
 * store below; PS_ENOMEM; PS_ECORRUPT, PS_EVERSION: the file's note. */
PS_CHECKED int ps_push_backing_open(ps_storer *s, ps_remote *r, const struct ps_push_backing_options *options,
                                    struct ps_push_backing **backing);
/* Fetches that are under way end within a second, with PS_EUNAVAILABLE; a new one fails so at once. */
void ps_push_backing_stop(struct ps_push_backing *b);
/* After ps_push_backing_stop they may go on: s was not closed. */
void ps_push_backing_go_on(struct ps_push_backing *b);
/* closed: the store is, so that nothing can be fetched any more; else it is detached. NULL is fine. */
void ps_push_backing_free(struct ps_push_backing *b, bool closed);

/* A push of s has ended with this state: what it has may leave. */
PS_CHECKED int ps_push_backing_pushed(struct ps_push_backing *b, uint64_t state);
struct ps_push_evicted {
	uint64_t freed; /* bytes of the file */
	bool dirty;     /* there is more than the goal, since some of it is not pushed */
};
/* As ps_backing_evict, and counts what is there behind it. Where this process has not pushed it looks first
 * whether the newest state is this file's: PS_EFORK: it is not, so nothing leaves; PS_ENOTFOUND: nothing was
 * pushed. *evicted is set also on errors. */
PS_CHECKED int ps_push_backing_evict(struct ps_push_backing *b, uint64_t goal, ps_progress_fn fn, void *arg,
                                     struct ps_push_evicted *evicted);

#endif
