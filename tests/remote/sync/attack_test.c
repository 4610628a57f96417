/* What whoever runs a network can do with the index: each has its own error, on a machine that has used the
 * store, and what a machine that sees it for the first time cannot know it is told. Each attack on many
 * stores made from seeds. */
#include "tests/remote/sync/sync_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned instances = 20;

struct store {
	struct blobs *a;
	struct dice dice;
	unsigned changes;
};

static void change(struct store *s, struct blobs *who)
{
	char key[24];
	struct ps_remote_put replace = {.size = sizeof(replace), .replace = 1};
	unsigned n = 1 + (unsigned)roll_below(&s->dice, 3);
	for (unsigned i = 0; i < n; i++) {
		size_t len = roll_below(&s->dice, 5000);
		snprintf(key, sizeof(key), "key %u", (unsigned)roll_below(&s->dice, 12));
		uint8_t *bytes = blobs_bytes(len, ++s->changes);
		assert_ok(ps_remote_put(who->r, key, bytes, len, &replace));
		test_free(bytes);
	}
}

static void change_and_sync(struct store *s, struct blobs *who)
{
	change(s, who);
	(void)sync_machine(who);
}

static void store_new(struct store *s, uint64_t seed)
{
	struct ps_remote_seams seams = {.backoff_ms = 1, .seed = seed};
	*s = (struct store){.a = blobs_new_with("mem", &seams), .dice = {seed}};
	for (uint64_t n = 1 + roll_below(&s->dice, 4); n > 0; n--)
		change_and_sync(s, s->a);
}

static void store_free(struct store *s)
{
	blobs_free(s->a);
}

static ps_mem_world *world_of(struct store *s)
{
	return blobs_world(s->a);
}

static ps_mem_snapshot *snapshot(struct store *s)
{
	ps_mem_snapshot *taken;
	assert_ok(ps_mem_snapshot_take(world_of(s), 0, &taken));
	return taken;
}

static void set_name(struct store *s, const struct ps_pad_name *name, const ps_mem_snapshot *from)
{
	assert_ok(ps_mem_restore_name(world_of(s), 0, name, from));
}

/* An attack that is found changes nothing here: all values that are here can be read as before, and once the
 * network shows the truth again, the sync goes on. */
static void truth_heals(struct store *s, const ps_mem_snapshot *truth)
{
	struct ps_pad_name head = head_name_of(s->a);
	set_name(s, &head, truth);
	change_and_sync(s, s->a);
	assert_ok(ps_remote_verify(s->a->r, NULL, NULL));
	struct blobs *fresh = machine_open(s->a);
	expect_same(s->a, fresh);
	machine_free(fresh);
}

#define each_store(s)                                                                                        \
	struct store s;                                                                                      \
	(void)state;                                                                                         \
	uint64_t seed_ = test_seed(1);                                                                       \
	for (unsigned i_ = 0; i_ < instances && (store_new(&s, seed_ + i_), true); i_++, store_free(&s))

/* A7 */
static void an_old_head_is_a_rollback(void **state)
{
	each_store(s)
	{
		struct ps_pad_name head = head_name_of(s.a);
		ps_mem_snapshot *old = snapshot(&s);
		change_and_sync(&s, s.a);
		ps_mem_snapshot *truth = snapshot(&s);
		set_name(&s, &head, old);
		sync_fails(s.a, PS_EROLLBACK);
		change(&s, s.a);
		sync_fails(s.a, PS_EROLLBACK);
		truth_heals(&s, truth);
		ps_mem_snapshot_free(old);
		ps_mem_snapshot_free(truth);
	}
}

static ps_network *second;

/* Another network, which has the head that the snapshot has. */
static const char *second_network(struct store *s, const ps_mem_snapshot *from)
{
	static uint8_t bytes[1 << 20];
	struct ps_pad_name head = head_name_of(s->a);
	struct ps_pad_identity identity;
	ps_mem_snapshot *now = snapshot(s);
	size_t len;
	set_name(s, &head, from);
	assert_ok(ps_mem_look(world_of(s), 0, &head, &identity, bytes, sizeof(bytes), &len));
	set_name(s, &head, now);
	ps_mem_snapshot_free(now);
	assert_ok(ps_network_open("mem:witness", NULL, &second));
	assert_ok(ps_mem_set(ps_mem_world_of(second), 0, &head, &identity, bytes, len));
	return "mem:witness";
}

