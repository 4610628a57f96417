/* The tests' own cluster: it starts, serves, and is gone when the test is, however that ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/remote/ceph_cluster.h"

enum { GONE_WITHIN_S = 240 };

/* The folder of a cluster, from the path of its configuration. */
static void folder_of(const struct ceph_cluster *cluster, char folder[64])
{
	snprintf(folder, 64, "%s", ceph_cluster_conf(cluster));
	*strrchr(folder, '/') = '\0';
}

static void a_gateway_says_where_it_is(void **state)
{
	static const char *const right[] = {"osd", "pool", "set", "pads", "min_size", "1", NULL};
	static const char *const wrong[] = {"osd", "pool", "set", "nowhere", "min_size", "1", NULL};
	struct ceph_gateway gateway;
	(void)state;
	struct ceph_cluster *cluster = ceph_cluster_start("memstore", 0);
	assert_non_null(cluster);
	assert_true(ceph_cluster_gateway(cluster, &gateway));
	assert_int_equal(strncmp(gateway.endpoint, "http://127.0.0.1:", 17), 0);
	assert_true(strlen(gateway.access_key) > 0 && strlen(gateway.secret_key) > 0);
	assert_true(ceph_cluster_tell(cluster, right));
	assert_false(ceph_cluster_tell(cluster, wrong));
	ceph_cluster_destroy(cluster);
}

static void start_and_be_killed(int report)
{
	char folder[64] = "";
	struct ceph_cluster *cluster = ceph_cluster_start("memstore", 0);
	if (cluster)
		folder_of(cluster, folder);
	if (write(report, folder, sizeof(folder)) != sizeof(folder))
		_exit(1);
	raise(SIGKILL);
}

static void a_killed_test_leaves_no_cluster(void **state)
{
	int ends[2], status = 0;
	char folder[64] = "";
	(void)state;
	assert_int_equal(pipe(ends), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		start_and_be_killed(ends[1]);
	assert_int_equal(read(ends[0], folder, sizeof(folder)), sizeof(folder));
	assert_true(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
	assert_true(strlen(folder) > 0);
	time_t end = time(NULL) + GONE_WITHIN_S;
	/* Nothing tells of a folder's end. */
	while (access(folder, F_OK) == 0 && time(NULL) < end)
		nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	assert_int_not_equal(access(folder, F_OK), 0);
	close(ends[0]);
	close(ends[1]);
}

static void networks_are_skipped_by_name_only(void **state)
{
	(void)state;
	unsetenv("PS_SKIP_NETWORKS");
	assert_false(network_is_skipped("rados"));
	setenv("PS_SKIP_NETWORKS", "radosgw,s3", 1);
	assert_false(network_is_skipped("rados"));
	assert_true(network_is_skipped("s3"));
	setenv("PS_SKIP_NETWORKS", "rados,s3", 1);
	assert_true(network_is_skipped("rados"));
	unsetenv("PS_SKIP_NETWORKS");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_gateway_says_where_it_is),
	    cmocka_unit_test(a_killed_test_leaves_no_cluster),
	    cmocka_unit_test(networks_are_skipped_by_name_only),
	};
	if (network_is_skipped("rados"))
		return CEPH_SKIPPED;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
