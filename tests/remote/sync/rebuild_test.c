/* A store whose head is lost: what is rebuilt from the rest, and what is not believed on the way. */
#include "tests/remote/sync/sync_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned instances = 20;

static int start_rebuild(struct blobs *b, struct ps_remote_rebuild_result *result)
{
	struct ps_remote_setup setup = {
	    .url = b->url, .options = &b->options, .seams = &b->seams, .rebuild = result};
	assert_ok(ps_keys_new(b->key, NULL, &setup.keys));
	int err = ps_remote_start(&setup, &b->r);
	if (err != PS_OK)
		ps_keys_free(setup.keys);
	return err;
}

static void change(struct blobs *b, struct dice *dice)
{
	struct ps_remote_put replace = {.size = sizeof(replace), .replace = 1};
	char key[24];
	for (uint64_t n = 1 + roll_below(dice, 4); n > 0; n--) {
		size_t len = roll_below(dice, 4000);
		snprintf(key, sizeof(key), "key %u", (unsigned)roll_below(dice, 30));
		if (roll_below(dice, 5) == 0 && ps_remote_remove(b->r, key) == PS_OK)
			continue;
		uint8_t *bytes = blobs_bytes(len, roll(dice));
		assert_ok(ps_remote_put(b->r, key, bytes, len, &replace));
		test_free(bytes);
	}
}

/* Several runs, and pads of runs that were replaced. */
static struct blobs *store_new(uint64_t seed, struct dice *dice)
{
	struct ps_remote_seams seams = {.backoff_ms = 1, .seed = seed};
	struct blobs *a = blobs_new_with("mem", &seams);
	*dice = (struct dice){seed};
	for (unsigned i = 0; i < 30; i++) {
		char key[24];
		snprintf(key, sizeof(key), "key %u", i);
		blobs_put(a, key, 50 + i, i);
	}
	(void)sync_machine(a);
	for (uint64_t n = 2 + roll_below(dice, 12); n > 0; n--) {
		change(a, dice);
		(void)sync_machine(a);
	}
	return a;
}

static void lose_head(struct blobs *a)
{
	struct ps_pad_name head = head_name_of(a);
	assert_ok(ps_mem_set(blobs_world(a), 0, &head, NULL, NULL, 0));
}

static void a_head_that_is_there_is_not_rebuilt(void **state)
{
	struct dice dice;
	struct blobs *a = store_new(1, &dice);
	struct ps_remote_rebuild_result result;
	(void)state;
	struct blobs *b = machine_new(a);
	assert_error(start_rebuild(b, &result), PS_EEXIST);
	lose_head(a);
	b->key[3] ^= 1;
	assert_error(start_rebuild(b, &result), PS_ENOTFOUND);
	machine_free(b);
	blobs_free(a);
}

static void a_machine_with_only_the_key_finds_the_newest_state(void **state)
{
	uint64_t seed = test_seed(1);
	(void)state;
	for (unsigned i = 0; i < instances; i++) {
		struct dice dice;
		struct ps_remote_rebuild_result result;
		struct blobs *a = store_new(seed + i, &dice), *b = machine_new(a);
		lose_head(a);
		assert_error(blobs_start(b, false), PS_ENOTFOUND);
		assert_ok(start_rebuild(b, &result));
		assert_int_equal(result.refused, 0);
		assert_in_range(result.runs, 1, 20);
		expect_same(a, b);
		assert_ok(ps_remote_verify(b->r, NULL, NULL));
		/* It goes on from there, and others take it. */
		change(b, &dice);
		(void)sync_machine(b);
		struct blobs *fresh = machine_open(a);
		expect_same(b, fresh);
		/* A machine that remembers heads which nobody could remember here is told. */
		sync_fails(a, PS_EFORK);
		machine_free(fresh);
		machine_free(b);
		blobs_free(a);
	}
}

static void a_machine_that_knows_the_store_makes_the_next_head(void **state)
{
	uint64_t seed = test_seed(1);
	(void)state;
	for (unsigned i = 0; i < instances; i++) {
		struct dice dice;
		struct ps_remote_rebuild_result result;
		struct ps_remote_head before, after;
		struct blobs *a = store_new(seed + i, &dice), *b = machine_open(a);
		assert_ok(ps_remote_head(a->r, &before));
		change(a, &dice);
		change(b, &dice); /* not synced: it is sent afterwards */
		lose_head(a);
		sync_fails(a, PS_ELOST);
		blobs_close(a);
		assert_ok(start_rebuild(a, &result));
		assert_ok(ps_remote_head(a->r, &after));
		assert_int_equal(after.counter, before.counter + 1);
		assert_int_equal(result.head, after.counter);
		/* For the others it is a head like any other. */
		sync_all_machines((struct blobs *[]){a, b}, 2);
		expect_same(a, b);
		check_machines((struct blobs *[]){a, b}, 2);
		machine_free(b);
		blobs_free(a);
	}
}

