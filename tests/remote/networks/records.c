/* What one client sees of one record. */
#include "tests/remote/networks/cm.h"

#include <string.h>

#include "tests/remote/networks/suite.h"

enum { MOST_BYTES = 9 << 20, WHOLE_LARGEST = 100 << 20 };

static const size_t sizes[] = {0, 1, 4095, 4096, 4097, 65536, (128 << 10) + 8192, (2 << 20) + 8191};
enum { SIZES = sizeof(sizes) / sizeof(*sizes) };

static void what_is_created_is_got_with_identity_and_size(void **state)
{
	struct net_side *side = *state;
	for (size_t i = 0; i < SIZES; i++) {
		struct ps_pad_name name = net_name(i);
		net_expect_absent(side->client, &name);
		assert_int_equal(net_create(side->client, &name, net_identity(1 + i, 7), sizes[i]),
		                 PS_NET_DONE);
	}
	for (size_t i = 0; i < SIZES; i++) {
		struct ps_pad_name name = net_name(i);
		net_expect(side->client, &name, net_identity(1 + i, 7), sizes[i]);
	}
}

static void the_largest_record_fits_and_one_byte_more_does_not(void **state)
{
	struct net_side *side = *state;
	struct ps_pad_name name = net_name(0);
	uint64_t largest = ps_network_largest(side->network);
	size_t len = largest <= WHOLE_LARGEST ? (size_t)largest : MOST_BYTES;
	assert_true(largest >= (8 << 20) + (8 << 10));
	assert_int_equal(net_create(side->client, &name, net_identity(1, 0), len), PS_NET_DONE);
	net_expect(side->client, &name, net_identity(1, 0), len);
	if (len == largest) {
		struct ps_pad_name other = net_name(1);
		assert_int_equal(net_create(side->client, &other, net_identity(1, 0), len + 1),
		                 PS_NET_TOO_BIG);
		net_expect_absent(side->client, &other);
		assert_int_equal(
		    net_replace(side->client, &name, net_identity(1, 0), net_identity(2, 0), len + 1),
		    PS_NET_TOO_BIG);
	}
	net_expect(side->client, &name, net_identity(1, 0), len);
}

static void a_name_is_created_once(void **state)
{
	struct net_side *side = *state;
	struct ps_pad_name name = net_name(0);
	assert_int_equal(net_create(side->client, &name, net_identity(5, 0), 1000), PS_NET_DONE);
	assert_int_equal(net_create(side->client, &name, net_identity(6, 0), 2000), PS_NET_CONFLICT);
	/* Its own repetition too: whoever lost the answer looks. */
	assert_int_equal(net_create(side->client, &name, net_identity(5, 0), 1000),
	                 net_suite->echoes ? PS_NET_DONE : PS_NET_CONFLICT);
	net_expect(side->client, &name, net_identity(5, 0), 1000);
}

static void only_the_expected_version_is_replaced(void **state)
{
	struct net_side *side = *state;
	struct ps_pad_name name = net_name(0);
	struct ps_pad_identity first = net_identity(5, 0), second = net_identity(9, 0), wrong;
	assert_int_equal(net_replace(side->client, &name, first, second, 10), PS_NET_ABSENT);
	net_expect_absent(side->client, &name);
	assert_int_equal(net_create(side->client, &name, first, 1000), PS_NET_DONE);
	for (size_t i = 0; i < sizeof(wrong.hash) + 8; i++) {
		wrong = first;
		if (i < sizeof(wrong.hash))
			wrong.hash[i] ^= 1;
		else
			wrong.counter ^= 1ULL << (i - sizeof(wrong.hash)) * 8;
		if (net_suite->slow && i % 8 != 0)
			continue;
		assert_int_equal(net_replace(side->client, &name, wrong, second, 10), PS_NET_CONFLICT);
	}
	net_expect(side->client, &name, first, 1000);
	assert_int_equal(net_replace(side->client, &name, first, second, 70000), PS_NET_DONE);
	net_expect(side->client, &name, second, 70000);
	assert_int_equal(net_replace(side->client, &name, first, second, 70000),
	                 net_suite->echoes ? PS_NET_DONE : PS_NET_CONFLICT);
	assert_int_equal(net_replace(side->client, &name, second, first, 1), PS_NET_DONE);
	assert_int_equal(net_replace(side->client, &name, first, second, 0), PS_NET_DONE);
	net_expect(side->client, &name, second, 0);
}

