/* gc, cut off at every request and every local write, and shown a list that lies, or other pads than a moment
 * ago: what is live stays, whole; and called again, gc finishes. usage: gc_crash_test [all] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/remote/blobs/crash_world.h"
#include "tests/remote/gc/gc_fixture.h"

enum { PAD = 128 << 10, LEFT = 4 };

static bool all; /* the long way */

/* ---- a store with leftovers that are ripe ---- */

static void make_base(struct world *w)
{
	gc_use_clock(w->b);
	blobs_reopen(w->b);
	blobs_put(w->b, "synced", PAD + 1, 1);
	blobs_put(w->b, "changed", 100, 2);
	(void)sync_machine(w->b);
	blobs_update(w->b, "changed", 200, 3);
	blobs_put(w->b, "not synced", PAD + 1, 4);
	gc_leave_behind(w->b, LEFT / 2);
	gc_let_ripen(w->b);
}

static void begun(struct world *w)
{
	(void)w;
	gc_now_s = 1000000 + GC_AGE_S;
}

static void new_world(struct world *w)
{
	gc_now_s = 1000000;
	world_new(w, make_base);
	w->leftovers = true;
	w->begun = begun;
}

static void expect_live(struct blobs *b)
{
	assert_ok(ps_remote_verify(b->r, NULL, NULL));
	blobs_expect(b, "synced", PAD + 1, 1);
	blobs_expect(b, "changed", 200, 3);
	blobs_expect(b, "not synced", PAD + 1, 4);
}

/* A fence that was left of a deletion is a leftover of its own: a few rounds end that. */
static void expect_finished(struct blobs *b)
{
	(void)ps_mem_deliver(blobs_world(b));
	for (unsigned round = 0; round < 3; round++) {
		(void)gc_now(b, true);
		gc_now_s += GC_AGE_S;
	}
	assert_int_equal(gc_now(b, true).unnamed, 0);
	expect_live(b);
	blobs_check(b); /* nothing is listed that the index does not have */
}

static void end_world(struct world *w)
{
	expect_finished(w->b);
	blobs_close(w->b);
	world_free(w);
}

/* ---- cuts ---- */

static int collect(struct world *w)
{
	return gc_try(w->b, true, false, NULL);
}

static int collect_unguarded(struct world *w)
{
	w->b->r->network->caps &= ~(uint32_t)PS_NET_CAP_GUARDED_REMOVE;
	return collect(w);
}

static void check(struct world *w, bool done)
{
	expect_live(w->b);
	if (done)
		expect_finished(w->b);
}

static const struct step guarded_step = {"gc", collect, check};
static const struct step fenced_step = {"gc, unguarded", collect_unguarded, check};

static void cut_at_requests(struct world *w, const struct step *step, enum ps_mem_fault fault)
{
	unsigned states = world_crash_at_requests(w, step, fault, 1);
	print_message("%u cuts at requests\n", states);
	assert_true(states > 5 + LEFT);
}

static void a_cut_at_every_request(void **state)
{
	struct world w;
	(void)state;
	new_world(&w);
	cut_at_requests(&w, &guarded_step, PS_MEM_VANISH);
	cut_at_requests(&w, &fenced_step, PS_MEM_LOSE_REPLY);
	if (all) {
		cut_at_requests(&w, &guarded_step, PS_MEM_LATE);
		cut_at_requests(&w, &guarded_step, PS_MEM_LOSE_REPLY);
		cut_at_requests(&w, &fenced_step, PS_MEM_VANISH);
		cut_at_requests(&w, &fenced_step, PS_MEM_LATE);
	}
	world_free(&w);
}

static void a_cut_at_every_local_write(void **state)
{
	struct world w;
	(void)state;
	new_world(&w);
	unsigned states = world_crash_at_local_writes(&w, &guarded_step, 1);
	print_message("%u cuts at local writes\n", states);
	assert_true(states > 1);
	world_free(&w);
}

static void without_memory_nothing_is_lost(void **state)
{
	struct world w;
	(void)state;
	new_world(&w);
	unsigned states = world_without_memory(&w, &fenced_step, all ? 1 : 5);
	print_message("%u times without memory\n", states);
	assert_true(states > 10);
	world_free(&w);
}

/* ---- lists that lie ---- */

