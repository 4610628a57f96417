/* Who gets in: a cluster with keys, pools that are not safe, and what is not there. */
#include "tests/remote/networks/cm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "tests/remote/ceph_cluster.h"
#include "tests/remote/networks/suite.h"

static struct ceph_cluster *cluster;

static void tell(const char *const *words)
{
	if (!ceph_cluster_tell(cluster, words))
		fail_msg("ceph %s %s failed", words[0], words[1]);
}

static int open_at(const char *pool, const char *space, const char *query,
                   const struct ps_network_options *options, ps_network **network)
{
	char url[NET_URL];
	snprintf(url, sizeof(url), "rados://%s/%s?conf=%s&mount_timeout=5%s", pool, space,
	         ceph_cluster_conf(cluster), query);
	return ps_network_open(url, options, network);
}

static void what_is_not_there_is_told(void **state)
{
	ps_network *network = NULL;
	(void)state;
	assert_int_equal(open_at("nowhere", "", "", NULL, &network), PS_ENOENT);
	assert_int_equal(ps_network_open("rados://pads/?conf=/nowhere/ceph.conf", NULL, &network), PS_ENOENT);
	assert_non_null(strstr(ps_last_error_message(), "/nowhere/ceph.conf"));
	assert_null(network);
}

static void namespaces_are_apart(void **state)
{
	ps_network *one = NULL, *other = NULL;
	struct ps_pad_name name = net_name(1);
	(void)state;
	assert_int_equal(open_at("pads", "one", "", NULL, &one), PS_OK);
	assert_int_equal(open_at("pads", "other", "", NULL, &other), PS_OK);
	ps_client *in_one = net_client(one), *in_other = net_client(other);
	assert_int_equal(net_create(in_one, &name, net_identity(1, 0), 100), PS_NET_DONE);
	net_expect_absent(in_other, &name);
	ps_client_close(in_one);
	ps_client_close(in_other);
	ps_network_close(one);
	ps_network_close(other);
}

static void a_pool_that_may_lose_writes_is_refused(void **state)
{
	static const char *const unsafe[] = {"osd", "pool", "set", "pads", "min_size", "1", NULL};
	static const char *const safe[] = {"osd", "pool", "set", "pads", "min_size", "2", NULL};
	ps_network *network = NULL;
	(void)state;
	tell(unsafe);
	assert_int_equal(open_at("pads", "", "", NULL, &network), PS_EINVAL);
	assert_non_null(strstr(ps_last_error_message(), "min_size"));
	assert_int_equal(open_at("pads", "", "&unsafe_pool=1", NULL, &network), PS_OK);
	ps_network_close(network);
	tell(safe);
	assert_int_equal(open_at("pads", "", "", NULL, &network), PS_OK);
	ps_network_close(network);
}

static void who_has_a_wrong_key_or_none_is_refused(void **state)
{
	struct ps_network_options options = {.size = sizeof(options), .user = "nobody"};
	ps_network *network = NULL;
	(void)state;
	assert_int_not_equal(open_at("pads", "", "", &options, &network), PS_OK);
	assert_non_null(strstr(ps_last_error_message(), "no connection"));
	assert_int_not_equal(open_at("pads", "", "&keyring=/nowhere", NULL, &network), PS_OK);
	assert_null(network);
}

static void who_may_only_read_is_denied_writes(void **state)
{
	char keyring[NET_URL];
	snprintf(keyring, sizeof(keyring), "%s.reader", ceph_cluster_conf(cluster));
	const char *const words[] = {
	    "auth", "get-or-create", "client.reader", "mon", "allow r", "osd", "allow r", "-o", keyring,
	    NULL};
	struct ps_network_options options = {.size = sizeof(options), .user = "reader", .keyring = keyring};
	ps_network *full = NULL, *reading = NULL;
	struct ps_pad_name name = net_name(2), new = net_name(3);
	(void)state;
	tell(words);
	assert_int_equal(open_at("pads", "caps", "", NULL, &full), PS_OK);
	int err = open_at("pads", "caps", "", &options, &reading);
	if (err != PS_OK)
		fail_msg("%s", ps_last_error_message());
	ps_client *writer = net_client(full), *reader = net_client(reading);
	assert_int_equal(net_create(writer, &name, net_identity(1, 0), 100), PS_NET_DONE);
	net_expect(reader, &name, net_identity(1, 0), 100);
	assert_int_equal(net_create(reader, &new, net_identity(1, 0), 100), PS_NET_DENIED);
	assert_int_equal(net_replace(reader, &name, net_identity(1, 0), net_identity(2, 0), 100),
	                 PS_NET_DENIED);
	assert_int_equal(net_remove(reader, &name, net_identity(1, 0)), PS_NET_DENIED);
	net_expect(writer, &name, net_identity(1, 0), 100);
	net_expect_absent(writer, &new);
	ps_client_close(writer);
	ps_client_close(reader);
	ps_network_close(full);
	ps_network_close(reading);
	remove(keyring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_not_there_is_told),
	    cmocka_unit_test(namespaces_are_apart),
	    cmocka_unit_test(a_pool_that_may_lose_writes_is_refused),
	    cmocka_unit_test(who_has_a_wrong_key_or_none_is_refused),
	    cmocka_unit_test(who_may_only_read_is_denied_writes),
	};
	if (network_is_skipped("rados"))
		return CEPH_SKIPPED;
	net_seed = (uint64_t)time(NULL);
	printf("SEED=%llu\n", (unsigned long long)net_seed);
	setenv("CEPH_LOCAL_AUTH", "cephx", 1);
	cluster = ceph_cluster_start("memstore", 0);
	if (!cluster)
		return EXIT_FAILURE;
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	ceph_cluster_destroy(cluster);
	return failed;
}
