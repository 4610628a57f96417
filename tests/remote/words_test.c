/* Keys as words and digits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "pad_fixture.h"
#include "remote/words.h"
#include <padstone/error.h>

static int from_words(const char *text, uint8_t key[PS_KEY])
{
	return ps_words_to_key(text, strlen(text), key);
}

/* The standard's own examples for keys of 256 bits. */
static void words_are_those_of_the_standard(void **state)
{
	static const struct {
		uint8_t byte;
		const char *words;
	} known[] = {
	    {0x00,
	     "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon "
	     "abandon "
	     "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon art"},
	    {0x7f, "legal winner thank year wave sausage worth useful legal winner thank year wave sausage "
	           "worth useful "
	           "legal winner thank year wave sausage worth title"},
	    {0x80,
	     "letter advice cage absurd amount doctor acoustic avoid letter advice cage absurd amount doctor "
	     "acoustic avoid letter advice cage absurd amount doctor acoustic bless"},
	    {0xff, "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo "
	           "zoo vote"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		uint8_t key[PS_KEY], again[PS_KEY] = {1};
		char text[PS_WORDS_TEXT];

		memset(key, known[i].byte, sizeof(key));
		ps_words_from_key(key, text);
		assert_string_equal(text, known[i].words);
		assert_int_equal(from_words(text, again), PS_OK);
		assert_memory_equal(key, again, sizeof(key));
	}
}

static void every_key_has_words_and_digits(void **state)
{
	struct dice dice = dice_seeded(__func__);

	(void)state;
	for (int i = 0; i < 10000; i++) {
		uint8_t key[PS_KEY], again[PS_KEY];
		char words[PS_WORDS_TEXT], hex[PS_HEX_TEXT];

		dice_fill(&dice, key, sizeof(key));
		ps_words_from_key(key, words);
		assert_int_equal(from_words(words, again), PS_OK);
		assert_memory_equal(key, again, sizeof(key));
		memset(again, 0, sizeof(again));
		ps_hex_from_key(key, hex);
		assert_int_equal(ps_hex_to_key(hex, strlen(hex), again), PS_OK);
		assert_memory_equal(key, again, sizeof(key));
	}
}

static void words_may_be_written_in_any_way(void **state)
{
	uint8_t key[PS_KEY], zero[PS_KEY] = {0};
	char words[PS_WORDS_TEXT], typed[2000] = "\n\t ";

	(void)state;
	ps_words_from_key(zero, words);
	for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
		word[0] = (char)(word[0] - 'a' + 'A');
		strcat(strcat(typed, word), "  \r\n\t");
	}
	memset(key, 1, sizeof(key));
	assert_int_equal(from_words(typed, key), PS_OK);
	assert_memory_equal(key, zero, sizeof(key));
}

/* The key is untouched, and the sentence shows nothing of what was typed. */
static void refused(const char *text, size_t len)
{
	uint8_t key[PS_KEY] = {0};

	assert_int_equal(ps_words_to_key(text, len, key), PS_EINVAL);
	for (int i = 0; i < PS_KEY; i++)
		assert_int_equal(key[i], 0);
	assert_null(strstr(ps_last_error_message(), "zoo"));
	assert_null(strstr(ps_last_error_message(), "abandon"));
}

static void wrong_words_are_refused(void **state)
{
	uint8_t ones[PS_KEY];
	char words[PS_WORDS_TEXT], longer[PS_WORDS_TEXT + 10];

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	ps_words_from_key(ones, words);
	refused("", 0);
	refused("zoo", 3);
	refused(words, strlen(words) - 5); /* 23 words */
	refused(words, strlen(words) - 1);
	snprintf(longer, sizeof(longer), "%s zoo", words);
	refused(longer, strlen(longer));
	words[0] = 'x'; /* xoo */
	refused(words, strlen(words));
	assert_non_null(strstr(ps_last_error_message(), "word 1 "));
	refused("abandonabandonabandon zoo", 25);
}

/* A wrong word passes once in 256 times, by its checksum of 8 bits. */
static void mistakes_are_noticed(void **state)
{
	struct dice dice = dice_seeded(__func__);
	int noticed = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		uint8_t key[PS_KEY], other[PS_KEY], again[PS_KEY];
		char words[PS_WORDS_TEXT], others[PS_WORDS_TEXT], mixed[2 * PS_WORDS_TEXT] = "";
		char *save_a, *save_b;
		size_t at = dice_below(&dice, 24);

		dice_fill(&dice, key, sizeof(key));
		dice_fill(&dice, other, sizeof(other));
		ps_words_from_key(key, words);
		ps_words_from_key(other, others);
		char *a = strtok_r(words, " ", &save_a), *b = strtok_r(others, " ", &save_b);
		for (size_t k = 0; k < 24; k++) {
			strcat(strcat(mixed, k == at ? b : a), " ");
			a = strtok_r(NULL, " ", &save_a);
			b = strtok_r(NULL, " ", &save_b);
		}
		noticed += from_words(mixed, again) == PS_EINVAL;
	}
	assert_in_range(noticed, 980, 1000);
}

static void hex_must_be_exact(void **state)
{
	uint8_t key[PS_KEY];
	char hex[] = "  00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF\n";

	(void)state;
	assert_int_equal(ps_hex_to_key(hex, strlen(hex), key), PS_OK);
	assert_int_equal(key[1], 0x11);
	assert_int_equal(key[31], 0xff);
	assert_int_equal(ps_hex_to_key(hex, strlen(hex) - 2, key), PS_EINVAL);
	assert_int_equal(ps_hex_to_key("", 0, key), PS_EINVAL);
	for (size_t at = 2; at < 66; at += 7) {
		char kept = hex[at];

		hex[at] = at % 2 == 0 ? 'g' : ':';
		assert_int_equal(ps_hex_to_key(hex, strlen(hex), key), PS_EINVAL);
		hex[at] = kept;
	}
	strcpy(hex + 66, "0");
	assert_int_equal(ps_hex_to_key(hex, strlen(hex), key), PS_EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(words_are_those_of_the_standard),
	    cmocka_unit_test(every_key_has_words_and_digits),
	    cmocka_unit_test(words_may_be_written_in_any_way),
	    cmocka_unit_test(wrong_words_are_refused),
	    cmocka_unit_test(mistakes_are_noticed),
	    cmocka_unit_test(hex_must_be_exact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
