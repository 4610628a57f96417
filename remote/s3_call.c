/* One exchange: what is sent, signed, and what libcurl hands over of the answer. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "remote/s3_impl.h"

static const char empty_payload[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

enum { RECEIVE_BUFFER = 256 << 10, SEND_BUFFER = 256 << 10 };

int64_t ps_s3_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- what is sent ---- */

static const char *method_of(enum s3_act act)
{
	switch (act) {
	case S3_ACT_HEAD:
		return "HEAD";
	case S3_ACT_GET:
	case S3_ACT_GET_RANGE:
	case S3_ACT_LIST:
		return "GET";
	case S3_ACT_CREATE:
	case S3_ACT_REPLACE:
	case S3_ACT_MAKE_BUCKET:
		return "PUT";
	case S3_ACT_REMOVE:
		return "DELETE";
	}
	return "GET";
}

static bool sends_record(enum s3_act act)
{
	return act == S3_ACT_CREATE || act == S3_ACT_REPLACE;
}

static bool sends_body(enum s3_act act)
{
	return sends_record(act) || act == S3_ACT_MAKE_BUCKET;
}

static const char *payload_of(const struct s3_call *call)
{
	return sends_body(call->act) ? call->payload : empty_payload;
}

/* "/BUCKET/PREFIX/NAME"; all of it needs no escapes. */
static void write_path(const struct s3_call *call, char *path, size_t capacity)
{
	const struct s3_place *place = &call->client->network->place;
	char name[2 * PS_PAD_NAME + 1];
	const char *bucket = place->virtual_style ? "" : place->bucket;
	const char *slash = place->virtual_style ? "" : "/";
	if (call->act == S3_ACT_LIST || call->act == S3_ACT_MAKE_BUCKET) {
		snprintf(path, capacity, "/%s", bucket);
		return;
	}
	ps_s3_hex(call->request->name.bytes, PS_PAD_NAME, name);
	/* A scratch name is no pad's: listings pass it by. */
	bool scratch = call->mode == S3_SCRATCH || call->mode == S3_BLIND_REMOVE;
	snprintf(path, capacity, "/%s%s%s%s%s", bucket, slash, place->prefix, scratch ? "0/" : "", name);
}

/* The value of If-Match: the token as it came, or without its quotes where the endpoint wants that. */
static void write_token(const struct s3_call *call, char *text)
{
	const uint8_t *from = call->token.bytes;
	size_t len = call->token.len;
	if (call->client->network->bare_tokens && len >= 2 && from[0] == '"' && from[len - 1] == '"') {
		from++;
		len -= 2;
	}
	memcpy(text, from, len);
	text[len] = '\0';
}

/* What may carry a session's token is wiped before it is freed. */
static void free_headers(struct s3_call *call)
{
	for (struct curl_slist *h = call->headers; h; h = h->next)
		explicit_bzero(h->data, strlen(h->data));
	curl_slist_free_all(call->headers);
	call->headers = NULL;
}

static bool add_line(struct s3_call *call, const char *name, const char *value)
{
	char line[S3_SESSION_MAX + 64];
	snprintf(line, sizeof(line), "%s:%s%s", name, value[0] ? " " : "", value);
	struct curl_slist *longer = curl_slist_append(call->headers, line);
	explicit_bzero(line, sizeof(line));
	if (longer)
		call->headers = longer;
	return longer != NULL;
}

struct outgoing {
	char date[S3_DATE], token[PS_NET_TOKEN + 1], counter[24], hash[65],
	    path[S3_KEY_MAX + S3_BUCKET_MAX + 4];
	char query[S3_QUERY_MAX], authorization[S3_AUTHORIZATION_MAX];
	struct s3_header headers[S3_HEADERS_MAX];
	size_t count;
};

static void sign_header(struct outgoing *out, const char *name, const char *value)
{
	out->headers[out->count++] = (struct s3_header){name, value};
}

/* In the order of their names, as the signature wants them. */
static void choose_headers(struct s3_call *call, struct outgoing *out)
{
	const struct s3_network *network = call->client->network;
	const struct ps_net_request *r = call->request;
	sign_header(out, "host", network->place.host);
	if (call->token.len > 0 && (call->act == S3_ACT_REPLACE || call->act == S3_ACT_REMOVE)) {
		write_token(call, out->token);
		sign_header(out, "if-match", out->token);
	}
	if (call->act == S3_ACT_CREATE)
		sign_header(out, "if-none-match", "*");
	sign_header(out, "x-amz-content-sha256", payload_of(call));
	sign_header(out, "x-amz-date", out->date);
	if (sends_record(call->act)) {
		snprintf(out->counter, sizeof(out->counter), "%llu", (unsigned long long)r->identity.counter);
		ps_s3_hex(r->identity.hash, 32, out->hash);
		sign_header(out, "x-amz-meta-counter", out->counter);
		sign_header(out, "x-amz-meta-hash", out->hash);
	}
	if (network->credentials->session[0])
		sign_header(out, "x-amz-security-token", network->credentials->session);
}

