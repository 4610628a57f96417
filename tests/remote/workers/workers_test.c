/* The workers over a scripted network, in virtual time: whatever is lost, late or unsaid, each task ends
 * once, carried out once. */
#include <dirent.h>
#include <unistd.h>

#include "fixture.h"

static struct ps_group_options group_options = {.size = sizeof(group_options)};

static struct script_answer answer_fine(void *arg, unsigned client, uint64_t nth,
                                        const struct ps_net_request *request)
{
	(void)arg, (void)client, (void)nth, (void)request;
	return (struct script_answer){.after_ns = PS_MS_NS};
}

/* ---- losses ---- */

static struct script_answer answer_lossy(void *arg, unsigned client, uint64_t nth,
                                         const struct ps_net_request *request)
{
	uint64_t *random = arg, roll = next_random(random) % 100;
	(void)client, (void)nth, (void)request;
	struct script_answer answer = {.after_ns = (1 + next_random(random) % 20) * PS_MS_NS};
	if (roll < 10)
		answer.wire = WIRE_LOST;
	else if (roll < 20)
		answer.wire = WIRE_UNSAID;
	else if (roll < 30)
		answer.wire = WIRE_SILENCE;
	else if (roll < 38)
		answer.wire = WIRE_LATE;
	else if (roll < 40)
		answer.wire = WIRE_HANGS;
	answer.late_ns = (next_random(random) % 3000) * PS_MS_NS;
	return answer;
}

/* Half of it is surely lost: nothing stays in the air. */
static struct script_answer answer_half(void *arg, unsigned client, uint64_t nth,
                                        const struct ps_net_request *request)
{
	(void)client, (void)nth, (void)request;
	return (struct script_answer){.wire = next_random(arg) % 2 ? WIRE_LOST : WIRE_FINE,
	                              .after_ns = PS_MS_NS};
}

static void ten_thousand_lossy_writes_are_each_carried_out_once(void **state)
{
	(void)state;
	enum { PADS = 10000 };
	struct world world;
	uint64_t seed = 0x5eed0001, random = seed;
	struct ps_workers_options options = {.threads = 4, .timeout_ms = 500, .retries = 1000, .seed = seed};
	struct script_figures figures;
	ps_group *group;
	world_open(&world, &options, answer_lossy, &random);
	struct pad *pads = pads_new(&world, PADS, 64, PS_VERIFY_HEAD);
	OK(ps_group_new(world.workers, &group_options, &group));
	pads_add(pads, PADS, group);
	int err = ps_group_wait(group);
	if (err)
		print_message("seed %#llx: %s\n", (unsigned long long)seed, ps_last_error_message());
	OK(err);
	ps_group_free(group);
	pads_check_ended(pads, PADS);
	script_network_figures(world.network, &figures);
	assert_int_equal(figures.differing, 0);
	assert_true(figures.writes > PADS);
	for (unsigned i = 0; i < PADS; i++) {
		struct ps_pad_identity there, ours = pad_identity(i, 1);
		struct ps_pad_name name = pad_name(i);
		assert_int_equal(pads[i].settle.task.fate, PS_FATE_DONE);
		assert_int_equal(pads[i].settle.settled, PS_SETTLED_CONFIRMED);
		assert_int_equal(script_network_applied(world.network, &name, &there), 1);
		assert_memory_equal(&there, &ours, sizeof(there));
	}
	free(pads);
	world_close(&world);
}

