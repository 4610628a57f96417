/* The base store after a power cut at every point of every script, in every state that the disk may then be
 * in: it opens, holds exactly a prefix of the commits that includes every acknowledged one, checks clean,
 * gives out no id that was given out before, and can be written to and opened again. So does it after a
 * second cut, and a third, inside the recovery itself, and then holds exactly what it held after the first.
 *
 * crash_test [quick|long] [seed] [script] [stack] [states]: the seed repeats a run; a script's name runs that
 * one only; the stack is one of script_over; random scripts follow until there were so many states. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/crash/cut.h"

enum { MANY = 10 }; /* failures are enough */

struct mode {
	const char *name;
	struct cut_options cut;
	uint64_t random_states; /* random scripts follow until there were so many states in all */
	unsigned random_steps;
};

static const struct mode modes[] = {
    {"quick",
     {.first = {.exhaustive = 64, .samples = 8, .singles = 12},
      .nested = {.exhaustive = 16, .samples = 2, .singles = 4},
      .nest_one_in = 41,
      .nest_again_one_in = 29,
      .write_one_in = 7},
     12000,
     12},
    {"long",
     {.first = {.exhaustive = 16384, .samples = 100, .singles = 200},
      .nested = {.exhaustive = 128, .samples = 8, .singles = 16},
      .nest_one_in = 97,
      .nest_again_one_in = 61,
      .write_one_in = 13},
     1010000,
     40},
};

static const struct mode *mode = &modes[0];
static uint64_t seed = 1, random_states;
static const char *only;
static struct cut_counts total;

static bool explore(const char *name, struct run *run, const uint8_t *image, uint64_t size, uint64_t *count)
{
	char why[CUT_WHY];
	struct cut_options options = mode->cut;
	uint64_t before = total.states;
	options.seed = seed;
	bool right = cut_everywhere(name, run, image, size, &options, &total, why);
	*count = total.states - before;
	if (!right)
		print_error("%s\n", why);
	return right;
}

static void every_crash_state_recovers(void **state)
{
	const struct script *script = *state;
	if (only && strcmp(only, script->name) != 0)
		return;
	uint64_t size, count;
	struct sim_disk *disk = sim_disk_new(NULL, 0);
	struct run *run = run_new(disk, seed);
	uint8_t *image = run_setup(run, script, &size);
	run_open(run);
	script->body(run);
	run_close(run);
	bool right = explore(script->name, run, image, size, &count);
	print_message("%-28s %8llu states\n", script->name, (unsigned long long)count);
	run_free(run);
	sim_disk_free(disk);
	free(image);
	assert_true(right);
}

/* A disk that says that its flushes are done and has done nothing: the suite has to see it, or it sees
 * nothing. */
static void lying_disk_is_found_out(void **state)
{
	(void)state;
	const char *names[] = {"put small", "replace large", "delete", "batch"};
	for (size_t i = 0; i < script_count; i++) {
		char why[CUT_WHY];
		struct cut_counts counts = {0};
		struct cut_options options = mode->cut;
		bool chosen = false;
		for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
			chosen |= strcmp(scripts[i].name, names[n]) == 0;
		if (!chosen || only)
			continue;
		uint64_t size;
		struct sim_disk *disk = sim_disk_new(NULL, 0);
		struct run *run = run_new(disk, seed);
		uint8_t *image = run_setup(run, &scripts[i], &size);
		sim_disk_lie(disk, true);
		run_open(run);
		scripts[i].body(run);
		run_close(run);
		if (cut_everywhere(scripts[i].name, run, image, size, &options, &counts, why))
			fail_msg("\"%s\" on a lying disk went unnoticed", scripts[i].name);
		run_free(run);
		sim_disk_free(disk);
		free(image);
	}
}

static bool random_script_recovers(uint64_t n)
{
	const struct script empty = {.name = "random", .setup = NULL};
	char name[40];
	uint64_t size, count;
	struct sim_disk *disk = sim_disk_new(NULL, 0);
	struct run *run = run_new(disk, seed * 1000 + n);
	uint8_t *image = run_setup(run, &empty, &size);
	snprintf(name, sizeof(name), "random %llu", (unsigned long long)n);
	run->relaxed = n % 3 == 1;
	run_open(run);
	script_random(run, mode->random_steps, n % 4 == 3);
	if (n % 2 == 0)
		run_close(run);
	bool right = explore(name, run, image, size, &count);
	run_close(run);
	run_free(run);
	sim_disk_free(disk);
	free(image);
	return right;
}

static void random_scripts_recover(void **state)
{
	(void)state;
	unsigned wrong = 0;
	unsigned long long one;
	if (only && sscanf(only, "random %llu", &one) == 1)
		wrong += !random_script_recovers(one);
	for (uint64_t n = 0; total.states + total.nested < random_states && wrong < MANY && !only; n++)
		wrong += !random_script_recovers(n);
	assert_int_equal(wrong, 0);
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
	only = argc > 3 && argv[3][0] ? argv[3] : NULL;
	if (!script_over(argc > 4 ? argv[4] : NULL))
		return 2;
	random_states = argc > 5 ? strtoull(argv[5], NULL, 10) : mode->random_states;
	size_t count = 0;
	for (; count < script_count && count < MOST - 2; count++)
		tests[count] = (struct CMUnitTest)cmocka_unit_test_prestate(
		    every_crash_state_recovers, (void *)(uintptr_t)&scripts[count]);
	tests[count++] = (struct CMUnitTest)cmocka_unit_test(lying_disk_is_found_out);
	tests[count++] = (struct CMUnitTest)cmocka_unit_test(random_scripts_recover);
	print_message("mode %s, seed %llu\n", mode->name, (unsigned long long)seed);
	int failures = _cmocka_run_group_tests("crash", tests, count, NULL, NULL);
	print_message("%llu crash states, %llu inside recoveries, %llu written to and opened again\n",
	              (unsigned long long)total.states, (unsigned long long)total.nested,
	              (unsigned long long)total.written);
	if (total.timed)
		print_message("an open with its recovery took %.1f us, a close %.1f us\n",
		              (double)total.open_ns / (double)total.timed / 1e3,
		              (double)total.close_ns / (double)total.timed / 1e3);
	return failures;
}
