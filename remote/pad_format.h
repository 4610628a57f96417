/* The bytes of a pad record (FORMAT.md has the prose). Everything is little-endian. */
#ifndef PS_PAD_FORMAT_H
#define PS_PAD_FORMAT_H

#include <assert.h>
#include <stddef.h>

#include "base/bytes.h"
#include "remote/pad.h"

#define PAD_MAGIC "PADRECRD"
#define PAD_SIGN_PREFIX "padstone/1 pad header"
enum {
	PAD_SUITE = 1, /* Ed25519, BLAKE2b-256, XChaCha20-Poly1305; there is no other */
	PAD_SIGNATURE = 64,
	PAD_HASH = 32,
	PAD_TAG = 16,
	PAD_NONCE_DRAWN = 12, /* of a nonce; the rest is its mark (FORMAT.md, "nonce of a pad") */
	PAD_NONCE_MARK = PS_PAD_NONCE - PAD_NONCE_DRAWN,
	PAD_PAYLOAD_MIN = 4 << 10,
	PAD_PAYLOAD_MAX = 8 << 20,
};

/* A record begins with this; then a hash a segment, the signature, the sealed segments. */
struct pad_fixed {
	char magic[8];
	ps_le16 suite;
	uint8_t class, role;
	ps_le32 generation;
	uint8_t network[16];
	uint8_t serial[PS_SERIAL];
	uint8_t public_key[32];
	ps_le64 counter;
	ps_le64 epoch;
	ps_le32 payload; /* bytes, padded: 4 KiB times a power of two */
	uint8_t nonce[PS_PAD_NONCE];
	uint8_t reserved[8];
};
static_assert(sizeof(struct pad_fixed) == 128, "fixed fields");
static_assert(offsetof(struct pad_fixed, network) == 16 && offsetof(struct pad_fixed, public_key) == 48 &&
                  offsetof(struct pad_fixed, counter) == 80 && offsetof(struct pad_fixed, payload) == 96 &&
                  offsetof(struct pad_fixed, reserved) == 120,
              "fixed fields lie where FORMAT.md says");

/* What each segment is sealed with, beside its bytes. */
struct pad_associated {
	struct pad_fixed fixed;
	ps_le32 segment;
};
static_assert(sizeof(struct pad_associated) == 132, "associated data");

/* Begins segment 0, before its payload. */
struct pad_preamble {
	ps_le32 length; /* of the payload, before padding */
	ps_le16 description_len;
	uint8_t reserved[26];
	uint8_t description[PS_PAD_DESCRIPTION]; /* zero behind its end */
};
static_assert(sizeof(struct pad_preamble) == PS_PAD_PREAMBLE, "preamble");

static_assert(sizeof(struct pad_fixed) + PS_PAD_SEGMENTS * PAD_HASH + PAD_SIGNATURE <= PS_PAD_HEADER_MAX,
              "the longest header");

/* What was read of fixed fields must encode to the same bytes: no reserved bit, no unknown value. PS_EAUTH
 * with a sentence. */
int pad_fixed_decode(const struct pad_fixed *fixed, struct ps_pad_header *header);
void pad_fixed_encode(const struct ps_pad_plan *plan, const uint8_t public_key[32], uint32_t payload,
                      struct pad_fixed *fixed);
void pad_segment_nonce(const uint8_t nonce[PS_PAD_NONCE], uint32_t segment, uint8_t out[24]);

#endif
