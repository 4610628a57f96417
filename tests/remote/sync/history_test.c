/* Random histories of machines that change, keep parts of, rename and remove values of several pads, sync
 * when they please, or try to over a network that fails, are closed and opened, and join in the midst of it.
 * After every round each machine reads what it has not sent, then all sync, and every value, each conflict
 * copy too, is read whole from the network on every machine and on one that has only the key; nothing that
 * nobody replaced knowingly is lost, no pad is forgotten, none has two owners. */
#include "tests/remote/sync/values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MACHINES = 4, KEYS = 4, ROUNDS = 6, VALUES = 512 };

/* Each content is written once: it is there in the end, or somebody replaced it who had seen it. */
struct content {
	struct value value;
	bool replaced, there;
};

struct history {
	struct dice dice;
	struct blobs *machines[MACHINES];
	size_t count;
	struct content contents[VALUES];
	size_t contents_count;
	uint64_t next_seed;
	char key[PS_RECORD_NAME_MAX + 1]; /* the one that was chosen */
	uint64_t seen;
};

static struct content *content_of(struct history *h, const struct value *v)
{
	for (size_t i = 0; i < h->contents_count; i++)
		if (value_same(&h->contents[i].value, v))
			return &h->contents[i];
	fail_msg("a value that nobody wrote");
	return NULL;
}

static int choose(void *arg, const struct ps_remote_info *info)
{
	struct history *h = arg;
	if (info->exists && roll_below(&h->dice, ++h->seen) == 0)
		snprintf(h->key, sizeof(h->key), "%s", info->key);
	return 0;
}

/* Another machine has changed it: the next sync tells what it is. */
static bool stale(int err)
{
	return err == PS_ESUPERSEDED || err == PS_EROLLBACK || err == PS_ELOST;
}

/* A key, and what is under it: PS_OK or PS_ENOTFOUND. */
static int look_at_one(struct history *h, struct blobs *b, struct value *v)
{
	snprintf(h->key, sizeof(h->key), "key %u", (unsigned)roll_below(&h->dice, KEYS));
	h->seen = 0;
	if (roll_below(&h->dice, 2) == 0)
		assert_ok(ps_remote_list(b->r, "key", choose, h));
	int err = get_value(b, h->key, v);
	if (err != PS_OK && err != PS_ENOTFOUND && !stale(err))
		assert_ok(err);
	return err;
}

static void write_one(struct history *h, struct blobs *b, const struct value *before)
{
	struct value v = {0};
	if (before && roll_below(&h->dice, 3) > 0) { /* some chunks stay */
		v = *before;
		v.seeds[roll_below(&h->dice, v.count)] = ++h->next_seed;
	} else {
		v.count = 1 + (uint32_t)roll_below(&h->dice, CHUNKS);
		for (uint32_t i = 0; i < v.count; i++)
			v.seeds[i] = ++h->next_seed;
	}
	assert_true(h->contents_count < VALUES);
	put_value(b, h->key, &v);
	h->contents[h->contents_count++].value = v;
}

static void change_one(struct history *h, struct blobs *b)
{
	struct value before;
	char to[32];
	int err = look_at_one(h, b, &before);
	if (stale(err))
		return;
	uint64_t what = err == PS_OK ? roll_below(&h->dice, 8) : 7;
	if (what == 0) {
		assert_ok(ps_remote_remove(b->r, h->key));
		content_of(h, &before)->replaced = true;
	} else if (what <= 2) {
		snprintf(to, sizeof(to), "key moved %u", (unsigned)(++h->next_seed));
		assert_ok(ps_remote_rename(b->r, h->key, to));
	} else {
		if (err == PS_OK)
			content_of(h, &before)->replaced = true;
		write_one(h, b, err == PS_OK ? &before : NULL);
	}
}

/* What this machine has changed and not sent is its own, whatever the others do. */
static int read_unsent(void *arg, const struct ps_remote_info *info)
{
	struct value v;
	if (info->exists && !info->synced)
		assert_ok(get_value(arg, info->key, &v));
	return 0;
}

