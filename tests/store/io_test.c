/* Disk I/O on a real file, both methods. The ring's faults are made by linking in front of liburing's calls.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/io.h"

enum { BLOCK = 4096, KIND_COUNT = 2 };

static const enum ps_io_kind kinds[KIND_COUNT] = {PS_IO_POSIX, PS_IO_URING};
static struct ps_memory memory;
static char folder[64];
static char path[96];

/* Faults between the library and the kernel; all off when zero. */
static int refuse_ring;             /* io_uring_queue_init gives this */
static atomic_int refuse_submits;   /* so many submissions give -EAGAIN */
static atomic_int spoil_completion; /* 1: short, -errno: that result, for every completion seen */
static int refuse_fallocate;        /* errno */

int __real_io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags);
int __wrap_io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags);
int __wrap_io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags)
{
	return refuse_ring ? refuse_ring : __real_io_uring_queue_init(entries, ring, flags);
}

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring)
{
	if (atomic_load(&refuse_submits) > 0) {
		atomic_fetch_sub(&refuse_submits, 1);
		return -EAGAIN;
	}
	return __real_io_uring_submit(ring);
}

int __real___io_uring_get_cqe(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned submit,
                              unsigned wait, sigset_t *mask);
int __wrap___io_uring_get_cqe(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned submit,
                              unsigned wait, sigset_t *mask);
int __wrap___io_uring_get_cqe(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned submit,
                              unsigned wait, sigset_t *mask)
{
	int result = __real___io_uring_get_cqe(ring, cqe, submit, wait, mask);
	int spoil = atomic_load(&spoil_completion);
	if (result == 0 && spoil > 0 && (*cqe)->res > 512)
		(*cqe)->res = 512;
	if (result == 0 && spoil < 0)
		(*cqe)->res = spoil;
	return result;
}

int __real_fallocate(int fd, int mode, off_t offset, off_t len);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t len);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t len)
{
	if (refuse_fallocate) {
		errno = refuse_fallocate;
		return -1;
	}
	return __real_fallocate(fd, mode, offset, len);
}

static struct ps_io *open_kind(enum ps_io_kind kind, bool buffered)
{
	struct ps_io_open how = {.path = path, .fd = -1, .kind = kind, .create = true, .buffered = buffered};
	struct ps_io *io = NULL;
	bool created;
	assert_int_equal(ps_io_open(&memory, &how, &io, &created), PS_OK);
	return io;
}

static unsigned char *aligned(size_t len)
{
	void *bytes = NULL;
	assert_int_equal(posix_memalign(&bytes, BLOCK, len), 0);
	return bytes;
}

static int setup(void **state)
{
	(void)state;
	ps_memory_init(&memory, NULL);
	/* Not /tmp: that may be a tmpfs, which has no direct I/O. */
	snprintf(folder, sizeof(folder), "io_test.XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/file", folder);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	refuse_ring = refuse_fallocate = 0;
	atomic_store(&refuse_submits, 0);
	atomic_store(&spoil_completion, 0);
	(void)unlink(path);
	(void)rmdir(folder);
	size_t left = atomic_load(&memory.used);
	ps_memory_done(&memory);
	return left == 0 ? 0 : -1;
}

static void what_was_written_is_read(void **state)
{
	(void)state;
	unsigned char *out = aligned(16 * BLOCK), *in = aligned(16 * BLOCK);
	for (int k = 0; k < KIND_COUNT * 2; k++) {
		struct ps_io *io = open_kind(kinds[k / 2], k % 2);
		assert_true(!io->direct || k % 2 == 0);
		memset(out, 'a' + k, 16 * BLOCK);
		assert_int_equal(ps_io_write(io, 0, out, 16 * BLOCK, false), PS_OK);
		memset(out + BLOCK, 'A' + k, BLOCK);
		assert_int_equal(ps_io_write(io, BLOCK, out + BLOCK, BLOCK, true), PS_OK);
		assert_int_equal(io->ops->flush(io), PS_OK);
		memset(in, 0, 16 * BLOCK);
		assert_int_equal(ps_io_read(io, 0, in, 16 * BLOCK), PS_OK);
		assert_memory_equal(in, out, 16 * BLOCK);
		struct ps_io_stats stats;
		io->ops->stats(io, &stats);
		assert_int_equal(stats.writes, 2);
		assert_int_equal(stats.reads, 1);
		assert_int_equal(stats.flushes, 1);
		assert_int_equal(stats.bytes_written, 17 * BLOCK);
		io->ops->close(io);
	}
	free(out);
	free(in);
}

