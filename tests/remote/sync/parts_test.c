/* Runs of many parts: sent together, fetched ahead; and whatever becomes of one of them, the index is whole,
 * or the sync fails and the next one goes on. */
#include <stdio.h>
#include <string.h>

#include "tests/remote/sync/sync_fixture.h"

enum { KEYS = 220, PART = 4096, HUNG = 4, TIMEOUT_MS = 120000 };
enum { FAULTS = 4 }; /* as many as the fixture's retries: they may all meet one part */

/* Pads hold so little that a small index takes many. */
static void cut_small(struct blobs *b)
{
	b->r->payloads[PS_PAD_SMALL] = b->r->payloads[PS_PAD_MEDIUM] = PART;
}

static void put_keys(struct blobs *a, unsigned from, unsigned to)
{
	char key[64];
	for (unsigned i = from; i < to; i++) {
		snprintf(key, sizeof(key), "key %040u", i);
		blobs_put(a, key, 10, i);
	}
}

/* Less than large pads are used for. */
static struct blobs *new_store(void)
{
	const struct ps_remote_seams seams = {.backoff_ms = 1};
	struct blobs *a = blobs_new_with("mem", &seams);
	a->options.timeout_ms = TIMEOUT_MS;
	blobs_reopen(a);
	cut_small(a);
	put_keys(a, 0, KEYS);
	return a;
}

static int count_parts(void *arg, const struct ps_record *record)
{
	*(uint32_t *)arg += record->sets[PS_SET_CURRENT].count;
	return PS_OK;
}

static uint32_t parts_of(struct blobs *b)
{
	uint32_t parts = 0;
	assert_ok(ps_index_list(b->r->index, PS_RECORD_SYSTEM, "run ", 0, count_parts, &parts));
	return parts;
}

static void done(struct blobs *a, struct blobs *b)
{
	sync_all_machines((struct blobs *[]){a, b}, 2);
	expect_same(a, b);
	check_machines((struct blobs *[]){a, b}, 2);
	machine_free(b);
	blobs_free(a);
}

/* ---- several in flight ---- */

struct watch {
	struct blobs *b;
	ps_mem_world *world;
	unsigned rule;
	uint32_t in_flight;
	uint64_t until_ns;
};

/* Canceled when all that are to hang do, or the first is out of time. */
static int watch_requests(void *arg, const struct ps_remote_progress *progress)
{
	struct watch *w = arg;
	struct ps_workers_figures figures;
	(void)progress;
	if (ps_mem_rule_hits(w->world, w->rule) < HUNG)
		return ps_clock_now(&ps_system_clock) > w->until_ns;
	ps_workers_figures(w->b->r->workers, &figures);
	w->in_flight = figures.in_flight > w->in_flight ? figures.in_flight : w->in_flight;
	return 1;
}

/* While so many requests hang; one by one the first would be alone until it is out of time. */
static uint32_t in_flight(ps_mem_world *world, struct blobs *b, enum ps_net_op op, uint64_t first)
{
	const struct ps_mem_rule rule = {
	    .fault = PS_MEM_HANG, .ops = 1U << op, .first = first, .count = HUNG};
	struct watch watch = {.b = b, .world = world};
	watch.until_ns = ps_clock_now(&ps_system_clock) + TIMEOUT_MS * PS_MS_NS;
	assert_ok(ps_mem_rule_add(world, &rule, &watch.rule));
	assert_error(ps_remote_sync(b->r, watch_requests, &watch, NULL), PS_ECANCELED);
	ps_mem_rule_remove(world, 0);
	(void)sync_machine(b);
	return watch.in_flight;
}

static void parts_are_sent_and_fetched_together(void **state)
{
	(void)state;
	struct blobs *a = new_store(), *b = machine_open(a);
	assert_in_range(in_flight(blobs_world(a), a, PS_NET_CREATE, 1), HUNG, 64);
	assert_in_range(parts_of(a), 8, 64);
	/* The first get is the head's. */
	assert_in_range(in_flight(blobs_world(a), b, PS_NET_GET, 2), HUNG, 64);
	assert_int_equal(parts_of(b), parts_of(a));
	done(a, b);
}

/* Runs of one part each, too. */
static void many_small_runs_are_fetched_together(void **state)
{
	(void)state;
	struct blobs *a = new_store(), *b = machine_open(a);
	(void)sync_machine(a);
	(void)sync_machine(b);
	for (unsigned i = 0; i < 7; i++) {
		put_keys(a, KEYS + i, KEYS + i + 1);
		(void)sync_machine(a);
	}
	assert_in_range(in_flight(blobs_world(a), b, PS_NET_GET, 2), HUNG, 64);
	done(a, b);
}

/* ---- what becomes of one ---- */

static void what_is_not_known_of_a_part_is_settled(void **state)
{
	static const enum ps_mem_fault faults[] = {PS_MEM_LOSE_REPLY, PS_MEM_LOSE_REQUEST, PS_MEM_CONFLICT,
	                                           PS_MEM_LIE_DONE,   PS_MEM_TWICE,        PS_MEM_LATE};
	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
		const struct ps_mem_rule rule = {
		    .fault = faults[i], .ops = 1U << PS_NET_CREATE, .first = 3, .count = FAULTS, .amount = 4};
		struct blobs *a = new_store();
		unsigned number;
		assert_ok(ps_mem_rule_add(blobs_world(a), &rule, &number));
		assert_int_equal(sync_machine(a).sent, KEYS);
		assert_int_equal(ps_mem_rule_hits(blobs_world(a), number), FAULTS);
		ps_mem_rule_remove(blobs_world(a), 0);
		done(a, machine_open(a));
	}
}

