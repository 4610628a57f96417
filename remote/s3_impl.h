/* What the files of the s3: network share: network, client, and a call, which is a request on its way. */
#ifndef PS_S3_IMPL_H
#define PS_S3_IMPL_H

#include <curl/curl.h>

#include "remote/network.h"
#include "remote/s3_credentials.h"
#include "remote/s3_place.h"
#include "remote/s3_sign.h"
#include "remote/s3_xml.h"

enum {
	S3_CONNECT_MS = 3000,
	S3_SLOW_BYTES = 1024, /* a second … */
	S3_SLOW_SECONDS = 20, /* … for so long is a stall */
	S3_QUERY_MAX = 6 * S3_KEY_MAX + 64,
	S3_URL_MAX = S3_HOST_MAX + 2 * S3_BUCKET_MAX + S3_KEY_MAX + S3_QUERY_MAX + 32,
	S3_ERROR_TEXT = 16 << 10, /* of an error document, read at most */
};

struct s3_network {
	ps_network base;
	struct s3_place place;
	struct s3_credentials *credentials;
	bool bare_tokens; /* If-Match wants the ETag without its quotes */
	bool opened;      /* a 403 is no longer taken for the last word */
};

/* One HTTP exchange. */
enum s3_act {
	S3_ACT_HEAD,
	S3_ACT_GET,
	S3_ACT_GET_RANGE,
	S3_ACT_CREATE,
	S3_ACT_REPLACE,
	S3_ACT_REMOVE,
	S3_ACT_LIST,
	S3_ACT_MAKE_BUCKET,
};

/* Where a call stands: it looks for a token, acts, and looks at what became of that, as far as needed. */
enum s3_step { S3_STEP_LOOK, S3_STEP_ACT, S3_STEP_BACK };

/* For the network itself, beside what requests can ask for. */
enum s3_mode {
	S3_PLAIN,
	S3_SCRATCH,      /* under a name that is no pad's */
	S3_BLIND_REMOVE, /* scratch; If-Match with the token as given, without a look */
	S3_MAKE_BUCKET,
};

/* What the headers said. */
struct s3_answer {
	long status; /* 0: none came */
	struct ps_net_token etag;
	struct ps_pad_identity identity;
	bool has_counter, has_hash, has_range;
	uint64_t length;                /* UINT64_MAX: not told */
	uint64_t first, total;          /* of Content-Range; total UINT64_MAX: not told */
	int64_t date;                   /* the server's clock; -1: not told */
	char region[S3_REGION_MAX + 1]; /* where the bucket is, if it says so */
};

struct s3_client;

struct s3_call {
	struct s3_call *next; /* of the client's calls, in use or not */
	struct s3_client *client;
	struct ps_net_request *request; /* NULL: not in use */
	struct ps_net_buffer *buffer;   /* our reference */
	enum s3_mode mode;
	enum s3_step step;
	enum s3_act act;
	bool again;          /* a second token was tried */
	unsigned rereads;    /* after a 500 */
	long refusal;        /* the status that is being looked behind */
	bool repeated;       /* what was refused had left more than once */
	int64_t deadline_ms; /* monotonic */

	CURL *easy;
	bool running;
	struct curl_slist *headers;
	char url[S3_URL_MAX];
	char payload[S3_SHA256_HEX]; /* of the buffer; computed once for all steps */
	size_t sent;                 /* bytes of the buffer that libcurl took */
	unsigned attempts;           /* how often the request's first line left */
	int64_t began;               /* our clock, as it was signed */
	struct ps_net_token token;   /* the version that is to be replaced or removed */
	struct s3_answer answer;
	bool too_big;
	bool untrusted; /* TLS refused the endpoint's certificate */
	char *text;     /* of an error document or a listing */
	size_t text_len, text_capacity;
	char error[CURL_ERROR_SIZE];
};

struct s3_client {
	ps_client base;
	struct s3_network *network;
	CURLM *multi;
	struct s3_call *calls;
	struct ps_net_request *done, **done_end;
	unsigned active;
	atomic_bool woken;
	struct s3_signing_key signing;
};

/* ---- s3_call.c: one exchange ---- */

/* Begins call->act. False: no memory, or no time left (then call->error says so). */
bool ps_s3_call_begin(struct s3_call *call);
/* Takes it from libcurl, which touches nothing of it afterwards. */
void ps_s3_call_end(struct s3_call *call);
/* Gives back the memory of a document that was read. */
void ps_s3_call_forget_text(struct s3_call *call);
/* Frees all that it has. */
void ps_s3_call_free(struct s3_call *call);
int64_t ps_s3_now_ms(void);

/* ---- s3_headers.c ---- */

/* libcurl's header callback; arg is the call's answer. */
size_t ps_s3_on_header(char *line, size_t size, size_t count, void *arg);

/* ---- s3_steps.c: what follows from an exchange's end ---- */

/* The first act of a request. */
void ps_s3_first_step(struct s3_call *call);
/* True: the request's outcome stands. False: call->act is to be begun. */
bool ps_s3_next_step(struct s3_call *call, CURLcode code);
/* The outcome of a call that ends without an answer: canceled, out of time before it began, no memory. */
void ps_s3_give_up(struct s3_call *call, int error, const char *why);

/* ---- s3_list.c ---- */

/* The query of a page, sorted and escaped. */
void ps_s3_list_query(const struct s3_call *call, char *query, size_t capacity);
/* Fills the request's list from call->text. PS_ECORRUPT. */
int ps_s3_list_read(struct s3_call *call) __attribute__((warn_unused_result));

/* ---- s3_client.c ---- */

int ps_s3_client_open(ps_network *network, ps_client **client) __attribute__((warn_unused_result));
void ps_s3_client_submit(struct s3_client *client, struct ps_net_request *request, enum s3_mode mode);
/* Submits all and waits for all. */
void ps_s3_client_run(struct s3_client *client, struct ps_net_request *requests, size_t n, enum s3_mode mode);

/* ---- s3_probe.c ---- */

struct s3_promises {
	bool bare_tokens, guarded_remove;
};
/* Whether the endpoint does what the conditions of requests say. PS_ENOTSUP with a sentence that says which
 * promise is broken; PS_EUNAVAILABLE, PS_EACCES, PS_ENOMEM, …: not known. Remembered for the process once
 * known. */
int ps_s3_probe(struct s3_client *client, struct s3_promises *promises) __attribute__((warn_unused_result));

#endif
