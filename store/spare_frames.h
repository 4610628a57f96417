/* Memory of frames that lost their extents, kept where it is: what is written next often lands there. */
#ifndef PS_SPARE_FRAMES_H
#define PS_SPARE_FRAMES_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "allocator/allocator.h"

struct pool;

struct spare_frames {
	pthread_mutex_t lock;
	struct ps_extent *list; /* the oldest at head; pages in it that have no PAGE_SPARE any more are somebody's */
	size_t head, count;
	_Atomic(uint64_t) bytes; /* counted in the budget */
	_Atomic(bool) used;      /* since staging_watch looked */
};

void spare_frames_init(struct spare_frames *spare);
void spare_frames_done(struct pool *pool);
/* Pages of a frame that is locked and about to be absent: true if they are kept, and stay counted. False: the caller gives them back. */
bool spare_frames_keep(struct pool *pool, uint64_t place, uint64_t bytes);
/* Whoever makes frames at a place, or loads them there, takes what is spare first: how many bytes of it are in memory, and counted, by
 * now. Their contents are of the past. */
uint64_t spare_frames_take(struct pool *pool, uint64_t place, uint64_t bytes);
/* The oldest go back to the system: true if that made room in the budget. */
bool spare_frames_give_up(struct pool *pool);

#endif
