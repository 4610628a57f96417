/* Single objects and ranges of pushed states: what is found is what was pushed, or refused; and what it
 * costs. usage: state_lookup_test [SEEDS [THOUSANDS of objects]] */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "multistore/push_internal.h"
#include "multistore/state_lookup.h"
#include "tests/multistore/push_fixture.h"

static unsigned seeds = 3;
static size_t thousands = 20;
static struct ps_memory memory;

enum { READERS = 6, CACHE = 600 << 10 };

/* What is kept is less than what most of the states here take. */
static ps_state_lookup *lookup_keeping(ps_remote *r, uint64_t state, size_t bytes)
{
	const struct ps_state_lookup_options options = {.state = state, .cache_bytes = bytes};
	ps_state_lookup *l;
	assert_ok(ps_state_lookup_open(&memory, r, &options, &l));
	return l;
}

static ps_state_lookup *lookup_open(ps_remote *r, uint64_t state)
{
	return lookup_keeping(r, state, CACHE);
}

/* ---- right ---- */

static uint8_t *get_object(ps_storer *s, ps_id id, struct ps_info *info)
{
	size_t len;
	assert_ok(ps_info(s, id, info));
	uint8_t *bytes = test_malloc((size_t)info->size + 1);
	assert_ok(ps_get(s, id, bytes, (size_t)info->size, &len));
	return bytes;
}

struct comparing {
	ps_state_lookup *l;
	ps_storer *s;
	struct dice *dice;
	size_t objects;
};

static void compare_range(struct comparing *c, ps_id id, uint64_t interval, const uint8_t *should,
                          size_t size)
{
	size_t from = (size_t)roll_below(c->dice, size + 1),
	       len = (size_t)roll_below(c->dice, size - from + 1);
	uint8_t *got = test_malloc(len + 1);
	got[len] = 0x5a;
	assert_ok(ps_state_lookup_read(c->l, id, interval, from, got, len));
	assert_memory_equal(got, should + from, len);
	assert_int_equal(got[len], 0x5a);
	test_free(got);
}

/* Whole, at the object's own interval and as the newest, and by ranges. */
static int compare_object(void *arg, ps_id id)
{
	struct comparing *c = arg;
	struct ps_cut_object o;
	struct ps_info info;
	uint8_t *should = get_object(c->s, id, &info), *got = test_malloc((size_t)info.size + 1);
	assert_ok(ps_state_lookup_find(c->l, id, UINT64_MAX, &o));
	assert_int_equal(o.id, id);
	assert_int_equal(o.size, info.size);
	assert_ok(ps_state_lookup_read(c->l, id, o.interval, 0, got, (size_t)o.size));
	assert_memory_equal(got, should, (size_t)o.size);
	for (unsigned i = 0; i < 3; i++)
		compare_range(c, id, i == 0 ? UINT64_MAX : o.interval, should, (size_t)o.size);
	assert_error(ps_state_lookup_read(c->l, id, o.interval, o.size, got, 1), PS_ERANGE);
	test_free(got);
	test_free(should);
	c->objects++;
	return 0;
}

static void expect_all(struct world *w, ps_state_lookup *l, ps_storer *s)
{
	struct comparing c = {.l = l, .s = s, .dice = &w->dice};
	assert_ok(ps_each(s, PS_ID_NONE, compare_object, &c));
	for (size_t i = 0; i < w->id_count; i++) {
		struct ps_cut_object o;
		struct ps_info info;
		if (ps_info(s, w->ids[i], &info) == PS_ENOTFOUND)
			assert_error(ps_state_lookup_find(l, w->ids[i], UINT64_MAX, &o), PS_ENOTFOUND);
	}
}

static void every_object_is_found_as_it_was_pushed(void **state)
{
	uint64_t first = test_seed(71);
	(void)state;
	for (uint64_t seed = first; seed < first + seeds; seed++) {
		struct world w;
		world_new(&w, "mem", seed);
		w.options.pack_bytes = seed % 3 == 0 ? 100000 : seed % 3 == 1 ? 700000 : 0;
		w.options.compression = seed % 2 ? 1 : -1;
		change_some(&w, 60);
		(void)push_now(&w);
		ps_state_lookup *l = lookup_open(w.b->r, 0);
		for (unsigned push = 0; push < 5; push++) {
			expect_all(&w, l, w.s);
			change_some(&w, push % 2 ? 3 : 30);
			(void)push_now(&w);
			assert_ok(ps_state_lookup_renew(l, NULL));
		}
		expect_all(&w, l, w.s);
		struct ps_state_lookup_figures f;
		ps_state_lookup_figures(l, &f);
		assert_int_equal(f.renewed, 5);
		ps_state_lookup_free(l);
		world_free(&w);
	}
}

