/* Large objects: what a small write into one costs on disk, and that a huge one is made at once. */
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "bench/bench.h"

enum { PART = 100, STEP = 1 << 20 };

static ps_id make_large(const struct bench *b, ps_storer *s, uint64_t size)
{
	uint8_t *buf = xalloc(STEP);
	struct chance c = chance_from(b->seed);
	ps_writer *w;
	chance_fill(&c, buf, STEP);
	MUST(ps_open_writer(s, PS_ID_NONE, size, &w));
	ps_id id = ps_writer_id(w);
	for (uint64_t at = 0; at < size; at += STEP)
		MUST(ps_writer_write(w, buf, (size_t)MIN(size - at, (uint64_t)STEP)));
	MUST(ps_writer_finish(w));
	MUST(ps_sync(s));
	free(buf);
	return id;
}

static void verify_part(ps_storer *s, ps_id id, uint64_t off, const uint8_t *expected)
{
	uint8_t buf[PART];
	size_t got;
	MUST(ps_read_at(s, id, off, buf, PART, &got));
	if (got != PART || memcmp(buf, expected, PART) != 0)
		die("write_at at %llu: other bytes came back", (unsigned long long)off);
}

static void write_parts(const struct bench *b, ps_storer *s, ps_id id, uint64_t size, unsigned writes)
{
	struct figure bytes = {0}, micros = {0};
	struct chance c = chance_from(b->seed + 1);
	uint8_t part[PART];
	for (unsigned r = 0; r < b->rounds; r++) {
		uint64_t before = store_stats(s).bytes_written;
		double start = now();
		for (unsigned i = 0; i < writes; i++) {
			uint64_t off = chance_below(&c, size - PART);
			chance_fill(&c, part, PART);
			MUST(ps_write_at(s, id, off, part, PART));
			verify_part(s, id, off, part);
		}
		figure_add(&micros, (now() - start) / writes * 1e6);
		figure_add(&bytes, (double)(store_stats(s).bytes_written - before) / writes / 1024);
	}
	report(b, "bytes written by ps_write_at of 100 B", "KiB", &bytes, GOAL_AT_MOST, 256);
	report(b, "ps_write_at of 100 B, durable", "us", &micros, GOAL_NONE, 0);
}

static void time_alloc(const struct bench *b, ps_storer *s)
{
	struct figure f = {0};
	for (unsigned r = 0; r < b->rounds; r++) {
		ps_id id;
		double start = now();
		MUST(ps_alloc(s, (uint64_t)1 << 40, &id));
		figure_add(&f, (now() - start) * 1e6);
		MUST(ps_delete(s, id));
	}
	report(b, "ps_alloc of 1 TiB, durable", "us", &f, GOAL_NONE, 0);
}

void bench_large(const struct bench *b)
{
	/* 1 GiB by default, less in a small run. */
	uint64_t size = MAX(b->count * 1024, (uint64_t)4 << 20) / STEP * STEP;
	if (b->count == 1000000)
		size = (uint64_t)1 << 30;
	ps_storer *s = store_open(bench_path(b, "store"), NULL);
	double start = now();
	ps_id id = make_large(b, s, size);
	report_one(b, "stream of the large object", "MiB/s", (double)size / (now() - start) / (1 << 20),
	           GOAL_NONE, 0);
	write_parts(b, s, id, size, b->count < 1000000 ? 10 : 200);
	time_alloc(b, s);
	MUST(ps_close(s));
	remove_file(bench_path(b, "store"));
}
