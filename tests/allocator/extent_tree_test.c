#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "allocator/extent_tree.h"

enum { KEYS = 16384, STEPS = 100000 };

static struct ps_memory memory;
static struct ps_extent_tree tree;

static int set_up(void **state)
{
	(void)state;
	ps_memory_init(&memory, NULL);
	ps_extent_tree_init(&tree, &memory);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	(void)ps_memory_fail_nth(0, 0);
	ps_extent_tree_done(&tree);
	size_t used = memory.used;
	ps_memory_done(&memory);
	return used != 0;
}

static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9E3779B97F4A7C15U;
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
	return z ^ (z >> 29);
}

/* Few first numbers and many second ones, as lengths and offsets are. */
static struct ps_extent_pair pair_of(uint64_t key)
{
	return (struct ps_extent_pair){key / 512, key % 512};
}

static uint64_t key_of(struct ps_extent_pair pair)
{
	return pair.first * 512 + pair.second;
}

struct expected {
	const bool *present;
	uint64_t key;
};

static int expect_pair(void *arg, struct ps_extent_pair pair)
{
	struct expected *e = arg;
	while (e->key < KEYS && !e->present[e->key])
		e->key++;
	assert_int_equal(e->key, key_of(pair));
	e->key++;
	return 0;
}

static void expect_set(const bool *present)
{
	struct expected e = {present, 0};
	assert_int_equal(ps_extent_tree_check(&tree), PS_OK);
	assert_int_equal(ps_extent_tree_walk(&tree, expect_pair, &e), 0);
	while (e.key < KEYS)
		assert_false(present[e.key++]);
}

static void expect_neighbours(const bool *present, uint64_t key)
{
	struct ps_extent_cursor cursor;
	uint64_t above = key, below = key;
	while (above < KEYS && !present[above])
		above++;
	while (below > 0 && !present[below - 1])
		below--;
	const struct ps_extent_pair *pair = ps_extent_tree_seek(&tree, pair_of(key), &cursor);
	assert_int_equal(pair ? key_of(*pair) : KEYS, above);
	pair = ps_extent_cursor_previous(&cursor);
	assert_int_equal(pair ? key_of(*pair) + 1 : 0, below);
	if (pair) {
		pair = ps_extent_cursor_next(&cursor);
		assert_int_equal(pair ? key_of(*pair) : KEYS, above);
	}
}

static void random_step(bool *present, uint64_t bits, bool growing)
{
	uint64_t key = bits % KEYS, other = (bits >> 16) % KEYS;
	unsigned op = (bits >> 40) % 8;
	bool near = (bits >> 50) % 4 > 0; /* moves within a leaf and over its edges shift the separators */
	if (near)
		other = (key + KEYS - 8 + other % 16) % KEYS;
	/* What was sought last is found again without the way down. */
	if ((bits >> 53) % 2 > 0)
		expect_neighbours(present, key);
	if (op <= 1) {
		int err = ps_extent_tree_replace(&tree, pair_of(key), pair_of(other));
		int expected = !present[key]                    ? PS_ENOTFOUND
		               : present[other] && other != key ? PS_EEXIST
		                                                : PS_OK;
		assert_int_equal(err, expected);
		if (err == PS_OK) {
			present[key] = false;
			present[other] = true;
		}
	} else if ((op < 7) == growing) {
		assert_int_equal(ps_extent_tree_insert(&tree, pair_of(key)),
		                 present[key] ? PS_EEXIST : PS_OK);
		present[key] = true;
	} else {
		assert_int_equal(ps_extent_tree_remove(&tree, pair_of(key)),
		                 present[key] ? PS_OK : PS_ENOTFOUND);
		present[key] = false;
	}
	assert_int_equal(ps_extent_tree_contains(&tree, pair_of(key)), present[key]);
	expect_neighbours(present, other);
}

static void holds_what_was_put_in_through_growth_and_decline(void **state)
{
	static bool present[KEYS];
	uint64_t seed = 20261;
	(void)state;
	memset(present, 0, sizeof(present));
	for (unsigned i = 0; i < STEPS; i++) {
		random_step(present, next_random(&seed), i / 25000 % 2 == 0);
		if (i % 64 == 0)
			assert_int_equal(ps_extent_tree_check(&tree), PS_OK);
		if (i % 1024 == 0)
			expect_set(present);
	}
	expect_set(present);
}

static void ascending_and_descending_inserts_keep_the_form(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 2000; i++) {
		assert_int_equal(ps_extent_tree_insert(&tree, (struct ps_extent_pair){1000000 + i, i}),
		                 PS_OK);
		assert_int_equal(ps_extent_tree_insert(&tree, (struct ps_extent_pair){1000000 - 1 - i, i}),
		                 PS_OK);
		if (i % 50 == 0)
			assert_int_equal(ps_extent_tree_check(&tree), PS_OK);
	}
	assert_int_equal(tree.count, 4000);
	for (uint64_t i = 0; i < 2000; i++) {
		assert_int_equal(ps_extent_tree_remove(&tree, (struct ps_extent_pair){1000000 + i, i}),
		                 PS_OK);
		assert_int_equal(ps_extent_tree_remove(&tree, (struct ps_extent_pair){1000000 - 1 - i, i}),
		                 PS_OK);
		if (i % 50 == 0)
			assert_int_equal(ps_extent_tree_check(&tree), PS_OK);
	}
	assert_null(tree.root);
	assert_null(ps_extent_tree_last(&tree));
}

/* Pair i of so many, moved from its place by at most 49. */
static struct ps_extent_pair shifted(uint64_t i, int shift)
{
	return (struct ps_extent_pair){i * 100 + (uint64_t)shift, (uint64_t)(50 - shift)};
}

