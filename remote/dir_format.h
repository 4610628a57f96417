/* Bytes of a dir: network (remote/FORMAT.md, "dir"). */
#ifndef PS_DIR_FORMAT_H
#define PS_DIR_FORMAT_H

#include <assert.h>
#include <stddef.h>

#include "base/bytes.h"

#define DIR_MAGIC "PSDIRREC"
#define DIR_MARKER "padstone dir network 1\n"

/* At the front of a record's file; the record begins at DIR_RECORD_AT, so that direct I/O can write it from
 * where it is. */
enum { DIR_VERSION = 1, DIR_RECORD_AT = 4096 };

struct dir_header {
	uint8_t magic[8];
	ps_le32 version;
	ps_le32 record_at;
	ps_le64 counter;
	uint8_t hash[32];
	ps_le64 len; /* of the record: the file ends with it */
	uint8_t reserved[56];
	ps_le64 checksum; /* XXH3-64 of all before */
};

static_assert(sizeof(struct dir_header) == 128, "one small read");
static_assert(offsetof(struct dir_header, checksum) == 120, "checksum last");

#endif