static bool add_headers(struct s3_call *call, const struct outgoing *out)
{
	char range[64];
	bool ok = true;
	for (size_t i = 0; i < out->count && ok; i++)
		ok = add_line(call, out->headers[i].name, out->headers[i].value);
	if (call->act == S3_ACT_GET_RANGE) {
		snprintf(range, sizeof(range), "bytes=%llu-%llu", (unsigned long long)call->request->offset,
		         (unsigned long long)(call->request->offset + call->request->len - 1));
		ok = ok && add_line(call, "range", range);
	}
	/* libcurl would ask for "100-continue" above a megabyte: a round trip that says nothing. */
	return ok && add_line(call, "authorization", out->authorization) && add_line(call, "expect", "") &&
	       add_line(call, "accept", "*/*");
}

static bool write_request(struct s3_call *call)
{
	const struct s3_network *network = call->client->network;
	struct outgoing out = {.count = 0};
	call->began = (int64_t)time(NULL);
	ps_s3_date(call->began, out.date);
	write_path(call, out.path, sizeof(out.path));
	if (call->act == S3_ACT_LIST)
		ps_s3_list_query(call, out.query, sizeof(out.query));
	snprintf(call->url, sizeof(call->url), "%s://%s%s%s%s", network->place.https ? "https" : "http",
	         network->place.host, out.path, out.query[0] ? "?" : "", out.query);
	choose_headers(call, &out);
	struct s3_signed s = {
	    .method = method_of(call->act),
	    .path = out.path,
	    .query = out.query,
	    .headers = out.headers,
	    .header_count = out.count,
	    .payload = payload_of(call),
	    .date = out.date,
	    .region = network->place.region,
	    .service = "s3",
	};
	ps_s3_sign(network->credentials, &s, &call->client->signing, out.authorization);
	return add_headers(call, &out);
}

/* ---- libcurl's callbacks ---- */

static size_t on_read(char *to, size_t size, size_t count, void *arg)
{
	struct s3_call *call = arg;
	size_t n = size * count, left = call->buffer->len - call->sent;
	n = n < left ? n : left;
	memcpy(to, call->buffer->bytes + call->sent, n);
	call->sent += n;
	return n;
}

/* A reused connection died before any answer: libcurl sends all of it again. */
static int on_seek(void *arg, curl_off_t offset, int origin)
{
	struct s3_call *call = arg;
	if (origin != SEEK_SET || offset < 0 || (size_t)offset > call->buffer->len)
		return CURL_SEEKFUNC_FAIL;
	call->sent = (size_t)offset;
	return CURL_SEEKFUNC_OK;
}

static bool keep_text(struct s3_call *call, const char *data, size_t n)
{
	struct ps_memory *memory = &call->client->network->base.memory;
	size_t need = call->text_len + n, capacity = call->text_capacity ? call->text_capacity : 4096;
	while (capacity < need)
		capacity *= 2;
	if (capacity > call->text_capacity) {
		char *text = ps_memory_resize(memory, call->text, call->text_capacity, capacity);
		if (!text)
			return false;
		call->text = text;
		call->text_capacity = capacity;
	}
	memcpy(call->text + call->text_len, data, n);
	call->text_len = need;
	return true;
}

static size_t take_text(struct s3_call *call, const char *data, size_t n)
{
	bool list = call->act == S3_ACT_LIST && call->answer.status == 200;
	size_t most = list ? S3_XML_MAX : S3_ERROR_TEXT, room = most - call->text_len;
	if (n > room && list)
		return 0;
	/* The end of a long error document says nothing that is needed. */
	return keep_text(call, data, n < room ? n : room) ? n : 0;
}

static size_t on_write(char *data, size_t size, size_t count, void *arg)
{
	struct s3_call *call = arg;
	size_t n = size * count;
	bool record = (call->act == S3_ACT_GET && call->answer.status == 200) ||
	              (call->act == S3_ACT_GET_RANGE && call->answer.status == 206);
	if (!record)
		return take_text(call, data, n);
	size_t most = call->act == S3_ACT_GET ? call->buffer->capacity : call->request->len;
	if (n > most - call->buffer->len) {
		call->too_big = true;
		return 0;
	}
	memcpy(call->buffer->bytes + call->buffer->len, data, n);
	call->buffer->len += n;
	return n;
}

/* No child process inherits a connection. */
static curl_socket_t on_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	(void)arg, (void)purpose;
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* An alert of ours that ends a TLS handshake because of who answers (RFC 8446, 6.2): bad_certificate to
 * certificate_unknown, unknown_ca, and decrypt_error, which is a signature that does not verify. */
static bool refuses_peer(const char *data, size_t size)
{
	enum { FATAL = 2, FIRST = 42, LAST = 46, UNKNOWN_CA = 48, DECRYPT_ERROR = 51 };
	if (size != 2 || data[0] != FATAL)
		return false;
	return (data[1] >= FIRST && data[1] <= LAST) || data[1] == UNKNOWN_CA || data[1] == DECRYPT_ERROR;
}

