/* Threads that change a store at random, each its own objects, and know what these were after each of their
 * commits; and cuts of that store, compared with what they know.
 *
 * A cut holds of each actor's commits a prefix: at least those that had ended when it was begun, at most
 * those that had begun when that returned. Each operation is one commit, so that the prefixes together are as
 * long as the cut's commit number says. */
#ifndef CUT_WORLD_H
#define CUT_WORLD_H

#include <stdatomic.h>

#include "store/cut.h"

enum { ACTORS_MAX = 4, ACTOR_OBJECTS = 24 };

struct actor_object {
	ps_id id; /* PS_ID_NONE: not there */
	uint8_t *bytes;
	uint64_t size;
};

/* What an operation made of an id. */
struct version {
	uint64_t op;
	ps_id id;
	bool live;
	uint64_t size, hash;
};

/* An id as it is after some prefix of the operations. */
struct known {
	ps_id id;
	bool there; /* given by then */
	bool live;
	uint64_t size, hash;
	uint64_t changed; /* by this operation */
};

struct actor {
	struct world *world;
	uint64_t random;
	struct actor_object object[ACTOR_OBJECTS];
	struct version *log;
	size_t count, room;
	_Atomic(uint64_t) begun, ended; /* operations */
	struct known *known;            /* all ids of the log, sorted, after the operations up to `at` */
	size_t known_count, listed, applied;
	uint64_t at;
};

struct record {
	struct ps_cut_object object;
	uint64_t hash;
	uint8_t *bytes;            /* of an object that is not gone */
	const struct actor *owner; /* whose id it is; NULL: nobody's */
};

/* A cut, as it was read. */
struct taken {
	struct ps_cut_from from;
	struct ps_cut_info info;
	const struct taken *since; /* the cut that `from` is of; NULL: everything */
	struct record *records;
	size_t count, room;
	uint64_t least[ACTORS_MAX], most[ACTORS_MAX], prefix[ACTORS_MAX];
};

struct world {
	ps_storer *s;
	struct actor actor[ACTORS_MAX];
	unsigned actors;
	uint64_t commits;   /* of the store that are no actor's */
	bool count_commits; /* nobody else commits */
};

/* All here aborts without memory, and fails the test where a call does. */
void world_init(struct world *w, ps_storer *s, unsigned actors, uint64_t seed);
void world_done(struct world *w);
/* One operation, one commit. */
void actor_step(struct actor *a);
/* A cut and all that is in it. */
struct taken *world_take(struct world *w, const struct taken *since);
/* The same in two steps. */
struct taken *world_begin(struct world *w, const struct taken *since, struct ps_cut **cut);
/* Everything of a cut that has begun, into `t`. */
void taken_read(struct taken *t, struct ps_cut *cut);
void taken_free(struct taken *t);
/* The actors stand still; cuts come in the order in which they were taken. What the cut gave is what was
 * changed since, and nothing else, as it was then. */
void world_compare(struct world *w, struct taken *t);
const struct record *taken_find(const struct taken *t, uint64_t slot);

#endif
