/* A batch takes its ids some at a time: those that it does not need are the next ones to be given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/base_internal.h"
#include "tests/support/sim_disk.h"

enum { PUTS = 40, BATCHES = 60, AHEAD = 32 };

#define OK(call) assert_int_equal((call), PS_OK)

static ps_storer *open_store(struct sim_disk *disk)
{
	const struct ps_base_options options = {
	    .size = sizeof(options), .background = PS_BACKGROUND_NONE, .memory_budget = 16 << 20};
	ps_storer *s;
	sim_disk_set_tracing(disk, false);
	OK(ps_base_open_io(sim_disk_io(disk), sim_disk_size(disk) == 0, &options, &s));
	return s;
}

static uint64_t slots_of(ps_storer *s)
{
	return atomic_load(&store_of(s)->table.slots);
}

/* The number of each of its objects. */
static void put_some(ps_batch *b, ps_id *ids, uint32_t *number)
{
	for (unsigned i = 0; i < PUTS; i++, ++*number)
		OK(ps_batch_put(b, number, sizeof(*number), &ids[i]));
}

static void ids_that_a_batch_did_not_use_are_given_again(void **state)
{
	struct sim_disk *disk = sim_disk_new(NULL, 0);
	ps_storer *s = open_store(disk);
	ps_id ids[PUTS];
	uint32_t number = 0;
	(void)state;
	for (unsigned i = 0; i < BATCHES; i++) {
		ps_batch *b;
		OK(ps_batch_begin(s, &b));
		put_some(b, ids, &number);
		OK(i % 3 ? ps_batch_commit(b, PS_RELAXED) : ps_batch_abort(b));
	}
	assert_in_range(slots_of(s), 0, 1 + BATCHES * PUTS + AHEAD);
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	OK(ps_close(s));
	sim_disk_free(disk);
}

static void two_batches_never_have_the_same_id(void **state)
{
	static ps_id ids[2 * BATCHES][PUTS];
	struct sim_disk *disk = sim_disk_new(NULL, 0);
	ps_storer *s = open_store(disk);
	uint32_t number = 0, is;
	size_t len;
	(void)state;
	for (unsigned i = 0; i < BATCHES; i++) {
		ps_batch *one, *other;
		OK(ps_batch_begin(s, &one));
		OK(ps_batch_begin(s, &other));
		put_some(one, ids[2 * i], &number);
		put_some(other, ids[2 * i + 1], &number);
		OK(ps_batch_commit(one, PS_RELAXED));
		OK(ps_batch_commit(other, PS_RELAXED));
	}
	/* What had been given twice would have the later contents. */
	for (uint32_t i = 0; i < number; i++) {
		OK(ps_get(s, ids[i / PUTS][i % PUTS], &is, sizeof(is), &len));
		assert_int_equal(is, i);
	}
	OK(ps_close(s));
	sim_disk_free(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ids_that_a_batch_did_not_use_are_given_again),
	    cmocka_unit_test(two_batches_never_have_the_same_id),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
