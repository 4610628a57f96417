/* The power goes at a write of a store's file while the store is pushed, and leaves its file and comes back;
 * what the network has then stays. In every state that the disk may be in the store opens attached, holds
 * exactly a prefix of the commits with all that were acknowledged, checks clean, and can be pushed and
 * cloned.
 *
 * usage: full_crash_test [STRIDE [HISTORIES]]: every so-manieth write of a history */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/crash/script.h"
#include "tests/multistore/push_fixture.h"
#include "tests/support/crash_states.h"

static uint64_t stride = 1, histories = 3;

enum { ROUNDS = 3, STEPS = 5 };

/* One crash of one history. */
struct crashed {
	struct world w; /* its network */
	struct run *run;
	struct sim_disk *disk; /* of the states */
	size_t point;          /* the last one: what is looked at */
	uint64_t seed, kth, states, fetches;
};

/* ---- the stack ---- */

static int attach(void *arg, ps_storer *base, ps_storer **s)
{
	static const uint32_t slots[] = {64, 512, 1536, 4096};
	struct crashed *c = arg;
	const struct ps_multi_options options = {.size = sizeof(options),
	                                         .slots = slots,
	                                         .slot_count = 4,
	                                         .slab_bytes = 8 << 10,
	                                         .remote = c->w.b->r,
	                                         .log_ms = PS_LOG_OFF};
	return ps_multi_open(base, &options, s);
}

static int push(void *arg, ps_storer *s)
{
	(void)arg;
	return ps_push(s, NULL, NULL, NULL);
}

static int evict(void *arg, ps_storer *s)
{
	(void)arg;
	return ps_evict(s, 0, NULL, NULL, NULL);
}

static void history(struct run *run)
{
	script_random(run, STEPS, run->seed % 2);
	for (unsigned i = 0; i < ROUNDS; i++) {
		step_evict(run);
		script_random(run, STEPS, i == 1);
	}
	step_evict(run);
}

/* ---- what is there ---- */

static int say_finding(void *arg, const struct ps_finding *finding)
{
	snprintf(arg, ORACLE_WHY, "%s, id %#llx: %s", ps_error_name(finding->error),
	         (unsigned long long)finding->id, finding->message);
	return 0;
}

static void wrong(const struct crashed *c, const char *what, const char *why)
{
	fail_msg("history %llu, write %llu, state %llu: %s: %s", (unsigned long long)c->seed,
	         (unsigned long long)c->kth, (unsigned long long)c->states, what, why);
}

/* A commit that leaves all contents as they were cannot be told from the one before by contents: but the cut
 * tells. */
static void expect_prefix(const struct crashed *c, ps_storer *s)
{
	char why[ORACLE_WHY] = "", other[ORACLE_WHY];
	struct oracle *o = c->run->oracle;
	size_t low = oracle_lowest(o, c->point), commit;
	if (!oracle_match(o, s, low, oracle_highest(o, c->point), &commit, why))
		wrong(c, "contents", why);
	while (!marks_hold(&c->run->marks, o, s, commit, c->point, why)) {
		if (commit == low || !oracle_match(o, s, low, commit - 1, &commit, other))
			wrong(c, "marks", why);
	}
	why[0] = 0;
	if (ps_check(s, PS_CHECK_QUICK, say_finding, why) != PS_OK)
		wrong(c, "check", why[0] ? why : ps_last_error_message());
}

static int see_state(void *arg, const struct crash_state *state)
{
	struct crashed *c = arg;
	ps_storer *s;
	if (state->point != c->point)
		return 0;
	c->states++;
	sim_disk_reset(c->disk, state->image, state->size);
	if (store_open(c->disk, c->run->relaxed, &s) != PS_OK)
		wrong(c, "open", ps_last_error_message());
	expect_prefix(c, s);
	struct ps_local_figures figures;
	assert_ok(ps_local_figures(s, &figures));
	c->fetches += figures.fetches;
	if (ps_close(s) != PS_OK)
		wrong(c, "close", ps_last_error_message());
	return 0;
}

