#include "tests/allocator/omni_model.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocator/omni.h"
#include "allocator/root.h"

enum {
	GRANULE = 16,
	PAGE = 4096,
	SPACE_MOST = 1 << 20,
	GRANULES_MOST = SPACE_MOST / GRANULE,
	SLABS_MOST = SPACE_MOST / PAGE,
	LIVE_MOST = 4096,
	WORDS_MOST = PAGE, /* of the largest slab's bitmap */
	ROOT_TRIES = 32,   /* extents that the root looks into before it wants one that is surely enough */
};

/* What a granule is. */
enum { USED, FREE, SLOT_FREE, SLOT_USED, TAIL };

struct live {
	uint64_t offset, len;
	unsigned class;
};

struct model {
	const uint8_t *data;
	size_t left;
	struct ps_memory memory;
	struct ps_class_table table;
	struct ps_class_map map;
	struct ps_allocator *root, *a;
	uint8_t state[GRANULES_MOST];
	uint8_t class_of[SLABS_MOST]; /* of the slab, 0: none */
	bool retired[SLABS_MOST];
	uint64_t space, limit, slab;
	struct live live[LIVE_MOST];
	size_t count;
	bool faults, forever, faulted; /* this call's, and whether there ever was one */
	unsigned step;
	const char *call;
	bool failed;
};

static char sentence[512];

static void __attribute__((format(printf, 2, 3))) wrong(struct model *m, const char *format, ...)
{
	char text[256];
	va_list args;
	if (m->failed)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void)snprintf(sentence, sizeof(sentence), "step %u, %s: %s (last message: %.150s)", m->step, m->call,
	               text, ps_last_error_message());
	m->failed = true;
}

static uint64_t input(struct model *m, unsigned bytes)
{
	uint64_t value = 0;
	for (; bytes > 0; bytes--) {
		value = value << 8 | (m->left > 0 ? *m->data : 0);
		m->data += m->left > 0;
		m->left -= m->left > 0;
	}
	return value;
}

static uint64_t input_size(struct model *m)
{
	uint64_t value = input(m, 2);
	return value < 0xC000 ? value % 700 : value % (6 * PAGE);
}

static unsigned input_class(struct model *m)
{
	return (unsigned)input(m, 1) % m->table.count + 1;
}

/* Whether the call came out as it should; memory that was not to be had excuses it, and nothing has changed
 * then. */
static bool came_as(struct model *m, int got, int expected)
{
	(void)ps_memory_fail_nth(0, 0);
	if (got == PS_ENOMEM && m->faults)
		return false;
	if (got != expected)
		wrong(m, "%s instead of %s", ps_error_name(got), ps_error_name(expected));
	return got == PS_OK && expected == PS_OK;
}

/* ---- the map ---- */

static bool all_are(const struct model *m, uint64_t offset, uint64_t len, uint8_t state)
{
	if (len == 0 || offset % GRANULE || len % GRANULE || offset > m->space || len > m->space - offset)
		return false;
	for (uint64_t i = offset / GRANULE; i < (offset + len) / GRANULE; i++) {
		if (m->state[i] != state)
			return false;
	}
	return true;
}

static void set(struct model *m, uint64_t offset, uint64_t len, uint8_t state)
{
	memset(m->state + offset / GRANULE, state, len / GRANULE);
}

static uint64_t place_of(const struct ps_class_geometry *g, uint64_t slab, uint64_t slot)
{
	return slab + slot / g->slots_per_frame * g->frame_bytes + slot % g->slots_per_frame * g->slot_bytes;
}

static bool may_fill(const struct model *m, uint64_t slab)
{
	return !m->retired[slab] && (m->limit == 0 || (slab + 1) * m->slab <= m->limit);
}

static bool can_cut(const struct model *m, uint64_t slab)
{
	return (m->limit == 0 || (slab + 1) * m->slab <= m->limit) &&
	       all_are(m, slab * m->slab, m->slab, FREE);
}

