/* One worker's thread: takes tasks, prepares and sends them, waits for answers, acts on them. */
#include <stdio.h>

#include "base/fail.h"
#include "base/thread.h"
#include "remote/workers_internal.h"

/* What a network gets beyond a request's own time before the request is recalled; what it gets to give back
 * a request that was recalled because it is late, or because its group is cancelled. A client that does not
 * is given up. */
static const uint64_t late_ns = PS_SECOND_NS, recall_ns = PS_SECOND_NS, cancel_ns = 700 * PS_MS_NS;

static void lock(struct worker *worker)
{
	pthread_mutex_lock(&worker->pool->lock);
}

static void unlock(struct worker *worker)
{
	pthread_mutex_unlock(&worker->pool->lock);
}

static uint64_t now(const struct worker *worker)
{
	return ps_clock_now(worker->pool->clock);
}

static bool is_cancelled(const struct ps_task *task)
{
	return atomic_load_explicit(&task->group->reason, memory_order_relaxed) != PS_OK;
}

/* ---- tokens ---- */

static void give_token(struct worker *worker, struct ps_task *task)
{
	struct ps_tokens *tokens = worker->pool->tokens;
	if (task->has_token)
		tokens->ops->release(tokens, PS_TOKEN_NETWORK, 1);
	task->has_token = false;
}

/* Only where this worker has none: it may wait. Meanwhile a cancellation can take the task away; false then.
 */
static bool wait_for_token(struct worker *worker, struct ps_task *task)
{
	struct ps_tokens *tokens = worker->pool->tokens;
	if (!tokens || task->has_token)
		return true;
	enum ps_token_class class = task->group->class;
	bool ours = tokens->ops->try_acquire(tokens, PS_TOKEN_NETWORK, 1) == 1;
	if (!ours) {
		lock(worker);
		bool wanted = !is_cancelled(task);
		worker->ready = wanted ? task : NULL;
		unlock(worker);
		if (!wanted)
			return true; /* to be told so, which takes no token */
		tokens->ops->acquire(tokens, PS_TOKEN_NETWORK, class);
		lock(worker);
		ours = worker->ready != NULL;
		worker->ready = NULL;
		unlock(worker);
	}
	if (ours)
		task->has_token = true;
	else
		tokens->ops->release(tokens, PS_TOKEN_NETWORK, 1);
	return ours;
}

/* ---- sending ---- */

static void withdraw(struct worker *worker, struct ps_task *task)
{
	give_token(worker, task);
	if (worker->pool->limits)
		ps_limits_withdraw(worker->pool->limits);
}

static void end_unsent(struct worker *worker, struct ps_task *task, int error, const char *sentence)
{
	task->error = error;
	snprintf(task->sentence, sizeof(task->sentence), "%s", sentence);
	lock(worker);
	ps_group_end_task(task, ps_task_fate(task, is_cancelled(task) ? PS_FATE_UNSENT : PS_FATE_FAILED));
	unlock(worker);
}

/* Room for what is received is what a read is charged at first. Only while the request is ours. */
static void charge(struct worker *worker, const struct ps_net_request *request, bool sent)
{
	struct ps_limits *limits = worker->pool->limits;
	bool writes = ps_net_op_writes(request->op);
	if (!limits || !request->buffer)
		return;
	size_t room = request->op == PS_NET_GET_RANGE ? request->len : request->buffer->capacity;
	size_t up = writes ? request->buffer->len : 0, down = writes ? 0 : room;
	if (sent)
		ps_limits_charge(limits, up, down);
	else
		ps_limits_refund(limits, up, down);
}

/* The buffer of a read that is not done may still be in the client's hands. */
static void charge_answer(struct worker *worker, const struct ps_net_request *request)
{
	bool done = request->outcome == PS_NET_DONE;
	if (ps_net_op_writes(request->op) || !request->buffer || !worker->pool->limits)
		return;
	charge(worker, request, false);
	ps_limits_charge(worker->pool->limits, 0, done ? request->buffer->len : 0);
}

static void fly(struct worker *worker, struct ps_task *task)
{
	lock(worker);
	list_append(&worker->flying, task);
	worker->in_flight++;
	worker->pool->figures.requests++;
	worker->pool->figures.by_op[task->request.op]++;
	unlock(worker);
}

