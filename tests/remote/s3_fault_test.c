/* Each request of s3: times what can go wrong with it: the outcome is exact, comes in bounded time, and what
 * is there afterwards agrees with it. */
#include <stdio.h>
#include <string.h>

#include "tests/remote/s3_world.h"

/* BOUND_MS is shorter than the time that requests have (s3_world_request). */
enum { OPS = PS_NET_LIST + 1, SHORT_MS = 30, MOST_MS = 5000, BOUND_MS = 60000 };

static struct s3_server *server;
static ps_network *network;
static ps_client *client; /* that looks, undisturbed */
static unsigned names;    /* used so far */

static const unsigned verb_of[OPS] = {S3_VERB_GET,     S3_VERB_GET,    S3_VERB_HEAD, S3_VERB_CREATE,
                                      S3_VERB_REPLACE, S3_VERB_DELETE, S3_VERB_LIST};

/* One letter for each of get, get_range, head, create, replace, remove, list. */
struct row {
	const char *name;
	struct s3_fault fault;
	const char
	    *outcomes; /* Done Unavailable unKnown Absent denied(X) Conflict too Big Full; - not asked */
	bool late;     /* nothing ends it but the request's time */
	bool throttled;
	int error; /* of those that are unavailable; 0: any */
};

#define MANNER(m)                                                                                            \
	{                                                                                                    \
		.kind = S3_FAULT_MANNER, .manner = m                                                         \
	}
#define APPLIED(m)                                                                                           \
	{                                                                                                    \
		.kind = S3_FAULT_APPLY_MANNER, .manner = m                                                   \
	}
#define IN_BODY(m)                                                                                           \
	{                                                                                                    \
		.kind = S3_FAULT_BODY_MANNER, .manner = m                                                    \
	}
#define STATUS(s, c)                                                                                         \
	{                                                                                                    \
		.kind = S3_FAULT_STATUS, .status = s, .code = c                                              \
	}
#define APPLIED_STATUS(s, c)                                                                                 \
	{                                                                                                    \
		.kind = S3_FAULT_APPLY_STATUS, .status = s, .code = c                                        \
	}

