/* get: a value, or a part of it, to a file that is whole or as it was, or to standard output. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/files.h"
#include "cli/remote/remote.h"

int remote_sink_write(void *arg, const void *data, size_t len)
{
	struct remote_sink *sink = arg;
	int err = ps_file_write(sink->fd, sink->name, data, len);

	sink->bytes += len;
	if (err != PS_OK) {
		sink->error = err;
		(void)snprintf(sink->sentence, sizeof(sink->sentence), "%s", ps_last_error_message());
	}
	return err;
}

int remote_sink_result(const struct remote_sink *sink, int err)
{
	return err != PS_OK && sink->error != PS_OK ? ps_fail(sink->error, "%s", sink->sentence) : err;
}

static int get_to(struct cli *cli, void *arg, struct remote_sink *sink)
{
	ps_remote *r = arg;
	struct ps_remote_get options = {.size = sizeof(options), .unverified = cli->remote.unverified};
	uint64_t from = cli->remote.part ? cli->remote.from : 0;
	uint64_t len = cli->remote.part ? cli->remote.len : PS_SIZE_UNKNOWN;

	return remote_sink_result(
	    sink, ps_remote_get_stream(r, cli->operands[0], from, len, remote_sink_write, sink, &options));
}

/* On disk before it has its name. */
static int finish_file(const struct cli *cli, const struct ps_file_temp *temp)
{
	if (fsync(temp->fd) != 0)
		return ps_fail_errno(errno, "cannot write '%s'", cli->output);
	return PS_OK;
}

static int fill_file(struct cli *cli, struct remote_sink *sink, remote_fill_fn *fill, void *arg)
{
	struct ps_file_temp temp;
	int err = ps_file_check_target(cli->output);

	if (err == PS_OK)
		err = ps_file_temp_open(AT_FDCWD, cli->output, 0666, &temp);
	if (err != PS_OK)
		return err;
	*sink = (struct remote_sink){.fd = temp.fd, .name = cli->output};
	err = fill(cli, arg, sink);
	if (err == PS_OK)
		err = finish_file(cli, &temp);
	if (err == PS_OK)
		return ps_file_temp_keep(&temp, cli->output, true);
	ps_file_temp_drop(&temp);
	return err;
}

int remote_fill_output(struct cli *cli, struct remote_sink *sink, remote_fill_fn *fill, void *arg)
{
	*sink = (struct remote_sink){.fd = STDOUT_FILENO, .name = "standard output"};
	return cli->output != NULL ? fill_file(cli, sink, fill, arg) : fill(cli, arg, sink);
}

static int get_run(struct cli *cli, ps_remote *r)
{
	const char *name = cli->operands[0];
	struct remote_sink sink;
	json_t *object;
	int err = remote_fill_output(cli, &sink, get_to, r);

	if (err != PS_OK)
		return remote_ended(cli, err, name,
		                    cli->output != NULL ? "no file was written"
		                                        : "not all of it was written");
	object = json_pack("{s:I}", "size", (json_int_t)sink.bytes);
	cli_json_name(object, "name", name);
	if (cli->output != NULL)
		cli_json_name(object, "output", cli->output);
	cli_json(cli, object);
	return CLI_DONE;
}

int cli_run_remote_get(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, get_run);
}
