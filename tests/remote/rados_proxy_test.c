/* rados: with something between librados and the OSDs that cuts, holds up, alters and repeats: each request
 * times each fault, with seeds. What ends a connection is librados's to mend: the request is carried out,
 * once. What holds it up ends with the request's time, as unknown if it was a change; what was held up comes
 * later, or does not, and then the rules for unknown outcomes (look; the same again; or a fence) settle it.
 * usage: rados_proxy_test [SEEDS [SEEDS of those that hold up]] */
#include "tests/remote/networks/cm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "tests/remote/blobs/blobs_load.h"
#include "tests/remote/ceph_cluster.h"
#include "tests/remote/networks/suite.h"
#include "tests/remote/osd_proxy.h"

enum {
	RECORD = 20000,
	OPS = PS_NET_LIST + 1,
	WARM = 64,
	SHORT_MS = 100,
	LONG_MS = 120000,
	PROMPTLY_MS = 30000,
	PATIENCE_S = 120,
	LISTED = 4
};

static const char *const op_names[OPS] = {"get", "get_range", "head", "create", "replace", "remove", "list"};

static unsigned seeds = 20, slow_seeds = 2;
static uint64_t dice;
static struct ceph_cluster *cluster;
static char url[NET_URL];
static struct net_side side;    /* by way of the proxy */
static struct net_side watcher; /* past it */

static unsigned monitor_port(void)
{
	char line[256];
	unsigned port = 0;
	FILE *conf = fopen(ceph_cluster_conf(cluster), "r");
	while (conf && port == 0 && fgets(line, sizeof(line), conf))
		if (sscanf(line, "mon host = [v2:127.0.0.1:%u/", &port) != 1)
			port = 0;
	if (conf)
		fclose(conf);
	return port;
}

/* So many names lie on all OSDs: from now on both are connected to each. */
static void connect_all(ps_client *client)
{
	struct ps_pad_identity identity;
	uint64_t size;
	for (unsigned i = 0; i < WARM; i++) {
		struct ps_pad_name name = net_name(1000000 + i);
		assert_int_equal(net_head(client, &name, &identity, &size), PS_NET_ABSENT);
	}
}

static int begin(void **state)
{
	(void)state;
	snprintf(url, sizeof(url), "rados://pads/proxy?conf=%s", ceph_cluster_conf(cluster));
	if (!osd_proxy_start(monitor_port()))
		return -1;
	osd_proxy_pass_by(true);
	net_open_at(&watcher, url, false);
	connect_all(watcher.client);
	osd_proxy_pass_by(false);
	net_open_at(&side, url, false);
	connect_all(side.client);
	return 0;
}

static int end(void **state)
{
	(void)state;
	net_close(&side);
	net_close(&watcher);
	osd_proxy_stop();
	return 0;
}

/* ---- one request ---- */

struct attempt {
	enum osd_fault fault;
	enum ps_net_op op;
	uint64_t seed;
	struct ps_net_request r;
	struct ps_net_list list;
	struct ps_net_listed listed[LISTED];
};

/* Of a name that nobody used before; version 1 is there, unless it is to be created. */
static void prepare(struct attempt *a)
{
	static unsigned names;
	struct ps_pad_name name = net_name(names++);
	a->list = (struct ps_net_list){.listed = a->listed, .capacity = LISTED};
	a->r =
	    (struct ps_net_request){.op = a->op, .name = name, .offset = 100, .len = 5000, .list = &a->list};
	a->r.timeout_ms = osd_fault_stalls(a->fault) ? SHORT_MS : LONG_MS;
	a->r.identity = net_identity(2, 0);
	a->r.buffer = net_buffer(side.network, RECORD);
	net_fill(a->r.buffer, &name, &a->r.identity, RECORD);
	if (a->op == PS_NET_CREATE)
		return;
	a->r.expected = net_identity(1, 0);
	assert_int_equal(net_create(watcher.client, &name, a->r.expected, RECORD), PS_NET_DONE);
}

static void fail_attempt(const struct attempt *a, const char *what)
{
	fail_msg("%s, %s, seed %llu: %s (%s; %s)", op_names[a->op], osd_fault_text(a->fault),
	         (unsigned long long)a->seed, what, ps_outcome_text(a->r.outcome), a->r.sentence);
}

/* The counter of what is there, past the proxy; 0: nothing. */
static uint64_t counter_there(const struct attempt *a)
{
	struct ps_pad_identity identity = {0};
	uint64_t size;
	enum ps_outcome outcome = net_head(watcher.client, &a->r.name, &identity, &size);
	if (outcome != PS_NET_DONE && outcome != PS_NET_ABSENT)
		fail_attempt(a, "a look past the proxy fails");
	return identity.counter;
}

