/* Log pads: what was committed behind the newest state, as slots of the network (remote/slot.h), one after
 * another. A group of them holds one pack, all that was changed after `since`, up to the cut that `info`
 * tells of; its bytes are in multistore/FORMAT.md. */
#ifndef PS_LOG_PAD_H
#define PS_LOG_PAD_H

#include "multistore/pack.h"
#include "remote/slot.h"

enum { PS_LOG_PAD_HEAD = 216, PS_LOG_SESSION = 16 };

/* Where a log goes on: a slot, and what its pad has to say that was before. */
struct ps_log_place {
	struct ps_remote_slot_at at;
	uint8_t before[PS_SLOT_HASH]; /* the hash of the slot before; of a log's first one what its beginning
	                                 says */
	struct ps_pad_name name; /* of its pad, for those who cannot derive it; zero: nobody ships a log */
};

bool ps_log_place_there(const struct ps_log_place *place);

struct ps_log_pad {
	struct ps_remote_slot_at at;
	uint8_t session[PS_LOG_SESSION]; /* of the process that wrote it; not zero. Also the pack's mark */
	uint8_t before[PS_SLOT_HASH];
	struct ps_pad_name next; /* of the pad of the next slot */
	uint64_t since;
	struct ps_cut_info info; /* of the cut; info.here.interval is its upto */
	uint64_t time_ns;        /* when it was cut, by the clock of who wrote it */
	uint32_t part;           /* of its group, from 0 */
	bool last;
	uint64_t pack_bytes, offset; /* of the whole pack; where this part lies in it */
	uint32_t bytes;              /* of it */
};

void ps_log_pad_encode(const struct ps_log_pad *pad, uint8_t head[PS_LOG_PAD_HEAD]);
/* Contents of `len` bytes: a head, and the part behind it. PS_ECORRUPT, PS_EVERSION. */
PS_CHECKED int ps_log_pad_decode(const uint8_t *contents, size_t len, struct ps_log_pad *pad);
/* The pack that its group holds. */
struct ps_pack_about ps_log_pad_about(const struct ps_log_pad *pad);

#endif
