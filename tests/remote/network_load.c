#include "tests/remote/networks/cm.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/remote/network_load.h"
#include "tests/remote/networks/suite.h"

enum {
	OWNERS = 5,
	COUNTERS = 3,
	WRITERS = OWNERS + COUNTERS,
	RECORDS = 4, /* of an owner */
	RECORD = 128 << 10,
	READ_ONE_IN = 6,
	BACKOFF_MS = 50,
	PATIENCE_MS = 400000,
	COMMON = 1000000, /* the number of the common record's name */
};

struct writer {
	struct network_load *load;
	pthread_t thread;
	ps_client *client;
	unsigned number;
	uint64_t versions[RECORDS]; /* an owner's: the last acknowledged counter of each */
	uint64_t counted;           /* a counter's */
};

struct network_load {
	ps_network *network;
	uint32_t timeout_ms;
	struct writer writers[WRITERS];
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct load_counts counts; /* lock */
	uint64_t unknown_seen;     /* lock */
	bool stop;                 /* lock */
	char failure[512];         /* lock: the first */
};

static bool fail_load(struct network_load *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fail_load(struct network_load *l, const char *format, ...)
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

static void count(struct network_load *l, uint64_t *what)
{
	pthread_mutex_lock(&l->lock);
	(*what)++;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
}

static bool must_stop(struct network_load *l)
{
	pthread_mutex_lock(&l->lock);
	bool stop = l->stop;
	pthread_mutex_unlock(&l->lock);
	return stop;
}

/* Between two attempts at a network that does not answer. */
static void back_off(void)
{
	nanosleep(&(struct timespec){.tv_nsec = BACKOFF_MS * 1000000L}, NULL);
}

static enum ps_outcome call(struct writer *w, struct ps_net_request *r)
{
	struct network_load *l = w->load;
	uint64_t start = net_now_ms();
	r->timeout_ms = l->timeout_ms;
	enum ps_outcome outcome = ps_client_call(w->client, r);
	uint64_t took = net_now_ms() - start;
	pthread_mutex_lock(&l->lock);
	if (took > l->counts.longest_ms)
		l->counts.longest_ms = took;
	l->unknown_seen += outcome == PS_NET_UNKNOWN;
	pthread_cond_broadcast(&l->changed);
	pthread_mutex_unlock(&l->lock);
	return outcome;
}

/* ---- one write, until it is settled ---- */

enum look { LOOK_OURS, LOOK_EXPECTED, LOOK_OTHER, LOOK_FAILED };

/* Until an answer comes. */
static enum look look(struct writer *w, const struct ps_net_request *write, struct ps_pad_identity *there)
{
	uint64_t end = net_now_ms() + PATIENCE_MS;
	while (net_now_ms() < end) {
		struct ps_net_request head = {.op = PS_NET_HEAD, .name = write->name};
		enum ps_outcome outcome = call(w, &head);
		if (outcome == PS_NET_DONE) {
			*there = head.identity;
			return ps_identity_same(there, &write->identity)   ? LOOK_OURS
			       : ps_identity_same(there, &write->expected) ? LOOK_EXPECTED
			                                                   : LOOK_OTHER;
		}
		if (outcome != PS_NET_UNAVAILABLE) {
			fail_load(w->load, "a look says: %s", head.sentence);
			return LOOK_FAILED;
		}
		count(w->load, &w->load->counts.failed_reads);
		back_off();
	}
	fail_load(w->load, "no look succeeds");
	return LOOK_FAILED;
}

/* What became of a write whose outcome was unknown. LOOK_OTHER: another version is there, so it will not come
 * any more; whether it was there once is for the caller to find out. */
static enum look settle(struct writer *w, struct ps_net_request *r)
{
	struct network_load *l = w->load;
	struct ps_pad_identity there;
	bool again = false;
	for (;;) {
		enum look seen = look(w, r, &there);
		if (seen != LOOK_EXPECTED) {
			if (seen == LOOK_OURS && !again)
				count(l, &l->counts.found_applied);
			return seen;
		}
		again = true;
		count(l, &l->counts.sent_again);
		if (call(w, r) == PS_NET_DONE)
			return LOOK_OURS;
		back_off();
	}
}

/* The identical request until its outcome is certain. */
static enum look write_settled(struct writer *w, struct ps_net_request *r)
{
	struct network_load *l = w->load;
	for (;;) {
		enum ps_outcome outcome = call(w, r);
		if (outcome == PS_NET_DONE)
			return LOOK_OURS;
		if (outcome == PS_NET_CONFLICT)
			return LOOK_OTHER;
		if (outcome == PS_NET_UNKNOWN) {
			enum look seen = settle(w, r);
			count(l, &l->counts.unknown);
			return seen;
		}
		if (outcome != PS_NET_UNAVAILABLE) {
			fail_load(l, "a write says: %s", r->sentence);
			return LOOK_FAILED;
		}
		count(l, &l->counts.failed_writes);
		back_off();
	}
}

/* A request that was given up may go on reading or filling its buffer: then there is a new one. */
static struct ps_net_buffer *renew(struct writer *w, struct ps_net_buffer **buffer)
{
	if (atomic_load(&(*buffer)->references) > 1) {
		size_t capacity = (*buffer)->capacity;
		ps_net_buffer_release(*buffer);
		*buffer = net_buffer(w->load->network, capacity);
	}
	return *buffer;
}

/* ---- writers with records of their own ---- */

static struct ps_pad_name owned_name(const struct writer *w, unsigned record)
{
	return net_name(w->number * RECORDS + record);
}

static bool read_own(struct writer *w, unsigned record, struct ps_net_buffer **buffer)
{
	struct ps_net_request r = {
	    .op = PS_NET_GET, .name = owned_name(w, record), .buffer = renew(w, buffer)};
	struct ps_pad_identity right = net_identity(w->versions[record], w->number);
	if (call(w, &r) == PS_NET_UNAVAILABLE) {
		count(w->load, &w->load->counts.failed_reads);
		back_off();
		return true;
	}
	if (r.outcome != PS_NET_DONE)
		return fail_load(w->load, "a read says: %s", r.sentence);
	if (!ps_identity_same(&r.identity, &right) || !net_is_whole(&r))
		return fail_load(w->load, "a read shows version %llu instead of %llu, or damage",
		                 (unsigned long long)r.identity.counter, (unsigned long long)right.counter);
	return true;
}

static bool write_own(struct writer *w, unsigned record, struct ps_net_buffer **buffer)
{
	uint64_t *version = &w->versions[record];
	struct ps_net_request r = {
	    .op = PS_NET_REPLACE, .name = owned_name(w, record), .buffer = renew(w, buffer)};
	r.expected = net_identity(*version, w->number);
	r.identity = net_identity(*version + 1, w->number);
	net_fill(r.buffer, &r.name, &r.identity, RECORD);
	enum look seen = write_settled(w, &r);
	if (seen == LOOK_OTHER)
		return fail_load(w->load, "after version %llu of a record with one writer: %s",
		                 (unsigned long long)*version, r.sentence);
	if (seen != LOOK_OURS)
		return false;
	++*version;
	count(w->load, &w->load->counts.done);
	return true;
}

static void *own(void *arg)
{
	struct writer *w = arg;
	struct ps_net_buffer *buffer = net_buffer(w->load->network, RECORD);
	bool ok = true;
	for (unsigned i = w->number; ok && !must_stop(w->load); i++)
		ok = i % READ_ONE_IN == 0 ? read_own(w, i % RECORDS, &buffer)
		                          : write_own(w, i % RECORDS, &buffer);
	ps_net_buffer_release(buffer);
	return NULL;
}

/* ---- writers that count in one record ---- */

/* The record holds how far each has counted. */
struct tally {
	uint64_t of[COUNTERS];
};

static struct tally *tally_in(struct ps_net_buffer *buffer)
{
	return (struct tally *)(void *)buffer->bytes;
}

static bool read_tally(struct writer *w, struct ps_net_buffer **buffer, struct ps_pad_identity *identity)
{
	uint64_t end = net_now_ms() + PATIENCE_MS;
	while (net_now_ms() < end) {
		struct ps_net_request r = {.op = PS_NET_GET, .name = net_name(COMMON)};
		r.buffer = renew(w, buffer);
		enum ps_outcome outcome = call(w, &r);
		*identity = r.identity;
		if (outcome == PS_NET_DONE)
			return r.buffer->len == sizeof(struct tally) ||
			       fail_load(w->load, "the common record has %zu bytes", r.buffer->len);
		if (outcome != PS_NET_UNAVAILABLE)
			return fail_load(w->load, "the common record: %s", r.sentence);
		count(w->load, &w->load->counts.failed_reads);
		back_off();
	}
	return fail_load(w->load, "the common record cannot be read");
}

/* Its own slot tells whether its write was there, whoever wrote since. */
static bool count_once(struct writer *w, struct ps_net_buffer **buffer)
{
	unsigned slot = w->number - OWNERS;
	struct ps_net_request r = {.op = PS_NET_REPLACE, .name = net_name(COMMON)};
	if (!read_tally(w, buffer, &r.expected))
		return false;
	struct tally *tally = tally_in(*buffer);
	r.buffer = *buffer;
	if (tally->of[slot] != w->counted)
		return fail_load(w->load, "writer %u counted %llu, and %llu are there", slot,
		                 (unsigned long long)w->counted, (unsigned long long)tally->of[slot]);
	tally->of[slot]++;
	r.identity = net_identity(r.expected.counter + 1, w->number);
	enum look seen = write_settled(w, &r);
	if (seen == LOOK_OTHER) {
		if (!read_tally(w, buffer, &r.expected))
			return false;
		seen = tally_in(*buffer)->of[slot] == w->counted + 1 ? LOOK_OURS : LOOK_OTHER;
	}
	if (seen == LOOK_OURS) {
		w->counted++;
		count(w->load, &w->load->counts.done);
	}
	return seen != LOOK_FAILED;
}

static void *count_in_common(void *arg)
{
	struct writer *w = arg;
	struct ps_net_buffer *buffer = net_buffer(w->load->network, sizeof(struct tally));
	while (!must_stop(w->load) && count_once(w, &buffer))
		continue;
	ps_net_buffer_release(buffer);
	return NULL;
}

/* ---- start, wait, end ---- */

static void create_records(struct network_load *l, ps_client *client)
{
	struct ps_pad_name common = net_name(COMMON);
	struct ps_net_request r = {.op = PS_NET_CREATE, .name = common, .identity = net_identity(1, 0)};
	for (unsigned i = 0; i < OWNERS; i++) {
		for (unsigned record = 0; record < RECORDS; record++) {
			struct ps_pad_name name = owned_name(&l->writers[i], record);
			l->writers[i].versions[record] = 1;
			assert_int_equal(net_create(client, &name, net_identity(1, i), RECORD), PS_NET_DONE);
		}
	}
	r.buffer = net_buffer(l->network, sizeof(struct tally));
	memset(r.buffer->bytes, 0, sizeof(struct tally));
	r.buffer->len = sizeof(struct tally);
	ps_client_call(client, &r);
	net_assert_outcome(&r, PS_NET_DONE);
	ps_net_buffer_release(r.buffer);
}

struct network_load *network_load_start(ps_network *network, uint32_t timeout_ms)
{
	struct network_load *l = calloc(1, sizeof(*l));
	pthread_condattr_t attributes;
	assert_non_null(l);
	l->network = network;
	l->timeout_ms = timeout_ms;
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&l->changed, &attributes);
	pthread_condattr_destroy(&attributes);
	for (unsigned i = 0; i < WRITERS; i++)
		l->writers[i] = (struct writer){.load = l, .number = i, .client = net_client(network)};
	create_records(l, l->writers[0].client);
	for (unsigned i = 0; i < WRITERS; i++) {
		void *(*work)(void *) = i < OWNERS ? own : count_in_common;
		assert_int_equal(pthread_create(&l->writers[i].thread, NULL, work, &l->writers[i]), 0);
	}
	return l;
}

