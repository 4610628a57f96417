#include "tests/remote/blobs/blobs_fixture.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "remote/serial_set.h"

enum {
	ASK_MS = 120000, /* for one try of a test's own request */
	TRIES = 50,
	PATIENCE_MS = 120000,
};

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *walk)
{
	(void)info, (void)type, (void)walk;
	return remove(path);
}

int blobs_start(struct blobs *b, bool init)
{
	struct ps_remote_setup setup = {
	    .url = b->url, .options = &b->options, .seams = &b->seams, .init = init};
	int err = ps_keys_new(b->key, NULL, &setup.keys);
	if (err != PS_OK)
		return err;
	err = ps_remote_start(&setup, &b->r);
	if (err != PS_OK)
		ps_keys_free(setup.keys);
	return err;
}

/* On a mem: network what fails was planned, so it is not tried again. */
static unsigned tries_on(const char *url)
{
	return strncmp(url, "mem:", strlen("mem:")) == 0 ? 1 : TRIES;
}

int blobs_start_again(struct blobs *b, bool init)
{
	int err = PS_EUNAVAILABLE;
	for (unsigned i = tries_on(b->url); err == PS_EUNAVAILABLE && i > 0; i--)
		err = blobs_start(b, init);
	return err;
}

int blobs_start_after_kill(struct blobs *b)
{
	const struct timespec moment = {.tv_nsec = 1000000};
	int err = blobs_start_again(b, false);
	for (unsigned i = 0; err == PS_EBUSY && i < PATIENCE_MS; i++) {
		(void)nanosleep(&moment, NULL);
		err = blobs_start_again(b, false);
	}
	return err;
}

enum ps_outcome blobs_ask(ps_client *client, struct ps_net_request *request)
{
	unsigned tries = tries_on(ps_network_url(client->network));
	enum ps_outcome outcome = PS_NET_UNKNOWN;
	if (tries > 1)
		request->timeout_ms = ASK_MS;
	while ((outcome == PS_NET_UNAVAILABLE || outcome == PS_NET_UNKNOWN) && tries-- > 0)
		outcome = ps_client_call(client, request);
	return outcome;
}

void blobs_must_answer(ps_client *client, struct ps_net_request *request)
{
	if (blobs_ask(client, request) != PS_NET_DONE)
		fail_msg("\"%s\": %s", ps_outcome_text(request->outcome), request->sentence);
}

/* Somewhere that nobody used before, on the engine that PS_TEST_NETWORK names. Its time-outs are those of an
 * engine that has other work as well. */
static void place_on_engine(struct blobs *b, unsigned number)
{
	const char *url = getenv("PS_TEST_NETWORK"), *place = url ? strstr(url, "%s") : NULL;
	if (!place)
		fail_msg("PS_TEST_NETWORK is to be a URL with %%s where the place goes (on_engine sets it)");
	int len = snprintf(b->url, sizeof(b->url), "%.*sblobs-%d-%u%s", (int)(place - url), url,
	                   (int)getpid(), number, place + 2);
	assert_true(len > 0 && (size_t)len < sizeof(b->url));
	b->options.timeout_ms = 60000;
}

static struct blobs *new_in(const char *folder, const char *scheme, const struct ps_remote_seams *seams)
{
	static unsigned number;
	/* Not cmocka's memory: it may live through several tests. */
	struct blobs *b = calloc(1, sizeof(*b));
	assert_non_null(b);
	snprintf(b->folder, sizeof(b->folder), "%s/padstone-blobs-XXXXXX", folder);
	assert_non_null(mkdtemp(b->folder));
	blobs_fill(b->key, sizeof(b->key), 4711);
	if (seams)
		b->seams = *seams;
	b->options = (struct ps_remote_options){.size = sizeof(b->options),
	                                        .state = b->folder,
	                                        .mode = PS_REMOTE_SMALL,
	                                        .workers = 2,
	                                        .depth = 4,
	                                        .timeout_ms = 2000,
	                                        .retries = 4,
	                                        .create = 1};
	if (strcmp(scheme, "dir") == 0) {
		snprintf(b->url, sizeof(b->url), "dir:%s/network", b->folder);
		b->options.timeout_ms = 60000; /* its disk may have other work as well */
	} else if (strcmp(scheme, BLOBS_ENGINE) == 0)
		place_on_engine(b, ++number);
	else
		snprintf(b->url, sizeof(b->url), "mem:blobs-%d-%u", (int)getpid(), ++number);
	if (strcmp(scheme, "mem") == 0)
		assert_ok(ps_network_open(b->url, NULL, &b->watch));
	assert_ok(blobs_start_again(b, true));
	return b;
}

struct blobs *blobs_new_with(const char *scheme, const struct ps_remote_seams *seams)
{
	return new_in("/dev/shm", scheme, seams);
}

struct blobs *blobs_new_in(const char *folder, const char *scheme)
{
	return new_in(folder, scheme, NULL);
}

