/* What pads promise where nobody interferes: sizes, determinism, ranges, nonces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>
#include <sodium/randombytes_sysrandom.h>

#include "pad_fixture.h"
#include "remote/content_hash.h"
#include <padstone/error.h>

static const size_t interesting[] = {0,     1,     4095,   4096,   4097,   65535,
                                     65536, 65537, 131072, 131073, 262144, 1000000};
enum { INTERESTING = sizeof(interesting) / sizeof(*interesting) };

static void what_was_sealed_opens_again(void **state)
{
	struct dice dice = dice_seeded(__func__);
	ps_keys *keys = keys_seeded(&dice, NULL);

	(void)state;
	for (size_t i = 0; i < INTERESTING; i++) {
		struct sealed pad;

		seal_random(keys, &dice, interesting[i], &pad);
		assert_int_equal(pad.len, ps_pad_record_bytes(interesting[i]));
		assert_int_equal(pad.header.bytes, ps_pad_header_bytes(interesting[i]));
		assert_int_equal(pad.header.payload, ps_pad_padded(interesting[i]));
		assert_memory_equal(&pad.header.identity, &pad.identity, sizeof(pad.identity));
		assert_int_equal(read_back(keys, &pad, pad.record, pad.len), PS_OK);
		sealed_free(&pad);
	}
	ps_keys_free(keys);
}

static void the_largest_pad_opens_again(void **state)
{
	struct dice dice = dice_seeded(__func__);
	ps_keys *keys = keys_seeded(&dice, NULL);
	struct sealed pad;

	(void)state;
	seal_random(keys, &dice, 8 << 20, &pad);
	assert_int_equal(pad.header.segments, PS_PAD_SEGMENTS);
	assert_true(pad.header.bytes <= PS_PAD_HEADER_MAX);
	assert_int_equal(read_back(keys, &pad, pad.record, pad.len), PS_OK);
	sealed_free(&pad);
	ps_keys_free(keys);
}

static void same_plan_same_bytes(void **state)
{
	struct dice dice = dice_seeded(__func__);
	ps_keys *keys = keys_seeded(&dice, "a store");

	(void)state;
	for (size_t i = 0; i < INTERESTING; i++) {
		struct sealed first, again;

		seal_random(keys, &dice, interesting[i], &first);
		seal_plan(keys, &first.plan, first.payload, first.payload_len, &again);
		assert_int_equal(first.len, again.len);
		assert_memory_equal(first.record, again.record, first.len);
		sealed_free(&first);
		sealed_free(&again);
	}
	ps_keys_free(keys);
}

/* A24: whoever sees the network sees one of twelve sizes, and none that the description has changed. */
static void the_network_sees_twelve_sizes(void **state)
{
	uint32_t seen[16] = {0}, records[16];
	size_t count = 0;

	(void)state;
	for (uint64_t len = 0; len <= 8 << 20; len += len % 4096 == 0 ? 1 : 4095) {
		uint32_t padded = ps_pad_padded(len), record = ps_pad_record_bytes(len);

		assert_true(padded >= len && record > padded);
		if (count == 0 || seen[count - 1] != padded) {
			assert_true(count < 12);
			assert_true(count == 0 || record > records[count - 1]);
			records[count] = record;
			seen[count++] = padded;
		}
		assert_int_equal(record, records[count - 1]);
	}
	assert_int_equal(count, 12);
	assert_int_equal(ps_pad_padded((8 << 20) + 1), 0);
	assert_int_equal(ps_pad_record_bytes(UINT64_MAX), 0);
}

static void overheads_are_exact(void **state)
{
	(void)state;
	/* 128 fixed, 32 a segment, 64 signature, 128 preamble, 16 a segment. */
	assert_int_equal(ps_pad_record_bytes(1), 4096 + 128 + 32 + 64 + 128 + 16);
	assert_int_equal(ps_pad_record_bytes(2 << 20), (2 << 20) + 128 + 64 + 128 + 32 * (32 + 16));
	assert_int_equal(ps_pad_header_bytes(8 << 20), 128 + 64 + 128 * 32);
	for (uint64_t largest = 0; largest < 9 << 20; largest += 1009) {
		uint32_t capacity = ps_pad_capacity(PS_PAD_LARGE, largest);

		assert_true(capacity == 0 || ps_pad_record_bytes(capacity) <= largest);
		assert_true(capacity == 8 << 20 ||
		            ps_pad_record_bytes(capacity == 0 ? 1 : 2 * (uint64_t)capacity) > largest);
	}
	assert_int_equal(ps_pad_capacity(PS_PAD_SMALL, UINT64_MAX), 128 << 10);
	assert_int_equal(ps_pad_capacity(PS_PAD_MEDIUM, UINT64_MAX), 2 << 20);
	assert_int_equal(ps_pad_capacity(PS_PAD_LARGE, UINT64_MAX), 8 << 20);
}

