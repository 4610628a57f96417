/* A task: one pad's way to the network or from it, as the caller has it. A struct of the caller's begins
 * with a ps_task; nothing is allocated for it.
 *
 * A task is prepared once, on a worker, right before it is sent for the first time (so sealing happens on as
 * many processors as there are workers), and sent as often as it takes with those same bytes. After each
 * answer its finish() decides what comes next. At the end ended() tells what became of it, exactly once. */
#ifndef PS_TASK_H
#define PS_TASK_H

#include "base/error.h"
#include "remote/network.h"

enum ps_task_answer {
	PS_TASK_DONE,
	PS_TASK_AGAIN,  /* the request that was just answered once more, after a backoff */
	PS_TASK_RESEND, /* the task's own request once more, byte for byte, after a backoff */
	PS_TASK_LOOK,   /* head() of the own request's name in `other`, at once */
	PS_TASK_OTHER,  /* `other` as finish() has filled it, at once */
	PS_TASK_FAILED, /* with task->error; while task->open, the outcome is unknown */
};

/* What became of a task. */
enum ps_fate {
	PS_FATE_NONE, /* it has not ended */
	PS_FATE_DONE,
	PS_FATE_UNSENT,  /* nothing of it happened, nor will */
	PS_FATE_UNKNOWN, /* a write of it may be carried out, or still be on its way: look before anything
	                    else */
	PS_FATE_FAILED,  /* it is known that it failed, and how */
};

/* What prepare() returns when the task has to wait for something else before its request can be sent. */
enum { PS_TASK_LATER = 1 };

struct ps_task;
struct ps_group;

/* Called on a worker, with no lock held; for different tasks at the same time. May use the disk, may add
 * tasks to the group, may cancel it; does not wait for it. */
struct ps_task_ops {
	/* Fills task->request (op, name, identity, buffer, …). An error ends the task: PS_FATE_FAILED with
	 * this thread's sentence. PS_TASK_LATER: the worker goes on with others, and calls it again once
	 * ps_task_ready was called, which somebody else has seen to, also where the group is cancelled. */
	int (*prepare)(struct ps_task *task);
	/* `request` is &task->request or &task->other, with its outcome. The buffer of a get that is not done
	 * may still be filled by a client that gave it up: a get again needs a new one. */
	enum ps_task_answer (*finish)(struct ps_task *task, struct ps_net_request *request);
	/* Releases the task's buffers. task->fate, error and sentence are set. The task is the caller's
	 * again, and may be freed here. Called also where prepare() never was, and then perhaps by the thread
	 * that waits for the group. */
	void (*ended)(struct ps_task *task);
};

struct ps_task {
	/* The caller's, before it is added; all else zero. */
	const struct ps_task_ops *ops;
	size_t bytes;        /* of memory that it needs at most from prepare() to ended() */
	uint32_t timeout_ms; /* of each of its requests; 0: the workers' */

	/* What it does; prepare() and finish() fill them. */
	struct ps_net_request request, other;
	/* Set by the workers when a write was done or is unknown; cleared by finish() once it is settled. */
	bool open;

	/* Told to ended(). finish() sets error and sentence before PS_TASK_FAILED; PS_OK: from the request.
	 */
	enum ps_fate fate;
	int error;
	char sentence[PS_NET_SENTENCE];

	/* The workers'. */
	struct ps_group *group;
	struct ps_task *next, *child;
	struct ps_net_request *sending;
	struct ps_net_token token; /* as prepare() left it */
	uint32_t rounds;           /* requests that were to be repeated */
	bool begun, prepared, has_token, recalled;
	bool put_off, ready; /* prepare() said "later"; ready: what it waits for came before it had said so */
	uint64_t due_ns, sent_ns, late_ns;
};

/* Of one that ended and is not done: what it failed with, or that nothing could be told. */
static inline int ps_task_error(const struct ps_task *task)
{
	return task->error != PS_OK ? task->error : PS_EUNAVAILABLE;
}

#endif
