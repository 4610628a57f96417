/* Mutexes, conditions, turns and the clock of the library on the scheduler: linked with --wrap for each of them. */
#ifndef CONCURRENT_SCHEDULED_MUTEXES_H
#define CONCURRENT_SCHEDULED_MUTEXES_H

/* From a scenario's begin: nothing is locked, nobody waits, and the time is the same in each order. */
void scheduled_mutexes_reset(void);
/* Called by each thread that is about to wait for a turn: no step of another one lies between that and its
 * last look. NULL: nothing. Reset forgets it. */
void scheduled_on_turn_wait(void (*fn)(void));

#endif
