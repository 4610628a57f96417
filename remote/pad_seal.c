/* Sealing: payload to record in one pass, then the header over the segments' hashes. */
#include <sodium.h>
#include <stddef.h>
#include <string.h>
#include <xxhash.h>

#include "base/fail.h"
#include "remote/keys_internal.h"
#include "remote/pad_format.h"

static int check_plan(const struct ps_pad_plan *plan)
{
	if (plan->generation == 0 || plan->counter == 0)
		return ps_fail(PS_EINVAL, "a pad's generation and counter begin with 1");
	if (plan->class > PS_PAD_PUBLIC_DATA || plan->role > PS_ROLE_TOMBSTONE)
		return ps_fail(PS_EINVAL, "no pad has class %u and role %u", plan->class, plan->role);
	if (plan->description_len > PS_PAD_DESCRIPTION)
		return ps_fail(PS_EINVAL, "a pad's description has up to %d bytes, not %u",
		               PS_PAD_DESCRIPTION, plan->description_len);
	return PS_OK;
}

/* All that is sealed in a pad but its payload, and all that it is bound to. */
static struct pad_preamble preamble_of(const struct ps_pad_plan *plan, size_t len)
{
	struct pad_preamble preamble = {.length = ps_set32((uint32_t)len),
	                                .description_len = ps_set16(plan->description_len)};

	memcpy(preamble.description, plan->description, plan->description_len);
	return preamble;
}

/* What a nonce depends on. */
struct nonce_fields {
	uint8_t random[32];
	struct pad_fixed fixed;
	struct pad_preamble preamble;
	ps_le64 low, high;
};

static void nonce_fields_of(const struct ps_pad_plan *plan, const void *payload, size_t len,
                            struct nonce_fields *fields)
{
	static const uint8_t no_key[32];
	struct ps_pad_plan unsealed = *plan;
	XXH128_hash_t content = XXH3_128bits(payload, len);

	memset(unsealed.nonce, 0, PS_PAD_NONCE);
	memset(fields->random, 0, sizeof(fields->random));
	pad_fixed_encode(&unsealed, no_key, ps_pad_padded(len), &fields->fixed);
	fields->preamble = preamble_of(plan, len);
	fields->low = ps_set64(content.low64);
	fields->high = ps_set64(content.high64);
}

/* The last bytes of a nonce: they tell other contents without sealing. All that makes this version of the pad
 * another goes in, so that no two versions with the same contents show the same bytes. */
static void nonce_mark(const uint8_t key[PS_KEY], const struct nonce_fields *fields,
                       uint8_t mark[PAD_NONCE_MARK])
{
	uint8_t hash[PS_KEY];

	ps_key_hash(key, "pad/contents", NULL, &fields->fixed,
	            sizeof(*fields) - offsetof(struct nonce_fields, fixed), hash);
	memcpy(mark, hash, PAD_NONCE_MARK);
}

/* Should the kernel draw the same bytes twice (a machine cloned or set back), then whatever is sealed
 * otherwise still changes the nonce. */
int ps_pad_nonce_new(const ps_keys *keys, struct ps_pad_plan *plan, const void *payload, size_t len)
{
	uint8_t key[PS_KEY], hash[PS_KEY];
	struct nonce_fields fields;
	int err = check_plan(plan);

	if (err != PS_OK)
		return err;
	nonce_fields_of(plan, payload, len, &fields);
	ps_keys_content_key(keys, &plan->serial, plan->generation, key);
	nonce_mark(key, &fields, plan->nonce + PAD_NONCE_DRAWN);
	randombytes_buf(fields.random, sizeof(fields.random));
	ps_key_hash(key, "pad/nonce", NULL, &fields, sizeof(fields), hash);
	memcpy(plan->nonce, hash, PAD_NONCE_DRAWN);
	sodium_memzero(key, sizeof(key));
	return PS_OK;
}

bool ps_pad_nonce_fits(const ps_keys *keys, const struct ps_pad_plan *plan, const void *payload, size_t len)
{
	uint8_t key[PS_KEY], mark[PAD_NONCE_MARK];
	struct nonce_fields fields;

	nonce_fields_of(plan, payload, len, &fields);
	ps_keys_content_key(keys, &plan->serial, plan->generation, key);
	nonce_mark(key, &fields, mark);
	sodium_memzero(key, sizeof(key));
	return memcmp(mark, plan->nonce + PAD_NONCE_DRAWN, sizeof(mark)) == 0;
}

