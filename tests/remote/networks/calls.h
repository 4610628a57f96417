/* The system calls of the dir network, by way of the linker's --wrap: they fail, kill the process, or hang.
 */
#ifndef TESTS_NETWORKS_CALLS_H
#define TESTS_NETWORKS_CALLS_H

#include <stdbool.h>
#include <stdint.h>

enum calls_act {
	CALLS_PASS,
	CALLS_FAIL,        /* with errnum, nothing done */
	CALLS_FAIL_AFTER,  /* done, and told as failed: fsync and the like */
	CALLS_KILL_BEFORE, /* SIGKILL */
	CALLS_KILL_AFTER,
	CALLS_SHORT, /* half of a write or read; other calls pass */
};

/* Does this to the nth call from now on (1: the next), or to all from there on if `forever`. */
void calls_arm(enum calls_act act, uint64_t nth, int errnum, bool forever);
/* Back to CALLS_PASS; how many calls there were since. */
uint64_t calls_disarm(void);
/* Reads hang in their first call, writes in the one that changes the folder; until released. */
void calls_hang(bool reads, bool writes);
/* Until so many threads hang; false: they did not in a time that everything has. */
bool calls_await_hanging(unsigned threads);
/* How many hung at the same moment, at most, since calls_hang(). */
unsigned calls_most_hanging(void);
/* Whoever would wait for a lock that another holds calls this first, in its own thread; then it waits. NULL:
 * no longer. Not while a request is under way. */
void calls_before_waiting(void (*before)(void *arg), void *arg);
/* The name of the call that was acted on last. */
const char *calls_last(void);

#endif
