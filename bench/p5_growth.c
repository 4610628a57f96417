/* P5: how cost grows with the number of objects, from ten thousand to ten million of 64 B: load, cached get,
 * batched overwrite. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>

#include "bench/harness.h"

enum { SIZE = 64, MODE_GET, MODE_OVERWRITE, BATCH = 100, WINDOW = 64 };

static unsigned groups(const struct settings *s, struct group *g)
{
	unsigned n = 0;
	for (uint64_t count = 10000; count <= s->num * 10 && n < 4; count *= 10, n++) {
		snprintf(g[n].name, NAME_MOST, "10^%u objects", n + 4);
		g[n].size = SIZE;
		g[n].count = count;
		g[n].durability = CLASS_POWER;
		g[n].rows = 2;
		g[n].row[0] = (struct row){"get", 1, MODE_GET, FIG_CPU, 0, 0, NULL};
		g[n].row[1] =
		    (struct row){"overwrite, batches of 100", 1, MODE_OVERWRITE, FIG_RATE, 0, 0, NULL};
	}
	return n;
}

static void set_up(struct job *j)
{
	job_open(j, true, false);
	job_fill(j);
	j->state = job_shuffled_handles(j);
}

static void get(struct lane *l)
{
	const uint64_t *handles = l->job->state;
	struct peer_read r = {.buf = l->buf, .cap = SIZE};
	uint64_t sum = 0, at = 0, most = l->job->count - l->job->count % WINDOW;
	while (lane_goes_on(l) && most) {
		for (unsigned i = 0; i < WINDOW; i++) {
			r.handle = handles[at + i];
			l->job->peer->read(l->session, &r);
			sum += ((const uint8_t *)r.data)[i % r.len];
		}
		l->ops += WINDOW;
		at = at + WINDOW < most ? at + WINDOW : 0;
	}
	if (sum == 1)
		die("the sum of all bytes is 1");
}

static void overwrite(struct lane *l)
{
	struct peer_write w[BATCH];
	uint64_t stride = l->job->count / BATCH;
	while (lane_goes_on(l)) {
		for (unsigned i = 0; i < BATCH; i++) {
			w[i] = job_next(l->job, i * stride + chance_below(&l->chance, stride), 0);
			l->bytes += w[i].len;
		}
		lane_write(l, w, BATCH);
	}
}

static void one_round(struct job *j, const struct row *row, unsigned round, struct slice *out)
{
	(void)round;
	lanes_run(j, row, 1, j->settings->seconds / 2, row->mode == MODE_GET ? get : overwrite, out);
	out->figure[FIG_RESIDENT] = resident_mib();
}

static void finish(struct job *j)
{
	job_verify(j, 20000);
}

const struct workload p5_growth = {.name = "P5",
                                   .title = "Padstone: how cost grows with the number of objects",
                                   .groups = groups,
                                   .set_up = set_up,
                                   .round = one_round,
                                   .finish = finish,
                                   .only_padstone = true};
