/* The results as Markdown: what bench/RESULTS.md is made of. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/harness.h"
#include "bench/plot.h"

enum { PEERS_MOST = 64 };

static bool same_table(const json_t *a, const json_t *b)
{
	return !strcmp(record_text(a, "workload"), record_text(b, "workload")) &&
	       !strcmp(record_text(a, "class"), record_text(b, "class"));
}

static bool same_row(const json_t *a, const json_t *b)
{
	return same_table(a, b) && !strcmp(record_text(a, "group"), record_text(b, "group")) &&
	       !strcmp(record_text(a, "row"), record_text(b, "row"));
}

static bool is_row(const json_t *r)
{
	return !strcmp(record_text(r, "record"), "row");
}

static bool is_first(const json_t *records, size_t at, bool same_as(const json_t *a, const json_t *b))
{
	for (size_t i = 0; i < at; i++) {
		if (is_row(json_array_get(records, i)) &&
		    same_as(json_array_get(records, at), json_array_get(records, i)))
			return false;
	}
	return true;
}

static double median_of(const json_t *r, double *least, double *most)
{
	return values_median(record_values(r, record_text(r, "primary")), least, most);
}

static bool is_padstone(const json_t *r)
{
	return !strncmp(record_text(r, "peer"), "padstone", 8);
}

struct line {
	const json_t *limit, *best, *padstone;
};

static void consider(struct line *l, const json_t *r)
{
	bool more = record_primary(r)->more_is_better;
	const json_t **slot = json_is_true(json_object_get(r, "limit")) ? &l->limit
	                      : is_padstone(r)                          ? &l->padstone
	                                                                : &l->best;
	/* Where a stack has a target, it stands for Padstone. */
	if (slot == &l->padstone && json_object_get(r, "target") && !record_has_target(r) && *slot)
		return;
	if (slot == &l->padstone && record_has_target(r))
		*slot = NULL;
	if (!*slot || (more ? median_of(r, NULL, NULL) > median_of(*slot, NULL, NULL)
	                    : median_of(r, NULL, NULL) < median_of(*slot, NULL, NULL)))
		*slot = r;
}

static void cell(FILE *f, const json_t *r)
{
	char text[32], low[32], high[32];
	double least = NAN, most = NAN, value;
	if (!r) {
		fputs(" | ", f);
		return;
	}
	value = median_of(r, &least, &most);
	fprintf(f, " | %s", plot_number(value, text, sizeof(text)));
	if (most > least)
		fprintf(f, " (%s–%s)", plot_number(least, low, sizeof(low)),
		        plot_number(most, high, sizeof(high)));
}

/* How far ahead of the best peer: over 1 is better. */
static void lead(FILE *f, const struct line *l)
{
	if (!l->best || !l->padstone) {
		fputs(" | ", f);
		return;
	}
	double ratio = median_of(l->padstone, NULL, NULL) / median_of(l->best, NULL, NULL);
	fprintf(f, " | %.2f", record_primary(l->best)->more_is_better ? ratio : 1 / ratio);
}

static void verdict(FILE *f, const json_t *records, const struct line *l)
{
	const json_t *target = l->padstone ? json_object_get(l->padstone, "target") : NULL;
	double ratio = l->padstone ? record_ratio(records, l->padstone) : NAN;
	if (isfinite(ratio))
		fprintf(f, " | %.2f", ratio);
	else
		fputs(" | ", f);
	if (!target || !isfinite(ratio))
		fputs(" | | |\n", f);
	else
		fprintf(f, " | %.2f (%s) | %s |\n", json_number_value(target),
		        record_text(l->padstone, "stack"),
		        ratio >= json_number_value(target) ? "met" : "MISSED");
}

static void summary_row(FILE *f, const json_t *records, size_t at)
{
	const json_t *first = json_array_get(records, at);
	struct line l = {0};
	for (size_t i = at; i < json_array_size(records); i++) {
		const json_t *r = json_array_get(records, i);
		if (is_row(r) && same_row(first, r))
			consider(&l, r);
	}
	fprintf(f, "| %s, %s, %s", record_text(first, "group"), record_text(first, "row"),
	        record_primary(first)->unit);
	cell(f, l.limit);
	cell(f, l.best);
	fprintf(f, " | %s", l.best ? record_text(l.best, "peer") : "");
	cell(f, l.padstone);
	fprintf(f, "%s%s", l.padstone && strcmp(record_text(l.padstone, "peer"), "padstone") ? " " : "",
	        l.padstone && strcmp(record_text(l.padstone, "peer"), "padstone")
	            ? record_text(l.padstone, "peer")
	            : "");
	lead(f, &l);
	verdict(f, records, &l);
}

static void summary_table(FILE *f, const json_t *records, size_t at)
{
	const json_t *first = json_array_get(records, at);
	const char *title = "";
	for (unsigned i = 0; workloads[i]; i++) {
		if (!strcmp(workloads[i]->name, record_text(first, "workload")))
			title = workloads[i]->title;
	}
	fprintf(f, "\n### %s: %s (durability: %s)\n\n", record_text(first, "workload"), title,
	        record_text(first, "class"));
	fputs("| row | limit | best peer | | padstone | of best peer | of limit | target | |\n"
	      "|---|---:|---:|---|---:|---:|---:|---:|---|\n",
	      f);
	for (size_t i = at; i < json_array_size(records); i++) {
		const json_t *r = json_array_get(records, i);
		if (is_row(r) && same_table(first, r) && is_first(records, i, same_row))
			summary_row(f, records, i);
	}
}

