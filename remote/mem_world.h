/* The world of a mem network: what all who open one NAME in this process share. */
#ifndef PS_MEM_WORLD_H
#define PS_MEM_WORLD_H

#include <pthread.h>

#include "remote/mem_table.h"

struct ps_mem_world {
	struct ps_mem_world *next;
	char *name;
	struct ps_memory memory;
	unsigned references; /* the registry's lock */
	pthread_mutex_t lock;
	struct mem_table table;
	uint64_t versions; /* stored so far */
};

/* Finds the world of that name or makes it; worlds stay until the process ends or ps_mem_world_forget. */
int mem_world_open(const char *name, struct ps_mem_world **world) __attribute__((warn_unused_result));
void mem_world_close(struct ps_mem_world *world);

/* Carries a request out and answers it. */
void mem_world_apply(struct ps_mem_world *world, const ps_network *network, struct ps_net_request *request);

#endif
