/* A small S3 in memory for tests: correct, with conditional writes, unless it is told to be otherwise. Checks
 * each request's signature and its body's hash. */
#ifndef S3_SERVER_H
#define S3_SERVER_H

#include "tests/remote/http_server.h"

/* What it does wrong for good. */
enum s3_flaw {
	S3_IGNORES_IF_NONE_MATCH = 1,
	S3_IGNORES_IF_MATCH = 2,
	S3_CHECKS_THEN_ACTS = 4, /* conditions hold only while nobody else writes */
	S3_WANTS_BARE_TAGS = 8,  /* like radosgw 16 */
	S3_IGNORES_DELETE_MATCH = 16,
	S3_MATCHES_NOTHING = 32, /* If-Match where nothing is: writes */
	S3_DROPS_METADATA = 64,
	S3_IGNORES_RANGES = 128,
	S3_REFUSES_IF_MATCH = 256, /* every If-Match gets a 412 */
	S3_STANDS_STILL = 512,     /* each page of a listing is the first, and truncated */
	S3_NO_BUCKET = 1024,
};

/* Which requests a fault is for: bits. */
enum s3_verb {
	S3_VERB_GET = 1, /* with and without a range */
	S3_VERB_HEAD = 2,
	S3_VERB_CREATE = 4, /* PUT with If-None-Match */
	S3_VERB_REPLACE = 8,
	S3_VERB_DELETE = 16,
	S3_VERB_LIST = 32,
};

enum s3_fault_kind {
	S3_FAULT_NONE,
	S3_FAULT_MANNER,       /* not carried out, and `manner` */
	S3_FAULT_APPLY_MANNER, /* carried out, and `manner` */
	S3_FAULT_BODY_MANNER,  /* `manner` in the middle of the request's body */
	S3_FAULT_STATUS,       /* not carried out, `status` and `code` */
	S3_FAULT_APPLY_STATUS, /* carried out, `status` and `code` */
	S3_FAULT_TWICE,        /* carried out twice, the second answer is given */
	S3_FAULT_LATE,         /* no answer; carried out by s3_server_deliver */
	S3_FAULT_LATE_REPLAY,  /* carried out and answered, and once more by s3_server_deliver */
	S3_FAULT_WRONG_BYTES,  /* a bit of the body is another, on its way here or there */
	S3_FAULT_STALE,        /* the version before the last one */
	S3_FAULT_CUT,          /* half of the body, as if it were all */
};

struct s3_fault {
	enum s3_fault_kind kind;
	unsigned verbs;
	unsigned times; /* 0: always */
	enum http_manner manner;
	int status;
	const char *code;
};

struct s3_server;

struct s3_server *s3_server_start(unsigned flaws, const char *certificate);
void s3_server_stop(struct s3_server *server);
struct http_server *s3_server_http(struct s3_server *server);
/* Replaces the fault before it. */
void s3_server_set_fault(struct s3_server *server, const struct s3_fault *fault);
void s3_server_set_flaws(struct s3_server *server, unsigned flaws);
/* How far its clock is ahead of ours. */
void s3_server_set_clock(struct s3_server *server, int seconds_ahead);
/* Carries out what was held back. How many were. */
unsigned s3_server_deliver(struct s3_server *server);
/* How often a change was carried out; requests of these verbs so far; all requests. */
unsigned s3_server_applied(struct s3_server *server);
unsigned s3_server_requests(struct s3_server *server, unsigned verbs);
/* Requests whose signature or hash was wrong. */
unsigned s3_server_badly_signed(struct s3_server *server);
/* "http://127.0.0.1:PORT" or https; the keys that it wants are put into the environment by
 * s3_server_credentials. */
void s3_server_endpoint(struct s3_server *server, char *text, size_t capacity);
void s3_server_credentials(void);

#endif
