/* Requests in flight: depth, cancel, time-outs, wake, close. */
#include "tests/remote/networks/cm.h"

#include <pthread.h>
#include <string.h>

#include "base/error.h"
#include "tests/remote/networks/suite.h"

enum { RECORD = 200000, PATIENCE_MS = 120000, SHORT_MS = 50, CANCELS = 30, SLOW_CANCELS = 8 };
/* A second is promised, by a machine that has time; the test is whether it ends long before the network's own
 * time-out, also on one that has none. */
enum { PROMPTLY_MS = 30000 };

/* Ends in the time that everything has, or the test fails. */
static struct ps_net_request *next(ps_client *client)
{
	uint64_t until = net_now_ms() + PATIENCE_MS;
	struct ps_net_request *r = NULL;
	while (!r && net_now_ms() < until)
		r = ps_client_wait(client, NET_SECOND_MS);
	assert_non_null(r);
	return r;
}

static void prepare(struct net_side *side, struct ps_net_request *r, enum ps_net_op op, uint64_t n,
                    uint64_t counter)
{
	*r = (struct ps_net_request){.op = op, .name = net_name(n)};
	r->identity = net_identity(counter + 1, 0);
	r->expected = net_identity(counter, 0);
	r->len = RECORD;
	r->buffer = net_buffer(side->network, RECORD);
	if (op == PS_NET_CREATE || op == PS_NET_REPLACE)
		net_fill(r->buffer, &r->name, &r->identity, RECORD);
}

static void as_many_as_its_depth_are_in_flight(void **state)
{
	struct net_side *side = *state;
	struct ps_net_request r[NET_DEPTH + 1];
	unsigned char back[NET_DEPTH] = {0};
	for (unsigned i = 0; i <= NET_DEPTH; i++) {
		prepare(side, &r[i], PS_NET_CREATE, i, 0);
		r[i].arg = &back[i];
		assert_int_equal(ps_client_submit(side->client, &r[i]), i < NET_DEPTH ? PS_OK : PS_EBUSY);
	}
	for (unsigned i = 0; i < NET_DEPTH; i++) {
		struct ps_net_request *got = next(side->client);
		net_assert_outcome(got, PS_NET_DONE);
		(*(unsigned char *)got->arg)++;
	}
	assert_null(ps_client_wait(side->client, 0));
	for (unsigned i = 0; i <= NET_DEPTH; i++)
		ps_net_buffer_release(r[i].buffer);
	for (unsigned i = 0; i < NET_DEPTH; i++) {
		assert_int_equal(back[i], 1);
		net_expect(side->client, &r[i].name, net_identity(1, 0), RECORD);
	}
}

/* What is there after a write that ended so: the version before, the one after, or either, and whole. A write
 * whose outcome is unknown may still come between two looks, so there is one only. */
static void check_after(struct net_side *side, const struct ps_net_request *r, uint64_t before)
{
	struct ps_pad_identity old = net_identity(before, 0), new = net_identity(before + 1, 0);
	struct ps_net_request get = {
	    .op = PS_NET_GET, .name = r->name, .buffer = net_buffer(side->network, RECORD)};
	ps_client_call(side->client, &get);
	bool absent = get.outcome == PS_NET_ABSENT;
	if (!absent)
		net_assert_outcome(&get, PS_NET_DONE);
	bool is_old = before ? !absent && ps_identity_same(&get.identity, &old) : absent;
	bool is_new = r->op == PS_NET_REMOVE ? absent : !absent && ps_identity_same(&get.identity, &new);
	assert_true(is_old || is_new);
	if (r->outcome == PS_NET_DONE)
		assert_true(is_new);
	else if (r->outcome != PS_NET_UNKNOWN)
		assert_true(is_old);
	assert_true(absent || (net_is_whole(&get) && get.size == RECORD));
	ps_net_buffer_release(get.buffer);
}

static bool allowed_after_cancel(const struct ps_net_request *r)
{
	if (r->outcome == PS_NET_DONE || r->outcome == PS_NET_UNAVAILABLE)
		return true;
	return ps_net_op_writes(r->op) && r->outcome == PS_NET_UNKNOWN;
}

