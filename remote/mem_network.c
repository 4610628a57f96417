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
};

/* A request in flight. */
struct mem_slot {
	struct ps_net_request *request;
	uint64_t order; /* in which they are returned */
};

struct mem_client {
	ps_client base;
	struct mem_network *network;
	size_t bytes;
	uint64_t submitted;
	pthread_mutex_t lock; /* of woken; all else is its one thread's */
	bool woken;
	uint32_t depth;
	struct mem_slot slots[];
};

static struct mem_network *network_of(ps_network *n)
{
	assert(n->ops == &ps_mem_network);
	return (struct mem_network *)n;
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
	n->caps |= PS_NET_CAP_GUARDED_REMOVE;
	n->largest = LARGEST;
	*network = n;
	return PS_OK;
}

/* ---- clients ---- */

static struct mem_client *client_of(ps_client *c)
{
	return (struct mem_client *)c;
}

static void client_close(ps_client *client)
{
	struct mem_client *c = client_of(client);
	ps_network *n = &c->network->base;
	pthread_mutex_destroy(&c->lock);
	ps_memory_free(&n->memory, c, c->bytes);
}

static void client_submit(ps_client *client, struct ps_net_request *request)
{
	struct mem_client *c = client_of(client);
	struct mem_slot *slot = c->slots;
	while (slot->request)
		slot++;
	assert(slot < c->slots + c->depth);
	*slot = (struct mem_slot){.request = request, .order = c->submitted++};
	mem_world_apply(c->network->world, &c->network->base, request);
}

static struct mem_slot *first_slot(struct mem_client *c)
{
	struct mem_slot *first = NULL;
	for (struct mem_slot *slot = c->slots; slot < c->slots + c->depth; slot++) {
		if (slot->request && (!first || slot->order < first->order))
			first = slot;
	}
	return first;
}

static bool take_wake(struct mem_client *c)
{
	pthread_mutex_lock(&c->lock);
	bool woken = c->woken;
	c->woken = false;
	pthread_mutex_unlock(&c->lock);
	return woken;
}

static struct ps_net_request *client_wait(ps_client *client, uint32_t timeout_ms)
{
	struct mem_client *c = client_of(client);
	struct mem_slot *slot = first_slot(c);
	(void)timeout_ms;
	if (take_wake(c) || !slot)
		return NULL;
	struct ps_net_request *request = slot->request;
	slot->request = NULL;
	return request;
}

/* All has been carried out already. */
static void client_cancel(ps_client *client, struct ps_net_request *request)
{
	(void)client, (void)request;
}

static void client_wake(ps_client *client)
{
	struct mem_client *c = client_of(client);
	pthread_mutex_lock(&c->lock);
	c->woken = true;
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
	pthread_mutex_init(&c->lock, NULL);
	*client = &c->base;
	return PS_OK;
}

const struct ps_network_ops ps_mem_network = {
    .scheme = "mem",
    .open = network_open,
    .close = network_close,
    .client = client_open,
};
