/* The canonical request is hashed as it is written, so it needs no buffer. SHA-256 is libcrypto's where it is
 * there: it uses the processor's own instructions, libsodium's does not and takes five times as long. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "remote/s3_sign.h"

#ifdef PS_HAVE_LIBCRYPTO
#include <openssl/evp.h>
#else
#include <sodium.h>
#endif

enum { HMAC_BLOCK = 64 };

/* ---- SHA-256 ---- */

#ifdef PS_HAVE_LIBCRYPTO
struct hasher {
	EVP_MD_CTX *context;
	bool failed;
};

static void hash_begin(struct hasher *h)
{
	h->context = EVP_MD_CTX_new();
	h->failed = !h->context || EVP_DigestInit_ex(h->context, EVP_sha256(), NULL) != 1;
}

static void hash_add(struct hasher *h, const void *data, size_t len)
{
	h->failed = h->failed || EVP_DigestUpdate(h->context, data, len) != 1;
}

/* Without memory for its context the hash is zero: the endpoint refuses what is signed so. */
static void hash_end(struct hasher *h, uint8_t hash[S3_SHA256])
{
	unsigned len = 0;
	if (h->failed || EVP_DigestFinal_ex(h->context, hash, &len) != 1)
		memset(hash, 0, S3_SHA256);
	EVP_MD_CTX_free(h->context);
}
#else
struct hasher {
	crypto_hash_sha256_state state;
};

static void hash_begin(struct hasher *h)
{
	crypto_hash_sha256_init(&h->state);
}

static void hash_add(struct hasher *h, const void *data, size_t len)
{
	crypto_hash_sha256_update(&h->state, data, len);
}

static void hash_end(struct hasher *h, uint8_t hash[S3_SHA256])
{
	crypto_hash_sha256_final(&h->state, hash);
	explicit_bzero(h, sizeof(*h));
}
#endif

static void hash_text(struct hasher *h, const char *text)
{
	hash_add(h, text, strlen(text));
}

void ps_s3_sha256(const void *data, size_t len, uint8_t hash[S3_SHA256])
{
	struct hasher h;
	hash_begin(&h);
	hash_add(&h, data, len);
	hash_end(&h, hash);
}

void ps_s3_hex(const uint8_t *bytes, size_t n, char *hex)
{
	static const char digits[] = "0123456789abcdef";
	for (size_t i = 0; i < n; i++) {
		hex[2 * i] = digits[bytes[i] >> 4];
		hex[2 * i + 1] = digits[bytes[i] & 15];
	}
	hex[2 * n] = '\0';
}

/* RFC 2104. `out` may be `key`. */
static void hmac(const uint8_t *key, size_t key_len, const char *text, uint8_t out[S3_SHA256])
{
	uint8_t block[HMAC_BLOCK] = {0}, pad[HMAC_BLOCK], inner[S3_SHA256];
	struct hasher h;
	if (key_len > HMAC_BLOCK)
		ps_s3_sha256(key, key_len, block);
	else
		memcpy(block, key, key_len);
	for (size_t i = 0; i < HMAC_BLOCK; i++)
		pad[i] = block[i] ^ 0x36;
	hash_begin(&h);
	hash_add(&h, pad, sizeof(pad));
	hash_text(&h, text);
	hash_end(&h, inner);
	for (size_t i = 0; i < HMAC_BLOCK; i++)
		pad[i] = block[i] ^ 0x5c;
	hash_begin(&h);
	hash_add(&h, pad, sizeof(pad));
	hash_add(&h, inner, sizeof(inner));
	hash_end(&h, out);
	explicit_bzero(block, sizeof(block));
	explicit_bzero(pad, sizeof(pad));
	explicit_bzero(inner, sizeof(inner));
}

/* ---- the signature ---- */

