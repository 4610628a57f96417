/* Durable commits that wait for the log: what was acknowledged is on the network, whenever that goes away;
 * what was not stands in the file. usage: log_wait_test [STRIDE]: the network goes away at every so-manieth
 * request */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "multistore/attached_internal.h"
#include "tests/multistore/push_fixture.h"

enum { THREADS = 8, ROUNDS = 6, LONG_MS = 120000 };

static uint64_t stride = 1;

/* A store on a network, all of whose commits wait. */
struct waiting {
	struct world w;
	struct ps_multi_options options;
	uint32_t tokens; /* of a pool of its own; 0: none */
};

static void attach(struct waiting *t)
{
	const struct ps_base_options base = {.size = sizeof(base),
	                                     .memory_budget = 16 << 20,
	                                     .io = PS_BASE_IO_BUFFERED,
	                                     .background = PS_BACKGROUND_NONE};
	const struct ps_concurrent_options locks = {
	    .size = sizeof(locks), .own_tokens = {.size = sizeof(locks.own_tokens), .tokens = t->tokens}};
	ps_storer *multi;
	assert_ok(ps_multi_open_at(t->w.path, &base, &t->options, &multi));
	assert_ok(ps_concurrent_open(multi, &locks, &t->w.s));
}

/* What comes in time on any machine, or what is not waited for in vain for long. */
static void wait_at_most(struct waiting *t, uint32_t ms)
{
	ps_multi_attached(t->w.s)->log_wait_ms = ms;
}

static void waiting_new(struct waiting *t, uint64_t seed)
{
	memset(t, 0, sizeof(*t));
	world_new(&t->w, "mem", seed);
	assert_ok(ps_close(t->w.s));
	t->options = (struct ps_multi_options){.size = sizeof(t->options),
	                                       .remote = t->w.b->r,
	                                       .log_ms = PS_LOG_EACH_COMMIT,
	                                       .log_wait_ms = LONG_MS};
	attach(t);
}

static struct ps_remote_status status_of(struct waiting *t)
{
	struct ps_remote_status status;
	assert_ok(ps_remote_status(t->w.s, &status));
	return status;
}

static ps_mem_world *network_of(struct waiting *t)
{
	return blobs_world(t->w.b);
}

static unsigned rule(struct waiting *t, enum ps_mem_fault fault, uint64_t first)
{
	const struct ps_mem_rule rule = {.fault = fault, .first = first};
	unsigned number;
	assert_ok(ps_mem_rule_add(network_of(t), &rule, &number));
	return number;
}

static void network_is_back(struct waiting *t)
{
	ps_mem_rule_remove(network_of(t), 0);
	(void)ps_mem_deliver(network_of(t));
}

/* From the network and the key alone, after the machine has burned. */
static ps_storer *what_is_left(struct waiting *t, char path[256])
{
	struct blobs *other = machine_new(t->w.b);
	assert_ok(blobs_start(other, false));
	ps_storer *clone = clone_open(&t->w, other->r, 0, path);
	machine_free(other);
	return clone;
}

static void expect_object(ps_storer *s, ps_id id, const char *contents)
{
	char buf[64];
	size_t len;
	assert_ok(ps_get(s, id, buf, sizeof(buf), &len));
	assert_int_equal(len, strlen(contents));
	assert_memory_equal(buf, contents, len);
}

/* ---- one call ---- */

/* A call in a thread of its own. */
struct call {
	ps_storer *s;
	ps_id id; /* PS_ID_NONE: a put */
	int err;
	char sentence[512];
	pthread_t thread;
	_Atomic(bool) over;
};

static void *make_call(void *arg)
{
	struct call *c = arg;
	c->err = c->id == PS_ID_NONE ? ps_put(c->s, "new", 3, &c->id) : ps_replace(c->s, c->id, "new", 3);
	snprintf(c->sentence, sizeof(c->sentence), "%s", c->err ? ps_last_error_message() : "");
	c->over = true;
	return NULL;
}

static void call_start(struct call *c, ps_storer *s, ps_id id)
{
	c->s = s;
	c->id = id;
	c->over = false;
	assert_int_equal(pthread_create(&c->thread, NULL, make_call, c), 0);
}

static int call_end(struct call *c)
{
	assert_int_equal(pthread_join(c->thread, NULL), 0);
	return c->err;
}

/* Until all of them wait for the log. */
static void expect_waiting(struct waiting *t, const struct call *calls, unsigned count)
{
	struct ps_shipper_status status = {0};
	while (status.waiters != count) {
		for (unsigned i = 0; i < count; i++)
			if (calls[i].over)
				fail_msg("call %u of %u has not waited: %s %s", i, count,
				         ps_error_name(calls[i].err), calls[i].sentence);
		ps_shipper_status(ps_multi_attached(t->w.s)->shipper, &status);
		sched_yield();
	}
}

