#include "tests/multistore/full_stack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/evicting.h"
#include "tests/support/patient.h"

enum { LOCAL_BYTES = 1, CACHE_BYTES = 1 << 20, MEMORY = 16 << 20, WAIT_NS = 5000000, LONG_MS = 120000 };

static void hear(void *arg, const struct ps_multi_event *event)
{
	struct full_stack *f = arg;
	f->pushes += event->kind == PS_MULTI_PUSHED;
	f->evictions += event->kind == PS_MULTI_EVICTED;
	if (event->error) {
		fprintf(stderr, "in the background: %s (%s)\n", ps_error_name(event->error), event->message);
		f->failed = event->error;
	}
	if (sem_post(&f->told))
		abort();
}

void full_stack_new(struct full_stack *f, unsigned leave_one_in)
{
	memset(f, 0, sizeof(*f));
	f->leave_one_in = leave_one_in;
	f->file = memfd_create("full-stack", MFD_CLOEXEC);
	if (f->file < 0 || sem_init(&f->told, 0, 0))
		abort();
	(void)snprintf(f->path, sizeof(f->path), "/proc/self/fd/%d", f->file);
}

static void forget_network(struct full_stack *f)
{
	f->reads = full_stack_reads(f);
	if (f->b)
		blobs_free(f->b);
	f->b = NULL;
}

void full_stack_free(struct full_stack *f)
{
	forget_network(f);
	(void)sem_destroy(&f->told);
	(void)close(f->file);
}

uint64_t full_stack_reads(const struct full_stack *f)
{
	struct ps_mem_figures figures = {0};
	if (f->b)
		ps_mem_figures(blobs_world(f->b), &figures, false);
	return f->reads + figures.requests[PS_NET_GET_RANGE] + figures.requests[PS_NET_GET];
}

static void make_network(struct full_stack *f)
{
	const struct ps_remote_seams seams = {.backoff_ms = 1};
	forget_network(f);
	if (ftruncate(f->file, 0))
		abort();
	f->b = blobs_new_with("mem", &seams);
	f->options = (struct ps_multi_options){.size = sizeof(f->options),
	                                       .remote = f->b->r,
	                                       .local_bytes = LOCAL_BYTES,
	                                       .cache_bytes = CACHE_BYTES,
	                                       .log_ms = f->waits ? PS_LOG_EACH_COMMIT : PS_LOG_OFF,
	                                       .log_wait_ms = LONG_MS,
	                                       .event = hear,
	                                       .event_arg = f};
}

/* Gives the background time for what it has under way; there may be nothing. */
static void wait_for_background(struct full_stack *f)
{
	struct timespec until;
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += WAIT_NS;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	while (sem_timedwait(&f->told, &until) != 0 && errno == EINTR)
		;
}

static int leave(void *arg, ps_storer *inner, bool push)
{
	struct full_stack *f = arg;
	int err = PS_OK;
	(void)push;
	if (++f->calls % f->leave_one_in)
		return PS_OK;
	switch (f->calls / f->leave_one_in % 4) {
	case 0:
		wait_for_background(f);
		return PS_OK;
	case 1:
		err = ps_push(inner, NULL, NULL, NULL);
	}
	if (!err)
		err = ps_evict(inner, 0, NULL, NULL, NULL);
	return err == PS_ENOTFOUND ? PS_OK : err; /* nothing was pushed so far */
}

int full_stack_open(struct full_stack *f, bool fresh, ps_storer **s)
{
	const struct ps_base_options options = {.size = sizeof(options),
	                                        .durability = f->waits ? PS_DURABLE : PS_RELAXED,
	                                        .memory_budget = MEMORY,
	                                        .pin_limit = 1 << 30,
	                                        .io = PS_BASE_IO_BUFFERED,
	                                        .background = PS_BACKGROUND_NONE};
	ps_storer *below = NULL;
	if (fresh)
		make_network(f);
	int err = ps_base_open(f->path, &options, &below);
	if (!err)
		err = ps_multi_open(below, &f->options, &below);
	if (!err)
		err = evicting_open_by(below, leave, f, 1, &below);
	return err ? err : patient_locks_open(below, s);
}
