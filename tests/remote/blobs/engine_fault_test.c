/* A real cluster of which parts die, hang, fill up, and come back, under load: blobs over rados: and over its
 * gateway (s3:), and bare requests over rados:, all at the same time, so that each fault is waited for once.
 * What blobs_load.h and network_load.h have is true afterwards: nothing acknowledged is lost, nothing is
 * written twice. usage: engine_fault_test [PATTERN of names]; PS_SKIP_NETWORKS leaves one of the two networks
 * out */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/remote/blobs/blobs_load.h"
#include "tests/remote/ceph_cluster.h"
#include "tests/remote/network_load.h"
#include "tests/remote/networks/suite.h"
#include "tests/remote/sync/sync_fixture.h"

enum {
	/* So many calls make sure that the load runs; after a fault, that it runs again. */
	SOME = 25,
	REQUESTS = 6, /* versions written by requests for each of these */
	FEW = 3,
	SHORT_MS = 2000,
	LONG_MS = 60000,
};

static struct ceph_cluster *cluster;
static struct ceph_gateway gateway;

static struct side {
	const char *name;
	char url[256];
	struct blobs *b;
	struct blobs_load *load;
} sides[2];
static unsigned sides_count;

static struct {
	ps_network *network;
	struct network_load *load; /* NULL: there are none */
} requests;

static void do_(const char *command, const char *argument)
{
	if (!ceph_cluster_do(cluster, command, argument))
		fail_msg("ceph-local %s %s failed", command, argument ? argument : "");
}

static bool uses_gateway(void)
{
	return sides_count > 0 && strcmp(sides[sides_count - 1].name, "s3") == 0;
}

static void start_gateway(void)
{
	if (uses_gateway())
		do_("start-rgw", strrchr(gateway.endpoint, ':') + 1);
}

static bool uses_rados(void)
{
	return sides_count > 0 && strcmp(sides[0].name, "rados") == 0;
}

/* ---- all loads ---- */

static void start_requests(const char *query, uint32_t timeout_ms)
{
	static unsigned number;
	char url[NET_URL];
	snprintf(url, sizeof(url), "rados://pads/requests-%u?conf=%s%s", number++, ceph_cluster_conf(cluster),
	         query);
	assert_ok(ps_network_open(url, NULL, &requests.network));
	requests.load = network_load_start(requests.network, timeout_ms);
}

/* `short_time`: calls fail while the network is not there, instead of waiting for it. `query`: of the
 * requests' URL; NULL: none. */
static void start(bool short_time, const char *query, uint32_t timeout_ms)
{
	for (unsigned i = 0; i < sides_count; i++) {
		struct side *s = &sides[i];
		setenv("PS_TEST_NETWORK", s->url, 1);
		s->b = blobs_new(BLOBS_ENGINE);
		blobs_close(s->b);
		s->b->options.timeout_ms = short_time ? SHORT_MS : LONG_MS;
		s->b->options.retries = short_time ? 1 : 20;
		assert_ok(blobs_start_again(s->b, false));
		s->load = blobs_load_start(s->b, s->name, net_seed + i);
	}
	if (query && uses_rados())
		start_requests(query, timeout_ms);
}

static void wait_done(uint64_t more)
{
	for (unsigned i = 0; i < sides_count; i++)
		blobs_load_wait_done(sides[i].load, more);
	if (requests.load)
		network_load_wait_done(requests.load, REQUESTS * more);
}

static void wait_failed(void)
{
	for (unsigned i = 0; i < sides_count; i++)
		blobs_load_wait_failed(sides[i].load, FEW);
	if (requests.load)
		network_load_wait_unknown(requests.load, FEW);
}

/* The counts of all together; of requests those that did not end with an answer. */
static struct blobs_load_counts end(const char *what)
{
	struct blobs_load_counts sum = {0};
	for (unsigned i = 0; i < sides_count; i++)
		blobs_load_stop(sides[i].load);
	if (requests.load) {
		struct load_counts c = network_load_end(requests.load, what);
		sum.failed = c.unknown + c.failed_reads + c.failed_writes;
		ps_network_close(requests.network);
		requests.load = NULL;
	}
	do_("wait", NULL);
	for (unsigned i = 0; i < sides_count; i++) {
		struct blobs_load_counts c = blobs_load_end(sides[i].load, what);
		sum.failed += c.failed;
		sum.full += c.full;
		sum.left += c.left;
		blobs_free(sides[i].b);
		sides[i].b = NULL;
	}
	return sum;
}

static void end_without_errors(const char *what)
{
	struct blobs_load_counts sum = end(what);
	assert_int_equal(sum.failed + sum.full, 0);
}

static void end_with_errors(const char *what)
{
	struct blobs_load_counts sum = end(what);
	assert_true(sum.failed >= FEW && sum.left > 0);
}

/* ---- faults ---- */

static void one_osd_killed_under_load_is_no_error(void **state)
{
	(void)state;
	start(false, "", 0);
	wait_done(SOME);
	do_("kill-osd", "0");
	wait_done(2 * SOME);
	do_("start-osd", "0");
	wait_done(SOME);
	end_without_errors("one OSD killed");
}

