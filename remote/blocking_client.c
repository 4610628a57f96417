/* All shared state is in the core, under its lock. The client holds one reference of it, each thread that was
 * left behind one more; the last frees it, and gives back the network.
 *
 * A job's life: queued ─▶ running ─▶ committed ─▶ finished ─▶ returned. Giving it up detaches the caller's
 * request at once, with what is certain then: queued and running are unavailable (ps_blocking_commit will
 * refuse), committed is unknown. */
#include "remote/blocking_client.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "base/fail.h"
#include "base/thread.h"

enum { MS_PER_S = 1000, NS_PER_MS = 1000000, CLOSE_MS = 500 };
enum phase { QUEUED, RUNNING, COMMITTED };

struct worker {
	struct ps_blocking_core *core;
	pthread_t thread;
	bool ended; /* it takes no job any more, and can be joined */
	bool left;  /* behind by a close: it has a reference of its own */
};

struct queue {
	struct ps_blocking_job *first, **end;
};

struct ps_blocking_core {
	ps_network *network;
	ps_blocking_run *run;
	pthread_mutex_t lock;
	pthread_cond_t work, answer; /* for the threads; for the client */
	unsigned references;
	bool woken, closing;
	unsigned depth, workers, ended, idle, waiting; /* waiting: jobs queued */
	struct queue queued;
	struct queue running;            /* and committed, and given up while they ran */
	struct ps_net_request *finished; /* oldest first */
	struct ps_net_request **finished_end;
	struct worker worker[];
};

struct blocking_client {
	ps_client base;
	struct ps_blocking_core *core;
};

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * MS_PER_S + (uint64_t)now.tv_nsec / NS_PER_MS;
}

static struct timespec time_at(uint64_t ms)
{
	return (struct timespec){(time_t)(ms / MS_PER_S), (long)(ms % MS_PER_S * NS_PER_MS)};
}

/* ---- queues ---- */

static void queue_init(struct queue *q)
{
	q->first = NULL;
	q->end = &q->first;
}

static void queue_append(struct queue *q, struct ps_blocking_job *job)
{
	job->next = NULL;
	*q->end = job;
	q->end = &job->next;
}

static void queue_remove(struct queue *q, struct ps_blocking_job *job)
{
	struct ps_blocking_job **at = &q->first;
	while (*at != job)
		at = &(*at)->next;
	*at = job->next;
	if (q->end == &job->next)
		q->end = at;
	job->next = NULL;
}

/* ---- jobs ---- */

static size_t job_bytes(const struct ps_net_request *r)
{
	size_t names = r->op == PS_NET_LIST ? r->list->capacity : 0;
	return sizeof(struct ps_blocking_job) + names * sizeof(struct ps_net_listed);
}

static struct ps_blocking_job *job_new(struct ps_blocking_core *core, struct ps_net_request *r)
{
	struct ps_blocking_job *job = ps_memory_alloc(&core->network->memory, job_bytes(r));
	if (!job)
		return NULL;
	*job = (struct ps_blocking_job){.request = *r,
	                                .core = core,
	                                .caller = r,
	                                .deadline_ms = now_ms() + r->timeout_ms,
	                                .phase = QUEUED};
	job->request.buffer = ps_net_buffer_hold(r->buffer);
	if (r->op == PS_NET_LIST) {
		job->list = *r->list;
		job->list.listed = (struct ps_net_listed *)(void *)(job + 1);
		job->request.list = &job->list;
	}
	return job;
}

static void job_free(struct ps_blocking_job *job)
{
	struct ps_memory *memory = &job->core->network->memory;
	size_t bytes = job_bytes(&job->request);
	ps_net_buffer_release(job->request.buffer);
	ps_memory_free(memory, job, bytes);
}

/* What was filled in goes to the caller; what the caller has to say stays his. */
static void copy_answer(struct ps_net_request *to, const struct ps_blocking_job *job)
{
	const struct ps_net_request *from = &job->request;
	to->identity = from->identity;
	to->token = from->token;
	to->size = from->size;
	to->outcome = from->outcome;
	to->throttled = from->throttled;
	to->error = from->error;
	memcpy(to->sentence, from->sentence, sizeof(to->sentence));
	if (to->op == PS_NET_GET || to->op == PS_NET_GET_RANGE)
		to->buffer->len = job->received;
	if (to->op != PS_NET_LIST)
		return;
	struct ps_net_list *list = to->list;
	list->count = job->list.count;
	list->more = job->list.more;
	memcpy(list->cursor, job->list.cursor, sizeof(list->cursor));
	memcpy(list->listed, job->list.listed, list->count * sizeof(*list->listed));
}

static void finish_locked(struct ps_blocking_core *core, struct ps_net_request *r)
{
	r->next = NULL;
	r->state = NULL;
	*core->finished_end = r;
	core->finished_end = &r->next;
	pthread_cond_signal(&core->answer);
}

