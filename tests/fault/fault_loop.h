/* Fails the kth of something, for every k that a script reaches: nothing crashes, every step answers with an
 * error that the fault explains, and the store that is opened afterwards holds all that was acknowledged. */
#ifndef FAULT_LOOP_H
#define FAULT_LOOP_H

#include "tests/crash/script.h"

struct fault {
	const char *name;
	bool forever;
	int errnum; /* where the source knows different ones */
	void (*arm)(struct sim_disk *disk, const struct fault *fault, uint64_t kth);
	/* Ends it; true if a fault was made since arm. */
	bool (*disarm)(struct sim_disk *disk, uint64_t kth);
};

/* A cmocka program: each script (argv[1]: that one only) with each fault, for every k; argv[2]: over that
 * stack of script_over; argv[3]: one k in so many, unless PS_FAULTS is set. */
int fault_main(const char *group, const struct fault *faults, size_t count, int argc, char **argv);

#endif
