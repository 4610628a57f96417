/* Large objects in several runs: patches over older ones, put together by who reads the whole state and by
 * who looks up ranges, are what a plain model says; what does not fit together is refused. usage:
 * state_reader_test [SEEDS] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "multistore/state_lookup.h"
#include "multistore/state_reader.h"
#include "tests/multistore/push_fixture.h"

static unsigned seeds = 6;
static struct ps_memory memory;

enum { OBJECTS = 3, PIECES_MOST = 40, RUNS_MOST = 7, PIECE = PS_CUT_PIECE };

/* An object as a run leaves it. */
struct model {
	ps_id id;
	enum ps_cut_kind kind; /* in the last run */
	uint64_t size;
	uint8_t *bytes; /* room for PIECES_MOST pieces; zeros behind the size */
};

struct runs {
	struct blobs *b;
	struct dice dice;
	struct ps_push_manifest m;
	struct model object[OBJECTS];
	/* The pack that is written. */
	struct ps_pack_about about;
	ps_pack_writer *writer;
	uint8_t *bytes;
	size_t len, room, pack_most;
	struct ps_push_manifest_run run;
	struct ps_push_manifest_pack packs[256];
};

static void runs_new(struct runs *r, uint64_t seed)
{
	memset(r, 0, sizeof(*r));
	const struct ps_remote_seams seams = {.backoff_ms = 1};
	r->b = blobs_new_with("mem", &seams);
	r->dice.state = seed;
	r->pack_most = seed % 3 ? 300000 : 16 << 20;
	ps_push_manifest_init(&r->m, &memory);
	for (unsigned i = 0; i < OBJECTS; i++) {
		r->object[i].id = (ps_id)(3 + 2 * i) << PS_SLOT_SHIFT | 1;
		r->object[i].bytes = calloc(PIECES_MOST + 1, PIECE);
		assert_non_null(r->object[i].bytes);
	}
}

static void runs_free(struct runs *r)
{
	for (unsigned i = 0; i < OBJECTS; i++)
		free(r->object[i].bytes);
	free(r->bytes);
	ps_push_manifest_done(&r->m);
	blobs_free(r->b);
}

/* ---- writing ---- */

static int append(void *arg, const void *data, size_t len)
{
	struct runs *r = arg;
	if (r->len + len > r->room) {
		r->room = (r->len + len) * 2;
		r->bytes = realloc(r->bytes, r->room);
		assert_non_null(r->bytes);
	}
	memcpy(r->bytes + r->len, data, len);
	r->len += len;
	return PS_OK;
}

static void end_pack(struct runs *r, bool open)
{
	struct ps_pack_tail tail;
	char name[PS_PACK_NAME];
	uint64_t bytes;
	if (!r->writer)
		return;
	assert_ok(ps_pack_writer_finish(r->writer, open, &tail, &bytes));
	ps_pack_writer_free(r->writer);
	r->writer = NULL;
	ps_pack_name(&r->about, name);
	assert_ok(ps_remote_put(r->b->r, name, r->bytes, r->len, NULL));
	assert_true(r->run.packs < 256);
	r->packs[r->run.packs++] = (struct ps_push_manifest_pack){.about = r->about,
	                                                          .first = tail.first,
	                                                          .last = tail.last,
	                                                          .continues = tail.continues,
	                                                          .open = tail.open,
	                                                          .bytes = bytes};
	r->run.objects += tail.objects;
	r->run.gone += tail.gone;
	r->run.contents += tail.contents;
	r->run.bytes += bytes;
	r->about.number++;
}

/* within: NULL, or the object that goes on, at `from`. */
static void make_room(struct runs *r, const struct ps_cut_object *within, uint64_t from)
{
	if (r->writer && r->len > r->pack_most)
		end_pack(r, within != NULL);
	if (r->writer)
		return;
	r->len = 0;
	assert_ok(ps_pack_writer_new(&memory, &r->about, roll_below(&r->dice, 2) ? 1 : 0, within, from,
	                             append, r, &r->writer));
}

static void begin_run(struct runs *r, uint64_t since, uint64_t upto)
{
	r->about = (struct ps_pack_about){.mark = {(uint8_t)upto, 1}, .since = since, .upto = upto};
	r->run = (struct ps_push_manifest_run){.since = since, .upto = upto};
}

