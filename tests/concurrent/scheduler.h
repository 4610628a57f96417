/* A deterministic scheduler: the sources of concurrent/ compiled with PS_SCHEDULE call it before each step
 * that another thread can see, and it tries every order of steps with at most so many preemptions.
 *
 * Threads are coroutines of one real thread. A thread that blocks, or ends, lets any other run, which is no
 * preemption. Memory is sequentially consistent here: what a processor may reorder is argued in
 * concurrent/locks.c, and tried by exclusion_test. A wait with a deadline may end by it at any step, at the
 * price of a preemption; where nothing else can go on somebody was not woken, or schedule_let_cross says that
 * it may be so. */
#ifndef CONCURRENT_SCHEDULER_H
#define CONCURRENT_SCHEDULER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCHEDULE_THREADS = 3 };

struct scenario {
	const char *name;
	void (*begin)(void);
	void (*thread[SCHEDULE_THREADS])(void); /* NULL: none */
	/* After all threads have ended: false if something is wrong. */
	bool (*end)(void);
	bool broken; /* it has to be caught */
};

/* Every order with at most so many preemptions. True if none was wrong, or for a broken scenario if one was.
 */
bool schedule_explore(const struct scenario *scenario, unsigned preemptions);
/* A test's main: explores all of them, or those with the second argument in their names, with as many preemptions as the first one says
 * (2). False if one went wrong. */
bool schedule_explore_all(const struct scenario *scenarios, size_t count, int argc, char **argv);
/* From a thread of a scenario: this order is wrong. */
void schedule_fail(const char *what);
/* From a scenario's begin: called where a thread makes all others complete what they have stored. */
void schedule_on_interrupt(void (*fn)(void));
/* From a scenario's begin: its threads may all wait for one another, until a deadline. */
void schedule_let_cross(void);
/* Which thread of the scenario is running. */
unsigned schedule_thread(void);
/* Between a scenario's begin and its end. */
bool schedule_is_exploring(void);
/* From a thread that waits by turning round: another one goes first, if there is one, which is no preemption.
 */
void schedule_yield(void);
/* One of so many things may happen: which. */
unsigned schedule_choose(unsigned options);

#endif
