/* The map as a picture: the file line by line, a legend, and what each route holds. */
#include "cli/map.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
	WIDTH = 1000,
	MARGIN = 24,
	LABELS = 120, /* before the lines, and before the bars */
	TOP = 84,
	LINE_MIN = 9, /* height of a line; short files have higher ones */
	LINE_MAX = 22,
	MAP_HEIGHT = 430,
	LEGEND_ROW = 22,
	BAR = 18,
	BARS_WIDTH = 440,
};

/* Light, told apart in print and by the colour-blind; slabs are one hue, darker the fuller. */
static const char *const colours[MAP_USES] = {
    [PS_SPACE_FREE] = "#eceff1",  [PS_SPACE_FIXED] = "#5f6b73",   [PS_SPACE_LOG] = "#9a7fd1",
    [PS_SPACE_TABLE] = "#2a9d8f", [PS_SPACE_OBJECTS] = "#4178be", [PS_SPACE_SLAB] = "#e08a1e"};
static const char *const shades[MAP_SHADES] = {"#fde7c8", "#fac98b", "#f2a54a", "#d67c15", "#9c520a"};
static const char here[] = "#2f7d5b", changed[] = "#c2452d", away[] = "#cfd8dc";
static const char free_slots[] = "#fde7c8", waste[] = "#f2a54a", live[] = "#9c520a";

/* Text of a picture: control characters and stray bytes shown as \xNN, the rest as XML wants it. */
static void put_text(FILE *out, const char *text)
{
	size_t size = 4 * strlen(text) + 6;
	char *safe = malloc(size);

	if (safe == NULL)
		return;
	for (const char *p = cli_escape(text, safe, size); *p != '\0'; p++) {
		if (*p == '&')
			fputs("&amp;", out);
		else if (*p == '<')
			fputs("&lt;", out);
		else if (*p == '>')
			fputs("&gt;", out);
		else
			putc(*p, out);
	}
	free(safe);
}

static void put_label(FILE *out, double x, double y, const char *class, const char *text)
{
	fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\">", x, y, class);
	put_text(out, text);
	fputs("</text>\n", out);
}

/* `title` is shown where the mouse rests; NULL: none. */
static void put_box(FILE *out, double x, double y, double width, double height, const char *fill,
                    const char *title)
{
	fprintf(out, "<rect x=\"%.2f\" y=\"%.2f\" width=\"%.2f\" height=\"%.2f\" fill=\"%s\"", x, y, width,
	        height, fill);
	if (title == NULL) {
		fputs("/>\n", out);
		return;
	}
	fputs("><title>", out);
	put_text(out, title);
	fputs("</title></rect>\n", out);
}

/* ---- the file ---- */

static const char *cell_colour(const struct map_cell *cell)
{
	enum ps_space_use use = map_use(cell);

	return use == PS_SPACE_SLAB ? shades[map_shade(cell)] : colours[use];
}

static size_t line_count(const struct space_map *map)
{
	return (map->count + map->per_line - 1) / map->per_line;
}

static double line_height(const struct space_map *map)
{
	double height = line_count(map) > 0 ? (double)MAP_HEIGHT / (double)line_count(map) : LINE_MAX;

	return height > LINE_MAX ? LINE_MAX : height < LINE_MIN ? LINE_MIN : height;
}

/* What the mouse is told of a run of cells. */
static void describe(const struct space_map *map, size_t from, size_t to, char *out, size_t size)
{
	char begin[32], end[32], band[32];
	const struct map_cell *cell = &map->cells[from];
	enum ps_space_use use = map_use(cell);
	uint64_t stop = to * map->cell_bytes;
	int n =
	    snprintf(out, size, "%s to %s: %s", cli_size_text(from * map->cell_bytes, begin),
	             cli_size_text(stop < map->file_bytes ? stop : map->file_bytes, end), map_use_names[use]);

	if (use == PS_SPACE_SLAB && n > 0 && (size_t)n < size)
		snprintf(out + n, size - (size_t)n, " of slots %s, %.0f %% in use",
		         map_band_text(map_band(cell), band),
		         map_percent(cell->filled, cell->bytes[PS_SPACE_SLAB]));
}

/* Neighbours that look alike are one box: fewer elements, and no seams between them. */
static bool look_alike(const struct map_cell *a, const struct map_cell *b)
{
	return cell_colour(a) == cell_colour(b) &&
	       (map_use(a) != PS_SPACE_SLAB || map_band(a) == map_band(b));
}

static void put_line(const struct space_map *map, size_t line, FILE *out)
{
	double wide = (double)(WIDTH - LABELS - MARGIN) / (double)map->per_line, high = line_height(map);
	double y = TOP + (double)line * high;
	size_t first = line * map->per_line, end = first + map->per_line;
	char text[160];

	end = end < map->count ? end : map->count;
	for (size_t from = first, to; from < end; from = to) {
		for (to = from + 1; to < end && look_alike(&map->cells[from], &map->cells[to]);)
			to++;
		describe(map, from, to, text, sizeof(text));
		put_box(out, LABELS + (double)(from - first) * wide, y, (double)(to - from) * wide, high - 1,
		        cell_colour(&map->cells[from]), text);
	}
	if (line % (high < 16 ? 2 : 1) == 0)
		put_label(out, LABELS - 8, y + high / 2 + 3.5, "end",
		          cli_size_text(first * map->cell_bytes, text));
}

