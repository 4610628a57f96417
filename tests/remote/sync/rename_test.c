/* Renames beside calls that are under way: a head has both names of a value as they are, or neither, so
 * whoever takes the store from it finds each value once. Random histories; usage: rename_test [SEEDS] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/remote/sync/sync_fixture.h"

enum { PAD = 128 << 10, LEN = 2 * PAD, KEYS = 5, STEPS = 40 };

static uint64_t seeds = 4;

/* Each contents are another: its number decides the second pad, its family the first, which updates keep. */
struct contents {
	uint64_t number, family;
};

struct state {
	struct contents key[KEYS]; /* number 0: nothing */
};

struct world {
	struct blobs *a;
	struct dice dice;
	struct state now, net; /* net: what the last one who joined has seen */
	uint64_t numbers, seed;
	int busy; /* the key that a call has; -1: none */
	uint8_t bytes[LEN];
	size_t at, pause; /* of the source: when something else happens */
};

static const struct ps_remote_put replace = {.size = sizeof(replace), .replace = 1};

static void name_of(int key, char name[16])
{
	(void)snprintf(name, 16, "key %d", key);
}

static void fill(const struct contents *c, uint8_t *bytes)
{
	blobs_fill(bytes, PAD, c->family);
	blobs_fill(bytes + PAD, PAD, c->number);
}

/* ---- what somebody sees who has only the key ---- */

static struct state look(struct world *w)
{
	static uint8_t is[LEN], should[LEN];
	struct blobs *fresh = machine_open(w->a);
	struct state seen = {0};
	for (int key = 0; key < KEYS; key++) {
		const struct contents *may[] = {&w->now.key[key], &w->net.key[key]};
		char name[16];
		size_t len = 0;
		name_of(key, name);
		int err = ps_remote_get(fresh->r, name, is, sizeof(is), &len, NULL);
		if (err == PS_ENOTFOUND)
			continue;
		assert_ok(err);
		assert_int_equal(len, LEN);
		for (int i = 0; i < 2 && seen.key[key].number == 0; i++) {
			fill(may[i], should);
			if (may[i]->number > 0 && memcmp(is, should, LEN) == 0)
				seen.key[key] = *may[i];
		}
		if (seen.key[key].number == 0)
			fail_msg("seed %llu: \"%s\" has what it never had", (unsigned long long)w->seed,
			         name);
	}
	assert_ok(ps_remote_verify(fresh->r, NULL, NULL));
	machine_free(fresh);
	return seen;
}

static unsigned count(const struct state *s, uint64_t number)
{
	unsigned n = 0;
	for (int key = 0; key < KEYS; key++)
		n += s->key[key].number == number;
	return n;
}

/* Of what was there, and is here still, nothing is lost, and nothing is there under two names. */
static void check(struct world *w)
{
	struct state seen = look(w);
	for (int key = 0; key < KEYS; key++) {
		uint64_t before = w->net.key[key].number, after = seen.key[key].number;
		if (before > 0 && count(&w->now, before) > 0 && count(&seen, before) == 0)
			fail_msg("seed %llu: what key %d had is nowhere", (unsigned long long)w->seed, key);
		if (after > 0 && count(&seen, after) > 1)
			fail_msg("seed %llu: what key %d has is there twice", (unsigned long long)w->seed,
			         key);
		if (w->busy < 0 && after != w->now.key[key].number)
			fail_msg("seed %llu: key %d was not synced", (unsigned long long)w->seed, key);
	}
	w->net = seen;
}

/* ---- steps ---- */

static void rename_one(struct world *w)
{
	int from = (int)roll_below(&w->dice, KEYS), to = (int)roll_below(&w->dice, KEYS);
	char from_name[16], to_name[16];
	if (w->now.key[from].number == 0 || w->now.key[to].number > 0 || from == w->busy || to == w->busy)
		return;
	name_of(from, from_name);
	name_of(to, to_name);
	assert_ok(ps_remote_rename(w->a->r, from_name, to_name));
	w->now.key[to] = w->now.key[from];
	w->now.key[from] = (struct contents){0};
}

static void remove_one(struct world *w)
{
	int key = (int)roll_below(&w->dice, KEYS);
	char name[16];
	if (w->now.key[key].number == 0 || key == w->busy)
		return;
	name_of(key, name);
	assert_ok(ps_remote_remove(w->a->r, name));
	w->now.key[key] = (struct contents){0};
}

static struct contents next_contents(struct world *w, int key)
{
	struct contents c = w->now.key[key];
	c.number = ++w->numbers;
	if (c.family == 0 || roll_below(&w->dice, 3) == 0)
		c.family = 1000000 + w->numbers;
	return c;
}

static void put_one(struct world *w)
{
	static uint8_t bytes[LEN];
	int key = (int)roll_below(&w->dice, KEYS);
	char name[16];
	if (key == w->busy)
		return;
	struct contents c = next_contents(w, key);
	name_of(key, name);
	fill(&c, bytes);
	assert_ok(ps_remote_put(w->a->r, name, bytes, LEN, &replace));
	w->now.key[key] = c;
}

static void step(struct world *w)
{
	uint64_t what = roll_below(&w->dice, 8);
	if (what < 4)
		rename_one(w);
	else if (what < 7)
		put_one(w);
	else
		remove_one(w);
}

