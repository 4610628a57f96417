/* Pad records: sealed, signed, versioned (remote/FORMAT.md). A record is a header of at most 8 KiB, its
 * signature, and segments of 64 KiB, each sealed by itself, so that a range can be read and verified alone.
 */
#ifndef PS_PAD_H
#define PS_PAD_H

#include "remote/keys.h"
#include "remote/network.h"

enum {
	PS_PAD_SEGMENT = 64 << 10,
	PS_PAD_HEADER_MAX = 8 << 10,
	PS_PAD_NONCE = 20,
	PS_PAD_DESCRIPTION = 96, /* at most, of what the pad is part of; sealed in segment 0 */
};

enum ps_pad_mode { PS_PAD_SMALL, PS_PAD_MEDIUM, PS_PAD_LARGE }; /* payload up to 128 KiB, 2 MiB, 8 MiB */
enum ps_pad_class { PS_PAD_PRIVATE, PS_PAD_PUBLIC_INDEX, PS_PAD_PUBLIC_DATA };
enum ps_pad_role { PS_ROLE_DATA, PS_ROLE_HEAD, PS_ROLE_RUN, PS_ROLE_LOG, PS_ROLE_FENCE, PS_ROLE_TOMBSTONE };

/* All that decides a record's bytes, but its payload. The same plan, keys and payload seal to the same bytes.
 */
struct ps_pad_plan {
	struct ps_serial serial;
	uint8_t network[16]; /* the network's id, from the head */
	uint32_t generation; /* from 1 */
	uint64_t counter;    /* from 1 */
	uint64_t epoch;      /* of the writer */
	uint8_t class, role;
	uint8_t nonce[PS_PAD_NONCE];
	uint16_t description_len;
	uint8_t description[PS_PAD_DESCRIPTION];
};

/* A header whose signature was verified. */
struct ps_pad_header {
	struct ps_pad_plan plan; /* without the description */
	uint8_t public_key[32];
	struct ps_pad_identity identity;
	uint32_t payload;  /* bytes, padded */
	uint32_t segments; /* of up to PS_PAD_SEGMENT payload bytes */
	uint32_t bytes;    /* of header and signature: where segment 0 begins */
	uint8_t hashes[128 + 1][32];
};

#endif
