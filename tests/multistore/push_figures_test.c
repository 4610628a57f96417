/* What a push costs: bytes and requests.
 * usage: push_figures_test [MEBIBYTES [MEBIBYTES]]: of the bulk load; of a store that is overwritten (by
 * hand: 64 take a minute) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/multistore/push_fixture.h"

static size_t bulk = 24, overwritten;

enum { OBJECT = 1024, SMALL = 8000, SCATTERED = 1000, CHANGE = 100, SMALL_PUSHES = 20, INDEX_RUNS = 8 };

static double seconds(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Medium pads, as they are by default. */
static void figures_new(struct world *w)
{
	world_new(w, "mem", 1);
	blobs_close(w->b);
	w->b->options.mode = PS_REMOTE_MEDIUM;
	assert_ok(blobs_start(w->b, false));
	w->options.compression = -1;
}

/* Large ones, and behind them small ones, which are those that change. */
static void load(struct world *w, size_t objects, ps_id *small)
{
	uint8_t bytes[OBJECT];
	ps_id id;
	for (size_t i = 0; i < objects + SMALL; i++) {
		bool large = i < objects;
		blobs_fill(bytes, sizeof(bytes), i + 1);
		assert_ok(ps_put(w->s, bytes, large ? OBJECT : CHANGE, large ? &id : &small[i - objects]));
	}
}

static void say(const char *what, const struct ps_push_result *r, double changed, double since)
{
	print_message("%s: %.2f MiB changed, %.2f sent (%.3f of it) in %llu requests, %llu packs, %.2f s\n",
	              what, changed / 1048576, (double)r->sent_bytes / 1048576,
	              (double)r->sent_bytes / changed, (unsigned long long)r->requests,
	              (unsigned long long)r->packs, seconds() - since);
}

static void scatter(struct world *w, const ps_id *small)
{
	uint8_t bytes[CHANGE];
	for (unsigned i = 0; i < SCATTERED; i++) {
		blobs_fill(bytes, sizeof(bytes), roll(&w->dice));
		assert_ok(ps_replace(w->s, small[roll_below(&w->dice, SMALL)], bytes, sizeof(bytes)));
	}
}

static void a_bulk_load_is_sent_once_and_little_changes_cost_little(void **state)
{
	struct world w;
	size_t objects = bulk * 1024;
	ps_id *small = malloc(SMALL * sizeof(*small));
	(void)state;
	figures_new(&w);
	load(&w, objects, small);
	double since = seconds();
	struct ps_push_result r = push_now(&w);
	double loaded = (double)objects * OBJECT + SMALL * CHANGE;
	say("bulk load", &r, loaded, since);
	assert_int_equal(r.objects, objects + SMALL);
	assert_true((double)r.sent_bytes <= 1.1 * loaded);
	uint64_t requests = 0;
	for (unsigned i = 0; i < SMALL_PUSHES; i++) {
		scatter(&w, small);
		since = seconds();
		r = push_now(&w);
		say("1,000 replaces of 100 bytes", &r, SCATTERED * CHANGE, since);
		requests += r.requests;
		assert_true(r.requests <= 12 + INDEX_RUNS);
		assert_true(r.sent_bytes <= 1 << 20);
	}
	/* Every eighth sync merges the index's small runs, which it reads for that. */
	assert_true(requests <= 12 * SMALL_PUSHES);
	for (unsigned i = 0; i < 4; i++) /* what the last push has replaced is let go, and the index tidied */
		assert_true(push_now(&w).requests <= 16);
	r = push_now(&w);
	assert_int_equal(r.requests, 1);
	free(small);
	world_free(&w);
}

/* ---- overwritten ---- */

enum { TIMES = 5, PARTS = 100 };

static void shuffle(struct dice *dice, ps_id *ids, size_t count)
{
	for (size_t i = count; i > 1; i--) {
		size_t other = (size_t)roll_below(dice, i);
		ps_id id = ids[i - 1];
		ids[i - 1] = ids[other];
		ids[other] = id;
	}
}

static void replace_all(struct world *w, const ps_id *ids, size_t count)
{
	uint8_t bytes[OBJECT];
	for (size_t i = 0; i < count; i++) {
		blobs_fill(bytes, sizeof(bytes), roll(&w->dice));
		assert_ok(ps_replace(w->s, ids[i], bytes, sizeof(bytes)));
	}
}

