/* Manifests: what an address shows, in its index pad (remote/FORMAT.md). A manifest lists the pads of a
 * value, or, where these are too many for one pad, pads with lists of them (nodes), level over level. It
 * holds what a reader needs and nothing of the writer's: no seed, no name, no time. Nothing here keeps state.
 */
#ifndef PS_PUBLIC_MANIFEST_H
#define PS_PUBLIC_MANIFEST_H

#include <assert.h>

#include "base/bytes.h"
#include "remote/pad_slot.h"

enum {
	PS_MANIFEST_FORMAT = 1,
	PS_MANIFEST_HEAD = 64,
	PS_MANIFEST_NODE = 32,
	PS_MANIFEST_ENTRY = 128,
	PS_MANIFEST_LEVELS = 5, /* with the root's: more than any value needs, in pads of 4 KiB as well */
};

struct ps_manifest_bytes {
	uint8_t magic[8]; /* "PSPUBLIC" */
	ps_le32 format;
	uint8_t level; /* of its entries: 0 pads of the value, else nodes of the level below */
	uint8_t reserved[3];
	ps_le64 size;
	uint8_t hash[32];
	ps_le32 chunk; /* bytes of every pad of the value but the last */
	ps_le32 count; /* entries, behind this */
};
static_assert(sizeof(struct ps_manifest_bytes) == PS_MANIFEST_HEAD, "no padding");

struct ps_manifest_node_bytes {
	uint8_t magic[8]; /* "PSPUBNOD" */
	ps_le32 format;
	uint8_t level;
	uint8_t reserved[3];
	ps_le64 first; /* which of its level its first entry is */
	ps_le32 count;
	uint8_t reserved_too[4];
};
static_assert(sizeof(struct ps_manifest_node_bytes) == PS_MANIFEST_NODE, "no padding");

struct ps_manifest_entry_bytes {
	uint8_t serial[16];
	uint8_t name[32];
	uint8_t read_key[32];
	uint8_t hash[32];
	ps_le64 counter;
	ps_le32 generation, length;
};
static_assert(sizeof(struct ps_manifest_entry_bytes) == PS_MANIFEST_ENTRY, "no padding");

struct ps_manifest {
	uint8_t level;
	uint64_t size;
	uint8_t hash[32];
	uint32_t chunk, count;
};

struct ps_manifest_entry {
	struct ps_pad_slot slot; /* as a reader expects it: public data, confirmed */
	uint8_t read_key[PS_KEY];
};

/* How many pads hold a value; entries of a full node; how many entries a whole level has. */
uint64_t ps_manifest_pads(uint64_t size, uint32_t chunk);
uint32_t ps_manifest_fan(uint32_t chunk);
uint64_t ps_manifest_level(const struct ps_manifest *manifest, unsigned level);
/* Bytes of a value's pad, or of a node, as an entry of this level says it. */
uint32_t ps_manifest_length(const struct ps_manifest *manifest, unsigned level, uint64_t entry);

/* `out` has PS_MANIFEST_HEAD, or PS_MANIFEST_NODE bytes; entries follow. */
void ps_manifest_encode(const struct ps_manifest *manifest, uint8_t *out);
void ps_manifest_encode_node(unsigned level, uint64_t first, uint32_t count, uint8_t *out);
void ps_manifest_encode_entry(const struct ps_pad_slot *slot, const uint8_t read_key[PS_KEY], uint8_t *out);

/* Everything, every entry included, is as a writer writes it: PS_ECORRUPT, PS_EVERSION. */
int ps_manifest_decode(const void *bytes, size_t len, struct ps_manifest *manifest)
    __attribute__((warn_unused_result));
/* The node of `level` whose entries begin with `first`. */
int ps_manifest_check_node(const struct ps_manifest *manifest, unsigned level, uint64_t first,
                           const void *bytes, size_t len) __attribute__((warn_unused_result));
/* Of bytes that were checked: `at` counts from their first entry, `head` is PS_MANIFEST_HEAD or _NODE. */
void ps_manifest_entry(const uint8_t *bytes, size_t head, uint32_t at, struct ps_manifest_entry *entry);

#endif
