/* A process that commits one transaction of the local index after the other is killed at a random moment,
 * again and again, on one real file. Before each commit it says through a pipe what the index will be after
 * it, and then that the commit has returned: what is opened afterwards is the last state that was committed,
 * or the one that was about to be.
 *
 * local_index_kill_test [kills] */
#include "tests/remote/index_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

enum { KEYS = 12, MOST_MESSAGES = 60, MOST_DELAY_US = 1500, MOST_PADS = 24 };

static unsigned long kills = 10;

/* Less than a pipe takes at once: whole, or not there. */
struct message {
	uint64_t step, sum;
	bool committed;
};

struct life {
	ps_index *index;
	struct dice dice;
	int pipe;
	uint64_t step, sum;
};

/* ---- what the index will be: a sum over records and spare pads, as index_sum has it ---- */

static uint64_t sum_of_record(const struct ps_record *record)
{
	size_t len = ps_record_bytes(record);
	uint8_t *bytes = malloc(len);
	if (!bytes)
		abort();
	ps_record_encode(record, bytes);
	uint64_t sum = XXH3_64bits(bytes, len);
	free(bytes);
	return sum;
}

static uint64_t sum_of_spare(const struct ps_pad_slot *slot)
{
	struct ps_slot_bytes bytes;
	ps_slot_encode(slot, &bytes);
	return XXH3_64bits_withSeed(&bytes, sizeof(bytes), 1);
}

static void must(int err)
{
	if (err != PS_OK) {
		(void)fprintf(stderr, "the child: %s: %s\n", ps_error_name(err), ps_last_error_message());
		_exit(1);
	}
}

static void tell(struct life *life, uint64_t sum, bool committed)
{
	const struct message message = {life->step, sum, committed};
	if (write(life->pipe, &message, sizeof(message)) != (ssize_t)sizeof(message))
		_exit(2);
}

static void commit(struct life *life, ps_index_txn *txn, uint64_t sum)
{
	life->step++;
	tell(life, sum, false);
	must(ps_index_commit(txn));
	life->sum = sum;
	tell(life, sum, true);
}

/* ---- the child ---- */

/* Pads of a record that goes: free, as ps_txn_let_go has it. */
static uint64_t let_go(struct life *life, ps_index_txn *txn, const struct ps_slots *slots)
{
	uint64_t sum = 0;
	must(ps_txn_let_go(txn, slots, 0));
	for (uint32_t i = 0; i < slots->count; i++) {
		struct ps_pad_slot slot = slots->slots[i];
		slot.status = PS_SLOT_FREE;
		sum += sum_of_spare(&slot);
	}
	(void)life;
	return sum;
}

static void begin_update(struct life *life, struct ps_record *record, uint64_t sum)
{
	ps_index_txn *txn;
	unsigned pads = 1 + (unsigned)roll_below(&life->dice, MOST_PADS);
	must(ps_index_begin(life->index, &txn));
	record->flags |= PS_RECORD_UPDATING;
	record->next = (struct ps_content){.size = pads, .mode = PS_PAD_MEDIUM};
	for (unsigned i = 0; i < pads; i++) {
		struct ps_pad_slot slot;
		int err = ps_txn_take(txn, PS_PAD_PRIVATE, PS_PAD_MEDIUM, &slot);
		if (err == PS_OK) {
			sum -= sum_of_spare(&slot);
			must(ps_slot_reuse(&slot));
		} else {
			slot = new_pad(&life->dice, PS_PAD_PRIVATE, PS_PAD_MEDIUM);
		}
		must(ps_record_add_slots(record, PS_SET_NEXT, &slot, 1));
	}
	must(ps_txn_put(txn, record));
	commit(life, txn, sum + sum_of_record(record));
}

/* In place: a write of 128 bytes a pad. */
static void confirm(struct life *life, struct ps_record *record, uint64_t sum)
{
	ps_index_txn *txn;
	must(ps_index_begin(life->index, &txn));
	for (uint32_t i = 0; i < record->sets[PS_SET_NEXT].count; i++) {
		struct ps_pad_slot *slot = &record->sets[PS_SET_NEXT].slots[i];
		seal(&life->dice, slot);
		slot->status = PS_SLOT_CONFIRMED;
		must(ps_txn_set_slot(txn, PS_RECORD_BLOB, record->name, record->name_len, PS_SET_NEXT, i,
		                     slot));
	}
	commit(life, txn, sum + sum_of_record(record));
}

static void finish(struct life *life, struct ps_record *record, uint64_t sum, bool bury)
{
	struct ps_slots old = {0};
	const struct ps_version version = version_of(record->version.counter + 1, 3);
	ps_index_txn *txn;
	must(bury ? ps_record_bury(record, &version, life->step, &old)
	          : ps_record_switch(record, &version, life->step, &old));
	must(ps_index_begin(life->index, &txn));
	must(ps_txn_put(txn, record));
	sum += let_go(life, txn, &old);
	commit(life, txn, sum + sum_of_record(record));
	ps_slots_done(&old, ps_index_memory(life->index));
}

static void forget(struct life *life, const struct ps_record *record, uint64_t sum)
{
	ps_index_txn *txn;
	must(ps_index_begin(life->index, &txn));
	must(ps_txn_remove(txn, PS_RECORD_BLOB, record->name, record->name_len, false));
	sum += let_go(life, txn, &record->sets[PS_SET_CURRENT]);
	commit(life, txn, sum);
}

