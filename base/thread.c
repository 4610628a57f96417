#include "base/thread.h"

#include <signal.h>
#include <stddef.h>
#include <sys/resource.h>
#include <unistd.h>

enum { STEPS_BACK = 10 }; /* of niceness; each is a quarter more for the others */

static int create(pthread_t *thread, void *(*work)(void *), void *arg)
{
	pthread_t nobodys;
	pthread_attr_t attributes;
	if (thread)
		return pthread_create(thread, NULL, work, arg);
	int err = pthread_attr_init(&attributes);
	if (err)
		return err;
	err = pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	if (!err)
		err = pthread_create(&nobodys, &attributes, work, arg);
	pthread_attr_destroy(&attributes);
	return err;
}

/* A thread begins with its maker's mask. */
int ps_thread_start(pthread_t *thread, void *(*work)(void *), void *arg)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int err = create(thread, work, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

/* A thread's niceness is its own in Linux. What cannot be had leaves it as it was: it only is less polite. */
void ps_thread_stand_back(void)
{
	id_t self = (id_t)gettid();
	(void)setpriority(PRIO_PROCESS, self, getpriority(PRIO_PROCESS, self) + STEPS_BACK);
}
