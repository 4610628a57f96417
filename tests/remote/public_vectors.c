/* Addresses and manifests as JSON, one a line, with all that they were made of, for a reader that shares no
 * line with the library: public_vectors       the fixed ones, tests/remote/vectors/public.json public_vectors
 * SEED  others, from a seed */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pad_fixture.h"
#include <padstone/error.h>
#include "remote/public_address.h"
#include "remote/public_manifest.h"

static void print_hex(const char *key, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	printf("\"%s\": \"", key);
	for (size_t i = 0; i < len; i++)
		printf("%02x", at[i]);
	printf("\"");
}

static void print_address(struct dice *dice)
{
	struct ps_address address;
	struct ps_pad_name name;
	char text[PS_ADDRESS_TEXT];

	dice_fill(dice, &address, sizeof(address));
	ps_address_print(&address, text);
	ps_address_name(&address, &name);
	printf("{\"address\": \"%s\", ", text);
	print_hex("public_key", address.public_key, sizeof(address.public_key));
	printf(", ");
	print_hex("read_key", address.read_key, sizeof(address.read_key));
	printf(", ");
	print_hex("name", name.bytes, sizeof(name.bytes));
	printf("}\n");
}

/* One entry of a level, from the dice, with the length that it has there. */
static void roll_entry(struct dice *dice, const struct ps_manifest *m, unsigned level, uint64_t number,
                       uint8_t *out)
{
	struct ps_pad_slot slot = {.generation = 1 + (uint32_t)dice_below(dice, 9),
	                           .counter = 1 + dice_below(dice, 1000),
	                           .length = ps_manifest_length(m, level, number)};
	uint8_t read_key[PS_KEY];

	dice_fill(dice, slot.serial.bytes, PS_SERIAL);
	dice_fill(dice, slot.name.bytes, PS_PAD_NAME);
	dice_fill(dice, slot.hash, sizeof(slot.hash));
	dice_fill(dice, read_key, sizeof(read_key));
	ps_manifest_encode_entry(&slot, read_key, out);
}

static void print_entries(const uint8_t *at, uint32_t count)
{
	printf("\"entries\": [");
	for (uint32_t i = 0; i < count; i++) {
		struct ps_manifest_entry entry;

		ps_manifest_entry(at, 0, i, &entry);
		printf("%s{\"counter\": %llu, \"generation\": %u, \"length\": %u, ", i > 0 ? ", " : "",
		       (unsigned long long)entry.slot.counter, entry.slot.generation, entry.slot.length);
		print_hex("serial", entry.slot.serial.bytes, PS_SERIAL);
		printf(", ");
		print_hex("name", entry.slot.name.bytes, PS_PAD_NAME);
		printf(", ");
		print_hex("read_key", entry.read_key, PS_KEY);
		printf(", ");
		print_hex("hash", entry.slot.hash, sizeof(entry.slot.hash));
		printf("}");
	}
	printf("]");
}

static void print_manifest(struct dice *dice, uint64_t size, uint32_t chunk, unsigned level)
{
	struct ps_manifest m = {.level = (uint8_t)level, .size = size, .chunk = size > 0 ? chunk : 0}, read;
	uint8_t *bytes;
	size_t len;

	dice_fill(dice, m.hash, sizeof(m.hash));
	m.count = (uint32_t)ps_manifest_level(&m, level);
	len = PS_MANIFEST_HEAD + (size_t)m.count * PS_MANIFEST_ENTRY;
	bytes = malloc(len);
	if (bytes == NULL)
		exit(EXIT_FAILURE);
	ps_manifest_encode(&m, bytes);
	for (uint32_t i = 0; i < m.count; i++)
		roll_entry(dice, &m, level, i, bytes + PS_MANIFEST_HEAD + (size_t)i * PS_MANIFEST_ENTRY);
	if (ps_manifest_decode(bytes, len, &read) != PS_OK)
		exit(EXIT_FAILURE);
	printf("{\"level\": %u, \"size\": %llu, \"chunk\": %u, ", level, (unsigned long long)size, m.chunk);
	print_hex("content_hash", m.hash, sizeof(m.hash));
	printf(", ");
	print_entries(bytes + PS_MANIFEST_HEAD, m.count);
	printf(", ");
	print_hex("manifest", bytes, len);
	printf("}\n");
	free(bytes);
}

int main(int argc, char **argv)
{
	struct dice dice = {argc > 1 ? strtoull(argv[1], NULL, 0) : 1};

	for (unsigned i = 0; i < 3; i++)
		print_address(&dice);
	print_manifest(&dice, 0, 0, 0);
	print_manifest(&dice, 1, 1, 0);
	print_manifest(&dice, 2 * 131072 + 17, 131072, 0);
	print_manifest(&dice, 40 * 4096 - 1, 4096, 1);
	if (argc > 1)
		print_manifest(&dice, (1 << 20) + dice_below(&dice, 4 << 20), 1 << 20, 0);
	return EXIT_SUCCESS;
}
