#include "tests/allocator/omni_model.h"

#include <string.h>

#include "allocator/root.h"
#include "tests/allocator/omni_state.h"

/* ---- calls ---- */

/* Where the caller makes room, holes need not be filled when no slab can be cut. */
static int expected_of_one(const struct model *m, unsigned class, int err)
{
	if (err == PS_ENOSPC && m->growing && !model_can_cut(m))
		return PS_ENOSPC;
	if (model_must_fit(m, class, 1, false) || (err == PS_OK && model_may_fit(m, class, 1, false)))
		return PS_OK;
	return PS_ENOSPC;
}

static void call_alloc(struct model *m)
{
	struct ps_extent got = {0, 0};
	uint64_t size = model_input_size(m);
	unsigned class = ps_class_for(&m->map, size);
	m->call = "alloc";
	int err = m->a->ops->alloc(m->a, size, &got);
	if (class == 0) {
		/* What the root finds is the root's model to judge. */
		if (model_came_as(m, err, size == 0 ? PS_EINVAL : err == PS_ENOSPC ? PS_ENOSPC : PS_OK))
			model_took_extent(m, got);
		return;
	}
	int expected = expected_of_one(m, class, err);
	if (!model_came_as(m, err, expected))
		return;
	if (got.len < size || got.len != ps_class_geometry(&m->map, class)->slot_bytes)
		model_wrong(m, "%llu bytes for %llu", (unsigned long long)got.len, (unsigned long long)size);
	model_took_slot(m, class, got.offset);
}

static void call_alloc_class(struct model *m)
{
	struct ps_extent got = {0, 0};
	unsigned class = (unsigned)model_input(m, 1) % (m->table.count + 2U);
	m->call = "alloc_class";
	int err = ps_omni_alloc_class(m->a, class, &got);
	if (class == 0 || class > m->table.count) {
		(void)model_came_as(m, err, PS_EINVAL);
		return;
	}
	int expected = expected_of_one(m, class, err);
	if (model_came_as(m, err, expected))
		model_took_slot(m, class, got.offset);
}

static void call_run(struct model *m)
{
	struct ps_run run = {0, 0};
	unsigned class = model_input_class(m);
	const struct ps_class_geometry *g = ps_class_geometry(&m->map, class);
	uint64_t count = model_input(m, 1) % (3 * (uint64_t)g->slots_per_slab + 1);
	m->call = "omni_alloc_run";
	if (m->count + count > LIVE_MOST)
		return;
	int err = ps_omni_alloc_run(m->a, class, count, &run);
	int expected = count == 0 ? PS_EINVAL : PS_ENOSPC;
	if (count > 0 && (model_must_fit(m, class, count, false) ||
	                  (err == PS_OK && model_may_fit(m, class, count, false))))
		expected = PS_OK;
	if (!model_came_as(m, err, expected))
		return;
	for (uint64_t i = 0; i < count; i++)
		model_took_slot(m, class, ps_run_place(g, run.first, i));
}

static void call_extent_run(struct model *m)
{
	struct ps_extent got = {0, 0};
	uint64_t size = model_input_size(m), count = model_input(m, 1) % 40;
	unsigned class = ps_class_for(&m->map, size);
	m->call = "alloc_run";
	if (class == 0 || m->count + count > LIVE_MOST)
		return;
	const struct ps_class_geometry *g = ps_class_geometry(&m->map, class);
	bool tails = (uint64_t)g->slots_per_slab * g->slot_bytes < g->slab_bytes;
	int err = m->a->ops->alloc_run(m->a, size, count, &got);
	int expected = count == 0 || (tails && count > g->slots_per_frame) ? PS_EINVAL : PS_ENOSPC;
	if (expected == PS_ENOSPC &&
	    (model_must_fit(m, class, count, true) || (err == PS_OK && model_may_fit(m, class, count, true))))
		expected = PS_OK;
	if (!model_came_as(m, err, expected))
		return;
	if (got.len != count * g->slot_bytes)
		model_wrong(m, "the run is %llu bytes", (unsigned long long)got.len);
	for (uint64_t i = 0; i < count; i++)
		model_took_slot(m, class, got.offset + i * g->slot_bytes);
}

/* The frame, if it is all free now, else the slot. */
static struct ps_extent merged_slot(const struct model *m, struct live object)
{
	const struct ps_class_geometry *g = ps_class_geometry(&m->map, object.class);
	uint64_t slab = object.offset / m->slab * m->slab;
	uint64_t frame = slab + (object.offset - slab) / g->frame_bytes * g->frame_bytes;
	for (uint64_t at = frame; at < frame + g->frame_bytes; at += GRANULE) {
		if (m->state[at / GRANULE] == SLOT_USED)
			return (struct ps_extent){object.offset, object.len};
	}
	return (struct ps_extent){frame, g->frame_bytes};
}

