/* Linked into tests that are said to have one thread (ps_test's ONE_THREAD), whose pthread_create it is: so
 * that it stays true. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
	(void)thread;
	(void)attr;
	(void)start;
	(void)arg;
	(void)fputs("this test is marked ONE_THREAD in its CMakeLists.txt, and makes a thread\n", stderr);
	abort();
}
