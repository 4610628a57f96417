/* export: the catalogue written out. Every name was validated when it was decoded and is used as one
 * component below a folder that is already open, so nothing, however hostile the store, is written outside
 * DIR. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <padstone/base_store.h>

#include "base/fail.h"
#include "base/files.h"
#include "cli/catalogue.h"
#include "cli/progress.h"

enum { HOLE_BYTES = 64 << 10 }; /* zeros of this length and alignment become holes */

struct export
{
	struct cli *cli;
	ps_storer *s;
	struct id_set seen;
	uint64_t files, folders, links, bytes;
	uint64_t damaged, refused, setuid_dropped;
	uint64_t away; /* files on a network that was not named */
	struct cli_progress progress;
	char *buf;
};

static bool is_zero(const char *p, size_t len)
{
	return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

static int write_sparse(int fd, const char *path, const char *data, size_t len)
{
	int err = PS_OK;

	for (size_t at = 0; at < len && err == PS_OK; at += HOLE_BYTES) {
		size_t n = len - at < HOLE_BYTES ? len - at : HOLE_BYTES;

		if (n < HOLE_BYTES || !is_zero(data + at, n))
			err = ps_file_write(fd, path, data + at, n);
		else if (lseek(fd, (off_t)n, SEEK_CUR) < 0)
			err = ps_fail_errno(errno, "cannot write '%s'", path);
	}
	return err;
}

static int copy_contents(struct export *ex, ps_reader *r, const struct cat_entry *entry, int fd,
                         const char *path)
{
	uint64_t done = 0;
	size_t got = 1;
	int err = PS_OK;

	while (err == PS_OK && got > 0) {
		err = ps_reader_read(r, ex->buf, CLI_STREAM_BYTES, &got);
		if (err == PS_OK)
			err = write_sparse(fd, path, ex->buf, got);
		done += got;
		ex->bytes += got;
		progress_update(&ex->progress, ex->bytes);
		if (err == PS_OK && cli_interrupted())
			err = ps_fail(PS_ECANCELED, "interrupted");
	}
	if (err == PS_OK && done != entry->size)
		err = ps_fail(PS_ECORRUPT,
		              "'%s' has %" PRIu64 " bytes in the catalogue, %" PRIu64 " in the store", path,
		              entry->size, done);
	if (err == PS_OK && ftruncate(fd, (off_t)done) != 0) /* a hole at the end */
		err = ps_fail_errno(errno, "cannot write '%s'", path);
	return err;
}

static mode_t file_mode(struct export *ex, const struct cat_entry *entry)
{
	mode_t mode = entry->mode;

	/* The owner is whoever exports: keeping these bits would hand out his rights. */
	if ((mode & (S_ISUID | S_ISGID)) != 0 && !ex->cli->setuid) {
		mode &= ~(mode_t)(S_ISUID | S_ISGID);
		ex->setuid_dropped++;
	}
	return mode;
}

static int set_mode_and_time(int fd, const char *path, mode_t mode, const struct cat_time *mtime)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {mtime->sec, mtime->nsec}};

	if (fchmod(fd, mode) != 0)
		return ps_fail_errno(errno, "cannot set the mode of '%s'", path);
	if (futimens(fd, times) != 0)
		return ps_fail_errno(errno, "cannot set the time of '%s'", path);
	return PS_OK;
}

static int fill_file(struct export *ex, const struct cat_entry *entry, int fd, const char *path)
{
	ps_reader *r;
	int err = ps_open_reader(ex->s, entry->id, &r);

	if (err == PS_ENOTFOUND)
		return ps_fail(PS_ECORRUPT, "'%s': its object %" PRIu64 " is gone", path, entry->id);
	if (err != PS_OK)
		return err;
	err = copy_contents(ex, r, entry, fd, path);
	(void)ps_reader_finish(r);
	if (err == PS_OK)
		err = set_mode_and_time(fd, path, file_mode(ex, entry), &entry->mtime);
	return err;
}

