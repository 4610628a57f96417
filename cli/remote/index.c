/* export-index and import-index: the index as one file, and back to a network that lost it. */
#include <inttypes.h>

#include <padstone/remote_index.h>

#include "cli/remote/remote.h"

static int export_run(struct cli *cli, ps_remote *r)
{
	struct ps_remote_index_result result;
	const char *path = cli->operands[0];
	char bytes[32], pads[32], shown[REMOTE_SHOWN];
	int err = ps_remote_export_index(r, path, cli->remote.replace, NULL, NULL, &result);
	json_t *object;

	if (err != PS_OK)
		return remote_ended(cli, err, NULL, "no file was written; the same command begins anew");
	object = json_pack("{s:I, s:s, s:I, s:I, s:I}", "head", (json_int_t)result.head, "head_code",
	                   result.code, "pads", (json_int_t)result.pads, "bytes", (json_int_t)result.bytes,
	                   "unsynced", (json_int_t)result.unsynced);
	cli_json_name(object, "output", path);
	cli_json(cli, object);
	cli_say(cli, "%s: head %s, %s, %s", remote_shown(path, shown), result.code,
	        remote_pads_text(result.pads, pads), cli_size_text(result.bytes, bytes));
	if (result.unsynced > 0)
		cli_warn(cli,
		         "%" PRIu64 " values were changed since, and the file does not have that: sync first",
		         result.unsynced);
	return CLI_DONE;
}

int cli_run_remote_export_index(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, export_run);
}

static int import_run(struct cli *cli, ps_remote *r)
{
	const struct ps_remote_index_result *result = cli->remote.put_back;
	char pads[32];

	(void)r;
	cli_json(cli, json_pack("{s:I, s:s, s:I, s:I, s:I}", "head", (json_int_t)result->head, "head_code",
	                        result->code, "pads", (json_int_t)result->pads, "restored",
	                        (json_int_t)result->restored, "kept", (json_int_t)result->kept));
	cli_say(cli, "Head %s: %s put back, %" PRIu64 " were there", result->code,
	        remote_pads_text(result->restored, pads), result->kept);
	return CLI_DONE;
}

int cli_run_remote_import_index(struct cli *cli)
{
	struct ps_remote_index_result result = {0};

	cli->remote.put_back = &result;
	return remote_with(cli, REMOTE_IMPORT_INDEX, import_run);
}
