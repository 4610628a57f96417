#include "tests/store/cut_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/param.h>
#include <xxhash.h>

#define OK(call) assert_int_equal((call), PS_OK)

static void *need(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

static uint64_t slot_of(ps_id id)
{
	return id >> 24;
}

static uint64_t draw(struct actor *a, uint64_t below)
{
	a->random = a->random * 6364136223846793005U + 1442695040888963407U;
	return (a->random >> 33) % below;
}

void world_init(struct world *w, ps_storer *s, unsigned actors, uint64_t seed)
{
	*w = (struct world){.s = s, .actors = actors};
	for (unsigned i = 0; i < actors; i++) {
		w->actor[i].world = w;
		w->actor[i].random = seed * 1000 + i;
	}
}

void world_done(struct world *w)
{
	for (unsigned i = 0; i < w->actors; i++) {
		for (unsigned k = 0; k < ACTOR_OBJECTS; k++)
			free(w->actor[i].object[k].bytes);
		free(w->actor[i].log);
		free(w->actor[i].known);
	}
}

/* ---- what an actor does ---- */

static void note(struct actor *a, ps_id id, bool live, const void *bytes, uint64_t size)
{
	if (a->count == a->room) {
		a->room = a->room ? a->room * 2 : 256;
		a->log = need(realloc(a->log, a->room * sizeof(*a->log)));
	}
	a->log[a->count++] = (struct version){.op = a->begun,
	                                      .id = id,
	                                      .live = live,
	                                      .size = size,
	                                      .hash = live ? XXH3_64bits(bytes, size) : 0};
}

static void note_object(struct actor *a, const struct actor_object *o)
{
	note(a, o->id, true, o->bytes, o->size);
}

static void note_gone(struct actor *a, struct actor_object *o)
{
	note(a, o->id, false, NULL, 0);
	o->id = PS_ID_NONE;
}

/* Whatever an operation writes begins with its number: no two leave the same. */
enum { STAMP = sizeof(uint64_t) };

static uint64_t draw_size(struct actor *a)
{
	static const uint64_t most[] = {1, 40, 900, 900, 3000, 6000, 50000, 70000, 300000};
	return STAMP + draw(a, most[draw(a, sizeof(most) / sizeof(most[0]))]);
}

static void resize_bytes(struct actor_object *o, uint64_t size)
{
	o->bytes = need(realloc(o->bytes, size + 1));
	if (size > o->size)
		memset(o->bytes + o->size, 0, size - o->size);
	o->size = size;
}

static void fill(struct actor *a, struct actor_object *o, uint64_t off, uint64_t len)
{
	for (uint64_t i = 0; i < len; i++)
		o->bytes[off + i] = (uint8_t)(a->random >> (i % 7 * 8) ^ i * 131);
	uint64_t stamp = a->begun;
	memcpy(o->bytes + off, &stamp, STAMP);
}

static void fresh(struct actor *a, struct actor_object *o, uint64_t size)
{
	o->size = 0;
	resize_bytes(o, size);
	fill(a, o, 0, size);
}

static struct actor_object *any(struct actor *a)
{
	return &a->object[draw(a, ACTOR_OBJECTS)];
}

static void put_or_replace(struct actor *a)
{
	struct actor_object *o = any(a);
	fresh(a, o, draw_size(a));
	if (o->id)
		OK(ps_replace(a->world->s, o->id, o->bytes, o->size));
	else
		OK(ps_put(a->world->s, o->bytes, o->size, &o->id));
	note_object(a, o);
}

static void write_at(struct actor *a)
{
	struct actor_object *o = any(a);
	if (!o->id) {
		put_or_replace(a);
		return;
	}
	uint64_t off = draw(a, o->size + 5000), len = STAMP + draw(a, 9000);
	if (off + len > o->size)
		resize_bytes(o, off + len);
	fill(a, o, off, len);
	OK(ps_write_at(a->world->s, o->id, off, o->bytes + off, len));
	note_object(a, o);
}

static void resize(struct actor *a)
{
	struct actor_object *o = any(a);
	if (!o->id) {
		put_or_replace(a);
		return;
	}
	uint64_t size = draw_size(a);
	resize_bytes(o, size == o->size ? size + 1 : size);
	OK(ps_resize(a->world->s, o->id, o->size));
	note_object(a, o);
}

static void delete_one(struct actor *a)
{
	struct actor_object *o = any(a);
	if (!o->id) {
		put_or_replace(a);
		return;
	}
	OK(ps_delete(a->world->s, o->id));
	note_gone(a, o);
}

static void alloc(struct actor *a)
{
	struct actor_object *o = any(a);
	if (o->id) {
		put_or_replace(a);
		return;
	}
	o->size = 0;
	resize_bytes(o, draw_size(a) * 3);
	OK(ps_alloc(a->world->s, o->size, &o->id));
	note_object(a, o);
}

static void batch_one(struct actor *a, ps_batch *b, struct actor_object *o, bool *gone)
{
	uint64_t what = draw(a, 4);
	*gone = o->id && what == 0;
	if (*gone) {
		OK(ps_batch_delete(b, o->id));
	} else if (o->id && what == 1) {
		uint64_t off = draw(a, o->size + 100), len = STAMP + draw(a, 500);
		if (off + len > o->size)
			resize_bytes(o, off + len);
		fill(a, o, off, len);
		OK(ps_batch_write_at(b, o->id, off, o->bytes + off, len));
	} else {
		fresh(a, o, draw_size(a));
		if (o->id)
			OK(ps_batch_replace(b, o->id, o->bytes, o->size));
		else
			OK(ps_batch_put(b, o->bytes, o->size, &o->id));
	}
}

/* Objects that stand side by side in the actor's list, so that each is there once. */
static void batch(struct actor *a)
{
	ps_batch *b;
	bool gone[ACTOR_OBJECTS];
	unsigned first = (unsigned)draw(a, ACTOR_OBJECTS),
	         count = 1 + (unsigned)draw(a, ACTOR_OBJECTS - first);
	OK(ps_batch_begin(a->world->s, &b));
	for (unsigned i = 0; i < count; i++)
		batch_one(a, b, &a->object[first + i], &gone[i]);
	OK(ps_batch_commit(b, draw(a, 8) ? PS_RELAXED : PS_DURABLE));
	for (unsigned i = 0; i < count; i++) {
		if (gone[i])
			note_gone(a, &a->object[first + i]);
		else
			note_object(a, &a->object[first + i]);
	}
}

/* Ids that never live. */
static void batch_abort(struct actor *a)
{
	ps_batch *b;
	ps_id ids[3];
	OK(ps_batch_begin(a->world->s, &b));
	for (unsigned i = 0; i < 3; i++)
		OK(ps_batch_put(b, "never there", 11, &ids[i]));
	OK(ps_batch_abort(b));
	for (unsigned i = 0; i < 3; i++)
		note(a, ids[i], false, NULL, 0);
}

static void run(struct actor *a)
{
	ps_id ids[3];
	struct actor_object *o[3];
	unsigned count = 0;
	for (unsigned i = 0; i < ACTOR_OBJECTS && count < 3; i++) {
		if (!a->object[i].id)
			o[count++] = &a->object[i];
	}
	if (count < 3) {
		batch(a);
		return;
	}
	uint64_t size = 1 + draw(a, 6000);
	OK(ps_alloc_run(a->world->s, size, 3, ids));
	for (unsigned i = 0; i < 3; i++) {
		o[i]->id = ids[i];
		o[i]->size = 0;
		resize_bytes(o[i], size);
		note_object(a, o[i]);
	}
}

static void stream(struct actor *a)
{
	struct actor_object *o = any(a);
	ps_writer *w;
	fresh(a, o, draw_size(a));
	OK(ps_open_writer(a->world->s, o->id, PS_SIZE_UNKNOWN, &w));
	for (uint64_t at = 0; at < o->size; at += 50000)
		OK(ps_writer_write(w, o->bytes + at, MIN(o->size - at, (uint64_t)50000)));
	o->id = ps_writer_id(w);
	OK(ps_writer_finish(w));
	note_object(a, o);
}

static void write_batched(struct actor *a)
{
	unsigned first = (unsigned)draw(a, ACTOR_OBJECTS - 1);
	struct actor_object *o = &a->object[first];
	if (!o[0].id || !o[1].id) {
		put_or_replace(a);
		return;
	}
	ps_id ids[2] = {o[0].id, o[1].id};
	size_t sizes[2];
	for (unsigned i = 0; i < 2; i++) {
		fresh(a, &o[i], draw_size(a));
		sizes[i] = o[i].size;
	}
	uint8_t *data = need(malloc(sizes[0] + sizes[1] + 1));
	memcpy(data, o[0].bytes, sizes[0]);
	memcpy(data + sizes[0], o[1].bytes, sizes[1]);
	OK(ps_write_batched(a->world->s, 2, ids, data, sizes));
	free(data);
	note_object(a, &o[0]);
	note_object(a, &o[1]);
}

void actor_step(struct actor *a)
{
	static void (*const steps[])(struct actor *) = {
	    put_or_replace, put_or_replace, put_or_replace, write_at, write_at,    resize, delete_one,
	    delete_one,     alloc,          batch,          batch,    batch_abort, run,    stream,
	    write_batched};
	atomic_fetch_add(&a->begun, 1);
	steps[draw(a, sizeof(steps) / sizeof(steps[0]))](a);
	atomic_store(&a->ended, a->begun);
}

/* ---- cuts ---- */

static int take_piece(void *arg, uint64_t offset, const void *data, size_t len)
{
	struct record *r = arg;
	assert_true(offset + len <= r->object.size && offset % PS_CUT_PIECE == 0);
	assert_true(len == MIN((uint64_t)PS_CUT_PIECE, r->object.size - offset));
	memcpy(r->bytes + offset, data, len);
	return PS_OK;
}

static bool kind_fits(const struct ps_cut_object *o)
{
	switch (o->kind) {
	case PS_CUT_GONE:
		return !o->size;
	case PS_CUT_ZERO:
		return true;
	case PS_CUT_BYTES:
		return o->size && o->size <= PS_CUT_PIECE;
	case PS_CUT_CHUNKS:
		return o->size > PS_CUT_PIECE;
	case PS_CUT_PATCH: /* no cut gives that */
		break;
	}
	return false;
}

static void add_record(struct taken *t, struct ps_cut *cut, const struct ps_cut_object *object)
{
	if (t->count == t->room) {
		t->room = t->room ? t->room * 2 : 64;
		t->records = need(realloc(t->records, t->room * sizeof(*t->records)));
	}
	assert_true(!t->count || slot_of(t->records[t->count - 1].object.id) < slot_of(object->id));
	assert_true(kind_fits(object));
	assert_true(object->interval > t->from.interval && object->interval <= t->info.here.interval);
	struct record *r = &t->records[t->count++];
	*r = (struct record){.object = *object};
	if (object->kind != PS_CUT_GONE)
		r->bytes = need(calloc(1, object->size + 1));
	OK(ps_cut_pieces(cut, take_piece, r));
	r->hash = XXH3_64bits(r->bytes, object->size);
}

void taken_read(struct taken *t, struct ps_cut *cut)
{
	struct ps_cut_object object;
	int err;
	while ((err = ps_cut_next(cut, &object)) == PS_OK)
		add_record(t, cut, &object);
	assert_int_equal(err, PS_ENOTFOUND);
	assert_int_equal(ps_cut_next(cut, &object), PS_ENOTFOUND);
}

struct taken *world_begin(struct world *w, const struct taken *since, struct ps_cut **cut)
{
	struct taken *t = need(calloc(1, sizeof(*t)));
	t->since = since;
	if (since)
		t->from = since->info.here;
	for (unsigned i = 0; i < w->actors; i++)
		t->least[i] = atomic_load(&w->actor[i].ended);
	OK(ps_cut_begin(w->s, &t->from, cut, &t->info));
	for (unsigned i = 0; i < w->actors; i++)
		t->most[i] = atomic_load(&w->actor[i].begun);
	return t;
}

struct taken *world_take(struct world *w, const struct taken *since)
{
	struct ps_cut *cut;
	struct taken *t = world_begin(w, since, &cut);
	taken_read(t, cut);
	ps_cut_end(cut);
	return t;
}

void taken_free(struct taken *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->count; i++)
		free(t->records[i].bytes);
	free(t->records);
	free(t);
}

