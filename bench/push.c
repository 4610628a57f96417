/* Stores on a network: what a push and a clone reach of what puts and gets of the same bytes do, and what
 * small changes cost. What a push leaves to others is in beside.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "bench/remote_stage.h"
#include "multistore/push.h"
#include "multistore/state_lookup.h"

enum { OBJECT = 4096, SMALL = 100, SCATTERED = 1000, WAIT_MS = 600000 };
static const size_t BULK = (size_t)256 << 20;

struct world {
	const struct bench *b;
	struct stage stage;
	ps_storer *s;
	ps_id *ids;
	uint64_t count;
	struct chance chance;
};

/* As asked for; else 256 MiB, or a KiB for each key where these are few. */
static uint64_t bulk_bytes(const struct bench *b)
{
	return MAX(b->size ? b->size : MIN((uint64_t)BULK, b->count << 10), (uint64_t)OBJECT);
}

static void world_open(struct world *w, const struct bench *b, const char *network)
{
	*w = (struct world){.b = b, .chance = chance_from(b->seed)};
	stage_open(&w->stage, b, "push", network, STAGE_INFLIGHT);
	MUST(ps_multi_open(store_open(bench_path(b, "store"), NULL), NULL, &w->s));
}

static void world_close(struct world *w)
{
	MUST(ps_close(w->s));
	stage_close(&w->stage);
	remove_file(bench_path(w->b, "store"));
	free(w->ids);
}

static void load(struct world *w, uint64_t count, size_t size)
{
	w->count = count;
	w->ids = xalloc(count * sizeof(*w->ids));
	load_objects(w->b, w->s, count, size, w->ids);
}

static void load_small(struct world *w, ps_id *ids, uint64_t count)
{
	for (uint64_t i = 0; i < count;) {
		ps_batch *batch;
		MUST(ps_batch_begin(w->s, &batch));
		for (unsigned n = 0; n < 1000 && i < count; n++, i++)
			MUST(ps_batch_put(batch, "to be replaced", 14, &ids[i]));
		MUST(ps_batch_commit(batch, PS_DURABLE));
	}
}

static struct ps_push_result push_now(struct world *w)
{
	struct ps_push_options options = {.size = sizeof(options), .compression = -1};
	struct ps_push_result result;
	MUST(ps_push(w->s, w->stage.r, &options, &result));
	return result;
}

/* One object in `stride` gets other contents. */
static void change(struct world *w, size_t size, uint64_t version, uint64_t stride)
{
	uint8_t bytes[OBJECT];
	for (uint64_t i = version % stride; i < w->count;) {
		ps_batch *batch;
		MUST(ps_batch_begin(w->s, &batch));
		for (unsigned n = 0; n < 1000 && i < w->count; n++, i += stride) {
			contents_fill(w->b->seed, i, version, bytes, size);
			MUST(ps_batch_replace(batch, w->ids[i], bytes, size));
		}
		MUST(ps_batch_commit(batch, PS_DURABLE));
	}
}

/* ---- a push beside a put, a clone beside a get ---- */

struct whole {
	struct world w;
	struct stage value; /* the same bytes as one value of a remote store */
	uint8_t *bytes;
	uint64_t len;
	double sent; /* of the first push, over what was changed */
	struct sent {
		struct figure push, put, ratio;
	} new, replaced;
	struct figure clone, get, cloned, clone_cpu, get_cpu, cloned_cpu;
};

/* By the clock, and of the processors. */
struct took {
	double wall, cpu;
};

static double time_push(struct whole *t)
{
	double start = now();
	struct ps_push_result result = push_now(&t->w);
	double seconds = now() - start;
	if (result.bytes < t->len)
		die("a push of changed contents sent %llu bytes", (unsigned long long)result.bytes);
	if (t->sent == 0)
		t->sent = (double)result.sent_bytes / (double)t->len;
	return seconds;
}

static double time_put(struct whole *t)
{
	struct ps_remote_put options = {.size = sizeof(options), .replace = 1};
	double start = now();
	MUST(ps_remote_put(t->value.r, "value", t->bytes, t->len, &options));
	return now() - start;
}

static struct took begin_timing(void)
{
	return (struct took){now(), process_time()};
}

