/* Limits and backoff by themselves, in time that the test makes: rates within a twentieth, halved and grown
 * back as promised; delays and order of what comes again. */
#include "fixture.h"

#include "remote/backoff.h"

static const double second = (double)PS_SECOND_NS;

/* Sends as fast as it is admitted; returns the moment of the last one, in seconds. */
static double run(struct ps_limits *limits, unsigned requests, uint64_t up, uint64_t down, uint64_t *now_ns)
{
	uint64_t began_ns = *now_ns;
	for (unsigned i = 0; i < requests; i++) {
		uint64_t then_ns;
		while ((then_ns = ps_limits_admit(limits, PS_TOKEN_FOREGROUND, *now_ns)) != 0) {
			assert_true(then_ns > *now_ns);
			*now_ns = then_ns;
		}
		ps_limits_charge(limits, up, down);
	}
	return (double)(*now_ns - began_ns) / second;
}

static void assert_near(double is, double should)
{
	if (is < should * 0.95 || is > should * 1.05)
		fail_msg("%g, and should be %g", is, should);
}

static void each_rate_is_kept_within_a_twentieth(void **state)
{
	(void)state;
	struct ps_limits limits;
	struct ps_limits_options requests = {.requests = 50}, up = {.bytes_up = 10 << 20},
	                         down = {.bytes_down = 4 << 20};
	uint64_t now_ns = 5 * PS_SECOND_NS;
	ps_limits_init(&limits, &requests, now_ns);
	assert_near(run(&limits, 1000, 1 << 20, 0, &now_ns), 20);
	ps_limits_done(&limits);
	ps_limits_init(&limits, &up, now_ns);
	assert_near(run(&limits, 200, 2 << 20, 0, &now_ns), 40);
	ps_limits_done(&limits);
	ps_limits_init(&limits, &down, now_ns);
	assert_near(run(&limits, 10000, 0, 8192, &now_ns), 10000 * 8192.0 / (4 << 20));
	ps_limits_done(&limits);
	ps_limits_init(&limits, NULL, now_ns);
	assert_true(run(&limits, 10000, 1 << 20, 1 << 20, &now_ns) == 0);
	ps_limits_done(&limits);
}

static void a_request_above_a_second_s_worth_goes_through(void **state)
{
	(void)state;
	struct ps_limits limits;
	struct ps_limits_options up = {.bytes_up = 1 << 20};
	uint64_t now_ns = 0;
	ps_limits_init(&limits, &up, now_ns);
	assert_near(run(&limits, 21, 8 << 20, 0, &now_ns), 20 * 8);
	ps_limits_done(&limits);
}

static void what_did_not_come_is_not_charged(void **state)
{
	(void)state;
	struct ps_limits limits;
	struct ps_limits_options down = {.bytes_down = 1 << 20};
	uint64_t now_ns = 0;
	ps_limits_init(&limits, &down, now_ns);
	for (unsigned i = 0; i < 100; i++) {
		run(&limits, 1, 0, 2 << 20, &now_ns);
		ps_limits_refund(&limits, 0, (2 << 20) - (1 << 18));
	}
	assert_near((double)now_ns / second, 25);
	ps_limits_done(&limits);
}

static double share(struct ps_limits *limits, uint64_t now_ns)
{
	struct ps_limits_figures figures;
	ps_limits_figures(limits, now_ns, &figures);
	return figures.share;
}

