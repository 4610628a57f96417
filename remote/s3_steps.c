/* From status to outcome (README.md has the table). What was refused is looked behind before it is told:
 * libcurl, or anything on the way, may have sent the request twice, and the refusal may be the echo of our
 * own success. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "remote/s3_impl.h"

enum { SKEW_SECONDS = 600, MOST_REREADS = 3 };

static bool changes(enum s3_act act)
{
	return act == S3_ACT_CREATE || act == S3_ACT_REPLACE || act == S3_ACT_REMOVE;
}

static bool ok_status(long status)
{
	return status == 200 || status == 201 || status == 204;
}

/* ---- outcomes ---- */

__attribute__((format(printf, 4, 5))) static bool finish(struct s3_call *call, enum ps_outcome outcome,
                                                         int error, const char *format, ...)
{
	char text[PS_NET_SENTENCE];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	call->request->error = error;
	ps_request_finish(&call->client->network->base, call->request, outcome, "%s", text);
	return true;
}

/* Of a request that surely was not carried out, unless an earlier copy of it was. */
static enum ps_outcome refused(const struct s3_call *call, enum ps_outcome outcome)
{
	return changes(call->act) && call->attempts > 1 ? PS_NET_UNKNOWN : outcome;
}

void ps_s3_give_up(struct s3_call *call, int error, const char *why)
{
	/* Looking back: the change was refused, but that may be its echo. */
	bool left =
	    (changes(call->act) && call->attempts > 0) || (call->step == S3_STEP_BACK && call->refusal != 0);
	finish(call, left ? PS_NET_UNKNOWN : PS_NET_UNAVAILABLE, error, "%s", why);
}

static bool is_untrusted(const struct s3_call *call, CURLcode code)
{
	return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
	       (code == CURLE_SSL_CONNECT_ERROR && call->untrusted);
}

static bool finish_curl(struct s3_call *call, CURLcode code)
{
	const char *why = call->error[0] ? call->error : curl_easy_strerror(code);
	bool left = changes(call->act) && call->attempts > 0;
	if (call->too_big)
		return finish(call, PS_NET_TOO_BIG, PS_OK, "more than the %zu bytes that there is room for",
		              call->act == S3_ACT_GET ? call->buffer->capacity : call->request->len);
	if (code == CURLE_OPERATION_TIMEDOUT)
		return finish(call, left ? PS_NET_UNKNOWN : PS_NET_UNAVAILABLE, PS_ETIMEDOUT, "%s", why);
	if (is_untrusted(call, code))
		return finish(call,
		              left                            ? PS_NET_UNKNOWN
		              : call->client->network->opened ? PS_NET_UNAVAILABLE
		                                              : PS_NET_DENIED,
		              PS_EAUTH, "the endpoint's certificate is not trusted: %s", why);
	return finish(call, left ? PS_NET_UNKNOWN : PS_NET_UNAVAILABLE, PS_OK, "%s", why);
}

/* ---- refusals that have nothing to do with versions ---- */

