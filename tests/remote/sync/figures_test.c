/* What a sync costs: of one change in an index of a million keys, and of none. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/remote/sync/sync_fixture.h"

enum { COMMIT = 2000, MOST_BYTES = 64 << 10, SYNCS = 150 };

static unsigned keys = 1000000;

static double seconds(void)
{
	struct timespec now;
	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static struct ps_pad_slot made_up_pad(struct dice *dice)
{
	struct ps_serial serial;
	struct ps_pad_name name;
	struct ps_pad_slot slot;
	for (size_t i = 0; i < sizeof(serial); i++)
		serial.bytes[i] = (uint8_t)roll(dice);
	for (size_t i = 0; i < sizeof(name); i++)
		name.bytes[i] = (uint8_t)roll(dice);
	ps_slot_new(&slot, &serial, &name, PS_PAD_PRIVATE, PS_PAD_SMALL);
	for (size_t i = 0; i < sizeof(slot.hash); i++)
		slot.hash[i] = (uint8_t)roll(dice);
	slot.length = 1000;
	slot.status = PS_SLOT_CONFIRMED;
	return slot;
}

/* As a put of 1,000 bytes leaves it; the pad itself is nowhere. */
static void add_key(struct blobs *b, struct dice *dice, unsigned number, ps_index_txn *txn)
{
	struct ps_record record;
	char key[32];
	struct ps_pad_slot pad = made_up_pad(dice);
	snprintf(key, sizeof(key), "some/folder/key %07u", number);
	assert_ok(ps_record_init(&record, ps_index_memory(b->r->index), PS_RECORD_BLOB, key, strlen(key)));
	record.flags = PS_RECORD_COMPLETE | PS_RECORD_DIRTY;
	record.version.counter = 1;
	memcpy(record.version.machine, b->r->machine.id, PS_MACHINE);
	record.content = (struct ps_content){.size = 1000, .mode = PS_PAD_SMALL, .class = PS_PAD_PRIVATE};
	assert_ok(ps_record_set_slots(&record, PS_SET_CURRENT, &pad, 1));
	assert_ok(ps_txn_adopt(txn, &record));
	ps_record_done(&record);
}

static void add_keys(struct blobs *b)
{
	struct dice dice = {test_seed(1)};
	for (unsigned n = 0; n < keys;) {
		ps_index_txn *txn;
		assert_ok(ps_index_begin(b->r->index, &txn));
		for (unsigned i = 0; i < COMMIT && n < keys; i++)
			add_key(b, &dice, n++, txn);
		assert_ok(ps_index_commit(txn));
	}
}

static uint64_t requests_of(const struct ps_mem_figures *figures)
{
	uint64_t all = 0;
	for (unsigned op = 0; op < PS_MEM_OPS; op++)
		all += figures->requests[op];
	return all;
}

/* Every one of them sends little, also where runs of syncs before become one. */
static void sync_again_and_again(struct blobs *b)
{
	uint64_t most = 0, sum = 0, requests = 0;
	double begun = seconds(), longest = 0;
	for (unsigned i = 0; i < SYNCS; i++) {
		struct ps_mem_figures figures;
		char key[24];
		snprintf(key, sizeof(key), "some/folder/new %u", i);
		blobs_put(b, key, 1000 + i, i);
		ps_mem_figures(blobs_world(b), &figures, true);
		double from = seconds();
		struct ps_remote_sync_result result = sync_machine(b);
		longest = seconds() - from > longest ? seconds() - from : longest;
		ps_mem_figures(blobs_world(b), &figures, false);
		uint64_t beside = figures.bytes_in - result.head_bytes;
		most = beside > most ? beside : most;
		requests = requests_of(&figures) > requests ? requests_of(&figures) : requests;
		sum += beside;
	}
	print_message(
	    "%u more: %llu bytes beside the head on average, %llu at most, %llu requests at most, %.3f s "
	    "a sync, %.3f at most\n",
	    SYNCS, (unsigned long long)(sum / SYNCS), (unsigned long long)most, (unsigned long long)requests,
	    (seconds() - begun) / SYNCS, longest);
	assert_in_range(most, 1, MOST_BYTES);
}

static void one_change_among_a_million_sends_little(void **state)
{
	struct ps_mem_figures figures;
	struct blobs *b = blobs_new("mem");
	(void)state;
	add_keys(b);
	double begun = seconds();
	struct ps_remote_sync_result result = sync_machine(b);
	print_message("%u keys: the first sync took %.1f s and sent %llu MiB\n", keys, seconds() - begun,
	              (unsigned long long)(result.run_bytes >> 20));
	assert_int_equal(result.sent, keys);
	for (unsigned i = 0; i < 3; i++) {
		if (i == 0)
			blobs_put(b, "one", 10, 1);
		else if (i == 1)
			blobs_update(b, "one", 1000, 2);
		else
			assert_ok(ps_remote_remove(b->r, "some/folder/key 0000777"));
		ps_mem_figures(blobs_world(b), &figures, true);
		begun = seconds();
		result = sync_machine(b);
		ps_mem_figures(blobs_world(b), &figures, false);
		uint64_t beside = figures.bytes_in - result.head_bytes;
		print_message(
		    "one change: %.3f s, %llu bytes beside a head of %llu, %llu requests, %llu read\n",
		    seconds() - begun, (unsigned long long)beside, (unsigned long long)result.head_bytes,
		    (unsigned long long)requests_of(&figures), (unsigned long long)figures.bytes_out);
		assert_in_range(beside, 1, MOST_BYTES);
	}
	sync_again_and_again(b);
	begun = seconds();
	struct blobs *fresh = machine_open(b);
	print_message("a machine with only the key has it in %.1f s\n", seconds() - begun);
	assert_int_equal(count_keys(fresh, NULL), keys + SYNCS);
	struct ps_remote_stats stats;
	blobs_stats(fresh, &stats);
	print_message("memory %llu MiB\n", (unsigned long long)(stats.memory >> 20));
	machine_free(fresh);
	blobs_free(b);
}

/* An open store asks for nothing by itself. */
static void no_request_while_idle(void **state)
{
	struct ps_mem_figures figures;
	struct ps_workers_figures workers;
	struct blobs *b = blobs_new("mem");
	const struct timespec while_idle = {.tv_nsec = 300000000};
	(void)state;
	blobs_put(b, "key", 10, 1);
	(void)sync_machine(b);
	do {
		(void)sched_yield();
		ps_workers_figures(b->r->workers, &workers);
	} while (workers.asleep < b->options.workers);
	ps_mem_figures(blobs_world(b), &figures, true);
	(void)nanosleep(&while_idle, NULL); /* nothing happens in it: there is no event to wait for */
	ps_mem_figures(blobs_world(b), &figures, true);
	ps_workers_figures(b->r->workers, &workers);
	assert_int_equal(requests_of(&figures), 0);
	assert_int_equal(workers.asleep, b->options.workers);
	blobs_free(b);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_request_while_idle),
	    cmocka_unit_test(one_change_among_a_million_sends_little),
	};
	if (argc > 1)
		keys = (unsigned)atoi(argv[1]);
	return cmocka_run_group_tests_name("sync, figures", tests, NULL, NULL);
}
