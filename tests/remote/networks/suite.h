/* The conformance suite of networks: what remote/network.h promises, asked of any of them.
 *
 *	static void fresh(char *url, size_t size) { … an empty network that was not used before … }
 *	int main(void)
 *	{
 *		return networks_conformance(&(struct networks_suite){.name = "dir", .fresh = fresh});
 *	}
 */
#ifndef TESTS_NETWORKS_SUITE_H
#define TESTS_NETWORKS_SUITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "remote/network.h"

struct networks_suite {
	const char *name;
	/* The URL of a network (folder, namespace, prefix) that is empty. Called once a test. */
	void (*fresh)(char *url, size_t size);
	/* Given to every open; size, create, read_only, depth, timeout are the suite's. NULL: none. */
	const struct ps_network_options *options;
	/* Where each request costs milliseconds: fewer rounds of the same. */
	bool slow;
	/* A change that finds its own identity there is done, not a conflict: what carries the requests may
	 * repeat them, so the network cannot tell a second request from its own echo. */
	bool echoes;
	/* May be NULL: from now on requests of these operations (bits 1 << enum ps_net_op) do not come to an
	 * end; 0: they do, those that hang too. */
	void (*hang)(const char *url, unsigned ops);
};

/* Runs all tests, says the seed (SEED in the environment repeats it); the exit status. */
int networks_conformance(const struct networks_suite *suite);

/* ---- for the suite's own files ---- */

enum { NET_URL = 512, NET_DEPTH = 10, NET_SECOND_MS = 1000 };

struct net_side {
	ps_network *network;
	ps_client *client;
	char url[NET_URL];
};

extern const struct networks_suite *net_suite;
extern uint64_t net_seed;

uint64_t net_random(uint64_t *state);
uint64_t net_now_ms(void);
/* cmocka's set-up and tear-down: a fresh network, opened, with one client. */
int net_begin(void **state);
int net_end(void **state);
/* Another opening of the same network, or another client of it. */
void net_open_at(struct net_side *side, const char *url, bool read_only);
void net_close(struct net_side *side);
ps_client *net_client(ps_network *network);
/* Another client in place of this one, when no thread of its own is left: a close waits only so long for
 * them. */
void net_next_client(struct net_side *side);

/* The i-th name of this run. */
struct ps_pad_name net_name(uint64_t i);
/* The contents of a version follow from name, identity and length, so that whoever reads can tell whether
 * they are whole. `writer` tells versions of one counter apart. */
struct ps_pad_identity net_identity(uint64_t counter, uint64_t writer);
struct ps_net_buffer *net_buffer(ps_network *network, size_t capacity);
void net_fill(struct ps_net_buffer *buffer, const struct ps_pad_name *name,
              const struct ps_pad_identity *identity, size_t len);
bool net_is_whole(const struct ps_net_request *get);

/* Synchronous; buffers are made and released inside. */
enum ps_outcome net_create(ps_client *client, const struct ps_pad_name *name, struct ps_pad_identity identity,
                           size_t len);
enum ps_outcome net_replace(ps_client *client, const struct ps_pad_name *name,
                            struct ps_pad_identity expected, struct ps_pad_identity identity, size_t len);
enum ps_outcome net_remove(ps_client *client, const struct ps_pad_name *name,
                           struct ps_pad_identity expected);
enum ps_outcome net_head(ps_client *client, const struct ps_pad_name *name, struct ps_pad_identity *identity,
                         uint64_t *size);
/* Head and get both show this very version, whole. */
void net_expect(ps_client *client, const struct ps_pad_name *name, struct ps_pad_identity identity,
                size_t len);
void net_expect_absent(ps_client *client, const struct ps_pad_name *name);
/* Fails with the request's sentence unless it ended so. */
void net_assert_outcome(const struct ps_net_request *request, enum ps_outcome outcome);

#endif
