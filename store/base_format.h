/* The bytes on disk (FORMAT.md has the prose). Everything is little-endian; a 512-byte sector is all that is assumed to
 * be written whole. */
#ifndef PS_BASE_FORMAT_H
#define PS_BASE_FORMAT_H

#include <assert.h>
#include <stddef.h>

#include "base/bytes.h"

enum {
	SECTOR = 512,
	PAGE = 4096,
	GRANULE = 16,              /* small objects' places and sizes */
	CHUNK = 65536,             /* unit of checksums in large objects; the largest object in one blob */
	FANOUT = 128,              /* entries of a leaf, pointers of an inner table page */
	MAP_FANOUT = PAGE / 16,    /* pointers of a map node */
	SUPERBLOCKS = 4,
	FORMAT_VERSION = 1,
};
#define SUPER_MAGIC "PADSTONE"
#define LOG_MAGIC 0x474f4c50U     /* "PLOG" */
#define SNAPSHOT_MAGIC 0x50414e53U /* "SNAP" */

/* A pointer to a table page; inner pages have two places, leaves one (place[1] is 0). */
struct disk_pointer {
	ps_le64 place[2];
	ps_le64 checksum; /* XXH3 of the page, seeded with its level and index */
	ps_le64 checkpoint; /* number of the checkpoint that wrote it */
};
static_assert(sizeof(struct disk_pointer) == 32 && sizeof(struct disk_pointer) * FANOUT == PAGE, "pointer");

struct disk_ring {
	ps_le64 offset, len; /* len 0: not there */
	ps_le64 base;        /* log sequence number that stands at offset */
};

/* Slot sizes that small contents lie in (count 0: none): given once, then the file's for good. */
struct disk_classes {
	ps_le16 count;
	uint8_t slab_shift; /* slabs of 1 << slab_shift bytes */
	uint8_t reserved;
	ps_le32 route_max; /* contents up to so many bytes go to classes */
	ps_le16 size[112]; /* in granules, ascending; zero behind the last */
};
static_assert(sizeof(struct disk_classes) == 232, "classes");
/* Features: entries may name classes; entries may carry intervals; contents may be away; entries may be unknown. */
enum { INCOMPATIBLE_CLASSES = 1, INCOMPATIBLE_INTERVALS = 2, INCOMPATIBLE_AWAY = 4, INCOMPATIBLE_UNKNOWN = 8, INCOMPATIBLE_KNOWN = 15 };
#define INTERVAL_OPEN UINT32_MAX /* of a store that is being restored: its entries carry those of another */

struct disk_superblock {
	char magic[8];
	ps_le32 version;
	ps_le32 length; /* 512 */
	ps_le64 compatible, readonly_compatible, incompatible;
	ps_le64 number; /* of this superblock, from 1 */
	uint8_t uuid[16];
	ps_le64 epoch;   /* of the open that wrote it; log blocks carry it */
	ps_le64 epoch_start; /* log sequence number of that epoch's first block: older ones from there on are stale */
	ps_le64 crashes; /* opens that found an unclean store: generations of free slots move on by it */
	uint8_t clean; /* 1: closed; the log is empty and the snapshot, if any, is current */
	uint8_t reserved;
	ps_le16 unknown_low; /* leaves below this number that are nowhere are not empty, but unknown */
	uint8_t height;      /* of the table: levels of inner pages, 1 at least */
	uint8_t reserved_too;
	ps_le16 unknown_high;
	struct disk_pointer root;
	ps_le64 checkpoint; /* number of the checkpoint that root belongs to */
	ps_le64 slots;      /* slots at and above this one were never used as far as root knows */
	ps_le64 file_bytes; /* all that is referred to lies below */
	struct disk_ring ring[2]; /* a log that has moved stands in both until the next checkpoint */
	ps_le64 log_start;  /* log sequence number from which to replay */
	ps_le64 log_chain;  /* checksum of the block before it */
	ps_le64 commit;     /* number of the last commit before log_start */
	ps_le64 snapshot_offset, snapshot_len, snapshot_checksum;
	ps_le64 objects, live_bytes; /* where clean */
	struct disk_classes classes;
	ps_le32 interval; /* that changes carry now; 0: none do */
	ps_le32 restored; /* intervals up to this one are another store's, which this one was restored from */
	ps_le64 checksum; /* XXH3 of all before, last */
};
static_assert(sizeof(struct disk_superblock) == SECTOR, "superblock is one sector");
static_assert(offsetof(struct disk_superblock, checksum) == 504, "checksum is last");

