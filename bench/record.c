/* Results as JSON objects: written one a line, read again by table, page and comparison. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/harness.h"

static const double SHARES[] = {0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999, 1};
enum { SHARE_COUNT = sizeof(SHARES) / sizeof(SHARES[0]), LINE_MOST = 1 << 20 };

static void add(json_t *object, const char *name, json_t *value)
{
	if (!value || json_object_set_new(object, name, value))
		die("no memory for a result");
}

/* Six digits are more than any of the figures has. */
static json_t *number(double value)
{
	char text[32];
	snprintf(text, sizeof(text), "%.6g", value);
	return json_real(strtod(text, NULL));
}

static json_t *begin(const struct group *g, const struct peer_ops *p, const char *kind)
{
	json_t *r = json_object();
	add(r, "record", json_string(kind));
	add(r, "workload", json_string(g->workload->name));
	add(r, "group", json_string(g->name));
	add(r, "class", json_string(class_name(g->durability)));
	add(r, "peer", json_string(p->name));
	return r;
}

/* NULL if no round measured it. */
static json_t *values_of(const struct slice *slices, unsigned rounds, unsigned figure)
{
	json_t *values = json_array();
	for (unsigned i = 0; i < rounds; i++) {
		if (isfinite(slices[i].figure[figure]))
			json_array_append_new(values, number(slices[i].figure[figure]));
	}
	if (json_array_size(values))
		return values;
	json_decref(values);
	return NULL;
}

static json_t *latency_of(const struct slice *slices, unsigned rounds)
{
	static struct histogram all;
	memset(&all, 0, sizeof(all));
	for (unsigned i = 0; i < rounds; i++)
		histogram_merge(&all, &slices[i].latency);
	if (!all.total)
		return NULL;
	json_t *curve = json_array();
	for (unsigned i = 0; i < SHARE_COUNT; i++)
		json_array_append_new(curve, json_pack("[f,o]", SHARES[i],
		                                       number((double)histogram_at(&all, SHARES[i]) * 1e-3)));
	return curve;
}

void record_row(json_t *records, const struct group *g, const struct row *row, const struct peer_ops *p,
                const struct slice *slices, unsigned rounds)
{
	json_t *r = begin(g, p, "row"), *figures = json_object(), *curve = latency_of(slices, rounds);
	add(r, "row", json_string(row->name));
	add(r, "threads", json_integer(row->threads));
	add(r, "limit", json_boolean(p->abilities & IS_LIMIT));
	add(r, "primary", json_string(figure_infos[row->primary].name));
	if (row->target > 0) {
		add(r, "target", number(row->target));
		add(r, "stack", json_string(row->stack ? row->stack : "base"));
	}
	add(r, "wanted", json_integer((json_int_t)g->count));
	add(r, "objects", json_integer((json_int_t)slices[0].objects));
	add(r, "settings", json_string(slices[0].settings));
	for (unsigned i = 0; i < FIGURE_KINDS; i++) {
		json_t *values = values_of(slices, rounds, i);
		if (values)
			add(figures, figure_infos[i].name, values);
	}
	if (!json_object_size(figures)) {
		json_decref(figures);
		json_decref(r); /* the peer cannot do this row */
		return;
	}
	add(r, "figures", figures);
	if (curve)
		add(r, "latency", curve);
	json_array_append_new(records, r);
}

void record_failure(json_t *records, const struct group *g, const struct peer_ops *p, const char *why)
{
	json_t *r = begin(g, p, "failure");
	json_t *text = json_string(why);
	add(r, "why", text ? text : json_string("it said something unreadable"));
	json_array_append_new(records, r);
}

bool records_save(const json_t *records, const char *path)
{
	FILE *f = strcmp(path, "-") ? fopen(path, "w") : stdout;
	size_t i;
	json_t *r;
	bool good = f != NULL;
	json_array_foreach(records, i, r) good =
	    good && !json_dumpf(r, f, JSON_COMPACT | JSON_REAL_PRECISION(6)) && fputc('\n', f) != EOF;
	if (f && f != stdout)
		good = fclose(f) == 0 && good;
	return good;
}

json_t *records_load(const char *path)
{
	FILE *f = fopen(path, "r");
	json_t *records = json_array();
	char *line = xalloc(LINE_MOST);
	if (!f)
		die("%s cannot be opened", path);
	for (unsigned n = 1; fgets(line, LINE_MOST, f); n++) {
		json_error_t error;
		json_t *r = json_loads(line, 0, &error);
		if (!json_is_object(r))
			die("%s:%u: not a result: %s", path, n, error.text);
		json_array_append_new(records, r);
	}
	fclose(f);
	free(line);
	return records;
}

const char *record_text(const json_t *record, const char *name)
{
	const char *text = json_string_value(json_object_get(record, name));
	return text ? text : "";
}

json_t *record_values(const json_t *record, const char *figure)
{
	return json_object_get(json_object_get(record, "figures"), figure);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

double values_median(const json_t *values, double *least, double *most)
{
	double v[ROUNDS_MAX];
	size_t n = json_array_size(values);
	if (!n || n > ROUNDS_MAX)
		return NAN;
	for (size_t i = 0; i < n; i++)
		v[i] = json_number_value(json_array_get(values, i));
	qsort(v, n, sizeof(v[0]), compare_doubles);
	if (least)
		*least = v[0];
	if (most)
		*most = v[n - 1];
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static bool same(const json_t *a, const json_t *b, const char *name)
{
	return strcmp(record_text(a, name), record_text(b, name)) == 0;
}

const struct figure_info *record_primary(const json_t *record)
{
	return figure_named(record_text(record, "primary"));
}

const json_t *record_limit(const json_t *records, const json_t *record)
{
	size_t i;
	json_t *r;
	json_array_foreach(records, i, r)
	{
		if (json_is_true(json_object_get(r, "limit")) && same(r, record, "workload") &&
		    same(r, record, "group") && same(r, record, "row") && same(r, record, "class"))
			return r;
	}
	return NULL;
}

double record_ratio(const json_t *records, const json_t *record)
{
	const char *primary = record_text(record, "primary");
	const json_t *limit = record_limit(records, record);
	json_t *mine = record_values(record, primary), *best = limit ? record_values(limit, primary) : NULL;
	double ratios[ROUNDS_MAX];
	size_t n = json_array_size(mine);
	if (!best || n != json_array_size(best) || !n || n > ROUNDS_MAX)
		return best && mine
		           ? (figure_named(primary)->more_is_better
		                  ? values_median(mine, NULL, NULL) / values_median(best, NULL, NULL)
		                  : values_median(best, NULL, NULL) / values_median(mine, NULL, NULL))
		           : NAN;
	for (size_t i = 0; i < n; i++) {
		double x = json_number_value(json_array_get(mine, i)),
		       y = json_number_value(json_array_get(best, i));
		ratios[i] = figure_named(primary)->more_is_better ? x / y : y / x;
	}
	qsort(ratios, n, sizeof(ratios[0]), compare_doubles);
	return n % 2 ? ratios[n / 2] : (ratios[n / 2 - 1] + ratios[n / 2]) / 2;
}

bool record_has_target(const json_t *record)
{
	const char *stack = record_text(record, "stack"), *peer = record_text(record, "peer");
	return (!strcmp(stack, "base") && !strcmp(peer, "padstone")) ||
	       (!strcmp(stack, "full") && !strcmp(peer, "padstone-full"));
}
