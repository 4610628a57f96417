/* What a hostile network may answer, by the rows of the attack table: each is refused, with its own error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "pad_fixture.h"
#include "remote/keys_internal.h"
#include "remote/pad_format.h"
#include <padstone/error.h>

enum { ROUNDS = 24 };

/* The world of most tests: a key, a pad of it, and dice. */
struct scene {
	struct dice dice;
	ps_keys *keys;
	struct sealed pad;
};

static struct scene scene_new(const char *test, size_t len)
{
	struct scene s = {.dice = dice_seeded(test)};

	s.keys = keys_seeded(&s.dice, NULL);
	seal_random(s.keys, &s.dice, len, &s.pad);
	assert_int_equal(read_back(s.keys, &s.pad, s.pad.record, s.pad.len), PS_OK);
	return s;
}

static void scene_done(struct scene *s)
{
	sealed_free(&s->pad);
	ps_keys_free(s->keys);
}

static uint8_t *copy_of(const struct sealed *pad)
{
	uint8_t *copy = malloc(pad->len);

	assert_non_null(copy);
	memcpy(copy, pad->record, pad->len);
	return copy;
}

/* Signs what stands in a record's header, as one could who has the seed of this one pad. */
static void sign_again(const ps_keys *keys, const struct sealed *pad, uint8_t *record, uint32_t header_bytes)
{
	uint8_t public_key[32], secret_key[PS_SECRET_KEY], message[PS_PAD_HEADER_MAX + 64];
	size_t prefix = strlen(PAD_SIGN_PREFIX), len = header_bytes - PAD_SIGNATURE;

	assert_int_equal(ps_keys_sign_pair(keys, &pad->plan.serial, public_key, secret_key), PS_OK);
	memcpy(message, PAD_SIGN_PREFIX, prefix);
	memcpy(message + prefix, record, len);
	crypto_sign_detached(record + len, NULL, message, prefix + len, secret_key);
}

static int open_one(const ps_keys *keys, const struct ps_pad_header *header, uint32_t segment,
                    const uint8_t *sealed)
{
	static uint8_t copy[PS_PAD_SEGMENT + PS_PAD_PREAMBLE + PAD_TAG], out[PS_PAD_SEGMENT];
	struct ps_pad_reader reader = {.keys = keys};
	uint32_t len = ps_pad_segment_bytes(header, segment);

	memcpy(copy, sealed, len);
	return ps_pad_open_segment(&reader, header, segment, copy, len, out, NULL);
}

static void put_hash(struct ps_pad_header *header, uint32_t segment, const uint8_t *sealed)
{
	crypto_generichash(header->hashes[segment], 32, sealed, ps_pad_segment_bytes(header, segment), NULL,
	                   0);
}

/* A1, every bit: those of the header by its signature, those of the segment by the hash in it and, where the
 * hash is made to fit, by the seal. */