static void land(struct worker *worker, struct ps_task *task)
{
	struct task_list rest = {0};
	lock(worker);
	for (struct ps_task *t; (t = list_take(&worker->flying));) {
		if (t != task)
			list_append(&rest, t);
	}
	worker->flying = rest;
	worker->in_flight--;
	unlock(worker);
}

static void fill_request(struct worker *worker, struct ps_task *task)
{
	struct ps_net_request *request = task->sending;
	if (request == &task->request)
		request->token = task->token;
	request->timeout_ms = task->timeout_ms ? task->timeout_ms : worker->pool->timeout_ms;
	request->arg = task;
	request->class = task->group->class;
	task->sent_ns = now(worker);
	task->late_ns = task->sent_ns + request->timeout_ms * PS_MS_NS + late_ns;
	task->recalled = false;
}

/* A client that takes fewer requests than the workers' depth shows it here. */
static void refused(struct worker *worker, struct ps_task *task, int err)
{
	land(worker, task);
	charge(worker, task->sending, false);
	withdraw(worker, task);
	if (err != PS_EBUSY) {
		end_unsent(worker, task, err, ps_last_error_message());
		return;
	}
	lock(worker);
	worker->depth = worker->in_flight ? worker->in_flight : 1;
	ps_workers_recycle(worker->pool, task,
	                   worker->in_flight ? 0 : ps_backoff_delay_ns(&worker->pool->backoff, 1));
	unlock(worker);
}

static void send_task(struct worker *worker, struct ps_task *task)
{
	if (is_cancelled(task)) {
		withdraw(worker, task);
		end_unsent(worker, task, PS_ECANCELED, "cancelled before it was sent");
		return;
	}
	fill_request(worker, task);
	fly(worker, task);
	charge(worker, task->sending, true);
	int err = ps_client_submit(worker->client, task->sending);
	if (err)
		refused(worker, task, err);
}

static int prepare(struct ps_task *task)
{
	if (task->prepared || is_cancelled(task))
		return PS_OK;
	int err = task->ops->prepare(task);
	task->prepared = err == PS_OK;
	task->token = task->request.token;
	return err;
}

/* It keeps its memory, and no place among those in flight. */
static void put_off(struct worker *worker, struct ps_task *task)
{
	withdraw(worker, task);
	lock(worker);
	task->put_off = !task->ready;
	if (task->ready)
		ps_group_resume(task);
	task->ready = false;
	unlock(worker);
}

static void begin(struct worker *worker, struct ps_task *task)
{
	(void)ps_tokens_set_class(task->group->class);
	int err = prepare(task);
	if (err == PS_TASK_LATER) {
		put_off(worker, task);
	} else if (err) {
		withdraw(worker, task);
		end_unsent(worker, task, err, ps_last_error_message());
	} else if (wait_for_token(worker, task)) {
		send_task(worker, task);
	} else if (worker->pool->limits) {
		ps_limits_withdraw(worker->pool->limits);
	}
}

/* ---- answers ---- */

static void take_error(struct ps_task *task, const struct ps_net_request *request)
{
	if (task->error != PS_OK)
		return;
	task->error = request->error != PS_OK ? request->error : ps_outcome_error(request->outcome);
	bool told_done = task->error == PS_OK; /* and yet it was to be repeated */
	if (told_done)
		task->error = PS_EUNAVAILABLE;
	snprintf(task->sentence, sizeof(task->sentence), "%s",
	         told_done ? "the network says done, again and again, and does not show it"
	                   : request->sentence);
}

/* Of a write that is sent again: what the look at it showed is no failure, and not what is told in the end.
 */
static bool got_no_answer(const struct ps_net_request *write)
{
	return write->outcome == PS_NET_UNKNOWN || write->outcome == PS_NET_UNAVAILABLE;
}

/* `failed`: what is told if it was the last try. */
static void repeat(ps_workers *pool, struct ps_task *task, const struct ps_net_request *failed)
{
	if (++task->rounds > pool->retries) {
		take_error(task, failed);
		ps_group_end_task(task, ps_task_fate(task, PS_FATE_FAILED));
		return;
	}
	ps_workers_recycle(pool, task, ps_backoff_delay_ns(&pool->backoff, task->rounds));
}

static void send_other(ps_workers *pool, struct ps_task *task)
{
	task->sending = &task->other;
	ps_workers_recycle(pool, task, 0);
}

