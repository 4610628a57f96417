/* What cannot be opened says why: each with its own error and sentence, and the file as it was. */
#include "tests/badinput/bad.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "store/base_format.h"

static ps_storer *none;

static void expect_refused(const char *path, int mode, int error, const char *words)
{
	struct ps_base_options options = bad_options(mode);
	ps_storer *s = NULL;
	SAYS(error, words, ps_base_open(path, &options, &s));
	assert_null(s);
	if (!strstr(ps_last_error_message(), path))
		fail_msg("no path in: %s", ps_last_error_message());
}

static void what_is_no_store_is_refused(void **state)
{
	(void)state;
	char text[30000];
	memset(text, 'x', sizeof(text));
	const size_t lengths[] = {1, 511, 512, 4096, sizeof(text)};
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		size_t size;
		bad_write_file(bad_path, text, lengths[i]);
		expect_refused(bad_path, PS_OPEN_DEFAULT, PS_EFORMAT, "not a Padstone store");
		expect_refused(bad_path, PS_OPEN_READONLY, PS_EFORMAT, "not a Padstone store");
		uint8_t *now = bad_read_file(bad_path, &size);
		assert_int_equal(size, lengths[i]);
		assert_memory_equal(now, text, size);
		free(now);
	}
	bad_write_file(bad_path, "", 0);
	expect_refused(bad_path, PS_OPEN_EXISTING, PS_EFORMAT, "empty");
	expect_refused(bad_path, PS_OPEN_READONLY, PS_EFORMAT, "empty");
}

static void what_is_no_file_is_refused(void **state)
{
	(void)state;
	expect_refused(bad_folder, PS_OPEN_DEFAULT, PS_EINVAL, "not a regular file");
	expect_refused(bad_folder, PS_OPEN_READONLY, PS_EINVAL, "not a regular file");
	expect_refused("/dev/null", PS_OPEN_DEFAULT, PS_EINVAL, "not a regular file");
	assert_int_equal(mkfifo(bad_path, 0600), 0);
	expect_refused(bad_path, PS_OPEN_DEFAULT, PS_EINVAL, "not a regular file");
	expect_refused(bad_path, PS_OPEN_READONLY, PS_EINVAL, "not a regular file");
}

static void what_is_not_there_is_not_made_unasked(void **state)
{
	(void)state;
	expect_refused(bad_path, PS_OPEN_EXISTING, PS_ENOENT, NULL);
	expect_refused(bad_path, PS_OPEN_READONLY, PS_ENOENT, NULL);
	assert_int_equal(access(bad_path, F_OK), -1);
	expect_refused(bad_name("no/store"), PS_OPEN_DEFAULT, PS_ENOENT, NULL);
	OK(ps_close(bad_open(bad_path, PS_OPEN_CREATE_NEW)));
	expect_refused(bad_path, PS_OPEN_CREATE_NEW, PS_EEXIST, NULL);
	FAILS(PS_EINVAL, ps_base_open(NULL, NULL, &none));
	FAILS(PS_EINVAL, ps_base_open(bad_path, NULL, NULL));
}

/* ---- formats ------------------------------------------------------------------------------------------- */

/* Changes all four superblocks, with right checksums. */
static void change_superblocks(void (*change)(struct disk_superblock *sb))
{
	size_t size;
	uint8_t *bytes = bad_read_file(bad_path, &size);
	for (int i = 0; i < SUPERBLOCKS; i++) {
		struct disk_superblock *sb = (void *)(bytes + superblock_offset(i));
		change(sb);
		sb->checksum = ps_set64(XXH3_64bits(sb, offsetof(struct disk_superblock, checksum)));
	}
	bad_write_file(bad_path, bytes, size);
	free(bytes);
}

static void set_version(struct disk_superblock *sb)
{
	sb->version = ps_set32(FORMAT_VERSION + 6);
}
static void set_incompatible(struct disk_superblock *sb)
{
	sb->incompatible = ps_set64(0x40);
}
static void set_readonly_compatible(struct disk_superblock *sb)
{
	sb->readonly_compatible = ps_set64(0x80);
}
static void set_compatible(struct disk_superblock *sb)
{
	sb->compatible = ps_set64(0x100);
}

static void a_newer_format_is_named(void **state)
{
	(void)state;
	OK(ps_close(bad_open(bad_path, PS_OPEN_CREATE_NEW)));
	change_superblocks(set_version);
	expect_refused(bad_path, PS_OPEN_DEFAULT, PS_EVERSION, "format 7");
	expect_refused(bad_path, PS_OPEN_READONLY, PS_EVERSION, "format 7");
}

