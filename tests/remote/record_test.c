/* Pad slots and records: what may become of a pad, what a record's steps let go, and that bytes say the same
 * again. */
#include "tests/remote/group_memory.h"
#include "tests/remote/index_fixture.h"

#include <stdlib.h>
#include <string.h>

static void a_slot_says_the_same_again(void **state)
{
	(void)state;
	struct dice dice = {test_seed(1)};
	for (unsigned status = PS_SLOT_GENERATED; status < PS_SLOT_STATUSES; status++) {
		struct ps_pad_slot slot = pad_of(&dice, status), again;
		struct ps_slot_bytes bytes;
		ps_slot_encode(&slot, &bytes);
		ok(ps_slot_decode(&bytes, &again));
		assert_memory_equal(&slot, &again, sizeof(slot));
	}
}

static void impossible_slots_are_refused(void **state)
{
	(void)state;
	struct dice dice = {test_seed(2)};
	struct ps_pad_slot good = pad_of(&dice, PS_SLOT_CONFIRMED), slot;
	struct ps_slot_bytes bytes;
#define BAD(change)                                                                                          \
	do {                                                                                                 \
		slot = good;                                                                                 \
		change;                                                                                      \
		ps_slot_encode(&slot, &bytes);                                                               \
		refused(ps_slot_decode(&bytes, &slot), PS_ECORRUPT);                                         \
	} while (0)
	BAD(slot.status = PS_SLOT_GONE);
	BAD(slot.status = PS_SLOT_STATUSES);
	BAD(slot.class = 3);
	BAD(slot.mode = 3);
	BAD(slot.generation = 0);
	BAD(slot.generation = 2);
	BAD(slot.length = (2 << 20) + 1);
	BAD(memset(&slot.serial, 0, sizeof(slot.serial)));
	BAD(memset(&slot.name, 0, sizeof(slot.name)));
	BAD(memset(slot.hash, 0, sizeof(slot.hash)));
	ps_slot_encode(&good, &bytes);
	bytes.named = 4;
	refused(ps_slot_decode(&bytes, &slot), PS_ECORRUPT);
}

/* The drawing in remote/README.md, as pairs; all others are refused. */
static void only_the_tables_changes_are_legal(void **state)
{
	(void)state;
	static const char *const legal[PS_SLOT_STATUSES] = {
	    [PS_SLOT_GONE] = "G",         [PS_SLOT_GENERATED] = "GWCPIx", [PS_SLOT_WRITTEN] = "CPI",
	    [PS_SLOT_CONFIRMED] = "FGPI", [PS_SLOT_FREE] = "GPI",         [PS_SLOT_PENDING] = "GWCFIx",
	    [PS_SLOT_INVALID] = "GPx"};
	static const char letters[] = "xGWCFPI";
	for (unsigned from = 0; from < PS_SLOT_STATUSES; from++)
		for (unsigned to = 0; to < PS_SLOT_STATUSES; to++)
			assert_int_equal(ps_slot_cause(from, to) != NULL,
			                 strchr(legal[from], letters[to]) != NULL);
}

static void one_counter_never_gets_a_second_hash(void **state)
{
	(void)state;
	struct dice dice = {test_seed(3)};
	struct ps_pad_slot before = pad_of(&dice, PS_SLOT_GENERATED), after = before;
	after.status = PS_SLOT_WRITTEN;
	ok(ps_slot_check_change(&before, &after));
	after.hash[5] ^= 1;
	refused(ps_slot_check_change(&before, &after), PS_EINVAL);
	memset(after.hash, 0, sizeof(after.hash));
	after.status = PS_SLOT_INVALID;
	refused(ps_slot_check_change(&before, &after), PS_EINVAL);
	before = after = pad_of(&dice, PS_SLOT_CONFIRMED);
	after.status = PS_SLOT_GENERATED;
	after.hash[0] ^= 1;
	refused(ps_slot_check_change(&before, &after), PS_EINVAL);
	after.counter++;
	ok(ps_slot_check_change(&before, &after));
}

static void a_pad_taken_again_goes_up_and_remembers_what_was_there(void **state)
{
	(void)state;
	struct dice dice = {test_seed(4)};
	struct ps_pad_slot was = pad_of(&dice, PS_SLOT_FREE), slot = was, seen;
	ok(ps_slot_reuse(&slot));
	assert_int_equal(slot.generation, was.generation + 1);
	assert_int_equal(slot.counter, was.counter + 1);
	assert_memory_equal(slot.before, was.hash, sizeof(slot.before));
	assert_false(ps_slot_sealed(&slot));
	ok(ps_slot_check_change(&was, &slot));
	/* Given up, and found as it was: free again as it was; with another hash there, not. */
	slot.status = PS_SLOT_PENDING;
	seen = was;
	ok(ps_slot_check_change(&slot, &seen));
	seen.hash[0] ^= 1;
	refused(ps_slot_check_change(&slot, &seen), PS_EINVAL);
	was.counter = UINT64_MAX - 1;
	refused(ps_slot_reuse(&was), PS_ERANGE);
}

