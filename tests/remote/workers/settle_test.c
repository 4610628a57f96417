/* What follows from an outcome and from a look: every pair has its line in a table here, written from the
 * rules (a write whose outcome is unknown) and not from the code. */
#include "fixture.h"

#define OUTCOMES (PS_NET_UNKNOWN + 1)

/* ---- after a write ---- */

#define LOOK                                                                                                 \
	{                                                                                                    \
		PS_TASK_LOOK, PS_SETTLED_NOT                                                                 \
	}
#define AGAIN                                                                                                \
	{                                                                                                    \
		PS_TASK_AGAIN, PS_SETTLED_NOT                                                                \
	}
#define RESEND                                                                                               \
	{                                                                                                    \
		PS_TASK_RESEND, PS_SETTLED_NOT                                                               \
	}
#define DONE                                                                                                 \
	{                                                                                                    \
		PS_TASK_DONE, PS_SETTLED_CONFIRMED                                                           \
	}
#define BELIEVED                                                                                             \
	{                                                                                                    \
		PS_TASK_DONE, PS_SETTLED_WRITTEN                                                             \
	}
#define REFUSED                                                                                              \
	{                                                                                                    \
		PS_TASK_FAILED, PS_SETTLED_REFUSED                                                           \
	}
#define CONFLICT                                                                                             \
	{                                                                                                    \
		PS_TASK_FAILED, PS_SETTLED_CONFLICT                                                          \
	}
#define OLDER                                                                                                \
	{                                                                                                    \
		PS_TASK_FAILED, PS_SETTLED_OLDER                                                             \
	}
#define GONE                                                                                                 \
	{                                                                                                    \
		PS_TASK_FAILED, PS_SETTLED_GONE                                                              \
	}

/* By outcome: nothing of it can be on its way; an earlier copy may be. */
static const struct {
	enum ps_net_op op;
	struct ps_settle_step settled[OUTCOMES], open[OUTCOMES];
} after_write[] = {
    /*        done  conflict absent full     too big  denied   unavailable unknown */
    {PS_NET_CREATE,
     {LOOK, LOOK, LOOK, REFUSED, REFUSED, REFUSED, AGAIN, LOOK},
     {LOOK, LOOK, LOOK, LOOK, LOOK, LOOK, AGAIN, LOOK}},
    {PS_NET_REPLACE,
     {LOOK, LOOK, LOOK, REFUSED, REFUSED, REFUSED, AGAIN, LOOK},
     {LOOK, LOOK, LOOK, LOOK, LOOK, LOOK, AGAIN, LOOK}},
    {PS_NET_REMOVE,
     {LOOK, LOOK, DONE, REFUSED, REFUSED, REFUSED, AGAIN, LOOK},
     {LOOK, LOOK, DONE, LOOK, LOOK, LOOK, AGAIN, LOOK}},
};

static void check_step(struct ps_settle_step is, struct ps_settle_step should)
{
	assert_int_equal(is.answer, should.answer);
	assert_int_equal(is.settled, should.settled);
}

static void every_outcome_of_a_write_is_followed_by_what_the_rules_say(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(after_write) / sizeof(*after_write); i++) {
		enum ps_net_op op = after_write[i].op;
		for (enum ps_outcome o = 0; o < OUTCOMES; o++) {
			check_step(ps_settle_after_write(op, o, false, PS_VERIFY_HEAD),
			           after_write[i].settled[o]);
			check_step(ps_settle_after_write(op, o, true, PS_VERIFY_READ),
			           after_write[i].open[o]);
			check_step(ps_settle_after_write(op, o, true, PS_VERIFY_SAMPLE),
			           after_write[i].open[o]);
			struct ps_settle_step believed = BELIEVED;
			check_step(ps_settle_after_write(op, o, false, PS_VERIFY_NONE),
			           o == PS_NET_DONE ? believed : after_write[i].settled[o]);
		}
	}
}

/* ---- after a look ---- */

/* What head() can show, for a write that expects (5, E) and sends (9, N). */
enum sight {
	NEW,
	EXPECTED,
	NEWER,
	SAME_COUNTER,
	BETWEEN,
	OLD_COUNTER,
	SAME_AS_EXPECTED_COUNTER,
	NOTHING,
	SIGHTS
};