static const struct row rows[] = {
    {"end before it is carried out", MANNER(HTTP_CLOSE), "UUUKKKU", .error = 0},
    {"reset before it is carried out", MANNER(HTTP_RESET), "UUUKKKU", .error = 0},
    {"end after it was carried out", APPLIED(HTTP_CLOSE), "UUUKKKU", .error = 0},
    {"reset after it was carried out", APPLIED(HTTP_RESET), "UUUKKKU", .error = 0},
    {"stall before", MANNER(HTTP_STALL), "UUUKKKU", .late = true, .error = PS_ETIMEDOUT},
    {"stall after", APPLIED(HTTP_STALL), "UUUKKKU", .late = true, .error = PS_ETIMEDOUT},
    {"reset in the request's body", IN_BODY(HTTP_RESET), "---KK--", .error = 0},
    {"end in the request's body", IN_BODY(HTTP_CLOSE), "---KK--", .error = 0},
    {"stall in the request's body", IN_BODY(HTTP_STALL), "---KK--", .late = true},
    {"half of the answer", APPLIED(HTTP_HALF), "UU----U", .error = 0},
    {"half of the answer, reset", APPLIED(HTTP_HALF_RESET), "UU----U", .error = 0},
    {"half of the answer, stall", APPLIED(HTTP_HALF_STALL), "UU----U", .late = true, .error = PS_ETIMEDOUT},
    {"less than announced", APPLIED(HTTP_LONG_LENGTH), "UU-KK-U", .error = 0},
    {"no HTTP", MANNER(HTTP_GARBAGE), "UUUKKKU", .error = 0},
    {"403", STATUS(403, "AccessDenied"), "UUUUUUU", .error = PS_EACCES},
    {"404 key", STATUS(404, "NoSuchKey"), "AAAXUUU", .error = 0},
    {"404 bucket", STATUS(404, "NoSuchBucket"), "UUAUUUU", .error = PS_ENOENT},
    {"409", STATUS(409, "ConditionalRequestConflict"), "XXXUUUX", .error = 0},
    {"412", STATUS(412, "PreconditionFailed"), "XXXUCCX", .error = 0},
    {"429", STATUS(429, "TooManyRequests"), "UUUUUUU", .throttled = true},
    {"503", STATUS(503, "SlowDown"), "UUUKKKU", .throttled = true},
    {"408", STATUS(408, "RequestTimeout"), "UUUKKKU", .error = 0},
    {"500", STATUS(500, "InternalError"), "UUUKKKU", .error = 0},
    {"502", STATUS(502, NULL), "UUUKKKU", .error = 0},
    {"504", STATUS(504, NULL), "UUUKKKU", .error = 0},
    {"507", STATUS(507, "XMinioStorageFull"), "UUUFFFU", .error = 0},
    {"413", STATUS(413, "EntityTooLarge"), "XXXBBXX", .error = 0},
    {"301", STATUS(301, "PermanentRedirect"), "XXXXXXX", .error = 0},
    {"405", STATUS(405, "MethodNotAllowed"), "XXXXXXX", .error = 0},
    {"501", STATUS(501, "NotImplemented"), "XXXXXXX", .error = 0},
    {"damaged on its way", STATUS(400, "XAmzContentSHA256Mismatch"), "UUXUUUU", .error = PS_EIO},
    {"too slow", STATUS(400, "RequestTimeout"), "UUXKKKU", .error = 0},
    {"500 after it was carried out", APPLIED_STATUS(500, "InternalError"), "UUUDDKU", .error = 0},
    {"503 after it was carried out", APPLIED_STATUS(503, "SlowDown"), "UUUKKKU", .throttled = true},
    {"carried out twice", {.kind = S3_FAULT_TWICE}, "DDDDDAD", .error = 0},
    {"other bytes arrive", {.kind = S3_FAULT_WRONG_BYTES}, "---UU--", .error = PS_EIO},
    {"a page that is cut", {.kind = S3_FAULT_CUT}, "------U", .error = PS_ECORRUPT},
};

static enum ps_outcome outcome_of(char letter)
{
	switch (letter) {
	case 'D':
		return PS_NET_DONE;
	case 'K':
		return PS_NET_UNKNOWN;
	case 'A':
		return PS_NET_ABSENT;
	case 'X':
		return PS_NET_DENIED;
	case 'C':
		return PS_NET_CONFLICT;
	case 'B':
		return PS_NET_TOO_BIG;
	case 'F':
		return PS_NET_FULL;
	default:
		return PS_NET_UNAVAILABLE;
	}
}

static void prepare(struct ps_net_request *r, enum ps_net_op op, unsigned n, struct ps_net_list *list)
{
	s3_world_request(network, r, op, n, op == PS_NET_CREATE ? 0 : 1);
	r->list = list;
	if (op == PS_NET_CREATE)
		return;
	s3_world_create(client, n, 1);
	if (op == PS_NET_REPLACE)
		s3_world_counter(client, n, &r->token);
}

/* The old version, the new one, or either: as the outcome says. */
static void check_what_is_there(const struct ps_net_request *r, unsigned n, unsigned applied)
{
	uint64_t before = r->op == PS_NET_CREATE ? 0 : 1, after = r->op == PS_NET_REMOVE ? 0 : before + 1;
	uint64_t there = s3_world_counter(client, n, NULL);
	assert_true(applied <= 1);
	if (r->outcome == PS_NET_DONE || (r->op == PS_NET_REMOVE && r->outcome == PS_NET_ABSENT))
		assert_int_equal(there, after);
	else if (r->outcome == PS_NET_UNKNOWN)
		assert_int_equal(there, applied ? after : before);
	else
		assert_int_equal(there, before);
}

/* A request whose time was over before the server had it is over for the server as well: it meets no fault
 * and changes nothing that comes behind it. Connections are accepted in their order. */
static void let_pass(unsigned connections)
{
	ps_client *last = s3_world_client(network);
	(void)s3_world_counter(last, names++, NULL);
	ps_client_close(last);
	assert_true(http_server_wait_ended(s3_server_http(server), connections));
}

