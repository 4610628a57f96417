#include "tests/multistore/slab_model.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST = 100000, SLABS_MAX = 4096 };

#define OK(call) succeeds((call), #call, __LINE__)
static void succeeds(int err, const char *call, int line)
{
	if (err)
		fail_msg("line %d: %s: %s: %s", line, call, ps_error_name(err), ps_last_error_message());
}

uint64_t slab_model_random(struct slab_model *m, uint64_t bound)
{
	m->random += 0x9E3779B97F4A7C15U;
	uint64_t x = m->random;
	x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
	x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
	return (x ^ (x >> 31)) % bound;
}

/* All classes alike, their borders often; what is larger than they are, seldom. */
static size_t random_size(struct slab_model *m)
{
	const struct ps_class_table *table = &m->classes.table;
	size_t slot = table->size[slab_model_random(m, table->count)] * (size_t)PS_CLASS_GRANULE;
	switch (slab_model_random(m, 16)) {
	case 0:
		return slab_model_random(m, 2) ? 0 : slot + 1;
	case 1:
	case 2:
		return slot;
	case 3:
		return 4000 + slab_model_random(m, 6000);
	case 4:
		return slab_model_random(m, 8) ? slot : slab_model_random(m, LARGEST);
	default:
		return slot - slab_model_random(m, PS_CLASS_GRANULE);
	}
}

/* What fills whole pages may as well be the root's: it goes there where it does not ride in the log. */
static int route_for(const struct slab_model *m, size_t len)
{
	if (len == 0 || (m->routed && len >= PS_CLASS_PAGE && len <= m->route_max))
		return ROUTE_ANY;
	return m->routed && len <= m->route_max ? (int)ps_class_for(&m->classes, len) : 0;
}

/* ---- the model's side ---- */

static void resized(struct slab_object *o, size_t len)
{
	o->bytes = realloc(o->bytes, len + 1);
	assert_non_null(o->bytes);
	if (len > o->len)
		memset(o->bytes + o->len, 0, len - o->len);
	o->len = len;
}

static void fill(struct slab_model *m, struct slab_object *o, size_t off, size_t len)
{
	if (off + len > o->len)
		resized(o, off + len);
	for (size_t i = 0; i < len; i += sizeof(uint64_t)) {
		uint64_t word = slab_model_random(m, UINT64_MAX);
		memcpy(o->bytes + off + i, &word, len - i < sizeof(word) ? len - i : sizeof(word));
	}
}

static void new_contents(struct slab_model *m, struct slab_object *o)
{
	o->len = 0;
	fill(m, o, 0, random_size(m));
	if (!o->id)
		o->reserved = false;
	o->route = o->reserved ? ROUTE_ANY : route_for(m, o->len);
}

static struct slab_object *any_object(struct slab_model *m)
{
	return &m->objects[slab_model_random(m, SLAB_OBJECTS)];
}

void slab_model_init(struct slab_model *m, uint64_t seed, const struct ps_class_table *classes,
                     uint32_t route_max)
{
	memset(m, 0, sizeof(*m));
	m->random = seed;
	m->route_max = route_max;
	ps_class_map_init(&m->classes, classes);
	print_message("seed %" PRIu64 "\n", seed);
}

void slab_model_done(struct slab_model *m)
{
	for (size_t i = 0; i < SLAB_OBJECTS; i++)
		free(m->objects[i].bytes);
}

/* ---- steps ---- */

static void expect_object(const struct slab_model *m, ps_storer *s, const struct slab_object *o)
{
	static uint8_t buf[2 * LARGEST + 1];
	struct ps_info info;
	size_t len;
	OK(ps_get(s, o->id, buf, sizeof(buf), &len));
	if (len != o->len || (len > 0 && memcmp(buf, o->bytes, len) != 0))
		fail_msg("step %" PRIu64 ": object %" PRIx64 ": %zu bytes, not the %zu that were written",
		         m->step, o->id, len, o->len);
	OK(ps_info(s, o->id, &info));
	if (o->route != ROUTE_ANY && info.allocator != (uint32_t)o->route)
		fail_msg("step %" PRIu64 ": object %" PRIx64 " of %zu bytes is on route %u, not %d", m->step,
		         o->id, o->len, info.allocator, o->route);
	if (o->len > 0 && o->route > 0)
		assert_int_equal(info.allocated,
		                 ps_class_geometry(&m->classes, (unsigned)o->route)->slot_bytes);
}

static void step_change(struct slab_model *m, ps_storer *s, struct slab_object *o)
{
	size_t off, len;
	switch (slab_model_random(m, 4)) {
	case 0:
		resized(o, random_size(m));
		OK(ps_resize(s, o->id, o->len));
		o->route = ROUTE_ANY; /* zeros need no place */
		break;
	case 1:
		off = slab_model_random(m, o->len + 1);
		len = 1 + slab_model_random(m, 600);
		fill(m, o, off, len);
		OK(ps_write_at(s, o->id, off, o->bytes + off, len));
		o->route = ROUTE_ANY;
		break;
	default:
		new_contents(m, o);
		OK(ps_replace(s, o->id, o->bytes, o->len));
		o->reserved = false;
	}
}

static void step_batch(struct slab_model *m, ps_storer *s)
{
	ps_batch *b;
	unsigned operations = 1 + (unsigned)slab_model_random(m, 40);
	OK(ps_batch_begin(s, &b));
	while (operations--) {
		struct slab_object *o = any_object(m);
		if (o->id && slab_model_random(m, 3) == 0) {
			OK(ps_batch_delete(b, o->id));
			o->id = PS_ID_NONE;
			continue;
		}
		new_contents(m, o);
		if (o->id)
			OK(ps_batch_replace(b, o->id, o->bytes, o->len));
		else
			OK(ps_batch_put(b, o->bytes, o->len, &o->id));
	}
	OK(ps_batch_commit(b, PS_DURABLE));
}