static struct ps_extent merged_extent(const struct model *m, struct live object)
{
	uint64_t first = object.offset / GRANULE, end = first;
	while (first > 0 && m->state[first - 1] == FREE)
		first--;
	while (end < m->space / GRANULE && m->state[end] == FREE)
		end++;
	return (struct ps_extent){first * GRANULE, (end - first) * GRANULE};
}

static void call_free(struct model *m)
{
	struct ps_extent got = {0, 0};
	uint64_t which = model_input(m, 2);
	m->call = "free";
	if (m->count == 0)
		return;
	struct live *object = &m->live[which % m->count], was = *object;
	if (!model_came_as(m, m->a->ops->free(m->a, (struct ps_extent){was.offset, was.len}, &got), PS_OK))
		return;
	*object = m->live[--m->count];
	model_set(m, was.offset, was.len, was.class > 0 ? SLOT_FREE : FREE);
	struct ps_extent expected = was.class > 0 ? merged_slot(m, was) : merged_extent(m, was);
	if (got.offset != expected.offset || got.len != expected.len)
		model_wrong(m, "merged [%llu, +%llu) instead of [%llu, +%llu)",
		            (unsigned long long)got.offset, (unsigned long long)got.len,
		            (unsigned long long)expected.offset, (unsigned long long)expected.len);
}

/* An extent that is no object's. */
static void call_free_foreign(struct model *m)
{
	struct ps_extent extent = {model_input(m, 3) * GRANULE, model_input_size(m) / GRANULE * GRANULE};
	m->call = "free of a foreign extent";
	if (model_input(m, 1) % 4 == 0 && m->count > 0) {
		const struct live *object = &m->live[extent.offset / GRANULE % m->count];
		extent = (struct ps_extent){object->offset + GRANULE, object->len};
	}
	extent.offset %= m->space + m->slab;
	bool parents = model_all_are(m, extent.offset, extent.len, USED), slots = false;
	for (size_t i = 0; i < m->count && !slots; i++)
		slots = m->live[i].class > 0 && m->live[i].offset == extent.offset;
	if (!parents && !slots)
		(void)model_came_as(m, m->a->ops->free(m->a, extent, NULL), PS_ECORRUPT);
}

static void call_mark(struct model *m)
{
	unsigned class = (unsigned)model_input(m, 1) % (m->table.count + 2U);
	uint64_t place = model_input(m, 3) % (m->space / GRANULE + 64) * GRANULE;
	unsigned exact = (unsigned)model_input(m, 1);
	m->call = "omni_mark";
	if (class == 0 || class > m->table.count) {
		(void)model_came_as(m, ps_omni_mark(m->a, class, place), PS_ECORRUPT);
		return;
	}
	const struct ps_class_geometry *g = ps_class_geometry(&m->map, class);
	uint64_t slab = place / m->slab;
	if (exact % 4 > 0)
		place = model_place_of(g, slab * m->slab, exact % g->slots_per_slab);
	bool sound = false;
	for (uint32_t i = 0; i < g->slots_per_slab && !sound; i++)
		sound = model_place_of(g, slab * m->slab, i) == place;
	bool fresh = slab < model_slabs(m) && m->class_of[slab] == 0 &&
	             model_all_are(m, slab * m->slab, m->slab, FREE);
	bool there = slab < model_slabs(m) && m->class_of[slab] == class &&
	             model_all_are(m, place, g->slot_bytes, SLOT_FREE);
	if (m->count == LIVE_MOST)
		return;
	if (!model_came_as(m, ps_omni_mark(m->a, class, place),
	                   sound && (fresh || there) ? PS_OK : PS_ECORRUPT))
		return;
	if (fresh)
		model_cut(m, slab, class);
	model_set(m, place, g->slot_bytes, SLOT_USED);
	model_live_add(m, place, g->slot_bytes, class);
}

static void call_mark_extent(struct model *m)
{
	struct ps_extent extent = {model_input(m, 3) % (m->space / GRANULE + 4) * GRANULE,
	                           (model_input_size(m) + 1) / GRANULE * GRANULE};
	m->call = "mark";
	uint64_t slab = extent.offset / m->slab;
	if ((slab < model_slabs(m) && m->class_of[slab] > 0) || m->count == LIVE_MOST)
		return;
	bool good = model_all_are(m, extent.offset, extent.len, FREE);
	if (model_came_as(m, m->a->ops->mark(m->a, extent), good ? PS_OK : PS_ECORRUPT))
		model_took_extent(m, extent);
}

static void call_retire(struct model *m)
{
	uint64_t slab = model_input(m, 1) % (model_slabs(m) + 1);
	bool retired = model_input(m, 1) % 2;
	m->call = "retire";
	bool there = slab < model_slabs(m) && m->class_of[slab] > 0;
	if (model_came_as(m, ps_omni_retire(m->a, slab * m->slab, retired), there ? PS_OK : PS_ENOTFOUND))
		m->retired[slab] = retired;
}

