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

#endif
