/* What the tests of the sync share: several machines with one store, each with a state folder of its own. */
#ifndef SYNC_FIXTURE_H
#define SYNC_FIXTURE_H

#include "tests/remote/blobs/blobs_fixture.h"

/* Another machine with the key of `first`, which knows nothing yet; not open. Freed before `first`. */
struct blobs *machine_new(struct blobs *first);
/* The same, open. */
struct blobs *machine_open(struct blobs *first);
void machine_free(struct blobs *b);

/* Syncs, and gives what came of it. */
struct ps_remote_sync_result sync_machine(struct blobs *b);
/* Syncs all, in turn, until nothing moves any more. */
void sync_all_machines(struct blobs **all, size_t count);
void sync_fails(struct blobs *b, int error);
/* There is nothing under the key. */
void expect_none(struct blobs *b, const char *key);
/* How many keys that begin so. */
size_t count_keys(struct blobs *b, const char *prefix);
struct ps_pad_name head_name_of(struct blobs *b);
/* Both have the same keys with the same contents. */
void expect_same(struct blobs *a, struct blobs *b);

/* Of machines that are in sync: each index agrees with itself, every pad that the network lists stands in one
 * of them, and a pad that one has without a record no other has at all. */
void check_machines(struct blobs **all, size_t count);

struct dice {
	uint64_t state;
};
uint64_t roll(struct dice *dice);
uint64_t roll_below(struct dice *dice, uint64_t n);
uint64_t test_seed(uint64_t standard);

#endif
