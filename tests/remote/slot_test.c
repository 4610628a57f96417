/* Slots: who comes first has it, whatever becomes of the answer; what is read is of that very place. */
#include <stdlib.h>
#include <string.h>

#include "remote/slot.h"
#include "tests/remote/gc/gc_fixture.h"

enum { MOST = 200 << 10 };

static const struct ps_remote_slot_at first = {1, 1};

static struct blobs *store_new(void)
{
	const struct ps_remote_seams seams = {.backoff_ms = 1};
	return blobs_new_with("mem", &seams);
}

static int create(ps_remote *r, struct ps_remote_slot_at at, size_t len, uint64_t seed,
                  struct ps_remote_slot *slot)
{
	struct ps_remote_slot told;
	uint8_t *bytes = blobs_bytes(len, seed);
	int err = ps_remote_slot_create(r, &at, PS_SLOT_LOG, bytes, len, NULL, NULL, slot ? slot : &told);
	test_free(bytes);
	return err;
}

static int read_slot(ps_remote *r, struct ps_remote_slot_at at, const struct ps_pad_name *name,
                     struct ps_remote_slot *slot, uint8_t *bytes, size_t cap)
{
	return ps_remote_slot_read(r, &at, name, bytes, cap, NULL, NULL, slot);
}

static void expect_slot(ps_remote *r, struct ps_remote_slot_at at, size_t len, uint64_t seed,
                        const uint8_t hash[PS_SLOT_HASH])
{
	struct ps_remote_slot slot;
	uint8_t *bytes = test_malloc(MOST), *should = blobs_bytes(len, seed);
	assert_ok(read_slot(r, at, NULL, &slot, bytes, MOST));
	assert_int_equal(slot.kind, PS_SLOT_LOG);
	assert_int_equal(slot.len, len);
	assert_memory_equal(bytes, should, len);
	if (hash)
		assert_memory_equal(slot.hash, hash, PS_SLOT_HASH);
	test_free(bytes);
	test_free(should);
}

static void expect_nothing(ps_remote *r, struct ps_remote_slot_at at)
{
	struct ps_remote_slot slot;
	uint8_t byte;
	assert_error(read_slot(r, at, NULL, &slot, &byte, 1), PS_ENOTFOUND);
}

static uint64_t requests(struct blobs *b)
{
	struct ps_remote_stats stats;
	blobs_stats(b, &stats);
	return stats.requests;
}

static void what_was_created_first_stays(void **state)
{
	struct blobs *b = store_new(), *other;
	struct ps_remote_slot slot;
	(void)state;
	uint64_t before = requests(b);
	assert_ok(create(b->r, first, 1000, 1, &slot));
	assert_int_equal(requests(b) - before, 1);
	assert_int_equal(slot.len, 1000);
	other = machine_open(b);
	assert_error(create(other->r, first, 500, 2, NULL), PS_EEXIST);
	assert_error(create(b->r, first, 1000, 1, NULL), PS_EEXIST);
	expect_slot(other->r, first, 1000, 1, slot.hash);
	assert_ok(create(other->r, (struct ps_remote_slot_at){1, 2}, 0, 3, NULL));
	assert_ok(create(other->r, (struct ps_remote_slot_at){2, 1}, MOST, 4, NULL));
	expect_slot(b->r, (struct ps_remote_slot_at){1, 2}, 0, 3, NULL);
	expect_slot(b->r, (struct ps_remote_slot_at){2, 1}, MOST, 4, NULL);
	expect_nothing(b->r, (struct ps_remote_slot_at){2, 2});
	machine_free(other);
	blobs_free(b);
}

static void what_is_no_place_or_too_much_is_refused(void **state)
{
	struct blobs *b = store_new();
	struct ps_remote_slot slot;
	uint8_t bytes[10];
	(void)state;
	assert_error(create(b->r, (struct ps_remote_slot_at){0, 1}, 1, 1, NULL), PS_ERANGE);
	assert_error(create(b->r, (struct ps_remote_slot_at){1, 0}, 1, 1, NULL), PS_ERANGE);
	assert_error(create(b->r, (struct ps_remote_slot_at){1, UINT64_MAX}, 1, 1, NULL), PS_ERANGE);
	assert_error(create(b->r, first, ps_remote_slot_most(b->r) + 1, 1, NULL), PS_ERANGE);
	assert_ok(create(b->r, first, 11, 1, NULL));
	assert_error(read_slot(b->r, first, NULL, &slot, bytes, sizeof(bytes)), PS_ERANGE);
	assert_int_equal(slot.len, 11);
	blobs_free(b);
}

/* Whatever is lost on the way: PS_OK and it is there, or the error and whoever looks finds all of it or
 * nothing. */
