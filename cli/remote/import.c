/* import: the files below a folder as values, under their paths as names. A value that has the same contents
 * is left alone, so a call that was cut off goes on; what no file stands for stays. Links and special files
 * are skipped. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "cli/files.h"
#include "cli/remote/file_names.h"
#include "cli/remote/remote.h"

struct remote_import {
	struct cli *cli;
	ps_remote *r;
	uint64_t values, same, bytes, sent_bytes, skipped;
	char path[FILE_NAMES_PATH]; /* below the folder, of what is looked at */
};

struct reader {
	int fd;
	const char *path;
	int error; /* of reading, with its sentence: the library has another for it */
	char sentence[512];
};

static int read_file(void *arg, void *buf, size_t len, size_t *got)
{
	struct reader *reader = arg;
	int err = cli_interrupted() ? ps_fail(PS_ECANCELED, "interrupted")
	                            : file_read(reader->fd, reader->path, buf, len, got);

	if (err != PS_OK) {
		reader->error = err;
		(void)snprintf(reader->sentence, sizeof(reader->sentence), "%s", ps_last_error_message());
	}
	return err;
}

static void skip(struct remote_import *im, const char *why)
{
	char shown[REMOTE_SHOWN];

	im->skipped++;
	remote_watch_end(im->cli->remote.watch);
	cli_warn(im->cli, "'%s' %s", cli_escape(im->path, shown, sizeof(shown)), why);
}

/* ---- one file ---- */

static int is_same(struct remote_import *im, const char *name, uint64_t size, struct reader *reader,
                   uint32_t *same)
{
	struct ps_remote_info info;
	int err = ps_remote_stat(im->r, name, &info);

	*same = 0;
	if (err == PS_ENOTFOUND || (err == PS_OK && (!info.exists || !info.complete)))
		return PS_OK;
	if (err == PS_OK)
		err = ps_remote_compare(im->r, name, size, read_file, reader, same);
	if (err == PS_OK && lseek(reader->fd, 0, SEEK_SET) != 0)
		err = ps_fail_errno(errno, "cannot read '%s'", im->path);
	return err;
}

static int put_file(struct remote_import *im, const char *name, uint64_t size, struct reader *reader)
{
	struct ps_remote_put options = {.size = sizeof(options), .replace = 1};
	uint32_t same;
	int err = is_same(im, name, size, reader, &same);

	if (err == PS_OK && same) {
		im->same++;
		return PS_OK;
	}
	if (err == PS_OK)
		err = ps_remote_put_stream(im->r, name, size, read_file, reader, &options);
	if (err != PS_OK && reader->error != PS_OK)
		return ps_fail(reader->error, "%s", reader->sentence);
	if (err != PS_OK)
		return err;
	im->values++;
	im->bytes += size;
	im->sent_bytes += im->cli->remote.watch->last.sent_bytes;
	return PS_OK;
}