/* An object that goes on over many packs, with holes; read forwards, backwards, and here and there. */
static void a_large_object_is_read_by_range(void **state)
{
	enum { SIZE = 5000000 };
	struct world w;
	struct ps_info info;
	ps_id id;
	(void)state;
	world_new(&w, "mem", 72);
	w.options.pack_bytes = 300000;
	change_some(&w, 10);
	uint8_t *bytes = blobs_bytes(SIZE, 5);
	assert_ok(ps_alloc(w.s, 3 * SIZE, &id));
	assert_ok(ps_write_at(w.s, id, 100000, bytes, SIZE));
	assert_ok(ps_write_at(w.s, id, 2 * SIZE, bytes, SIZE / 2));
	change_some(&w, 10);
	(void)push_now(&w);
	test_free(bytes);
	ps_state_lookup *l = lookup_open(w.b->r, 0);
	bytes = get_object(w.s, id, &info);
	uint8_t *got = test_malloc(SIZE);
	for (unsigned i = 0; i < 60; i++) {
		uint64_t offset = i < 20   ? i * 700000
		                  : i < 40 ? (39 - i) * 700000
		                           : roll_below(&w.dice, 3 * SIZE);
		size_t len = (size_t)roll_below(&w.dice, i % 7 == 0 ? SIZE : 100000);
		len = len < info.size - offset ? len : (size_t)(info.size - offset);
		assert_ok(ps_state_lookup_read(l, id, UINT64_MAX, offset, got, len));
		assert_memory_equal(got, bytes + offset, len);
	}
	test_free(got);
	test_free(bytes);
	ps_state_lookup_free(l);
	world_free(&w);
}

/* Written here and there, made shorter and longer, over many pushes: what is there comes from many runs. */
static void a_patched_object_is_read_from_all_its_runs(void **state)
{
	enum { SIZE = 3000000, PUSHES = 12 };
	struct world w;
	ps_id id;
	(void)state;
	world_new(&w, "mem", test_seed(81));
	w.options.pack_bytes = 500000;
	uint8_t *bytes = blobs_bytes(SIZE, 5), *got = test_malloc(SIZE);
	assert_ok(ps_put(w.s, bytes, SIZE, &id));
	(void)push_now(&w);
	ps_state_lookup *l = lookup_open(w.b->r, 0);
	for (unsigned i = 0; i < PUSHES; i++) {
		struct ps_info info;
		if (i % 4 == 3)
			assert_ok(ps_resize(w.s, id, roll_below(&w.dice, SIZE)));
		if (i % 4 == 0)
			assert_ok(ps_resize(w.s, id, SIZE - roll_below(&w.dice, 100000)));
		assert_ok(ps_write_at(w.s, id, roll_below(&w.dice, SIZE - 100000), bytes + i,
		                      1 + roll_below(&w.dice, 90000)));
		assert_true(push_now(&w).bytes < SIZE);
		uint8_t *should = get_object(w.s, id, &info);
		assert_ok(ps_state_lookup_renew(l, NULL));
		assert_ok(ps_state_lookup_read(l, id, UINT64_MAX, 0, got, (size_t)info.size));
		assert_memory_equal(got, should, (size_t)info.size);
		for (unsigned k = 0; k < 10; k++) {
			size_t from = (size_t)roll_below(&w.dice, info.size);
			size_t len = (size_t)roll_below(&w.dice, info.size - from);
			assert_ok(ps_state_lookup_read(l, id, UINT64_MAX, from, got, len));
			assert_memory_equal(got, should + from, len);
		}
		test_free(should);
	}
	test_free(got);
	test_free(bytes);
	ps_state_lookup_free(l);
	world_free(&w);
}

