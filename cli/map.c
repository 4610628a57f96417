/* map: where the bytes of the file are, as text, as a picture, or piece by piece as JSON. */
#include "cli/map.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/files.h"

enum {
	TEXT_LINES = 32,
	TEXT_MARGIN = 14, /* an offset before the line, and bars around it */
	TEXT_MIN = 16,
	TEXT_MAX = 256,
	SVG_PER_LINE = 128,
	SVG_LINES = 48,
};

/* ---- text ---- */

static size_t columns(void)
{
	struct winsize size;
	const char *text = getenv("COLUMNS");
	long asked = text != NULL ? strtol(text, NULL, 10) : 0;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
		return size.ws_col;
	return asked > 0 && asked < 10000 ? (size_t)asked : 80;
}

/* The largest power of two that fits: so a line is a round number of bytes. */
static size_t text_per_line(void)
{
	size_t width = TEXT_MIN, room = columns();

	while (width < TEXT_MAX && 2 * width + TEXT_MARGIN <= room)
		width *= 2;
	return width;
}

/* One character a cell. Slabs are letters, by the size of their slots: large ones where at least half of the
 * slots are in use. */
static char cell_text(const struct map_cell *cell)
{
	static const char marks[MAP_USES] = {
	    [PS_SPACE_FREE] = '.',  [PS_SPACE_FIXED] = '*',   [PS_SPACE_LOG] = '=',
	    [PS_SPACE_TABLE] = ':', [PS_SPACE_OBJECTS] = '#', [PS_SPACE_SLAB] = 0};
	enum ps_space_use use = map_use(cell);

	if (use != PS_SPACE_SLAB)
		return marks[use];
	return (char)((2 * cell->filled >= cell->bytes[PS_SPACE_SLAB] ? 'A' : 'a') + (int)map_band(cell));
}

static void print_cells(const struct space_map *map)
{
	char offset[32];

	for (size_t at = 0; at < map->count; at += map->per_line) {
		printf("%10s |", cli_size_text(at * map->cell_bytes, offset));
		for (size_t i = at; i < at + map->per_line && i < map->count; i++)
			putchar(cell_text(&map->cells[i]));
		puts("|");
	}
}

static void print_kind(const char *mark, const char *name, uint64_t bytes, uint64_t whole)
{
	char size[32];

	printf("  %-4s %-32s %11s %6.1f %%\n", mark, name, cli_size_text(bytes, size),
	       map_percent(bytes, whole));
}

static void print_kinds(const struct space_map *map)
{
	static const enum ps_space_use uses[] = {PS_SPACE_FIXED, PS_SPACE_LOG, PS_SPACE_TABLE,
	                                         PS_SPACE_OBJECTS, PS_SPACE_FREE};
	static const char *const marks[] = {"*", "=", ":", "#", "."};
	char name[64], band[32];
	const struct map_cell *total = &map->total;

	for (size_t i = 0; i < sizeof(uses) / sizeof(*uses); i++)
		print_kind(marks[i], map_use_names[uses[i]], total->bytes[uses[i]], map->file_bytes);
	for (unsigned i = 0; i < MAP_BANDS; i++) {
		const char mark[] = {(char)('A' + (int)i), ' ', (char)('a' + (int)i), '\0'};

		snprintf(name, sizeof(name), "slabs of slots %s", map_band_text(i, band));
		if (total->band[i] > 0)
			print_kind(mark, name, total->band[i], map->file_bytes);
	}
	if (total->bytes[PS_SPACE_SLAB] > 0)
		printf("  (small letter: less than half of the slots are in use; of all slabs %.1f %%)\n",
		       map_percent(total->filled, total->bytes[PS_SPACE_SLAB]));
}

static void print_text(const struct cli *cli, const struct space_map *map)
{
	char file[32], live[32], objects[32], cell[32], line[32], *name = malloc(4 * strlen(cli->store) + 6);

	printf("%s: %s, %.1f %% in use; %s in %s objects\n",
	       name != NULL ? cli_escape(cli->store, name, 4 * strlen(cli->store) + 6) : "store",
	       cli_size_text(map->file_bytes, file), map_percent(map_in_use(&map->total), map->file_bytes),
	       cli_size_text(map->stats.live_bytes, live), cli_count_text(map->stats.objects, objects));
	printf("a character is %s, a line %s: what most of it is\n\n", cli_size_text(map->cell_bytes, cell),
	       cli_size_text(map->cell_bytes * map->per_line, line));
	free(name);
	print_cells(map);
	putchar('\n');
	print_kinds(map);
	if (map->routes.count > 0) {
		putchar('\n');
		routes_print(&map->routes);
	}
}

