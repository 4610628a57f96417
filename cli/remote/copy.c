/* copy: the store's pads on a second network. */
#include <inttypes.h>
#include <stdio.h>

#include <padstone/push.h>

#include "base/fail.h"
#include "cli/remote/remote.h"

static void found(void *arg, const char *name, uint64_t pad, int error, const char *sentence)
{
	struct cli *cli = arg;
	char said[REMOTE_SHOWN];
	json_t *object = json_pack("{s:s, s:I, s:s}", "finding", ps_error_name(error), "pad", (json_int_t)pad,
	                           "message", remote_shown(sentence, said));

	remote_watch_end(cli->remote.watch);
	cli_json_name(object, "name", name);
	cli_json(cli, object);
	cli_say(cli, "%s", said);
}

static void say_copy(struct cli *cli, const char *url, const struct ps_remote_copy_result *c, uint64_t log)
{
	char bytes[32], shown[REMOTE_SHOWN];
	json_t *object =
	    json_pack("{s:b, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "ok", c->missing == 0, "head",
	              (json_int_t)c->head, "head_code", c->code, "looked", (json_int_t)c->looked, "kept",
	              (json_int_t)c->kept, "created", (json_int_t)c->created, "replaced",
	              (json_int_t)c->replaced, "missing", (json_int_t)c->missing, "sent_bytes",
	              (json_int_t)c->sent_bytes, "log_pads", (json_int_t)log);

	cli_json_name(object, "to", url);
	cli_json(cli, object);
	cli_say(cli, "%s: head %s; %" PRIu64 " pads sent, %s, %" PRIu64 " there already",
	        remote_shown(url, shown), c->code, c->created + c->replaced,
	        cli_size_text(c->sent_bytes, bytes), c->kept);
	if (log > 0)
		cli_say(cli, "  with %" PRIu64 " pads of the log behind the pushed state", log);
}

static int copy_run(struct cli *cli, ps_remote *r)
{
	const struct cli_remote_options *given = &cli->remote;
	struct ps_remote_copy options = {.size = sizeof(options),
	                                 .create = given->create,
	                                 .all = given->all,
	                                 .behind = given->behind,
	                                 .finding = found,
	                                 .finding_arg = cli};
	struct ps_remote_copy_result result = {0};
	const char *to = given->copy_to;
	uint64_t log = 0;
	int err = ps_push_copy(r, to, &options, &result, &log);

	if (err != PS_OK)
		return remote_ended(cli, err, NULL, "the same command goes on where it was");
	say_copy(cli, to, &result, log);
	return CLI_DONE;
}

int cli_run_remote_copy(struct cli *cli)
{
	if (cli->remote.copy_to == NULL || *cli->remote.copy_to == '\0') {
		fprintf(stderr, "padstone: which network is the copy on? --to URL says it\n");
		return CLI_USAGE;
	}
	return remote_with(cli, REMOTE_OPEN, copy_run);
}
