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
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/harness.h"

enum { BATCH_OBJECTS = 1000, BATCH_BYTES = 64 << 20 }; /* of a load that is measured */
enum { FILL_OBJECTS = 10000, FILL_BYTES = 8 << 20 };   /* of one that is not: fewer flushes */

/* Empty where the file system lies on no block device of its own. */
static void find_disk(struct job *j)
{
	struct stat st;
	j->disk[0] = 0;
	if (stat(j->folder, &st))
		return;
	snprintf(j->disk, sizeof(j->disk), "/sys/dev/block/%u:%u/stat", major(st.st_dev), minor(st.st_dev));
	if (access(j->disk, R_OK))
		j->disk[0] = 0;
}

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
	j->size_most = g->size ? g->size : g->size_most ? g->size_most : MIXED_MOST;
	j->buf = xalloc(j->size_most);
	sea_fill(s->seed);
	find_disk(j);
}

static size_t size_of(const struct job *j, uint64_t key, uint64_t version)
{
	const struct group *g = j->group;
	if (g->size)
		return g->size;
	return g->size_most ? even_size(key, version, g->size_most) : mixed_size(key, version);
}

static uint64_t expected_bytes(const struct job *j)
{
	uint64_t bytes = 0;
	if (j->group->size)
		return j->group->count * j->group->size;
	for (uint64_t i = 0; i < j->group->count; i++)
		bytes += size_of(j, i, 0);
	return bytes;
}

/* Far less than the data, and room for what finds it. */
static uint64_t cold_cache(const struct job *j)
{
	return MIN(j->settings->cache_bytes, MAX(expected_bytes(j) / 4, (uint64_t)16 << 20));
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
	                                   .size = j->group->size ? j->group->size
	                                                          : MAX(j->group->size_most / 2, (size_t)512),
	                                   .cache_bytes = cold ? cold_cache(j) : s->cache_bytes,
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

void job_walk(const char *folder, void (*fn)(const char *path, const struct stat *st, void *arg), void *arg)
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
			job_walk(path, fn, arg);
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
	job_walk(j->folder, remove_one, NULL);
}

static void add_blocks(const char *path, const struct stat *st, void *arg)
{
	(void)path;
	*(uint64_t *)arg += (uint64_t)st->st_blocks * 512;
}

uint64_t job_disk_bytes(const struct job *j)
{
	uint64_t bytes = 0;
	job_walk(j->folder, add_blocks, &bytes);
	return bytes;
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

static void load(struct job *j, double most, size_t batch, size_t batch_bytes)
{
	static struct peer_write w[FILL_OBJECTS];
	double end = now() + most;
	uint64_t from = 0, count = j->group->count;
	if (j->peer->objects_most)
		count = MIN(count, j->peer->objects_most / (j->settings->quick ? 10 : 1));
	for (j->live_bytes = 0; from < count && (from == 0 || now() < end);) {
		size_t n = 0, bytes = 0;
		for (; n < batch && from + n < count; n++) {
			w[n] = put_of(j, from + n);
			if (n && bytes + w[n].len > batch_bytes)
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

void job_load(struct job *j)
{
	load(j, j->settings->load_most, BATCH_OBJECTS, BATCH_BYTES);
}

void job_fill(struct job *j)
{
	load(j, 8 * j->settings->load_most, FILL_OBJECTS, FILL_BYTES);
	j->peer->sync(j->store);
}

uint64_t *job_shuffled_handles(const struct job *j)
{
	uint64_t *handles = xalloc(j->count * sizeof(*handles));
	struct chance c = chance_from(j->settings->seed);
	for (uint64_t i = 0; i < j->count; i++) {
		uint64_t k = chance_below(&c, i + 1);
		handles[i] = handles[k];
		handles[k] = j->objects[i].handle;
	}
	return handles;
}

static void verify_one(struct job *j, uint64_t key)
{
	struct object *o = &j->objects[key];
	struct peer_read r = {.handle = o->handle, .buf = j->buf, .cap = j->size_most};
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
