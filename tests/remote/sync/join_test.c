/* A machine that shares pads between versions, since it believes itself alone, and one that has joined: whose
 * change frees which pads. Every value that nobody has replaced knowingly is read whole, from the network, on
 * every machine and on one that has only the key; no pad is forgotten, none has two owners. */
#include "tests/remote/sync/values.h"

#include <stdio.h>
#include <string.h>

#include "remote/public.h"
#include "remote/public_internal.h"

static bool all; /* the long way */

/* Two machines: `a` made the store and has synced "key"; `b` has joined, and has written no head. */
struct two {
	struct blobs *a, *b;
	struct value first, of_a, of_b;
};

static void two_new(struct two *t)
{
	struct ps_remote_seams seams = {.backoff_ms = 1};
	*t = (struct two){.a = blobs_new_with("mem", &seams), .first = value_of(CHUNKS, 1)};
	put_value(t->a, "key", &t->first);
	(void)sync_machine(t->a);
	t->b = machine_open(t->a);
	t->of_b = value_of(CHUNKS, 20);
	t->of_a = t->first;
	t->of_a.seeds[2] = 99; /* three chunks stay */
}

static void two_done(struct two *t)
{
	struct blobs *machines[] = {t->a, t->b};
	sync_all_machines(machines, 2);
	struct blobs *fresh = machine_open(t->a);
	expect_same(t->a, t->b);
	expect_same(t->a, fresh);
	check_machines(machines, 2);
	machine_free(fresh);
	machine_free(t->b);
	blobs_free(t->a);
}

static void expect_both(struct two *t)
{
	struct blobs *machines[] = {t->a, t->b};
	sync_all_machines(machines, 2);
	for (unsigned i = 0; i < 2; i++) {
		value_expect_somewhere(machines[i], "key", &t->of_a);
		value_expect_somewhere(machines[i], "key", &t->of_b);
		assert_int_equal(count_keys(machines[i], "key"), 2);
	}
}

/* ---- the interleavings ---- */

/* `later`: whose version is the later one, and keeps the name where that is free to choose. */
static void update_against_change(bool later)
{
	struct two t;
	two_new(&t);
	put_value(t.b, "key", &t.of_b);
	struct ps_remote_sync_result result = sync_machine(t.b);
	assert_int_equal(result.left_pads, CHUNKS); /* the other machine's, until it knows */
	reuse_pads(t.b, "by b");
	(void)sync_machine(t.b);
	for (unsigned i = 0; i <= later; i++)
		put_value(t.a, "key", &t.of_a);
	value_expect(t.a, "key", &t.of_a); /* all that it kept is there still */
	assert_int_equal(sync_machine(t.a).conflicts, 1);
	reuse_pads(t.a, "of a");
	expect_both(&t);
	two_done(&t);
}

static void an_update_that_keeps_pads_outlives_a_change_elsewhere(void **state)
{
	(void)state;
	update_against_change(false);
	update_against_change(true);
}

static uint64_t requests_of(struct blobs *b)
{
	struct ps_remote_stats stats;
	blobs_stats(b, &stats);
	return stats.requests;
}

static void a_rename_outlives_a_change_of_the_old_key_elsewhere(void **state)
{
	struct two t;
	(void)state;
	two_new(&t);
	put_value(t.b, "key", &t.of_b);
	(void)sync_machine(t.b);
	reuse_pads(t.b, "by b");
	(void)sync_machine(t.b);
	uint64_t before = requests_of(t.a);
	assert_ok(ps_remote_rename(t.a->r, "key", "moved"));
	assert_int_equal(requests_of(t.a), before);
	/* And one of its chunks is replaced, before anybody hears of it. */
	put_value(t.a, "moved", &t.of_a);
	reuse_pads(t.a, "of a");
	value_expect(t.a, "moved", &t.of_a);
	(void)sync_machine(t.a);
	reuse_pads(t.a, "again");
	value_expect(t.a, "moved", &t.of_a);
	value_expect(t.a, "key", &t.of_b);
	two_done(&t);
}

/* ---- renames that were cut ---- */

static void cut_next_call(struct two *t)
{
	struct ps_mem_rule rule = {.fault = PS_MEM_VANISH, .first = 3};
	unsigned number;
	assert_ok(ps_mem_rule_add(blobs_world(t->a), &rule, &number));
}

