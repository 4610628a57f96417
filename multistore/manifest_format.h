/* The bytes of a manifest (multistore/FORMAT.md). */
#ifndef PS_PUSH_MANIFEST_FORMAT_H
#define PS_PUSH_MANIFEST_FORMAT_H

#include <assert.h>

#include "base/bytes.h"

enum { MANIFEST_VERSION = 1, MANIFEST_PACK_CONTINUES = 1, MANIFEST_PACK_OPEN = 2, MANIFEST_PACK_FLAGS = 3 };

/* Followed by the packs, the runs, the states, and the numbers of the states' runs, in the order of the
 * states. */
struct manifest_head_bytes {
	uint8_t magic[8];
	ps_le32 version;
	ps_le32 packs;
	ps_le32 runs;
	ps_le32 states;
	ps_le32 numbers;
	uint8_t reserved[4];
	uint8_t line[16];
	uint8_t mark[16];
	uint8_t holder[16];
	ps_le64 epoch;
	ps_le64 since_ns;
	uint8_t text[64];
	ps_le64 log_epoch;
	ps_le64 log_first;
	uint8_t log_before[32];
	uint8_t log_name[32];
};
static_assert(sizeof(struct manifest_head_bytes) == 240, "a manifest's head");

struct manifest_pack_bytes {
	uint8_t mark[16];
	ps_le32 number;
	ps_le32 flags;
	ps_le64 upto; /* since is the run's */
	ps_le64 first;
	ps_le64 last;
	ps_le64 bytes;
};
static_assert(sizeof(struct manifest_pack_bytes) == 56, "a pack in a manifest");

struct manifest_run_bytes {
	ps_le64 since;
	ps_le64 upto;
	ps_le64 checkpoint;
	ps_le64 objects;
	ps_le64 gone;
	ps_le64 contents;
	ps_le32 packs;
	uint8_t reserved[4];
};
static_assert(sizeof(struct manifest_run_bytes) == 56, "a run in a manifest");

struct manifest_state_bytes {
	uint8_t mark[16];
	ps_le64 interval;
	ps_le64 checkpoint;
	ps_le64 commit;
	ps_le64 time_ns;
	ps_le64 objects;
	ps_le64 live_bytes;
	ps_le64 slots;
	ps_le64 crashes;
	ps_le32 runs;
	uint8_t reserved[4];
};
static_assert(sizeof(struct manifest_state_bytes) == 88, "a state in a manifest");

static const uint8_t manifest_magic[8] = {'P', 'S', 's', 't', 'a', 't', 'e', '\n'};

#endif
