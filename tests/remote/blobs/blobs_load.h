/* Threads that put, read and remove values on one store while a test breaks the network under it, and what
 * must be true afterwards. Each thread has keys of its own and remembers what was acknowledged. A call that
 * fails since the network is not there, or full, is repeated until it succeeds; anything else that fails, or
 * a value that is neither what was acknowledged nor not to be had, fails the test. One of the threads also
 * syncs. */
#ifndef BLOBS_LOAD_H
#define BLOBS_LOAD_H

#include "tests/remote/blobs/blobs_fixture.h"

struct blobs_load;

struct blobs_load_counts {
	uint64_t done;       /* calls that succeeded */
	uint64_t failed;     /* that did not, since the network was not there in time */
	uint64_t full;       /* that did not, since it was full */
	uint64_t left;       /* pads that were not confirmed when a put had failed: open, or not sent */
	uint64_t syncs;      /* of the done ones */
	uint64_t longest_ms; /* one call */
};

/* Starts on an open store that nobody else uses. `name` is for what is printed; the same seed means the same
 * calls, one thread's by itself. */
struct blobs_load *blobs_load_start(struct blobs *b, const char *name, uint64_t seed);
/* Until so many more calls have succeeded; until so many more have failed, for whatever reason. Fail the test
 * after two minutes. */
void blobs_load_wait_done(struct blobs_load *load, uint64_t more);
void blobs_load_wait_failed(struct blobs_load *load, uint64_t more);
struct blobs_load_counts blobs_load_counts(struct blobs_load *load);

/* Lets each thread end with nothing half done. */
void blobs_load_stop(struct blobs_load *load);
/* The network is whole again: of a load that was stopped, every value is what was acknowledged last, and has
 * as many pads as it needs; every open outcome is settled by a purge; index and network agree
 * (blobs_check_exactly); and after a sync a machine that has only the key reads the same. Prints and returns
 * the counts. The store is still open, or again, with time-outs of a minute. */
struct blobs_load_counts blobs_load_end(struct blobs_load *load, const char *what);

#endif