/* ---- JSON ---- */

struct piece_json {
	const struct cli *cli;
	struct ps_multi_placement placement;
};

static int say_piece(void *arg, const struct ps_space_piece *piece)
{
	const struct piece_json *j = arg;
	json_t *object = json_pack("{s:I, s:I, s:s}", "offset", (json_int_t)piece->offset, "bytes",
	                           (json_int_t)piece->len, "use", map_use_keys[piece->use]);

	if (piece->use == PS_SPACE_SLAB && piece->class >= 1 && piece->class <= j->placement.classes) {
		json_object_set_new(object, "slot_bytes",
		                    json_integer(j->placement.slot_bytes[piece->class - 1]));
		json_object_set_new(object, "slots", json_integer(piece->slots));
		json_object_set_new(object, "used", json_integer(piece->used));
	}
	cli_json(j->cli, object);
	return cli_interrupted();
}

static int say_pieces(const struct cli *cli, ps_storer *s, const struct space_map *map)
{
	struct piece_json j = {.cli = cli, .placement = map->routes.placement};

	return ps_each_space(s, say_piece, &j);
}

/* The last line. */
static void say_totals(const struct cli *cli, const struct space_map *map, const char *svg)
{
	json_t *object =
	    json_pack("{s:I, s:I, s:I, s:I}", "file_bytes", (json_int_t)map->file_bytes, "in_use_bytes",
	              (json_int_t)map_in_use(&map->total), "objects", (json_int_t)map->stats.objects,
	              "live_bytes", (json_int_t)map->stats.live_bytes);
	json_t *space = json_object();

	for (unsigned use = 0; use < MAP_USES; use++)
		json_object_set_new(space, map_use_keys[use],
		                    json_integer((json_int_t)map->total.bytes[use]));
	json_object_set_new(object, "space", space);
	routes_json(&map->routes, object);
	if (svg != NULL)
		cli_json_name(object, "svg", svg);
	cli_json(cli, object);
}

/* ---- picture ---- */

/* The picture appears under its name when it is complete. */
static int write_picture(const char *path, const char *bytes, size_t len)
{
	struct ps_file_temp temp;
	int err = ps_file_temp_open(AT_FDCWD, path, 0600, &temp);

	if (err != PS_OK)
		return err;
	err = ps_file_write(temp.fd, path, bytes, len);
	if (err != PS_OK) {
		ps_file_temp_drop(&temp);
		return err;
	}
	return ps_file_temp_keep(&temp, path, true);
}

static int draw_picture(const struct cli *cli, const struct space_map *map)
{
	const char *slash = strrchr(cli->store, '/');
	char *bytes = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&bytes, &len);
	int err;

	if (out == NULL)
		return ps_fail(PS_ENOMEM, "no memory for the picture");
	map_svg(map, slash != NULL ? slash + 1 : cli->store, out);
	err = fclose(out) == 0 ? PS_OK : ps_fail(PS_ENOMEM, "no memory for the picture");
	if (err == PS_OK)
		err = write_picture(cli->svg, bytes, len);
	free(bytes);
	return err;
}

/* ---- the command ---- */

static int map_run(struct cli *cli, ps_storer *s)
{
	struct space_map map;
	int err;

	if (cli->svg != NULL)
		err = map_make(s, SVG_PER_LINE, SVG_LINES, &map);
	else
		err = map_make(s, text_per_line(), TEXT_LINES, &map);
	if (err != PS_OK)
		return cli_fail(cli, err, NULL);
	if (cli->svg != NULL)
		err = draw_picture(cli, &map);
	else if (cli->json)
		err = say_pieces(cli, s, &map);
	else if (!cli->quiet)
		print_text(cli, &map);
	if (err == PS_OK) {
		say_totals(cli, &map, cli->svg);
		if (cli->svg != NULL)
			cli_say(cli, "wrote %s", cli->svg);
	}
	map_free(&map);
	return err == PS_OK ? CLI_DONE : cli_fail(cli, err, NULL);
}

/* Not read-only: what is free, a store that may not be written does not find out. */
int cli_run_map(struct cli *cli)
{
	return cli_with_store(cli, PS_OPEN_EXISTING, map_run);
}