static void no_bit_can_be_flipped(void **state)
{
	struct scene s = scene_new(__func__, 3000);
	struct ps_pad_header header;
	uint8_t *record = copy_of(&s.pad);

	(void)state;
	for (size_t bit = 0; bit < 8 * (size_t)s.pad.header.bytes; bit++) {
		record[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(ps_pad_open_header(record, s.pad.len, &s.pad.name, &header), PS_EAUTH);
		record[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t bit = 8 * (size_t)s.pad.header.bytes; bit < 8 * s.pad.len; bit++) {
		record[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_int_equal(open_one(s.keys, &s.pad.header, 0, record + s.pad.header.bytes), PS_EAUTH);
		header = s.pad.header;
		put_hash(&header, 0, record + header.bytes);
		assert_int_equal(open_one(s.keys, &header, 0, record + header.bytes), PS_EAUTH);
		record[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	assert_memory_equal(record, s.pad.record, s.pad.len);
	free(record);
	scene_done(&s);
}

static void no_byte_of_large_pads_can_be_changed(void **state)
{
	struct scene s = scene_new(__func__, 200000);
	struct ps_pad_header header;
	uint8_t *record = copy_of(&s.pad);

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		size_t at = dice_below(&s.dice, s.pad.len);
		uint8_t change = (uint8_t)(1 + dice_below(&s.dice, 255));

		record[at] ^= change;
		assert_int_equal(read_back(s.keys, &s.pad, record, s.pad.len), PS_EAUTH);
		assert_int_equal(ps_pad_verify(record, s.pad.len, &s.pad.name, &header), PS_EAUTH);
		record[at] ^= change;
	}
	free(record);
	scene_done(&s);
}

/* A2 */
static void no_length_but_the_right_one_is_taken(void **state)
{
	struct scene s = scene_new(__func__, 70000);
	uint8_t *longer = calloc(1, s.pad.len + 5000);
	struct ps_pad_header header;

	(void)state;
	assert_non_null(longer);
	memcpy(longer, s.pad.record, s.pad.len);
	for (int i = 0; i < ROUNDS; i++) {
		assert_int_equal(read_back(s.keys, &s.pad, s.pad.record, dice_below(&s.dice, s.pad.len)),
		                 PS_EAUTH);
		assert_int_equal(read_back(s.keys, &s.pad, longer, s.pad.len + 1 + dice_below(&s.dice, 5000)),
		                 PS_EAUTH);
	}
	for (size_t len = 0; len < s.pad.header.bytes;
	     len++) /* what lies behind is right, and not asked for */
		assert_int_equal(ps_pad_open_header(s.pad.record, len, &s.pad.name, &header), PS_EAUTH);
	for (uint32_t i = 0; i < s.pad.header.segments; i++) /* without its last segments */
		assert_int_equal(
		    read_back(s.keys, &s.pad, s.pad.record, ps_pad_segment_offset(&s.pad.header, i)),
		    PS_EAUTH);
	assert_int_equal(read_back(s.keys, &s.pad, s.pad.record, s.pad.len - 1), PS_EAUTH);
	assert_int_equal(read_back(s.keys, &s.pad, longer, s.pad.len + 1), PS_EAUTH);
	assert_int_equal(ps_pad_verify(longer, s.pad.len + 1, &s.pad.name, &header), PS_EAUTH);
	assert_int_equal(ps_pad_verify(longer, s.pad.len - 1, &s.pad.name, &header), PS_EAUTH);
	free(longer);
	scene_done(&s);
}

/* A3: segments 1 to n are of one length, so that nothing but hash and seal can tell them apart. */
static void segments_keep_their_places(void **state)
{
	struct scene s = scene_new(__func__, 500000);
	uint8_t *record = copy_of(&s.pad);
	uint32_t len = ps_pad_segment_bytes(&s.pad.header, 1);

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		uint32_t a = 1 + (uint32_t)dice_below(&s.dice, s.pad.header.segments - 1);
		uint32_t b = 1 + (uint32_t)dice_below(&s.dice, s.pad.header.segments - 1);
		struct ps_pad_header header = s.pad.header;
		const uint8_t *other = s.pad.record + ps_pad_segment_offset(&header, a);
		uint8_t *place = record + ps_pad_segment_offset(&header, b);

		if (a == b)
			continue;
		memcpy(place, other, len); /* a doubled, b gone */
		assert_int_equal(read_back(s.keys, &s.pad, record, s.pad.len), PS_EAUTH);
		put_hash(&header, b, place);
		assert_int_equal(open_one(s.keys, &header, b, place), PS_EAUTH);
		memcpy(record + ps_pad_segment_offset(&header, a),
		       s.pad.record + ps_pad_segment_offset(&header, b), len); /* swapped */
		assert_int_equal(read_back(s.keys, &s.pad, record, s.pad.len), PS_EAUTH);
		memcpy(record, s.pad.record, s.pad.len);
	}
	free(record);
	scene_done(&s);
}

/* A4, and the header of one with the segments of the other. The nonce is the same in both, the worst case:
 * what tells them apart is the header that every segment is bound to. */
static void versions_do_not_mix(void **state)
{
	struct scene s = scene_new(__func__, 200000);

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		struct ps_pad_plan plan = s.pad.plan;
		struct ps_pad_header header;
		struct sealed next;
		uint8_t *record;
		uint32_t segment = (uint32_t)dice_below(&s.dice, s.pad.header.segments), at;

		plan.counter += 1 + dice_below(&s.dice, 3);
		seal_plan(s.keys, &plan, s.pad.payload, s.pad.payload_len, &next);
		record = copy_of(&next);
		at = ps_pad_segment_offset(&next.header, segment);
		memcpy(record + at, s.pad.record + at, ps_pad_segment_bytes(&next.header, segment));
		assert_int_equal(read_back(s.keys, &next, record, next.len), PS_EAUTH);
		header = next.header;
		put_hash(&header, segment, record + at);
		assert_int_equal(open_one(s.keys, &header, segment, record + at), PS_EAUTH);
		memcpy(record, s.pad.record, next.header.bytes); /* all old but this segment's neighbours */
		assert_int_equal(read_back(s.keys, &s.pad, record, next.len), PS_EAUTH);
		free(record);
		sealed_free(&next);
	}
	scene_done(&s);
}

/* A5 */
static void another_pad_is_not_this_pad(void **state)
{
	struct scene s = scene_new(__func__, 5000);

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		struct ps_pad_plan plan = s.pad.plan;
		struct ps_pad_expected expected = expected_of(&s.pad);
		struct sealed other;

		dice_fill(&s.dice, &plan.serial, sizeof(plan.serial));
		seal_plan(s.keys, &plan, s.pad.payload, s.pad.payload_len, &other);
		assert_int_equal(read_back(s.keys, &s.pad, other.record, other.len), PS_EAUTH);
		assert_int_equal(ps_pad_check(&other.header, &expected), PS_EAUTH);
		sealed_free(&other);
	}
	scene_done(&s);
}

/* A6, A9, and what lies beside them: older, newer, and another of the same counter. */
static void versions_are_told_apart(void **state)
{
	struct scene s = scene_new(__func__, 5000);
	struct ps_pad_expected expected = expected_of(&s.pad);

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		struct ps_pad_plan plan = s.pad.plan;
		struct sealed old, fork, next;

		plan.counter = i == 0 ? plan.counter - 1 : dice_below(&s.dice, plan.counter - 1) + 1;
		plan.role = (uint8_t)dice_below(&s.dice, PS_ROLE_TOMBSTONE + 1); /* what it was then */
		seal_plan(s.keys, &plan, s.pad.payload, 100, &old);
		plan = s.pad.plan;
		dice_fill(&s.dice, plan.nonce, sizeof(plan.nonce));
		seal_plan(s.keys, &plan, s.pad.payload, s.pad.payload_len, &fork);
		plan.counter += 1 + dice_below(&s.dice, 9);
		seal_plan(s.keys, &plan, s.pad.payload, 5000, &next);

		expected.newer = i % 2 == 0;
		assert_int_equal(ps_pad_check(&old.header, &expected), PS_EROLLBACK);
		assert_int_equal(ps_pad_check(&fork.header, &expected), PS_EFORK);
		assert_int_equal(ps_pad_check(&next.header, &expected),
		                 expected.newer ? PS_OK : PS_ESUPERSEDED);
		assert_int_equal(read_back(s.keys, &s.pad, old.record, old.len), PS_EROLLBACK);
		assert_int_equal(read_back(s.keys, &s.pad, fork.record, fork.len), PS_EFORK);
		sealed_free(&old);
		sealed_free(&fork);
		sealed_free(&next);
	}
	scene_done(&s);
}

