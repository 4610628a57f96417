/* Verifying and opening. The order is the rule of this layer: sizes, name, signature; then what is expected;
 * then each segment's hash; then its seal. */
#include <sodium.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "remote/keys_internal.h"
#include "remote/pad_format.h"

/* How a pad is called in sentences: the beginning of its name. */
#define NAME_FORMAT "pad %02x%02x%02x%02x"
#define NAME_BYTES(name) (name)->bytes[0], (name)->bytes[1], (name)->bytes[2], (name)->bytes[3]

static int check_signature(const uint8_t *bytes, const struct ps_pad_header *header)
{
	uint8_t message[sizeof(PAD_SIGN_PREFIX) - 1 + PS_PAD_HEADER_MAX];
	size_t prefix = sizeof(PAD_SIGN_PREFIX) - 1, signed_bytes = header->bytes - PAD_SIGNATURE;

	memcpy(message, PAD_SIGN_PREFIX, prefix);
	memcpy(message + prefix, bytes, signed_bytes);
	if (crypto_sign_verify_detached(bytes + signed_bytes, message, prefix + signed_bytes,
	                                header->public_key) != 0)
		return ps_fail(PS_EAUTH, "the signature does not match");
	return PS_OK;
}

static int decode_header(const uint8_t *bytes, size_t len, const struct ps_pad_name *name,
                         struct ps_pad_header *header)
{
	struct ps_pad_name own;
	struct pad_fixed fixed;
	int err;

	if (len < sizeof(fixed))
		return ps_fail(PS_EAUTH, "%zu bytes are no pad record", len);
	memcpy(&fixed, bytes, sizeof(fixed));
	err = pad_fixed_decode(&fixed, header);
	if (err != PS_OK)
		return err;
	if (len < header->bytes)
		return ps_fail(PS_EAUTH, "a pad record that ends after %zu bytes of its header", len);
	ps_pad_name_of(header->public_key, &own);
	if (sodium_memcmp(own.bytes, name->bytes, PS_PAD_NAME) != 0)
		return ps_fail(PS_EAUTH, "another pad lies under this name");
	err = check_signature(bytes, header);
	if (err != PS_OK)
		return err;
	memcpy(header->hashes, bytes + sizeof(fixed), (size_t)header->segments * PAD_HASH);
	header->identity.counter = header->plan.counter;
	crypto_generichash(header->identity.hash, sizeof(header->identity.hash), bytes, header->bytes, NULL,
	                   0);
	return PS_OK;
}

/* The sentence of the failure, with the pad's name before it. */
static int named(const struct ps_pad_name *name, int err)
{
	char sentence[PS_NET_SENTENCE];
	size_t len = strlen(ps_last_error_message());

	if (len >= sizeof(sentence))
		len = sizeof(sentence) - 1;
	memcpy(sentence, ps_last_error_message(), len);
	sentence[len] = '\0';
	return ps_fail(err, NAME_FORMAT ": %s", NAME_BYTES(name), sentence);
}

int ps_pad_open_header(const void *bytes, size_t len, const struct ps_pad_name *name,
                       struct ps_pad_header *header)
{
	struct ps_pad_header opened;
	int err = ps_sodium_ready();

	if (err != PS_OK)
		return err;
	err = decode_header(bytes, len, name, &opened);
	if (err != PS_OK)
		return named(name, err);
	memset(opened.hashes[opened.segments], 0, (size_t)(PS_PAD_SEGMENTS - opened.segments) * PAD_HASH);
	*header = opened;
	return PS_OK;
}

static int check_hash(const struct ps_pad_header *header, uint32_t segment, const uint8_t *sealed)
{
	uint8_t hash[PAD_HASH];

	crypto_generichash(hash, sizeof(hash), sealed, ps_pad_segment_bytes(header, segment), NULL, 0);
	if (sodium_memcmp(hash, header->hashes[segment], sizeof(hash)) != 0)
		return ps_fail(PS_EAUTH, "segment %u is not the one that was signed", segment);
	return PS_OK;
}

static int check_length(const struct ps_pad_header *header, size_t len)
{
	if (len != ps_pad_record_bytes(header->payload))
		return ps_fail(PS_EAUTH, "a pad record of %zu bytes that should have %u", len,
		               ps_pad_record_bytes(header->payload));
	return PS_OK;
}

