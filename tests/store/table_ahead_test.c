/* After a crash the table's leaves that the log names are read when they are needed; the first checkpoint
 * reads the rest side by side, and what that cannot bring is read alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/base_internal.h"
#include "tests/support/disk_store.h"
#include "tests/support/one_thread.h"
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

static void check_object(const struct world *w, ps_storer *s, uint32_t i, uint64_t damaged_leaf)
{
	uint32_t bytes[2] = {0};
	size_t len = 0;
	int err = ps_get(s, w->ids[i], bytes, sizeof(bytes), &len);
	if (id_slot(w->ids[i]) / FANOUT == damaged_leaf) {
		assert_int_equal(err, PS_ECORRUPT);
		return;
	}
	OK(err);
	assert_int_equal(len, sizeof(bytes));
	assert_int_equal(bytes[0], i);
	assert_int_equal(bytes[1], w->version[i]);
}

/* As the crash left it, the damaged leaf (in memory and on disk) apart. */
static void check_objects(const struct world *w, ps_storer *s, uint32_t step, uint64_t damaged_leaf)
{
	for (uint32_t i = 0; i < OBJECTS; i += step)
		check_object(w, s, i, damaged_leaf);
}

static uint64_t reads(const struct world *w)
{
	struct ps_io_stats stats = {0};
	struct ps_io *io = sim_disk_io(w->disk);
	io->ops->stats(io, &stats);
	return stats.reads;
}

static uint64_t patched_leaves(ps_storer *s)
{
	struct table *t = &store_of(s)->table;
	uint64_t patched = 0;
	for (size_t i = 0; i < t->dirty_count; i++) {
		const struct table_node *g = table_group(t, t->dirty[i] / FANOUT);
		patched += atomic_load(&g->leaf[t->dirty[i] % FANOUT].state) & LEAF_PATCHED ? 1 : 0;
	}
	return patched;
}

static void first_get_reads_no_leaf_but_its_own(void **state)
{
	struct world *w = *state;
	sim_disk_reset(w->disk, w->image, w->size);
	uint64_t before = reads(w);
	ps_storer *s = open_within(w, 64 * M);
	struct table *t = &store_of(s)->table;
	uint64_t leaves = t->dirty_count;
	assert_in_range(leaves, LEAVES / 2, LEAVES + 1);
	assert_int_equal(patched_leaves(s), leaves);
	check_object(w, s, 0, UINT64_MAX);
	assert_int_equal(patched_leaves(s), leaves - 1);
	assert_int_equal(atomic_load(&t->resident_bytes), PAGE);
	assert_int_equal(atomic_load(&t->dirty_bytes), leaves * PAGE);
	assert_in_range(reads(w) - before, 1, 10);
	check_objects(w, s, 1, UINT64_MAX);
	assert_int_equal(patched_leaves(s), 0);
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	OK(ps_close(s));
}

static void a_checkpoint_reads_the_others_together(void **state)
{
	struct world *w = *state;
	sim_disk_reset(w->disk, w->image, w->size);
	ps_storer *s = open_within(w, 64 * M);
	struct store *st = store_of(s);
	uint64_t leaves = st->table.dirty_count, before = reads(w);
	OK(table_redo_finish(&st->table));
	assert_true((reads(w) - before) * 10 < leaves);
	assert_int_equal(patched_leaves(s), 0);
	assert_null(st->table.redo);
	/* Of what it took to read them, four mebibytes, nothing is left; the log and its buffers are. */
	assert_int_equal(atomic_load(&st->table.resident_bytes), leaves * PAGE);
	assert_int_equal(atomic_load(&st->table.dirty_bytes), leaves * PAGE);
	assert_in_range(atomic_load(&st->budget_used), leaves * PAGE, leaves * PAGE + 4 * LOG);
	check_objects(w, s, 1, UINT64_MAX);
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	OK(ps_close(s));
	s = open_within(w, 64 * M);
	check_objects(w, s, 1, UINT64_MAX);
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	OK(ps_close(s));
}