static void end_run(struct runs *r, uint32_t keep)
{
	struct ps_push_manifest made;
	uint8_t *bytes;
	size_t len;
	end_pack(r, false);
	struct ps_push_manifest_next next = {.keep = keep,
	                                     .run = r->run,
	                                     .packs = r->packs,
	                                     .hold = {.line = {1}, .mark = {1}, .holder = {1}, .epoch = 1}};
	next.state.info.here.interval = r->run.upto;
	next.state.mark[0] = (uint8_t)r->run.upto;
	ps_push_manifest_init(&made, &memory);
	assert_ok(ps_push_manifest_make(&r->m, &next, &made));
	ps_push_manifest_done(&r->m);
	r->m = made;
	assert_ok(ps_push_manifest_encode(&r->m, &bytes, &len));
	const struct ps_remote_put replace = {.size = sizeof(replace), .replace = 1};
	assert_ok(ps_remote_put(r->b->r, PS_PUSH_MANIFEST_KEY, bytes, len, &replace));
	ps_memory_free(&memory, bytes, len);
}

/* ---- what runs say ---- */

static uint64_t pieces_of(uint64_t size)
{
	return (size + PIECE - 1) / PIECE;
}

static void set_size(struct model *o, uint64_t size)
{
	if (size < o->size)
		memset(o->bytes + size, 0, o->size - size);
	o->size = size;
}

static void put_piece(struct runs *r, const struct model *o, const struct ps_cut_object *cut, uint64_t i)
{
	make_room(r, cut, i * PIECE);
	assert_ok(ps_pack_writer_piece(r->writer, i * PIECE, o->bytes + i * PIECE,
	                               MIN((size_t)(o->size - i * PIECE), (size_t)PIECE)));
}

static void fill_piece(struct runs *r, struct model *o, uint64_t i)
{
	blobs_fill(o->bytes + i * PIECE, MIN((size_t)(o->size - i * PIECE), (size_t)PIECE), roll(&r->dice));
}

static void say_zeros(struct runs *r, struct model *o, const struct ps_cut_object *cut, uint64_t from,
                      uint64_t to)
{
	uint64_t end = MIN(to * PIECE, o->size);
	if (from == to)
		return;
	make_room(r, cut, from * PIECE);
	assert_ok(ps_pack_writer_zeros(r->writer, from * PIECE, end - from * PIECE));
	memset(o->bytes + from * PIECE, 0, end - from * PIECE);
}

static struct ps_cut_object begin_object(struct runs *r, struct model *o, enum ps_cut_kind kind)
{
	struct ps_cut_object cut = {.id = o->id, .kind = kind, .size = o->size, .interval = r->about.upto};
	make_room(r, NULL, 0);
	assert_ok(ps_pack_writer_object(r->writer, &cut, ""));
	o->kind = kind;
	return cut;
}

static uint64_t some_size(struct runs *r)
{
	uint64_t size = PIECE + 1 + roll_below(&r->dice, (PIECES_MOST - 1) * PIECE);
	return roll_below(&r->dice, 3) ? size : size / PIECE * PIECE + PIECE;
}

static void say_whole(struct runs *r, struct model *o)
{
	set_size(o, 0);
	set_size(o, MIN(some_size(r), (uint64_t)PIECES_MOST * PIECE));
	struct ps_cut_object cut = begin_object(r, o, PS_CUT_CHUNKS);
	for (uint64_t i = 0; i < pieces_of(o->size); i++) {
		if (roll_below(&r->dice, 3) == 0)
			continue;
		fill_piece(r, o, i);
		put_piece(r, o, &cut, i);
	}
}

/* As a store makes it: what lies behind the old end is said, and so is a piece that was cut. */
static bool must_be_said(uint64_t i, uint64_t old, uint64_t now)
{
	return i >= pieces_of(old) || (now < old && i == pieces_of(now) - 1 && now % PIECE);
}

static void say_patch(struct runs *r, struct model *o)
{
	uint64_t old = o->size, zeros = 0; /* so many before i */
	if (roll_below(&r->dice, 2))
		set_size(o, MIN(some_size(r), (uint64_t)PIECES_MOST * PIECE));
	struct ps_cut_object cut = begin_object(r, o, PS_CUT_PATCH);
	uint64_t count = pieces_of(o->size);
	for (uint64_t i = 0; i < count; i++) {
		uint64_t what = roll_below(&r->dice, 8);
		bool cut_piece = o->size < old && i == count - 1 && o->size % PIECE;
		bool more = zeros > 0 && roll_below(&r->dice, 4) > 0;
		if ((what == 0 || more) && !cut_piece) {
			zeros++;
			continue;
		}
		say_zeros(r, o, &cut, i - zeros, i);
		zeros = 0;
		if (what > 2 && !must_be_said(i, old, o->size))
			continue;
		if (what < 6 || !cut_piece)
			fill_piece(r, o, i);
		put_piece(r, o, &cut, i);
	}
	say_zeros(r, o, &cut, count - zeros, count);
}

