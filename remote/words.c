/* BIP-39: the key's 256 bits and the first 8 of its SHA-256, cut into 24 numbers of 11 bits. The bytes of a
 * key that pass through here are wiped; the texts are the caller's. */
#include "remote/words.h"

#include <ctype.h>
#include <sodium.h>
#include <string.h>

#include "base/fail.h"
#include "remote/words_table.h"

enum { COUNT = 24, BITS = 11 };

/* The key, then its checksum. */
static void with_checksum(const uint8_t key[PS_KEY], uint8_t bytes[PS_KEY + 1])
{
	uint8_t hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(hash, key, PS_KEY);
	memcpy(bytes, key, PS_KEY);
	bytes[PS_KEY] = hash[0];
	sodium_memzero(hash, sizeof(hash));
}

static unsigned bits_at(const uint8_t bytes[PS_KEY + 1], unsigned from)
{
	unsigned value = 0;

	for (unsigned bit = from; bit < from + BITS; bit++)
		value = value << 1 | ((unsigned)bytes[bit / 8] >> (7 - bit % 8) & 1U);
	return value;
}

void ps_words_from_key(const uint8_t key[PS_KEY], char text[PS_WORDS_TEXT])
{
	uint8_t bytes[PS_KEY + 1];
	char *at = text;

	with_checksum(key, bytes);
	for (unsigned i = 0; i < COUNT; i++) {
		const char *word = words_table[bits_at(bytes, i * BITS)];
		size_t len = strlen(word);

		if (i > 0)
			*at++ = ' ';
		memcpy(at, word, len);
		at += len;
	}
	*at = '\0';
	sodium_memzero(bytes, sizeof(bytes));
}

/* Its number, or -1. */
static int find_word(const char *letters, size_t len)
{
	char word[PS_WORD_MAX + 1] = "";
	int low = 0, high = PS_WORDS - 1, found = -1;

	if (len > PS_WORD_MAX)
		return -1;
	for (size_t i = 0; i < len; i++)
		word[i] = (char)tolower((unsigned char)letters[i]);
	while (low <= high && found < 0) {
		int middle = (low + high) / 2, order = strcmp(word, words_table[middle]);

		if (order == 0)
			found = middle;
		else if (order < 0)
			high = middle - 1;
		else
			low = middle + 1;
	}
	sodium_memzero(word, sizeof(word));
	return found;
}

static void put_bits(uint8_t bytes[PS_KEY + 1], unsigned from, unsigned value)
{
	for (unsigned i = 0; i < BITS; i++) {
		unsigned bit = from + i;

		if (value >> (BITS - 1 - i) & 1U)
			bytes[bit / 8] = (uint8_t)(bytes[bit / 8] | 1U << (7 - bit % 8));
	}
}

static int read_words(const char *text, size_t len, uint8_t bytes[PS_KEY + 1])
{
	unsigned count = 0;
	size_t at = 0;

	while (at < len) {
		size_t start;
		int number;

		while (at < len && isspace((unsigned char)text[at]))
			at++;
		start = at;
		while (at < len && !isspace((unsigned char)text[at]))
			at++;
		if (at == start)
			break;
		if (++count > COUNT)
			return ps_fail(PS_EINVAL, "a key has %d words; these are more", COUNT);
		number = find_word(text + start, at - start);
		if (number < 0)
			return ps_fail(PS_EINVAL, "word %u of the key is not in the list of words", count);
		put_bits(bytes, (count - 1) * BITS, (unsigned)number);
	}
	if (count < COUNT)
		return ps_fail(PS_EINVAL, "a key has %d words; these are %u", COUNT, count);
	return PS_OK;
}

int ps_words_to_key(const char *text, size_t len, uint8_t key[PS_KEY])
{
	uint8_t bytes[PS_KEY + 1] = {0}, right[PS_KEY + 1];
	int err = read_words(text, len, bytes);

	if (err == PS_OK) {
		with_checksum(bytes, right);
		if (sodium_memcmp(bytes, right, sizeof(right)) != 0)
			err = ps_fail(PS_EINVAL, "the words of the key do not fit together: one is wrong, or "
			                         "two are exchanged");
		else
			memcpy(key, bytes, PS_KEY);
	}
	sodium_memzero(bytes, sizeof(bytes));
	sodium_memzero(right, sizeof(right));
	return err;
}

void ps_hex_from_key(const uint8_t key[PS_KEY], char text[PS_HEX_TEXT])
{
	sodium_bin2hex(text, PS_HEX_TEXT, key, PS_KEY);
}

int ps_hex_to_key(const char *text, size_t len, uint8_t key[PS_KEY])
{
	uint8_t bytes[PS_KEY];
	const char *end;
	size_t got;
	int err = PS_OK;

	while (len > 0 && isspace((unsigned char)text[0]))
		text++, len--;
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		len--;
	if (len != 2 * PS_KEY)
		return ps_fail(PS_EINVAL, "a key has %d hexadecimal digits, not %zu characters", 2 * PS_KEY,
		               len);
	if (sodium_hex2bin(bytes, sizeof(bytes), text, len, NULL, &got, &end) != 0 || got != PS_KEY ||
	    end != text + len)
		err = ps_fail(PS_EINVAL, "a key has hexadecimal digits only");
	else
		memcpy(key, bytes, PS_KEY);
	sodium_memzero(bytes, sizeof(bytes));
	return err;
}
