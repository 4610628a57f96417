/* The allocators alone: small objects from ten thousand to ten million that live at once, freed in random
 * order, malloc beside; and the root with a million free extents. No bytes are touched: what is measured is
 * the search. CPU time. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/param.h>

#include "allocator/omni.h"
#include "allocator/root.h"
#include "bench/bench.h"

enum {
	SIZE_LEAST = 64,
	SIZE_MOST = 512,
	LIVE_LEAST = 10000,
	LIVE_MOST = 10000000,
	BATCH_MOST = 1000000,
	CALLS = 4000000, /* of each kind at every point of the curve */
	GROW = 16 << 20,
	FREE_EXTENTS = 1000000,
	ROOT_PAGES = 64, /* pages of the largest extent */
	ROOT_CALLS = 200000,
	SLAB = 65536,
};
static const double SMALL_GOAL = 60, ROOT_GOAL = 1000; /* ns */

struct space {
	struct ps_memory memory;
	struct ps_allocator *root, *a;
	uint64_t size;
};

static void space_open(struct space *space)
{
	struct ps_class_table table;
	*space = (struct space){.size = 0};
	ps_memory_init(&space->memory, NULL);
	MUST(ps_class_table_make(NULL, &table));
	MUST(ps_root_open(&space->memory, &space->root));
	MUST(ps_omni_open(&space->memory, space->root, &table, &space->a));
}

static void space_close(struct space *space)
{
	space->a->ops->close(space->a);
	space->root->ops->close(space->root);
	ps_memory_done(&space->memory);
}

/* ---- small objects ---- */

struct small {
	struct space space;
	uint64_t live;
	struct ps_extent *extents; /* or, with malloc, pointers in `offset` */
	bool raw;
};

static struct ps_extent take(struct small *w, uint64_t size)
{
	struct ps_extent extent = {0, size};
	if (w->raw) {
		void *memory = malloc(size);
		if (!memory)
			die("no memory");
		extent.offset = (uint64_t)(uintptr_t)memory;
		return extent;
	}
	int err = w->space.a->ops->alloc(w->space.a, size, &extent);
	if (err == PS_ENOSPC) {
		w->space.size += GROW;
		MUST(ps_root_grow(w->space.root, w->space.size));
		err = w->space.a->ops->alloc(w->space.a, size, &extent);
	}
	must(err, "alloc");
	return extent;
}

static void give(struct small *w, struct ps_extent extent)
{
	if (w->raw)
		free((void *)(uintptr_t)extent.offset);
	else
		MUST(w->space.a->ops->free(w->space.a, extent, NULL));
}

static void shuffle(struct small *w, struct chance *c)
{
	for (uint64_t i = w->live - 1; i > 0; i--) {
		uint64_t j = chance_below(c, i + 1);
		struct ps_extent extent = w->extents[i];
		w->extents[i] = w->extents[j];
		w->extents[j] = extent;
	}
}

/* Half of the objects, in random order, leave and as many come; what each did takes is added to the figures.
 */
static void churn(struct small *w, struct chance *c, uint64_t batch, uint16_t *sizes, double *free_s,
                  double *alloc_s)
{
	shuffle(w, c);
	for (uint64_t i = 0; i < batch; i++)
		sizes[i] = (uint16_t)(SIZE_LEAST + chance_below(c, SIZE_MOST - SIZE_LEAST + 1));
	double start = cpu_now();
	for (uint64_t i = 0; i < batch; i++)
		give(w, w->extents[i]);
	double middle = cpu_now();
	for (uint64_t i = 0; i < batch; i++)
		w->extents[i] = take(w, sizes[i]);
	*free_s += middle - start;
	*alloc_s += cpu_now() - middle;
}

static void name_point(char *text, size_t size, const char *what, uint64_t live)
{
	(void)snprintf(text, size, "%s, %llu objects live", what, (unsigned long long)live);
}

