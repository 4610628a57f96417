/* dir: when calls fail, when its process is killed at any of them, and when others have been at its files. */
#include "tests/remote/networks/cm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "tests/remote/networks/calls.h"
#include "tests/remote/networks/dir_side.h"
#include "tests/remote/networks/suite.h"

enum { RECORD = DIR_SIDE_RECORD, MOST_CALLS = 200, NAMES = 6, INCREMENTS = 40, MOST_US = 20000 };
enum { PATIENCE_S = DIR_SIDE_PATIENCE_S };

static unsigned kills = 40;

/* Whether the name shows version 2 (or nothing, after a remove), or as before; anything else fails. */
static bool shows_new(ps_client *client, enum ps_net_op op, const struct ps_pad_name *name)
{
	struct ps_pad_identity there;
	uint64_t size;
	if (net_head(client, name, &there, &size) == PS_NET_ABSENT) {
		assert_true(op == PS_NET_CREATE || op == PS_NET_REMOVE);
		return op == PS_NET_REMOVE;
	}
	assert_true(there.counter == 1 || there.counter == 2);
	assert_true(op == PS_NET_CREATE ? there.counter == 2 : true);
	assert_false(op == PS_NET_REMOVE && there.counter == 2);
	net_expect(client, name, net_identity(there.counter, 0), RECORD);
	return there.counter == 2;
}

/* ---- the nth call fails ---- */

static void check_fault(struct net_side *side, const struct ps_net_request *r, int errnum)
{
	bool writes = ps_net_op_writes(r->op);
	bool new = writes &&shows_new(side->client, r->op, &r->name);
	const char *call = calls_last();
	if (r->outcome == PS_NET_DONE)
		assert_true(!writes || new);
	else if (r->outcome != PS_NET_UNKNOWN)
		assert_false(new);
	else
		assert_true(writes && (strcmp(call, "fsync") == 0 || strcmp(call, "renameat") == 0 ||
		                       strcmp(call, "renameat2") == 0 || strcmp(call, "unlinkat") == 0));
	if (r->outcome == PS_NET_FULL)
		assert_true(writes && errnum == ENOSPC);
	if (r->outcome == PS_NET_DENIED)
		assert_int_equal(errnum, EACCES);
	assert_true(r->outcome != PS_NET_CONFLICT && r->outcome != PS_NET_TOO_BIG);
	assert_true(r->outcome != PS_NET_ABSENT);
	if (strcmp(call, "fdatasync") == 0 && errnum)
		assert_true(r->outcome != PS_NET_DONE);
	if (strcmp(call, "pwritev") == 0 && errnum == ENOSPC)
		assert_int_equal(r->outcome, PS_NET_FULL);
	/* Interrupted is repeated where the kernel says so. */
	if (errnum == EINTR &&
	    (strcmp(call, "flock") == 0 || strcmp(call, "pread") == 0 || strcmp(call, "pwritev") == 0))
		assert_int_equal(r->outcome, PS_NET_DONE);
}

/* The number of operations until one went through without a fault. */
static unsigned fail_each_call(struct net_side *side, enum ps_net_op op, enum calls_act act, int errnum,
                               bool forever)
{
	static uint64_t number;
	for (unsigned nth = 1; nth < MOST_CALLS; nth++) {
		struct ps_pad_name name = net_name(number++);
		struct ps_net_request r;
		if (op != PS_NET_CREATE)
			assert_int_equal(net_create(side->client, &name, net_identity(1, 0), RECORD),
			                 PS_NET_DONE);
		dir_prepare(side->network, &r, op, &name);
		calls_arm(act, nth, errnum, forever);
		ps_client_call(side->client, &r);
		uint64_t count = calls_disarm();
		if (nth > count) {
			net_assert_outcome(&r, PS_NET_DONE);
			ps_net_buffer_release(r.buffer);
			return nth;
		}
		check_fault(side, &r, errnum);
		ps_net_buffer_release(r.buffer);
	}
	fail_msg("more than %d calls", MOST_CALLS);
	return 0;
}