static void progress_counts_everything(void **state)
{
	(void)state;
	struct world world;
	struct ps_group_progress progress;
	ps_group *group;
	world_open(&world, NULL, answer_fine, NULL);
	struct pad *pads = pads_new(&world, 100, 1000, PS_VERIFY_READ);
	OK(ps_group_new(world.workers, &group_options, &group));
	ps_group_count(group, PS_PROGRESS_PLANNED, 100);
	pads_add(pads, 100, group);
	OK(ps_group_wait(group));
	ps_group_progress(group, &progress);
	assert_int_equal(progress.counts[PS_PROGRESS_PLANNED], 100);
	assert_int_equal(progress.counts[PS_PROGRESS_WRITTEN], 100);
	assert_int_equal(progress.counts[PS_PROGRESS_CONFIRMED], 100);
	assert_int_equal(progress.counts[PS_PROGRESS_SENT_BYTES], 100 * 1000);
	assert_int_equal(progress.counts[PS_PROGRESS_RECEIVED_BYTES], 100 * 1000);
	assert_int_equal(progress.counts[PS_PROGRESS_RETRIED], 0);
	assert_int_equal(progress.done, 100);
	assert_int_equal(progress.tasks, 100);
	ps_group_free(group);
	free(pads);
	world_close(&world);
}

/* ---- clients that hang, are slow, or take less ---- */

struct odd_client {
	unsigned client;
	struct script_answer answer; /* of that client */
	struct script_answer others;
};

static struct script_answer answer_odd(void *arg, unsigned client, uint64_t nth,
                                       const struct ps_net_request *request)
{
	struct odd_client *odd = arg;
	(void)nth, (void)request;
	return client == odd->client ? odd->answer : odd->others;
}

struct run {
	struct ps_group_progress progress;
	struct script_figures network;
	struct ps_workers_figures workers;
	uint64_t took_ns;
};

static int run_pads(struct world *world, unsigned count, size_t bytes, struct run *run)
{
	ps_group *group;
	struct pad *pads = pads_new(world, count, bytes, PS_VERIFY_HEAD);
	OK(ps_group_new(world->workers, &group_options, &group));
	uint64_t began_ns = ps_clock_now(world->options.clock);
	pads_add(pads, count, group);
	int err = ps_group_wait(group);
	run->took_ns = ps_clock_now(world->options.clock) - began_ns;
	ps_group_progress(group, &run->progress);
	ps_workers_figures(world->workers, &run->workers);
	script_network_figures(world->network, &run->network);
	ps_group_free(group);
	pads_check_ended(pads, count);
	free(pads);
	return err;
}

static void one_slow_client_leaves_its_queue_to_the_others(void **state)
{
	(void)state;
	struct world world;
	struct run run;
	struct odd_client odd = {.answer.after_ns = 10 * PS_SECOND_NS, .others.after_ns = PS_MS_NS};
	ps_group *group;
	world_open(&world, NULL, answer_odd, &odd);
	/* All are full before the rest is dealt out, so that the slow one is dealt a queue. */
	struct pad *pads = pads_new(&world, 440, 100, PS_VERIFY_HEAD);
	OK(ps_group_new(world.workers, &group_options, &group));
	pads_add(pads, 40, group);
	do {
		ps_workers_figures(world.workers, &run.workers);
	} while (run.workers.in_flight < 40);
	pads_add(pads + 40, 400, group);
	uint64_t began_ns = ps_clock_now(world.options.clock);
	OK(ps_group_wait(group));
	run.took_ns = ps_clock_now(world.options.clock) - began_ns;
	ps_workers_figures(world.workers, &run.workers);
	script_network_figures(world.network, &run.network);
	ps_group_free(group);
	pads_check_ended(pads, 440);
	free(pads);
	/* What it had in flight, once or twice, and nothing more; nothing waited for it longer than that. */
	assert_in_range(run.network.by_client[0], 1, 40);
	assert_true(run.took_ns <= 21 * PS_SECOND_NS);
	assert_in_range(run.workers.stolen, 10, 40);
	world_close(&world);
}

static void one_hung_client_does_not_stop_the_others(void **state)
{
	(void)state;
	static const enum script_wire hangs[] = {WIRE_HANGS, WIRE_DEAF};
	for (int i = 0; i < 2; i++) {
		struct world world;
		struct run run;
		struct ps_workers_options options = {.timeout_ms = 2000};
		struct odd_client odd = {.answer.wire = hangs[i], .others.after_ns = PS_MS_NS};
		world_open(&world, &options, answer_odd, &odd);
		OK(run_pads(&world, 400, 100, &run));
		assert_int_equal(run.progress.done, 400);
		assert_true(hangs[i] == WIRE_DEAF ? run.workers.replaced > 0 : run.workers.replaced == 0);
		world_close(&world);
	}
}

