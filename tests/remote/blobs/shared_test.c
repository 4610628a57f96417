/* Versions that share pads: what did not change is not sent again, and still whoever takes the store from the
 * network gets the whole of the last head, whatever has been changed, renamed, removed and half sent since.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/remote/sync/sync_fixture.h"

static uint64_t seeds = 6;

enum { PAD = 128 << 10, CHUNKS = 4, KEYS = 4, STEPS = 60 };

/* What a store has: each chunk's seed; 0: nothing. */
struct contents {
	uint64_t seeds[KEYS][CHUNKS];
	uint32_t chunks[KEYS];
};

static void fill_value(const struct contents *c, unsigned key, uint8_t *bytes)
{
	for (uint32_t i = 0; i < c->chunks[key]; i++)
		blobs_fill(bytes + (size_t)i * PAD, PAD, c->seeds[key][i]);
}

static void name_of(unsigned key, char name[16])
{
	snprintf(name, 16, "key %u", key);
}

static bool has(struct blobs *b, const struct contents *c)
{
	static uint8_t should[CHUNKS * PAD], is[CHUNKS * PAD];
	for (unsigned key = 0; key < KEYS; key++) {
		char name[16];
		size_t len = 0;
		name_of(key, name);
		int err = ps_remote_get(b->r, name, is, sizeof(is), &len, NULL);
		if (err != PS_OK && err != PS_ENOTFOUND)
			fail_msg("%s: %s (%s)", name, ps_error_name(err), ps_last_error_message());
		if ((err == PS_ENOTFOUND) != (c->chunks[key] == 0))
			return false;
		if (err == PS_ENOTFOUND)
			continue;
		fill_value(c, key, should);
		if (len != (size_t)c->chunks[key] * PAD || memcmp(is, should, len) != 0)
			return false;
	}
	return true;
}

/* ---- steps ---- */

static void change(struct blobs *b, struct contents *c, struct dice *dice)
{
	static uint8_t bytes[CHUNKS * PAD];
	struct ps_remote_put o = {.size = sizeof(o), .replace = 1};
	unsigned key = (unsigned)roll_below(dice, KEYS);
	char name[16];
	name_of(key, name);
	if (c->chunks[key] == 0 || roll_below(dice, 4) == 0) {
		c->chunks[key] = 1 + (uint32_t)roll_below(dice, CHUNKS);
		for (uint32_t i = 0; i < c->chunks[key]; i++)
			if (c->seeds[key][i] == 0)
				c->seeds[key][i] = 1 + roll(dice) % 1000000;
	}
	c->seeds[key][roll_below(dice, c->chunks[key])] = 1 + roll(dice) % 1000000;
	fill_value(c, key, bytes);
	assert_ok(ps_remote_put(b->r, name, bytes, (size_t)c->chunks[key] * PAD, &o));
}

static void remove_one(struct blobs *b, struct contents *c, struct dice *dice)
{
	unsigned key = (unsigned)roll_below(dice, KEYS);
	char name[16];
	name_of(key, name);
	assert_error(ps_remote_remove(b->r, name), c->chunks[key] > 0 ? PS_OK : PS_ENOTFOUND);
	c->chunks[key] = 0;
}

static void rename_one(struct blobs *b, struct contents *c, struct dice *dice)
{
	unsigned from = (unsigned)roll_below(dice, KEYS), to = (from + 1) % KEYS;
	char from_name[16], to_name[16];
	if (c->chunks[from] == 0 || c->chunks[to] > 0)
		return;
	name_of(from, from_name);
	name_of(to, to_name);
	assert_ok(ps_remote_rename(b->r, from_name, to_name));
	memcpy(c->seeds[to], c->seeds[from], sizeof(c->seeds[to]));
	c->chunks[to] = c->chunks[from];
	c->chunks[from] = 0;
}

