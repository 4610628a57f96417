/* Linked into tests that are said to have one thread (ps_test's ONE_THREAD), or some of which are
 * (SOME_THREADS), whose pthread_create it is: so that it stays true. */
#include "tests/support/one_thread.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

bool one_thread = true;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
	if (!one_thread)
		return __real_pthread_create(thread, attr, start, arg);
	(void)fputs(
	    "this test is said to have one thread (its CMakeLists.txt, one_thread_run), and makes another\n",
	    stderr);
	abort();
}
