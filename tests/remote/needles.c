#include "tests/remote/needles.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <ftw.h>
#include <sodium.h>
#include <sys/mman.h>
#include <unistd.h>

#include "remote/keys_internal.h"

struct needles {
	uint8_t begins[(1 << 16) / 8]; /* bits: the first two bytes of any. Most places are done with by it */
	size_t count, capacity;
	uint8_t of[][NEEDLE];
};

struct needles *needles_new(size_t capacity)
{
	assert_int_equal(ps_sodium_ready(), 0);
	struct needles *needles = ps_locked_alloc(sizeof(*needles) + capacity * NEEDLE);
	assert_non_null(needles);
	needles->capacity = capacity;
	return needles;
}

void needles_free(struct needles *needles)
{
	sodium_free(needles);
}

static unsigned start_of(const uint8_t *bytes)
{
	return (unsigned)bytes[0] << 8 | bytes[1];
}

void needles_add(struct needles *needles, const void *bytes)
{
	assert_true(needles->count < needles->capacity);
	unsigned start = start_of(bytes);
	needles->begins[start / 8] = (uint8_t)(needles->begins[start / 8] | 1U << start % 8);
	memcpy(needles->of[needles->count++], bytes, NEEDLE);
}

const uint8_t *needles_at(const struct needles *needles, size_t i)
{
	assert_true(i < needles->count);
	return needles->of[i];
}

static bool is_one(const struct needles *needles, const uint8_t *at)
{
	for (size_t i = 0; i < needles->count; i++)
		if (memcmp(at, needles->of[i], NEEDLE) == 0)
			return true;
	return false;
}

unsigned needles_in_bytes(const struct needles *needles, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	unsigned found = 0;
	for (size_t left = len; left >= NEEDLE; left--, at++) {
		unsigned start = start_of(at);
		if ((needles->begins[start / 8] >> start % 8 & 1) && is_one(needles, at))
			found++;
	}
	return found;
}

/* This process, as it sees itself. */
struct self {
	int memory, pages;
};

enum { PAGE = 4096, PAGES_AT_ONCE = 256 };

/* Of [from, to) of our own memory, whose pages are all there. */
static unsigned found_between(const struct needles *needles, int memory, uint64_t from, uint64_t to)
{
	static uint8_t piece[PAGE * PAGES_AT_ONCE];
	unsigned found = 0;
	for (uint64_t at = from; at < to; at += sizeof(piece) - (NEEDLE - 1)) {
		size_t len = to - at < sizeof(piece) ? to - at : sizeof(piece);
		ssize_t got = pread(memory, piece, len, (off_t)at);
		if (got > 0)
			found += needles_in_bytes(needles, piece, (size_t)got);
	}
	/* The next search comes by here, too. */
	sodium_memzero(piece, sizeof(piece));
	return found;
}

/* A mapping may be a gigabyte that is reserved, and a few pages that were ever touched: the others would be
 * made by looking. */
static unsigned found_on_pages(const struct needles *needles, const struct self *self, uint64_t from,
                               uint64_t to)
{
	uint64_t entries[PAGES_AT_ONCE], start = from;
	unsigned found = 0;
	for (uint64_t at = from; at < to;) {
		size_t count = (to - at) / PAGE < PAGES_AT_ONCE ? (to - at) / PAGE : PAGES_AT_ONCE;
		size_t len = count * sizeof(*entries);
		assert_int_equal(pread(self->pages, entries, len, (off_t)(at / PAGE * sizeof(*entries))),
		                 len);
		for (size_t i = 0; i < count; i++, at += PAGE) {
			if (entries[i] >> 62 != 0) /* in memory, or in swap */
				continue;
			if (start < at)
				found += found_between(needles, self->memory, start, at);
			start = at + PAGE;
		}
	}
	return start < to ? found + found_between(needles, self->memory, start, to) : found;
}

unsigned needles_in_memory(const struct needles *needles, bool hidden)
{
	FILE *smaps = fopen("/proc/self/smaps", "r");
	struct self self = {open("/proc/self/mem", O_RDONLY | O_CLOEXEC),
	                    open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC)};
	unsigned long from = 0, to = 0, start, end;
	unsigned found = 0;
	char line[512];
	assert_non_null(smaps);
	assert_true(self.memory >= 0 && self.pages >= 0);
	assert_int_equal(sysconf(_SC_PAGESIZE), PAGE);
	while (fgets(line, sizeof(line), smaps) != NULL) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			from = start, to = end;
		if (strncmp(line, "VmFlags:", 8) != 0)
			continue;
		if (strstr(line, " wr") != NULL && (strstr(line, " dd") != NULL) == hidden)
			found += found_on_pages(needles, &self, from, to);
	}
	close(self.memory);
	close(self.pages);
	fclose(smaps);
	return found;
}

/* nftw() hands nothing on to what it calls. */
static const struct needles *looked_for;
static unsigned found_in_files;

static int look_into(const char *path, const struct stat *info, int type, struct FTW *walk)
{
	(void)walk;
	if (type != FTW_F || !S_ISREG(info->st_mode) || info->st_size == 0)
		return 0;
	size_t len = (size_t)info->st_size;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *bytes = fd < 0 ? MAP_FAILED : mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
	if (fd >= 0)
		close(fd);
	if (bytes == MAP_FAILED)
		return -1;
	unsigned found = needles_in_bytes(looked_for, bytes, len);
	if (found > 0)
		print_message("%s: %u\n", path, found);
	found_in_files += found;
	return munmap(bytes, len);
}

unsigned needles_in_folder(const struct needles *needles, const char *folder)
{
	looked_for = needles;
	found_in_files = 0;
	assert_int_equal(nftw(folder, look_into, 16, FTW_PHYS), 0);
	return found_in_files;
}