/* The one in which all is there that was written: it goes on to push, and its contents to leave. */
static void expect_to_go_on(struct crashed *c)
{
	struct picture p;
	if (store_open(c->disk, c->run->relaxed, &c->w.s) != PS_OK)
		wrong(c, "open", ps_last_error_message());
	if (push(NULL, c->w.s) != PS_OK || evict(NULL, c->w.s) != PS_OK)
		wrong(c, "push and evict", ps_last_error_message());
	expect_prefix(c, c->w.s);
	picture_take(&p, c->w.s);
	expect_clone(&c->w, c->w.b->r, 0, &p);
	picture_free(&p);
	(void)expect_packs(c->w.b);
	blobs_check(c->w.b);
	assert_ok(ps_close(c->w.s));
}

/* ---- the loop ---- */

static void see_after(struct crashed *c, const uint8_t *image, uint64_t size)
{
	const struct crash_options options = {.seed = c->kth, .exhaustive = 8, .samples = 3, .singles = 3};
	const struct sim_trace *trace = sim_disk_trace(c->run->disk);
	uint64_t now = sim_disk_size(c->run->disk);
	uint8_t *all = malloc(now + 1);
	assert_non_null(all);
	c->point = trace->count;
	(void)crash_explore(image, size, trace, &options, see_state, c, NULL);
	sim_disk_image(c->run->disk, all);
	sim_disk_reset(c->disk, all, now);
	expect_to_go_on(c);
	free(all);
}

/* False: there are fewer writes. Who has died writes nothing any more, but goes on to ask the network. */
static bool crash_at(uint64_t seed, uint64_t kth, uint64_t *states, uint64_t *fetches)
{
	const struct script script = {.name = "on a network", .relaxed = seed % 2};
	const struct ps_remote_seams seams = {.backoff_ms = 1};
	struct crashed c = {.seed = seed, .kth = kth};
	const struct script_network network = {attach, push, evict, &c};
	uint64_t size;
	script_on_network(&network);
	c.w.b = blobs_new_with("mem", &seams);
	struct sim_disk *disk = sim_disk_new(NULL, 0);
	c.disk = sim_disk_new(NULL, 0);
	c.run = run_new(disk, seed);
	uint8_t *image = run_setup(c.run, &script, &size);
	c.run->faults = true;
	run_open(c.run);
	sim_disk_fail(disk, kth, EIO, true);
	history(c.run);
	bool hit = sim_disk_faults(disk) > 0;
	see_after(&c, image, size);
	run_close(c.run);
	*states += c.states;
	*fetches += c.fetches;
	run_free(c.run);
	sim_disk_free(disk);
	sim_disk_free(c.disk);
	blobs_free(c.w.b);
	free(image);
	script_on_network(NULL);
	return hit;
}

static void a_crash_of_an_evicting_store_keeps_what_was_acknowledged(void **state)
{
	uint64_t first = test_seed(1), crashes = 0, states = 0, fetches = 0;
	(void)state;
	for (uint64_t seed = first; seed < first + histories; seed++) {
		uint64_t kth = 1 + seed % stride;
		while (crash_at(seed, kth, &states, &fetches)) {
			kth += stride;
			crashes++;
		}
	}
	print_message("%llu crashes, %llu states of the disk, %llu fetches in them\n",
	              (unsigned long long)crashes, (unsigned long long)states, (unsigned long long)fetches);
	assert_true(states >= crashes && fetches > crashes);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_crash_of_an_evicting_store_keeps_what_was_acknowledged),
	};
	if (argc > 1)
		stride = strtoull(argv[1], NULL, 10);
	if (argc > 2)
		histories = strtoull(argv[2], NULL, 10);
	return cmocka_run_group_tests_name("crashes of stores on a network", tests, NULL, NULL);
}