static void cut_rename(struct two *t)
{
	cut_next_call(t);
	assert_int_not_equal(ps_remote_rename(t->b->r, "key", "moved"), PS_OK);
	ps_mem_rule_remove(blobs_world(t->a), 0);
}

/* To write a value anew is no change of it: in the middle of it, and when it is written and has its old name.
 */
static void a_cut_rename_gives_way_to_changes(void **state)
{
	(void)state;
	for (unsigned written = 0; written < 2; written++) {
		struct two t;
		two_new(&t);
		if (written)
			assert_ok(ps_blob_write_anew(t.b->r, "key"));
		else
			cut_rename(&t);
		put_value(t.a, "key", &t.of_a);
		(void)sync_machine(t.a);
		assert_int_equal(sync_machine(t.b).conflicts, 0);
		value_expect(t.b, "key", &t.of_a);
		assert_ok(ps_remote_rename(t.b->r, "key", "moved"));
		value_expect(t.b, "moved", &t.of_a);
		expect_none(t.b, "key");
		two_done(&t);
	}
}

static int cut_put(struct two *t)
{
	size_t len = (size_t)CHUNKS * PAD;
	uint8_t *bytes = blobs_bytes(len, 7);
	struct ps_remote_put options = {.size = sizeof(options), .mode = PS_REMOTE_SMALL, .replace = 1};
	cut_next_call(t);
	int err = ps_remote_put(t->b->r, "key", bytes, len, &options);
	ps_mem_rule_remove(blobs_world(t->a), 0);
	test_free(bytes);
	return err;
}

/* What a put left is not a rename's to throw away; what a rename left is of no use to a put. */
static void a_rename_leaves_an_unfinished_put(void **state)
{
	(void)state;
	for (unsigned renamed = 0; renamed < 2; renamed++) {
		struct two t;
		two_new(&t);
		if (renamed)
			cut_rename(&t);
		assert_int_not_equal(cut_put(&t), PS_OK);
		assert_error(ps_remote_rename(t.b->r, "key", "moved"), PS_EBUSY);
		value_expect(t.b, "key", &t.first);
		assert_ok(ps_remote_release(t.b->r, "key"));
		assert_ok(ps_remote_rename(t.b->r, "key", "moved"));
		value_expect(t.b, "moved", &t.first);
		two_done(&t);
	}
}

/* ---- renames of what a sync that was cut left on its way ---- */

struct renaming {
	struct blobs *b;
	bool removes; /* conflict copies, put again before */
	unsigned count;
};

static int rename_one(void *arg, const struct ps_remote_info *info)
{
	struct renaming *renaming = arg;
	struct value other = value_of(1, 80);
	char to[32];
	if (!info->exists || strncmp(info->key, "moved", 5) == 0)
		return 0;
	if (renaming->removes && strstr(info->key, "conflict")) {
		put_value(renaming->b, info->key, &other);
		assert_ok(ps_remote_remove(renaming->b->r, info->key));
		return 0;
	}
	snprintf(to, sizeof(to), "moved%s %u", info->size < PAD ? "" : " value", renaming->count++);
	assert_ok(ps_remote_rename(renaming->b->r, info->key, to));
	return 0;
}

/* From that request on no answer comes. */
static bool sync_cut(struct two *t, enum ps_mem_fault fault, unsigned request)
{
	struct ps_mem_rule rule = {.fault = fault, .first = request};
	ps_mem_world *world = blobs_world(t->a);
	unsigned number;
	assert_ok(ps_mem_rule_add(world, &rule, &number));
	bool cut = ps_remote_sync(t->b->r, NULL, NULL, NULL) != PS_OK;
	ps_mem_rule_remove(world, 0);
	return cut;
}

static void put_changes(struct two *t)
{
	struct ps_remote_put options = {.size = sizeof(options), .mode = PS_REMOTE_SMALL};
	struct value other = value_of(2, 60);
	put_value(t->b, "new", &other);
	assert_ok(ps_remote_put(t->b->r, "empty", "", 0, &options));
	assert_ok(ps_remote_put_public(t->b->r, "public", "shown", 5, &options));
	put_value(t->a, "key", &t->of_a);
	(void)sync_machine(t->a);
	/* The later version keeps the name; what is there becomes a copy. */
	for (unsigned i = 0; i < 3; i++)
		put_value(t->b, "key", &t->of_b);
}

