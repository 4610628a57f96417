/* The base store after a power cut at every point of every script, in every state that the disk may then be
 * in: it opens, holds exactly a prefix of the commits that includes every acknowledged one, checks clean,
 * gives out no id that was given out before, and can be written to and opened again. So does it after a
 * second cut, and a third, inside the recovery itself, and then holds exactly what it held after the first.
 *
 * crash_test [quick|long] [seed] [script]: the seed repeats a run; a script's name runs that one only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/crash/script.h"
#include "tests/support/crash_states.h"

enum { DEPTHS = 3 };

struct mode {
	const char *name;
	struct crash_options first, nested;
	unsigned nest_one_in, nest_again_one_in, write_one_in;
	uint64_t random_states; /* random scripts follow until there were so many states in all */
	unsigned random_steps;
};

static const struct mode modes[] = {
    {"quick",
     {.exhaustive = 64, .samples = 8, .singles = 12},
     {.exhaustive = 16, .samples = 2, .singles = 4},
     41,
     29,
     7,
     20000,
     12},
    {"long",
     {.exhaustive = 16384, .samples = 100, .singles = 200},
     {.exhaustive = 128, .samples = 8, .singles = 16},
     97,
     61,
     13,
     1100000,
     40},
};

static const struct mode *mode = &modes[0];
static uint64_t seed = 1;
static const char *only;
static uint64_t states_tried, nested_tried, written_tried;

/* One exploration: of a script's trace, or of what a recovery wrote. */
struct level {
	const char *name;
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
	fail_msg("script \"%s\", mode %s, seed %llu, state %s, after %zu events, commits %zu to %zu: %s: %s",
	         l->name, mode->name, (unsigned long long)seed, path, state->point, l->low, l->high, what,
	         why);
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
	written_tried++;
}

static int check_state(void *arg, const struct crash_state *state);

/* Cuts the power again, at every point of what this recovery and close wrote. */
static void nest(struct level *l, const struct crash_state *state, size_t commit)
{
	struct level *inner = l->inner;
	*inner = (struct level){.name = l->name,
	                        .run = l->run,
	                        .disk = inner->disk,
	                        .depth = l->depth + 1,
	                        .low = commit,
	                        .high = commit,
	                        .point = l->point,
	                        .inner = inner->inner};
	memcpy(inner->path, l->path, sizeof(l->path));
	struct crash_options options = mode->nested;
	options.seed = seed + state->number;
	nested_tried += crash_explore(state->image, state->size, sim_disk_trace(l->disk), &options,
	                              check_state, inner, NULL);
}

static int check_state(void *arg, const struct crash_state *state)
{
	struct level *l = arg;
	char why[ORACLE_WHY] = "";
	size_t commit = 0;
	unsigned nest_one_in = l->depth == 0 ? mode->nest_one_in : mode->nest_again_one_in;
	bool nests = l->inner && (state->number + seed) % nest_one_in == 0;
	bool writes = !nests && (state->number + seed) % mode->write_one_in == 0;
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

/* Every crash state of what `run` has traced since it began with the image. */
static uint64_t explore(const char *name, struct run *run, const uint8_t *image, uint64_t size)
{
	struct level levels[DEPTHS];
	for (int i = DEPTHS - 1; i >= 0; i--)
		levels[i] = (struct level){.name = name,
		                           .run = run,
		                           .disk = sim_disk_new(NULL, 0),
		                           .depth = (unsigned)i,
		                           .inner = i + 1 < DEPTHS ? &levels[i + 1] : NULL};
	struct crash_options options = mode->first;
	options.seed = seed;
	uint64_t count =
	    crash_explore(image, size, sim_disk_trace(run->disk), &options, check_state, &levels[0], NULL);
	for (int i = 0; i < DEPTHS; i++)
		sim_disk_free(levels[i].disk);
	states_tried += count;
	return count;
}

static void every_crash_state_recovers(void **state)
{
	const struct script *script = *state;
	if (only && strcmp(only, script->name) != 0)
		return;
	uint64_t size;
	struct sim_disk *disk = sim_disk_new(NULL, 0);
	struct run *run = run_new(disk, seed);
	uint8_t *image = run_setup(run, script, &size);
	run_open(run);
	script->body(run);
	run_close(run);
	uint64_t count = explore(script->name, run, image, size);
	print_message("%-28s %8llu states\n", script->name, (unsigned long long)count);
	run_free(run);
	sim_disk_free(disk);
	free(image);
}

static void random_scripts_recover(void **state)
{
	(void)state;
	const struct script empty = {.name = "random", .setup = NULL};
	for (uint64_t n = 0; states_tried + nested_tried < mode->random_states && !only; n++) {
		char name[40];
		uint64_t size;
		struct sim_disk *disk = sim_disk_new(NULL, 0);
		struct run *run = run_new(disk, seed * 1000 + n);
		uint8_t *image = run_setup(run, &empty, &size);
		snprintf(name, sizeof(name), "random %llu", (unsigned long long)n);
		run->relaxed = n % 3 == 1;
		run_open(run);
		script_random(run, mode->random_steps, n % 4 == 3);
		if (n % 2 == 0)
			run_close(run);
		explore(name, run, image, size);
		run_close(run);
		run_free(run);
		sim_disk_free(disk);
		free(image);
	}
}

int main(int argc, char **argv)
{
	enum { MOST = 64 };
	struct CMUnitTest tests[MOST];
	for (size_t i = 0; argc > 1 && i < sizeof(modes) / sizeof(modes[0]); i++) {
		if (strcmp(argv[1], modes[i].name) == 0)
			mode = &modes[i];
	}
	if (argc > 2)
		seed = strtoull(argv[2], NULL, 10);
	only = argc > 3 ? argv[3] : NULL;
	size_t count = 0;
	for (; count < script_count && count < MOST - 1; count++)
		tests[count] = (struct CMUnitTest)cmocka_unit_test_prestate(
		    every_crash_state_recovers, (void *)(uintptr_t)&scripts[count]);
	tests[count++] = (struct CMUnitTest)cmocka_unit_test(random_scripts_recover);
	print_message("mode %s, seed %llu\n", mode->name, (unsigned long long)seed);
	int failures = _cmocka_run_group_tests("crash", tests, count, NULL, NULL);
	print_message("%llu crash states, %llu inside recoveries, %llu written to and opened again\n",
	              (unsigned long long)states_tried, (unsigned long long)nested_tried,
	              (unsigned long long)written_tried);
	return failures;
}
