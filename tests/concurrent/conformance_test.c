/* The conformance suite on the concurrent layer, over every kind of inner store. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <padstone/padstone.h>

#include "tests/concurrent/layers.h"
#include "tests/conformance/conformance.h"

enum {
	MEMORY_CAPS = PS_CAP_THREADS | PS_CAP_RUNS | PS_CAP_LOCKS,
	BASE_CAPS = MEMORY_CAPS | PS_CAP_DURABLE | PS_CAP_BACKUP | PS_CAP_COMPACT | PS_CAP_PLACEMENT,
};

struct variant {
	const char *name;
	/* Puts the layers on the leaf; NULL: the leaf is the store. */
	int (*wrap)(ps_storer *leaf, ps_storer **s);
	bool on_base;
	uint32_t tokens; /* of the concurrent layer's pool; 0: the default */
	char path[CONFORMANCE_PATH];
};

static uint32_t pool_size;

static int concurrent(ps_storer *inner, ps_storer **s)
{
	const struct ps_concurrent_options options = {
	    .size = sizeof(options), .own_tokens = {.size = sizeof(options.own_tokens), .tokens = pool_size}};
	return ps_concurrent_open(inner, &options, s);
}

static int twice(ps_storer *inner, ps_storer **s)
{
	int err = concurrent(inner, &inner);
	return err ? err : concurrent(inner, s);
}

static int over_fault(ps_storer *inner, ps_storer **s)
{
	int err = fault_layer_open(inner, &inner);
	return err ? err : concurrent(inner, s);
}

static int over_lone(ps_storer *inner, ps_storer **s)
{
	int err = lone_layer_open(inner, &inner);
	return err ? err : concurrent(inner, s);
}

static int open_variant(void *arg, bool fresh, ps_storer **s)
{
	struct variant *v = arg;
	struct ps_base_options options = {.size = sizeof(options),
	                                  .mode = fresh ? PS_OPEN_CREATE_NEW : PS_OPEN_EXISTING};
	ps_storer *leaf = NULL;
	if (fresh && v->on_base)
		unlink(v->path);
	int err = v->on_base ? ps_base_open(v->path, &options, &leaf) : ps_memory_open(NULL, &leaf);
	pool_size = v->tokens;
	return err ? err : v->wrap(leaf, s);
}

static int run(struct variant *v)
{
	const struct conformance_stack stack = {
	    .name = v->name,
	    .open = open_variant,
	    .arg = v,
	    .expected_caps = v->on_base ? BASE_CAPS : MEMORY_CAPS,
	    .persistent = v->on_base,
	};
	return conformance_run_on_file(&stack, v->path);
}

int main(int argc, char **argv)
{
	/* A new layer joins with one line. */
	struct variant variants[] = {
	    {.name = "concurrent-memory", .wrap = concurrent},
	    {.name = "concurrent-base", .wrap = concurrent, .on_base = true},
	    {.name = "concurrent-one-token", .wrap = concurrent, .on_base = true, .tokens = 1},
	    {.name = "concurrent-concurrent-base", .wrap = twice, .on_base = true},
	    {.name = "concurrent-fault-base", .wrap = over_fault, .on_base = true},
	    {.name = "concurrent-lone-memory", .wrap = over_lone},
	    {.name = "concurrent-lone-base", .wrap = over_lone, .on_base = true},
	};
	for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++)
		if (argc == 2 && strcmp(argv[1], variants[i].name) == 0)
			return run(&variants[i]);
	fprintf(stderr, "usage: %s VARIANT\n", argv[0]);
	return 2;
}
