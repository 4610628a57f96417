/* The whole stack on a mem: network: concurrent(evicting(multi(base))), attached, with next to no room in its
 * file, which is in memory. Whatever may leave leaves all the time: by the background, and before calls. */
#ifndef FULL_STACK_H
#define FULL_STACK_H

#include <semaphore.h>

#include "tests/remote/blobs/blobs_fixture.h"

#include <padstone/padstone.h>

struct full_stack {
	struct blobs *b; /* its network; NULL before the first store */
	int file;
	char path[64];
	struct ps_multi_options options;
	unsigned leave_one_in; /* before one in so many calls all that may leaves, sometimes behind a push;
	                          more often, and the background is always in the way of that */
	bool waits; /* set before the first store: durable commits, all of which wait for the log */
	unsigned calls;
	sem_t told;                          /* posted with what the background tells */
	_Atomic(uint64_t) pushes, evictions; /* in the background */
	_Atomic(int) failed;                 /* the last error that the background told of */
	uint64_t reads;                      /* of networks before this one */
};

void full_stack_new(struct full_stack *f, unsigned leave_one_in);
/* All stores are closed. */
void full_stack_free(struct full_stack *f);
/* fresh: a new one, on a network of its own. PS_OK or the open's error. */
int full_stack_open(struct full_stack *f, bool fresh, ps_storer **s);
/* Requests that read, of all networks so far. */
uint64_t full_stack_reads(const struct full_stack *f);

#endif
