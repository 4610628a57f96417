/* The conformance suite on dir:, in folders of the working folder. */
#include "tests/remote/networks/cm.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/remote/networks/calls.h"
#include "tests/remote/networks/suite.h"

static char root[64];

static void fresh(char *url, size_t size)
{
	static unsigned number;
	snprintf(url, size, "dir:%s/%u", root, number++);
}

static void hang(const char *url, unsigned ops)
{
	unsigned writes = 1U << PS_NET_CREATE | 1U << PS_NET_REPLACE | 1U << PS_NET_REMOVE;
	(void)url;
	calls_hang(ops & ~writes, ops & writes);
}

/* dir_network_test FOLDER: in it the networks are made. */
int main(int argc, char **argv)
{
	char command[96];
	snprintf(root, sizeof(root), "%s/dir_test.XXXXXX",
	         argc > 1 && access(argv[1], W_OK) == 0 ? argv[1] : ".");
	if (!mkdtemp(root))
		return 1;
	int status =
	    networks_conformance(&(struct networks_suite){.name = "dir", .fresh = fresh, .hang = hang});
	snprintf(command, sizeof(command), "rm -rf %s", root);
	return system(command) == 0 ? status : 1;
}
