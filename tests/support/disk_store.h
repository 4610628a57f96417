/* Base stores on simulated disks. */
#ifndef DISK_STORE_H
#define DISK_STORE_H

#include <padstone/base_store.h>

#include "tests/support/sim_disk.h"

/* A store without a thread, in files as small as they get. */
struct ps_base_options disk_store_options(void);
/* The store that the disk holds, or a new one on an empty disk, by these options. What `more` has (NULL:
 * nothing) of durability, mode, log_bytes and pin_limit counts. */
int disk_store_open(struct sim_disk *disk, const struct ps_base_options *more, ps_storer **s);
/* As a machine opens what it keeps: durable, in little memory. A new one only if `make`, and the disk is
 * empty. */
int disk_store_open_durable(struct sim_disk *disk, bool make, ps_storer **s);
/* The power fails when all that was written is on the disk: the next open finds it as it is now. Closes the
 * store. The disk goes on with the bytes that it returns, for free() when the disk has others. Aborts without
 * memory. */
uint8_t *disk_store_crash(struct sim_disk *disk, ps_storer *s);

#endif