/* Each object five times, in another order each time, pushed after each hundredth of them. */
static void a_store_overwritten_five_times_costs_at_most_six_times_the_changes(void **state)
{
	struct world w;
	size_t objects = overwritten * 1024, part = objects / PARTS;
	ps_id *ids = malloc((objects + 1) * sizeof(*ids));
	uint8_t bytes[OBJECT] = {0};
	uint64_t sent = 0, requests = 0;
	(void)state;
	figures_new(&w);
	for (size_t i = 0; i < objects; i++)
		assert_ok(ps_put(w.s, bytes, sizeof(bytes), &ids[i]));
	(void)push_now(&w);
	for (unsigned push = 0; push < TIMES * PARTS && objects > 0; push++) {
		if (push % PARTS == 0)
			shuffle(&w.dice, ids, objects);
		replace_all(&w, ids + push % PARTS * part, part);
		struct ps_push_result r = push_now(&w);
		sent += r.sent_bytes;
		requests += r.requests;
	}
	double changed = (double)(TIMES * PARTS * part) * OBJECT;
	if (objects > 0)
		print_message("overwritten: %.1f MiB changed, %.1f sent (%.2f of it) in %llu requests\n",
		              changed / 1048576, (double)sent / 1048576, (double)sent / changed,
		              (unsigned long long)requests);
	assert_true((double)sent <= 6 * changed);
	free(ids);
	world_free(&w);
}

/* ---- large objects ---- */

enum { PLACES = 16, PLACE_BYTES = 65536 };

static ps_id put_large(struct world *w, uint64_t size)
{
	uint8_t *bytes = malloc(1 << 20);
	ps_writer *writer;
	ps_id id;
	assert_non_null(bytes);
	assert_ok(ps_open_writer(w->s, PS_ID_NONE, PS_SIZE_UNKNOWN, &writer));
	for (uint64_t at = 0; at < size; at += 1 << 20) {
		blobs_fill(bytes, 1 << 20, at + 1);
		assert_ok(ps_writer_write(writer, bytes, 1 << 20));
	}
	id = ps_writer_id(writer);
	assert_ok(ps_writer_finish(writer));
	free(bytes);
	return id;
}

/* Not where chunks begin: each place touches two. */
static void write_places(struct world *w, ps_id id, uint64_t size)
{
	uint8_t bytes[PLACE_BYTES];
	for (unsigned i = 0; i < PLACES; i++) {
		blobs_fill(bytes, sizeof(bytes), roll(&w->dice));
		uint64_t at = size / PLACES * i + roll_below(&w->dice, size / PLACES - PLACE_BYTES);
		assert_ok(ps_write_at(w->s, id, at, bytes, sizeof(bytes)));
	}
}

static void of_a_large_object_what_was_written_is_sent(void **state)
{
	struct world w;
	uint64_t size = bulk << 20;
	(void)state;
	figures_new(&w);
	ps_id id = put_large(&w, size);
	double since = seconds();
	struct ps_push_result r = push_now(&w);
	say("a large object", &r, (double)size, since);
	assert_true((double)r.sent_bytes <= 1.1 * (double)size);
	for (unsigned i = 0; i < 4; i++) {
		write_places(&w, id, size);
		since = seconds();
		r = push_now(&w);
		say("1 MiB in 16 places of it", &r, PLACES * PLACE_BYTES, since);
		/* What is not much more than what was sent before is sent again with it. */
		assert_true(r.bytes <= (i % 2 ? 4U : 2U) * PLACES * PLACE_BYTES * 2);
		assert_true(r.requests <= 24);
	}
	struct picture p;
	picture_take(&p, w.s);
	expect_clone(&w, w.b->r, 0, &p);
	picture_free(&p);
	world_free(&w);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(of_a_large_object_what_was_written_is_sent),
	    cmocka_unit_test(a_bulk_load_is_sent_once_and_little_changes_cost_little),
	    cmocka_unit_test(a_store_overwritten_five_times_costs_at_most_six_times_the_changes),
	};
	if (argc > 1)
		bulk = strtoull(argv[1], NULL, 10);
	if (argc > 2)
		overwritten = strtoull(argv[2], NULL, 10);
	return cmocka_run_group_tests_name("what pushes cost", tests, NULL, NULL);
}
