/* Tasks of a sync: one that is waited for, or several in flight that come back one by one. Each group adds to
 * what the operation shows of itself, so that there may be several at a time. */
#include <stdio.h>

#include "base/fail.h"
#include "remote/sync_internal.h"

/* ---- showing ---- */

static void add_news(uint64_t *shown, uint64_t *told, uint64_t now)
{
	*shown += now - *told;
	*told = now;
}

static void take_counts(struct sync_shown *shown, const struct ps_group_progress *progress)
{
	struct ps_remote_progress *to = &shown->s->op.shown;
	add_news(&to->sent_bytes, &shown->sent, progress->counts[PS_PROGRESS_SENT_BYTES]);
	add_news(&to->received_bytes, &shown->received, progress->counts[PS_PROGRESS_RECEIVED_BYTES]);
	add_news(&to->retried, &shown->retried, progress->counts[PS_PROGRESS_RETRIED]);
}

static int show(void *arg, const struct ps_group_progress *progress)
{
	struct sync_shown *shown = arg;
	take_counts(shown, progress);
	return ps_operation_show(&shown->s->op);
}

static int canceled(const struct ps_sync *s)
{
	return ps_fail(PS_ECANCELED, "%s", s->op.sentence);
}

/* ---- one ---- */

int sync_run_task(struct ps_sync *s, struct ps_task *task)
{
	return sync_run_task_on(s, s->r->workers, task);
}

int sync_run_task_on(struct ps_sync *s, ps_workers *workers, struct ps_task *task)
{
	struct sync_shown shown = {.s = s};
	struct ps_group_options options = {.size = sizeof(options), .progress = show, .arg = &shown};
	struct ps_group_progress progress;
	ps_group *group;
	if (s->op.canceled)
		return canceled(s);
	int err = ps_group_new(workers, &options, &group);
	if (err != PS_OK)
		return err;
	err = ps_group_add(group, task);
	if (err == PS_OK)
		err = ps_group_wait(group);
	ps_group_progress(group, &progress);
	(void)show(&shown, &progress);
	ps_group_free(group);
	return s->op.canceled ? canceled(s) : err;
}

int sync_wait(struct ps_sync *s, uint64_t delay_ns)
{
	struct ps_lanes lanes;
	struct ps_clock *clock = s->r->seams.clock;
	uint64_t until_ns = ps_clock_now(clock) + delay_ns;
	int err = ps_lanes_init(&lanes, clock);
	if (err != PS_OK)
		return err;
	while (err == PS_OK && ps_clock_now(clock) < until_ns) {
		uint64_t soon_ns = ps_clock_now(clock) + PS_SHOW_MS * PS_MS_NS;
		(void)ps_lanes_next(&lanes, ps_earlier(soon_ns, until_ns));
		err = ps_operation_show(&s->op);
	}
	ps_lanes_done(&lanes);
	return err;
}

/* ---- several ---- */

int sync_tasks_begin(struct ps_sync *s, struct sync_tasks *tasks)
{
	*tasks = (struct sync_tasks){.shown = {.s = s}};
	int err = ps_lanes_init(&tasks->lanes, s->r->seams.clock);
	if (err != PS_OK)
		return err;
	struct ps_group_options options = {.size = sizeof(options)};
	err = ps_group_new(s->r->workers, &options, &tasks->group);
	if (err != PS_OK)
		ps_lanes_done(&tasks->lanes);
	return err;
}

int sync_tasks_add(struct sync_tasks *tasks, struct ps_task *task)
{
	if (tasks->shown.s->op.canceled)
		return canceled(tasks->shown.s);
	int err = ps_group_add(tasks->group, task);
	tasks->on_way += err == PS_OK;
	return err;
}

int sync_tasks_next(struct sync_tasks *tasks, struct ps_lane **lane)
{
	struct ps_sync *s = tasks->shown.s;
	struct ps_group_progress progress;
	for (;;) {
		uint64_t soon_ns = ps_clock_now(s->r->seams.clock) + PS_SHOW_MS * PS_MS_NS;
		struct ps_lane *back = s->op.canceled ? NULL : ps_lanes_next(&tasks->lanes, soon_ns);
		ps_group_progress(tasks->group, &progress);
		take_counts(&tasks->shown, &progress);
		if (back) {
			tasks->on_way--;
			*lane = back;
			return PS_OK;
		}
		if (s->op.canceled || ps_operation_show(&s->op) != PS_OK)
			return canceled(s);
	}
}

void sync_tasks_end(struct sync_tasks *tasks, void (*back)(void *arg, struct ps_lane *lane), void *arg)
{
	struct ps_group_progress progress;
	char sentence[PS_NET_SENTENCE * 2]; /* of what came before: it stays this thread's */
	if (!tasks->group)
		return;
	(void)snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	if (tasks->on_way > 0)
		ps_group_cancel(tasks->group);
	(void)!ps_group_wait(tasks->group); /* each task has its own result */
	for (; tasks->on_way > 0; tasks->on_way--)
		back(arg, ps_lanes_next(&tasks->lanes, PS_NEVER));
	ps_group_progress(tasks->group, &progress);
	take_counts(&tasks->shown, &progress);
	ps_group_free(tasks->group);
	ps_lanes_done(&tasks->lanes);
	tasks->group = NULL;
	(void)ps_fail(PS_OK, "%s", sentence);
}
