/* A real engine, and test programs on it, one after the other. Names the engine in PS_TEST_NETWORK, a URL
 * with %s where a place goes (and, for s3, its keys in AWS_*): stores of the scheme BLOBS_ENGINE lie there.
 * usage: on_engine rados|s3 PROGRAM [ARGUMENT…] [-- PROGRAM [ARGUMENT…]]…
 * Exit status: 0 if all succeeded; 77 if PS_SKIP_NETWORKS names the engine; else 1, also if it cannot be
 * started. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/remote/ceph_cluster.h"

static bool name_engine(struct ceph_cluster *cluster, const char *engine)
{
	struct ceph_gateway gateway;
	char url[256];
	if (strcmp(engine, "rados") == 0) {
		snprintf(url, sizeof(url), "rados://pads/%%s?conf=%s", ceph_cluster_conf(cluster));
	} else {
		if (!ceph_cluster_gateway(cluster, &gateway))
			return false;
		snprintf(url, sizeof(url), "s3://padstone-tests/%%s?endpoint=%s", gateway.endpoint);
		setenv("AWS_ACCESS_KEY_ID", gateway.access_key, 1);
		setenv("AWS_SECRET_ACCESS_KEY", gateway.secret_key, 1);
		unsetenv("AWS_SESSION_TOKEN");
	}
	return setenv("PS_TEST_NETWORK", url, 1) == 0;
}

static double now_s(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool run(char **words)
{
	double from = now_s();
	int status = 0;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		/* Whoever kills this process has ended the engine, too. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execv(words[0], words);
		perror(words[0]);
		_exit(127);
	}
	bool right =
	    pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
	printf("%s after %.1f s: %s\n", right ? "ended" : "FAILED", now_s() - from, words[0]);
	return right;
}

/* Each up to the next "--". True: all succeeded. */
static bool run_all(char **words)
{
	bool right = true;
	while (*words) {
		char **end = words;
		while (*end && strcmp(*end, "--") != 0)
			end++;
		bool last = !*end;
		*end = NULL;
		right &= run(words);
		words = last ? end : end + 1;
	}
	return right;
}

int main(int argc, char **argv)
{
	if (argc < 3 || (strcmp(argv[1], "rados") != 0 && strcmp(argv[1], "s3") != 0)) {
		fprintf(stderr, "usage: on_engine rados|s3 PROGRAM [ARGUMENT...] [-- PROGRAM...]\n");
		return EXIT_FAILURE;
	}
	if (network_is_skipped(argv[1]))
		return CEPH_SKIPPED;
	struct ceph_cluster *cluster = ceph_cluster_start("memstore", 0);
	bool right = cluster && name_engine(cluster, argv[1]) && run_all(argv + 2);
	ceph_cluster_destroy(cluster);
	return right ? EXIT_SUCCESS : EXIT_FAILURE;
}
