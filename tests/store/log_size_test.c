/* The log's ring has the size that the store's work asks for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "store/base_internal.h"
#include "tests/support/sim_disk.h"

enum { M = 1 << 20, SIZE = 3000, CHECKPOINTS = 64 };

#define OK(call) assert_int_equal((call), PS_OK)

static ps_storer *open_store(struct sim_disk *disk)
{
	const struct ps_base_options options = {
	    .size = sizeof(options), .background = PS_BACKGROUND_NONE, .memory_budget = 128 * M};
	ps_storer *s;
	OK(ps_base_open_io(sim_disk_io(disk), sim_disk_size(disk) == 0, &options, &s));
	return s;
}

static struct ps_stats stats_of(ps_storer *s)
{
	struct ps_stats stats;
	memset(&stats, 0, sizeof(stats));
	OK(ps_stats(s, &stats));
	return stats;
}

/* A checkpoint that comes within a second of the one before asks for a larger ring. On a disk in memory that
 * takes milliseconds: of so many one does, whatever else the machine has to do. */
static void blocks_of_a_page_fill_a_ring_of_eight_mebibytes(void **state)
{
	struct sim_disk *disk = sim_disk_new(NULL, 0);
	sim_disk_set_tracing(disk, false);
	ps_storer *s = open_store(disk);
	uint8_t bytes[SIZE] = {0};
	ps_id id;
	(void)state;
	OK(ps_put(s, bytes, SIZE, &id));
	while (stats_of(s).log_bytes < 8 * M && stats_of(s).checkpoints < CHECKPOINTS) {
		for (int i = 0; i < 256; i++)
			OK(ps_replace(s, id, bytes, SIZE));
	}
	/* The old ring goes with the next checkpoint. */
	assert_true(stats_of(s).log_bytes >= 8 * M);
	OK(ps_close(s));
	sim_disk_free(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(blocks_of_a_page_fill_a_ring_of_eight_mebibytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
