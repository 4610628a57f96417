#include "tests/store/backing_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const size_t sizes[SIZES] = {1, 700, 4096, 5000, 40 * K, 64 * K, 200 * K + 7, 3 * M + 11};

uint8_t byte_at(uint64_t seed, uint64_t at)
{
	uint64_t x = (seed * 0x9e3779b97f4a7c15U ^ at / 8) * 0xbf58476d1ce4e5b9U;
	return (uint8_t)(x >> (32 + at % 8));
}

uint8_t *bytes_of(uint64_t seed, size_t len)
{
	uint8_t *bytes = malloc(len + 1);
	assert_non_null(bytes);
	for (size_t i = 0; i < len; i++)
		bytes[i] = byte_at(seed, i);
	return bytes;
}

ps_id put(ps_storer *s, uint64_t seed, size_t len)
{
	ps_id id = PS_ID_NONE;
	uint8_t *bytes = bytes_of(seed, len);
	OK(ps_put(s, bytes, len, &id));
	free(bytes);
	return id;
}

void expect(ps_storer *s, ps_id id, uint64_t seed, size_t len)
{
	uint8_t *want = bytes_of(seed, len), *got = malloc(len + 1);
	size_t n = 0;
	assert_non_null(got);
	OK(ps_get(s, id, got, len, &n));
	assert_int_equal(n, len);
	assert_memory_equal(got, want, len);
	free(want);
	free(got);
}

void open_store(struct fixture *f, enum ps_open_mode mode)
{
	const struct ps_base_options options = {
	    .size = sizeof(options), .mode = (int)mode, .pin_limit = 1 << 30};
	OK(f->disk ? disk_store_open(f->disk, &options, &f->s) : ps_base_open(f->path, &options, &f->s));
	OK(copies_attach(f->copies, f->s));
}

void reopen(struct fixture *f)
{
	OK(ps_close(f->s));
	open_store(f, PS_OPEN_DEFAULT);
}

void crash(struct fixture *f)
{
	uint8_t *image = disk_store_crash(f->disk, f->s);
	free(f->image);
	f->image = image;
	open_store(f, PS_OPEN_DEFAULT);
}

static struct fixture *new_fixture(void)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	f->copies = copies_new();
	return f;
}

int set_up(void **state)
{
	struct fixture *f = new_fixture();
	f->disk = sim_disk_new(NULL, 0);
	sim_disk_set_tracing(f->disk, false);
	open_store(f, PS_OPEN_DEFAULT);
	*state = f;
	return 0;
}

int set_up_on_file(void **state)
{
	struct fixture *f = new_fixture();
	const char *folder = getenv("TMPDIR");
	(void)snprintf(f->folder, sizeof(f->folder), "%s/backing-XXXXXX",
	               folder && strlen(folder) < 40 ? folder : "/tmp");
	assert_non_null(mkdtemp(f->folder));
	(void)snprintf(f->path, sizeof(f->path), "%s/store", f->folder);
	open_store(f, PS_OPEN_DEFAULT);
	*state = f;
	return 0;
}

int tear_down(void **state)
{
	struct fixture *f = *state;
	int err = PS_OK;
	if (f->s) {
		OK(ps_check(f->s, PS_CHECK_FULL, NULL, NULL));
		err = ps_close(f->s);
	}
	if (!f->disk) {
		(void)unlink(f->path);
		(void)rmdir(f->folder);
	}
	copies_free(f->copies);
	sim_disk_free(f->disk);
	free(f->image);
	free(f);
	return err;
}

struct ps_backing_figures figures(ps_storer *s)
{
	struct ps_backing_figures f;
	OK(ps_backing_figures(s, &f));
	return f;
}

void all_away(struct fixture *f)
{
	for (unsigned i = 0; i < SIZES; i++)
		f->ids[i] = put(f->s, i, sizes[i]);
	OK(copies_push_and_evict(f->copies, f->s));
	assert_int_equal(figures(f->s).local_bytes, 0);
	assert_int_equal(figures(f->s).away_objects, SIZES);
}

void all_are_there(struct fixture *f)
{
	for (unsigned i = 0; i < SIZES; i++)
		expect(f->s, f->ids[i], i, sizes[i]);
}

void all_leave(struct fixture *f)
{
	OK(ps_backing_evict(f->s, 0, NULL, NULL, NULL));
}

void edit(uint8_t *bytes, size_t off, uint64_t seed, size_t len)
{
	for (size_t i = 0; i < len; i++)
		bytes[off + i] = byte_at(seed, i);
}

void expect_bytes(ps_storer *s, ps_id id, const uint8_t *bytes, size_t len)
{
	uint8_t *got = malloc(len + 1);
	size_t n = 0;
	assert_non_null(got);
	OK(ps_get(s, id, got, len, &n));
	assert_int_equal(n, len);
	assert_memory_equal(got, bytes, len);
	free(got);
}
