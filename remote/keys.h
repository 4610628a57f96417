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
int ps_keys_new_read_only(const uint8_t read_root[PS_KEY], const char *store, ps_keys **keys)
    __attribute__((warn_unused_result));
void ps_keys_free(ps_keys *keys); /* wipes; NULL is fine */
bool ps_keys_can_write(const ps_keys *keys);
/* "main", or what was given. */
const char *ps_keys_store(const ps_keys *keys);
/* The read root, to be given to those who may only read. */
void ps_keys_read_root(const ps_keys *keys, uint8_t read_root[PS_KEY]);
/* 32 bytes for any other purpose, by its label: "head", "index", …; the caller wipes them if they are secret.
 */
void ps_keys_derive(const ps_keys *keys, const char *label, const void *fields, size_t len,
                    uint8_t out[PS_KEY]);
/* A serial that was never used: 16 bytes from the kernel. */
void ps_serial_new(struct ps_serial *serial);

#endif
