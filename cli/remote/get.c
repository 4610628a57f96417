/* get: a value, or a part of it, to a file that is whole or as it was, or to standard output. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "cli/files.h"
#include "cli/remote/remote.h"

struct sink {
	int fd;
	const char *name;
	uint64_t bytes;
	int error; /* of writing, with its sentence: the library has another for it */
	char sentence[512];
};

static int write_sink(void *arg, const void *data, size_t len)
{
	struct sink *sink = arg;
	int err = file_write(sink->fd, sink->name, data, len);

	sink->bytes += len;
	if (err != PS_OK) {
		sink->error = err;
		(void)snprintf(sink->sentence, sizeof(sink->sentence), "%s", ps_last_error_message());
	}
	return err;
}

static int get_to(struct cli *cli, ps_remote *r, struct sink *sink)
{
	struct ps_remote_get options = {.size = sizeof(options), .unverified = cli->remote.unverified};
	uint64_t from = cli->remote.part ? cli->remote.from : 0;
	uint64_t len = cli->remote.part ? cli->remote.len : PS_SIZE_UNKNOWN;
	int err;

	err = ps_remote_get_stream(r, cli->operands[0], from, len, write_sink, sink, &options);
	return err != PS_OK && sink->error != PS_OK ? ps_fail(sink->error, "%s", sink->sentence) : err;
}

/* On disk before it has its name. */
static int finish_file(const struct cli *cli, const struct file_temp *temp)
{
	if (fchmod(temp->fd, 0666 & ~file_umask()) != 0)
		return ps_fail_errno(errno, "cannot set the mode of '%s'", cli->output);
	if (fsync(temp->fd) != 0)
		return ps_fail_errno(errno, "cannot write '%s'", cli->output);
	return PS_OK;
}

static int get_to_file(struct cli *cli, ps_remote *r, struct sink *sink)
{
	struct file_temp temp;
	int err = file_check_target(cli->output);

	if (err == PS_OK)
		err = file_temp_open(AT_FDCWD, cli->output, &temp);
	if (err != PS_OK)
		return err;
	*sink = (struct sink){.fd = temp.fd, .name = cli->output};
	err = get_to(cli, r, sink);
	if (err == PS_OK)
		err = finish_file(cli, &temp);
	if (err == PS_OK)
		return file_temp_keep(&temp, cli->output, true);
	file_temp_drop(&temp);
	return err;
}

static int get_run(struct cli *cli, ps_remote *r)
{
	const char *name = cli->operands[0];
	struct sink sink = {.fd = STDOUT_FILENO, .name = "standard output"};
	json_t *object;
	int err = cli->output != NULL ? get_to_file(cli, r, &sink) : get_to(cli, r, &sink);

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