/* ---- legend ---- */

static void put_entry(const struct space_map *map, FILE *out, double x, double y, enum ps_space_use use)
{
	char text[120], size[32];

	put_box(out, x, y - 11, 14, 14, colours[use], NULL);
	snprintf(text, sizeof(text), "%s: %s, %.1f %%", map_use_names[use],
	         cli_size_text(map->total.bytes[use], size),
	         map_percent(map->total.bytes[use], map->file_bytes));
	put_label(out, x + 20, y, "", text);
}

/* Returns where the next thing may begin. */
static double put_legend(const struct space_map *map, FILE *out, double y)
{
	static const enum ps_space_use uses[] = {PS_SPACE_OBJECTS, PS_SPACE_TABLE, PS_SPACE_LOG,
	                                         PS_SPACE_FIXED, PS_SPACE_FREE};
	char text[160], size[32];
	double x = LABELS;

	for (size_t i = 0; i < sizeof(uses) / sizeof(*uses); i++)
		put_entry(map, out, LABELS + (double)(i % 3) * 290, y + (double)(i / 3) * LEGEND_ROW,
		          uses[i]);
	y += 2 * LEGEND_ROW;
	for (unsigned i = 0; i < MAP_SHADES; i++, x += 28)
		put_box(out, x, y - 11, 28, 14, shades[i], NULL);
	snprintf(text, sizeof(text),
	         "slabs, 0 to 100 %% of the slots in use: %s, %.1f %%; %.1f %% of it in use",
	         cli_size_text(map->total.bytes[PS_SPACE_SLAB], size),
	         map_percent(map->total.bytes[PS_SPACE_SLAB], map->file_bytes),
	         map_percent(map->total.filled, map->total.bytes[PS_SPACE_SLAB]));
	put_label(out, x + 8, y, "", text);
	return y + 2 * LEGEND_ROW;
}

/* ---- routes ---- */

struct bar {
	uint64_t objects, live, waste, unused;
};

static void gather(const struct cli_routes *routes, struct bar bars[MAP_BANDS + 1])
{
	memset(bars, 0, (MAP_BANDS + 1) * sizeof(*bars));
	for (size_t i = 0; i < routes->count; i++) {
		const struct ps_multi_route *r = &routes->route[i];
		struct bar *bar = &bars[i == 0 ? MAP_BANDS : map_band_of(r->slot_bytes)];

		bar->objects += r->objects;
		bar->live += r->allocated > r->waste_bytes ? r->allocated - r->waste_bytes : 0;
		bar->waste += r->waste_bytes;
		bar->unused += i == 0 ? 0 : r->free_bytes + r->tail_bytes;
	}
}

/* Returns where the text behind it may begin. */
static double put_bars(FILE *out, double y, const char *name, const uint64_t parts[3],
                       const char *const fills[3], uint64_t most)
{
	double x = LABELS;

	put_label(out, LABELS - 8, y + 12, "end", name);
	for (size_t i = 0; i < 3; i++) {
		double width = most > 0 ? (double)parts[i] * BARS_WIDTH / (double)most : 0;

		if (width > 0)
			put_box(out, x, y, width, BAR - 3, fills[i], NULL);
		x += width;
	}
	return x + 8;
}

static void put_bar(FILE *out, double y, const struct bar *bar, uint64_t most, const char *name, bool is_root)
{
	const uint64_t parts[] = {bar->live, bar->waste, bar->unused};
	const char *const fills[] = {is_root ? colours[PS_SPACE_OBJECTS] : live, is_root ? "#a9c4e6" : waste,
	                             free_slots};
	char text[160], size[32], lost[32], empty[32], objects[32];
	double x = put_bars(out, y, name, parts, fills, most);

	snprintf(text, sizeof(text), "%s objects, %s; rounding %s; free slots %s",
	         cli_count_text(bar->objects, objects), cli_size_text(bar->live, size),
	         cli_size_text(bar->waste, lost), cli_size_text(bar->unused, empty));
	if (is_root)
		*strstr(text, "; free slots") = '\0';
	put_label(out, x, y + 12, "small", text);
}

static double put_routes(const struct cli_routes *routes, FILE *out, double y)
{
	struct bar bars[MAP_BANDS + 1];
	uint64_t most = 0;
	char name[32];

	gather(routes, bars);
	for (size_t i = 0; i <= MAP_BANDS; i++) {
		uint64_t all = bars[i].live + bars[i].waste + bars[i].unused;

		most = all > most ? all : most;
	}
	put_label(out, MARGIN, y, "head",
	          "Routes: live bytes (dark), lost by rounding up, free slots (light)");
	y += 12;
	for (unsigned i = 0; i <= MAP_BANDS; i++) {
		if (i < MAP_BANDS && bars[i].live + bars[i].waste + bars[i].unused == 0)
			continue;
		put_bar(out, y, &bars[i], most, i < MAP_BANDS ? map_band_text(i, name) : "root",
		        i == MAP_BANDS);
		y += BAR;
	}
	return y + MARGIN;
}

