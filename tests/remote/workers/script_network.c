#include "script_network.h"

#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

enum { BUCKETS = 4096 };

struct record {
	struct record *next;
	struct ps_pad_name name;
	struct ps_pad_identity identity;
	bool there;
	uint8_t *bytes;
	size_t len;
	uint64_t applied;
	/* The bytes seen under the newest counter. */
	uint64_t counter, sum;
};

struct flight {
	struct flight *next;
	struct ps_net_request *request; /* NULL: given up, or answered before it is carried out */
	struct script_answer answer;
	struct ps_net_request copy; /* with a reference to its buffer, for what is carried out late */
	uint64_t due_ns;
	unsigned client;
	bool recalled;
};

struct script_network {
	ps_network network;
	pthread_mutex_t lock; /* guards all below */
	script_fn script;
	void *arg;
	struct ps_clock *clock;
	struct record *records[BUCKETS];
	struct flight *flights;
	struct script_figures figures;
	unsigned clients;
	bool refuse;
};

struct script_client {
	ps_client client;
	unsigned number;
	pthread_cond_t wake;
	bool woken;
};

static struct script_network *net_of(ps_network *network)
{
	return (struct script_network *)(void *)network;
}

static struct script_client *self(ps_client *client)
{
	return (struct script_client *)(void *)client;
}

/* ---- records ---- */

static struct record *record_of(struct script_network *n, const struct ps_pad_name *name)
{
	uint32_t bucket;
	memcpy(&bucket, name->bytes, sizeof(bucket));
	struct record **link = &n->records[bucket % BUCKETS];
	while (*link && memcmp(&(*link)->name, name, sizeof(*name)) != 0)
		link = &(*link)->next;
	if (!*link) {
		*link = calloc(1, sizeof(struct record));
		(*link)->name = *name;
	}
	return *link;
}

static uint64_t sum_of(const struct ps_net_buffer *buffer)
{
	uint64_t sum = 0xcbf29ce484222325;
	for (size_t i = 0; i<buffer->len; i += buffer->len> 4096 ? 61 : 1)
		sum = (sum ^ buffer->bytes[i]) * 0x100000001b3;
	return sum ^ buffer->len;
}

static void spy(struct script_network *n, const struct ps_net_request *r)
{
	if (r->op != PS_NET_CREATE && r->op != PS_NET_REPLACE)
		return;
	struct record *record = record_of(n, &r->name);
	uint64_t sum = sum_of(r->buffer) + r->token.len + r->token.bytes[0];
	n->figures.writes++;
	n->figures.bytes_up += r->buffer->len;
	n->figures.differing += record->counter == r->identity.counter && record->sum != sum;
	record->counter = r->identity.counter;
	record->sum = sum;
}

static void store(struct record *record, const struct ps_net_request *r)
{
	free(record->bytes);
	record->len = r->buffer->len;
	record->bytes = malloc(record->len ? record->len : 1);
	memcpy(record->bytes, r->buffer->bytes, record->len);
	record->identity = r->identity;
	record->there = true;
}

static enum ps_outcome write_record(struct record *record, const struct ps_net_request *r)
{
	if (r->op == PS_NET_CREATE && record->there)
		return PS_NET_CONFLICT;
	if (r->op != PS_NET_CREATE && !record->there)
		return PS_NET_ABSENT;
	if (r->op != PS_NET_CREATE && !ps_identity_same(&record->identity, &r->expected))
		return PS_NET_CONFLICT;
	if (r->op == PS_NET_REMOVE)
		record->there = false;
	else
		store(record, r);
	record->applied++;
	return PS_NET_DONE;
}

static enum ps_outcome carry_out(struct script_network *n, struct ps_net_request *r)
{
	struct record *record = record_of(n, &r->name);
	if (ps_net_op_writes(r->op)) {
		enum ps_outcome outcome = write_record(record, r);
		n->figures.applied += outcome == PS_NET_DONE;
		return outcome;
	}
	if (!record->there)
		return PS_NET_ABSENT;
	r->identity = record->identity;
	r->size = record->len;
	if (r->op != PS_NET_GET)
		return PS_NET_DONE;
	if (r->buffer->capacity < record->len)
		return PS_NET_TOO_BIG;
	memcpy(r->buffer->bytes, record->bytes, record->len);
	r->buffer->len = record->len;
	return PS_NET_DONE;
}

/* ---- requests ---- */

static void script_submit(ps_client *client, struct ps_net_request *request)
{
	struct script_network *n = net_of(client->network);
	struct flight *flight = calloc(1, sizeof(*flight));
	pthread_mutex_lock(&n->lock);
	flight->request = request;
	flight->client = self(client)->number;
	flight->answer = n->script(n->arg, flight->client, n->figures.requests++, request);
	flight->due_ns = ps_clock_now(n->clock) + flight->answer.after_ns;
	if (flight->answer.wire == WIRE_HANGS || flight->answer.wire == WIRE_DEAF)
		flight->due_ns = PS_NEVER;
	spy(n, request);
	n->figures.by_client[flight->client % 64]++;
	if (++n->figures.in_flight > n->figures.most_in_flight)
		n->figures.most_in_flight = n->figures.in_flight;
	struct flight **end = &n->flights;
	while (*end)
		end = &(*end)->next;
	*end = flight;
	pthread_mutex_unlock(&n->lock);
}

