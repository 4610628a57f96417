/* Keys as people hold them, and the files that they lie in. A file is written whole beside its place, is on
 * disk, and only then takes its name: at every moment the name means a whole file, or none. */
#include "remote/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "remote/key_file_format.h"
#include "remote/keys_internal.h"
#include "remote/pad.h"

static int key_alloc(struct ps_key **key)
{
	struct ps_key *made;
	int err = ps_sodium_ready();

	if (err != PS_OK)
		return err;
	made = ps_locked_alloc(sizeof(*made));
	if (made == NULL)
		return ps_fail(PS_ENOMEM, "no memory for a key could be locked (RLIMIT_MEMLOCK)");
	*key = made;
	return PS_OK;
}

int ps_key_new(const uint8_t bytes[PS_KEY], struct ps_key **key)
{
	int err = key_alloc(key);

	if (err != PS_OK)
		return err;
	(*key)->kind = PS_KEY_USER;
	if (bytes != NULL)
		memcpy((*key)->bytes, bytes, PS_KEY);
	else
		randombytes_buf((*key)->bytes, PS_KEY);
	return PS_OK;
}

static int take_read_root(const ps_keys *keys, struct ps_key *key)
{
	struct ps_pad_name name;
	struct ps_serial head;
	int err;

	ps_keys_head_serial(keys, &head);
	err = ps_pad_name(keys, &head, &name);
	if (err != PS_OK)
		return err;
	key->kind = PS_KEY_READ_ONLY;
	ps_keys_read_root(keys, key->bytes);
	memcpy(key->head, name.bytes, sizeof(key->head));
	strcpy(key->store, ps_keys_store(keys));
	return PS_OK;
}

int ps_key_new_read_only(const struct ps_key *user, const char *store, struct ps_key **key)
{
	struct ps_key *made = NULL;
	ps_keys *keys = NULL;
	int err;

	if (user->kind != PS_KEY_USER)
		return ps_fail(PS_EREADONLY, "this key is a read-only one already");
	err = ps_keys_new(user->bytes, store, &keys);
	if (err == PS_OK)
		err = key_alloc(&made);
	if (err == PS_OK)
		err = take_read_root(keys, made);
	ps_keys_free(keys);
	if (err == PS_OK)
		*key = made;
	else
		ps_key_free(made);
	return err;
}

void ps_key_free(struct ps_key *key)
{
	sodium_free(key);
}

int ps_key_open(const struct ps_key *key, const char *store, ps_keys **keys)
{
	if (key->kind == PS_KEY_USER)
		return ps_keys_new(key->bytes, store, keys);
	if (store != NULL && strcmp(store, key->store) != 0)
		return ps_fail(PS_EINVAL, "this read-only key is for the store '%s', not for '%s'",
		               key->store, store);
	return ps_keys_new_read_only(key->bytes, key->store, keys);
}

void ps_key_fingerprint(const struct ps_key *key, char text[PS_KEY_FINGERPRINT])
{
	uint8_t hash[PS_KEY];

	ps_key_hash(key->bytes, "fingerprint", NULL, NULL, 0, hash);
	(void)snprintf(text, PS_KEY_FINGERPRINT, "%02x%02x-%02x%02x-%02x%02x-%02x%02x", hash[0], hash[1],
	               hash[2], hash[3], hash[4], hash[5], hash[6], hash[7]);
}

/* ---- reading ---- */

static int check_owner(const char *path, int fd)
{
	struct stat info;

	if (fstat(fd, &info) != 0)
		return ps_fail_errno(errno, "cannot look at the key file '%s'", path);
	if (!S_ISREG(info.st_mode))
		return ps_fail(PS_EACCES, "'%s' is no regular file", path);
	if (info.st_uid != geteuid())
		return ps_fail(PS_EACCES, "the key file '%s' belongs to another user", path);
	if ((info.st_mode & 077) != 0)
		return ps_fail(PS_EACCES,
		               "others may read or write the key file '%s' (mode %03o; chmod 600 it)", path,
		               info.st_mode & 0777);
	return PS_OK;
}

