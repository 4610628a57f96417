/* The merge: each row of its table, and what holds over thousands of random histories. */
#include "tests/remote/group_memory.h"
#include "tests/remote/merge_world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct dice dice;

static const char *no_name(void *arg, const uint8_t machine[PS_MACHINE])
{
	(void)arg;
	return machine[0] == 1 ? "ada" : machine[0] == 2 ? "bo" : NULL;
}

/* The first `arg` names are taken. */
static int taken(void *arg, const char *name, size_t name_len, bool *exists)
{
	unsigned *left = arg;
	(void)name, (void)name_len;
	*exists = *left > 0;
	*left -= *left > 0;
	return PS_OK;
}

static unsigned names_taken;
static const struct ps_merge_context me = {.memory = &group_memory,
                                           .machine = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1},
                                           .arg = &names_taken,
                                           .machine_name = no_name,
                                           .exists = taken};

static struct ps_record blob(uint64_t counter, uint8_t machine)
{
	struct ps_record record;
	make_blob(&dice, &group_memory, "key", 1, &record);
	record.version = record.base = version_of(counter, machine);
	record.flags = PS_RECORD_COMPLETE;
	record.published = counter;
	return record;
}

static struct ps_record dirty(struct ps_record record, uint64_t base)
{
	record.base = base > 0 ? version_of(base, 3) : (struct ps_version){0};
	record.flags |= PS_RECORD_DIRTY;
	record.published = base;
	return record;
}

static struct ps_record tomb(uint64_t counter, uint8_t machine)
{
	struct ps_record record = blob(counter, machine);
	ps_slots_done(&record.sets[PS_SET_CURRENT], &group_memory);
	record.content = (struct ps_content){0};
	record.flags = PS_RECORD_TOMBSTONE;
	return record;
}

/* Takes both. let_go: pads that must come free. */
static void merges_to(struct ps_record mine, struct ps_record theirs, enum ps_merge_decision decision,
                      const char *copy, unsigned let_go)
{
	struct ps_merge_result result;
	ok(ps_record_check(&mine));
	ok(ps_record_check(&theirs));
	ok(ps_merge_record(&me, &mine, &theirs, &result));
	assert_int_equal(result.decision, decision);
	assert_int_equal(result.let_go.count, let_go);
	assert_int_equal(result.has_copy, copy != NULL);
	if (result.put)
		ok(ps_record_check(&result.record));
	if (copy) {
		ok(ps_record_check(&result.copy));
		assert_string_equal(result.copy.name, copy);
		assert_true(result.copy.flags & PS_RECORD_DIRTY);
	}
	ps_merge_result_done(&result, &group_memory);
	ps_record_done(&mine);
	ps_record_done(&theirs);
}

static void each_row_of_the_table(void **state)
{
	(void)state;
	merges_to(blob(1, 3), blob(2, 2), PS_MERGE_ADOPT, NULL, 0);
	merges_to(blob(2, 2), blob(2, 2), PS_MERGE_NOTHING, NULL, 0);
	merges_to(blob(1, 3), tomb(2, 2), PS_MERGE_ADOPT_REMOVAL, NULL, 0);
	merges_to(dirty(blob(2, 1), 1), blob(1, 3), PS_MERGE_NOTHING, NULL, 0);
	merges_to(dirty(blob(2, 1), 1), blob(2, 2), PS_MERGE_THEIRS_AND_COPY, "key (conflict ada 2)", 0);
	merges_to(dirty(blob(3, 1), 1), blob(2, 2), PS_MERGE_OURS_AND_COPY, "key (conflict bo 2)", 0);
	merges_to(dirty(tomb(2, 1), 1), blob(2, 2), PS_MERGE_ADOPT, NULL, 0);
	merges_to(dirty(tomb(5, 1), 1), blob(2, 2), PS_MERGE_ADOPT, NULL, 0);
	merges_to(dirty(blob(2, 1), 1), tomb(2, 2), PS_MERGE_KEEP_OVER_REMOVE, NULL, 0);
	merges_to(dirty(tomb(2, 1), 1), tomb(2, 2), PS_MERGE_ADOPT_REMOVAL, NULL, 0);
	struct ps_record mine = dirty(blob(2, 1), 1), theirs = blob(2, 2);
	ok(ps_record_mark_sent(&mine));
	struct ps_merge_result result;
	refused(ps_merge_record(&me, &mine, &theirs, &result), PS_EBUSY);
	ps_record_done(&theirs);
	merges_to(mine, blob(2, 1), PS_MERGE_SETTLED, NULL, 0);
	mine = dirty(blob(2, 1), 1);
	theirs = blob(2, 2);
	theirs.content = mine.content;
	merges_to(mine, theirs, PS_MERGE_ADOPT, NULL, 1); /* twice the same contents: ours are let go */
}

