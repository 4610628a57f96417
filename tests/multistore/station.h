/* Machines that want to hold one store, each with a file of its own. */
#ifndef STATION_H
#define STATION_H

#include "tests/multistore/push_fixture.h"

/* A machine with its file, which may be a clone. */
struct station {
	struct world *w; /* whose network it is */
	struct blobs *b;
	ps_storer *s;
	char path[256];
	unsigned files;
};

/* On the world's network, with a clone of the newest state. */
void station_new(struct station *a, struct world *w);
void station_free(struct station *a);
/* The world's own machine and file as one of them; w->s stays its owner. */
struct station station_first(struct world *w);
/* Another file, of that name and a number; the one before is the caller's to close. */
int station_clone(struct station *a, uint32_t take_over, const char *name);
/* The process is gone, and another one begins. */
void station_restart(struct station *a);
int station_push(struct station *a);
int station_take_over(struct station *a);
void station_put_text(struct station *a, const char *text);

/* Whether a store has an object of these bytes. */
bool has_text(ps_storer *s, const char *text);
/* What the network says, after a sync. */
struct ps_push_holder holder_of(struct blobs *b);

#endif
