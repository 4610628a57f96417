/* Machines that write, remove and sync in random order over a network that is only a list of runs in memory;
 * and what must hold whatever they do. */
#ifndef MERGE_WORLD_H
#define MERGE_WORLD_H

#include "remote/merge.h"
#include "remote/serial_set.h"
#include "tests/remote/index_fixture.h"

enum { WORLD_MACHINES = 4, WORLD_KEYS = 3, WORLD_RECORDS = 256, WORLD_RUNS = 256, WORLD_CONTENTS = 256 };

struct shelf {
	struct ps_record *records; /* in no order */
	size_t count;
};

struct world_machine {
	struct shelf shelf;
	uint64_t synced;  /* counter of the head that it has merged */
	uint64_t written; /* of the last head that it knows to be its own */
	uint64_t intent;  /* of a head whose outcome it does not know; 0: none */
	struct shelf sent;
};

struct world {
	struct ps_memory memory;
	struct dice dice;
	unsigned machines_count;
	struct world_machine machines[WORLD_MACHINES];
	/* The network: one run a head, until they are merged. */
	uint64_t head, horizon;
	struct shelf runs[WORLD_RUNS];
	uint64_t run_heads[WORLD_RUNS];
	size_t runs_count;
	uint8_t writer[WORLD_RUNS * 4]; /* of each head, by counter */
	uint64_t last[WORLD_MACHINES];  /* heads that machines wrote, as the head lists them; 0: not listed */
	/* What was written, by the first byte pair of its hash. */
	unsigned contents;
	bool superseded[WORLD_CONTENTS];
	char wrote_to[WORLD_CONTENTS]; /* the key's letter */
	struct ps_serial_set freed;
};

struct world *world_new(uint64_t seed);
void world_free(struct world *w);
void world_step(struct world *w);
/* All sync until nothing changes any more, then everything is checked. */
void world_settle_and_check(struct world *w);

#endif
