/* How this machine has used a store's network, in the file `usage` of the store's state folder: requests by
 * kind, of all processes that have closed it, and the last drill. Figures, and no proof: the file is written
 * whole and renamed, but not synced, so a loss of power may take it back, or make it begin anew. Who has the
 * store open is alone with it. */
#ifndef PS_USAGE_H
#define PS_USAGE_H

#include <padstone/remote.h>

#include "remote/workers.h"

/* PS_ECORRUPT: these are no bytes of ours; usage is untouched. */
int ps_usage_decode(const void *bytes, size_t len, struct ps_remote_usage *usage)
    __attribute__((warn_unused_result));
enum { PS_USAGE_BYTES = 112 };
void ps_usage_encode(const struct ps_remote_usage *usage, uint8_t out[PS_USAGE_BYTES]);
/* Of one process. */
struct ps_remote_requests ps_requests_by_kind(const struct ps_workers_figures *figures);
/* At the end of r: what it has asked for is added. What fails costs only the figures. */
void ps_usage_close(ps_remote *r);

#endif
