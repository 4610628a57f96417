/* Who else has the store: writers exclude all, readers share, a fork's child has nothing, and a reader of a
 * store that was not closed sees its log and writes nothing. */
#include "tests/badinput/bad.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

static ps_storer *none;

static void expect_busy(int mode, long pid)
{
	char words[40];
	struct ps_base_options options = bad_options(mode);
	snprintf(words, sizeof(words), "pid %ld ", pid);
	SAYS(PS_EBUSY, words, ps_base_open(bad_path, &options, &none));
	assert_null(none);
}

static void the_same_process_is_told_who_has_it(void **state)
{
	(void)state;
	ps_id ids[BAD_OBJECTS];
	ps_storer *s = bad_open(bad_path, PS_OPEN_CREATE_NEW);
	bad_fill(s, ids);
	expect_busy(PS_OPEN_DEFAULT, (long)getpid());
	expect_busy(PS_OPEN_READONLY, (long)getpid());
	bad_verify(s, ids);
	OK(ps_close(s));
	OK(ps_close(bad_open(bad_path, PS_OPEN_EXISTING)));
}

/* Opens, says so, and waits to be told to end. */
static int hold_store(const int ready[2], const int go[2])
{
	ps_id id;
	char byte = 'r';
	struct ps_base_options options = bad_options(PS_OPEN_DEFAULT);
	ps_storer *s;
	if (ps_base_open(bad_path, &options, &s) != PS_OK || ps_put(s, "x", 1, &id) != PS_OK)
		return 1;
	if (write(ready[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 1)
		return 2;
	return ps_close(s) == PS_OK ? 0 : 3;
}

static void another_process_is_told_who_has_it(void **state)
{
	(void)state;
	int ready[2], go[2], status;
	char byte;
	assert_int_equal(pipe(ready) + pipe(go), 0);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		_exit(hold_store(ready, go));
	assert_int_equal(read(ready[0], &byte, 1), 1);
	expect_busy(PS_OPEN_DEFAULT, (long)pid);
	expect_busy(PS_OPEN_READONLY, (long)pid);
	assert_int_equal(write(go[1], &byte, 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	ps_storer *s = bad_open(bad_path, PS_OPEN_EXISTING);
	assert_int_equal(bad_count(s), 1);
	OK(ps_close(s));
	for (int i = 0; i < 2; i++)
		assert_int_equal(close(ready[i]) + close(go[i]), 0);
}

/* ---- fork ---------------------------------------------------------------------------------------------- */

static int use_in_child(void *arg)
{
	ps_storer *s = arg;
	ps_id id;
	size_t n;
	char byte;
	struct ps_stats stats;
	return !(ps_put(s, "x", 1, &id) == PS_EPROCESS && ps_get(s, 1, &byte, 1, &n) == PS_EPROCESS &&
	         ps_sync(s) == PS_EPROCESS && ps_stats(s, &stats) == PS_EPROCESS &&
	         ps_last_error_message()[0] && ps_close(s) == PS_EPROCESS);
}

static void a_child_of_fork_is_refused(void **state)
{
	(void)state;
	ps_id ids[BAD_OBJECTS];
	ps_storer *s = bad_open(bad_path, PS_OPEN_CREATE_NEW);
	bad_fill(s, ids);
	assert_int_equal(bad_in_child(use_in_child, s), 0);
	bad_verify(s, ids);
	expect_busy(PS_OPEN_DEFAULT, (long)getpid());
	OK(ps_close(s));
}

/* A child that outlives the store's owner does not keep its lock. */
static void a_child_of_fork_does_not_keep_the_lock(void **state)
{
	(void)state;
	int go[2], status;
	char byte = 'g';
	assert_int_equal(pipe(go), 0);
	ps_storer *s = bad_open(bad_path, PS_OPEN_CREATE_NEW);
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0)
		_exit(read(go[0], &byte, 1) == 1 ? 0 : 1);
	OK(ps_close(s));
	OK(ps_close(bad_open(bad_path, PS_OPEN_EXISTING)));
	assert_int_equal(write(go[1], &byte, 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(close(go[0]) + close(go[1]), 0);
}

static int open_without_standard_descriptors(void *arg)
{
	(void)arg;
	ps_id id;
	ps_storer *s;
	struct ps_base_options options = bad_options(PS_OPEN_CREATE_NEW);
	options.io = PS_BASE_IO_AUTO;
	for (int fd = 0; fd < 3; fd++)
		close(fd);
	if (ps_base_open(bad_path, &options, &s) != PS_OK || ps_put(s, "x", 1, &id) != PS_OK)
		return 1;
	for (int fd = 0; fd < 3; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			return 2;
	}
	return ps_close(s) == PS_OK ? 0 : 3;
}

static void standard_descriptors_are_never_taken(void **state)
{
	(void)state;
	assert_int_equal(bad_in_child(open_without_standard_descriptors, NULL), 0);
}

/* ---- read-only ----------------------------------------------------------------------------------------- */

static void nothing_can_be_written(ps_storer *s, ps_id id)
{
	ps_id made[2] = {0, 0};
	ps_writer *w = NULL;
	ps_batch *b = NULL;
	assert_true(ps_caps(s) & PS_CAP_READONLY);
	FAILS(PS_EREADONLY, ps_put(s, "x", 1, made));
	FAILS(PS_EREADONLY, ps_replace(s, id, "x", 1));
	FAILS(PS_EREADONLY, ps_write_at(s, id, 0, "x", 1));
	FAILS(PS_EREADONLY, ps_resize(s, id, 5));
	FAILS(PS_EREADONLY, ps_delete(s, id));
	FAILS(PS_EREADONLY, ps_alloc(s, 5, made));
	FAILS(PS_EREADONLY, ps_alloc_run(s, 5, 2, made));
	FAILS(PS_EREADONLY, ps_prime(s, 5, made));
	FAILS(PS_EREADONLY, ps_write_batched(s, 1, &id, "x", &(size_t){1}));
	FAILS(PS_EREADONLY, ps_compact(s, 0, NULL, NULL));
	FAILS(PS_EREADONLY, ps_open_writer(s, PS_ID_NONE, 1, &w));
	int err = ps_batch_begin(s, &b);
	if (err == PS_OK)
		err = ps_batch_put(b, "x", 1, made);
	if (err == PS_OK)
		err = ps_batch_commit(b, PS_DURABLE);
	else if (b)
		(void)ps_batch_abort(b);
	assert_int_equal(err, PS_EREADONLY);
	assert_true(made[0] == 0 && !w);
}

static bool is_unchanged(const uint8_t *bytes, size_t size)
{
	size_t now_size;
	uint8_t *now = bad_read_file(bad_path, &now_size);
	bool same = now_size == size && memcmp(now, bytes, size) == 0;
	free(now);
	return same;
}

static int read_in_child(void *arg)
{
	struct ps_base_options options = bad_options(PS_OPEN_READONLY);
	char bytes[100];
	size_t len;
	ps_storer *s;
	return !(ps_base_open(bad_path, &options, &s) == PS_OK &&
	         ps_get(s, *(ps_id *)arg, bytes, sizeof(bytes), &len) == PS_OK && len == 100 &&
	         ps_close(s) == PS_OK);
}

/* The store's file while it is open and its last commit stands only in the log, put in its place. */
static void crash(ps_storer *s, ps_id empty)
{
	size_t size;
	struct ps_stats before, after;
	do {
		OK(ps_stats(s, &before));
		OK(ps_replace(s, empty, NULL, 0));
		OK(ps_stats(s, &after));
	} while (after.checkpoints != before.checkpoints);
	uint8_t *bytes = bad_read_file(bad_path, &size);
	OK(ps_close(s));
	bad_write_file(bad_path, bytes, size);
	free(bytes);
}

static void read_only(bool unclean)
{
	ps_id ids[BAD_OBJECTS];
	size_t size;
	struct ps_stats stats;
	ps_storer *s = bad_open(bad_path, PS_OPEN_CREATE_NEW), *other;
	bad_fill(s, ids);
	if (unclean)
		crash(s, ids[0]);
	else
		OK(ps_close(s));
	uint8_t *before = bad_read_file(bad_path, &size);
	s = bad_open(bad_path, PS_OPEN_READONLY);
	OK(ps_stats(s, &stats));
	assert_int_equal(stats.readonly, 1);
	assert_true(!unclean || stats.recovered_commits > 0);
	bad_verify(s, ids);
	nothing_can_be_written(s, ids[1]);
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	OK(ps_sync(s));
	other = bad_open(bad_path, PS_OPEN_READONLY);
	assert_int_equal(bad_in_child(read_in_child, &ids[1]), 0);
	struct ps_base_options writer = bad_options(PS_OPEN_EXISTING);
	FAILS(PS_EBUSY, ps_base_open(bad_path, &writer, &none));
	OK(ps_close(s));
	FAILS(PS_EBUSY, ps_base_open(bad_path, &writer, &none));
	bad_verify(other, ids);
	OK(ps_close(other));
	assert_true(is_unchanged(before, size));
	free(before);
	s = bad_open(bad_path, PS_OPEN_EXISTING);
	bad_verify(s, ids);
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	OK(ps_close(s));
}

static void a_closed_store_is_read_only_on_request(void **state)
{
	(void)state;
	read_only(false);
}

static void an_unclean_store_is_read_without_a_write(void **state)
{
	(void)state;
	read_only(true);
}

static int open_without_permission(void *arg)
{
	struct ps_base_options options = bad_options(PS_OPEN_EXISTING);
	ps_storer *s;
	if (geteuid() == 0 && setuid(65534) != 0)
		return 9;
	if (ps_base_open(bad_path, &options, &s) != PS_EACCES || !strstr(ps_last_error_message(), bad_path))
		return 1;
	if (ps_base_open(bad_name("new"), &(struct ps_base_options){.size = sizeof(options)}, &s) !=
	    PS_EACCES)
		return 2;
	return read_in_child(arg);
}

static void a_file_without_permission_is_for_readers(void **state)
{
	(void)state;
	ps_id ids[BAD_OBJECTS];
	ps_storer *s = bad_open(bad_path, PS_OPEN_CREATE_NEW);
	bad_fill(s, ids);
	OK(ps_close(s));
	assert_int_equal(chmod(bad_path, 0444), 0);
	assert_int_equal(chmod(bad_folder, 0555), 0);
	assert_int_equal(bad_in_child(open_without_permission, &ids[1]), 0);
	assert_int_equal(chmod(bad_folder, 0755), 0);
}

/* ---- several ------------------------------------------------------------------------------------------- */

static void several_stores_are_independent(void **state)
{
	(void)state;
	enum { STORES = 4 };
	ps_storer *s[STORES];
	ps_id ids[STORES][BAD_OBJECTS];
	char name[20];
	for (int i = 0; i < STORES; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		s[i] = bad_open(bad_name(name), PS_OPEN_CREATE_NEW);
	}
	for (int i = 0; i < STORES; i++)
		bad_fill(s[i], ids[i]);
	OK(ps_delete(s[1], ids[1][2]));
	OK(ps_close(s[2]));
	bad_verify(s[0], ids[0]);
	bad_verify(s[3], ids[3]);
	assert_int_equal(bad_count(s[1]), BAD_OBJECTS - 1);
	s[2] = bad_open(bad_name("s2"), PS_OPEN_EXISTING);
	bad_verify(s[2], ids[2]);
	for (int i = 0; i < STORES; i++)
		OK(ps_close(s[i]));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bad_setup, bad_teardown)
	const struct CMUnitTest tests[] = {
	    TEST(the_same_process_is_told_who_has_it),
	    TEST(another_process_is_told_who_has_it),
	    TEST(a_child_of_fork_is_refused),
	    TEST(a_child_of_fork_does_not_keep_the_lock),
	    TEST(standard_descriptors_are_never_taken),
	    TEST(a_closed_store_is_read_only_on_request),
	    TEST(an_unclean_store_is_read_without_a_write),
	    TEST(a_file_without_permission_is_for_readers),
	    TEST(several_stores_are_independent),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
