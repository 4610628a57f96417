/* Put and get of a large value on dir:, beside what its two halves take alone: sealing (opening) on all
 * processors at S bytes a second, raw files written (read) at the same depth at D. Both in a row would be
 * 1 / (1/S + 1/D): the ratio is of that. And the memory that it takes, beside max_inflight.
 * usage: throughput_test [FOLDER [MIB]] */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tests/remote/blobs/blobs_fixture.h"

enum { PAD = 2 << 20, WORKERS = 2, DEPTH = 10, INFLIGHT = 64 << 20 };

static const char *folder = "/dev/shm";
static size_t bytes = (size_t)64 << 20;
static bool measures; /* on a machine of its own: the ratio is asserted */

static double now_s(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- the halves ---- */

struct half {
	struct blobs *b;
	uint8_t *value;
	char path[128];
	atomic_uint next;
	bool writes;
	void (*one)(struct half *half, unsigned number);
};

static void seal_one(struct half *half, unsigned number)
{
	struct ps_pad_slot slot;
	struct ps_net_buffer *buffer;
	struct ps_serial serial;
	struct ps_pad_name name = {{1}};
	uint8_t *plain = malloc(PAD);
	ps_serial_new(&serial);
	ps_slot_new(&slot, &serial, &name, PS_PAD_PRIVATE, PS_PAD_MEDIUM);
	if (!plain || ps_manager_seal(half->b->r, &slot, PS_ROLE_DATA, NULL, 0,
	                              half->value + (size_t)number * PAD, PAD, &buffer) != PS_OK)
		abort();
	ps_net_buffer_release(buffer);
	free(plain);
}

/* A record that was sealed before, opened as many times as there are pads. */
static struct ps_pad_slot sealed_slot;
static struct ps_net_buffer *sealed;

static void open_one(struct half *half, unsigned number)
{
	struct ps_net_buffer *copy = ps_net_buffer_new(&half->b->r->network->memory, sealed->len);
	uint8_t *plain = malloc(PAD);
	(void)number;
	if (!copy || !plain)
		abort();
	memcpy(copy->bytes, sealed->bytes, sealed->len);
	copy->len = sealed->len;
	if (ps_pad_read_record(half->b->r, &sealed_slot, PS_ROLE_DATA, NULL, copy, plain, 0, PAD, NULL) !=
	    PS_OK)
		abort();
	ps_net_buffer_release(copy);
	free(plain);
}

static void file_one(struct half *half, unsigned number)
{
	char path[192];
	size_t size = ps_pad_record_bytes(PAD);
	uint8_t *block = aligned_alloc(4096, (size + 4095) / 4096 * 4096);
	snprintf(path, sizeof(path), "%s/raw-%u", half->path, number);
	int fd = open(path, half->writes ? O_CREAT | O_TRUNC | O_WRONLY : O_RDONLY, 0600);
	if (fd < 0 || !block)
		abort();
	memset(block, (int)number, size);
	ssize_t n = half->writes ? write(fd, block, size) : read(fd, block, size);
	if (n != (ssize_t)size || (half->writes && fsync(fd) != 0))
		abort();
	(void)close(fd);
	free(block);
}

static void *run_half(void *arg)
{
	struct half *half = arg;
	for (;;) {
		unsigned number = atomic_fetch_add(&half->next, 1);
		if ((size_t)number * PAD >= bytes)
			return NULL;
		half->one(half, number);
	}
}

static double time_half(struct half *half, void (*one)(struct half *, unsigned), unsigned threads,
                        bool writes)
{
	pthread_t all[64];
	half->one = one;
	half->writes = writes;
	atomic_store(&half->next, 0);
	double from = now_s();
	for (unsigned i = 0; i < threads; i++)
		assert_int_equal(pthread_create(&all[i], NULL, run_half, half), 0);
	for (unsigned i = 0; i < threads; i++)
		assert_int_equal(pthread_join(all[i], NULL), 0);
	return now_s() - from;
}

/* ---- the whole ---- */

static size_t resident(void)
{
	char text[256];
	size_t pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	assert_non_null(f);
	if (fgets(text, sizeof(text), f))
		(void)sscanf(text, "%*u %zu", &pages);
	fclose(f);
	return pages * 4096;
}

struct watch {
	size_t most_resident, most_counted;
	struct blobs *b;
};

static int watch(void *arg, const struct ps_remote_progress *progress)
{
	struct watch *w = arg;
	struct ps_remote_stats stats;
	size_t now = resident();
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

static void in_a_row_is_no_slower_than_its_halves(void **state)
{
	struct blobs *b = blobs_new_in(folder, "dir");
	struct half half = {.b = b, .value = malloc(bytes)};
	struct ps_pad_name name = {{1}};
	struct ps_serial serial;
	(void)state;
	assert_non_null(half.value);
	blobs_fill(half.value, bytes, 1);
	snprintf(half.path, sizeof(half.path), "%s", b->folder);
	blobs_close(b);
	b->options.mode = PS_REMOTE_MEDIUM;
	b->options.workers = WORKERS;
	b->options.depth = DEPTH;
	b->options.max_inflight = INFLIGHT;
	assert_ok(blobs_start(b, false));
	ps_serial_new(&serial);
	assert_ok(ps_pad_name(b->r->keys, &serial, &name));
	ps_slot_new(&sealed_slot, &serial, &name, PS_PAD_PRIVATE, PS_PAD_MEDIUM);
	assert_ok(ps_manager_seal(b->r, &sealed_slot, PS_ROLE_DATA, NULL, 0, half.value, PAD, &sealed));
	double seal = time_half(&half, seal_one, WORKERS, true);
	double opens = time_half(&half, open_one, WORKERS, true);
	double raw = time_half(&half, file_one, WORKERS * DEPTH, true);
	double from = now_s();
	assert_ok(ps_remote_put(b->r, "value", half.value, bytes, NULL));
	double put = now_s() - from;
	double raw_read = time_half(&half, file_one, WORKERS * DEPTH, false);
	uint8_t *is = malloc(bytes);
	size_t len;
	assert_non_null(is);
	memset(is, 0, bytes);
	from = now_s();
	assert_ok(ps_remote_get(b->r, "value", is, bytes, &len, NULL));
	double get = now_s() - from;
	assert_memory_equal(is, half.value, bytes);
	double put_ratio = ratio_of(put, seal, raw, "put");
	double get_ratio = ratio_of(get, opens, raw_read, "get");
	assert_true(!measures || (put_ratio >= 0.85 && get_ratio >= 0.85));
	free(is);
	ps_net_buffer_release(sealed);
	free(half.value);
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
	blobs_close(b);
	b->options.mode = PS_REMOTE_MEDIUM;
	b->options.workers = WORKERS;
	b->options.depth = DEPTH;
	b->options.max_inflight = bytes / 8;
	assert_ok(blobs_start(b, false));
	size_t before = resident();
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