/* Two intervals of one object: each in the states that have it so. */
static void earlier_states_have_what_was_then(void **state)
{
	struct world w;
	struct ps_cut_object before, after;
	char got[8];
	ps_id id;
	(void)state;
	world_new(&w, "mem", 73);
	w.options.history = 1;
	assert_ok(ps_put(w.s, "before", 6, &id));
	struct ps_push_result first = push_now(&w);
	ps_state_lookup *l = lookup_open(w.b->r, 0), *old = lookup_open(w.b->r, first.state);
	assert_ok(ps_state_lookup_find(l, id, UINT64_MAX, &before));
	assert_ok(ps_replace(w.s, id, "after", 5));
	struct ps_push_result second = push_now(&w);
	/* Who asks for what the newest state that it knows is too old for takes the newer one. */
	assert_ok(ps_state_lookup_find(l, id, second.state, &after));
	assert_int_equal(ps_state_lookup_state(l), second.state);
	assert_true(after.interval > before.interval);
	assert_ok(ps_state_lookup_read(l, id, before.interval, 0, got, 6));
	assert_memory_equal(got, "before", 6);
	assert_ok(ps_state_lookup_read(l, id, after.interval, 0, got, 5));
	assert_memory_equal(got, "after", 5);
	assert_ok(ps_state_lookup_read(old, id, UINT64_MAX, 0, got, 6));
	assert_memory_equal(got, "before", 6);
	assert_int_equal(ps_state_lookup_state(old), first.state);
	assert_ok(ps_delete(w.s, id));
	(void)push_now(&w);
	assert_ok(ps_state_lookup_renew(l, NULL));
	assert_error(ps_state_lookup_find(l, id, UINT64_MAX, &after), PS_ENOTFOUND);
	assert_ok(ps_state_lookup_read(l, id, second.state, 0, got, 5));
	assert_error(ps_state_lookup_renew(old, NULL), PS_ENOTFOUND);
	ps_state_lookup_free(old);
	ps_state_lookup_free(l);
	world_free(&w);
}

/* Its packs are dropped by a push that stands for all before: one look at the manifest, and it goes on. */
static void a_dropped_pack_is_looked_for_in_the_newer_state(void **state)
{
	struct world w;
	struct ps_state_lookup_figures f;
	struct ps_cut_object before;
	char got[8];
	ps_id id[4], changed, bulky;
	(void)state;
	world_new(&w, "mem", 74);
	for (unsigned i = 0; i < 4; i++)
		assert_ok(ps_put(w.s, "constant", 8, &id[i]));
	assert_ok(ps_put(w.s, "one", 3, &changed));
	uint8_t *bytes = blobs_bytes(50000, 1);
	assert_ok(ps_put(w.s, bytes, 50000, &bulky));
	test_free(bytes);
	(void)push_now(&w);
	ps_state_lookup *l = lookup_open(w.b->r, 0), *other = lookup_open(w.b->r, 0);
	assert_ok(ps_state_lookup_find(other, changed, UINT64_MAX, &before));
	ps_state_lookup_free(other);
	assert_ok(ps_replace(w.s, changed, "another", 7));
	assert_ok(ps_replace(w.s, bulky, "", 0));
	assert_int_equal(push_now(&w).removed_packs, 1);
	for (unsigned i = 0; i < 4; i++) {
		assert_ok(ps_state_lookup_read(l, id[i], UINT64_MAX, 0, got, 8));
		assert_memory_equal(got, "constant", 8);
	}
	ps_state_lookup_figures(l, &f);
	assert_int_equal(f.renewed, 1);
	/* What it was is in no state any more. */
	assert_error(ps_state_lookup_find(l, changed, before.interval, &before), PS_ESUPERSEDED);
	ps_state_lookup_free(l);
	world_free(&w);
}

/* ---- refused ---- */

struct lying {
	struct world w;
	ps_mem_snapshot *past;
	struct ps_pad_name names[256];
	size_t name_count;
	unsigned right, refused;
};

