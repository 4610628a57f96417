/* P3: durable overwrites and gets, one thread each, after half of the objects was deleted: without and with a
 * compaction at work all the time. The latencies are those of the overwrites; those of the gets stand beside
 * them. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>

#include "bench/harness.h"
#include "bench/peer_padstone.h"

enum { MODE_ALONE, MODE_COMPACTING, SIZE_MOST = 4096, BATCH = 1000 };

static unsigned groups(const struct settings *s, struct group *g)
{
	snprintf(g->name, NAME_MOST, "64 B to 4 KiB");
	g->size_most = SIZE_MOST;
	g->count = MAX(s->num / 10, (uint64_t)4 * BATCH);
	g->durability = CLASS_POWER;
	g->rows = 2;
	g->row[0] = (struct row){"alone", 2, MODE_ALONE, FIG_RATE, 0, CAN_STREAM, NULL};
	g->row[1] = (struct row){"during compaction", 2, MODE_COMPACTING, FIG_RATE, 0, CAN_STREAM, NULL};
	return 1;
}

/* Every second object goes; those with even keys stay. */
static void set_up(struct job *j)
{
	static struct peer_write w[BATCH];
	job_open(j, true, false);
	job_fill(j);
	for (uint64_t key = 1; key < j->count;) {
		size_t n = 0;
		for (; n < BATCH && key < j->count; key += 2)
			w[n++] = (struct peer_write){PEER_DELETE, j->objects[key].handle, NULL, 0};
		j->peer->write(j->session, w, n);
	}
}

static void overwrite(struct lane *l)
{
	/* A fourth of the keys is written, another fourth is read, so that what is read is known. */
	struct peer_write w = job_next(l->job, chance_below(&l->chance, l->job->count / 4) * 4, 0);
	lane_write(l, &w, 1);
	l->bytes += w.len;
}

static void get(struct lane *l)
{
	uint64_t key = chance_below(&l->chance, l->job->count / 4) * 4 + 2;
	const struct object *o = &l->job->objects[key];
	struct peer_read r = {.handle = o->handle, .buf = l->buf, .cap = l->job->size_most};
	double start = now();
	l->job->peer->read(l->session, &r);
	histogram_add(l->second, (uint64_t)((now() - start) * 1e9));
	if (r.len != o->len || memcmp(r.data, sea_at(key, o->version), r.len) != 0)
		die("object %llu has other bytes than were written", (unsigned long long)key);
}

static void work(struct lane *l)
{
	while (lane_goes_on(l)) {
		if (l->number == 0)
			overwrite(l);
		else
			get(l);
	}
}

struct compactor {
	struct job *job;
	_Atomic(bool) stop;
};

static int go_on(void *arg, const struct ps_progress *progress)
{
	(void)progress;
	return atomic_load(&((struct compactor *)arg)->stop);
}

static void *compact_again_and_again(void *arg)
{
	struct compactor *c = arg;
	while (!atomic_load(&c->stop)) {
		int err = ps_compact(padstone_storer(c->job->store), 0, go_on, c);
		if (err && err != PS_ECANCELED)
			must(err, "ps_compact");
	}
	return NULL;
}

static void one_round(struct job *j, const struct row *row, unsigned round, struct slice *out)
{
	struct compactor c = {.job = j};
	pthread_t thread;
	(void)round;
	if (row->mode == MODE_COMPACTING && pthread_create(&thread, NULL, compact_again_and_again, &c))
		die("no thread");
	lanes_run(j, row, 2, j->settings->seconds, work, out);
	atomic_store(&c.stop, true);
	if (row->mode == MODE_COMPACTING)
		pthread_join(thread, NULL);
}

const struct workload p3_compaction = {.name = "P3",
                                       .title = "Padstone: compaction under load",
                                       .groups = groups,
                                       .set_up = set_up,
                                       .round = one_round,
                                       .only_padstone = true};
