/* W6: half of the objects are deleted at random, others of other sizes are put in their place, then the store
 * is compacted. What it takes on disk after each step, and how fast the steps are. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>
#include <time.h>

#include "bench/harness.h"

enum { BATCH = 1000, SIZE_MOST = 4096, ROW_DELETES, ROW_INSERTS, ROW_SPACE };

/* One pass gives all rows; those after the first are kept here until their turn. */
struct pass {
	struct slice slice[3];
	uint64_t *order; /* keys, those to be deleted first */
};

static unsigned groups(const struct settings *s, struct group *g)
{
	snprintf(g->name, NAME_MOST, "64 B to 4 KiB");
	g->size_most = SIZE_MOST;
	g->count = MAX(s->num / 5, (uint64_t)2 * BATCH);
	g->durability = CLASS_POWER;
	g->rounds = 2;
	g->rows = 3;
	g->row[0] =
	    (struct row){"delete half, batches of 1000", 1, ROW_DELETES, FIG_RATE, 2.5 / 5.0, 0, "full"};
	g->row[1] =
	    (struct row){"insert others, batches of 1000", 1, ROW_INSERTS, FIG_RATE, 420.0 / 560, 0, "full"};
	g->row[2] = (struct row){"space", 1, ROW_SPACE, FIG_SPACE_REFILLED, 1 / 1.15, 0, "full"};
	return 1;
}

static uint64_t live_bytes(const struct job *j)
{
	uint64_t live = 0;
	for (uint64_t i = 0; i < j->count; i++)
		live += j->objects[i].len;
	return live;
}

static double space_of(const struct job *j)
{
	j->peer->sync(j->store);
	return j->peer->abilities & IS_LIMIT ? 1 : (double)job_disk_bytes(j) / (double)live_bytes(j);
}

static void shuffle(struct job *j, uint64_t *order, unsigned round)
{
	struct chance c = chance_from(j->settings->seed + round);
	for (uint64_t i = 0; i < j->count; i++) {
		uint64_t k = chance_below(&c, i + 1);
		order[i] = order[k];
		order[k] = i;
	}
}

static void one_batch(struct job *j, const uint64_t *keys, size_t n, bool insert)
{
	static struct peer_write w[BATCH];
	for (size_t i = 0; i < n; i++) {
		struct object *o = &j->objects[keys[i]];
		if (insert) {
			w[i] = job_next(j, keys[i], 0);
			w[i].op = PEER_PUT;
			w[i].handle = keys[i];
		} else {
			w[i] = (struct peer_write){PEER_DELETE, o->handle, NULL, 0};
			o->len = 0;
		}
	}
	j->peer->write(j->session, w, n);
	for (size_t i = 0; i < n && insert; i++)
		j->objects[keys[i]].handle = w[i].handle;
}

static void half(struct job *j, const uint64_t *order, bool insert, struct slice *out)
{
	uint64_t n = j->count / 2;
	struct usage before = usage_now(j);
	for (uint64_t at = 0; at < n; at += BATCH)
		one_batch(j, order + at, MIN(n - at, (uint64_t)BATCH), insert);
	struct usage after = usage_now(j);
	usage_figures(&before, &after, n, insert ? live_bytes(j) / 2 : 0, out);
}

/* What runs in the background may give space back for a second. */
static void rest_a_second(const struct job *j)
{
	struct timespec t = {j->settings->quick ? 0 : 1, 100000000};
	nanosleep(&t, NULL);
}

static void run_pass(struct job *j, struct pass *p, unsigned round)
{
	double *space = p->slice[2].figure;
	for (unsigned i = 0; i < 3; i++)
		slice_clear(&p->slice[i]);
	for (uint64_t i = 0; i < j->group->count; i++)
		j->objects[i].version = 0;
	job_open(j, true, false);
	job_fill(j);
	space[FIG_SPACE] = space_of(j);
	shuffle(j, p->order, round);
	half(j, p->order, false, &p->slice[0]);
	rest_a_second(j);
	space[FIG_SPACE_HALF] = space_of(j);
	half(j, p->order, true, &p->slice[1]);
	space[FIG_SPACE_REFILLED] = space_of(j);
	job_verify(j, 5000);
	if (j->peer->compact) {
		j->peer->compact(j->store);
		space[FIG_SPACE_COMPACTED] = space_of(j);
		job_verify(j, 5000);
	}
	job_remove(j);
}

static void set_up(struct job *j)
{
	struct pass *p = xalloc(sizeof(*p));
	p->order = xalloc(j->group->count * sizeof(*p->order));
	j->state = p;
}

static void one_round(struct job *j, const struct row *row, unsigned round, struct slice *out)
{
	struct pass *p = j->state;
	if (row->mode == ROW_DELETES)
		run_pass(j, p, round);
	*out = p->slice[row->mode - ROW_DELETES];
}

const struct workload w6_churn = {.name = "W6",
                                  .title = "Delete half at random, put others in, compact",
                                  .groups = groups,
                                  .set_up = set_up,
                                  .round = one_round};