/* A new lookup, which has nothing in its cache, for each read under the rule. */
static void read_under(struct lying *l, const struct ps_mem_rule *rule, ps_id id)
{
	struct ps_info info;
	unsigned number;
	uint8_t *should = get_object(l->w.s, id, &info), *got = test_malloc((size_t)info.size + 1);
	ps_state_lookup *lookup = lookup_open(l->w.b->r, 0);
	assert_ok(ps_mem_rule_add(blobs_world(l->w.b), rule, &number));
	int err = ps_state_lookup_read(lookup, id, UINT64_MAX, 0, got, (size_t)info.size);
	ps_mem_rule_remove(blobs_world(l->w.b), 0);
	if (err == PS_OK) {
		assert_memory_equal(got, should, (size_t)info.size);
		l->right++;
	} else {
		if (!is_refusal_of_push(err) || !strstr(ps_last_error_message(), "pack/"))
			fail_msg("fault %d: %s (%s)", (int)rule->fault, ps_error_name(err),
			         ps_last_error_message());
		l->refused++;
		/* It was not kept: the next one is right. */
		assert_ok(ps_state_lookup_read(lookup, id, UINT64_MAX, 0, got, (size_t)info.size));
		assert_memory_equal(got, should, (size_t)info.size);
	}
	ps_state_lookup_free(lookup);
	test_free(got);
	test_free(should);
}

static ps_id some_id(struct world *w)
{
	for (;;) {
		ps_id id = w->ids[roll_below(&w->dice, w->id_count)];
		struct ps_info info;
		if (ps_info(w->s, id, &info) == PS_OK && info.size > 0)
			return id;
	}
}

static void no_lie_makes_other_bytes(void **state)
{
	static const enum ps_mem_fault faults[] = {PS_MEM_ABSENT,   PS_MEM_OLD,    PS_MEM_FROZEN, PS_MEM_FLIP,
	                                           PS_MEM_TRUNCATE, PS_MEM_EXTEND, PS_MEM_OTHER};
	struct lying l = {.right = 0};
	(void)state;
	world_new(&l.w, "mem", test_seed(75));
	l.w.options.pack_bytes = 200000;
	ps_mem_keep_past(blobs_world(l.w.b), 3);
	change_some(&l.w, 60);
	(void)push_now(&l.w);
	assert_ok(ps_mem_snapshot_take(blobs_world(l.w.b), 0, &l.past));
	change_some(&l.w, 20);
	(void)push_now(&l.w);
	change_some(&l.w, 10);
	(void)push_now(&l.w);
	l.name_count = blobs_names(l.w.b, l.names, 256);
	for (unsigned i = 0; i < 20 * sizeof(faults) / sizeof(*faults); i++) {
		struct ps_mem_rule rule = {.fault = faults[i % (sizeof(faults) / sizeof(*faults))],
		                           .ops = 1U << PS_NET_GET | 1U << PS_NET_GET_RANGE,
		                           .first = 1 + roll_below(&l.w.dice, 4),
		                           .snapshot = l.past};
		rule.amount = rule.fault == PS_MEM_OLD ? 1 : roll_below(&l.w.dice, 5000);
		rule.other = l.names[roll_below(&l.w.dice, l.name_count)];
		read_under(&l, &rule, some_id(&l.w));
	}
	print_message("%u refused, %u right\n", l.refused, l.right);
	assert_true(l.refused > 20);
	ps_mem_snapshot_free(l.past);
	world_free(&l.w);
}

/* An authentic pack under the name of another one. */
static void a_pack_in_another_ones_place_is_refused(void **state)
{
	struct world w;
	struct ps_push_manifest m;
	struct ps_cut_object o;
	char name[PS_PACK_NAME];
	(void)state;
	world_new(&w, "mem", 76);
	w.options.pack_bytes = 100000;
	change_some(&w, 60);
	(void)push_now(&w);
	ps_push_manifest_init(&m, &memory);
	assert_ok(push_read_manifest(w.b->r, PS_PUSH_MANIFEST_KEY, &m));
	assert_true(m.pack_count > 2);
	uint8_t *bytes = test_malloc(1 << 20);
	size_t len;
	ps_pack_name(&m.packs[1].about, name);
	assert_ok(ps_remote_get(w.b->r, name, bytes, 1 << 20, &len, NULL));
	ps_pack_name(&m.packs[0].about, name);
	assert_ok(ps_remote_update(w.b->r, name, bytes, len, NULL));
	ps_state_lookup *l = lookup_open(w.b->r, 0);
	assert_error(ps_state_lookup_find(l, m.packs[0].first, UINT64_MAX, &o), PS_ECORRUPT);
	assert_non_null(strstr(ps_last_error_message(), name));
	test_free(bytes);
	ps_push_manifest_done(&m);
	ps_state_lookup_free(l);
	world_free(&w);
}

