/* Lists that grow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/memory.h"

static int set_up(void **state)
{
	static struct ps_memory memory;
	ps_memory_init(&memory, NULL);
	*state = &memory;
	return 0;
}

static int tear_down(void **state)
{
	struct ps_memory *m = *state;
	(void)ps_memory_fail_nth(0, 0);
	size_t used = atomic_load(&m->used);
	ps_memory_done(m);
	return used != 0;
}

static void a_list_keeps_its_entries_and_doubles(void **state)
{
	struct ps_memory *m = *state;
	uint32_t *list = NULL;
	size_t capacity = 0, growths = 0;
	for (uint32_t i = 0; i < 1000; i++) {
		size_t before = capacity;
		list = ps_memory_grow(m, list, i, &capacity, sizeof(*list));
		assert_non_null(list);
		assert_true(capacity > i);
		assert_int_equal(atomic_load(&m->used), capacity * sizeof(*list));
		growths += capacity != before;
		list[i] = i;
	}
	for (uint32_t i = 0; i < 1000; i++)
		assert_int_equal(list[i], i);
	assert_true(growths <= 10);
	ps_memory_free(m, list, capacity * sizeof(*list));
}

static void a_growth_that_fails_leaves_the_list(void **state)
{
	struct ps_memory *m = *state;
	size_t capacity = 0;
	uint64_t *list = ps_memory_grow(m, NULL, 0, &capacity, sizeof(*list));
	assert_non_null(list);
	size_t before = capacity;
	list[0] = 42;
	(void)ps_memory_fail_nth(1, 0);
	assert_null(ps_memory_grow(m, list, before, &capacity, sizeof(*list)));
	assert_non_null(strstr(ps_last_error_message(), "no memory for a list of"));
	assert_int_equal(capacity, before);
	assert_int_equal(atomic_load(&m->used), before * sizeof(*list));
	assert_int_equal(list[0], 42);
	ps_memory_free(m, list, capacity * sizeof(*list));
}

static void room_that_is_there_needs_no_memory(void **state)
{
	struct ps_memory *m = *state;
	size_t capacity = 0;
	uint64_t *list = ps_memory_grow(m, NULL, 0, &capacity, sizeof(*list));
	assert_non_null(list);
	(void)ps_memory_fail_nth(1, 1);
	assert_ptr_equal(ps_memory_grow(m, list, capacity - 1, &capacity, sizeof(*list)), list);
	ps_memory_free(m, list, capacity * sizeof(*list));
}

/* The sizes would wrap: nothing is asked for, which the count of allocations shows. */
static void a_list_larger_than_memory_is_refused(void **state)
{
	struct ps_memory *m = *state;
	uint64_t entry = 0;
	size_t capacity = SIZE_MAX / 2 + 1;
	(void)ps_memory_fail_nth(0, 0);
	assert_null(ps_memory_grow(m, &entry, capacity, &capacity, 1));
	capacity = SIZE_MAX / 16 + 1;
	assert_null(ps_memory_grow(m, &entry, capacity, &capacity, sizeof(entry)));
	assert_int_equal(capacity, SIZE_MAX / 16 + 1);
	assert_int_equal(ps_memory_fail_nth(0, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_list_keeps_its_entries_and_doubles, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_growth_that_fails_leaves_the_list, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(room_that_is_there_needs_no_memory, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(a_list_larger_than_memory_is_refused, set_up, tear_down),
	};
	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