static void throttling_halves_once_a_round_trip_and_grows_back(void **state)
{
	(void)state;
	struct ps_limits limits;
	struct ps_limits_options options = {.requests = 100, .bytes_up = 1 << 20};
	struct ps_limits_figures figures;
	uint64_t now_ns = 10 * PS_SECOND_NS;
	ps_limits_init(&limits, &options, now_ns);
	/* Ten requests in flight are all throttled: one halving. */
	for (int i = 0; i < 10; i++)
		ps_limits_throttled(&limits, now_ns, now_ns - PS_MS_NS);
	ps_limits_figures(&limits, now_ns, &figures);
	assert_int_equal(figures.halved, 1);
	assert_int_equal(figures.throttled, 10);
	assert_near(figures.share, 0.5);
	assert_near(figures.requests, 50);
	assert_near(figures.bytes_up, 1 << 19);
	/* One sent since then: another. */
	ps_limits_throttled(&limits, now_ns + 2, now_ns + 1);
	assert_near(share(&limits, now_ns + 2), 0.25);
	/* A twentieth a second. */
	assert_near(share(&limits, now_ns + 5 * PS_SECOND_NS), 0.5);
	assert_near(share(&limits, now_ns + 15 * PS_SECOND_NS), 1);
	assert_near(share(&limits, now_ns + 99 * PS_SECOND_NS), 1);
	/* Never to a standstill. */
	for (uint64_t i = 0; i < 100; i++)
		ps_limits_throttled(&limits, now_ns + 100 * PS_SECOND_NS + i,
		                    now_ns + 100 * PS_SECOND_NS + i);
	assert_near(share(&limits, now_ns + 100 * PS_SECOND_NS + 100), 1.0 / 64);
	ps_limits_done(&limits);
}

static void a_halved_rate_is_what_is_sent(void **state)
{
	(void)state;
	struct ps_limits limits;
	struct ps_limits_options options = {.requests = 1000};
	uint64_t now_ns = 0;
	ps_limits_init(&limits, &options, now_ns);
	ps_limits_throttled(&limits, now_ns, now_ns);
	run(&limits, 1, 0, 0, &now_ns);
	/* From a half to three quarters in five seconds. */
	assert_near(run(&limits, (unsigned)(1000 * 5 * (0.5 + 0.75) / 2), 0, 0, &now_ns), 5);
	ps_limits_done(&limits);
}

/* Without a limit the rate that was too much is measured, halved, and forgotten once it is reached again. */
static void without_a_limit_throttling_halves_what_was_measured(void **state)
{
	(void)state;
	struct ps_limits limits;
	struct ps_limits_figures figures;
	uint64_t now_ns = PS_SECOND_NS;
	ps_limits_init(&limits, NULL, now_ns);
	for (int i = 0; i < 2000; i++) {
		assert_int_equal(ps_limits_admit(&limits, PS_TOKEN_FOREGROUND, now_ns), 0);
		now_ns += 5 * PS_MS_NS;
	}
	ps_limits_throttled(&limits, now_ns, now_ns - 1);
	ps_limits_figures(&limits, now_ns, &figures);
	assert_near(figures.requests, 100);
	assert_near(run(&limits, 500, 0, 0, &now_ns), 4.14); /* 100 t + 5 t² = 500 */
	ps_limits_figures(&limits, now_ns + 20 * PS_SECOND_NS, &figures);
	assert_true(figures.requests == 0);
	ps_limits_done(&limits);
}

/* ---- classes ---- */

/* One that asks whenever it is told to, and again `rest_ns` after it was admitted. */
struct asker {
	enum ps_token_class class;
	uint64_t rest_ns, ask_ns, since_ns;
	uint64_t admitted, longest_ns; /* that one of its requests waited */
};

static void ask(struct ps_limits *limits, struct asker *a, uint64_t now_ns)
{
	uint64_t then_ns = ps_limits_admit(limits, a->class, now_ns);
	if (then_ns) {
		assert_true(then_ns > now_ns);
		a->ask_ns = then_ns;
		return;
	}
	a->admitted++;
	a->longest_ns = now_ns - a->since_ns > a->longest_ns ? now_ns - a->since_ns : a->longest_ns;
	a->since_ns = a->ask_ns = now_ns + a->rest_ns;
}

/* The first of those that ask at the same moment is the first in the list. */
static void run_askers(struct ps_limits *limits, struct asker *all, size_t count, uint64_t until_ns)
{
	for (;;) {
		struct asker *next = &all[0];
		for (size_t i = 1; i < count; i++)
			next = all[i].ask_ns < next->ask_ns ? &all[i] : next;
		if (next->ask_ns >= until_ns)
			return;
		ask(limits, next, next->ask_ns);
	}
}