static void an_outcome_that_is_not_known_is_settled(void **state)
{
	static const enum ps_mem_fault faults[] = {PS_MEM_LOSE_REQUEST, PS_MEM_VANISH, PS_MEM_LOSE_REPLY,
	                                           PS_MEM_TWICE,        PS_MEM_LATE,   PS_MEM_CONFLICT};
	struct blobs *b = store_new();
	ps_mem_world *world = blobs_world(b);
	uint64_t n = 0;
	(void)state;
	for (size_t f = 0; f < sizeof(faults) / sizeof(*faults); f++)
		for (uint64_t amount = 1; amount <= 3; amount++) {
			struct ps_mem_rule rule = {
			    .fault = faults[f], .ops = 1 << PS_NET_CREATE, .count = 1, .amount = amount};
			struct ps_remote_slot slot;
			unsigned number;
			assert_ok(ps_mem_rule_add(world, &rule, &number));
			n++;
			assert_ok(create(b->r, (struct ps_remote_slot_at){1, n}, 100, n, &slot));
			assert_int_equal(ps_mem_rule_hits(world, number), 1);
			expect_slot(b->r, (struct ps_remote_slot_at){1, n}, 100, n, slot.hash);
			(void)ps_mem_deliver(world);
			expect_slot(b->r, (struct ps_remote_slot_at){1, n}, 100, n, slot.hash);
			ps_mem_rule_remove(world, 0);
		}
	blobs_free(b);
}

static void a_network_that_is_away_is_said_to_be(void **state)
{
	struct blobs *b = store_new();
	struct ps_mem_rule rule = {.fault = PS_MEM_VANISH};
	struct ps_remote_slot slot;
	uint8_t byte;
	unsigned number;
	(void)state;
	assert_ok(ps_mem_rule_add(blobs_world(b), &rule, &number));
	assert_error(create(b->r, first, 100, 1, NULL), PS_EUNAVAILABLE);
	assert_error(read_slot(b->r, first, NULL, &slot, &byte, 1), PS_EUNAVAILABLE);
	assert_error(ps_remote_slot_remove(b->r, &first, 3, NULL, NULL), PS_EUNAVAILABLE);
	ps_mem_rule_remove(blobs_world(b), 0);
	assert_ok(create(b->r, first, 100, 1, NULL));
	blobs_free(b);
}

static int refuse(void *arg, const struct ps_remote_progress *progress)
{
	(void)arg;
	return progress->phase == PS_REMOTE_RUNNING;
}

static void a_caller_that_refuses_ends_it(void **state)
{
	struct blobs *b = store_new();
	struct ps_mem_rule rule = {.fault = PS_MEM_HANG};
	struct ps_remote_slot slot;
	unsigned number;
	(void)state;
	assert_ok(ps_mem_rule_add(blobs_world(b), &rule, &number));
	assert_error(ps_remote_slot_create(b->r, &first, PS_SLOT_FENCE, "", 0, refuse, NULL, &slot),
	             PS_ECANCELED);
	ps_mem_rule_remove(blobs_world(b), 0);
	blobs_free(b);
}

/* ---- what a network can show instead ---- */

static void swap_in(struct blobs *b, const struct ps_pad_name *as, const struct ps_pad_name *of)
{
	enum { ROOM = 300 << 10 };
	struct ps_pad_identity identity;
	uint8_t *bytes = test_malloc(ROOM);
	size_t len;
	assert_ok(ps_mem_look(blobs_world(b), 0, of, &identity, bytes, ROOM, &len));
	assert_ok(ps_mem_set(blobs_world(b), 0, as, &identity, bytes, len));
	test_free(bytes);
}

static struct ps_pad_name name_at(struct blobs *b, uint64_t epoch, uint64_t n)
{
	struct ps_remote_slot_at at = {epoch, n};
	struct ps_pad_name name;
	assert_ok(ps_remote_slot_name(b->r, &at, &name));
	return name;
}

static void another_pad_in_its_place_is_refused(void **state)
{
	struct blobs *b = store_new();
	struct ps_pad_name head = head_name_of(b), one = name_at(b, 1, 1), two = name_at(b, 1, 2),
	                   later = name_at(b, 2, 1);
	struct ps_remote_slot slot;
	uint8_t bytes[100];
	(void)state;
	assert_ok(create(b->r, first, 100, 1, NULL));
	assert_ok(create(b->r, (struct ps_remote_slot_at){1, 2}, 100, 2, NULL));
	swap_in(b, &one, &two);
	assert_error(read_slot(b->r, first, NULL, &slot, bytes, 100), PS_EAUTH);
	swap_in(b, &one, &head);
	assert_error(read_slot(b->r, first, NULL, &slot, bytes, 100), PS_EAUTH);
	swap_in(b, &later, &two);
	assert_error(read_slot(b->r, (struct ps_remote_slot_at){2, 1}, NULL, &slot, bytes, 100), PS_EAUTH);
	/* By a name that was given: it has to be this place's all the same. */
	assert_error(read_slot(b->r, first, &two, &slot, bytes, 100), PS_EAUTH);
	assert_error(read_slot(b->r, first, &head, &slot, bytes, 100), PS_EAUTH);
	blobs_free(b);
}