static void a_client_that_takes_fewer_requests_is_given_fewer(void **state)
{
	(void)state;
	struct world world;
	struct run run;
	struct ps_workers_options options = {.depth = 1000};
	world_open(&world, &options, answer_fine, NULL);
	OK(run_pads(&world, 1000, 100, &run));
	assert_int_equal(run.network.most_in_flight, 40);
	world_close(&world);
}

static void a_worker_without_a_client_leaves_work_to_others_and_comes_back(void **state)
{
	(void)state;
	struct world world;
	struct run run;
	struct ps_workers_options options = {.threads = 1, .timeout_ms = 1000};
	struct odd_client odd = {.answer.wire = WIRE_DEAF, .others.after_ns = PS_MS_NS};
	ps_group *group;
	world_open(&world, &options, answer_odd, &odd);
	struct pad *pads = pads_new(&world, 20, 100, PS_VERIFY_HEAD);
	struct ps_group_options short_time = {.size = sizeof(short_time), .deadline_ms = 20000};
	script_network_refuse_clients(world.network, true);
	OK(ps_group_new(world.workers, &short_time, &group));
	pads_add(pads, 20, group);
	FAILS(PS_ETIMEDOUT, ps_group_wait(group));
	ps_group_free(group);
	pads_check_ended(pads, 20);
	for (int i = 0; i < 20; i++)
		assert_int_equal(pads[i].settle.task.fate, i < 10 ? PS_FATE_UNKNOWN : PS_FATE_UNSENT);
	free(pads);
	script_network_refuse_clients(world.network, false);
	OK(run_pads(&world, 20, 100, &run));
	world_close(&world);
}

/* ---- cancelling ---- */

struct canceller {
	struct world *world;
	ps_group *group;
	uint64_t after_ns, at_ns;
	pthread_mutex_t lock;
	pthread_cond_t cond;
};

/* A thread of its own in the virtual time. */
static void *cancel_after(void *arg)
{
	struct canceller *c = arg;
	struct ps_clock *clock = c->world->options.clock;
	uint64_t until_ns = ps_clock_now(clock) + c->after_ns;
	pthread_mutex_lock(&c->lock);
	while (ps_clock_now(clock) < until_ns)
		ps_clock_wait(clock, &c->cond, &c->lock, until_ns);
	pthread_mutex_unlock(&c->lock);
	c->at_ns = ps_clock_now(clock);
	ps_group_cancel(c->group);
	virtual_clock_set_threads(&c->world->clock, c->world->options.threads + 1);
	return NULL;
}

/* Fates tell the truth: unsent is not there and never will be, done is there. */
static void check_fates(struct world *world, struct pad *pads, unsigned count,
                        unsigned fates[PS_FATE_FAILED + 1])
{
	memset(fates, 0, sizeof(unsigned) * (PS_FATE_FAILED + 1));
	for (unsigned i = 0; i < count; i++) {
		enum ps_fate fate = pads[i].settle.task.fate;
		struct ps_pad_name name = pad_name(i);
		uint64_t applied = script_network_applied(world->network, &name, NULL);
		assert_true(applied <= 1);
		assert_true(fate != PS_FATE_DONE || applied == 1);
		assert_true(fate != PS_FATE_UNSENT || applied == 0);
		fates[fate]++;
	}
}

