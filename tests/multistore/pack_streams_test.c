/* Reading ahead of who goes through several packs at once, as a walk over the slots of a state does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "multistore/pack_streams.h"

enum { RUNS = 13, BLOCKS = 100, PLENTY = 1 << 20 };

struct walk {
	struct ps_pack_streams streams;
	struct ps_pack_index index[RUNS];
	uint32_t at[RUNS]; /* the block that is asked for next */
	unsigned requests;
	uint32_t longest; /* in the last round: blocks ahead of one request */
};

static void walk_new(struct walk *w, uint32_t most)
{
	*w = (struct walk){.requests = 0};
	assert_int_equal(ps_pack_streams_init(&w->streams, most), 0);
	for (unsigned i = 0; i < RUNS; i++) {
		w->index[i].tail.about.mark[0] = (uint8_t)(i + 1);
		w->index[i].tail.blocks = BLOCKS;
	}
}

/* A request of each pack that is not through. False: all are. */
static bool go_round(struct walk *w)
{
	bool any = false;
	w->longest = 0;
	for (unsigned i = 0; i < RUNS; i++) {
		uint32_t block = w->at[i];
		if (block == BLOCKS)
			continue;
		uint32_t last = ps_pack_streams_follow(&w->streams, &w->index[i], block, block);
		assert_in_range(last, block, BLOCKS - 1);
		ps_pack_streams_went(&w->streams, &w->index[i], block, last + 1);
		w->longest = last - block > w->longest ? last - block : w->longest;
		w->at[i] = last + 1;
		w->requests++;
		any = true;
	}
	return any;
}

/* 1, 2, 3, 5, 9, 17, 33, and the rest: eight requests a pack instead of a hundred. */
static void all_packs_of_a_walk_are_read_ahead_of(void **state)
{
	struct walk w;
	(void)state;
	walk_new(&w, PLENTY);
	while (go_round(&w))
		;
	assert_int_equal(w.requests, RUNS * 8);
	ps_pack_streams_done(&w.streams);
}

/* What is ahead is kept until it is asked for. */
static void together_they_are_no_further_than_what_is_kept(void **state)
{
	enum { MOST = 3 * RUNS };
	struct walk w;
	unsigned rounds = 0;
	(void)state;
	walk_new(&w, MOST);
	for (; go_round(&w); rounds++)
		assert_true(w.longest <= MOST / RUNS);
	assert_in_range(rounds, BLOCKS / (1 + MOST / RUNS), 30);
	ps_pack_streams_done(&w.streams);
}

static void who_jumps_about_has_nothing_ahead(void **state)
{
	struct walk w;
	(void)state;
	walk_new(&w, PLENTY);
	for (uint32_t i = 0; i < 50; i++) {
		uint32_t block = i * 37 % BLOCKS;
		assert_int_equal(ps_pack_streams_follow(&w.streams, &w.index[0], block, block), block);
		ps_pack_streams_went(&w.streams, &w.index[0], block, block + 1);
	}
	ps_pack_streams_done(&w.streams);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(all_packs_of_a_walk_are_read_ahead_of),
	    cmocka_unit_test(together_they_are_no_further_than_what_is_kept),
	    cmocka_unit_test(who_jumps_about_has_nothing_ahead),
	};
	return cmocka_run_group_tests_name("reading packs ahead", tests, NULL, NULL);
}
