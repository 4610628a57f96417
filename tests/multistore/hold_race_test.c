/* Several machines that want to hold one store, at once: at most one does, and nothing that was confirmed to
 * any is lost. usage: hold_race_test [SCHEME RACES]: seeded races */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/multistore/station.h"

static const char *scheme = "mem";
static unsigned races = 4;

enum { RACERS = 3, TURNS = 8 };

struct racer {
	struct station a;
	struct dice dice;
	unsigned number, tokens, confirmed_count;
	unsigned confirmed[TURNS];
};

static void token_text(unsigned racer, unsigned token, char text[32])
{
	snprintf(text, 32, "token %u of %u", token, racer);
}

/* A new file, in place of one that is not of the line any more. */
static void clone_anew(struct racer *r)
{
	int err;
	assert_ok(ps_close(r->a.s));
	do {
		err = station_clone(&r->a, roll(&r->dice) % 2, "raced");
		if (err != PS_OK && err != PS_ESUPERSEDED)
			fail_msg("clone: %s (%s)", ps_error_name(err), ps_last_error_message());
	} while (err);
}

static bool is_refusal(int err)
{
	return err == PS_EHELD || err == PS_EFENCED || err == PS_EFORK;
}

static void take_turn(struct racer *r)
{
	char text[32];
	unsigned token = r->tokens++;
	token_text(r->number, token, text);
	station_put_text(&r->a, text);
	int err = station_push(&r->a);
	if (is_refusal(err) && roll(&r->dice) % 2) {
		err = station_take_over(&r->a);
		err = err ? err : station_push(&r->a);
	}
	if (err && !is_refusal(err))
		fail_msg("a race: %s (%s)", ps_error_name(err), ps_last_error_message());
	if (err == PS_OK)
		r->confirmed[r->confirmed_count++] = token;
	else if (err == PS_EFORK || roll(&r->dice) % 4 == 0)
		clone_anew(r);
}

static void *run_racer(void *arg)
{
	struct racer *r = arg;
	while (r->tokens < TURNS)
		take_turn(r);
	return NULL;
}

/* At most one pushes, and what was confirmed to any of them is in the newest state. */
static void check_race(struct world *w, struct racer *racers, uint64_t seed)
{
	unsigned holders = 0;
	for (unsigned i = 0; i < RACERS; i++) {
		int err = station_push(&racers[i].a);
		if (err && !is_refusal(err))
			fail_msg("behind a race: %s (%s)", ps_error_name(err), ps_last_error_message());
		holders += err == PS_OK;
	}
	assert_true(holders <= 1);
	char path[256], text[32];
	(void)sync_machine(w->b);
	ps_storer *s = clone_open(w, w->b->r, 0, path);
	for (unsigned i = 0; i < RACERS; i++) {
		for (unsigned k = 0; k < racers[i].confirmed_count; k++) {
			token_text(i, racers[i].confirmed[k], text);
			if (!has_text(s, text))
				fail_msg("seed %llu: \"%s\" was confirmed, and is lost",
				         (unsigned long long)seed, text);
		}
	}
	assert_ok(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	assert_ok(ps_close(s));
	assert_int_equal(unlink(path), 0);
}

static void race(uint64_t seed)
{
	struct world w;
	struct racer racers[RACERS];
	pthread_t threads[RACERS];
	world_new(&w, scheme, seed);
	change_some(&w, 10);
	(void)push_now(&w);
	for (unsigned i = 0; i < RACERS; i++) {
		racers[i] = (struct racer){.number = i, .dice = {seed * RACERS + i + 1}};
		station_new(&racers[i].a, &w);
	}
	assert_ok(station_take_over(&racers[seed % RACERS].a));
	for (unsigned i = 0; i < RACERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, run_racer, &racers[i]), 0);
	for (unsigned i = 0; i < RACERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	check_race(&w, racers, seed);
	for (unsigned i = 0; i < RACERS; i++)
		station_free(&racers[i].a);
	world_free(&w);
}

static void of_those_that_race_one_holds_and_nothing_confirmed_is_lost(void **state)
{
	(void)state;
	for (uint64_t seed = 0; seed < races; seed++)
		race(test_seed(1) + seed);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(of_those_that_race_one_holds_and_nothing_confirmed_is_lost),
	};
	if (argc > 2) {
		scheme = argv[1];
		races = (unsigned)atoi(argv[2]);
	}
	return cmocka_run_group_tests_name("races for the hold", tests, NULL, NULL);
}
