/* After a crash the table's leaves that the log names are read side by side, and what that cannot bring is
 * read alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/base_internal.h"
#include "tests/support/disk_store.h"
#include "tests/support/sim_disk.h"

enum { LEAVES = 200, OBJECTS = LEAVES * FANOUT, BATCH = 256, CHANGES = 600, HANDFUL = 20 };
enum { M = 1 << 20, LOG = 256 << 10 };

#define OK(call) assert_int_equal((call), PS_OK)

/* A disk as a crash left it; an object's bytes are its number and its version. */
struct world {
	struct sim_disk *disk;
	uint8_t *image;
	uint64_t size;
	ps_id ids[OBJECTS];
	uint32_t version[OBJECTS];
};

static ps_storer *open_within(struct world *w, uint64_t budget)
{
	const struct ps_base_options options = {.size = sizeof(options),
	                                        .background = PS_BACKGROUND_NONE,
	                                        .durability = PS_RELAXED,
	                                        .log_bytes = LOG,
	                                        .initial_bytes = 64 << 10,
	                                        .memory_budget = budget};
	ps_storer *s = NULL;
	OK(ps_base_open_io(sim_disk_io(w->disk), sim_disk_size(w->disk) == 0, &options, &s));
	return s;
}

static void load(struct world *w)
{
	ps_storer *s = open_within(w, 64 * M);
	for (uint32_t i = 0; i < OBJECTS;) {
		ps_batch *b;
		OK(ps_batch_begin(s, &b));
		for (uint32_t end = i + BATCH; i < end; i++) {
			const uint32_t bytes[2] = {i, 0};
			OK(ps_batch_put(b, bytes, sizeof(bytes), &w->ids[i]));
		}
		OK(ps_batch_commit(b, PS_RELAXED));
	}
	OK(ps_close(s));
}

/* All over the table, `step` objects from one to the next; then the power fails. */
static void change_and_crash(struct world *w, uint32_t changes, uint32_t step)
{
	ps_storer *s = open_within(w, 64 * M);
	for (uint32_t i = 0, n = 0; i < changes; i++, n = (n + step) % OBJECTS) {
		const uint32_t bytes[2] = {n, ++w->version[n]};
		OK(ps_replace(s, w->ids[n], bytes, sizeof(bytes)));
	}
	OK(ps_sync(s));
	w->size = sim_disk_size(w->disk);
	w->image = disk_store_crash(w->disk, s);
}

static struct world *world_new(uint32_t changes, uint32_t step)
{
	struct world *w = calloc(1, sizeof(*w));
	assert_non_null(w);
	w->disk = sim_disk_new(NULL, 0);
	sim_disk_set_tracing(w->disk, false);
	load(w);
	change_and_crash(w, changes, step);
	return w;
}

static int set_up(void **state)
{
	*state = world_new(CHANGES, 7919);
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;
	sim_disk_free(w->disk);
	free(w->image);
	free(w);
	return 0;
}

/* As the crash left it, the damaged leaf (in memory and on disk) apart. */
static void check_objects(const struct world *w, ps_storer *s, uint32_t step, uint64_t damaged_leaf)
{
	for (uint32_t i = 0; i < OBJECTS; i += step) {
		uint32_t bytes[2] = {0};
		size_t len = 0;
		int err = ps_get(s, w->ids[i], bytes, sizeof(bytes), &len);
		if (id_slot(w->ids[i]) / FANOUT == damaged_leaf) {
			assert_int_equal(err, PS_ECORRUPT);
			continue;
		}
		OK(err);
		assert_int_equal(len, sizeof(bytes));
		assert_int_equal(bytes[0], i);
		assert_int_equal(bytes[1], w->version[i]);
	}
}

static uint64_t reads(const struct world *w)
{
	struct ps_io_stats stats = {0};
	struct ps_io *io = sim_disk_io(w->disk);
	io->ops->stats(io, &stats);
	return stats.reads;
}

