/* The conformance suite on mem:. */
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "remote/mem_network.h"
#include "tests/remote/networks/suite.h"

static void fresh(char *url, size_t size)
{
	static unsigned number;
	snprintf(url, size, "mem:conformance-%u", number++);
}

static void hang(const char *url, unsigned ops)
{
	const struct ps_network_options options = {.size = sizeof(options)};
	struct ps_mem_rule rule = {.fault = PS_MEM_HANG, .ops = ops};
	ps_network *n;
	if (ps_network_open(url, &options, &n) != PS_OK)
		return;
	if (ops == 0)
		ps_mem_rule_remove(ps_mem_world_of(n), 0);
	else if (ps_mem_rule_add(ps_mem_world_of(n), &rule, NULL) != PS_OK)
		abort();
	ps_network_close(n);
}

int main(void)
{
	return networks_conformance(&(struct networks_suite){.name = "mem", .fresh = fresh, .hang = hang});
}
