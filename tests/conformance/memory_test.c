#include <padstone/memory_store.h>

#include "tests/conformance/conformance.h"

static int open_memory(void *arg, bool fresh, ps_storer **s)
{
	(void)arg, (void)fresh;
	return ps_memory_open(NULL, s);
}

int main(void)
{
	const struct conformance_stack stack = {
	    .name = "memory",
	    .open = open_memory,
	    .expected_caps = PS_CAP_THREADS | PS_CAP_RUNS,
	};
	return conformance_run(&stack);
}
