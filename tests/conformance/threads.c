/* Calls from several threads: nothing torn, batches seen whole, own objects undisturbed.
 *
 * cmocka's assertions belong to the main thread, so workers return a sentence instead. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/conformance/suite.h"
#include "tests/support/patient.h"

enum { THREADS = 4, ROUNDS = 60, SHARED = 6, LARGEST = 70000 };

struct worker {
	ps_storer *s;
	const ps_id *shared;
	unsigned number;
	atomic_uint *running; /* workers that still write */
	char failure[200];    /* empty: none */
	void *(*body)(void *worker);
	pthread_t thread;
};

#define WORKER_TRY(w, call)                                                                                  \
	do {                                                                                                 \
		int err_ = (call);                                                                           \
		if (err_) {                                                                                  \
			snprintf((w)->failure, sizeof((w)->failure), "%s is %s", #call,                      \
			         ps_error_name(err_));                                                       \
			return false;                                                                        \
		}                                                                                            \
	} while (0)
#define WORKER_EXPECT(w, condition)                                                                          \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			snprintf((w)->failure, sizeof((w)->failure), "line %d: not %s", __LINE__,            \
			         #condition);                                                                \
			return false;                                                                        \
		}                                                                                            \
	} while (0)

static void *start_worker(void *arg)
{
	struct worker *w = arg;
	(void)ps_concurrent_set_wait(PATIENT_LOCKS_MS);
	return w->body(w);
}

static void run_workers(struct worker *workers, unsigned count, void *(*body)(void *))
{
	for (unsigned i = 0; i < count; i++) {
		workers[i].body = body;
		assert_int_equal(pthread_create(&workers[i].thread, NULL, start_worker, &workers[i]), 0);
	}
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
	for (unsigned i = 0; i < count; i++)
		if (workers[i].failure[0])
			fail_msg("thread %u: %s", i, workers[i].failure);
}

/* Contents that prove themselves: the seed stands in front of its own pattern. */
static size_t sealed_fill(unsigned char *buf, uint64_t seed)
{
	size_t len = 16 + (seed * 7919) % (seed % 3 ? 3000 : LARGEST - 16);
	uint64_t header[2] = {seed, len};
	memcpy(buf, header, sizeof(header));
	pattern_fill(buf + sizeof(header), len - sizeof(header), seed, 0);
	return len;
}

static bool sealed_is_whole(const unsigned char *buf, size_t len)
{
	uint64_t header[2];
	if (len < sizeof(header))
		return false;
	memcpy(header, buf, sizeof(header));
	size_t rest = len - sizeof(header);
	return header[1] == len && pattern_mismatch(buf + sizeof(header), rest, header[0], 0) == rest;
}

static bool read_shared(struct worker *w, ps_id id, unsigned char *buf, unsigned way)
{
	size_t len = 0;
	struct ps_view view;
	ps_reader *r;
	if (way == 0) {
		WORKER_TRY(w, ps_view(w->s, id, &view));
		bool whole = sealed_is_whole(view.data, view.len);
		WORKER_TRY(w, ps_view_release(&view));
		WORKER_EXPECT(w, whole);
		return true;
	}
	if (way == 1) {
		WORKER_TRY(w, ps_open_reader(w->s, id, &r));
		for (size_t got = 1; got > 0; len += got)
			WORKER_TRY(w, ps_reader_read(r, buf + len, 10000, &got));
		WORKER_TRY(w, ps_reader_finish(r));
	} else if (way == 2) {
		WORKER_TRY(w, ps_read_at(w->s, id, 0, buf, LARGEST, &len));
	} else {
		WORKER_TRY(w, ps_get(w->s, id, buf, LARGEST, &len));
	}
	WORKER_EXPECT(w, sealed_is_whole(buf, len));
	return true;
}

static bool one_round(struct worker *w, unsigned round, unsigned char *buf)
{
	uint64_t seed = w->number * 1000003 + round;
	ps_id own, shared = w->shared[seed % SHARED];
	size_t len = sealed_fill(buf, seed), got;
	WORKER_TRY(w, ps_put(w->s, buf, len, &own));
	WORKER_TRY(w, ps_replace(w->s, shared, buf, len));
	for (unsigned i = 0; i < 4; i++)
		if (!read_shared(w, w->shared[(seed + i) % SHARED], buf, (round + i) % 4))
			return false;
	WORKER_TRY(w, ps_get(w->s, own, buf, LARGEST, &got));
	WORKER_EXPECT(w, got == len && sealed_is_whole(buf, got));
	if (round % 2)
		WORKER_TRY(w, ps_delete(w->s, own));
	return true;
}

static void *mixed_body(void *arg)
{
	struct worker *w = arg;
	unsigned char *buf = malloc(LARGEST + 10000);
	for (unsigned round = 0; buf && round < ROUNDS; round++)
		if (!one_round(w, round, buf))
			break;
	free(buf);
	return NULL;
}

static void need_threads(void **state)
{
	if (!(ps_caps(store_of(state)) & PS_CAP_THREADS))
		skip();
}

