/* A full disk fails one operation and nothing else: what is there stays, delete, sync, close and compact
 * work, and space that comes back is used. On the simulated disk, under a file size limit, and on a small
 * tmpfs (as root; otherwise that one is skipped, and says so). */
#include "tests/badinput/bad.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "store/base_internal.h"
#include "tests/support/sim_disk.h"

enum { MOST = 4000, FULL_BYTES = 1 << 20 };

/* Until the disk is full; how many objects there are then. */
static size_t fill_up(ps_storer *s, ps_id *ids, size_t have, size_t size)
{
	static uint8_t bytes[100000];
	int err = PS_OK;
	for (; have < MOST && err == PS_OK; have += err == PS_OK) {
		memset(bytes, (int)(have & 0xff), size);
		memcpy(bytes, &have, sizeof(have));
		err = ps_put(s, bytes, size, &ids[have]);
	}
	if (err != PS_ENOSPC || !ps_last_error_message()[0])
		fail_msg("put number %zu of %zu bytes: %s: %s", have, size, ps_error_name(err),
		         ps_last_error_message());
	return have;
}

static void expect_objects(ps_storer *s, const ps_id *ids, size_t from, size_t count)
{
	static uint8_t bytes[100000];
	for (size_t i = from; i < count; i++) {
		size_t len = 0, number;
		if (!ids[i])
			continue;
		OK(ps_get(s, ids[i], bytes, sizeof(bytes), &len));
		memcpy(&number, bytes, sizeof(number));
		assert_true(number == i && bytes[len - 1] == (uint8_t)(i & 0xff));
	}
}

static void expect_writable(ps_storer *s)
{
	struct ps_stats stats;
	OK(ps_stats(s, &stats));
	if (stats.readonly)
		fail_msg("the full disk made the store read-only: %s", stats.reason);
}

/* Every kind of call on the full disk: done, or refused for space alone. */
static void try_everything(ps_storer *s, ps_id id)
{
	static uint8_t bytes[100000];
	ps_id made;
	ps_batch *b;
	ps_writer *w;
	int err = ps_replace(s, id, bytes, sizeof(bytes));
	assert_true(err == PS_ENOSPC);
	FAILS(PS_ENOSPC, ps_write_at(s, id, 5, bytes, sizeof(bytes)));
	FAILS(PS_ENOSPC, ps_put(s, bytes, sizeof(bytes), &made));
	OK(ps_batch_begin(s, &b));
	err = ps_batch_replace(b, id, bytes, sizeof(bytes));
	if (err == PS_OK)
		err = ps_batch_commit(b, PS_DURABLE);
	else
		(void)ps_batch_abort(b);
	assert_int_equal(err, PS_ENOSPC);
	err = ps_open_writer(s, PS_ID_NONE, PS_SIZE_UNKNOWN, &w);
	for (int i = 0; err == PS_OK && i < 20; i++)
		err = ps_writer_write(w, bytes, sizeof(bytes));
	assert_int_equal(err, PS_ENOSPC);
	(void)ps_writer_abort(w);
	err = ps_alloc_run(s, 65536, 1, &made);
	assert_true(err == PS_ENOSPC);
	expect_writable(s);
}

/* Fills the store with objects of this size, then does all that must still work. The store is open still. */
static size_t full_disk(ps_storer *s, ps_id *ids, size_t size)
{
	size_t count = fill_up(s, ids, 0, size);
	assert_true(count > 5);
	expect_objects(s, ids, 0, count);
	count = fill_up(s, ids, count, 16);
	try_everything(s, ids[0]);
	expect_objects(s, ids, 0, count);
	assert_int_equal(bad_count(s), count);
	OK(ps_sync(s));
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	/* Half of it, so that whole pages come back: a new object needs one for its table leaf. */
	for (size_t i = count / 2; i < count; i++) {
		OK(ps_delete(s, ids[i]));
		ids[i] = PS_ID_NONE;
	}
	OK(ps_sync(s));
	OK(ps_compact(s, 0, NULL, NULL));
	expect_objects(s, ids, 0, count);
	ps_id again;
	OK(ps_put(s, "again", 5, &again));
	OK(ps_delete(s, again));
	expect_writable(s);
	return count;
}

static ps_storer *open_simulated(struct sim_disk *disk)
{
	ps_storer *s = NULL;
	struct ps_base_options options = bad_options(PS_OPEN_DEFAULT);
	bool created = sim_disk_size(disk) == 0;
	OK(ps_base_open_io(sim_disk_io(disk), created, &options, &s));
	return s;
}

