/* The bytes of a run's packs, one after another, fetched ahead by threads: several ranges at once. */
#ifndef PS_RUN_SOURCE_H
#define PS_RUN_SOURCE_H

#include <padstone/remote.h>

#include "multistore/manifest.h"

typedef struct ps_run_source ps_run_source;

/* Held at most. Seven of 8 MiB on their way are 28 pads of the usual size: so many that each of the remote's
 * workers has one to open while others come. With a dozen one worker had begun nearly all of them at times,
 * and the others had nothing to do. */
enum { PS_RUN_SOURCE_RANGES = 8 };

/* range: bytes of one request of the remote; so many of them, two to PS_RUN_SOURCE_RANGES, are held, and all
 * but one asked for at a time. The packs stay as they are until it is freed. PS_ENOMEM. */
PS_CHECKED int ps_run_source_new(struct ps_memory *memory, ps_remote *r,
                                 const struct ps_push_manifest_pack *packs, uint32_t count, size_t range,
                                 uint32_t ranges, ps_run_source **source);
/* Fills exactly len bytes. What the remote said, with the pack's name; PS_ECORRUPT: a pack is shorter than it
 * should be. */
PS_CHECKED int ps_run_source_read(ps_run_source *source, void *buf, size_t len);
/* The next len bytes where they are, without a copy: valid until the next call. NULL: they do not lie in one
 * piece, or cannot be had; then nothing was taken, and ps_run_source_read has them, or the error. */
const uint8_t *ps_run_source_lend(ps_run_source *source, size_t len);
/* The reader's thread calls tick(arg) about every 50 ms while it waits for a range, and gives up with what
 * that says. Before the first read. */
void ps_run_source_on_wait(ps_run_source *source, int (*tick)(void *arg), void *arg);
/* Also in the middle: within a second. NULL is fine. */
void ps_run_source_free(ps_run_source *source);

#endif
