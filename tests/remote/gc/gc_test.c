/* gc and audit: what is left over is found and goes, in its time; what is named, young, of others or public
 * stays. usage: gc_test mem|dir */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/remote/gc/gc_fixture.h"

static const char *scheme = "mem";

enum { PAD = 128 << 10, VALUES = 6 };

static struct blobs *store_with_values(void)
{
	struct blobs *a = gc_store_new(scheme);
	for (unsigned i = 0; i < VALUES; i++) {
		char key[16];
		snprintf(key, sizeof(key), "key %u", i);
		blobs_put(a, key, i * PAD / 2, i);
	}
	(void)sync_machine(a);
	blobs_update(a, "key 1", 300, 11);          /* pads of a base version */
	assert_ok(ps_remote_remove(a->r, "key 5")); /* and of a tombstone */
	assert_ok(ps_remote_reserve(a->r, 3, 0));   /* free ones */
	return a;
}

static void expect_values(struct blobs *a)
{
	blobs_expect(a, "key 0", 0, 0);
	blobs_expect(a, "key 1", 300, 11);
	for (unsigned i = 2; i < VALUES - 1; i++) {
		char key[16];
		snprintf(key, sizeof(key), "key %u", i);
		blobs_expect(a, key, i * PAD / 2, i);
	}
}

static void what_a_burned_machine_left_goes_after_two_listings(void **state)
{
	struct blobs *a = store_with_values();
	size_t before = blobs_listed(a);
	(void)state;
	gc_leave_behind(a, 3);
	assert_int_equal(blobs_listed(a), before + 6);

	struct ps_remote_gc_result found = gc_now(a, true);
	assert_int_equal(found.listed, before + 7); /* and the head */
	assert_int_equal(found.named, before + 1);
	assert_int_equal(found.unnamed, 6);
	assert_int_equal(found.ripe + found.deleted + found.foreign, 0);
	assert_int_equal(found.next_ns, (gc_now_s + GC_AGE_S) * PS_SECOND_NS);
	gc_now_s += GC_AGE_S - 1;
	found = gc_now(a, true);
	assert_int_equal(found.ripe + found.deleted, 0);
	gc_now_s += 1;
	found = gc_now(a, false);
	assert_int_equal(found.ripe, 6);
	assert_int_equal(found.deleted, 0);
	assert_int_equal(blobs_listed(a), before + 6);
	blobs_reopen(a); /* what was found is remembered */
	found = gc_now(a, true);
	assert_int_equal(found.deleted, 6);
	assert_true(found.deleted_bytes > 3 * PAD && found.deleted_bytes == found.unnamed_bytes);
	assert_int_equal(blobs_listed(a), before);
	found = gc_now(a, true);
	assert_int_equal(found.unnamed + found.deleted, 0);
	expect_values(a);
	blobs_check(a);
	blobs_free(a);
}

/* ---- time ---- */

static void a_clock_that_was_set_back_shortens_nothing(void **state)
{
	struct blobs *a = store_with_values();
	(void)state;
	gc_leave_behind(a, 1);
	/* Set back between the two. */
	(void)gc_now(a, true);
	gc_now_s -= 10 * GC_AGE_S;
	assert_int_equal(gc_now(a, true).ripe, 0);
	gc_now_s += 10 * GC_AGE_S + GC_AGE_S - 1;
	assert_int_equal(gc_now(a, true).ripe, 0);
	gc_now_s += 1;
	assert_int_equal(gc_now(a, true).deleted, 2);
	/* Wrong when they were found first, and put right. */
	gc_now_s -= 10 * GC_AGE_S;
	gc_leave_behind(a, 1);
	assert_int_equal(gc_now(a, true).unnamed, 2);
	gc_now_s += 10 * GC_AGE_S + 1;
	assert_int_equal(gc_now(a, true).ripe, 0);
	gc_now_s += GC_AGE_S;
	assert_int_equal(gc_now(a, true).deleted, 2);
	blobs_free(a);
}

/* Wrong when they were found first, on a machine that has never run gc; its own head knows better. */
static void the_machines_own_head_tells_the_time_too(void **state)
{
	struct blobs *a = store_with_values();
	(void)state;
	gc_leave_behind(a, 1);
	gc_now_s -= 10 * GC_AGE_S;
	(void)gc_now(a, true);
	gc_now_s += 10 * GC_AGE_S + GC_AGE_S - 1;
	assert_int_equal(gc_now(a, true).ripe, 0);
	gc_now_s += 1;
	assert_int_equal(gc_now(a, true).deleted, 2);
	blobs_free(a);
}

