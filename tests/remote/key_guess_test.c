/* Row A27 of the attack table: guesses at a key file's passphrase. Argon2id is taken out by the linker and
 * replaced by a count, so that many guesses are quick: what is shown is that each of them pays for one whole
 * Argon2id, at the floor's cost at least, before it learns anything. key_passphrase_test shows what one
 * costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>
#include <unistd.h>

#include "pad_fixture.h"
#include "remote/key_file_format.h"
#include <padstone/error.h>

enum { FILES = 24, GUESSES = 8, LONGEST = 40 };

static struct {
	unsigned calls;
	uint64_t passes, memory; /* of the last one */
	int algorithm;
	unsigned char salt[crypto_pwhash_SALTBYTES];
} asked;

int __wrap_crypto_pwhash(unsigned char *out, unsigned long long out_len, const char *passphrase,
                         unsigned long long len, const unsigned char *salt, unsigned long long passes,
                         size_t memory, int algorithm);

/* Another passphrase, salt or cost: another key, as with Argon2id. */
int __wrap_crypto_pwhash(unsigned char *out, unsigned long long out_len, const char *passphrase,
                         unsigned long long len, const unsigned char *salt, unsigned long long passes,
                         size_t memory, int algorithm)
{
	crypto_generichash_state state;
	uint64_t cost[2] = {passes, memory};

	asked.calls++;
	asked.passes = passes;
	asked.memory = memory;
	asked.algorithm = algorithm;
	memcpy(asked.salt, salt, sizeof(asked.salt));
	crypto_generichash_init(&state, salt, crypto_pwhash_SALTBYTES, (size_t)out_len);
	crypto_generichash_update(&state, (const unsigned char *)cost, sizeof(cost));
	crypto_generichash_update(&state, (const unsigned char *)passphrase, len);
	crypto_generichash_final(&state, out, (size_t)out_len);
	return 0;
}

static char path[64];

static int path_new(void **state)
{
	int fd;

	(void)state;
	strcpy(path, "/tmp/padstone-guess-XXXXXX");
	fd = mkstemp(path);
	return fd >= 0 && close(fd) == 0 && unlink(path) == 0 ? 0 : -1;
}

static int path_gone(void **state)
{
	(void)state;
	(void)unlink(path);
	return 0;
}

static struct ps_passphrase words_seeded(struct dice *dice, uint8_t bytes[LONGEST + 1])
{
	struct ps_passphrase words = {bytes, 1 + (size_t)dice_below(dice, LONGEST)};

	dice_fill(dice, bytes, words.len);
	return words;
}

static struct ps_key *file_seeded(struct dice *dice, const struct ps_passphrase *right)
{
	uint8_t bytes[PS_KEY];
	struct ps_key *key = NULL;

	dice_fill(dice, bytes, sizeof(bytes));
	assert_int_equal(ps_key_new(bytes, &key), PS_OK);
	(void)unlink(path);
	assert_int_equal(ps_key_file_create(path, key, right), PS_OK);
	return key;
}

/* As near to the right one as a guess can be, or anything. */
static struct ps_passphrase guess_seeded(struct dice *dice, const struct ps_passphrase *right,
                                         uint8_t bytes[LONGEST + 1], unsigned kind)
{
	struct ps_passphrase guess = {bytes, right->len};

	memcpy(bytes, right->bytes, right->len);
	switch (kind % 4) {
	case 0: /* another bit */
		bytes[dice_below(dice, guess.len)] ^= (uint8_t)(1 << dice_below(dice, 8));
		return guess;
	case 1: /* a byte more: also a zero, or the end of a line */
		bytes[guess.len++] = (uint8_t)(kind % 8 == 1 ? 0 : '\n');
		return guess;
	case 2: /* a byte less */
		guess.len--;
		if (guess.len > 0)
			return guess;
		bytes[guess.len++] = (uint8_t)(*(const uint8_t *)right->bytes + 1);
		return guess;
	default:
		bytes[0] ^= 1;
		dice_fill(dice, bytes + 1, guess.len - 1);
		return guess;
	}
}

