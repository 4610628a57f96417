/* Packs and manifests as bytes: what was written is read again; what was damaged is refused, never read as
 * something else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "multistore/manifest.h"
#include "multistore/pack_format.h"

enum { MOST = 32 << 20, OBJECTS_MOST = 400 };

static struct ps_memory memory;

static uint64_t roll(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15U;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
	z = (z ^ z >> 27) * 0x94d049bb133111ebU;
	return z ^ z >> 31;
}

/* ---- a pack in memory ---- */

struct bytes {
	uint8_t *data;
	size_t len, at;
};

static int append(void *arg, const void *data, size_t len)
{
	struct bytes *b = arg;
	if (b->len + len > MOST)
		return PS_ENOSPC;
	memcpy(b->data + b->len, data, len);
	b->len += len;
	return PS_OK;
}

static int read_on(void *arg, void *buf, size_t len)
{
	struct bytes *b = arg;
	if (len > b->len - b->at)
		return PS_EIO;
	memcpy(buf, b->data + b->at, len);
	b->at += len;
	return PS_OK;
}

static const struct ps_pack_about about = {.mark = {7, 1}, .number = 3, .since = 10, .upto = 20};

/* The bytes of a piece or an object: half of them compress. */
static void contents(uint8_t *to, size_t len, uint64_t seed)
{
	uint64_t state = seed;
	for (size_t i = 0; i < len; i++)
		to[i] = seed % 2 ? (uint8_t)(i / 64 + seed) : (uint8_t)roll(&state);
}

struct made {
	struct ps_cut_object object;
	uint64_t pieces, zeros; /* bit i: piece i is there; is said to be zeros */
};

static struct ps_cut_object random_object(uint64_t *state, ps_id after)
{
	static const unsigned sizes[] = {1, 40, 300, 5000, PS_CUT_PIECE};
	struct ps_cut_object o = {.id = ((ps_slot_of(after) + 1 + roll(state) % 3) << 24) |
	                                (1 + roll(state) % 5),
	                          .interval = 11 + roll(state) % 10};
	switch (roll(state) % 8) {
	case 0:
		o.kind = PS_CUT_GONE;
		o.crashes = roll(state) % 4;
		break;
	case 1:
		o.kind = PS_CUT_ZERO;
		o.size = roll(state) % 100000;
		break;
	case 2:
		o.kind = roll(state) % 2 ? PS_CUT_CHUNKS : PS_CUT_PATCH;
		o.size = 1 + roll(state) % (5 * PS_CUT_PIECE);
		break;
	default:
		o.kind = PS_CUT_BYTES;
		o.size = roll(state) % (sizes[roll(state) % 5] + 1);
	}
	return o;
}

static size_t piece_len(const struct ps_cut_object *o, uint64_t i)
{
	uint64_t left = o->size - i * PS_CUT_PIECE;
	return left < PS_CUT_PIECE ? (size_t)left : PS_CUT_PIECE;
}

/* One piece, or two in one item. */
static void write_zeros(ps_pack_writer *w, struct made *m, uint64_t *i)
{
	uint64_t from = *i * PS_CUT_PIECE, left = m->object.size - from;
	uint64_t len = left > 2 * PS_CUT_PIECE ? 2 * PS_CUT_PIECE : piece_len(&m->object, *i);
	assert_int_equal(ps_pack_writer_zeros(w, from, len), PS_OK);
	for (uint64_t end = from + len; from < end; from += PS_CUT_PIECE)
		m->zeros |= 1U << from / PS_CUT_PIECE;
	*i += len > PS_CUT_PIECE;
}

static void write_pieces(ps_pack_writer *w, struct made *m, uint64_t *state)
{
	static uint8_t piece[PS_CUT_PIECE];
	for (uint64_t i = 0; i * PS_CUT_PIECE < m->object.size; i++) {
		if (roll(state) % 3 == 0) {
			if (m->object.kind == PS_CUT_PATCH && roll(state) % 2)
				write_zeros(w, m, &i);
			continue;
		}
		m->pieces |= 1U << i;
		contents(piece, piece_len(&m->object, i), m->object.id + i);
		assert_int_equal(ps_pack_writer_piece(w, i * PS_CUT_PIECE, piece, piece_len(&m->object, i)),
		                 PS_OK);
	}
}

