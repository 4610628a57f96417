/* More holes than there is memory for: the smallest are forgotten, counted, and found again.
 * usage: forgotten_test [OBJECTS], half of which leave holes */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/param.h>

#include "multistore/multi_store.h"
#include "store/base_internal.h"
#include "tests/support/sim_disk.h"

enum { BUDGET = 1 << 20, LARGE = 64 << 20, OBJECTS_MAX = 200000, AT_ONCE = 100, SIZE = 100, SLOT = 112 };

#define OK(call) expect_ok((call), __LINE__)

static void expect_ok(int err, int line)
{
	if (err)
		fail_msg("line %d: %s (%s)", line, ps_error_name(err), ps_last_error_message());
}

struct world {
	struct sim_disk *disk;
	ps_storer *base, *s; /* s: the base itself, or a multi store on it */
	uint8_t *image;
	uint64_t image_size;
	ps_id id[OBJECTS_MAX];
	uint64_t random;
};

static size_t objects = 40000;

static uint64_t draw(struct world *w, uint64_t below)
{
	w->random = w->random * 6364136223846793005U + 1442695040888963407U;
	return (w->random >> 33) % below;
}

static void open_world(struct world *w, uint64_t budget, bool multi)
{
	const struct ps_base_options options = {.size = sizeof(options),
	                                        .background = PS_BACKGROUND_NONE,
	                                        .durability = PS_RELAXED,
	                                        .log_bytes = 256 << 10,
	                                        .initial_bytes = 64 << 10,
	                                        .memory_budget = budget};
	bool create = sim_disk_size(w->disk) == 0;
	OK(ps_base_open_io(sim_disk_io(w->disk), create, &options, &w->base));
	w->s = w->base;
	if (multi)
		OK(ps_multi_open(w->base, NULL, &w->s));
}

static void close_world(struct world *w)
{
	OK(ps_close(w->s));
}

/* What the disk has, without a close. */
static void crash(struct world *w)
{
	uint64_t size = sim_disk_size(w->disk);
	uint8_t *image = malloc(size);
	assert_non_null(image);
	OK(ps_sync(w->s));
	sim_disk_image(w->disk, image);
	close_world(w);
	sim_disk_reset(w->disk, image, size);
	free(w->image);
	w->image = image;
	w->image_size = size;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	assert_non_null(w);
	w->disk = sim_disk_new(NULL, 0);
	sim_disk_set_tracing(w->disk, false);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	close_world(w);
	sim_disk_free(w->disk);
	free(w->image);
	free(w);
	return 0;
}

/* Their bytes follow from their numbers. */
static void load(struct world *w, size_t count, size_t size)
{
	uint8_t bytes[4096];
	for (size_t i = 0; i < count;) {
		ps_batch *b;
		OK(ps_batch_begin(w->s, &b));
		for (size_t end = MIN(i + AT_ONCE, count); i < end; i++) {
			memset(bytes, (int)i, size);
			OK(ps_batch_put(b, bytes, size, &w->id[i]));
		}
		OK(ps_batch_commit(b, PS_RELAXED));
	}
}

/* Every other one. */
static void make_holes(struct world *w, size_t count)
{
	for (size_t i = 0; i < count;) {
		ps_batch *b;
		OK(ps_batch_begin(w->s, &b));
		for (size_t end = MIN(i + 2 * AT_ONCE, count); i < end; i += 2)
			OK(ps_batch_delete(b, w->id[i]));
		OK(ps_batch_commit(b, PS_RELAXED));
	}
	OK(ps_sync(w->s));
}

static void expect_rest(struct world *w, size_t count, size_t size)
{
	uint8_t bytes[4096], is[4096];
	size_t len;
	for (size_t i = 1; i < count; i += 2 * 37) {
		memset(bytes, (int)i, size);
		OK(ps_get(w->s, w->id[i], is, sizeof(is), &len));
		assert_int_equal(len, size);
		assert_memory_equal(is, bytes, size);
	}
}

