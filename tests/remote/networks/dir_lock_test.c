/* dir: its folders' locks, between one that holds a lock and one that comes: it waits, and what it compares
 * is what it finds when the lock is its own. No threads have to meet for it: the second one's flock itself
 * lets the first one finish. */
#include "tests/remote/networks/cm.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/error.h"
#include "tests/remote/networks/calls.h"
#include "tests/remote/networks/dir_side.h"
#include "tests/remote/networks/suite.h"

enum { RECORD = 3000 };

/* Another process of the network, that holds a folder's lock. */
struct holder {
	int lock;
	char path[NET_URL + 128], aside[NET_URL + 128]; /* of the record, and of one that it puts there */
	unsigned waited;                                /* so many came, and found the lock taken */
};

static void holder_begin(struct holder *h, const struct net_side *side, const struct ps_pad_name *name)
{
	const char *root = dir_path_of(side);
	char file[1 + 2 * PS_PAD_NAME], lock[NET_URL + 128];
	for (size_t i = 0; i < PS_PAD_NAME; i++)
		snprintf(file + 2 * i, 3, "%02x", name->bytes[i]);
	*h = (struct holder){.lock = -1};
	snprintf(h->path, sizeof(h->path), "%s/%.2s/%s", root, file, file);
	snprintf(h->aside, sizeof(h->aside), "%s-aside", root);
	snprintf(lock, sizeof(lock), "%s/%.2s/lock", root, file);
	h->lock = open(lock, O_RDWR | O_CLOEXEC);
	assert_true(h->lock >= 0);
}

static void holder_lock(struct holder *h, void (*before)(void *arg))
{
	assert_int_equal(flock(h->lock, LOCK_EX), 0);
	calls_before_waiting(before, h);
}

static void holder_end(struct holder *h)
{
	calls_before_waiting(NULL, NULL);
	assert_int_equal(close(h->lock), 0);
}

/* Its own record is in place when it gives the lock back. In a thread of the network's: asserts nothing. */
static void put_and_unlock(void *arg)
{
	struct holder *h = arg;
	h->waited++;
	(void)rename(h->aside, h->path);
	(void)flock(h->lock, LOCK_UN);
}

static void settle_and_unlock(void *arg)
{
	struct holder *h = arg;
	h->waited++;
	(void)!pwrite(h->lock, "0", 1, 0);
	(void)flock(h->lock, LOCK_UN);
}

static enum ps_outcome write_on(struct net_side *side, enum ps_net_op op, const struct ps_pad_name *name)
{
	if (op == PS_NET_CREATE)
		return net_create(side->client, name, net_identity(1, 1), RECORD);
	if (op == PS_NET_REPLACE)
		return net_replace(side->client, name, net_identity(1, 0), net_identity(2, 1), RECORD);
	return net_remove(side->client, name, net_identity(1, 0));
}

/* It would have passed before the lock was its own; the other's record stays. */
static void a_write_waits_for_the_lock_and_compares_under_it(void **state)
{
	struct net_side *side = *state;
	for (enum ps_net_op op = PS_NET_CREATE; op <= PS_NET_REMOVE; op++) {
		struct ps_pad_name name = net_name(op);
		struct holder h;
		holder_begin(&h, side, &name);
		assert_int_equal(net_create(side->client, &name, net_identity(5, 2), RECORD), PS_NET_DONE);
		assert_int_equal(rename(h.path, h.aside), 0);
		if (op != PS_NET_CREATE)
			assert_int_equal(net_create(side->client, &name, net_identity(1, 0), RECORD),
			                 PS_NET_DONE);
		holder_lock(&h, put_and_unlock);
		assert_int_equal(write_on(side, op, &name), PS_NET_CONFLICT);
		assert_int_equal(h.waited, 1);
		holder_end(&h);
		net_expect(side->client, &name, net_identity(5, 2), RECORD);
	}
}

/* The mark says that a change may not last yet; its writer lives, and is waited for. */
static void a_reader_waits_for_the_writer_that_is_at_it(void **state)
{
	struct net_side *side = *state;
	struct ps_pad_name name = net_name(0);
	struct ps_pad_identity there;
	uint64_t size;
	struct holder h;
	holder_begin(&h, side, &name);
	assert_int_equal(net_create(side->client, &name, net_identity(1, 0), RECORD), PS_NET_DONE);
	assert_int_equal(pwrite(h.lock, "1", 1, 0), 1);
	holder_lock(&h, settle_and_unlock);
	assert_int_equal(net_head(side->client, &name, &there, &size), PS_NET_DONE);
	assert_int_equal(h.waited, 1);
	holder_lock(&h, settle_and_unlock);
	assert_int_equal(net_head(side->client, &name, &there, &size), PS_NET_DONE);
	assert_int_equal(h.waited, 1); /* without the mark nobody waits */
	holder_end(&h);
}

/* dir_lock_test FOLDER */
int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    NET_TEST(a_write_waits_for_the_lock_and_compares_under_it),
	    NET_TEST(a_reader_waits_for_the_writer_that_is_at_it),
	};
	if (!dir_suite_begin("dir_lock_test", "dir locks", argc > 1 ? argv[1] : NULL))
		return 1;
	return dir_suite_end(cmocka_run_group_tests(tests, NULL, NULL));
}