static int read_bytes(const char *path, int fd, uint8_t *bytes, size_t room, size_t *len)
{
	size_t done = 0;

	while (done < room) {
		ssize_t n = read(fd, bytes + done, room - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return ps_fail_errno(errno, "cannot read the key file '%s'", path);
		if (n == 0)
			break;
		done += (size_t)n;
	}
	*len = done;
	return PS_OK;
}

static int open_checked(const char *path, int *opened)
{
	/* Not to wait for somebody to write into a pipe. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int err;

	if (fd < 0)
		return ps_fail_errno(errno, "cannot open the key file '%s'", path);
	err = check_owner(path, fd);
	if (err != PS_OK)
		close(fd);
	else
		*opened = fd;
	return err;
}

/* The sentence of the failure, with the file's name before it. */
static int of_file(const char *path, int err)
{
	char sentence[256];

	(void)snprintf(sentence, sizeof(sentence), "%s", ps_last_error_message());
	return ps_fail(err, "key file '%s': %s", path, sentence);
}

/* `file` lies in locked memory: a plain one is the key. */
static int read_file(const char *path, struct key_file *file)
{
	uint8_t *bytes;
	size_t len = 0;
	int fd = -1, err = open_checked(path, &fd);

	if (err != PS_OK)
		return err;
	bytes = ps_locked_alloc(KEY_FILE_BYTES + 1);
	if (bytes == NULL)
		err = ps_fail(PS_ENOMEM, "no memory for a key could be locked (RLIMIT_MEMLOCK)");
	else
		err = read_bytes(path, fd, bytes, KEY_FILE_BYTES + 1, &len);
	close(fd);
	if (err == PS_OK) {
		err = key_file_decode(bytes, len, file);
		if (err != PS_OK)
			err = of_file(path, err);
	}
	sodium_free(bytes);
	return err;
}

static int file_alloc(struct key_file **file)
{
	int err = ps_sodium_ready();

	if (err != PS_OK)
		return err;
	*file = ps_locked_alloc(sizeof(**file));
	return *file != NULL ? PS_OK
	                     : ps_fail(PS_ENOMEM, "no memory for a key could be locked (RLIMIT_MEMLOCK)");
}

int ps_key_file_info(const char *path, struct ps_key_file_info *info)
{
	struct key_file *file = NULL;
	int err = file_alloc(&file);

	if (err == PS_OK)
		err = read_file(path, file);
	if (err == PS_OK)
		*info = (struct ps_key_file_info){.kind = file->fixed.kind,
		                                  .passphrase = file->fixed.wrap != 0,
		                                  .opslimit = ps_get32(file->fixed.opslimit),
		                                  .memlimit = ps_get64(file->fixed.memlimit)};
	sodium_free(file);
	return err;
}

/* Opens what was read. */
static int open_file(const struct key_file *file, const struct ps_passphrase *passphrase, struct ps_key **key)
{
	struct ps_key *made = NULL;
	uint8_t kek[PS_KEY];
	int err = key_alloc(&made);

	if (err == PS_OK && file->fixed.wrap != 0)
		err = key_file_stretch(file, passphrase, kek);
	/* A passphrase for a plain file is refused in there. */
	if (err == PS_OK)
		err = key_file_unseal(file, passphrase != NULL ? kek : NULL, made);
	sodium_memzero(kek, sizeof(kek));
	if (err == PS_OK)
		*key = made;
	else
		ps_key_free(made);
	return err;
}

int ps_key_file_read(const char *path, const struct ps_passphrase *passphrase, struct ps_key **key)
{
	struct key_file *file = NULL;
	int err = file_alloc(&file);

	if (err == PS_OK)
		err = read_file(path, file);
	if (err == PS_OK) {
		err = open_file(file, passphrase, key);
		if (err != PS_OK)
			err = of_file(path, err);
	}
	sodium_free(file);
	return err;
}

/* ---- writing ---- */

/* Where a file is to be: its folder, its name in there, and the name that it has until it is whole. */
struct place {
	int folder;
	const char *name;
	char temporary[48];
};

static int place_open(const char *path, struct place *place)
{
	const char *slash = strrchr(path, '/');
	char folder[PATH_MAX];
	uint64_t number;

	place->name = slash != NULL ? slash + 1 : path;
	if (*place->name == '\0' || strlen(path) >= sizeof(folder))
		return ps_fail(PS_EINVAL, "'%.100s' cannot be a file's name", path);
	(void)snprintf(folder, sizeof(folder), "%.*s", slash != NULL ? (int)(slash - path + 1) : 1,
	               slash != NULL ? path : ".");
	randombytes_buf(&number, sizeof(number));
	(void)snprintf(place->temporary, sizeof(place->temporary), ".padstone-key-%016llx.tmp",
	               (unsigned long long)number);
	place->folder = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (place->folder < 0)
		return ps_fail_errno(errno, "cannot open the folder of '%s'", path);
	return PS_OK;
}

static int write_temporary(const char *path, const struct place *place, const struct key_file *file)
{
	const uint8_t *bytes = (const uint8_t *)file;
	size_t done = 0;
	int fd = openat(place->folder, place->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	                0600);
	int err = PS_OK;

	if (fd < 0)
		return ps_fail_errno(errno, "cannot make the key file '%s'", path);
	while (done < sizeof(*file) && err == PS_OK) {
		ssize_t n = write(fd, bytes + done, sizeof(*file) - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			err = ps_fail_errno(errno, "cannot write the key file '%s'", path);
	}
	if (err == PS_OK && (fchmod(fd, 0600) != 0 || fsync(fd) != 0))
		err = ps_fail_errno(errno, "cannot write the key file '%s'", path);
	if (close(fd) != 0 && err == PS_OK)
		err = ps_fail_errno(errno, "cannot write the key file '%s'", path);
	if (err != PS_OK)
		(void)unlinkat(place->folder, place->temporary, 0);
	return err;
}

/* Gives the whole file its name. A link, where a file system cannot rename without replacing, never replaces
 * either. */
static int take_name(const char *path, const struct place *place, bool replace)
{
	int done = replace ? renameat(place->folder, place->temporary, place->folder, place->name)
	                   : renameat2(place->folder, place->temporary, place->folder, place->name,
	                               RENAME_NOREPLACE);
	int err = PS_OK;

	if (done != 0 && !replace && (errno == EINVAL || errno == ENOSYS)) {
		done = linkat(place->folder, place->temporary, place->folder, place->name, 0);
		if (done == 0)
			done = unlinkat(place->folder, place->temporary, 0);
	}
	if (done != 0) {
		err = ps_fail_errno(errno, "cannot give the key file its name '%s'", path);
		(void)unlinkat(place->folder, place->temporary, 0);
	} else if (fsync(place->folder) != 0) {
		err =
		    ps_fail_errno(errno, "the key file '%s' is there, but may not survive a power cut", path);
	}
	return err;
}

static int put_file(const char *path, const struct key_file *file, bool replace)
{
	struct place place = {.folder = -1};
	int err = place_open(path, &place);

	if (err == PS_OK)
		err = write_temporary(path, &place, file);
	if (err == PS_OK)
		err = take_name(path, &place, replace);
	if (place.folder >= 0)
		close(place.folder);
	return err;
}

/* Seals, and opens again what was sealed: a file that took the old one's place and did not open would be the
 * end of the key. */
static int make_file(const struct ps_key *key, const struct ps_passphrase *passphrase, struct key_file *file)
{
	struct key_file_fixed fixed = {.opslimit = ps_set32(KEY_OPS_MIN), .memlimit = ps_set64(KEY_MEM_MIN)};
	struct ps_key *again = NULL;
	uint8_t kek[PS_KEY];
	int err = key_alloc(&again);

	if (err == PS_OK && passphrase != NULL) {
		if (passphrase->len == 0)
			err = ps_fail(PS_EINVAL, "an empty passphrase protects nothing");
		randombytes_buf(fixed.salt, sizeof(fixed.salt));
		randombytes_buf(fixed.nonce, sizeof(fixed.nonce));
		file->fixed = fixed;
		if (err == PS_OK)
			err = key_file_stretch(file, passphrase, kek);
	}
	if (err == PS_OK) {
		key_file_seal(key, &fixed, passphrase != NULL ? kek : NULL, file);
		err = key_file_decode(file, sizeof(*file), file);
	}
	if (err == PS_OK)
		err = key_file_unseal(file, passphrase != NULL ? kek : NULL, again);
	if (err == PS_OK && sodium_memcmp(again->bytes, key->bytes, PS_KEY) != 0)
		err =
		    ps_fail(PS_ECORRUPT, "a key was sealed and did not open again: the memory is not sound");
	sodium_memzero(kek, sizeof(kek));
	ps_key_free(again);
	return err;
}

static int write_key(const char *path, const struct ps_key *key, const struct ps_passphrase *passphrase,
                     bool replace)
{
	struct key_file *file = NULL;
	int err = file_alloc(&file);

	if (err == PS_OK)
		err = make_file(key, passphrase, file);
	if (err == PS_OK)
		err = put_file(path, file, replace);
	sodium_free(file);
	return err;
}

int ps_key_file_create(const char *path, const struct ps_key *key, const struct ps_passphrase *passphrase)
{
	struct stat info;

	/* Told before the passphrase's second of work; what counts is the rename that never replaces. */
	if (lstat(path, &info) == 0)
		return ps_fail(PS_EEXIST, "'%s' exists already; a key is never written over anything", path);
	return write_key(path, key, passphrase, false);
}

int ps_key_file_replace(const char *path, const struct ps_key *key, const struct ps_passphrase *passphrase)
{
	char real[PATH_MAX]; /* where path is a symbolic link, the file is replaced, not the link */
	int fd = -1, err = open_checked(path, &fd);

	if (err != PS_OK)
		return err;
	close(fd);
	if (realpath(path, real) == NULL)
		return ps_fail_errno(errno, "cannot find the key file '%s'", path);
	return write_key(real, key, passphrase, true);
}
