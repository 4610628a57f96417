/* The figures of a network's use: what they are written as, and that nothing else is taken for them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "remote/usage.h"

static const struct ps_remote_usage some = {
    .requests = {.get = 1, .range = 2, .head = 3, .create = 4, .replace = 5, .remove = 6, .list = UINT64_MAX},
    .since_ns = 7,
    .drill_ns = 8,
    .drill_values = 9,
    .drill_bytes = 10,
    .drill_wrong = 11};

static void they_come_back_as_they_were(void **state)
{
	struct ps_remote_usage got;
	uint8_t bytes[PS_USAGE_BYTES];
	(void)state;
	ps_usage_encode(&some, bytes);
	assert_int_equal(ps_usage_decode(bytes, sizeof(bytes), &got), PS_OK);
	assert_memory_equal(&got, &some, sizeof(some));
}

/* Every length but the right one, every single bit. */
static void nothing_else_is_taken_for_them(void **state)
{
	struct ps_remote_usage got = {.since_ns = 99};
	uint8_t bytes[PS_USAGE_BYTES + 1] = {0};
	(void)state;
	ps_usage_encode(&some, bytes);
	for (size_t len = 0; len <= sizeof(bytes); len++)
		if (len != PS_USAGE_BYTES)
			assert_int_equal(ps_usage_decode(bytes, len, &got), PS_ECORRUPT);
	for (unsigned bit = 0; bit < 8 * PS_USAGE_BYTES; bit++) {
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(ps_usage_decode(bytes, PS_USAGE_BYTES, &got), PS_ECORRUPT);
		bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_int_equal(got.since_ns, 99);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(they_come_back_as_they_were),
	    cmocka_unit_test(nothing_else_is_taken_for_them),
	};
	return cmocka_run_group_tests_name("figures of a network's use", tests, NULL, NULL);
}
