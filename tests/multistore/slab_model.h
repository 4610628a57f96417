/* A store with size classes beside a model in plain memory: what it holds, and on which route each object has
 * to be. */
#ifndef SLAB_MODEL_H
#define SLAB_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "allocator/class_table.h"
#include "store/placement.h"

enum { SLAB_OBJECTS = 1500, ROUTE_ANY = -1 };

struct slab_object {
	ps_id id; /* PS_ID_NONE: none here now */
	uint8_t *bytes;
	size_t len;
	int route;     /* the class that ps_info has to say, or ROUTE_ANY */
	bool reserved; /* of a run, and not written yet: its place is kept for the first write */
};

struct slab_model {
	uint64_t random, step;
	bool routed; /* the store that is open places by size */
	struct ps_class_map classes;
	uint32_t route_max;
	struct slab_object objects[SLAB_OBJECTS];
};

/* An empty store with these classes; says the seed. */
void slab_model_init(struct slab_model *m, uint64_t seed, const struct ps_class_table *classes,
                     uint32_t route_max);
void slab_model_done(struct slab_model *m);
/* Random steps, each looked at at once. All that returns is durable. */
void slab_model_run(struct slab_model *m, ps_storer *s, unsigned steps);
/* Every byte of every object, and that there are no others; the route of each, as its info, the map of the
 * space and the figures say it. */
void slab_model_verify(const struct slab_model *m, ps_storer *s);
uint64_t slab_model_random(struct slab_model *m, uint64_t bound);

#endif