static void say_small(struct runs *r, struct model *o)
{
	set_size(o, 0);
	set_size(o, roll_below(&r->dice, 300));
	blobs_fill(o->bytes, (size_t)o->size, roll(&r->dice));
	struct ps_cut_object cut = {
	    .id = o->id, .kind = PS_CUT_BYTES, .size = o->size, .interval = r->about.upto};
	make_room(r, NULL, 0);
	assert_ok(ps_pack_writer_object(r->writer, &cut, o->bytes));
	o->kind = PS_CUT_BYTES;
}

/* In each run, so that none is without a pack. */
#define LAST ((ps_id)90 << PS_SLOT_SHIFT | 1)
static void say_last(struct runs *r)
{
	struct ps_cut_object gone = {.id = LAST, .kind = PS_CUT_GONE, .interval = r->about.upto};
	make_room(r, NULL, 0);
	assert_ok(ps_pack_writer_object(r->writer, &gone, NULL));
}

static void say_something(struct runs *r, struct model *o, bool first)
{
	uint64_t what = roll_below(&r->dice, 10);
	if (!first && what < 2)
		return;
	if (what == 2)
		say_small(r, o);
	else if (first || what == 3 || !ps_cut_has_pieces(o->kind))
		say_whole(r, o);
	else
		say_patch(r, o);
}

/* ---- what is read ---- */

static void read_object(ps_state_reader *s, const struct ps_cut_object *object, const uint8_t *bytes,
                        const struct model *o, uint8_t *to)
{
	uint64_t offset, next = 0;
	size_t len;
	int err;
	assert_int_equal(object->id, o->id);
	assert_int_equal(object->size, o->size);
	assert_true(object->kind != PS_CUT_PATCH);
	memset(to, 0, (size_t)o->size);
	if (object->kind == PS_CUT_BYTES)
		memcpy(to, bytes, (size_t)o->size);
	while (object->kind == PS_CUT_CHUNKS &&
	       (err = ps_state_reader_piece(s, &offset, &bytes, &len)) != PS_ENOTFOUND) {
		assert_ok(err);
		assert_true(offset >= next && offset % PIECE == 0);
		assert_int_equal(len, MIN(o->size - offset, (uint64_t)PIECE));
		memcpy(to + offset, bytes, len);
		next = offset + PIECE;
	}
	assert_memory_equal(to, o->bytes, (size_t)o->size);
}

/* skip: pieces of every other object are passed over. */
static void expect_state(struct runs *r, bool skip)
{
	uint8_t *to = test_malloc(PIECES_MOST * PIECE);
	struct ps_cut_object object;
	ps_state_reader *s;
	const uint8_t *bytes;
	assert_ok(ps_state_reader_new(&memory, r->b->r, &r->m, ps_push_manifest_newest(&r->m), &s));
	for (unsigned i = 0; i < OBJECTS; i++) {
		assert_ok(ps_state_reader_next(s, &object, &bytes));
		if (!skip || i % 2)
			read_object(s, &object, bytes, &r->object[i], to);
	}
	assert_ok(ps_state_reader_next(s, &object, &bytes));
	assert_int_equal(object.id, LAST);
	assert_error(ps_state_reader_next(s, &object, &bytes), PS_ENOTFOUND);
	ps_state_reader_free(s);
	test_free(to);
}

static void expect_ranges(struct runs *r)
{
	const struct ps_state_lookup_options options = {.cache_bytes = 700 << 10};
	uint8_t *to = test_malloc(PIECES_MOST * PIECE + 1);
	ps_state_lookup *l;
	assert_ok(ps_state_lookup_open(&memory, r->b->r, &options, &l));
	for (unsigned i = 0; i < 20; i++) {
		const struct model *o = &r->object[roll_below(&r->dice, OBJECTS)];
		size_t from = (size_t)roll_below(&r->dice, o->size + 1),
		       len = (size_t)roll_below(&r->dice, o->size - from + 1);
		len = i % 2 ? MIN(len, (size_t)PIECE + 9) : len;
		assert_ok(ps_state_lookup_read(l, o->id, UINT64_MAX, from, to, len));
		assert_memory_equal(to, o->bytes + from, len);
	}
	ps_state_lookup_free(l);
	test_free(to);
}

static void patches_over_patches_are_what_the_last_one_meant(void **state)
{
	uint64_t first = test_seed(301);
	(void)state;
	for (uint64_t seed = first; seed < first + seeds; seed++) {
		struct runs r;
		runs_new(&r, seed);
		uint64_t runs = 1 + roll_below(&r.dice, RUNS_MOST);
		for (uint64_t run = 0; run < runs; run++) {
			begin_run(&r, run * 10, run * 10 + 10);
			for (unsigned i = 0; i < OBJECTS; i++)
				say_something(&r, &r.object[i], run == 0);
			say_last(&r);
			end_run(&r, (uint32_t)run);
		}
		expect_state(&r, false);
		expect_state(&r, true);
		expect_ranges(&r);
		runs_free(&r);
	}
}