/* Ours was alone when a head carried its version 1, whose pads are its own to free: those that it has left.
 */
static void what_was_left_comes_back(void **state)
{
	struct ps_merge_context owner = me;
	struct ps_merge_result result;
	struct ps_record mine = blob(1, 1), theirs = blob(2, 2);
	uint32_t pads = mine.sets[PS_SET_CURRENT].count;
	(void)state;
	owner.kept = 1;
	ok(ps_merge_record(&owner, &mine, &theirs, &result)); /* clean: all of them */
	assert_int_equal(result.decision, PS_MERGE_ADOPT);
	assert_int_equal(result.let_go.count, pads);
	ps_merge_result_done(&result, &group_memory);
	struct ps_version later = version_of(2, 1);
	struct ps_pad_slot kept = mine.sets[PS_SET_CURRENT].slots[0],
	                   fresh = new_pad(&dice, kept.class, kept.mode);
	fresh.status = PS_SLOT_CONFIRMED;
	fresh.hash[0] = 1;
	mine.flags |= PS_RECORD_DIRTY;
	mine.version = later;
	kept.named = PS_NAMED_BASE;
	ok(ps_record_set_slots(&mine, PS_SET_CURRENT, &kept, 1)); /* one stays, one is to be freed */
	ok(ps_record_set_slots(&mine, PS_SET_BASE, &fresh, 1));
	mine.content.size = 1;
	ok(ps_record_check(&mine));
	ok(ps_merge_record(&owner, &mine, &theirs, &result));
	assert_int_equal(result.decision, PS_MERGE_THEIRS_AND_COPY);
	assert_int_equal(result.let_go.count, 1);
	assert_true(ps_slot_same_pad(&result.let_go.slots[0], &fresh));
	assert_true(ps_slot_same_pad(&result.copy.sets[PS_SET_CURRENT].slots[0], &kept));
	assert_int_equal(result.copy.sets[PS_SET_CURRENT].slots[0].named, 0); /* no head does any more */
	ps_merge_result_done(&result, &group_memory);
	ok(ps_merge_record(&me, &mine, &theirs, &result)); /* else it is theirs to free */
	assert_int_equal(result.let_go.count, 0);
	ps_merge_result_done(&result, &group_memory);
	ps_record_done(&mine);
	ps_record_done(&theirs);
}

/* Theirs may be shared there by now: no copy borrows their pads. */
static void what_is_left_to_others_keeps_its_name(void **state)
{
	struct ps_merge_context joined = me;
	struct ps_merge_result result;
	struct ps_record mine = dirty(blob(9, 1), 1), theirs = blob(2, 2);
	(void)state;
	ok(ps_merge_record(&me, &mine, &theirs, &result));
	assert_int_equal(result.decision, PS_MERGE_OURS_AND_COPY);
	ps_merge_result_done(&result, &group_memory);
	joined.left = 2;
	ok(ps_merge_record(&joined, &mine, &theirs, &result));
	assert_int_equal(result.decision, PS_MERGE_THEIRS_AND_COPY);
	assert_false(result.copy.flags & PS_RECORD_BORROWED);
	ps_merge_result_done(&result, &group_memory);
	ps_record_done(&mine);
	ps_record_done(&theirs);
}

/* A copy that waits for its first head meets another record of its own name: nothing of it is let go. */
static void a_borrowed_copy_stays_borrowed(void **state)
{
	(void)state;
	for (unsigned counter = 1; counter < 8; counter += 6) {
		struct ps_record mine = dirty(blob(3, 1), 0), theirs = blob(counter, 2);
		struct ps_merge_result result;
		ok(ps_record_rename(&mine, "key (conflict bo 2)", 19));
		ok(ps_record_rename(&theirs, "key (conflict bo 2)", 19));
		mine.flags |= PS_RECORD_BORROWED;
		mine.origin_len = 3;
		ok(ps_record_check(&mine));
		ok(ps_merge_record(&me, &mine, &theirs, &result));
		ok(ps_record_check(&result.record));
		ok(ps_record_check(&result.copy));
		assert_int_equal(result.let_go.count, 0);
		assert_int_equal((counter == 1 ? &result.record : &result.copy)->origin_len, 3);
		ps_merge_result_done(&result, &group_memory);
		ok(ps_merge_borrowed(&me, &mine, &result));
		assert_int_equal(result.decision, PS_MERGE_VANISH);
		assert_int_equal(result.let_go.count, 0);
		ps_record_done(&mine);
		ps_record_done(&theirs);
	}
}