static void every_failing_call_is_told_as_what_it_left(void **state)
{
	struct net_side *side = *state;
	static const int errors[] = {EIO, ENOSPC, EACCES, EINTR, EMFILE};
	unsigned faults = 0;
	for (enum ps_net_op op = PS_NET_GET; op <= PS_NET_REMOVE; op++) {
		for (size_t e = 0; e < sizeof(errors) / sizeof(*errors); e++) {
			faults += fail_each_call(side, op, CALLS_FAIL, errors[e], false);
			if (errors[e] != EINTR)
				faults += fail_each_call(side, op, CALLS_FAIL, errors[e], true);
		}
		faults += fail_each_call(side, op, CALLS_SHORT, 0, false);
		faults += fail_each_call(side, op, CALLS_FAIL_AFTER, EIO, false);
	}
	assert_true(faults > 300);
	print_message("%u faults\n", faults);
}

/* A name that cannot be looked at is not left out: a page is complete, or an error. */
static void a_listing_that_cannot_look_says_so(void **state)
{
	struct net_side *side = *state;
	static const int errors[] = {EIO, EACCES, EMFILE};
	struct ps_net_listed listed[3];
	unsigned faults = 0;
	for (uint64_t i = 0; i < 3; i++) {
		struct ps_pad_name name = net_name(i);
		name.bytes[0] = 0; /* the first folder is the only one that this page reads */
		assert_int_equal(net_create(side->client, &name, net_identity(1, 0), RECORD), PS_NET_DONE);
	}
	for (size_t e = 0; e < sizeof(errors) / sizeof(*errors); e++) {
		bool through = false;
		for (uint64_t nth = 1; !through; nth++) {
			struct ps_net_list list = {.listed = listed, .capacity = 3};
			struct ps_net_request r = {.op = PS_NET_LIST, .list = &list};
			calls_arm(CALLS_FAIL, nth, errors[e], false);
			ps_client_call(side->client, &r);
			through = nth > calls_disarm();
			if (through || r.outcome == PS_NET_DONE)
				assert_true(r.outcome == PS_NET_DONE && list.count == 3);
			else if (r.outcome != PS_NET_DENIED || errors[e] != EACCES)
				assert_int_equal(r.outcome, PS_NET_UNAVAILABLE);
			faults += !through;
		}
	}
	print_message("%u faults\n", faults);
	assert_true(faults > 15);
}

/* ---- killed at the nth call ---- */

static void in_child(const char *url, enum ps_net_op op, const struct ps_pad_name *name, enum calls_act act,
                     unsigned nth)
{
	struct net_side side;
	struct ps_net_request r;
	net_open_at(&side, url, false);
	dir_prepare(side.network, &r, op, name);
	calls_arm(act, nth, 0, false);
	ps_client_call(side.client, &r);
	_exit(r.outcome == PS_NET_DONE ? 0 : 2);
}

