/* The mixed load of a process that will be killed: four threads, all calls, all sizes, some commits relaxed.
 */
#ifndef LOAD_H
#define LOAD_H

#include "tests/kill/journal.h"

struct load {
	const char *path;
	struct journal *journal;
	uint64_t seed;
	bool relaxed;     /* single calls are; batches are of both kinds always */
	bool disk_may_go; /* a thread that meets an I/O error ends; otherwise any error is a failure */
};

/* Opens the store (which must be free or become free soon), works until told to stop, closes. The result is
 * the process's exit status; only a call that ends by journal.stop gives 0. */
int load_run(const struct load *load);

/* Opens for the parent: waits while writes of a dead process hold the lock. */
int load_open(const char *path, bool relaxed, bool thread, ps_storer **s);

#endif