const struct record *taken_find(const struct taken *t, uint64_t slot)
{
	size_t low = 0, high = t->count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (slot_of(t->records[middle].object.id) < slot)
			low = middle + 1;
		else
			high = middle;
	}
	return low < t->count && slot_of(t->records[low].object.id) == slot ? &t->records[low] : NULL;
}

/* ---- what the actors know ---- */

static int by_id(const void *a, const void *b)
{
	ps_id x = ((const struct known *)a)->id, y = ((const struct known *)b)->id;
	return x < y ? -1 : x > y;
}

static struct known *known_of(const struct actor *a, ps_id id)
{
	const struct known key = {.id = id};
	return a->known_count ? bsearch(&key, a->known, a->known_count, sizeof(key), by_id) : NULL;
}

/* The log may have grown since the last look. */
static void list_ids(struct actor *a)
{
	if (a->listed == a->count)
		return;
	free(a->known);
	a->known = need(calloc(a->count, sizeof(*a->known)));
	for (size_t i = 0; i < a->count; i++)
		a->known[i].id = a->log[i].id;
	qsort(a->known, a->count, sizeof(*a->known), by_id);
	a->known_count = 1;
	for (size_t i = 1; i < a->count; i++) {
		if (a->known[i].id != a->known[i - 1].id)
			a->known[a->known_count++].id = a->known[i].id;
	}
	a->listed = a->count;
	a->applied = 0;
}