static struct ps_pad_name a_leftover(struct world *w)
{
	struct ps_pad_name names[64];
	size_t count = ps_mem_names(blobs_world(w->b), 0, names, 64);
	struct ps_remote_gc_result found;
	/* Whichever: without it one fewer is ripe. */
	for (size_t i = 0; i < count; i++) {
		struct ps_mem_rule hide = {
		    .fault = PS_MEM_ABSENT, .ops = 1U << PS_NET_LIST, .named = true, .name = names[i]};
		unsigned rule;
		assert_ok(ps_mem_rule_add(blobs_world(w->b), &hide, &rule));
		assert_ok(gc_try(w->b, false, false, &found));
		ps_mem_rule_remove(blobs_world(w->b), rule);
		if (found.unnamed == LEFT - 1)
			return names[i];
	}
	fail_msg("no pad is left over");
	return names[0];
}

static void what_a_list_leaves_out_begins_anew(void **state)
{
	struct world w;
	(void)state;
	new_world(&w);
	world_restore(&w);
	struct ps_pad_name hidden = a_leftover(&w);
	blobs_close(w.b);
	world_restore(&w);
	struct ps_mem_rule hide = {
	    .fault = PS_MEM_ABSENT, .ops = 1U << PS_NET_LIST, .named = true, .name = hidden, .count = 1};
	assert_ok(ps_mem_rule_add(blobs_world(w.b), &hide, NULL));
	assert_int_equal(gc_now(w.b, false).ripe, LEFT - 1);
	struct ps_remote_gc_result found = gc_now(w.b, true);
	assert_int_equal(found.deleted, LEFT - 1);
	assert_int_equal(found.unnamed, LEFT);
	gc_now_s += GC_AGE_S;
	assert_int_equal(gc_now(w.b, true).deleted, 1);
	end_world(&w);
}

static void what_a_list_has_twice_or_without_a_pad_changes_nothing(void **state)
{
	struct world w;
	unsigned rule;
	(void)state;
	new_world(&w);
	world_restore(&w);
	struct ps_mem_rule twice = {.fault = PS_MEM_TWICE, .ops = 1U << PS_NET_LIST};
	assert_ok(ps_mem_rule_add(blobs_world(w.b), &twice, &rule));
	struct ps_remote_gc_result found = gc_now(w.b, true);
	assert_int_equal(found.deleted, LEFT);
	ps_mem_rule_remove(blobs_world(w.b), rule);
	/* An old list: with all that was there before. */
	struct ps_mem_rule frozen = {
	    .fault = PS_MEM_FROZEN, .ops = 1U << PS_NET_LIST, .snapshot = w.snapshot};
	assert_ok(ps_mem_rule_add(blobs_world(w.b), &frozen, &rule));
	found = gc_now(w.b, true);
	assert_int_equal(found.deleted + found.unnamed + found.foreign, 0);
	ps_mem_rule_remove(blobs_world(w.b), rule);
	end_world(&w);
}

static void bytes_that_are_altered_are_not_ours(void **state)
{
	struct world w;
	unsigned rule;
	(void)state;
	new_world(&w);
	world_restore(&w);
	struct ps_mem_rule flip = {.fault = PS_MEM_FLIP, .ops = 1U << PS_NET_GET_RANGE, .amount = 600};
	assert_ok(ps_mem_rule_add(blobs_world(w.b), &flip, &rule));
	struct ps_remote_gc_result found = gc_now(w.b, true);
	assert_int_equal(found.deleted + found.unnamed, 0);
	assert_int_equal(found.foreign, LEFT);
	ps_mem_rule_remove(blobs_world(w.b), rule);
	end_world(&w);
}

/* ---- another machine writes meanwhile ---- */

/* Of another machine, whose put ended with everything lost but one write, which comes `after` requests of
 * ours: into a pad that was free to it. */
static void race(bool guarded, bool *more, uint64_t after)
{
	struct blobs *a = gc_store_new("mem"), *b = machine_open(a);
	struct ps_mem_rule late = {
	    .fault = PS_MEM_LATE, .ops = 1U << PS_NET_REPLACE, .count = 1, .amount = after};
	struct ps_mem_rule gone = {.fault = PS_MEM_VANISH};
	uint8_t *bytes = blobs_bytes(PAD, 9);
	uint32_t caps = guarded ? ~0U : ~(uint32_t)PS_NET_CAP_GUARDED_REMOVE;
	struct ps_mem_figures before, now;
	a->r->network->caps &= caps;
	blobs_put(a, "of a", 10, 1);
	(void)sync_machine(a);
	assert_ok(ps_remote_reserve(b->r, 1, 0));
	gc_let_ripen(a);
	(void)gc_now(a, false);
	ps_mem_figures(blobs_world(a), &before, false);
	assert_ok(ps_mem_rule_add(blobs_world(a), &late, NULL));
	assert_ok(ps_mem_rule_add(blobs_world(a), &gone, NULL));
	assert_int_not_equal(ps_remote_put(b->r, "of b", bytes, PAD, NULL), PS_OK);
	ps_mem_rule_remove(blobs_world(a), 0);
	assert_ok(gc_try(a, true, true, NULL));
	ps_mem_figures(blobs_world(a), &now, false);
	uint64_t asked = 0;
	for (unsigned op = 0; op < PS_MEM_OPS; op++)
		asked += now.requests[op] - before.requests[op];
	*more = after < asked + 3;
	(void)ps_mem_deliver(blobs_world(a));
	/* b goes on, and tells of it. */
	assert_ok(ps_remote_put(b->r, "of b", bytes, PAD, NULL));
	blobs_expect(b, "of b", PAD, 9);
	(void)sync_machine(b);
	(void)sync_machine(a);
	blobs_expect(a, "of b", PAD, 9);
	blobs_expect(a, "of a", 10, 1);
	test_free(bytes);
	machine_free(b);
	blobs_free(a);
}

