/* Networks: where pads lie. A network keeps records of bytes under names of 32 bytes and replaces a record
 * only by a compare-and-swap on its identity. It knows nothing of what is in a record, and is trusted with
 * nothing: whoever reads verifies name, signature, counter and contents (remote/pad.h).
 *
 * A network is opened once, from a URL, and is safe for calls from several threads. Requests go through
 * clients: one a worker, each used by one thread at a time (but for ps_client_wake). A request is
 * asynchronous: submitted, and found again, finished, by ps_client_wait. Nothing here blocks longer than it
 * is asked to. */
#ifndef PS_NETWORK_H
#define PS_NETWORK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/tokens.h"

enum { PS_PAD_NAME = 32, PS_NET_TOKEN = 64, PS_NET_SENTENCE = 256, PS_NET_CURSOR = 128 };

struct ps_pad_name {
	uint8_t bytes[PS_PAD_NAME];
};

/* Names one version of a record: no two different records of one name ever carry the same pair. All zero:
 * none. */
struct ps_pad_identity {
	uint64_t counter;
	uint8_t hash[32];
};

/* What became of a request. Reads end with done, absent, denied or unavailable; only create, replace and
 * remove know the others, and only they can be unknown: the network may have carried them out, or may still
 * do so. */
#define PS_OUTCOME_TABLE(X)                                                                                  \
	X(PS_NET_DONE, "done")                                                                               \
	X(PS_NET_CONFLICT, "another version is there")                                                       \
	X(PS_NET_ABSENT, "nothing is there")                                                                 \
	X(PS_NET_FULL, "the network is full")                                                                \
	X(PS_NET_TOO_BIG, "larger than the network takes")                                                   \
	X(PS_NET_DENIED, "the network refuses")                                                              \
	X(PS_NET_UNAVAILABLE, "surely not carried out")                                                      \
	X(PS_NET_UNKNOWN, "may be carried out")

enum ps_outcome {
#define PS_OUTCOME_ENUM(name, text) name,
	PS_OUTCOME_TABLE(PS_OUTCOME_ENUM)
#undef PS_OUTCOME_ENUM
};

const char *ps_outcome_text(enum ps_outcome outcome);
/* The error that a caller gets for an outcome: PS_OK, PS_EBUSY, PS_ENOTFOUND, PS_ENOSPC, PS_ERANGE,
 * PS_EACCES, PS_EUNAVAILABLE, PS_EUNAVAILABLE. */
int ps_outcome_error(enum ps_outcome outcome);

/* Bytes on their way. Counted references, since a request that cannot be recalled goes on reading or filling
 * its buffer after it was given up: the client holds a reference of its own for as long. Aligned to 4,096
 * bytes. */
struct ps_net_buffer {
	atomic_uint references;
	struct ps_memory *memory;
	size_t capacity;
	size_t len; /* what is to be sent, or what was received */
	uint8_t *bytes;
};

/* One reference, length 0; NULL when there is no memory. `memory` outlives every reference, those of requests
 * that were given up too; a network's own memory does by itself (ps_network_hold). */
struct ps_net_buffer *ps_net_buffer_new(struct ps_memory *memory, size_t capacity);
struct ps_net_buffer *ps_net_buffer_hold(struct ps_net_buffer *buffer);
void ps_net_buffer_release(struct ps_net_buffer *buffer); /* NULL is fine */

enum ps_net_op {
	PS_NET_GET,       /* the whole record into buffer; larger than its capacity is PS_NET_TOO_BIG */
	PS_NET_GET_RANGE, /* bytes [offset, offset + len) of it; short at its end */
	PS_NET_HEAD,      /* identity and size of the record */
	PS_NET_CREATE,    /* buffer under a name that has none yet; else conflict */
	PS_NET_REPLACE,   /* buffer in place of the version `expected`; conflict, or absent */
	PS_NET_REMOVE, /* the version `expected` (any, where PS_NET_CAP_GUARDED_REMOVE is missing); absent is
	                  told */
	PS_NET_LIST,   /* names, a page at a time */
};

/* What the network calls a version itself (S3: its ETag). Opaque; len 0: none. */
struct ps_net_token {
	uint8_t len;
	uint8_t bytes[PS_NET_TOKEN];
};

struct ps_net_listed {
	struct ps_pad_name name;
	uint64_t size;
};

/* A page of a listing. Each record that was there throughout is listed at least once; in no certain order,
 * and one may come twice. Things under names that are no pad's are skipped. */
struct ps_net_list {
	struct ps_net_listed *listed; /* in: room for `capacity`; out: `count` of them */
	size_t capacity, count;
	uint8_t cursor[PS_NET_CURSOR]; /* in: what the page before left, all zero at first */
	bool more;                     /* out: another page follows */
};

