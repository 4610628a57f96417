/* Results on the terminal: one table a row and class, the best first. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/harness.h"

enum { PEERS_MOST = 64 };

static double median_of(const json_t *r, const char *figure)
{
	return values_median(record_values(r, figure), NULL, NULL);
}

static void print_number(const char *format, int width, double value)
{
	char text[32] = "-";
	if (isfinite(value))
		snprintf(text, sizeof(text), format, value);
	printf(" %*s", width, text);
}

static void print_header(const json_t *r)
{
	const struct figure_info *primary = record_primary(r);
	printf("\n%s %s, %s [durability: %s] %s in %s\n", record_text(r, "workload"), record_text(r, "group"),
	       record_text(r, "row"), record_text(r, "class"), primary->name, primary->unit);
	printf("  %-16s %11s %25s %6s %9s %8s %8s %8s %9s %9s %9s\n", "peer", "median", "min .. max", "limit",
	       "cpu ns", "calls", "flushes", "written", "p50 us", "p99 us", "p99.9 us");
}

static void print_others(const json_t *r)
{
	static const enum figure_kind others[] = {
	    FIG_TIME,         FIG_GET_P50,    FIG_GET_P99,        FIG_GET_P999,        FIG_SPACE,
	    FIG_SPACE_CLOSED, FIG_SPACE_HALF, FIG_SPACE_REFILLED, FIG_SPACE_COMPACTED, FIG_RESIDENT};
	bool any = false;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		const struct figure_info *f = &figure_infos[others[i]];
		if (!record_values(r, f->name) || !strcmp(record_text(r, "primary"), f->name))
			continue;
		printf("%s%s %.4g %s", any ? ", " : "    ", f->name, median_of(r, f->name), f->unit);
		any = true;
	}
	if (any)
		printf("\n");
}

static void print_row(const json_t *records, const json_t *r)
{
	double least = NAN, most = NAN, ratio = record_ratio(records, r);
	double median = values_median(record_values(r, record_text(r, "primary")), &least, &most);
	const json_t *target = json_object_get(r, "target");
	char range[64];
	snprintf(range, sizeof(range), "%.5g .. %.5g", least, most);
	printf("  %-16s %11.5g %25s", record_text(r, "peer"), median, range);
	print_number("%.2f", 6, ratio);
	print_number("%.0f", 9, median_of(r, "cpu"));
	print_number("%.3f", 8, median_of(r, "I/O calls"));
	print_number("%.4f", 8, median_of(r, "flushes"));
	print_number("%.2f", 8, median_of(r, "written"));
	print_number("%.2f", 9, median_of(r, "p50"));
	print_number("%.2f", 9, median_of(r, "p99"));
	print_number("%.2f", 9, median_of(r, "p99.9"));
	if (json_integer_value(json_object_get(r, "objects")) <
	    json_integer_value(json_object_get(r, "wanted")))
		printf("  (%lld objects)", (long long)json_integer_value(json_object_get(r, "objects")));
	if (target && record_has_target(r) && isfinite(ratio))
		printf("  %s stack's target %.2f: %s", record_text(r, "stack"), json_number_value(target),
		       ratio >= json_number_value(target) ? "met" : "MISSED");
	printf("\n");
	print_others(r);
}

static bool same_row(const json_t *a, const json_t *b)
{
	return !strcmp(record_text(a, "group"), record_text(b, "group")) &&
	       !strcmp(record_text(a, "row"), record_text(b, "row")) &&
	       !strcmp(record_text(a, "workload"), record_text(b, "workload")) &&
	       !strcmp(record_text(a, "class"), record_text(b, "class")) &&
	       !strcmp(record_text(b, "record"), "row");
}

/* Whether an earlier record has begun the same row. */
static bool is_first(const json_t *records, size_t from, size_t at)
{
	for (size_t i = from; i < at; i++) {
		if (same_row(json_array_get(records, at), json_array_get(records, i)))
			return false;
	}
	return true;
}

static void print_from(const json_t *records, size_t at)
{
	const json_t *first = json_array_get(records, at), *rows[PEERS_MOST];
	size_t n = 0;
	for (size_t i = at; i < json_array_size(records) && n < PEERS_MOST; i++) {
		const json_t *r = json_array_get(records, i);
		if (!same_row(first, r))
			continue;
		/* By how near the limit they are. */
		size_t k = n++;
		for (; k && record_ratio(records, r) > record_ratio(records, rows[k - 1]); k--)
			rows[k] = rows[k - 1];
		rows[k] = r;
	}
	print_header(first);
	for (size_t i = 0; i < n; i++)
		print_row(records, rows[i]);
}

void table_print(const json_t *records, size_t from)
{
	for (size_t i = from; i < json_array_size(records); i++) {
		const json_t *r = json_array_get(records, i);
		if (!strcmp(record_text(r, "record"), "failure"))
			printf("\n%s %s: %s FAILED: %s\n", record_text(r, "workload"),
			       record_text(r, "group"), record_text(r, "peer"), record_text(r, "why"));
		else if (!strcmp(record_text(r, "record"), "row") && is_first(records, from, i))
			print_from(records, i);
	}
	fflush(stdout);
}