static void no_read_is_ever_torn(void **state)
{
	need_threads(state);
	ps_storer *s = store_of(state);
	ps_id shared[SHARED];
	unsigned char *buf = malloc(LARGEST);
	assert_non_null(buf);
	for (unsigned i = 0; i < SHARED; i++)
		OK(ps_put(s, buf, sealed_fill(buf, i), &shared[i]));
	struct worker workers[THREADS] = {0};
	for (unsigned i = 0; i < THREADS; i++)
		workers[i] = (struct worker){.s = s, .shared = shared, .number = i + 1};
	run_workers(workers, THREADS, mixed_body);
	assert_int_equal(count_objects(s), SHARED + THREADS * ROUNDS / 2);
	free(buf);
}

/* Two objects always carry the same number: batches change both, ps_get_many reads both. */
static bool write_pair(struct worker *w)
{
	for (uint64_t i = 1; i <= 2 * ROUNDS; i++) {
		uint64_t value[2] = {i, w->number};
		size_t sizes[2] = {sizeof(value), sizeof(value)};
		uint64_t both[4] = {i, w->number, i, w->number};
		ps_batch *b;
		if (i % 3 == 0) {
			WORKER_TRY(w, ps_write_batched(w->s, 2, w->shared, both, sizes));
			continue;
		}
		WORKER_TRY(w, ps_batch_begin(w->s, &b));
		int first = ps_batch_replace(b, w->shared[0], value, sizeof(value));
		int second = ps_batch_write_at(b, w->shared[1], 0, value, sizeof(value));
		WORKER_TRY(w, ps_batch_commit(b, i % 2 ? PS_RELAXED : PS_DURABLE));
		WORKER_TRY(w, first);
		WORKER_TRY(w, second);
	}
	return true;
}

static bool read_pair(struct worker *w)
{
	do {
		uint64_t values[2][2];
		struct ps_get_many reqs[2];
		for (unsigned i = 0; i < 2; i++)
			reqs[i] = (struct ps_get_many){
			    .id = w->shared[i], .buf = values[i], .cap = sizeof(values[i])};
		WORKER_TRY(w, ps_get_many(w->s, 2, reqs));
		WORKER_TRY(w, reqs[0].status);
		WORKER_TRY(w, reqs[1].status);
		WORKER_EXPECT(w, reqs[0].len == sizeof(values[0]) && reqs[1].len == sizeof(values[1]));
		WORKER_EXPECT(w, memcmp(values[0], values[1], sizeof(values[0])) == 0);
	} while (atomic_load(w->running) > 0);
	return true;
}

static void *pair_body(void *arg)
{
	struct worker *w = arg;
	if (w->number >= THREADS / 2) {
		read_pair(w);
		return NULL;
	}
	write_pair(w);
	atomic_fetch_sub(w->running, 1);
	return NULL;
}

static void a_batch_is_seen_whole_or_not_at_all(void **state)
{
	need_threads(state);
	ps_storer *s = store_of(state);
	const uint64_t start[2] = {0};
	ps_id pair[2];
	atomic_uint running = THREADS / 2;
	for (unsigned i = 0; i < 2; i++)
		OK(ps_put(s, start, sizeof(start), &pair[i]));
	struct worker workers[THREADS] = {0};
	for (unsigned i = 0; i < THREADS; i++)
		workers[i] = (struct worker){.s = s, .shared = pair, .number = i, .running = &running};
	run_workers(workers, THREADS, pair_body);
}

/* All threads create and delete; ids are never given twice and each walks meanwhile. */
static int ascending(void *arg, ps_id id)
{
	ps_id *last = arg;
	if (id <= *last)
		return 1;
	*last = id;
	return 0;
}

static bool churn(struct worker *w)
{
	ps_id mine[16] = {0};
	for (uint64_t i = 0; i < 4 * ROUNDS; i++) {
		uint64_t tag[2] = {w->number, i}, back[2] = {0};
		size_t got, slot = i % 16;
		ps_id last = PS_ID_NONE;
		if (mine[slot])
			WORKER_TRY(w, ps_delete(w->s, mine[slot]));
		WORKER_TRY(w, ps_put(w->s, tag, sizeof(tag), &mine[slot]));
		WORKER_TRY(w, ps_get(w->s, mine[slot], back, sizeof(back), &got));
		WORKER_EXPECT(w, memcmp(tag, back, sizeof(tag)) == 0);
		if (i % 32 == 5)
			WORKER_TRY(w, ps_each(w->s, PS_ID_NONE, ascending, &last));
	}
	return true;
}

static void *churn_body(void *arg)
{
	churn(arg);
	return NULL;
}

static void ids_are_never_given_to_two_threads(void **state)
{
	need_threads(state);
	ps_storer *s = store_of(state);
	struct worker workers[THREADS] = {0};
	for (unsigned i = 0; i < THREADS; i++)
		workers[i] = (struct worker){.s = s, .number = i};
	run_workers(workers, THREADS, churn_body);
	assert_int_equal(count_objects(s), THREADS * 16);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(no_read_is_ever_torn),
    cmocka_unit_test(a_batch_is_seen_whole_or_not_at_all),
    cmocka_unit_test(ids_are_never_given_to_two_threads),
};
CONFORMANCE_PART(threads, tests);
