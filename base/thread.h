/* Threads of the library. */
#ifndef PS_THREAD_H
#define PS_THREAD_H

#include <pthread.h>

#include "base/export.h"

/* Starts work(arg) in a thread in which all signals are blocked: they are for the application's own threads.
 * The caller joins *thread; thread NULL: nobody does, it is detached. 0, or the number that pthread_create()
 * fails with, for ps_fail_errno(). */
PS_CHECKED int ps_thread_start(pthread_t *thread, void *(*work)(void *), void *arg);

/* Of the calling thread, and of all that it starts from then on: where processors are short it gets a tenth
 * of what another thread gets, and all there is where they are not. For good, since the way back takes a
 * privilege: so only in threads of our own, and only in those that hold no lock which a caller may wait for,
 * but for a few instructions. */
void ps_thread_stand_back(void);

#endif