/* ---- other machines ---- */

static void a_machine_that_was_not_heard_of_stops_it(void **state)
{
	struct blobs *a = store_with_values(), *b = machine_open(a);
	struct ps_remote_gc_result found;
	(void)state;
	(void)sync_machine(a);
	(void)sync_machine(b);
	blobs_put(b, "of b", PAD + 1, 50);
	(void)sync_machine(b); /* listed from now on */
	blobs_put(b, "later", 8 * PAD, 51);
	gc_let_ripen(a);
	assert_int_equal(gc_now(a, false).silent, 1);
	assert_error(gc_try(a, true, false, NULL), PS_EBUSY);
	blobs_expect(b, "later", 8 * PAD, 51);
	/* What it has synced meanwhile is named. */
	(void)sync_machine(b);
	found = gc_now(a, true);
	assert_int_equal(found.deleted + found.ripe + found.silent, 0);
	blobs_expect(b, "later", 8 * PAD, 51);
	/* A machine that is gone for good has to be passed over. */
	blobs_put(b, "lost", 8 * PAD, 52);
	machine_free(b);
	gc_let_ripen(a);
	assert_error(gc_try(a, true, false, NULL), PS_EBUSY);
	assert_ok(gc_try(a, true, true, &found));
	assert_true(found.deleted >= 2);
	assert_int_equal(found.silent, 1);
	(void)sync_machine(a);
	blobs_expect(a, "of b", PAD + 1, 50);
	blobs_expect(a, "later", 8 * PAD, 51);
	expect_values(a);
	blobs_free(a);
}

static int take_other(void *arg, const struct ps_remote_machine *machine)
{
	if (!machine->self)
		snprintf(arg, 33, "%s", machine->id);
	return 0;
}

static void a_machine_that_was_dropped_is_not_waited_for(void **state)
{
	struct blobs *a = store_with_values(), *b = machine_open(a);
	struct ps_remote_gc_result found;
	char id[33] = "";
	(void)state;
	blobs_put(b, "of b", PAD + 1, 50);
	(void)sync_machine(b);
	blobs_put(b, "lost", 8 * PAD, 51);
	machine_free(b);
	gc_let_ripen(a);
	assert_error(gc_try(a, true, false, NULL), PS_EBUSY);
	(void)sync_machine(a);
	assert_ok(ps_remote_machines(a->r, take_other, id));
	assert_ok(ps_remote_drop_machine(a->r, id, NULL));
	found = gc_now(a, true);
	assert_true(found.deleted >= 7);
	assert_int_equal(found.silent, 0);
	blobs_expect(a, "of b", PAD + 1, 50);
	expect_values(a);
	blobs_free(a);
}

/* It has written a head since they were found, and then one more while they are deleted. */
static void what_the_newest_head_names_is_spared(void **state)
{
	struct blobs *a = store_with_values(), *b = machine_open(a);
	(void)state;
	blobs_put(b, "of b", PAD + 1, 50);
	struct ps_remote_gc_result found = gc_now(a, false);
	assert_true(found.unnamed >= 2);
	gc_now_s += GC_AGE_S;
	(void)sync_machine(b);
	found = gc_now(a, true); /* a itself has not synced */
	assert_int_equal(found.deleted, 0);
	blobs_expect(b, "of b", PAD + 1, 50);
	(void)sync_machine(a);
	blobs_expect(a, "of b", PAD + 1, 50);
	machine_free(b);
	blobs_free(a);
}

/* To b it is a free pad: b may use it at any time, and tell of it later. */
static void a_pad_that_is_used_again_begins_anew(void **state)
{
	struct blobs *a = store_with_values(), *b = machine_open(a);
	struct ps_remote_gc_result found;
	(void)state;
	assert_ok(ps_remote_reserve(b->r, 4, 0));
	gc_let_ripen(a);
	assert_int_equal(gc_now(a, false).ripe, 4);
	blobs_put(b, "of b", 3 * PAD, 60);
	found = gc_now(a, false);
	assert_int_equal(found.unnamed, 4);
	assert_int_equal(found.ripe, 1);
	found = gc_now(a, true);
	assert_int_equal(found.deleted, 1);
	/* What b thinks is free is not there: it takes another one. */
	blobs_put(b, "more of b", 2 * PAD, 61);
	blobs_expect(b, "of b", 3 * PAD, 60);
	blobs_expect(b, "more of b", 2 * PAD, 61);
	(void)sync_machine(b);
	(void)sync_machine(a);
	blobs_expect(a, "of b", 3 * PAD, 60);
	machine_free(b);
	blobs_free(a);
}

