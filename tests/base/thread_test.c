/* Threads of the library. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>

#include "base/thread.h"

/* ---- threads that cannot be made ---- */

static int fails_with;

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*work)(void *),
                          void *arg);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*work)(void *),
                          void *arg);

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*work)(void *),
                          void *arg)
{
	return fails_with ? fails_with : __real_pthread_create(thread, attributes, work, arg);
}

/* ---- masks ---- */

static const int application_signals[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGUSR1,
                                          SIGUSR2, SIGALRM, SIGTERM, SIGCHLD};
enum { SIGNALS = sizeof(application_signals) / sizeof(application_signals[0]) };

/* How many of them are blocked in the calling thread. */
static int blocked(void)
{
	sigset_t mask;
	int count = 0;
	assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
	for (int i = 0; i < SIGNALS; i++)
		count += sigismember(&mask, application_signals[i]) == 1;
	return count;
}

/* The maker blocks one of them. */
static int set_up(void **state)
{
	sigset_t mask;
	(void)state;
	fails_with = 0;
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	return pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

static void *count_blocked(void *arg)
{
	*(int *)arg = blocked();
	return arg;
}

static void a_thread_handles_no_signal_and_its_maker_does(void **state)
{
	pthread_t thread;
	void *end;
	int count = -1;
	(void)state;
	assert_int_equal(ps_thread_start(&thread, count_blocked, &count), 0);
	assert_int_equal(blocked(), 1);
	assert_int_equal(pthread_join(thread, &end), 0);
	assert_ptr_equal(end, &count);
	assert_int_equal(count, SIGNALS);
}

struct detached {
	int count;
	bool joinable;
	sem_t ended;
};

static void *look(void *arg)
{
	struct detached *d = arg;
	pthread_attr_t attributes;
	int how = PTHREAD_CREATE_JOINABLE;
	d->count = blocked();
	if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
		(void)pthread_attr_getdetachstate(&attributes, &how);
		(void)pthread_attr_destroy(&attributes);
	}
	d->joinable = how == PTHREAD_CREATE_JOINABLE;
	sem_post(&d->ended);
	return NULL;
}

static void a_thread_without_a_name_is_detached(void **state)
{
	static struct detached d; /* the thread may be in sem_post() still when this returns */
	(void)state;
	assert_int_equal(sem_init(&d.ended, 0, 0), 0);
	assert_int_equal(ps_thread_start(NULL, look, &d), 0);
	while (sem_wait(&d.ended) != 0)
		assert_int_equal(errno, EINTR);
	assert_int_equal(d.count, SIGNALS);
	assert_false(d.joinable);
}

static void what_cannot_be_started_is_told_and_the_mask_is_as_before(void **state)
{
	pthread_t thread;
	int count = 0;
	(void)state;
	fails_with = EAGAIN;
	assert_int_equal(ps_thread_start(&thread, count_blocked, &count), EAGAIN);
	assert_int_equal(ps_thread_start(NULL, count_blocked, &count), EAGAIN);
	assert_int_equal(blocked(), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup(a_thread_handles_no_signal_and_its_maker_does, set_up),
	    cmocka_unit_test_setup(a_thread_without_a_name_is_detached, set_up),
	    cmocka_unit_test_setup(what_cannot_be_started_is_told_and_the_mask_is_as_before, set_up),
	};
	return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