static void call_limit(struct model *m)
{
	uint64_t limit = model_input(m, 1);
	m->call = "set_limit";
	m->limit = limit < 128 ? 0 : limit % (model_slabs(m) + 2) * m->slab + (limit % 3) * PAGE;
	m->growing = limit % 2;
	ps_omni_set_growing(m->a, m->growing);
	ps_omni_set_limit(m->a, m->limit);
	(void)ps_memory_fail_nth(0, 0);
}

static void call_trim(struct model *m)
{
	m->call = "trim";
	ps_omni_trim(m->a);
	(void)ps_memory_fail_nth(0, 0);
	model_settle(m);
	for (uint64_t i = 0; i < model_slabs(m) && !m->faults; i++) {
		struct ps_class_stats stats;
		ps_omni_class_stats(m->a, m->class_of[i], &stats);
		if (m->class_of[i] > 0 && stats.used == 0)
			model_wrong(m, "an empty slab was kept");
	}
}

static void call_grow(struct model *m)
{
	uint64_t space = m->space + model_input(m, 1) % 64 * PAGE;
	m->call = "grow";
	if (space > SPACE_MOST)
		space = SPACE_MOST;
	if (!model_came_as(m, ps_root_grow(m->root, space), PS_OK))
		return;
	model_set(m, m->space, space - m->space, FREE);
	m->space = space;
}

/* ---- the state moves to a new allocator ---- */

struct pair {
	struct ps_allocator *root, *a;
};

static void pair_close(struct pair *pair)
{
	if (pair->a)
		pair->a->ops->close(pair->a);
	if (pair->root)
		pair->root->ops->close(pair->root);
}

static int pair_open(struct model *m, struct pair *pair)
{
	int err = ps_root_open(&m->memory, &pair->root);
	return err != PS_OK ? err : ps_omni_open(&m->memory, pair->root, &m->table, &pair->a);
}

/* No slab is retired in it, and nothing limited. */
static void pair_swap(struct model *m, struct pair *pair)
{
	struct pair old = {m->root, m->a};
	m->root = pair->root;
	m->a = pair->a;
	*pair = old;
	m->limit = 0;
	m->growing = false;
	memset(m->retired, 0, sizeof(m->retired));
}

struct list {
	struct ps_extent extents[GRANULES_MOST / 2];
	size_t n;
};

static int list_add(void *arg, struct ps_extent extent)
{
	struct list *list = arg;
	list->extents[list->n++] = extent;
	return 0;
}

struct saver {
	struct model *m;
	struct ps_allocator *to;
	unsigned spoil; /* this slab is spoilt first */
};

static int save_slab(void *arg, const struct ps_slab_info *info)
{
	struct saver *saver = arg;
	static uint64_t words[WORDS_MOST];
	struct model *m = saver->m;
	size_t n = ps_omni_slab_words(m->a, info->class);
	if (ps_omni_save_slab(m->a, info->offset, words) != PS_OK)
		return PS_EINVAL;
	if (saver->spoil-- == 0) {
		uint64_t tail = info->slots % 64;
		static const uint64_t none[WORDS_MOST];
		if (ps_omni_load_slab(saver->to, info->class, info->offset, none, n) != PS_ECORRUPT ||
		    ps_omni_load_slab(saver->to, info->class, info->offset + PAGE / 2, words, n) !=
		        PS_ECORRUPT ||
		    ps_omni_load_slab(saver->to, info->class, m->space, words, n) != PS_ECORRUPT ||
		    ps_omni_load_slab(saver->to, info->class, info->offset, words, n + 1) != PS_EINVAL)
			model_wrong(m, "took a spoilt slab");
		words[n - 1] |= tail ? (uint64_t)1 << tail : 0;
		if (tail && ps_omni_load_slab(saver->to, info->class, info->offset, words, n) != PS_ECORRUPT)
			model_wrong(m, "took a bit too many");
		words[n - 1] &= ~(tail ? (uint64_t)1 << tail : 0);
	}
	int err = ps_omni_load_slab(saver->to, info->class, info->offset, words, n);
	if (err == PS_OK && ps_omni_load_slab(saver->to, info->class, info->offset, words, n) != PS_ECORRUPT)
		model_wrong(m, "took a slab twice");
	return err;
}