static void advance(struct actor *a, uint64_t to)
{
	for (; a->applied < a->count && a->log[a->applied].op <= to; a->applied++) {
		const struct version *v = &a->log[a->applied];
		*known_of(a, v->id) = (struct known){v->id, true, v->live, v->size, v->hash, v->op};
	}
	a->at = to;
}

/* An id that is gone may be hidden by a later one of its slot. */
static bool record_fits(const struct known *k, const struct record *r, uint64_t since)
{
	bool hidden = r && !k->live && r->object.id > k->id;
	if (!k->there || k->changed <= since)
		return !r || hidden || r->object.id != k->id;
	if (!r || hidden)
		return hidden;
	if (r->object.id != k->id || (r->object.kind != PS_CUT_GONE) != k->live)
		return false;
	return !k->live || (r->object.size == k->size && r->hash == k->hash);
}

/* Each id that the actor was ever given is in the cut as it then was, or not yet there. */
static bool prefix_fits(const struct actor *a, const struct taken *t, uint64_t since)
{
	for (size_t i = 0; i < a->known_count; i++) {
		if (!record_fits(&a->known[i], taken_find(t, slot_of(a->known[i].id)), since))
			return false;
	}
	return true;
}

/* Ids that came to an end with the next operation, and whose slots the cut has others' later ids in: it is in
 * the cut, unseen. */