static void leaves_that_the_log_names_are_read_together(void **state)
{
	struct world *w = *state;
	sim_disk_reset(w->disk, w->image, w->size);
	uint64_t before = reads(w);
	ps_storer *s = open_within(w, 64 * M);
	struct table *t = &store_of(s)->table;
	uint64_t leaves = t->dirty_count;
	assert_in_range(leaves, LEAVES / 2, LEAVES + 1);
	assert_true((reads(w) - before) * 10 < leaves);
	/* Of what it took to read them, four mebibytes, nothing is left; the log and its buffers are. */
	assert_int_equal(atomic_load(&t->resident_bytes), leaves * PAGE);
	assert_in_range(atomic_load(&store_of(s)->budget_used), leaves * PAGE, leaves * PAGE + 4 * LOG);
	check_objects(w, s, 1, UINT64_MAX);
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	OK(ps_close(s));
}

/* The bit is one of a contents' checksum: entries like that are possible, and only the page's checksum tells.
 */
static void a_damaged_leaf_among_them_costs_its_own_ids(void **state)
{
	struct world *w = *state;
	enum { NUMBER = 70, BIT = 1 };
	uint8_t *damaged = malloc(w->size);
	assert_non_null(damaged);
	memcpy(damaged, w->image, w->size);
	sim_disk_reset(w->disk, w->image, w->size);
	ps_storer *s = open_within(w, 64 * M);
	struct table *t = &store_of(s)->table;
	uint64_t place = table_group(t, NUMBER / FANOUT)->child[NUMBER % FANOUT].place[0];
	assert_in_range(place, PAGE, w->size - PAGE);
	(void)!ps_close(s);
	damaged[place + 2 * sizeof(uint64_t)] ^= BIT;
	sim_disk_reset(w->disk, damaged, w->size);
	s = open_within(w, 64 * M);
	check_objects(w, s, 1, NUMBER);
	(void)!ps_close(s);
	free(damaged);
}

/* Of all that an open reads: without one of the large reads it goes on, page by page. */
static void a_read_that_fails_is_made_again_by_who_needs_it(void **state)
{
	struct world *w = *state;
	struct ps_base_options options = disk_store_options();
	unsigned opened = 0;
	sim_disk_reset(w->disk, w->image, w->size);
	ps_storer *s = open_within(w, 64 * M);
	uint64_t calls = sim_disk_calls(w->disk);
	(void)!ps_close(s);
	for (uint64_t k = 1; k <= calls; k++) {
		sim_disk_reset(w->disk, w->image, w->size);
		sim_disk_fail(w->disk, k, EIO, false);
		int err = ps_base_open_io(sim_disk_io(w->disk), false, &options, &s);
		assert_int_equal(sim_disk_faults(w->disk), 1);
		if (err) {
			assert_int_equal(err, PS_EIO);
			continue;
		}
		opened++;
		check_objects(w, s, 37, UINT64_MAX);
		(void)!ps_close(s);
	}
	/* 200 pages are seven parts of 32 at least. */
	assert_in_range(opened, LEAVES / 32, calls);
}

static void little_memory_reads_smaller_parts(void **state)
{
	struct world *w = *state;
	sim_disk_reset(w->disk, w->image, w->size);
	uint64_t before = reads(w);
	ps_storer *s = open_within(w, 2 * M);
	assert_in_range(reads(w) - before, LEAVES / 4, LEAVES - LEAVES / 4);
	check_objects(w, s, 1, UINT64_MAX);
	OK(ps_close(s));
}

static void a_handful_is_read_one_after_another(void **state)
{
	struct world *w = world_new(HANDFUL, OBJECTS / HANDFUL);
	(void)state;
	sim_disk_reset(w->disk, w->image, w->size);
	uint64_t before = reads(w);
	ps_storer *s = open_within(w, 64 * M);
	assert_int_equal(store_of(s)->table.dirty_count, HANDFUL);
	assert_true(reads(w) - before > HANDFUL);
	check_objects(w, s, 1, UINT64_MAX);
	OK(ps_close(s));
	void *own = w;
	(void)tear_down(&own);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(leaves_that_the_log_names_are_read_together),
	    cmocka_unit_test(a_damaged_leaf_among_them_costs_its_own_ids),
	    cmocka_unit_test(a_read_that_fails_is_made_again_by_who_needs_it),
	    cmocka_unit_test(little_memory_reads_smaller_parts),
	    cmocka_unit_test(a_handful_is_read_one_after_another),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}
