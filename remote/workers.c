/* The pool: its threads' lives, and which task is whose. */
#include "remote/workers.h"

#include <sched.h>
#include <sys/random.h>

#include "base/fail.h"
#include "base/thread.h"
#include "remote/workers_internal.h"

enum { DEFAULT_THREADS = 8, DEFAULT_DEPTH = 10, DEFAULT_TIMEOUT_MS = 60000, DEFAULT_RETRIES = 20 };
static const size_t default_inflight = (size_t)128 << 20;

/* ---- waking ---- */

void ps_worker_wake(struct worker *worker)
{
	if (worker->woken)
		return;
	worker->woken = true;
	if (worker->state == WORKER_ASLEEP)
		ps_clock_wake(worker->pool->clock, &worker->wake);
	else if (worker->state == WORKER_IN_CLIENT)
		ps_client_wake(worker->client);
}

static bool can_begin(const struct worker *worker)
{
	return worker->state != WORKER_BUSY && !worker->woken && worker->in_flight < worker_depth(worker);
}

static bool wake_one_of(ps_workers *pool, bool healthy)
{
	for (uint32_t i = 0; i < pool->count; i++) {
		struct worker *worker = &pool->workers[i];
		if (can_begin(worker) && (worker->strikes == 0) == healthy) {
			ps_worker_wake(worker);
			return true;
		}
	}
	return false;
}

void ps_workers_wake_one(ps_workers *pool)
{
	if (!wake_one_of(pool, true))
		(void)wake_one_of(pool, false);
}

/* One that may wait for a token, since it has none. */
static void wake_idle(ps_workers *pool)
{
	for (uint32_t i = 0; i < pool->count; i++) {
		if (can_begin(&pool->workers[i]) && pool->workers[i].in_flight == 0) {
			ps_worker_wake(&pool->workers[i]);
			return;
		}
	}
}

/* ---- which task ---- */

void ps_workers_put(ps_workers *pool, struct ps_task *task)
{
	struct worker *worker = &pool->workers[pool->turn++ % pool->count];
	enum ps_token_class class = task->group->class;
	bool dealt = class == PS_TOKEN_FOREGROUND && worker->queue.count < worker->depth;
	list_append(dealt ? &worker->queue : &pool->common[class], task);
	if (can_begin(worker) && worker->strikes == 0)
		ps_worker_wake(worker);
	else
		ps_workers_wake_one(pool);
}

static bool has_room(const ps_workers *pool, const struct ps_task *task)
{
	size_t used = pool->figures.bytes;
	return used == 0 || (task->bytes <= pool->max_inflight && used <= pool->max_inflight - task->bytes);
}

static struct task_list *queue_to_rob(ps_workers *pool, const struct worker *thief)
{
	for (uint32_t i = 1; i < pool->count; i++) {
		uint32_t victim = ((uint32_t)(thief - pool->workers) + i) % pool->count;
		if (pool->workers[victim].queue.first)
			return &pool->workers[victim].queue;
	}
	return NULL;
}

static struct task_list *foreground_queue(struct worker *worker)
{
	if (worker->queue.first)
		return &worker->queue;
	if (worker->pool->common[PS_TOKEN_FOREGROUND].first)
		return &worker->pool->common[PS_TOKEN_FOREGROUND];
	return queue_to_rob(worker->pool, worker);
}

/* Where the next task that has not begun comes from: from callers first, but every eighth time, as with
 * tokens, from the background if it has any. */
static struct task_list *next_queue(struct worker *worker)
{
	ps_workers *pool = worker->pool;
	struct task_list *background = &pool->common[PS_TOKEN_BACKGROUND];
	struct task_list *foreground = foreground_queue(worker);
	if (!background->first)
		return foreground;
	if (foreground && ++pool->foreground_run < PS_TOKEN_BACKGROUND_TURN)
		return foreground;
	pool->foreground_run = 0;
	return background;
}

bool ps_workers_has_work(const ps_workers *pool)
{
	bool any = pool->common[PS_TOKEN_FOREGROUND].first || pool->common[PS_TOKEN_BACKGROUND].first ||
	           pool->next_new || pool->recycling.soonest;
	for (uint32_t i = 0; i < pool->count && !any; i++)
		any = pool->workers[i].queue.first != NULL;
	return any;
}

