/* The results as one page that needs nothing else: plots of every row, latencies, sizes, space; machine and
 * settings. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/harness.h"
#include "bench/plot.h"

enum { ROWS_OF_PEERS = 64 };

static const char style[] =
    ":root{color-scheme:light "
    "dark;--back:#fff;--fore:#1b1f24;--soft:#5b6470;--grid:#e3e7ec;--card:#f7f8fa;--s0:#1556d6;--s1:#7a828c;"
    "--s2:#c2410c;--s3:#0f766e;--s4:#9333ea;--s5:#b45309;--s6:#be123c;--s7:#4d7c0f;--s8:#0369a1;--s9:#86198f;"
    "--s10:#57534e;"
    "--s11:#0d9488;--s12:#0284c7}\n"
    "@media(prefers-color-scheme:dark){:root{--back:#14171b;--fore:#e8ebef;--soft:#9aa4b1;--grid:#2c323a;--"
    "card:#1b1f25;"
    "--s0:#6ea8ff;--s1:#8b949f;--s2:#fb923c;--s3:#2dd4bf;--s4:#c084fc;--s5:#fbbf24;--s6:#fb7185;--s7:#a3e635;"
    "--s8:#38bdf8;"
    "--s9:#e879f9;--s10:#c4bfb9;--s11:#5eead4;--s12:#38d6ff}}\n"
    "*{box-sizing:border-box}body{margin:0 "
    "auto;max-width:1180px;padding:16px;background:var(--back);color:var(--fore);font:15px/1.5 "
    "system-ui,sans-serif}h1{font-size:1.6em;margin:.2em 0}h2{margin:1.6em 0 "
    ".3em;font-size:1.25em}p{max-width:75ch}\n"
    ".grid-of{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,480px),1fr));gap:14px}\n"
    "figure{margin:0;padding:12px;background:var(--card);border-radius:8px;min-width:0}figcaption{font-"
    "weight:600;margin-bottom:4px}"
    "figcaption span{font-weight:400;color:var(--soft)}svg{display:block;width:100%;height:auto}\n"
    "text{font:12px "
    "system-ui,sans-serif;fill:var(--fore)}.axis{fill:var(--soft);font-size:11px}.grid{stroke:var(--grid)}"
    ".name,.value{fill:var(--fore)}.strong{font-weight:700;fill:var(--s0)}\n"
    ".line{fill:none;stroke-width:1.6}.range{stroke-width:2;opacity:.55}.limit{stroke:var(--s1);stroke-"
    "dasharray:4 3}"
    ".target{stroke:var(--s0);stroke-dasharray:2 "
    "3}.line.s0,.line.s12{stroke-width:3}.line.s12{stroke-dasharray:9 4}.line.s1{stroke-dasharray:5 4}\n"
    ".legend{display:flex;flex-wrap:wrap;gap:2px 12px;font-size:13px;margin-top:6px}.legend "
    "span{display:flex;align-items:center;"
    "gap:5px}.legend svg{width:18px;height:8px;flex:none}\n"
    ".wide{overflow-x:auto}table{border-collapse:collapse;font-size:13px}td,th{text-align:left;padding:3px "
    "10px 3px 0;"
    "vertical-align:top;border-bottom:1px solid var(--grid)}th{color:var(--soft);font-weight:500}\n";

static void write_style(FILE *f)
{
	fputs("<style>", f);
	fputs(style, f);
	for (unsigned i = 0; i < STYLES; i++)
		fprintf(f, ".line.s%u,.range.s%u{stroke:var(--s%u)}.mark.s%u{fill:var(--s%u)}\n", i, i, i, i,
		        i);
	fputs("</style>\n", f);
}

/* The same peer has the same colour everywhere. */
static unsigned style_of(const json_t *r)
{
	const char *name = record_text(r, "peer");
	unsigned other = 2;
	if (!strncmp(name, "padstone", 8))
		return name[8] ? STYLES - 1 : 0;
	if (json_is_true(json_object_get(r, "limit")))
		return 1;
	for (unsigned i = 0; peers[i] && strcmp(peers[i]->name, name); i++)
		other += !(peers[i]->abilities & IS_LIMIT) && strncmp(peers[i]->name, "padstone", 8);
	return other < STYLES - 1 ? other : STYLES - 2;
}

