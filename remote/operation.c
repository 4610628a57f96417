/* What every operation does: it has a key to itself, shows how far it is, and keeps its first failure. */
#include <sodium.h>
#include <stdio.h>

#include "base/fail.h"
#include "remote/manager_internal.h"

static int enter(struct ps_operation *op, const char *key)
{
	ps_remote *r = op->r;
	int err = PS_OK;
	pthread_mutex_lock(&r->lock);
	if (op->locks && busy_await_locked(r, key)) {
		err = ps_fail(PS_EBUSY, "another call is changing \"%.64s\"", key);
	} else {
		if (op->locks) {
			op->busy = (struct ps_busy_key){.key = key};
			busy_add_locked(r, &op->busy);
		}
		r->operations++;
		r->readers += op->reads;
	}
	pthread_mutex_unlock(&r->lock);
	return err;
}

static void leave(struct ps_operation *op)
{
	ps_remote *r = op->r;
	pthread_mutex_lock(&r->lock);
	if (op->locks)
		busy_remove_locked(r, &op->busy);
	r->operations--;
	r->readers -= op->reads;
	pthread_mutex_unlock(&r->lock);
}

/* ---- life ---- */

int ps_operation_begin(struct ps_operation *op, ps_remote *r, const char *name, const char *key,
                       unsigned flags, ps_remote_progress_fn progress, void *arg)
{
	if (!r)
		return ps_fail(PS_EINVAL, "ps_remote_%s: the remote is NULL", name);
	*op = (struct ps_operation){.r = r,
	                            .progress = progress ? progress : r->options.progress,
	                            .progress_arg = progress ? arg : r->options.progress_arg,
	                            .locks = flags & PS_OP_LOCKS,
	                            .reads = flags & PS_OP_READS};
	op->shown.operation = name;
	op->shown.key = key;
	if (key && (!*key || strlen(key) > PS_RECORD_NAME_MAX))
		return ps_fail(PS_EINVAL, "ps_remote_%s: a key has 1 to %d bytes", name, PS_RECORD_NAME_MAX);
	return enter(op, key);
}

int ps_operation_group(struct ps_operation *op)
{
	struct ps_group_options options = {.size = sizeof(options)};
	return ps_operation_fail(op, ps_group_new(ps_remote_workers(op->r), &options, &op->group));
}

int ps_operation_second(struct ps_operation *op, struct ps_second *second)
{
	struct ps_group_options options = {.size = sizeof(options)};
	return op->second ? PS_OK : ps_group_new(second->workers, &options, &op->second);
}

void ps_operation_settle(struct ps_operation *op, bool cancel)
{
	ps_group *groups[] = {op->group, op->second};
	for (size_t i = 0; i < 2 && cancel; i++)
		if (groups[i])
			ps_group_cancel(groups[i]);
	for (size_t i = 0; i < 2; i++)
		if (groups[i])
			(void)!ps_group_wait(groups[i]);
}

int ps_operation_fail(struct ps_operation *op, int err)
{
	if (err != PS_OK && op->error == PS_OK) {
		op->error = err;
		snprintf(op->sentence, sizeof(op->sentence), "%s", ps_last_error_message());
	}
	return err;
}

/* ---- showing ---- */

static void take_counts(struct ps_operation *op)
{
	struct ps_group_progress progress, second = {0};
	if (!op->group)
		return;
	ps_group_progress(op->group, &progress);
	if (op->second)
		ps_group_progress(op->second, &second);
	for (unsigned i = 0; i < PS_PROGRESSES; i++)
		progress.counts[i] += second.counts[i];
	op->shown.written = progress.counts[PS_PROGRESS_WRITTEN];
	op->shown.confirmed = progress.counts[PS_PROGRESS_CONFIRMED];
	op->shown.retried = progress.counts[PS_PROGRESS_RETRIED];
	op->shown.sent_bytes = progress.counts[PS_PROGRESS_SENT_BYTES];
	op->shown.received_bytes = progress.counts[PS_PROGRESS_RECEIVED_BYTES];
}

