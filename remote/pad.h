/* Pad records: sealed, signed, versioned (remote/FORMAT.md). A record is a header of at most 8 KiB, its
 * signature within, and segments of 64 KiB, each sealed by itself, so that a range can be read and verified
 * alone. Nothing here keeps state: every function may be called from any thread.
 *
 * What is wrong with bytes that came back is PS_EAUTH, whatever it is: damage and attack look alike. */
#ifndef PS_PAD_H
#define PS_PAD_H

#include "remote/keys.h"
#include "remote/network.h"

enum {
	PS_PAD_SEGMENT = 64 << 10,
	PS_PAD_SEGMENTS = 128, /* at most */
	PS_PAD_HEADER_MAX = 8 << 10,
	PS_PAD_NONCE = 20,
	PS_PAD_DESCRIPTION = 96, /* at most, of what the pad is part of; sealed in segment 0 */
	PS_PAD_PREAMBLE = 128,   /* of segment 0: real length and description */
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
	uint8_t hashes[PS_PAD_SEGMENTS][32];
};

/* Segment 0's own. */
struct ps_pad_contents {
	uint32_t length; /* of the payload, before padding */
	uint16_t description_len;
	uint8_t description[PS_PAD_DESCRIPTION];
};

/* ---- sizes ---- */

/* What `length` payload bytes are padded to: 4 KiB times a power of two, twelve sizes in all, up to 8 MiB. 0
 * if it is more than that. */
uint32_t ps_pad_padded(uint64_t length);
/* Bytes of header and signature, and of the whole record, with a payload of `length` bytes; 0 above 8 MiB. */
uint32_t ps_pad_header_bytes(uint64_t length);
uint32_t ps_pad_record_bytes(uint64_t length);
/* The longest payload of one pad on a network whose records have up to `largest` bytes; 0: not even the
 * shortest. */
uint32_t ps_pad_capacity(enum ps_pad_mode mode, uint64_t largest);

/* Where in a record the payload's bytes [from, to) lie: whole segments, `bytes` bytes from `offset` on. */
struct ps_pad_span {
	uint32_t first, end; /* segments, half-open */
	uint32_t offset, bytes;
};
/* PS_ERANGE if from > to or to > header->payload. An empty range has no segments. */
int ps_pad_span(const struct ps_pad_header *header, uint64_t from, uint64_t to, struct ps_pad_span *span)
    __attribute__((warn_unused_result));
/* Of one segment in the record: where it begins, how many bytes it has sealed, and how many payload bytes it
 * holds. The segment exists. */
uint32_t ps_pad_segment_offset(const struct ps_pad_header *header, uint32_t segment);
uint32_t ps_pad_segment_bytes(const struct ps_pad_header *header, uint32_t segment);
uint32_t ps_pad_segment_payload(const struct ps_pad_header *header, uint32_t segment);

/* ---- names ---- */

/* The name on every network of the pads that this public key signs. */
void ps_pad_name_of(const uint8_t public_key[32], struct ps_pad_name *name);
/* The name of a serial. PS_EREADONLY without the write root. */
int ps_pad_name(const ps_keys *keys, const struct ps_serial *serial, struct ps_pad_name *name)
    __attribute__((warn_unused_result));

/* ---- sealing ---- */

/* A nonce for a plan in which all else is set: from the kernel, and, should a cloned machine draw the same
 * bytes again, from plan and payload. PS_EINVAL: an impossible plan. */
int ps_pad_nonce_new(const ps_keys *keys, struct ps_pad_plan *plan, const void *payload, size_t len)
    __attribute__((warn_unused_result));
/* False: the plan's nonce was made for another payload, or for another plan. True says nothing: seal, and
 * compare the identity. A hundredth of the time that sealing takes. */
bool ps_pad_nonce_fits(const ps_keys *keys, const struct ps_pad_plan *plan, const void *payload, size_t len)
    __attribute__((warn_unused_result));

/* Seals into `buffer` (at least ps_pad_record_bytes(len) of capacity; its len is set) and tells the identity.
 * Does not change the payload; reads it once. PS_EREADONLY without the write root, PS_ERANGE (more than the
 * mode holds, or than the buffer), PS_EINVAL (an impossible plan). */
int ps_pad_seal(const ps_keys *keys, const struct ps_pad_plan *plan, const void *payload, size_t len,
                enum ps_pad_mode mode, struct ps_net_buffer *buffer, struct ps_pad_identity *identity)
    __attribute__((warn_unused_result));

/* ---- verifying: needs no key ---- */

/* The first step with whatever a network returns: `bytes` are a record from its beginning, the header's at
 * least (PS_PAD_HEADER_MAX always suffice). Sizes, name, signature; believes nothing else. PS_EAUTH. */
int ps_pad_open_header(const void *bytes, size_t len, const struct ps_pad_name *name,
                       struct ps_pad_header *header) __attribute__((warn_unused_result));
/* A whole record: header, length, the hash of every segment. PS_EAUTH. */
int ps_pad_verify(const void *bytes, size_t len, const struct ps_pad_name *name, struct ps_pad_header *header)
    __attribute__((warn_unused_result));

/* What the reader knows of the pad. */
struct ps_pad_expected {
	struct ps_serial serial;
	uint8_t network[16];
	uint32_t generation;
	uint8_t class, role;
	struct ps_pad_identity identity; /* the last one known; hash all zero: any */
	bool newer;                      /* a higher counter is fine, too: the head, a public index pad */
};
/* PS_EAUTH (another pad, network or store, or altered), PS_EROLLBACK (an older counter than the one known),
 * PS_EFORK (the same counter, another record), PS_ESUPERSEDED (a higher counter where `newer` is not set). */
int ps_pad_check(const struct ps_pad_header *header, const struct ps_pad_expected *expected)
    __attribute__((warn_unused_result));

/* ---- opening ---- */

/* What opens a pad: a store's keys, or the content key of this one pad (public pads). The other is NULL. */
struct ps_pad_reader {
	const ps_keys *keys;
	const uint8_t *content_key;
};

/* Verifies one segment and writes its ps_pad_segment_payload() bytes, padding included, to `out`. `sealed`
 * are its `len` bytes of the record; segment 0 is opened in place, so that they are gone afterwards.
 * `contents` (may be NULL) is filled from segment 0 only. PS_EAUTH; PS_ECORRUPT: sealed by the right key, and
 * still not what FORMAT.md says. */
int ps_pad_open_segment(const struct ps_pad_reader *reader, const struct ps_pad_header *header,
                        uint32_t segment, uint8_t *sealed, size_t len, uint8_t *out,
                        struct ps_pad_contents *contents) __attribute__((warn_unused_result));

/* Verifies and opens a whole record, whose header was opened and checked: `out` has room for header->payload
 * bytes, contents->length of them are the payload. As ps_pad_open_segment. On failure `out` holds nothing. */
int ps_pad_open(const struct ps_pad_reader *reader, const struct ps_pad_header *header, uint8_t *record,
                size_t len, uint8_t *out, struct ps_pad_contents *contents)
    __attribute__((warn_unused_result));

#endif