static const struct ps_pad_identity seen[SIGHTS] = {
    [NEW] = {9, {'N'}},
    [EXPECTED] = {5, {'E'}},
    [NEWER] = {10, {'X'}},
    [SAME_COUNTER] = {9, {'X'}},
    [BETWEEN] = {7, {'X'}},
    [OLD_COUNTER] = {4, {'X'}},
    [SAME_AS_EXPECTED_COUNTER] = {5, {'X'}},
};

static const struct {
	enum ps_net_op op;
	struct ps_settle_step steps[SIGHTS];
} after_look[] = {
    /*               new   expected newer   same      between   old    same as E nothing */
    {PS_NET_CREATE, {DONE, OLDER, CONFLICT, CONFLICT, OLDER, OLDER, OLDER, RESEND}},
    {PS_NET_REPLACE, {DONE, RESEND, CONFLICT, CONFLICT, OLDER, OLDER, OLDER, GONE}},
    {PS_NET_REMOVE, {CONFLICT, RESEND, CONFLICT, CONFLICT, CONFLICT, OLDER, CONFLICT, DONE}},
};

static struct ps_settle_step step_for(enum ps_net_op op, enum ps_outcome outcome, enum sight sight)
{
	struct ps_net_request write = {.op = op}, look = {.op = PS_NET_HEAD, .outcome = outcome};
	if (op != PS_NET_CREATE)
		write.expected = seen[EXPECTED];
	if (op != PS_NET_REMOVE)
		write.identity = seen[NEW];
	look.identity = seen[sight];
	return ps_settle_after_look(&write, &look);
}

static void every_sight_is_followed_by_what_the_rules_say(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(after_look) / sizeof(*after_look); i++) {
		for (enum sight s = 0; s < SIGHTS; s++) {
			enum ps_outcome outcome = s == NOTHING ? PS_NET_ABSENT : PS_NET_DONE;
			check_step(step_for(after_look[i].op, outcome, s), after_look[i].steps[s]);
		}
	}
}

static void a_look_that_fails_is_only_ever_repeated(void **state)
{
	(void)state;
	static const enum ps_outcome fails[] = {PS_NET_CONFLICT, PS_NET_FULL,        PS_NET_TOO_BIG,
	                                        PS_NET_DENIED,   PS_NET_UNAVAILABLE, PS_NET_UNKNOWN};
	struct ps_settle_step again = AGAIN;
	for (enum ps_net_op op = PS_NET_CREATE; op <= PS_NET_REMOVE; op++) {
		for (size_t i = 0; i < sizeof(fails) / sizeof(*fails); i++) {
			for (enum sight s = 0; s < SIGHTS; s++)
				check_step(step_for(op, fails[i], s), again);
		}
	}
}

/* ---- every pair of answers, by the workers ---- */

struct pair {
	struct script_answer write;
	bool wrote;
	enum sight sight;
	unsigned number;
	ps_network *network;
	unsigned resent;
};

/* The first write is answered as the pair has it; then another hand puts there what the look shows; all that
 * follows is fine. */
static struct script_answer answer_pair(void *arg, unsigned client, uint64_t nth,
                                        const struct ps_net_request *request)
{
	struct pair *pair = arg;
	struct script_answer fine = {.after_ns = PS_MS_NS};
	(void)client, (void)nth;
	if (!ps_net_op_writes(request->op))
		return fine;
	pair->resent += pair->wrote;
	if (pair->wrote)
		return fine;
	pair->wrote = true;
	return pair->write;
}

static struct ps_pad_identity identity_seen(enum sight sight, const struct pad *pad)
{
	struct ps_pad_identity identity = pad->expected;
	switch (sight) {
	case NEW:
		return pad_identity(pad->number, pad->expected.counter + 1);
	case NEWER:
		return pad_identity(pad->number + 1, pad->expected.counter + 2);
	case OLD_COUNTER:
		return pad_identity(pad->number + 1, pad->expected.counter - 1);
	default:
		return identity;
	}
}