static void every_bit_that_is_turned_is_found(void **state)
{
	struct blobs *b = store_new();
	struct ps_pad_name name = name_at(b, 1, 1);
	struct ps_remote_slot slot;
	uint8_t bytes[100];
	(void)state;
	assert_ok(create(b->r, first, 100, 1, NULL));
	for (uint64_t bit = 0; bit < 4464 * 8; bit += 211) {
		struct ps_mem_rule rule = {.fault = PS_MEM_FLIP, .named = true, .name = name, .amount = bit};
		unsigned number;
		assert_ok(ps_mem_rule_add(blobs_world(b), &rule, &number));
		assert_error(read_slot(b->r, first, NULL, &slot, bytes, 100), PS_EAUTH);
		ps_mem_rule_remove(blobs_world(b), number);
	}
	expect_slot(b->r, first, 100, 1, NULL);
	blobs_free(b);
}

/* ---- removal ---- */

static void removed_slots_are_gone_and_others_stay(void **state)
{
	struct blobs *b = store_new();
	(void)state;
	for (uint64_t n = 1; n <= 150; n++)
		if (n != 77)
			assert_ok(create(b->r, (struct ps_remote_slot_at){3, n}, 10, n, NULL));
	assert_ok(create(b->r, (struct ps_remote_slot_at){2, 1}, 10, 1, NULL));
	struct ps_remote_slot_at from = {3, 2};
	assert_ok(ps_remote_slot_remove(b->r, &from, 150, NULL, NULL));
	assert_ok(ps_remote_slot_remove(b->r, &from, 150, NULL, NULL));
	for (uint64_t n = 2; n < 150; n++)
		expect_nothing(b->r, (struct ps_remote_slot_at){3, n});
	expect_slot(b->r, (struct ps_remote_slot_at){3, 1}, 10, 1, NULL);
	expect_slot(b->r, (struct ps_remote_slot_at){3, 150}, 10, 150, NULL);
	expect_slot(b->r, (struct ps_remote_slot_at){2, 1}, 10, 1, NULL);
	const struct ps_remote_slot_at fence = {3, 151};
	struct ps_remote_slot slot;
	assert_ok(ps_remote_slot_create(b->r, &fence, PS_SLOT_FENCE, "", 0, NULL, NULL, &slot));
	from.n = 1;
	assert_ok(ps_remote_slot_remove(b->r, &from, 2, NULL, NULL));
	expect_nothing(b->r, from);
	from.n = 149;
	assert_ok(ps_remote_slot_remove(b->r, &from, PS_SLOT_END, NULL, NULL));
	expect_nothing(b->r, (struct ps_remote_slot_at){3, 150});
	assert_ok(read_slot(b->r, fence, NULL, &slot, NULL, 0));
	assert_int_equal(slot.kind, PS_SLOT_FENCE);
	blobs_free(b);
}

static void gc_takes_no_slot_for_a_leftover(void **state)
{
	struct blobs *b = gc_store_new("mem");
	struct ps_remote_slot slot;
	struct ps_remote_slot_at fence = {1, 9};
	struct ps_remote_audit_result audit;
	(void)state;
	assert_ok(create(b->r, first, 100, 1, NULL));
	assert_ok(ps_remote_slot_create(b->r, &fence, PS_SLOT_FENCE, "f", 1, NULL, NULL, &slot));
	gc_leave_behind(b, 1);
	gc_let_ripen(b);
	assert_int_equal(gc_now(b, true).deleted, 2);
	expect_slot(b->r, first, 100, 1, NULL);
	assert_ok(ps_remote_audit(b->r, NULL, &audit));
	assert_int_equal(audit.unnamed, 0);
	assert_int_equal(audit.roles[PS_ROLE_LOG], 1);
	assert_int_equal(audit.roles[PS_ROLE_FENCE], 1);
	assert_int_equal(audit.named, audit.listed);
	blobs_free(b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_was_created_first_stays),
	    cmocka_unit_test(what_is_no_place_or_too_much_is_refused),
	    cmocka_unit_test(an_outcome_that_is_not_known_is_settled),
	    cmocka_unit_test(a_network_that_is_away_is_said_to_be),
	    cmocka_unit_test(a_caller_that_refuses_ends_it),
	    cmocka_unit_test(another_pad_in_its_place_is_refused),
	    cmocka_unit_test(every_bit_that_is_turned_is_found),
	    cmocka_unit_test(removed_slots_are_gone_and_others_stay),
	    cmocka_unit_test(gc_takes_no_slot_for_a_leftover),
	};
	return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
