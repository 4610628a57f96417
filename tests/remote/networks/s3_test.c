/* The conformance suite on s3: over a small S3 in memory. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/remote/networks/suite.h"
#include "tests/remote/s3_server.h"

static struct s3_server *server;
static char endpoint[64];

static void fresh(char *url, size_t size)
{
	static unsigned number;
	snprintf(url, size, "s3://bucket/run-%u?endpoint=%s", number++, endpoint);
}

static void hang(const char *url, unsigned ops)
{
	static const struct {
		enum ps_net_op op;
		unsigned verb;
	} verbs[] = {{PS_NET_GET, S3_VERB_GET},         {PS_NET_GET_RANGE, S3_VERB_GET},
	             {PS_NET_HEAD, S3_VERB_HEAD},       {PS_NET_CREATE, S3_VERB_CREATE},
	             {PS_NET_REPLACE, S3_VERB_REPLACE}, {PS_NET_REMOVE, S3_VERB_DELETE},
	             {PS_NET_LIST, S3_VERB_LIST}};
	struct s3_fault fault = {0};
	(void)url;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		if (ops >> verbs[i].op & 1)
			fault = (struct s3_fault){.kind = S3_FAULT_MANNER,
			                          .manner = HTTP_STALL,
			                          .verbs = fault.verbs | verbs[i].verb};
	s3_server_set_fault(server, &fault);
	if (ops == 0)
		http_server_release(s3_server_http(server));
}

int main(void)
{
	s3_server_credentials();
	server = s3_server_start(0, NULL);
	if (!server)
		return EXIT_FAILURE;
	s3_server_endpoint(server, endpoint, sizeof(endpoint));
	int status = networks_conformance(&(struct networks_suite){
	    .name = "s3", .fresh = fresh, .hang = hang, .slow = true, .echoes = true});
	if (s3_server_badly_signed(server) > 0) {
		fprintf(stderr, "%u requests were badly signed\n", s3_server_badly_signed(server));
		status = EXIT_FAILURE;
	}
	s3_server_stop(server);
	return status;
}
