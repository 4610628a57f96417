/* Listings. */
#include "tests/remote/networks/cm.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/remote/networks/suite.h"

enum { NAMES = 60, MOST_PAGES = 10000, STAY = 30 };

/* How often each of the first NAMES names is listed, in pages of `capacity`; -1 for any other name or a wrong
 * size. */
static void list_all(struct net_side *side, ps_client *client, size_t capacity, unsigned seen[NAMES],
                     unsigned *foreign)
{
	struct ps_net_listed *listed = calloc(capacity, sizeof(*listed));
	struct ps_net_list list = {.listed = listed, .capacity = capacity, .more = true};
	memset(seen, 0, NAMES * sizeof(*seen));
	*foreign = 0;
	(void)side;
	for (unsigned page = 0; list.more; page++) {
		struct ps_net_request r = {.op = PS_NET_LIST, .list = &list};
		assert_true(page < MOST_PAGES);
		ps_client_call(client, &r);
		net_assert_outcome(&r, PS_NET_DONE);
		assert_true(list.count <= capacity);
		for (size_t i = 0; i < list.count; i++) {
			unsigned n = 0;
			struct ps_pad_name name = net_name(0);
			while (n < NAMES && memcmp(name.bytes, listed[i].name.bytes, PS_PAD_NAME) != 0)
				name = net_name(++n);
			if (n < NAMES && listed[i].size == n * 10)
				seen[n]++;
			else
				(*foreign)++;
		}
	}
	free(listed);
}

static void a_listing_is_complete_in_pages_of_any_size(void **state)
{
	struct net_side *side = *state;
	static const size_t pages[] = {1, 7, NAMES, 1000};
	unsigned seen[NAMES], foreign;
	list_all(side, side->client, 10, seen, &foreign);
	for (unsigned n = 0; n < NAMES; n++)
		assert_int_equal(seen[n], 0);
	for (unsigned n = 0; n < NAMES; n++) {
		struct ps_pad_name name = net_name(n);
		assert_int_equal(net_create(side->client, &name, net_identity(1, 0), n * 10), PS_NET_DONE);
	}
	for (size_t i = 0; i < sizeof(pages) / sizeof(*pages); i++) {
		list_all(side, side->client, pages[i], seen, &foreign);
		assert_int_equal(foreign, 0);
		for (unsigned n = 0; n < NAMES; n++)
			assert_true(seen[n] >= 1);
	}
	for (unsigned n = 0; n < NAMES; n += 2) {
		struct ps_pad_name name = net_name(n);
		assert_int_equal(net_remove(side->client, &name, net_identity(1, 0)), PS_NET_DONE);
	}
	list_all(side, side->client, 7, seen, &foreign);
	for (unsigned n = 0; n < NAMES; n++)
		assert_int_equal(seen[n] > 0, n % 2);
}

struct changer {
	ps_client *client;
	atomic_int stop;
	unsigned wrong, done;
};

/* Comes and goes between the others, and replaces some of those that stay. */
static void *change(void *arg)
{
	struct changer *c = arg;
	for (uint64_t i = 0; !atomic_load(&c->stop) || c->done < 10; i++, c->done++) {
		struct ps_pad_name name = net_name(STAY + i % (NAMES - STAY));
		struct ps_pad_name stays = net_name(i % STAY);
		c->wrong += net_create(c->client, &name, net_identity(1, 0), 1) != PS_NET_DONE;
		c->wrong += net_replace(c->client, &stays, net_identity(1 + i / STAY, 0),
		                        net_identity(2 + i / STAY, 0), i % STAY * 10) != PS_NET_DONE;
		c->wrong += net_remove(c->client, &name, net_identity(1, 0)) != PS_NET_DONE;
	}
	return NULL;
}

static void what_stays_is_listed_while_others_come_and_go(void **state)
{
	struct net_side *side = *state;
	struct changer c = {.client = net_client(side->network)};
	unsigned seen[NAMES], foreign, times = net_suite->slow ? 3 : 20;
	pthread_t thread;
	for (unsigned n = 0; n < STAY; n++) {
		struct ps_pad_name name = net_name(n);
		assert_int_equal(net_create(side->client, &name, net_identity(1, 0), n * 10), PS_NET_DONE);
	}
	assert_int_equal(pthread_create(&thread, NULL, change, &c), 0);
	bool complete = true;
	for (unsigned i = 0; i < times; i++) {
		list_all(side, side->client, 1 + i % 9, seen, &foreign);
		for (unsigned n = 0; n < STAY; n++)
			complete = complete && seen[n] >= 1;
	}
	atomic_store(&c.stop, 1);
	pthread_join(thread, NULL);
	ps_client_close(c.client);
	assert_true(complete);
	assert_int_equal(c.wrong, 0);
}

const struct CMUnitTest net_list_tests[] = {
    NET_TEST(a_listing_is_complete_in_pages_of_any_size),
    NET_TEST(what_stays_is_listed_while_others_come_and_go),
};
const size_t net_list_count = sizeof(net_list_tests) / sizeof(*net_list_tests);