void ps_s3_date(int64_t seconds, char date[S3_DATE])
{
	time_t t = (time_t)seconds;
	struct tm tm;
	if (!gmtime_r(&t, &tm) || strftime(date, S3_DATE, "%Y%m%dT%H%M%SZ", &tm) == 0)
		memcpy(date, "19700101T000000Z", S3_DATE);
}

void ps_s3_day_key(const struct s3_credentials *credentials, const struct s3_signed *s,
                   struct s3_signing_key *key)
{
	char secret[4 + S3_SECRET_MAX + 1], day[9];
	snprintf(day, sizeof(day), "%.8s", s->date);
	if (strcmp(key->day, day) == 0)
		return;
	int len = snprintf(secret, sizeof(secret), "AWS4%s", credentials->secret);
	hmac((const uint8_t *)secret, (size_t)len, day, key->key);
	hmac(key->key, S3_SHA256, s->region, key->key);
	hmac(key->key, S3_SHA256, s->service, key->key);
	hmac(key->key, S3_SHA256, "aws4_request", key->key);
	memcpy(key->day, day, sizeof(day));
	explicit_bzero(secret, sizeof(secret));
}

static void hash_names(struct hasher *h, const struct s3_signed *s)
{
	for (size_t i = 0; i < s->header_count; i++) {
		hash_text(h, i ? ";" : "");
		hash_text(h, s->headers[i].name);
	}
}

static void hash_request(const struct s3_signed *s, char hex[S3_SHA256_HEX])
{
	uint8_t hash[S3_SHA256];
	struct hasher h;
	hash_begin(&h);
	hash_text(&h, s->method);
	hash_text(&h, "\n");
	hash_text(&h, s->path);
	hash_text(&h, "\n");
	hash_text(&h, s->query);
	hash_text(&h, "\n");
	for (size_t i = 0; i < s->header_count; i++) {
		hash_text(&h, s->headers[i].name);
		hash_text(&h, ":");
		hash_text(&h, s->headers[i].value);
		hash_text(&h, "\n");
	}
	hash_text(&h, "\n");
	hash_names(&h, s);
	hash_text(&h, "\n");
	hash_text(&h, s->payload);
	hash_end(&h, hash);
	ps_s3_hex(hash, sizeof(hash), hex);
}

static size_t append(char *to, size_t capacity, size_t at, const char *text)
{
	int len = snprintf(to + at, capacity - at, "%s", text);
	size_t end = at + (size_t)len;
	return end < capacity ? end : capacity - 1;
}

void ps_s3_sign(const struct s3_credentials *credentials, const struct s3_signed *s,
                struct s3_signing_key *key, char authorization[S3_AUTHORIZATION_MAX])
{
	char request[S3_SHA256_HEX], scope[128], text[256], signature[S3_SHA256_HEX];
	uint8_t mac[S3_SHA256];
	size_t at = 0;
	hash_request(s, request);
	snprintf(scope, sizeof(scope), "%.8s/%s/%s/aws4_request", s->date, s->region, s->service);
	snprintf(text, sizeof(text), "AWS4-HMAC-SHA256\n%s\n%s\n%s", s->date, scope, request);
	ps_s3_day_key(credentials, s, key);
	hmac(key->key, S3_SHA256, text, mac);
	ps_s3_hex(mac, sizeof(mac), signature);
	const char *parts[] = {"AWS4-HMAC-SHA256 Credential=", credentials->access_key, "/", scope,
	                       ", SignedHeaders="};
	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		at = append(authorization, S3_AUTHORIZATION_MAX, at, parts[i]);
	for (size_t i = 0; i < s->header_count; i++) {
		at = append(authorization, S3_AUTHORIZATION_MAX, at, i ? ";" : "");
		at = append(authorization, S3_AUTHORIZATION_MAX, at, s->headers[i].name);
	}
	at = append(authorization, S3_AUTHORIZATION_MAX, at, ", Signature=");
	append(authorization, S3_AUTHORIZATION_MAX, at, signature);
}
