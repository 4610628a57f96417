/* What the tests of copies share: a store on one mem: network, and a second one beside it. */
#ifndef COPY_FIXTURE_H
#define COPY_FIXTURE_H

#include <padstone/remote_copy.h>

#include "tests/remote/sync/sync_fixture.h"

struct pair_of {
	struct blobs *a; /* the store */
	char url[64];    /* of the second network */
	ps_network *watch;
	ps_mem_world *world; /* the second network's */
};

/* A new store, with an empty network beside it. */
void pair_new(struct pair_of *p);
void pair_free(struct pair_of *p);
/* Copies, and gives what came of it. */
struct ps_remote_copy_result copy_now(struct pair_of *p);
/* What a copy of all that is there would send: nothing, where it is whole. */
void expect_whole(struct pair_of *p);
/* The store as another machine sees it that has only the key and the copy. Freed by machine_free. */
struct blobs *open_copy(struct pair_of *p);
/* Requests of a kind that the second network has had since the last call of this. */
uint64_t requests_of(struct pair_of *p, enum ps_net_op op);

#endif
