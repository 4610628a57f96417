/* Requests in flight over one curl_multi: submitted, found again, canceled. */
#include <limits.h>

#include "base/fail.h"
#include "remote/s3_impl.h"

enum { POLL_MAX_MS = 1000 };

static struct s3_client *client_of(ps_client *client)
{
	return (struct s3_client *)(void *)client;
}

/* ---- calls ---- */

static struct s3_call *take_call(struct s3_client *client)
{
	struct s3_call *call = client->calls;
	while (call && call->request)
		call = call->next;
	if (call)
		return call;
	call = ps_memory_zalloc(&client->network->base.memory, sizeof(*call));
	if (!call)
		return NULL;
	call->client = client;
	call->next = client->calls;
	client->calls = call;
	return call;
}

static void finish_request(struct s3_client *client, struct ps_net_request *request)
{
	request->next = NULL;
	*client->done_end = request;
	client->done_end = &request->next;
}

/* Its outcome stands. */
static void finish_call(struct s3_call *call)
{
	struct ps_net_request *request = call->request;
	ps_s3_call_end(call);
	ps_s3_call_forget_text(call);
	ps_net_buffer_release(call->buffer);
	call->buffer = NULL;
	call->request = NULL;
	request->state = NULL;
	call->client->active--;
	finish_request(call->client, request);
}

static void begin(struct s3_call *call)
{
	if (ps_s3_call_begin(call))
		return;
	bool late = ps_s3_now_ms() >= call->deadline_ms;
	ps_s3_give_up(call, late ? PS_ETIMEDOUT : PS_ENOMEM, call->error);
	finish_call(call);
}

void ps_s3_client_submit(struct s3_client *client, struct ps_net_request *request, enum s3_mode mode)
{
	struct s3_call *call = take_call(client);
	request->state = call;
	if (!call) {
		ps_request_finish(&client->network->base, request, PS_NET_UNAVAILABLE, "no memory");
		request->error = PS_ENOMEM;
		finish_request(client, request);
		return;
	}
	call->request = request;
	call->mode = mode;
	call->buffer = ps_net_buffer_hold(request->buffer);
	call->again = false;
	call->rereads = 0;
	call->refusal = 0;
	call->payload[0] = '\0';
	call->deadline_ms = ps_s3_now_ms() + request->timeout_ms;
	client->active++;
	ps_s3_first_step(call);
	begin(call);
}

static void submit(ps_client *client, struct ps_net_request *request)
{
	ps_s3_client_submit(client_of(client), request, S3_PLAIN);
}

/* ---- waiting ---- */

static void take_ends(struct s3_client *client)
{
	int left;
	for (CURLMsg *message; (message = curl_multi_info_read(client->multi, &left));) {
		char *private = NULL;
		if (message->msg != CURLMSG_DONE)
			continue;
		CURLcode code = message->data.result;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
		struct s3_call *call = (struct s3_call *)(void *)private;
		ps_s3_call_end(call);
		if (ps_s3_next_step(call, code))
			finish_call(call);
		else
			begin(call);
	}
}

static struct ps_net_request *take_done(struct s3_client *client)
{
	struct ps_net_request *request = client->done;
	if (!request)
		return NULL;
	client->done = request->next;
	if (!client->done)
		client->done_end = &client->done;
	return request;
}

static struct ps_net_request *wait_for(ps_client *c, uint32_t timeout_ms)
{
	struct s3_client *client = client_of(c);
	int64_t end = ps_s3_now_ms() + timeout_ms;
	for (;;) {
		int running;
		struct ps_net_request *request = take_done(client);
		if (request)
			return request;
		curl_multi_perform(client->multi, &running);
		take_ends(client);
		if (client->done)
			continue;
		int64_t left = end - ps_s3_now_ms();
		if (atomic_exchange(&client->woken, false) || left <= 0 || client->active == 0)
			return NULL;
		curl_multi_poll(client->multi, NULL, 0, (int)(left < POLL_MAX_MS ? left : POLL_MAX_MS), NULL);
	}
}

static void wake(ps_client *c)
{
	struct s3_client *client = client_of(c);
	atomic_store(&client->woken, true);
	curl_multi_wakeup(client->multi);
}

static void cancel(ps_client *client, struct ps_net_request *request)
{
	struct s3_call *call = request->state;
	(void)client;
	if (!call)
		return;
	ps_s3_call_end(call);
	ps_s3_give_up(call, PS_ECANCELED, "canceled");
	finish_call(call);
}

void ps_s3_client_run(struct s3_client *client, struct ps_net_request *requests, size_t n, enum s3_mode mode)
{
	for (size_t i = 0; i < n; i++) {
		requests[i].timeout_ms = client->network->base.timeout_ms;
		ps_s3_client_submit(client, &requests[i], mode);
	}
	uint32_t step_ms = client->network->base.stop ? PS_NET_ASK_MS : UINT32_MAX;
	bool canceled = false;
	for (size_t i = 0; i < n;) {
		i += wait_for(&client->base, step_ms) != NULL;
		bool stops = !canceled && i < n && ps_network_stopped(&client->network->base);
		for (size_t k = 0; stops && k < n; k++)
			cancel(&client->base, &requests[k]);
		canceled |= stops;
	}
}

/* ---- open and close ---- */

static void close_client(ps_client *c)
{
	struct s3_client *client = client_of(c);
	struct ps_memory *memory = &client->network->base.memory;
	while (client->calls) {
		struct s3_call *call = client->calls;
		client->calls = call->next;
		ps_s3_call_free(call);
	}
	if (client->multi)
		curl_multi_cleanup(client->multi);
	explicit_bzero(&client->signing, sizeof(client->signing));
	ps_memory_free(memory, client, sizeof(*client));
}

static const struct ps_client_ops client_ops = {
    .close = close_client,
    .submit = submit,
    .wait = wait_for,
    .cancel = cancel,
    .wake = wake,
};

int ps_s3_client_open(ps_network *network, ps_client **out)
{
	struct s3_client *client = ps_memory_zalloc(&network->memory, sizeof(*client));
	if (!client)
		return ps_fail(PS_ENOMEM, "%s: no memory for a client", network->url);
	client->base.ops = &client_ops;
	client->base.network = network;
	client->network = (struct s3_network *)(void *)network;
	client->done_end = &client->done;
	client->multi = curl_multi_init();
	if (!client->multi) {
		close_client(&client->base);
		return ps_fail(PS_ENOMEM, "%s: no memory for a client", network->url);
	}
	curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)network->depth);
	*out = &client->base;
	return PS_OK;
}
