#include "tests/remote/networks/cm.h"

#include "tests/remote/networks/dir_side.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/remote/networks/calls.h"

static char folder[64];

/* Called with 0 at the end of each test: one that failed leaves nothing hanging for the next. */
static void release(const char *url, unsigned ops)
{
	(void)url, (void)ops;
	calls_disarm();
	calls_hang(false, false);
	calls_before_waiting(NULL, NULL);
}

bool dir_suite_begin(const char *program, const char *name, const char *where)
{
	static struct networks_suite suite = {.fresh = dir_fresh, .hang = release};
	suite.name = name;
	net_suite = &suite;
	net_seed = 1;
	snprintf(folder, sizeof(folder), "%s/%s.XXXXXX", where && access(where, W_OK) == 0 ? where : ".",
	         program);
	return mkdtemp(folder);
}

int dir_suite_end(int status)
{
	char command[96];
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command) == 0 ? status : 1;
}

void dir_fresh(char *url, size_t size)
{
	static unsigned number;
	snprintf(url, size, "dir:%s/%u", folder, number++);
}

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