static bool same_row(const json_t *a, const json_t *b)
{
	static const char *const names[] = {"record", "workload", "group", "row", "class"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(record_text(a, names[i]), record_text(b, names[i])))
			return false;
	}
	return true;
}

/* All records of the row that record `at` begins, in the order of the file; 0 if an earlier one has begun it.
 */
static unsigned rows_from(const json_t *records, size_t at, const json_t **rows)
{
	const json_t *first = json_array_get(records, at);
	unsigned n = 0;
	for (size_t i = 0; i < json_array_size(records); i++) {
		const json_t *r = json_array_get(records, i);
		if (!same_row(first, r))
			continue;
		if (i < at)
			return 0;
		if (n < ROWS_OF_PEERS)
			rows[n++] = r;
	}
	return n;
}

/* ---- every row ---- */

static void sort_dots(struct dot *d, unsigned n, bool more)
{
	for (unsigned i = 1; i < n; i++) {
		for (unsigned k = i; k && (more ? d[k].value > d[k - 1].value : d[k].value < d[k - 1].value);
		     k--) {
			struct dot t = d[k];
			d[k] = d[k - 1];
			d[k - 1] = t;
		}
	}
}

static void dots_of_row(FILE *f, const json_t *records, size_t at)
{
	const json_t *rows[ROWS_OF_PEERS];
	struct dot d[ROWS_OF_PEERS];
	static char notes[ROWS_OF_PEERS][24];
	unsigned rows_n = rows_from(records, at, rows), n = 0;
	double limit = NAN, target = NAN, ratio = NAN;
	for (unsigned i = 0; i < rows_n; i++) {
		const json_t *r = rows[i];
		d[n] = (struct dot){.name = record_text(r, "peer"), .style = style_of(r), .note = notes[n]};
		d[n].value =
		    values_median(record_values(r, record_text(r, "primary")), &d[n].least, &d[n].most);
		double mine = record_ratio(records, r);
		notes[n][0] = 0;
		if (isfinite(mine) && mine < 1000)
			snprintf(notes[n], sizeof(notes[n]), mine < 9.95 ? "%.2f×" : "%.0f×", mine);
		if (d[n].style == 1)
			limit = d[n].value;
		if (json_object_get(r, "target"))
			ratio = json_number_value(json_object_get(r, "target"));
		n += isfinite(d[n].value) && d[n].value > 0;
	}
	if (!n)
		return;
	if (isfinite(limit) && isfinite(ratio))
		target = record_primary(rows[0])->more_is_better ? limit * ratio : limit / ratio;
	sort_dots(d, n, record_primary(rows[0])->more_is_better);
	char title[256], unit[128];
	snprintf(title, sizeof(title), "%.60s, %.60s", record_text(rows[0], "group"),
	         record_text(rows[0], "row"));
	snprintf(unit, sizeof(unit), "%s, %s is better · durability: %s", record_primary(rows[0])->unit,
	         record_primary(rows[0])->more_is_better ? "more" : "less", record_text(rows[0], "class"));
	plot_dots(f, title, unit, d, n, limit, target);
}

/* ---- latencies ---- */

static void latencies_of_row(FILE *f, const json_t *records, size_t at)
{
	static const struct tick ticks[] = {{0, "0 %"}, {1, "90"}, {2, "99"}, {3, "99.9"}, {4, "99.99"}};
	static struct series s[SERIES_MOST];
	const json_t *rows[ROWS_OF_PEERS];
	unsigned rows_n = rows_from(records, at, rows), n = 0;
	for (unsigned i = 0; i < rows_n && n < SERIES_MOST; i++) {
		const json_t *curve = json_object_get(rows[i], "latency");
		s[n] = (struct series){.name = record_text(rows[i], "peer"), .style = style_of(rows[i])};
		for (size_t k = 0; k < json_array_size(curve) && s[n].n < POINTS_MOST; k++) {
			double share = json_number_value(json_array_get(json_array_get(curve, k), 0));
			double us = json_number_value(json_array_get(json_array_get(curve, k), 1));
			if (share > 0.99995 || us <= 0)
				continue;
			s[n].x[s[n].n] = -log10(1 - share);
			s[n].y[s[n].n++] = us;
		}
		n += s[n].n > 0;
	}
	for (unsigned i = 0; i < n; i++) {
		if (s[i].style == 0) { /* the one that the page is about stands first */
			struct series t = s[0];
			s[0] = s[i];
			s[i] = t;
			break;
		}
	}
	char title[256];
	if (n)
		snprintf(title, sizeof(title), "%.8s %.60s, %.60s", record_text(rows[0], "workload"),
		         record_text(rows[0], "group"), record_text(rows[0], "row"));
	if (n)
		plot_lines(f, &(struct plot){title, "µs at each share of operations", ticks, 5, true, s, n});
}

