#include "tests/remote/one_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/remote/ceph_cluster.h"
#include "tests/remote/s3_server.h"

static struct ceph_cluster *cluster;
static struct ceph_gateway gateway;
static struct s3_server *server;

void engine_url(const char *place, char url[256])
{
	char endpoint[64];
	if (server) {
		s3_server_endpoint(server, endpoint, sizeof(endpoint));
		snprintf(url, 256, "s3://bucket/%s?endpoint=%s", place, endpoint);
	} else if (gateway.endpoint[0]) {
		snprintf(url, 256, "s3://padstone-tests/%s?endpoint=%s", place, gateway.endpoint);
	} else {
		snprintf(url, 256, "rados://pads/%s?conf=%s", place, ceph_cluster_conf(cluster));
	}
}

/* Another server each time: what an endpoint has shown is remembered. */
static int run_scripted(unsigned flaws, int (*run)(void))
{
	s3_server_credentials();
	server = s3_server_start(flaws, NULL);
	if (!server)
		return EXIT_FAILURE;
	int failed = run();
	s3_server_stop(server);
	return failed;
}

static bool start_gateway(void)
{
	if (!ceph_cluster_gateway(cluster, &gateway))
		return false;
	setenv("AWS_ACCESS_KEY_ID", gateway.access_key, 1);
	setenv("AWS_SECRET_ACCESS_KEY", gateway.secret_key, 1);
	unsetenv("AWS_SESSION_TOKEN");
	return true;
}

static int run_on_cluster(bool through_gateway, int (*run)(void))
{
	int failed = 1;
	if (network_is_skipped(through_gateway ? "s3" : "rados"))
		return CEPH_SKIPPED;
	cluster = ceph_cluster_start("memstore", 0);
	if (cluster && (!through_gateway || start_gateway()))
		failed = run();
	ceph_cluster_destroy(cluster);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

int on_one_engine(const char *engine, unsigned flaws, int (*run)(void))
{
	return strcmp(engine, "s3") == 0 ? run_scripted(flaws, run)
	                                 : run_on_cluster(strcmp(engine, "radosgw") == 0, run);
}
