/* A store beside a model of it in plain memory, driven by seeded random operations. */
#ifndef CONFORMANCE_MODEL_H
#define CONFORMANCE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <padstone/storer.h>

enum { MODEL_OBJECTS = 24, MODEL_STALE = 64 };

struct model_object {
	ps_id id; /* PS_ID_NONE: none here now */
	unsigned char *bytes;
	size_t len, capacity;
};

struct model {
	uint64_t random, step;
	struct model_object objects[MODEL_OBJECTS];
	ps_id stale[MODEL_STALE]; /* a ring of deleted ids */
	size_t stale_count;
};

/* Says the seed, so that a failure can be repeated. */
void model_init(struct model *m, uint64_t default_seed);
void model_done(struct model *m);
/* CONFORMANCE_STEPS or default_steps random operations, each checked at once. */
void model_run(struct model *m, ps_storer *s, uint64_t default_steps);
/* All objects, their number, and that the stale ids are dead. */
void model_verify(const struct model *m, ps_storer *s);

#endif
