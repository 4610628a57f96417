/* A run's packs as one stream: the bytes are theirs, in order, however they are taken and however many ranges
 * are on their way; what is missing, short or too little is said where it would have come, not before. */
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "multistore/run_source.h"
#include "tests/multistore/push_fixture.h"

enum { PACKS = 3, RANGE = 4096, ALL = 200000 };
static const size_t size_of[PACKS] = {70001, RANGE, ALL - 70001 - RANGE};
static struct ps_memory memory;

struct run {
	struct blobs *b;
	struct dice dice;
	struct ps_push_manifest_pack packs[PACKS];
	uint8_t *bytes;
};

static void run_new(struct run *r, uint64_t seed)
{
	const struct ps_remote_seams seams = {.backoff_ms = 1};
	size_t from = 0;
	*r = (struct run){.b = blobs_new_with("mem", &seams), .dice = {seed}, .bytes = test_malloc(ALL)};
	blobs_fill(r->bytes, ALL, seed);
	for (uint32_t i = 0; i < PACKS; i++) {
		char name[PS_PACK_NAME];
		r->packs[i] = (struct ps_push_manifest_pack){.about = {.mark = {1}, .number = i, .upto = 1},
		                                             .bytes = size_of[i]};
		ps_pack_name(&r->packs[i].about, name);
		assert_ok(ps_remote_put(r->b->r, name, r->bytes + from, size_of[i], NULL));
		from += size_of[i];
	}
}

static void run_free(struct run *r)
{
	test_free(r->bytes);
	blobs_free(r->b);
}

static ps_run_source *source_new(struct run *r, uint32_t ranges)
{
	ps_run_source *s;
	assert_ok(ps_run_source_new(&memory, r->b->r, r->packs, PACKS, RANGE, ranges, &s));
	return s;
}

/* Up to so many bytes, lent where they can be. */
static void take_up_to(struct run *r, ps_run_source *s, size_t upto)
{
	static uint8_t to[3 * RANGE];
	for (size_t at = 0; at < upto;) {
		size_t len = 1 + (size_t)roll_below(&r->dice, roll_below(&r->dice, 4) ? 300 : sizeof(to));
		len = len < upto - at ? len : upto - at;
		const uint8_t *lent = roll_below(&r->dice, 3) ? ps_run_source_lend(s, len) : NULL;
		if (!lent)
			assert_ok(ps_run_source_read(s, to, len));
		assert_memory_equal(lent ? lent : to, r->bytes + at, len);
		at += len;
	}
}

static void bytes_are_the_packs_however_they_are_taken(void **state)
{
	uint8_t one;
	(void)state;
	for (uint32_t ranges = 2; ranges <= PS_RUN_SOURCE_RANGES; ranges++) {
		struct run r;
		run_new(&r, test_seed(7 + ranges));
		ps_run_source *s = source_new(&r, ranges);
		take_up_to(&r, s, ALL);
		assert_null(ps_run_source_lend(s, 1));
		assert_error(ps_run_source_read(s, &one, 1), PS_ECORRUPT);
		ps_run_source_free(s);
		run_free(&r);
	}
}

static void what_lies_in_one_range_is_lent(void **state)
{
	struct run r;
	uint8_t one;
	(void)state;
	run_new(&r, 3);
	ps_run_source *s = source_new(&r, 4);
	const uint8_t *first = ps_run_source_lend(s, RANGE - 1), *last;
	assert_non_null(first);
	assert_null(ps_run_source_lend(s, 2));
	last = ps_run_source_lend(s, 1);
	assert_ptr_equal(last, first + RANGE - 1);
	assert_int_equal(*last, r.bytes[RANGE - 1]);
	assert_ok(ps_run_source_read(s, &one, 1));
	assert_int_equal(one, r.bytes[RANGE]);
	ps_run_source_free(s);
	run_free(&r);
}

/* All that lies before is given first, also where it comes later than the refusal. */
static void what_is_wrong_is_said_where_it_would_have_come(void **state)
{
	static const int says[] = {PS_ESUPERSEDED, PS_ECORRUPT};
	(void)state;
	for (unsigned i = 0; i < sizeof(says) / sizeof(says[0]); i++) {
		struct run r;
		char name[PS_PACK_NAME];
		uint8_t one;
		run_new(&r, 40 + i);
		ps_pack_name(&r.packs[1].about, name);
		assert_ok(ps_remote_remove(r.b->r, name));
		if (says[i] == PS_ECORRUPT) /* too short */
			assert_ok(ps_remote_put(r.b->r, name, r.bytes, size_of[1] - 1, NULL));
		ps_run_source *s = source_new(&r, PS_RUN_SOURCE_RANGES);
		take_up_to(&r, s, size_of[0]);
		assert_null(ps_run_source_lend(s, 1));
		for (unsigned again = 0; again < 2; again++) {
			assert_error(ps_run_source_read(s, &one, 1), says[i]);
			assert_non_null(strstr(ps_last_error_message(), name));
		}
		ps_run_source_free(s);
		run_free(&r);
	}
}

static void it_can_be_left_in_the_middle(void **state)
{
	(void)state;
	for (uint32_t ranges = 2; ranges <= PS_RUN_SOURCE_RANGES; ranges += 3) {
		struct run r;
		run_new(&r, 60 + ranges);
		ps_run_source_free(source_new(&r, ranges));
		ps_run_source *s = source_new(&r, ranges);
		take_up_to(&r, s, RANGE * ranges / 2);
		ps_run_source_free(s);
		run_free(&r);
	}
}

static int give_up(void *arg)
{
	unsigned *calls = arg;
	return ++*calls < 2 ? PS_OK : ps_fail(PS_ECANCELED, "nobody waits any more");
}

/* However long the network takes. */
static void who_waits_for_it_can_give_up(void **state)
{
	const struct ps_mem_rule hangs = {.fault = PS_MEM_HANG,
	                                  .ops = 1U << PS_NET_GET | 1U << PS_NET_GET_RANGE};
	struct run r;
	unsigned calls = 0, rule;
	uint8_t one;
	(void)state;
	run_new(&r, 3);
	assert_ok(ps_mem_rule_add(blobs_world(r.b), &hangs, &rule));
	ps_run_source *s = source_new(&r, 4);
	ps_run_source_on_wait(s, give_up, &calls);
	assert_null(ps_run_source_lend(s, 1));
	assert_error(ps_run_source_read(s, &one, 1), PS_ECANCELED);
	assert_in_range(calls, 2, 3);
	ps_run_source_free(s);
	ps_mem_rule_remove(blobs_world(r.b), 0);
	run_free(&r);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bytes_are_the_packs_however_they_are_taken),
	    cmocka_unit_test(what_lies_in_one_range_is_lent),
	    cmocka_unit_test(what_is_wrong_is_said_where_it_would_have_come),
	    cmocka_unit_test(it_can_be_left_in_the_middle),
	    cmocka_unit_test(who_waits_for_it_can_give_up),
	};
	ps_memory_init(&memory, NULL);
	int failed = cmocka_run_group_tests_name("runs as streams", tests, NULL, NULL);
	if (atomic_load(&memory.used) != 0)
		return 1;
	ps_memory_done(&memory);
	return failed;
}
