#include "tests/remote/networks/cm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "tests/remote/networks/suite.h"

enum { PATIENCE_MS = 120000, MS_PER_S = 1000, NS_PER_MS = 1000000, MOST_TESTS = 64 };

const struct networks_suite *net_suite;
uint64_t net_seed;

/* SplitMix64 (Steele, Lea, Flood, 2014). */
uint64_t net_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

uint64_t net_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * MS_PER_S + (uint64_t)now.tv_nsec / NS_PER_MS;
}

/* ---- sides ---- */

void net_open_at(struct net_side *side, const char *url, bool read_only)
{
	struct ps_network_options options = {0};
	if (net_suite->options)
		options = *net_suite->options;
	options.size = sizeof(options);
	options.depth = NET_DEPTH;
	options.timeout_ms = 300 * MS_PER_S;
	options.create = !read_only;
	options.read_only = read_only;
	int err = ps_network_open(url, &options, &side->network);
	if (err != PS_OK)
		fail_msg("%s: %s: %s", url, ps_error_name(err), ps_last_error_message());
	snprintf(side->url, sizeof(side->url), "%s", url);
	side->client = net_client(side->network);
}

ps_client *net_client(ps_network *network)
{
	ps_client *client = NULL;
	int err = ps_client_open(network, &client);
	if (err != PS_OK)
		fail_msg("%s: %s", ps_network_url(network), ps_last_error_message());
	return client;
}

void net_close(struct net_side *side)
{
	ps_client_close(side->client);
	ps_network_close(side->network);
	side->client = NULL;
	side->network = NULL;
}

void net_next_client(struct net_side *side)
{
	uint64_t until = net_now_ms() + PATIENCE_MS;
	ps_client_close(side->client);
	while (atomic_load(&side->network->references) > 1 && net_now_ms() < until)
		usleep(100);
	assert_int_equal(atomic_load(&side->network->references), 1);
	side->client = net_client(side->network);
}

int net_begin(void **state)
{
	char url[NET_URL];
	struct net_side *side = calloc(1, sizeof(*side));
	assert_non_null(side);
	net_suite->fresh(url, sizeof(url));
	net_open_at(side, url, false);
	*state = side;
	return 0;
}

int net_end(void **state)
{
	struct net_side *side = *state;
	if (net_suite->hang)
		net_suite->hang(side->url, 0);
	net_close(side);
	free(side);
	return 0;
}

/* ---- names and contents ---- */

struct ps_pad_name net_name(uint64_t i)
{
	struct ps_pad_name name;
	uint64_t state = net_seed * 1000003 + i;
	for (size_t at = 0; at < sizeof(name.bytes); at += sizeof(state)) {
		uint64_t word = net_random(&state);
		memcpy(name.bytes + at, &word, sizeof(word));
	}
	return name;
}

struct ps_pad_identity net_identity(uint64_t counter, uint64_t writer)
{
	struct ps_pad_identity identity = {.counter = counter};
	uint64_t state = counter * 31 + writer;
	memcpy(identity.hash, &writer, sizeof(writer));
	for (size_t at = sizeof(writer); at < sizeof(identity.hash); at += sizeof(state)) {
		uint64_t word = net_random(&state);
		memcpy(identity.hash + at, &word, sizeof(word));
	}
	return identity;
}

static void contents(uint8_t *bytes, const struct ps_pad_name *name, const struct ps_pad_identity *identity,
                     size_t from, size_t len, size_t size)
{
	uint64_t seed, words[2];
	memcpy(&seed, name->bytes, sizeof(seed));
	memcpy(words, identity->hash + sizeof(words), sizeof(words));
	seed ^= identity->counter * 0x100000001b3 ^ words[0] ^ size;
	/* Any word can be made by itself: ranges are checked too. */
	for (size_t i = 0; i < len;) {
		uint64_t at = (from + i) / sizeof(seed), state = seed + at * 0x2545f4914f6cdd1d;
		uint64_t word = net_random(&state);
		size_t skip = (from + i) % sizeof(seed);
		size_t n = sizeof(seed) - skip < len - i ? sizeof(seed) - skip : len - i;
		memcpy(bytes + i, (uint8_t *)&word + skip, n);
		i += n;
	}
}

struct ps_net_buffer *net_buffer(ps_network *network, size_t capacity)
{
	struct ps_net_buffer *buffer = ps_net_buffer_new(&network->memory, capacity);
	assert_non_null(buffer);
	return buffer;
}

void net_fill(struct ps_net_buffer *buffer, const struct ps_pad_name *name,
              const struct ps_pad_identity *identity, size_t len)
{
	assert_true(len <= buffer->capacity);
	contents(buffer->bytes, name, identity, 0, len, len);
	buffer->len = len;
}