static void a_remove_takes_what_it_expects(void **state)
{
	struct net_side *side = *state;
	struct ps_pad_name name = net_name(0);
	struct ps_pad_identity there = net_identity(2, 0);
	bool guarded = ps_network_caps(side->network) & PS_NET_CAP_GUARDED_REMOVE;
	assert_int_equal(net_remove(side->client, &name, there), PS_NET_ABSENT);
	assert_int_equal(net_create(side->client, &name, there, 100), PS_NET_DONE);
	if (guarded) {
		assert_int_equal(net_remove(side->client, &name, net_identity(2, 1)), PS_NET_CONFLICT);
		assert_int_equal(net_remove(side->client, &name, net_identity(3, 0)), PS_NET_CONFLICT);
		net_expect(side->client, &name, there, 100);
	}
	assert_int_equal(net_remove(side->client, &name, there), PS_NET_DONE);
	net_expect_absent(side->client, &name);
	assert_int_equal(net_remove(side->client, &name, there), PS_NET_ABSENT);
	assert_int_equal(net_replace(side->client, &name, there, net_identity(3, 0), 1), PS_NET_ABSENT);
	assert_int_equal(net_create(side->client, &name, net_identity(4, 0), 50), PS_NET_DONE);
	net_expect(side->client, &name, net_identity(4, 0), 50);
}

static void a_record_larger_than_the_buffer_is_told(void **state)
{
	struct net_side *side = *state;
	struct ps_pad_name name = net_name(0);
	assert_int_equal(net_create(side->client, &name, net_identity(2, 0), 5000), PS_NET_DONE);
	for (size_t room = 0; room < 5000; room += 4999) {
		struct ps_net_request r = {
		    .op = PS_NET_GET, .name = name, .buffer = net_buffer(side->network, room)};
		ps_client_call(side->client, &r);
		net_assert_outcome(&r, PS_NET_TOO_BIG);
		assert_true(r.buffer->len <= room);
		ps_net_buffer_release(r.buffer);
	}
}

static void check_range(struct net_side *side, const struct ps_pad_name *name, uint64_t offset, size_t len,
                        size_t size)
{
	struct ps_pad_identity there = net_identity(2, 0);
	struct ps_net_request r = {.op = PS_NET_GET_RANGE,
	                           .name = *name,
	                           .offset = offset,
	                           .len = len,
	                           .buffer = net_buffer(side->network, len)};
	ps_client_call(side->client, &r);
	net_assert_outcome(&r, PS_NET_DONE);
	size_t from = offset < size ? (size_t)offset : size;
	assert_int_equal(r.buffer->len, len < size - from ? len : size - from);
	assert_int_equal(r.size, size);
	assert_true(ps_identity_same(&r.identity, &there));
	assert_true(net_is_whole(&r));
	ps_net_buffer_release(r.buffer);
}

static void ranges_are_exact_at_all_edges(void **state)
{
	struct net_side *side = *state;
	static const size_t records[] = {0, 1, 4096, 73728};
	for (size_t i = 0; i < sizeof(records) / sizeof(*records); i++) {
		struct ps_pad_name name = net_name(i);
		size_t size = records[i];
		assert_int_equal(net_create(side->client, &name, net_identity(2, 0), size), PS_NET_DONE);
		const uint64_t edges[] = {0, 1, size / 2, size ? size - 1 : 0, size, size + 1, 1ULL << 40};
		const size_t lens[] = {0, 1, 4096, size, size + 1};
		for (size_t o = 0; o < sizeof(edges) / sizeof(*edges); o++) {
			for (size_t l = 0; l < sizeof(lens) / sizeof(*lens); l++)
				check_range(side, &name, edges[o], lens[l], size);
		}
	}
	struct ps_pad_name absent = net_name(99);
	struct ps_net_request r = {
	    .op = PS_NET_GET_RANGE, .name = absent, .len = 10, .buffer = net_buffer(side->network, 10)};
	ps_client_call(side->client, &r);
	net_assert_outcome(&r, PS_NET_ABSENT);
	ps_net_buffer_release(r.buffer);
}

static void a_token_saves_a_look_and_guards_as_well(void **state)
{
	struct net_side *side = *state;
	struct ps_pad_name name = net_name(0);
	struct ps_net_request head = {.op = PS_NET_HEAD, .name = name};
	assert_int_equal(net_create(side->client, &name, net_identity(1, 0), 100), PS_NET_DONE);
	ps_client_call(side->client, &head);
	struct ps_net_request r = {.op = PS_NET_REPLACE,
	                           .name = name,
	                           .expected = net_identity(1, 0),
	                           .identity = net_identity(2, 0),
	                           .token = head.token,
	                           .buffer = net_buffer(side->network, 100)};
	net_fill(r.buffer, &name, &r.identity, 100);
	ps_client_call(side->client, &r);
	net_assert_outcome(&r, PS_NET_DONE);
	/* Its answer's token is the new version's. */
	r.expected = r.identity;
	r.identity = net_identity(3, 0);
	net_fill(r.buffer, &name, &r.identity, 90);
	ps_client_call(side->client, &r);
	net_assert_outcome(&r, PS_NET_DONE);
	r.expected = net_identity(1, 0);
	r.identity = net_identity(4, 0);
	r.token = head.token;
	ps_client_call(side->client, &r);
	net_assert_outcome(&r, PS_NET_CONFLICT);
	ps_net_buffer_release(r.buffer);
	net_expect(side->client, &name, net_identity(3, 0), 90);
}