static void cut(struct model *m, uint64_t slab, unsigned class)
{
	const struct ps_class_geometry *g = ps_class_geometry(&m->map, class);
	set(m, slab * m->slab, m->slab, TAIL);
	for (uint32_t i = 0; i < g->slots_per_slab; i++)
		set(m, place_of(g, slab * m->slab, i), g->slot_bytes, SLOT_FREE);
	m->class_of[slab] = (uint8_t) class;
	m->retired[slab] = false;
}

static uint64_t slabs(const struct model *m)
{
	return m->space / m->slab;
}

/* `run` slots in slot order within one slab, or a slab that could be cut. end_to_end: within one frame, if
 * frames have tails.
 */
static bool fits_slab(const struct model *m, uint64_t slab, unsigned class, uint64_t run, bool end_to_end)
{
	const struct ps_class_geometry *g = ps_class_geometry(&m->map, class);
	bool tails = (uint64_t)g->slots_per_slab * g->slot_bytes < g->slab_bytes;
	uint64_t have = 0;
	if (m->class_of[slab] != class || !may_fill(m, slab))
		return false;
	for (uint32_t i = 0; i < g->slots_per_slab && have < run; i++) {
		if (end_to_end && tails && i % g->slots_per_frame == 0)
			have = 0;
		have = m->state[place_of(g, slab * m->slab, i) / GRANULE] == SLOT_FREE ? have + 1 : 0;
	}
	return have >= run;
}

static unsigned free_runs(const struct model *m)
{
	unsigned runs = 0;
	for (uint64_t i = 0; i < m->space / GRANULE; i++)
		runs += m->state[i] == FREE && (i == 0 || m->state[i - 1] != FREE);
	return runs;
}

/* Whether so many slots must be found. */
static bool must_fit(const struct model *m, unsigned class, uint64_t run, bool end_to_end)
{
	uint64_t per_slab = ps_class_geometry(&m->map, class)->slots_per_slab;
	uint64_t need = (run + per_slab - 1) / per_slab, have = 0;
	for (uint64_t i = 0; i < slabs(m) && run <= per_slab; i++) {
		if (fits_slab(m, i, class, run, end_to_end))
			return true;
	}
	for (uint64_t i = 0; i < slabs(m) && have < need; i++)
		have = can_cut(m, i) ? have + 1 : 0;
	return have >= need && (m->limit > 0 || free_runs(m) <= ROOT_TRIES);
}

static bool may_fit(const struct model *m, unsigned class, uint64_t run, bool end_to_end)
{
	return must_fit(m, class, run, end_to_end) || free_runs(m) > ROOT_TRIES;
}

static void live_add(struct model *m, uint64_t offset, uint64_t len, unsigned class)
{
	if (m->count < LIVE_MOST)
		m->live[m->count++] = (struct live){offset, len, class};
}

/* A slot that was given out: it was free, and where slots of the class may be given out. */
static void took_slot(struct model *m, unsigned class, uint64_t place)
{
	const struct ps_class_geometry *g = ps_class_geometry(&m->map, class);
	uint64_t slab = place / m->slab;
	if (place >= m->space || slab >= slabs(m)) {
		wrong(m, "slot at %llu, outside the space", (unsigned long long)place);
		return;
	}
	if (m->class_of[slab] == 0 && can_cut(m, slab))
		cut(m, slab, class);
	if (m->class_of[slab] != class || !may_fill(m, slab) || !ps_class_place_sound(g, place) ||
	    place_of(g, slab * m->slab, ps_class_slot(g, place)) != place ||
	    !all_are(m, place, g->slot_bytes, SLOT_FREE)) {
		wrong(m, "slot at %llu is not one to be given out", (unsigned long long)place);
		return;
	}
	set(m, place, g->slot_bytes, SLOT_USED);
	live_add(m, place, g->slot_bytes, class);
}

static void took_extent(struct model *m, struct ps_extent extent)
{
	if (!all_are(m, extent.offset, extent.len, FREE)) {
		wrong(m, "[%llu, +%llu) was not free", (unsigned long long)extent.offset,
		      (unsigned long long)extent.len);
		return;
	}
	set(m, extent.offset, extent.len, USED);
	live_add(m, extent.offset, extent.len, 0);
}

/* ---- comparing ---- */

struct compare {
	struct model *m;
	uint64_t at, free, extents;
};

