#include "remote/settle.h"

#include <stdio.h>

#include "base/error.h"
#include "remote/workers.h"

enum { MOST_READS = 3, SHARE_ALL = 1024 };

/* ---- the rules ---- */

static struct ps_settle_step step(enum ps_task_answer answer, enum ps_settled settled)
{
	return (struct ps_settle_step){answer, settled};
}

struct ps_settle_step ps_settle_after_write(enum ps_net_op op, enum ps_outcome outcome, bool open,
                                            enum ps_verify verify)
{
	switch (outcome) {
	case PS_NET_DONE:
		if (verify == PS_VERIFY_NONE)
			return step(PS_TASK_DONE, PS_SETTLED_WRITTEN);
		return step(PS_TASK_LOOK, PS_SETTLED_NOT);
	case PS_NET_ABSENT:
		if (op == PS_NET_REMOVE)
			return step(PS_TASK_DONE, PS_SETTLED_CONFIRMED);
		return step(PS_TASK_LOOK, PS_SETTLED_NOT);
	case PS_NET_FULL:
	case PS_NET_TOO_BIG:
	case PS_NET_DENIED:
		/* This copy was refused; one before it may still be carried out. */
		return open ? step(PS_TASK_LOOK, PS_SETTLED_NOT) : step(PS_TASK_FAILED, PS_SETTLED_REFUSED);
	case PS_NET_UNAVAILABLE:
		return step(PS_TASK_AGAIN, PS_SETTLED_NOT);
	case PS_NET_CONFLICT: /* perhaps with an earlier copy of ours */
	case PS_NET_UNKNOWN:
		break;
	}
	return step(PS_TASK_LOOK, PS_SETTLED_NOT);
}

static struct ps_settle_step after_absence(enum ps_net_op op)
{
	switch (op) {
	case PS_NET_CREATE:
		return step(PS_TASK_RESEND, PS_SETTLED_NOT);
	case PS_NET_REMOVE:
		return step(PS_TASK_DONE, PS_SETTLED_CONFIRMED);
	default:
		return step(PS_TASK_FAILED, PS_SETTLED_GONE);
	}
}

/* A remove has no version of its own: what is there and not expected is newer, or older than expected. */
static struct ps_settle_step after_sight(const struct ps_net_request *write,
                                         const struct ps_pad_identity *there)
{
	bool removes = write->op == PS_NET_REMOVE;
	if (!removes && ps_identity_same(there, &write->identity))
		return step(PS_TASK_DONE, PS_SETTLED_CONFIRMED);
	if (write->op != PS_NET_CREATE && ps_identity_same(there, &write->expected))
		return step(PS_TASK_RESEND, PS_SETTLED_NOT);
	if (there->counter < (removes ? write->expected.counter : write->identity.counter))
		return step(PS_TASK_FAILED, PS_SETTLED_OLDER);
	return step(PS_TASK_FAILED, PS_SETTLED_CONFLICT);
}

struct ps_settle_step ps_settle_after_look(const struct ps_net_request *write,
                                           const struct ps_net_request *look)
{
	if (look->outcome == PS_NET_ABSENT)
		return after_absence(write->op);
	if (look->outcome == PS_NET_DONE)
		return after_sight(write, &look->identity);
	return step(PS_TASK_AGAIN, PS_SETTLED_NOT);
}

/* ---- the task ---- */

static struct ps_settle *settle_of(struct ps_task *task)
{
	return (struct ps_settle *)(void *)task;
}

static int settle_prepare(struct ps_task *task)
{
	return settle_of(task)->ops->seal(settle_of(task));
}

/* By the hash of what was sent: even, and the same again after a restart. */
static bool is_sampled(const struct ps_settle *settle)
{
	const uint8_t *hash = settle->task.request.identity.hash;
	return (uint32_t)(hash[0] | hash[1] << 8) % SHARE_ALL < settle->share;
}

static bool is_read_back(const struct ps_settle *settle)
{
	if (settle->task.request.op == PS_NET_REMOVE || !settle->ops->opened)
		return false;
	return settle->verify == PS_VERIFY_READ || (settle->verify == PS_VERIFY_SAMPLE && is_sampled(settle));
}

static void count(struct ps_settle *settle, enum ps_group_event which)
{
	ps_group_count(settle->task.group, which, 1);
}

static void note_written(struct ps_settle *settle)
{
	if (!settle->written)
		count(settle, PS_PROGRESS_WRITTEN);
	settle->written = true;
}

static enum ps_task_answer fail(struct ps_settle *settle, int error, const char *what)
{
	settle->task.error = error;
	const char *last = settle->task.request.sentence;
	snprintf(settle->task.sentence, sizeof(settle->task.sentence), "%.120s%s%.120s", what,
	         last[0] ? "; the write: " : "", last);
	return PS_TASK_FAILED;
}

