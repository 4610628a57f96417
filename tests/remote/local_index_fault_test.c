/* The local index when memory or the disk fails at any one moment, or from it on: every call says so by a
 * code and a sentence, nothing is half applied or leaked, and what is opened afterwards is as before the
 * transaction or as after it. */
#include "tests/remote/index_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "remote/local_index_internal.h"
#include "store/base_internal.h"

enum { MOST_FAULTS = 4000 };

enum fault { FAULT_MEMORY, FAULT_MEMORY_FOREVER, FAULT_IO, FAULT_IO_FOREVER, FAULT_FULL, FAULTS };
static const char *const fault_names[FAULTS] = {"memory", "memory for good", "i/o", "i/o for good",
                                                "full disk"};

/* What an application's allocator sees: all that is not given back shows. */
struct counted {
	int64_t bytes;
};

static void *counted_alloc(void *arg, size_t size)
{
	struct counted *counted = arg;
	void *memory = malloc(size);
	counted->bytes += memory ? (int64_t)size : 0;
	return memory;
}

static void *counted_resize(void *arg, void *memory, size_t old_size, size_t new_size)
{
	struct counted *counted = arg;
	void *grown = realloc(memory, new_size);
	counted->bytes += grown ? (int64_t)new_size - (int64_t)old_size : 0;
	return grown;
}

static void counted_release(void *arg, void *memory, size_t size)
{
	struct counted *counted = arg;
	counted->bytes -= memory ? (int64_t)size : 0;
	free(memory);
}

struct world {
	struct sim_disk *disk;
	ps_index *index;
	struct dice dice;
	uint8_t *image;
	uint64_t size;
	bool commit_spoiled; /* a transaction that failed is ended by its commit, else by abort */
	struct counted counted;
};

static int try_open(struct world *w, bool make)
{
	const struct ps_allocator_fns fns = {counted_alloc, counted_resize, counted_release, &w->counted};
	const struct ps_base_options options = {.size = sizeof(options),
	                                        .background = PS_BACKGROUND_NONE,
	                                        .log_bytes = 64 << 10,
	                                        .initial_bytes = 64 << 10,
	                                        .memory_budget = 64 << 20,
	                                        .alloc = fns.alloc,
	                                        .resize = fns.resize,
	                                        .release = fns.release,
	                                        .alloc_arg = fns.arg};
	ps_storer *store;
	int err = ps_base_open_io(sim_disk_io(w->disk), sim_disk_size(w->disk) == 0, &options, &store);
	if (err != PS_OK)
		return err;
	err = ps_index_over(store, &test_binding, make, &fns, &w->index);
	if (err != PS_OK) {
		w->index = NULL;
		(void)!ps_close(store);
	} else {
		index_take_seams(w->index);
	}
	return err;
}

/* ---- what is done: each returns its first error, and has cleaned up then ---- */

static int end(struct world *w, ps_index_txn *txn, int err)
{
	if (err == PS_OK)
		return ps_index_commit(txn);
	if (!w->commit_spoiled) {
		ps_index_abort(txn);
		return err;
	}
	int said = ps_index_commit(txn);
	if (said == PS_OK)
		fail_msg("committed in spite of %s", ps_error_name(err));
	return err;
}

static int any_pad(struct world *w, ps_index_txn *txn, struct ps_pad_slot *slot)
{
	int err = ps_txn_take(txn, PS_PAD_PRIVATE, PS_PAD_MEDIUM, slot);
	if (err == PS_OK)
		return ps_slot_reuse(slot);
	*slot = new_pad(&w->dice, PS_PAD_PRIVATE, PS_PAD_MEDIUM);
	return err == PS_ENOTFOUND ? PS_OK : err;
}