static void make_full(struct dice *dice, struct ps_record *record)
{
	make_blob(dice, &group_memory, "folder/a key", 3, record);
	record->flags = PS_RECORD_COMPLETE | PS_RECORD_DIRTY | PS_RECORD_PUBLIC | PS_RECORD_UPDATING;
	record->content.class = PS_PAD_PUBLIC_DATA;
	for (unsigned i = 0; i < 3; i++)
		record->sets[PS_SET_CURRENT].slots[i].class = PS_PAD_PUBLIC_DATA;
	record->version = version_of(5, 7);
	record->base = version_of(4, 6);
	record->index_pad = pad_of(dice, PS_SLOT_CONFIRMED);
	record->index_pad.class = PS_PAD_PUBLIC_INDEX;
	record->next = (struct ps_content){.size = 7, .mode = PS_PAD_SMALL, .class = PS_PAD_PUBLIC_DATA};
	struct ps_pad_slot next = new_pad(dice, PS_PAD_PUBLIC_DATA, PS_PAD_SMALL);
	struct ps_pad_slot base = pad_of(dice, PS_SLOT_CONFIRMED);
	ok(ps_record_add_slots(record, PS_SET_NEXT, &next, 1));
	ok(ps_record_add_slots(record, PS_SET_BASE, &base, 1));
}

static void same_slots(const struct ps_slots *a, const struct ps_slots *b)
{
	assert_int_equal(a->count, b->count);
	if (a->count > 0)
		assert_memory_equal(a->slots, b->slots, a->count * sizeof(*a->slots));
}

static void a_record_says_the_same_again_and_slots_lie_where_it_says(void **state)
{
	(void)state;
	struct dice dice = {test_seed(5)};
	struct ps_record record, again, prefix = {.memory = &group_memory};
	make_full(&dice, &record);
	size_t len = ps_record_bytes(&record);
	uint8_t *bytes = malloc(len);
	assert_non_null(bytes);
	ps_record_encode(&record, bytes);
	ok(ps_record_decode(bytes, len, &group_memory, &again));
	assert_int_equal(again.flags, record.flags);
	assert_string_equal(again.name, record.name);
	for (unsigned set = 0; set < PS_SETS; set++) {
		same_slots(&record.sets[set], &again.sets[set]);
		for (uint32_t i = 0; i < record.sets[set].count; i++) {
			struct ps_slot_bytes slot;
			ps_slot_encode(&record.sets[set].slots[i], &slot);
			assert_memory_equal(bytes + ps_record_slot_offset(&record, set, i), &slot,
			                    sizeof(slot));
		}
	}
	ok(ps_record_decode_prefix(bytes, len < PS_RECORD_PREFIX ? len : PS_RECORD_PREFIX, len, &prefix));
	assert_int_equal(prefix.sets[PS_SET_CURRENT].count, 3);
	/* Cut anywhere, or longer: refused. */
	for (size_t cut = 0; cut < len; cut++) {
		struct ps_record short_one;
		assert_int_not_equal(ps_record_decode(bytes, cut, &group_memory, &short_one), PS_OK);
	}
	free(bytes);
	ps_record_done(&record);
	ps_record_done(&again);
}

static void what_travels_comes_back_confirmed_and_clean(void **state)
{
	(void)state;
	struct dice dice = {test_seed(6)};
	struct ps_record record, again;
	make_full(&dice, &record);
	assert_true(ps_record_may_travel(&record));
	size_t len = ps_record_wire_bytes(&record);
	uint8_t *bytes = malloc(len);
	assert_non_null(bytes);
	ps_record_encode_wire(&record, 12, bytes);
	ok(ps_record_decode_wire(bytes, len, &group_memory, &again));
	assert_int_equal(again.flags, PS_RECORD_COMPLETE | PS_RECORD_PUBLIC);
	assert_int_equal(again.published, 12);
	assert_int_equal(again.sets[PS_SET_NEXT].count + again.sets[PS_SET_BASE].count, 0);
	assert_int_equal(ps_version_compare(&again.base, &record.version), 0);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(again.sets[0].slots[i].status, PS_SLOT_CONFIRMED);
		assert_memory_equal(again.sets[0].slots[i].hash, record.sets[0].slots[i].hash, 32);
		assert_true(ps_all_zero(again.sets[0].slots[i].nonce, PS_PAD_NONCE));
	}
	ps_record_done(&again);
	for (size_t cut = 0; cut < len; cut++)
		refused(ps_record_decode_wire(bytes, cut, &group_memory, &again), PS_ECORRUPT);
	free(bytes);
	ps_record_done(&record);
}

