/* Base stores on simulated disks. */
#ifndef DISK_STORE_H
#define DISK_STORE_H

#include <padstone/base_store.h>

#include "tests/support/sim_disk.h"

/* The store that the disk holds, or a new one on an empty disk; without a thread, in files as small as they
 * get. What `more` has (NULL: nothing) of durability, mode, log_bytes and pin_limit counts. */
int disk_store_open(struct sim_disk *disk, const struct ps_base_options *more, ps_storer **s);
/* The power fails when all that was written is on the disk: the next open finds it as it is now. Closes the
 * store. The disk goes on with the bytes that it returns, for free() when the disk has others. Aborts without
 * memory. */
uint8_t *disk_store_crash(struct sim_disk *disk, ps_storer *s);

#endif
