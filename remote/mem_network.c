/* mem:NAME, records in the memory of this process, shared by all who open the same name. For tests, and for
 * whoever wants to try things out: no thread of its own, no time passes but where a test says so. */
#include <assert.h>
#include <errno.h>
#include <time.h>

#include "base/fail.h"
#include "remote/mem_world.h"

enum { LARGEST = 64 << 20, MS_PER_S = 1000, NS_PER_MS = 1000000 };

struct mem_network {
	ps_network base;
	struct ps_mem_world *world;
	atomic_uint view;
};

/* A request in flight. Its answer comes at a virtual moment, and until then it may not have been carried out.
 */
struct mem_slot {
	struct ps_net_request *request; /* NULL: free */
	struct mem_plan plan;
	bool hung, answered;
	uint64_t due, order;  /* virtual ms, and among equals the order of submission */
	uint64_t deadline_ms; /* if hung: real time */
};

struct mem_client {
	ps_client base;
	struct mem_network *network;
	size_t bytes;
	uint64_t submitted, clock; /* virtual ms: when the last answer came */
	pthread_mutex_t lock;      /* of woken; all else is its one thread's */
	pthread_cond_t wake;
	bool woken;
	uint32_t depth;
	struct mem_slot slots[];
};

static struct mem_network *network_of(ps_network *n)
{
	assert(n->ops == &ps_mem_network);
	return (struct mem_network *)n;
}

struct ps_mem_world *ps_mem_world_of(ps_network *network)
{
	return network_of(network)->world;
}

void ps_mem_set_view(ps_network *network, unsigned view)
{
	assert(view < PS_MEM_VIEWS);
	atomic_store(&network_of(network)->view, view);
}

static void network_close(ps_network *n)
{
	mem_world_close(network_of(n)->world);
}

static int network_open(const char *rest, const struct ps_network_options *options, ps_network **network)
{
	ps_network *n = NULL;
	struct ps_mem_world *world = NULL;
	if (rest[0] == '\0')
		return ps_fail(PS_EINVAL, "mem: the URL names no network");
	int err = ps_network_new(&ps_mem_network, sizeof(struct mem_network), rest, options, &n);
	if (err != PS_OK)
		return err;
	err = mem_world_open(rest, &world);
	if (err != PS_OK) {
		ps_network_drop(n);
		return err;
	}
	network_of(n)->world = world;
	atomic_init(&network_of(n)->view, 0);
	n->caps |= PS_NET_CAP_GUARDED_REMOVE;
	n->largest = world->largest > 0 ? world->largest : LARGEST;
	*network = n;
	return PS_OK;
}

/* ---- clients ---- */

static struct mem_client *client_of(ps_client *c)
{
	return (struct mem_client *)c;
}

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * MS_PER_S + (uint64_t)now.tv_nsec / NS_PER_MS;
}

static unsigned view_of(const struct mem_client *c)
{
	return atomic_load(&c->network->view);
}

/* What was not carried out yet is not any more. */
static void client_close(ps_client *client)
{
	struct mem_client *c = client_of(client);
	ps_network *n = &c->network->base;
	pthread_cond_destroy(&c->wake);
	pthread_mutex_destroy(&c->lock);
	ps_memory_free(&n->memory, c, c->bytes);
	ps_network_release(n);
}

static void carry_out(struct mem_client *c, struct mem_slot *slot)
{
	struct ps_mem_world *w = c->network->world;
	pthread_mutex_lock(&w->lock);
	mem_apply(w, &c->network->base, view_of(c), slot->request, &slot->plan);
	pthread_mutex_unlock(&w->lock);
	slot->answered = true;
}

/* Given up: a write that was under way comes late. */
static void give_up(struct mem_client *c, struct mem_slot *slot, int error)
{
	struct ps_mem_world *w = c->network->world;
	if (!slot->hung && ps_net_op_writes(slot->request->op)) {
		pthread_mutex_lock(&w->lock);
		mem_apply_late(w, &c->network->base, view_of(c), slot->request, 1);
		pthread_mutex_unlock(&w->lock);
	}
	mem_no_answer(&c->network->base, slot->request, error == PS_ETIMEDOUT ? "timed out" : "cancelled");
	slot->request->error = error;
	slot->answered = true;
	slot->hung = false;
}

