/* What the tests of gc share: machines with one clock that stands still unless it is moved, and pads that are
 * left over. */
#ifndef GC_FIXTURE_H
#define GC_FIXTURE_H

#include "tests/remote/sync/sync_fixture.h"

enum { GC_AGE_S = 1000 };

/* Of all machines here; seconds since 1970. */
extern uint64_t gc_now_s;

/* A store on a network of its own, under that clock. */
struct blobs *gc_store_new(const char *scheme);
/* The next time that this one is opened it is under that clock. */
void gc_use_clock(struct blobs *b);
/* Another machine puts so many values of two pads each, and burns: nobody has heard of it. Pads left: 2 a
 * value. */
void gc_leave_behind(struct blobs *first, unsigned values);
/* PS_OK with what was found; `apply` as in struct ps_remote_gc. */
struct ps_remote_gc_result gc_now(struct blobs *b, bool apply);
int gc_try(struct blobs *b, bool apply, bool ignore_silent, struct ps_remote_gc_result *result);
/* Found here, a long time ago, and nothing has changed since. */
void gc_let_ripen(struct blobs *b);

#endif
