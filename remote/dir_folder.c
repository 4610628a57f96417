/* Folders and their locks. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/files.h"
#include "remote/dir_internal.h"

static const char digits[] = "0123456789abcdef";

void dir_folder_name(unsigned number, char name[DIR_FOLDER_NAME])
{
	name[0] = digits[number >> 4 & 15];
	name[1] = digits[number & 15];
	name[2] = '\0';
}

void dir_file_name(const struct ps_pad_name *name, char file[DIR_FILE_NAME])
{
	for (size_t i = 0; i < PS_PAD_NAME; i++) {
		file[2 * i] = digits[name->bytes[i] >> 4];
		file[2 * i + 1] = digits[name->bytes[i] & 15];
	}
	file[DIR_FILE_NAME - 1] = '\0';
}

/* The folder that a path would name if it were made; false: its parent is not there either. */
static bool find_new(const char *path, char full[PATH_MAX])
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char parent[PATH_MAX], folder[PATH_MAX];
	int len = snprintf(parent, sizeof(parent), "%.*s.", (int)(name - path), path);
	if (*name == '\0' || len >= PATH_MAX || !realpath(parent, folder))
		return false;
	len = snprintf(full, PATH_MAX, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, name);
	return len < PATH_MAX;
}

int ps_dir_full_path(const char *path, char full[PATH_MAX])
{
	char here[PATH_MAX] = "";
	if (strlen(path) >= PATH_MAX)
		return ps_fail(PS_EINVAL, "dir: a path of %zu bytes is too long", strlen(path));
	if (realpath(path, full) || find_new(path, full))
		return PS_OK;
	if (path[0] != '/' && !getcwd(here, sizeof(here)))
		return ps_fail_errno(errno, "dir:%s: the current folder", path);
	int len = snprintf(full, PATH_MAX, "%s%s%s", here, here[0] ? "/" : "", path);
	return len < PATH_MAX ? PS_OK : ps_fail(PS_EINVAL, "dir:%.64s…: the path is too long", path);
}

int dir_folder_open(const struct dir_network *n, unsigned number, struct dir_folder *folder)
{
	*folder = (struct dir_folder){.fd = -1, .lock = -1};
	dir_folder_name(number, folder->name);
	folder->fd = openat(n->root, folder->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	/* Nobody takes folders away: one that is not there is no empty one. */
	if (folder->fd < 0)
		return errno == ENOENT ? EIO : errno;
	return 0;
}

void dir_folder_close(struct dir_folder *folder)
{
	if (folder->lock >= 0)
		close(folder->lock);
	if (folder->fd >= 0)
		close(folder->fd);
	folder->fd = folder->lock = -1;
}

static int open_lock(struct dir_folder *folder, int mode)
{
	folder->lock = openat(folder->fd, DIR_LOCK, mode | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (folder->lock < 0)
		return errno == ENOENT ? EIO : errno;
	return 0;
}

static int take_lock(struct dir_folder *folder)
{
	int err = ps_file_lock(folder->lock, LOCK_EX);
	folder->locked = !err;
	return err;
}

int dir_folder_lock(struct dir_folder *folder)
{
	int err = folder->lock < 0 ? open_lock(folder, O_RDWR) : 0;
	return err ? err : take_lock(folder);
}

/* One byte of the lock file. It need not be durable: what a power cut leaves is durable by that. */
static int set_mark(const struct dir_folder *folder, bool mark)
{
	ssize_t written = pwrite(folder->lock, mark ? "1" : "0", 1, 0);
	if (written == 1)
		return 0;
	return written < 0 ? errno : EIO;
}

static bool is_marked(const struct dir_folder *folder)
{
	char mark = '1';
	ssize_t got = pread(folder->lock, &mark, 1, 0);
	return got < 0 || (got == 1 && mark != '0');
}

int dir_folder_mark(const struct dir_folder *folder)
{
	return set_mark(folder, true);
}

int dir_folder_sync(const struct dir_folder *folder)
{
	if (fsync(folder->fd) != 0)
		return errno;
	/* A mark that stays costs a needless fsync. */
	(void)set_mark(folder, false);
	return 0;
}

int dir_folder_settle(struct dir_folder *folder)
{
	if (folder->lock < 0) {
		int err = open_lock(folder, O_RDWR);
		if (err == EACCES || err == EROFS)
			err = open_lock(folder, O_RDONLY);
		if (err)
			return err;
	}
	if (!is_marked(folder))
		return 0;
	/* Its writer is at it, and gives the lock back when it is durable; or died at it, and then it is ours
	 * to do. */
	int err = folder->locked ? 0 : take_lock(folder);
	return err || !is_marked(folder) ? err : dir_folder_sync(folder);
}
