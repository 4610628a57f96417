#include "tests/remote/sync/sync_fixture.h"

#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "remote/slot.h"

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

uint64_t test_seed(uint64_t standard)
{
	const char *given = getenv("PS_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : standard;
	print_message("PS_SEED=%" PRIu64 "\n", seed);
	return seed;
}

struct blobs *machine_new(struct blobs *first)
{
	struct blobs *b = test_calloc(1, sizeof(*b));
	*b = *first;
	b->r = NULL;
	b->watch = NULL;
	snprintf(b->folder, sizeof(b->folder), "/dev/shm/padstone-blobs-XXXXXX");
	assert_non_null(mkdtemp(b->folder));
	b->options.state = b->folder;
	return b;
}

struct blobs *machine_open(struct blobs *first)
{
	struct blobs *b = machine_new(first);
	assert_ok(blobs_start_again(b, false));
	return b;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
	(void)info, (void)type, (void)walk;
	return remove(path);
}

void machine_free(struct blobs *b)
{
	if (b->r)
		blobs_close(b);
	assert_int_equal(nftw(b->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	test_free(b);
}

struct ps_remote_sync_result sync_machine(struct blobs *b)
{
	struct ps_remote_sync_result result = {0};
	assert_ok(ps_remote_sync(b->r, NULL, NULL, &result));
	return result;
}

void sync_all_machines(struct blobs **all, size_t count)
{
	bool moved = true;
	for (unsigned round = 0; moved; round++) {
		assert_true(round < 10);
		moved = false;
		for (size_t i = 0; i < count; i++) {
			struct ps_remote_sync_result result = sync_machine(all[i]);
			moved |= result.sent + result.received + result.removed + result.run_bytes > 0;
		}
	}
}

void sync_fails(struct blobs *b, int error)
{
	assert_error(ps_remote_sync(b->r, NULL, NULL, NULL), error);
}

void expect_none(struct blobs *b, const char *key)
{
	uint8_t byte;
	size_t len;
	assert_error(ps_remote_get(b->r, key, &byte, 1, &len, NULL), PS_ENOTFOUND);
}

static int count_one(void *arg, const struct ps_remote_info *info)
{
	size_t *count = arg;
	*count += info->exists;
	return 0;
}

size_t count_keys(struct blobs *b, const char *prefix)
{
	size_t count = 0;
	assert_ok(ps_remote_list(b->r, prefix, count_one, &count));
	return count;
}

struct ps_pad_name head_name_of(struct blobs *b)
{
	struct ps_serial serial;
	struct ps_pad_name name;
	ps_keys *keys;
	assert_ok(ps_keys_new(b->key, NULL, &keys));
	ps_keys_head_serial(keys, &serial);
	assert_ok(ps_pad_name(keys, &serial, &name));
	ps_keys_free(keys);
	return name;
}

static void same_value(struct blobs *a, struct blobs *b, const char *key, size_t size)
{
	uint8_t *one = test_malloc(size + 1), *other = test_malloc(size + 1);
	size_t got = 0, other_got = 0;
	assert_ok(ps_remote_get(a->r, key, one, size, &got, NULL));
	assert_ok(ps_remote_get(b->r, key, other, size, &other_got, NULL));
	assert_int_equal(got, other_got);
	assert_memory_equal(one, other, got);
	test_free(one);
	test_free(other);
}

/* ---- pads ---- */

struct pads {
	struct pad {
		struct ps_pad_name name;
		bool spare;
	} * all;
	size_t count, capacity;
};

static void add_pad(struct pads *pads, const struct ps_pad_name *name, bool spare)
{
	if (pads->count == pads->capacity) {
		pads->capacity = pads->capacity > 0 ? pads->capacity * 2 : 64;
		pads->all = realloc(pads->all, pads->capacity * sizeof(*pads->all));
		assert_non_null(pads->all);
	}
	pads->all[pads->count++] = (struct pad){*name, spare};
}

static int see_record(void *arg, const struct ps_record *record)
{
	if (record->flags & PS_RECORD_PUBLIC)
		add_pad(arg, &record->index_pad.name, false);
	for (unsigned set = 0; set < PS_SETS; set++)
		for (uint32_t i = 0; i < record->sets[set].count; i++)
			add_pad(arg, &record->sets[set].slots[i].name, false);
	return PS_OK;
}

static int see_spare(void *arg, const struct ps_spare *spare)
{
	add_pad(arg, &spare->slot.name, true);
	return PS_OK;
}

static int compare_pads(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct ps_pad_name));
}

static void see_machine(struct blobs *b, struct pads *pads)
{
	for (unsigned kind = 0; kind < PS_RECORD_KINDS; kind++)
		assert_ok(ps_index_list(b->r->index, kind, NULL, PS_LIST_SLOTS, see_record, pads));
	for (unsigned status = PS_SLOT_GENERATED; status < PS_SLOT_STATUSES; status++)
		assert_ok(ps_index_each_spare(b->r->index, status, see_spare, pads));
}

static void say(void *arg, const char *finding)
{
	(void)arg;
	print_error("index: %s\n", finding);
}

/* Slots of the first epochs stand in no index. */
static bool is_slot(struct blobs *b, const struct ps_pad_name *name)
{
	for (uint64_t epoch = 1; epoch <= 8; epoch++) {
		for (uint64_t n = 1; n <= 16; n++) {
			struct ps_pad_name slot;
			assert_ok(ps_remote_slot_name(b->r, &(struct ps_remote_slot_at){epoch, n}, &slot));
			if (compare_pads(&slot, name) == 0)
				return true;
		}
	}
	return false;
}

static void check_listed(struct blobs *b, const struct pads *pads)
{
	struct ps_net_listed listed[64];
	struct ps_net_list list = {.listed = listed, .capacity = 64, .more = true};
	struct ps_pad_name head = head_name_of(b);
	ps_client *client;
	assert_ok(ps_client_open(b->r->network, &client));
	while (list.more) {
		struct ps_net_request request = {.op = PS_NET_LIST, .list = &list};
		blobs_must_answer(client, &request);
		for (size_t i = 0; i < list.count; i++)
			if (compare_pads(&listed[i].name, &head) != 0 &&
			    !bsearch(&listed[i].name, pads->all, pads->count, sizeof(*pads->all),
			             compare_pads) &&
			    !is_slot(b, &listed[i].name))
				fail_msg("a pad on the network that every index has forgotten");
	}
	ps_client_close(client);
}

static int count_run(void *arg, const struct ps_record *record)
{
	(void)record;
	*(uint32_t *)arg += 1;
	return PS_OK;
}

/* No run stands in the index that its head does not list. */
static void check_runs(struct blobs *b)
{
	struct ps_remote_head head;
	uint32_t runs = 0;
	assert_ok(ps_remote_head(b->r, &head));
	assert_ok(ps_index_list(b->r->index, PS_RECORD_SYSTEM, "run ", 0, count_run, &runs));
	assert_int_equal(runs, head.runs);
}

void check_machines(struct blobs **all, size_t count)
{
	struct pads pads = {0};
	for (size_t i = 0; i < count; i++) {
		assert_ok(ps_remote_verify(all[i]->r, say, NULL));
		see_machine(all[i], &pads);
		check_runs(all[i]);
	}
	qsort(pads.all, pads.count, sizeof(*pads.all), compare_pads);
	for (size_t i = 1; i < pads.count; i++)
		if (compare_pads(&pads.all[i - 1], &pads.all[i]) == 0)
			assert_false(pads.all[i - 1].spare || pads.all[i].spare);
	check_listed(all[0], &pads);
	free(pads.all);
}

struct pair {
	struct blobs *a, *b;
};

static int compare_one(void *arg, const struct ps_remote_info *info)
{
	const struct pair *pair = arg;
	if (info->exists)
		same_value(pair->a, pair->b, info->key, info->size);
	return 0;
}

void expect_same(struct blobs *a, struct blobs *b)
{
	struct pair pair = {a, b};
	assert_int_equal(count_keys(a, NULL), count_keys(b, NULL));
	assert_ok(ps_remote_list(a->r, NULL, compare_one, &pair));
}
