/* Blobs on a scripted S3 whose requests meet any mixture of faults: lost before and after they were carried
 * out, cut, answered with any status, carried out twice, late, once more later, damaged. What blobs_load.h
 * has is true afterwards. usage: s3_mixture_test [SEEDS] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/remote/blobs/blobs_load.h"
#include "tests/remote/s3_server.h"
#include "tests/remote/sync/sync_fixture.h"

enum { STEPS = 25, CALLS = 3, SHORT_MS = 250, MOST_TIMES = 4 };

static unsigned seeds = 4;

static const struct s3_fault faults[] = {
    {.kind = S3_FAULT_MANNER, .manner = HTTP_CLOSE},
    {.kind = S3_FAULT_MANNER, .manner = HTTP_RESET},
    {.kind = S3_FAULT_MANNER, .manner = HTTP_STALL},
    {.kind = S3_FAULT_MANNER, .manner = HTTP_GARBAGE},
    {.kind = S3_FAULT_APPLY_MANNER, .manner = HTTP_CLOSE},
    {.kind = S3_FAULT_APPLY_MANNER, .manner = HTTP_RESET},
    {.kind = S3_FAULT_APPLY_MANNER, .manner = HTTP_STALL},
    {.kind = S3_FAULT_APPLY_MANNER, .manner = HTTP_HALF},
    {.kind = S3_FAULT_APPLY_MANNER, .manner = HTTP_LONG_LENGTH},
    {.kind = S3_FAULT_BODY_MANNER, .manner = HTTP_RESET},
    {.kind = S3_FAULT_BODY_MANNER, .manner = HTTP_CLOSE},
    {.kind = S3_FAULT_STATUS, .status = 403, .code = "AccessDenied"},
    {.kind = S3_FAULT_STATUS, .status = 409, .code = "ConditionalRequestConflict"},
    {.kind = S3_FAULT_STATUS, .status = 429, .code = "TooManyRequests"},
    {.kind = S3_FAULT_STATUS, .status = 500, .code = "InternalError"},
    {.kind = S3_FAULT_STATUS, .status = 503, .code = "SlowDown"},
    {.kind = S3_FAULT_APPLY_STATUS, .status = 500, .code = "InternalError"},
    {.kind = S3_FAULT_APPLY_STATUS, .status = 503, .code = "SlowDown"},
    {.kind = S3_FAULT_TWICE},
    {.kind = S3_FAULT_LATE},
    {.kind = S3_FAULT_LATE_REPLAY},
    {.kind = S3_FAULT_WRONG_BYTES},
    {.kind = S3_FAULT_CUT},
};

/* What a fault may be about: those that answer with bytes of their own, and those that are about changes. */
static unsigned verbs_of(const struct s3_fault *fault, struct dice *dice)
{
	static const unsigned verbs[] = {S3_VERB_GET, S3_VERB_HEAD, S3_VERB_CREATE, S3_VERB_REPLACE,
	                                 S3_VERB_DELETE};
	unsigned changes = S3_VERB_CREATE | S3_VERB_REPLACE | S3_VERB_DELETE;
	if (fault->status == 409) /* only conditions meet a conflict */
		return S3_VERB_CREATE | S3_VERB_REPLACE;
	switch (fault->kind) {
	case S3_FAULT_LATE:
	case S3_FAULT_LATE_REPLAY:
	case S3_FAULT_TWICE:
		return changes;
	case S3_FAULT_BODY_MANNER:
		return S3_VERB_CREATE | S3_VERB_REPLACE;
	case S3_FAULT_CUT:
		return S3_VERB_GET;
	default:
		return roll_below(dice, 3) == 0 ? changes | S3_VERB_GET | S3_VERB_HEAD
		                                : verbs[roll_below(dice, sizeof(verbs) / sizeof(*verbs))];
	}
}

static void set_any_fault(struct s3_server *server, struct dice *dice, uint32_t retries)
{
	struct s3_fault fault;
	do /* a 403 that stays is the caller's to hear of */
		fault = faults[roll_below(dice, sizeof(faults) / sizeof(*faults))];
	while (fault.status == 403 && retries < MOST_TIMES);
	fault.verbs = verbs_of(&fault, dice);
	/* Bytes that do not verify are fetched once more, and then told. */
	bool damages = fault.kind == S3_FAULT_WRONG_BYTES || fault.kind == S3_FAULT_CUT;
	fault.times = damages ? 1 : 1 + (unsigned)roll_below(dice, MOST_TIMES);
	s3_server_set_fault(server, &fault);
}

/* With few retries calls fail, and are repeated by whoever called. */
static void run_mixture(struct s3_server *server, struct dice *dice, uint32_t retries)
{
	const struct ps_remote_seams seams = {.backoff_ms = 5};
	struct blobs *b = blobs_new_with(BLOBS_ENGINE, &seams);
	blobs_close(b);
	b->options.timeout_ms = SHORT_MS;
	b->options.retries = retries;
	assert_ok(blobs_start_again(b, false));
	struct blobs_load *load = blobs_load_start(b, "s3, scripted", roll(dice));
	for (unsigned i = 0; i < STEPS; i++) {
		set_any_fault(server, dice, retries);
		blobs_load_wait_done(load, CALLS);
		if (roll_below(dice, 3) == 0)
			(void)s3_server_deliver(server);
	}
	s3_server_set_fault(server, &(struct s3_fault){0});
	http_server_release(s3_server_http(server));
	blobs_load_stop(load);
	blobs_load_end(load, "a mixture");
	/* What comes now comes too late. */
	(void)s3_server_deliver(server);
	blobs_check(b);
	blobs_free(b);
}

static void values_are_what_was_acknowledged_under_any_mixture(void **state)
{
	uint64_t seed = test_seed(1);
	char endpoint[64], url[256];
	(void)state;
	for (unsigned i = 0; i < seeds; i++) {
		struct dice dice = {seed + i};
		struct s3_server *server = s3_server_start(0, NULL);
		assert_non_null(server);
		s3_server_endpoint(server, endpoint, sizeof(endpoint));
		snprintf(url, sizeof(url), "s3://bucket/%%s?endpoint=%s", endpoint);
		setenv("PS_TEST_NETWORK", url, 1);
		run_mixture(server, &dice, i % 2 ? 20 : 1);
		assert_int_equal(s3_server_badly_signed(server), 0);
		s3_server_stop(server);
	}
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(values_are_what_was_acknowledged_under_any_mixture),
	};
	if (argc > 1)
		seeds = (unsigned)strtoul(argv[1], NULL, 10);
	s3_server_credentials();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
