/* A disk that knows which pages have space behind them: what is written elsewhere could fail on a full disk,
 * and is counted. Made over the simulated disk, whose bytes a hole zeroes. */
#ifndef HOLE_DISK_H
#define HOLE_DISK_H

#include "tests/support/sim_disk.h"

enum { HOLE_PAGE = 4096, HOLE_PAGES = 16384 };

struct hole_disk {
	struct ps_io io; /* for the store */
	struct sim_disk *under;
	void *image; /* that it began with */
	bool backed[HOLE_PAGES];
	uint64_t pages;    /* of them */
	uint64_t most;     /* pages that there are in all; 0: enough */
	uint64_t unbacked; /* pages that were written without space behind them */
	uint64_t holes;    /* punches that were carried out */
	bool fail;         /* the next punch fails with PS_EIO, and none is made */
	/* Called before a punch is carried out, and not again while it runs. */
	void (*before_punch)(void *arg);
	void *arg;
};

/* An empty file. */
void hole_disk_init(struct hole_disk *disk);
/* For the next open, after the store was closed or forgotten. */
struct ps_io *hole_disk_io(struct hole_disk *disk);
/* What a process that dies now leaves. */
void hole_disk_copy(struct hole_disk *to, const struct hole_disk *from);
/* Pages of the range that have space behind them. */
uint64_t hole_disk_backed(const struct hole_disk *disk, uint64_t offset, uint64_t len);
void hole_disk_done(struct hole_disk *disk);

#endif