/* False: the request's time was over before the server had it; there was too little of it. */
static bool try_for(const struct row *row, enum ps_net_op op, uint32_t short_ms)
{
	struct ps_net_listed listed[4];
	struct ps_net_list list = {.listed = listed, .capacity = 4};
	struct s3_fault fault = row->fault;
	struct ps_net_request r;
	unsigned n = names++;
	ps_client *fresh = s3_world_client(network);
	prepare(&r, op, n, &list);
	if (row->late)
		r.timeout_ms = short_ms;
	fault.verbs = verb_of[op];
	/* Else a repetition by libcurl would find the server changed. */
	fault.times = fault.kind == S3_FAULT_TWICE ? 1 : 0;
	unsigned applied = s3_server_applied(server);
	unsigned connections = http_server_connections(s3_server_http(server));
	s3_server_set_fault(server, &fault);
	uint64_t start = s3_world_now_ms();
	ps_client_call(fresh, &r);
	uint64_t took = s3_world_now_ms() - start;
	s3_server_set_fault(server, &(struct s3_fault){0});
	bool in_time = !row->late || http_server_stalled(s3_server_http(server)) > 0 || short_ms > MOST_MS;
	http_server_release(s3_server_http(server));
	applied = s3_server_applied(server) - applied;
	if (in_time && r.outcome != outcome_of(row->outcomes[op]))
		fail_msg("%s, op %d: \"%s\" instead of %c: %s", row->name, (int)op,
		         ps_outcome_text(r.outcome), row->outcomes[op], r.sentence);
	assert_int_equal(r.throttled, row->throttled);
	if (in_time && row->error && r.outcome == PS_NET_UNAVAILABLE)
		assert_int_equal(r.error, row->error);
	assert_int_equal(r.sentence[0] != '\0', r.outcome != PS_NET_DONE);
	assert_null(strstr(r.sentence, "test/secret"));
	assert_true(took < (row->late ? short_ms + BOUND_MS : BOUND_MS));
	if (in_time && ps_net_op_writes(op))
		check_what_is_there(&r, n, applied);
	s3_world_drop(&r);
	ps_client_close(fresh);
	if (!in_time)
		let_pass(connections);
	return in_time;
}

static void try_one(const struct row *row, enum ps_net_op op)
{
	for (uint32_t short_ms = SHORT_MS; !try_for(row, op, short_ms); short_ms *= 4)
		continue;
}

static void every_request_ends_with_its_outcome_under_every_fault(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		for (int op = 0; op < OPS; op++)
			if (rows[i].outcomes[op] != '-')
				try_one(&rows[i], (enum ps_net_op)op);
	}
}

/* A connection that was used before dies after the change was made: libcurl sends it again, and the 412 is
 * the echo. */
static void the_echo_of_a_repeated_request_is_no_conflict(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		enum ps_net_op op = i ? PS_NET_REPLACE : PS_NET_CREATE;
		struct s3_fault fault = {
		    .kind = S3_FAULT_APPLY_MANNER, .manner = HTTP_CLOSE, .verbs = verb_of[op], .times = 1};
		struct ps_net_request r;
		unsigned n = names++;
		prepare(&r, op, n, NULL);
		s3_world_counter(client, n, NULL);
		unsigned applied = s3_server_applied(server), sent = s3_server_requests(server, verb_of[op]);
		s3_server_set_fault(server, &fault);
		ps_client_call(client, &r);
		s3_world_expect(&r, PS_NET_DONE);
		assert_int_equal(s3_server_requests(server, verb_of[op]) - sent, 2);
		assert_int_equal(s3_server_applied(server) - applied, 1);
		assert_int_equal(s3_world_counter(client, n, NULL), r.identity.counter);
		s3_world_drop(&r);
	}
}

