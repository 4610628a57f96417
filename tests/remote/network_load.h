/* Writers at work on a network while a test breaks parts of it, and what must be true afterwards. Some
 * writers have records of their own and replace them one version after the other; some count in one record
 * that all of them replace. Each follows the rules for unknown outcomes: look; what is expected is there:
 * send the identical bytes again. Each remembers what was acknowledged. */
#ifndef NETWORK_LOAD_H
#define NETWORK_LOAD_H

#include "remote/network.h"

struct network_load;

struct load_counts {
	uint64_t done;          /* versions written, acknowledged or settled */
	uint64_t unknown;       /* outcomes that were unknown, and were settled since */
	uint64_t found_applied; /* of these: a look showed it */
	uint64_t sent_again;    /* of these: it was not there yet, and the same bytes were sent once more */
	uint64_t failed_reads, failed_writes; /* surely not carried out, and tried again */
	uint64_t longest_ms;                  /* one request */
};

/* Creates the records, and starts. Each request has timeout_ms (0: the network's default). */
struct network_load *network_load_start(ps_network *network, uint32_t timeout_ms);
struct load_counts network_load_counts(struct network_load *load);
/* Until so many more versions are done; until so many outcomes in all were unknown, settled or not. Fail the
 * test after two minutes. */
void network_load_wait_done(struct network_load *load, uint64_t more);
void network_load_wait_unknown(struct network_load *load, uint64_t count);
/* Lets each writer end, settled. Then looks at every record: exactly the last acknowledged version, whole;
 * each writer's count in the common record is what it counted: nothing lost, nothing written twice. Prints
 * and returns the counts; fails the test if a writer saw what it must not see. */
struct load_counts network_load_end(struct network_load *load, const char *what);

#endif
