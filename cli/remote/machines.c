/* machines and drop-machine: who has written to the store, and who never will again. */
#include <inttypes.h>
#include <stdio.h>

#include "base/fail.h"
#include "cli/remote/remote.h"

static int show_machine(void *arg, const struct ps_remote_machine *machine)
{
	struct cli *cli = arg;
	char shown[REMOTE_SHOWN];
	json_t *object =
	    json_pack("{s:s, s:I, s:b, s:b}", "id", machine->id, "last_head", (json_int_t)machine->last,
	              "self", (int)machine->self, "unaware", (int)machine->unaware);

	cli_json_name(object, "machine", machine->name);
	cli_json(cli, object);
	cli_say(cli, "%s  %s  last head %" PRIu64 "%s%s", machine->id,
	        cli_escape(machine->name, shown, sizeof(shown)), machine->last,
	        machine->self ? ", this machine" : "",
	        machine->unaware ? ", has not synced since others joined" : "");
	return 0;
}

static int machines_run(struct cli *cli, ps_remote *r)
{
	int err = ps_remote_machines(r, show_machine, cli);

	return err == PS_OK ? CLI_DONE : remote_fail(cli, err, NULL);
}

int cli_run_remote_machines(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, machines_run);
}

static int drop_run(struct cli *cli, ps_remote *r)
{
	struct ps_remote_sync_result s;
	char shown[REMOTE_SHOWN];
	int err = ps_remote_drop_machine(r, cli->operands[0], &s);
	json_t *object;

	if (err != PS_OK)
		return remote_ended(cli, err, cli->operands[0], "the same command goes on where it was");
	object = json_pack("{s:I, s:I, s:I}", "head", (json_int_t)s.head, "sent", (json_int_t)s.sent,
	                   "received", (json_int_t)s.received);
	cli_json_name(object, "dropped", cli->operands[0]);
	cli_json(cli, object);
	cli_say(cli, "%s is not in the list any more, from head %" PRIu64 " on",
	        cli_escape(cli->operands[0], shown, sizeof(shown)), s.head);
	return CLI_DONE;
}

int cli_run_remote_drop_machine(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, drop_run);
}
