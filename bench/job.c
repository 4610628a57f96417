/* What every workload needs in its own process: a peer's store, its objects, loading and verifying them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/harness.h"

static const uint64_t BATCH_BYTES = (uint64_t)64 << 20;
enum { BATCH_OBJECTS = 1000 };

void job_begin(struct job *j, const struct settings *s, const struct group *g, const struct peer_ops *p,
               const char *folder)
{
	memset(j, 0, sizeof(*j));
	j->settings = s;
	j->group = g;
	j->peer = p;
	if (snprintf(j->folder, sizeof(j->folder), "%s", folder) >= (int)sizeof(j->folder))
		die("%s: the name is too long", folder);
	if (mkdir(j->folder, 0700) && errno != EEXIST)
		die("%s: %s", j->folder, strerror(errno));
	size_t bytes = MAX(g->count, (uint64_t)1) * sizeof(*j->objects);
	j->objects = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (j->objects == MAP_FAILED)
		die("no memory for %llu objects", (unsigned long long)g->count);
	j->buf = xalloc(MAX(g->size, (size_t)MIXED_MOST));
	sea_fill(s->seed);
}

static uint64_t expected_bytes(const struct job *j)
{
	uint64_t bytes = 0;
	if (j->group->size)
		return j->group->count * j->group->size;
	for (uint64_t i = 0; i < j->group->count; i++)
		bytes += mixed_size(i, 0);
	return bytes;
}

void job_open(struct job *j, bool create, bool cold)
{
	const struct settings *s = j->settings;
	unsigned threads = 1;
	for (unsigned i = 0; i < j->group->rows; i++)
		threads = MAX(threads, j->group->row[i].threads);
	j->options = (struct peer_options){.folder = j->folder,
	                                   .create = create,
	                                   .cold = cold,
	                                   .durability = j->group->durability,
	                                   .objects = j->group->count,
	                                   .bytes = expected_bytes(j),
	                                   .size = j->group->size ? j->group->size : 512,
	                                   .cache_bytes = cold ? MIN(s->cache_bytes, (uint64_t)32 << 20)
	                                                       : s->cache_bytes,
	                                   .threads = threads};
	j->store = j->peer->open(&j->options);
	j->session = j->peer->begin(j->store);
}

void job_close(struct job *j)
{
	if (!j->store)
		return;
	j->peer->end(j->session);
	j->peer->close(j->store);
	j->store = j->session = NULL;
}

/* Everything below a folder; fn gets a file's path, or a folder's behind what is in it. */
static void walk(const char *folder, void (*fn)(const char *path, const struct stat *st, void *arg),
                 void *arg)
{
	DIR *d = opendir(folder);
	char path[4096];
	struct stat st;
	for (struct dirent *e; d && (e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", folder, e->d_name) >= (int)sizeof(path))
			die("%s: the name is too long", folder);
		if (lstat(path, &st))
			continue; /* the peer has removed it meanwhile */
		if (S_ISDIR(st.st_mode))
			walk(path, fn, arg);
		fn(path, &st, arg);
	}
	if (d)
		closedir(d);
}

static void remove_one(const char *path, const struct stat *st, void *arg)
{
	(void)arg;
	if (S_ISDIR(st->st_mode) ? rmdir(path) : unlink(path))
		die("%s: %s", path, strerror(errno));
}

void job_remove(struct job *j)
{
	job_close(j);
	walk(j->folder, remove_one, NULL);
}

static void add_blocks(const char *path, const struct stat *st, void *arg)
{
	(void)path;
	*(uint64_t *)arg += (uint64_t)st->st_blocks * 512;
}

uint64_t job_disk_bytes(const struct job *j)
{
	uint64_t bytes = 0;
	walk(j->folder, add_blocks, &bytes);
	return bytes;
}

static size_t size_of(const struct job *j, uint64_t key, uint64_t version)
{
	return j->group->size ? j->group->size : mixed_size(key, version);
}

static struct peer_write put_of(struct job *j, uint64_t key)
{
	struct object *o = &j->objects[key];
	o->len = (uint32_t)size_of(j, key, o->version);
	return (struct peer_write){PEER_PUT, key, sea_at(key, o->version), o->len};
}

struct peer_write job_next(struct job *j, uint64_t key, size_t len)
{
	struct object *o = &j->objects[key];
	o->version++;
	o->len = (uint32_t)(len ? len : size_of(j, key, o->version));
	return (struct peer_write){PEER_REPLACE, o->handle, sea_at(key, o->version), o->len};
}

void job_load(struct job *j, uint64_t count, double most)
{
	static struct peer_write w[BATCH_OBJECTS];
	double end = now() + most;
	uint64_t from = 0;
	if (j->peer->objects_most)
		count = MIN(count, j->peer->objects_most);
	for (j->live_bytes = 0; from < count && (from == 0 || now() < end);) {
		size_t n = 0, bytes = 0;
		for (; n < BATCH_OBJECTS && from + n < count; n++) {
			w[n] = put_of(j, from + n);
			if (n && bytes + w[n].len > BATCH_BYTES)
				break;
			bytes += w[n].len;
		}
		j->peer->write(j->session, w, n);
		for (size_t i = 0; i < n; i++)
			j->objects[from + i].handle = w[i].handle;
		from += n;
		j->live_bytes += bytes;
	}
	j->count = from;
}

static void verify_one(struct job *j, uint64_t key)
{
	struct object *o = &j->objects[key];
	struct peer_read r = {
	    .handle = o->handle, .buf = j->buf, .cap = MAX(j->group->size, (size_t)MIXED_MOST)};
	j->peer->read(j->session, &r);
	if (r.len != o->len || memcmp(r.data, sea_at(key, o->version), r.len) != 0)
		die("object %llu of %u bytes, version %u: %zu other bytes than were written",
		    (unsigned long long)key, o->len, o->version, r.len);
}

void job_verify(struct job *j, uint64_t samples)
{
	uint64_t step = samples && samples < j->count ? j->count / samples : 1;
	for (uint64_t key = 0; key < j->count; key += step)
		verify_one(j, key);
}

/* ---- the page cache ---- */

static void drop_one(const char *path, const struct stat *st, void *arg)
{
	uint64_t *resident = arg;
	if (!S_ISREG(st->st_mode) || !st->st_size)
		return;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fdatasync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
		die("%s: %s", path, strerror(errno));
	size_t pages = ((size_t)st->st_size + 4095) / 4096;
	unsigned char *in = xalloc(pages);
	void *map = mmap(NULL, (size_t)st->st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED || mincore(map, (size_t)st->st_size, in))
		die("%s: %s", path, strerror(errno));
	for (size_t i = 0; i < pages; i++)
		*resident += in[i] & 1;
	munmap(map, (size_t)st->st_size);
	free(in);
	close(fd);
}

void job_drop_cache(const struct job *j)
{
	uint64_t resident = 0, bytes = job_disk_bytes(j);
	walk(j->folder, drop_one, &resident);
	if (resident * 4096 > bytes / 50 && resident > 256)
		die("%llu pages stayed in the page cache", (unsigned long long)resident);
}

/* ---- processes apart ---- */

static void send_all(int fd, const void *data, size_t len)
{
	for (const char *at = data; len;) {
		ssize_t n = write(fd, at, len);
		if (n < 0)
			die("pipe: %s", strerror(errno));
		at += n;
		len -= (size_t)n;
	}
}

static bool receive_all(int fd, void *data, size_t len)
{
	for (char *at = data; len;) {
		ssize_t n = read(fd, at, len);
		if (n <= 0)
			return false;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

void job_apart(struct job *j, void (*fn)(struct job *j, void *result), void *result, size_t len, bool killed)
{
	int ends[2], status;
	if (pipe(ends))
		die("pipe: %s", strerror(errno));
	pid_t child = fork();
	if (child < 0)
		die("fork: %s", strerror(errno));
	if (child == 0) {
		fn(j, result);
		send_all(ends[1], result, len);
		if (killed)
			raise(SIGKILL);
		_exit(0);
	}
	close(ends[1]);
	bool whole = receive_all(ends[0], result, len);
	close(ends[0]);
	if (waitpid(child, &status, 0) != child || !whole)
		die("the process apart failed");
	if (killed ? !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL : status != 0)
		die("the process apart ended otherwise than it should");
}
