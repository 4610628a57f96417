/* Taking away what this machine knows of a store. The whole state goes in one rename, so that there is never
 * a part of it: what is left of a removal that was cut off lies under a name that nothing looks for, and goes
 * with the next one. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include <padstone/base_store.h>

#include "base/fail.h"
#include "remote/manager_internal.h"

static int find_folder(const ps_keys *keys, const char *url, const char *state, char path[PATH_MAX])
{
	char home[PATH_MAX], full[PS_NETWORK_URL];
	int err = ps_network_full_url(url, full);
	if (err == PS_OK && !state)
		err = ps_state_home(home, sizeof(home));
	else if (err == PS_OK && snprintf(home, sizeof(home), "%s", state) >= PATH_MAX)
		err = ps_fail(PS_EINVAL, "the state folder's path is too long");
	return err == PS_OK ? ps_remote_state_folder(keys, full, home, false, path) : err;
}

/* Nobody else has it open while the index is held; a damaged one cannot be held, nor used by anybody. */
static int hold_index(const char *folder, ps_storer **index)
{
	struct ps_base_options options = {.size = sizeof(options), .mode = PS_OPEN_EXISTING};
	char path[PATH_MAX];
	int len = snprintf(path, sizeof(path), "%s/index", folder);
	if (len < 0 || len >= PATH_MAX)
		return ps_fail(PS_EINVAL, "%.200s…: the path is too long", folder);
	*index = NULL;
	int err = ps_base_open(path, &options, index);
	return err == PS_EBUSY || err == PS_ENOMEM ? err : PS_OK;
}

static int sync_parent(const char *path)
{
	char parent[PATH_MAX];
	(void)snprintf(parent, sizeof(parent), "%.*s", (int)(strrchr(path, '/') - path), path);
	int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = fd >= 0 && fsync(fd) == 0 ? PS_OK : ps_fail_errno(errno, "%s", parent);
	if (fd >= 0)
		(void)close(fd);
	return err;
}

/* A folder of files only. */
static int remove_folder(const char *path)
{
	DIR *folder = opendir(path);
	if (!folder)
		return errno == ENOENT ? PS_OK : ps_fail_errno(errno, "%s", path);
	int err = PS_OK;
	for (const struct dirent *entry; err == PS_OK && (entry = readdir(folder));) {
		bool file = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
		if (file && unlinkat(dirfd(folder), entry->d_name, 0) != 0)
			err = ps_fail_errno(errno, "%s/%s", path, entry->d_name);
	}
	(void)closedir(folder);
	return err == PS_OK && rmdir(path) != 0 ? ps_fail_errno(errno, "%s", path) : err;
}

static int move_away(const char *path)
{
	char away[PATH_MAX];
	int len = snprintf(away, sizeof(away), "%s.forgotten", path);
	if (len < 0 || len >= PATH_MAX)
		return ps_fail(PS_EINVAL, "%.200s…: the path is too long", path);
	int err = remove_folder(away);
	if (err == PS_OK && rename(path, away) != 0)
		err = ps_fail_errno(errno, "%s", path);
	if (err == PS_OK)
		err = sync_parent(path);
	return err == PS_OK ? remove_folder(away) : err;
}

int ps_remote_forget(const char *url, const struct ps_remote_key *key,
                     const struct ps_remote_options *options)
{
	uint8_t head_name[PS_PAD_NAME];
	char path[PATH_MAX];
	ps_keys *keys;
	ps_storer *index = NULL;
	if (!url || !key || (options && options->size != sizeof(*options)))
		return ps_fail(PS_EINVAL,
		               "ps_remote_forget: an argument is NULL, or the options have another size");
	int err = ps_remote_open_key(key, options ? options->store : NULL, &keys, head_name);
	if (err != PS_OK)
		return err;
	err = find_folder(keys, url, options ? options->state : NULL, path);
	if (err == PS_OK)
		err = hold_index(path, &index);
	if (err == PS_OK)
		err = move_away(path);
	if (index)
		(void)!ps_close(index);
	ps_keys_free(keys);
	return err;
}