static void cancelled_requests_end_within_a_second(void **state)
{
	struct net_side *side = *state;
	unsigned rounds = net_suite->slow ? SLOW_CANCELS : CANCELS, ended[PS_NET_UNKNOWN + 1] = {0};
	uint64_t random = net_seed;
	for (unsigned i = 0; i < rounds; i++) {
		enum ps_net_op op = (enum ps_net_op)(i % PS_NET_LIST);
		struct ps_net_request r;
		struct ps_pad_name name = net_name(i);
		bool there = op != PS_NET_CREATE;
		if (there)
			assert_int_equal(net_create(side->client, &name, net_identity(1, 0), RECORD),
			                 PS_NET_DONE);
		prepare(side, &r, op, i, there ? 1 : 0);
		assert_int_equal(ps_client_submit(side->client, &r), PS_OK);
		/* In each phase: at once, or after a wait of up to three milliseconds that may find it
		 * finished. */
		struct ps_net_request *got =
		    i % 2 ? ps_client_wait(side->client, (uint32_t)(net_random(&random) % 4)) : NULL;
		uint64_t start = net_now_ms();
		if (!got) {
			ps_client_cancel(side->client, &r);
			ps_client_cancel(side->client, &r);
			got = next(side->client);
		}
		assert_ptr_equal(got, &r);
		assert_true(net_now_ms() - start <= PROMPTLY_MS);
		assert_true(allowed_after_cancel(&r));
		ended[r.outcome]++;
		if (ps_net_op_writes(op))
			check_after(side, &r, there ? 1 : 0);
		ps_net_buffer_release(r.buffer);
	}
	print_message("%s: of %u cancelled %u done, %u unavailable, %u unknown\n", net_suite->name, rounds,
	              ended[PS_NET_DONE], ended[PS_NET_UNAVAILABLE], ended[PS_NET_UNKNOWN]);
}

static void short_time_outs_end_in_time(void **state)
{
	struct net_side *side = *state;
	for (unsigned i = 0; i < PS_NET_LIST; i++) {
		struct ps_net_request r;
		struct ps_pad_name name = net_name(i);
		bool there = i != PS_NET_CREATE;
		if (there)
			assert_int_equal(net_create(side->client, &name, net_identity(1, 0), RECORD),
			                 PS_NET_DONE);
		prepare(side, &r, (enum ps_net_op)i, i, there ? 1 : 0);
		r.timeout_ms = 1;
		uint64_t start = net_now_ms();
		assert_int_equal(ps_client_submit(side->client, &r), PS_OK);
		assert_ptr_equal(next(side->client), &r);
		assert_true(net_now_ms() - start <= PROMPTLY_MS);
		assert_true(allowed_after_cancel(&r));
		if (ps_net_op_writes(r.op))
			check_after(side, &r, there ? 1 : 0);
		ps_net_buffer_release(r.buffer);
	}
}

/* ---- where requests can be made to hang ---- */

/* By clocks that count milliseconds, each with a beginning of its own: so two less is no less. */
static void assert_took_its_time(const struct ps_net_request *r, uint64_t start)
{
	uint64_t took = net_now_ms() - start;
	if (took + 2 < SHORT_MS)
		fail_msg("it ended after %llu ms of %d: %s", (unsigned long long)took, SHORT_MS, r->sentence);
}

static void hung_requests_are_timed_out_or_cancelled(void **state)
{
	struct net_side *side = *state;
	if (!net_suite->hang)
		skip();
	for (unsigned i = 0; i < 2 * PS_NET_LIST; i++) {
		enum ps_net_op op = (enum ps_net_op)(i / 2);
		struct ps_net_request r;
		struct ps_pad_name name = net_name(i);
		if (op != PS_NET_CREATE)
			assert_int_equal(net_create(side->client, &name, net_identity(1, 0), RECORD),
			                 PS_NET_DONE);
		prepare(side, &r, op, i, op != PS_NET_CREATE);
		r.timeout_ms = i % 2 ? SHORT_MS : 0;
		net_suite->hang(side->url, 1U << op);
		uint64_t start = net_now_ms();
		assert_int_equal(ps_client_submit(side->client, &r), PS_OK);
		if (i % 2 == 0) {
			assert_null(ps_client_wait(side->client, SHORT_MS));
			assert_took_its_time(&r, start);
			ps_client_cancel(side->client, &r);
		}
		assert_ptr_equal(next(side->client), &r);
		assert_took_its_time(&r, start);
		assert_true(net_now_ms() - start <= PROMPTLY_MS);
		assert_true(r.outcome == PS_NET_UNAVAILABLE ||
		            (ps_net_op_writes(op) && r.outcome == PS_NET_UNKNOWN));
		ps_net_buffer_release(r.buffer);
		net_suite->hang(side->url, 0);
		if (ps_net_op_writes(op))
			check_after(side, &r, op != PS_NET_CREATE);
	}
}

static void *wake_it(void *arg)
{
	ps_client_wake(arg);
	return NULL;
}

