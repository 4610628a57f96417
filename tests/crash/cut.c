#include "tests/crash/cut.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { DEPTHS = 3, TIME_ONE_IN = 128 };

/* One exploration: of a script's trace, or of what a recovery wrote. */
struct level {
	const char *name;
	const struct cut_options *options;
	struct cut_counts *counts;
	char *why; /* of the first state that is wrong */
	struct run *run;
	struct sim_disk *disk;
	unsigned depth;
	size_t low, high; /* depth > 0: the commit that the recovery found */
	size_t point;     /* of the script */
	uint64_t path[DEPTHS];
	struct level *inner;
};

static bool wrong(const struct level *l, const char *what, const char *message)
{
	char path[100] = "";
	size_t used = 0;
	for (unsigned i = 0; i <= l->depth; i++)
		used += (size_t)snprintf(path + used, sizeof(path) - used, "%s%llu", i ? "." : "",
		                         (unsigned long long)l->path[i]);
	snprintf(l->why, CUT_WHY,
	         "script \"%s\", seed %llu, state %s, after %zu events, commits %zu to %zu: %s: %s", l->name,
	         (unsigned long long)l->options->seed, path, l->point, l->low, l->high, what, message);
	return false;
}

static int say_finding(void *arg, const struct ps_finding *finding)
{
	snprintf(arg, ORACLE_WHY, "%s, id %#llx, offset %llu: %s", ps_error_name(finding->error),
	         (unsigned long long)finding->id, (unsigned long long)finding->offset, finding->message);
	return 0;
}

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* others use the machine as well */
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Also where the making of the store was cut off: then it is made anew, and empty. */
static bool opens(const struct level *l, ps_storer **s)
{
	int err = store_open(l->disk, l->run->relaxed, s);
	return err == PS_OK || wrong(l, "open", ps_last_error_message());
}

/* Opens and closes once more than is needed, with nothing between: what a state costs at least. */
static void time_open_and_close(const struct level *l, const struct crash_state *state)
{
	ps_storer *s = NULL;
	sim_disk_set_tracing(l->disk, false);
	sim_disk_reset(l->disk, state->image, state->size);
	uint64_t began = now_ns();
	if (store_open(l->disk, l->run->relaxed, &s) != PS_OK)
		return;
	uint64_t opened = now_ns();
	(void)!ps_close(s);
	l->counts->timed++;
	l->counts->open_ns += opened - began;
	l->counts->close_ns += now_ns() - opened;
}

static bool closes(const struct level *l, ps_storer **s)
{
	int err = ps_close(*s);
	*s = NULL;
	return err == PS_OK || wrong(l, "close", ps_last_error_message());
}

static bool holds(const struct level *l, ps_storer *s, size_t low, size_t high, size_t *commit)
{
	char message[ORACLE_WHY] = "";
	if (!oracle_match(l->run->oracle, s, low, high, commit, message))
		return wrong(l, "contents", message);
	if (!marks_hold(&l->run->marks, l->run->oracle, s, *commit, l->point, message))
		return wrong(l, "marks", message);
	if (ps_check(s, PS_CHECK_QUICK, say_finding, message) != PS_OK)
		return wrong(l, "check", message[0] ? message : ps_last_error_message());
	return true;
}

static const char new_text[] = "written after the crash";

static bool put_gives_a_new_id(const struct level *l, ps_storer *s, ps_id *id)
{
	char message[ORACLE_WHY];
	if (ps_put(s, new_text, sizeof(new_text), id) != PS_OK)
		return wrong(l, "put", ps_last_error_message());
	snprintf(message, sizeof(message), "%#llx", (unsigned long long)*id);
	return !oracle_was_given(l->run->oracle, *id, l->point) || wrong(l, "an id came back", message);
}