static int put_new(struct world *w, const char *name, unsigned pads)
{
	struct ps_record record;
	ps_index_txn *txn;
	int err = ps_record_init(&record, ps_index_memory(w->index), PS_RECORD_BLOB, name, strlen(name));
	if (err == PS_OK)
		err = ps_index_begin(w->index, &txn);
	if (err != PS_OK)
		return err;
	record.flags = PS_RECORD_UPDATING;
	record.next = (struct ps_content){.size = pads, .mode = PS_PAD_MEDIUM};
	for (unsigned i = 0; i < pads && err == PS_OK; i++) {
		struct ps_pad_slot slot;
		err = any_pad(w, txn, &slot);
		if (err == PS_OK)
			err = ps_record_add_slots(&record, PS_SET_NEXT, &slot, 1);
	}
	if (err == PS_OK)
		err = ps_txn_put(txn, &record);
	err = end(w, txn, err);
	ps_record_done(&record);
	return err;
}

static int put_small(struct world *w)
{
	return put_new(w, "new", 3);
}

static int put_large(struct world *w)
{
	return put_new(w, "large", 300);
}

/* Sealed and confirmed in place, pad by pad. */
static int set_slots(struct world *w)
{
	struct ps_pad_slot slots[4];
	uint32_t got = 0;
	ps_index_txn *txn;
	int err = ps_index_slots(w->index, PS_RECORD_BLOB, "begun", 5, PS_SET_NEXT, 0, 4, slots, &got);
	if (err == PS_OK)
		err = ps_index_begin(w->index, &txn);
	if (err != PS_OK)
		return err;
	assert_int_equal(got, 4);
	for (uint32_t i = 0; i < got && err == PS_OK; i++) {
		seal(&w->dice, &slots[i]);
		slots[i].status = PS_SLOT_CONFIRMED;
		err = ps_txn_set_slot(txn, PS_RECORD_BLOB, "begun", 5, PS_SET_NEXT, i, &slots[i]);
	}
	return end(w, txn, err);
}

/* A tombstone, whose pads wait for a head; another removed for good; both notes. */
static int remove_two(struct world *w)
{
	struct ps_record one = {0}, other = {0};
	struct ps_slots let_go = {0};
	const struct ps_version version = version_of(9, 3);
	uint8_t note[9000] = {1};
	ps_index_txn *txn;
	int err = ps_index_get(w->index, PS_RECORD_BLOB, "blob 1", 6, &one);
	if (err == PS_OK)
		err = ps_index_get(w->index, PS_RECORD_BLOB, "blob 2", 6, &other);
	if (err == PS_OK)
		err = ps_record_bury(&one, &version, 5, &let_go);
	if (err == PS_OK)
		err = ps_index_begin(w->index, &txn);
	if (err == PS_OK) {
		err = ps_txn_put(txn, &one);
		if (err == PS_OK)
			err = ps_txn_let_go(txn, &let_go, 30);
		if (err == PS_OK)
			err = ps_txn_remove(txn, PS_RECORD_BLOB, "blob 2", 6, false);
		if (err == PS_OK)
			err = ps_txn_let_go(txn, &other.sets[PS_SET_CURRENT], 0);
		if (err == PS_OK)
			err = ps_txn_set_note(txn, PS_NOTE_HEAD_INTENT, note, sizeof(note));
		if (err == PS_OK)
			err = ps_txn_set_note(txn, PS_NOTE_HEAD, NULL, 0);
		err = end(w, txn, err);
	}
	ps_slots_done(&let_go, ps_index_memory(w->index));
	ps_record_done(&one);
	ps_record_done(&other);
	return err;
}

static int take_and_retire(struct world *w)
{
	struct ps_pad_slot slot;
	ps_index_txn *txn;
	int err = ps_index_begin(w->index, &txn);
	if (err != PS_OK)
		return err;
	err = ps_txn_take(txn, PS_PAD_PRIVATE, PS_PAD_MEDIUM, &slot);
	slot.status = PS_SLOT_PENDING; /* about to be deleted */
	if (err == PS_OK)
		err = ps_txn_add_spare(txn, &slot, 0);
	return end(w, txn, err);
}

static int adopt(struct world *w)
{
	struct ps_record record;
	ps_index_txn *txn;
	int err = ps_index_get(w->index, PS_RECORD_BLOB, "blob 0", 6, &record);
	if (err != PS_OK)
		return err;
	struct ps_pad_slot slot = pad_of(&w->dice, PS_SLOT_CONFIRMED);
	err = ps_record_set_slots(&record, PS_SET_CURRENT, &slot, 1);
	record.version = record.base = version_of(7, 9);
	if (err == PS_OK)
		err = ps_index_begin(w->index, &txn);
	if (err == PS_OK)
		err = end(w, txn, ps_txn_adopt(txn, &record));
	ps_record_done(&record);
	return err;
}

