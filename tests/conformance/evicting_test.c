/* The base store under a layer that lets all contents leave all the time: no call tells the difference. */
#include <stdio.h>
#include <stdlib.h>
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

static int open_evicting(void *arg, bool fresh, ps_storer **s)
{
	char path[32];
	const struct ps_base_options options = {.size = sizeof(options),
	                                        .durability = PS_RELAXED,
	                                        .background = PS_BACKGROUND_NONE,
	                                        .io = PS_BASE_IO_BUFFERED,
	                                        .pin_limit = 1 << 30};
	ps_storer *base;
	(void)arg;
	if (fresh) {
		if (ftruncate(file, 0))
			abort();
		forget_copies();
		copies = copies_new();
	}
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	int err = ps_base_open(path, &options, &base);
	return err ? err : evicting_open(base, copies, PUSH_ONE_IN, s);
}

int main(void)
{
	const struct conformance_stack stack = {
	    .name = "base that keeps nothing",
	    .open = open_evicting,
	    .expected_caps = PS_CAP_DURABLE | PS_CAP_THREADS | PS_CAP_BACKUP | PS_CAP_COMPACT | PS_CAP_RUNS |
	                     PS_CAP_PLACEMENT,
	    .persistent = true,
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
