/* Remote stores: a large value on dir: beside its two halves in a row, a small one, a sync of one change
 * among many keys, and memory. */
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/remote_stage.h"
#include "bench/remote_work.h"

enum { SMALL = 1024, FILLERS = 32 };
static const size_t LARGE = (size_t)256 << 20;

static uint64_t requests_of(const struct stage *s)
{
	return stage_stats(s).requests;
}

/* As asked for; else 256 MiB, or a KiB for each key where these are few. */
static size_t value_bytes(const struct bench *b, size_t least)
{
	return MAX(b->size ? (size_t)b->size : MIN(LARGE, (size_t)b->count << 10), least);
}

/* ---- a large value ---- */

struct large {
	const struct bench *b;
	struct stage stage;
	struct remote_halves halves;
	uint8_t *value, *is;
	size_t bytes;
};

/* A step's time, and what it took of the processors: other work beside the bench is in the one, not in the
 * other. */
struct lap {
	double seconds, processor;
};

static struct lap lap_start(void)
{
	return (struct lap){now(), process_time()};
}

static struct lap lap_end(struct lap start)
{
	return (struct lap){now() - start.seconds, process_time() - start.processor};
}

static struct lap half(const struct large *l, enum remote_half which)
{
	struct lap lap = lap_start();
	MUST(remote_half_time(&l->halves, which, &lap.seconds));
	lap.processor = process_time() - lap.processor;
	return lap;
}

static struct lap time_put(struct large *l)
{
	struct ps_remote_put options = {.size = sizeof(options), .replace = 1};
	struct lap start = lap_start();
	MUST(ps_remote_put(l->stage.r, "large", l->value, l->bytes, &options));
	return lap_end(start);
}

static struct lap time_get(struct large *l)
{
	size_t len = 0;
	struct lap start = lap_start();
	MUST(ps_remote_get(l->stage.r, "large", l->is, l->bytes, &len, NULL));
	struct lap lap = lap_end(start);
	if (len != l->bytes || memcmp(l->is, l->value, len) != 0)
		die("the large value reads back as another");
	return lap;
}

/* Of the whole and its halves, in MiB a second, and what both in a row would be. */
struct speeds {
	const char *names[5];
	struct figure whole, work, files, ratio, processor;
};

static void add_round(const struct large *l, struct speeds *s, struct lap whole, struct lap work,
                      struct lap files)
{
	double mib = (double)l->bytes / (1 << 20);
	figure_add(&s->whole, mib / whole.seconds);
	figure_add(&s->work, mib / work.seconds);
	figure_add(&s->files, mib / files.seconds);
	figure_add(&s->ratio, (work.seconds + files.seconds) / whole.seconds);
	figure_add(&s->processor, (work.processor + files.processor) / whole.processor);
}

static void report_speeds(const struct bench *b, const struct speeds *s)
{
	report(b, s->names[0], "MiB/s", &s->work, GOAL_NONE, 0);
	report(b, s->names[1], "MiB/s", &s->files, GOAL_NONE, 0);
	report(b, s->names[2], "MiB/s", &s->whole, GOAL_NONE, 0);
	report(b, s->names[3], "x", &s->ratio, GOAL_AT_LEAST, 0.85);
	report(b, s->names[4], "x", &s->processor, GOAL_NONE, 0);
}

/* From its third time on a value is put into pads that it had before: so it goes on, and so are the files of
 * the limit replaced. The first two times both are new; what was removed is gone before a clock runs. */
static void run_new(struct large *l, struct chance *c)
{
	struct speeds put = {.names = {"sealing, all processors", "raw new files written, flushed",
	                               "put of a new value", "put of it over 1/(1/S + 1/D)",
	                               "processor's time of both over that of put"}};
	for (int i = 0; i < 2; i++) {
		remote_halves_done(&l->halves);
		chance_fill(c, l->value, l->bytes - 8);
		sync();
		struct lap whole = time_put(l), work = half(l, REMOTE_SEAL), files = half(l, REMOTE_WRITE);
		add_round(l, &put, whole, work, files);
	}
	report_speeds(l->b, &put);
}

