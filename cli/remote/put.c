/* put and update: contents from a file or standard input; reserve and estimate: what such would take. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "cli/remote/remote.h"

enum { POLL_MS = 200 };

/* Where the contents come from. */
struct source {
	int fd;
	const char *name;
	uint64_t size;
	int error; /* of reading, with its sentence: the library has another for it */
	char sentence[512];
};

static int source_failed(struct source *source, int err)
{
	source->error = err;
	(void)snprintf(source->sentence, sizeof(source->sentence), "%s", ps_last_error_message());
	return err;
}

/* A pipe may give nothing for a long time, in which Ctrl-C is looked for. */
static int wait_for(struct source *source)
{
	struct pollfd wanted = {.fd = source->fd, .events = POLLIN};

	while (poll(&wanted, 1, POLL_MS) <= 0)
		if (cli_interrupted())
			return ps_fail(PS_ECANCELED, "interrupted");
	return cli_interrupted() ? ps_fail(PS_ECANCELED, "interrupted") : PS_OK;
}

static int read_source(void *arg, void *buf, size_t len, size_t *got)
{
	struct source *source = arg;
	size_t done = 0;

	while (done < len) {
		int err = wait_for(source);
		ssize_t n;

		if (err != PS_OK)
			return source_failed(source, err);
		n = read(source->fd, (char *)buf + done, len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return source_failed(source, ps_fail_errno(errno, "cannot read '%s'", source->name));
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*got = done;
	return PS_OK;
}

static int open_source(const char *name, struct source *source)
{
	bool standard = strcmp(name, "-") == 0;
	struct stat st;
	off_t at;

	*source = (struct source){.name = standard ? "standard input" : name, .size = PS_SIZE_UNKNOWN};
	source->fd = standard ? STDIN_FILENO : open(name, O_RDONLY | O_CLOEXEC);
	if (source->fd < 0)
		return ps_fail_errno(errno, "cannot open '%s'", name);
	if (fstat(source->fd, &st) != 0)
		return ps_fail_errno(errno, "cannot look at '%s'", source->name);
	if (S_ISDIR(st.st_mode))
		return ps_fail(PS_EINVAL, "'%s' is a folder; a value is made from one file", source->name);
	at = S_ISREG(st.st_mode) ? lseek(source->fd, 0, SEEK_CUR) : -1;
	if (at >= 0 && at <= st.st_size && st.st_size > 0)
		source->size = (uint64_t)(st.st_size - at);
	return PS_OK;
}

static void close_source(const struct source *source)
{
	if (source->fd > STDERR_FILENO)
		close(source->fd);
}

static void say_done(struct cli *cli, const char *name, const struct ps_remote_progress *last)
{
	char size[32], pads[32], shown[REMOTE_SHOWN];
	json_t *object =
	    json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "size", (json_int_t)last->bytes_done, "pads",
	              (json_int_t)last->pads_done, "sent_pads", (json_int_t)(last->pads_done - last->kept),
	              "kept_pads", (json_int_t)last->kept, "recycled_pads", (json_int_t)last->recycled,
	              "retries", (json_int_t)last->retried, "sent_bytes", (json_int_t)last->sent_bytes);

	cli_json_name(object, "name", name);
	cli_json(cli, object);
	cli_say(cli, "%s: %s in %s, %" PRIu64 " sent, %" PRIu64 " there already", remote_shown(name, shown),
	        cli_size_text(last->bytes_done, size), remote_pads_text(last->pads_done, pads),
	        last->pads_done - last->kept, last->kept);
}

static int send_source(struct cli *cli, ps_remote *r, const char *name, struct source *source, bool update)
{
	struct ps_remote_put options = {.size = sizeof(options), .replace = cli->remote.replace};
	bool is_public = cli->remote.is_public;
	int err;

	if (update)
		err = ps_remote_update_stream(r, name, source->size, read_source, source, &options);
	else
		err = is_public
		          ? ps_remote_put_public_stream(r, name, source->size, read_source, source, &options)
		          : ps_remote_put_stream(r, name, source->size, read_source, source, &options);
	if (err != PS_OK && source->error != PS_OK)
		err = ps_fail(source->error, "%s", source->sentence);
	if (err == PS_OK && is_public)
		return remote_say_address(cli, r, name);
	if (err == PS_OK)
		say_done(cli, name, &cli->remote.watch->last);
	return remote_ended(cli, err, name, "the same command goes on where it was");
}

static int put_any(struct cli *cli, ps_remote *r, bool update)
{
	const char *name = cli->operands[0];
	struct source source;
	int err = open_source(cli->operands[1], &source), result;

	result = err == PS_OK ? send_source(cli, r, name, &source, update) : remote_fail(cli, err, NULL);
	close_source(&source);
	return result;
}

static int put_run(struct cli *cli, ps_remote *r)
{
	return put_any(cli, r, false);
}

int cli_run_remote_put(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, put_run);
}

static int update_run(struct cli *cli, ps_remote *r)
{
	return put_any(cli, r, true);
}

int cli_run_remote_update(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, update_run);
}

static int estimate_run(struct cli *cli, ps_remote *r)
{
	struct ps_remote_plan plan;
	uint64_t size = 0;
	int err = cli_parse_size(cli->operands[0], &size);

	if (err == PS_OK)
		err = ps_remote_estimate(r, size, 0, &plan);
	if (err != PS_OK)
		return remote_fail(cli, err, NULL);
	remote_say_plan(cli, NULL, &plan);
	return CLI_DONE;
}

static bool is_parsed(int err)
{
	if (err != PS_OK)
		fprintf(stderr, "padstone: %s\n", ps_last_error_message());
	return err == PS_OK;
}

int cli_run_remote_estimate(struct cli *cli)
{
	uint64_t size;

	if (!is_parsed(cli_parse_size(cli->operands[0], &size)))
		return CLI_USAGE;
	return remote_with(cli, REMOTE_OPEN, estimate_run);
}

static int reserve_run(struct cli *cli, ps_remote *r)
{
	const struct ps_remote_progress *last = &cli->remote.watch->last;
	char shown[32];
	uint64_t pads = 0;
	int err = cli_parse_number(cli->operands[0], &pads);

	if (err == PS_OK)
		err = ps_remote_reserve(r, pads, 0);
	if (err == PS_OK) {
		cli_json(cli, json_pack("{s:I, s:I}", "pads", (json_int_t)pads, "new_pads",
		                        (json_int_t)last->plan.new_pads));
		cli_say(cli, "at least %s free; %" PRIu64 " made", remote_pads_text(pads, shown),
		        last->plan.new_pads);
	}
	return remote_ended(cli, err, NULL, "the same command goes on where it was");
}

int cli_run_remote_reserve(struct cli *cli)
{
	uint64_t pads;

	if (!is_parsed(cli_parse_number(cli->operands[0], &pads)))
		return CLI_USAGE;
	return remote_with(cli, REMOTE_OPEN, reserve_run);
}