/* The caller's until submitted and again once ps_client_wait has returned it; untouched in between. */
struct ps_net_request {
	enum ps_net_op op;
	struct ps_pad_name name;
	struct ps_pad_identity expected; /* replace, remove */
	struct ps_pad_identity
	    identity; /* in: create, replace: of what is sent; out: get, get_range, head: of what is there */
	struct ps_net_token
	    token; /* in: with `expected`, if known, saves a look; out: of what is there now */
	uint64_t offset;
	size_t len;
	uint64_t size;                /* out: get, get_range, head: of the whole record */
	struct ps_net_buffer *buffer; /* create, replace, get, get_range; the caller keeps its reference */
	struct ps_net_list *list;
	uint32_t timeout_ms; /* from submission; 0: the network's default, which is then written here */
	enum ps_token_class class; /* of who waits for it; a network may let the background wait */

	enum ps_outcome outcome;
	bool throttled; /* the network asks for fewer requests (429, 503) */
	int error;      /* PS_OK, or more exact than ps_outcome_error: PS_ECLOCK for clock skew, … */
	char sentence[PS_NET_SENTENCE]; /* of a failure: network, name, what it answered; never a secret */

	void *arg;                   /* the caller's */
	struct ps_net_request *next; /* the client's, while submitted */
	void *state;                 /* the client's, while submitted */
};

enum ps_net_caps {
	PS_NET_CAP_GUARDED_REMOVE = 1, /* remove compares `expected` */
	PS_NET_CAP_CREATE_COSTS = 2,   /* each new record costs money: reuse is worth more than deletion */
	PS_NET_CAP_READ_ONLY = 4,      /* writes are refused: opened so, or the endpoint keeps no promise */
};

typedef struct ps_network ps_network;
typedef struct ps_client ps_client;

/* Zero means the default everywhere. */
struct ps_network_options {
	size_t size;         /* sizeof(struct ps_network_options) */
	uint32_t timeout_ms; /* of a request, 60,000 */
	uint32_t depth;      /* requests in flight of one client, 10 */
	bool read_only;
	bool create;         /* make what the URL names (folder, …) if it is not there */
	const char *region;  /* S3 */
	const char *profile; /* S3: in the shared credentials file */
	const char *ca_file; /* S3: instead of the system's */
	const char *config;  /* RADOS: instead of /etc/ceph/ceph.conf */
	const char *user;    /* RADOS: client.admin */
	const char *keyring; /* RADOS */
	const struct ps_allocator_fns *allocator;
	/* Asked by the calling thread, some twenty times a second, while ps_network_open or ps_client_call
	 * waits for an answer: true ends it with PS_ECANCELED. Until ps_network_ask_nobody. NULL: never. */
	bool (*stop)(void *arg);
	void *stop_arg;
};

enum { PS_NETWORK_URL = 4096 + 8 };
/* The URL by which this place is known here, wherever it is said: that of a dir: network has the folder's
 * path from the root, without links and dots; one that is not there yet has it as far as it is. PS_EINVAL:
 * too long. */
int ps_network_full_url(const char *url, char full[PS_NETWORK_URL]) __attribute__((warn_unused_result));
/* Begins as a network's URL does, and holds no secret: PS_EINVAL. What stands behind the scheme is looked at
 * when it is opened. */
int ps_network_check_url(const char *url) __attribute__((warn_unused_result));
/* Opens mem:, dir:, s3: or rados: by its URL. PS_EINVAL (no such scheme, a malformed URL, a secret in it),
 * PS_ENOTSUP (built without), PS_ENOENT, PS_EACCES, PS_EUNAVAILABLE, PS_ENOMEM. */
int ps_network_open(const char *url, const struct ps_network_options *options, ps_network **network)
    __attribute__((warn_unused_result));
/* All clients are closed before. NULL is fine. */
void ps_network_close(ps_network *network);
uint32_t ps_network_caps(const ps_network *network);
uint64_t ps_network_largest(const ps_network *network); /* bytes of a record */
/* The URL as it may be shown: without anything secret. */
const char *ps_network_url(const ps_network *network);

void ps_network_ask_nobody(ps_network *network);

int ps_client_open(ps_network *network, ps_client **client) __attribute__((warn_unused_result));
/* Requests still in flight are given up: they are not returned any more, their buffers live as long as they
 * need. */
void ps_client_close(ps_client *client);
/* Takes a request. PS_EBUSY if `depth` are in flight, PS_EINVAL for an impossible one (ps_last_error_message
 * tells); whatever the network does is told by the outcome. Never blocks. */
