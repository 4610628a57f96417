/* What the tests of blobs share: a store on a network of its own, with a state folder of its own. */
#ifndef BLOBS_FIXTURE_H
#define BLOBS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "remote/manager_internal.h"
#include "remote/mem_network.h"

#define assert_ok(call)                                                                                      \
	do {                                                                                                 \
		int result_ = (call);                                                                        \
		if (result_ != PS_OK)                                                                        \
			fail_msg("%s: %s (%s)", #call, ps_error_name(result_), ps_last_error_message());     \
	} while (0)
#define assert_error(call, expected)                                                                         \
	do {                                                                                                 \
		int result_ = (call);                                                                        \
		if (result_ != (expected))                                                                   \
			fail_msg("%s: %s instead of %s (%s)", #call, ps_error_name(result_),                 \
			         ps_error_name(expected), ps_last_error_message());                          \
	} while (0)

/* The scheme of a store on the engine that the environment names: on_engine.c. */
#define BLOBS_ENGINE "engine"

struct blobs {
	char folder[128]; /* the state's; dir: networks lie in it */
	char url[256];
	uint8_t key[32];
	struct ps_remote_options options;
	struct ps_remote_seams seams;
	ps_remote *r;
	ps_network *watch; /* keeps a mem: world alive; NULL for others */
};

/* A new store, open. `scheme`: "mem", "dir", BLOBS_ENGINE. Sizes are small and time-outs short, so that a
 * test is quick. */
struct blobs *blobs_new(const char *scheme);
/* Its files in a folder of this one, instead of in memory. */
struct blobs *blobs_new_in(const char *folder, const char *scheme);
struct blobs *blobs_new_with(const char *scheme, const struct ps_remote_seams *seams);
void blobs_free(struct blobs *b); /* and all its files */
int blobs_start(struct blobs *b, bool init);
/* On a network with time-outs of its own a machine that stands still for a while makes any one open or
 * request fail. What must succeed there is tried again, a bounded number of times; on mem:, where faults are
 * planned by count, once. */
int blobs_start_again(struct blobs *b, bool init);
/* A store that a killed process had open. The kernel gives back the process's rings, and with them its locks,
 * some moments after the process is gone, and there is no event to wait for: PS_EBUSY is tried again. */
int blobs_start_after_kill(struct blobs *b);
/* A request of the test's own, by a client that has no other; what became of its last try. */
enum ps_outcome blobs_ask(ps_client *client, struct ps_net_request *request);
void blobs_must_answer(ps_client *client, struct ps_net_request *request); /* done, or the test fails */
void blobs_close(struct blobs *b);
void blobs_reopen(struct blobs *b);
ps_mem_world *blobs_world(struct blobs *b);

/* Bytes that are the same for the same seed, and compress to nothing. */
void blobs_fill(void *buf, size_t len, uint64_t seed);
uint8_t *blobs_bytes(size_t len, uint64_t seed); /* test_malloc */
void blobs_put(struct blobs *b, const char *key, size_t len, uint64_t seed);
void blobs_update(struct blobs *b, const char *key, size_t len, uint64_t seed);
/* The value is exactly this. */
void blobs_expect(struct blobs *b, const char *key, size_t len, uint64_t seed);
bool blobs_is(struct blobs *b, const char *key, size_t len, uint64_t seed);
void blobs_stats(struct blobs *b, struct ps_remote_stats *stats);
/* The index agrees with itself, and every pad that the network lists stands in it. */
void blobs_check(struct blobs *b);
/* And every pad that the index counts as written, confirmed or free is listed: what the network has is what
 * the index names, but for pads whose outcome is open and those that were given up. */
void blobs_check_exactly(struct blobs *b);
/* Pads that the network lists, but for the head. */
size_t blobs_listed(struct blobs *b);
/* Their names, in order; how many there are. */
size_t blobs_names(struct blobs *b, struct ps_pad_name *names, size_t capacity);
/* Takes one away, behind the store's back. */
void blobs_lose(struct blobs *b, const struct ps_pad_name *name);

#endif