static void expect_paid(const struct ps_passphrase *words, int should, struct ps_key **key)
{
	unsigned before = asked.calls;

	assert_int_equal(ps_key_file_read(path, words, key), should);
	assert_int_equal(asked.calls, before + 1);
	assert_true(asked.passes >= 3);
	assert_true(asked.memory >= (size_t)256 << 20);
	assert_int_equal(asked.algorithm, crypto_pwhash_ALG_ARGON2ID13);
}

static void each_guess_pays_the_floors_cost_and_learns_nothing_else(void **state)
{
	struct dice dice = dice_seeded(__func__);
	uint8_t bytes[LONGEST + 1], other[LONGEST + 1];

	(void)state;
	for (unsigned i = 0; i < FILES; i++) {
		struct ps_passphrase right = words_seeded(&dice, bytes);
		struct ps_key *key = file_seeded(&dice, &right), *again = NULL;

		for (unsigned n = 0; n < GUESSES; n++) {
			struct ps_passphrase guess = guess_seeded(&dice, &right, other, n);

			expect_paid(&guess, PS_EAUTH, &again);
			assert_null(again);
			assert_non_null(strstr(ps_last_error_message(), "passphrase is wrong"));
		}
		expect_paid(&right, PS_OK, &again);
		assert_memory_equal(again->bytes, key->bytes, PS_KEY);
		ps_key_free(again);
		ps_key_free(key);
	}
}

/* Work that was done for one file is worth nothing for another, and none for the same file written again. */
static void no_two_files_share_a_salt(void **state)
{
	struct dice dice = dice_seeded(__func__);
	unsigned char salts[2 * FILES][crypto_pwhash_SALTBYTES];
	uint8_t bytes[LONGEST + 1];
	struct ps_passphrase words = words_seeded(&dice, bytes);

	(void)state;
	for (unsigned i = 0; i < 2 * FILES; i += 2) {
		struct ps_key *key = file_seeded(&dice, &words);

		memcpy(salts[i], asked.salt, sizeof(asked.salt));
		assert_int_equal(ps_key_file_replace(path, key, &words), PS_OK);
		memcpy(salts[i + 1], asked.salt, sizeof(asked.salt));
		ps_key_free(key);
	}
	for (unsigned i = 0; i < 2 * FILES; i++)
		for (unsigned n = 0; n < i; n++)
			assert_memory_not_equal(salts[i], salts[n], sizeof(salts[i]));
}

/* Whoever has stretched a guess can tell the right one; whoever has not can do nothing with the file: each
 * byte that might tell is under what Argon2id gives. */
static void without_the_stretch_the_file_shows_no_key(void **state)
{
	struct dice dice = dice_seeded(__func__);
	uint8_t bytes[LONGEST + 1], kek[PS_KEY];

	(void)state;
	for (unsigned i = 0; i < FILES; i++) {
		struct ps_passphrase right = words_seeded(&dice, bytes);
		struct ps_key *key = file_seeded(&dice, &right), *again = NULL;
		struct key_file file;
		FILE *from = fopen(path, "rb");

		assert_non_null(from);
		assert_int_equal(fread(&file, 1, sizeof(file), from), sizeof(file));
		fclose(from);
		assert_null(memmem(&file, sizeof(file), key->bytes, 8));
		assert_int_equal(ps_key_file_read(path, NULL, &again), PS_EAUTH);
		assert_int_equal(ps_key_new(bytes, &again), PS_OK);
		memset(kek, 0, sizeof(kek));
		memcpy(kek, bytes, right.len < PS_KEY ? right.len : PS_KEY); /* the passphrase as it is */
		assert_int_equal(key_file_unseal(&file, kek, again), PS_EAUTH);
		assert_int_equal(key_file_stretch(&file, &right, kek), PS_OK);
		kek[dice_below(&dice, PS_KEY)] ^= (uint8_t)(1 << dice_below(&dice, 8));
		assert_int_equal(key_file_unseal(&file, kek, again), PS_EAUTH);
		ps_key_free(again);
		ps_key_free(key);
	}
}

int main(void)
{
#define GUESS_TEST(test) cmocka_unit_test_setup_teardown(test, path_new, path_gone)
	const struct CMUnitTest tests[] = {
	    GUESS_TEST(each_guess_pays_the_floors_cost_and_learns_nothing_else),
	    GUESS_TEST(no_two_files_share_a_salt),
	    GUESS_TEST(without_the_stretch_the_file_shows_no_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
