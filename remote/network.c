/* The gate: every call of network.h. It finds the network by its scheme, checks what every network would have
 * to check, counts what is in flight, and is the only place that calls slots. */
#include <assert.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fail.h"
#include "remote/dir_internal.h"
#include "remote/network.h"

enum { DEFAULT_TIMEOUT_MS = 60000, DEFAULT_DEPTH = 10, MOST_DEPTH = 1024, NAME_TEXT = 2 * PS_PAD_NAME + 1 };

/* A network whose library is missing keeps its line, so that its URL is told from a misspelt one. */
static const struct scheme {
	const char *name;
	const struct ps_network_ops *ops;
} schemes[] = {
    {"mem", &ps_mem_network},
    {"dir", &ps_dir_network},
#ifdef PS_HAVE_S3
    {"s3", &ps_s3_network},
#else
    {"s3", NULL},
#endif
#ifdef PS_HAVE_RADOS
    {"rados", &ps_rados_network},
#else
    {"rados", NULL},
#endif
};

/* ---- networks ---- */

static const struct scheme *find_scheme(const char *url, const char **rest)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
		size_t len = strlen(schemes[i].name);
		if (strncmp(url, schemes[i].name, len) == 0 && url[len] == ':') {
			*rest = url + len + 1;
			return &schemes[i];
		}
	}
	return NULL;
}

/* "//USER:SECRET@HOST": a URL is shown, so it can hold no secret. */
static bool holds_secret(const char *rest)
{
	if (strncmp(rest, "//", 2) != 0)
		return false;
	return memchr(rest + 2, '@', strcspn(rest + 2, "/?#")) != NULL;
}

int ps_network_check_url(const char *url)
{
	const char *host = strstr(url, "//");
	const char *rest = host ? host : url;
	const struct scheme *scheme = find_scheme(url, &rest);
	/* A path is what it is. */
	bool is_path = scheme && strcmp(scheme->name, "dir") == 0;
	if (!is_path && holds_secret(rest))
		return ps_fail(PS_EINVAL, "a network's URL names no user and holds no secret");
	if (!scheme)
		return ps_fail(
		    PS_EINVAL,
		    "'%.200s' is no network: a URL begins with dir:, s3:, rados: or, for tests, mem:", url);
	return PS_OK;
}

static int check_options(const struct ps_network_options *options)
{
	if (options && options->size != sizeof(*options))
		return ps_fail(PS_EINVAL, "ps_network_open: options of %zu bytes (%zu expected)",
		               options->size, sizeof(*options));
	if (options && options->depth > MOST_DEPTH)
		return ps_fail(PS_EINVAL, "ps_network_open: a depth of %u (%d at most)", options->depth,
		               MOST_DEPTH);
	return PS_OK;
}

int ps_network_full_url(const char *url, char full[PS_NETWORK_URL])
{
	char path[PATH_MAX];
	bool folder = strncmp(url, "dir:", 4) == 0 && url[4];
	int err = folder ? ps_dir_full_path(url + 4, path) : PS_OK;
	if (err != PS_OK)
		return err;
	int len = snprintf(full, PS_NETWORK_URL, "%s%s", folder ? "dir:" : "", folder ? path : url);
	return len < PS_NETWORK_URL ? PS_OK
	                            : ps_fail(PS_EINVAL, "a network's URL of %d bytes is too long", len);
}

int ps_network_open(const char *url, const struct ps_network_options *options, ps_network **network)
{
	const char *rest = NULL;
	char full[PS_NETWORK_URL];
	if (!url || !network)
		return ps_fail(PS_EINVAL, "ps_network_open: %s is NULL", url ? "network" : "the URL");
	int err = check_options(options);
	if (err == PS_OK)
		err = ps_network_check_url(url);
	if (err == PS_OK)
		err = ps_network_full_url(url, full);
	if (err != PS_OK)
		return err;
	const struct scheme *scheme = find_scheme(full, &rest);
	if (!scheme->ops)
		return ps_fail(PS_ENOTSUP, "this library was built without %s: networks", scheme->name);
	struct ps_network_options filled = options ? *options : (struct ps_network_options){0};
	filled.size = sizeof(filled);
	filled.timeout_ms = filled.timeout_ms ? filled.timeout_ms : DEFAULT_TIMEOUT_MS;
	filled.depth = filled.depth ? filled.depth : DEFAULT_DEPTH;
	return scheme->ops->open(rest, &filled, network);
}

