/* Key files as bytes: what they may say, and how a passphrase closes them. */
#include <sodium.h>
#include <string.h>

#include "base/fail.h"
#include "remote/key_file_format.h"
#include "remote/keys_internal.h"

enum { WRAP_NONE, WRAP_ARGON2ID };

static void checksum_of(const struct key_file *file, uint8_t checksum[32])
{
	ps_key_hash(NULL, "key file/checksum", NULL, file, offsetof(struct key_file, checksum), checksum);
}

/* Limits are checked before a single pass of Argon2id: neither does a file make a passphrase cheap to guess,
 * nor does it take all memory or a day. */
static int check_limits(const struct key_file_fixed *fixed)
{
	uint32_t ops = ps_get32(fixed->opslimit);
	uint64_t mem = ps_get64(fixed->memlimit);

	if (ops < KEY_OPS_MIN || ops > KEY_OPS_MAX || mem < KEY_MEM_MIN || mem > KEY_MEM_MAX ||
	    mem % 1024 != 0)
		return ps_fail(
		    PS_ECORRUPT,
		    "its Argon2id limits (%u passes, %llu bytes) are not between %d and %d passes, "
		    "256 MiB and 1 GiB",
		    ops, (unsigned long long)mem, KEY_OPS_MIN, KEY_OPS_MAX);
	return PS_OK;
}

/* A plain file has zeros wherever one under a passphrase has something. */
static bool plain_sound(const struct key_file *file)
{
	const struct key_file_fixed *fixed = &file->fixed;

	return ps_get32(fixed->opslimit) == 0 && ps_get64(fixed->memlimit) == 0 &&
	       sodium_is_zero(fixed->salt, sizeof(fixed->salt)) &&
	       sodium_is_zero(fixed->nonce, sizeof(fixed->nonce)) &&
	       sodium_is_zero(file->commitment, sizeof(file->commitment)) &&
	       sodium_is_zero(file->sealed + KEY_FILE_SECRET, KEY_FILE_TAG);
}

static int check_fixed(const struct key_file *file)
{
	const struct key_file_fixed *fixed = &file->fixed;
	size_t store = strnlen(fixed->store, PS_KEY_STORE);
	bool read_only = fixed->kind == PS_KEY_READ_ONLY;

	if ((fixed->kind != PS_KEY_USER && !read_only) || fixed->wrap > WRAP_ARGON2ID ||
	    !sodium_is_zero(fixed->reserved, sizeof(fixed->reserved)))
		return ps_fail(PS_ECORRUPT, "a key file that nobody writes");
	if (store > PS_STORE_MAX || (store > 0) != read_only ||
	    !sodium_is_zero((const uint8_t *)fixed->store + store, PS_KEY_STORE - store))
		return ps_fail(PS_ECORRUPT, "the store's name in it is none");
	if (fixed->wrap == WRAP_ARGON2ID)
		return check_limits(fixed);
	return plain_sound(file) ? PS_OK : ps_fail(PS_ECORRUPT, "a plain key file that nobody writes");
}

int key_file_decode(const void *bytes, size_t len, struct key_file *file)
{
	uint8_t checksum[32];

	if (len < sizeof(file->fixed.magic) || memcmp(bytes, KEY_FILE_MAGIC, sizeof(file->fixed.magic)) != 0)
		return ps_fail(PS_EFORMAT, "not a key file");
	if (len != KEY_FILE_BYTES)
		return ps_fail(PS_ECORRUPT, "%zu bytes long instead of %d", len, KEY_FILE_BYTES);
	memmove(file, bytes, sizeof(*file)); /* may be the same */
	checksum_of(file, checksum);
	if (sodium_memcmp(checksum, file->checksum, sizeof(checksum)) != 0)
		return ps_fail(PS_ECORRUPT, "damaged (its checksum does not match)");
	if (ps_get16(file->fixed.version) != KEY_FILE_VERSION)
		return ps_fail(PS_EVERSION, "a key file of version %u, which is not known",
		               ps_get16(file->fixed.version));
	return check_fixed(file);
}

