#include "tests/remote/s3_world.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MOST_TRIES = 20 };

void s3_world_url(struct s3_server *server, const char *prefix, char url[S3_URL])
{
	char endpoint[64];
	s3_server_endpoint(server, endpoint, sizeof(endpoint));
	snprintf(url, S3_URL, "s3://bucket/%s?endpoint=%s", prefix, endpoint);
}

int s3_world_try_open(const char *url, const struct ps_network_options *options, ps_network **network)
{
	int err = PS_EUNAVAILABLE;
	for (unsigned tries = 0; err == PS_EUNAVAILABLE && tries < MOST_TRIES; tries++)
		err = ps_network_open(url, options, network);
	return err;
}

ps_network *s3_world_open(struct s3_server *server, const char *prefix)
{
	char url[S3_URL];
	ps_network *network = NULL;
	s3_world_url(server, prefix, url);
	if (s3_world_try_open(url, NULL, &network) != PS_OK)
		fail_msg("%s: %s", url, ps_last_error_message());
	return network;
}

ps_client *s3_world_client(ps_network *network)
{
	ps_client *client = NULL;
	assert_int_equal(ps_client_open(network, &client), PS_OK);
	return client;
}

uint64_t s3_world_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct ps_pad_name s3_world_name(unsigned n)
{
	struct ps_pad_name name;
	memset(name.bytes, 0xa5, sizeof(name.bytes));
	memcpy(name.bytes, &n, sizeof(n));
	return name;
}

struct ps_pad_identity s3_world_identity(uint64_t counter)
{
	struct ps_pad_identity identity = {.counter = counter};
	memset(identity.hash, (int)counter, sizeof(identity.hash));
	return identity;
}

void s3_world_request(ps_network *network, struct ps_net_request *r, enum ps_net_op op, unsigned n,
                      uint64_t counter)
{
	*r = (struct ps_net_request){.op = op, .name = s3_world_name(n), .timeout_ms = 120000};
	r->expected = s3_world_identity(counter);
	r->identity = s3_world_identity(counter + 1);
	r->buffer = ps_net_buffer_new(&network->memory, S3_RECORD);
	assert_non_null(r->buffer);
	memset(r->buffer->bytes, (int)(counter + 1), S3_RECORD);
	r->buffer->len = S3_RECORD;
	r->len = S3_RECORD / 2;
}

void s3_world_drop(struct ps_net_request *r)
{
	ps_net_buffer_release(r->buffer);
	r->buffer = NULL;
}

void s3_world_create(ps_client *client, unsigned n, uint64_t counter)
{
	struct ps_net_request r;
	s3_world_request(client->network, &r, PS_NET_CREATE, n, counter - 1);
	ps_client_call(client, &r);
	s3_world_expect(&r, PS_NET_DONE);
	s3_world_drop(&r);
}

uint64_t s3_world_counter(ps_client *client, unsigned n, struct ps_net_token *token)
{
	struct ps_net_request r = {.op = PS_NET_HEAD, .name = s3_world_name(n)};
	if (ps_client_call(client, &r) == PS_NET_ABSENT)
		return 0;
	s3_world_expect(&r, PS_NET_DONE);
	if (token)
		*token = r.token;
	return r.identity.counter;
}

void s3_world_expect(const struct ps_net_request *r, enum ps_outcome outcome)
{
	if (r->outcome != outcome)
		fail_msg("\"%s\" instead of \"%s\": %s", ps_outcome_text(r->outcome),
		         ps_outcome_text(outcome), r->sentence);
}
