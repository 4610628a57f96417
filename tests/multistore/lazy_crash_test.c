/* A lazy open that dies at any local write, of the new file or of the index of its remote: it is made again
 * by the same machine, and all is as it was. usage: lazy_crash_test [STRIDE]: only every so-manieth write;
 * else every one */
#include <fcntl.h>
#include <liburing.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/multistore/push_fixture.h"

static unsigned stride = 1;

/* ---- the calls that change a disk, by way of the linker's --wrap ---- */

static atomic_uint_fast64_t calls_left; /* 0: none dies */

static void may_die(void)
{
	if (atomic_load(&calls_left) > 0 && atomic_fetch_sub(&calls_left, 1) == 1)
		(void)raise(SIGKILL);
}

#define DIES(result, name, parameters, arguments)                                                            \
	result __real_##name parameters;                                                                     \
	result __wrap_##name parameters;                                                                     \
	result __wrap_##name parameters                                                                      \
	{                                                                                                    \
		may_die();                                                                                   \
		return __real_##name arguments;                                                              \
	}

DIES(ssize_t, write, (int fd, const void *bytes, size_t len), (fd, bytes, len))
DIES(ssize_t, pwrite, (int fd, const void *bytes, size_t len, off_t at), (fd, bytes, len, at))
DIES(ssize_t, pwritev, (int fd, const struct iovec *part, int parts, off_t at), (fd, part, parts, at))
DIES(ssize_t, pwritev2, (int fd, const struct iovec *part, int parts, off_t at, int flags),
     (fd, part, parts, at, flags))
DIES(int, fdatasync, (int fd), (fd))
DIES(int, fsync, (int fd), (fd))
DIES(int, ftruncate, (int fd, off_t len), (fd, len))
DIES(int, fallocate, (int fd, int mode, off_t from, off_t len), (fd, mode, from, len))
DIES(int, mkdir, (const char *path, mode_t mode), (path, mode))
DIES(int, mkdirat, (int folder, const char *path, mode_t mode), (folder, path, mode))
DIES(int, renameat, (int from, const char *old, int to, const char *name), (from, old, to, name))
DIES(int, renameat2, (int from, const char *old, int to, const char *name, unsigned flags),
     (from, old, to, name, flags))
DIES(int, linkat, (int from, const char *old, int to, const char *name, int flags),
     (from, old, to, name, flags))
DIES(int, unlink, (const char *path), (path))
DIES(int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags))
DIES(int, io_uring_submit, (struct io_uring * ring), (ring))

/* ---- one that dies ---- */

/* Open, one object looked at, closed. */
static int open_and_touch(struct blobs *b, const char *path, ps_id id)
{
	const struct ps_base_options base = stack_base();
	const struct ps_multi_options options = {
	    .size = sizeof(options), .remote = b->r, .log_ms = PS_LOG_OFF};
	struct ps_info info;
	ps_storer *s;
	int err = ps_multi_open_at(path, &base, &options, &s);
	if (err)
		return err;
	err = ps_info(s, id, &info);
	int closed = ps_close(s);
	return err ? err : closed;
}

/* In a process of its own; false: it came to its end before the nth call. */
static bool die_at(struct blobs *b, const char *path, ps_id id, uint64_t nth)
{
	int status;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		atomic_store(&calls_left, nth);
		int err = blobs_start(b, false);
		if (!err)
			err = open_and_touch(b, path, id);
		if (err)
			fprintf(stderr, "%s: %s\n", ps_error_name(err), ps_last_error_message());
		atomic_store(&calls_left, 0);
		_exit(err ? 1 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status))
		assert_int_equal(WEXITSTATUS(status), 0);
	else
		assert_int_equal(WTERMSIG(status), SIGKILL);
	return WIFSIGNALED(status);
}

static void expect_opens(struct blobs *b, const char *path, const struct picture *p)
{
	ps_storer *s = open_attached(b, path, PS_OPEN_DEFAULT);
	expect_picture(p, s, "after a lazy open that died");
	assert_ok(ps_check(s, PS_CHECK_FULL, NULL, NULL));
	assert_ok(ps_close(s));
}

static void a_lazy_open_that_died_is_made_again(void **state)
{
	struct world w;
	struct picture p;
	unsigned deaths = 0;
	(void)state;
	world_new(&w, "mem", 21);
	change_some(&w, 12);
	(void)push_now(&w);
	picture_take(&p, w.s);
	/* A process that is forked has only the thread that asked for it: no other one may hold a lock then.
	 */
	blobs_close(w.b);
	bool died = true;
	for (uint64_t nth = 1; died; nth += stride) {
		char path[300];
		struct blobs *b = machine_new(w.b);
		snprintf(path, sizeof(path), "%s/lazy", b->folder);
		died = die_at(b, path, p.all[0].id, nth);
		deaths += died;
		assert_ok(blobs_start_after_kill(b));
		expect_opens(b, path, &p);
		machine_free(b);
	}
	print_message("%u deaths\n", deaths);
	assert_true(deaths > 20 / stride);
	assert_ok(blobs_start(w.b, false));
	picture_free(&p);
	world_free(&w);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(a_lazy_open_that_died_is_made_again)};
	if (argc > 1)
		stride = (unsigned)atoi(argv[1]);
	return cmocka_run_group_tests_name("crashes of lazy opens", tests, NULL, NULL);
}
