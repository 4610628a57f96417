/* Any bytes are a class table as it stands in a file: what passes the check has places that fit their slabs.
 */
#include <stdlib.h>
#include <string.h>

#include "allocator/class_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need(bool holds)
{
	if (!holds)
		abort();
}

/* Slots lie in their frame, frames in the slab, one behind the other; places and slots are each other's
 * inverse. */
static void check_class(const struct ps_class_geometry *g)
{
	uint64_t slab = (uint64_t)g->slab_bytes * 3, end = slab;
	need(g->slots_per_slab > 0);
	for (uint32_t slot = 0; slot < g->slots_per_slab; slot++) {
		uint64_t place = ps_class_place(g, slab, slot);
		struct ps_extent frame = ps_class_frame(g, place);
		need(place >= end && place + g->slot_bytes <= slab + g->slab_bytes);
		need(place >= frame.offset && place + g->slot_bytes <= frame.offset + frame.len);
		need(frame.offset % PS_CLASS_PAGE == 0 && frame.len % PS_CLASS_PAGE == 0);
		need(ps_class_slot(g, place) == slot && ps_class_place_sound(g, place));
		need(!ps_class_place_sound(g, place + 8) && ps_class_slab(g, place) == slab);
		end = place + g->slot_bytes;
	}
	uint32_t sound = 0;
	for (uint64_t place = slab; place < slab + g->slab_bytes; place += PS_CLASS_GRANULE)
		sound += ps_class_place_sound(g, place);
	need(sound == g->slots_per_slab);
}

static void check_sizes(const struct ps_class_map *map)
{
	for (uint64_t size = 0; size <= (uint64_t)2 << PS_SLAB_SHIFT_MAX; size += size < 8192 ? 1 : 509) {
		unsigned class = ps_class_for(map, size);
		need(class <= map->table.count);
		need(class == 0 || map->geometry[class].slot_bytes >= size);
		need(class <= 1 || map->geometry[class - 1].slot_bytes < size);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ps_class_map map;
	struct ps_class_table table = {0};
	memcpy(&table, data, size < sizeof(table) ? size : sizeof(table));
	if (ps_class_table_check(&table) != PS_OK)
		return 0;
	ps_class_map_init(&map, &table);
	for (unsigned class = 1; class <= table.count; class ++)
		check_class(ps_class_geometry(&map, class));
	check_sizes(&map);
	return 0;
}
