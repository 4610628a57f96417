/* publish, unpublish, fetch: values that anybody reads who has their address. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "cli/remote/remote.h"

enum { MOST_TRIES = 5, TYPED = 1024 };

int remote_say_address(struct cli *cli, ps_remote *r, const char *name)
{
	char address[PS_PUBLIC_ADDRESS];
	json_t *object;
	int err = ps_remote_address(r, name, address);

	if (err != PS_OK)
		return remote_fail(cli, err, name);
	object = json_pack("{s:s}", "address", address);
	cli_json_name(object, "name", name);
	cli_json(cli, object);
	if (!cli->json)
		printf("%s\n", address);
	return CLI_DONE;
}

static struct ps_remote_publish options_of(const struct cli *cli)
{
	return (struct ps_remote_publish){.size = sizeof(struct ps_remote_publish),
	                                  .take_over = cli->remote.take_over,
	                                  .mode = cli->remote.mode,
	                                  .verify = cli->remote.verify};
}

static int publish_run(struct cli *cli, ps_remote *r)
{
	const char *name = cli->operands[0];
	struct ps_remote_publish options = options_of(cli);
	int err = ps_remote_publish(r, name, &options, NULL);

	if (err != PS_OK)
		return remote_ended(cli, err, name, "the same command goes on where it was");
	return remote_say_address(cli, r, name);
}

int cli_run_remote_publish(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, publish_run);
}

static int unpublish_run(struct cli *cli, ps_remote *r)
{
	const char *name = cli->operands[0];
	struct ps_remote_publish options = options_of(cli);
	int err = ps_remote_unpublish(r, name, &options);
	char shown[REMOTE_SHOWN];
	json_t *object;

	if (err != PS_OK)
		return remote_ended(cli, err, name, "the same command goes on where it was");
	object = json_object();
	cli_json_name(object, "name", name);
	cli_json(cli, object);
	cli_say(cli, "%s is private again; its address reads nothing any more", remote_shown(name, shown));
	return CLI_DONE;
}

int cli_run_remote_unpublish(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, unpublish_run);
}

/* ---- fetch ---- */

struct fetch {
	ps_public *p;
	const char *address;
};

static bool can_begin_again(const struct cli *cli, struct remote_sink *sink)
{
	bool again = cli->output != NULL && ftruncate(sink->fd, 0) == 0 && lseek(sink->fd, 0, SEEK_SET) == 0;

	if (again)
		sink->bytes = 0;
	return again || sink->bytes == 0;
}

/* A file can be written from the beginning again when the value changes in the middle. */
static int fetch_to(struct cli *cli, void *arg, struct remote_sink *sink)
{
	const struct fetch *fetch = arg;
	uint64_t from = cli->remote.part ? cli->remote.from : 0;
	uint64_t len = cli->remote.part ? cli->remote.len : PS_SIZE_UNKNOWN;
	int err;

	for (unsigned tries = 1;; tries++) {
		err = ps_public_get_stream(fetch->p, fetch->address, from, len, remote_sink_write, sink);
		if (err != PS_EBUSY || tries == MOST_TRIES || !can_begin_again(cli, sink))
			return remote_sink_result(sink, err);
	}
}

static int fetch_run(struct cli *cli, ps_public *p)
{
	struct fetch fetch = {p, cli->operands[0]};
	struct remote_sink sink;
	json_t *object;
	int err = remote_fill_output(cli, &sink, fetch_to, &fetch);

	if (err != PS_OK)
		return remote_ended(cli, err, NULL,
		                    cli->output != NULL ? "no file was written"
		                                        : "not all of it was written");
	object = json_pack("{s:I}", "size", (json_int_t)sink.bytes);
	if (cli->output != NULL)
		cli_json_name(object, "output", cli->output);
	cli_json(cli, object);
	return CLI_DONE;
}

/* An address is as good as the value: `-' keeps it out of the list of processes. */
static bool take_address(struct cli *cli, char typed[TYPED])
{
	if (strcmp(cli->operands[0], "-") == 0) {
		if (fgets(typed, TYPED, stdin) == NULL)
			typed[0] = '\0';
		cli->operands[0] = typed;
	}
	if (ps_public_check_address(cli->operands[0]) == PS_OK)
		return true;
	fprintf(stderr, "padstone: %s\n", ps_last_error_message());
	return false;
}

int cli_run_remote_fetch(struct cli *cli)
{
	char typed[TYPED] = "";

	return take_address(cli, typed) ? remote_with_public(cli, fetch_run) : CLI_USAGE;
}