static enum ps_outcome unknown_or_lost(const struct ps_net_request *request)
{
	return ps_net_op_writes(request->op) ? PS_NET_UNKNOWN : PS_NET_UNAVAILABLE;
}

static enum ps_outcome outcome_of(struct script_network *n, struct flight *flight)
{
	struct ps_net_request *r = flight->request;
	if (flight->recalled)
		return unknown_or_lost(r);
	switch (flight->answer.wire) {
	case WIRE_LOST:
		return PS_NET_UNAVAILABLE;
	case WIRE_UNSAID:
		(void)carry_out(n, r);
		return unknown_or_lost(r);
	case WIRE_SILENCE:
	case WIRE_LATE:
		return unknown_or_lost(r);
	case WIRE_LIES:
		return PS_NET_DONE;
	case WIRE_SAYS:
		return flight->answer.outcome;
	default:
		return carry_out(n, r);
	}
}

/* What is carried out after its answer stays in the air. */
static void stay(struct script_network *n, struct flight *flight)
{
	struct flight *late = calloc(1, sizeof(*late));
	late->copy = *flight->request;
	ps_net_buffer_hold(late->copy.buffer);
	late->due_ns = ps_clock_now(n->clock) + flight->answer.late_ns;
	late->next = n->flights;
	n->flights = late;
}

static struct ps_net_request *answer(struct script_network *n, struct flight *flight)
{
	struct ps_net_request *request = flight->request;
	if (flight->answer.wire == WIRE_LATE && !flight->recalled && ps_net_op_writes(request->op))
		stay(n, flight);
	ps_request_finish(&n->network, request, outcome_of(n, flight), "as the script has it");
	if (flight->recalled)
		request->error = PS_ECANCELED; /* as other networks say it */
	request->throttled = flight->answer.throttled;
	if (ps_net_op_writes(request->op))
		request->token = (struct ps_net_token){.len = 9, .bytes = {99}}; /* of what is there */
	free(flight);
	n->figures.in_flight--;
	return request;
}

static void carry_out_late(struct script_network *n, uint64_t now_ns)
{
	for (struct flight **link = &n->flights; *link;) {
		struct flight *flight = *link;
		if (flight->request || flight->due_ns > now_ns) {
			link = &flight->next;
			continue;
		}
		*link = flight->next;
		(void)carry_out(n, &flight->copy);
		ps_net_buffer_release(flight->copy.buffer);
		free(flight);
	}
}

static struct flight **first_due(struct script_network *n, unsigned client, uint64_t *due_ns)
{
	struct flight **first = NULL;
	*due_ns = PS_NEVER;
	for (struct flight **link = &n->flights; *link; link = &(*link)->next) {
		bool ours = (*link)->request && (*link)->client == client;
		if (ours && (!first || (*link)->due_ns < *due_ns)) {
			first = link;
			*due_ns = (*link)->due_ns;
		}
	}
	return first;
}

static struct ps_net_request *script_wait(ps_client *client, uint32_t timeout_ms)
{
	struct script_network *n = net_of(client->network);
	struct ps_net_request *request = NULL;
	pthread_mutex_lock(&n->lock);
	uint64_t now_ns = ps_clock_now(n->clock), due_ns;
	uint64_t until_ns = timeout_ms == UINT32_MAX ? PS_NEVER : now_ns + timeout_ms * PS_MS_NS;
	for (;;) {
		carry_out_late(n, now_ns);
		struct flight **link = first_due(n, self(client)->number, &due_ns);
		if (link && due_ns <= now_ns) {
			struct flight *flight = *link;
			*link = flight->next;
			request = answer(n, flight);
			break;
		}
		if (self(client)->woken || now_ns >= until_ns)
			break;
		n->figures.waits++;
		ps_clock_wait(n->clock, &self(client)->wake, &n->lock, ps_earlier(until_ns, due_ns));
		now_ns = ps_clock_now(n->clock);
	}
	self(client)->woken = false;
	pthread_mutex_unlock(&n->lock);
	return request;
}

static void script_cancel(ps_client *client, struct ps_net_request *request)
{
	struct script_network *n = net_of(client->network);
	pthread_mutex_lock(&n->lock);
	for (struct flight *flight = n->flights; flight; flight = flight->next) {
		if (flight->request == request && flight->answer.wire != WIRE_DEAF) {
			flight->recalled = true;
			flight->due_ns = 0;
		}
	}
	pthread_mutex_unlock(&n->lock);
}

