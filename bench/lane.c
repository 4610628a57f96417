/* Threads that each work through a session of their own until time is over. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/harness.h"

struct start {
	struct lane lane;
	pthread_t thread;
	pthread_barrier_t *ready;
	void (*fn)(struct lane *l);
};

bool lane_goes_on(const struct lane *l)
{
	return !atomic_load_explicit(l->stop, memory_order_relaxed);
}

void lane_write(struct lane *l, struct peer_write *w, unsigned n)
{
	double start = now();
	l->job->peer->write(l->session, w, n);
	histogram_add(l->latency, (uint64_t)((now() - start) * 1e9));
	l->ops += n;
}

static void *run_lane(void *arg)
{
	struct start *s = arg;
	struct lane *l = &s->lane;
	l->session = l->job->peer->begin(l->job->store);
	l->buf = xalloc(l->job->size_most);
	pthread_barrier_wait(s->ready);
	double start = cpu_now();
	s->fn(l);
	l->cpu = cpu_now() - start;
	l->job->peer->end(l->session);
	free(l->buf);
	return NULL;
}

static struct start *start_lanes(struct job *j, const struct row *row, unsigned lanes, _Atomic(bool) *stop,
                                 pthread_barrier_t *ready, void (*fn)(struct lane *l))
{
	struct start *s = xalloc(lanes * sizeof(*s));
	memset(s, 0, lanes * sizeof(*s));
	for (unsigned i = 0; i < lanes; i++) {
		struct histogram *h = xalloc(2 * sizeof(*h));
		memset(h, 0, 2 * sizeof(*h));
		s[i] = (struct start){{.job = j,
		                       .row = row,
		                       .number = i,
		                       .lanes = lanes,
		                       .chance = chance_from(j->settings->seed * 1000003 + i + row->threads),
		                       .latency = h,
		                       .second = h + 1,
		                       .stop = stop},
		                      0,
		                      ready,
		                      fn};
		if (pthread_create(&s[i].thread, NULL, run_lane, &s[i]))
			die("no thread");
	}
	return s;
}

/* Until the time is over, or the first lane has come to its end. */
static bool wait_for_first(pthread_t first, double seconds)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
	t.tv_sec += (time_t)seconds + t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return pthread_timedjoin_np(first, NULL, &t) == 0;
}

void lanes_run(struct job *j, const struct row *row, unsigned lanes, double seconds,
               void (*fn)(struct lane *l), struct slice *out)
{
	_Atomic(bool) stop = false;
	pthread_barrier_t ready;
	uint64_t ops = 0, bytes = 0;
	double cpu = 0;
	static struct histogram first, second;
	memset(&first, 0, sizeof(first));
	memset(&second, 0, sizeof(second));
	pthread_barrier_init(&ready, NULL, lanes + 1);
	struct start *s = start_lanes(j, row, lanes, &stop, &ready, fn);
	pthread_barrier_wait(&ready);
	struct usage before = usage_now(j);
	bool ended = wait_for_first(s[0].thread, seconds);
	atomic_store(&stop, true);
	for (unsigned i = 0; i < lanes; i++) {
		if (i || !ended)
			pthread_join(s[i].thread, NULL);
		ops += s[i].lane.ops;
		bytes += s[i].lane.bytes;
		cpu += s[i].lane.cpu;
		histogram_merge(&first, s[i].lane.latency);
		histogram_merge(&second, s[i].lane.second);
		free(s[i].lane.latency);
	}
	struct usage after = usage_now(j);
	free(s);
	pthread_barrier_destroy(&ready);
	if (!bytes && ops)
		out->figure[FIG_CPU] = cpu * 1e9 / (double)ops; /* reading is the lanes' own work */
	usage_figures(&before, &after, ops, bytes, out);
	latency_figures(&first, out);
	if (second.total) {
		out->figure[FIG_GET_P50] = (double)histogram_at(&second, 0.5) * 1e-3;
		out->figure[FIG_GET_P99] = (double)histogram_at(&second, 0.99) * 1e-3;
		out->figure[FIG_GET_P999] = (double)histogram_at(&second, 0.999) * 1e-3;
	}
}