static void a_wake_ends_a_wait(void **state)
{
	struct net_side *side = *state;
	struct ps_net_request r;
	pthread_t thread;
	if (!net_suite->hang)
		skip();
	net_suite->hang(side->url, 1U << PS_NET_CREATE);
	prepare(side, &r, PS_NET_CREATE, 0, 0);
	assert_int_equal(ps_client_submit(side->client, &r), PS_OK);
	uint64_t start = net_now_ms();
	ps_client_wake(side->client);
	assert_null(ps_client_wait(side->client, PATIENCE_MS));
	assert_int_equal(pthread_create(&thread, NULL, wake_it, side->client), 0);
	assert_null(ps_client_wait(side->client, PATIENCE_MS));
	pthread_join(thread, NULL);
	assert_true(net_now_ms() - start < PATIENCE_MS / 2);
	net_suite->hang(side->url, 0);
	ps_client_cancel(side->client, &r);
	assert_ptr_equal(next(side->client), &r);
	ps_net_buffer_release(r.buffer);
}

static void a_wake_loses_no_request(void **state)
{
	struct net_side *side = *state;
	for (unsigned i = 0; i < 20; i++) {
		struct ps_net_request r;
		pthread_t thread;
		prepare(side, &r, PS_NET_CREATE, i, 0);
		assert_int_equal(ps_client_submit(side->client, &r), PS_OK);
		assert_int_equal(pthread_create(&thread, NULL, wake_it, side->client), 0);
		assert_ptr_equal(next(side->client), &r);
		pthread_join(thread, NULL);
		net_assert_outcome(&r, PS_NET_DONE);
		ps_net_buffer_release(r.buffer);
	}
}

/* ---- close ---- */

static void close_with_writes_in_flight(struct net_side *side, unsigned ops)
{
	struct ps_net_request r[NET_DEPTH];
	ps_client *client = net_client(side->network);
	if (ops)
		net_suite->hang(side->url, ops);
	for (unsigned i = 0; i < NET_DEPTH; i++) {
		prepare(side, &r[i], i % 2 ? PS_NET_REPLACE : PS_NET_GET, i, 1);
		assert_int_equal(ps_client_submit(client, &r[i]), PS_OK);
	}
	uint64_t start = net_now_ms();
	ps_client_close(client);
	assert_true(net_now_ms() - start <= PROMPTLY_MS);
	/* The client's references keep alive what is still read or filled. */
	for (unsigned i = 0; i < NET_DEPTH; i++)
		ps_net_buffer_release(r[i].buffer);
	memset(r, 0xee, sizeof(r));
	if (ops)
		net_suite->hang(side->url, 0);
	for (unsigned i = 0; i < NET_DEPTH; i++) {
		struct ps_net_request unknown = {
		    .op = PS_NET_REPLACE, .name = net_name(i), .outcome = PS_NET_UNKNOWN};
		check_after(side, &unknown, 1);
	}
}

static void a_client_closes_with_requests_in_flight(void **state)
{
	struct net_side *side = *state;
	for (unsigned i = 0; i < NET_DEPTH; i++) {
		struct ps_pad_name name = net_name(i);
		assert_int_equal(net_create(side->client, &name, net_identity(1, 0), RECORD), PS_NET_DONE);
	}
	if (net_suite->hang)
		close_with_writes_in_flight(side, 1U << PS_NET_REPLACE | 1U << PS_NET_GET);
	else
		close_with_writes_in_flight(side, 0);
}

static void a_network_closes_behind_its_client(void **state)
{
	struct net_side *side = *state;
	struct net_side other;
	net_open_at(&other, side->url, false);
	struct ps_net_request r[NET_DEPTH];
	for (unsigned i = 0; i < NET_DEPTH; i++) {
		prepare(&other, &r[i], PS_NET_CREATE, i, 0);
		assert_int_equal(ps_client_submit(other.client, &r[i]), PS_OK);
	}
	for (unsigned i = 0; i < NET_DEPTH; i++)
		ps_net_buffer_release(r[i].buffer);
	net_close(&other);
	for (unsigned i = 0; i < NET_DEPTH; i++) {
		struct ps_net_request unknown = {
		    .op = PS_NET_CREATE, .name = net_name(i), .outcome = PS_NET_UNKNOWN};
		check_after(side, &unknown, 0);
	}
}

const struct CMUnitTest net_request_tests[] = {
    NET_TEST(as_many_as_its_depth_are_in_flight),
    NET_TEST(cancelled_requests_end_within_a_second),
    NET_TEST(short_time_outs_end_in_time),
    NET_TEST(hung_requests_are_timed_out_or_cancelled),
    NET_TEST(a_wake_ends_a_wait),
    NET_TEST(a_wake_loses_no_request),
    NET_TEST(a_client_closes_with_requests_in_flight),
    NET_TEST(a_network_closes_behind_its_client),
};
const size_t net_request_count = sizeof(net_request_tests) / sizeof(*net_request_tests);
