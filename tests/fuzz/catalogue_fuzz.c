/* Any bytes to the catalogue's decoders: the first chooses the decoder, the rest is the object. What is
 * accepted must be canonical: encoded again it gives the same bytes, so that no two readers can see it
 * differently. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "cli/catalogue_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int holds)
{
	if (!holds)
		abort();
}

static void try_header(const uint8_t *data, size_t size)
{
	uint8_t fixed[CAT_HEADER_BYTES], again[CAT_HEADER_BYTES];
	struct cat_header header;
	uint64_t checksum;

	must(size == CAT_HEADER_BYTES || cat_header_decode(data, size, &header) != PS_OK);
	if (size != CAT_HEADER_BYTES)
		return;
	/* The checksum is put right, or no input would ever come behind it. */
	memcpy(fixed, data, sizeof(fixed));
	checksum = XXH3_64bits(fixed, sizeof(fixed) - 8);
	for (int i = 0; i < 8; i++)
		fixed[CAT_HEADER_BYTES - 8 + i] = (uint8_t)(checksum >> 8 * i);
	if (cat_header_decode(fixed, sizeof(fixed), &header) != PS_OK)
		return;
	cat_header_encode(&header, again);
	must(memcmp(fixed, again, sizeof(fixed)) == 0);
}

static void try_folder(const uint8_t *data, size_t size)
{
	struct cat_folder folder;
	uint8_t *again;
	size_t len;

	if (cat_folder_decode(data, size, &folder) != PS_OK)
		return;
	for (size_t i = 0; i < folder.count; i++) {
		const char *name = folder.entries[i].name;

		must(cat_name_fault(name, strlen(name)) == NULL);
		must(cat_folder_find(&folder, name) == &folder.entries[i]);
	}
	if (cat_folder_encode(folder.entries, folder.count, NULL, 0, &again, &len) == PS_OK) {
		must(len == size && memcmp(data, again, len) == 0);
		free(again);
	}
	cat_folder_done(&folder);
}

static void try_journal(const uint8_t *data, size_t size)
{
	struct cat_journal journal;
	uint8_t *again;
	size_t len;

	if (cat_journal_decode(data, size, &journal) != PS_OK)
		return;
	if (cat_journal_encode(&journal, &again, &len) == PS_OK) {
		must(len == size && memcmp(data, again, len) == 0);
		free(again);
	}
	cat_journal_done(&journal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *object;

	if (size < 1)
		return 0;
	object =
	    malloc(size); /* exactly as long as the object and one: a sanitizer sees every step too far */
	if (object == NULL)
		return 0;
	memcpy(object + 1, data + 1, size - 1);
	switch (data[0] % 3) {
	case 0:
		try_header(object + 1, size - 1);
		break;
	case 1:
		try_folder(object + 1, size - 1);
		break;
	default:
		try_journal(object + 1, size - 1);
	}
	free(object);
	return 0;
}
