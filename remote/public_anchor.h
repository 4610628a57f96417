/* What this machine has seen of addresses: for each a small file in the state folder, public/NAME (of its
 * index pad, in hex), with the newest version that was used. It is moved, durably, before a version is used,
 * and never goes back. No read key is in it: it opens nothing. */
#ifndef PS_PUBLIC_ANCHOR_H
#define PS_PUBLIC_ANCHOR_H

#include "base/bytes.h"
#include "remote/pad.h"

struct public_anchor_bytes {
	uint8_t magic[8]; /* "PSPUBANC" */
	ps_le32 format;
	uint8_t reserved[4];
	uint8_t name[PS_PAD_NAME];
	uint8_t network[16];
	uint8_t serial[PS_SERIAL];
	ps_le64 counter;
	uint8_t hash[32];
	ps_le64 checksum; /* XXH3-64 of all before */
};

struct public_anchor {
	struct ps_pad_name name;
	uint8_t network[16];
	struct ps_serial serial;
	struct ps_pad_identity identity;
};

void public_anchor_encode(const struct public_anchor *anchor, struct public_anchor_bytes *bytes);
/* `path` is for the sentences. PS_EFORMAT, PS_EVERSION, PS_ECORRUPT: it is left as it is. */
int public_anchor_decode(const char *path, const void *bytes, size_t len, struct public_anchor *anchor)
    __attribute__((warn_unused_result));

/* Whether this version may be used: PS_EROLLBACK, PS_EFORK, PS_EAUTH (of another network). If it may, the
 * anchor stands at it when this returns; *first: there was none. Processes that do this at once wait for each
 * other. */
int public_anchor_use(const char *folder, const struct ps_pad_name *name, const struct ps_pad_header *header,
                      bool *first) __attribute__((warn_unused_result));
int public_anchor_known(const char *folder, const struct ps_pad_name *name, bool *known)
    __attribute__((warn_unused_result));

#endif
