/* The conformance suite on mem:. */
#include <stdio.h>
#include <unistd.h>

#include "tests/remote/networks/suite.h"

static void fresh(char *url, size_t size)
{
	static unsigned number;
	snprintf(url, size, "mem:conformance-%u", number++);
}

int main(void)
{
	return networks_conformance(&(struct networks_suite){.name = "mem", .fresh = fresh});
}
