/* A power cut at any moment of any transaction leaves the index as it was before it or after it. */
#include "tests/remote/index_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/crash_states.h"

enum { MOST = 200, KEYS = 6, STEPS = 24 };

/* States of the index, each with the point of the trace where its commit began and where it had ended. */
struct history {
	struct sim_disk *disk, *replay;
	ps_index *index;
	struct ps_memory memory;
	struct dice dice;
	uint64_t sums[MOST];
	size_t begun[MOST], ended[MOST], count;
	uint64_t states;
};

static size_t now(struct history *h)
{
	return sim_disk_trace(h->disk)->count;
}

static ps_index_txn *begin(struct history *h)
{
	ps_index_txn *txn;
	ok(ps_index_begin(h->index, &txn));
	h->begun[h->count] = now(h);
	return txn;
}

static void commit(struct history *h, ps_index_txn *txn)
{
	ok(ps_index_commit(txn));
	h->ended[h->count] = now(h);
	h->sums[h->count++] = index_sum(h->index);
}

static struct ps_pad_slot any_pad(struct history *h, ps_index_txn *txn)
{
	struct ps_pad_slot slot;
	int err = ps_txn_take(txn, PS_PAD_PRIVATE, PS_PAD_MEDIUM, &slot);
	if (err != PS_OK)
		return new_pad(&h->dice, PS_PAD_PRIVATE, PS_PAD_MEDIUM);
	ok(ps_slot_reuse(&slot));
	return slot;
}

static void start_update(struct history *h, struct ps_record *record)
{
	ps_index_txn *txn = begin(h);
	unsigned pads = 1 + (unsigned)roll_below(&h->dice, 4);
	record->flags |= PS_RECORD_UPDATING;
	record->next = (struct ps_content){.size = pads, .mode = PS_PAD_MEDIUM};
	for (unsigned i = 0; i < pads; i++) {
		struct ps_pad_slot slot = any_pad(h, txn);
		ok(ps_record_add_slots(record, PS_SET_NEXT, &slot, 1));
	}
	ok(ps_txn_put(txn, record));
	commit(h, txn);
}

/* Sealed, then one by one confirmed: writes inside the record. */
static void send_update(struct history *h, struct ps_record *record)
{
	struct ps_slots *next = &record->sets[PS_SET_NEXT];
	for (unsigned step = 0; step < 2; step++) {
		ps_index_txn *txn = begin(h);
		for (uint32_t i = 0; i < next->count; i++) {
			if (step == 0)
				seal(&h->dice, &next->slots[i]);
			else
				next->slots[i].status = PS_SLOT_CONFIRMED;
			ok(ps_txn_set_slot(txn, record->kind, record->name, record->name_len, PS_SET_NEXT, i,
			                   &next->slots[i]));
		}
		commit(h, txn);
	}
}

static void finish_update(struct history *h, struct ps_record *record)
{
	struct ps_slots let_go = {0};
	struct ps_version version = version_of(record->version.counter + 1, 3);
	ps_index_txn *txn = begin(h);
	ok(ps_record_switch(record, &version, h->count, &let_go));
	ok(ps_txn_put(txn, record));
	ok(ps_txn_let_go(txn, &let_go, 0));
	commit(h, txn);
	ps_slots_done(&let_go, &h->memory);
}

static void bury_or_settle(struct history *h, struct ps_record *record)
{
	struct ps_slots let_go = {0};
	struct ps_version version = version_of(record->version.counter + 1, 3);
	ps_index_txn *txn = begin(h);
	if ((record->flags & PS_RECORD_DIRTY) && roll_below(&h->dice, 2)) {
		ok(ps_record_mark_sent(record));
		ok(ps_record_settle(record, h->count + 1, &let_go));
	} else {
		ok(ps_record_bury(record, &version, h->count, &let_go));
	}
	ok(ps_txn_put(txn, record));
	ok(ps_txn_let_go(txn, &let_go, 0));
	commit(h, txn);
	ps_slots_done(&let_go, &h->memory);
}