/* ---- ahead of who goes through ---- */

enum { SMALL = 2048, SMALLS = 4000, LARGE = 24 << 20, STEP = 1 << 20 };

/* Contents that zstd finds nothing in. */
static void fill_noise(uint8_t *bytes, size_t len, uint64_t seed)
{
	struct dice dice = {seed};
	for (size_t k = 0; k + 8 <= len; k += 8) {
		uint64_t word = roll(&dice);
		memcpy(bytes + k, &word, 8);
	}
}

static void put_smalls(struct world *w, ps_id *ids)
{
	uint8_t bytes[SMALL];
	for (unsigned i = 0; i < SMALLS; i++) {
		fill_noise(bytes, SMALL, i + 1);
		assert_ok(ps_put(w->s, bytes, SMALL, &ids[i]));
	}
}

static uint64_t reads_of(ps_state_lookup *l)
{
	struct ps_state_lookup_figures f;
	ps_state_lookup_figures(l, &f);
	return f.reads;
}

static void read_small(ps_state_lookup *l, const ps_id *ids, unsigned i)
{
	uint8_t got[SMALL], want[SMALL];
	fill_noise(want, SMALL, i + 1);
	assert_ok(ps_state_lookup_read(l, ids[i], UINT64_MAX, 0, got, SMALL));
	assert_memory_equal(got, want, SMALL);
}

/* 8 MB in blocks of 256 KiB: a read each, and the index, were 33. Who jumps about gets what is asked for. */
static void objects_in_order_are_fetched_ahead(void **state)
{
	struct world w;
	struct ps_state_lookup_figures f;
	ps_id *ids = test_malloc(SMALLS * sizeof(*ids));
	(void)state;
	world_new(&w, "mem", 79);
	put_smalls(&w, ids);
	(void)push_now(&w);
	ps_state_lookup *l = lookup_keeping(w.b->r, 0, 16 << 20);
	for (unsigned i = 0; i < SMALLS; i++)
		read_small(l, ids, i);
	print_message("%d objects in order: %llu reads\n", SMALLS, (unsigned long long)reads_of(l));
	assert_in_range(reads_of(l), 1, 12);
	ps_state_lookup_free(l);
	l = lookup_keeping(w.b->r, 0, 16 << 20);
	for (unsigned i = 0; i < 10; i++)
		read_small(l, ids, (i * 1663 + 7) % SMALLS);
	ps_state_lookup_figures(l, &f);
	assert_in_range(f.reads, 2, 11);
	print_message("10 at random: %llu reads, %llu bytes\n", (unsigned long long)f.reads,
	              (unsigned long long)f.read_bytes);
	assert_true(f.read_bytes < 11 * (300 << 10));
	ps_state_lookup_free(l);
	test_free(ids);
	world_free(&w);
}

/* 24 MiB, in packs of 10: a read a MiB, and three indexes, were 27. */
static void a_large_object_is_fetched_ahead(void **state)
{
	struct world w;
	uint8_t *all = test_malloc(LARGE), *got = test_malloc(STEP);
	ps_id id;
	(void)state;
	world_new(&w, "mem", 80);
	w.options.pack_bytes = 10 << 20;
	fill_noise(all, LARGE, 1);
	assert_ok(ps_put(w.s, all, LARGE, &id));
	(void)push_now(&w);
	ps_state_lookup *l = lookup_keeping(w.b->r, 0, 16 << 20);
	for (size_t at = 0; at < LARGE; at += STEP) {
		assert_ok(ps_state_lookup_read(l, id, UINT64_MAX, at, got, STEP));
		assert_memory_equal(got, all + at, STEP);
	}
	print_message("%d MiB in order: %llu reads\n", LARGE >> 20, (unsigned long long)reads_of(l));
	assert_in_range(reads_of(l), 1, 18);
	ps_state_lookup_free(l);
	test_free(all);
	test_free(got);
	world_free(&w);
}

/* ---- several at once ---- */

