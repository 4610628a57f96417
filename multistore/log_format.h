/* The bytes of a log pad (multistore/FORMAT.md). */
#ifndef PS_LOG_FORMAT_H
#define PS_LOG_FORMAT_H

#include <assert.h>

#include "base/bytes.h"

enum { LOG_PAD_VERSION = 1, LOG_PAD_LAST = 1 };

/* Followed by `bytes` bytes of the group's pack. */
struct log_pad_bytes {
	uint8_t magic[8];
	ps_le32 version;
	ps_le32 flags;
	ps_le32 part;
	ps_le32 bytes;
	ps_le64 epoch;
	ps_le64 n;
	uint8_t session[16];
	uint8_t before[32];
	uint8_t next[32];
	ps_le64 since;
	ps_le64 upto;
	ps_le64 checkpoint;
	ps_le64 commit;
	ps_le64 objects;
	ps_le64 live_bytes;
	ps_le64 slots;
	ps_le64 crashes;
	ps_le64 time_ns;
	ps_le64 pack_bytes;
	ps_le64 offset;
	uint8_t reserved[8];
};
static_assert(sizeof(struct log_pad_bytes) == 216, "a log pad's head");

static const uint8_t log_pad_magic[8] = {'P', 'S', 'l', 'o', 'g', 'p', 'a', 'd'};

#endif
