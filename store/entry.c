/* Table entries and checksums. */
#include <xxhash.h>

#include "store/base_internal.h"

struct entry entry_make(enum entry_kind kind, uint64_t place, uint64_t size, uint64_t checksum, unsigned level,
			uint32_t generation)
{
	return (struct entry){{place / GRANULE | (uint64_t)kind << 44 | (uint64_t)level << 56, size, checksum, generation}};
}

uint64_t entry_blob_len(const struct entry *e)
{
	switch (entry_kind(e)) {
	case ENTRY_DATA:
	case ENTRY_RESERVED:
		return entry_size(e);
	case ENTRY_MAP:
		return map_root_entries(entry_size(e), entry_level(e)) * 16;
	default:
		return 0;
	}
}

static bool place_sound(uint64_t place, uint64_t len)
{
	if (place < SUPERBLOCK_AREA)
		return false;
	return len < PAGE ? place % PAGE + len <= PAGE : place % PAGE == 0;
}

static bool free_sound(const struct entry *e)
{
	return !e->w[0] && !e->w[1] && !e->w[2] && !(e->w[3] & 0xff000000U);
}

static bool live_sound(const struct entry *e, uint64_t slot)
{
	uint32_t generation = entry_generation(e);
	if (e->w[3] >> 24 || !generation || (slot == 0 && generation != 1))
		return false;
	if (e->w[0] >> 60 || (e->w[0] >> 48 & 0xff) || entry_size(e) > PS_SIZE_MAX)
		return false;
	return true;
}

bool entry_valid(const struct entry *e, uint64_t slot)
{
	if (slot >= (uint64_t)GROUP_SLOTS * GROUPS_PER_CHUNK * GROUP_CHUNKS)
		return false;
	uint64_t size = entry_size(e);
	switch (entry_kind(e)) {
	case ENTRY_FREE:
		return free_sound(e);
	case ENTRY_ZERO:
		return live_sound(e, slot) && !entry_place(e) && !e->w[2] && !entry_level(e);
	case ENTRY_DATA:
	case ENTRY_RESERVED:
		return live_sound(e, slot) && size && size <= CHUNK && !entry_level(e) && place_sound(entry_place(e), size);
	case ENTRY_MAP:
		return live_sound(e, slot) && size > CHUNK && entry_level(e) == map_levels(size) &&
		       place_sound(entry_place(e), entry_blob_len(e));
	default:
		return false;
	}
}

uint64_t blob_checksum(uint64_t seed, const void *data, size_t len)
{
	return XXH3_64bits_withSeed(data, len, seed);
}

/* Odd multipliers keep the seeds of an object's parts, and of different objects, apart. */
static uint64_t mix(ps_id id, uint64_t what)
{
	uint64_t x = (id ^ what * 0xd6e8feb86659fd93U) * 0x9e3779b97f4a7c15U;
	return x ^ x >> 32;
}

uint64_t seed_contents(ps_id id)
{
	return mix(id, 0);
}

uint64_t seed_chunk(ps_id id, uint64_t index)
{
	return mix(id, index + 1);
}

uint64_t seed_node(ps_id id, unsigned level, uint64_t index)
{
	return mix(id, (uint64_t)(level + 1) << 56 | index);
}
