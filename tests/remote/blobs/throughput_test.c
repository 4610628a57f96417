/* Put and get of a large value on dir:, beside what its two halves take alone: sealing (opening) on all
 * processors at S bytes a second, raw files written (read) at the same depth at D. Both in a row would be
 * 1 / (1/S + 1/D): the ratio is of that. And the memory that it takes, beside max_inflight.
 * usage: throughput_test [FOLDER [MIB]] */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/remote_work.h"
#include "tests/remote/blobs/blobs_fixture.h"

enum { WORKERS = 2, DEPTH = 10, INFLIGHT = 64 << 20 };

static const char *folder = "/dev/shm";
static size_t bytes = (size_t)64 << 20;
static bool measures; /* on a machine of its own: the ratio is asserted */

static double now_s(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- the whole ---- */

struct watch {
	size_t most_resident, most_counted;
	struct blobs *b;
};

static int watch(void *arg, const struct ps_remote_progress *progress)
{
	struct watch *w = arg;
	struct ps_remote_stats stats;
	size_t now = remote_resident_bytes();
	(void)progress;
	assert_ok(ps_remote_stats(w->b->r, &stats));
	w->most_resident = now > w->most_resident ? now : w->most_resident;
	w->most_counted = stats.memory > w->most_counted ? stats.memory : w->most_counted;
	return 0;
}

struct stream {
	const uint8_t *value;
	size_t at;
};

static int read_some(void *arg, void *buf, size_t len, size_t *got)
{
	struct stream *s = arg;
	size_t n = bytes - s->at < len ? bytes - s->at : len;
	memcpy(buf, s->value + s->at, n);
	s->at += n;
	*got = n;
	return PS_OK;
}

static int write_some(void *arg, const void *data, size_t len)
{
	struct stream *s = arg;
	if (memcmp(s->value + s->at, data, len) != 0)
		return PS_ECORRUPT;
	s->at += len;
	return PS_OK;
}

static double ratio_of(double whole, double seal, double raw, const char *name)
{
	double mib = (double)bytes / (1 << 20), ratio = (seal + raw) / whole;
	print_message("%s: %.0f MiB/s; sealing alone %.0f, raw files %.0f; ratio %.2f\n", name, mib / whole,
	              mib / seal, mib / raw, ratio);
	return ratio;
}

static double half(const struct remote_halves *halves, enum remote_half which)
{
	double seconds = 0;
	assert_ok(remote_half_time(halves, which, &seconds));
	return seconds;
}

static void start_measured(struct blobs *b, uint64_t inflight)
{
	blobs_close(b);
	b->options.mode = PS_REMOTE_MEDIUM;
	b->options.workers = WORKERS;
	b->options.depth = DEPTH;
	b->options.max_inflight = inflight;
	assert_ok(blobs_start(b, false));
}

static void in_a_row_is_no_slower_than_its_halves(void **state)
{
	struct blobs *b = blobs_new_in(folder, "dir");
	uint8_t *value = malloc(bytes), *is = malloc(bytes);
	size_t len;
	(void)state;
	assert_true(value && is);
	blobs_fill(value, bytes, 1);
	memset(is, 0, bytes);
	start_measured(b, INFLIGHT);
	struct remote_halves halves = {.keys = b->r->keys,
	                               .value = value,
	                               .bytes = bytes,
	                               .folder = b->folder,
	                               .threads = WORKERS,
	                               .depth = WORKERS * DEPTH};
	double seal = half(&halves, REMOTE_SEAL), opens = half(&halves, REMOTE_OPEN);
	double raw = half(&halves, REMOTE_WRITE);
	double from = now_s();
	assert_ok(ps_remote_put(b->r, "value", value, bytes, NULL));
	double put = now_s() - from;
	double raw_read = half(&halves, REMOTE_READ);
	from = now_s();
	assert_ok(ps_remote_get(b->r, "value", is, bytes, &len, NULL));
	double get = now_s() - from;
	assert_memory_equal(is, value, bytes);
	double put_ratio = ratio_of(put, seal, raw, "put");
	double get_ratio = ratio_of(get, opens, raw_read, "get");
	assert_true(!measures || (put_ratio >= 0.85 && get_ratio >= 0.85));
	remote_halves_done(&halves);
	free(is);
	free(value);
	blobs_free(b);
}

/* Of any size: a stream that is eight times what may be on its way. */
static void memory_is_within_two_and_a_half_times_what_is_in_flight(void **state)
{
	struct blobs *b = blobs_new_in(folder, "dir");
	struct watch w = {.b = b};
	struct ps_remote_put put = {.size = sizeof(put), .progress = watch, .progress_arg = &w};
	struct ps_remote_get get = {.size = sizeof(get), .progress = watch, .progress_arg = &w};
	uint8_t *value = malloc(bytes);
	(void)state;
	assert_non_null(value);
	blobs_fill(value, bytes, 1);
	start_measured(b, bytes / 8);
	size_t before = remote_resident_bytes();
	struct stream s = {.value = value};
	assert_ok(ps_remote_put_stream(b->r, "value", UINT64_MAX, read_some, &s, &put));
	s.at = 0;
	assert_ok(ps_remote_get_stream(b->r, "value", 0, UINT64_MAX, write_some, &s, &get));
	assert_int_equal(s.at, bytes);
	double inflight = (double)b->options.max_inflight;
	print_message("memory: %.2f times max_inflight counted, %.2f resident\n",
	              (double)w.most_counted / inflight,
	              (double)(w.most_resident > before ? w.most_resident - before : 0) / inflight);
	assert_true((double)w.most_counted <= 2.5 * inflight);
	free(value);
	blobs_free(b);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(in_a_row_is_no_slower_than_its_halves),
	    cmocka_unit_test(memory_is_within_two_and_a_half_times_what_is_in_flight),
	};
	if (argc > 1)
		folder = argv[1];
	if (argc > 2)
		bytes = strtoul(argv[2], NULL, 10) << 20;
	measures = argc > 3;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
