/* Names as paths: back again exactly, no two with one path, none that leads out of the folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "remote/file_names.h"

static void path_is(const char *name, const char *should)
{
	char path[PS_FILE_NAMES_PATH], back[PS_FILE_NAMES_KEY];

	ps_file_path_of_name(name, path);
	assert_string_equal(path, should);
	assert_true(ps_file_name_of_path(path, back));
	assert_string_equal(back, name);
}

static void names_have_the_paths_that_one_would_expect(void **state)
{
	(void)state;
	path_is("notes.txt", "notes.txt");
	path_is("photos/2026/a b.jpg", "photos/2026/a b.jpg");
	path_is(".hidden/..twice/...", ".hidden/..twice/...");
	path_is("100%", "100%25");
	path_is("a\nb\x1b", "a%0Ab%1B");
	path_is("\xc3\xa9\xff", "\xc3\xa9\xff");
}

static void what_would_lead_elsewhere_is_written_otherwise(void **state)
{
	(void)state;
	path_is("..", "%2E.");
	path_is(".", "%2E");
	path_is("../../etc/passwd", "%2E./%2E./etc/passwd");
	path_is("/etc/passwd", "%/etc/passwd");
	path_is("a//b/", "a/%/b/%");
	path_is("/", "%/%");
	path_is(".padstone-0123456789abcdef.tmp", "%2Epadstone-0123456789abcdef.tmp");
}

/* Components that a file system holds, none of them empty, "." or "..". */
static void check_components(const char *path)
{
	while (*path != '\0') {
		size_t len = strcspn(path, "/");

		assert_in_range(len, 1, 253);
		assert_false(len == 1 && path[0] == '.');
		assert_false(len == 2 && memcmp(path, "..", 2) == 0);
		path += len;
		path += *path == '/';
		assert_true(*path != '\0' || path[-1] != '/');
	}
}

static void long_components_go_on_in_folders(void **state)
{
	char name[PS_FILE_NAMES_KEY], path[PS_FILE_NAMES_PATH], back[PS_FILE_NAMES_KEY];

	(void)state;
	for (size_t len = 230; len < PS_FILE_NAMES_KEY; len++) {
		memset(name, len % 3 ? 'x' : '%', len);
		name[len] = '\0';
		/* A rest that would mean the folder above. */
		if (len > 244)
			memcpy(name + 240, "..", 2);
		if (len % 3 && len > 244)
			name[242] = '\0';
		ps_file_path_of_name(name, path);
		check_components(path);
		assert_true(ps_file_name_of_path(path, back));
		assert_string_equal(back, name);
	}
}

static uint64_t next(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void any_name_comes_back(void **state)
{
	static const char hard[] = "/.%-=.padstone-\n2E/";
	char name[PS_FILE_NAMES_KEY], path[PS_FILE_NAMES_PATH], back[PS_FILE_NAMES_KEY];
	uint64_t seed = 4711;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		size_t len = 1 + (size_t)(next(&seed) % (i % 10 ? 20 : PS_FILE_NAMES_KEY - 1));

		for (size_t at = 0; at < len; at++)
			name[at] = next(&seed) % 3 ? hard[next(&seed) % (sizeof(hard) - 1)]
			                           : (char)(1 + next(&seed) % 255);
		name[len] = '\0';
		ps_file_path_of_name(name, path);
		check_components(path);
		assert_true(ps_file_name_of_path(path, back));
		assert_string_equal(back, name);
	}
}

/* Also the other way round: no path is two names', and what no export has written stands for itself. */
static void any_path_is_a_name(void **state)
{
	static const char hard[] = "%-=2E5.ax";
	char path[64], name[PS_FILE_NAMES_KEY], again[PS_FILE_NAMES_PATH];
	uint64_t seed = 815;
	unsigned literal = 0;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		size_t len = 1 + (size_t)(next(&seed) % 12);

		for (size_t at = 0; at < len; at++)
			path[at] = hard[next(&seed) % (sizeof(hard) - 1)];
		path[len] = '\0';
		assert_true(ps_file_name_of_path(path, name));
		ps_file_path_of_name(name, again);
		if (strcmp(name, path) == 0 && strcmp(again, path) != 0)
			literal++;
		else if (strlen(path) < 3 || strcmp(path + strlen(path) - 2, "%=") != 0)
			assert_string_equal(again, path);
	}
	assert_true(literal > 100);
	assert_true(ps_file_name_of_path("100%.txt", name));
	assert_string_equal(name, "100%.txt");
	assert_true(ps_file_name_of_path("a%41", name));
	assert_string_equal(name, "a%41");
	assert_true(ps_file_name_of_path("a%=/b", name));
	assert_string_equal(name, "a/b");
	memset(again, 'x', sizeof(again));
	again[PS_FILE_NAMES_KEY] = '\0';
	assert_false(ps_file_name_of_path(again, name));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(names_have_the_paths_that_one_would_expect),
	    cmocka_unit_test(what_would_lead_elsewhere_is_written_otherwise),
	    cmocka_unit_test(long_components_go_on_in_folders),
	    cmocka_unit_test(any_name_comes_back),
	    cmocka_unit_test(any_path_is_a_name),
	};

	return cmocka_run_group_tests_name("file names", tests, NULL, NULL);
}