struct load_counts network_load_counts(struct network_load *l)
{
	pthread_mutex_lock(&l->lock);
	struct load_counts counts = l->counts;
	pthread_mutex_unlock(&l->lock);
	return counts;
}

/* Until *figure is at least `least`, or a writer failed. */
static void wait_until(struct network_load *l, const uint64_t *figure, uint64_t least)
{
	struct timespec end;
	int err = 0;
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += PATIENCE_MS / 1000;
	pthread_mutex_lock(&l->lock);
	while (*figure < least && !l->failure[0] && err == 0)
		err = pthread_cond_timedwait(&l->changed, &l->lock, &end);
	bool reached = *figure >= least;
	pthread_mutex_unlock(&l->lock);
	if (!reached)
		fail_msg("the load stands still: %s", l->failure);
}

void network_load_wait_done(struct network_load *l, uint64_t more)
{
	wait_until(l, &l->counts.done, network_load_counts(l).done + more);
}

void network_load_wait_unknown(struct network_load *l, uint64_t least)
{
	wait_until(l, &l->unknown_seen, least);
}

static void check_records(struct network_load *l)
{
	struct writer *first = &l->writers[0];
	struct ps_pad_identity identity;
	struct tally tally;
	struct ps_net_buffer *buffer = net_buffer(l->network, sizeof(tally));
	for (unsigned i = 0; i < OWNERS; i++) {
		for (unsigned record = 0; record < RECORDS; record++) {
			struct ps_pad_name name = owned_name(&l->writers[i], record);
			uint64_t version = l->writers[i].versions[record];
			net_expect(first->client, &name, net_identity(version, i), RECORD);
		}
	}
	assert_true(read_tally(first, &buffer, &identity));
	tally = *tally_in(buffer);
	ps_net_buffer_release(buffer);
	uint64_t sum = 0;
	for (unsigned i = 0; i < COUNTERS; i++) {
		assert_int_equal(tally.of[i], l->writers[OWNERS + i].counted);
		sum += tally.of[i];
	}
	assert_int_equal(identity.counter, 1 + sum);
}

struct load_counts network_load_end(struct network_load *l, const char *what)
{
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_mutex_unlock(&l->lock);
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(l->writers[i].thread, NULL);
	struct load_counts c = l->counts;
	printf(
	    "%s: %llu done, %llu unknown (%llu found applied, %llu times sent again), not carried out: %llu "
	    "reads, %llu writes; longest %llu ms\n",
	    what, (unsigned long long)c.done, (unsigned long long)c.unknown,
	    (unsigned long long)c.found_applied, (unsigned long long)c.sent_again,
	    (unsigned long long)c.failed_reads, (unsigned long long)c.failed_writes,
	    (unsigned long long)c.longest_ms);
	if (l->failure[0])
		fail_msg("%s: %s", what, l->failure);
	check_records(l);
	for (unsigned i = 0; i < WRITERS; i++)
		ps_client_close(l->writers[i].client);
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->lock);
	free(l);
	return c;
}
