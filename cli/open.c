/* Which Storer is behind STORE: the multi store over the base, so that small objects share pages. No locks: a
 * command is one thread, and a store is open in one process. */
#include "cli/cli.h"

#include <time.h>

#include <padstone/padstone.h>

#define LAYERS "multi(base)"

enum { BUSY_TRIES = 50, BUSY_WAIT_NS = 10 * 1000 * 1000 };

int cli_open_store(const struct cli *cli, int mode, ps_storer **s)
{
	static const struct timespec wait = {.tv_nsec = BUSY_WAIT_NS};
	struct ps_base_options options = {.size = sizeof(options)};
	const struct ps_stack_options stack = {.size = sizeof(stack), .base = &options};
	int err;

	options.mode = mode;
	options.io = cli->io;
	options.memory_budget = cli->memory;
	err = ps_stack_open_layers(LAYERS, cli->store, &stack, s);
	/* The kernel takes down a killed process's io_uring, and with it the lock, a moment after the process
	 * is gone: whoever kills and starts again must not be told that the store is in use. */
	for (int i = 0; err == PS_EBUSY && i < BUSY_TRIES && !cli_interrupted(); i++) {
		(void)nanosleep(&wait, NULL);
		err = ps_stack_open_layers(LAYERS, cli->store, &stack, s);
	}
	return err;
}

int cli_close_store(ps_storer *s)
{
	return ps_close(s);
}