/* Asked before a large file is copied for nothing; the rename decides. */
static int refuse_existing(struct export *ex, int dir, const struct cat_entry *entry, const char *path)
{
	struct stat st;

	if (!ex->cli->force && fstatat(dir, entry->name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return ps_fail(PS_EEXIST, "'%s' exists already; --force replaces it", path);
	return PS_OK;
}

static int export_file(struct export *ex, int dir, const struct cat_entry *entry, const char *path)
{
	struct ps_file_temp temp;
	int err = refuse_existing(ex, dir, entry, path);

	if (err == PS_OK)
		err = ps_file_temp_open(dir, entry->name, 0600, &temp);
	if (err != PS_OK)
		return err;
	err = fill_file(ex, entry, temp.fd, path);
	if (err != PS_OK) {
		ps_file_temp_drop(&temp);
		return err;
	}
	ex->files++;
	return ps_file_temp_keep(&temp, entry->name, ex->cli->force);
}

static int export_link(struct export *ex, int dir, const struct cat_entry *entry, const char *path)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {entry->mtime.sec, entry->mtime.nsec}};
	char temp[512];
	int err = refuse_existing(ex, dir, entry, path);

	if (err == PS_OK)
		err = ps_file_temp_name(entry->name, temp, sizeof(temp));
	if (err != PS_OK)
		return err;
	if (symlinkat(entry->target, dir, temp) != 0)
		return ps_fail_errno(errno, "cannot make the link '%s'", path);
	(void)utimensat(dir, temp, times, AT_SYMLINK_NOFOLLOW);
	err = ps_file_rename(dir, temp, entry->name, ex->cli->force);
	if (err != PS_OK)
		(void)unlinkat(dir, temp, 0);
	ex->links++;
	return err;
}

static int export_folder(struct export *ex, int fd, const char *path, ps_id id, int depth);

static int export_subfolder(struct export *ex, int dir, const struct cat_entry *entry, const char *path,
                            int depth)
{
	int fd, err;

	if (mkdirat(dir, entry->name, 0700) != 0 && errno != EEXIST)
		return ps_fail_errno(errno, "cannot make the folder '%s'", path);
	err = ps_file_open_folder(dir, entry->name, path, &fd);
	if (err != PS_OK)
		return err;
	err = export_folder(ex, fd, path, entry->id, depth + 1);
	if (err ==
	    PS_OK) /* last, since what is written inside changes the time and may need the right to write */
		err = set_mode_and_time(fd, path, entry->mode, &entry->mtime);
	close(fd);
	ex->folders++;
	return err;
}

static int export_entry(struct export *ex, int dir, const struct cat_entry *entry, const char *path,
                        int depth)
{
	switch (entry->type) {
	case CAT_FILE:
		return export_file(ex, dir, entry, path);
	case CAT_LINK:
		return export_link(ex, dir, entry, path);
	case CAT_FOLDER:
		break;
	}
	return export_subfolder(ex, dir, entry, path, depth);
}

/* Damage, names that are taken, and what is on a network that was not named cost only themselves: the rest is
 * still wanted. */
static int forgive(struct export *ex, int err)
{
	if (err == PS_EUNAVAILABLE && !cli_can_fetch(ex->cli)) {
		ex->away++;
		return PS_OK;
	}
	if (err == PS_ECORRUPT || err == PS_ENOTFOUND || err == PS_EVERSION)
		ex->damaged++;
	else if (err == PS_EEXIST)
		ex->refused++;
	else
		return err;
	(void)cli_fail(ex->cli, err == PS_ENOTFOUND ? PS_ECORRUPT : err, NULL);
	return PS_OK;
}

