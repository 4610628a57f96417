#include "tests/conformance/model.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/conformance/suite.h"

static uint64_t environment_number(const char *name, uint64_t fallback)
{
	const char *text = getenv(name);
	return text && *text ? strtoull(text, NULL, 0) : fallback;
}

static uint64_t next_random(struct model *m)
{
	m->random += 0x9E3779B97F4A7C15U;
	uint64_t x = m->random;
	x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
	x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
	return x ^ (x >> 31);
}

static size_t random_below(struct model *m, size_t bound)
{
	return (size_t)(next_random(m) % bound);
}

/* Mostly small, now and then at a border, rarely large. */
static size_t random_size(struct model *m)
{
	switch (random_below(m, 8)) {
	case 0:
		return conformance_sizes[random_below(m, conformance_size_count - 4)];
	case 1:
		return random_below(m, 300000);
	case 2:
	case 3:
		return random_below(m, 20000);
	default:
		return random_below(m, 600);
	}
}

void model_init(struct model *m, uint64_t default_seed)
{
	memset(m, 0, sizeof(*m));
	m->random = environment_number("CONFORMANCE_SEED", default_seed);
	print_message("[   SEED   ] CONFORMANCE_SEED=%" PRIu64 "\n", m->random);
}

void model_done(struct model *m)
{
	for (size_t i = 0; i < MODEL_OBJECTS; i++)
		free(m->objects[i].bytes);
}

static void object_size(struct model_object *o, size_t len)
{
	if (len > o->capacity) {
		o->bytes = realloc(o->bytes, len);
		assert_non_null(o->bytes);
		o->capacity = len;
	}
	if (len > o->len)
		memset(o->bytes + o->len, 0, len - o->len);
	o->len = len;
}

static void object_fill(struct model *m, struct model_object *o, size_t off, size_t len)
{
	if (off + len > o->len)
		object_size(o, off + len);
	if (len)
		pattern_fill(o->bytes + off, len, next_random(m), 0);
}

static void object_contents(struct model *m, struct model_object *o)
{
	o->len = 0;
	object_fill(m, o, 0, random_size(m));
}

static void object_gone(struct model *m, struct model_object *o)
{
	m->stale[m->stale_count++ % MODEL_STALE] = o->id;
	o->id = PS_ID_NONE;
	o->len = 0;
}

/* A place to write [off, off + len) of an object: inside, across its end or behind it. */
static size_t random_range(struct model *m, const struct model_object *o, size_t *len)
{
	*len = 1 + random_size(m) / (1 + random_below(m, 4));
	return random_below(m, o->len + 1 + (random_below(m, 4) ? 0 : 70000));
}

static void step_create(struct model *m, ps_storer *s, struct model_object *o)
{
	if (random_below(m, 4) == 0) {
		object_size(o, random_size(m));
		OK(ps_alloc(s, o->len, &o->id));
	} else {
		object_contents(m, o);
		OK(ps_put(s, o->bytes, o->len, &o->id));
	}
}

static void step_stream(struct model *m, ps_storer *s, struct model_object *o)
{
	ps_writer *w;
	ps_id over = o->id;
	object_contents(m, o);
	OK(ps_open_writer(s, over, random_below(m, 2) ? o->len : PS_SIZE_UNKNOWN, &w));
	o->id = ps_writer_id(w);
	for (size_t at = 0, piece; at < o->len; at += piece) {
		piece = 1 + random_below(m, 100000);
		if (piece > o->len - at)
			piece = o->len - at;
		OK(ps_writer_write(w, o->bytes + at, piece));
	}
	OK(ps_writer_finish(w));
}

static void step_write(struct model *m, ps_storer *s, struct model_object *o)
{
	size_t len, off = random_range(m, o, &len);
	object_fill(m, o, off, len);
	OK(ps_write_at(s, o->id, off, o->bytes + off, len));
}

