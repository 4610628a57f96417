/* What a push leaves to those who use the store meanwhile.
 *
 * All of the contents are changed, and that comes to rest; then one user works alone, and works while ps_push
 * sends what was changed, as long. Which of the two is first changes each time. So it goes on until pushes
 * have run for a slice in all: that is a round, and its ratio is that of all that the user has done beside
 * pushes to all that he has done alone, each by its own time. What is counted is what he does between the
 * call of ps_push and its return. The user is a thread with 1,000 objects of 256 bytes of its own among the
 * others, all of them in memory, half gets, half replaces, one after another without a pause. Its replaces
 * are relaxed, so that it wants a processor all the time, or durable, so that it mostly waits for the disk.
 *
 * The push's network is memory, which stands for one that is elsewhere; and files on the disk that the
 * store's log is on, too, which has to flush for both.
 *
 * A user loses by having no processor, and by doing less while it has one. The lines of its processor time
 * tell them apart; with the relaxed one, they are also what other work on the machine touches least. Each
 * round pushes once with nobody beside it: what the push itself loses. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <time.h>
#include <unistd.h>

#include "bench/remote_stage.h"
#include "multistore/push.h"

enum { OBJECT = 4096, OWN = 1000, OWN_BYTES = 256 };
static const size_t BULK = (size_t)256 << 20; /* as in push.c */

struct world {
	const struct bench *b;
	struct stage stage;
	ps_storer *s;
	ps_id *ids, own[OWN];
	uint64_t count, version;
	double rests; /* seconds */
};

/* ---- the store ---- */

static void load_own(struct world *w)
{
	static const uint8_t bytes[OWN_BYTES];
	ps_batch *batch;
	MUST(ps_batch_begin(w->s, &batch));
	for (unsigned i = 0; i < OWN; i++)
		MUST(ps_batch_put(batch, bytes, sizeof(bytes), &w->own[i]));
	MUST(ps_batch_commit(batch, PS_DURABLE));
}

static void world_open(struct world *w, const struct bench *b, const char *network)
{
	uint64_t bytes = b->size ? b->size : MIN((uint64_t)BULK, b->count << 10);
	*w = (struct world){.b = b, .count = MAX(bytes / OBJECT, (uint64_t)1)};
	stage_open(&w->stage, b, "beside", network, STAGE_INFLIGHT);
	MUST(ps_multi_open(store_open(bench_path(b, "store"), NULL), NULL, &w->s));
	w->ids = xalloc(w->count * sizeof(*w->ids));
	load_objects(b, w->s, w->count, OBJECT, w->ids);
	load_own(w);
}

static void world_close(struct world *w)
{
	MUST(ps_close(w->s));
	stage_close(&w->stage);
	remove_file(bench_path(w->b, "store"));
	free(w->ids);
}

static void change_all(struct world *w)
{
	uint8_t bytes[OBJECT];
	w->version++;
	for (uint64_t i = 0; i < w->count;) {
		ps_batch *batch;
		MUST(ps_batch_begin(w->s, &batch));
		for (unsigned n = 0; n < 1000 && i < w->count; n++, i++) {
			contents_fill(w->b->seed, i, w->version, bytes, OBJECT);
			MUST(ps_batch_replace(batch, w->ids[i], bytes, OBJECT));
		}
		MUST(ps_batch_commit(batch, PS_DURABLE));
	}
	MUST(ps_sync(w->s));
}

static void push(struct world *w)
{
	struct ps_push_options options = {.size = sizeof(options), .compression = -1};
	struct ps_push_result result;
	MUST(ps_push(w->s, w->stage.r, &options, &result));
	if (result.bytes < w->count * OBJECT)
		die("a push of changed contents sent %llu bytes", (unsigned long long)result.bytes);
}

/* ---- the user ---- */

struct user {
	struct world *w;
	enum ps_durability durability; /* of its replaces */
	pthread_t thread;
	clockid_t clock;
	_Atomic(uint64_t) done;
	atomic_bool stop;
};

static void replace(struct user *u, ps_id id, uint64_t i)
{
	uint8_t bytes[OWN_BYTES];
	ps_batch *batch;
	memset(bytes, (int)i, sizeof(bytes));
	MUST(ps_batch_begin(u->w->s, &batch));
	MUST(ps_batch_replace(batch, id, bytes, sizeof(bytes)));
	MUST(ps_batch_commit(batch, u->durability));
}

/* Half gets, half replaces. */
static void *use(void *arg)
{
	struct user *u = arg;
	uint8_t bytes[OWN_BYTES];
	size_t got;
	for (uint64_t i = 0; !atomic_load_explicit(&u->stop, memory_order_relaxed); i++) {
		ps_id id = u->w->own[i * 7919 % OWN];
		if (i % 2)
			MUST(ps_get(u->w->s, id, bytes, sizeof(bytes), &got));
		else
			replace(u, id, i);
		atomic_store_explicit(&u->done, i + 1, memory_order_relaxed);
	}
	return NULL;
}

static void user_start(struct user *u)
{
	atomic_store(&u->done, 0);
	atomic_store(&u->stop, false);
	if (pthread_create(&u->thread, NULL, use, u) || pthread_getcpuclockid(u->thread, &u->clock))
		die("no thread");
	while (atomic_load(&u->done) == 0)
		sched_yield();
}