/* As a clean close and the next open. */
static void call_reload(struct model *m)
{
	static struct list list;
	struct pair fresh = {NULL, NULL};
	m->call = "save and load";
	uint64_t nth = m->faults ? model_input(m, 1) % 16 + 1 : 0;
	(void)ps_memory_fail_nth(0, 0);
	struct saver saver = {m, NULL, (unsigned)model_input(m, 1) % 8};
	ps_omni_trim(m->a);
	model_settle(m);
	list.n = 0;
	(void)m->root->ops->walk(m->root, list_add, &list);
	(void)ps_memory_fail_nth(nth, m->forever);
	int err = pair_open(m, &fresh);
	saver.to = fresh.a;
	if (err == PS_OK)
		err = ps_root_load(fresh.root, m->space, list.extents, list.n);
	if (err == PS_OK)
		err = ps_omni_each_slab(m->a, save_slab, &saver);
	if (model_came_as(m, err, PS_OK))
		pair_swap(m, &fresh);
	pair_close(&fresh);
}

/* As an open that reads the table: every object is marked, in an order of its own. */
static void call_rebuild(struct model *m)
{
	struct pair fresh = {NULL, NULL};
	m->call = "rebuild";
	size_t start = model_input(m, 2);
	(void)ps_memory_fail_nth(0, 0);
	if (m->count == LIVE_MOST)
		return;
	int err = pair_open(m, &fresh);
	if (err == PS_OK)
		err = ps_root_grow(fresh.root, m->space);
	for (size_t i = 0; i < m->count && err == PS_OK; i++) {
		const struct live *object = &m->live[(start + i * 4099) % m->count];
		if (m->count % 4099 == 0)
			object = &m->live[i];
		err = object->class > 0
		          ? ps_omni_mark(fresh.a, object->class, object->offset)
		          : fresh.a->ops->mark(fresh.a, (struct ps_extent){object->offset, object->len});
	}
	if (model_came_as(m, err, PS_OK)) {
		ps_omni_trim(m->a);
		model_settle(m);
		pair_swap(m, &fresh);
	}
	pair_close(&fresh);
}

/* ---- sequences ---- */

static void (*const calls[])(struct model *) = {
    call_alloc,      call_alloc, call_alloc,       call_alloc_class,  call_alloc_class, call_run,
    call_extent_run, call_free,  call_free,        call_free,         call_free,        call_free,
    call_free,       call_mark,  call_mark_extent, call_free_foreign, call_retire,      call_limit,
    call_trim,       call_grow,  call_reload,      call_rebuild,
};

static void step(struct model *m)
{
	unsigned op = (unsigned)model_input(m, 1);
	m->step++;
	m->faults = op >= 220;
	m->forever = op >= 240;
	m->faulted = m->faulted || m->faults;
	(void)ps_memory_fail_nth(m->faults ? op % 4 + 1 : 0, m->forever);
	calls[op % (sizeof(calls) / sizeof(calls[0]))](m);
	(void)ps_memory_fail_nth(0, 0);
	if (m->failed)
		return;
	model_settle(m);
	if (m->space <= (64U << 12) || m->step % 8 == 0 || m->faults)
		model_compare(m);
}

static const uint32_t few[] = {48, 100, 640, 1500, 4096, 12288};
static const uint32_t extremes[] = {16, 4096};
static const uint32_t single[] = {5008};
static const struct ps_class_options tables[] = {
    {0},
    {.slab_bytes = 4096},
    {.slab_bytes = 32768, .sizes = few, .count = 6},
    {.slab_bytes = 16384, .sizes = extremes, .count = 2},
    {.slab_bytes = 16384, .sizes = single, .count = 1},
    {.slab_bytes = 16384, .block_limit = 8192, .page_limit = 8192},
};

static bool start(struct model *m)
{
	m->call = "open";
	unsigned which = (unsigned)model_input(m, 1) % (sizeof(tables) / sizeof(tables[0]));
	struct pair pair = {NULL, NULL};
	ps_memory_init(&m->memory, NULL);
	if (ps_class_table_make(&tables[which], &m->table) != PS_OK || pair_open(m, &pair) != PS_OK ||
	    ps_root_grow(pair.root, 64 * PAGE) != PS_OK)
		return false;
	ps_class_map_init(&m->map, &m->table);
	m->slab = (uint64_t)1 << m->table.slab_shift;
	m->space = 64 * (uint64_t)PAGE;
	model_set(m, 0, m->space, FREE);
	pair_swap(m, &pair);
	return true;
}

const char *omni_model_run(const uint8_t *data, size_t size)
{
	static struct model model;
	memset(&model, 0, sizeof(model));
	struct model *m = &model;
	m->data = data;
	m->left = size;
	if (!start(m))
		return "no allocator";
	while (m->left > 0 && !m->failed)
		step(m);
	if (!m->failed)
		model_compare(m);
	struct pair pair = {m->root, m->a};
	pair_close(&pair);
	if (m->memory.used != 0)
		model_wrong(m, "memory was not given back");
	ps_memory_done(&m->memory);
	return m->failed ? m->sentence : NULL;
}