static void script_wake(ps_client *client)
{
	struct script_network *n = net_of(client->network);
	pthread_mutex_lock(&n->lock);
	self(client)->woken = true;
	ps_clock_wake(n->clock, &self(client)->wake);
	pthread_mutex_unlock(&n->lock);
}

static void script_client_close(ps_client *client)
{
	struct script_network *n = net_of(client->network);
	pthread_mutex_lock(&n->lock);
	for (struct flight **link = &n->flights; *link;) {
		struct flight *flight = *link;
		if (flight->request && flight->client == self(client)->number) {
			*link = flight->next;
			free(flight);
			n->figures.in_flight--;
		} else {
			link = &flight->next;
		}
	}
	pthread_mutex_unlock(&n->lock);
	pthread_cond_destroy(&self(client)->wake);
	ps_memory_free(&n->network.memory, client, sizeof(struct script_client));
}

static const struct ps_client_ops client_ops = {script_client_close, script_submit, script_wait,
                                                script_cancel, script_wake};

static int script_client_open(ps_network *network, ps_client **client)
{
	struct script_network *n = net_of(network);
	pthread_mutex_lock(&n->lock);
	bool refuse = n->refuse;
	pthread_mutex_unlock(&n->lock);
	if (refuse)
		return ps_fail(PS_EUNAVAILABLE, "script: no client today");
	struct script_client *c = ps_memory_zalloc(&network->memory, sizeof(*c));
	if (!c)
		return ps_fail(PS_ENOMEM, "script: no memory for a client");
	c->client.ops = &client_ops;
	pthread_mutex_lock(&n->lock);
	c->number = n->clients++;
	pthread_mutex_unlock(&n->lock);
	int err = ps_clock_cond_init(&c->wake);
	if (err)
		return err;
	*client = &c->client;
	return PS_OK;
}

/* ---- the network ---- */

static int script_open(const char *rest, const struct ps_network_options *options, ps_network **network)
{
	(void)rest, (void)options, (void)network;
	return ps_fail(PS_ENOTSUP, "script: networks are made by script_network_new");
}

static void script_close(ps_network *network)
{
	struct script_network *n = net_of(network);
	for (struct flight *flight = n->flights, *next; flight; flight = next) {
		next = flight->next;
		ps_net_buffer_release(flight->copy.buffer);
		free(flight);
	}
	for (int i = 0; i < BUCKETS; i++) {
		for (struct record *record = n->records[i], *next; record; record = next) {
			next = record->next;
			free(record->bytes);
			free(record);
		}
	}
	pthread_mutex_destroy(&n->lock);
}

static const struct ps_network_ops script_ops = {"script", script_open, script_close, script_client_open};

int script_network_new(const struct ps_network_options *options, script_fn script, void *arg,
                       struct ps_clock *clock, ps_network **network)
{
	struct ps_network_options filled = options ? *options : (struct ps_network_options){0};
	filled.depth = filled.depth ? filled.depth : 10;
	filled.timeout_ms = filled.timeout_ms ? filled.timeout_ms : 60000;
	int err = ps_network_new(&script_ops, sizeof(struct script_network), "test", &filled, network);
	if (err)
		return err;
	struct script_network *n = net_of(*network);
	n->network.largest = (uint64_t)64 << 20;
	n->network.caps |= PS_NET_CAP_GUARDED_REMOVE;
	n->script = script;
	n->arg = arg;
	n->clock = clock;
	pthread_mutex_init(&n->lock, NULL);
	return PS_OK;
}

void script_network_figures(ps_network *network, struct script_figures *figures)
{
	pthread_mutex_lock(&net_of(network)->lock);
	*figures = net_of(network)->figures;
	pthread_mutex_unlock(&net_of(network)->lock);
}

uint64_t script_network_applied(ps_network *network, const struct ps_pad_name *name,
                                struct ps_pad_identity *identity)
{
	pthread_mutex_lock(&net_of(network)->lock);
	carry_out_late(net_of(network), PS_NEVER - 1); /* all that was still in the air */
	struct record *record = record_of(net_of(network), name);
	uint64_t applied = record->applied;
	if (identity)
		*identity = record->there ? record->identity : (struct ps_pad_identity){0};
	pthread_mutex_unlock(&net_of(network)->lock);
	return applied;
}

void script_network_put(ps_network *network, const struct ps_pad_name *name,
                        const struct ps_pad_identity *identity)
{
	pthread_mutex_lock(&net_of(network)->lock);
	struct record *record = record_of(net_of(network), name);
	record->identity = *identity;
	record->there = true;
	pthread_mutex_unlock(&net_of(network)->lock);
}

void script_network_refuse_clients(ps_network *network, bool refuse)
{
	pthread_mutex_lock(&net_of(network)->lock);
	net_of(network)->refuse = refuse;
	pthread_mutex_unlock(&net_of(network)->lock);
}