static uint64_t counter_after(const struct attempt *a)
{
	return a->op == PS_NET_REMOVE ? 0 : ps_net_op_writes(a->op) ? 2 : 1;
}

static void check_done(struct attempt *a)
{
	if (a->r.outcome != PS_NET_DONE)
		fail_attempt(a, "not done");
	if (counter_there(a) != counter_after(a))
		fail_attempt(a, "another version is there");
	if (a->op <= PS_NET_HEAD && (a->r.identity.counter != 1 || a->r.size != RECORD))
		fail_attempt(a, "something else was read");
	if (a->op == PS_NET_GET && !net_is_whole(&a->r))
		fail_attempt(a, "other bytes were read");
	if (a->op == PS_NET_LIST && a->list.count != LISTED)
		fail_attempt(a, "the page is not full");
}

/* ---- what librados mends ---- */

static void try_mended(enum osd_fault fault, enum ps_net_op op, uint64_t seed)
{
	struct attempt a = {.fault = fault, .op = op, .seed = seed};
	prepare(&a);
	osd_proxy_arm(fault, seed);
	ps_client_call(side.client, &a.r);
	if (!osd_proxy_wait_met(PATIENCE_S))
		fail_attempt(&a, "the fault met no request");
	osd_proxy_release();
	check_done(&a);
	/* What comes again comes by the same connection: before this. */
	struct ps_net_request behind = {.op = PS_NET_HEAD, .name = a.r.name, .timeout_ms = LONG_MS};
	ps_client_call(side.client, &behind);
	if (behind.identity.counter != counter_after(&a) || counter_there(&a) != counter_after(&a))
		fail_attempt(&a, "it was carried out twice");
	ps_net_buffer_release(a.r.buffer);
}

static void what_ends_a_connection_is_mended_and_done_once(void **state)
{
	(void)state;
	for (unsigned fault = 0; fault < OSD_STALL_BEFORE; fault++) {
		uint64_t start = net_now_ms();
		for (unsigned op = 0; op < OPS; op++)
			for (unsigned i = 0; i < seeds; i++)
				try_mended(fault, op, net_random(&dice) >> 1);
		print_message("  %s: %u requests in %llu ms\n", osd_fault_text(fault), OPS * seeds,
		              (unsigned long long)(net_now_ms() - start));
	}
}

/* ---- what holds up ---- */

static bool was_carried_out(enum osd_fault fault)
{
	return fault >= OSD_STALL_AFTER;
}

/* While it is held up, somebody else writes the next version: from then on the late one finds its guard
 * broken.
 */
static void fence(struct attempt *a)
{
	struct ps_pad_identity there = was_carried_out(a->fault) ? a->r.identity : a->r.expected;
	struct ps_pad_identity next = net_identity(3, 1);
	enum ps_outcome outcome = ps_identity_none(&there)
	                              ? net_create(watcher.client, &a->r.name, next, RECORD)
	                              : net_replace(watcher.client, &a->r.name, there, next, RECORD);
	if (outcome != PS_NET_DONE)
		fail_attempt(a, "the fence is not written");
}

/* The same again, behind the late one: one of the two is carried out. */
static void repeat(struct attempt *a)
{
	a->r.timeout_ms = LONG_MS;
	ps_client_call(side.client, &a->r);
	bool too_late =
	    a->r.outcome == PS_NET_CONFLICT || (a->op == PS_NET_REMOVE && a->r.outcome == PS_NET_ABSENT);
	if (a->r.outcome != PS_NET_DONE && !too_late)
		fail_attempt(a, "the same again");
}

static void settle(struct attempt *a, bool fenced)
{
	bool applied = was_carried_out(a->fault);
	uint64_t there = counter_there(a), before = a->op == PS_NET_CREATE ? 0 : 1;
	if (there != (fenced ? 3 : applied ? counter_after(a) : before))
		fail_attempt(a, "while it is held up, another version is there");
	osd_proxy_release();
	repeat(a);
	if (fenced && a->r.outcome == PS_NET_DONE)
		fail_attempt(a, "it passes its fence");
	if (counter_there(a) != (fenced ? 3 : counter_after(a)))
		fail_attempt(a, "it is not settled");
}

