/* Files outside the store: whole reads and writes, temporary names that become real ones, folders that nobody
 * can lead us out of. */
#ifndef PS_FILES_H
#define PS_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* Fills up to len bytes, fewer only at the end of the file. Retries EINTR; `name` is for the sentence. */
PS_CHECKED int ps_file_read(int fd, const char *name, void *buf, size_t len, size_t *got);
PS_CHECKED int ps_file_write(int fd, const char *name, const void *data, size_t len);

/* flock(), again where a signal interrupts it: 0 or an errno. */
PS_CHECKED int ps_file_lock(int fd, int how);

/* A new file under a random name in the folder of a path. */
struct ps_file_temp {
	int fd;
	int dir; /* where name is looked up */
	char name[4096];
};
/* mode: as open() takes it, less the umask. */
PS_CHECKED int ps_file_temp_open(int dir, const char *path, mode_t mode, struct ps_file_temp *temp);
/* As ps_file_temp_open made its name: what was left by a process that ended in between. */
bool ps_file_is_temp(const char *leaf);
/* Gives it its name; PS_EEXIST if that is taken and not to be replaced. Closed and gone after any failure. */
PS_CHECKED int ps_file_temp_keep(struct ps_file_temp *temp, const char *path, bool replace);
/* PS_EINVAL if what has the name is there and no file: a device or pipe would be lost to a rename. */
PS_CHECKED int ps_file_check_target(const char *path);
void ps_file_temp_drop(struct ps_file_temp *temp);
/* A random temporary name in the folder of path. PS_ERANGE if it would be too long. */
PS_CHECKED int ps_file_temp_name(const char *path, char *out, size_t size);
/* renameat of from to path within dir, without replacing unless told to. */
PS_CHECKED int ps_file_rename(int dir, const char *from, const char *path, bool replace);

/* The folder `name` in dir, which must be one component; never through a symbolic link. A descriptor in *fd.
 */
PS_CHECKED int ps_file_open_folder(int dir, const char *name, const char *path, int *fd);

#endif