/* One log write: header, records, zeros up to the next 4 KiB. */
struct disk_log_block {
	ps_le32 magic;
	ps_le32 length; /* bytes that the checksum covers, this header included */
	ps_le64 lsn;    /* its place in the log's life; the next block's is lsn + length rounded up to 4 KiB */
	ps_le64 epoch;
	ps_le64 chain;      /* the previous block's checksum */
	ps_le64 mark;       /* all blocks, and all extents that they name, below this were durable before it was written */
	ps_le64 checkpoint; /* the last complete one when it was written */
	ps_le64 store;      /* first half of the uuid */
	ps_le64 checksum;   /* XXH3 of length bytes with this field zero */
};
static_assert(sizeof(struct disk_log_block) == 64, "log block header");

enum { RECORD_SPILLED = 1 }; /* the operations stand in extents outside the ring */

/* One commit. `length` counts this header. */
struct disk_record {
	ps_le32 length;
	ps_le32 flags;
	ps_le64 commit;
	ps_le32 operations;
	ps_le32 extents; /* of a spilled record: struct disk_spill follows so often */
};
static_assert(sizeof(struct disk_record) == 24, "record");

struct disk_spill {
	ps_le64 offset, len; /* len in bytes, the extent is rounded up to 4 KiB */
	ps_le64 checksum;
};

/* table[slot] = entry; bytes belong at the entry's place. */
struct disk_operation {
	ps_le64 slot;
	ps_le64 entry[4];
	ps_le32 bytes; /* of contents that ride here, rounded up to 8 in the record */
	ps_le32 fresh; /* struct disk_fresh follows so often, before the bytes; or FRESH_CONTENTS */
};
/* The extent that this commit wrote outside the log is the entry's own contents: none follows. */
#define FRESH_CONTENTS UINT32_MAX
static_assert(sizeof(struct disk_operation) == 48, "operation");

/* An extent that this commit wrote outside the log: verified at recovery above the durable mark. */
struct disk_fresh {
	ps_le64 offset, len;
	ps_le64 seed, checksum;
};
static_assert(sizeof(struct disk_fresh) == 32, "fresh extent");

/* Left by a clean close: free extents and free slots, so that the next open need not read the table. */
struct disk_snapshot {
	ps_le32 magic;
	ps_le32 slabs;
	ps_le64 space; /* size of the allocator's space */
	ps_le64 extents, leaves; /* so many {offset, len}, then so many {leaf, free slots as 128 bits}, then so many slabs {offset, class,
	                            used slots as a bitmap of whole words} */
};

/* The owner's sector (offset 512): a hint for the message of whoever finds the store busy. */
struct disk_owner {
	char text[SECTOR];
};
enum { OWNER_OFFSET = SECTOR };

/* The note of a layer above, in the second sectors of the second and the third page: its last two values, in turns. */
struct disk_note {
	ps_le32 magic;
	ps_le32 length;  /* of the bytes; zeros behind them */
	ps_le64 number;  /* from 1; odd in the first place, even in the second */
	ps_le64 store;   /* first half of the uuid */
	uint8_t bytes[448];
	uint8_t reserved[32];
	ps_le64 checksum; /* XXH3 of all before, last */
};
static_assert(sizeof(struct disk_note) == SECTOR, "a note is one sector");
static_assert(offsetof(struct disk_note, checksum) == 504, "checksum is last");
#define NOTE_MAGIC 0x45544f4eU /* "NOTE" */
enum { NOTES = 2 };

static inline uint32_t superblock_unknown(const struct disk_superblock *sb)
{
	return ps_get16(sb->unknown_low) | (uint32_t)ps_get16(sb->unknown_high) << 16;
}

static inline uint64_t superblock_offset(int slot)
{
	return (uint64_t)slot * PAGE;
}
enum { SUPERBLOCK_AREA = SUPERBLOCKS * PAGE };

#endif