static size_t write_pack(struct bytes *b, struct made *made, uint64_t seed, int level,
                         struct ps_pack_tail *tail)
{
	static uint8_t buf[PS_CUT_PIECE];
	uint64_t state = seed, bytes;
	size_t count = 1 + roll(&state) % OBJECTS_MOST;
	ps_pack_writer *w;
	b->len = b->at = 0;
	assert_int_equal(ps_pack_writer_new(&memory, &about, level, NULL, 0, append, b, &w), PS_OK);
	for (size_t i = 0; i < count; i++) {
		made[i] = (struct made){.object = random_object(&state, i ? made[i - 1].object.id : 0)};
		struct ps_cut_object *o = &made[i].object;
		if (o->kind == PS_CUT_BYTES)
			contents(buf, (size_t)o->size, o->id);
		uint64_t most = ps_pack_writer_bytes(w, o->kind == PS_CUT_BYTES ? (size_t)o->size : 0);
		assert_int_equal(ps_pack_writer_object(w, o, buf), PS_OK);
		if (ps_cut_has_pieces(o->kind))
			write_pieces(w, &made[i], &state);
		else
			assert_true(b->len <= most);
	}
	assert_int_equal(ps_pack_writer_finish(w, false, tail, &bytes), PS_OK);
	assert_int_equal(bytes, b->len);
	ps_pack_writer_free(w);
	return count;
}

static void same_object(const struct ps_cut_object *a, const struct ps_cut_object *b)
{
	assert_int_equal(a->id, b->id);
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->size, b->size);
	assert_int_equal(a->interval, b->interval);
	assert_int_equal(a->crashes, b->crashes);
}

static void read_pack(struct bytes *b, const struct made *made, size_t count)
{
	static uint8_t buf[PS_CUT_PIECE];
	struct ps_pack_item item;
	ps_pack_reader *r;
	size_t n = 0;
	uint64_t pieces = 0, zeros = 0;
	int err;
	b->at = 0;
	assert_int_equal(ps_pack_reader_new(&memory, &about, b->len, read_on, b, &r), PS_OK);
	while ((err = ps_pack_reader_next(r, &item)) == PS_OK) {
		for (uint64_t i = 0; i < item.zeros; i++)
			zeros |= 1U << (item.offset / PS_CUT_PIECE + i);
		if (item.zeros)
			continue;
		if (item.piece) {
			assert_true(made[n - 1].pieces >> (item.offset / PS_CUT_PIECE) & 1);
			pieces |= 1U << (item.offset / PS_CUT_PIECE);
			contents(buf, item.len, item.object.id + item.offset / PS_CUT_PIECE);
			assert_memory_equal(buf, item.bytes, item.len);
			continue;
		}
		assert_true(n == 0 || (pieces == made[n - 1].pieces && zeros == made[n - 1].zeros));
		assert_true(n < count);
		pieces = zeros = 0;
		same_object(&item.object, &made[n++].object);
		if (item.object.kind == PS_CUT_BYTES) {
			contents(buf, item.len, item.object.id);
			assert_memory_equal(buf, item.bytes, item.len);
		}
	}
	assert_int_equal(err, PS_ENOTFOUND);
	assert_int_equal(n, count);
	assert_int_equal(pieces, made[n - 1].pieces);
	assert_int_equal(ps_pack_reader_tail(r)->index,
	                 b->len - PS_PACK_TAIL - 16 * ps_pack_reader_tail(r)->blocks);
	ps_pack_reader_free(r);
}

static void what_was_written_is_read(void **state)
{
	struct bytes b = {.data = malloc(MOST)};
	struct made *made = malloc(OBJECTS_MOST * sizeof(*made));
	struct ps_pack_tail tail, again;
	(void)state;
	for (uint64_t seed = 1; seed <= 6; seed++) {
		size_t count = write_pack(&b, made, seed, seed % 3 ? 1 : 0, &tail);
		read_pack(&b, made, count);
		assert_int_equal(ps_pack_tail_decode(b.data + b.len - PS_PACK_TAIL, b.len, &again), PS_OK);
		assert_int_equal(again.first, made[0].object.id);
		assert_int_equal(again.last, made[count - 1].object.id);
	}
	free(b.data);
	free(made);
}

