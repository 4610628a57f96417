/* The local index: what it keeps, what it refuses, what it counts. */
#include "tests/remote/index_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "remote/local_index_internal.h"

struct world {
	struct sim_disk *disk;
	ps_index *index;
	struct ps_memory memory;
	struct dice dice;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	w->disk = sim_disk_new(NULL, 0);
	w->index = index_on(w->disk, true);
	w->dice.state = 42;
	ps_memory_init(&w->memory, NULL);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	verify_index(w->index);
	ok(ps_index_close(w->index));
	sim_disk_free(w->disk);
	assert_int_equal(atomic_load(&w->memory.used), 0);
	ps_memory_done(&w->memory);
	free(w);
	return 0;
}

static void reopen(struct world *w)
{
	uint64_t sum = index_sum(w->index);
	struct ps_index_figures before, after;
	ps_index_figures(w->index, &before);
	ok(ps_index_close(w->index));
	w->index = index_on(w->disk, false);
	ps_index_figures(w->index, &after);
	before.memory = after.memory = 0;
	assert_memory_equal(&before, &after, sizeof(before));
	assert_true(sum == index_sum(w->index));
}

/* Pads cannot come from nowhere confirmed; a record that was adopted may have them so. */
static void put_blob(struct world *w, const char *name, unsigned pads)
{
	struct ps_record record;
	ps_index_txn *txn;
	make_blob(&w->dice, &w->memory, name, pads, &record);
	record.base = record.version;
	record.flags &= (uint16_t)~PS_RECORD_DIRTY;
	ok(ps_index_begin(w->index, &txn));
	ok(ps_txn_adopt(txn, &record));
	ok(ps_index_commit(txn));
	ps_record_done(&record);
}

static void remove_blob(struct world *w, const char *name)
{
	struct ps_record record;
	ps_index_txn *txn;
	ok(ps_index_get(w->index, PS_RECORD_BLOB, name, strlen(name), &record));
	ok(ps_index_begin(w->index, &txn));
	ok(ps_txn_remove(txn, PS_RECORD_BLOB, name, strlen(name), false));
	ok(ps_txn_let_go(txn, &record.sets[PS_SET_CURRENT], 0));
	ok(ps_index_commit(txn));
	ps_record_done(&record);
}

static void a_put_is_found_and_counted_and_there_again_after_an_open(void **state)
{
	struct world *w = *state;
	struct ps_record record;
	struct ps_index_figures f;
	put_blob(w, "one", 3);
	put_blob(w, "two", 100); /* longer than what a scan reads at once */
	ok(ps_index_look(w->index, PS_RECORD_BLOB, "two", 3, &record));
	assert_int_equal(record.sets[PS_SET_CURRENT].count, 100);
	refused(ps_index_get(w->index, PS_RECORD_BLOB, "three", 5, &record), PS_ENOTFOUND);
	refused(ps_index_get(w->index, PS_RECORD_SYSTEM, "two", 3, &record), PS_ENOTFOUND);
	ps_index_figures(w->index, &f);
	assert_int_equal(f.blobs, 2);
	assert_int_equal(f.bytes, 103000);
	assert_int_equal(f.pads[PS_SLOT_CONFIRMED], 103);
	reopen(w);
	remove_blob(w, "one");
	ps_index_figures(w->index, &f);
	assert_int_equal(f.spare[PS_PAD_PRIVATE][PS_PAD_MEDIUM], 3);
	assert_int_equal(f.pads[PS_SLOT_FREE], 3);
	reopen(w);
}

