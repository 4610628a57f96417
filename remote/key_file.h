/* Key files: one key of 32 bytes in a file that nobody else reads, plain or under a passphrase. FORMAT.md,
 * "Key files", has the bytes. */
#ifndef PS_KEY_FILE_H
#define PS_KEY_FILE_H

#include "remote/keys.h"

enum { PS_KEY_STORE = 256, PS_KEY_FINGERPRINT = 20 };

enum ps_key_kind {
	PS_KEY_USER = 1,      /* the user key: reads and writes every store under it */
	PS_KEY_READ_ONLY = 2, /* the read root of one store, and where its head is */
};

/* In locked memory; made and freed by the functions below only. */
struct ps_key {
	enum ps_key_kind kind;
	uint8_t bytes[PS_KEY];
	uint8_t head[32];         /* read only: the name of the head pad */
	char store[PS_KEY_STORE]; /* read only: the store that it reads; else empty */
};

/* NULL: no passphrase. */
struct ps_passphrase {
	const void *bytes;
	size_t len; /* 1 at least */
};

/* A user key of these 32 bytes, or, where NULL, of 32 bytes from the kernel. PS_ENOMEM. */
int ps_key_new(const uint8_t bytes[PS_KEY], struct ps_key **key) __attribute__((warn_unused_result));
/* What may be given to those who only read one store ("main" if NULL). PS_EREADONLY if `user` is that
 * already; PS_EINVAL, PS_ENOMEM. */
int ps_key_new_read_only(const struct ps_key *user, const char *store, struct ps_key **key)
    __attribute__((warn_unused_result));
void ps_key_free(struct ps_key *key); /* wipes; NULL is fine */
/* The keys of a store. A read-only key has one store: NULL means that one, PS_EINVAL another. */
int ps_key_open(const struct ps_key *key, const char *store, ps_keys **keys)
    __attribute__((warn_unused_result));
/* "1a2b-3c4d-5e6f-7a8b": tells keys apart, and tells nothing about them. */
void ps_key_fingerprint(const struct ps_key *key, char text[PS_KEY_FINGERPRINT]);

/* What a file says of itself before anybody knows its passphrase. */
struct ps_key_file_info {
	enum ps_key_kind kind;
	bool passphrase;
	uint32_t opslimit; /* of Argon2id */
	uint64_t memlimit; /* bytes */
};
/* As ps_key_file_read, but for what needs the passphrase. */
int ps_key_file_info(const char *path, struct ps_key_file_info *info) __attribute__((warn_unused_result));

/* Reads and opens. PS_ENOENT; PS_EACCES: others may read the file, or it is not a regular file of this user;
 * PS_EFORMAT: no key file; PS_ECORRUPT: damaged, or its limits are outside of what is allowed, refused before
 * any work is done; PS_EAUTH: the wrong passphrase, or none, or one for a file that has none (somebody may
 * have put a plain file in its place); PS_ENOMEM. With a passphrase it takes most of a second and 256 MiB, on
 * purpose. */
int ps_key_file_read(const char *path, const struct ps_passphrase *passphrase, struct ps_key **key)
    __attribute__((warn_unused_result));
/* A new file, mode 0600, on disk when this returns; PS_EEXIST, and nothing is touched, if anything lies
 * there. */
int ps_key_file_create(const char *path, const struct ps_key *key, const struct ps_passphrase *passphrase)
    __attribute__((warn_unused_result));
/* The same in place of the key file at path: whenever it is interrupted, the old one or the new one is there.
 * The old bytes may stay on the disk until they are written over. As _create, and PS_EACCES. */
int ps_key_file_replace(const char *path, const struct ps_key *key, const struct ps_passphrase *passphrase)
    __attribute__((warn_unused_result));

#endif
