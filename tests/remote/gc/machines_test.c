/* Machines that upload, sync, burn and collect, at random and within what gc asks of them: at the end every
 * value of every machine is read whole. usage: gc_machines_test [WALKS [STEPS]] */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/remote/gc/gc_fixture.h"

enum {
	PAD = 128 << 10,
	MACHINES = 2,
	KEYS = 6,
	SYNC_S = GC_AGE_S / 2, /* nobody is longer than this without a sync of all he has */
	TICK_S = GC_AGE_S / 8
};

static unsigned walks = 40, steps = 200;

/* ---- a random walk ---- */

struct walk {
	struct dice dice;
	struct blobs *all[MACHINES];
	uint64_t synced_s[MACHINES];
	uint64_t seeds;
	struct ps_remote_gc_result total;
	unsigned refused, burned, interrupted;
};

/* A value says by its first bytes what the others are: then it is whole. */
static size_t make(uint64_t of, uint8_t *value)
{
	size_t len = 8 + of * 7919 % (3 * PAD);
	blobs_fill(value, len, of);
	memcpy(value, &of, sizeof(of));
	return len;
}

static int check_value(void *arg, const struct ps_remote_info *info)
{
	static uint8_t is[3 * PAD + 8], should[3 * PAD + 8];
	struct blobs *b = arg;
	size_t len = 0;
	uint64_t of;
	if (!info->exists)
		return 0;
	int err = ps_remote_get(b->r, info->key, is, sizeof(is), &len, NULL);
	if (err != PS_OK)
		fail_msg("%s: %s (%s)", info->key, ps_error_name(err), ps_last_error_message());
	memcpy(&of, is, sizeof(of));
	assert_int_equal(make(of, should), len);
	assert_memory_equal(is, should, len);
	return 0;
}

static void key_of(struct walk *w, char key[16])
{
	snprintf(key, 16, "key %u", (unsigned)roll_below(&w->dice, KEYS));
}

static void put(struct walk *w, struct blobs *b)
{
	static uint8_t value[3 * PAD + 8];
	struct ps_remote_put replace = {.size = sizeof(replace), .replace = 1};
	char key[16];
	size_t len = make(++w->seeds, value);
	key_of(w, key);
	assert_ok(ps_remote_put(b->r, key, value, len, &replace));
}

/* What is confirmed of it waits for the next put of this key. */
static void interrupted_put(struct walk *w, struct blobs *b)
{
	static uint8_t value[3 * PAD + 8];
	struct ps_remote_put replace = {.size = sizeof(replace), .replace = 1};
	struct ps_mem_rule gone = {.fault = PS_MEM_VANISH, .first = 1 + roll_below(&w->dice, 8)};
	unsigned rule;
	char key[16];
	size_t len = make(++w->seeds, value);
	key_of(w, key);
	assert_ok(ps_mem_rule_add(blobs_world(w->all[0]), &gone, &rule));
	int err = ps_remote_put(b->r, key, value, len, &replace);
	ps_mem_rule_remove(blobs_world(w->all[0]), rule);
	w->interrupted += err != PS_OK;
}

static void change_one(struct walk *w, struct blobs *b)
{
	char key[16], other[16];
	int err = PS_OK;
	key_of(w, key);
	switch (roll_below(&w->dice, 7)) {
	case 0:
		err = ps_remote_remove(b->r, key);
		break;
	case 1:
		err = ps_remote_release(b->r, key);
		break;
	case 2:
		interrupted_put(w, b);
		break;
	case 3:
		key_of(w, other);
		err = ps_remote_rename(b->r, key, other);
		break;
	default:
		put(w, b);
	}
	/* PS_EEXIST, PS_EBUSY: of a rename to what is there, or of what was interrupted. The others: of one
	 * whose contents another machine has replaced, and this one has not heard of it yet. */
	if (err == PS_ESUPERSEDED || err == PS_ELOST) {
		(void)sync_machine(b);
		assert_ok(ps_remote_list(b->r, NULL, check_value, b));
	} else if (err != PS_OK && err != PS_ENOTFOUND && err != PS_EEXIST && err != PS_EBUSY) {
		fail_msg("%s (%s)", ps_error_name(err), ps_last_error_message());
	}
}

static void sync_one(struct walk *w, unsigned i)
{
	(void)sync_machine(w->all[i]);
	w->synced_s[i] = gc_now_s;
}

static void collect(struct walk *w, unsigned i)
{
	struct ps_remote_gc_result found = {0};
	bool ignore = roll_below(&w->dice, 2);
	int err = gc_try(w->all[i], true, ignore, &found);
	if (err == PS_EBUSY && !ignore) {
		w->refused++;
		return;
	}
	assert_ok(err);
	w->total.deleted += found.deleted;
	w->total.changed += found.changed;
}

static void pass_time(struct walk *w)
{
	gc_now_s += roll_below(&w->dice, TICK_S);
	for (unsigned i = 0; i < MACHINES; i++)
		if (gc_now_s - w->synced_s[i] > SYNC_S - TICK_S)
			sync_one(w, i);
}

