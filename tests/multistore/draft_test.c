/* A clone, and a backup, are drafts until they have their own names: each is flushed once, behind its last
 * write, then renamed, and its folder is synced behind that. So the calls that reach the kernel say. */
#include <fcntl.h>
#include <liburing.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/multistore/push_fixture.h"

/* ---- what becomes of the draft, by way of the linker's --wrap ---- */

enum stage { NOTHING, WRITTEN, FLUSHED, NAMED, SYNCED };
static _Atomic(enum stage) stage;
static atomic_uint writes, flushes, growths;

static bool is_draft(int fd)
{
	char link[64], path[512] = "";
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return readlink(link, path, sizeof(path) - 1) > 0 && strstr(path, ".partial-");
}

static void note_change(int fd)
{
	if (!is_draft(fd))
		return;
	atomic_fetch_add(&writes, 1);
	atomic_store(&stage, WRITTEN);
}

static void note_growth(int fd)
{
	note_change(fd);
	atomic_fetch_add(&growths, is_draft(fd));
}

static void note_flush(int fd)
{
	struct stat status;
	if (is_draft(fd)) {
		assert_int_equal(atomic_load(&stage), WRITTEN);
		atomic_fetch_add(&flushes, 1);
		atomic_store(&stage, FLUSHED);
	} else if (atomic_load(&stage) == NAMED && fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
		atomic_store(&stage, SYNCED);
	}
}

#define NOTED(result, name, note, parameters, arguments)                                                     \
	result __real_##name parameters;                                                                     \
	result __wrap_##name parameters;                                                                     \
	result __wrap_##name parameters                                                                      \
	{                                                                                                    \
		note(fd);                                                                                    \
		return __real_##name arguments;                                                              \
	}

NOTED(ssize_t, pwritev2, note_change, (int fd, const struct iovec *part, int parts, off_t at, int flags),
      (fd, part, parts, at, flags))
NOTED(int, ftruncate, note_change, (int fd, off_t len), (fd, len))
NOTED(int, fallocate, note_growth, (int fd, int mode, off_t from, off_t len), (fd, mode, from, len))
NOTED(int, fdatasync, note_flush, (int fd), (fd))
NOTED(int, fsync, note_flush, (int fd), (fd))

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring)
{
	for (unsigned i = ring->sq.sqe_head; i != ring->sq.sqe_tail; i++) {
		const struct io_uring_sqe *sqe = &ring->sq.sqes[i & *ring->sq.kring_mask];
		if (sqe->opcode == IORING_OP_WRITE)
			note_change(sqe->fd);
	}
	return __real_io_uring_submit(ring);
}

int __real_renameat2(int from, const char *old, int to, const char *name, unsigned flags);
int __wrap_renameat2(int from, const char *old, int to, const char *name, unsigned flags);
int __wrap_renameat2(int from, const char *old, int to, const char *name, unsigned flags)
{
	if (strstr(old, ".partial-")) {
		assert_int_equal(atomic_load(&stage), FLUSHED);
		atomic_store(&stage, NAMED);
	}
	return __real_renameat2(from, old, to, name, flags);
}

/* ---- the calls that make one ---- */

static void begin(void)
{
	atomic_store(&stage, NOTHING);
	atomic_store(&writes, 0);
	atomic_store(&flushes, 0);
	atomic_store(&growths, 0);
}

static void expect_order(void)
{
	assert_int_equal(atomic_load(&stage), SYNCED);
	assert_int_equal(atomic_load(&flushes), 1);
	assert_true(atomic_load(&writes) > 8);
}

static void a_clone_is_flushed_once(void **state)
{
	static const int methods[] = {PS_BASE_IO_AUTO, PS_BASE_IO_POSIX, PS_BASE_IO_BUFFERED};
	struct world w;
	(void)state;
	world_new(&w, "mem", 31);
	change_some(&w, 40);
	(void)push_now(&w);
	for (unsigned i = 0; i < 2 * sizeof(methods) / sizeof(*methods); i++) {
		struct ps_base_options base = stack_base();
		struct ps_clone_options options = {.size = sizeof(options), .base = &base, .lazy = i % 2};
		char path[300];
		base.io = methods[i / 2];
		snprintf(path, sizeof(path), "%s/clone-%u", w.b->folder, i);
		begin();
		assert_ok(ps_clone(w.b->r, path, &options, NULL));
		expect_order();
		assert_int_equal(unlink(path), 0);
	}
	world_free(&w);
}

static void a_backup_is_flushed_once(void **state)
{
	struct world w;
	char path[300];
	(void)state;
	world_new(&w, "mem", 32);
	change_some(&w, 40);
	snprintf(path, sizeof(path), "%s/backup", w.b->folder);
	begin();
	assert_ok(ps_backup(w.s, path, NULL, NULL));
	expect_order();
	assert_int_equal(unlink(path), 0);
	world_free(&w);
}

/* The file system waits for all writes under way each time that the file grows. */
static void a_clone_grows_its_file_in_few_steps(void **state)
{
	enum { OBJECTS = 24, BYTES = 1 << 20, STEPS = 4 };
	struct world w;
	char path[300];
	uint8_t *bytes = malloc(BYTES);
	ps_id id;
	(void)state;
	assert_non_null(bytes);
	world_new(&w, "mem", 33);
	for (unsigned i = 0; i < OBJECTS; i++) {
		memset(bytes, (int)i + 1, BYTES);
		assert_ok(ps_put(w.s, bytes, BYTES, &id));
	}
	(void)push_now(&w);
	snprintf(path, sizeof(path), "%s/clone", w.b->folder);
	begin();
	assert_ok(ps_clone(w.b->r, path, NULL, NULL));
	expect_order();
	assert_in_range(atomic_load(&growths), 1, STEPS);
	assert_int_equal(unlink(path), 0);
	world_free(&w);
	free(bytes);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_clone_is_flushed_once),
	    cmocka_unit_test(a_backup_is_flushed_once),
	    cmocka_unit_test(a_clone_grows_its_file_in_few_steps),
	};
	return cmocka_run_group_tests_name("drafts", tests, NULL, NULL);
}
