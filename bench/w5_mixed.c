/* W5: half gets, half overwrites of objects of very different sizes, the popular ones far more often; two
 * threads, no flush for an operation, a sync each second. It ends when five times the data was overwritten,
 * and what counts is the time up to the end of the last sync and of close. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <time.h>

#include "bench/harness.h"

enum { TIMES = 5, SMALL = 512, VERIFY_EACH = 61 };
static const double SECONDS_MOST = 12; /* of the settings' seconds */

static unsigned groups(const struct settings *s, struct group *g)
{
	static const enum durability classes[] = {CLASS_NONE, CLASS_PROCESS};
	for (unsigned i = 0; i < 2; i++) {
		snprintf(g[i].name, NAME_MOST, "mixed");
		g[i].count = MAX(s->num / 100, (uint64_t)400);
		g[i].durability = classes[i];
		g[i].rounds = 2;
		g[i].rows = 1;
		g[i].row[0] = (struct row){"50/50, zipf 0.99, 2 threads",
		                           s->threads ? s->threads : 2,
		                           0,
		                           FIG_RATE,
		                           i == 0 ? 80.0 / 90.8 : 0,
		                           0,
		                           "full"};
	}
	return 2;
}

struct mixed {
	struct zipf zipf;
	uint64_t bytes_most; /* of one lane */
};

/* ---- the sync of each second ---- */

struct syncer {
	struct job *job;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t end;
	bool stop;
};

static void *sync_each_second(void *arg)
{
	struct syncer *y = arg;
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	pthread_mutex_lock(&y->lock);
	while (!y->stop) {
		t.tv_sec++;
		while (!y->stop && pthread_cond_timedwait(&y->end, &y->lock, &t) == 0)
			;
		if (!y->stop) {
			pthread_mutex_unlock(&y->lock);
			y->job->peer->sync(y->job->store);
			pthread_mutex_lock(&y->lock);
		}
	}
	pthread_mutex_unlock(&y->lock);
	return NULL;
}

static void start_syncer(struct syncer *y, struct job *j)
{
	y->job = j;
	y->stop = false;
	pthread_mutex_init(&y->lock, NULL);
	pthread_cond_init(&y->end, NULL);
	if (pthread_create(&y->thread, NULL, sync_each_second, y))
		die("no thread");
}

static void stop_syncer(struct syncer *y)
{
	pthread_mutex_lock(&y->lock);
	y->stop = true;
	pthread_cond_signal(&y->end);
	pthread_mutex_unlock(&y->lock);
	pthread_join(y->thread, NULL);
}

/* ---- the lanes; a key belongs to one ---- */

static void overwrite(struct lane *l, uint64_t key)
{
	struct peer_write w = job_next(l->job, key, 0);
	double start = now();
	l->job->peer->write(l->session, &w, 1);
	if (w.len <= SMALL)
		histogram_add(l->latency, (uint64_t)((now() - start) * 1e9));
	l->bytes += w.len;
}

static void get(struct lane *l, uint64_t key)
{
	const struct object *o = &l->job->objects[key];
	struct peer_read r = {.handle = o->handle, .buf = l->buf, .cap = MIXED_MOST};
	double start = now();
	l->job->peer->read(l->session, &r);
	if (o->len <= SMALL)
		histogram_add(l->second, (uint64_t)((now() - start) * 1e9));
	if (r.len != o->len)
		die("object %llu has %zu bytes instead of %u", (unsigned long long)key, r.len, o->len);
	if (l->ops % VERIFY_EACH == 0 && memcmp(r.data, sea_at(key, o->version), r.len) != 0)
		die("object %llu has other bytes than were written", (unsigned long long)key);
}

static void work(struct lane *l)
{
	const struct mixed *m = l->job->state;
	while (lane_goes_on(l) && l->bytes < m->bytes_most) {
		uint64_t key = zipf_next(&m->zipf, &l->chance) * l->lanes + l->number;
		if (chance_next(&l->chance) & 1)
			overwrite(l, key);
		else
			get(l, key);
		l->ops++;
	}
}

static double space_of(const struct job *j)
{
	uint64_t live = 0;
	if (j->peer->abilities & IS_LIMIT)
		return 1; /* its log and its free space are no limit of anything */
	for (uint64_t i = 0; i < j->count; i++)
		live += j->objects[i].len;
	return (double)job_disk_bytes(j) / (double)live;
}

static void measure(struct job *j, const struct row *row, struct slice *out)
{
	struct syncer y;
	struct usage before = usage_now(j);
	double start = now();
	start_syncer(&y, j);
	lanes_run(j, row, row->threads, SECONDS_MOST * j->settings->seconds, work, out);
	double ops = out->figure[FIG_RATE] * (now() - start);
	stop_syncer(&y);
	j->peer->sync(j->store);
	struct usage after = usage_now(j);
	double rest = now();
	usage_figures(&before, &after, (uint64_t)ops, TIMES * j->live_bytes, out);
	out->figure[FIG_SPACE] = space_of(j);
	out->figure[FIG_RESIDENT] = resident_mib();
	job_verify(j, 2000);
	rest = now() - rest;
	job_close(j);
	out->figure[FIG_RATE] = ops / (now() - start - rest);
	out->figure[FIG_SPACE_CLOSED] = space_of(j);
}

static void one_round(struct job *j, const struct row *row, unsigned round, struct slice *out)
{
	struct mixed m;
	(void)round;
	for (uint64_t i = 0; i < j->group->count; i++)
		j->objects[i].version = 0;
	job_open(j, true, false);
	job_fill(j);
	m = (struct mixed){zipf_over(j->count / row->threads), TIMES * j->live_bytes / row->threads};
	j->state = &m;
	measure(j, row, out);
	/* The limit's log has gone round by now, and nothing was written home from it. */
	if (!(j->peer->abilities & IS_LIMIT)) {
		job_open(j, false, false);
		job_verify(j, 2000);
	}
	job_remove(j);
	j->state = NULL;
}

const struct workload w5_mixed = {.name = "W5",
                                  .title = "Half gets, half overwrites, zipf, all sizes, a sync each second",
                                  .groups = groups,
                                  .round = one_round};
