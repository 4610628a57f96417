/* The conformance suite on s3: over a real radosgw. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/remote/ceph_cluster.h"
#include "tests/remote/networks/suite.h"

static struct ceph_gateway gateway;

static void fresh(char *url, size_t size)
{
	static unsigned number;
	snprintf(url, size, "s3://conformance/run-%d-%u?endpoint=%s", (int)getpid(), number++,
	         gateway.endpoint);
}

int main(void)
{
	if (network_is_skipped("s3"))
		return CEPH_SKIPPED;
	struct ceph_cluster *cluster = ceph_cluster_start("memstore", 0);
	int status = EXIT_FAILURE;
	if (cluster && ceph_cluster_gateway(cluster, &gateway)) {
		setenv("AWS_ACCESS_KEY_ID", gateway.access_key, 1);
		setenv("AWS_SECRET_ACCESS_KEY", gateway.secret_key, 1);
		unsetenv("AWS_SESSION_TOKEN");
		status = networks_conformance(&(struct networks_suite){
		    .name = "s3 (radosgw)", .fresh = fresh, .slow = true, .echoes = true});
	}
	ceph_cluster_destroy(cluster);
	return status;
}
