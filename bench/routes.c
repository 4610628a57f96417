/* What the multi store costs and saves: what it adds to a call; space (st_blocks, everything counted) over
 * the live bytes of objects that go to slabs, of objects that go to the root, and of sizes that hardly
 * repeat. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>

#include "bench/bench.h"

enum { CALLS = 4000000, SMALL_CALLS = 40000, GET_SIZE = 64, LARGEST = 64 << 10 };

/* ---- what is added to a call ---- */

static double time_info(ps_storer *s, uint64_t calls)
{
	struct ps_info info;
	double start = cpu_now();
	for (uint64_t i = 0; i < calls; i++)
		MUST(ps_info(s, i + 1, &info));
	return (cpu_now() - start) / (double)calls * 1e9;
}

static double time_nothing(ps_storer *s, uint64_t calls)
{
	uint8_t buf[GET_SIZE];
	size_t len;
	double start = cpu_now();
	for (uint64_t i = 0; i < calls; i++)
		MUST(ps_get(s, i + 1, buf, sizeof(buf), &len));
	return (cpu_now() - start) / (double)calls * 1e9;
}

static double time_gets(ps_storer *s, const ps_id *ids, uint64_t n, uint64_t calls)
{
	uint8_t buf[GET_SIZE];
	size_t len;
	double start = cpu_now();
	for (uint64_t i = 0; i < calls; i++)
		MUST(ps_get(s, ids[i * 7919 % n], buf, sizeof(buf), &len));
	return (cpu_now() - start) / (double)calls * 1e9;
}

static void added_to_nothing(const struct bench *b, uint64_t calls)
{
	struct figure get = {0}, info = {0};
	ps_storer *inner = nothing_open(), *s;
	MUST(ps_multi_open(inner, NULL, &s));
	for (unsigned r = 0; r < b->rounds; r++) {
		figure_add(&get, time_nothing(s, calls) - time_nothing(inner, calls));
		figure_add(&info, time_info(s, calls) - time_info(inner, calls));
	}
	report(b, "added to a call of five arguments", "ns", &get, GOAL_AT_MOST, 5);
	report(b, "added to a call of three arguments", "ns", &info, GOAL_AT_MOST, 5);
	MUST(ps_close(s));
}

static ps_storer *open_multi(const struct bench *b, ps_storer **base)
{
	ps_storer *s;
	*base = store_open(bench_path(b, "store"), NULL);
	MUST(ps_multi_open(*base, NULL, &s));
	return s;
}

/* The same store through both handles: places and caches are the same. */
static void added_to_gets(const struct bench *b, uint64_t calls)
{
	struct figure plain = {0}, added = {0};
	uint64_t n = MIN(b->count, (uint64_t)100000);
	ps_storer *base, *s = open_multi(b, &base);
	ps_id *ids = xalloc(n * sizeof(*ids));
	load_objects(b, s, n, GET_SIZE, ids);
	(void)time_gets(s, ids, n, calls);
	for (unsigned r = 0; r < b->rounds; r++) {
		figure_add(&plain, time_gets(base, ids, n, calls));
		figure_add(&added, time_gets(s, ids, n, calls) - plain.value[r]);
	}
	report(b, "cached get of 64 B, base", "ns", &plain, GOAL_NONE, 0);
	report(b, "added to it", "ns", &added, GOAL_AT_MOST, MAX(5.0, 0.05 * figure_median(&plain)));
	MUST(ps_close(s));
	remove_file(bench_path(b, "store"));
	free(ids);
}

/* ---- space ---- */

struct sizes {
	uint64_t least, most;
	bool in_turn; /* evenly spread and each once, instead of at random */
};

static uint64_t load(const struct bench *b, ps_storer *s, uint64_t count, const struct sizes *sizes)
{
	struct chance c = chance_from(b->seed);
	uint64_t live = 0, span = sizes->most - sizes->least;
	uint8_t *buf = xalloc(LARGEST);
	for (uint64_t i = 0; i < count;) {
		ps_batch *batch;
		uint64_t bytes = 0;
		MUST(ps_batch_begin(s, &batch));
		for (unsigned n = 0; n < 1000 && i < count && bytes < (uint64_t)60 << 20; n++, i++) {
			ps_id id;
			uint64_t len = sizes->least + (sizes->in_turn ? span * i / MAX(count - 1, (uint64_t)1)
			                                              : chance_below(&c, span + 1));
			contents_fill(b->seed, i, 0, buf, len);
			MUST(ps_batch_put(batch, buf, len, &id));
			bytes += len;
		}
		MUST(ps_batch_commit(batch, PS_DURABLE));
		live += bytes;
	}
	MUST(ps_sync(s));
	free(buf);
	return live;
}

static void report_space(const struct bench *b, const char *name, uint64_t count, struct sizes sizes,
                         double target)
{
	char text[80];
	ps_storer *base, *s = open_multi(b, &base);
	uint64_t live = load(b, s, count, &sizes), disk = disk_bytes(bench_path(b, "store"));
	struct ps_stats stats = store_stats(s);
	snprintf(text, sizeof(text), "file/live, %s", name);
	report_one(b, text, "x", (double)disk / (double)live, GOAL_AT_MOST, target);
	snprintf(text, sizeof(text), "written/live, %s", name);
	report_one(b, text, "x", (double)stats.bytes_written / (double)live, GOAL_NONE, 0);
	MUST(ps_close(s));
	remove_file(bench_path(b, "store"));
}

static void report_many_sizes(const struct bench *b)
{
	enum { SIZES = 64, FEW = 4 };
	const struct sizes sizes = {4097, 8192, true};
	ps_storer *base, *s = open_multi(b, &base);
	(void)load(b, s, SIZES, &sizes);
	report_one(b, "file of 64 sizes, 4,097 to 8,192 B", "MiB",
	           (double)disk_bytes(bench_path(b, "store")) / (1 << 20), GOAL_AT_MOST, FEW);
	MUST(ps_close(s));
	remove_file(bench_path(b, "store"));
}

void bench_routes(const struct bench *b)
{
	uint64_t calls = b->count < 1000000 ? SMALL_CALLS : CALLS;
	added_to_nothing(b, calls);
	added_to_gets(b, calls);
	report_space(b, "64 to 512 B", b->count, (struct sizes){64, 512, false}, 1.20);
	report_space(b, "4 to 64 KiB", MAX(b->count / 20, (uint64_t)64), (struct sizes){4096, LARGEST, false},
	             1.09);
	report_many_sizes(b);
}