/* Reads [from, to) as one does over a network: the header alone, then only the bytes of the span. */
static void read_range(const ps_keys *keys, const struct sealed *pad, uint64_t from, uint64_t to)
{
	struct ps_pad_reader reader = {.keys = keys};
	struct ps_pad_header header;
	struct ps_pad_span span;
	uint8_t *bytes, out[PS_PAD_SEGMENT];

	assert_int_equal(ps_pad_open_header(pad->record, pad->header.bytes, &pad->name, &header), PS_OK);
	assert_int_equal(ps_pad_span(&header, from, to, &span), PS_OK);
	bytes = malloc(span.bytes + 1);
	assert_non_null(bytes);
	memcpy(bytes, pad->record + span.offset, span.bytes);
	for (uint32_t i = span.first; i < span.end; i++) {
		uint32_t len = ps_pad_segment_payload(&header, i), start = i * PS_PAD_SEGMENT;

		assert_int_equal(ps_pad_open_segment(&reader, &header, i,
		                                     bytes + ps_pad_segment_offset(&header, i) - span.offset,
		                                     ps_pad_segment_bytes(&header, i), out, NULL),
		                 PS_OK);
		assert_true(start < to && start + len > from);
		for (uint32_t k = 0; k < len && start + k < pad->payload_len; k++)
			assert_int_equal(out[k], pad->payload[start + k]);
	}
	assert_true(from == to || (span.first * (uint64_t)PS_PAD_SEGMENT <= from &&
	                           span.end * (uint64_t)PS_PAD_SEGMENT >= to));
	free(bytes);
}

static void ranges_are_read_alone(void **state)
{
	struct dice dice = dice_seeded(__func__);
	ps_keys *keys = keys_seeded(&dice, NULL);
	struct ps_pad_span span;
	struct sealed pad;

	(void)state;
	seal_random(keys, &dice, 300000, &pad);
	for (int i = 0; i < 40; i++) {
		uint64_t a = dice_below(&dice, pad.header.payload + 1),
		         b = dice_below(&dice, pad.header.payload + 1);

		read_range(keys, &pad, a < b ? a : b, a < b ? b : a);
	}
	read_range(keys, &pad, 65536, 131072);
	read_range(keys, &pad, 65535, 65537);
	read_range(keys, &pad, 0, pad.header.payload);
	assert_int_equal(ps_pad_span(&pad.header, 2, 1, &span), PS_ERANGE);
	assert_int_equal(ps_pad_span(&pad.header, 0, pad.header.payload + 1, &span), PS_ERANGE);
	assert_int_equal(ps_pad_span(&pad.header, 7, 7, &span), PS_OK);
	assert_int_equal(span.bytes, 0);
	sealed_free(&pad);
	ps_keys_free(keys);
}

/* No two nonces are the same, whether counter and payload are or not. */
static void nonces_never_repeat(void **state)
{
	struct dice dice = dice_seeded(__func__);
	ps_keys *keys = keys_seeded(&dice, NULL);
	struct ps_pad_plan plan = plan_seeded(&dice);
	enum { DRAWS = 2000 };
	static uint8_t drawn[DRAWS][PS_PAD_NONCE];

	(void)state;
	for (int i = 0; i < DRAWS; i++) {
		assert_int_equal(ps_pad_nonce_new(keys, &plan, "payload", i % 2 == 0 ? 7 : 3), PS_OK);
		memcpy(drawn[i], plan.nonce, PS_PAD_NONCE);
		for (int k = 0; k < i; k++)
			assert_memory_not_equal(drawn[k], drawn[i], PS_PAD_NONCE);
	}
	ps_keys_free(keys);
}

static const char *dull_name(void)
{
	return "dull";
}
static uint32_t dull_number(void)
{
	return 4;
}
static void dull_bytes(void *bytes, size_t len)
{
	memset(bytes, 4, len);
}

