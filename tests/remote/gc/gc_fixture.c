#include "tests/remote/gc/gc_fixture.h"

#include <stdio.h>

enum { PAD = 128 << 10 };

uint64_t gc_now_s = 1000000;

static uint64_t wall_ns(void *arg)
{
	(void)arg;
	return gc_now_s * PS_SECOND_NS;
}

void gc_use_clock(struct blobs *b)
{
	b->seams.wall_ns = wall_ns;
}

struct blobs *gc_store_new(const char *scheme)
{
	struct ps_remote_seams seams = {.wall_ns = wall_ns, .backoff_ms = 1};
	gc_now_s = 1000000;
	return blobs_new_with(scheme, &seams);
}

void gc_leave_behind(struct blobs *first, unsigned values)
{
	struct blobs *burned = machine_new(first);
	char key[24];
	burned->seams.open_store = NULL;
	assert_ok(blobs_start_again(burned, false));
	for (unsigned i = 0; i < values; i++) {
		snprintf(key, sizeof(key), "never synced %u", i);
		blobs_put(burned, key, PAD + 100, 1000 + i);
	}
	machine_free(burned);
}

int gc_try(struct blobs *b, bool apply, bool ignore_silent, struct ps_remote_gc_result *result)
{
	struct ps_remote_gc options = {
	    .size = sizeof(options), .apply = apply, .ignore_silent = ignore_silent, .age_s = GC_AGE_S};
	return ps_remote_gc(b->r, &options, result);
}

struct ps_remote_gc_result gc_now(struct blobs *b, bool apply)
{
	struct ps_remote_gc_result result;
	assert_ok(gc_try(b, apply, false, &result));
	return result;
}

void gc_let_ripen(struct blobs *b)
{
	(void)gc_now(b, false);
	gc_now_s += GC_AGE_S;
}