/* A12: the same user key, the same serial; only the store's name or the network's id differ. */
static void other_stores_and_networks_are_refused(void **state)
{
	struct dice dice = dice_seeded(__func__);
	uint8_t user_key[PS_KEY];

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		struct ps_pad_plan plan = plan_seeded(&dice);
		struct ps_pad_expected expected;
		ps_keys *here, *there;
		struct sealed mine, theirs, moved;

		dice_fill(&dice, user_key, sizeof(user_key));
		assert_int_equal(ps_keys_new(user_key, "here", &here), PS_OK);
		assert_int_equal(ps_keys_new(user_key, "there", &there), PS_OK);
		seal_plan(here, &plan, user_key, 32, &mine);
		seal_plan(there, &plan, user_key, 32, &theirs);
		assert_memory_not_equal(&mine.name, &theirs.name, sizeof(mine.name));
		assert_int_equal(read_back(here, &mine, theirs.record, theirs.len), PS_EAUTH);
		/* Even where the name is asked for, its contents do not open. */
		assert_int_equal(read_back(here, &theirs, theirs.record, theirs.len), PS_EAUTH);
		plan.network[dice_below(&dice, 16)] ^= 1;
		seal_plan(here, &plan, user_key, 32, &moved);
		expected = expected_of(&mine);
		assert_int_equal(ps_pad_check(&moved.header, &expected), PS_EAUTH);
		sealed_free(&mine);
		sealed_free(&theirs);
		sealed_free(&moved);
		ps_keys_free(here);
		ps_keys_free(there);
	}
}