/* Fate and resends of a replace whose first answer does not tell, by what is there afterwards. */
static void run_pair(enum script_wire wire, enum ps_outcome outcome, enum sight sight, enum ps_fate fate,
                     enum ps_settled settled, unsigned resent)
{
	struct world world;
	struct pair pair = {.write = {.wire = wire, .outcome = outcome, .after_ns = PS_MS_NS}};
	struct ps_group_options group_options = {.size = sizeof(group_options)};
	struct ps_workers_options options = {.threads = 1, .retries = 4};
	ps_group *group;
	world_open(&world, &options, answer_pair, &pair);
	struct pad *pad = pads_new(&world, 1, 100, PS_VERIFY_HEAD);
	pad->op = PS_NET_REPLACE;
	pad->expected = pad_identity(0, 5);
	struct ps_pad_name name = pad_name(0);
	struct ps_pad_identity there = identity_seen(sight, pad);
	if (sight != NOTHING)
		script_network_put(world.network, &name, &there);
	OK(ps_group_new(world.workers, &group_options, &group));
	pads_add(pad, 1, group);
	int err = ps_group_wait(group);
	assert_int_equal(err == PS_OK, fate == PS_FATE_DONE);
	assert_int_equal(pad->settle.task.fate, fate);
	assert_int_equal(pad->settle.settled, settled);
	assert_int_equal(pair.resent, resent);
	ps_group_free(group);
	free(pad);
	world_close(&world);
}

static void an_outcome_that_does_not_tell_is_settled_by_what_is_there(void **state)
{
	(void)state;
	static const enum ps_outcome outcomes[] = {PS_NET_UNKNOWN, PS_NET_CONFLICT, PS_NET_ABSENT,
	                                           PS_NET_DONE};
	for (size_t i = 0; i < sizeof(outcomes) / sizeof(*outcomes); i++) {
		enum ps_outcome o = outcomes[i];
		bool open = o == PS_NET_UNKNOWN || o == PS_NET_DONE;
		run_pair(WIRE_SAYS, o, NEW, PS_FATE_DONE, PS_SETTLED_CONFIRMED, 0);
		run_pair(WIRE_SAYS, o, EXPECTED, PS_FATE_DONE, PS_SETTLED_CONFIRMED, 1);
		run_pair(WIRE_SAYS, o, NEWER, PS_FATE_FAILED, PS_SETTLED_CONFLICT, 0);
		run_pair(WIRE_SAYS, o, OLD_COUNTER, open ? PS_FATE_UNKNOWN : PS_FATE_FAILED, PS_SETTLED_OLDER,
		         0);
		run_pair(WIRE_SAYS, o, NOTHING, PS_FATE_FAILED, PS_SETTLED_GONE, 0);
	}
	run_pair(WIRE_SAYS, PS_NET_FULL, EXPECTED, PS_FATE_FAILED, PS_SETTLED_REFUSED, 0);
	run_pair(WIRE_SAYS, PS_NET_DENIED, EXPECTED, PS_FATE_FAILED, PS_SETTLED_REFUSED, 0);
	run_pair(WIRE_SAYS, PS_NET_UNAVAILABLE, EXPECTED, PS_FATE_DONE, PS_SETTLED_CONFIRMED, 1);
	run_pair(WIRE_UNSAID, PS_NET_UNKNOWN, EXPECTED, PS_FATE_DONE, PS_SETTLED_CONFIRMED, 0);
}

/* ---- as a task ---- */

static struct script_answer answer_fine(void *arg, unsigned client, uint64_t nth,
                                        const struct ps_net_request *request)
{
	(void)arg, (void)client, (void)nth, (void)request;
	return (struct script_answer){.after_ns = PS_MS_NS};
}

static int run_one(struct world *world, struct pad *pad)
{
	struct ps_group_options group_options = {.size = sizeof(group_options)};
	ps_group *group;
	OK(ps_group_new(world->workers, &group_options, &group));
	pads_add(pad, 1, group);
	int err = ps_group_wait(group);
	ps_group_free(group);
	pads_check_ended(pad, 1);
	return err;
}

