/* Stores that are made from a network without fetching them: all is there at once, what is touched is
 * fetched, and nothing else. usage: lazy_test [OBJECTS for the figure] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "multistore/push_internal.h"
#include "tests/multistore/push_fixture.h"

static unsigned many = 60000;

struct lazy {
	struct world w;
	struct ps_multi_options options;
	char path[256]; /* of the store that is made */
	ps_storer *s;
};

static struct ps_remote_stats stats_of(struct lazy *l)
{
	struct ps_remote_stats stats;
	blobs_stats(l->w.b, &stats);
	return stats;
}

static int open_lazily(struct lazy *l)
{
	const struct ps_base_options base = stack_base();
	return ps_multi_open_at(l->path, &base, &l->options, &l->s);
}

static void lazy_new(struct lazy *l, uint64_t seed)
{
	memset(l, 0, sizeof(*l));
	world_new(&l->w, "mem", seed);
	l->options =
	    (struct ps_multi_options){.size = sizeof(l->options), .remote = l->w.b->r, .log_ms = PS_LOG_OFF};
	snprintf(l->path, sizeof(l->path), "%s/lazy", l->w.b->folder);
}

static void lazy_free(struct lazy *l)
{
	if (l->s)
		assert_ok(ps_close(l->s));
	(void)unlink(l->path);
	world_free(&l->w);
}

static void expect_whole(struct lazy *l)
{
	struct picture p;
	picture_take(&p, l->w.s);
	expect_picture(&p, l->s, "a store that knows nothing yet");
	picture_free(&p);
	assert_ok(ps_check(l->s, PS_CHECK_FULL, NULL, NULL));
}

static void what_was_pushed_is_there(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 4; seed++) {
		struct lazy l;
		struct ps_stats here, there;
		lazy_new(&l, seed);
		l.w.options.pack_bytes = 300000;
		for (unsigned push = 0; push < seed; push++) {
			change_some(&l.w, 30);
			(void)push_now(&l.w);
		}
		assert_ok(open_lazily(&l));
		assert_ok(ps_stats(l.w.s, &there));
		assert_ok(ps_stats(l.s, &here));
		assert_int_equal(here.objects, there.objects);
		assert_int_equal(here.live_bytes, there.live_bytes);
		expect_whole(&l);
		/* And all of it is here by now. */
		assert_ok(ps_close(l.s));
		uint64_t requests = stats_of(&l).requests;
		l.s = open_stack(&l.w, l.path, PS_OPEN_EXISTING);
		expect_whole(&l);
		assert_int_equal(stats_of(&l).requests, requests);
		lazy_free(&l);
	}
}

static void put_many(struct lazy *l, ps_id *ids)
{
	char text[32];
	for (unsigned i = 0; i < many; i++) {
		snprintf(text, sizeof(text), "object number %u", i);
		assert_ok(ps_put(l->w.s, text, strlen(text), &ids[i]));
	}
}

static void expect_text(struct lazy *l, const ps_id *ids, unsigned i)
{
	char text[32], got[32];
	size_t len;
	snprintf(text, sizeof(text), "object number %u", i);
	assert_ok(ps_get(l->s, ids[i], got, sizeof(got), &len));
	assert_int_equal(len, strlen(text));
	assert_memory_equal(got, text, len);
}

/* The pads of these tests are small; many objects are for what it costs with those that are used. */
static void take_usual_pads(struct world *w)
{
	struct ps_base_options options = stack_base();
	ps_storer *base;
	blobs_close(w->b);
	w->b->options.mode = PS_REMOTE_MEDIUM;
	assert_ok(blobs_start(w->b, false));
	options.memory_budget = (uint64_t)1 << 30;
	options.mode = PS_OPEN_EXISTING;
	assert_ok(ps_close(w->s));
	assert_ok(ps_base_open(w->path, &options, &base));
	assert_ok(ps_multi_open(base, NULL, &w->s));
}

/* With another handle on the network, as on another machine: its index is fetched, too. */
static void the_first_object_costs_few_requests(void **state)
{
	struct lazy l;
	struct ps_remote_stats after;
	ps_id *ids = malloc(many * sizeof(*ids));
	(void)state;
	assert_non_null(ids);
	lazy_new(&l, 2);
	if (many > 100000)
		take_usual_pads(&l.w);
	put_many(&l, ids);
	(void)push_now(&l.w);
	struct blobs *other = machine_open(l.w.b);
	l.options.remote = other->r;
	assert_ok(open_lazily(&l));
	expect_text(&l, ids, many / 3);
	blobs_stats(other, &after);
	print_message("%u objects: %llu requests, %llu bytes received for the first one\n", many,
	              (unsigned long long)after.requests, (unsigned long long)after.received_bytes);
	assert_true(after.requests <= (many <= 100000 ? 8 : 10));
	assert_true(after.received_bytes <= 2 << 20);
	uint64_t before = after.requests;
	for (unsigned i = 0; i < 200; i++)
		expect_text(&l, ids, many / 3 + i);
	blobs_stats(other, &after);
	assert_int_equal(after.requests, before);
	assert_ok(ps_close(l.s));
	l.s = NULL;
	machine_free(other);
	free(ids);
	lazy_free(&l);
}

