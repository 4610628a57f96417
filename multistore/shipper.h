/* The thread that ships a store's log (log.h), and those who wait for it. It sleeps until something is
 * committed, then until that has to be shipped: no request, and no wake, while nothing is. */
#ifndef PS_SHIPPER_H
#define PS_SHIPPER_H

#include "multistore/log.h"

struct ps_shipper;

struct ps_shipper_setup {
	struct ps_log_setup log;
	uint64_t every_ns; /* how long a commit may stay unshipped; 0: not at all */
	uint64_t seed;     /* of the jitter between tries */
	/* The log cannot go on without a push, and there is something to ship. By the thread, under no lock.
	 * NULL: nobody minds. */
	void (*wants_push)(void *arg);
	void *arg;
};

/* Pushes of the store heed its log from now on. PS_ENOMEM. */
PS_CHECKED int ps_shipper_new(const struct ps_shipper_setup *setup, struct ps_shipper **shipper);
/* commit: the store's last one; what of it is not pushed is to be shipped. PS_ENOMEM. */
PS_CHECKED int ps_shipper_start(struct ps_shipper *shipper, uint64_t commit, uint64_t pushed);
/* Nothing is shipped when it returns, within a second, nor until ps_shipper_resume. */
void ps_shipper_pause(struct ps_shipper *shipper);
void ps_shipper_resume(struct ps_shipper *shipper);
/* Ends the thread, and sends away who waits. NULL is fine. */
void ps_shipper_free(struct ps_shipper *shipper);

/* Under the store's lock. */
void ps_shipper_committed(struct ps_shipper *shipper, uint64_t commit, uint64_t bytes);
/* A push has ended. */
void ps_shipper_pushed(struct ps_shipper *shipper);
/* One has failed, with this thread's last sentence: those who wait for a log that waits for it hear why. */
void ps_shipper_push_failed(struct ps_shipper *shipper, int err);
/* What could not be healed by time may be: it is tried again. */
void ps_shipper_try_again(struct ps_shipper *shipper);

/* Until all that was committed before the call is shipped, or pushed. PS_ETIMEDOUT; PS_EUNAVAILABLE: and the
 * network was not to be reached; PS_EFENCED, PS_EFORK, …: it never will be. The commits stay. */
PS_CHECKED int ps_shipper_wait(struct ps_shipper *shipper, uint32_t timeout_ms);
/* Until this commit is, for the call that made it. All that wait go with one shipment, those that come
 * meanwhile with the next. PS_EUNAVAILABLE: not within timeout_ms; those that come after are told so at once,
 * until something was shipped again: a network that is known to be away holds nobody up. PS_EFENCED,
 * PS_EFORK, …: as above. */
PS_CHECKED int ps_shipper_await(struct ps_shipper *shipper, uint64_t commit, uint32_t timeout_ms);

struct ps_shipper_status {
	struct ps_log_figures log;
	uint64_t commits, bytes; /* that are not shipped; bytes: of contents */
	uint64_t lag_ns;         /* since the first of them */
	uint32_t failures;       /* in a row */
	uint32_t waiters;
	int error; /* of the last one; PS_OK */
	char message[512];
};
void ps_shipper_status(struct ps_shipper *shipper, struct ps_shipper_status *status);

#endif
