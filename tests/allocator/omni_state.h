/* The state beside an omni allocator: a map of granules, the slabs, what lives. For omni_model.c. */
#ifndef PS_OMNI_STATE_H
#define PS_OMNI_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "allocator/omni.h"

enum {
	GRANULE = 16,
	PAGE = 4096,
	SPACE_MOST = 1 << 20,
	GRANULES_MOST = SPACE_MOST / GRANULE,
	SLABS_MOST = SPACE_MOST / PAGE,
	LIVE_MOST = 4096,
	WORDS_MOST = PAGE, /* of the largest slab's bitmap */
	ROOT_TRIES = 32,   /* extents that the root looks into before it wants one that is surely enough */
};

/* What a granule is. */
enum { USED, FREE, SLOT_FREE, SLOT_USED, TAIL };

struct live {
	uint64_t offset, len;
	unsigned class;
};

struct model {
	const uint8_t *data;
	size_t left;
	struct ps_memory memory;
	struct ps_class_table table;
	struct ps_class_map map;
	struct ps_allocator *root, *a;
	uint8_t state[GRANULES_MOST];
	uint8_t class_of[SLABS_MOST]; /* of the slab, 0: none */
	bool retired[SLABS_MOST];
	uint64_t space, limit, slab;
	bool growing;
	struct live live[LIVE_MOST];
	size_t count;
	bool faults, forever, faulted; /* this call's, and whether there ever was one */
	unsigned step;
	const char *call;
	bool failed;
	char sentence[512]; /* what went wrong first */
};

void model_wrong(struct model *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
uint64_t model_input(struct model *m, unsigned bytes);
uint64_t model_input_size(struct model *m);
unsigned model_input_class(struct model *m);
/* Whether the call came out as it should; memory that was not to be had excuses it, and nothing has changed
 * then. */
bool model_came_as(struct model *m, int got, int expected);
bool model_all_are(const struct model *m, uint64_t offset, uint64_t len, uint8_t state);
void model_set(struct model *m, uint64_t offset, uint64_t len, uint8_t state);
uint64_t model_place_of(const struct ps_class_geometry *g, uint64_t slab, uint64_t slot);
void model_cut(struct model *m, uint64_t slab, unsigned class);
uint64_t model_slabs(const struct model *m);
/* Whether there is a slab to be cut, below the limit. */
bool model_can_cut(const struct model *m);
/* Whether so many slots must be found. */
bool model_must_fit(const struct model *m, unsigned class, uint64_t run, bool end_to_end);
bool model_may_fit(const struct model *m, unsigned class, uint64_t run, bool end_to_end);
/* A slot that was given out: it was free, and where slots of the class may be given out. */
void model_took_slot(struct model *m, unsigned class, uint64_t place);
void model_took_extent(struct model *m, struct ps_extent extent);
void model_compare(struct model *m);
/* Empty slabs went back to the root, or are open: one of a class at most. */
void model_settle(struct model *m);
void model_live_add(struct model *m, uint64_t offset, uint64_t len, unsigned class);

#endif