int ps_pad_verify(const void *bytes, size_t len, const struct ps_pad_name *name, struct ps_pad_header *header)
{
	struct ps_pad_header opened;
	int err = ps_pad_open_header(bytes, len, name, &opened);

	if (err != PS_OK)
		return err;
	err = check_length(&opened, len);
	for (uint32_t i = 0; i < opened.segments && err == PS_OK; i++)
		err = check_hash(&opened, i, (const uint8_t *)bytes + ps_pad_segment_offset(&opened, i));
	if (err != PS_OK)
		return named(name, err);
	*header = opened;
	return PS_OK;
}

static int check_version(const struct ps_pad_header *header, const struct ps_pad_expected *expected)
{
	unsigned long long there = header->identity.counter, known = expected->identity.counter;
	bool any = sodium_is_zero(expected->identity.hash, sizeof(expected->identity.hash));

	if (there < known)
		return ps_fail(PS_EROLLBACK, "version %llu, but %llu is known", there, known);
	if (there > known && !expected->newer)
		return ps_fail(PS_ESUPERSEDED, "version %llu, but %llu is looked for", there, known);
	if (there == known && !any &&
	    sodium_memcmp(header->identity.hash, expected->identity.hash, sizeof(header->identity.hash)) != 0)
		return ps_fail(PS_EFORK, "two records of version %llu", there);
	return PS_OK;
}

static int check_place(const struct ps_pad_header *header, const struct ps_pad_expected *expected)
{
	if (sodium_memcmp(header->plan.serial.bytes, expected->serial.bytes, PS_SERIAL) != 0)
		return ps_fail(PS_EAUTH, "another serial");
	if (sodium_memcmp(header->plan.network, expected->network, sizeof(expected->network)) != 0)
		return ps_fail(PS_EAUTH, "a pad of another network");
	return PS_OK;
}

/* Class, role and generation come after the version: an old version of a pad that was something else then is
 * told as old. */
static int check_use(const struct ps_pad_header *header, const struct ps_pad_expected *expected)
{
	const struct ps_pad_plan *plan = &header->plan;

	if (plan->generation != expected->generation)
		return ps_fail(PS_EAUTH, "generation %u, not %u", plan->generation, expected->generation);
	if (plan->class != expected->class || plan->role != expected->role)
		return ps_fail(PS_EAUTH, "class %u and role %u, not %u and %u", plan->class, plan->role,
		               expected->class, expected->role);
	return PS_OK;
}

int ps_pad_check(const struct ps_pad_header *header, const struct ps_pad_expected *expected)
{
	struct ps_pad_name name;
	int err = check_place(header, expected);

	if (err == PS_OK)
		err = check_version(header, expected);
	if (err == PS_OK)
		err = check_use(header, expected);
	if (err == PS_OK)
		return PS_OK;
	ps_pad_name_of(header->public_key, &name);
	return named(&name, err);
}

static void reader_key(const struct ps_pad_reader *reader, const struct ps_pad_header *header,
                       uint8_t key[PS_KEY])
{
	if (reader->content_key != NULL)
		memcpy(key, reader->content_key, PS_KEY);
	else
		ps_keys_content_key(reader->keys, &header->plan.serial, header->plan.generation, key);
}

static int unseal(const uint8_t key[PS_KEY], const struct ps_pad_header *header, uint32_t segment,
                  const uint8_t *sealed, uint8_t *out)
{
	struct pad_associated associated = {.segment = ps_set32(segment)};
	uint8_t nonce[24];

	pad_fixed_encode(&header->plan, header->public_key, header->payload, &associated.fixed);
	pad_segment_nonce(header->plan.nonce, segment, nonce);
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(
	        out, NULL, NULL, sealed, ps_pad_segment_bytes(header, segment), (const uint8_t *)&associated,
	        sizeof(associated), nonce, key) != 0)
		return ps_fail(PS_EAUTH, "segment %u does not open with this key", segment);
	return PS_OK;
}

/* Whoever has the key wrote this, so nothing here is hostile; still it is read as FORMAT.md has it, or not at
 * all. */
