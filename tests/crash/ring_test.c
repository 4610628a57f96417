/* The log moves to a larger ring as the store grows, and to a smaller one when it is compacted. After a cut between any two
 * writes of that, the store opens, checks clean, holds what was acknowledged, and goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base_internal.h"
#include "tests/support/sim_disk.h"

enum { OBJECTS = 300, SIZE = 700 };

static const struct ps_base_options options = {.size = sizeof(options), .background = PS_BACKGROUND_NONE,
					       .memory_budget = 64 << 20};

struct acknowledged {
	ps_id ids[OBJECTS];
	size_t since[OBJECTS]; /* events of the trace when the put had returned */
	size_t count;
};

static void fill(uint8_t *bytes, size_t i)
{
	for (size_t k = 0; k < SIZE; k++)
		bytes[k] = (uint8_t)(i * 31 + k * 7);
}

static void put_some(ps_storer *s, struct sim_disk *disk, struct acknowledged *a, size_t n)
{
	uint8_t bytes[SIZE];
	for (; n && a->count < OBJECTS; n--, a->count++) {
		fill(bytes, a->count);
		assert_int_equal(ps_put(s, bytes, SIZE, &a->ids[a->count]), PS_OK);
		a->since[a->count] = sim_disk_trace(disk)->count;
	}
}

/* A live object of many zero bytes takes no space, but makes the store want a larger log. */
static void make_trace(struct sim_disk *disk, struct acknowledged *a)
{
	ps_storer *s;
	ps_id large;
	assert_int_equal(ps_base_open_io(sim_disk_io(disk), true, &options, &s), PS_OK);
	put_some(s, disk, a, 100);
	assert_int_equal(ps_alloc(s, (uint64_t)256 << 20, &large), PS_OK);
	uint64_t before = store_of(s)->log.ring[0].len;
	assert_int_equal(checkpoint_run(store_of(s)), PS_OK);
	assert_true(store_of(s)->log.ring[0].len + store_of(s)->log.ring[1].len > before);
	put_some(s, disk, a, 100);
	assert_int_equal(checkpoint_run(store_of(s)), PS_OK);
	put_some(s, disk, a, 50);
	assert_int_equal(ps_delete(s, large), PS_OK);
	assert_int_equal(ps_compact(s, 0, NULL, NULL), PS_OK);
	assert_int_equal(store_of(s)->log.ring[0].len, before);
	put_some(s, disk, a, 50);
	assert_int_equal(ps_close(s), PS_OK);
}

static void apply(uint8_t *image, uint64_t *size, uint64_t room, const struct sim_trace *trace, size_t event)
{
	const struct sim_event *e = &trace->events[event];
	assert_true(e->offset + e->len <= room);
	switch (e->kind) {
	case SIM_WRITE:
		memcpy(image + e->offset, trace->bytes + e->data, e->len);
		*size = *size > e->offset + e->len ? *size : e->offset + e->len;
		break;
	case SIM_ALLOCATE:
		*size = *size > e->offset + e->len ? *size : e->offset + e->len;
		break;
	case SIM_TRUNCATE:
		*size = e->offset;
		memset(image + e->offset, 0, room - e->offset);
		break;
	case SIM_PUNCH:
		memset(image + e->offset, 0, e->len);
		break;
	case SIM_FLUSH:
		break;
	}
}

static void check_objects(ps_storer *s, const struct acknowledged *a, size_t events)
{
	uint8_t expected[SIZE], got[SIZE];
	size_t len;
	for (size_t i = 0; i < a->count && a->since[i] <= events; i++) {
		fill(expected, i);
		assert_int_equal(ps_get(s, a->ids[i], got, sizeof(got), &len), PS_OK);
		assert_int_equal(len, SIZE);
		assert_memory_equal(got, expected, SIZE);
	}
}

/* Opened, used, closed, and opened again: what the first open called free must not have been anybody's. */
static void survives(const uint8_t *image, uint64_t size, const struct acknowledged *a, size_t events)
{
	struct sim_disk *disk = sim_disk_new(image, size);
	uint8_t bytes[SIZE] = {0};
	for (int round = 0; round < 2; round++) {
		ps_storer *s;
		ps_id id;
		assert_int_equal(ps_base_open_io(sim_disk_io(disk), false, &options, &s), PS_OK);
		check_objects(s, a, events);
		for (int i = 0; i < 200; i++)
			assert_int_equal(ps_put(s, bytes, sizeof(bytes), &id), PS_OK);
		assert_int_equal(ps_check(s, PS_CHECK_FULL, NULL, NULL), PS_OK);
		check_objects(s, a, events);
		assert_int_equal(ps_close(s), PS_OK);
	}
	sim_disk_free(disk);
}

static void a_cut_between_any_two_writes_of_a_moving_log_loses_nothing(void **state)
{
	(void)state;
	enum { ROOM = 64 << 20 };
	struct acknowledged a = {0};
	struct sim_disk *disk = sim_disk_new(NULL, 0);
	uint8_t *image = calloc(1, ROOM);
	uint64_t size = 0, opened = 0;
	assert_non_null(image);
	make_trace(disk, &a);
	const struct sim_trace *trace = sim_disk_trace(disk);
	size_t states = 0;
	for (size_t event = 0; event < trace->count; event++) {
		apply(image, &size, ROOM, trace, event);
		/* The store is there with its first superblock. Single puts in between are the crash suite's. */
		opened += trace->events[event].kind == SIM_FLUSH;
		if (opened < 3 || (trace->events[event].sync && event % 16))
			continue;
		survives(image, size, &a, event + 1);
		states++;
	}
	printf("%zu cuts\n", states);
	assert_true(states > 50);
	free(image);
	sim_disk_free(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_cut_between_any_two_writes_of_a_moving_log_loses_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