/* Whoever syncs next finds that out for one of them, and does not try all. */
static void a_sync_whose_free_pads_are_all_gone_takes_new_ones(void **state)
{
	struct blobs *a = store_with_values(), *b = machine_open(a);
	struct ps_remote_gc_result found;
	(void)state;
	blobs_put(b, "of b", 100, 60);
	(void)sync_machine(b);
	assert_ok(ps_remote_reserve(b->r, 9, 0));
	gc_let_ripen(a);
	assert_ok(gc_try(a, true, true, &found));
	assert_true(found.deleted >= 8);
	assert_ok(ps_remote_remove(b->r, "of b"));
	(void)sync_machine(b);
	(void)sync_machine(a);
	expect_none(a, "of b");
	machine_free(b);
	blobs_free(a);
}

/* Its confirmed pads were deleted meanwhile: they are looked at, and sent again. */
static void an_interrupted_put_of_a_shared_store_finds_out(void **state)
{
	struct blobs *a = store_with_values(), *b = machine_open(a);
	struct ps_remote_put stop = {.size = sizeof(stop), .max_pads = 0};
	struct ps_remote_gc_result found;
	uint8_t *bytes = blobs_bytes(4 * PAD, 70);
	(void)state, (void)stop;
	blobs_put(b, "first", 10, 69);
	(void)sync_machine(b);
	if (strcmp(scheme, "mem") != 0) {
		machine_free(b);
		blobs_free(a);
		test_free(bytes);
		return;
	}
	unsigned rule;
	struct ps_mem_rule full = {.fault = PS_MEM_FULL, .ops = 1U << PS_NET_CREATE, .first = 3};
	assert_ok(ps_mem_rule_add(blobs_world(a), &full, &rule));
	assert_error(ps_remote_put(b->r, "big", bytes, 4 * PAD, NULL), PS_ENOSPC);
	ps_mem_rule_remove(blobs_world(a), rule);
	assert_int_equal(gc_now(a, false).unnamed, 2);
	gc_now_s += GC_AGE_S;
	assert_ok(gc_try(a, true, true, &found));
	assert_int_equal(found.deleted, 2);
	assert_ok(ps_remote_put(b->r, "big", bytes, 4 * PAD, NULL));
	blobs_expect(b, "big", 4 * PAD, 70);
	(void)sync_machine(b);
	(void)sync_machine(a);
	blobs_expect(a, "big", 4 * PAD, 70);
	test_free(bytes);
	machine_free(b);
	blobs_free(a);
}

/* ---- what is not ours ---- */

static void set_garbage(struct blobs *a, uint64_t seed, size_t len)
{
	struct ps_pad_name name;
	struct ps_pad_identity identity = {.counter = 1, .hash = {1}};
	uint8_t *bytes = blobs_bytes(len, seed);
	blobs_fill(&name, sizeof(name), seed + 1);
	assert_ok(ps_mem_set(blobs_world(a), 0, &name, &identity, bytes, len));
	test_free(bytes);
}

static struct blobs *stranger_new(struct blobs *a)
{
	struct blobs *other = machine_new(a);
	other->key[4] ^= 1;
	assert_ok(blobs_start(other, true));
	for (unsigned i = 0; i < 3; i++) {
		char key[16];
		snprintf(key, sizeof(key), "their %u", i);
		blobs_put(other, key, PAD + 7, 80 + i);
	}
	return other;
}