static void batch_one(struct model *m, ps_batch *b, struct model_object *o)
{
	size_t len, off;
	if (o->id == PS_ID_NONE) {
		object_contents(m, o);
		OK(ps_batch_put(b, o->bytes, o->len, &o->id));
		return;
	}
	switch (random_below(m, 4)) {
	case 0:
		OK(ps_batch_delete(b, o->id));
		object_gone(m, o);
		break;
	case 1:
		object_contents(m, o);
		OK(ps_batch_replace(b, o->id, o->bytes, o->len));
		break;
	default:
		off = random_range(m, o, &len);
		object_fill(m, o, off, len);
		OK(ps_batch_write_at(b, o->id, off, o->bytes + off, len));
	}
}

static void step_batch(struct model *m, ps_storer *s)
{
	ps_batch *b;
	size_t operations = 1 + random_below(m, 12);
	OK(ps_batch_begin(s, &b));
	while (operations--)
		batch_one(m, b, &m->objects[random_below(m, MODEL_OBJECTS)]);
	OK(ps_batch_commit(b, random_below(m, 4) ? PS_RELAXED : PS_DURABLE));
}

static void step_write_batched(struct model *m, ps_storer *s)
{
	ps_id ids[MODEL_OBJECTS];
	size_t sizes[MODEL_OBJECTS], n = 0, total = 0;
	unsigned char *data = NULL;
	for (size_t i = random_below(m, 4); i < MODEL_OBJECTS; i += 1 + random_below(m, 8)) {
		struct model_object *o = &m->objects[i];
		if (o->id == PS_ID_NONE)
			continue;
		object_contents(m, o);
		data = realloc(data, total + o->len + 1);
		assert_non_null(data);
		if (o->len)
			memcpy(data + total, o->bytes, o->len);
		total += o->len;
		ids[n] = o->id;
		sizes[n++] = o->len;
	}
	OK(ps_write_batched(s, n, ids, data, sizes));
	free(data);
}

static void step_one(struct model *m, ps_storer *s)
{
	struct model_object *o = &m->objects[random_below(m, MODEL_OBJECTS)];
	size_t choice = random_below(m, 20);
	if (choice == 0) {
		step_batch(m, s);
	} else if (choice == 1) {
		step_write_batched(m, s);
	} else if (choice == 2) {
		step_stream(m, s, o);
	} else if (o->id == PS_ID_NONE) {
		step_create(m, s, o);
	} else if (choice < 6) {
		OK(ps_delete(s, o->id));
		object_gone(m, o);
	} else if (choice < 9) {
		object_contents(m, o);
		OK(ps_replace(s, o->id, o->bytes, o->len));
	} else if (choice < 12) {
		object_size(o, random_size(m));
		OK(ps_resize(s, o->id, o->len));
	} else {
		step_write(m, s, o);
	}
	if (o->id != PS_ID_NONE)
		expect_bytes(s, o->id, o->bytes, o->len);
}

void model_run(struct model *m, ps_storer *s, uint64_t default_steps)
{
	uint64_t steps = environment_number("CONFORMANCE_STEPS", default_steps);
	for (uint64_t i = 1; i <= steps; i++, m->step++) {
		step_one(m, s);
		if (i % 100 == 0)
			model_verify(m, s);
	}
	model_verify(m, s);
}

void model_verify(const struct model *m, ps_storer *s)
{
	uint64_t live = 0;
	char byte;
	size_t got;
	for (size_t i = 0; i < MODEL_OBJECTS; i++) {
		const struct model_object *o = &m->objects[i];
		if (o->id == PS_ID_NONE)
			continue;
		expect_bytes(s, o->id, o->bytes, o->len);
		live++;
	}
	assert_int_equal(count_objects(s), live);
	for (size_t i = 0; i < MODEL_STALE && i < m->stale_count; i++)
		FAILS(PS_ENOTFOUND, ps_read_at(s, m->stale[i], 0, &byte, 1, &got));
}

static void random_operations_agree_with_a_model(void **state)
{
	struct model m;
	model_init(&m, 1);
	model_run(&m, store_of(state), 600);
	model_done(&m);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(random_operations_agree_with_a_model),
};
CONFORMANCE_PART(model, tests);
