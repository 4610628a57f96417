/* Opening s3: what an endpoint has to keep, and who it has to be. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/remote/s3_world.h"

static char folder[] = "/tmp/padstone-s3-XXXXXX";

static int open_at(struct s3_server *server, const char *prefix, struct ps_network_options *options,
                   ps_network **network)
{
	char url[S3_URL];
	options->size = sizeof(*options);
	s3_world_url(server, prefix, url);
	*network = NULL;
	return s3_world_try_open(url, options, network);
}

/* Refused for writing with a sentence that names the promise, opened for reading; twice, since a breach is
 * not remembered. */
static void expect_refused(unsigned flaws, const char *promise)
{
	struct s3_server *server = s3_server_start(flaws, NULL);
	ps_network *network;
	for (int i = 0; i < 2; i++) {
		struct ps_network_options writing = {0}, reading = {.read_only = true};
		assert_int_equal(open_at(server, "p", &writing, &network), PS_ENOTSUP);
		if (!strstr(ps_last_error_message(), promise))
			fail_msg("\"%s\" does not say \"%s\"", ps_last_error_message(), promise);
		assert_int_equal(open_at(server, "p", &reading, &network), PS_OK);
		ps_network_close(network);
	}
	s3_server_stop(server);
}

static void an_endpoint_that_ignores_if_none_match_is_refused(void **state)
{
	(void)state;
	expect_refused(S3_IGNORES_IF_NONE_MATCH, "of several who take a free name one wins");
}

static void an_endpoint_that_ignores_if_match_is_refused(void **state)
{
	(void)state;
	expect_refused(S3_IGNORES_IF_MATCH, "a version that is no longer there is not replaced");
}

static void an_endpoint_that_checks_and_then_acts_is_refused(void **state)
{
	(void)state;
	expect_refused(S3_CHECKS_THEN_ACTS, "of several who");
}

static void an_endpoint_that_replaces_nothing_is_refused(void **state)
{
	(void)state;
	expect_refused(S3_MATCHES_NOTHING, "where nothing is, nothing is replaced");
}

static void an_endpoint_that_never_matches_is_refused(void **state)
{
	(void)state;
	expect_refused(S3_REFUSES_IF_MATCH, "the version that is there can be replaced");
}

static void an_endpoint_that_drops_metadata_is_refused(void **state)
{
	(void)state;
	expect_refused(S3_DROPS_METADATA, "with its metadata");
}

/* Replaces with and without a token, on endpoints that want the ETag with its quotes and without. */
static void either_form_of_an_etag_is_found(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		struct s3_server *server = s3_server_start(i ? S3_WANTS_BARE_TAGS : 0, NULL);
		ps_network *network = s3_world_open(server, "p");
		ps_client *client = s3_world_client(network);
		struct ps_net_request r;
		s3_world_create(client, 0, 1);
		for (uint64_t counter = 1; counter <= 3; counter++) {
			s3_world_request(network, &r, PS_NET_REPLACE, 0, counter);
			if (counter == 2)
				s3_world_counter(client, 0, &r.token);
			ps_client_call(client, &r);
			s3_world_expect(&r, PS_NET_DONE);
			s3_world_drop(&r);
		}
		assert_int_equal(s3_world_counter(client, 0, NULL), 4);
		assert_true(ps_network_caps(network) & PS_NET_CAP_GUARDED_REMOVE);
		ps_client_close(client);
		ps_network_close(network);
		s3_server_stop(server);
	}
}

static void without_conditional_deletes_the_capability_is_missing(void **state)
{
	(void)state;
	struct s3_server *server = s3_server_start(S3_IGNORES_DELETE_MATCH, NULL);
	ps_network *network = s3_world_open(server, "p");
	ps_client *client = s3_world_client(network);
	struct ps_net_request r;
	assert_int_equal(ps_network_caps(network) & PS_NET_CAP_GUARDED_REMOVE, 0);
	s3_world_create(client, 0, 1);
	s3_world_request(network, &r, PS_NET_REMOVE, 0, 1);
	ps_client_call(client, &r);
	s3_world_expect(&r, PS_NET_DONE);
	ps_client_call(client, &r);
	s3_world_expect(&r, PS_NET_ABSENT);
	s3_world_drop(&r);
	ps_client_close(client);
	ps_network_close(network);
	s3_server_stop(server);
}