static void step(struct life *life)
{
	struct ps_record record;
	char name[16];
	size_t len = (size_t)snprintf(name, sizeof(name), "key %u", (unsigned)roll_below(&life->dice, KEYS));
	uint64_t rest = life->sum; /* without the record */
	int err = ps_index_get(life->index, PS_RECORD_BLOB, name, len, &record);
	if (err == PS_OK)
		rest -= sum_of_record(&record);
	else
		must(err == PS_ENOTFOUND
		         ? ps_record_init(&record, ps_index_memory(life->index), PS_RECORD_BLOB, name, len)
		         : err);
	if (record.flags & PS_RECORD_UPDATING) {
		if (record.sets[PS_SET_NEXT].slots[0].status == PS_SLOT_GENERATED)
			confirm(life, &record, rest);
		else
			finish(life, &record, rest, false);
	} else if (ps_record_has_contents(&record) && roll_below(&life->dice, 4) == 0) {
		forget(life, &record, rest);
	} else if (ps_record_has_contents(&record) && roll_below(&life->dice, 4) == 0) {
		finish(life, &record, rest, true);
	} else {
		begin_update(life, &record, rest);
	}
	ps_record_done(&record);
}

static void live(const char *folder, int pipe, uint64_t seed)
{
	struct life life = {.pipe = pipe, .dice = {seed}};
	must(ps_index_open(folder, &test_binding, NULL, &life.index));
	test_summary_from = 1;
	test_summary_cells = 5;
	index_take_seams(life.index);
	life.sum = index_sum(life.index);
	tell(&life, life.sum, true);
	for (;;)
		step(&life);
}

/* ---- the parent ---- */

struct oracle {
	uint64_t committed, coming; /* sums */
	uint64_t commits, met_before, met_after;
	bool under_way;
};

static void hear(struct oracle *o, const struct message *message)
{
	o->under_way = !message->committed;
	if (message->committed)
		o->committed = message->sum;
	else
		o->coming = message->sum;
	o->commits += message->committed;
}

static bool hear_one(struct oracle *o, int from)
{
	struct message message;
	ssize_t got = read(from, &message, sizeof(message));
	if (got <= 0)
		return false;
	assert_int_equal(got, sizeof(message));
	hear(o, &message);
	return true;
}

/* So many messages are heard, then a moment goes by: the kill falls anywhere in a commit, or into the open.
 */
static void end(pid_t child, int from, struct oracle *o, struct dice *dice)
{
	int status;
	for (uint64_t n = roll_below(dice, MOST_MESSAGES); n > 0 && hear_one(o, from); n--) {
	}
	const struct timespec moment = {.tv_nsec = (long)roll_below(dice, MOST_DELAY_US) * 1000};
	(void)nanosleep(&moment, NULL);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail_msg("the child ended by itself: %d", status);
	while (hear_one(o, from)) {
	}
}

/* The kernel takes down a killed process's requests, and with them its lock, a moment after the process is
 * gone. */
static void wait_for_lock(const char *folder)
{
	const struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	char path[64];
	(void)snprintf(path, sizeof(path), "%s/index", folder);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_OFD_SETLKW, &lock), 0);
	assert_int_equal(close(fd), 0);
}

static void check(const char *folder, struct oracle *o, unsigned long life)
{
	ps_index *index;
	wait_for_lock(folder);
	ok(ps_index_open(folder, &test_binding, NULL, &index));
	verify_index(index);
	uint64_t sum = index_sum(index);
	bool before = sum == o->committed, after = o->under_way && sum == o->coming;
	if (!before && !after)
		fail_msg("life %lu: neither the last committed state%s", life,
		         o->under_way ? " nor the one that was coming" : "");
	o->met_before += o->under_way && before;
	o->met_after += after;
	o->committed = sum;
	o->under_way = false;
	ok(ps_index_close(index));
}

static void every_kill_leaves_before_or_after(void **state)
{
	(void)state;
	char folder[] = "/tmp/padstone-index-XXXXXX", path[64];
	struct oracle oracle = {0};
	struct dice dice = {test_seed(1)};
	assert_non_null(mkdtemp(folder));
	ok(ps_index_make(folder, &test_binding, NULL));
	for (unsigned long life = 1; life <= kills; life++) {
		int ends[2];
		assert_int_equal(pipe(ends), 0);
		uint64_t seed = roll(&dice);
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			(void)close(ends[0]);
			live(folder, ends[1], seed);
		}
		(void)close(ends[1]);
		end(child, ends[0], &oracle, &dice);
		(void)close(ends[0]);
		check(folder, &oracle, life);
	}
	print_message("%lu kills, %llu commits; in %llu a commit had not happened yet, in %llu it had\n",
	              kills, (unsigned long long)oracle.commits, (unsigned long long)oracle.met_before,
	              (unsigned long long)oracle.met_after);
	assert_true(oracle.commits > kills);
	(void)snprintf(path, sizeof(path), "%s/index", folder);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		kills = strtoul(argv[1], NULL, 10);
	const struct CMUnitTest tests[] = {cmocka_unit_test(every_kill_leaves_before_or_after)};
	return cmocka_run_group_tests_name("local index, kills", tests, NULL, NULL);
}
