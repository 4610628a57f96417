#include "remote/fetch.h"

#include <stdio.h>

#include "base/fail.h"
#include "remote/workers.h"

enum { MOST_READS = 3 };

static struct ps_fetch *fetch_of(struct ps_task *task)
{
	return (struct ps_fetch *)(void *)task;
}

/* A new buffer for each try: one that was given up may still be filled. */
static int renew_buffer(struct ps_fetch *fetch)
{
	struct ps_net_request *request = &fetch->task.request;
	ps_net_buffer_release(request->buffer);
	request->buffer = NULL;
	if (fetch->op == PS_NET_HEAD)
		return PS_OK;
	request->buffer = ps_net_buffer_new(fetch->memory, fetch->len);
	return request->buffer ? PS_OK : ps_fail(PS_ENOMEM, "no memory for %zu bytes of a pad", fetch->len);
}

static int fetch_prepare(struct ps_task *task)
{
	struct ps_fetch *fetch = fetch_of(task);
	task->request.op = fetch->op;
	task->request.name = fetch->name;
	task->request.offset = fetch->offset;
	task->request.len = fetch->len;
	return renew_buffer(fetch);
}

static enum ps_task_answer fail(struct ps_task *task, int err)
{
	task->error = err;
	snprintf(task->sentence, sizeof(task->sentence), "%.255s", ps_last_error_message());
	return PS_TASK_FAILED;
}

static enum ps_task_answer again(struct ps_task *task)
{
	int err = renew_buffer(fetch_of(task));
	return err ? fail(task, err) : PS_TASK_AGAIN;
}

static enum ps_task_answer fetch_finish(struct ps_task *task, struct ps_net_request *request)
{
	struct ps_fetch *fetch = fetch_of(task);
	if (request->outcome == PS_NET_UNAVAILABLE)
		return again(task);
	if (request->outcome != PS_NET_DONE)
		return PS_TASK_FAILED; /* with the request's own error */
	int err = fetch->ops->opened ? fetch->ops->opened(fetch) : PS_OK;
	if (err == PS_OK) {
		ps_group_count(task->group, PS_PROGRESS_FETCHED, 1);
		return PS_TASK_DONE;
	}
	return ++fetch->reads < MOST_READS ? again(task) : fail(task, err);
}

static void fetch_ended(struct ps_task *task)
{
	struct ps_fetch *fetch = fetch_of(task);
	ps_net_buffer_release(task->request.buffer);
	task->request.buffer = NULL;
	fetch->ops->ended(fetch);
}

static const struct ps_task_ops fetch_ops = {fetch_prepare, fetch_finish, fetch_ended};

void ps_fetch_init(struct ps_fetch *fetch, struct ps_memory *memory)
{
	*fetch = (struct ps_fetch){
	    .task = {.ops = &fetch_ops, .bytes = fetch->op == PS_NET_HEAD ? 0 : fetch->len},
	    .ops = fetch->ops,
	    .op = fetch->op,
	    .name = fetch->name,
	    .offset = fetch->offset,
	    .len = fetch->len,
	    .memory = memory,
	};
}
