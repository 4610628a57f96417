/* Two results side by side: what got slower or faster, and how sure that is. Where the limit was measured in
 * both, its ratio is compared, round by round, because the machine's own speed is in both; elsewhere the
 * figure itself. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/harness.h"

enum { SAMPLE_MOST = 40, ROUNDS_ENOUGH = 5 };
static const double SURE = 0.01, MATTERS = 0.03;

struct sample {
	double value[SAMPLE_MOST];
	size_t n;
};

static bool same(const json_t *a, const json_t *b, const char *name)
{
	return strcmp(record_text(a, name), record_text(b, name)) == 0;
}

static const json_t *counterpart(const json_t *records, const json_t *r)
{
	size_t i;
	json_t *other;
	json_array_foreach(records, i, other)
	{
		if (same(other, r, "record") && same(other, r, "workload") && same(other, r, "group") &&
		    same(other, r, "row") && same(other, r, "class") && same(other, r, "peer"))
			return other;
	}
	return NULL;
}

/* Larger is better in every sample. */
static struct sample sample_of(const json_t *records, const json_t *r, bool of_limit)
{
	struct sample s = {.n = 0};
	const char *primary = record_text(r, "primary");
	const json_t *limit = of_limit ? record_limit(records, r) : NULL;
	const json_t *mine = record_values(r, primary), *best = limit ? record_values(limit, primary) : NULL;
	for (size_t i = 0; i < json_array_size(mine) && s.n < SAMPLE_MOST; i++) {
		double x = json_number_value(json_array_get(mine, i));
		double y = best ? json_number_value(json_array_get(best, i)) : 1;
		s.value[s.n++] = figure_named(primary)->more_is_better ? x / y : y / x;
	}
	return s;
}

static bool has_limit(const json_t *records, const json_t *r)
{
	const json_t *limit = record_limit(records, r);
	const char *primary = record_text(r, "primary");
	return limit && limit != r &&
	       json_array_size(record_values(limit, primary)) == json_array_size(record_values(r, primary));
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static double median(struct sample s)
{
	qsort(s.value, s.n, sizeof(s.value[0]), compare_doubles);
	if (!s.n)
		return NAN;
	return s.n % 2 ? s.value[s.n / 2] : (s.value[s.n / 2 - 1] + s.value[s.n / 2]) / 2;
}

/* In how many of all orders of n and m values the second sample wins exactly u of the n * m pairs (Mann and
 * Whitney, 1947). */
static void count_orders(size_t n, size_t m, double *orders)
{
	size_t most = n * m;
	memset(orders, 0, (most + 1) * sizeof(*orders));
	orders[0] = 1;
	/* Products of (1 - q^(m+i)) / (1 - q^i): the Gaussian binomial coefficient. */
	for (size_t i = 1; i <= n; i++) {
		for (size_t k = most; k + 1 > m + i; k--)
			orders[k] -= orders[k - m - i];
		for (size_t k = i; k <= most; k++)
			orders[k] += orders[k - i];
	}
}

/* The probability that two samples of one distribution differ so much or more, either way. */
static double mann_whitney(const struct sample *a, const struct sample *b)
{
	static double orders[SAMPLE_MOST * SAMPLE_MOST + 1];
	double u = 0, all = 0, tail = 0;
	size_t pairs = a->n * b->n;
	for (size_t i = 0; i < a->n; i++) {
		for (size_t k = 0; k < b->n; k++)
			u += a->value[i] > b->value[k] ? 1 : a->value[i] == b->value[k] ? 0.5 : 0;
	}
	if (u > (double)pairs / 2)
		u = (double)pairs - u;
	count_orders(a->n, b->n, orders);
	for (size_t k = 0; k <= pairs; k++) {
		all += orders[k];
		if ((double)k <= u)
			tail += orders[k];
	}
	return fmin(1, 2 * tail / all);
}

static const char *verdict(double change, double p, const struct sample *a, const struct sample *b)
{
	if (fabs(change) < MATTERS)
		return "as before";
	if (p < SURE)
		return change < 0 ? "SLOWER" : "faster";
	if (a->n < ROUNDS_ENOUGH || b->n < ROUNDS_ENOUGH)
		return "too few rounds to be sure";
	return "within the noise";
}

/* Whether it is surely slower. */
static bool compare_row(const json_t *before, const json_t *after, const json_t *r)
{
	const json_t *old = counterpart(before, r);
	if (!old || !same(old, r, "primary"))
		return false;
	bool of_limit = has_limit(before, old) && has_limit(after, r);
	struct sample a = sample_of(before, old, of_limit), b = sample_of(after, r, of_limit);
	if (!a.n || !b.n)
		return false;
	double change = median(b) / median(a) - 1, p = mann_whitney(&a, &b);
	const char *words = verdict(change, p, &a, &b);
	printf("%-3s %-14s %-30s %-8s %-12s %-8s %+7.1f %%  p=%.4f  %s\n", record_text(r, "workload"),
	       record_text(r, "group"), record_text(r, "row"), record_text(r, "class"),
	       record_text(r, "peer"), of_limit ? "of limit" : record_text(r, "primary"), change * 100, p,
	       words);
	return !strcmp(words, "SLOWER") && !strncmp(record_text(r, "peer"), "padstone", 8);
}

static void say_which(const char *word, const char *path, const json_t *records)
{
	const json_t *m = json_array_get(records, 0);
	printf("%s: %s, commit %s, %s, %s\n", word, path, record_text(m, "commit"), record_text(m, "date"),
	       record_text(m, "cpu"));
}

/* Exit status: 1 if Padstone is surely slower anywhere. */
int compare_files(const char *before_path, const char *after_path)
{
	json_t *before = records_load(before_path), *after = records_load(after_path), *r;
	unsigned slower = 0, rows = 0;
	size_t i;
	say_which("before", before_path, before);
	say_which("after", after_path, after);
	json_array_foreach(after, i, r)
	{
		if (strcmp(record_text(r, "record"), "row"))
			continue;
		rows++;
		slower += compare_row(before, after, r);
	}
	printf("%u rows; padstone is slower in %u (more than %.0f %%, p below %.2f by Mann-Whitney)\n", rows,
	       slower, MATTERS * 100, SURE);
	json_decref(before);
	json_decref(after);
	return slower ? 1 : 0;
}
