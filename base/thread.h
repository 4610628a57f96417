/* Threads of the library. */
#ifndef PS_THREAD_H
#define PS_THREAD_H

#include <pthread.h>

#include "base/export.h"

/* Starts work(arg) in a thread in which all signals are blocked: they are for the application's own threads.
 * The caller joins *thread; thread NULL: nobody does, it is detached. 0, or the number that pthread_create()
 * fails with, for ps_fail_errno(). */
PS_CHECKED int ps_thread_start(pthread_t *thread, void *(*work)(void *), void *arg);

#endif
