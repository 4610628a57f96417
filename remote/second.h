/* Another network beside the store's own: a copy of its pads, written by ps_remote_copy or read where the
 * first network fails. It has workers and limits of its own, with the figures of the remote's options. */
#ifndef PS_SECOND_H
#define PS_SECOND_H

#include "remote/limits.h"
#include "remote/workers.h"

struct ps_remote;

struct ps_second {
	ps_network *network; /* NULL: there is none */
	ps_workers *workers;
	struct ps_limits limits;
	bool limits_ready;
};

/* Into zeroed memory. Errors are those of ps_network_open and ps_workers_new; what was opened is closed again
 * then. */
int ps_second_open(struct ps_remote *r, const char *url, const struct ps_network_options *options,
                   struct ps_second *second) __attribute__((warn_unused_result));
/* PS_EBUSY while there is a group; nothing changed then. Zeroed memory is fine. */
int ps_second_close(struct ps_second *second) __attribute__((warn_unused_result));

#endif
