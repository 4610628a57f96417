/* Groups: what an operation adds, waits for, and cancels. */
#include <stdio.h>

#include "base/fail.h"
#include "remote/workers_internal.h"

enum { PROGRESS_MS = 50 };

static void lock(struct ps_group *group)
{
	pthread_mutex_lock(&group->pool->lock);
}

static void unlock(struct ps_group *group)
{
	pthread_mutex_unlock(&group->pool->lock);
}

static int reason_of(struct ps_group *group)
{
	return atomic_load_explicit(&group->reason, memory_order_relaxed);
}

/* ---- cancellation; the lock is held ---- */

static void drop(struct ps_group *group, struct ps_task *task)
{
	task->error = reason_of(group);
	snprintf(task->sentence, sizeof(task->sentence), "cancelled while it waited");
	list_append(&group->dropped, task);
}

static void drop_from_list(struct ps_group *group, struct task_list *list)
{
	struct task_list kept = {0};
	for (struct ps_task *task; (task = list_take(list));) {
		if (task->group == group)
			drop(group, task);
		else
			list_append(&kept, task);
	}
	*list = kept;
}

static void drop_from_recycling(struct ps_group *group)
{
	struct ps_recycling kept = {0};
	for (struct ps_task *task; (task = ps_recycling_take(&group->pool->recycling));) {
		if (task->group == group)
			drop(group, task);
		else
			ps_recycling_add(&kept, task);
	}
	group->pool->recycling = kept;
}

static void drop_single(struct ps_group *group, struct ps_task **place)
{
	if (*place && (*place)->group == group) {
		drop(group, *place);
		*place = NULL;
	}
}

static void cancel(struct ps_group *group, int reason)
{
	ps_workers *pool = group->pool;
	if (reason_of(group) != PS_OK)
		return;
	atomic_store(&group->reason, reason);
	drop_from_list(group, &pool->common[group->class]);
	drop_from_recycling(group);
	drop_single(group, &pool->next_new);
	for (uint32_t i = 0; i < pool->count; i++) {
		drop_from_list(group, &pool->workers[i].queue);
		drop_single(group, &pool->workers[i].ready);
		ps_worker_wake(&pool->workers[i]);
	}
	ps_group_note(group);
}

void ps_group_resume(struct ps_task *task)
{
	struct ps_group *group = task->group;
	if (reason_of(group) == PS_OK) {
		ps_workers_recycle(group->pool, task, 0);
		return;
	}
	drop(group, task);
	ps_group_note(group);
}

/* ---- what became of tasks; the lock is held ---- */

void ps_group_note(struct ps_group *group)
{
	bool fresh = !group->news && group->options.progress;
	group->news = true;
	if (group->waited_for && (fresh || group->left == 0 || group->dropped.first))
		ps_clock_wake(group->pool->clock, &group->changed);
}

enum ps_fate ps_task_fate(const struct ps_task *task, enum ps_fate otherwise)
{
	return task->open ? PS_FATE_UNKNOWN : otherwise;
}

static void count_fate(struct ps_group *group, enum ps_fate fate)
{
	struct ps_group_progress *progress = &group->progress;
	progress->done += fate == PS_FATE_DONE;
	progress->failed += fate == PS_FATE_FAILED;
	progress->unsent += fate == PS_FATE_UNSENT;
	progress->unknown += fate == PS_FATE_UNKNOWN;
}

static void keep_error(struct ps_group *group, const struct ps_task *task)
{
	bool of_itself = task->fate == PS_FATE_FAILED || task->fate == PS_FATE_UNKNOWN;
	if (group->error != PS_OK || !of_itself || (task->error != PS_OK && task->error == reason_of(group)))
		return;
	group->error = ps_task_error(task);
	snprintf(group->sentence, sizeof(group->sentence), "%s", task->sentence);
}

void ps_group_end_task(struct ps_task *task, enum ps_fate fate)
{
	struct ps_group *group = task->group;
	ps_workers *pool = group->pool;
	size_t bytes = task->begun ? task->bytes : 0;
	task->fate = fate;
	if (fate == PS_FATE_DONE)
		task->error = PS_OK;
	keep_error(group, task);
	if (group->options.stop_on_failure && group->error != PS_OK)
		cancel(group, group->error);
	unlock(group);
	task->ops->ended(task);
	lock(group);
	pool->figures.bytes -= bytes;
	if (bytes && pool->next_new)
		ps_workers_wake_one(pool);
	count_fate(group, fate);
	group->left--;
	ps_group_note(group);
}

/* ---- calls ---- */

static int check_options(ps_workers *workers, const struct ps_group_options *options)
{
	if (!workers)
		return ps_fail(PS_EINVAL, "ps_group_new: workers is NULL");
	if (options && options->size != sizeof(*options))
		return ps_fail(PS_EINVAL, "ps_group_new: options of %zu bytes (%zu expected)", options->size,
		               sizeof(*options));
	return PS_OK;
}

