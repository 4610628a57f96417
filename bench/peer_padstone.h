/* For workloads of what Padstone alone does: its own calls on an open store (CAN_STREAM). */
#ifndef PS_BENCH_PEER_PADSTONE_H
#define PS_BENCH_PEER_PADSTONE_H

#include <padstone/padstone.h>

ps_storer *padstone_storer(void *store);

#endif
