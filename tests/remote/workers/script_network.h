/* A network whose every answer a test decides: what it says, whether it carries the request out, and when.
 * It keeps records like any other, watches what it is sent, and can be made to hang. */
#ifndef PS_TESTS_SCRIPT_NETWORK_H
#define PS_TESTS_SCRIPT_NETWORK_H

#include <stdatomic.h>
#include <stdbool.h>

#include "remote/clock.h"
#include "remote/network.h"

enum script_wire {
	WIRE_FINE,    /* carried out, answered */
	WIRE_LOST,    /* not carried out, and surely so */
	WIRE_UNSAID,  /* carried out, and nobody knows */
	WIRE_SILENCE, /* not carried out, and nobody knows */
	WIRE_LATE,    /* nobody knows, and it is carried out after_ns later */
	WIRE_HANGS,   /* never answered, until it is recalled */
	WIRE_DEAF,    /* never answered, and not to be recalled either */
	WIRE_LIES,    /* not carried out, answered "done" */
	WIRE_SAYS,    /* not carried out, answered `outcome` */
};

struct script_answer {
	enum script_wire wire;
	enum ps_outcome outcome;
	uint64_t after_ns; /* how long the answer takes */
	uint64_t late_ns;  /* WIRE_LATE: how long after the answer */
	bool throttled;
};

/* `client` is the number of the client; `nth` of the request, over all. Called under the network's lock. */
typedef struct script_answer (*script_fn)(void *arg, unsigned client, uint64_t nth,
                                          const struct ps_net_request *request);

struct script_figures {
	uint64_t requests, writes, applied, waits;
	uint64_t differing; /* writes under a (name, counter) with bytes or a token other than those before */
	uint64_t by_client[64];
	uint32_t in_flight, most_in_flight;
	uint64_t bytes_up;
};

int script_network_new(const struct ps_network_options *options, script_fn script, void *arg,
                       struct ps_clock *clock, ps_network **network);
void script_network_figures(ps_network *network, struct script_figures *figures);
/* How often a write to this name was carried out, and its identity now. */
uint64_t script_network_applied(ps_network *network, const struct ps_pad_name *name,
                                struct ps_pad_identity *identity);
/* Puts a record there by another hand. */
void script_network_put(ps_network *network, const struct ps_pad_name *name,
                        const struct ps_pad_identity *identity);
/* Clients opened from now on cannot be. */
void script_network_refuse_clients(ps_network *network, bool refuse);

#endif