static int mark_there(void *arg, const struct ps_remote_info *info)
{
	struct history *h = arg;
	struct value v;
	if (!info->exists)
		return 0;
	assert_ok(get_value(h->machines[0], info->key, &v));
	content_of(h, &v)->there = true;
	return 0;
}

static void check_round(struct history *h, uint64_t seed, unsigned round)
{
	for (size_t i = 0; i < h->count; i++)
		assert_ok(ps_remote_list(h->machines[i]->r, NULL, read_unsent, h->machines[i]));
	sync_all_machines(h->machines, h->count);
	for (size_t i = 0; i < h->contents_count; i++)
		h->contents[i].there = false;
	assert_ok(ps_remote_list(h->machines[0]->r, NULL, mark_there, h));
	for (size_t i = 0; i < h->contents_count; i++)
		if (!h->contents[i].there && !h->contents[i].replaced)
			fail_msg("seed %llu, round %u: value %zu is lost", (unsigned long long)seed, round,
			         i);
	struct blobs *fresh = machine_open(h->machines[0]);
	for (size_t i = 1; i < h->count; i++)
		expect_same(h->machines[0], h->machines[i]);
	expect_same(h->machines[0], fresh);
	machine_free(fresh);
	check_machines(h->machines, h->count);
}

/* From some request on nobody answers, or what is done is not told; a later sync goes on. */
static void sync_or_not(struct history *h, struct blobs *b)
{
	static const enum ps_mem_fault faults[] = {PS_MEM_VANISH, PS_MEM_LOSE_REPLY, PS_MEM_LOSE_REQUEST};
	struct ps_mem_rule rule = {.fault = faults[roll_below(&h->dice, 3)],
	                           .first = 1 + roll_below(&h->dice, 12)};
	ps_mem_world *world = blobs_world(h->machines[0]);
	unsigned number;
	assert_ok(ps_mem_rule_add(world, &rule, &number));
	(void)!ps_remote_sync(b->r, NULL, NULL, NULL);
	ps_mem_rule_remove(world, 0);
}

static void some_sync(struct history *h, struct blobs *b)
{
	uint64_t what = roll_below(&h->dice, 4);
	if (what == 0)
		sync_or_not(h, b);
	else
		(void)sync_machine(b);
	if (what == 1)
		blobs_reopen(b);
}

static void one_round(struct history *h)
{
	bool joins = h->count < MACHINES && roll_below(&h->dice, 2) == 0;
	for (uint64_t n = 6 * h->count; n > 0; n--) {
		struct blobs *b = h->machines[roll_below(&h->dice, h->count)];
		if (roll_below(&h->dice, 4) == 0)
			some_sync(h, b);
		else
			change_one(h, b);
		if (joins && roll_below(&h->dice, 4) == 0) { /* in the midst of it */
			h->machines[h->count++] = machine_open(h->machines[0]);
			joins = false;
		}
	}
}

static void walk(uint64_t seed)
{
	struct ps_remote_seams seams = {.backoff_ms = 1};
	struct history *h = calloc(1, sizeof(*h));
	assert_non_null(h);
	h->dice.state = seed;
	h->machines[h->count++] = blobs_new_with("mem", &seams);
	for (unsigned round = 0; round < ROUNDS; round++) {
		one_round(h);
		/* Not always: what one has not heard of yet goes on into the next round. */
		if (roll_below(&h->dice, 2) == 0)
			check_round(h, seed, round);
	}
	check_round(h, seed, ROUNDS);
	while (h->count > 1)
		machine_free(h->machines[--h->count]);
	blobs_free(h->machines[0]);
	free(h);
}

static uint64_t histories = 3;

static void no_value_is_lost_in_any_history(void **state)
{
	uint64_t first = test_seed(1);
	(void)state;
	for (uint64_t seed = first; seed < first + histories; seed++)
		walk(seed);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_value_is_lost_in_any_history),
	};
	if (argc > 1)
		histories = strtoull(argv[1], NULL, 10);
	return cmocka_run_group_tests_name("sync, histories", tests, NULL, NULL);
}