/* What use a pad is put to is part of what is expected. */
static void class_role_and_generation_must_be_those_expected(void **state)
{
	struct scene s = scene_new(__func__, 100);
	struct ps_pad_expected good = expected_of(&s.pad), bad;

	(void)state;
	assert_int_equal(ps_pad_check(&s.pad.header, &good), PS_OK);
	bad = good;
	bad.class ^= 1;
	assert_int_equal(ps_pad_check(&s.pad.header, &bad), PS_EAUTH);
	bad = good;
	bad.role ^= 1;
	assert_int_equal(ps_pad_check(&s.pad.header, &bad), PS_EAUTH);
	bad = good;
	bad.generation++;
	assert_int_equal(ps_pad_check(&s.pad.header, &bad), PS_EAUTH);
	scene_done(&s);
}

/* A13, A18: even signed by the pad's own key. */
static void other_suites_and_formats_are_refused(void **state)
{
	struct scene s = scene_new(__func__, 100);
	struct ps_pad_header header;

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		uint8_t *record = copy_of(&s.pad);
		struct pad_fixed *fixed = (struct pad_fixed *)record;

		fixed->suite = ps_set16((uint16_t)(i == 0 ? 0 : 2 + dice_below(&s.dice, 65534)));
		sign_again(s.keys, &s.pad, record, s.pad.header.bytes);
		assert_int_equal(ps_pad_open_header(record, s.pad.len, &s.pad.name, &header), PS_EAUTH);
		memcpy(record, s.pad.record, s.pad.len);
		fixed->magic[dice_below(&s.dice, 8)] ^= 0x20;
		sign_again(s.keys, &s.pad, record, s.pad.header.bytes);
		assert_int_equal(ps_pad_open_header(record, s.pad.len, &s.pad.name, &header), PS_EAUTH);
		memcpy(record, s.pad.record, s.pad.len);
		fixed->reserved[dice_below(&s.dice, 8)] = 1;
		sign_again(s.keys, &s.pad, record, s.pad.header.bytes);
		assert_int_equal(ps_pad_open_header(record, s.pad.len, &s.pad.name, &header), PS_EAUTH);
		free(record);
	}
	scene_done(&s);
}

static void values_that_nobody_writes_are_refused(void **state)
{
	struct scene s = scene_new(__func__, 100);
	static const struct {
		size_t at, len;
		uint8_t value;
	} fields[] = {{offsetof(struct pad_fixed, generation), 4, 0},
	              {offsetof(struct pad_fixed, counter), 8, 0},
	              {offsetof(struct pad_fixed, class), 1, PS_PAD_PUBLIC_DATA + 1},
	              {offsetof(struct pad_fixed, role), 1, PS_ROLE_TOMBSTONE + 1}};

	(void)state;
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		uint8_t *record = copy_of(&s.pad);
		struct ps_pad_header header;

		memset(record + fields[i].at, fields[i].value, fields[i].len);
		sign_again(s.keys, &s.pad, record, s.pad.header.bytes);
		assert_int_equal(ps_pad_open_header(record, s.pad.len, &s.pad.name, &header), PS_EAUTH);
		free(record);
	}
	scene_done(&s);
}

