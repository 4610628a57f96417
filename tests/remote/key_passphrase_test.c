/* Key files under a real passphrase, with Argon2id as it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "pad_fixture.h"
#include "remote/key_file_format.h"
#include <padstone/error.h>

static char path[64];

static int path_new(void **state)
{
	int fd;

	(void)state;
	strcpy(path, "/tmp/padstone-pass-XXXXXX");
	fd = mkstemp(path);
	return fd >= 0 && close(fd) == 0 && unlink(path) == 0 ? 0 : -1;
}

static int path_gone(void **state)
{
	(void)state;
	return unlink(path);
}

static struct ps_key *make_file(const struct ps_passphrase *passphrase)
{
	struct ps_key *key = NULL;

	assert_int_equal(ps_key_new(NULL, &key), PS_OK);
	assert_int_equal(ps_key_file_create(path, key, passphrase), PS_OK);
	return key;
}

static void opens_with(const struct ps_passphrase *passphrase, const struct ps_key *key)
{
	struct ps_key *again = NULL;

	assert_int_equal(ps_key_file_read(path, passphrase, &again), PS_OK);
	assert_memory_equal(again->bytes, key->bytes, PS_KEY);
	ps_key_free(again);
}

static void only_the_right_passphrase_opens(void **state)
{
	static const struct ps_passphrase right = {"correct horse", 13}, wrong = {"correct horsf", 13},
	                                  shorter = {"correct horse", 12};
	struct ps_key *key = make_file(&right), *again = NULL;
	struct ps_key_file_info info;
	uint8_t bytes[KEY_FILE_BYTES];
	FILE *file = fopen(path, "rb");

	(void)state;
	opens_with(&right, key);
	assert_int_equal(ps_key_file_read(path, &wrong, &again), PS_EAUTH);
	assert_int_equal(ps_key_file_read(path, &shorter, &again), PS_EAUTH);
	assert_int_equal(ps_key_file_read(path, NULL, &again), PS_EAUTH);
	assert_int_equal(ps_key_file_info(path, &info), PS_OK);
	assert_true(info.passphrase);
	assert_true(info.opslimit >= 3 && info.memlimit >= 256 << 20);
	assert_non_null(file);
	assert_int_equal(fread(bytes, 1, sizeof(bytes), file), sizeof(bytes));
	fclose(file);
	assert_null(memmem(bytes, sizeof(bytes), key->bytes, 8));
	ps_key_free(key);
}

static void a_passphrase_is_set_changed_and_removed(void **state)
{
	static const struct ps_passphrase first = {"first", 5}, second = {"second", 6}, empty = {"", 0};
	struct ps_key *key = make_file(NULL), *again = NULL;

	(void)state;
	assert_int_equal(ps_key_file_read(path, &first, &again),
	                 PS_EAUTH); /* none there, though one is expected */
	assert_int_equal(ps_key_file_replace(path, key, &empty), PS_EINVAL);
	opens_with(NULL, key);
	assert_int_equal(ps_key_file_replace(path, key, &first), PS_OK);
	opens_with(&first, key);
	assert_int_equal(ps_key_file_replace(path, key, &second), PS_OK);
	assert_int_equal(ps_key_file_read(path, &first, &again), PS_EAUTH);
	opens_with(&second, key);
	assert_int_equal(ps_key_file_replace(path, key, NULL), PS_OK);
	opens_with(NULL, key);
	ps_key_free(key);
}

/* A27: what one guess costs, by the processor's own clock. */
static void a_guess_is_dear(void **state)
{
	static const struct ps_passphrase right = {"right", 5}, guess = {"guess", 5};
	struct ps_key *key = make_file(&right), *again = NULL;
	struct timespec before, after;
	struct rusage usage;
	double seconds;

	(void)state;
	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before), 0);
	assert_int_equal(ps_key_file_read(path, &guess, &again), PS_EAUTH);
	assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after), 0);
	seconds = (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9;
	assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
	printf("a guess: %.2f s, %ld MiB\n", seconds, usage.ru_maxrss >> 10);
	assert_true(usage.ru_maxrss >= 256 << 10);
	assert_true(seconds > 0.1); /* on whatever machine this runs */
	ps_key_free(key);
}

int main(void)
{
#define PASS_TEST(test) cmocka_unit_test_setup_teardown(test, path_new, path_gone)
	const struct CMUnitTest tests[] = {
	    PASS_TEST(only_the_right_passphrase_opens),
	    PASS_TEST(a_passphrase_is_set_changed_and_removed),
	    PASS_TEST(a_guess_is_dear),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
