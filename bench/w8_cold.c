/* W8: random reads of what is in no cache: one at a time, by 16 threads, and 16 in one call. Pages and tables
 * on the way to an object are warm (a fourth of all places is read before), the object is not: none of those
 * that are measured lies within 8 KiB of another one. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "bench/harness.h"

enum { MODE_ONE, MODE_THREADS, MODE_MANY, DEPTH = 16, APART = 32768, WARM = 8 };

struct cold {
	uint64_t *key; /* in the order of reading */
	uint64_t keys;
	_Atomic(uint64_t) next;
};

static unsigned groups(const struct settings *s, struct group *g)
{
	static const struct {
		const char *name;
		size_t size;
		double one, many;
	} sizes[] = {{"256 B", 256, 16.3 / 17.3, 80.0 / 82.9}, {"4 KiB", 4096, 16 / 17.3, 75.0 / 82.9}};
	unsigned n = 0;
	for (size_t i = 0; i < 2; i++) {
		if (s->value_size && s->value_size != sizes[i].size)
			continue;
		snprintf(g[n].name, NAME_MOST, "%s", sizes[i].name);
		g[n].size = sizes[i].size;
		g[n].count = MAX((uint64_t)1000, MIN(s->num, s->bytes_most / sizes[i].size));
		g[n].durability = CLASS_POWER;
		g[n].row[0] = (struct row){"1 thread", 1, MODE_ONE, FIG_RATE, sizes[i].one, 0, "base"};
		g[n].row[1] =
		    (struct row){"16 threads", DEPTH, MODE_THREADS, FIG_RATE, sizes[i].many, 0, "base"};
		g[n].row[2] = (struct row){"16 in one call", 1, MODE_MANY, FIG_RATE, 0, CAN_MANY, NULL};
		g[n++].rows = 3;
	}
	return n;
}

static void set_up(struct job *j)
{
	struct cold *c = xalloc(sizeof(*c));
	job_open(j, true, false);
	job_fill(j);
	/* Out of a log that would be read into memory at open. */
	if (j->peer->compact)
		j->peer->compact(j->store);
	job_close(j);
	c->key = xalloc(j->count * sizeof(*c->key));
	j->state = c;
}

static uint64_t spacing(const struct job *j)
{
	return MAX((uint64_t)1, APART / j->group->size);
}

static void draw(struct job *j, struct cold *c, unsigned round)
{
	struct chance chance = chance_from(j->settings->seed + round);
	c->keys = 0;
	atomic_store(&c->next, 0);
	for (uint64_t i = 0, key = 0; key < j->count; key += spacing(j), i++) {
		if (i % WARM == 0)
			continue;
		uint64_t k = chance_below(&chance, c->keys + 1);
		c->key[c->keys++] = c->key[k];
		c->key[k] = key;
	}
}

static void warm(struct job *j, const struct cold *c)
{
	uint64_t *handles = xalloc(c->keys * sizeof(*handles));
	for (uint64_t i = 0; i < c->keys; i++)
		handles[i] = j->objects[c->key[i]].handle;
	if (j->peer->warm)
		j->peer->warm(j->session, handles, c->keys);
	for (uint64_t key = 0; key < j->count; key += WARM * spacing(j)) {
		struct peer_read r = {.handle = j->objects[key].handle, .buf = j->buf, .cap = j->size_most};
		j->peer->read(j->session, &r);
	}
	free(handles);
}

static void check(const struct lane *l, uint64_t key, const struct peer_read *r)
{
	const struct object *o = &l->job->objects[key];
	if (r->len != o->len || memcmp(r->data, sea_at(key, o->version), r->len) != 0)
		die("object %llu has other bytes than were written", (unsigned long long)key);
}

static void one_by_one(struct lane *l, struct cold *c)
{
	while (lane_goes_on(l)) {
		uint64_t at = atomic_fetch_add(&c->next, 1);
		if (at >= c->keys)
			return;
		uint64_t key = c->key[at];
		struct peer_read r = {
		    .handle = l->job->objects[key].handle, .buf = l->buf, .cap = l->job->size_most};
		double start = now();
		l->job->peer->read(l->session, &r);
		histogram_add(l->latency, (uint64_t)((now() - start) * 1e9));
		check(l, key, &r);
		l->ops++;
	}
}

static void many_at_once(struct lane *l, struct cold *c)
{
	uint8_t *bufs = xalloc(DEPTH * l->job->size_most);
	struct peer_read r[DEPTH];
	for (uint64_t at = 0; lane_goes_on(l) && at + DEPTH <= c->keys; at += DEPTH) {
		for (unsigned i = 0; i < DEPTH; i++)
			r[i] = (struct peer_read){.handle = l->job->objects[c->key[at + i]].handle,
			                          .buf = bufs + i * l->job->size_most,
			                          .cap = l->job->size_most};
		double start = now();
		l->job->peer->read_many(l->session, r, DEPTH);
		histogram_add(l->latency, (uint64_t)((now() - start) * 1e9));
		for (unsigned i = 0; i < DEPTH; i++)
			check(l, c->key[at + i], &r[i]);
		l->ops += DEPTH;
	}
	free(bufs);
}

static void work(struct lane *l)
{
	if (l->row->mode == MODE_MANY)
		many_at_once(l, l->job->state);
	else
		one_by_one(l, l->job->state);
}

static void one_round(struct job *j, const struct row *row, unsigned round, struct slice *out)
{
	draw(j, j->state, round);
	job_open(j, false, true);
	/* Some open their files when they first need them; only then can they be told not to read ahead. */
	warm(j, j->state);
	job_no_read_ahead(j);
	job_drop_cache(j);
	warm(j, j->state);
	lanes_run(j, row, row->threads, j->settings->seconds / 2, work, out);
	out->figure[FIG_RESIDENT] = resident_mib();
	job_close(j);
}

const struct workload w8_cold = {
    .name = "W8", .title = "Cold random reads", .groups = groups, .set_up = set_up, .round = one_round};