/* ---- one figure over the groups of a workload ---- */

static unsigned series_for(struct series *s, unsigned *n, const json_t *r)
{
	for (unsigned i = 0; i < *n; i++) {
		if (!strcmp(s[i].name, record_text(r, "peer")))
			return i;
	}
	if (*n == SERIES_MOST)
		return SERIES_MOST - 1;
	s[*n] = (struct series){.name = record_text(r, "peer"), .style = style_of(r)};
	return (*n)++;
}

static void over_groups(FILE *f, const json_t *records, const char *workload, const char *row,
                        const char *title)
{
	static struct series s[SERIES_MOST];
	static struct tick ticks[POINTS_MOST];
	unsigned n = 0, tick_count = 0;
	const char *unit = "";
	for (size_t i = 0; i < json_array_size(records); i++) {
		const json_t *r = json_array_get(records, i);
		if (strcmp(record_text(r, "workload"), workload) || strcmp(record_text(r, "row"), row))
			continue;
		unsigned at = 0;
		while (at < tick_count && strcmp(ticks[at].text, record_text(r, "group")))
			at++;
		if (at == POINTS_MOST)
			continue;
		if (at == tick_count)
			ticks[tick_count++] = (struct tick){at, record_text(r, "group")};
		unsigned k = series_for(s, &n, r);
		double value = values_median(record_values(r, record_text(r, "primary")), NULL, NULL);
		unit = record_primary(r)->unit;
		if (isfinite(value) && value > 0 && s[k].n < POINTS_MOST) {
			s[k].x[s[k].n] = at;
			s[k].y[s[k].n++] = value;
		}
	}
	if (tick_count > 1)
		plot_lines(f, &(struct plot){title, unit, ticks, tick_count, true, s, n});
}

static void space_of_churn(FILE *f, const json_t *records)
{
	static const char *const figures[] = {"space", "space half", "space refilled", "space compacted"};
	static const struct tick ticks[] = {
	    {0, "loaded"}, {1, "half deleted"}, {2, "refilled"}, {3, "compacted"}};
	static struct series s[SERIES_MOST];
	unsigned n = 0;
	for (size_t i = 0; i < json_array_size(records); i++) {
		const json_t *r = json_array_get(records, i);
		if (strcmp(record_text(r, "workload"), "W6") || strcmp(record_text(r, "row"), "space"))
			continue;
		unsigned k = series_for(s, &n, r);
		for (unsigned x = 0; x < 4; x++) {
			double value = values_median(record_values(r, figures[x]), NULL, NULL);
			if (isfinite(value)) {
				s[k].x[s[k].n] = x;
				s[k].y[s[k].n++] = value;
			}
		}
	}
	plot_lines(f, &(struct plot){"W6: space on disk", "times the live bytes", ticks, 4, true, s, n});
}

/* ---- the page ---- */

static void write_machine(FILE *f, const json_t *m)
{
	static const char *const names[] = {"commit",   "date",        "cpu",         "cores",
	                                    "memory",   "kernel",      "file system", "device",
	                                    "compiler", "load before", "left out",    "settings"};
	fputs("<h2>Machine and settings</h2><div class=\"wide\"><table>\n", f);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const json_t *v = json_object_get(m, names[i]);
		char *text = json_is_string(v) ? strdup(json_string_value(v))
		                               : json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(4));
		fprintf(f, "<tr><th>%s</th><td>", names[i]);
		html_text(f, text ? text : "");
		fputs("</td></tr>\n", f);
		free(text);
	}
	fputs("</table></div>\n", f);
}