static int import_file(struct remote_import *im, int dir, const char *leaf)
{
	struct reader reader = {.path = im->path};
	char name[FILE_NAMES_KEY];
	struct stat st;
	int err = PS_OK;

	reader.fd = openat(dir, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (reader.fd < 0 || fstat(reader.fd, &st) != 0)
		err = ps_fail_errno(errno, "cannot open '%s'", im->path);
	else if (!S_ISREG(st.st_mode))
		skip(im, "became something else meanwhile, and was skipped");
	else if (!file_name_of_path(im->path, name))
		skip(im, "is too long for a name, and was skipped");
	else
		err = put_file(im, name, (uint64_t)st.st_size, &reader);
	if (reader.fd >= 0)
		close(reader.fd);
	return err;
}

/* ---- a folder ---- */

/* A marked name beside a file that has the plain one: two files for one value. */
static bool is_second(int dir, const char *leaf)
{
	char plain[NAME_MAX + 1];
	struct stat st;
	size_t len;

	if (!file_is_marked(leaf, &len) || len >= sizeof(plain))
		return false;
	memcpy(plain, leaf, len);
	plain[len] = '\0';
	return fstatat(dir, plain, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

/* What an export was about to write when it was cut off. */
static bool is_temporary(const char *leaf)
{
	size_t len = strlen(leaf);

	return strncmp(leaf, ".padstone-", 10) == 0 && len > 14 && strcmp(leaf + len - 4, ".tmp") == 0;
}

static int import_folder(struct remote_import *im, int fd);

static int import_entry(struct remote_import *im, int dir, const char *leaf)
{
	struct stat st;
	int fd, err;

	if (fstatat(dir, leaf, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? PS_OK : ps_fail_errno(errno, "cannot look at '%s'", im->path);
	if (S_ISREG(st.st_mode) && is_second(dir, leaf))
		skip(im, "stands for the same name as the file beside it, and was skipped");
	else if (S_ISREG(st.st_mode))
		return import_file(im, dir, leaf);
	else if (!S_ISDIR(st.st_mode))
		skip(im, "is neither file nor folder, and was skipped");
	if (!S_ISDIR(st.st_mode))
		return PS_OK;
	err = file_open_folder(dir, leaf, im->path, &fd);
	return err == PS_OK ? import_folder(im, fd) : err;
}

static int import_named(struct remote_import *im, int dir, const char *leaf)
{
	size_t before = strlen(im->path);
	int err = PS_OK;

	if (strcmp(leaf, ".") == 0 || strcmp(leaf, "..") == 0 || is_temporary(leaf))
		return PS_OK;
	if (before + strlen(leaf) + 2 > sizeof(im->path)) {
		skip(im, "is nested too deep, and was skipped");
		return PS_OK;
	}
	(void)snprintf(im->path + before, sizeof(im->path) - before, "%s%s", before > 0 ? "/" : "", leaf);
	if (cli_interrupted())
		err = ps_fail(PS_ECANCELED, "interrupted");
	if (err == PS_OK)
		err = import_entry(im, dir, leaf);
	im->path[before] = '\0';
	return err;
}

/* Takes the descriptor. */
static int import_folder(struct remote_import *im, int fd)
{
	DIR *dir = fdopendir(fd);
	const struct dirent *entry;
	int err = PS_OK;

	if (dir == NULL) {
		err = ps_fail_errno(errno, "cannot read the folder '%s'", im->path);
		close(fd);
		return err;
	}
	for (errno = 0; err == PS_OK && (entry = readdir(dir)) != NULL; errno = 0)
		err = import_named(im, dirfd(dir), entry->d_name);
	if (err == PS_OK && errno != 0)
		err = ps_fail_errno(errno, "cannot read the folder '%s'", im->path);
	closedir(dir);
	return err;
}

static int import_run(struct cli *cli, ps_remote *r)
{
	struct remote_import im = {.cli = cli, .r = r};
	char bytes[32];
	int fd = open(cli->operands[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = fd >= 0 ? import_folder(&im, fd)
	                  : ps_fail_errno(errno, "cannot open the folder '%s'", cli->operands[0]);

	if (err != PS_OK)
		return remote_ended(cli, err, NULL, "the same command goes on where it was");
	cli_json(cli, json_pack("{s:I, s:I, s:I, s:I, s:I}", "values", (json_int_t)im.values, "same",
	                        (json_int_t)im.same, "bytes", (json_int_t)im.bytes, "sent_bytes",
	                        (json_int_t)im.sent_bytes, "skipped", (json_int_t)im.skipped));
	cli_say(cli, "%" PRIu64 " values stored, %s; %" PRIu64 " were the same already", im.values,
	        cli_size_text(im.bytes, bytes), im.same);
	return CLI_DONE;
}

int cli_run_remote_import(struct cli *cli)
{
	return remote_with(cli, REMOTE_OPEN, import_run);
}