static void try_held(enum osd_fault fault, enum ps_net_op op, uint64_t seed, bool may_fence)
{
	struct attempt a = {.fault = fault, .op = op, .seed = seed};
	bool writes = ps_net_op_writes(op);
	bool fenced = may_fence && writes && !(op == PS_NET_REMOVE && was_carried_out(fault));
	prepare(&a);
	osd_proxy_arm(fault, seed);
	uint64_t start = net_now_ms();
	assert_int_equal(ps_client_submit(side.client, &a.r), PS_OK);
	/* Only who waits looks at the clock: its time is over when it is held up, and not on its way there.
	 */
	if (!osd_proxy_wait_met(PATIENCE_S))
		fail_attempt(&a, "the fault met no request");
	uint64_t held = net_now_ms();
	assert_ptr_equal(ps_client_wait(side.client, LONG_MS), &a.r);
	uint64_t end = net_now_ms();
	if (a.r.outcome != (writes ? PS_NET_UNKNOWN : PS_NET_UNAVAILABLE) || a.r.error != PS_ETIMEDOUT)
		fail_attempt(&a, "not out of time");
	if (end - start < SHORT_MS || end - held > PROMPTLY_MS)
		fail_attempt(&a, "not in its time");
	if (fenced)
		fence(&a);
	if (writes)
		settle(&a, fenced);
	osd_proxy_release();
	if (!writes) { /* the late answer harms nobody: a new one comes into a new buffer */
		ps_net_buffer_release(a.r.buffer);
		a.r.buffer = net_buffer(side.network, RECORD);
		a.r.timeout_ms = LONG_MS;
		ps_client_call(side.client, &a.r);
		check_done(&a);
	}
	ps_net_buffer_release(a.r.buffer);
}

static void what_holds_up_ends_in_time_and_can_be_settled(void **state)
{
	(void)state;
	for (unsigned fault = OSD_STALL_BEFORE; fault < OSD_FAULTS; fault++) {
		uint64_t start = net_now_ms();
		for (unsigned op = 0; op < OPS; op++)
			for (unsigned i = 0; i < slow_seeds; i++)
				try_held(fault, op, net_random(&dice) >> 1, i % 2);
		print_message("  %s: %u requests in %llu ms\n", osd_fault_text(fault), OPS * slow_seeds,
		              (unsigned long long)(net_now_ms() - start));
	}
}

/* ---- values ---- */

enum { ONE_IN = 12, CALLS = 40, VALUE_SEEDS = 20 };

/* Every time with another mixture of faults, on requests and on answers. */
static void values_are_what_was_acknowledged_under_any_mixture(void **state)
{
	(void)state;
	snprintf(url, sizeof(url), "rados://pads/%%s?conf=%s", ceph_cluster_conf(cluster));
	setenv("PS_TEST_NETWORK", url, 1);
	uint64_t before = osd_proxy_faults(), start = net_now_ms();
	unsigned rounds = seeds < VALUE_SEEDS ? seeds : VALUE_SEEDS;
	for (unsigned i = 0; i < rounds; i++) {
		struct blobs *b = blobs_new(BLOBS_ENGINE);
		osd_proxy_spoil(ONE_IN, net_random(&dice));
		struct blobs_load *load = blobs_load_start(b, "by way of the proxy", net_random(&dice));
		blobs_load_wait_done(load, CALLS);
		blobs_load_stop(load);
		osd_proxy_spoil(0, 0);
		struct blobs_load_counts c = blobs_load_end(load, "a mixture");
		assert_int_equal(c.failed + c.full, 0);
		blobs_free(b);
	}
	uint64_t faults = osd_proxy_faults() - before;
	print_message("%u stores, %llu faults, in %llu ms\n", rounds, (unsigned long long)faults,
	              (unsigned long long)(net_now_ms() - start));
	assert_true(faults > rounds);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_ends_a_connection_is_mended_and_done_once),
	    cmocka_unit_test(what_holds_up_ends_in_time_and_can_be_settled),
	    cmocka_unit_test(values_are_what_was_acknowledged_under_any_mixture),
	};
	const char *given = getenv("PS_SEED");
	if (network_is_skipped("rados"))
		return CEPH_SKIPPED;
	if (argc > 1)
		seeds = slow_seeds = (unsigned)strtoul(argv[1], NULL, 10);
	if (argc > 2)
		slow_seeds = (unsigned)strtoul(argv[2], NULL, 10);
	net_seed = dice = given ? strtoull(given, NULL, 0) : 1;
	net_suite = &(const struct networks_suite){.name = "rados, by way of a proxy"};
	printf("PS_SEED=%llu\n", (unsigned long long)net_seed);
	cluster = ceph_cluster_start("memstore", 0);
	if (!cluster)
		return EXIT_FAILURE;
	int failed = cmocka_run_group_tests(tests, begin, end);
	ceph_cluster_destroy(cluster);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