/* ---- what does not fit ---- */

/* What the first run has of the object that the second has a patch of. */
enum below { NOTHING, SMALL, GONE, OTHER_GENERATION, ZEROS };

static void put_below(struct runs *r, enum below below)
{
	struct model *o = &r->object[0];
	struct ps_cut_object cut = {.id = o->id, .kind = PS_CUT_ZERO, .size = 300000, .interval = 5};
	cut.id += below == OTHER_GENERATION;
	cut.id += below == NOTHING ? (ps_id)1 << PS_SLOT_SHIFT : 0;
	cut.kind = below == SMALL              ? PS_CUT_BYTES
	           : below == GONE             ? PS_CUT_GONE
	           : below == OTHER_GENERATION ? PS_CUT_CHUNKS
	                                       : PS_CUT_ZERO;
	cut.size = below == SMALL || below == GONE ? 0 : cut.size;
	make_room(r, NULL, 0);
	assert_ok(ps_pack_writer_object(r->writer, &cut, ""));
}

static void a_patch_of_what_is_not_there_is_refused(void **state)
{
	(void)state;
	for (enum below below = NOTHING; below <= ZEROS; below++) {
		struct runs r;
		struct ps_cut_object object;
		ps_state_reader *s;
		ps_state_lookup *l;
		const uint8_t *bytes;
		uint8_t one[1];
		runs_new(&r, 5);
		begin_run(&r, 0, 5);
		put_below(&r, below);
		end_run(&r, 0);
		begin_run(&r, 5, 9);
		set_size(&r.object[0], 5 * PIECE);
		object = begin_object(&r, &r.object[0], PS_CUT_PATCH);
		put_piece(&r, &r.object[0], &object, 1);
		end_run(&r, 1);
		assert_ok(ps_state_reader_new(&memory, r.b->r, &r.m, ps_push_manifest_newest(&r.m), &s));
		assert_error(ps_state_reader_next(s, &object, &bytes), PS_ECORRUPT);
		assert_non_null(strstr(ps_last_error_message(), "patch"));
		ps_state_reader_free(s);
		assert_ok(ps_state_lookup_open(&memory, r.b->r, NULL, &l));
		assert_ok(ps_state_lookup_read(l, r.object[0].id, UINT64_MAX, PIECE, one, 1));
		assert_error(ps_state_lookup_read(l, r.object[0].id, UINT64_MAX, 0, one, 1), PS_ECORRUPT);
		assert_non_null(strstr(ps_last_error_message(), "patch"));
		ps_state_lookup_free(l);
		runs_free(&r);
	}
}

/* Another run's pack under the right name. */
static void an_older_runs_pack_in_place_of_a_patch_is_refused(void **state)
{
	struct runs r;
	char first[PS_PACK_NAME], second[PS_PACK_NAME];
	struct ps_cut_object object;
	ps_state_reader *s;
	const uint8_t *bytes;
	(void)state;
	runs_new(&r, 6);
	r.pack_most = 16 << 20;
	begin_run(&r, 0, 5);
	say_whole(&r, &r.object[0]);
	end_run(&r, 0);
	ps_pack_name(&r.packs[0].about, first);
	begin_run(&r, 5, 9);
	object = begin_object(&r, &r.object[0], PS_CUT_PATCH);
	put_piece(&r, &r.object[0], &object, 1);
	end_run(&r, 1);
	ps_pack_name(&r.packs[0].about, second);
	assert_ok(ps_remote_remove(r.b->r, second));
	assert_ok(ps_remote_rename(r.b->r, first, second));
	assert_ok(ps_state_reader_new(&memory, r.b->r, &r.m, ps_push_manifest_newest(&r.m), &s));
	int err = ps_state_reader_next(s, &object, &bytes);
	assert_true(err == PS_ECORRUPT || err == PS_ESUPERSEDED);
	ps_state_reader_free(s);
	runs_free(&r);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(patches_over_patches_are_what_the_last_one_meant),
	    cmocka_unit_test(a_patch_of_what_is_not_there_is_refused),
	    cmocka_unit_test(an_older_runs_pack_in_place_of_a_patch_is_refused),
	};
	if (argc > 1)
		seeds = (unsigned)strtoul(argv[1], NULL, 10);
	ps_memory_init(&memory, NULL);
	int failed = cmocka_run_group_tests_name("large objects in runs", tests, NULL, NULL);
	if (atomic_load(&memory.used) != 0)
		return 1;
	ps_memory_done(&memory);
	return failed;
}
