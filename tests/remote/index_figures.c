/* Not a test: what the local index costs with many keys.
 *
 * index_figures FOLDER [keys [crash]]   crash: a change, and no close */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "remote/local_index.h"

enum { BATCH = 1000 };

static const struct ps_index_binding binding = {.network = {1}, .key_check = {2}, .store = "main"};

static void must(int err)
{
	if (err != PS_OK) {
		(void)fprintf(stderr, "%s: %s\n", ps_error_name(err), ps_last_error_message());
		exit(1);
	}
}

static double now(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void say(const char *what, double since, ps_index *index)
{
	struct rusage usage;
	struct ps_index_figures figures = {0};
	if (index)
		ps_index_figures(index, &figures);
	(void)getrusage(RUSAGE_SELF, &usage);
	printf("%-28s %6.2f s, tables %4" PRIu64 " MiB, process at most %4ld MiB\n", what, now() - since,
	       figures.memory >> 20, usage.ru_maxrss >> 10);
	(void)fflush(stdout);
}

static void add(ps_index *index, ps_index_txn *txn, uint64_t number)
{
	struct ps_record record;
	struct ps_pad_slot slot;
	struct ps_serial serial = {{1}};
	struct ps_pad_name pad = {{2}};
	char name[64];
	/* Not in the order of the ids, as in a store that has lived. */
	uint64_t scattered = number * 0x9e3779b97f4a7c15U;
	int len = snprintf(name, sizeof(name), "photos/%04" PRIu64 "/%016" PRIx64 ".jpeg", scattered % 997,
	                   scattered);
	must(ps_record_init(&record, ps_index_memory(index), PS_RECORD_BLOB, name, (size_t)len));
	memcpy(serial.bytes + 4, &number, sizeof(number));
	memcpy(pad.bytes + 4, &number, sizeof(number));
	ps_slot_new(&slot, &serial, &pad, PS_PAD_PRIVATE, PS_PAD_MEDIUM);
	slot.status = PS_SLOT_CONFIRMED;
	slot.hash[0] = slot.nonce[0] = 1;
	record.flags = PS_RECORD_COMPLETE;
	record.content = (struct ps_content){.size = 1000, .mode = PS_PAD_MEDIUM};
	record.version = record.base = (struct ps_version){1, {1}};
	record.published = 1;
	must(ps_record_set_slots(&record, PS_SET_CURRENT, &slot, 1));
	must(ps_txn_adopt(txn, &record));
	ps_record_done(&record);
}

static void fill_from(ps_index *index, uint64_t first, uint64_t keys)
{
	for (uint64_t i = first; i < keys;) {
		ps_index_txn *txn;
		must(ps_index_begin(index, &txn));
		for (uint64_t end = i + BATCH < keys ? i + BATCH : keys; i < end; i++)
			add(index, txn, i + 1);
		must(ps_index_commit(txn));
	}
}

static int count(void *arg, const struct ps_record *record)
{
	(void)record;
	++*(uint64_t *)arg;
	return 0;
}

static void measure_lists(ps_index *index, uint64_t keys)
{
	static const struct {
		const char *name, *prefix;
		unsigned flags;
	} lists[] = {{"list of all", NULL, 0},
	             {"list of all, with slots", NULL, PS_LIST_SLOTS},
	             {"list of one folder in 997", "photos/0500/", 0},
	             {"list of what is dirty", NULL, PS_LIST_DIRTY}};
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		uint64_t seen = 0;
		double since = now();
		must(ps_index_list(index, PS_RECORD_BLOB, lists[i].prefix, lists[i].flags, count, &seen));
		say(lists[i].name, since, index);
		if (i < 2 && seen < keys)
			exit(1);
	}
}

int main(int argc, char **argv)
{
	uint64_t keys = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
	ps_index *index;
	if (argc < 2)
		return 2;
	double since = now();
	int err = ps_index_make(argv[1], &binding, NULL);
	if (err != PS_EEXIST) {
		must(err);
		must(ps_index_open(argv[1], &binding, NULL, &index));
		fill_from(index, 0, keys);
		say("filled", since, index);
		must(ps_index_close(index));
		return 0;
	}
	must(ps_index_open(argv[1], &binding, NULL, &index));
	say("opened", since, index);
	if (argc > 3) {
		fill_from(index, keys, keys + BATCH);
		_exit(0);
	}
	measure_lists(index, keys);
	since = now();
	must(ps_index_verify(index, NULL, NULL));
	say("verified", since, index);
	must(ps_index_close(index));
	return 0;
}