bool net_is_whole(const struct ps_net_request *get)
{
	size_t from = get->op == PS_NET_GET_RANGE ? (size_t)get->offset : 0, len = get->buffer->len;
	uint8_t *right = malloc(len + 1);
	assert_non_null(right);
	contents(right, &get->name, &get->identity, from, len, (size_t)get->size);
	bool whole = memcmp(right, get->buffer->bytes, len) == 0;
	if (get->op == PS_NET_GET)
		whole = whole && len == get->size;
	free(right);
	return whole;
}

/* ---- one request ---- */

void net_assert_outcome(const struct ps_net_request *request, enum ps_outcome outcome)
{
	if (request->outcome != outcome)
		fail_msg("\"%s\" instead of \"%s\": %s", ps_outcome_text(request->outcome),
		         ps_outcome_text(outcome), request->sentence);
	assert_true((request->sentence[0] == '\0') == (outcome == PS_NET_DONE));
}

static enum ps_outcome store(ps_client *client, struct ps_net_request *r, size_t len)
{
	r->buffer = net_buffer(client->network, len);
	net_fill(r->buffer, &r->name, &r->identity, len);
	enum ps_outcome outcome = ps_client_call(client, r);
	ps_net_buffer_release(r->buffer);
	return outcome;
}

enum ps_outcome net_create(ps_client *client, const struct ps_pad_name *name, struct ps_pad_identity identity,
                           size_t len)
{
	struct ps_net_request r = {.op = PS_NET_CREATE, .name = *name, .identity = identity};
	return store(client, &r, len);
}

enum ps_outcome net_replace(ps_client *client, const struct ps_pad_name *name,
                            struct ps_pad_identity expected, struct ps_pad_identity identity, size_t len)
{
	struct ps_net_request r = {
	    .op = PS_NET_REPLACE, .name = *name, .expected = expected, .identity = identity};
	return store(client, &r, len);
}

enum ps_outcome net_remove(ps_client *client, const struct ps_pad_name *name, struct ps_pad_identity expected)
{
	struct ps_net_request r = {.op = PS_NET_REMOVE, .name = *name, .expected = expected};
	return ps_client_call(client, &r);
}

enum ps_outcome net_head(ps_client *client, const struct ps_pad_name *name, struct ps_pad_identity *identity,
                         uint64_t *size)
{
	struct ps_net_request r = {.op = PS_NET_HEAD, .name = *name};
	enum ps_outcome outcome = ps_client_call(client, &r);
	*identity = r.identity;
	*size = r.size;
	return outcome;
}

void net_expect(ps_client *client, const struct ps_pad_name *name, struct ps_pad_identity identity,
                size_t len)
{
	struct ps_net_request r = {.op = PS_NET_HEAD, .name = *name};
	ps_client_call(client, &r);
	net_assert_outcome(&r, PS_NET_DONE);
	assert_true(ps_identity_same(&r.identity, &identity));
	assert_int_equal(r.size, len);
	r = (struct ps_net_request){
	    .op = PS_NET_GET, .name = *name, .buffer = net_buffer(client->network, len)};
	ps_client_call(client, &r);
	net_assert_outcome(&r, PS_NET_DONE);
	assert_true(ps_identity_same(&r.identity, &identity));
	assert_int_equal(r.size, len);
	assert_int_equal(r.buffer->len, len);
	assert_true(net_is_whole(&r));
	ps_net_buffer_release(r.buffer);
}

void net_expect_absent(ps_client *client, const struct ps_pad_name *name)
{
	struct ps_net_request r = {.op = PS_NET_HEAD, .name = *name};
	ps_client_call(client, &r);
	net_assert_outcome(&r, PS_NET_ABSENT);
	assert_true(ps_identity_none(&r.identity));
	r = (struct ps_net_request){
	    .op = PS_NET_GET, .name = *name, .buffer = net_buffer(client->network, 1)};
	ps_client_call(client, &r);
	net_assert_outcome(&r, PS_NET_ABSENT);
	ps_net_buffer_release(r.buffer);
}

/* ---- the run ---- */

int networks_conformance(const struct networks_suite *suite)
{
	struct CMUnitTest tests[MOST_TESTS];
	size_t n = 0;
	const char *seed = getenv("SEED");
	const struct {
		const struct CMUnitTest *tests;
		size_t count;
	} parts[] = {{net_record_tests, net_record_count},
	             {net_race_tests, net_race_count},
	             {net_list_tests, net_list_count},
	             {net_request_tests, net_request_count}};
	net_suite = suite;
	net_seed = seed ? strtoull(seed, NULL, 0) : 1;
	print_message("%s: SEED=%llu\n", suite->name, (unsigned long long)net_seed);
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		for (size_t t = 0; t < parts[i].count; t++) {
			assert_true(n < MOST_TESTS);
			tests[n++] = parts[i].tests[t];
		}
	}
	return _cmocka_run_group_tests(suite->name, tests, n, NULL, NULL);
}