static void user_stop(struct user *u)
{
	atomic_store(&u->stop, true);
	pthread_join(u->thread, NULL);
}

/* ---- what it has done between two moments ---- */

struct lap {
	double seconds, processor, operations;
};

static struct lap user_at(const struct user *u)
{
	struct timespec t;
	if (clock_gettime(u->clock, &t))
		die("the thread has no clock");
	return (struct lap){now(), (double)t.tv_sec + (double)t.tv_nsec * 1e-9,
	                    (double)atomic_load_explicit(&u->done, memory_order_relaxed)};
}

static struct lap lap_of(struct user *u, void beside(struct world *w))
{
	user_start(u);
	struct lap from = user_at(u);
	beside(u->w);
	struct lap to = user_at(u);
	user_stop(u);
	return (struct lap){to.seconds - from.seconds, to.processor - from.processor,
	                    to.operations - from.operations};
}

static void rest(struct world *w)
{
	struct timespec time = {(time_t)w->rests, (long)((w->rests - (double)(time_t)w->rests) * 1e9)};
	(void)nanosleep(&time, NULL);
}

/* ---- rounds ---- */

struct rounds {
	struct figure alone, beside, ratio, had, cost, push, push_alone;
};

static void add_lap(struct lap *sum, const struct lap *lap)
{
	sum->seconds += lap->seconds;
	sum->processor += lap->processor;
	sum->operations += lap->operations;
}

static void add_round(struct rounds *r, const struct lap *alone, const struct lap *beside, double mib)
{
	figure_add(&r->alone, alone->operations / alone->seconds);
	figure_add(&r->beside, beside->operations / beside->seconds);
	figure_add(&r->ratio, beside->operations / beside->seconds * alone->seconds / alone->operations);
	figure_add(&r->had, beside->processor / beside->seconds * alone->seconds / alone->processor);
	figure_add(&r->cost, beside->processor / beside->operations * alone->operations / alone->processor);
	figure_add(&r->push, mib / beside->seconds);
}

/* Alone it is as long as the last push was. */
static void run_pair(struct user *u, bool first, struct lap *alone, struct lap *beside)
{
	struct world *w = u->w;
	struct lap lap;
	change_all(w);
	if (first) {
		lap = lap_of(u, rest);
		add_lap(alone, &lap);
	}
	lap = lap_of(u, push);
	add_lap(beside, &lap);
	w->rests = lap.seconds;
	if (!first) {
		lap = lap_of(u, rest);
		add_lap(alone, &lap);
	}
}

/* Pairs of pairs: as many begin with a push as without. */
static void run_round(struct user *u, struct rounds *r)
{
	struct world *w = u->w;
	struct lap alone = {0}, beside = {0};
	double mib = (double)w->count * OBJECT / (1 << 20);
	unsigned pushes = 0;
	change_all(w);
	double start = now();
	push(w);
	w->rests = now() - start;
	figure_add(&r->push_alone, mib / w->rests);
	while (pushes % 2 || beside.seconds < w->b->seconds)
		run_pair(u, pushes++ % 2 == 0, &alone, &beside);
	add_round(r, &alone, &beside, mib * pushes);
}

static void line(const struct bench *b, const char *what, const char *name, const char *unit,
                 const struct figure *f, enum goal goal)
{
	char text[128];
	(void)snprintf(text, sizeof(text), "%s: %s", what, name);
	report(b, text, unit, f, goal, 0.8);
}

static void measure(struct world *w, const char *what, enum ps_durability durability)
{
	struct rounds r = {0};
	struct user *u = xalloc(sizeof(*u));
	memset(u, 0, sizeof(*u));
	u->w = w;
	u->durability = durability;
	for (unsigned i = 0; i < w->b->rounds; i++)
		run_round(u, &r);
	line(w->b, what, "alone", "ops/s", &r.alone, GOAL_NONE);
	line(w->b, what, "during a push", "ops/s", &r.beside, GOAL_NONE);
	line(w->b, what, "during over alone", "x", &r.ratio, GOAL_AT_LEAST);
	line(w->b, what, "its processor, during over alone", "x", &r.had, GOAL_NONE);
	line(w->b, what, "the same, an operation", "x", &r.cost, GOAL_NONE);
	line(w->b, what, "the push with nobody beside it", "MiB/s", &r.push_alone, GOAL_NONE);
	line(w->b, what, "the push", "MiB/s", &r.push, GOAL_NONE);
	free(u);
}

static void measure_on(const struct bench *b, const char *network, const char *relaxed, const char *durable)
{
	struct world *w = xalloc(sizeof(*w));
	world_open(w, b, network);
	push(w);
	measure(w, relaxed, PS_RELAXED);
	measure(w, durable, PS_DURABLE);
	world_close(w);
	free(w);
}

void bench_beside(const struct bench *b)
{
	char memory[64];
	(void)snprintf(memory, sizeof(memory), "mem:bench-beside-%d", (int)getpid());
	if (!b->network)
		measure_on(b, memory, "relaxed", "durable");
	measure_on(b, NULL, b->network ? "relaxed" : "relaxed, files",
	           b->network ? "durable" : "durable, files");
}
