/* dir: whose turn it is to write, and files that were replaced and are written over. */
#include "tests/remote/networks/cm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "tests/remote/networks/calls.h"
#include "tests/remote/networks/dir_side.h"

enum { RECORD = DIR_SIDE_RECORD, PATIENCE_S = DIR_SIDE_PATIENCE_S, MOST_CALLS = 200 };

/* ---- turns ---- */

/* A folder each, so that none waits for another's lock. */
static void submit_create(struct net_side *side, struct ps_net_request *r, unsigned number,
                          enum ps_token_class class)
{
	struct ps_pad_name name = net_name(number);
	name.bytes[0] = (uint8_t)number;
	dir_prepare(side->network, r, PS_NET_CREATE, &name);
	r->class = class;
	assert_int_equal(ps_client_submit(side->client, r), PS_OK);
}

static void await_created(struct net_side *side, struct ps_net_request *requests, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		assert_non_null(ps_client_wait(side->client, PATIENCE_S * NET_SECOND_MS));
	for (unsigned i = 0; i < count; i++) {
		net_assert_outcome(&requests[i], PS_NET_DONE);
		ps_net_buffer_release(requests[i].buffer);
	}
}

static void the_background_writes_two_at_a_time(void **state)
{
	enum { BACKGROUND = 6, ALL = 8 };
	struct net_side *side = *state;
	struct ps_net_request r[ALL];
	calls_hang(false, true);
	for (unsigned i = 0; i < BACKGROUND; i++)
		submit_create(side, &r[i], i, PS_TOKEN_BACKGROUND);
	assert_true(calls_await_hanging(2));
	for (unsigned i = BACKGROUND; i < ALL; i++)
		submit_create(side, &r[i], i, PS_TOKEN_FOREGROUND);
	assert_true(calls_await_hanging(2 + ALL - BACKGROUND));
	assert_int_equal(calls_most_hanging(), 2 + ALL - BACKGROUND);
	calls_hang(false, false);
	await_created(side, r, ALL);
}

static void what_is_called_off_before_its_turn_does_not_come(void **state)
{
	struct net_side *side = *state;
	struct ps_net_request r[3];
	calls_hang(false, true);
	for (unsigned i = 0; i < 3; i++)
		submit_create(side, &r[i], i, PS_TOKEN_BACKGROUND);
	assert_true(calls_await_hanging(2));
	for (unsigned i = 0; i < 3; i++)
		ps_client_cancel(side->client, &r[i]);
	unsigned unsent = 0;
	for (unsigned i = 0; i < 3; i++) {
		struct ps_net_request *back = ps_client_wait(side->client, PATIENCE_S * NET_SECOND_MS);
		assert_non_null(back);
		unsent += back->outcome == PS_NET_UNAVAILABLE;
		ps_net_buffer_release(back->buffer);
	}
	assert_int_equal(unsent, 1);
	calls_hang(false, false);
	net_next_client(side);
	for (unsigned i = 0; i < 3; i++) {
		struct ps_pad_identity there;
		uint64_t size;
		assert_int_equal(net_head(side->client, &r[i].name, &there, &size),
		                 r[i].outcome == PS_NET_UNAVAILABLE ? PS_NET_ABSENT : PS_NET_DONE);
	}
}

/* ---- files that were replaced ---- */

static uint64_t inode_of(const struct net_side *side, const struct ps_pad_name *name)
{
	struct stat status;
	assert_int_equal(stat(dir_file_of(side, name), &status), 0);
	return status.st_ino;
}

static void create_and_replace(struct net_side *side, const struct ps_pad_name *name, size_t len)
{
	assert_int_equal(net_create(side->client, name, net_identity(1, 0), len), PS_NET_DONE);
	assert_int_equal(net_replace(side->client, name, net_identity(1, 0), net_identity(2, 0), len),
	                 PS_NET_DONE);
}

static void a_replaced_file_is_the_next_ones(void **state)
{
	struct net_side *side = *state;
	struct net_side other;
	struct ps_pad_name a = net_name(0), b = net_name(1), longer = net_name(2);
	assert_int_equal(net_create(side->client, &a, net_identity(1, 0), RECORD), PS_NET_DONE);
	uint64_t inode = inode_of(side, &a);
	assert_int_equal(net_replace(side->client, &a, net_identity(1, 0), net_identity(2, 0), RECORD),
	                 PS_NET_DONE);
	/* Another opening leaves it alone, and what has another length has no use for it. */
	net_open_at(&other, side->url, false);
	net_close(&other);
	assert_int_equal(net_create(side->client, &longer, net_identity(1, 0), RECORD + 1), PS_NET_DONE);
	assert_int_equal(dir_leftovers(side), 1);
	assert_int_equal(net_create(side->client, &b, net_identity(1, 0), RECORD), PS_NET_DONE);
	assert_int_equal(dir_leftovers(side), 0);
	assert_int_equal(inode_of(side, &b), inode);
	net_expect(side->client, &a, net_identity(2, 0), RECORD);
	net_expect(side->client, &b, net_identity(1, 0), RECORD);
	net_expect(side->client, &longer, net_identity(1, 0), RECORD + 1);
}

