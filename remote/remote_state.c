/* What this machine remembers of a store beside its index: which network it is, chosen when it was made. */
#include <errno.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "remote/manager_internal.h"
#include "remote/state.h"

enum { IDENTITY_FORMAT = 1, CHECK_BYTES = 32, KEY_ID_BYTES = 8 };

static const uint8_t identity_magic[8] = {'P', 'S', 'R', 'E', 'M', 'O', 'T', 'E'};

struct identity_bytes {
	uint8_t magic[8];
	ps_le32 format;
	uint8_t reserved[4];
	uint8_t network[PS_NETWORK_ID];
	uint8_t check[CHECK_BYTES]; /* of all before, under a key of the store's */
};
static_assert(sizeof(struct identity_bytes) == 64, "no padding");

static void seal(const ps_keys *keys, struct identity_bytes *bytes)
{
	ps_keys_derive(keys, "network identity", bytes, offsetof(struct identity_bytes, check), bytes->check);
}

static int make_path(const char *folder, const char *name, char path[PATH_MAX])
{
	int len = snprintf(path, PATH_MAX, "%s/%s", folder, name);
	return len > 0 && len < PATH_MAX ? PS_OK
	                                 : ps_fail(PS_EINVAL, "%.200s…: the path is too long", folder);
}

static int check(const char *path, const ps_keys *keys, const struct identity_bytes *bytes)
{
	struct identity_bytes should = *bytes;
	if (memcmp(bytes->magic, identity_magic, sizeof(identity_magic)) != 0)
		return ps_fail(PS_EFORMAT, "%s is not a store's identity; it is left as it is", path);
	if (ps_get32(bytes->format) != IDENTITY_FORMAT)
		return ps_fail(PS_EVERSION, "%s has format %u; this program knows %d", path,
		               ps_get32(bytes->format), IDENTITY_FORMAT);
	seal(keys, &should);
	if (sodium_memcmp(should.check, bytes->check, CHECK_BYTES) != 0)
		return ps_fail(PS_EAUTH, "%s is damaged, or another key's; it is left as it is", path);
	return PS_OK;
}

int ps_identity_read(const char *folder, const char *name, const ps_keys *keys,
                     uint8_t network[PS_NETWORK_ID])
{
	struct identity_bytes bytes;
	char path[PATH_MAX];
	size_t len;
	int err = make_path(folder, name, path);
	if (err == PS_OK)
		err = ps_state_read(path, &bytes, sizeof(bytes), &len);
	if (err != PS_OK)
		return err;
	if (len != sizeof(bytes))
		return ps_fail(PS_ECORRUPT, "%s has %zu bytes instead of %zu; it is left as it is", path, len,
		               sizeof(bytes));
	err = check(path, keys, &bytes);
	if (err == PS_OK)
		memcpy(network, bytes.network, PS_NETWORK_ID);
	return err;
}

int ps_identity_write(const char *folder, const char *name, const ps_keys *keys,
                      const uint8_t network[PS_NETWORK_ID])
{
	struct identity_bytes bytes = {.format = ps_set32(IDENTITY_FORMAT)};
	char path[PATH_MAX];
	memcpy(bytes.magic, identity_magic, sizeof(identity_magic));
	memcpy(bytes.network, network, sizeof(bytes.network));
	seal(keys, &bytes);
	int err = make_path(folder, name, path);
	return err == PS_OK ? ps_state_replace(path, &bytes, sizeof(bytes), true) : err;
}

int ps_identity_forget(const char *folder, const char *name)
{
	char path[PATH_MAX];
	int err = make_path(folder, name, path);
	if (err == PS_OK && unlink(path) != 0 && errno != ENOENT)
		err = ps_fail_errno(errno, "%s", path);
	return err;
}

/* By network, store and key: two keys on one network are two stores. */
int ps_remote_state_folder(const ps_keys *keys, const char *url, const char *home, bool make,
                           char path[PATH_MAX])
{
	char store[512], hex[2 * KEY_ID_BYTES + 1];
	uint8_t id[PS_KEY];
	ps_keys_derive(keys, "state folder", NULL, 0, id);
	sodium_bin2hex(hex, sizeof(hex), id, KEY_ID_BYTES);
	(void)snprintf(store, sizeof(store), "%s/%s", hex, ps_keys_store(keys));
	int err = ps_state_store(home, url, store, make, path, PATH_MAX);
	if (err == PS_ENOENT)
		err = ps_fail(PS_ENOTFOUND,
		              "%s: no store \"%s\" under this key is known here: run init to make one", url,
		              ps_keys_store(keys));
	return err;
}

/* The folder of all stores' state: the one that is given, or this user's. */
static int find_home(const char *state, char home[PATH_MAX])
{
	if (!state)
		return ps_state_home(home, PATH_MAX);
	int len = snprintf(home, PATH_MAX, "%s", state);
	return len < 0 || len >= PATH_MAX ? ps_fail(PS_EINVAL, "the state folder's path is too long") : PS_OK;
}

static int keep_folder(ps_remote *r, const char *path)
{
	size_t bytes = strlen(path) + 1;
	r->folder = ps_memory_alloc(&r->memory, bytes);
	if (!r->folder)
		return ps_fail(PS_ENOMEM, "no memory for a path");
	memcpy(r->folder, path, bytes);
	return PS_OK;
}

int ps_remote_find_state(ps_remote *r, const char *state, bool make)
{
	char home[PATH_MAX], path[PATH_MAX];
	int err = find_home(state, home);
	if (err == PS_OK)
		err = ps_remote_state_folder(r->keys, ps_network_url(r->network), home, make, path);
	if (err == PS_OK)
		err = ps_state_machine(home, &r->machine);
	return err == PS_OK ? keep_folder(r, path) : err;
}

int ps_remote_find_anchors(ps_remote *r, const char *state)
{
	char home[PATH_MAX], path[PATH_MAX];
	int err = find_home(state, home);
	if (err == PS_OK)
		err = ps_state_public(home, path, sizeof(path));
	return err == PS_OK ? keep_folder(r, path) : err;
}
