/* The conformance suite on the whole stack on a network, with next to no room in its file: no call tells the
 * difference. usage: full_conformance_test [waits]: and every commit waits for its log */
#include <stdio.h>
#include <string.h>

#include "tests/conformance/conformance.h"
#include "tests/multistore/full_stack.h"

/* Fewer would mean that hardly anything has left. */
enum { LEAVE_ONE_IN = 4, READS_MIN = 2000 };

static int open_stack(void *arg, bool fresh, ps_storer **s)
{
	return full_stack_open(arg, fresh, s);
}

int main(int argc, char **argv)
{
	struct full_stack f;
	const struct conformance_stack stack = {
	    .name = "concurrent(multi(base)) on a network, with no room",
	    .open = open_stack,
	    .arg = &f,
	    .expected_caps = PS_CAP_DURABLE | PS_CAP_THREADS | PS_CAP_BACKUP | PS_CAP_COMPACT | PS_CAP_RUNS |
	                     PS_CAP_PLACEMENT | PS_CAP_LOCKS,
	    .persistent = true,
	    .evicts = true,
	};
	full_stack_new(&f, LEAVE_ONE_IN);
	f.waits = argc > 1 && strcmp(argv[1], "waits") == 0;
	int failed = conformance_run(&stack);
	uint64_t reads = full_stack_reads(&f);
	printf("%llu pushes and %llu evictions in the background, %llu requests that read\n",
	       (unsigned long long)f.pushes, (unsigned long long)f.evictions, (unsigned long long)reads);
	if (f.failed)
		fprintf(stderr, "the background told of %s\n", ps_error_name(f.failed));
	full_stack_free(&f);
	return failed + (f.failed != PS_OK) + (reads < READS_MIN);
}
