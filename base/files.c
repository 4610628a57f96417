#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fail.h"

int ps_file_read(int fd, const char *name, void *buf, size_t len, size_t *got)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = read(fd, (char *)buf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ps_fail_errno(errno, "cannot read '%s'", name);
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*got = done;
	return PS_OK;
}

int ps_file_write(int fd, const char *name, const void *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(fd, (const char *)data + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ps_fail_errno(errno, "cannot write '%s'", name);
		done += (size_t)n;
	}
	return PS_OK;
}

int ps_file_lock(int fd, int how)
{
	while (flock(fd, how) != 0) {
		if (errno != EINTR)
			return errno;
	}
	return 0;
}

int ps_file_temp_name(const char *path, char *out, size_t size)
{
	const char *slash = strrchr(path, '/');
	int folder = slash != NULL ? (int)(slash - path + 1) : 0;
	uint64_t number = 0;
	int len;

	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		return ps_fail_errno(errno, "no random bytes");
	len = snprintf(out, size, "%.*s.padstone-%016llx.tmp", folder, path, (unsigned long long)number);
	if (len < 0 || (size_t)len >= size)
		return ps_fail(PS_ERANGE, "the name '%.100s...' is too long", path);
	return PS_OK;
}

int ps_file_temp_open(int dir, const char *path, mode_t mode, struct ps_file_temp *temp)
{
	for (int attempt = 0; attempt < 16; attempt++) {
		int err = ps_file_temp_name(path, temp->name, sizeof(temp->name));

		if (err != PS_OK)
			return err;
		temp->dir = dir;
		temp->fd =
		    openat(dir, temp->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
		if (temp->fd >= 0)
			return PS_OK;
		if (errno != EEXIST)
			break;
	}
	return ps_fail_errno(errno, "cannot make a file for '%s'", path);
}

bool ps_file_is_temp(const char *leaf)
{
	size_t len = strlen(leaf);

	return strncmp(leaf, ".padstone-", 10) == 0 && len > 14 && strcmp(leaf + len - 4, ".tmp") == 0;
}

int ps_file_rename(int dir, const char *from, const char *path, bool replace)
{
	int done =
	    replace ? renameat(dir, from, dir, path) : renameat2(dir, from, dir, path, RENAME_NOREPLACE);

	/* Some file systems cannot rename without replacing; a link never replaces. */
	if (done != 0 && !replace && (errno == EINVAL || errno == ENOSYS)) {
		done = linkat(dir, from, dir, path, 0);
		if (done == 0)
			done = unlinkat(dir, from, 0);
	}
	if (done == 0)
		return PS_OK;
	if (errno == EEXIST)
		return ps_fail(PS_EEXIST, "'%s' exists already", path);
	return ps_fail_errno(errno, "cannot give a file the name '%s'", path);
}

int ps_file_check_target(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0 || S_ISREG(st.st_mode))
		return PS_OK;
	return ps_fail(PS_EINVAL, "'%s' is no file that could be replaced", path);
}

int ps_file_temp_keep(struct ps_file_temp *temp, const char *path, bool replace)
{
	int err;

	if (close(temp->fd) != 0) {
		err = ps_fail_errno(errno, "cannot write '%s'", path);
	} else {
		err = ps_file_rename(temp->dir, temp->name, path, replace);
	}
	if (err != PS_OK)
		(void)unlinkat(temp->dir, temp->name, 0);
	return err;
}

void ps_file_temp_drop(struct ps_file_temp *temp)
{
	close(temp->fd);
	(void)unlinkat(temp->dir, temp->name, 0);
}

int ps_file_open_folder(int dir, const char *name, const char *path, int *fd)
{
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW,
	                       .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	long opened = syscall(SYS_openat2, dir, name, &how, sizeof(how));

	/* Seccomp filters of older containers refuse openat2; a single component with O_NOFOLLOW cannot leave
	 * dir. */
	if (opened < 0 && (errno == ENOSYS || errno == EPERM))
		opened = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (opened < 0 && (errno == ELOOP || errno == ENOTDIR))
		return ps_fail(PS_EEXIST, "'%s' is there already and is not a folder", path);
	if (opened < 0)
		return ps_fail_errno(errno, "cannot open the folder '%s'", path);
	*fd = (int)opened;
	return PS_OK;
}
