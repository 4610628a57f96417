/* A copy that ends at any request of either network, or is lied to: the second network has a whole older
 * state or the whole newer one, what is unchanged can be read from it throughout, and the same call finishes.
 * usage: crash_test [STRIDE]: only every so-manieth place */
#include <stdio.h>
#include <stdlib.h>

#include "tests/remote/copy/copy_fixture.h"

enum { PAD = 128 << 10 };

static uint64_t stride = 1;

/* What both networks are put back to. */
struct base {
	struct pair_of p;
	ps_mem_snapshot *first, *second;
	size_t there; /* pads on the second */
};

static void keep(struct base *base)
{
	base->there = ps_mem_names(base->p.world, 0, NULL, 0);
	assert_ok(ps_mem_snapshot_take(blobs_world(base->p.a), 0, &base->first));
	assert_ok(ps_mem_snapshot_take(base->p.world, 0, &base->second));
}

static void restore(struct base *base)
{
	ps_mem_rule_remove(blobs_world(base->p.a), 0);
	ps_mem_rule_remove(base->p.world, 0);
	(void)ps_mem_deliver(base->p.world);
	assert_ok(ps_mem_restore(blobs_world(base->p.a), 0, base->first));
	assert_ok(ps_mem_restore(base->p.world, 0, base->second));
}

static void done(struct base *base)
{
	restore(base);
	ps_mem_snapshot_free(base->first);
	ps_mem_snapshot_free(base->second);
	pair_free(&base->p);
}

/* An older state is there; the newer one adds a value and takes pads that are new. */
static void make_new_pads(struct base *base)
{
	*base = (struct base){0};
	pair_new(&base->p);
	blobs_put(base->p.a, "stays", 2 * PAD, 1);
	blobs_put(base->p.a, "changes", 1000, 2);
	(void)sync_machine(base->p.a);
	(void)copy_now(&base->p);
	blobs_put(base->p.a, "added", 2 * PAD + 1, 4);
	blobs_update(base->p.a, "changes", 2000, 3);
	(void)sync_machine(base->p.a);
	keep(base);
}

/* The newer state lies in part in pads that the older one has as well. */
static void make_reused_pads(struct base *base)
{
	*base = (struct base){0};
	pair_new(&base->p);
	blobs_put(base->p.a, "stays", 2 * PAD, 1);
	blobs_put(base->p.a, "changes", 1000, 2);
	blobs_put(base->p.a, "goes", 2 * PAD, 5);
	(void)sync_machine(base->p.a);
	(void)copy_now(&base->p);
	assert_ok(ps_remote_remove(base->p.a->r, "goes"));
	(void)sync_machine(base->p.a);
	blobs_put(base->p.a, "added", 2 * PAD + 1, 4);
	/* The index is merged again and again, into pads that it had before. */
	for (unsigned i = 0; i < 12; i++) {
		blobs_update(base->p.a, "changes", 2000, i < 11 ? 100 + i : 3);
		(void)sync_machine(base->p.a);
	}
	blobs_put(base->p.a, "more", 2 * PAD, 6);
	(void)sync_machine(base->p.a);
	keep(base);
}

static bool exists(struct blobs *b, const char *key)
{
	struct ps_remote_info info;
	int err = ps_remote_stat(b->r, key, &info);
	assert_true(err == PS_OK || err == PS_ENOTFOUND);
	return err == PS_OK && info.exists;
}

static void expect_newer(struct blobs *b)
{
	blobs_expect(b, "stays", 2 * PAD, 1);
	blobs_expect(b, "added", 2 * PAD + 1, 4);
	blobs_expect(b, "changes", 2000, 3);
}

/* The whole older state, or the whole newer one. */
static void expect_either(struct base *base)
{
	struct blobs *b = open_copy(&base->p);
	if (exists(b, "added")) {
		expect_newer(b);
	} else {
		blobs_expect(b, "stays", 2 * PAD, 1);
		blobs_expect(b, "changes", 1000, 2);
	}
	machine_free(b);
}

