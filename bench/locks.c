/* What the concurrent layer adds: a lock taken and given back where nobody else wants it; to a cached get;
 * and what a second thread of cached gets brings, against the array of places of bench/cached.c. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"

enum { SIZE = 64, CALLS = 2000000, SMALL_CALLS = 20000, LOCK_IDS = 1024 };

/* ---- over a storer that does nothing: what is left is gates and locks ---- */

static double time_resize(ps_storer *s, uint64_t calls)
{
	double start = cpu_now();
	for (uint64_t i = 0; i < calls; i++)
		MUST(ps_resize(s, (i % LOCK_IDS + 1) << 24 | 1, 0));
	return (cpu_now() - start) / (double)calls * 1e9;
}

static double time_info(ps_storer *s, uint64_t calls)
{
	struct ps_info info;
	double start = cpu_now();
	for (uint64_t i = 0; i < calls; i++)
		MUST(ps_info(s, (i % LOCK_IDS + 1) << 24 | 1, &info));
	return (cpu_now() - start) / (double)calls * 1e9;
}

static void bench_lock_alone(const struct bench *b, uint64_t calls)
{
	struct figure exclusive = {0}, shared = {0};
	ps_storer *bare = nothing_open(), *locked;
	MUST(ps_concurrent_open(nothing_open(), NULL, &locked));
	for (unsigned r = 0; r < b->rounds; r++) {
		figure_add(&exclusive, time_resize(locked, calls) - time_resize(bare, calls));
		figure_add(&shared, time_info(locked, calls) - time_info(bare, calls));
	}
	report(b, "lock and unlock, exclusive, with a gate", "ns", &exclusive, GOAL_AT_MOST, 40);
	report(b, "lock and unlock, of a copying call, with a gate", "ns", &shared, GOAL_AT_MOST, 40);
	MUST(ps_close(locked));
	MUST(ps_close(bare));
}

/* ---- cached gets ---- */

struct place {
	uint64_t offset, len;
};

struct gets {
	const struct bench *b;
	ps_storer *s; /* NULL: the array */
	const ps_id *ids;
	const uint32_t *keys;
	const struct place *places;
	const uint8_t *bytes;
	uint64_t count, calls, from, sum;
	double cpu;
};

static void *run_gets(void *arg)
{
	struct gets *g = arg;
	uint8_t buf[SIZE];
	size_t len;
	uint64_t sum = 0;
	double start = cpu_now();
	for (uint64_t i = 0; i < g->calls; i++) {
		uint64_t at = (g->from + i) % g->count;
		if (g->s) {
			MUST(ps_get(g->s, g->ids[at], buf, sizeof(buf), &len));
		} else {
			const struct place *p = &g->places[g->keys[at]];
			memcpy(buf, g->bytes + p->offset, p->len < SIZE ? p->len : SIZE);
		}
		sum += buf[i % SIZE];
	}
	g->sum += sum;
	g->cpu = cpu_now() - start;
	return NULL;
}

static double one_thread(struct gets g, uint64_t from)
{
	g.from = from;
	run_gets(&g);
	return g.cpu / (double)g.calls * 1e9;
}

/* How much faster two threads are than one: what a call costs alone over what it costs while the other thread
 * makes calls, too. CPU time of each, as everywhere here: what else the machine does counts little. */
static double gain(const struct gets *g, uint64_t from)
{
	struct gets half[2] = {*g, *g};
	pthread_t second;
	half[0].from = from;
	run_gets(&half[0]);
	double alone = half[0].cpu;
	half[0].from = from;
	half[1].from = from + g->count / 2;
	if (pthread_create(&second, NULL, run_gets, &half[1]))
		die("no second thread");
	run_gets(&half[0]);
	if (pthread_join(second, NULL))
		die("a thread was lost");
	return 2 * alone / ((half[0].cpu + half[1].cpu) / 2);
}

static void shuffle(struct chance *c, ps_id *ids, uint32_t *keys, uint64_t n)
{
	for (uint64_t i = n - 1; i; i--) {
		uint64_t j = chance_below(c, i + 1);
		ps_id id = ids[i];
		uint32_t key = keys[i];
		ids[i] = ids[j], ids[j] = id;
		keys[i] = keys[j], keys[j] = key;
	}
}

