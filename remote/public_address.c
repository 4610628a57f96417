#include "remote/public_address.h"

#include <ctype.h>
#include <sodium.h>
#include <string.h>

#include "base/fail.h"
#include "remote/keys_internal.h"

enum { CHECKED = PS_ADDRESS_BYTES - PS_ADDRESS_CHECK, LETTERS = PS_ADDRESS_TEXT - 1 };

/* Crockford's base 32, as in head codes: no letter looks like a digit. */
static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

static void find_check(const uint8_t bytes[CHECKED], uint8_t check[PS_KEY])
{
	ps_key_hash(NULL, "public/address", NULL, bytes, CHECKED, check);
}

void ps_address_print(const struct ps_address *address, char text[PS_ADDRESS_TEXT])
{
	uint8_t bytes[PS_ADDRESS_BYTES] = {PS_ADDRESS_VERSION}, check[PS_KEY];
	memcpy(bytes + 1, address->public_key, sizeof(address->public_key));
	memcpy(bytes + 33, address->read_key, sizeof(address->read_key));
	find_check(bytes, check);
	memcpy(bytes + CHECKED, check, PS_ADDRESS_CHECK);
	for (unsigned i = 0; i < LETTERS; i++) {
		unsigned value = 0;
		for (unsigned bit = 5 * i; bit < 5 * i + 5; bit++)
			value = value << 1 | ((unsigned)bytes[bit / 8] >> (7 - bit % 8) & 1U);
		text[i] = alphabet[value];
	}
	text[LETTERS] = '\0';
	sodium_memzero(bytes, sizeof(bytes));
}

/* -1: no letter of an address. */
static int value_of(char c)
{
	c = (char)tolower((unsigned char)c);
	c = (char)(c == 'o' ? '0' : c == 'i' || c == 'l' ? '1' : c);
	const char *at = c ? strchr(alphabet, c) : NULL;
	return at ? (int)(at - alphabet) : -1;
}

/* PS_EINVAL; sentences tell places, and nothing of the text. */
static int read_letters(const char *text, uint8_t bytes[PS_ADDRESS_BYTES])
{
	unsigned letters = 0;
	for (const char *at = text; *at; at++) {
		int value = value_of(*at);
		if (isspace((unsigned char)*at) || *at == '-')
			continue;
		if (value < 0)
			return ps_fail(PS_EINVAL, "no address: character %zu is none that an address has",
			               (size_t)(at - text) + 1);
		if (letters == LETTERS)
			return ps_fail(PS_EINVAL, "no address: it has more than %d letters and digits",
			               LETTERS);
		for (unsigned i = 0; i < 5; i++) {
			unsigned bit = 5 * letters + i;
			if ((unsigned)value >> (4 - i) & 1U)
				bytes[bit / 8] = (uint8_t)(bytes[bit / 8] | 1U << (7 - bit % 8));
		}
		letters++;
	}
	return letters == LETTERS
	           ? PS_OK
	           : ps_fail(PS_EINVAL, "no address: it has %u letters and digits instead of %d", letters,
	                     LETTERS);
}

int ps_address_parse(const char *text, struct ps_address *address)
{
	uint8_t bytes[PS_ADDRESS_BYTES] = {0}, check[PS_KEY];
	int err = ps_sodium_ready();
	if (err == PS_OK)
		err = read_letters(text, bytes);
	if (err == PS_OK) {
		find_check(bytes, check);
		if (memcmp(bytes + CHECKED, check, PS_ADDRESS_CHECK) != 0)
			err = ps_fail(PS_EINVAL, "no address: a character is wrong, or two are exchanged");
	}
	if (err == PS_OK && bytes[0] != PS_ADDRESS_VERSION)
		err = ps_fail(PS_EINVAL, "an address of version %u; this program knows %d", bytes[0],
		              PS_ADDRESS_VERSION);
	if (err == PS_OK) {
		memcpy(address->public_key, bytes + 1, sizeof(address->public_key));
		memcpy(address->read_key, bytes + 33, sizeof(address->read_key));
	}
	sodium_memzero(bytes, sizeof(bytes));
	return err;
}

void ps_address_name(const struct ps_address *address, struct ps_pad_name *name)
{
	ps_pad_name_of(address->public_key, name);
}