/* Where pads are written anew what changed may be neither, and what did not is there, as long as the copy
 * opens: it does not only between the last pads of its index and its head. */
static unsigned closed;

static void expect_what_stays(struct base *base)
{
	struct blobs *b = machine_new(base->p.a);
	snprintf(b->url, sizeof(b->url), "%s", base->p.url);
	int err = blobs_start(b, false);
	if (err == PS_OK) {
		blobs_expect(b, "stays", 2 * PAD, 1);
		if (exists(b, "added"))
			expect_newer(b);
	} else {
		assert_true(err == PS_ESUPERSEDED || err == PS_EAUTH);
		closed++;
	}
	machine_free(b);
}

static void finish(struct base *base)
{
	struct ps_remote_copy_result result = copy_now(&base->p);
	expect_whole(&base->p);
	struct blobs *b = open_copy(&base->p);
	expect_newer(b);
	machine_free(b);
	(void)result;
}

typedef void check_fn(struct base *base);

static void crash_at(struct base *base, ps_mem_world *world, enum ps_mem_fault fault, check_fn *check,
                     unsigned *states)
{
	bool hit = true;
	for (uint64_t k = 1; hit; k += stride, (*states)++) {
		struct ps_mem_rule at = {.fault = fault, .first = k, .count = 1, .amount = 3};
		struct ps_mem_rule then = {.fault = PS_MEM_VANISH, .first = k};
		unsigned first = 0, second;
		restore(base);
		if (fault != PS_MEM_VANISH)
			assert_ok(ps_mem_rule_add(world, &at, &first));
		assert_ok(ps_mem_rule_add(world, &then, &second));
		(void)!ps_remote_copy(base->p.a->r, base->p.url, NULL, NULL);
		hit = ps_mem_rule_hits(world, second) > 0 || (first && ps_mem_rule_hits(world, first) > 0);
		ps_mem_rule_remove(world, 0);
		(void)ps_mem_deliver(world);
		check(base);
		finish(base);
	}
}

static const enum ps_mem_fault faults[] = {PS_MEM_VANISH, PS_MEM_LOSE_REPLY, PS_MEM_LATE};

static void the_copy_is_a_whole_state_after_a_crash_at_any_request(void **state)
{
	struct base base;
	unsigned states = 0;
	(void)state;
	make_new_pads(&base);
	for (size_t f = 0; f < sizeof(faults) / sizeof(*faults); f++) {
		crash_at(&base, base.p.world, faults[f], expect_either, &states);
		crash_at(&base, blobs_world(base.p.a), faults[f], expect_either, &states);
	}
	print_message("%u crashes\n", states);
	done(&base);
}

static void what_is_unchanged_can_be_read_while_pads_are_written_anew(void **state)
{
	struct base base;
	unsigned states = 0;
	(void)state;
	make_reused_pads(&base);
	for (size_t f = 0; f < sizeof(faults) / sizeof(*faults); f++)
		crash_at(&base, base.p.world, faults[f], expect_what_stays, &states);
	print_message("%u crashes, %u of them right before the head\n", states, closed);
	assert_true(stride > 1 || closed > 0);
	assert_true(closed * 5 <= states); /* the last thing before the head, and short */
	done(&base);
}

/* What the network has is not sent once more: created by both calls together is what there was to create. */
static void a_repeated_copy_sends_only_what_is_not_there(void **state)
{
	struct base base;
	(void)state;
	make_new_pads(&base);
	uint64_t all = copy_now(&base.p).created;
	for (uint64_t k = 4; k < 30; k += stride) {
		struct ps_mem_rule rule = {.fault = PS_MEM_VANISH, .first = k};
		unsigned number;
		restore(&base);
		assert_ok(ps_mem_rule_add(base.p.world, &rule, &number));
		int err = ps_remote_copy(base.p.a->r, base.p.url, NULL, NULL);
		ps_mem_rule_remove(base.p.world, 0);
		uint64_t there = ps_mem_names(base.p.world, 0, NULL, 0) - base.there;
		if (err != PS_OK)
			assert_int_equal(copy_now(&base.p).created, all - there);
	}
	done(&base);
}