static void compare(const struct bench *b, struct gets *base, struct gets *concurrent, struct gets *array)
{
	struct figure added = {0}, plain = {0}, array_gain = {0}, get_gain = {0}, ratio = {0};
	for (unsigned r = 0; r < b->rounds; r++) {
		uint64_t from = r * base->calls;
		double alone = one_thread(*base, from);
		figure_add(&plain, alone);
		figure_add(&added, one_thread(*concurrent, from) - alone);
		figure_add(&array_gain, gain(array, from));
		figure_add(&get_gain, gain(concurrent, from));
		figure_add(&ratio, get_gain.value[r] / array_gain.value[r]);
	}
	report(b, "cached get of 64 B, base alone", "ns", &plain, GOAL_NONE, 0);
	report(b, "added to it by the concurrent layer", "ns", &added, GOAL_AT_MOST, 60);
	report(b, "gain of a second thread, array", "x", &array_gain, GOAL_NONE, 0);
	report(b, "gain of a second thread, concurrent gets", "x", &get_gain, GOAL_NONE, 0);
	report(b, "gain of gets over gain of the array", "x", &ratio, GOAL_AT_LEAST, 0.95);
}

/* ---- durable replaces, each thread of objects of its own ---- */

enum { REPLACERS = 8, REPLACE_SIZE = 256 };

struct replacer {
	ps_storer *s;
	ps_id id;
	double until;
	uint64_t done;
	pthread_t thread;
};

static void *run_replaces(void *arg)
{
	struct replacer *w = arg;
	uint8_t bytes[REPLACE_SIZE] = {0};
	while (now() < w->until) {
		memcpy(bytes, &w->done, sizeof(w->done));
		MUST(ps_replace(w->s, w->id, bytes, sizeof(bytes)));
		w->done++;
	}
	return NULL;
}

/* A second, over all threads. */
static double replaces(const struct bench *b, ps_storer *s, const ps_id *ids)
{
	struct replacer w[REPLACERS];
	uint64_t done = 0;
	double start = now();
	for (int i = 0; i < REPLACERS; i++) {
		w[i] = (struct replacer){.s = s, .id = ids[i], .until = start + b->seconds};
		if (pthread_create(&w[i].thread, NULL, run_replaces, &w[i]))
			die("no thread %d", i);
	}
	for (int i = 0; i < REPLACERS; i++) {
		if (pthread_join(w[i].thread, NULL))
			die("a thread was lost");
		done += w[i].done;
	}
	return (double)done / (now() - start);
}

static void compare_replaces(const struct bench *b, ps_storer *base, ps_storer *concurrent, const ps_id *ids)
{
	struct figure plain = {0}, locked = {0}, ratio = {0};
	for (unsigned r = 0; r < b->rounds; r++) {
		figure_add(&plain, replaces(b, base, ids));
		figure_add(&locked, replaces(b, concurrent, ids));
		figure_add(&ratio, locked.value[r] / plain.value[r]);
	}
	report(b, "durable replaces of 256 B, 8 threads, base", "1/s", &plain, GOAL_NONE, 0);
	report(b, "the same through the concurrent layer", "1/s", &locked, GOAL_NONE, 0);
	report(b, "through the layer over base", "x", &ratio, GOAL_AT_LEAST, 0.9);
}

void bench_locks(const struct bench *b)
{
	uint64_t n = b->count, calls = n < 1000000 ? SMALL_CALLS : CALLS;
	struct chance c = chance_from(b->seed);
	ps_id *ids = xalloc(n * sizeof(*ids));
	uint32_t *keys = xalloc(n * sizeof(*keys));
	struct place *places = xalloc(n * sizeof(*places));
	uint8_t *bytes = xalloc(n * SIZE);
	bench_lock_alone(b, calls);
	ps_storer *inner = store_open(bench_path(b, "store"), NULL), *outer;
	load_objects(b, inner, n, SIZE, ids);
	for (uint64_t i = 0; i < n; i++) {
		keys[i] = (uint32_t)i;
		places[i] = (struct place){i * SIZE, SIZE};
		contents_fill(b->seed, i, 0, bytes + i * SIZE, SIZE);
	}
	shuffle(&c, ids, keys, n);
	MUST(ps_concurrent_open(inner, NULL, &outer));
	struct gets base = {.b = b, .s = inner, .ids = ids, .count = n, .calls = calls};
	struct gets concurrent = base, array = base;
	concurrent.s = outer;
	array.s = NULL;
	array.keys = keys, array.places = places, array.bytes = bytes;
	(void)one_thread(base, 0);
	compare(b, &base, &concurrent, &array);
	compare_replaces(b, inner, outer, ids);
	MUST(ps_close(outer));
	remove_file(bench_path(b, "store"));
	free(ids);
	free(keys);
	free(places);
	free(bytes);
}
