/* padstone-bench: measures the store against its limits, in one run, in turns. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/bench.h"

static const struct workload {
	const char *name;
	void (*run)(const struct bench *b);
} workloads[] = {
    {"cached", bench_cached}, {"durable", bench_durable}, {"large", bench_large}, {"load", bench_load},
    {"memory", bench_memory}, {"reopen", bench_reopen},   {"space", bench_space},
};
enum { WORKLOADS = sizeof(workloads) / sizeof(workloads[0]) };

struct settings {
	struct bench b;
	bool wanted[WORKLOADS];
	bool any;
};

static const struct argp_option options[] = {
    {"dir", 'd', "DIR", 0, "Make the files here, on the disk to be measured (.)", 0},
    {"count", 'n', "N", 0, "Objects (1000000)", 0},
    {"seconds", 's', "S", 0, "Length of a timed slice (1)", 0},
    {"size", 'b', "BYTES", 0, "Load objects of this size only", 0},
    {"seed", 'x', "N", 0, "Of all that is random (1)", 0},
    {"rounds", 'r', "N", 0, "Rounds, padstone and the limit in turns (5)", 0},
    {"json", 'j', NULL, 0, "One JSON object a line", 0},
    {0},
};

static uint64_t number(struct argp_state *state, const char *text, uint64_t least, uint64_t most)
{
	char *end;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	if (errno || *end || end == text || n < least || n > most)
		argp_error(state, "%s: not a number from %llu to %llu", text, (unsigned long long)least,
		           (unsigned long long)most);
	return n;
}

static int want(struct settings *s, const char *name)
{
	for (size_t i = 0; i < WORKLOADS; i++) {
		if (strcmp(name, workloads[i].name) == 0) {
			s->wanted[i] = s->any = true;
			return 0;
		}
	}
	return -1;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct settings *s = state->input;
	char *end;
	switch (key) {
	case 'd':
		s->b.dir = arg;
		return 0;
	case 'n':
		s->b.count = number(state, arg, 8, 100000000);
		return 0;
	case 's':
		s->b.seconds = strtod(arg, &end);
		if (*end || end == arg || !(s->b.seconds > 0 && s->b.seconds <= 3600))
			argp_error(state, "%s: not a time in seconds", arg);
		return 0;
	case 'b':
		s->b.size = number(state, arg, 1, UINT64_MAX);
		return 0;
	case 'x':
		s->b.seed = number(state, arg, 0, UINT64_MAX);
		return 0;
	case 'r':
		s->b.rounds = (unsigned)number(state, arg, 1, ROUNDS_MAX);
		return 0;
	case 'j':
		s->b.json = true;
		return 0;
	case ARGP_KEY_ARG:
		if (want(s, arg))
			argp_error(state, "%s: no such workload", arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* A workload removes its files itself, unless it died. */
static void remove_left(const char *dir, pid_t pid)
{
	static const char *const names[] = {"store", "raw"};
	char path[4096];
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (snprintf(path, sizeof(path), BENCH_FILE, dir, (int)pid, names[i]) < (int)sizeof(path))
			(void)unlink(path);
	}
}

/* In a process of its own: what one workload leaves in memory is not the next one's. */
static bool run(const struct bench *b, const struct workload *w)
{
	struct bench mine = *b;
	int status;
	mine.workload = w->name;
	pid_t child = fork();
	if (child < 0)
		die("fork: %s", strerror(errno));
	if (child == 0) {
		w->run(&mine);
		exit(0);
	}
	if (waitpid(child, &status, 0) != child)
		die("waitpid: %s", strerror(errno));
	remove_left(b->dir, child);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
	    options,
	    parse,
	    "[WORKLOAD...]",
	    "Measures Padstone against what the machine can do: cached, durable, large, load, memory, "
	    "reopen, space (all of them by default).",
	    NULL,
	    NULL,
	    NULL};
	struct settings s = {.b = {.dir = ".", .count = 1000000, .seconds = 1, .seed = 1, .rounds = 5}};
	bool good = true;
	argp_parse(&argp, argc, argv, 0, NULL, &s);
	for (size_t i = 0; i < WORKLOADS; i++) {
		if (s.wanted[i] || !s.any)
			good = run(&s.b, &workloads[i]) && good;
	}
	return good ? 0 : 1;
}