/* One read of the bucket is what a second open costs, and no scratch is left. */
static void an_endpoint_is_proved_once_and_left_clean(void **state)
{
	(void)state;
	struct s3_server *server = s3_server_start(0, NULL);
	const unsigned changes = S3_VERB_CREATE | S3_VERB_REPLACE | S3_VERB_DELETE;
	struct ps_net_listed listed[10];
	struct ps_net_list list = {.listed = listed, .capacity = 10};
	struct ps_net_request r = {.op = PS_NET_LIST, .list = &list};
	ps_network_close(s3_world_open(server, "p"));
	unsigned proved = s3_server_requests(server, changes);
	assert_true(proved > 8); /* how many more depends on who meets whom */
	ps_network *network = s3_world_open(server, "q");
	assert_int_equal(s3_server_requests(server, changes), proved);
	ps_client *client = s3_world_client(network);
	ps_client_call(client, &r);
	s3_world_expect(&r, PS_NET_DONE);
	assert_int_equal(list.count, 0);
	assert_false(list.more);
	ps_client_close(client);
	ps_network_close(network);
	s3_server_stop(server);
}

static void a_range_that_is_not_read_is_told(void **state)
{
	(void)state;
	struct s3_server *server = s3_server_start(S3_IGNORES_RANGES, NULL);
	ps_network *network = s3_world_open(server, "p");
	ps_client *client = s3_world_client(network);
	struct ps_net_request r;
	s3_world_create(client, 0, 1);
	s3_world_request(network, &r, PS_NET_GET_RANGE, 0, 0);
	ps_client_call(client, &r);
	s3_world_expect(&r, PS_NET_DENIED);
	assert_int_equal(r.error, PS_ENOTSUP);
	s3_world_drop(&r);
	ps_client_close(client);
	ps_network_close(network);
	s3_server_stop(server);
}

static void a_bucket_is_made_on_request_only(void **state)
{
	(void)state;
	struct s3_server *server = s3_server_start(S3_NO_BUCKET, NULL);
	struct ps_network_options plain = {0}, reading = {.create = true, .read_only = true},
	                          making = {.create = true};
	ps_network *network;
	assert_int_equal(open_at(server, "p", &plain, &network), PS_ENOENT);
	assert_int_equal(open_at(server, "p", &reading, &network), PS_ENOENT);
	assert_int_equal(open_at(server, "p", &making, &network), PS_OK);
	ps_network_close(network);
	assert_int_equal(open_at(server, "p", &plain, &network), PS_OK);
	ps_network_close(network);
	s3_server_stop(server);
}

/* Of all descriptors that this process has now, those that a child would inherit and that are connected. */
static unsigned inherited_connections(void)
{
	unsigned n = 0;
	for (int fd = 3; fd < 1024; fd++) {
		struct sockaddr_storage peer;
		socklen_t len = sizeof(peer);
		int flags = fcntl(fd, F_GETFD);
		n += flags >= 0 && !(flags & FD_CLOEXEC) &&
		     getpeername(fd, (struct sockaddr *)&peer, &len) == 0 && peer.ss_family == AF_INET;
	}
	return n;
}

static void a_network_leaves_no_memory_and_no_descriptor_behind(void **state)
{
	(void)state;
	struct s3_server *server = s3_server_start(0, NULL);
	struct ps_net_listed listed[10];
	struct ps_net_list list = {.listed = listed, .capacity = 10};
	struct ps_net_request r = {.op = PS_NET_LIST, .list = &list};
	ps_network *network = s3_world_open(server, "p");
	size_t before = atomic_load(&network->memory.used);
	ps_client *client = s3_world_client(network);
	s3_world_create(client, 0, 1);
	ps_client_call(client, &r);
	s3_world_expect(&r, PS_NET_DONE);
	assert_int_equal(list.count, 1);
	assert_int_equal(inherited_connections(), 0);
	ps_client_close(client);
	assert_int_equal(atomic_load(&network->memory.used), before);
	ps_network_close(network);
	s3_server_stop(server);
}