int key_file_stretch(const struct key_file *file, const struct ps_passphrase *passphrase, uint8_t kek[PS_KEY])
{
	const struct key_file_fixed *fixed = &file->fixed;

	if (passphrase == NULL)
		return ps_fail(PS_EAUTH, "it is under a passphrase");
	if (crypto_pwhash(kek, PS_KEY, passphrase->bytes, passphrase->len, fixed->salt,
	                  ps_get32(fixed->opslimit), ps_get64(fixed->memlimit),
	                  crypto_pwhash_ALG_ARGON2ID13) != 0)
		return ps_fail(PS_ENOMEM, "no %llu MiB of memory for Argon2id",
		               (unsigned long long)(ps_get64(fixed->memlimit) >> 20));
	return PS_OK;
}

static void subkey(const uint8_t kek[PS_KEY], const char *label, const struct key_file_fixed *fixed,
                   uint8_t out[PS_KEY])
{
	ps_key_hash(kek, label, NULL, fixed, sizeof(*fixed), out);
}

void key_file_seal(const struct ps_key *key, const struct key_file_fixed *fixed, const uint8_t kek[PS_KEY],
                   struct key_file *file)
{
	uint8_t wrap[PS_KEY];

	memset(file, 0, sizeof(*file));
	if (kek != NULL)
		file->fixed = *fixed;
	memcpy(file->fixed.magic, KEY_FILE_MAGIC, sizeof(file->fixed.magic));
	file->fixed.version = ps_set16(KEY_FILE_VERSION);
	file->fixed.kind = (uint8_t)key->kind;
	file->fixed.wrap = kek != NULL ? WRAP_ARGON2ID : WRAP_NONE;
	memset(file->fixed.store, 0, sizeof(file->fixed.store));
	memcpy(file->fixed.store, key->store, strnlen(key->store, PS_STORE_MAX));
	memcpy(file->sealed, key->bytes, PS_KEY);
	memcpy(file->sealed + PS_KEY, key->head, sizeof(key->head));
	if (kek != NULL) {
		subkey(kek, "key file/commitment", &file->fixed, file->commitment);
		subkey(kek, "key file/wrap", &file->fixed, wrap);
		crypto_aead_xchacha20poly1305_ietf_encrypt(file->sealed, NULL, file->sealed, KEY_FILE_SECRET,
		                                           (const uint8_t *)&file->fixed, sizeof(file->fixed),
		                                           NULL, file->fixed.nonce, wrap);
		sodium_memzero(wrap, sizeof(wrap));
	}
	checksum_of(file, file->checksum);
}

static int unwrap(const struct key_file *file, const uint8_t kek[PS_KEY], uint8_t secret[KEY_FILE_SECRET])
{
	uint8_t expected[PS_KEY], wrap[PS_KEY];
	int err = PS_OK;

	/* Poly1305 alone would open under keys made to fit; the commitment names one key only. */
	subkey(kek, "key file/commitment", &file->fixed, expected);
	subkey(kek, "key file/wrap", &file->fixed, wrap);
	if (sodium_memcmp(expected, file->commitment, sizeof(expected)) != 0)
		err = ps_fail(PS_EAUTH, "the passphrase is wrong");
	else if (crypto_aead_xchacha20poly1305_ietf_decrypt(
	             secret, NULL, NULL, file->sealed, sizeof(file->sealed), (const uint8_t *)&file->fixed,
	             sizeof(file->fixed), file->fixed.nonce, wrap) != 0)
		err = ps_fail(PS_ECORRUPT, "the passphrase is right, but the key was altered");
	sodium_memzero(wrap, sizeof(wrap));
	return err;
}

int key_file_unseal(const struct key_file *file, const uint8_t kek[PS_KEY], struct ps_key *key)
{
	uint8_t secret[KEY_FILE_SECRET];
	int err = PS_OK;

	if ((file->fixed.wrap != WRAP_NONE) != (kek != NULL))
		return ps_fail(PS_EAUTH, kek != NULL ? "it is not under a passphrase, though one is expected"
		                                     : "it is under a passphrase");
	if (kek != NULL)
		err = unwrap(file, kek, secret);
	else
		memcpy(secret, file->sealed, sizeof(secret));
	if (err == PS_OK && file->fixed.kind == PS_KEY_USER && !sodium_is_zero(secret + PS_KEY, 32))
		err = ps_fail(PS_ECORRUPT, "a user key with a head");
	if (err == PS_OK) {
		key->kind = file->fixed.kind;
		memcpy(key->bytes, secret, PS_KEY);
		memcpy(key->head, secret + PS_KEY, sizeof(key->head));
		memcpy(key->store, file->fixed.store, sizeof(key->store));
	}
	sodium_memzero(secret, sizeof(secret));
	return err;
}