/* ---- runs that are lost, too ---- */

static int lose_some(void *arg, const struct ps_record *record)
{
	struct dice *dice = ((void **)arg)[0];
	struct blobs *a = ((void **)arg)[1];
	const struct ps_slots *pads = &record->sets[PS_SET_CURRENT];
	for (uint32_t i = 0; i < pads->count; i++)
		if (roll_below(dice, 2))
			assert_ok(ps_mem_set(blobs_world(a), 0, &pads->slots[i].name, NULL, NULL, 0));
	return PS_OK;
}

/* What this machine has is sent again. */
static void what_the_network_has_lost_is_sent_again(void **state)
{
	uint64_t seed = test_seed(1);
	(void)state;
	for (unsigned i = 0; i < instances; i++) {
		struct dice dice;
		struct ps_remote_rebuild_result result;
		struct blobs *a = store_new(seed + i, &dice);
		void *arg[] = {&dice, a};
		assert_ok(
		    ps_index_list(a->r->index, PS_RECORD_SYSTEM, "run ", PS_LIST_SLOTS, lose_some, arg));
		lose_head(a);
		blobs_close(a);
		assert_ok(start_rebuild(a, &result));
		(void)sync_machine(a);
		struct blobs *fresh = machine_open(a);
		expect_same(a, fresh);
		check_machines((struct blobs *[]){a}, 1);
		machine_free(fresh);
		blobs_free(a);
	}
}

/* ---- A19: what is put in the way of who repairs ---- */

static void damage_all_runs(struct blobs *a, struct dice *dice, struct blobs *from)
{
	static uint8_t bytes[1 << 20];
	struct ps_pad_name names[256];
	size_t count = ps_mem_names(blobs_world(from), 0, names, 256), len;
	for (size_t n = 0; n < count && n < 256; n++) {
		struct ps_pad_identity identity;
		struct ps_pad_name name = names[n];
		assert_ok(ps_mem_look(blobs_world(from), 0, &name, &identity, bytes, sizeof(bytes), &len));
		/* Bits, other pads' names, other lengths; the originals stay as well. */
		switch (roll_below(dice, 3)) {
		case 0:
			bytes[roll_below(dice, len)] ^= (uint8_t)(1 << roll_below(dice, 8));
			break;
		case 1:
			len = roll_below(dice, len);
			break;
		default:
			break;
		}
		for (size_t i = 0; i < sizeof(name.bytes); i++)
			name.bytes[i] = (uint8_t)roll(dice);
		assert_ok(ps_mem_set(blobs_world(a), 0, &name, &identity, bytes, len));
	}
}

static void nothing_that_is_not_authentic_is_adopted(void **state)
{
	uint64_t seed = test_seed(1);
	(void)state;
	for (unsigned i = 0; i < instances; i++) {
		struct dice dice, other_dice;
		struct ps_remote_rebuild_result result;
		struct blobs *a = store_new(seed + i, &dice), *b = machine_new(a);
		damage_all_runs(a, &dice, a);
		/* Another store's pads, whole and under their own names: of another key. */
		struct blobs *other = machine_new(a);
		other->key[5] ^= 1;
		assert_ok(blobs_start(other, true));
		blobs_put(other, "of another", 10, 1);
		other_dice = dice;
		change(other, &other_dice);
		(void)sync_machine(other);
		lose_head(a);
		assert_ok(start_rebuild(b, &result));
		assert_true(result.refused > 0);
		expect_same(a, b);
		expect_none(b, "of another");
		machine_free(other);
		machine_free(b);
		blobs_free(a);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_head_that_is_there_is_not_rebuilt),
	    cmocka_unit_test(a_machine_with_only_the_key_finds_the_newest_state),
	    cmocka_unit_test(a_machine_that_knows_the_store_makes_the_next_head),
	    cmocka_unit_test(what_the_network_has_lost_is_sent_again),
	    cmocka_unit_test(nothing_that_is_not_authentic_is_adopted),
	};
	if (argc > 1)
		instances = (unsigned)atoi(argv[1]);
	return cmocka_run_group_tests_name("sync, rebuild", tests, NULL, NULL);
}
