#include "remote/content_hash.h"

#include <assert.h>
#include <sodium.h>
#include <sys/param.h>

#include "base/bytes.h"
#include "remote/pad.h"

struct chunk_tags {
	ps_le64 len;
	uint8_t tag[PS_PAD_SEGMENTS][crypto_onetimeauth_BYTES];
};

static_assert(PS_KEY == crypto_onetimeauth_KEYBYTES, "a derived key is a Poly1305 key");

bool ps_chunk_hash_known(const ps_keys *keys, unsigned class)
{
	return class == PS_PAD_PUBLIC_DATA || ps_keys_can_write(keys);
}

void ps_chunk_hash(const ps_keys *keys, unsigned class, const void *chunk, size_t len,
                   uint8_t hash[PS_CONTENT_HASH])
{
	struct chunk_tags tags = {.len = ps_set64(len)};
	uint8_t key[PS_KEY];
	unsigned segments = 0;

	if (class == PS_PAD_PUBLIC_DATA) {
		(void)crypto_generichash(hash, PS_CONTENT_HASH, chunk, len, NULL, 0);
		return;
	}
	assert(len <= (size_t)PS_PAD_SEGMENTS * PS_PAD_SEGMENT);
	ps_keys_derive_writing(keys, "contents/segment", NULL, 0, key);
	for (size_t at = 0; at < len; at += PS_PAD_SEGMENT)
		(void)crypto_onetimeauth(tags.tag[segments++], (const uint8_t *)chunk + at,
		                         MIN(len - at, (size_t)PS_PAD_SEGMENT), key);
	sodium_memzero(key, sizeof(key));
	ps_keys_derive_writing(keys, "contents", &tags, sizeof(tags.len) + segments * sizeof(tags.tag[0]),
	                       hash);
}