static void give_up_locked(struct ps_blocking_core *core, struct ps_blocking_job *job, const char *why)
{
	struct ps_net_request *r = job->caller;
	bool unknown = job->phase == COMMITTED && ps_net_op_writes(r->op);
	job->caller = NULL;
	ps_request_finish(core->network, r, unknown ? PS_NET_UNKNOWN : PS_NET_UNAVAILABLE, "%s", why);
	if (job->phase == QUEUED) {
		queue_remove(&core->queued, job);
		core->waiting--;
		job_free(job);
	}
	finish_locked(core, r);
}

bool ps_blocking_commit(struct ps_blocking_job *job)
{
	pthread_mutex_lock(&job->core->lock);
	bool wanted = job->caller != NULL;
	if (wanted)
		job->phase = COMMITTED;
	pthread_mutex_unlock(&job->core->lock);
	return wanted;
}

bool ps_blocking_wanted(struct ps_blocking_job *job)
{
	pthread_mutex_lock(&job->core->lock);
	bool wanted = job->caller != NULL;
	pthread_mutex_unlock(&job->core->lock);
	return wanted;
}

/* ---- threads ---- */

static void core_release(struct ps_blocking_core *core)
{
	pthread_mutex_lock(&core->lock);
	bool last = --core->references == 0;
	pthread_mutex_unlock(&core->lock);
	if (!last)
		return;
	ps_network *network = core->network;
	pthread_cond_destroy(&core->work);
	pthread_cond_destroy(&core->answer);
	pthread_mutex_destroy(&core->lock);
	ps_memory_free(&network->memory, core, sizeof(*core) + core->depth * sizeof(*core->worker));
	ps_network_release(network);
}

static void run_one_locked(struct ps_blocking_core *core)
{
	struct ps_blocking_job *job = core->queued.first;
	queue_remove(&core->queued, job);
	queue_append(&core->running, job);
	core->waiting--;
	job->phase = RUNNING;
	pthread_mutex_unlock(&core->lock);
	core->run(core->network, job);
	pthread_mutex_lock(&core->lock);
	queue_remove(&core->running, job);
	if (job->caller) {
		copy_answer(job->caller, job);
		finish_locked(core, job->caller);
	}
	job_free(job);
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct ps_blocking_core *core = worker->core;
	pthread_mutex_lock(&core->lock);
	while (!core->closing) {
		if (core->queued.first) {
			run_one_locked(core);
			continue;
		}
		core->idle++;
		pthread_cond_wait(&core->work, &core->lock);
		core->idle--;
	}
	worker->ended = true;
	core->ended++;
	bool left = worker->left;
	pthread_cond_signal(&core->answer);
	pthread_mutex_unlock(&core->lock);
	if (left)
		core_release(core);
	return NULL;
}

static int start_worker_locked(struct ps_blocking_core *core)
{
	struct worker *worker = &core->worker[core->workers];
	*worker = (struct worker){.core = core};
	int err = ps_thread_start(&worker->thread, work, worker);
	core->workers += err == 0;
	return err;
}

/* ---- the client ---- */

static struct ps_blocking_core *core_of(ps_client *client)
{
	return ((struct blocking_client *)client)->core;
}

static void refuse(struct ps_blocking_core *core, struct ps_net_request *r, const char *why)
{
	r->error = PS_ENOMEM;
	ps_request_finish(core->network, r, PS_NET_UNAVAILABLE, "%s", why);
	finish_locked(core, r);
}

static void client_submit(ps_client *client, struct ps_net_request *request)
{
	struct ps_blocking_core *core = core_of(client);
	struct ps_blocking_job *job = job_new(core, request);
	pthread_mutex_lock(&core->lock);
	if (!job) {
		refuse(core, request, "no memory for the request");
		pthread_mutex_unlock(&core->lock);
		return;
	}
	request->state = job;
	queue_append(&core->queued, job);
	core->waiting++;
	if (core->idle < core->waiting && core->workers < core->depth)
		(void)start_worker_locked(core);
	if (core->workers == 0) {
		queue_remove(&core->queued, job);
		core->waiting--;
		job_free(job);
		refuse(core, request, "no thread for the request");
	}
	pthread_cond_signal(&core->work);
	pthread_mutex_unlock(&core->lock);
}

static struct ps_blocking_job *earliest(const struct queue *q, struct ps_blocking_job *earliest_yet)
{
	for (struct ps_blocking_job *job = q->first; job; job = job->next) {
		if (job->caller && (!earliest_yet || job->deadline_ms < earliest_yet->deadline_ms))
			earliest_yet = job;
	}
	return earliest_yet;
}

