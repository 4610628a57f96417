/* Who goes through a pack block by block is read ahead of: more with each request that begins where the one
 * before ended, so that a large object, or objects in the order of their ids, come in requests of up to
 * 64 blocks, and who asks here and there pays for nothing beyond. While a range is read the next one is on
 * its way. */
#ifndef PS_PACK_STREAMS_H
#define PS_PACK_STREAMS_H

#include <pthread.h>

#include "multistore/pack_index.h"

enum { PS_PACK_STREAMS = 32, PS_PACK_AHEAD_BLOCKS = 64 };

/* One that was read last ended before block `next`. */
struct ps_pack_stream {
	uint8_t mark[PS_PACK_MARK];
	uint32_t number, next;
	bool ended;     /* the pack did: it goes on with the next pack's first block */
	uint32_t ahead; /* blocks, beyond what was asked for */
	uint64_t used;  /* when; 0: nobody's */
};

struct ps_pack_streams {
	pthread_mutex_t lock; /* a leaf; guards all below */
	uint64_t clock;
	uint32_t most; /* blocks of a range, of all that are read at the time */
	struct ps_pack_stream stream[PS_PACK_STREAMS];
};

/* most: half of the blocks that are kept until they are asked for, since a range is kept and the next one is
 * fetched; streams share them. PS_ENOMEM. */
PS_CHECKED int ps_pack_streams_init(struct ps_pack_streams *s, uint32_t most);
void ps_pack_streams_done(struct ps_pack_streams *s);
/* Blocks from `block` to `wanted` are about to be asked for. The last one that is worth asking for as well,
 * in the same pack. */
uint32_t ps_pack_streams_follow(struct ps_pack_streams *s, const struct ps_pack_index *index, uint32_t block,
                                uint32_t wanted);
/* Whether somebody goes through the pack, and was given all before `block`: then *last is that of the range
 * that is worth asking for next, before anybody has come to it. */
bool ps_pack_streams_next(struct ps_pack_streams *s, const struct ps_pack_index *index, uint32_t block,
                          uint32_t *last);
/* Of these, those before `next` were. */
void ps_pack_streams_went(struct ps_pack_streams *s, const struct ps_pack_index *index, uint32_t block,
                          uint32_t next);

#endif
