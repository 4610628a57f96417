/* The base store under a layer that lets all contents leave all the time, and with the argument `unknown` as one that knows nothing after
 * each open: no call tells the difference. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <padstone/base_store.h>

#include "tests/conformance/conformance.h"
#include "tests/support/evicting.h"

enum { PUSH_ONE_IN = 4 };

/* Kept over opens. */
static struct copies *copies;

/* A file in memory: a push flushes four times. */
static int file = -1;

/* What is there at an open is lost, and only its copy is left. */
static bool unknown;

/* Fewer would mean that hardly anything has left. */
enum { FETCHES_MIN = 1000 };
static unsigned fetches;

static void forget_copies(void)
{
	if (copies)
		fetches += copies_counts(copies).fetches;
	copies_free(copies);
	copies = NULL;
}

static int open_base(ps_storer **base)
{
	char path[32];
	const struct ps_base_options options = {.size = sizeof(options),
	                                        .durability = PS_RELAXED,
	                                        .background = PS_BACKGROUND_NONE,
	                                        .io = PS_BASE_IO_BUFFERED,
	                                        .pin_limit = 1 << 30};
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	return ps_base_open(path, &options, base);
}

static void empty_file(void)
{
	if (ftruncate(file, 0))
		abort();
}

/* So many ids are gone: their slots are the first that an open may touch. */
static int use_some_ids(ps_storer *base)
{
	int err = PS_OK;
	for (unsigned i = 0; i < 300 && !err; i++) {
		ps_id id;
		err = ps_put(base, "gone", 4, &id);
		if (!err && i % 2)
			err = ps_delete(base, id);
		else if (!err)
			err = ps_replace(base, id, "soon", 4);
		if (!err && i % 2 == 0)
			err = ps_delete(base, id);
	}
	return err;
}

static int lose(bool fresh)
{
	ps_storer *base;
	int err = open_base(&base);
	if (!err && fresh)
		err = use_some_ids(base);
	if (!err)
		err = copies_attach(copies, base);
	if (!err)
		err = copies_push(copies, base);
	if (!err)
		err = ps_close(base);
	empty_file();
	if (!err)
		err = open_base(&base);
	if (!err)
		err = copies_restore_rest(copies, base);
	return err ? err : ps_close(base);
}

static int open_evicting(void *arg, bool fresh, ps_storer **s)
{
	ps_storer *base;
	(void)arg;
	if (fresh) {
		empty_file();
		forget_copies();
		copies = copies_new();
	}
	int err = unknown ? lose(fresh) : PS_OK;
	if (!err)
		err = open_base(&base);
	return err ? err : evicting_open(base, copies, PUSH_ONE_IN, s);
}

int main(int argc, char **argv)
{
	unknown = argc > 1 && strcmp(argv[1], "unknown") == 0;
	const struct conformance_stack stack = {
	    .name = "base that keeps nothing",
	    .open = open_evicting,
	    .expected_caps = PS_CAP_DURABLE | PS_CAP_THREADS | PS_CAP_BACKUP | PS_CAP_COMPACT | PS_CAP_RUNS |
	                     PS_CAP_PLACEMENT,
	    .persistent = true,
	    .restored = unknown,
	};
	file = memfd_create("evicting", MFD_CLOEXEC);
	if (file < 0)
		abort();
	int failed = conformance_run(&stack);
	forget_copies();
	close(file);
	printf("%u fetches\n", fetches);
	return failed + (fetches < FETCHES_MIN);
}