/* Reads all of it; PS_ENOTFOUND if it is accepted. */
static int try_pack(struct bytes *b, const struct ps_pack_about *as)
{
	struct ps_pack_item item;
	ps_pack_reader *r;
	b->at = 0;
	assert_int_equal(ps_pack_reader_new(&memory, as, b->len, read_on, b, &r), PS_OK);
	int err;
	do
		err = ps_pack_reader_next(r, &item);
	while (err == PS_OK);
	ps_pack_reader_free(r);
	return err;
}

/* Contents are remote's to seal, so a changed bit in them may pass; all that says what they are may not. */
static void a_cut_or_changed_pack_is_refused(void **state)
{
	struct bytes b = {.data = malloc(MOST)};
	struct made *made = malloc(OBJECTS_MOST * sizeof(*made));
	struct ps_pack_tail tail;
	uint64_t dice = 5;
	(void)state;
	for (uint64_t seed = 100; seed < 101; seed++) {
		(void)write_pack(&b, made, seed, 1, &tail);
		size_t whole = b.len;
		for (unsigned i = 0; i < 60; i++) {
			b.len = i < 40 ? whole - 1 - i * 7 % whole : roll(&dice) % whole;
			assert_int_equal(try_pack(&b, &about), PS_ECORRUPT);
		}
		b.len = whole;
		for (size_t i = 0; i < 64; i++) { /* the head */
			b.data[i] ^= 1;
			int err = try_pack(&b, &about);
			assert_true(err == PS_ECORRUPT || err == PS_EVERSION);
			b.data[i] ^= 1;
		}
		for (size_t i = (size_t)tail.index - 32; i < whole; i += 3) { /* end, index and tail */
			b.data[i] ^= 1;
			int err = try_pack(&b, &about);
			assert_true(err == PS_ECORRUPT || err == PS_EVERSION);
			b.data[i] ^= 1;
		}
		assert_int_equal(try_pack(&b, &about), PS_ENOTFOUND);
	}
	free(b.data);
	free(made);
}

static void a_pack_of_another_push_is_refused(void **state)
{
	struct bytes b = {.data = malloc(MOST)};
	struct made *made = malloc(OBJECTS_MOST * sizeof(*made));
	struct ps_pack_tail tail;
	(void)state;
	(void)write_pack(&b, made, 9, 1, &tail);
	struct ps_pack_about other[4] = {about, about, about, about};
	other[0].mark[0] ^= 1;
	other[1].number++;
	other[2].since--;
	other[3].upto++;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(try_pack(&b, &other[i]), PS_ECORRUPT);
	free(b.data);
	free(made);
}

