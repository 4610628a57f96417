/* The local index from several threads at once: two transactions open in each, lists, looks, settled heads
 * and checks beside them; and several that make it and open it at the same time. Of worth under the thread
 * sanitizer above all. */
#include "tests/remote/index_fixture.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WRITERS = 3, ROUNDS = 30, KEYS = 4, OPENERS = 4, RACES = 12 };

struct shared {
	ps_index *index;
	atomic_uint_fast64_t head; /* of the network, so to speak */
	atomic_bool ended;
};

struct writer {
	struct shared *shared;
	struct dice dice;
	unsigned number;
};

/* ---- writers: keys of their own, free pads of all ---- */

static size_t name_key(const struct writer *w, unsigned key, char name[32])
{
	return (size_t)snprintf(name, 32, "key %u of %u", key, w->number);
}

static void fetch(struct writer *w, const char *name, size_t len, struct ps_record *record)
{
	ps_index *index = w->shared->index;
	int err = ps_index_get(index, PS_RECORD_BLOB, name, len, record);
	ok(err == PS_ENOTFOUND ? ps_record_init(record, ps_index_memory(index), PS_RECORD_BLOB, name, len)
	                       : err);
}

static void begin_update(struct writer *w, ps_index_txn *txn, struct ps_record *record)
{
	record->flags |= PS_RECORD_UPDATING;
	record->next = (struct ps_content){.size = 2, .mode = PS_PAD_MEDIUM};
	for (unsigned i = 0; i < 2; i++) {
		struct ps_pad_slot slot;
		int err = ps_txn_take(txn, PS_PAD_PRIVATE, PS_PAD_MEDIUM, &slot);
		if (err == PS_OK)
			ok(ps_slot_reuse(&slot));
		else if (err == PS_ENOTFOUND)
			slot = new_pad(&w->dice, PS_PAD_PRIVATE, PS_PAD_MEDIUM);
		else
			ok(err);
		ok(ps_record_add_slots(record, PS_SET_NEXT, &slot, 1));
	}
	ok(ps_txn_put(txn, record));
}

static void confirm(struct writer *w, struct ps_record *record)
{
	ps_index_txn *txn;
	ok(ps_index_begin(w->shared->index, &txn));
	for (unsigned i = 0; i < 2; i++) {
		struct ps_pad_slot *slot = &record->sets[PS_SET_NEXT].slots[i];
		seal(&w->dice, slot);
		slot->status = PS_SLOT_CONFIRMED;
		ok(ps_txn_set_slot(txn, PS_RECORD_BLOB, record->name, record->name_len, PS_SET_NEXT, i,
		                   slot));
	}
	ok(ps_index_commit(txn));
}

/* Let go of at the next head: held, until somebody settles it. */
static void finish(struct writer *w, struct ps_record *record, bool bury)
{
	struct ps_slots let_go = {0};
	struct ps_version version = version_of(record->version.counter + 1, (uint8_t)w->number);
	ps_index_txn *txn;
	ok(ps_record_switch(record, &version, 1, &let_go));
	if (bury) {
		version.counter++;
		ok(ps_record_bury(record, &version, 2, &let_go));
	}
	ok(ps_index_begin(w->shared->index, &txn));
	ok(ps_txn_put(txn, record));
	ok(ps_txn_let_go(txn, &let_go, 1 + atomic_fetch_add(&w->shared->head, 1)));
	ok(ps_index_commit(txn));
	ps_slots_done(&let_go, ps_index_memory(w->shared->index));
}

static void round_of(struct writer *w, unsigned round)
{
	char names[2][32];
	struct ps_record records[2];
	ps_index_txn *txns[2];
	for (unsigned i = 0; i < 2; i++) {
		size_t len = name_key(w, (round + i) % KEYS, names[i]);
		fetch(w, names[i], len, &records[i]);
		ok(ps_index_begin(w->shared->index, &txns[i]));
	}
	for (unsigned i = 0; i < 2; i++)
		begin_update(w, txns[i], &records[i]);
	refused(ps_txn_put(txns[0], &records[1]), PS_EBUSY);
	ps_index_abort(txns[0]);
	ok(ps_index_commit(txns[1]));
	ps_record_done(&records[0]);
	confirm(w, &records[1]);
	finish(w, &records[1], round % 3 == 0);
	ps_record_done(&records[1]);
	ps_index_settle(w->shared->index, atomic_load(&w->shared->head) / 2);
}

static void *write_keys(void *arg)
{
	struct writer *w = arg;
	for (unsigned round = 0; round < ROUNDS; round++)
		round_of(w, round);
	return NULL;
}

/* ---- readers ---- */

struct reading {
	struct shared *shared;
	uint64_t records, spares, verified;
};

static int see_record(void *arg, const struct ps_record *record)
{
	struct reading *r = arg;
	struct ps_record again;
	ok(ps_record_check(record));
	ok(ps_index_look(r->shared->index, record->kind, record->name, record->name_len, &again));
	r->records++;
	return 0;
}

static int see_spare(void *arg, const struct ps_spare *spare)
{
	struct reading *r = arg;
	ok(ps_slot_check(&spare->slot));
	r->spares++;
	return 0;
}