/* A8: nothing in it is wrong, but that it is over. */
static void a_whole_that_is_old_is_a_rollback(void **state)
{
	each_store(s)
	{
		struct ps_remote_head now;
		ps_mem_snapshot *old = snapshot(&s);
		change_and_sync(&s, s.a);
		assert_ok(ps_remote_head(s.a->r, &now));
		ps_mem_snapshot *truth = snapshot(&s);
		assert_ok(ps_mem_restore(world_of(&s), 0, old));
		sync_fails(s.a, PS_EROLLBACK);
		/* A machine that knows nothing cannot see it: it says so, and a head code tells. */
		struct blobs *b = machine_open(s.a);
		struct ps_remote_head shown;
		assert_ok(ps_remote_head(b->r, &shown));
		assert_int_equal(shown.unanchored, 1);
		assert_error(ps_remote_check_head(b->r, now.code), PS_EROLLBACK);
		machine_free(b);
		b = machine_new(s.a);
		b->options.head_code = now.code;
		assert_error(blobs_start(b, false), PS_EROLLBACK);
		/* So does a second network, with copies of the pads. */
		b->options.head_code = NULL;
		b->options.witness = second_network(&s, truth);
		assert_error(blobs_start(b, false), PS_EROLLBACK);
		assert_ok(ps_mem_restore(world_of(&s), 0, truth));
		assert_ok(blobs_start(b, false));
		assert_ok(ps_remote_head(b->r, &shown));
		assert_int_equal(shown.unanchored, 0);
		machine_free(b);
		ps_network_close(second);
		assert_ok(ps_mem_forget("witness"));
		truth_heals(&s, truth);
		ps_mem_snapshot_free(old);
		ps_mem_snapshot_free(truth);
	}
}

/* A9: two machines, each shown a history of its own. */
static void a_split_view_is_a_fork(void **state)
{
	each_store(s)
	{
		struct blobs *b = machine_open(s.a);
		struct ps_remote_head of_a, of_b;
		assert_ok(ps_mem_fork(world_of(&s), 0, 1));
		ps_mem_set_view(b->r->network, 1);
		uint64_t more_a = roll_below(&s.dice, 3), more_b = roll_below(&s.dice, 3);
		for (uint64_t n = 0; n <= more_a; n++)
			change_and_sync(&s, s.a);
		for (uint64_t n = 0; n <= more_b; n++)
			change_and_sync(&s, b);
		/* Head codes tell, whatever the network does. */
		assert_ok(ps_remote_head(s.a->r, &of_a));
		assert_ok(ps_remote_head(b->r, &of_b));
		assert_error(ps_remote_check_head(b->r, of_a.code),
		             more_a > more_b ? PS_EROLLBACK : PS_EFORK);
		/* And so does the first look at the other's history. */
		ps_mem_set_view(b->r->network, 0);
		sync_fails(b, more_a < more_b ? PS_EROLLBACK : PS_EFORK);
		ps_mem_set_view(s.a->r->network, 1);
		sync_fails(s.a, more_b < more_a ? PS_EROLLBACK : PS_EFORK);
		ps_mem_set_view(s.a->r->network, 0);
		(void)sync_machine(s.a);
		machine_free(b);
	}
}

