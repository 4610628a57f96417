/* The benchmark program: one workload a file, each in a process of its own, padstone and its limit in turns.
 */
#ifndef PS_BENCH_H
#define PS_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <padstone/padstone.h>

struct bench {
	const char *dir; /* where the workload may make files; it removes them */
	uint64_t count;  /* objects of the workloads that have a million of them by default */
	double seconds;  /* of one timed slice */
	uint64_t seed;
	unsigned rounds;
	uint64_t size; /* load: objects of this size only; 0: all sizes */
	bool json;
	const char *workload;
	const char *network; /* remote, push: instead of files; NULL */
};

/* ---- figures: one value a round ---- */

enum { ROUNDS_MAX = 99 };
struct figure {
	double value[ROUNDS_MAX];
	unsigned count;
};
enum goal { GOAL_NONE, GOAL_AT_LEAST, GOAL_AT_MOST };

void figure_add(struct figure *f, double value);
double figure_median(const struct figure *f);
/* One line: median, least and most of the rounds; against the target, where it has one. */
void report(const struct bench *b, const char *name, const char *unit, const struct figure *f, enum goal goal,
            double target);
/* For what is measured once. */
void report_one(const struct bench *b, const char *name, const char *unit, double value, enum goal goal,
                double target);

/* ---- what goes wrong ends the workload ---- */

_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Dies with the store's sentence unless err is PS_OK. */
void must(int err, const char *what);
#define MUST(call) must((call), #call)

/* ---- time, chance, memory ---- */

double now(void);          /* seconds, monotonic */
double cpu_now(void);      /* seconds of this thread */
double process_time(void); /* seconds that this process had processors, all threads */
struct chance {
	uint64_t state[4];
};
struct chance chance_from(uint64_t seed);
uint64_t chance_next(struct chance *c);
uint64_t chance_below(struct chance *c, uint64_t bound);
void chance_fill(struct chance *c, void *buf, size_t len);
void *xalloc(size_t size); /* page-aligned */

/* ---- files and stores ---- */

#define BENCH_FILE "%s/padstone-bench.%d.%s" /* folder, process, name */
/* dir/name of this process, in a static buffer that the next call of the same slot writes over. */
const char *bench_path(const struct bench *b, const char *name);
uint64_t disk_bytes(const char *path); /* st_blocks x 512 */
void remove_file(const char *path);
void remove_folder(const char *path); /* and all that is in it, as far as that goes */
ps_storer *store_open(const char *path, const struct ps_base_options *options);
/* Answers PS_OK at once to what layers are timed with (nothing.c). */
ps_storer *nothing_open(void);
struct ps_stats store_stats(ps_storer *s);

/* ---- contents that can be verified: every byte follows from seed, key and version (fill.c) ---- */

void contents_fill(uint64_t seed, uint64_t key, uint64_t version, void *buf, size_t len);
void contents_verify(uint64_t seed, uint64_t key, uint64_t version, const void *buf, size_t len);
/* Puts `count` objects of `size` bytes, keys from 0, in batches with a durable commit each. */
void load_objects(const struct bench *b, ps_storer *s, uint64_t count, size_t size, ps_id *ids);
uint64_t batch_of(size_t size); /* objects of a batch: 1,000, and at most 64 MiB */

/* ---- the limits (raw.c) ---- */

struct raw_file;
/* A file of `bytes`, opened with O_DIRECT (and O_DSYNC where sync), its space allocated; written once where
 * prewritten. */
struct raw_file *raw_open(const char *path, uint64_t bytes, bool sync, bool prewritten);
void raw_close(struct raw_file *f);
/* 4 KiB writes one after another for so long; how many. */
uint64_t raw_sync_writes(struct raw_file *f, double seconds);
/* `threads` of them each have 256 bytes durable again and again: one leader writes what has gathered. */
uint64_t raw_gathered(struct raw_file *f, unsigned threads, double seconds);
/* The whole file in requests of `request` bytes, `depth` in flight, a flush after each `batch` bytes. */
void raw_sequential(struct raw_file *f, size_t request, unsigned depth, uint64_t batch);
/* The ring's next one, however often the process is stopped meanwhile. */
struct io_uring;
struct io_uring_cqe *raw_completion(struct io_uring *ring);

/* ---- workloads ---- */

void bench_allocators(const struct bench *b);
void bench_cached(const struct bench *b);
void bench_durable(const struct bench *b);
void bench_load(const struct bench *b);
void bench_large(const struct bench *b);
void bench_memory(const struct bench *b);
void bench_reopen(const struct bench *b);
void bench_space(const struct bench *b);
void bench_locks(const struct bench *b);
void bench_routes(const struct bench *b);
void bench_remote(const struct bench *b);
void bench_push(const struct bench *b);
void bench_beside(const struct bench *b);

#endif