static void cancel_in_time(const struct ps_workers_options *options, script_fn script, void *arg,
                           uint64_t after_ns, unsigned fates[PS_FATE_FAILED + 1])
{
	enum { PADS = 300 };
	struct world world;
	struct canceller c = {.world = &world,
	                      .after_ns = after_ns,
	                      .lock = PTHREAD_MUTEX_INITIALIZER,
	                      .cond = PTHREAD_COND_INITIALIZER};
	pthread_t thread;
	world_open(&world, options, script, arg);
	struct pad *pads = pads_new(&world, PADS, 1000, PS_VERIFY_READ);
	OK(ps_group_new(world.workers, &group_options, &c.group));
	virtual_clock_set_threads(&world.clock, world.options.threads + 2);
	assert_int_equal(pthread_create(&thread, NULL, cancel_after, &c), 0);
	unsigned added = 0;
	while (added < PADS && ps_group_add(c.group, &pads[added].settle.task) == PS_OK)
		added++;
	assert_true(added == PADS || after_ns == 0);
	int err = ps_group_wait(c.group);
	uint64_t ended_ns = ps_clock_now(world.options.clock);
	pthread_join(thread, NULL);
	FAILS(PS_ECANCELED, err);
	assert_true(ended_ns - c.at_ns <= PS_SECOND_NS);
	FAILS(PS_ECANCELED, ps_group_add(c.group, &pads[0].settle.task));
	ps_group_free(c.group);
	pads_check_ended(pads, added);
	check_fates(&world, pads, added, fates);
	free(pads);
	world_close(&world);
}

static void a_cancelled_group_ends_within_a_second_in_every_phase(void **state)
{
	(void)state;
	static const enum script_wire wires[] = {WIRE_FINE, WIRE_HANGS, WIRE_DEAF,
	                                         WIRE_LOST, WIRE_LATE,  WIRE_UNSAID};
	unsigned fates[PS_FATE_FAILED + 1];
	for (size_t i = 0; i < sizeof(wires) / sizeof(*wires); i++) {
		/* Before anything, in the first requests, in looks, reads and backoffs. */
		for (uint64_t ms = 0; ms <= 700; ms = ms ? ms * 2 : 1) {
			struct script_answer all = {
			    .wire = wires[i], .after_ns = 30 * PS_MS_NS, .late_ns = PS_SECOND_NS};
			struct odd_client odd = {.answer = all, .others = all};
			cancel_in_time(NULL, answer_odd, &odd, ms * PS_MS_NS, fates);
			assert_int_equal(fates[PS_FATE_FAILED], 0);
			if (wires[i] == WIRE_LOST)
				assert_true(fates[PS_FATE_DONE] == 0 && fates[PS_FATE_UNKNOWN] <= 40);
			if (wires[i] == WIRE_HANGS || wires[i] == WIRE_DEAF)
				assert_int_equal(fates[PS_FATE_UNKNOWN], ms ? 40 : fates[PS_FATE_UNKNOWN]);
			if (wires[i] == WIRE_FINE && ms == 512)
				assert_true(fates[PS_FATE_DONE] > 0);
		}
	}
}

static void cancelling_while_limits_hold_everything_up_is_as_quick(void **state)
{
	(void)state;
	struct ps_limits limits;
	struct ps_limits_options slow = {.requests = 1};
	struct ps_workers_options options = {.limits = &limits};
	unsigned fates[PS_FATE_FAILED + 1];
	ps_limits_init(&limits, &slow, PS_SECOND_NS);
	cancel_in_time(&options, answer_fine, NULL, 5500 * PS_MS_NS, fates);
	assert_true(fates[PS_FATE_UNSENT] >= 290);
	ps_limits_done(&limits);
}

static void cancelling_one_group_leaves_the_others_alone(void **state)
{
	(void)state;
	struct world world;
	ps_group *first, *second;
	struct script_answer slow = {.after_ns = 3 * PS_SECOND_NS};
	struct odd_client odd = {.answer = slow, .others = slow};
	world_open(&world, NULL, answer_odd, &odd);
	struct pad *pads = pads_new(&world, 100, 100, PS_VERIFY_HEAD);
	OK(ps_group_new(world.workers, &group_options, &first));
	OK(ps_group_new(world.workers, &group_options, &second));
	for (int i = 0; i < 100; i++)
		OK(ps_group_add(i % 2 ? first : second, &pads[i].settle.task));
	ps_group_cancel(first);
	FAILS(PS_ECANCELED, ps_group_wait(first));
	FAILS(PS_EBUSY, ps_workers_free(world.workers));
	OK(ps_group_wait(second));
	ps_group_free(first);
	ps_group_free(second);
	pads_check_ended(pads, 100);
	for (int i = 0; i < 100; i += 2)
		assert_int_equal(pads[i].settle.task.fate, PS_FATE_DONE);
	free(pads);
	world_close(&world);
}

