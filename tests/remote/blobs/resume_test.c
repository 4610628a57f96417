/* A put that is killed in its middle, and repeated: exactly the pads that the network does not have are sent,
 * whatever was on its way then. The process that puts is killed while it reads its source.
 * usage: resume_test [SEEDS [SCHEME]]; the scheme: "dir" or BLOBS_ENGINE */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/remote/sync/sync_fixture.h"

enum {
	PAD = 128 << 10,
	INFLIGHT = 2 << 20, /* so that the source is not read far ahead of what is sent */
	ON_THEIR_WAY = 8,   /* requests, at most: two workers, four each */
};

static unsigned seeds = 5;
static const char *scheme = "dir";

/* ---- who puts, and is killed ---- */

struct source {
	uint8_t *bytes;
	size_t len, at, die_at;
};

static int read_some(void *arg, void *buf, size_t len, size_t *got)
{
	struct source *s = arg;
	size_t n = s->len - s->at < len ? s->len - s->at : len;
	if (s->at >= s->die_at)
		raise(SIGKILL);
	n = n < PAD ? n : PAD;
	memcpy(buf, s->bytes + s->at, n);
	s->at += n;
	*got = n;
	return PS_OK;
}

static void set_options(struct blobs *b)
{
	b->options.state = b->folder;
	b->options.max_inflight = INFLIGHT;
}

/* child FOLDER URL SEED PADS DIE_AT: its exit status, if it lives so long. */
static int put_and_die(char **argv)
{
	struct blobs b = {.options = {.size = sizeof(b.options),
	                              .mode = PS_REMOTE_SMALL,
	                              .workers = 2,
	                              .depth = ON_THEIR_WAY / 2,
	                              .timeout_ms = 20000}};
	snprintf(b.folder, sizeof(b.folder), "%s", argv[2]);
	snprintf(b.url, sizeof(b.url), "%s", argv[3]);
	set_options(&b);
	blobs_fill(b.key, sizeof(b.key), 4711);
	size_t len = strtoul(argv[5], NULL, 10) * PAD;
	struct source source = {.bytes = malloc(len), .len = len, .die_at = strtoul(argv[6], NULL, 10) * PAD};
	if (!source.bytes)
		return 2;
	blobs_fill(source.bytes, len, strtoull(argv[4], NULL, 10));
	int err = blobs_start_after_kill(&b);
	if (err == PS_OK)
		err = ps_remote_put_stream(b.r, "key", len, read_some, &source, NULL);
	fprintf(stderr, "not killed: %s (%s)\n", ps_error_name(err), ps_last_error_message());
	return 3;
}

static void put_and_kill(const struct blobs *b, uint64_t seed, uint64_t pads, uint64_t die_at)
{
	char numbers[3][24];
	int status;
	const uint64_t values[] = {seed, pads, die_at};
	for (unsigned i = 0; i < 3; i++)
		snprintf(numbers[i], sizeof(numbers[i]), "%llu", (unsigned long long)values[i]);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		execl("/proc/self/exe", "resume_test", "child", b->folder, b->url, numbers[0], numbers[1],
		      numbers[2], (char *)NULL);
		_exit(4);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFSIGNALED(status))
		fail_msg("the process ended by itself: %d", WEXITSTATUS(status));
}

/* ---- who goes on ---- */

static void resume(struct blobs *b, uint64_t seed, size_t pads, size_t *late)
{
	struct ps_remote_stats before, after;
	struct ps_remote_info info;
	blobs_check(b);
	assert_ok(ps_remote_stat(b->r, "key", &info));
	assert_int_equal(info.exists, 0);
	size_t there = blobs_listed(b);
	assert_true(there >= info.next_confirmed && there < pads);
	blobs_stats(b, &before);
	blobs_put(b, "key", pads * PAD, seed);
	blobs_stats(b, &after);
	size_t record = ps_pad_record_bytes(PAD), sent = (after.sent_bytes - before.sent_bytes) / record;
	assert_int_equal(sent * record, after.sent_bytes - before.sent_bytes);
	/* What the killed process had sent may still arrive: then it is not sent again either. */
	assert_in_range(sent + there, pads - ON_THEIR_WAY, pads);
	*late += pads - there - sent;
	assert_int_equal(blobs_listed(b), pads);
	blobs_expect(b, "key", pads * PAD, seed);
	blobs_check_exactly(b);
	print_message("%zu pads: %zu confirmed, %zu there, %zu sent\n", pads, (size_t)info.next_confirmed,
	              there, sent);
}

static void a_put_that_was_killed_sends_what_is_not_there(void **state)
{
	uint64_t seed = test_seed(1);
	size_t late = 0;
	(void)state;
	for (unsigned i = 0; i < seeds; i++) {
		struct dice dice = {seed + i};
		size_t pads = i == 0 ? 100 : 20 + roll_below(&dice, 30);
		size_t die_at = i == 0 ? 60 : 1 + roll_below(&dice, pads - 1);
		struct blobs *b = blobs_new(scheme);
		blobs_close(b);
		set_options(b);
		put_and_kill(b, seed + i, pads, die_at);
		assert_ok(blobs_start_after_kill(b));
		resume(b, seed + i, pads, &late);
		blobs_free(b);
	}
	/* A folder has no late arrivals. */
	assert_true(late == 0 || strcmp(scheme, BLOBS_ENGINE) == 0);
	print_message("%u kills, %zu pads arrived late\n", seeds, late);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_put_that_was_killed_sends_what_is_not_there),
	};
	if (argc > 6 && strcmp(argv[1], "child") == 0)
		return put_and_die(argv);
	if (argc > 1)
		seeds = (unsigned)strtoul(argv[1], NULL, 10);
	if (argc > 2)
		scheme = argv[2];
	return cmocka_run_group_tests_name(scheme, tests, NULL, NULL);
}
