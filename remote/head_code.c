/* Head codes: a head as people copy it by hand. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "remote/head.h"

enum { HASH_BITS = 40, LETTERS = HASH_BITS / 5, DIGITS = 20, CHECK = 37 };

/* Crockford's base 32, without letters that look like digits; the last five only check. His *, ~ and $ mean
 * something to a shell: they are read, and not written. */
static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ+_@=U";
static const char earlier[] = "*~$", instead[] = "+_@";

/* Modulo a prime above the length, each place with its own weight: one wrong character, or two that changed
 * places, are always found. */
static unsigned check_value(const uint8_t *values, size_t count)
{
	unsigned sum = 0;
	for (size_t i = 0; i < count; i++)
		sum = (sum + (unsigned)(i + 2) * values[i]) % CHECK;
	return sum;
}

void ps_head_code(uint64_t counter, const uint8_t hash[32], char text[PS_HEAD_CODE])
{
	uint8_t values[DIGITS + LETTERS];
	char letters[LETTERS + 1] = {0}, digits[DIGITS + 1];
	uint64_t bits = 0;
	size_t n = 0;
	(void)snprintf(digits, sizeof(digits), "%" PRIu64, counter);
	for (const char *d = digits; *d; d++)
		values[n++] = (uint8_t)(*d - '0');
	for (unsigned i = 0; i < HASH_BITS / 8; i++)
		bits = bits << 8 | hash[i];
	for (unsigned i = 0; i < LETTERS; i++) {
		values[n] = bits >> (HASH_BITS - 5 * (i + 1)) & 31;
		letters[i] = alphabet[values[n++]];
	}
	(void)snprintf(text, PS_HEAD_CODE, "%s-%s-%c", digits, letters, alphabet[check_value(values, n)]);
}

static int wrong_code(void)
{
	return ps_fail(PS_EINVAL, "this is no head code: a character is wrong, missing or too many");
}

static int value_of(char c)
{
	c = (char)toupper((unsigned char)c);
	c = (char)(c == 'O' ? '0' : c == 'I' || c == 'L' ? '1' : c);
	const char *old = c ? strchr(earlier, c) : NULL, *at;
	c = old ? instead[old - earlier] : c;
	at = c ? strchr(alphabet, c) : NULL;
	return at ? (int)(at - alphabet) : -1;
}

int ps_head_code_parse(const char *text, uint64_t *counter, uint8_t hash_bits[5])
{
	uint8_t values[DIGITS + LETTERS + 1];
	size_t n = 0, dashes = 0, digits = 0;
	uint64_t number = 0, bits = 0;
	for (; *text; text++) {
		int value = value_of(*text);
		if (*text == ' ')
			continue;
		if (*text == '-') {
			if (dashes > 0 && n != digits + LETTERS)
				return wrong_code();
			digits = dashes++ == 0 ? n : digits;
			continue;
		}
		if (value < 0 || n == sizeof(values))
			return wrong_code();
		values[n++] = (uint8_t)value;
	}
	if (dashes != 2 || digits == 0 || n != digits + LETTERS + 1 ||
	    check_value(values, n - 1) != values[n - 1])
		return wrong_code();
	for (size_t i = 0; i < digits; i++)
		if (values[i] > 9 || __builtin_mul_overflow(number, 10U, &number) ||
		    __builtin_add_overflow(number, values[i], &number))
			return wrong_code();
	for (size_t i = digits; i < n - 1; i++) {
		if (values[i] > 31)
			return wrong_code();
		bits = bits << 5 | values[i];
	}
	*counter = number;
	for (unsigned i = 0; i < HASH_BITS / 8; i++)
		hash_bits[i] = (uint8_t)(bits >> (HASH_BITS - 8 * (i + 1)));
	return PS_OK;
}

int ps_head_code_compare(const char *text, const struct ps_head *head, const uint8_t hash[32])
{
	uint64_t counter;
	uint8_t bits[HASH_BITS / 8];
	const uint8_t *there = hash;
	int err = ps_head_code_parse(text, &counter, bits);
	if (err != PS_OK)
		return err;
	if (counter > head->counter)
		return ps_fail(PS_EROLLBACK,
		               "the network shows head %" PRIu64 "; the code is of head %" PRIu64,
		               head->counter, counter);
	if (counter < head->counter) {
		uint64_t back = head->counter - counter;
		if (back > head->pairs_count)
			return ps_fail(PS_ESUPERSEDED, "head %" PRIu64 " is too long ago to be compared",
			               counter);
		there = head->pairs[head->pairs_count - back].hash;
	}
	return memcmp(there, bits, sizeof(bits)) == 0
	           ? PS_OK
	           : ps_fail(PS_EFORK, "the network has another head %" PRIu64 " than the code", counter);
}