static void behind_the_end_reads_zeros(void **state)
{
	(void)state;
	unsigned char *in = aligned(4 * BLOCK);
	for (int k = 0; k < KIND_COUNT * 2; k++) {
		struct ps_io *io = open_kind(kinds[k / 2], k % 2);
		memset(in, 7, BLOCK);
		assert_int_equal(ps_io_write(io, 0, in, BLOCK, false), PS_OK);
		/* Also an end that is no multiple of anything. */
		assert_int_equal(io->ops->truncate(io, 1000), PS_OK);
		struct ps_io_request reads[2] = {
		    {.op = PS_IO_READ, .data = in, .len = 2 * BLOCK},
		    {.op = PS_IO_READ, .offset = 1 << 20, .data = in + 2 * BLOCK, .len = 2 * BLOCK}};
		struct ps_io_request *list[2] = {&reads[0], &reads[1]};
		memset(in, 9, 4 * BLOCK);
		io->ops->submit(io, list, 2);
		assert_int_equal(io->ops->wait(io, list[0]), PS_OK);
		assert_int_equal(io->ops->wait(io, list[1]), PS_OK);
		for (int i = 0; i < 4 * BLOCK; i++)
			assert_int_equal(in[i], i < 1000 ? 7 : 0);
		io->ops->close(io);
	}
	free(in);
}

static void sizes_are(struct ps_io *io, uint64_t bytes)
{
	uint64_t now, disk;
	assert_int_equal(io->ops->size(io, &now, &disk), PS_OK);
	assert_int_equal(now, bytes);
}

static void allocation_keeps_data_and_adds_zeros(void **state)
{
	(void)state;
	unsigned char *page = aligned(BLOCK);
	for (int k = 0; k < KIND_COUNT * 4; k++) {
		struct ps_io *io = open_kind(kinds[k / 4], k % 2);
		refuse_fallocate = k / 2 % 2 ? EOPNOTSUPP : 0;
		assert_int_equal(io->ops->truncate(io, 0), PS_OK);
		memset(page, 5, BLOCK);
		assert_int_equal(ps_io_write(io, 8 * BLOCK, page, BLOCK, false), PS_OK);
		assert_int_equal(io->ops->allocate(io, BLOCK, 31 * BLOCK), PS_OK);
		sizes_are(io, 32 * BLOCK);
		uint64_t now, disk;
		assert_int_equal(io->ops->size(io, &now, &disk), PS_OK);
		assert_true(disk >= 31 * BLOCK);
		for (uint64_t i = 0; i < 32; i++) {
			assert_int_equal(ps_io_read(io, i * BLOCK, page, BLOCK), PS_OK);
			assert_int_equal(page[0], i == 8 ? 5 : 0);
			assert_int_equal(page[BLOCK - 1], i == 8 ? 5 : 0);
		}
		refuse_fallocate = 0;
		io->ops->close(io);
	}
	free(page);
}

static void failed_allocation_leaves_the_size(void **state)
{
	(void)state;
	struct ps_io *io = open_kind(PS_IO_AUTO, false);
	assert_int_equal(io->ops->truncate(io, BLOCK), PS_OK);
	refuse_fallocate = ENOSPC;
	assert_int_equal(io->ops->allocate(io, 0, 64 * BLOCK), PS_ENOSPC);
	assert_non_null(strstr(ps_last_error_message(), path));
	refuse_fallocate = EOPNOTSUPP;
	assert_int_equal(io->ops->punch(io, 0, BLOCK), PS_ENOTSUP);
	sizes_are(io, BLOCK);
	io->ops->close(io);
}