/* Whether the head came to be or not, what is under each key may be moved before it is known. */
static bool rename_after_a_cut(enum ps_mem_fault fault, unsigned request)
{
	struct two t;
	two_new(&t);
	(void)sync_machine(t.b);
	put_value(t.b, "other", &t.first);
	(void)sync_machine(t.b);
	(void)sync_machine(t.a);
	put_changes(&t);
	bool cut = sync_cut(&t, fault, request);
	struct renaming renaming = {.b = t.b, .removes = fault == PS_MEM_LOSE_REPLY};
	assert_ok(ps_remote_list(t.b->r, NULL, rename_one, &renaming));
	(void)sync_machine(t.b);
	assert_int_equal(count_keys(t.b, "moved"), renaming.count);
	value_expect_somewhere(t.b, "moved value", &t.of_b);
	two_done(&t);
	return cut;
}

static void a_rename_goes_on_before_a_head_is_settled(void **state)
{
	static const enum ps_mem_fault faults[] = {PS_MEM_LOSE_REPLY, PS_MEM_VANISH};
	(void)state;
	for (size_t f = 0; f < 2; f++)
		for (unsigned request = 1; rename_after_a_cut(faults[f], request); request++)
			;
}

/* The other way round: who has joined moves the value, and its maker changes it. */
static void who_joined_shares_nothing_with_the_head(void **state)
{
	(void)state;
	for (unsigned renames = 0; renames < 2; renames++) {
		struct two t;
		two_new(&t);
		if (renames)
			assert_ok(ps_remote_rename(t.b->r, "key", "moved"));
		else
			put_value(t.b, "key", &t.of_a);
		put_value(t.a, "key", &t.of_b);
		(void)sync_machine(t.a);
		reuse_pads(t.a, "of a");
		(void)sync_machine(t.a);
		if (renames) {
			(void)sync_machine(t.b);
			value_expect(t.b, "moved", &t.first);
			value_expect(t.b, "key", &t.of_b);
		} else {
			assert_int_equal(sync_machine(t.b).conflicts, 1);
			expect_both(&t);
		}
		two_done(&t);
	}
}

static void a_change_that_keeps_pads_outlives_a_removal_elsewhere(void **state)
{
	struct two t;
	(void)state;
	two_new(&t);
	assert_ok(ps_remote_remove(t.b->r, "key"));
	assert_int_equal(sync_machine(t.b).left_pads, CHUNKS);
	reuse_pads(t.b, "by b");
	(void)sync_machine(t.b);
	put_value(t.a, "key", &t.of_a);
	(void)sync_machine(t.a);
	reuse_pads(t.a, "of a");
	(void)sync_machine(t.b);
	value_expect(t.a, "key", &t.of_a);
	value_expect(t.b, "key", &t.of_a);
	two_done(&t);
}

static void a_change_elsewhere_outlives_a_removal(void **state)
{
	struct two t;
	(void)state;
	two_new(&t);
	put_value(t.b, "key", &t.of_b);
	(void)sync_machine(t.b);
	assert_ok(ps_remote_remove(t.a->r, "key"));
	reuse_pads(t.a, "of a");
	(void)sync_machine(t.a);
	reuse_pads(t.a, "again");
	value_expect(t.a, "key", &t.of_b);
	two_done(&t);
}

/* What it does with them until it hears of the other machine. */
static void change_after_sync(struct two *t, bool renames)
{
	if (renames)
		assert_ok(ps_remote_rename(t->a->r, "key", "key moved"));
	else
		put_value(t->a, "key", &t->of_a);
}

/* Who joined has the later version: the name stays with the one whose pads may be elsewhere by now. */
static void a_conflict_copy_has_pads_of_its_own(void **state)
{
	(void)state;
	for (unsigned renames = 0; renames < 2; renames++) {
		struct two t;
		two_new(&t);
		struct value second = value_of(CHUNKS, 40);
		put_value(t.a, "key", &second);
		(void)sync_machine(t.a);
		for (unsigned i = 0; i < 3; i++)
			put_value(t.b, "key", &t.of_b);
		change_after_sync(&t, renames);
		assert_int_equal(sync_machine(t.b).conflicts, 1);
		reuse_pads(t.b, "by b");
		(void)sync_machine(t.b);
		(void)sync_machine(t.a);
		reuse_pads(t.a, "of a");
		if (renames)
			t.of_a = second;
		expect_both(&t);
		two_done(&t);
	}
}

