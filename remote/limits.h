/* How fast a network is used: token buckets for bytes up, bytes down and requests, a second, shared by all
 * workers of a network. Nothing here waits: whoever is not admitted is told when to ask again.
 *
 * A bucket may be charged more than it has: the debt delays what follows, so that any size fits and the rate
 * holds in the long run. What a bucket saves while nobody asks is a tenth of a second's worth.
 *
 * When the network asks for fewer requests all rates are halved, once for all that was sent before that, and
 * grow back by a twentieth of the full rate a second. Where there is no limit of requests, the full rate is
 * what was measured, and once it is reached there is no limit again.
 *
 * Whoever of the foreground was turned away is expected to ask again, and until then the background is turned
 * away as well, but for every eighth request while it waits, as with tokens (base/tokens.h). Who does not
 * come is waited for no longer than buckets save. */
#ifndef PS_LIMITS_H
#define PS_LIMITS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/tokens.h"

/* A second; 0: no limit. */
struct ps_limits_options {
	uint64_t bytes_up, bytes_down, requests;
};

struct ps_limits_figures {
	double share;                            /* of the full rates that is used now, 1/64 to 1 */
	double bytes_up, bytes_down, requests;   /* rates now; 0: no limit */
	uint64_t sent, received, admitted;       /* bytes, bytes, requests so far */
	uint64_t throttled, halved, turned_away; /* answers; of these halved the rates; asked too early */
};

enum ps_limit { PS_LIMIT_UP, PS_LIMIT_DOWN, PS_LIMIT_REQUESTS, PS_LIMITS };

struct ps_limits {
	pthread_mutex_t lock; /* guards all below; a leaf */
	struct ps_bucket {
		double full; /* a second; 0: no limit */
		double has;  /* below zero: a debt */
	} buckets[PS_LIMITS];
	uint64_t at_ns;     /* to which the buckets are filled */
	uint64_t halved_ns; /* when last */
	bool measured;      /* the full rate of requests is a measured one */
	uint64_t window_ns, window_count;
	double window_rate;                 /* of the window before */
	uint64_t asks_ns[PS_TOKEN_CLASSES]; /* when one that was turned away asks again; 0: none was */
	unsigned foreground_run;            /* admitted one after another while the background waited */
	struct ps_limits_figures figures;
};

/* options NULL: no limits, but throttling is obeyed. */
void ps_limits_init(struct ps_limits *limits, const struct ps_limits_options *options, uint64_t now_ns);
void ps_limits_done(struct ps_limits *limits);
/* 0: one request is admitted; else the moment when it is worth asking again. Any thread, as all below. */
uint64_t ps_limits_admit(struct ps_limits *limits, enum ps_token_class class, uint64_t now_ns);
/* What was admitted is not sent after all. */
void ps_limits_withdraw(struct ps_limits *limits);
/* Bytes of an admitted request; what comes back is charged by the room made for it. */
void ps_limits_charge(struct ps_limits *limits, uint64_t up, uint64_t down);
/* Of those charged, bytes that were not sent or did not come. */
void ps_limits_refund(struct ps_limits *limits, uint64_t up, uint64_t down);
/* A request sent at sent_ns was answered: fewer, please. */
void ps_limits_throttled(struct ps_limits *limits, uint64_t now_ns, uint64_t sent_ns);
void ps_limits_figures(struct ps_limits *limits, uint64_t now_ns, struct ps_limits_figures *figures);

#endif