static struct took since(struct took begin)
{
	return (struct took){now() - begin.wall, process_time() - begin.cpu};
}

static struct took time_clone(struct whole *t, uint64_t version)
{
	char path[1100];
	uint8_t is[OBJECT];
	size_t got;
	struct ps_clone_options options = {.size = sizeof(options)};
	struct ps_clone_result result;
	(void)snprintf(path, sizeof(path), "%s/clone", t->w.stage.folder);
	struct took begin = begin_timing();
	MUST(ps_clone(t->w.stage.r, path, &options, &result));
	struct took took = since(begin);
	ps_storer *s = store_open(path, NULL);
	for (uint64_t i = 0; i < t->w.count; i += 97) {
		MUST(ps_get(s, t->w.ids[i], is, sizeof(is), &got));
		contents_verify(t->w.b->seed, i, version, is, got);
	}
	MUST(ps_close(s));
	remove_file(path);
	return took;
}

static struct took time_get(struct whole *t)
{
	size_t got;
	struct took begin = begin_timing();
	MUST(ps_remote_get(t->value.r, "value", t->bytes, t->len, &got, NULL));
	return since(begin);
}

static double mib(const struct whole *t)
{
	return (double)t->len / (1 << 20);
}

/* Who begins changes with the version. */
static void send_both(struct whole *t, uint64_t version, struct sent *sent)
{
	double push = 0;
	bool first = version % 2;
	chance_fill(&t->w.chance, t->bytes, t->len - 8);
	if (first)
		push = time_push(t);
	double put = time_put(t);
	if (!first)
		push = time_push(t);
	figure_add(&sent->push, mib(t) / push);
	figure_add(&sent->put, mib(t) / put);
	figure_add(&sent->ratio, put / push);
}

/* The first two times both make their pads: a value's next version is whole before the one before goes, and
 * so is a store's next state. From the third time on both replace pads that they had before. That takes
 * longer where the disk discards what replaced files free, so it is told by itself. */
static void run_new(struct whole *t)
{
	send_both(t, 0, &t->new);
	change(&t->w, OBJECT, 1, 1);
	send_both(t, 1, &t->new);
}

static void fetch_both(struct whole *t, uint64_t version)
{
	struct took clone = {0};
	bool first = version % 2;
	if (first)
		clone = time_clone(t, version);
	struct took get = time_get(t);
	if (!first)
		clone = time_clone(t, version);
	figure_add(&t->clone, mib(t) / clone.wall);
	figure_add(&t->get, mib(t) / get.wall);
	figure_add(&t->cloned, get.wall / clone.wall);
	figure_add(&t->clone_cpu, clone.cpu * 1024 / mib(t));
	figure_add(&t->get_cpu, get.cpu * 1024 / mib(t));
	figure_add(&t->cloned_cpu, get.cpu / clone.cpu);
}

static void run_round(struct whole *t, uint64_t version)
{
	change(&t->w, OBJECT, version, 1);
	send_both(t, version, &t->replaced);
	fetch_both(t, version);
}

static void report_whole(const struct whole *t)
{
	const struct bench *b = t->w.b;
	report_one(b, "bulk load, bytes sent over changed", "x", t->sent,
	           t->len >= BULK ? GOAL_AT_MOST : GOAL_NONE, 1.1);
	report(b, "put of one value, new pads", "MiB/s", &t->new.put, GOAL_NONE, 0);
	report(b, "push of as many changed bytes, new pads", "MiB/s", &t->new.push, GOAL_NONE, 0);
	report(b, "push over put, new pads", "x", &t->new.ratio, GOAL_AT_LEAST, 0.7);
	report(b, "put of one value, pads replaced", "MiB/s", &t->replaced.put, GOAL_NONE, 0);
	report(b, "push of as many changed bytes, pads replaced", "MiB/s", &t->replaced.push, GOAL_NONE, 0);
	report(b, "push over put, pads replaced", "x", &t->replaced.ratio, GOAL_AT_LEAST, 0.7);
	report(b, "get of one value", "MiB/s", &t->get, GOAL_NONE, 0);
	report(b, "clone of as many bytes", "MiB/s", &t->clone, GOAL_NONE, 0);
	report(b, "clone over get", "x", &t->cloned, GOAL_AT_LEAST, 0.8);
	report(b, "get, processor's time", "s/GiB", &t->get_cpu, GOAL_NONE, 0);
	report(b, "clone, processor's time", "s/GiB", &t->clone_cpu, GOAL_NONE, 0);
	report(b, "clone over get, processor's time", "x", &t->cloned_cpu, GOAL_NONE, 0);
}