/* What was left to it comes back to it, and then who replaces a value frees its pads at once. */
static void left_pads_are_recycled_by_who_wrote_them(void **state)
{
	struct two t;
	struct ps_remote_stats before, after;
	(void)state;
	two_new(&t);
	put_value(t.b, "key", &t.of_b);
	(void)sync_machine(t.b);
	blobs_stats(t.a, &before);
	put_value(t.a, "other", &t.first);
	(void)sync_machine(t.a);
	blobs_stats(t.a, &after);
	assert_int_equal(after.free_pads, before.free_pads + CHUNKS);
	blobs_stats(t.b, &before);
	put_value(t.b, "key", &t.of_a);
	struct ps_remote_sync_result result = sync_machine(t.b);
	blobs_stats(t.b, &after);
	assert_int_equal(result.left_pads, 0);
	assert_in_range(after.free_pads, before.free_pads + CHUNKS - 1, before.free_pads + CHUNKS);
	two_done(&t);
}

/* Its old pads are gone by now, and who does not know of the change yet is told what to do. */
static void a_pad_that_is_gone_is_told_with_a_way_out(void **state)
{
	uint8_t byte[1000];
	size_t len;
	(void)state;
	struct blobs *a = blobs_new("mem");
	a->options.not_found_times = 1;
	blobs_put(a, "key", 1000, 1);
	(void)sync_machine(a);
	struct blobs *b = machine_open(a);
	blobs_update(a, "key", 900, 2);
	(void)sync_machine(a);
	assert_ok(ps_remote_purge(a->r, NULL, NULL, NULL));
	assert_error(ps_remote_get(b->r, "key", byte, sizeof(byte), &len, NULL), PS_ELOST);
	assert_non_null(strstr(ps_last_error_message(), "a sync brings it"));
	(void)sync_machine(b);
	blobs_expect(b, "key", 900, 2);
	machine_free(b);
	blobs_free(a);
}

static void one_machine_frees_at_once(void **state)
{
	struct ps_remote_stats stats;
	struct blobs *a = blobs_new("mem");
	struct value one = value_of(CHUNKS, 1), other = value_of(CHUNKS, 10);
	(void)state;
	put_value(a, "key", &one);
	(void)sync_machine(a);
	put_value(a, "key", &other);
	assert_int_equal(sync_machine(a).left_pads, 0);
	blobs_stats(a, &stats);
	assert_in_range(stats.free_pads, CHUNKS, CHUNKS + 1); /* and a run's */
	blobs_check(a);
	blobs_free(a);
}

/* One who has joined, and one who joins after, while the first is away: each change is one machine's to free.
 */
static void a_third_machine_knows_whose_pads_are_left(void **state)
{
	struct two t;
	(void)state;
	two_new(&t);
	struct value more = value_of(CHUNKS, 60), last = value_of(CHUNKS, 70);
	put_value(t.a, "more", &more);
	(void)sync_machine(t.a);
	(void)sync_machine(t.b);
	put_value(t.b, "key", &t.of_b);
	assert_int_equal(sync_machine(t.b).left_pads, CHUNKS);
	struct blobs *c = machine_open(t.a);
	put_value(c, "more", &last); /* of the first's */
	assert_int_equal(sync_machine(c).left_pads, CHUNKS);
	(void)sync_machine(t.b);
	put_value(c, "key", &last); /* of the second's: its own to free now */
	assert_int_equal(sync_machine(c).left_pads, 0);
	reuse_pads(c, "by c");
	(void)sync_machine(c);
	put_value(t.a, "key", &t.of_a);
	assert_ok(ps_remote_rename(t.a->r, "more", "moved"));
	reuse_pads(t.a, "of a");
	struct blobs *machines[] = {t.a, t.b, c};
	sync_all_machines(machines, 3);
	for (unsigned i = 0; i < 3; i++) {
		value_expect_somewhere(machines[i], "key", &t.of_a);
		value_expect_somewhere(machines[i], "key", &last);
		value_expect(machines[i], "moved", &more);
		value_expect(machines[i], "more", &last);
	}
	check_machines(machines, 3);
	expect_same(t.a, c);
	expect_same(t.b, c);
	machine_free(c);
	machine_free(t.b);
	blobs_free(t.a);
}

