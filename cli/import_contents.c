/* How the contents of one file come into the store: small ones in the batch, large ones as streams. */
#include "cli/import.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/files.h"

static void show_progress(struct import *im, uint64_t more)
{
	im->counts.bytes_seen += more;
	progress_update(&im->progress, im->counts.bytes_seen);
}

/* Reads the source: a failure is the file's, not the store's, and costs only this file. */
static int read_source(int fd, const char *path, void *buf, size_t len, size_t *got)
{
	return ps_file_read(fd, path, buf, len, got) == PS_OK ? PS_OK : IMPORT_UNREADABLE;
}

/* Whether the object has exactly the bytes that fd still gives, from offset 0 on. */
static int compare(struct import *im, int fd, const char *path, const struct cat_entry *old, bool *equal)
{
	uint64_t at = 0;
	size_t got = 1, stored = 0;
	int err = PS_OK;

	*equal = true;
	while (err == PS_OK && *equal && got > 0) {
		err = read_source(fd, path, im->buf, CLI_STREAM_BYTES, &got);
		if (err == PS_OK)
			err = ps_read_at(im->s, old->id, at, im->other, got, &stored);
		if (err == PS_OK && (stored != got || memcmp(im->buf, im->other, got) != 0))
			*equal = false;
		at += got;
		if (cli_interrupted())
			err = ps_fail(PS_ECANCELED, "interrupted; what was imported so far is kept");
	}
	if (at != old->size)
		*equal = false;
	if (err == PS_ECORRUPT) { /* damaged here, whole there: store it again */
		*equal = false;
		err = PS_OK;
	}
	if (err == PS_OK && lseek(fd, 0, SEEK_SET) != 0)
		err = IMPORT_UNREADABLE;
	return err;
}

static int put_small(struct import *im, const struct cat_entry *old, size_t len, struct cat_entry *entry)
{
	ps_batch *b;
	int err = import_batch(im, &b);

	if (err != PS_OK)
		return err;
	entry->size = len;
	if (old == NULL)
		return ps_batch_put(b, im->buf, len, &entry->id);
	entry->id = old->id;
	return ps_batch_replace(b, old->id, im->buf, len);
}

/* The rest of fd behind the `len` bytes that are in im->buf. */
static int copy_stream(struct import *im, int fd, const char *path, size_t len, ps_writer *w, uint64_t *size)
{
	int err = PS_OK;

	*size = 0;
	while (err == PS_OK && len > 0) {
		err = ps_writer_write(w, im->buf, len);
		*size += len;
		show_progress(im, len);
		if (err == PS_OK && cli_interrupted())
			err = ps_fail(PS_ECANCELED, "interrupted; what was imported so far is kept");
		if (err == PS_OK)
			err = read_source(fd, path, im->buf, CLI_STREAM_BYTES, &len);
	}
	return err;
}

/* Always into a new object: the old contents stay under the old name until the batch that swings it. The
 * length is not promised, since the file may change while it is read; the entry says what came. */
static int put_stream(struct import *im, int fd, const char *path, size_t len, struct cat_entry *entry)
{
	ps_writer *w;
	int err = ps_open_writer(im->s, PS_ID_NONE, PS_SIZE_UNKNOWN, &w);

	if (err != PS_OK)
		return err;
	entry->id = ps_writer_id(w);
	err = import_journal_stream(im, entry->id);
	if (err == PS_OK)
		err = copy_stream(im, fd, path, len, w, &entry->size);
	if (err == PS_OK)
		return ps_writer_finish(w);
	(void)ps_writer_abort(w);
	return err;
}

static int put_contents(struct import *im, int fd, const char *path, const struct cat_entry *old,
                        struct cat_entry *entry)
{
	size_t len = 0;
	int err = read_source(fd, path, im->buf, CLI_STREAM_BYTES + 1, &len);

	if (err == PS_OK && len <= CLI_STREAM_BYTES) {
		show_progress(im, len);
		return put_small(im, old, len, entry);
	}
	if (err == PS_OK)
		err = put_stream(im, fd, path, len, entry);
	if (err == PS_OK && old != NULL)
		err = import_delete_object(im, old->id);
	return err;
}

static bool same_time(const struct cat_time *time, const struct stat *st)
{
	return time->sec == st->st_mtim.tv_sec && time->nsec == (uint32_t)st->st_mtim.tv_nsec;
}

/* The old entry if its object is there and of its size; a store may have lost it, or `rm` taken it. */
static int usable_old(struct import *im, const struct cat_entry **old)
{
	struct ps_info info;
	int err;

	if (*old == NULL)
		return PS_OK;
	err = ps_info(im->s, (*old)->id, &info);
	if (err == PS_ENOTFOUND)
		*old = NULL;
	return err == PS_ENOTFOUND ? PS_OK : err;
}

/* *equal: the store has these contents; by size and time, or byte by byte with --checksum. */
static int is_stored(struct import *im, int fd, const char *path, const struct stat *st,
                     const struct cat_entry *old, bool *equal)
{
	struct ps_info info;

	*equal = false;
	if (old == NULL || old->size != (uint64_t)st->st_size)
		return PS_OK;
	if (im->cli->checksum)
		return compare(im, fd, path, old, equal);
	*equal =
	    same_time(&old->mtime, st) && ps_info(im->s, old->id, &info) == PS_OK && info.size == old->size;
	return PS_OK;
}

int import_contents(struct import *im, int fd, const char *path, const struct cat_entry *old,
                    struct cat_entry *entry, bool *stored)
{
	struct stat st, after;
	bool equal = false;
	int err = fstat(fd, &st) != 0 ? IMPORT_UNREADABLE : usable_old(im, &old);

	if (err == PS_OK)
		err = is_stored(im, fd, path, &st, old, &equal);
	if (err != PS_OK)
		return err;
	entry->mode = st.st_mode & 07777;
	entry->mtime = (struct cat_time){st.st_mtim.tv_sec, (uint32_t)st.st_mtim.tv_nsec};
	*stored = !equal;
	if (equal) {
		entry->id = old->id;
		entry->size = old->size;
		show_progress(im, old->size);
		return PS_OK;
	}
	err = put_contents(im, fd, path, old, entry);
	if (err != PS_OK)
		return err;
	im->counts.bytes_stored += entry->size;
	if (fstat(fd, &after) == 0 && (after.st_size != st.st_size || !same_time(&entry->mtime, &after)))
		cli_warn(im->cli, "'%s' changed while it was read; import again to get its last state", path);
	return PS_OK;
}