static void hole_reads_zeros_and_keeps_the_size(void **state)
{
	(void)state;
	unsigned char *pages = aligned(4 * BLOCK);
	struct ps_io *io = open_kind(PS_IO_AUTO, false);
	memset(pages, 3, 4 * BLOCK);
	assert_int_equal(ps_io_write(io, 0, pages, 4 * BLOCK, false), PS_OK);
	assert_int_equal(io->ops->punch(io, BLOCK, 2 * BLOCK), PS_OK);
	assert_int_equal(ps_io_read(io, 0, pages, 4 * BLOCK), PS_OK);
	for (int i = 0; i < 4; i++)
		assert_int_equal(pages[i * BLOCK], i == 0 || i == 3 ? 3 : 0);
	sizes_are(io, 4 * BLOCK);
	io->ops->close(io);
	free(pages);
}

static int open_again(bool read_only, int fd, struct ps_io **io)
{
	struct ps_io_open how = {.path = path, .fd = fd, .read_only = read_only};
	bool created;
	return ps_io_open(&memory, &how, io, &created);
}

/* What an open gives in another process, which shares nothing with this one but the file. */
static int open_in_child(bool read_only)
{
	pid_t child = fork();
	if (child == 0) {
		struct ps_io *io;
		_exit(-open_again(read_only, -1, &io));
	}
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return -WEXITSTATUS(status);
}

static void second_writer_is_refused(void **state)
{
	(void)state;
	struct ps_io *other = NULL;
	struct ps_io *io = open_kind(PS_IO_AUTO, false);
	assert_int_equal(open_again(false, -1, &other), PS_EBUSY);
	assert_int_equal(open_again(true, -1, &other), PS_EBUSY);
	assert_int_equal(open_in_child(false), PS_EBUSY);
	assert_int_equal(open_in_child(true), PS_EBUSY);
	io->ops->close(io);
	assert_int_equal(open_in_child(false), PS_OK);
	assert_int_equal(open_again(false, -1, &other), PS_OK);
	other->ops->close(other);
}

static void readers_share(void **state)
{
	(void)state;
	struct ps_io *io = open_kind(PS_IO_AUTO, false);
	io->ops->close(io);
	struct ps_io *one = NULL, *two = NULL, *writer = NULL;
	assert_int_equal(open_again(true, -1, &one), PS_OK);
	assert_int_equal(open_again(true, -1, &two), PS_OK);
	assert_int_equal(open_again(false, -1, &writer), PS_EBUSY);
	assert_int_equal(open_in_child(true), PS_OK);
	assert_int_equal(open_in_child(false), PS_EBUSY);
	one->ops->close(one);
	two->ops->close(two);
	assert_int_equal(open_again(false, -1, &writer), PS_OK);
	writer->ops->close(writer);
}