static void a_free_pad_is_taken_once_and_by_its_class_and_mode(void **state)
{
	struct world *w = *state;
	struct ps_pad_slot slot, other;
	ps_index_txn *txn, *second;
	put_blob(w, "a", 2);
	remove_blob(w, "a");
	ok(ps_index_begin(w->index, &txn));
	ok(ps_index_begin(w->index, &second));
	refused(ps_txn_take(txn, PS_PAD_PUBLIC_DATA, PS_PAD_MEDIUM, &slot), PS_ENOTFOUND);
	refused(ps_txn_take(txn, PS_PAD_PRIVATE, PS_PAD_LARGE, &slot), PS_ENOTFOUND);
	ok(ps_txn_take(txn, PS_PAD_PRIVATE, PS_PAD_MEDIUM, &slot));
	ok(ps_txn_take(second, PS_PAD_PRIVATE, PS_PAD_MEDIUM, &other));
	assert_false(ps_slot_same_pad(&slot, &other));
	refused(ps_txn_take(txn, PS_PAD_PRIVATE, PS_PAD_MEDIUM, &slot), PS_ENOTFOUND);
	ps_index_abort(second); /* gives its pad back */
	ok(ps_slot_reuse(&slot));
	struct ps_record record;
	ok(ps_record_init(&record, &w->memory, PS_RECORD_BLOB, "b", 1));
	record.flags = PS_RECORD_UPDATING;
	record.next.mode = PS_PAD_MEDIUM;
	ok(ps_record_set_slots(&record, PS_SET_NEXT, &slot, 1));
	ok(ps_txn_put(txn, &record));
	ok(ps_index_commit(txn));
	ps_record_done(&record);
	reopen(w);
	struct ps_index_figures f;
	ps_index_figures(w->index, &f);
	assert_int_equal(f.spare[PS_PAD_PRIVATE][PS_PAD_MEDIUM], 1);
	assert_int_equal(f.updating, 1);
	assert_int_equal(f.pads[PS_SLOT_GENERATED], 1);
}

static void a_held_pad_waits_for_its_head(void **state)
{
	struct world *w = *state;
	struct ps_pad_slot slot;
	struct ps_record record;
	ps_index_txn *txn;
	put_blob(w, "a", 1);
	ok(ps_index_get(w->index, PS_RECORD_BLOB, "a", 1, &record));
	ok(ps_index_begin(w->index, &txn));
	ok(ps_txn_remove(txn, PS_RECORD_BLOB, "a", 1, false));
	ok(ps_txn_let_go(txn, &record.sets[PS_SET_CURRENT], 17));
	ok(ps_index_commit(txn));
	ps_record_done(&record);
	reopen(w);
	ok(ps_index_begin(w->index, &txn));
	ps_index_settle(w->index, 16);
	refused(ps_txn_take(txn, PS_PAD_PRIVATE, PS_PAD_MEDIUM, &slot), PS_ENOTFOUND);
	ps_index_settle(w->index, 17);
	ok(ps_txn_take(txn, PS_PAD_PRIVATE, PS_PAD_MEDIUM, &slot));
	ps_index_abort(txn);
}

/* Each of these would leave a pad nowhere, twice, or where it never was. */
static void no_pad_is_forgotten_and_none_stands_twice(void **state)
{
	struct world *w = *state;
	struct ps_record record;
	struct ps_pad_slot slot;
	ps_index_txn *txn;
	put_blob(w, "a", 2);
	put_blob(w, "free", 1);
	remove_blob(w, "free");
	uint64_t sum = index_sum(w->index);
	ok(ps_index_get(w->index, PS_RECORD_BLOB, "a", 1, &record));

	ok(ps_index_begin(w->index, &txn)); /* removed, its pads nowhere */
	ok(ps_txn_remove(txn, PS_RECORD_BLOB, "a", 1, false));
	refused(ps_index_commit(txn), PS_EINVAL);

	ok(ps_index_begin(w->index, &txn)); /* in the record and free */
	ok(ps_txn_let_go(txn, &record.sets[PS_SET_CURRENT], 0));
	refused(ps_index_commit(txn), PS_EINVAL);

	ok(ps_index_begin(w->index, &txn)); /* taken, and placed nowhere */
	ok(ps_txn_take(txn, PS_PAD_PRIVATE, PS_PAD_MEDIUM, &slot));
	refused(ps_index_commit(txn), PS_EINVAL);

	ok(ps_index_begin(w->index, &txn)); /* a free pad from nowhere */
	slot = pad_of(&w->dice, PS_SLOT_FREE);
	ok(ps_txn_add_spare(txn, &slot, 0));
	refused(ps_index_commit(txn), PS_EINVAL);

	ok(ps_index_begin(w->index, &txn)); /* placed twice */
	ok(ps_txn_remove(txn, PS_RECORD_BLOB, "a", 1, false));
	ok(ps_txn_let_go(txn, &record.sets[PS_SET_CURRENT], 0));
	ok(ps_txn_let_go(txn, &record.sets[PS_SET_CURRENT], 0));
	refused(ps_index_commit(txn), PS_EINVAL);

	ok(ps_index_begin(w->index, &txn)); /* confirmed pads are not gone just so */
	ok(ps_txn_remove(txn, PS_RECORD_BLOB, "a", 1, false));
	for (unsigned i = 0; i < 2; i++)
		ok(ps_txn_retire(txn, &record.sets[PS_SET_CURRENT].slots[i]));
	refused(ps_index_commit(txn), PS_EINVAL);
	ps_record_done(&record);
	assert_true(sum == index_sum(w->index));
}

