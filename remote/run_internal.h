/* What the writer and the reader of runs share. */
#ifndef PS_RUN_INTERNAL_H
#define PS_RUN_INTERNAL_H

#include <stdint.h>

enum {
	RUN_PART_LAST = 1,
	RUN_PART_BASE = 2,
	RUN_PART_FLAGS = 3,
	RUN_SPLIT_LEAST = 256, /* less of a record than this is not worth a piece */
};
static const uint8_t run_part_magic[4] = {'P', 'S', 'r', 'n'};

#endif
