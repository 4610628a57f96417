/* Since when pushes send: simulated with numbers only, what a store costs that is pushed again and again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "multistore/push_since.h"

enum { OBJECTS = 100000, OBJECT_BYTES = 1024, PUSHES = 500, RUNS_MOST = 64 };

struct world {
	uint32_t objects;
	uint64_t *changed; /* when each object was changed last: the number of a push */
	uint64_t weight[RUNS_MOST], upto[RUNS_MOST];
	uint32_t runs;
	uint64_t now;
	uint64_t sent, most_network; /* bytes */
	uint32_t most_runs;
};

static uint64_t roll(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15U;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
	z = (z ^ z >> 27) * 0x94d049bb133111ebU;
	return z ^ z >> 31;
}

static uint64_t changed_since(const struct world *w, uint64_t since)
{
	uint64_t count = 0;
	for (uint32_t i = 0; i < w->objects; i++)
		count += w->changed[i] > since;
	return count * (OBJECT_BYTES + PS_ITEM_COST);
}

static void push(struct world *w)
{
	uint64_t live = (uint64_t)w->objects * (OBJECT_BYTES + PS_ITEM_COST), network = 0;
	uint64_t changed = changed_since(w, w->runs ? w->upto[w->runs - 1] : 0);
	uint32_t keep = ps_push_keep(w->weight, w->runs, live, changed);
	assert_true(keep <= w->runs && keep < RUNS_MOST);
	uint64_t sends = changed_since(w, keep ? w->upto[keep - 1] : 0);
	for (uint32_t i = 0; i < w->runs; i++)
		network += w->weight[i];
	network += sends; /* what it replaces goes only when the new state is there */
	w->weight[keep] = sends;
	w->upto[keep] = w->now;
	w->runs = keep + 1;
	w->sent += sends;
	w->most_network = network > w->most_network ? network : w->most_network;
	w->most_runs = w->runs > w->most_runs ? w->runs : w->most_runs;
}

static void world_new(struct world *w, uint32_t objects)
{
	*w = (struct world){.objects = objects, .changed = calloc(objects, sizeof(*w->changed)), .now = 1};
	assert_non_null(w->changed);
	for (uint32_t i = 0; i < objects; i++)
		w->changed[i] = 1;
	push(w);
	w->sent = 0;
}

/* The figure: 1 KiB objects overwritten 5 times at random, pushed every 1 %. */
static void a_store_overwritten_five_times_costs_at_most_six_times_the_changes(void **state)
{
	struct world w;
	uint64_t dice = 1, changed = 0;
	(void)state;
	world_new(&w, OBJECTS);
	for (unsigned i = 0; i < PUSHES; i++) {
		w.now++;
		for (unsigned k = 0; k < OBJECTS / 100; k++)
			w.changed[roll(&dice) % OBJECTS] = w.now;
		changed += (uint64_t)(OBJECTS / 100) * OBJECT_BYTES;
		push(&w);
	}
	double cost = (double)w.sent / (double)changed;
	double network = (double)w.most_network / ((double)OBJECTS * OBJECT_BYTES);
	print_message("sent per changed byte: %.2f, runs: %u at most, on the network: %.2f times the store\n",
	              cost, w.most_runs, network);
	assert_true(cost <= 6);
	assert_true(network <= 3.1);
	assert_true(w.most_runs <= 12);
	free(w.changed);
}

/* Pushes of very different sizes, in any order. */
static void runs_stay_few_whatever_is_pushed(void **state)
{
	uint64_t dice = 2;
	(void)state;
	for (unsigned round = 0; round < 4; round++) {
		struct world w;
		world_new(&w, OBJECTS / 10);
		for (unsigned i = 0; i < PUSHES; i++) {
			uint64_t some = round == 0   ? 1
			                : round == 1 ? 1 + roll(&dice) % 3000
			                             : 1U << roll(&dice) % 13;
			if (round == 3) /* always a little less than before */
				some = (uint64_t)(PUSHES - i) * 4;
			w.now++;
			for (uint64_t k = 0; k < some; k++)
				w.changed[roll(&dice) % w.objects] = w.now;
			push(&w);
		}
		print_message("round %u: %u runs at most, %.2f times the store on the network\n", round,
		              w.most_runs, (double)w.most_network / ((double)w.objects * OBJECT_BYTES));
		assert_true(w.most_runs <= 24);
		assert_true((double)w.most_network <= 3.2 * (double)w.objects * OBJECT_BYTES);
		free(w.changed);
	}
}

static void the_first_push_sends_all(void **state)
{
	(void)state;
	assert_int_equal(ps_push_keep(NULL, 0, 1000, 1000), 0);
}

static void a_small_push_leaves_a_large_run_alone(void **state)
{
	const uint64_t weight[] = {1 << 30, 100 << 20};
	(void)state;
	assert_int_equal(ps_push_keep(weight, 2, 1 << 30, 100000), 2);
	assert_int_equal(ps_push_keep(weight, 2, 1 << 30, 90 << 20), 1);
	assert_int_equal(ps_push_keep(weight, 2, 500 << 20, 100000), 0); /* the store has shrunk */
}

/* Else a clone would read twice what there is. */
static void a_push_of_nearly_all_sends_all(void **state)
{
	const uint64_t weight[] = {100 << 20, 10 << 20};
	(void)state;
	assert_int_equal(ps_push_keep(weight, 1, 100 << 20, 100 << 20), 0);
	assert_int_equal(ps_push_keep(weight, 2, 100 << 20, 81 << 20), 0);
	assert_int_equal(ps_push_keep(weight, 2, 100 << 20, 79 << 20), 1);
	assert_int_equal(ps_push_keep((uint64_t[]){200000}, 1, 200000, 200000), 1);
}

static void a_state_never_has_more_runs_than_a_clone_reads(void **state)
{
	uint64_t weight[PS_KEEP_RUNS_MAX + 5], all = 0;
	(void)state;
	for (unsigned i = 0; i < PS_KEEP_RUNS_MAX + 5; i++) {
		weight[i] = (uint64_t)1 << (59 - i);
		all += weight[i];
	}
	assert_true(ps_push_keep(weight, PS_KEEP_RUNS_MAX + 5, all, 1) < PS_KEEP_RUNS_MAX);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_store_overwritten_five_times_costs_at_most_six_times_the_changes),
	    cmocka_unit_test(runs_stay_few_whatever_is_pushed),
	    cmocka_unit_test(the_first_push_sends_all),
	    cmocka_unit_test(a_small_push_leaves_a_large_run_alone),
	    cmocka_unit_test(a_push_of_nearly_all_sends_all),
	    cmocka_unit_test(a_state_never_has_more_runs_than_a_clone_reads),
	};
	return cmocka_run_group_tests_name("since when a push sends", tests, NULL, NULL);
}
