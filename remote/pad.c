/* Sizes, names and fixed fields of pad records. */
#include "remote/pad.h"

#include <sodium.h>
#include <string.h>

#include "base/fail.h"
#include "remote/keys_internal.h"
#include "remote/pad_format.h"

uint32_t ps_pad_padded(uint64_t length)
{
	uint32_t padded = PAD_PAYLOAD_MIN;

	if (length > PAD_PAYLOAD_MAX)
		return 0;
	while (padded < length)
		padded *= 2;
	return padded;
}

static uint32_t segments_of(uint32_t padded)
{
	return (padded + PS_PAD_SEGMENT - 1) / PS_PAD_SEGMENT;
}

static uint32_t header_bytes(uint32_t padded)
{
	return (uint32_t)sizeof(struct pad_fixed) + segments_of(padded) * PAD_HASH + PAD_SIGNATURE;
}

uint32_t ps_pad_header_bytes(uint64_t length)
{
	uint32_t padded = ps_pad_padded(length);

	return padded != 0 ? header_bytes(padded) : 0;
}

uint32_t ps_pad_record_bytes(uint64_t length)
{
	uint32_t padded = ps_pad_padded(length);

	if (padded == 0)
		return 0;
	return header_bytes(padded) + PS_PAD_PREAMBLE + padded + segments_of(padded) * PAD_TAG;
}

uint32_t ps_pad_capacity(enum ps_pad_mode mode, uint64_t largest)
{
	static const uint32_t modes[] = {128 << 10, 2 << 20, 8 << 20};
	uint32_t payload;

	if ((unsigned)mode >= sizeof(modes) / sizeof(*modes))
		return 0;
	payload = modes[mode];
	while (payload >= PAD_PAYLOAD_MIN && ps_pad_record_bytes(payload) > largest)
		payload /= 2;
	return payload >= PAD_PAYLOAD_MIN ? payload : 0;
}

uint32_t ps_pad_segment_payload(const struct ps_pad_header *header, uint32_t segment)
{
	uint32_t from = segment * PS_PAD_SEGMENT, rest = header->payload - from;

	return rest < PS_PAD_SEGMENT ? rest : PS_PAD_SEGMENT;
}

uint32_t ps_pad_segment_bytes(const struct ps_pad_header *header, uint32_t segment)
{
	return ps_pad_segment_payload(header, segment) + PAD_TAG + (segment == 0 ? PS_PAD_PREAMBLE : 0);
}

uint32_t ps_pad_segment_offset(const struct ps_pad_header *header, uint32_t segment)
{
	uint32_t before = segment * (PS_PAD_SEGMENT + PAD_TAG);

	return header->bytes + before + (segment > 0 ? PS_PAD_PREAMBLE : 0);
}

int ps_pad_span(const struct ps_pad_header *header, uint64_t from, uint64_t to, struct ps_pad_span *span)
{
	struct ps_pad_span found = {0};

	if (from > to || to > header->payload)
		return ps_fail(PS_ERANGE, "a pad of %u bytes has no bytes %llu to %llu", header->payload,
		               (unsigned long long)from, (unsigned long long)to);
	if (from < to) {
		uint32_t last = (uint32_t)((to - 1) / PS_PAD_SEGMENT);

		found.first = (uint32_t)(from / PS_PAD_SEGMENT);
		found.end = last + 1;
		found.offset = ps_pad_segment_offset(header, found.first);
		found.bytes =
		    ps_pad_segment_offset(header, last) + ps_pad_segment_bytes(header, last) - found.offset;
	}
	*span = found;
	return PS_OK;
}

void ps_pad_name_of(const uint8_t public_key[32], struct ps_pad_name *name)
{
	ps_key_hash(NULL, "pad/name", NULL, public_key, 32, name->bytes);
}

int ps_pad_name(const ps_keys *keys, const struct ps_serial *serial, struct ps_pad_name *name)
{
	uint8_t public_key[32];
	int err = ps_keys_public_key(keys, serial, public_key);

	if (err == PS_OK)
		ps_pad_name_of(public_key, name);
	return err;
}

void pad_fixed_encode(const struct ps_pad_plan *plan, const uint8_t public_key[32], uint32_t payload,
                      struct pad_fixed *fixed)
{
	memset(fixed, 0, sizeof(*fixed));
	memcpy(fixed->magic, PAD_MAGIC, sizeof(fixed->magic));
	fixed->suite = ps_set16(PAD_SUITE);
	fixed->class = plan->class;
	fixed->role = plan->role;
	fixed->generation = ps_set32(plan->generation);
	memcpy(fixed->network, plan->network, sizeof(fixed->network));
	memcpy(fixed->serial, plan->serial.bytes, PS_SERIAL);
	memcpy(fixed->public_key, public_key, sizeof(fixed->public_key));
	fixed->counter = ps_set64(plan->counter);
	fixed->epoch = ps_set64(plan->epoch);
	fixed->payload = ps_set32(payload);
	memcpy(fixed->nonce, plan->nonce, PS_PAD_NONCE);
}

int pad_fixed_decode(const struct pad_fixed *fixed, struct ps_pad_header *header)
{
	struct ps_pad_plan *plan = &header->plan;

	if (memcmp(fixed->magic, PAD_MAGIC, sizeof(fixed->magic)) != 0)
		return ps_fail(PS_EAUTH, "no pad record");
	/* A suite is never chosen by what a network says: one that is not known here is refused, not tried.
	 */
	if (ps_get16(fixed->suite) != PAD_SUITE)
		return ps_fail(PS_EAUTH, "a pad of suite %u, which is not known", ps_get16(fixed->suite));
	memset(header, 0, offsetof(struct ps_pad_header, hashes));
	plan->class = fixed->class;
	plan->role = fixed->role;
	plan->generation = ps_get32(fixed->generation);
	memcpy(plan->network, fixed->network, sizeof(plan->network));
	memcpy(plan->serial.bytes, fixed->serial, PS_SERIAL);
	plan->counter = ps_get64(fixed->counter);
	plan->epoch = ps_get64(fixed->epoch);
	memcpy(plan->nonce, fixed->nonce, PS_PAD_NONCE);
	memcpy(header->public_key, fixed->public_key, sizeof(header->public_key));
	header->payload = ps_get32(fixed->payload);
	if (ps_pad_padded(header->payload) != header->payload || header->payload == 0)
		return ps_fail(PS_EAUTH, "no pad has a payload of %u bytes", header->payload);
	if (plan->class > PS_PAD_PUBLIC_DATA || plan->role > PS_ROLE_TOMBSTONE || plan->generation == 0 ||
	    plan->counter == 0 || !sodium_is_zero(fixed->reserved, sizeof(fixed->reserved)))
		return ps_fail(PS_EAUTH, "a pad's header that nobody writes");
	header->segments = segments_of(header->payload);
	header->bytes = header_bytes(header->payload);
	return PS_OK;
}

void pad_segment_nonce(const uint8_t nonce[PS_PAD_NONCE], uint32_t segment, uint8_t out[24])
{
	ps_le32 number = ps_set32(segment);

	memcpy(out, nonce, PS_PAD_NONCE);
	memcpy(out + PS_PAD_NONCE, number.bytes, sizeof(number));
}
