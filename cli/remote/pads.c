/* health and purge: are the pads there, and what nothing needs any more. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fail.h"
#include "cli/remote/remote.h"

struct checkup {
	struct cli *cli;
	int folder; /* of local copies; -1: none */
};

int remote_open_copy(int folder, const char *name)
{
	struct open_how how = {.flags = O_RDONLY | O_CLOEXEC,
	                       .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};

	return (int)syscall(SYS_openat2, folder, name, &how, sizeof(how));
}

static int read_copy(void *arg, const char *name, uint64_t offset, void *buf, size_t len)
{
	const struct checkup *c = arg;
	int fd = remote_open_copy(c->folder, name);
	size_t done = 0;
	ssize_t n = 1;

	if (fd < 0)
		return ps_fail_errno(errno, "no local copy of '%.64s'", name);
	while (done < len && (n > 0 || errno == EINTR)) {
		n = pread(fd, (char *)buf + done, len - done, (off_t)(offset + done));
		if (n == 0)
			break;
		done += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	return done == len ? PS_OK : ps_fail(PS_ENOTFOUND, "the local copy of '%.64s' is too short", name);
}

static void found(void *arg, const char *name, uint64_t pad, int error, const char *sentence)
{
	const struct checkup *c = arg;
	char shown[REMOTE_SHOWN], said[REMOTE_SHOWN];
	json_t *object = json_pack("{s:s, s:I, s:s}", "finding", ps_error_name(error), "pad", (json_int_t)pad,
	                           "message", remote_shown(sentence, said));

	remote_watch_end(c->cli->remote.watch);
	cli_json_name(object, "name", name);
	cli_json(c->cli, object);
	cli_say(c->cli, "%s: %s", cli_escape(name, shown, sizeof(shown)), said);
}

static int say_health(struct cli *cli, const struct ps_remote_health_result *h)
{
	char pads[32];
	uint64_t bad = h->lost + h->wrong > h->repaired ? h->lost + h->wrong - h->repaired : 0;

	cli_json(cli, json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "ok", bad == 0 && h->unknown == 0,
	                        "looked", (json_int_t)h->looked, "sound", (json_int_t)h->sound, "confirmed",
	                        (json_int_t)h->confirmed, "lost", (json_int_t)h->lost, "wrong",
	                        (json_int_t)h->wrong, "repaired", (json_int_t)h->repaired, "unknown",
	                        (json_int_t)h->unknown));
	cli_say(cli,
	        "%s: %" PRIu64 " sound (%" PRIu64 " newly confirmed), %" PRIu64 " lost, %" PRIu64
	        " wrong, %" PRIu64 " repaired, %" PRIu64 " unknown",
	        remote_pads_text(h->looked, pads), h->sound, h->confirmed, h->lost, h->wrong, h->repaired,
	        h->unknown);
	return bad > 0 ? CLI_DAMAGED : h->unknown > 0 ? CLI_FAILED : CLI_DONE;
}

static int health_run(struct cli *cli, ps_remote *r)
{
	const char *from = cli->remote.repair_from, *name = cli->operand_count > 0 ? cli->operands[0] : NULL;
	struct checkup checkup = {.cli = cli, .folder = -1};
	struct ps_remote_health options = {.size = sizeof(options), .key = name};
	struct ps_remote_health_result result;
	int err = PS_OK;

	options.share = cli->remote.share;
	options.read = cli->remote.read;
	options.finding = found;
	options.finding_arg = options.contents_arg = &checkup;
	if (from != NULL) {
		checkup.folder = open(from, O_PATH | O_DIRECTORY | O_CLOEXEC);
		options.contents = read_copy;
		if (checkup.folder < 0)
			err = ps_fail_errno(errno, "cannot open the folder '%s'", from);
	}
	if (err == PS_OK)
		err = ps_remote_health_check(r, &options, &result);
	if (checkup.folder >= 0)
		close(checkup.folder);
	if (err != PS_OK)
		return remote_ended(cli, err, name, "what was found so far is kept");
	return say_health(cli, &result);
}

int cli_run_remote_health(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, health_run);
}

static int purge_run(struct cli *cli, ps_remote *r)
{
	struct ps_remote_purge_result p;
	char pads[32];
	int err = ps_remote_purge(r, NULL, NULL, &p);

	if (err != PS_OK)
		return remote_ended(cli, err, NULL, "the same command goes on where it was");
	cli_json(cli, json_pack("{s:I, s:I, s:I, s:I}", "settled", (json_int_t)p.settled, "deleted",
	                        (json_int_t)p.deleted, "forgotten", (json_int_t)p.forgotten, "waiting",
	                        (json_int_t)p.waiting));
	cli_say(cli, "%s deleted, %" PRIu64 " forgotten, %" PRIu64 " no longer in doubt",
	        remote_pads_text(p.deleted, pads), p.forgotten, p.settled);
	if (p.waiting > 0)
		cli_say(cli,
		        "%" PRIu64 " wait to be looked at again: run purge once more in an hour or later",
		        p.waiting);
	return CLI_DONE;
}

int cli_run_remote_purge(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, purge_run);
}
