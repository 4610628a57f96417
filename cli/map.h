/* The space of a store's file, reduced to as many equal cells as a picture has. */
#ifndef PS_CLI_MAP_H
#define PS_CLI_MAP_H

#include <stdio.h>

#include "cli/routes.h"
#include "store/placement.h"

enum {
	MAP_USES = PS_SPACE_SLAB + 1,
	MAP_BANDS = 8,  /* of slot sizes: up to 64 bytes, 128, … 4096, and above */
	MAP_SHADES = 5, /* of how full slabs are, a fifth each */
	MAP_CELL_MIN = 4096,
};

struct map_cell {
	uint64_t bytes[MAP_USES];
	uint64_t band[MAP_BANDS]; /* of the slabs among them */
	uint64_t filled;          /* of the slabs' bytes: in slots in use */
};

struct space_map {
	struct map_cell *cells;
	size_t count, per_line; /* the last line may be short */
	uint64_t cell_bytes, file_bytes;
	struct map_cell total;
	struct cli_routes routes;
	struct ps_stats stats;
};

/* Cells of a power of two bytes, at least MAP_CELL_MIN, in at most `lines` lines of per_line. Errors of
 * ps_stats and ps_each_space; PS_ENOTSUP where the store cannot tell. */
PS_CHECKED int map_make(ps_storer *s, size_t per_line, size_t lines, struct space_map *map);
void map_free(struct space_map *map);

/* What has the most bytes of a cell. */
enum ps_space_use map_use(const struct map_cell *cell);
unsigned map_band(const struct map_cell *cell);  /* the band that has most of its slabs */
unsigned map_shade(const struct map_cell *cell); /* how full its slabs are: 0 to MAP_SHADES - 1 */
/* Bytes of the file that are in use: of slabs the slots that are. */
uint64_t map_in_use(const struct map_cell *total);
double map_percent(uint64_t part, uint64_t whole);

unsigned map_band_of(uint32_t slot_bytes);
/* "up to 64 B" */
const char *map_band_text(unsigned band, char out[32]);
extern const char *const map_use_names[MAP_USES]; /* for people */
extern const char *const map_use_keys[MAP_USES];  /* for programs */

/* The map as a picture, a whole SVG file. `name` is shown as it is but for what XML does not take. */
void map_svg(const struct space_map *map, const char *name, FILE *out);

#endif