static int see_machine(void *arg, const struct ps_remote_machine *machine)
{
	struct ps_remote_machine *machines = arg;
	if (machine->unaware)
		machines[0] = *machine;
	if (machine->self)
		machines[1] = *machine;
	return 0;
}

/* One that never comes back; and that does, after all. */
static void nothing_is_left_to_a_machine_that_was_dropped(void **state)
{
	struct ps_remote_machine machines[2] = {{.last = 0}};
	struct ps_remote_sync_result result;
	struct two t;
	(void)state;
	two_new(&t);
	struct value second = value_of(CHUNKS, 30);
	put_value(t.b, "of b", &t.of_b);
	(void)sync_machine(t.b);
	assert_ok(ps_remote_machines(t.b->r, see_machine, machines));
	assert_int_equal(machines[0].self, 0);
	assert_int_equal(machines[1].self, 1);
	assert_error(ps_remote_drop_machine(t.b->r, machines[1].id, NULL), PS_EINVAL);
	assert_error(ps_remote_drop_machine(t.b->r, "nobody", NULL), PS_ENOTFOUND);
	assert_ok(ps_remote_drop_machine(t.b->r, machines[0].id, &result));
	put_value(t.b, "key", &second);
	assert_int_equal(sync_machine(t.b).left_pads, 0);
	reuse_pads(t.b, "by b");
	(void)sync_machine(t.b);
	put_value(t.a, "key", &t.of_a);
	put_value(t.a, "own", &t.of_b);
	reuse_pads(t.a, "of a");
	sync_fails(t.a, PS_EFORK);
	assert_ok(ps_remote_purge(t.a->r, NULL, NULL, NULL));
	value_expect(t.a, "own", &t.of_b); /* to be put again */
	value_expect(t.b, "key", &second);
	struct blobs *fresh = machine_open(t.a);
	expect_same(t.b, fresh);
	assert_ok(ps_remote_verify(t.b->r, NULL, NULL));
	machine_free(fresh);
	machine_free(t.b);
	blobs_free(t.a);
}

/* ---- calls that are under way ---- */

struct under_way {
	struct two *t;
	struct value value;
	uint32_t read;
	int busy; /* the sync within it */
};

/* The third chunk comes while the sync is on: the two before it were found to stay as they are. */
static int read_and_sync(void *arg, void *buf, size_t len, size_t *got)
{
	struct under_way *u = arg;
	*got = 0;
	if (u->read == u->value.count)
		return PS_OK;
	assert_true(len >= PAD);
	if (u->read == 2) {
		put_value(u->t->a, "other", &u->t->first);
		u->busy = ps_remote_sync(u->t->a->r, NULL, NULL, NULL);
	}
	fill_chunk(buf, u->value.seeds[u->read++]);
	*got = PAD;
	return PS_OK;
}

static void the_first_head_after_a_join_waits_for_what_was_begun(void **state)
{
	struct two t;
	struct ps_remote_put replace = {.size = sizeof(replace), .replace = 1};
	(void)state;
	two_new(&t);
	put_value(t.b, "of b", &t.of_b);
	(void)sync_machine(t.b);
	struct under_way u = {.t = &t, .value = t.of_a};
	assert_ok(ps_remote_put_stream(t.a->r, "key", CHUNKS * PAD, read_and_sync, &u, &replace));
	assert_int_equal(u.busy, PS_EBUSY);
	put_value(t.b, "key", &t.of_b);
	(void)sync_machine(t.b);
	reuse_pads(t.b, "by b");
	(void)sync_machine(t.b);
	assert_int_equal(sync_machine(t.a).conflicts, 1);
	expect_both(&t);
	/* From now on nothing that a head names is shared, and nothing waits. */
	u = (struct under_way){.t = &t, .value = value_of(CHUNKS, 80)};
	assert_ok(ps_remote_put_stream(t.a->r, "more", CHUNKS * PAD, read_and_sync, &u, &replace));
	assert_ok(u.busy);
	two_done(&t);
}

/* A key that was changed, and that a call has: the head without it would be the end of what was left to us.
 */
