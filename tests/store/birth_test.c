/* Births in eight bits: never before the true one, close to it, and not worn out by being written anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/birth.h"

static uint64_t draw(uint64_t *random)
{
	*random = *random * 6364136223846793005U + 1442695040888963407U;
	return *random >> 20;
}

static uint32_t written(uint32_t interval, uint32_t birth)
{
	return birth_of(interval, birth_age(interval, birth));
}

static void a_birth_is_never_read_as_an_earlier_one(void **state)
{
	uint64_t random = 3;
	(void)state;
	for (unsigned i = 0; i < 400000; i++) {
		uint32_t interval = (uint32_t)(draw(&random) >> draw(&random) % 32);
		uint32_t birth =
		    interval - (uint32_t)(draw(&random) % ((uint64_t)interval + 1) >> draw(&random) % 32);
		uint32_t read = written(interval, birth), age = interval - birth;
		assert_true(read >= birth && read <= interval);
		assert_true(age > 15 || read == birth);
		assert_true(age > 15 << 14 || read - birth <= age / 7);
		/* As the node's own birth was rounded up. */
		uint32_t later = interval + (uint32_t)(draw(&random) % 100);
		assert_true(later < interval || birth_of(later, birth_age(interval, birth)) >= birth);
	}
	assert_int_equal(written(UINT32_MAX, 0), ((UINT32_MAX >> 15) - 15) << 15);
	assert_int_equal(written(7, 7), 7);
	assert_int_equal(written(7, 9), 7);       /* what cannot be */
	for (unsigned age = 0; age <= 255; age++) /* from a disk */
		assert_true(birth_of(100, (uint8_t)age) <= 100);
}

/* A node that is written in each interval. */
static void pointers_grow_old_in_a_node_that_is_rewritten(void **state)
{
	(void)state;
	for (uint32_t birth = 1; birth < 200; birth += 13) {
		uint32_t read = birth;
		for (uint32_t interval = birth; interval < 200000; interval++) {
			read = written(interval, read);
			assert_true(read >= birth);
			assert_true(read - birth <= (interval - birth) / 6);
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_birth_is_never_read_as_an_earlier_one),
	    cmocka_unit_test(pointers_grow_old_in_a_node_that_is_rewritten),
	};
	return cmocka_run_group_tests_name("births", tests, NULL, NULL);
}