static void the_writer_refuses_what_no_cut_gives(void **state)
{
	struct bytes b = {.data = malloc(MOST)};
	struct ps_cut_object o = {.id = 5 << 24 | 1, .kind = PS_CUT_ZERO, .size = 9, .interval = 15};
	struct ps_pack_tail tail;
	uint64_t bytes;
	ps_pack_writer *w;
	(void)state;
	assert_int_equal(ps_pack_writer_new(&memory, &about, 0, NULL, 0, append, &b, &w), PS_OK);
	assert_int_equal(ps_pack_writer_finish(w, false, &tail, &bytes), PS_EINVAL);
	assert_int_equal(ps_pack_writer_object(w, &o, NULL), PS_OK);
	assert_int_equal(ps_pack_writer_object(w, &o, NULL), PS_EINVAL); /* the same slot */
	assert_int_equal(ps_pack_writer_piece(w, 0, "x", 1), PS_EINVAL); /* of an object without pieces */
	o.id = 6 << 24 | 1;
	o.interval = 10;
	assert_int_equal(ps_pack_writer_object(w, &o, NULL), PS_EINVAL); /* not changed since */
	o.interval = 21;
	assert_int_equal(ps_pack_writer_object(w, &o, NULL), PS_EINVAL);
	o.interval = 20;
	o.kind = PS_CUT_BYTES;
	o.size = PS_CUT_PIECE + 1;
	assert_int_equal(ps_pack_writer_object(w, &o, "x"), PS_EINVAL);
	o = (struct ps_cut_object){
	    .id = 7 << 24 | 1, .kind = PS_CUT_PATCH, .size = 3 * PS_CUT_PIECE, .interval = 20};
	assert_int_equal(ps_pack_writer_object(w, &o, NULL), PS_OK);
	assert_int_equal(ps_pack_writer_zeros(w, 0, 4 * PS_CUT_PIECE), PS_EINVAL);
	assert_int_equal(ps_pack_writer_zeros(w, 0, PS_CUT_PIECE + 1), PS_EINVAL);
	assert_int_equal(ps_pack_writer_zeros(w, PS_CUT_PIECE, PS_CUT_PIECE), PS_OK);
	assert_int_equal(ps_pack_writer_zeros(w, PS_CUT_PIECE, PS_CUT_PIECE), PS_EINVAL);
	o.id = 8 << 24 | 1;
	o.kind = PS_CUT_CHUNKS;
	assert_int_equal(ps_pack_writer_object(w, &o, NULL), PS_OK);
	assert_int_equal(ps_pack_writer_zeros(w, 0, PS_CUT_PIECE), PS_EINVAL); /* whole: they are */
	ps_pack_writer_free(w);
	struct ps_pack_about first = {.mark = {7}, .upto = 20};
	assert_int_equal(ps_pack_writer_new(&memory, &first, 0, NULL, 0, append, &b, &w), PS_OK);
	o.kind = PS_CUT_PATCH;
	assert_int_equal(ps_pack_writer_object(w, &o, NULL), PS_EINVAL); /* of nothing */
	ps_pack_writer_free(w);
	free(b.data);
}

static void bytes_that_do_not_shrink_are_stored_as_they_are(void **state)
{
	struct bytes b = {.data = malloc(MOST)};
	uint8_t *noise = malloc(PS_CUT_PIECE);
	struct ps_pack_tail tail;
	uint64_t bytes;
	ps_pack_writer *w;
	(void)state;
	for (unsigned text = 0; text < 2; text++) {
		b.len = 0;
		contents(noise, PS_CUT_PIECE, 2 + text);
		assert_int_equal(ps_pack_writer_new(&memory, &about, 1, NULL, 0, append, &b, &w), PS_OK);
		for (ps_id i = 1; i <= 32; i++) {
			struct ps_cut_object o = {
			    .id = i << 24 | 1, .kind = PS_CUT_BYTES, .size = PS_CUT_PIECE, .interval = 12};
			assert_int_equal(ps_pack_writer_object(w, &o, noise), PS_OK);
		}
		assert_int_equal(ps_pack_writer_finish(w, false, &tail, &bytes), PS_OK);
		ps_pack_writer_free(w);
		if (text)
			assert_true(bytes < 32 * PS_CUT_PIECE / 10);
	}
	free(noise);
	free(b.data);
}

/* Contents that nearly vanish: the pack is full before its size says so. */
static void tail_and_index_fit_what_readers_ask_for_first(void **state)
{
	struct bytes b = {.data = malloc(MOST)};
	struct ps_pack_tail tail;
	ps_pack_writer *w;
	uint64_t bytes;
	uint8_t *zeros = calloc(1, PS_CUT_PIECE);
	(void)state;
	assert_non_null(b.data);
	assert_non_null(zeros);
	assert_int_equal(ps_pack_writer_new(&memory, &about, 1, NULL, 0, append, &b, &w), PS_OK);
	struct ps_cut_object o = {.kind = PS_CUT_BYTES, .size = PS_CUT_PIECE, .interval = 11};
	for (uint64_t slot = 1; !ps_pack_writer_is_full(w); slot++) {
		assert_true(slot < 10000);
		o.id = slot << 24 | 1;
		assert_int_equal(ps_pack_writer_object(w, &o, zeros), PS_OK);
	}
	assert_int_equal(ps_pack_writer_finish(w, false, &tail, &bytes), PS_OK);
	assert_in_range(tail.blocks, 2000, 2040);
	assert_in_range(bytes - tail.index, 32000, PACK_END);
	ps_pack_writer_free(w);
	free(zeros);
	free(b.data);
}

