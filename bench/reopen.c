/* The time from open to the first object: after a clean close, and after a SIGKILL with as much in the log as
 * there can be. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/bench.h"

enum { SIZE = 64, BATCH = 1000 };

static double first_get(const struct bench *b, const ps_id *ids, uint64_t key, uint64_t version, bool keep,
                        ps_storer **s)
{
	uint8_t buf[SIZE];
	size_t len;
	double start = now();
	*s = store_open(bench_path(b, "store"), NULL);
	MUST(ps_get(*s, ids[key], buf, SIZE, &len));
	double took = (now() - start) * 1e3;
	contents_verify(b->seed, key, version, buf, len);
	if (!keep)
		MUST(ps_close(*s));
	return took;
}

static void clean_rounds(const struct bench *b, const ps_id *ids)
{
	struct figure f = {0};
	struct chance c = chance_from(b->seed);
	ps_storer *s;
	for (unsigned r = 0; r < b->rounds; r++)
		figure_add(&f, first_get(b, ids, chance_below(&c, b->count), 0, false, &s));
	report(b, "clean close to first get", "ms", &f, GOAL_AT_MOST, 5);
}

/* Replaces everything once more, key by key, until the log is as full as it gets before a checkpoint begins.
 */
static void fill_log(const struct bench *b, ps_storer *s, const ps_id *ids, uint64_t version)
{
	uint64_t room = store_stats(s).log_bytes / 2;
	uint8_t buf[SIZE];
	/* An operation in the log is 48 bytes and the contents; a block and a record have headers. */
	uint64_t step = BATCH * (SIZE + 48) + 4096 + 64;
	for (uint64_t key = 0; room > step && key + BATCH <= b->count; room -= step) {
		ps_batch *batch;
		MUST(ps_batch_begin(s, &batch));
		for (uint64_t end = key + BATCH; key < end; key++) {
			contents_fill(b->seed, key, version, buf, SIZE);
			MUST(ps_batch_replace(batch, ids[key], buf, SIZE));
		}
		MUST(ps_batch_commit(batch, PS_DURABLE));
	}
}

static void kill_with_full_log(const struct bench *b, const ps_id *ids, uint64_t version, const char *path)
{
	pid_t child = fork();
	int status;
	if (child < 0)
		die("fork: %s", strerror(errno));
	if (child == 0) {
		ps_storer *s = store_open(path, NULL);
		fill_log(b, s, ids, version);
		raise(SIGKILL);
	}
	if (waitpid(child, &status, 0) != child || !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		die("the process that was to be killed ended otherwise");
}

static void killed_rounds(const struct bench *b, const ps_id *ids)
{
	struct figure took = {0}, commits = {0}, bytes = {0};
	ps_storer *s;
	for (unsigned r = 0; r < b->rounds; r++) {
		kill_with_full_log(b, ids, r + 1, bench_path(b, "store"));
		/* The first batch fits any log, so key 0 has the new version. */
		figure_add(&took, first_get(b, ids, 0, b->count >= BATCH ? r + 1 : 0, true, &s));
		struct ps_stats stats = store_stats(s);
		figure_add(&commits, (double)stats.recovered_commits);
		figure_add(&bytes, (double)stats.log_bytes / (1 << 20));
		MUST(ps_close(s));
	}
	report(b, "SIGKILL to first get", "ms", &took, GOAL_AT_MOST, 50);
	report(b, "commits of 1000 that were replayed", "commits", &commits, GOAL_NONE, 0);
	report(b, "size of the log, half of it full", "MiB", &bytes, GOAL_NONE, 0);
}

void bench_reopen(const struct bench *b)
{
	ps_id *ids = xalloc(b->count * sizeof(*ids));
	ps_storer *s = store_open(bench_path(b, "store"), NULL);
	load_objects(b, s, b->count, SIZE, ids);
	MUST(ps_close(s));
	clean_rounds(b, ids);
	killed_rounds(b, ids);
	remove_file(bench_path(b, "store"));
	free(ids);
}
