/* A client for networks whose calls block: a few threads of its own carry requests out, one each.
 *
 * A request is copied into a job, and its buffer is held: what cannot be recalled goes on with these after
 * the request was told unknown, and after its client and its network were closed. Threads are made when there
 * is work for another one, at most as many as the network's depth, with all signals blocked. */
#ifndef PS_BLOCKING_CLIENT_H
#define PS_BLOCKING_CLIENT_H

#include "remote/network.h"

struct ps_blocking_job {
	/* As submitted, but that list is the job's own. What `run` fills in is copied to the caller's, unless
	 * that was given up. */
	struct ps_net_request request;
	size_t received; /* get, get_range: what buffer->len becomes; `run` leaves that alone */
	struct ps_net_list list;
	struct ps_blocking_core *core;
	struct ps_net_request *caller; /* NULL: given up; the core's lock */
	struct ps_blocking_job *next;  /* in one of the core's queues */
	uint64_t deadline_ms;
	int phase;
};

/* Carries job->request out and ends with ps_request_finish. On one of the client's threads, or none: several
 * at once. */
typedef void ps_blocking_run(ps_network *network, struct ps_blocking_job *job);

/* Asked by `run` before the first step that others can see, where it still can leave without a trace. False:
 * nobody waits any more, it leaves. After true the request is unknown when it is given up; reads need not
 * ask. */
bool ps_blocking_commit(struct ps_blocking_job *job) __attribute__((warn_unused_result));
/* Whether anybody still waits: asked between the steps of something long. */
bool ps_blocking_wanted(struct ps_blocking_job *job);

/* For ps_network_ops.client. PS_ENOMEM. */
int ps_blocking_client_open(ps_network *network, ps_blocking_run *run, ps_client **client)
    __attribute__((warn_unused_result));

#endif
