/* conform: the conformance suite against a stack of layers, over a new store that is removed again. */
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <padstone/stack.h>

#include "base/fail.h"
#include "cli/conform/cmocka.h"
#include "tests/conformance/conformance.h"

struct conform {
	struct cli *cli;
	const char *stack;
	bool ours; /* the file at the store's path was made here */
	unsigned count[CONFORM_SKIPPED + 1];
};

static int open_stack(void *arg, bool fresh, ps_storer **s)
{
	struct conform *conform = arg;
	struct ps_base_options base = {
	    .size = sizeof(base), .io = conform->cli->io, .memory_budget = conform->cli->memory};
	struct ps_stack_options options = {.size = sizeof(options), .base = &base};

	if (fresh && conform->ours)
		(void)unlink(conform->cli->store);
	base.mode = fresh ? PS_OPEN_CREATE_NEW : PS_OPEN_EXISTING;
	int err = ps_stack_open_layers(conform->stack, conform->cli->store, &options, s);
	if (!err)
		conform->ours = true;
	return err;
}

static int on_test(void *arg, const char *test, enum conform_result result)
{
	static const char *const words[] = {"passed", "FAILED", "skipped"};
	static const char *const names[] = {"passed", "failed", "skipped"};
	struct conform *conform = arg;

	conform->count[result]++;
	cli_say(conform->cli, "%-8s %s", words[result], test);
	if (conform->cli->json)
		cli_json(conform->cli, json_pack("{s:s, s:s}", "test", test, "result", names[result]));
	return cli_interrupted() ? 1 : 0;
}

/* What the stack says it can do is what it is held to. */
static int learn(struct conform *conform, struct conformance_stack *stack)
{
	ps_storer *s = NULL;
	int err = open_stack(conform, true, &s);

	if (err != PS_OK)
		return err;
	stack->expected_caps = ps_caps(s);
	stack->persistent = (stack->expected_caps & PS_CAP_DURABLE) != 0;
	return ps_close(s);
}

static int say_result(const struct conform *conform)
{
	struct cli *cli = conform->cli;
	unsigned failed = conform->count[CONFORM_FAILED];

	if (cli->json)
		cli_json(cli, json_pack("{s:s, s:b, s:i, s:i, s:i}", "stack", conform->stack, "ok",
		                        failed == 0, "passed", (int)conform->count[CONFORM_PASSED], "failed",
		                        (int)failed, "skipped", (int)conform->count[CONFORM_SKIPPED]));
	cli_say(cli, "%s: %u passed, %u failed, %u skipped", conform->stack, conform->count[CONFORM_PASSED],
	        failed, conform->count[CONFORM_SKIPPED]);
	if (cli_interrupted())
		return cli_fail(cli, ps_fail(PS_ECANCELED, "interrupted"), NULL);
	return failed == 0 ? CLI_DONE : CLI_FAILED;
}

int cli_run_conform(struct cli *cli)
{
	struct conform conform = {.cli = cli, .stack = cli->stack != NULL ? cli->stack : PS_STACK_DEFAULT};
	struct conformance_stack stack = {.name = conform.stack, .open = open_stack, .arg = &conform};
	struct stat there;

	/* The suite begins with an empty store again and again: never where somebody's file is. */
	if (lstat(cli->store, &there) == 0)
		return cli_fail(
		    cli,
		    ps_fail(PS_EEXIST, "%s: already exists; conform needs a path of its own", cli->store),
		    NULL);
	int err = learn(&conform, &stack);
	if (err != PS_OK)
		return cli_fail(cli, err, NULL);
	conform_listener = on_test;
	conform_listener_arg = &conform;
	(void)conformance_run(&stack);
	(void)unlink(cli->store);
	return say_result(&conform);
}
