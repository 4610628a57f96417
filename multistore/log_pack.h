/* A cut packed into memory, for the log: everything that it gives, as one pack. */
#ifndef PS_LOG_PACK_H
#define PS_LOG_PACK_H

#include "multistore/pack.h"

struct ps_log_pack {
	struct ps_memory *memory; /* the caller's; all else zero */
	uint8_t *bytes;
	size_t len, room;
	uint64_t objects, contents; /* gone ones counted; bytes of objects */
};

/* most: bytes of contents, and PS_ITEM_COST for each object. PS_EFULL: there is more. PS_ENOTFOUND: the cut
 * gives nothing. PS_ENOMEM, and what the cut says. */
PS_CHECKED int ps_log_pack_cut(struct ps_log_pack *pack, struct ps_cut *cut,
                               const struct ps_pack_about *about, int level, uint64_t most);
void ps_log_pack_done(struct ps_log_pack *pack);

#endif
