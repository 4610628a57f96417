/* The base store on a file in a temporary folder, with its defaults and with less: no thread, plain system
 * calls, little memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <padstone/base_store.h>

#include "tests/conformance/conformance.h"

struct base_stack {
	const char *name;
	struct ps_base_options options;
	char path[CONFORMANCE_PATH];
};

static int open_base(void *arg, bool fresh, ps_storer **s)
{
	struct base_stack *base = arg;
	if (fresh)
		unlink(base->path);
	base->options.size = sizeof(base->options);
	base->options.mode = fresh ? PS_OPEN_CREATE_NEW : PS_OPEN_EXISTING;
	return ps_base_open(base->path, &base->options, s);
}

static int run(struct base_stack *base)
{
	const struct conformance_stack stack = {
	    .name = base->name,
	    .open = open_base,
	    .arg = base,
	    .expected_caps = PS_CAP_DURABLE | PS_CAP_THREADS | PS_CAP_BACKUP | PS_CAP_COMPACT | PS_CAP_RUNS |
	                     PS_CAP_PLACEMENT,
	    .persistent = true,
	};
	return conformance_run_on_file(&stack, base->path);
}

int main(int argc, char **argv)
{
	struct base_stack variants[] = {
	    {.name = "base"},
	    {.name = "base-posix", .options = {.background = PS_BACKGROUND_NONE, .io = PS_BASE_IO_POSIX}},
	    {.name = "base-buffered",
	     .options = {.background = PS_BACKGROUND_NONE,
	                 .io = PS_BASE_IO_BUFFERED,
	                 .memory_budget = 4 << 20}},
	    {.name = "base-relaxed", .options = {.durability = PS_RELAXED, .verify_reads = 1}},
	};
	if (argc == 3)
		cmocka_set_test_filter(argv[2]);
	for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++)
		if (argc >= 2 && strcmp(argv[1], variants[i].name) == 0)
			return run(&variants[i]);
	fprintf(stderr, "usage: %s base|base-posix|base-buffered|base-relaxed [PATTERN]\n", argv[0]);
	return 2;
}
