/* A read: the ready-made task for get, get_range and head. What comes is handed to opened(), which believes
 * nothing before it has verified it; what does not verify is fetched again, since it may have been damaged on
 * its way, and then told. */
#ifndef PS_FETCH_H
#define PS_FETCH_H

#include "remote/task.h"

struct ps_fetch;

/* As the functions of a task (remote/task.h). */
struct ps_fetch_ops {
	/* Verifies and takes what came: the record or range in fetch->task.request.buffer, its identity, size
	 * and token in the request. An error is that of what came, with this thread's sentence. NULL: a head,
	 * of which the request says all. */
	int (*opened)(struct ps_fetch *fetch);
	/* The end, with task.fate and task.error: PS_ENOTFOUND where nothing is there. */
	void (*ended)(struct ps_fetch *fetch);
};

struct ps_fetch {
	struct ps_task task;
	/* The caller's, before ps_fetch_init. */
	const struct ps_fetch_ops *ops;
	enum ps_net_op op; /* PS_NET_GET, PS_NET_GET_RANGE, PS_NET_HEAD */
	struct ps_pad_name name;
	uint64_t offset; /* of a range */
	size_t len;      /* of a range; of a get: the largest record that is taken */
	/* Its own. */
	uint32_t reads;
	struct ps_memory *memory;
};

/* All but the caller's fields is made zero. */
void ps_fetch_init(struct ps_fetch *fetch, struct ps_memory *memory);

#endif
