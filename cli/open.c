/* Which Storer is behind STORE: the multi store over the base, so that small objects share pages. No locks: a
 * command is one thread, and a store is open in one process. */
#include "cli/cli.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>

#include <padstone/padstone.h>

#include "multistore/state_view.h"
#include "store/backing.h"

#define LAYERS "multi(base)"

static int open_stack(const struct cli *cli, int mode, const struct ps_multi_options *multi, ps_storer **s)
{
	struct ps_base_options options = {.size = sizeof(options)};
	const struct ps_stack_options stack = {.size = sizeof(stack), .base = &options, .multi = multi};
	int err, tries = 0;

	options.mode = mode;
	options.io = cli->io;
	options.memory_budget = cli->memory;
	do
		err = ps_stack_open_layers(LAYERS, cli->store, &stack, s);
	while (cli_again_if_busy(err, &tries));
	return err;
}

static bool has_unknown(ps_storer *s)
{
	uint64_t interval;

	return ps_backing_unknown(s, &interval) == PS_OK && interval > 0;
}

/* What a lazy clone learns it writes down, whatever the command does. */
int cli_open_store(const struct cli *cli, int mode, ps_storer **s)
{
	int err = open_stack(cli, mode, NULL, s);

	if (err != PS_OK || mode != PS_OPEN_READONLY || !has_unknown(*s))
		return err;
	err = ps_close(*s);
	return err == PS_OK ? open_stack(cli, PS_OPEN_EXISTING, NULL, s) : err;
}

int cli_open_store_on(const struct cli *cli, ps_remote *r, ps_storer **s)
{
	const struct ps_multi_options multi = {.size = sizeof(multi), .remote = r, .log_ms = PS_LOG_OFF};

	return open_stack(cli, PS_OPEN_EXISTING, &multi, s);
}

int cli_open_state_on(const struct cli *cli, ps_remote *r, ps_storer **s)
{
	const struct ps_base_options base = {
	    .size = sizeof(base), .io = cli->io, .memory_budget = cli->memory};
	const struct ps_multi_options multi = {.size = sizeof(multi), .remote = r};
	char path[PATH_MAX];

	(void)snprintf(path, sizeof(path), "%s", cli->store);
	return ps_state_open(dirname(path), &base, &multi, cli->remote.state, cli_interrupted, s);
}

int cli_close_store(ps_storer *s)
{
	return ps_close(s);
}
