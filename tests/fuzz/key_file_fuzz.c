/* Bytes to the decoder of key files, as they came and with magic, version, checksum and commitment put right;
 * and the same bytes as words and as digits. What is accepted is canonical: sealed again it gives the same
 * bytes. */
#include <sodium.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "remote/key_file_format.h"
#include "remote/keys_internal.h"
#include "remote/words.h"
#include <padstone/error.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t kek[PS_KEY] = {9, 8, 7};

static void must(int holds)
{
	if (!holds)
		abort();
}

static void try_file(const uint8_t *bytes, size_t len)
{
	struct key_file file, again;
	struct ps_key key;
	const uint8_t *with;

	if (key_file_decode(bytes, len, &file) != PS_OK)
		return;
	must(len == KEY_FILE_BYTES && memcmp(&file, bytes, len) == 0);
	with = file.fixed.wrap != 0 ? kek : NULL;
	if (with != NULL)
		must(ps_get64(file.fixed.memlimit) <= KEY_MEM_MAX &&
		     ps_get32(file.fixed.opslimit) <= KEY_OPS_MAX);
	if (key_file_unseal(&file, with, &key) != PS_OK)
		return;
	must(memchr(key.store, 0, sizeof(key.store)) != NULL);
	key_file_seal(&key, &file.fixed, with, &again);
	must(memcmp(&again, &file, sizeof(file)) == 0);
}

static void put_right(struct key_file *file)
{
	memcpy(file->fixed.magic, KEY_FILE_MAGIC, sizeof(file->fixed.magic));
	file->fixed.version = ps_set16(KEY_FILE_VERSION);
	if (file->fixed.wrap != 0)
		ps_key_hash(kek, "key file/commitment", NULL, &file->fixed, sizeof(file->fixed),
		            file->commitment);
	ps_key_hash(NULL, "key file/checksum", NULL, file, offsetof(struct key_file, checksum),
	            file->checksum);
}

static void try_texts(const char *text, size_t len)
{
	uint8_t key[PS_KEY], again[PS_KEY];
	char words[PS_WORDS_TEXT], hex[PS_HEX_TEXT];

	if (ps_words_to_key(text, len, key) == PS_OK) {
		ps_words_from_key(key, words);
		must(ps_words_to_key(words, strlen(words), again) == PS_OK);
		must(memcmp(key, again, PS_KEY) == 0);
	}
	if (ps_hex_to_key(text, len, key) == PS_OK) {
		ps_hex_from_key(key, hex);
		must(ps_hex_to_key(hex, strlen(hex), again) == PS_OK);
		must(memcmp(key, again, PS_KEY) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct key_file file = {0};
	char *text = malloc(size + 1);

	if (text == NULL || ps_sodium_ready() != PS_OK) {
		free(text);
		return 0;
	}
	memcpy(text, data, size);
	try_file(data, size);
	try_texts(text, size);
	memcpy(&file, data, size < sizeof(file) ? size : sizeof(file));
	put_right(&file);
	try_file((const uint8_t *)&file, sizeof(file));
	free(text);
	return 0;
}
