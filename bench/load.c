/* Loading a new store in batches of 1,000 (at most 64 MiB) with a durable commit each, against one sequential
 * stream of O_DIRECT writes of the same bytes into a new file, flushed as often. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>

#include "bench/bench.h"

enum { DEPTH = 16, REQUEST = 1 << 20 };
static const uint64_t BYTES_MAX = (uint64_t)512 << 20;

struct load {
	const char *name, *raw_name, *ratio_name;
	size_t size;
	enum goal goal, ratio_goal;
	double target, ratio_target;
};

static double time_store(const struct bench *b, uint64_t count, size_t size)
{
	ps_id *ids = xalloc(count * sizeof(*ids));
	uint8_t *buf = xalloc(size);
	size_t len;
	ps_storer *s = store_open(bench_path(b, "store"), NULL);
	double start = now();
	load_objects(b, s, count, size, ids);
	double took = now() - start;
	for (uint64_t i = 0; i < count; i += 1 + count / 1000) {
		MUST(ps_get(s, ids[i], buf, size, &len));
		contents_verify(b->seed, i, 0, buf, len);
	}
	MUST(ps_close(s));
	remove_file(bench_path(b, "store"));
	free(buf);
	free(ids);
	return took;
}

static double time_raw(const struct bench *b, uint64_t count, size_t size)
{
	uint64_t bytes = count * size;
	size_t request = (size_t)MIN((uint64_t)REQUEST, (bytes + 4095) / 4096 * 4096);
	double start = now();
	struct raw_file *f = raw_open(bench_path(b, "raw"), bytes, false, false);
	raw_sequential(f, request, DEPTH, MAX(batch_of(size) * size, (uint64_t)request));
	double took = now() - start;
	raw_close(f);
	remove_file(bench_path(b, "raw"));
	return took;
}

static void run(const struct bench *b, const struct load *l)
{
	struct figure store = {0}, raw = {0}, ratio = {0};
	uint64_t count = MAX((uint64_t)1, MIN(b->count, BYTES_MAX / l->size));
	for (unsigned r = 0; r < b->rounds; r++) {
		figure_add(&raw, (double)count / time_raw(b, count, l->size));
		figure_add(&store, (double)count / time_store(b, count, l->size));
		figure_add(&ratio, store.value[r] / raw.value[r]);
	}
	report(b, l->raw_name, "objects/s", &raw, GOAL_NONE, 0);
	report(b, l->name, "objects/s", &store, l->goal, l->target);
	report(b, l->ratio_name, "x", &ratio, l->ratio_goal, l->ratio_target);
}

#define LOAD(text, bytes, goal, target, ratio_goal, ratio_target)                                            \
	{                                                                                                    \
		"load " text, "raw sequential write, " text, "of raw, " text, bytes, goal, ratio_goal,       \
		    target, ratio_target                                                                     \
	}

void bench_load(const struct bench *b)
{
	static const struct load loads[] = {
	    LOAD("64 B", 64, GOAL_AT_LEAST, 2e6, GOAL_NONE, 0),
	    LOAD("256 B", 256, GOAL_NONE, 0, GOAL_NONE, 0),
	    LOAD("1 KiB", 1024, GOAL_NONE, 0, GOAL_NONE, 0),
	    LOAD("4 KiB", 4096, GOAL_NONE, 0, GOAL_NONE, 0),
	    LOAD("64 KiB", 65536, GOAL_NONE, 0, GOAL_NONE, 0),
	    LOAD("1 MiB", 1048576, GOAL_NONE, 0, GOAL_AT_LEAST, 0.8),
	};
	for (size_t i = 0; i < sizeof(loads) / sizeof(loads[0]); i++) {
		if (!b->size || b->size == loads[i].size)
			run(b, &loads[i]);
	}
}
