/* Indexes and blocks of packs, fetched by range where the cache has them not. Any thread, several at once. */
#ifndef PS_PACK_LOADER_H
#define PS_PACK_LOADER_H

#include <padstone/remote.h>
#include <stdatomic.h>

#include "multistore/manifest.h"
#include "multistore/pack_cache.h"
#include "multistore/pack_fetchers.h"
#include "multistore/pack_streams.h"

struct ps_pack_loader {
	struct ps_memory *memory;
	ps_remote *r;
	struct ps_pack_cache *cache;
	struct ps_pack_streams streams;
	struct ps_pack_fetchers fetchers;
	uint64_t ahead_bytes;            /* in one request, beyond what is asked for */
	atomic_bool stopped;             /* what is under way ends within a second, with PS_ECANCELED */
	bool (*unwanted)(void); /* asked while something is: true does the same; NULL. Any thread */
	atomic_ullong reads, read_bytes; /* ranges of packs that were asked for, and their bytes */
	atomic_ullong losses; /* of these, those for which pads were gone, or later ones (loss.h) */
};

/* cache_bytes: what is kept decoded. PS_ENOMEM. */
PS_CHECKED int ps_pack_loader_init(struct ps_pack_loader *l, struct ps_memory *memory, ps_remote *r,
                                   size_t cache_bytes);
void ps_pack_loader_done(struct ps_pack_loader *l);
/* Stopped, or said to be unwanted. */
bool ps_pack_loader_ends(struct ps_pack_loader *l);

/* All of them, with the name of the pack: what the remote said; PS_ESUPERSEDED: it is not there any more;
 * PS_ECORRUPT: it is not what the manifest says. *held is released by the caller (ps_pack_cache_release). */

PS_CHECKED int ps_pack_load_index(struct ps_pack_loader *l, const struct ps_push_manifest_pack *pack,
                                  struct ps_cached **held);
/* A block, and with it, in the same request, those behind it up to `wanted` that are not there yet, as far as
 * it is worth it; and more behind them for who goes through the pack (pack_streams.h). */
PS_CHECKED int ps_pack_load_block(struct ps_pack_loader *l, const struct ps_pack_index *index, uint32_t block,
                                  uint32_t wanted, struct ps_cached **held);

/* Fetched by others while the caller goes on: an index; blocks from `first` to `last`, those that lie side by
 * side in one request. What is there, or being fetched, is left out. What fails is for who asks for it.
 * `index` is held by the caller. */
void ps_pack_begin_index(struct ps_pack_loader *l, const struct ps_push_manifest_pack *pack);
void ps_pack_begin_blocks(struct ps_pack_loader *l, const struct ps_pack_index *index, uint32_t first,
                          uint32_t last);

/* What the cache has: *held NULL where it has not. Nothing is fetched, and nobody is waited for. */
PS_CHECKED int ps_pack_peek_index(struct ps_pack_loader *l, const struct ps_push_manifest_pack *pack,
                                  struct ps_cached **held);
struct ps_cached *ps_pack_peek_block(struct ps_pack_loader *l, const struct ps_pack_index *index,
                                     uint32_t block);

#endif
