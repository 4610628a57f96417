/* P1: objects written and read as streams of 1 MiB, far larger than what is in flight; and a durable small
 * write into one. */
#include <stdio.h>
#include <string.h>
#include <sys/param.h>

#include "bench/harness.h"
#include "bench/peer_padstone.h"

enum { MODE_WRITE, MODE_READ, MODE_PART, STEP = 1 << 20, PART = 100 };

static unsigned groups(const struct settings *s, struct group *g)
{
	uint64_t mib = MAX(s->bytes_most >> 20, (uint64_t)4);
	snprintf(g->name, NAME_MOST, "%llu MiB", (unsigned long long)mib);
	g->size = STEP;
	g->count = mib;
	g->durability = CLASS_POWER;
	g->rows = 3;
	g->row[0] = (struct row){"stream in, MiB/s", 1, MODE_WRITE, FIG_RATE, 0, CAN_STREAM, NULL};
	g->row[1] = (struct row){"stream out, cold, MiB/s", 1, MODE_READ, FIG_RATE, 0, CAN_STREAM, NULL};
	g->row[2] =
	    (struct row){"write of 100 B in it, durable", 1, MODE_PART, FIG_RATE, 0, CAN_STREAM, NULL};
	return 1;
}

static void write_all(struct job *j)
{
	ps_storer *s = padstone_storer(j->store);
	ps_writer *w;
	MUST(ps_open_writer(s, PS_ID_NONE, j->group->count * STEP, &w));
	j->objects[0].handle = ps_writer_id(w);
	for (uint64_t i = 0; i < j->group->count; i++)
		MUST(ps_writer_write(w, sea_at(i, 0), STEP));
	MUST(ps_writer_finish(w));
	MUST(ps_sync(s));
}

static void read_all(struct job *j)
{
	ps_reader *r;
	MUST(ps_open_reader(padstone_storer(j->store), j->objects[0].handle, &r));
	for (uint64_t i = 0; i < j->group->count; i++) {
		size_t got;
		MUST(ps_reader_read(r, j->buf, STEP, &got));
		if (got != STEP || memcmp(j->buf, sea_at(i, 0), STEP) != 0)
			die("the stream has other bytes than were written, from %llu MiB on",
			    (unsigned long long)i);
	}
	MUST(ps_reader_finish(r));
}

/* At the front of a mebibyte, so that it can be undone for the next reader. */
static uint64_t write_parts(struct job *j, struct slice *out)
{
	ps_storer *s = padstone_storer(j->store);
	struct chance c = chance_from(j->settings->seed);
	struct histogram *h = &out->latency;
	uint64_t n = 0;
	for (double end = now() + j->settings->seconds / 2; now() < end; n++) {
		uint64_t at = chance_below(&c, j->group->count);
		double start = now();
		MUST(ps_write_at(s, j->objects[0].handle, at * STEP, sea_at(at, 0), PART));
		histogram_add(h, (uint64_t)((now() - start) * 1e9));
	}
	struct histogram all = *h;
	latency_figures(&all, out);
	return n;
}

static void one_round(struct job *j, const struct row *row, unsigned round, struct slice *out)
{
	(void)round;
	if (row->mode == MODE_WRITE) {
		job_remove(j);
		job_open(j, true, false);
	} else if (row->mode == MODE_READ) {
		job_close(j);
		job_open(j, false, false);
	}
	struct usage before = usage_now(j);
	uint64_t ops = j->count = j->group->count, bytes = ops * STEP;
	if (row->mode == MODE_WRITE)
		write_all(j);
	else if (row->mode == MODE_READ)
		read_all(j);
	else
		bytes = PART * (ops = write_parts(j, out));
	struct usage after = usage_now(j);
	usage_figures(&before, &after, ops, row->mode == MODE_READ ? 0 : bytes, out);
	out->figure[FIG_RESIDENT] = resident_mib();
}

const struct workload p1_streams = {
    .name = "P1", .title = "Padstone: streams", .groups = groups, .round = one_round, .only_padstone = true};