/* Where the background is always the first to ask. */
static void the_background_does_not_keep_callers_waiting(void **state)
{
	(void)state;
	struct ps_limits limits;
	struct ps_limits_options options = {.requests = 50};
	struct asker all[] = {{.class = PS_TOKEN_BACKGROUND},
	                      {.class = PS_TOKEN_BACKGROUND},
	                      {.class = PS_TOKEN_FOREGROUND, .rest_ns = PS_SECOND_NS / 3}};
	ps_limits_init(&limits, &options, 0);
	run_askers(&limits, all, 3, 60 * PS_SECOND_NS);
	assert_true(all[2].longest_ns <= PS_SECOND_NS / 25); /* one that was admitted before, and its own */
	assert_in_range(all[2].admitted, 160, 180);
	assert_in_range(all[0].admitted + all[1].admitted + all[2].admitted, 2850, 3010);
	ps_limits_done(&limits);
}

static void callers_leave_the_background_its_share(void **state)
{
	(void)state;
	struct ps_limits limits;
	struct ps_limits_options options = {.requests = 50};
	struct asker all[] = {
	    {.class = PS_TOKEN_FOREGROUND}, {.class = PS_TOKEN_FOREGROUND}, {.class = PS_TOKEN_BACKGROUND}};
	ps_limits_init(&limits, &options, 0);
	run_askers(&limits, all, 3, 80 * PS_SECOND_NS);
	assert_in_range(all[2].admitted, 390, 510); /* of 4,000: every eighth while it waits */
	assert_in_range(all[0].admitted + all[1].admitted + all[2].admitted, 3800, 4010);
	ps_limits_done(&limits);
}

/* It was cancelled. */
static void who_does_not_come_again_is_not_waited_for(void **state)
{
	(void)state;
	struct ps_limits limits;
	struct ps_limits_options options = {.requests = 50};
	struct asker gone = {.class = PS_TOKEN_FOREGROUND}, other = {.class = PS_TOKEN_BACKGROUND};
	ps_limits_init(&limits, &options, 0);
	while (gone.admitted < 100 || gone.ask_ns == gone.since_ns)
		ask(&limits, &gone, gone.ask_ns);
	other.since_ns = other.ask_ns = gone.since_ns;
	run_askers(&limits, &other, 1, gone.since_ns + PS_SECOND_NS);
	assert_true(other.longest_ns <= PS_SECOND_NS / 50 + PS_SECOND_NS / 10);
	assert_in_range(other.admitted, 45, 56);
	ps_limits_done(&limits);
}

/* ---- backoff ---- */

static void delays_double_to_five_seconds_with_jitter_that_a_seed_repeats(void **state)
{
	(void)state;
	struct ps_backoff a, b, other;
	unsigned differing = 0;
	ps_backoff_init(&a, 0, 0, 42);
	ps_backoff_init(&b, 0, 0, 42);
	ps_backoff_init(&other, 0, 0, 43);
	for (uint32_t round = 1; round < 200; round++) {
		uint64_t most = round < 8 ? (uint64_t)50 << (round - 1) : 5000;
		uint64_t delay = ps_backoff_delay_ns(&a, round);
		most = (most < 5000 ? most : 5000) * PS_MS_NS;
		assert_in_range(delay, most / 2, most);
		assert_int_equal(delay, ps_backoff_delay_ns(&b, round));
		differing += delay != ps_backoff_delay_ns(&other, round);
	}
	assert_true(differing > 190);
	assert_true(ps_backoff_delay_ns(&a, UINT32_MAX) <= 5000 * PS_MS_NS);
}

static void what_comes_again_comes_in_the_order_of_time(void **state)
{
	(void)state;
	enum { TASKS = 100000 };
	struct ps_task *tasks = calloc(TASKS, sizeof(*tasks));
	struct ps_recycling queue = {0};
	uint64_t random = 7, last = 0, taken = 0;
	assert_non_null(tasks);
	assert_true(ps_recycling_due_ns(&queue) == PS_NEVER);
	for (int i = 0; i < TASKS; i++) {
		tasks[i].due_ns = next_random(&random) % 1000;
		ps_recycling_add(&queue, &tasks[i]);
	}
	assert_int_equal(queue.count, TASKS);
	for (struct ps_task *task; (task = ps_recycling_take(&queue)); taken++) {
		assert_true(task->due_ns >= last);
		last = task->due_ns;
	}
	assert_int_equal(taken, TASKS);
	assert_int_equal(queue.count, 0);
	free(tasks);
}