static void write_time(int64_t seconds, char *text, size_t capacity)
{
	time_t t = (time_t)seconds;
	struct tm tm;
	if (!gmtime_r(&t, &tm) || strftime(text, capacity, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		snprintf(text, capacity, "another year");
}

/* The endpoint says so, or a 403 without a word comes from a clock far away. */
static bool is_skewed(const struct s3_call *call, const struct s3_error_document *error)
{
	int64_t apart = call->answer.date - call->began;
	if (strcmp(error->code, "RequestTimeTooSkewed") == 0)
		return true;
	return !error->code[0] && call->answer.date >= 0 && (apart > SKEW_SECONDS || apart < -SKEW_SECONDS);
}

static bool finish_forbidden(struct s3_call *call, const struct s3_error_document *error)
{
	enum ps_outcome outcome = call->client->network->opened ? PS_NET_UNAVAILABLE : PS_NET_DENIED;
	char here[32], there[32] = "not told";
	if (is_skewed(call, error)) {
		write_time(call->began, here, sizeof(here));
		if (call->answer.date >= 0)
			write_time(call->answer.date, there, sizeof(there));
		else if (error->server_time[0])
			snprintf(there, sizeof(there), "%.31s", error->server_time);
		return finish(call, refused(call, outcome), PS_ECLOCK,
		              "clocks disagree: here it is %s, at the endpoint %s", here, there);
	}
	return finish(call, refused(call, outcome), PS_EACCES, "403 %s %s", error->code, error->message);
}

static bool finish_redirect(struct s3_call *call)
{
	const char *region = call->answer.region;
	return finish(call, refused(call, PS_NET_DENIED), PS_OK, "%ld: the bucket is elsewhere%s%s",
	              call->answer.status, region[0] ? ", in the region " : "", region);
}

/* 400: what was damaged on its way is worth another try; what took too long may yet arrive. */
static bool finish_bad_request(struct s3_call *call, const struct s3_error_document *error)
{
	bool damaged = strcmp(error->code, "XAmzContentSHA256Mismatch") == 0 ||
	               strcmp(error->code, "BadDigest") == 0 || strcmp(error->code, "IncompleteBody") == 0;
	enum ps_outcome outcome = damaged ? PS_NET_UNAVAILABLE : PS_NET_DENIED;
	if (strcmp(error->code, "EntityTooLarge") == 0)
		outcome = PS_NET_TOO_BIG;
	if (strcmp(error->code, "RequestTimeout") == 0)
		outcome = changes(call->act) ? PS_NET_UNKNOWN : PS_NET_UNAVAILABLE;
	return finish(call, refused(call, outcome), damaged ? PS_EIO : PS_OK, "400 %s %s", error->code,
	              error->message);
}

static bool is_full(long status, const char *code)
{
	return status == 507 || strcmp(code, "QuotaExceeded") == 0 || strcmp(code, "XMinioStorageFull") == 0;
}

/* Answers that leave open whether the change was made. */
static bool is_open(long status)
{
	return status == 408 || (status >= 500 && status != 501) || status < 300;
}

static bool finish_status(struct s3_call *call)
{
	struct s3_error_document error;
	long status = call->answer.status;
	ps_s3_xml_error(call->text, call->text_len, &error);
	call->request->throttled = status == 429 || status == 503;
	if (strcmp(error.code, "NoSuchBucket") == 0)
		return finish(call, refused(call, PS_NET_UNAVAILABLE), PS_ENOENT, "there is no such bucket");
	if (changes(call->act) && is_full(status, error.code))
		return finish(call, refused(call, PS_NET_FULL), PS_OK, "%ld %s %s", status, error.code,
		              error.message);
	if (status == 403)
		return finish_forbidden(call, &error);
	if (status >= 300 && status < 400)
		return finish_redirect(call);
	if (status == 400)
		return finish_bad_request(call, &error);
	enum ps_outcome outcome = PS_NET_DENIED;
	if (is_open(status))
		outcome = changes(call->act) ? PS_NET_UNKNOWN : PS_NET_UNAVAILABLE;
	else if (status == 429)
		outcome = PS_NET_UNAVAILABLE;
	else if (status == 413 && (call->act == S3_ACT_CREATE || call->act == S3_ACT_REPLACE))
		outcome = PS_NET_TOO_BIG;
	return finish(call, refused(call, outcome), PS_OK, "%ld %s %s", status, error.code, error.message);
}

/* ---- reads ---- */

/* A record without both parts of an identity has none. */
static void take_identity(const struct s3_call *call, struct ps_pad_identity *identity)
{
	const struct s3_answer *a = &call->answer;
	*identity = a->has_counter && a->has_hash ? a->identity : (struct ps_pad_identity){0};
}

static bool done(struct s3_call *call)
{
	struct ps_net_request *r = call->request;
	r->token = call->answer.etag;
	if (call->act == S3_ACT_REMOVE)
		r->token.len = 0;
	return finish(call, PS_NET_DONE, PS_OK, " ");
}

static bool done_reading(struct s3_call *call)
{
	struct ps_net_request *r = call->request;
	const struct s3_answer *a = &call->answer;
	take_identity(call, &r->identity);
	if (call->act == S3_ACT_HEAD)
		r->size = a->length == UINT64_MAX ? 0 : a->length;
	else if (call->act == S3_ACT_GET)
		r->size = call->buffer->len;
	else
		r->size = a->total == UINT64_MAX ? r->offset + call->buffer->len : a->total;
	return done(call);
}

static bool absent(struct s3_call *call)
{
	struct s3_error_document error;
	ps_s3_xml_error(call->text, call->text_len, &error);
	/* A bucket that is gone is no proof that the record is. */
	if (strcmp(error.code, "NoSuchBucket") == 0)
		return finish_status(call);
	return finish(call, PS_NET_ABSENT, PS_OK, "%s", ps_outcome_text(PS_NET_ABSENT));
}

static bool finish_list(struct s3_call *call)
{
	int err = ps_s3_list_read(call);
	if (err == PS_OK)
		return done(call);
	return finish(call, PS_NET_UNAVAILABLE, err, "%s", ps_last_error_message());
}

/* radosgw answers 500 to a read that a change has overtaken. */
static bool reads_again(struct s3_call *call)
{
	bool reads = call->act == S3_ACT_HEAD || call->act == S3_ACT_GET || call->act == S3_ACT_GET_RANGE;
	return reads && call->answer.status == 500 && call->rereads++ < MOST_REREADS;
}

/* False: what there is has to be asked for by a HEAD, since the range was behind the record's end. */
static bool finish_read(struct s3_call *call)
{
	const struct s3_answer *a = &call->answer;
	if (call->act == S3_ACT_LIST && a->status == 200)
		return finish_list(call);
	if (call->act == S3_ACT_MAKE_BUCKET && (a->status == 200 || a->status == 409))
		return done(call);
	if (call->act == S3_ACT_LIST && a->status == 404)
		return finish(call, PS_NET_UNAVAILABLE, PS_ENOENT, "there is no such bucket");
	if (a->status == 404)
		return absent(call);
	if (call->act == S3_ACT_GET_RANGE && a->status == 416) {
		call->act = S3_ACT_HEAD;
		return false;
	}
	if (call->act == S3_ACT_GET_RANGE && a->status == 206 &&
	    (!a->has_range || a->first != call->request->offset))
		return finish(call, PS_NET_UNAVAILABLE, PS_EIO, "the answer is another range");
	if (call->act == S3_ACT_GET_RANGE && a->status == 200)
		return finish(call, PS_NET_DENIED, PS_ENOTSUP, "the endpoint does not read ranges");
	if (a->status == 200 || a->status == 206)
		return done_reading(call);
	return finish_status(call);
}

/* ---- changes ---- */

static bool finish_conflict(struct s3_call *call)
{
	call->request->token = call->answer.etag;
	return finish(call, PS_NET_CONFLICT, PS_OK, "%s", ps_outcome_text(PS_NET_CONFLICT));
}

static enum s3_act act_of(enum ps_net_op op)
{
	switch (op) {
	case PS_NET_GET:
		return S3_ACT_GET;
	case PS_NET_GET_RANGE:
		return S3_ACT_GET_RANGE;
	case PS_NET_HEAD:
		return S3_ACT_HEAD;
	case PS_NET_CREATE:
		return S3_ACT_CREATE;
	case PS_NET_REPLACE:
		return S3_ACT_REPLACE;
	case PS_NET_REMOVE:
		return S3_ACT_REMOVE;
	case PS_NET_LIST:
		return S3_ACT_LIST;
	}
	return S3_ACT_HEAD;
}

static bool act(struct s3_call *call, const struct ps_net_token *token)
{
	call->step = S3_STEP_ACT;
	call->act = act_of(call->request->op);
	call->token = *token;
	/* Without a guard a removal takes whatever is there. */
	if (call->act == S3_ACT_REMOVE && call->mode == S3_PLAIN &&
	    !(call->client->network->base.caps & PS_NET_CAP_GUARDED_REMOVE))
		call->token.len = 0;
	return false;
}

static bool look(struct s3_call *call, enum s3_step step)
{
	call->step = step;
	call->act = S3_ACT_HEAD;
	return false;
}

void ps_s3_first_step(struct s3_call *call)
{
	const struct ps_net_request *r = call->request;
	const struct ps_net_token none = {0};
	if (call->mode == S3_MAKE_BUCKET) {
		call->step = S3_STEP_ACT;
		call->act = S3_ACT_MAKE_BUCKET;
	} else if (r->op == PS_NET_REMOVE && call->mode == S3_BLIND_REMOVE) {
		act(call, &r->token);
	} else if (r->op == PS_NET_REMOVE || (r->op == PS_NET_REPLACE && r->token.len == 0)) {
		/* A removal always looks: endpoints answer 204 whether anything was there or not. */
		look(call, S3_STEP_LOOK);
	} else {
		act(call, r->op == PS_NET_REPLACE ? &r->token : &none);
		if (r->op == PS_NET_GET_RANGE && r->len == 0)
			call->act = S3_ACT_HEAD;
	}
}

static bool looked(struct s3_call *call)
{
	const struct ps_net_request *r = call->request;
	struct ps_pad_identity there;
	if (call->answer.status == 404)
		return absent(call);
	if (call->answer.status != 200)
		return finish_status(call);
	take_identity(call, &there);
	if (r->op == PS_NET_REPLACE && ps_identity_same(&there, &r->identity))
		return done(call);
	bool any = r->op == PS_NET_REMOVE && ps_identity_none(&r->expected);
	if (!any && !ps_identity_same(&there, &r->expected))
		return finish_conflict(call);
	if (call->answer.etag.len == 0)
		return finish(call, PS_NET_DENIED, PS_ENOTSUP, "the endpoint names no version (ETag)");
	return act(call, &call->answer.etag);
}

/* The change was refused; this is what there is. */
static bool looked_back(struct s3_call *call)
{
	const struct ps_net_request *r = call->request;
	struct ps_pad_identity there;
	long status = call->answer.status;
	/* Ours, or another's: a removal leaves no name behind. */
	if (status == 404 && r->op == PS_NET_REMOVE && (call->repeated || call->refusal == 500))
		return finish(call, PS_NET_UNKNOWN, PS_OK, "refused with %ld, and nothing is there",
		              call->refusal);
	if (status == 404 && r->op == PS_NET_REMOVE)
		return absent(call);
	if (status == 404 && r->op == PS_NET_REPLACE)
		return absent(call);
	if (status == 404)
		return finish(call,
		              call->repeated || call->refusal == 500 ? PS_NET_UNKNOWN : PS_NET_UNAVAILABLE,
		              PS_OK, "refused with %ld, but nothing is there", call->refusal);
	if (status != 200)
		return finish(call, PS_NET_UNKNOWN, PS_OK,
		              "refused with %ld; what is there is not told (%ld)", call->refusal, status);
	take_identity(call, &there);
	if (r->op != PS_NET_REMOVE && ps_identity_same(&there, &r->identity))
		return done(call);
	if (r->op == PS_NET_CREATE || !ps_identity_same(&there, &r->expected))
		return finish_conflict(call);
	/* The version that was expected, under another token: the token that we were given was old. */
	bool other = call->answer.etag.len != call->token.len ||
	             memcmp(call->answer.etag.bytes, call->token.bytes, call->token.len) != 0;
	if (other && !call->again && call->refusal != 500 && call->answer.etag.len > 0) {
		call->again = true;
		return act(call, &call->answer.etag);
	}
	if (call->refusal == 500)
		return finish(call, PS_NET_UNKNOWN, PS_OK, "500, and the version from before is there");
	/* A 412 beside the version that it denies: the look was older than the answer. */
	if (call->refusal != 412)
		return finish(call, call->repeated ? PS_NET_UNKNOWN : PS_NET_UNAVAILABLE, PS_OK,
		              "refused with %ld, but the version that was expected is there", call->refusal);
	return finish_conflict(call);
}

/* Whether the status speaks of the condition, and not of anything else. */
static bool is_condition(const struct s3_call *call)
{
	struct s3_error_document error;
	long status = call->answer.status;
	if (status == 412 || status == 409)
		return true;
	if (status != 404 || call->act == S3_ACT_CREATE)
		return false;
	ps_s3_xml_error(call->text, call->text_len, &error);
	return strcmp(error.code, "NoSuchBucket") != 0;
}

static bool changed(struct s3_call *call)
{
	if (ok_status(call->answer.status))
		return done(call);
	/* A 500 is radosgw's usual answer to who lost a race: a look often settles it, since a version that
	 * gave way to another never comes back, and with it no late copy of the change can succeed. */
	if (!is_condition(call) && (call->answer.status != 500 || call->mode == S3_BLIND_REMOVE))
		return finish_status(call);
	if (call->mode == S3_BLIND_REMOVE)
		return finish_conflict(call);
	call->refusal = call->answer.status;
	call->repeated = call->attempts > 1;
	return look(call, S3_STEP_BACK);
}

bool ps_s3_next_step(struct s3_call *call, CURLcode code)
{
	if (code != CURLE_OK && call->step == S3_STEP_BACK)
		return finish(call, PS_NET_UNKNOWN, code == CURLE_OPERATION_TIMEDOUT ? PS_ETIMEDOUT : PS_OK,
		              "refused with %ld; what is there is not told: %s", call->refusal,
		              call->error[0] ? call->error : curl_easy_strerror(code));
	if (code != CURLE_OK)
		return finish_curl(call, code);
	if (reads_again(call))
		return false;
	if (call->step == S3_STEP_LOOK)
		return looked(call);
	if (call->step == S3_STEP_BACK)
		return looked_back(call);
	return changes(call->act) ? changed(call) : finish_read(call);
}