static void shift_all(uint64_t n, int from, int to)
{
	for (uint64_t i = 1; i <= n; i++) {
		assert_int_equal(ps_extent_tree_replace(&tree, shifted(i, from), shifted(i, to)), PS_OK);
		assert_true(ps_extent_tree_contains(&tree, shifted(i, to)));
	}
	assert_int_equal(ps_extent_tree_check(&tree), PS_OK);
}

static void replace_moves_a_pair_between_its_neighbours_without_memory(void **state)
{
	enum { N = 5000 };
	(void)state;
	for (uint64_t i = 1; i <= N; i++)
		assert_int_equal(ps_extent_tree_insert(&tree, shifted(i, 0)), PS_OK);
	(void)ps_memory_fail_nth(1, 1);
	shift_all(N, 0, 49);
	shift_all(N, 49, 10);
	shift_all(N, 10, -49);
	assert_int_equal(ps_memory_fail_nth(0, 0), 0);
	/* Nodes are merged by separators that the moves have left. */
	for (uint64_t i = 1; i <= N; i++) {
		if (i % 16 == 1)
			continue;
		assert_int_equal(ps_extent_tree_remove(&tree, shifted(i, -49)), PS_OK);
		assert_int_equal(ps_extent_tree_check(&tree), PS_OK);
	}
}

static void a_loaded_tree_is_whole_and_can_be_emptied(void **state)
{
	static struct ps_extent_pair pairs[20000];
	const size_t sizes[] = {0, 1, 2, 23, 24, 25, 30, 31, 48, 49, 383, 384, 385, 400, 6144, 6145, 20000};
	(void)state;
	for (size_t i = 0; i < 20000; i++)
		pairs[i] = (struct ps_extent_pair){i * 3, i};
	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		assert_int_equal(ps_extent_tree_load(&tree, pairs, sizes[s]), PS_OK);
		assert_int_equal(ps_extent_tree_check(&tree), PS_OK);
		assert_int_equal(tree.count, sizes[s]);
		for (size_t i = 0; i < sizes[s]; i++)
			assert_int_equal(ps_extent_tree_remove(&tree, pairs[(i * 7919) % sizes[s]]), PS_OK);
		assert_int_equal(tree.count, 0);
		assert_int_equal(ps_extent_tree_check(&tree), PS_OK);
	}
}

static size_t count_pairs(void)
{
	size_t n = 0;
	struct ps_extent_cursor cursor;
	const struct ps_extent_pair *pair =
	    ps_extent_tree_seek(&tree, (struct ps_extent_pair){0, 0}, &cursor);
	for (; pair; pair = ps_extent_cursor_next(&cursor))
		n++;
	return n;
}

static void an_insert_without_memory_changes_nothing(void **state)
{
	size_t refused = 0;
	(void)state;
	for (uint64_t i = 0; i < 5000; i++) {
		struct ps_extent_pair pair = {i * 2654435761U % 65536, i};
		(void)ps_memory_fail_nth(1 + i % 3, i % 2 == 0);
		int err = ps_extent_tree_insert(&tree, pair);
		(void)ps_memory_fail_nth(0, 0);
		if (err == PS_OK)
			continue;
		assert_int_equal(err, PS_ENOMEM);
		refused++;
		assert_false(ps_extent_tree_contains(&tree, pair));
		assert_int_equal(ps_extent_tree_check(&tree), PS_OK);
		assert_int_equal(count_pairs(), tree.count);
		assert_int_equal(ps_extent_tree_insert(&tree, pair), PS_OK);
	}
	assert_true(refused > 50);
	assert_int_equal(tree.count, 5000);
}

static void a_load_without_memory_leaves_the_tree_empty(void **state)
{
	static struct ps_extent_pair pairs[1000];
	(void)state;
	for (size_t i = 0; i < 1000; i++)
		pairs[i] = (struct ps_extent_pair){i, i};
	for (uint64_t nth = 1;; nth++) {
		(void)ps_memory_fail_nth(nth, 0);
		int err = ps_extent_tree_load(&tree, pairs, 1000);
		(void)ps_memory_fail_nth(0, 0);
		if (err == PS_OK)
			break;
		assert_int_equal(err, PS_ENOMEM);
		assert_null(tree.root);
		assert_int_equal(ps_extent_tree_check(&tree), PS_OK);
		ps_extent_tree_done(&tree);
	}
	assert_int_equal(count_pairs(), 1000);
}

static void reserved_inserts_need_no_memory(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 3000; i++) {
		assert_int_equal(ps_extent_tree_reserve(&tree, 2, 0), PS_OK);
		assert_true(ps_extent_tree_can_insert(&tree, 2));
		(void)ps_memory_fail_nth(1, 1);
		assert_int_equal(ps_extent_tree_insert(&tree, (struct ps_extent_pair){i, 0}), PS_OK);
		assert_int_equal(ps_extent_tree_insert(&tree, (struct ps_extent_pair){i * 7919 % 3000, 1}),
		                 PS_OK);
		assert_int_equal(ps_memory_fail_nth(0, 0), 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(holds_what_was_put_in_through_growth_and_decline),
	    TEST(ascending_and_descending_inserts_keep_the_form),
	    TEST(replace_moves_a_pair_between_its_neighbours_without_memory),
	    TEST(a_loaded_tree_is_whole_and_can_be_emptied),
	    TEST(an_insert_without_memory_changes_nothing),
	    TEST(a_load_without_memory_leaves_the_tree_empty),
	    TEST(reserved_inserts_need_no_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