struct reader {
	pthread_t thread;
	struct world *w;
	ps_state_lookup *l;
	uint64_t seed;
	int err;
	bool wrong;
};

static void *read_objects(void *arg)
{
	struct reader *r = arg;
	struct dice dice = {r->seed};
	uint8_t *got = malloc(4 << 20), *should = malloc(4 << 20);
	for (unsigned i = 0; i < 60 && !r->err; i++) {
		ps_id id = r->w->ids[roll_below(&dice, r->w->id_count)];
		size_t len = 0;
		if (ps_get(r->w->s, id, should, 4 << 20, &len) == PS_OK) {
			r->err = ps_state_lookup_read(r->l, id, UINT64_MAX, 0, got, len);
			r->wrong |= !r->err && memcmp(got, should, len) != 0;
		}
	}
	free(got);
	free(should);
	return NULL;
}

static void threads_read_what_was_pushed(void **state)
{
	struct world w;
	struct reader readers[READERS];
	(void)state;
	world_new(&w, "mem", 77);
	w.options.pack_bytes = 400000;
	change_some(&w, 100);
	(void)push_now(&w);
	ps_state_lookup *l = lookup_open(w.b->r, 0);
	for (unsigned i = 0; i < READERS; i++) {
		readers[i] = (struct reader){.w = &w, .l = l, .seed = i};
		assert_int_equal(pthread_create(&readers[i].thread, NULL, read_objects, &readers[i]), 0);
	}
	for (unsigned i = 0; i < READERS; i++) {
		(void)pthread_join(readers[i].thread, NULL);
		assert_int_equal(readers[i].err, PS_OK);
		assert_false(readers[i].wrong);
	}
	ps_state_lookup_free(l);
	world_free(&w);
}

struct one_reader {
	pthread_t thread;
	ps_state_lookup *l;
	ps_id id;
	int err;
};

static void *read_one(void *arg)
{
	struct one_reader *r = arg;
	char got[6];
	r->err = ps_state_lookup_read(r->l, r->id, UINT64_MAX, 0, got, 6);
	return NULL;
}

/* All want the same block at the same time: its index and the block are read once each. */
static void what_several_want_is_fetched_once(void **state)
{
	struct world w;
	struct one_reader readers[READERS];
	struct ps_state_lookup_figures f;
	ps_id id;
	(void)state;
	world_new(&w, "mem", 78);
	assert_ok(ps_put(w.s, "wanted", 6, &id));
	(void)push_now(&w);
	ps_state_lookup *l = lookup_open(w.b->r, 0);
	for (unsigned i = 0; i < READERS; i++) {
		readers[i] = (struct one_reader){.l = l, .id = id};
		assert_int_equal(pthread_create(&readers[i].thread, NULL, read_one, &readers[i]), 0);
	}
	for (unsigned i = 0; i < READERS; i++) {
		(void)pthread_join(readers[i].thread, NULL);
		assert_int_equal(readers[i].err, PS_OK);
	}
	ps_state_lookup_figures(l, &f);
	assert_int_equal(f.reads, 2);
	ps_state_lookup_free(l);
	world_free(&w);
}

struct late_reader {
	pthread_t thread;
	pthread_barrier_t *together;
	ps_state_lookup *l;
	ps_id id;
	uint64_t interval;
	int err;
};

static void *find_late(void *arg)
{
	struct late_reader *r = arg;
	struct ps_cut_object o;
	(void)pthread_barrier_wait(r->together);
	r->err = ps_state_lookup_find(r->l, r->id, r->interval, &o);
	return NULL;
}

/* All look for what only a newer manifest has: one of them reads it, and those that waited for that go on. */
static void a_manifest_that_another_thread_has_taken_is_newer(void **state)
{
	enum { ROUNDS = 10 };
	struct world w;
	struct late_reader readers[READERS];
	pthread_barrier_t together;
	ps_id id;
	(void)state;
	world_new(&w, "mem", 87);
	assert_ok(ps_put(w.s, "wanted", 6, &id));
	(void)push_now(&w);
	ps_state_lookup *l = lookup_open(w.b->r, 0);
	assert_int_equal(pthread_barrier_init(&together, NULL, READERS), 0);
	for (unsigned round = 0; round < ROUNDS; round++) {
		assert_ok(ps_replace(w.s, id, "later!", 6));
		uint64_t now = push_now(&w).state;
		for (unsigned i = 0; i < READERS; i++) {
			readers[i] =
			    (struct late_reader){.together = &together, .l = l, .id = id, .interval = now};
			assert_int_equal(pthread_create(&readers[i].thread, NULL, find_late, &readers[i]), 0);
		}
		for (unsigned i = 0; i < READERS; i++) {
			(void)pthread_join(readers[i].thread, NULL);
			assert_int_equal(readers[i].err, PS_OK);
		}
	}
	(void)pthread_barrier_destroy(&together);
	ps_state_lookup_free(l);
	world_free(&w);
}

