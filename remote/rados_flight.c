/* One request as librados sees it: which operation is sent, and what its result means. A record is an object;
 * its identity is an xattr, written and compared in the same operation as the bytes. */
#include <assert.h>
#include <endian.h>
#include <errno.h>

#include "base/fail.h"
#include "remote/rados_internal.h"

static void put_version(const struct ps_pad_identity *identity, char version[RADOS_VERSION])
{
	uint64_t counter = htobe64(identity->counter);
	memcpy(version, &counter, sizeof(counter));
	memcpy(version + sizeof(counter), identity->hash, sizeof(identity->hash));
}

static void get_version(const char version[RADOS_VERSION], struct ps_pad_identity *identity)
{
	uint64_t counter;
	memcpy(&counter, version, sizeof(counter));
	identity->counter = be64toh(counter);
	memcpy(identity->hash, version + sizeof(counter), sizeof(identity->hash));
}

struct rados_flight *ps_rados_flight_new(struct rados_network *network, struct ps_net_request *request)
{
	struct rados_flight *f = ps_memory_zalloc(&network->base.memory, sizeof(*f));
	if (!f)
		return NULL;
	f->network = network;
	f->request = request;
	f->op = request->op;
	f->deadline_ns = ps_rados_now_ns() + (uint64_t)request->timeout_ms * RADOS_NS_PER_MS;
	if (request->op == PS_NET_LIST) {
		f->listing = ps_rados_listing_new(network, request->list);
		if (f->listing)
			return f;
		ps_memory_free(&network->base.memory, f, sizeof(*f));
		return NULL;
	}
	ps_rados_object_name(&request->name, f->name);
	if (request->op != PS_NET_HEAD && request->op != PS_NET_REMOVE)
		f->buffer = ps_net_buffer_hold(request->buffer);
	return f;
}

void ps_rados_flight_free(struct rados_flight *f)
{
	if (!f)
		return;
	struct rados_network *n = f->network;
	if (f->attributes)
		n->calls->rados_getxattrs_end(f->attributes);
	if (f->read)
		n->calls->rados_release_read_op(f->read);
	if (f->write)
		n->calls->rados_release_write_op(f->write);
	if (f->completion)
		n->calls->rados_aio_release(f->completion);
	ps_net_buffer_release(f->buffer);
	ps_rados_listing_free(n, f->listing);
	ps_memory_free(&n->base.memory, f, sizeof(*f));
}

/* ---- sending ---- */

/* A thread of librados, in which nothing of it may be waited for. */
static void on_complete(rados_completion_t completion, void *arg)
{
	struct rados_flight *f = arg;
	ps_rados_flight_landed(f, f->network->calls->rados_aio_get_return_value(completion));
}

/* The guard and the bytes in one operation, so that there is no moment between them. An xattr that is not
 * there compares as empty: 40 bytes are never equal to that. */
static int send_write(struct rados_flight *f)
{
	const struct rados_calls *calls = f->network->calls;
	const struct ps_net_request *r = f->request;
	char version[RADOS_VERSION];
	int flags = LIBRADOS_OPERATION_FULL_TRY;
	f->write = calls->rados_create_write_op();
	if (f->op == PS_NET_CREATE) {
		calls->rados_write_op_create(f->write, LIBRADOS_CREATE_EXCLUSIVE, NULL);
	} else {
		put_version(&r->expected, version);
		calls->rados_write_op_cmpxattr(f->write, RADOS_VERSION_NAME, LIBRADOS_CMPXATTR_OP_EQ, version,
		                               sizeof(version));
	}
	if (f->op == PS_NET_REMOVE) {
		calls->rados_write_op_remove(f->write);
		/* What makes room must work where there is none. */
		flags = LIBRADOS_OPERATION_FULL_FORCE;
	} else {
		put_version(&r->identity, version);
		calls->rados_write_op_write_full(f->write, (const char *)f->buffer->bytes, f->buffer->len);
		calls->rados_write_op_setxattr(f->write, RADOS_VERSION_NAME, version, sizeof(version));
	}
	return calls->rados_aio_write_op_operate(f->write, f->network->io, f->completion, f->name, NULL,
	                                         flags);
}

