#include "remote/public_anchor.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/fail.h"
#include "base/files.h"
#include "remote/state.h"

enum { ANCHOR_FORMAT = 1 };

static_assert(sizeof(struct public_anchor_bytes) == 128, "no padding");

static const uint8_t anchor_magic[8] = {'P', 'S', 'P', 'U', 'B', 'A', 'N', 'C'};

/* ---- the file ---- */

void public_anchor_encode(const struct public_anchor *anchor, struct public_anchor_bytes *bytes)
{
	*bytes = (struct public_anchor_bytes){.format = ps_set32(ANCHOR_FORMAT),
	                                      .counter = ps_set64(anchor->identity.counter)};
	memcpy(bytes->magic, anchor_magic, sizeof(bytes->magic));
	memcpy(bytes->name, anchor->name.bytes, sizeof(bytes->name));
	memcpy(bytes->network, anchor->network, sizeof(bytes->network));
	memcpy(bytes->serial, anchor->serial.bytes, sizeof(bytes->serial));
	memcpy(bytes->hash, anchor->identity.hash, sizeof(bytes->hash));
	bytes->checksum = ps_set64(XXH3_64bits(bytes, offsetof(struct public_anchor_bytes, checksum)));
}

int public_anchor_decode(const char *path, const void *data, size_t len, struct public_anchor *anchor)
{
	struct public_anchor_bytes bytes = {0};
	memcpy(&bytes, data, len < sizeof(bytes) ? len : sizeof(bytes));
	if (memcmp(bytes.magic, anchor_magic, sizeof(anchor_magic)) != 0)
		return ps_fail(PS_EFORMAT, "%s is no anchor of an address; it is left as it is", path);
	if (len != sizeof(bytes) ||
	    ps_get64(bytes.checksum) != XXH3_64bits(&bytes, offsetof(struct public_anchor_bytes, checksum)))
		return ps_fail(PS_ECORRUPT, "%s is damaged; it is left as it is", path);
	if (ps_get32(bytes.format) != ANCHOR_FORMAT)
		return ps_fail(PS_EVERSION, "%s has format %u; this program knows %d", path,
		               ps_get32(bytes.format), ANCHOR_FORMAT);
	if (!ps_all_zero(bytes.reserved, sizeof(bytes.reserved)) || ps_get64(bytes.counter) == 0)
		return ps_fail(PS_ECORRUPT, "%s has impossible contents; it is left as it is", path);
	*anchor = (struct public_anchor){.identity.counter = ps_get64(bytes.counter)};
	memcpy(anchor->name.bytes, bytes.name, sizeof(bytes.name));
	memcpy(anchor->network, bytes.network, sizeof(bytes.network));
	memcpy(anchor->serial.bytes, bytes.serial, sizeof(bytes.serial));
	memcpy(anchor->identity.hash, bytes.hash, sizeof(bytes.hash));
	return PS_OK;
}

static int make_path(const char *folder, const struct ps_pad_name *name, char path[PATH_MAX])
{
	char hex[2 * PS_PAD_NAME + 1];
	sodium_bin2hex(hex, sizeof(hex), name->bytes, PS_PAD_NAME);
	int len = snprintf(path, PATH_MAX, "%s/%s", folder, hex);
	return len > 0 && len < PATH_MAX ? PS_OK
	                                 : ps_fail(PS_EINVAL, "%.200s…: the path is too long", folder);
}

/* PS_ENOENT: there is none. */
static int read_anchor(const char *path, const struct ps_pad_name *name, struct public_anchor *anchor)
{
	struct public_anchor_bytes bytes;
	size_t len;
	int err = ps_state_read(path, &bytes, sizeof(bytes), &len);
	if (err == PS_OK)
		err = public_anchor_decode(path, &bytes, len, anchor);
	if (err == PS_OK && memcmp(anchor->name.bytes, name->bytes, PS_PAD_NAME) != 0)
		err = ps_fail(PS_ECORRUPT, "%s is of another address; it is left as it is", path);
	return err;
}

int public_anchor_known(const char *folder, const struct ps_pad_name *name, bool *known)
{
	struct public_anchor anchor;
	char path[PATH_MAX];
	int err = make_path(folder, name, path);
	if (err == PS_OK)
		err = read_anchor(path, name, &anchor);
	if (err != PS_OK && err != PS_ENOENT)
		return err;
	*known = err == PS_OK;
	return PS_OK;
}

/* ---- using a version ---- */

static int lock_folder(const char *folder, int *fd)
{
	char path[PATH_MAX];
	int len = snprintf(path, sizeof(path), "%s/lock", folder);
	if (len < 0 || len >= PATH_MAX)
		return ps_fail(PS_EINVAL, "%.200s…: the path is too long", folder);
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (*fd < 0)
		return ps_fail_errno(errno, "%s", path);
	int err = ps_file_lock(*fd, LOCK_EX);
	if (!err)
		return PS_OK;
	err = ps_fail_errno(err, "%s cannot be locked", path);
	(void)close(*fd);
	return err;
}

static int judge(const struct public_anchor *anchor, const struct ps_pad_header *header)
{
	struct ps_pad_expected expected = {.serial = anchor->serial,
	                                   .generation = 1,
	                                   .class = PS_PAD_PUBLIC_INDEX,
	                                   .role = header->plan.role,
	                                   .identity = anchor->identity,
	                                   .newer = true};
	memcpy(expected.network, anchor->network, sizeof(expected.network));
	return ps_pad_check(header, &expected);
}

static int move(const char *path, const struct ps_pad_name *name, const struct ps_pad_header *header)
{
	struct public_anchor anchor = {
	    .name = *name, .serial = header->plan.serial, .identity = header->identity};
	struct public_anchor_bytes bytes;
	memcpy(anchor.network, header->plan.network, sizeof(anchor.network));
	public_anchor_encode(&anchor, &bytes);
	return ps_state_replace(path, &bytes, sizeof(bytes), false);
}

static int use_locked(const char *path, const struct ps_pad_name *name, const struct ps_pad_header *header,
                      bool *first)
{
	struct public_anchor anchor;
	int err = read_anchor(path, name, &anchor);
	*first = err == PS_ENOENT;
	if (*first)
		return move(path, name, header);
	if (err == PS_OK)
		err = judge(&anchor, header);
	if (err != PS_OK || header->identity.counter == anchor.identity.counter)
		return err;
	return move(path, name, header);
}

int public_anchor_use(const char *folder, const struct ps_pad_name *name, const struct ps_pad_header *header,
                      bool *first)
{
	char path[PATH_MAX];
	int fd = -1, err = make_path(folder, name, path);
	if (err == PS_OK)
		err = lock_folder(folder, &fd);
	if (err != PS_OK)
		return err;
	err = use_locked(path, name, header, first);
	(void)close(fd);
	return err;
}
