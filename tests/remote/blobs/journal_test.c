/* The journal of a put: one commit has what was sealed during the one before, no pad leaves before its slot
 * is durable, and who waits for a commit hears of its failure. Nothing is timed: the journal's commits are
 * held until the worker has done all that it can do. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fail.h"
#include "remote/clock.h"
#include "tests/remote/blobs/blobs_fixture.h"

enum { CHUNKS = 12, CHUNK = 128 << 10, ALONE = 2, STARTED = 5, PATIENCE_S = 120 };

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool looks;   /* a put is under way that is looked at */
	bool fails;   /* the journal's thread's commits do */
	bool rests;   /* the worker has nothing to do, and nothing in flight */
	bool patient; /* nobody waited for too long */
	pthread_t caller;
	unsigned sealed, commits, created, undurable;
	struct ps_pad_name durable[CHUNKS];
	unsigned durable_count;
} seen = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* The thread's own: what it has set since its last commit, and whether it seals. */
static _Thread_local struct ps_pad_name set_here[CHUNKS];
static _Thread_local unsigned set_count;
static _Thread_local bool seals_here;

static void wait_until(bool (*there)(void))
{
	struct timespec limit;
	int err = 0;
	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += PATIENCE_S;
	while (!there() && err == 0)
		err = pthread_cond_timedwait(&seen.changed, &seen.lock, &limit);
	seen.patient &= err == 0;
}

static bool has_begun(void)
{
	return seen.commits > 0;
}

/* All is sealed; what may leave has left, and was answered. */
static bool worker_rests(void)
{
	return seen.sealed >= CHUNKS && seen.created >= seen.durable_count && seen.rests;
}

/* ---- what is seen ---- */

int __real_ps_pad_seal(const ps_keys *keys, const struct ps_pad_plan *plan, const void *payload, size_t len,
                       unsigned mode, struct ps_net_buffer *record, struct ps_pad_identity *identity);
int __wrap_ps_pad_seal(const ps_keys *keys, const struct ps_pad_plan *plan, const void *payload, size_t len,
                       unsigned mode, struct ps_net_buffer *record, struct ps_pad_identity *identity);
int __wrap_ps_pad_seal(const ps_keys *keys, const struct ps_pad_plan *plan, const void *payload, size_t len,
                       unsigned mode, struct ps_net_buffer *record, struct ps_pad_identity *identity)
{
	int err = __real_ps_pad_seal(keys, plan, payload, len, mode, record, identity);
	pthread_mutex_lock(&seen.lock);
	if (seen.looks) {
		seals_here = true;
		seen.sealed++;
		pthread_cond_broadcast(&seen.changed);
		if (seen.sealed == STARTED)
			wait_until(has_begun);
	}
	pthread_mutex_unlock(&seen.lock);
	return err;
}

int __real_ps_txn_set_slot(ps_index_txn *txn, unsigned kind, const char *name, size_t name_len,
                           enum ps_record_set set, uint32_t index, const struct ps_pad_slot *slot);
int __wrap_ps_txn_set_slot(ps_index_txn *txn, unsigned kind, const char *name, size_t name_len,
                           enum ps_record_set set, uint32_t index, const struct ps_pad_slot *slot);
int __wrap_ps_txn_set_slot(ps_index_txn *txn, unsigned kind, const char *name, size_t name_len,
                           enum ps_record_set set, uint32_t index, const struct ps_pad_slot *slot)
{
	if (seen.looks && slot->status == PS_SLOT_GENERATED && set_count < CHUNKS)
		set_here[set_count++] = slot->name;
	return __real_ps_txn_set_slot(txn, kind, name, name_len, set, index, slot);
}

static bool is_durable(const struct ps_pad_name *name)
{
	for (unsigned i = 0; i < seen.durable_count; i++)
		if (memcmp(&seen.durable[i], name, sizeof(*name)) == 0)
			return true;
	return false;
}

static void note_durable(void)
{
	for (unsigned i = 0; i < set_count; i++)
		if (!is_durable(&set_here[i]) && seen.durable_count < CHUNKS)
			seen.durable[seen.durable_count++] = set_here[i];
}

/* Those of the journal's thread stand until the worker has sealed all, and sent what was durable before. */
static bool hold_commit(void)
{
	bool journals = seen.looks && !seals_here && !pthread_equal(seen.caller, pthread_self());
	if (!journals)
		return false;
	seen.commits++;
	pthread_cond_broadcast(&seen.changed);
	wait_until(worker_rests);
	return seen.fails;
}

int __real_ps_index_commit(ps_index_txn *txn);
int __wrap_ps_index_commit(ps_index_txn *txn);
int __wrap_ps_index_commit(ps_index_txn *txn)
{
	pthread_mutex_lock(&seen.lock);
	bool fails = hold_commit();
	pthread_mutex_unlock(&seen.lock);
	if (fails) {
		ps_index_abort(txn);
		set_count = 0;
		return ps_fail(PS_EIO, "the disk is gone");
	}
	int err = __real_ps_index_commit(txn);
	pthread_mutex_lock(&seen.lock);
	if (seen.looks && err == PS_OK)
		note_durable();
	set_count = 0;
	pthread_mutex_unlock(&seen.lock);
	return err;
}

