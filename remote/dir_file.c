/* Files of records, and temporary files. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/files.h"
#include "remote/dir_internal.h"

enum { PAGE = 4096, TEMP_TRIES = 100, OPEN_TRIES = 100, FILE_MODE = 0600 };

/* ---- records ---- */

static void encode_header(struct dir_header *h, const struct ps_net_request *r)
{
	memset(h, 0, sizeof(*h));
	memcpy(h->magic, DIR_MAGIC, sizeof(h->magic));
	h->version = ps_set32(DIR_VERSION);
	h->record_at = ps_set32(DIR_RECORD_AT);
	h->counter = ps_set64(r->identity.counter);
	memcpy(h->hash, r->identity.hash, sizeof(h->hash));
	h->len = ps_set64(r->buffer->len);
	h->checksum = ps_set64(XXH3_64bits(h, offsetof(struct dir_header, checksum)));
}

static bool decode_header(const struct dir_header *h, uint64_t file_size, struct dir_file *file)
{
	static const uint8_t zeros[sizeof(h->reserved)];
	if (memcmp(h->magic, DIR_MAGIC, sizeof(h->magic)) != 0 || ps_get32(h->version) != DIR_VERSION ||
	    ps_get32(h->record_at) != DIR_RECORD_AT ||
	    ps_get64(h->checksum) != XXH3_64bits(h, offsetof(struct dir_header, checksum)) ||
	    memcmp(h->reserved, zeros, sizeof(zeros)) != 0)
		return false;
	if (file_size < DIR_RECORD_AT || ps_get64(h->len) != file_size - DIR_RECORD_AT)
		return false;
	file->identity.counter = ps_get64(h->counter);
	memcpy(file->identity.hash, h->hash, sizeof(h->hash));
	file->len = ps_get64(h->len);
	return true;
}

static int read_exactly(int fd, uint64_t offset, void *bytes, size_t len)
{
	for (size_t done = 0; done < len;) {
		ssize_t got = pread(fd, (uint8_t *)bytes + done, len - done, (off_t)(offset + done));
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? errno : EBADMSG;
		done += (size_t)got;
	}
	return 0;
}

static int read_header(struct dir_file *file)
{
	struct dir_header header;
	struct stat status;
	if (fstat(file->fd, &status) != 0)
		return errno;
	if (!S_ISREG(status.st_mode))
		return EBADMSG;
	int err = read_exactly(file->fd, 0, &header, sizeof(header));
	if (err)
		return err;
	return decode_header(&header, (uint64_t)status.st_size, file) ? 0 : EBADMSG;
}

/* 0: the name is this file's; EAGAIN: it is another's, or gone. */
static int still_named(const struct dir_folder *folder, const char *name, int fd)
{
	struct stat open, named;
	if (fstat(fd, &open) != 0 || fstatat(folder->fd, name, &named, AT_SYMLINK_NOFOLLOW) != 0)
		return errno == ENOENT ? EAGAIN : errno;
	return open.st_ino == named.st_ino && open.st_dev == named.st_dev ? 0 : EAGAIN;
}

/* 0, EWOULDBLOCK, or an errno. Where there are no locks nobody writes over anything either. */
static int lock_shared(int fd, int how)
{
	int err = ps_file_lock(fd, LOCK_SH | how);
	return err == ENOLCK || err == ENOSYS || err == EOPNOTSUPP ? 0 : err;
}

/* What was replaced since it was opened may be written over by now, for another record: so first the lock,
 * and then whether it still is the one. Its writer lets go of it right after the rename. */
static int hold_file(const struct dir_folder *folder, const char *name, int fd)
{
	int err = lock_shared(fd, LOCK_NB);
	if (err == EWOULDBLOCK) {
		err = still_named(folder, name, fd);
		if (!err)
			err = lock_shared(fd, 0);
	}
	return err ? err : still_named(folder, name, fd);
}

