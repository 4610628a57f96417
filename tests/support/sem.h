/* Semaphores, by which threads of a test meet. */
#ifndef TESTS_SEM_H
#define TESTS_SEM_H

#include <semaphore.h>

/* sem_wait, again where a signal interrupts it. */
static inline void sem_await(sem_t *semaphore)
{
	while (sem_wait(semaphore) != 0)
		;
}

#endif
