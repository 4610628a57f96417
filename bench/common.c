/* What the workloads share: figures, time, chance, files. */
#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench/bench.h"

/* ---- figures ---- */

void figure_add(struct figure *f, double value)
{
	if (f->count < ROUNDS_MAX)
		f->value[f->count++] = value;
}

static int compare_values(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static struct figure sorted(const struct figure *f)
{
	struct figure s = *f;
	qsort(s.value, s.count, sizeof(s.value[0]), compare_values);
	return s;
}

double figure_median(const struct figure *f)
{
	struct figure s = sorted(f);
	if (!s.count)
		return 0;
	return s.count % 2 ? s.value[s.count / 2] : (s.value[s.count / 2 - 1] + s.value[s.count / 2]) / 2;
}

static bool is_met(double value, enum goal goal, double target)
{
	return goal == GOAL_AT_LEAST ? value >= target : value <= target;
}

void report(const struct bench *b, const char *name, const char *unit, const struct figure *f, enum goal goal,
            double target)
{
	struct figure s = sorted(f);
	double median = figure_median(f), least = s.count ? s.value[0] : 0,
	       most = s.count ? s.value[s.count - 1] : 0;
	if (b->json) {
		printf("{\"workload\":\"%s\",\"name\":\"%s\",\"unit\":\"%s\",\"median\":%.6g,\"min\":%.6g,"
		       "\"max\":%.6g,"
		       "\"rounds\":%u",
		       b->workload, name, unit, median, least, most, s.count);
		if (goal != GOAL_NONE)
			printf(",\"target\":%.6g,\"met\":%s", target,
			       is_met(median, goal, target) ? "true" : "false");
		printf("}\n");
	} else {
		printf("%-8s %-42s %12.5g %-10s [%.5g .. %.5g]", b->workload, name, median, unit, least,
		       most);
		if (goal != GOAL_NONE)
			printf("  %s %.5g: %s", goal == GOAL_AT_LEAST ? "at least" : "at most", target,
			       is_met(median, goal, target) ? "met" : "MISSED");
		printf("\n");
	}
	fflush(stdout);
}

void report_one(const struct bench *b, const char *name, const char *unit, double value, enum goal goal,
                double target)
{
	struct figure f = {{value}, 1};
	report(b, name, unit, &f, goal, target);
}

/* ---- failures ---- */

void die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fprintf(stderr, "padstone-bench: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(1);
}

void must(int err, const char *what)
{
	if (err)
		die("%s: %s (%s)", what, ps_last_error_message(), ps_strerror(err));
}

/* ---- time, chance, memory ---- */

static double clock_seconds(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double now(void)
{
	return clock_seconds(CLOCK_MONOTONIC);
}

double cpu_now(void)
{
	return clock_seconds(CLOCK_THREAD_CPUTIME_ID);
}

double process_time(void)
{
	return clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
}

static uint64_t rotate(uint64_t x, int by)
{
	return x << by | x >> (64 - by);
}

/* The state from one number by SplitMix64 (Steele, Lea, Flood, OOPSLA 2014). */
struct chance chance_from(uint64_t seed)
{
	struct chance c;
	for (int i = 0; i < 4; i++) {
		uint64_t z = seed += 0x9e3779b97f4a7c15U;
		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
		z = (z ^ z >> 27) * 0x94d049bb133111ebU;
		c.state[i] = z ^ z >> 31;
	}
	return c;
}

/* xoshiro256** (Blackman, Vigna, 2018). */
uint64_t chance_next(struct chance *c)
{
	uint64_t *s = c->state, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotate(s[3], 45);
	return result;
}

uint64_t chance_below(struct chance *c, uint64_t bound)
{
	return (uint64_t)((unsigned __int128)chance_next(c) * bound >> 64);
}

void chance_fill(struct chance *c, void *buf, size_t len)
{
	uint8_t *at = buf;
	for (; len >= 8; at += 8, len -= 8) {
		uint64_t word = chance_next(c);
		memcpy(at, &word, 8);
	}
	uint64_t last = chance_next(c);
	memcpy(at, &last, len);
}

void *xalloc(size_t size)
{
	void *memory = NULL;
	if (posix_memalign(&memory, 4096, size ? size : 1))
		die("no memory for %zu bytes", size);
	return memory;
}

/* ---- files and stores ---- */

const char *bench_path(const struct bench *b, const char *name)
{
	static char path[2][4096];
	static unsigned turn;
	char *at = path[turn++ % 2];
	if (snprintf(at, sizeof(path[0]), BENCH_FILE, b->dir, (int)getpid(), name) >= (int)sizeof(path[0]))
		die("%s: the name is too long", b->dir);
	return at;
}

uint64_t disk_bytes(const char *path)
{
	struct stat st;
	if (stat(path, &st))
		die("%s: %s", path, strerror(errno));
	return (uint64_t)st.st_blocks * 512;
}

void remove_file(const char *path)
{
	if (unlink(path) && errno != ENOENT)
		die("%s: %s", path, strerror(errno));
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
	(void)info, (void)type, (void)walk;
	return remove(path);
}

void remove_folder(const char *path)
{
	(void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

ps_storer *store_open(const char *path, const struct ps_base_options *options)
{
	ps_storer *s = NULL;
	must(ps_base_open(path, options, &s), path);
	return s;
}

struct ps_stats store_stats(ps_storer *s)
{
	struct ps_stats stats;
	MUST(ps_stats(s, &stats));
	return stats;
}