/* All granules up to the extent are used or tails, and it is one free slot or all of a run of free granules.
 */
static int compare_extent(void *arg, struct ps_extent extent)
{
	struct compare *c = arg;
	const struct model *m = c->m;
	uint64_t first = extent.offset / GRANULE, end = (extent.offset + extent.len) / GRANULE;
	bool good = extent.len > 0 && first >= c->at && end <= m->space / GRANULE;
	for (uint64_t i = c->at; i < first && good; i++)
		good = m->state[i] != FREE && m->state[i] != SLOT_FREE;
	uint8_t state = good ? m->state[first] : USED;
	good = good && (state == FREE || state == SLOT_FREE) && all_are(m, extent.offset, extent.len, state);
	if (good && state == FREE)
		good = (first == 0 || m->state[first - 1] != FREE) &&
		       (end == m->space / GRANULE || m->state[end] != FREE);
	if (!good)
		wrong(c->m, "walks over [%llu, +%llu)", (unsigned long long)extent.offset,
		      (unsigned long long)extent.len);
	c->at = end;
	c->free += extent.len;
	c->extents++;
	return !good;
}

static void compare_classes(struct model *m)
{
	uint64_t count[PS_CLASSES_MAX + 1] = {0}, used[PS_CLASSES_MAX + 1] = {0};
	for (uint64_t i = 0; i < slabs(m); i++) {
		count[m->class_of[i]]++;
		if (ps_omni_class_at(m->a, i * m->slab + m->slab / 2) != m->class_of[i])
			wrong(m, "another class in the slab at %llu", (unsigned long long)(i * m->slab));
	}
	for (size_t i = 0; i < m->count; i++)
		used[m->live[i].class]++;
	for (unsigned class = 1; class <= m->table.count; class ++) {
		struct ps_class_stats stats;
		ps_omni_class_stats(m->a, class, &stats);
		if (stats.slabs != count[class] || (m->count < LIVE_MOST && stats.used != used[class]) ||
		    stats.used + stats.free != stats.slots)
			wrong(m, "figures of class %u", class);
	}
}

static void compare(struct model *m)
{
	struct compare c = {m, 0, 0, 0};
	struct ps_allocator_stats stats;
	if (m->failed)
		return;
	if (m->a->ops->check(m->a) != PS_OK)
		wrong(m, "check found damage");
	compare_classes(m);
	if (m->a->ops->walk(m->a, compare_extent, &c) != 0)
		return;
	for (uint64_t i = c.at; i < m->space / GRANULE; i++) {
		if (m->state[i] == FREE || m->state[i] == SLOT_FREE) {
			wrong(m, "free space at %llu is not walked over", (unsigned long long)i * GRANULE);
			return;
		}
	}
	m->a->ops->stats(m->a, &stats);
	if (stats.space != m->space || stats.free != c.free || stats.free_extents != c.extents)
		wrong(m, "figures differ from the walk's");
}

/* Empty slabs went back to the root, or are open: one of a class at most. */
static void settle(struct model *m)
{
	uint8_t kept[PS_CLASSES_MAX + 1] = {0};
	for (uint64_t i = 0; i < slabs(m); i++) {
		unsigned class = m->class_of[i];
		bool used = false;
		for (uint64_t g = i * m->slab / GRANULE; class > 0 && g < (i + 1) * m->slab / GRANULE; g++)
			used = used || m->state[g] == SLOT_USED;
		if (class == 0 || used)
			continue;
		if (ps_omni_class_at(m->a, i * m->slab) == 0) {
			set(m, i * m->slab, m->slab, FREE);
			m->class_of[i] = 0;
			m->retired[i] = false;
		} else if (++kept[class] > 1 && !m->faulted) {
			wrong(m, "two empty slabs of class %u", class);
		}
	}
}

/* ---- calls ---- */