/* A10, A11 */
static void a_head_that_is_gone_is_a_loss_and_never_empty(void **state)
{
	each_store(s)
	{
		struct ps_pad_name head = head_name_of(s.a);
		char path[512];
		ps_mem_snapshot *truth = snapshot(&s);
		assert_ok(ps_mem_set(world_of(&s), 0, &head, NULL, NULL, 0));
		sync_fails(s.a, PS_ELOST);
		change(&s, s.a);
		sync_fails(s.a, PS_ELOST);
		/* Nobody makes an empty store in its place by accident. */
		struct blobs *b = machine_new(s.a);
		assert_error(blobs_start(b, false), PS_ENOTFOUND);
		machine_free(b);
		snprintf(path, sizeof(path), "%s/network", s.a->r->folder);
		blobs_close(s.a);
		char away[520];
		snprintf(away, sizeof(away), "%s.away", path);
		assert_int_equal(rename(path, away), 0);
		assert_error(blobs_start(s.a, true), PS_ELOST);
		assert_error(blobs_start(s.a, false), PS_ELOST);
		assert_int_equal(rename(away, path), 0);
		assert_ok(blobs_start(s.a, false));
		truth_heals(&s, truth);
		ps_mem_snapshot_free(truth);
	}
}

static void a_part_of_the_index_that_is_gone_is_a_loss(void **state)
{
	each_store(s)
	{
		struct ps_pad_name names[64], head = head_name_of(s.a);
		struct blobs *b = machine_open(s.a);
		ps_mem_snapshot *before = snapshot(&s);
		change_and_sync(&s, s.a);
		ps_mem_snapshot *truth = snapshot(&s);
		/* All pads but the head as they were: the new run's is not there, or an older one. */
		set_name(&s, &head, truth);
		assert_ok(ps_mem_restore(world_of(&s), 0, before));
		set_name(&s, &head, truth);
		int err = ps_remote_sync(b->r, NULL, NULL, NULL);
		assert_true(err == PS_ELOST || err == PS_EROLLBACK);
		size_t count = ps_mem_names(world_of(&s), 0, names, 64);
		for (size_t i = 0; i < count && i < 64; i++)
			if (memcmp(&names[i], &head, sizeof(head)) != 0)
				assert_ok(ps_mem_set(world_of(&s), 0, &names[i], NULL, NULL, 0));
		sync_fails(b, PS_ELOST);
		struct blobs *fresh = machine_new(s.a);
		assert_error(blobs_start(fresh, false), PS_ELOST);
		machine_free(fresh);
		assert_ok(ps_mem_restore(world_of(&s), 0, truth));
		(void)sync_machine(b);
		expect_same(s.a, b);
		machine_free(b);
		truth_heals(&s, truth);
		ps_mem_snapshot_free(before);
		ps_mem_snapshot_free(truth);
	}
}

static void copy_head(struct store *s, struct blobs *from)
{
	static uint8_t bytes[1 << 20];
	struct ps_pad_name theirs = head_name_of(from), ours = head_name_of(s->a);
	struct ps_pad_identity identity;
	size_t len;
	assert_ok(ps_mem_look(blobs_world(from), 0, &theirs, &identity, bytes, sizeof(bytes), &len));
	assert_in_range(len, 1, sizeof(bytes));
	assert_ok(ps_mem_set(world_of(s), 0, &ours, &identity, bytes, len));
}

/* A12: the same key on another network has its head under the same name. */
static void another_networks_head_is_refused(void **state)
{
	each_store(s)
	{
		ps_mem_snapshot *truth = snapshot(&s);
		struct store other;
		store_new(&other, seed_ + 1000 + i_);
		for (unsigned n = 0; n < 4; n++)
			change_and_sync(&other, other.a); /* with a higher number */
		copy_head(&s, other.a);
		sync_fails(s.a, PS_EAUTH);
		store_free(&other);
		truth_heals(&s, truth);
		ps_mem_snapshot_free(truth);
	}
}

static void another_keys_head_is_refused(void **state)
{
	each_store(s)
	{
		ps_mem_snapshot *truth = snapshot(&s);
		struct blobs *other = machine_new(s.a);
		other->key[7] ^= 1;
		assert_ok(blobs_start(other, true));
		for (unsigned n = 0; n < 6; n++)
			change_and_sync(&s, other);
		other->watch = s.a->watch;
		copy_head(&s, other);
		sync_fails(s.a, PS_EAUTH);
		struct blobs *fresh = machine_new(s.a);
		assert_error(blobs_start(fresh, false), PS_EAUTH);
		machine_free(fresh);
		machine_free(other);
		truth_heals(&s, truth);
		ps_mem_snapshot_free(truth);
	}
}

