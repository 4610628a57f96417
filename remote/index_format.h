/* The bytes of the index: pad slots and records as they lie in the local index, and as they travel in runs
 * and heads (remote/FORMAT.md). Little-endian bytes without padding; what is reserved is zero. */
#ifndef PS_INDEX_FORMAT_H
#define PS_INDEX_FORMAT_H

#include <assert.h>
#include <stddef.h>

#include "base/bytes.h"

enum {
	PS_INDEX_FORMAT = 1, /* of every object here */
	PS_SLOT_BYTES = 128,
	PS_SLOT_WIRE_BYTES = 98,
	PS_RECORD_HEAD_BYTES = 160,
	PS_RECORD_NAME_ALIGN = 16,
	PS_RECORD_NEXT_BYTES = 48,
	PS_SPARE_HEAD_BYTES = 16,
	PS_NOTE_HEAD_BYTES = 16,
	PS_INDEX_HEAD_BYTES = 512,
};

struct ps_slot_bytes {
	uint8_t serial[16];
	uint8_t name[32];
	ps_le32 generation;
	ps_le64 counter;
	ps_le32 length;
	uint8_t class, mode, status;
	uint8_t nonce[20];
	uint8_t hash[32];
	uint8_t before[8]; /* of the header hash of what the network held when the pad was taken again */
	uint8_t named;
};
static_assert(sizeof(struct ps_slot_bytes) == PS_SLOT_BYTES, "a status change is one write of 128 bytes");
static_assert(offsetof(struct ps_slot_bytes, hash) == 87, "no padding");

/* A pad as other machines need it: what they did not write themselves they never send again. */
struct ps_slot_wire {
	uint8_t serial[16];
	uint8_t name[32];
	ps_le32 generation;
	ps_le64 counter;
	ps_le32 length;
	uint8_t class, mode;
	uint8_t hash[32];
};
static_assert(sizeof(struct ps_slot_wire) == PS_SLOT_WIRE_BYTES, "no padding");

struct ps_version_bytes {
	ps_le64 counter;
	uint8_t machine[16];
};

/* Then: the name, zeros to a multiple of 16; the index pad's slot if public; ps_next_bytes if updating; then
 * the slots of the four sets one after another. */
struct ps_record_bytes {
	uint8_t magic[4];
	uint8_t format, kind;
	ps_le16 flags;
	ps_le16 name_len;
	uint8_t mode, class;
	ps_le32 counts[4];
	ps_le64 size;
	uint8_t hash[32];
	struct ps_version_bytes version, base, sent;
	ps_le64 published, time_ns;
	ps_le16 origin_len;
	uint8_t reserved[2];
};
static_assert(sizeof(struct ps_record_bytes) == PS_RECORD_HEAD_BYTES, "a record begins with 160 bytes");

struct ps_next_bytes {
	ps_le64 size;
	uint8_t hash[32];
	uint8_t mode, class;
	uint8_t reserved[6];
};
static_assert(sizeof(struct ps_next_bytes) == PS_RECORD_NEXT_BYTES, "no padding");

/* Then: the name, the index pad's slot if public, the slots; all as they travel, nothing aligned. */
struct ps_record_wire {
	uint8_t flags;
	uint8_t mode, class;
	uint8_t reserved;
	ps_le16 name_len;
	ps_le32 count;
	ps_le64 size;
	uint8_t hash[32];
	struct ps_version_bytes version;
	ps_le64 published, time_ns;
};
static_assert(sizeof(struct ps_record_wire) == 90, "no padding");

/* A pad without a record: free, pending or invalid. Then its slot. */
struct ps_spare_bytes {
	uint8_t magic[4];
	uint8_t format;
	uint8_t reserved[3];
	ps_le64 hold;
};
static_assert(sizeof(struct ps_spare_bytes) == PS_SPARE_HEAD_BYTES, "no padding");

/* Then its bytes. */
struct ps_note_bytes {
	uint8_t magic[4];
	uint8_t format, number;
	uint8_t reserved[2];
	ps_le64 len;
};
static_assert(sizeof(struct ps_note_bytes) == PS_NOTE_HEAD_BYTES, "no padding");