static void another_version_is_told_as_a_conflict(void **state)
{
	(void)state;
	struct world world;
	struct ps_pad_name name = pad_name(0);
	struct ps_pad_identity other = pad_identity(77, 3);
	world_open(&world, NULL, answer_fine, NULL);
	struct pad *pad = pads_new(&world, 1, 100, PS_VERIFY_HEAD);
	script_network_put(world.network, &name, &other);
	FAILS(PS_EBUSY, run_one(&world, pad));
	assert_non_null(strstr(ps_last_error_message(), "another version is there"));
	assert_memory_equal(&pad->settle.there, &other, sizeof(other));
	assert_false(pad->settle.task.open);
	free(pad);
	world_close(&world);
}

static void a_remove_is_settled_too(void **state)
{
	(void)state;
	struct world world;
	struct ps_pad_name name = pad_name(0);
	struct ps_pad_identity expected = pad_identity(0, 5);
	struct pair pair = {.write = {.wire = WIRE_UNSAID}};
	world_open(&world, NULL, answer_pair, &pair);
	struct pad *pad = pads_new(&world, 1, 100, PS_VERIFY_HEAD);
	pad->op = PS_NET_REMOVE;
	pad->expected = expected;
	script_network_put(world.network, &name, &expected);
	OK(run_one(&world, pad));
	assert_int_equal(pair.resent, 0);
	assert_int_equal(pad->settle.settled, PS_SETTLED_CONFIRMED);
	free(pad);
	world_close(&world);
}

/* The network's word, and nothing behind it. */
static struct script_answer answer_lies(void *arg, unsigned client, uint64_t nth,
                                        const struct ps_net_request *request)
{
	(void)arg, (void)client, (void)nth;
	struct script_answer answer = {.after_ns = PS_MS_NS};
	answer.wire = ps_net_op_writes(request->op) ? WIRE_LIES : WIRE_FINE;
	return answer;
}

static void a_lie_is_never_confirmed_and_found_in_bounded_time(void **state)
{
	(void)state;
	struct world world;
	struct ps_workers_options options = {.retries = 6};
	world_open(&world, &options, answer_lies, NULL);
	struct pad *pad = pads_new(&world, 1, 100, PS_VERIFY_HEAD);
	FAILS(PS_ENOTFOUND, run_one(&world, pad));
	assert_int_equal(pad->settle.task.fate, PS_FATE_UNKNOWN);
	assert_int_equal(pad->settle.settled, PS_SETTLED_NOT);
	assert_true(pad->settle.task.open);
	free(pad);
	/* Who does not verify believes it. */
	pad = pads_new(&world, 1, 100, PS_VERIFY_NONE);
	OK(run_one(&world, pad));
	assert_int_equal(pad->settle.settled, PS_SETTLED_WRITTEN);
	free(pad);
	world_close(&world);
}

/* Nobody hears what becomes of a write, and nothing is seen of it: the network was not there. */
static struct script_answer answer_no_write(void *arg, unsigned client, uint64_t nth,
                                            const struct ps_net_request *request)
{
	(void)client, (void)nth;
	struct script_answer answer = {.after_ns = PS_MS_NS};
	answer.wire = ps_net_op_writes(request->op) ? *(const enum script_wire *)arg : WIRE_FINE;
	return answer;
}

static void writes_that_never_arrive_are_told_as_such(void **state)
{
	static const enum script_wire wires[] = {WIRE_LOST, WIRE_SILENCE};
	static const enum ps_net_op ops[] = {PS_NET_CREATE, PS_NET_REPLACE};
	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct world world;
		struct ps_workers_options options = {.retries = i};
		enum script_wire wire = wires[i % 2];
		struct ps_pad_name name = pad_name(0);
		world_open(&world, &options, answer_no_write, &wire);
		struct pad *pad = pads_new(&world, 1, 100, PS_VERIFY_HEAD);
		pad->op = ops[i / 2];
		pad->expected = pad_identity(0, 5);
		if (pad->op == PS_NET_REPLACE)
			script_network_put(world.network, &name, &pad->expected);
		FAILS(PS_EUNAVAILABLE, run_one(&world, pad));
		assert_non_null(strstr(ps_last_error_message(), "as the script has it"));
		assert_int_equal(pad->settle.task.open, wire == WIRE_SILENCE);
		free(pad);
		world_close(&world);
	}
}