/* Whether the child was killed: false if it had fewer calls. */
static bool kill_at(struct net_side *side, enum ps_net_op op, enum calls_act act, unsigned nth,
                    uint64_t number)
{
	struct ps_pad_name name = net_name(number);
	struct net_side after;
	int status = 0;
	net_open_at(&after, side->url, false);
	if (op != PS_NET_CREATE)
		assert_int_equal(net_create(after.client, &name, net_identity(1, 0), RECORD), PS_NET_DONE);
	net_close(&after);
	pid_t pid = fork();
	if (pid == 0)
		in_child(side->url, op, &name, act, nth);
	assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
	bool killed = WIFSIGNALED(status);
	assert_true(killed ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
	net_open_at(&after, side->url, false);
	assert_int_equal(dir_leftovers(&after), 0);
	bool new = shows_new(after.client, op, &name);
	assert_true(killed || new);
	/* It can be written again at once: no lock was left behind. */
	struct ps_pad_identity there;
	uint64_t size;
	if (net_head(after.client, &name, &there, &size) == PS_NET_DONE)
		assert_int_equal(net_replace(after.client, &name, there, net_identity(3, 0), 10),
		                 PS_NET_DONE);
	else
		assert_int_equal(net_create(after.client, &name, net_identity(3, 0), 10), PS_NET_DONE);
	net_close(&after);
	return killed;
}

static void a_kill_at_any_call_leaves_old_or_new(void **state)
{
	struct net_side *side = *state;
	unsigned killed = 0;
	uint64_t number = 5000;
	/* No thread of this process may be in the way of fork. */
	ps_client_close(side->client);
	side->client = NULL;
	for (enum ps_net_op op = PS_NET_CREATE; op <= PS_NET_REMOVE; op++) {
		for (enum calls_act act = CALLS_KILL_BEFORE; act <= CALLS_KILL_AFTER; act++) {
			unsigned nth = 1;
			while (kill_at(side, op, act, nth, number++))
				nth++;
			assert_true(nth > 5);
			killed += nth - 1;
		}
	}
	print_message("%u kills\n", killed);
}

/* ---- killed at any moment ---- */

struct shared {
	_Atomic(uint64_t) acknowledged[NAMES];
	atomic_int running;
};

/* Every third is as long as others: those are written over files that were replaced. */
static size_t length_of(uint64_t counter)
{
	return counter % 3 ? 1000 + counter * 7919 % 300000 : 200000;
}

static void write_next(ps_client *client, struct ps_net_request *r)
{
	r->expected = r->identity;
	r->identity = net_identity(r->expected.counter + 1, 0);
	net_fill(r->buffer, &r->name, &r->identity, length_of(r->identity.counter));
	if (ps_client_submit(client, r) != PS_OK)
		_exit(3);
}

/* All names go on from version to version, several in flight. */
static void write_until_killed(const char *url, struct shared *shared)
{
	struct net_side side;
	struct ps_net_request r[NAMES];
	net_open_at(&side, url, false);
	for (unsigned i = 0; i < NAMES; i++) {
		uint64_t counter = atomic_load(&shared->acknowledged[i]);
		struct ps_pad_identity there;
		uint64_t size;
		r[i] = (struct ps_net_request){.op = PS_NET_REPLACE, .name = net_name(i)};
		if (net_head(side.client, &r[i].name, &there, &size) == PS_NET_DONE)
			counter = there.counter;
		r[i].identity = net_identity(counter, 0);
		r[i].buffer = net_buffer(side.network, 400000);
	}
	for (unsigned i = 0; i < NAMES; i++)
		write_next(side.client, &r[i]);
	atomic_store(&shared->running, 1);
	for (;;) {
		struct ps_net_request *done = ps_client_wait(side.client, PATIENCE_S * NET_SECOND_MS);
		if (!done || done->outcome != PS_NET_DONE)
			_exit(4);
		atomic_store(&shared->acknowledged[done - r], done->identity.counter);
		write_next(side.client, done);
	}
}

static void check_after_kill(const char *url, struct shared *shared)
{
	struct net_side side;
	net_open_at(&side, url, false);
	assert_int_equal(dir_leftovers(&side), 0);
	for (unsigned i = 0; i < NAMES; i++) {
		struct ps_pad_name name = net_name(i);
		struct ps_pad_identity there = {0};
		uint64_t size, acknowledged = atomic_load(&shared->acknowledged[i]);
		assert_int_equal(net_head(side.client, &name, &there, &size), PS_NET_DONE);
		assert_true(there.counter == acknowledged || there.counter == acknowledged + 1);
		net_expect(side.client, &name, there, length_of(there.counter));
		atomic_store(&shared->acknowledged[i], there.counter);
	}
	net_close(&side);
}

static uint64_t versions_of(struct shared *shared)
{
	uint64_t versions = 0;
	for (unsigned i = 0; i < NAMES; i++)
		versions += atomic_load(&shared->acknowledged[i]);
	return versions;
}

/* Until there are so many versions, however slow the disk is, and a moment more. */
static void let_live(pid_t pid, struct shared *shared, uint64_t until, uint64_t *random)
{
	int status;
	while ((!atomic_load(&shared->running) || versions_of(shared) < until) &&
	       waitpid(pid, &status, WNOHANG) == 0)
		usleep(100);
	usleep((useconds_t)(net_random(random) % MOST_US));
}

static void a_kill_at_any_moment_leaves_old_or_new(void **state)
{
	struct net_side *side = *state;
	struct shared *shared =
	    mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t random = net_seed;
	assert_true(shared != MAP_FAILED);
	for (unsigned i = 0; i < NAMES; i++) {
		struct ps_pad_name name = net_name(i);
		assert_int_equal(net_create(side->client, &name, net_identity(1, 0), length_of(1)),
		                 PS_NET_DONE);
		atomic_store(&shared->acknowledged[i], 1);
	}
	ps_client_close(side->client);
	side->client = NULL;
	for (unsigned life = 0; life < kills; life++) {
		int status;
		atomic_store(&shared->running, 0);
		pid_t pid = fork();
		if (pid == 0)
			write_until_killed(side->url, shared);
		let_live(pid, shared, versions_of(shared) + life % 3, &random);
		kill(pid, SIGKILL);
		assert_true(waitpid(pid, &status, 0) == pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		check_after_kill(side->url, shared);
	}
	uint64_t versions = versions_of(shared);
	print_message("%u kills, %llu versions\n", kills, (unsigned long long)versions);
	assert_true(versions > kills);
	munmap(shared, sizeof(*shared));
}

/* ---- two processes ---- */

static void increment_alone(const char *url, unsigned writer)
{
	struct net_side side;
	struct ps_pad_name name = net_name(0);
	unsigned won = 0;
	net_open_at(&side, url, false);
	while (won < INCREMENTS) {
		struct ps_pad_identity there;
		uint64_t size;
		if (net_head(side.client, &name, &there, &size) != PS_NET_DONE)
			_exit(2);
		enum ps_outcome outcome =
		    net_replace(side.client, &name, there, net_identity(there.counter + 1, writer), 5000);
		if (outcome != PS_NET_DONE && outcome != PS_NET_CONFLICT)
			_exit(3);
		won += outcome == PS_NET_DONE;
	}
	net_close(&side);
	_exit(0);
}

static void two_processes_lose_no_increment(void **state)
{
	struct net_side *side = *state;
	struct ps_pad_name name = net_name(0);
	struct ps_pad_identity there;
	uint64_t size;
	pid_t pid[2];
	assert_int_equal(net_create(side->client, &name, net_identity(1, 0), 5000), PS_NET_DONE);
	ps_client_close(side->client);
	for (unsigned i = 0; i < 2; i++) {
		pid[i] = fork();
		if (pid[i] == 0)
			increment_alone(side->url, i + 1);
	}
	for (unsigned i = 0; i < 2; i++) {
		int status;
		assert_true(waitpid(pid[i], &status, 0) == pid[i]);
		assert_int_equal(status, 0);
	}
	side->client = net_client(side->network);
	assert_int_equal(net_head(side->client, &name, &there, &size), PS_NET_DONE);
	assert_int_equal(there.counter, 1 + 2 * INCREMENTS);
}

/* ---- a rename that nobody made durable ---- */

static void what_is_told_is_durable(void **state)
{
	struct net_side *side = *state;
	struct ps_pad_name name;
	struct ps_net_request r;
	struct ps_pad_identity there;
	uint64_t size;
	unsigned nth = 0;
	/* The fsync of the folder fails behind the rename. */
	do {
		name = net_name(++nth);
		assert_true(nth < MOST_CALLS);
		assert_int_equal(net_create(side->client, &name, net_identity(1, 0), RECORD), PS_NET_DONE);
		dir_prepare(side->network, &r, PS_NET_REPLACE, &name);
		calls_arm(CALLS_FAIL, nth, EIO, false);
		ps_client_call(side->client, &r);
		calls_disarm();
		ps_net_buffer_release(r.buffer);
	} while (r.outcome != PS_NET_UNKNOWN || strcmp(calls_last(), "fsync") != 0);
	/* Where it still fails nothing is told; where it does not, it was made up for. */
	calls_arm(CALLS_PASS, 0, 0, false);
	assert_int_equal(net_head(side->client, &name, &there, &size), PS_NET_DONE);
	uint64_t with_fsync = calls_disarm();
	assert_int_equal(there.counter, 2);
	calls_arm(CALLS_PASS, 0, 0, false);
	assert_int_equal(net_head(side->client, &name, &there, &size), PS_NET_DONE);
	assert_true(calls_disarm() < with_fsync);
}

/* ---- given up before and after the step that counts ---- */

static int hold_folder(const struct net_side *side, const struct ps_pad_name *name)
{
	char text[16];
	snprintf(text, sizeof(text), "%02x/lock", name->bytes[0]);
	int lock = open(dir_in_folder(side, "%s", text), O_RDWR | O_CLOEXEC);
	assert_true(lock >= 0 && flock(lock, LOCK_EX) == 0);
	return lock;
}

static void what_was_called_off_does_not_come(void **state)
{
	struct net_side *side = *state;
	sem_t waits;
	dir_listen_for_waits(&waits);
	for (enum ps_net_op op = PS_NET_CREATE; op <= PS_NET_REMOVE; op++) {
		struct ps_pad_name name = net_name(op);
		struct ps_net_request r;
		if (op != PS_NET_CREATE)
			assert_int_equal(net_create(side->client, &name, net_identity(1, 0), RECORD),
			                 PS_NET_DONE);
		/* All is written, and the folder's lock is another's. */
		int lock = hold_folder(side, &name);
		dir_prepare(side->network, &r, op, &name);
		assert_int_equal(ps_client_submit(side->client, &r), PS_OK);
		dir_await_wait(&waits);
		assert_int_equal(dir_leftovers(side), op != PS_NET_REMOVE);
		ps_client_cancel(side->client, &r);
		assert_ptr_equal(ps_client_wait(side->client, NET_SECOND_MS), &r);
		net_assert_outcome(&r, PS_NET_UNAVAILABLE);
		ps_net_buffer_release(r.buffer);
		close(lock);
		net_next_client(side);
		assert_false(shows_new(side->client, op, &name));
		assert_int_equal(dir_leftovers(side), 0);
	}
}

/* Whoever gives it up, the caller or the clock, does so when its thread is at the rename or unlink: time-outs
 * are the client's, and nobody looks at the clock before its next call. */
static void what_may_come_is_told_unknown(void **state)
{
	struct net_side *side = *state;
	for (unsigned i = 0; i < 6; i++) {
		enum ps_net_op op = (enum ps_net_op)(PS_NET_CREATE + i / 2);
		struct ps_pad_name name = net_name(i);
		struct ps_net_request r;
		if (op != PS_NET_CREATE)
			assert_int_equal(net_create(side->client, &name, net_identity(1, 0), RECORD),
			                 PS_NET_DONE);
		dir_prepare(side->network, &r, op, &name);
		r.timeout_ms = i % 2 ? 20 : 0;
		calls_hang(false, true);
		assert_int_equal(ps_client_submit(side->client, &r), PS_OK);
		assert_true(calls_await_hanging(1));
		ps_client_cancel(side->client, i % 2 ? NULL : &r);
		assert_ptr_equal(ps_client_wait(side->client, PATIENCE_S * NET_SECOND_MS), &r);
		net_assert_outcome(&r, PS_NET_UNKNOWN);
		ps_net_buffer_release(r.buffer);
		calls_hang(false, false);
		net_next_client(side);
		assert_true(shows_new(side->client, op, &name));
	}
}

static void a_living_writer_keeps_its_file(void **state)
{
	struct net_side *side = *state;
	struct net_side other;
	struct ps_pad_name name = net_name(0);
	struct ps_net_request r;
	sem_t waits;
	dir_listen_for_waits(&waits);
	int lock = hold_folder(side, &name);
	dir_prepare(side->network, &r, PS_NET_CREATE, &name);
	assert_int_equal(ps_client_submit(side->client, &r), PS_OK);
	dir_await_wait(&waits);
	net_open_at(&other, side->url, false);
	assert_int_equal(dir_leftovers(side), 1);
	net_close(&other);
	close(lock);
	assert_ptr_equal(ps_client_wait(side->client, PATIENCE_S * NET_SECOND_MS), &r);
	net_assert_outcome(&r, PS_NET_DONE);
	ps_net_buffer_release(r.buffer);
	net_expect(side->client, &name, net_identity(2, 0), RECORD);
}

/* ---- others have been at its files ---- */

static void modes_are_the_owner_s_alone(void **state)
{
	struct net_side *side = *state;
	struct ps_pad_name name = net_name(0);
	struct stat status;
	mode_t before = umask(0);
	struct net_side other;
	char url[NET_URL];
	dir_fresh(url, sizeof(url));
	net_open_at(&other, url, false);
	assert_int_equal(net_create(other.client, &name, net_identity(1, 0), 10), PS_NET_DONE);
	umask(before);
	assert_int_equal(stat(dir_file_of(&other, &name), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(stat(dir_in_folder(&other, "%s", "00/lock"), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(stat(dir_in_folder(&other, "%s", "a7"), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0700);
	assert_int_equal(stat(dir_path_of(&other), &status), 0);
	assert_int_equal(status.st_mode & 0777, 0700);
	net_close(&other);
	(void)side;
}

static int try_open(const char *url, bool create)
{
	struct ps_network_options options = {.size = sizeof(options), .create = create};
	ps_network *n = NULL;
	int err = ps_network_open(url, &options, &n);
	ps_network_close(n);
	return err;
}

static void only_a_network_is_opened(void **state)
{
	struct net_side *side = *state;
	char url[4 * NET_URL], path[2 * NET_URL];
	snprintf(url, sizeof(url), "%s-none", side->url);
	assert_int_equal(try_open(url, false), PS_ENOENT);
	snprintf(url, sizeof(url), "%s/none/none", side->url);
	assert_int_equal(try_open(url, true), PS_ENOENT);
	snprintf(url, sizeof(url), "%s/padstone-dir", side->url);
	assert_int_equal(try_open(url, true), PS_EINVAL);
	snprintf(url, sizeof(url), "%s-foreign", side->url);
	snprintf(path, sizeof(path), "%s-foreign", dir_path_of(side));
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(try_open(url, false), PS_ENOENT);
	strcat(path, "/letter");
	assert_int_equal(close(open(path, O_CREAT | O_WRONLY, 0600)), 0);
	assert_int_equal(try_open(url, true), PS_EFORMAT);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(try_open(url, true), PS_OK);
	assert_int_equal(try_open(url, false), PS_OK);
	/* The root may be a link, as whoever names it says. */
	snprintf(path, sizeof(path), "%s-link", dir_path_of(side));
	char *absolute = realpath(dir_path_of(side), NULL);
	assert_int_equal(symlink(absolute, path), 0);
	free(absolute);
	snprintf(url, sizeof(url), "dir:%s", path);
	assert_int_equal(try_open(url, false), PS_OK);
}

static void overwrite(const char *path, off_t at, const char *text)
{
	int fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, text, strlen(text), at), strlen(text));
	close(fd);
}

static void expect_no_record(struct net_side *side, const struct ps_pad_name *name)
{
	struct ps_net_request r = {
	    .op = PS_NET_GET, .name = *name, .buffer = net_buffer(side->network, RECORD)};
	ps_client_call(side->client, &r);
	net_assert_outcome(&r, PS_NET_UNAVAILABLE);
	assert_int_equal(r.error, PS_ECORRUPT);
	ps_net_buffer_release(r.buffer);
	assert_int_equal(net_create(side->client, name, net_identity(9, 0), 10), PS_NET_CONFLICT);
	assert_int_equal(net_replace(side->client, name, net_identity(1, 0), net_identity(9, 0), 10),
	                 PS_NET_CONFLICT);
	assert_int_equal(net_remove(side->client, name, net_identity(1, 0)), PS_NET_CONFLICT);
}

static void what_is_no_record_is_neither_read_nor_overwritten(void **state)
{
	struct net_side *side = *state;
	char aside[2 * NET_URL], *absolute;
	for (uint64_t i = 0; i < 8; i++) {
		struct ps_pad_name name = net_name(i);
		assert_int_equal(net_create(side->client, &name, net_identity(1, 0), RECORD), PS_NET_DONE);
		char *path = dir_file_of(side, &name);
		switch (i) {
		case 0:
			assert_int_equal(truncate(path, 4096 + RECORD - 1), 0);
			break;
		case 1:
			assert_int_equal(truncate(path, 0), 0);
			break;
		case 2:
			assert_int_equal(truncate(path, 4096 + RECORD + 1), 0);
			break;
		case 3:
			overwrite(path, 20, "x");
			break;
		case 4:
			overwrite(path, 0, "padstone");
			break;
		case 5:
			/* To what is a record elsewhere. */
			snprintf(aside, sizeof(aside), "%s-aside", dir_path_of(side));
			assert_int_equal(rename(path, aside), 0);
			absolute = realpath(aside, NULL);
			assert_int_equal(symlink(absolute, path), 0);
			free(absolute);
			break;
		case 6:
			assert_true(unlink(path) == 0 && mkfifo(path, 0600) == 0);
			break;
		default:
			assert_true(unlink(path) == 0 && mkdir(path, 0700) == 0);
		}
		expect_no_record(side, &name);
	}
}

static void a_folder_that_leads_elsewhere_is_not_followed(void **state)
{
	struct net_side *side = *state;
	struct ps_pad_name name = net_name(0);
	char name_of_folder[3], path[2 * NET_URL], away[2 * NET_URL];
	snprintf(name_of_folder, sizeof(name_of_folder), "%02x", name.bytes[0]);
	snprintf(path, sizeof(path), "%s", dir_in_folder(side, "%s", name_of_folder));
	snprintf(away, sizeof(away), "%s-away", dir_path_of(side));
	assert_int_equal(rename(path, away), 0);
	char *absolute = realpath(away, NULL);
	assert_int_equal(symlink(absolute, path), 0);
	free(absolute);
	assert_int_equal(net_create(side->client, &name, net_identity(1, 0), 10), PS_NET_UNAVAILABLE);
	struct ps_pad_identity there;
	uint64_t size;
	assert_int_equal(net_head(side->client, &name, &there, &size), PS_NET_UNAVAILABLE);
	/* Nor is a missing folder an empty one. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(net_head(side->client, &name, &there, &size), PS_NET_UNAVAILABLE);
	assert_int_equal(net_create(side->client, &name, net_identity(1, 0), 10), PS_NET_UNAVAILABLE);
	assert_int_equal(rename(away, path), 0);
	net_expect_absent(side->client, &name);
}

static void only_dead_writers_lose_their_files(void **state)
{
	struct net_side *side = *state;
	struct net_side other;
	int dead = open(dir_in_folder(side, "%s", "tmp/0123-1"), O_CREAT | O_WRONLY, 0600);
	int alive = open(dir_in_folder(side, "%s", "tmp/0123-2"), O_CREAT | O_WRONLY, 0600);
	assert_true(dead >= 0 && alive >= 0 && flock(alive, LOCK_EX) == 0);
	close(dead);
	net_open_at(&other, side->url, true);
	assert_int_equal(dir_leftovers(side), 2);
	net_close(&other);
	net_open_at(&other, side->url, false);
	assert_int_equal(dir_leftovers(side), 1);
	assert_int_equal(access(dir_in_folder(side, "%s", "tmp/0123-2"), F_OK), 0);
	net_close(&other);
	close(alive);
	net_open_at(&other, side->url, false);
	assert_int_equal(dir_leftovers(side), 0);
	net_close(&other);
}

/* dir_fault_test FOLDER [kills] [seed] */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    NET_TEST(every_failing_call_is_told_as_what_it_left),
	    NET_TEST(a_listing_that_cannot_look_says_so),
	    NET_TEST(a_kill_at_any_call_leaves_old_or_new),
	    NET_TEST(a_kill_at_any_moment_leaves_old_or_new),
	    NET_TEST(two_processes_lose_no_increment),
	    NET_TEST(what_is_told_is_durable),
	    NET_TEST(what_was_called_off_does_not_come),
	    NET_TEST(what_may_come_is_told_unknown),
	    NET_TEST(a_living_writer_keeps_its_file),
	    NET_TEST(modes_are_the_owner_s_alone),
	    NET_TEST(only_a_network_is_opened),
	    NET_TEST(what_is_no_record_is_neither_read_nor_overwritten),
	    NET_TEST(a_folder_that_leads_elsewhere_is_not_followed),
	    NET_TEST(only_dead_writers_lose_their_files),
	};
	if (!dir_suite_begin("dir_fault_test", "dir faults", argc > 1 ? argv[1] : NULL))
		return 1;
	kills = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : kills;
	net_seed = argc > 3 ? strtoull(argv[3], NULL, 0) : net_seed;
	print_message("seed %llu\n", (unsigned long long)net_seed);
	return dir_suite_end(cmocka_run_group_tests(tests, NULL, NULL));
}