static int decode_preamble(const uint8_t *bytes, const struct ps_pad_header *header,
                           struct ps_pad_contents *contents)
{
	struct pad_preamble preamble;
	uint32_t length;
	uint16_t described;

	memcpy(&preamble, bytes, sizeof(preamble));
	length = ps_get32(preamble.length);
	described = ps_get16(preamble.description_len);
	if (ps_pad_padded(length) != header->payload || described > PS_PAD_DESCRIPTION ||
	    !sodium_is_zero(preamble.reserved, sizeof(preamble.reserved)) ||
	    !sodium_is_zero(preamble.description + described, PS_PAD_DESCRIPTION - described))
		return ps_fail(PS_ECORRUPT, "an authentic pad with impossible contents");
	if (contents != NULL) {
		contents->length = length;
		contents->description_len = described;
		memcpy(contents->description, preamble.description, PS_PAD_DESCRIPTION);
	}
	return PS_OK;
}

static int open_segment(const uint8_t key[PS_KEY], const struct ps_pad_header *header, uint32_t segment,
                        uint8_t *sealed, uint8_t *out, struct ps_pad_contents *contents)
{
	int err = check_hash(header, segment, sealed);

	if (err != PS_OK || segment > 0)
		return err != PS_OK ? err : unseal(key, header, segment, sealed, out);
	err = unseal(key, header, 0, sealed, sealed);
	if (err == PS_OK)
		err = decode_preamble(sealed, header, contents);
	if (err == PS_OK)
		memcpy(out, sealed + PS_PAD_PREAMBLE, ps_pad_segment_payload(header, 0));
	return err;
}

int ps_pad_open_segment(const struct ps_pad_reader *reader, const struct ps_pad_header *header,
                        uint32_t segment, uint8_t *sealed, size_t len, uint8_t *out,
                        struct ps_pad_contents *contents)
{
	struct ps_pad_name name;
	uint8_t key[PS_KEY];
	int err;

	ps_pad_name_of(header->public_key, &name);
	if (segment >= header->segments)
		return ps_fail(PS_EINVAL, NAME_FORMAT ": no segment %u of %u", NAME_BYTES(&name), segment,
		               header->segments);
	if (len != ps_pad_segment_bytes(header, segment))
		return ps_fail(PS_EAUTH, NAME_FORMAT ": segment %u has %zu bytes instead of %u",
		               NAME_BYTES(&name), segment, len, ps_pad_segment_bytes(header, segment));
	reader_key(reader, header, key);
	err = open_segment(key, header, segment, sealed, out, contents);
	sodium_memzero(key, sizeof(key));
	return err == PS_OK ? PS_OK : named(&name, err);
}

static int open_all(const uint8_t key[PS_KEY], const struct ps_pad_header *header, uint8_t *record,
                    uint8_t *out, struct ps_pad_contents *contents)
{
	int err = PS_OK;

	for (uint32_t i = 0; i < header->segments && err == PS_OK; i++)
		err = open_segment(key, header, i, record + ps_pad_segment_offset(header, i),
		                   out + (size_t)i * PS_PAD_SEGMENT, contents);
	/* Not secret: what it is, the pad's format says. */
	if (err == PS_OK && !ps_all_zero(out + contents->length, header->payload - contents->length))
		err = ps_fail(PS_ECORRUPT, "an authentic pad whose padding is not zero");
	return err;
}

int ps_pad_open(const struct ps_pad_reader *reader, const struct ps_pad_header *header, uint8_t *record,
                size_t len, uint8_t *out, struct ps_pad_contents *contents)
{
	struct ps_pad_contents opened;
	struct ps_pad_name name;
	uint8_t key[PS_KEY];
	int err = check_length(header, len);

	if (err == PS_OK) {
		reader_key(reader, header, key);
		err = open_all(key, header, record, out, &opened);
		sodium_memzero(key, sizeof(key));
		if (err != PS_OK)
			memset(out, 0, header->payload);
	}
	if (err != PS_OK) {
		ps_pad_name_of(header->public_key, &name);
		return named(&name, err);
	}
	if (contents != NULL)
		*contents = opened;
	return PS_OK;
}
