/* Space (st_blocks, everything counted) of objects of very different sizes, half of them deleted at random
 * and others put in their place; then all of it deleted and compacted. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>

#include "bench/bench.h"

enum { LARGEST = 4 << 20 };

struct object {
	ps_id id;
	uint64_t key, size;
};

struct space_run {
	const struct bench *b;
	ps_storer *s;
	struct object *objects;
	uint64_t count, next_key, live;
	struct chance chance;
	uint8_t *buf;
};

/* 90 % of 64 to 512 B, 9 % of 4 to 64 KiB, 1 % of 1 to 4 MiB. */
static uint64_t pick_size(struct chance *c)
{
	uint64_t kind = chance_below(c, 100);
	if (kind < 90)
		return 64 + chance_below(c, 449);
	if (kind < 99)
		return 4096 + chance_below(c, 65536 - 4096 + 1);
	return (1 << 20) + chance_below(c, LARGEST - (1 << 20) + 1);
}

/* Puts objects[from, to), in batches of 1,000 or 64 MiB. */
static void put_range(struct space_run *w, uint64_t from, uint64_t to)
{
	while (from < to) {
		ps_batch *batch;
		uint64_t bytes = 0;
		MUST(ps_batch_begin(w->s, &batch));
		for (unsigned n = 0; n < 1000 && from < to && bytes < (uint64_t)60 << 20; n++, from++) {
			struct object *o = &w->objects[from];
			o->size = pick_size(&w->chance);
			o->key = w->next_key++;
			contents_fill(w->b->seed, o->key, 0, w->buf, o->size);
			MUST(ps_batch_put(batch, w->buf, o->size, &o->id));
			bytes += o->size;
		}
		MUST(ps_batch_commit(batch, PS_DURABLE));
		w->live += bytes;
	}
}

/* Half of them, picked at random, stand behind `keep` afterwards and are deleted. */
static void delete_from(struct space_run *w, uint64_t keep)
{
	for (uint64_t i = w->count; i > keep;) {
		ps_batch *batch;
		MUST(ps_batch_begin(w->s, &batch));
		for (unsigned n = 0; n < 1000 && i > keep; n++) {
			uint64_t j = chance_below(&w->chance, i--);
			struct object gone = w->objects[j];
			w->objects[j] = w->objects[i];
			w->objects[i] = gone;
			MUST(ps_batch_delete(batch, gone.id));
			w->live -= gone.size;
		}
		MUST(ps_batch_commit(batch, PS_DURABLE));
	}
}

static void verify_some(struct space_run *w)
{
	for (uint64_t i = 0; i < w->count; i += 1 + w->count / 2000) {
		size_t len;
		MUST(ps_get(w->s, w->objects[i].id, w->buf, LARGEST, &len));
		if (len != w->objects[i].size)
			die("object %llu has %zu bytes", (unsigned long long)w->objects[i].key, len);
		contents_verify(w->b->seed, w->objects[i].key, 0, w->buf, len);
	}
}

static void report_space(struct space_run *w, const char *name, enum goal goal)
{
	MUST(ps_sync(w->s));
	uint64_t disk = disk_bytes(bench_path(w->b, "store"));
	report_one(w->b, name, "live/file", (double)w->live / (double)disk, goal, 0.80);
}

static void run(struct space_run *w)
{
	put_range(w, 0, w->count);
	report_space(w, "loaded", GOAL_NONE);
	delete_from(w, w->count / 2);
	report_space(w, "half deleted", GOAL_NONE);
	put_range(w, w->count / 2, w->count);
	report_space(w, "others put in", GOAL_AT_LEAST);
	verify_some(w);
	double start = now();
	MUST(ps_compact(w->s, 0, NULL, NULL));
	report_one(w->b, "compaction", "s", now() - start, GOAL_NONE, 0);
	report_space(w, "compacted", GOAL_NONE);
	verify_some(w);
	delete_from(w, 0);
	MUST(ps_compact(w->s, 0, NULL, NULL));
	report_one(w->b, "file with all deleted and compacted", "MiB",
	           (double)disk_bytes(bench_path(w->b, "store")) / (1 << 20), GOAL_AT_MOST, 2);
}

void bench_space(const struct bench *b)
{
	struct space_run w = {
	    .b = b, .count = MAX(b->count / 10, (uint64_t)100), .chance = chance_from(b->seed)};
	w.objects = xalloc(w.count * sizeof(*w.objects));
	w.buf = xalloc(LARGEST);
	w.s = store_open(bench_path(b, "store"), NULL);
	run(&w);
	MUST(ps_close(w.s));
	remove_file(bench_path(b, "store"));
	free(w.objects);
	free(w.buf);
}
