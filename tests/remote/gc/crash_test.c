/* gc, cut off at every request and every local write, and shown a list that lies, or other pads than a moment
 * ago: what is live stays, whole; and called again, gc finishes. usage: gc_crash_test [all] */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remote/anchor.h"
#include "store/base_internal.h"
#include "tests/remote/gc/gc_fixture.h"
#include "tests/support/sim_disk.h"

enum { PAD = 128 << 10, LEFT = 4 };

static bool all; /* the long way */

/* A store with leftovers that are ripe. Its index lies on a simulated disk. */
struct world {
	struct blobs *a;
	struct sim_disk *disk;
	uint8_t *image;
	uint64_t image_size;
	struct ps_anchor anchor;
	char folder[256];
	ps_mem_snapshot *snapshot;
	uint32_t caps; /* of the network */
};

static int open_store(void *arg, bool make, ps_storer **store)
{
	struct world *w = arg;
	struct ps_base_options options = {.size = sizeof(options),
	                                  .durability = PS_DURABLE,
	                                  .background = PS_BACKGROUND_NONE,
	                                  .memory_budget = 4 << 20,
	                                  .log_bytes = 256 << 10,
	                                  .initial_bytes = 512 << 10};
	bool empty = sim_disk_size(w->disk) == 0;
	return ps_base_open_io(sim_disk_io(w->disk), make && empty, &options, store);
}

static void start(struct world *w)
{
	int err = blobs_start(w->a, false);
	if (err != PS_OK)
		fail_msg("does not open: %s (%s)", ps_error_name(err), ps_last_error_message());
	w->a->r->network->caps &= w->caps;
}

static void world_new(struct world *w, bool guarded)
{
	*w = (struct world){.caps = guarded ? ~0U : ~(uint32_t)PS_NET_CAP_GUARDED_REMOVE};
	w->disk = sim_disk_new(NULL, 0);
	sim_disk_set_tracing(w->disk, false);
	struct ps_remote_seams seams = {.open_store = open_store, .store_arg = w};
	w->a = gc_store_new("mem", &seams);
	blobs_put(w->a, "synced", PAD + 1, 1);
	blobs_put(w->a, "changed", 100, 2);
	(void)sync_machine(w->a);
	blobs_update(w->a, "changed", 200, 3);
	blobs_put(w->a, "not synced", PAD + 1, 4);
	gc_leave_behind(w->a, LEFT / 2);
	gc_let_ripen(w->a);
	snprintf(w->folder, sizeof(w->folder), "%s", w->a->r->folder);
	assert_ok(ps_anchor_read(w->folder, "main", &w->anchor));
	blobs_close(w->a);
	w->image_size = sim_disk_size(w->disk);
	w->image = malloc(w->image_size);
	assert_non_null(w->image);
	sim_disk_image(w->disk, w->image);
	assert_ok(ps_mem_snapshot_take(blobs_world(w->a), 0, &w->snapshot));
}

static void world_restore(struct world *w)
{
	ps_mem_rule_remove(blobs_world(w->a), 0);
	(void)ps_mem_deliver(blobs_world(w->a));
	assert_ok(ps_mem_restore(blobs_world(w->a), 0, w->snapshot));
	sim_disk_reset(w->disk, w->image, w->image_size);
	assert_ok(ps_anchor_forget(w->folder));
	assert_ok(ps_anchor_write(w->folder, &w->anchor));
	gc_now_s = 1000000 + GC_AGE_S;
	start(w);
}

static void world_free(struct world *w)
{
	world_restore(w);
	ps_mem_snapshot_free(w->snapshot);
	blobs_free(w->a);
	sim_disk_free(w->disk);
	free(w->image);
}

static void expect_live(struct blobs *a)
{
	assert_ok(ps_remote_verify(a->r, NULL, NULL));
	blobs_expect(a, "synced", PAD + 1, 1);
	blobs_expect(a, "changed", 200, 3);
	blobs_expect(a, "not synced", PAD + 1, 4);
}

/* The process is gone, the disk as it was at that moment; and a new process. */
static void crash_and_reopen(struct world *w)
{
	static uint8_t *image; /* outlives the disk over it */
	(void)ps_remote_close(w->a->r);
	ps_mem_rule_remove(blobs_world(w->a), 0);
	uint64_t size = sim_disk_size(w->disk);
	uint8_t *now = malloc(size);
	assert_non_null(now);
	sim_disk_image(w->disk, now);
	sim_disk_reset(w->disk, now, size); /* without its faults */
	free(image);
	image = now;
	start(w);
	expect_live(w->a);
}