static int export_folder(struct export *ex, int fd, const char *path, ps_id id, int depth)
{
	struct cat_folder folder;
	int err = id_set_add(&ex->seen, id);

	if (err == PS_OK && depth > CAT_DEPTH_MAX)
		err = ps_fail(PS_ECORRUPT, "the catalogue is nested more than %d deep", CAT_DEPTH_MAX);
	if (err == PS_OK)
		err = cat_load_folder(ex->s, id, &folder);
	if (err != PS_OK)
		return err;
	for (size_t i = 0; i < folder.count && err == PS_OK; i++) {
		char *inner;

		if (asprintf(&inner, "%s/%s", path, folder.entries[i].name) < 0) {
			err = ps_fail(PS_ENOMEM, "no memory for a path");
			break;
		}
		err = export_entry(ex, fd, &folder.entries[i], inner, depth);
		free(inner);
		if (err != PS_OK)
			err = forgive(ex, err);
		if (err == PS_OK && cli_interrupted())
			err = ps_fail(PS_ECANCELED, "interrupted; run it again with --force");
	}
	cat_folder_done(&folder);
	return err;
}

static int export_into(struct export *ex, const struct cat_entry *entry, const char *target)
{
	int fd, err;

	if (entry->type != CAT_FOLDER)
		return ps_fail(PS_EINVAL, "'%s' is not a folder of the catalogue", ex->cli->from);
	if (mkdir(target, 0700) != 0 && errno != EEXIST)
		return ps_fail_errno(errno, "cannot make the folder '%s'", target);
	fd = open(target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return ps_fail_errno(errno, "cannot open the folder '%s'", target);
	err = export_folder(ex, fd, target, entry->id, 0);
	if (err == PS_OK)
		err = set_mode_and_time(fd, target, entry->mode, &entry->mtime);
	close(fd);
	return err;
}

static void say_export(struct export *ex)
{
	struct cli *cli = ex->cli;
	char text[32];

	cli_json(cli, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "files", (json_int_t)ex->files,
	                        "folders", (json_int_t)ex->folders, "links", (json_int_t)ex->links, "bytes",
	                        (json_int_t)ex->bytes, "damaged", (json_int_t)ex->damaged, "refused",
	                        (json_int_t)ex->refused, "setuid_dropped", (json_int_t)ex->setuid_dropped,
	                        "away", (json_int_t)ex->away));
	cli_say(cli, "wrote %" PRIu64 " files, %" PRIu64 " folders and %" PRIu64 " links, %s", ex->files,
	        ex->folders, ex->links, cli_size_text(ex->bytes, text));
	if (ex->setuid_dropped > 0)
		cli_warn(cli, "%" PRIu64 " files lost their set-id bits; --setuid keeps them",
		         ex->setuid_dropped);
	if (ex->away > 0)
		cli_warn(cli,
		         "%" PRIu64
		         " files or folders are on a network and were left out; --network URL and --key FILE "
		         "bring them",
		         ex->away);
	if (ex->damaged > 0)
		cli_warn(cli, "%" PRIu64 " files or folders are damaged and were left out", ex->damaged);
	if (ex->refused > 0)
		cli_warn(cli, "%" PRIu64 " names were taken and were left as they are", ex->refused);
}

/* A folder is held open at every level. */
static void allow_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int export_run(struct cli *cli, ps_storer *s)
{
	struct export ex = {.cli = cli, .s = s, .buf = malloc(CLI_STREAM_BYTES)};
	struct cat_header header;
	struct cat_entry entry = {0};
	int err = ex.buf == NULL ? ps_fail(PS_ENOMEM, "no memory for a buffer") : cat_load_header(s, &header);

	allow_descriptors();
	if (err == PS_OK)
		err = cat_lookup(s, &header, cli->from != NULL ? cli->from : "", &entry);
	if (err == PS_OK) {
		progress_begin(&ex.progress, cli, "export", cli->from == NULL ? header.bytes : 0);
		err = export_into(&ex, &entry, cli->operands[0]);
		progress_end(&ex.progress, cli);
	}
	cat_entry_done(&entry);
	id_set_done(&ex.seen);
	free(ex.buf);
	if (err != PS_OK)
		return cli_fail(cli, err, NULL);
	say_export(&ex);
	return ex.damaged > 0 ? CLI_DAMAGED : ex.refused > 0 ? CLI_FAILED : ex.away > 0 ? CLI_AWAY : CLI_DONE;
}

int cli_run_export(struct cli *cli)
{
	return cli_with_store(cli, PS_OPEN_READONLY, export_run);
}
