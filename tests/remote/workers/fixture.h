/* What the tests of the workers share: a scripted network in virtual time, workers over it, and writes of
 * pads that check what they are told. */
#ifndef PS_TESTS_WORKERS_FIXTURE_H
#define PS_TESTS_WORKERS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/fail.h"
#include "remote/limits.h"
#include "remote/settle.h"
#include "remote/workers.h"
#include "script_network.h"
#include "virtual_clock.h"

#define OK(call) assert_int_equal((call), PS_OK)
#define FAILS(code, call) assert_int_equal((call), (code))

struct world {
	struct virtual_clock clock;
	ps_network *network;
	ps_workers *workers;
	struct ps_workers_options options;
	struct ps_memory memory; /* of the pads' buffers */
	atomic_size_t most_used;
	bool same_bytes; /* each seal of a pad gives the same */
};

/* Workers that all take part in the virtual time, with the test's own thread. */
void world_open(struct world *world, const struct ps_workers_options *options, script_fn script, void *arg);
void world_close(struct world *world);

struct pad {
	struct ps_settle settle; /* first */
	struct world *world;
	size_t bytes;
	enum ps_net_op op;
	unsigned number;
	struct ps_pad_identity expected;
	atomic_uint sealed, ended;
	uint8_t spoil; /* read back as damaged */
};

extern const struct ps_settle_ops pad_ops;

struct ps_pad_name pad_name(unsigned number);
struct ps_pad_identity pad_identity(unsigned number, uint64_t counter);
/* `count` creations of `bytes` each. */
struct pad *pads_new(struct world *world, unsigned count, size_t bytes, enum ps_verify verify);
void pads_add(struct pad *pads, unsigned count, ps_group *group);
/* Each was told exactly once. */
void pads_check_ended(struct pad *pads, unsigned count);

uint64_t next_random(uint64_t *state);

#endif
