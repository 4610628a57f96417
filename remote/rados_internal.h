/* What the files of rados: share. A request that was submitted is carried by a flight, which lives on its own
 * when the request is given up (timed out, cancelled, its client closed), until librados lets go of it.
 *
 * librados calls back from threads of its own: the callback marks the flight as landed, posts it to its
 * client, and does nothing else. One lock a network; under it no call of librados is made.
 *
 *     aloft ──landed──▶ posted to its client ──ps_client_wait──▶ settled, freed
 *       └──given up──▶ lost ──landed──▶ swept (freed) by the next call of any client, or by close
 */
#ifndef PS_RADOS_INTERNAL_H
#define PS_RADOS_INTERNAL_H

#include <pthread.h>

#include "remote/network.h"
#include "remote/rados_library.h"

enum { RADOS_OBJECT_NAME = 2 * PS_PAD_NAME + 1, RADOS_VERSION = 40, RADOS_NS_PER_MS = 1000000 };

/* Of the xattr that carries (counter, hash). */
#define RADOS_VERSION_NAME "v"

struct rados_network {
	ps_network base;
	const struct rados_calls *calls;
	rados_t cluster;
	rados_ioctx_t io; /* of pool and namespace; shared, never changed after open */
	pthread_mutex_t lock;
	pthread_cond_t swept;          /* a lost flight has landed */
	struct rados_flight *lost;     /* lock */
	struct rados_flight *listings; /* lock: for the lister, oldest first */
	bool lister_runs;              /* lock */
};

struct rados_client {
	ps_client base;
	struct rados_network *network;
	pthread_cond_t changed;         /* with the network's lock */
	struct rados_flight *landed;    /* lock: oldest first */
	bool woken;                     /* lock */
	struct rados_flight *aloft;     /* the owner's, landed ones too */
	struct ps_net_request *settled; /* the owner's: finished, not returned yet */
};

struct rados_flight {
	struct rados_network *network;
	struct rados_client *client;         /* lock: NULL once it is lost */
	struct rados_flight *next, **before; /* the owner's: among those aloft; lock: among the lost */
	struct rados_flight *next_posted;    /* lock: among the landed, or the listings */
	bool landed;                         /* lock */
	int recalled; /* the owner's: librados was asked to let go of it, for PS_ETIMEDOUT, PS_ECANCELED; or 0
	               */
	struct ps_net_request *request; /* the owner's; never touched once the flight is lost */
	struct ps_net_buffer *buffer;   /* a reference of its own */
	struct rados_listing *listing;  /* of a list only */
	enum ps_net_op op;
	uint64_t deadline_ns;
	char name[RADOS_OBJECT_NAME];

	/* librados's while aloft */
	rados_completion_t completion;
	rados_write_op_t write;
	rados_read_op_t read;
	rados_xattrs_iter_t attributes;
	uint64_t size;
	size_t received;
	int stat_result, attributes_result, read_result;

	int result; /* valid once landed: 0 or a negative errno */
};

uint64_t ps_rados_now_ns(void);
void ps_rados_object_name(const struct ps_pad_name *name, char text[RADOS_OBJECT_NAME]);
/* False for a name that is no pad's. */
bool ps_rados_pad_name(const char *text, size_t len, struct ps_pad_name *name);

/* ---- flights (rados_flight.c) ---- */

/* NULL: no memory. */
struct rados_flight *ps_rados_flight_new(struct rados_network *network, struct ps_net_request *request);
/* 0, or a negative errno: then nothing was sent, and it does not land. */
int ps_rados_flight_start(struct rados_flight *flight);
/* From a thread of librados, or the lister. After this call the flight is the client's again. */
void ps_rados_flight_landed(struct rados_flight *flight, int result);
/* Outcome and answer into its request. */
void ps_rados_flight_settle(struct rados_flight *flight);
void ps_rados_flight_free(struct rados_flight *flight); /* NULL is fine */
/* The end of a request that was given up for this reason (PS_ETIMEDOUT, PS_ECANCELED). */
void ps_rados_tell_recalled(const ps_network *network, struct ps_net_request *request,
                            enum ps_outcome outcome, int reason);

/* ---- networks (rados_network.c) ---- */

/* Frees the lost flights that have landed. */
void ps_rados_sweep(struct rados_network *network);

/* ---- clients (rados_client.c) ---- */

int ps_rados_client_open(ps_network *network, ps_client **client) __attribute__((warn_unused_result));

/* ---- listings (rados_list.c) ---- */

/* NULL: no memory. */
struct rados_listing *ps_rados_listing_new(struct rados_network *network, const struct ps_net_list *list);
void ps_rados_listing_free(struct rados_network *network, struct rados_listing *listing); /* NULL is fine */
/* Hands the flight to the lister, a thread that ends when it has nothing to do: librados lists by blocking
 * calls only. A negative errno if there is no thread. */
int ps_rados_listing_start(struct rados_flight *flight);
/* A page that was read, into the request's. */
void ps_rados_listing_take(const struct rados_listing *listing, struct ps_net_list *list);

#endif
