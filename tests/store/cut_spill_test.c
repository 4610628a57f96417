/* A cut between the moment at which a commit's operations were written to extents of their own, because the
 * log's ring is too small for them, and the one at which it is ordered: it is ordered after the cut, so what
 * it changes carries the next interval. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "store/base_internal.h"
#include "tests/store/cut_world.h"
#include "tests/support/disk_store.h"

enum { OBJECTS = 200, SIZE = 3000 }; /* more operations than fit the ring */

#define OK(call) assert_int_equal((call), PS_OK)

static struct world world;
static struct taken *taken; /* by the next wait for a spilled commit's writes */
static bool armed;

int __real_change_wait(struct store *s, struct change *c);
int __wrap_change_wait(struct store *s, struct change *c);

/* The operations' own extents are the only ones that belong to no object. */
int __wrap_change_wait(struct store *s, struct change *c)
{
	int err = __real_change_wait(s, c);
	if (armed && !c->kind && !c->id && c->fresh_count) {
		armed = false;
		taken = world_take(&world, NULL);
	}
	return err;
}

static ps_storer *open_disk(struct sim_disk *disk)
{
	const struct ps_base_options options = {.log_bytes = 16 << 10};
	ps_storer *s = NULL;
	OK(disk_store_open(disk, &options, &s));
	return s;
}

static void replace_all(ps_storer *s, const ps_id *ids, uint8_t with)
{
	uint8_t bytes[SIZE] = {with};
	ps_batch *b;
	OK(ps_batch_begin(s, &b));
	for (int i = 0; i < OBJECTS; i++)
		OK(ps_batch_replace(b, ids[i], bytes, SIZE));
	OK(ps_batch_commit(b, PS_DURABLE));
}

static void must_be_all(const struct taken *t, uint8_t with, uint64_t interval)
{
	assert_int_equal(t->count, OBJECTS);
	for (int i = 0; i < OBJECTS; i++) {
		assert_int_equal(t->records[i].object.interval, interval);
		assert_int_equal(t->records[i].bytes[0], with);
	}
}

static void what_is_ordered_after_a_cut_carries_the_next_interval(void **state)
{
	struct sim_disk *disk = sim_disk_new(NULL, 0);
	ps_storer *s = open_disk(disk);
	ps_id ids[OBJECTS];
	static const uint8_t bytes[SIZE] = {1};
	(void)state;
	for (int i = 0; i < OBJECTS; i++)
		OK(ps_put(s, bytes, SIZE, &ids[i]));
	world_init(&world, s, 0, 0);
	armed = true;
	replace_all(s, ids, 2);
	assert_non_null(taken);
	must_be_all(taken, 1, 1);
	/* As the log brings it back, too. */
	uint64_t size = sim_disk_size(disk);
	uint8_t *image = malloc(size);
	assert_non_null(image);
	sim_disk_image(disk, image);
	for (int round = 0; round < 2; round++) {
		struct taken *after = world_take(&world, taken);
		must_be_all(after, 2, 2);
		taken_free(after);
		OK(ps_check(world.s, PS_CHECK_FULL, NULL, NULL));
		OK(ps_close(world.s));
		sim_disk_reset(disk, image, size);
		world.s = open_disk(disk);
	}
	OK(ps_close(world.s));
	taken_free(taken);
	sim_disk_free(disk);
	free(image);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_ordered_after_a_cut_carries_the_next_interval)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