/* A network that hangs: who stops the lookup gets its readers back. */
static void a_read_that_hangs_is_stopped(void **state)
{
	struct world w;
	struct one_reader reader;
	struct ps_mem_rule rule = {.fault = PS_MEM_HANG, .ops = 1U << PS_NET_GET | 1U << PS_NET_GET_RANGE};
	unsigned number;
	(void)state;
	world_new(&w, "mem", 79);
	assert_ok(ps_put(w.s, "wanted", 6, &reader.id));
	(void)push_now(&w);
	reader.l = lookup_open(w.b->r, 0);
	assert_ok(ps_mem_rule_add(blobs_world(w.b), &rule, &number));
	assert_int_equal(pthread_create(&reader.thread, NULL, read_one, &reader), 0);
	ps_mem_rule_wait(blobs_world(w.b), number, 1);
	ps_state_lookup_stop(reader.l, true);
	(void)pthread_join(reader.thread, NULL);
	assert_int_equal(reader.err, PS_ECANCELED);
	ps_mem_rule_remove(blobs_world(w.b), 0);
	ps_state_lookup_free(reader.l);
	world_free(&w);
}

/* Objects far from each other, of which nothing but the index is there: all are asked for before any has
 * come. */
static void what_is_wanted_together_is_fetched_together(void **state)
{
	enum { FAR = 500, TOGETHER = 4 };
	struct world w;
	struct ps_backing_want wants[SMALLS / FAR];
	struct ps_mem_rule rule = {.fault = PS_MEM_HANG, .ops = 1U << PS_NET_GET_RANGE};
	unsigned number;
	ps_id *ids = test_malloc(SMALLS * sizeof(*ids));
	(void)state;
	world_new(&w, "mem", 81);
	put_smalls(&w, ids);
	(void)push_now(&w);
	ps_state_lookup *l = lookup_keeping(w.b->r, 0, 16 << 20);
	read_small(l, ids, 0);
	for (unsigned i = 0; i < SMALLS / FAR; i++)
		wants[i] = (struct ps_backing_want){ids[i * FAR + FAR / 2], UINT64_MAX, 0, SMALL};
	assert_ok(ps_mem_rule_add(blobs_world(w.b), &rule, &number));
	assert_int_equal(ps_state_lookup_want(l, wants, SMALLS / FAR), SMALLS / FAR);
	ps_mem_rule_wait(blobs_world(w.b), number, TOGETHER);
	ps_state_lookup_stop(l, true);
	ps_mem_rule_remove(blobs_world(w.b), 0);
	ps_state_lookup_free(l);
	test_free(ids);
	world_free(&w);
}

/* 8 MB, an object of each block: the 32 blocks lie side by side, and come in two requests for ranges; and
 * what is read then costs nothing. */
static void neighbours_are_fetched_in_one_request(void **state)
{
	enum { STEP_OF = 130, MANY = SMALLS / STEP_OF };
	struct world w;
	struct ps_backing_want wants[MANY];
	ps_id *ids = test_malloc(SMALLS * sizeof(*ids));
	(void)state;
	world_new(&w, "mem", 82);
	put_smalls(&w, ids);
	(void)push_now(&w);
	ps_state_lookup *l = lookup_keeping(w.b->r, 0, 64 << 20);
	for (unsigned i = 0; i < MANY; i++)
		wants[i] = (struct ps_backing_want){ids[i * STEP_OF], UINT64_MAX, 0, SMALL};
	assert_int_equal(ps_state_lookup_want(l, wants, MANY), MANY);
	for (unsigned i = 0; i < MANY; i++)
		read_small(l, ids, i * STEP_OF);
	print_message("%d objects here and there: %llu reads\n", MANY, (unsigned long long)reads_of(l));
	assert_in_range(reads_of(l), 2, 4);
	ps_state_lookup_free(l);
	test_free(ids);
	world_free(&w);
}