enum { SOME = 40, BETWEEN = 60 };

/* Backwards: nobody reads ahead of that. */
static void read_some(struct lazy *l, const ps_id *ids)
{
	static uint8_t bytes[SOME][3000], should[3000];
	struct ps_get_many reqs[SOME];
	for (unsigned i = 0; i < SOME; i++)
		reqs[i] = (struct ps_get_many){
		    .id = ids[(SOME - 1 - i) * BETWEEN], .buf = bytes[i], .cap = sizeof(bytes[i])};
	assert_ok(ps_get_many(l->s, SOME, reqs));
	for (unsigned i = 0; i < SOME; i++) {
		blobs_fill(should, sizeof(should), (SOME - 1 - i) * BETWEEN);
		assert_ok(reqs[i].status);
		assert_int_equal(reqs[i].len, sizeof(should));
		assert_memory_equal(bytes[i], should, sizeof(should));
	}
}

/* 7 MB in 28 blocks of which some of each is read: unknown, and when it has left. One after another that
 * were two requests a block. */
static void many_reads_are_fetched_together(void **state)
{
	struct lazy l;
	ps_id ids[SOME * BETWEEN];
	uint8_t bytes[3000];
	(void)state;
	lazy_new(&l, 14);
	take_usual_pads(&l.w);
	l.options.remote = l.w.b->r;
	l.w.options.compression = -1;
	for (unsigned i = 0; i < SOME * BETWEEN; i++) {
		blobs_fill(bytes, sizeof(bytes), i);
		assert_ok(ps_put(l.w.s, bytes, sizeof(bytes), &ids[i]));
	}
	(void)push_now(&l.w);
	for (unsigned round = 0; round < 2; round++) {
		if (round == 0) {
			assert_ok(open_lazily(&l));
		} else {
			assert_ok(ps_evict(l.s, 0, NULL, NULL, NULL));
			assert_ok(ps_close(l.s));
			assert_ok(open_lazily(&l));
		}
		struct ps_mem_figures figures;
		ps_mem_figures(blobs_world(l.w.b), &figures, true);
		read_some(&l, ids);
		ps_mem_figures(blobs_world(l.w.b), &figures, false);
		uint64_t requests = figures.requests[PS_NET_GET] + figures.requests[PS_NET_GET_RANGE];
		print_message("%d reads at once: %llu requests\n", SOME, (unsigned long long)requests);
		assert_in_range(requests, 1, 20);
	}
	lazy_free(&l);
}

/* ---- a network that lies, or is away ---- */

/* By a store made anew. */
static unsigned read_under(void *arg, const struct picture *p, const struct ps_mem_rule *rule)
{
	struct lazy *l = arg;
	assert_ok(open_lazily(l));
	unsigned refused = read_under_rule(&l->w, l->s, p, 5, rule);
	assert_ok(ps_close(l->s));
	l->s = NULL;
	assert_int_equal(unlink(l->path), 0);
	return refused;
}

static void no_lie_makes_another_object(void **state)
{
	struct lazy l;
	(void)state;
	lazy_new(&l, 9);
	lie_to_reads(&l.w, read_under, &l);
	lazy_free(&l);
}

static void without_the_network_the_rest_goes_on(void **state)
{
	struct lazy l;
	struct picture p;
	uint8_t byte;
	size_t len;
	unsigned unknown = 0;
	(void)state;
	lazy_new(&l, 10);
	change_some(&l.w, 60);
	(void)push_now(&l.w);
	picture_take(&p, l.w.s);
	assert_ok(open_lazily(&l));
	assert_ok(ps_close(l.s));
	l.s = open_stack(&l.w, l.path, PS_OPEN_EXISTING);
	for (size_t i = 0; i < p.count; i++) {
		int err = ps_read_at(l.s, p.all[i].id, 0, &byte, 1, &len);
		assert_int_equal(err, PS_EUNAVAILABLE);
		unknown++;
	}
	assert_int_equal(unknown, p.count);
	ps_id id;
	assert_ok(ps_put(l.s, "x", 1, &id));
	assert_ok(ps_read_at(l.s, id, 0, &byte, 1, &len));
	assert_ok(ps_delete(l.s, id));
	assert_ok(ps_close(l.s));
	assert_ok(open_lazily(&l));
	expect_picture(&p, l.s, "when the network is there again");
	picture_free(&p);
	lazy_free(&l);
}

/* ---- states that others go on from ---- */

enum { HUNDRED = 100, EACH = 3000, LARGE = 200000 };

/* The last two are large. */
static size_t size_of(size_t i)
{
	return i < HUNDRED - 2 ? EACH : LARGE;
}

