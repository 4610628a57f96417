/* Cached reads of 64 bytes at random among a million objects: copied, and in place. The limit is an array of
 * places and a copy. CPU time, so that what else the machine does counts little. */
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "bench/bench.h"

enum { SIZE = 64, READS = 2000000, SMALL_READS = 20000 };

struct place {
	uint64_t offset, len;
};

struct cached {
	const struct bench *b;
	ps_storer *s;
	ps_id *ids;     /* in the order of reading */
	uint32_t *keys; /* likewise */
	struct place *places;
	uint8_t *bytes;
	uint64_t reads;
	uint64_t sum; /* so that no copy is optimised away */
};

/* A permutation, so that neither side profits from reading anything twice. */
static void shuffle(struct cached *w)
{
	struct chance c = chance_from(w->b->seed);
	for (uint64_t i = w->b->count - 1; i; i--) {
		uint64_t j = chance_below(&c, i + 1);
		ps_id id = w->ids[i];
		uint32_t key = w->keys[i];
		w->ids[i] = w->ids[j];
		w->keys[i] = w->keys[j];
		w->ids[j] = id;
		w->keys[j] = key;
	}
}

static void set_up(struct cached *w)
{
	uint64_t n = w->b->count;
	w->ids = xalloc(n * sizeof(*w->ids));
	w->keys = xalloc(n * sizeof(*w->keys));
	w->places = xalloc(n * sizeof(*w->places));
	w->bytes = xalloc(n * SIZE);
	load_objects(w->b, w->s, n, SIZE, w->ids);
	for (uint64_t i = 0; i < n; i++) {
		w->keys[i] = (uint32_t)i;
		w->places[i] = (struct place){i * SIZE, SIZE};
		contents_fill(w->b->seed, i, 0, w->bytes + i * SIZE, SIZE);
	}
	shuffle(w);
	w->reads = n < 1000000 ? SMALL_READS : READS;
}

/* Once through all, untimed: everything is in memory and right. */
static void verify_all(struct cached *w)
{
	uint8_t buf[SIZE];
	size_t len;
	for (uint64_t i = 0; i < w->b->count; i++) {
		MUST(ps_get(w->s, w->ids[i], buf, sizeof(buf), &len));
		if (len != SIZE)
			die("object %u has %zu bytes", w->keys[i], len);
		contents_verify(w->b->seed, w->keys[i], 0, buf, len);
	}
}

/* What is timed is the call, on both sides: neither a division nor a call to look at its result. */
static inline uint64_t next(const struct cached *w, uint64_t at)
{
	return at + 1 == w->b->count ? 0 : at + 1;
}
#define CALL(call)                                                                                           \
	do {                                                                                                 \
		int called_ = (call);                                                                        \
		if (called_)                                                                                 \
			must(called_, #call);                                                                \
	} while (0)

static double time_get(struct cached *w, uint64_t from)
{
	_Alignas(SIZE)
	    uint8_t buf[SIZE]; /* a copy over two cache lines could not be read before it is written out */
	size_t len;
	uint64_t sum = 0;
	double start = cpu_now();
	for (uint64_t i = 0, at = from % w->b->count; i < w->reads; i++, at = next(w, at)) {
		CALL(ps_get(w->s, w->ids[at], buf, sizeof(buf), &len));
		sum += buf[i % SIZE];
	}
	w->sum += sum;
	return (cpu_now() - start) / (double)w->reads * 1e9;
}

static double time_view(struct cached *w, uint64_t from)
{
	struct ps_view v;
	uint64_t sum = 0;
	double start = cpu_now();
	for (uint64_t i = 0, at = from % w->b->count; i < w->reads; i++, at = next(w, at)) {
		CALL(ps_view(w->s, w->ids[at], &v));
		sum += ((const uint8_t *)v.data)[i % SIZE];
		CALL(ps_view_release(&v));
	}
	w->sum += sum;
	return (cpu_now() - start) / (double)w->reads * 1e9;
}

static double time_array(struct cached *w, uint64_t from)
{
	_Alignas(SIZE)
	    uint8_t buf[SIZE]; /* a copy over two cache lines could not be read before it is written out */
	uint64_t sum = 0;
	double start = cpu_now();
	for (uint64_t i = 0, at = from % w->b->count; i < w->reads; i++, at = next(w, at)) {
		const struct place *p = &w->places[w->keys[at]];
		memcpy(buf, w->bytes + p->offset, MIN(p->len, (uint64_t)SIZE));
		sum += buf[i % SIZE];
	}
	w->sum += sum;
	return (cpu_now() - start) / (double)w->reads * 1e9;
}

void bench_cached(const struct bench *b)
{
	struct cached w = {.b = b};
	struct figure get = {0}, view = {0}, array = {0}, ratio = {0};
	const char *path = bench_path(b, "store");
	w.s = store_open(path, NULL);
	set_up(&w);
	verify_all(&w);
	uint64_t before = store_stats(w.s).reads;
	for (unsigned r = 0; r < b->rounds; r++) {
		uint64_t from = r * w.reads;
		figure_add(&array, time_array(&w, from));
		figure_add(&get, time_get(&w, from));
		figure_add(&view, time_view(&w, from));
		figure_add(&ratio, get.value[r] / array.value[r]);
	}
	report(b, "array and copy, 64 B", "ns", &array, GOAL_NONE, 0);
	report(b, "ps_get, 64 B", "ns", &get, GOAL_AT_MOST, 150);
	report(b, "ps_view and release, 64 B", "ns", &view, GOAL_AT_MOST, 100);
	report(b, "ps_get over array and copy", "x", &ratio, GOAL_NONE, 0);
	report_one(b, "reads of the file during all of it", "reads",
	           (double)(store_stats(w.s).reads - before), GOAL_AT_MOST, 0);
	MUST(ps_close(w.s));
	remove_file(bench_path(b, "store"));
	if (w.sum == 1)
		die("the sum of all bytes is 1");
	free(w.ids);
	free(w.keys);
	free(w.places);
	free(w.bytes);
}