static void one_slot_changes_in_place_and_only_as_the_table_has_it(void **state)
{
	struct world *w = *state;
	struct ps_pad_slot slot;
	struct ps_record record;
	ps_index_txn *txn;
	uint32_t got;
	put_blob(w, "big", 500);
	ok(ps_index_slots(w->index, PS_RECORD_BLOB, "big", 3, PS_SET_CURRENT, 321, 1, &slot, &got));
	assert_int_equal(got, 1);
	slot.status = PS_SLOT_INVALID;
	ok(ps_index_begin(w->index, &txn));
	ok(ps_txn_set_slot(txn, PS_RECORD_BLOB, "big", 3, PS_SET_CURRENT, 321, &slot));
	refused(ps_txn_set_slot(txn, PS_RECORD_BLOB, "big", 3, PS_SET_CURRENT, 321, &slot), PS_EINVAL);
	refused(ps_index_commit(txn), PS_EINVAL);
	ok(ps_index_begin(w->index, &txn));
	ok(ps_txn_set_slot(txn, PS_RECORD_BLOB, "big", 3, PS_SET_CURRENT, 321, &slot));
	ok(ps_index_commit(txn));
	reopen(w);
	slot.status = PS_SLOT_WRITTEN; /* invalid → written is none of the table's */
	ok(ps_index_begin(w->index, &txn));
	ok(ps_txn_set_slot(txn, PS_RECORD_BLOB, "big", 3, PS_SET_CURRENT, 321, &slot));
	refused(ps_index_commit(txn), PS_EINVAL);
	refused(ps_index_slots(w->index, PS_RECORD_BLOB, "no", 2, PS_SET_CURRENT, 0, 1, &slot, &got),
	        PS_ENOTFOUND);
	/* Recycled: another pad takes its place, and the lost one is kept as invalid. */
	struct ps_pad_slot fresh = new_pad(&w->dice, PS_PAD_PRIVATE, PS_PAD_MEDIUM);
	ok(ps_index_get(w->index, PS_RECORD_BLOB, "big", 3, &record));
	slot = record.sets[PS_SET_CURRENT].slots[321];
	ps_record_done(&record);
	ok(ps_index_begin(w->index, &txn));
	ok(ps_txn_set_slot(txn, PS_RECORD_BLOB, "big", 3, PS_SET_CURRENT, 321, &fresh));
	ok(ps_txn_add_spare(txn, &slot, 0));
	ok(ps_index_commit(txn));
	reopen(w);
}

static void two_transactions_never_touch_the_same_record(void **state)
{
	struct world *w = *state;
	struct ps_record record;
	ps_index_txn *one, *two;
	put_blob(w, "a", 1);
	ok(ps_index_get(w->index, PS_RECORD_BLOB, "a", 1, &record));
	ok(ps_index_begin(w->index, &one));
	ok(ps_index_begin(w->index, &two));
	record.time_ns++;
	ok(ps_txn_put(one, &record));
	refused(ps_txn_put(two, &record), PS_EBUSY);
	refused(ps_index_close(w->index), PS_EBUSY);
	refused(ps_index_verify(w->index, NULL, NULL), PS_EBUSY);
	ps_index_abort(two);
	ok(ps_index_commit(one));
	ps_record_done(&record);
}

struct seen {
	char names[2048];
	size_t count;
	ps_index *index;
};

static int see(void *arg, const struct ps_record *record)
{
	struct seen *seen = arg;
	struct ps_record again;
	size_t used = strlen(seen->names);
	(void)snprintf(seen->names + used, sizeof(seen->names) - used, "%.16s ", record->name);
	seen->count++;
	ok(ps_index_look(seen->index, PS_RECORD_BLOB, record->name, record->name_len, &again));
	return 0;
}