int ps_group_new(ps_workers *workers, const struct ps_group_options *options, ps_group **group)
{
	int err = check_options(workers, options);
	if (err)
		return err;
	struct ps_group *g = ps_memory_zalloc(workers->memory, sizeof(*g));
	if (!g)
		return ps_fail(PS_ENOMEM, "%s: no memory for a group of tasks",
		               ps_network_url(workers->network));
	err = ps_clock_cond_init(&g->changed);
	if (err) {
		ps_memory_free(workers->memory, g, sizeof(*g));
		return err;
	}
	if (options)
		g->options = *options;
	uint32_t deadline_ms = g->options.deadline_ms ? g->options.deadline_ms : workers->deadline_ms;
	g->pool = workers;
	g->class = ps_tokens_class();
	g->deadline_ns = deadline_ms ? ps_clock_now(workers->clock) + deadline_ms * PS_MS_NS : PS_NEVER;
	lock(g);
	workers->groups++;
	unlock(g);
	*group = g;
	return PS_OK;
}

int ps_group_add(ps_group *group, struct ps_task *task)
{
	if (!group || !task || !task->ops)
		return ps_fail(PS_EINVAL, "ps_group_add: the group, the task or its functions are NULL");
	lock(group);
	int reason = reason_of(group);
	if (reason == PS_OK) {
		task->group = group;
		task->sending = &task->request;
		task->fate = PS_FATE_NONE;
		group->left++;
		group->progress.tasks++;
		ps_workers_put(group->pool, task);
	}
	unlock(group);
	return reason ? ps_fail(reason, "the operation was cancelled before this task was added") : PS_OK;
}

void ps_task_ready(struct ps_task *task)
{
	struct ps_group *group = task->group;
	lock(group);
	if (task->put_off)
		ps_group_resume(task);
	else
		task->ready = true;
	task->put_off = false;
	unlock(group);
}

void ps_group_count(ps_group *group, enum ps_group_event count, uint64_t n)
{
	lock(group);
	group->progress.counts[count] += n;
	ps_group_note(group);
	unlock(group);
}

void ps_group_progress(ps_group *group, struct ps_group_progress *progress)
{
	lock(group);
	*progress = group->progress;
	unlock(group);
}

void ps_group_cancel(ps_group *group)
{
	lock(group);
	cancel(group, PS_ECANCELED);
	unlock(group);
}

/* ---- waiting; the lock is held ---- */

static void tell_dropped(struct ps_group *group)
{
	for (struct ps_task *task; (task = list_take(&group->dropped));)
		ps_group_end_task(task, ps_task_fate(task, PS_FATE_UNSENT));
}

static void show(struct ps_group *group)
{
	struct ps_group_progress progress = group->progress;
	group->news = false;
	unlock(group);
	int stop = group->options.progress(group->options.arg, &progress);
	lock(group);
	if (stop && group->left > 0)
		cancel(group, PS_ECANCELED);
}

/* One round of waiting; true while tasks are left. */
static bool wait_on(struct ps_group *group, uint64_t *show_ns)
{
	struct ps_clock *clock = group->pool->clock;
	uint64_t now_ns = ps_clock_now(clock), until_ns = PS_NEVER;
	tell_dropped(group);
	if (group->left == 0)
		return false;
	if (reason_of(group) == PS_OK && now_ns >= group->deadline_ns) {
		cancel(group, PS_ETIMEDOUT);
		return true;
	}
	if (group->options.progress && now_ns >= *show_ns) {
		uint32_t ms = group->options.progress_ms;
		show(group);
		*show_ns = now_ns + (ms ? ms : PROGRESS_MS) * PS_MS_NS;
		return true;
	}
	if (reason_of(group) == PS_OK)
		until_ns = group->deadline_ns;
	if (group->options.progress)
		until_ns = ps_earlier(until_ns, *show_ns);
	group->waited_for = true;
	ps_clock_wait(clock, &group->changed, &group->pool->lock, until_ns);
	group->waited_for = false;
	return true;
}

static int result_of(struct ps_group *group)
{
	int reason = reason_of(group);
	bool all_done = group->progress.tasks > 0 && group->progress.done == group->progress.tasks;
	if (reason != PS_OK && reason != group->error && !all_done)
		return ps_fail(
		    reason, "%s: %s: of %llu tasks %llu are done, %llu were not sent, %llu are unknown",
		    ps_network_url(group->pool->network),
		    reason == PS_ETIMEDOUT ? "out of time" : "cancelled",
		    (unsigned long long)group->progress.tasks, (unsigned long long)group->progress.done,
		    (unsigned long long)group->progress.unsent, (unsigned long long)group->progress.unknown);
	return group->error ? ps_fail(group->error, "%s", group->sentence) : PS_OK;
}

int ps_group_wait(ps_group *group)
{
	uint64_t show_ns = 0;
	lock(group);
	while (wait_on(group, &show_ns))
		continue;
	if (group->options.progress)
		show(group);
	int result = result_of(group);
	unlock(group);
	return result;
}

void ps_group_free(ps_group *group)
{
	if (!group)
		return;
	ps_workers *pool = group->pool;
	lock(group);
	group->options.progress = NULL;
	cancel(group, PS_ECANCELED);
	uint64_t show_ns = 0;
	while (wait_on(group, &show_ns))
		continue;
	pool->groups--;
	unlock(group);
	pthread_cond_destroy(&group->changed);
	ps_memory_free(pool->memory, group, sizeof(*group));
}