static int open_file(const struct dir_folder *folder, const char *name, struct dir_file *file)
{
	*file =
	    (struct dir_file){.fd = openat(folder->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
	if (file->fd < 0)
		return errno == ELOOP ? EBADMSG : errno;
	int err = hold_file(folder, name, file->fd);
	if (!err)
		err = read_header(file);
	if (err)
		dir_file_close(file);
	return err;
}

int dir_file_open(const struct dir_folder *folder, const char *name, struct dir_file *file)
{
	int err = EAGAIN;
	for (int i = 0; i < OPEN_TRIES && err == EAGAIN; i++)
		err = open_file(folder, name, file);
	return err;
}

int dir_file_read(const struct dir_file *file, uint64_t offset, void *bytes, size_t len)
{
	return read_exactly(file->fd, DIR_RECORD_AT + offset, bytes, len);
}

void dir_file_close(struct dir_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

/* ---- temporary files ---- */

/* Between making and locking it somebody may have taken it for a leftover: then it has no name any more. */
bool dir_temp_lock(int fd)
{
	struct stat status;
	return flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &status) == 0 && status.st_nlink == 1;
}

static int make_temp(struct dir_network *n, int flags, struct dir_temp *temp)
{
	snprintf(temp->name, sizeof(temp->name), "%016llx-%llx", (unsigned long long)n->id,
	         (unsigned long long)atomic_fetch_add(&n->made, 1));
	temp->fd = openat(n->temps, temp->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | flags,
	                  FILE_MODE);
	if (temp->fd < 0)
		return errno;
	if (dir_temp_lock(temp->fd))
		return 0;
	dir_temp_close(n, temp, false);
	return EEXIST;
}

int dir_temp_new(struct dir_network *n, bool direct, struct dir_temp *temp)
{
	int err = EEXIST;
	for (int i = 0; i < TEMP_TRIES && err == EEXIST; i++)
		err = make_temp(n, direct ? O_DIRECT : 0, temp);
	if (err == EINVAL && direct) {
		atomic_store(&n->direct, false);
		return dir_temp_new(n, false, temp);
	}
	return err;
}

void dir_temp_close(const struct dir_network *n, struct dir_temp *temp, bool keep)
{
	if (temp->fd < 0)
		return;
	if (!keep) {
		dir_temp_remove(n, temp);
		return;
	}
	/* Not by the close alone: a child of this process may have the file open, too, and readers wait for
	 * the lock. */
	(void)flock(temp->fd, LOCK_UN);
	close(temp->fd);
	temp->fd = -1;
}

void dir_temp_remove(const struct dir_network *n, struct dir_temp *temp)
{
	(void)unlinkat(n->temps, temp->name, 0);
	if (temp->fd >= 0)
		close(temp->fd);
	temp->fd = -1;
}

static int write_exactly(int fd, struct iovec *part, int parts)
{
	for (off_t at = 0; parts > 0;) {
		ssize_t wrote = pwritev(fd, part, parts, at);
		if (wrote < 0 && errno == EINTR)
			continue;
		if (wrote <= 0)
			return wrote < 0 ? errno : EIO;
		at += wrote;
		for (; parts > 0 && (size_t)wrote >= part->iov_len; part++, parts--)
			wrote -= (ssize_t)part->iov_len;
		if (parts > 0) {
			part->iov_base = (uint8_t *)part->iov_base + wrote;
			part->iov_len -= (size_t)wrote;
		}
	}
	return 0;
}

/* Whole pages straight from the buffer; the last piece by way of a page that is zero behind it, and cut off.
 */
static int write_direct(int fd, const struct ps_net_buffer *buffer, uint8_t *header)
{
	_Alignas(PAGE) uint8_t last[PAGE] = {0};
	size_t pages = buffer->len / PAGE * PAGE, rest = buffer->len - pages;
	struct iovec part[] = {{header, PAGE}, {buffer->bytes, pages}, {last, PAGE}};
	memcpy(last, buffer->bytes + pages, rest);
	int err = write_exactly(fd, part, rest ? 3 : 2);
	if (!err && rest && ftruncate(fd, (off_t)(DIR_RECORD_AT + buffer->len)) != 0)
		err = errno;
	return err;
}

static int write_plain(int fd, const struct ps_net_buffer *buffer, uint8_t *header)
{
	struct iovec part[] = {{header, PAGE}, {buffer->bytes, buffer->len}};
	return write_exactly(fd, part, buffer->len ? 2 : 1);
}

static int write_record(struct dir_network *n, struct dir_temp *temp, const struct ps_net_request *r)
{
	_Alignas(PAGE) uint8_t header[PAGE] = {0};
	bool direct = fcntl(temp->fd, F_GETFL) & O_DIRECT;
	encode_header((struct dir_header *)(void *)header, r);
	if (!direct)
		return write_plain(temp->fd, r->buffer, header);
	int err = write_direct(temp->fd, r->buffer, header);
	if (err != EINVAL)
		return err;
	/* Larger sectors than pages, or a file system that says so late. */
	atomic_store(&n->direct, false);
	if (fcntl(temp->fd, F_SETFL, 0) != 0 || ftruncate(temp->fd, 0) != 0)
		return errno;
	return write_plain(temp->fd, r->buffer, header);
}

int dir_temp_write(struct dir_network *n, struct dir_temp *temp, struct ps_blocking_job *job)
{
	const struct ps_net_request *r = &job->request;
	bool large = r->buffer->len >= DIR_DIRECT_FROM;
	int err = 0;
	if (!large || !dir_spare_take(n, DIR_RECORD_AT + r->buffer->len, temp))
		err = dir_temp_new(n, large && atomic_load(&n->direct), temp);
	if (!err)
		err = write_record(n, temp, r);
	if (!err && !ps_blocking_wanted(job))
		err = ECANCELED;
	/* All of it before the name points at it. */
	if (!err && fdatasync(temp->fd) != 0)
		err = errno;
	return err;
}

static void clean_one(const struct dir_network *n, const char *name)
{
	int fd = openat(n->temps, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return;
	/* Whoever writes it holds its lock. It may have got its lasting name since it was listed: that one
	 * stays. */
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		(void)unlinkat(n->temps, name, 0);
	close(fd);
}

void dir_temps_clean(const struct dir_network *n)
{
	int fd = openat(n->root, DIR_TEMPS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *temps = fd < 0 ? NULL : fdopendir(fd);
	if (!temps) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (const struct dirent *entry = readdir(temps); entry; entry = readdir(temps)) {
		if (entry->d_name[0] != '.')
			clean_one(n, entry->d_name);
	}
	closedir(temps);
}
