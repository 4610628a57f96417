/* P2: what one more object in a durable batch costs: overwrites of 256 B, 1 to 1,000 a commit. */
#include <stdio.h>
#include <sys/param.h>

#include "bench/harness.h"

enum { SIZE = 256, BATCH_MOST = 1000 };

static unsigned groups(const struct settings *s, struct group *g)
{
	static const int batches[] = {1, 10, 100, BATCH_MOST};
	snprintf(g->name, NAME_MOST, "256 B");
	g->size = SIZE;
	g->count = MAX(s->num / 10, (uint64_t)10 * BATCH_MOST);
	g->durability = CLASS_POWER;
	for (unsigned i = 0; i < sizeof(batches) / sizeof(batches[0]); i++) {
		g->row[i] = (struct row){"", 1, batches[i], FIG_RATE, 0, 0, NULL};
		snprintf(g->row[i].name, NAME_MOST, "%d objects a commit", batches[i]);
		g->rows++;
	}
	return 1;
}

static void set_up(struct job *j)
{
	job_open(j, true, false);
	job_fill(j);
}

static void work(struct lane *l)
{
	static struct peer_write w[BATCH_MOST];
	unsigned n = (unsigned)l->row->mode;
	uint64_t stride = l->job->count / n;
	while (lane_goes_on(l)) {
		for (unsigned i = 0; i < n; i++) {
			w[i] = job_next(l->job, i * stride + chance_below(&l->chance, stride), 0);
			l->bytes += w[i].len;
		}
		lane_write(l, w, n);
	}
}

static void one_round(struct job *j, const struct row *row, unsigned round, struct slice *out)
{
	(void)round;
	if (j->count < BATCH_MOST)
		die("only %llu objects", (unsigned long long)j->count);
	lanes_run(j, row, 1, j->settings->seconds / 2, work, out);
}

static void finish(struct job *j)
{
	job_verify(j, 20000);
}

const struct workload p2_batches = {.name = "P2",
                                    .title = "Padstone: batches across objects",
                                    .groups = groups,
                                    .set_up = set_up,
                                    .round = one_round,
                                    .finish = finish,
                                    .only_padstone = true};