/* Each lie about a write, told once: the copy is right, or the call fails and the next one is. */
static void lies_of_the_second_network_are_found(void **state)
{
	static const enum ps_mem_fault lies[] = {PS_MEM_LIE_DONE, PS_MEM_TWICE,      PS_MEM_LATE,
	                                         PS_MEM_CONFLICT, PS_MEM_LOSE_REPLY, PS_MEM_THROTTLED,
	                                         PS_MEM_FULL};
	struct base base;
	(void)state;
	make_reused_pads(&base);
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++)
		for (uint64_t k = 1; k < 10; k += stride) {
			struct ps_mem_rule rule = {.fault = lies[i],
			                           .ops = 1 << PS_NET_CREATE | 1 << PS_NET_REPLACE,
			                           .first = k,
			                           .count = 1,
			                           .amount = 2};
			unsigned number;
			restore(&base);
			assert_ok(ps_mem_rule_add(base.p.world, &rule, &number));
			int err = ps_remote_copy(base.p.a->r, base.p.url, NULL, NULL);
			ps_mem_rule_remove(base.p.world, 0);
			(void)ps_mem_deliver(base.p.world);
			if (err == PS_OK)
				expect_whole(&base.p);
			finish(&base);
		}
	done(&base);
}

/* Nothing wrong gets to the second network, whatever the first one gives. */
static void lies_of_the_first_network_are_not_copied(void **state)
{
	static const struct ps_mem_rule lies[] = {
	    {.fault = PS_MEM_FLIP, .amount = 5555}, {.fault = PS_MEM_TRUNCATE, .amount = 700},
	    {.fault = PS_MEM_EXTEND, .amount = 16}, {.fault = PS_MEM_ABSENT},
	    {.fault = PS_MEM_OLD, .amount = 1},     {.fault = PS_MEM_LOSE_REQUEST},
	};
	struct base base;
	(void)state;
	make_reused_pads(&base);
	for (size_t i = 0; i < sizeof(lies) / sizeof(*lies); i++)
		for (uint64_t one_in = 1; one_in <= 4; one_in++) {
			struct ps_mem_rule rule = lies[i];
			unsigned number;
			restore(&base);
			rule.ops = 1 << PS_NET_GET;
			rule.one_in = one_in;
			assert_ok(ps_mem_rule_add(blobs_world(base.p.a), &rule, &number));
			int err = ps_remote_copy(base.p.a->r, base.p.url, NULL, NULL);
			ps_mem_rule_remove(blobs_world(base.p.a), 0);
			if (err == PS_OK)
				expect_whole(&base.p);
			else
				expect_what_stays(&base);
			finish(&base);
		}
	done(&base);
}

static void no_memory_at_any_place(void **state)
{
	struct base base;
	bool hit = true;
	(void)state;
	make_new_pads(&base);
	for (uint64_t k = 1; hit; k += stride + k / 8) {
		restore(&base);
		(void)ps_memory_fail_nth(k, 0);
		(void)!ps_remote_copy(base.p.a->r, base.p.url, NULL, NULL);
		hit = ps_memory_fail_nth(0, 0) >= k;
		expect_either(&base);
		finish(&base);
	}
	done(&base);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_copy_is_a_whole_state_after_a_crash_at_any_request),
	    cmocka_unit_test(what_is_unchanged_can_be_read_while_pads_are_written_anew),
	    cmocka_unit_test(a_repeated_copy_sends_only_what_is_not_there),
	    cmocka_unit_test(lies_of_the_second_network_are_found),
	    cmocka_unit_test(lies_of_the_first_network_are_not_copied),
	    cmocka_unit_test(no_memory_at_any_place),
	};
	if (argc > 1)
		stride = strtoull(argv[1], NULL, 10);
	return cmocka_run_group_tests_name("copy crashes", tests, NULL, NULL);
}
