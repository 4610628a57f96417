/* One file under the base alone and under the multi store, in turns: nothing is lost, and each routes as it
 * should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <padstone/padstone.h>

#include "store/base_internal.h"
#include "store/placement.h"
#include "tests/support/sim_disk.h"

#define OK(call) succeeds((call), #call, __LINE__)
static void succeeds(int err, const char *call, int line)
{
	if (err)
		fail_msg("line %d: %s: %s: %s", line, call, ps_error_name(err), ps_last_error_message());
}

static char folder[] = "/tmp/multi-files-XXXXXX", path[64], path2[64];

static ps_storer *open_as(const char *layers, int mode, const struct ps_multi_options *multi)
{
	/* Plain system calls: a killed process holds its io_uring, and the lock, a moment longer. */
	struct ps_base_options base = {.size = sizeof(base), .mode = mode, .io = PS_BASE_IO_POSIX};
	const struct ps_stack_options options = {.size = sizeof(options), .base = &base, .multi = multi};
	ps_storer *s = NULL;
	OK(ps_stack_open_layers(layers, path, &options, &s));
	return s;
}

static void fill(uint8_t *bytes, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++) {
		seed = seed * 6364136223846793005U + 1442695040888963407U;
		bytes[i] = (uint8_t)(seed >> 56);
	}
}

static void expect(ps_storer *s, ps_id id, size_t len, uint64_t seed)
{
	uint8_t *bytes = malloc(2 * len + 1);
	size_t got;
	assert_non_null(bytes);
	fill(bytes, len, seed);
	OK(ps_get(s, id, bytes + len, len, &got));
	assert_int_equal(got, len);
	assert_memory_equal(bytes, bytes + len, len);
	free(bytes);
}

static ps_id put(ps_storer *s, size_t len, uint64_t seed)
{
	uint8_t *bytes = malloc(len + 1);
	ps_id id;
	assert_non_null(bytes);
	fill(bytes, len, seed);
	OK(ps_put(s, bytes, len, &id));
	free(bytes);
	return id;
}

static void replace(ps_storer *s, ps_id id, size_t len, uint64_t seed)
{
	uint8_t *bytes = malloc(len + 1);
	assert_non_null(bytes);
	fill(bytes, len, seed);
	OK(ps_replace(s, id, bytes, len));
	free(bytes);
}

static struct ps_info info_of(ps_storer *s, ps_id id)
{
	struct ps_info info;
	OK(ps_info(s, id, &info));
	return info;
}

static int fresh(void **state)
{
	(void)state;
	unlink(path);
	unlink(path2);
	return 0;
}

/* ---- in turns ---- */

enum { TURNS = 8, EACH = 120 };

static size_t size_in(unsigned turn, unsigned i)
{
	static const size_t sizes[] = {1, 16, 17, 100, 255, 500, 1000, 2000, 4095, 4096, 4097, 9000, 70000};
	return sizes[(i + turn) % (sizeof(sizes) / sizeof(*sizes))] + i % 3;
}

/* A turn adds objects, and replaces every third of the turn before by another size. */
static void take_turn(ps_storer *s, unsigned turn, ps_id ids[TURNS][EACH], uint64_t seeds[TURNS][EACH],
                      size_t sizes[TURNS][EACH])
{
	for (unsigned i = 0; i < EACH; i++) {
		sizes[turn][i] = size_in(turn, i);
		seeds[turn][i] = turn * 1000 + i;
		ids[turn][i] = put(s, sizes[turn][i], seeds[turn][i]);
	}
	for (unsigned i = 0; turn > 0 && i < EACH; i += 3) {
		sizes[turn - 1][i] = size_in(turn, i + 5);
		seeds[turn - 1][i] = turn * 1000 + 500 + i;
		replace(s, ids[turn - 1][i], sizes[turn - 1][i], seeds[turn - 1][i]);
	}
}

static void expect_turns(ps_storer *s, unsigned turns, ps_id ids[TURNS][EACH], uint64_t seeds[TURNS][EACH],
                         size_t sizes[TURNS][EACH])
{
	struct ps_stats stats;
	for (unsigned t = 0; t < turns; t++)
		for (unsigned i = 0; i < EACH; i++)
			expect(s, ids[t][i], sizes[t][i], seeds[t][i]);
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	OK(ps_stats(s, &stats));
	assert_int_equal(stats.objects, turns * EACH);
}