static void one_operation_fails_and_nothing_else(void **state)
{
	(void)state;
	static ps_id ids[MOST + 1];
	const size_t sizes[] = {16, 700, 5000, 40000, 90000};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct sim_disk *disk = sim_disk_new(NULL, 0);
		sim_disk_set_tracing(disk, false);
		ps_storer *s = open_simulated(disk);
		sim_disk_limit(disk, sizes[i] < 100 ? FULL_BYTES / 8 : FULL_BYTES);
		size_t count = full_disk(s, ids, sizes[i]);
		OK(ps_close(s));
		s = open_simulated(disk);
		expect_objects(s, ids, 0, count);
		count = fill_up(s, ids, count, sizes[i]);
		/* Space comes back from outside. */
		sim_disk_limit(disk, 2 * FULL_BYTES);
		for (int n = 0; n < 3 && count < MOST; n++, count++)
			OK(ps_put(s, &count, sizeof(count), &ids[count]));
		OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
		OK(ps_close(s));
		sim_disk_free(disk);
	}
}

/* As a crash leaves it, and reopened on a disk that is still full. */
static void a_full_disk_can_be_recovered_on(void **state)
{
	(void)state;
	static ps_id ids[MOST + 1];
	struct sim_disk *disk = sim_disk_new(NULL, 0), *after;
	ps_storer *s = open_simulated(disk);
	sim_disk_limit(disk, FULL_BYTES);
	size_t count = fill_up(s, ids, 0, 5000);
	count = fill_up(s, ids, count, 16);
	uint64_t size = sim_disk_size(disk);
	uint8_t *image = malloc(size);
	if (!image)
		abort();
	sim_disk_image(disk, image);
	OK(ps_close(s));
	after = sim_disk_new(image, size);
	sim_disk_limit(after, size);
	s = open_simulated(after);
	expect_objects(s, ids, 0, count);
	OK(ps_delete(s, ids[0]));
	OK(ps_delete(s, ids[1]));
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	expect_objects(s, ids, 2, count);
	OK(ps_close(s));
	sim_disk_free(disk);
	sim_disk_free(after);
	free(image);
}

/* ---- real files ---------------------------------------------------------------------------------------- */

static int under_a_limit(void *arg)
{
	static ps_id ids[MOST + 1];
	const struct rlimit limit = {FULL_BYTES, FULL_BYTES};
	ps_storer *s = bad_open(bad_path, PS_OPEN_CREATE_NEW);
	(void)arg;
	signal(SIGXFSZ, SIG_DFL);
	if (setrlimit(RLIMIT_FSIZE, &limit))
		return 9;
	full_disk(s, ids, 5000);
	OK(ps_close(s));
	return 0;
}

static void a_file_size_limit_is_a_full_disk(void **state)
{
	(void)state;
	assert_int_equal(bad_in_child(under_a_limit, NULL), 0);
	ps_storer *s = bad_open(bad_path, PS_OPEN_EXISTING);
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	OK(ps_close(s));
}

enum { NO_MOUNT = 77 };

static int on_a_small_disk(void *arg)
{
	static ps_id ids[MOST + 1];
	char path[100];
	(void)arg;
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", bad_folder, "tmpfs", 0, "size=1m"))
		return NO_MOUNT;
	snprintf(path, sizeof(path), "%s/store", bad_folder);
	ps_storer *s = bad_open(path, PS_OPEN_CREATE_NEW);
	size_t count = full_disk(s, ids, 5000);
	OK(ps_close(s));
	s = bad_open(path, PS_OPEN_EXISTING);
	expect_objects(s, ids, 0, count);
	fill_up(s, ids, count, 5000);
	if (mount("none", bad_folder, "tmpfs", MS_REMOUNT, "size=4m"))
		return 8;
	OK(ps_put(s, ids, 30000, &ids[0]));
	OK(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	OK(ps_close(s));
	return 0;
}

static void a_small_file_system_can_be_full(void **state)
{
	(void)state;
	int result = bad_in_child(on_a_small_disk, NULL);
	if (result == NO_MOUNT) {
		print_message("a_small_file_system_can_be_full: SKIPPED, no tmpfs can be mounted\n");
		skip();
	}
	assert_int_equal(result, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, bad_setup, bad_teardown)
	const struct CMUnitTest tests[] = {
	    TEST(one_operation_fails_and_nothing_else),
	    TEST(a_full_disk_can_be_recovered_on),
	    TEST(a_file_size_limit_is_a_full_disk),
	    TEST(a_small_file_system_can_be_full),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