/* The prime object of a local index: whose it is. */
struct ps_index_bytes {
	uint8_t magic[8];
	ps_le32 format;
	ps_le32 features; /* what a reader must know: PS_INDEX_HAS_SUMMARY, or 0 */
	uint8_t network[16];
	uint8_t key_check[32];
	uint8_t store_len;
	uint8_t store[255];
	ps_le64 summary; /* the summary's object; 0: none */
	uint8_t reserved[184];
};
static_assert(sizeof(struct ps_index_bytes) == PS_INDEX_HEAD_BYTES, "the prime object is 512 bytes");
enum { PS_INDEX_HAS_SUMMARY = 1 };

/* What is in memory of an index, as a clean close has left it. Then: the figures, 8 bytes each, and the
 * objects of its pieces, 8 bytes each. */
struct ps_summary_bytes {
	uint8_t magic[4];
	uint8_t format;
	uint8_t reserved[3];
	uint8_t hash_key[16];
	ps_le64 counts[4]; /* entries: names, dirty records, the index's own, spare pads and notes */
	ps_le32 pieces, figures, cells, round; /* round: 1 more than that of the one before */
};
static_assert(sizeof(struct ps_summary_bytes) == 72, "no padding");

/* A cell: what one commit does after the summary that has the cell's round; before a later one it is as good
 * as unused. Then, if it is used: figures that change (which, by how much: 16 bytes), and entries that come
 * or go. */
struct ps_cell_bytes {
	uint8_t magic[4];
	uint8_t format, used;
	uint8_t reserved[2];
	ps_le32 number, deltas, effects, round;
};
static_assert(sizeof(struct ps_cell_bytes) == 24, "no padding");
struct ps_cell_effect_bytes {
	uint8_t section, add;
	uint8_t reserved[6];
	ps_le64 key, id; /* key: of a name, else 0 */
};
static_assert(sizeof(struct ps_cell_effect_bytes) == 24, "no padding");

/* Then its entries: a name's hash and object, 16 bytes, or an object alone, 8. */
struct ps_piece_bytes {
	uint8_t magic[4];
	uint8_t format, section;
	uint8_t reserved[2];
	ps_le32 number, count;
};
static_assert(sizeof(struct ps_piece_bytes) == 16, "no padding");

/* A part of a run. Then: the store's name, the first and the last name that has bytes here, the body, zeros.
 * In the body: `carried` bytes of a record that began before; then records, each a length of 4 bytes and the
 * record as it travels. The last may go on in the next part. */
struct ps_run_part_bytes {
	uint8_t magic[4];
	uint8_t format, flags;
	uint8_t store_len, reserved;
	uint8_t id[16];
	ps_le64 head;
	ps_le32 part, parts;
	ps_le32 carried, count, body_len;
	ps_le16 first_len, last_len;
};
static_assert(sizeof(struct ps_run_part_bytes) == 56, "no padding");

/* A head. Then: the pairs, the machines, the runs each followed by its pads as they travel; zeros. */
struct ps_head_bytes {
	uint8_t magic[8];
	ps_le32 format, features; /* features: what a reader must know; 0 */
	ps_le32 len;              /* of all that is not zeros behind it */
	uint8_t network[16];
	uint8_t writer[16];
	ps_le64 epoch, counter, time_ns, horizon;
	ps_le32 pairs, machines, runs;
	uint8_t store_len, store[255];
};
static_assert(sizeof(struct ps_head_bytes) == 352, "no padding");
enum {
	PS_HEAD_FORMAT = 2, /* of a head; 1 had no struct ps_head_more_bytes */
	PS_HEAD_FORMAT_FIRST = 1,
};

/* Behind it. */
struct ps_head_more_bytes {
	ps_le64 alone;
};

struct ps_head_pair_bytes {
	ps_le64 counter;
	uint8_t hash[32];
};

struct ps_head_machine_bytes {
	uint8_t id[16];
	ps_le64 last;
	uint8_t name[64];
};

struct ps_head_run_bytes {
	uint8_t id[16];
	ps_le64 head, bytes, keys;
	ps_le32 parts;
	uint8_t base;
	uint8_t reserved[3];
};
static_assert(sizeof(struct ps_head_run_bytes) == 48, "no padding");

/* The anchor's file. */
struct ps_anchor_bytes {
	uint8_t magic[8];
	ps_le32 format;
	uint8_t reserved[3];
	uint8_t store_len;
	uint8_t store[256];
	uint8_t network[16];
	ps_le64 counter;
	uint8_t hash[32];
	ps_le64 log_position;
	ps_le64 checksum; /* XXH3-64 of all before */
};
static_assert(sizeof(struct ps_anchor_bytes) == 344, "no padding");

#endif