/* The lock is held. */
static void act(ps_workers *pool, struct ps_task *task, struct ps_net_request *answered,
                enum ps_task_answer answer)
{
	if (answer == PS_TASK_DONE) {
		ps_group_end_task(task, PS_FATE_DONE);
		return;
	}
	if (answer == PS_TASK_FAILED) {
		take_error(task, answered);
		ps_group_end_task(task, ps_task_fate(task, PS_FATE_FAILED));
		return;
	}
	if (is_cancelled(task)) {
		task->error = atomic_load_explicit(&task->group->reason, memory_order_relaxed);
		snprintf(task->sentence, sizeof(task->sentence), "cancelled; last: %.200s",
		         answered->sentence);
		ps_group_end_task(task, ps_task_fate(task, PS_FATE_UNSENT));
		return;
	}
	switch (answer) {
	case PS_TASK_LOOK:
		task->other = (struct ps_net_request){.op = PS_NET_HEAD, .name = task->request.name};
		send_other(pool, task);
		break;
	case PS_TASK_OTHER:
		send_other(pool, task);
		break;
	case PS_TASK_RESEND:
		task->sending = &task->request;
		repeat(pool, task, got_no_answer(&task->request) ? &task->request : answered);
		break;
	default:
		repeat(pool, task, answered);
	}
}

/* A write that was done is open until finish() says that it is settled; whatever happens before that, it has
 * to be looked at. */
static void note_outcome(struct ps_task *task, const struct ps_net_request *request)
{
	bool may_be_there = request->outcome == PS_NET_DONE || request->outcome == PS_NET_UNKNOWN;
	if (ps_net_op_writes(request->op) && may_be_there)
		task->open = true;
	if (request->outcome != PS_NET_DONE || !request->buffer)
		return;
	ps_group_count(task->group,
	               ps_net_op_writes(request->op) ? PS_PROGRESS_SENT_BYTES : PS_PROGRESS_RECEIVED_BYTES,
	               request->buffer->len);
}

/* A client that lets requests run out of time is tried with one at a time, and rests in between: what it
 * failed at goes to the others. */
static void note_health(struct worker *worker, const struct ps_task *task)
{
	const struct ps_net_request *request = task->sending;
	bool failed = request->outcome == PS_NET_UNKNOWN || request->outcome == PS_NET_UNAVAILABLE;
	uint64_t now_ns = now(worker);
	bool late = now_ns - task->sent_ns >= request->timeout_ms * PS_MS_NS;
	if (failed && !late)
		return;
	lock(worker);
	if (!failed)
		worker->strikes = 0;
	else if (now_ns >= worker->rests_ns) /* those that were sent together count once */
		worker->rests_ns = now_ns + ps_backoff_delay_ns(&worker->pool->backoff, ++worker->strikes);
	unlock(worker);
}

/* A client calls canceled whatever was recalled. Where that was for being late nobody canceled anything: the
 * caller hears that there was no answer in time. */
static void tell_lateness(struct worker *worker, const struct ps_task *task, struct ps_net_request *request)
{
	if (!task->recalled || is_cancelled(task) || request->error != PS_ECANCELED)
		return;
	ps_request_finish(worker->pool->network, request, request->outcome, "no answer in time");
	request->error = PS_ETIMEDOUT;
}

static void answered(struct worker *worker, struct ps_net_request *request)
{
	struct ps_task *task = request->arg;
	struct ps_limits *limits = worker->pool->limits;
	give_token(worker, task);
	tell_lateness(worker, task, request);
	note_health(worker, task);
	charge_answer(worker, request);
	if (limits && request->throttled)
		ps_limits_throttled(limits, now(worker), task->sent_ns);
	note_outcome(task, request);
	(void)ps_tokens_set_class(task->group->class);
	enum ps_task_answer answer = task->ops->finish(task, request);
	lock(worker);
	act(worker->pool, task, request, answer);
	unlock(worker);
}

/* ---- clients that do not keep their word ---- */

static void open_client(struct worker *worker)
{
	ps_client *client = NULL;
	int err = ps_client_open(worker->pool->network, &client);
	lock(worker);
	worker->client = client;
	worker->reopens = err ? worker->reopens + 1 : 0;
	worker->reopen_ns = now(worker) + ps_backoff_delay_ns(&worker->pool->backoff, worker->reopens + 1);
	unlock(worker);
}

