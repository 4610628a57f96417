#include "tests/remote/blobs/blobs_load.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/remote/sync/sync_fixture.h"

enum {
	WRITERS = 3,
	KEYS = 4, /* of a writer */
	PAD = 128 << 10,
	MOST = 3 * PAD,
	SYNC_ONE_IN = 10,
	READ_ONE_IN = 4,
	REMOVE_ONE_IN = 8,
	BACKOFF_MS = 20,
	PATIENCE_MS = 400000,
	SETTLE_MS = 120000,
	WHOLE_MS = 60000,
	WHOLE_RETRIES = 20,
};

/* What is under a key. */
struct value {
	bool exists;
	uint64_t seed;
	size_t len;
};

struct writer {
	struct blobs_load *load;
	pthread_t thread;
	unsigned number;
	struct dice dice;
	struct value values[KEYS]; /* as acknowledged */
	uint8_t *bytes, *read;     /* MOST each */
};

struct blobs_load {
	struct blobs *b;
	const char *name;
	struct writer writers[WRITERS];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct blobs_load_counts counts; /* lock */
	bool stop;                       /* lock */
	char failure[512];               /* lock: the first */
};

static uint64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static bool fail_load(struct blobs_load *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fail_load(struct blobs_load *l, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	pthread_mutex_lock(&l->lock);
	if (!l->failure[0])
		vsnprintf(l->failure, sizeof(l->failure), format, args);
	l->stop = true;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
	va_end(args);
	return false;
}

static bool must_stop(struct blobs_load *l)
{
	pthread_mutex_lock(&l->lock);
	bool stop = l->stop;
	pthread_mutex_unlock(&l->lock);
	return stop;
}

static bool has_failed(struct blobs_load *l)
{
	pthread_mutex_lock(&l->lock);
	bool failed = l->failure[0] != '\0';
	pthread_mutex_unlock(&l->lock);
	return failed;
}

/* ---- calls ---- */

enum verdict { DONE, AGAIN, WRONG };

/* Counts a call that has ended. What a broken network may not lead to is WRONG. */
static enum verdict judge(struct writer *w, const char *call, const char *key, int err, uint64_t from_ms)
{
	struct blobs_load *l = w->load;
	uint64_t took = now_ms() - from_ms;
	bool absent = err == PS_EUNAVAILABLE || err == PS_ETIMEDOUT, full = err == PS_ENOSPC;
	if (err != PS_OK && !absent && !full) {
		fail_load(l, "%s %s: %s (%s)", call, key, ps_error_name(err), ps_last_error_message());
		return WRONG;
	}
	pthread_mutex_lock(&l->lock);
	l->counts.done += err == PS_OK;
	l->counts.failed += absent;
	l->counts.full += full;
	if (took > l->counts.longest_ms)
		l->counts.longest_ms = took;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
	return err == PS_OK ? DONE : AGAIN;
}

static void name_of(const struct writer *w, unsigned key, char text[32])
{
	snprintf(text, 32, "writer %u key %u", w->number, key);
}

/* What was acknowledged, or nothing in time. */
static enum verdict read_value(struct writer *w, unsigned number)
{
	const struct value *v = &w->values[number];
	size_t len = 0;
	char key[32];
	name_of(w, number, key);
	uint64_t from = now_ms();
	int err = ps_remote_get(w->load->b->r, key, w->read, MOST, &len, NULL);
	if (!v->exists && err == PS_ENOTFOUND)
		return DONE;
	enum verdict verdict = judge(w, "get", key, err, from);
	if (verdict != DONE)
		return verdict;
	blobs_fill(w->bytes, v->len, v->seed);
	if (v->exists && len == v->len && memcmp(w->read, w->bytes, len) == 0)
		return DONE;
	fail_load(w->load, "%s has %zu other bytes than the %zu that were acknowledged", key, len, v->len);
	return WRONG;
}

static enum verdict put_value(struct writer *w, unsigned number, const struct value *next)
{
	struct ps_remote_put replace = {.size = sizeof(replace), .replace = 1};
	char key[32];
	name_of(w, number, key);
	blobs_fill(w->bytes, next->len, next->seed);
	uint64_t from = now_ms();
	int err = ps_remote_put(w->load->b->r, key, w->bytes, next->len, &replace);
	return judge(w, "put", key, err, from);
}

static enum verdict remove_value(struct writer *w, unsigned number)
{
	char key[32];
	name_of(w, number, key);
	uint64_t from = now_ms();
	return judge(w, "remove", key, ps_remote_remove(w->load->b->r, key), from);
}

static enum verdict sync_all(struct writer *w)
{
	uint64_t from = now_ms();
	enum verdict verdict = judge(w, "sync", "", ps_remote_sync(w->load->b->r, NULL, NULL, NULL), from);
	pthread_mutex_lock(&w->load->lock);
	w->load->counts.syncs += verdict == DONE;
	pthread_mutex_unlock(&w->load->lock);
	return verdict;
}

/* ---- writers ---- */

/* Between two attempts at a network that does not answer. */
static void back_off(void)
{
	nanosleep(&(struct timespec){.tv_nsec = BACKOFF_MS * 1000000L}, NULL);
}

static void count_left(struct writer *w, unsigned number)
{
	struct ps_remote_info info;
	char key[32];
	name_of(w, number, key);
	if (ps_remote_stat(w->load->b->r, key, &info) != PS_OK)
		return;
	pthread_mutex_lock(&w->load->lock);
	w->load->counts.left += info.next_pads - info.next_confirmed;
	pthread_mutex_unlock(&w->load->lock);
}

/* The same call until it succeeds: until then the value is what it was. */
static bool change_value(struct writer *w, unsigned number, const struct value *next)
{
	uint64_t end = now_ms() + PATIENCE_MS;
	while (!has_failed(w->load)) {
		enum verdict verdict = next->exists ? put_value(w, number, next) : remove_value(w, number);
		if (verdict == DONE)
			w->values[number] = *next;
		if (verdict != AGAIN)
			return verdict == DONE;
		count_left(w, number);
		if (read_value(w, number) == WRONG)
			return false;
		if (now_ms() > end)
			return fail_load(w->load, "a change does not succeed any more");
		back_off();
	}
	return false;
}

static bool act(struct writer *w)
{
	unsigned number = (unsigned)roll_below(&w->dice, KEYS);
	struct value next = {0};
	if (w->number == 0 && roll_below(&w->dice, SYNC_ONE_IN) == 0)
		return sync_all(w) != WRONG;
	if (roll_below(&w->dice, READ_ONE_IN) == 0)
		return read_value(w, number) != WRONG;
	if (!w->values[number].exists || roll_below(&w->dice, REMOVE_ONE_IN) > 0)
		next = (struct value){
		    .exists = true, .seed = roll(&w->dice), .len = (size_t)roll_below(&w->dice, MOST)};
	return change_value(w, number, &next);
}

static void *write_values(void *arg)
{
	struct writer *w = arg;
	while (!must_stop(w->load) && act(w))
		continue;
	return NULL;
}

struct blobs_load *blobs_load_start(struct blobs *b, const char *name, uint64_t seed)
{
	struct blobs_load *l = calloc(1, sizeof(*l));
	pthread_condattr_t attributes;
	assert_non_null(l);
	l->b = b;
	l->name = name;
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&l->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	for (unsigned i = 0; i < WRITERS; i++) {
		struct writer *w = &l->writers[i];
		*w = (struct writer){.load = l, .number = i, .dice = {seed * WRITERS + i}};
		w->bytes = malloc(MOST);
		w->read = malloc(MOST);
		assert_true(w->bytes && w->read);
		assert_int_equal(pthread_create(&w->thread, NULL, write_values, w), 0);
	}
	return l;
}

/* ---- waiting ---- */

struct blobs_load_counts blobs_load_counts(struct blobs_load *l)
{
	pthread_mutex_lock(&l->lock);
	struct blobs_load_counts counts = l->counts;
	pthread_mutex_unlock(&l->lock);
	return counts;
}

/* Until one + other is `least`, or a writer saw what it must not see. */
static void wait_until(struct blobs_load *l, const uint64_t *one, const uint64_t *other, uint64_t least)
{
	struct timespec end;
	int err = 0;
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += PATIENCE_MS / 1000;
	pthread_mutex_lock(&l->lock);
	while (*one + *other < least && !l->failure[0] && err == 0)
		err = pthread_cond_timedwait(&l->changed, &l->lock, &end);
	bool reached = *one + *other >= least;
	pthread_mutex_unlock(&l->lock);
	if (!reached)
		fail_msg("%s: the load stands still: %s", l->name, l->failure);
}

void blobs_load_wait_done(struct blobs_load *l, uint64_t more)
{
	static const uint64_t none = 0;
	wait_until(l, &l->counts.done, &none, blobs_load_counts(l).done + more);
}

void blobs_load_wait_failed(struct blobs_load *l, uint64_t more)
{
	struct blobs_load_counts now = blobs_load_counts(l);
	wait_until(l, &l->counts.failed, &l->counts.full, now.failed + now.full + more);
}

/* ---- the end ---- */

static void check_values(struct blobs_load *l)
{
	struct ps_remote_info info;
	char key[32];
	for (unsigned i = 0; i < WRITERS; i++)
		for (unsigned number = 0; number < KEYS; number++) {
			const struct value *v = &l->writers[i].values[number];
			name_of(&l->writers[i], number, key);
			if (!v->exists) {
				assert_error(ps_remote_stat(l->b->r, key, &info), PS_ENOTFOUND);
				continue;
			}
			blobs_expect(l->b, key, v->len, v->seed);
			assert_ok(ps_remote_stat(l->b->r, key, &info));
			assert_int_equal(info.pads, (v->len + PAD - 1) / PAD);
			assert_true(info.complete && !info.updating);
		}
}

/* A purge asks until nothing is open: the network is whole again, so it may fail only for a while. */
static void settle_all(struct blobs_load *l)
{
	struct ps_remote_stats stats;
	struct ps_remote_purge_result result;
	int err;
	uint64_t end = now_ms() + SETTLE_MS;
	do {
		err = ps_remote_purge(l->b->r, NULL, NULL, &result);
		assert_true(err == PS_OK || err == PS_EUNAVAILABLE || err == PS_ETIMEDOUT);
		blobs_stats(l->b, &stats);
	} while (stats.pending + stats.generated > 0 && now_ms() < end);
	if (stats.pending + stats.generated > 0)
		fail_msg("%s: %llu pads are still pending, %llu generated; the last purge: %s (%s)", l->name,
		         (unsigned long long)stats.pending, (unsigned long long)stats.generated,
		         ps_error_name(err), err == PS_OK ? "" : ps_last_error_message());
}

/* What the checks ask for is to be answered, so it has the time that an application would give it: under the
 * load requests were to run out of time. */
static void open_with_time(struct blobs *b)
{
	blobs_close(b);
	b->options.timeout_ms = WHOLE_MS;
	b->options.retries = WHOLE_RETRIES;
	assert_ok(blobs_start_again(b, false));
}

static void check_all(struct blobs_load *l)
{
	struct ps_remote_stats stats;
	blobs_stats(l->b, &stats);
	uint64_t open = stats.pending + stats.generated;
	open_with_time(l->b);
	check_values(l);
	/* A sync that failed left a part of the index half sent: the next one lets it go. */
	(void)sync_machine(l->b);
	settle_all(l);
	blobs_check_exactly(l->b);
	struct blobs *fresh = machine_open(l->b);
	expect_same(l->b, fresh);
	machine_free(fresh);
	blobs_check_exactly(l->b);
	print_message("  %s: %llu pads whose outcome was open are settled\n", l->name,
	              (unsigned long long)open);
}

void blobs_load_stop(struct blobs_load *l)
{
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_mutex_unlock(&l->lock);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(l->writers[i].thread, NULL);
}

struct blobs_load_counts blobs_load_end(struct blobs_load *l, const char *what)
{
	struct blobs_load_counts c = l->counts;
	print_message("%s, %s: %llu calls done (%llu syncs), %llu not in time, %llu full, which left %llu "
	              "pads; longest "
	              "%llu ms\n",
	              what, l->name, (unsigned long long)c.done, (unsigned long long)c.syncs,
	              (unsigned long long)c.failed, (unsigned long long)c.full, (unsigned long long)c.left,
	              (unsigned long long)c.longest_ms);
	if (l->failure[0])
		fail_msg("%s, %s: %s", what, l->name, l->failure);
	check_all(l);
	for (unsigned i = 0; i < WRITERS; i++) {
		free(l->writers[i].bytes);
		free(l->writers[i].read);
	}
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->lock);
	free(l);
	return c;
}
