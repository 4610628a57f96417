/* Reads: what comes is verified before it is believed, repeated where it is lost or damaged, told where it
 * is not there. */
#include "fixture.h"
#include "remote/fetch.h"

enum { PADS = 200, BYTES = 5000 };

static struct ps_group_options group_options = {.size = sizeof(group_options)};

struct read {
	struct ps_fetch fetch; /* first */
	unsigned number, spoil;
	size_t got;
	atomic_uint opened, ended;
};

static struct script_answer answer_lossy(void *arg, unsigned client, uint64_t nth,
                                         const struct ps_net_request *request)
{
	struct script_answer answer = {.after_ns = PS_MS_NS};
	(void)client, (void)nth;
	if (!ps_net_op_writes(request->op) && next_random(arg) % 3 == 0)
		answer.wire = next_random(arg) % 4 ? WIRE_LOST : WIRE_DEAF;
	return answer;
}

static int read_opened(struct ps_fetch *fetch)
{
	struct read *read = (struct read *)(void *)fetch;
	struct ps_pad_identity identity = pad_identity(read->number, 1);
	read->opened++;
	if (read->spoil) {
		read->spoil--;
		return ps_fail(PS_EAUTH, "pad %u does not verify", read->number);
	}
	if (!ps_identity_same(&fetch->task.request.identity, &identity))
		return ps_fail(PS_ECORRUPT, "pad %u is another", read->number);
	if (fetch->op == PS_NET_GET)
		read->got = fetch->task.request.buffer->len;
	if (fetch->op == PS_NET_HEAD)
		read->got = (size_t)fetch->task.request.size;
	return PS_OK;
}

static void read_ended(struct ps_fetch *fetch)
{
	((struct read *)(void *)fetch)->ended++;
}

static const struct ps_fetch_ops read_ops = {read_opened, read_ended};

static void write_pads(struct world *world)
{
	ps_group *group;
	struct pad *pads = pads_new(world, PADS, BYTES, PS_VERIFY_NONE);
	OK(ps_group_new(world->workers, &group_options, &group));
	pads_add(pads, PADS, group);
	OK(ps_group_wait(group));
	ps_group_free(group);
	free(pads);
}

static struct read *reads_new(struct world *world, unsigned first, unsigned count, enum ps_net_op op,
                              size_t len)
{
	struct read *reads = calloc(count, sizeof(*reads));
	assert_non_null(reads);
	for (unsigned i = 0; i < count; i++) {
		reads[i].number = first + i;
		reads[i].fetch =
		    (struct ps_fetch){.ops = &read_ops, .op = op, .name = pad_name(first + i), .len = len};
		ps_fetch_init(&reads[i].fetch, &world->memory);
	}
	return reads;
}

static int run(struct world *world, struct read *reads, unsigned count, struct ps_group_progress *progress)
{
	ps_group *group;
	OK(ps_group_new(world->workers, &group_options, &group));
	for (unsigned i = 0; i < count; i++)
		OK(ps_group_add(group, &reads[i].fetch.task));
	int err = ps_group_wait(group);
	ps_group_progress(group, progress);
	ps_group_free(group);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(reads[i].ended, 1);
	return err;
}

static void everything_comes_however_much_is_lost(void **state)
{
	(void)state;
	static const enum ps_net_op ops[] = {PS_NET_GET, PS_NET_HEAD};
	struct world world;
	struct ps_workers_options options = {.timeout_ms = 100, .retries = 100};
	struct ps_group_progress progress;
	uint64_t random = 21;
	world_open(&world, &options, answer_lossy, &random);
	write_pads(&world);
	for (int i = 0; i < 2; i++) {
		struct read *reads = reads_new(&world, 0, PADS, ops[i], BYTES);
		OK(run(&world, reads, PADS, &progress));
		assert_int_equal(progress.counts[PS_PROGRESS_FETCHED], PADS);
		assert_int_equal(progress.done, PADS);
		assert_true(progress.counts[PS_PROGRESS_RETRIED] > 0);
		for (unsigned p = 0; p < PADS; p++) {
			assert_int_equal(reads[p].got, BYTES);
			assert_int_equal(reads[p].opened, 1);
		}
		free(reads);
	}
	world_close(&world);
}

static struct script_answer answer_fine(void *arg, unsigned client, uint64_t nth,
                                        const struct ps_net_request *request)
{
	(void)arg, (void)client, (void)nth, (void)request;
	return (struct script_answer){.after_ns = PS_MS_NS};
}

static void what_does_not_verify_is_fetched_again_and_then_told(void **state)
{
	(void)state;
	struct world world;
	struct ps_group_progress progress;
	world_open(&world, NULL, answer_fine, NULL);
	write_pads(&world);
	struct read *reads = reads_new(&world, 0, 2, PS_NET_GET, BYTES);
	reads[0].spoil = 2;
	OK(run(&world, &reads[0], 1, &progress));
	assert_int_equal(reads[0].opened, 3);
	reads[1].spoil = 100;
	FAILS(PS_EAUTH, run(&world, &reads[1], 1, &progress));
	assert_non_null(strstr(ps_last_error_message(), "does not verify"));
	assert_int_equal(reads[1].opened, 3);
	assert_int_equal(reads[1].fetch.task.fate, PS_FATE_FAILED);
	free(reads);
	world_close(&world);
}

static void what_is_not_there_or_too_large_is_told(void **state)
{
	(void)state;
	struct world world;
	struct ps_group_progress progress;
	world_open(&world, NULL, answer_fine, NULL);
	write_pads(&world);
	struct read *reads = reads_new(&world, PADS, 1, PS_NET_GET, BYTES);
	FAILS(PS_ENOTFOUND, run(&world, reads, 1, &progress));
	assert_int_equal(progress.failed, 1);
	free(reads);
	reads = reads_new(&world, 0, 1, PS_NET_GET, BYTES - 1);
	FAILS(PS_ERANGE, run(&world, reads, 1, &progress));
	free(reads);
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(everything_comes_however_much_is_lost),
	    cmocka_unit_test(what_does_not_verify_is_fetched_again_and_then_told),
	    cmocka_unit_test(what_is_not_there_or_too_large_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