static void a_group_s_deadline_ends_it(void **state)
{
	(void)state;
	struct world world;
	struct ps_group_options options = {.size = sizeof(options), .deadline_ms = 5000};
	struct odd_client odd = {.answer.wire = WIRE_HANGS, .others.wire = WIRE_SILENCE};
	ps_group *group;
	world_open(&world, NULL, answer_odd, &odd);
	struct pad *pads = pads_new(&world, 100, 100, PS_VERIFY_HEAD);
	OK(ps_group_new(world.workers, &options, &group));
	uint64_t began_ns = ps_clock_now(world.options.clock);
	pads_add(pads, 100, group);
	FAILS(PS_ETIMEDOUT, ps_group_wait(group));
	assert_in_range(ps_clock_now(world.options.clock) - began_ns, 5 * PS_SECOND_NS, 6 * PS_SECOND_NS);
	ps_group_free(group);
	pads_check_ended(pads, 100);
	free(pads);
	world_close(&world);
}

/* ---- progress ---- */

struct watched {
	atomic_int inside;
	unsigned calls, stop_at;
	ps_workers *workers;
	struct ps_group_progress last;
};

static int watch(void *arg, const struct ps_group_progress *progress)
{
	struct watched *watched = arg;
	struct ps_workers_figures figures;
	assert_int_equal(atomic_fetch_add(&watched->inside, 1), 0);
	ps_workers_figures(watched->workers, &figures); /* would wait for ever if a lock were held */
	for (int i = 0; i < PS_PROGRESSES; i++)
		assert_true(progress->counts[i] >= watched->last.counts[i]);
	watched->last = *progress;
	watched->calls++;
	atomic_fetch_sub(&watched->inside, 1);
	return watched->calls == watched->stop_at;
}

static void progress_is_told_and_can_cancel(void **state)
{
	(void)state;
	for (unsigned stop_at = 0; stop_at <= 3; stop_at += 3) {
		struct world world;
		struct watched watched = {.stop_at = stop_at};
		struct ps_group_options options = {
		    .size = sizeof(options), .progress = watch, .arg = &watched};
		struct script_answer slow = {.after_ns = 100 * PS_MS_NS};
		struct odd_client odd = {.answer = slow, .others = slow};
		ps_group *group;
		world_open(&world, NULL, answer_odd, &odd);
		watched.workers = world.workers;
		struct pad *pads = pads_new(&world, 400, 100, PS_VERIFY_HEAD);
		OK(ps_group_new(world.workers, &options, &group));
		pads_add(pads, 400, group);
		FAILS(stop_at ? PS_ECANCELED : PS_OK, ps_group_wait(group));
		if (!stop_at)
			assert_int_equal(watched.last.counts[PS_PROGRESS_CONFIRMED], 400);
		assert_int_equal(watched.last.done + watched.last.unsent + watched.last.unknown, 400);
		assert_in_range(watched.calls, 4, 80);
		ps_group_free(group);
		free(pads);
		world_close(&world);
	}
}