/* ---- where contents are ---- */

static void add_local(struct ps_local_route *to, const struct ps_local_route *r)
{
	to->both_bytes += r->both_bytes;
	to->dirty_bytes += r->dirty_bytes;
	to->away_bytes += r->away_bytes;
	to->away_objects += r->away_objects;
}

static uint64_t local_sum(const struct ps_local_route *r)
{
	return r->both_bytes + r->dirty_bytes + r->away_bytes;
}

static void put_local_bar(FILE *out, double y, const struct ps_local_route *r, uint64_t most,
                          const char *name)
{
	const uint64_t parts[] = {r->both_bytes, r->dirty_bytes, r->away_bytes};
	const char *const fills[] = {here, changed, away};
	char text[160], both[32], dirty[32], gone[32];
	double x = put_bars(out, y, name, parts, fills, most);

	snprintf(text, sizeof(text), "here and pushed %s; changed since %s; away %s",
	         cli_size_text(parts[0], both), cli_size_text(parts[1], dirty),
	         cli_size_text(parts[2], gone));
	put_label(out, x, y + 12, "small", text);
}

static double put_local(const struct cli_routes *routes, FILE *out, double y)
{
	struct ps_local_route bands[MAP_BANDS + 1] = {0};
	const struct ps_local_route unknown = {.away_bytes = routes->unknown_bytes};
	uint64_t most = unknown.away_bytes;
	char name[32];

	for (size_t i = 0; i < routes->count; i++)
		add_local(&bands[i == 0 ? MAP_BANDS : map_band_of(routes->local[i].slot_bytes)],
		          &routes->local[i]);
	for (size_t i = 0; i <= MAP_BANDS; i++)
		most = local_sum(&bands[i]) > most ? local_sum(&bands[i]) : most;
	put_label(
	    out, MARGIN, y, "head",
	    "Contents: in the file and on the network (green), changed since the last push (red), on the "
	    "network only (grey)");
	y += 12;
	for (unsigned i = 0; i <= MAP_BANDS; i++) {
		if (local_sum(&bands[i]) == 0)
			continue;
		put_local_bar(out, y, &bands[i], most, i < MAP_BANDS ? map_band_text(i, name) : "root");
		y += BAR;
	}
	if (unknown.away_bytes > 0) {
		put_local_bar(out, y, &unknown, most, "untouched");
		y += BAR;
	}
	return y + MARGIN;
}

/* ---- the whole ---- */

static void put_heading(const struct space_map *map, const char *name, FILE *out)
{
	char text[256], file[32], bytes[32], objects[32], cell[32], line[32];

	fprintf(out, "<text x=\"%d\" y=\"34\" class=\"title\">", MARGIN);
	put_text(out, name);
	snprintf(text, sizeof(text),
	         "</text>\n<text x=\"%d\" y=\"34\" class=\"title end\">%.1f %% of %s in use</text>\n",
	         WIDTH - MARGIN, map_percent(map_in_use(&map->total), map->file_bytes),
	         cli_size_text(map->file_bytes, file));
	fputs(text, out);
	snprintf(
	    text, sizeof(text),
	    "%s in %s objects. A line is %s, its smallest step %s; the colour is that of what most of it is.",
	    cli_size_text(map->stats.live_bytes, bytes), cli_count_text(map->stats.objects, objects),
	    cli_size_text(map->cell_bytes * map->per_line, line), cli_size_text(map->cell_bytes, cell));
	put_label(out, MARGIN, 60, "", text);
}

/* The body comes first in time, as its height is not known before; a picture is small. */
static double put_body(const struct space_map *map, const char *name, FILE *out)
{
	double y = TOP + line_height(map) * (double)line_count(map) + 32;

	put_heading(map, name, out);
	for (size_t line = 0; line < line_count(map); line++)
		put_line(map, line, out);
	y = put_legend(map, out, y);
	if (map->routes.count > 0)
		y = put_routes(&map->routes, out, y);
	return map->routes.was_pushed ? put_local(&map->routes, out, y) : y;
}

void map_svg(const struct space_map *map, const char *name, FILE *out)
{
	char *body = NULL;
	size_t len = 0;
	FILE *memory = open_memstream(&body, &len);
	double height = memory != NULL ? put_body(map, name, memory) : 0;

	if (memory != NULL && fclose(memory) != 0)
		len = 0;
	fprintf(out,
	        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" width=\"%d\" "
	        "height=\"%.0f\">\n"
	        "<style>text { font: 12px 'DejaVu Sans', Verdana, Helvetica, sans-serif; fill: #263238 }\n"
	        ".title { font-size: 20px; font-weight: bold } .head { font-size: 14px; font-weight: bold }\n"
	        ".small { font-size: 11px } .end { text-anchor: end }</style>\n"
	        "<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n",
	        WIDTH, height, WIDTH, height);
	fwrite(body, 1, len, out);
	fputs("</svg>\n", out);
	free(body);
}