/* A fence that was left of a deletion is a leftover of its own: a few rounds end that. */
static void see_after(struct world *w)
{
	(void)ps_mem_deliver(blobs_world(w->a));
	for (unsigned round = 0; round < 3; round++) {
		(void)gc_now(w->a, true);
		gc_now_s += GC_AGE_S;
	}
	assert_int_equal(gc_now(w->a, true).unnamed, 0);
	expect_live(w->a);
	blobs_check(w->a); /* nothing is listed that the index does not have */
	blobs_close(w->a);
}

/* ---- cuts ---- */

static void cut_at_requests(bool guarded, enum ps_mem_fault fault)
{
	struct world w;
	bool hit = true;
	unsigned states = 0;
	world_new(&w, guarded);
	for (uint64_t k = 1; hit; k++, states++) {
		struct ps_mem_rule at = {.fault = fault, .first = k, .count = 1, .amount = 3};
		struct ps_mem_rule then = {.fault = PS_MEM_VANISH, .first = k};
		unsigned first = 0, second;
		world_restore(&w);
		if (fault != PS_MEM_VANISH)
			assert_ok(ps_mem_rule_add(blobs_world(w.a), &at, &first));
		assert_ok(ps_mem_rule_add(blobs_world(w.a), &then, &second));
		(void)!gc_try(w.a, true, false, NULL);
		hit = ps_mem_rule_hits(blobs_world(w.a), second) > 0 ||
		      (first > 0 && ps_mem_rule_hits(blobs_world(w.a), first) > 0);
		if (k % 2 == 0)
			(void)ps_mem_deliver(blobs_world(w.a)); /* while nobody is there; else later */
		crash_and_reopen(&w);
		see_after(&w);
	}
	print_message("%u cuts at requests\n", states);
	assert_true(states > 5 + LEFT);
	world_free(&w);
}

static void a_cut_at_every_request(void **state)
{
	(void)state;
	cut_at_requests(true, PS_MEM_VANISH);
	cut_at_requests(true, PS_MEM_LATE);
	cut_at_requests(false, PS_MEM_LOSE_REPLY);
	if (!all)
		return;
	cut_at_requests(true, PS_MEM_LOSE_REPLY);
	cut_at_requests(false, PS_MEM_VANISH);
	cut_at_requests(false, PS_MEM_LATE);
}

static void a_cut_at_every_local_write(void **state)
{
	struct world w;
	bool hit = true;
	unsigned states = 0;
	(void)state;
	world_new(&w, true);
	for (uint64_t k = 1; hit; k++, states++) {
		world_restore(&w);
		sim_disk_fail(w.disk, k, EIO, true);
		(void)!gc_try(w.a, true, false, NULL);
		hit = sim_disk_faults(w.disk) > 0;
		crash_and_reopen(&w);
		see_after(&w);
	}
	print_message("%u cuts at local writes\n", states);
	assert_true(states > 1);
	world_free(&w);
}

/* ---- lists that lie ---- */