static ps_id ids[TURNS][EACH];
static uint64_t seeds[TURNS][EACH];
static size_t sizes[TURNS][EACH];

static void one_after_the_other(bool multi_first)
{
	for (unsigned turn = 0; turn < TURNS; turn++) {
		bool multi = (turn % 2 == 0) == multi_first;
		ps_storer *s = open_as(multi ? "multi(base)" : "base", PS_OPEN_DEFAULT, NULL);
		expect_turns(s, turn, ids, seeds, sizes);
		take_turn(s, turn, ids, seeds, sizes);
		for (unsigned i = 0; i < EACH; i++) {
			uint32_t route = info_of(s, ids[turn][i]).allocator;
			if (!multi || sizes[turn][i] > 4096)
				assert_int_equal(route, 0);
			else
				assert_true(route > 0);
		}
		if (turn == TURNS - 2)
			OK(ps_compact(s, 0, NULL, NULL));
		expect_turns(s, turn + 1, ids, seeds, sizes);
		OK(ps_close(s));
	}
}

static void a_file_of_the_base_goes_on_under_multi_and_back(void **state)
{
	(void)state;
	one_after_the_other(false);
}

static void a_file_of_multi_goes_on_under_the_base_and_back(void **state)
{
	(void)state;
	one_after_the_other(true);
}

