/* What the files of the workers share. One lock guards it all; it is held for a few instructions, and never
 * while a task's functions, the network or the clock's waiters run. */
#ifndef PS_WORKERS_INTERNAL_H
#define PS_WORKERS_INTERNAL_H

#include <pthread.h>

#include "remote/backoff.h"
#include "remote/clock.h"
#include "remote/limits.h"
#include "remote/workers.h"

struct task_list {
	struct ps_task *first, *last;
	uint32_t count;
};

enum worker_state { WORKER_BUSY, WORKER_ASLEEP, WORKER_IN_CLIENT };

struct worker {
	ps_workers *pool;
	pthread_t thread;
	bool started;
	/* Guarded by the pool's lock. */
	pthread_cond_t wake;
	enum worker_state state;
	bool woken;        /* since it went to sleep, or last looked for work */
	ps_client *client; /* changed by its own thread only, while it is busy */
	uint32_t depth, in_flight;
	struct task_list queue; /* dealt to it, not yet begun: anyone may take from it */
	struct ps_task *ready;  /* prepared, and waiting for a token */
	uint32_t strikes;       /* times in a row that requests ran out of time */
	uint64_t rests_ns;      /* after them: takes nothing before */
	/* Its own thread's. */
	struct task_list flying;
	uint64_t reopen_ns; /* without a client: when to try again */
	uint32_t reopens;
};

struct ps_workers {
	ps_network *network;
	struct ps_memory *memory;
	struct ps_clock *clock;
	struct ps_limits *limits;
	struct ps_tokens *tokens;
	uint32_t threads, depth, timeout_ms, retries, deadline_ms;
	size_t max_inflight;
	bool background;
	pthread_mutex_t lock;                      /* guards all below */
	struct task_list common[PS_TOKEN_CLASSES]; /* what belongs to no worker; all of the background */
	unsigned foreground_run;                   /* begun one after another while the background waited */
	struct ps_task *next_new; /* begun next, and nothing new before it, once there is room for it */
	struct ps_recycling recycling;
	struct ps_backoff backoff;
	uint32_t turn, groups;
	bool stop;
	struct ps_workers_figures figures;
	uint32_t count;
	struct worker workers[];
};

struct ps_group {
	ps_workers *pool;
	struct ps_group_options options;
	enum ps_token_class class;
	uint64_t deadline_ns;
	_Atomic(int) reason; /* why it was cancelled; PS_OK: it was not */
	/* Guarded by the pool's lock. */
	pthread_cond_t changed;
	struct task_list dropped; /* by a cancellation, and not yet told */
	struct ps_group_progress progress;
	uint64_t left;
	bool news, waited_for;
	int error; /* of the first task that failed */
	char sentence[PS_NET_SENTENCE];
};

static inline void list_append(struct task_list *list, struct ps_task *task)
{
	task->next = NULL;
	if (list->last)
		list->last->next = task;
	else
		list->first = task;
	list->last = task;
	list->count++;
}

static inline struct ps_task *list_take(struct task_list *list)
{
	struct ps_task *task = list->first;
	if (!task)
		return NULL;
	list->first = task->next;
	if (!list->first)
		list->last = NULL;
	task->next = NULL;
	list->count--;
	return task;
}

/* How many requests a worker may have in flight: one, while it has to show that its client is well. */
static inline uint32_t worker_depth(const struct worker *worker)
{
	return worker->strikes ? 1 : worker->depth;
}

/* ---- workers.c; the lock is held ---- */

/* Makes a worker that waits look for work. */
void ps_worker_wake(struct worker *worker);
/* One that could begin a task now, if there is any. */
void ps_workers_wake_one(ps_workers *pool);
/* Deals out a task that has not begun. */
void ps_workers_put(ps_workers *pool, struct ps_task *task);
/* The next task for this worker, taken out of its queue and with its bytes counted; NULL if there is none
 * that may begin before *until, which is then brought forward to the moment when it is worth looking again.
 */
struct ps_task *ps_workers_take(struct worker *worker, uint64_t now_ns, uint64_t *until_ns);
bool ps_workers_has_work(const ps_workers *pool);
void ps_workers_recycle(ps_workers *pool, struct ps_task *task, uint64_t delay_ns);

/* ---- worker.c ---- */

void *ps_worker_main(void *worker);

/* ---- group.c; the lock is held, and dropped and taken again in between ---- */

/* Tells the task what became of it. The group may be gone afterwards. */
void ps_group_end_task(struct ps_task *task, enum ps_fate fate);
/* What a task that does not go on has become: unknown while it is open. */
enum ps_fate ps_task_fate(const struct ps_task *task, enum ps_fate otherwise);
/* What was put off goes on, or is dropped where its group was cancelled meanwhile. */
void ps_group_resume(struct ps_task *task);
/* There is something to show. */
void ps_group_note(struct ps_group *group);

#endif