static bool has_new_object(const struct level *l, ps_storer *s, ps_id id)
{
	char back[sizeof(new_text)] = "";
	size_t len = 0;
	int err = ps_get(s, id, back, sizeof(back), &len);
	if (err != PS_OK || len != sizeof(new_text) || memcmp(back, new_text, len) != 0)
		return wrong(l, "get of what was put",
		             err == PS_OK ? "other bytes" : ps_last_error_message());
	return ps_delete(s, id) == PS_OK || wrong(l, "delete of what was put", ps_last_error_message());
}

/* The store goes on: a new object gets a new id and is there after the next open, beside all others. */
static bool goes_on(const struct level *l, ps_storer **s, size_t commit)
{
	ps_id id = PS_ID_NONE;
	l->counts->written++;
	return put_gives_a_new_id(l, *s, &id) && closes(l, s) && opens(l, s) && has_new_object(l, *s, id) &&
	       holds(l, *s, commit, commit, &commit);
}

static int check_state(void *arg, const struct crash_state *state);

/* Cuts the power again, at every point of what this recovery and close wrote: what they found does not
 * change. */
static bool cut_again(struct level *l, const struct crash_state *state, size_t commit)
{
	struct level *inner = l->inner, *innermost = inner->inner;
	struct sim_disk *disk = inner->disk;
	struct crash_options options = l->options->nested;
	int result;
	*inner = *l;
	inner->disk = disk;
	inner->inner = innermost;
	inner->depth = l->depth + 1;
	inner->low = inner->high = commit;
	options.seed = l->options->seed + state->number;
	l->counts->nested += crash_explore(state->image, state->size, sim_disk_trace(l->disk), &options,
	                                   check_state, inner, &result);
	return result == 0;
}

static bool is_chosen(const struct level *l, const struct crash_state *state, unsigned one_in)
{
	return one_in != 0 && (state->number + l->options->seed) % one_in == 0;
}

static int check_state(void *arg, const struct crash_state *state)
{
	struct level *l = arg;
	size_t commit = 0;
	ps_storer *s = NULL;
	unsigned nest_one_in = l->depth == 0 ? l->options->nest_one_in : l->options->nest_again_one_in;
	bool nests = l->inner && is_chosen(l, state, nest_one_in);
	bool writes = !nests && is_chosen(l, state, l->options->write_one_in);
	l->path[l->depth] = state->number;
	if (l->depth == 0) {
		l->point = state->point;
		l->low = oracle_lowest(l->run->oracle, state->point);
		l->high = oracle_highest(l->run->oracle, state->point);
	}
	if (l->depth == 0 && is_chosen(l, state, TIME_ONE_IN))
		time_open_and_close(l, state);
	sim_disk_reset(l->disk, state->image, state->size);
	sim_disk_set_tracing(l->disk, nests);
	bool right = opens(l, &s);
	right = right && holds(l, s, l->low, l->high, &commit) && (!writes || goes_on(l, &s, commit)) &&
	        closes(l, &s) && (!nests || cut_again(l, state, commit));
	if (s)
		(void)!ps_close(s);
	return !right;
}

bool cut_everywhere(const char *name, struct run *run, const uint8_t *image, uint64_t size,
                    const struct cut_options *options, struct cut_counts *counts, char why[CUT_WHY])
{
	struct level levels[DEPTHS];
	struct crash_options first = options->first;
	int result;
	for (int i = DEPTHS - 1; i >= 0; i--)
		levels[i] = (struct level){.disk = sim_disk_new(NULL, 0),
		                           .inner = i + 1 < DEPTHS ? &levels[i + 1] : NULL};
	levels[0].name = name;
	levels[0].run = run;
	levels[0].options = options;
	levels[0].counts = counts;
	levels[0].why = why;
	first.seed = options->seed;
	counts->states +=
	    crash_explore(image, size, sim_disk_trace(run->disk), &first, check_state, &levels[0], &result);
	for (int i = 0; i < DEPTHS; i++)
		sim_disk_free(levels[i].disk);
	return result == 0;
}
