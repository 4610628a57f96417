/* Machines that share a store: what one has changed, the others have after a sync. */
#include "tests/remote/sync/sync_fixture.h"

#include <stdio.h>
#include <string.h>

static void a_store_has_a_head_from_its_beginning(void **state)
{
	(void)state;
	struct ps_remote_head head;
	struct blobs *a = blobs_new("mem");
	assert_ok(ps_remote_head(a->r, &head));
	assert_int_equal(head.counter, 1);
	assert_int_equal(head.unanchored, 0);
	struct blobs *b = machine_new(a);
	assert_error(blobs_start(b, true), PS_EEXIST);
	machine_free(b);
	blobs_free(a);
}

static void opening_where_no_store_is_finds_none(void **state)
{
	(void)state;
	struct blobs *a = blobs_new("mem");
	struct blobs *b = machine_new(a);
	b->key[0] ^= 1;
	assert_error(blobs_start(b, false), PS_ENOTFOUND);
	machine_free(b);
	blobs_free(a);
}

static void what_one_machine_puts_another_reads(void **state)
{
	(void)state;
	struct blobs *a = blobs_new("mem");
	blobs_put(a, "empty", 0, 1);
	blobs_put(a, "small", 10, 2);
	blobs_put(a, "large", 300000, 3);
	struct ps_remote_sync_result result = sync_now(a);
	assert_int_equal(result.sent, 3);
	assert_int_equal(result.head, 2);
	blobs_check(a);
	/* Only the key, and a state folder with nothing in it. */
	struct blobs *b = machine_open(a);
	struct ps_remote_head head;
	assert_ok(ps_remote_head(b->r, &head));
	assert_int_equal(head.counter, 2);
	assert_int_equal(head.unanchored, 1);
	blobs_expect(b, "empty", 0, 1);
	blobs_expect(b, "small", 10, 2);
	blobs_expect(b, "large", 300000, 3);
	assert_int_equal(sync_now(b).sent, 0);
	blobs_update(b, "large", 200000, 4);
	assert_int_equal(sync_now(b).sent, 1);
	assert_int_equal(sync_now(a).received, 1);
	blobs_expect(a, "large", 200000, 4);
	check_machines((struct blobs *[]){a, b}, 2);
	machine_free(b);
	blobs_free(a);
}

static void a_sync_without_changes_writes_nothing(void **state)
{
	(void)state;
	struct ps_mem_figures figures;
	struct blobs *a = blobs_new("mem");
	blobs_put(a, "key", 10, 1);
	(void)sync_now(a);
	ps_mem_figures(blobs_world(a), &figures, true);
	struct ps_remote_sync_result result = sync_now(a);
	assert_int_equal(result.head, 2);
	ps_mem_figures(blobs_world(a), &figures, true);
	assert_int_equal(figures.requests[PS_NET_HEAD], 1);
	assert_int_equal(figures.requests[PS_NET_CREATE] + figures.requests[PS_NET_REPLACE] +
	                     figures.requests[PS_NET_GET] + figures.requests[PS_NET_GET_RANGE],
	                 0);
	blobs_free(a);
}

static void a_removed_key_stays_removed(void **state)
{
	(void)state;
	struct blobs *a = blobs_new("mem");
	blobs_put(a, "key", 1000, 1);
	blobs_put(a, "other", 1000, 2);
	(void)sync_now(a);
	struct blobs *b = machine_open(a);
	assert_ok(ps_remote_remove(a->r, "key"));
	assert_int_equal(sync_now(a).sent, 1);
	assert_int_equal(sync_now(b).removed, 1);
	expect_none(b, "key");
	blobs_update(b, "other", 500, 3);
	(void)sync_now(b);
	(void)sync_now(a);
	expect_none(a, "key");
	expect_same(a, b);
	check_machines((struct blobs *[]){a, b}, 2);
	machine_free(b);
	blobs_free(a);
}

static void both_changes_of_one_key_are_kept(void **state)
{
	(void)state;
	struct blobs *a = blobs_new("mem");
	blobs_put(a, "key", 1000, 1);
	(void)sync_now(a);
	struct blobs *b = machine_open(a);
	blobs_update(a, "key", 2000, 2);
	blobs_update(b, "key", 3000, 3);
	(void)sync_now(a);
	struct ps_remote_sync_result result = sync_now(b);
	assert_int_equal(result.conflicts, 1);
	(void)sync_now(a);
	assert_int_equal(count_keys(a, "key"), 2);
	assert_int_equal(count_keys(a, "key (conflict "), 1);
	expect_same(a, b);
	check_machines((struct blobs *[]){a, b}, 2);
	machine_free(b);
	blobs_free(a);
}

/* Deltas are merged into each other and into the base, and the pads of those that are replaced are used
 * again: the network does not grow with the number of syncs. */
static void many_syncs_leave_few_runs(void **state)
{
	(void)state;
	struct ps_remote_head head;
	struct blobs *a = blobs_new("mem");
	struct blobs *b = machine_open(a);
	for (unsigned i = 0; i < 60; i++) {
		char key[16];
		snprintf(key, sizeof(key), "key %u", i % 20);
		struct blobs *who = i % 3 == 0 ? b : a;
		if (i >= 20 && i % 5 == 0) {
			if (ps_remote_remove(who->r, key) != PS_OK)
				blobs_put(who, key, 100, i);
		} else {
			uint8_t *bytes = blobs_bytes(100 + i, i);
			struct ps_remote_put options = {.size = sizeof(options), .replace = 1};
			assert_ok(ps_remote_put(who->r, key, bytes, 100 + i, &options));
			test_free(bytes);
		}
		(void)sync_now(who);
		(void)sync_now(who == a ? b : a);
	}
	assert_ok(ps_remote_head(a->r, &head));
	assert_in_range(head.runs, 1, 10);
	expect_same(a, b);
	struct blobs *fresh = machine_open(a);
	expect_same(a, fresh);
	check_machines((struct blobs *[]){a, b}, 2);
	assert_in_range(blobs_listed(a), 20, 100);
	machine_free(fresh);
	machine_free(b);
	blobs_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_store_has_a_head_from_its_beginning),
	    cmocka_unit_test(opening_where_no_store_is_finds_none),
	    cmocka_unit_test(what_one_machine_puts_another_reads),
	    cmocka_unit_test(a_sync_without_changes_writes_nothing),
	    cmocka_unit_test(a_removed_key_stays_removed),
	    cmocka_unit_test(both_changes_of_one_key_are_kept),
	    cmocka_unit_test(many_syncs_leave_few_runs),
	};
	return cmocka_run_group_tests_name("sync", tests, NULL, NULL);
}