static void who_writes_meanwhile_keeps_what_he_wrote(void **state)
{
	bool more = true;
	uint64_t after;
	(void)state;
	for (after = 0; more; after++)
		race(true, &more, after);
	assert_true(after > 5);
	more = true;
	for (after = 0; more; after++)
		race(false, &more, after);
	assert_true(after > 5);
}

/* The removal itself comes late, when to b the pad has long been one with a value in it. */
static void late_removal(bool guarded)
{
	struct blobs *a = gc_store_new("mem"), *b = machine_open(a);
	struct ps_mem_rule late = {.fault = PS_MEM_LATE, .ops = 1U << PS_NET_REMOVE, .amount = 1000000};
	struct ps_remote_stats stats;
	unsigned rule;
	if (!guarded)
		a->r->network->caps &= ~(uint32_t)PS_NET_CAP_GUARDED_REMOVE;
	blobs_put(a, "of a", 10, 1);
	(void)sync_machine(a);
	assert_ok(ps_remote_reserve(b->r, 3, 0));
	gc_let_ripen(a);
	(void)gc_now(a, false);
	assert_ok(ps_mem_rule_add(blobs_world(a), &late, &rule));
	assert_error(gc_try(a, true, true, NULL), PS_EUNAVAILABLE);
	assert_true(ps_mem_rule_hits(blobs_world(a), rule) >= 3);
	ps_mem_rule_remove(blobs_world(a), rule);
	blobs_stats(b, &stats);
	assert_int_equal(stats.free_pads, 3);
	blobs_put(b, "of b", 3 * PAD, 9);
	(void)ps_mem_deliver(blobs_world(a));
	blobs_expect(b, "of b", 3 * PAD, 9);
	(void)sync_machine(b);
	(void)sync_machine(a);
	blobs_expect(a, "of b", 3 * PAD, 9);
	machine_free(b);
	blobs_free(a);
}

static void a_removal_that_comes_late_meets_nothing_that_lives(void **state)
{
	(void)state;
	late_removal(true);
	late_removal(false);
}

/* ---- a head that comes meanwhile ---- */

static uint64_t requests_of(ps_mem_world *world)
{
	struct ps_mem_figures figures;
	uint64_t all_of = 0;
	ps_mem_figures(world, &figures, false);
	for (unsigned op = 0; op < PS_MEM_OPS; op++)
		all_of += figures.requests[op];
	return all_of;
}

static uint64_t counter_of_head(struct blobs *b)
{
	struct ps_pad_name head = head_name_of(b);
	struct ps_pad_identity identity;
	size_t len;
	assert_ok(ps_mem_look(blobs_world(b), 0, &head, &identity, NULL, 0, &len));
	return identity.counter;
}

/* The head of b, which ends before anybody has heard of it, comes so many requests later. */
static void lose_head(struct blobs *a, struct blobs *b, uint64_t after)
{
	struct ps_pad_name head = head_name_of(a);
	struct ps_mem_rule rules[] = {
	    {.fault = PS_MEM_LATE, .ops = 1U << PS_NET_REPLACE, .count = 1, .amount = after},
	    {.fault = PS_MEM_VANISH, .ops = 1U << PS_NET_REPLACE},
	    {.fault = PS_MEM_VANISH, .ops = 1U << PS_NET_HEAD, .first = 2}};
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		rules[i].named = true;
		rules[i].name = head;
		assert_ok(ps_mem_rule_add(blobs_world(a), &rules[i], NULL));
	}
	assert_int_not_equal(ps_remote_sync(b->r, NULL, NULL, NULL), PS_OK);
	ps_mem_rule_remove(blobs_world(a), 0);
}

