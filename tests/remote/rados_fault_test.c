/* rados: on a real cluster of which parts stand still or are full: every request ends in its time, full is
 * told at once, and closing does not wait. What dies under load is in blobs/engine_fault_test.c. */
#include "tests/remote/networks/cm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "tests/remote/ceph_cluster.h"
#include "tests/remote/network_load.h"
#include "tests/remote/networks/suite.h"

/* So many versions make sure that the load runs; after a fault, that it runs again. */
enum { SOME = 150, LARGE = 2 << 20, IN_FLIGHT = 10, SHORT_MS = 2000 };
/* What is promised within a second is so on a machine that has time for it; this is half of the default
 * time-out. */
enum { PROMPTLY_MS = 30000 };

static struct ceph_cluster *cluster;

static void do_(const char *command, const char *argument)
{
	if (!ceph_cluster_do(cluster, command, argument))
		fail_msg("ceph-local %s %s failed", command, argument ? argument : "");
}

static ps_network *open_network(void)
{
	static unsigned number;
	char url[NET_URL];
	ps_network *network = NULL;
	snprintf(url, sizeof(url), "rados://pads/fault-%u?conf=%s", number++, ceph_cluster_conf(cluster));
	int err = ps_network_open(url, NULL, &network);
	if (err != PS_OK)
		fail_msg("%s: %s", ps_error_name(err), ps_last_error_message());
	return network;
}

static struct load_counts end(struct network_load *load, ps_network *network, const char *what)
{
	struct load_counts counts = network_load_end(load, what);
	ps_network_close(network);
	do_("wait", NULL);
	return counts;
}

/* ---- OSDs that stand still ---- */

static void a_short_stop_makes_unknown_outcomes_that_come_later(void **state)
{
	(void)state;
	ps_network *network = open_network();
	struct network_load *load = network_load_start(network, SHORT_MS);
	network_load_wait_done(load, SOME);
	do_("pause-osd", "1");
	network_load_wait_unknown(load, 2);
	do_("resume-osd", "1");
	network_load_wait_done(load, SOME);
	struct load_counts counts = end(load, network, "one OSD stopped, our time-out");
	assert_true(counts.unknown > 0);
	/* A request ends in time, whatever its network does. */
	assert_true(counts.longest_ms < SHORT_MS + PROMPTLY_MS);
}

/* ---- full ---- */

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

/* A version's length: each grows. What does not grow is written to a full pool as well. */
static size_t length_of(struct ps_pad_identity identity)
{
	return 4096 * (size_t)identity.counter;
}

/* The OSDs have to look at themselves, and the monitor to say so: until this outcome comes, versions are
 * written. The last one written. */
static struct ps_pad_identity write_until(ps_client *client, const struct ps_pad_name *name,
                                          struct ps_pad_identity last, enum ps_outcome wanted)
{
	uint64_t end_ms = net_now_ms() + 300 * NET_SECOND_MS;
	for (;;) {
		struct ps_pad_identity next = net_identity(last.counter + 1, 0);
		uint64_t start = net_now_ms();
		enum ps_outcome outcome = net_replace(client, name, last, next, length_of(next));
		if (outcome == PS_NET_DONE)
			last = next;
		if (outcome == PS_NET_FULL)
			assert_true(net_now_ms() - start < PROMPTLY_MS);
		if (outcome == wanted)
			return last;
		assert_true(outcome == PS_NET_DONE || outcome == PS_NET_FULL);
		assert_true(net_now_ms() < end_ms);
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	}
}

/* Each OSD knows of a full pool when it has the new map: the one that refused a version is not the one
 * that a new pad belongs to. The first pad, of those from number `first` on, that is refused. */
static struct ps_pad_name create_until_full(ps_client *client, uint64_t first)
{
	uint64_t end_ms = net_now_ms() + 300 * NET_SECOND_MS;
	for (uint64_t number = first;; number++) {
		struct ps_pad_name name = net_name(number);
		enum ps_outcome outcome = net_create(client, &name, net_identity(1, 0), 4096);
		if (outcome == PS_NET_FULL)
			return name;
		assert_int_equal(outcome, PS_NET_DONE);
		assert_true(net_now_ms() < end_ms);
	}
}