/* The struct holds the memory that counts all else, so it is the one piece that is not counted. */
static void *take_struct(const struct ps_allocator_fns *fns, size_t bytes)
{
	if (!fns || !fns->alloc)
		return calloc(1, bytes);
	void *memory = fns->alloc(fns->arg, bytes);
	return memory ? memset(memory, 0, bytes) : NULL;
}

static void give_struct(const struct ps_allocator_fns *fns, void *memory, size_t bytes)
{
	if (fns->alloc)
		fns->release(fns->arg, memory, bytes);
	else
		free(memory);
}

void ps_network_drop(ps_network *n)
{
	struct ps_allocator_fns fns = n->given;
	if (n->url)
		ps_memory_free(&n->memory, n->url, strlen(n->url) + 1);
	ps_memory_done(&n->memory);
	give_struct(&fns, n, n->bytes);
}

int ps_network_new(const struct ps_network_ops *ops, size_t bytes, const char *rest,
                   const struct ps_network_options *options, ps_network **network)
{
	size_t url_bytes = strlen(ops->scheme) + 1 + strlen(rest) + 1;
	assert(bytes >= sizeof(ps_network) && ops->open && ops->close && ops->client);
	ps_network *n = take_struct(options->allocator, bytes);
	if (!n)
		return ps_fail(PS_ENOMEM, "%s: no memory for the network", ops->scheme);
	n->ops = ops;
	n->bytes = bytes;
	if (options->allocator)
		n->given = *options->allocator;
	n->timeout_ms = options->timeout_ms;
	n->depth = options->depth;
	n->caps = options->read_only ? PS_NET_CAP_READ_ONLY : 0;
	n->stop = options->stop;
	n->stop_arg = options->stop_arg;
	atomic_init(&n->references, 1);
	ps_memory_init(&n->memory, options->allocator);
	n->url = ps_memory_alloc(&n->memory, url_bytes);
	if (!n->url) {
		ps_network_drop(n);
		return ps_fail(PS_ENOMEM, "%s: no memory for the network", ops->scheme);
	}
	snprintf(n->url, url_bytes, "%s:%s", ops->scheme, rest);
	*network = n;
	return PS_OK;
}

void ps_network_hold(ps_network *network)
{
	atomic_fetch_add_explicit(&network->references, 1, memory_order_relaxed);
}

void ps_network_release(ps_network *network)
{
	if (atomic_fetch_sub_explicit(&network->references, 1, memory_order_acq_rel) != 1)
		return;
	network->ops->close(network);
	ps_network_drop(network);
}

void ps_network_close(ps_network *network)
{
	if (network)
		ps_network_release(network);
}

uint32_t ps_network_caps(const ps_network *network)
{
	return network->caps;
}

uint64_t ps_network_largest(const ps_network *network)
{
	return network->largest;
}

const char *ps_network_url(const ps_network *network)
{
	return network->url;
}

void ps_network_ask_nobody(ps_network *network)
{
	network->stop = NULL;
}

bool ps_network_stopped(ps_network *network)
{
	if (network->stop && !network->stopped)
		network->stopped = network->stop(network->stop_arg);
	return network->stopped;
}

/* ---- requests ---- */