/* In a child, which is killed with the store open. */
static void killed_turn(unsigned turn, const char *layers)
{
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		ps_storer *s = open_as(layers, PS_OPEN_DEFAULT, NULL);
		take_turn(s, turn, ids, seeds, sizes);
		kill(getpid(), SIGKILL);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* The ids are the child's: found again by walking the store. */
static int gather(void *arg, ps_id id)
{
	ps_id **next = arg;
	*(*next)++ = id;
	return 0;
}

static void a_killed_owner_of_either_kind_leaves_all_to_the_other(void **state)
{
	(void)state;
	static ps_id before[TURNS * EACH + 1], after[TURNS * EACH + 1];
	size_t known = 0;
	for (unsigned turn = 0; turn < TURNS; turn++) {
		ps_id *next = after;
		killed_turn(turn, turn % 2 ? "base" : "multi(base)");
		ps_storer *s = open_as(turn % 2 ? "multi(base)" : "base", PS_OPEN_EXISTING, NULL);
		OK(ps_each(s, 0, gather, &next));
		/* New ids come after the old ones, since nothing was deleted. */
		size_t count = (size_t)(next - after);
		assert_int_equal(count, known + EACH);
		for (unsigned i = 0; i < EACH; i++) {
			ids[turn][i] = after[known + i];
			sizes[turn][i] = size_in(turn, i);
			seeds[turn][i] = turn * 1000 + i;
		}
		for (unsigned i = 0; turn > 0 && i < EACH; i += 3) {
			sizes[turn - 1][i] = size_in(turn, i + 5);
			seeds[turn - 1][i] = turn * 1000 + 500 + i;
		}
		assert_memory_equal(before, after, known * sizeof(*before));
		memcpy(before, after, sizeof(before));
		known = count;
		expect_turns(s, turn + 1, ids, seeds, sizes);
		OK(ps_close(s));
	}
}

/* ---- routes ---- */

static void a_replace_moves_between_routes(void **state)
{
	(void)state;
	ps_storer *s = open_as("multi(base)", PS_OPEN_DEFAULT, NULL);
	struct ps_multi_placement has;
	OK(ps_multi_placement(s, &has));
	ps_id id = put(s, 10, 1);
	for (unsigned class = 1; class <= has.classes; class ++) {
		uint32_t slot = has.slot_bytes[class - 1];
		replace(s, id, slot, class);
		struct ps_info info = info_of(s, id);
		assert_int_equal(info.allocator, class);
		assert_int_equal(info.allocated, slot);
		assert_int_equal(info.size, slot);
		assert_int_not_equal(info.offset, 0);
		expect(s, id, slot, class);
	}
	replace(s, id, 4097, 7);
	assert_int_equal(info_of(s, id).allocator, 0);
	assert_int_equal(info_of(s, id).allocated, 8192);
	replace(s, id, 64, 8);
	assert_int_equal(info_of(s, id).allocator, 4);
	assert_int_equal(info_of(s, id).allocated, 64);
	struct ps_multi_route routes[PS_MULTI_CLASSES_MAX + 1];
	size_t n;
	OK(ps_sync(s));
	OK(ps_multi_routes(s, routes, PS_MULTI_CLASSES_MAX + 1, &n));
	assert_int_equal(routes[4].objects, 1);
	assert_int_equal(routes[4].live_bytes, 64);
	assert_int_equal(routes[0].objects, 0);
	OK(ps_close(s));
}

static void the_limit_and_the_classes_are_the_files(void **state)
{
	(void)state;
	const struct ps_multi_options first = {.size = sizeof(first),
	                                       .block_limit = 512,
	                                       .route_max = 300,
	                                       .slab_bytes = 8192},
	                              other = {.size = sizeof(other), .route_max = 2000, .slab_bytes = 65536};
	struct ps_multi_placement made, has;
	ps_storer *s = open_as("multi(base)", PS_OPEN_DEFAULT, &first);
	OK(ps_multi_placement(s, &made));
	ps_id small = put(s, 300, 1), large = put(s, 301, 2);
	assert_true(info_of(s, small).allocator > 0);
	assert_int_equal(info_of(s, large).allocator, 0);
	OK(ps_close(s));
	s = open_as("multi(base)", PS_OPEN_DEFAULT, &other);
	OK(ps_multi_placement(s, &has));
	assert_int_equal(has.differs, 1);
	assert_int_equal(has.route_max, 300);
	assert_int_equal(has.slab_bytes, 8192);
	assert_int_equal(has.classes, made.classes);
	expect(s, small, 300, 1);
	assert_int_equal(info_of(s, put(s, 500, 3)).allocator, 0);
	assert_int_equal(info_of(s, put(s, 299, 3)).allocator, info_of(s, small).allocator);
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	OK(ps_close(s));
	s = open_as("multi(base)", PS_OPEN_READONLY, &first);
	OK(ps_multi_placement(s, &has));
	assert_int_equal(has.differs, 0);
	expect(s, large, 301, 2);
	OK(ps_close(s));
}

static void read_only_makes_no_classes(void **state)
{
	(void)state;
	struct ps_multi_placement has;
	ps_storer *s = open_as("base", PS_OPEN_DEFAULT, NULL);
	ps_id id = put(s, 100, 1);
	OK(ps_close(s));
	s = open_as("multi(base)", PS_OPEN_READONLY, NULL);
	OK(ps_multi_placement(s, &has));
	assert_int_equal(has.classes, 0);
	expect(s, id, 100, 1);
	struct ps_multi_route root;
	size_t n;
	OK(ps_multi_routes(s, &root, 1, &n));
	assert_int_equal(n, 1);
	assert_int_equal(root.objects, 1);
	OK(ps_close(s));
}

static void a_run_lies_in_adjacent_slots(void **state)
{
	(void)state;
	enum { COUNT = 200 };
	ps_id run[COUNT];
	ps_storer *s = open_as("multi(base)", PS_OPEN_DEFAULT, NULL);
	put(s, 1000, 1);
	OK(ps_alloc_run(s, 1000, COUNT, run));
	uint8_t *data = calloc(COUNT, 1000);
	size_t each[COUNT];
	assert_non_null(data);
	for (unsigned i = 0; i < COUNT; i++)
		fill(data + i * 1000, each[i] = 1000, i);
	OK(ps_write_batched(s, COUNT, run, data, each));
	struct ps_info before = info_of(s, run[0]);
	assert_true(before.allocator > 0);
	for (unsigned i = 1; i < COUNT; i++) {
		struct ps_info info = info_of(s, run[i]);
		assert_int_equal(info.allocator, before.allocator);
		/* The next slot: at once, or at the next frame's beginning. */
		assert_true(info.offset >= before.offset + before.allocated &&
		            info.offset < before.offset + before.allocated + 4096);
		before = info;
		expect(s, run[i], 1000, i);
	}
	free(data);
	OK(ps_close(s));
}

static void a_backup_keeps_what_there_is(void **state)
{
	(void)state;
	ps_id kept[EACH];
	ps_storer *s = open_as("multi(base)", PS_OPEN_DEFAULT, NULL);
	for (unsigned i = 0; i < EACH; i++)
		kept[i] = put(s, size_in(1, i), i);
	OK(ps_backup(s, path2, NULL, NULL));
	OK(ps_close(s));
	OK(rename(path2, path));
	for (int multi = 0; multi < 2; multi++) {
		s = open_as(multi ? "multi(base)" : "base", PS_OPEN_EXISTING, NULL);
		for (unsigned i = 0; i < EACH; i++)
			expect(s, kept[i], size_in(1, i), i);
		OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
		OK(ps_close(s));
	}
}

/* ---- no I/O of its own ---- */

static void history(ps_storer *s)
{
	ps_id some[40];
	for (unsigned i = 0; i < 40; i++)
		some[i] = put(s, size_in(0, i), i);
	for (unsigned i = 0; i < 40; i += 2)
		replace(s, some[i], size_in(3, i), i);
	for (unsigned i = 1; i < 40; i += 4)
		OK(ps_delete(s, some[i]));
	OK(ps_sync(s));
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
}

/* What the disk sees under the multi store is what it sees when the base was asked to place by size. */
static void the_disk_sees_no_difference(void **state)
{
	(void)state;
	const struct ps_base_options options = {.size = sizeof(options),
	                                        .background = PS_BACKGROUND_NONE,
	                                        .log_bytes = 64 << 10,
	                                        .memory_budget = 64 << 20};
	struct sim_disk *disk[2] = {sim_disk_new(NULL, 0), sim_disk_new(NULL, 0)};
	for (int multi = 0; multi < 2; multi++) {
		ps_storer *s;
		struct ps_placement placement = {.route_max = 4096};
		const struct ps_class_options classes = {.page_limit = 1};
		OK(ps_base_open_io(sim_disk_io(disk[multi]), true, &options, &s));
		OK(ps_class_table_make(&classes, &placement.classes));
		OK(multi ? ps_multi_open(s, NULL, &s) : ps_use_placement(s, &placement));
		history(s);
		OK(ps_close(s));
	}
	const struct sim_trace *a = sim_disk_trace(disk[0]), *b = sim_disk_trace(disk[1]);
	assert_int_equal(sim_disk_calls(disk[0]), sim_disk_calls(disk[1]));
	assert_int_equal(a->count, b->count);
	for (size_t i = 0; i < a->count; i++) {
		assert_int_equal(a->events[i].kind, b->events[i].kind);
		assert_int_equal(a->events[i].offset, b->events[i].offset);
		assert_int_equal(a->events[i].len, b->events[i].len);
	}
	sim_disk_free(disk[0]);
	sim_disk_free(disk[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(a_file_of_the_base_goes_on_under_multi_and_back, fresh),
	    cmocka_unit_test_setup(a_file_of_multi_goes_on_under_the_base_and_back, fresh),
	    cmocka_unit_test_setup(a_killed_owner_of_either_kind_leaves_all_to_the_other, fresh),
	    cmocka_unit_test_setup(a_replace_moves_between_routes, fresh),
	    cmocka_unit_test_setup(the_limit_and_the_classes_are_the_files, fresh),
	    cmocka_unit_test_setup(read_only_makes_no_classes, fresh),
	    cmocka_unit_test_setup(a_run_lies_in_adjacent_slots, fresh),
	    cmocka_unit_test_setup(a_backup_keeps_what_there_is, fresh),
	    cmocka_unit_test_setup(the_disk_sees_no_difference, fresh),
	};
	if (!mkdtemp(folder))
		return 1;
	snprintf(path, sizeof(path), "%s/store", folder);
	snprintf(path2, sizeof(path2), "%s/copy", folder);
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	unlink(path2);
	rmdir(folder);
	return failed;
}