static void a_removal_that_was_repeated_is_unknown(void **state)
{
	(void)state;
	struct s3_fault fault = {
	    .kind = S3_FAULT_APPLY_MANNER, .manner = HTTP_CLOSE, .verbs = S3_VERB_DELETE, .times = 1};
	struct ps_net_request r;
	unsigned n = names++;
	prepare(&r, PS_NET_REMOVE, n, NULL);
	s3_server_set_fault(server, &fault);
	ps_client_call(client, &r);
	s3_world_expect(&r, PS_NET_UNKNOWN);
	assert_int_equal(s3_world_counter(client, n, NULL), 0);
	s3_world_drop(&r);
}

/* A read that failed once at the gateway is read again. */
static void one_500_does_not_fail_a_read(void **state)
{
	(void)state;
	struct s3_fault fault = {
	    .kind = S3_FAULT_STATUS, .status = 500, .code = "UnknownError", .verbs = S3_VERB_GET, .times = 2};
	struct ps_net_request r;
	prepare(&r, PS_NET_GET, names++, NULL);
	s3_server_set_fault(server, &fault);
	ps_client_call(client, &r);
	s3_world_expect(&r, PS_NET_DONE);
	assert_int_equal(r.size, S3_RECORD);
	s3_world_drop(&r);
}

/* Whoever looks sees the old version, sends the same again, and one copy of the two passes. */
static void a_late_change_is_carried_out_once(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		enum ps_net_op op = i ? PS_NET_REPLACE : PS_NET_CREATE;
		struct s3_fault fault = {.kind = S3_FAULT_LATE, .verbs = verb_of[op], .times = 1};
		struct ps_net_request r;
		unsigned n = names++;
		ps_client *fresh = s3_world_client(network);
		prepare(&r, op, n, NULL);
		unsigned applied = s3_server_applied(server);
		s3_server_set_fault(server, &fault);
		ps_client_call(fresh, &r);
		s3_world_expect(&r, PS_NET_UNKNOWN);
		assert_int_equal(s3_world_counter(client, n, NULL), r.expected.counter);
		assert_int_equal(s3_server_deliver(server), 1);
		ps_client_call(fresh, &r);
		s3_world_expect(&r, PS_NET_DONE);
		assert_int_equal(s3_server_applied(server) - applied, 1);
		assert_int_equal(s3_world_counter(client, n, NULL), r.identity.counter);
		s3_world_drop(&r);
		ps_client_close(fresh);
	}
}

/* Late: there is still what was to be removed. Later it is gone, or the guard keeps what has taken its place.
 */
static void a_late_removal_takes_its_own_version_only(void **state)
{
	(void)state;
	for (int fenced = 0; fenced < 2; fenced++) {
		/* The copy that libcurl sends, too: the look before has used the connection. */
		struct s3_fault fault = {.kind = S3_FAULT_LATE, .verbs = S3_VERB_DELETE};
		struct ps_net_request r, next;
		unsigned n = names++;
		ps_client *fresh = s3_world_client(network);
		prepare(&r, PS_NET_REMOVE, n, NULL);
		s3_server_set_fault(server, &fault);
		ps_client_call(fresh, &r);
		s3_server_set_fault(server, &(struct s3_fault){0});
		s3_world_expect(&r, PS_NET_UNKNOWN);
		assert_int_equal(s3_world_counter(client, n, NULL), 1);
		s3_world_request(network, &next, PS_NET_REPLACE, n, 1);
		if (fenced)
			s3_world_expect((ps_client_call(client, &next), &next), PS_NET_DONE);
		assert_true(s3_server_deliver(server) >= 1);
		assert_int_equal(s3_world_counter(client, n, NULL), fenced ? 2 : 0);
		ps_client_call(fresh, &r);
		s3_world_expect(&r, fenced ? PS_NET_CONFLICT : PS_NET_ABSENT);
		assert_int_equal(s3_world_counter(client, n, NULL), fenced ? 2 : 0);
		s3_world_drop(&next);
		s3_world_drop(&r);
		ps_client_close(fresh);
	}
}