static void call_alloc(struct model *m)
{
	struct ps_extent got = {0, 0};
	uint64_t size = input_size(m);
	unsigned class = ps_class_for(&m->map, size);
	m->call = "alloc";
	int err = m->a->ops->alloc(m->a, size, &got);
	if (class == 0) {
		/* What the root finds is the root's model to judge. */
		if (came_as(m, err, size == 0 ? PS_EINVAL : err == PS_ENOSPC ? PS_ENOSPC : PS_OK))
			took_extent(m, got);
		return;
	}
	int expected =
	    must_fit(m, class, 1, false) || (err == PS_OK && may_fit(m, class, 1, false)) ? PS_OK : PS_ENOSPC;
	if (!came_as(m, err, expected))
		return;
	if (got.len < size || got.len != ps_class_geometry(&m->map, class)->slot_bytes)
		wrong(m, "%llu bytes for %llu", (unsigned long long)got.len, (unsigned long long)size);
	took_slot(m, class, got.offset);
}

static void call_alloc_class(struct model *m)
{
	struct ps_extent got = {0, 0};
	unsigned class = (unsigned)input(m, 1) % (m->table.count + 2U);
	m->call = "alloc_class";
	int err = ps_omni_alloc_class(m->a, class, &got);
	if (class == 0 || class > m->table.count) {
		(void)came_as(m, err, PS_EINVAL);
		return;
	}
	int expected =
	    must_fit(m, class, 1, false) || (err == PS_OK && may_fit(m, class, 1, false)) ? PS_OK : PS_ENOSPC;
	if (came_as(m, err, expected))
		took_slot(m, class, got.offset);
}

static void call_run(struct model *m)
{
	struct ps_run run = {0, 0};
	unsigned class = input_class(m);
	const struct ps_class_geometry *g = ps_class_geometry(&m->map, class);
	uint64_t count = input(m, 1) % (3 * (uint64_t)g->slots_per_slab + 1);
	m->call = "omni_alloc_run";
	if (m->count + count > LIVE_MOST)
		return;
	int err = ps_omni_alloc_run(m->a, class, count, &run);
	int expected = count == 0 ? PS_EINVAL : PS_ENOSPC;
	if (count > 0 &&
	    (must_fit(m, class, count, false) || (err == PS_OK && may_fit(m, class, count, false))))
		expected = PS_OK;
	if (!came_as(m, err, expected))
		return;
	for (uint64_t i = 0; i < count; i++)
		took_slot(m, class, ps_run_place(g, run.first, i));
}

static void call_extent_run(struct model *m)
{
	struct ps_extent got = {0, 0};
	uint64_t size = input_size(m), count = input(m, 1) % 40;
	unsigned class = ps_class_for(&m->map, size);
	m->call = "alloc_run";
	if (class == 0 || m->count + count > LIVE_MOST)
		return;
	const struct ps_class_geometry *g = ps_class_geometry(&m->map, class);
	bool tails = (uint64_t)g->slots_per_slab * g->slot_bytes < g->slab_bytes;
	int err = m->a->ops->alloc_run(m->a, size, count, &got);
	int expected = count == 0 || (tails && count > g->slots_per_frame) ? PS_EINVAL : PS_ENOSPC;
	if (expected == PS_ENOSPC &&
	    (must_fit(m, class, count, true) || (err == PS_OK && may_fit(m, class, count, true))))
		expected = PS_OK;
	if (!came_as(m, err, expected))
		return;
	if (got.len != count * g->slot_bytes)
		wrong(m, "the run is %llu bytes", (unsigned long long)got.len);
	for (uint64_t i = 0; i < count; i++)
		took_slot(m, class, got.offset + i * g->slot_bytes);
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
	uint64_t which = input(m, 2);
	m->call = "free";
	if (m->count == 0)
		return;
	struct live *object = &m->live[which % m->count], was = *object;
	if (!came_as(m, m->a->ops->free(m->a, (struct ps_extent){was.offset, was.len}, &got), PS_OK))
		return;
	*object = m->live[--m->count];
	set(m, was.offset, was.len, was.class > 0 ? SLOT_FREE : FREE);
	struct ps_extent expected = was.class > 0 ? merged_slot(m, was) : merged_extent(m, was);
	if (got.offset != expected.offset || got.len != expected.len)
		wrong(m, "merged [%llu, +%llu) instead of [%llu, +%llu)", (unsigned long long)got.offset,
		      (unsigned long long)got.len, (unsigned long long)expected.offset,
		      (unsigned long long)expected.len);
}

