/* export: all values as files below a folder. */
#include <inttypes.h>
#include <stdio.h>

#include <padstone/remote_files.h>

#include "base/fail.h"
#include "cli/remote/remote.h"

static void left_out(void *arg, const char *name, int err, const char *sentence)
{
	struct cli *cli = arg;
	bool replaceable = err == PS_EEXIST && !cli->remote.replace;

	remote_watch_end(cli->remote.watch);
	err = ps_fail(err, "%s%s", sentence, replaceable ? " (--replace replaces files)" : "");
	(void)remote_fail(cli, err, name);
}

static int say_export(struct cli *cli, const struct ps_remote_export_result *ex)
{
	char bytes[32], values[32];

	cli_json(cli, json_pack("{s:b, s:I, s:I, s:I, s:I, s:I}", "ok", ex->damaged + ex->refused == 0,
	                        "values", (json_int_t)ex->values, "same", (json_int_t)ex->same, "bytes",
	                        (json_int_t)ex->bytes, "damaged", (json_int_t)ex->damaged, "refused",
	                        (json_int_t)ex->refused));
	cli_say(cli, "%s written, %s; %" PRIu64 " there already", remote_values_text(ex->values, values),
	        cli_size_text(ex->bytes, bytes), ex->same);
	if (ex->damaged > 0)
		cli_warn(cli, "%" PRIu64 " values cannot be read whole, and were left out", ex->damaged);
	if (ex->refused > 0)
		cli_warn(cli, "%" PRIu64 " names were taken, and were left as they are", ex->refused);
	return ex->damaged > 0 ? CLI_DAMAGED : ex->refused > 0 ? CLI_FAILED : CLI_DONE;
}

static int export_run(struct cli *cli, ps_remote *r)
{
	struct ps_remote_export options = {.size = sizeof(options),
	                                   .prefix = cli->operand_count > 1 ? cli->operands[1] : NULL,
	                                   .replace = cli->remote.replace,
	                                   .finding = left_out,
	                                   .finding_arg = cli};
	struct ps_remote_export_result result;
	int err = ps_remote_export(r, cli->operands[0], &options, &result);

	if (err != PS_OK)
		return remote_ended(cli, err, NULL, "the same command goes on where it was");
	return say_export(cli, &result);
}

int cli_run_remote_export(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, export_run);
}