static void *read_all(void *arg)
{
	struct reading *r = arg;
	struct ps_index_figures figures;
	while (!atomic_load(&r->shared->ended)) {
		ps_index *index = r->shared->index;
		ok(ps_index_list(index, PS_RECORD_BLOB, "key", PS_LIST_SLOTS, see_record, r));
		ok(ps_index_list(index, PS_RECORD_BLOB, NULL, PS_LIST_DIRTY | PS_LIST_SLOTS, see_record, r));
		ok(ps_index_each_spare(index, PS_SLOT_FREE, see_spare, r));
		ps_index_figures(index, &figures);
		int err = ps_index_verify(index, NULL, NULL);
		if (err != PS_OK && err != PS_EBUSY)
			fail_msg("verified meanwhile: %s: %s", ps_error_name(err), ps_last_error_message());
		r->verified += err == PS_OK;
	}
	return NULL;
}

/* ---- */

static void clean(const char *folder)
{
	const char *const names[] = {"index", "index.new"};
	char path[80];
	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
		(void)unlink(path);
	}
	assert_int_equal(rmdir(folder), 0);
}

static void writers_readers_and_checks_at_once(void **state)
{
	(void)state;
	char folder[] = "/tmp/padstone-index-XXXXXX";
	pthread_t threads[WRITERS], reader;
	static struct writer writers[WRITERS];
	struct shared shared = {0};
	struct reading reading = {.shared = &shared};
	assert_non_null(mkdtemp(folder));
	ok(ps_index_make(folder, &test_binding, NULL));
	ok(ps_index_open(folder, &test_binding, NULL, &shared.index));
	/* Written anew again and again meanwhile. */
	test_summary_from = 1;
	test_summary_cells = 50;
	index_take_seams(shared.index);
	assert_int_equal(pthread_create(&reader, NULL, read_all, &reading), 0);
	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){.shared = &shared, .number = i + 1, .dice = {i + 1}};
		assert_int_equal(pthread_create(&threads[i], NULL, write_keys, &writers[i]), 0);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	atomic_store(&shared.ended, true);
	assert_int_equal(pthread_join(reader, NULL), 0);
	print_message("%llu records and %llu spare pads seen meanwhile\n",
	              (unsigned long long)reading.records, (unsigned long long)reading.spares);
	struct ps_index_figures before, after;
	verify_index(shared.index);
	uint64_t sum = index_sum(shared.index);
	ps_index_figures(shared.index, &before);
	assert_int_equal(before.blobs + before.tombstones, (uint64_t)WRITERS * KEYS);
	ok(ps_index_close(shared.index));
	ok(ps_index_open(folder, &test_binding, NULL, &shared.index));
	ps_index_figures(shared.index, &after);
	before.memory = after.memory = 0;
	assert_memory_equal(&before, &after, sizeof(before));
	assert_true(sum == index_sum(shared.index));
	ok(ps_index_close(shared.index));
	clean(folder);
}

struct opener {
	const char *folder;
	pthread_barrier_t *barrier;
	int made, opened;
	ps_index *index;
};

static void *make_and_open(void *arg)
{
	struct opener *o = arg;
	(void)pthread_barrier_wait(o->barrier);
	o->made = ps_index_make(o->folder, &test_binding, NULL);
	(void)pthread_barrier_wait(o->barrier);
	o->opened = ps_index_open(o->folder, &test_binding, NULL, &o->index);
	return NULL;
}

static void of_several_one_makes_and_one_opens(void **state)
{
	(void)state;
	for (unsigned race = 0; race < RACES; race++) {
		char folder[] = "/tmp/padstone-index-XXXXXX";
		pthread_t threads[OPENERS];
		struct opener openers[OPENERS];
		pthread_barrier_t barrier;
		unsigned made = 0, opened = 0;
		assert_non_null(mkdtemp(folder));
		(void)pthread_barrier_init(&barrier, NULL, OPENERS);
		for (unsigned i = 0; i < OPENERS; i++) {
			openers[i] = (struct opener){.folder = folder, .barrier = &barrier};
			assert_int_equal(pthread_create(&threads[i], NULL, make_and_open, &openers[i]), 0);
		}
		for (unsigned i = 0; i < OPENERS; i++) {
			assert_int_equal(pthread_join(threads[i], NULL), 0);
			made += openers[i].made == PS_OK;
			opened += openers[i].opened == PS_OK;
			if ((openers[i].made != PS_OK && openers[i].made != PS_EEXIST) ||
			    (openers[i].opened != PS_OK && openers[i].opened != PS_EBUSY))
				fail_msg("made: %s, opened: %s", ps_error_name(openers[i].made),
				         ps_error_name(openers[i].opened));
		}
		assert_int_equal(made, 1);
		assert_int_equal(opened, 1);
		for (unsigned i = 0; i < OPENERS; i++)
			ok(ps_index_close(openers[i].index));
		(void)pthread_barrier_destroy(&barrier);
		clean(folder);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(writers_readers_and_checks_at_once),
	    cmocka_unit_test(of_several_one_makes_and_one_opens),
	};
	return cmocka_run_group_tests_name("local index, threads", tests, NULL, NULL);
}
