/* Table entries and checksums. */
#include <xxhash.h>
#ifdef PS_HAVE_XXH_DISPATCH
#include <xxh_x86dispatch.h> /* the same function, by another name */
#endif

#include "store/base_internal.h"

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

/* A slot that was never used carries no interval. */
static bool free_sound(const struct entry *e, uint32_t interval)
{
	return !e->w[0] && e->w[1] <= (e->w[3] ? interval : 0) && !e->w[2] && !(e->w[3] & 0xff000000U);
}

struct ps_extent entry_extent(const struct ps_class_map *classes, const struct entry *e)
{
	unsigned class = entry_class(e);
	return (struct ps_extent){entry_place(e), class ? ps_class_geometry(classes, class)->slot_bytes : extent_len(entry_blob_len(e))};
}

uint64_t entry_end(const struct ps_class_map *classes, const struct entry *e)
{
	unsigned class = entry_class(e);
	struct ps_extent extent = entry_extent(classes, e);
	if (!class)
		return extent.len ? extent.offset + extent.len : 0;
	const struct ps_class_geometry *g = ps_class_geometry(classes, class);
	return ps_class_slab(g, extent.offset) + g->slab_bytes;
}

/* Contents that a class's slot holds, or that lie where the root puts them. */
static bool contents_sound(const struct ps_class_map *classes, const struct entry *e)
{
	unsigned class = entry_class(e);
	uint64_t place = entry_place(e), size = entry_size(e);
	if (!class)
		return place_sound(place, size);
	if (!classes || class > classes->table.count || place < SUPERBLOCK_AREA)
		return false;
	const struct ps_class_geometry *g = ps_class_geometry(classes, class);
	return size <= g->slot_bytes && ps_class_place_sound(g, place);
}

static bool live_sound(const struct entry *e, uint32_t interval, uint64_t slot)
{
	uint32_t generation = entry_generation(e);
	if (e->w[3] & 0xff000000U || entry_interval(e) > interval || !generation || (slot == 0 && generation != 1))
		return false;
	bool may_have_class = entry_kind(e) == ENTRY_DATA || entry_kind(e) == ENTRY_RESERVED;
	if (e->w[0] >> 60 || (entry_class(e) && !may_have_class) || entry_size(e) > PS_SIZE_MAX)
		return false;
	return true;
}

bool entry_valid(const struct ps_class_map *classes, uint32_t interval, const struct entry *e, uint64_t slot)
{
	if (slot >= (uint64_t)GROUP_SLOTS * GROUPS_PER_CHUNK * GROUP_CHUNKS)
		return false;
	uint64_t size = entry_size(e);
	switch (entry_kind(e)) {
	case ENTRY_FREE:
		return free_sound(e, interval);
	case ENTRY_ZERO:
		return live_sound(e, interval, slot) && !entry_place(e) && !e->w[2] && !entry_level(e);
	case ENTRY_DATA:
	case ENTRY_RESERVED:
		return live_sound(e, interval, slot) && size && size <= CHUNK && !entry_level(e) && contents_sound(classes, e);
	case ENTRY_AWAY:
		return live_sound(e, interval, slot) && size && size <= CHUNK && !entry_place(e) && !entry_level(e);
	case ENTRY_UNKNOWN:
		return e->w[0] == (uint64_t)ENTRY_UNKNOWN << 44 && !e->w[1] && !e->w[2] && !e->w[3];
	case ENTRY_SUMS:
		return e->w[0] == (uint64_t)ENTRY_SUMS << 44 && !(uint32_t)e->w[3] && entry_interval(e) &&
		       entry_interval(e) <= interval;
	case ENTRY_MAP:
		return live_sound(e, interval, slot) && size > CHUNK && entry_level(e) == map_levels(size) &&
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