/* Sealed and signed by the right keys, and yet not what anybody seals: damage of the writer, not of the
 * network. */
static void impossible_contents_are_damage(void **state)
{
	struct scene s = scene_new(__func__, 100);
	static const struct {
		size_t at;
		uint8_t value;
	} changes[] = {{1, 0x20}, {3, 0x80}, {5, 1},         {6, 1},
	               {31, 1},   {127, 1},  {128 + 100, 1}, {128 + 4095, 1}};

	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		struct pad_associated associated = {.segment = ps_set32(0)};
		struct ps_pad_reader reader = {.keys = s.keys};
		struct ps_pad_contents contents;
		struct ps_pad_header header;
		struct sealed pad;
		struct ps_pad_plan plan = s.pad.plan;
		uint8_t plain[128 + 4096] = {100}, key[PS_KEY], nonce[24], out[4096];

		plan.description_len = 0;
		seal_plan(s.keys, &plan, plain, 100, &pad);
		plain[changes[i].at] = (uint8_t)(plain[changes[i].at] | changes[i].value);
		memcpy(&associated.fixed, pad.record, sizeof(associated.fixed));
		pad_segment_nonce(plan.nonce, 0, nonce);
		ps_keys_content_key(s.keys, &plan.serial, plan.generation, key);
		crypto_aead_xchacha20poly1305_ietf_encrypt(pad.record + pad.header.bytes, NULL, plain,
		                                           sizeof(plain), (const uint8_t *)&associated,
		                                           sizeof(associated), NULL, nonce, key);
		put_hash(&pad.header, 0, pad.record + pad.header.bytes);
		memcpy(pad.record + sizeof(struct pad_fixed), pad.header.hashes[0], PAD_HASH);
		sign_again(s.keys, &pad, pad.record, pad.header.bytes);
		assert_int_equal(ps_pad_verify(pad.record, pad.len, &pad.name, &header), PS_OK);
		assert_int_equal(ps_pad_open(&reader, &header, pad.record, pad.len, out, &contents),
		                 PS_ECORRUPT);
		sealed_free(&pad);
	}
	scene_done(&s);
}

/* Who has got hold of one pad's signing key still alters none of its header: the segments are sealed to it.
 */
static void a_signing_key_alone_alters_nothing(void **state)
{
	struct scene s = scene_new(__func__, 100);
	static const size_t fields[] = {
	    offsetof(struct pad_fixed, generation), offsetof(struct pad_fixed, network),
	    offsetof(struct pad_fixed, serial),     offsetof(struct pad_fixed, counter),
	    offsetof(struct pad_fixed, epoch),      offsetof(struct pad_fixed, nonce)};

	(void)state;
	for (int i = 0; i < ROUNDS; i++) {
		uint8_t *record = copy_of(&s.pad);
		struct ps_pad_header header;

		record[fields[i % 6] + dice_below(&s.dice, 4)] ^= (uint8_t)(1 + dice_below(&s.dice, 127));
		sign_again(s.keys, &s.pad, record, s.pad.header.bytes);
		if (ps_pad_open_header(record, s.pad.len, &s.pad.name, &header) == PS_OK)
			assert_int_equal(open_one(s.keys, &header, 0, record + header.bytes), PS_EAUTH);
		free(record);
	}
	scene_done(&s);
}

/* A20: lengths that a hostile holder of the pad's key signs. Nothing is read or written past what is there.
 */
