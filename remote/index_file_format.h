/* The bytes of an index file (FORMAT.md): this header, the head's record, then the record of each pad of its
 * runs, in the head's order. Records verify themselves, so the checksum is the header's alone. */
#ifndef PS_INDEX_FILE_FORMAT_H
#define PS_INDEX_FILE_FORMAT_H

#include <assert.h>

#include "base/bytes.h"

enum { PS_INDEX_FILE_FORMAT = 1, PS_INDEX_FILE_HEADER = 64 };

struct ps_index_file_bytes {
	uint8_t magic[8];
	ps_le32 format;
	ps_le32 head;     /* bytes of the head's record */
	ps_le64 bytes;    /* of the file */
	uint8_t zero[32]; /* reserved */
	ps_le64 checksum; /* XXH3-64 of all before */
};
static_assert(sizeof(struct ps_index_file_bytes) == PS_INDEX_FILE_HEADER, "no padding");

struct ps_index_file_header {
	uint32_t head;
	uint64_t bytes;
};

void ps_index_file_encode(const struct ps_index_file_header *header, struct ps_index_file_bytes *bytes);
/* PS_EFORMAT: it is none; PS_EVERSION; PS_ECORRUPT: damaged, or impossible sizes. `path` is for the sentence.
 */
int ps_index_file_decode(const char *path, const void *bytes, size_t len, struct ps_index_file_header *header)
    __attribute__((warn_unused_result));

#endif