static bool is_stolen(const struct worker *worker, const struct task_list *queue)
{
	const ps_workers *pool = worker->pool;
	return queue != &worker->queue && queue != &pool->common[PS_TOKEN_FOREGROUND] &&
	       queue != &pool->common[PS_TOKEN_BACKGROUND];
}

/* What there is no room for is put first in line: were others let past, a large one would never begin. */
static bool find_new(struct worker *worker)
{
	ps_workers *pool = worker->pool;
	if (!pool->next_new) {
		struct task_list *queue = next_queue(worker);
		if (!queue)
			return false;
		pool->figures.stolen += is_stolen(worker, queue);
		pool->next_new = list_take(queue);
	}
	return has_room(pool, pool->next_new);
}

/* A worker with a token in hand never waits for another: it goes on when its own requests have ended. */
static bool may_send(struct worker *worker, enum ps_token_class class, uint64_t now_ns, uint64_t *until_ns,
                     bool *token)
{
	ps_workers *pool = worker->pool;
	uint64_t admitted_ns = pool->limits ? ps_limits_admit(pool->limits, class, now_ns) : 0;
	if (admitted_ns) {
		*until_ns = ps_earlier(*until_ns, admitted_ns);
		return false;
	}
	*token = false;
	if (!pool->tokens || worker->in_flight == 0)
		return true;
	*token = pool->tokens->ops->try_acquire(pool->tokens, PS_TOKEN_NETWORK, 1) == 1;
	if (!*token) {
		if (pool->limits)
			ps_limits_withdraw(pool->limits);
		wake_idle(pool);
	}
	return *token;
}

struct ps_task *ps_workers_take(struct worker *worker, uint64_t now_ns, uint64_t *until_ns)
{
	ps_workers *pool = worker->pool;
	bool token;
	if (worker->in_flight >= worker_depth(worker) || !worker->client)
		return NULL;
	if (now_ns < worker->rests_ns) {
		if (ps_workers_has_work(pool))
			*until_ns = ps_earlier(*until_ns, worker->rests_ns);
		return NULL;
	}
	bool due = ps_recycling_due_ns(&pool->recycling) <= now_ns;
	if (!due)
		*until_ns = ps_earlier(*until_ns, ps_recycling_due_ns(&pool->recycling));
	if (!due && !find_new(worker))
		return NULL;
	struct ps_task *task = due ? pool->recycling.soonest : pool->next_new;
	if (!may_send(worker, task->group->class, now_ns, until_ns, &token))
		return NULL;
	if (due) {
		(void)ps_recycling_take(&pool->recycling);
	} else {
		pool->next_new = NULL;
		task->begun = true;
		pool->figures.bytes += task->bytes;
		if (pool->figures.bytes > pool->figures.most_bytes)
			pool->figures.most_bytes = pool->figures.bytes;
	}
	task->has_token = token;
	/* Whoever has nothing to do takes what this worker cannot begin while it prepares. */
	if (ps_workers_has_work(pool))
		ps_workers_wake_one(pool);
	return task;
}

void ps_workers_recycle(ps_workers *pool, struct ps_task *task, uint64_t delay_ns)
{
	task->due_ns = ps_clock_now(pool->clock) + delay_ns;
	ps_recycling_add(&pool->recycling, task);
	ps_workers_wake_one(pool);
	if (delay_ns) {
		pool->figures.recycled++;
		task->group->progress.counts[PS_PROGRESS_RETRIED]++;
		ps_group_note(task->group);
	}
}

/* ---- life ---- */

static uint32_t processors(void)
{
	cpu_set_t set;
	int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
	return count < DEFAULT_THREADS ? (uint32_t)count : DEFAULT_THREADS;
}

static int check_options(ps_network *network, const struct ps_workers_options *options)
{
	if (!network)
		return ps_fail(PS_EINVAL, "ps_workers_new: the network is NULL");
	if (options && options->size != sizeof(*options))
		return ps_fail(PS_EINVAL, "ps_workers_new: options of %zu bytes (%zu expected)",
		               options->size, sizeof(*options));
	if (options && options->threads > PS_WORKERS_MAX)
		return ps_fail(PS_EINVAL, "ps_workers_new: %u threads (%d at most)", options->threads,
		               PS_WORKERS_MAX);
	return PS_OK;
}

static uint64_t seed_from_kernel(void)
{
	uint64_t seed = 0;
	/* Where it has none yet, the time will do: nothing secret depends on a backoff. */
	return getrandom(&seed, sizeof(seed), GRND_NONBLOCK) == sizeof(seed) ? seed
	                                                                     : ps_clock_now(&ps_system_clock);
}