/* The last look does not fail, so it is us who have to say what it means. */
static enum ps_task_answer finish_failed(struct ps_settle *settle)
{
	switch (settle->settled) {
	case PS_SETTLED_CONFLICT:
		settle->task.open = false;
		return fail(settle, PS_EBUSY, "another version is there");
	case PS_SETTLED_GONE:
		settle->task.open = false;
		return fail(settle, PS_ELOST, "the version that was to be replaced is not there any more");
	case PS_SETTLED_OLDER:
		return fail(settle, PS_EROLLBACK, "a version is there that is older than the one replaced");
	default:
		return PS_TASK_FAILED; /* with the request's own error */
	}
}

static void drop_read(struct ps_settle *settle)
{
	if (!settle->reads_back)
		return;
	settle->reads_back = false;
	ps_net_buffer_release(settle->task.other.buffer);
	settle->task.other.buffer = NULL;
}

/* Into a new buffer each time: one that was given up may still be filled. */
static enum ps_task_answer read_back(struct ps_settle *settle, enum ps_task_answer answer)
{
	struct ps_net_request *write = &settle->task.request, *read = &settle->task.other;
	drop_read(settle);
	struct ps_net_buffer *buffer = ps_net_buffer_new(settle->memory, write->buffer->len);
	if (!buffer)
		return fail(settle, PS_ENOMEM, "no memory to read it back");
	*read = (struct ps_net_request){.op = PS_NET_GET, .name = write->name, .buffer = buffer};
	settle->reads_back = true;
	return answer;
}

static enum ps_task_answer finish_done(struct ps_settle *settle)
{
	note_written(settle);
	if (settle->settled == PS_SETTLED_CONFIRMED) {
		if (is_read_back(settle))
			return read_back(settle, PS_TASK_OTHER);
		count(settle, PS_PROGRESS_CONFIRMED);
	}
	settle->task.open = false;
	return PS_TASK_DONE;
}

static enum ps_task_answer go_on(struct ps_settle *settle, struct ps_settle_step next)
{
	settle->settled = next.settled;
	if (next.answer == PS_TASK_DONE)
		return finish_done(settle);
	return next.answer == PS_TASK_FAILED ? finish_failed(settle) : next.answer;
}

static enum ps_task_answer read_back_fine(struct ps_settle *settle)
{
	drop_read(settle);
	settle->settled = PS_SETTLED_CONFIRMED;
	settle->task.open = false;
	count(settle, PS_PROGRESS_CONFIRMED);
	return PS_TASK_DONE;
}

/* One that reads back wrong is read again, since it may have been damaged on its way; one that changed or
 * went since the look is looked at again. */
static enum ps_task_answer after_read(struct ps_settle *settle, struct ps_net_request *read)
{
	struct ps_task *task = &settle->task;
	bool gone = read->outcome == PS_NET_ABSENT || read->outcome == PS_NET_TOO_BIG;
	if (read->outcome != PS_NET_DONE && !gone)
		return read_back(settle, PS_TASK_AGAIN);
	if (gone || !ps_identity_same(&read->identity, &task->request.identity)) {
		drop_read(settle);
		if (++settle->reads < MOST_READS)
			return PS_TASK_LOOK;
		return fail(settle, PS_EUNAVAILABLE, "head and get do not agree about what is there");
	}
	int err = settle->ops->opened(settle, read->buffer);
	if (err == PS_OK)
		return read_back_fine(settle);
	if (++settle->reads < MOST_READS)
		return read_back(settle, PS_TASK_AGAIN);
	settle->settled = PS_SETTLED_DAMAGED;
	task->open = false;
	return fail(settle, err, ps_last_error_message());
}

static enum ps_task_answer settle_finish(struct ps_task *task, struct ps_net_request *request)
{
	struct ps_settle *settle = settle_of(task);
	if (request->op == PS_NET_GET)
		return after_read(settle, request);
	if (request->op == PS_NET_HEAD) {
		if (request->outcome == PS_NET_DONE || request->outcome == PS_NET_ABSENT)
			settle->there =
			    request->outcome == PS_NET_DONE ? request->identity : (struct ps_pad_identity){0};
		return go_on(settle, ps_settle_after_look(&task->request, request));
	}
	if (request->outcome == PS_NET_DONE)
		note_written(settle);
	return go_on(settle,
	             ps_settle_after_write(request->op, request->outcome, task->open, settle->verify));
}

static void settle_ended(struct ps_task *task)
{
	struct ps_settle *settle = settle_of(task);
	drop_read(settle);
	settle->ops->ended(settle);
}

static const struct ps_task_ops settle_ops = {settle_prepare, settle_finish, settle_ended};

void ps_settle_init(struct ps_settle *settle, size_t bytes, struct ps_memory *memory)
{
	bool reads = settle->verify == PS_VERIFY_READ || settle->verify == PS_VERIFY_SAMPLE;
	*settle = (struct ps_settle){
	    .task = {.ops = &settle_ops, .bytes = reads && settle->ops->opened ? 2 * bytes : bytes},
	    .ops = settle->ops,
	    .verify = settle->verify,
	    .share = settle->share,
	    .memory = memory,
	};
}