static void measure_whole(const struct bench *b)
{
	struct whole *t = xalloc(sizeof(*t));
	memset(t, 0, sizeof(*t));
	world_open(&t->w, b, NULL);
	stage_open(&t->value, b, "value", NULL, STAGE_INFLIGHT);
	load(&t->w, bulk_bytes(b) / OBJECT, OBJECT);
	t->len = t->w.count * OBJECT;
	t->bytes = xalloc(t->len);
	run_new(t);
	for (unsigned r = 0; r < b->rounds; r++)
		run_round(t, r + 2);
	report_whole(t);
	stage_close(&t->value);
	world_close(&t->w);
	free(t->bytes);
	free(t);
}

/* ---- small changes ---- */

static void report_most(const struct bench *b, const char *name, const char *unit, const struct figure *f,
                        double target)
{
	double most = 0;
	for (unsigned i = 0; i < f->count; i++)
		most = MAX(most, f->value[i]);
	report_one(b, name, unit, most, GOAL_AT_MOST, target);
}

/* Ten a commit. */
static void scatter(struct world *w, const ps_id *small, uint64_t count)
{
	enum { GROUP = 10 };
	uint8_t bytes[SMALL];
	for (unsigned i = 0; i < SCATTERED; i += GROUP) {
		ps_batch *batch;
		MUST(ps_batch_begin(w->s, &batch));
		for (unsigned n = 0; n < GROUP; n++) {
			chance_fill(&w->chance, bytes, sizeof(bytes) - 8);
			MUST(ps_batch_replace(batch, small[chance_below(&w->chance, count)], bytes,
			                      sizeof(bytes)));
		}
		MUST(ps_batch_commit(batch, PS_RELAXED));
	}
}

static void scattered_pushes(struct world *w, const ps_id *small, uint64_t count)
{
	struct figure bytes = {0}, requests = {0};
	for (unsigned r = 0; r < MAX(w->b->rounds, 3U); r++) {
		scatter(w, small, count);
		struct ps_push_result result = push_now(w);
		figure_add(&bytes, (double)result.sent_bytes);
		figure_add(&requests, (double)result.requests);
	}
	report(w->b, "push of 1,000 scattered replaces of 100 B", "bytes", &bytes, GOAL_NONE, 0);
	report_most(w->b, "the most that one of them sent", "bytes", &bytes, 1 << 20);
	report(w->b, "push of 1,000 scattered replaces, requests", "", &requests, GOAL_AT_MOST, 12);
}

/* A push of a change says where the log begins. */
static void reopen_attached(struct world *w, ps_id small)
{
	struct ps_multi_options options = {.size = sizeof(options), .remote = w->stage.r, .log_ms = 500};
	MUST(ps_close(w->s));
	MUST(ps_multi_open(store_open(bench_path(w->b, "store"), NULL), &options, &w->s));
	MUST(ps_replace(w->s, small, "attached", 8));
	MUST(ps_push(w->s, NULL, NULL, NULL));
	MUST(ps_remote_wait(w->s, WAIT_MS));
}

static void a_slice(struct world *w)
{
	struct timespec time = {(time_t)w->b->seconds,
	                        (long)((w->b->seconds - (double)(time_t)w->b->seconds) * 1e9)};
	(void)nanosleep(&time, NULL);
}