/* ---- clocks ---- */

static void clocks_that_disagree_have_their_own_error(void **state)
{
	(void)state;
	struct s3_server *server = s3_server_start(0, NULL);
	struct ps_network_options options = {0};
	ps_network *network = s3_world_open(server, "p"), *refused;
	ps_client *client = s3_world_client(network);
	s3_world_create(client, 0, 1);
	for (int i = 0; i < 2; i++) {
		s3_server_set_clock(server, i ? -5000 : 5000);
		assert_int_equal(open_at(server, "p", &options, &refused), PS_ECLOCK);
		assert_non_null(strstr(ps_last_error_message(), "clocks disagree: here it is 2"));
		assert_non_null(strstr(ps_last_error_message(), "at the endpoint 2"));
		/* An answer with and one without a word. */
		for (enum ps_net_op op = PS_NET_GET; op <= PS_NET_REPLACE; op++) {
			struct ps_net_request r;
			s3_world_request(network, &r, op, op == PS_NET_CREATE ? 1 : 0, 1);
			ps_client_call(client, &r);
			s3_world_expect(&r, PS_NET_UNAVAILABLE);
			assert_int_equal(r.error, PS_ECLOCK);
			s3_world_drop(&r);
		}
	}
	s3_server_set_clock(server, 300);
	assert_int_equal(s3_world_counter(client, 0, NULL), 1);
	assert_int_equal(s3_world_counter(client, 1, NULL), 0);
	ps_client_close(client);
	ps_network_close(network);
	s3_server_stop(server);
}

/* ---- keys ---- */

static void wrong_keys_are_refused_at_open(void **state)
{
	(void)state;
	struct s3_server *server = s3_server_start(0, NULL);
	struct ps_network_options options = {0};
	ps_network *network;
	setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret-of-this-test", 1);
	assert_int_equal(open_at(server, "p", &options, &network), PS_EACCES);
	assert_null(strstr(ps_last_error_message(), "wrong-secret-of-this-test"));
	s3_server_credentials();
	s3_server_stop(server);
}

static void an_endpoint_that_nobody_serves_is_unavailable(void **state)
{
	(void)state;
	struct s3_server *server = s3_server_start(0, NULL);
	struct ps_network_options options = {.size = sizeof(options)};
	ps_network *network;
	char url[S3_URL];
	s3_world_url(server, "p", url);
	s3_server_stop(server);
	assert_int_equal(ps_network_open(url, &options, &network), PS_EUNAVAILABLE);
}

/* ---- TLS ---- */

static void make_certificate(const char *name, const char *subject, char path[128])
{
	char command[1024];
	snprintf(path, 128, "%s/%s.pem", folder, name);
	snprintf(command, sizeof(command),
	         "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj "
	         "/CN=test "
	         "-addext subjectAltName=%s -keyout %s -out %s.crt 2>/dev/null && cat %s.crt >>%s",
	         subject, path, path, path, path);
	assert_int_equal(system(command), 0);
}

