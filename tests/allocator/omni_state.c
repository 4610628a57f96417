#include "tests/allocator/omni_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void model_wrong(struct model *m, const char *format, ...)
{
	char text[256];
	va_list args;
	if (m->failed)
		return;
	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	(void)snprintf(m->sentence, sizeof(m->sentence), "step %u, %s: %s (last message: %.150s)", m->step,
	               m->call, text, ps_last_error_message());
	m->failed = true;
}

uint64_t model_input(struct model *m, unsigned bytes)
{
	uint64_t value = 0;
	for (; bytes > 0; bytes--) {
		value = value << 8 | (m->left > 0 ? *m->data : 0);
		m->data += m->left > 0;
		m->left -= m->left > 0;
	}
	return value;
}

uint64_t model_input_size(struct model *m)
{
	uint64_t value = model_input(m, 2);
	return value < 0xC000 ? value % 700 : value % (6 * PAGE);
}

unsigned model_input_class(struct model *m)
{
	return (unsigned)model_input(m, 1) % m->table.count + 1;
}

bool model_came_as(struct model *m, int got, int expected)
{
	(void)ps_memory_fail_nth(0, 0);
	if (got == PS_ENOMEM && m->faults)
		return false;
	if (got != expected)
		model_wrong(m, "%s instead of %s", ps_error_name(got), ps_error_name(expected));
	return got == PS_OK && expected == PS_OK;
}

/* ---- the map ---- */

bool model_all_are(const struct model *m, uint64_t offset, uint64_t len, uint8_t state)
{
	if (len == 0 || offset % GRANULE || len % GRANULE || offset > m->space || len > m->space - offset)
		return false;
	for (uint64_t i = offset / GRANULE; i < (offset + len) / GRANULE; i++) {
		if (m->state[i] != state)
			return false;
	}
	return true;
}

void model_set(struct model *m, uint64_t offset, uint64_t len, uint8_t state)
{
	memset(m->state + offset / GRANULE, state, len / GRANULE);
}

uint64_t model_place_of(const struct ps_class_geometry *g, uint64_t slab, uint64_t slot)
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
	       model_all_are(m, slab * m->slab, m->slab, FREE);
}

bool model_can_cut(const struct model *m)
{
	for (uint64_t i = 0; i < model_slabs(m); i++) {
		if (can_cut(m, i))
			return true;
	}
	return false;
}

void model_cut(struct model *m, uint64_t slab, unsigned class)
{
	const struct ps_class_geometry *g = ps_class_geometry(&m->map, class);
	model_set(m, slab * m->slab, m->slab, TAIL);
	for (uint32_t i = 0; i < g->slots_per_slab; i++)
		model_set(m, model_place_of(g, slab * m->slab, i), g->slot_bytes, SLOT_FREE);
	m->class_of[slab] = (uint8_t) class;
	m->retired[slab] = false;
}

uint64_t model_slabs(const struct model *m)
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
		have = m->state[model_place_of(g, slab * m->slab, i) / GRANULE] == SLOT_FREE ? have + 1 : 0;
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

bool model_must_fit(const struct model *m, unsigned class, uint64_t run, bool end_to_end)
{
	uint64_t per_slab = ps_class_geometry(&m->map, class)->slots_per_slab;
	uint64_t need = (run + per_slab - 1) / per_slab, have = 0;
	for (uint64_t i = 0; i < model_slabs(m) && run <= per_slab; i++) {
		if (fits_slab(m, i, class, run, end_to_end))
			return true;
	}
	for (uint64_t i = 0; i < model_slabs(m) && have < need; i++)
		have = can_cut(m, i) ? have + 1 : 0;
	return have >= need && (m->limit > 0 || free_runs(m) <= ROOT_TRIES);
}

bool model_may_fit(const struct model *m, unsigned class, uint64_t run, bool end_to_end)
{
	return model_must_fit(m, class, run, end_to_end) || free_runs(m) > ROOT_TRIES;
}

void model_live_add(struct model *m, uint64_t offset, uint64_t len, unsigned class)
{
	if (m->count < LIVE_MOST)
		m->live[m->count++] = (struct live){offset, len, class};
}

