/* A compaction keeps slabs below its limit. Setting that goes through all slabs of the store: it is done for
 * a round, not for each object that moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <padstone/multi_store.h>

#include "allocator/omni.h"
#include "store/base_internal.h"
#include "tests/support/sim_disk.h"

enum { N = 4000, MOST = 2000, STAYS = 4 };

#define OK(call) assert_int_equal((call), PS_OK)

static unsigned limits_set;

void __real_ps_omni_set_limit(struct ps_allocator *a, uint64_t below);
void __wrap_ps_omni_set_limit(struct ps_allocator *a, uint64_t below);
void __wrap_ps_omni_set_limit(struct ps_allocator *a, uint64_t below)
{
	limits_set++;
	__real_ps_omni_set_limit(a, below);
}

static ps_storer *open_store(struct sim_disk *disk)
{
	const struct ps_base_options options = {
	    .size = sizeof(options), .background = PS_BACKGROUND_NONE, .memory_budget = 32 << 20};
	ps_storer *base, *s;
	sim_disk_set_tracing(disk, false);
	OK(ps_base_open_io(sim_disk_io(disk), true, &options, &base));
	OK(ps_multi_open(base, NULL, &s));
	return s;
}

static size_t size_of(uint32_t number)
{
	return 64 + number * 7919 % (MOST - 64);
}

static uint64_t place_of(ps_storer *s, ps_id id)
{
	struct ps_info info = {0};
	OK(ps_info(s, id, &info));
	return info.offset;
}

/* The first bytes are its number. */
static void put_all(ps_storer *s, ps_id *ids)
{
	uint32_t bytes[MOST / sizeof(uint32_t) + 1] = {0};
	ps_batch *b;
	OK(ps_batch_begin(s, &b));
	for (uint32_t i = 0; i < N; i++) {
		bytes[0] = i;
		OK(ps_batch_put(b, bytes, size_of(i), &ids[i]));
	}
	OK(ps_batch_commit(b, PS_RELAXED));
}

static void delete_most(ps_storer *s, const ps_id *ids)
{
	ps_batch *b;
	OK(ps_batch_begin(s, &b));
	for (uint32_t i = 0; i < N; i++) {
		if (i % STAYS)
			OK(ps_batch_delete(b, ids[i]));
	}
	OK(ps_batch_commit(b, PS_RELAXED));
}

static void expect_object(ps_storer *s, ps_id id, uint32_t number)
{
	uint32_t bytes[MOST / sizeof(uint32_t) + 1];
	size_t len;
	OK(ps_get(s, id, bytes, sizeof(bytes), &len));
	assert_int_equal(len, size_of(number));
	assert_int_equal(bytes[0], number);
}

static void a_limit_is_set_for_a_round_not_for_each_object(void **state)
{
	static ps_id ids[N];
	static uint64_t places[N];
	struct sim_disk *disk = sim_disk_new(NULL, 0);
	ps_storer *s = open_store(disk);
	unsigned moved = 0;
	(void)state;
	put_all(s, ids);
	delete_most(s, ids);
	for (uint32_t i = 0; i < N; i += STAYS)
		places[i] = place_of(s, ids[i]);
	limits_set = 0;
	OK(ps_compact(s, 0, NULL, NULL));
	for (uint32_t i = 0; i < N; i += STAYS) {
		moved += place_of(s, ids[i]) != places[i];
		expect_object(s, ids[i], i);
	}
	assert_in_range(moved, N / STAYS / 4, N);
	assert_in_range(limits_set, 1, moved / 4);
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	OK(ps_close(s));
	sim_disk_free(disk);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_limit_is_set_for_a_round_not_for_each_object),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
