/* Pads as JSON, one a line, with all that they were made of, for a reader that shares no line with the
 * library: pad_vectors            the fixed ones, tests/remote/vectors/pads.json pad_vectors SEED others,
 * from a seed */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pad_fixture.h"
#include <padstone/error.h>

static void print_hex(const char *key, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	printf(", \"%s\": \"", key);
	for (size_t i = 0; i < len; i++)
		printf("%02x", at[i]);
	printf("\"");
}

static void print_pad(const uint8_t user_key[PS_KEY], const char *store, const ps_keys *keys,
                      const struct sealed *pad)
{
	const struct ps_pad_plan *plan = &pad->plan;
	uint8_t content_key[PS_KEY], read_root[PS_KEY];

	ps_keys_content_key(keys, &plan->serial, plan->generation, content_key);
	ps_keys_read_root(keys, read_root);
	printf("{\"store\": \"%s\", \"generation\": %u, \"counter\": %llu, \"epoch\": %llu, \"class\": %u, "
	       "\"role\": %u",
	       store, plan->generation, (unsigned long long)plan->counter, (unsigned long long)plan->epoch,
	       plan->class, plan->role);
	print_hex("user_key", user_key, PS_KEY);
	print_hex("read_root", read_root, PS_KEY);
	print_hex("serial", plan->serial.bytes, PS_SERIAL);
	print_hex("network", plan->network, sizeof(plan->network));
	print_hex("nonce", plan->nonce, PS_PAD_NONCE);
	print_hex("description", plan->description, plan->description_len);
	print_hex("public_key", pad->header.public_key, sizeof(pad->header.public_key));
	print_hex("name", pad->name.bytes, PS_PAD_NAME);
	print_hex("content_key", content_key, sizeof(content_key));
	print_hex("identity", pad->identity.hash, sizeof(pad->identity.hash));
	print_hex("payload", pad->payload, pad->payload_len);
	print_hex("record", pad->record, pad->len);
	printf("}\n");
}

static void one(struct dice *dice, const char *store, size_t len)
{
	uint8_t user_key[PS_KEY];
	struct sealed pad;
	ps_keys *keys;

	dice_fill(dice, user_key, sizeof(user_key));
	if (ps_keys_new(user_key, store, &keys) != PS_OK)
		exit(EXIT_FAILURE);
	seal_random(keys, dice, len, &pad);
	print_pad(user_key, store, keys, &pad);
	sealed_free(&pad);
	ps_keys_free(keys);
}

int main(int argc, char **argv)
{
	static const size_t fixed[] = {0, 1, 4095, 4096, 4097};
	struct dice dice = {argc > 1 ? strtoull(argv[1], NULL, 0) : 1};

	if (argc > 1) {
		for (int i = 0; i < 5; i++)
			one(&dice, i % 2 == 0 ? "main" : "photos", dice_below(&dice, 10000));
		one(&dice, "main", 65536 + dice_below(&dice, 65537)); /* two segments */
		return EXIT_SUCCESS;
	}
	for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
		one(&dice, i % 2 == 0 ? "main" : "photos", fixed[i]);
	return EXIT_SUCCESS;
}