static struct ps_allocator_stats root_of(struct world *w)
{
	struct ps_allocator_stats stats;
	struct ps_allocator *root = store_of(w->base)->space.root;
	root->ops->stats(root, &stats);
	return stats;
}

/* All of it is free or forgotten, and there is room in the budget for what comes. */
static uint64_t expect_forgetful(struct world *w, uint64_t least_free)
{
	struct ps_stats stats;
	OK(ps_stats(w->s, &stats));
	assert_true(root_of(w).forgotten > 0);
	assert_true(root_of(w).free_extents <= BUDGET / 8 / 72);
	assert_in_range(stats.free_bytes, least_free, stats.file_bytes);
	assert_true(stats.memory_used <= BUDGET);
	OK(ps_check(w->s, PS_CHECK_QUICK, NULL, NULL));
	return stats.free_bytes;
}

static void holes_that_fill_the_budget_are_forgotten_and_found_again(void **state)
{
	struct world *w = *state;
	const uint64_t holes = objects / 2;
	uint8_t bytes[SIZE] = "new";
	ps_id id;
	open_world(w, BUDGET, false);
	load(w, objects, SIZE);
	make_holes(w, objects);
	uint64_t free_bytes = expect_forgetful(w, holes * SLOT);
	expect_rest(w, objects, SIZE);
	close_world(w);
	/* With as little memory: as many, and the same sum. */
	open_world(w, BUDGET, false);
	OK(ps_put(w->s, bytes, sizeof(bytes), &id));
	uint64_t again = expect_forgetful(w, holes * SLOT);
	assert_in_range(again, free_bytes - LARGE / 64, free_bytes + LARGE / 64);
	expect_rest(w, objects, SIZE);
	close_world(w);
	open_world(w, LARGE, false);
	OK(ps_put(w->s, bytes, sizeof(bytes), &id));
	OK(ps_check(w->s, PS_CHECK_QUICK, NULL, NULL));
	assert_int_equal(root_of(w).forgotten, 0);
	assert_true(root_of(w).free_extents >= holes - 2);
	expect_rest(w, objects, SIZE);
}

/* Objects of `least` bytes to twice as many, replaced at random, so many at once. */
static void replace_for_long(struct world *w, size_t count, size_t at_once, size_t least)
{
	uint8_t bytes[2048] = {0};
	for (size_t at = 0; at < 4 * count;) {
		ps_batch *b;
		OK(ps_batch_begin(w->s, &b));
		for (size_t end = at + at_once; at < end; at++)
			OK(ps_batch_replace(b, w->id[draw(w, count)], bytes, least + draw(w, least)));
		OK(ps_batch_commit(b, PS_RELAXED));
	}
}

/* Where the pieces are filled again, they are not forgotten. */
static void stays_small(struct world *w, uint64_t budget, size_t count, size_t at_once, size_t least)
{
	open_world(w, budget, false);
	load(w, count, least * 3 / 2);
	/* It grows in steps of up to a quarter until it has found its size. */
	for (unsigned i = 0; i < 2; i++)
		replace_for_long(w, count, at_once, least);
	uint64_t first = store_of(w->base)->space.end;
	replace_for_long(w, count, at_once, least);
	print_message("%llu bytes, then %llu, %llu of them forgotten\n", (unsigned long long)first,
	              (unsigned long long)store_of(w->base)->space.end,
	              (unsigned long long)root_of(w).forgotten);
	assert_in_range(store_of(w->base)->space.end, 0, first + first / 4);
	OK(ps_check(w->s, PS_CHECK_QUICK, NULL, NULL));
}

static void a_file_of_many_pieces_does_not_grow_for_ever(void **state)
{
	stays_small(*state, BUDGET, 6000, 20, 50);
}

static void nor_does_one_that_is_filled_by_batches(void **state)
{
	/* Batches that fill pages take more than the least budget. */
	if (objects < OBJECTS_MAX) {
		open_world(*state, BUDGET, false);
		return;
	}
	stays_small(*state, 8 * BUDGET, 60000, 250, 100);
}

/* ---- part by part ---- */

