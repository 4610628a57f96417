/* import: the files below a folder as values, under their paths as names. */
#include <inttypes.h>
#include <stdio.h>

#include <padstone/remote_files.h>

#include "cli/remote/remote.h"

static void skipped(void *arg, const char *path, const char *why)
{
	const struct cli *cli = arg;
	char shown[REMOTE_SHOWN];

	remote_watch_end(cli->remote.watch);
	cli_warn(cli, "'%s' %s", cli_escape(path, shown, sizeof(shown)), why);
}

static int import_run(struct cli *cli, ps_remote *r)
{
	struct ps_remote_import options = {.size = sizeof(options), .finding = skipped, .finding_arg = cli};
	struct ps_remote_import_result im;
	char bytes[32], values[32];
	int err = ps_remote_import(r, cli->operands[0], &options, &im);

	if (err != PS_OK)
		return remote_ended(cli, err, NULL, "the same command goes on where it was");
	cli_json(cli, json_pack("{s:I, s:I, s:I, s:I, s:I}", "values", (json_int_t)im.values, "same",
	                        (json_int_t)im.same, "bytes", (json_int_t)im.bytes, "sent_bytes",
	                        (json_int_t)im.sent_bytes, "skipped", (json_int_t)im.skipped));
	cli_say(cli, "%s stored, %s; %" PRIu64 " the same already", remote_values_text(im.values, values),
	        cli_size_text(im.bytes, bytes), im.same);
	return CLI_DONE;
}

int cli_run_remote_import(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, import_run);
}
