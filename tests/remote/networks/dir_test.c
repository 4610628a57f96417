/* The conformance suite on dir:, in folders of the working folder. */
#include "tests/remote/networks/cm.h"

#include "tests/remote/networks/calls.h"
#include "tests/remote/networks/dir_side.h"
#include "tests/remote/networks/suite.h"

static void hang(const char *url, unsigned ops)
{
	unsigned writes = 1U << PS_NET_CREATE | 1U << PS_NET_REPLACE | 1U << PS_NET_REMOVE;
	(void)url;
	calls_hang(ops & ~writes, ops & writes);
}

/* dir_network_test FOLDER: in it the networks are made. */
int main(int argc, char **argv)
{
	if (!dir_suite_begin("dir_test", "dir", argc > 1 ? argv[1] : NULL))
		return 1;
	return dir_suite_end(
	    networks_conformance(&(struct networks_suite){.name = "dir", .fresh = dir_fresh, .hang = hang}));
}