static void lists_are_in_order_and_callbacks_may_call(void **state)
{
	struct world *w = *state;
	struct seen seen = {.index = w->index};
	const char *const names[] = {"b", "a/2", "ab", "a", "a/10", "a/1"};
	for (size_t i = 0; i < 6; i++)
		put_blob(w, names[i], 1);
	ok(ps_index_list(w->index, PS_RECORD_BLOB, NULL, 0, see, &seen));
	assert_string_equal(seen.names, "a a/1 a/10 a/2 ab b ");
	seen = (struct seen){.index = w->index};
	ok(ps_index_list(w->index, PS_RECORD_BLOB, "a/", PS_LIST_SLOTS, see, &seen));
	assert_string_equal(seen.names, "a/1 a/10 a/2 ");
	seen = (struct seen){.index = w->index};
	ok(ps_index_list(w->index, PS_RECORD_BLOB, NULL, PS_LIST_DIRTY, see, &seen));
	assert_int_equal(seen.count, 0);
	struct ps_record record;
	struct ps_slots let_go = {0};
	struct ps_version later = version_of(9, 9);
	ps_index_txn *txn;
	ok(ps_index_get(w->index, PS_RECORD_BLOB, "ab", 2, &record));
	ok(ps_record_bury(&record, &later, 5, &let_go));
	ok(ps_index_begin(w->index, &txn));
	ok(ps_txn_put(txn, &record));
	ok(ps_index_commit(txn));
	ps_record_done(&record);
	ok(ps_index_list(w->index, PS_RECORD_BLOB, NULL, PS_LIST_DIRTY, see, &seen));
	assert_string_equal(seen.names, "ab ");
	reopen(w);
}

struct told {
	char last[32];
	size_t count, slots;
	uint64_t sum, any; /* any: whatever their order */
};

static int tell_any(void *arg, const struct ps_record *record)
{
	struct told *told = arg;
	told->count++;
	told->slots += record->sets[PS_SET_CURRENT].slots ? record->sets[PS_SET_CURRENT].count : 0;
	told->any += strtoull(record->name + 4, NULL, 10) * 257 + record->content.hash[0];
	return 0;
}

static int tell(void *arg, const struct ps_record *record)
{
	struct told *told = arg;
	assert_true(strcmp(told->last, record->name) < 0);
	(void)snprintf(told->last, sizeof(told->last), "%.31s", record->name);
	told->sum = told->sum * 31 + record->content.hash[0];
	return tell_any(arg, record);
}

/* Whatever of them is kept at a time: all, some, one, none; records longer than a read among them. */
static void long_lists_are_read_in_parts(void **state)
{
	struct world *w = *state;
	static const size_t kept[] = {1 << 20, 40000, 3000, 1000, 100, 0};
	char name[32];
	for (unsigned i = 0; i < 200; i++) {
		(void)snprintf(name, sizeof(name), "key %03u", i * 77 % 200);
		put_blob(w, name, i % 50 == 7 ? 60 : 1 + i % 3);
	}
	struct told first[3] = {{.count = 0}}, any[2] = {{.count = 0}};
	for (unsigned i = 0; i < 2; i++) {
		ok(ps_index_list(w->index, PS_RECORD_BLOB, i ? "key 1" : NULL,
		                 PS_LIST_ANY | (i ? 0U : PS_LIST_SLOTS), tell_any, &any[i]));
		assert_int_equal(any[i].count, i ? 100 : 200);
	}
	for (size_t k = 0; k < sizeof(kept) / sizeof(kept[0]); k++) {
		w->index->list_keep_bytes = kept[k];
		for (unsigned i = 0; i < 3; i++) {
			struct told told = {.count = 0};
			ok(ps_index_list(w->index, PS_RECORD_BLOB, i < 2 ? NULL : "key 1",
			                 (i == 1 ? PS_LIST_SLOTS : 0U) | (k % 2 ? PS_LIST_AHEAD : 0U), tell,
			                 &told));
			assert_int_equal(told.count, i < 2 ? 200 : 100);
			if (k == 0)
				first[i] = told;
			assert_memory_equal(&told, &first[i], sizeof(told));
		}
	}
	assert_true(any[0].any == first[1].any && any[0].slots == first[1].slots);
	assert_true(any[1].any == first[2].any && any[1].slots == 0);
}