static void the_first_head_after_a_join_leaves_nothing_out(void **state)
{
	struct two t;
	struct ps_remote_put replace = {.size = sizeof(replace), .replace = 1};
	(void)state;
	two_new(&t);
	put_value(t.a, "key", &t.of_a);
	put_value(t.b, "of b", &t.of_b);
	(void)sync_machine(t.b);
	assert_ok(ps_remote_sync(t.b->r, NULL, NULL, NULL));
	sync_fails(t.a, PS_OK);
	two_done(&t);
	two_new(&t);
	put_value(t.b, "of b", &t.of_b);
	(void)sync_machine(t.b);
	struct under_way u = {.t = &t, .value = value_of(CHUNKS, 90)};
	assert_ok(ps_remote_rename(t.a->r, "key", "moved"));
	assert_ok(ps_remote_put_stream(t.a->r, "key", CHUNKS * PAD, read_and_sync, &u, &replace));
	assert_int_equal(u.busy, PS_EBUSY);
	put_value(t.b, "key", &t.of_b);
	(void)sync_machine(t.b);
	reuse_pads(t.b, "by b");
	(void)sync_machine(t.b);
	(void)sync_machine(t.a);
	value_expect(t.a, "moved", &t.first);
	two_done(&t);
}

/* ---- runs that are replaced while they are read ---- */

struct slow {
	struct blobs *writer;
	unsigned syncs;
	bool armed;
};

/* Asked for after the head was fetched, before its runs are. */
static uint64_t sync_others(void *arg)
{
	struct slow *slow = arg;
	if (slow->armed) {
		slow->armed = false;
		for (unsigned i = 0; i < slow->syncs; i++) {
			struct value v = value_of(1, 500 + i);
			put_value(slow->writer, "often", &v);
			(void)sync_machine(slow->writer);
		}
	}
	return 1;
}

static void runs_that_were_replaced_are_fetched_anew(void **state)
{
	(void)state;
	for (unsigned syncs = 1; syncs <= 12; syncs += all ? 1 : 5) {
		struct slow slow = {.syncs = syncs};
		struct two t;
		two_new(&t);
		slow.writer = t.a;
		blobs_close(t.b);
		t.b->seams.wall_ns = sync_others;
		t.b->seams.wall_arg = &slow;
		assert_ok(blobs_start(t.b, false));
		for (unsigned i = 0; i < 3; i++) {
			struct value v = value_of(1, 300 + i);
			put_value(t.a, "often", &v);
			(void)sync_machine(t.a);
		}
		put_value(t.b, "key", &t.of_b);
		slow.armed = true;
		(void)sync_machine(t.b);
		assert_false(slow.armed);
		struct value last = value_of(1, 500 + syncs - 1);
		value_expect(t.b, "often", &last);
		value_expect(t.b, "key", &t.of_b);
		two_done(&t);
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(one_machine_frees_at_once),
	    cmocka_unit_test(a_pad_that_is_gone_is_told_with_a_way_out),
	    cmocka_unit_test(an_update_that_keeps_pads_outlives_a_change_elsewhere),
	    cmocka_unit_test(a_rename_outlives_a_change_of_the_old_key_elsewhere),
	    cmocka_unit_test(a_cut_rename_gives_way_to_changes),
	    cmocka_unit_test(a_rename_leaves_an_unfinished_put),
	    cmocka_unit_test(a_rename_goes_on_before_a_head_is_settled),
	    cmocka_unit_test(who_joined_shares_nothing_with_the_head),
	    cmocka_unit_test(a_change_that_keeps_pads_outlives_a_removal_elsewhere),
	    cmocka_unit_test(a_change_elsewhere_outlives_a_removal),
	    cmocka_unit_test(a_conflict_copy_has_pads_of_its_own),
	    cmocka_unit_test(left_pads_are_recycled_by_who_wrote_them),
	    cmocka_unit_test(a_third_machine_knows_whose_pads_are_left),
	    cmocka_unit_test(nothing_is_left_to_a_machine_that_was_dropped),
	    cmocka_unit_test(runs_that_were_replaced_are_fetched_anew),
	};
	/* A sync that waits, a second each, for a call that does not end. */
	static const struct CMUnitTest slow[] = {
	    cmocka_unit_test(the_first_head_after_a_join_waits_for_what_was_begun),
	    cmocka_unit_test(the_first_head_after_a_join_leaves_nothing_out),
	};
	all = argc > 1;
	(void)argv;
	int failed = cmocka_run_group_tests_name("sync, joining", tests, NULL, NULL);
	return failed + (all ? cmocka_run_group_tests_name("sync, joining, slow", slow, NULL, NULL) : 0);
}
