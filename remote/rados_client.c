/* Clients of rados: the owner's side of flights. */
#include <assert.h>
#include <errno.h>
#include <time.h>

#include "base/fail.h"
#include "remote/rados_internal.h"

static struct rados_client *client_of(ps_client *c)
{
	return (struct rados_client *)c;
}

uint64_t ps_rados_now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 * RADOS_NS_PER_MS + (uint64_t)now.tv_nsec;
}

static void link_flight(struct rados_flight **list, struct rados_flight *f)
{
	f->next = *list;
	f->before = list;
	if (f->next)
		f->next->before = &f->next;
	*list = f;
}

static void unlink_flight(struct rados_flight *f)
{
	*f->before = f->next;
	if (f->next)
		f->next->before = f->before;
	f->next = NULL;
	f->before = NULL;
}

static void push_settled(struct rados_client *c, struct ps_net_request *request)
{
	struct ps_net_request **end = &c->settled;
	while (*end)
		end = &(*end)->next;
	request->next = NULL;
	*end = request;
}

/* ---- giving up ---- */

static bool has_landed(struct rados_flight *f)
{
	pthread_mutex_lock(&f->network->lock);
	bool landed = f->landed;
	pthread_mutex_unlock(&f->network->lock);
	return landed;
}

/* librados is asked to let go of it while it still lands here, so that nobody frees it meanwhile. Then
 * either it has landed, and its result counts; or it is lost: true. */
static bool lose(struct rados_client *c, struct rados_flight *f, int reason)
{
	struct rados_network *n = c->network;
	if (has_landed(f))
		return false;
	f->recalled = reason;
	if (f->completion)
		n->calls->rados_aio_cancel(n->io, f->completion);
	pthread_mutex_lock(&n->lock);
	bool lost = !f->landed;
	if (lost) {
		f->client = NULL;
		unlink_flight(f);
		link_flight(&n->lost, f);
	}
	pthread_mutex_unlock(&n->lock);
	return lost;
}

/* What may have left is unknown; a read never is. */
static void give_up(struct rados_client *c, struct rados_flight *f, int error)
{
	struct ps_net_request *request = f->request;
	enum ps_outcome outcome = ps_net_op_writes(f->op) ? PS_NET_UNKNOWN : PS_NET_UNAVAILABLE;
	if (!lose(c, f, error))
		return;
	ps_rados_tell_recalled(&c->network->base, request, outcome, error);
	request->state = NULL;
	push_settled(c, request);
}

static void give_up_overdue(struct rados_client *c, uint64_t now)
{
	for (struct rados_flight *f = c->aloft, *next; f; f = next) {
		next = f->next;
		if (f->deadline_ns <= now)
			give_up(c, f, PS_ETIMEDOUT);
	}
}

static void client_cancel(ps_client *client, struct ps_net_request *request)
{
	struct rados_client *c = client_of(client);
	if (request->state)
		give_up(c, request->state, PS_ECANCELED);
}

/* ---- submitting, waiting ---- */

static void client_submit(ps_client *client, struct ps_net_request *request)
{
	struct rados_client *c = client_of(client);
	struct rados_network *n = c->network;
	int result = -ENOMEM;
	ps_rados_sweep(n);
	struct rados_flight *f = ps_rados_flight_new(n, request);
	if (f) {
		f->client = c;
		request->state = f;
		link_flight(&c->aloft, f);
		result = ps_rados_flight_start(f);
	}
	if (result >= 0)
		return;
	ps_request_finish(&n->base, request, PS_NET_UNAVAILABLE, "not sent: %s", strerrordesc_np(-result));
	request->error = result == -ENOMEM ? PS_ENOMEM : PS_OK;
	request->state = NULL;
	if (f)
		unlink_flight(f);
	ps_rados_flight_free(f);
	push_settled(c, request);
}

static uint64_t earliest_deadline(const struct rados_client *c, uint64_t end)
{
	for (const struct rados_flight *f = c->aloft; f; f = f->next)
		end = f->deadline_ns < end ? f->deadline_ns : end;
	return end;
}

/* Until a flight lands, a wake, or `until`. */
static struct rados_flight *take_landed(struct rados_client *c, uint64_t until, bool *woken)
{
	struct rados_network *n = c->network;
	struct timespec at = {.tv_sec = (time_t)(until / (1000 * RADOS_NS_PER_MS)),
	                      .tv_nsec = (long)(until % (1000 * RADOS_NS_PER_MS))};
	int err = 0;
	pthread_mutex_lock(&n->lock);
	while (!c->woken && !c->landed && err == 0)
		err = pthread_cond_timedwait(&c->changed, &n->lock, &at);
	*woken = c->woken;
	c->woken = false;
	struct rados_flight *f = *woken ? NULL : c->landed;
	if (f)
		c->landed = f->next_posted;
	pthread_mutex_unlock(&n->lock);
	return f;
}

static struct ps_net_request *take_settled(struct rados_client *c)
{
	struct ps_net_request *request = c->settled;
	if (request)
		c->settled = request->next;
	return request;
}

static struct ps_net_request *settle(struct rados_flight *f)
{
	struct ps_net_request *request = f->request;
	unlink_flight(f);
	ps_rados_flight_settle(f);
	ps_rados_flight_free(f);
	request->state = NULL;
	return request;
}

static struct ps_net_request *client_wait(ps_client *client, uint32_t timeout_ms)
{
	struct rados_client *c = client_of(client);
	uint64_t now = ps_rados_now_ns(), end = now + (uint64_t)timeout_ms * RADOS_NS_PER_MS;
	bool woken = false;
	ps_rados_sweep(c->network);
	for (;;) {
		/* What has landed counts, however late it is looked at. */
		uint64_t until = c->settled ? now : earliest_deadline(c, end);
		struct rados_flight *f = take_landed(c, until, &woken);
		if (f)
			return settle(f);
		if (woken)
			return NULL;
		now = ps_rados_now_ns();
		give_up_overdue(c, now);
		if (c->settled)
			return take_settled(c);
		if (now >= end)
			return NULL;
	}
}

static void client_wake(ps_client *client)
{
	struct rados_client *c = client_of(client);
	pthread_mutex_lock(&c->network->lock);
	c->woken = true;
	pthread_cond_signal(&c->changed);
	pthread_mutex_unlock(&c->network->lock);
}

/* ---- open, close ---- */

static void client_close(ps_client *client)
{
	struct rados_client *c = client_of(client);
	struct rados_network *n = c->network;
	/* Those that have landed are freed only when none can be posted behind them any more. */
	for (struct rados_flight *f = c->aloft, *next; f; f = next) {
		next = f->next;
		lose(c, f, PS_ECANCELED);
	}
	while (c->aloft) {
		struct rados_flight *f = c->aloft;
		unlink_flight(f);
		ps_rados_flight_free(f);
	}
	pthread_cond_destroy(&c->changed);
	ps_memory_free(&n->base.memory, c, sizeof(*c));
	ps_rados_sweep(n);
}

static const struct ps_client_ops client_ops = {
    .close = client_close,
    .submit = client_submit,
    .wait = client_wait,
    .cancel = client_cancel,
    .wake = client_wake,
};

int ps_rados_client_open(ps_network *network, ps_client **client)
{
	struct rados_client *c = ps_memory_zalloc(&network->memory, sizeof(*c));
	pthread_condattr_t attributes;
	if (!c)
		return ps_fail(PS_ENOMEM, "%s: no memory for a client", network->url);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&c->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	c->base.ops = &client_ops;
	c->network = (struct rados_network *)network;
	*client = &c->base;
	return PS_OK;
}