static void a_failure_can_stop_the_group(void **state)
{
	(void)state;
	struct world world;
	struct ps_group_options options = {.size = sizeof(options), .stop_on_failure = true};
	struct script_answer full = {.wire = WIRE_SAYS, .outcome = PS_NET_FULL, .after_ns = PS_MS_NS};
	struct odd_client odd = {.answer = full, .others = full};
	struct ps_group_progress progress;
	ps_group *group;
	world_open(&world, NULL, answer_odd, &odd);
	struct pad *pads = pads_new(&world, 1000, 100, PS_VERIFY_HEAD);
	OK(ps_group_new(world.workers, &options, &group));
	int err = PS_OK;
	unsigned added = 0;
	while (added < 1000 && (err = ps_group_add(group, &pads[added].settle.task)) == PS_OK)
		added++;
	assert_true(err == PS_OK || err == PS_ENOSPC);
	FAILS(PS_ENOSPC, ps_group_wait(group));
	assert_non_null(strstr(ps_last_error_message(), "script"));
	ps_group_progress(group, &progress);
	assert_in_range(progress.failed, 1, 40);
	assert_int_equal(progress.failed + progress.unsent + progress.unknown, added);
	assert_in_range(progress.unknown, 0, 39);
	ps_group_free(group);
	free(pads);
	world_close(&world);
}

/* ---- memory ---- */

static void memory_stays_within_what_may_be_in_flight(void **state)
{
	(void)state;
	enum { BYTES = 64 << 10, ROOM = 1 << 20, SLACK = 8 << 10 }; /* a buffer's page and struct */
	struct world world;
	struct run run;
	struct ps_workers_options options = {.max_inflight = ROOM};
	uint64_t random = 11;
	world_open(&world, &options, answer_half, &random);
	OK(run_pads(&world, 500, BYTES, &run));
	assert_true(run.workers.most_bytes <= ROOM);
	assert_true(run.workers.most_bytes > ROOM - BYTES);
	assert_true(world.most_used <= ROOM + ROOM / BYTES * SLACK);
	assert_true(world.most_used > ROOM / 2);
	world_close(&world);
}

static void a_task_larger_than_the_limit_runs_alone(void **state)
{
	(void)state;
	struct world world;
	struct ps_workers_options options = {.max_inflight = 10000};
	struct ps_workers_figures figures;
	ps_group *group;
	world_open(&world, &options, answer_fine, NULL);
	struct pad *pads = pads_new(&world, 200, 3000, PS_VERIFY_HEAD);
	for (int i = 0; i < 200; i += 20)
		pads[i].settle.task.bytes = 50000;
	OK(ps_group_new(world.workers, &group_options, &group));
	pads_add(pads, 200, group);
	OK(ps_group_wait(group));
	ps_workers_figures(world.workers, &figures);
	assert_int_equal(figures.most_bytes, 50000);
	assert_int_equal(figures.bytes, 0);
	ps_group_free(group);
	free(pads);
	world_close(&world);
}

/* ---- nothing to do ---- */

static void idle_workers_send_nothing_and_do_not_wake(void **state)
{
	(void)state;
	struct world world;
	struct run run;
	struct script_figures before, after;
	struct ps_workers_figures figures, later;
	uint64_t random = 5;
	struct ps_workers_options options = {.timeout_ms = 500, .retries = 1000};
	world_open(&world, &options, answer_lossy, &random);
	OK(run_pads(&world, 500, 100, &run));
	/* All four wait, none of them for any moment: there is nothing that could wake them. */
	virtual_clock_until_idle(&world.clock, 4);
	ps_workers_figures(world.workers, &figures);
	script_network_figures(world.network, &before);
	uint64_t jumps = virtual_clock_jumps(&world.clock);
	assert_int_equal(figures.asleep, 4);
	assert_int_equal(figures.in_flight, 0);
	/* And an hour later it is still so. */
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
	uint64_t until_ns = ps_clock_now(world.options.clock) + 3600 * PS_SECOND_NS;
	pthread_mutex_lock(&lock);
	ps_clock_wait(world.options.clock, &cond, &lock, until_ns);
	pthread_mutex_unlock(&lock);
	ps_workers_figures(world.workers, &later);
	script_network_figures(world.network, &after);
	assert_true(ps_clock_now(world.options.clock) == until_ns);
	assert_int_equal(virtual_clock_jumps(&world.clock), jumps + 1);
	assert_memory_equal(&before, &after, sizeof(before));
	assert_memory_equal(&figures, &later, sizeof(figures));
	world_close(&world);
}