static void any_32_bytes_are_a_name(void **state)
{
	struct net_side *side = *state;
	static const char texts[][PS_PAD_NAME + 1] = {
	    "../../../../../../../../etc/passw", "................................",
	    "////////////////////////////////", "a b\nc%00?#&=+\"'\\<>:;|*~$`!@^()[]",
	    "CON                             "};
	enum { TEXTS = sizeof(texts) / sizeof(*texts) };
	struct ps_pad_name names[TEXTS + 4];
	for (size_t i = 0; i < TEXTS; i++)
		memcpy(names[i].bytes, texts[i], PS_PAD_NAME);
	memset(names[TEXTS].bytes, 0, PS_PAD_NAME);
	memset(names[TEXTS + 1].bytes, 0xff, PS_PAD_NAME);
	names[TEXTS + 2] = names[TEXTS];
	names[TEXTS + 2].bytes[PS_PAD_NAME - 1] = 1;
	names[TEXTS + 3] = names[TEXTS + 1];
	names[TEXTS + 3].bytes[0] = 0x7f;
	for (size_t i = 0; i < TEXTS + 4; i++)
		assert_int_equal(net_create(side->client, &names[i], net_identity(1 + i, 0), 10 + i),
		                 PS_NET_DONE);
	for (size_t i = 0; i < TEXTS + 4; i++)
		net_expect(side->client, &names[i], net_identity(1 + i, 0), 10 + i);
}

static void counters_have_64_bits(void **state)
{
	struct net_side *side = *state;
	static const uint64_t counters[] = {1, 0xffffffff, 1ULL << 32, INT64_MAX, 1ULL << 63, UINT64_MAX};
	struct ps_pad_name name = net_name(0);
	assert_int_equal(net_create(side->client, &name, net_identity(counters[0], 0), 10), PS_NET_DONE);
	for (size_t i = 1; i < sizeof(counters) / sizeof(*counters); i++) {
		assert_int_equal(net_replace(side->client, &name, net_identity(counters[i - 1], 0),
		                             net_identity(counters[i], 0), 10),
		                 PS_NET_DONE);
		net_expect(side->client, &name, net_identity(counters[i], 0), 10);
	}
}

static void contents_are_there_after_a_reopen(void **state)
{
	struct net_side *side = *state;
	struct net_side other;
	struct ps_pad_name name = net_name(0), removed = net_name(1);
	assert_int_equal(net_create(side->client, &name, net_identity(1, 0), 5000), PS_NET_DONE);
	assert_int_equal(net_create(side->client, &removed, net_identity(1, 0), 5000), PS_NET_DONE);
	assert_int_equal(net_replace(side->client, &name, net_identity(1, 0), net_identity(2, 0), 6000),
	                 PS_NET_DONE);
	assert_int_equal(net_remove(side->client, &removed, net_identity(1, 0)), PS_NET_DONE);
	net_open_at(&other, side->url, false);
	net_expect(other.client, &name, net_identity(2, 0), 6000);
	net_close(&other);
	net_close(side);
	net_open_at(side, other.url, false);
	net_expect(side->client, &name, net_identity(2, 0), 6000);
	net_expect_absent(side->client, &removed);
}

static void opened_for_reading_it_reads_and_refuses_writes(void **state)
{
	struct net_side *side = *state;
	struct net_side reader;
	struct ps_pad_name name = net_name(0), other = net_name(1);
	assert_int_equal(net_create(side->client, &name, net_identity(1, 0), 100), PS_NET_DONE);
	net_open_at(&reader, side->url, true);
	net_expect(reader.client, &name, net_identity(1, 0), 100);
	assert_int_equal(net_create(reader.client, &other, net_identity(1, 0), 1), PS_NET_DENIED);
	assert_int_equal(net_replace(reader.client, &name, net_identity(1, 0), net_identity(2, 0), 1),
	                 PS_NET_DENIED);
	assert_int_equal(net_remove(reader.client, &name, net_identity(1, 0)), PS_NET_DENIED);
	net_close(&reader);
	net_expect(side->client, &name, net_identity(1, 0), 100);
	net_expect_absent(side->client, &other);
}

const struct CMUnitTest net_record_tests[] = {
    NET_TEST(what_is_created_is_got_with_identity_and_size),
    NET_TEST(the_largest_record_fits_and_one_byte_more_does_not),
    NET_TEST(a_name_is_created_once),
    NET_TEST(only_the_expected_version_is_replaced),
    NET_TEST(a_remove_takes_what_it_expects),
    NET_TEST(a_record_larger_than_the_buffer_is_told),
    NET_TEST(ranges_are_exact_at_all_edges),
    NET_TEST(a_token_saves_a_look_and_guards_as_well),
    NET_TEST(any_32_bytes_are_a_name),
    NET_TEST(counters_have_64_bits),
    NET_TEST(contents_are_there_after_a_reopen),
    NET_TEST(opened_for_reading_it_reads_and_refuses_writes),
};
const size_t net_record_count = sizeof(net_record_tests) / sizeof(*net_record_tests);
