/* Every disk call fails once, or from there on, with EIO or ENOSPC, under each modifying and reading call. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "tests/fault/fault_loop.h"

static void arm(struct sim_disk *disk, const struct fault *fault, uint64_t kth)
{
	sim_disk_fail(disk, kth, fault->errnum, fault->forever);
}

static bool disarm(struct sim_disk *disk, uint64_t kth)
{
	(void)kth;
	sim_disk_fail(disk, 0, 0, false);
	return sim_disk_faults(disk) > 0;
}

int main(int argc, char **argv)
{
	const struct fault faults[] = {
	    {"EIO once", false, EIO, arm, disarm},
	    {"EIO for ever", true, EIO, arm, disarm},
	    {"ENOSPC once", false, ENOSPC, arm, disarm},
	    {"ENOSPC for ever", true, ENOSPC, arm, disarm},
	};
	return fault_main("io faults", faults, sizeof(faults) / sizeof(faults[0]), argc, argv);
}
