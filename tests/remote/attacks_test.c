/* Rows A16 and A17 of the attack table, for values and their pads (sync/attack_test.c has them for heads):
 * writes that come late, come again, or are carried out without an answer. Each in many instances, by seeds.
 * usage: attacks_test [INSTANCES] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/remote/sync/sync_fixture.h"

enum { PAD = 128 << 10, KEYS = 4, MOST = 3 * PAD };
static const uint64_t never = 1000000;

static unsigned instances = 20;

struct store {
	struct blobs *b;
	struct dice dice;
	struct {
		size_t len;
		uint64_t seed; /* 0: nothing there */
	} values[KEYS];
	uint64_t seeds;
};

static void key_of(unsigned i, char key[16])
{
	snprintf(key, 16, "key %u", i);
}

static int put_one(struct store *s, unsigned i, size_t len, uint64_t seed)
{
	struct ps_remote_put replace = {.size = sizeof(replace), .replace = 1};
	uint8_t *bytes = blobs_bytes(len, seed);
	char key[16];
	key_of(i, key);
	int err = ps_remote_put(s->b->r, key, bytes, len, &replace);
	if (err == PS_OK) {
		s->values[i].len = len;
		s->values[i].seed = seed;
	}
	test_free(bytes);
	return err;
}

static void put_any(struct store *s)
{
	unsigned i = (unsigned)roll_below(&s->dice, KEYS);
	assert_ok(put_one(s, i, 1 + roll_below(&s->dice, MOST), ++s->seeds));
}

static void store_new(struct store *s, uint64_t seed)
{
	struct ps_remote_seams seams = {.backoff_ms = 1, .seed = seed};
	*s = (struct store){.b = blobs_new_with("mem", &seams), .dice = {seed}};
	s->b->options.not_found_times = 1;
	for (unsigned i = 0; i < KEYS; i++)
		assert_ok(put_one(s, i, 1 + roll_below(&s->dice, MOST), ++s->seeds));
	(void)sync_machine(s->b);
	put_any(s); /* and pads that are free */
	assert_ok(ps_remote_reserve(s->b->r, 3, 0));
}

static void expect_all(struct store *s)
{
	for (unsigned i = 0; i < KEYS; i++) {
		char key[16];
		key_of(i, key);
		blobs_expect(s->b, key, s->values[i].len, s->values[i].seed);
	}
}

static unsigned add_rule(struct store *s, struct ps_mem_rule rule)
{
	unsigned number;
	assert_ok(ps_mem_rule_add(blobs_world(s->b), &rule, &number));
	return number;
}

static uint64_t writes(struct store *s)
{
	struct ps_mem_figures figures;
	ps_mem_figures(blobs_world(s->b), &figures, false);
	return figures.requests[PS_NET_CREATE] + figures.requests[PS_NET_REPLACE];
}

#define each_store(s)                                                                                        \
	struct store s;                                                                                      \
	(void)state;                                                                                         \
	uint64_t seed_ = test_seed(1);                                                                       \
	for (unsigned i_ = 0; i_ < instances && (store_new(&s, seed_ + i_), true); i_++, blobs_free(s.b))

/* ---- A16: a delayed PUT that comes after newer ones ---- */

/* The process ends with a write on its way, which nobody hears of for long. */
static void lose_a_write(struct store *s, unsigned op)
{
	size_t len = 1 + roll_below(&s->dice, MOST);
	unsigned i = (unsigned)roll_below(&s->dice, KEYS);
	(void)add_rule(
	    s, (struct ps_mem_rule){
	           .fault = PS_MEM_LATE, .ops = op, .count = 1 + roll_below(&s->dice, 2), .amount = never});
	(void)add_rule(s, (struct ps_mem_rule){.fault = PS_MEM_VANISH});
	assert_int_not_equal(put_one(s, i, len, ++s->seeds), PS_OK);
	ps_mem_rule_remove(blobs_world(s->b), 0);
	blobs_reopen(s->b);
}