/* Settling has no result: without memory a pad stays held, until the next call. */
static int settle(struct world *w)
{
	ps_index_settle(w->index, 20);
	return PS_OK;
}

static int count_record(void *arg, const struct ps_record *record)
{
	(void)record;
	++*(unsigned *)arg;
	return 0;
}

static int count_spare(void *arg, const struct ps_spare *spare)
{
	(void)spare;
	++*(unsigned *)arg;
	return 0;
}

static int look(struct world *w)
{
	struct ps_record record;
	unsigned seen = 0;
	uint8_t *note;
	size_t len;
	int err = ps_index_get(w->index, PS_RECORD_BLOB, "blob 3", 6, &record);
	if (err == PS_OK)
		ps_record_done(&record);
	if (err == PS_OK)
		err = ps_index_look(w->index, PS_RECORD_BLOB, "begun", 5, &record);
	if (err == PS_OK)
		err = ps_index_list(w->index, PS_RECORD_BLOB, NULL, PS_LIST_SLOTS, count_record, &seen);
	w->index->list_keep_bytes = 1000; /* in parts */
	if (err == PS_OK)
		err = ps_index_list(w->index, PS_RECORD_BLOB, "blob", 0, count_record, &seen);
	if (err == PS_OK)
		err = ps_index_each_spare(w->index, PS_SLOT_FREE, count_spare, &seen);
	if (err == PS_OK)
		err = ps_index_note(w->index, PS_NOTE_HEAD, &note, &len);
	if (err == PS_OK)
		ps_memory_free(ps_index_memory(w->index), note, len);
	return err == PS_OK ? ps_index_verify(w->index, NULL, NULL) : err;
}

struct action {
	const char *name;
	int (*run)(struct world *w);
};

static const struct action actions[] = {
    {"put", put_small},
    {"put a large one", put_large},
    {"set slots", set_slots},
    {"remove", remove_two},
    {"take and let go", take_and_retire},
    {"adopt", adopt},
    {"settle", settle},
    {"look", look},
};

/* ---- the world that each of them meets ---- */

static void adopt_blob(struct world *w, const char *name, unsigned pads)
{
	struct ps_record record;
	ps_index_txn *txn;
	make_blob(&w->dice, ps_index_memory(w->index), name, pads, &record);
	record.base = record.version;
	record.flags &= (uint16_t)~PS_RECORD_DIRTY;
	ok(ps_index_begin(w->index, &txn));
	ok(ps_txn_adopt(txn, &record));
	ok(ps_index_commit(txn));
	ps_record_done(&record);
}

static void let_go_all(struct world *w, const char *name, uint64_t hold)
{
	struct ps_record record;
	ps_index_txn *txn;
	ok(ps_index_get(w->index, PS_RECORD_BLOB, name, strlen(name), &record));
	ok(ps_index_begin(w->index, &txn));
	ok(ps_txn_remove(txn, PS_RECORD_BLOB, name, strlen(name), false));
	ok(ps_txn_let_go(txn, &record.sets[PS_SET_CURRENT], hold));
	ok(ps_index_commit(txn));
	ps_record_done(&record);
}

static void fill(struct world *w)
{
	char name[] = "blob 0";
	ps_index_txn *txn;
	for (; name[5] < '6'; name[5]++)
		adopt_blob(w, name, 1 + (unsigned)(name[5] - '0') * 8);
	adopt_blob(w, "free", 2);
	let_go_all(w, "free", 0);
	adopt_blob(w, "held", 20);
	let_go_all(w, "held", 20);
	ok(put_new(w, "begun", 4));
	ok(ps_index_begin(w->index, &txn));
	ok(ps_txn_set_note(txn, PS_NOTE_HEAD, "a note", 6));
	ok(ps_index_commit(txn));
	adopt_blob(w, "free", 2);
	let_go_all(w, "free", 0);
}

static struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));
	assert_non_null(w);
	w->dice.state = 77;
	w->disk = sim_disk_new(NULL, 0);
	ok(try_open(w, true));
	fill(w);
	ok(ps_index_close(w->index));
	assert_int_equal(w->counted.bytes, 0);
	w->size = sim_disk_size(w->disk);
	w->image = malloc(w->size);
	assert_non_null(w->image);
	sim_disk_image(w->disk, w->image);
	return w;
}

static void world_free(struct world *w)
{
	sim_disk_free(w->disk);
	free(w->image);
	free(w);
}

static void reset(struct world *w)
{
	sim_disk_reset(w->disk, w->image, w->size);
	sim_disk_set_tracing(w->disk, false);
	w->dice.state = 99;
}

static void arm(struct world *w, enum fault fault, uint64_t kth)
{
	bool forever = fault == FAULT_MEMORY_FOREVER || fault == FAULT_IO_FOREVER || fault == FAULT_FULL;
	if (fault <= FAULT_MEMORY_FOREVER)
		(void)ps_memory_fail_nth(kth, forever);
	else
		sim_disk_fail(w->disk, kth, fault == FAULT_FULL ? ENOSPC : EIO, forever);
}

/* Whether it was made. */
static bool disarm(struct world *w, enum fault fault, uint64_t kth)
{
	uint64_t allocations = ps_memory_fail_nth(0, 0);
	bool made = fault <= FAULT_MEMORY_FOREVER ? allocations >= kth : sim_disk_faults(w->disk) > 0;
	sim_disk_fail(w->disk, 0, 0, false);
	return made;
}

static bool explains(enum fault fault, int err)
{
	if (fault <= FAULT_MEMORY_FOREVER)
		return err == PS_ENOMEM;
	return fault == FAULT_FULL ? err == PS_ENOSPC || err == PS_EIO || err == PS_EREADONLY
	                           : err == PS_EIO || err == PS_EREADONLY;
}

/* Notes too: they stand in no sum. */
static uint64_t state_of(ps_index *index)
{
	uint64_t sum = index_sum(index);
	for (unsigned note = 0; note < PS_NOTES; note++) {
		uint8_t *bytes;
		size_t len;
		int err = ps_index_note(index, note, &bytes, &len);
		if (err == PS_ENOTFOUND)
			continue;
		ok(err);
		sum += (note + 1) * 1000003U * (len + 1);
		ps_memory_free(ps_index_memory(index), bytes, len);
	}
	return sum;
}

struct states {
	uint64_t before, after;
};

static struct states learn(struct world *w, const struct action *action)
{
	struct states states;
	reset(w);
	ok(try_open(w, false));
	states.before = state_of(w->index);
	ok(action->run(w));
	states.after = state_of(w->index);
	verify_index(w->index);
	ok(ps_index_close(w->index));
	return states;
}

static void is_one_of(struct world *w, const struct states *states, bool before, bool after, const char *when)
{
	verify_index(w->index);
	uint64_t is = state_of(w->index);
	if (!(before && is == states->before) && !(after && is == states->after))
		fail_msg("%s: %s", when,
		         is == states->before  ? "nothing of it"
		         : is == states->after ? "all of it"
		                               : "a part of it");
}

/* Whether the fault was met: if not, there are no more. */
static bool meet(struct world *w, const struct action *action, const struct states *states, enum fault fault,
                 uint64_t kth)
{
	reset(w);
	ok(try_open(w, false));
	w->commit_spoiled = kth & 1;
	arm(w, fault, kth);
	(void)!ps_fail(PS_OK, "%s", "");
	int err = action->run(w);
	bool met = disarm(w, fault, kth);
	if (err != PS_OK && (!met || !explains(fault, err) || !*ps_last_error_message()))
		fail_msg("%s, %s at %llu: %s: %s", action->name, fault_names[fault], (unsigned long long)kth,
		         ps_error_name(err), ps_last_error_message());
	ps_index_txn *txn;
	int usable = ps_index_begin(w->index, &txn);
	if (usable == PS_OK) {
		ps_index_abort(txn);
		is_one_of(w, states, err != PS_OK, err == PS_OK, "still open");
	} else if (fault <= FAULT_MEMORY_FOREVER || err == PS_OK) {
		fail_msg("%s, %s at %llu: %s afterwards", action->name, fault_names[fault],
		         (unsigned long long)kth, ps_error_name(usable));
	}
	(void)!ps_index_close(w->index);
	if (w->counted.bytes != 0)
		fail_msg("%s, %s at %llu: %lld bytes leaked", action->name, fault_names[fault],
		         (unsigned long long)kth, (long long)w->counted.bytes);
	ok(try_open(w, false));
	is_one_of(w, states, err != PS_OK, err == PS_OK || usable != PS_OK, "opened anew");
	ok(ps_index_close(w->index));
	return met;
}

