/* Workers: threads that carry out tasks (remote/task.h), each with a client of its own and several requests
 * in flight; and groups of tasks, which an operation adds to, waits for, and cancels.
 *
 * Tasks are dealt out in turn; who has nothing left takes from the common queue, and from the others. A
 * request that failed comes again after a backoff, on whichever worker is free. Nothing is sent, and no
 * thread wakes, while there is no task. */
#ifndef PS_WORKERS_H
#define PS_WORKERS_H

#include <stdbool.h>

#include "base/tokens.h"
#include "remote/task.h"

struct ps_clock;
struct ps_limits;

enum { PS_WORKERS_MAX = 64 };

/* Zero means the default everywhere. */
struct ps_workers_options {
	size_t size;          /* sizeof(struct ps_workers_options) */
	uint32_t threads;     /* processors, 8 at most */
	uint32_t depth;       /* requests in flight of one worker, 10; never more than the client takes */
	size_t max_inflight;  /* bytes of all tasks from prepare() to ended(), 128 MiB; a larger task runs
	                         alone */
	uint32_t timeout_ms;  /* of a request, 60,000 */
	uint32_t retries;     /* of a task's requests, 20 */
	uint32_t deadline_ms; /* of a group, none */
	uint32_t backoff_ms, backoff_most_ms; /* 50 and 5,000, doubling; jittered by a half */
	uint64_t seed;                        /* of the jitter; from the kernel */
	bool background;          /* its threads, and their clients', leave processors to others (base/thread.h) */
	struct ps_limits *limits;             /* shared by all workers of a network; none */
	struct ps_tokens *tokens;             /* one token a request in flight; none */
	struct ps_clock *clock;               /* the system's */
	struct ps_memory *memory;             /* the network's */
};

struct ps_workers_figures {
	uint64_t requests;        /* submitted */
	uint64_t by_op[PS_NET_LIST + 1]; /* of them; by enum ps_net_op */
	uint64_t recycled;        /* put into the queue of what comes again later */
	uint64_t stolen;          /* tasks taken out of another worker's queue */
	uint64_t sleeps;          /* times that a worker went to wait without a request in flight */
	uint64_t replaced;        /* clients given up with a request that did not come back */
	uint32_t in_flight;       /* requests, now */
	uint32_t asleep;          /* workers that wait without a request in flight, now; not those that are woken */
	size_t bytes, most_bytes; /* of tasks, now and at most */
};

typedef struct ps_workers ps_workers;

/* The network, limits, tokens, clock and memory outlive the workers. PS_EINVAL, PS_ENOMEM, or what
 * ps_client_open says. */
int ps_workers_new(ps_network *network, const struct ps_workers_options *options, ps_workers **workers)
    __attribute__((warn_unused_result));
/* Ends the threads. PS_EBUSY while there is a group. NULL is fine. */
int ps_workers_free(ps_workers *workers) __attribute__((warn_unused_result));
/* Any thread. */
void ps_workers_figures(ps_workers *workers, struct ps_workers_figures *figures);

/* ---- groups ---- */

#define PS_PROGRESS_TABLE(X)                                                                                 \
	X(PS_PROGRESS_PLANNED, "planned")                                                                    \
	X(PS_PROGRESS_RESERVED, "reserved")                                                                  \
	X(PS_PROGRESS_WRITTEN, "written")                                                                    \
	X(PS_PROGRESS_CONFIRMED, "confirmed")                                                                \
	X(PS_PROGRESS_FETCHED, "fetched")                                                                    \
	X(PS_PROGRESS_RECYCLED, "recycled")                                                                  \
	X(PS_PROGRESS_RETRIED, "retried")                                                                    \
	X(PS_PROGRESS_SENT_BYTES, "bytes sent")                                                              \
	X(PS_PROGRESS_RECEIVED_BYTES, "bytes received")

enum ps_group_event {
#define PS_PROGRESS_ENUM(name, text) name,
	PS_PROGRESS_TABLE(PS_PROGRESS_ENUM)
#undef PS_PROGRESS_ENUM
	    PS_PROGRESSES
};

struct ps_group_progress {
	uint64_t counts[PS_PROGRESSES];
	uint64_t tasks, done, failed, unsent, unknown; /* added, and ended so far, by fate */
};

/* Zero means the default everywhere. */
struct ps_group_options {
	size_t size;          /* sizeof(struct ps_group_options) */
	uint32_t deadline_ms; /* from ps_group_new; the workers' */
	uint32_t progress_ms; /* between two calls of progress(), 50 */
	bool stop_on_failure; /* the first task that fails cancels the others */
	/* Called by the thread in ps_group_wait, with no lock held, every progress_ms, whether a count has changed
	 * or not, and once at the end. Other than 0 cancels the group. */
	int (*progress)(void *arg, const struct ps_group_progress *progress);
	void *arg;
};

typedef struct ps_group ps_group;

/* Its tasks are begun, and its requests take tokens, in the class of the calling thread: the background's
 * after those of callers, but every eighth at least. PS_ENOMEM, PS_EINVAL. */
int ps_group_new(ps_workers *workers, const struct ps_group_options *options, ps_group **group)
    __attribute__((warn_unused_result));
/* The task runs as soon as it can. Any thread, also from a task's own functions. The task is the group's
 * until ended(). After a cancellation PS_ECANCELED (or PS_ETIMEDOUT, …), and the task stays the caller's. */
int ps_group_add(ps_group *group, struct ps_task *task) __attribute__((warn_unused_result));
/* What a task's prepare() has put off can go on: it is called again. Once for each PS_TASK_LATER, from the
 * moment on when prepare() has seen to it that this will be called. Any thread; the task may have ended when
 * it returns. */
void ps_task_ready(struct ps_task *task);
/* Adds to a count of its progress. Any thread. */
void ps_group_count(ps_group *group, enum ps_group_event count, uint64_t n);
/* Until every task has ended; within a second after a cancellation. One thread at a time. PS_OK if all tasks
 * are done; else the first task's failure with its sentence, or why the group was cancelled. More tasks may
 * be added afterwards, unless it was cancelled. */
int ps_group_wait(ps_group *group) __attribute__((warn_unused_result));
/* Does not block, any thread. Requests in flight are recalled; each task ends as done, unsent or unknown. */
void ps_group_cancel(ps_group *group);
void ps_group_progress(ps_group *group, struct ps_group_progress *progress);
/* Cancels and waits first, if tasks are left. NULL is fine. */
void ps_group_free(ps_group *group);

#endif