/* The same changes by way of the log; then nothing is left to do, and nothing is asked. */
static void scattered_logs(struct world *w, const ps_id *small, uint64_t count)
{
	struct figure bytes = {0};
	reopen_attached(w, small[0]);
	for (unsigned r = 0; r < MAX(w->b->rounds, 3U); r++) {
		uint64_t before = stage_stats(&w->stage).sent_bytes;
		scatter(w, small, count);
		MUST(ps_remote_wait(w->s, WAIT_MS));
		figure_add(&bytes, (double)(stage_stats(&w->stage).sent_bytes - before));
	}
	report(w->b, "the same as a log", "bytes", &bytes, GOAL_NONE, 0);
	report_most(w->b, "the most that one of them sent as a log", "bytes", &bytes, 512 << 10);
	uint64_t before = stage_stats(&w->stage).requests;
	a_slice(w);
	report_one(w->b, "requests while idle", "", (double)(stage_stats(&w->stage).requests - before),
	           GOAL_AT_MOST, 0);
}

/* Four times the bulk in objects of a KiB, some replaced again, and small ones that lie among them. */
static void measure_small(const struct bench *b)
{
	enum { LARGE = 1024, CHURNED = 10, EACH = 128 };
	struct world w;
	world_open(&w, b, NULL);
	load(&w, 4 * bulk_bytes(b) / LARGE, LARGE);
	uint64_t count = MAX(w.count / EACH, (uint64_t)SCATTERED);
	ps_id *small = xalloc(count * sizeof(*small));
	load_small(&w, small, count);
	(void)push_now(&w);
	for (unsigned i = 1; i <= 3; i++)
		change(&w, LARGE, i, CHURNED);
	(void)push_now(&w);
	scattered_pushes(&w, small, count);
	scattered_logs(&w, small, count);
	free(small);
	world_close(&w);
}

/* ---- the first object of a clone ---- */

static void read_first(const struct stage *other, ps_id id, const char *should)
{
	struct ps_memory memory;
	struct ps_cut_object object;
	ps_state_lookup *l;
	char is[64];
	ps_memory_init(&memory, NULL);
	MUST(ps_state_lookup_open(&memory, other->r, NULL, &l));
	MUST(ps_state_lookup_find(l, id, UINT64_MAX, &object));
	if (object.size != strlen(should))
		die("the first object has another size");
	MUST(ps_state_lookup_read(l, id, UINT64_MAX, 0, is, (size_t)object.size));
	if (memcmp(is, should, (size_t)object.size) != 0)
		die("the first object has other contents");
	ps_state_lookup_free(l);
	ps_memory_done(&memory);
}

static ps_id load_numbers(struct world *w, uint64_t count, uint64_t one)
{
	ps_id id, found = PS_ID_NONE;
	for (uint64_t i = 0; i < count;) {
		ps_batch *batch;
		MUST(ps_batch_begin(w->s, &batch));
		for (unsigned n = 0; n < 1000 && i < count; n++, i++) {
			char text[64];
			int len = snprintf(text, sizeof(text), "object %llu", (unsigned long long)i);
			MUST(ps_batch_put(batch, text, (size_t)len, &id));
			if (i == one)
				found = id;
		}
		MUST(ps_batch_commit(batch, PS_RELAXED));
	}
	return found;
}

/* By a machine that has the key and nothing else, its open included. */
static void measure_first(const struct bench *b)
{
	char world[64], should[64];
	uint64_t count = 10 * b->count, one = count / 3;
	struct world w;
	struct stage other;
	(void)snprintf(world, sizeof(world), "mem:bench-push-%d", (int)getpid());
	world_open(&w, b, world);
	ps_id id = load_numbers(&w, count, one);
	(void)push_now(&w);
	(void)snprintf(should, sizeof(should), "object %llu", (unsigned long long)one);
	stage_join(&other, &w.stage, "other");
	double start = now();
	read_first(&other, id, should);
	double took = now() - start;
	struct ps_remote_stats stats = stage_stats(&other);
	report_one(b, "objects of the clone", "", (double)count, GOAL_NONE, 0);
	report_one(b, "its first object, mem:", "ms", took * 1e3, GOAL_NONE, 0);
	report_one(b, "its first object, requests", "", (double)stats.requests, GOAL_AT_MOST, 10);
	report_one(b, "its first object, received", "bytes", (double)stats.received_bytes, GOAL_AT_MOST,
	           2 << 20);
	stage_close(&other);
	world_close(&w);
}

void bench_push(const struct bench *b)
{
	measure_whole(b);
	measure_small(b);
	measure_first(b);
}