static void figure_cell(FILE *f, const json_t *r, const char *figure)
{
	char text[32];
	double value = values_median(record_values(r, figure), NULL, NULL);
	if (isfinite(value))
		fprintf(f, " | %s", plot_number(value, text, sizeof(text)));
	else
		fputs(" | ", f);
}

static void all_of_row(FILE *f, const json_t *records, size_t at)
{
	static const char *const figures[] = {"cpu", "I/O calls", "flushes", "switches", "written", "p50",
	                                      "p99", "p99.9",     "max",     "space",    "resident"};
	const json_t *first = json_array_get(records, at);
	fprintf(f, "\n#### %s %s, %s, %s (durability: %s)\n\n", record_text(first, "workload"),
	        record_text(first, "group"), record_text(first, "row"), record_primary(first)->unit,
	        record_text(first, "class"));
	fputs("| peer | median (least–most) | cpu ns/op | I/O calls/op | flushes/op | switches/op | "
	      "written/byte | p50 µs | p99 | p99.9 | "
	      "max | space | resident MiB "
	      "|\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
	      f);
	for (size_t i = at; i < json_array_size(records); i++) {
		const json_t *r = json_array_get(records, i);
		if (!is_row(r) || !same_row(first, r))
			continue;
		json_int_t objects = json_integer_value(json_object_get(r, "objects"));
		fprintf(f, "| %s", record_text(r, "peer"));
		if (objects < json_integer_value(json_object_get(r, "wanted")))
			fprintf(f, " (%lld objects)", (long long)objects);
		cell(f, r);
		for (size_t k = 0; k < sizeof(figures) / sizeof(figures[0]); k++)
			figure_cell(f, r, figures[k]);
		fputs(" |\n", f);
	}
}

static void head(FILE *f, const json_t *m)
{
	char *settings = json_dumps(json_object_get(m, "settings"), JSON_REAL_PRECISION(4));
	fprintf(f,
	        "# Results\n\nMade by `padstone-bench --results`, not by hand; README.md says how to read "
	        "it. Commit %s, %s.\n\n%s, %lld "
	        "cores, %s of memory; %s; %s; device %s; %s; load before the run %s. Settings %s.%s%s\n",
	        record_text(m, "commit"), record_text(m, "date"), record_text(m, "cpu"),
	        (long long)json_integer_value(json_object_get(m, "cores")), record_text(m, "memory"),
	        record_text(m, "kernel"), record_text(m, "file system"), record_text(m, "device"),
	        record_text(m, "compiler"), record_text(m, "load before"), settings ? settings : "",
	        record_text(m, "left out")[0] ? " Left out, because not installed: " : "",
	        record_text(m, "left out"));
	free(settings);
	fputs("\nMedians of the rounds, least and most in brackets. “Of limit” is 1 at the limit, also where "
	      "less is better.\n",
	      f);
}

static void settings_of_peers(FILE *f, const json_t *records)
{
	fputs("\n## Settings of the peers, as first used in each class\n\n", f);
	for (unsigned p = 0; peers[p]; p++) {
		for (unsigned c = 0; c < CLASSES; c++) {
			for (size_t i = 0; i < json_array_size(records); i++) {
				const json_t *r = json_array_get(records, i);
				if (!is_row(r) || strcmp(record_text(r, "peer"), peers[p]->name) ||
				    strcmp(record_text(r, "class"), class_name(c)))
					continue;
				fprintf(f, "- **%s** (%s): %s\n", peers[p]->name, class_name(c),
				        record_text(r, "settings"));
				break;
			}
		}
	}
}

static bool take_over(FILE *f, const char *path)
{
	char buf[4096];
	FILE *from = fopen(path, "r");
	if (!from)
		return false;
	fputs("\n", f);
	for (size_t n; (n = fread(buf, 1, sizeof(buf), from)) > 0;)
		fwrite(buf, 1, n, f);
	fclose(from);
	return true;
}

bool results_write(const json_t *records, const char *path, const char *notes)
{
	FILE *f = fopen(path, "w");
	if (!f)
		return false;
	head(f, json_array_get(records, 0));
	fputs("\n## Padstone, the limit and the best peer\n", f);
	for (size_t i = 0; i < json_array_size(records); i++) {
		const json_t *r = json_array_get(records, i);
		if (!strcmp(record_text(r, "record"), "failure"))
			fprintf(f, "\n%s %s: %s failed: %s\n", record_text(r, "workload"),
			        record_text(r, "group"), record_text(r, "peer"), record_text(r, "why"));
		else if (is_row(r) && is_first(records, i, same_table))
			summary_table(f, records, i);
	}
	if (notes && !take_over(f, notes))
		fprintf(f, "\n%s could not be read.\n", notes);
	fputs("\n## Every figure\n", f);
	for (size_t i = 0; i < json_array_size(records); i++) {
		if (is_row(json_array_get(records, i)) && is_first(records, i, same_row))
			all_of_row(f, records, i);
	}
	settings_of_peers(f, records);
	return fclose(f) == 0;
}