/* A16 */
static void a_head_that_comes_again_is_a_rollback(void **state)
{
	each_store(s)
	{
		struct ps_pad_name head = head_name_of(s.a);
		unsigned number;
		struct ps_mem_rule rule = {.fault = PS_MEM_REPLAY,
		                           .ops = 1 << PS_NET_REPLACE,
		                           .named = true,
		                           .name = head,
		                           .count = 1,
		                           .amount = 1000000};
		assert_ok(ps_mem_rule_add(world_of(&s), &rule, &number));
		change_and_sync(&s, s.a);
		change_and_sync(&s, s.a);
		ps_mem_snapshot *truth = snapshot(&s);
		assert_int_equal(ps_mem_deliver(world_of(&s)), 1);
		sync_fails(s.a, PS_EROLLBACK);
		truth_heals(&s, truth);
		ps_mem_snapshot_free(truth);
	}
}

/* A17: told as unknown, carried out at once or later, or never: one head in the end, and nothing is lost. */
static void a_head_whose_answer_is_lost_is_written_once(void **state)
{
	static const enum ps_mem_fault faults[] = {PS_MEM_LOSE_REPLY, PS_MEM_VANISH, PS_MEM_LATE,
	                                           PS_MEM_TWICE, PS_MEM_CONFLICT};
	each_store(s)
	{
		struct ps_pad_name head = head_name_of(s.a);
		struct ps_remote_head before, after;
		assert_ok(ps_remote_head(s.a->r, &before));
		for (size_t f = 0; f < sizeof(faults) / sizeof(*faults); f++) {
			unsigned number;
			struct ps_mem_rule rule = {.fault = faults[f],
			                           .ops = 1 << PS_NET_REPLACE,
			                           .named = true,
			                           .name = head,
			                           .count = 1 + roll_below(&s.dice, 2),
			                           .amount = 1 + roll_below(&s.dice, 6)};
			assert_ok(ps_mem_rule_add(world_of(&s), &rule, &number));
			change_and_sync(&s, s.a);
			assert_true(ps_mem_rule_hits(world_of(&s), number) > 0);
			ps_mem_rule_remove(world_of(&s), number);
			(void)ps_mem_deliver(world_of(&s)); /* what comes late now is refused by its guard */
		}
		/* Not by a sync: one that has nothing to send may merge runs, with a head of its own. */
		assert_ok(ps_remote_head(s.a->r, &after));
		assert_int_equal(after.counter, before.counter + sizeof(faults) / sizeof(*faults));
		assert_int_equal(sync_machine(s.a).sent, 0);
		struct blobs *fresh = machine_open(s.a);
		expect_same(s.a, fresh);
		check_machines((struct blobs *[]){s.a, fresh}, 2);
		machine_free(fresh);
	}
}

/* A view that stands still at the head that a machine has used shows nothing wrong: but what that machine
 * writes fails, in bounded time, and a head code of another tells. One that stands still before it is told
 * without any help. */
static void a_frozen_view_is_told(void **state)
{
	each_store(s)
	{
		struct blobs *b = machine_open(s.a);
		ps_mem_snapshot *old = snapshot(&s);
		unsigned number;
		struct ps_mem_rule rule = {.fault = PS_MEM_FROZEN,
		                           .view = 2,
		                           .named = true,
		                           .name = head_name_of(s.a),
		                           .snapshot = old};
		struct ps_remote_head now;
		ps_mem_set_view(b->r->network, 1); /* the same, but for the rule */
		assert_ok(ps_mem_rule_add(world_of(&s), &rule, &number));
		change_and_sync(&s, s.a);
		assert_int_equal(sync_machine(b).received, 0);
		assert_ok(ps_remote_head(s.a->r, &now));
		assert_error(ps_remote_check_head(b->r, now.code), PS_EROLLBACK);
		change(&s, b);
		sync_fails(b, PS_EUNAVAILABLE);
		ps_mem_rule_remove(world_of(&s), 0);
		(void)sync_machine(b);
		(void)sync_machine(s.a);
		(void)sync_machine(b);
		expect_same(s.a, b);
		assert_ok(ps_mem_rule_add(world_of(&s), &rule, &number));
		sync_fails(b, PS_EROLLBACK);
		ps_mem_rule_remove(world_of(&s), 0);
		machine_free(b);
		ps_mem_snapshot_free(old);
	}
}

