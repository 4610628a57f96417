/* Workers and the one token pool: a request in flight holds a token, never two with a pool of one, no
 * deadlock with whoever else needs tokens, and nobody waits for one longer than it is wanted. */
#include <pthread.h>
#include <sched.h>

#include "base/tokens.h"
#include "concurrent/token_pool.h"
#include "fixture.h"

/* A second is promised, to a machine that has time; this is shorter than the requests' own time-out. */
#define PROMPTLY_NS (30 * PS_SECOND_NS)

static struct ps_group_options group_options = {.size = sizeof(group_options)};

static struct script_answer answer_soon(void *arg, unsigned client, uint64_t nth,
                                        const struct ps_net_request *request)
{
	uint64_t *random = arg;
	(void)client, (void)nth, (void)request;
	return (struct script_answer){.wire = next_random(random) % 8 ? WIRE_FINE : WIRE_UNSAID,
	                              .after_ns = next_random(random) % (PS_MS_NS / 4)};
}

static void open_with_tokens(struct world *world, uint32_t count, struct ps_tokens **tokens, uint64_t *random)
{
	struct ps_token_options pool = {.size = sizeof(pool), .tokens = count};
	struct ps_workers_options options = {
	    .clock = &ps_system_clock, .backoff_ms = 1, .backoff_most_ms = 2};
	OK(ps_tokens_new(&pool, tokens));
	options.tokens = *tokens;
	world_open(world, &options, answer_soon, random);
}

static struct ps_tokens *disk; /* for who seals with a look at the disk */

static int seal_from_disk(struct ps_settle *settle)
{
	ps_tokens_take(disk, PS_TOKEN_DISK);
	int err = pad_ops.seal(settle);
	ps_tokens_give(disk, PS_TOKEN_DISK);
	return err;
}

static int opened_with_disk(struct ps_settle *settle, const struct ps_net_buffer *record)
{
	ps_tokens_take(disk, PS_TOKEN_DISK);
	int err = pad_ops.opened(settle, record);
	ps_tokens_give(disk, PS_TOKEN_DISK);
	return err;
}

static void ended_with_disk(struct ps_settle *settle)
{
	ps_tokens_take(disk, PS_TOKEN_DISK);
	ps_tokens_give(disk, PS_TOKEN_DISK);
	pad_ops.ended(settle);
}

static const struct ps_settle_ops disk_ops = {seal_from_disk, opened_with_disk, ended_with_disk};

struct reader {
	atomic_bool stop;
	atomic_uint reads;
};

static void *read_disk(void *arg)
{
	struct reader *reader = arg;
	while (!atomic_load(&reader->stop)) {
		ps_tokens_take(disk, PS_TOKEN_DISK);
		reader->reads++;
		ps_tokens_give(disk, PS_TOKEN_DISK);
		sched_yield();
	}
	return NULL;
}

/* With functions that need the disk, and beside a thread that does nothing else. */
static void run_beside_disk(uint32_t tokens_count, uint32_t most)
{
	enum { PADS = 400 };
	struct world world;
	struct ps_tokens *tokens;
	struct script_figures figures;
	struct reader reader = {0};
	uint64_t random = 99;
	pthread_t thread;
	ps_group *group;
	open_with_tokens(&world, tokens_count, &tokens, &random);
	disk = tokens;
	struct pad *pads = pads_new(&world, PADS, 100, PS_VERIFY_READ);
	for (int i = 0; i < PADS; i++)
		pads[i].settle.ops = &disk_ops;
	assert_int_equal(pthread_create(&thread, NULL, read_disk, &reader), 0);
	OK(ps_group_new(world.workers, &group_options, &group));
	pads_add(pads, PADS, group);
	OK(ps_group_wait(group));
	ps_group_free(group);
	atomic_store(&reader.stop, true);
	pthread_join(thread, NULL);
	script_network_figures(world.network, &figures);
	assert_int_equal(figures.most_in_flight, most);
	pads_check_ended(pads, PADS);
	free(pads);
	world_close(&world);
	OK(ps_tokens_free(tokens));
}

static void four_workers_with_one_token_never_have_two_requests_in_flight(void **state)
{
	(void)state;
	run_beside_disk(1, 1);
}

static void requests_in_flight_keep_to_the_network_s_share(void **state)
{
	(void)state;
	run_beside_disk(2, 1);
	run_beside_disk(3, 1);
	run_beside_disk(4, 2);
	run_beside_disk(12, 6);
}