static void one_descriptor_is_one_store(void **state)
{
	(void)state;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	struct ps_io *io = NULL, *other = NULL;
	assert_int_equal(open_again(false, fd, &io), PS_OK);
	assert_int_equal(open_again(false, fd, &other), PS_EBUSY);
	io->ops->close(io);
	/* The caller's descriptor is still there, and holds no lock. */
	assert_int_equal(open_in_child(false), PS_OK);
	assert_true(fcntl(fd, F_GETFD) >= 0);
	close(fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(open_again(false, fd, &io), PS_EINVAL);
	close(fd);
}

/* A child that lives on after its parent closed must not keep the store locked. */
static void lock_does_not_live_on_in_a_child(void **state)
{
	(void)state;
	for (int k = 0; k < KIND_COUNT; k++) {
		int hold[2];
		assert_int_equal(pipe(hold), 0);
		struct ps_io *io = open_kind(kinds[k], false);
		pid_t child = fork();
		if (child == 0) {
			char byte;
			close(hold[1]);
			(void)!read(hold[0], &byte, 1);
			_exit(0);
		}
		close(hold[0]);
		io->ops->close(io);
		assert_int_equal(open_in_child(false), PS_OK);
		close(hold[1]);
		assert_int_equal(waitpid(child, NULL, 0), child);
	}
}

static void open_tells_what_is_wrong(void **state)
{
	(void)state;
	struct ps_io *io = NULL;
	bool created = false;
	struct ps_io_open how = {.path = path, .fd = -1};
	assert_int_equal(ps_io_open(&memory, &how, &io, &created), PS_ENOENT);
	how.create = true;
	assert_int_equal(ps_io_open(&memory, &how, &io, &created), PS_OK);
	assert_true(created);
	struct stat made;
	assert_int_equal(stat(path, &made), 0);
	assert_int_equal(made.st_mode & 0777, 0600);
	io->ops->close(io);
	assert_int_equal(ps_io_open(&memory, &how, &io, &created), PS_OK);
	assert_false(created);
	io->ops->close(io);
	how.exclusive = true;
	assert_int_equal(ps_io_open(&memory, &how, &io, &created), PS_EEXIST);
	how = (struct ps_io_open){.path = folder, .fd = -1};
	assert_int_equal(ps_io_open(&memory, &how, &io, &created), PS_EINVAL);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	how.path = path;
	assert_int_equal(ps_io_open(&memory, &how, &io, &created), PS_EINVAL);
	how.read_only = true;
	assert_int_equal(ps_io_open(&memory, &how, &io, &created), PS_EINVAL);
}

static void refused_ring_falls_back_only_if_it_may(void **state)
{
	(void)state;
	const int refusals[] = {-ENOSYS, -EPERM, -ENOMEM};
	for (int i = 0; i < 3; i++) {
		refuse_ring = refusals[i];
		struct ps_io *io = open_kind(PS_IO_AUTO, false);
		assert_string_equal(io->ops->name, "posix");
		io->ops->close(io);
		assert_int_equal(unlink(path), 0);
		struct ps_io_open how = {.path = path, .fd = -1, .kind = PS_IO_URING, .create = true};
		bool created;
		int err = ps_io_open(&memory, &how, &io, &created);
		assert_int_equal(err, i == 2 ? PS_ENOMEM : PS_ENOTSUP);
		/* A failed open leaves no file behind. */
		assert_int_equal(access(path, F_OK), -1);
	}
	refuse_ring = 0;
	struct ps_io *io = open_kind(PS_IO_AUTO, false);
	assert_string_equal(io->ops->name, "io_uring");
	io->ops->close(io);
}

static void failed_allocation_at_open_is_an_error(void **state)
{
	(void)state;
	struct ps_io_open how = {.path = path, .fd = -1, .create = true};
	struct ps_io *io = NULL;
	bool created;
	int failures = 0;
	for (uint64_t nth = 1;; nth++) {
		ps_memory_fail_nth(nth, 0);
		int err = ps_io_open(&memory, &how, &io, &created);
		ps_memory_fail_nth(0, 0);
		if (err == PS_OK)
			break;
		assert_int_equal(err, PS_ENOMEM);
		assert_int_equal(access(path, F_OK), -1);
		failures++;
	}
	assert_true(failures >= 2);
	io->ops->close(io);
}

static int with_closed_standard_descriptors(void)
{
	close(0);
	close(1);
	close(2);
	struct ps_io_open how = {.path = path, .fd = -1, .create = true};
	struct ps_io *io;
	bool created;
	if (ps_io_open(&memory, &how, &io, &created) != PS_OK)
		return 1;
	for (int fd = 0; fd < 3; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			return 2;
	}
	_Alignas(BLOCK) char page[BLOCK] = {1};
	struct ps_io_request writes[2] = {{.op = PS_IO_WRITE, .data = page, .len = BLOCK},
	                                  {.op = PS_IO_WRITE, .offset = BLOCK, .data = page, .len = BLOCK}};
	struct ps_io_request *list[2] = {&writes[0], &writes[1]};
	io->ops->submit(io, list, 2);
	if (io->ops->wait(io, list[0]) != PS_OK || io->ops->wait(io, list[1]) != PS_OK)
		return 3;
	io->ops->close(io);
	return 0;
}

static void standard_descriptors_are_never_taken(void **state)
{
	(void)state;
	pid_t child = fork();
	if (child == 0)
		_exit(with_closed_standard_descriptors());
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int beyond_size_limit(void)
{
	for (int k = 0; k < KIND_COUNT; k++) {
		struct ps_io *io = open_kind(kinds[k], false);
		struct rlimit limit = {16 * BLOCK, RLIM_INFINITY};
		unsigned char *pages = aligned(4 * BLOCK);
		memset(pages, 1, 4 * BLOCK);
		setrlimit(RLIMIT_FSIZE, &limit);
		struct ps_io_request writes[2] = {
		    {.op = PS_IO_WRITE, .offset = 14 * BLOCK, .data = pages, .len = 4 * BLOCK},
		    {.op = PS_IO_WRITE_SYNC, .offset = 12 * BLOCK, .data = pages, .len = BLOCK}};
		struct ps_io_request *list[2] = {&writes[0], &writes[1]};
		io->ops->submit(io, list, 2);
		if (io->ops->wait(io, list[0]) != PS_ENOSPC || io->ops->wait(io, list[1]) != PS_OK)
			return 1;
		if (io->ops->allocate(io, 0, 17 * BLOCK) != PS_ENOSPC ||
		    io->ops->truncate(io, 17 * BLOCK) != PS_ENOSPC)
			return 2;
		if (io->ops->allocate(io, 0, 16 * BLOCK) != PS_OK ||
		    ps_io_write(io, 16 * BLOCK, pages, BLOCK, false) != PS_ENOSPC)
			return 3;
		/* Lower now: seen when the file is to grow. */
		limit.rlim_cur = 8 * BLOCK;
		setrlimit(RLIMIT_FSIZE, &limit);
		if (io->ops->allocate(io, 0, 12 * BLOCK) != PS_ENOSPC ||
		    ps_io_write(io, 12 * BLOCK, pages, BLOCK, false) != PS_ENOSPC)
			return 4;
		limit.rlim_cur = RLIM_INFINITY;
		setrlimit(RLIMIT_FSIZE, &limit);
		free(pages);
		io->ops->close(io);
	}
	return 0;
}

static void size_limit_is_an_error_and_no_signal(void **state)
{
	(void)state;
	pid_t child = fork();
	if (child == 0)
		_exit(beyond_size_limit());
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

enum { THREADS = 4, PER_THREAD = 300, ROUNDS = 3 };

struct worker {
	struct ps_io *io;
	unsigned number;
	unsigned wrong;
};

static void submit_all(struct worker *w, struct ps_io_request *requests, enum ps_io_op op,
                       unsigned char *bytes)
{
	struct ps_io_request *list[PER_THREAD];
	for (unsigned i = 0; i < PER_THREAD; i++) {
		uint64_t block = (uint64_t)i * THREADS + w->number;
		requests[i] = (struct ps_io_request){
		    .op = op, .offset = block * BLOCK, .data = bytes + (size_t)i * BLOCK, .len = BLOCK};
		list[i] = &requests[i];
	}
	/* In lists of different lengths, one of them a single request. */
	w->io->ops->submit(w->io, list, 1);
	w->io->ops->submit(w->io, list + 1, PER_THREAD / 2);
	w->io->ops->submit(w->io, list + 1 + PER_THREAD / 2, PER_THREAD - 1 - PER_THREAD / 2);
	/* Not in the order of submission. */
	for (unsigned i = PER_THREAD; i-- > 0;)
		w->wrong += w->io->ops->wait(w->io, &requests[i]) != PS_OK;
}

static unsigned char block_byte(unsigned thread, unsigned i, unsigned round)
{
	return (unsigned char)(1 + thread * 61 + i * 7 + round * 13);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	unsigned char *bytes = aligned((size_t)PER_THREAD * BLOCK);
	struct ps_io_request *requests = calloc(PER_THREAD, sizeof(*requests));
	for (unsigned round = 0; requests && round < ROUNDS; round++) {
		for (unsigned i = 0; i < PER_THREAD; i++)
			memset(bytes + (size_t)i * BLOCK, block_byte(w->number, i, round), BLOCK);
		submit_all(w, requests, round % 2 ? PS_IO_WRITE_SYNC : PS_IO_WRITE, bytes);
		memset(bytes, 0, (size_t)PER_THREAD * BLOCK);
		submit_all(w, requests, PS_IO_READ, bytes);
		for (unsigned i = 0; i < PER_THREAD; i++) {
			const unsigned char *block = bytes + (size_t)i * BLOCK;
			w->wrong += block[0] != block_byte(w->number, i, round) ||
			            memcmp(block, block + 1, BLOCK - 1) != 0;
		}
	}
	free(requests);
	free(bytes);
	return NULL;
}

static void run_workers(enum ps_io_kind kind)
{
	struct ps_io *io = open_kind(kind, false);
	pthread_t threads[THREADS];
	struct worker workers[THREADS];
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){.io = io, .number = i};
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(workers[i].wrong, 0);
	}
	io->ops->close(io);
}

static void threads_with_hundreds_of_requests_in_flight(void **state)
{
	(void)state;
	run_workers(PS_IO_POSIX);
	run_workers(PS_IO_URING);
}

static void short_and_interrupted_completions_are_finished(void **state)
{
	(void)state;
	const int spoils[] = {1, -EINTR, -EAGAIN, -ECANCELED};
	for (int i = 0; i < 4; i++) {
		atomic_store(&spoil_completion, spoils[i]);
		run_workers(PS_IO_URING);
	}
}

static void refused_submissions_are_carried_out_without_the_ring(void **state)
{
	(void)state;
	atomic_store(&refuse_submits, 20);
	run_workers(PS_IO_URING);
	assert_int_equal(atomic_load(&refuse_submits), 0);
	atomic_store(&refuse_submits, 1 << 30);
	run_workers(PS_IO_URING);
}

static void failed_completion_is_an_error_with_place(void **state)
{
	(void)state;
	unsigned char *pages = aligned(2 * BLOCK);
	memset(pages, 0, 2 * BLOCK);
	struct ps_io *io = open_kind(PS_IO_URING, false);
	for (int full = 0; full < 2; full++) {
		struct ps_io_request write;
		struct ps_io_request *list = &write;
		int err = PS_OK;
		atomic_store(&spoil_completion, full ? -ENOSPC : -EIO);
		/* A completion that is there before anybody waits for it is not spoilt. */
		for (int i = 0; i < 1000 && err == PS_OK; i++) {
			write = (struct ps_io_request){
			    .op = PS_IO_WRITE, .offset = 3 * BLOCK, .data = pages, .len = BLOCK};
			io->ops->submit(io, &list, 1);
			err = io->ops->wait(io, &write);
		}
		assert_int_equal(err, full ? PS_ENOSPC : PS_EIO);
		assert_int_equal(write.errnum, full ? ENOSPC : EIO);
		assert_non_null(strstr(ps_last_error_message(), "12288"));
		atomic_store(&spoil_completion, 0);
	}
	io->ops->close(io);
	free(pages);
}

/* The kernel cancels what an ending thread has in flight; another thread waits for it here. */
struct handed_over {
	struct ps_io *io;
	struct ps_io_request requests[PER_THREAD], *list[PER_THREAD];
};

static void *submit_and_leave(void *arg)
{
	struct handed_over *h = arg;
	h->io->ops->submit(h->io, h->list, PER_THREAD);
	return NULL;
}

static void requests_outlive_the_thread_that_submitted_them(void **state)
{
	(void)state;
	static struct handed_over h;
	unsigned char *bytes = aligned((size_t)PER_THREAD * BLOCK), *page = aligned(BLOCK);
	memset(bytes, 0x5a, (size_t)PER_THREAD * BLOCK);
	h.io = open_kind(PS_IO_URING, false);
	for (size_t i = 0; i < PER_THREAD; i++) {
		h.requests[i] = (struct ps_io_request){
		    .op = PS_IO_WRITE, .offset = i * BLOCK, .data = bytes + i * BLOCK, .len = BLOCK};
		h.list[i] = &h.requests[i];
	}
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, submit_and_leave, &h), 0);
	pthread_join(thread, NULL);
	for (size_t i = 0; i < PER_THREAD; i++)
		assert_int_equal(h.io->ops->wait(h.io, &h.requests[i]), PS_OK);
	for (size_t i = 0; i < PER_THREAD; i++) {
		assert_int_equal(ps_io_read(h.io, i * BLOCK, page, BLOCK), PS_OK);
		assert_int_equal(page[17], 0x5a);
	}
	h.io->ops->close(h.io);
	free(bytes);
	free(page);
}

