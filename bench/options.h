/* The command line. */
#ifndef PS_BENCH_OPTIONS_H
#define PS_BENCH_OPTIONS_H

#include "bench/harness.h"

enum { WORDS = 16 };
struct command {
	struct settings s;
	const char *word[WORDS]; /* what to do: workloads, targets, or a command and its files */
	unsigned words;
};

/* Ends the process where they make no sense. */
void options_parse(int argc, char **argv, struct command *c);

#endif