static void notes_are_whole_and_survive(void **state)
{
	struct world *w = *state;
	ps_index_txn *txn;
	uint8_t big[70000], *bytes;
	size_t len;
	roll_bytes(&w->dice, big, sizeof(big));
	refused(ps_index_note(w->index, PS_NOTE_HEAD, &bytes, &len), PS_ENOTFOUND);
	ok(ps_index_begin(w->index, &txn));
	ok(ps_txn_set_note(txn, PS_NOTE_HEAD_INTENT, big, sizeof(big)));
	ok(ps_txn_set_note(txn, PS_NOTE_HEAD, "x", 1));
	ok(ps_index_commit(txn));
	reopen(w);
	ok(ps_index_note(w->index, PS_NOTE_HEAD_INTENT, &bytes, &len));
	assert_int_equal(len, sizeof(big));
	assert_memory_equal(bytes, big, len);
	ps_memory_free(ps_index_memory(w->index), bytes, len);
	ok(ps_index_begin(w->index, &txn));
	ok(ps_txn_set_note(txn, PS_NOTE_HEAD_INTENT, NULL, 0));
	ok(ps_index_commit(txn));
	reopen(w);
	refused(ps_index_note(w->index, PS_NOTE_HEAD_INTENT, &bytes, &len), PS_ENOTFOUND);
}

static void a_foreign_index_is_refused(void **state)
{
	struct world *w = *state;
	ps_index *index = NULL;
	ok(ps_index_close(w->index));
	struct ps_index_binding other = test_binding;
	other.key_check[31] ^= 1;
	refused(index_try(w->disk, false, &other, &index), PS_EAUTH);
	other = test_binding;
	other.network[0] ^= 1;
	refused(index_try(w->disk, false, &other, &index), PS_EAUTH);
	other = test_binding;
	other.store = "main2";
	refused(index_try(w->disk, false, &other, &index), PS_EAUTH);
	other.store = "";
	refused(index_try(w->disk, false, &other, &index), PS_EINVAL);
	assert_null(index);
	w->index = index_on(w->disk, false);
}

static void fill_file(const char *path, const void *bytes, size_t len)
{
	FILE *file = fopen(path, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	assert_int_equal(fclose(file), 0);
}

/* On a real file system: made whole or not at all, private, and never begun empty in place of what is there.
 */
static void a_damaged_index_is_refused_and_kept(void **state)
{
	(void)state;
	char folder[] = "/tmp/padstone-index-XXXXXX", path[64];
	ps_index *index = NULL;
	struct stat info;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/index", folder);
	refused(ps_index_open(folder, &test_binding, NULL, &index), PS_ENOENT);
	ok(ps_index_make(folder, &test_binding, NULL));
	refused(ps_index_make(folder, &test_binding, NULL), PS_EEXIST);
	ok(ps_index_open(folder, &test_binding, NULL, &index));
	ok(ps_index_close(index));
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0600);
	off_t whole = info.st_size;
	for (unsigned part = 0; part < 4; part++) {
		assert_int_equal(truncate(path, whole / 8 * part), 0);
		int err = ps_index_open(folder, &test_binding, NULL, &index);
		if (err != PS_ECORRUPT && err != PS_EFORMAT)
			fail_msg("cut to %u/8: %s", part, ps_error_name(err));
		assert_int_equal(stat(path, &info), 0);
		assert_int_equal(info.st_size, whole / 8 * part);
		refused(ps_index_make(folder, &test_binding, NULL), PS_EEXIST);
		assert_int_equal(unlink(path), 0);
		ok(ps_index_make(folder, &test_binding, NULL));
	}
	fill_file(path, "this is no index", 16);
	assert_int_not_equal(ps_index_open(folder, &test_binding, NULL, &index), PS_OK);
	/* The beginnings that a crash left are made anew, under another name than an index has. */
	assert_int_equal(unlink(path), 0);
	char fresh[80];
	(void)snprintf(fresh, sizeof(fresh), "%s/index.new", folder);
	fill_file(fresh, "torn", 4);
	ok(ps_index_make(folder, &test_binding, NULL));
	ok(ps_index_open(folder, &test_binding, NULL, &index));
	ok(ps_index_close(index));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
}

enum { THREADS = 3, ROUNDS = 40 };

struct worker {
	struct world *world;
	unsigned number;
};