enum { BIG = 64 * BLOCK, BIG_COUNT = 100 };

static void submit_and_be_killed(int ready, unsigned char *bytes)
{
	static struct ps_io_request requests[BIG_COUNT];
	struct ps_io_request *list[BIG_COUNT];
	struct ps_io *io = open_kind(PS_IO_URING, false);
	memset(bytes, 'z', BIG);
	for (uint64_t i = 0; i < BIG_COUNT; i++) {
		requests[i] =
		    (struct ps_io_request){.op = PS_IO_WRITE, .offset = i * BIG, .data = bytes, .len = BIG};
		list[i] = &requests[i];
	}
	io->ops->submit(io, list, BIG_COUNT);
	(void)!write(ready, "r", 1);
	for (;;)
		pause();
}

/* A killed process goes on writing what it has in flight. Its successor gets the file only after the last of
 * it. */
static void killed_writers_writes_never_land_under_the_next_owner(void **state)
{
	(void)state;
	unsigned char *bytes = aligned(BIG), byte;
	int ready[2], status;
	struct ps_io *io = open_kind(PS_IO_URING, false);
	assert_int_equal(io->ops->allocate(io, 0, (uint64_t)BIG * BIG_COUNT), PS_OK);
	io->ops->close(io);
	assert_int_equal(pipe(ready), 0);
	pid_t child = fork();
	if (child == 0)
		submit_and_be_killed(ready[1], bytes);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	kill(child, SIGKILL);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	int err;
	while ((err = open_again(false, -1, &io)) == PS_EBUSY)
		sched_yield();
	assert_int_equal(err, PS_OK);
	memset(bytes, 'n', BIG);
	for (int round = 0; round < 3; round++) {
		for (uint64_t i = 0; i < BIG_COUNT; i++) {
			if (round == 0)
				assert_int_equal(ps_io_write(io, i * BIG, bytes, BLOCK, false), PS_OK);
			assert_int_equal(ps_io_read(io, i * BIG, bytes + BLOCK, BLOCK), PS_OK);
			assert_memory_equal(bytes, bytes + BLOCK, BLOCK);
		}
	}
	io->ops->close(io);
	close(ready[0]);
	close(ready[1]);
	free(bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(what_was_written_is_read),
	    TEST(behind_the_end_reads_zeros),
	    TEST(allocation_keeps_data_and_adds_zeros),
	    TEST(failed_allocation_leaves_the_size),
	    TEST(hole_reads_zeros_and_keeps_the_size),
	    TEST(second_writer_is_refused),
	    TEST(readers_share),
	    TEST(one_descriptor_is_one_store),
	    TEST(lock_does_not_live_on_in_a_child),
	    TEST(open_tells_what_is_wrong),
	    TEST(refused_ring_falls_back_only_if_it_may),
	    TEST(failed_allocation_at_open_is_an_error),
	    TEST(standard_descriptors_are_never_taken),
	    TEST(size_limit_is_an_error_and_no_signal),
	    TEST(threads_with_hundreds_of_requests_in_flight),
	    TEST(short_and_interrupted_completions_are_finished),
	    TEST(refused_submissions_are_carried_out_without_the_ring),
	    TEST(failed_completion_is_an_error_with_place),
	    TEST(killed_writers_writes_never_land_under_the_next_owner),
	    TEST(requests_outlive_the_thread_that_submitted_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