/* ---- through the workers ---- */

struct throttle {
	uint64_t most_a_second;
	uint64_t window_ns, count, throttled;
	struct virtual_clock *clock;
};

/* A network that takes so many requests a second and throttles what is above. */
static struct script_answer answer_throttled(void *arg, unsigned client, uint64_t nth,
                                             const struct ps_net_request *request)
{
	struct throttle *throttle = arg;
	struct script_answer answer = {.after_ns = 20 * PS_MS_NS};
	uint64_t now_ns = ps_clock_now(&throttle->clock->clock);
	(void)client, (void)nth, (void)request;
	if (now_ns - throttle->window_ns >= PS_SECOND_NS / 10) {
		throttle->window_ns = now_ns;
		throttle->count = 0;
	}
	if (++throttle->count > throttle->most_a_second / 10) {
		throttle->throttled++;
		answer.wire = WIRE_LOST;
		answer.throttled = true;
	}
	return answer;
}

static double run_workers(struct ps_limits_options *limited, struct throttle *throttle, unsigned pads_count,
                          size_t bytes, struct ps_limits_figures *figures)
{
	struct world world;
	struct ps_limits limits;
	struct ps_workers_options options = {.limits = &limits, .retries = 1000};
	struct ps_group_options group_options = {.size = sizeof(group_options)};
	ps_group *group;
	ps_limits_init(&limits, limited, PS_SECOND_NS);
	throttle->clock = &world.clock;
	world_open(&world, &options, answer_throttled, throttle);
	struct pad *pads = pads_new(&world, pads_count, bytes, PS_VERIFY_NONE);
	OK(ps_group_new(world.workers, &group_options, &group));
	uint64_t began_ns = ps_clock_now(&world.clock.clock);
	pads_add(pads, pads_count, group);
	OK(ps_group_wait(group));
	uint64_t ended_ns = ps_clock_now(&world.clock.clock);
	ps_limits_figures(&limits, ended_ns, figures);
	ps_group_free(group);
	free(pads);
	world_close(&world);
	ps_limits_done(&limits);
	return (double)(ended_ns - began_ns) / second;
}

static void workers_keep_the_limits_of_their_network(void **state)
{
	(void)state;
	struct ps_limits_options requests = {.requests = 200}, up = {.bytes_up = 1 << 20};
	struct throttle throttle = {.most_a_second = UINT64_MAX};
	struct ps_limits_figures figures;
	assert_near(run_workers(&requests, &throttle, 4000, 10, &figures), 20);
	assert_int_equal(figures.admitted, 4000);
	assert_near(run_workers(&up, &throttle, 640, 32 << 10, &figures), 20);
	assert_int_equal(figures.sent, (uint64_t)640 * (32 << 10));
}

static void workers_adapt_to_a_network_that_throttles(void **state)
{
	(void)state;
	struct throttle throttle = {.most_a_second = 100};
	struct ps_limits_figures figures;
	double took = run_workers(NULL, &throttle, 3000, 10, &figures);
	/* At best 30 seconds; most of what is sent is taken. */
	assert_true(took > 28 && took < 90);
	assert_true(throttle.throttled < 3000);
	assert_true(figures.halved >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_rate_is_kept_within_a_twentieth),
	    cmocka_unit_test(a_request_above_a_second_s_worth_goes_through),
	    cmocka_unit_test(what_did_not_come_is_not_charged),
	    cmocka_unit_test(throttling_halves_once_a_round_trip_and_grows_back),
	    cmocka_unit_test(a_halved_rate_is_what_is_sent),
	    cmocka_unit_test(without_a_limit_throttling_halves_what_was_measured),
	    cmocka_unit_test(the_background_does_not_keep_callers_waiting),
	    cmocka_unit_test(callers_leave_the_background_its_share),
	    cmocka_unit_test(who_does_not_come_again_is_not_waited_for),
	    cmocka_unit_test(delays_double_to_five_seconds_with_jitter_that_a_seed_repeats),
	    cmocka_unit_test(what_comes_again_comes_in_the_order_of_time),
	    cmocka_unit_test(workers_keep_the_limits_of_their_network),
	    cmocka_unit_test(workers_adapt_to_a_network_that_throttles),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