static void a_replayed_change_finds_its_version_gone(void **state)
{
	static const enum ps_net_op ops[] = {PS_NET_CREATE, PS_NET_REPLACE};
	(void)state;
	for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
		struct s3_fault fault = {.kind = S3_FAULT_LATE_REPLAY, .verbs = verb_of[ops[i]], .times = 1};
		struct ps_net_request r, later;
		unsigned n = names++;
		prepare(&r, ops[i], n, NULL);
		s3_server_set_fault(server, &fault);
		ps_client_call(client, &r);
		s3_world_expect(&r, PS_NET_DONE);
		s3_world_request(network, &later, PS_NET_REPLACE, n, r.identity.counter);
		ps_client_call(client, &later);
		s3_world_expect(&later, PS_NET_DONE);
		assert_int_equal(s3_server_deliver(server), 1);
		assert_int_equal(s3_world_counter(client, n, NULL), r.identity.counter + 1);
		s3_world_drop(&later);
		s3_world_drop(&r);
	}
}

static void a_replayed_removal_does_not_take_what_came_after_it(void **state)
{
	(void)state;
	struct s3_fault fault = {.kind = S3_FAULT_LATE_REPLAY, .verbs = S3_VERB_DELETE, .times = 1};
	struct ps_net_request r;
	unsigned n = names++;
	prepare(&r, PS_NET_REMOVE, n, NULL);
	s3_server_set_fault(server, &fault);
	ps_client_call(client, &r);
	s3_world_expect(&r, PS_NET_DONE);
	s3_world_create(client, n, 5);
	assert_int_equal(s3_server_deliver(server), 1);
	assert_int_equal(s3_world_counter(client, n, NULL), 5);
	s3_world_drop(&r);
}

/* What is older than it should be is shown with its own identity: whoever reads can tell. */
static void a_stale_answer_shows_whose_it_is(void **state)
{
	(void)state;
	struct s3_fault fault = {.kind = S3_FAULT_STALE, .verbs = S3_VERB_HEAD | S3_VERB_GET};
	struct ps_net_request r, get;
	unsigned n = names++;
	prepare(&r, PS_NET_REPLACE, n, NULL);
	ps_client_call(client, &r);
	s3_world_expect(&r, PS_NET_DONE);
	s3_world_request(network, &get, PS_NET_GET, n, 1);
	s3_server_set_fault(server, &fault);
	ps_client_call(client, &get);
	s3_world_expect(&get, PS_NET_DONE);
	assert_int_equal(get.identity.counter, 1);
	assert_int_equal(get.buffer->bytes[0], 1);
	/* A look that is too old finds another version than the expected: nothing is changed. */
	r.expected = s3_world_identity(2);
	r.identity = s3_world_identity(3);
	r.token.len = 0;
	ps_client_call(client, &r);
	s3_world_expect(&r, PS_NET_CONFLICT);
	s3_server_set_fault(server, &(struct s3_fault){0});
	assert_int_equal(s3_world_counter(client, n, NULL), 2);
	s3_world_drop(&get);
	s3_world_drop(&r);
}

/* Told as they came: it is the pad's reader who verifies bytes and length. What came too much spoils the
 * connection, and with it at most one request more. */
static void wrong_bytes_and_lengths_are_passed_on_as_they_are(void **state)
{
	(void)state;
	const struct s3_fault faults[] = {
	    {.kind = S3_FAULT_WRONG_BYTES, .verbs = S3_VERB_GET},
	    {.kind = S3_FAULT_CUT, .verbs = S3_VERB_GET},
	    {.kind = S3_FAULT_APPLY_MANNER, .manner = HTTP_SHORT_LENGTH, .verbs = S3_VERB_GET}};
	for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++) {
		struct ps_net_request r;
		unsigned n = names++;
		prepare(&r, PS_NET_GET, n, NULL);
		s3_server_set_fault(server, &faults[i]);
		ps_client_call(client, &r);
		s3_server_set_fault(server, &(struct s3_fault){0});
		s3_world_expect(&r, PS_NET_DONE);
		assert_int_equal(r.buffer->len, i ? S3_RECORD / 2 : S3_RECORD);
		assert_int_equal(r.size, r.buffer->len);
		struct ps_net_request next = {.op = PS_NET_HEAD, .name = r.name};
		if (ps_client_call(client, &next) == PS_NET_UNAVAILABLE)
			ps_client_call(client, &next);
		s3_world_expect(&next, PS_NET_DONE);
		s3_world_drop(&r);
	}
}

