/* Power cuts while the walk that finds free space goes through the table: the run begins on the disk of a
 * store that crashed, with more leaves than one step walks, and writes, frees and replaces before the walk
 * has ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "store/base_internal.h"
#include "tests/crash/cut.h"

enum { SLOTS = 130 * FANOUT, SEEDS = 3 };

/* Leaves full of slots that were used once: they make the walk long, and its slots come free as it goes. */
static void use_slots(ps_storer *s)
{
	ps_id *ids = calloc(SLOTS, sizeof(*ids));
	ps_batch *b;
	assert_non_null(ids);
	for (unsigned from = 0; from < SLOTS; from += FANOUT) {
		assert_int_equal(ps_batch_begin(s, &b), PS_OK);
		for (unsigned i = from; i < from + FANOUT; i++)
			assert_int_equal(ps_batch_put(b, "", 0, &ids[i]), PS_OK);
		assert_int_equal(ps_batch_commit(b, PS_RELAXED), PS_OK);
	}
	for (unsigned i = 0; i < SLOTS; i++)
		assert_int_equal(ps_delete(s, ids[i]), PS_OK);
	free(ids);
}

static void set_up(struct run *run)
{
	use_slots(run->s);
	for (unsigned i = 0; i < 20; i++)
		step_put(run, i, i % 4 ? 100 + i * 300 : 9000);
}

static void before_the_crash(struct run *run)
{
	step_delete(run, 3);
	step_replace(run, 4, 6000);
	step_put(run, 20, 300);
}

static void while_it_walks(struct run *run)
{
	step_delete(run, 5);
	step_replace(run, 6, 100);
	step_put(run, 21, 2000);
	step_write_at(run, 8, 100, 5000);
	step_delete(run, 20);
	assert_non_null(store_of(run->s)->space.rebuild);
	step_put(run, 22, 40000);
	step_sync(run);
	step_delete(run, 22);
	step_put(run, 23, 10);
}

static void cuts_while_it_walks_lose_nothing(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		const struct script script = {.name = "walk", .setup = set_up, .relaxed = seed == 2};
		const struct cut_options options = {.first = {.exhaustive = 64, .samples = 6, .singles = 8},
		                                    .nested = {.exhaustive = 16, .samples = 2, .singles = 4},
		                                    .nest_one_in = 41,
		                                    .write_one_in = 5,
		                                    .seed = seed};
		struct cut_counts counts = {0};
		char why[CUT_WHY];
		uint64_t size;
		struct sim_disk *disk = sim_disk_new(NULL, 0);
		struct run *run = run_new(disk, seed);
		uint8_t *closed = run_setup(run, &script, &size);
		run_open(run);
		before_the_crash(run);
		step_sync(run);
		size = sim_disk_size(disk);
		uint8_t *crashed = malloc(size);
		assert_non_null(crashed);
		sim_disk_image(disk, crashed);
		run_close(run);
		oracle_restart(run->oracle);
		sim_disk_reset(disk, crashed, size);
		run_open(run);
		while_it_walks(run);
		run_close(run);
		if (!cut_everywhere("walk", run, crashed, size, &options, &counts, why))
			fail_msg("%s", why);
		print_message("%llu states, %llu written to\n", (unsigned long long)counts.states,
		              (unsigned long long)counts.written);
		run_free(run);
		sim_disk_free(disk);
		free(closed);
		free(crashed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(cuts_while_it_walks_lose_nothing)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