static void two_osds_killed_leave_open_outcomes_that_all_settle(void **state)
{
	(void)state;
	start(true, "&osd_timeout=2", 0);
	wait_done(SOME);
	do_("kill-osd", "0");
	do_("kill-osd", "1");
	wait_failed();
	do_("start-osd", "0");
	do_("start-osd", "1");
	wait_done(SOME);
	end_with_errors("two OSDs killed");
}

static void a_stopped_osd_holds_up_and_loses_nothing(void **state)
{
	(void)state;
	start(false, "", 0);
	wait_done(SOME);
	do_("pause-osd", "2");
	/* The others take over once it is marked down: five heartbeats and more. */
	wait_done(2 * SOME);
	do_("resume-osd", "2");
	wait_done(SOME);
	end_without_errors("one OSD stopped");
}

/* Who has no connection yet gets none, and is told so in its time. */
static void open_without_a_monitor(void)
{
	char url[NET_URL];
	ps_network *other = NULL;
	uint64_t from = net_now_ms();
	snprintf(url, sizeof(url), "rados://pads/x?conf=%s&mount_timeout=2", ceph_cluster_conf(cluster));
	assert_int_equal(ps_network_open(url, NULL, &other), PS_EUNAVAILABLE);
	assert_in_range(net_now_ms() - from, SHORT_MS, LONG_MS);
}

static void without_a_monitor_the_load_goes_on(void **state)
{
	(void)state;
	start(false, "", 0);
	wait_done(SOME);
	do_("kill-mon", NULL);
	wait_done(SOME);
	if (uses_rados())
		open_without_a_monitor();
	do_("start-mon", NULL);
	wait_done(SOME);
	end_without_errors("the monitor killed");
}

static void everything_killed_and_started_again_loses_nothing(void **state)
{
	(void)state;
	start(true, "&osd_timeout=4", SHORT_MS);
	wait_done(SOME);
	if (!ceph_cluster_kill_all(cluster))
		fail();
	wait_failed();
	do_("start", NULL);
	start_gateway();
	wait_done(SOME);
	end_with_errors("everything killed");
}

static void a_gateway_that_restarts_in_mid_upload_loses_nothing(void **state)
{
	(void)state;
	if (!uses_gateway())
		skip();
	start(true, NULL, 0);
	wait_done(SOME);
	do_("stop-rgw", NULL);
	blobs_load_wait_failed(sides[sides_count - 1].load, FEW);
	start_gateway();
	wait_done(SOME);
	end_with_errors("the gateway restarted");
}

/* All three: an OSD takes the largest of them for full. */
static void set_full_ratios(const char *ratio)
{
	static const char *const commands[] = {"set-nearfull-ratio", "set-backfillfull-ratio",
	                                       "set-full-ratio"};
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		const char *const words[] = {"osd", commands[i], ratio, NULL};
		if (!ceph_cluster_tell(cluster, words))
			fail_msg("the full ratio cannot be set");
	}
}

/* RADOS says so at once; radosgw waits for room, so that requests run out of time. */
static void a_full_cluster_is_told_and_the_rest_is_sent_later(void **state)
{
	(void)state;
	start(true, NULL, 0);
	wait_done(SOME);
	set_full_ratios("0.0001");
	wait_failed();
	set_full_ratios("0.75");
	wait_done(SOME);
	struct blobs_load_counts sum = end("the pool full");
	assert_true(sum.full > 0 || !uses_rados());
}

/* ---- */

static bool add_sides(void)
{
	if (!network_is_skipped("rados")) {
		struct side *s = &sides[sides_count++];
		s->name = "rados";
		snprintf(s->url, sizeof(s->url), "rados://pads/%%s?conf=%s", ceph_cluster_conf(cluster));
	}
	if (!network_is_skipped("s3")) {
		struct side *s = &sides[sides_count++];
		s->name = "s3";
		if (!ceph_cluster_gateway(cluster, &gateway))
			return false;
		snprintf(s->url, sizeof(s->url), "s3://faults/%%s?endpoint=%s", gateway.endpoint);
		setenv("AWS_ACCESS_KEY_ID", gateway.access_key, 1);
		setenv("AWS_SECRET_ACCESS_KEY", gateway.secret_key, 1);
		unsetenv("AWS_SESSION_TOKEN");
	}
	return true;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(one_osd_killed_under_load_is_no_error),
	    cmocka_unit_test(two_osds_killed_leave_open_outcomes_that_all_settle),
	    cmocka_unit_test(a_stopped_osd_holds_up_and_loses_nothing),
	    cmocka_unit_test(without_a_monitor_the_load_goes_on),
	    cmocka_unit_test(everything_killed_and_started_again_loses_nothing),
	    cmocka_unit_test(a_gateway_that_restarts_in_mid_upload_loses_nothing),
	    cmocka_unit_test(a_full_cluster_is_told_and_the_rest_is_sent_later),
	};
	if (network_is_skipped("rados") && network_is_skipped("s3"))
		return CEPH_SKIPPED;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	int failed = 1;
	net_seed = test_seed(1);
	cluster = ceph_cluster_start("bluestore", 0);
	if (cluster && add_sides())
		failed = cmocka_run_group_tests_name("engine faults", tests, NULL, NULL);
	ceph_cluster_destroy(cluster);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
