/* Replaces of 256 bytes, each durable before the next: one thread against raw 4 KiB O_DSYNC writes into a
 * prewritten file, eight against a raw flush that one leader does for all. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <time.h>

#include "bench/bench.h"

enum { SIZE = 256, THREADS = 8, RAW_BYTES = 32 << 20 };

struct durable {
	const struct bench *b;
	ps_storer *s;
	ps_id *ids;
	uint64_t *versions; /* of each key; a key belongs to one thread */
	uint64_t count;
	unsigned threads;
	_Atomic(bool) stop;
};

struct writer {
	struct durable *w;
	pthread_t thread;
	unsigned number;
	uint64_t commits;
};

static void *replace_again_and_again(void *arg)
{
	struct writer *t = arg;
	struct durable *w = t->w;
	struct chance c = chance_from(w->b->seed + t->number);
	uint8_t buf[SIZE];
	uint64_t mine = w->count / w->threads;
	for (; !atomic_load_explicit(&w->stop, memory_order_relaxed); t->commits++) {
		uint64_t key = chance_below(&c, mine) * w->threads + t->number;
		contents_fill(w->b->seed, key, ++w->versions[key], buf, SIZE);
		MUST(ps_replace(w->s, w->ids[key], buf, SIZE));
	}
	return NULL;
}

static void sleep_seconds(double seconds)
{
	struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
	nanosleep(&t, NULL);
}

static double replaces(struct durable *w, unsigned threads)
{
	struct writer t[THREADS] = {0};
	uint64_t commits = 0;
	w->threads = threads;
	atomic_store(&w->stop, false);
	double start = now();
	for (unsigned i = 0; i < threads; i++) {
		t[i].w = w;
		t[i].number = i;
		if (pthread_create(&t[i].thread, NULL, replace_again_and_again, &t[i]))
			die("no thread");
	}
	sleep_seconds(w->b->seconds);
	atomic_store(&w->stop, true);
	for (unsigned i = 0; i < threads; i++) {
		pthread_join(t[i].thread, NULL);
		commits += t[i].commits;
	}
	return (double)commits / (now() - start);
}

static void verify_all(struct durable *w)
{
	uint8_t buf[SIZE];
	size_t len;
	for (uint64_t i = 0; i < w->count; i++) {
		MUST(ps_get(w->s, w->ids[i], buf, SIZE, &len));
		contents_verify(w->b->seed, i, w->versions[i], buf, len);
	}
}

static void run_rounds(struct durable *w, struct raw_file *raw)
{
	const struct bench *b = w->b;
	struct figure one = {0}, raw_one = {0}, ratio_one = {0}, eight = {0}, raw_eight = {0},
	              ratio_eight = {0};
	for (unsigned r = 0; r < b->rounds; r++) {
		figure_add(&raw_one, (double)raw_sync_writes(raw, b->seconds) / b->seconds);
		figure_add(&one, replaces(w, 1));
		figure_add(&ratio_one, one.value[r] / raw_one.value[r]);
		figure_add(&raw_eight, (double)raw_gathered(raw, THREADS, b->seconds) / b->seconds);
		figure_add(&eight, replaces(w, THREADS));
		figure_add(&ratio_eight, eight.value[r] / raw_eight.value[r]);
	}
	report(b, "raw O_DSYNC write, one thread", "ops/s", &raw_one, GOAL_NONE, 0);
	report(b, "durable replace 256 B, one thread", "ops/s", &one, GOAL_NONE, 0);
	report(b, "of raw, one thread", "x", &ratio_one, GOAL_AT_LEAST, 0.9);
	report(b, "raw gathered flush, 8 threads", "ops/s", &raw_eight, GOAL_NONE, 0);
	report(b, "durable replace 256 B, 8 threads", "ops/s", &eight, GOAL_NONE, 0);
	report(b, "of raw, 8 threads", "x", &ratio_eight, GOAL_AT_LEAST, 0.8);
}

void bench_durable(const struct bench *b)
{
	struct durable w = {.b = b, .count = MAX(b->count / 10, (uint64_t)THREADS)};
	w.ids = xalloc(w.count * sizeof(*w.ids));
	w.versions = xalloc(w.count * sizeof(*w.versions));
	memset(w.versions, 0, w.count * sizeof(*w.versions));
	w.s = store_open(bench_path(b, "store"), NULL);
	load_objects(b, w.s, w.count, SIZE, w.ids);
	struct raw_file *raw = raw_open(bench_path(b, "raw"), RAW_BYTES, true, true);
	run_rounds(&w, raw);
	verify_all(&w);
	raw_close(raw);
	MUST(ps_close(w.s));
	remove_file(bench_path(b, "raw"));
	remove_file(bench_path(b, "store"));
	free(w.ids);
	free(w.versions);
}
