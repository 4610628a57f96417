/* The harness: every peer does the same work, each in a process of its own, in turns.
 *
 * A workload gives groups; a group is one set-up (objects of one size, one durability class) with rows; a row
 * is what is measured, once a round. */
#ifndef PS_BENCH_HARNESS_H
#define PS_BENCH_HARNESS_H

#include <jansson.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "bench/bench.h"
#include "bench/histogram.h"
#include "bench/peer.h"

enum { NAME_MOST = 48, ROWS_MOST = 12, GROUPS_MOST = 24, LANES_MOST = 64, WORDS_MOST = 32 };

struct settings {
	const char *dir;
	uint64_t num;        /* objects of the small workloads */
	uint64_t bytes_most; /* and at most so many bytes of them */
	uint64_t value_size; /* this size only; 0: the workload's own */
	uint64_t cache_bytes;
	uint64_t seed;
	double seconds;   /* of a timed slice */
	double load_most; /* seconds that one load may take before it is cut short */
	double wait_most; /* seconds until a peer that does not answer is killed */
	unsigned threads; /* of what has several; 0: the workload's own */
	unsigned rounds;
	double minutes; /* of a whole run: rounds after the first are left out when time runs short */
	bool quick;
	const char *peers;      /* words between commas; NULL: all */
	const char *benchmarks; /* likewise */
	const char *network;    /* of targets; NULL: files */
	const char *json, *html, *results;
	const char *notes; /* Markdown that --results takes over */
};

/* ---- what a slice yields ---- */

#define FIGURES(X)                                                                                           \
	X(FIG_RATE, "rate", "ops/s", true)                                                                   \
	X(FIG_CPU, "cpu", "ns/op", false)                                                                    \
	X(FIG_TIME, "time", "ms", false)                                                                     \
	X(FIG_P50, "p50", "us", false)                                                                       \
	X(FIG_P99, "p99", "us", false)                                                                       \
	X(FIG_P999, "p99.9", "us", false)                                                                    \
	X(FIG_MOST, "max", "us", false)                                                                      \
	X(FIG_GET_P50, "get p50", "us", false)                                                               \
	X(FIG_GET_P99, "get p99", "us", false)                                                               \
	X(FIG_GET_P999, "get p99.9", "us", false)                                                            \
	X(FIG_CALLS, "I/O calls", "/op", false)                                                              \
	X(FIG_FLUSHES, "flushes", "/op", false)                                                              \
	X(FIG_SWITCHES, "switches", "/op", false)                                                            \
	X(FIG_WRITTEN, "written", "/byte", false)                                                            \
	X(FIG_READ, "read", "B/op", false)                                                                   \
	X(FIG_RESIDENT, "resident", "MiB", false)                                                            \
	X(FIG_SPACE, "space", "x", false)                                                                    \
	X(FIG_SPACE_CLOSED, "space closed", "x", false)                                                      \
	X(FIG_SPACE_HALF, "space half", "x", false)                                                          \
	X(FIG_SPACE_REFILLED, "space refilled", "x", false)                                                  \
	X(FIG_SPACE_COMPACTED, "space compacted", "x", false)

enum figure_kind {
#define FIGURE_ENUM(id, name, unit, more) id,
	FIGURES(FIGURE_ENUM)
#undef FIGURE_ENUM
	    FIGURE_KINDS
};
struct figure_info {
	const char *name, *unit;
	bool more_is_better;
};
extern const struct figure_info figure_infos[FIGURE_KINDS];
/* The first one, where none has the name. */
const struct figure_info *figure_named(const char *name);

/* What a child sends for one row and round. NAN: not measured. */
struct slice {
	double figure[FIGURE_KINDS];
	uint64_t objects; /* that the store held; fewer than the group's where a load was cut short */
	struct histogram latency;
	char settings[512]; /* of the peer, as it says itself */
};

/* ---- what is measured ---- */