/* ---- classes ---- */

static struct script_answer answer_slow(void *arg, unsigned client, uint64_t nth,
                                        const struct ps_net_request *request)
{
	(void)arg, (void)client, (void)nth, (void)request;
	return (struct script_answer){.after_ns = 100 * PS_MS_NS};
}

/* Adds both to the same workers, and tells when the small one ended and how much of the other was done. */
static void run_classes(enum ps_token_class many_class, enum ps_token_class few_class, uint64_t *took_ns,
                        uint64_t *done)
{
	enum { MANY = 2000, FEW = 40 };
	struct world world;
	struct ps_group_progress progress;
	ps_group *many, *few;
	world_open(&world, NULL, answer_slow, NULL);
	struct pad *pads = pads_new(&world, MANY + FEW, 100, PS_VERIFY_NONE);
	enum ps_token_class before = ps_tokens_set_class(many_class);
	OK(ps_group_new(world.workers, &group_options, &many));
	(void)ps_tokens_set_class(few_class);
	OK(ps_group_new(world.workers, &group_options, &few));
	(void)ps_tokens_set_class(before);
	pads_add(pads, MANY, many);
	pads_add(pads + MANY, FEW, few);
	uint64_t began_ns = ps_clock_now(world.options.clock);
	OK(ps_group_wait(few));
	*took_ns = ps_clock_now(world.options.clock) - began_ns;
	ps_group_progress(many, &progress);
	*done = progress.done;
	OK(ps_group_wait(many));
	ps_group_free(few);
	ps_group_free(many);
	pads_check_ended(pads, MANY + FEW);
	free(pads);
	world_close(&world);
}

static void callers_pass_the_background_which_is_never_starved(void **state)
{
	(void)state;
	uint64_t took_ns, done;
	/* After what was in flight: twice, since every eighth is still the background's. */
	run_classes(PS_TOKEN_BACKGROUND, PS_TOKEN_FOREGROUND, &took_ns, &done);
	assert_in_range(took_ns, 100 * PS_MS_NS, 300 * PS_MS_NS);
	/* Forty times eight before it is through. */
	run_classes(PS_TOKEN_FOREGROUND, PS_TOKEN_BACKGROUND, &took_ns, &done);
	assert_in_range(done, 200, 500);
}

/* ---- threads ---- */

/* Of each thread but ours, as the kernel tells it. */
static unsigned count_blocked(unsigned *open)
{
	unsigned blocked = 0;
	char path[300], line[256];
	struct dirent *entry;
	DIR *tasks = opendir("/proc/self/task");
	assert_non_null(tasks);
	*open = 0;
	while ((entry = readdir(tasks))) {
		snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
		FILE *status = atoi(entry->d_name) == getpid() ? NULL : fopen(path, "r");
		while (status && fgets(line, sizeof(line), status)) {
			unsigned long long mask;
			if (sscanf(line, "SigBlk: %llx", &mask) != 1)
				continue;
			/* All but those two that the C library keeps for itself, KILL and STOP. */
			bool all = (mask | 1ULL << 31 | 1ULL << 32 | 1ULL << 8 | 1ULL << 18) == UINT64_MAX;
			blocked += all;
			*open += !all;
		}
		if (status)
			fclose(status);
	}
	closedir(tasks);
	return blocked;
}

static void signals_are_the_application_s(void **state)
{
	(void)state;
	struct world world;
	unsigned open_before, open, blocked = count_blocked(&open_before);
	world_open(&world, NULL, answer_fine, NULL);
	assert_int_equal(count_blocked(&open), blocked + 4);
	assert_int_equal(open, open_before);
	world_close(&world);
}

/* ---- memory that is not there ---- */

static int open_and_run(struct world *world, struct pad *pads, unsigned count)
{
	ps_workers *workers = NULL;
	ps_group *group = NULL;
	int err = ps_workers_new(world->network, &world->options, &workers);
	if (err)
		return err;
	err = ps_group_new(workers, &group_options, &group);
	if (!err) {
		pads_add(pads, count, group);
		err = ps_group_wait(group);
	}
	ps_group_free(group);
	OK(ps_workers_free(workers));
	return err;
}