static void put_next(struct dice *dice, struct ps_record *record)
{
	struct ps_pad_slot slot = pad_of(dice, PS_SLOT_CONFIRMED);
	record->flags |= PS_RECORD_UPDATING;
	record->next = (struct ps_content){.size = 5, .mode = PS_PAD_MEDIUM};
	ok(ps_record_add_slots(record, PS_SET_NEXT, &slot, 1));
}

/* What a head names is not let go before a head without it is confirmed; what no head ever named is, at once.
 */
static void pads_are_let_go_when_no_head_names_them(void **state)
{
	(void)state;
	struct dice dice = {test_seed(7)};
	struct ps_record record, lost;
	struct ps_slots let_go = {0};
	struct ps_version v2 = version_of(2, 7), v3 = version_of(3, 7), v4 = version_of(4, 7);
	make_blob(&dice, &group_memory, "k", 2, &record);
	record.base = record.version; /* synced */
	record.flags &= (uint16_t)~PS_RECORD_DIRTY;
	put_next(&dice, &record);
	ok(ps_record_switch(&record, &v2, 1, &let_go));
	assert_int_equal(let_go.count, 0);
	assert_int_equal(record.sets[PS_SET_BASE].count, 2);
	put_next(&dice, &record);
	ok(ps_record_switch(&record, &v3, 2, &let_go));
	assert_int_equal(let_go.count, 1); /* version 2 never left this machine */
	ok(ps_record_mark_sent(&record));
	refused(ps_record_mark_sent(&record), PS_EINVAL);
	ps_slots_done(&let_go, &group_memory);
	put_next(&dice, &record);
	ok(ps_record_switch(&record, &v4, 3, &let_go));
	assert_int_equal(let_go.count, 0); /* version 3 may be in a head by now */
	assert_int_equal(record.sets[PS_SET_BASE].count, 2);
	assert_int_equal(record.sets[PS_SET_SENT].count, 1);
	ok(ps_record_check(&record));
	ok(ps_record_copy(&lost, &record));
	ok(ps_record_settle(&record, 8, &let_go));
	assert_int_equal(let_go.count, 2); /* version 1's */
	assert_int_equal(record.sets[PS_SET_BASE].count, 1);
	assert_true(record.flags & PS_RECORD_DIRTY);
	ps_slots_done(&let_go, &group_memory);
	ok(ps_record_unsend(&lost, &let_go));
	assert_int_equal(let_go.count, 1); /* version 3's */
	assert_int_equal(lost.sets[PS_SET_BASE].count, 2);
	ok(ps_record_check(&lost));
	ps_slots_done(&let_go, &group_memory);
	ps_record_done(&lost);
	struct ps_version v5 = version_of(5, 7);
	ok(ps_record_bury(&record, &v5, 4, &let_go));
	assert_int_equal(let_go.count, 1); /* version 4's */
	ps_slots_done(&let_go, &group_memory);
	ok(ps_record_mark_sent(&record));
	ok(ps_record_settle(&record, 9, &let_go));
	assert_int_equal(let_go.count, 1); /* version 3's: the head with the tombstone is there */
	assert_false(record.flags & PS_RECORD_DIRTY);
	ok(ps_record_check(&record));
	ps_slots_done(&let_go, &group_memory);
	ps_record_done(&record);
}

static void versions_only_go_up(void **state)
{
	(void)state;
	struct dice dice = {test_seed(8)};
	struct ps_record record;
	struct ps_slots let_go = {0};
	make_blob(&dice, &group_memory, "k", 1, &record);
	struct ps_version same = record.version;
	refused(ps_record_bury(&record, &same, 1, &let_go), PS_EINVAL);
	put_next(&dice, &record);
	refused(ps_record_switch(&record, &same, 1, &let_go), PS_EINVAL);
	ps_record_done(&record);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_slot_says_the_same_again),
	    cmocka_unit_test(impossible_slots_are_refused),
	    cmocka_unit_test(only_the_tables_changes_are_legal),
	    cmocka_unit_test(one_counter_never_gets_a_second_hash),
	    cmocka_unit_test(a_pad_taken_again_goes_up_and_remembers_what_was_there),
	    cmocka_unit_test(a_record_says_the_same_again_and_slots_lie_where_it_says),
	    cmocka_unit_test(what_travels_comes_back_confirmed_and_clean),
	    cmocka_unit_test(pads_are_let_go_when_no_head_names_them),
	    cmocka_unit_test(versions_only_go_up),
	};
	return cmocka_run_group_tests_name("record", tests, memory_begin, memory_is_given_back);
}