struct meanwhile {
	bool early;     /* the head was there before gc began */
	bool spared;    /* nothing was deleted */
	uint64_t looks; /* requests of gc before it deletes anything */
};

static struct meanwhile head_comes(uint64_t after)
{
	struct blobs *a = gc_store_new("mem"), *b = machine_open(a);
	struct ps_remote_gc_result found;
	blobs_put(b, "first", 10, 1);
	(void)sync_machine(b);
	uint64_t counter = counter_of_head(a);
	blobs_put(b, "of b", 6 * PAD, 9);
	gc_let_ripen(a);
	uint64_t before = requests_of(blobs_world(a));
	assert_true(gc_now(a, false).ripe > 0);
	struct meanwhile m = {.looks = requests_of(blobs_world(a)) - before};
	lose_head(a, b, after);
	m.early = counter_of_head(a) > counter;
	assert_ok(gc_try(a, true, true, &found));
	m.spared = found.deleted == 0;
	(void)ps_mem_deliver(blobs_world(a));
	if (m.spared) {
		(void)sync_machine(b);
		(void)sync_machine(a);
		blobs_expect(a, "of b", 6 * PAD, 9);
	}
	machine_free(b);
	blobs_free(a);
	return m;
}

/* Whenever it comes, up to the last look before anything is deleted. */
static void what_a_head_names_that_comes_meanwhile_is_spared(void **state)
{
	uint64_t during = 0, after = 0;
	struct meanwhile m;
	(void)state;
	do {
		m = head_comes(after++);
		during += m.spared && !m.early;
	} while (m.spared);
	print_message("%u of %u moments\n", (unsigned)during, (unsigned)m.looks + 1);
	assert_true(during >= m.looks);
}

/* ---- a caller who does not want to wait ---- */

/* Refuses once a request hangs. */
struct refusal {
	ps_mem_world *world;
	unsigned rule;
};

static int refuse_hanging(void *arg, const struct ps_remote_progress *progress)
{
	const struct refusal *refusal = arg;
	return progress->phase == PS_REMOTE_RUNNING && ps_mem_rule_hits(refusal->world, refusal->rule) > 0;
}

/* The network hangs at this kind of request; the caller gives up after a moment, and goes on later. */
static void give_up_at(enum ps_net_op op, bool guarded)
{
	struct world w;
	struct refusal refusal;
	struct ps_mem_rule hang = {.fault = PS_MEM_HANG, .ops = 1U << op};
	struct ps_remote_gc options = {.size = sizeof(options),
	                               .apply = 1,
	                               .age_s = GC_AGE_S,
	                               .progress = refuse_hanging,
	                               .progress_arg = &refusal};
	new_world(&w);
	world_restore(&w);
	if (!guarded)
		w.b->r->network->caps &= ~(uint32_t)PS_NET_CAP_GUARDED_REMOVE;
	refusal.world = blobs_world(w.b);
	assert_ok(ps_mem_rule_add(refusal.world, &hang, &refusal.rule));
	assert_error(ps_remote_gc(w.b->r, &options, NULL), PS_ECANCELED); /* no time-out has ended it */
	assert_true(ps_mem_rule_hits(refusal.world, refusal.rule) > 0);
	ps_mem_rule_remove(refusal.world, refusal.rule);
	expect_live(w.b);
	end_world(&w);
}

static void a_caller_who_gives_up_is_back_at_once(void **state)
{
	(void)state;
	give_up_at(PS_NET_LIST, true);
	give_up_at(PS_NET_GET_RANGE, true);
	give_up_at(PS_NET_REMOVE, true);
	give_up_at(PS_NET_REPLACE, false);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_cut_at_every_request),
	    cmocka_unit_test(a_cut_at_every_local_write),
	    cmocka_unit_test(what_a_list_leaves_out_begins_anew),
	    cmocka_unit_test(what_a_list_has_twice_or_without_a_pad_changes_nothing),
	    cmocka_unit_test(bytes_that_are_altered_are_not_ours),
	    cmocka_unit_test(who_writes_meanwhile_keeps_what_he_wrote),
	    cmocka_unit_test(a_removal_that_comes_late_meets_nothing_that_lives),
	    cmocka_unit_test(what_a_head_names_that_comes_meanwhile_is_spared),
	    cmocka_unit_test(a_caller_who_gives_up_is_back_at_once),
	    cmocka_unit_test(without_memory_nothing_is_lost),
	};
	all = argc > 1 && strcmp(argv[1], "all") == 0;
	return cmocka_run_group_tests_name("gc, crashes", tests, NULL, NULL);
}
