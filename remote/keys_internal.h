/* What pads and key files share with keys: the one way of hashing, and what signs. */
#ifndef PS_KEYS_INTERNAL_H
#define PS_KEYS_INTERNAL_H

#include "remote/keys.h"

enum { PS_SECRET_KEY = 64, PS_STORE_MAX = 255 };

/* Makes libsodium ready; from any thread, any number of times. PS_EIO. */
int ps_sodium_ready(void) __attribute__((warn_unused_result));

/* BLAKE2b-256, keyed where `key` is not NULL, over "padstone/1", label, store and fields, each behind its
 * length in four bytes: no two different calls hash the same bytes. store NULL: the empty name. */
void ps_key_hash(const uint8_t *key, const char *label, const char *store, const void *fields, size_t len,
                 uint8_t out[PS_KEY]);

/* The Ed25519 pair of a serial. The caller wipes secret_key. PS_EREADONLY without the write root. */
int ps_keys_sign_pair(const ps_keys *keys, const struct ps_serial *serial, uint8_t public_key[32],
                      uint8_t secret_key[PS_SECRET_KEY]) __attribute__((warn_unused_result));

/* Memory that is locked, guarded and in no core dump; all or nothing: NULL if it cannot be locked. Freed, and
 * wiped, by sodium_free. */
void *ps_locked_alloc(size_t size);

#endif