/* An extent that is no object's. */
static void call_free_foreign(struct model *m)
{
	struct ps_extent extent = {input(m, 3) * GRANULE, input_size(m) / GRANULE * GRANULE};
	m->call = "free of a foreign extent";
	if (input(m, 1) % 4 == 0 && m->count > 0) {
		const struct live *object = &m->live[extent.offset / GRANULE % m->count];
		extent = (struct ps_extent){object->offset + GRANULE, object->len};
	}
	extent.offset %= m->space + m->slab;
	bool parents = all_are(m, extent.offset, extent.len, USED), slots = false;
	for (size_t i = 0; i < m->count && !slots; i++)
		slots = m->live[i].class > 0 && m->live[i].offset == extent.offset;
	if (!parents && !slots)
		(void)came_as(m, m->a->ops->free(m->a, extent, NULL), PS_ECORRUPT);
}

static void call_mark(struct model *m)
{
	unsigned class = (unsigned)input(m, 1) % (m->table.count + 2U);
	uint64_t place = input(m, 3) % (m->space / GRANULE + 64) * GRANULE;
	unsigned exact = (unsigned)input(m, 1);
	m->call = "omni_mark";
	if (class == 0 || class > m->table.count) {
		(void)came_as(m, ps_omni_mark(m->a, class, place), PS_ECORRUPT);
		return;
	}
	const struct ps_class_geometry *g = ps_class_geometry(&m->map, class);
	uint64_t slab = place / m->slab;
	if (exact % 4 > 0)
		place = place_of(g, slab * m->slab, exact % g->slots_per_slab);
	bool sound = false;
	for (uint32_t i = 0; i < g->slots_per_slab && !sound; i++)
		sound = place_of(g, slab * m->slab, i) == place;
	bool fresh = slab < slabs(m) && m->class_of[slab] == 0 && all_are(m, slab * m->slab, m->slab, FREE);
	bool there =
	    slab < slabs(m) && m->class_of[slab] == class && all_are(m, place, g->slot_bytes, SLOT_FREE);
	if (m->count == LIVE_MOST)
		return;
	if (!came_as(m, ps_omni_mark(m->a, class, place), sound && (fresh || there) ? PS_OK : PS_ECORRUPT))
		return;
	if (fresh)
		cut(m, slab, class);
	set(m, place, g->slot_bytes, SLOT_USED);
	live_add(m, place, g->slot_bytes, class);
}

static void call_mark_extent(struct model *m)
{
	struct ps_extent extent = {input(m, 3) % (m->space / GRANULE + 4) * GRANULE,
	                           (input_size(m) + 1) / GRANULE * GRANULE};
	m->call = "mark";
	uint64_t slab = extent.offset / m->slab;
	if ((slab < slabs(m) && m->class_of[slab] > 0) || m->count == LIVE_MOST)
		return;
	bool good = all_are(m, extent.offset, extent.len, FREE);
	if (came_as(m, m->a->ops->mark(m->a, extent), good ? PS_OK : PS_ECORRUPT))
		took_extent(m, extent);
}

static void call_retire(struct model *m)
{
	uint64_t slab = input(m, 1) % (slabs(m) + 1);
	bool retired = input(m, 1) % 2;
	m->call = "retire";
	bool there = slab < slabs(m) && m->class_of[slab] > 0;
	if (came_as(m, ps_omni_retire(m->a, slab * m->slab, retired), there ? PS_OK : PS_ENOTFOUND))
		m->retired[slab] = retired;
}

static void call_limit(struct model *m)
{
	uint64_t limit = input(m, 1);
	m->call = "set_limit";
	m->limit = limit < 128 ? 0 : limit % (slabs(m) + 2) * m->slab + (limit % 3) * PAGE;
	ps_omni_set_limit(m->a, m->limit);
	(void)ps_memory_fail_nth(0, 0);
}