static int read_source(void *arg, void *buf, size_t len, size_t *got)
{
	struct world *w = arg;
	if (w->at >= w->pause && w->pause != SIZE_MAX) {
		w->pause = SIZE_MAX;
		for (uint64_t n = roll_below(&w->dice, 3); n > 0; n--)
			step(w);
		(void)sync_machine(w->a);
		check(w);
	}
	*got = LEN - w->at < len ? LEN - w->at : len;
	if (*got > PAD / 2)
		*got = PAD / 2;
	memcpy(buf, w->bytes + w->at, *got);
	w->at += *got;
	return PS_OK;
}

/* A put in the middle of which others change, and sync. */
static void long_put(struct world *w)
{
	char name[16];
	int key = (int)roll_below(&w->dice, KEYS);
	struct contents c = next_contents(w, key);
	name_of(key, name);
	fill(&c, w->bytes);
	w->at = 0;
	w->pause = roll_below(&w->dice, 4) * (PAD / 2);
	w->busy = key;
	int err = ps_remote_put_stream(w->a->r, name, LEN, read_source, w, &replace);
	w->busy = -1;
	assert_ok(err);
	w->now.key[key] = c;
}

static void walk(uint64_t seed)
{
	struct world w = {.a = blobs_new("mem"), .dice = {seed}, .busy = -1, .seed = seed};
	for (unsigned i = 0; i < STEPS; i++) {
		uint64_t what = roll_below(&w.dice, 8);
		if (what < 5)
			step(&w);
		else if (what < 7)
			long_put(&w);
		else
			blobs_reopen(w.a);
		if (roll_below(&w.dice, 6) == 0) {
			(void)sync_machine(w.a);
			check(&w);
		}
	}
	(void)sync_machine(w.a);
	check(&w);
	blobs_check(w.a);
	blobs_free(w.a);
}

static void each_value_is_there_once_whoever_is_changing_what(void **state)
{
	uint64_t first = test_seed(1);
	(void)state;
	for (uint64_t seed = first; seed < first + seeds; seed++)
		walk(seed);
}

/* The old name is written anew, or the new one, while somebody joins. */
static void a_rename_waits_for_a_call_on_either_name(void **state)
{
	(void)state;
	for (int busy = 0; busy < 2; busy++) {
		struct world w = {.a = blobs_new("mem"), .busy = -1, .seed = 1, .numbers = 10};
		struct contents c = {1, 2};
		w.now.key[0] = c;
		fill(&c, w.bytes);
		assert_ok(ps_remote_put(w.a->r, "key 0", w.bytes, LEN, NULL));
		(void)sync_machine(w.a);
		check(&w);
		assert_ok(ps_remote_rename(w.a->r, "key 0", "key 1"));
		w.now.key[1] = c;
		w.now.key[0] = (struct contents){0};
		c = (struct contents){3, 2};
		fill(&c, w.bytes);
		w.busy = busy;
		w.at = 0;
		assert_ok(
		    ps_remote_put_stream(w.a->r, busy ? "key 1" : "key 0", LEN, read_source, &w, &replace));
		assert_int_equal(w.net.key[0].number, 1);
		assert_int_equal(w.net.key[1].number, 0);
		w.busy = -1;
		w.now.key[busy] = c;
		(void)sync_machine(w.a);
		check(&w);
		blobs_check_exactly(w.a);
		blobs_free(w.a);
	}
}

/* The name in between was in no head, so it leaves no record; but the first one still goes with the last. */
static void a_rename_of_what_was_just_renamed_waits_as_well(void **state)
{
	struct world w = {.a = blobs_new("mem"), .busy = -1, .seed = 1, .numbers = 10};
	struct contents c = {1, 2};
	(void)state;
	w.now.key[0] = c;
	fill(&c, w.bytes);
	assert_ok(ps_remote_put(w.a->r, "key 0", w.bytes, LEN, NULL));
	(void)sync_machine(w.a);
	check(&w);
	c = (struct contents){3, 4}; /* in pads of its own, that no head names */
	fill(&c, w.bytes);
	assert_ok(ps_remote_put(w.a->r, "key 0", w.bytes, LEN, &replace));
	assert_ok(ps_remote_rename(w.a->r, "key 0", "key 1"));
	assert_ok(ps_remote_rename(w.a->r, "key 1", "key 2"));
	w.now.key[2] = c;
	c = (struct contents){5, 6};
	fill(&c, w.bytes);
	w.busy = 2;
	w.at = 0;
	assert_ok(ps_remote_put_stream(w.a->r, "key 2", LEN, read_source, &w, &replace));
	assert_int_equal(w.net.key[0].number, 1);
	w.busy = -1;
	w.now.key[0] = (struct contents){0};
	w.now.key[2] = c;
	(void)sync_machine(w.a);
	check(&w);
	blobs_check_exactly(w.a);
	blobs_free(w.a);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_rename_waits_for_a_call_on_either_name),
	    cmocka_unit_test(a_rename_of_what_was_just_renamed_waits_as_well),
	    cmocka_unit_test(each_value_is_there_once_whoever_is_changing_what),
	};
	if (argc > 1)
		seeds = strtoull(argv[1], NULL, 10);
	return cmocka_run_group_tests_name("renames", tests, NULL, NULL);
}
