/* The bytes of a run's packs, one after another, fetched ahead by a thread. */
#ifndef PS_RUN_SOURCE_H
#define PS_RUN_SOURCE_H

#include <padstone/remote.h>

#include "multistore/manifest.h"

typedef struct ps_run_source ps_run_source;

/* chunk: bytes of one request of the remote; two of them are held. The packs stay as they are until it is
 * freed. PS_ENOMEM. */
PS_CHECKED int ps_run_source_new(struct ps_memory *memory, ps_remote *r,
                                 const struct ps_push_manifest_pack *packs, uint32_t count, size_t chunk,
                                 ps_run_source **source);
/* Fills exactly len bytes. What the remote said, with the pack's name; PS_ECORRUPT: a pack is shorter than it
 * should be. */
PS_CHECKED int ps_run_source_read(ps_run_source *source, void *buf, size_t len);
/* Also in the middle: within a second. NULL is fine. */
void ps_run_source_free(ps_run_source *source);

#endif
