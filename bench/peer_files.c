/* One file an object, in 256 folders. A write goes to a new file that is renamed over the old one; a batch of
 * several is flushed by two syncfs(), and is not atomic. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/bench.h"
#include "bench/peer.h"

enum { FOLDERS = 256, NAME_BYTES = 64 };

struct store {
	int folder;
	int folders[FOLDERS];
	bool power;
};

static void describe(const struct peer_options *o, char *text, size_t len)
{
	snprintf(text, len,
	         "one file an object in %d folders, written anew and renamed; %s; batches are not atomic",
	         FOLDERS,
	         o->durability == CLASS_POWER ? "fdatasync and fsync of the folder, syncfs twice for a "
	                                        "batch, which flushes what others have written as well"
	                                      : "no flush, syncfs for a sync");
}

static void *open_files(const struct peer_options *o)
{
	struct store *s = xalloc(sizeof(*s));
	char name[NAME_BYTES];
	s->power = o->durability == CLASS_POWER;
	s->folder = open(o->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (unsigned i = 0; i < FOLDERS; i++) {
		snprintf(name, sizeof(name), "%02x", i);
		if (o->create && mkdirat(s->folder, name, 0700))
			die("files: %s: %s", name, strerror(errno));
		s->folders[i] = openat(s->folder, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (s->folders[i] < 0)
			die("files: %s: %s", name, strerror(errno));
	}
	return s;
}

static void *begin(void *store)
{
	return store;
}

static void end(void *session)
{
	(void)session;
}

static int folder_of(const struct store *s, uint64_t handle)
{
	return s->folders[handle % FOLDERS];
}

static void name_of(uint64_t handle, const char *end_of_it, char *name)
{
	snprintf(name, NAME_BYTES, "%llx%s", (unsigned long long)(handle / FOLDERS), end_of_it);
}

static void must_do(int result, const char *what)
{
	if (result < 0)
		die("files: %s: %s", what, strerror(errno));
}

static void write_new(const struct store *s, const struct peer_write *w, bool flush)
{
	char name[NAME_BYTES];
	name_of(w->handle, ".new", name);
	int fd = openat(folder_of(s, w->handle), name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	must_do(fd, "open");
	for (size_t at = 0; at < w->len;) {
		ssize_t n = write(fd, (const char *)w->data + at, w->len - at);
		must_do((int)(n < 0 ? -1 : 0), "write");
		at += (size_t)n;
	}
	if (flush)
		must_do(fdatasync(fd), "fdatasync");
	close(fd);
}

static void settle(const struct store *s, const struct peer_write *w)
{
	char name[NAME_BYTES], new_name[NAME_BYTES];
	int folder = folder_of(s, w->handle);
	name_of(w->handle, "", name);
	name_of(w->handle, ".new", new_name);
	if (w->op == PEER_DELETE)
		must_do(unlinkat(folder, name, 0), "unlink");
	else
		must_do(renameat(folder, new_name, folder, name), "rename");
}

static void write_some(void *session, struct peer_write *w, size_t n)
{
	struct store *s = session;
	bool single = n == 1;
	for (size_t i = 0; i < n; i++) {
		if (w[i].op != PEER_DELETE)
			write_new(s, &w[i], s->power && single);
	}
	if (s->power && !single)
		must_do(syncfs(s->folder), "syncfs");
	for (size_t i = 0; i < n; i++)
		settle(s, &w[i]);
	if (s->power)
		must_do(single ? fsync(folder_of(s, w->handle)) : syncfs(s->folder), "flush");
}

static void read_copy(void *session, struct peer_read *r)
{
	struct store *s = session;
	char name[NAME_BYTES];
	ssize_t n = 0;
	name_of(r->handle, "", name);
	int fd = openat(folder_of(s, r->handle), name, O_RDONLY | O_CLOEXEC);
	must_do(fd, "open");
	r->len = 0;
	do {
		n = pread(fd, (char *)r->buf + r->len, r->cap - r->len, (off_t)r->len);
		must_do((int)(n < 0 ? -1 : 0), "read");
		r->len += (size_t)n;
	} while (n > 0 && r->len < r->cap);
	close(fd);
	r->data = r->buf;
}

static void sync_files(void *store)
{
	must_do(syncfs(((struct store *)store)->folder), "syncfs");
}

static void close_files(void *store)
{
	struct store *s = store;
	for (unsigned i = 0; i < FOLDERS; i++)
		close(s->folders[i]);
	close(s->folder);
	free(s);
}

const struct peer_ops peer_files = {
    .name = "files",
    .classes = IN_CLASS(CLASS_PROCESS) | IN_CLASS(CLASS_POWER),
    .abilities = CAN_REPLACE,
    .objects_most = 20000,
    .describe = describe,
    .open = open_files,
    .begin = begin,
    .end = end,
    .write = write_some,
    .read = read_copy,
    .sync = sync_files,
    .close = close_files,
};
