/* Opening and closing. Before a network is opened its bucket has been seen, and, for writing, that the
 * endpoint keeps its promises. */
#include <pthread.h>
#include <stdio.h>

#include "base/fail.h"
#include "remote/s3_impl.h"

enum { BUCKET_TEXT = 256 };
#define LARGEST ((uint64_t)5 << 30) /* of one PUT */

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;
static CURLcode curl_started;

/* Never undone: others in the process may use libcurl as well. */
static void start_curl(void)
{
	curl_started = curl_global_init(CURL_GLOBAL_DEFAULT);
}

static struct s3_network *network_of(ps_network *network)
{
	return (struct s3_network *)(void *)network;
}

static void close_network(ps_network *network)
{
	ps_s3_credentials_free(&network->memory, network_of(network)->credentials);
}

static int error_of(const struct ps_net_request *r)
{
	int err = r->error != PS_OK && r->error != PS_ETIMEDOUT ? r->error : ps_outcome_error(r->outcome);
	return ps_fail(err, "%s", r->sentence);
}

/* One page of one name: shows that the bucket is there and that we may read it. */
static int see_bucket(struct s3_client *client)
{
	struct ps_net_listed listed;
	struct ps_net_list list = {.listed = &listed, .capacity = 1};
	struct ps_net_request r = {.op = PS_NET_LIST, .list = &list};
	ps_s3_client_run(client, &r, 1, S3_PLAIN);
	return r.outcome == PS_NET_DONE ? PS_OK : error_of(&r);
}

static int make_bucket(struct s3_client *client)
{
	struct s3_network *network = client->network;
	const struct s3_place *place = &network->place;
	struct ps_net_buffer *buffer = ps_net_buffer_new(&network->base.memory, BUCKET_TEXT);
	if (!buffer)
		return ps_fail(PS_ENOMEM, "%s: no memory to make the bucket", network->base.url);
	if (place->amazon && strcmp(place->region, "us-east-1") != 0)
		buffer->len = (size_t)snprintf((char *)buffer->bytes, BUCKET_TEXT,
		                               "<CreateBucketConfiguration><LocationConstraint>%s"
		                               "</LocationConstraint></CreateBucketConfiguration>",
		                               place->region);
	struct ps_net_request r = {.op = PS_NET_HEAD, .buffer = buffer};
	ps_s3_client_run(client, &r, 1, S3_MAKE_BUCKET);
	ps_net_buffer_release(buffer);
	return r.outcome == PS_NET_DONE ? PS_OK : error_of(&r);
}

static int prove(struct s3_client *client)
{
	struct s3_network *network = client->network;
	struct s3_promises promises;
	int err = ps_s3_probe(client, &promises);
	if (err != PS_OK)
		return err;
	network->bare_tokens = promises.bare_tokens;
	if (promises.guarded_remove)
		network->base.caps |= PS_NET_CAP_GUARDED_REMOVE;
	return PS_OK;
}

static int look_around(struct s3_network *network, const struct ps_network_options *options)
{
	ps_client *opened;
	int err = ps_s3_client_open(&network->base, &opened);
	if (err != PS_OK)
		return err;
	struct s3_client *client = (struct s3_client *)(void *)opened;
	err = see_bucket(client);
	if (err == PS_ENOENT && options->create && !options->read_only) {
		err = make_bucket(client);
		if (err == PS_OK)
			err = see_bucket(client);
	}
	if (err == PS_OK && !options->read_only)
		err = prove(client);
	if (network->base.stopped)
		err = ps_fail(PS_ECANCELED, "%s: canceled while it was opened", network->base.url);
	opened->ops->close(opened);
	network->opened = err == PS_OK;
	return err;
}

static int open_network(const char *rest, const struct ps_network_options *options, ps_network **out)
{
	struct s3_place place;
	ps_network *base;
	int err = ps_s3_place_parse(rest, options, &place);
	if (err != PS_OK)
		return err;
	pthread_once(&curl_once, start_curl);
	if (curl_started != CURLE_OK)
		return ps_fail(PS_ENOMEM, "s3: libcurl does not start: %s", curl_easy_strerror(curl_started));
	err = ps_network_new(&ps_s3_network, sizeof(struct s3_network), rest, options, &base);
	if (err != PS_OK)
		return err;
	struct s3_network *network = network_of(base);
	network->place = place;
	base->largest = LARGEST;
	err = ps_s3_credentials_find(&base->memory, place.profile, &network->credentials);
	if (err == PS_OK)
		err = look_around(network, options);
	if (err != PS_OK) {
		ps_network_close(base);
		return err;
	}
	*out = base;
	return PS_OK;
}

const struct ps_network_ops ps_s3_network = {
    .scheme = "s3",
    .open = open_network,
    .close = close_network,
    .client = ps_s3_client_open,
};
