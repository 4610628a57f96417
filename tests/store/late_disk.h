/* A disk that does nothing before it must: requests that are not waited for at once are carried out when they
 * are, in that order. What reads, or gives space away, before a write has ended finds it not done, or undone.
 */
#ifndef LATE_DISK_H
#define LATE_DISK_H

#include "store/io.h"

struct late_disk {
	struct ps_io io; /* for the store */
	struct ps_io *under;
	unsigned waiting;  /* started and not carried out */
	uint64_t requests; /* writes that were not waited for at once */
	bool fail;         /* the next of them fails with PS_EIO, without having been carried out */
};

/* Closing it closes the other, and asserts that nothing was left undone. */
void late_disk_init(struct late_disk *late, struct ps_io *under);

#endif
