/* export: all values as files below a folder. What is there and the same is left alone, so a call that was
 * cut off goes on; every file is whole or not there. Nothing is written outside the folder: names become
 * paths that do not lead out of it (file_names.h), and links in it are not followed. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "cli/files.h"
#include "cli/remote/file_names.h"
#include "cli/remote/remote.h"

struct remote_export {
	struct cli *cli;
	ps_remote *r;
	int folder;
	uint64_t values, same, bytes, damaged, refused;
};

struct target {
	int dir; /* the folder that it lies in */
	char leaf[NAME_MAX + 1];
	char path[FILE_NAMES_PATH + 64]; /* for sentences */
};

/* ---- where to ---- */

/* The folder of a component, made if it is not there; under the mark where a file has its name. */
static int enter(int dir, const char *component, const char *path, int *inner)
{
	char marked[NAME_MAX + 1];
	struct stat st;

	(void)snprintf(marked, sizeof(marked), "%.253s", component);
	if (fstatat(dir, component, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
		(void)snprintf(marked, sizeof(marked), "%.253s%%=", component);
	if (mkdirat(dir, marked, 0777) != 0 && errno != EEXIST)
		return ps_fail_errno(errno, "cannot make the folder '%s'", path);
	return file_open_folder(dir, marked, path, inner);
}

static int find_leaf(struct target *target, const char *component)
{
	struct stat st;
	bool taken = fstatat(target->dir, component, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);

	(void)snprintf(target->leaf, sizeof(target->leaf), "%.253s%s", component, taken ? "%=" : "");
	return PS_OK;
}

static int find_target(struct remote_export *ex, const char *name, struct target *target)
{
	char path[FILE_NAMES_PATH], *at = path, *slash;
	int err = PS_OK;

	file_path_of_name(name, path);
	(void)snprintf(target->path, sizeof(target->path), "%s", path);
	target->dir = fcntl(ex->folder, F_DUPFD_CLOEXEC, 0);
	if (target->dir < 0)
		return ps_fail_errno(errno, "cannot open the folder '%s'", ex->cli->operands[0]);
	for (; err == PS_OK && (slash = strchr(at, '/')) != NULL; at = slash + 1) {
		int inner = -1;

		*slash = '\0';
		err = enter(target->dir, at, target->path, &inner);
		if (err == PS_OK) {
			close(target->dir);
			target->dir = inner;
		}
	}
	if (err == PS_OK)
		err = find_leaf(target, at);
	if (err != PS_OK)
		close(target->dir);
	return err;
}

/* ---- what is there ---- */

struct reader {
	int fd;
	const char *path;
};

static int read_file(void *arg, void *buf, size_t len, size_t *got)
{
	const struct reader *reader = arg;

	return cli_interrupted() ? ps_fail(PS_ECANCELED, "interrupted")
	                         : file_read(reader->fd, reader->path, buf, len, got);
}

/* *same: the file has this value. PS_EEXIST: something else is there, and not to be replaced. */
static int look_at_file(struct remote_export *ex, const struct target *target, const char *name, bool *same)
{
	struct reader reader = {.path = target->path};
	struct stat st;
	uint32_t equal = 0;
	int err = PS_OK;

	*same = false;
	reader.fd = openat(target->dir, target->leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (reader.fd < 0 && errno == ENOENT)
		return PS_OK;
	if (reader.fd >= 0 && fstat(reader.fd, &st) == 0 && S_ISREG(st.st_mode))
		err = ps_remote_compare(ex->r, name, (uint64_t)st.st_size, read_file, &reader, &equal);
	else
		err = ps_fail(PS_EEXIST, "'%s' is there already and is no file", target->path);
	if (reader.fd >= 0)
		close(reader.fd);
	*same = err == PS_OK && equal;
	if (err == PS_OK && !equal && !ex->cli->remote.replace)
		err = ps_fail(PS_EEXIST, "'%s' has other contents already; --replace replaces it",
		              target->path);
	return err;
}

/* ---- writing ---- */

static int finish_file(const struct file_temp *temp, const struct target *target, uint64_t time_ns)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
	                            {(time_t)(time_ns / 1000000000), (long)(time_ns % 1000000000)}};

	if (fchmod(temp->fd, 0666 & ~file_umask()) != 0)
		return ps_fail_errno(errno, "cannot set the mode of '%s'", target->path);
	if (futimens(temp->fd, times) != 0)
		return ps_fail_errno(errno, "cannot set the time of '%s'", target->path);
	if (fsync(temp->fd) != 0)
		return ps_fail_errno(errno, "cannot write '%s'", target->path);
	return PS_OK;
}

static int write_file(struct remote_export *ex, const struct target *target,
                      const struct ps_remote_info *info)
{
	struct remote_sink sink = {.name = target->path};
	struct file_temp temp;
	int err = file_temp_open(target->dir, target->leaf, &temp);

	if (err != PS_OK)
		return err;
	sink.fd = temp.fd;
	err = ps_remote_get_stream(ex->r, info->key, 0, PS_SIZE_UNKNOWN, remote_sink_write, &sink, NULL);
	err = remote_sink_result(&sink, err);
	if (err == PS_OK)
		err = finish_file(&temp, target, info->time_ns);
	if (err != PS_OK) {
		file_temp_drop(&temp);
		return err;
	}
	ex->values++;
	ex->bytes += sink.bytes;
	return file_temp_keep(&temp, target->leaf, ex->cli->remote.replace);
}

/* ---- all ---- */

/* Damage and names that are taken cost only themselves: the rest is still wanted. */
static int forgive(struct remote_export *ex, int err, const char *name)
{
	switch (err) {
	case PS_EEXIST:
		ex->refused++;
		break;
	case PS_ELOST:
	case PS_EAUTH:
	case PS_EROLLBACK:
	case PS_EFORK:
	case PS_ESUPERSEDED:
		ex->damaged++;
		break;
	case PS_ENOTFOUND: /* removed since it was listed */
		return PS_OK;
	default:
		return err;
	}
	(void)remote_fail(ex->cli, err, name);
	return PS_OK;
}

static int export_value(struct remote_export *ex, const struct ps_remote_info *info)
{
	struct target target;
	bool same;
	int err = find_target(ex, info->key, &target);

	if (err != PS_OK)
		return err;
	err = look_at_file(ex, &target, info->key, &same);
	if (err == PS_OK && same)
		ex->same++;
	else if (err == PS_OK)
		err = write_file(ex, &target, info);
	close(target.dir);
	return err;
}

struct walk {
	struct remote_export *ex;
	int err;
	char sentence[1024];
};

static int export_one(void *arg, const struct ps_remote_info *info)
{
	struct walk *walk = arg;
	struct remote_export *ex = walk->ex;
	int err = PS_OK;

	if (!info->exists)
		return 0;
	if (cli_interrupted())
		err = ps_fail(PS_ECANCELED, "interrupted");
	else if (!info->complete)
		err = ps_fail(PS_ELOST,
		              "not confirmed: `padstone remote health' confirms it, or finds what is wrong");
	else
		err = export_value(ex, info);
	if (err != PS_OK)
		err = forgive(ex, err, info->key);
	walk->err = err;
	if (err != PS_OK)
		(void)snprintf(walk->sentence, sizeof(walk->sentence), "%s", ps_last_error_message());
	return err != PS_OK;
}

static int export_all(struct remote_export *ex)
{
	const char *prefix = ex->cli->operand_count > 1 ? ex->cli->operands[1] : NULL;
	struct walk walk = {.ex = ex};
	int err = ps_remote_list(ex->r, prefix, export_one, &walk);

	return walk.err != PS_OK ? ps_fail(walk.err, "%s", walk.sentence) : err;
}

static int say_export(const struct remote_export *ex)
{
	char bytes[32];

	cli_json(ex->cli, json_pack("{s:b, s:I, s:I, s:I, s:I, s:I}", "ok", ex->damaged + ex->refused == 0,
	                            "values", (json_int_t)ex->values, "same", (json_int_t)ex->same, "bytes",
	                            (json_int_t)ex->bytes, "damaged", (json_int_t)ex->damaged, "refused",
	                            (json_int_t)ex->refused));
	cli_say(ex->cli, "%" PRIu64 " values written, %s; %" PRIu64 " were there already", ex->values,
	        cli_size_text(ex->bytes, bytes), ex->same);
	if (ex->damaged > 0)
		cli_warn(ex->cli, "%" PRIu64 " values cannot be read whole, and were left out", ex->damaged);
	if (ex->refused > 0)
		cli_warn(ex->cli, "%" PRIu64 " names were taken, and were left as they are", ex->refused);
	return ex->damaged > 0 ? CLI_DAMAGED : ex->refused > 0 ? CLI_FAILED : CLI_DONE;
}

static int export_run(struct cli *cli, ps_remote *r)
{
	struct remote_export ex = {.cli = cli, .r = r};
	const char *folder = cli->operands[0];
	int err = PS_OK;

	if (mkdir(folder, 0777) != 0 && errno != EEXIST)
		err = ps_fail_errno(errno, "cannot make the folder '%s'", folder);
	ex.folder = err == PS_OK ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (err == PS_OK && ex.folder < 0)
		err = ps_fail_errno(errno, "cannot open the folder '%s'", folder);
	if (err == PS_OK)
		err = export_all(&ex);
	if (ex.folder >= 0)
		close(ex.folder);
	if (err != PS_OK)
		return remote_ended(cli, err, NULL, "the same command goes on where it was");
	return say_export(&ex);
}

int cli_run_remote_export(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, export_run);
}