static struct ps_pad_name a_leftover(struct world *w)
{
	struct ps_pad_name names[64];
	size_t count = ps_mem_names(blobs_world(w->a), 0, names, 64);
	struct ps_remote_gc_result found;
	/* Whichever: without it one fewer is ripe. */
	for (size_t i = 0; i < count; i++) {
		struct ps_mem_rule hide = {
		    .fault = PS_MEM_ABSENT, .ops = 1U << PS_NET_LIST, .named = true, .name = names[i]};
		unsigned rule;
		assert_ok(ps_mem_rule_add(blobs_world(w->a), &hide, &rule));
		assert_ok(gc_try(w->a, false, false, &found));
		ps_mem_rule_remove(blobs_world(w->a), rule);
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
	world_new(&w, true);
	world_restore(&w);
	struct ps_pad_name hidden = a_leftover(&w);
	blobs_close(w.a);
	world_restore(&w);
	struct ps_mem_rule hide = {
	    .fault = PS_MEM_ABSENT, .ops = 1U << PS_NET_LIST, .named = true, .name = hidden, .count = 1};
	assert_ok(ps_mem_rule_add(blobs_world(w.a), &hide, NULL));
	assert_int_equal(gc_now(w.a, false).ripe, LEFT - 1);
	struct ps_remote_gc_result found = gc_now(w.a, true);
	assert_int_equal(found.deleted, LEFT - 1);
	assert_int_equal(found.unnamed, LEFT);
	gc_now_s += GC_AGE_S;
	assert_int_equal(gc_now(w.a, true).deleted, 1);
	see_after(&w);
	world_free(&w);
}

static void what_a_list_has_twice_or_without_a_pad_changes_nothing(void **state)
{
	struct world w;
	unsigned rule;
	(void)state;
	world_new(&w, true);
	world_restore(&w);
	struct ps_mem_rule twice = {.fault = PS_MEM_TWICE, .ops = 1U << PS_NET_LIST};
	assert_ok(ps_mem_rule_add(blobs_world(w.a), &twice, &rule));
	struct ps_remote_gc_result found = gc_now(w.a, true);
	assert_int_equal(found.deleted, LEFT);
	ps_mem_rule_remove(blobs_world(w.a), rule);
	/* An old list: with all that was there before. */
	struct ps_mem_rule frozen = {
	    .fault = PS_MEM_FROZEN, .ops = 1U << PS_NET_LIST, .snapshot = w.snapshot};
	assert_ok(ps_mem_rule_add(blobs_world(w.a), &frozen, &rule));
	found = gc_now(w.a, true);
	assert_int_equal(found.deleted + found.unnamed + found.foreign, 0);
	ps_mem_rule_remove(blobs_world(w.a), rule);
	see_after(&w);
	world_free(&w);
}

static void bytes_that_are_altered_are_not_ours(void **state)
{
	struct world w;
	unsigned rule;
	(void)state;
	world_new(&w, true);
	world_restore(&w);
	struct ps_mem_rule flip = {.fault = PS_MEM_FLIP, .ops = 1U << PS_NET_GET_RANGE, .amount = 600};
	assert_ok(ps_mem_rule_add(blobs_world(w.a), &flip, &rule));
	struct ps_remote_gc_result found = gc_now(w.a, true);
	assert_int_equal(found.deleted + found.unnamed, 0);
	assert_int_equal(found.foreign, LEFT);
	ps_mem_rule_remove(blobs_world(w.a), rule);
	see_after(&w);
	world_free(&w);
}

/* ---- another machine writes meanwhile ---- */

/* Of another machine, whose put ended with everything lost but one write, which comes `after` requests of
 * ours: into a pad that was free to it. */
static void race(bool guarded, bool *more, uint64_t after)
{
	struct blobs *a = gc_store_new("mem", NULL), *b = machine_open(a);
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
	struct blobs *a = gc_store_new("mem", NULL), *b = machine_open(a);
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
	struct blobs *a = gc_store_new("mem", NULL), *b = machine_open(a);
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

static int refuse_later(void *arg, const struct ps_remote_progress *progress)
{
	unsigned *left = arg;
	if (progress->phase != PS_REMOTE_RUNNING)
		return 0;
	if (*left > 0)
		*left -= 1;
	return *left == 0;
}

static uint64_t now_ms(void)
{
	return ps_clock_now(&ps_system_clock) / PS_MS_NS;
}

/* The network hangs at this kind of request; the caller gives up after a moment, and goes on later. */
static void give_up_at(enum ps_net_op op, bool guarded)
{
	struct world w;
	unsigned left = 3, rule;
	struct ps_mem_rule hang = {.fault = PS_MEM_HANG, .ops = 1U << op};
	struct ps_remote_gc options = {.size = sizeof(options),
	                               .apply = 1,
	                               .age_s = GC_AGE_S,
	                               .progress = refuse_later,
	                               .progress_arg = &left};
	world_new(&w, guarded);
	world_restore(&w);
	assert_ok(ps_mem_rule_add(blobs_world(w.a), &hang, &rule));
	uint64_t begun = now_ms();
	assert_error(ps_remote_gc(w.a->r, &options, NULL), PS_ECANCELED);
	assert_in_range(now_ms() - begun, 0, 1999);
	assert_true(ps_mem_rule_hits(blobs_world(w.a), rule) > 0);
	ps_mem_rule_remove(blobs_world(w.a), rule);
	expect_live(w.a);
	see_after(&w);
	world_free(&w);
}

static void a_caller_who_gives_up_is_back_at_once(void **state)
{
	(void)state;
	give_up_at(PS_NET_LIST, true);
	give_up_at(PS_NET_GET_RANGE, true);
	give_up_at(PS_NET_REMOVE, true);
	give_up_at(PS_NET_REPLACE, false);
}

/* ---- memory ---- */

static void without_memory_nothing_is_lost(void **state)
{
	struct world w;
	int err = PS_ENOMEM;
	uint64_t nth;
	(void)state;
	world_new(&w, false);
	for (nth = 1; err != PS_OK; nth += all ? 1 : 7) {
		world_restore(&w);
		(void)ps_memory_fail_nth(nth, 0);
		err = gc_try(w.a, true, false, NULL);
		(void)ps_memory_fail_nth(0, 0);
		if (err != PS_OK && err != PS_ENOMEM && err != PS_EUNAVAILABLE && err != PS_EIO)
			fail_msg("%s (%s)", ps_error_name(err), ps_last_error_message());
		blobs_close(w.a);
		start(&w);
		expect_live(w.a);
		if (all)
			see_after(&w);
		else
			blobs_close(w.a);
	}
	print_message("%u allocations\n", (unsigned)nth);
	assert_true(nth > 20);
	world_free(&w);
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
