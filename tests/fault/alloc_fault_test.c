/* Every allocation fails once, or from there on, under each modifying and reading call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "tests/fault/fault_loop.h"

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

int main(int argc, char **argv)
{
	const struct fault faults[] = {
	    {"once", false, 0, arm, disarm},
	    {"for ever", true, 0, arm, disarm},
	};
	return fault_main("allocation faults", faults, sizeof(faults) / sizeof(faults[0]), argc, argv);
}