int __real_ps_client_submit(ps_client *client, struct ps_net_request *request);
int __wrap_ps_client_submit(ps_client *client, struct ps_net_request *request);
int __wrap_ps_client_submit(ps_client *client, struct ps_net_request *request)
{
	pthread_mutex_lock(&seen.lock);
	if (seen.looks && request->op == PS_NET_CREATE) {
		seen.created++;
		seen.undurable += !is_durable(&request->name);
		pthread_cond_broadcast(&seen.changed);
	}
	pthread_mutex_unlock(&seen.lock);
	return __real_ps_client_submit(client, request);
}

/* ---- a clock that tells when the worker rests ---- */

static uint64_t clock_now(struct ps_clock *clock)
{
	(void)clock;
	return ps_clock_now(&ps_system_clock);
}

static void say_rests(bool rests)
{
	pthread_mutex_lock(&seen.lock);
	seen.rests = rests;
	pthread_cond_broadcast(&seen.changed);
	pthread_mutex_unlock(&seen.lock);
}

static void clock_wait(struct ps_clock *clock, pthread_cond_t *cond, pthread_mutex_t *mutex,
                       uint64_t until_ns)
{
	(void)clock;
	if (seals_here)
		say_rests(true);
	ps_clock_wait(&ps_system_clock, cond, mutex, until_ns);
	if (seals_here)
		say_rests(false);
}

static void clock_wake(struct ps_clock *clock, pthread_cond_t *cond)
{
	(void)clock;
	ps_clock_wake(&ps_system_clock, cond);
}

static const struct ps_clock_ops clock_ops = {clock_now, clock_wait, clock_wake};
static struct ps_clock watched = {&clock_ops};

/* ---- tests ---- */

static struct blobs *open_watched(void)
{
	static const struct ps_remote_seams seams = {.clock = &watched};
	struct blobs *b = blobs_new_with("mem", &seams);
	blobs_close(b);
	b->options.workers = 1;
	b->options.depth = CHUNKS;
	b->options.timeout_ms = 60000;
	assert_ok(blobs_start(b, false));
	return b;
}

static int put_watched(struct blobs *b, const uint8_t *value, bool fails)
{
	pthread_mutex_lock(&seen.lock);
	seen.looks = true;
	seen.fails = fails;
	seen.patient = true;
	seen.caller = pthread_self();
	seen.sealed = seen.commits = seen.created = seen.undurable = seen.durable_count = 0;
	pthread_mutex_unlock(&seen.lock);
	int err = ps_remote_put(b->r, "value", value, (size_t)CHUNKS * CHUNK, NULL);
	pthread_mutex_lock(&seen.lock);
	seen.looks = false;
	pthread_mutex_unlock(&seen.lock);
	assert_true(seen.patient);
	assert_int_equal(seen.undurable, 0);
	return err;
}

static void what_is_sealed_during_a_commit_comes_with_the_next(void **state)
{
	struct blobs *b = open_watched();
	uint8_t *value = blobs_bytes((size_t)CHUNKS * CHUNK, 1);
	(void)state;
	assert_ok(put_watched(b, value, false));
	assert_int_equal(seen.sealed, CHUNKS);
	assert_int_equal(seen.created, CHUNKS);
	assert_int_equal(seen.durable_count, CHUNKS);
	assert_int_equal(seen.commits, 2);
	blobs_expect(b, "value", (size_t)CHUNKS * CHUNK, 1);
	blobs_check_exactly(b);
	test_free(value);
	blobs_free(b);
}

/* Nothing leaves but what was durable before; the next call goes on with that. */
static void a_commit_that_fails_is_told_to_all_who_wait_for_it(void **state)
{
	struct blobs *b = open_watched();
	uint8_t *value = blobs_bytes((size_t)CHUNKS * CHUNK, 2);
	(void)state;
	assert_error(put_watched(b, value, true), PS_EIO);
	assert_non_null(strstr(ps_last_error_message(), "the disk is gone"));
	assert_int_equal(seen.sealed, CHUNKS);
	assert_int_equal(seen.created, ALONE);
	assert_int_equal(seen.commits, 1);
	blobs_check(b);
	assert_ok(ps_remote_put(b->r, "value", value, (size_t)CHUNKS * CHUNK, NULL));
	blobs_expect(b, "value", (size_t)CHUNKS * CHUNK, 2);
	blobs_check_exactly(b);
	test_free(value);
	blobs_free(b);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_sealed_during_a_commit_comes_with_the_next),
	    cmocka_unit_test(a_commit_that_fails_is_told_to_all_who_wait_for_it),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
