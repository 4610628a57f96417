/* Memory: a budget far smaller than the data is kept, and the store's own figure is the process's. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>
#include <unistd.h>

#include "bench/bench.h"

enum { SIZE = 512 };

static double resident_bytes(void)
{
	unsigned long long total, resident;
	FILE *f = fopen("/proc/self/statm", "r");
	if (!f || fscanf(f, "%llu %llu", &total, &resident) != 2)
		die("/proc/self/statm cannot be read");
	fclose(f);
	return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

/* Random reads and replaces; the most that the store ever said it used. */
static uint64_t churn(const struct bench *b, ps_storer *s, const ps_id *ids, uint64_t count, double *worst)
{
	struct chance c = chance_from(b->seed);
	uint8_t buf[SIZE];
	size_t len;
	uint64_t most = 0;
	double base = *worst;
	for (uint64_t i = 0; i < count / 2; i++) {
		uint64_t key = chance_below(&c, count);
		MUST(ps_get(s, ids[key], buf, SIZE, &len));
		contents_verify(b->seed, key, 0, buf, len);
		if (i % 4096)
			continue;
		struct ps_stats stats = store_stats(s);
		double mine = (resident_bytes() - base) / (double)MAX(stats.memory_used, (uint64_t)1);
		most = MAX(most, stats.memory_used);
		*worst = i == 0 || mine > *worst ? mine : *worst;
	}
	return most;
}

static void within_budget(const struct bench *b, ps_id *ids)
{
	uint64_t data = b->count * SIZE;
	struct ps_base_options o = {.size = sizeof(o), .memory_budget = MAX(data / 4, (uint64_t)32 << 20)};
	double worst = resident_bytes();
	ps_storer *s = store_open(bench_path(b, "store"), &o);
	load_objects(b, s, b->count, SIZE, ids);
	uint64_t loaded = store_stats(s).memory_used, churned = churn(b, s, ids, b->count, &worst);
	uint64_t most = MAX(loaded, churned);
	report_one(b, "used of the budget, at most", "x", (double)most / (double)o.memory_budget,
	           GOAL_AT_MOST, 1);
	report_one(b, "resident of the process over used, at most", "x", worst, GOAL_AT_MOST, 1.1);
	MUST(ps_close(s));
}

/* All in memory: frames apart, what is left is the table and what the buffer manager keeps beside each frame.
 */
static void all_in_memory(const struct bench *b, const ps_id *ids)
{
	struct ps_base_options o = {.size = sizeof(o), .memory_budget = (uint64_t)4 << 30};
	double base = resident_bytes(), worst = base;
	ps_storer *s = store_open(bench_path(b, "store"), &o);
	uint8_t buf[SIZE];
	size_t len;
	for (uint64_t i = 0; i < b->count; i++)
		MUST(ps_get(s, ids[i], buf, SIZE, &len));
	struct ps_stats stats = store_stats(s);
	worst = resident_bytes() - base;
	report_one(b, "table bytes an object, on disk", "B", (double)stats.table_bytes / (double)b->count,
	           GOAL_NONE, 0);
	report_one(b, "memory an object beside its frames", "B",
	           (double)(stats.memory_used - stats.frame_bytes) / (double)b->count, GOAL_NONE, 0);
	report_one(b, "resident of the process over used, all in", "x", worst / (double)stats.memory_used,
	           GOAL_AT_MOST, 1.1);
	MUST(ps_close(s));
}

static void pinned_beyond(const struct bench *b, const ps_id *ids)
{
	struct ps_base_options o = {.size = sizeof(o), .memory_budget = (uint64_t)16 << 20};
	ps_storer *s = store_open(bench_path(b, "store"), &o);
	struct ps_view *views = xalloc(b->count * sizeof(*views));
	uint64_t n = 0;
	int err = PS_OK;
	while (n < b->count && !err) {
		err = ps_view(s, ids[n], &views[n]);
		n += !err;
	}
	if (err && err != PS_ENOMEM)
		must(err, "ps_view");
	struct ps_stats stats = store_stats(s);
	report_one(b, "used of the budget with all pinned", "x",
	           (double)stats.memory_used / (double)o.memory_budget, GOAL_AT_MOST, 1);
	while (n)
		MUST(ps_view_release(&views[--n]));
	free(views);
	MUST(ps_close(s));
}

void bench_memory(const struct bench *b)
{
	ps_id *ids = xalloc(b->count * sizeof(*ids));
	for (uint64_t i = 0; i < b->count; i++)
		ids[i] = PS_ID_NONE; /* touched, so that it is not counted as the store's */
	within_budget(b, ids);
	all_in_memory(b, ids);
	pinned_beyond(b, ids);
	remove_file(bench_path(b, "store"));
	free(ids);
}