static void put_hundred(struct lazy *l)
{
	static uint8_t bytes[LARGE];
	for (unsigned i = 0; i < HUNDRED; i++) {
		ps_id id;
		blobs_fill(bytes, size_of(i), i);
		assert_ok(ps_put(l->w.s, bytes, size_of(i), &id));
	}
}

/* Every other one goes, and one large one; the other large one gets other contents. So little is left that
 * the next push sends all of it anew. */
static void change_others(struct lazy *l, const struct picture *p)
{
	static uint8_t bytes[LARGE];
	for (size_t i = 1; i < HUNDRED - 1; i += 2)
		assert_ok(ps_delete(l->w.s, p->all[i].id));
	assert_ok(ps_delete(l->w.s, p->all[HUNDRED - 2].id));
	blobs_fill(bytes, LARGE, 4711);
	assert_ok(ps_replace(l->w.s, p->all[HUNDRED - 1].id, bytes, LARGE));
}

/* The machine that holds the store pushes on; this one is of a state that is not kept. What was not touched
 * there is told; what was, is refused, and never as it is now. */
static void a_state_that_is_gone_is_never_mixed_with_a_later_one(void **state)
{
	struct lazy l;
	struct picture p;
	struct ps_info info;
	unsigned same = 0, refused = 0;
	(void)state;
	lazy_new(&l, 11);
	put_hundred(&l);
	(void)push_now(&l.w);
	picture_take(&p, l.w.s);
	assert_ok(open_lazily(&l));
	/* One is known to be there, but not what is in it. */
	assert_ok(ps_info(l.s, p.all[HUNDRED - 1].id, &info));
	assert_int_equal(info.size, LARGE);
	change_others(&l, &p);
	(void)push_now(&l.w);
	for (size_t i = 0; i < p.count; i++) {
		uint8_t *bytes = test_malloc((size_t)p.all[i].size + 1);
		size_t len = 0;
		int err = ps_get(l.s, p.all[i].id, bytes, (size_t)p.all[i].size, &len);
		if (err) {
			assert_int_equal(err, PS_ESUPERSEDED);
			refused++;
		} else {
			assert_int_equal(len, p.all[i].size);
			assert_true(XXH3_64bits(bytes, len) == p.all[i].hash);
			same++;
		}
		test_free(bytes);
	}
	print_message("%u as they were, %u refused\n", same, refused);
	assert_int_equal(same, HUNDRED / 2 - 1);
	assert_int_equal(refused, HUNDRED / 2 + 1);
	picture_free(&p);
	lazy_free(&l);
}

static void a_kept_state_is_cloned_lazily(void **state)
{
	struct lazy l;
	struct picture p;
	(void)state;
	lazy_new(&l, 12);
	l.w.options.history = 3;
	change_some(&l.w, 50);
	struct ps_push_result first = push_now(&l.w);
	picture_take(&p, l.w.s);
	change_some(&l.w, 50);
	(void)push_now(&l.w);
	const struct ps_clone_options options = {.size = sizeof(options), .state = first.state, .lazy = 1};
	assert_ok(ps_clone(l.w.b->r, l.path, &options, NULL));
	assert_ok(open_lazily(&l));
	expect_picture(&p, l.s, "a kept state");
	picture_free(&p);
	lazy_free(&l);
}

/* The next push that stands for all fetches all; before that one sends only what was changed here. */
static void a_push_fetches_nothing_that_was_not_changed(void **state)
{
	struct lazy l;
	struct picture p;
	struct ps_push_result result;
	(void)state;
	lazy_new(&l, 13);
	for (unsigned push = 0; push < 3; push++) {
		change_some(&l.w, 200);
		(void)push_now(&l.w);
	}
	l.options.take_over = 1;
	assert_ok(open_lazily(&l));
	ps_id id;
	assert_ok(ps_put(l.s, "new", 3, &id));
	uint64_t before = stats_of(&l).received_bytes;
	assert_ok(ps_push(l.s, l.w.b->r, &l.w.options, &result));
	assert_true(stats_of(&l).received_bytes - before < 65536);
	picture_take(&p, l.s);
	expect_clone(&l.w, l.w.b->r, 0, &p);
	picture_free(&p);
	lazy_free(&l);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_was_pushed_is_there),
	    cmocka_unit_test(the_first_object_costs_few_requests),
	    cmocka_unit_test(many_reads_are_fetched_together),
	    cmocka_unit_test(no_lie_makes_another_object),
	    cmocka_unit_test(without_the_network_the_rest_goes_on),
	    cmocka_unit_test(a_state_that_is_gone_is_never_mixed_with_a_later_one),
	    cmocka_unit_test(a_kept_state_is_cloned_lazily),
	    cmocka_unit_test(a_push_fetches_nothing_that_was_not_changed),
	};
	if (argc > 1)
		many = (unsigned)atoi(argv[1]);
	return cmocka_run_group_tests_name("stores that are fetched as they are touched", tests, NULL, NULL);
}