/* Some leaves have been read and changed, others were only read, most not: the next crash finds all of it. */
static void what_waits_is_brought_in_before_the_checkpoint_that_frees_the_log(void **state)
{
	struct world *w = world_new(CHANGES, 7919);
	(void)state;
	uint8_t *first = w->image; /* the disk's until it is reset */
	sim_disk_reset(w->disk, first, w->size);
	ps_storer *s = open_within(w, 64 * M);
	check_objects(w, s, 997, UINT64_MAX);
	for (uint32_t n = 5; n < OBJECTS; n += OBJECTS / 3) {
		const uint32_t bytes[2] = {n, ++w->version[n]};
		OK(ps_replace(s, w->ids[n], bytes, sizeof(bytes)));
	}
	assert_in_range(patched_leaves(s), 1, store_of(s)->table.dirty_count - 3);
	OK(checkpoint_run(store_of(s)));
	assert_int_equal(atomic_load(&store_of(s)->table.dirty_bytes), 0);
	w->size = sim_disk_size(w->disk);
	w->image = disk_store_crash(w->disk, s);
	free(first);
	s = open_within(w, 64 * M);
	assert_in_range(patched_leaves(s), 0, 3); /* of what was not durable when it began */
	check_objects(w, s, 1, UINT64_MAX);
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	OK(ps_close(s));
	void *own = w;
	(void)tear_down(&own);
}

struct reader {
	const struct world *w;
	ps_storer *s;
	uint32_t first;
	unsigned wrong;
};

static void *read_all(void *arg)
{
	struct reader *r = arg;
	for (uint32_t n = 0, i = r->first; n < OBJECTS / 8; n++, i = (i + 31) % OBJECTS) {
		uint32_t bytes[2] = {0};
		size_t len = 0;
		bool right = ps_get(r->s, r->w->ids[i], bytes, sizeof(bytes), &len) == PS_OK &&
		             bytes[0] == i && bytes[1] == r->w->version[i];
		r->wrong += right ? 0 : 1;
	}
	return NULL;
}

/* A real file: the simulated disk is for one thread. */
static ps_storer *open_file(const struct world *w)
{
	const struct ps_base_options options = {.size = sizeof(options), .background = PS_BACKGROUND_NONE};
	char path[] = "table_ahead_test.XXXXXX";
	ps_storer *s = NULL;
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, w->image, w->size, 0), w->size);
	close(fd);
	OK(ps_base_open(path, &options, &s));
	unlink(path);
	return s;
}

static void readers_beside_the_checkpoint_find_what_waits(void **state)
{
	enum { READERS = 3 };
	struct world *w = *state;
	struct reader reader[READERS];
	pthread_t thread[READERS];
	ps_storer *s = open_file(w);
	assert_non_null(store_of(s)->table.redo);
	for (uint32_t i = 0; i < READERS; i++) {
		reader[i] = (struct reader){w, s, i * (OBJECTS / READERS), 0};
		assert_int_equal(pthread_create(&thread[i], NULL, read_all, &reader[i]), 0);
	}
	const uint32_t bytes[2] = {1, w->version[1]};
	OK(ps_replace(s, w->ids[1], bytes, sizeof(bytes)));
	OK(checkpoint_run(store_of(s)));
	for (unsigned i = 0; i < READERS; i++) {
		assert_int_equal(pthread_join(thread[i], NULL), 0);
		assert_int_equal(reader[i].wrong, 0);
	}
	assert_null(store_of(s)->table.redo);
	check_objects(w, s, 37, UINT64_MAX);
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	OK(ps_close(s));
}

/* What is counted, and what is free, are found by walks that meet leaves as they are read. */
static void figures_are_those_of_the_log(void **state)
{
	struct world *w = world_new(HANDFUL, OBJECTS / HANDFUL);
	struct ps_stats stats;
	(void)state;
	uint8_t *first = w->image;
	sim_disk_reset(w->disk, first, w->size);
	ps_storer *s = open_within(w, 64 * M);
	for (uint32_t n = 0; n < HANDFUL; n++)
		OK(ps_delete(s, w->ids[n * FANOUT]));
	OK(ps_sync(s));
	w->size = sim_disk_size(w->disk);
	w->image = disk_store_crash(w->disk, s);
	free(first);
	for (int look = 0; look < 2; look++) {
		sim_disk_reset(w->disk, w->image, w->size);
		s = open_within(w, 64 * M);
		if (look)
			OK(ps_replace(s, w->ids[1], "", 0));
		OK(ps_stats(s, &stats));
		assert_int_equal(stats.objects, OBJECTS - HANDFUL);
		OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
		OK(ps_close(s));
	}
	void *own = w;
	(void)tear_down(&own);
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
	OK(table_redo_finish(&store_of(s)->table));
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
	OK(table_redo_finish(&store_of(s)->table));
	uint64_t calls = sim_disk_calls(w->disk);
	(void)!ps_close(s);
	for (uint64_t k = 1; k <= calls; k++) {
		sim_disk_reset(w->disk, w->image, w->size);
		sim_disk_fail(w->disk, k, EIO, false);
		int err = ps_base_open_io(sim_disk_io(w->disk), false, &options, &s);
		if (err) {
			assert_int_equal(err, PS_EIO);
			continue;
		}
		OK(table_redo_finish(&store_of(s)->table));
		assert_int_equal(sim_disk_faults(w->disk), 1);
		opened++;
		check_objects(w, s, 37, UINT64_MAX);
		(void)!ps_close(s);
	}
	/* 200 pages are seven parts of 32 at least. */
	assert_in_range(opened, LEAVES / 32, calls);
}

