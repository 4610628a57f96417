/* The conformance suite on rados:, against a real cluster. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/remote/ceph_cluster.h"
#include "tests/remote/networks/suite.h"

static struct ceph_cluster *cluster;

static void fresh(char *url, size_t size)
{
	static unsigned number;
	snprintf(url, size, "rados://pads/conformance-%u?conf=%s", number++, ceph_cluster_conf(cluster));
}

/* Whatever is asked of OSDs that stand still waits. */
static void hang(const char *url, unsigned ops)
{
	(void)url;
	const char *command = ops ? "pause-osd" : "resume-osd";
	for (char osd[] = "0"; osd[0] < '3'; osd[0]++) {
		if (!ceph_cluster_do(cluster, command, osd))
			abort();
	}
}

int main(void)
{
	if (network_is_skipped("rados"))
		return CEPH_SKIPPED;
	cluster = ceph_cluster_start("memstore", 0);
	if (!cluster)
		return EXIT_FAILURE;
	int status = networks_conformance(
	    &(struct networks_suite){.name = "rados", .fresh = fresh, .slow = true, .hang = hang});
	ceph_cluster_destroy(cluster);
	return status;
}