static void hostile_lengths_are_refused(void **state)
{
	struct scene s = scene_new(__func__, 100);
	static const uint32_t lengths[] = {0,        1,          4095,       4097,          8191,
	                                   12288,    65535,      65537,      (8 << 20) - 1, (8 << 20) + 1,
	                                   16 << 20, 0x7fffffff, 0x80000000, 0xfffff000,    0xffffffff};
	struct ps_pad_header header;

	(void)state;
	for (int i = 0; i < 100; i++) {
		uint8_t *record = copy_of(&s.pad);
		uint32_t payload = i < 15 ? lengths[i] : (uint32_t)dice_roll(&s.dice);

		((struct pad_fixed *)record)->payload = ps_set32(payload);
		sign_again(s.keys, &s.pad, record, s.pad.header.bytes);
		assert_int_equal(read_back(s.keys, &s.pad, record, s.pad.len), PS_EAUTH);
		free(record);
	}
	/* Sizes that pads do have, but not this one: its header, or its record, is too short for them. */
	for (uint32_t payload = 8192; payload <= 8 << 20; payload *= 2) {
		uint8_t *record = copy_of(&s.pad);

		((struct pad_fixed *)record)->payload = ps_set32(payload);
		sign_again(s.keys, &s.pad, record, s.pad.header.bytes);
		assert_int_equal(ps_pad_verify(record, s.pad.len, &s.pad.name, &header), PS_EAUTH);
		free(record);
	}
	scene_done(&s);
}

static void any_bytes_are_refused(void **state)
{
	struct scene s = scene_new(__func__, 100);
	uint8_t bytes[6000];

	(void)state;
	for (int i = 0; i < 200; i++) {
		dice_fill(&s.dice, bytes, sizeof(bytes));
		if (i % 2 == 0)
			memcpy(bytes, s.pad.record, dice_below(&s.dice, 300));
		assert_int_equal(read_back(s.keys, &s.pad, bytes, dice_below(&s.dice, sizeof(bytes) + 1)),
		                 PS_EAUTH);
	}
	scene_done(&s);
}

/* A content key, once given away, opens its own generation of its own pad and nothing else. */
static void a_leaked_content_key_opens_one_pad(void **state)
{
	struct scene s = scene_new(__func__, 9000);
	uint8_t leaked[PS_KEY];
	struct ps_pad_reader reader = {.content_key = leaked};

	(void)state;
	ps_keys_content_key(s.keys, &s.pad.plan.serial, s.pad.plan.generation, leaked);
	for (int i = 0; i < ROUNDS; i++) {
		struct ps_pad_plan plan = s.pad.plan;
		struct ps_pad_contents contents;
		struct sealed next;
		uint8_t out[16384], *record = copy_of(&s.pad);

		if (i % 2 == 0)
			plan.generation++;
		else
			dice_fill(&s.dice, &plan.serial, sizeof(plan.serial));
		plan.counter++;
		seal_plan(s.keys, &plan, s.pad.payload, s.pad.payload_len, &next);
		assert_int_equal(ps_pad_open(&reader, &s.pad.header, record, s.pad.len, out, &contents),
		                 PS_OK);
		assert_memory_equal(out, s.pad.payload, contents.length);
		assert_int_equal(ps_pad_open(&reader, &next.header, next.record, next.len, out, &contents),
		                 PS_EAUTH);
		assert_true(sodium_is_zero(out, next.header.payload));
		sealed_free(&next);
		free(record);
	}
	scene_done(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(no_bit_can_be_flipped),
	    cmocka_unit_test(no_byte_of_large_pads_can_be_changed),
	    cmocka_unit_test(no_length_but_the_right_one_is_taken),
	    cmocka_unit_test(segments_keep_their_places),
	    cmocka_unit_test(versions_do_not_mix),
	    cmocka_unit_test(another_pad_is_not_this_pad),
	    cmocka_unit_test(versions_are_told_apart),
	    cmocka_unit_test(other_stores_and_networks_are_refused),
	    cmocka_unit_test(class_role_and_generation_must_be_those_expected),
	    cmocka_unit_test(other_suites_and_formats_are_refused),
	    cmocka_unit_test(values_that_nobody_writes_are_refused),
	    cmocka_unit_test(impossible_contents_are_damage),
	    cmocka_unit_test(a_signing_key_alone_alters_nothing),
	    cmocka_unit_test(hostile_lengths_are_refused),
	    cmocka_unit_test(any_bytes_are_refused),
	    cmocka_unit_test(a_leaked_content_key_opens_one_pad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
