#include "tests/remote/networks/cm.h"

#include "tests/remote/networks/dir_side.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/remote/networks/calls.h"

const char *dir_path_of(const struct net_side *side)
{
	return side->url + strlen("dir:");
}

char *dir_in_folder(const struct net_side *side, const char *format, const char *name)
{
	static char path[NET_URL + 128];
	char rest[128];
	snprintf(rest, sizeof(rest), format, name);
	snprintf(path, sizeof(path), "%s/%s", dir_path_of(side), rest);
	return path;
}

char *dir_file_of(const struct net_side *side, const struct ps_pad_name *name)
{
	char text[4 + 2 * PS_PAD_NAME];
	snprintf(text, sizeof(text), "%02x/", name->bytes[0]);
	for (size_t i = 0; i < PS_PAD_NAME; i++)
		snprintf(text + 3 + 2 * i, 3, "%02x", name->bytes[i]);
	return dir_in_folder(side, "%s", text);
}

unsigned dir_leftovers(const struct net_side *side)
{
	DIR *temps = opendir(dir_in_folder(side, "%s", "tmp"));
	unsigned count = 0;
	assert_non_null(temps);
	for (const struct dirent *entry = readdir(temps); entry; entry = readdir(temps))
		count += entry->d_name[0] != '.';
	closedir(temps);
	return count;
}

void dir_prepare(ps_network *n, struct ps_net_request *r, enum ps_net_op op, const struct ps_pad_name *name)
{
	*r = (struct ps_net_request){.op = op,
	                             .name = *name,
	                             .expected = net_identity(1, 0),
	                             .identity = net_identity(2, 0),
	                             .len = DIR_SIDE_RECORD,
	                             .buffer = net_buffer(n, DIR_SIDE_RECORD)};
	if (op == PS_NET_CREATE || op == PS_NET_REPLACE)
		net_fill(r->buffer, name, &r->identity, DIR_SIDE_RECORD);
}

static void say_that_it_waits(void *waits)
{
	sem_post(waits);
}

void dir_listen_for_waits(sem_t *waits)
{
	assert_int_equal(sem_init(waits, 0, 0), 0);
	calls_before_waiting(say_that_it_waits, waits);
}

void dir_await_wait(sem_t *waits)
{
	struct timespec limit;
	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += DIR_SIDE_PATIENCE_S;
	assert_int_equal(sem_timedwait(waits, &limit), 0);
}
