/* W7: from open to the first object, after a clean close, and after a SIGKILL with 16 MiB of log to be read.
 * Each open is in a process of its own; the page cache is warm for those who use it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "bench/harness.h"

/* A mode above MODE_CLEAN is the MiB, of contents and 48 bytes about each, that are written before the kill.
 */
enum { SIZE = 64, BATCH = 1000, ENTRY = 48, MODE_CLEAN = 0, MODE_KILLED = 16 };

static unsigned groups(const struct settings *s, struct group *g)
{
	snprintf(g->name, NAME_MOST, "64 B");
	g->size = SIZE;
	g->count = MAX(s->num, (uint64_t)BATCH);
	g->durability = CLASS_POWER;
	g->rows = 2;
	g->row[0] = (struct row){"clean close to first get", 1, MODE_CLEAN, FIG_TIME, 0.25 / 1.0, 0, "base"};
	g->row[1] = (struct row){"kill -9 to first get", 1, MODE_KILLED, FIG_TIME, 12.0 / 15, 0, "base"};
	return 1;
}

/* P4: the time grows with what is in the log, and ends growing where checkpoints set in. */
static unsigned recovery_groups(const struct settings *s, struct group *g)
{
	static const int sizes[] = {1, 4, 16, 64};
	groups(s, g);
	g->rows = 0;
	for (unsigned i = 0; i < (s->quick ? 3 : 4); i++) {
		g->row[i] = (struct row){"", 1, sizes[i], FIG_TIME, 0, 0, NULL};
		snprintf(g->row[i].name, NAME_MOST, "kill -9, %d MiB written", sizes[i]);
		g->rows++;
	}
	return 1;
}

static void load_apart(struct job *j, void *result)
{
	job_open(j, true, false);
	job_fill(j);
	*(uint64_t *)result = j->count;
	job_close(j);
}

static void set_up(struct job *j)
{
	uint64_t count = 0;
	job_apart(j, load_apart, &count, sizeof(count), false);
	j->count = count;
}

static void open_apart(struct job *j, void *result)
{
	struct peer_read r = {.handle = j->objects[0].handle, .buf = j->buf, .cap = j->size_most};
	double start = now();
	job_open(j, false, false);
	j->peer->read(j->session, &r);
	*(double *)result = (now() - start) * 1e3;
	job_verify(j, 2000);
	job_close(j);
}

/* Everything once more, key by key, until so much is in the log. */
static void write_apart(struct job *j, void *result)
{
	static struct peer_write w[BATCH];
	uint64_t key = 0, whole = j->count / BATCH * BATCH, most = *(uint64_t *)result;
	job_open(j, false, false);
	/* One file an object would take minutes, and has no log. */
	double end = now() + 8 * j->settings->load_most;
	for (uint64_t bytes = 0; whole && bytes < most && now() < end; bytes += BATCH * (SIZE + ENTRY)) {
		for (unsigned i = 0; i < BATCH; i++)
			w[i] = job_next(j, key + i, 0);
		j->peer->write(j->session, w, BATCH);
		key = (key + BATCH) % whole;
	}
}

static void one_round(struct job *j, const struct row *row, unsigned round, struct slice *out)
{
	double result = 0;
	uint64_t bytes = (uint64_t)row->mode << 20;
	(void)round;
	if (row->mode != MODE_CLEAN)
		job_apart(j, write_apart, &bytes, sizeof(bytes), true);
	job_apart(j, open_apart, &result, sizeof(result), false);
	out->figure[FIG_TIME] = result;
}

static void finish(struct job *j)
{
	/* The store was never open here, but its settings are to be shown. */
	j->options = (struct peer_options){
	    .folder = j->folder, .durability = CLASS_POWER, .cache_bytes = j->settings->cache_bytes};
}

const struct workload w7_reopen = {.name = "W7",
                                   .title = "Reopen, clean and after kill -9",
                                   .groups = groups,
                                   .set_up = set_up,
                                   .round = one_round,
                                   .finish = finish};

const struct workload p4_recovery = {.name = "P4",
                                     .title = "Padstone: reopen after kill -9, by the size of the log",
                                     .groups = recovery_groups,
                                     .set_up = set_up,
                                     .round = one_round,
                                     .finish = finish,
                                     .only_padstone = true};
