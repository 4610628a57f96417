/* Not a test: put and get of a large value on a real engine, beside bare clients of it that seal and open the
 * same bytes with bare libsodium calls (XChaCha20-Poly1305 and BLAKE2b a segment of 64 KiB, one Ed25519
 * signature a record) and have as many requests in flight: librados itself for rados:, libcurl with
 * libcrypto's SHA-256 for s3:. In turns, in one run; what counts is the ratio. usage: on_engine rados|s3
 * engine_figures [MIB [ROUNDS]] */
#include <curl/curl.h>
#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "remote/rados_library.h"
#include "remote/s3_credentials.h"
#include "remote/s3_sign.h"
#include "tests/remote/blobs/blobs_fixture.h"

enum {
	PAD = 2 << 20,
	SEGMENT = 64 << 10,
	WORKERS = 2,
	DEPTH = 10,
	LANES = WORKERS * DEPTH,
	SEGMENTS = PAD / SEGMENT,
	SEALED = SEGMENT + crypto_aead_xchacha20poly1305_ietf_ABYTES,
	HEADER = SEGMENTS * 32 + crypto_sign_BYTES,
	RECORD = HEADER + SEGMENTS * SEALED,
	MOST_ROUNDS = 15,
	URL_TEXT = 512,
};

struct lane {
	pthread_t thread;
	unsigned number;
	uint8_t *record;
	CURL *curl;
	size_t received;
};

static struct {
	bool rados, writes;
	size_t bytes;
	uint8_t *value, *back;
	atomic_uint next;
	struct lane lanes[LANES];
	uint8_t key[crypto_aead_xchacha20poly1305_ietf_KEYBYTES], public_key[crypto_sign_PUBLICKEYBYTES],
	    secret_key[crypto_sign_SECRETKEYBYTES];
	/* rados */
	const struct rados_calls *calls;
	rados_t cluster;
	rados_ioctx_t io;
	/* s3 */
	char endpoint[URL_TEXT];
	struct ps_memory memory;
	struct s3_credentials *credentials;
} bare;

static void check(bool right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "engine_figures: %s: %s\n", what, ps_last_error_message());
	exit(EXIT_FAILURE);
}