/* Puts, updates and removes keys of its own; all share the free pads. */
static void *work(void *arg)
{
	struct worker *worker = arg;
	struct world mine = *worker->world;
	char name[32];
	mine.dice.state = worker->number * 1000;
	ps_memory_init(&mine.memory, NULL);
	for (unsigned round = 0; round < ROUNDS; round++) {
		(void)snprintf(name, sizeof(name), "%u/%u", worker->number, round % 7);
		struct ps_record record;
		ps_index_txn *txn;
		struct ps_pad_slot slot;
		ok(ps_record_init(&record, &mine.memory, PS_RECORD_BLOB, name, strlen(name)));
		record.flags = PS_RECORD_UPDATING;
		record.next.mode = PS_PAD_MEDIUM;
		ok(ps_index_begin(mine.index, &txn));
		int err = ps_txn_take(txn, PS_PAD_PRIVATE, PS_PAD_MEDIUM, &slot);
		if (err == PS_OK)
			ok(ps_slot_reuse(&slot));
		else
			slot = new_pad(&mine.dice, PS_PAD_PRIVATE, PS_PAD_MEDIUM);
		ok(ps_record_set_slots(&record, PS_SET_NEXT, &slot, 1));
		ok(ps_txn_put(txn, &record));
		ok(ps_index_commit(txn));
		seal(&mine.dice, &slot);
		slot.status = PS_SLOT_CONFIRMED;
		ok(ps_index_begin(mine.index, &txn));
		ok(ps_txn_set_slot(txn, PS_RECORD_BLOB, name, strlen(name), PS_SET_NEXT, 0, &slot));
		ok(ps_index_commit(txn));
		ok(ps_index_begin(mine.index, &txn));
		ok(ps_txn_remove(txn, PS_RECORD_BLOB, name, strlen(name), false));
		slot.status = PS_SLOT_FREE;
		ok(ps_txn_add_spare(txn, &slot, 0));
		ok(ps_index_commit(txn));
		ps_record_done(&record);
	}
	ps_memory_done(&mine.memory);
	return NULL;
}

static void threads_share_the_free_pads(void **state)
{
	struct world *w = *state;
	char folder[] = "/tmp/padstone-index-XXXXXX", path[64];
	pthread_t threads[THREADS];
	struct worker workers[THREADS];
	struct world shared = {0};
	assert_non_null(mkdtemp(folder));
	(void)w;
	(void)snprintf(path, sizeof(path), "%s/index", folder);
	ok(ps_index_make(folder, &test_binding, NULL));
	ok(ps_index_open(folder, &test_binding, NULL, &shared.index));
	for (unsigned i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){&shared, i + 1};
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	struct ps_index_figures f;
	ps_index_figures(shared.index, &f);
	verify_index(shared.index);
	assert_int_equal(f.records, 0);
	assert_in_range(f.pads[PS_SLOT_FREE], 1, THREADS);
	ok(ps_index_close(shared.index));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
}

static void set_note(struct world *w, const char *text)
{
	ps_index_txn *txn;
	ok(ps_index_begin(w->index, &txn));
	ok(ps_txn_set_note(txn, PS_NOTE_SYNC, text, strlen(text)));
	ok(ps_index_commit(txn));
}

/* NULL: there is none. */
static void expect_note(struct world *w, const char *text)
{
	uint8_t *bytes;
	size_t len;
	int err = ps_index_note(w->index, PS_NOTE_SYNC, &bytes, &len);
	assert_int_equal(err, text ? PS_OK : PS_ENOTFOUND);
	if (!text)
		return;
	assert_int_equal(len, strlen(text));
	assert_memory_equal(bytes, text, len);
	ps_memory_free(ps_index_memory(w->index), bytes, len);
}

/* Written once there are so many records, and anew when its cells are used up; a close leaves what is good
 * enough. */