/* Size, identity and bytes in one operation: they are of one version. A length of 0 would mean everything. */
static int send_read(struct rados_flight *f)
{
	const struct rados_calls *calls = f->network->calls;
	const struct ps_net_request *r = f->request;
	uint64_t offset = f->op == PS_NET_GET_RANGE ? r->offset : 0;
	size_t len = f->op == PS_NET_GET ? f->buffer->capacity : f->op == PS_NET_GET_RANGE ? r->len : 0;
	f->read = calls->rados_create_read_op();
	calls->rados_read_op_stat(f->read, &f->size, NULL, &f->stat_result);
	calls->rados_read_op_getxattrs(f->read, &f->attributes, &f->attributes_result);
	if (len > 0)
		calls->rados_read_op_read(f->read, offset, len, (char *)f->buffer->bytes, &f->received,
		                          &f->read_result);
	return calls->rados_aio_read_op_operate(f->read, f->network->io, f->completion, f->name,
	                                        LIBRADOS_OPERATION_NOFLAG);
}

int ps_rados_flight_start(struct rados_flight *f)
{
	if (f->op == PS_NET_LIST)
		return ps_rados_listing_start(f);
	int result = f->network->calls->rados_aio_create_completion2(f, on_complete, &f->completion);
	if (result < 0)
		return result;
	return ps_net_op_writes(f->op) ? send_write(f) : send_read(f);
}

void ps_rados_flight_landed(struct rados_flight *f, int result)
{
	struct rados_network *n = f->network;
	pthread_mutex_lock(&n->lock);
	f->result = result < 0 ? result : 0;
	f->landed = true;
	f->next_posted = NULL;
	if (f->client) {
		struct rados_flight **end = &f->client->landed;
		while (*end)
			end = &(*end)->next_posted;
		*end = f;
		pthread_cond_signal(&f->client->changed);
	} else {
		/* The bytes go at once: it may be long until somebody sweeps. */
		ps_net_buffer_release(f->buffer);
		f->buffer = NULL;
		pthread_cond_broadcast(&n->swept);
	}
	pthread_mutex_unlock(&n->lock);
}

/* ---- what came back ---- */

/* Whatever is not known to be definite may have been carried out, or may still be. A recalled operation's
 * -ECANCELED is librados's, not the comparison's. */
static enum ps_outcome write_outcome(const struct rados_flight *f)
{
	if (f->recalled && f->result != 0)
		return PS_NET_UNKNOWN;
	switch (-f->result) {
	case 0:
		return PS_NET_DONE;
	case ECANCELED:
		return f->op == PS_NET_CREATE ? PS_NET_UNKNOWN : PS_NET_CONFLICT;
	case EEXIST:
		return f->op == PS_NET_CREATE ? PS_NET_CONFLICT : PS_NET_UNKNOWN;
	case ENOENT: /* of a create: the pool is not there any more */
		return f->op == PS_NET_CREATE ? PS_NET_UNAVAILABLE : PS_NET_ABSENT;
	case ENOSPC:
	case EDQUOT:
		return PS_NET_FULL;
	case EMSGSIZE:
		return PS_NET_TOO_BIG;
	case EPERM:
	case EACCES:
		return PS_NET_DENIED;
	default:
		return PS_NET_UNKNOWN;
	}
}

static enum ps_outcome read_outcome(const struct rados_flight *f)
{
	switch (-f->result) {
	case 0:
		return PS_NET_DONE;
	case ENOENT:
		return f->op == PS_NET_LIST ? PS_NET_UNAVAILABLE : PS_NET_ABSENT;
	case EPERM:
	case EACCES:
		return PS_NET_DENIED;
	default:
		return PS_NET_UNAVAILABLE;
	}
}

