/* Indexes and blocks of packs that were read last, decoded. What several threads want at once one of them
 * loads. */
#ifndef PS_PACK_CACHE_H
#define PS_PACK_CACHE_H

#include <stdbool.h>

#include "multistore/pack_block.h"

enum { PS_CACHE_SENTENCE = 512 };
#define PS_CACHE_INDEX UINT32_MAX /* a pack's index, as its block of this number */

struct ps_cache_key {
	uint8_t mark[PS_PACK_MARK];
	uint32_t number, block;
};

enum ps_cached_state { PS_CACHED_LOADING = 1, PS_CACHED_THERE, PS_CACHED_FAILED };

/* index or block may be read by who holds it; all else is the cache's. */
struct ps_cached {
	struct ps_cache_key key;
	union {
		struct ps_pack_index index;
		struct ps_pack_block block;
	};
	size_t weight;
	uint32_t holders;
	uint32_t mark; /* 0: none */
	enum ps_cached_state state;
	int err;
	char sentence[PS_CACHE_SENTENCE];
	struct ps_cached *same_hash, *newer, *older;
};

struct ps_pack_cache;

/* budget: bytes of what nobody holds, at most. PS_ENOMEM. */
PS_CHECKED int ps_pack_cache_new(struct ps_memory *memory, size_t budget, struct ps_pack_cache **cache);
/* Nothing is held any more. NULL is fine. */
void ps_pack_cache_free(struct ps_pack_cache *cache);

/* Held until it is released. *load: it is not there, and the caller is the one to load it:
 * ps_pack_cache_loaded or ps_pack_cache_failed. Else it is there; who came first may be waited for, and its
 * failure is this call's. PS_ENOMEM. */
PS_CHECKED int ps_pack_cache_hold(struct ps_pack_cache *cache, const struct ps_cache_key *key,
                                  struct ps_cached **held, bool *load);
/* Held for loading, if it is neither there nor being loaded; never waits. NULL: it is, or there is no memory.
 */
struct ps_cached *ps_pack_cache_claim(struct ps_pack_cache *cache, const struct ps_cache_key *key);
/* Held, if it is there; never waits. */
struct ps_cached *ps_pack_cache_peek(struct ps_pack_cache *cache, const struct ps_cache_key *key);
/* The caller has filled in index or block, which takes so many bytes. It still holds it. */
void ps_pack_cache_loaded(struct ps_pack_cache *cache, struct ps_cached *held, size_t weight);
/* With this thread's sentence; the caller does not hold it any more. Who comes next tries again. */
void ps_pack_cache_failed(struct ps_pack_cache *cache, struct ps_cached *held, int err);
void ps_pack_cache_release(struct ps_pack_cache *cache, struct ps_cached *held); /* NULL is fine */

/* Whoever comes to it first is told this number (not 0), once. It is held. */
void ps_pack_cache_mark(struct ps_pack_cache *cache, struct ps_cached *held, uint32_t mark);
/* 0: it is not there, or not marked; it may be being loaded. */
uint32_t ps_pack_cache_take_mark(struct ps_pack_cache *cache, const struct ps_cache_key *key);

#endif
