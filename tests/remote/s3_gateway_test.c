/* s3: over a real radosgw: the networks' suite, and a gateway that is restarted in mid-upload. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "remote/network.h"
#include "tests/remote/ceph_cluster.h"
#include "tests/remote/networks/suite.h"

enum {
	RECORD = 1 << 20,
	UPLOADS = 4,
	ROUNDS_AFTER = 5,
	MOST_ROUNDS = 400,
	PATIENCE_MS = 60000,
	PAUSE_MS = 50
};

static struct ceph_cluster *cluster;
static struct ceph_gateway gateway;

static void fresh(char *url, size_t size)
{
	static unsigned number;
	snprintf(url, size, "s3://conformance/run-%d-%u?endpoint=%s", (int)getpid(), number++,
	         gateway.endpoint);
}

/* ---- a restart in mid-upload ---- */

struct restart {
	atomic_int rounds; /* of uploads, so far */
	atomic_bool over;
	bool worked;
};

static void pause_a_little(void)
{
	nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
}

static void *restart_gateway(void *arg)
{
	struct restart *restart = arg;
	while (atomic_load(&restart->rounds) < 3)
		pause_a_little();
	restart->worked = ceph_cluster_do(cluster, "stop-rgw", NULL) &&
	                  ceph_cluster_do(cluster, "start-rgw", strrchr(gateway.endpoint, ':') + 1);
	atomic_store(&restart->over, true);
	return NULL;
}

/* Whatever became of it is found out by looking, and the same is sent again while the version from before is
 * there. How often the outcome was open is counted. */
static void settle(ps_client *client, struct ps_net_request *r, unsigned *open)
{
	uint64_t until = net_now_ms() + PATIENCE_MS;
	while (r->outcome != PS_NET_DONE) {
		struct ps_net_request head = {.op = PS_NET_HEAD, .name = r->name, .timeout_ms = 5000};
		if (net_now_ms() > until || r->outcome == PS_NET_CONFLICT)
			fail_msg("not settled: %s", r->sentence);
		*open += r->outcome == PS_NET_UNKNOWN;
		pause_a_little();
		ps_client_call(client, &head);
		if (head.outcome == PS_NET_DONE && ps_identity_same(&head.identity, &r->identity))
			return;
		bool before = r->op == PS_NET_CREATE ? head.outcome == PS_NET_ABSENT
		                                     : head.outcome == PS_NET_DONE &&
		                                           ps_identity_same(&head.identity, &r->expected);
		r->token.len = 0;
		if (before)
			ps_client_call(client, r);
		else if (head.outcome == PS_NET_DONE || head.outcome == PS_NET_ABSENT)
			fail_msg("neither the old version nor the new: %s", r->sentence);
	}
}

static void prepare(ps_network *network, struct ps_net_request *r, unsigned round, unsigned i)
{
	*r = (struct ps_net_request){.op = i ? PS_NET_CREATE : PS_NET_REPLACE, .timeout_ms = 5000};
	r->name = net_name(i ? 1000 + round * UPLOADS + i : 0);
	r->expected = net_identity(1 + round, 0);
	r->identity = net_identity(i ? 1 : 2 + round, 0);
	r->buffer = net_buffer(network, RECORD);
	net_fill(r->buffer, &r->name, &r->identity, RECORD);
}

/* One replace of the head and some new records, all in flight together. */
static void upload(ps_network *network, ps_client *client, unsigned round, unsigned *open)
{
	struct ps_net_request r[UPLOADS];
	for (unsigned i = 0; i < UPLOADS; i++) {
		prepare(network, &r[i], round, i);
		assert_int_equal(ps_client_submit(client, &r[i]), PS_OK);
	}
	for (unsigned i = 0; i < UPLOADS;)
		i += ps_client_wait(client, 1000) != NULL;
	for (unsigned i = 0; i < UPLOADS; i++) {
		settle(client, &r[i], open);
		ps_net_buffer_release(r[i].buffer);
	}
}

static void nothing_is_lost_when_the_gateway_restarts(void **state)
{
	char url[NET_URL];
	struct net_side side;
	struct restart restart = {.worked = false};
	struct ps_pad_name head = net_name(0);
	pthread_t thread;
	unsigned round = 0, after = 0, open = 0;
	(void)state;
	fresh(url, sizeof(url));
	net_open_at(&side, url, false);
	assert_int_equal(net_create(side.client, &head, net_identity(1, 0), RECORD), PS_NET_DONE);
	assert_int_equal(pthread_create(&thread, NULL, restart_gateway, &restart), 0);
	for (; after < ROUNDS_AFTER && round < MOST_ROUNDS; round++) {
		upload(side.network, side.client, round, &open);
		atomic_fetch_add(&restart.rounds, 1);
		after += atomic_load(&restart.over);
	}
	pthread_join(thread, NULL);
	assert_true(restart.worked);
	net_expect(side.client, &head, net_identity(1 + round, 0), RECORD);
	for (unsigned i = 0; i < round * UPLOADS; i++) {
		struct ps_pad_name name = net_name(1000 + i);
		if (i % UPLOADS != 0)
			net_expect(side.client, &name, net_identity(1, 0), RECORD);
	}
	print_message("%u rounds, %u open outcomes settled\n", round, open);
	net_close(&side);
}

/* ---- */

static int run(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_lost_when_the_gateway_restarts)};
	const struct networks_suite suite = {
	    .name = "s3 (radosgw)", .fresh = fresh, .slow = true, .echoes = true};
	setenv("AWS_ACCESS_KEY_ID", gateway.access_key, 1);
	setenv("AWS_SECRET_ACCESS_KEY", gateway.secret_key, 1);
	unsetenv("AWS_SESSION_TOKEN");
	int failed = networks_conformance(&suite);
	return cmocka_run_group_tests(tests, NULL, NULL) + failed;
}

int main(void)
{
	if (network_is_skipped("s3"))
		return CEPH_SKIPPED;
	int failed = 1;
	cluster = ceph_cluster_start("memstore", 0);
	if (cluster && ceph_cluster_gateway(cluster, &gateway))
		failed = run();
	ceph_cluster_destroy(cluster);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