/* Each round writes other contents: the same ones would stay where they are. */
static void run_large(struct large *l)
{
	struct speeds put = {.names = {"sealing, all processors", "raw files replaced, flushed",
	                               "put of one value", "put over 1/(1/S + 1/D)",
	                               "processor's time of both over that of put"}};
	struct speeds get = {.names = {"opening, all processors", "raw files read", "get of one value",
	                               "get over 1/(1/S + 1/D)",
	                               "processor's time of both over that of get"}};
	struct chance c = chance_from(l->b->seed);
	run_new(l, &c);
	for (unsigned r = 0; r < l->b->rounds; r++) {
		chance_fill(&c, l->value, l->bytes - 8);
		struct lap whole, work, files;
		bool first = r % 2; /* who begins changes */
		if (first)
			whole = time_put(l);
		work = half(l, REMOTE_SEAL);
		files = half(l, REMOTE_WRITE);
		add_round(l, &put, first ? whole : time_put(l), work, files);
		if (first)
			whole = time_get(l);
		work = half(l, REMOTE_OPEN);
		files = half(l, REMOTE_READ);
		add_round(l, &get, first ? whole : time_get(l), work, files);
	}
	remote_halves_done(&l->halves);
	report_speeds(l->b, &put);
	report_speeds(l->b, &get);
}

static void measure_large(const struct bench *b)
{
	struct large l = {.b = b, .bytes = value_bytes(b, 4096)};
	ps_keys *keys;
	l.value = xalloc(l.bytes);
	l.is = xalloc(l.bytes);
	memset(l.value, 0, l.bytes);
	memset(l.is, 0, l.bytes); /* its pages are there before a clock runs */
	stage_open(&l.stage, b, "large", NULL, STAGE_INFLIGHT);
	MUST(ps_keys_new(l.stage.key, NULL, &keys));
	l.halves = (struct remote_halves){.keys = keys,
	                                  .value = l.value,
	                                  .bytes = l.bytes,
	                                  .folder = l.stage.folder,
	                                  .threads = processors(),
	                                  .depth = processors() * STAGE_DEPTH};
	run_large(&l);
	ps_keys_free(keys);
	stage_close(&l.stage);
	free(l.value);
	free(l.is);
}

/* ---- memory ---- */

struct memory_watch {
	ps_remote *r;
	size_t counted, resident;
};

static int watch(void *arg, const struct ps_remote_progress *progress)
{
	struct memory_watch *w = arg;
	struct ps_remote_stats stats;
	size_t resident = remote_resident_bytes();
	(void)progress;
	MUST(ps_remote_stats(w->r, &stats));
	w->counted = MAX(w->counted, (size_t)stats.memory);
	w->resident = MAX(w->resident, resident);
	return 0;
}

struct stream {
	uint64_t seed, at, bytes;
};

static int give(void *arg, void *buf, size_t len, size_t *got)
{
	struct stream *s = arg;
	size_t n = (size_t)MIN((uint64_t)len, s->bytes - s->at);
	memset(buf, (int)(s->at >> 20 & 0xff), n);
	s->at += n;
	*got = n;
	return PS_OK;
}

static int take(void *arg, const void *data, size_t len)
{
	(void)data;
	((struct stream *)arg)->at += len;
	return PS_OK;
}

