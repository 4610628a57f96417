/* The bytes of a key file, and what makes and opens them without a file (FORMAT.md has the prose). */
#ifndef PS_KEY_FILE_FORMAT_H
#define PS_KEY_FILE_FORMAT_H

#include <assert.h>
#include <stddef.h>

#include "base/bytes.h"
#include "remote/key_file.h"

#define KEY_FILE_MAGIC "PADKEYFL"
enum {
	KEY_FILE_VERSION = 1,
	KEY_FILE_BYTES = 512,
	KEY_FILE_SALT = 16,
	KEY_FILE_SECRET = 64, /* key, name of the head pad */
	KEY_FILE_TAG = 16,
	KEY_OPS_MIN = 3, /* libsodium's MODERATE, and no weaker */
	KEY_OPS_MAX = 16,
};
#define KEY_MEM_MIN ((uint64_t)256 << 20)
#define KEY_MEM_MAX ((uint64_t)1 << 30)

/* All of a file that is readable; sealed with, and committed to, where there is a passphrase. */
struct key_file_fixed {
	char magic[8];
	ps_le16 version;
	uint8_t kind; /* enum ps_key_kind */
	uint8_t wrap; /* 0: none; 1: Argon2id, XChaCha20-Poly1305 */
	ps_le32 opslimit;
	ps_le64 memlimit;
	uint8_t salt[KEY_FILE_SALT];
	uint8_t nonce[24];
	char store[PS_KEY_STORE]; /* zero behind its end */
	uint8_t reserved[48];
};
static_assert(sizeof(struct key_file_fixed) == 368, "fixed fields");

struct key_file {
	struct key_file_fixed fixed;
	uint8_t commitment[32];
	uint8_t sealed[KEY_FILE_SECRET + KEY_FILE_TAG]; /* without wrap the secret, and a zero tag */
	uint8_t checksum[32]; /* BLAKE2b-256 of all before: damage is told from a wrong passphrase by it */
};
static_assert(sizeof(struct key_file) == KEY_FILE_BYTES, "key file");

/* Checks everything that can be checked without a passphrase. PS_EFORMAT, PS_ECORRUPT, PS_EVERSION. */
int key_file_decode(const void *bytes, size_t len, struct key_file *file);
/* 32 bytes from a passphrase by the limits and salt of a decoded file. PS_ENOMEM, PS_EAUTH (none given). */
int key_file_stretch(const struct key_file *file, const struct ps_passphrase *passphrase,
                     uint8_t kek[PS_KEY]);
/* Both need fixed's wrap, limits and salt only where kek is not NULL; kind and store come from the key. */
void key_file_seal(const struct ps_key *key, const struct key_file_fixed *fixed, const uint8_t kek[PS_KEY],
                   struct key_file *file);
/* PS_EAUTH: not this kek. PS_ECORRUPT: its, and yet it does not open. */
int key_file_unseal(const struct key_file *file, const uint8_t kek[PS_KEY], struct ps_key *key);

#endif
