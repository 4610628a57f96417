/* Reads that really go to the disk: nothing of the store in the page cache, and no read-ahead that brings it
 * in again. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/harness.h"

/* The kernel reads no page but those asked for, for every file of the folder that the process has open. */
static void advise_files(const struct job *j)
{
	char path[64], target[4096];
	DIR *d = opendir("/proc/self/fd");
	for (struct dirent *e; d && (e = readdir(d));) {
		snprintf(path, sizeof(path), "/proc/self/fd/%.16s", e->d_name);
		ssize_t n = readlink(path, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = 0;
		if (strstr(target, j->folder))
			(void)posix_fadvise(atoi(e->d_name), 0, 0, POSIX_FADV_RANDOM);
	}
	if (d)
		closedir(d);
}

/* Likewise what it has mapped; and its page tables let go of the pages, which stay in the page cache if they
 * are dirty. */
static void advise_mappings(const struct job *j)
{
	FILE *f = fopen("/proc/self/maps", "r");
	char line[8192], mode[8];
	unsigned long from, to;
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %7s", &from, &to, mode) != 3 || mode[3] != 's' ||
		    !strstr(line, j->folder))
			continue;
		void *start;
		memcpy(&start, &from, sizeof(start));
		(void)madvise(start, to - from, MADV_RANDOM);
		(void)madvise(start, to - from, MADV_DONTNEED);
	}
	if (f)
		fclose(f);
}

void job_no_read_ahead(const struct job *j)
{
	advise_files(j);
	advise_mappings(j);
}

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

/* Pages that the kernel has at hand at that moment stay: it is asked again. A run of few bytes, as tests make it, measures no disk
 * anyway: there it is let go. */
void job_drop_cache(const struct job *j)
{
	enum { TRIES = 100 };
	static const uint64_t telling = 64 << 20;
	uint64_t resident, bytes = job_disk_bytes(j);
	unsigned tries = 0;
	do {
		resident = 0;
		job_walk(j->folder, drop_one, &resident);
	} while (resident * 4096 > bytes / 50 && resident > 256 && ++tries < TRIES);
	if (tries == TRIES && bytes > telling)
		die("%llu pages stayed in the page cache", (unsigned long long)resident);
}
