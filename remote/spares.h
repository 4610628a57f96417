/* Pads without a record: what purge and reserve share. */
#ifndef PS_SPARES_H
#define PS_SPARES_H

#include "remote/manager_internal.h"

enum { SPARES_BATCH = 256 };
/* Who works on all of them has them to himself, as if they were a key. */
#define SPARES_KEY "\001pads without a record"

struct spares {
	struct ps_memory *memory;
	struct ps_spare *all;
	size_t count, capacity;
};
int spares_list(ps_remote *r, unsigned status, struct spares *spares) __attribute__((warn_unused_result));
void spares_done(struct spares *spares);
/* In one commit: each spare becomes its slot; a slot that is gone is retired. */
int spares_change(ps_remote *r, const struct ps_spare *spares, const struct ps_pad_slot *slots, size_t count)
    __attribute__((warn_unused_result));
/* Looks at each; looks has room for `count`. */
int spares_look(struct ps_operation *op, const struct ps_spare *spares, struct ps_pad_look *looks,
                size_t count) __attribute__((warn_unused_result));
/* Finds out about all whose outcome is open: free, fenced and free, or invalid. *settled grows. */
int spares_settle(struct ps_operation *op, uint64_t *settled) __attribute__((warn_unused_result));

#endif
