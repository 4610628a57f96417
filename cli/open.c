/* Which Storer is behind STORE: the multi store over the base, so that small objects share pages. No locks: a
 * command is one thread, and a store is open in one process. */
#include "cli/cli.h"

#include <padstone/padstone.h>

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

int cli_open_store(const struct cli *cli, int mode, ps_storer **s)
{
	return open_stack(cli, mode, NULL, s);
}

int cli_open_store_on(const struct cli *cli, ps_remote *r, ps_storer **s)
{
	const struct ps_multi_options multi = {.size = sizeof(multi), .remote = r, .log_ms = PS_LOG_OFF};

	return open_stack(cli, PS_OPEN_EXISTING, &multi, s);
}

int cli_close_store(ps_storer *s)
{
	return ps_close(s);
}
