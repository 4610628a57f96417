#include "tests/crash/cut.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTHS = 3 };

/* One exploration: of a script's trace, or of what a recovery wrote. */
struct level {
	const char *name;
	const struct cut_options *options;
	struct cut_counts *counts;
	struct run *run;
	struct sim_disk *disk;
	unsigned depth;
	size_t low, high; /* depth > 0: the commit that the recovery found */
	size_t point;     /* depth > 0: of the script */
	uint64_t path[DEPTHS];
	struct level *inner;
};

static void wrong(const struct level *l, const struct crash_state *state, const char *what, const char *why)
{
	char path[100] = "";
	size_t used = 0;
	for (unsigned i = 0; i <= l->depth; i++)
		used += (size_t)snprintf(path + used, sizeof(path) - used, "%s%llu", i ? "." : "",
		                         (unsigned long long)l->path[i]);
	fail_msg("script \"%s\", seed %llu, state %s, after %zu events, commits %zu to %zu: %s: %s", l->name,
	         (unsigned long long)l->options->seed, path, state->point, l->low, l->high, what, why);
}

static int say_finding(void *arg, const struct ps_finding *finding)
{
	char *why = arg;
	snprintf(why, ORACLE_WHY, "%s, id %#llx, offset %llu: %s", ps_error_name(finding->error),
	         (unsigned long long)finding->id, (unsigned long long)finding->offset, finding->message);
	return 0;
}

static ps_storer *opened(const struct level *l, const struct crash_state *state, const char *what)
{
	ps_storer *s = NULL;
	int err = store_open(l->disk, l->run->relaxed, &s);
	if (err != PS_OK)
		wrong(l, state, what, ps_last_error_message());
	return s;
}

static void closed(const struct level *l, const struct crash_state *state, ps_storer *s)
{
	if (ps_close(s) != PS_OK)
		wrong(l, state, "close", ps_last_error_message());
}

/* The store goes on: a new object gets a new id and is there after the next open. */
static void write_and_open_again(struct level *l, const struct crash_state *state, ps_storer *s,
                                 size_t commit)
{
	char why[ORACLE_WHY] = "";
	static const char text[] = "written after the crash";
	char back[sizeof(text)] = "";
	size_t len = 0;
	ps_id id = PS_ID_NONE;
	if (ps_put(s, text, sizeof(text), &id) != PS_OK)
		wrong(l, state, "put after recovery", ps_last_error_message());
	if (oracle_was_given(l->run->oracle, id, l->point)) {
		snprintf(why, sizeof(why), "%#llx", (unsigned long long)id);
		wrong(l, state, "an id came back", why);
	}
	closed(l, state, s);
	s = opened(l, state, "open after put and close");
	if (ps_get(s, id, back, sizeof(back), &len) != PS_OK || len != sizeof(text) ||
	    memcmp(back, text, len) != 0)
		wrong(l, state, "get of what was put after recovery", ps_last_error_message());
	if (ps_delete(s, id) != PS_OK)
		wrong(l, state, "delete after recovery", ps_last_error_message());
	if (!oracle_match(l->run->oracle, s, commit, commit, &commit, why))
		wrong(l, state, "contents after the second open", why);
	closed(l, state, s);
	l->counts->written++;
}

static int check_state(void *arg, const struct crash_state *state);

/* Cuts the power again, at every point of what this recovery and close wrote. */
static void nest(struct level *l, const struct crash_state *state, size_t commit)
{
	struct level *inner = l->inner;
	struct sim_disk *disk = inner->disk;
	struct level *innermost = inner->inner;
	*inner = *l;
	inner->disk = disk;
	inner->inner = innermost;
	inner->depth = l->depth + 1;
	inner->low = inner->high = commit;
	struct crash_options options = l->options->nested;
	options.seed = l->options->seed + state->number;
	l->counts->nested += crash_explore(state->image, state->size, sim_disk_trace(l->disk), &options,
	                                   check_state, inner, NULL);
}

static bool is_chosen(const struct level *l, const struct crash_state *state, unsigned one_in)
{
	return one_in != 0 && (state->number + l->options->seed) % one_in == 0;
}

static int check_state(void *arg, const struct crash_state *state)
{
	struct level *l = arg;
	char why[ORACLE_WHY] = "";
	size_t commit = 0;
	unsigned nest_one_in = l->depth == 0 ? l->options->nest_one_in : l->options->nest_again_one_in;
	bool nests = l->inner && is_chosen(l, state, nest_one_in);
	bool writes = !nests && is_chosen(l, state, l->options->write_one_in);
	l->path[l->depth] = state->number;
	if (l->depth == 0) {
		l->point = state->point;
		l->low = oracle_lowest(l->run->oracle, state->point);
		l->high = oracle_highest(l->run->oracle, state->point);
	}
	sim_disk_reset(l->disk, state->image, state->size);
	sim_disk_set_tracing(l->disk, nests);
	ps_storer *s = opened(l, state, "open");
	if (!oracle_match(l->run->oracle, s, l->low, l->high, &commit, why))
		wrong(l, state, "contents", why);
	if (ps_check(s, PS_CHECK_QUICK, say_finding, why) != PS_OK)
		wrong(l, state, "check", why);
	if (writes)
		write_and_open_again(l, state, s, commit);
	else
		closed(l, state, s);
	if (nests)
		nest(l, state, commit);
	return 0;
}

void cut_everywhere(const char *name, struct run *run, const uint8_t *image, uint64_t size,
                    const struct cut_options *options, struct cut_counts *counts)
{
	struct level levels[DEPTHS];
	for (int i = DEPTHS - 1; i >= 0; i--)
		levels[i] = (struct level){.disk = sim_disk_new(NULL, 0),
		                           .inner = i + 1 < DEPTHS ? &levels[i + 1] : NULL};
	levels[0].name = name;
	levels[0].run = run;
	levels[0].options = options;
	levels[0].counts = counts;
	struct crash_options first = options->first;
	first.seed = options->seed;
	counts->states +=
	    crash_explore(image, size, sim_disk_trace(run->disk), &first, check_state, &levels[0], NULL);
	for (int i = 0; i < DEPTHS; i++)
		sim_disk_free(levels[i].disk);
}