/* True: it is known that the head is there. */
static bool sync_or_not(struct blobs *b, struct dice *dice)
{
	static const enum ps_mem_fault faults[] = {PS_MEM_VANISH, PS_MEM_LOSE_REPLY, PS_MEM_LOSE_REQUEST};
	struct ps_mem_rule rule = {.fault = faults[roll_below(dice, 3)], .first = 1 + roll_below(dice, 12)};
	struct ps_remote_sync_result result;
	unsigned number;
	if (roll_below(dice, 2) == 0)
		assert_ok(ps_mem_rule_add(blobs_world(b), &rule, &number));
	int err = ps_remote_sync(b->r, NULL, NULL, &result);
	ps_mem_rule_remove(blobs_world(b), 0);
	return err == PS_OK;
}

/* What the network's head may be: the last one known, and all that were sent and not heard of since. */
struct heads {
	struct contents all[STEPS + 2];
	size_t count;
};

/* Somebody with nothing but the key. */
static void take_from_network(struct blobs *a, const struct heads *heads, uint64_t seed, unsigned step)
{
	struct blobs *fresh = machine_open(a);
	bool any = false;
	for (size_t i = 0; i < heads->count && !any; i++)
		any = has(fresh, &heads->all[i]);
	if (!any)
		fail_msg("seed %llu, step %u: the network has none of the heads that it may have",
		         (unsigned long long)seed, step);
	machine_free(fresh);
}

static void sync_step(struct blobs *a, const struct contents *now, struct heads *heads, struct dice *dice)
{
	if (sync_or_not(a, dice))
		heads->count = 0;
	assert_true(heads->count < STEPS + 2);
	heads->all[heads->count++] = *now;
}

static void walk(uint64_t seed)
{
	static struct heads heads;
	struct ps_remote_seams seams = {.backoff_ms = 1};
	struct blobs *a = blobs_new_with("mem", &seams);
	struct dice dice = {seed};
	struct contents now = {0};
	heads.all[0] = now;
	heads.count = 1;
	for (unsigned step = 0; step < STEPS; step++) {
		uint64_t what = roll_below(&dice, 12);
		if (what < 7)
			change(a, &now, &dice);
		else if (what == 7)
			remove_one(a, &now, &dice);
		else if (what == 8)
			rename_one(a, &now, &dice);
		else if (what == 9)
			blobs_reopen(a);
		else
			sync_step(a, &now, &heads, &dice);
		if (step % 5 == 4) {
			assert_true(has(a, &now));
			blobs_check(a);
			take_from_network(a, &heads, seed, step);
		}
	}
	while (heads.count > 1 || memcmp(&heads.all[0], &now, sizeof(now)) != 0)
		sync_step(a, &now, &heads, &dice);
	take_from_network(a, &heads, seed, STEPS);
	blobs_check(a);
	blobs_free(a);
}

static void the_network_always_has_the_whole_of_its_head(void **state)
{
	uint64_t first = test_seed(1);
	(void)state;
	for (uint64_t seed = first; seed < first + seeds; seed++)
		walk(seed);
}