static void only_a_trusted_certificate_is_talked_to(void **state)
{
	(void)state;
	char ours[128], others[128], elsewhere[128];
	make_certificate("ours", "IP:127.0.0.1", ours);
	make_certificate("others", "IP:127.0.0.1", others);
	make_certificate("elsewhere", "DNS:elsewhere.example", elsewhere);
	struct s3_server *server = s3_server_start(0, ours), *misnamed = s3_server_start(0, elsewhere);
	struct ps_network_options system_wide = {0}, wrong = {.ca_file = others}, right = {.ca_file = ours},
	                          missing = {.ca_file = "/nonexistent.pem"},
	                          other_name = {.ca_file = elsewhere};
	ps_network *network;
	assert_non_null(server);
	assert_int_equal(open_at(server, "p", &system_wide, &network), PS_EAUTH);
	assert_non_null(strstr(ps_last_error_message(), "certificate"));
	assert_int_equal(open_at(server, "p", &wrong, &network), PS_EAUTH);
	assert_int_equal(open_at(server, "p", &missing, &network), PS_EAUTH);
	assert_int_equal(open_at(misnamed, "p", &other_name, &network), PS_EAUTH);
	/* Not a byte of a request was shown to any of them. */
	assert_int_equal(s3_server_requests(server, ~0U) + s3_server_requests(misnamed, ~0U), 0);
	assert_int_equal(open_at(server, "p", &right, &network), PS_OK);
	ps_client *client = s3_world_client(network);
	s3_world_create(client, 0, 1);
	assert_int_equal(s3_world_counter(client, 0, NULL), 1);
	ps_client_close(client);
	ps_network_close(network);
	s3_server_stop(misnamed);
	s3_server_stop(server);
}

static int begin(void **state)
{
	(void)state;
	s3_server_credentials();
	return mkdtemp(folder) ? 0 : -1;
}

static bool is_stalled(void *arg)
{
	return http_server_stalled(s3_server_http(arg)) > 0;
}

/* Whatever it is silent about: the first look, or one of the requests that prove a promise. */
static void an_endpoint_that_is_silent_can_be_left(void **state)
{
	static const unsigned verbs[] = {S3_VERB_LIST, S3_VERB_CREATE, S3_VERB_REPLACE, S3_VERB_HEAD,
	                                 S3_VERB_DELETE};
	(void)state;
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++) {
		struct s3_server *server = s3_server_start(0, NULL);
		struct s3_fault silence = {.kind = S3_FAULT_MANNER, .verbs = verbs[i], .manner = HTTP_STALL};
		struct ps_network_options options = {.stop = is_stalled, .stop_arg = server};
		ps_network *network;
		s3_server_set_fault(server, &silence);
		uint64_t start = s3_world_now_ms();
		assert_int_equal(open_at(server, "p", &options, &network), PS_ECANCELED);
		assert_true(s3_world_now_ms() - start < 30000); /* half of what its requests have */
		s3_server_set_fault(server, &(struct s3_fault){0});
		http_server_release(s3_server_http(server));
		options.stop = NULL;
		assert_int_equal(open_at(server, "p", &options, &network), PS_OK);
		ps_network_close(network);
		s3_server_stop(server);
	}
}

static int end(void **state)
{
	(void)state;
	char command[128];
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(an_endpoint_that_ignores_if_none_match_is_refused),
	    cmocka_unit_test(an_endpoint_that_ignores_if_match_is_refused),
	    cmocka_unit_test(an_endpoint_that_checks_and_then_acts_is_refused),
	    cmocka_unit_test(an_endpoint_that_replaces_nothing_is_refused),
	    cmocka_unit_test(an_endpoint_that_never_matches_is_refused),
	    cmocka_unit_test(an_endpoint_that_drops_metadata_is_refused),
	    cmocka_unit_test(either_form_of_an_etag_is_found),
	    cmocka_unit_test(without_conditional_deletes_the_capability_is_missing),
	    cmocka_unit_test(an_endpoint_is_proved_once_and_left_clean),
	    cmocka_unit_test(a_range_that_is_not_read_is_told),
	    cmocka_unit_test(a_bucket_is_made_on_request_only),
	    cmocka_unit_test(a_network_leaves_no_memory_and_no_descriptor_behind),
	    cmocka_unit_test(clocks_that_disagree_have_their_own_error),
	    cmocka_unit_test(wrong_keys_are_refused_at_open),
	    cmocka_unit_test(an_endpoint_that_nobody_serves_is_unavailable),
	    cmocka_unit_test(an_endpoint_that_is_silent_can_be_left),
	    cmocka_unit_test(only_a_trusted_certificate_is_talked_to),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