static void a_full_pool_says_so_at_once_and_can_be_emptied(void **state)
{
	struct ps_pad_name kept = net_name(1), removed = net_name(2);
	(void)state;
	ps_network *network = open_network();
	ps_client *client = net_client(network);
	assert_int_equal(net_create(client, &kept, net_identity(1, 0), 4096), PS_NET_DONE);
	assert_int_equal(net_create(client, &removed, net_identity(1, 0), 4096), PS_NET_DONE);
	set_full_ratios("0.0001");
	struct ps_pad_identity last = write_until(client, &kept, net_identity(1, 0), PS_NET_FULL);
	struct ps_pad_name new = create_until_full(client, 3);
	uint64_t start = net_now_ms();
	net_expect(client, &kept, last, length_of(last));
	net_expect_absent(client, &new);
	assert_int_equal(net_remove(client, &removed, net_identity(7, 0)), PS_NET_CONFLICT);
	assert_int_equal(net_remove(client, &removed, net_identity(1, 0)), PS_NET_DONE);
	net_expect_absent(client, &removed);
	printf("full: five requests took %llu ms\n", (unsigned long long)(net_now_ms() - start));
	assert_true(net_now_ms() - start < PROMPTLY_MS);
	set_full_ratios("0.75");
	last = write_until(client, &kept, last, PS_NET_DONE);
	net_expect(client, &kept, last, length_of(last));
	ps_client_close(client);
	ps_network_close(network);
}

/* ---- closing ---- */

static void pause_all(const char *command)
{
	do_(command, "0");
	do_(command, "1");
	do_(command, "2");
}

static void submit_all(ps_client *client, struct ps_net_request *requests)
{
	for (unsigned i = 0; i < IN_FLIGHT; i++) {
		struct ps_net_request *r = &requests[i];
		*r = (struct ps_net_request){.op = i % 2 ? PS_NET_GET : PS_NET_REPLACE, .name = net_name(i)};
		r->expected = net_identity(1, 0);
		r->identity = net_identity(2, 0);
		r->buffer = net_buffer(client->network, LARGE);
		net_fill(r->buffer, &r->name, &r->identity, LARGE);
		assert_int_equal(ps_client_submit(client, r), PS_OK);
		/* From now on only who carries it out holds it. */
		ps_net_buffer_release(r->buffer);
	}
}

static void a_client_closes_with_operations_that_hang(void **state)
{
	struct ps_net_request *requests = calloc(IN_FLIGHT, sizeof(*requests));
	struct ps_pad_identity identity;
	uint64_t size;
	(void)state;
	assert_non_null(requests);
	ps_network *network = open_network();
	char *url = strdup(ps_network_url(network));
	ps_client *client = net_client(network), *second = net_client(network);
	for (unsigned i = 0; i < IN_FLIGHT; i++) {
		struct ps_pad_name name = net_name(i);
		assert_int_equal(net_create(client, &name, net_identity(1, 0), LARGE), PS_NET_DONE);
	}
	pause_all("pause-osd");
	submit_all(client, requests);
	uint64_t start = net_now_ms();
	ps_client_close(client);
	free(requests);
	/* One that closes, and one that finds the network closing behind it. */
	requests = calloc(IN_FLIGHT, sizeof(*requests));
	submit_all(second, requests);
	ps_client_close(second);
	free(requests);
	ps_network_close(network);
	uint64_t took = net_now_ms() - start;
	pause_all("resume-osd");
	printf("two clients and a network with %d hanging requests each close in %llu ms\n", IN_FLIGHT,
	       (unsigned long long)took);
	assert_true(took < PROMPTLY_MS);
	assert_int_equal(ps_network_open(url, NULL, &network), PS_OK);
	client = net_client(network);
	for (unsigned i = 0; i < IN_FLIGHT; i++) {
		struct ps_pad_name name = net_name(i);
		assert_int_equal(net_head(client, &name, &identity, &size), PS_NET_DONE);
		assert_true(identity.counter == 1 || (identity.counter == 2 && i % 2 == 0));
		net_expect(client, &name, net_identity(identity.counter, 0), LARGE);
	}
	ps_client_close(client);
	ps_network_close(network);
	free(url);
}

/* rados_fault_test [pattern of names] */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_short_stop_makes_unknown_outcomes_that_come_later),
	    cmocka_unit_test(a_client_closes_with_operations_that_hang),
	    cmocka_unit_test(a_full_pool_says_so_at_once_and_can_be_emptied),
	};
	if (network_is_skipped("rados"))
		return CEPH_SKIPPED;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	net_seed = (uint64_t)time(NULL);
	printf("SEED=%llu\n", (unsigned long long)net_seed);
	cluster = ceph_cluster_start("bluestore", 0);
	if (!cluster)
		return EXIT_FAILURE;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	ceph_cluster_destroy(cluster);
	return failed;
}