/* A22: a machine that was cloned, or set back, draws the same random bytes again. Its nonces still differ
 * wherever counter, payload or pad do; where all are the same, what is sealed is the same too. */
static void a_cloned_machine_repeats_no_nonce(void **state)
{
	struct dice dice = dice_seeded(__func__);
	ps_keys *keys = keys_seeded(&dice, NULL);
	struct randombytes_implementation dull = {
	    .implementation_name = dull_name, .random = dull_number, .buf = dull_bytes};

	(void)state;
	assert_int_equal(randombytes_set_implementation(&dull), 0);
	for (int i = 0; i < 24; i++) {
		struct ps_pad_plan plan = plan_seeded(&dice), other = plan;
		uint8_t payload[1000];

		dice_fill(&dice, payload, sizeof(payload));
		assert_int_equal(ps_pad_nonce_new(keys, &plan, payload, sizeof(payload)), PS_OK);
		assert_int_equal(ps_pad_nonce_new(keys, &other, payload, sizeof(payload)), PS_OK);
		assert_memory_equal(plan.nonce, other.nonce, PS_PAD_NONCE);
		other.counter++;
		assert_int_equal(ps_pad_nonce_new(keys, &other, payload, sizeof(payload)), PS_OK);
		assert_memory_not_equal(plan.nonce, other.nonce, PS_PAD_NONCE);
		other = plan;
		other.description_len = PS_PAD_DESCRIPTION;
		other.description[dice_below(&dice, PS_PAD_DESCRIPTION)] ^= 1;
		assert_int_equal(ps_pad_nonce_new(keys, &other, payload, sizeof(payload)), PS_OK);
		assert_memory_not_equal(plan.nonce, other.nonce, PS_PAD_NONCE);
		other = plan;
		other.epoch++;
		assert_int_equal(ps_pad_nonce_new(keys, &other, payload, sizeof(payload)), PS_OK);
		assert_memory_not_equal(plan.nonce, other.nonce, PS_PAD_NONCE);
		other = plan;
		payload[dice_below(&dice, sizeof(payload))] ^= 1;
		assert_int_equal(ps_pad_nonce_new(keys, &other, payload, sizeof(payload)), PS_OK);
		assert_memory_not_equal(plan.nonce, other.nonce, PS_PAD_NONCE);
	}
	assert_int_equal(randombytes_set_implementation(&randombytes_sysrandom_implementation), 0);
	ps_keys_free(keys);
}

/* Of other contents, and of another plan, the mark tells; of the same it never says that they are others. Two
 * versions of the same contents show different marks. */
static void a_nonce_tells_other_contents(void **state)
{
	struct dice dice = dice_seeded(__func__);
	ps_keys *keys = keys_seeded(&dice, NULL);
	enum { MARK = 12 };

	(void)state;
	for (int i = 0; i < 100; i++) {
		struct ps_pad_plan plan = plan_seeded(&dice), other;
		uint8_t payload[5000];

		dice_fill(&dice, payload, sizeof(payload));
		assert_int_equal(ps_pad_nonce_new(keys, &plan, payload, sizeof(payload)), PS_OK);
		assert_true(ps_pad_nonce_fits(keys, &plan, payload, sizeof(payload)));
		assert_false(ps_pad_nonce_fits(keys, &plan, payload, sizeof(payload) - 1));
		other = plan;
		other.counter++;
		assert_false(ps_pad_nonce_fits(keys, &other, payload, sizeof(payload)));
		assert_int_equal(ps_pad_nonce_new(keys, &other, payload, sizeof(payload)), PS_OK);
		assert_memory_not_equal(plan.nonce + MARK, other.nonce + MARK, PS_PAD_NONCE - MARK);
		payload[dice_below(&dice, sizeof(payload))] ^= 1;
		assert_false(ps_pad_nonce_fits(keys, &plan, payload, sizeof(payload)));
	}
	ps_keys_free(keys);
}