/* ---- what is acknowledged is there ---- */

enum { COMMITS = 10 };

struct acknowledged {
	ps_id put;
	int err;
	char contents[32];
};

/* Every kind of durable call, each told or not. */
static int commit_some_way(ps_storer *s, unsigned i, struct acknowledged *a, ps_id first)
{
	ps_batch *batch;
	ps_writer *w;
	size_t len = strlen(a->contents);
	a->put = PS_ID_NONE;
	switch (i % 5) {
	case 0:
		return ps_put(s, a->contents, len, &a->put);
	case 1:
		a->put = first;
		return ps_replace(s, first, a->contents, len);
	case 2:
		assert_ok(ps_batch_begin(s, &batch));
		assert_ok(ps_batch_put(batch, a->contents, len, &a->put));
		return ps_batch_commit(batch, PS_DURABLE);
	case 3:
		assert_ok(ps_open_writer(s, PS_ID_NONE, PS_SIZE_UNKNOWN, &w));
		assert_ok(ps_writer_write(w, a->contents, len));
		a->put = ps_writer_id(w);
		return ps_writer_finish(w);
	default:
		assert_ok(ps_batch_begin(s, &batch));
		assert_ok(ps_batch_put(batch, a->contents, len, &a->put));
		assert_ok(ps_batch_commit(batch, PS_RELAXED));
		return ps_sync(s);
	}
}

/* The last one told of `id` counts, unless a later one was not told of. */
static void expect_acknowledged(ps_storer *clone, const struct acknowledged *all, unsigned count)
{
	char buf[64];
	size_t len;
	for (unsigned i = 0; i < count; i++) {
		bool later = false;
		for (unsigned k = i + 1; k < count; k++)
			later |= all[k].put == all[i].put;
		if (all[i].err || later)
			continue;
		int err = ps_get(clone, all[i].put, buf, sizeof(buf), &len);
		if (err || len != strlen(all[i].contents) || memcmp(buf, all[i].contents, len) != 0)
			fail_msg("commit %u of %u was acknowledged, and is not there: %s", i, count,
			         ps_error_name(err));
	}
}

/* The network goes away at a request, with or without carrying it out. False: there are not so many. */
static bool lose_network_at(uint64_t request, enum ps_mem_fault fault)
{
	struct waiting t;
	struct acknowledged all[COMMITS];
	char path[256];
	waiting_new(&t, request);
	ps_id first;
	assert_ok(ps_put(t.w.s, "first", 5, &first)); /* makes the first push */
	unsigned number = rule(&t, fault, request);
	wait_at_most(&t, 50);
	for (unsigned i = 0; i < COMMITS; i++) {
		(void)snprintf(all[i].contents, sizeof(all[i].contents), "contents %u", i);
		all[i].err = commit_some_way(t.w.s, i, &all[i], first);
		if (all[i].err)
			assert_error(all[i].err, PS_EUNAVAILABLE);
		expect_object(t.w.s, all[i].put, all[i].contents);
	}
	bool away = ps_mem_rule_hits(network_of(&t), number) > 0;
	assert_true(!away || fault != PS_MEM_VANISH || all[COMMITS - 1].err);
	assert_ok(ps_close(t.w.s));
	network_is_back(&t);
	ps_storer *clone = what_is_left(&t, path);
	expect_acknowledged(clone, all, COMMITS);
	assert_ok(ps_close(clone));
	assert_int_equal(unlink(path), 0);
	attach(&t); /* what was not shipped is, with the next commit */
	assert_ok(ps_replace(t.w.s, first, "last", 4));
	assert_int_equal(status_of(&t).log_commits, 0);
	world_free(&t.w);
	return away;
}

static void what_is_acknowledged_is_there_whenever_the_network_goes(void **state)
{
	(void)state;
	for (unsigned lost = 0; lost < 2; lost++)
		for (uint64_t request = 1;; request += stride)
			if (!lose_network_at(request, lost ? PS_MEM_LOSE_REPLY : PS_MEM_VANISH))
				break;
}

/* ---- together ---- */

static void all_that_wait_go_with_one_shipment(void **state)
{
	struct waiting t;
	struct call calls[THREADS];
	ps_id id;
	(void)state;
	waiting_new(&t, 3);
	assert_ok(ps_put(t.w.s, "first", 5, &id));
	for (unsigned round = 0; round < ROUNDS; round++) {
		uint64_t groups = status_of(&t).log_groups;
		ps_attached_pause_log(ps_multi_attached(t.w.s)); /* as if one were under way */
		for (unsigned i = 0; i < THREADS; i++)
			call_start(&calls[i], t.w.s, PS_ID_NONE);
		expect_waiting(&t, calls, THREADS);
		ps_attached_resume_log(ps_multi_attached(t.w.s));
		for (unsigned i = 0; i < THREADS; i++) {
			assert_ok(call_end(&calls[i]));
			expect_object(t.w.s, calls[i].id, "new");
		}
		assert_int_equal(status_of(&t).log_groups, groups + 1);
	}
	world_free(&t.w);
}