static void client_submit(ps_client *client, struct ps_net_request *request)
{
	struct mem_client *c = client_of(client);
	struct ps_mem_world *w = c->network->world;
	struct mem_slot *slot = c->slots;
	while (slot->request)
		slot++;
	assert(slot < c->slots + c->depth);
	pthread_mutex_lock(&w->lock);
	struct mem_plan plan = mem_plan(w, view_of(c), request);
	pthread_mutex_unlock(&w->lock);
	*slot = (struct mem_slot){
	    .request = request, .plan = plan, .due = c->clock + plan.delay_ms, .order = c->submitted++};
	if (plan.faulty && plan.rule.fault == PS_MEM_HANG) {
		slot->hung = true;
		slot->deadline_ms = now_ms() + request->timeout_ms;
	} else if (plan.delay_ms > request->timeout_ms) {
		slot->due = c->clock + request->timeout_ms;
		give_up(c, slot, PS_ETIMEDOUT);
	} else if (plan.delay_ms == 0) {
		carry_out(c, slot);
	}
}

static struct mem_slot *next_slot(struct mem_client *c)
{
	struct mem_slot *next = NULL;
	for (struct mem_slot *slot = c->slots; slot < c->slots + c->depth; slot++) {
		if (slot->request && !slot->hung &&
		    (!next || slot->due < next->due || (slot->due == next->due && slot->order < next->order)))
			next = slot;
	}
	return next;
}

/* Gives up what hung until now; the moment of the next one. */
static uint64_t time_out(struct mem_client *c, uint64_t now)
{
	uint64_t next = UINT64_MAX;
	for (struct mem_slot *slot = c->slots; slot < c->slots + c->depth; slot++) {
		if (!slot->request || !slot->hung)
			continue;
		if (slot->deadline_ms <= now)
			give_up(c, slot, PS_ETIMEDOUT);
		else if (slot->deadline_ms < next)
			next = slot->deadline_ms;
	}
	return next;
}

/* Until woken, or that moment; whether it was a wake, which is used up by that. */
static bool sleep_until(struct mem_client *c, uint64_t until)
{
	struct timespec limit = {(time_t)(until / MS_PER_S), (long)(until % MS_PER_S * NS_PER_MS)};
	int err = 0;
	pthread_mutex_lock(&c->lock);
	while (!c->woken && err != ETIMEDOUT)
		err = pthread_cond_timedwait(&c->wake, &c->lock, &limit);
	bool woken = c->woken;
	c->woken = false;
	pthread_mutex_unlock(&c->lock);
	return woken;
}

static struct ps_net_request *client_wait(ps_client *client, uint32_t timeout_ms)
{
	struct mem_client *c = client_of(client);
	uint64_t now = now_ms(), until = now + timeout_ms;
	struct mem_slot *slot = NULL;
	for (;; now = now_ms()) {
		uint64_t next = time_out(c, now);
		slot = next_slot(c);
		if (slot || sleep_until(c, next < until ? next : until) || now >= until)
			break;
	}
	if (!slot)
		return NULL;
	c->clock = slot->due > c->clock ? slot->due : c->clock;
	if (!slot->answered)
		carry_out(c, slot);
	struct ps_net_request *request = slot->request;
	slot->request = NULL;
	return request;
}

static void client_cancel(ps_client *client, struct ps_net_request *request)
{
	struct mem_client *c = client_of(client);
	for (struct mem_slot *slot = c->slots; slot < c->slots + c->depth; slot++) {
		if (slot->request == request && !slot->answered)
			give_up(c, slot, PS_ECANCELED);
	}
}

static void client_wake(ps_client *client)
{
	struct mem_client *c = client_of(client);
	pthread_mutex_lock(&c->lock);
	c->woken = true;
	pthread_cond_signal(&c->wake);
	pthread_mutex_unlock(&c->lock);
}

static const struct ps_client_ops client_ops = {
    .close = client_close,
    .submit = client_submit,
    .wait = client_wait,
    .cancel = client_cancel,
    .wake = client_wake,
};

static int client_open(ps_network *n, ps_client **client)
{
	size_t bytes = sizeof(struct mem_client) + n->depth * sizeof(struct mem_slot);
	struct mem_client *c = ps_memory_zalloc(&n->memory, bytes);
	if (!c)
		return ps_fail(PS_ENOMEM, "%s: no memory for a client", n->url);
	c->base.ops = &client_ops;
	c->network = network_of(n);
	c->bytes = bytes;
	c->depth = n->depth;
	pthread_condattr_t attributes;
	pthread_mutex_init(&c->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&c->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	ps_network_hold(n);
	*client = &c->base;
	return PS_OK;
}

const struct ps_network_ops ps_mem_network = {
    .scheme = "mem",
    .open = network_open,
    .close = network_close,
    .client = client_open,
};
