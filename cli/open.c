/* Which Storer is behind STORE. */
#include "cli/cli.h"

#include <padstone/base_store.h>

int cli_open_store(const struct cli *cli, int mode, ps_storer **s)
{
	struct ps_base_options options = {.size = sizeof(options)};

	options.mode = mode;
	options.io = cli->io;
	options.memory_budget = cli->memory;
	return ps_base_open(cli->store, &options, s);
}

int cli_close_store(ps_storer *s)
{
	return ps_close(s);
}