static void what_others_have_is_counted_and_never_touched(void **state)
{
	struct blobs *a = store_with_values(), *other = stranger_new(a);
	uint64_t foreign = 7; /* with their head */
	(void)state;
	if (a->watch) {
		for (unsigned i = 0; i < 4; i++)
			set_garbage(a, 90 + i, i * 2000);
		foreign += 4;
	}
	gc_leave_behind(a, 1);
	gc_let_ripen(a);
	size_t before = blobs_listed(a);
	struct ps_remote_gc_result found = gc_now(a, true);
	assert_int_equal(found.foreign, foreign);
	assert_int_equal(found.deleted, 2);
	assert_int_equal(blobs_listed(a), before - 2);
	for (unsigned i = 0; i < 3; i++) {
		char key[16];
		snprintf(key, sizeof(key), "their %u", i);
		blobs_expect(other, key, PAD + 7, 80 + i);
	}
	expect_values(a);
	machine_free(other);
	blobs_free(a);
}

static void write_published(struct blobs *a)
{
	struct ps_pad_slot slot;
	struct ps_serial serial;
	struct ps_pad_name name;
	struct ps_net_buffer *sealed;
	struct ps_net_request request;
	ps_client *client;
	ps_serial_new(&serial);
	assert_ok(ps_pad_name(a->r->keys, &serial, &name));
	ps_slot_new(&slot, &serial, &name, PS_PAD_PUBLIC_INDEX, PS_PAD_SMALL);
	assert_ok(ps_manager_seal(a->r, &slot, PS_ROLE_DATA, NULL, 0, "public", 6, &sealed));
	ps_manager_request(&slot, &(struct ps_pad_identity){0}, sealed, &request);
	assert_ok(ps_client_open(a->r->network, &client));
	blobs_must_answer(client, &request);
	ps_client_close(client);
	ps_net_buffer_release(sealed);
}

static void what_was_made_public_stays(void **state)
{
	struct blobs *a = store_with_values();
	(void)state;
	write_published(a);
	gc_let_ripen(a);
	struct ps_remote_gc_result found = gc_now(a, true);
	assert_int_equal(found.published, 1);
	assert_int_equal(found.unnamed + found.deleted + found.foreign, 0);
	blobs_free(a);
}

/* ---- bounds, keys, progress ---- */

static void with_little_memory_it_takes_more_passes(void **state)
{
	struct blobs *a = store_with_values();
	struct ps_remote_gc few = {.size = sizeof(few), .age_s = GC_AGE_S, .memory = 1, .apply = 1};
	struct ps_remote_gc_result found;
	(void)state;
	gc_leave_behind(a, 3);
	size_t listed = blobs_listed(a);
	assert_ok(ps_remote_gc(a->r, &few, &found));
	assert_int_equal(found.listed, listed + 1);
	assert_int_equal(found.unnamed, 6);
	gc_now_s += GC_AGE_S;
	assert_ok(ps_remote_gc(a->r, &few, &found));
	assert_int_equal(found.deleted, 6);
	expect_values(a);
	blobs_check(a);
	blobs_free(a);
}

static int refuse(void *arg, const struct ps_remote_progress *progress)
{
	enum ps_remote_phase *phases = arg;
	phases[progress->phase]++;
	return progress->phase == PS_REMOTE_PLAN;
}

static void it_shows_a_plan_that_may_be_refused(void **state)
{
	struct blobs *a = store_with_values();
	unsigned phases[4] = {0};
	struct ps_remote_gc options = {.size = sizeof(options), .progress = refuse, .progress_arg = phases};
	struct ps_remote_gc wrong = {.size = 3};
	struct ps_remote_audit audit = {.size = 4};
	struct ps_remote_audit_result result;
	(void)state;
	assert_error(ps_remote_gc(a->r, &options, NULL), PS_ECANCELED);
	assert_int_equal(phases[PS_REMOTE_PLAN], 1);
	assert_int_equal(phases[PS_REMOTE_END], 1);
	assert_error(ps_remote_gc(a->r, &wrong, NULL), PS_EINVAL);
	assert_error(ps_remote_gc(NULL, NULL, NULL), PS_EINVAL);
	options = (struct ps_remote_gc){.size = sizeof(options), .age_s = UINT64_MAX};
	assert_error(ps_remote_gc(a->r, &options, NULL), PS_EINVAL);
	assert_error(ps_remote_audit(a->r, &audit, &result), PS_EINVAL);
	assert_error(ps_remote_audit(a->r, NULL, NULL), PS_EINVAL);
	blobs_free(a);
}