static void every_allocation_that_fails_is_a_clean_error(void **state)
{
	(void)state;
	enum { PADS = 8 };
	unsigned failures = 0;
	bool whole = false;
	for (uint64_t nth = 1; !whole && nth < 200; nth++) {
		struct world world;
		world_open(&world, NULL, answer_fine, NULL);
		OK(ps_workers_free(world.workers));
		world.workers = NULL;
		struct pad *pads = pads_new(&world, PADS, 100, PS_VERIFY_READ);
		(void)ps_memory_fail_nth(nth, 0);
		int err = open_and_run(&world, pads, PADS);
		whole = ps_memory_fail_nth(0, 0) < nth;
		assert_true(err == PS_OK || err == PS_ENOMEM);
		assert_int_equal(whole, err == PS_OK);
		failures += err == PS_ENOMEM;
		free(pads);
		world_close(&world);
	}
	assert_true(whole);
	/* The pool, four clients, the group, what is sent and what is read back. */
	assert_int_equal(failures, 1 + 4 + 1 + 2 * PADS);
}

static void wrong_arguments_are_told(void **state)
{
	(void)state;
	struct world world;
	struct ps_workers_options options = {.size = 3};
	struct ps_group_options wrong = {.size = 3};
	struct ps_task task = {0};
	ps_workers *workers;
	ps_group *group;
	world_open(&world, NULL, answer_fine, NULL);
	FAILS(PS_EINVAL, ps_workers_new(NULL, NULL, &workers));
	FAILS(PS_EINVAL, ps_workers_new(world.network, &options, &workers));
	options = (struct ps_workers_options){.size = sizeof(options), .threads = PS_WORKERS_MAX + 1};
	FAILS(PS_EINVAL, ps_workers_new(world.network, &options, &workers));
	FAILS(PS_EINVAL, ps_group_new(NULL, NULL, &group));
	FAILS(PS_EINVAL, ps_group_new(world.workers, &wrong, &group));
	OK(ps_group_new(world.workers, NULL, &group));
	FAILS(PS_EINVAL, ps_group_add(group, NULL));
	FAILS(PS_EINVAL, ps_group_add(group, &task));
	OK(ps_group_wait(group));
	ps_group_free(group);
	ps_group_free(NULL);
	OK(ps_workers_free(NULL));
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(ten_thousand_lossy_writes_are_each_carried_out_once),
	    cmocka_unit_test(progress_counts_everything),
	    cmocka_unit_test(one_slow_client_leaves_its_queue_to_the_others),
	    cmocka_unit_test(one_hung_client_does_not_stop_the_others),
	    cmocka_unit_test(a_client_that_takes_fewer_requests_is_given_fewer),
	    cmocka_unit_test(a_worker_without_a_client_leaves_work_to_others_and_comes_back),
	    cmocka_unit_test(a_cancelled_group_ends_within_a_second_in_every_phase),
	    cmocka_unit_test(cancelling_while_limits_hold_everything_up_is_as_quick),
	    cmocka_unit_test(cancelling_one_group_leaves_the_others_alone),
	    cmocka_unit_test(a_group_s_deadline_ends_it),
	    cmocka_unit_test(progress_is_told_and_can_cancel),
	    cmocka_unit_test(a_failure_can_stop_the_group),
	    cmocka_unit_test(memory_stays_within_what_may_be_in_flight),
	    cmocka_unit_test(a_task_larger_than_the_limit_runs_alone),
	    cmocka_unit_test(idle_workers_send_nothing_and_do_not_wake),
	    cmocka_unit_test(every_allocation_that_fails_is_a_clean_error),
	    cmocka_unit_test(callers_pass_the_background_which_is_never_starved),
	    cmocka_unit_test(signals_are_the_application_s),
	    cmocka_unit_test(wrong_arguments_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