static int expect_free(void *arg, struct ps_extent extent)
{
	struct ps_allocator *all = arg;
	struct ps_extent found;
	assert_true(ps_root_find(all, extent.offset, &found));
	assert_true(found.offset <= extent.offset && found.offset + found.len >= extent.offset + extent.len);
	return 0;
}

struct extents {
	struct ps_extent *list;
	size_t count;
};

static int keep(void *arg, struct ps_extent extent)
{
	struct extents *e = arg;
	e->list[e->count++] = extent;
	return 0;
}

/* The free extents of the root, after a crash, where so many may be remembered (0: as many as there are), and
 * what is in use. */
static void find_free(struct world *w, bool multi, uint64_t most, struct extents *e, uint64_t *used)
{
	open_world(w, LARGE, multi);
	struct space *sp = &store_of(w->base)->space;
	if (most) {
		sp->holes_most = most;
		ps_root_set_most(sp->root, most);
	}
	pthread_mutex_lock(&store_of(w->base)->lock);
	OK(space_ensure_read(store_of(w->base)));
	pthread_mutex_unlock(&store_of(w->base)->lock);
	OK(ps_check(w->s, PS_CHECK_FULL, NULL, NULL));
	struct ps_allocator_stats stats = root_of(w);
	*used = sp->end - stats.free - stats.forgotten - sp->open.len - sp->reserve_count * (uint64_t)PAGE;
	e->list = malloc((stats.free_extents + 1) * sizeof(*e->list));
	assert_non_null(e->list);
	e->count = 0;
	OK(sp->root->ops->walk(sp->root, keep, e));
	close_world(w);
	sim_disk_reset(w->disk, w->image, w->image_size);
}

static void parts_find_what_a_whole_walk_finds(struct world *w, bool multi)
{
	enum { COUNT = 12000 };
	const uint64_t most = multi ? 3 : 60;
	static const size_t sizes[] = {100, 300, 900, 3000};
	struct extents all, some;
	uint64_t all_used, some_used;
	ps_id others[COUNT];
	open_world(w, LARGE, multi);
	for (size_t k = 0; k < 4; k++) {
		load(w, COUNT / 4, sizes[k]);
		memcpy(&others[k * (COUNT / 4)], w->id, COUNT / 4 * sizeof(*others));
	}
	memcpy(w->id, others, sizeof(others));
	for (size_t i = 0; i < COUNT / 2; i++) {
		size_t which = draw(w, COUNT);
		if (w->id[which])
			OK(ps_delete(w->s, w->id[which]));
		w->id[which] = PS_ID_NONE;
	}
	crash(w);
	find_free(w, multi, 0, &all, &all_used);
	find_free(w, multi, most, &some, &some_used);
	print_message("%zu extents, of them %zu remembered\n", all.count, some.count);
	assert_int_equal(some_used, all_used);
	assert_true(some.count <= most);
	struct ps_memory memory;
	struct ps_allocator *root;
	ps_memory_init(&memory, NULL);
	OK(ps_root_open(&memory, &root));
	OK(ps_root_load(root, w->image_size + LARGE, all.list, all.count));
	for (size_t i = 0; i < some.count; i++)
		(void)expect_free(root, some.list[i]);
	root->ops->close(root);
	ps_memory_done(&memory);
	free(all.list);
	free(some.list);
	open_world(w, LARGE, multi);
}

static void a_walk_in_parts_finds_what_a_whole_one_finds(void **state)
{
	parts_find_what_a_whole_walk_finds(*state, false);
}

static void so_does_one_over_slabs(void **state)
{
	parts_find_what_a_whole_walk_finds(*state, true);
}

int main(int argc, char **argv)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(holes_that_fill_the_budget_are_forgotten_and_found_again),
	    TEST(a_file_of_many_pieces_does_not_grow_for_ever),
	    TEST(nor_does_one_that_is_filled_by_batches),
	    TEST(a_walk_in_parts_finds_what_a_whole_one_finds),
	    TEST(so_does_one_over_slabs),
	};
	if (argc > 1)
		objects = MIN((size_t)atol(argv[1]), (size_t)OBJECTS_MAX);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