struct row {
	char name[NAME_MOST]; /* with the workload's and the group's name it names the row for ever */
	unsigned threads;
	int mode; /* the workload's own */
	enum figure_kind primary;
	double target;     /* of the limit, 0: none; for figures of which less is better, at most */
	unsigned needs;    /* abilities */
	const char *stack; /* whose target it is: "base" or "full" */
};

struct workload;
struct group {
	const struct workload *workload;
	char name[NAME_MOST];
	size_t size;      /* 0: of different sizes */
	size_t size_most; /* then: evenly from 64 B to this; 0: mixed_size() */
	uint64_t count;
	enum durability durability;
	unsigned rounds; /* 0: the settings' */
	unsigned rows;
	struct row row[ROWS_MOST];
};

struct job;
struct workload {
	const char *name, *title;
	/* How many groups; fills up to GROUPS_MOST. */
	unsigned (*groups)(const struct settings *s, struct group *g);
	/* Once, before the first round. NULL: nothing to do. */
	void (*set_up)(struct job *j);
	void (*round)(struct job *j, const struct row *row, unsigned round, struct slice *out);
	/* Verifies and closes. NULL: nothing to do. */
	void (*finish)(struct job *j);
	bool only_padstone; /* and the limit */
};
/* NULL ends it. */
extern const struct workload *const workloads[];

/* ---- a child's side (job.c) ---- */

/* Shared with the processes that a job forks, so that what a killed one wrote is still known. */
struct object {
	uint64_t handle;
	uint32_t version;
	uint32_t len;
};

struct job {
	const struct settings *settings;
	const struct group *group;
	const struct peer_ops *peer;
	char folder[4096];
	struct peer_options options;
	void *store;   /* NULL while closed */
	void *session; /* of the child's main thread */
	struct object *objects;
	uint64_t count; /* how many of them there are */
	uint64_t live_bytes;
	uint8_t *buf;     /* of the largest object */
	size_t size_most; /* its size */
	char disk[64];    /* where the kernel counts what the folder's device writes; empty: unknown */
	void *state;
};

void job_begin(struct job *j, const struct settings *s, const struct group *g, const struct peer_ops *p,
               const char *folder);
void job_open(struct job *j, bool create, bool cold);
void job_close(struct job *j);
/* Closes the store if it is open and removes its files. */
void job_remove(struct job *j);
/* st_blocks x 512 of everything in the folder. */
uint64_t job_disk_bytes(const struct job *j);
/* Puts the group's objects, batches of 1,000 (at most 64 MiB), each a commit, until all are in or the
 * settings' time for a load is over. Sets count and live_bytes. */
void job_load(struct job *j);
/* The same where it is not measured: larger batches, more time, and a sync behind it. */
void job_fill(struct job *j);
/* Reads `samples` objects and compares every byte; dies if one differs. */
void job_verify(struct job *j, uint64_t samples);
/* The object's next contents. */
struct peer_write job_next(struct job *j, uint64_t key, size_t len);
/* All handles in an order of chance; the caller frees. */
uint64_t *job_shuffled_handles(const struct job *j);
/* Everything below a folder; fn gets a file's path, or a folder's behind what is in it. */
void job_walk(const char *folder, void (*fn)(const char *path, const struct stat *st, void *arg), void *arg);
/* No read-ahead for the files of the store, which is open. (page_cache.c) */
void job_no_read_ahead(const struct job *j);
/* Clean pages of the folder's files leave the page cache. Dies if they do not. */
void job_drop_cache(const struct job *j);
/* Runs fn in a process of its own, which it may end itself with SIGKILL (`killed`); sends `len` bytes of
 * result back. */
void job_apart(struct job *j, void (*fn)(struct job *j, void *result), void *result, size_t len, bool killed);

/* ---- threads (lane.c) ---- */