static void fill_options(ps_workers *pool, const struct ps_workers_options *o)
{
	pool->clock = o->clock ? o->clock : &ps_system_clock;
	pool->limits = o->limits;
	pool->tokens = o->tokens;
	pool->depth = o->depth ? o->depth : DEFAULT_DEPTH;
	pool->timeout_ms = o->timeout_ms ? o->timeout_ms : DEFAULT_TIMEOUT_MS;
	pool->retries = o->retries ? o->retries : DEFAULT_RETRIES;
	pool->deadline_ms = o->deadline_ms;
	pool->background = o->background;
	pool->max_inflight = o->max_inflight ? o->max_inflight : default_inflight;
	ps_backoff_init(&pool->backoff, o->backoff_ms, o->backoff_most_ms,
	                o->seed ? o->seed : seed_from_kernel());
}

static int start_thread(struct worker *worker)
{
	int err = ps_thread_start(&worker->thread, ps_worker_main, worker);
	worker->started = err == 0;
	return err ? ps_fail_errno(err, "%s: a worker's thread cannot be started",
	                           ps_network_url(worker->pool->network))
	           : PS_OK;
}

static int start_worker(ps_workers *pool)
{
	struct worker *worker = &pool->workers[pool->count];
	worker->pool = pool;
	worker->depth = pool->depth;
	int err = ps_clock_cond_init(&worker->wake);
	if (err)
		return err;
	pool->count++;
	err = ps_client_open(pool->network, &worker->client);
	return err;
}

static void free_pool(ps_workers *pool)
{
	pthread_mutex_lock(&pool->lock);
	pool->stop = true;
	for (uint32_t i = 0; i < pool->count; i++)
		ps_worker_wake(&pool->workers[i]);
	pthread_mutex_unlock(&pool->lock);
	for (uint32_t i = 0; i < pool->count; i++) {
		if (pool->workers[i].started)
			pthread_join(pool->workers[i].thread, NULL);
		ps_client_close(pool->workers[i].client);
		pthread_cond_destroy(&pool->workers[i].wake);
	}
	pthread_mutex_destroy(&pool->lock);
	ps_memory_free(pool->memory, pool, sizeof(*pool) + pool->threads * sizeof(struct worker));
}

int ps_workers_new(ps_network *network, const struct ps_workers_options *options, ps_workers **workers)
{
	static const struct ps_workers_options none;
	int err = check_options(network, options);
	if (err)
		return err;
	const struct ps_workers_options *o = options ? options : &none;
	uint32_t threads = o->threads ? o->threads : processors();
	struct ps_memory *memory = o->memory ? o->memory : &network->memory;
	ps_workers *pool = ps_memory_zalloc(memory, sizeof(*pool) + threads * sizeof(struct worker));
	if (!pool)
		return ps_fail(PS_ENOMEM, "%s: no memory for %u workers", ps_network_url(network), threads);
	pool->memory = memory;
	pool->network = network;
	pool->threads = threads;
	fill_options(pool, o);
	pthread_mutex_init(&pool->lock, NULL);
	for (uint32_t i = 0; i < threads && err == PS_OK; i++)
		err = start_worker(pool);
	for (uint32_t i = 0; i < threads && err == PS_OK; i++)
		err = start_thread(&pool->workers[i]);
	if (err) {
		free_pool(pool);
		return err;
	}
	*workers = pool;
	return PS_OK;
}

int ps_workers_free(ps_workers *workers)
{
	if (!workers)
		return PS_OK;
	pthread_mutex_lock(&workers->lock);
	uint32_t groups = workers->groups;
	pthread_mutex_unlock(&workers->lock);
	if (groups)
		return ps_fail(PS_EBUSY, "%s: %u groups of tasks are still there",
		               ps_network_url(workers->network), groups);
	free_pool(workers);
	return PS_OK;
}

void ps_workers_figures(ps_workers *workers, struct ps_workers_figures *figures)
{
	pthread_mutex_lock(&workers->lock);
	*figures = workers->figures;
	figures->in_flight = figures->asleep = 0;
	for (uint32_t i = 0; i < workers->count; i++) {
		const struct worker *worker = &workers->workers[i];
		figures->in_flight += worker->in_flight;
		figures->asleep += worker->state == WORKER_ASLEEP && !worker->woken;
	}
	pthread_mutex_unlock(&workers->lock);
}