static void a_write_that_comes_after_its_fence_is_refused(void **state)
{
	each_store(s)
	{
		struct ps_remote_stats stats;
		lose_a_write(&s, 1U << PS_NET_REPLACE);
		for (unsigned n = 0; n < KEYS; n++) /* of every key: nothing is unfinished any more */
			assert_ok(put_one(&s, n, 1 + roll_below(&s.dice, MOST), ++s.seeds));
		assert_ok(ps_remote_purge(s.b->r, NULL, NULL, NULL));
		blobs_stats(s.b, &stats);
		assert_int_equal(stats.pending, 0);
		/* Its version is gone: the compare-and-swap does not let it pass. */
		assert_int_equal(ps_mem_deliver(blobs_world(s.b)), 0);
		expect_all(&s);
		blobs_check(s.b);
	}
}

static void a_late_new_pad_is_in_nobodys_way(void **state)
{
	each_store(s)
	{
		blobs_reopen(s.b);
		lose_a_write(&s, 1U << PS_NET_CREATE | 1U << PS_NET_REPLACE);
		put_any(&s);
		(void)ps_mem_deliver(blobs_world(s.b));
		put_any(&s);
		expect_all(&s);
		for (unsigned n = 0; n < KEYS; n++)
			assert_ok(put_one(&s, n, 1 + roll_below(&s.dice, MOST), ++s.seeds));
		assert_ok(ps_remote_purge(s.b->r, NULL, NULL, NULL));
		expect_all(&s);
		blobs_check(s.b);
	}
}

/* A network that keeps no promise puts an old version over a newer one. */
static void what_is_replayed_over_a_newer_one_is_told(void **state)
{
	unsigned found = 0;
	each_store(s)
	{
		struct ps_remote_health health = {.size = sizeof(health), .read = 1};
		struct ps_remote_health_result result;
		uint64_t wrong = 0;
		unsigned rule =
		    add_rule(&s, (struct ps_mem_rule){.fault = PS_MEM_REPLAY, .one_in = 2, .amount = never});
		for (unsigned n = 0; n < 12; n++)
			put_any(&s);
		ps_mem_rule_remove(blobs_world(s.b), rule);
		(void)ps_mem_deliver(blobs_world(s.b));
		for (unsigned i = 0; i < KEYS; i++) {
			uint8_t *is = test_malloc(MOST),
			        *should = blobs_bytes(s.values[i].len, s.values[i].seed);
			char key[16];
			size_t len;
			key_of(i, key);
			int err = ps_remote_get(s.b->r, key, is, MOST, &len, NULL);
			if (err != PS_OK && err != PS_EROLLBACK && err != PS_EAUTH)
				fail_msg("%s (%s)", ps_error_name(err), ps_last_error_message());
			if (err == PS_OK)
				assert_memory_equal(is, should, s.values[i].len);
			wrong += err != PS_OK;
			test_free(is);
			test_free(should);
		}
		assert_ok(ps_remote_health_check(s.b->r, &health, &result));
		assert_true((wrong > 0) == (result.wrong + result.lost > 0));
		found += wrong > 0;
		/* What was found is put anew, and is fine. */
		for (unsigned i = 0; i < KEYS; i++)
			assert_ok(put_one(&s, i, 1 + roll_below(&s.dice, MOST), ++s.seeds));
		expect_all(&s);
	}
	print_message("replayed over what is live: %u of %u\n", found, instances);
	assert_true(found > 0);
}

/* Stopped in the middle of a sync, while others go on; its head comes when nobody expects it any more. */
static void a_machine_that_was_asleep_is_fenced(void **state)
{
	each_store(s)
	{
		struct blobs *other = machine_open(s.b);
		struct ps_pad_name head = head_name_of(s.b);
		struct ps_remote_head theirs, ours;
		put_any(&s);
		(void)add_rule(
		    &s, (struct ps_mem_rule){
		            .fault = PS_MEM_LATE, .named = true, .name = head, .count = 1, .amount = never});
		(void)add_rule(&s, (struct ps_mem_rule){
		                       .fault = PS_MEM_VANISH, .named = true, .name = head, .first = 3});
		assert_int_not_equal(ps_remote_sync(s.b->r, NULL, NULL, NULL), PS_OK);
		ps_mem_rule_remove(blobs_world(s.b), 0);
		for (uint64_t n = 1 + roll_below(&s.dice, 3); n > 0; n--) {
			char key[16];
			snprintf(key, sizeof(key), "other %u", (unsigned)n);
			blobs_put(other, key, 100 + n, n);
			(void)sync_machine(other);
		}
		assert_int_equal(ps_mem_deliver(blobs_world(s.b)), 0);
		(void)sync_machine(other);
		assert_ok(ps_remote_head(other->r, &theirs));
		(void)sync_machine(s.b);
		assert_ok(ps_remote_head(s.b->r, &ours));
		assert_true(ours.counter > theirs.counter);
		sync_all_machines((struct blobs *[]){s.b, other}, 2);
		expect_all(&s);
		expect_same(s.b, other);
		check_machines((struct blobs *[]){s.b, other}, 2);
		machine_free(other);
	}
}