static int start_reader(struct blobs *b, struct blobs *a)
{
	uint8_t root[PS_KEY];
	struct ps_pad_name head = head_name_of(a);
	struct ps_remote_setup setup = {.url = b->url, .options = &b->options, .seams = &b->seams};
	ps_keys_read_root(a->r->keys, root);
	assert_ok(ps_keys_new_read_only(root, NULL, &setup.keys));
	setup.head_name = head.bytes;
	return ps_remote_start(&setup, &b->r);
}

static void a_key_that_only_reads_deletes_nothing(void **state)
{
	struct blobs *a = store_with_values(), *reader = machine_new(a);
	struct ps_remote_audit_result audit;
	(void)state;
	(void)sync_machine(a);
	gc_leave_behind(a, 1);
	assert_ok(start_reader(reader, a));
	assert_error(gc_try(reader, false, false, NULL), PS_EREADONLY);
	assert_ok(ps_remote_audit(reader->r, NULL, &audit));
	assert_int_equal(audit.unnamed, 0);
	assert_true(audit.undecided >= 2);
	machine_free(reader);
	blobs_free(a);
}

/* ---- audit ---- */

static void audit_counts_what_is_there(void **state)
{
	struct blobs *a = store_with_values(), *other = stranger_new(a);
	struct ps_remote_audit_result all, some;
	struct ps_remote_audit quick = {.size = sizeof(quick), .listing_only = 1};
	struct ps_remote_head head;
	(void)state;
	gc_leave_behind(a, 2);
	size_t listed = blobs_listed(a) + 1;
	assert_ok(ps_remote_audit(a->r, NULL, &all));
	assert_ok(ps_remote_audit(a->r, &quick, &some));
	assert_ok(ps_remote_head(a->r, &head));
	uint64_t sizes = all.other_sizes, bytes = 0;
	for (unsigned i = 0; i < PS_REMOTE_SIZES; i++) {
		sizes += all.sizes[i].count;
		bytes += all.sizes[i].count * all.sizes[i].record_bytes;
	}
	assert_int_equal(all.listed, listed);
	assert_int_equal(sizes, listed);
	assert_int_equal(all.other_sizes, 0);
	assert_int_equal(bytes, all.bytes);
	assert_int_equal(all.named + all.unnamed + all.foreign, listed);
	assert_int_equal(all.unnamed, 4);
	assert_int_equal(all.foreign, 7);
	assert_int_equal(all.looked, listed);
	assert_int_equal(all.others, 7);
	assert_int_equal(all.ours, listed - 7);
	assert_int_equal(all.roles[PS_ROLE_HEAD], 1);
	assert_true(all.roles[PS_ROLE_RUN] >= 1 && all.roles[PS_ROLE_FENCE] >= 1);
	assert_int_equal(all.head, head.counter);
	assert_true(all.writes >= all.ours && all.head_bytes > 0);
	/* The same without a look at what is named. */
	assert_int_equal(some.listed, listed);
	assert_int_equal(some.looked, 11);
	assert_int_equal(some.unnamed, 4);
	assert_int_equal(some.head, head.counter);
	machine_free(other);
	blobs_free(a);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_a_burned_machine_left_goes_after_two_listings),
	    cmocka_unit_test(a_clock_that_was_set_back_shortens_nothing),
	    cmocka_unit_test(the_machines_own_head_tells_the_time_too),
	    cmocka_unit_test(a_machine_that_was_not_heard_of_stops_it),
	    cmocka_unit_test(a_machine_that_was_dropped_is_not_waited_for),
	    cmocka_unit_test(what_the_newest_head_names_is_spared),
	    cmocka_unit_test(a_pad_that_is_used_again_begins_anew),
	    cmocka_unit_test(a_sync_whose_free_pads_are_all_gone_takes_new_ones),
	    cmocka_unit_test(an_interrupted_put_of_a_shared_store_finds_out),
	    cmocka_unit_test(what_others_have_is_counted_and_never_touched),
	    cmocka_unit_test(what_was_made_public_stays),
	    cmocka_unit_test(with_little_memory_it_takes_more_passes),
	    cmocka_unit_test(it_shows_a_plan_that_may_be_refused),
	    cmocka_unit_test(a_key_that_only_reads_deletes_nothing),
	    cmocka_unit_test(audit_counts_what_is_there),
	};
	if (argc > 1)
		scheme = argv[1];
	return cmocka_run_group_tests_name("gc", tests, NULL, NULL);
}
