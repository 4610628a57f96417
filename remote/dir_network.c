/* dir:PATH, records as files in 256 folders (remote/FORMAT.md, "dir"): opening, making, closing. */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "remote/dir_internal.h"

enum { LARGEST = 64 << 20, FOLDER_MODE = 0700, FILE_MODE = 0600 };

/* ---- making ---- */

static bool is_ours(const char *name)
{
	static const char digits[] = "0123456789abcdef";
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, DIR_TEMPS) == 0)
		return true;
	/* The root of a file system. */
	if (strcmp(name, "lost+found") == 0)
		return true;
	return strlen(name) == 2 && strspn(name, digits) == 2;
}

/* Nothing is made among things that are somebody else's. */
static int check_empty(const struct dir_network *n)
{
	int fd = openat(n->root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *root = fd < 0 ? NULL : fdopendir(fd);
	int err = PS_OK;
	if (!root) {
		err = ps_fail_errno(errno, "%s", n->base.url);
		if (fd >= 0)
			close(fd);
		return err;
	}
	for (const struct dirent *entry = readdir(root); entry && err == PS_OK; entry = readdir(root)) {
		if (!is_ours(entry->d_name))
			err = ps_fail(PS_EFORMAT, "%s: holds other things (%s), and no network", n->base.url,
			              entry->d_name);
	}
	closedir(root);
	return err;
}

static int make_folder(const struct dir_network *n, const char *name, bool lock)
{
	if (mkdirat(n->root, name, FOLDER_MODE) != 0 && errno != EEXIST)
		return errno;
	int fd = openat(n->root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno;
	/* Two who make one network at once make the same files, and neither takes one away. */
	int file = lock ? openat(fd, DIR_LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, FILE_MODE) : -1;
	int err = lock && file < 0 ? errno : 0;
	if (file >= 0)
		close(file);
	close(fd);
	return err;
}

static int make_marker(struct dir_network *n)
{
	struct dir_temp temp;
	const char text[] = DIR_MARKER;
	int err = dir_temp_new(n, false, &temp);
	if (err)
		return err;
	if (write(temp.fd, text, sizeof(text) - 1) != (ssize_t)(sizeof(text) - 1))
		err = errno ? errno : EIO;
	if (!err && fsync(temp.fd) != 0)
		err = errno;
	if (!err && renameat(n->temps, temp.name, n->root, DIR_MARKER_NAME) != 0)
		err = errno;
	dir_temp_close(n, &temp, err == 0);
	return err;
}

static int open_temps(struct dir_network *n)
{
	n->temps = openat(n->root, DIR_TEMPS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return n->temps < 0 ? errno : 0;
}

/* The marker comes last, and stands for all before it. */
static int make_all(struct dir_network *n)
{
	int err = make_folder(n, DIR_TEMPS, false);
	for (unsigned i = 0; i < DIR_FOLDERS && !err; i++) {
		char name[DIR_FOLDER_NAME];
		dir_folder_name(i, name);
		err = make_folder(n, name, true);
	}
	/* Once in a network's life, and faster than an fsync for each of the folders. */
	if (!err && syncfs(n->root) != 0)
		err = errno;
	if (!err)
		err = open_temps(n);
	if (!err)
		err = make_marker(n);
	if (!err && fsync(n->root) != 0)
		err = errno;
	return err ? ps_fail_errno(err, "%s: cannot be made", n->base.url) : PS_OK;
}

/* ---- opening ---- */

/* PS_ENOENT: there is none. */
static int check_marker(const struct dir_network *n)
{
	char text[sizeof(DIR_MARKER)] = "";
	int fd = openat(n->root, DIR_MARKER_NAME, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return ps_fail_errno(errno, errno == ENOENT ? "%s: no network is there (%s)" : "%s: %s",
		                     n->base.url, DIR_MARKER_NAME);
	ssize_t got = read(fd, text, sizeof(text));
	close(fd);
	if (got < 0)
		return ps_fail_errno(errno, "%s: %s", n->base.url, DIR_MARKER_NAME);
	size_t known = strlen(DIR_MARKER) - strlen("1\n");
	if (got == (ssize_t)strlen(DIR_MARKER) && memcmp(text, DIR_MARKER, (size_t)got) == 0)
		return PS_OK;
	if ((size_t)got > known && memcmp(text, DIR_MARKER, known) == 0)
		return ps_fail(PS_EVERSION, "%s: the network has another version", n->base.url);
	return ps_fail(PS_EFORMAT, "%s: %s is not a network's", n->base.url, DIR_MARKER_NAME);
}

/* The entry of a new folder in the folder above. */
static int sync_above(const struct dir_network *n)
{
	int above = openat(n->root, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = above < 0 || fsync(above) != 0 ? errno : 0;
	if (above >= 0)
		close(above);
	return err;
}

static int open_root(struct dir_network *n, const char *path, bool create)
{
	bool made = create && mkdir(path, FOLDER_MODE) == 0;
	n->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (n->root < 0 && errno == ENOTDIR)
		return ps_fail(PS_EINVAL, "%s: not a folder", n->base.url);
	if (n->root < 0)
		return ps_fail_errno(errno, "%s", n->base.url);
	int err = made ? sync_above(n) : 0;
	return err ? ps_fail_errno(err, "%s: cannot be made", n->base.url) : PS_OK;
}

static int open_all(struct dir_network *n, const char *path, const struct ps_network_options *options)
{
	bool create = options->create && !options->read_only;
	int err = open_root(n, path, create);
	if (err != PS_OK)
		return err;
	err = check_marker(n);
	if (err == PS_ENOENT && create) {
		err = check_empty(n);
		return err == PS_OK ? make_all(n) : err;
	}
	if (err != PS_OK || options->read_only)
		return err;
	int failed = open_temps(n);
	if (failed)
		return ps_fail_errno(failed, "%s: %s", n->base.url, DIR_TEMPS);
	dir_temps_clean(n);
	return PS_OK;
}

static void network_close(ps_network *network)
{
	struct dir_network *n = dir_of(network);
	dir_spares_done(n);
	if (n->temps >= 0)
		close(n->temps);
	if (n->root >= 0)
		close(n->root);
	(void)sem_destroy(&n->turns);
}

static int network_open(const char *rest, const struct ps_network_options *options, ps_network **network)
{
	ps_network *base = NULL;
	if (rest[0] == '\0')
		return ps_fail(PS_EINVAL, "dir: the URL names no folder");
	int err = ps_network_new(&ps_dir_network, sizeof(struct dir_network), rest, options, &base);
	if (err != PS_OK)
		return err;
	struct dir_network *n = dir_of(base);
	n->root = n->temps = -1;
	atomic_init(&n->made, 0);
	atomic_init(&n->direct, true);
	dir_turns_init(&n->turns);
	dir_spares_init(&n->spares);
	base->caps |= PS_NET_CAP_GUARDED_REMOVE;
	base->largest = LARGEST;
	if (getrandom(&n->id, sizeof(n->id), 0) != (ssize_t)sizeof(n->id))
		err = ps_fail_errno(errno, "%s: no random bytes", base->url);
	if (err == PS_OK)
		err = open_all(n, rest, options);
	if (err != PS_OK) {
		network_close(base);
		ps_network_drop(base);
		return err;
	}
	*network = base;
	return PS_OK;
}

static int client_open(ps_network *network, ps_client **client)
{
	return ps_blocking_client_open(network, dir_run, client);
}

const struct ps_network_ops ps_dir_network = {
    .scheme = "dir",
    .open = network_open,
    .close = network_close,
    .client = client_open,
};