void ps_request_finish(const ps_network *network, struct ps_net_request *request, enum ps_outcome outcome,
                       const char *format, ...)
{
	static const char digits[] = "0123456789abcdef";
	char name[NAME_TEXT] = "";
	va_list args;
	request->outcome = outcome;
	request->sentence[0] = '\0';
	if (outcome == PS_NET_DONE)
		return;
	for (size_t i = 0; i < PS_PAD_NAME && request->op != PS_NET_LIST; i++) {
		name[2 * i] = digits[request->name.bytes[i] >> 4];
		name[2 * i + 1] = digits[request->name.bytes[i] & 15];
	}
	/* The name is worth more than the end of a long URL. */
	int len = snprintf(request->sentence, PS_NET_SENTENCE, "%.96s: %s%s", network->url, name,
	                   name[0] ? ": " : "");
	va_start(args, format);
	vsnprintf(request->sentence + len, PS_NET_SENTENCE - (size_t)len, format, args);
	va_end(args);
}

static const char *impossible_buffer(const struct ps_net_request *r)
{
	const struct ps_net_buffer *buffer = r->buffer;
	bool fills = r->op == PS_NET_GET || r->op == PS_NET_GET_RANGE;
	if (!fills && r->op != PS_NET_CREATE && r->op != PS_NET_REPLACE)
		return NULL;
	if (!buffer || !buffer->bytes)
		return "it has no buffer";
	if (buffer->len > buffer->capacity)
		return "its buffer's length is above its capacity";
	if (r->op == PS_NET_GET_RANGE && (r->len > buffer->capacity || r->offset > UINT64_MAX - r->len))
		return "the range is larger than its buffer or the address space";
	return NULL;
}

static const char *impossible_identity(const ps_network *network, const struct ps_net_request *r)
{
	bool stores = r->op == PS_NET_CREATE || r->op == PS_NET_REPLACE;
	if (stores && ps_identity_none(&r->identity))
		return "what is sent has no identity";
	if (r->op == PS_NET_REPLACE && ps_identity_none(&r->expected))
		return "no version is expected";
	if (r->op == PS_NET_REPLACE && ps_identity_same(&r->expected, &r->identity))
		return "what is sent has the identity of what it replaces";
	if (r->op == PS_NET_REMOVE && (network->caps & PS_NET_CAP_GUARDED_REMOVE) &&
	    ps_identity_none(&r->expected))
		return "no version is expected";
	if (r->token.len > PS_NET_TOKEN)
		return "its token is longer than a token";
	return NULL;
}

static const char *impossible(const ps_client *client, const struct ps_net_request *r)
{
	if ((unsigned)r->op > PS_NET_LIST)
		return "there is no such operation";
	if (r->op == PS_NET_LIST)
		return r->list && r->list->listed && r->list->capacity ? NULL : "it has no room for a list";
	const char *why = impossible_buffer(r);
	return why ? why : impossible_identity(client->network, r);
}

/* All that a network fills in. */
static void empty_answer(const ps_client *client, struct ps_net_request *r)
{
	r->outcome = PS_NET_UNAVAILABLE;
	r->throttled = false;
	r->error = PS_OK;
	r->sentence[0] = '\0';
	r->size = 0;
	r->next = NULL;
	r->state = NULL;
	r->timeout_ms = r->timeout_ms ? r->timeout_ms : client->network->timeout_ms;
	if (r->op == PS_NET_LIST) {
		r->list->count = 0;
		r->list->more = false;
	} else if (r->op == PS_NET_GET || r->op == PS_NET_GET_RANGE || r->op == PS_NET_HEAD) {
		r->identity = (struct ps_pad_identity){0};
		r->token.len = 0;
	}
	if (r->op == PS_NET_GET || r->op == PS_NET_GET_RANGE)
		r->buffer->len = 0;
}

/* Whether the answer is known without asking the network. */
static bool refuse(const ps_client *client, struct ps_net_request *r)
{
	const ps_network *n = client->network;
	if (ps_net_op_writes(r->op) && (n->caps & PS_NET_CAP_READ_ONLY)) {
		ps_request_finish(n, r, PS_NET_DENIED, "the network is open for reading only");
		r->error = PS_EREADONLY;
		return true;
	}
	if ((r->op == PS_NET_CREATE || r->op == PS_NET_REPLACE) && r->buffer->len > n->largest) {
		ps_request_finish(n, r, PS_NET_TOO_BIG, "%zu bytes (%llu at most)", r->buffer->len,
		                  (unsigned long long)n->largest);
		return true;
	}
	return false;
}

