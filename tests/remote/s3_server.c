#include "tests/remote/s3_server.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "remote/s3_sign.h"

#define ACCESS_KEY "TESTACCESSKEY0000000"
#define SECRET "test/secret+of+the+scripted+server000000"

enum { TEXT = 128, SKEW_S = 900, RIVALS_WAIT_S = 60, PAGE_MAX = 1000 };

struct version {
	uint8_t *bytes;
	size_t len;
	char etag[TEXT], counter[TEXT], hash[TEXT];
};

struct object {
	char key[HTTP_PATH];
	struct version now, before;
	bool there, was_there;
};

struct late {
	struct late *next;
	struct http_request request;
};

struct s3_server {
	struct http_server *http;
	bool tls;
	pthread_mutex_t lock;
	pthread_cond_t checked_one;
	unsigned flaws, checking;
	struct s3_fault fault;
	struct object **objects; /* sorted by key */
	size_t count, capacity;
	struct late *late;
	int seconds_ahead;
	unsigned applied, badly_signed, requests[6];
};

/* ---- objects ---- */

static size_t place_of(const struct s3_server *s, const char *key)
{
	size_t low = 0, high = s->count;
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (strcmp(s->objects[middle]->key, key) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct object *find(const struct s3_server *s, const char *key)
{
	size_t at = place_of(s, key);
	return at < s->count && strcmp(s->objects[at]->key, key) == 0 ? s->objects[at] : NULL;
}

static struct object *find_or_make(struct s3_server *s, const char *key)
{
	struct object *o = find(s, key);
	if (o)
		return o;
	if (s->count == s->capacity) {
		s->capacity = s->capacity ? 2 * s->capacity : 64;
		s->objects = realloc(s->objects, s->capacity * sizeof(*s->objects));
	}
	size_t at = place_of(s, key);
	memmove(s->objects + at + 1, s->objects + at, (s->count++ - at) * sizeof(*s->objects));
	o = s->objects[at] = calloc(1, sizeof(*o));
	snprintf(o->key, sizeof(o->key), "%s", key);
	return o;
}

static void store(struct s3_server *s, const struct http_request *r)
{
	struct object *o = find_or_make(s, r->path);
	uint8_t hash[S3_SHA256];
	free(o->before.bytes);
	o->before = o->now;
	o->was_there = o->there;
	o->now = (struct version){.bytes = malloc(r->body_len + 1), .len = r->body_len};
	memcpy(o->now.bytes, r->body, r->body_len);
	ps_s3_sha256(r->body, r->body_len, hash);
	o->now.etag[0] = '"';
	ps_s3_hex(hash, 16, o->now.etag + 1);
	strcat(o->now.etag, "\"");
	if (!(s->flaws & S3_DROPS_METADATA)) {
		http_header(r, "x-amz-meta-counter", o->now.counter, TEXT);
		http_header(r, "x-amz-meta-hash", o->now.hash, TEXT);
	}
	o->there = true;
	s->applied++;
}

static void take_away(struct s3_server *s, struct object *o)
{
	o->was_there = o->there;
	free(o->before.bytes);
	o->before = o->now;
	o->now = (struct version){0};
	o->there = false;
	s->applied++;
}

/* ---- answers ---- */

static void answer(struct http_reply *reply, int status, const char *code)
{
	char *text = NULL;
	reply->status = status;
	reply->headers[0] = '\0';
	free(reply->body);
	reply->body = NULL;
	reply->body_len = 0;
	if (code) {
		reply->body_len =
		    (size_t)asprintf(&text,
		                     "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>said by "
		                     "the script</Message></Error>",
		                     code);
		reply->body = (uint8_t *)text;
		http_add_header(reply, "Content-Type: application/xml");
	}
}

static void add_date(const struct s3_server *s, struct http_reply *reply)
{
	char date[64];
	time_t now = time(NULL) + s->seconds_ahead;
	struct tm tm;
	gmtime_r(&now, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	http_add_header(reply, "Date: %s", date);
}

static void answer_version(struct http_reply *reply, const struct version *v)
{
	answer(reply, 200, NULL);
	http_add_header(reply, "ETag: %s", v->etag);
	if (v->counter[0])
		http_add_header(reply, "x-amz-meta-counter: %s", v->counter);
	if (v->hash[0])
		http_add_header(reply, "X-Amz-Meta-Hash: %s", v->hash);
	reply->body = malloc(v->len + 1);
	memcpy(reply->body, v->bytes, v->len);
	reply->body_len = v->len;
}

/* ---- conditions ---- */

static bool same_tag(const struct s3_server *s, const char *wanted, const char *etag)
{
	char bare[TEXT];
	snprintf(bare, sizeof(bare), "%.*s", (int)strlen(etag) - 2, etag + 1);
	if (s->flaws & S3_REFUSES_IF_MATCH)
		return false;
	if (s->flaws & S3_WANTS_BARE_TAGS)
		return strcmp(wanted, bare) == 0;
	return strcmp(wanted, etag) == 0;
}

/* 0, or the status of a refusal. */
static int check(const struct s3_server *s, const struct http_request *r, bool deletes)
{
	const struct object *o = find(s, r->path);
	char value[TEXT];
	bool there = o && o->there;
	if (http_header(r, "if-none-match", value, sizeof(value)) && strcmp(value, "*") == 0 && there &&
	    !(s->flaws & S3_IGNORES_IF_NONE_MATCH))
		return 412;
	if (!http_header(r, "if-match", value, sizeof(value)) || s->flaws & S3_IGNORES_IF_MATCH ||
	    (deletes && s->flaws & S3_IGNORES_DELETE_MATCH))
		return 0;
	if (!there)
		return s->flaws & S3_MATCHES_NOTHING ? 0 : 404;
	return same_tag(s, value, o->now.etag) ? 0 : 412;
}

/* One acts when another has checked as well, however long it takes to come: both win. */
static void dawdle(struct s3_server *s)
{
	struct timespec until;
	int err = 0;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += RIVALS_WAIT_S;
	unsigned mine = ++s->checking;
	pthread_cond_broadcast(&s->checked_one);
	while (mine % 2 == 1 && s->checking == mine && err == 0)
		err = pthread_cond_timedwait(&s->checked_one, &s->lock, &until);
}

/* ---- requests ---- */

static void put(struct s3_server *s, const struct http_request *r, struct http_reply *reply)
{
	int refusal = check(s, r, false);
	if (!refusal && s->flaws & S3_CHECKS_THEN_ACTS)
		dawdle(s);
	if (refusal) {
		answer(reply, refusal, refusal == 404 ? "NoSuchKey" : "PreconditionFailed");
		return;
	}
	store(s, r);
	answer(reply, 200, NULL);
	http_add_header(reply, "ETag: %s", find(s, r->path)->now.etag);
}

static void delete_object(struct s3_server *s, const struct http_request *r, struct http_reply *reply)
{
	struct object *o = find(s, r->path);
	int refusal = check(s, r, true);
	answer(reply, refusal ? refusal : 204, refusal ? "PreconditionFailed" : NULL);
	if (!refusal && o && o->there)
		take_away(s, o);
}

static void cut_range(const struct s3_server *s, const struct http_request *r, struct http_reply *reply)
{
	char range[TEXT];
	unsigned long long first, last;
	if (!http_header(r, "range", range, sizeof(range)) || s->flaws & S3_IGNORES_RANGES ||
	    sscanf(range, "bytes=%llu-%llu", &first, &last) != 2)
		return;
	size_t whole = reply->body_len;
	if (first >= whole) {
		answer(reply, 416, "InvalidRange");
		return;
	}
	last = last < whole - 1 ? last : whole - 1;
	memmove(reply->body, reply->body + first, last - first + 1);
	reply->body_len = last - first + 1;
	reply->status = 206;
	http_add_header(reply, "Content-Range: bytes %llu-%llu/%zu", first, last, whole);
}

static void get(struct s3_server *s, const struct http_request *r, struct http_reply *reply, bool stale)
{
	const struct object *o = find(s, r->path);
	bool there = o && (stale ? o->was_there : o->there);
	if (!there) {
		answer(reply, 404, "NoSuchKey");
	} else {
		answer_version(reply, stale ? &o->before : &o->now);
		cut_range(s, r, reply);
	}
	reply->head_only = strcmp(r->method, "HEAD") == 0;
}

/* ---- listings ---- */

static void parameter(const char *query, const char *name, char *value, size_t capacity)
{
	size_t len = strlen(name), n = 0;
	value[0] = '\0';
	while (query && *query && (strncmp(query, name, len) != 0 || query[len] != '=')) {
		query = strchr(query, '&');
		query = query ? query + 1 : NULL;
	}
	if (!query || !*query)
		return;
	for (query += len + 1; *query && *query != '&' && n + 1 < capacity; query++) {
		unsigned c = (unsigned char)*query;
		if (c == '%' && sscanf(query + 1, "%2x", &c) == 1)
			query += 2;
		value[n++] = (char)c;
	}
	value[n] = '\0';
}

static void list(struct s3_server *s, const struct http_request *r, struct http_reply *reply, bool stale)
{
	char prefix[HTTP_PATH], after[HTTP_PATH], keys[TEXT], *text = NULL;
	size_t len = 0, bucket = strlen(r->path) + 1, n = 0;
	parameter(r->query, "prefix", prefix, sizeof(prefix));
	parameter(r->query, "start-after", after, sizeof(after));
	parameter(r->query, "max-keys", keys, sizeof(keys));
	size_t most = strtoul(keys, NULL, 10);
	most = most < PAGE_MAX ? most : PAGE_MAX;
	FILE *out = open_memstream(&text, &len);
	fprintf(out, "<?xml version=\"1.0\"?><ListBucketResult>");
	bool truncated = s->flaws & S3_STANDS_STILL;
	for (size_t i = 0; i < s->count; i++) {
		const struct object *o = s->objects[i];
		const struct version *v = stale ? &o->before : &o->now;
		const char *key = o->key + bucket;
		if (!(stale ? o->was_there : o->there) || strlen(o->key) <= bucket ||
		    strncmp(key, prefix, strlen(prefix)) != 0 ||
		    (strcmp(key, after) <= 0 && !(s->flaws & S3_STANDS_STILL)))
			continue;
		if (n == most) {
			truncated = true;
			break;
		}
		fprintf(out, "<Contents><Key>%s</Key><Size>%zu</Size></Contents>", key, v->len);
		n++;
	}
	fprintf(out, "<IsTruncated>%s</IsTruncated></ListBucketResult>", truncated ? "true" : "false");
	fclose(out);
	answer(reply, 200, NULL);
	reply->body = (uint8_t *)text;
	reply->body_len = len;
}

/* ---- signatures ---- */

static bool is_signed(const struct http_request *r)
{
	static const struct s3_credentials credentials = {.access_key = ACCESS_KEY, .secret = SECRET};
	struct s3_signing_key key = {0};
	struct s3_header headers[S3_HEADERS_MAX];
	char claimed[1024], names[512], values[S3_HEADERS_MAX][512], date[64], payload[128],
	    hex[S3_SHA256_HEX];
	char right[S3_AUTHORIZATION_MAX], *save = NULL;
	uint8_t hash[S3_SHA256];
	struct s3_signed s = {.method = r->method,
	                      .path = r->path,
	                      .query = r->query,
	                      .headers = headers,
	                      .payload = payload,
	                      .date = date,
	                      .region = "us-east-1",
	                      .service = "s3"};
	if (!http_header(r, "authorization", claimed, sizeof(claimed)) ||
	    !http_header(r, "x-amz-date", date, sizeof(date)) ||
	    !http_header(r, "x-amz-content-sha256", payload, sizeof(payload)) ||
	    sscanf(claimed, "AWS4-HMAC-SHA256 Credential=%*[^,], SignedHeaders=%511[^,]", names) != 1)
		return false;
	for (char *name = strtok_r(names, ";", &save); name; name = strtok_r(NULL, ";", &save)) {
		char *value = values[s.header_count];
		if (s.header_count == S3_HEADERS_MAX || !http_header(r, name, value, sizeof(values[0])))
			return false;
		headers[s.header_count++] = (struct s3_header){name, value};
	}
	ps_s3_sha256(r->body, r->body_len, hash);
	ps_s3_hex(hash, sizeof(hash), hex);
	ps_s3_sign(&credentials, &s, &key, right);
	return strcmp(claimed, right) == 0 && strcmp(hex, payload) == 0;
}

static bool is_skewed(const struct s3_server *s, const struct http_request *r)
{
	char date[64];
	struct tm tm = {0};
	if (!http_header(r, "x-amz-date", date, sizeof(date)) || !strptime(date, "%Y%m%dT%H%M%SZ", &tm))
		return true;
	double apart = difftime(time(NULL) + s->seconds_ahead, timegm(&tm));
	return apart > SKEW_S || apart < -SKEW_S;
}

/* ---- dispatch ---- */

static unsigned verb_of(const struct http_request *r)
{
	char value[TEXT];
	if (strcmp(r->method, "HEAD") == 0)
		return S3_VERB_HEAD;
	if (strcmp(r->method, "DELETE") == 0)
		return S3_VERB_DELETE;
	if (strcmp(r->method, "PUT") == 0)
		return http_header(r, "if-none-match", value, sizeof(value)) ? S3_VERB_CREATE
		                                                             : S3_VERB_REPLACE;
	return strstr(r->query, "list-type=2") ? S3_VERB_LIST : S3_VERB_GET;
}

static void carry_out(struct s3_server *s, const struct http_request *r, struct http_reply *reply, bool stale)
{
	bool of_bucket = strchr(r->path + 1, '/') == NULL;
	if (strcmp(r->method, "PUT") == 0 && of_bucket) {
		s->flaws &= ~(unsigned)S3_NO_BUCKET;
		answer(reply, 200, NULL);
	} else if (s->flaws & S3_NO_BUCKET) {
		answer(reply, 404, "NoSuchBucket");
	} else if (strcmp(r->method, "PUT") == 0) {
		put(s, r, reply);
	} else if (strcmp(r->method, "DELETE") == 0) {
		delete_object(s, r, reply);
	} else if (verb_of(r) == S3_VERB_LIST) {
		list(s, r, reply, stale);
	} else {
		get(s, r, reply, stale);
	}
}

static void keep_late(struct s3_server *s, const struct http_request *r)
{
	struct late *late = malloc(sizeof(*late));
	late->request = *r;
	late->request.body = malloc(r->body_len + 1);
	memcpy(late->request.body, r->body, r->body_len);
	late->next = s->late;
	s->late = late;
}

/* Takes the fault if it is for this request. */
static struct s3_fault take_fault(struct s3_server *s, unsigned verb)
{
	struct s3_fault fault = s->fault;
	if (fault.kind == S3_FAULT_NONE || !(fault.verbs & verb))
		return (struct s3_fault){0};
	if (fault.times > 0 && --s->fault.times == 0)
		s->fault.kind = S3_FAULT_NONE;
	return fault;
}

static void spoil(struct s3_server *s, const struct s3_fault *fault, const struct http_request *r,
                  struct http_reply *reply)
{
	switch (fault->kind) {
	case S3_FAULT_MANNER:
	case S3_FAULT_APPLY_MANNER:
		reply->manner = fault->manner;
		break;
	case S3_FAULT_STATUS:
	case S3_FAULT_APPLY_STATUS:
		answer(reply, fault->status, fault->code);
		break;
	case S3_FAULT_TWICE:
		carry_out(s, r, reply, false);
		break;
	case S3_FAULT_LATE:
		reply->manner = HTTP_CLOSE;
		keep_late(s, r);
		break;
	case S3_FAULT_LATE_REPLAY:
		keep_late(s, r);
		break;
	case S3_FAULT_WRONG_BYTES:
		if (reply->body_len > 0)
			reply->body[reply->body_len / 2] ^= 1;
		break;
	case S3_FAULT_CUT:
		reply->body_len /= 2;
		break;
	case S3_FAULT_NONE:
	case S3_FAULT_BODY_MANNER:
	case S3_FAULT_STALE:
		break;
	}
}

static void answer_locked(struct s3_server *s, const struct http_request *r, struct http_reply *reply)
{
	struct s3_fault fault = take_fault(s, verb_of(r));
	bool damaged = fault.kind == S3_FAULT_WRONG_BYTES && r->body_len > 0;
	bool signed_well = is_signed(r);
	s->badly_signed += !signed_well;
	s->requests[__builtin_ctz(verb_of(r))]++;
	if (is_skewed(s, r)) {
		answer(reply, 403, "RequestTimeTooSkewed");
	} else if (!signed_well) {
		answer(reply, 403, "SignatureDoesNotMatch");
	} else if (damaged) {
		answer(reply, 400, "XAmzContentSHA256Mismatch");
	} else {
		if (fault.kind != S3_FAULT_MANNER && fault.kind != S3_FAULT_STATUS &&
		    fault.kind != S3_FAULT_LATE)
			carry_out(s, r, reply, fault.kind == S3_FAULT_STALE);
		spoil(s, &fault, r, reply);
	}
	reply->head_only = strcmp(r->method, "HEAD") == 0;
	add_date(s, reply);
}

static void on_request(void *arg, const struct http_request *r, struct http_reply *reply)
{
	struct s3_server *s = arg;
	pthread_mutex_lock(&s->lock);
	answer_locked(s, r, reply);
	pthread_mutex_unlock(&s->lock);
}

static enum http_manner on_head(void *arg, const struct http_request *r)
{
	struct s3_server *s = arg;
	enum http_manner manner = HTTP_ANSWER;
	pthread_mutex_lock(&s->lock);
	if (s->fault.kind == S3_FAULT_BODY_MANNER && s->fault.verbs & verb_of(r))
		manner = take_fault(s, verb_of(r)).manner;
	pthread_mutex_unlock(&s->lock);
	return manner;
}

/* ---- the server ---- */

struct s3_server *s3_server_start(unsigned flaws, const char *certificate)
{
	struct s3_server *s = calloc(1, sizeof(*s));
	s->flaws = flaws;
	s->tls = certificate != NULL;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->checked_one, NULL);
	s->http = http_server_start(
	    &(struct http_handler){.on_head = on_head, .on_request = on_request, .arg = s}, certificate);
	if (s->http)
		return s;
	free(s);
	return NULL;
}

void s3_server_stop(struct s3_server *s)
{
	http_server_stop(s->http);
	for (size_t i = 0; i < s->count; i++) {
		free(s->objects[i]->now.bytes);
		free(s->objects[i]->before.bytes);
		free(s->objects[i]);
	}
	free(s->objects);
	while (s->late) {
		struct late *late = s->late;
		s->late = late->next;
		free(late->request.body);
		free(late);
	}
	pthread_cond_destroy(&s->checked_one);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

struct http_server *s3_server_http(struct s3_server *s)
{
	return s->http;
}

void s3_server_set_fault(struct s3_server *s, const struct s3_fault *fault)
{
	pthread_mutex_lock(&s->lock);
	s->fault = *fault;
	pthread_mutex_unlock(&s->lock);
}

void s3_server_set_flaws(struct s3_server *s, unsigned flaws)
{
	pthread_mutex_lock(&s->lock);
	s->flaws = flaws;
	pthread_mutex_unlock(&s->lock);
}

void s3_server_set_clock(struct s3_server *s, int seconds_ahead)
{
	pthread_mutex_lock(&s->lock);
	s->seconds_ahead = seconds_ahead;
	pthread_mutex_unlock(&s->lock);
}

unsigned s3_server_deliver(struct s3_server *s)
{
	unsigned n = 0;
	pthread_mutex_lock(&s->lock);
	while (s->late) {
		struct late *late = s->late;
		struct http_reply reply = {0};
		s->late = late->next;
		carry_out(s, &late->request, &reply, false);
		free(reply.body);
		free(late->request.body);
		free(late);
		n++;
	}
	pthread_mutex_unlock(&s->lock);
	return n;
}

static unsigned read_locked(struct s3_server *s, const unsigned *figure)
{
	pthread_mutex_lock(&s->lock);
	unsigned value = *figure;
	pthread_mutex_unlock(&s->lock);
	return value;
}

unsigned s3_server_applied(struct s3_server *s)
{
	return read_locked(s, &s->applied);
}

unsigned s3_server_badly_signed(struct s3_server *s)
{
	return read_locked(s, &s->badly_signed);
}

unsigned s3_server_requests(struct s3_server *s, unsigned verbs)
{
	unsigned n = 0;
	for (unsigned i = 0; i < 6; i++)
		n += verbs >> i & 1 ? read_locked(s, &s->requests[i]) : 0;
	return n;
}

void s3_server_endpoint(struct s3_server *s, char *text, size_t capacity)
{
	snprintf(text, capacity, "%s://127.0.0.1:%u", s->tls ? "https" : "http", http_server_port(s->http));
}

void s3_server_credentials(void)
{
	setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY, 1);
	setenv("AWS_SECRET_ACCESS_KEY", SECRET, 1);
	unsetenv("AWS_SESSION_TOKEN");
	unsetenv("AWS_PROFILE");
	unsetenv("AWS_REGION");
	unsetenv("AWS_DEFAULT_REGION");
}
