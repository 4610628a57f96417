/* A disk that does nothing before it must: requests that are not waited for at once are carried out when they
 * are, in that order. What reads, or gives space away, before a write has ended finds it not done, or undone.
 */
#ifndef LATE_DISK_H
#define LATE_DISK_H

#include <pthread.h>

#include "store/io.h"

struct late_disk {
	struct ps_io io; /* for the store */
	struct ps_io *under;
	pthread_mutex_t lock; /* the other disk is for one thread at a time */
	unsigned waiting;     /* started and not carried out */
	uint64_t requests;    /* writes that were not waited for at once */
	bool fail;            /* the next of them fails with PS_EIO, without having been carried out */
	unsigned beside;      /* most that waited when a write was carried out at once */
	unsigned unended;     /* most that waited at a flush */
	/* Called before a write at once while others wait; NULL. Any thread. */
	void (*meanwhile)(void *arg);
	void *arg;
};

/* Closing it closes the other, and asserts that nothing was left undone. */
void late_disk_init(struct late_disk *late, struct ps_io *under);

#endif
