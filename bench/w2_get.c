/* W2: random cached gets, one and two threads, copied and in place. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>

#include "bench/harness.h"

enum { MODE_COPY, MODE_VIEW, READS_A_LOOK = 64 };

struct size_row {
	const char *name;
	size_t size;
	double copy, view; /* limit over our target, of CPU time */
	bool skip;         /* in a quick run */
};
static const struct size_row sizes[] = {
    {"64 B", 64, 52.0 / 75, 52.0 / 75, false}, {"256 B", 256, 96.0 / 120, 0, true},
    {"1 KiB", 1024, 134.0 / 170, 0, true},     {"4 KiB", 4096, 454.0 / 480, 27.0 / 50, false},
    {"64 KiB", 65536, 5.35 / 5.5, 0, true},    {"1 MiB", 1048576, 88.9 / 90, 6.0 / 40, false},
};

static unsigned groups(const struct settings *s, struct group *g)
{
	unsigned n = 0;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const struct size_row *z = &sizes[i];
		if (s->value_size ? s->value_size != z->size : s->quick && z->skip)
			continue;
		snprintf(g[n].name, NAME_MOST, "%s", z->name);
		g[n].size = z->size;
		g[n].count = MAX((uint64_t)READS_A_LOOK, MIN(s->num, s->bytes_most / z->size));
		g[n].durability = CLASS_POWER;
		unsigned two = s->threads ? s->threads : 2;
		g[n].row[0] = (struct row){"copied, 1 thread", 1, MODE_COPY, FIG_CPU, z->copy, 0, "base"};
		g[n].row[1] = (struct row){"", two, MODE_COPY, FIG_RATE, 0, 0, NULL};
		snprintf(g[n].row[1].name, NAME_MOST, "copied, %u threads", two);
		g[n].row[2] =
		    (struct row){"in place, 1 thread", 1, MODE_VIEW, FIG_CPU, z->view, CAN_VIEW, "base"};
		g[n++].rows = 3;
	}
	return n;
}

static void set_up(struct job *j)
{
	job_open(j, true, false);
	job_fill(j);
	if (j->count < READS_A_LOOK)
		die("only %llu objects", (unsigned long long)j->count);
	/* Everything is in memory from here on, where the peer's cache can hold it. */
	job_verify(j, j->count);
	j->state = job_shuffled_handles(j);
}

/* One byte of each cache line that a reader of the object would touch first; the sum keeps the reads from
 * being left out. */
static uint64_t look(const struct peer_read *r, uint64_t i)
{
	return ((const uint8_t *)r->data)[i % r->len];
}

static void read_window(struct lane *l, const uint64_t *handles, struct peer_read *r, uint64_t *sum)
{
	const struct peer_ops *p = l->job->peer;
	for (unsigned i = 0; i < READS_A_LOOK; i++) {
		r->handle = handles[i];
		if (l->row->mode == MODE_VIEW) {
			p->view(l->session, r);
			*sum += look(r, i);
			p->release(l->session, r);
		} else {
			p->read(l->session, r);
			*sum += look(r, i);
		}
	}
	l->ops += READS_A_LOOK;
}

/* The order was drawn before, so that neither chance nor the table of handles is measured. */
static void work(struct lane *l)
{
	const uint64_t *handles = l->job->state;
	uint64_t sum = 0, most = l->job->count - l->job->count % READS_A_LOOK;
	struct peer_read r = {.buf = l->buf, .cap = l->job->size_most};
	uint64_t at = chance_below(&l->chance, most ? most : 1) / READS_A_LOOK * READS_A_LOOK;
	while (lane_goes_on(l)) {
		read_window(l, handles + at, &r, &sum);
		at = at + READS_A_LOOK < most ? at + READS_A_LOOK : 0;
	}
	if (sum == 1)
		die("the sum of all bytes is 1");
}

static void one_round(struct job *j, const struct row *row, unsigned round, struct slice *out)
{
	(void)round;
	lanes_run(j, row, row->threads, j->settings->seconds / 2, work, out);
	out->figure[FIG_RESIDENT] = resident_mib();
}

static void finish(struct job *j)
{
	job_verify(j, 2000);
}

const struct workload w2_get = {.name = "W2",
                                .title = "Random cached get",
                                .groups = groups,
                                .set_up = set_up,
                                .round = one_round,
                                .finish = finish};