static void what_reads_back_damaged_is_read_again_and_then_told(void **state)
{
	(void)state;
	struct world world;
	world_open(&world, NULL, answer_fine, NULL);
	struct pad *pads = pads_new(&world, 2, 100, PS_VERIFY_READ);
	pads[0].spoil = 1;
	pads[1].spoil = 100;
	OK(run_one(&world, &pads[0]));
	assert_int_equal(pads[0].settle.settled, PS_SETTLED_CONFIRMED);
	FAILS(PS_ECORRUPT, run_one(&world, &pads[1]));
	assert_int_equal(pads[1].settle.settled, PS_SETTLED_DAMAGED);
	assert_int_equal(pads[1].settle.task.fate, PS_FATE_FAILED);
	free(pads);
	world_close(&world);
}

struct reads {
	unsigned gets, heads, failing;
};

static struct script_answer answer_counted(void *arg, unsigned client, uint64_t nth,
                                           const struct ps_net_request *request)
{
	struct reads *reads = arg;
	struct script_answer answer = {.after_ns = PS_MS_NS};
	(void)client, (void)nth;
	reads->gets += request->op == PS_NET_GET;
	reads->heads += request->op == PS_NET_HEAD;
	if (!ps_net_op_writes(request->op) && reads->failing) {
		reads->failing--;
		answer.wire = WIRE_LOST;
	}
	return answer;
}

static void verify_reads_back_none_a_share_or_all(void **state)
{
	(void)state;
	enum { PADS = 400 };
	for (enum ps_verify verify = PS_VERIFY_HEAD; verify <= PS_VERIFY_READ; verify++) {
		struct world world;
		struct reads reads = {0};
		struct ps_group_options group_options = {.size = sizeof(group_options)};
		ps_group *group;
		world_open(&world, NULL, answer_counted, &reads);
		struct pad *pads = pads_new(&world, PADS, 100, verify);
		OK(ps_group_new(world.workers, &group_options, &group));
		pads_add(pads, PADS, group);
		OK(ps_group_wait(group));
		ps_group_free(group);
		assert_int_equal(reads.heads, verify == PS_VERIFY_NONE ? 0 : PADS);
		if (verify == PS_VERIFY_SAMPLE)
			assert_in_range(reads.gets, PADS * 2 / 5, PADS * 3 / 5);
		else
			assert_int_equal(reads.gets, verify == PS_VERIFY_READ ? PADS : 0);
		free(pads);
		world_close(&world);
	}
}

static void looks_and_reads_that_fail_are_repeated(void **state)
{
	(void)state;
	struct world world;
	struct reads reads = {.failing = 5};
	world_open(&world, NULL, answer_counted, &reads);
	struct pad *pad = pads_new(&world, 1, 100, PS_VERIFY_READ);
	OK(run_one(&world, pad));
	assert_int_equal(reads.heads, 6);
	assert_int_equal(reads.gets, 1);
	free(pad);
	world_close(&world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_outcome_of_a_write_is_followed_by_what_the_rules_say),
	    cmocka_unit_test(every_sight_is_followed_by_what_the_rules_say),
	    cmocka_unit_test(a_look_that_fails_is_only_ever_repeated),
	    cmocka_unit_test(an_outcome_that_does_not_tell_is_settled_by_what_is_there),
	    cmocka_unit_test(another_version_is_told_as_a_conflict),
	    cmocka_unit_test(a_remove_is_settled_too),
	    cmocka_unit_test(a_lie_is_never_confirmed_and_found_in_bounded_time),
	    cmocka_unit_test(writes_that_never_arrive_are_told_as_such),
	    cmocka_unit_test(what_reads_back_damaged_is_read_again_and_then_told),
	    cmocka_unit_test(verify_reads_back_none_a_share_or_all),
	    cmocka_unit_test(looks_and_reads_that_fail_are_repeated),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
