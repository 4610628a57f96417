/* drill: what would be there if this machine were lost. A second look at the store, with a state folder of
 * its own that goes again, fetches everything and is compared with what is known here. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/files.h"
#include "cli/remote/remote.h"

struct drill {
	struct cli *cli;
	ps_remote *here, *there; /* this machine's; from the network alone */
	int folder;              /* of copies to compare with; -1: none */
	uint64_t values, bytes, wrong, not_synced;
};

/* A value on its way, beside its copy. */
struct comparison {
	int fd; /* -1: there is none */
	uint64_t at;
	bool differs;
};

static int find(struct drill *d, const char *name, int err, const char *sentence)
{
	char shown[REMOTE_SHOWN], said[REMOTE_SHOWN];
	json_t *object =
	    json_pack("{s:s, s:s}", "finding", ps_error_name(err), "message", remote_shown(sentence, said));

	d->wrong++;
	cli_json_name(object, "name", name);
	cli_json(d->cli, object);
	cli_say(d->cli, "%s: %s", cli_escape(name, shown, sizeof(shown)), said);
	return PS_OK;
}

static int compare(void *arg, const void *data, size_t len)
{
	struct comparison *c = arg;
	char copy[16384];
	size_t got = 0;

	for (size_t done = 0; c->fd >= 0 && !c->differs && done < len; done += got) {
		size_t want = len - done < sizeof(copy) ? len - done : sizeof(copy);
		int err = ps_file_read(c->fd, "the copy", copy, want, &got);

		if (err != PS_OK)
			return err;
		c->differs = got < want || memcmp(copy, (const char *)data + done, want) != 0;
	}
	c->at += len;
	return PS_OK;
}

static bool has_more(int fd)
{
	char byte;

	return fd >= 0 && read(fd, &byte, 1) == 1;
}

static int restore(struct drill *d, const char *name)
{
	struct comparison c = {.fd = d->folder >= 0 ? remote_open_copy(d->folder, name) : -1};
	int err;

	if (d->folder >= 0 && c.fd < 0)
		find(d, name, PS_ENOENT, "there is no copy to compare it with");
	err = ps_remote_get_stream(d->there, name, 0, PS_SIZE_UNKNOWN, compare, &c, NULL);
	d->values++;
	d->bytes += c.at;
	if (err == PS_OK && (c.differs || has_more(c.fd)))
		find(d, name, PS_ECORRUPT, "the copy has other contents");
	if (c.fd >= 0)
		close(c.fd);
	if (err == PS_OK || err == PS_ECANCELED)
		return err;
	return find(d, name, err, ps_last_error_message());
}

static int restore_one(void *arg, const struct ps_remote_info *info)
{
	struct drill *d = arg;

	return cli_interrupted() || (info->exists && restore(d, info->key) != PS_OK);
}

/* What this machine knows to be on the network has to be there, and not older. */
static int expect_one(void *arg, const struct ps_remote_info *info)
{
	struct drill *d = arg;
	struct ps_remote_info there;
	int err;

	d->not_synced += !info->synced;
	if (!info->exists || !info->synced)
		return cli_interrupted();
	err = ps_remote_stat(d->there, info->key, &there);
	if (err == PS_ENOTFOUND || (err == PS_OK && !there.exists))
		find(d, info->key, PS_ELOST,
		     "is known here and was not restored: was it removed elsewhere? sync tells");
	else if (err != PS_OK)
		find(d, info->key, err, ps_last_error_message());
	else if (there.time_ns < info->time_ns ||
	         (there.time_ns == info->time_ns && there.size != info->size))
		find(d, info->key, PS_EROLLBACK, "what was restored is older than what is known here");
	return cli_interrupted();
}

static int run_drill(struct drill *d)
{
	int err = ps_remote_list(d->there, NULL, restore_one, d);

	if (err == PS_OK)
		err = ps_remote_list(d->here, NULL, expect_one, d);
	return err;
}

static int say_drill(const struct drill *d)
{
	char bytes[32], values[32];

	cli_json(d->cli, json_pack("{s:b, s:I, s:I, s:I, s:I}", "ok", d->wrong == 0, "values",
	                           (json_int_t)d->values, "bytes", (json_int_t)d->bytes, "wrong",
	                           (json_int_t)d->wrong, "not_synced", (json_int_t)d->not_synced));
	cli_say(d->cli, "%s, %s, from key and network alone; findings: %" PRIu64,
	        remote_values_text(d->values, values), cli_size_text(d->bytes, bytes), d->wrong);
	if (d->not_synced > 0)
		cli_warn(d->cli, "not synced, and lost if this machine were: %" PRIu64, d->not_synced);
	return d->wrong > 0 ? CLI_DAMAGED : CLI_DONE;
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *walk)
{
	(void)st;
	(void)kind;
	(void)walk;
	return remove(path);
}

static int make_scratch(char path[PATH_MAX])
{
	const char *base = getenv("TMPDIR");
	int len = snprintf(path, PATH_MAX, "%s/padstone-drill-XXXXXX",
	                   base != NULL && *base == '/' ? base : "/tmp");

	if (len < 0 || len >= PATH_MAX)
		return ps_fail(PS_ERANGE, "TMPDIR is too long");
	return mkdtemp(path) != NULL ? PS_OK : ps_fail_errno(errno, "cannot make the folder '%s'", path);
}

static int drill_in(struct drill *d, const char *scratch)
{
	int err = remote_open_scratch(d->cli, scratch, &d->there), closed;

	if (err != PS_OK)
		return err;
	err = run_drill(d);
	closed = ps_remote_close(d->there);
	return err == PS_OK ? closed : err;
}

static int open_folder(struct drill *d)
{
	const char *path = d->cli->remote.compare_with;

	d->folder = path != NULL ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	return path == NULL || d->folder >= 0 ? PS_OK
	                                      : ps_fail_errno(errno, "cannot open the folder '%s'", path);
}

static int drill_run(struct cli *cli, ps_remote *r)
{
	struct drill d = {.cli = cli, .here = r};
	char scratch[PATH_MAX];
	int err = open_folder(&d);

	if (err == PS_OK)
		err = make_scratch(scratch);
	if (err == PS_OK) {
		err = drill_in(&d, scratch);
		if (nftw(scratch, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
			cli_warn(cli, "the folder '%s' could not be removed", scratch);
	}
	if (d.folder >= 0)
		close(d.folder);
	if (err != PS_OK)
		return remote_ended(cli, err, NULL, "nothing of it is kept");
	if (ps_remote_note_drill(r, d.values, d.bytes, d.wrong) != PS_OK)
		cli_warn(cli, "that there was a drill is not noted: %s", ps_last_error_message());
	return say_drill(&d);
}

int cli_run_remote_drill(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, drill_run);
}
