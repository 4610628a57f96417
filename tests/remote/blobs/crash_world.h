/* A store whose index lies on a simulated disk, and whose network can be put back: for crashes at every write
 * and at every request. */
#ifndef CRASH_WORLD_H
#define CRASH_WORLD_H

#include "tests/remote/blobs/blobs_fixture.h"
#include "tests/support/sim_disk.h"

struct world {
	struct blobs *b;
	struct sim_disk *disk;
	uint8_t *image; /* of the base state */
	uint64_t image_size;
	uint8_t *crashed; /* what the disk begins with since the last crash */
	ps_mem_snapshot *snapshot;
	bool leftovers; /* the network has pads that the index does not know; else that is a mistake */
	/* What else is to be there with each base state, and what is to go after it. NULL: nothing. */
	void (*begun)(struct world *w);
	void (*ended)(struct world *w);
};

/* What is done, and what may be there afterwards: `done`, it ended with PS_OK. */
struct step {
	const char *name;
	int (*act)(struct world *w);
	void (*check)(struct world *w, bool done);
};

/* `make_base` makes the base state; the store is closed afterwards. */
void world_new(struct world *w, void (*make_base)(struct world *w));
void world_free(struct world *w);
/* The base state again, open. */
void world_restore(struct world *w);
/* The process is gone, the disk as it was at that moment; and a new process. */
void world_crash(struct world *w);
/* What the network has under a pad's number is what the index says of it: it was written down before it was
 * sent. */
void world_check_written_down(struct world *w);

/* Each crashes at one place after another, every stride-th, from the base state on; then the step is looked
 * at, done again, and has to finish. How many there were. */
unsigned world_crash_at_local_writes(struct world *w, const struct step *step, uint64_t stride);
/* The request is the last one that anybody hears of; `fault` says whether it is carried out. */
unsigned world_crash_at_requests(struct world *w, const struct step *step, enum ps_mem_fault fault,
                                 uint64_t stride);
/* Memory that runs out instead. */
unsigned world_without_memory(struct world *w, const struct step *step, uint64_t stride);
/* The same for each of `count` steps, and for each kind of crash at a request; says how many there were. */
void world_walk_local_writes(struct world *w, const struct step *steps, size_t count, uint64_t stride);
void world_walk_requests(struct world *w, const struct step *steps, size_t count, uint64_t stride);
void world_walk_memory(struct world *w, const struct step *steps, size_t count, uint64_t stride);
/* After a crash: the step has left what it may, is repeated, and finishes. `err`: what it ended with. */
void world_see_after(struct world *w, const struct step *step, int err);

#endif
