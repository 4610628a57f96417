#include "base/new_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fail.h"

int ps_new_file_begin(const char *path, char temporary[PATH_MAX])
{
	if (access(path, F_OK) == 0)
		return ps_fail(PS_EEXIST, "%s: exists already", path);
	if (snprintf(temporary, PATH_MAX, "%s.partial-%ld", path, (long)getpid()) >= PATH_MAX)
		return ps_fail(PS_EINVAL, "%.100s…: the path is too long", path);
	return PS_OK;
}

static int sync_folder(const char *path)
{
	char copy[PATH_MAX];
	(void)snprintf(copy, sizeof(copy), "%s", path);
	int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = fd < 0 || fsync(fd) ? ps_fail_errno(errno, "%s: cannot sync its folder", path) : PS_OK;
	if (fd >= 0)
		(void)close(fd);
	return err;
}

int ps_new_file_end(const char *temporary, const char *path, int err)
{
	if (!err && renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE))
		err = errno == EEXIST ? ps_fail(PS_EEXIST, "%s: exists already", path)
		                      : ps_fail_errno(errno, "%s: cannot be renamed to %s", temporary, path);
	if (err)
		(void)unlink(temporary);
	return err ? err : sync_folder(path);
}