/* ---- clients ---- */

int ps_client_open(ps_network *network, ps_client **client)
{
	ps_client *c = NULL;
	if (!network || !client)
		return ps_fail(PS_EINVAL, "ps_client_open: an argument is NULL");
	int err = network->ops->client(network, &c);
	if (err != PS_OK)
		return err;
	assert(c->ops->close && c->ops->submit && c->ops->wait && c->ops->cancel && c->ops->wake);
	c->network = network;
	*client = c;
	return PS_OK;
}

void ps_client_close(ps_client *client)
{
	if (client)
		client->ops->close(client);
}

int ps_client_submit(ps_client *client, struct ps_net_request *request)
{
	if (!client || !request)
		return ps_fail(PS_EINVAL, "ps_client_submit: an argument is NULL");
	const char *why = impossible(client, request);
	if (why)
		return ps_fail(PS_EINVAL, "%s: an impossible request: %s", client->network->url, why);
	if (client->in_flight >= client->network->depth)
		return ps_fail(PS_EBUSY, "%s: %u requests are in flight, as many as may be",
		               client->network->url, client->in_flight);
	empty_answer(client, request);
	client->in_flight++;
	if (refuse(client, request)) {
		request->next = client->refused;
		client->refused = request;
	} else {
		client->ops->submit(client, request);
	}
	return PS_OK;
}

/* A read cannot be unknown: nothing comes of it. */
static void check_answer(const ps_client *client, struct ps_net_request *r)
{
	assert((unsigned)r->outcome <= PS_NET_UNKNOWN);
	assert(ps_net_op_writes(r->op) || (r->outcome != PS_NET_UNKNOWN && r->outcome != PS_NET_CONFLICT));
	assert(!r->buffer || r->buffer->len <= r->buffer->capacity);
	if (r->outcome != PS_NET_DONE && r->sentence[0] == '\0')
		ps_request_finish(client->network, r, r->outcome, "%s", ps_outcome_text(r->outcome));
}

struct ps_net_request *ps_client_wait(ps_client *client, uint32_t timeout_ms)
{
	if (!client || client->in_flight == 0)
		return NULL;
	struct ps_net_request *request = client->refused;
	if (request)
		client->refused = request->next;
	else
		request = client->ops->wait(client, timeout_ms);
	if (!request)
		return NULL;
	client->in_flight--;
	request->next = NULL;
	request->state = NULL;
	check_answer(client, request);
	return request;
}

static bool is_refused(const ps_client *client, const struct ps_net_request *request)
{
	const struct ps_net_request *r = client->refused;
	while (r && r != request)
		r = r->next;
	return r != NULL;
}

void ps_client_cancel(ps_client *client, struct ps_net_request *request)
{
	if (client && request && client->in_flight > 0 && !is_refused(client, request))
		client->ops->cancel(client, request);
}

void ps_client_wake(ps_client *client)
{
	if (client)
		client->ops->wake(client);
}

enum ps_outcome ps_client_call(ps_client *client, struct ps_net_request *request)
{
	int err = ps_client_submit(client, request);
	if (err != PS_OK) {
		if (request) {
			request->outcome = PS_NET_UNAVAILABLE;
			request->error = err;
			snprintf(request->sentence, PS_NET_SENTENCE, "%s", ps_last_error_message());
		}
		return PS_NET_UNAVAILABLE;
	}
	/* A wake is for others: it only ends the wait. */
	uint32_t step_ms = client->network->stop ? PS_NET_ASK_MS : UINT32_MAX;
	bool canceled = false;
	while (ps_client_wait(client, step_ms) != request)
		if (!canceled && ps_network_stopped(client->network)) {
			ps_client_cancel(client, request);
			canceled = true;
		}
	return request->outcome;
}
