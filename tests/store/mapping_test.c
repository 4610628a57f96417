/* Address space that one store leaves to the next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <padstone/padstone.h>

enum { OBJECTS = 300, SIZE = 4000 };

static const struct ps_base_options options = {
    .size = sizeof(options), .initial_bytes = 64 << 10, .log_bytes = 64 << 10};

/* A store of its own, its objects filled with one byte; 0 if all went well. */
static int fill_and_read(const char *path, int byte, size_t size)
{
	uint8_t data[SIZE], back[SIZE];
	ps_id ids[OBJECTS];
	ps_storer *s;
	size_t len;
	int err = ps_base_open(path, &options, &s);
	memset(data, byte, sizeof(data));
	for (int i = 0; i < OBJECTS && !err; i++)
		err = ps_put(s, data, size, &ids[i]);
	for (int i = 0; i < OBJECTS && !err; i++) {
		err = ps_get(s, ids[i], back, sizeof(back), &len);
		if (!err && (len != size || memcmp(data, back, len) != 0))
			err = PS_ECORRUPT;
	}
	return err ? err : ps_close(s);
}

static void make_path(char *path)
{
	strcpy(path, "mapping_test.XXXXXX");
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	unlink(path);
}

static void a_store_sees_nothing_of_the_one_before(void **state)
{
	char first[32], second[32];
	static uint8_t file[1 << 20];
	size_t found = 0;
	(void)state;
	make_path(first);
	make_path(second);
	assert_int_equal(fill_and_read(first, 0xa7, SIZE), PS_OK);
	assert_int_equal(fill_and_read(second, 0x31, 30), PS_OK);
	FILE *f = fopen(second, "re");
	assert_non_null(f);
	for (size_t n; (n = fread(file, 1, sizeof(file), f)) > 0;) {
		for (size_t i = 0; i + 8 <= n; i++)
			found += memcmp(file + i, "\xa7\xa7\xa7\xa7\xa7\xa7\xa7\xa7", 8) == 0;
	}
	assert_int_equal(found, 0);
	(void)fclose(f);
	unlink(first);
	unlink(second);
}

/* The child has none of its parent's address space for stores. */
static void a_forked_child_opens_stores_of_its_own(void **state)
{
	char first[32], second[32];
	int status;
	(void)state;
	make_path(first);
	make_path(second);
	assert_int_equal(fill_and_read(first, 1, SIZE), PS_OK);
	pid_t child = fork();
	if (child == 0)
		_exit(fill_and_read(second, 2, SIZE) == PS_OK ? 0 : 1);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(fill_and_read(second, 3, SIZE), PS_OK);
	unlink(first);
	unlink(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_store_sees_nothing_of_the_one_before),
	    cmocka_unit_test(a_forked_child_opens_stores_of_its_own),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
