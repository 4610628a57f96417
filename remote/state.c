#include "remote/state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/fail.h"

enum { HASH_BYTES = 20 };

struct machine_bytes {
	uint8_t magic[8];
	uint8_t id[16];
	uint8_t name[64];
	ps_le64 checksum; /* XXH3-64 of all before */
};
static_assert(sizeof(struct machine_bytes) == 96, "no padding");
static const uint8_t machine_magic[8] = {'P', 'S', 'M', 'A', 'C', 'H', '0', '1'};

static int join(char *path, size_t size, const char *folder, const char *name)
{
	int len = snprintf(path, size, "%s/%s", folder, name);
	return len >= 0 && (size_t)len < size
	           ? PS_OK
	           : ps_fail(PS_EINVAL, "%.100s…/%.50s: the path is too long", folder, name);
}

static int sync_folder_of(const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	size_t len = !slash || slash == path ? 1 : (size_t)(slash - path);
	memcpy(folder, slash ? path : ".", len);
	folder[len] = '\0';
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return ps_fail_errno(errno, "%s", folder);
	int err = fsync(fd) == 0 ? PS_OK : ps_fail_errno(errno, "%s cannot be synced", folder);
	(void)close(fd);
	return err;
}

int ps_state_home(char *path, size_t size)
{
	const char *own = getenv("PADSTONE_HOME"), *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
	const char *base = own && *own ? own : state && *state ? state : home;
	const char *below = own && *own ? "" : state && *state ? "/padstone" : "/.local/state/padstone";
	if (!base || *base != '/')
		return ps_fail(PS_EINVAL, "no state folder: PADSTONE_HOME, XDG_STATE_HOME or HOME must be an "
		                          "absolute path");
	int len = snprintf(path, size, "%s%s", base, below);
	return len >= 0 && (size_t)len < size ? PS_OK
	                                      : ps_fail(PS_EINVAL, "the state folder's path is too long");
}

/* Each level that is missing. What is there already keeps its mode. */
static int make_folders(const char *path)
{
	char part[PATH_MAX];
	size_t len = strlen(path);
	if (len >= sizeof(part))
		return ps_fail(PS_EINVAL, "%.200s…: the path is too long", path);
	memcpy(part, path, len + 1);
	for (size_t i = 1; i <= len; i++) {
		if (part[i] != '/' && part[i] != '\0')
			continue;
		char was = part[i];
		part[i] = '\0';
		if (mkdir(part, 0700) == 0) {
			int err = sync_folder_of(part); /* or a crash would take the anchor along with it */
			if (err != PS_OK)
				return err;
		} else if (errno != EEXIST) {
			return ps_fail_errno(errno, "%s: the folder cannot be made", part);
		}
		part[i] = was;
	}
	return PS_OK;
}

int ps_state_store(const char *home, const char *url, const char *store, bool make, char *path, size_t size)
{
	crypto_generichash_state hashing;
	uint8_t hash[HASH_BYTES];
	char name[sizeof("stores/") + 2 * HASH_BYTES] = "stores/";
	if (sodium_init() < 0)
		return ps_fail(PS_EIO, "libsodium cannot be initialised");
	crypto_generichash_init(&hashing, NULL, 0, sizeof(hash));
	crypto_generichash_update(&hashing, (const uint8_t *)url, strlen(url) + 1);
	crypto_generichash_update(&hashing, (const uint8_t *)store, strlen(store) + 1);
	crypto_generichash_final(&hashing, hash, sizeof(hash));
	sodium_bin2hex(name + strlen(name), 2 * HASH_BYTES + 1, hash, sizeof(hash));
	int err = join(path, size, home, name);
	if (err == PS_OK && make)
		err = make_folders(path);
	if (err == PS_OK && access(path, F_OK) != 0)
		err = ps_fail_errno(errno, "%s", path);
	return err;
}

int ps_state_public(const char *home, char *path, size_t size)
{
	int err = join(path, size, home, "public");
	return err == PS_OK ? make_folders(path) : err;
}

/* ---- small files ---- */

static int write_all(int fd, const char *path, const uint8_t *bytes, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, bytes, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return ps_fail_errno(n < 0 ? errno : EIO, "%s cannot be written", path);
		bytes += n;
		len -= (size_t)n;
	}
	return fsync(fd) == 0 ? PS_OK : ps_fail_errno(errno, "%s cannot be synced", path);
}

