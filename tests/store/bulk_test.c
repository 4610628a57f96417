/* What a restore loads: each byte is written once, nobody meets an entry before its contents are there, and a
 * store that was loaded has as much space as one that was written to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <padstone/multi_store.h>

#include "store/base_internal.h"
#include "tests/store/late_disk.h"
#include "tests/support/disk_store.h"

#define OK(call) assert_int_equal((call), PS_OK)
#define ID(slot) ((ps_id)(slot) << 24 | 1)

enum { K = 1 << 10, M = 1 << 20, MOST = PS_CUT_PIECE };

struct world {
	struct sim_disk *disk;
	struct late_disk late;
	ps_storer *s;
	struct store *base;
	struct ps_restore *r;
	uint64_t slots, bytes, mixed; /* mixed: sizes up to it; 0: all of a page */
};

static uint8_t pattern[2 * MOST];

static void open_world(struct world *w, uint64_t budget, bool multi)
{
	struct ps_base_options options = disk_store_options();
	ps_storer *base;
	bool made = sim_disk_size(w->disk) == 0;
	options.memory_budget = budget;
	late_disk_init(&w->late, sim_disk_io(w->disk));
	OK(ps_base_open_io(&w->late.io, made, &options, &base));
	w->base = store_of(base);
	w->s = base;
	if (multi)
		OK(ps_multi_open(base, NULL, &w->s));
}

static struct world *new_world(uint64_t budget, bool multi)
{
	struct world *w = calloc(1, sizeof(*w));
	if (!w)
		abort();
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (uint8_t)(i * 7 + i / 251 + 1);
	w->disk = sim_disk_new(NULL, 0);
	sim_disk_set_tracing(w->disk, false);
	open_world(w, budget, multi);
	w->slots = 1;
	return w;
}

static void free_world(struct world *w)
{
	OK(ps_close(w->s));
	sim_disk_free(w->disk);
	free(w);
}

static uint64_t size_of(const struct world *w, uint64_t slot)
{
	return w->mixed ? 1 + slot * 7919 % w->mixed : 4096;
}

static const uint8_t *contents(uint64_t slot)
{
	return pattern + slot * 31 % MOST;
}

static void add(struct world *w)
{
	const struct ps_cut_object o = {ID(w->slots), PS_CUT_BYTES, size_of(w, w->slots), 1, 0};
	int err = ps_restore_object(w->r, &o, contents(w->slots));
	if (err)
		fail_msg("slot %llu: %s", (unsigned long long)w->slots, ps_last_error_message());
	w->bytes += o.size;
	w->slots++;
}

static void finish(struct world *w)
{
	const struct ps_cut_info info = {.here = {1, 0}, .slots = w->slots};
	OK(ps_restore_finish(w->r, &info));
	assert_int_equal(w->base->uncommitted_bytes, 0);
}

static int is_right(struct world *w, uint64_t slot)
{
	static uint8_t back[MOST];
	size_t len = 0;
	int err = ps_get(w->s, ID(slot), back, sizeof(back), &len);
	if (!err) {
		assert_int_equal(len, size_of(w, slot));
		assert_memory_equal(back, contents(slot), len);
	}
	return err;
}

static void must_have_all(struct world *w)
{
	for (uint64_t slot = 1; slot < w->slots; slot++)
		OK(is_right(w, slot));
	OK(ps_check(w->s, PS_CHECK_FULL, NULL, NULL));
}

static uint64_t written(struct world *w)
{
	struct ps_stats stats;
	OK(ps_stats(w->s, &stats));
	return stats.bytes_written;
}

static void load(struct world *w, uint64_t bytes)
{
	OK(ps_restore_begin(w->s, &w->r));
	while (w->bytes < bytes)
		add(w);
	finish(w);
}

static void must_be_written_once(bool multi, uint64_t mixed)
{
	struct world *w = new_world(64 * M, multi);
	w->mixed = mixed;
	uint64_t before = written(w);
	load(w, 8 * M);
	uint64_t after = written(w) - before;
	print_message("sizes up to %llu: %.3f bytes a byte\n", (unsigned long long)mixed,
	              (double)after / (double)w->bytes);
	assert_true(after * 100 <= w->bytes * 115);
	assert_int_equal(w->base->log.end, w->base->log.start); /* none of it in the log */
	must_have_all(w);
	OK(ps_close(w->s));
	open_world(w, 64 * M, multi);
	must_have_all(w);
	free_world(w);
}

static void each_byte_is_written_once(void **state)
{
	(void)state;
	must_be_written_once(true, 0);
	must_be_written_once(true, 900);
	must_be_written_once(true, 3900);
	must_be_written_once(true, 60000);
	must_be_written_once(false, 0);
}

/* Writes are done as late as can be, and readers come at any time. */
static void nobody_meets_an_entry_before_its_contents(void **state)
{
	struct world *w = new_world(2 * M, true);
	uint64_t met = 0;
	(void)state;
	w->mixed = 3000;
	OK(ps_restore_begin(w->s, &w->r));
	for (unsigned i = 0; i < 2000; i++) {
		add(w);
		for (unsigned k = 0; k < 5; k++) {
			int err = is_right(w, 1 + (i * 7 + k * 613) % (i + 1));
			assert_true(err == PS_OK || err == PS_ENOTFOUND);
			met += !err;
		}
		if (i % 500 == 499)
			OK(checkpoint_run(w->base));
	}
	assert_true(met > 1000);
	finish(w);
	must_have_all(w);
	free_world(w);
}

/* With memory for few frames the other classes' contents share pages. */
static void little_memory_costs_little_space(void **state)
{
	struct world *w = new_world(M, true);
	(void)state;
	w->mixed = 4096;
	load(w, 6 * M);
	uint64_t size = sim_disk_size(w->disk);
	print_message("%.3f bytes of file a byte\n", (double)size / (double)w->bytes);
	assert_true(size < 2 * w->bytes);
	must_have_all(w);
	/* Slots that were left are given out again. */
	for (unsigned i = 0; i < 64; i++) {
		ps_id id;
		OK(ps_put(w->s, pattern, 1 + i * 64, &id));
	}
	OK(ps_check(w->s, PS_CHECK_FULL, NULL, NULL));
	free_world(w);
}

/* A table that does not fit is written in between. */
static void a_table_larger_than_memory_is_restored(void **state)
{
	struct world *w = new_world(M, false);
	(void)state;
	w->mixed = 3;
	OK(ps_restore_begin(w->s, &w->r));
	for (unsigned i = 0; i < 40000; i++)
		add(w);
	finish(w);
	assert_true(w->base->checkpoint.count > 2);
	for (uint64_t slot = 1; slot < w->slots; slot += 97)
		OK(is_right(w, slot));
	OK(ps_close(w->s));
	open_world(w, 64 * M, false);
	must_have_all(w);
	free_world(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_byte_is_written_once),
	    cmocka_unit_test(nobody_meets_an_entry_before_its_contents),
	    cmocka_unit_test(little_memory_costs_little_space),
	    cmocka_unit_test(a_table_larger_than_memory_is_restored),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
