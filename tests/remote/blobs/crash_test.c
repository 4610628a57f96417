/* A crash at every write of the local index and at every request of the network, for every call that changes
 * something: afterwards the old or the new value is there, the index agrees with itself, no pad that the
 * network has is forgotten, and the call, repeated, finishes.
 * usage: crash_test [STRIDE]: only every so-manieth place */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/remote/blobs/crash_world.h"

enum { PAD = 128 << 10 };

static uint64_t stride = 1;

/* What the tests begin with: one value, one key with free pads behind it. */
static void make_base(struct world *w)
{
	blobs_put(w->b, "old", 3 * PAD, 1);
	blobs_put(w->b, "gone", 2 * PAD - 9, 2);
	assert_ok(ps_remote_remove(w->b->r, "gone"));
}

/* ---- what is done, and what may be there afterwards ---- */

static int put_seed(struct world *w, const char *key, size_t len, uint64_t seed, bool update)
{
	struct ps_remote_put replace = {.size = sizeof(replace), .replace = 1};
	uint8_t *bytes = blobs_bytes(len, seed);
	int err = update ? ps_remote_update(w->b->r, key, bytes, len, NULL)
	                 : ps_remote_put(w->b->r, key, bytes, len, &replace);
	test_free(bytes);
	return err;
}

static bool exists(struct world *w, const char *key)
{
	struct ps_remote_info info;
	int err = ps_remote_stat(w->b->r, key, &info);
	assert_true(err == PS_OK || err == PS_ENOTFOUND);
	return err == PS_OK && info.exists;
}

static int act_put(struct world *w)
{
	return put_seed(w, "new", 4 * PAD - 1, 7, false);
}

static void check_put(struct world *w, bool done)
{
	blobs_expect(w->b, "old", 3 * PAD, 1);
	if (exists(w, "new"))
		blobs_expect(w->b, "new", 4 * PAD - 1, 7);
	else
		assert_false(done);
}

static int act_small(struct world *w)
{
	return put_seed(w, "small", 1000, 8, false);
}

static void check_small(struct world *w, bool done)
{
	if (exists(w, "small"))
		blobs_expect(w->b, "small", 1000, 8);
	else
		assert_false(done);
}

static int act_update(struct world *w)
{
	return put_seed(w, "old", 3 * PAD + 5, 9, true);
}

static void check_update(struct world *w, bool done)
{
	struct ps_remote_info info;
	assert_ok(ps_remote_stat(w->b->r, "old", &info));
	if (info.size == 3 * PAD + 5)
		blobs_expect(w->b, "old", 3 * PAD + 5, 9);
	else
		blobs_expect(w->b, "old", 3 * PAD, 1);
	assert_true(!done || info.size == 3 * PAD + 5);
}

/* A part of the value changes: its other pads stay. */
static int act_part(struct world *w)
{
	uint8_t *bytes = blobs_bytes(3 * PAD, 1);
	bytes[PAD] ^= 1;
	int err = ps_remote_update(w->b->r, "old", bytes, 3 * PAD, NULL);
	test_free(bytes);
	return err;
}

static void check_part(struct world *w, bool done)
{
	uint8_t *bytes = blobs_bytes(3 * PAD, 1), *is = test_malloc(3 * PAD);
	size_t len;
	assert_ok(ps_remote_get(w->b->r, "old", is, 3 * PAD, &len, NULL));
	assert_int_equal(len, 3 * PAD);
	bool changed = is[PAD] != bytes[PAD];
	bytes[PAD] ^= changed;
	assert_memory_equal(bytes, is, 3 * PAD);
	assert_true(changed || !done);
	test_free(bytes);
	test_free(is);
}

static int act_remove(struct world *w)
{
	int err = ps_remote_remove(w->b->r, "old");
	return err == PS_ENOTFOUND ? PS_OK : err;
}

static void check_remove(struct world *w, bool done)
{
	if (exists(w, "old"))
		blobs_expect(w->b, "old", 3 * PAD, 1);
	assert_true(!done || !exists(w, "old"));
}