/* Neighbours on disk: each on the route of its size, until it is written anew. */
static void step_run(struct slab_model *m, ps_storer *s)
{
	ps_id ids[8];
	struct slab_object *o[8];
	size_t count = 0, size = 1 + slab_model_random(m, 5000);
	for (size_t i = 0; i < SLAB_OBJECTS && count < 8; i++) {
		if (!m->objects[i].id)
			o[count++] = &m->objects[i];
	}
	if (count < 8)
		return;
	OK(ps_alloc_run(s, size, count, ids));
	for (size_t i = 0; i < count; i++) {
		o[i]->id = ids[i];
		o[i]->len = 0;
		resized(o[i], size);
		o[i]->route = ROUTE_ANY;
		o[i]->reserved = true;
		expect_object(m, s, o[i]);
	}
}

static void step_one(struct slab_model *m, ps_storer *s)
{
	struct slab_object *o = any_object(m);
	uint64_t choice = slab_model_random(m, 64);
	if (choice == 0) {
		step_batch(m, s);
	} else if (choice == 1) {
		step_run(m, s);
	} else if (!o->id) {
		new_contents(m, o);
		OK(ps_put(s, o->bytes, o->len, &o->id));
	} else if (choice < 24) {
		OK(ps_delete(s, o->id));
		o->id = PS_ID_NONE;
	} else {
		step_change(m, s, o);
	}
	if (o->id)
		expect_object(m, s, o);
}

void slab_model_run(struct slab_model *m, ps_storer *s, unsigned steps)
{
	for (unsigned i = 0; i < steps; i++, m->step++)
		step_one(m, s);
}

/* ---- the whole ---- */

struct space {
	struct ps_space_piece slabs[SLABS_MAX];
	size_t count;
	uint64_t end, free;
};

static int look_at_piece(void *arg, const struct ps_space_piece *piece)
{
	struct space *space = arg;
	assert_int_equal(piece->offset, space->end);
	space->end += piece->len;
	if (piece->use == PS_SPACE_FREE)
		space->free += piece->len;
	if (piece->use == PS_SPACE_SLAB) {
		assert_in_range(space->count, 0, SLABS_MAX - 1);
		space->slabs[space->count++] = *piece;
	}
	return 0;
}

static void expect_in_slab(const struct slab_model *m, const struct space *space, const struct ps_info *info)
{
	const struct ps_class_geometry *g = ps_class_geometry(&m->classes, info->allocator);
	for (size_t i = 0; i < space->count; i++) {
		const struct ps_space_piece *slab = &space->slabs[i];
		if (info->offset < slab->offset || info->offset >= slab->offset + slab->len)
			continue;
		assert_int_equal(slab->class, info->allocator);
		assert_true(ps_class_place_sound(g, info->offset));
		assert_true(info->size <= g->slot_bytes);
		return;
	}
	fail_msg("object %" PRIx64 " says route %u, and lies in no slab", info->id, info->allocator);
}

struct routes {
	uint64_t objects[PS_CLASSES_MAX + 1], live[PS_CLASSES_MAX + 1], slabs[PS_CLASSES_MAX + 1],
	    used[PS_CLASSES_MAX + 1];
};

static void expect_figures(const struct slab_model *m, ps_storer *s, const struct routes *r)
{
	struct ps_route_figures f[PS_CLASSES_MAX + 1];
	size_t count = m->classes.table.count + (size_t)1;
	OK(ps_route_figures(s, f, count));
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(f[i].objects, r->objects[i]);
		assert_int_equal(f[i].live_bytes, r->live[i]);
		if (i == 0)
			continue;
		const struct ps_class_geometry *g = ps_class_geometry(&m->classes, (unsigned)i);
		assert_int_equal(f[i].slabs, r->slabs[i]);
		assert_int_equal(f[i].used, r->used[i]);
		assert_true(f[i].used >= f[i].objects);
		assert_int_equal(f[i].slots, f[i].slabs * g->slots_per_slab);
		assert_int_equal(f[i].free_bytes, (f[i].slots - f[i].used) * g->slot_bytes);
		assert_int_equal(f[i].slots * g->slot_bytes + f[i].tail_bytes, f[i].slabs * g->slab_bytes);
		assert_int_equal(f[i].allocated, f[i].objects * g->slot_bytes);
	}
}

static int count_id(void *arg, ps_id id)
{
	(void)id;
	++*(uint64_t *)arg;
	return 0;
}

void slab_model_verify(const struct slab_model *m, ps_storer *s)
{
	struct space *space = calloc(1, sizeof(*space));
	struct routes *r = calloc(1, sizeof(*r));
	uint64_t live = 0, there = 0;
	struct ps_stats stats;
	assert_true(space && r);
	OK(ps_each_space(s, look_at_piece, space));
	OK(ps_stats(s, &stats));
	assert_int_equal(space->end, stats.file_bytes);
	for (size_t i = 0; i < SLAB_OBJECTS; i++) {
		const struct slab_object *o = &m->objects[i];
		struct ps_info info;
		if (!o->id)
			continue;
		live++;
		expect_object(m, s, o);
		OK(ps_info(s, o->id, &info));
		if (info.allocator > 0)
			expect_in_slab(m, space, &info);
		r->objects[info.allocator]++;
		r->live[info.allocator] += o->len;
	}
	for (size_t i = 0; i < space->count; i++) {
		r->slabs[space->slabs[i].class]++;
		r->used[space->slabs[i].class] += space->slabs[i].used;
	}
	expect_figures(m, s, r);
	OK(ps_each(s, 0, count_id, &there));
	assert_int_equal(there, live);
	free(space);
	free(r);
}