/* Gives up what is past its time; the moment of the next one that will be. */
static uint64_t time_out_locked(struct ps_blocking_core *core, uint64_t now)
{
	for (;;) {
		struct ps_blocking_job *job = earliest(&core->running, earliest(&core->queued, NULL));
		if (!job || job->deadline_ms > now)
			return job ? job->deadline_ms : UINT64_MAX;
		give_up_locked(core, job, "timed out");
	}
}

static struct ps_net_request *take_finished_locked(struct ps_blocking_core *core)
{
	struct ps_net_request *r = core->finished;
	core->finished = r->next;
	if (!core->finished)
		core->finished_end = &core->finished;
	return r;
}

static struct ps_net_request *client_wait(ps_client *client, uint32_t timeout_ms)
{
	struct ps_blocking_core *core = core_of(client);
	struct ps_net_request *r = NULL;
	uint64_t now = now_ms(), until = now + timeout_ms;
	pthread_mutex_lock(&core->lock);
	for (;; now = now_ms()) {
		uint64_t next = time_out_locked(core, now);
		if (core->finished) {
			r = take_finished_locked(core);
			break;
		}
		if (core->woken || now >= until)
			break;
		struct timespec limit = time_at(next < until ? next : until);
		pthread_cond_timedwait(&core->answer, &core->lock, &limit);
	}
	/* A wake that came beside an answer ends the next wait. */
	if (!r)
		core->woken = false;
	pthread_mutex_unlock(&core->lock);
	return r;
}

static void client_cancel(ps_client *client, struct ps_net_request *request)
{
	struct ps_blocking_core *core = core_of(client);
	pthread_mutex_lock(&core->lock);
	if (request->state)
		give_up_locked(core, request->state, "cancelled");
	pthread_mutex_unlock(&core->lock);
}

static void client_wake(ps_client *client)
{
	struct ps_blocking_core *core = core_of(client);
	pthread_mutex_lock(&core->lock);
	core->woken = true;
	pthread_cond_signal(&core->answer);
	pthread_mutex_unlock(&core->lock);
}

static void abandon_all_locked(struct ps_blocking_core *core)
{
	for (struct ps_blocking_job *job = core->running.first; job; job = job->next)
		job->caller = NULL;
	while (core->queued.first) {
		struct ps_blocking_job *job = core->queued.first;
		queue_remove(&core->queued, job);
		job_free(job);
	}
	core->waiting = 0;
}

/* What runs mostly ends in milliseconds; a call that hangs keeps its thread, which is left behind with what
 * it uses. */
static void client_close(ps_client *client)
{
	struct ps_blocking_core *core = core_of(client);
	struct timespec limit = time_at(now_ms() + CLOSE_MS);
	int err = 0;
	pthread_mutex_lock(&core->lock);
	core->closing = true;
	abandon_all_locked(core);
	pthread_cond_broadcast(&core->work);
	while (core->ended < core->workers && err != ETIMEDOUT)
		err = pthread_cond_timedwait(&core->answer, &core->lock, &limit);
	for (unsigned i = 0; i < core->workers; i++) {
		struct worker *worker = &core->worker[i];
		if (worker->ended)
			continue;
		worker->left = true;
		core->references++;
		pthread_detach(worker->thread);
	}
	pthread_mutex_unlock(&core->lock);
	for (unsigned i = 0; i < core->workers; i++) {
		if (!core->worker[i].left)
			pthread_join(core->worker[i].thread, NULL);
	}
	ps_memory_free(&core->network->memory, client, sizeof(struct blocking_client));
	core_release(core);
}

static const struct ps_client_ops client_ops = {
    .close = client_close,
    .submit = client_submit,
    .wait = client_wait,
    .cancel = client_cancel,
    .wake = client_wake,
};

static void core_init(struct ps_blocking_core *core, ps_network *network, ps_blocking_run *run)
{
	pthread_condattr_t attributes;
	core->network = network;
	core->run = run;
	core->references = 1;
	core->depth = network->depth;
	core->finished_end = &core->finished;
	queue_init(&core->queued);
	queue_init(&core->running);
	pthread_mutex_init(&core->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&core->work, &attributes);
	pthread_cond_init(&core->answer, &attributes);
	pthread_condattr_destroy(&attributes);
	ps_network_hold(network);
}

int ps_blocking_client_open(ps_network *network, ps_blocking_run *run, ps_client **client)
{
	size_t bytes = sizeof(struct ps_blocking_core) + network->depth * sizeof(struct worker);
	struct blocking_client *c = ps_memory_zalloc(&network->memory, sizeof(*c));
	struct ps_blocking_core *core = ps_memory_zalloc(&network->memory, bytes);
	if (!c || !core) {
		ps_memory_free(&network->memory, c, sizeof(*c));
		ps_memory_free(&network->memory, core, bytes);
		return ps_fail(PS_ENOMEM, "%s: no memory for a client", network->url);
	}
	core_init(core, network, run);
	c->base.ops = &client_ops;
	c->core = core;
	*client = &c->base;
	return PS_OK;
}
