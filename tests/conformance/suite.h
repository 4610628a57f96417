/* What the suite's files share. */
#ifndef CONFORMANCE_SUITE_H
#define CONFORMANCE_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/conformance/conformance.h"

/* Every test's state. */
struct conformance {
	const struct conformance_stack *stack;
	ps_storer *s; /* fresh; a test that closes it sets NULL */
};

struct conformance_part {
	const struct CMUnitTest *tests;
	size_t count;
};

extern const struct conformance_part conformance_objects, conformance_writes, conformance_views,
    conformance_batches, conformance_streams, conformance_errors, conformance_sessions, conformance_ids,
    conformance_model, conformance_threads, conformance_reopen;

#define CONFORMANCE_PART(name, tests)                                                                        \
	const struct conformance_part conformance_##name = {tests, sizeof(tests) / sizeof(tests[0])}

/* Fails the test, naming the call, what came back and the library's sentence. */
#define OK(call) conformance_expect((call), PS_OK, #call, __FILE__, __LINE__)
#define FAILS(code, call) conformance_expect((call), code, #call, __FILE__, __LINE__)
void conformance_expect(int result, int expected, const char *call, const char *file, int line);

static inline ps_storer *store_of(void **state)
{
	return ((struct conformance *)*state)->s;
}

/* What changes an object under an open session of the same thread: done, or PS_EDEADLK where sessions lock. */
#define UNDER_SESSION(s, call)                                                                               \
	conformance_expect((call), ps_caps(s) & PS_CAP_LOCKS ? PS_EDEADLK : PS_OK, #call, __FILE__, __LINE__)
static inline bool sessions_lock(ps_storer *s)
{
	return (ps_caps(s) & PS_CAP_LOCKS) != 0;
}

/* Sizes around every border that a layer may have: nothing, words, pages, slabs, chunks, segments. */
extern const size_t conformance_sizes[];
extern const size_t conformance_size_count;

/* Bytes that depend on the seed and on their place, so that a swap or a shift is seen. */
void pattern_fill(void *buf, size_t len, uint64_t seed, uint64_t off);
/* The first byte that differs from the pattern, or len. */
size_t pattern_mismatch(const void *buf, size_t len, uint64_t seed, uint64_t off);
/* New memory that the caller frees. */
unsigned char *pattern_new(size_t len, uint64_t seed);

ps_id put_pattern(ps_storer *s, size_t len, uint64_t seed);
/* The object has exactly this pattern: by ps_info and by ps_get. */
void expect_pattern(ps_storer *s, ps_id id, size_t len, uint64_t seed);
/* The object has exactly these bytes. */
void expect_bytes(ps_storer *s, ps_id id, const void *bytes, size_t len);
/* Every call that names the object answers PS_ENOTFOUND. */
void expect_missing(ps_storer *s, ps_id id);
uint64_t count_objects(ps_storer *s);

#endif