/* An old token of the right version costs a look, and no conflict. */
static void a_wrong_token_of_the_right_version_is_mended(void **state)
{
	(void)state;
	struct ps_net_request r;
	unsigned n = names++;
	prepare(&r, PS_NET_REPLACE, n, NULL);
	r.token.bytes[1] ^= 1;
	ps_client_call(client, &r);
	s3_world_expect(&r, PS_NET_DONE);
	assert_int_equal(s3_world_counter(client, n, NULL), 2);
	s3_world_drop(&r);
}

static void a_listing_that_does_not_move_on_ends(void **state)
{
	(void)state;
	struct ps_net_listed listed[2];
	struct ps_net_list list = {.listed = listed, .capacity = 2, .more = true};
	enum ps_outcome outcome = PS_NET_DONE;
	s3_world_create(client, names++, 1);
	s3_world_create(client, names++, 1);
	s3_server_set_flaws(server, S3_STANDS_STILL);
	for (unsigned page = 0; page < 5 && outcome == PS_NET_DONE; page++) {
		struct ps_net_request r = {.op = PS_NET_LIST, .list = &list};
		outcome = ps_client_call(client, &r);
	}
	s3_server_set_flaws(server, 0);
	assert_int_equal(outcome, PS_NET_UNAVAILABLE);
}

static void a_server_that_is_gone_was_not_reached(void **state)
{
	(void)state;
	struct s3_server *other = s3_server_start(0, NULL);
	ps_network *gone = s3_world_open(other, "gone");
	ps_client *lost = s3_world_client(gone);
	struct ps_net_listed listed[1];
	struct ps_net_list list = {.listed = listed, .capacity = 1};
	s3_server_stop(other);
	for (int op = 0; op < OPS; op++) {
		struct ps_net_request r;
		s3_world_request(gone, &r, (enum ps_net_op)op, 0, 1);
		r.list = &list;
		uint64_t start = s3_world_now_ms();
		ps_client_call(lost, &r);
		s3_world_expect(&r, PS_NET_UNAVAILABLE);
		assert_true(s3_world_now_ms() - start < BOUND_MS);
		s3_world_drop(&r);
	}
	ps_client_close(lost);
	ps_network_close(gone);
}

static int begin(void **state)
{
	(void)state;
	s3_server_credentials();
	server = s3_server_start(0, NULL);
	assert_non_null(server);
	network = s3_world_open(server, "faults");
	client = s3_world_client(network);
	return 0;
}

static int end(void **state)
{
	(void)state;
	assert_int_equal(s3_server_badly_signed(server), 0);
	ps_client_close(client);
	ps_network_close(network);
	s3_server_stop(server);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(every_request_ends_with_its_outcome_under_every_fault),
	    cmocka_unit_test(the_echo_of_a_repeated_request_is_no_conflict),
	    cmocka_unit_test(a_removal_that_was_repeated_is_unknown),
	    cmocka_unit_test(one_500_does_not_fail_a_read),
	    cmocka_unit_test(a_late_change_is_carried_out_once),
	    cmocka_unit_test(a_late_removal_takes_its_own_version_only),
	    cmocka_unit_test(a_replayed_change_finds_its_version_gone),
	    cmocka_unit_test(a_replayed_removal_does_not_take_what_came_after_it),
	    cmocka_unit_test(a_stale_answer_shows_whose_it_is),
	    cmocka_unit_test(wrong_bytes_and_lengths_are_passed_on_as_they_are),
	    cmocka_unit_test(a_wrong_token_of_the_right_version_is_mended),
	    cmocka_unit_test(a_listing_that_does_not_move_on_ends),
	    cmocka_unit_test(a_server_that_is_gone_was_not_reached),
	};
	return cmocka_run_group_tests(tests, begin, end);
}