static bool next_is_hidden(const struct actor *a, const struct taken *t)
{
	size_t i = a->applied;
	for (; i < a->count && a->log[i].op == a->at + 1; i++) {
		const struct record *r = taken_find(t, slot_of(a->log[i].id));
		if (a->log[i].live || !r || r->object.id <= a->log[i].id)
			return false;
	}
	return i > a->applied;
}

static void find_owners(struct taken *t, struct actor *a)
{
	for (size_t i = 0; i < t->count; i++) {
		if (known_of(a, t->records[i].object.id))
			t->records[i].owner = a;
	}
}

static uint64_t live_objects(const struct actor *a)
{
	uint64_t live = 0;
	for (size_t i = 0; i < a->known_count; i++)
		live += a->known[i].there && a->known[i].live;
	return live;
}

void world_compare(struct world *w, struct taken *t)
{
	uint64_t commits = w->commits, objects = 0;
	for (unsigned i = 0; i < w->actors; i++) {
		struct actor *a = &w->actor[i];
		uint64_t since = t->since ? t->since->prefix[i] : 0, k = MAX(t->least[i], a->at);
		list_ids(a);
		find_owners(t, a);
		advance(a, k);
		while (!prefix_fits(a, t, since) && k < t->most[i])
			advance(a, ++k);
		if (!prefix_fits(a, t, since))
			fail_msg(
			    "the cut of interval %llu is no prefix of actor %u's operations (%llu to %llu)",
			    (unsigned long long)t->info.here.interval, i, (unsigned long long)t->least[i],
			    (unsigned long long)t->most[i]);
		while (k < t->most[i] && next_is_hidden(a, t))
			advance(a, ++k);
		t->prefix[i] = k;
		commits += k;
		objects += live_objects(a);
	}
	for (size_t i = 0; i < t->count; i++) {
		if (!t->records[i].owner)
			fail_msg("the cut of interval %llu gives %#llx, which no actor knows",
			         (unsigned long long)t->info.here.interval,
			         (unsigned long long)t->records[i].object.id);
	}
	if (w->count_commits) {
		assert_int_equal(t->info.commit, commits);
		assert_int_equal(t->info.objects, objects);
	}
}
