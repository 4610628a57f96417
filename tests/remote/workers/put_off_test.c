/* Tasks that have to wait before their request can be sent: the worker goes on with others meanwhile, and
 * each is prepared again once it is told. */
#include "fixture.h"

enum { PADS = 60, ALONE = 10 };

static struct ps_group_options group_options = {.size = sizeof(group_options)};

/* Of the test that runs: how often each pad was asked for, who of two came, and its pads. */
static struct {
	struct pad *pads;
	ps_group *group;
	atomic_uint asked[PADS], came[PADS];
} now;

static struct script_answer answer_fine(void *arg, unsigned client, uint64_t nth,
                                        const struct ps_net_request *request)
{
	(void)arg, (void)client, (void)nth, (void)request;
	return (struct script_answer){.after_ns = PS_MS_NS};
}

static unsigned number_of(const struct ps_settle *settle)
{
	return ((const struct pad *)(const void *)settle)->number;
}

/* The second of two who come here, in whichever order, tells the pad. */
static void meet(unsigned number)
{
	if (atomic_fetch_add(&now.came[number], 1) == 1)
		ps_task_ready(&now.pads[number].settle.task);
}

static void begin(struct world *world, uint32_t threads, uint32_t depth, unsigned count,
                  const struct ps_settle_ops *ops)
{
	struct ps_workers_options options = {.threads = threads, .depth = depth};
	memset(&now, 0, sizeof(now));
	world_open(world, &options, answer_fine, NULL);
	now.pads = pads_new(world, count, 100, PS_VERIFY_HEAD);
	for (unsigned i = 0; i < count; i++)
		now.pads[i].settle.ops = ops;
	OK(ps_group_new(world->workers, &group_options, &now.group));
	pads_add(now.pads, count, now.group);
}

static void end(struct world *world)
{
	ps_group_free(now.group);
	free(now.pads);
	world_close(world);
}

/* ---- going on ---- */

/* A third is not put off; a third is told before it has said so; a third by another one's end. */
static int seal_by_thirds(struct ps_settle *settle)
{
	unsigned number = number_of(settle);
	if (atomic_fetch_add(&now.asked[number], 1) > 0 || number % 3 == 0)
		return pad_ops.seal(settle);
	if (number % 3 == 1)
		ps_task_ready(&settle->task);
	else
		meet(number);
	return PS_TASK_LATER;
}

static void end_by_thirds(struct ps_settle *settle)
{
	pad_ops.ended(settle);
	if (number_of(settle) % 3 == 0)
		meet(number_of(settle) + 2);
}

static void what_is_put_off_goes_on_once_it_is_told(void **state)
{
	static const struct ps_settle_ops ops = {seal_by_thirds, NULL, end_by_thirds};
	struct ps_workers_figures figures;
	struct world world;
	(void)state;
	begin(&world, 3, 4, PADS, &ops);
	OK(ps_group_wait(now.group));
	pads_check_ended(now.pads, PADS);
	for (unsigned i = 0; i < PADS; i++)
		assert_int_equal(now.asked[i], i % 3 == 0 ? 1 : 2);
	ps_workers_figures(world.workers, &figures);
	assert_int_equal(figures.requests, 2 * PADS);
	assert_int_equal(figures.bytes, 0);
	end(&world);
}

/* One worker, and room for one request: what is put off takes no place in flight. */
static int seal_first_last(struct ps_settle *settle)
{
	unsigned number = number_of(settle);
	if (atomic_fetch_add(&now.asked[number], 1) > 0 || number > 0)
		return pad_ops.seal(settle);
	return PS_TASK_LATER;
}

static void end_first_last(struct ps_settle *settle)
{
	pad_ops.ended(settle);
	if (number_of(settle) != ALONE - 1)
		return;
	assert_int_equal(now.pads[0].ended, 0);
	ps_task_ready(&now.pads[0].settle.task);
}

static void others_pass_what_is_put_off(void **state)
{
	static const struct ps_settle_ops ops = {seal_first_last, NULL, end_first_last};
	struct world world;
	(void)state;
	begin(&world, 1, 1, ALONE, &ops);
	OK(ps_group_wait(now.group));
	pads_check_ended(now.pads, ALONE);
	end(&world);
}

/* ---- not going on ---- */

static void cancel_first_last(struct ps_settle *settle)
{
	pad_ops.ended(settle);
	if (number_of(settle) != ALONE - 1)
		return;
	ps_group_cancel(now.group);
	ps_task_ready(&now.pads[0].settle.task);
}

static void what_was_put_off_ends_unsent_with_its_group(void **state)
{
	static const struct ps_settle_ops ops = {seal_first_last, NULL, cancel_first_last};
	struct ps_workers_figures figures;
	struct world world;
	(void)state;
	begin(&world, 1, 1, ALONE, &ops);
	FAILS(PS_ECANCELED, ps_group_wait(now.group));
	pads_check_ended(now.pads, ALONE);
	assert_int_equal(now.pads[0].settle.task.fate, PS_FATE_UNSENT);
	assert_int_equal(now.asked[0], 1);
	ps_workers_figures(world.workers, &figures);
	assert_int_equal(figures.requests, 2 * (ALONE - 1));
	assert_int_equal(figures.bytes, 0);
	end(&world);
}

static int fail_later(struct ps_settle *settle)
{
	if (atomic_fetch_add(&now.asked[0], 1) > 0)
		return ps_fail(PS_EIO, "what it waited for failed");
	ps_task_ready(&settle->task);
	return PS_TASK_LATER;
}

static void it_may_fail_when_it_is_asked_again(void **state)
{
	static const struct ps_settle_ops ops = {fail_later, NULL, cancel_first_last};
	struct world world;
	(void)state;
	begin(&world, 1, 1, 1, &ops);
	FAILS(PS_EIO, ps_group_wait(now.group));
	assert_string_equal(ps_last_error_message(), "what it waited for failed");
	assert_int_equal(now.pads[0].settle.task.fate, PS_FATE_FAILED);
	end(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_put_off_goes_on_once_it_is_told),
	    cmocka_unit_test(others_pass_what_is_put_off),
	    cmocka_unit_test(what_was_put_off_ends_unsent_with_its_group),
	    cmocka_unit_test(it_may_fail_when_it_is_asked_again),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