static void nobody_else_is_held_up(void **state)
{
	struct waiting t;
	struct call call;
	ps_batch *batch;
	ps_id id, other;
	(void)state;
	waiting_new(&t, 3);
	assert_ok(ps_put(t.w.s, "first", 5, &id));
	ps_attached_pause_log(ps_multi_attached(t.w.s));
	call_start(&call, t.w.s, id);
	expect_waiting(&t, &call, 1);
	expect_object(t.w.s, id, "new"); /* its lock is free */
	assert_ok(ps_batch_begin(t.w.s, &batch));
	assert_ok(ps_batch_replace(batch, id, "newer", 5));
	assert_ok(ps_batch_put(batch, "other", 5, &other));
	assert_ok(ps_batch_commit(batch, PS_RELAXED)); /* waits for nothing */
	expect_object(t.w.s, other, "other");
	ps_attached_resume_log(ps_multi_attached(t.w.s));
	assert_ok(call_end(&call));
	assert_ok(ps_sync(t.w.s));
	assert_int_equal(status_of(&t).log_commits, 0);
	world_free(&t.w);
}

/* ---- the network is away ---- */

static double seconds(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void a_network_that_is_away_holds_up_one_commit(void **state)
{
	enum { MANY = 300, WAIT_MS = 500, ALL_S = MANY * WAIT_MS / 1000 }; /* if each of them waited */
	struct waiting t;
	ps_id id, put = PS_ID_NONE;
	(void)state;
	waiting_new(&t, 3);
	assert_ok(ps_put(t.w.s, "first", 5, &id));
	(void)rule(&t, PS_MEM_VANISH, 1);
	wait_at_most(&t, WAIT_MS);
	assert_error(ps_put(t.w.s, "second", 6, &put), PS_EUNAVAILABLE);
	assert_non_null(strstr(ps_last_error_message(), "stands in the file, and is shipped later"));
	expect_object(t.w.s, put, "second");
	double began = seconds();
	for (unsigned i = 0; i < MANY; i++)
		assert_error(ps_replace(t.w.s, id, "third", 5), PS_EUNAVAILABLE);
	assert_true(seconds() - began < ALL_S);
	assert_true(status_of(&t).log_commits >= MANY);
	network_is_back(&t);
	wait_at_most(&t, LONG_MS);
	assert_ok(ps_remote_wait(t.w.s, LONG_MS)); /* shipped later, all of it */
	assert_ok(ps_replace(t.w.s, id, "fourth", 6));
	world_free(&t.w);
}

static void a_store_is_closed_while_a_commit_waits(void **state)
{
	struct waiting t;
	struct call call;
	ps_id id;
	(void)state;
	waiting_new(&t, 3);
	assert_ok(ps_put(t.w.s, "first", 5, &id));
	(void)rule(&t, PS_MEM_HANG, 1);
	call_start(&call, t.w.s, id);
	expect_waiting(&t, &call, 1);
	assert_ok(ps_close(t.w.s));
	assert_error(call_end(&call), PS_EUNAVAILABLE);
	assert_non_null(strstr(call.sentence, "closed"));
	network_is_back(&t);
	attach(&t);
	expect_object(t.w.s, id, "new");
	assert_ok(ps_sync(t.w.s));
	assert_int_equal(status_of(&t).log_commits, 0);
	world_free(&t.w);
}

/* ---- pushes ---- */

static void what_the_log_does_not_take_is_pushed(void **state)
{
	enum { BIG = 200000 };
	struct waiting t;
	char path[256];
	char *big = test_malloc(BIG);
	(void)state;
	memset(big, 7, BIG);
	waiting_new(&t, 3);
	assert_int_equal(status_of(&t).state, 0);
	ps_id id, small;
	assert_ok(ps_put(t.w.s, "first", 5, &id));
	uint64_t first = status_of(&t).state; /* there was no state to be behind of */
	assert_true(first > 0);
	assert_ok(ps_close(t.w.s));
	t.options.log_bytes = BIG / 2;
	attach(&t);
	assert_ok(ps_replace(t.w.s, id, big, BIG));
	assert_true(status_of(&t).state > first);
	assert_ok(ps_put(t.w.s, "small", 5, &small)); /* and it goes on */
	assert_true(status_of(&t).log_groups > 0);
	ps_storer *clone = what_is_left(&t, path);
	struct ps_info info;
	assert_ok(ps_info(clone, id, &info));
	assert_int_equal(info.size, BIG);
	expect_object(clone, small, "small");
	assert_ok(ps_close(clone));
	assert_int_equal(unlink(path), 0);
	test_free(big);
	world_free(&t.w);
}

static void who_does_not_hold_the_store_is_told(void **state)
{
	struct waiting t;
	struct world other;
	const struct ps_clone_options take = {.size = sizeof(take), .take_over = 1};
	char path[256];
	ps_id id, put = PS_ID_NONE;
	(void)state;
	waiting_new(&t, 3);
	assert_ok(ps_put(t.w.s, "first", 5, &id));
	other = t.w;
	other.b = machine_new(t.w.b);
	assert_ok(blobs_start(other.b, false));
	snprintf(path, sizeof(path), "%s/other", other.b->folder); /* which goes with it */
	assert_ok(ps_clone(other.b->r, path, &take, NULL));
	for (unsigned i = 0; i < 2; i++) { /* found out at the slot, and known from then on */
		assert_error(ps_put(t.w.s, "fenced", 6, &put), PS_EFENCED);
		assert_non_null(strstr(ps_last_error_message(), "stands in the file"));
		expect_object(t.w.s, put, "fenced");
	}
	(void)sync_machine(t.w.b);
	assert_ok(ps_take_over(t.w.s, NULL, NULL, NULL)); /* nothing newer was pushed */
	assert_ok(ps_put(t.w.s, "taken back", 10, &id));
	ps_storer *clone = what_is_left(&t, path);
	expect_object(clone, put, "fenced");
	expect_object(clone, id, "taken back");
	assert_ok(ps_close(clone));
	assert_int_equal(unlink(path), 0);
	machine_free(other.b);
	world_free(&t.w);
}

/* ---- everything at once ---- */

struct writer {
	ps_storer *s;
	unsigned seed, commits;
	pthread_t thread;
	ps_id ids[64];
};

static void *write_on(void *arg)
{
	struct writer *w = arg;
	for (unsigned i = 0; i < w->commits; i++) {
		char text[32];
		(void)snprintf(text, sizeof(text), "%u of %u", i, w->seed);
		if (i < 8)
			assert_ok(ps_put(w->s, text, strlen(text), &w->ids[i]));
		else
			assert_ok(ps_replace(w->s, w->ids[i % 8], text, strlen(text)));
	}
	return NULL;
}

/* One token for all: who waits for the log holds none. */
static void pushes_and_evictions_go_on_beside_it(void **state)
{
	struct waiting t;
	struct writer writers[THREADS];
	char path[256];
	(void)state;
	waiting_new(&t, 3);
	assert_ok(ps_close(t.w.s));
	t.tokens = 1;
	attach(&t);
	for (unsigned i = 0; i < THREADS; i++) {
		writers[i] = (struct writer){.s = t.w.s, .seed = i, .commits = 16};
		assert_int_equal(pthread_create(&writers[i].thread, NULL, write_on, &writers[i]), 0);
	}
	for (unsigned i = 0; i < ROUNDS; i++) {
		int err = ps_push(t.w.s, NULL, NULL, NULL);
		assert_true(err == PS_OK || err == PS_EBUSY);
		err = ps_evict(t.w.s, 0, NULL, NULL, NULL);
		assert_true(err == PS_OK || err == PS_EBUSY || err == PS_ENOTFOUND);
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
	ps_storer *clone = what_is_left(&t, path);
	for (unsigned i = 0; i < THREADS; i++)
		for (unsigned k = 0; k < 8; k++) {
			char text[32];
			(void)snprintf(text, sizeof(text), "%u of %u", 8 + k, i);
			expect_object(clone, writers[i].ids[k], text);
		}
	assert_ok(ps_close(clone));
	assert_int_equal(unlink(path), 0);
	world_free(&t.w);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_acknowledged_is_there_whenever_the_network_goes),
	    cmocka_unit_test(all_that_wait_go_with_one_shipment),
	    cmocka_unit_test(nobody_else_is_held_up),
	    cmocka_unit_test(a_network_that_is_away_holds_up_one_commit),
	    cmocka_unit_test(a_store_is_closed_while_a_commit_waits),
	    cmocka_unit_test(what_the_log_does_not_take_is_pushed),
	    cmocka_unit_test(who_does_not_hold_the_store_is_told),
	    cmocka_unit_test(pushes_and_evictions_go_on_beside_it),
	};
	if (argc > 1)
		stride = strtoull(argv[1], NULL, 10);
	return cmocka_run_group_tests_name("commits that wait for the log", tests, NULL, NULL);
}