/* A pad that the network's head names, and that one that never came there named as well. */
static void a_head_that_was_lost_gives_its_pads_back_to_the_one_before(void **state)
{
	struct ps_remote_seams seams = {.backoff_ms = 1};
	struct blobs *a = blobs_new_with("mem", &seams);
	const struct ps_mem_rule lost = {.fault = PS_MEM_VANISH, .ops = 1 << PS_NET_REPLACE};
	uint8_t *first = blobs_bytes(4 * PAD, 1), *bytes = blobs_bytes(4 * PAD, 1),
	        *is = test_malloc(4 * PAD);
	unsigned number;
	size_t len;
	(void)state;
	assert_ok(ps_remote_put(a->r, "key", first, 4 * PAD, NULL));
	sync_machine(a);
	bytes[PAD] ^= 1;
	assert_ok(ps_remote_update(a->r, "key", bytes, 4 * PAD, NULL));
	assert_ok(ps_mem_rule_add(blobs_world(a), &lost, &number));
	sync_fails(a, PS_EUNAVAILABLE);
	struct ps_record record;
	assert_ok(ps_index_look(a->r->index, PS_RECORD_BLOB, "key", 3, &record));
	assert_true(record.flags & PS_RECORD_SENT);
	bytes[0] ^= 1; /* drops a pad that the change before had kept, and sent */
	ps_mem_rule_remove(blobs_world(a), 0);
	assert_ok(ps_remote_update(a->r, "key", bytes, 4 * PAD, NULL));
	/* Another machine's head is there first; what becomes history now is not what was sent. */
	struct blobs *b = machine_open(a);
	blobs_put(b, "theirs", 10, 3);
	sync_machine(b);
	assert_ok(ps_mem_rule_add(blobs_world(a), &lost, &number));
	sync_fails(a, PS_EUNAVAILABLE);
	ps_mem_rule_remove(blobs_world(a), 0);
	assert_ok(ps_index_look(a->r->index, PS_RECORD_BLOB, "key", 3, &record));
	/* The pads of both changes are the base's still: no head without them is history. */
	assert_int_equal(record.sets[PS_SET_BASE].count, 2);
	blobs_put(a, "other", 6 * PAD, 2); /* takes whatever is free */
	struct blobs *fresh = machine_open(a);
	assert_ok(ps_remote_get(fresh->r, "key", is, 4 * PAD, &len, NULL));
	assert_memory_equal(is, first, 4 * PAD);
	machine_free(fresh);
	sync_machine(a);
	assert_ok(ps_remote_get(a->r, "key", is, 4 * PAD, &len, NULL));
	assert_memory_equal(is, bytes, 4 * PAD);
	struct blobs *all[] = {a, b};
	sync_all_machines(all, 2);
	check_machines(all, 2);
	machine_free(b);
	test_free(first);
	test_free(bytes);
	test_free(is);
	blobs_free(a);
}

static void what_did_not_change_is_not_sent_after_a_sync_either(void **state)
{
	struct blobs *a = blobs_new("mem");
	struct ps_remote_stats before, after;
	uint8_t *bytes = blobs_bytes(4 * PAD, 1);
	(void)state;
	assert_ok(ps_remote_put(a->r, "key", bytes, 4 * PAD, NULL));
	sync_machine(a);
	bytes[PAD] ^= 1;
	blobs_stats(a, &before);
	assert_ok(ps_remote_update(a->r, "key", bytes, 4 * PAD, NULL));
	blobs_stats(a, &after);
	assert_true(after.sent_bytes - before.sent_bytes < 2 * PAD);
	blobs_check(a);
	/* Another machine could free what the head names: with one, nothing that it names is shared. */
	struct blobs *b = machine_open(a);
	sync_machine(a);
	blobs_put(b, "other", 10, 2);
	sync_machine(b);
	sync_machine(a);
	bytes[2 * PAD] ^= 1;
	blobs_stats(a, &before);
	assert_ok(ps_remote_update(a->r, "key", bytes, 4 * PAD, NULL));
	blobs_stats(a, &after);
	assert_true(after.sent_bytes - before.sent_bytes > 4 * PAD);
	bytes[2 * PAD] ^= 2; /* but what it does not name is */
	blobs_stats(a, &before);
	assert_ok(ps_remote_update(a->r, "key", bytes, 4 * PAD, NULL));
	blobs_stats(a, &after);
	assert_true(after.sent_bytes - before.sent_bytes < 2 * PAD);
	/* The other machine changes it as well, and takes pads anew: neither loses a byte. */
	blobs_update(b, "key", 3 * PAD, 9);
	sync_machine(b);
	blobs_update(b, "key", 2 * PAD, 10);
	blobs_put(b, "more", 4 * PAD, 11);
	struct blobs *all[] = {a, b};
	sync_all_machines(all, 2);
	expect_same(a, b);
	check_machines(all, 2);
	test_free(bytes);
	machine_free(b);
	blobs_free(a);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_network_always_has_the_whole_of_its_head),
	    cmocka_unit_test(a_head_that_was_lost_gives_its_pads_back_to_the_one_before),
	    cmocka_unit_test(what_did_not_change_is_not_sent_after_a_sync_either),
	};
	if (argc > 1)
		seeds = strtoull(argv[1], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