int ps_client_submit(ps_client *client, struct ps_net_request *request) __attribute__((warn_unused_result));
/* A finished request, or NULL after timeout_ms (0: at once), when ps_client_wake was called, or when none is
 * in flight.
 */
struct ps_net_request *ps_client_wait(ps_client *client, uint32_t timeout_ms);
/* A request in flight finishes within a second: unknown if a write may have left, unavailable otherwise. */
void ps_client_cancel(ps_client *client, struct ps_net_request *request);
/* Ends a ps_client_wait at once, or the next. From any thread. */
void ps_client_wake(ps_client *client);
/* Submits and waits for this one request; for those who have a client of their own and nothing else in
 * flight. */
enum ps_outcome ps_client_call(ps_client *client, struct ps_net_request *request);

/* ---- for those who write a network ---- */

struct ps_network_ops {
	const char *scheme; /* "dir" */
	/* `rest` is what follows "dir:"; options are never NULL and have their defaults filled in. Makes the
	 * struct by ps_network_new, and sets caps and largest. */
	int (*open)(const char *rest, const struct ps_network_options *options, ps_network **network);
	/* Frees what the network holds, but not the struct. Called once, with the last reference, from
	 * whatever thread has that one. */
	void (*close)(ps_network *network);
	/* From network->memory; all bytes of the ps_client zero but ops. */
	int (*client)(ps_network *network, ps_client **client);
};

/* What the gate (network.c) has checked is not checked again: sizes, buffers, identities, read-only, depth.
 * It empties all out fields at submit, counts, and writes the sentence of a failure where there is none. */
struct ps_client_ops {
	void (*close)(ps_client *client);
	void (*submit)(ps_client *client, struct ps_net_request *request);
	/* Called with a request in flight only. */
	struct ps_net_request *(*wait)(ps_client *client, uint32_t timeout_ms);
	/* May be called for a request that has finished and was not returned yet. */
	void (*cancel)(ps_client *client, struct ps_net_request *request);
	void (*wake)(ps_client *client);
};

/* `bytes` zeroed bytes that begin with a struct ps_network: ops, memory, url ("SCHEME:rest", without
 * secrets), timeout, depth, read-only set; one reference. PS_ENOMEM. */
int ps_network_new(const struct ps_network_ops *ops, size_t bytes, const char *rest,
                   const struct ps_network_options *options, ps_network **network)
    __attribute__((warn_unused_result));
/* Of one that could not be opened: frees the struct without a call of ops->close. */
void ps_network_drop(ps_network *network);
/* For operations that go on after their client and the network were closed: the network and its memory live
 * until the last reference is gone. ps_network_close gives back the first. */
void ps_network_hold(ps_network *network);
void ps_network_release(ps_network *network);
/* Whether whoever opens the network wants to go on no longer: for those that wait in the calling thread, in
 * steps of PS_NET_ASK_MS. */
enum { PS_NET_ASK_MS = 50 };
bool ps_network_stopped(ps_network *network);
/* The request's outcome, and a sentence: "URL: NAME: " and what is said. done: format "". */
void ps_request_finish(const ps_network *network, struct ps_net_request *request, enum ps_outcome outcome,
                       const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Whether it changes what is there: only these can be unknown. */
static inline bool ps_net_op_writes(enum ps_net_op op)
{
	return op == PS_NET_CREATE || op == PS_NET_REPLACE || op == PS_NET_REMOVE;
}
static inline bool ps_identity_none(const struct ps_pad_identity *identity)
{
	static const uint8_t none[32];
	return identity->counter == 0 && memcmp(identity->hash, none, sizeof(none)) == 0;
}
static inline bool ps_identity_same(const struct ps_pad_identity *a, const struct ps_pad_identity *b)
{
	return a->counter == b->counter && memcmp(a->hash, b->hash, sizeof(a->hash)) == 0;
}

/* First member of a network, and of a client. */
struct ps_network {
	const struct ps_network_ops *ops;
	struct ps_memory memory;
	uint32_t caps, timeout_ms, depth;
	uint64_t largest;
	char *url;
	size_t bytes; /* of the whole struct */
	struct ps_allocator_fns given;
	atomic_uint references;
	bool (*stop)(void *arg); /* struct ps_network_options */
	void *stop_arg;
	bool stopped; /* it has said so */
};

struct ps_client {
	const struct ps_client_ops *ops;
	ps_network *network;
	uint32_t in_flight;
	struct ps_net_request *refused; /* finished by the gate, not returned yet */
};

extern const struct ps_network_ops ps_mem_network, ps_dir_network, ps_s3_network, ps_rados_network;

#endif