/* Of a value eight times as large as what may be on its way. */
static void measure_memory(const struct bench *b)
{
	uint64_t bytes = value_bytes(b, 32 << 20), inflight = bytes / 8;
	struct stage s;
	stage_open(&s, b, "memory", NULL, inflight);
	struct memory_watch w = {.r = s.r};
	struct stream in = {.bytes = bytes}, out = {.bytes = bytes};
	struct ps_remote_put put = {.size = sizeof(put), .progress = watch, .progress_arg = &w};
	struct ps_remote_get get = {.size = sizeof(get), .progress = watch, .progress_arg = &w};
	size_t before = remote_resident_bytes();
	MUST(ps_remote_put_stream(s.r, "stream", UINT64_MAX, give, &in, &put));
	MUST(ps_remote_get_stream(s.r, "stream", 0, UINT64_MAX, take, &out, &get));
	if (out.at != bytes)
		die("a stream came back with another length");
	report_one(b, "memory counted over max_inflight", "x", (double)w.counted / (double)inflight,
	           GOAL_AT_MOST, 2.5);
	report_one(b, "memory resident over max_inflight", "x",
	           (double)(w.resident > before ? w.resident - before : 0) / (double)inflight, GOAL_AT_MOST,
	           2.5);
	stage_close(&s);
}

/* ---- a small value, and a sync ---- */

static void put_number(struct stage *s, uint64_t number, uint64_t version, size_t size)
{
	struct ps_remote_put options = {.size = sizeof(options), .replace = 1, .mode = PS_REMOTE_SMALL};
	uint8_t bytes[SMALL];
	char key[64];
	(void)snprintf(key, sizeof(key), "some/folder/key %07llu", (unsigned long long)number);
	contents_fill(s->b->seed, number, version, bytes, size);
	MUST(ps_remote_put(s->r, key, bytes, size, &options));
}

static unsigned turns(const struct bench *b)
{
	return (unsigned)MIN(MAX(b->count / 100, (uint64_t)10), (uint64_t)ROUNDS_MAX);
}

static void measure_small(struct stage *s)
{
	struct figure requests = {0}, time = {0};
	for (unsigned i = 0; i < turns(s->b); i++) {
		uint64_t before = requests_of(s);
		double start = now();
		put_number(s, i, 1, SMALL);
		figure_add(&time, (now() - start) * 1e6);
		figure_add(&requests, (double)(requests_of(s) - before));
	}
	report(s->b, "put of 1 KiB, mem:", "us", &time, GOAL_NONE, 0);
	report(s->b, "put of 1 KiB, requests until confirmed", "", &requests, GOAL_AT_MOST, 2);
}

/* Several threads, each with its share. Empty values have no pads: an index of a million takes no network of
 * a million pads. */
struct filler {
	struct stage *s;
	pthread_t thread;
	uint64_t from, to;
};

static void *fill_share(void *arg)
{
	struct filler *f = arg;
	for (uint64_t i = f->from; i < f->to; i++)
		put_number(f->s, i, 1, 0);
	return NULL;
}

static void fill(struct stage *s, uint64_t count)
{
	struct filler all[FILLERS];
	for (unsigned i = 0; i < FILLERS; i++) {
		all[i] =
		    (struct filler){.s = s, .from = count * i / FILLERS, .to = count * (i + 1) / FILLERS};
		if (pthread_create(&all[i].thread, NULL, fill_share, &all[i]))
			die("no thread");
	}
	for (unsigned i = 0; i < FILLERS; i++)
		pthread_join(all[i].thread, NULL);
}

static void report_most(const struct bench *b, const char *name, const char *unit, const struct figure *f,
                        double target)
{
	double most = 0;
	for (unsigned i = 0; i < f->count; i++)
		most = MAX(most, f->value[i]);
	report_one(b, name, unit, most, target > 0 ? GOAL_AT_MOST : GOAL_NONE, target);
}

/* One change a sync, again and again: what counts is the worst of them. */
static void measure_sync(struct stage *s)
{
	struct figure runs = {0}, heads = {0}, requests = {0}, time = {0};
	struct ps_remote_sync_result result;
	uint64_t count = s->b->count;
	for (unsigned i = 0; i < turns(s->b); i++) {
		put_number(s, (uint64_t)i * 7919 % count, 2 + i, 1);
		uint64_t before = requests_of(s);
		double start = now();
		MUST(ps_remote_sync(s->r, NULL, NULL, &result));
		figure_add(&time, (now() - start) * 1e3);
		figure_add(&requests, (double)(requests_of(s) - before));
		figure_add(&runs, (double)result.run_bytes);
		figure_add(&heads, (double)result.head_bytes);
	}
	report(s->b, "sync of one change, beside the head", "bytes", &runs, GOAL_NONE, 0);
	report_most(s->b, "the most of it that one sync sent", "bytes", &runs, 64 << 10);
	report(s->b, "sync of one change, the head", "bytes", &heads, GOAL_NONE, 0);
	report(s->b, "sync of one change, requests", "", &requests, GOAL_NONE, 0);
	report(s->b, "sync of one change, mem:", "ms", &time, GOAL_NONE, 0);
}

