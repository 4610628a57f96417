/* W3: random overwrites, each durable before the next, 1 and 8 threads. W4: the same in batches of 100, each
 * durable. */
#include <stdio.h>
#include <sys/param.h>

#include "bench/harness.h"

enum { BATCH = 100 };

struct size_row {
	const char *name;
	size_t size;
	double one, eight, batch; /* our target over the limit */
};
static const struct size_row sizes[] = {
    {"256 B", 256, 8.3 / 8.7, 36 / 43.5, 480.0 / 702},
    {"4 KiB", 4096, 8.0 / 8.3, 33 / 39.4, 200.0 / 279},
};

static bool begin_group(const struct settings *s, const struct size_row *z, struct group *g)
{
	if (s->value_size && s->value_size != z->size)
		return false;
	snprintf(g->name, NAME_MOST, "%s", z->name);
	g->size = z->size;
	g->count = MAX((uint64_t)LANES_MOST * BATCH, MIN(s->num / 10, s->bytes_most / z->size));
	g->durability = CLASS_POWER;
	return true;
}

static unsigned single_groups(const struct settings *s, struct group *g)
{
	unsigned n = 0, many = s->threads ? s->threads : 8;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (!begin_group(s, &sizes[i], &g[n]))
			continue;
		g[n].row[0] = (struct row){"1 thread", 1, 1, FIG_RATE, sizes[i].one, 0, "base"};
		g[n].row[1] = (struct row){"", many, 1, FIG_RATE, many == 8 ? sizes[i].eight : 0, 0, "full"};
		snprintf(g[n].row[1].name, NAME_MOST, "%u threads", many);
		g[n++].rows = 2;
	}
	return n;
}

static unsigned batch_groups(const struct settings *s, struct group *g)
{
	unsigned n = 0;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		if (!begin_group(s, &sizes[i], &g[n]))
			continue;
		g[n].row[0] = (struct row){"batches of 100", 1, BATCH, FIG_RATE, sizes[i].batch, 0, "base"};
		g[n++].rows = 1;
	}
	return n;
}

static void set_up(struct job *j)
{
	job_open(j, true, false);
	job_fill(j);
}

/* A key belongs to one lane, and stands in a batch once. */
static void work(struct lane *l)
{
	struct peer_write w[BATCH];
	unsigned n = (unsigned)l->row->mode;
	uint64_t mine = l->job->count / l->lanes, stride = mine / n;
	while (lane_goes_on(l)) {
		for (unsigned i = 0; i < n; i++) {
			uint64_t key = (i * stride + chance_below(&l->chance, stride)) * l->lanes + l->number;
			w[i] = job_next(l->job, key, 0);
			l->bytes += w[i].len;
		}
		lane_write(l, w, n);
	}
}

static void one_round(struct job *j, const struct row *row, unsigned round, struct slice *out)
{
	(void)round;
	if (j->count < (uint64_t)row->threads * BATCH)
		die("only %llu objects", (unsigned long long)j->count);
	lanes_run(j, row, row->threads, j->settings->seconds, work, out);
}

static void finish(struct job *j)
{
	job_verify(j, 50000);
}

const struct workload w3_overwrite = {.name = "W3",
                                      .title = "Random overwrite, each durable",
                                      .groups = single_groups,
                                      .set_up = set_up,
                                      .round = one_round,
                                      .finish = finish};
const struct workload w4_batches = {.name = "W4",
                                    .title = "Random overwrite, batches of 100, each durable",
                                    .groups = batch_groups,
                                    .set_up = set_up,
                                    .round = one_round,
                                    .finish = finish};
