/* The user key and all that is derived from it. The bytes lie in locked memory that no core dump contains,
 * and are wiped. */
#ifndef PS_KEYS_H
#define PS_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PS_KEY = 32, PS_SERIAL = 16 };

struct ps_serial {
	uint8_t bytes[PS_SERIAL];
};

/* Opaque, in locked memory. Either from the user key (reads and writes) or from the read root (reads).
 * Immutable after it is made: used from several threads. */
typedef struct ps_keys ps_keys;

/* For one store under one key. `store` NULL: "main"; 1 to 255 bytes. PS_ENOMEM (also: no memory could be
 * locked), PS_EINVAL. */
int ps_keys_new(const uint8_t user_key[PS_KEY], const char *store, ps_keys **keys)
    __attribute__((warn_unused_result));
/* The store must be the one that the read root was taken for: any other name gives keys that open nothing. */
int ps_keys_new_read_only(const uint8_t read_root[PS_KEY], const char *store, ps_keys **keys)
    __attribute__((warn_unused_result));
void ps_keys_free(ps_keys *keys); /* wipes; NULL is fine */
bool ps_keys_can_write(const ps_keys *keys);
/* "main", or what was given. */
const char *ps_keys_store(const ps_keys *keys);
/* The read root, to be given to those who may only read. The caller wipes it. */
void ps_keys_read_root(const ps_keys *keys, uint8_t read_root[PS_KEY]);
/* 32 bytes for any other purpose, by its label: "head", "index", …; of the read root, so that readers have
 * them too. The caller wipes them if they are secret. */
void ps_keys_derive(const ps_keys *keys, const char *label, const void *fields, size_t len,
                    uint8_t out[PS_KEY]);
/* The same of the write root: what readers must not have. Only where ps_keys_can_write. */
void ps_keys_derive_writing(const ps_keys *keys, const char *label, const void *fields, size_t len,
                            uint8_t out[PS_KEY]);
/* What opens one generation of one pad and nothing else: what is given away when a pad is public. The caller
 * wipes it. */
void ps_keys_content_key(const ps_keys *keys, const struct ps_serial *serial, uint32_t generation,
                         uint8_t content_key[PS_KEY]);
/* The head pad's serial: the same on every machine that has the read root. */
void ps_keys_head_serial(const ps_keys *keys, struct ps_serial *serial);
/* The public key under which a serial's pads are signed. PS_EREADONLY without the write root. */
int ps_keys_public_key(const ps_keys *keys, const struct ps_serial *serial, uint8_t public_key[32])
    __attribute__((warn_unused_result));
/* A serial that was never used: 16 bytes from the kernel. */
void ps_serial_new(struct ps_serial *serial);

#endif