static void few_files_are_kept_and_none_after_a_close(void **state)
{
	enum { REPLACED = 20, KEPT = 16 };
	struct net_side *side = *state;
	struct net_side other;
	net_open_at(&other, side->url, false);
	for (unsigned i = 0; i < REPLACED; i++) {
		struct ps_pad_name name = net_name(i);
		create_and_replace(&other, &name, RECORD + i);
	}
	assert_int_equal(dir_leftovers(side), KEPT);
	net_close(&other);
	assert_int_equal(dir_leftovers(side), 0);
}

static void who_reads_a_replaced_file_reads_on(void **state)
{
	static uint8_t before[4096 + RECORD], after[4096 + RECORD];
	struct net_side *side = *state;
	struct ps_pad_name a = net_name(0), b = net_name(1);
	assert_int_equal(net_create(side->client, &a, net_identity(1, 0), RECORD), PS_NET_DONE);
	int fd = open(dir_file_of(side, &a), O_RDONLY);
	assert_true(fd >= 0 && flock(fd, LOCK_SH) == 0);
	assert_int_equal(pread(fd, before, sizeof(before), 0), sizeof(before));
	assert_int_equal(net_replace(side->client, &a, net_identity(1, 0), net_identity(2, 0), RECORD),
	                 PS_NET_DONE);
	assert_int_equal(net_create(side->client, &b, net_identity(1, 0), RECORD), PS_NET_DONE);
	assert_int_equal(pread(fd, after, sizeof(after), 0), sizeof(after));
	assert_memory_equal(before, after, sizeof(after));
	assert_int_equal(dir_leftovers(side), 0);
	close(fd);
}

/* A reader that comes between an exchange and the next record in the old file. */
static void a_file_that_is_another_s_by_now_is_not_read(void **state)
{
	static uint8_t bytes[4096 + RECORD];
	struct net_side *side = *state;
	struct ps_pad_name name = net_name(0);
	struct ps_net_request r;
	char aside[2 * NET_URL];
	sem_t waits;
	assert_int_equal(net_create(side->client, &name, net_identity(1, 0), RECORD), PS_NET_DONE);
	int fd = open(dir_file_of(side, &name), O_RDWR);
	snprintf(aside, sizeof(aside), "%s-aside", dir_path_of(side));
	int copy = open(aside, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_int_equal(pread(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_int_equal(write(copy, bytes, sizeof(bytes)), sizeof(bytes));
	dir_listen_for_waits(&waits);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	dir_prepare(side->network, &r, PS_NET_GET, &name);
	assert_int_equal(ps_client_submit(side->client, &r), PS_OK);
	dir_await_wait(&waits);
	memset(bytes, 0x5a, sizeof(bytes));
	assert_int_equal(rename(aside, dir_file_of(side, &name)), 0);
	assert_int_equal(pwrite(fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	close(fd);
	close(copy);
	assert_ptr_equal(ps_client_wait(side->client, PATIENCE_S * NET_SECOND_MS), &r);
	net_assert_outcome(&r, PS_NET_DONE);
	assert_true(net_is_whole(&r));
	ps_net_buffer_release(r.buffer);
	calls_before_waiting(NULL, NULL);
	sem_destroy(&waits);
}

/* A power cut may give the record its old file back. */
static void an_exchange_that_may_not_last_leaves_no_file_to_write_to(void **state)
{
	struct net_side *side = *state;
	for (unsigned nth = 1; nth < MOST_CALLS; nth++) {
		struct ps_pad_name name = net_name(nth);
		assert_int_equal(net_create(side->client, &name, net_identity(1, 0), RECORD), PS_NET_DONE);
		calls_arm(CALLS_FAIL, nth, EIO, false);
		enum ps_outcome outcome =
		    net_replace(side->client, &name, net_identity(1, 0), net_identity(2, 0), RECORD);
		(void)calls_disarm();
		if (strcmp(calls_last(), "fsync") != 0)
			continue;
		assert_int_equal(dir_leftovers(side), 0);
		assert_int_equal(outcome, PS_NET_UNKNOWN);
		return;
	}
	fail_msg("nothing was flushed");
}

/* dir_writes_test FOLDER */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    NET_TEST(the_background_writes_two_at_a_time),
	    NET_TEST(what_is_called_off_before_its_turn_does_not_come),
	    NET_TEST(a_replaced_file_is_the_next_ones),
	    NET_TEST(few_files_are_kept_and_none_after_a_close),
	    NET_TEST(who_reads_a_replaced_file_reads_on),
	    NET_TEST(a_file_that_is_another_s_by_now_is_not_read),
	    NET_TEST(an_exchange_that_may_not_last_leaves_no_file_to_write_to),
	};
	if (!dir_suite_begin("dir_writes_test", "dir writes", argc > 1 ? argv[1] : NULL))
		return 1;
	return dir_suite_end(cmocka_run_group_tests(tests, NULL, NULL));
}