static void step(struct walk *w)
{
	unsigned i = (unsigned)roll_below(&w->dice, MACHINES);
	switch (roll_below(&w->dice, 16)) {
	case 0:
	case 1:
	case 2:
		sync_one(w, i);
		break;
	case 3:
	case 4:
		collect(w, i);
		break;
	case 5:
		gc_leave_behind(w->all[0], 1);
		w->burned++;
		break;
	case 6:
		assert_ok(ps_remote_purge(w->all[i]->r, NULL, NULL, NULL));
		break;
	case 7:
		assert_ok(ps_remote_reserve(w->all[i]->r, 1 + roll_below(&w->dice, 4), 0));
		break;
	default:
		change_one(w, w->all[i]);
	}
	pass_time(w);
}

static void check_all(struct walk *w)
{
	sync_all_machines(w->all, MACHINES);
	for (unsigned i = 0; i < MACHINES; i++) {
		assert_ok(ps_remote_list(w->all[i]->r, NULL, check_value, w->all[i]));
		assert_ok(ps_remote_verify(w->all[i]->r, NULL, NULL));
	}
	expect_same(w->all[0], w->all[1]);
	struct blobs *fresh = machine_open(w->all[0]);
	expect_same(w->all[0], fresh);
	machine_free(fresh);
}

/* When nothing moves any more, nothing is left over. */
static void check_leftovers(struct walk *w)
{
	struct ps_remote_gc_result found;
	for (unsigned round = 0; round < 3; round++) {
		assert_ok(gc_try(w->all[0], true, true, &found));
		gc_now_s += GC_AGE_S;
	}
	assert_ok(gc_try(w->all[0], false, true, &found));
	assert_int_equal(found.unnamed, 0);
}

static void walk(uint64_t seed, bool guarded, struct walk *w)
{
	*w = (struct walk){.dice = {seed}};
	w->all[0] = gc_store_new("mem");
	w->all[1] = machine_open(w->all[0]);
	for (unsigned i = 0; i < MACHINES; i++) {
		w->synced_s[i] = gc_now_s;
		if (!guarded)
			w->all[i]->r->network->caps &= ~(uint32_t)PS_NET_CAP_GUARDED_REMOVE;
	}
	for (unsigned i = 0; i < steps; i++)
		step(w);
	check_all(w);
	check_leftovers(w);
	check_all(w);
	machine_free(w->all[1]);
	blobs_free(w->all[0]);
}

static void nothing_live_is_ever_deleted(void **state)
{
	struct walk w;
	uint64_t seed = test_seed(1), deleted = 0, refused = 0, burned = 0, interrupted = 0, changed = 0;
	(void)state;
	for (unsigned i = 0; i < walks; i++) {
		walk(seed + i, i % 2 == 0, &w);
		deleted += w.total.deleted;
		changed += w.total.changed;
		refused += w.refused;
		burned += w.burned;
		interrupted += w.interrupted;
	}
	print_message("%u walks: %u deleted, %u changed meanwhile, %u refusals, %u machines burned, %u puts "
	              "interrupted\n",
	              walks, (unsigned)deleted, (unsigned)changed, (unsigned)refused, (unsigned)burned,
	              (unsigned)interrupted);
	assert_true(burned > 0 && deleted > 0);
}

/* ---- threads ---- */

struct mover {
	struct blobs *b;
	atomic_bool ends;
	pthread_t thread;
};

/* Values go from name to name: each pad is named all the time, in one place or the other. */
static void *move(void *arg)
{
	struct mover *m = arg;
	char from[16], to[16];
	for (unsigned n = 0; !atomic_load(&m->ends); n++) {
		snprintf(from, sizeof(from), "%u moves", n % 2);
		snprintf(to, sizeof(to), "%u moves", (n + 1) % 2);
		assert_ok(ps_remote_rename(m->b->r, from, to));
	}
	return NULL;
}

static void what_moves_between_names_is_never_deleted(void **state)
{
	struct blobs *a = gc_store_new("mem");
	struct mover m = {.b = a};
	unsigned busy = 0;
	(void)state;
	blobs_put(a, "0 moves", 100, 1);
	assert_int_equal(pthread_create(&m.thread, NULL, move, &m), 0);
	for (unsigned i = 0; i < 5 * steps; i++) {
		int err = gc_try(a, true, true, NULL);
		assert_true(err == PS_OK || err == PS_EBUSY);
		busy += err == PS_EBUSY;
		gc_now_s += GC_AGE_S;
	}
	atomic_store(&m.ends, true);
	assert_int_equal(pthread_join(m.thread, NULL), 0);
	print_message("%u of %u found no still moment\n", busy, 5 * steps);
	const char *key = count_keys(a, "0 ") > 0 ? "0 moves" : "1 moves";
	blobs_expect(a, key, 100, 1);
	blobs_check(a);
	blobs_free(a);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nothing_live_is_ever_deleted),
	    cmocka_unit_test(what_moves_between_names_is_never_deleted),
	};
	if (argc > 1)
		walks = (unsigned)atoi(argv[1]);
	if (argc > 2)
		steps = (unsigned)atoi(argv[2]);
	return cmocka_run_group_tests_name("gc, machines", tests, NULL, NULL);
}
