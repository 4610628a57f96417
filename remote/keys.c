/* Derivation, and the memory that it happens in. FORMAT.md, "Keys", has the bytes. */
#include "remote/keys.h"

#include <assert.h>
#include <pthread.h>
#include <sodium.h>
#include <stdalign.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fail.h"
#include "remote/keys_internal.h"

static const char domain[] = "padstone/1";
enum { STACK_OF_HASH = 2048 };

struct ps_keys {
	alignas(16) uint8_t write_root[PS_KEY]; /* zero where only reading is allowed */
	uint8_t read_root[PS_KEY];
	bool can_write;
	char store[PS_STORE_MAX + 1];
};

static pthread_once_t sodium_once = PTHREAD_ONCE_INIT;
static int sodium_result;

static void start_sodium(void)
{
	sodium_result = sodium_init();
}

int ps_sodium_ready(void)
{
	pthread_once(&sodium_once, start_sodium);
	return sodium_result >= 0 ? PS_OK : ps_fail(PS_EIO, "libsodium does not start");
}

void *ps_locked_alloc(size_t size)
{
	void *memory = sodium_malloc(size);

	/* sodium_malloc goes on without the lock where there is none to be had; locking again is harmless,
	 * and tells.
	 */
	if (memory != NULL && sodium_mlock(memory, size) != 0) {
		sodium_free(memory);
		return NULL;
	}
	if (memory != NULL)
		memset(memory, 0, size);
	return memory;
}

static void hash_field(crypto_generichash_state *state, const void *bytes, size_t len)
{
	ps_le32 length = ps_set32((uint32_t)len);

	crypto_generichash_update(state, length.bytes, sizeof(length));
	if (len > 0)
		crypto_generichash_update(state, bytes, len);
}

void ps_key_hash(const uint8_t *key, const char *label, const char *store, const void *fields, size_t len,
                 uint8_t out[PS_KEY])
{
	crypto_generichash_state state;

	crypto_generichash_init(&state, key, key != NULL ? PS_KEY : 0, PS_KEY);
	hash_field(&state, domain, sizeof(domain) - 1);
	hash_field(&state, label, strlen(label));
	hash_field(&state, store, store != NULL ? strlen(store) : 0);
	hash_field(&state, fields, len);
	crypto_generichash_final(&state, out, PS_KEY);
	sodium_memzero(&state, sizeof(state));
	/* The last step leaves a copy of what it gives in its own frame. */
	sodium_stackzero(STACK_OF_HASH);
}

/* NULL, and why, on failure. */
static ps_keys *keys_alloc(const char *store, int *err)
{
	const char *name = store != NULL ? store : "main";
	size_t len = strlen(name);
	ps_keys *keys;

	*err = ps_sodium_ready();
	if (*err != PS_OK)
		return NULL;
	if (len < 1 || len > PS_STORE_MAX) {
		*err = ps_fail(PS_EINVAL, "a store's name has 1 to %d bytes, not %zu", PS_STORE_MAX, len);
		return NULL;
	}
	keys = ps_locked_alloc(sizeof(*keys));
	if (keys == NULL)
		*err = ps_fail(PS_ENOMEM, "no memory for keys could be locked (RLIMIT_MEMLOCK)");
	else
		memcpy(keys->store, name, len + 1);
	return keys;
}

int ps_keys_new(const uint8_t user_key[PS_KEY], const char *store, ps_keys **keys)
{
	int err;
	ps_keys *made = keys_alloc(store, &err);

	if (made == NULL)
		return err;
	ps_key_hash(user_key, "root/write", made->store, NULL, 0, made->write_root);
	ps_key_hash(user_key, "root/read", made->store, NULL, 0, made->read_root);
	made->can_write = true;
	sodium_mprotect_readonly(made);
	*keys = made;
	return PS_OK;
}

int ps_keys_new_read_only(const uint8_t read_root[PS_KEY], const char *store, ps_keys **keys)
{
	int err;
	ps_keys *made = keys_alloc(store, &err);

	if (made == NULL)
		return err;
	memcpy(made->read_root, read_root, PS_KEY);
	sodium_mprotect_readonly(made);
	*keys = made;
	return PS_OK;
}

void ps_keys_free(ps_keys *keys)
{
	sodium_free(keys); /* makes it writable, wipes, unlocks */
}

bool ps_keys_can_write(const ps_keys *keys)
{
	return keys->can_write;
}

const char *ps_keys_store(const ps_keys *keys)
{
	return keys->store;
}

void ps_keys_read_root(const ps_keys *keys, uint8_t read_root[PS_KEY])
{
	memcpy(read_root, keys->read_root, PS_KEY);
}

/* A subkey for the label, then the fields under it: a caller's label never meets one of those below. */
static void derive(const uint8_t root[PS_KEY], const char *store, const char *label, const void *fields,
                   size_t len, uint8_t out[PS_KEY])
{
	uint8_t key[PS_KEY];

	ps_key_hash(root, "use", store, label, strlen(label), key);
	ps_key_hash(key, label, store, fields, len, out);
	sodium_memzero(key, sizeof(key));
}

void ps_keys_derive(const ps_keys *keys, const char *label, const void *fields, size_t len,
                    uint8_t out[PS_KEY])
{
	derive(keys->read_root, keys->store, label, fields, len, out);
}

void ps_keys_derive_writing(const ps_keys *keys, const char *label, const void *fields, size_t len,
                            uint8_t out[PS_KEY])
{
	assert(keys->can_write);
	derive(keys->write_root, keys->store, label, fields, len, out);
}

void ps_keys_content_key(const ps_keys *keys, const struct ps_serial *serial, uint32_t generation,
                         uint8_t content_key[PS_KEY])
{
	struct {
		uint8_t serial[PS_SERIAL];
		ps_le32 generation;
	} fields = {.generation = ps_set32(generation)};

	memcpy(fields.serial, serial->bytes, PS_SERIAL);
	ps_key_hash(keys->read_root, "pad/content", keys->store, &fields, sizeof(fields), content_key);
}

void ps_keys_head_serial(const ps_keys *keys, struct ps_serial *serial)
{
	uint8_t hash[PS_KEY];

	ps_key_hash(keys->read_root, "head/serial", keys->store, NULL, 0, hash);
	memcpy(serial->bytes, hash, PS_SERIAL);
}

int ps_keys_sign_pair(const ps_keys *keys, const struct ps_serial *serial, uint8_t public_key[32],
                      uint8_t secret_key[PS_SECRET_KEY])
{
	uint8_t seed[PS_KEY];

	if (!keys->can_write)
		return ps_fail(PS_EREADONLY, "this key only reads: it signs no pads");
	ps_key_hash(keys->write_root, "pad/sign", keys->store, serial->bytes, PS_SERIAL, seed);
	crypto_sign_seed_keypair(public_key, secret_key, seed);
	sodium_memzero(seed, sizeof(seed));
	return PS_OK;
}

int ps_keys_public_key(const ps_keys *keys, const struct ps_serial *serial, uint8_t public_key[32])
{
	uint8_t secret_key[PS_SECRET_KEY];
	int err = ps_keys_sign_pair(keys, serial, public_key, secret_key);

	sodium_memzero(secret_key, sizeof(secret_key));
	return err;
}

void ps_serial_new(struct ps_serial *serial)
{
	randombytes_buf(serial->bytes, PS_SERIAL);
}