static void features_are_respected(void **state)
{
	(void)state;
	ps_id ids[BAD_OBJECTS];
	ps_storer *s = bad_open(bad_path, PS_OPEN_CREATE_NEW);
	bad_fill(s, ids);
	OK(ps_close(s));
	change_superblocks(set_compatible);
	s = bad_open(bad_path, PS_OPEN_EXISTING);
	bad_verify(s, ids);
	OK(ps_close(s));
	change_superblocks(set_readonly_compatible);
	expect_refused(bad_path, PS_OPEN_EXISTING, PS_EVERSION, "80");
	s = bad_open(bad_path, PS_OPEN_READONLY);
	bad_verify(s, ids);
	OK(ps_close(s));
	change_superblocks(set_incompatible);
	expect_refused(bad_path, PS_OPEN_EXISTING, PS_EVERSION, "40");
	expect_refused(bad_path, PS_OPEN_READONLY, PS_EVERSION, "40");
}

/* Cut anywhere, with and without a superblock left: never a store, never a crash. */
static void a_truncated_file_is_refused(void **state)
{
	(void)state;
	ps_id ids[BAD_OBJECTS];
	size_t size;
	ps_storer *s = bad_open(bad_path, PS_OPEN_CREATE_NEW);
	bad_fill(s, ids);
	OK(ps_close(s));
	uint8_t *bytes = bad_read_file(bad_path, &size);
	for (size_t keep = 8; keep < size; keep += keep < 20000 ? 500 : 20480) {
		bad_write_file(bad_path, bytes, keep);
		expect_refused(bad_path, PS_OPEN_DEFAULT, PS_ECORRUPT, keep > 16384 ? "truncated" : NULL);
		expect_refused(bad_path, PS_OPEN_READONLY, PS_ECORRUPT, keep > 16384 ? "truncated" : NULL);
	}
	bad_write_file(bad_path, bytes, size);
	free(bytes);
	s = bad_open(bad_path, PS_OPEN_EXISTING);
	bad_verify(s, ids);
	OK(ps_close(s));
}

/* ---- options ------------------------------------------------------------------------------------------- */

static void *never(void *arg, size_t size)
{
	(void)arg, (void)size;
	return NULL;
}

static void impossible_options_are_refused(void **state)
{
	(void)state;
	struct ps_base_options good = bad_options(PS_OPEN_DEFAULT), o;
#define REFUSES(field, value)                                                                                \
	do {                                                                                                 \
		o = good;                                                                                    \
		o.field = value;                                                                             \
		SAYS(PS_EINVAL, "options", ps_base_open(bad_path, &o, &none));                               \
		assert_int_equal(access(bad_path, F_OK), -1);                                                \
	} while (0)
	REFUSES(size, 0);
	REFUSES(size, 3);
	REFUSES(size, sizeof(o) + 8);
	REFUSES(size, SIZE_MAX);
	REFUSES(mode, 9);
	REFUSES(mode, -1);
	REFUSES(durability, 3);
	REFUSES(background, 3);
	REFUSES(background, -1);
	REFUSES(io, 4);
	REFUSES(memory_budget, 1000);
	REFUSES(log_bytes, 4096);
	REFUSES(log_bytes, 20001);
	REFUSES(log_bytes, (uint64_t)1 << 60);
	REFUSES(initial_bytes, 4096);
	REFUSES(initial_bytes, (64 << 10) + 1);
	REFUSES(alloc, never);
#undef REFUSES
	assert_null(none);
}

static void a_shorter_option_struct_is_an_older_one(void **state)
{
	(void)state;
	struct ps_base_options o = bad_options(PS_OPEN_CREATE_NEW);
	ps_storer *s = NULL;
	o.size = offsetof(struct ps_base_options, background);
	o.background = 77; /* behind its end: not looked at */
	OK(ps_base_open(bad_path, &o, &s));
	OK(ps_close(s));
}

static void bad_descriptors_are_refused(void **state)
{
	(void)state;
	struct ps_base_options o = bad_options(PS_OPEN_DEFAULT);
	OK(ps_close(bad_open(bad_path, PS_OPEN_CREATE_NEW)));
	o.use_fd = 1;
	o.fd = open(bad_path, O_RDONLY | O_CLOEXEC);
	FAILS(PS_EINVAL, ps_base_open(bad_path, &o, &none));
	close(o.fd);
	o.fd = open(bad_path, O_WRONLY | O_CLOEXEC);
	FAILS(PS_EINVAL, ps_base_open(bad_path, &o, &none));
	close(o.fd);
	FAILS(PS_EINVAL, ps_base_open(bad_path, &o, &none));
	o.fd = -1;
	FAILS(PS_EINVAL, ps_base_open(bad_path, &o, &none));
	assert_null(none);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bad_setup, bad_teardown)
	const struct CMUnitTest tests[] = {
	    TEST(what_is_no_store_is_refused),
	    TEST(what_is_no_file_is_refused),
	    TEST(what_is_not_there_is_not_made_unasked),
	    TEST(a_newer_format_is_named),
	    TEST(features_are_respected),
	    TEST(a_truncated_file_is_refused),
	    TEST(impossible_options_are_refused),
	    TEST(a_shorter_option_struct_is_an_older_one),
	    TEST(bad_descriptors_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
