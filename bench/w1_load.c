/* W1: loading a new store, batches of 1,000 (at most 64 MiB), a durable commit each. */
#include <stdio.h>
#include <sys/param.h>

#include "bench/harness.h"

struct size_row {
	const char *name;
	size_t size;
	double target; /* of the limit; our target over the limit */
	bool skip;     /* in a quick run */
};
static const struct size_row sizes[] = {
    {"64 B", 64, 3.8 / 5.74, false},    {"256 B", 256, 2.5 / 3.34, true},
    {"1 KiB", 1024, 1.15 / 1.53, true}, {"4 KiB", 4096, 300.0 / 410, false},
    {"64 KiB", 65536, 21 / 26.5, true}, {"1 MiB", 1048576, 1.7 / 1.93, false},
};

static unsigned groups(const struct settings *s, struct group *g)
{
	unsigned n = 0;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (s->value_size ? s->value_size != sizes[i].size : s->quick && sizes[i].skip)
			continue;
		snprintf(g[n].name, NAME_MOST, "%s", sizes[i].name);
		g[n].size = sizes[i].size;
		g[n].count = MAX((uint64_t)1, MIN(s->num, s->bytes_most / sizes[i].size));
		g[n].durability = CLASS_POWER;
		g[n].rows = 1;
		g[n++].row[0] = (struct row){"load", 1, 0, FIG_RATE, sizes[i].target, 0, "base"};
	}
	return n;
}

static void one_round(struct job *j, const struct row *row, unsigned round, struct slice *out)
{
	(void)row;
	(void)round;
	for (uint64_t i = 0; i < j->group->count; i++)
		j->objects[i].version = 0;
	job_open(j, true, false);
	struct usage before = usage_now(j);
	job_load(j);
	struct usage after = usage_now(j);
	usage_figures(&before, &after, j->count, j->live_bytes, out);
	j->peer->sync(j->store);
	out->figure[FIG_SPACE] = (double)job_disk_bytes(j) / (double)j->live_bytes;
	out->figure[FIG_RESIDENT] = resident_mib();
	job_verify(j, 2000);
	job_remove(j);
}

const struct workload w1_load = {
    .name = "W1", .title = "Load, batches of 1,000, each durable", .groups = groups, .round = one_round};