static int act_rename(struct world *w)
{
	int err = ps_remote_rename(w->b->r, "old", "moved");
	return err == PS_ENOTFOUND ? PS_OK : err;
}

static void check_rename(struct world *w, bool done)
{
	assert_true(exists(w, "old") != exists(w, "moved"));
	assert_true(!done || exists(w, "moved"));
	blobs_expect(w->b, exists(w, "old") ? "old" : "moved", 3 * PAD, 1);
}

static int act_reserve(struct world *w)
{
	return ps_remote_reserve(w->b->r, 5, 0);
}

static void check_reserve(struct world *w, bool done)
{
	struct ps_remote_stats stats;
	blobs_stats(w->b, &stats);
	assert_true(!done || stats.free_pads >= 5);
	blobs_expect(w->b, "old", 3 * PAD, 1);
}

/* Deletes the free pads of the base state, all but one. */
static int act_purge(struct world *w)
{
	w->b->r->options.free_keep = 1;
	return ps_remote_purge(w->b->r, NULL, NULL, NULL);
}

static void check_purge(struct world *w, bool done)
{
	struct ps_remote_stats stats;
	blobs_stats(w->b, &stats);
	assert_true(!done || stats.free_pads <= 1);
	blobs_expect(w->b, "old", 3 * PAD, 1);
}

static const struct step steps[] = {
    {"put", act_put, check_put},
    {"small put", act_small, check_small},
    {"update", act_update, check_update},
    {"update of a part", act_part, check_part},
    {"reserve", act_reserve, check_reserve},
    {"purge", act_purge, check_purge},
    {"remove", act_remove, check_remove},
    {"rename", act_rename, check_rename},
};

enum { NETWORK_STEPS = 6 }; /* the others ask no network */

/* ---- the loops ---- */

static void a_crash_at_every_local_write(void **state)
{
	struct world w;
	(void)state;
	world_new(&w, make_base);
	world_walk_local_writes(&w, steps, sizeof(steps) / sizeof(*steps), stride);
	world_free(&w);
}

static void a_crash_at_every_request(void **state)
{
	struct world w;
	(void)state;
	world_new(&w, make_base);
	world_walk_requests(&w, steps, NETWORK_STEPS, stride);
	world_free(&w);
}

/* Both: the first crash at a request, the second at a local write of the repeated call. */
static void a_second_crash_while_it_is_repeated(void **state)
{
	struct world w;
	unsigned states = 0;
	(void)state;
	world_new(&w, make_base);
	for (uint64_t k = 2; k <= 6; k += 2) {
		bool hit = true;
		for (uint64_t n = 1; hit; n += stride, states++) {
			struct ps_mem_rule rule = {.fault = PS_MEM_VANISH, .first = k};
			unsigned number;
			world_restore(&w);
			assert_ok(ps_mem_rule_add(blobs_world(w.b), &rule, &number));
			assert_true(act_put(&w) != PS_OK);
			world_crash(&w);
			sim_disk_fail(w.disk, n, EIO, true);
			int err = act_put(&w);
			hit = sim_disk_faults(w.disk) > 0;
			world_see_after(&w, &steps[0], err);
		}
	}
	print_message("%u second crashes\n", states);
	world_free(&w);
}

/* Memory that runs out anywhere, instead of a crash: nothing is lost, and the call can be repeated. */
static void no_memory_at_any_place(void **state)
{
	struct world w;
	(void)state;
	world_new(&w, make_base);
	world_walk_memory(&w, steps, sizeof(steps) / sizeof(*steps), stride);
	world_free(&w);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_crash_at_every_local_write),
	    cmocka_unit_test(a_crash_at_every_request),
	    cmocka_unit_test(a_second_crash_while_it_is_repeated),
	    cmocka_unit_test(no_memory_at_any_place),
	};
	if (argc > 1)
		stride = strtoull(argv[1], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
