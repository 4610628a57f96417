/* Every allocation fails once, or from there on, under each modifying and reading call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "tests/fault/fault_loop.h"

static const char *only;

static void arm(struct sim_disk *disk, const struct fault *fault, uint64_t kth)
{
	(void)disk;
	ps_memory_fail_nth(kth, fault->forever);
}

static bool disarm(struct sim_disk *disk, uint64_t kth)
{
	(void)disk;
	return ps_memory_fail_nth(0, 0) >= kth;
}

static void failed_allocation_loses_nothing_acknowledged(void **state)
{
	const struct script *script = *state;
	const struct fault faults[] = {
	    {"once", false, 0, arm, disarm},
	    {"for ever", true, 0, arm, disarm},
	};
	uint64_t count = 0;
	for (size_t i = 0; i < 2 && (!only || strcmp(only, script->name) == 0); i++)
		count += fault_loop(script, &faults[i]);
	print_message("%-28s %6llu faults\n", script->name, (unsigned long long)count);
}

int main(int argc, char **argv)
{
	enum { MOST = 64 };
	struct CMUnitTest tests[MOST];
	size_t count = 0;
	only = argc > 1 && argv[1][0] ? argv[1] : NULL;
	for (; count < script_count && count < MOST; count++)
		tests[count] = (struct CMUnitTest)cmocka_unit_test_prestate(
		    failed_allocation_loses_nothing_acknowledged, (void *)(uintptr_t)&scripts[count]);
	return _cmocka_run_group_tests("allocation faults", tests, count, NULL, NULL);
}