/* ---- what it costs ---- */

static void put_many(struct world *w, size_t count, ps_id *one)
{
	for (size_t done = 0; done < count;) {
		ps_batch *b;
		ps_id id;
		assert_ok(ps_batch_begin(w->s, &b));
		for (unsigned i = 0; i < 1000; i++, done++) {
			char bytes[40];
			int len = snprintf(bytes, sizeof(bytes), "object %zu", done);
			assert_ok(ps_batch_put(b, bytes, (size_t)len, &id));
			if (done == count / 3)
				*one = id;
		}
		assert_ok(ps_batch_commit(b, PS_RELAXED));
	}
}

/* On a machine that knows nothing but the key. */
static void the_first_object_of_a_large_state_is_cheap(void **state)
{
	struct world w;
	struct ps_remote_stats stats;
	struct ps_cut_object o;
	char got[40], should[40];
	ps_id one = PS_ID_NONE;
	(void)state;
	world_new(&w, "mem", 80);
	blobs_close(w.b);
	w.b->options.mode = PS_REMOTE_MEDIUM;
	assert_ok(blobs_start(w.b, false));
	w.options.compression = -1;
	put_many(&w, thousands * 1000, &one);
	struct ps_push_result push = push_now(&w);
	struct blobs *other = machine_open(w.b);
	ps_state_lookup *l;
	assert_ok(ps_state_lookup_open(&memory, other->r, NULL, &l));
	assert_ok(ps_state_lookup_find(l, one, UINT64_MAX, &o));
	assert_ok(ps_state_lookup_read(l, one, UINT64_MAX, 0, got, (size_t)o.size));
	int len = snprintf(should, sizeof(should), "object %zu", thousands * 1000 / 3);
	assert_int_equal(o.size, len);
	assert_memory_equal(got, should, (size_t)len);
	assert_ok(ps_remote_stats(other->r, &stats));
	print_message("%zu,000 objects in %llu packs: the first one took %llu requests, %.2f MiB\n",
	              thousands, (unsigned long long)push.packs, (unsigned long long)stats.requests,
	              (double)stats.received_bytes / 1048576);
	assert_true(stats.requests <= 9);
	assert_true(stats.received_bytes <= 2 << 20);
	ps_state_lookup_free(l);
	machine_free(other);
	world_free(&w);
}

static int set_up(void **state)
{
	(void)state;
	ps_memory_init(&memory, NULL);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	assert_int_equal(atomic_load(&memory.used), 0);
	ps_memory_done(&memory);
	return 0;
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_object_is_found_as_it_was_pushed),
	    cmocka_unit_test(a_large_object_is_read_by_range),
	    cmocka_unit_test(a_patched_object_is_read_from_all_its_runs),
	    cmocka_unit_test(earlier_states_have_what_was_then),
	    cmocka_unit_test(a_dropped_pack_is_looked_for_in_the_newer_state),
	    cmocka_unit_test(no_lie_makes_other_bytes),
	    cmocka_unit_test(a_pack_in_another_ones_place_is_refused),
	    cmocka_unit_test(objects_in_order_are_fetched_ahead),
	    cmocka_unit_test(a_large_object_is_fetched_ahead),
	    cmocka_unit_test(threads_read_what_was_pushed),
	    cmocka_unit_test(a_manifest_that_another_thread_has_taken_is_newer),
	    cmocka_unit_test(what_several_want_is_fetched_once),
	    cmocka_unit_test(a_read_that_hangs_is_stopped),
	    cmocka_unit_test(what_is_wanted_together_is_fetched_together),
	    cmocka_unit_test(neighbours_are_fetched_in_one_request),
	    cmocka_unit_test(the_first_object_of_a_large_state_is_cheap),
	};
	if (argc > 1)
		seeds = (unsigned)atoi(argv[1]);
	if (argc > 2)
		thousands = strtoull(argv[2], NULL, 10);
	return cmocka_run_group_tests_name("objects of pushed states", tests, set_up, tear_down);
}
