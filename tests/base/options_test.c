/* Structs of options, of callers compiled against an earlier header too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/error.h"
#include "base/options.h"

struct options {
	size_t size;
	uint64_t first, added_later;
};

static const struct options untouched = {1, 2, 3};

static void no_options_are_all_zero(void **state)
{
	struct options taken = untouched;
	(void)state;
	assert_int_equal(ps_options_take(&taken, sizeof(taken), NULL, "some options"), PS_OK);
	assert_int_equal(taken.size, sizeof(taken));
	assert_int_equal(taken.first, 0);
	assert_int_equal(taken.added_later, 0);
}

static void a_struct_of_today_is_taken_whole(void **state)
{
	struct options taken = untouched, given = {sizeof(given), 7, 8};
	(void)state;
	assert_int_equal(ps_options_take(&taken, sizeof(taken), &given, "some options"), PS_OK);
	assert_memory_equal(&taken, &given, sizeof(taken));
}

static void what_a_shorter_struct_does_not_have_is_zero(void **state)
{
	struct options taken = untouched, given = {offsetof(struct options, added_later), 7, 8};
	(void)state;
	assert_int_equal(ps_options_take(&taken, sizeof(taken), &given, "some options"), PS_OK);
	assert_int_equal(taken.size, sizeof(taken));
	assert_int_equal(taken.first, 7);
	assert_int_equal(taken.added_later, 0);
}

static void a_size_of_no_struct_is_refused_and_nothing_is_taken(void **state)
{
	static const size_t sizes[] = {0, sizeof(size_t) - 1, sizeof(struct options) + 1, SIZE_MAX};
	(void)state;
	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct options taken = untouched, given = {sizes[i], 7, 8};
		assert_int_equal(ps_options_take(&taken, sizeof(taken), &given, "some options"), PS_EINVAL);
		assert_memory_equal(&taken, &untouched, sizeof(taken));
		assert_non_null(strstr(ps_last_error_message(), "some options: size "));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_options_are_all_zero),
	    cmocka_unit_test(a_struct_of_today_is_taken_whole),
	    cmocka_unit_test(what_a_shorter_struct_does_not_have_is_zero),
	    cmocka_unit_test(a_size_of_no_struct_is_refused_and_nothing_is_taken),
	};
	return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
