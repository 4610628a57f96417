/* Requests that are late: a worker that stood still, as a machine does that has other work or was asleep,
 * takes the answers that came meanwhile, and what it recalls has run out of time: nobody canceled it. */
#include "fixture.h"

enum { TIMEOUT_MS = 2000, AWAY_MS = 10000, PADS = 4 };

static const struct ps_group_options group_options = {.size = sizeof(group_options)};

/* Looks at a record that nobody has written: whatever the answer is, it is one. */
struct look {
	struct ps_task task; /* first */
	struct ps_clock *clock;
	unsigned away_ms; /* the worker stands still for so long while this is prepared */
	enum ps_outcome outcome;
};

static void stand_still(struct ps_clock *clock, uint64_t until_ns)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t nothing;
	OK(ps_clock_cond_init(&nothing));
	pthread_mutex_lock(&lock);
	while (ps_clock_now(clock) < until_ns)
		ps_clock_wait(clock, &nothing, &lock, until_ns);
	pthread_mutex_unlock(&lock);
	pthread_cond_destroy(&nothing);
}

static int prepare_look(struct ps_task *task)
{
	struct look *look = (struct look *)(void *)task;
	if (look->away_ms > 0)
		stand_still(look->clock, ps_clock_now(look->clock) + look->away_ms * PS_MS_NS);
	task->request = (struct ps_net_request){.op = PS_NET_HEAD, .name = pad_name(1)};
	return PS_OK;
}

static enum ps_task_answer finish_look(struct ps_task *task, struct ps_net_request *request)
{
	((struct look *)(void *)task)->outcome = request->outcome;
	return request->outcome == PS_NET_ABSENT ? PS_TASK_DONE : PS_TASK_AGAIN;
}

static void end_look(struct ps_task *task)
{
	(void)task;
}

static const struct ps_task_ops look_ops = {prepare_look, finish_look, end_look};

static struct script_answer answer_all(void *arg, unsigned client, uint64_t nth,
                                       const struct ps_net_request *request)
{
	(void)client, (void)nth, (void)request;
	return (struct script_answer){.wire = *(const enum script_wire *)arg, .after_ns = PS_MS_NS};
}

/* The last of them keeps the only worker away, when the others have been sent. */
static int run_looks(enum script_wire wire, unsigned away_ms, struct look looks[PADS],
                     struct script_figures *figures)
{
	const struct ps_workers_options options = {.threads = 1, .timeout_ms = TIMEOUT_MS, .retries = 1};
	struct world world;
	ps_group *group;
	world_open(&world, &options, answer_all, &wire);
	OK(ps_group_new(world.workers, &group_options, &group));
	for (unsigned i = 0; i < PADS; i++) {
		looks[i] = (struct look){.task.ops = &look_ops, .clock = world.options.clock};
		looks[i].away_ms = i == PADS - 1 ? away_ms : 0;
		OK(ps_group_add(group, &looks[i].task));
	}
	int err = ps_group_wait(group);
	script_network_figures(world.network, figures);
	ps_group_free(group);
	world_close(&world);
	return err;
}

static void answers_that_came_while_the_worker_stood_still_are_taken(void **state)
{
	struct look looks[PADS];
	struct script_figures figures;
	(void)state;
	OK(run_looks(WIRE_FINE, AWAY_MS, looks, &figures));
	assert_int_equal(figures.requests, PADS);
	for (unsigned i = 0; i < PADS; i++)
		assert_int_equal(looks[i].outcome, PS_NET_ABSENT);
}

static void what_is_recalled_for_being_late_ran_out_of_time(void **state)
{
	static const unsigned away_ms[] = {0, AWAY_MS};
	(void)state;
	for (size_t i = 0; i < sizeof(away_ms) / sizeof(*away_ms); i++) {
		struct look looks[PADS];
		struct script_figures figures;
		FAILS(PS_ETIMEDOUT, run_looks(WIRE_HANGS, away_ms[i], looks, &figures));
		assert_int_equal(figures.requests, 2 * PADS);
		for (unsigned k = 0; k < PADS; k++) {
			assert_int_equal(looks[k].task.error, PS_ETIMEDOUT);
			assert_non_null(strstr(looks[k].task.sentence, "no answer in time"));
		}
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(answers_that_came_while_the_worker_stood_still_are_taken),
	    cmocka_unit_test(what_is_recalled_for_being_late_ran_out_of_time),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