static void every_fault_leaves_all_or_nothing(void **state)
{
	(void)state;
	struct world *w = world_new();
	for (size_t a = 0; a < sizeof(actions) / sizeof(actions[0]); a++) {
		struct states states = learn(w, &actions[a]);
		for (enum fault fault = 0; fault < FAULTS; fault++) {
			uint64_t kth = 1;
			while (kth < MOST_FAULTS && meet(w, &actions[a], &states, fault, kth))
				kth += test_one_in();
			assert_in_range(kth, 1, MOST_FAULTS - 1);
			print_message("%s, %s: %llu\n", actions[a].name, fault_names[fault],
			              (unsigned long long)kth - 1);
		}
	}
	world_free(w);
}

static void an_open_that_fails_leaves_all_as_it_was(void **state)
{
	(void)state;
	struct world *w = world_new();
	struct states states = learn(w, &actions[sizeof(actions) / sizeof(actions[0]) - 1]);
	for (enum fault fault = 0; fault < FAULTS; fault++) {
		bool met = true;
		for (uint64_t kth = 1; met; kth += test_one_in()) {
			reset(w);
			arm(w, fault, kth);
			int err = try_open(w, false);
			met = disarm(w, fault, kth);
			if (err != PS_OK && (!met || !explains(fault, err)))
				fail_msg("%s at %llu: %s: %s", fault_names[fault], (unsigned long long)kth,
				         ps_error_name(err), ps_last_error_message());
			if (err == PS_OK)
				(void)!ps_index_close(w->index);
			assert_int_equal(w->counted.bytes, 0);
			ok(try_open(w, false));
			is_one_of(w, &states, true, false, "opened anew");
			ok(ps_index_close(w->index));
		}
	}
	world_free(w);
}

/* On a real file system: what a failure leaves is no index yet, and the next attempt makes it. */
static void a_failed_make_is_made_again(void **state)
{
	(void)state;
	char folder[] = "/tmp/padstone-index-XXXXXX", path[64];
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/index", folder);
	int err = PS_ENOMEM;
	for (uint64_t kth = 1; err != PS_OK; kth++) {
		ps_index *index = NULL;
		(void)ps_memory_fail_nth(kth, kth & 1);
		err = ps_index_make(folder, &test_binding, NULL);
		(void)ps_memory_fail_nth(0, 0);
		if (err == PS_OK)
			break;
		assert_int_equal(err, PS_ENOMEM);
		refused(ps_index_open(folder, &test_binding, NULL, &index), PS_ENOENT);
		ok(ps_index_make(folder, &test_binding, NULL));
		ok(ps_index_open(folder, &test_binding, NULL, &index));
		ok(ps_index_close(index));
		assert_int_equal(unlink(path), 0);
	}
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
}

static void the_same_with_a_summary(void **state)
{
	test_summary_from = 1;
	test_summary_cells = 3;
	every_fault_leaves_all_or_nothing(state);
	test_summary_from = test_summary_cells = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_fault_leaves_all_or_nothing),
	    cmocka_unit_test(the_same_with_a_summary),
	    cmocka_unit_test(an_open_that_fails_leaves_all_as_it_was),
	    cmocka_unit_test(a_failed_make_is_made_again),
	};
	return cmocka_run_group_tests_name("local index, faults", tests, NULL, NULL);
}
