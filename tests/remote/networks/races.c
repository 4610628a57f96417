/* Several clients at one record: of all that want the same, exactly one gets it, and nobody sees half of
 * anything. */
#include "tests/remote/networks/cm.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "tests/remote/networks/suite.h"

enum { THREADS = 8, INCREMENTS = 50, ROUNDS = 40, SLOW_ROUNDS = 8, RECORD = 6000, MOST_READS = 200 };

struct racer {
	pthread_t thread;
	struct net_side *side;
	ps_client *client;
	pthread_barrier_t *barrier;
	atomic_int *winners, *stop;
	unsigned number, won, lost, wrong;
	uint64_t seen;
};

static unsigned rounds(void)
{
	return net_suite->slow ? SLOW_ROUNDS : ROUNDS;
}

static void race(struct net_side *side, void *(*run)(void *), struct racer *racers, unsigned n)
{
	static atomic_int winners[ROUNDS], stop;
	pthread_barrier_t barrier;
	pthread_barrier_init(&barrier, NULL, n);
	memset(winners, 0, sizeof(winners));
	atomic_store(&stop, 0);
	for (unsigned i = 0; i < n; i++) {
		racers[i] = (struct racer){.side = side,
		                           .client = net_client(side->network),
		                           .barrier = &barrier,
		                           .winners = winners,
		                           .stop = &stop,
		                           .number = i};
	}
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(pthread_create(&racers[i].thread, NULL, run, &racers[i]), 0);
	for (unsigned i = 0; i < n; i++)
		pthread_join(racers[i].thread, NULL);
	pthread_barrier_destroy(&barrier);
	for (unsigned i = 0; i < n; i++)
		ps_client_close(racers[i].client);
}

/* ---- increments ---- */

static void *increment(void *arg)
{
	struct racer *r = arg;
	struct ps_pad_name name = net_name(0);
	unsigned wanted = net_suite->slow ? SLOW_ROUNDS : INCREMENTS;
	pthread_barrier_wait(r->barrier);
	while (r->won < wanted && r->wrong == 0) {
		struct ps_pad_identity there;
		uint64_t size;
		if (net_head(r->client, &name, &there, &size) != PS_NET_DONE) {
			r->wrong++;
			break;
		}
		r->wrong += there.counter < r->seen;
		r->seen = there.counter;
		/* Others look before this one writes. */
		sched_yield();
		enum ps_outcome outcome = net_replace(r->client, &name, there,
		                                      net_identity(there.counter + 1, r->number + 1), RECORD);
		r->won += outcome == PS_NET_DONE;
		r->lost += outcome == PS_NET_CONFLICT;
		r->wrong += outcome != PS_NET_DONE && outcome != PS_NET_CONFLICT;
	}
	return NULL;
}

static void no_increment_is_lost_and_none_counted_twice(void **state)
{
	struct net_side *side = *state;
	struct racer racers[THREADS];
	struct ps_pad_name name = net_name(0);
	struct ps_pad_identity there;
	uint64_t size, won = 0, lost = 0;
	assert_int_equal(net_create(side->client, &name, net_identity(1, 0), RECORD), PS_NET_DONE);
	race(side, increment, racers, THREADS);
	for (unsigned i = 0; i < THREADS; i++) {
		assert_int_equal(racers[i].wrong, 0);
		won += racers[i].won;
		lost += racers[i].lost;
	}
	assert_int_equal(net_head(side->client, &name, &there, &size), PS_NET_DONE);
	assert_int_equal(there.counter, won + 1);
	print_message("%s: %llu increments, %llu lost races\n", net_suite->name, (unsigned long long)won,
	              (unsigned long long)lost);
}

/* ---- creators, and a replace against a remove ---- */

static void *create_each(void *arg)
{
	struct racer *r = arg;
	for (unsigned i = 0; i < rounds(); i++) {
		struct ps_pad_name name = net_name(100 + i);
		pthread_barrier_wait(r->barrier);
		enum ps_outcome outcome =
		    net_create(r->client, &name, net_identity(1, r->number + 1), RECORD);
		if (outcome == PS_NET_DONE)
			atomic_fetch_add(&r->winners[i], (int)(1 << 8 | (r->number + 1)));
		r->wrong += outcome != PS_NET_DONE && outcome != PS_NET_CONFLICT;
	}
	return NULL;
}

static void of_several_creators_one_wins(void **state)
{
	struct net_side *side = *state;
	struct racer racers[THREADS];
	race(side, create_each, racers, THREADS);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(racers[i].wrong, 0);
	for (unsigned i = 0; i < rounds(); i++) {
		struct ps_pad_name name = net_name(100 + i);
		int winner = atomic_load(&racers[0].winners[i]);
		assert_int_equal(winner >> 8, 1);
		net_expect(side->client, &name, net_identity(1, (uint64_t)(winner & 0xff)), RECORD);
	}
}

