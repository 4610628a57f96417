/* From pieces of the file to cells of a picture. */
#include "cli/map.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

const char *const map_use_names[MAP_USES] = {
    [PS_SPACE_FREE] = "free",
    [PS_SPACE_FIXED] = "superblocks, gaps",
    [PS_SPACE_LOG] = "commit log",
    [PS_SPACE_TABLE] = "object table",
    [PS_SPACE_OBJECTS] = "objects of the root",
    [PS_SPACE_SLAB] = "slabs",
};
const char *const map_use_keys[MAP_USES] = {
    [PS_SPACE_FREE] = "free",   [PS_SPACE_FIXED] = "fixed",     [PS_SPACE_LOG] = "log",
    [PS_SPACE_TABLE] = "table", [PS_SPACE_OBJECTS] = "objects", [PS_SPACE_SLAB] = "slab",
};

enum { BAND_FIRST = 64 };

unsigned map_band_of(uint32_t slot_bytes)
{
	unsigned band = 0;

	while (band < MAP_BANDS - 1 && slot_bytes > (uint32_t)BAND_FIRST << band)
		band++;
	return band;
}

const char *map_band_text(unsigned band, char out[32])
{
	char size[32];

	if (band == MAP_BANDS - 1)
		snprintf(out, 32, "above %.20s", cli_size_text((uint64_t)BAND_FIRST << (band - 1), size));
	else
		snprintf(out, 32, "up to %.20s", cli_size_text((uint64_t)BAND_FIRST << band, size));
	return out;
}

/* What one piece adds to a cell: `bytes` of it, and of a slab as large a share of its slots. */
struct share {
	enum ps_space_use use;
	unsigned band;
	double filled; /* 0 to 1 */
};

static void add_share(struct map_cell *cell, const struct share *share, uint64_t bytes)
{
	cell->bytes[share->use] += bytes;
	if (share->use == PS_SPACE_SLAB) {
		cell->band[share->band] += bytes;
		cell->filled += (uint64_t)(share->filled * (double)bytes + 0.5);
	}
}

static int add_piece(void *arg, const struct ps_space_piece *piece)
{
	struct space_map *map = arg;
	const struct ps_multi_placement *p = &map->routes.placement;
	struct share share = {.use = piece->use};

	if (piece->use == PS_SPACE_SLAB && piece->class >= 1 && piece->class <= p->classes) {
		uint32_t slot = p->slot_bytes[piece->class - 1];

		share.band = map_band_of(slot);
		share.filled = (double)piece->used * slot / (double)piece->len;
	}
	add_share(&map->total, &share, piece->len);
	for (uint64_t at = piece->offset, end = piece->offset + piece->len, next; at < end; at = next) {
		uint64_t cell = at / map->cell_bytes;

		next = (cell + 1) * map->cell_bytes;
		next = next < end ? next : end;
		if (cell < map->count)
			add_share(&map->cells[cell], &share, next - at);
	}
	return cli_interrupted();
}

int map_make(ps_storer *s, size_t per_line, size_t lines, struct space_map *map)
{
	int err;

	memset(map, 0, sizeof(*map));
	err = routes_read(s, &map->routes);
	if (err == PS_OK)
		err = ps_stats(s, &map->stats);
	if (err != PS_OK)
		return err;
	map->per_line = per_line;
	map->file_bytes = map->stats.file_bytes;
	map->cell_bytes = MAP_CELL_MIN;
	while ((map->file_bytes + map->cell_bytes - 1) / map->cell_bytes > per_line * lines)
		map->cell_bytes *= 2;
	map->count = (size_t)((map->file_bytes + map->cell_bytes - 1) / map->cell_bytes);
	map->cells = calloc(map->count + 1, sizeof(*map->cells));
	if (map->cells == NULL)
		return ps_fail(PS_ENOMEM, "no memory for a map of %zu cells", map->count);
	err = ps_each_space(s, add_piece, map);
	if (err != PS_OK)
		map_free(map);
	return err;
}

void map_free(struct space_map *map)
{
	free(map->cells);
	map->cells = NULL;
}

enum ps_space_use map_use(const struct map_cell *cell)
{
	unsigned most = PS_SPACE_FREE;

	for (unsigned use = 0; use < MAP_USES; use++)
		if (cell->bytes[use] > cell->bytes[most])
			most = use;
	return (enum ps_space_use)most;
}

unsigned map_band(const struct map_cell *cell)
{
	unsigned most = 0;

	for (unsigned band = 1; band < MAP_BANDS; band++)
		if (cell->band[band] > cell->band[most])
			most = band;
	return most;
}

unsigned map_shade(const struct map_cell *cell)
{
	uint64_t slabs = cell->bytes[PS_SPACE_SLAB];
	unsigned shade = slabs > 0 ? (unsigned)(cell->filled * MAP_SHADES / slabs) : 0;

	return shade < MAP_SHADES ? shade : MAP_SHADES - 1;
}

uint64_t map_in_use(const struct map_cell *total)
{
	uint64_t bytes = total->filled;

	for (unsigned use = 0; use < MAP_USES; use++)
		if (use != PS_SPACE_FREE && use != PS_SPACE_SLAB)
			bytes += total->bytes[use];
	return bytes;
}

double map_percent(uint64_t part, uint64_t whole)
{
	return whole > 0 ? 100.0 * (double)part / (double)whole : 0;
}