struct lane {
	struct job *job;
	const struct row *row;
	void *session;
	unsigned number, lanes;
	struct chance chance;
	uint8_t *buf;        /* of the largest object */
	uint64_t ops, bytes; /* done; bytes: of user data written */
	struct histogram *latency, *second;
	_Atomic(bool) *stop;
	double cpu;
};
/* Runs `lanes` threads with a session each until the slice's time is over or all have returned, and fills in
 * rate, cpu, latencies, calls, flushes, bytes. One lane's operations are timed from their real start: a
 * closed loop, said so in README.md. */
void lanes_run(struct job *j, const struct row *row, unsigned lanes, double seconds,
               void (*fn)(struct lane *l), struct slice *out);
bool lane_goes_on(const struct lane *l);
/* One batch, timed. */
void lane_write(struct lane *l, struct peer_write *w, unsigned n);

/* ---- contents: windows into one sea of noise, so that a timed put does not measure their making (sea.c)
 * ---- */

void sea_fill(uint64_t seed);
const uint8_t *sea_at(uint64_t key, uint64_t version);
/* 64-512 B (90 %), 4-64 KiB (9 %), 1-4 MiB (1 %); the kind is the key's, the size within it the version's. */
size_t mixed_size(uint64_t key, uint64_t version);
size_t even_size(uint64_t key, uint64_t version, size_t most);
enum { MIXED_MOST = 4 << 20 };
/* Of a popularity that falls with the rank's power 0.99, over n keys; as YCSB has it (Gray et al., SIGMOD
 * 1994). */
struct zipf {
	uint64_t n;
	double alpha, zeta, eta, half;
};
struct zipf zipf_over(uint64_t n);
uint64_t zipf_next(const struct zipf *z, struct chance *c);

/* ---- what the process did (measure.c, count.c) ---- */

struct usage {
	double wall, cpu;
	uint64_t calls, flushes, switches, read, written;
};
struct usage usage_now(const struct job *j);
/* Per operation, per user byte. */
void usage_figures(const struct usage *before, const struct usage *after, uint64_t ops, uint64_t user_bytes,
                   struct slice *out);
void latency_figures(const struct histogram *h, struct slice *out);
struct call_counts {
	uint64_t calls, flushes;
};
/* Calls of read, write, flush and their kin by anything in this process but io_uring. */
struct call_counts call_counts(void);
double resident_mib(void);
void slice_clear(struct slice *s);

/* ---- the parent's side ---- */

/* What is left of a run's time is shared evenly among the groups to come. */
struct pace {
	double end;
	unsigned groups;
};
unsigned workload_groups(const struct workload *w, const struct settings *s);
/* Runs all groups of a workload and adds their records; false if a peer failed. (run.c) */
bool workload_run(const struct workload *w, const struct settings *s, struct pace *pace, json_t *records);
bool word_in(const char *words, const char *word);

/* One record an object: "machine", then "row"s (one a peer and row, with every figure's values), "latency",
 * "failure". */
json_t *machine_record(const struct settings *s);
void record_row(json_t *records, const struct group *g, const struct row *row, const struct peer_ops *p,
                const struct slice *slices, unsigned rounds);
void record_failure(json_t *records, const struct group *g, const struct peer_ops *p, const char *why);
bool records_save(const json_t *records, const char *path);
json_t *records_load(const char *path);
/* The named figure of a row record: NULL if it was not measured. */
json_t *record_values(const json_t *record, const char *figure);
double values_median(const json_t *values, double *least, double *most);
const char *record_text(const json_t *record, const char *name);
const struct figure_info *record_primary(const json_t *record);
/* The record of the limit for the same row; NULL. */
const json_t *record_limit(const json_t *records, const json_t *record);
/* Value over the limit's (or the other way where less is better): 1 is at the limit. NAN if there is none. */
double record_ratio(const json_t *records, const json_t *record);

/* Whether this is the stack that the row's target is for. */
bool record_has_target(const json_t *record);

void table_print(const json_t *records, size_t from);
bool page_write(const json_t *records, const char *path);
/* notes: a file whose text goes behind the first tables; NULL: none. */
bool results_write(const json_t *records, const char *path, const char *notes);
int compare_files(const char *before, const char *after);

#endif