/* Any damage of the head, or of a run. */
static void damage_is_not_believed(void **state)
{
	static const enum ps_mem_fault faults[] = {PS_MEM_FLIP, PS_MEM_TRUNCATE, PS_MEM_EXTEND};
	each_store(s)
	{
		struct blobs *b = machine_open(s.a);
		change_and_sync(&s, s.a);
		for (size_t f = 0; f < 3; f++) {
			unsigned number;
			struct ps_mem_rule rule = {.fault = faults[f],
			                           .ops = 1 << PS_NET_GET | 1 << PS_NET_GET_RANGE,
			                           .amount = 1 + roll_below(&s.dice, 30000),
			                           .first = 1 + roll_below(&s.dice, 2)};
			if (faults[f] == PS_MEM_TRUNCATE)
				rule.amount = roll_below(&s.dice, 4000);
			assert_ok(ps_mem_rule_add(world_of(&s), &rule, &number));
			sync_fails(b, PS_EAUTH);
			ps_mem_rule_remove(world_of(&s), 0);
		}
		(void)sync_machine(b);
		expect_same(s.a, b);
		machine_free(b);
	}
}

static void copy_folder(const char *from, const char *to)
{
	char command[1024];
	snprintf(command, sizeof(command), "rm -rf %s && cp -a %s %s", to, from, to);
	assert_int_equal(system(command), 0);
}

/* A22: the state folder was put back, as by a backup. */
static void a_machine_whose_state_was_put_back_does_not_push(void **state)
{
	each_store(s)
	{
		char kept[200];
		snprintf(kept, sizeof(kept), "%s-kept", s.a->folder);
		blobs_close(s.a);
		copy_folder(s.a->folder, kept);
		assert_ok(blobs_start(s.a, false));
		change_and_sync(&s, s.a);
		if (roll_below(&s.dice, 2))
			change_and_sync(&s, s.a);
		struct blobs *b = machine_open(s.a);
		if (roll_below(&s.dice, 2))
			change_and_sync(&s, b);
		blobs_close(s.a);
		copy_folder(kept, s.a->folder);
		assert_ok(blobs_start(s.a, false));
		change(&s, s.a);
		sync_fails(s.a, PS_EFORK);
		assert_ok(ps_remote_verify(s.a->r, NULL, NULL));
		change_and_sync(&s, b); /* the others are not disturbed */
		machine_free(b);
		char command[300];
		snprintf(command, sizeof(command), "rm -rf %s", kept);
		assert_int_equal(system(command), 0);
	}
}

int main(int argc, char **argv)
{
	if (argc > 1)
		instances = (unsigned)atoi(argv[1]);
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_old_head_is_a_rollback),
	    cmocka_unit_test(a_whole_that_is_old_is_a_rollback),
	    cmocka_unit_test(a_split_view_is_a_fork),
	    cmocka_unit_test(a_head_that_is_gone_is_a_loss_and_never_empty),
	    cmocka_unit_test(a_part_of_the_index_that_is_gone_is_a_loss),
	    cmocka_unit_test(another_networks_head_is_refused),
	    cmocka_unit_test(another_keys_head_is_refused),
	    cmocka_unit_test(a_head_that_comes_again_is_a_rollback),
	    cmocka_unit_test(a_head_whose_answer_is_lost_is_written_once),
	    cmocka_unit_test(a_frozen_view_is_told),
	    cmocka_unit_test(damage_is_not_believed),
	    cmocka_unit_test(a_machine_whose_state_was_put_back_does_not_push),
	};
	return cmocka_run_group_tests_name("sync, attacks", tests, NULL, NULL);
}