static double mib(uint64_t bytes)
{
	return (double)bytes / (1 << 20);
}

/* As the next process does it, the look at the network's head with it. Resident: the process has so much more
 * afterwards, all of it, the local index's own store as well, which is not counted. */
static void measure_open(struct stage *s)
{
	struct figure time = {0}, processor = {0}, resident = {0};
	for (unsigned i = 0; i < s->b->rounds; i++) {
		MUST(ps_remote_close(s->r));
		(void)malloc_trim(0);
		size_t before = remote_resident_bytes();
		struct lap start = lap_start();
		stage_reopen(s);
		struct lap lap = lap_end(start);
		figure_add(&time, lap.seconds * 1e3);
		figure_add(&processor, lap.processor * 1e3);
		figure_add(&resident, mib(MAX(remote_resident_bytes(), before) - before));
	}
	report(s->b, "open with that index, mem:", "ms", &time, GOAL_NONE, 0);
	report(s->b, "open, processor's time", "ms", &processor, GOAL_NONE, 0);
	report(s->b, "open, memory resident", "MiB", &resident, GOAL_NONE, 0);
	report_one(s->b, "open, memory counted", "MiB", mib(stage_stats(s).memory), GOAL_NONE, 0);
}

struct listed {
	struct stage *s;
	uint64_t count;
	size_t resident;
	uint64_t counted;
};

static int see_listed(void *arg, const struct ps_remote_info *info)
{
	struct listed *l = arg;
	if (info->exists && l->count++ % 65536 == 0) {
		l->resident = MAX(l->resident, remote_resident_bytes());
		l->counted = MAX(l->counted, stage_stats(l->s).memory);
	}
	return 0;
}

static void measure_list(struct stage *s)
{
	struct listed l = {.s = s};
	size_t before = remote_resident_bytes();
	uint64_t counted = stage_stats(s).memory;
	struct lap start = lap_start();
	MUST(ps_remote_list(s->r, NULL, see_listed, &l));
	struct lap lap = lap_end(start);
	report_one(s->b, "list of all keys", "ms", lap.seconds * 1e3, GOAL_NONE, 0);
	report_one(s->b, "list, processor's time", "ms", lap.processor * 1e3, GOAL_NONE, 0);
	if (l.count < s->b->count)
		die("a list has %llu keys", (unsigned long long)l.count);
	report_one(s->b, "list, more memory resident", "MiB", mib(MAX(l.resident, before) - before),
	           GOAL_NONE, 0);
	report_one(s->b, "list, more memory counted", "MiB", mib(MAX(l.counted, counted) - counted),
	           GOAL_NONE, 0);
}

static void measure_index(const struct bench *b)
{
	struct ps_remote_sync_result result;
	struct stage s;
	char world[64];
	(void)snprintf(world, sizeof(world), "mem:bench-%d", (int)getpid());
	stage_open(&s, b, "index", world, STAGE_INFLIGHT);
	measure_small(&s);
	fill(&s, b->count);
	double start = now();
	MUST(ps_remote_sync(s.r, NULL, NULL, &result));
	report_one(b, "first sync of all keys, mem:", "s", now() - start, GOAL_NONE, 0);
	report_one(b, "keys in the index", "", (double)result.sent, GOAL_NONE, 0);
	measure_sync(&s);
	measure_open(&s);
	measure_list(&s);
	stage_close(&s);
}

void bench_remote(const struct bench *b)
{
	measure_large(b);
	measure_memory(b);
	measure_index(b);
}
