#include "tests/remote/index_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "remote/local_index_internal.h"
#include "store/base_internal.h"

size_t test_summary_from, test_summary_cells;

void index_take_seams(ps_index *index)
{
	if (test_summary_from > 0)
		index->summary_from = index->summary_next = test_summary_from;
	index->summary_cells = test_summary_cells;
}
const struct ps_index_binding test_binding = {.network = {1, 2, 3}, .key_check = {9, 8, 7}, .store = "main"};

uint64_t roll(struct dice *dice)
{
	uint64_t z = dice->state += 0x9e3779b97f4a7c15U;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
	z = (z ^ z >> 27) * 0x94d049bb133111ebU;
	return z ^ z >> 31;
}

uint64_t roll_below(struct dice *dice, uint64_t n)
{
	return roll(dice) % n;
}

void roll_bytes(struct dice *dice, void *out, size_t len)
{
	uint8_t *bytes = out;
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(roll(dice) >> 17);
}

uint64_t test_seed(uint64_t standard)
{
	const char *given = getenv("PS_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 10) : standard;
	print_message("seed %llu\n", (unsigned long long)seed);
	return seed;
}

uint64_t test_one_in(void)
{
	const char *given = getenv("PS_ONE_IN");
	return given ? strtoull(given, NULL, 10) : 1;
}

struct ps_version version_of(uint64_t counter, uint8_t machine)
{
	struct ps_version version = {.counter = counter};
	memset(version.machine, machine, PS_MACHINE);
	return version;
}

struct ps_pad_slot new_pad(struct dice *dice, unsigned class, unsigned mode)
{
	struct ps_pad_slot slot;
	struct ps_serial serial;
	struct ps_pad_name name;
	roll_bytes(dice, &serial, sizeof(serial));
	roll_bytes(dice, &name, sizeof(name));
	ps_slot_new(&slot, &serial, &name, class, mode);
	return slot;
}

void seal(struct dice *dice, struct ps_pad_slot *slot)
{
	roll_bytes(dice, slot->hash, sizeof(slot->hash));
	roll_bytes(dice, slot->nonce, sizeof(slot->nonce));
	slot->length = 1000;
}

struct ps_pad_slot pad_of(struct dice *dice, unsigned status)
{
	struct ps_pad_slot slot = new_pad(dice, PS_PAD_PRIVATE, PS_PAD_MEDIUM);
	seal(dice, &slot);
	slot.status = (uint8_t)status;
	return slot;
}

void make_blob(struct dice *dice, struct ps_memory *memory, const char *name, unsigned pads,
               struct ps_record *record)
{
	ok(ps_record_init(record, memory, PS_RECORD_BLOB, name, strlen(name)));
	record->flags = PS_RECORD_COMPLETE | PS_RECORD_DIRTY;
	record->content = (struct ps_content){.size = pads * 1000ULL, .mode = PS_PAD_MEDIUM};
	roll_bytes(dice, record->content.hash, sizeof(record->content.hash));
	record->version = version_of(1, 7);
	record->time_ns = 1700000000000000000U;
	for (unsigned i = 0; i < pads; i++) {
		struct ps_pad_slot slot = pad_of(dice, PS_SLOT_CONFIRMED);
		ok(ps_record_add_slots(record, PS_SET_CURRENT, &slot, 1));
	}
}

int index_try(struct sim_disk *disk, bool make, const struct ps_index_binding *binding, ps_index **index)
{
	const struct ps_base_options options = {.size = sizeof(options),
	                                        .background = PS_BACKGROUND_NONE,
	                                        .log_bytes = 64 << 10,
	                                        .initial_bytes = 64 << 10,
	                                        .memory_budget = 64 << 20};
	ps_storer *store;
	int err = ps_base_open_io(sim_disk_io(disk), sim_disk_size(disk) == 0, &options, &store);
	if (err != PS_OK)
		return err;
	err = ps_index_over(store, binding, make, NULL, index);
	if (err != PS_OK)
		(void)!ps_close(store);
	else
		index_take_seams(*index);
	return err;
}

ps_index *index_on(struct sim_disk *disk, bool make)
{
	ps_index *index = NULL;
	ok(index_try(disk, make, &test_binding, &index));
	return index;
}

static int sum_record(void *arg, const struct ps_record *record)
{
	uint64_t *sum = arg;
	size_t len = ps_record_bytes(record);
	uint8_t *bytes = malloc(len);
	assert_non_null(bytes);
	ps_record_encode(record, bytes);
	*sum += XXH3_64bits(bytes, len);
	free(bytes);
	return 0;
}

static int sum_spare(void *arg, const struct ps_spare *spare)
{
	uint64_t *sum = arg;
	struct ps_slot_bytes bytes;
	ps_slot_encode(&spare->slot, &bytes);
	*sum += XXH3_64bits_withSeed(&bytes, sizeof(bytes), spare->hold + 1);
	return 0;
}

int index_try_sum(ps_index *index, uint64_t *sum)
{
	int err = PS_OK;
	*sum = 0;
	for (unsigned kind = 0; kind < PS_RECORD_KINDS && err == PS_OK; kind++)
		err = ps_index_list(index, kind, NULL, PS_LIST_SLOTS, sum_record, sum);
	for (unsigned status = PS_SLOT_GENERATED; status < PS_SLOT_STATUSES && err == PS_OK; status++)
		err = ps_index_each_spare(index, status, sum_spare, sum);
	return err;
}

uint64_t index_sum(ps_index *index)
{
	uint64_t sum;
	ok(index_try_sum(index, &sum));
	return sum;
}

static void say(void *arg, const char *finding)
{
	(void)arg;
	print_message("%s\n", finding);
}

void verify_index(ps_index *index)
{
	ok(ps_index_verify(index, say, NULL));
}