static void names_are_parsed_as_they_are_written(void **state)
{
	char name[PS_PACK_NAME];
	uint8_t mark[PS_PACK_MARK];
	uint32_t number;
	(void)state;
	struct ps_pack_about big = about;
	big.number = UINT32_MAX;
	ps_pack_name(&big, name);
	assert_int_equal(ps_pack_name_parse(name, mark, &number), PS_OK);
	assert_int_equal(number, UINT32_MAX);
	assert_memory_equal(mark, big.mark, PS_PACK_MARK);
	ps_pack_name(&about, name);
	assert_string_equal(name, "pack/07010000000000000000000000000000/3");
	static const char *const none[] = {"pack/",
	                                   "pack/07010000000000000000000000000000",
	                                   "store",
	                                   "pack/07010000000000000000000000000000/03",
	                                   "pack/07010000000000000000000000000000/3 (conflict a 2)",
	                                   "pack/0701000000000000000000000000000G/3",
	                                   "pack/07010000000000000000000000000000/4294967296"};
	for (unsigned i = 0; i < sizeof(none) / sizeof(*none); i++)
		assert_int_equal(ps_pack_name_parse(none[i], mark, &number), PS_EINVAL);
}

/* ---- manifests ---- */

static struct ps_push_manifest_next next_push(uint32_t keep, uint64_t since, uint64_t upto,
                                              const struct ps_push_manifest_pack *pack)
{
	struct ps_push_manifest_next next = {.keep = keep,
	                                     .packs = pack,
	                                     .history = 2,
	                                     .hold = {.line = {1},
	                                              .mark = {(uint8_t)upto},
	                                              .holder = {2},
	                                              .epoch = 3,
	                                              .since_ns = 4,
	                                              .text = "host/1"}};
	next.run = (struct ps_push_manifest_run){
	    .since = since, .upto = upto, .packs = 1, .objects = 1, .contents = 50};
	next.run.bytes = pack->bytes;
	next.state.info.here.interval = upto;
	next.state.mark[0] = (uint8_t)upto;
	return next;
}

static void push_one(struct ps_push_manifest *m, uint32_t keep, uint64_t since, uint64_t upto)
{
	struct ps_push_manifest_pack pack = {.about = {.mark = {(uint8_t)upto}, .since = since, .upto = upto},
	                                     .first = 1,
	                                     .last = 77,
	                                     .bytes = 500};
	struct ps_push_manifest_next next = next_push(keep, since, upto, &pack);
	struct ps_push_manifest made;
	ps_push_manifest_init(&made, &memory);
	assert_int_equal(ps_push_manifest_make(m, &next, &made), PS_OK);
	ps_push_manifest_done(m);
	*m = made;
}

static void three_states(struct ps_push_manifest *m)
{
	ps_push_manifest_init(m, &memory);
	push_one(m, 0, 0, 5);
	push_one(m, 1, 5, 8);
	push_one(m, 2, 8, 9);
	push_one(m, 1, 5, 11); /* the runs to 8 and to 9 stay for the states before */
}

static void states_keep_the_runs_that_they_need(void **state)
{
	struct ps_push_manifest m;
	(void)state;
	three_states(&m);
	assert_int_equal(m.state_count, 3);
	assert_int_equal(m.run_count, 4);
	assert_int_equal(m.states[0].runs, 2);
	assert_int_equal(m.states[1].runs, 3);
	push_one(&m, 0, 0, 12);
	push_one(&m, 1, 12, 13);
	push_one(&m, 1, 12, 14);
	assert_int_equal(m.state_count, 3);
	assert_int_equal(m.run_count, 3); /* to 12, 13 and 14: what only older states had is gone */
	assert_int_equal(m.pack_count, 3);
	ps_push_manifest_done(&m);
}

