/* Networks that lie while a state is cloned: the right error, or the right clone; never other bytes.
 * usage: push_lies_test [SEEDS] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/multistore/push_fixture.h"

static unsigned seeds = 2;

struct lied_to {
	struct world w;
	struct picture old, now;
	ps_mem_snapshot *past; /* of the network, when it had the old state */
	struct ps_pad_name names[256];
	size_t name_count;
	unsigned right, refused;
};

static void lied_new(struct lied_to *l, uint64_t seed)
{
	memset(l, 0, sizeof(*l));
	world_new(&l->w, "mem", seed);
	l->w.options.pack_bytes = 60000;
	ps_mem_keep_past(blobs_world(l->w.b), 3);
	change_some(&l->w, 40);
	(void)push_now(&l->w);
	picture_take(&l->old, l->w.s);
	assert_ok(ps_mem_snapshot_take(blobs_world(l->w.b), 0, &l->past));
	change_some(&l->w, 15);
	(void)push_now(&l->w);
	change_some(&l->w, 5);
	(void)push_now(&l->w);
	picture_take(&l->now, l->w.s);
	l->name_count = blobs_names(l->w.b, l->names, 256);
}

static void lied_free(struct lied_to *l)
{
	ps_mem_rule_remove(blobs_world(l->w.b), 0);
	expect_clone(&l->w, l->w.b->r, 0, &l->now);
	ps_mem_snapshot_free(l->past);
	picture_free(&l->old);
	picture_free(&l->now);
	world_free(&l->w);
}

static bool is_refusal(int err)
{
	return err == PS_EAUTH || err == PS_EROLLBACK || err == PS_EFORK || err == PS_ELOST ||
	       err == PS_ESUPERSEDED || err == PS_EUNAVAILABLE || err == PS_ETIMEDOUT || err == PS_ENOTFOUND;
}

/* With the rule in force: the machine that pushed, which knows what should be there. */
static int clone_under(struct lied_to *l, const struct ps_mem_rule *rule)
{
	char path[256];
	unsigned number;
	snprintf(path, sizeof(path), "%s/lied", l->w.b->folder);
	assert_ok(ps_mem_rule_add(blobs_world(l->w.b), rule, &number));
	int err = ps_clone(l->w.b->r, path, NULL, NULL);
	ps_mem_rule_remove(blobs_world(l->w.b), 0);
	if (err == PS_OK) {
		ps_storer *s = open_stack(&l->w, path, PS_OPEN_EXISTING);
		expect_picture(&l->now, s, "a clone from a network that lies");
		assert_ok(ps_close(s));
		assert_int_equal(unlink(path), 0);
		l->right++;
		return err;
	}
	if (!is_refusal(err))
		fail_msg("fault %d: %s (%s)", (int)rule->fault, ps_error_name(err), ps_last_error_message());
	assert_int_not_equal(access(path, F_OK), 0);
	l->refused++;
	return err;
}

static void no_lie_makes_another_clone(void **state)
{
	static const enum ps_mem_fault faults[] = {PS_MEM_ABSENT,   PS_MEM_OLD,    PS_MEM_FROZEN, PS_MEM_FLIP,
	                                           PS_MEM_TRUNCATE, PS_MEM_EXTEND, PS_MEM_OTHER};
	uint64_t first = test_seed(31);
	(void)state;
	for (uint64_t seed = first; seed < first + seeds; seed++) {
		struct lied_to l;
		lied_new(&l, seed);
		for (unsigned f = 0; f < sizeof(faults) / sizeof(*faults); f++) {
			for (uint64_t at = 1; at <= 16; at = at * 2 + 1) {
				struct ps_mem_rule rule = {
				    .fault = faults[f],
				    .ops = 1U << PS_NET_GET | 1U << PS_NET_GET_RANGE,
				    .first = at,
				    .amount = faults[f] == PS_MEM_OLD ? 1 : roll_below(&l.w.dice, 5000),
				    .snapshot = l.past};
				rule.other = l.names[roll_below(&l.w.dice, l.name_count)];
				(void)clone_under(&l, &rule);
			}
		}
		print_message("seed %llu: %u refused, %u right\n", (unsigned long long)seed, l.refused,
		              l.right);
		assert_true(l.refused >= 10);
		lied_free(&l);
	}
}

/* What is lost is said to be lost, and by the name of the pack. */
static void a_lost_pack_is_named(void **state)
{
	struct lied_to l;
	struct ps_mem_rule rule = {
	    .fault = PS_MEM_ABSENT, .ops = 1U << PS_NET_GET | 1U << PS_NET_GET_RANGE, .first = 2};
	(void)state;
	lied_new(&l, 51);
	assert_int_equal(clone_under(&l, &rule), PS_ELOST);
	assert_non_null(strstr(ps_last_error_message(), "pack/"));
	lied_free(&l);
}

/* The whole network as it was: who knows better refuses it, for clones and for pushes. */
static void a_network_put_back_is_refused(void **state)
{
	struct lied_to l;
	struct ps_mem_rule rule = {.fault = PS_MEM_FROZEN};
	unsigned number;
	(void)state;
	lied_new(&l, 52);
	rule.snapshot = l.past;
	assert_int_equal(clone_under(&l, &rule), PS_EROLLBACK);
	assert_ok(ps_mem_rule_add(blobs_world(l.w.b), &rule, &number));
	change_some(&l.w, 5);
	assert_true(ps_push(l.w.s, l.w.b->r, &l.w.options, NULL) != PS_OK);
	ps_mem_rule_remove(blobs_world(l.w.b), 0);
	picture_free(&l.now);
	(void)push_now(&l.w);
	picture_take(&l.now, l.w.s);
	(void)expect_packs(l.w.b);
	lied_free(&l);
}

/* A write that was told to be done, and was not, is found out before the push is: nothing names what is not
 * there. */
static void a_push_to_a_network_that_drops_writes_fails(void **state)
{
	struct lied_to l;
	(void)state;
	lied_new(&l, 53);
	for (uint64_t at = 1; at <= 6; at++) {
		struct ps_mem_rule rule = {.fault = PS_MEM_LIE_DONE, .first = at, .count = 0};
		unsigned number;
		assert_ok(ps_mem_rule_add(blobs_world(l.w.b), &rule, &number));
		change_some(&l.w, 10);
		int err = ps_push(l.w.s, l.w.b->r, &l.w.options, NULL);
		bool hit = ps_mem_rule_hits(blobs_world(l.w.b), number) > 0;
		ps_mem_rule_remove(blobs_world(l.w.b), 0);
		assert_true(!hit || err != PS_OK);
	}
	picture_free(&l.now);
	(void)push_now(&l.w);
	picture_take(&l.now, l.w.s);
	(void)expect_packs(l.w.b);
	lied_free(&l);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_lie_makes_another_clone),
	    cmocka_unit_test(a_lost_pack_is_named),
	    cmocka_unit_test(a_network_put_back_is_refused),
	    cmocka_unit_test(a_push_to_a_network_that_drops_writes_fails),
	};
	if (argc > 1)
		seeds = (unsigned)atoi(argv[1]);
	return cmocka_run_group_tests_name("lies to clones", tests, NULL, NULL);
}
