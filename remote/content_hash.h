/* Whether contents are the same: a chunk's hash, and a value's, which is BLAKE2b-256 over its chunks' hashes.
 *
 * What is public is hashed by BLAKE2b-256, since readers without a key check it. What is private is hashed by
 * a keyed function that takes a quarter of the time, for a put hashes as much as it seals: Poly1305 of each
 * 64 KiB under a key that only this store's writers have, then BLAKE2b-256 keyed by another over all tags.
 * Poly1305 is an almost universal hash: whoever does not have the key finds two chunks with one hash with a
 * chance of 2^-91 a try, and the keyed hash over the tags keeps the key, and what the contents were, from
 * whoever sees hashes. Who has the key makes two chunks with one hash at will: so readers do not have it, for
 * else one could hand a writer contents that a put would take for what is there already. */
#ifndef PS_CONTENT_HASH_H
#define PS_CONTENT_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "remote/keys.h"

enum { PS_CONTENT_HASH = 32 };

/* Whether these keys can hash what is in pads of this class (enum ps_pad_class). */
bool ps_chunk_hash_known(const ps_keys *keys, unsigned class);
/* Of a chunk in pads of a class that they can: up to the largest pad's payload. Any thread. */
void ps_chunk_hash(const ps_keys *keys, unsigned class, const void *chunk, size_t len,
                   uint8_t hash[PS_CONTENT_HASH]);

#endif