static double now_s(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- sealing ---- */

static void nonce_of(unsigned number, unsigned segment, uint8_t nonce[24])
{
	memset(nonce, 0, 24);
	memcpy(nonce, &number, sizeof(number));
	memcpy(nonce + 8, &segment, sizeof(segment));
}

static void seal(struct lane *lane, unsigned number)
{
	const uint8_t *plain = bare.value + (size_t)number * PAD;
	uint8_t nonce[24], *at = lane->record + HEADER;
	for (unsigned i = 0; i < SEGMENTS; i++, at += SEALED) {
		nonce_of(number, i, nonce);
		crypto_aead_xchacha20poly1305_ietf_encrypt(at, NULL, plain + (size_t)i * SEGMENT, SEGMENT,
		                                           NULL, 0, NULL, nonce, bare.key);
		crypto_generichash(lane->record + (size_t)i * 32, 32, at, SEALED, NULL, 0);
	}
	crypto_sign_detached(lane->record + (size_t)SEGMENTS * 32, NULL, lane->record, SEGMENTS * 32,
	                     bare.secret_key);
}

static void open_record(struct lane *lane, unsigned number)
{
	uint8_t nonce[24], hash[32], *at = lane->record + HEADER, *plain = bare.back + (size_t)number * PAD;
	check(crypto_sign_verify_detached(lane->record + (size_t)SEGMENTS * 32, lane->record, SEGMENTS * 32,
	                                  bare.public_key) == 0,
	      "a bare signature");
	for (unsigned i = 0; i < SEGMENTS; i++, at += SEALED) {
		nonce_of(number, i, nonce);
		crypto_generichash(hash, 32, at, SEALED, NULL, 0);
		check(memcmp(hash, lane->record + (size_t)i * 32, 32) == 0, "a bare hash");
		check(crypto_aead_xchacha20poly1305_ietf_decrypt(plain + (size_t)i * SEGMENT, NULL, NULL, at,
		                                                 SEALED, NULL, 0, nonce, bare.key) == 0,
		      "a bare segment");
	}
}

/* ---- librados ---- */

static void rados_request(struct lane *lane, unsigned number)
{
	const struct rados_calls *c = bare.calls;
	rados_completion_t completion;
	rados_write_op_t write = c->rados_create_write_op();
	rados_read_op_t read = c->rados_create_read_op();
	char name[32];
	size_t received = 0;
	int result = 0;
	snprintf(name, sizeof(name), "bare-%u", number);
	check(c->rados_aio_create_completion2(NULL, NULL, &completion) == 0, "a completion");
	if (bare.writes) {
		c->rados_write_op_write_full(write, (char *)lane->record, RECORD);
		check(c->rados_aio_write_op_operate(write, bare.io, completion, name, NULL, 0) == 0,
		      "a bare write");
	} else {
		c->rados_read_op_read(read, 0, RECORD, (char *)lane->record, &received, &result);
		check(c->rados_aio_read_op_operate(read, bare.io, completion, name, 0) == 0, "a bare read");
	}
	c->rados_aio_wait_for_complete(completion);
	check(c->rados_aio_get_return_value(completion) == 0, "a bare answer");
	check(bare.writes || received == RECORD, "a bare record's size");
	c->rados_aio_release(completion);
	c->rados_release_write_op(write);
	c->rados_release_read_op(read);
}

static void open_rados(const char *url)
{
	const char *conf = strstr(url, "conf=");
	const struct rados_calls *c = NULL;
	check(conf && ps_rados_library(&c) == PS_OK, "librados");
	bare.calls = c;
	check(c->rados_create2(&bare.cluster, "ceph", "client.admin", 0) == 0 &&
	          c->rados_conf_read_file(bare.cluster, conf + strlen("conf=")) == 0 &&
	          c->rados_connect(bare.cluster) == 0 &&
	          c->rados_ioctx_create(bare.cluster, "pads", &bare.io) == 0,
	      "a bare connection");
	c->rados_ioctx_set_namespace(bare.io, "bare");
}

/* ---- libcurl ---- */

static size_t take_bytes(char *bytes, size_t size, size_t count, void *arg)
{
	struct lane *lane = arg;
	size_t len = size * count;
	if (bare.writes || lane->received + len > RECORD)
		return bare.writes ? len : 0;
	memcpy(lane->record + lane->received, bytes, len);
	lane->received += len;
	return len;
}

static void add_header(struct curl_slist **list, const char *name, const char *value)
{
	char line[S3_AUTHORIZATION_MAX + 64];
	snprintf(line, sizeof(line), "%s:%s%s", name, *value ? " " : "", value);
	*list = curl_slist_append(*list, line);
}

static struct curl_slist *sign_request(const struct lane *lane, const char *path)
{
	char date[S3_DATE], hex[S3_SHA256_HEX], authorization[S3_AUTHORIZATION_MAX];
	uint8_t hash[S3_SHA256];
	struct s3_signing_key key = {0};
	struct curl_slist *list = NULL;
	ps_s3_date(time(NULL), date);
	ps_s3_sha256(lane->record, bare.writes ? RECORD : 0, hash);
	ps_s3_hex(hash, sizeof(hash), hex);
	const struct s3_header headers[] = {
	    {"host", strstr(bare.endpoint, "//") + 2}, {"x-amz-content-sha256", hex}, {"x-amz-date", date}};
	const struct s3_signed request = {.method = bare.writes ? "PUT" : "GET",
	                                  .path = path,
	                                  .query = "",
	                                  .headers = headers,
	                                  .header_count = 3,
	                                  .payload = hex,
	                                  .date = date,
	                                  .region = "us-east-1",
	                                  .service = "s3"};
	ps_s3_sign(bare.credentials, &request, &key, authorization);
	add_header(&list, "x-amz-content-sha256", hex);
	add_header(&list, "x-amz-date", date);
	add_header(&list, "Authorization", authorization);
	add_header(&list, "Expect", "");
	add_header(&list, "Content-Type", "");
	return list;
}

static void s3_request(struct lane *lane, unsigned number)
{
	char path[64], url[URL_TEXT + 64];
	long status = 0;
	snprintf(path, sizeof(path), "/padstone-tests/bare/%u", number);
	snprintf(url, sizeof(url), "%s%s", bare.endpoint, path);
	struct curl_slist *list = sign_request(lane, path);
	curl_easy_reset(lane->curl); /* the connection stays */
	lane->received = 0;
	curl_easy_setopt(lane->curl, CURLOPT_URL, url);
	curl_easy_setopt(lane->curl, CURLOPT_HTTPHEADER, list);
	curl_easy_setopt(lane->curl, CURLOPT_WRITEFUNCTION, take_bytes);
	curl_easy_setopt(lane->curl, CURLOPT_WRITEDATA, lane);
	curl_easy_setopt(lane->curl, CURLOPT_BUFFERSIZE, 512L << 10);
	if (bare.writes) {
		curl_easy_setopt(lane->curl, CURLOPT_CUSTOMREQUEST, "PUT");
		curl_easy_setopt(lane->curl, CURLOPT_POSTFIELDSIZE, (long)RECORD);
		curl_easy_setopt(lane->curl, CURLOPT_POSTFIELDS, lane->record);
	}
	CURLcode result = curl_easy_perform(lane->curl);
	curl_easy_getinfo(lane->curl, CURLINFO_RESPONSE_CODE, &status);
	check(result == CURLE_OK && status == 200, curl_easy_strerror(result));
	check(bare.writes || lane->received == RECORD, "a bare record's size");
	curl_slist_free_all(list);
}

static void open_s3(const char *url)
{
	const char *endpoint = strstr(url, "endpoint=");
	check(endpoint != NULL, "an endpoint");
	snprintf(bare.endpoint, sizeof(bare.endpoint), "%s", endpoint + strlen("endpoint="));
	ps_memory_init(&bare.memory, NULL);
	check(ps_s3_credentials_find(&bare.memory, "", &bare.credentials) == PS_OK, "credentials");
	curl_global_init(CURL_GLOBAL_DEFAULT);
	for (unsigned i = 0; i < LANES; i++)
		check((bare.lanes[i].curl = curl_easy_init()) != NULL, "a handle");
}

/* ---- turns ---- */

static void *run_lane(void *arg)
{
	struct lane *lane = arg;
	void (*request)(struct lane *, unsigned) = bare.rados ? rados_request : s3_request;
	for (;;) {
		unsigned number = atomic_fetch_add(&bare.next, 1);
		if ((size_t)number * PAD >= bare.bytes)
			return NULL;
		if (bare.writes)
			seal(lane, number);
		request(lane, number);
		if (!bare.writes)
			open_record(lane, number);
	}
}

static double run_bare(bool writes)
{
	bare.writes = writes;
	atomic_store(&bare.next, 0);
	double from = now_s();
	for (unsigned i = 0; i < LANES; i++)
		check(pthread_create(&bare.lanes[i].thread, NULL, run_lane, &bare.lanes[i]) == 0, "a thread");
	for (unsigned i = 0; i < LANES; i++)
		check(pthread_join(bare.lanes[i].thread, NULL) == 0, "a thread's end");
	return now_s() - from;
}

static double run_ours(struct blobs *b, bool writes)
{
	size_t len = 0;
	double from = now_s();
	if (writes)
		check(ps_remote_put(b->r, "value", bare.value, bare.bytes, NULL) == PS_OK, "put");
	else
		check(ps_remote_get(b->r, "value", bare.back, bare.bytes, &len, NULL) == PS_OK &&
		          len == bare.bytes,
		      "get");
	double took = now_s() - from;
	check(writes || memcmp(bare.back, bare.value, len) == 0, "what was got");
	return took;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void say(const char *what, const double *ours, const double *raw, unsigned rounds)
{
	double ratios[MOST_ROUNDS], mib = (double)bare.bytes / (1 << 20), best = ours[0], best_raw = raw[0];
	double load[1] = {0};
	for (unsigned i = 0; i < rounds; i++) {
		ratios[i] = raw[i] / ours[i];
		best = ours[i] < best ? ours[i] : best;
		best_raw = raw[i] < best_raw ? raw[i] : best_raw;
	}
	qsort(ratios, rounds, sizeof(*ratios), compare_doubles);
	(void)getloadavg(load, 1);
	printf(
	    "%s, %s of %.0f MiB: %.0f MiB/s at best, the bare client %.0f; ratio %.2f (%.2f to %.2f); load "
	    "average %.1f\n",
	    bare.rados ? "rados" : "s3", what, mib, mib / best, mib / best_raw, ratios[rounds / 2], ratios[0],
	    ratios[rounds - 1], load[0]);
}

static void measure(void **state)
{
	const unsigned *rounds = *state;
	double ours[2][MOST_ROUNDS], raw[2][MOST_ROUNDS];
	struct blobs *b = blobs_new(BLOBS_ENGINE);
	blobs_close(b);
	b->options.mode = PS_REMOTE_MEDIUM;
	b->options.workers = WORKERS;
	b->options.depth = DEPTH;
	assert_ok(blobs_start(b, false));
	for (unsigned i = 0; i < *rounds; i++)
		for (unsigned reads = 0; reads < 2; reads++) {
			if (i % 2)
				ours[reads][i] = run_ours(b, !reads);
			raw[reads][i] = run_bare(!reads);
			if (i % 2 == 0)
				ours[reads][i] = run_ours(b, !reads);
			/* Its pads are free, and taken again. */
			if (reads)
				assert_ok(ps_remote_remove(b->r, "value"));
		}
	say("put", ours[0], raw[0], *rounds);
	say("get", ours[1], raw[1], *rounds);
	blobs_free(b);
}

int main(int argc, char **argv)
{
	const char *url = getenv("PS_TEST_NETWORK");
	unsigned rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 3;
	const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(measure, &rounds)};
	check(url && rounds >= 1 && rounds <= MOST_ROUNDS && sodium_init() >= 0,
	      "PS_TEST_NETWORK and 1 to 15 rounds are needed");
	bare.bytes = (argc > 1 ? strtoul(argv[1], NULL, 10) : 256) << 20;
	bare.rados = strncmp(url, "rados:", 6) == 0;
	bare.value = malloc(bare.bytes);
	bare.back = malloc(bare.bytes);
	check(bare.value && bare.back, "memory");
	blobs_fill(bare.value, bare.bytes, 1);
	memset(bare.back, 0, bare.bytes);
	randombytes_buf(bare.key, sizeof(bare.key));
	crypto_sign_keypair(bare.public_key, bare.secret_key);
	for (unsigned i = 0; i < LANES; i++)
		check((bare.lanes[i].record = malloc(RECORD)) != NULL, "memory");
	(bare.rados ? open_rados : open_s3)(url);
	return cmocka_run_group_tests_name(bare.rados ? "rados" : "s3", tests, NULL, NULL);
}