/* The one sure sign that a request left, also if libcurl repeats it by itself; and, where OpenSSL does the
 * TLS, that the certificate was refused: of a false signature libcurl only tells that the handshake failed.
 * Nothing else of it is kept. */
static int on_debug(CURL *easy, curl_infotype type, char *data, size_t size, void *arg)
{
	struct s3_call *call = arg;
	const char *method = method_of(call->act);
	size_t len = strlen(method);
	(void)easy;
	if (type == CURLINFO_HEADER_OUT && size > 0 && memcmp(data, method, size < len ? size : len) == 0)
		call->attempts++;
	if (type == CURLINFO_SSL_DATA_OUT && refuses_peer(data, size))
		call->untrusted = true;
	return 0;
}

/* ---- an exchange ---- */

static void set_transport(struct s3_call *call, long left_ms)
{
	CURL *easy = call->easy;
	const struct s3_place *place = &call->client->network->place;
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, place->https ? "https" : "http");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 2L);
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (place->ca_file[0])
		curl_easy_setopt(easy, CURLOPT_CAINFO, place->ca_file);
	if (place->loopback)
		curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
	                 left_ms < S3_CONNECT_MS ? left_ms : (long)S3_CONNECT_MS);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, left_ms);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)S3_SLOW_BYTES);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)S3_SLOW_SECONDS);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER);
	curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)SEND_BUFFER);
}

static void set_callbacks(struct s3_call *call)
{
	CURL *easy = call->easy;
	curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, ps_s3_on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, &call->answer);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_write);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(easy, CURLOPT_DEBUGFUNCTION, on_debug);
	curl_easy_setopt(easy, CURLOPT_DEBUGDATA, call);
	curl_easy_setopt(easy, CURLOPT_VERBOSE, 1L);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_socket);
}

static void set_method(struct s3_call *call)
{
	CURL *easy = call->easy;
	if (call->act == S3_ACT_HEAD)
		curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	else if (call->act == S3_ACT_REMOVE)
		curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "DELETE");
	if (!sends_body(call->act))
		return;
	curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
	curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)call->buffer->len);
	curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_read);
	curl_easy_setopt(easy, CURLOPT_READDATA, call);
	curl_easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek);
	curl_easy_setopt(easy, CURLOPT_SEEKDATA, call);
}

static void forget_answer(struct s3_call *call)
{
	call->answer = (struct s3_answer){.length = UINT64_MAX, .total = UINT64_MAX, .date = -1};
	call->sent = call->text_len = 0;
	call->attempts = 0;
	call->too_big = false;
	call->untrusted = false;
	call->error[0] = '\0';
	if (call->act == S3_ACT_GET || call->act == S3_ACT_GET_RANGE)
		call->buffer->len = 0;
}

static void hash_payload(struct s3_call *call)
{
	uint8_t hash[S3_SHA256];
	if (!sends_body(call->act) || call->payload[0])
		return;
	ps_s3_sha256(call->buffer->bytes, call->buffer->len, hash);
	ps_s3_hex(hash, sizeof(hash), call->payload);
}

bool ps_s3_call_begin(struct s3_call *call)
{
	forget_answer(call);
	hash_payload(call);
	int64_t left = call->deadline_ms - ps_s3_now_ms();
	if (left <= 0) {
		snprintf(call->error, sizeof(call->error), "no time was left");
		return false;
	}
	snprintf(call->error, sizeof(call->error), "no memory");
	if (call->easy)
		curl_easy_reset(call->easy);
	else
		call->easy = curl_easy_init();
	if (!call->easy || !write_request(call)) {
		free_headers(call);
		return false;
	}
	set_transport(call, (long)left);
	set_callbacks(call);
	set_method(call);
	call->running = curl_easy_setopt(call->easy, CURLOPT_URL, call->url) == CURLE_OK &&
	                curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers) == CURLE_OK &&
	                curl_multi_add_handle(call->client->multi, call->easy) == CURLM_OK;
	if (call->running)
		call->error[0] = '\0';
	else
		free_headers(call);
	return call->running;
}

void ps_s3_call_end(struct s3_call *call)
{
	if (call->running)
		curl_multi_remove_handle(call->client->multi, call->easy);
	call->running = false;
	free_headers(call);
}

void ps_s3_call_forget_text(struct s3_call *call)
{
	if (call->text)
		ps_memory_free(&call->client->network->base.memory, call->text, call->text_capacity);
	call->text = NULL;
	call->text_len = call->text_capacity = 0;
}

void ps_s3_call_free(struct s3_call *call)
{
	ps_s3_call_end(call);
	curl_easy_cleanup(call->easy);
	ps_net_buffer_release(call->buffer);
	ps_s3_call_forget_text(call);
	ps_memory_free(&call->client->network->base.memory, call, sizeof(*call));
}