int ps_state_replace(const char *path, const void *bytes, size_t len, bool fresh)
{
	char beside[PATH_MAX];
	int n = snprintf(beside, sizeof(beside), "%s.XXXXXX", path);
	if (n < 0 || (size_t)n >= sizeof(beside))
		return ps_fail(PS_EINVAL, "%.200s…: the path is too long", path);
	int fd = mkostemp(beside, O_CLOEXEC); /* mode 0600 */
	if (fd < 0)
		return ps_fail_errno(errno, "%s: no file can be made beside it", path);
	int err = write_all(fd, beside, bytes, len);
	if (close(fd) != 0 && err == PS_OK)
		err = ps_fail_errno(errno, "%s cannot be written", beside);
	if (err == PS_OK && renameat2(AT_FDCWD, beside, AT_FDCWD, path, fresh ? RENAME_NOREPLACE : 0) != 0)
		err = ps_fail_errno(errno, "%s cannot be replaced", path);
	if (err != PS_OK) {
		(void)unlink(beside);
		return err;
	}
	return sync_folder_of(path);
}

int ps_state_read(const char *path, void *bytes, size_t cap, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return ps_fail_errno(errno, "%s", path);
	size_t got = 0;
	int err = PS_OK;
	uint8_t more;
	for (;;) {
		void *to = got < cap ? (uint8_t *)bytes + got : &more;
		ssize_t n = read(fd, to, got < cap ? cap - got : 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			err = ps_fail_errno(errno, "%s cannot be read", path);
		if (n > 0)
			got += (size_t)n;
		if (n <= 0 || got > cap)
			break;
	}
	(void)close(fd);
	if (err == PS_OK)
		*len = got;
	return err;
}

/* ---- who this machine is ---- */

int ps_machine_decode(const char *path, const void *data, size_t len, struct ps_machine *machine)
{
	struct machine_bytes bytes;
	if (len != sizeof(bytes))
		return ps_fail(PS_ECORRUPT,
		               "%s has another length than a machine's file; it is left as it is", path);
	memcpy(&bytes, data, len);
	if (memcmp(bytes.magic, machine_magic, sizeof(machine_magic)) != 0 ||
	    ps_get64(bytes.checksum) != XXH3_64bits(&bytes, offsetof(struct machine_bytes, checksum)) ||
	    ps_all_zero(bytes.id, sizeof(bytes.id)) || bytes.name[sizeof(bytes.name) - 1] != 0)
		return ps_fail(PS_ECORRUPT, "%s is damaged; it is left as it is", path);
	memcpy(machine->id, bytes.id, sizeof(bytes.id));
	memcpy(machine->name, bytes.name, sizeof(bytes.name));
	return PS_OK;
}

static int machine_make(const char *path)
{
	struct machine_bytes bytes = {0};
	memcpy(bytes.magic, machine_magic, sizeof(machine_magic));
	randombytes_buf(bytes.id, sizeof(bytes.id));
	if (gethostname((char *)bytes.name, sizeof(bytes.name) - 1) != 0 || !bytes.name[0])
		memcpy(bytes.name, "unnamed", sizeof("unnamed"));
	/* Part of names of conflict copies: nothing there that a terminal or a path would take amiss. */
	for (uint8_t *c = bytes.name; *c; c++)
		if (*c <= ' ' || *c == '/' || *c == '(' || *c == ')' || *c >= 0x7f)
			*c = '-';
	bytes.checksum = ps_set64(XXH3_64bits(&bytes, offsetof(struct machine_bytes, checksum)));
	int err = ps_state_replace(path, &bytes, sizeof(bytes), true);
	return err == PS_EEXIST ? PS_OK : err; /* another was faster: its id is ours as well */
}

int ps_state_machine(const char *home, struct ps_machine *machine)
{
	char path[PATH_MAX];
	struct machine_bytes bytes;
	size_t len;
	if (sodium_init() < 0)
		return ps_fail(PS_EIO, "libsodium cannot be initialised");
	int err = make_folders(home);
	if (err == PS_OK)
		err = join(path, sizeof(path), home, "machine");
	if (err != PS_OK)
		return err;
	err = ps_state_read(path, &bytes, sizeof(bytes), &len);
	if (err == PS_ENOENT) {
		err = machine_make(path);
		if (err == PS_OK)
			err = ps_state_read(path, &bytes, sizeof(bytes), &len);
	}
	return err == PS_OK ? ps_machine_decode(path, &bytes, len, machine) : err;
}
