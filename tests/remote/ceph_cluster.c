#include "tests/remote/ceph_cluster.h"

#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OUTPUT = 1024, MOST_WORDS = 24, PATH_TEXT = 64 };

struct ceph_cluster {
	char folder[PATH_TEXT];
	char conf[PATH_TEXT + 16];
	int guardian; /* the guardian sees the end of this pipe when the test is gone */
};

bool network_is_skipped(const char *network)
{
	const char *list = getenv("PS_SKIP_NETWORKS");
	size_t len = strlen(network);
	while (list && *list) {
		if (strcspn(list, ",") == len && strncmp(list, network, len) == 0) {
			fprintf(stderr, "skipped: PS_SKIP_NETWORKS names %s\n", network);
			return true;
		}
		list += strcspn(list, ",");
		list += *list == ',';
	}
	return false;
}

/* Runs a program and keeps what it says on stdout, as a string. */
static bool run(const char *const *arguments, char output[OUTPUT])
{
	int ends[2], status = 0;
	size_t len = 0;
	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	pid_t pid = fork();
	if (pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		execvp(arguments[0], (char *const *)(uintptr_t)arguments);
		_exit(127);
	}
	close(ends[1]);
	for (ssize_t n = 1; pid > 0 && n > 0 && len<OUTPUT - 1; len += n> 0 ? (size_t)n : 0)
		n = read(ends[0], output + len, OUTPUT - 1 - len);
	output[len] = '\0';
	close(ends[0]);
	if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	fprintf(stderr, "failed: %s %s %s\n", arguments[0], arguments[1], arguments[2] ? arguments[2] : "");
	return false;
}

static bool ceph_local(const struct ceph_cluster *c, const char *command, const char *argument,
                       char output[OUTPUT])
{
	const char *arguments[] = {CEPH_LOCAL, command, c->folder, argument, NULL};
	return run(arguments, output);
}

/* What the guardian does: nothing until the test has gone. */
static void guard(int end, const char *folder)
{
	char byte;
	int nothing = open("/dev/null", O_RDWR);
	setsid();
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	dup2(end, STDIN_FILENO);
	dup2(nothing, STDOUT_FILENO);
	dup2(nothing, STDERR_FILENO);
	close_range(STDERR_FILENO + 1, UINT_MAX, 0);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		continue;
	execl(CEPH_LOCAL, CEPH_LOCAL, "destroy", folder, (char *)NULL);
	_exit(127);
}

/* The guardian is nobody's child, so that whoever kills the test with its children does not kill it too. */
static bool start_guardian(struct ceph_cluster *c)
{
	int ends[2], status = 0;
	if (pipe2(ends, O_CLOEXEC) != 0)
		return false;
	pid_t pid = fork();
	if (pid == 0) {
		pid_t guardian = fork();
		if (guardian == 0)
			guard(ends[0], c->folder);
		_exit(guardian < 0);
	}
	close(ends[0]);
	c->guardian = ends[1];
	return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

/* A port that the kernel calls free; 0 if it cannot. */
static unsigned free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool bound = bind(fd, (struct sockaddr *)&address, len) == 0 &&
	             getsockname(fd, (struct sockaddr *)&address, &len) == 0;
	close(fd);
	return bound ? ntohs(address.sin_port) : 0;
}

static void set_number(const char *name, uint64_t number)
{
	char text[24];
	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	if (number)
		setenv(name, text, 1);
	else
		unsetenv(name);
}

/* Another program may take the free port first: then once more, with another. */
static bool start_daemons(struct ceph_cluster *c, const char *store, uint64_t osd_bytes)
{
	char output[OUTPUT];
	setenv("CEPH_LOCAL_STORE", store, 1);
	set_number("CEPH_LOCAL_OSD_SIZE", osd_bytes);
	for (int attempt = 0; attempt < 2; attempt++) {
		set_number("CEPH_LOCAL_MON_PORT", free_port());
		if (ceph_local(c, "start", NULL, output))
			return true;
	}
	return false;
}

struct ceph_cluster *ceph_cluster_start(const char *store, uint64_t osd_bytes)
{
	struct ceph_cluster *c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->guardian = -1;
	strcpy(c->folder, "/tmp/padstone-ceph-XXXXXX");
	if (!mkdtemp(c->folder)) {
		perror(c->folder);
		free(c);
		return NULL;
	}
	snprintf(c->conf, sizeof(c->conf), "%s/ceph.conf", c->folder);
	if (start_guardian(c) && start_daemons(c, store, osd_bytes))
		return c;
	fprintf(stderr, "no Ceph cluster in %s (PS_SKIP_NETWORKS=rados,s3 skips the tests that need one)\n",
	        c->folder);
	ceph_cluster_destroy(c);
	return NULL;
}

void ceph_cluster_destroy(struct ceph_cluster *c)
{
	char output[OUTPUT];
	if (!c)
		return;
	ceph_local(c, "destroy", NULL, output);
	if (c->guardian >= 0)
		close(c->guardian);
	free(c);
}

const char *ceph_cluster_conf(const struct ceph_cluster *cluster)
{
	return cluster->conf;
}

bool ceph_cluster_do(struct ceph_cluster *cluster, const char *command, const char *argument)
{
	char output[OUTPUT];
	return ceph_local(cluster, command, argument, output);
}

bool ceph_cluster_tell(struct ceph_cluster *cluster, const char *const *words)
{
	char output[OUTPUT];
	const char *arguments[MOST_WORDS] = {"ceph", "-c", cluster->conf, "--connect-timeout", "20"};
	size_t count = 5;
	while (*words && count < MOST_WORDS - 1)
		arguments[count++] = *words++;
	arguments[count] = NULL;
	return run(arguments, output);
}

/* "NAME=VALUE" on a line of its own. */
static bool find_value(const char *text, const char *name, char *value, size_t size)
{
	size_t len = strlen(name);
	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		if (strncmp(line, name, len) != 0 || line[len] != '=')
			continue;
		line += len + 1;
		return snprintf(value, size, "%.*s", (int)strcspn(line, "\n"), line) < (int)size;
	}
	return false;
}

bool ceph_cluster_gateway(struct ceph_cluster *cluster, struct ceph_gateway *gateway)
{
	char output[OUTPUT], port[16];
	snprintf(port, sizeof(port), "%u", free_port());
	return ceph_local(cluster, "start-rgw", port, output) &&
	       find_value(output, "endpoint", gateway->endpoint, sizeof(gateway->endpoint)) &&
	       find_value(output, "access_key", gateway->access_key, sizeof(gateway->access_key)) &&
	       find_value(output, "secret_key", gateway->secret_key, sizeof(gateway->secret_key));
}

bool ceph_cluster_kill_all(struct ceph_cluster *cluster)
{
	return ceph_cluster_do(cluster, "kill-all", NULL);
}