/* Any bit and the length count; so does the store's key, but where everybody is to be able to check. */
static void hashes_of_chunks_tell_them_apart(void **state)
{
	struct dice dice = dice_seeded(__func__);
	ps_keys *keys = keys_seeded(&dice, NULL), *others = keys_seeded(&dice, NULL);
	static uint8_t chunk[3 * PS_PAD_SEGMENT];
	uint8_t hash[PS_CONTENT_HASH], other[PS_CONTENT_HASH];

	(void)state;
	dice_fill(&dice, chunk, sizeof(chunk));
	for (int i = 0; i < 100; i++) {
		unsigned class = i % 2 ? PS_PAD_PUBLIC_DATA : PS_PAD_PRIVATE;
		size_t len = 2 + dice_below(&dice, sizeof(chunk) - 1), at = dice_below(&dice, len);
		ps_chunk_hash(keys, class, chunk, len, hash);
		ps_chunk_hash(keys, class, chunk, len, other);
		assert_memory_equal(hash, other, sizeof(hash));
		ps_chunk_hash(others, class, chunk, len, other);
		assert_int_equal(memcmp(hash, other, sizeof(hash)) == 0, class == PS_PAD_PUBLIC_DATA);
		ps_chunk_hash(keys, class, chunk, len - 1, other);
		assert_memory_not_equal(hash, other, sizeof(hash));
		chunk[at] ^= (uint8_t)(1 << dice_below(&dice, 8));
		ps_chunk_hash(keys, class, chunk, len, other);
		assert_memory_not_equal(hash, other, sizeof(hash));
	}
	/* The same segments elsewhere, and zeros behind the end. */
	memset(chunk, 0, sizeof(chunk));
	chunk[0] = 1;
	ps_chunk_hash(keys, PS_PAD_PRIVATE, chunk, sizeof(chunk), hash);
	ps_chunk_hash(keys, PS_PAD_PRIVATE, chunk, sizeof(chunk) - PS_PAD_SEGMENT, other);
	assert_memory_not_equal(hash, other, sizeof(hash));
	chunk[0] = 0;
	chunk[PS_PAD_SEGMENT] = 1;
	ps_chunk_hash(keys, PS_PAD_PRIVATE, chunk, sizeof(chunk), other);
	assert_memory_not_equal(hash, other, sizeof(hash));
	ps_keys_free(others);
	ps_keys_free(keys);
}

static void impossible_plans_are_refused(void **state)
{
	struct dice dice = dice_seeded(__func__);
	ps_keys *keys = keys_seeded(&dice, NULL);
	struct ps_pad_plan good = plan_seeded(&dice), bad;
	uint8_t *bytes = malloc(ps_pad_record_bytes(8 << 20));
	struct ps_net_buffer buffer = {.capacity = ps_pad_record_bytes(128 << 10), .bytes = bytes};
	struct ps_pad_identity identity;

	(void)state;
	assert_non_null(bytes);
#define REFUSED(error, change)                                                                               \
	do {                                                                                                 \
		bad = good;                                                                                  \
		change;                                                                                      \
		assert_int_equal(ps_pad_seal(keys, &bad, bytes, 100, PS_PAD_SMALL, &buffer, &identity),      \
		                 error);                                                                     \
	} while (0)
	REFUSED(PS_EINVAL, bad.generation = 0);
	REFUSED(PS_EINVAL, bad.counter = 0);
	REFUSED(PS_EINVAL, bad.class = PS_PAD_PUBLIC_DATA + 1);
	REFUSED(PS_EINVAL, bad.role = PS_ROLE_TOMBSTONE + 1);
	REFUSED(PS_EINVAL, bad.description_len = PS_PAD_DESCRIPTION + 1);
	REFUSED(PS_ERANGE, buffer.capacity = ps_pad_record_bytes(100) - 1);
	buffer.capacity = ps_pad_record_bytes(8 << 20);
	assert_int_equal(ps_pad_seal(keys, &good, bytes, (128 << 10) + 1, PS_PAD_SMALL, &buffer, &identity),
	                 PS_ERANGE);
	assert_int_equal(ps_pad_seal(keys, &good, bytes, (2 << 20) + 1, PS_PAD_MEDIUM, &buffer, &identity),
	                 PS_ERANGE);
	free(bytes);
	ps_keys_free(keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_was_sealed_opens_again),
	    cmocka_unit_test(the_largest_pad_opens_again),
	    cmocka_unit_test(same_plan_same_bytes),
	    cmocka_unit_test(the_network_sees_twelve_sizes),
	    cmocka_unit_test(overheads_are_exact),
	    cmocka_unit_test(ranges_are_read_alone),
	    cmocka_unit_test(nonces_never_repeat),
	    cmocka_unit_test(a_cloned_machine_repeats_no_nonce),
	    cmocka_unit_test(a_nonce_tells_other_contents),
	    cmocka_unit_test(hashes_of_chunks_tell_them_apart),
	    cmocka_unit_test(impossible_plans_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
