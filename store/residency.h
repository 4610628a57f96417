/* Where contents are: in the file, or away (backing_figures.c counts them, fault.c brings back, evict.c sends
 * away). */
#ifndef PS_RESIDENCY_H
#define PS_RESIDENCY_H

#include <pthread.h>

#include "store/backing.h"

struct entry;
struct store;
struct flight;

struct residency {
	pthread_mutex_t lock; /* innermost: all up to `flights` */
	pthread_cond_t ended; /* a fetch, or the use of the backing */
	struct ps_backing backing;
	bool attached, replacing;
	unsigned users; /* of the backing, at this moment */
	struct flight *flights;
	_Atomic(uint64_t) confirmed; /* what was last changed up to this interval can be fetched */
	_Atomic(uint64_t) fetches, fetched_bytes, healed;
	_Atomic(unsigned) passing; /* faults that are to leave nothing here: the disk was full */
	bool evicting;             /* store.lock */
	uint64_t hand;             /* the slot at which the next eviction begins; of who is evicting */
};

/* What becomes of pieces that have to be fetched for it. */
enum { FAULT_CHUNKS = 16, FAULT_BYTES = FAULT_CHUNKS << 16 }; /* that are fetched together */

enum object_use {
	USE_READ,  /* they are put into the file */
	USE_AHEAD, /* and so are some that follow them */
	USE_ONCE,  /* neither: they are about to be replaced, or will not be wanted again soon */
};

void residency_init(struct store *s);
void residency_done(struct store *s);
/* Calls the backing. PS_EUNAVAILABLE: there is none. Under no lock. */
int residency_fetch(struct store *s, ps_id id, uint64_t interval, bool exact, uint64_t offset, uint8_t *buf,
                    size_t len);
/* Likewise: what slots have that are unknown here. */
int residency_tell(struct store *s, uint64_t slot, uint64_t end, ps_backing_told_fn fn, void *arg);
/* Likewise: several that are about to be fetched, or told. How many of them were begun (struct ps_backing). */
size_t residency_want(struct store *s, const struct ps_backing_want *wants, size_t count);
/* Tells the backing which of reqs from the from-th on have to be fetched, or told. Those before the number that is
 * returned may be read then; before the others it is called again. Under holds of their slots (want.c). */
size_t want_reads(struct store *s, const struct ps_get_many *reqs, const struct entry *entries, size_t from,
                  size_t n);
/* Of which interval the contents of an entry are that are away. */
uint64_t fault_interval(const struct store *s, const struct entry *e);
void residency_healed(struct store *s, ps_id id);
/* Of an entry that lives: what was changed before there were intervals belongs to the first. */
uint64_t change_interval(const struct entry *e);
bool is_confirmed(const struct store *s, const struct entry *e);
/* The error of a read that fault_read may make good. */
bool fault_heals(const struct store *s, const struct entry *e, int err);
/* Reads from off on, where a piece begins or goes on that is away, or damaged here and confirmed; *len: how
 * much is wanted, and then how much was read. Within the object. Under a hold of the slot and no lock. */
int fault_read(struct store *s, ps_id id, const struct entry *e, uint64_t off, uint8_t *buf, size_t *len,
               enum object_use use);
/* A failed read of this entry is worth another one: it had something away, and is another by now. */
bool fault_outdated(struct store *s, ps_id id, const struct entry *e);

#endif
