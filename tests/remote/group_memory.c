#include "tests/remote/group_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct ps_memory group_memory;

int memory_begin(void **state)
{
	(void)state;
	ps_memory_init(&group_memory, NULL);
	return 0;
}

int memory_is_given_back(void **state)
{
	(void)state;
	assert_int_equal(atomic_load(&group_memory.used), 0);
	ps_memory_done(&group_memory);
	return 0;
}