static int show(struct ps_operation *op, enum ps_remote_phase phase)
{
	if (!op->progress)
		return PS_OK;
	take_counts(op);
	op->shown.phase = phase;
	int refused = op->progress(op->progress_arg, &op->shown);
	if (refused == 0 || phase == PS_REMOTE_END)
		return PS_OK;
	op->canceled = true;
	return ps_operation_fail(op, ps_fail(PS_ECANCELED, "%s%s%.64s: canceled by the caller",
	                                     op->shown.operation, op->shown.key ? " " : "",
	                                     op->shown.key ? op->shown.key : ""));
}

int ps_operation_show(struct ps_operation *op)
{
	uint64_t now_ns = ps_clock_now(op->r->seams.clock);
	if (!op->progress || now_ns < op->show_ns)
		return PS_OK;
	op->show_ns = now_ns + PS_SHOW_MS * PS_MS_NS;
	return show(op, PS_REMOTE_RUNNING);
}

int ps_operation_plan(struct ps_operation *op, const struct ps_remote_plan *plan, uint64_t max_pads,
                      double max_cost)
{
	uint64_t pads = plan->new_pads + plan->reused_pads;
	op->shown.plan = *plan;
	op->shown.bytes_total = plan->bytes;
	if (max_pads > 0 && pads > max_pads && plan->exact)
		return ps_operation_fail(
		    op, ps_fail(PS_EQUOTA, "%s: it takes %llu pads, and %llu are allowed",
		                op->shown.operation, (unsigned long long)pads, (unsigned long long)max_pads));
	if (max_cost > 0 && plan->price > max_cost && plan->exact)
		return ps_operation_fail(op, ps_fail(PS_EQUOTA, "%s: it costs %g, and %g is allowed",
		                                     op->shown.operation, plan->price, max_cost));
	return show(op, PS_REMOTE_PLAN);
}

int ps_operation_end(struct ps_operation *op)
{
	(void)show(op, PS_REMOTE_END);
	ps_group_free(op->group);
	ps_group_free(op->second);
	leave(op);
	return op->error == PS_OK ? PS_OK : ps_fail(op->error, "%s", op->sentence);
}

/* ---- lanes ---- */

int ps_lanes_init(struct ps_lanes *lanes, struct ps_clock *clock)
{
	*lanes = (struct ps_lanes){.clock = clock};
	int err = ps_clock_cond_init(&lanes->changed);
	if (err == PS_OK)
		pthread_mutex_init(&lanes->lock, NULL);
	return err;
}

void ps_lanes_done(struct ps_lanes *lanes)
{
	pthread_mutex_destroy(&lanes->lock);
	pthread_cond_destroy(&lanes->changed);
}

void ps_lanes_back(struct ps_lanes *lanes, struct ps_lane *lane)
{
	pthread_mutex_lock(&lanes->lock);
	lane->next = NULL;
	if (lanes->last)
		lanes->last->next = lane;
	else
		lanes->first = lane;
	lanes->last = lane;
	ps_clock_wake(lanes->clock, &lanes->changed);
	pthread_mutex_unlock(&lanes->lock);
}

struct ps_lane *ps_lanes_next(struct ps_lanes *lanes, uint64_t until_ns)
{
	pthread_mutex_lock(&lanes->lock);
	while (!lanes->first && ps_clock_now(lanes->clock) < until_ns)
		ps_clock_wait(lanes->clock, &lanes->changed, &lanes->lock, until_ns);
	struct ps_lane *lane = lanes->first;
	if (lane) {
		lanes->first = lane->next;
		if (!lanes->first)
			lanes->last = NULL;
		lane->next = NULL;
	}
	pthread_mutex_unlock(&lanes->lock);
	return lane;
}

int ps_operation_await(struct ps_operation *op, struct ps_lanes *lanes, struct ps_lane **back)
{
	int err = PS_OK;
	*back = NULL;
	while (err == PS_OK && !*back) {
		*back = ps_lanes_next(lanes, ps_clock_now(lanes->clock) + PS_SHOW_MS * PS_MS_NS);
		err = ps_operation_show(op);
	}
	return err;
}

uint32_t ps_lanes_count(const ps_remote *r, uint64_t bytes, uint64_t most)
{
	uint64_t fit = r->options.max_inflight / (bytes > 0 ? bytes : 1);
	uint64_t depth = (uint64_t)r->options.workers * r->options.depth;
	if (fit > depth)
		fit = depth;
	if (fit > most)
		fit = most;
	return fit > 0 ? (uint32_t)fit : 1;
}