/* Parts that read back as something else, again and again, go to other pads. While there are damaged reads
 * left no part is there: with three of them a part, one has three, whoever meets them; and all of them may
 * meet one. */
static void a_part_that_is_damaged_goes_to_another_pad(void **state)
{
	struct ps_mem_rule rule = {.fault = PS_MEM_FLIP, .ops = 1U << PS_NET_GET, .amount = 7777};
	uint64_t sent[2];
	(void)state;
	for (unsigned damaged = 0; damaged < 2; damaged++) {
		struct blobs *a = new_store();
		unsigned number;
		blobs_close(a);
		a->options.verify = PS_REMOTE_VERIFY_READ;
		a->options.max_recycles = (uint32_t)rule.count;
		assert_ok(blobs_start(a, false));
		cut_small(a);
		if (damaged)
			assert_ok(ps_mem_rule_add(blobs_world(a), &rule, &number));
		sent[damaged] = sync_machine(a).run_bytes;
		rule.count = 3 * parts_of(a);
		done(a, machine_open(a));
	}
	assert_true(sent[1] > sent[0]);
}

static void a_part_that_nobody_takes_ends_the_sync(void **state)
{
	const struct ps_mem_rule rule = {.fault = PS_MEM_FULL, .ops = 1U << PS_NET_CREATE, .first = 4};
	unsigned number;
	(void)state;
	struct blobs *a = new_store();
	assert_ok(ps_mem_rule_add(blobs_world(a), &rule, &number));
	sync_fails(a, PS_ENOSPC);
	assert_null(strstr(ps_last_error_message(), "cancelled")); /* that is what became of the others */
	ps_mem_rule_remove(blobs_world(a), 0);
	assert_int_equal(sync_machine(a).sent, KEYS);
	done(a, machine_open(a));
}

static int refuse_later(void *arg, const struct ps_remote_progress *progress)
{
	unsigned *calls = arg;
	return progress->phase == PS_REMOTE_RUNNING && ++*calls > 1;
}

static void a_sync_canceled_among_its_parts_goes_on_later(void **state)
{
	const struct ps_mem_rule rule = {.fault = PS_MEM_HANG, .ops = 1U << PS_NET_CREATE, .first = 3};
	unsigned number, calls = 0;
	(void)state;
	struct blobs *a = new_store(), *b = machine_open(a);
	assert_ok(ps_mem_rule_add(blobs_world(a), &rule, &number));
	assert_error(ps_remote_sync(a->r, refuse_later, &calls, NULL), PS_ECANCELED);
	ps_mem_rule_remove(blobs_world(a), 0);
	assert_int_equal(sync_machine(a).sent, KEYS);
	calls = 0;
	const struct ps_mem_rule gets = {.fault = PS_MEM_HANG, .ops = 1U << PS_NET_GET, .first = 3};
	assert_ok(ps_mem_rule_add(blobs_world(a), &gets, &number));
	assert_error(ps_remote_sync(b->r, refuse_later, &calls, NULL), PS_ECANCELED);
	ps_mem_rule_remove(blobs_world(a), 0);
	assert_int_equal(sync_machine(b).received, KEYS);
	done(a, b);
}

/* One that was fetched ahead is lost, or is another one's: nothing is taken. */
static void a_part_that_is_lost_or_another_is_found(void **state)
{
	static const enum ps_mem_fault faults[] = {PS_MEM_ABSENT, PS_MEM_FLIP, PS_MEM_TRUNCATE};
	(void)state;
	struct blobs *a = new_store(), *b = machine_open(a);
	(void)sync_machine(a);
	for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
		const struct ps_mem_rule rule = {
		    .fault = faults[i], .ops = 1U << PS_NET_GET, .first = 5, .amount = 999};
		unsigned number;
		assert_ok(ps_mem_rule_add(blobs_world(a), &rule, &number));
		sync_fails(b, faults[i] == PS_MEM_ABSENT ? PS_ELOST : PS_EAUTH);
		ps_mem_rule_remove(blobs_world(a), 0);
		assert_int_equal(count_keys(b, NULL), 0);
	}
	done(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(parts_are_sent_and_fetched_together),
	    cmocka_unit_test(many_small_runs_are_fetched_together),
	    cmocka_unit_test(what_is_not_known_of_a_part_is_settled),
	    cmocka_unit_test(a_part_that_is_damaged_goes_to_another_pad),
	    cmocka_unit_test(a_part_that_nobody_takes_ends_the_sync),
	    cmocka_unit_test(a_sync_canceled_among_its_parts_goes_on_later),
	    cmocka_unit_test(a_part_that_is_lost_or_another_is_found),
	};
	return cmocka_run_group_tests_name("sync, parts of runs", tests, NULL, NULL);
}