static int check_size(size_t len, enum ps_pad_mode mode, const struct ps_net_buffer *buffer)
{
	uint32_t capacity = ps_pad_capacity(mode, UINT64_MAX);

	if (len > capacity)
		return ps_fail(PS_ERANGE, "%zu bytes into a pad of %u", len, capacity);
	if (ps_pad_record_bytes(len) > buffer->capacity)
		return ps_fail(PS_ERANGE, "a record of %u bytes into a buffer of %zu",
		               ps_pad_record_bytes(len), buffer->capacity);
	return PS_OK;
}

/* Puts what a segment seals in its place in the record, to be sealed there, unless the payload can be sealed
 * from where it is: only the first segment, and one that is padded, is copied. */
static const uint8_t *lay_out(const struct ps_pad_plan *plan, uint32_t segment, uint32_t room,
                              const uint8_t *payload, size_t len, uint8_t *at)
{
	size_t from = (size_t)segment * PS_PAD_SEGMENT;
	size_t here = len > from ? len - from : 0;
	uint8_t *start = at;

	if (here > room)
		here = room;
	if (segment > 0 && here == room)
		return payload + from;
	if (segment == 0) {
		struct pad_preamble preamble = preamble_of(plan, len);

		memcpy(at, &preamble, sizeof(preamble));
		at += sizeof(preamble);
	}
	if (here > 0)
		memcpy(at, payload + from, here);
	memset(at + here, 0, room - here);
	return start;
}

static void seal_segments(const uint8_t key[PS_KEY], const struct ps_pad_plan *plan,
                          const struct pad_fixed *fixed, const struct ps_pad_header *shape,
                          const uint8_t *payload, size_t len, uint8_t *record)
{
	struct pad_associated associated = {.fixed = *fixed};
	uint8_t nonce[24], *hash = record + sizeof(*fixed);

	for (uint32_t i = 0; i < shape->segments; i++, hash += PAD_HASH) {
		uint8_t *at = record + ps_pad_segment_offset(shape, i);
		uint32_t sealed = ps_pad_segment_bytes(shape, i);
		const uint8_t *plain = lay_out(plan, i, ps_pad_segment_payload(shape, i), payload, len, at);

		associated.segment = ps_set32(i);
		pad_segment_nonce(plan->nonce, i, nonce);
		crypto_aead_xchacha20poly1305_ietf_encrypt(at, NULL, plain, sealed - PAD_TAG,
		                                           (const uint8_t *)&associated, sizeof(associated),
		                                           NULL, nonce, key);
		crypto_generichash(hash, PAD_HASH, at, sealed, NULL, 0);
	}
}

static void sign_header(const uint8_t secret_key[PS_SECRET_KEY], uint8_t *record, uint32_t bytes)
{
	uint8_t message[sizeof(PAD_SIGN_PREFIX) - 1 + PS_PAD_HEADER_MAX];
	size_t prefix = sizeof(PAD_SIGN_PREFIX) - 1, signed_bytes = bytes - PAD_SIGNATURE;

	memcpy(message, PAD_SIGN_PREFIX, prefix);
	memcpy(message + prefix, record, signed_bytes);
	crypto_sign_detached(record + signed_bytes, NULL, message, prefix + signed_bytes, secret_key);
}

int ps_pad_seal(const ps_keys *keys, const struct ps_pad_plan *plan, const void *payload, size_t len,
                enum ps_pad_mode mode, struct ps_net_buffer *buffer, struct ps_pad_identity *identity)
{
	uint8_t public_key[32], secret_key[PS_SECRET_KEY], key[PS_KEY];
	struct ps_pad_header shape;
	struct pad_fixed fixed;
	int err = check_plan(plan);

	if (err == PS_OK)
		err = check_size(len, mode, buffer);
	if (err == PS_OK)
		err = ps_keys_sign_pair(keys, &plan->serial, public_key, secret_key);
	if (err != PS_OK)
		return err;
	pad_fixed_encode(plan, public_key, ps_pad_padded(len), &fixed);
	err = pad_fixed_decode(&fixed, &shape);
	if (err == PS_OK) {
		memcpy(buffer->bytes, &fixed, sizeof(fixed));
		ps_keys_content_key(keys, &plan->serial, plan->generation, key);
		seal_segments(key, plan, &fixed, &shape, payload, len, buffer->bytes);
		sign_header(secret_key, buffer->bytes, shape.bytes);
		buffer->len = ps_pad_record_bytes(len);
		identity->counter = plan->counter;
		crypto_generichash(identity->hash, sizeof(identity->hash), buffer->bytes, shape.bytes, NULL,
		                   0);
	}
	sodium_memzero(key, sizeof(key));
	sodium_memzero(secret_key, sizeof(secret_key));
	return err;
}