/* Closing a client leaves its requests to us, and their buffers to it. */
static void replace_client(struct worker *worker)
{
	ps_client *client = worker->client;
	struct task_list flying = worker->flying;
	lock(worker);
	worker->client = NULL;
	worker->flying = (struct task_list){0};
	worker->in_flight = 0;
	worker->pool->figures.replaced++;
	unlock(worker);
	ps_client_close(client);
	for (struct ps_task *task; (task = list_take(&flying));) {
		struct ps_net_request *request = task->sending;
		ps_request_finish(worker->pool->network, request,
		                  ps_net_op_writes(request->op) ? PS_NET_UNKNOWN : PS_NET_UNAVAILABLE,
		                  "the request did not come back in time, and was given up");
		answered(worker, request);
	}
	open_client(worker);
}

/* Recalls requests that are late or not wanted any more. False: they were recalled before, and are not back.
 */
static bool recall(struct worker *worker, struct ps_task *task, uint64_t now_ns)
{
	bool late = now_ns >= task->late_ns;
	if (task->recalled)
		return !late;
	if (late || is_cancelled(task)) {
		ps_client_cancel(worker->client, task->sending);
		task->recalled = true;
		task->late_ns = now_ns + (late ? recall_ns : cancel_ns);
	}
	return true;
}

static void take_answer(struct worker *worker, struct ps_net_request *request)
{
	land(worker, request->arg);
	answered(worker, request);
}

static bool is_any_late(const struct worker *worker, uint64_t now_ns)
{
	const struct ps_task *task = worker->flying.first;
	while (task && now_ns < task->late_ns)
		task = task->next;
	return task != NULL;
}

static void look_after(struct worker *worker, uint64_t now_ns, uint64_t *until_ns)
{
	struct ps_net_request *request;
	/* Where this thread stood still, or all of its machine, the answers may be here. */
	while (is_any_late(worker, now_ns) && (request = ps_client_wait(worker->client, 0)))
		take_answer(worker, request);
	for (struct ps_task *task = worker->flying.first; task; task = task->next) {
		if (!recall(worker, task, now_ns)) {
			replace_client(worker);
			*until_ns = 0;
			return;
		}
		*until_ns = ps_earlier(*until_ns, task->late_ns);
	}
}

/* ---- the loop ---- */

/* The lock is held, and is again at the end. */
static void rest(struct worker *worker, uint64_t now_ns, uint64_t until_ns)
{
	ps_workers *pool = worker->pool;
	struct ps_net_request *request = NULL;
	if (!worker->woken && worker->in_flight == 0) {
		worker->state = WORKER_ASLEEP;
		pool->figures.sleeps++;
		ps_clock_wait(pool->clock, &worker->wake, &pool->lock, until_ns);
	} else if (!worker->woken) {
		worker->state = WORKER_IN_CLIENT;
		unlock(worker);
		request = ps_client_wait(worker->client, ps_clock_ms_until(now_ns, until_ns));
		lock(worker);
	}
	worker->state = WORKER_BUSY;
	worker->woken = false;
	if (request) {
		unlock(worker);
		take_answer(worker, request);
		lock(worker);
	}
}

/* Without a client there is no work, and without work no client is needed. */
static void ensure_client(struct worker *worker, uint64_t now_ns, uint64_t *until_ns)
{
	if (worker->client)
		return;
	lock(worker);
	bool work = ps_workers_has_work(worker->pool);
	unlock(worker);
	if (work && now_ns >= worker->reopen_ns)
		open_client(worker);
	if (work && !worker->client)
		*until_ns = ps_earlier(*until_ns, worker->reopen_ns);
}

void *ps_worker_main(void *arg)
{
	struct worker *worker = arg;
	ps_workers *pool = worker->pool;
	if (pool->background)
		ps_thread_stand_back();
	lock(worker);
	while (!pool->stop) {
		uint64_t now_ns = now(worker), until_ns = PS_NEVER;
		unlock(worker);
		ensure_client(worker, now_ns, &until_ns);
		look_after(worker, now_ns, &until_ns);
		lock(worker);
		struct ps_task *task = ps_workers_take(worker, now_ns, &until_ns);
		if (task) {
			unlock(worker);
			begin(worker, task);
			lock(worker);
		} else if (!pool->stop) {
			rest(worker, now_ns, until_ns);
		}
	}
	unlock(worker);
	return NULL;
}