static void report_small(const struct bench *b, const struct small *w, double alloc_ns, double free_ns)
{
	char text[80];
	enum goal goal = w->raw ? GOAL_NONE : GOAL_AT_MOST;
	name_point(text, sizeof(text), w->raw ? "malloc" : "alloc", w->live);
	report_one(b, text, "ns", alloc_ns, goal, SMALL_GOAL);
	name_point(text, sizeof(text), w->raw ? "free of malloc" : "free", w->live);
	report_one(b, text, "ns", free_ns, goal, SMALL_GOAL);
	if (w->raw)
		return;
	struct ps_allocator_stats stats;
	w->space.a->ops->stats(w->space.a, &stats);
	name_point(text, sizeof(text), "memory an object", w->live);
	report_one(b, text, "B", (double)stats.memory / (double)w->live, GOAL_NONE, 0);
}

static void small(const struct bench *b, uint64_t live, bool raw)
{
	struct small w = {.live = live, .raw = raw, .extents = xalloc(live * sizeof(struct ps_extent))};
	struct chance c = chance_from(b->seed);
	uint64_t batch = MIN(live / 2, (uint64_t)BATCH_MOST), rounds = MAX(CALLS / batch, (uint64_t)1);
	uint16_t *sizes = xalloc(batch * sizeof(*sizes));
	double free_s = 0, alloc_s = 0;
	if (!raw)
		space_open(&w.space);
	for (uint64_t i = 0; i < live; i++)
		w.extents[i] = take(&w, SIZE_LEAST + chance_below(&c, SIZE_MOST - SIZE_LEAST + 1));
	for (uint64_t i = 0; i < rounds; i++)
		churn(&w, &c, batch, sizes, &free_s, &alloc_s);
	double calls = (double)(batch * rounds);
	report_small(b, &w, alloc_s * 1e9 / calls, free_s * 1e9 / calls);
	for (uint64_t i = 0; raw && i < live; i++)
		give(&w, w.extents[i]);
	if (!raw)
		space_close(&w.space);
	free(sizes);
	free(w.extents);
}

/* ---- the root ---- */

static uint64_t random_pages(struct chance *c)
{
	return (1 + chance_below(c, ROOT_PAGES)) * PS_ROOT_PAGE;
}

/* So many free extents with a page in use between each two. */
static void make_comb(struct space *space, struct chance *c)
{
	struct ps_extent *list = xalloc(FREE_EXTENTS * sizeof(*list));
	uint64_t at = 0;
	for (uint64_t i = 0; i < FREE_EXTENTS; i++) {
		list[i] = (struct ps_extent){at, random_pages(c)};
		at += list[i].len + PS_ROOT_PAGE;
	}
	MUST(ps_root_load(space->root, at, list, FREE_EXTENTS));
	free(list);
}

static void root(const struct bench *b, bool aligned)
{
	struct space space;
	struct chance c = chance_from(b->seed);
	struct ps_extent *got = xalloc(ROOT_CALLS * sizeof(*got));
	space_open(&space);
	make_comb(&space, &c);
	double start = cpu_now();
	for (uint64_t i = 0; i < ROOT_CALLS; i++) {
		if (aligned)
			MUST(space.root->ops->alloc_aligned(space.root, SLAB, SLAB, 0, &got[i]));
		else
			MUST(space.root->ops->alloc(space.root, random_pages(&c), &got[i]));
	}
	double middle = cpu_now();
	for (uint64_t i = 0; i < ROOT_CALLS; i++)
		MUST(space.root->ops->free(space.root, got[i], NULL));
	double end = cpu_now();
	report_one(b,
	           aligned ? "root, slab of 64 KiB, a million free extents"
	                   : "root alloc, a million free extents",
	           "ns", (middle - start) * 1e9 / ROOT_CALLS, GOAL_AT_MOST, ROOT_GOAL);
	report_one(b, aligned ? "root, free of a slab" : "root free", "ns", (end - middle) * 1e9 / ROOT_CALLS,
	           GOAL_AT_MOST, ROOT_GOAL);
	space_close(&space);
	free(got);
}

void bench_allocators(const struct bench *b)
{
	for (uint64_t live = LIVE_LEAST; live <= LIVE_MOST; live *= 10) {
		small(b, live, false);
		small(b, live, true);
	}
	root(b, false);
	root(b, true);
}