static void write_peers(FILE *f, const json_t *records)
{
	fputs("<h2>Peers</h2><div class=\"wide\"><table><tr><th>peer</th><th>class</th><th>as used "
	      "first</th></tr>\n",
	      f);
	for (unsigned p = 0; peers[p]; p++) {
		bool seen[CLASSES] = {false};
		for (size_t i = 0; i < json_array_size(records); i++) {
			const json_t *r = json_array_get(records, i);
			for (unsigned c = 0; c < CLASSES; c++) {
				if (seen[c] || strcmp(record_text(r, "peer"), peers[p]->name) ||
				    strcmp(record_text(r, "class"), class_name(c)) ||
				    !json_object_get(r, "settings"))
					continue;
				seen[c] = true;
				fprintf(f, "<tr><td>%s</td><td>%s</td><td>", peers[p]->name, class_name(c));
				html_text(f, record_text(r, "settings"));
				fputs("</td></tr>\n", f);
			}
		}
	}
	fputs("</table></div>\n", f);
}

static void each_row(FILE *f, const json_t *records, const char *workload,
                     void (*fn)(FILE *f, const json_t *records, size_t at))
{
	const json_t *rows[ROWS_OF_PEERS];
	for (size_t i = 0; i < json_array_size(records); i++) {
		const json_t *r = json_array_get(records, i);
		if (!strcmp(record_text(r, "record"), "row") &&
		    !strcmp(record_text(r, "workload"), workload) && rows_from(records, i, rows))
			fn(f, records, i);
	}
}

static bool has_workload(const json_t *records, const char *name)
{
	for (size_t i = 0; i < json_array_size(records); i++) {
		if (!strcmp(record_text(json_array_get(records, i), "workload"), name))
			return true;
	}
	return false;
}

static void write_body(FILE *f, const json_t *records)
{
	for (unsigned i = 0; workloads[i]; i++) {
		if (!has_workload(records, workloads[i]->name))
			continue;
		fprintf(f, "<h2>%s: %s</h2><div class=\"grid-of\">\n", workloads[i]->name,
		        workloads[i]->title);
		each_row(f, records, workloads[i]->name, dots_of_row);
		fputs("</div>\n", f);
	}
	fputs("<h2>How cost grows with size</h2><div class=\"grid-of\">\n", f);
	over_groups(f, records, "W1", "load", "Load");
	over_groups(f, records, "W2", "copied, 1 thread", "Cached get, copied");
	over_groups(f, records, "W2", "in place, 1 thread", "Cached get, in place");
	over_groups(f, records, "P5", "get", "Padstone: cached get, by the number of objects");
	fputs("</div><h2>Space</h2><div class=\"grid-of\">\n", f);
	space_of_churn(f, records);
	fputs("</div><h2>Latencies</h2><div class=\"grid-of\">\n", f);
	for (unsigned i = 0; workloads[i]; i++)
		each_row(f, records, workloads[i]->name, latencies_of_row);
	fputs("</div>\n", f);
}

bool page_write(const json_t *records, const char *path)
{
	FILE *f = fopen(path, "w");
	if (!f)
		return false;
	fputs("<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
	      "content=\"width=device-width,initial-scale=1\"><title>Padstone and its peers</title>\n",
	      f);
	write_style(f);
	fputs("</head><body><h1>Padstone and its peers</h1>\n<p>Dots are medians of the rounds, lines "
	      "through them reach from the least to "
	      "the most. The dashed grey line is the limit, what the machine itself allows; the dotted blue "
	      "one is Padstone's target. "
	      "“0.80×” is a share of the limit, round by round. All peers did the same work in turns; "
	      "results of different durability "
	      "never share a plot.</p>\n",
	      f);
	write_body(f, records);
	write_machine(f, json_array_get(records, 0));
	write_peers(f, records);
	fputs("</body></html>\n", f);
	return fclose(f) == 0;
}
