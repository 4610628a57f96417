#include "pad_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <padstone/error.h>

uint64_t dice_roll(struct dice *dice)
{
	uint64_t z = dice->state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

uint64_t dice_below(struct dice *dice, uint64_t limit)
{
	return dice_roll(dice) % limit;
}

void dice_fill(struct dice *dice, void *bytes, size_t len)
{
	uint8_t *at = bytes;

	for (; len >= 8; len -= 8, at += 8) {
		uint64_t word = dice_roll(dice);
		memcpy(at, &word, 8);
	}
	for (; len > 0; len--)
		*at++ = (uint8_t)dice_roll(dice);
}

struct dice dice_seeded(const char *test)
{
	const char *given = getenv("PS_SEED");
	struct dice dice = {given != NULL ? strtoull(given, NULL, 0) : 20261121};

	printf("%s: PS_SEED=%llu\n", test, (unsigned long long)dice.state);
	return dice;
}

ps_keys *keys_seeded(struct dice *dice, const char *store)
{
	uint8_t user_key[PS_KEY];
	ps_keys *keys = NULL;

	dice_fill(dice, user_key, sizeof(user_key));
	assert_int_equal(ps_keys_new(user_key, store, &keys), PS_OK);
	return keys;
}

struct ps_pad_plan plan_seeded(struct dice *dice)
{
	struct ps_pad_plan plan = {0};

	dice_fill(dice, &plan.serial, sizeof(plan.serial));
	dice_fill(dice, plan.network, sizeof(plan.network));
	plan.generation = 1 + (uint32_t)dice_below(dice, 1000);
	plan.counter = 1 + dice_below(dice, 1000000);
	plan.epoch = dice_below(dice, 1000);
	plan.class = (uint8_t)dice_below(dice, PS_PAD_PUBLIC_DATA + 1);
	plan.role = (uint8_t)dice_below(dice, PS_ROLE_TOMBSTONE + 1);
	dice_fill(dice, plan.nonce, sizeof(plan.nonce));
	plan.description_len = (uint16_t)dice_below(dice, PS_PAD_DESCRIPTION + 1);
	dice_fill(dice, plan.description, plan.description_len);
	return plan;
}

void seal_plan(const ps_keys *keys, const struct ps_pad_plan *plan, const void *payload, size_t len,
               struct sealed *sealed)
{
	struct ps_net_buffer buffer = {.capacity = ps_pad_record_bytes(len)};

	*sealed = (struct sealed){.plan = *plan, .payload_len = len};
	sealed->payload = malloc(len > 0 ? len : 1);
	buffer.bytes = malloc(buffer.capacity);
	assert_non_null(sealed->payload);
	assert_non_null(buffer.bytes);
	memcpy(sealed->payload, payload, len);
	assert_int_equal(ps_pad_name(keys, &plan->serial, &sealed->name), PS_OK);
	assert_int_equal(
	    ps_pad_seal(keys, plan, sealed->payload, len, PS_PAD_LARGE, &buffer, &sealed->identity), PS_OK);
	sealed->record = buffer.bytes;
	sealed->len = buffer.len;
	assert_int_equal(ps_pad_verify(sealed->record, sealed->len, &sealed->name, &sealed->header), PS_OK);
}

void seal_random(const ps_keys *keys, struct dice *dice, size_t len, struct sealed *sealed)
{
	struct ps_pad_plan plan = plan_seeded(dice);
	uint8_t *payload = malloc(len > 0 ? len : 1);

	assert_non_null(payload);
	dice_fill(dice, payload, len);
	seal_plan(keys, &plan, payload, len, sealed);
	free(payload);
}

void sealed_free(struct sealed *sealed)
{
	free(sealed->payload);
	free(sealed->record);
}

struct ps_pad_expected expected_of(const struct sealed *sealed)
{
	struct ps_pad_expected expected = {.serial = sealed->plan.serial,
	                                   .generation = sealed->plan.generation,
	                                   .class = sealed->plan.class,
	                                   .role = sealed->plan.role,
	                                   .identity = sealed->identity};

	memcpy(expected.network, sealed->plan.network, sizeof(expected.network));
	return expected;
}

int read_back(const ps_keys *keys, const struct sealed *expected, const uint8_t *bytes, size_t len)
{
	struct ps_pad_reader reader = {.keys = keys};
	struct ps_pad_expected what = expected_of(expected);
	struct ps_pad_header header;
	struct ps_pad_contents contents;
	/* As long as what came, and no longer: a sanitizer sees every step too far. */
	uint8_t *record = malloc(len > 0 ? len : 1), *out = NULL;
	int err;

	assert_non_null(record);
	memcpy(record, bytes, len);
	err = ps_pad_open_header(record, len, &expected->name, &header);
	if (err == PS_OK)
		err = ps_pad_check(&header, &what);
	if (err == PS_OK) {
		out = malloc(header.payload);
		assert_non_null(out);
		err = ps_pad_open(&reader, &header, record, len, out, &contents);
	}
	if (err == PS_OK) {
		assert_int_equal(contents.length, expected->payload_len);
		assert_memory_equal(out, expected->payload, expected->payload_len);
		assert_int_equal(contents.description_len, expected->plan.description_len);
		assert_memory_equal(contents.description, expected->plan.description, PS_PAD_DESCRIPTION);
	}
	free(out);
	free(record);
	return err;
}
