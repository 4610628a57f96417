/* A backing in memory (store/backing.h): every version that a cut of the store has pushed to it, for as long
 * as it lives; and it fails, lies and hangs when told to. Any thread. Aborts without memory. */
#ifndef COPIES_H
#define COPIES_H

#include "store/backing.h"
#include "store/cut.h"

struct copies;

struct copies *copies_new(void);
/* Nothing is attached any more. */
void copies_free(struct copies *c);

/* The store, which may have been opened anew or be one that a crash left, has its backing here, and may let
 * go of what it has pushed as far as it knows. */
int copies_attach(struct copies *c, ps_storer *s);
int copies_detach(ps_storer *s);
/* What has changed since the last push, by a cut; then it is confirmed. */
int copies_push(struct copies *c, ps_storer *s);
/* The same, and then all leaves that may. */
int copies_push_and_evict(struct copies *c, ps_storer *s);

/* An empty store becomes the last state that was pushed, with nothing of it known. */
int copies_restore_rest(struct copies *c, ps_storer *s);

/* From now on every fetch fails with this, and what is asked of slots; PS_OK: none. */
void copies_fail(struct copies *c, int err);
/* A byte of what is fetched is another. */
void copies_lie(struct copies *c, bool on);
/* Fetches wait until told that they need not any more. */
void copies_hold(struct copies *c, bool on);
/* Returns when so many wait. */
void copies_wait_for(struct copies *c, unsigned waiting);

struct copies_counts {
	unsigned fetches, healed;
	uint64_t bytes;       /* of all fetches */
	uint64_t longest;     /* of one */
	uint64_t interval;    /* that the last one was of */
	unsigned asked, told; /* slots */
};
struct copies_counts copies_counts(struct copies *c);
/* The last interval that was pushed. */
uint64_t copies_pushed(struct copies *c);

#endif