/* A leaf that cannot be read now has what the log says of it once it can be. */
static void a_leaf_that_heals_has_what_waited_for_it(void **state)
{
	struct world *w = *state;
	uint32_t bytes[2];
	size_t len;
	sim_disk_reset(w->disk, w->image, w->size);
	ps_storer *s = open_within(w, 64 * M);
	uint64_t leaves = patched_leaves(s);
	check_object(w, s, 7919, UINT64_MAX);
	sim_disk_fail(w->disk, 1, EIO, true);
	assert_int_equal(ps_get(s, w->ids[2 * 7919], bytes, sizeof(bytes), &len), PS_EIO);
	assert_int_equal(table_redo_finish(&store_of(s)->table), PS_EIO);
	assert_int_equal(patched_leaves(s), leaves - 1);
	sim_disk_fail(w->disk, 0, 0, false);
	check_object(w, s, 2 * 7919, UINT64_MAX);
	OK(table_redo_finish(&store_of(s)->table));
	check_objects(w, s, 1, UINT64_MAX);
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	OK(ps_close(s));
}

static void little_memory_reads_smaller_parts(void **state)
{
	struct world *w = *state;
	sim_disk_reset(w->disk, w->image, w->size);
	uint64_t before = reads(w);
	ps_storer *s = open_within(w, 2 * M);
	OK(table_redo_finish(&store_of(s)->table));
	assert_in_range(reads(w) - before, LEAVES / 4, LEAVES - LEAVES / 4);
	check_objects(w, s, 1, UINT64_MAX);
	OK(ps_close(s));
}

static void a_handful_is_read_one_after_another(void **state)
{
	struct world *w = world_new(HANDFUL, OBJECTS / HANDFUL);
	(void)state;
	sim_disk_reset(w->disk, w->image, w->size);
	ps_storer *s = open_within(w, 64 * M);
	assert_int_equal(store_of(s)->table.dirty_count, HANDFUL);
	uint64_t before = reads(w);
	OK(table_redo_finish(&store_of(s)->table));
	assert_int_equal(reads(w) - before, HANDFUL);
	check_objects(w, s, 1, UINT64_MAX);
	OK(ps_close(s));
	void *own = w;
	(void)tear_down(&own);
}

/* 100 objects, eleven times each. */
static void where_notes_would_take_much_the_log_is_applied_at_once(void **state)
{
	struct world *w = world_new(1100, 2 * FANOUT);
	(void)state;
	sim_disk_reset(w->disk, w->image, w->size);
	uint64_t before = reads(w);
	ps_storer *s = open_within(w, M);
	const struct table *t = &store_of(s)->table;
	assert_null(t->redo);
	assert_int_equal(t->dirty_count, LEAVES / 2);
	assert_int_equal(patched_leaves(s), 0);
	assert_int_equal(atomic_load(&t->dirty_bytes), LEAVES / 2 * PAGE);
	assert_in_range(reads(w) - before, LEAVES / 2, LEAVES / 2 + 10);
	check_objects(w, s, 1, UINT64_MAX);
	OK(ps_close(s));
	void *own = w;
	(void)tear_down(&own);
}

int main(void)
{
	const struct CMUnitTest alone[] = {
	    cmocka_unit_test(first_get_reads_no_leaf_but_its_own),
	    cmocka_unit_test(a_checkpoint_reads_the_others_together),
	    cmocka_unit_test(what_waits_is_brought_in_before_the_checkpoint_that_frees_the_log),
	    cmocka_unit_test(figures_are_those_of_the_log),
	    cmocka_unit_test(a_damaged_leaf_among_them_costs_its_own_ids),
	    cmocka_unit_test(a_read_that_fails_is_made_again_by_who_needs_it),
	    cmocka_unit_test(a_leaf_that_heals_has_what_waited_for_it),
	    cmocka_unit_test(little_memory_reads_smaller_parts),
	    cmocka_unit_test(a_handful_is_read_one_after_another),
	    cmocka_unit_test(where_notes_would_take_much_the_log_is_applied_at_once),
	};
	const struct CMUnitTest threads[] = {
	    cmocka_unit_test(readers_beside_the_checkpoint_find_what_waits),
	};
	int failed = one_thread_run(alone, set_up, tear_down);
	return failed + threads_run(threads, set_up, tear_down);
}
