/* One suite for every stack of layers: each call of storer.h, each documented error. A new stack joins with
 * one program that describes itself and calls conformance_run(). */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include <stdbool.h>

#include <padstone/storer.h>

enum { CONFORMANCE_PATH = 80 };

struct conformance_stack {
	const char *name;
	/* fresh: an empty store, whatever was there; otherwise the one that was closed last. */
	int (*open)(void *arg, bool fresh, ps_storer **s);
	void *arg;
	uint32_t expected_caps; /* exactly these */
	bool persistent;        /* false: the tests that reopen are skipped */
	bool restored;          /* a reopened store is another file, with commits of its own */
	bool evicts;            /* contents may leave the file at any moment, by commits of the stack's own */
};

/* Runs all tests as one cmocka group and returns how many failed. Environment: CONFORMANCE_SEED and
 * CONFORMANCE_STEPS repeat or shorten a run of the random model. */
int conformance_run(const struct conformance_stack *stack);
/* The same for a stack on a file: `path` gets a name in a folder that is there while the tests run. */
int conformance_run_on_file(const struct conformance_stack *stack, char path[CONFORMANCE_PATH]);

#endif