static void a_summary_is_written_anew_when_its_cells_are_used_up(void **state)
{
	struct world *w = *state;
	struct ps_index_figures figures;
	size_t from = test_summary_from, cells = test_summary_cells;
	test_summary_from = w->index->summary_from = w->index->summary_next = 3;
	test_summary_cells = w->index->summary_cells = 4;
	put_blob(w, "a", 1);
	put_blob(w, "b", 2);
	reopen(w);
	assert_true(w->index->summary == PS_ID_NONE); /* too few */
	put_blob(w, "c", 3);
	put_blob(w, "d", 4); /* it is written before this one */
	ps_id first = w->index->summary;
	assert_true(first != PS_ID_NONE);
	assert_int_equal(w->index->cells_used, 1);
	reopen(w); /* most cells are left: the same one */
	assert_true(w->index->summary == first);
	assert_int_equal(w->index->cells_used, 1);
	verify_index(w->index);
	set_note(w, "a note");
	assert_int_equal(w->index->cells_used, 2);
	reopen(w);
	assert_true(w->index->summary == first);
	expect_note(w, "a note");
	for (unsigned i = 0; i < 9; i++) {
		char name[16];
		(void)snprintf(name, sizeof(name), "blob %u", i);
		put_blob(w, name, i);
		verify_index(w->index);
	}
	assert_true(w->index->summary != first);
	assert_in_range(w->index->cells_used, 1, 4);
	size_t used = w->index->cells_used;
	reopen(w); /* half of them were used: a new one */
	assert_int_equal(w->index->cells_used, used > 2 ? 0 : used);
	expect_note(w, "a note");
	set_note(w, "");
	reopen(w);
	expect_note(w, NULL);
	ps_index_figures(w->index, &figures);
	assert_int_equal(figures.records, 13);
	test_summary_from = from;
	test_summary_cells = cells;
}

static void use_up_cells(struct world *w)
{
	pthread_mutex_lock(&w->index->lock);
	w->index->cells_used = w->index->cells_count;
	pthread_mutex_unlock(&w->index->lock);
}

/* A summary that is written anew has the cells of the one before; what they tell of is in the summary. There
 * are as many as its records ask for, but not all at once: no commit has more than a thousand new ones. */
static void cells_stay_from_one_summary_to_the_next(void **state)
{
	struct world *w = *state;
	size_t from = test_summary_from, cells = test_summary_cells;
	ps_id before[1024];
	test_summary_from = w->index->summary_from = w->index->summary_next = 1;
	test_summary_cells = w->index->summary_cells = 2500;
	put_blob(w, "a", 1);
	put_blob(w, "b", 2);
	put_blob(w, "c", 3);
	assert_int_equal(w->index->cells_count, 1024);
	assert_int_equal(w->index->summary_round, 1);
	memcpy(before, w->index->cells, sizeof(before));
	use_up_cells(w);
	put_blob(w, "d", 4);
	assert_int_equal(w->index->summary_round, 2);
	assert_int_equal(w->index->cells_count, 2048);
	assert_int_equal(w->index->cells_used, 1);
	assert_memory_equal(w->index->cells, before, sizeof(before));
	reopen(w); /* "c" is in a cell of the round before, too */
	assert_int_equal(w->index->cells_used, 1);
	verify_index(w->index);
	use_up_cells(w);
	put_blob(w, "e", 5);
	assert_int_equal(w->index->cells_count, 2500);
	reopen(w);
	verify_index(w->index);
	test_summary_from = from;
	test_summary_cells = cells;
}

static int run(const char *name)
{
#define WITH_INDEX(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
	    WITH_INDEX(a_put_is_found_and_counted_and_there_again_after_an_open),
	    WITH_INDEX(a_free_pad_is_taken_once_and_by_its_class_and_mode),
	    WITH_INDEX(a_held_pad_waits_for_its_head),
	    WITH_INDEX(no_pad_is_forgotten_and_none_stands_twice),
	    WITH_INDEX(one_slot_changes_in_place_and_only_as_the_table_has_it),
	    WITH_INDEX(two_transactions_never_touch_the_same_record),
	    WITH_INDEX(lists_are_in_order_and_callbacks_may_call),
	    WITH_INDEX(long_lists_are_read_in_parts),
	    WITH_INDEX(notes_are_whole_and_survive),
	    WITH_INDEX(a_foreign_index_is_refused),
	    WITH_INDEX(a_summary_is_written_anew_when_its_cells_are_used_up),
	    WITH_INDEX(cells_stay_from_one_summary_to_the_next),
	    cmocka_unit_test(a_damaged_index_is_refused_and_kept),
	    WITH_INDEX(threads_share_the_free_pads),
	};
	return cmocka_run_group_tests_name(name, tests, NULL, NULL);
}

int main(void)
{
	int failed = run("local index");
	test_summary_from = 1;
	failed += run("local index, with a summary of any");
	test_summary_cells = 2;
	return failed + run("local index, with a summary that is written again and again");
}