static void who_waits_for_a_token_can_be_cancelled(void **state)
{
	(void)state;
	struct world world;
	struct ps_tokens *tokens;
	struct ps_token_stats stats;
	struct script_figures figures;
	uint64_t random = 3;
	ps_group *group;
	open_with_tokens(&world, 1, &tokens, &random);
	tokens->ops->acquire(tokens, PS_TOKEN_NETWORK, PS_TOKEN_FOREGROUND);
	struct pad *pads = pads_new(&world, 50, 100, PS_VERIFY_HEAD);
	OK(ps_group_new(world.workers, &group_options, &group));
	pads_add(pads, 50, group);
	do {
		sched_yield();
		OK(ps_tokens_stats(tokens, &stats));
	} while (stats.waiting < 4);
	uint64_t began_ns = ps_clock_now(&ps_system_clock);
	ps_group_cancel(group);
	FAILS(PS_ECANCELED, ps_group_wait(group));
	assert_true(ps_clock_now(&ps_system_clock) - began_ns < PROMPTLY_NS);
	ps_group_free(group);
	pads_check_ended(pads, 50);
	for (int i = 0; i < 50; i++)
		assert_int_equal(pads[i].settle.task.fate, PS_FATE_UNSENT);
	script_network_figures(world.network, &figures);
	assert_int_equal(figures.requests, 0);
	free(pads);
	/* And the workers are of use afterwards. */
	tokens->ops->release(tokens, PS_TOKEN_NETWORK, 1);
	pads = pads_new(&world, 50, 100, PS_VERIFY_HEAD);
	OK(ps_group_new(world.workers, &group_options, &group));
	pads_add(pads, 50, group);
	OK(ps_group_wait(group));
	ps_group_free(group);
	free(pads);
	world_close(&world);
	OK(ps_tokens_free(tokens));
}

/* ---- a cancellation that comes between sealing and waiting for a token ---- */

static ps_group *to_cancel;

static int seal_and_cancel(struct ps_settle *settle)
{
	int err = pad_ops.seal(settle);
	ps_group_cancel(to_cancel);
	return err;
}

static void a_cancelled_task_does_not_begin_to_wait_for_a_token(void **state)
{
	(void)state;
	struct ps_settle_ops ops = {seal_and_cancel, pad_ops.opened, pad_ops.ended};
	struct world world;
	struct ps_tokens *tokens;
	uint64_t random = 3;
	open_with_tokens(&world, 1, &tokens, &random);
	tokens->ops->acquire(tokens, PS_TOKEN_NETWORK, PS_TOKEN_FOREGROUND);
	struct pad *pad = pads_new(&world, 1, 100, PS_VERIFY_HEAD);
	pad->settle.ops = &ops;
	OK(ps_group_new(world.workers, &group_options, &to_cancel));
	pads_add(pad, 1, to_cancel);
	FAILS(PS_ECANCELED, ps_group_wait(to_cancel));
	pads_check_ended(pad, 1);
	assert_int_equal(pad->settle.task.fate, PS_FATE_UNSENT);
	ps_group_free(to_cancel);
	tokens->ops->release(tokens, PS_TOKEN_NETWORK, 1);
	free(pad);
	world_close(&world);
	OK(ps_tokens_free(tokens));
}

/* ---- classes ---- */

static atomic_uint acquired[PS_TOKEN_CLASSES], held;

static void spy_acquire(struct ps_tokens *tokens, enum ps_token_kind kind, enum ps_token_class class)
{
	(void)tokens, (void)kind;
	acquired[class]++;
	held++;
}

static size_t spy_try_acquire(struct ps_tokens *tokens, enum ps_token_kind kind, size_t n)
{
	(void)tokens, (void)kind, (void)n;
	return 0;
}

static void spy_release(struct ps_tokens *tokens, enum ps_token_kind kind, size_t n)
{
	(void)tokens, (void)kind;
	held -= (unsigned)n;
}

static void tokens_are_taken_in_the_class_of_the_operation(void **state)
{
	(void)state;
	static const struct ps_tokens_ops spy_ops = {spy_acquire, spy_try_acquire, spy_release};
	struct ps_tokens spy = {&spy_ops};
	struct world world;
	struct ps_workers_options options = {.tokens = &spy};
	uint64_t random = 8;
	ps_group *group;
	options.clock = &ps_system_clock;
	options.backoff_ms = options.backoff_most_ms = 1;
	world_open(&world, &options, answer_soon, &random);
	for (enum ps_token_class class = 0; class < PS_TOKEN_CLASSES; class ++) {
		struct pad *pads = pads_new(&world, 20, 100, PS_VERIFY_NONE);
		for (unsigned i = 0; i < 20; i++)
			pads[i].number += 100 * (unsigned)class;
		enum ps_token_class before = ps_tokens_set_class(class);
		OK(ps_group_new(world.workers, &group_options, &group));
		(void)ps_tokens_set_class(before);
		pads_add(pads, 20, group);
		OK(ps_group_wait(group));
		ps_group_free(group);
		free(pads);
		assert_true(acquired[class] >= 20);
		assert_int_equal(acquired[PS_TOKEN_BACKGROUND] > 0, class == PS_TOKEN_BACKGROUND);
		assert_int_equal(held, 0);
	}
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(four_workers_with_one_token_never_have_two_requests_in_flight),
	    cmocka_unit_test(requests_in_flight_keep_to_the_network_s_share),
	    cmocka_unit_test(who_waits_for_a_token_can_be_cancelled),
	    cmocka_unit_test(a_cancelled_task_does_not_begin_to_wait_for_a_token),
	    cmocka_unit_test(tokens_are_taken_in_the_class_of_the_operation),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