static void step(struct history *h)
{
	struct ps_record record;
	char name[] = "key 0";
	name[4] = (char)('0' + roll_below(&h->dice, KEYS));
	int err = ps_index_get(h->index, PS_RECORD_BLOB, name, 5, &record);
	if (err == PS_ENOTFOUND)
		ok(ps_record_init(&record, &h->memory, PS_RECORD_BLOB, name, 5));
	else
		ok(err);
	struct ps_record mine;
	ok(ps_record_copy(&mine, &record));
	ps_record_done(&record);
	if (!(mine.flags & PS_RECORD_UPDATING) && !ps_version_none(&mine.version) &&
	    roll_below(&h->dice, 3) == 0)
		bury_or_settle(h, &mine);
	else if (!(mine.flags & PS_RECORD_UPDATING))
		start_update(h, &mine);
	else if (!ps_slot_sealed(&mine.sets[PS_SET_NEXT].slots[0]))
		send_update(h, &mine);
	else
		finish_update(h, &mine);
	ps_record_done(&mine);
}

static int recovers(void *arg, const struct crash_state *state)
{
	struct history *h = arg;
	size_t low = 0, high = 0;
	ps_index *index = NULL;
	for (size_t i = 0; i < h->count; i++) {
		if (h->ended[i] <= state->point)
			low = i;
		if (h->begun[i] <= state->point)
			high = i;
	}
	sim_disk_reset(h->replay, state->image, state->size);
	ok(index_try(h->replay, false, &test_binding, &index));
	verify_index(index);
	uint64_t sum = index_sum(index);
	bool found = false;
	for (size_t i = low; i <= high; i++)
		found |= h->sums[i] == sum;
	if (!found)
		fail_msg("after %zu events: neither state %zu nor any to %zu", state->point, low, high);
	ok(ps_index_close(index));
	h->states++;
	return 0;
}

/* Closed as a program does that ends, and opened again. */
static void reopen(struct history *h)
{
	ok(ps_index_close(h->index));
	h->index = index_on(h->disk, false);
	assert_int_equal(index_sum(h->index), h->sums[h->count - 1]);
}

/* reopen_every: so many steps; 0: never. */
static void explore(uint64_t seed, unsigned reopen_every)
{
	struct history *h = calloc(1, sizeof(*h));
	uint64_t size;
	const struct crash_options options = {.seed = seed, .exhaustive = 64, .samples = 8, .singles = 4};
	h->dice.state = seed;
	ps_memory_init(&h->memory, NULL);
	h->disk = sim_disk_new(NULL, 0);
	h->replay = sim_disk_new(NULL, 0);
	ok(ps_index_close(index_on(h->disk, true)));
	size = sim_disk_size(h->disk);
	uint8_t *image = malloc(size);
	sim_disk_image(h->disk, image);
	sim_disk_reset(h->disk, image, size);
	h->index = index_on(h->disk, false);
	h->sums[h->count] = index_sum(h->index);
	h->ended[h->count] = h->begun[h->count] = 0;
	h->count++;
	for (unsigned i = 1; i <= STEPS; i++) {
		step(h);
		if (reopen_every > 0 && i % reopen_every == 0)
			reopen(h);
	}
	(void)crash_explore(image, size, sim_disk_trace(h->disk), &options, recovers, h, NULL);
	print_message("%zu commits, %llu crash states\n", h->count - 1, (unsigned long long)h->states);
	ok(ps_index_close(h->index));
	sim_disk_free(h->disk);
	sim_disk_free(h->replay);
	free(image);
	ps_memory_done(&h->memory);
	free(h);
}

static void a_power_cut_leaves_before_or_after(void **state)
{
	(void)state;
	uint64_t seed = test_seed(11);
	for (uint64_t i = 0; i < 3; i++)
		explore(seed + i, 0);
}

/* What is read in place of all records is what they are: a summary of before, and what each commit did since.
 */
static void a_power_cut_leaves_a_summary_and_all_that_came_since(void **state)
{
	(void)state;
	uint64_t seed = test_seed(21);
	test_summary_from = 1;
	for (uint64_t i = 0; i < 3; i++) {
		test_summary_cells = 1 + (size_t)i * 4;
		explore(seed + i, 1 + (unsigned)i * 4);
	}
	test_summary_from = test_summary_cells = 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_power_cut_leaves_before_or_after),
	    cmocka_unit_test(a_power_cut_leaves_a_summary_and_all_that_came_since)};
	return cmocka_run_group_tests_name("local index, crashes", tests, NULL, NULL);
}
