/* The conformance suite on stacks with a multi store in them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <padstone/padstone.h>

#include "tests/conformance/conformance.h"
#include "tests/multistore/spy_layer.h"

enum {
	MEMORY_CAPS = PS_CAP_THREADS | PS_CAP_RUNS | PS_CAP_PLACEMENT,
	BASE_CAPS = MEMORY_CAPS | PS_CAP_DURABLE | PS_CAP_BACKUP | PS_CAP_COMPACT,
};

struct variant {
	const char *name;
	int (*wrap)(ps_storer *leaf, ps_storer **s);
	bool on_base;
	uint32_t locks; /* PS_CAP_LOCKS, or 0 */
	struct ps_base_options base;
	char path[CONFORMANCE_PATH];
};

static int multi(ps_storer *inner, ps_storer **s)
{
	return ps_multi_open(inner, NULL, s);
}

/* Few, wide classes in slabs of one page, and pages, so that every border is met often. */
static int multi_small(ps_storer *inner, ps_storer **s)
{
	static const uint32_t slots[] = {32, 512, 1024, 4096};
	const struct ps_multi_options options = {
	    .size = sizeof(options), .slots = slots, .slot_count = 4, .slab_bytes = 4096};
	return ps_multi_open(inner, &options, s);
}

static int multi_pages(ps_storer *inner, ps_storer **s)
{
	const struct ps_multi_options options = {.size = sizeof(options), .page_limit = 32 << 10};
	return ps_multi_open(inner, &options, s);
}

static int over_spy(ps_storer *inner, ps_storer **s)
{
	int err = spy_layer_open(inner, &inner);
	return err ? err : multi(inner, s);
}

static int under_concurrent(ps_storer *inner, ps_storer **s)
{
	int err = multi(inner, &inner);
	return err ? err : ps_concurrent_open(inner, NULL, s);
}

static int over_concurrent(ps_storer *inner, ps_storer **s)
{
	int err = ps_concurrent_open(inner, NULL, &inner);
	return err ? err : multi(inner, s);
}

static int open_variant(void *arg, bool fresh, ps_storer **s)
{
	struct variant *v = arg;
	ps_storer *leaf = NULL;
	if (fresh && v->on_base)
		unlink(v->path);
	v->base.size = sizeof(v->base);
	v->base.mode = fresh ? PS_OPEN_CREATE_NEW : PS_OPEN_EXISTING;
	int err = v->on_base ? ps_base_open(v->path, &v->base, &leaf) : ps_memory_open(NULL, &leaf);
	return err ? err : v->wrap(leaf, s);
}

static int run(struct variant *v)
{
	const struct conformance_stack stack = {
	    .name = v->name,
	    .open = open_variant,
	    .arg = v,
	    .expected_caps = (v->on_base ? BASE_CAPS : MEMORY_CAPS) | v->locks,
	    .persistent = v->on_base,
	};
	return conformance_run_on_file(&stack, v->path);
}

int main(int argc, char **argv)
{
	const struct ps_base_options buffered = {
	    .background = PS_BACKGROUND_NONE, .io = PS_BASE_IO_BUFFERED, .memory_budget = 12 << 20};
	/* A new stack joins with one line. */
	struct variant variants[] = {
	    {.name = "multi-spy-memory", .wrap = over_spy},
	    {.name = "multi-base", .wrap = multi, .on_base = true},
	    {.name = "multi-spy-base", .wrap = over_spy, .on_base = true},
	    {.name = "multi-small-base", .wrap = multi_small, .on_base = true},
	    {.name = "multi-pages-base", .wrap = multi_pages, .on_base = true},
	    {.name = "multi-base-buffered", .wrap = multi, .on_base = true, .base = buffered},
	    {.name = "concurrent-multi-base",
	     .wrap = under_concurrent,
	     .on_base = true,
	     .locks = PS_CAP_LOCKS},
	    {.name = "multi-concurrent-base",
	     .wrap = over_concurrent,
	     .on_base = true,
	     .locks = PS_CAP_LOCKS},
	};
	for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++)
		if (argc == 2 && strcmp(argv[1], variants[i].name) == 0)
			return run(&variants[i]);
	fprintf(stderr, "usage: %s VARIANT\n", argv[0]);
	return 2;
}