/* ---- A17: carried out, and the answer lost ---- */

static void work(struct store *s)
{
	for (unsigned n = 0; n < 8; n++)
		put_any(s);
	(void)sync_machine(s->b);
}

/* How many writes the same work takes when all is well. */
static uint64_t writes_without_faults(uint64_t seed)
{
	struct store s;
	store_new(&s, seed);
	uint64_t before = writes(&s);
	work(&s);
	uint64_t all = writes(&s) - before;
	blobs_free(s.b);
	return all;
}

static void what_was_carried_out_is_not_sent_again(void **state)
{
	each_store(s)
	{
		uint64_t should = writes_without_faults(seed_ + i_), before = writes(&s);
		unsigned rule =
		    add_rule(&s, (struct ps_mem_rule){.fault = PS_MEM_LOSE_REPLY,
		                                      .ops = 1U << PS_NET_CREATE | 1U << PS_NET_REPLACE,
		                                      .one_in = 1 + roll_below(&s.dice, 3)});
		s.dice = (struct dice){seed_ + i_};
		struct store again;
		store_new(&again, seed_ + i_); /* the same draws from here on */
		s.dice = again.dice;
		blobs_free(again.b);
		work(&s);
		assert_true(ps_mem_rule_hits(blobs_world(s.b), rule) > 0);
		ps_mem_rule_remove(blobs_world(s.b), rule);
		assert_int_equal(writes(&s) - before, should);
		expect_all(&s);
		blobs_check(s.b); /* no pad that nobody knows of */
		struct blobs *fresh = machine_open(s.b);
		expect_same(s.b, fresh);
		machine_free(fresh);
	}
}

/* The answer is lost, and so is the process: the next one finds what is there. */
static void nor_by_the_next_process(void **state)
{
	each_store(s)
	{
		size_t len = 2 * PAD + roll_below(&s.dice, PAD);
		unsigned pads = (unsigned)((len + PAD - 1) / PAD);
		uint64_t seed = ++s.seeds, before = writes(&s);
		uint64_t lost = 1 + roll_below(&s.dice, pads);
		(void)add_rule(&s, (struct ps_mem_rule){.fault = PS_MEM_LOSE_REPLY,
		                                        .ops = 1U << PS_NET_CREATE | 1U << PS_NET_REPLACE,
		                                        .first = lost,
		                                        .count = 1});
		(void)add_rule(&s, (struct ps_mem_rule){.fault = PS_MEM_LOSE_REQUEST,
		                                        .ops = 1U << PS_NET_CREATE | 1U << PS_NET_REPLACE,
		                                        .first = lost});
		(void)add_rule(&s, (struct ps_mem_rule){.fault = PS_MEM_VANISH, .ops = 1U << PS_NET_HEAD});
		assert_int_not_equal(put_one(&s, 0, len, seed), PS_OK);
		/* Fewer than that one, if the call gave up before it was sent. */
		uint64_t sent = writes(&s) - before, carried_out = sent < lost ? sent : lost;
		ps_mem_rule_remove(blobs_world(s.b), 0);
		blobs_reopen(s.b);
		before = writes(&s);
		assert_ok(put_one(&s, 0, len, seed));
		assert_int_equal(writes(&s) - before, pads - carried_out);
		expect_all(&s);
		blobs_check(s.b);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_write_that_comes_after_its_fence_is_refused),
	    cmocka_unit_test(a_late_new_pad_is_in_nobodys_way),
	    cmocka_unit_test(what_is_replayed_over_a_newer_one_is_told),
	    cmocka_unit_test(a_machine_that_was_asleep_is_fenced),
	    cmocka_unit_test(what_was_carried_out_is_not_sent_again),
	    cmocka_unit_test(nor_by_the_next_process),
	};
	if (argc > 1)
		instances = (unsigned)atoi(argv[1]);
	return cmocka_run_group_tests_name("attacks", tests, NULL, NULL);
}
