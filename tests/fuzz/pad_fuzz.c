/* Bytes of a pad's fixed fields, and behind them of what is sealed in it: as they came, and signed and sealed
 * by the pad's own keys, so that every field is read. What is accepted is canonical, and its sizes are those
 * of a record. */
#include <sodium.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "remote/keys_internal.h"
#include "remote/pad_format.h"
#include <padstone/error.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds)
{
	if (!holds)
		abort();
}

static ps_keys *keys_of_all(void)
{
	static ps_keys *keys;
	static const uint8_t user_key[PS_KEY] = {1, 2, 3};

	if (keys == NULL)
		must(ps_keys_new(user_key, "fuzz", &keys) == PS_OK);
	return keys;
}

static void must_be_sound(const struct ps_pad_header *header, const uint8_t *record, size_t len)
{
	struct pad_fixed again;
	uint32_t last = header->segments - 1;

	pad_fixed_encode(&header->plan, header->public_key, header->payload, &again);
	must(memcmp(&again, record, sizeof(again)) == 0);
	must(header->segments >= 1 && header->segments <= PS_PAD_SEGMENTS && header->bytes <= len);
	must(ps_pad_segment_offset(header, last) + ps_pad_segment_bytes(header, last) ==
	     ps_pad_record_bytes(header->payload));
}

static void try_as_it_is(const uint8_t *record, size_t len)
{
	struct ps_pad_header header;
	struct ps_pad_name name = {{0}};

	if (len >= sizeof(struct pad_fixed))
		ps_pad_name_of(record + offsetof(struct pad_fixed, public_key), &name);
	if (ps_pad_open_header(record, len, &name, &header) == PS_OK)
		must_be_sound(&header, record, len);
}

/* A record of one segment, of up to 64 KiB, around the input. */
static size_t make_record(const uint8_t *data, size_t size, uint8_t *record)
{
	struct pad_associated associated = {0};
	struct pad_fixed *fixed = &associated.fixed;
	uint8_t public_key[32], secret_key[PS_SECRET_KEY], key[PS_KEY], nonce[24];
	uint8_t message[sizeof(PAD_SIGN_PREFIX) + sizeof(struct pad_fixed) + 32],
	    *sealed = record + 128 + 32 + 64;
	size_t prefix = strlen(PAD_SIGN_PREFIX), fields = size < sizeof(*fixed) ? size : sizeof(*fixed);
	struct ps_serial serial;
	uint32_t payload, plain;

	memcpy(fixed, data, fields);
	memcpy(fixed->magic, PAD_MAGIC, sizeof(fixed->magic));
	fixed->suite = ps_set16(PAD_SUITE);
	memcpy(serial.bytes, fixed->serial, PS_SERIAL);
	must(ps_keys_sign_pair(keys_of_all(), &serial, public_key, secret_key) == PS_OK);
	memcpy(fixed->public_key, public_key, sizeof(public_key));
	payload = ps_get32(fixed->payload) <= PS_PAD_SEGMENT ? ps_get32(fixed->payload) : 4096;
	plain = PS_PAD_PREAMBLE + payload;
	memset(sealed, 0, plain);
	memcpy(sealed, data + fields, size - fields < plain ? size - fields : plain);
	ps_keys_content_key(keys_of_all(), &serial, ps_get32(fixed->generation), key);
	pad_segment_nonce(fixed->nonce, 0, nonce);
	crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, NULL, sealed, plain, (const uint8_t *)&associated,
	                                           sizeof(associated), NULL, nonce, key);
	memcpy(record, fixed, sizeof(*fixed));
	crypto_generichash(record + 128, 32, sealed, plain + PAD_TAG, NULL, 0);
	memcpy(message, PAD_SIGN_PREFIX, prefix);
	memcpy(message + prefix, record, 128 + 32);
	crypto_sign_detached(record + 128 + 32, NULL, message, prefix + 128 + 32, secret_key);
	return 128 + 32 + 64 + plain + PAD_TAG;
}

static void try_opening(uint8_t *record, size_t len)
{
	static uint8_t out[PS_PAD_SEGMENT];
	struct ps_pad_reader reader = {.keys = keys_of_all()};
	struct ps_pad_header header;
	struct ps_pad_contents contents;
	struct ps_pad_name name;

	ps_pad_name_of(record + offsetof(struct pad_fixed, public_key), &name);
	if (ps_pad_open_header(record, len, &name, &header) != PS_OK)
		return;
	must_be_sound(&header, record, len);
	if (ps_pad_verify(record, len, &name, &header) != PS_OK)
		return;
	if (ps_pad_open(&reader, &header, record, len, out, &contents) != PS_OK)
		return;
	must(ps_pad_padded(contents.length) == header.payload &&
	     contents.description_len <= PS_PAD_DESCRIPTION);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *record = malloc(ps_pad_record_bytes(PS_PAD_SEGMENT)), *exact;
	size_t len;

	if (record == NULL)
		return 0;
	try_as_it_is(data, size);
	len = make_record(data, size, record);
	exact = malloc(len); /* and no longer: a sanitizer sees every step too far */
	if (exact != NULL) {
		memcpy(exact, record, len);
		try_opening(exact, len);
	}
	free(exact);
	free(record);
	return 0;
}