static void an_update_in_progress_goes_on(void **state)
{
	(void)state;
	struct ps_record mine = blob(1, 3), theirs = blob(2, 2);
	struct ps_merge_result result;
	struct ps_pad_slot slot = new_pad(&dice, PS_PAD_PRIVATE, PS_PAD_SMALL);
	mine.flags |= PS_RECORD_UPDATING;
	mine.next.mode = PS_PAD_SMALL;
	ok(ps_record_set_slots(&mine, PS_SET_NEXT, &slot, 1));
	ok(ps_merge_record(&me, &mine, &theirs, &result));
	ok(ps_record_check(&result.record));
	assert_true(ps_slot_same_pad(&result.record.sets[PS_SET_NEXT].slots[0], &slot));
	assert_int_equal(result.let_go.count, 0);
	ps_merge_result_done(&result, &group_memory);
	ps_record_done(&mine);
	ps_record_done(&theirs);
}

static void what_the_whole_index_lacks_was_removed(void **state)
{
	(void)state;
	struct ps_merge_result result;
	struct ps_record record = blob(4, 2);
	ok(ps_merge_absent(&me, &record, &result));
	assert_int_equal(result.decision, PS_MERGE_VANISH);
	ps_merge_result_done(&result, &group_memory);
	record = dirty(record, 3);
	ok(ps_merge_absent(&me, &record, &result));
	assert_int_equal(result.decision, PS_MERGE_KEEP_OVER_REMOVE);
	assert_true(ps_version_none(&result.record.base));
	ps_merge_result_done(&result, &group_memory);
	record = dirty(record, 0);
	ok(ps_merge_absent(&me, &record, &result));
	assert_int_equal(result.decision, PS_MERGE_NOTHING);
	ps_record_done(&record);
}

static void a_conflict_name_is_unique_and_fits(void **state)
{
	(void)state;
	struct ps_record loser = blob(12, 2);
	char name[PS_RECORD_NAME_MAX + 1], longest[PS_RECORD_NAME_MAX + 1];
	size_t len;
	names_taken = 2;
	ok(ps_conflict_name(&me, &loser, name, &len));
	assert_string_equal(name, "key (conflict bo 12) 3");
	for (size_t i = 0; i + 1 < PS_RECORD_NAME_MAX; i += 2)
		memcpy(longest + i, "\xc3\xa9", 2);
	ok(ps_record_rename(&loser, longest, PS_RECORD_NAME_MAX));
	ok(ps_conflict_name(&me, &loser, name, &len));
	assert_in_range(len, PS_RECORD_NAME_MAX - 1, PS_RECORD_NAME_MAX);
	assert_int_equal(strlen(name), len);
	const char *tail = strstr(name, " (conflict bo 12)");
	assert_non_null(tail);
	assert_int_equal((tail - name) % 2, 0); /* no half character */
	ps_record_done(&loser);
}

/* Nothing is lost, nothing comes to life again, all agree, no pad is let go twice or forgotten. */
static void no_history_loses_an_update(void **state)
{
	(void)state;
	uint64_t seed = test_seed(2024), histories = 3000;
	if (getenv("PS_HISTORIES"))
		histories = strtoull(getenv("PS_HISTORIES"), NULL, 10);
	for (uint64_t i = 0; i < histories; i++) {
		struct world *w = world_new(seed * 1000003 + i);
		unsigned steps = 5 + (unsigned)roll_below(&w->dice, 40);
		if (getenv("PS_ONE"))
			print_message("history %llu\n", (unsigned long long)i);
		for (unsigned step = 0; step < steps; step++)
			world_step(w);
		world_settle_and_check(w);
		world_free(w);
	}
}

static int setup(void **state)
{
	dice.state = 5;
	return memory_begin(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(each_row_of_the_table),
	    cmocka_unit_test(what_was_left_comes_back),
	    cmocka_unit_test(what_is_left_to_others_keeps_its_name),
	    cmocka_unit_test(a_borrowed_copy_stays_borrowed),
	    cmocka_unit_test(an_update_in_progress_goes_on),
	    cmocka_unit_test(what_the_whole_index_lacks_was_removed),
	    cmocka_unit_test(a_conflict_name_is_unique_and_fits),
	    cmocka_unit_test(no_history_loses_an_update),
	};
	return cmocka_run_group_tests_name("merge", tests, setup, memory_is_given_back);
}
