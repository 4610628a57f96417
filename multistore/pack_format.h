/* The bytes of a pack (multistore/FORMAT.md). */
#ifndef PS_PACK_FORMAT_H
#define PS_PACK_FORMAT_H

#include <assert.h>

#include "base/bytes.h"

enum {
	PACK_VERSION = 1,
	PACK_MARK = 16,
	PACK_BLOCK = 256 << 10, /* contents of a block, before compression, at most */
	PACK_BLOCKS_MAX = 1 << 20,
	PACK_END = 32 << 10, /* of a pack, that readers ask for first: tail and index */
	PACK_ITEM_HEAD_MAX = 48, /* an item without its bytes: a kind and at most four numbers */
	PACK_WINDOW_LOG = 18,    /* of a block's zstd frame, at most: what one block takes */
};

/* Of blocks. */
enum { PACK_BLOCK_ZSTD = 1, PACK_BLOCK_FLAGS = 1 };
/* Of packs: the first piece belongs to an object that an earlier pack begins; more pieces of the last object
 * may follow in the next one. */
enum { PACK_CONTINUES = 1, PACK_OPEN = 2, PACK_OPEN_PATCH = 4, PACK_FLAGS = 7 };
/* Of items, besides enum ps_cut_kind. */
enum { PACK_ITEM_PIECE = 5, PACK_ITEM_ZEROS = 7 };

struct pack_head_bytes {
	uint8_t magic[8];
	ps_le32 version;
	ps_le32 number;
	uint8_t mark[PACK_MARK];
	ps_le64 since;
	ps_le64 upto;
	uint8_t reserved[16];
};
static_assert(sizeof(struct pack_head_bytes) == 64, "a pack's head");

/* In front of each block; all zeros in front of the index. */
struct pack_block_bytes {
	ps_le32 stored;
	ps_le32 raw;
	ps_le32 items;
	ps_le32 flags;
	ps_le64 first;
	ps_le64 last;
};
static_assert(sizeof(struct pack_block_bytes) == 32, "a block's head");

/* Where a block begins, and with what: the lines ascend by (first, piece), so the one block that can have an
 * object, or a piece of it, is the last one whose line is not behind it. */
struct pack_index_bytes {
	ps_le64 first;
	ps_le32 offset;
	ps_le32 piece; /* 0: with an object; else with this piece of `first`, or zeros from it on, counted
	                  from 1 */
};
static_assert(sizeof(struct pack_index_bytes) == 16, "a line of a pack's index");

/* The last bytes of a pack. No checksum: the pads that it lies in are sealed. */
struct pack_tail_bytes {
	uint8_t mark[PACK_MARK];
	ps_le64 since;
	ps_le64 upto;
	ps_le64 first;
	ps_le64 last;
	ps_le64 index;
	ps_le64 objects;
	ps_le64 gone;
	ps_le64 contents;
	ps_le64 from;
	ps_le64 next;
	ps_le32 number;
	ps_le32 blocks;
	ps_le32 flags;
	ps_le32 version;
	uint8_t reserved[8];
	uint8_t magic[8];
};
static_assert(sizeof(struct pack_tail_bytes) == 128, "a pack's tail");

static const uint8_t pack_head_magic[8] = {'P', 'S', 'p', 'a', 'c', 'k', '0', '\n'};
static const uint8_t pack_tail_magic[8] = {'P', 'S', 'p', 'a', 'c', 'k', 'Z', '\n'};

#endif