static void *replace_or_remove(void *arg)
{
	struct racer *r = arg;
	for (unsigned i = 0; i < rounds(); i++) {
		struct ps_pad_name name = net_name(200 + i);
		enum ps_outcome outcome;
		pthread_barrier_wait(r->barrier);
		if (r->number % 2)
			outcome = net_remove(r->client, &name, net_identity(1, 0));
		else
			outcome = net_replace(r->client, &name, net_identity(1, 0),
			                      net_identity(2, r->number + 1), RECORD);
		if (outcome == PS_NET_DONE)
			atomic_fetch_add(&r->winners[i], (int)(1 << 8 | (r->number + 1)));
		r->wrong += outcome != PS_NET_DONE && outcome != PS_NET_CONFLICT && outcome != PS_NET_ABSENT;
	}
	return NULL;
}

static void of_replaces_and_removes_one_wins(void **state)
{
	struct net_side *side = *state;
	struct racer racers[THREADS];
	if (!(ps_network_caps(side->network) & PS_NET_CAP_GUARDED_REMOVE))
		skip();
	for (unsigned i = 0; i < rounds(); i++) {
		struct ps_pad_name name = net_name(200 + i);
		assert_int_equal(net_create(side->client, &name, net_identity(1, 0), RECORD), PS_NET_DONE);
	}
	race(side, replace_or_remove, racers, THREADS);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(racers[i].wrong, 0);
	for (unsigned i = 0; i < rounds(); i++) {
		struct ps_pad_name name = net_name(200 + i);
		int winner = atomic_load(&racers[0].winners[i]);
		assert_int_equal(winner >> 8, 1);
		if ((winner & 0xff) % 2 == 0)
			net_expect_absent(side->client, &name);
		else
			net_expect(side->client, &name, net_identity(2, (uint64_t)(winner & 0xff)), RECORD);
	}
}

/* ---- readers beside a writer ---- */

/* Lengths change from version to version: a mixture of two shows. */
static size_t length_of(uint64_t counter)
{
	return 100000 + counter % 7 * 40000;
}

static void write_on(struct racer *r, const struct ps_pad_name *name)
{
	unsigned versions = net_suite->slow ? SLOW_ROUNDS : INCREMENTS;
	for (uint64_t counter = 1; counter <= versions; counter++)
		r->wrong += net_replace(r->client, name, net_identity(counter, 0),
		                        net_identity(counter + 1, 0), length_of(counter + 1)) != PS_NET_DONE;
	atomic_store(r->stop, 1);
}

static void *read_or_write(void *arg)
{
	struct racer *r = arg;
	struct ps_pad_name name = net_name(0);
	pthread_barrier_wait(r->barrier);
	if (r->number == 0) {
		write_on(r, &name);
		return NULL;
	}
	struct ps_net_request get = {.name = name,
	                             .buffer = ps_net_buffer_new(&r->side->network->memory, 400000)};
	for (unsigned i = 0; i < MOST_READS && !atomic_load(r->stop); i++) {
		bool ranged = i % 3 == 2;
		get.op = ranged ? PS_NET_GET_RANGE : PS_NET_GET;
		get.offset = 50001;
		get.len = 100000;
		if (ps_client_call(r->client, &get) != PS_NET_DONE) {
			r->wrong++;
			break;
		}
		r->wrong += !net_is_whole(&get) || get.size != length_of(get.identity.counter);
		r->wrong += get.identity.counter < r->seen;
		r->seen = get.identity.counter;
	}
	ps_net_buffer_release(get.buffer);
	return NULL;
}

static void readers_see_whole_versions_that_never_go_back(void **state)
{
	struct net_side *side = *state;
	struct racer racers[4];
	struct ps_pad_name name = net_name(0);
	assert_int_equal(net_create(side->client, &name, net_identity(1, 0), length_of(1)), PS_NET_DONE);
	race(side, read_or_write, racers, 4);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(racers[i].wrong, 0);
}

const struct CMUnitTest net_race_tests[] = {
    NET_TEST(no_increment_is_lost_and_none_counted_twice),
    NET_TEST(of_several_creators_one_wins),
    NET_TEST(of_replaces_and_removes_one_wins),
    NET_TEST(readers_see_whole_versions_that_never_go_back),
};
const size_t net_race_count = sizeof(net_race_tests) / sizeof(*net_race_tests);