static void a_manifest_is_read_as_it_was_written(void **state)
{
	struct ps_push_manifest m, again;
	uint8_t *bytes, *second;
	size_t len, second_len;
	(void)state;
	three_states(&m);
	assert_int_equal(ps_push_manifest_encode(&m, &bytes, &len), PS_OK);
	ps_push_manifest_init(&again, &memory);
	assert_int_equal(ps_push_manifest_decode(bytes, len, &again), PS_OK);
	assert_int_equal(ps_push_manifest_encode(&again, &second, &second_len), PS_OK);
	assert_int_equal(len, second_len);
	assert_memory_equal(bytes, second, len);
	assert_int_equal(again.runs[1].bytes, m.runs[1].bytes);
	assert_memory_equal(&again.hold, &m.hold, sizeof(m.hold));
	ps_memory_free(&memory, second, second_len);
	ps_memory_free(&memory, bytes, len);
	ps_push_manifest_done(&again);
	ps_push_manifest_done(&m);
}

static void a_cut_or_changed_manifest_is_refused_or_another_one(void **state)
{
	struct ps_push_manifest m, again;
	uint8_t *bytes, *second;
	size_t len, second_len;
	unsigned refused = 0;
	(void)state;
	three_states(&m);
	assert_int_equal(ps_push_manifest_encode(&m, &bytes, &len), PS_OK);
	for (size_t cut = 0; cut < len; cut++) {
		ps_push_manifest_init(&again, &memory);
		assert_int_equal(ps_push_manifest_decode(bytes, cut, &again), PS_ECORRUPT);
	}
	for (size_t i = 0; i < len; i++) {
		ps_push_manifest_init(&again, &memory);
		bytes[i] ^= 0x10;
		if (ps_push_manifest_decode(bytes, len, &again) != PS_OK) {
			refused++;
		} else {
			assert_int_equal(ps_push_manifest_encode(&again, &second, &second_len), PS_OK);
			assert_memory_equal(bytes, second, len);
			ps_memory_free(&memory, second, second_len);
		}
		ps_push_manifest_done(&again);
		bytes[i] ^= 0x10;
	}
	assert_true(refused > 150);
	ps_memory_free(&memory, bytes, len);
	ps_push_manifest_done(&m);
}

static void a_hold_that_cannot_be_is_refused(void **state)
{
	static const struct ps_push_hold holds[] = {
	    {.mark = {1}, .holder = {2}, .epoch = 1},
	    {.line = {1}, .holder = {2}, .epoch = 1},
	    {.line = {1}, .mark = {1}, .epoch = 1},
	    {.line = {1}, .mark = {1}, .holder = {2}},
	    {.line = {1}, .mark = {1}, .holder = {2}, .epoch = 1, .text = "a\033[2J"},
	    {.line = {1}, .mark = {1}, .holder = {2}, .epoch = UINT64_MAX},
	};
	struct ps_push_manifest m, again;
	uint8_t *bytes;
	size_t len;
	(void)state;
	for (unsigned i = 0; i < sizeof(holds) / sizeof(*holds); i++) {
		three_states(&m);
		m.hold = holds[i];
		assert_int_equal(ps_push_manifest_encode(&m, &bytes, &len), PS_OK);
		ps_push_manifest_init(&again, &memory);
		assert_int_equal(ps_push_manifest_decode(bytes, len, &again), PS_ECORRUPT);
		ps_memory_free(&memory, bytes, len);
		ps_push_manifest_done(&m);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_hold_that_cannot_be_is_refused),
	    cmocka_unit_test(what_was_written_is_read),
	    cmocka_unit_test(a_cut_or_changed_pack_is_refused),
	    cmocka_unit_test(a_pack_of_another_push_is_refused),
	    cmocka_unit_test(the_writer_refuses_what_no_cut_gives),
	    cmocka_unit_test(bytes_that_do_not_shrink_are_stored_as_they_are),
	    cmocka_unit_test(tail_and_index_fit_what_readers_ask_for_first),
	    cmocka_unit_test(names_are_parsed_as_they_are_written),
	    cmocka_unit_test(states_keep_the_runs_that_they_need),
	    cmocka_unit_test(a_manifest_is_read_as_it_was_written),
	    cmocka_unit_test(a_cut_or_changed_manifest_is_refused_or_another_one),
	};
	ps_memory_init(&memory, NULL);
	int failed = cmocka_run_group_tests_name("packs", tests, NULL, NULL);
	if (atomic_load(&memory.used) != 0)
		return 1;
	ps_memory_done(&memory);
	return failed;
}