struct blobs *blobs_new(const char *scheme)
{
	return blobs_new_with(scheme, NULL);
}

void blobs_close(struct blobs *b)
{
	assert_ok(ps_remote_close(b->r));
	b->r = NULL;
}

void blobs_reopen(struct blobs *b)
{
	blobs_close(b);
	assert_ok(blobs_start_again(b, false));
}

void blobs_free(struct blobs *b)
{
	blobs_close(b);
	if (b->watch) {
		ps_network_close(b->watch);
		assert_ok(ps_mem_forget(b->url + strlen("mem:")));
	}
	assert_int_equal(nftw(b->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
	free(b);
}

ps_mem_world *blobs_world(struct blobs *b)
{
	return ps_mem_world_of(b->watch);
}

void blobs_fill(void *buf, size_t len, uint64_t seed)
{
	uint8_t *bytes = buf;
	uint64_t state = seed * 0x9e3779b97f4a7c15U + 1;
	for (size_t i = 0; i < len; i += sizeof(state)) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		memcpy(bytes + i, &state, len - i < sizeof(state) ? len - i : sizeof(state));
	}
}

uint8_t *blobs_bytes(size_t len, uint64_t seed)
{
	uint8_t *bytes = test_malloc(len + 1);
	blobs_fill(bytes, len, seed);
	return bytes;
}

void blobs_put(struct blobs *b, const char *key, size_t len, uint64_t seed)
{
	uint8_t *bytes = blobs_bytes(len, seed);
	assert_ok(ps_remote_put(b->r, key, bytes, len, NULL));
	test_free(bytes);
}

void blobs_update(struct blobs *b, const char *key, size_t len, uint64_t seed)
{
	uint8_t *bytes = blobs_bytes(len, seed);
	assert_ok(ps_remote_update(b->r, key, bytes, len, NULL));
	test_free(bytes);
}

bool blobs_is(struct blobs *b, const char *key, size_t len, uint64_t seed)
{
	uint8_t *should = blobs_bytes(len, seed), *is = test_malloc(len + 1);
	size_t got = 0;
	int err = ps_remote_get(b->r, key, is, len, &got, NULL);
	bool same = err == PS_OK && got == len && memcmp(should, is, len) == 0;
	/* Right or an error; never other bytes that look like an answer. */
	if (err != PS_OK && err != PS_ERANGE)
		fail_msg("get %s: %s (%s)", key, ps_error_name(err), ps_last_error_message());
	test_free(should);
	test_free(is);
	return same;
}

void blobs_expect(struct blobs *b, const char *key, size_t len, uint64_t seed)
{
	if (!blobs_is(b, key, len, seed))
		fail_msg("\"%s\" is not the %zu bytes of seed %llu", key, len, (unsigned long long)seed);
}

void blobs_stats(struct blobs *b, struct ps_remote_stats *stats)
{
	assert_ok(ps_remote_stats(b->r, stats));
}

/* ---- comparing with the network's list ---- */

struct names {
	struct ps_pad_name *all;
	size_t count, capacity;
};

static void add_name(struct names *names, const struct ps_pad_name *name)
{
	if (names->count == names->capacity) {
		names->capacity = names->capacity > 0 ? names->capacity * 2 : 64;
		names->all = realloc(names->all, names->capacity * sizeof(*names->all));
		assert_non_null(names->all);
	}
	names->all[names->count++] = *name;
}

static int see_record(void *arg, const struct ps_record *record)
{
	if (record->flags & PS_RECORD_PUBLIC)
		add_name(arg, &record->index_pad.name);
	for (unsigned set = 0; set < PS_SETS; set++)
		for (uint32_t i = 0; i < record->sets[set].count; i++)
			add_name(arg, &record->sets[set].slots[i].name);
	return PS_OK;
}

static int see_spare(void *arg, const struct ps_spare *spare)
{
	add_name(arg, &spare->slot.name);
	return PS_OK;
}

static int compare_names(const void *a, const void *b)
{
	return memcmp(a, b, PS_PAD_NAME);
}

static struct ps_pad_name head_name(struct blobs *b)
{
	struct ps_serial head;
	struct ps_pad_name name;
	ps_keys_head_serial(b->r->keys, &head);
	assert_ok(ps_pad_name(b->r->keys, &head, &name));
	return name;
}

static void known_names(struct blobs *b, struct names *names)
{
	for (unsigned kind = 0; kind < PS_RECORD_KINDS; kind++)
		assert_ok(ps_index_list(b->r->index, kind, NULL, PS_LIST_SLOTS, see_record, names));
	for (unsigned status = PS_SLOT_GENERATED; status < PS_SLOT_STATUSES; status++)
		assert_ok(ps_index_each_spare(b->r->index, status, see_spare, names));
	struct ps_pad_name name = head_name(b);
	add_name(names, &name);
	qsort(names->all, names->count, sizeof(*names->all), compare_names);
}

static void listed_names(struct blobs *b, struct names *names)
{
	struct ps_net_listed listed[64];
	struct ps_net_list list = {.listed = listed, .capacity = 64, .more = true};
	ps_client *client;
	assert_ok(ps_client_open(b->r->network, &client));
	while (list.more) {
		struct ps_net_request request = {.op = PS_NET_LIST, .list = &list};
		blobs_must_answer(client, &request);
		for (size_t i = 0; i < list.count; i++)
			add_name(names, &listed[i].name);
	}
	ps_client_close(client);
}

static void say(void *arg, const char *finding)
{
	(void)arg;
	print_error("index: %s\n", finding);
}

void blobs_check(struct blobs *b)
{
	struct names known = {0}, listed = {0};
	assert_ok(ps_remote_verify(b->r, say, NULL));
	known_names(b, &known);
	listed_names(b, &listed);
	for (size_t i = 1; i < known.count; i++)
		assert_true(compare_names(&known.all[i - 1], &known.all[i]) != 0);
	for (size_t i = 0; i < listed.count; i++)
		if (!bsearch(&listed.all[i], known.all, known.count, sizeof(*known.all), compare_names))
			fail_msg("a pad on the network that the index has forgotten");
	free(known.all);
	free(listed.all);
}

/* ---- those that must be there ---- */

static void add_sure(struct names *names, const struct ps_pad_slot *slot)
{
	if (slot->status == PS_SLOT_WRITTEN || slot->status == PS_SLOT_CONFIRMED ||
	    slot->status == PS_SLOT_FREE)
		add_name(names, &slot->name);
}

static int see_sure_record(void *arg, const struct ps_record *record)
{
	for (unsigned set = 0; set < PS_SETS; set++)
		for (uint32_t i = 0; i < record->sets[set].count; i++)
			add_sure(arg, &record->sets[set].slots[i]);
	return PS_OK;
}

static int see_sure_spare(void *arg, const struct ps_spare *spare)
{
	add_sure(arg, &spare->slot);
	return PS_OK;
}

void blobs_check_exactly(struct blobs *b)
{
	struct names sure = {0}, listed = {0};
	blobs_check(b);
	for (unsigned kind = 0; kind < PS_RECORD_KINDS; kind++)
		assert_ok(ps_index_list(b->r->index, kind, NULL, PS_LIST_SLOTS, see_sure_record, &sure));
	for (unsigned status = PS_SLOT_GENERATED; status < PS_SLOT_STATUSES; status++)
		assert_ok(ps_index_each_spare(b->r->index, status, see_sure_spare, &sure));
	listed_names(b, &listed);
	qsort(listed.all, listed.count, sizeof(*listed.all), compare_names);
	for (size_t i = 0; i < sure.count; i++)
		if (!bsearch(&sure.all[i], listed.all, listed.count, sizeof(*listed.all), compare_names))
			fail_msg("a pad that the index counts on is not on the network");
	free(sure.all);
	free(listed.all);
}

size_t blobs_listed(struct blobs *b)
{
	struct names listed = {0};
	struct ps_pad_name head = head_name(b);
	size_t count = 0;
	listed_names(b, &listed);
	for (size_t i = 0; i < listed.count; i++)
		count += compare_names(&listed.all[i], &head) != 0;
	free(listed.all);
	return count;
}

/* What a mem: network has, whatever it would list; what another lists. */
static void there_names(struct blobs *b, struct names *names)
{
	if (!b->watch) {
		listed_names(b, names);
		qsort(names->all, names->count, sizeof(*names->all), compare_names);
		return;
	}
	names->capacity = 256;
	names->all = malloc(names->capacity * sizeof(*names->all));
	assert_non_null(names->all);
	names->count = ps_mem_names(blobs_world(b), 0, names->all, names->capacity);
	assert_true(names->count <= names->capacity);
}

size_t blobs_names(struct blobs *b, struct ps_pad_name *names, size_t capacity)
{
	struct ps_pad_name head = head_name(b);
	struct names there = {0};
	size_t count = 0;
	there_names(b, &there);
	for (size_t i = 0; i < there.count; i++)
		if (compare_names(&there.all[i], &head) != 0 && count < capacity)
			names[count++] = there.all[i];
	free(there.all);
	return count;
}

void blobs_lose(struct blobs *b, const struct ps_pad_name *name)
{
	struct ps_net_request look = {.op = PS_NET_HEAD, .name = *name};
	struct ps_net_request take = {.op = PS_NET_REMOVE, .name = *name};
	ps_client *client;
	assert_ok(ps_client_open(b->r->network, &client));
	blobs_must_answer(client, &look);
	take.expected = look.identity;
	take.token = look.token;
	/* Asked again, it may find that it was done. */
	enum ps_outcome outcome = blobs_ask(client, &take);
	if (outcome != PS_NET_DONE && (outcome != PS_NET_ABSENT || b->watch))
		fail_msg("\"%s\": %s", ps_outcome_text(outcome), take.sentence);
	ps_client_close(client);
}