static void call_trim(struct model *m)
{
	m->call = "trim";
	ps_omni_trim(m->a);
	(void)ps_memory_fail_nth(0, 0);
	settle(m);
	for (uint64_t i = 0; i < slabs(m) && !m->faults; i++) {
		struct ps_class_stats stats;
		ps_omni_class_stats(m->a, m->class_of[i], &stats);
		if (m->class_of[i] > 0 && stats.used == 0)
			wrong(m, "an empty slab was kept");
	}
}

static void call_grow(struct model *m)
{
	uint64_t space = m->space + input(m, 1) % 64 * PAGE;
	m->call = "grow";
	if (space > SPACE_MOST)
		space = SPACE_MOST;
	if (!came_as(m, ps_root_grow(m->root, space), PS_OK))
		return;
	set(m, m->space, space - m->space, FREE);
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
			wrong(m, "took a spoilt slab");
		words[n - 1] |= tail ? (uint64_t)1 << tail : 0;
		if (tail && ps_omni_load_slab(saver->to, info->class, info->offset, words, n) != PS_ECORRUPT)
			wrong(m, "took a bit too many");
		words[n - 1] &= ~(tail ? (uint64_t)1 << tail : 0);
	}
	int err = ps_omni_load_slab(saver->to, info->class, info->offset, words, n);
	if (err == PS_OK && ps_omni_load_slab(saver->to, info->class, info->offset, words, n) != PS_ECORRUPT)
		wrong(m, "took a slab twice");
	return err;
}

/* As a clean close and the next open. */
static void call_reload(struct model *m)
{
	static struct list list;
	struct pair fresh = {NULL, NULL};
	m->call = "save and load";
	uint64_t nth = m->faults ? input(m, 1) % 16 + 1 : 0;
	(void)ps_memory_fail_nth(0, 0);
	struct saver saver = {m, NULL, (unsigned)input(m, 1) % 8};
	ps_omni_trim(m->a);
	settle(m);
	list.n = 0;
	(void)m->root->ops->walk(m->root, list_add, &list);
	(void)ps_memory_fail_nth(nth, m->forever);
	int err = pair_open(m, &fresh);
	saver.to = fresh.a;
	if (err == PS_OK)
		err = ps_root_load(fresh.root, m->space, list.extents, list.n);
	if (err == PS_OK)
		err = ps_omni_each_slab(m->a, save_slab, &saver);
	if (came_as(m, err, PS_OK))
		pair_swap(m, &fresh);
	pair_close(&fresh);
}

/* As an open that reads the table: every object is marked, in an order of its own. */
static void call_rebuild(struct model *m)
{
	struct pair fresh = {NULL, NULL};
	m->call = "rebuild";
	size_t start = input(m, 2);
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
	if (came_as(m, err, PS_OK)) {
		ps_omni_trim(m->a);
		settle(m);
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
	unsigned op = (unsigned)input(m, 1);
	m->step++;
	m->faults = op >= 220;
	m->forever = op >= 240;
	m->faulted = m->faulted || m->faults;
	(void)ps_memory_fail_nth(m->faults ? op % 4 + 1 : 0, m->forever);
	calls[op % (sizeof(calls) / sizeof(calls[0]))](m);
	(void)ps_memory_fail_nth(0, 0);
	if (m->failed)
		return;
	settle(m);
	if (m->space <= (64U << 12) || m->step % 8 == 0 || m->faults)
		compare(m);
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
	unsigned which = (unsigned)input(m, 1) % (sizeof(tables) / sizeof(tables[0]));
	struct pair pair = {NULL, NULL};
	ps_memory_init(&m->memory, NULL);
	if (ps_class_table_make(&tables[which], &m->table) != PS_OK || pair_open(m, &pair) != PS_OK ||
	    ps_root_grow(pair.root, 64 * PAGE) != PS_OK)
		return false;
	ps_class_map_init(&m->map, &m->table);
	m->slab = (uint64_t)1 << m->table.slab_shift;
	m->space = 64 * (uint64_t)PAGE;
	set(m, 0, m->space, FREE);
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
		compare(m);
	struct pair pair = {m->root, m->a};
	pair_close(&pair);
	if (m->memory.used != 0)
		wrong(m, "memory was not given back");
	ps_memory_done(&m->memory);
	return m->failed ? sentence : NULL;
}