void model_took_slot(struct model *m, unsigned class, uint64_t place)
{
	const struct ps_class_geometry *g = ps_class_geometry(&m->map, class);
	uint64_t slab = place / m->slab;
	if (place >= m->space || slab >= model_slabs(m)) {
		model_wrong(m, "slot at %llu, outside the space", (unsigned long long)place);
		return;
	}
	if (m->class_of[slab] == 0 && can_cut(m, slab))
		model_cut(m, slab, class);
	if (m->class_of[slab] != class || !may_fill(m, slab) || !ps_class_place_sound(g, place) ||
	    model_place_of(g, slab * m->slab, ps_class_slot(g, place)) != place ||
	    !model_all_are(m, place, g->slot_bytes, SLOT_FREE)) {
		model_wrong(m, "slot at %llu is not one to be given out", (unsigned long long)place);
		return;
	}
	model_set(m, place, g->slot_bytes, SLOT_USED);
	model_live_add(m, place, g->slot_bytes, class);
}

void model_took_extent(struct model *m, struct ps_extent extent)
{
	if (!model_all_are(m, extent.offset, extent.len, FREE)) {
		model_wrong(m, "[%llu, +%llu) was not free", (unsigned long long)extent.offset,
		            (unsigned long long)extent.len);
		return;
	}
	model_set(m, extent.offset, extent.len, USED);
	model_live_add(m, extent.offset, extent.len, 0);
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
	good = good && (state == FREE || state == SLOT_FREE) &&
	       model_all_are(m, extent.offset, extent.len, state);
	if (good && state == FREE)
		good = (first == 0 || m->state[first - 1] != FREE) &&
		       (end == m->space / GRANULE || m->state[end] != FREE);
	if (!good)
		model_wrong(c->m, "walks over [%llu, +%llu)", (unsigned long long)extent.offset,
		            (unsigned long long)extent.len);
	c->at = end;
	c->free += extent.len;
	c->extents++;
	return !good;
}

static void compare_classes(struct model *m)
{
	uint64_t count[PS_CLASSES_MAX + 1] = {0}, used[PS_CLASSES_MAX + 1] = {0};
	for (uint64_t i = 0; i < model_slabs(m); i++) {
		count[m->class_of[i]]++;
		if (ps_omni_class_at(m->a, i * m->slab + m->slab / 2) != m->class_of[i])
			model_wrong(m, "another class in the slab at %llu",
			            (unsigned long long)(i * m->slab));
	}
	for (size_t i = 0; i < m->count; i++)
		used[m->live[i].class]++;
	for (unsigned class = 1; class <= m->table.count; class ++) {
		struct ps_class_stats stats;
		ps_omni_class_stats(m->a, class, &stats);
		if (stats.slabs != count[class] || (m->count < LIVE_MOST && stats.used != used[class]) ||
		    stats.used + stats.free != stats.slots)
			model_wrong(m, "figures of class %u", class);
	}
}

void model_compare(struct model *m)
{
	struct compare c = {m, 0, 0, 0};
	struct ps_allocator_stats stats;
	if (m->failed)
		return;
	if (m->a->ops->check(m->a) != PS_OK)
		model_wrong(m, "check found damage");
	compare_classes(m);
	if (m->a->ops->walk(m->a, compare_extent, &c) != 0)
		return;
	for (uint64_t i = c.at; i < m->space / GRANULE; i++) {
		if (m->state[i] == FREE || m->state[i] == SLOT_FREE) {
			model_wrong(m, "free space at %llu is not walked over",
			            (unsigned long long)i * GRANULE);
			return;
		}
	}
	m->a->ops->stats(m->a, &stats);
	if (stats.space != m->space || stats.free != c.free || stats.free_extents != c.extents)
		model_wrong(m, "figures differ from the walk's");
}

void model_settle(struct model *m)
{
	uint8_t kept[PS_CLASSES_MAX + 1] = {0};
	for (uint64_t i = 0; i < model_slabs(m); i++) {
		unsigned class = m->class_of[i];
		bool used = false;
		for (uint64_t g = i * m->slab / GRANULE; class > 0 && g < (i + 1) * m->slab / GRANULE; g++)
			used = used || m->state[g] == SLOT_USED;
		if (class == 0 || used)
			continue;
		if (ps_omni_class_at(m->a, i * m->slab) == 0) {
			model_set(m, i * m->slab, m->slab, FREE);
			m->class_of[i] = 0;
			m->retired[i] = false;
		} else if (++kept[class] > 1 && !m->faulted) {
			model_wrong(m, "two empty slabs of class %u", class);
		}
	}
}