/* An object without our xattr has no identity: all zero. */
static void take_identity(struct rados_flight *f)
{
	const char *name = NULL, *value = NULL;
	size_t len = 0;
	while (f->network->calls->rados_getxattrs_next(f->attributes, &name, &value, &len) == 0 && name) {
		if (strcmp(name, RADOS_VERSION_NAME) == 0 && len == RADOS_VERSION)
			get_version(value, &f->request->identity);
	}
}

/* The bytes that there are to be for this size. */
static size_t expected_bytes(const struct rados_flight *f)
{
	const struct ps_net_request *r = f->request;
	if (f->op == PS_NET_HEAD)
		return 0;
	if (f->op == PS_NET_GET)
		return (size_t)f->size;
	uint64_t rest = r->offset < f->size ? f->size - r->offset : 0;
	return rest < r->len ? (size_t)rest : r->len;
}

static void settle_read(struct rados_flight *f)
{
	struct ps_net_request *r = f->request;
	const ps_network *n = &f->network->base;
	take_identity(f);
	r->size = f->size;
	if (f->op == PS_NET_GET && f->size > f->buffer->capacity) {
		ps_request_finish(n, r, PS_NET_TOO_BIG, "%llu bytes are more than the buffer of %zu takes",
		                  (unsigned long long)f->size, f->buffer->capacity);
		return;
	}
	if (f->received != expected_bytes(f)) {
		ps_request_finish(n, r, PS_NET_UNAVAILABLE, "%zu bytes came instead of %zu", f->received,
		                  expected_bytes(f));
		r->error = PS_EIO;
		return;
	}
	if (f->op != PS_NET_HEAD)
		r->buffer->len = f->received;
	ps_request_finish(n, r, PS_NET_DONE, "%s", "");
}

void ps_rados_tell_recalled(const ps_network *n, struct ps_net_request *r, enum ps_outcome outcome,
                            int reason)
{
	ps_request_finish(n, r, outcome, "%s: %s", ps_outcome_text(outcome),
	                  reason == PS_ECANCELED ? "canceled by the caller" : "no answer in time");
	r->error = reason;
}

static void settle_failure(struct rados_flight *f, enum ps_outcome outcome)
{
	struct ps_net_request *r = f->request;
	const ps_network *n = &f->network->base;
	const char *what = strerrordesc_np(-f->result);
	/* The recall's own answer, which may come at once. */
	if (f->recalled && f->result == -ECANCELED) {
		ps_rados_tell_recalled(n, r, outcome, f->recalled);
		return;
	}
	if (f->result == -ESHUTDOWN)
		what = "the cluster has shut this client out; only a network opened anew gets in again";
	else if (f->result == -ENOENT && outcome == PS_NET_UNAVAILABLE)
		what = "the pool is not there";
	if (outcome == PS_NET_CONFLICT || outcome == PS_NET_ABSENT)
		ps_request_finish(n, r, outcome, "%s", ps_outcome_text(outcome));
	else
		ps_request_finish(n, r, outcome, "%s: error %d (%s)", ps_outcome_text(outcome), -f->result,
		                  what ? what : "unknown");
	if (f->result == -ETIMEDOUT)
		r->error = PS_ETIMEDOUT;
	else if (f->result == -EIO)
		r->error = PS_EIO;
	else if (f->result == -ENOMEM)
		r->error = PS_ENOMEM;
}

void ps_rados_flight_settle(struct rados_flight *f)
{
	enum ps_outcome outcome = ps_net_op_writes(f->op) ? write_outcome(f) : read_outcome(f);
	assert(f->landed);
	if (outcome != PS_NET_DONE)
		settle_failure(f, outcome);
	else if (f->op == PS_NET_GET || f->op == PS_NET_GET_RANGE || f->op == PS_NET_HEAD)
		settle_read(f);
	else
		ps_request_finish(&f->network->base, f->request, PS_NET_DONE, "%s", "");
	if (outcome == PS_NET_DONE && f->op == PS_NET_LIST)
		ps_rados_listing_take(f->listing, f->request->list);
}
