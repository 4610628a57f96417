/* Writes outside the log: what one commit lays into runs of the file, by way of buffers (staging.c). */
#ifndef PS_STAGING_H
#define PS_STAGING_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "allocator/allocator.h"

struct store;
struct staged;

/* Buffers that contents are written from: kept for the next write, given back when nobody wrote for a while. */
struct staging {
	pthread_mutex_t lock; /* innermost */
	struct staged *spare;
	unsigned spares;
	bool used;        /* since staging_watch looked */
	bool watched;     /* the store's thread will look */
	uint64_t used_ms; /* when it last found them used */
};

/* What one commit writes outside the log. Its pieces are laid one after another into runs of the file and into buffers, and
 * written in requests as large as they get. For one thread; zeroed at first. */
struct write_set {
	struct staged *first, *last; /* in flight, oldest first */
	struct staged *open;         /* being filled */
	unsigned count;              /* in flight */
	int error;                   /* of a write that has ended: it stays */
	uint64_t bytes;              /* of their buffers */
	struct ps_extent run;        /* of the file, for the next pieces; counted in uncommitted_bytes */
	uint64_t gathered;           /* bytes so far */
	uint64_t packed_bytes;       /* of packs, so far */
	uint32_t packed_stretches;
	unsigned most;               /* in flight; 0: as many as may be */
};

/* Contents at their place in a frame, zeros behind them. Where nothing is left over there is no memset(): one
 * of no bytes is a masked store to the page behind, which nobody may have touched yet, and that the processor
 * takes two hundred nanoseconds to suppress. */
static inline void copy_padded(uint8_t *to, const uint8_t *bytes, uint32_t len, uint64_t room)
{
	memcpy(to, bytes, len);
	if (room > len)
		memset(to + len, 0, room - len);
}

/* Most that one buffer takes, and so the longest piece. */
uint64_t staging_bytes(const struct store *s);
/* Starts what was gathered and waits for all that is in flight, then gives the run's rest back. The first error of any write
 * of the set, now and from then on. Takes store.lock. */
int staging_wait(struct store *s, struct write_set *set);
/* As staging_wait, but what was not started is not written: nothing of the set will be committed. */
void staging_abandon(struct store *s, struct write_set *set);
/* What was gathered is on its way, not waited for. */
void staging_start(struct store *s, struct write_set *set);
/* Whole pages for contents that are laid out by the caller: in the run where there is one. Counted in uncommitted_bytes.
 * Takes store.lock. */
int staging_take(struct store *s, struct write_set *set, uint64_t bytes, struct ps_extent *extent);
/* Room in the open buffer for all of an extent of at most a chunk: filled by the caller before the next call on the set. */
int staging_lay(struct store *s, struct write_set *set, struct ps_extent extent, uint8_t **to);
/* Something is in flight, and nothing but packs: what they hold is read from memory. */
bool staging_is_packs(const struct write_set *set);
/* Moves them to the list: from then on they are waited for by staging_end alone. */
void staging_hand_over(struct write_set *set, struct staged **list);
/* Returns when all writes of the list have ended; the first error. NULL: none. Takes store.lock. */
int staging_end(struct store *s, struct staged *list);
/* Memory for others: false if there is no spare buffer. */
bool staging_give_back(struct store *s);
/* Gives spare buffers and spare frames back that nobody has used for a while. Milliseconds until it should be asked again; 0: there are none. */
unsigned staging_watch(struct store *s);
void staging_done(struct store *s);

#endif
