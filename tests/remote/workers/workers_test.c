/* The workers over a scripted network, in virtual time: whatever is lost, late or unsaid, each task ends
 * once, carried out once. */
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

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(progress_counts_everything),
	    cmocka_unit_test(ten_thousand_lossy_writes_are_each_carried_out_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
